"""Calls of tools and reads of resources at a real daemon: values, deadlines, and leaving."""

from __future__ import annotations

import threading
from pathlib import Path

import servers
from harness import Answer, Case, check, equal, eventually
from stand_in import StandIn, answer, data, silence
from table import promise

GROUP = "calls"


def executions(case: Case) -> int:
    """How many calls the server that counts has carried out."""
    path: Path = case.daemon.directory / "count"
    return path.stat().st_size if path.exists() else 0


@promise(GROUP, "a call answers with the result, the blocks, whom it was about, and the id of its request")
def whole_result(case: Case) -> None:
    value = case.invoke("fake", "echo", {"text": "hello"}).value
    equal(value["result"], {"text": "hello"}, "result")
    equal(value["content"], [{"type": "text", "text": "hello"}], "content")
    equal(value["metadata"]["tool"], "echo", "tool")
    equal(
        value["metadata"]["mcp_id"],
        case.daemon.v1("GET", "/mcps/fake")["id"],
        "id of the MCP that was called by its name",
    )
    check(value["request_id"].startswith("req_"), "the id of the request")
    check(case.daemon.calls(tool="echo")[0]["request_id"] == value["request_id"], "the daemon knows it by the same id")


@promise(GROUP, "a call by the id of an MCP is one by its name")
def by_id(case: Case) -> None:
    mcp_id = case.daemon.v1("GET", "/mcps/fake")["id"]
    equal(case.invoke(mcp_id, "echo", {"text": "a"}).value["result"], {"text": "a"}, "result")


@promise(GROUP, "a call is carried out once")
def carried_out_once(case: Case) -> None:
    before = executions(case)
    case.client(max_retries=3)
    case.invoke("count", "echo").succeeds()
    case.invoke("count", "fail").fails_as("ToolFailed")
    case.invoke("count", "error").fails_as("ServerFailed")
    equal(executions(case) - before, 3, "executions")


@promise(GROUP, "results of every type of JSON come as they are: null, false, 0, empty, and a text alone")
def every_type(case: Case) -> None:
    values: tuple[object, ...] = (None, False, True, 0, -1.5, "", "text", [], {}, [None, {"a": []}])
    for value in values:
        result = {"structuredContent": {"value": value}, "content": []}
        equal(case.invoke("fake", "reply", {"result": result}).value["result"], {"value": value}, "structured content")
    text = {"content": [{"type": "text", "text": "only words"}]}
    equal(case.invoke("fake", "reply", {"result": text}).value["result"], "only words", "a lone text")
    equal(case.invoke("fake", "empty").value["result"], [], "no content at all")


@promise(GROUP, "unicode goes there and back: accents, emoji, both directions, separators of lines, NUL")
def unicode_text(case: Case) -> None:
    text = 'héllo 🌍 👩‍👩‍👧 e\u0301 שלום مرحبا \u2028\u2029 \u0000\u0001\x7f \\ " </script> \ufeff 𝄞 日本語'
    equal(
        case.invoke("fake", "echo", {"text": text, "ключ": text}).value["result"],
        {"text": text, "ключ": text},
        "result",
    )


@promise(GROUP, "names are escaped in paths: blanks, slashes, letters of every kind")
def odd_names(case: Case) -> None:
    equal(case.op("mcps.get", id=servers.ODD_NAME).value["name"], servers.ODD_NAME, "name")
    equal(case.op("api.servers.get", name=servers.ODD_NAME).value["name"], servers.ODD_NAME, "name in /api")
    equal(case.invoke(servers.ODD_NAME, "echo", {"text": "a"}).value["result"], {"text": "a"}, "result")


@promise(GROUP, "numbers of 64 bits lose no digit, there and back")
def numbers(case: Case) -> None:
    sent = {
        "beyond_double": 9007199254740993,
        "most_signed": 9223372036854775807,
        "least_signed": -9223372036854775808,
        "most_unsigned": 18446744073709551615,
        "in_list": [9007199254740993, {"deep": -9007199254740993}],
        "small": 7,
        "fraction": 0.1,
    }
    equal(case.invoke("fake", "echo", sent).value["result"], sent, "result")


