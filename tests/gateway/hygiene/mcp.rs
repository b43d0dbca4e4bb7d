//! What belongs to MCP over HTTP, of which nothing is served yet: its headers change nothing on the
//! routes that there are, and its endpoint is not there and keeps nothing (D57, D60).

use serde_json::{Value, json};

use super::serving;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE};
use crate::support::http::Reply;
use crate::support::usage::Usage;

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
async fn headers_of_mcp_change_nothing_on_the_routes_that_there_are() {
    let gateway = serving("").await;
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
async fn there_is_no_mcp_endpoint_and_a_thousand_handshakes_leave_nothing_behind() {
    let gateway = serving("").await;
    let hello = json!({
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
    });
    for (method, path) in [("POST", "/mcp"), ("GET", "/mcp"), ("DELETE", "/mcp"), ("POST", "/mcp/fake")] {
        let request = ask(&gateway, method, path).with_key();
        let request = if method == "POST" { request.json(hello.to_string()) } else { request };
        let reply = request.header("accept", "application/json, text/event-stream").send().await;
        assert!(reply.expect(404)["error"].is_string(), "{method} {path}");
        assert!(!reply.headers.contains_key("mcp-session-id"), "{method} {path}");
    }
    let mut connection = gateway.connect().await;
    let mut before = Usage::of(gateway.pid());
    // The first half fills what is filled once.
    for number in 0..2_000 {
        if number == 1_000 {
            before = Usage::of(gateway.pid());
        }
        connection.send("POST", "/mcp", Some(&hello)).await.expect("an answer").expect(404);
    }
    let after = Usage::of(gateway.pid());
    println!("1,000 introductions: memory {} KiB before and {} KiB after", before.resident, after.resident);
    assert!(after.resident < before.resident + 4096, "{before:?} {after:?}");
    assert!(after.files <= before.files && after.threads <= before.threads + 2, "{before:?} {after:?}");
    gateway.stop().await;
}
