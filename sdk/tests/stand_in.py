"""A scripted HTTP server on a raw socket, which can do what a well-kept server never does.

It plays two parts: the faults that lie between a client and its server (a proxy's HTML, an answer that is
cut, a connection that is closed in silence), and the service of another vendor, which answers with the
members that its own documents name and no others. What it received is kept, so that a case can count.
"""

from __future__ import annotations

import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote, urlsplit

Own = TypeVar("Own", bound="StandIn")

REASONS = {200: "OK", 201: "Created", 204: "No Content", 307: "Temporary Redirect"}


@dataclass
class Received:
    """One request, as it came."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def path(self) -> str:
        """The path with its escapes taken back."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The last value of each parameter."""
        return {name: values[-1] for name, values in parse_qs(urlsplit(self.target).query).items()}

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Link:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        """Ends the connection as a server does that has nothing more to say."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # The client has left first.
        self.sock.close()

    def reset(self) -> None:
        """Ends the connection as a server does that has died."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_until_left(self, within: float) -> bool:
        """Whether the client closes its end in time; what it says meanwhile is passed over."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            self.sock.settimeout(left)
            try:
                if not self.sock.recv(65536):
                    return True
            except TimeoutError:
                return False
            except OSError:
                return True
        return False

    def read_request(self, number: int) -> Received | None:
        """The next request, or nothing when the client has left."""
        head = self._read_until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if "100-continue" in headers.get("expect", ""):
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self._read_body(headers)
        return None if body is None else Received(number, method, target, headers, body)

    def _read_body(self, headers: dict[str, str]) -> bytes | None:
        if "chunked" not in headers.get("transfer-encoding", ""):
            return self._read_exactly(int(headers.get("content-length", "0")))
        body = b""
        while (line := self._read_until(b"\r\n")) is not None:
            size = int(line.split(b";")[0], 16)
            chunk = self._read_exactly(size + 2)
            if chunk is None:
                return None
            if size == 0:
                return body
            body += chunk[:-2]
        return None

    def _read_until(self, mark: bytes) -> bytes | None:
        while mark not in self._buffer:
            if not self._fill():
                return None
        found, _, self._buffer = self._buffer.partition(mark)
        return found

    def _read_exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._fill():
                return None
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _fill(self) -> bool:
        self.sock.settimeout(None)
        try:
            data = self.sock.recv(65536)
        except OSError:
            return False
        self._buffer += data
        return bool(data)


# A step answers one request, and says whether the connection is kept.
Step = Callable[[Link, Received, "StandIn"], bool]


def answer(status: int, body: Any, headers: dict[str, str] | None = None, keep: bool = True) -> Step:
    """Answers with JSON, or with a text as it is."""
    text = body if isinstance(body, (str, bytes)) else json.dumps(body)
    data = text if isinstance(text, bytes) else text.encode()
    named = {"content-type": "application/json", "content-length": str(len(data)), **(headers or {})}
    head = f"HTTP/1.1 {status} {REASONS.get(status, 'Told So')}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in named.items())
    head += "\r\n" if keep else "connection: close\r\n\r\n"

    def step(link: Link, _request: Received, _stand_in: StandIn) -> bool:
        link.send(head.encode("latin-1") + data)
        return keep

    return step


def data(value: Any, **beside: Any) -> Step:
    """A success in the envelope of `/v1`."""
    return answer(200, {"success": True, "data": value, **beside})


def failure(
    status: int, code: str, message: str = "told so", headers: dict[str, str] | None = None, **details: Any
) -> Step:
    """An error in the envelope of `/v1`."""
    error: dict[str, Any] = {"code": code, "message": message}
    if details:
        error["details"] = details
    return answer(status, {"success": False, "error": error}, headers)


def page_of_proxy(status: int) -> Step:
    """The HTML of a reverse proxy that has no better answer."""
    text = f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status} Told So</h1></center></body>\r\n</html>\r\n"
    return answer(status, text, {"content-type": "text/html"}, keep=False)


def lost_on_the_way(url: str, while_it_runs: Callable[[], object] | None = None) -> Step:
    """Passes the request on to a daemon and cuts both connections: when that has answered, or while the call runs."""

    def step(link: Link, request: Received, _stand_in: StandIn) -> bool:
        upstream = _passed_on(url, request)
        try:
            upstream.getresponse().read() if while_it_runs is None else while_it_runs()
        finally:
            upstream.close()
            link.close()
        return False

    return step


def passed(url: str) -> Step:
    """Passes the request on to a daemon, and its answer back."""

    def step(link: Link, request: Received, stand_in: StandIn) -> bool:
        upstream = _passed_on(url, request)
        try:
            response = upstream.getresponse()
            headers = {name: value for name, value in response.getheaders() if name.lower() not in _OF_A_CONNECTION}
            return answer(response.status, response.read(), headers)(link, request, stand_in)
        finally:
            upstream.close()

    return step


_OF_A_CONNECTION = ("connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding")


def _passed_on(url: str, request: Received) -> http.client.HTTPConnection:
    upstream = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    headers = {name: value for name, value in request.headers.items() if name not in _OF_A_CONNECTION}
    upstream.request(request.method, request.target, request.body, headers)
    return upstream


def hang_up(link: Link, _request: Received, _stand_in: StandIn) -> bool:
    """Closes in silence, as some proxies do on a connection that was used before."""
    link.close()
    return False


def reset(link: Link, _request: Received, _stand_in: StandIn) -> bool:
    """Ends the connection by a reset."""
    link.reset()
    return False


def silence(link: Link, _request: Received, stand_in: StandIn) -> bool:
    """Says nothing until the client leaves, which is noted."""
    if link.wait_until_left(30):
        stand_in.left.set()
    link.close()
    return False


def raw(*pieces: bytes, pause: float = 0.0, then: str = "close") -> Step:
    """Sends bytes as they are, a pause before each but the first; then closes, resets or waits."""

    def step(link: Link, request: Received, stand_in: StandIn) -> bool:
        for number, piece in enumerate(pieces):
            if number and pause and link.wait_until_left(pause):
                stand_in.left.set()
                break
            link.send(piece)
        if then == "wait":
            return silence(link, request, stand_in)
        link.reset() if then == "reset" else link.close()
        return False

    return step


def cut(status: int = 200) -> Step:
    """Announces a long answer and ends the connection in the middle of it."""
    return raw(
        f"HTTP/1.1 {status} Told So\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n".encode()
        + b'{"success":true,"data":{"result":"this never en'
    )


def trickle() -> Step:
    """Sends a byte of the body each 100 ms, for a minute: each comes in time, the whole never does."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 600\r\n\r\n"
    return raw(head, *[b" "] * 600, pause=0.1)


