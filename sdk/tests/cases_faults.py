"""Answers that no daemon gives, but that come to a client all the same: from a proxy, or through a broken line."""

from __future__ import annotations

from typing import Any

from harness import Answer, Case, check, equal, one_of
from stand_in import (
    Link,
    Received,
    StandIn,
    answer,
    cut,
    data,
    failure,
    hang_up,
    page_of_proxy,
    raw,
    reset,
    silence,
    trickle,
)
from table import promise

GROUP = "faults"
DONE = data({"result": "done", "metadata": {}})


def called(case: Case, stand_in: StandIn, max_retries: int = 2, **options: Any) -> Answer:
    """A call of a tool at the stand-in, by a client that would retry if it might."""
    case.client(base_url=stand_in.url, timeout=20, max_retries=max_retries)
    return case.invoke("m", "t", **options)


def once(stand_in: StandIn) -> None:
    """The call was made once: what it did was not done again."""
    equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "502 as HTML of a proxy is ServerFailed with phase unknown, and the call is not repeated")
def html_502(case: Case) -> None:
    with StandIn(page_of_proxy(502), rest=DONE) as stand_in:
        called(case, stand_in).fails_as("ServerFailed", status=502, phase="unknown", is_retryable=False)
        once(stand_in)


@promise(
    GROUP,
    "503 as HTML of a proxy is ServerFailed or ServerUnavailable with phase unknown, and the call is not repeated",
)
def html_503(case: Case) -> None:
    with StandIn(page_of_proxy(503), rest=DONE) as stand_in:
        called(case, stand_in).fails_as(
            ("ServerFailed", "ServerUnavailable"), status=503, phase="unknown", is_retryable=False
        )
        once(stand_in)


@promise(GROUP, "504 as HTML of a proxy is Timeout with phase unknown, and the call is not repeated")
def html_504(case: Case) -> None:
    with StandIn(page_of_proxy(504), rest=DONE) as stand_in:
        called(case, stand_in).fails_as("Timeout", status=504, phase="unknown", is_retryable=False)
        once(stand_in)


@promise(GROUP, "502 as plain text, and with an empty body, is ServerFailed and no error of JSON")
def text_502(case: Case) -> None:
    for body in ("upstream connect error or disconnect/reset before headers", ""):
        with StandIn(answer(502, body, {"content-type": "text/plain"})) as stand_in:
            called(case, stand_in).fails_as("ServerFailed", status=502, phase="unknown")
            once(stand_in)


@promise(GROUP, "JSON of somebody else behind an error status is judged by the status")
def foreign_json(case: Case) -> None:
    for body in ({"detail": "Bad Gateway"}, ["no"], "no", None, {"error": {"code": 7, "message": None}}):
        with StandIn(answer(502, body if not isinstance(body, str) else '"no"')) as stand_in:
            called(case, stand_in).fails_as("ServerFailed", status=502)
            once(stand_in)


@promise(GROUP, "200 as HTML is Protocol")
def html_200(case: Case) -> None:
    with StandIn(page_of_proxy(200)) as stand_in:
        called(case, stand_in).fails_as("Protocol", is_retryable=False)
        once(stand_in)


@promise(GROUP, "200 with JSON of another shape is Protocol: no envelope, no data, data of another type, no object")
def other_shapes(case: Case) -> None:
    for body in (
        {"hello": 1},
        {"success": True},
        {"success": True, "data": []},
        [1],
        "text",
        {"success": True, "data": {"metadata": {}}},
    ):
        with StandIn(answer(200, body if not isinstance(body, str) else '"text"')) as stand_in:
            called(case, stand_in).fails_as("Protocol", is_retryable=False)
            once(stand_in)


@promise(GROUP, "200 with a list in place of a page, or a page without its place, is Protocol")
def other_page(case: Case) -> None:
    for body in (
        {"success": True, "data": []},
        {"success": True, "data": {}, "pagination": {"page": 1, "per_page": 1, "total": 0, "total_pages": 0}},
    ):
        with StandIn(rest=answer(200, body)) as stand_in:
            case.client(base_url=stand_in.url)
            case.op("mcps.list").fails_as("Protocol")


