"""Streams of events: logs that are followed, and questions that are answered word by word."""

from __future__ import annotations

import threading

from harness import Answer, Case, check, equal, eventually
from model import WORDS
from stand_in import StandIn, answer, events, failure, page_of_proxy, raw, silence
from table import promise

GROUP = "streams"


def line(number: int, text: str) -> tuple[str, dict[str, object]]:
    """An event of a log."""
    return "line", {"at": "2026-11-22T15:45:00Z", "incarnation": 1, "stream": "stderr", "number": number, "line": text}


FINAL = {
    "type": "final",
    "status": "success",
    "result": "42 🌍",
    "finish_reason": "stop",
    "model": "m",
    "turns": 1,
    "usage": {},
}


@promise(GROUP, "a followed log has the lines that are there, then those to come")
def follow(case: Case) -> None:
    case.daemon.invoke("logging", "log_stderr", bytes=300)
    there = eventually(
        lambda: len(found := case.daemon.v1("GET", "/mcps/logging/logs")) >= 3 and found, "lines are there"
    )
    lines: list[Answer] = []
    reader = threading.Thread(
        target=lambda: lines.append(case.op("logs.follow", mcp="logging", take=len(there) + 2)), daemon=True
    )
    reader.start()
    eventually(
        lambda: case.daemon.invoke("logging", "log_stderr", bytes=200) and not reader.is_alive(), "further lines come"
    )
    value = lines[0].value
    equal([one["line"] for one in value[: len(there)]], [one["line"] for one in there], "lines that were there")
    numbers = [one["number"] for one in value]
    equal(numbers, list(range(numbers[0], numbers[0] + len(numbers))), "numbers without a gap")


@promise(GROUP, "a log of an MCP that is not there is NotFound, of one that is not for the key PermissionDenied")
def follow_refused(case: Case) -> None:
    case.op("logs.follow", mcp="nowhere", take=1).fails_as("NotFound", code="not_found", status=404)
    case.client(api_key=case.daemon.new_key(member={"role": "member"})["key"])
    case.op("logs.follow", mcp="fake", take=1).fails_as("PermissionDenied", code="forbidden", status=403)


@promise(GROUP, "leaving a followed log that is quiet ends it at the daemon, too")
def follow_cancelled(case: Case) -> None:
    case.op("logs.follow", mcp="quiet", take=1, cancel_after_ms=400).fails_as("Cancelled")
    key = case.daemon.new_key()
    case.client(api_key=key["key"])
    for _ in range(3):
        case.op("logs.follow", mcp="quiet", take=1, cancel_after_ms=200).fails_as("Cancelled")
    equal(case.invoke("quiet", "echo", {"text": "a"}).value["result"], {"text": "a"}, "the next call")


@promise(GROUP, "closing a followed log closes its connection")
def follow_closed(case: Case) -> None:
    with StandIn(events(line(1, "a"), line(2, "b"), ids=True, ending="wait")) as stand_in:
        case.client(base_url=stand_in.url)
        value = case.op("logs.follow", mcp="m", take=2).value
        equal([one["line"] for one in value], ["a", "b"], "lines")
        check(stand_in.left.wait(10), "the client closes the connection")
        equal(stand_in.received[0].query.get("follow"), "true", "the parameter of the route")


@promise(GROUP, "the end of a followed log is told by an event, and ends it")
def follow_ends(case: Case) -> None:
    with StandIn(events(line(1, "a"), ("end", {"reason": "removed"}), ids=True)) as stand_in:
        case.client(base_url=stand_in.url)
        equal([one["line"] for one in case.op("logs.follow", mcp="m", take=10).value], ["a"], "lines")
        equal(stand_in.count(), 1, "requests that came")


@promise(GROUP, "a followed log that is cut, or ended by a proxy without its last event, is not passed off as whole")
def follow_cut(case: Case) -> None:
    for ending in ("cut", "whole"):
        further = events(line(2, "b"), ("end", {"reason": "removed"}), ids=True)
        with StandIn(events(line(1, "a"), ids=True, ending=ending), rest=further) as stand_in:
            case.client(base_url=stand_in.url, max_retries=2)
            answered = case.op("logs.follow", mcp="m", take=10)
            if answered.error is not None:
                answered.fails_as(("Connection", "Protocol"))
                equal(stand_in.count(), 1, "requests that came")
            else:  # A client that goes on by itself has to go on where it was, as far as its runtime gave it anything.
                from_start = stand_in.received[1].headers.get("last-event-id") is None
                check(from_start or stand_in.received[1].headers["last-event-id"] == "1", "where it goes on")
                equal([one["line"] for one in answered.value], ["b"] if from_start else ["a", "b"], "lines")


@promise(GROUP, "a key that is revoked while its log is followed ends it, within a moment")
def follow_revoked(case: Case) -> None:
    key = case.daemon.new_key()
    case.client(api_key=key["key"])
    ended: list[Answer] = []
    reader = threading.Thread(target=lambda: ended.append(case.op("logs.follow", mcp="quiet", take=1000)), daemon=True)
    reader.start()
    eventually(lambda: case.daemon.v1("GET", f"/api-keys/{key['id']}")["last_used"], "the key is in use")
    case.daemon.v1("DELETE", f"/api-keys/{key['id']}")
    reader.join(40)
    check(ended, "the stream has ended")
    if ended[0].error is not None:
        ended[0].fails_as("Authentication", code="revoked_key", is_retryable=False)


