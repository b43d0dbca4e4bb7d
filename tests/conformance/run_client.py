#!/usr/bin/env python3
"""Has the official MCP conformance suite test mcpvisor as a client, and says what of it passes.

    run_client.py --daemon PATH_TO_MCPVISOR [--era] [--requirements 2025-11-25|2026-07-28|both]
                  [--only SCENARIO]... [--expect FILE] [-o DIR]
    run_client.py --client COMMAND [the same options but --era]

In each scenario the suite is a server and starts client_wrapper.py, which starts the program with that server in its
servers file and uses it; one scenario after the other, because some measure time. `--era` has the file say of which
era the server is. With `--client` another command is tested, which gets the server's address as its last argument.

A scenario is good that passes without a warning and whose client ends well. Those that are not may be named in the
file of expectations, expected_client.txt, one a line: `REVISION SCENARIO  the reason`. What the program cannot do at
all yet is in NOT_TRIED below: it is not run unless `--only` names it, and counts as required. Exit codes: 0 as
expected; 1 a required scenario that was run fails or warns and is not named, or one that is named is good; 2 it could
not be tried at all. What each scenario said, and its client's and the program's own words, are in the folder of `-o`.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from daemon import Broken
from run import NODE, REVISIONS, SUITE, Run, judge, print_scenario, read_expectations, read_scenario, required_by

HERE = Path(__file__).resolve().parent
# What a wrapper that was told to stop may take: the daemon has as long for its own end.
END_S = 45
# The last lines of what a client said, where it did not end well.
TOLD_LINES = 12

# Extensions that are built.
EXTENSIONS = ["auth/client-credentials-basic", "auth/client-credentials-jwt"]
# What there is no way to do yet, with the reason; none now.
NOT_TRIED = {}


@dataclass
class ClientRun(Run):
    """The scenarios of one revision, and the names of those that it requires and that were not tried."""

    untried: list = field(default_factory=list)

    @property
    def passed(self):
        # Of clients the suite takes a warning for a failure.
        return sum(scenario.good for scenario in self.required)


def not_scored(revision):
    """The clients' scenarios that the suite runs and does not count, by name why."""
    reasons, inside, scenario = {}, False, {}
    for line in (SUITE / f"requirements/{revision}.yaml").read_text().splitlines():
        if line and not line[0].isspace() and not line.startswith("#"):
            inside = line.startswith("not_scored:")
        name, colon, value = line.strip().removeprefix("- ").partition(": ")
        if not inside or not colon:
            continue
        if line.strip().startswith("- "):
            scenario = {}
        scenario[name] = value.strip()
        if scenario.get("leg") == "client" and name == "reason":
            reasons[scenario["scenario"]] = value.strip()
    return reasons


