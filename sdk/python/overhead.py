"""CPU time of a call with the clients against one with bare httpx, which sends the same bytes and reads the same JSON.

    python overhead.py ADDRESS [ROUNDS] [CALLS]

`sdk/overhead.sh` calls this with the address of a server that answers all calls alike, and has the same for the other
languages. In each round both take turns, some calls each, so that whatever else the machine does meets both alike; what
the client takes on top is said of the round. The middle of the rounds decides, with the quarters around it: more than a
tenth fails. httpx bounds each step by a time by default, as the client does.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx

from mcpvisor import AsyncClient, Client

MOST = 10.0
TURN = 20
"""Calls of one turn."""
KEY = "pk_live_0123456789abcdefghijklmnopqrstuvwxyz"
ARGUMENTS = {"a": 2, "b": 40}
BODY = {"mcp_id": "demo", "tool": "add", "arguments": ARGUMENTS}
Call = Callable[[], dict[str, Any]]
AsyncCall = Callable[[], Awaitable[dict[str, Any]]]


def seen(address: str) -> tuple[dict[str, str], str]:
    """Headers and body of the last call, as the server saw them."""
    last = httpx.get(f"{address}/seen").json()
    lines = [line.partition(": ") for line in last["head"].split("\r\n")[1:] if line]
    return {name.lower(): value for name, _, value in lines}, last["body"]


def headers_of_client(address: str) -> dict[str, str]:
    """The headers of the client's calls that httpx does not send by itself."""
    with Client(f"{address}/small", api_key=KEY) as client:
        client.invoke("demo", "add", ARGUMENTS)
    ours, _ = seen(address)
    httpx.post(f"{address}/small/", json=BODY)
    plain, _ = seen(address)
    # Those of one connection; httpx closes the one of `httpx.post`.
    return {name: value for name, value in ours.items() if plain.get(name) != value and name != "connection"}


def request_of(address: str) -> tuple[Any, ...]:
    """The last call, to be compared; ids, of which each call has its own, need to be as long."""
    headers, body = seen(address)
    told = {name: len(value) if "id" in name or "key" in name else value for name, value in headers.items()}
    return body, tuple(sorted(told.items(), key=str))


def check(result: dict[str, Any]) -> None:
    """Fails unless this is the answer."""
    if result["sum"] != 42:
        raise SystemExit(f"another answer: {result}")


def compare(requests: list[tuple[Any, ...]]) -> None:
    """Fails unless they are the same."""
    if len(set(requests)) > 1:
        raise SystemExit("the requests differ:\n" + "\n".join(map(repr, requests)))


def middle(numbers: list[float], digits: int) -> str:
    """The middle, and the quarters around it."""
    low, value, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


class Times:
    """Seconds of CPU by round: of bare httpx and of the client. The first round is for the caches."""

    def __init__(self) -> None:
        self.spent: list[list[float]] = []

    def begin(self) -> None:
        """A further round."""
        self.spent.append([0.0, 0.0])

    def report(self, what: str, calls: int) -> bool:
        """Whether the client is within its bar, with what it took."""
        rounds = self.spent[1:]
        each = -(-calls // TURN) * TURN / 1e6
        on_top = [(ours / bare - 1) * 100 for bare, ours in rounds]
        good = statistics.median(on_top) <= MOST
        print(
            f"{'ok  ' if good else 'FAIL'} {what} answers:"
            f" httpx {middle([bare / each for bare, _ in rounds], 0)} µs of CPU a call,"
            f" the client {middle([ours / each for _, ours in rounds], 0)}: {middle(on_top, 1)} % on top",
            flush=True,
        )
        return good


def turns(calls: int) -> Iterator[int]:
    """Whose turn it is, over a round: each begins as often as the other."""
    for turn in range(-(-calls // TURN)):
        yield from (turn % 2, 1 - turn % 2)


def of_sync(address: str, size: str, rounds: int, calls: int) -> bool:
    """The synchronous client."""
    with httpx.Client(headers=headers_of_client(address)) as http, Client(f"{address}/{size}", api_key=KEY) as client:
        url = f"{address}/{size}/v1/mcp/invoke"

        def bare() -> dict[str, Any]:
            response = http.post(url, json=BODY)
            response.raise_for_status()
            result: dict[str, Any] = response.json()["data"]["result"]
            return result

        def ours() -> dict[str, Any]:
            result: dict[str, Any] = client.invoke("demo", "add", ARGUMENTS).result
            return result

        def measure(call: Call) -> float:
            began = time.process_time()
            for _ in range(TURN):
                check(call())
            return time.process_time() - began

        requests = []
        for call in (bare, ours):
            check(call())
            requests.append(request_of(address))
        compare(requests)
        times = Times()
        for _ in range(-1, rounds):
            times.begin()
            for way in turns(calls):
                times.spent[-1][way] += measure((bare, ours)[way])
    return times.report(f"Python, {size}", calls)


async def of_async(address: str, size: str, rounds: int, calls: int) -> bool:
    """The asynchronous client; the same with `await`."""
    async with (
        httpx.AsyncClient(headers=headers_of_client(address)) as http,
        AsyncClient(f"{address}/{size}", api_key=KEY) as client,
    ):
        url = f"{address}/{size}/v1/mcp/invoke"

        async def bare() -> dict[str, Any]:
            response = await http.post(url, json=BODY)
            response.raise_for_status()
            result: dict[str, Any] = response.json()["data"]["result"]
            return result

        async def ours() -> dict[str, Any]:
            result: dict[str, Any] = (await client.invoke("demo", "add", ARGUMENTS)).result
            return result

        async def measure(call: AsyncCall) -> float:
            began = time.process_time()
            for _ in range(TURN):
                check(await call())
            return time.process_time() - began

        requests = []
        for call in (bare, ours):
            check(await call())
            requests.append(request_of(address))
        compare(requests)
        times = Times()
        for _ in range(-1, rounds):
            times.begin()
            for way in turns(calls):
                times.spent[-1][way] += await measure((bare, ours)[way])
    return times.report(f"Python, asynchronous, {size}", calls)


def main() -> int:
    """The exit code."""
    if len(sys.argv) < 2:
        print("usage: python overhead.py ADDRESS [ROUNDS] [CALLS]", file=sys.stderr)
        return 2
    address, rounds, calls = sys.argv[1], *(int(text) for text in [*sys.argv[2:4], "15", "1000"][:2])
    good = [of_sync(address, size, rounds, calls) for size in ("small", "large")]
    good += [asyncio.run(of_async(address, size, rounds, calls)) for size in ("small", "large")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
