#!/usr/bin/env python3
"""Counts what one call of `POST /v1/mcp/invoke` costs outside the kernel: instructions and pieces of memory.

    python3 benches/instructions.py CHILD DAEMON...
    python3 benches/instructions.py --budget FILE CHILD DAEMON      (what .ci/run does; --record writes FILE anew)

CHILD is the bench program, which is also the echo server (`--echo-child`), or the tests' `fake-mcp`; each DAEMON is a build of
mcpvisor. With a budget, what FILE says of each route is compared with what is counted: more than a twentieth above it fails. 16
connections make 12,800 calls (CALLS says otherwise), every answer is checked, and what the daemon does meanwhile is counted. Instructions
repeat within half a hundredth for the same build, whatever else the machine does; what is compared has to be built with
one profile. With KEEP=PATH in the environment, callgrind's file for the first DAEMON is kept as PATH-1, and so on. With ROUTES=v1,mcp,all each build is counted once for each of
these: `/v1/mcp/invoke`, a modern `tools/call` on `/mcp/echo`, and the same on `/mcp`. With SERVERS=100 and TOOLS=20 there
are as many of them, of which one is called. `remote`, `remote-mcp` and `remote-legacy` are the first two with a remote
server and the first with one of the legacy era, and `proxy` is the bench's bare reverse proxy before the same server.

Needs Debian 12's valgrind (3.19) and gcc. That valgrind does not know pidfd_open and pidfd_send_signal, which the
daemon cannot do without, so a copy of it is told which known calls have the same arguments.
"""

import json
import mmap
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

