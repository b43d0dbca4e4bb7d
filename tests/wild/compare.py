#!/usr/bin/env python3
"""Compares what mcpvisor shows of published servers with what a plain client sees of them.

    MCPVISOR=target/debug/mcpvisor python3 -B tests/wild/compare.py [--only NAME,NAME] [--count N] [--short] [--late SECONDS]

prints a line for each server and a summary. Exit codes: 0 no difference but those that the table gives a reason
for; 1 a difference, or no end within the time (`--within`); 2 it could not be tried at all (the command line, the
table, the daemon's program missing). With `--late` the gateway's servers begin so late that both ways to open them
are under way before they read the first line, which must change nothing. Servers are taken in batches. Whatever was started is ended when the run ends,
is interrupted or told to stop by SIGTERM.
"""

import argparse
import concurrent.futures
import os
import shutil
import signal
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from wild import checks, direct, processes, shown, table
from wild.daemon import Broken, Daemon
from wild.stdio import Silent

# How many servers one daemon has at a time, and how many plain clients run side by side.
BATCH = 6
SIDE_BY_SIDE = 2
# Seconds: a plain client's whole conversation, a server's way to ready, the rest of its output, a daemon's start and
# its end.
CONVERSATION = 120.0
READY = 180.0
OUTPUT = 5.0
DAEMON_START = 60.0
DAEMON_END = 60.0
# What every child of the daemon gets of the daemon's environment, and so what a plain client gives.
PASSED = ("LANG", "LOGNAME", "PATH", "SHELL", "TERM", "USER")


@dataclass
class Tried:
    """What became of one server."""

    server: table.Server
    legacy: object = None
    modern: object = None
    shown: object = None
    verdict: checks.Verdict = None
    fault: str = None

    @property
    def good(self):
        return self.fault is None and not self.verdict.faults


class Run:
    """One run over the chosen servers, with a folder and a mark of its own."""

    def __init__(self, program, folder, late=None):
        self._program = program
        self._late = late
        self._folder = Path(folder)
        self._mark = uuid.uuid4().hex
        temporary = self._folder / "tmp"
        temporary.mkdir()
        passed = {name: os.environ[name] for name in PASSED if name in os.environ}
        self._environment = {**passed, "TMPDIR": str(temporary), processes.MARK: self._mark}

    def batch(self, servers):
        """Tries some servers, each by a plain client, then all of them behind one daemon: what became of them,
        and what went wrong with the daemon itself, or `None`."""
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            tried = list(pool.map(self._plainly, servers))
        processes.end_all(self._mark)
        return tried, self._through_the_gateway([one for one in tried if one.fault is None])

    def end(self):
        """Ends what is left of everything that this run started."""
        return processes.end_all(self._mark)

    def _plainly(self, server):
        tried = Tried(server)
        try:
            if not os.access(server.command, os.X_OK) and shutil.which(server.command) is None:
                raise Silent(f"{server.command} is missing: run `make wild-short` or `make wild`, which install it")
            tried.legacy = self._converse(direct.legacy, server)
            tried.modern = self._converse(direct.modern, server)
        except (Silent, ValueError, KeyError) as error:
            tried.fault = f"a plain client cannot use it: {error}"
        return tried

    def _converse(self, way, server):
        return way(server, self._fresh_home(server), self._environment, CONVERSATION)

    def _home(self, server):
        return self._folder / "homes" / server.name

    def _fresh_home(self, server):
        """An empty folder, always at the same path: what a server tells of it is the same each time."""
        home = self._home(server)
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        return home

    def _through_the_gateway(self, tried):
        """Fills in what the gateway shows; what went wrong with the daemon itself, or `None`."""
        if not tried:
            return None
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        definitions = {one.server.name: self._definition(one.server) for one in tried}
        environment = {**self._environment, "HOME": str(folder)}
        daemon = Daemon(self._program, folder, definitions, environment, DAEMON_START)
        try:
            end = time.monotonic() + READY
            for one in tried:
                patience = max(1.0, end - time.monotonic())
                one.shown = shown.by_gateway(daemon, one.server, self._home(one.server), patience)
                self._judge(daemon, one)
            return self._stopped(daemon)
        finally:
            daemon.kill()

    def _judge(self, daemon, one):
        """Compares; what is missing of the server's output alone may still be on its way, and is looked at again."""
        end = time.monotonic() + OUTPUT
        while True:
            one.verdict = checks.verdict(one.server, one.legacy, one.modern, one.shown, self._late is not None)
            late = any(fault.at in checks.OUTPUT_PLACES for fault in one.verdict.faults)
            if not late or time.monotonic() > end:
                return
            time.sleep(0.1)
            shown.look_at_output(daemon, one.server.name, one.shown)

    def _definition(self, server):
        home = self._fresh_home(server)
        environment = {**server.environment(home), processes.MARK: self._mark}
        command, arguments = server.command, server.arguments(home)
        if self._late is not None:
            command, arguments = "sh", ["-c", f'sleep {self._late}; exec "$0" "$@"', command, *arguments]
        return {"command": command, "args": arguments, "env": environment, "cwd": str(home)}

    def _stopped(self, daemon):
        code = daemon.stop(DAEMON_END)
        left = processes.gone_within(self._mark, 0.0)
        if code != 0:
            return f"the daemon ended with {code} after SIGTERM; its last words:\n" + "\n".join(daemon.output[-10:])
        return f"processes are left after the daemon's end: {left}" if left else None


