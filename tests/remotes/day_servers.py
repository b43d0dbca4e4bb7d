"""Servers that are there to be asked in vain: each answers by a script, and counts what it is asked and when.
They run on one loop in a thread of their own, so that all is counted in the order in which it came."""

import asyncio
import contextlib
import email.utils
import json
import math
import socket
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

from mcp_http import EVENTS, JSON, LEGACY, MODERN, NAMESPACE  # noqa: E402

HOST = "127.0.0.1"
PATH = "/mcp"
# How often the SDKs' servers say on a stream that they are there (R43).
COMMENT_S = 15
# For what the thread of the loop is asked to do.
PATIENCE_S = 10

INFO = {"name": "scripted", "version": "1"}
TOOL = {"name": "echo", "inputSchema": {"type": "object"}}
CALLED = {"content": [{"type": "text", "text": "here"}]}
# What a script does instead of giving an answer.
SILENCE, HANG_UP = "silence", "hang up"


class Clock:
    """Seconds since the daemon was started, at the pace of its own."""

    def __init__(self, speed):
        self.speed = speed
        self.start()

    def start(self):
        # The second is where the daemon's own clock begins to run faster.
        self._start, self.wall = time.monotonic(), time.time()

    def now(self):
        return (time.monotonic() - self._start) * self.speed

    def real(self, seconds):
        """How long so many of its seconds take."""
        return max(0.0, seconds) / self.speed


@dataclass(frozen=True)
class Ask:
    at: float
    verb: str
    path: str
    headers: dict
    message: dict

    @property
    def label(self):
        if self.path != PATH:
            return "token" if self.path == "/token" else "metadata"
        return self.message.get("method", self.verb)


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: str = ""
    media_type: str = JSON
    headers: dict = field(default_factory=dict)
    # How long it asks to be left alone, in seconds.
    pause: float = 0.0
    # A stream of events, and when it ends.
    streams: bool = False
    until: float = math.inf


@dataclass(frozen=True)
class Count:
    """One request: what it was, when it had come, when its answer was about to go, and the pause in that."""

    label: str
    at: float
    answered: float
    pause: float


def always(status, body="", media_type=JSON, **headers):
    """The same to everything."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Answer(status, body, media_type, named, float(named.get("Retry-After", 0)))
    return lambda ask: answer


def silent(ask):
    return SILENCE


def modern(ask):
    """Answers as a server of 2026-07-28 that tells of no changes."""
    version = {"supportedVersions": [MODERN], "_meta": {f"{NAMESPACE}serverInfo": INFO}}
    results = {
        "server/discover": {"capabilities": {"tools": {}}, **version},
        "tools/list": {"tools": [TOOL]},
        "tools/call": CALLED,
    }
    if ask.label not in results:
        return error(ask, -32601, 404)
    return result(ask, {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **results[ask.label]})


def legacy(ask):
    """Answers as a server of 2025-11-25 with a session and a stream of notifications."""
    capabilities = {"tools": {"listChanged": True}, "resources": {}, "prompts": {}}
    welcome = {"protocolVersion": LEGACY, "capabilities": capabilities, "serverInfo": INFO}
    results = {
        "initialize": welcome, "ping": {}, "tools/list": {"tools": [TOOL]}, "tools/call": CALLED,
        "resources/list": {"resources": []}, "resources/templates/list": {"resourceTemplates": []},
        "prompts/list": {"prompts": []},
    }  # fmt: skip
    if ask.label == "GET":
        return Answer(media_type=EVENTS, streams=True)
    if ask.label == "DELETE":
        return Answer()
    if ask.label in results:
        answered = result(ask, results[ask.label])
        return replace(answered, headers={"Mcp-Session-Id": "one"}) if ask.label == "initialize" else answered
    return Answer(202) if "id" not in ask.message else error(ask, -32000, 400)


def result(ask, members):
    return Answer(body=json.dumps({"jsonrpc": "2.0", "id": ask.message.get("id"), "result": members}))


def error(ask, code, status):
    said = {"code": code, "message": "scripted"}
    return Answer(status, json.dumps({"jsonrpc": "2.0", "id": ask.message.get("id"), "error": said}))


def but(script, **others):
    """A script with others for some labels; `_` stands for what a name cannot have."""
    by_label = {name.replace("__", "/"): other for name, other in others.items()}
    return lambda ask: by_label.get(ask.label, script)(ask)


def turning(after, first, then):
    """One script, and another one from then on; streams end then."""

    def answer(ask):
        answered = (first if ask.at < after else then)(ask)
        return replace(answered, until=after) if isinstance(answered, Answer) else answered

    return answer


def rationed(every, script):
    """Lets one request through in so many seconds, and says of the others when to come again (R55)."""
    last = [-every]

    def answer(ask):
        left = last[0] + every - ask.at
        if left > 0:
            return always(429, Retry_After=str(int(left) + 1))(ask)
        last[0] = ask.at
        return script(ask)

    return answer


def dated(clock, seconds):
    """Says by a date of the daemon's clock when to come again."""

    def answer(ask):
        date = email.utils.formatdate(clock.wall + clock.now() + seconds, usegmt=True)
        # Dates have no fractions, so that it may be a second less.
        return Answer(503, headers={"Retry-After": date}, pause=seconds - 1)

    return answer


