#!/usr/bin/env python3
"""Compares calls to a remote server through mcpvisor with the same through other gateways, in the same run.

    python3 benches/peers.py BENCH NAME=PROGRAM...

BENCH is the bench program (`target/release/deps/gateway-…`), which is the load generator, the remote echo
server and the bare proxy as well. NAME says how PROGRAM is started:

    crate    the program of the crate `mcp-proxy` 0.6
    pypi     the program of PyPI's `mcp-proxy`: one process with HTTP in front, and one before the server
    litellm  the program of PyPI's `litellm[proxy]`

Each is put before an echo server of 2025-11-25, opened with one session, and called over 64 connections at
once, by turns with the daemon and the bare proxy; every answer is checked. ROUNDS (9) and TURN (1.4 seconds)
can be set in the environment, and KIND to the variants beside it. Fails if a bar of bars.rs does not hold:
the daemon answers three times the calls of a peer.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

READY_S, STOP_S = 300, 30
PROTOCOL = "2025-06-18"
KEY = "sk-bench"
KINDS = os.environ.get("KIND", "remote,remote-mcp,proxy")


class Failure(Exception):
    """What went wrong, for whoever runs this."""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def crate(program, server, folder, port):
    config = folder / "proxy.toml"
    config.write_text(
        f'[proxy]\nname = "bench"\n[proxy.listen]\nhost = "127.0.0.1"\nport = {port}\n'
        f'[[backends]]\nname = "echo"\ntransport = "http"\nurl = "{server}"\n'
        '[observability]\nlog_level = "warn"\n'
    )
    return [program, "--config", config], f"http://127.0.0.1:{port}/", "echo/echo", []


def pypi(program, server, _folder, port):
    behind = [program, "--transport", "streamablehttp", server]
    command = [program, "--host", "127.0.0.1", "--port", port, "--log-level", "WARNING", "--", *behind]
    return command, f"http://127.0.0.1:{port}/mcp", "echo", []


def litellm(program, server, folder, port):
    config = folder / "litellm.json"
    echo = {"url": server, "transport": "http"}
    settings = {"model_list": [], "general_settings": {"master_key": KEY}, "mcp_servers": {"echo": echo}}
    config.write_text(json.dumps(settings))
    command = [program, "--config", config, "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]
    return command, f"http://127.0.0.1:{port}/mcp/", "echo-echo", [f"x-litellm-api-key: Bearer {KEY}"]


STARTS = {"crate": crate, "pypi": pypi, "litellm": litellm}


class Program:
    """A process with a log, ended with the block."""

    def __init__(self, command, log, **further):
        self.log = open(log, "w+b")
        self.process = subprocess.Popen(
            [str(part) for part in command], stderr=self.log, start_new_session=True, **further
        )

    def tail(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-2000:]

    def pids(self):
        """It and what it has started."""
        found, pending = [], [self.process.pid]
        while pending:
            pid = pending.pop()
            found.append(pid)
            for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pending += (int(child) for child in (thread / "children").read_text().split())
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for order in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, order)
                self.process.wait(STOP_S)
                # Its children are in its group, and may be slower than it.
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        self.log.close()


def post(url, headers, body):
    """The answer's headers and text."""
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.headers, answer.read().decode()


def open_session(url, headers):
    """The headers of each further request."""
    base = dict(header.split(": ", 1) for header in headers)
    base |= {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    client = {"name": "bench", "version": "1"}
    params = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": client}
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    answer, text = post(url, base, message)
    if '"serverInfo"' not in text:
        raise Failure(f"no answer to initialize: {text[:500]}")
    further = [f"mcp-protocol-version: {PROTOCOL}"]
    if session := answer.get("mcp-session-id"):
        further.append(f"mcp-session-id: {session}")
    base |= dict(header.split(": ", 1) for header in further)
    post(url, base, {"jsonrpc": "2.0", "method": "notifications/initialized"})
    return [*headers, *further], base


def await_echo(url, headers, tool, program):
    """Opens sessions until a call through one is answered; returns the headers of further calls."""
    deadline = time.monotonic() + READY_S
    while True:
        try:
            further, base = open_session(url, headers)
            params = {"name": tool, "arguments": {"nonce": "first"}}
            call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            text = post(url, base, call)[1]
            if "first" in text and '"isError":true' not in text:
                return further
            problem = text
        except (OSError, Failure, urllib.error.HTTPError) as error:
            problem = error
        if program.process.poll() is not None:
            raise Failure(f"it has ended with {program.process.returncode}: {program.tail()}")
        if time.monotonic() > deadline:
            raise Failure(f"{problem}\n{program.tail()}")
        time.sleep(0.5)


def measure(bench, name, path, folder):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with Program([bench, "--remote-echo-legacy"], folder / "echo.log", **pipes) as server:
        address = server.process.stdout.readline().split("http://")[1].strip()
        command, url, tool, headers = STARTS[name](path, f"http://{address}/mcp", folder, free_port())
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": folder}
        # It is started as its users start it, and reports nothing to anybody.
        quiet["env"] = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "RUST_LOG": "warn"}
        with Program(command, folder / "peer.log", **quiet) as peer:
            further = await_echo(url, headers, tool, peer)
            order = [bench, "--bench", "--bars", "--levels", "64", "--variants", f"{KINDS},peer"]
            order += ["--rounds", os.environ.get("ROUNDS", "9")]
            order += ["--seconds", os.environ.get("TURN", "1.4")]
            order += ["--peer-url", url, "--peer-tool", tool]
            order += ["--peer-pids", ",".join(map(str, peer.pids()))]
            order += [part for header in further for part in ("--peer-header", header)]
            print(f"peer is {name}: {path}", flush=True)
            return subprocess.run([str(part) for part in order]).returncode == 0


def main():
    wanted = [argument.partition("=") for argument in sys.argv[2:]]
    if not wanted or any(name not in STARTS or not path for name, _, path in wanted):
        sys.exit(__doc__)
    held = []
    for name, _, path in wanted:
        with tempfile.TemporaryDirectory(prefix="mcpvisor-peer-") as folder:
            try:
                held.append(measure(sys.argv[1], name, path, pathlib.Path(folder)))
            except Failure as failure:
                print(f"{name}: not measured: {failure}", file=sys.stderr)
                held.append(False)
    sys.exit(not all(held))


if __name__ == "__main__":
    main()
