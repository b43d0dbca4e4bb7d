"""The client against a service that answers with what the PlexMCP reference documents, and no more."""

from __future__ import annotations

from typing import Any

from harness import Case, check, equal
from seed import API_KEY, KEY, MCPS, MEMBER, ORGANIZATION, Seed
from table import promise

GROUP = "reference"


def at(case: Case, seed: Seed, max_retries: int = 0, key: str = KEY) -> None:
    """A client of the service, whose address is given as the reference writes it."""
    case.client(base_url=seed.url, api_key=key, max_retries=max_retries)


@promise(GROUP, "lists over pages, and one MCP with its tools")
def lists(case: Case) -> None:
    with Seed() as seed:
        at(case, seed)
        equal(len({mcp["id"] for mcp in case.op("mcps.list", per_page=20).value}), MCPS, "MCPs")
        page = case.op("mcps.page", page=3, per_page=20).value
        equal((len(page["items"]), page["total"]), (5, MCPS), "the last page")
        equal(case.op("mcps.get", id="mcp_007").value["tools"][0]["input_schema"], {"type": "object"}, "schema")


@promise(GROUP, "a call has its result and whom it was about, without blocks and without an id")
def call(case: Case) -> None:
    with Seed() as seed:
        at(case, seed)
        value = case.invoke("mcp_123", "get_weather", {"location": "San Francisco"}).value
        equal(value["result"]["temperature"], 65, "result")
        equal(value["metadata"]["latency_ms"], 125, "metadata")
        check(not value.get("content"), "there are no blocks")
        check(not value.get("request_id"), "there is no id of the request")


@promise(GROUP, "resources, the organization, members and keys")
def others(case: Case) -> None:
    with Seed() as seed:
        at(case, seed)
        listed = case.op("resources.read", mcp="mcp_123", uri="file:///data/config.json").value["contents"]
        equal(listed[0]["name"], "config.json", "an entry without a text")
        equal(case.op("organization.get").value, ORGANIZATION, "organization")
        equal(case.op("organization.members").value, [MEMBER], "members")
        equal(case.op("keys.list").value, [API_KEY], "keys")
        made = case.op("keys.create", name="CI", permissions={"mcps": ["mcp_123"]}).value
        equal((made["name"], made["permissions"]), ("CI", {"mcps": ["mcp_123"]}), "a new key")
        equal(case.op("keys.revoke", id="key_123").value["status"], "revoked", "revocation")


@promise(GROUP, "errors of the catalogue are the same classes, with phase unknown where nobody says it")
def errors(case: Case) -> None:
    table: dict[str, tuple[str, dict[str, Any]]] = {
        "unreachable": ("ServerUnavailable", {"phase": "unknown", "is_retryable": False}),
        "times_out": ("Timeout", {"phase": "unknown", "is_retryable": False}),
        "fails": ("ServerFailed", {"is_retryable": False}),
        "unavailable": ("ServerUnavailable", {"phase": "not_sent"}),
        "broken": ("Internal", {"request_id": "req_abc123", "phase": "unknown"}),
        "missing": ("NotFound", {}),
        "refuses": ("Validation", {}),
        "used_up": ("QuotaExceeded", {"fault": "quota"}),
        "too_fast": ("RateLimited", {"phase": "not_sent", "is_retryable": True}),
    }
    with Seed() as seed:
        at(case, seed)
        for tool, (kind, fields) in table.items():
            case.invoke("mcp_123", tool).fails_as(kind, **fields)
        at(case, seed, key="pk_live_wrong")
        case.op("mcps.list").fails_as("Authentication", code="unauthorized", status=401)


@promise(GROUP, "a call whose phase nobody says is not made again")
def no_repeat(case: Case) -> None:
    with Seed() as seed:
        at(case, seed, max_retries=2)
        for tool in ("unreachable", "times_out", "fails", "broken"):
            before = seed.count("POST")
            check(case.invoke("mcp_123", tool).error is not None, "an error")
            equal(seed.count("POST") - before, 1, f"requests that came for {tool}")
