//! Administrative acts whose callers hang up 0 to 5 ms after asking: what is in force is what is in the
//! audit, act by act.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::Report;
use crate::durability::random;
use crate::support::gateway::{Gateway, TestGateway};

/// The longest that a caller stays, in microseconds.
const STAYS: u32 = 5_000;

/// What is asked for by callers who leave, and what of it must be there beforehand.
const KINDS: usize = 5;

/// Sends a request and resets the connection a moment later.
async fn hang_up(gateway: &Gateway, method: &str, path: &str, body: &Value) {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        gateway.key(),
        body.len()
    );
    let mut socket = gateway.raw_socket().await;
    socket.write_all((head + &body).as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_micros(u64::from(random() % (STAYS + 1)))).await;
    socket.set_zero_linger().expect("a socket");
}

/// The targets of an action's lines that say it was done.
async fn recorded(gateway: &Gateway, action: &str) -> Vec<String> {
    let export = gateway.get(&format!("/v1/audit/export?action={action}&outcome=done")).await;
    let lines = export
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .collect::<Vec<_>>();
    let (end, lines) = lines.split_last().expect("a last line");
    assert_eq!(end["entries"], json!(lines.len()));
    lines.iter().map(|line| line["target"].as_str().expect("a target").to_owned()).collect()
}

async fn servers(gateway: &Gateway) -> BTreeSet<String> {
    let listed = gateway.get("/api/servers").await.expect(200);
    let names = listed["servers"].as_array().expect("a list").iter();
    names.map(|server| server["name"].as_str().expect("a name").to_owned()).collect()
}

async fn keys(gateway: &Gateway) -> Vec<Value> {
    let mut keys = Vec::new();
    for page in 1.. {
        let listed = gateway.get(&format!("/v1/api-keys?per_page=100&page={page}")).await.expect(200);
        let listed = listed["data"].as_array().expect("a list").clone();
        if listed.is_empty() {
            break;
        }
        keys.extend(listed);
    }
    keys
}

/// A definition that starts nothing.
fn nothing(name: &str) -> Value {
    json!({"name": name, "command": "/no/such/program"})
}

#[tokio::test]
async fn what_is_in_force_of_acts_whose_callers_hang_up_is_in_the_audit() {
    let mut report = Report::of("hangups");
    let each = report.count(100, 1_000).div_ceil(KINDS);
    let mut gateway = TestGateway::new().start().await;
    let mut ids = Vec::new();
    for n in 0..each {
        gateway.post("/api/servers", &nothing(&format!("old{n}"))).await.expect(200);
        let made = gateway.post("/v1/api-keys", &json!({"name": format!("old{n}")})).await.expect(201);
        ids.push(made["data"]["id"].as_str().expect("an id").to_owned());
    }
    let (servers_before, added_before) =
        (servers(&gateway).await, recorded(&gateway, "server.add").await.len());
    for (n, id) in ids.iter().enumerate() {
        hang_up(&gateway, "POST", "/api/servers", &nothing(&format!("new{n}"))).await;
        hang_up(&gateway, "DELETE", &format!("/api/servers/old{n}"), &json!({})).await;
        hang_up(&gateway, "POST", "/v1/api-keys", &json!({"name": format!("ghost{n}")})).await;
        hang_up(&gateway, "DELETE", &format!("/v1/api-keys/{id}"), &json!({})).await;
        hang_up(&gateway, "POST", "/api/config/export", &json!({"filepath": format!("out{n}.json")})).await;
    }
    // A stop waits for what is under way, and what it waited for is recorded as well.
    gateway.terminate().await;
    gateway.restart().await;
    let (servers_now, keys_now) = (servers(&gateway).await, keys(&gateway).await);
    let text = |key: &Value, member: &str| key[member].as_str().expect("text").to_owned();
    let exported =
        (0..each).map(|n| format!("out{n}.json")).filter(|name| gateway.data().join(name).exists());
    let exported: BTreeSet<String> = exported.collect();
    let in_force: [(&str, BTreeSet<String>); KINDS] = [
        ("server.add", servers_now.difference(&servers_before).cloned().collect()),
        ("server.remove", servers_before.difference(&servers_now).cloned().collect()),
        (
            "key.create",
            keys_now.iter().map(|key| text(key, "name")).filter(|name| name.starts_with("ghost")).collect(),
        ),
        (
            "key.revoke",
            keys_now.iter().filter(|key| key["status"] == "revoked").map(|key| text(key, "id")).collect(),
        ),
        ("config.export", exported),
    ];
    for (action, in_force) in in_force {
        let mut lines = recorded(&gateway, action).await;
        lines.retain(|target| !target.starts_with("old") || action == "server.remove");
        let listed: BTreeSet<String> = lines.iter().cloned().collect();
        let measured =
            format!("{} in force, {} in the audit, of {each} asked for", in_force.len(), lines.len());
        report.row(action, measured, "the same", in_force == listed && lines.len() == listed.len());
    }
    assert_eq!(added_before, each, "acts whose callers stay are recorded, too");
    report.end();
    gateway.stop().await;
}
