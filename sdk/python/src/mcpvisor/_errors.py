"""The errors of the client, a closed set of classes, and which answer is which.

`docs/errors.md` of the daemon says of each code whose fault it is and whether a call can have been carried out; the
rules below are that table. A code that is not there is judged by its status, and then nothing is promised that the
status alone does not say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Mapping

Fault = Literal["caller", "server", "gateway", "network", "quota"]
Phase = Literal["not_sent", "in_flight", "unknown"]


class McpvisorError(Exception):
    """Base of all errors that a request can end with.

    Wrong arguments in Python itself (a negative timeout, a text that is no JSON) are `ValueError` and `TypeError`.
    """

    kind: ClassVar[str] = "Internal"
    """Name of the class in the closed set that the clients of all languages share."""

    message: str
    """What happened, for people."""
    code: str | None
    """The daemon's word for it, such as `mcp_unreachable`; None where no answer of the API says one."""
    status: int | None
    """HTTP status of the answer; None where there was none."""
    request_id: str | None
    """Id of the request, by which the daemon's log and audit tell more."""
    details: dict[str, Any]
    """Particulars from the answer; empty without any."""
    is_retryable: bool
    """True where the same request, sent again after a while, may succeed and can have no second effect."""
    fault: Fault
    """Who can mend it: the caller, the MCP server, the gateway, the network, or whoever raises a quota."""
    phase: Phase
    """How far a call came: `not_sent` (no MCP server has seen it), `in_flight` (one has), or `unknown`."""
    retry_after: float | None
    """Seconds until asking again makes sense, where the answer said so."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str | None = None,
        details: Mapping[str, Any] | None = None,
        is_retryable: bool = False,
        fault: Fault = "gateway",
        phase: Phase = "unknown",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.request_id = request_id
        self.details = dict(details or {})
        self.is_retryable = is_retryable
        self.fault = fault
        self.phase = phase
        self.retry_after = retry_after

    def __str__(self) -> str:
        beside = [str(part) for part in (self.status, self.code, self.request_id) if part is not None]
        return f"{self.message} ({', '.join(beside)})" if beside else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors travel between processes, and fields that are keywords only would be lost on the way.
        return _rebuilt, (type(self), self.message, self.__dict__)


def _rebuilt(kind: type[McpvisorError], message: str, fields: dict[str, Any]) -> McpvisorError:
    error = kind(message)
    error.__dict__.update(fields)
    return error


class AuthenticationError(McpvisorError):
    """401: there is no key, an unknown one, or one that was revoked or has expired."""

    kind = "Authentication"


class PermissionDeniedError(McpvisorError):
    """403: the key's role, its permissions, or the plan do not allow it."""

    kind = "PermissionDenied"


class NotFoundError(McpvisorError):
    """404: there is no MCP, tool, resource, key or server of this name."""

    kind = "NotFound"


class ConflictError(McpvisorError):
    """409: what is there does not allow it now, such as an MCP that is switched off or a name that is taken.

    `details["idempotency"]` is there where a call with this `idempotency_key` came before and has no reply: `running`,
    which is retryable, `cancelled`, because nobody waited for it any more, or `not_kept`, which was carried out.
    """

    kind = "Conflict"


class ValidationError(McpvisorError):
    """400, 405, 415, 422: the request cannot be used; `details` says what is wrong, by field."""

    kind = "Validation"


class TooLargeError(McpvisorError):
    """413: the request is longer than the daemon or the server takes."""

    kind = "TooLarge"


class ToolFailedError(McpvisorError):
    """422 `mcp_error`: the tool ran and reports an error; `details` has `mcp_error`, its words, and `content`."""

    kind = "ToolFailed"


class RateLimitedError(McpvisorError):
    """429 `rate_limited`: too many requests a second or calls at once; `retry_after` says when to come again."""

    kind = "RateLimited"


class QuotaExceededError(McpvisorError):
    """429 `quota_exceeded`: the calls of this month are used up."""

    kind = "QuotaExceeded"


class ServerUnavailableError(McpvisorError):
    """502 `mcp_unreachable` and 503: the MCP server does not run or takes no call, or the daemon is stopping."""

    kind = "ServerUnavailable"


class ServerFailedError(McpvisorError):
    """502: the MCP server, or a proxy on the way, answered with a failure."""

    kind = "ServerFailed"


class TimeoutError(McpvisorError):
    """504, or the time of the request was over here: the answer did not come in time."""

    kind = "Timeout"


class InternalError(McpvisorError):
    """500: a defect of the daemon, whose log has the cause under `request_id`."""

    kind = "Internal"


class ConnectionError(McpvisorError):
    """No answer came: the daemon could not be reached, or the connection was lost."""

    kind = "Connection"


class ProtocolError(McpvisorError):
    """The answer is not what the API says: no JSON, another shape, or cut."""

    kind = "Protocol"


@dataclass(frozen=True)
class _Rule:
    kind: type[McpvisorError]
    fault: Fault
    phase: Phase
    is_retryable: bool = False


