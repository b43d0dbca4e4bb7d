"""Lists and their pages, keys, usage, the organization, the activity, and definitions of servers."""

from __future__ import annotations

from typing import Any

import servers
from harness import Case, check, equal, eventually
from stand_in import Link, Received, StandIn, data
from table import promise

GROUP = "lists"


def names(items: list[dict[str, Any]]) -> list[str]:
    """The names of what is listed."""
    return [item["name"] for item in items]


@promise(GROUP, "a list iterates over all pages by itself: each item once")
def all_pages(case: Case) -> None:
    items = case.op("mcps.list", per_page=10).value
    total = case.daemon.plain("GET", "/v1/mcps?per_page=1", key=case.daemon.key)[1]["pagination"]["total"]
    equal(len(items), total, "items")
    equal(len({item["id"] for item in items}), total, "different items")
    check(set(servers.SHELVED) <= set(names(items)), "all that are switched off are there")


@promise(GROUP, "a list without a size of pages is whole as well")
def default_pages(case: Case) -> None:
    items = case.op("mcps.list").value
    check(set(servers.SHELVED) | {"fake"} <= set(names(items)), "more than a page of 20")


@promise(GROUP, "filters of a list hold on all its pages")
def filtered(case: Case) -> None:
    items = case.op("mcps.list", status="inactive", per_page=7).value
    equal(sorted(names(items)), sorted([*servers.SHELVED, "off"]), "those that are switched off")
    check(all(item["status"] == "inactive" for item in items), "status")
    healthy = case.op("mcps.list", health="healthy").value
    check("fake" in names(healthy) and "gone" not in names(healthy), "those that are healthy")


@promise(GROUP, "one page has its items and how many there are; one beyond the end is empty; 100 are the most")
def one_page(case: Case) -> None:
    page = case.op("mcps.page", page=2, per_page=10).value
    equal(len(page["items"]), 10, "items")
    check(page["total"] > 45, "total")
    first = case.op("mcps.page", page=1, per_page=10).value
    check(not set(names(first["items"])) & set(names(page["items"])), "the pages have nothing in common")
    equal(case.op("mcps.page", page=999, per_page=10).value["items"], [], "a page beyond the end")
    equal(case.op("mcps.page", page=1, per_page=1000).value["total"], page["total"], "total of a page that is too long")


@promise(GROUP, "a page that cannot be is Validation")
def bad_page(case: Case) -> None:
    case.op("mcps.page", page=0, per_page=10).fails_as("Validation", code="invalid_request", status=400)


@promise(GROUP, "an error on a later page is an error of the list, not its end")
def error_on_page(case: Case) -> None:
    def paged(link: Link, request: Received, stand_in: StandIn) -> bool:
        number = int(request.query.get("page", "1"))
        if number > 1:
            return stand_in.fail(link, request, 403, "forbidden")
        place = {"page": 1, "per_page": 1, "total": 2, "total_pages": 2}
        return data([{"id": "mcp_1"}], pagination=place)(link, request, stand_in)

    with StandIn(rest=paged) as stand_in:
        case.client(base_url=stand_in.url)
        case.op("mcps.list", per_page=1).fails_as("PermissionDenied", code="forbidden")
        equal([one.query.get("page", "1") for one in stand_in.received], ["1", "2"], "pages that were asked for")


@promise(GROUP, "an MCP has its tools with their schemas, and how it is")
def mcp_detail(case: Case) -> None:
    mcp = case.op("mcps.get", id="fake").value
    equal((mcp["name"], mcp["health"], mcp["state"]), ("fake", "healthy", "ready"), "the MCP")
    echo = next(tool for tool in mcp["tools"] if tool["name"] == "echo")
    equal(echo["input_schema"]["properties"]["text"], {"type": "string"}, "schema")


@promise(GROUP, "a key is made with its text, works, is listed without it, and is refused once revoked")
def life_of_a_key(case: Case) -> None:
    limits = {"requests_per_second": 50, "monthly_requests": 9007199254740993 % 10**12}
    made = case.op("keys.create", name="Böb 🔑", permissions={"mcps": ["fake"], "tools": ["echo"]}, limits=limits).value
    check(made["key"].startswith("pk_live_"), "the text of the key")
    equal(made["name"], "Böb 🔑", "name")
    equal(made["limits"]["monthly_requests"], limits["monthly_requests"], "limit")
    listed = next(key for key in case.op("keys.list").value if key["id"] == made["id"])
    check("key" not in listed and made["key"].startswith(listed["prefix"]), "the list has the first letters only")
    case.client(api_key=made["key"])
    equal(case.invoke("fake", "echo", {"text": "a"}).value["result"], {"text": "a"}, "a call with it")
    case.client()
    gone = case.op("keys.revoke", id=made["id"]).value
    equal((gone["id"], gone["status"], gone["revoked_keys"]), (made["id"], "revoked", [made["id"]]), "revocation")
    equal(case.op("keys.revoke", id=made["id"]).value["revoked_at"], gone["revoked_at"], "a second revocation")
    case.client(api_key=made["key"])
    case.op("keys.list").fails_as("Authentication", code="revoked_key")


@promise(GROUP, "the list of keys is whole over its pages")
def many_keys(case: Case) -> None:
    made = {case.daemon.new_key(name=f"page {number}")["id"] for number in range(25)}
    listed = [key["id"] for key in case.op("keys.list", per_page=10).value]
    check(made <= set(listed), "all that were made")
    equal(len(listed), len(set(listed)), "each once")


