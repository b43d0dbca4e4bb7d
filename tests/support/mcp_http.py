"""MCP over Streamable HTTP by the standard library alone, for tests that look at the wire: what is sent is what the
caller says, and what comes is kept as text, so that no SDK stands between them.

A client here repairs nothing. It declares no capability unless it is told to, so no server may ask it for anything.
"""

import base64
import http.client
import json
import queue
import socket
import threading
from urllib.parse import urlsplit

MODERN, LEGACY = "2026-07-28", "2025-11-25"
NAMESPACE = "io.modelcontextprotocol/"
JSON, EVENTS = "application/json", "text/event-stream"
# By method: the parameter that a modern client repeats in a header.
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Unanswered(Exception):
    """There was no answer, or none that a client can use; the text says what came instead."""


class Endpoint:
    """An address of MCP, and what is sent to it with every request. Each request has a connection of its own."""

    def __init__(self, url, headers=None, patience=60.0):
        self._parts = urlsplit(url)
        self._headers = headers or {}
        self._patience = patience

    def send(self, verb, body=None, headers=None):
        """The reply, as soon as its head is there. Raises Unanswered."""
        connection = http.client.HTTPConnection(self._parts.hostname, self._parts.port, timeout=self._patience)
        try:
            connection.connect()
            # Kept from here on: the library forgets the socket of an answer that ends with its connection.
            open_socket = connection.sock
            connection.request(verb, self._parts.path, body=body, headers={**self._headers, **(headers or {})})
            return Reply(connection, open_socket, connection.getresponse())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unanswered(f"{verb} {self._parts.path}: {error!r}") from error

    def post(self, message, headers):
        """Sends one message."""
        fixed = {"Content-Type": JSON, "Accept": f"{JSON}, {EVENTS}"}
        return self.send("POST", json.dumps(message).encode(), {**fixed, **headers})


class Reply:
    """One answer of HTTP, whose messages are read as they come. Whoever has it closes it."""

    def __init__(self, connection, open_socket, answer):
        self._connection, self._socket, self._answer = connection, open_socket, answer
        self.status = answer.status
        self.headers = answer.headers
        self.media_type = answer.headers.get_content_type() if "content-type" in answer.headers else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Leaves, as a client does that waits no more. What another thread reads of it ends with that."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side was first
        self._answer.close()
        self._connection.close()

    def message(self):
        """The text of the next message, `None` when there is no other one. Raises Unanswered."""
        try:
            return self._event() if self.media_type == EVENTS else self._whole()
        except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
            # Closed by another thread, it looks like any of these.
            raise Unanswered(f"the answer broke off: {error!r}") from error

    def _whole(self):
        text = self._answer.read().decode()
        return text or None

    def _event(self):
        data = []
        while line := self._answer.readline():
            field, _, value = line.decode().rstrip("\r\n").partition(":")
            if field == "data":
                data.append(value.removeprefix(" "))
            elif not field and not value and any(data):
                return "\n".join(data)
        return None


class Listening:
    """A stream that is read beside everything else, until it is closed."""

    def __init__(self, reply):
        self._reply = reply
        self._messages = queue.Queue()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def next(self, seconds):
        """The next message, by its value. Raises Unanswered where none comes in time."""
        try:
            text = self._messages.get(timeout=seconds)
        except queue.Empty:
            raise Unanswered(f"nothing came on the stream in {seconds} s") from None
        if text is None:
            raise Unanswered("the stream has ended")
        return json.loads(text)

    def close(self):
        self._reply.close()
        self._thread.join(timeout=5.0)

    def _read(self):
        text = ""
        while text is not None:
            try:
                text = self._reply.message()
            except Unanswered:
                text = None
            self._messages.put(text)


class Client:
    """What both eras have in common. Messages that come before an answer are kept in `heard`, by their values."""

    def __init__(self, endpoint, info=None, capabilities=None, first_id=1):
        self.endpoint = endpoint
        self.info = info or {"name": "mcpvisor-tests", "version": "1"}
        self.capabilities = capabilities or {}
        self.heard = []
        self._next_id = first_id

    def ask(self, method, params=None, identity=None):
        """The text of the answer to a request, be it a result or an error. Raises Unanswered."""
        identity = self.take_id() if identity is None else identity
        with self.begin(method, params, identity) as reply:
            while (text := reply.message()) is not None:
                message = json.loads(text)
                if message.get("id") == identity and "method" not in message:
                    return text
                self.heard.append(message)
            raise Unanswered(f"{method}: HTTP {reply.status} without an answer")

    def take_id(self):
        identity, self._next_id = self._next_id, self._next_id + 1
        return identity

    def begin(self, method, params, identity):
        """Sends a request; the reply, of which nothing has been read."""
        raise NotImplementedError


class Modern(Client):
    """A client of 2026-07-28: each request says for itself who asks."""

    def __init__(self, *given, version=MODERN, **more):
        super().__init__(*given, **more)
        self.version = version

    def open(self):
        """The text of the answer to `server/discover`."""
        return self.ask("server/discover")

    def begin(self, method, params, identity):
        params = params or {}
        meta = {**self.meta(), **params.get("_meta", {})}
        message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": {**params, "_meta": meta}}
        return self.endpoint.post(message, self.headers(method, params))

    def headers(self, method, params):
        named = {"Mcp-Name": _header(params[NAMED[method]])} if method in NAMED else {}
        return {"MCP-Protocol-Version": self.version, "Mcp-Method": method, **named}

    def meta(self):
        """What every request has to say of who sends it."""
        said = {"protocolVersion": self.version, "clientInfo": self.info, "clientCapabilities": self.capabilities}
        return {f"{NAMESPACE}{name}": value for name, value in said.items()}


class Legacy(Client):
    """A client of a session of 2025-11-25."""

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        self.session = None

    def open(self):
        """The text of the answer to `initialize`; the session is open then. Raises Unanswered."""
        text = self.initialize()
        with self.notify("notifications/initialized") as reply:
            if reply.status != 202:
                raise Unanswered(f"notifications/initialized: HTTP {reply.status}")
        return text

    def initialize(self):
        identity = self.take_id()
        params = {"protocolVersion": LEGACY, "capabilities": self.capabilities, "clientInfo": self.info}
        with self.begin("initialize", params, identity) as reply:
            self.session = reply.headers.get("mcp-session-id")
            return reply.message()

    def begin(self, method, params, identity):
        message = {"jsonrpc": "2.0", "id": identity, "method": method, "params": params or {}}
        return self.endpoint.post(message, self.headers())

    def notify(self, method):
        return self.endpoint.post({"jsonrpc": "2.0", "method": method}, self.headers())

    def stream(self):
        """The session's own stream: what comes unasked."""
        return self.endpoint.send("GET", headers={"Accept": EVENTS, **self.headers()})

    def close(self):
        """Ends the session; the status of the answer."""
        with self.endpoint.send("DELETE", headers=self.headers()) as reply:
            return reply.status

    def headers(self):
        if self.session is None:
            return {}
        return {"Mcp-Session-Id": self.session, "MCP-Protocol-Version": LEGACY}


def _header(text):
    """A text as a header carries it: what is not plain ASCII, or would be mistaken for this form, in base64."""
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="
