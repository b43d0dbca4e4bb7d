"""Every request of the API as an `Operation`: which path, which body, and how its answer is read."""

from __future__ import annotations

from typing import Any, Callable, List, Mapping, TypeVar, cast

from . import _types as t
from ._answers import Answer, object_of
from ._config import checked_idempotency_key, checked_timeout, segment
from ._requests import GRACE, Operation
from ._results import InvokeResult, Page

T = TypeVar("T")

QUERY_TIMEOUT = 300.0
"""Seconds that a question may take unless told otherwise: the daemon's own default."""


def as_it_is(result: Any) -> Any:
    """A result as it came."""
    return result


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _data(answer: Answer) -> Any:
    return answer.data()


def _items(answer: Answer) -> list[Any]:
    return answer.list_in(answer.body, "data")


# `kind` below is never looked at when the program runs: it says what the answer is, to whoever checks types.


def get(kind: type[T], path: str, query: Mapping[str, Any] | None = None) -> Operation[T]:
    """A request of `/v1` that only reads."""
    return Operation("GET", path, _data, query=query or {})


def items(kind: type[T], path: str, query: Mapping[str, Any]) -> Operation[List[T]]:
    """A list of `/v1` without pages."""
    return Operation("GET", path, _items, query=query)


def page(kind: type[T], path: str, number: int, per_page: int | None, filters: Mapping[str, Any]) -> Operation[Page[T]]:
    """A page of a list of `/v1`."""

    def read(answer: Answer) -> Page[T]:
        place = answer.object_in(answer.body, "pagination")
        return Page(
            items=_items(answer),
            page=answer.number_in(place, "page"),
            per_page=answer.number_in(place, "per_page"),
            total=answer.number_in(place, "total"),
            total_pages=answer.number_in(place, "total_pages"),
            request_id=answer.request_id,
        )

    return Operation("GET", path, read, query={"page": number, "per_page": per_page, **filters})


def act(
    kind: type[T],
    method: str,
    path: str,
    body: Mapping[str, Any] | None = None,
    query: Mapping[str, Any] | None = None,
) -> Operation[T]:
    """A request of `/v1` that changes something."""
    return Operation(method, path, _data, query=query or {}, body=body)


def mcp(mcp_id: str, *rest: str) -> str:
    """The path of an MCP, by its id or name."""
    return "/".join(["/v1/mcps", segment(mcp_id), *rest])


def key(key_id: str, *rest: str) -> str:
    """The path of a key, by its id."""
    return "/".join(["/v1/api-keys", segment(key_id), *rest])


def invoke(
    mcp_id: str,
    tool: str,
    arguments: Mapping[str, Any] | None,
    timeout: float | None,
    context: Mapping[str, Any] | None,
    idempotency_key: str | None,
    into: Callable[[Any], T],
) -> Operation[InvokeResult[T]]:
    """A call of a tool; `into` makes its result what the caller wants."""

    def read(answer: Answer) -> InvokeResult[T]:
        data = answer.data()
        if "result" not in data:
            raise answer.misshapen("no 'result'")
        return InvokeResult(
            result=into(data["result"]),
            content=answer.list_in(data, "content") if data.get("content") is not None else [],
            metadata=cast(t.InvocationMetadata, object_of(data.get("metadata"))),
            request_id=answer.request_id,
            replayed=answer.is_replayed,
        )

    return Operation(
        "POST",
        "/v1/mcp/invoke",
        read,
        body=_given(mcp_id=mcp_id, tool=tool, arguments=dict(arguments or {}), context=context),
        headers={} if idempotency_key is None else {"idempotency-key": checked_idempotency_key(idempotency_key)},
        deadline=None if timeout is None else checked_timeout(timeout),
        tells_deadline=True,
    )


def resources(mcp_id: str, uri: str | None, timeout: float | None) -> Operation[t.Resources]:
    """The resources of an MCP, or what one of them has."""

    def read(answer: Answer) -> t.Resources:
        data = answer.data()
        answer.list_in(data, "contents")
        return cast(t.Resources, data)

    return Operation(
        "POST",
        "/v1/mcp/resources",
        read,
        body=_given(mcp_id=mcp_id, uri=uri),
        deadline=None if timeout is None else checked_timeout(timeout),
        tells_deadline=True,
    )


def follow(path: str, last_event_id: int | None, **query: Any) -> Operation[None]:
    """A stream of what is and what comes."""
    headers = {} if last_event_id is None else {"last-event-id": str(last_event_id)}
    return Operation("GET", path, lambda _: None, query={"follow": True, **query}, headers=headers)


def api(kind: type[T], method: str, path: str, body: Mapping[str, Any] | None = None) -> Operation[T]:
    """A request of `/api`, whose answer has no envelope."""
    return Operation(method, path, lambda answer: cast(T, answer.body), body=body)


def api_list(kind: type[T], path: str, member: str) -> Operation[List[T]]:
    """A list of `/api`, under the name that it has there."""
    return Operation("GET", path, lambda answer: answer.list_in(answer.body, member))


def server(name: str, *rest: str) -> str:
    """The path of a server of `/api`, by its name."""
    return "/".join(["/api/servers", segment(name), *rest])


def query(
    server_name: str, text: str, stream: bool, timeout: float | None, further: Mapping[str, Any]
) -> Operation[t.ApiQueryAnswer]:
    """A question that a model answers with a server's tools."""

    def read(answer: Answer) -> t.ApiQueryAnswer:
        if not isinstance(answer.body.get("result"), str):
            raise answer.misshapen("no text as 'result'")
        return cast(t.ApiQueryAnswer, answer.body)

    return Operation(
        "POST",
        "/api/query",
        read,
        body=_given(server=server_name, query=text, stream=stream or None, **further),
        deadline=None if timeout is None else checked_timeout(timeout),
        tells_deadline=True,
        timeout=QUERY_TIMEOUT + GRACE,
        may_have_worked=True,
    )