@promise(GROUP, "an answer of 15 MB comes whole, and the next call is as good as any")
def large_answer(case: Case) -> None:
    case.client(timeout=120)
    value = case.invoke("fake", "big", {"bytes": 15_000_000}, within=180).value
    check(value["result"] == "b" * 15_000_000, "all 15,000,000 letters")
    equal(case.invoke("fake", "echo", {"text": "after"}).value["result"], {"text": "after"}, "the next call")


@promise(GROUP, "an answer as deep as the daemon gives comes whole")
def deep_answer(case: Case) -> None:
    nested: object = "bottom"
    for _ in range(60):
        nested = [nested]
    equal(case.invoke("fake", "echo", {"nested": nested}).value["result"], {"nested": nested}, "result")


@promise(GROUP, "the context of a call reaches the server")
def context(case: Case) -> None:
    told = {"conversation": "c-1", "n": 9007199254740993}
    meta = case.invoke("fake", "meta", context=told).value["result"]
    equal(meta["plexmcp/context"], told, "context")


@promise(GROUP, "the deadline of a call goes along in milliseconds, and only where one is given")
def deadline_sent(case: Case) -> None:
    with StandIn(rest=data({"result": 1, "metadata": {}, "contents": []})) as stand_in:
        case.client(base_url=stand_in.url)
        case.invoke("m", "t", timeout=1.5).succeeds()
        case.invoke("m", "t").succeeds()
        first, second = (one.json() for one in stand_in.received)
        check(1_000 <= first["timeout"] <= 1_500, f"deadline in ms: {first['timeout']}")
        check(isinstance(first["timeout"], int), "a whole number")
        check(second.get("timeout") is None, f"no deadline was given, {second.get('timeout')} was sent")


@promise(GROUP, "the body of a call has what the reference names and no more")
def body_of_call(case: Case) -> None:
    with StandIn(rest=data({"result": 1, "metadata": {}})) as stand_in:
        case.client(base_url=stand_in.url, api_key="pk_live_example")
        case.invoke("mcp_123", "get_weather", {"location": "San Francisco"}).succeeds()
        received = stand_in.received[0]
        equal(received.method + " " + received.target, "POST /v1/mcp/invoke", "request")
        wanted = {"mcp_id": "mcp_123", "tool": "get_weather", "arguments": {"location": "San Francisco"}}
        equal({name: value for name, value in received.json().items() if value is not None}, wanted, "body")
        equal(received.headers["authorization"], "Bearer pk_live_example", "authorization")
        check(received.headers["content-type"].startswith("application/json"), "content type")
        check(received.headers["user-agent"].startswith("mcpvisor-"), "user agent")
        check("idempotency-key" not in received.headers, "no idempotency key unless the caller gives one")


@promise(GROUP, "leaving cancels the call at the server, at once")
def cancelled_at_server(case: Case) -> None:
    before = case.daemon.invoke("other", "stats")["cancelled"]
    answered = case.invoke("other", "sleep", {"ms": 55000}, cancel_after_ms=400, timeout=58)
    answered.fails_as("Cancelled")
    check(answered.took < 15, f"it took {answered.took} s")
    eventually(lambda: case.daemon.invoke("other", "stats")["cancelled"] > before, "the server was told to cancel")
    eventually(lambda: case.daemon.calls(server="other", outcome="cancelled"), "the daemon says that its caller left")


@promise(GROUP, "leaving before the answer's head closes the connection, and the client goes on as if nothing was")
def cancelled_at_stand_in(case: Case) -> None:
    with StandIn(silence, rest=data({"result": "next", "metadata": {}})) as stand_in:
        case.client(base_url=stand_in.url, max_retries=2)
        case.invoke("m", "t", cancel_after_ms=300).fails_as("Cancelled")
        check(stand_in.left.wait(10), "the client closes the connection")
        equal(case.invoke("m", "t").value["result"], "next", "the next call")
        equal(stand_in.count("POST"), 2, "requests that came")


