#!/usr/bin/env python3
"""Counts what the daemon sends in a day to remote servers that are dead, unauthorized or limit its rate, and
holds it against R15, R16, R55 and R74 of remote-upstreams.

    day.py [--daemon PATH_TO_MCPVISOR] [--hours 24] [--speed 300] [--only NAME]...

The daemon is the real one, all servers are in its one servers file, and its clocks run faster: `faketime`, a
package of Debian, scales what clock_gettime says and how long epoll_wait waits, which is all that the timers
of tokio know of time. The servers (day_cases.py, day_servers.py) are not faked and count each request. Most
of them are there twice, the second time with a client that uses them once a minute: that must not make them
any more requests. Attempts that no server sees, such as those that are refused, are counted in the daemon's
log (`connecting`) and held against its own number of restarts.

What scaling spoils, and what is done about it: at a speed of 300 the ten seconds that the daemon has for the
answer to a probe are 33 real milliseconds, which a busy machine may miss. Such a miss is told from the log,
because these servers answer at once. It is counted as `late`, and is good for one more attempt where a bound
is exact (R16), and for one request within a pause, of which the daemon has not heard then. Many of them make
the run worthless: then it begins anew at half the speed. The time to connect is set long. The servers are
defined one after the other, since all openings at once would be too many for 33 milliseconds. For an opening
to cost one millisecond and not fifty, the daemon has one certificate authority and not all of the system's.
That few servers may start at once is lifted: it would hide a ladder that is too steep.

A run also fails where fewer attempts were made than a ladder has: then it has shown nothing. Exit codes: 0
all bounds hold; 1 one does not; 2 it could not be tried, also where the clock was not what it should be.
"""

import argparse
import collections
import datetime
import gc
import json
import re
import shutil
import signal
import ssl
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

from callers import Rest, Unanswered  # noqa: E402
from daemon import Broken, Daemon, readiness  # noqa: E402
from day_cases import CASES, OPENINGS  # noqa: E402
from day_servers import HOST, PATH, Clock, opened  # noqa: E402

LIBRARY = "libfaketimeMT.so.1"
# Where Debian keeps it, for each architecture.
LIBRARIES = "lib/*/faketime"
SHARED = Path("/dev/shm")
MINUTE_S, HOUR_S = 60, 3600
CONFIG = """
[server]
# To write everything to the disk at the end takes real time.
drain = "1h"

[log]
level = "info"

[starts]
concurrent = 1000
per_second = 10000
"""
# One server after the other is defined, so far apart: where all begin at once, none is answered in time.
APART_S, SPREAD_OVER = 36, 0.25
# The deadline of a call, in the daemon's time.
CALL_MS = 20_000
# These are asked for side by side: one may be on its way while another one is refused, for so long at most.
BESIDE, CROSSED_S = ("GET", "tools/list", "resources/list", "resources/templates/list", "prompts/list"), 3
CANCELLED = "notifications/cancelled"
# The longest pause that is granted to a server.
LONGEST_PAUSE_S = 3600
# More servers than there are.
PAGE = 100
# So many misses that scaling made are borne by one server, and so slow it may become.
BORNE, SLOWEST = 10, 30
# How exact the clock has to be: over all, and the interval of the control's probes.
DRIFT, EVERY_S, SPREAD = 0.02, 300, 0.2
CONTROL = "idle"
# All servers are there after half an hour, and some change after an hour.
LEAST_HOURS = 2
LINE = re.compile(r"^(\S+Z) +[A-Z]+ +(.*?) server=\"?([\w-]+)")
LATE = re.compile(r"in time|last probe|went unanswered")


class TooBusy(Exception):
    """The daemon, or a server, was not given the time that it needs at this speed; the text says who."""


