"""Whether a request is sent again, and when: only where that can carry nothing out twice."""

from __future__ import annotations

from ._errors import ConflictError, ConnectionError, McpvisorError, ProtocolError, RateLimitedError

LONGEST_WAIT = 30.0
"""Most seconds that a server's `Retry-After` is waited for; beyond that the error is the caller's."""
FIRST_WAIT = 0.5
"""Most seconds before the first repeat where the server named no time; twice as many before each further one."""


def wait_before_retry(
    error: McpvisorError,
    *,
    attempt: int,
    max_retries: int,
    remaining: float,
    chance: float,
) -> float | None:
    """Seconds to wait before the request is sent again, or None where the error is final.

    `attempt` counts from 0, `remaining` is the time that the caller still gives, `chance` a number from 0 to 1 that
    spreads callers who were refused together.
    """
    if attempt >= max_retries or not _may_repeat(error):
        return None
    wait = error.retry_after
    if wait is None:
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt) * chance
    return wait if wait <= LONGEST_WAIT and wait < remaining else None


def _may_repeat(error: McpvisorError) -> bool:
    if not error.is_retryable:
        return False
    if error.status is None:
        # No answer: what was lost on the way is only retryable where it was never sent, or only reads.
        return isinstance(error, (ConnectionError, ProtocolError))
    if isinstance(error, ConflictError):
        # The only conflict that is retryable: the call with this `Idempotency-Key` is still running.
        return True
    return error.phase == "not_sent" and (isinstance(error, RateLimitedError) or error.status in (502, 503))
