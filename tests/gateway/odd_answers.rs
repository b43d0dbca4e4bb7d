//! Answers as real servers write them: with ids in other types, with other text on the same line, with bytes and
//! numbers that JSON does not have. `cases/faults-wire.md` K1, K3 and K4.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, with};

/// A legacy server whose tool `say` writes what its argument `line` is, with `$ID` for the request's id, as
/// Latin-1, so that it can be any bytes; `print`, which prints so many bytes before it answers; and `gather`, which
/// waits for `count` calls and answers all of them, each after a line of a build: every eighth with NaN in it, the
/// others behind a progress bar. Its argument says how it writes ids.
pub(crate) const SCRIPT: &str = r#"
import json, sys
kind = sys.argv[1]
def out(text, code="utf-8"): sys.stdout.buffer.write(text.encode(code)); sys.stdout.buffer.flush()
def own(number):
    return {"text": str(number), "point": float(number), "unsigned": number % 2**32,
            "signed": (number + 2**31) % 2**32 - 2**31}.get(kind, number)
def result(number): return {"jsonrpc": "2.0", "id": own(number), "result": {"content": [], "structuredContent": {"id": number}}}
held = []
for line in sys.stdin:
    message = json.loads(line)
    number, method = message.get("id"), message.get("method")
    if number is None: continue
    answer = {"jsonrpc": "2.0", "id": own(number)}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "script", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in ("say", "print", "gather")]}
    elif method == "tools/call":
        given = message["params"]["arguments"]
        token = message["params"].get("_meta", {}).get("progressToken")
        if "line" in given:
            out(given["line"].replace("$ID", str(number)) + "\n", "latin-1")
            continue
        if "count" in given:
            held.append(number)
            if len(held) < given["count"]: continue
            for place, waiting in enumerate(held):
                text = json.dumps(result(waiting))
                out("   Compiling orchard v%d\n" % place)
                out(text.replace('"structuredContent": {', '"n": NaN, "s": {') if place % 8 == 0 else "10%\r100%\r" + text)
                out("\n")
            held.clear()
            continue
        for _ in range(given.get("bytes", 0) // 100): out("x" * 99 + "\n")
        if token is not None:
            out(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress",
                            "params": {"progressToken": own(token), "progress": 1}}) + "\n")
        answer["result"] = {"content": [{"type": "text", "text": "done"}], "structuredContent": {"id": number}}
    else: answer["error"] = {"code": -32601, "message": "Method not found"}
    out(json.dumps(answer) + "\n")
"#;

/// The process that serves.
async fn process(gateway: &Gateway, server: &str) -> Value {
    gateway.server(server).await["supervision"]["pid"].clone()
}

async fn serving(kinds: &[&str]) -> Gateway {
    let mut builder = TestGateway::new();
    for kind in kinds {
        let script = json!({"command": "python3", "args": ["-c", SCRIPT, kind]});
        builder = builder.server(kind, with(script, json!({"era": "legacy"})));
    }
    let gateway = builder.start().await;
    for kind in kinds {
        gateway.wait_state(kind, "ready").await;
    }
    gateway
}

#[tokio::test]
async fn ids_of_any_json_type_match_their_calls_and_count_by_one() {
    let kinds = ["text", "point", "number"];
    let gateway = serving(&kinds).await;
    for kind in kinds {
        let mut before = None;
        for _ in 0..20 {
            let id = gateway.call(kind, "print", json!({})).await["id"].as_u64().expect("an id");
            assert!(before.is_none_or(|before| id == before + 1), "{kind}: {id} after {before:?}");
            before = Some(id);
        }
        assert_eq!(gateway.server(kind).await["output"]["late_replies"], 0, "{kind}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_is_found_beside_other_text_and_bad_utf8_is_mended() {
    let gateway = serving(&["number"]).await;
    let answer = r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"text","text":"T"}]}}"#;
    for (line, text) in [
        (format!("10%\r100%\r{answer}"), "T"),
        (format!("\u{1b}[2K\u{1b}[1G{answer}"), "T"),
        (format!("{answer} took 3 ms"), "T"),
        (format!("[{answer}]"), "T"),
        (answer.replace('T', "caf\u{e9}"), "caf\u{fffd}"),
        (answer.replace('T', "\u{c7}\u{f6}"), "\u{fffd}\u{fffd}"),
    ] {
        let reply = gateway.v1_invoke("number", "say", json!({"line": line})).await.expect(200);
        assert_eq!(reply["data"]["content"][0]["text"], text, "{line}: {reply}");
    }
    gateway.stop().await;
}

/// At once: the calls' own deadline is a minute, and the test's is not.
#[tokio::test]
async fn an_unreadable_answer_fails_only_its_own_call_and_opens_no_breaker() {
    let gateway = serving(&["number"]).await;
    let child = process(&gateway, "number").await;
    let fails = [
        (r#"{"jsonrpc":"2.0","id":$ID,"result":{"structuredContent":{"v":NaN}}}"#, "expected value at byte"),
        (
            r#"{"result":{"structuredContent":{"v":-Infinity}},"jsonrpc":"2.0","id":$ID}"#,
            "invalid number at byte",
        ),
        ("{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":{\"text\":\"a\u{1}b\"}}", "control character"),
        (r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[],}}"#, "key must be a string"),
        (r#"{"jsonrpc":"2.0","id":$ID,"result":{"content":[{"type":"te"#, "EOF"),
    ];
    for (line, reason) in fails.iter().chain(&fails) {
        let body = json!({"mcp_id": "number", "tool": "say", "arguments": {"line": line}, "timeout": 60_000});
        let error = gateway.post(INVOKE, &body).await.expect(502)["error"].clone();
        let message = error["message"].as_str().expect("a text");
        assert_eq!(error["code"], "mcp_error", "{error}");
        assert!(message.contains("not valid JSON") && message.contains(reason), "{line}: {message}");
    }
    gateway.v1_invoke("number", "print", json!({})).await.expect(200);
    assert_eq!(process(&gateway, "number").await, child, "the same child");
    gateway.stop().await;
}

#[tokio::test]
async fn of_64_calls_in_flight_only_those_with_broken_answers_fail_and_at_once() {
    let gateway = serving(&["number"]).await;
    for _ in 0..3 {
        let mut calls = JoinSet::new();
        for _ in 0..64 {
            let mut connection = gateway.connect().await;
            let body =
                json!({"mcp_id": "number", "tool": "gather", "arguments": {"count": 64}, "timeout": 60_000});
            calls.spawn(async move {
                connection.send("POST", INVOKE, Some(&body)).await.expect("an answer").status
            });
        }
        let statuses = calls.join_all().await;
        let answered = |status: u16| statuses.iter().filter(|one| **one == status).count();
        assert_eq!((answered(200), answered(502)), (56, 8));
    }
    let seen = gateway.server("number").await;
    assert_eq!((&seen["state"], &seen["restarts"]), (&json!("ready"), &json!(0)), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_tool_prints_to_stdout_ends_no_server_that_has_answered_before() {
    let gateway = serving(&["number"]).await;
    let child = process(&gateway, "number").await;
    for bytes in [900_000, 1_300_000, 5_000_000] {
        let reply: Value = gateway.v1_invoke("number", "print", json!({"bytes": bytes})).await.expect(200);
        assert_eq!(reply["data"]["content"][0]["text"], "done", "{reply}");
    }
    let seen = gateway.server("number").await;
    assert_eq!((process(&gateway, "number").await, &seen["restarts"]), (child, &json!(0)), "{seen}");
    gateway.stop().await;
}
