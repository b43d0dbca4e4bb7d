#!/usr/bin/env python3
"""Tries mcpvisor in front of remote MCP servers that others wrote, or that are written with the SDKs of others, and
says what of it works.

    run.py [--daemon PATH_TO_MCPVISOR] [--only SERVER[:CHECK]]... [--expect FILE] [--bare] [--log LEVEL]

For each server of fleet.py: the server is started on a port of loopback, the daemon with a servers file that has
nothing but its address, and the checks of checks.py are made, one after the other. Where one fails, both are started
anew for the next. The servers write down what they are asked (servers/journal.mjs), which is how it is known that a
session was opened once and no call carried out twice.

`--bare` leaves the daemon out and makes what MCP clients can make of the server itself: what fails there is the
server's, and no fault of the daemon's.

What is printed is a table: ok, NO, or - for what makes no sense for a server. What is not ok has to be named in the
file of expectations, one a line, `*` standing for anything: `SERVER CHECK no|may  the reason`, where `may` is for what
depends on who is first. Exit codes: 0 as expected; 1 something is not ok and not named, or named `no` and ok wherever
its line holds; 2 it could not be tried at all. What the daemon and the servers wrote is in the folder that is named at
the end. All of it takes two thirds of an hour.
"""

import argparse
import contextlib
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

import between  # noqa: E402, F401
import checks  # noqa: E402
import moving  # noqa: E402, F401
import sizes  # noqa: E402, F401
from callers import Rest  # noqa: E402
from checks import BARE, CHECKS, FRESH, Bench, in_order  # noqa: E402
from daemon import Broken  # noqa: E402
from fleet import SERVERS, Running, require_installed  # noqa: E402
from front import Front  # noqa: E402
from outcomes import MARKS, carry_out, reason  # noqa: E402

COLUMNS = 6
# Of the limits, that of the gateway's own must not be the one that is met first.
CONFIG = '[log]\nlevel = "{}"\n\n[http]\nbody_limit = "16MiB"\n'
# So often a server that never becomes ready is started; each time costs half a minute.
HOPES = 2


@dataclass
class Run:
    """One server, and the checks that are made of it."""

    server: object
    checks: list
    # By check: the outcome, and what was wrong.
    outcomes: dict = field(default_factory=dict)
    journals: list = field(default_factory=list)

    @property
    def name(self):
        return self.server.name


def planned(only, bare):
    """The servers and checks that are asked for; all where nothing is."""
    names = BARE if bare else in_order()
    runs = []
    for server in SERVERS.values():
        chosen = [c for c in names if not only or server.name in only or f"{server.name}:{c}" in only]
        if chosen:
            runs.append(Run(server, chosen))
    known = {*SERVERS, *(f"{server}:{name}" for server in SERVERS for name in names)}
    if unknown := [one for one in only if one not in known]:
        there = f"{', '.join(SERVERS)}, each with {', '.join(names)}"
        raise Broken(f"nothing is called {' or '.join(unknown)}; there are {there}")
    return runs


@contextlib.contextmanager
def bench_of(run, options, folder):
    """The server, and the daemon in front of it, in a folder of their own."""
    folder.mkdir(parents=True)
    with Running(run.server, folder) as running:
        run.journals.append(running.journal)
        if options.bare:
            yield Bench(run.server, running, running.url)
            return
        servers = {"r": run.server.entry(running.port)}
        with Front(options.daemon, servers, folder / "daemon.log", CONFIG.format(options.log)) as daemon:
            rest, key = Rest(daemon.url, daemon.key()), daemon.key()
            yield Bench(run.server, running, f"{daemon.url}/mcp/r", daemon, rest, key, run.journals)


def try_server(run, options, folder):
    """Makes its checks; after one that fails, and for one that is to have its own, there is a new bench."""
    left = [name for name in run.checks if name not in run.server.lacks]
    run.outcomes = {name: ("none", "") for name in run.checks}
    hopes = HOPES
    while left and hopes:
        place = folder / f"{run.server.name}-{left[0]}"
        try:
            with contextlib.ExitStack() as stack:
                bench = opened(run, options, place, stack, left)
                if bench is None:
                    hopes -= 1
                else:
                    try_on(run, bench, left, stack)
        except Broken as error:
            # Such as a daemon that does not end in order.
            run.outcomes["end"] = ("no", reason(error))
    run.outcomes |= {name: ("no", "it is never ready") for name in left}


def opened(run, options, folder, stack, left):
    """A bench on which the server is ready. `None` where it does not become so, for which the first check answers."""
    try:
        bench = stack.enter_context(bench_of(run, options, folder))
        if not options.bare:
            bench.opened()
        return bench
    except checks.FAULTS as error:
        run.outcomes[left.pop(0)] = ("no", reason(error))
        return None


def try_on(run, bench, left, stack):
    """Makes checks as long as all is well, and takes them off what is left."""
    used = False
    while left and not (used and left[0] in FRESH):
        name, used = left.pop(0), True
        try:
            told = CHECKS[name](bench)
            if not left:
                # How the daemon ends belongs to the last one.
                stack.close()
            run.outcomes[name] = ("ok", told or "")
        except checks.Skipped:
            continue
        except checks.FAULTS as error:
            run.outcomes[name] = ("no", reason(error))
            return


def print_table(runs):
    """A row for each check and a column for each server, as many as fit beside each other."""
    for first in range(0, len(runs), COLUMNS):
        columns = runs[first : first + COLUMNS]
        print("\n" + " " * 14 + " ".join(f"{run.server.name:<15}" for run in columns))
        names = [*in_order(), "end"]
        for name in (name for name in names if any(name in run.outcomes for run in columns)):
            marks = [MARKS[run.outcomes.get(name, ("none", ""))[0]] for run in columns]
            print(f"{name:<14}" + " ".join(f"{mark:<15}" for mark in marks))
    print()
    for run in runs:
        for name, (outcome, told) in run.outcomes.items():
            if outcome == "ok" and told:
                print(f"seen      {run.name} {name}: {told}")


def try_all(options, folder):
    runs = planned(options.only, options.bare)
    require_installed([run.server for run in runs])
    for run in runs:
        start = time.monotonic()
        try_server(run, options, folder)
        outcomes = [outcome for outcome, _ in run.outcomes.values()]
        counts = ", ".join(f"{outcomes.count(outcome)} {mark}" for outcome, mark in MARKS.items())
        print(f"{run.server.name:<16} {counts}, {time.monotonic() - start:.0f} s", flush=True)
    return runs


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    built = HERE.parent.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    parser.add_argument("--only", metavar="SERVER[:CHECK]", action="append", default=[])
    parser.add_argument("--expect", type=Path, help="file of expectations; expected.txt, or expected-bare.txt")
    parser.add_argument("--bare", action="store_true", help="the servers themselves, without the daemon")
    parser.add_argument("--log", metavar="LEVEL", default="info", help="how much the daemon logs")
    options = parser.parse_args()
    options.expect = options.expect or HERE / ("expected-bare.txt" if options.bare else "expected.txt")
    return options


if __name__ == "__main__":
    sys.exit(carry_out("remotes", parsed_options(), try_all, print_table))
