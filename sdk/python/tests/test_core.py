"""Requests as they are sent and answers as they are read, without a connection."""

import json
import time
from email.utils import formatdate

import httpx
import pytest

import mcpvisor
from mcpvisor import _operations as ops
from mcpvisor._answers import answer_of, seconds_of
from mcpvisor._config import config_of, segment
from mcpvisor._lost import error_of_transport
from mcpvisor._requests import Clock, Operation, request_arguments

CONFIG = config_of("http://host:1/base/", "key", 60, 2, {"X-Trace": "1"})


def sent(operation: Operation) -> dict:
    return dict(request_arguments(operation, CONFIG, Clock(operation, CONFIG)))


def read(status: int, body: object, headers: dict | None = None, *, enveloped: bool = True):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer_of(status, httpx.Headers(headers or {}), content, enveloped=enveloped)


@pytest.mark.parametrize("address", ["", "host:1", "ftp://host", "http://", "http://host?x", "http://host#x", "/path"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        config_of(address, None, 60, 2, None)


@pytest.mark.parametrize("key", ["pk_a blank", "pk_at_end\n", "pk_ümlaut"])
def test_a_key_that_cannot_be_one_is_refused_without_being_told(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as caught:
        config_of("http://host", key, 60, 2, None)
    assert key.strip() not in str(caught.value)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_time_that_cannot_be_waited_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        config_of("http://host", None, timeout, 2, None)
    with pytest.raises(ValueError, match="timeout"):
        ops.invoke("m", "t", None, timeout, None, None, lambda result: result)


@pytest.mark.parametrize("key", ["", "a blank", "at_end\n", "ümlaut", "x" * 256])
def test_an_idempotency_key_that_the_daemon_refuses_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="idempotency_key"):
        ops.invoke("m", "t", None, None, None, key, lambda result: result)


@pytest.mark.parametrize("key", ["!", "~" * 255])
def test_an_idempotency_key_is_a_header(key: str) -> None:
    assert sent(ops.invoke("m", "t", None, None, None, key, lambda result: result))["headers"]["idempotency-key"] == key


@pytest.mark.parametrize(("headers", "replayed"), [({"Idempotent-Replayed": "true"}, True), ({}, False)])
def test_a_result_says_whether_it_is_a_replay(headers: dict, replayed: bool) -> None:
    operation = ops.invoke("m", "t", None, None, None, "once", lambda result: result)
    body = {"success": True, "data": {"result": 1, "metadata": {}}}
    assert operation.read(read(200, body, headers)).replayed is replayed


def test_the_address_is_taken_with_and_without_the_version() -> None:
    for address in (
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com/v1",
        "https://api.example.com/v1/",
    ):
        assert config_of(address, None, 60, 2, None).base_url == "https://api.example.com"


def test_the_key_is_not_in_what_a_configuration_shows() -> None:
    assert "secret" not in repr(config_of("http://host", "secret", 60, 2, None))


def test_the_environment_has_the_key_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCPVISOR_API_KEY", "from_environment")
    assert config_of("http://host", None, 60, 2, None).api_key == "from_environment"
    assert config_of("http://host", "given", 60, 2, None).api_key == "given"
    assert config_of("http://host", "", 60, 2, None).api_key is None


def test_names_are_escaped_whole_and_what_is_no_name_is_refused() -> None:
    assert segment("a/b c?#ü%2F+") == "a%2Fb%20c%3F%23%C3%BC%252F%2B"
    for name in ("", ".", ".."):
        with pytest.raises(ValueError, match="name"):
            segment(name)


def test_a_call_is_sent_with_its_deadline_and_nothing_that_was_not_given() -> None:
    request = sent(ops.invoke("demo", "add", {"n": 2**64, "t": "é"}, 1.5, None, None, lambda result: result))
    assert (request["method"], request["url"]) == ("POST", "http://host:1/base/v1/mcp/invoke")
    body = json.loads(request["content"])
    assert body.pop("timeout") in range(1400, 1501)
    assert body == {"mcp_id": "demo", "tool": "add", "arguments": {"n": 2**64, "t": "é"}}
    assert request["headers"] == {"content-type": "application/json"}
    assert 3.0 < request["timeout"].read <= 3.5


def test_every_request_has_the_key_the_user_agent_and_what_the_caller_adds() -> None:
    assert CONFIG.headers["authorization"] == "Bearer key"
    assert CONFIG.headers["x-trace"] == "1"
    assert CONFIG.headers["user-agent"] == f"mcpvisor-python/{mcpvisor.__version__}"


def test_a_value_that_is_no_json_is_refused_before_anything_is_sent() -> None:
    for value in (float("nan"), float("inf"), object()):
        with pytest.raises((ValueError, TypeError)):
            sent(ops.invoke("demo", "add", {"n": value}, None, None, None, lambda result: result))


def test_a_query_has_what_was_given_only() -> None:
    request = sent(ops.get(dict, "/v1/usage", {"period": None, "by": ["key", "tool"], "follow": True, "limit": 5}))
    assert request["url"] == "http://host:1/base/v1/usage?by=key%2Ctool&follow=true&limit=5"


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff", b"[" * 100_000, [], 1, "text", None, {}, {"success": True}],
)
def test_a_success_of_another_shape_is_protocol(body: object) -> None:
    with pytest.raises(mcpvisor.ProtocolError):
        read(200, body)


@pytest.mark.parametrize("data", [[], None, 1, {}, {"metadata": {}}, {"result": 1, "content": "no list"}])
def test_a_call_without_its_result_is_protocol(data: object) -> None:
    operation = ops.invoke("m", "t", None, None, None, None, lambda result: result)
    with pytest.raises(mcpvisor.ProtocolError):
        operation.read(read(200, {"success": True, "data": data}))


def test_a_result_is_given_to_who_wants_it_otherwise() -> None:
    operation = ops.invoke("m", "t", None, None, None, None, str)
    assert operation.read(read(200, {"success": True, "data": {"result": 42}})).result == "42"


@pytest.mark.parametrize(
    "place",
    [
        None,
        {},
        {"page": 1, "per_page": "x", "total": 0, "total_pages": 0},
        {"page": True, "per_page": 1, "total": 0, "total_pages": 0},
    ],
)
def test_a_page_without_its_place_is_protocol(place: object) -> None:
    with pytest.raises(mcpvisor.ProtocolError):
        ops.page(dict, "/v1/mcps", 1, 20, {}).read(read(200, {"success": True, "data": [], "pagination": place}))


def test_both_shapes_of_an_error_are_read() -> None:
    body = {"success": False, "error": {"code": "not_found", "message": "MCP not found", "details": {"a": 1}}}
    with pytest.raises(mcpvisor.NotFoundError) as caught:
        read(404, body, {"X-Request-Id": "req_1"})
    assert (caught.value.message, caught.value.details, caught.value.request_id) == ("MCP not found", {"a": 1}, "req_1")
    with pytest.raises(mcpvisor.NotFoundError) as caught:
        read(404, {"error": "Server 'x' not found", "available_servers": ["a"]}, enveloped=False)
    assert (caught.value.code, caught.value.details) == (None, {"available_servers": ["a"]})


def test_a_failure_that_says_success_false_is_one_whatever_its_status() -> None:
    with pytest.raises(mcpvisor.InternalError):
        read(200, {"success": False, "error": {"code": "internal_error", "message": "no"}})


@pytest.mark.parametrize("body", [{"error": 7}, {"error": None}, {"detail": "x"}, {"error": {}}, {"error": ["x"]}])
def test_json_of_somebody_else_is_no_error_of_json(body: object) -> None:
    with pytest.raises(mcpvisor.ServerFailedError) as caught:
        read(502, body)
    assert (caught.value.phase, caught.value.is_retryable) == ("unknown", False)


def test_retry_after_is_seconds_or_a_date() -> None:
    now = time.time()
    assert [seconds_of(text, now) for text in (None, "soon", "", "-1", "1.5", "nan")] == [None] * 6
    assert seconds_of(" 7 ", now) == 7.0
    assert 8 < (seconds_of(formatdate(now + 10, usegmt=True), now) or 0) <= 10
    assert seconds_of("Thu, 01 Jan 1970 00:00:00 GMT", now) == 0.0
    assert (seconds_of("9" * 5000, now) or 0) > 1e9


@pytest.mark.parametrize(
    ("problem", "answered", "kind", "phase", "retryable"),
    [
        (httpx.ConnectError("refused"), False, "Connection", "not_sent", True),
        (httpx.ConnectTimeout("slow"), False, "Connection", "not_sent", True),
        (httpx.PoolTimeout("full"), False, "Timeout", "not_sent", True),
        (httpx.ReadTimeout("slow"), False, "Timeout", "unknown", False),
        (httpx.WriteTimeout("slow"), False, "Timeout", "unknown", False),
        (httpx.ReadError("reset"), False, "Connection", "unknown", False),
        (httpx.WriteError("pipe"), False, "Connection", "unknown", False),
        (
            httpx.RemoteProtocolError("Server disconnected without sending a response."),
            False,
            "Connection",
            "unknown",
            False,
        ),
        (httpx.RemoteProtocolError("illegal status line"), False, "Protocol", "unknown", False),
        (httpx.RemoteProtocolError("peer closed"), True, "Protocol", "unknown", False),
        (httpx.DecodingError("gzip"), True, "Protocol", "unknown", False),
    ],
)
def test_a_lost_call_is_what_it_is_known_to_be(problem, answered, kind, phase, retryable) -> None:
    operation = ops.act(dict, "POST", "/v1/x")
    error = error_of_transport(problem, Clock(operation, CONFIG), answered=answered, reads_only=False)
    assert (error.kind, error.phase, error.is_retryable, error.fault) == (kind, phase, retryable, "network")


def test_what_only_reads_may_be_sent_again_when_it_is_lost() -> None:
    clock = Clock(ops.get(dict, "/v1/x"), CONFIG)
    for answered in (False, True):
        error = error_of_transport(httpx.ReadError("reset"), clock, answered=answered, reads_only=True)
        assert error.is_retryable
