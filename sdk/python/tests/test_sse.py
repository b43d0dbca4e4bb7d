"""Events, however the bytes of a stream are cut."""

import pytest

from mcpvisor._errors import AuthenticationError, ConnectionError, ProtocolError, ServerFailedError
from mcpvisor._sse import Event, EventDecoder
from mcpvisor._streams import Asked, Followed

STREAM = (
    '\ufeff: hello\r\n\r\nevent: line\r\nid: 7\r\ndata: {"a":\r\ndata:  "é🌍"}\r\n\r\n'
    "event: nothing\n\ndata: plain\n\nid: 8\revent: end\rdata:{}\r\r"
).encode()
EVENTS = [Event("line", '{"a":\n "é🌍"}', "7"), Event("message", "plain", "7"), Event("end", "{}", "8")]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_the_cuts_make_no_difference(size: int) -> None:
    decoder = EventDecoder()
    pieces = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    # A CR at the very end may be half of a line's end, so something has to follow it.
    assert [event for piece in [*pieces, b":"] for event in decoder.feed(piece)] == EVENTS


def test_an_event_without_its_end_is_none() -> None:
    assert EventDecoder().feed(b"event: line\ndata: {}\n") == []


def test_what_is_followed_tells_items_gaps_and_the_end() -> None:
    state = Followed("line", "lines")
    assert state.feed(b'id: 3\nevent: line\ndata: {"number":3}\n\nevent: gap\ndata: {"lines":5}\n\n') == [{"number": 3}]
    assert (state.last_event_id, state.missed, state.is_over) == (3, 5, False)
    assert (
        state.feed(b'event: new\ndata: {}\n\nevent: end\ndata: {"reason":"removed"}\n\nevent: line\ndata: {}\n\n') == []
    )
    assert (state.end_reason, state.is_over) == ("removed", True)
    state.finish()


def test_a_stream_that_stops_is_no_end() -> None:
    state = Followed("line", "lines")
    state.feed(b'event: line\ndata: {"number":3}\n\n')
    with pytest.raises(ConnectionError) as caught:
        state.finish()
    assert not caught.value.is_retryable


def test_the_end_of_a_key_is_an_error() -> None:
    state = Followed("line", "lines")
    state.feed(b'event: end\ndata: {"reason":"revoked_key"}\n\n')
    with pytest.raises(AuthenticationError) as caught:
        state.finish()
    assert caught.value.code == "revoked_key"


@pytest.mark.parametrize("data", [b"{", b"[1]", b"1"])
def test_an_event_that_is_no_object_is_an_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Followed("line", "lines").feed(b"event: line\ndata: " + data + b"\n\n")


def test_a_question_has_its_answer_without_the_name_of_the_event() -> None:
    state = Asked()
    found = state.feed(b'event: token\ndata: {"text":"a"}\n\nevent: final\ndata: {"type":"final","result":"a"}\n\n')
    assert found == [{"type": "token", "text": "a"}, {"type": "final", "result": "a"}]
    assert state.answer == {"result": "a"}
    state.finish()


def test_a_question_that_fails_raises_what_the_event_says() -> None:
    state = Asked()
    state.request_id = "req_1"
    assert state.feed(b'event: error\ndata: {"type":"error","error":"it broke","code":"llm_error"}\n\n') == []
    assert state.is_over
    with pytest.raises(ServerFailedError) as caught:
        state.finish()
    assert (caught.value.message, caught.value.status, caught.value.request_id) == ("it broke", None, "req_1")
