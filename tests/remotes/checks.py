"""What is tried with each server: a function each, which raises `Wrong` with the reason where something is not as it
should be, and may return what is worth telling. They are run in the order in which they stand here, after them those
of between.py, moving.py and sizes.py, on the same server and daemon as long as all is well; `last` ones look back on
the others.

A check that is marked `bare` is made by an MCP client, and can be made of the server without the daemon too. One that
is marked `fresh` is made on a server and daemon of its own: what happened before, such as other restarts, would count.
"""

import itertools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from callers import LEGACY, NAME, Endpoint, LegacyClient, ModernClient, SseClient, Unanswered, text_of
from daemon import Broken
from fleet import Running, Server

READY_S = 30
# After the server was restarted: so long the next call may take.
BACK_S = 15
# And so long it may be until the state is as it was, with the stream of notifications there again: sooner than its
# first comment comes, which is after 15 seconds.
AGAIN_S = 8
# How soon a call fails whose server is gone.
AT_ONCE_S = 3
# How soon a change of the tools has to be known, where the server can tell of it.
TOLD_S = 5
STOPPED_S = 5
MEGABYTE = 1_000_000
MANY, HERD = 20, 100
# What an opening may ask for, each of it once.
OPENING = [
    "server/discover", "initialize", "notifications/initialized", "subscriptions/listen",
    "tools/list", "resources/list", "resources/templates/list", "prompts/list",
]  # fmt: skip


class Wrong(Exception):
    """What is not as it should be."""


class Skipped(Exception):
    """There is nothing to be tried here."""


@dataclass
class Bench:
    """What a check is made on. Without a daemon `rest` and `daemon` are None, and `url` is the server's own."""

    server: Server
    running: Running
    url: str
    daemon: object = None
    rest: object = None
    key: str = None
    # Of this bench and those before it of the same server.
    journals: list = None

    @property
    def tools(self):
        return self.server.tools

    @property
    def journal(self):
        return self.running.journal

    def opened(self):
        """Waits until the state is as it is when all is well."""
        self.wait_until(["ready"], READY_S)

    def echoed(self, text, seconds=20):
        """Calls echo and holds its answer against the question; how long it took."""
        arguments = {self.tools.text: text}
        return self.called(self.tools.echo, arguments, self.tools.before + text, seconds)

    def called(self, tool, arguments, wanted, seconds=20):
        code, answer, took = self.rest.invoke(tool, arguments, seconds)
        require(code == 200, f"{tool}: {code} after {took:.1f} s {short(answer)}")
        text = text_of(answer["data"])
        require(wanted in text, f"{tool} {short(arguments)} was answered with {short(text)}")
        return took

    def end_session(self):
        """Ends the daemon's session from elsewhere, as a server does that has forgotten it; its process goes on."""
        [*_, session] = [r["given"] for r in self.journal.requests(self.running.pid) if r["method"] == "initialize"]
        headers = {"Mcp-Session-Id": session, "MCP-Protocol-Version": LEGACY}
        with Endpoint(self.running.url).send("DELETE", headers=headers) as reply:
            require(reply.status < 300, f"DELETE: HTTP {reply.status}")

    def wait_until(self, states, seconds):
        """Waits for one of these states, and no longer for one that nothing heals."""
        end = time.monotonic() + seconds
        while True:
            status = self.rest.status()
            if status["state"] in states:
                return
            over = time.monotonic() > end or status["state"] == "failed"
            require(not over, f"the state is {status['state']}, cause {status.get('cause')!r}")
            time.sleep(0.05)

    def clients(self):
        """An MCP client of each era that there is at this address."""
        if self.rest is not None or self.server.path != "/sse":
            yield LegacyClient(self.url, self.key)
        else:
            yield SseClient(self.url)
        if self.rest is not None or self.server.era == "modern":
            yield ModernClient(self.url, self.key)


CHECKS = {}
BARE, FRESH, LAST = [], [], []
_numbers = itertools.count(1)


def check(act=None, *, bare=False, fresh=False, last=False):
    def added(act):
        name = act.__name__.replace("_", "-")
        CHECKS[name] = act
        for holds, names in ((bare, BARE), (fresh, FRESH), (last, LAST)):
            if holds:
                names.append(name)
        return act

    return added(act) if act else added


def in_order():
    """The names of all checks, those that look back on the others at the end."""
    return [*(name for name in CHECKS if name not in LAST), *LAST]


def require(holds, reason):
    if not holds:
        raise Wrong(reason)


def short(value):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 300 else f"{text[:300]}…"


def unique(word):
    """A text that no other call has, so that the journal tells whose call was carried out, and how often."""
    return f"{word} {next(_numbers)}"