@dataclass
class Row:
    """One server, and what became of it."""

    name: str
    case: object
    server: object
    called: bool
    # When the daemon began to open it, and when scaling made it miss something.
    openings: list = field(default_factory=list)
    late: list = field(default_factory=list)
    # By status: what the calls were answered with.
    answers: collections.Counter = field(default_factory=collections.Counter)
    counts: list = field(default_factory=list)
    # What the daemon says of it at the end.
    state: str = ""
    restarts: int = 0

    def entry(self):
        own = {"connect_timeout": "60s"} | self.case.own(self.server.port)
        return {"url": f"http://{HOST}:{self.server.port}{PATH}", "mcpvisor": own} | self.case.entry

    def bound(self, end):
        """How many attempts there may be, and have to be, since it is what its case is about."""
        since = max(self.case.since, min(self.openings, default=end))
        most, least = self.case.bound(end - since)
        # What scaling has spoilt is tried again.
        return most + (len(self.late) if self.case.is_exact else 0), least

    def attempts(self):
        return sum(at >= self.case.since for at in self.openings)

    def sent(self):
        """By label: how many requests there were from when the server is what the case is about."""
        if not self.server.sees or self.case.ends:
            return collections.Counter({OPENINGS: self.attempts()})
        return collections.Counter(count.label for count in self.counts if count.at >= self.case.since)


