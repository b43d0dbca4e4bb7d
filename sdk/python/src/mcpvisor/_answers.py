"""Answers as they are read, and the errors that they tell."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from ._errors import McpvisorError, ProtocolError, error_of_api, error_of_proxy

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """An answer of the API that is a success."""

    body: dict[str, Any]
    request_id: str | None
    is_replayed: bool = False
    """True where it was made for an earlier request with the same `Idempotency-Key`."""

    def data(self) -> dict[str, Any]:
        """`data` of the envelope of `/v1`, an object."""
        return self.object_in(self.body, "data")

    def object_in(self, members: Mapping[str, Any], name: str) -> dict[str, Any]:
        """A member that has to be an object, else the answer is not one of the API."""
        if not isinstance(members.get(name), dict):
            raise self.misshapen(f"no object as {name!r}")
        return object_of(members[name])

    def list_in(self, members: Mapping[str, Any], name: str) -> list[Any]:
        """A member that has to be a list."""
        if not isinstance(members.get(name), list):
            raise self.misshapen(f"no list as {name!r}")
        return cast("list[Any]", members[name])

    def number_in(self, members: Mapping[str, Any], name: str) -> int:
        """A member that has to be a whole number."""
        found = members.get(name)
        if not isinstance(found, int) or isinstance(found, bool):
            raise self.misshapen(f"no whole number as {name!r}")
        return found

    def misshapen(self, what: str) -> ProtocolError:
        """The error of an answer that has another shape than the API says."""
        return ProtocolError(
            f"the answer is not what the API says: {what}", status=200, request_id=self.request_id, phase="unknown"
        )


def answer_of(
    status: int, headers: Mapping[str, str], content: bytes, *, enveloped: bool, may_have_worked: bool = False
) -> Answer:
    """The answer of the API, in the envelope of `/v1` or without; raises the error that it tells.

    With `may_have_worked` no error from 500 on proves that nothing was carried out, whatever it says: a daemon that
    stops answers a question so whose tools have run.
    """
    request_id = headers.get("x-request-id")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as problem:
        raise _unreadable(status, headers, content, request_id) from problem
    members = object_of(body)
    if not 200 <= status < 300 or members.get("success") is False:
        error = error_of_body(status, headers, members, content)
        if may_have_worked and status >= 500:
            error.phase, error.is_retryable = "unknown", False
        raise error
    answer = Answer(members, request_id, headers.get("idempotent-replayed") == "true")
    if not isinstance(body, dict):
        raise answer.misshapen("no object")
    if enveloped and "data" not in members:
        raise answer.misshapen("no 'data'")
    return answer


def object_of(value: object) -> dict[str, Any]:
    """The members of a JSON object; none of anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def error_of_body(status: int, headers: Mapping[str, str], body: Mapping[str, Any], content: bytes) -> McpvisorError:
    """The error that an answer with JSON tells, in the shape of `/v1`, of `/api`, or of somebody else."""
    retry_after = seconds_of(headers.get("retry-after"), time.time())
    told = _told(body)
    if told is None:
        return error_of_proxy(status, _excerpt(content), retry_after)
    code, message, details = told
    told_id = details.get("request_id")
    return error_of_api(
        status,
        code,
        message or f"HTTP {status}",
        details,
        request_id=headers.get("x-request-id") or (told_id if isinstance(told_id, str) else None),
        retry_after=retry_after,
    )


def error_of_event(body: Mapping[str, Any], request_id: str | None) -> McpvisorError:
    """The error that the last event of a question tells, which has no status of its own."""
    code, message, details = _told(body) or (None, "", {})
    return error_of_api(None, code, message or "the question failed", details, request_id=request_id)


def _told(body: Mapping[str, Any]) -> tuple[str | None, str, dict[str, Any]] | None:
    """Code, message and particulars of an error; None where it is none of the API."""
    error: object = body.get("error")
    told = object_of(error)
    if told:  # /v1
        code, message, details = told.get("code"), told.get("message"), object_of(told.get("details"))
    elif isinstance(error, str):  # /api: whatever stands beside the text are its particulars
        code, message = body.get("code"), error
        details = {name: value for name, value in body.items() if name not in ("error", "code", "type")}
    else:
        return None
    return code if isinstance(code, str) else None, message if isinstance(message, str) else "", details


def _unreadable(status: int, headers: Mapping[str, str], content: bytes, request_id: str | None) -> McpvisorError:
    if 200 <= status < 300:
        message = f"the answer is no JSON: {_excerpt(content)}" if content else "the answer is empty"
        return ProtocolError(message, status=status, request_id=request_id, fault="network", phase="unknown")
    error = error_of_proxy(status, _excerpt(content), seconds_of(headers.get("retry-after"), time.time()))
    error.request_id = request_id
    return error


def _excerpt(content: bytes) -> str:
    return " ".join(content[:400].decode("utf-8", "replace").split())[:200]


def seconds_of(retry_after: str | None, now: float) -> float | None:
    """`Retry-After` in seconds: a number of them, or a date; None where it cannot be read."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None
