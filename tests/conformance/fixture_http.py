#!/usr/bin/env python3
"""The fixture of the conformance suite as a remote server: what fixture.py says, over Streamable HTTP.

    fixture_http.py [--port PORT]

It is three servers at once, since real ones are of three kinds:

    /dual         modern requests without a session, and sessions for legacy clients; answers are JSON until
                  something has to be said before the answer
    /legacy       the legacy era with sessions only; every answer is a stream, as of the SDKs' own transports
    /sessionless  the legacy era without sessions: each POST meets a server that knows nothing of any other,
                  so it cannot ask its client, and has no stream for what nobody asked for

Its first line on stdout is the address in front of these paths. It ends with its stdin. Like fixture.py it is
stricter than most servers where that shows a fault of its client: a header that is missing or says something
else than the body, an id that was used before in the session, a request before the handshake is done. Each
refusal of the transport is a line on stderr.
"""

import argparse
import asyncio
import base64
import binascii
import contextvars
import json
import os
import secrets
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import fixture  # noqa: E402
import fixture_offers as offers  # noqa: E402
from fixture import LEGACY, MODERN, SUBSCRIPTION_KEY, VERSION_KEY, complain, meta_of  # noqa: E402
from mcp_http import NAMED  # noqa: E402
from wire_http import EVENTS, JSON, Refused, serve_connection  # noqa: E402

PARSE_ERROR, HEADER_MISMATCH, SESSION_UNKNOWN, TRANSPORT = -32700, -32020, -32001, -32000
# By the code of a modern error, where its status is not 200.
STATUS = {fixture.METHOD_NOT_FOUND: 404, fixture.MISSING_CAPABILITY: 400, fixture.UNSUPPORTED_VERSION: 400}
# What is about no request, and goes to the session's own stream.
UNASKED = ("list_changed", "resources/updated")
LOCAL = ("127.0.0.1", "localhost")

# The messages that the POST at work is answered with. A task that is begun for a request keeps its own.
current = contextvars.ContextVar("current")


class Remote(fixture.Server):
    """A server of one era whose messages go to where HTTP has a place for them."""

    def __init__(self, era, transport):
        super().__init__(era)
        self.transport = transport
        # By the key of a request under way: the messages that answer it.
        self.exchanges = {}
        # Those of the stream that a session has opened for itself.
        self.own = None

    def take(self, message):
        """Begins what a message asks for: the messages that it is answered with, and then `None`."""
        messages = asyncio.Queue()
        current.set(messages)
        self.receive(json.dumps(message))
        key = key_of(message.get("id"))
        # An answer to a question has an id too, which may be that of a request.
        if "method" in message and messages.empty() and key in self.running:
            self.exchanges[key] = messages
            self.running[key].add_done_callback(lambda _: self.finish(key))
        return messages

    def finish(self, key):
        self.exchanges.pop(key).put_nowait(None)

    def give_up(self, message, messages):
        """Cancels the request that these messages answer, if it is still under way."""
        key = key_of(message["id"])
        if self.exchanges.get(key) is messages and key in self.running:
            self.running[key].cancel()

    def send(self, message):
        method = message.get("method", "")
        subscription = meta_of(message.get("params", {})).get(SUBSCRIPTION_KEY)
        if subscription is not None:
            place = self.exchanges[key_of(subscription)]
        elif method.endswith(UNASKED):
            place = self.own
        else:
            place = current.get()
        if place is not None:
            place.put_nowait({"jsonrpc": "2.0"} | message)

    # What one client does to a list or a resource, all clients of a server hear of.

    def changed(self, what):
        for server in self.transport.servers():
            fixture.Server.changed(server, what)

    def updated(self, uri):
        for server in self.transport.servers():
            fixture.Server.updated(server, uri)


class Session(Remote):
    """What one legacy client has opened."""

    def __init__(self, transport):
        super().__init__("legacy", transport)
        self.version = None
        self.is_open = False
        self.used = set()

    def check(self, message):
        """Whether this may be said now."""
        method, identity = message.get("method"), message.get("id")
        self.is_open = self.is_open or method == "notifications/initialized"
        if not self.is_open and method != "ping":
            raise Refused(400, TRANSPORT, "notifications/initialized has to come first", identity)
        if method is not None and identity is not None:
            if key_of(identity) in self.used:
                raise Refused(400, fixture.INVALID_REQUEST, "this session had that id before", identity)
            self.used.add(key_of(identity))

    def close(self):
        for task in self.running.values():
            task.cancel()
        if self.own is not None:
            self.own.put_nowait(None)


