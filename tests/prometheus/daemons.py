"""Daemons of one's own: with servers that can be changed, whose process can be got at, and that can be started again."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")
START_S = 60
STOP_S = 60


class Untried(Exception):
    """What was to be tried could not be; the text says why."""


class Daemon:
    """A daemon for the time of a `with`; the next `with` starts it anew with the data of the last."""

    def __init__(self, program, folder, servers, config=""):
        self.program, self.folder, self.data = program.resolve(), folder, folder / "data"
        folder.mkdir()
        self.data.mkdir(mode=0o700)
        (folder / "mcpvisor.toml").write_text(config)
        self.define(servers)
        self.port = self.pid = None

    def define(self, servers):
        self.write_servers(json.dumps({"mcpServers": servers}))

    def write_servers(self, text):
        # In one step: half a file would be a fault of its own.
        new = self.folder / "servers.json.new"
        new.write_text(text)
        new.rename(self.folder / "servers.json")

    def __enter__(self):
        if not os.access(self.program, os.X_OK):
            raise Untried(f"{self.program} is no program; build it with `cargo test --no-run --test tidy`")
        command = [self.program, "serve", "--port", "0", "--config", self.folder / "mcpvisor.toml"]
        command += ["--servers", self.folder / "servers.json", "--data-dir", self.data]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MCPVISOR_")}
        log = self.folder / "log"
        with open(log, "wb") as out:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
            )
        self.pid = self._process.pid
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            found = ADDRESS.search(log.read_text(errors="replace"))
            if found:
                self.port = int(found[1])
                with contextlib.suppress(OSError):
                    if json.loads(self.request("GET", "/readyz", near=True)).get("status") in ("ready", "degraded"):
                        return self
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        self.__exit__()
        raise Untried(f"the daemon does not serve; it said:\n{log.read_text(errors='replace')[-2000:]}")

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def owner_key(self):
        return (self.data / "owner.key").read_text().strip()

    def request(self, method, path, body=None, near=False, key=None, timeout=60):
        """Asks it something as its owner, as the holder of a key, or as its own user who needs none: the text of the answer."""
        return self.answer(method, path, body, near, key, timeout)[1]

    def headers_of(self, method, path, body, headers):
        """Asks it something as its owner: the headers of the answer, their names in lower case."""
        return self._ask(method, path, body, False, None, 60, headers)[2]

    def answer(self, method, path, body=None, near=False, key=None, timeout=60, headers=None):
        """The same as `request`: the status of the answer, and its text."""
        return self._ask(method, path, body, near, key, timeout, headers)[:2]

    def _ask(self, method, path, body, near, key, timeout, more):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        headers = dict(more or {})
        if not near:
            headers["Authorization"] = f"Bearer {key or self.owner_key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, answer.read().decode(), told
        finally:
            connection.close()

    def make_key(self, member, limits=None):
        asked = {"name": member["id"], "member": member} | ({"limits": limits} if limits else {})
        status, text = self.answer("POST", "/v1/api-keys", asked)
        if status != 201:
            raise Untried(f"no key for {member['id']}: {status} {text}")
        return json.loads(text)["data"]["key"]

    def server(self, name):
        return next(one for one in self._data("/v1/mcps?per_page=100") if one["name"] == name)

    def failures(self, name):
        return self._data(f"/v1/mcps/{self.server(name)['id']}")["supervision"]["failures"]

    def _data(self, path):
        status, text = self.answer("GET", path)
        if status != 200:
            raise Untried(f"GET {path}: {status} {text}")
        return json.loads(text)["data"]


def remember_a_later_time(data, days):
    """Has a data directory remember that it was later: for the next start, the clock has been set back."""
    seconds = str(int(time.time()) + days * 86_400)
    digest = hashlib.sha256(seconds.encode()).hexdigest()[:8]
    (data / "clock").write_text(f"{seconds} {digest}\n")


@contextlib.contextmanager
def small_disk(data: Path):
    """A disk of four megabytes in place of a directory, and what fills it to the last byte."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", data], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise Untried(f"a small disk cannot be mounted here (it takes root): {made.stderr.strip()}")

    def fill():
        with open(data / "filler", "wb", buffering=0) as file:
            for block in (65536, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(block)):
                        pass

    try:
        yield fill
    finally:
        subprocess.run(["umount", data], check=False)
