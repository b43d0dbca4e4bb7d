"""Requests before they are sent, and the time that they have."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypedDict, TypeVar, cast
from urllib.parse import urlencode

import httpx

from ._answers import Answer
from ._config import Config
from ._errors import Phase, TimeoutError

T = TypeVar("T")

CONNECT_TIMEOUT = 10.0
"""Most seconds to wait for a connection; a request whose own time is shorter waits no longer than that."""
GRACE = 2.0
"""Seconds that a call is waited for here beyond its deadline, so that the server's own answer comes first."""


@dataclass(frozen=True)
class Operation(Generic[T]):
    """A request before it is sent, and what its answer means."""

    method: str
    path: str
    read: Callable[[Answer], T]
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    deadline: float | None = None
    """Seconds that the caller gives it, also sent along where `tells_deadline`; else the client's timeout holds."""
    tells_deadline: bool = False
    timeout: float | None = None
    """Seconds to wait without a deadline, where the client's own timeout would be too short for it."""
    may_have_worked: bool = False
    """True where even an answer that looks like a refusal may come when something has been carried out."""

    @property
    def enveloped(self) -> bool:
        """True where the answer is in the envelope of `/v1`."""
        return self.path.startswith("/v1/")

    @property
    def reads_only(self) -> bool:
        """True where a second execution has no second effect."""
        return self.method == "GET"


class Clock:
    """The time that is left of a request, over all its repeats."""

    def __init__(self, operation: Operation[Any], config: Config) -> None:
        self.given = operation.deadline or operation.timeout or config.timeout
        now = time.monotonic()
        self._deadline = now + self.given
        self._patience = self._deadline + (GRACE if operation.tells_deadline and operation.deadline else 0.0)

    def remaining(self) -> float:
        """Seconds until the caller's deadline."""
        return self._deadline - time.monotonic()

    def timeout(self) -> httpx.Timeout:
        """How long the next step of the transport may take; raises when there is nothing left."""
        left = self.patience()
        return httpx.Timeout(left, connect=min(left, CONNECT_TIMEOUT))

    def patience(self) -> float:
        """Seconds until the answer is not waited for any more; raises when there are none."""
        left = self._patience - time.monotonic()
        if left <= 0:
            raise self.over("unknown")
        return left

    def over(self, phase: Phase) -> TimeoutError:
        """The error of a request whose time is over."""
        return TimeoutError(
            f"no answer within {self.given:g} s", fault="network", phase=phase, is_retryable=phase == "not_sent"
        )


class RequestArguments(TypedDict):
    """Arguments of `httpx.Client.build_request`."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout: httpx.Timeout


def request_arguments(operation: Operation[Any], config: Config, clock: Clock) -> RequestArguments:
    """The request as it is sent now, beside the headers that every request has."""
    url = config.base_url + operation.path
    if query := [(name, _in_query(value)) for name, value in operation.query.items() if value is not None]:
        url += "?" + urlencode(query)
    headers = dict(operation.headers)
    content = None
    if operation.body is not None:
        body = dict(operation.body)
        if operation.tells_deadline and operation.deadline:
            body["timeout"] = max(1, round(clock.remaining() * 1000))
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        headers["content-type"] = "application/json"
    return {
        "method": operation.method,
        "url": url,
        "headers": headers,
        "content": content,
        "timeout": clock.timeout(),
    }


def _in_query(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(cast("list[str]", value)) if isinstance(value, list) else str(value)
