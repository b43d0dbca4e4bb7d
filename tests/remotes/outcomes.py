"""What came of checks, held against a file of what is not expected to be ok. A line of it is `SERVER CHECK
no|may reason`, `*` standing for anything; where checks are sorted by something else than servers, the first
word is of that."""

import fnmatch
import signal
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import checks
from daemon import Broken

MARKS = {"ok": "ok", "no": "NO", "none": "-"}


@dataclass
class Expectation:
    server: str
    check: str
    outcome: str
    reason: str
    line: int
    # The outcomes that it holds for.
    seen: list = field(default_factory=list)

    def holds_for(self, server, check):
        return fnmatch.fnmatchcase(server, self.server) and fnmatch.fnmatchcase(check, self.check)


def read_expectations(path):
    expectations = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) < 4 or words[2] not in ("no", "may"):
            raise Broken(f"{path}:{number}: write SERVER CHECK no|may and the reason")
        expectations.append(Expectation(*words[:3], " ".join(words[3:]), number))
    return expectations


def reason(error):
    text = str(error) if isinstance(error, (checks.Wrong, Broken, checks.Unanswered)) else repr(error)
    return " ".join(text.split())


def judge(runs, expectations):
    """What is otherwise than expected, a line each."""
    wrong = []
    for run in runs:
        for name, (outcome, detail) in run.outcomes.items():
            fitting = [e for e in expectations if e.holds_for(run.name, name)]
            for expectation in fitting:
                expectation.seen.append(outcome)
            if outcome == "no" and not fitting:
                wrong.append(f"{run.name}:{name}: {detail}")
    for expectation in expectations:
        if expectation.outcome == "no" and expectation.seen and "no" not in expectation.seen:
            place = f"{expectation.server} {expectation.check}"
            wrong.append(f"{place}: is ok; take line {expectation.line} out of the expectations")
    return wrong


def carry_out(name, options, try_all, show=lambda runs: None):
    """Tries everything in a folder of its own, shows what came of it, and returns the exit code: 0 as expected, 1
    otherwise, 2 where something could not be tried."""
    # As an exception, so that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        expectations = read_expectations(options.expect)
        runs = try_all(options, folder)
    except (Broken, OSError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 2
    wrong = judge(runs, expectations)
    show(runs)
    for expectation in expectations:
        if "no" in expectation.seen:
            print(f"expected  {expectation.server} {expectation.check}: {expectation.reason}")
    print(f"\nwhat was written: {folder}")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0