def line_of(tried):
    """The line of one server, and one for each thing that is to be said about it."""
    server = tried.server
    head = f"{'ok' if tried.good else 'DIFFERS':8} {server.name:16} {server.version:12} "
    if tried.fault is not None:
        return [head + tried.fault]
    lines = [head + _facts(tried)]
    lines += [f"         - {difference}" for difference in tried.verdict.faults]
    reasons = {}
    for difference, known in tried.verdict.accepted:
        reasons.setdefault(known.reason, []).append(difference.at)
    lines += [f"         accepted: {', '.join(places)}: {reason}" for reason, places in reasons.items()]
    lines += [f"         not seen this time: {known.at}: {known.reason}" for known in tried.verdict.unneeded]
    return lines


def _facts(tried):
    plain = tried.legacy if tried.modern is None else tried.modern
    size = sum(len(entry) for entry in plain.lists["tools"])
    counts = ", ".join(
        f"{len(entries)} {kind if len(entries) > 1 else kind[:-1]}" for kind, entries in plain.lists.items() if entries
    )
    call = "no call" if plain.call is None else "call: " + _kind(plain.call)
    return (
        f"{plain.protocol}{' (both eras)' if tried.modern else ''}; {counts or 'no lists'}; "
        f"{size // 1024} kB of tools; {call}; unknown tool: {_kind(plain.unknown)}; opened in {plain.seconds:.1f} s; "
        f"{(tried.shown.memory if tried.shown else 0) >> 20} MiB; ended by {plain.ended[0]}, {plain.ended[1]}"
    )


def _kind(answer):
    if answer.error is not None:
        return f"error {checks.rawjson.value(answer.error).get('code')}"
    failed = checks.rawjson.members(answer.result).get("isError") == "true"
    return "tool error" if failed else "result"


def main(arguments):
    parser = argparse.ArgumentParser(description="Compares mcpvisor with a plain client, server by server.")
    parser.add_argument("--only", help="names of servers, separated by commas")
    parser.add_argument("--count", type=int, help="only the first so many")
    parser.add_argument("--short", action="store_true", help="only those that `make test` tries")
    parser.add_argument("--late", type=int, help="have them begin so many seconds late behind the gateway")
    parser.add_argument("--within", type=int, default=3600, help="seconds after which all is given up (3600)")
    parser.add_argument("--table", default=table.TABLE, help="another table")
    options = parser.parse_args(arguments)
    program = os.environ.get("MCPVISOR")
    try:
        if not program or not os.access(program, os.X_OK):
            raise table.Wrong("MCPVISOR must be the path of the daemon's program")
        servers = table.chosen(table.read(options.table), options.only, options.count, options.short)
        if not servers:
            raise table.Wrong("no server was chosen")
    except table.Wrong as wrong:
        print(f"compare.py: {wrong}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="mcpvisor-wild-", ignore_cleanup_errors=True) as folder:
        run = Run(Path(program).resolve(), folder, options.late)
        _obey_signals(run)
        signal.alarm(options.within)
        try:
            return _compare(run, servers)
        except GivenUp as reason:
            print(f"DIFFERS  not all could be tried: {reason}", flush=True)
            return 1
        finally:
            signal.alarm(0)
            run.end()


class GivenUp(BaseException):
    """The run is over before its end; the text says why."""


def _obey_signals(run):
    """Signals end what runs first: whoever waits for a server then stops waiting."""
    reasons = {signal.SIGALRM: "the time is over", signal.SIGTERM: "told to stop", signal.SIGINT: "interrupted"}

    def give_up(number, _):
        signal.alarm(0)
        run.end()
        raise GivenUp(reasons[number])

    for number in reasons:
        signal.signal(number, give_up)


def _compare(run, servers):
    begin, good, faults = time.monotonic(), 0, []
    try:
        for at in range(0, len(servers), BATCH):
            tried, fault = run.batch(servers[at : at + BATCH])
            for one in tried:
                print("\n".join(line_of(one)), flush=True)
            good += sum(one.good for one in tried)
            faults += [fault] if fault else []
    except Broken as broken:
        faults.append(str(broken))
    for fault in faults:
        print(f"DIFFERS  the daemon: {fault}")
    print(f"\n{good} of {len(servers)} servers as a plain client sees them, {time.monotonic() - begin:.0f} s")
    return 0 if good == len(servers) and not faults else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
