//! Who called what, when, how long and how it ended: `GET /v1/activity` (`docs/http-api.md`, P17).

use serde_json::{Value, json};

use crate::logs::Following;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};

const MEMBERS: &str = "[organization]\nplan = \"unlimited\"\n\
    [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
    [[members]]\nid = \"user_member\"\nrole = \"member\"\n";

async fn activity(gateway: &Gateway, query: &str) -> Value {
    gateway.get(&format!("/v1/activity{query}")).await.expect(200)["data"].clone()
}

fn outcomes(activity: &Value) -> Vec<&str> {
    let calls = activity["calls"].as_array().expect("calls").iter();
    calls.map(|call| call["outcome"].as_str().expect("an outcome")).collect()
}

/// Makes a key of the member and returns its text and its id.
async fn member_key(gateway: &Gateway) -> (String, String) {
    let body = json!({"name": "Bob", "owner_id": "user_member"});
    let made = gateway.post("/v1/api-keys", &body).await.expect(201)["data"].clone();
    let member = |name: &str| made[name].as_str().expect("a text").to_owned();
    (member("key"), member("id"))
}

async fn call_as(gateway: &Gateway, key: &str, server: &str, tool: &str) -> u16 {
    let body = json!({"mcp_id": server, "tool": tool, "arguments": {"nonce": "never-kept"}});
    let ask = ask(gateway, "POST", INVOKE).key(key).header("x-request-id", "mine-1");
    ask.json(body.to_string()).send().await.status
}

/// Calls `echo` of `one` as an MCP client of 2026-07-28 does.
async fn call_modern(gateway: &Gateway) {
    let modern = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    let mcp = ask(gateway, "POST", "/mcp/one").header("mcp-protocol-version", "2026-07-28");
    let mcp = mcp
        .header("mcp-method", "tools/call")
        .header("mcp-name", "echo")
        .header("accept", "application/json");
    mcp.json(modern.to_string()).send().await.expect(200);
}