CONNECTIONS, CALLS, WARM_UP = 16, int(os.environ.get("CALLS", 12_800)), 1_600
# What may be above a budget, and has to be below it before it is to be lowered.
SPARE = 1.05
LIBRARY = pathlib.Path("/usr/libexec/valgrind")
# Place of the table of system calls in callgrind of valgrind 3.19.0-1 (Debian 12, amd64).
TABLE = 0x253D90
# pidfd_open has the arguments of eventfd2, and pidfd_send_signal those of a call that takes four numbers.
LIKE = {434: 290, 424: 74}
COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
static unsigned long *count;
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
__attribute__((constructor)) static void begin(void) {
    int file = open(getenv("PIECES"), O_RDWR);
    if (file < 0) abort();
    count = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
}
static void one(void) { if (count) __atomic_add_fetch(count, 1, __ATOMIC_RELAXED); }
void *malloc(size_t n) { one(); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { one(); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { one(); return __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { one(); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { one(); return (*p = __libc_memalign(a, n)) ? 0 : 12; }
"""


MODERN = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\nmcp-name: %s\r\n"
CALL = (
    '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%s","arguments":{"nonce":"%%s"},"_meta":'
    '{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}'
)
# Path, further headers and body of a call, with a place for what is to come back.
REQUESTS = {
    "v1": ("/v1/mcp/invoke", "", '{"tool":"echo","mcp_id":"echo","arguments":{"nonce":"%s"}}'),
    "mcp": ("/mcp/echo", MODERN % "echo", CALL % "echo"),
    "all": ("/mcp", MODERN % "echo__echo", CALL % "echo__echo"),
    "proxy": ("/mcp", MODERN % "echo", CALL % "echo"),
}
# 64 KiB there and back.
LARGE = '{"tool":"echo","mcp_id":"echo","arguments":{"text":"%s","nonce":"%%s"}}' % ("0123456789abcdef" * 4096)
REQUESTS["large"] = ("/v1/mcp/invoke", "", LARGE)
REQUESTS |= {"remote": REQUESTS["v1"], "remote-mcp": REQUESTS["mcp"], "remote-legacy": REQUESTS["v1"]}


def announced_address(process):
    """Where a program says that it listens; what else it prints is read and dropped."""
    for line in process.stdout:
        if "http://127.0.0.1:" in line:
            port = line.split("http://127.0.0.1:")[1]
            threading.Thread(target=process.stdout.read, daemon=True).start()
            return int("".join(c for c in port.split("/")[0].split()[0] if c.isdigit()))
    return None


class RemoteEcho:
    """The bench's remote echo server, which ends with its standard input."""

    def __init__(self, child, route):
        mode = "--remote-echo-legacy" if route == "remote-legacy" else "--remote-echo"
        self.process = subprocess.Popen(
            [child, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{announced_address(self.process)}/mcp"

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


class Daemon:
    """A daemon with one echo server, or the bare proxy before it, under `before` (a program and its options) and with
    `env` added."""

    def __init__(self, program, child, route, before=(), env=None):
        self.route = route
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mcpvisor-count-"))
        is_remote = route.startswith("remote") or route == "proxy"
        self.remote = RemoteEcho(child, route) if is_remote else None
        if route == "proxy":
            command = [child, "--baseline-proxy", self.remote.url]
        else:
            command = [program, *self.options(child)]
        self.log = open(self.folder / "stderr", "w+b")
        self.process = subprocess.Popen(
            [str(part) for part in (*before, *command)],
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )
        self.port = announced_address(self.process)
        if self.port is None:
            self.log.seek(0)
            sys.exit(f"it did not say where it listens: {self.log.read().decode()[-2000:]}")
        key = self.folder / "data/owner.key"
        self.key = key.read_text().strip() if key.exists() else "none"

    def options(self, child):
        servers, config = self.folder / "servers.json", self.folder / "mcpvisor.toml"
        is_fake = pathlib.Path(child).name == "fake-mcp"
        mode = ["--era", "both"] if is_fake else ["--echo-child", "--tools", os.environ.get("TOOLS", "1")]
        definition = {"command": child, "args": mode}
        if self.remote:
            definition = {"url": self.remote.url}
        further = {f"server{number}": definition for number in range(1, int(os.environ.get("SERVERS", "1")))}
        servers.write_text(json.dumps({"mcpServers": {"echo": definition, **further}}))
        config.write_text(
            '[organization]\nplan = "bench"\n[plans.bench]\nrequests_per_second = 1000000\n'
            "monthly_requests = 1000000000000\n[limits]\ncalls_per_key = 100000\n"
        )
        place = ["--host", "127.0.0.1", "--port", "0", "--data-dir", self.folder / "data"]
        return ["serve", *place, "--servers", servers, "--config", config]

    def wait_until_ready(self):
        deadline = time.monotonic() + 240
        while True:
            try:
                if self.route != "proxy":
                    urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz").close()
                return self.load(1, 1)
            except (AssertionError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def load(self, connections, calls):
        """Makes `calls` calls over so many connections, all at once, and checks each answer."""
        failures = []

        def one(index):
            try:
                with socket.create_connection(("127.0.0.1", self.port)) as connection:
                    answers = connection.makefile("rb")
                    for number in range(calls // connections):
                        self.call(connection, answers, "%012d" % (index * 1_000_000 + number))
            except Exception as failure:  # Any other end of the thread would count as calls that were made.
                failures.append(failure)

        threads = [threading.Thread(target=one, args=(index,)) for index in range(connections)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if failures:
            raise AssertionError(failures[0])

    def call(self, connection, answers, nonce):
        path, headers, body = REQUESTS[self.route]
        body = body % nonce
        connection.sendall(
            (
                f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n{headers}"
                f"authorization: Bearer {self.key}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}"
            ).encode()
        )
        length, status = 0, answers.readline()
        while (line := answers.readline().strip().lower()):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = answers.read(length)
        assert b" 200 " in status and nonce.encode() in answer, (status, answer[:300])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # The daemon ends by the signal, the proxy with its standard input.
        self.process.stdin.close()
        if self.route != "proxy":
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.log.close()
            if self.remote:
                self.remote.end()
            shutil.rmtree(self.folder)


def teach(folder):
    """Copies valgrind's tools into `folder` and has callgrind know the two calls."""
    shutil.copytree(LIBRARY, folder, symlinks=True)
    tool = folder / "callgrind-amd64-linux"
    image = bytearray(tool.read_bytes())
    entry = lambda number: slice(TABLE + 16 * (number + 1), TABLE + 16 * (number + 2))
    for unknown, known in LIKE.items():
        if any(image[entry(unknown)]) or not struct.unpack("<Q", image[entry(known)][:8])[0]:
            sys.exit(f"{tool} is not the one of valgrind 3.19.0-1 on amd64: its table of calls is elsewhere")
        image[entry(unknown)] = image[entry(known)]
    tool.write_bytes(image)


def instructions(program, child, route, scratch, number):
    library, out = scratch / "valgrind", scratch / "callgrind.out"
    if not library.exists():
        teach(library)
    env = {"VALGRIND_LIB": str(library)}
    before = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={out}"]
    with Daemon(program, child, route, before, env) as daemon:
        control = lambda order: subprocess.run(
            ["callgrind_control", "-i", order, str(daemon.process.pid)],
            env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        daemon.wait_until_ready()
        daemon.load(CONNECTIONS, WARM_UP)
        control("on")
        daemon.load(CONNECTIONS, CALLS)
        control("off")
    totals = [line for line in out.read_text().splitlines() if line.startswith(("totals:", "summary:"))]
    if "KEEP" in os.environ:
        shutil.copy(out, f"{os.environ['KEEP']}-{number}")
    return int(totals[-1].split()[1]) / CALLS


def pieces(program, child, route, scratch, _number):
    source, library, counts = scratch / "count.c", scratch / "count.so", scratch / "count"
    source.write_text(COUNTER)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    counts.write_bytes(bytes(4096))
    with Daemon(program, child, route, env={"LD_PRELOAD": str(library), "PIECES": str(counts)}) as daemon:
        daemon.wait_until_ready()
        daemon.load(CONNECTIONS, WARM_UP)
        with open(counts, "r+b") as file, mmap.mmap(file.fileno(), 4096) as shared:
            read = lambda: struct.unpack("<Q", shared[:8])[0]
            begin = read()
            daemon.load(CONNECTIONS, CALLS)
            return (read() - begin) / CALLS


def counted(programs, child, routes):
    """Counts each route of each build: instructions and pieces of memory a call."""
    with tempfile.TemporaryDirectory(prefix="mcpvisor-count-") as scratch:
        scratch = pathlib.Path(scratch)
        builds = [(program, route) for program in programs for route in routes]
        for number, (program, route) in enumerate(builds, 1):
            cost, memory = (count(program, child, route, scratch, number) for count in (instructions, pieces))
            print(f"{cost:10.0f} instructions, {memory:6.2f} pieces of memory a call: {route} of {program}", flush=True)
            yield route, {"instructions": round(cost), "pieces": round(memory, 2)}


def against(file, child, program, is_recorded):
    """Compares a build with a budget, or writes the budget anew. Returns what is beyond it."""
    file = pathlib.Path(file)
    budget = json.loads(file.read_text())
    now = dict(counted([program], child, budget))
    if is_recorded:
        file.write_text(json.dumps(now, indent=2) + "\n")
        return []
    beyond = []
    for route, limits in budget.items():
        for what, limit in limits.items():
            ratio = now[route][what] / limit
            line = f"{route}: {now[route][what]:,} {what} a call, {ratio - 1:+.1%} of the {limit:,} in {file.name}"
            if ratio > SPARE:
                beyond.append(line)
            elif ratio < 1 / SPARE:
                print(f"{line}: write it down (--record)")
    return beyond


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--budget"] and len(arguments) >= 4:
        is_recorded = "--record" in arguments
        file, child, program = (argument for argument in arguments[1:] if argument != "--record")
        beyond = against(file, child, program, is_recorded)
        if beyond:
            sys.exit("a call costs more than its budget:\n  " + "\n  ".join(beyond))
        return
    if len(arguments) < 2:
        sys.exit(__doc__)
    for _ in counted(arguments[1:], arguments[0], os.environ.get("ROUTES", "v1").split(",")):
        pass


if __name__ == "__main__":
    main()
