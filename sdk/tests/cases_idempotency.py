"""Calls with an `Idempotency-Key`: carried out once however often they come, and answered again."""

from __future__ import annotations

import uuid
from typing import Any

from cases_calls import executions
from harness import Case, Held, check, equal, eventually
from stand_in import Link, Received, StandIn, answer, data, failure, lost_on_the_way, passed
from table import promise

GROUP = "idempotency"
DONE = data({"result": "done", "metadata": {}})


def fresh() -> str:
    """A key that no other call has."""
    return f"case-{uuid.uuid4()}"


def runs(case: Case) -> None:
    """Waits until the server that counts has a call."""
    eventually(lambda: case.daemon.v1("GET", "/mcps/count")["traffic"]["in_flight"] == 1, "the call runs")


def cancelled(case: Case) -> int:
    """How many calls the server that counts was told to cancel. Asking is an execution as well."""
    return len(case.daemon.invoke("count", "stats")["cancelled"])


@promise(GROUP, "the same call with the same key is a replay of the whole answer, carried out once")
def replay(case: Case) -> None:
    before, key = executions(case), fresh()
    first = case.invoke("count", "echo", {"text": "a"}, idempotency_key=key).value
    second = case.invoke("count", "echo", {"text": "a"}, idempotency_key=key).value
    third = case.invoke("count", "echo", {"text": "a"}, idempotency_key=key, timeout=5).value
    equal([one.get("replayed") for one in (first, second, third)], [False, True, True], "replayed")
    for again in (second, third):
        for name in ("result", "content", "metadata"):
            equal(again[name], first[name], name)
        check(again["request_id"] != first["request_id"], "each request has an id of its own")
    equal(executions(case) - before, 1, "executions")
    equal(case.invoke("count", "echo").value.get("replayed"), False, "replayed of a call without a key")


@promise(GROUP, "a key that was used for another call is Validation, validation_error, not sent")
def other_call(case: Case) -> None:
    before, key = executions(case), fresh()
    case.client(max_retries=2)
    case.invoke("count", "echo", {"text": "a"}, idempotency_key=key).succeeds()
    others: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("echo", {"text": "b"}, {}),
        ("pid", {"text": "a"}, {}),
        ("echo", {"text": "a"}, {"context": {"user": "u"}}),
    ]
    for tool, arguments, options in others:
        case.invoke("count", tool, arguments, idempotency_key=key, **options).fails_as(
            "Validation", code="validation_error", status=422, phase="not_sent", is_retryable=False, fault="caller"
        )
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "the error of a tool is the same error again, and the tool has run once")
def error_again(case: Case) -> None:
    before, key = executions(case), fresh()
    first, second = (
        case.invoke("count", "fail", {"message": "out of paper"}, idempotency_key=key).fails_as(
            "ToolFailed", code="mcp_error", status=422, phase="in_flight", is_retryable=False, fault="server"
        )
        for _ in range(2)
    )
    equal(second["message"], first["message"], "message")
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "a call with a key that was provably not sent can be made with that key")
def not_sent(case: Case) -> None:
    key, keys = fresh(), [case.daemon.new_key()["key"] for _ in range(2)]
    with Held(case, "narrow", keys[0]) as first:
        eventually(lambda: case.daemon.v1("GET", "/mcps/narrow")["traffic"]["in_flight"] == 1, "a call is in flight")
        with Held(case, "narrow", keys[1]):
            eventually(lambda: case.daemon.v1("GET", "/mcps/narrow")["traffic"]["queued"] == 1, "a call waits")
            case.client(api_key=keys[1])
            case.invoke("narrow", "echo", idempotency_key=key).fails_as(
                "ServerUnavailable", status=503, phase="not_sent", is_retryable=True
            )
            first.let_go()
    equal(case.invoke("narrow", "echo", idempotency_key=key).value.get("replayed"), False, "replayed")


