#!/usr/bin/env python3
"""Does what the documents have a reader do, in a home of its own, against the daemon that was built, and compares what comes of it
with what they say. Each page begins with nothing: its own home, port and shell. What is marked as not to be run is counted by its reason.

    run.py --daemon target/debug/mcpvisor [--short] [--only PAGE] [--show] [--keep]
"""
import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import blocks
import links

ROOT = Path(__file__).resolve().parents[2]
DEADLINE = 180  # seconds for one step; packages may have to be fetched
STOPPING = 40  # seconds for a daemon to stop


class Failed(Exception):
    """What a page says is not so."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Reader:
    """Somebody who reads a page from the top: a home, a shell that goes on, and what was left running."""

    def __init__(self, daemon: Path, tools: list[Path], show: bool):
        self.home = Path(tempfile.mkdtemp(prefix="mcpvisor-docs-"))
        self.port = free_port()
        self.show = show
        runtime = self.home / ".run"
        runtime.mkdir(mode=0o700)
        bin_dir = self.home / ".local/bin"
        bin_dir.mkdir(parents=True)
        for name in ("mcpvisor", "mcp-server"):
            (bin_dir / name).symlink_to(daemon.parent / name)
        self.env = {
            "HOME": str(self.home), "XDG_RUNTIME_DIR": str(runtime), "MCPVISOR_PORT": str(self.port),
            "PATH": os.pathsep.join([str(bin_dir), *map(str, tools), os.environ["PATH"]]),
            "LANG": "C.UTF-8", "TZ": "UTC", "TERM": "dumb", "USER": "u", "CHECKOUT": str(ROOT),
        }
        for name in ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.settle_packages()
        # Where programs are looked for is a matter of the machine.
        self.places = [(self.env["PATH"], "/usr/local/bin:/usr/bin:/bin"), (str(runtime), "/run/user/1000"),
                       (str(self.home), "/home/u"), (f":{self.port}", ":5000"), (f"port {self.port}", "port 5000"),
                       (str(ROOT), "/home/u/mcpvisor")]
        self.outputs: list[Path] = []
        self.left: list[subprocess.Popen] = []
        self.shell = subprocess.Popen(
            ["bash", "--norc", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            cwd=self.home, env=self.env, start_new_session=True)

    def settle_packages(self):
        """npm and uv with this machine's authorities, and downloads kept from one run to the next."""
        cache = ROOT / "target/docs"
        npmrc = [f"cache={cache}/npm", "fund=false", "audit=false", "update-notifier=false"]
        uv = [f'cache-dir = "{cache}/uv"', "native-tls = true", 'link-mode = "copy"']
        if authorities := os.environ.get("NODE_EXTRA_CA_CERTS"):
            npmrc.append(f"cafile={authorities}")
        (self.home / ".npmrc").write_text("\n".join(npmrc) + "\n")
        config = self.home / ".config/uv"
        config.mkdir(parents=True)
        (config / "uv.toml").write_text("\n".join(uv) + "\n")

    def here(self, commands: str) -> str:
        """Commands with the port of this run."""
        for host in ("localhost", "127.0.0.1", "[::1]"):
            commands = commands.replace(f"{host}:5000", f"{host}:{self.port}")
        return commands

    def take(self, step: blocks.Step):
        """Takes a step, and fails where it does not end as the page says."""
        script = self.home / ".step"
        script.write_text(self.here(step.commands))
        if step.background:
            return self.leave_running(step, script)
        out = self.home / ".output"
        out.unlink(missing_ok=True)
        assert self.shell.stdin and self.shell.stdout
        # The shell itself runs it, so that variables stay; a job of it must not keep the pipe open.
        self.shell.stdin.write(f'. {script} >{out} 2>&1 </dev/null; echo "$?"\n')
        self.shell.stdin.flush()
        alarm(DEADLINE, step)
        line = self.shell.stdout.readline()
        signal.alarm(0)
        seen = out.read_text(errors="replace").splitlines()
        if self.show:
            print("\n".join(f"      {text}" for text in [*step.commands.splitlines(), *("  " + text for text in seen)]))
        if not line:
            raise Failed("the shell ended")
        code = int(line)
        if code != step.code:
            raise Failed(f"exit code {code} instead of {step.code}\n" + "\n".join(f"        {text}" for text in seen[-15:]))
        if step.expected is not None:
            wanted = [blocks.plain(text, self.places) for text in step.expected]
            if problem := blocks.difference(wanted, [blocks.plain(text, self.places) for text in seen]):
                raise Failed(problem + "\n" + "\n".join(f"        | {text}" for text in seen[:40]))

    def leave_running(self, step: blocks.Step, script: Path):
        kept = script.with_name(f".background-{len(self.left)}")
        script.rename(kept)
        out = kept.with_suffix(".out")
        with out.open("w") as sink:
            process = subprocess.Popen(
                ["bash", "--norc", "-c", f". {kept}"], stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, cwd=self.home, env=self.env,
                start_new_session=True)
        self.left.append(process)
        wanted = [blocks.plain(text, self.places) for text in step.expected or []]
        deadline = time.monotonic() + DEADLINE
        while True:
            seen = out.read_text(errors="replace").splitlines()
            lacking = blocks.missing(wanted, [blocks.plain(text, self.places) for text in seen])
            if lacking is None and (seen or not wanted) and (not step.hidden or self.answers()):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"does not say  {lacking}\n" + "\n".join(f"        | {text}" for text in seen[-30:]))
            time.sleep(0.05)
        if self.show:
            print("\n".join(f"      {text}" for text in [*step.commands.splitlines(), *("  " + text for text in seen)]))

    def answers(self) -> bool:
        """Whether every server has left its first start, so far as the port says."""
        done = subprocess.run(["curl", "-sf", f"http://127.0.0.1:{self.port}/readyz"], capture_output=True, check=False)
        return done.returncode == 0

    def leave(self, keep: bool):
        """Ends what was left running, as a service is ended, and removes the home. A daemon that does not stop in order fails the page."""
        problem = None
        for process in reversed(self.left):
            if process.poll() is not None:
                continue
            for pid in (process.pid, *descendants(process.pid)):
                if Path(f"/proc/{pid}/exe").exists() and os.readlink(f"/proc/{pid}/exe").endswith("/mcpvisor"):
                    os.kill(pid, signal.SIGTERM)
                    break
            else:
                os.killpg(process.pid, signal.SIGTERM)
            try:
                code = process.wait(STOPPING)
                if code not in (0, 130, -2):
                    problem = f"what ran in the background ended with {code}"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                problem = "what ran in the background did not stop"
        assert self.shell.stdin
        self.shell.stdin.close()
        self.shell.wait(STOPPING)
        self.end_daemons()
        if not keep:
            shutil.rmtree(self.home, ignore_errors=True)
        if problem:
            raise Failed(problem)

    def end_daemons(self):
        """Daemons that a command of the page started by itself (`mcpvisor stdio`), known by their home."""
        mark = f"HOME={self.home}".encode()
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGTERM)
            except OSError:
                continue


