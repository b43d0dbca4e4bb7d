//! `/v1`, the PlexMCP dialect: requests, results and every error it can give (`docs/http-api.md`, P2, P4 and P7 to
//! P11).

mod calls;
mod failures;
mod idempotency;
mod keychange;
mod keys;
mod limits;
mod listing;
mod members;
mod organization;
mod strictness;
mod usage;

use serde_json::Value;

use crate::support::ask::{Ask, ask};
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::Reply;

const RESOURCES: &str = "/v1/mcp/resources";

/// One server named `fake`, ready.
async fn serving(flags: &[&str]) -> Gateway {
    let gateway = TestGateway::new().server("fake", fake(flags)).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway
}

fn post<'a>(gateway: &'a Gateway, path: &'a str, body: &Value) -> Ask<'a> {
    ask(gateway, "POST", path).json(body.to_string())
}

async fn invoke(gateway: &Gateway, body: Value) -> Reply {
    post(gateway, INVOKE, &body).send().await
}

async fn resources(gateway: &Gateway, body: Value) -> Reply {
    post(gateway, RESOURCES, &body).send().await
}

/// The answer's error, after its status and code were what they should be.
fn error(reply: &Reply, status: u16, code: &str) -> Value {
    let body = reply.expect(status);
    assert_eq!(body["error"]["code"], code, "{body}");
    body["error"].clone()
}

/// An error that names exactly these fields.
fn names_fields(reply: &Reply, fields: &[&str], what: &str) {
    let error = error(reply, 400, "invalid_request");
    let details = error["details"].as_object().unwrap_or_else(|| panic!("{what}: {error}"));
    let mut named: Vec<&str> = details.keys().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(named, fields, "{what}: {error}");
    assert!(details.values().all(|reason| reason.as_str().is_some_and(|text| !text.is_empty())), "{error}");
}
