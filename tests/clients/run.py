#!/usr/bin/env python3
"""Tries MCP clients that others wrote against the front door, and says what of it works.

    run.py [--daemon PATH_TO_MCPVISOR] [--short] [--only CLIENT[:ERA[:PLACE]]]... [--expect FILE]

The daemon is started with a data directory of its own and three servers, child.py as `dual`, `legacy` and `modern`;
each client is run in each era that it speaks at each place, one after the other, because they hear of each other's
changes. A place is a server at its own address, /mcp/{server}, or for the clients of the SDKs also behind a door that
it shares with others: `legacy@all` is the server `legacy` at /mcp, `dual@group` the server `dual` in a group; doors.py
has them. `--short` tries a client of each generation of the SDKs, at the places where most has to be translated.

What is printed is a table: ok, NO, or - for what the client does not offer, or what is not there to be
tried (logs that nobody asked for are a thing of the legacy era, and the slow call is made of one server only).

What is not ok has to be named in the file of expectations, one a line, `*` standing for anything:
`CLIENT ERA PLACE FEATURE no|may  the reason`, where `may` is for what depends on who is first. Exit codes: 0 as
expected; 1 something is not ok and not named, or named `no` and ok wherever its line holds; 2 it could not be tried at
all. What each client wrote to stderr is in the folder that is named at the end.
"""

import argparse
import contextlib
import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))

import doors  # noqa: E402
from daemon import Broken, Daemon  # noqa: E402

SERVERS = ["dual", "legacy", "modern"]
ALL_ERAS = ["legacy", "auto", "modern"]
MARKS = {"ok": "ok", "no": "NO", "none": "-"}
# For all that one client does; the slowest starts a process for each thing.
PATIENCE_S = 240
# How often the daemon is started until its children are in the eras that they are to be in.
STARTS = 3
# How soon after it is ready it has to say so.
SAID_S = 5

NODE = ["node"]
PYTHON = [sys.executable, "-B"]


def venv(name):
    return [str(HERE / f"venv-{name}/bin/python"), "-B"]


# By name: the program that runs the script, the script, the eras that the client speaks.
CLIENTS = {
    "ts1": (NODE, "ts1.mjs", ["legacy"]),
    "ts2": (NODE, "ts2.mjs", ALL_ERAS),
    "py1": (venv("py1"), "py1.py", ["legacy"]),
    "py2": (venv("py2"), "py2.py", ALL_ERAS),
    "fastmcp": (venv("fastmcp"), "fastmcp_client.py", ALL_ERAS),
    "mcp-remote": (NODE, "bridge.mjs", ["legacy", "auto"]),
    "stdio-ts1": (NODE, "stdio_ts1.mjs", ["legacy"]),
    "stdio-ts2": (NODE, "stdio_ts2.mjs", ALL_ERAS),
    "stdio-py2": (venv("py2"), "stdio_py2.py", ALL_ERAS),
    "inspector": (PYTHON, "inspector_cli.py", ALL_ERAS),
    "langchain": (venv("py1"), "agents_langchain.py", ["legacy"]),
    "llama-index": (venv("agents"), "agents_llama.py", ["legacy"]),
    "openai-agents": (venv("agents"), "agents_openai.py", ["auto"]),
    "pydantic-ai": (venv("fastmcp"), "agents_pydantic.py", ["auto"]),
    "strands": (venv("strands"), "agents_strands.py", ["auto"]),
    "as-go-sdk": (PYTHON, "opening_go.py", ["legacy", "auto"]),
    "as-claude-code": (PYTHON, "opening_claude.py", ["legacy", "auto"]),
}
# Those that are tried at the doors as well: what others build on these is the same there.
AT_DOORS = ["ts1", "ts2", "py1", "py2", "fastmcp", "as-go-sdk", "as-claude-code"]
# In both eras, each in front of a server of the other one, and at each kind of door.
SHORT = [
    "ts1:legacy:modern",
    "ts2:modern:legacy",
    "py2:auto:legacy@all",
    "ts2:auto:modern@all",
    "py2:legacy:dual@group",
    "as-go-sdk:auto:dual",
    "as-claude-code:legacy:dual",
]