def unique_seconds(seconds):
    return seconds + next(_numbers) / 10000


# Opening.


@check
def ready(bench):
    bench.opened()


@check
def era(bench):
    version = bench.rest.status().get("protocol_version")
    require((version == "2026-07-28") == (bench.server.era == "modern"), f"it was opened in {version}")


@check
def opening(bench):
    """An opening asks for each thing once: a server that fails must not be asked the more for it."""
    counts = {method: bench.journal.accepted(method) for method in OPENING}
    if bench.server.name.startswith("everything"):
        # It adds tools when it is initialized and tells of each, while its lists are being read.
        counts = {method: count for method, count in counts.items() if "/list" not in method}
    twice = {method: count for method, count in counts.items() if count > 1}
    require(not twice, f"asked more than once: {twice}")
    streams = [r for r in bench.journal.requests() if r["verb"] == "GET" and r["status"] == 200]
    require(len(streams) <= 1, f"{len(streams)} streams by GET")


# Calls.


@check
def lists(bench):
    tools, status = bench.tools, bench.rest.status()
    names = [tool["name"] for tool in status["tools"]]
    wanted = {tools.echo, tools.add, tools.slow, tools.ask}
    require(wanted <= set(names), f"the tools are {names}")
    require(status["prompts_count"] >= 1, f"{status['prompts_count']} prompts")
    code, answer = bench.rest.resources()
    require(code == 200, f"resources: {code} {short(answer)}")
    uris = [entry["uri"] for entry in answer["data"]["contents"]]
    require(tools.uri in uris, f"the resources are {short(uris)}")
    code, answer = bench.rest.resources(tools.uri)
    require(code == 200 and answer["data"]["contents"][0].get("text"), f"reading {tools.uri}: {code} {short(answer)}")


@check
def echo(bench):
    bench.echoed(unique("hello"))
    bench.echoed(unique('quote " backslash \\ line\nend ü 🦀'))
    bench.called(bench.tools.add, {"a": 2, "b": 40}, bench.tools.sum.format(42))


@check
def twenty(bench):
    at_once(MANY, lambda _: bench.echoed(unique("of twenty")))


@check
def count(bench):
    """A session stays the same from call to call."""
    seen = []
    for _ in range(3):
        code, answer, _took = bench.rest.invoke("count", {})
        require(code == 200, f"{code} {short(answer)}")
        seen.append(int(text_of(answer["data"])))
    require(seen == [seen[0], seen[0] + 1, seen[0] + 2], f"the session has counted {seen}")


@check
def big(bench):
    code, answer, _took = bench.rest.invoke("big", {"bytes": MEGABYTE}, 30)
    require(code == 200, f"{code} {short(answer)}")
    text = text_of(answer["data"])
    require(text == "x" * MEGABYTE, f"{len(text)} bytes came, beginning with {short(text[:20])}")


# MCP clients.


@check(bare=True)
def client_legacy(bench):
    in_era(bench, 0)


@check(bare=True)
def client_modern(bench):
    in_era(bench, 1)


@check(bare=True)
def progress(bench):
    for client in opened(bench):
        token = unique("token")
        seconds = unique_seconds(1)
        result = client.call(bench.tools.slow, bench.tools.slow_arguments(seconds), {"progressToken": token})
        require(not result.get("isError"), f"{short(result)}")
        told = [m["params"] for m in client.heard if m.get("method") == "notifications/progress"]
        who = type(client).__name__
        require(len(told) >= 3, f"{who} was told {len(told)} times")
        require({one["progressToken"] for one in told} == {token}, f"{who} was told {short(told)}")
        done = [one["progress"] for one in told]
        require(done == sorted(set(done)), f"{who} was told {done}")


@check(bare=True)
def log(bench):
    for client in opened(bench):
        client.want_logs()
        text = unique("log message")
        client.call("log", {"text": text}, client.log_meta())
        told = [m["params"] for m in client.heard if m.get("method") == "notifications/message"]
        require(any(text in json.dumps(one) for one in told), f"{type(client).__name__} was told {short(told)}")


@check(bare=True)
def ask(bench):
    for client in opened(bench):
        result = client.call(bench.tools.ask, {})
        require(not result.get("isError"), f"{type(client).__name__}: {short(result)}")
        require(NAME in text_of(result), f"{type(client).__name__}: {short(result)}")


@check
def grow(bench):
    code, answer, _took = bench.rest.invoke("grow", {})
    require(code == 200, f"{code} {short(answer)}")
    name = text_of(answer["data"])

    def listed():
        return name in [tool["name"] for tool in bench.rest.status()["tools"]]

    require(bench.journal.wait_for(listed, TOLD_S), f"{name} is not among the tools after {TOLD_S} s")
    bench.called(name, {}, name)


