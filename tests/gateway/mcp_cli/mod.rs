//! `/api`, the MCP CLI dialect (`docs/http-api.md`, M3 to M5 and M7).

mod changes;
mod config_files;
mod texts;

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::Gateway;
use crate::support::http::Reply;
use crate::support::processes::Process;

const SERVERS: &str = "/api/servers";

/// A definition that no process comes of.
fn idle() -> Value {
    json!({"command": "/no/such/program-of-the-test"})
}

async fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Reply {
    ask(gateway, method, path).json(body.to_string()).send().await
}

async fn get(gateway: &Gateway, path: &str) -> Reply {
    ask(gateway, "GET", path).send().await
}

/// Makes a server of a definition.
async fn add(gateway: &Gateway, name: &str, mut definition: Value) -> Reply {
    definition["name"] = name.into();
    send(gateway, "POST", SERVERS, &definition).await
}

async fn child_of(gateway: &Gateway, server: &str) -> Process {
    gateway.child(server).await
}
