//! What belongs to MCP over HTTP: its headers change nothing on the routes of the other dialects, its endpoints are
//! those of servers, and sessions that are over leave nothing (D57, D60). The rest is in `crate::mcp`.

use std::collections::HashSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::serving;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE};
use crate::support::http::Reply;
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// As specified, as nobody would have them, and for another request than the one they come with.
const HEADERS: [&[(&str, &str)]; 6] = [
    &[("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "echo")],
    &[("mcp-protocol-version", "1999-01-01"), ("mcp-method", "initialize")],
    &[("mcp-name", "=?base64?ZWNobw==?="), ("mcp-param-nonce", "=?base64?!?=")],
    &[("mcp-session-id", "no such session"), ("last-event-id", "-1")],
    &[("mcp-method", ""), ("mcp-method", "tools/list"), ("mcp-name", "\t")],
    &[("mcp-protocol-version", "2026-07-28"), ("accept", "text/event-stream")],
];

/// Sends a request and returns what is to be the same each time.
async fn exchange(gateway: &Gateway, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
    let mut request = ask(gateway, method, path);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if method == "POST" {
        request = request.json(json!({"mcp_id": "fake", "tool": "meta", "arguments": {}}).to_string());
    }
    let reply: Reply = request.send().await;
    assert!(!reply.headers.keys().any(|name| name.as_str().starts_with("mcp-")), "{:?}", reply.headers);
    let mut body = reply.json();
    // How long it took and which process it was is another matter each time.
    for of_the_moment in ["metadata", "stats", "traffic"] {
        if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
            data.remove(of_the_moment);
        }
    }
    if let Some(token) = body.pointer_mut("/data/result/progressToken") {
        *token = Value::Null;
    }
    if let Some(content) = body.pointer_mut("/data/content") {
        *content = Value::Null;
    }
    (reply.status, body)
}

#[tokio::test]
async fn headers_of_mcp_change_nothing_on_the_other_routes() {
    let gateway = serving("").await;
    // Which is written down a moment after the server is ready.
    wait_until("the tools are pinned", DEADLINE, || async {
        let tools = gateway.server("fake").await["tools"].clone();
        tools.as_array()?.iter().all(|tool| tool["pin"] == "pinned").then_some(())
    })
    .await;
    for (method, path, status) in [
        ("POST", INVOKE, 200),
        ("GET", "/v1/mcps/fake", 200),
        ("GET", "/v1/nowhere", 404),
        ("GET", "/api/servers/other", 200),
        ("GET", "/healthz", 200),
    ] {
        let plain = exchange(&gateway, method, path, &[]).await;
        assert_eq!(plain.0, status, "{path}: {}", plain.1);
        for headers in HEADERS {
            assert_eq!(exchange(&gateway, method, path, headers).await, plain, "{path} {headers:?}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_server_has_no_endpoint_of_mcp() {
    let gateway = serving("").await;
    for (method, path) in [
        ("POST", "/mcp/fake/more"),
        ("GET", "/mcp/fake/more"),
        ("DELETE", "/mcp/fake/more"),
        ("POST", "/mcp/nobody"),
        ("POST", "/mcp/%ff"),
    ] {
        let request = ask(&gateway, method, path).with_key();
        let request = if method == "POST" { request.json(hello().to_string()) } else { request };
        let reply = request.header("accept", "application/json, text/event-stream").send().await;
        assert_eq!(reply.expect(404)["error"]["code"], 404, "{method} {path}");
        assert!(!reply.headers.contains_key("mcp-session-id"), "{method} {path}");
    }
    for method in ["PUT", "PATCH"] {
        let reply = ask(&gateway, method, "/mcp/fake").with_key().json("{}").send().await;
        reply.expect(405);
        assert!(reply.headers.contains_key("allow"), "{:?}", reply.headers);
    }
    gateway.stop().await;
}

fn hello() -> Value {
    json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    })
}

#[tokio::test]
async fn a_thousand_sessions_opened_and_ended_leave_nothing_behind() {
    let gateway = serving("").await;
    let mut connection = gateway.connect().await;
    let mut before = Usage::of(gateway.pid());
    let mut ids = HashSet::new();
    // The first half fills what is filled once.
    for number in 0..2_000 {
        if number == 1_000 {
            before = Usage::of(gateway.pid());
        }
        let opened = connection.send("POST", "/mcp/fake", Some(&hello())).await.expect("an answer");
        assert_eq!(opened.expect(200)["result"]["protocolVersion"], "2025-11-25");
        let id = opened.headers["mcp-session-id"].to_str().expect("visible ASCII").to_owned();
        let named = [("mcp-session-id", id.as_str())];
        let ended = connection.send_bytes("DELETE", "/mcp/fake", &named, Bytes::new()).await;
        assert_eq!(ended.expect("an answer").status, 204);
        assert!(ids.insert(id), "an id that was there before");
    }
    let after = Usage::of(gateway.pid());
    println!("1,000 sessions: memory {} KiB before and {} KiB after", before.resident, after.resident);
    assert!(after.resident < before.resident + 4096, "{before:?} {after:?}");
    assert!(after.files <= before.files && after.threads <= before.threads + 2, "{before:?} {after:?}");
    // The child never heard of them: it was introduced to the gateway once.
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["client"]["clientInfo"]["name"], "mcpvisor", "{stats}");
    let greeted = stats["notifications"].as_array().expect("a list").iter();
    assert_eq!(greeted.filter(|one| one["method"] == "notifications/initialized").count(), 1, "{stats}");
    gateway.stop().await;
}
