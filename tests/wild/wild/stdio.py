"""A plain client of one MCP server on stdin and stdout, in either era. It repairs nothing."""

import json
import queue
import subprocess
import threading
import time
from dataclasses import dataclass, field

from . import processes, rawjson

LEGACY, MODERN = "2025-11-25", "2026-07-28"
CLIENT = {"name": "mcpvisor-wild", "version": "1"}
MOST_LINES = 5_000
MOST_BYTES_OF_LINE = 64 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """What a request was answered: the text of `result`, or of `error`."""

    result: str = None
    error: str = None

    @property
    def said(self):
        """The message of an error."""
        return None if self.error is None else rawjson.value(self.error).get("message")


class Silent(Exception):
    """The server gave no answer: it ended, closed its output, or took too long. The text says which."""


@dataclass
class Heard:
    """What a server wrote beside answers."""

    noise: list = field(default_factory=list)
    stderr: list = field(default_factory=list)
    logs: list = field(default_factory=list)

    def copy(self):
        """The same as it is now."""
        return Heard(list(self.noise), list(self.stderr), list(self.logs))


class Client:
    """A running server. Whoever makes one has to call `stop`."""

    def __init__(self, command, cwd, environment, deadline):
        self.heard = Heard()
        self._deadline = deadline
        self._meta = None
        self._ids = 0
        self._lines = queue.Queue(maxsize=MOST_LINES)
        self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._threads = [
            threading.Thread(target=self._read_stdout, daemon=True),
            threading.Thread(target=self._read_stderr, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def initialize(self):
        """Opens in the older era; the text of the result."""
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": CLIENT}
        answer = self.ask("initialize", params)
        if answer.error is not None:
            raise Silent(f"initialize was refused: {answer.error}")
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer.result

    def discover(self):
        """Opens in the modern era; the text of the result, or `None` where the server is of the older era only."""
        name = "io.modelcontextprotocol/"
        self._meta = {f"{name}protocolVersion": MODERN, f"{name}clientInfo": CLIENT, f"{name}clientCapabilities": {}}
        answer = self.ask("server/discover", {})
        if answer.result is None or MODERN not in rawjson.value(answer.result).get("supportedVersions", ()):
            return None
        return answer.result

    def ask(self, method, params):
        """Sends a request and waits for its answer."""
        self._ids += 1
        if self._meta is not None:
            params = {**params, "_meta": self._meta}
        self._write({"jsonrpc": "2.0", "id": self._ids, "method": method, "params": params})
        while True:
            answer = self._take(self._line(method))
            if answer is not None:
                return answer

    def stop(self):
        """Ends the server, and says what that took (`stdin`, `SIGTERM`, `SIGKILL`) and the exit code."""
        ended = processes.stop(self._process, patience=5.0)
        end = time.monotonic() + 5.0
        while self._threads[0].is_alive() and time.monotonic() < end:
            self._drain(0.05)
        self._threads[1].join(timeout=5.0)
        return ended

    def _drain(self, seconds):
        """Makes room for what a server still writes while it ends; nobody asks what it is."""
        try:
            self._lines.get(timeout=seconds)
        except queue.Empty:
            pass

    def listen(self, seconds):
        """Hears for so long what the server says unasked."""
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=rest)
            except queue.Empty:
                return
            if line is None:
                return
            self._take(line)

    def _line(self, method):
        rest = self._deadline - time.monotonic()
        try:
            line = self._lines.get(timeout=max(rest, 0.001))
        except queue.Empty:
            raise Silent(f"{method} was not answered in time{self._last_words()}") from None
        if line is None:
            code = self._process.poll()
            raise Silent(f"it closed its output before it answered {method} (exit code {code}){self._last_words()}")
        return line

    def _last_words(self):
        return f"; last on stderr: {self.heard.stderr[-1]}" if self.heard.stderr else ""

    def _take(self, line):
        """The answer to the last request, if this line is it. Anything else is kept, answered or dropped."""
        message = _message(line)
        if message is None:
            _keep(self.heard.noise, line)
        elif "method" in message and "id" in message:
            self._refuse(message)
        elif message.get("method") == "notifications/message":
            _keep(self.heard.logs, message.get("params") or {})
        elif "method" not in message and message.get("id") == self._ids:
            raw = rawjson.members(line)
            return Answer(raw.get("result"), raw.get("error"))
        return None

    def _refuse(self, message):
        """We declare no capability, so only a ping may be asked of us."""
        reply = {"result": {}} if message["method"] == "ping" else {"error": {"code": -32601, "message": "not known"}}
        self._write({"jsonrpc": "2.0", "id": message["id"], **reply})

    def _write(self, message):
        try:
            self._process.stdin.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has closed its input; the answer that does not come says so

    def _read_stdout(self):
        for line in iter(lambda: self._process.stdout.readline(MOST_BYTES_OF_LINE), b""):
            self._lines.put(line.decode("utf-8", errors="replace").rstrip("\r\n"))
        self._lines.put(None)

    def _read_stderr(self):
        for line in iter(lambda: self._process.stderr.readline(MOST_BYTES_OF_LINE), b""):
            _keep(self.heard.stderr, line.decode("utf-8", errors="replace").rstrip("\r\n"))


def _message(line):
    """A line as a JSON-RPC message, `None` for anything else."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and message.get("jsonrpc") == "2.0" else None


def _keep(lines, line):
    if len(lines) < MOST_LINES:
        lines.append(line)
