#!/usr/bin/env python3
"""Installs the published servers of servers.json, each in a folder of its own, so that their dependencies do not meet.

    python3 -B tests/wild/install.py [--only NAME,NAME] [--count N] [--short]

    servers/NAME/package-lock.json  ->  servers/NAME/node_modules, by `npm ci`
    servers/NAME/requirements.txt   ->  servers/NAME/venv, by pip, each package checked against its hash
                                        venv, with that pip and nothing else

Everything stays below this directory. No install script of any npm package is run and nothing is compiled. A stamp
in each folder says what was installed, so a second run takes no time; two runs at once wait for each other. What
is installed must say that it has the version of the table. Exit codes: 0 all there; 1 one could not be installed;
2 it could not be tried (the command line, the table, npm or venv missing).

To move a server to another version: change servers.json and its package.json or requirements.in, then in its folder
    npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
    uv pip compile --universal --generate-hashes --python-version 3.11 --no-annotate --no-header \\
        requirements.in -o requirements.txt
"""

import argparse
import concurrent.futures
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from wild import table

# Seconds for one step of an install; registries have bad moments.
PATIENCE = 600
# Installs at a time: they wait for the network by turns.
SIDE_BY_SIDE = 2
PIP = table.HERE / "venv" / "bin" / "python"
OLDEST_NODE = 20


class Failed(Exception):
    """A server could not be installed; the text says what was tried and what came of it."""


def main(arguments):
    parser = argparse.ArgumentParser(description="Installs the published servers of servers.json.")
    parser.add_argument("--only", help="names of servers, separated by commas")
    parser.add_argument("--count", type=int, help="only the first so many")
    parser.add_argument("--short", action="store_true", help="only those that `make test` tries")
    options = parser.parse_args(arguments)
    try:
        servers = table.chosen(table.read(), options.only, options.count, options.short)
        check_tools({server.source for server in servers})
    except (table.Wrong, Failed) as wrong:
        print(f"install.py: {wrong}", file=sys.stderr)
        return 2
    with open(table.HERE / ".stamp-lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [server for server in servers if not is_there(server)]
        return 0 if install_all(missing) else 1


def install_all(servers):
    """Installs some servers, and says whether all of them are there."""
    if any(server.source == "pypi" for server in servers) and not make_pip():
        return False
    with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return all(list(pool.map(install, servers)))


def check_tools(sources):
    """Says what is missing before anything is begun. Raises table.Wrong."""
    if sys.version_info < (3, 11):
        raise table.Wrong(f"Python {sys.version.split()[0]} is too old: install 3.11 or later")
    if "npm" in sources:
        for program in ("node", "npm"):
            if shutil.which(program) is None:
                raise table.Wrong(f"{program} is missing: install Node.js {OLDEST_NODE} or later with npm")
        version = output_of(["node", "-p", "process.versions.node"]).strip()
        if int(version.split(".")[0]) < OLDEST_NODE:
            raise table.Wrong(f"node {version} is too old: install Node.js {OLDEST_NODE} or later")
    if "pypi" in sources:
        try:
            import ensurepip, venv  # noqa: F401, E401
        except ImportError as missing:
            raise table.Wrong(f"python3 has no {missing.name}: install python3-venv") from missing


def is_there(server):
    """Whether it is installed as the table and its lock say now, and an interpreter is still there to run it."""
    stamp = server.folder / ".stamp"
    if not stamp.is_file() or stamp.read_text(encoding="utf-8") != stamp_of(server):
        return False
    program = server.folder / "venv" / "bin" / "python" if server.source == "pypi" else Path(server.command)
    return os.access(program, os.X_OK)


def install(server):
    """Installs one server; whether it is there afterwards."""
    begin = time.monotonic()
    stamp = server.folder / ".stamp"
    stamp.unlink(missing_ok=True)
    try:
        {"npm": install_npm, "pypi": install_pypi}[server.source](server.folder)
        found = installed_version(server)
        if found != server.version:
            raise Failed(f"the lock has {server.package} {found}, and servers.json {server.version}")
        if not os.access(server.command, os.X_OK):
            raise Failed(f"{server.package} has no program '{server.program}'")
    except Failed as failed:
        print(f"install.py: {server.name}: {failed}", file=sys.stderr)
        return False
    stamp.write_text(stamp_of(server), encoding="utf-8")
    print(f"tests/wild: installed {server.name} {server.version} in {time.monotonic() - begin:.0f} s", flush=True)
    return True


def stamp_of(server):
    """What a stamp must say: the pins as they are, and where they are, since a virtual environment cannot be moved."""
    pins = {"npm": ("package.json", "package-lock.json"), "pypi": ("requirements.txt",)}[server.source]
    digest = hashlib.sha256(f"{server.folder}\n{server.version}\n".encode())
    for name in pins:
        digest.update((server.folder / name).read_bytes())
    return digest.hexdigest() + "\n"


def make_pip():
    """Makes the environment that has pip, once: to put pip into each server's own takes longer than its packages."""
    if os.access(PIP, os.X_OK) and subprocess.run([PIP, "-m", "pip", "--version"], capture_output=True).returncode == 0:
        return True
    shutil.rmtree(table.HERE / "venv", ignore_errors=True)
    try:
        run([sys.executable, "-m", "venv", "venv"], table.HERE)
    except Failed as failed:
        print(f"install.py: {failed}", file=sys.stderr)
        return False
    return True


def install_npm(folder):
    run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)


def install_pypi(folder):
    shutil.rmtree(folder / "venv", ignore_errors=True)
    run([sys.executable, "-m", "venv", "--without-pip", "venv"], folder)
    pip = [PIP, "-m", "pip", "--python", "venv/bin/python", "install", "--quiet", "--disable-pip-version-check"]
    run([*pip, "--no-input", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.txt"], folder)


def installed_version(server):
    """The version that the installed package says it has."""
    if server.source == "npm":
        path = server.folder / "node_modules" / server.package / "package.json"
        return json.loads(path.read_text(encoding="utf-8"))["version"]
    ask = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return output_of([str(server.folder / "venv" / "bin" / "python"), "-c", ask, server.package]).strip()


def run(command, folder):
    """Runs a step to its end. Raises Failed with what it said."""
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise Failed(f"`{shown(command)}` did not end within {PATIENCE} s") from late
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Failed(f"`{shown(command)}` ended with {done.returncode}:\n{said[-2000:]}")


def output_of(command):
    """What a short command prints. Raises Failed."""
    try:
        return subprocess.run(command, capture_output=True, timeout=60, check=True, text=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(f"`{shown(command)}` failed: {error}") from error


def shown(command):
    """A command as one would type it."""
    return shlex.join(str(part) for part in command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
