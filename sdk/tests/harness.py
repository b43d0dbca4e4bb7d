"""What a case works with: a daemon, a driver of one language, and plain HTTP to look behind the client."""

from __future__ import annotations

import http.client
import json
import os
import queue
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class Broken(Exception):
    """A promise that was not kept."""


def check(holds: object, what: str) -> None:
    """Fails the case unless it holds."""
    if not holds:
        raise Broken(what)


def equal(seen: object, wanted: object, what: str) -> None:
    """Fails the case unless both are equal and, as numbers, of one type."""
    if seen != wanted or type(seen) is not type(wanted):
        raise Broken(f"{what}: wanted {shortened(wanted)}, saw {shortened(seen)}")


def one_of(seen: object, wanted: tuple[object, ...], what: str) -> None:
    """Fails the case unless the value is one of these."""
    if seen not in wanted:
        raise Broken(f"{what}: wanted one of {wanted}, saw {shortened(seen)}")


def shortened(value: object, most: int = 300) -> str:
    """A value for people."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}… ({len(text)} characters)"


def eventually(look: Callable[[], T | None], what: str, within: float = 20.0) -> T:
    """What the look finds, once it finds something; fails the case when it does not in time."""
    deadline = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Broken(f"not within {within:g} s: {what}")
        time.sleep(0.05)


class Answer:
    """A line of the driver: a value or an error, and how long it took."""

    def __init__(self, line: dict[str, Any]) -> None:
        self.error: dict[str, Any] | None = line.get("error")
        self.took = line.get("took_ms", 0) / 1000
        self._line = line

    @property
    def value(self) -> Any:
        """What was answered; an error fails the case."""
        if "ok" not in self._line:
            raise Broken(f"wanted an answer, saw {shortened(self._line)}")
        return self._line["ok"]

    def succeeds(self) -> None:
        """Fails the case unless there was an answer."""
        check("ok" in self._line, f"wanted an answer, saw {shortened(self._line)}")

    def fails_as(self, kind: str | tuple[str, ...], **fields: Any) -> dict[str, Any]:
        """The error, which is of this class (or one of these) and has these fields."""
        if self.error is None:
            raise Broken(f"wanted {kind}, saw {shortened(self._line)}")
        kinds = (kind,) if isinstance(kind, str) else kind
        one_of(self.error.get("class"), kinds, f"class of {shortened(self.error)}")
        for name, wanted in fields.items():
            equal(self.error.get(name), wanted, f"{name} of {shortened(self.error)}")
        check(isinstance(self.error.get("message"), str) and self.error["message"], "an error has a message")
        return self.error


class Driver:
    """The program of a language that carries operations out, one a line."""

    def __init__(self, command: str, base_url: str, api_key: str, directory: Path) -> None:
        self._command = command
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "MCPVISOR_BASE_URL": base_url,
            "MCPVISOR_API_KEY": api_key,
        }
        self._stderr = (directory / "driver.stderr").open("ab")
        self.stderr_path = directory / "driver.stderr"
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.Queue[bytes] = queue.Queue()

    def ask(self, message: dict[str, Any], within: float) -> Answer:
        """Sends a line and waits for its answer. A driver that does not answer is ended, and fails the case."""
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
            line = self._lines.get(timeout=within)
        except (queue.Empty, OSError) as problem:
            self.end()
            raise Broken(f"the driver did not answer within {within:g} s: {shortened(message)}") from problem
        if not line:
            self.end()
            raise Broken(f"the driver ended at {shortened(message)}; its stderr: {self.last_words()}")
        try:
            return Answer(json.loads(line))
        except ValueError as problem:
            self.end()
            raise Broken(f"the driver wrote no JSON: {shortened(line)}") from problem

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        return self.stderr_path.read_text(errors="replace")[-600:].strip()

    def end(self) -> None:
        """Ends the program and all that it started."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin:
            try:
                process.stdin.close()
            except OSError:
                pass
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._lines = queue.Queue()
        process = subprocess.Popen(
            shlex.split(self._command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=self._environment,
            start_new_session=True,
        )
        threading.Thread(target=self._read, args=(process, self._lines), daemon=True).start()
        self._process = process
        return process

    @staticmethod
    def _read(process: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(b"")


class Daemon:
    """A daemon of its own on a free port, with an empty store."""

    def __init__(self, program: str, directory: Path, servers: dict[str, Any], settings: str) -> None:
        self.directory = directory
        (directory / "servers.json").write_text(json.dumps({"mcpServers": servers}))
        (directory / "mcpvisor.toml").write_text(settings)
        self._log = (directory / "daemon.log").open("ab")
        arguments = ["--port", "0", "--data-dir", str(directory / "data"), "--servers", str(directory / "servers.json")]
        self._process = subprocess.Popen(
            [program, "serve", "--config", str(directory / "mcpvisor.toml"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
        )
        try:
            self.url = eventually(self._address, "the daemon tells its address", 60)
            self.key = eventually(self._owner_key, "the daemon makes the owner's key", 30)
            eventually(lambda: self.plain("GET", "/readyz")[0] == 200, "the daemon is ready", 60)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Stops it, in order if it does so in time."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        self._log.close()

    def plain(
        self, method: str, path: str, body: Any = None, key: str | None = None, idempotency_key: str | None = None
    ) -> tuple[int, Any]:
        """A request without any client library: the status, and the body as JSON."""
        address = urlsplit(self.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        # Without blanks, as the clients write it: what makes a call the same one is its text.
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        try:
            connection.request(method, path, text, headers)
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def v1(self, method: str, path: str, body: Any = None) -> Any:
        """`data` of an answer to the owner; anything but a success fails the case."""
        status, answer = self.plain(method, f"/v1{path}", body, self.key)
        check(status in (200, 201), f"{method} {path} of the suite's own failed: {status} {shortened(answer)}")
        return answer["data"]

    def invoke(self, mcp: str, tool: str, **arguments: Any) -> Any:
        """The result of a tool, called by the owner."""
        return self.v1("POST", "/mcp/invoke", {"mcp_id": mcp, "tool": tool, "arguments": arguments})["result"]

    def new_key(self, **fields: Any) -> dict[str, Any]:
        """A key with its text, made by the owner."""
        made: dict[str, Any] = self.v1("POST", "/api-keys", {"name": "of a case", **fields})
        return made

    def calls(self, **filters: str) -> list[dict[str, Any]]:
        """What the activity has of these calls."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        found: list[dict[str, Any]] = self.v1("GET", f"/activity?limit=1000&{query}")["calls"]
        return found

    def _address(self) -> str | None:
        for word in self._told().split():
            if word.startswith("http://127.0.0.1:") and word.endswith("/v1"):
                return word.removesuffix("/v1")
        return None

    def _owner_key(self) -> str | None:
        path = self.directory / "data" / "owner.key"
        return path.read_text().strip() if path.exists() else None

    def _told(self) -> str:
        if self._process.poll() is not None:
            raise Broken(f"the daemon ended with {self._process.returncode}: {self._log_text()[-1500:]}")
        return self._log_text()

    def _log_text(self) -> str:
        return (self.directory / "daemon.log").read_text(errors="replace")


class Case:
    """What one case has: the daemon, the driver with a new client, and a directory of its own."""

    def __init__(self, daemon: Daemon, driver: Driver, fake: str) -> None:
        self.daemon = daemon
        self.fake = fake
        self._driver = driver
        self.directory = Path(tempfile.mkdtemp(dir=daemon.directory))
        self.client()

    def client(
        self, base_url: str | None = None, api_key: str | None = None, timeout: float = 20, max_retries: int = 0
    ) -> None:
        """Makes a new client: of the daemon and its owner unless told otherwise, and without retries."""
        options = {
            "base_url": base_url or self.daemon.url,
            "api_key": api_key or self.daemon.key,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        check(self._driver.ask({"new": options}, 30).value is True, "the driver makes a new client")

    def new(self, **options: Any) -> Answer:
        """Makes a new client with just these options."""
        return self._driver.ask({"new": options}, 30)

    def op(
        self, operation: str, /, *, cancel_after_ms: int | None = None, within: float = 60, **arguments: Any
    ) -> Answer:
        """Has the driver carry an operation out."""
        message: dict[str, Any] = {"op": operation, "args": arguments}
        if cancel_after_ms is not None:
            message["cancel_after_ms"] = cancel_after_ms
        return self._driver.ask(message, within)

    def invoke(self, mcp: str, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> Answer:
        """Has the driver call a tool."""
        return self.op("invoke", mcp=mcp, tool=tool, arguments=arguments or {}, **options)


class Held:
    """A call of the suite's own that is under way until it is let go."""

    def __init__(self, case: Case, mcp: str, key: str | None = None, idempotency_key: str | None = None) -> None:
        self._file = case.directory / f"release-{time.monotonic_ns()}"
        self.arguments = {"file": str(self._file)}
        self.answer: tuple[int, Any] | None = None
        body = {"mcp_id": mcp, "tool": "wait_for", "arguments": self.arguments, "timeout": 60000}

        def call() -> None:
            self.answer = case.daemon.plain("POST", "/v1/mcp/invoke", body, key or case.daemon.key, idempotency_key)

        self._thread = threading.Thread(target=call, daemon=True)
        self._thread.start()

    def let_go(self) -> None:
        """Has the call answered, without waiting for that."""
        self._file.touch()

    def __enter__(self) -> Held:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go()
        self._thread.join(30)
