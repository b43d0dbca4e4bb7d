"""Checks of what stands between the daemon and a server, and of how a server ends that is asked to."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from callers import Endpoint
from checks import (
    AGAIN_S, AT_ONCE_S, BACK_S, MEGABYTE, READY_S, Skipped, check, require, short, unique, unique_seconds,
)  # fmt: skip
from fleet import free_port
from network import Door

CALL_S = 4
# Beyond that: what it takes to have a stream again, or to find that there is none.
PATIENCE_S = 20
# A stream that the server holds for open is tried again after five seconds, and fifteen later.
HELD_S = 30
PAYLOAD = 5 * MEGABYTE
CANARY = {"X-Canary": "canary-of-the-redirect"}


@check(fresh=True)
def severed(bench):
    """The connection of a call is cut under way: it is taken up again where that can be, and never made again."""
    tools, arguments = bench.tools, bench.tools.slow_arguments(unique_seconds(CALL_S))
    with through_door(bench) as door, ThreadPoolExecutor(1) as pool:
        call = pool.submit(bench.rest.invoke, tools.slow, arguments, CALL_S + PATIENCE_S)
        begun = bench.journal.wait_for(lambda: bench.journal.ran(tools.slow, arguments), AT_ONCE_S)
        require(begun, "the call did not reach the server")
        door.cut()
        code, answer, _took = call.result()
        phase = (answer.get("error", {}).get("details") or {}).get("phase")
        wanted = (200, None) if bench.server.resumes else (502, "in_flight")
        require((code, phase) == wanted, f"{code} {short(answer)}")
        bench.echoed(unique("after it was severed"), BACK_S)
    require(len(bench.journal.ran(tools.slow, arguments)) == 1, "the call was made again")


@check(fresh=True)
def held_open(bench):
    """The stream of notifications is cut, and the server does not know: it refuses another one until it does."""
    if not bench.server.sessions or bench.server.is_sse:
        raise Skipped
    with through_door(bench) as door:
        handshakes, streams = bench.journal.accepted("initialize"), len(gets(bench))
        with door.half_cut():
            bench.echoed(unique("beside a stream that is held"), BACK_S)
            tried = bench.journal.wait_for(lambda: len(gets(bench)) > streams, AGAIN_S)
            require(tried, "no stream was asked for again")
        again = bench.journal.wait_for(lambda: gets(bench)[-1] == 200, HELD_S)
        statuses = gets(bench)[streams:]
        require(again, f"there is no stream again: {statuses}")
        bench.wait_until(["ready"], AGAIN_S)
        more = bench.journal.accepted("initialize") - handshakes
        require(more == 0, f"{more} initialize, although the session was never lost")
    return f"GET was answered with {statuses}"


@check(fresh=True)
def ended(bench):
    """A server that is asked to end in the middle of a call may end that in order; the daemon does not repeat it."""
    tools, arguments = bench.tools, bench.tools.slow_arguments(unique_seconds(CALL_S))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(bench.rest.invoke, tools.slow, arguments, CALL_S + PATIENCE_S)
        begun = bench.journal.wait_for(lambda: bench.journal.ran(tools.slow, arguments), AT_ONCE_S)
        require(begun, "the call did not reach the server")
        bench.running.end()
        code, answer, _took = call.result()
    phase = (answer.get("error", {}).get("details") or {}).get("phase")
    require((code, phase) in ((200, None), (502, "in_flight")), f"{code} {short(answer)}")
    bench.running.start()
    bench.echoed(unique("after it was ended"), BACK_S)
    require(len(bench.journal.ran(tools.slow, arguments)) == 1, "the call was made again")
    return f"the call ended with {code}"


@check
def slash(bench):
    """Some send who adds a slash to the address where there is none; within the origin that is followed."""
    url = f"{bench.running.url}/"
    with Endpoint(url).post({"jsonrpc": "2.0", "id": 1, "method": "ping"}, {}) as reply:
        if reply.status not in (307, 308):
            raise Skipped
    with another(bench, {"url": url, "mcpvisor": bench.server.options}, ["ready"]):
        text = unique("by way of a redirect")
        code, answer, _took = bench.rest.invoke(bench.tools.echo, {bench.tools.text: text}, server="s")
        require(code == 200, f"{code} {short(answer)}")
        ran = len(bench.journal.ran(bench.tools.echo, {bench.tools.text: text}))
        require(ran == 1, f"it was carried out {ran} times")


@check
def redirected(bench):
    """What sends us to this server, which is another origin, does not get any of it there, least of all the headers."""
    if bench.server.is_sse:
        raise Skipped
    target = f"{bench.running.url}?redirected"
    with redirecting(target) as (url, heads):
        with another(bench, {"url": url, "headers": CANARY}, ["failed"]) as status:
            require(status["cause_code"] == "redirected", f"{status['cause_code']}: {status['cause']}")
            require(bench.running.url in status["cause"], status["cause"])
            code, answer, _took = bench.rest.invoke(bench.tools.echo, {}, server="s")
            phase = (answer.get("error", {}).get("details") or {}).get("phase")
            require((code, phase) == (502, "not_sent"), f"{code} {short(answer)}")
    require(heads and all(head["X-Canary"] for head in heads), "what redirects was not asked with its header")
    came = [r["path"] for r in bench.journal.requests() if "redirected" in r["path"]]
    require(not came, f"{len(came)} requests were sent to {target}")


@check
def payload(bench):
    """A request that is too large for the server is the caller's to make smaller, and was not carried out."""
    tools, text = bench.tools, unique("payload ").ljust(PAYLOAD, "x")
    before = len(bench.journal.ran(tools.echo))
    code, answer, _took = bench.rest.invoke(tools.echo, {tools.text: text}, PATIENCE_S)
    ran = len(bench.journal.ran(tools.echo)) - before
    if code == 413:
        require(answer["error"]["code"] == "payload_too_large", short(answer))
        require([r for r in bench.journal.requests() if r["status"] == 413], "the server has never said so")
        require(ran == 0, "it was carried out all the same")
    else:
        require(code == 200, f"{code} {short(answer)}")
        require(answer["data"]["content"][0]["text"] == tools.before + text, "another text came back")
    bench.echoed(unique("after a payload"), BACK_S)
    return f"a request of {PAYLOAD} bytes: {code}"