@promise(GROUP, "events are read however they are cut: in bytes, with CR LF, comments, and several lines of data")
def odd_framing(case: Case) -> None:
    text = (
        ": a comment\r\n\r\nretry: 10\r\n\r\nevent: line\r\nid: 1\r\n"
        'data: {"number": 1,\r\ndata:  "line": "é🌍"}\r\n\r\n'
        'event:line\rdata:{"number": 2, "line": "b"}\r\rid\nevent: unknown\ndata: {}\n\n'
        'event: end\ndata: {"reason": "removed"}\n\n'
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n"
    pieces = [text[at : at + 3] for at in range(0, len(text), 3)]
    with StandIn(raw(head, *pieces, pause=0.005)) as stand_in:
        case.client(base_url=stand_in.url)
        value = case.op("logs.follow", mcp="m", take=10).value
        equal([(one["number"], one["line"]) for one in value], [(1, "é🌍"), (2, "b")], "lines")


@promise(GROUP, "what is no stream where one was asked for is an error: HTML, JSON, a refusal")
def no_stream(case: Case) -> None:
    with StandIn(
        page_of_proxy(502), page_of_proxy(200), answer(200, {"success": True, "data": []}), failure(429, "rate_limited")
    ) as stand_in:
        case.client(base_url=stand_in.url)
        case.op("logs.follow", mcp="m", take=1).fails_as("ServerFailed", status=502, phase="unknown")
        case.op("logs.follow", mcp="m", take=1).fails_as("Protocol")
        case.op("logs.follow", mcp="m", take=1).fails_as("Protocol")
        case.op("logs.follow", mcp="m", take=1).fails_as("RateLimited", status=429)


@promise(GROUP, "a question is answered by the model with the tools of a server")
def query(case: Case) -> None:
    value = case.op("api.query", server="fake", query="What does the tool say?", stream=False).value
    equal(value["text"], "".join(WORDS), "text")


@promise(GROUP, "a question in a stream has its words, its calls and its answer, in order")
def query_stream(case: Case) -> None:
    value = case.op("api.query", server="fake", query="What does the tool say?", stream=True).value
    equal(value["text"], "".join(WORDS), "text")
    kinds = [event["type"] for event in value["events"]]
    equal([kind for kind in kinds if kind != "token"], ["tool_call", "tool_result", "final"], "events")
    tokens = "".join(event["text"] for event in value["events"] if event["type"] == "token")
    equal(tokens, "".join(WORDS), "the words one by one")
    result = next(event for event in value["events"] if event["type"] == "tool_result")
    equal((result["tool"], result["is_error"]), ("echo", False), "the call")
    equal(value["events"][-1]["usage"]["total_tokens"], 24, "tokens of both turns")


@promise(GROUP, "a question that cannot be asked is an error with its own status, streamed or not")
def query_refused(case: Case) -> None:
    for stream in (False, True):
        case.op("api.query", server="nowhere", query="Hello?", stream=stream).fails_as("NotFound", status=404)
        case.op("api.query", server="fake", query=" ", stream=stream).fails_as("Validation", status=400)
        case.op("api.query", server="fake", query="Please refuse.", stream=stream).fails_as(
            ("ServerFailed", "Internal"), code="llm_error", is_retryable=False
        )


@promise(GROUP, "an error in the middle of a streamed question is an error, after the words that came")
def query_error_event(case: Case) -> None:
    frames = [
        ("token", {"type": "token", "text": "I th"}),
        ("error", {"type": "error", "error": "it broke", "code": "llm_error"}),
    ]
    with StandIn(events(*frames)) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        error = case.op("api.query", server="m", query="q", stream=True).fails_as(
            ("ServerFailed", "Internal"), code="llm_error", is_retryable=False
        )
        equal(error["message"], "it broke", "message")
        equal(stand_in.count(), 1, "requests that came")


@promise(GROUP, "a streamed question without an end is Connection or Protocol, and is not asked again")
def query_cut(case: Case) -> None:
    for ending in ("cut", "whole"):
        with StandIn(
            events(("token", {"type": "token", "text": "I th"}), ending=ending), rest=events(("final", FINAL))
        ) as stand_in:
            case.client(base_url=stand_in.url, max_retries=2)
            case.op("api.query", server="m", query="q", stream=True).fails_as(
                ("Connection", "Protocol"), is_retryable=False
            )
            equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "leaving a question cancels it: the daemon leaves the model")
def query_cancelled(case: Case) -> None:
    for stream in (False, True):
        answered = case.op("api.query", server="fake", query="Please wait.", stream=stream, cancel_after_ms=500)
        answered.fails_as("Cancelled")
        check(answered.took < 15, f"it took {answered.took} s")
    with StandIn(silence) as stand_in:
        case.client(base_url=stand_in.url)
        case.op("api.query", server="m", query="q", stream=True, cancel_after_ms=300).fails_as("Cancelled")
        check(stand_in.left.wait(10), "the client closes the connection")