# Calls that are given up. Only now: a server that goes on with one may still mean it when it asks.


@check
def timeout(bench):
    """A call that is too slow is given up, and nothing else."""
    arguments = bench.tools.slow_arguments(unique_seconds(3))
    code, answer, took = bench.rest.invoke(bench.tools.slow, arguments, 1)
    error = answer.get("error", {}).get("code")
    require((code, error) == (504, "mcp_timeout"), f"{code} {short(answer)}")
    require(took < 1 + AT_ONCE_S, f"it took {took:.1f} s")
    bench.echoed(unique("after a timeout"))


@check
def cancel(bench):
    """The server hears that nobody waits any more."""
    before = len(bench.journal.lines("stopped"))
    code, answer, _took = bench.rest.invoke("slow", {"seconds": unique_seconds(8)}, 1)
    require(code == 504, f"{code} {short(answer)}")
    heard = bench.journal.wait_for(lambda: len(bench.journal.lines("stopped")) > before, AT_ONCE_S)
    require(heard, "the tool goes on")


@check
def doubt(bench):
    """A call that was given up, and that the server is done with, does not keep it from asking and telling others."""
    cancel(bench)
    log(bench)
    ask(bench)


# What befalls a server.


@check
def idle(bench):
    """Both kinds of server close connections that rest, after five seconds and after six."""
    for seconds in (6, 5):
        time.sleep(seconds)
        bench.echoed(unique(f"after {seconds} s"))


@check
def expired(bench):
    """A session that the server has ended because nobody used it costs the next call one handshake, no more."""
    if bench.server.patience is None:
        raise Skipped
    bench.echoed(unique("while there is a session"))
    before = bench.journal.accepted("initialize")
    time.sleep(bench.server.patience + 1)
    bench.echoed(unique("after it has expired"))
    more = bench.journal.accepted("initialize") - before
    require(more == 1, f"{more} initialize")


@check
def stopped(bench):
    with bench.running.stopped():
        time.sleep(STOPPED_S)
    for _ in range(3):
        bench.echoed(unique("after a stop"))


@check(fresh=True)
def restart(bench):
    """Between two calls: nothing is lost but the session, and nobody has to know of that."""
    bench.echoed(unique("before a restart"))
    bench.running.restart()
    took = bench.echoed(unique("after a restart"), BACK_S)
    require(took < BACK_S, f"it took {took:.1f} s")
    bench.wait_until(["ready"], AGAIN_S)


@check(fresh=True)
def cut(bench):
    """In the middle of a call: nobody knows whether it was carried out, so it fails, at once, and is not repeated."""
    tools, pid = bench.tools, bench.running.pid
    arguments = tools.slow_arguments(unique_seconds(10))
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(bench.rest.invoke, tools.slow, arguments, 30)
        begun = bench.journal.wait_for(lambda: bench.journal.ran(tools.slow, arguments, pid), AT_ONCE_S)
        bench.running.kill()
        gone = time.monotonic()
        code, answer, _took = call.result()
        took = time.monotonic() - gone
    bench.running.start()
    require(begun, "the call did not reach the server")
    error = answer.get("error", {})
    phase = (error.get("details") or {}).get("phase")
    require((code, error.get("code"), phase) == (502, "mcp_unreachable", "in_flight"), f"{code} {short(answer)}")
    require(took < AT_ONCE_S + bench.server.retry, f"it failed {took:.1f} s after the server was gone")
    bench.echoed(unique("after a cut"), BACK_S)
    again = bench.journal.ran(tools.slow, arguments, bench.running.pid)
    require(not again, "the call that was cut was made again")


@check(fresh=True)
def herd(bench):
    """Many calls that find the session gone cost one handshake, and each is carried out once."""
    bench.running.restart()
    handshakes = all_at_once(bench)
    if bench.server.era == "modern":
        require(handshakes == 0, f"{handshakes} initialize without a session")
    elif bench.server.sessions:
        require(handshakes == 1, f"{handshakes} initialize")
    else:
        require(handshakes <= 1, f"{handshakes} initialize")


@check(fresh=True)
def forgotten(bench):
    """The same where the server has lost nothing but the session, and all connections are good."""
    if not bench.server.sessions or bench.server.is_sse:
        raise Skipped
    at_once(MANY, lambda _: bench.echoed(unique("so that there are connections")))
    bench.end_session()
    handshakes = all_at_once(bench)
    require(handshakes == 1, f"{handshakes} initialize")
    bench.wait_until(["ready"], AGAIN_S)


