"""A small HTTP server that answers every call with the same bytes, for the benches of `overhead.sh`.

    python3 constant.py

It writes its address, and ends with its input. A POST below `/small/` has the daemon's answer to a sum, one below
`/large/` the same around a text of 64 KiB. GET `/seen` has the head and the body of the last POST, so that a bench can show
that the client's requests and the bare ones are the same.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def _answer(body: bytes) -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-ratelimit-limit: 1000\r\nx-ratelimit-remaining: 999\r\n"
        "x-ratelimit-reset: 1796094274\r\nx-request-id: req_fd2aa067_00000000001\r\n"
        f"content-length: {len(body)}\r\ndate: Tue, 01 Dec 2026 03:04:33 GMT\r\n\r\n"
    )
    return head.encode() + body


def _of_tool(result: object, text: str) -> bytes:
    data = {
        "result": result,
        "metadata": {
            "mcp_id": "mcp_01a22f8f9da976c9839e725a9d004a43",
            "tool": "add",
            "latency_ms": 1,
            "timestamp": "2026-12-01T03:04:33Z",
        },
        "content": [{"type": "text", "text": text}],
        "is_error": False,
    }
    return _answer(json.dumps({"success": True, "data": data}, separators=(",", ":")).encode())


# Half of it as the result, half as the text of the block.
LINES = "The quick brown fox jumps over the lazy dog.\n" * 728
ANSWERS = {
    b"/small/": _of_tool({"sum": 42}, '{"sum":42}'),
    b"/large/": _of_tool({"sum": 42, "lines": LINES}, LINES),
}


class Connection(asyncio.Protocol):
    """One connection, which is kept."""

    seen = (b"", b"")

    def __init__(self) -> None:
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes the connection."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers each request that is whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[: end + 2]
            length = LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        assert self._transport is not None
        if head.startswith(b"POST "):
            Connection.seen = (head, body)
            self._transport.write(ANSWERS[head[5:12]])
        else:
            last = {"head": Connection.seen[0].decode("latin-1"), "body": Connection.seen[1].decode()}
            self._transport.write(_answer(json.dumps(last).encode()))


async def main() -> None:
    """Listens until the input ends."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
