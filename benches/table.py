#!/usr/bin/env python3
"""Prints what speed is to be, what it is in this run, and whether that is enough: the table of docs/performance.md.

    python3 benches/table.py BENCH DAEMON            (what `make bench` does)

BENCH is the bench program (`target/release/deps/gateway-…`), DAEMON a build of mcpvisor with its profile. Every row has its baseline in the same
run. A figure of a load is the median of the rounds, of ratios taken within a round, with the least and the most; each answer is checked to
its last byte, and one that is wrong ends the run. It ends with 0 also where a row is missed: rows say so themselves.

ROUNDS (9) and SECONDS (1.0) in the environment say how often and how long each program has its turn; ONLY=calls,large,starts,memory,instructions
which parts are made. A quarter of an hour, with the machine left alone.
"""

import json
import os
import pathlib
import platform
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
# Read when it is imported, as starts.py reads its own.
os.environ.setdefault("CALLS", "3200")
import instructions

ROUNDS, SECONDS = os.environ.get("ROUNDS", "9"), os.environ.get("SECONDS", "1.0")
PARTS = os.environ.get("ONLY", "calls,large,starts,memory,instructions").split(",")
HERE = pathlib.Path(__file__).parent
KIB, MIB = 1024, 1024 * 1024
IDLE_CONNECTIONS = 1_000
LONGEST, AT_ONCE = 15 * MIB, 8
SETTLED_AFTER_S = 10


class Table:
    def __init__(self):
        self.rows = []

    def add(self, figure, value, goal="", holds=None):
        """A row; `holds` is None for one without a goal."""
        verdict = {None: "", True: "holds", False: "MISSED"}[holds]
        self.rows.append((figure, value, goal, verdict))
        print(f"{verdict or '-':6}  {figure}: {value}{f'; goal {goal}' if goal else ''}", flush=True)

    def most(self, figure, values, goal, unit=""):
        """A figure that may be so much; `values` are of the rounds."""
        self.add(figure, told(values, unit), f"at most {goal:,}{unit}", statistics.median(values) <= goal)

    def least(self, figure, values, goal, unit=""):
        self.add(figure, told(values, unit), f"at least {goal:,}{unit}", statistics.median(values) >= goal)

    def print(self):
        print("\n| figure | this run | goal | |\n|---|---|---|---|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")
        missed = sum(row[3] == "MISSED" for row in self.rows)
        print(f"\n{len(self.rows)} figures, {missed} of them miss their goal.")


def told(values, unit=""):
    digits = 2 if statistics.median(values) < 10 else 0
    number = lambda value: f"{value:,.{digits}f}"
    middle = number(statistics.median(values))
    return f"{middle}{unit}" if len(values) == 1 else f"{middle}{unit} ({number(min(values))} to {number(max(values))})"


