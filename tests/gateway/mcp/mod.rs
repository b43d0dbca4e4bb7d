//! MCP over HTTP, at `/mcp/{server}`, groups and `/mcp`: clients of both eras in front of servers of both, over real sockets.

mod admission;
mod bridge;
mod crashes;
mod eras;
mod groups;
mod listening;
mod oidc;
mod questions;
mod refusals;
mod rmcp_client;
mod sessions;
mod several;
mod streams;
mod traces;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::mcp::modern;
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

/// The servers of [`world`], by the era that they speak.
const SERVERS: [&str; 2] = ["legacy", "modern"];

/// A server of each era that converses.
async fn world(config: &str) -> Gateway {
    let gateway = servers(&[]).config_toml(config).start().await;
    for server in SERVERS {
        gateway.wait_state(server, "ready").await;
    }
    gateway
}

/// The same with further flags, to be started.
fn servers(flags: &[&str]) -> TestGateway {
    let of = |era: &str| fake(&[&["--converse", "--era", era], flags].concat());
    TestGateway::new().server("legacy", of("legacy")).server("modern", of("modern"))
}

/// What the server has seen, as it says itself.
async fn stats(gateway: &Gateway, server: &str) -> Value {
    modern(gateway, server).told("stats", json!({})).await
}

/// Waits until so many calls are under way in a server.
async fn in_flight(gateway: &Gateway, server: &str, count: usize) {
    wait_until(&format!("{count} calls are under way"), DEADLINE, || async {
        (stats(gateway, server).await["in_flight"] == count).then_some(())
    })
    .await;
}

/// Waits until so many requests of a server were cancelled.
async fn cancelled(gateway: &Gateway, server: &str, count: usize) {
    wait_until(&format!("{count} requests were cancelled"), DEADLINE, || async {
        let told = stats(gateway, server).await;
        (told["cancelled"].as_array().expect("a list").len() == count).then_some(())
    })
    .await;
}

/// Kills a server's process, and waits until another one is ready.
async fn kill(gateway: &Gateway, server: &str) {
    let before = child(gateway, server).await;
    before.kill();
    another(gateway, server, before).await;
}

/// The process of a server.
async fn child(gateway: &Gateway, server: &str) -> Process {
    Process::of(modern(gateway, server).told("pid", json!({})).await["pid"].as_i64().expect("a number"))
}

/// Waits until another process than this is ready.
async fn another(gateway: &Gateway, server: &str, before: Process) {
    wait_until("another process serves", DEADLINE, || async {
        let told = modern(gateway, server).call("pid", json!({})).last().await;
        let pid = told["result"]["structuredContent"]["pid"].as_i64()?;
        (pid != i64::from(before.pid)).then_some(())
    })
    .await;
}

/// A question for a form.
pub(crate) fn form(message: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    json!({"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}})
}

/// A question for a sample.
fn sample(text: &str) -> Value {
    let message = json!({"role": "user", "content": {"type": "text", "text": text}});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": 16}})
}

/// An answer to [`form`].
pub(crate) fn accept(name: &str) -> Value {
    json!({"action": "accept", "content": {"name": name}})
}

/// An answer to [`sample`].
pub(crate) fn sampled(text: &str) -> Value {
    json!({"role": "assistant", "model": "test", "content": {"type": "text", "text": text}})
}

/// What a client declares that can be asked both.
pub(crate) fn both() -> Value {
    json!({"elicitation": {}, "sampling": {}})
}
