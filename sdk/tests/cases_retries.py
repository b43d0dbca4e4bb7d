"""When a request is sent again: only what was not carried out, when the server says, and never too late."""

from __future__ import annotations

import socket
import threading
import time

from harness import Case, check, equal
from stand_in import StandIn, answer, cut, data, failure, hang_up
from table import promise

GROUP = "retries"
DONE = data({"result": "done", "metadata": {}})
MCP = data({"id": "mcp_1", "name": "m", "tools": []})


@promise(GROUP, "429 rate_limited is sent again after Retry-After, not before")
def obeys_retry_after(case: Case) -> None:
    with StandIn(failure(429, "rate_limited", headers={"retry-after": "1"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        equal(case.invoke("m", "t").value["result"], "done", "result")
        equal(stand_in.count("POST"), 2, "requests that came")
        waited = stand_in.received[1].at - stand_in.received[0].at
        check(0.95 <= waited < 15, f"it came again after {waited:.2f} s")


@promise(GROUP, "503 service_unavailable is sent again, by the client's own waits where the server names none")
def own_waits(case: Case) -> None:
    with StandIn(failure(503, "service_unavailable"), failure(503, "service_unavailable"), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        answered = case.invoke("m", "t")
        equal(answered.value["result"], "done", "result")
        equal(stand_in.count("POST"), 3, "requests that came")
        check(answered.took < 15, f"it took {answered.took} s, where 1.5 s are the most to wait")


@promise(GROUP, "502 mcp_unreachable is sent again where it was not sent")
def unreachable_not_sent(case: Case) -> None:
    with StandIn(failure(502, "mcp_unreachable", phase="not_sent"), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        equal(case.invoke("m", "t").value["result"], "done", "result")
        equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "502 mcp_unreachable is not sent again where it was in flight, nor where nobody says")
def unreachable_in_flight(case: Case) -> None:
    with StandIn(
        failure(502, "mcp_unreachable", phase="in_flight"), failure(502, "mcp_unreachable"), rest=DONE
    ) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.invoke("m", "t").fails_as("ServerUnavailable", phase="in_flight", is_retryable=False)
        equal(stand_in.count("POST"), 1, "requests that came")
        case.invoke("m", "t").fails_as("ServerUnavailable", phase="unknown", is_retryable=False)
        equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "a question is not asked again, however it was refused: its tools may have run")
def questions_once(case: Case) -> None:
    refusal = answer(503, {"error": "The daemon is stopping", "code": "service_unavailable"}, {"retry-after": "0"})
    with StandIn(rest=refusal) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        for stream in (False, True):
            asked = case.op("api.query", server="m", query="q", stream=stream)
            asked.fails_as("ServerUnavailable", status=503, phase="unknown", is_retryable=False)
        equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "no more than max_retries repeats, then the last error")
def no_more_than_told(case: Case) -> None:
    with StandIn(rest=failure(503, "service_unavailable", headers={"retry-after": "0"})) as stand_in:
        for retries in (0, 1, 3):
            before = stand_in.count()
            case.client(base_url=stand_in.url, max_retries=retries)
            case.invoke("m", "t").fails_as(
                "ServerUnavailable", code="service_unavailable", status=503, phase="not_sent"
            )
            equal(stand_in.count() - before, retries + 1, f"requests that came with max_retries {retries}")


@promise(GROUP, "a Retry-After beyond the cap of 30 s is the caller's to wait: the error comes at once")
def beyond_the_cap(case: Case) -> None:
    with StandIn(failure(429, "rate_limited", headers={"retry-after": "31"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, timeout=120, max_retries=2)
        answered = case.invoke("m", "t")
        error = answered.fails_as("RateLimited", status=429, is_retryable=True)
        check(error["retry_after"] == 31, "retry_after")
        check(answered.took < 15, f"it took {answered.took} s")
        equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "a wait beyond the call's deadline is not begun: the error comes at once")
def beyond_the_deadline(case: Case) -> None:
    with StandIn(failure(429, "rate_limited", headers={"retry-after": "20"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, timeout=60, max_retries=2)
        answered = case.invoke("m", "t", timeout=10)
        answered.fails_as("RateLimited", status=429)
        check(answered.took < 9, f"it took {answered.took} s")
        equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "a wait beyond the client's timeout is not begun either")
def beyond_the_timeout(case: Case) -> None:
    with StandIn(failure(503, "service_unavailable", headers={"retry-after": "20"}), rest=MCP) as stand_in:
        case.client(base_url=stand_in.url, timeout=10, max_retries=2)
        answered = case.op("mcps.get", id="m")
        answered.fails_as("ServerUnavailable", status=503)
        check(answered.took < 9, f"it took {answered.took} s")
        equal(stand_in.count("GET"), 1, "requests that came")


@promise(GROUP, "a repeat tells the server no more than what is left of the deadline")
def tells_what_is_left(case: Case) -> None:
    with StandIn(failure(503, "service_unavailable", headers={"retry-after": "2"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.invoke("m", "t", timeout=20).succeeds()
        first, second = (one.json()["timeout"] for one in stand_in.received)
        check(19_000 <= first <= 20_000, f"the first time {first} ms were told")
        check(second <= first - 1_900, f"the second time {second} ms were told, two seconds later")


@promise(GROUP, "quota_exceeded is not sent again: the month is not over in 30 s")
def quota(case: Case) -> None:
    with StandIn(failure(429, "quota_exceeded", headers={"retry-after": "1"}), rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.invoke("m", "t").fails_as("QuotaExceeded", status=429, phase="not_sent", fault="quota")
        equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "errors of the caller, of the tool and of the deadline are not sent again")
def final_errors(case: Case) -> None:
    table = [
        failure(400, "invalid_request"),
        failure(401, "unauthorized"),
        failure(403, "forbidden"),
        failure(404, "not_found"),
        failure(409, "mcp_inactive"),
        failure(413, "payload_too_large"),
        failure(422, "mcp_error", mcp_error="no", content=[]),
        failure(500, "internal_error"),
        failure(502, "mcp_error", mcp_error="no", mcp_code=-32000),
        failure(504, "mcp_timeout", phase="in_flight", timeout_ms=10),
    ]
    with StandIn(*table, rest=DONE) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        for number, _ in enumerate(table, 1):
            check(case.invoke("m", "t").error is not None, "an error")
            equal(stand_in.count("POST"), number, "requests that came")


@promise(GROUP, "a GET is sent again after a lost connection")
def get_after_loss(case: Case) -> None:
    with StandIn(hang_up, rest=MCP) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        equal(case.op("mcps.get", id="m").value["name"], "m", "the MCP")
        equal(stand_in.count("GET"), 2, "requests that came")


@promise(GROUP, "a GET whose answer is cut is sent again or fails, and is never answered by a part")
def get_after_cut(case: Case) -> None:
    with StandIn(cut(), rest=MCP) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        answered = case.op("mcps.get", id="m")
        if answered.error is not None:
            answered.fails_as(("Protocol", "Connection"))
        else:
            equal(answered.value["name"], "m", "the MCP")
            equal(stand_in.count("GET"), 2, "requests that came")


@promise(GROUP, "DELETE and other acts are not sent again after a lost connection")
def act_after_loss(case: Case) -> None:
    done = data({"id": "key_1", "status": "revoked", "revoked_at": None, "revoked_keys": [], "durable": True})
    with StandIn(hang_up, hang_up, rest=done) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.op("keys.revoke", id="key_1").fails_as("Connection", is_retryable=False)
        case.op("keys.create", name="k").fails_as("Connection", is_retryable=False)
        equal(stand_in.count(), 2, "requests that came")


@promise(GROUP, "a refused connection is Connection, not sent and retryable, and tried again until somebody listens")
def refused_then_there(case: Case) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    case.client(base_url=f"http://127.0.0.1:{port}", max_retries=0)
    case.invoke("m", "t").fails_as(
        "Connection", code=None, status=None, phase="not_sent", is_retryable=True, fault="network"
    )

    stand_in = StandIn(rest=DONE)
    late = socket.socket()
    late.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

    def listen_late() -> None:
        time.sleep(0.2)
        late.bind(("127.0.0.1", port))
        late.listen()
        while True:
            try:
                sock, _ = late.accept()
            except OSError:
                return
            stand_in.adopt(sock)

    threading.Thread(target=listen_late, daemon=True).start()
    try:
        case.client(base_url=f"http://127.0.0.1:{port}", timeout=30, max_retries=10)
        equal(case.invoke("m", "t").value["result"], "done", "result")
        equal(stand_in.count("POST"), 1, "requests that came")
    finally:
        late.close()
        stand_in.close()


@promise(GROUP, "a name that does not resolve is Connection, or Timeout where that takes too long, not sent")
def no_such_host(case: Case) -> None:
    case.client(base_url="http://no-such-host.invalid:5000", timeout=20, max_retries=0)
    case.invoke("m", "t").fails_as(("Connection", "Timeout"), status=None, phase="not_sent", fault="network")


@promise(GROUP, "a Retry-After that is a date is understood, and one that cannot be read is none")
def odd_retry_after(case: Case) -> None:
    with StandIn(
        failure(503, "service_unavailable", headers={"retry-after": "Fri, 31 Dec 2100 23:59:59 GMT"}),
        failure(503, "service_unavailable", headers={"retry-after": "soon"}),
        rest=DONE,
    ) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        error = case.invoke("m", "t").fails_as("ServerUnavailable", status=503)
        check(error["retry_after"] is None or error["retry_after"] > 86400, "retry_after of a date far away")
        if error["retry_after"] is not None:
            equal(stand_in.count("POST"), 1, "requests that came")