@promise(GROUP, "leaving during a wait before a repeat ends it: nothing more is sent")
def cancelled_while_waiting(case: Case) -> None:
    refusal = {"success": False, "error": {"code": "rate_limited", "message": "no"}}
    with StandIn(rest=answer(429, refusal, {"retry-after": "10"})) as stand_in:
        case.client(base_url=stand_in.url, timeout=60, max_retries=2)
        answered = case.invoke("m", "t", cancel_after_ms=300)
        answered.fails_as("Cancelled")
        check(answered.took < 9, f"it took {answered.took} s")
        equal(stand_in.count("POST"), 1, "requests that came")


@promise(GROUP, "a key that is revoked in the middle: the call that the server has is answered, the next is refused")
def revoked_in_the_middle(case: Case) -> None:
    key = case.daemon.new_key()
    case.client(api_key=key["key"], max_retries=2)
    equal(case.invoke("quiet", "echo", {"text": "a"}).value["result"], {"text": "a"}, "before")
    release = case.directory / "release"
    answers: list[Answer] = []
    call = threading.Thread(
        target=lambda: answers.append(case.invoke("quiet", "wait_for", {"file": str(release)})), daemon=True
    )
    call.start()
    eventually(lambda: case.daemon.v1("GET", "/mcps/quiet")["traffic"]["in_flight"] == 1, "the server has the call")
    case.daemon.v1("DELETE", f"/api-keys/{key['id']}")
    release.touch()
    call.join(30)
    check(answers, "the call was answered")
    equal(answers[0].value["result"], "it is there", "result")
    case.invoke("quiet", "echo").fails_as("Authentication", code="revoked_key", status=401, is_retryable=False)


@promise(GROUP, "resources are listed and read: texts, and bytes in Base64")
def resources(case: Case) -> None:
    listed = case.op("resources.list", mcp="fake").value
    equal(sorted(one["uri"] for one in listed["contents"]), ["fake://one", "fake://two"], "resources")
    equal([one["uriTemplate"] for one in listed["resource_templates"]], ["fake://item/{name}"], "templates")
    text = case.op("resources.read", mcp="fake", uri="fake://one").value["contents"][0]
    equal((text["text"], text["mimeType"]), ("the first resource", "text/plain"), "a text")
    equal(
        case.op("resources.read", mcp="fake", uri="fake://item/ü").value["contents"][0]["text"],
        "item ü",
        "of a template",
    )
    equal(case.op("resources.read", mcp="fake", uri="fake://blob").value["contents"][0]["blob"], "AAE=", "bytes")


@promise(GROUP, "the address for an MCP SDK is the endpoint of all servers or of one, with the key")
def mcp_url(case: Case) -> None:
    every = case.op("mcp_url").value
    equal(every["url"], f"{case.daemon.url}/mcp", "address of all servers")
    equal(
        {name.lower(): value for name, value in every["headers"].items()}["authorization"],
        f"Bearer {case.daemon.key}",
        "key",
    )
    equal(case.op("mcp_url", server="fake").value["url"], f"{case.daemon.url}/mcp/fake", "address of one")
    odd = case.op("mcp_url", server="a b/ü").value["url"]
    equal(odd, f"{case.daemon.url}/mcp/a%20b%2F%C3%BC", "an odd name")


@promise(GROUP, "a base URL with a slash at its end, and one below a path, are used as they are meant")
def base_urls(case: Case) -> None:
    case.client(base_url=case.daemon.url + "/")
    equal(case.invoke("fake", "echo", {"text": "a"}).value["result"], {"text": "a"}, "with a slash at the end")
    with StandIn(rest=data({"result": 1, "metadata": {}})) as stand_in:
        case.client(base_url=stand_in.url + "/gateway")
        case.invoke("m", "t").succeeds()
        equal(stand_in.received[0].target, "/gateway/v1/mcp/invoke", "path behind a proxy")
