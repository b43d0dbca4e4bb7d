//! What is no request of either era, or not a whole one, is refused with the code that its era has for it.

use serde_json::{Value, json};

use super::{SERVERS, stats, world};
use crate::support::ask::ask;
use crate::support::http::Connection;
use crate::support::mcp::{LEGACY, MODERN, OURS, Post, Session, coded, hello, modern};

#[tokio::test]
async fn an_envelope_or_header_that_is_missing_or_wrong_has_its_own_code() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let call = || client.call("echo", json!({"nonce": 1})).id("same");
    let ours = |name: &str| format!("{OURS}{name}");
    let cases: Vec<(&str, Post<'_>, u16, i64)> = vec![
        ("no version in _meta", call().without_meta("protocolVersion"), 400, -32602),
        ("no capabilities in _meta", call().without_meta("clientCapabilities"), 400, -32602),
        ("a version that is no text", call().meta(&ours("protocolVersion"), 20260728), 400, -32602),
        ("capabilities that are no object", call().meta(&ours("clientCapabilities"), "all"), 400, -32602),
        ("a client that is no object", call().meta(&ours("clientInfo"), "me"), 400, -32602),
        ("a level that there is not", call().meta(&ours("logLevel"), "loud"), 400, -32602),
        ("no _meta at all", call().param("_meta", json!({})), 400, -32602),
        ("no header of the version", call().without("mcp-protocol-version"), 400, -32020),
        ("another version in the header", call().header("mcp-protocol-version", LEGACY), 400, -32020),
        ("no method in a header", call().without("mcp-method"), 400, -32020),
        ("another method in the header", call().header("mcp-method", "tools/list"), 400, -32020),
        ("a method in capitals", call().header("mcp-method", "Tools/Call"), 400, -32020),
        ("no name in a header", call().without("mcp-name"), 400, -32020),
        ("another name in the header", call().header("mcp-name", "sleep"), 400, -32020),
        ("a name in base64 that is none", call().header("mcp-name", "=?base64?!?="), 400, -32020),
        ("another name in base64", call().header("mcp-name", &coded("sleep")), 400, -32020),
        (
            "a version that is not spoken",
            call().meta(&ours("protocolVersion"), "2999-01-01").header("mcp-protocol-version", "2999-01-01"),
            400,
            -32022,
        ),
        (
            "a version of the other era",
            call().meta(&ours("protocolVersion"), LEGACY).header("mcp-protocol-version", LEGACY),
            400,
            -32022,
        ),
        ("an unknown method", client.ask("tools/fly", json!({})).id("same"), 404, -32601),
        ("initialize of this era", client.ask("initialize", json!({})).id("same"), 404, -32601),
    ];
    for (what, post, status, code) in cases {
        let told = post.expect(status).await;
        assert_eq!(told["error"]["code"], code, "{what}: {told}");
        assert_eq!(told["id"], "same", "{what}: {told}");
        if code == -32022 {
            assert_eq!(told["error"]["data"]["supported"], json!([MODERN]), "{what}: {told}");
            assert!(told["error"]["data"]["requested"].is_string(), "{what}: {told}");
        }
    }
    assert_eq!(stats(&gateway, "legacy").await["executions"], 1, "nothing of all that reached the child");
    gateway.stop().await;
}