def start_suite(command, folder, log):
    """The suite in a group of its own: whatever it has started has to end with it, and it ends nothing itself."""
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "MCPVISOR_CLIENT_LOG": str(folder / "daemon.log")},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def end_group(suite):
    """Ends the suite with all that it has started; the wrapper gets the time to end its daemon."""
    end = time.monotonic() + END_S
    sent = signal.SIGTERM
    try:
        while time.monotonic() < end:
            os.killpg(suite.pid, sent)
            # From here on only whether anything of it is left; the suite itself has to be reaped for that.
            sent = 0
            suite.poll()
            time.sleep(0.1)
        os.killpg(suite.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass  # nothing is left


def ask_suite(client, revision, name, folder, timeout):
    """Has the suite play one scenario and write its findings into the folder: whether it was content."""
    folder.mkdir(parents=True)
    # The suite hands the command to a shell; without `exec` its own limit of time would end the shell alone.
    command = [NODE, SUITE / "dist/index.js", "client", "--command", f"exec {client}", "--scenario", name]
    # Those beyond the revision are run as well, if they are asked for.
    command += ["--spec-version", revision, "--force", "--timeout", str(timeout), "-o", folder]
    with open(folder / "suite.log", "wb") as log:
        suite = start_suite(command, folder, log)
        try:
            return suite.wait() == 0
        except BaseException:
            end_group(suite)
            raise


def findings(folder):
    """Where the suite put them: in a folder whose name it makes of the scenario's and the time."""
    return next((path.parent for path in folder.rglob("checks.json")), None)


def last_words(folder, found):
    """The end of what the client said on stderr, or of the suite's words where there was no client."""
    path = found / "stderr.txt" if found else folder / "suite.log"
    said = path.read_text(errors="replace").strip() if path.exists() else ""
    return "\n".join(said.splitlines()[-TOLD_LINES:]) or "it said nothing"


def play(client, revision, name, folder, timeout):
    """What one scenario came to. To the suite a client that was late or ended with an error has failed too, but its
    checks do not say so."""
    content = ask_suite(client, revision, name, folder, timeout)
    found = findings(folder)
    scenario = read_scenario(name, found)
    if content and scenario.good and '"SUCCESS"' not in (found / "checks.json").read_text():
        scenario.failures.append(("nothing-checked", "the client did nothing that the scenario looks at"))
    log = (folder / "suite.log").read_text(errors="replace")
    ended_badly = [words for words in ("TIMED OUT", "EXITED WITH ERROR") if f"CLIENT {words}" in log]
    # Discontent for no reason that it names is a failure as well.
    if not content and (ended_badly or scenario.good):
        how = " and ".join(words.lower() for words in ended_badly) or "was not taken for good; it said"
        scenario.failures.append(("client", f"{how}\n{last_words(folder, found)}"))
    return scenario


def run(options, client, revision, folder):
    required, unscored = required_by(revision, "client"), not_scored(revision)
    if options.only:
        wanted = [name for name in required if name in options.only]
        others = [name for name in unscored if name in options.only]
    else:
        wanted = [name for name in required if name not in NOT_TRIED]
        # Of the extensions only those that are built.
        others = [name for name, why in unscored.items() if why != "extension" or name in EXTENSIONS]
    played = {}
    for name in [*wanted, *others]:
        begun = time.monotonic()
        played[name] = play(client, revision, name, folder / name.replace("/", "-"), options.timeout)
        outcome = "ok" if played[name].good else "NO"
        print(f"{revision}  {name:<38} {outcome:<3} {time.monotonic() - begun:5.1f} s", flush=True)
    untried = [name for name in required if name not in wanted]
    return ClientRun(None, revision, [played[n] for n in wanted], [played[n] for n in others], untried)


def print_table(runs, expectations):
    for one in runs:
        for scenario in one.required:
            if not scenario.good:
                print_scenario(one, scenario, expectations)
    print(f"\n{'revision':<12} {'required':>9} {'warned':>7} {'not tried':>10}   not scored, and not good")
    for one in runs:
        passed = f"{one.passed}/{len(one.required) + len(one.untried)}"
        others = ", ".join(scenario.name for scenario in one.unscored if not scenario.good) or "-"
        print(f"{one.revision:<12} {passed:>9} {one.warned:>7} {len(one.untried):>10}   {others}")
    passed, untried = sum(one.passed for one in runs), sum(len(one.untried) for one in runs)
    required = untried + sum(len(one.required) for one in runs)
    print(f"{'all':<12} {f'{passed}/{required}':>9} {sum(one.warned for one in runs):>7} {untried:>10}")


def print_untried(runs):
    """Why what was left out was left out, unless that was asked for."""
    for reason in dict.fromkeys(NOT_TRIED.values()):
        names = {name for one in runs for name in one.untried if NOT_TRIED.get(name) == reason}
        if names:
            print(f"not tried, {reason}: {', '.join(sorted(names))}")


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument("--daemon", metavar="MCPVISOR", help="the program to be tested")
    whom.add_argument("--client", metavar="COMMAND", help="another client, to try this program itself")
    parser.add_argument("--era", action="store_true", help="with --daemon: say in its servers file the server's era")
    parser.add_argument("--requirements", choices=[*REVISIONS, "both"], default="both")
    parser.add_argument("--only", action="append", metavar="SCENARIO", help="this one; may be given again")
    parser.add_argument("--expect", type=Path, help="file of expectations; with --daemon expected_client.txt")
    parser.add_argument("--timeout", type=int, default=75_000, help="milliseconds that a scenario may take")
    parser.add_argument("-o", dest="output", type=Path, help="empty or new folder for what was found")
    options = parser.parse_args()
    if options.era and options.client:
        parser.error("--era goes with --daemon")
    return options


def command_of(options):
    """The client under test, for a shell; its environment is this process's."""
    if options.client:
        return options.client
    program = Path(options.daemon).resolve()
    if not os.access(program, os.X_OK):
        raise Broken(f"{program} is no program")
    os.environ["MCPVISOR_UNDER_TEST"] = str(program)
    os.environ.pop("MCPVISOR_CLIENT_ERA", None)
    if options.era:
        os.environ["MCPVISOR_CLIENT_ERA"] = "1"
    return shlex.join([sys.executable, "-B", str(HERE / "client_wrapper.py")])


def expectations_of(options):
    beside = HERE / "expected_client.txt" if options.daemon else None
    path = options.expect or beside
    expectations = read_expectations(path) if path else []
    for expectation in expectations:
        if expectation.child:
            raise Broken(f"{path}:{expectation.line}: a client has no children: write REVISION SCENARIO and the reason")
    return expectations


def new_folder(options):
    folder = (options.output or Path(tempfile.mkdtemp(prefix="conformance-client-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise Broken(f"{folder} is not empty: what is in it would be taken for this run's")
    return folder


def tried(options):
    """Tries everything, prints the table, and returns what is otherwise than expected."""
    if not NODE.exists():
        raise Broken("the suite is not installed: run tests/conformance/install.sh")
    revisions = REVISIONS if options.requirements == "both" else [options.requirements]
    known = {name for revision in revisions for name in [*required_by(revision, "client"), *not_scored(revision)]}
    if unknown := set(options.only or []) - known:
        raise Broken(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    expectations = expectations_of(options)
    client, folder = command_of(options), new_folder(options)
    runs = [run(options, client, revision, folder / revision) for revision in revisions]
    print_table(runs, expectations)
    if not options.only:
        print_untried(runs)
    print(f"everything that was said: {folder}")
    return judge(runs, expectations)


def main():
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    options = parsed_options()
    try:
        wrong = tried(options)
    except (Broken, OSError) as reason:
        print(f"run_client.py: {reason}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