def descendants(pid: int) -> list[int]:
    found = []
    for child in (Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if Path(f"/proc/{pid}").exists() else []):
        found += [int(child), *descendants(int(child))]
    return found


def alarm(seconds: int, step: blocks.Step):
    def late(*_):
        raise Failed(f"took more than {seconds} s")
    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)


def read_page(page: Path, arguments, tools: list[Path], counts: Counter) -> list[str]:
    """Takes every step of a page. Returns what is not as it says."""
    name = page.relative_to(ROOT)
    try:
        steps = blocks.steps(page.read_text())
    except blocks.PageError as error:
        return [f"{name}: {error}"]
    counts.update(step.skip for step in steps if step.skip)
    steps = [step for step in steps if not step.skip]
    if not steps:
        return []
    started, problems = time.monotonic(), []
    reader = Reader(arguments.daemon, tools, arguments.show)
    try:
        for step in steps:
            if arguments.show:
                print(f"    {name}:{step.line}")
            try:
                reader.take(step)
            except Failed as failed:
                first = step.commands.strip().splitlines()[0]
                problems.append(f"{name}:{step.line}: {first}\n        {failed}")
                if step.background or step.hidden or "took more" in str(failed):
                    break
            counts["hidden" if step.hidden else "run"] += 1
            counts["compared"] += step.expected is not None
    finally:
        try:
            reader.leave(arguments.keep)
        except Failed as failed:
            problems.append(f"{name}: {failed}")
    print(f"  {'FAILED' if problems else 'ok':<6} {str(name):<36} {len(steps):>3} steps  {time.monotonic() - started:5.1f} s")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs every command of the documents.")
    parser.add_argument("--daemon", type=lambda text: Path(text).absolute(), required=True)
    parser.add_argument("--short", action="store_true", help="README.md only, and the links of all")
    parser.add_argument("--only", help="pages whose path has this in it")
    parser.add_argument("--show", action="store_true", help="show what is run and what comes of it")
    parser.add_argument("--keep", action="store_true", help="leave the homes")
    arguments = parser.parse_args()
    tools = [place for place in (ROOT / "target/docs/tools/bin",) if place.is_dir()]
    for program in ("jq", "curl", "npx", "uvx", arguments.daemon):
        if not shutil.which(str(program), path=os.pathsep.join([*map(str, tools), os.environ["PATH"]])):
            print(f"docs: {program} is missing; tests/docs/install.sh installs what is needed", file=sys.stderr)
            return 2

    count, problems = links.check(ROOT)
    print(f"  {'FAILED' if problems else 'ok':<6} {count} links")
    pages = [ROOT / "README.md"] if arguments.short else [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    counts: Counter = Counter()
    for page in pages:
        if arguments.only and arguments.only not in str(page):
            continue
        problems += read_page(page, arguments, tools, counts)

    print(f"\ndocs: {counts.pop('run', 0)} steps run, {counts.pop('compared', 0)} of them compared, {counts.pop('hidden', 0)} that a reader does not see")
    for reason, number in sorted(counts.items()):
        print(f"docs: {number} not run: {blocks.REASONS[reason]} ({reason})")
    for problem in problems:
        print(f"\n{problem}")
    print(f"\ndocs: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