def locked(token):
    """Wants a token of a token endpoint at the same address, which answers by a script. None is good."""

    def answer(ask):
        origin = f"http://{ask.headers['host']}"
        at = f"{origin}/.well-known/oauth-protected-resource{PATH}"
        if ask.path == "/token":
            return token(ask)
        if ask.path.startswith("/.well-known/oauth-protected-resource"):
            return Answer(body=json.dumps({"resource": origin + PATH, "authorization_servers": [origin]}))
        if ask.path.startswith("/.well-known/"):
            return Answer(body=json.dumps({"issuer": origin, "token_endpoint": f"{origin}/token"}))
        return Answer(401, headers={"WWW-Authenticate": f'Bearer resource_metadata="{at}"'})

    return answer


GRANTS = always(200, json.dumps({"access_token": "t", "token_type": "Bearer", "expires_in": 3600}))
REFUSES = always(401, json.dumps({"error": "invalid_client"}))


class Scripted:
    """A server that answers by a script; with `ends` it is gone from then on, as a process that has ended."""

    # Whether it sees each attempt to reach it.
    sees = True

    def __init__(self, clock, script, ends=None):
        self._clock, self._script, self._ends = clock, script, ends
        self._connections = set()
        self.counts = []
        self.port = None

    async def open(self):
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        if self._ends is not None:
            self._ending = asyncio.create_task(self._end())

    def close(self):
        self._server.close()
        for writer in self._connections:
            writer.transport.abort()

    async def _end(self):
        await asyncio.sleep(self._clock.real(self._ends - self._clock.now()))
        self.close()

    async def _serve(self, reader, writer):
        self._connections.add(writer)
        try:
            while await self._answer(await self._ask(reader), writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side has left
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _ask(self, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        verb, path, _ = first.split()
        message = json.loads(body) if body and path == PATH else {}
        return Ask(self._clock.now(), verb, path, headers, message)

    async def _answer(self, ask, writer):
        """Whether another request may come on this connection."""
        answer = self._script(ask)
        pause = answer.pause if isinstance(answer, Answer) else 0.0
        self.counts.append(Count(ask.label, ask.at, self._clock.now(), pause))
        if answer == HANG_UP:
            return False
        if answer == SILENCE:
            return await asyncio.sleep(self._clock.real(3600))
        headers = {"Content-Type": answer.media_type} | answer.headers
        headers |= {"Connection": "close"} if answer.streams else {"Content-Length": str(len(answer.body))}
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\r\n".join([f"HTTP/1.1 {answer.status} Scripted", *lines, "", answer.body])
        writer.write(text.encode())
        await writer.drain()
        while answer.streams and self._clock.now() < answer.until:
            writer.write(b": here\n\n")
            await writer.drain()
            await asyncio.sleep(self._clock.real(COMMENT_S))
        return not answer.streams


class Closing(Scripted):
    """Takes connections and closes them at once."""

    def __init__(self, clock):
        super().__init__(clock, None)

    async def _ask(self, reader):
        now = self._clock.now()
        self.counts.append(Count("connection", now, now, 0.0))
        raise OSError


class Refusing:
    """A port that refuses connections, and that nobody else gets meanwhile."""

    sees = False

    def __init__(self):
        self.counts = []
        self._sockets = [socket.socket()]
        self._sockets[0].bind((HOST, 0))
        self.port = self._sockets[0].getsockname()[1]

    async def open(self):
        """It is as it should be."""

    def close(self):
        for each in self._sockets:
            each.close()


class Full(Refusing):
    """A port whose line of those who wait to be let in is full: not even a refusal comes back from it."""

    # More than a line of length 0 has places for.
    _WAITING = 4

    def __init__(self):
        super().__init__()
        self._sockets[0].listen(0)
        for _ in range(self._WAITING):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex((HOST, self.port))
            self._sockets.append(waiting)


@contextlib.contextmanager
def opened(servers):
    """The servers, on a loop in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(PATIENCE_S)

    async def close():
        for server in started:
            server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    started = []
    try:
        for server in servers:
            run(server.open())
            started.append(server)
        yield
    finally:
        run(close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()
