"""Runs what README.md says first, and the programs in `examples/`, against a daemon of its own.

    python3 run_examples.py --daemon PATH

The module is taken by a fresh one, as the README has it done: its commands are carried out as they stand there, but for
where the checkout, the key and the daemon are. Go is the one of the PATH. Exit code 1 if something is otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import servers  # noqa: E402
from harness import Daemon, check, equal, eventually  # noqa: E402
from model import WORDS, Model  # noqa: E402

README = (HERE / "README.md").read_text(encoding="utf-8")
MODULE = "mcpvisor.invalid/go/mcpvisor"


def block(language: str, having: str) -> str:
    """The one block of the README in this language that has this text."""
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if having in text]
    equal(len(found), 1, f"blocks of the README in {language} that have {having!r}")
    return found[0]


def replaced(text: str, old: str, new: str) -> str:
    """The text with something else in one place."""
    equal(text.count(old), 1, f"places of the README that have {old!r}")
    return text.replace(old, new)


def printed(
    command: list[str], place: Path, environment: dict[str, str], given: str = "", code: int = 0
) -> str:
    """Output of a program that ends with this exit code; what it writes to stderr is shown."""
    done = subprocess.run(
        command, cwd=place, env=environment, input=given, stdout=subprocess.PIPE, text=True, timeout=300, check=False
    )
    equal(done.returncode, code, f"exit code of {' '.join(command)[:200]}, which wrote {done.stdout!r}")
    return done.stdout


def run_first(project: Path, daemon: Daemon, environment: dict[str, str]) -> None:
    """The program and the commands that the README begins with, in a folder that has nothing else."""
    program = replaced(block("go", "package main"), "mcpvisor.New()", f'mcpvisor.New(mcpvisor.WithBaseURL("{daemon.url}"))')
    (project / "main.go").write_text(program, encoding="utf-8")
    commands = replaced(block("sh", "go mod init"), "CHECKOUT", str(HERE.parents[1]))
    commands = replaced(commands, "~/.local/share/mcpvisor/owner.key", str(daemon.directory / "data" / "owner.key"))
    output = printed(["bash", "-euo", "pipefail", "-c", commands], project, environment)
    equal(output, 'demo healthy\n{"sum":42}\n', "output of the README's first program")
    printed(["go", "vet", "./..."], project, environment)
    print("ok   README.md, the first program in a fresh module")


def run_batch(project: Path, environment: dict[str, str]) -> None:
    """As the README has it called, and with lines that fail."""
    output = printed(["bash", "-euo", "pipefail", "-c", block("sh", "examples/batch")], HERE, environment)
    equal([json.loads(line)["result"] for line in output.splitlines()], [{"sum": 3}, {"sum": 7}], "sums")
    inputs = '{"a":1,"b":9007199254740992}\n{"a":"x","b":2}\nno JSON\n{"a":2,"b":40}\n'
    output = printed([str(project / "batch"), "demo", "add"], project, environment, inputs, code=1)
    found = [json.loads(line) for line in output.splitlines()]
    equal([one["line"] for one in found], [1, 2, 3, 4], "lines in their order")
    sums = [one["result"]["sum"] if "result" in one else None for one in found]
    equal(sums, [9007199254740993, None, None, 42], "sums beside calls that fail")
    check(all(one.get("error") for one in found[1:3]), f"calls that fail say how: {found[1:3]}")
    print("ok   examples/batch")


def run_chat(project: Path, environment: dict[str, str], model: Model) -> None:
    """A question that is answered, one that is left, one that the model refuses, and one after all that."""
    program = subprocess.Popen(
        [str(project / "chat"), "demo"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=project,
    )
    assert program.stdin is not None
    try:
        program.stdin.write("What does it say?\nPlease wait.\n")
        program.stdin.flush()
        eventually(lambda: any(b"Please wait" in one.body for one in model.received), "the model is asked to wait")
        program.send_signal(signal.SIGINT)
        eventually(model.left.is_set, "the model is left")
        output, _ = program.communicate("Please refuse.\nAnd now?\n", timeout=60)
    finally:
        program.kill()
        program.wait()
    said = "".join(WORDS)
    equal(program.returncode, 1, f"exit code of the chat, one question of which fails; it wrote {output!r}")
    check(re.search(r"→ echo .*\n← echo \(\d+ ms\)\n" + re.escape(said), output), f"tool calls and words: {output!r}")
    check("(cancelled)" in output, f"the question that was left: {output!r}")
    equal(output.count(said), 2, f"questions that were answered, in {output!r}")
    print("ok   examples/chat")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Runs the README's first program and those in examples/.")
    parser.add_argument("--daemon", required=True, help="the program mcpvisor")
    options = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    with tempfile.TemporaryDirectory(prefix="mcpvisor-sdk-") as directory, Model() as model:
        program = os.path.abspath(options.daemon)
        definitions = {"demo": {"command": program, "args": ["demo-server"]}}
        daemon = Daemon(program, Path(directory), definitions, servers.settings(model.url))
        project = Path(directory) / "first"
        project.mkdir()
        try:
            run_first(project, daemon, environment)
            environment |= {"MCPVISOR_API_KEY": daemon.key, "MCPVISOR_BASE_URL": daemon.url}
            for name in ("batch", "chat"):
                printed(["go", "build", f"{MODULE}/examples/{name}"], project, environment)
            run_batch(project, environment)
            run_chat(project, environment, model)
        finally:
            daemon.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
