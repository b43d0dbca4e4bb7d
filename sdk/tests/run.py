"""Runs the table of behaviours that the clients of all languages have in common.

    python3 run.py --daemon PATH --fake PATH --driver "COMMAND" [--only TEXT] [--list]

A daemon is started on a free port with an empty store and servers of the test server at `--fake`; a driver
(README.md has its protocol) carries out what the cases ask of it. One line is written for each case, and a
sum. Exit code: 0 when all promises were kept, 1 when one was not, 2 when the table could not be run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import cases_calls  # noqa: F401  (each of these adds its cases to the table)
import cases_errors  # noqa: F401
import cases_faults  # noqa: F401
import cases_idempotency  # noqa: F401
import cases_lists  # noqa: F401
import cases_retries  # noqa: F401
import cases_seed  # noqa: F401
import cases_streams  # noqa: F401
import servers
from harness import Broken, Case, Daemon, Driver
from model import Model
from table import CASES, Body


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Runs the behaviours that all clients have in common.")
    parser.add_argument("--daemon", help="the program mcpvisor")
    parser.add_argument("--fake", help="the program fake-mcp")
    parser.add_argument("--driver", help="the command of a language's driver")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose group and promise have this text")
    parser.add_argument("--list", action="store_true", help="list the cases and end")
    parser.add_argument("--keep", action="store_true", help="keep the directory with the logs")
    found = parser.parse_args()
    if not found.list and not (found.daemon and found.fake and found.driver):
        parser.error("--daemon, --fake and --driver are needed")
    return found


def run_case(daemon: Daemon, driver: Driver, fake: str, body: Body) -> str | None:
    """What was wrong, or nothing."""
    try:
        body(Case(daemon, driver, fake))
    except Broken as broken:
        place = traceback.extract_tb(broken.__traceback__)
        line = next((frame.lineno for frame in reversed(place) if "cases_" in frame.filename), None)
        return f"{broken} (line {line})"
    except Exception:  # A case that fails in a way of its own fails as well, and the others go on.
        return traceback.format_exc()
    return None


def run_table(options: argparse.Namespace, cases: list[tuple[str, str, Body]], directory: Path) -> int:
    """Runs the cases one after the other; the number of those that failed."""
    failed = 0
    with Model() as model:
        daemon = Daemon(
            options.daemon, directory, servers.definitions(options.fake, directory), servers.settings(model.url)
        )
        driver = Driver(options.driver, daemon.url, daemon.key, directory)
        try:
            for group, name, body in cases:
                began = time.monotonic()
                problem = run_case(daemon, driver, options.fake, body)
                took = f"{time.monotonic() - began:6.2f} s"
                print(f"{'ok  ' if problem is None else 'FAIL'} {took}  {group}: {name}", flush=True)
                if problem is not None:
                    failed += 1
                    print("     " + problem.strip().replace("\n", "\n     "), flush=True)
        finally:
            driver.end()
            daemon.end()
    return failed


def main() -> int:
    """The exit code."""
    options = arguments()
    cases = [case for case in CASES if options.only.lower() in f"{case[0]}: {case[1]}".lower()]
    if options.list:
        for group, name, _ in cases:
            print(f"{group}: {name}")
        print(f"{len(cases)} cases")
        return 0
    if not cases:
        print(f"no case has {options.only!r} in its name", file=sys.stderr)
        return 2
    directory = Path(tempfile.mkdtemp(prefix="mcpvisor-sdk-"))
    try:
        failed = run_table(options, cases, directory)
    except Broken as broken:
        print(f"the table could not be run: {broken}", file=sys.stderr)
        return 2
    finally:
        if options.keep:
            print(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{len(cases) - failed} of {len(cases)} promises kept, {failed} broken")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
