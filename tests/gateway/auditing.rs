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
    assert_eq!(
        create["details"],
        json!({
            "id": id, "name": "CI", "owner_id": "user_owner", "expires_at": null,
            "permissions": made["permissions"], "limits": made["limits"], "created_by": create["key_id"],
        })
    );
    let change = seen.iter().find(|entry| entry["action"] == "server.change").expect("recorded");
    assert_eq!(change["details"], json!({"args": ["--tools", "1"]}));
    let add = seen.iter().find(|entry| entry["action"] == "server.add").expect("recorded");
    assert_eq!(
        (&add["details"]["command"], &add["details"]["env"]),
        (&body["command"], &json!(body["env"].as_object().expect("marked").keys().collect::<Vec<_>>())),
        "what runs, and of variables the names"
    );
    assert!(create["request_id"].is_string() && create["at"].as_str().expect("a time").ends_with('Z'));
    assert_eq!(add["key_id"], create["key_id"], "a key that is sent is used, also where none is needed");
    ask(&gateway, "POST", "/api/config/export")
        .json(json!({"filepath": "y.json"}).to_string())
        .send()
        .await
        .expect(200);
    let local = audit(&gateway, "&action=config.export").await.swap_remove(0);
    assert_eq!(local["key_id"], "local", "/api is open to the daemon's own user");
    assert_eq!(local["uid"], json!(nix::unistd::geteuid().as_raw()));
    assert_eq!(audit(&gateway, "&action=key").await.len(), 3);
    assert_eq!(audit(&gateway, "&action=key.revoke&outcome=done").await.len(), 1);
    gateway.get("/v1/audit?outcome=odd").await.expect(400);
    let export = gateway.get("/v1/audit/export?action=server").await;
    assert_eq!(export.headers["content-type"], "application/x-ndjson");
    let lines: Vec<Value> =
        export.text().lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(lines.len(), 6);
    assert_eq!(lines[5], json!({"end": true, "entries": 5}), "whoever gets less can tell");
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
        seen.iter().any(|entry| entry["action"] == "call").then_some(seen)
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
    assert_eq!(audit(&gateway, "&action=key").await.len(), 1);
    assert_eq!(audit(&gateway, "&action=call").await, [] as [Value; 0]);
    gateway.stop().await;
}

/// How many bytes the audit's files hold.
fn size(gateway: &Gateway) -> u64 {
    let files = std::fs::read_dir(gateway.data().join("audit")).expect("an audit").flatten();
    files.map(|file| file.metadata().expect("there").len()).sum()
}

#[tokio::test]
async fn a_flood_of_failures_neither_washes_acts_away_nor_outgrows_the_bound() {
    const KEEP: u64 = 1024 * 1024;
    let gateway = TestGateway::new()
        .config_toml("[audit]\nkeep_size = \"1MiB\"\n[[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"joe\"\nrole = \"member\"\n")
        .start()
        .await;
    let made = gateway.post("/v1/api-keys", &json!({"name": "joe's", "owner_id": "joe"})).await.expect(201);
    let joe = made["data"]["key"].as_str().expect("a key").to_owned();
    let path = format!("/v1/api-keys/{}", "x".repeat(30_000));
    let mut connection = gateway.connect_with(&[]).await;
    for n in 0..400 {
        ask(&gateway, "DELETE", &path).key(&joe).send().await.expect(404);
        // By somebody else, and with a name that is as long as a body may be.
        let body = json!({"name": "n".repeat(20_000), "command": "x"});
        let reply = connection.send("POST", "/api/servers", Some(&body)).await.expect("an answer");
        assert_eq!(reply.status, 400);
        if n % 50 == 0 {
            assert!(size(&gateway) <= KEEP, "{}", size(&gateway));
        }
    }
    assert!(size(&gateway) < KEEP / 4, "most of them were only counted: {}", size(&gateway));
    let failed = audit(&gateway, "&outcome=failed").await;
    assert!(!failed.is_empty() && failed.len() <= 100, "{}", failed.len());
    for entry in &failed {
        assert!(entry["target"].as_str().expect("a target").chars().count() <= 200);
    }
    assert_eq!(audit(&gateway, "&action=key.create&outcome=done").await.len(), 1);
    let metrics = gateway.get("/metrics").await.text();
    let unrecorded = metrics.lines().find_map(|line| line.strip_prefix("mcpvisor_audit_unrecorded_total "));
    assert!(
        unrecorded.is_some_and(|count| count.parse::<f64>().is_ok_and(|count| count >= 500.0)),
        "{unrecorded:?}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_whose_caller_hangs_up_is_recorded_as_perhaps_carried_out() {
    let gateway =
        TestGateway::new().config_toml("[audit]\ncalls = true\n").server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let mut connection = gateway.connect().await;
    let call = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 600_000}});
    let waiting = tokio::spawn(async move { connection.send("POST", INVOKE, Some(&call)).await });
    wait_until("the call is with the child", DEADLINE, || async {
        let stats = gateway.call("fake", "stats", json!({})).await;
        (stats["in_flight"] == 1).then_some(())
    })
    .await;
    waiting.abort();
    let left = wait_until("it is recorded", DEADLINE, || async {
        audit(&gateway, "&action=call&outcome=unknown").await.pop()
    })
    .await;
    assert_eq!(short(&left), ("call".to_owned(), "fake/sleep".to_owned(), "unknown".to_owned()));
    assert_eq!((&left["status"], &left["details"]["why"]), (&Value::Null, &json!("the caller left")));
    gateway.stop().await;
}

