"""Which error has a request sent again, and after how long."""

import pytest

from mcpvisor import ConnectionError, McpvisorError, ProtocolError
from mcpvisor._errors import error_of_api, error_of_proxy
from mcpvisor._retry import wait_before_retry


def wait(error: McpvisorError, *, attempt: int = 0, max_retries: int = 2, remaining: float = 60, chance: float = 1.0):
    return wait_before_retry(error, attempt=attempt, max_retries=max_retries, remaining=remaining, chance=chance)


def unavailable(retry_after: float | None = None) -> McpvisorError:
    return error_of_api(503, "service_unavailable", "no", {}, retry_after=retry_after)


def lost(*, phase: str, is_retryable: bool) -> McpvisorError:
    return ConnectionError("lost", fault="network", phase=phase, is_retryable=is_retryable)


def test_the_servers_time_is_kept_to_the_second() -> None:
    assert wait(unavailable(7.0), chance=0.0) == 7.0


def test_the_own_time_doubles_and_is_spread_over_all_of_it() -> None:
    assert [wait(unavailable(), attempt=n, max_retries=9) for n in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert wait(unavailable(), chance=0.0) == 0.0
    assert wait(unavailable(), attempt=2, max_retries=9, chance=0.5) == 1.0


def test_there_are_no_more_repeats_than_told() -> None:
    assert wait(unavailable(), attempt=1) is not None
    assert wait(unavailable(), attempt=2) is None
    assert wait(unavailable(), max_retries=0) is None


@pytest.mark.parametrize(
    ("retry_after", "remaining", "waits"),
    [(30, 60, True), (30.5, 60, False), (5, 5, False), (5, 6, True), (5, -1, False)],
)
def test_no_wait_beyond_the_cap_or_the_deadline(retry_after: float, remaining: float, waits: bool) -> None:
    assert (wait(unavailable(retry_after), remaining=remaining) is not None) == waits


def test_only_what_was_not_sent_or_runs_already_is_sent_again() -> None:
    final = [
        error_of_api(409, "conflict", "no", {}),
        error_of_api(409, "conflict", "no", {"idempotency": "cancelled", "phase": "in_flight"}),
        error_of_api(409, "conflict", "no", {"idempotency": "not_kept", "phase": "in_flight"}),
        error_of_api(502, "mcp_unreachable", "no", {"phase": "in_flight"}),
        error_of_api(502, "mcp_unreachable", "no", {}),
        error_of_api(502, "mcp_error", "no", {}),
        error_of_api(504, "mcp_timeout", "no", {"phase": "not_sent"}),
        error_of_api(429, "quota_exceeded", "no", {}, retry_after=1),
        error_of_api(500, "internal_error", "no", {}),
        error_of_api(422, "mcp_error", "no", {}),
        error_of_proxy(502, "", None),
        error_of_proxy(503, "", 1.0),
        lost(phase="unknown", is_retryable=False),
        ProtocolError("cut", fault="network"),
    ]
    assert [wait(error) for error in final] == [None] * len(final)
    again = [
        error_of_api(409, "conflict", "no", {"idempotency": "running", "phase": "in_flight"}),
        error_of_api(429, "rate_limited", "no", {}),
        error_of_api(502, "mcp_unreachable", "no", {"phase": "not_sent"}),
        unavailable(),
        lost(phase="not_sent", is_retryable=True),
        lost(phase="unknown", is_retryable=True),
    ]
    assert all(wait(error) is not None for error in again)
