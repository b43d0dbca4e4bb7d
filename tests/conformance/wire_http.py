"""HTTP/1.1 for servers in tests, by asyncio alone: bodies with a length, whole answers, streams of events.

A client that leaves is noticed at once, because its connection is read while its request is at work: the work
is cancelled then, and what it does about that is its own affair.
"""

import asyncio
import http.client
import io
import json
import sys
import traceback
from dataclasses import dataclass

JSON, EVENTS = "application/json", "text/event-stream"
# As much as servers of the SDKs take.
LARGEST_BODY = 4 * 1024 * 1024
# So often a quiet stream shows that it is alive.
COMMENT_S = 15


class Refused(Exception):
    """The end of a request with a status and an error of JSON-RPC. Its id is null unless it is given: many
    servers refuse what is wrong with the transport before they look at the message."""

    def __init__(self, status, code, text, identity=None, data=None, headers=None):
        super().__init__(text)
        error = {"code": code, "message": text} | ({} if data is None else {"data": data})
        self.status = status
        self.content = {"jsonrpc": "2.0", "id": identity, "error": error}
        self.headers = headers or {}


@dataclass
class Request:
    verb: str
    path: str
    headers: http.client.HTTPMessage
    body: bytes = b""

    def accepts(self, kind):
        named = (part.partition(";")[0].strip().lower() for part in self.headers.get("accept", "").split(","))
        return kind in named


class Reply:
    """What one request is answered with: a whole, or a stream."""

    def __init__(self, writer):
        self._writer = writer

    async def whole(self, status, content=None, headers=None):
        """An answer with a value as JSON, or without a body."""
        body = b"" if content is None else json.dumps(content).encode()
        kind = {} if content is None else {"Content-Type": JSON}
        self._head(status, {**kind, "Content-Length": len(body), **(headers or {})})
        self._writer.write(body)
        await self._writer.drain()

    async def open(self, headers=None):
        self._head(200, {"Content-Type": EVENTS, "Transfer-Encoding": "chunked", **(headers or {})})
        # A proxy, and a client that waits for a sign of life, has something at once.
        await self._chunk(b": open\n\n")

    async def event(self, message):
        await self._chunk(f"event: message\ndata: {json.dumps(message)}\n\n".encode())

    async def end(self):
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def next_of(self, messages):
        """The next message of a queue; meanwhile the stream shows that it is alive."""
        while True:
            try:
                return await asyncio.wait_for(messages.get(), COMMENT_S)
            except asyncio.TimeoutError:
                await self._chunk(b": still here\n\n")

    def _head(self, status, headers):
        fields = [f"{name}: {value}" for name, value in headers.items()]
        lines = [f"HTTP/1.1 {status} {http.client.responses[status]}", *fields]
        self._writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def _chunk(self, data):
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()


async def serve_connection(reader, writer, handle):
    """Serves the requests of one connection, one after the other, each by `handle(request, reply)`."""
    reading = asyncio.ensure_future(_read_head(reader))
    try:
        while (request := await reading) is not None:
            request.body = await _read_body(reader, request.headers)
            reading = asyncio.ensure_future(_read_head(reader))
            work = asyncio.ensure_future(_answer(handle, request, Reply(writer)))
            await asyncio.wait({work, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and reading.result() is None:
                work.cancel()
            await work
    except Refused as refused:
        await Reply(writer).whole(refused.status, refused.content, {"Connection": "close"})
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
        pass  # the client has left; whatever was at work knows
    finally:
        reading.cancel()
        writer.close()


async def _answer(handle, request, reply):
    try:
        await handle(request, reply)
    except Refused as refused:
        await reply.whole(refused.status, refused.content, refused.headers)
    except ConnectionError:
        raise
    except Exception:
        # A defect of the server itself: whoever waits must not wait for ever, and somebody must hear of it.
        traceback.print_exc(file=sys.stderr)
        raise ConnectionResetError("the handler has a defect") from None


async def _read_head(reader):
    """The next request without its body; `None` at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
        return None
    first, _, rest = head.partition(b"\r\n")
    verb, path, _version = (first.decode("latin-1") + "  ").split(" ", 2)
    return Request(verb, path.partition("?")[0], http.client.parse_headers(io.BytesIO(rest)))


async def _read_body(reader, headers):
    if "transfer-encoding" in headers:
        raise Refused(411, -32600, "a body needs its length")
    length = int(headers.get("content-length", 0))
    if length > LARGEST_BODY:
        raise Refused(413, -32600, f"a body has at most {LARGEST_BODY} bytes")
    return await reader.readexactly(length)
