"""Every code of the closed set that a caller can meet at a real daemon, and its class."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import servers
from harness import Case, Held, check, equal, eventually, one_of
from table import promise

GROUP = "errors"


def soon(seconds: float) -> str:
    """A moment from now, as the API reads it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@promise(GROUP, "an unknown key is Authentication, unauthorized, not sent")
def unknown_key(case: Case) -> None:
    case.client(api_key="pk_live_nobodyHasThisOne00000000000000000000000000000")
    error = case.op("mcps.list").fails_as(
        "Authentication", code="unauthorized", status=401, is_retryable=False, fault="caller"
    )
    equal(error["phase"], "not_sent", "phase")


@promise(GROUP, "a revoked key is Authentication, revoked_key")
def revoked_key(case: Case) -> None:
    key = case.daemon.new_key()
    case.daemon.v1("DELETE", f"/api-keys/{key['id']}")
    case.client(api_key=key["key"])
    case.op("mcps.list").fails_as(
        "Authentication", code="revoked_key", status=401, phase="not_sent", is_retryable=False
    )


@promise(GROUP, "an expired key is Authentication, expired_key")
def expired_key(case: Case) -> None:
    key = case.daemon.new_key(expires_at=soon(2))
    path = f"/v1/api-keys/{key['id']}"
    eventually(
        lambda: case.daemon.plain("GET", path, key=case.daemon.key)[1]["data"]["status"] == "expired", "the key expires"
    )
    case.client(api_key=key["key"])
    case.invoke("fake", "echo").fails_as("Authentication", code="expired_key", status=401, phase="not_sent")


@promise(GROUP, "a role that is too low is PermissionDenied, forbidden")
def role_too_low(case: Case) -> None:
    key = case.daemon.new_key(member={"role": "viewer"})
    case.client(api_key=key["key"])
    case.invoke("fake", "echo").fails_as(
        "PermissionDenied", code="forbidden", status=403, phase="not_sent", is_retryable=False, fault="caller"
    )


@promise(GROUP, "an MCP that the key may not use is PermissionDenied, mcp_not_permitted")
def mcp_not_permitted(case: Case) -> None:
    case.client(api_key=case.daemon.new_key(permissions={"mcps": ["other"]})["key"])
    case.invoke("fake", "echo").fails_as("PermissionDenied", code="mcp_not_permitted", status=403, phase="not_sent")


@promise(GROUP, "a tool that the key may not use is PermissionDenied, tool_not_permitted")
def tool_not_permitted(case: Case) -> None:
    case.client(api_key=case.daemon.new_key(permissions={"mcps": ["fake"], "tools": ["echo"]})["key"])
    case.invoke("fake", "pid").fails_as("PermissionDenied", code="tool_not_permitted", status=403, phase="not_sent")
    equal(case.invoke("fake", "echo", {"text": "mine"}).value["result"], {"text": "mine"}, "the tool that it may use")


@promise(GROUP, "a tool that has changed since it was approved is PermissionDenied, tool_blocked")
def tool_blocked(case: Case) -> None:
    case.invoke("blocked", "changing").succeeds()
    (case.daemon.directory / "tools.json").write_text(json.dumps([servers.tool_of_block("second")]))
    case.daemon.invoke("blocked", "change_tools")

    def blocked() -> bool:
        status, answer = case.daemon.plain(
            "POST", "/v1/mcp/invoke", {"mcp_id": "blocked", "tool": "changing"}, case.daemon.key
        )
        return status == 403 and answer["error"]["code"] == "tool_blocked"

    eventually(blocked, "the daemon has seen the change")
    error = case.invoke("blocked", "changing").fails_as(
        "PermissionDenied", code="tool_blocked", status=403, phase="not_sent"
    )
    equal(error["fault"], "server", "fault")


@promise(GROUP, "more keys than the plan allows is PermissionDenied, quota_exceeded, not a quota of calls")
def too_many_keys(case: Case) -> None:
    case.daemon.v1("PUT", "/organization/plans/one-key", {"max_api_keys": 1})
    owner = case.daemon.new_key(member={"role": "member", "plan": "one-key"})
    case.client(api_key=owner["key"])
    case.op("keys.create", name="one too many").fails_as(
        "PermissionDenied", code="quota_exceeded", status=403, phase="not_sent", is_retryable=False
    )


@promise(GROUP, "an MCP that is not there is NotFound, not_found")
def no_such_mcp(case: Case) -> None:
    error = case.op("mcps.get", id="mcp_nowhere").fails_as(
        "NotFound", code="not_found", status=404, phase="not_sent", fault="caller"
    )
    check(str(error["request_id"]).startswith("req_"), "an error has the id of its request")


@promise(GROUP, "a tool that is not there is NotFound, tool_not_found, with the nearest one")
def no_such_tool(case: Case) -> None:
    error = case.invoke("fake", "ehco").fails_as("NotFound", code="tool_not_found", status=404, phase="not_sent")
    check("echo" in error["message"], "the message names the nearest tool")


