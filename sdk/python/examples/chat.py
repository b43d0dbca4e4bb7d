"""Has the daemon's model answer questions with the tools of a server, word by word.

    python chat.py SERVER

A line is a question; an empty one, or the end of the input, ends it. Ctrl-C leaves an answer, by which the daemon
cancels the question and the calls that it has led to, and the next question can be asked. The daemon keeps no
conversation, so what was said before goes along in front of each question.
"""

from __future__ import annotations

import argparse
import os
import sys

from mcpvisor import Client, McpvisorError

REMEMBERED = 6
"""Questions, with their answers, that go along with the next one."""


def asked(client: Client, server: str, said: list[tuple[str, str]], question: str) -> str:
    """The answer, which is shown as it comes."""
    before = "".join(f"Earlier question: {one}\nYour answer: {other}\n\n" for one, other in said[-REMEMBERED:])
    with client.api.query(server, before + question, stream=True) as events:
        for event in events:
            if event["type"] == "token":
                print(event["text"], end="", flush=True)
            elif event["type"] == "tool_call":
                print(f"[{event['tool']} {event['arguments']}]", file=sys.stderr)
            elif event["type"] == "tool_result" and event["is_error"]:
                print(f"[{event['tool']} failed: {event['result']}]", file=sys.stderr)
        print()
        return events.answer["result"] if events.answer else ""


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Asks the daemon's model questions about a server.")
    parser.add_argument("server", help="name or id of the server whose tools the model may use")
    parser.add_argument("--url", default=os.environ.get("MCPVISOR_URL", "http://127.0.0.1:5000"), help="the daemon")
    options = parser.parse_args()
    said: list[tuple[str, str]] = []
    with Client(options.url) as client:
        while question := read_question():
            try:
                said.append((question, asked(client, options.server, said, question)))
            except KeyboardInterrupt:
                print("\n[left]", file=sys.stderr)
            except McpvisorError as error:
                print(f"\n[{error}]", file=sys.stderr)
    return 0


def read_question() -> str:
    """The next question; empty at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except (EOFError, KeyboardInterrupt):
        return ""


if __name__ == "__main__":
    sys.exit(main())
