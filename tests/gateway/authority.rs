//! What nobody may do without the right to it, what a thief of the data directory gets, and what of a
//! request a server never sees (E66, E69, E73).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};

/// A definition that would leave a file if it were ever started.
fn hostile(canary: &Path) -> Value {
    json!({"command": "/bin/sh", "args": ["-c", format!("touch {}", canary.display())]})
}

/// Tries to have it run by every way there is; returns the statuses.
async fn try_every_way(gateway: &Gateway, definition: &Value, key: Option<&str>) -> Vec<u16> {
    let mut named = definition.clone();
    named["name"] = "evil".into();
    let file = json!({"mcpServers": {"evil": definition}});
    fs::write(gateway.data().join("evil.json"), file.to_string()).expect("written");
    let import = json!({"filepath": "evil.json"});
    let mut statuses = Vec::new();
    for (method, path, body) in [
        ("POST", "/api/servers", &named),
        ("PUT", "/api/servers/fake", definition),
        ("POST", "/api/config/import", &import),
    ] {
        let request = ask(gateway, method, path).json(body.to_string());
        let request = if let Some(key) = key { request.key(key) } else { request };
        statuses.push(request.send().await.status);
    }
    statuses
}

#[tokio::test]
async fn a_hostile_server_is_refused_before_it_runs_where_configured_and_recorded() {
    for allow in ["\"off\"", "[\"npx\", \"uvx\"]"] {
        let config = format!("[servers]\nallow = {allow}\n");
        let gateway = TestGateway::new().config_toml(&config).server("fake", fake(&[])).start().await;
        gateway.wait_state("fake", "ready").await;
        let canary = gateway.data().join("canary");
        assert_eq!(try_every_way(&gateway, &hostile(&canary), None).await, [403, 403, 403], "{allow}");
        gateway.call("fake", "echo", json!({"nonce": 1})).await;
        assert!(!canary.exists());
        let recorded = gateway.get("/v1/audit?outcome=refused").await.expect(200);
        let actions: Vec<&Value> =
            recorded["data"].as_array().expect("a list").iter().rev().map(|entry| &entry["action"]).collect();
        assert_eq!(actions, ["server.add", "server.change", "config.import"]);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn nobody_without_the_right_to_administer_has_anything_run() {
    let config = "[api]\nauth = \"required\"\n[[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
                  [[members]]\nid = \"user_member\"\n";
    let gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let canary = gateway.data().join("canary");
    let made =
        gateway.post("/v1/api-keys", &json!({"name": "m", "owner_id": "user_member"})).await.expect(201);
    let member = made["data"]["key"].as_str().expect("a key").to_owned();
    let narrow = json!({"name": "n", "permissions": {"mcps": ["fake"]}});
    let made = gateway.post("/v1/api-keys", &narrow).await.expect(201);
    let narrow = made["data"]["key"].as_str().expect("a key").to_owned();
    assert_eq!(try_every_way(&gateway, &hostile(&canary), None).await, [401, 401, 401]);
    for key in [&member, &narrow] {
        assert_eq!(try_every_way(&gateway, &hostile(&canary), Some(key)).await, [403, 403, 403]);
    }
    assert!(!canary.exists());
    gateway.stop().await;
}

/// Whether any file below a directory has this text in it.
fn found_below(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(found_below(&path, text));
        } else if fs::read(&path).expect("readable").windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[tokio::test]
async fn a_stolen_data_directory_has_no_usable_key_in_it_but_the_owner_s_file() {
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let made = gateway.post("/v1/api-keys", &json!({"name": "CI"})).await.expect(201);
    let key = made["data"]["key"].as_str().expect("a key").to_owned();
    ask(&gateway, "GET", "/v1/mcps").key(&key).send().await.expect(200);
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let owner = gateway.key().to_owned();
    assert!(gateway.terminate().await.success());
    assert_eq!(found_below(gateway.data(), &key), [""; 0]);
    let places = found_below(gateway.data(), &owner);
    assert!(places.len() == 1 && places[0].ends_with("owner.key"), "{places:?}");
    assert!(!gateway.output().contains(&key) && !gateway.output().contains(&owner), "nor in the log");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_client_sends_for_the_gateway_never_reaches_a_server() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let canary = "canary-3f9a";
    let call = json!({"mcp_id": "fake", "tool": "meta", "context": {"seen": true}}).to_string();
    let reply = ask(&gateway, "POST", "/v1/mcp/invoke")
        .header("cookie", &format!("session={canary}"))
        .header("x-request-id", canary)
        .header("x-forwarded-user", canary)
        .json(call)
        .send()
        .await;
    let meta = reply.expect(200)["data"]["result"].clone();
    assert_eq!(meta["plexmcp/context"], json!({"seen": true}), "what is meant for it does");
    let seen = format!("{meta}{}", gateway.call("fake", "env", json!({})).await);
    assert!(!seen.contains(canary) && !seen.contains(gateway.key()), "{seen}");
    gateway.stop().await;
}
