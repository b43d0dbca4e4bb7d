"""The driver of the synchronous client for `sdk/tests/run.py`: an operation a line, an answer a line.

Cancelling is what it is for a program that waits: a signal whose handler raises, as Ctrl-C does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from mcpvisor import Client, McpvisorError

Arguments = dict[str, Any]


def logs_follow(client: Client, mcp: str, take: int, **options: Any) -> list[Any]:
    """The first lines of a log that is followed."""
    with client.logs.follow(mcp, **options) as lines:
        return list(islice(lines, take))


def query(client: Client, server: str, query: str, stream: bool = False, **further: Any) -> Arguments:
    """A question, with the events of its answer where it streams."""
    if not stream:
        return {"text": client.api.query(server, query, **further)["result"], "events": []}
    with client.api.query(server, query, stream=True, **further) as answer:
        events = list(answer)
        return {"text": answer.answer["result"] if answer.answer else None, "events": events}


OPERATIONS: dict[str, Callable[..., Any]] = {
    "mcps.list": lambda client, **args: list(client.mcps.list(**args)),
    "mcps.page": lambda client, **args: asdict(client.mcps.page(**args)),
    "mcps.get": lambda client, id: client.mcps.get(id),
    "mcps.logs": lambda client, id, **args: client.mcps.logs(id, **args),
    "invoke": lambda client, **args: asdict(client.invoke(**args)),
    "resources.list": lambda client, **args: client.resources.list(**args),
    "resources.read": lambda client, **args: client.resources.read(**args),
    "keys.list": lambda client, **args: list(client.keys.list(**args)),
    "keys.create": lambda client, **args: client.keys.create(**args),
    "keys.revoke": lambda client, id: client.keys.revoke(id),
    "usage.get": lambda client, **args: client.usage.get(**args),
    "usage.history": lambda client, **args: list(client.usage.history(**args)),
    "organization.get": lambda client: client.organization.get(),
    "organization.members": lambda client, **args: list(client.organization.members(**args)),
    "activity.list": lambda client, **args: list(client.activity.list(**args)),
    "logs.follow": logs_follow,
    "mcp_url": lambda client, **args: asdict(client.mcp_url(**args)),
    "api.status": lambda client: client.api.status(),
    "api.servers.list": lambda client: client.api.servers.list(),
    "api.servers.get": lambda client, name: client.api.servers.get(name),
    "api.servers.create": lambda client, **args: client.api.servers.create(**args),
    "api.servers.delete": lambda client, name: client.api.servers.delete(name),
    "api.tools.list": lambda client, server: client.api.tools(server),
    "api.query": query,
}


def interrupt(*_: object) -> None:
    """Ends what is under way, as Ctrl-C does."""
    raise KeyboardInterrupt


def carried_out(client: Client, line: Arguments) -> Arguments:
    """The answer to a line with an operation."""
    after = line.get("cancel_after_ms")
    try:
        try:
            if after is not None:
                signal.setitimer(signal.ITIMER_REAL, max(after, 1) / 1000)
            return {"ok": OPERATIONS[line["op"]](client, **line.get("args", {}))}
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except McpvisorError as error:
        return {"error": fields_of(error)}
    except KeyboardInterrupt:
        return {"error": {"class": "Cancelled", "message": "interrupted", "is_retryable": False, "phase": "unknown"}}


def fields_of(error: McpvisorError) -> Arguments:
    """An error as the protocol of the drivers has it."""
    names = ("code", "status", "request_id", "is_retryable", "fault", "phase", "retry_after", "message")
    return {"class": error.kind, **{name: getattr(error, name) for name in names}}


def new_client(**options: Any) -> Client:
    """A client as told, else as the environment says."""
    return Client(options.pop("base_url", None) or os.environ["MCPVISOR_BASE_URL"], **options)


def main() -> None:
    """Reads lines until there are no more."""
    signal.signal(signal.SIGALRM, interrupt)
    client = new_client()
    for text in sys.stdin.buffer:
        line = json.loads(text)
        began = time.monotonic()
        if "new" in line:
            client.close()
            client = new_client(**line["new"])
            answer: Arguments = {"ok": True}
        else:
            answer = carried_out(client, line)
        answer["took_ms"] = round((time.monotonic() - began) * 1000)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
