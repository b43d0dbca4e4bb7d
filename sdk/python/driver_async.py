"""The driver of the asynchronous client for `sdk/tests/run.py`; cancelling is `Task.cancel`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from driver import Arguments, fields_of

from mcpvisor import AsyncClient, McpvisorError


async def listed(items: Any) -> list[Any]:
    """All that an iterator gives."""
    return [item async for item in items]


async def value_of(value: Any) -> Any:
    """A value of an awaitable, as plain data."""
    return asdict(await value)


async def now(value: Any) -> Any:
    """A value that needs no request."""
    return asdict(value)


async def logs_follow(client: AsyncClient, mcp: str, take: int, **options: Any) -> list[Any]:
    """The first lines of a log that is followed."""
    found: list[Any] = []
    async with client.logs.follow(mcp, **options) as lines:
        async for line in lines:
            found.append(line)
            if len(found) == take:
                break
    return found


async def query(client: AsyncClient, server: str, query: str, stream: bool = False, **further: Any) -> Arguments:
    """A question, with the events of its answer where it streams."""
    if not stream:
        return {"text": (await client.api.query(server, query, **further))["result"], "events": []}
    async with client.api.query(server, query, stream=True, **further) as answer:
        events = [event async for event in answer]
        return {"text": answer.answer["result"] if answer.answer else None, "events": events}


OPERATIONS: dict[str, Callable[..., Any]] = {
    "mcps.list": lambda client, **args: listed(client.mcps.list(**args)),
    "mcps.page": lambda client, **args: value_of(client.mcps.page(**args)),
    "mcps.get": lambda client, id: client.mcps.get(id),
    "mcps.logs": lambda client, id, **args: client.mcps.logs(id, **args),
    "invoke": lambda client, **args: value_of(client.invoke(**args)),
    "resources.list": lambda client, **args: client.resources.list(**args),
    "resources.read": lambda client, **args: client.resources.read(**args),
    "keys.list": lambda client, **args: listed(client.keys.list(**args)),
    "keys.create": lambda client, **args: client.keys.create(**args),
    "keys.revoke": lambda client, id: client.keys.revoke(id),
    "usage.get": lambda client, **args: client.usage.get(**args),
    "usage.history": lambda client, **args: listed(client.usage.history(**args)),
    "organization.get": lambda client: client.organization.get(),
    "organization.members": lambda client, **args: listed(client.organization.members(**args)),
    "activity.list": lambda client, **args: listed(client.activity.list(**args)),
    "logs.follow": logs_follow,
    "mcp_url": lambda client, **args: now(client.mcp_url(**args)),
    "api.status": lambda client: client.api.status(),
    "api.servers.list": lambda client: client.api.servers.list(),
    "api.servers.get": lambda client, name: client.api.servers.get(name),
    "api.servers.create": lambda client, **args: client.api.servers.create(**args),
    "api.servers.delete": lambda client, name: client.api.servers.delete(name),
    "api.tools.list": lambda client, server: client.api.tools(server),
    "api.query": query,
}


async def carried_out(client: AsyncClient, line: Arguments) -> Arguments:
    """The answer to a line with an operation."""
    task = asyncio.ensure_future(OPERATIONS[line["op"]](client, **line.get("args", {})))
    if line.get("cancel_after_ms") is not None:
        asyncio.get_running_loop().call_later(line["cancel_after_ms"] / 1000, task.cancel)
    try:
        return {"ok": await task}
    except McpvisorError as error:
        return {"error": fields_of(error)}
    except asyncio.CancelledError:
        return {"error": {"class": "Cancelled", "message": "cancelled", "is_retryable": False, "phase": "unknown"}}


def new_client(**options: Any) -> AsyncClient:
    """A client as told, else as the environment says."""
    return AsyncClient(options.pop("base_url", None) or os.environ["MCPVISOR_BASE_URL"], **options)


async def main() -> None:
    """Reads lines until there are no more."""
    client = new_client()
    while text := await asyncio.to_thread(sys.stdin.buffer.readline):
        line = json.loads(text)
        began = time.monotonic()
        if "new" in line:
            await client.close()
            client = new_client(**line["new"])
            answer: Arguments = {"ok": True}
        else:
            answer = await carried_out(client, line)
        answer["took_ms"] = round((time.monotonic() - began) * 1000)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
