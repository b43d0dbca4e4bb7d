#!/usr/bin/env python3
"""Has a name lead elsewhere, and proves that mcpvisor does not follow where it may not.

    names.py [--daemon PATH_TO_MCPVISOR] [--only SERVER[:CHECK]]... [--log LEVEL]

The real daemon and real servers (fleet.py) run in a network of their own, in which this machine has every address that
is tried (network.py), public ones, private ones and that of clouds' metadata. At each of them is a door to the same
server, so that a request to a forbidden address would be answered. Names are looked up at a name server that answers as
a check wants: this today and that tomorrow, or each time another. The server is defined through the API, with
`remotes.api_addresses = "public"`. A check fails where a door has counted somebody who must not come, and also where
nobody came through one that is allowed: then it has shown nothing.

It needs root, or a kernel that lets users make networks. Exit codes: 0 all is as it should be; 1 it is not; 2 it could
not be tried.
"""

import argparse
import contextlib
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

from callers import Rest  # noqa: E402
from checks import BACK_S, FAULTS, READY_S, Bench, require, short, unique  # noqa: E402
from daemon import Broken  # noqa: E402
from fleet import SERVERS, Running, require_installed  # noqa: E402
from front import Front  # noqa: E402
from network import Door, Resolver, enter, furnish, silent  # noqa: E402
from outcomes import MARKS, carry_out, reason  # noqa: E402

NAME = "server.example.com"
# Public ones, of which the last has no door.
GOOD, OTHER, DEAD = "20.1.2.3", "20.1.2.4", "20.1.2.5"
DEAD_V6 = "2600::5"
# Where a server that was defined through the API may not be, each for a reason of its own.
FORBIDDEN = ["169.254.169.254", "127.0.0.1", "10.9.8.7", "169.254.1.1", "fd00:ec2::254", "::1"]
# Other spellings of such addresses, and where a connection to them would end.
SPELLINGS = ["::ffff:169.254.169.254", "::ffff:127.0.0.1", "0.0.0.0", "::"]
LITERALS = ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:7f00:1]", "10.9.8.7"]
# Those that are not particular about the name in the Host header.
TRIED = ["ts1", "ts2", "everything-sse"]
PORT = 18080
CONFIG = '[log]\nlevel = "{}"\n\n[remotes]\napi_addresses = "public"\n'
MANY, ROUNDS = 20, 5
CONNECT_TIMEOUT = "6s"

CHECKS = {}


def check(act):
    CHECKS[act.__name__.replace("_", "-")] = act
    return act


@dataclass
class Run:
    """One server, and what came of its checks."""

    server: object
    checks: list
    outcomes: dict = field(default_factory=dict)

    @property
    def name(self):
        return f"names-{self.server.name}"


@dataclass
class Site(Bench):
    """A daemon in front of a server that is behind doors, with a name server for it."""

    resolver: Resolver = None
    doors: dict = None

    def define(self, host=NAME):
        own = {"connect_timeout": CONNECT_TIMEOUT} | self.server.options
        entry = {"name": "r", "url": f"http://{host}:{PORT}{self.server.path}", "mcpvisor": own}
        if self.server.is_sse:
            entry["type"] = "sse"
        return self.rest.send("POST", "/api/servers", entry)

    def opened_at(self, addresses):
        """Defines the server by its name, which leads there, and waits for it."""
        self.resolver.answer(NAME, addresses)
        code, answer = self.define()
        require(code == 200, f"POST /api/servers: {code} {short(answer)}")
        self.wait_until(["ready"], READY_S)
        self.echoed(unique("at first"))

    def refused(self):
        """A call that may not go where the name leads now: nothing was sent, and it says why."""
        code, answer, _took = self.rest.invoke(self.tools.echo, {self.tools.text: unique("elsewhere")}, BACK_S)
        error = answer.get("error", {})
        phase = (error.get("details") or {}).get("phase")
        require((code, phase) == (502, "not_sent"), f"{code} {short(answer)}")
        require("may not be connected to" in error["message"], short(error["message"]))
        status = self.rest.status()
        told = (status["state"], status.get("cause_code"))
        require(told == ("failed", "address_not_allowed"), f"the state is {told}, cause {status.get('cause')!r}")

    def back(self):
        """The name leads to the good address again, and the server is opened anew."""
        self.resolver.answer(NAME, [GOOD])
        code, answer = self.rest.send("POST", "/v1/mcps/r/restart")
        require(code == 200, f"restart: {code} {short(answer)}")
        self.wait_until(["ready"], READY_S)
        self.echoed(unique("back again"), BACK_S)

    def nobody_came(self):
        """The proof: no connection to any address that is forbidden."""
        came = {address: door.count for address, door in self.doors.items() if address in FORBIDDEN and door.count}
        require(not came, f"connections to {came}")
        require(self.doors[GOOD].count > 0, "nobody came through the good door either")

    def wait_until(self, states, seconds):
        # Here it may have failed, and be looked at again.
        end = time.monotonic() + seconds
        while (status := self.rest.status())["state"] not in states:
            require(time.monotonic() < end, f"the state is {status['state']}, cause {status.get('cause')!r}")
            time.sleep(0.05)


