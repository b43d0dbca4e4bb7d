//! The audit: who changed what and who was refused what is recorded before it is acknowledged, and
//! outlives the daemon.

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

async fn audit(gateway: &Gateway, query: &str) -> Vec<Value> {
    let list = gateway.get(&format!("/v1/audit?per_page=100{query}")).await.expect(200);
    list["data"].as_array().expect("a list").clone()
}

fn short(entry: &Value) -> (String, String, String) {
    let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    (text("action"), text("target"), text("outcome"))
}

#[tokio::test]
async fn every_act_is_recorded_with_who_did_it_and_is_there_after_a_kill() {
    let mut gateway = TestGateway::new().start().await;
    let mut body = gateway.marked(fake(&[]));
    body["name"] = "one".into();
    gateway.post("/api/servers", &body).await.expect(200);
    gateway.put("/api/servers/one", &json!({"args": ["--tools", "1"]})).await.expect(200);
    let made = gateway.post("/v1/api-keys", &json!({"name": "CI"})).await.expect(201)["data"].clone();
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    gateway.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
    gateway.post("/v1/mcps/one/restart", &json!({})).await.expect(200);
    gateway.post("/api/config/export", &json!({"filepath": "x.json"})).await.expect(200);
    gateway.delete("/api/servers/one").await.expect(200);
    gateway.delete("/api/servers/one").await.expect(404);
    // The last one that was acknowledged, so that all before it are there.
    gateway.post("/v1/api-keys", &json!({"name": "last"})).await.expect(201);
    gateway.kill_9().await;
    gateway.restart().await;
    let seen = audit(&gateway, "").await;
    let told: Vec<_> = seen.iter().rev().map(short).collect();
    let expected = [
        ("server.add", "one", "done"),
        ("server.change", "one", "done"),
        ("key.create", "CI", "done"),
        ("key.revoke", id, "done"),
        ("server.restart", "one", "done"),
        ("config.export", "x.json", "done"),
        ("server.remove", "one", "done"),
        ("server.remove", "one", "failed"),
        ("key.create", "last", "done"),
    ];
    let expected: Vec<_> =
        expected.map(|(a, t, o)| (a.to_owned(), t.to_owned(), o.to_owned())).into_iter().collect();
    assert_eq!(told, expected);
    let numbers: Vec<u64> =
        seen.iter().rev().map(|entry| entry["number"].as_u64().expect("a number")).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<_>>());
    let create = seen.iter().find(|entry| entry["target"] == "CI").expect("recorded");
    assert_eq!(
        (&create["member_id"], &create["peer"], &create["status"]),
        (&json!("user_owner"), &json!("127.0.0.1"), &json!(201))
    );
    assert!(create["key_id"].as_str().expect("an id").starts_with("key_"));
    assert!(create["request_id"].is_string() && create["at"].as_str().expect("a time").ends_with('Z'));
    let local = seen.iter().find(|entry| entry["action"] == "server.add").expect("recorded");
    assert_eq!(local["key_id"], "local", "/api is open to this machine");
    assert_eq!(audit(&gateway, "&action=key").await.len(), 3);
    assert_eq!(audit(&gateway, "&action=key.revoke&outcome=done").await.len(), 1);
    gateway.get("/v1/audit?outcome=odd").await.expect(400);
    let export = gateway.get("/v1/audit/export?action=server").await;
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        export.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 5);
    assert!(!format!("{seen:?}").contains(key), "no key is recorded");
    gateway.stop().await;
}

#[tokio::test]
async fn refusals_are_recorded_and_calls_only_when_asked_for() {
    let gateway = TestGateway::new()
        .config_toml("[audit]\ncalls = true\n[[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_viewer\"\nrole = \"viewer\"\n")
        .server("fake", fake(&[]))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    let made =
        gateway.post("/v1/api-keys", &json!({"name": "v", "owner_id": "user_viewer"})).await.expect(201);
    let viewer = made["data"]["key"].as_str().expect("a key").to_owned();
    ask(&gateway, "GET", "/v1/mcps").without_key().send().await.expect(401);
    ask(&gateway, "POST", "/v1/mcps/fake/restart").key(&viewer).send().await.expect(403);
    ask(&gateway, "GET", "/v1/mcps").header("host", "evil.example").send().await.expect(403);
    gateway.call("fake", "echo", json!({"nonce": "do not keep this"})).await;
    let seen = wait_until("everything is recorded", DEADLINE, || async {
        let seen = audit(&gateway, "").await;
        (seen.len() >= 5).then_some(seen)
    })
    .await;
    let refused: Vec<_> = audit(&gateway, "&outcome=refused").await;
    let targets: Vec<&Value> = refused.iter().rev().map(|entry| &entry["target"]).collect();
    assert_eq!(targets, ["GET /v1/mcps", "POST /v1/mcps/fake/restart", "GET /v1/mcps"]);
    assert_eq!(refused[1]["member_id"], "user_viewer");
    let call = seen.iter().find(|entry| entry["action"] == "call").expect("recorded");
    assert_eq!((&call["target"], &call["outcome"]), (&json!("fake/echo"), &json!("done")));
    let hash = call["details"]["arguments_sha256"].as_str().expect("a hash");
    assert_eq!(hash.len(), 64);
    assert!(!format!("{seen:?}").contains("do not keep this"));
    ask(&gateway, "GET", "/v1/audit").key(&viewer).send().await.expect(403);
    gateway.stop().await;

    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway.post(INVOKE, &json!({"mcp_id": "fake", "tool": "echo"})).await.expect(200);
    gateway.post("/v1/api-keys", &json!({"name": "x"})).await.expect(201);
    assert_eq!(audit(&gateway, "").await.len(), 1);
    gateway.stop().await;
}
