#!/usr/bin/env python3
"""Tries mcpvisor in front of a server that wants tokens, with an authorization server that others wrote and
had certified (oidc-provider) and the guard of the official SDK, and says what of it works.

    run.py [--daemon PATH_TO_MCPVISOR] [--short] [--only TOPIC[:CHECK]]... [--expect FILE] [--log LEVEL]

Each check has an authorization server, a server and a daemon of its own, on ports of loopback; three checks
are made at a time. Persons are played (browser.py): `mcpvisor login` is run as it is, and the address that
it prints is followed over all pages. What the authorization server was asked, and what it did, is in its
journal (servers/authorization.mjs), which is how it is known that no refresh token was used twice and that
nobody was asked too often. At the end all that anybody could read is looked through for secrets (canary.py);
the daemon logs as much as it can for that.

`--short` makes the checks of a minute; all of them take some three minutes.

What is printed is a line for each check, with what the authorization servers were asked for and then the
server. What is not ok has to be named in the file of expectations, one a line, `*` standing for anything:
`TOPIC CHECK no|may the reason`. Exit codes: 0 as expected; 1 something is not ok and not named, or named
`no` and ok; 2 it could not be tried at all. What all of them wrote is in the folder that is named at the
end."""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[1:1] = [str(HERE.parent / "remotes"), str(HERE.parent / "conformance")]

# They add themselves to TRIALS.
import credentials  # noqa: E402, F401
import endings  # noqa: E402, F401
import logins  # noqa: E402, F401
import renewals  # noqa: E402, F401
from canary import Canary  # noqa: E402
from checks import FAULTS  # noqa: E402
from daemon import Broken  # noqa: E402
from lab import Lab  # noqa: E402
from outcomes import MARKS, carry_out, reason  # noqa: E402
from trials import TRIALS  # noqa: E402

# Checks that are made beside each other: most of their time they wait for a token to end.
BESIDE = 3


@dataclass
class Topic:
    """The checks of one kind, and what came of them: by check the outcome, and what was wrong."""

    name: str
    outcomes: dict = field(default_factory=dict)


def planned(options):
    """The checks that are asked for, the longest first."""
    chosen = [trial for trial in TRIALS if trial.short or not options.short]
    if options.only:
        known = {*(t.topic for t in TRIALS), *(f"{t.topic}:{t.name}" for t in TRIALS)}
        if unknown := [one for one in options.only if one not in known]:
            raise Broken(f"nothing is called {' or '.join(unknown)}; there are {', '.join(sorted(known))}")
        chosen = [t for t in TRIALS if t.topic in options.only or f"{t.topic}:{t.name}" in options.only]
    return sorted(chosen, key=lambda trial: -trial.takes)


def outcome_of(act, *given):
    try:
        act(*given)
        return "ok", ""
    except FAULTS as error:
        return "no", reason(error)


def tried(trial, lab):
    """Makes a check: what came of it, and a line of that."""
    start = time.monotonic()
    lab.folder.mkdir()
    outcome = outcome_of(trial.act, lab)
    took = time.monotonic() - start
    name = f"{trial.topic} {trial.name}"
    why = f"\n    {outcome[1]}" if outcome[1] else ""
    print(f"{name:<28} {MARKS[outcome[0]]:<3} {took:5.1f} s  {asked(lab)}{why}", flush=True)
    return outcome


def asked(lab):
    """What each server was asked for, the one with the tools last."""
    counts = [one.counts() for site in lab.sites for one in (*site.authorities, site.running)]
    return " | ".join(", ".join(f"{what} {count}" for what, count in one.items()) for one in counts)


def try_all(options, folder):
    if not (HERE / "node_modules/oidc-provider").exists():
        raise Broken("the authorization server is not installed: run tests/authorization/install.sh")
    if not os.access(options.daemon, os.X_OK):
        raise Broken(f"{options.daemon} is no program")
    canary, trials, topics = Canary(), planned(options), {}
    folders = [folder / f"{trial.topic}-{trial.name}" for trial in trials]
    labs = [Lab(options.daemon, one, options.log, options.short, canary) for one in folders]
    with ThreadPoolExecutor(BESIDE) as pool:
        trying = {pool.submit(tried, trial, lab): trial for trial, lab in zip(trials, labs, strict=True)}
        try:
            for done in as_completed(trying):
                trial = trying[done]
                topics.setdefault(trial.topic, Topic(trial.topic)).outcomes[trial.name] = done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for lab in labs:
                lab.abandon()
            raise
    # Of some checks alone there are not all kinds of secrets.
    whole = not options.only
    topics["all"] = Topic("all", {"canary": outcome_of(canary.judge, whole)})
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(canary.kinds.items()))
    print(f"{'all canary':<28} {MARKS[topics['all'].outcomes['canary'][0]]:<3}")
    print(f"\nlooked for in {canary.files} files of {canary.bytes:,} bytes: {kinds}")
    return list(topics.values())


def parsed_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    built = HERE.parent.parent / "target/debug/mcpvisor"
    parser.add_argument("--daemon", metavar="MCPVISOR", type=Path, default=built, help="the program to start")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--only", metavar="TOPIC[:CHECK]", action="append", default=[])
    chosen.add_argument("--short", action="store_true", help="the checks of a minute")
    parser.add_argument("--expect", type=Path, default=HERE / "expected.txt", help="file of expectations")
    parser.add_argument("--log", metavar="LEVEL", default="trace", help="how much the daemon logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(carry_out("authorization", parsed_options(), try_all))