@check
def doors(site):
    """That a server of the file may be at a private address shows that only the rules keep others out."""
    entry = {"url": f"http://{NAME}:{PORT}{site.server.path}", "mcpvisor": site.server.options}
    site.resolver.answer(NAME, ["10.9.8.7"])
    folder = site.running.journal.file.parent
    with Front(site.daemon.program, {"r": entry}, folder / "file.log", site.daemon.config) as daemon:
        other = Site(site.server, site.running, None, daemon, Rest(daemon.url, daemon.key()))
        other.wait_until(["ready"], READY_S)
        other.echoed(unique("of a file"))
        require(site.doors["10.9.8.7"].count > 0, "it was not reached by its door")
        # But not at that of metadata.
        site.resolver.answer(NAME, ["169.254.169.254"])
        site.doors["10.9.8.7"].cut()
        other.refused()
        require(site.doors["169.254.169.254"].count == 0, "somebody came to the address of metadata")


@check
def reconnect(site):
    """The name has come to lead elsewhere when the connection has to be made anew."""
    site.opened_at([GOOD])
    for address in [*FORBIDDEN, *SPELLINGS]:
        site.resolver.answer(NAME, [address])
        site.doors[GOOD].cut()
        site.refused()
        site.nobody_came()
        site.back()


@check
def lost_session(site):
    """The same when the session is gone: by itself, with connections that are good still, and with the server."""
    site.opened_at([GOOD])
    for address in FORBIDDEN[:3]:
        if site.server.sessions and not site.server.is_sse:
            site.end_session()
            site.resolver.answer(NAME, [address])
            # One that is there may be used on; another one may not be made.
            arguments = {site.tools.text: unique("without a session")}
            code, answer, _took = site.rest.invoke(site.tools.echo, arguments, BACK_S)
            require(code in (200, 502), f"{code} {short(answer)}")
            site.nobody_came()
        site.resolver.answer(NAME, [address])
        site.running.restart()
        site.refused()
        site.nobody_came()
        site.back()


@check
def each_time_another(site):
    """Every second look-up leads elsewhere: what was checked must be what is dialled."""
    site.opened_at([GOOD])
    before = len(site.resolver.given)
    for address in FORBIDDEN[:3]:
        site.resolver.answer(NAME, [GOOD], [address])
        for _ in range(ROUNDS):
            site.doors[GOOD].cut()
            with ThreadPoolExecutor(MANY) as pool:
                arguments = [{site.tools.text: unique("at once")} for _ in range(MANY)]
                list(pool.map(lambda one: site.rest.invoke(site.tools.echo, one, BACK_S), arguments))
            site.rest.send("POST", "/v1/mcps/r/restart")
        site.nobody_came()
        site.back()
    given = site.resolver.given[before:]
    both = [GOOD] in given and all([address] in given for address in FORBIDDEN[:3])
    require(both, f"of {len(given)} look-ups not all led elsewhere")
    return f"{len(given)} look-ups, {sum(one != [GOOD] for one in given)} of which led elsewhere"


@check
def among_others(site):
    """One name with several addresses: those that are forbidden are left out, wherever they stand."""
    site.opened_at(["169.254.169.254", GOOD, "127.0.0.1", "::1"])
    for addresses in (["10.9.8.7", GOOD], [GOOD, "10.9.8.7"], ["fd00:ec2::254", GOOD]):
        site.resolver.answer(NAME, addresses)
        site.doors[GOOD].cut()
        site.echoed(unique("among others"), BACK_S)
        site.nobody_came()


