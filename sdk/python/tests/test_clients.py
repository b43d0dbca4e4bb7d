"""Both clients over a transport that is no network: laziness, closing, and that they are one client in two forms."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

import mcpvisor
from mcpvisor import AsyncClient, Client

HERE = Path(__file__).resolve().parents[1]


def pages(request: httpx.Request) -> httpx.Response:
    page = int(request.url.params["page"])
    place = {"page": page, "per_page": 2, "total": 6, "total_pages": 3}
    items = [{"id": f"mcp_{page}{n}"} for n in range(2)]
    return httpx.Response(200, json={"success": True, "data": items, "pagination": place})


class Counting:
    """Answers by a function and keeps what it was asked."""

    def __init__(self, answer) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._answer(request)


def test_pages_are_fetched_when_they_are_needed() -> None:
    asked = Counting(pages)
    with Client("http://host", transport=httpx.MockTransport(asked)) as client:
        listing = client.mcps.list(per_page=2)
        assert asked.requests == []
        items = iter(listing)
        assert [next(items)["id"], next(items)["id"]] == ["mcp_10", "mcp_11"]
        assert len(asked.requests) == 1
        assert [item["id"] for item in items] == ["mcp_20", "mcp_21", "mcp_30", "mcp_31"]
        assert len(list(listing)) == 6
    assert len(asked.requests) == 6


def test_pages_are_fetched_when_they_are_needed_asynchronously() -> None:
    asked = Counting(pages)

    async def run() -> list[str]:
        async with AsyncClient("http://host", transport=httpx.MockTransport(asked)) as client:
            seen = []
            async for item in client.mcps.list(per_page=2):
                seen.append(item["id"])
                if len(seen) == 3:
                    break
            return seen

    assert asyncio.run(run()) == ["mcp_10", "mcp_11", "mcp_20"]
    assert len(asked.requests) == 2


def test_a_list_that_promises_pages_it_does_not_have_ends() -> None:
    place = {"page": 1, "per_page": 2, "total": 9, "total_pages": 9}
    asked = Counting(lambda _: httpx.Response(200, json={"success": True, "data": [], "pagination": place}))
    with Client("http://host", transport=httpx.MockTransport(asked)) as client:
        assert list(client.mcps.list()) == []
    assert len(asked.requests) == 1


def test_the_activity_is_read_by_its_cursor() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        cursor = int(request.url.params.get("cursor", 7))
        data = {"calls": [{"number": cursor - 1}], "next_cursor": cursor - 1 if cursor > 5 else None}
        return httpx.Response(200, json={"success": True, "data": data})

    with Client("http://host", transport=httpx.MockTransport(answer)) as client:
        assert [call["number"] for call in client.activity.list()] == [6, 5, 4]


def refusals(*codes: tuple[int, str, dict]) -> Counting:
    answers = iter(codes)

    def answer(_: httpx.Request) -> httpx.Response:
        status, code, details = next(answers)
        error = {"code": code, "message": "no", "details": details}
        return httpx.Response(status, json={"success": False, "error": error}, headers={"Retry-After": "0"})

    return Counting(answer)


RUNNING = (409, "conflict", {"idempotency": "running", "phase": "in_flight"})
BUSY = (429, "rate_limited", {})


def test_what_ends_the_asking_for_a_call_that_runs_does_not_make_it_one_that_was_never_sent() -> None:
    asked = refusals(RUNNING, BUSY, BUSY)
    client = Client("http://host", transport=httpx.MockTransport(asked))
    with client, pytest.raises(mcpvisor.RateLimitedError) as seen:
        client.invoke("m", "t", idempotency_key="once")
    assert (seen.value.phase, seen.value.is_retryable, len(asked.requests)) == ("in_flight", True, 3)


def test_a_call_that_nobody_said_to_run_was_never_sent() -> None:
    asked = refusals(BUSY, BUSY, BUSY)
    client = Client("http://host", transport=httpx.MockTransport(asked))
    with client, pytest.raises(mcpvisor.RateLimitedError) as seen:
        client.invoke("m", "t", idempotency_key="once")
    assert (seen.value.phase, len(asked.requests)) == ("not_sent", 3)


def test_a_stream_is_opened_by_its_first_item() -> None:
    text = b'event: line\nid: 1\ndata: {"number": 1}\n\nevent: end\ndata: {"reason": "removed"}\n\n'
    asked = Counting(lambda _: httpx.Response(200, headers={"content-type": "text/event-stream"}, content=text))
    with Client("http://host", transport=httpx.MockTransport(asked)) as client:
        stream = client.logs.follow("m", tail=5, last_event_id=9)
        assert asked.requests == []
        assert [line["number"] for line in stream] == [1]
        assert stream.end_reason == "removed"
    request = asked.requests[0]
    assert str(request.url) == "http://host/v1/mcps/m/logs?follow=true&tail=5"
    assert request.headers["last-event-id"] == "9"


def test_both_clients_have_the_same_methods() -> None:
    def surface(client: object) -> dict[str, inspect.Signature]:
        found = {}
        for name, value in inspect.getmembers(client):
            if name.startswith("_"):
                continue
            if inspect.ismethod(value):
                found[name] = inspect.signature(value).replace(return_annotation=None)
            elif type(value).__module__.startswith("mcpvisor"):
                found |= {f"{name}.{inner}": signature for inner, signature in surface(value).items()}
        return found

    one, other = surface(Client("http://host")), surface(AsyncClient("http://host"))
    assert one == other
    assert len(one) > 40


@pytest.mark.parametrize("program", ["generate.py", "derive_sync.py"])
def test_what_is_derived_has_not_drifted(program: str) -> None:
    documents = HERE.parents[1] / "src" / "http" / "plexmcp" / "openapi.json"
    if program == "generate.py" and not documents.exists():
        pytest.skip("the daemon's documents are not there: this is no checkout of the repository")
    done = subprocess.run([sys.executable, str(HERE / program), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_version_is_the_one_that_is_sent() -> None:
    asked = Counting(lambda _: httpx.Response(200, json={"status": "ok"}))
    with Client("http://host", transport=httpx.MockTransport(asked)) as client:
        client.api.status()
    assert asked.requests[0].headers["user-agent"] == f"mcpvisor-python/{mcpvisor.__version__}"