def faked(speed, folder):
    """The environment in which the clocks of a program run faster."""
    prefix = Path(shutil.which("faketime") or "/usr/bin/faketime").parents[1]
    found = sorted(prefix.glob(f"{LIBRARIES}/{LIBRARY}"))
    if not found:
        raise Broken(f"{LIBRARY} is missing: install Debian's package faketime")
    authorities = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not authorities:
        raise Broken("this machine has no certificate authorities: install Debian's package ca-certificates")
    file, empty = folder / "authority.pem", folder / "no-authorities"
    file.write_text(ssl.DER_cert_to_PEM_cert(authorities[0]))
    empty.mkdir()
    clocks = {"LD_PRELOAD": str(found[0]), "FAKETIME": f"+0 x{speed}"}
    return clocks | {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": str(empty)}


class Growing(Daemon):
    """The daemon with a servers file that grows. It is told of that, because its threads that wait with a
    deadline, such as the one that looks at files, do so by futexes, which are not scaled: they wait long."""

    def define(self, servers):
        file = Path(self._folder.name) / "servers.json"
        # Never half of it.
        (new := file.with_suffix(".new")).write_text(json.dumps({"mcpServers": servers}))
        new.replace(file)
        self._process.send_signal(signal.SIGHUP)

    def __exit__(self, *raised):
        try:
            super().__exit__(*raised)
        finally:
            # What the library leaves there where its program had to be killed.
            for left in SHARED.glob(f"*faketime_*_{self._process.pid}"):
                left.unlink(missing_ok=True)


class Caller(threading.Thread):
    """A client who uses one server once a minute, each time in another way."""

    def __init__(self, row, rest, clock, over):
        super().__init__()
        self._row, self._rest, self._clock, self._over = row, rest, clock, over

    def run(self):
        name, due = self._row.name, self._clock.now()
        call = {"mcp_id": name, "tool": "echo", "arguments": {}, "timeout": CALL_MS}
        ways = [
            ("POST", "/v1/mcp/invoke", call),
            ("POST", "/v1/mcp/resources", {"mcp_id": name, "timeout": CALL_MS}),
            ("POST", "/v1/mcp/invoke", call),
            ("GET", f"/api/servers/{name}/tools", None),
        ]
        while not self._over.wait(self._clock.real(due - self._clock.now())):
            way = ways[int(due / MINUTE_S) % len(ways)]
            try:
                status, _ = self._rest.send(*way)
            except Unanswered:
                status = "none"
            self._row.answers[status] += 1
            due += MINUTE_S


def planned(only, clock):
    """A row for each server, and one more for each that is called, too."""
    rows = []
    for case in CASES:
        for called in (False, True) if case.called else (False,):
            name = f"{case.name}-called" if called else case.name
            if not only or case.name in only or case.name == CONTROL:
                rows.append(Row(name, case, case.server(clock), called))
    if unknown := set(only) - {case.name for case in CASES}:
        there = ", ".join(case.name for case in CASES)
        raise Broken(f"nothing is called {' or '.join(unknown)}; there are {there}")
    return rows


def live(options, rows, clock, folder):
    """Lets the daemon live its day. What was sent is in the rows; returns how long the day was."""
    file, day = folder / "daemon.log", options.hours * HOUR_S
    log = Log(file, rows, clock)
    apart = min(APART_S, day * SPREAD_OVER / len(rows))
    clock.start()
    with Growing(options.daemon, {}, file, CONFIG, faked(clock.speed, folder)) as daemon:
        rest, over, callers, defined = Rest(daemon.url, daemon.owner_key), threading.Event(), [], {}
        try:
            for row in rows:
                defined[row.name] = row.entry()
                daemon.define(defined)
                wait_until(clock.now() + apart, clock, daemon, log)
                if row.called:
                    callers.append(Caller(row, rest, clock, over))
                    callers[-1].start()
            wait_until(day, clock, daemon, log)
        finally:
            over.set()
            for caller in callers:
                caller.join()
        end = clock.now()
        for row in rows:
            row.counts = list(row.server.counts)
        read_states(rest, rows)
        log.end(end)
    return end


def read_states(rest, rows):
    status, body = rest.send("GET", f"/v1/mcps?per_page={PAGE}")
    if status != 200:
        raise Broken(f"GET /v1/mcps: {status} {body}")
    known = {each["name"]: each for each in body["data"]}
    for row in rows:
        if row.name not in known:
            raise Broken(f"/v1/mcps does not know {row.name}")
        row.state, row.restarts = known[row.name]["state"], known[row.name]["restarts"]


def wait_until(seconds, clock, daemon, log):
    """Waits until so much of its time is over, as long as the daemon is there and keeps up."""
    port = int(daemon.url.rsplit(":", 1)[1])
    while (left := clock.real(seconds - clock.now())) > 0:
        status, answer = readiness(port)
        if status is None:
            raise Broken(f"the daemon does not answer any more: {answer}")
        log.read()
        time.sleep(min(1.0, left))


class Log:
    """What the daemon wrote, read as it grows: when it began to open which server, and what came too late."""

    def __init__(self, file, rows, clock):
        self._file, self._rows, self._clock = file, {row.name: row for row in rows}, clock
        self._offset, self._rest = 0, ""
        # When it wrote last, by its own clock.
        self.last = 0.0

    def read(self):
        with open(self._file, errors="replace") as log:
            log.seek(self._offset)
            *lines, self._rest = (self._rest + log.read()).split("\n")
            self._offset = log.tell()
        for line in lines:
            if (found := LINE.match(line)) and (row := self._rows.get(found[3])):
                self.last = datetime.datetime.fromisoformat(found[1]).timestamp() - self._clock.wall
                self._take(row, found[2])

    def _take(self, row, text):
        if text.startswith("connecting"):
            row.openings.append(self.last)
        elif LATE.search(text) and not row.case.is_silent:
            row.late.append(self.last)
            if row.case.is_exact and len(row.late) > BORNE:
                raise TooBusy(row.name)

    def end(self, end):
        """Takes what is new, and nothing of what came later. Raises Broken where the clock is another."""
        self.read()
        if abs(self.last - end) > max(DRIFT * end, 2 * EVERY_S):
            raise Broken(f"after {end:.0f} s of its time the daemon's clock says {self.last:.0f} s")
        for row in self._rows.values():
            row.openings = [at for at in row.openings if at <= end]


def check_pace(rows):
    """Raises Broken where a timer of five minutes is none: what a clock says is one thing, and when timers
    fire another."""
    control = next(row for row in rows if row.name == CONTROL)
    times = [count.at for count in control.counts if count.label == "server/discover"]
    gaps = [after - before for before, after in zip(times, times[1:])]
    if not gaps:
        raise Broken("the control was never probed")
    middle = statistics.median(gaps)
    spread = f"median of {len(gaps)}, {min(gaps):.0f} to {max(gaps):.0f}"
    print(f"a timer of {EVERY_S} s fired after {middle:.1f} s of the daemon's time ({spread})")
    if abs(middle - EVERY_S) > SPREAD * EVERY_S:
        raise Broken(f"a timer of {EVERY_S} s fires after {middle:.1f} s of the daemon's time")


def judge(row, end):
    """What of its bounds does not hold, in words; nothing where all do."""
    most, least = row.bound(end)
    for label, number in sorted(row.sent().items()):
        limit = most * row.case.allows.get(label, 0) + row.case.extra.get(label, 0)
        # What was not waited for any more, because scaling had made it late, is cancelled (R59).
        opened_again = row.case.is_exact and label in row.case.extra
        limit += len(row.late) if label == CANCELLED or opened_again else 0
        if limit == 0:
            yield f"{number} {label}, which is none of what may be sent"
        elif number > limit:
            yield f"{number} {label}, at most {limit:.0f}"
    if row.attempts() < least:
        yield f"only {row.attempts()} attempts, of {least:.0f} at least: nothing is shown"
    # One may have begun while the daemon was asked.
    if abs(row.restarts + 1 - len(row.openings)) > 1:
        yield f"{len(row.openings)} openings in the log, and {row.restarts} restarts in /v1"
    early = list(too_early(row.counts))
    if len(early) > len(row.late):
        yield f"{len(early)} requests within a pause that was told, such as {early[0]}"
    if row.state not in row.case.states:
        yield f"its state is {row.state} and not {' or '.join(row.case.states)}"
    if row.called:
        yield from judge_calls(row, end)


def too_early(counts):
    """What was sent although the server had said when to come again."""
    until, told = 0.0, None
    for count in sorted(counts, key=lambda count: count.at):
        # A session that is given up is ended at once (R40).
        may = told is None or crossed(told, count) or count.label == "DELETE"
        if count.at < until and not may:
            after = count.at - told.answered
            yield f"{count.label} {after:.1f} s after {told.label} was told {told.pause:.0f} s"
        pause = min(count.pause, LONGEST_PAUSE_S)
        if pause and count.answered + pause > until:
            until, told = count.answered + pause, count


def crossed(told, count):
    """Whether a request may have been sent before what another one was told had been read."""
    return told.label in BESIDE and count.label in BESIDE and count.at - told.answered < CROSSED_S


def judge_calls(row, end):
    calls = sum(row.answers.values())
    if calls < 0.8 * (end - min(row.openings, default=0)) / MINUTE_S:
        yield f"only {calls} calls were made"
    if row.answers["none"] > 0.01 * calls:
        yield f"{row.answers['none']} calls were not answered"


def tell(rows, end):
    """Prints the table; whether all bounds hold."""
    print(f"\n{'server':<22} {'rule':<5} {'at most':>7}  {'holds':<5}  {'late':>4}  what was sent")
    holds = True
    for row in rows:
        wrong = list(judge(row, end))
        most, _ = row.bound(end)
        sent = ", ".join(f"{number} {label}" for label, number in row.sent().most_common())
        calls = f"; {sum(row.answers.values())} calls" if row.called else ""
        mark, late = "NO" if wrong else "yes", len(row.late) or ""
        print(f"{row.name:<22} {row.case.rule:<5} {most:>7.0f}  {mark:<5}  {late:>4}  {sent}{calls}")
        for reason in wrong:
            print(f"{'':<22} {reason}")
        holds = holds and not wrong
    return holds


def run(options, speed, folder):
    """Whether all bounds hold. Raises TooBusy where this machine does not keep up with the speed."""
    clock = Clock(speed)
    rows = planned(options.only, clock)
    with opened([row.server for row in rows]):
        end = live(options, rows, clock, folder)
    check_pace(rows)
    return tell(rows, end)


def run_slowly_enough(options, folder):
    # Neither the garbage nor the callers may make the servers late: a millisecond is a third of a second.
    gc.disable()
    sys.setswitchinterval(0.0002)
    speed = options.speed
    while True:
        place = folder / f"x{speed}"
        place.mkdir()
        try:
            return run(options, speed, place)
        except TooBusy as late:
            print(f"this machine is too busy for a speed of {speed}: {late} is late too often", flush=True)
        speed //= 2
        if speed < SLOWEST:
            raise Broken("this machine is too busy")


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    built = HERE.parent.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    parser.add_argument("--hours", type=float, default=24, help=f"how long a day is, at least {LEAST_HOURS}")
    parser.add_argument("--speed", type=int, default=300, help="how much faster the clocks run")
    parser.add_argument("--only", metavar="NAME", action="append", default=[], help="not all servers")
    options = parser.parse_args()
    if options.hours < LEAST_HOURS:
        parser.error(f"--hours has to be {LEAST_HOURS} at least")
    return options


def main():
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = parsed_options()
    folder = Path(tempfile.mkdtemp(prefix="remotes-day-"))
    holds = None
    try:
        holds = run_slowly_enough(options, folder)
    except (Broken, Unanswered, OSError) as error:
        print(f"day.py: {error}", file=sys.stderr)
    except (KeyboardInterrupt, SystemExit):
        shutil.rmtree(folder)
        return 2
    if holds or not list(folder.glob("*/daemon.log")):
        shutil.rmtree(folder)
    else:
        print(f"\nwhat the daemon wrote: {folder}")
    return {True: 0, False: 1, None: 2}[holds]


if __name__ == "__main__":
    sys.exit(main())
