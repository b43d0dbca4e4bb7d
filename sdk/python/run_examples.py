"""Runs what stands in README.md and in `examples/` against a daemon of its own, and compares what it says.

    python run_examples.py --daemon PATH [--installed]

Each block of Python in the README is a program of its own, and the block of text behind it what it prints. With
`--installed` the package is the one of this Python, else the one beside this file. Exit code 1 if something is
otherwise.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

import servers  # noqa: E402
from harness import Daemon, check, equal  # noqa: E402
from model import WORDS, Model  # noqa: E402

BLOCK = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def printed(arguments: list[str], environment: dict[str, str], given: str = "") -> tuple[int, str]:
    """Exit code and output of a program; what it writes to stderr is shown."""
    done = subprocess.run(
        [sys.executable, *arguments],
        input=given,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def run_readme(daemon: Daemon, environment: dict[str, str]) -> None:
    """Each block of the README that has an output."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    blocks = BLOCK.findall(text)
    equal(len(blocks), text.count("```python"), "blocks of the README that say what they print")
    for number, (program, wanted) in enumerate(blocks, 1):
        seen = printed(["-c", program.replace("http://127.0.0.1:5000", daemon.url)], environment)
        equal(seen, (0, wanted), f"output of block {number} of the README")
        print(f"ok   README.md, block {number}")


def run_batch(environment: dict[str, str]) -> None:
    """Forty calls, five at once, by a key that may make ten a second."""
    inputs = "".join(json.dumps({"a": number, "b": 0}) + "\n" for number in range(40))
    program = str(HERE / "examples" / "batch.py")
    code, output = printed([program, "demo", "add", "--at-once", "5"], environment, inputs)
    equal([json.loads(line) for line in output.splitlines()], [{"result": {"sum": n}} for n in range(40)], "sums")
    equal(code, 0, "exit code of the batch")
    code, output = printed([program, "demo", "fail"], environment, '{"message": "out of paper"}\n')
    failed = json.loads(output)
    equal((code, failed["code"], failed["carried_out"]), (1, "mcp_error", "perhaps"), "a call that fails")
    print("ok   examples/batch.py")


def run_chat(environment: dict[str, str]) -> None:
    """Two questions; the model refuses the second one, which ends nothing."""
    program = str(HERE / "examples" / "chat.py")
    code, output = printed([program, "demo"], environment, "What does it say?\nPlease refuse.\nAnd now?\n\n")
    equal(code, 0, "exit code of the chat")
    check(output.startswith("".join(WORDS) + "\n"), f"the first answer: {output!r}")
    print("ok   examples/chat.py")


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Runs the README's examples and those in examples/.")
    parser.add_argument("--daemon", required=True, help="the program mcpvisor")
    parser.add_argument("--installed", action="store_true", help="use the package that is installed")
    options = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    if not options.installed:
        environment["PYTHONPATH"] = str(HERE / "src")
    with tempfile.TemporaryDirectory(prefix="mcpvisor-sdk-") as directory, Model() as model:
        program = os.path.abspath(options.daemon)
        definitions = {"demo": {"command": program, "args": ["demo-server"]}}
        daemon = Daemon(program, Path(directory), definitions, servers.settings(model.url))
        try:
            environment |= {"MCPVISOR_API_KEY": daemon.key, "MCPVISOR_URL": daemon.url}
            run_readme(daemon, environment)
            narrow = daemon.new_key(limits={"requests_per_second": 10})
            run_batch({**environment, "MCPVISOR_API_KEY": narrow["key"]})
            run_chat(environment)
        finally:
            daemon.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