@promise(GROUP, "a call whose first caller still waits is Conflict, retryable, and asked for again until the reply")
def still_running(case: Case) -> None:
    before, key = executions(case), fresh()
    with Held(case, "count", idempotency_key=key) as first:
        runs(case)
        error = case.invoke("count", "wait_for", first.arguments, idempotency_key=key).fails_as(
            "Conflict", code="conflict", status=409, phase="in_flight", is_retryable=True, fault="caller"
        )
        check(error["retry_after"] == 1, "retry_after is a second")

        def then_let_go(link: Link, request: Received, way: StandIn) -> bool:
            is_kept = passed(case.daemon.url)(link, request, way)
            first.let_go()
            return is_kept

        with StandIn(then_let_go, rest=passed(case.daemon.url)) as way:
            case.client(base_url=way.url, max_retries=6)
            value = case.invoke("count", "wait_for", first.arguments, idempotency_key=key).value
            equal((value["result"], value.get("replayed")), ("it is there", True), "the reply of the first call")
            check(way.count("POST") >= 2, "the client has asked again")
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "a caller that left and calls again with the key gets the reply of the first call")
def comes_back(case: Case) -> None:
    case.client(max_retries=2)
    case.invoke("count", "echo").succeeds()  # The next call is sent at once, over the connection that there is.
    told, before, key = cancelled(case), executions(case), fresh()
    case.invoke("count", "sleep", {"ms": 4500}, idempotency_key=key, cancel_after_ms=600).fails_as("Cancelled")
    value = case.invoke("count", "sleep", {"ms": 4500}, idempotency_key=key).value
    equal(value.get("replayed"), True, "replayed")
    equal(executions(case) - before, 1, "executions")
    equal(cancelled(case), told, "calls that the server was told to cancel")


@promise(GROUP, "a call for which nobody came back is cancelled, and then Conflict and never made again")
def nobody_came_back(case: Case) -> None:
    case.client(max_retries=2)
    case.invoke("count", "echo").succeeds()  # The next call is sent at once, over the connection that there is.
    told, before, key = cancelled(case), executions(case), fresh()
    case.invoke("count", "sleep", {"ms": 55000}, idempotency_key=key, cancel_after_ms=600).fails_as("Cancelled")
    eventually(lambda: case.daemon.calls(server="count", outcome="cancelled"), "the daemon cancels the call")
    for _ in range(2):
        again = case.invoke("count", "sleep", {"ms": 55000}, idempotency_key=key)
        again.fails_as("Conflict", code="conflict", status=409, phase="in_flight", is_retryable=False, fault="caller")
    equal(executions(case) - before, 1, "executions")
    eventually(lambda: cancelled(case) == told + 1, "the server was told to cancel")


@promise(GROUP, "a call whose reply was too long to be kept is Conflict, in flight, and not made again")
def not_kept(case: Case) -> None:
    before, key = executions(case), fresh()
    case.client(max_retries=2)
    value = case.invoke("count", "big", {"bytes": 1_500_000}, idempotency_key=key).value
    equal((len(value["result"]), value.get("replayed")), (1_500_000, False), "the first reply")
    case.invoke("count", "big", {"bytes": 1_500_000}, idempotency_key=key).fails_as(
        "Conflict", code="conflict", status=409, phase="in_flight", is_retryable=False
    )
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "two API keys with the same Idempotency-Key do not meet")
def two_callers(case: Case) -> None:
    before, key = executions(case), fresh()
    for text in ("of one", "of the other"):
        case.client(api_key=case.daemon.new_key()["key"])
        value = case.invoke("count", "echo", {"text": text}, idempotency_key=key).value
        equal((value["result"], value.get("replayed")), ({"text": text}, False), "a reply of its own")
    equal(executions(case) - before, 2, "executions")


@promise(GROUP, "a key that was revoked is Authentication, and gets no replay")
def revoked(case: Case) -> None:
    before, key, api_key = executions(case), fresh(), case.daemon.new_key()
    case.client(api_key=api_key["key"])
    case.invoke("count", "echo", idempotency_key=key).succeeds()
    case.daemon.v1("DELETE", f"/api-keys/{api_key['id']}")
    case.invoke("count", "echo", idempotency_key=key).fails_as(
        "Authentication", code="revoked_key", status=401, phase="not_sent", is_retryable=False
    )
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "a call whose connection broke while it ran, called again with its key, gets the reply of the first")
def lost_while_it_runs(case: Case) -> None:
    lost_call(case, while_it_runs=True)


@promise(GROUP, "a call whose reply was lost, called again with its key, gets that reply")
def lost_reply(case: Case) -> None:
    lost_call(case, while_it_runs=False)


