"""The closed set: which code and status are which class, and what is promised of each."""

import copy
import pickle

import pytest

import mcpvisor
from mcpvisor._errors import error_of_api, error_of_proxy

NOT_SENT_FINAL = [
    (401, "unauthorized", "Authentication"),
    (401, "revoked_key", "Authentication"),
    (401, "expired_key", "Authentication"),
    (403, "forbidden", "PermissionDenied"),
    (403, "mcp_not_permitted", "PermissionDenied"),
    (403, "tool_not_permitted", "PermissionDenied"),
    (403, "tool_blocked", "PermissionDenied"),
    (403, "quota_exceeded", "PermissionDenied"),
    (404, "not_found", "NotFound"),
    (404, "tool_not_found", "NotFound"),
    (409, "mcp_inactive", "Conflict"),
    (409, "conflict", "Conflict"),
    (409, "tools_changed", "Conflict"),
    (409, "secret_missing", "Conflict"),
    (409, "login_failed", "Conflict"),
    (400, "invalid_request", "Validation"),
    (405, "method_not_allowed", "Validation"),
    (415, "invalid_request", "Validation"),
    (501, "invalid_request", "Validation"),
    (422, "validation_error", "Validation"),
    (413, "payload_too_large", "TooLarge"),
    (429, "quota_exceeded", "QuotaExceeded"),
]


@pytest.mark.parametrize(("status", "code", "kind"), NOT_SENT_FINAL)
def test_what_is_refused_before_a_call_is_not_sent_and_final(status: int, code: str, kind: str) -> None:
    error = error_of_api(status, code, "no", {})
    assert (error.kind, error.phase, error.is_retryable) == (kind, "not_sent", False)
    assert (error.status, error.code, error.message) == (status, code, "no")


@pytest.mark.parametrize(
    ("status", "code", "details", "kind", "phase", "retryable", "fault"),
    [
        (429, "rate_limited", {}, "RateLimited", "not_sent", True, "quota"),
        (503, "service_unavailable", {}, "ServerUnavailable", "not_sent", True, "gateway"),
        (503, "service_unavailable", {"breaker": "open"}, "ServerUnavailable", "not_sent", True, "server"),
        (502, "mcp_unreachable", {"phase": "not_sent"}, "ServerUnavailable", "not_sent", True, "server"),
        (502, "mcp_unreachable", {"phase": "in_flight"}, "ServerUnavailable", "in_flight", False, "server"),
        (502, "mcp_unreachable", {}, "ServerUnavailable", "unknown", False, "server"),
        (500, "mcp_unreachable", {}, "ServerUnavailable", "unknown", False, "server"),
        (504, "mcp_timeout", {"phase": "not_sent"}, "Timeout", "not_sent", True, "server"),
        (504, "mcp_timeout", {"phase": "in_flight"}, "Timeout", "in_flight", False, "server"),
        (500, "mcp_timeout", {}, "Timeout", "unknown", False, "server"),
        (502, "mcp_error", {"mcp_code": -32000}, "ServerFailed", "in_flight", False, "server"),
        (500, "mcp_error", {}, "ServerFailed", "in_flight", False, "server"),
        (422, "mcp_error", {"mcp_error": "no"}, "ToolFailed", "in_flight", False, "server"),
        (502, "answer_dropped", {"phase": "in_flight"}, "ServerFailed", "in_flight", False, "caller"),
        (400, "invalid_arguments", {}, "Validation", "in_flight", False, "caller"),
        (413, "payload_too_large", {"phase": "not_sent"}, "TooLarge", "not_sent", False, "caller"),
        (409, "conflict", {"idempotency": "running", "phase": "in_flight"}, "Conflict", "in_flight", True, "caller"),
        (409, "conflict", {"idempotency": "cancelled", "phase": "in_flight"}, "Conflict", "in_flight", False, "caller"),
        (409, "conflict", {"idempotency": "not_kept", "phase": "in_flight"}, "Conflict", "in_flight", False, "gateway"),
        (409, "conflict", {"idempotency": ["?"]}, "Conflict", "in_flight", False, "caller"),
        (409, "mcp_inactive", {"idempotency": "running"}, "Conflict", "not_sent", False, "caller"),
        (500, "internal_error", {}, "Internal", "unknown", False, "gateway"),
        (500, "llm_error", {}, "ServerFailed", "unknown", False, "server"),
        (500, "timeout", {}, "Timeout", "unknown", False, "server"),
    ],
)
def test_errors_around_a_call(status, code, details, kind, phase, retryable, fault) -> None:
    error = error_of_api(status, code, "no", details)
    assert (error.kind, error.phase, error.is_retryable, error.fault) == (kind, phase, retryable, fault)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "Validation"),
        (404, "NotFound"),
        (418, "Validation"),
        (429, "RateLimited"),
        (500, "Internal"),
        (599, "Internal"),
    ],
)
def test_a_code_of_the_future_is_judged_by_its_status(status: int, kind: str) -> None:
    error = error_of_api(status, "from_the_future", "no", {"phase": "sideways"})
    assert (error.kind, error.code) == (kind, "from_the_future")
    assert error.phase in ("not_sent", "unknown")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, "Protocol"), (403, "PermissionDenied"), (502, "ServerFailed"), (503, "ServerFailed"), (504, "Timeout")],
)
def test_nothing_is_promised_of_what_a_proxy_says(status: int, kind: str) -> None:
    error = error_of_proxy(status, "<html>", 3.0)
    assert (error.kind, error.phase, error.is_retryable, error.retry_after) == (kind, "unknown", False, 3.0)


def test_an_error_survives_copying_and_another_process() -> None:
    error = error_of_api(429, "rate_limited", "slow down", {"a": [1]}, request_id="req_1", retry_after=2.0)
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is mcpvisor.RateLimitedError
        assert vars(twin) == vars(error)
        assert str(twin) == "slow down (429, rate_limited, req_1)"


def test_each_class_has_a_name_of_its_own() -> None:
    kinds = [
        kind for kind in vars(mcpvisor).values() if isinstance(kind, type) and issubclass(kind, mcpvisor.McpvisorError)
    ]
    names = [kind.kind for kind in kinds if kind is not mcpvisor.McpvisorError]
    assert len(names) == len(set(names)) == 15