@promise(GROUP, "a resource that is not there is NotFound, resource_not_found")
def no_such_resource(case: Case) -> None:
    case.op("resources.read", mcp="fake", uri="fake://nowhere").fails_as(
        "NotFound", code="resource_not_found", status=404
    )


@promise(GROUP, "a key that is not there is NotFound, not_found")
def no_such_key(case: Case) -> None:
    case.op("keys.revoke", id="key_nowhere").fails_as("NotFound", code="not_found", status=404, phase="not_sent")


@promise(GROUP, "an MCP that is switched off is Conflict, mcp_inactive")
def switched_off(case: Case) -> None:
    case.invoke("off", "echo").fails_as(
        "Conflict", code="mcp_inactive", status=409, phase="not_sent", is_retryable=False
    )


@promise(GROUP, "a secret that is not stored is Conflict, secret_missing")
def secret_missing(case: Case) -> None:
    case.invoke("secretive", "echo").fails_as("Conflict", code="secret_missing", status=409, phase="not_sent")


@promise(GROUP, "an invalid query is Validation, invalid_request")
def invalid_query(case: Case) -> None:
    case.op("mcps.list", health="purple").fails_as(
        "Validation", code="invalid_request", status=400, phase="not_sent", is_retryable=False, fault="caller"
    )


@promise(GROUP, "arguments that the server refuses are Validation, invalid_arguments")
def invalid_arguments(case: Case) -> None:
    case.invoke("fake", "error", {"code": -32602, "message": "no"}).fails_as(
        "Validation", code="invalid_arguments", status=400, is_retryable=False
    )


@promise(GROUP, "a value that cannot be accepted is Validation, validation_error")
def past_expiry(case: Case) -> None:
    case.op("keys.create", name="late", expires_at="2020-01-01T00:00:00Z").fails_as(
        "Validation", code="validation_error", status=422, phase="not_sent", is_retryable=False
    )


@promise(GROUP, "a request beyond the limit of a body is TooLarge, though the server closes before it has read it")
def too_large(case: Case) -> None:
    case.invoke("fake", "echo", {"text": "x" * 3_000_000}).fails_as(
        "TooLarge", code="payload_too_large", status=413, phase="not_sent", is_retryable=False, fault="caller"
    )
    equal(case.invoke("fake", "echo", {"text": "after"}).value["result"], {"text": "after"}, "the next call")


@promise(GROUP, "a tool that reports an error is ToolFailed, with the words of the tool in its details")
def tool_failed(case: Case) -> None:
    error = case.invoke("fake", "fail", {"message": "out of paper"}).fails_as(
        "ToolFailed", code="mcp_error", status=422, is_retryable=False, fault="server"
    )
    equal(error["phase"], "in_flight", "phase of a tool that ran")


@promise(GROUP, "a JSON-RPC error of the server is ServerFailed, mcp_error, never known as not sent")
def rpc_error(case: Case) -> None:
    error = case.invoke("fake", "error", {"code": -32000, "message": "no"}).fails_as(
        "ServerFailed", code="mcp_error", status=502, is_retryable=False, fault="server"
    )
    one_of(error["phase"], ("in_flight", "unknown"), "phase")


@promise(GROUP, "more requests than the key's rate is RateLimited, rate_limited, with when to come again")
def rate_limited(case: Case) -> None:
    key = case.daemon.new_key(limits={"requests_per_second": 1})
    case.client(api_key=key["key"])

    def refused() -> dict[str, object] | None:
        answer = case.op("mcps.page", page=1, per_page=1)
        return (
            None
            if answer.error is None
            else answer.fails_as("RateLimited", code="rate_limited", status=429, phase="not_sent")
        )

    error = eventually(refused, "a second request within a second is refused")
    equal(error["is_retryable"], True, "is_retryable")
    check(isinstance(error["retry_after"], (int, float)) and error["retry_after"] >= 1, "retry_after in seconds")


@promise(GROUP, "more calls at once than the key may have is RateLimited")
def too_many_calls(case: Case) -> None:
    key = case.daemon.new_key(limits={"calls_at_once": 1})
    case.client(api_key=key["key"])
    with Held(case, "quiet", key["key"]):
        eventually(lambda: case.daemon.v1("GET", "/mcps/quiet")["traffic"]["in_flight"] == 1, "a call is in flight")
        error = case.invoke("fake", "echo").fails_as(
            "RateLimited", code="rate_limited", status=429, phase="not_sent", is_retryable=True
        )
        check(error["retry_after"] == 1, "retry_after is a second")


@promise(GROUP, "the calls of a month that are used up are QuotaExceeded, not RateLimited")
def quota_exceeded(case: Case) -> None:
    case.client(api_key=case.daemon.new_key(limits={"monthly_requests": 1})["key"])
    case.invoke("fake", "echo").succeeds()
    error = case.invoke("fake", "echo").fails_as(
        "QuotaExceeded", code="quota_exceeded", status=429, phase="not_sent", fault="quota"
    )
    check(error["retry_after"] >= 1, "retry_after reaches to the next month")


