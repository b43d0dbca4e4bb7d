#!/usr/bin/env python3
"""Has Prometheus scrape a mcpvisor, and makes each fault that there is an alert for.

    run.py [--daemon PATH_TO_MCPVISOR] [--fake PATH_TO_FAKE_MCP] [--keep]

Prometheus, promtool and the rules are as they are shipped: `prometheus` is Debian's package, the scrape, the alerts and the
Grafana board are those in deploy/. Three things are changed, so that it takes four minutes instead of hours: all lengths
of time in the rules are a sixtieth (at least 1 s, or 10 s where a rate is taken), a scrape comes every two seconds, and usage counts as not written after 5 s.

Faults are made in turn, of servers first (each on a server of its own), then of the daemon. In each turn all alerts that are
expected must fire, with the labels they are expected with, and none but those and what follows from them may at any moment.
Before the first fault, and after each, everything must be silent. While all servers are at fault, each query of the board
must answer, and with at least one series: a query that finds nothing names a family that is not there.

Exit codes: 0 as expected; 1 not; 2 it could not be tried at all (the text says why)."""

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from board import check_board  # noqa: E402
from daemons import Daemon, Untried, remember_a_later_time, small_disk  # noqa: E402
from faults import Callers  # noqa: E402
from prometheus import Prometheus, Watcher  # noqa: E402

SILENCE_S = 12
# How long an alert may take to come, or to go, on a machine with other work.
PATIENCE_S = 90


class Wrong(Exception):
    """Something is not as it is to be."""


def turn(name, watcher, expected, follows=()):
    """Waits until the expected alerts fire; then checks that no other one did."""
    started = time.monotonic()
    missing = watcher.wait_for(expected, PATIENCE_S)
    if missing:
        raise Wrong(f"{name}: {say(missing)} did not fire within {PATIENCE_S} s; firing: {say(watcher.now())}")
    print(f"  {name}: {say(expected)} after {time.monotonic() - started:.0f} s", flush=True)


def over(name, watcher, expected, follows=()):
    """After the fault: waits until everything is silent, and checks what was heard meanwhile."""
    left = watcher.wait_for_silence(PATIENCE_S)
    if left:
        raise Wrong(f"{name}: {say(left)} still fires {PATIENCE_S} s after the fault was gone")
    others = {one for one in watcher.heard() if not any(fits(one, known) for known in (*expected, *follows))}
    if others:
        raise Wrong(f"{name}: {say(others)} fired as well")


def fits(alert, known):
    """Whether an alert is one that is known, where "*" stands for anything."""
    return alert[0] == known[0] and known[1] in ("*", alert[1])


def say(alerts):
    return ", ".join(f"{name}({about})" if about else name for name, about in sorted(alerts)) or "nothing"


def servers_at_fault(daemon, watcher, prometheus, callers):
    """Each fault that a server can have, all at once, each on a server of its own."""
    daemon.define(callers.faulty_servers())
    callers.begin_faults()
    expected = {
        ("McpvisorServerCrashLoop", "crashing"),
        ("McpvisorServerDown", "crashing"),
        ("McpvisorServerDown", "missing"),
        ("McpvisorServerRestarts", "restarted"),
        ("McpvisorBreakerOpen", "deaf"),
        ("McpvisorErrorRate", "deaf"),
        ("McpvisorQueueFull", "narrow"),
        ("McpvisorSlow", "slow"),
        ("McpvisorToolsChanged", "turncoat"),
        ("McpvisorInternalErrors", "plexmcp"),
    }
    follows = {
        ("McpvisorErrorRate", "narrow"),
        # A child that ends at once is restarted often, too.
        ("McpvisorServerRestarts", "crashing"),
        # Of a queue of one call, the last one to wait counts as a full queue.
        ("McpvisorQueueFull", "deaf"),
    }
    turn("servers at fault", watcher, expected, follows)
    stays_up(prometheus, daemon)
    print(f"  {check_board(ROOT / 'deploy/grafana/mcpvisor.json', prometheus)} queries of the board have answers", flush=True)
    callers.mend_servers()
    daemon.define(callers.good_servers())
    over("servers at fault", watcher, expected, follows)


def stays_up(prometheus, daemon):
    """What the alert on a crash loop counts does not fall while the server is started again."""
    before, begin = daemon.failures("crashing"), time.monotonic()
    while daemon.failures("crashing") < before + 1:
        if time.monotonic() > begin + 120:
            raise Wrong(f"'crashing' was not started again within 120 s, after {before} failures")
        time.sleep(0.2)
    seconds = int(time.monotonic() - begin) + 1
    least = prometheus.ask(f'min_over_time(mcpvisor_server_failures{{server="crashing"}}[{seconds}s])')
    if not least or float(least[0]["value"][1]) < min(before, 5):
        raise Wrong(f"the failures of a crash loop fell to {least} while its server was started again")
    print(f"  failures in a row of a crash loop: {before}, and never fewer in the {seconds} s of its next start", flush=True)


