"""Calls a tool for many inputs, some at once, and says what became of each.

    python batch.py MCP TOOL < inputs.jsonl > results.jsonl

Each line of the input is a JSON object, the arguments of one call; the lines of the output stand in the same order,
with `result` or `error`. What the client did not get done by its own repeats is tried again as the error says: after
its `retry_after`, as long as it `is_retryable`. What may have been carried out is never called again, and is told
apart, so that somebody can look. Exit code 1 if a call has no result.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from mcpvisor import AsyncClient, AuthenticationError, McpvisorError, QuotaExceededError

PATIENCE = 120.0
"""Seconds that one call waits at most, altogether, for a server that refuses it for the time being."""


async def called(client: AsyncClient, mcp: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What became of one call."""
    waited = 0.0
    while True:
        try:
            return {"result": (await client.invoke(mcp, tool, arguments)).result}
        except (AuthenticationError, QuotaExceededError):
            raise  # No other call would fare better.
        except McpvisorError as error:
            pause = error.retry_after or 1.0
            if not error.is_retryable or waited + pause > PATIENCE:
                done = "no" if error.phase == "not_sent" else "perhaps"
                return {"error": error.message, "code": error.code, "request_id": error.request_id, "carried_out": done}
        await asyncio.sleep(pause)
        waited += pause


async def batch(
    client: AsyncClient, mcp: str, tool: str, inputs: list[dict[str, Any]], at_once: int
) -> list[dict[str, Any]]:
    """What became of all calls, in the order of the inputs; at most so many are under way at once."""
    places = asyncio.Semaphore(at_once)

    async def one(arguments: dict[str, Any]) -> dict[str, Any]:
        async with places:
            return await called(client, mcp, tool, arguments)

    tasks = [asyncio.create_task(one(arguments)) for arguments in inputs]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        # One that ends the batch, or Ctrl-C: what is under way is cancelled at the servers, too.
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Calls a tool for each line of standard input.")
    parser.add_argument("mcp", help="id or name of the MCP")
    parser.add_argument("tool", help="name of the tool")
    parser.add_argument("--at-once", type=int, default=8, help="calls that may be under way at the same time (8)")
    parser.add_argument("--url", default=os.environ.get("MCPVISOR_URL", "http://127.0.0.1:5000"), help="the daemon")
    options = parser.parse_args()
    inputs = [json.loads(line) for line in sys.stdin if line.strip()]
    async with AsyncClient(options.url) as client:
        try:
            results = await batch(client, options.mcp, options.tool, inputs, options.at_once)
        except McpvisorError as error:
            print(f"batch: {error}", file=sys.stderr)
            return 1
    for result in results:
        print(json.dumps(result, ensure_ascii=False))
    return 1 if any("error" in result for result in results) else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