@promise(GROUP, "an answer that is cut is Protocol or Connection, never short, and the call is not repeated")
def cut_answer(case: Case) -> None:
    with StandIn(cut(), rest=DONE) as stand_in:
        error = called(case, stand_in).fails_as(("Protocol", "Connection"), is_retryable=False)
        one_of(error["phase"], ("unknown", "in_flight"), "phase")
        once(stand_in)


@promise(GROUP, "an answer that is cut between two chunks is Protocol or Connection, and the call is not repeated")
def cut_chunks(case: Case) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b'{"success":true,"data":{"result":"whole","metadata":{}}}'
    with StandIn(raw(head + f"{len(body):x}\r\n".encode() + body + b"\r\n"), rest=DONE) as stand_in:
        called(case, stand_in).fails_as(("Protocol", "Connection"), is_retryable=False)
        once(stand_in)


@promise(
    GROUP, "a connection that is closed in silence is Connection with phase not known, and the call is not repeated"
)
def closed_in_silence(case: Case) -> None:
    with StandIn(hang_up, rest=DONE) as stand_in:
        error = called(case, stand_in).fails_as(
            "Connection", code=None, status=None, is_retryable=False, fault="network"
        )
        one_of(error["phase"], ("unknown", "in_flight"), "phase")
        once(stand_in)


@promise(GROUP, "a POST is never sent twice when a kept-alive connection is closed in silence")
def kept_alive_closed(case: Case) -> None:
    with StandIn(DONE, DONE, hang_up, rest=DONE) as stand_in:
        equal(called(case, stand_in).value["result"], "done", "first call")
        equal(case.invoke("m", "t").value["result"], "done", "second call")
        case.invoke("m", "t").fails_as("Connection", is_retryable=False)
        equal(stand_in.count("POST"), 3, "requests that came")
        connections = [one.connection for one in stand_in.received]
        equal(connections, [1, 1, 1], "the connection was kept, or this case shows nothing")


@promise(GROUP, "a POST is never sent twice when a kept-alive connection is reset")
def kept_alive_reset(case: Case) -> None:
    with StandIn(DONE, reset, rest=DONE) as stand_in:
        equal(called(case, stand_in).value["result"], "done", "first call")
        case.invoke("m", "t").fails_as("Connection", is_retryable=False)
        equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "a POST with an idempotency key is not repeated either, since not every service knows the header")
def idempotency_key(case: Case) -> None:
    with StandIn(DONE, hang_up, rest=DONE) as stand_in:
        equal(called(case, stand_in, idempotency_key="once-1").value["result"], "done", "first call")
        case.invoke("m", "t", idempotency_key="once-2").fails_as("Connection", is_retryable=False)
        equal([one.headers.get("idempotency-key") for one in stand_in.received], ["once-1", "once-2"], "keys that came")


@promise(GROUP, "a connection that was closed while it was idle is not used for the next call, which is sent once")
def closed_while_idle(case: Case) -> None:
    def answered_and_closed(link: Link, request: Received, stand_in: StandIn) -> bool:
        DONE(link, request, stand_in)
        return False

    with StandIn(answered_and_closed, rest=DONE) as stand_in:
        equal(called(case, stand_in).value["result"], "done", "first call")
        second = case.invoke("m", "t")
        if second.error is not None:  # Lost to a race that no client can win: then it must not be repeated.
            second.fails_as("Connection", is_retryable=False)
        else:
            equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "an answer that is no HTTP is Protocol or Connection, and the call is not repeated")
def no_http(case: Case) -> None:
    with StandIn(raw(b"SSH-2.0-OpenSSH_9.9\r\n"), rest=DONE) as stand_in:
        called(case, stand_in).fails_as(("Protocol", "Connection"), is_retryable=False)
        once(stand_in)