@dataclass
class Expectation:
    place: list
    outcome: str
    reason: str
    line: int
    # The outcomes that it holds for.
    seen: list = field(default_factory=list)

    def holds_for(self, place):
        return all(fnmatch.fnmatchcase(found, want) for want, found in zip(self.place, place, strict=True))


@dataclass
class Run:
    """One client in one era at one place."""

    client: str
    era: str
    place: str
    # By feature: the outcome, and what was wrong.
    outcomes: dict = field(default_factory=dict)

    @property
    def name(self):
        return f"{self.client}:{self.era}:{self.place}"


def read_expectations(path):
    expectations = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 6 or words[4] not in ("no", "may"):
            raise Broken(f"{path}:{number}: write CLIENT ERA PLACE FEATURE no|may and the reason")
        expectations.append(Expectation(words[:4], words[4], " ".join(words[5:]), number))
    return expectations


def planned(only):
    """The runs that are asked for; all where nothing is."""
    runs = [Run(c, e, p) for c, (_, _, eras) in CLIENTS.items() for e in eras for p in places_of(c)]
    chosen = [run for run in runs if not only or any(f"{run.name}:".startswith(f"{o}:") for o in only)]
    if not chosen:
        raise Broken(f"nothing is called {' or '.join(only)}; there are {', '.join(CLIENTS)}")
    return chosen


def places_of(client):
    return SERVERS + (doors.PLACES if client in AT_DOORS else [])


def require_installed(runs):
    """What these runs need must be there; Broken says how it gets there."""
    programs = {program[0] for program, _, _ in (CLIENTS[run.client] for run in runs)}
    needed = [HERE / "node_modules" if program == NODE[0] else Path(program) for program in programs]
    if missing := [str(path) for path in needed if not path.exists()]:
        raise Broken(f"{', '.join(missing)} is missing: run tests/clients/install.sh, or `make clients`")


def environment(home, program):
    """Nothing of whoever runs this: some clients keep what they learn at home, and one looks for proxies."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    # Some clients start the program itself (`mcpvisor stdio`).
    return kept | {"HOME": str(home), "NO_PROXY": "127.0.0.1", "MCPVISOR": str(program.resolve())}


def try_client(run, url, folder, built):
    """Runs the client's script and fills in what it reports. What it does not get to is `no` by `the end`."""
    program, script, _ = CLIENTS[run.client]
    path, *named = doors.arguments(run.place)
    command = [*program, str(HERE / script), url + path, run.era, *named]
    with open(folder / f"{run.name.replace(':', '-')}.log", "wb") as log:
        client = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
            env=environment(folder, built), start_new_session=True,
        )  # fmt: skip
        try:
            said, _ = client.communicate(timeout=PATIENCE_S)
            ending = None if client.returncode == 0 else f"ended with {client.returncode}"
        except subprocess.TimeoutExpired:
            said, ending = end(client), f"not done after {PATIENCE_S} s"
        except BaseException:
            end(client)
            raise
    for line in said.splitlines():
        report = json.loads(line)
        run.outcomes[report["feature"]] = (report["outcome"], report["detail"])
    if ending:
        run.outcomes["end"] = ("no", ending)
    elif not run.outcomes:
        run.outcomes["end"] = ("no", "it reported nothing")


def end(client):
    """Ends a client and what it started, and returns what it had said."""
    os.killpg(client.pid, signal.SIGKILL)
    return client.communicate()[0]


def judge(runs, expectations):
    """What is otherwise than expected, a line each."""
    wrong = []
    for run in runs:
        for feature, (outcome, detail) in run.outcomes.items():
            fitting = [e for e in expectations if e.holds_for((run.client, run.era, run.place, feature))]
            for expectation in fitting:
                expectation.seen.append(outcome)
            if outcome == "no" and not fitting:
                wrong.append(f"{run.name} {feature}: {detail}")
    for expectation in expectations:
        if expectation.outcome == "no" and expectation.seen and "no" not in expectation.seen:
            wrong.append(f"{' '.join(expectation.place)}: is ok; take line {expectation.line} out of the expectations")
    return wrong


