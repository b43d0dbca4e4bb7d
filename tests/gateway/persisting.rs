//! What was acknowledged is there after a restart, however the daemon ended.

use std::fs;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake};

/// Names whose order is neither the alphabet's nor its reverse.
const NAMES: [&str; 4] = ["middle", "zulu", "alpha", "with blank/and slash"];

async fn names(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.get("/api/servers").await.expect(200);
    let servers = listed["servers"].as_array().expect("a list").clone();
    servers.iter().map(|server| server["name"].as_str().expect("a name").to_owned()).collect()
}

async fn add(gateway: &Gateway, name: &str) {
    let mut body = gateway.marked(fake(&["--tools", "1"]));
    body["name"] = name.into();
    gateway.post("/api/servers", &body).await.expect(200);
}

/// Exports the configuration and returns its `mcpServers`.
async fn exported(gateway: &Gateway) -> Value {
    gateway.post("/api/config/export", &json!({"filepath": "exported.json"})).await.expect(200);
    let text = fs::read_to_string(gateway.data().join("exported.json")).expect("exported");
    serde_json::from_str::<Value>(&text).expect("JSON")["mcpServers"].clone()
}

#[tokio::test]
async fn servers_made_through_the_api_survive_a_restart_in_their_order() {
    let mut gateway = TestGateway::new().start().await;
    for name in NAMES {
        add(&gateway, name).await;
    }
    let before = gateway.get("/api/servers").await.expect(200);
    let id = gateway.server("zulu").await["id"].clone();
    assert_eq!(names(&gateway).await, NAMES);
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    assert_eq!(gateway.get("/api/servers").await.expect(200), before);
    assert_eq!(gateway.server("zulu").await["id"], id, "an id is for ever");
    gateway.wait_state("alpha", "ready").await;
    assert_eq!(gateway.call("alpha", "tool_0", json!({"nonce": 1})).await["nonce"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn an_acknowledged_change_survives_a_kill_right_after_it() {
    let mut gateway = TestGateway::new().start().await;
    for name in NAMES {
        add(&gateway, name).await;
    }
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(names(&gateway).await, NAMES);
    gateway.put("/api/servers/zulu", &json!({"args": ["--tools", "3"]})).await.expect(200);
    gateway.delete("/api/servers/middle").await.expect(200);
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(names(&gateway).await, NAMES[1..]);
    assert_eq!(gateway.get("/api/servers/zulu").await.expect(200)["args"], json!(["--tools", "3"]));
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_members_and_their_order_survive_import_restart_and_export() {
    let mut gateway = TestGateway::new().start().await;
    let mut odd = gateway.marked(fake(&[]));
    odd["disabled"] = true.into();
    odd["autoApprove"] = json!(["echo"]);
    odd["x-notes"] = json!({"b": 1, "a": [null, 1.5, 18_446_744_073_709_551_615_u64]});
    let servers = json!({"second": odd, "first": gateway.marked(fake(&[])), "remote": {"url": "https://127.0.0.1:9/mcp"}});
    fs::write(gateway.data().join("import.json"), json!({"mcpServers": servers}).to_string())
        .expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    assert_eq!(names(&gateway).await, ["second", "first", "remote"]);
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    // As text, because order counts and equality of objects does not see it.
    assert_eq!(exported(&gateway).await.to_string(), servers.to_string());
    gateway.wait_state("first", "ready").await;
    assert_eq!(gateway.server("second").await["state"], "disabled");
    gateway.stop().await;
}

#[tokio::test]
async fn a_servers_file_is_applied_and_leaves_the_servers_of_the_api_alone() {
    let mut gateway = TestGateway::new().server("from_file", fake(&[])).start().await;
    gateway.wait_state("from_file", "ready").await;
    add(&gateway, "from_api").await;
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["from_file", "from_api"]);
    // Removed by the operator: the unchanged file does not bring it back.
    gateway.delete("/api/servers/from_file").await.expect(200);
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["from_api"]);
    gateway.stop().await;
}