@promise(GROUP, "a server that cannot be started is ServerUnavailable, mcp_unreachable, not sent")
def cannot_start(case: Case) -> None:
    case.invoke("gone", "echo").fails_as(
        "ServerUnavailable", code="mcp_unreachable", status=502, phase="not_sent", fault="server"
    )


@promise(GROUP, "a server that dies during the call is ServerUnavailable, in flight and not retryable")
def dies_in_call(case: Case) -> None:
    eventually(lambda: case.daemon.v1("GET", "/mcps/crash")["health"] == "healthy", "the server is up")
    case.invoke("crash", "crash").fails_as(
        "ServerUnavailable", code="mcp_unreachable", status=502, phase="in_flight", is_retryable=False, fault="server"
    )


@promise(GROUP, "a server whose queue is full is ServerUnavailable, service_unavailable, not sent and retryable")
def queue_full(case: Case) -> None:
    keys = [case.daemon.new_key()["key"] for _ in range(2)]
    with Held(case, "narrow", keys[0]) as first:
        eventually(lambda: case.daemon.v1("GET", "/mcps/narrow")["traffic"]["in_flight"] == 1, "a call is in flight")
        with Held(case, "narrow", keys[1]):
            eventually(lambda: case.daemon.v1("GET", "/mcps/narrow")["traffic"]["queued"] == 1, "a call waits")
            case.client(api_key=keys[1])
            case.invoke("narrow", "echo").fails_as(
                "ServerUnavailable", code="service_unavailable", status=503, phase="not_sent", is_retryable=True
            )
            first.let_go()


@promise(GROUP, "a server that answered none of its last calls is ServerUnavailable, not sent")
def breaker_open(case: Case) -> None:
    case.daemon.plain(
        "POST", "/v1/mcp/invoke", {"mcp_id": "breaker", "tool": "sleep", "arguments": {"ms": 60000}}, case.daemon.key
    )
    eventually(lambda: case.daemon.v1("GET", "/mcps/breaker")["traffic"]["breaker"] == "open", "the breaker opens")
    case.invoke("breaker", "echo").fails_as(
        "ServerUnavailable", code="service_unavailable", status=503, phase="not_sent", is_retryable=True
    )


@promise(GROUP, "a call beyond its deadline is Timeout, mcp_timeout, in flight: the server answers first")
def deadline(case: Case) -> None:
    error = case.invoke("fake", "sleep", {"ms": 60000}, timeout=0.2).fails_as(
        "Timeout", code="mcp_timeout", status=504, phase="in_flight", is_retryable=False, fault="server"
    )
    check("200 ms" in error["message"], "the daemon had the deadline in milliseconds")


@promise(GROUP, "a server that is still starting at the deadline is Timeout or ServerUnavailable, not sent")
def deadline_before_start(case: Case) -> None:
    case.invoke("hang", "echo", timeout=0.3).fails_as(("Timeout", "ServerUnavailable"), phase="not_sent")


@promise(GROUP, "a server of /api that is not there is NotFound in its other shape")
def api_not_found(case: Case) -> None:
    error = case.op("api.servers.get", name="nowhere").fails_as(
        "NotFound", status=404, phase="not_sent", is_retryable=False
    )
    check("nowhere" in error["message"], "the text of the error is its message")


@promise(GROUP, "another definition under a name that is taken is Conflict in /api")
def api_conflict(case: Case) -> None:
    case.op("api.servers.create", name="fake", command="/bin/false").fails_as("Conflict", status=409, phase="not_sent")


@promise(GROUP, "a definition that is wrong is Validation in /api")
def api_invalid(case: Case) -> None:
    case.op("api.servers.create", name="bad", command="x", args="no list").fails_as(
        "Validation", status=400, phase="not_sent"
    )


@promise(GROUP, "a key that may not use /api is PermissionDenied, an unknown one Authentication")
def api_permission(case: Case) -> None:
    case.client(api_key=case.daemon.new_key(permissions={"mcps": ["fake"]})["key"])
    case.op("api.servers.list").fails_as("PermissionDenied", status=403)
    case.client(api_key="pk_live_unknown")
    case.op("api.servers.list").fails_as("Authentication", status=401)


@promise(GROUP, "a server that cannot run is ServerUnavailable in /api, by its code and not by its status 500")
def api_unreachable(case: Case) -> None:
    case.op("api.tools.list", server="gone").fails_as(
        "ServerUnavailable", code="mcp_unreachable", status=500, fault="server"
    )


@promise(GROUP, "a server that is switched off is Conflict, mcp_inactive in /api")
def api_inactive(case: Case) -> None:
    case.op("api.tools.list", server="off").fails_as("Conflict", code="mcp_inactive", status=409)