_CALLERS = {
    AuthenticationError: ("unauthorized", "expired_key", "revoked_key"),
    PermissionDeniedError: ("forbidden", "mcp_not_permitted", "tool_not_permitted"),
    NotFoundError: ("not_found", "tool_not_found"),
    ConflictError: ("already_exists", "conflict", "mcp_inactive", "secret_missing", "tools_changed"),
    ValidationError: ("invalid_request", "method_not_allowed", "validation_error"),
    TooLargeError: ("payload_too_large",),
}
_BY_CODE: dict[str, _Rule] = {
    code: _Rule(kind, "caller", "not_sent") for kind, codes in _CALLERS.items() for code in codes
} | {
    "invalid_arguments": _Rule(ValidationError, "caller", "in_flight"),
    "resource_not_found": _Rule(NotFoundError, "caller", "unknown"),
    "tool_blocked": _Rule(PermissionDeniedError, "server", "not_sent"),
    "login_failed": _Rule(ConflictError, "server", "not_sent"),
    "rate_limited": _Rule(RateLimitedError, "quota", "not_sent", is_retryable=True),
    "quota_exceeded": _Rule(QuotaExceededError, "quota", "not_sent"),
    "mcp_unreachable": _Rule(ServerUnavailableError, "server", "unknown"),
    "mcp_timeout": _Rule(TimeoutError, "server", "unknown"),
    "mcp_error": _Rule(ServerFailedError, "server", "in_flight"),
    "answer_dropped": _Rule(ServerFailedError, "caller", "in_flight"),
    "service_unavailable": _Rule(ServerUnavailableError, "gateway", "not_sent", is_retryable=True),
    "internal_error": _Rule(InternalError, "gateway", "unknown"),
    "llm_error": _Rule(ServerFailedError, "server", "unknown"),
    "timeout": _Rule(TimeoutError, "server", "unknown"),
}
# The same word means something else with these statuses.
_BY_CODE_AND_STATUS: dict[tuple[str, int], _Rule] = {
    ("mcp_error", 422): _Rule(ToolFailedError, "server", "in_flight"),
    ("quota_exceeded", 403): _Rule(PermissionDeniedError, "quota", "not_sent"),
    ("invalid_request", 408): _Rule(TimeoutError, "network", "not_sent", is_retryable=True),
}
_BY_STATUS: dict[int, _Rule] = {
    400: _Rule(ValidationError, "caller", "not_sent"),
    401: _Rule(AuthenticationError, "caller", "not_sent"),
    403: _Rule(PermissionDeniedError, "caller", "not_sent"),
    404: _Rule(NotFoundError, "caller", "not_sent"),
    405: _Rule(ValidationError, "caller", "not_sent"),
    408: _Rule(TimeoutError, "network", "not_sent"),
    409: _Rule(ConflictError, "caller", "not_sent"),
    413: _Rule(TooLargeError, "caller", "not_sent"),
    415: _Rule(ValidationError, "caller", "not_sent"),
    422: _Rule(ValidationError, "caller", "unknown"),
    429: _Rule(RateLimitedError, "quota", "not_sent", is_retryable=True),
    500: _Rule(InternalError, "gateway", "unknown"),
    502: _Rule(ServerFailedError, "gateway", "unknown"),
    503: _Rule(ServerUnavailableError, "gateway", "unknown"),
    504: _Rule(TimeoutError, "gateway", "unknown"),
}


def error_of_api(
    status: int | None,
    code: str | None,
    message: str,
    details: Mapping[str, Any],
    *,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> McpvisorError:
    """The error that an answer of the API tells, in either of its dialects or in an event."""
    rule = _rule_of(status, code)
    phase, is_retryable, fault = rule.phase, rule.is_retryable, rule.fault
    told = details.get("phase")
    if told == "not_sent" or told == "in_flight":
        phase = told
        unavailable = rule.kind in (ServerUnavailableError, TimeoutError)
        is_retryable = phase == "not_sent" and (is_retryable or unavailable)
    if code == "conflict" and "idempotency" in details:
        # A call with this key came before. While it runs asking again is safe: with the key it is never another call.
        phase, is_retryable = "in_flight", details["idempotency"] == "running"
        fault = "gateway" if details["idempotency"] == "not_kept" else fault
    if details.get("breaker") == "open":
        fault = "server"
    return rule.kind(
        message,
        code=code,
        status=status,
        request_id=request_id,
        details=details,
        is_retryable=is_retryable,
        fault=fault,
        phase=phase,
        retry_after=retry_after,
    )


def _rule_of(status: int | None, code: str | None) -> _Rule:
    if code is not None:
        special = _BY_CODE_AND_STATUS.get((code, status or 0))
        if special or code in _BY_CODE:
            return special or _BY_CODE[code]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status is not None and 400 <= status < 500:
        return _Rule(ValidationError, "caller", "unknown")
    return _Rule(InternalError, "gateway", "unknown")


def error_of_proxy(status: int, excerpt: str, retry_after: float | None) -> McpvisorError:
    """The error of an answer that the API cannot have given: whoever stands before it has.

    How far the request came is not known then, so it is never retryable.
    """
    rule = _BY_STATUS.get(status)
    if status in (502, 503):
        kind: type[McpvisorError] = ServerFailedError
    elif 300 <= status < 400:
        kind = ProtocolError
    else:
        kind = rule.kind if rule else ServerFailedError if status >= 500 else ProtocolError
    message = f"HTTP {status} that is no answer of the API" + (f": {excerpt}" if excerpt else "")
    return kind(message, status=status, fault="network", phase="unknown", retry_after=retry_after)