@promise(GROUP, "a redirect is not followed: the key and the call stay where they were sent")
def redirect(case: Case) -> None:
    with (
        StandIn(rest=DONE) as elsewhere,
        StandIn(rest=answer(307, "", {"location": f"{elsewhere.url}/v1/mcp/invoke"})) as stand_in,
    ):
        called(case, stand_in).fails_as(("Protocol", "Connection"), is_retryable=False)
        equal(elsewhere.count(), 0, "requests that came to the other place")
        once(stand_in)


@promise(
    GROUP, "a server that says nothing is left at the local deadline: Timeout, phase not known, seen by the server"
)
def says_nothing(case: Case) -> None:
    with StandIn(silence, rest=DONE) as stand_in:
        answered = called(case, stand_in, timeout=0.5)
        error = answered.fails_as("Timeout", is_retryable=False)
        one_of(error["phase"], ("unknown", "in_flight"), "phase")
        check(0.5 <= answered.took < 15, f"it took {answered.took} s")
        check(stand_in.left.wait(10), "the client closes the connection")
        once(stand_in)


@promise(GROUP, "the client's own timeout ends a request that names none")
def own_timeout(case: Case) -> None:
    with StandIn(silence) as stand_in:
        case.client(base_url=stand_in.url, timeout=0.5, max_retries=0)
        answered = case.op("mcps.get", id="m")
        answered.fails_as("Timeout")
        check(0.4 <= answered.took < 15, f"it took {answered.took} s")
        check(stand_in.left.wait(10), "the client closes the connection")


@promise(GROUP, "a body that trickles for ever ends at the deadline, though each byte comes in time")
def trickles(case: Case) -> None:
    with StandIn(trickle()) as stand_in:
        answered = called(case, stand_in, timeout=1)
        answered.fails_as("Timeout", is_retryable=False)
        check(answered.took < 20, f"it took {answered.took} s")


@promise(GROUP, "405 and 415 are Validation, 500 is Internal with the id of the request")
def rare_statuses(case: Case) -> None:
    with StandIn(
        failure(405, "method_not_allowed"),
        failure(415, "invalid_request"),
        failure(500, "internal_error", request_id="req_7"),
    ) as stand_in:
        called(case, stand_in).fails_as(
            "Validation", code="method_not_allowed", status=405, phase="not_sent", is_retryable=False
        )
        case.invoke("m", "t").fails_as(
            "Validation", code="invalid_request", status=415, phase="not_sent", is_retryable=False
        )
        case.invoke("m", "t").fails_as(
            "Internal", code="internal_error", status=500, phase="unknown", request_id="req_7"
        )
        equal(stand_in.count("POST"), 3, "requests that came")


@promise(GROUP, "an answer that was dropped for want of room is ServerFailed, in flight, and the call is not repeated")
def answer_dropped(case: Case) -> None:
    with StandIn(failure(502, "answer_dropped", phase="in_flight"), rest=DONE) as stand_in:
        called(case, stand_in).fails_as(
            "ServerFailed", code="answer_dropped", status=502, phase="in_flight", is_retryable=False
        )
        once(stand_in)


@promise(GROUP, "a code that is not known yet is kept, and judged by its status")
def unknown_codes(case: Case) -> None:
    table = [
        (409, "Conflict"),
        (403, "PermissionDenied"),
        (404, "NotFound"),
        (400, "Validation"),
        (422, "Validation"),
        (500, "Internal"),
        (502, "ServerFailed"),
        (504, "Timeout"),
    ]
    with StandIn(*[failure(status, "from_the_future") for status, _ in table]) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        for status, kind in table:
            case.invoke("m", "t").fails_as(kind, code="from_the_future", status=status)
        equal(stand_in.count("POST"), len(table), "requests that came")


@promise(GROUP, "members that are not known are kept and stop nothing")
def unknown_members(case: Case) -> None:
    mcp = {"id": "mcp_1", "name": "m", "status": "retired", "of_the_future": {"a": [1]}}
    place = {"page": 1, "per_page": 20, "total": 1, "total_pages": 1, "cursor": "x"}
    with StandIn(rest=data([mcp], pagination=place, of_the_future=True)) as stand_in:
        case.client(base_url=stand_in.url)
        equal(case.op("mcps.list").value, [mcp], "the MCP as it came")
