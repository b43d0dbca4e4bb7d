"""The servers that day.py lets the daemon live with for a day, and how much may be sent to each: the ladders
of R15 and R16 of remote-upstreams, written down once more from the rules and not from the daemon."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from day_servers import (
    GRANTS,
    HANG_UP,
    HOST,
    REFUSES,
    Closing,
    Full,
    Refusing,
    Scripted,
    always,
    but,
    dated,
    error,
    legacy,
    locked,
    modern,
    rationed,
    silent,
    turning,
)

MINUTE, HOUR, DAY = 60, 3600, 86_400
# R15: the delays after the first ten failures, and after each further one, in the middle of their spread.
FIRST, LATER = [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], 300
# R16: the delays after the first refusals of credentials, and after each further one.
REFUSED = [5 * MINUTE, 15 * MINUTE, HOUR, 4 * HOUR]
# R11: how often what is wrong with a definition is looked at again; R74: how often an idle server is probed.
RECHECK, PROBE = 300, 300
# Beyond what the spread of the delays can make of the number of attempts, by far.
SPREAD = 1.05
# When a server that was well is so no more: all are there by then.
TURN = HOUR
# What is told of attempts that the server does not see: openings in the daemon's log.
OPENINGS = "openings"

# What one attempt may send, each of it once (R15).
OPENING = dict.fromkeys(
    ["server/discover", "initialize", "notifications/initialized", "tools/list", "resources/list",
     "resources/templates/list", "prompts/list"], 1,
)  # fmt: skip
# R20, step 3: the elder transport is looked for where the type was left open.
FIND_OUT = OPENING | {"GET": 1}
# An opened session has a stream (R41), and is ended in order (R40).
SESSION = FIND_OUT | {"DELETE": 1}
UNSEEN = {OPENINGS: 1, "connection": 1}
# Of a server that stays open, once or twice: scaling may spoil its start.
OPENED = dict.fromkeys(SESSION, 2)
# The documents of a resource and of its authorization server, and a token; where that is bad, another (R65).
TOKENS = {"metadata": 2, "token": 1}
TWO_TOKENS = OPENING | {"server/discover": 2, "metadata": 4, "token": 2}


def attempts(seconds, delays):
    """How many there are in this time, the first one at its beginning."""
    due = itertools.takewhile(lambda at: at <= seconds, itertools.accumulate(delays))
    return 1 + sum(1 for _ in due)


def backoff(pause=0, share=0.6):
    """R15, of a server that wants to be left alone for so long; where attempts take long, a share of it."""

    def bound(seconds):
        delays = (max(delay, pause) for delay in itertools.chain(FIRST, itertools.repeat(LATER)))
        exact = attempts(seconds, delays)
        return exact * SPREAD + 2, exact * share

    return bound


def refused(seconds):
    """R16. The last one may be due just now."""
    exact = attempts(seconds, itertools.chain(REFUSED, itertools.repeat(DAY)))
    return exact, max(1, exact - 1)


def same(seconds):
    """R16, of a credential that stays what it is."""
    return 1 + seconds // DAY, 1


def regularly(every, attempts_least=1):
    """Each so many seconds, on the average."""

    def bound(seconds):
        return attempts(seconds, itertools.repeat(every)) * SPREAD + 1, attempts_least

    return bound


def few(seconds):
    """Openings that have to come to something."""
    return 12, 1


@dataclass(frozen=True)
class Case:
    name: str
    # Makes the server, given the clock.
    server: Callable
    # How many attempts there may be, and have to be, in so many seconds.
    bound: Callable
    rule: str
    # By label: how many of it there may be for each attempt, and how many more.
    allows: dict = field(default_factory=lambda: OPENING)
    extra: dict = field(default_factory=dict)
    # In which states it has to be found at the end.
    states: tuple = ("backoff", "starting")
    entry: dict = field(default_factory=dict)
    # Its settings, given its port.
    own: Callable = lambda port: {}
    called: bool = True
    # Whether it is a server that really is late.
    is_silent: bool = False
    # Whether its bound is exact, so that each attempt that scaling has spoilt is one more.
    is_exact: bool = False
    # When it becomes what it is about.
    since: float = 0.0
    # Whether it is gone from then on.
    ends: bool = False


def scripted(script):
    return lambda clock: Scripted(clock, script)


def client(port, **more):
    """The settings of a server with client credentials."""
    return {"auth": {"type": "client_credentials", "client_id": "c", "client_secret": "s", **more}}


def dead():
    """Servers that nothing comes of."""
    yield Case("refused", lambda clock: Refusing(), backoff(), "R15", UNSEEN)
    yield Case("closing", Closing, backoff(), "R15", UNSEEN)
    own = {"own": lambda port: {"connect_timeout": "10s"}}
    yield Case("full", lambda clock: Full(), backoff(share=0.5), "R15", UNSEEN, is_silent=True, **own)
    yield Case("silent", scripted(silent), backoff(share=0.5), "R15", is_silent=True)
    yield Case("503", scripted(always(503)), backoff(), "R15")
    yield Case("503-hour", scripted(always(503, Retry_After="7200")), backoff(HOUR), "R15")
    yield Case("503-date", lambda clock: Scripted(clock, dated(clock, 900)), backoff(900), "R15")
    told = '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"busy"}}'
    yield Case("503-told", scripted(always(503, told, Retry_After="900")), backoff(900), "R15")
    broken = but(legacy, initialize=always(500))
    yield Case("500-initialize", scripted(broken), backoff(), "R15")
    # What always fails alike is tried less often than R15 has it.
    no_method = but(legacy, initialize=lambda ask: error(ask, -32601, 200))
    yield Case("no-initialize", scripted(no_method), backoff(share=0.5), "R15", FIND_OUT)
    lists = but(legacy, tools__list=always(500))
    yield Case("500-lists", scripted(lists), backoff(), "R15", SESSION)
    sse = {"entry": {"type": "sse"}}
    yield Case("503-sse", scripted(always(503, Retry_After="900")), backoff(900), "R15", {"GET": 1}, **sse)


def dying():
    """Servers that were well before: how they are opened is known, and not looked for any more (R15)."""
    later = {"since": TURN}
    # Until it is known that they are not well: three probes (R74), the stream that broke, once a minute at
    # most (R43), and a call a minute. Then the session is ended (R40).
    before = {"ping": 4, "server/discover": 4, "GET": 16, "tools/call": 12, "DELETE": 1}
    script = turning(TURN, legacy, always(503))
    known = {"allows": {"initialize": 1}, "extra": before}
    yield Case("503-later", scripted(script), backoff(), "R15", **known, **later)
    script = turning(TURN, modern, lambda ask: HANG_UP)
    known = {"allows": {"server/discover": 1}, "extra": before}
    yield Case("hangs-up-later", scripted(script), backoff(), "R15", **known, **later)
    gone = {"ends": True, **later}
    yield Case("gone", lambda clock: Scripted(clock, modern, TURN), backoff(), "R15", UNSEEN, **gone)


def unauthorized():
    exact = {"states": ("unauthorized", "starting"), "is_exact": True}
    header = {"entry": {"headers": {"Authorization": "Bearer not-this-one"}}}
    yield Case("401-header", scripted(always(401)), same, "R16", **exact, **header)
    yield Case("403-header", scripted(always(403)), same, "R16", **exact, **header)
    yield Case("401", scripted(always(401)), refused, "R16", **exact)

    def pinned(port):
        return client(port, token_url=f"http://{HOST}:{port}/token")

    yield Case("no-token", scripted(locked(REFUSES)), refused, "R16", TOKENS, own=client, **exact)
    once = {"allows": {"token": 1}, "own": pinned}
    yield Case("no-token-pinned", scripted(locked(REFUSES)), refused, "R16", **once, **exact)
    yield Case("bad-token", scripted(locked(GRANTS)), refused, "R16", TWO_TOKENS, own=client, **exact)

    def login(port):
        return {"auth": {"type": "login"}}

    yield Case("no-login", scripted(locked(REFUSES)), refused, "R16", own=login, **exact)


def limiting():
    yield Case("429-minute", scripted(always(429, Retry_After="60")), backoff(MINUTE), "R15")
    yield Case("429-long", scripted(always(429, Retry_After="900")), backoff(900), "R15")
    yield Case("429-bare", scripted(always(429)), backoff(), "R15")
    lists = but(legacy, tools__list=always(429, Retry_After="900"))
    yield Case("429-lists", scripted(lists), backoff(900), "R15", SESSION)
    token = {"own": client, "allows": TOKENS}
    yield Case("429-token", scripted(locked(always(429, Retry_After="900"))), backoff(900), "R15", **token)
    # Each list that is refused is asked for once more after the pause, so that it opens at last (R55).
    twice = dict.fromkeys(SESSION, 2)
    opens = {"states": ("ready", "degraded"), "called": False}
    yield Case("1-in-15s", lambda clock: Scripted(clock, rationed(15, legacy)), few, "R55", twice, **opens)
    # A probe that is refused so makes the next ones rarer.
    probes = {"allows": {"server/discover": 1}, "extra": {"server/discover": 4}}
    later = {"since": TURN, "states": ("ready", "degraded"), "called": False, "is_exact": True} | probes
    script = turning(TURN, modern, always(429, Retry_After="60"))
    yield Case("429-later", scripted(script), regularly(2 * PROBE, 0), "R74", **later)


def others():
    failed = {"states": ("failed", "starting")}
    page = always(200, "<html>log in</html>", "text/html")
    yield Case("page", scripted(page), regularly(RECHECK), "R11", FIND_OUT, **failed)
    yield Case("404", scripted(always(404)), regularly(RECHECK), "R11", FIND_OUT, **failed)
    well = {"states": ("ready",), "called": False, "is_exact": True}
    # Opened once, or twice where scaling has spoilt a start.
    yield Case("idle", scripted(modern), regularly(PROBE), "R74", {"server/discover": 1}, OPENED, **well)
    # Its stream is a sign of life, so it need not be asked.
    yield Case("idle-session", scripted(legacy), regularly(DAY), "R74", {"ping": 1}, OPENED, **well)


CASES = [*dead(), *dying(), *unauthorized(), *limiting(), *others()]