def strangers(watcher, callers):
    for name, alert, begin in (
        ("bad credentials", "McpvisorBadCredentials", callers.guess),
        ("callers beyond their limits", "McpvisorRateLimited", callers.hurry),
    ):
        begin()
        turn(name, watcher, {(alert, "")})
        callers.end_faults()
        over(name, watcher, {(alert, "")})


def disk(daemon, watcher):
    """No file may grow any more: what a full disk is like, for one process."""
    expected = {("McpvisorStoreDegraded", ""), ("McpvisorAuditLost", ""), ("McpvisorUsageNotWritten", "")}
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    end = time.monotonic() + PATIENCE_S
    number = 0
    # The audit keeps what it cannot write for a while: it takes many acts until it has lost one.
    while ("McpvisorAuditLost", "") not in watcher.now() and time.monotonic() < end:
        number += 1
        daemon.request("POST", "/api/servers", {"name": f"more-{number}", "command": "true"}, near=True)
    turn("a disk that takes nothing", watcher, expected)
    resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    over("a disk that takes nothing", watcher, expected, {("McpvisorInternalErrors", "mcp_cli")})


def files(daemon, watcher, callers):
    daemon.write_servers("{ this is no JSON")
    turn("a servers file with a fault", watcher, {("McpvisorReloadFailed", "")})
    daemon.define(callers.good_servers())
    over("a servers file with a fault", watcher, {("McpvisorReloadFailed", "")})


def descriptors(daemon, watcher):
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    used = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (used + 2, before[1]))
    turn("few descriptors", watcher, {("McpvisorFewDescriptors", "")})
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
    over("few descriptors", watcher, {("McpvisorFewDescriptors", "")})


def other_daemons(folder, options, prometheus, watcher, callers):
    """Faults that a daemon has from its start on, each on a daemon of its own; and one that is gone."""
    late = Daemon(options.daemon, folder / "late", callers.good_servers())
    remember_a_later_time(late.data, days=10)
    with late:
        prometheus.scrape(late)
        turn("a clock that is wrong", watcher, {("McpvisorClockInDoubt", "")})
    turn("a daemon that is gone", watcher, {("McpvisorDown", "")})
    prometheus.scrape_no_more(late)
    over("a clock that is wrong", watcher, {("McpvisorClockInDoubt", ""), ("McpvisorDown", "")})

    full = Daemon(options.daemon, folder / "full", callers.good_servers())
    with small_disk(full.data) as fill:
        with full:
            pass
        fill()
        with full:
            prometheus.scrape(full)
            expected = {("McpvisorStoreFromBackup", ""), ("McpvisorStoreDegraded", "")}
            turn("a full disk at the start", watcher, expected)
            prometheus.scrape_no_more(full)
            over("a full disk at the start", watcher, expected, {("McpvisorUsageNotWritten", ""), ("McpvisorAuditLost", "")})


def tried(options, folder):
    callers = Callers(options.fake, folder)
    with Daemon(options.daemon, folder / "main", callers.good_servers(), callers.CONFIG) as daemon:
        key = daemon.make_key({"id": "user_prometheus", "role": "viewer"})
        with Prometheus(folder, ROOT / "deploy/prometheus", key) as prometheus, callers:
            callers.call(daemon)
            prometheus.scrape(daemon)
            prometheus.check_metrics(daemon.request("GET", "/metrics", near=True))
            with Watcher(prometheus) as watcher:
                time.sleep(SILENCE_S)
                over("nothing at fault", watcher, ())
                if not prometheus.ask("sum(rate(mcpvisor_calls_total[10s])) > 0"):
                    raise Wrong("calls are made, and Prometheus has none of them")
                print(f"  nothing at fault: silent for {SILENCE_S} s", flush=True)
                servers_at_fault(daemon, watcher, prometheus, callers)
                strangers(watcher, callers)
                disk(daemon, watcher)
                files(daemon, watcher, callers)
                descriptors(daemon, watcher)
                other_daemons(folder, options, prometheus, watcher, callers)
                untold = prometheus.rules() - watcher.ever()
                if untold:
                    raise Wrong(f"no fault is made for {', '.join(sorted(untold))}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    debug = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug"
    parser.add_argument("--daemon", type=Path, default=debug / "mcpvisor")
    parser.add_argument("--fake", type=Path, default=debug / "fake-mcp")
    parser.add_argument("--keep", action="store_true", help="keep what everybody wrote")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
    started, code = time.monotonic(), 1
    try:
        tried(options, folder)
        code = 0
        print(f"all alerts as expected, in {time.monotonic() - started:.0f} s")
    except Wrong as wrong:
        print(f"WRONG: {wrong}", file=sys.stderr)
    except Untried as untried:
        code = 2
        print(f"not tried: {untried}", file=sys.stderr)
    finally:
        if code == 0 and not options.keep:
            shutil.rmtree(folder)
        else:
            print(f"what everybody wrote is in {folder}")
    return code


if __name__ == "__main__":
    sys.exit(main())
