"""The servers that are tried: what each is and cannot do, its process, and the journal of what it was asked."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from daemon import Broken

HERE = Path(__file__).resolve().parent
START_S = 30
STOP_S = 5
# Below those that the kernel gives to outgoing connections: a server has to find its port free when it comes back.
PORTS = range(20000, 30000)


@dataclass(frozen=True)
class Tools:
    """What a server calls the tools that are tried, and how it has their arguments and answers."""

    echo: str = "echo"
    # The argument that echo gives back, and what it puts in front of it.
    text: str = "text"
    before: str = ""
    add: str = "add"
    sum: str = "{}"
    slow: str = "slow"
    ask: str = "ask"
    # A resource, and a prompt.
    uri: str = "note://one"
    prompt: str = "greet"

    def slow_arguments(self, seconds):
        return {"seconds": seconds}


@dataclass(frozen=True)
class EverythingsTools(Tools):
    text: str = "message"
    before: str = "Echo: "
    add: str = "get-sum"
    sum: str = "is {}."
    slow: str = "trigger-long-running-operation"
    ask: str = "trigger-elicitation-request"
    uri: str = "demo://resource/static/document/features.md"
    prompt: str = "simple-prompt"

    def slow_arguments(self, seconds):
        return {"duration": seconds, "steps": max(1, round(seconds / 0.2))}


# Nothing of these can be seen of a server that has no tool for it, or does not write down that it was told to stop.
# It does tell of changed tools, but only while it is opened.
EVERYTHING_LACKS = frozenset({"count", "grow", "big", "large", "huge", "too-large", "log", "cancel", "doubt"})


@dataclass(frozen=True)
class Server:
    name: str
    command: list
    arguments: tuple = ()
    path: str = "/mcp"
    # The era in which the daemon is to open it.
    era: str = "legacy"
    # Whether it has sessions in that era.
    sessions: bool = False
    # Whether a stream of a call can be taken up again, and how many seconds it wants one to wait before that.
    resumes: bool = False
    retry: float = 0
    # After how many seconds it ends a session that nobody uses; None where that is longer than any check.
    patience: float | None = None
    # What its entry in the servers file says under `mcpvisor`.
    options: dict = field(default_factory=dict)
    tools: Tools = Tools()
    # The checks that make no sense for it.
    lacks: frozenset = frozenset()

    @property
    def is_sse(self):
        return self.path == "/sse"

    def entry(self, port):
        entry = {"url": f"http://127.0.0.1:{port}{self.path}"}
        return entry | ({"mcpvisor": self.options} if self.options else {})


def _node(script):
    return ["node", str(HERE / f"servers/{script}.mjs")]


def _python(venv, script):
    return [str(HERE / f"venv-{venv}/bin/python"), "-B", str(HERE / f"servers/{script}.py")]


def _rmcp():
    return [str(HERE / "servers/rmcp/target/debug/remote-rmcp")]


def _servers():
    legacy = {"options": {"era": "legacy"}}
    everything = {"sessions": True, "tools": EverythingsTools(), "lacks": EVERYTHING_LACKS}
    # A counter of a session, where there is none.
    stateless = {"lacks": frozenset({"count"})}
    modern = {"era": "modern", **stateless}
    py1, py2, fast = _python("py1", "py1"), _python("py2", "py2"), _python("fastmcp", "fastmcp_server")
    mode = {name: ("--mode", name) for name in ("stateless", "json", "sse", "brief")}
    yield Server("everything", _node("everything"), resumes=True, **everything)
    yield Server("everything-sse", _node("everything"), ("--sse",), "/sse", **everything)
    yield Server("ts1", _node("ts1"), sessions=True)
    yield Server("ts2", _node("ts2"), **modern)
    yield Server("ts2-legacy", _node("ts2"), **stateless, **legacy)
    yield Server("ts2-sessions", _node("ts2"), ("--sessions",), sessions=True)
    yield Server("py1", py1, sessions=True)
    yield Server("py1-stateless", py1, mode["stateless"], **stateless)
    yield Server("py1-json", py1, mode["json"], **stateless)
    yield Server("py1-sse", py1, mode["sse"], "/sse", sessions=True)
    yield Server("py2", py2, **modern)
    yield Server("py2-legacy", py2, sessions=True, **legacy)
    yield Server("py2-stateless", py2, mode["stateless"], **modern)
    yield Server("py2-json", py2, mode["json"], **modern)
    yield Server("py2-sse", py2, mode["sse"], "/sse", sessions=True)
    yield Server("fastmcp", fast, **modern)
    yield Server("fastmcp-legacy", fast, sessions=True, **legacy)
    yield Server("fastmcp-sse", fast, mode["sse"], "/sse", sessions=True)
    yield Server("rmcp", _rmcp(), **modern)
    yield Server("rmcp-legacy", _rmcp(), sessions=True, resumes=True, retry=3, **legacy)
    yield Server("rmcp-brief", _rmcp(), mode["brief"], sessions=True, resumes=True, retry=3, patience=3, **legacy)
    yield Server("rmcp-stateless", _rmcp(), mode["stateless"], **stateless, **legacy)
    yield Server("rmcp-json", _rmcp(), mode["json"], **modern)


SERVERS = {server.name: server for server in _servers()}


def require_installed(servers):
    """What these need must be there; Broken says how it gets there."""
    needed = {HERE / "node_modules" if s.command[0] == "node" else Path(s.command[0]) for s in servers}
    if missing := [str(path) for path in needed if not path.exists()]:
        raise Broken(f"{', '.join(missing)} is missing: run tests/remotes/install.sh")


class Running:
    """A server's process on a port of its own, for the time of a `with`; killed and started anew in between."""

    def __init__(self, server, folder):
        self.server = server
        self.port = free_port()
        self.journal = Journal(folder / "journal")
        self._log = folder / "server.log"
        self._folder = folder
        self._process = None
        # One that runs still, where the server has moved.
        self._left = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}{self.server.path}"

    @property
    def pid(self):
        return self._process.pid

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in (self._left, self._process):
            if process is not None and process.poll() is None:
                _end(process)

    def start(self):
        """Starts it on the port that it has, and waits until it takes connections."""
        command = [*self.server.command, str(self.port), str(self.journal.file), *self.server.arguments]
        # Nothing of whoever runs this: some look for settings at home, and some for proxies.
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=kept | {"HOME": str(self._folder)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self._process.poll() is not None:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])
                raise Broken(f"{self.server.name} ended with {self._process.returncode}; it said:\n{tail}")
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.02)
        raise Broken(f"{self.server.name} takes no connections after {START_S} s: {self._log}")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def restart(self):
        self.kill()
        self.start()

    def end(self):
        """Asks it to end, and makes it where it waits for others to leave first."""
        _end(self._process)

    def move(self):
        """Starts it anew on another port. What ran before goes on until `leave`."""
        self._left, self.port = self._process, free_port()
        self.start()

    def leave(self):
        """Ends what runs still at the port before."""
        _end(self._left)

    @contextlib.contextmanager
    def stopped(self):
        """Stops it as a machine does that swaps: it is there, takes connections, and says nothing."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


class Journal:
    """What the server wrote down, over all its lives; servers/journal.mjs has the lines."""

    def __init__(self, file):
        self.file = file
        file.touch()

    def lines(self, what=None, pid=None):
        found = (json.loads(line) for line in self.file.read_text().splitlines())
        return [one for one in found if what in (None, one["what"]) and pid in (None, one["pid"])]

    def requests(self, pid=None):
        """Each request of HTTP with all that is known of it, in the order in which they began."""
        by_number = {}
        for line in self.lines(pid=pid):
            if "n" in line:
                request = by_number.setdefault((line["pid"], line["n"]), {"method": None, "status": None})
                # Both have a session: the one that was sent, and the one that came back.
                named = {"given": line["session"]} if line["what"] == "answered" else {}
                request.update({k: v for k, v in line.items() if k != "session" or not named} | named)
        return list(by_number.values())

    def accepted(self, method, pid=None):
        """How many requests with this method were not refused."""
        return sum(r["method"] == method and (r["status"] or 500) < 300 for r in self.requests(pid))

    def ran(self, tool, arguments=None, pid=None):
        """The times at which a tool was run."""
        lines = [line for line in self.lines("ran", pid) if line["tool"] == tool]
        return [line["at"] for line in lines if arguments is None or json.loads(line["arguments"]) == arguments]

    def wait_for(self, holds, seconds):
        """Whether the condition holds within so many seconds."""
        end = time.monotonic() + seconds
        while not (held := holds()) and time.monotonic() < end:
            time.sleep(0.02)
        return held


def _end(process):
    # One that was stopped hears nothing else.
    process.send_signal(signal.SIGCONT)
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port():
    for port in random.sample(PORTS, 50):
        with contextlib.suppress(OSError), socket.socket() as trial:
            trial.bind(("127.0.0.1", port))
            return port
    raise Broken("no port is free")
