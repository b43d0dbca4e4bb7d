//! Every route of `/api`, asked in enough ways that everything that its document describes comes.

use serde_json::json;

use super::Asking;
use crate::query::KEY;
use crate::remotes::logins::Guarded;
use crate::support::gateway::{TestGateway, fake};
use crate::support::llm::{Llm, Turn};

/// What cannot come here, and why.
const EXCEPTIONS: [(&str, &str); 1] = [(
    "ErrorResponse/properties/request_id",
    "only for a defect: src/http/mcp_cli/errors.rs has a test for it",
)];

#[tokio::test]
async fn every_answer_of_api_is_described_and_everything_described_is_answered() {
    let model = Llm::in_turn([
        Turn::failure(400, "Invalid schema for function 'pid': no"),
        Turn::call(&[("echo", "{\"text\": \"x\"}"), ("fly", "{}")]),
        Turn::say("An answer."),
        Turn::call(&[("echo", "{\"text\": \"x\"}")]),
        Turn::say("Another answer."),
        Turn::call(&[("echo", "{\"text\": \"x\"}")]),
        Turn::failure(401, "Incorrect API key provided"),
        Turn::failure(401, "Incorrect API key provided"),
    ])
    .await;
    let guarded = Guarded::start().await;
    let gateway = TestGateway::new()
        .server("guarded", guarded.definition(json!({"type": "login"})))
        .server("fake", fake(&[]))
        .server("off", json!({"command": "true", "disabled": true}))
        .server("broken", json!({"command": "/no/such/program-of-the-test"}))
        .server("remote", json!({"url": "http://127.0.0.1:9/mcp", "headers": {"X-Key": "k"}}))
        .variable("OPENAI_API_KEY", KEY)
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    gateway.wait_state("broken", "failed").await;
    let mut asking = Asking::new(&gateway, "/api/openapi.json").await;
    servers(&mut asking).await;
    gateway.wait_state("guarded", "unauthorized").await;
    logins(&mut asking, &guarded.origin).await;
    questions(&mut asking).await;
    asking.finish(&EXCEPTIONS);
    gateway.stop().await;
}

async fn logins(asking: &mut Asking<'_>, issuer: &str) {
    let (begin, finish) = ("/api/servers/guarded/login", "/api/servers/guarded/login/finish");
    let redirect_uri = json!({"redirect_uri": "http://127.0.0.1:9/callback"});
    asking.ask("POST", begin, Some(json!({"redirect_uri": "https://elsewhere"})), 400).await;
    asking.ask("POST", "/api/servers/nobody/login", Some(redirect_uri.clone()), 404).await;
    asking.ask("POST", "/api/servers/fake/login", Some(redirect_uri.clone()), 409).await;
    let begun = asking.ask("POST", begin, Some(redirect_uri), 200).await;
    asking.ask("POST", finish, Some(json!({"code": "c"})), 400).await;
    asking.ask("POST", finish, Some(json!({"state": "another"})), 409).await;
    let back = json!({"state": begun["state"], "code": "c", "iss": issuer});
    asking.ask("POST", "/api/servers/nobody/login/finish", Some(back.clone()), 404).await;
    asking.ask("POST", finish, Some(back), 200).await;
}

async fn servers(asking: &mut Asking<'_>) {
    asking.ask("GET", "/api/openapi.json", None, 200).await;
    asking.ask("GET", "/api/status", None, 200).await;
    asking.ask("GET", "/api/servers", None, 200).await;
    let new = json!({"name": "new", "command": "/no/such/program", "args": ["a"], "env": {"A": "b"}});
    asking.ask("POST", "/api/servers", Some(new), 200).await;
    asking.ask("POST", "/api/servers", Some(json!({"name": "fake", "command": "x"})), 409).await;
    asking
        .ask("POST", "/api/servers", Some(json!({"name": "y", "command": "x", "args": 5, "env": 5})), 400)
        .await;
    asking.ask("POST", "/api/servers", Some(json!({})), 400).await;
    asking.ask("GET", "/api/servers/new", None, 200).await;
    asking.ask("GET", "/api/servers/remote", None, 200).await;
    asking.ask("GET", "/api/servers/nobody", None, 404).await;
    asking.ask("PUT", "/api/servers/new", Some(json!({"args": []})), 200).await;
    asking.ask("PUT", "/api/servers/nobody", Some(json!({"args": []})), 404).await;
    asking.ask("DELETE", "/api/servers/new", None, 200).await;
    asking.ask("DELETE", "/api/servers/new", None, 404).await;
    asking.ask("DELETE", "/api/servers", None, 405).await;
    asking.ask("GET", "/api/servers/fake/tools?model=gpt-3.5-turbo", None, 200).await;
    asking.ask("GET", "/api/servers/nobody/tools", None, 404).await;
    asking.ask("GET", "/api/servers/off/tools", None, 409).await;
    asking.ask("GET", "/api/servers/broken/tools", None, 500).await;
    asking.ask("POST", "/api/config/export", Some(json!({"filepath": "out.json"})), 200).await;
    asking.ask("POST", "/api/config/import", Some(json!({"filepath": "out.json"})), 200).await;
    asking.ask("POST", "/api/config/import", Some(json!({"filepath": "none.json"})), 404).await;
    asking.ask("POST", "/api/config/export", Some(json!({})), 400).await;
    // Whoever speaks for somebody else is not taken for the daemon's own user, and is told why.
    asking.ask_with(&[("x-forwarded-for", "192.0.2.1")], "GET", "/api/servers", None, 401).await;
    asking.ask_with(&[("authorization", "Bearer x")], "GET", "/api/servers", None, 401).await;
}

async fn questions(asking: &mut Asking<'_>) {
    let question =
        |stream: bool| Some(json!({"server": "fake", "query": "?", "include_steps": true, "stream": stream}));
    asking.ask("POST", "/api/query", question(false), 200).await;
    asking.ask("POST", "/api/query", question(true), 200).await;
    // The model fails after the first event, and before it.
    asking.ask("POST", "/api/query", question(true), 200).await;
    asking.ask("POST", "/api/query", question(true), 500).await;
    asking.ask("POST", "/api/query", Some(json!({"server": "nobody", "query": "?"})), 404).await;
    asking.ask("POST", "/api/query", Some(json!({"query": "?"})), 400).await;
    asking.ask("POST", "/api/query", Some(json!({"server": "off", "query": "?"})), 409).await;
}