/// A connection keeps what its last request said besides what it asked, and does not read the same again.
#[tokio::test]
async fn what_a_request_says_counts_whatever_the_one_before_it_said() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let mut connection = Connection::open(gateway.address(), &[]).await.expect("a connection");
    let call = || client.call("meta", json!({}));
    let tool = "\"name\":\"meta\"";
    let version = format!("\"{MODERN}\"");
    let (capabilities, last) = ("clientCapabilities\":{}", "\"version\":\"1\"}}");
    let odd: [(&str, Post<'_>, u16, i64); 8] = [
        ("another tool in the body", call().but(tool, "\"name\":\"sleep\""), 400, -32020),
        ("another method in the body", call().but("tools/call", "tools/list"), 400, -32020),
        ("another version in the body", call().but(&version, "\"2999-01-01\""), 400, -32020),
        ("no capabilities", call().but("clientCapabilities", "clientC"), 400, -32602),
        ("capabilities that are a list", call().but(capabilities, "clientCapabilities\":[]"), 400, -32602),
        ("another _meta before it", call().but("\"_meta\"", "\"_meta\":{},\"_meta\""), 200, 0),
        ("another _meta behind it", call().but(last, &format!("{last},\"_meta\":{{}}")), 400, -32602),
        ("no id that can be one", call().but("\"id\":1", "\"id\":{}"), 400, -32600),
    ];
    for (what, post, status, code) in odd {
        for _ in 0..2 {
            let told = call().send_on(&mut connection).await.expect(200);
            let told = &told["result"]["structuredContent"];
            assert_eq!(told[format!("{OURS}clientCapabilities")], json!({}), "before {what}: {told}");
        }
        let told = post.send_on(&mut connection).await.expect(status);
        assert_eq!(told["error"]["code"].as_i64().unwrap_or_default(), code, "{what}: {told}");
    }
    let notice = call().but("\"id\":1,", "").send_on(&mut connection).await;
    assert_eq!(notice.status, 202, "{}", notice.text());
    let more = client.clone().can(json!({"roots": {}}));
    for (asked, expected) in [(&client, json!({})), (&more, json!({"roots": {}})), (&client, json!({}))] {
        let told = asked.call("meta", json!({})).send_on(&mut connection).await.expect(200);
        let told = &told["result"]["structuredContent"];
        assert_eq!(told[format!("{OURS}clientCapabilities")], expected, "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_header_that_names_the_modern_era_makes_a_request_without_envelope_bad() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    session.call("echo", json!({})).header("mcp-protocol-version", MODERN).refused(400, -32602).await;
    // The same of an opening: the header says that its client would not understand what it asks for.
    let opening = hello(&gateway, "legacy", LEGACY, json!({})).header("mcp-protocol-version", MODERN);
    opening.refused(400, -32602).await;
    for version in ["1999-01-01", "x", "2025-11-25 "] {
        let mut answer = session.ask("ping", json!({})).header("mcp-protocol-version", version).send().await;
        answer.of_status(if version.trim() == LEGACY { 200 } else { 400 }).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_in_base64_is_the_name() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let call = client.call("echo", json!({"nonce": 1})).header("mcp-name", &coded("echo"));
        assert_eq!(call.result().await["structuredContent"]["nonce"], 1);
        let (uri, plain) =
            ("fake://item/größe", client.ask("resources/read", json!({"uri": "fake://item/größe"})));
        let read = plain.header("mcp-name", &coded(uri)).result().await;
        assert_eq!(read["contents"][0]["text"], "item größe");
        let spaced = client.call("echo", json!({"nonce": 2})).header("mcp-name", " echo ");
        assert_eq!(spaced.result().await["structuredContent"]["nonce"], 2);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused_and_its_id_never_null() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    let bodies: [(&[u8], i64); 19] = [
        (b"", -32700),
        (b"{", -32700),
        (b"{}{}", -32700),
        (b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",}", -32700),
        (b"\xff\xfe", -32700),
        (b"null", -32600),
        (b"\"ping\"", -32600),
        (b"7", -32600),
        (b"{}", -32600),
        (b"[]", -32600),
        (br#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        (br#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1e3,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":[1],"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":true,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (br#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#, -32600),
    ];
    let client = modern(&gateway, "legacy");
    for (body, code) in bodies {
        for post in [session.ask("ping", json!({})), client.ask("tools/list", json!({}))] {
            let told = post.raw(body).refused(400, code).await;
            assert!(told.get("id").is_none_or(|id| id == 1), "{told} {}", String::from_utf8_lossy(body));
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_is_for_a_session_and_nobody_asks_a_modern_client() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let answer = br#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    client.ask("tools/list", json!({})).raw(&answer[..]).refused(400, -32600).await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    // To nothing that was asked: taken, and dropped.
    for id in [json!(99), json!("x"), json!(-1), json!(u64::MAX)] {
        session.answer(&json!({"id": id}), json!({})).await;
        session.refuse(&json!({"id": id}), -1, "no").await;
    }
    assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_notification_is_taken_without_an_answer_in_either_era() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let session = Session::open(&gateway, "legacy", json!({})).await;
    for method in ["notifications/cancelled", "notifications/roots/list_changed", "notifications/nonsense"] {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": "nobody"}}).to_string();
        let post = client.ask("tools/list", json!({})).without("mcp-method").raw(body);
        let mut answer = post.send().await;
        assert_eq!((answer.status, &*answer.whole().await), (202, ""));
        session.notify(method, json!({"requestId": "nobody"})).await;
    }
    let stats = stats(&gateway, "legacy").await;
    assert_eq!(stats["notification_count"], 1, "the gateway's own initialized: {stats}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_is_for_the_one_version_that_had_them() {
    let gateway = world("").await;
    let batch = json!([
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {"nonce": 1}}},
        {"jsonrpc": "2.0", "method": "notifications/nonsense"},
        {"jsonrpc": "2.0", "id": "two", "method": "nonsense"},
        {"jsonrpc": "2.0", "id": 3, "method": "ping"}
    ])
    .to_string();
    let batched = Session::open_as(&gateway, "legacy", gateway.key(), "2025-03-26", json!({})).await;
    let told = batched.ask("ping", json!({})).raw(batch.clone()).expect(200).await;
    let told = told.as_array().expect("a batch").clone();
    assert_eq!(told.len(), 3, "{told:?}");
    assert_eq!(told[0]["result"]["structuredContent"]["nonce"], 1, "{told:?}");
    assert_eq!((&told[1]["id"], &told[1]["error"]["code"]), (&json!("two"), &json!(-32601)), "{told:?}");
    assert_eq!((&told[2]["id"], &told[2]["result"]), (&json!(3), &json!({})), "{told:?}");
    let silent = r#"[{"jsonrpc":"2.0","method":"notifications/nonsense"}]"#;
    let mut answer = batched.ask("ping", json!({})).raw(silent).send().await;
    assert_eq!((answer.status, &*answer.whole().await), (202, ""));
    for version in ["2024-11-05", "2025-06-18", LEGACY] {
        let session = Session::open_as(&gateway, "legacy", gateway.key(), version, json!({})).await;
        session.ask("ping", json!({})).raw(batch.clone()).refused(400, -32600).await;
    }
    modern(&gateway, "legacy").ask("tools/list", json!({})).raw(batch).refused(400, -32600).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_without_its_session_is_400_and_with_one_that_is_gone_404() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    session.ask("tools/list", json!({})).without("mcp-session-id").refused(400, 400).await;
    session.stream().without("mcp-session-id").refused(405, 405).await;
    session.end().without("mcp-session-id").refused(400, 400).await;
    for id in ["nonsense", "", &"0".repeat(64), &"x".repeat(5000)] {
        for post in [session.ask("tools/list", json!({})), session.stream(), session.end()] {
            post.header("mcp-session-id", id).refused(404, 404).await;
        }
    }
    // Who accepts no stream has none to get, and is told so before anything else.
    session.stream().header("accept", "application/json").refused(405, 405).await;
    let reopened = hello(&gateway, "legacy", LEGACY, json!({})).header("mcp-session-id", &session.id);
    reopened.refused(400, -32600).await;
    assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1, "it is there all the same");
    gateway.stop().await;
}

#[tokio::test]
async fn an_opening_that_says_too_little_opens_nothing() {
    let gateway = world("").await;
    for params in [
        json!({}),
        json!({"protocolVersion": 1}),
        json!({"protocolVersion": LEGACY, "capabilities": []}),
        json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": "me"}),
    ] {
        let message =
            json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string();
        let mut answer = hello(&gateway, "legacy", LEGACY, json!({})).raw(message).send().await;
        let told: Value = serde_json::from_str(&answer.whole().await).expect("JSON");
        assert_eq!(told["error"]["code"], -32602, "{told}");
        assert!(!answer.headers.contains_key("mcp-session-id"), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn whatever_a_client_accepts_it_is_answered() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let session = Session::open(&gateway, "legacy", json!({})).await;
    for accept in ["application/json", "text/event-stream", "*/*", "text/html", "nonsense", ""] {
        for post in [client.call("echo", json!({"nonce": 1})), session.call("echo", json!({"nonce": 1}))] {
            let told = post.header("accept", accept).last().await;
            assert_eq!(told["result"]["structuredContent"]["nonce"], 1, "{accept}: {told}");
        }
    }
    for post in [client.call("echo", json!({"nonce": 1})), session.call("echo", json!({"nonce": 1}))] {
        let told = post.without("accept").last().await;
        assert_eq!(told["result"]["structuredContent"]["nonce"], 1, "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn four_mebibytes_of_arguments_pass_and_more_is_413() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    const LIMIT: usize = 4 * 1024 * 1024;
    let client = modern(&gateway, "modern");
    for (post, body) in [
        (client.call("sleep", json!({"ms": 0})), client.call("sleep", json!({"ms": 0}))),
        (session.call("sleep", json!({"ms": 0})), session.call("sleep", json!({"ms": 0}))),
    ] {
        let fitting = |length: usize| body.clone().padded(length);
        let told = post.clone().raw(fitting(LIMIT)).expect(200).await;
        assert_eq!(told["result"]["content"][0]["text"], "slept", "{told}");
        let told = post.raw(fitting(LIMIT + 1)).refused(413, 413).await;
        assert!(told.get("id").is_none(), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_over_many_lines_reaches_the_child_on_one() {
    let gateway = world("").await;
    for server in SERVERS {
        let nested = json!({"nonce": {"a": [1, 2, {"b": "line\nbreak"}]}, "text": "more\r\nlines"});
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        for post in [client.call("echo", nested.clone()), session.call("echo", nested.clone())] {
            let told = post.pretty().expect(200).await;
            assert_eq!(told["result"]["structuredContent"], nested, "{server}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_elsewhere_is_refused_and_told_in_the_shape_of_the_dialect() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy");
    let session = Session::open(&gateway, "legacy", json!({})).await;
    for post in
        [client.call("echo", json!({})), session.call("echo", json!({})), session.stream(), session.end()]
    {
        let foreign = post.clone().header("origin", "https://evil.example").expect(403).await;
        assert!(foreign["error"]["code"].is_i64(), "{foreign}");
        let rebound = post.header("host", "evil.example").expect(403).await;
        assert!(rebound["error"]["code"].is_i64(), "{rebound}");
    }
    assert_eq!(session.told("stats", json!({})).await["executions"], 1, "nothing of that reached the child");
    let preflight = ask(&gateway, "OPTIONS", "/mcp/legacy").header("origin", "https://evil.example");
    assert_eq!(preflight.header("access-control-request-method", "POST").send().await.status, 403);
    gateway.stop().await;
}