def loaded(bench, variants, in_flight, answer=0):
    """What the bench measured, by variant."""
    command = [bench, "--bench", "--json", "--variants", ",".join(variants), "--levels", str(in_flight)]
    command += ["--rounds", ROUNDS, "--seconds", SECONDS, "--answer", str(answer)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if run.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {run.returncode}")
    rows = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    return {row["variant"]: row for row in rows}


def ratios(measured, what, variant, base, times=1.0):
    return [times * one / other for one, other in zip(measured[variant][what], measured[base][what])]


def calls(table, bench):
    measured = loaded(bench, ["gateway", "modern", "aggregate", "pipe"], 64)
    names = {"gateway": "`/v1/mcp/invoke`", "modern": "`tools/call` at `/mcp/{server}`"}
    for variant, name in names.items():
        table.most(f"{name}, 64 in flight: CPU a call, to the bare pipe", ratios(measured, "cpu_us", variant, "pipe"), 1.2)
        table.least(f"{name}: calls a second, to the same", ratios(measured, "calls_per_second", variant, "pipe"), 0.9)
    table.most(f"{names['modern']}: CPU a call, to `/v1`", ratios(measured, "cpu_us", "modern", "gateway"), 1.0)
    table.least(f"{names['modern']}: calls a second, to `/v1`", ratios(measured, "calls_per_second", "modern", "gateway"), 1.0)
    all_servers = "`/mcp` with 100 servers and 2,000 tools"
    table.most(f"{all_servers}: CPU a call, to `/v1`", ratios(measured, "cpu_us", "aggregate", "gateway"), 1.05)
    table.least(f"{all_servers}: calls a second, to `/v1`", ratios(measured, "calls_per_second", "aggregate", "gateway"), 0.95)
    row = measured["gateway"]
    table.most("`/v1/mcp/invoke`, 64 in flight: p99 to p50", [row["p99_us"] / row["p50_us"]], 1.8)
    for variant in ("gateway", "pipe"):
        table.add(f"{variant}, 64 in flight: calls a second", told(measured[variant]["calls_per_second"]))
        table.add(f"{variant}: CPU a call", told(measured[variant]["cpu_us"], " µs"))


def large(table, bench):
    for size, name, least in ((64 * KIB, "64 KiB", 0.9), (MIB, "1 MiB", 0.8)):
        measured = loaded(bench, ["gateway", "modern", "pipe"], 8, size)
        # The answer in /v1 has the text twice, so it is compared by its bytes.
        for variant, route, times in (("gateway", "`/v1/mcp/invoke`, bytes", 2), ("modern", "`/mcp/{server}`, calls", 1)):
            rate = ratios(measured, "calls_per_second", variant, "pipe", times)
            table.least(f"{name} answers, 8 in flight: {route} a second, to the bare pipe", rate, least)
            cost = ratios(measured, "cpu_us", variant, "pipe", 1 / times)
            table.most(f"{name} answers: {route.replace('calls', 'call').replace('bytes', 'byte')} in CPU, to the same", cost, 1.3)


def starts(table, bench, daemon):
    run = subprocess.run(
        [sys.executable, HERE / "starts.py", bench, daemon], stdout=subprocess.PIPE, text=True, check=True,
        env={"SERVERS": "50,500", "WAITING": "0", "KILLED": "3", **os.environ, "ROUNDS": os.environ.get("STARTS", "5")},
    )
    rows = {}
    for line in run.stdout.splitlines():
        title, _, rest = line.partition(": ")
        rows[title] = [
            [float(number.replace(",", "")) for number in found]
            for found in re.findall(r" ([\d,]+) \(([\d,]+) to ([\d,]+)\)", rest)
        ]
    show = lambda row: f"{row[0]:,.0f} ms ({row[1]:,.0f} to {row[2]:,.0f})"
    first = rows["first call"][0]
    table.add("start of the daemon to the first served call", show(first), "at most 20 ms", first[0] <= 20)
    if fifty := rows.get("50 servers"):
        table.add("50 servers: start of the daemon to all answering", show(fifty[0]), "at most 231 ms, the fastest peer's", fifty[0][0] <= 231)
    if many := rows.get("500 servers"):
        goal = 2 * many[1][0]
        table.add("500 servers: the same", show(many[0]), f"at most {goal:,.0f} ms, twice a loop's", many[0][0] <= goal)
    if killed := rows.get("killed"):
        goal = killed[1][0] + 20
        table.add("`kill -9` of a child to the next answer", show(killed[0]), f"at most {goal:,.0f} ms, its start and 20", killed[0][0] <= goal)


def resident(daemon):
    """Memory of a daemon that has come to rest, in MiB."""
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def rested(daemon, seconds=3):
    time.sleep(seconds)
    return resident(daemon)


def memory(table, bench, daemon):
    import starts as starting

    one = {"echo": starting.echo(bench)}
    with starting.Daemon(daemon, one) as running:
        running.await_echo("echo")
        idle = rested(running)
        table.add("RSS at rest with one child", f"{idle:.1f} MiB", "at most 8 MiB", idle <= 8)
        connections = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(IDLE_CONNECTIONS)]
        for connection in connections:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            connection.recv(4096)
        more = rested(running) - idle
        for connection in connections:
            connection.close()
        table.add(f"{IDLE_CONNECTIONS:,} idle connections: RSS above that", f"{more:.1f} MiB", "at most 8 MiB", more <= 8)
    with starting.Daemon(daemon, {f"echo{n}": starting.echo(bench) for n in range(50)}) as running:
        for n in range(50):
            running.await_echo(f"echo{n}")
        fifty = rested(running)
        table.add("RSS with 50 children", f"{fifty:.1f} MiB", "at most 12 MiB", fifty <= 12)
    long = {"echo": {"command": bench, "args": ["--echo-child", "--answer", str(LONGEST)]}}
    with starting.Daemon(daemon, long) as running:
        running.await_echo("echo")
        before = rested(running, SETTLED_AFTER_S)
        most = asked_at_once(running)
        after = rested(running, SETTLED_AFTER_S)
        bound = 2.2 * AT_ONCE * LONGEST / MIB
        figure = f"{AT_ONCE} answers of 15 MiB at once: RSS above that at rest"
        table.add(figure, f"{most - before:.0f} MiB", f"at most {bound:.0f} MiB, 2.2 × the frames", most - before <= bound)
        table.add("10 s later: RSS to that at rest", f"{after / before:.2f}", "at most 1.10", after <= 1.1 * before)


