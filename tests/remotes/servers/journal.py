"""What a server was asked and what it did, a line of JSON each, for run.py to count: the lines of journal.mjs, which
says what they mean. Each is written at once, because the process is killed in the middle of things."""

import json
import os
import time

MAX_KEPT = 256 * 1024


class Journal:
    def __init__(self, file):
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if file else None
        self._requests = 0

    def write(self, what, **told):
        if self._file is not None:
            line = {"what": what, "pid": os.getpid(), "at": time.time(), **told}
            os.write(self._file, (json.dumps(line) + "\n").encode())

    def ran(self, tool, arguments):
        self.write("ran", tool=tool, arguments=json.dumps(arguments)[:200])

    def stopped(self, tool):
        self.write("stopped", tool=tool)

    def watching(self, app):
        """The ASGI application, with what it is asked written down."""

        async def watched(scope, receive, send):
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            self._requests += 1
            await _Request(self, self._requests, scope).run(app, receive, send)

        return watched


class _Request:
    def __init__(self, journal, number, scope):
        self._journal, self._number, self._scope = journal, number, scope
        self._body = b""
        self._whole = False

    async def run(self, app, receive, send):
        scope = self._scope
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        self._write(
            "asked", verb=scope["method"], path=scope["path"] + (query and f"?{query}"),
            session=headers.get("mcp-session-id"), version=headers.get("mcp-protocol-version"),
        )  # fmt: skip

        async def received():
            message = await receive()
            if message["type"] == "http.request":
                self._read(message)
            return message

        async def sent(message):
            await send(message)
            self._sent(message)

        try:
            await app(scope, received, sent)
        finally:
            self._write("ended", whole=self._whole)

    def _read(self, message):
        if len(self._body) < MAX_KEPT:
            self._body += message.get("body", b"")
        if not message.get("more_body") and self._scope["method"] == "POST":
            self._write("message", **_described(self._body))

    def _sent(self, message):
        if message["type"] == "http.response.start":
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in message["headers"]}
            names = {"session": "mcp-session-id", "type": "content-type", "length": "content-length"}
            self._write("answered", status=message["status"], **{key: headers.get(name) for key, name in names.items()})
        elif message["type"] == "http.response.body":
            self._whole = not message.get("more_body")

    def _write(self, what, **told):
        self._journal.write(what, n=self._number, **told)


def _described(body):
    try:
        message = json.loads(body)
        return {"method": message.get("method"), "id": message.get("id")}
    except (ValueError, AttributeError):
        return {"method": None, "id": None}