#[tokio::test]
async fn every_call_is_told_with_who_what_where_and_how_it_ended() {
    let gateway = TestGateway::new()
        .config_toml(MEMBERS)
        .server("one", fake(&[]))
        .server("gone", json!({"command": "no-such-program-at-all"}))
        .start()
        .await;
    gateway.wait_state("one", "ready").await;
    gateway.wait_state("gone", "failed").await;
    let (key, key_id) = member_key(&gateway).await;
    assert_eq!(call_as(&gateway, &key, "one", "echo").await, 200);
    assert_eq!(call_as(&gateway, &key, "one", "fail").await, 422);
    gateway.v1_invoke("one", "nothing", json!({})).await.expect(404);
    gateway.v1_invoke("nobody", "echo", json!({})).await.expect(404);
    gateway.v1_invoke("gone", "echo", json!({})).await.expect(502);
    gateway.post("/v1/mcp/resources", &json!({"mcp_id": "one", "uri": "fake://one"})).await.expect(200);
    call_modern(&gateway).await;

    let all = activity(&gateway, "").await;
    assert_eq!(
        outcomes(&all),
        ["ok", "ok", "unreachable", "server_not_found", "tool_not_found", "tool_error", "ok"],
        "{all}"
    );
    let calls = all["calls"].as_array().expect("calls");
    let told = |at: usize, member: &str| calls[at][member].clone();
    assert_eq!((told(0, "dialect"), told(0, "tool")), (json!("mcp"), json!("echo")));
    assert_eq!((told(1, "kind"), told(1, "tool")), (json!("resource"), Value::Null));
    assert_eq!((told(2, "reached"), told(2, "mcp_name")), (json!(false), json!("gone")));
    assert_eq!((told(3, "mcp_id"), told(3, "mcp_name")), (Value::Null, json!("nobody")));
    let first = &calls[6];
    for (member, value) in [
        ("number", json!(1)),
        ("dialect", json!("plexmcp")),
        ("kind", json!("tool")),
        ("mcp_name", json!("one")),
        ("tool", json!("echo")),
        ("reached", json!(true)),
        ("member_id", json!("user_member")),
        ("key_id", json!(key_id)),
        ("key_name", json!("Bob")),
        ("request_id", json!("mine-1")),
    ] {
        assert_eq!(first[member], value, "{member}");
    }
    assert!(first["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{first}");
    assert!(!all.to_string().contains("never-kept") && !all.to_string().contains("fake://one"), "{all}");
    assert!(told(1, "request_id").as_str().is_some_and(|id| id.starts_with("req_")), "{all}");

    // What reached nobody counts as used nowhere.
    let usage = gateway.get("/v1/usage").await.expect(200)["data"].clone();
    assert_eq!(usage["requests"]["total"], 4, "{usage}");
    assert_eq!(usage["by_outcome"], json!({"ok": 3, "tool_error": 1}));

    // By key, server, tool, outcome and time; in pages.
    for (query, number) in [
        ("?key=Bob", 2),
        (&format!("?key={key_id}&outcome=ok"), 1),
        ("?server=one&tool=echo", 2),
        ("?outcome=failed", 4),
        ("?since=2000-01-01&until=2000-01-02", 0),
        ("?since=2000-01-01", 7),
        ("?limit=3", 3),
    ] {
        let found = activity(&gateway, query).await;
        assert_eq!(outcomes(&found).len(), number, "{query}: {found}");
    }
    let page = activity(&gateway, "?limit=3").await;
    let rest = activity(&gateway, &format!("?cursor={}", page["next_cursor"])).await;
    assert_eq!((&rest["calls"][0]["number"], &rest["next_cursor"]), (&json!(4), &Value::Null), "{rest}");

    // A member sees its own calls and no others, also in an export.
    let own = ask(&gateway, "GET", "/v1/activity").key(&key).send().await.expect(200)["data"].clone();
    assert_eq!(outcomes(&own), ["tool_error", "ok"]);
    let lines = ask(&gateway, "GET", "/v1/activity?format=ndjson").key(&key).send().await;
    let lines: Vec<Value> =
        lines.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        (lines.len(), &lines[0]["number"], &lines[2]),
        (3, &json!(1), &json!({"end": true, "calls": 2}))
    );
    let table = gateway.get("/v1/activity?format=csv").await;
    assert_eq!(table.text().lines().count(), 8, "{}", table.text());
    assert!(table.text().starts_with("number,started_at,duration_ms,"), "{}", table.text());
    gateway.stop().await;
}