@check
def one_is_dead(site):
    """One of several addresses is dead, by refusing or by saying nothing: it goes on at the other one."""
    leads_to_dead(site, [DEAD, GOOD])
    site.opened_at([DEAD, GOOD])
    leads_to_dead(site, [DEAD_V6, GOOD])
    site.doors[GOOD].cut()
    site.echoed(unique("beside one of IPv6"), BACK_S)
    leads_to_dead(site, [DEAD, GOOD])
    with silent(DEAD, PORT):
        site.doors[GOOD].cut()
        site.echoed(unique("beside a silent one"), BACK_S)
    # And where the living one dies, it goes on at a third.
    leads_to_dead(site, [DEAD, OTHER])
    site.doors[GOOD].cut()
    site.echoed(unique("at the third"), BACK_S)
    require(site.doors[OTHER].count > 0, "it was not reached at the third")


def leads_to_dead(site, addresses):
    """Has the name lead there, the dead one before the living, which is how they are tried."""
    site.resolver.answer(NAME, addresses)
    found = [one[4][0] for one in socket.getaddrinfo(NAME, PORT, type=socket.SOCK_STREAM)]
    require(found == addresses, f"they are tried as {found}")


@check
def literals(site):
    """Addresses without a name, in any spelling."""
    for host in LITERALS:
        code, answer = site.define(host)
        if code == 200:
            site.wait_until(["failed"], READY_S)
            site.refused()
            code, answer = site.rest.send("DELETE", "/api/servers/r")
            require(code == 200, f"DELETE: {code} {short(answer)}")
        else:
            require(code == 400, f"{host}: {code} {short(answer)}")
    came = {address: door.count for address, door in site.doors.items() if door.count}
    require(not came, f"connections to {came}")


@contextlib.contextmanager
def site_of(server, options, folder):
    folder.mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(Running(server, folder))
        resolver = stack.enter_context(Resolver())
        doors = {at: stack.enter_context(Door(at, PORT, running)) for at in (GOOD, OTHER, *FORBIDDEN)}
        daemon = Front(options.daemon, {}, folder / "daemon.log", CONFIG.format(options.log))
        stack.enter_context(daemon)
        key = daemon.key()
        yield Site(server, running, None, daemon, Rest(daemon.url, key), key, None, resolver, doors)


def try_all(options, folder):
    furnish([GOOD, OTHER, DEAD, DEAD_V6, *FORBIDDEN], folder)
    runs = planned(options.only)
    require_installed([run.server for run in runs])
    for run in runs:
        for name in run.checks:
            start = time.monotonic()
            try:
                with site_of(run.server, options, folder / f"{run.server.name}-{name}") as site:
                    run.outcomes[name] = ("ok", CHECKS[name](site) or "")
            except FAULTS as error:
                run.outcomes[name] = ("no", reason(error))
            mark, told = MARKS[run.outcomes[name][0]], run.outcomes[name][1]
            print(f"{run.server.name:<16} {name:<18} {mark:<3} {time.monotonic() - start:3.0f} s  {told}", flush=True)
    return runs


def planned(only):
    known = {*TRIED, *(f"{server}:{name}" for server in TRIED for name in CHECKS)}
    if unknown := [one for one in only if one not in known]:
        there = f"{', '.join(TRIED)}, each with {', '.join(CHECKS)}"
        raise Broken(f"nothing is called {' or '.join(unknown)}; there are {there}")
    runs = []
    for server in TRIED:
        chosen = [name for name in CHECKS if not only or server in only or f"{server}:{name}" in only]
        if chosen:
            runs.append(Run(SERVERS[server], chosen))
    return runs


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    built = HERE.parent.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    parser.add_argument("--only", metavar="SERVER[:CHECK]", action="append", default=[])
    parser.add_argument("--log", metavar="LEVEL", default="info", help="how much the daemon logs")
    options = parser.parse_args()
    options.expect = HERE / "expected.txt"
    return options


def main():
    options = parsed_options()
    try:
        enter()
    except Broken as error:
        print(f"names.py: {error}", file=sys.stderr)
        return 2
    return carry_out("names", options, try_all)


if __name__ == "__main__":
    sys.exit(main())