class Sessionless(Remote):
    """What is there for one POST, and then never again."""

    async def push(self, request):
        raise offers.Failure(f"{request['method']} needs a session, and there is none")


class Transport:
    """One of the servers: what it does with a request of HTTP."""

    def __init__(self, modern=False, sessions=True):
        # One for all modern requests: they have no state but the streams that listen.
        self.modern = Remote("modern", self) if modern else None
        self.has_sessions = sessions
        # Both ways are to be met: servers of the legacy era answer by streams, later ones where they have to.
        self.streams = sessions and not modern
        self.sessions = {}

    def servers(self):
        return [*filter(None, [self.modern]), *self.sessions.values()]

    async def handle(self, request, reply):
        verbs = {"POST": self.post}
        if self.has_sessions:
            verbs |= {"GET": self.get, "DELETE": self.delete}
        if request.verb not in verbs:
            allowed = {"Allow": ", ".join(verbs)}
            raise Refused(405, TRANSPORT, f"{request.verb} is not served", headers=allowed)
        await verbs[request.verb](request, reply)

    async def post(self, request, reply):
        if not (request.accepts(JSON) and request.accepts(EVENTS)):
            raise Refused(406, TRANSPORT, f"Accept has to name {JSON} and {EVENTS}")
        if request.headers.get_content_type() != JSON:
            raise Refused(415, TRANSPORT, f"Content-Type has to be {JSON}")
        message = message_of(request.body)
        version = request.headers.get("mcp-protocol-version")
        if self.modern and (version == MODERN or VERSION_KEY in meta_of(message["params"])):
            await self.post_modern(request, message, reply)
        elif version is not None and version not in LEGACY:
            # As servers answer that are older than it; run.py knows a refused probe by these words.
            raise Refused(400, TRANSPORT, f"there is no version {version}; there are {', '.join(LEGACY)}")
        elif message.get("method") == "initialize" and "id" in message:
            await self.initialize(request, message, reply)
        else:
            await self.post_legacy(request, message, reply)

    # The modern era: each request says for itself who asks, and leaving is cancelling.

    async def post_modern(self, request, message, reply):
        if "method" not in message or "id" not in message:
            raise Refused(400, fixture.INVALID_REQUEST, "only requests are taken in this era")
        try:
            check_version_header(request, message["params"])
            self.modern.check_envelope(message["method"], message["params"])
            check_headers(request, message["method"], message["params"])
        except offers.Refusal as wrong:
            raise Refused(400, wrong.code, str(wrong), message["id"], wrong.data) from wrong
        messages = self.modern.take(message)
        try:
            await deliver(messages, reply)
        finally:
            self.modern.give_up(message, messages)

    # The legacy era: a session, if there are any, and leaving cancels nothing.

    async def initialize(self, request, message, reply):
        if "mcp-session-id" in request.headers:
            raise Refused(400, TRANSPORT, "a session is opened by whoever has none", message.get("id"))
        server = Session(self) if self.has_sessions else Sessionless("legacy", self)
        answer = await server.take(message).get()
        headers = {}
        if self.has_sessions and "result" in answer:
            server.version = answer["result"]["protocolVersion"]
            server.used.add(key_of(message["id"]))
            identity = secrets.token_hex(16)
            self.sessions[identity] = server
            headers["Mcp-Session-Id"] = identity
        if not self.streams:
            return await reply.whole(200, answer, headers)
        await reply.open(headers)
        await reply.event(answer)
        await reply.end()

    async def post_legacy(self, request, message, reply):
        if self.has_sessions:
            server = self.session_of(request)
            server.check(message)
        elif "mcp-session-id" in request.headers:
            raise Refused(400, TRANSPORT, "a session that nobody has given", message.get("id"))
        else:
            server = Sessionless("legacy", self)
        messages = server.take(message)
        if "method" not in message or "id" not in message:
            return await reply.whole(202)
        await deliver(messages, reply, self.streams)

    def session_of(self, request):
        identity = request.headers.get("mcp-session-id")
        if identity is None:
            raise Refused(400, TRANSPORT, "Mcp-Session-Id is missing")
        if identity not in self.sessions:
            raise Refused(404, SESSION_UNKNOWN, "there is no such session")
        session, version = self.sessions[identity], request.headers.get("mcp-protocol-version")
        if version != session.version:
            raise Refused(400, TRANSPORT, f"the version is {version}, and {session.version} was agreed on")
        return session

    async def get(self, request, reply):
        if not request.accepts(EVENTS):
            raise Refused(406, TRANSPORT, f"Accept has to name {EVENTS}")
        session = self.session_of(request)
        if session.own is not None:
            raise Refused(409, TRANSPORT, "this session has its stream already")
        session.own = asyncio.Queue()
        try:
            await reply.open()
            while (message := await reply.next_of(session.own)) is not None:
                await reply.event(message)
            await reply.end()
        finally:
            session.own = None

    async def delete(self, request, reply):
        self.session_of(request).close()
        del self.sessions[request.headers["mcp-session-id"]]
        await reply.whole(200)


