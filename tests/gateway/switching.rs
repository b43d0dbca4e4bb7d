//! Servers that an operator stops, starts, switches off and on (`docs/http-api.md`, P7).

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

async fn switch(gateway: &Gateway, server: &str, step: &str) {
    gateway.post(&format!("/v1/mcps/{server}/{step}"), &json!({})).await.expect(200);
}

/// What the list says of the only server.
async fn listed(gateway: &Gateway) -> Value {
    gateway.get("/v1/mcps").await.expect(200)["data"][0].clone()
}

#[tokio::test]
async fn a_stopped_server_refuses_calls_until_it_is_started_or_the_daemon_is() {
    let mut gateway = TestGateway::new().server("one", fake(&[])).start().await;
    gateway.wait_state("one", "ready").await;
    let before = listed(&gateway).await;
    assert!(before["tools_count"].as_u64().is_some_and(|tools| tools > 0), "{before}");
    assert!(before["since"].is_string() && before["enabled"] == true, "{before}");
    for again in ["start", "restart"] {
        let child = gateway.child("one").await;
        switch(&gateway, "one", "stop").await;
        gateway.wait_state("one", "stopped").await;
        wait_until("its child is gone", DEADLINE, || async { (!child.is_there()).then_some(()) }).await;
        let refused = gateway.v1_invoke("one", "echo", json!({})).await;
        let error = refused.expect(409)["error"].clone();
        assert_eq!(error["code"], "mcp_inactive");
        assert!(error["message"].as_str().is_some_and(|text| text.contains("'one' is stopped")), "{error}");
        assert_eq!(gateway.get("/readyz").await.expect(200)["status"], "ready", "it is as somebody wants it");
        switch(&gateway, "one", again).await;
        gateway.wait_state("one", "ready").await;
        gateway.v1_invoke("one", "echo", json!({})).await.expect(200);
    }
    switch(&gateway, "one", "stop").await;
    gateway.wait_state("one", "stopped").await;
    gateway.terminate().await;
    gateway.restart().await;
    gateway.wait_state("one", "ready").await;
    let audit = gateway.get("/v1/audit?action=server.stop&since=2000-01-01").await.expect(200);
    assert_eq!(audit["data"].as_array().map(Vec::len), Some(3), "{audit}");
    assert_eq!(gateway.get("/v1/audit?until=2000-01-01").await.expect(200)["data"], json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_is_switched_off_stays_off_over_a_restart() {
    let mut gateway = TestGateway::new().server("one", fake(&[])).start().await;
    gateway.wait_state("one", "ready").await;
    switch(&gateway, "one", "disable").await;
    gateway.wait_state("one", "disabled").await;
    gateway.terminate().await;
    gateway.restart().await;
    assert_eq!(gateway.wait_state("one", "disabled").await["enabled"], false);
    gateway.v1_invoke("one", "echo", json!({})).await.expect(409);
    gateway.post("/v1/mcps/one/start", &json!({})).await.expect(409);
    switch(&gateway, "one", "enable").await;
    gateway.wait_state("one", "ready").await;
    gateway.v1_invoke("one", "echo", json!({})).await.expect(200);
    // The switch is no part of what a limited key may do.
    let body = json!({"name": "limited", "permissions": {"mcps": ["one"]}});
    let made = gateway.post("/v1/api-keys", &body).await.expect(201)["data"]["key"].clone();
    let key = made.as_str().expect("a key");
    ask(&gateway, "POST", "/v1/mcps/one/disable").key(key).send().await.expect(403);
    ask(&gateway, "POST", "/v1/mcps/one/stop").key(key).send().await.expect(200);
    gateway.wait_state("one", "stopped").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_rests_is_started_and_stopped_without_a_call() {
    let resting = with(fake(&[]), json!({"start": "on-demand"}));
    let gateway = TestGateway::new().server("one", resting).start().await;
    gateway.wait_state("one", "idle").await;
    switch(&gateway, "one", "stop").await;
    gateway.wait_state("one", "stopped").await;
    gateway.v1_invoke("one", "echo", json!({})).await.expect(409);
    switch(&gateway, "one", "start").await;
    gateway.wait_state("one", "ready").await;
    gateway.stop().await;
}