def events(*frames: tuple[str, Any], ids: bool = False, ending: str = "whole") -> Step:
    """A stream of events, each a name and its data. `ending`: whole, cut (no last chunk), or wait."""
    pieces = [
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store, no-transform\r\ntransfer-encoding: chunked\r\n\r\n",
        _chunk(b": hello\n\n"),
    ]
    for number, (name, value) in enumerate(frames, 1):
        text = f"event: {name}\n" + (f"id: {number}\n" if ids else "") + f"data: {json.dumps(value)}\n\n"
        pieces.append(_chunk(text.encode()))
    if ending == "whole":
        pieces.append(b"0\r\n\r\n")
    return raw(*pieces, then="wait" if ending == "wait" else "close")


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


class StandIn:
    """Listens on a free port of loopback until it is closed, and carries its script out.

    The steps of `script` answer one request each, in the order in which requests come. When they are
    used up, `rest` answers all further ones; without it they get 500 `internal_error`, which no client may
    ask again, and `surplus` counts them.
    """

    def __init__(self, *script: Step, rest: Step | None = None) -> None:
        self.received: list[Received] = []
        self.left = threading.Event()
        self.surplus = 0
        self._script = list(script)
        self._rest = rest
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening and ends all connections."""
        self._closed = True
        try:
            # Closing alone would leave the thread that accepts, and with it the port, until a next connection.
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()
        with self._lock:
            links, self._links = self._links, []
        for link in links:
            link.close()

    def count(self, method: str | None = None, path: str | None = None) -> int:
        """How many requests have come, all or only these."""
        with self._lock:
            return sum(1 for one in self.received if method in (None, one.method) and path in (None, one.path))

    def fail(
        self,
        link: Link,
        request: Received,
        status: int,
        code: str,
        message: str = "told so",
        details: dict[str, Any] | None = None,
    ) -> bool:
        """Answers with an error, as a step does."""
        return failure(status, code, message, **(details or {}))(link, request, self)

    def adopt(self, sock: socket.socket) -> None:
        """Serves a connection that somebody else has accepted."""
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = Link(sock)
        with self._lock:
            self._links.append(link)
            number = len(self._links)
        threading.Thread(target=self._serve, args=(link, number), daemon=True).start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.adopt(sock)

    def _serve(self, link: Link, number: int) -> None:
        try:
            while (request := link.read_request(number)) is not None:
                if not self._next(request)(link, request, self):
                    return
        except OSError:
            pass  # The client has left, which is for the case to notice.
        finally:
            link.close()

    def _next(self, request: Received) -> Step:
        with self._lock:
            self.received.append(request)
            if self._script:
                return self._script.pop(0)
            if self._rest is None:
                self.surplus += 1
        return self._rest or failure(500, "internal_error", "the script of the stand-in is over")
