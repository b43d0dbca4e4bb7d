"""What events of a stream mean, for both clients."""

from __future__ import annotations

import json
from typing import Any

from ._answers import error_of_event, object_of
from ._errors import AuthenticationError, ConnectionError, McpvisorError, PermissionDeniedError, ProtocolError
from ._sse import Event, EventDecoder

_REFUSALS = {
    "revoked_key": AuthenticationError,
    "expired_key": AuthenticationError,
    "forbidden": PermissionDeniedError,
    "mcp_not_permitted": PermissionDeniedError,
}


def cut() -> ConnectionError:
    """The error of a stream that ended without saying so."""
    return ConnectionError("the stream was cut", fault="network", phase="unknown", is_retryable=False)


def data_of(event: Event) -> dict[str, Any]:
    """The data of an event, an object."""
    try:
        data: object = json.loads(event.data)
    except (ValueError, RecursionError) as problem:
        raise ProtocolError(f"an event is no JSON: {event.data[:200]!r}", fault="network") from problem
    members = object_of(data)
    if not isinstance(data, dict):
        raise ProtocolError(f"an event is no object: {event.data[:200]!r}", fault="network")
    return members


class Followed:
    """The state of a stream that is followed: items, gaps, and the end."""

    def __init__(self, item: str, gap: str) -> None:
        self._decoder = EventDecoder()
        self._item = item
        self._gap = gap
        self.request_id: str | None = None
        self.missed = 0
        self.last_event_id: int | None = None
        self.end_reason: str | None = None

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The items that these bytes complete; what comes after the end is nothing."""
        found: list[dict[str, Any]] = []
        for event in self._decoder.feed(data):
            if event.name == self._item:
                found.append(data_of(event))
                if event.id is not None and event.id.isdigit():
                    self.last_event_id = int(event.id)
            elif event.name == "gap":
                self.missed += int(data_of(event).get(self._gap, 0))
            elif event.name == "end":
                self.end_reason = str(data_of(event).get("reason", ""))
                break
        return found

    @property
    def is_over(self) -> bool:
        """True once the last event has come."""
        return self.end_reason is not None

    def finish(self) -> None:
        """Raises where the stream did not end as a stream ends, or because its key does not allow it any more."""
        if self.end_reason is None:
            raise cut()
        if self.end_reason in _REFUSALS:
            raise _REFUSALS[self.end_reason](
                f"the stream was ended: {self.end_reason}",
                code=self.end_reason,
                request_id=self.request_id,
                fault="caller",
                phase="not_sent",
            )


class Asked:
    """The state of a question that is answered by events."""

    def __init__(self) -> None:
        self._decoder = EventDecoder()
        self.request_id: str | None = None
        self._error: McpvisorError | None = None
        self.answer: dict[str, Any] | None = None

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The events that these bytes complete, each with its name as `type`."""
        found: list[dict[str, Any]] = []
        for event in self._decoder.feed(data):
            value = {"type": event.name, **data_of(event)}
            if value["type"] == "error":
                self._error = error_of_event(value, self.request_id)
                break
            found.append(value)
            if value["type"] == "final":
                self.answer = {name: member for name, member in value.items() if name != "type"}
                break
        return found

    @property
    def is_over(self) -> bool:
        """True once the last event has come."""
        return self.answer is not None or self._error is not None

    def finish(self) -> None:
        """Raises where the question has no answer."""
        if self._error is not None:
            raise self._error
        if self.answer is None:
            raise cut()