def features_of(runs):
    """All that were tried, in the order of whoever tried most."""
    longest = max(runs, key=lambda run: len(run.outcomes)).outcomes
    others = [name for run in runs for name in run.outcomes if name not in longest]
    return [*longest, *dict.fromkeys(others)]


def print_table(runs, expectations):
    """A row for each feature and a column for each run: there are fewer of the former that fit under each other. The
    doors have tables of their own, or the columns would not fit beside each other."""
    tables = {}
    for run in runs:
        _, at, door = run.place.partition("@")
        tables.setdefault(f"{run.client}{at}{door}", []).append(run)
    for title, columns in tables.items():
        print_columns(title, columns)
    print()
    for expectation in expectations:
        if "no" in expectation.seen:
            print(f"expected  {' '.join(expectation.place)}: {expectation.reason}")


def print_columns(title, columns):
    heads = [f"{run.era}>{run.place.partition('@')[0]}" for run in columns]
    print(f"\n{title:<20} " + " ".join(f"{head:<13}" for head in heads))
    for feature in features_of(columns):
        marks = [MARKS[run.outcomes.get(feature, ("none", ""))[0]] for run in columns]
        print(f"{feature:<20} " + " ".join(f"{mark:<13}" for mark in marks))


def server(era):
    """A child as the daemon is told of it. Roots are not asked for unless it is said that they can be."""
    child = {"command": sys.executable, "args": ["-B", str(HERE / "child.py"), "--era", era]}
    return child | {"mcpvisor": {"client_capabilities": ["elicitation", "sampling", "roots"]}}


@contextlib.contextmanager
def started(program, folder):
    """The daemon, in front of a child of each era. A child of both that is slow to begin, as on a machine with much to
    do, is opened in both ways, and then is one of the older era: that is another thing than what is to be tried."""
    servers, log = {era: server(era) for era in SERVERS}, folder / "daemon.log"
    for _ in range(STARTS):
        with Daemon(program, servers, log, doors.CONFIG) as daemon:
            if revision(log, "dual") == "2026-07-28":
                yield daemon
                return
    raise Broken(f"a child of both eras was opened in the older one in {STARTS} starts: the machine is too busy")


def revision(log, name):
    """The revision that a child is served in, which the daemon says when all are ready; Broken where it does not."""
    end = time.monotonic() + SAID_S
    while time.monotonic() < end:
        if found := re.search(rf"^  {name} +ready .*MCP (\S+)$", log.read_text(), re.MULTILINE):
            return found[1]
        time.sleep(0.05)
    raise Broken(f"the daemon does not say in which revision it serves {name}: {log}")


def try_all(options, folder):
    runs = planned(SHORT if options.short else options.only)
    require_installed(runs)
    with started(options.daemon, folder) as daemon:
        for run in runs:
            try_client(run, daemon.url, folder, options.daemon)
            outcomes = [outcome for outcome, _ in run.outcomes.values()]
            counts = ", ".join(f"{outcomes.count(outcome)} {mark}" for outcome, mark in MARKS.items())
            print(f"{run.name:<34} {counts}", flush=True)
    return runs


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    built = HERE.parent.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", metavar="CLIENT[:ERA[:PLACE]]", action="append", default=[])
    chosen.add_argument("--short", action="store_true", help="a client of each generation of the SDKs, in a minute")
    parser.add_argument("--expect", type=Path, default=HERE / "expected.txt", help="file of expectations")
    return parser.parse_args()


def main():
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = parsed_options()
    folder = Path(tempfile.mkdtemp(prefix="clients-"))
    try:
        expectations = read_expectations(options.expect)
        runs = try_all(options, folder)
    except (Broken, OSError) as reason:
        print(f"run.py: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    wrong = judge(runs, expectations)
    print_table(runs, expectations)
    print(f"\nwhat the clients wrote: {folder}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