@check(fresh=True)
def thrice(bench):
    """A server that comes back each time is waited for each time, however soon it goes again."""
    for number in range(1, 4):
        bench.running.restart()
        took = bench.echoed(unique(f"after restart {number}"), BACK_S)
        require(took < BACK_S, f"restart {number}: it took {took:.1f} s")


@check(last=True)
def once(bench):
    """Over all that was tried: no call that has a text or time of its own was carried out twice."""
    calls = {}
    for line in (line for journal in bench.journals for line in journal.lines("ran")):
        if line["tool"] in (bench.tools.echo, bench.tools.slow):
            calls[line["tool"], line["arguments"]] = calls.get((line["tool"], line["arguments"]), 0) + 1
    twice = [f"{tool} {arguments}" for (tool, arguments), times in calls.items() if times > 1]
    require(not twice, f"carried out twice: {short(twice)}")


@check(last=True)
def farewell(bench):
    """A session is ended when the daemon stops, and where there is none nothing is sent."""
    bench.wait_until(["ready", "degraded"], AGAIN_S)
    requests = bench.journal.requests(bench.running.pid)
    gone = [r["session"] for r in requests if r["verb"] == "DELETE"]
    before = [r["given"] for r in requests if r["method"] == "initialize" and r["given"] not in gone]
    start = time.monotonic()
    bench.daemon.stop()
    took = time.monotonic() - start
    requests = bench.journal.requests(bench.running.pid)
    ends = [r for r in requests if r["verb"] == "DELETE"][len(gone) :]
    if bench.server.sessions and not bench.server.is_sse:
        session = before[-1] if before else None
        require([r["session"] for r in ends] == [session], f"DELETE of {[r['session'] for r in ends]}, not {session}")
        require(ends[0]["status"] in (200, 202, 204), f"DELETE: HTTP {ends[0]['status']}")
    else:
        require(not ends, f"{len(ends)} DELETE without a session")
    # In the journal a stream has ended when the server has seen that its client is gone.
    over = bench.journal.wait_for(lambda: not open_streams(bench), AT_ONCE_S)
    require(over, f"streams are still open: {open_streams(bench)}")
    require(took < 10, f"the daemon took {took:.1f} s to stop")


def open_streams(bench):
    """The requests of the server that runs now that are not over."""
    requests = bench.journal.requests(bench.running.pid)
    return [f"{r['verb']} {r['method'] or ''}" for r in requests if r["status"] and "whole" not in r]


# What several checks do.


def at_once(number, act):
    """Runs it so many times at the same moment; raises the first thing that was wrong, and says of how many."""
    gate = threading.Barrier(number)

    def run(index):
        gate.wait()
        try:
            act(index)
        except (Wrong, Unanswered) as error:
            return str(error)
        return None

    with ThreadPoolExecutor(number) as pool:
        wrong = [reason for reason in pool.map(run, range(number)) if reason]
    require(not wrong, f"{len(wrong)} of {number}: {wrong[0] if wrong else ''}")


def all_at_once(bench):
    """Has a herd of calls made, each of which must be carried out once; returns how many handshakes that cost."""
    pid = bench.running.pid
    before = bench.journal.accepted("initialize", pid)
    texts = [unique("of the herd") for _ in range(HERD)]
    at_once(HERD, lambda number: bench.echoed(texts[number], 30))
    each_once(bench, texts)
    return bench.journal.accepted("initialize", pid) - before


def each_once(bench, texts):
    """No call that was answered was lost, or carried out more than once."""
    ran = {text: len(bench.journal.ran(bench.tools.echo, {bench.tools.text: text})) for text in texts}
    wrong = {text: times for text, times in ran.items() if times != 1}
    require(texts and not wrong, f"of {len(texts)} calls not carried out once: {short(wrong)}")


def in_era(bench, index):
    """Opens a client of one era, makes a call and looks at the lists."""
    tools, clients = bench.tools, list(bench.clients())
    if index >= len(clients):
        raise Skipped
    client = clients[index]
    client.open()
    try:
        text = unique("by an MCP client")
        result = client.call(tools.echo, {tools.text: text})
        require(text_of(result) == tools.before + text, f"{short(result)}")
        names = [prompt["name"] for prompt in client.request("prompts/list")["prompts"]]
        require(tools.prompt in names, f"the prompts are {names}")
        uris = [resource["uri"] for resource in client.request("resources/list")["resources"]]
        require(tools.uri in uris, f"the resources are {short(uris)}")
    finally:
        client.close()


def opened(bench):
    """Each client in turn, opened, and closed after it was used."""
    for client in bench.clients():
        client.open()
        try:
            yield client
        finally:
            client.close()


FAULTS = (Wrong, Unanswered, Broken, OSError, ValueError, KeyError, IndexError)