@promise(GROUP, "usage has the calls that were made, by day, tool and key")
def usage(case: Case) -> None:
    key = case.daemon.new_key(name="usage of a case")
    case.client(api_key=key["key"])
    for _ in range(3):
        case.invoke("fake", "echo").succeeds()
    case.invoke("fake", "fail").fails_as("ToolFailed")
    case.client()

    def counted() -> bool:
        rows = case.op("usage.get", period="month").value["by_api_key"]
        return any(row["key_id"] == key["id"] and row["requests"] == 4 for row in rows)

    eventually(counted, "four calls of the key")
    report = case.op("usage.get", period="day").value
    equal(report["period"], "day", "period")
    check(report["by_status"]["error"] >= 1, "errors")
    case.op("usage.get", period="century").fails_as("Validation", code="invalid_request")


@promise(GROUP, "the history of usage is whole over its pages: a bucket for each hour of the span")
def history(case: Case) -> None:
    span: dict[str, Any] = {"start_date": "2026-01-01", "end_date": "2026-01-03"}
    buckets = case.op("usage.history", granularity="hour", per_page=10, **span).value
    equal(len(buckets), 72, "hours of three days")
    starts = [bucket["period_start"] for bucket in buckets]
    equal(starts, sorted(set(starts), reverse=True), "newest first, each once")


@promise(GROUP, "the organization and its members, over pages and by role")
def organization(case: Case) -> None:
    owner = case.op("organization.get").value
    equal((owner["id"], owner["plan"]), ("org_local", "unlimited"), "the organization")
    for _ in range(12):
        case.daemon.v1("POST", "/organization/members", {"name": "Zoë", "role": "viewer"})
    members = case.op("organization.members", per_page=5).value
    check(len([member for member in members if member["name"] == "Zoë"]) >= 12, "all members that were made")
    viewers = case.op("organization.members", role="owner").value
    equal([member["id"] for member in viewers], ["user_owner"], "owners")


@promise(GROUP, "the activity has every call of a key, beyond what one request gives")
def activity(case: Case) -> None:
    key = case.daemon.new_key(name="activity of a case")
    for _ in range(130):
        status, _ = case.daemon.plain("POST", "/v1/mcp/invoke", {"mcp_id": "fake", "tool": "echo"}, key["key"])
        equal(status, 200, "status of the suite's own call")
    calls = eventually(
        lambda: len(found := case.op("activity.list", key=key["id"]).value) == 130 and found, "130 calls"
    )
    equal(len({call["number"] for call in calls}), 130, "different calls")
    equal({call["tool"] for call in calls}, {"echo"}, "tools")
    equal(case.op("activity.list", key=key["id"], outcome="failed").value, [], "calls that failed")


@promise(GROUP, "the activity goes on where the page before has ended, as its cursor says")
def activity_cursor(case: Case) -> None:
    def paged(link: Link, request: Received, stand_in: StandIn) -> bool:
        newest = int(request.query.get("cursor", "7")) - 1
        calls = [{"number": newest, "tool": "echo"}, {"number": newest - 1, "tool": "echo"}]
        kept = {"calls": 6, "most": 100, "complete_since": "2026-11-30T07:12:01.000Z"}
        cursor = newest - 1 if newest > 2 else None
        return data({"calls": calls, "next_cursor": cursor, "kept": kept})(link, request, stand_in)

    with StandIn(rest=paged) as stand_in:
        case.client(base_url=stand_in.url)
        calls = case.op("activity.list", tool="echo").value
        equal([call["number"] for call in calls], [6, 5, 4, 3, 2, 1], "calls of three pages")
        equal([one.query.get("cursor") for one in stand_in.received], [None, "5", "3"], "cursors")
        check(all(one.query["tool"] == "echo" for one in stand_in.received), "the filter is on all pages")


@promise(GROUP, "a definition of a server is stored, read, found by both dialects, and removed")
def life_of_a_server(case: Case) -> None:
    done = case.op("api.servers.create", name="mäde", command=case.fake, args=["--tools", "2"], env={"A": "ü"}).value
    equal(done["status"], "success", "status")
    again = case.op("api.servers.create", name="mäde", command=case.fake, args=["--tools", "2"], env={"A": "ü"}).value
    equal(again["status"], "success", "the same definition again")
    wanted = {"name": "mäde", "command": case.fake, "args": ["--tools", "2"], "env": {"A": "ü"}}
    equal(case.op("api.servers.get", name="mäde").value, wanted, "definition")
    check("mäde" in names(case.op("api.servers.list").value), "the list has it")
    tools = case.op("api.tools.list", server="mäde").value
    check({"echo", "tool_0", "tool_1"} <= set(names(tools)), "tools")
    check(all(isinstance(tool["parameters"], dict) for tool in tools), "schemas")
    equal(case.op("mcps.get", id="mäde").value["name"], "mäde", "the same server in /v1")
    equal(case.op("api.servers.delete", name="mäde").value["status"], "success", "removal")
    case.op("api.servers.delete", name="mäde").fails_as("NotFound", status=404)


@promise(GROUP, "the status of /api is the dialect's")
def api_status(case: Case) -> None:
    equal(case.op("api.status").value, {"status": "ok", "service": "mcp-cli-api", "version": "0.1.0"}, "status")