def lost_call(case: Case, while_it_runs: bool) -> None:
    """The first call is lost on the way; the client leaves it at that, and its caller calls again."""
    before, key = executions(case), fresh()
    lost = lost_on_the_way(case.daemon.url, (lambda: runs(case)) if while_it_runs else None)
    with StandIn(lost, rest=passed(case.daemon.url)) as way:
        case.client(base_url=way.url, max_retries=2)
        case.invoke("count", "sleep", {"ms": 1500}, idempotency_key=key).fails_as(
            "Connection", status=None, is_retryable=False, fault="network"
        )
        equal(way.count("POST"), 1, "requests that came")
        value = case.invoke("count", "sleep", {"ms": 1500}, idempotency_key=key).value
        equal(value.get("replayed"), True, "replayed")
    equal(executions(case) - before, 1, "executions")


@promise(GROUP, "a Conflict that says cancelled or not_kept is in flight and not sent again; any other is not sent")
def final_conflicts(case: Case) -> None:
    at_once = {"retry-after": "0"}
    table = [
        (failure(409, "conflict", headers=at_once, idempotency="cancelled", phase="in_flight"), "in_flight"),
        (failure(409, "conflict", headers=at_once, idempotency="not_kept", phase="in_flight"), "in_flight"),
        (failure(409, "conflict", headers=at_once, idempotency="of_the_future", phase="in_flight"), "in_flight"),
        (failure(409, "conflict", headers=at_once), "not_sent"),
    ]
    with StandIn(*[step for step, _ in table], rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        for number, (_, phase) in enumerate(table, 1):
            case.invoke("m", "t", idempotency_key="once").fails_as(
                "Conflict", code="conflict", status=409, phase=phase, is_retryable=False
            )
            equal(stand_in.count("POST"), number, "requests that came")


@promise(GROUP, "a Conflict that says running is sent again with the same key, after Retry-After and as often as told")
def running_again(case: Case) -> None:
    def running(seconds: str) -> Any:
        return failure(409, "conflict", headers={"retry-after": seconds}, idempotency="running", phase="in_flight")

    with StandIn(running("1"), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        equal(case.invoke("m", "t", idempotency_key="once").value["result"], "done", "result")
        equal([one.headers["idempotency-key"] for one in stand_in.received], ["once", "once"], "keys that came")
        waited = stand_in.received[1].at - stand_in.received[0].at
        check(0.95 <= waited < 15, f"it came again after {waited:.2f} s")
    for seconds, requests in (("0", 3), ("31", 1)):
        with StandIn(rest=running(seconds)) as stand_in:
            case.client(base_url=stand_in.url, timeout=60, max_retries=2)
            case.invoke("m", "t", idempotency_key="once").fails_as(
                "Conflict", code="conflict", status=409, phase="in_flight", is_retryable=True
            )
            equal(stand_in.count("POST"), requests, f"requests that came with Retry-After {seconds}")


@promise(GROUP, "what ends the asking for a call that runs is in flight: nobody may take that call for one never sent")
def asking_ends(case: Case) -> None:
    running = failure(409, "conflict", headers={"retry-after": "0"}, idempotency="running", phase="in_flight")
    busy = failure(429, "rate_limited", headers={"retry-after": "0"})
    with StandIn(running, busy, busy, running, busy, rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.invoke("m", "t", idempotency_key="once").fails_as(
            "RateLimited", code="rate_limited", status=429, phase="in_flight", is_retryable=True
        )
        equal(stand_in.count("POST"), 3, "requests that came")
        equal(case.invoke("m", "t", idempotency_key="once").value["result"], "done", "a refusal is asked again behind")
        equal(stand_in.count("POST"), 6, "requests that came")


@promise(GROUP, "an answer is a replay where its header says so, and only there")
def header_of_replay(case: Case) -> None:
    body = {"success": True, "data": {"result": "done", "metadata": {}}}
    with StandIn(answer(200, body, {"Idempotent-Replayed": "true"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url)
        values = [case.invoke("m", "t", idempotency_key="once").value for _ in range(2)]
        equal(
            [(value["result"], value.get("replayed")) for value in values], [("done", True), ("done", False)], "replays"
        )
