//! Servers that are elsewhere: the daemon before a server in this process whose every answer is scripted. The rules that
//! are cited are those of `remote-upstreams.md`.

mod addresses;
mod answers;
mod conversing;
mod credentials;
mod edits;
mod encrypted;
mod failures;
pub(crate) mod logins;
mod opening;
mod sessions;
mod sse;
mod streams;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, INVOKE, TestGateway};
use crate::support::http::Reply;
use crate::support::scripted_http::{ScriptedHttp, Way};
use crate::support::{DEADLINE, wait_until};

/// The server of most tests.
const FAR: &str = "far";

/// A server of this way and a daemon that has opened it as `far`.
async fn ready(way: Way) -> (ScriptedHttp, Gateway) {
    let server = ScriptedHttp::start(way).await;
    let gateway = opened(&server).await;
    (server, gateway)
}

/// A daemon that has opened this server as `far`.
async fn opened(server: &ScriptedHttp) -> Gateway {
    with_definition(server.definition()).await
}

/// A daemon that has opened the server of this definition as `far`.
async fn with_definition(definition: Value) -> Gateway {
    let gateway = TestGateway::new().server(FAR, definition).start().await;
    gateway.wait_state(FAR, "ready").await;
    gateway
}

/// A daemon that has tried the server of this definition; what it says of it in this state.
async fn tried(definition: Value, state: &str) -> (Gateway, Value) {
    let gateway = TestGateway::new().server(FAR, definition).start().await;
    let seen = gateway.wait_state(FAR, state).await;
    (gateway, seen)
}

/// The reason why a server does not serve.
fn cause(seen: &Value) -> &str {
    seen["cause"].as_str().unwrap_or_else(|| panic!("no cause: {seen}"))
}

/// Calls `echo`, which is to succeed.
async fn echo(gateway: &Gateway, nonce: impl Into<Value>) {
    let nonce = nonce.into();
    assert_eq!(gateway.call(FAR, "echo", json!({"nonce": nonce})).await["nonce"], nonce);
}

/// Calls a tool, which is to fail so; returns the error.
async fn refused(gateway: &Gateway, tool: &str, status: u16, code: &str) -> Value {
    let told = gateway.v1_invoke(FAR, tool, json!({"nonce": 0})).await.expect(status);
    assert_eq!(told["error"]["code"], code, "{told}");
    told["error"].clone()
}

/// Calls `echo`, which nobody answers as they should; what is not known is whether it was carried out.
async fn unknown(gateway: &Gateway) -> Value {
    let error = refused(gateway, "echo", 502, "mcp_unreachable").await;
    assert_eq!(error["details"]["phase"], "in_flight", "{error}");
    error
}

/// Calls `echo`, which has provably not been begun.
async fn unseen(gateway: &Gateway) -> Value {
    let error = refused(gateway, "echo", 502, "mcp_unreachable").await;
    assert_eq!(error["details"]["phase"], "not_sent", "{error}");
    error
}

/// Calls a tool so often at once, each with a number; the answers in no order.
async fn at_once(gateway: &Gateway, tool: &'static str, count: u64) -> JoinSet<Reply> {
    let mut calls = JoinSet::new();
    for number in 0..count {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": FAR, "tool": tool, "arguments": {"nonce": number}, "timeout": 60_000});
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    calls
}

/// Waits until a server was opened so many times.
async fn wait_opened(server: &ScriptedHttp, times: usize) {
    server.wait_count("notifications/initialized", times).await;
}

/// Waits until what is said of the server is as it should be.
async fn wait_seen(gateway: &Gateway, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    wait_until(what, DEADLINE, || async {
        let seen = gateway.server(FAR).await;
        is_so(&seen).then_some(seen)
    })
    .await
}