async def deliver(messages, reply, as_stream=False):
    """Answers a POST: with JSON if the answer comes first and nobody insists, else with a stream."""
    message = None
    if not as_stream:
        message = await messages.get()
        if message is not None and "method" not in message:
            code = message.get("error", {}).get("code")
            return await reply.whole(STATUS.get(code, 200), message)
    await reply.open()
    while (message := message or await reply.next_of(messages)) is not None:
        await reply.event(message)
        if "method" not in message:
            break
        message = None
    await reply.end()


def key_of(identity):
    """As fixture.py keeps requests: an id with its type, because 1 and "1" are two."""
    return type(identity), identity if isinstance(identity, (str, int)) else None


def message_of(body):
    try:
        message = json.loads(body)
    except ValueError:
        raise Refused(400, PARSE_ERROR, "this is not JSON") from None
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise Refused(400, fixture.INVALID_REQUEST, "this is not one message of JSON-RPC 2.0")
    if not isinstance(message.setdefault("params", {}), dict):
        raise Refused(400, fixture.INVALID_REQUEST, "params must be an object")
    return message


def check_version_header(request, params):
    """Before anything is said of a version, it has to be clear which one is meant."""
    version = meta_of(params).get(VERSION_KEY)
    if isinstance(version, str):
        compare(request, "MCP-Protocol-Version", version)


def check_headers(request, method, params):
    """Whether the headers of a modern request say what its body says."""
    compare(request, "Mcp-Method", method)
    if method in NAMED:
        compare(request, "Mcp-Name", params.get(NAMED[method]))
    if method == "tools/call" and params.get("name") in offers.TOOLS:
        listed, _ = offers.TOOLS[params["name"]]
        arguments = offers.arguments_of(params)
        for name, schema in listed["inputSchema"]["properties"].items():
            if "x-mcp-header" in schema:
                compare(request, f"Mcp-Param-{schema['x-mcp-header']}", arguments.get(name))


def compare(request, header, value):
    said = plain(request.headers.get(header))
    if said != value:
        raise offers.Refusal(HEADER_MISMATCH, f"the header {header} is {said!r}, and the body says {value!r}")


def plain(text):
    """What a header says, which may be wrapped in base64; `None` if it is not there or cannot be read."""
    text = text and text.strip()
    if text is None or not (text.startswith("=?base64?") and text.endswith("?=")):
        return text
    try:
        return base64.b64decode(text[9:-2], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None


def check_origin(request):
    """Only local names are served: a page of a browser could have been led here by a name server."""
    host = request.headers.get("host", "").rsplit(":", 1)[0]
    origin = request.headers.get("origin", "").rpartition("://")[2].rsplit(":", 1)[0]
    if host not in LOCAL or origin not in ("", *LOCAL):
        raise Refused(403, TRANSPORT, "Host or Origin is not of this machine")


async def serve(port):
    served = {
        "/dual": Transport(modern=True),
        "/legacy": Transport(),
        "/sessionless": Transport(sessions=False),
    }

    async def handle(request, reply):
        try:
            check_origin(request)
            if request.path not in served:
                raise Refused(404, TRANSPORT, f"there are {', '.join(served)}")
            await served[request.path].handle(request, reply)
        except Refused as refused:
            complain(f"{request.verb} {request.path}: {refused.status} {refused}")
            raise

    server = await asyncio.start_server(lambda r, w: serve_connection(r, w, handle), "127.0.0.1", port)
    print("http://{}:{}".format(*server.sockets[0].getsockname()), flush=True)
    # A thread, because stdin may be a file, which asyncio cannot wait for.
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 for any that is free")
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