@contextlib.contextmanager
def through_door(bench):
    """Leads the daemon to the server through a door."""
    port = free_port()
    with Door("127.0.0.1", port, bench.running) as door:
        bench.rest.edit(f"http://127.0.0.1:{port}{bench.server.path}")
        end = time.monotonic() + READY_S
        while True:
            status = bench.rest.status()
            if door.count and status["state"] == "ready" and not status["supervision"].get("update"):
                break
            require(time.monotonic() < end, f"the state is {status['state']}, cause {status.get('cause')!r}")
            time.sleep(0.05)
        bench.echoed(unique("through a door"))
        yield door


@contextlib.contextmanager
def another(bench, entry, states):
    """Another server, `s`, beside the one that is tried, once it is in one of these states."""
    bench.rest.add("s", entry)
    try:
        end = time.monotonic() + READY_S
        while (status := bench.rest.status("s"))["state"] not in states:
            require(time.monotonic() < end, f"the state of s is {status['state']}, cause {status.get('cause')!r}")
            time.sleep(0.05)
        yield status
    finally:
        bench.rest.remove("s")


@contextlib.contextmanager
def redirecting(target):
    """What answers every request by sending it elsewhere: its address, and the heads of what it was asked."""
    heads = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heads.append(self.headers)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(307)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *_):
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/mcp", heads
        finally:
            server.shutdown()
            thread.join()


def gets(bench):
    """How the server has answered those who asked for a stream of notifications, in this order."""
    return [r["status"] for r in bench.journal.requests() if r["verb"] == "GET" and r["status"]]
