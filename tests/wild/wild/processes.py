"""Processes of one run: they carry a mark in their environment, so that none is left behind."""

import os
import signal
import subprocess
import time
from pathlib import Path

MARK = "MCPVISOR_WILD_RUN"


def marked(value):
    """The processes that carry the mark with this value, as `{pid: command line}`."""
    entry = f"{MARK}={value}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                found[int(folder.name)] = line
        except OSError:
            continue  # it has ended meanwhile, or is another user's
    return found


def end_all(value, patience=5.0):
    """Kills what carries the mark, and says what it was. Raises RuntimeError for what does not go away."""
    left = marked(value)
    end = time.monotonic() + patience
    while marked(value):
        for pid in marked(value):
            send(pid, signal.SIGKILL)
        if time.monotonic() > end:
            raise RuntimeError(f"cannot be killed: {marked(value)}")
        time.sleep(0.02)
    return left


def gone_within(value, patience):
    """What still carries the mark when so many seconds are over; `{}` as soon as nothing does."""
    end = time.monotonic() + patience
    while (left := marked(value)) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def stop(process, patience):
    """Ends the leader of a group by the usual ladder, each step with so much patience: what it took, and the code."""
    try:
        process.stdin.close()
    except OSError:
        pass  # it has closed its end
    for step, number in (("stdin", None), ("SIGTERM", signal.SIGTERM), ("SIGKILL", signal.SIGKILL)):
        if number is not None:
            send(-process.pid, number)
        if _ends_within(process, patience):
            return step, process.returncode
    raise RuntimeError(f"process {process.pid} cannot be killed")


def send(pid, number):
    """Sends a signal to a process, or to a group if `pid` is negative; none that is gone is missed."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _ends_within(process, patience):
    try:
        process.wait(timeout=patience)
    except subprocess.TimeoutExpired:
        return False
    return True
