#!/usr/bin/env python3
"""Times starts and recoveries: how long until servers answer, and how long one that was killed stays away.

    python3 benches/starts.py CHILD DAEMON...

CHILD is the bench program, which is also an echo server (`--echo-child`); each DAEMON is a build of mcpvisor, and they take turns in each
round. Shown is the median of the rounds, with the least and the most, in milliseconds:

    first call       from the start of the daemon to the first right answer of one server
    N servers        from the start of the daemon to a right answer of each of N servers, with the default settings; beside it how long a
                     loop takes that starts as many children one after the other, says `initialize` and waits for each answer
    N that wait      the same with servers that sleep for a second before they answer anything, as one that asks the network does
    killed           from `kill -9` of a child that has served for a minute to the next right answer, and the child's own start beside it

ROUNDS=9 and SERVERS=50,500 in the environment say otherwise; WAITING=40 and KILLED=3 how many wait, and how many minutes are
spent on the last row, once for all daemons; 0 leaves a row out. Leave the machine alone meanwhile.
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from instructions import announced_address

ROUNDS = int(os.environ.get("ROUNDS", 9))
SERVERS = [int(n) for n in os.environ.get("SERVERS", "50,500").split(",") if n]
WAITING = int(os.environ.get("WAITING", 40))
KILLED = int(os.environ.get("KILLED", 3))
PATIENCE = 120
INITIALIZE = (
    b'{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18",'
    b'"capabilities":{},"clientInfo":{"name":"starts","version":"1"}}}\n'
)


class Daemon:
    """A daemon with its servers, started now."""

    def __init__(self, program, servers):
        self.folder = tempfile.TemporaryDirectory(prefix="mcpvisor-starts-")
        folder = pathlib.Path(self.folder.name)
        file = folder / "servers.json"
        file.write_text(json.dumps({"mcpServers": servers}))
        command = [program, "serve", "--port", "0", "--data-dir", folder / "data", "--servers", file]
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.port = announced_address(self.process)
        self.key = (folder / "data" / "owner.key").read_text().strip()
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, server, tool, arguments):
        """The result of a call, or None if it was refused."""
        body = json.dumps({"mcp_id": server, "tool": tool, "arguments": arguments})
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        self.connection.request("POST", "/v1/mcp/invoke", body, headers)
        answer = self.connection.getresponse()
        text = answer.read()
        return json.loads(text) if answer.status == 200 else None

    def echoes(self, server):
        """Whether a call is answered with what it carried."""
        nonce = f"n{time.monotonic_ns()}"
        answer = self.ask(server, "echo", {"nonce": nonce})
        return answer is not None and nonce in json.dumps(answer)

    def await_echo(self, server):
        deadline = time.monotonic() + PATIENCE
        while not self.echoes(server):
            if time.monotonic() > deadline:
                sys.exit(f"{server} does not answer")
            time.sleep(0.001)

    def child(self):
        """The process id of the only child."""
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        self.folder.cleanup()


def ms(since):
    return (time.monotonic() - since) * 1000


def echo(child, before=""):
    if before:
        return {"command": "sh", "args": ["-c", f'{before}; exec "$0" --echo-child', child]}
    return {"command": child, "args": ["--echo-child"]}


def until_all_answer(program, server, count):
    servers = {f"echo{n}": server for n in range(count)}
    with Daemon(program, servers) as daemon:
        for name in servers:
            daemon.await_echo(name)
        return ms(daemon.began)


def started_by_a_loop(child, count):
    began = time.monotonic()
    children = []
    for _ in range(count):
        started = subprocess.Popen([child, "--echo-child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.stdin.write(INITIALIZE)
        started.stdin.flush()
        if b'"result"' not in started.stdout.readline():
            sys.exit("the child does not answer")
        children.append(started)
    took = ms(began)
    for started in children:
        started.stdin.close()
        started.stdout.close()
        started.kill()
        started.wait()
    return took


def told(name, row):
    middle = statistics.median(row)
    return f"{name} {middle:,.0f} ({min(row):,.0f} to {max(row):,.0f})"


def table(title, rows):
    print(f"{title}: " + "; ".join(told(name, row) for name, row in rows.items()), flush=True)


def row(title, child, daemons, measure, loop=0):
    rows = {daemon: [] for daemon in daemons}
    if loop:
        rows["a loop"] = []
    for _ in range(ROUNDS):
        for daemon in daemons:
            rows[daemon].append(measure(daemon))
        if loop:
            rows["a loop"].append(started_by_a_loop(child, loop))
    table(title, rows)


def killed(child, daemons):
    rows = {daemon: [] for daemon in daemons} | {"the child's own start": []}
    with contextlib.ExitStack() as stack:
        running = {daemon: stack.enter_context(Daemon(daemon, {"echo": echo(child)})) for daemon in daemons}
        for daemon in running.values():
            daemon.await_echo("echo")
        for _ in range(KILLED):
            time.sleep(61)
            for name, daemon in running.items():
                os.kill(daemon.child(), signal.SIGKILL)
                began = time.monotonic()
                daemon.await_echo("echo")
                rows[name].append(ms(began))
            rows["the child's own start"].append(started_by_a_loop(child, 1))
    table("killed", rows)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    child, *daemons = (str(pathlib.Path(given).resolve()) for given in sys.argv[1:])
    row("first call", child, daemons, lambda daemon: until_all_answer(daemon, echo(child), 1))
    for count in SERVERS:
        row(f"{count} servers", child, daemons, lambda daemon, n=count: until_all_answer(daemon, echo(child), n), count)
    if WAITING:
        waits = echo(child, "sleep 1")
        row(f"{WAITING} that wait", child, daemons, lambda daemon: until_all_answer(daemon, waits, WAITING))
    if KILLED:
        killed(child, daemons)


if __name__ == "__main__":
    main()