def asked_at_once(daemon):
    """Asks for long answers over as many connections; returns the most memory meanwhile."""
    body = json.dumps({"mcp_id": "echo", "tool": "echo", "arguments": {"nonce": "n"}}).encode()
    head = (
        f"POST /v1/mcp/invoke HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {daemon.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    waiting = {socket.create_connection(("127.0.0.1", daemon.port)): 0 for _ in range(AT_ONCE)}
    for connection in waiting:
        connection.sendall(head + body)
        connection.setblocking(False)
    most, deadline = 0.0, time.monotonic() + 120
    # Each is twice the text, and a little.
    while any(count < 2 * LONGEST for count in waiting.values()):
        if time.monotonic() > deadline:
            sys.exit("long answers did not come")
        most = max(most, resident(daemon))
        for connection, count in waiting.items():
            try:
                waiting[connection] = count + len(connection.recv(MIB))
            except BlockingIOError:
                pass
        time.sleep(0.001)
    for connection in waiting:
        connection.close()
    return most


def counted(table, bench, daemon):
    names = {"v1": "`/v1/mcp/invoke`", "mcp": "`tools/call` at `/mcp/{server}`"}
    for route, cost in instructions.counted([daemon], bench, list(names)):
        count = cost["instructions"]
        figure = f"{names[route]}: instructions outside the kernel a call, 16 in flight"
        table.add(figure, f"{count:,} ({cost['pieces']} pieces of memory)", "at most 24,000", count <= 24_000)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    bench, daemon = (str(pathlib.Path(given).resolve()) for given in sys.argv[1:])
    processor = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    load = os.getloadavg()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores ({processor and processor[1]}), Linux {platform.release()}, load before {load:.1f}; {ROUNDS} rounds of {SECONDS} s")
    table = Table()
    parts = {
        "calls": lambda: calls(table, bench),
        "large": lambda: large(table, bench),
        "starts": lambda: starts(table, bench, daemon),
        "memory": lambda: memory(table, bench, daemon),
        "instructions": lambda: counted(table, bench, daemon),
    }
    if unknown := [part for part in PARTS if part not in parts]:
        sys.exit(f"there is no part {', '.join(unknown)}: {', '.join(parts)}")
    for part in PARTS:
        parts[part]()
    table.print()


if __name__ == "__main__":
    main()
