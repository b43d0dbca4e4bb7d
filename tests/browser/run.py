#!/usr/bin/env python3
"""A browser through the front door: Playwright's MCP server drives Chromium for a client of each era.

    run.py [--daemon PATH_TO_MCPVISOR] [--browser PROGRAM]

The page is served here, on 127.0.0.1, so nothing goes to any network. Each client opens it, reads it, presses its
button, takes a picture and closes the browser; both have the same child. Then the page is opened once more and the
daemon is stopped: of the browser, whose processes have a session of their own, none may be left. A line for each step
is printed. Exit codes: 0 all as it has to be; 1 something is not; 2 it could not be tried at all.
"""

import argparse
import base64
import http.server
import json
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
sys.path[:0] = [str(TESTS / "conformance"), str(TESTS / "support")]

from daemon import Broken, Daemon  # noqa: E402
from mcp_http import Endpoint, Legacy, Modern, Unanswered  # noqa: E402

SERVER = HERE / "node_modules/.bin/playwright-mcp"
# The first page of a browser on a machine with much to do.
CALL_S = 90
# How long a process may be seen that has ended.
GONE_S = 5
PAGE = b"""<!doctype html><title>A page of ours</title><h1>Nothing is pressed</h1>
<button onclick="document.querySelector('h1').textContent = 'It is pressed'">Press me</button>"""
# The first bytes of a picture, by the type that is said of it.
PICTURES = {"image/png": b"\x89PNG\r\n", "image/jpeg": b"\xff\xd8\xff"}


class Wrong(Exception):
    """Something is not as it has to be; the text says what."""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_):
        """Says nothing."""


class Visit:
    """One client with the browser. Each step is a call of a tool, and what has to come of it."""

    def __init__(self, client, page):
        self.client, self.page = client, page
        self.seen = ""

    def open(self):
        self.client.open()
        tools = json.loads(self.client.ask("tools/list"))["result"]["tools"]
        require({"browser_navigate", "browser_click"} <= {tool["name"] for tool in tools}, f"{len(tools)} tools")

    def navigate(self):
        self.seen = self.text("browser_navigate", url=self.page)
        require("A page of ours" in self.seen, self.seen)

    def snapshot(self):
        self.seen = self.text("browser_snapshot")
        require("Nothing is pressed" in self.seen, self.seen)

    def click(self):
        """By the reference that the snapshot has for the button."""
        found = re.search(r'button "Press me".*?\[ref=(\w+)\]', self.seen)
        require(found, f"no button in {self.seen}")
        self.text("browser_click", element="the button", target=found[1])
        require("It is pressed" in self.text("browser_snapshot"), "the page is as before")

    def screenshot(self):
        blocks = self.content("browser_take_screenshot")
        pictures = [block for block in blocks if block["type"] == "image"]
        require(len(pictures) == 1, f"blocks {[block['type'] for block in blocks]}")
        begin = PICTURES.get(pictures[0]["mimeType"])
        require(begin and base64.b64decode(pictures[0]["data"]).startswith(begin), pictures[0]["mimeType"])

    def close(self):
        self.text("browser_close")

    def text(self, tool, **arguments):
        return "\n".join(block["text"] for block in self.content(tool, **arguments) if block["type"] == "text")

    def content(self, tool, **arguments):
        answer = json.loads(self.client.ask("tools/call", {"name": tool, "arguments": arguments}))
        require("result" in answer, f"{tool}: {answer.get('error')}")
        require(not answer["result"].get("isError"), f"{tool}: {answer['result'].get('content')}")
        return answer["result"]["content"]


STEPS = ["open", "navigate", "snapshot", "click", "screenshot", "close"]


def require(condition, otherwise):
    if not condition:
        raise Wrong(str(otherwise)[:500])


def tried(era, step, act):
    """Whether a step went well; the next one builds on it."""
    begin = time.monotonic()
    try:
        act()
        print(f"ok   {era:<8} {step:<11} {time.monotonic() - begin:6.2f} s", flush=True)
        return True
    except (Wrong, Unanswered, KeyError, ValueError) as reason:
        print(f"NO   {era:<8} {step:<11} {reason}", flush=True)
        return False


def browsers(program):
    """The processes that run this program now, as `{pid: when it began}`: a pid alone may be somebody else's by then."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and program in (folder / "cmdline").read_bytes().decode(errors="replace"):
                found[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            continue  # it has ended meanwhile
    return found


def gone(program, before):
    """What there is of the browser once it should have ended, beside what was there before us."""
    end = time.monotonic() + GONE_S
    while (left := browsers(program).keys() - before.keys()) and time.monotonic() < end:
        time.sleep(0.05)
    return left


def program_of(browser):
    """What a process of the browser has in its command line: where Debian has the program that its script starts."""
    behind = Path("/usr/lib/chromium/chromium")
    return str(behind if Path(browser).name == "chromium" and behind.exists() else browser)


def server(browser, home):
    """The child. A fresh profile each time, and no sandbox of its own, since that needs rights that tests lack."""
    arguments = ["--headless", "--isolated", "--no-sandbox", "--executable-path", browser, "--output-dir", str(home)]
    return {"command": str(SERVER), "args": arguments, "env": {"HOME": str(home)}, "cwd": str(home)}


def visit_all(daemon, page):
    """Both eras, and a page that is left open. Whether all went well."""
    good = True
    for era, kind in (("legacy", Legacy), ("modern", Modern)):
        visit = Visit(kind(Endpoint(f"{daemon.url}/mcp/playwright", patience=CALL_S)), page)
        good &= all(tried(era, step, getattr(visit, step)) for step in STEPS)
    return tried("modern", "open again", lambda: visit.navigate()) and good


def try_all(options, home):
    before = browsers(program_of(options.browser))
    page = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    try:
        servers = {"playwright": server(options.browser, home)}
        with Daemon(options.daemon, servers, home / "daemon.log") as daemon:
            good = visit_all(daemon, f"http://127.0.0.1:{page.server_port}/")
            running = browsers(program_of(options.browser)).keys() - before.keys()
        print(f"     {len(running)} processes of the browser while its page was open", flush=True)
        good &= tried("-", "open page", lambda: require(running, "no process of the browser was found"))
        left = gone(program_of(options.browser), before)
        return tried("-", "all gone", lambda: require(not left, f"left of the browser: {sorted(left)}")) and good
    finally:
        page.shutdown()


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    built = TESTS.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    parser.add_argument("--browser", metavar="PROGRAM", default=shutil.which("chromium"), help="the browser")
    return parser.parse_args()


def main():
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = parsed_options()
    try:
        if not SERVER.exists() or options.browser is None:
            raise Broken("the server or the browser is missing: run tests/browser/install.sh, or `make browser`")
        with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home:
            return 0 if try_all(options, Path(home)) else 1
    except (Broken, OSError) as reason:
        print(f"run.py: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2


if __name__ == "__main__":
    sys.exit(main())