#[tokio::test]
async fn activity_is_followed_until_the_key_is_revoked_and_no_further() {
    let gateway = TestGateway::new().config_toml(MEMBERS).server("one", fake(&[])).start().await;
    gateway.wait_state("one", "ready").await;
    let (key, key_id) = member_key(&gateway).await;
    call_as(&gateway, &key, "one", "echo").await;
    let host = gateway.address().to_string();
    let path = "/v1/activity?follow=true&limit=1";
    let mut own = Following::over(gateway.raw_socket().await, &host, &key, path, "").await;
    let head = own.until("\"number\":1,").await;
    assert!(head.contains("text/event-stream") && head.contains("event: call"), "{head}");
    // Of others nothing comes, also not later.
    gateway.v1_invoke("one", "echo", json!({})).await.expect(200);
    call_as(&gateway, &key, "one", "fail").await;
    let seen = own.until("\"tool_error\"").await.to_owned();
    assert!(seen.contains("id: 3") && !seen.contains("id: 2"), "{seen}");
    gateway.delete(&format!("/v1/api-keys/{key_id}")).await.expect(200);
    let seen = own.until("\"reason\":\"").await;
    assert!(seen.contains("event: end") && seen.contains("revoked_key"), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn as_many_calls_are_kept_as_there_is_room_for_and_none_where_it_is_off() {
    let gateway =
        TestGateway::new().config_toml("[activity]\ncalls = 3\n").server("one", fake(&[])).start().await;
    gateway.wait_state("one", "ready").await;
    for _ in 0..5 {
        gateway.v1_invoke("one", "echo", json!({})).await.expect(200);
    }
    let kept = activity(&gateway, "").await;
    assert_eq!((&kept["calls"][0]["number"], &kept["calls"][2]["number"]), (&json!(5), &json!(3)));
    assert_eq!((&kept["kept"]["calls"], &kept["kept"]["most"]), (&json!(3), &json!(3)));
    assert_eq!(kept["kept"]["complete_since"], kept["calls"][2]["started_at"]);
    let mut late = Following::start(&gateway, "/v1/activity?follow=true", "last-event-id: 1\r\n").await;
    let text = late.until("id: 5").await;
    assert!(text.contains("event: gap\ndata: {\"calls\":1}"), "{text}");
    gateway.stop().await;

    let off = TestGateway::new().config_toml("[activity]\ncalls = 0\n").demo().start().await;
    off.wait_state("demo", "ready").await;
    off.v1_invoke("demo", "echo", json!({"text": "x"})).await.expect(200);
    let kept = activity(&off, "").await;
    assert_eq!((&kept["calls"], &kept["kept"]["most"]), (&json!([]), &json!(0)));
    off.stop().await;
}

#[tokio::test]
async fn usage_of_the_last_minutes_is_summed_across_keys_servers_and_tools() {
    let mut gateway = TestGateway::new()
        .config_toml(MEMBERS)
        .server("one", fake(&[]))
        .server("two", fake(&[]))
        .start()
        .await;
    for server in ["one", "two"] {
        gateway.wait_state(server, "ready").await;
    }
    let (key, key_id) = member_key(&gateway).await;
    for (server, tool) in [("one", "echo"), ("one", "echo"), ("two", "echo"), ("two", "fail")] {
        call_as(&gateway, &key, server, tool).await;
    }
    gateway.v1_invoke("one", "echo", json!({})).await.expect(200);
    gateway.terminate().await;
    gateway.restart().await;
    let hour = "/v1/usage?period=hour&by=key,server,tool";
    let usage = gateway.get(hour).await.expect(200)["data"].clone();
    assert_eq!((&usage["resolution"], &usage["requests"]["total"]), (&json!("minute"), &json!(5)), "{usage}");
    let groups = usage["groups"].as_array().expect("groups");
    let of = |server: &str, tool: &str| {
        let is_it = |group: &&Value| {
            (&group["key_id"], &group["mcp_name"], &group["tool"])
                == (&json!(key_id), &json!(server), &json!(tool))
        };
        groups.iter().find(is_it).map(|group| (group["requests"].clone(), group["errors"].clone()))
    };
    assert_eq!((groups.len(), of("one", "echo")), (4, Some((json!(2), json!(0)))), "{usage}");
    assert_eq!(of("two", "fail"), Some((json!(1), json!(1))), "{usage}");

    let own = ask(&gateway, "GET", hour).key(&key).send().await.expect(200)["data"].clone();
    assert_eq!(own["requests"]["total"], 4, "a member sees its own: {own}");
    let steps = gateway.get("/v1/usage?since=2026-01-01&step=1d&tool=fail").await.expect(200)["data"].clone();
    assert_eq!((&steps["resolution"], &steps["step_seconds"]), (&json!("day"), &json!(86_400)));
    assert_eq!(
        (steps["groups"].as_array().map(Vec::len), &steps["groups"][0]["requests"]),
        (Some(1), &json!(1))
    );
    for bad in [
        "since=2026-01-02&until=2026-01-01",
        "since=2020-01-01",
        "until=2026-01-01",
        "since=2026-01-01&period=day",
        "since=2999-01-01",
        "by=member",
        "step=5s",
    ] {
        gateway.get(&format!("/v1/usage?{bad}")).await.expect(400);
    }
    gateway.stop().await;
}