#[tokio::test]
async fn who_leaves_while_sending_has_asked_for_nothing() {
    use tokio::io::AsyncWriteExt;
    let gateway = TestGateway::new().start().await;
    for path in ["/api/servers", "/v1/api-keys", "/api/config/export", "/api/config/import"] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{\"name\": \"half\", \"filepath\": \"half.json\", \"command\": \"x\"",
            gateway.key()
        );
        let mut socket = gateway.raw_socket().await;
        socket.write_all(head.as_bytes()).await.expect("sent");
    }
    // A stop ends whatever waits for the rest of such a body.
    gateway.post("/v1/api-keys", &json!({"name": "last"})).await.expect(201);
    let told: Vec<_> = audit(&gateway, "").await.iter().map(short).collect();
    assert_eq!(told, [("key.create".to_owned(), "last".to_owned(), "done".to_owned())]);
    assert_eq!(gateway.get("/api/servers").await.expect(200)["servers"], json!([]));
    assert!(!gateway.data().join("half.json").exists());
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_reads_secrets_or_the_record_is_in_the_record() {
    let gateway = TestGateway::new().server("fake", fake(&["--tools", "1"])).start().await;
    gateway.wait_state("fake", "ready").await;
    for _ in 0..3 {
        gateway.get("/api/servers").await.expect(200);
        gateway.get("/api/servers/fake").await.expect(200);
        gateway.get("/v1/mcps/fake/logs").await.expect(200);
        gateway.get("/v1/audit/export").await;
    }
    let seen = audit(&gateway, "").await;
    let looks: Vec<_> =
        seen.iter().rev().map(short).filter(|(action, ..)| action != "servers_file.apply").collect();
    let expected = [
        ("servers.read", "*"),
        ("servers.read", "fake"),
        ("logs.read", "fake"),
        ("audit.export", "/v1/audit/export"),
    ];
    let expected: Vec<_> =
        expected.map(|(action, target)| (action.to_owned(), target.to_owned(), "done".to_owned())).into();
    assert_eq!(looks, expected, "each once a minute");
    let applied = seen.iter().find(|entry| entry["action"] == "servers_file.apply").expect("at the start");
    assert_eq!(applied["details"]["added"], json!(["fake"]));
    assert_eq!(applied["details"]["definitions"]["fake"]["args"], json!(["--tools", "1"]));
    gateway.stop().await;

    let gateway =
        TestGateway::new().config_toml("[api]\nredact_env = true\n").server("fake", fake(&[])).start().await;
    gateway.get("/api/servers").await.expect(200);
    assert_eq!(audit(&gateway, "&action=servers.read").await, [] as [Value; 0], "nothing was shown");
    gateway.stop().await;
}
