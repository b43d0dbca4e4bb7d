//! Every route of `/v1`, asked in enough ways that everything that its document describes comes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::Asking;
use crate::logs::Following;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

const CONFIG: &str = "[organization]\nplan = \"unlimited\"\ndescription = \"Some people\"\n\
    [activity]\ncalls = 16\n[http]\ncall_timeout = \"200ms\"\nmax_call_timeout = \"10s\"\n";

/// What cannot come here, and why.
const EXCEPTIONS: [(&str, &str); 10] = [
    ("Usage/properties/groups_left_out", "only with more than 10,000 groups"),
    ("KeyRevocation/properties/warning", "only where the disk takes nothing: tests/gateway/full_disk.rs"),
    ("MemberRemoval/properties/warning", "the same"),
    ("InternalErrorDetails/", "only for a defect: src/http/plexmcp/errors.rs has a test for it"),
    ("McpState/properties/pid", "a server that cannot be reached has no process"),
    ("McpState/properties/remarks", "as in Supervision, from which it is taken"),
    ("McpState/properties/unenforced", "as in Supervision, from which it is taken"),
    ("McpState/properties/pools", "an error tells only of the child that it met"),
    ("McpState/properties/update", "as in Supervision, from which it is taken"),
    ("McpState/properties/first_stderr", "as in Supervision, from which it is taken"),
];

/// Begins an audit with a line that a disk has damaged. It is not in the last file, which is mended at a start.
fn damaged_audit(data: &Path) {
    let directory = data.join("audit");
    fs::create_dir(&directory).expect("made");
    let entry = |number: u64| {
        json!({
            "number": number, "at": "2026-01-01T00:00:00Z", "action": "key.create", "target": "x", "outcome": "done",
        })
    };
    let write = |first: u64, text: String| {
        fs::write(directory.join(format!("{first:020}-acts.jsonl")), text).expect("written");
    };
    write(1, format!("{}\n{{\"number\":2,\"at\n", entry(1)));
    write(3, format!("{}\n", entry(3)));
}

/// A program that writes lines and is none.
fn failing(lines: usize) -> Value {
    let script = format!("for n in $(seq {lines}); do echo line $n >&2; done; exit 3");
    json!({"command": "/bin/sh", "args": ["-c", script]})
}

/// Writes more than a log keeps, and then is a server.
fn talkative() -> Value {
    let script = format!(
        "for n in $(seq 20); do printf '%08000d\\n' $n >&2; done; exec {} --noise",
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    with(json!({"command": "/bin/sh", "args": ["-c", script]}), json!({"limits": {"cpu": 0.5}}))
}

/// A server that each member has a process of, with what it has stored.
fn own() -> Value {
    let mut definition = with(fake(&[]), json!({"isolation": "per-principal"}));
    definition["env"] = json!({"TOKEN": "${principal:TOKEN}"});
    definition
}

async fn daemon(tools: &Path) -> Gateway {
    let tools = tools.to_str().expect("UTF-8");
    let mut pinned = with(fake(&["--tools-file", tools]), json!({"pin": "block"}));
    pinned["description"] = "A scripted server".into();
    let gateway = TestGateway::new()
        .config_toml(CONFIG)
        .prepare(damaged_audit)
        .server("fake", pinned)
        .server("talkative", talkative())
        .server("hanging", with(fake(&["--hang-init"]), json!({"start_timeout": "10m"})))
        .server("failing", failing(50))
        .server("edited", fake(&[]))
        .server("mute", with(fake(&[]), json!({"breaker_pause": "10m"})))
        .server("own", own())
        .server("off", json!({"command": "true", "disabled": true}))
        .server("remote", json!({"url": "http://127.0.0.1:9/mcp"}))
        .server("unusable", json!({"command": "x", "args": "not a list"}))
        .start()
        .await;
    for ready in ["fake", "talkative", "edited", "mute"] {
        gateway.wait_state(ready, "ready").await;
    }
    gateway.wait_state("failing", "backoff").await;
    gateway
}

#[tokio::test]
async fn every_answer_of_v1_is_described_and_everything_described_is_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let tools = directory.path().join("tools.json");
    let weather = |text: &str| json!({"name": "weather", "description": text, "inputSchema": {"type": "object"}, "_meta": {"a": 1}});
    fs::write(&tools, json!([weather("Tells it.")]).to_string()).expect("written");
    let gateway = daemon(&tools).await;
    let mut asking = Asking::new(&gateway, "/v1/openapi.json").await;
    calls(&mut asking).await;
    fs::write(&tools, json!([weather("Tells\u{200b} it."), {"name": "post"}]).to_string()).expect("written");
    pins(&mut asking).await;
    mcps(&mut asking).await;
    logs(&mut asking).await;
    secrets(&mut asking).await;
    organization(&mut asking).await;
    keys(&mut asking).await;
    numbers(&mut asking).await;
    asking.finish(&EXCEPTIONS);
    gateway.stop().await;
}

fn call(server: &str, tool: &str, arguments: Value) -> Option<Value> {
    Some(json!({"mcp_id": server, "tool": tool, "arguments": arguments}))
}

async fn calls(asking: &mut Asking<'_>) {
    asking.ask("GET", "/v1/openapi.json", None, 200).await;
    asking.ask("POST", INVOKE, call("fake", "echo", json!({"text": "x"})), 200).await;
    asking.ask("POST", INVOKE, call("fake", "fail", json!({})), 422).await;
    let failed =
        json!({"content": [{"type": "text", "text": "no"}], "structuredContent": {"a": 1}, "isError": true});
    asking.ask("POST", INVOKE, call("fake", "reply", json!({"result": failed})), 422).await;
    asking.ask("POST", INVOKE, call("fake", "error", json!({"code": 7, "data": {"why": "no"}})), 502).await;
    asking.ask("POST", INVOKE, call("fake", "error", json!({"code": -32602})), 400).await;
    asking.ask("POST", INVOKE, call("fake", "reply", json!({"result": [1]})), 502).await;
    asking.ask("POST", INVOKE, call("fake", "crash", json!({})), 502).await;
    asking.gateway.wait_state("fake", "ready").await;
    asking.ask("POST", INVOKE, call("fake", "sleep", json!({"ms": 600_000})), 504).await;
    asking.ask("POST", INVOKE, call("failing", "echo", json!({})), 502).await;
    asking.ask("POST", INVOKE, call("remote", "echo", json!({})), 502).await;
    asking.ask("POST", INVOKE, call("off", "echo", json!({})), 409).await;
    asking.ask("POST", INVOKE, call("fake", "nothing", json!({})), 404).await;
    asking.ask("POST", INVOKE, call("nobody", "echo", json!({})), 404).await;
    asking.ask("POST", INVOKE, Some(json!({"tool": 5})), 400).await;
    keyed_calls(asking).await;
    for _ in 0..5 {
        asking.ask("POST", INVOKE, call("mute", "sleep", json!({"ms": 600_000})), 504).await;
    }
    asking.ask("POST", INVOKE, call("mute", "echo", json!({})), 503).await;
    let resources = "/v1/mcp/resources";
    asking.ask("POST", resources, Some(json!({"mcp_id": "edited"})), 200).await;
    for uri in ["fake://one", "fake://blob"] {
        asking.ask("POST", resources, Some(json!({"mcp_id": "edited", "uri": uri})), 200).await;
    }
    asking.ask("POST", resources, Some(json!({"mcp_id": "edited", "uri": "fake://none"})), 404).await;
    asking.ask("POST", resources, Some(json!({"uri": ""})), 400).await;
    asking.ask_with(&[], "POST", INVOKE, call("fake", "echo", json!({})), 401).await;
    asking.ask_with(&[("authorization", "Bearer x")], "GET", "/v1/mcps", None, 401).await;
}

/// Calls with a key that are known: one with its reply, one whose reply was too long to be kept.
async fn keyed_calls(asking: &mut Asking<'_>) {
    let bearer = format!("Bearer {}", asking.gateway.key());
    for (key, tool, bytes, again) in [("a", "echo", 1, 200), ("b", "big", 1_500_000, 409)] {
        let headers = [("authorization", bearer.as_str()), ("idempotency-key", key)];
        let call = json!({"mcp_id": "fake", "tool": tool, "arguments": {"bytes": bytes}, "timeout": 10_000});
        for status in [200, again] {
            asking.ask_with(&headers, "POST", INVOKE, Some(call.clone()), status).await;
        }
    }
}

async fn pins(asking: &mut Asking<'_>) {
    let path = "/v1/mcps/fake/pins";
    let before = asking.ask("GET", path, None, 200).await;
    assert_eq!(before["data"]["pin"], "block");
    asking.ask("POST", INVOKE, call("fake", "change_tools", json!({})), 200).await;
    let gateway = asking.gateway;
    let pins = wait_until("a tool is seen to be another one", DEADLINE, || async {
        let pins = gateway.get(path).await.expect(200)["data"].clone();
        pins["tools"].to_string().contains("\"changed\"").then_some(pins)
    })
    .await;
    asking.ask("GET", path, None, 200).await;
    asking.ask("GET", "/v1/mcps/fake", None, 200).await;
    asking.ask("POST", INVOKE, call("fake", "weather", json!({})), 403).await;
    let approve = format!("{path}/approve");
    let other = format!("sha256:{}", "0".repeat(64));
    asking.ask("POST", &approve, Some(json!({"digest": other})), 409).await;
    asking.ask("POST", &approve, Some(json!({})), 400).await;
    asking.ask("POST", &approve, Some(json!({"digest": pins["digest"], "tools": ["none"]})), 404).await;
    asking.ask("POST", &approve, Some(json!({"digest": pins["digest"]})), 200).await;
    asking.ask("GET", path, None, 200).await;
    asking.ask("GET", "/v1/mcps/nobody/pins", None, 404).await;
}

async fn mcps(asking: &mut Asking<'_>) {
    let gateway = asking.gateway;
    // By a fault that is known.
    let script = "echo \"ModuleNotFoundError: No module named 'yamlx'\" >&2; exit 1";
    let lacking = json!({"command": "/bin/sh", "args": ["-c", script]});
    gateway.put("/api/servers/edited", &lacking).await.expect(200);
    wait_until("an edit fails", DEADLINE, || async {
        let update = gateway.server("edited").await["supervision"]["update"].clone();
        update["next_start_at"].is_string().then_some(())
    })
    .await;
    asking.ask("GET", "/v1/mcps?status=all&page=1&per_page=100", None, 200).await;
    asking.ask("GET", "/v1/mcps?status=some&page=0&per_pag=1", None, 400).await;
    asking.ask("GET", "/v1/doctor", None, 200).await;
    asking.ask("GET", "/v1/settings", None, 200).await;
    let mut waiting = gateway.connect().await;
    let body = json!({"mcp_id": "hanging", "tool": "echo", "timeout": 10_000});
    let waits = tokio::spawn(async move { waiting.send("POST", INVOKE, Some(&body)).await });
    wait_until("a call waits", DEADLINE, || async {
        (gateway.server("hanging").await["traffic"]["queued"] == 1).then_some(())
    })
    .await;
    asking.ask("GET", "/v1/mcps/hanging/queue", None, 200).await;
    waits.abort();
    asking.ask("GET", "/v1/mcps/nobody/queue", None, 404).await;
    asking.ask("POST", "/v1/backup", Some(json!({})), 200).await;
    asking.ask("POST", "/v1/export", Some(json!({})), 200).await;
    asking.ask("GET", "/v1/doctor?server=nobody", None, 404).await;
    for name in ["fake", "talkative", "hanging", "failing", "edited", "mute", "off", "remote"] {
        asking.ask("GET", &format!("/v1/mcps/{name}"), None, 200).await;
    }
    // A server without tools has something to be remarked.
    let toolless = json!({"name": "toolless", "command": "/bin/sh", "args": ["-c", TOOLLESS]});
    // Without a key it is this user of the machine who adds it, and the audit says so.
    let toolless = gateway.marked(toolless).to_string();
    ask(gateway, "POST", "/api/servers").json(toolless).send().await.expect(200);
    gateway.wait_state("toolless", "ready").await;
    asking.ask("GET", "/v1/mcps/toolless", None, 200).await;
    asking.ask("GET", "/v1/mcps/nobody", None, 404).await;
    asking.ask("POST", "/v1/mcps/fake/restart", None, 200).await;
    asking.ask("POST", "/v1/mcps/off/restart", None, 409).await;
    asking.ask("POST", "/v1/mcps/remote/restart", None, 200).await;
    asking.ask("POST", "/v1/mcps/unusable/restart", None, 502).await;
    asking.ask("POST", "/v1/mcps/nobody/restart", None, 404).await;
    asking.ask("DELETE", "/v1/mcps/fake/restart", None, 405).await;
    for step in ["stop", "start", "disable", "enable"] {
        asking.ask("POST", &format!("/v1/mcps/toolless/{step}"), None, 200).await;
        asking.ask("POST", &format!("/v1/mcps/nobody/{step}"), None, 404).await;
    }
    asking.ask("POST", "/v1/mcps/off/start", None, 409).await;
}

/// Answers every request as a server that has no tools would.
const TOOLLESS: &str = r#"while read -r line; do
    id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
    case "$line" in
      *server/discover*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"error\":{\"code\":-32601,\"message\":\"no\"}}";;
      *'"initialize"'*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"tools\":{}},\"serverInfo\":{\"name\":\"n\",\"version\":\"1\"}}}";;
      *tools/list*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"tools\":[]}}";;
      *'"id"'*) echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{}}";;
    esac
done"#;

async fn logs(asking: &mut Asking<'_>) {
    asking.ask("GET", "/v1/mcps/talkative/logs?tail=1000", None, 200).await;
    asking.ask("GET", "/v1/mcps/fake/logs?tail=0", None, 400).await;
    asking.ask("GET", "/v1/mcps/nobody/logs", None, 404).await;
    let path = "/v1/mcps/talkative/logs?follow=true";
    // The first lines are not kept any more.
    let mut following = Following::start(asking.gateway, path, "last-event-id: 1\r\n").await;
    following.until("event: line").await;
    asking.gateway.delete("/api/servers/talkative").await.expect(200);
    let text = following.until("\"removed\"}").await.to_owned();
    let (_, events) = text.split_once("\r\n\r\n").expect("a head");
    let lines = events.lines().filter(|line| ["event: ", "data: "].iter().any(|it| line.starts_with(it)));
    asking.document.check_events("GET", "/v1/mcps/{id}/logs", &lines.collect::<Vec<_>>().join("\n"));
}

/// What is stored for a process of one's own, which then writes to the log.
async fn secrets(asking: &mut Asking<'_>) {
    let path = "/v1/members/me/secrets/TOKEN";
    asking.ask("POST", INVOKE, call("own", "echo", json!({})), 409).await;
    asking.ask("PUT", path, Some(json!({"value": "x"})), 200).await;
    asking.ask("PUT", path, Some(json!({"values": "x"})), 400).await;
    asking.ask("PUT", path, Some(json!({"value": ""})), 422).await;
    asking.ask("PUT", "/v1/members/nobody/secrets/TOKEN", Some(json!({"value": "x"})), 404).await;
    asking.ask("GET", "/v1/members/me/secrets", None, 200).await;
    asking.ask("GET", "/v1/members/nobody/secrets", None, 404).await;
    asking.ask("POST", INVOKE, call("own", "log_stderr", json!({"bytes": 10})), 200).await;
    wait_until("the line is there", DEADLINE, || async {
        let lines = asking.gateway.get("/v1/mcps/own/logs").await.expect(200)["data"].clone();
        lines.as_array()?.iter().any(|line| line["pool"].is_string()).then_some(())
    })
    .await;
    asking.ask("GET", "/v1/mcps/own/logs?tail=1000", None, 200).await;
    asking.ask("GET", "/v1/mcps/own", None, 200).await;
    asking.ask("DELETE", path, None, 200).await;
    asking.ask("DELETE", path, None, 404).await;
}

async fn organization(asking: &mut Asking<'_>) {
    let plan = json!({
        "requests_per_second": 1000, "monthly_requests": 1000, "max_mcps": 100, "max_api_keys": 100, "max_members": 5,
    });
    asking.ask("PUT", "/v1/organization/plans/unlimited", Some(plan.clone()), 200).await;
    asking.ask("PUT", "/v1/organization/plans/small", Some(json!({"max_mcps": 1})), 200).await;
    asking.ask("PUT", "/v1/organization/plans/small", Some(json!({"max_mcp": 1})), 400).await;
    let ada =
        json!({"id": "ada", "name": "Ada", "email": "ada@example.com", "role": "member", "plan": "small"});
    asking.ask("POST", "/v1/organization/members", Some(ada.clone()), 201).await;
    asking.ask("POST", "/v1/organization/members", Some(ada), 409).await;
    asking.ask("POST", "/v1/organization/members", Some(json!({"name": ""})), 400).await;
    asking.ask("POST", "/v1/organization/members", Some(json!({"name": "x", "plan": "none"})), 422).await;
    asking.ask("PATCH", "/v1/organization/members/ada", Some(json!({"role": "viewer"})), 200).await;
    asking.ask("PATCH", "/v1/organization/members/nobody", Some(json!({"role": "viewer"})), 404).await;
    asking.ask("DELETE", "/v1/organization/plans/small", None, 409).await;
    asking.ask("GET", "/v1/organization", None, 200).await;
    asking.ask("GET", "/v1/organization/members?role=owner", None, 200).await;
    asking.ask("GET", "/v1/organization/members", None, 200).await;
    asking.ask("GET", "/v1/organization/members/ada", None, 200).await;
    asking.ask("GET", "/v1/organization/plans", None, 200).await;
    asking.ask("DELETE", "/v1/organization/members/ada", None, 200).await;
    asking.ask("DELETE", "/v1/organization/members/ada", None, 404).await;
    asking.ask("DELETE", "/v1/organization/plans/small", None, 200).await;
    for n in 0..4 {
        asking.ask("POST", "/v1/organization/members", Some(json!({"name": format!("m{n}")})), 201).await;
    }
    // The plan allows no more.
    asking.ask("POST", "/v1/organization/members", Some(json!({"name": "m"})), 403).await;
}

async fn keys(asking: &mut Asking<'_>) {
    let body = json!({
        "name": "k", "description": "For a test", "expires_at": "2126-01-01",
        "permissions": {"mcps": ["edited", "fake"], "tools": {"edited": ["echo"], "*": ["no_such_*"]}},
        "limits": {"requests_per_second": 5, "monthly_requests": 1, "calls_at_once": 5},
    });
    let made = asking.ask("POST", "/v1/api-keys", Some(body), 201).await["data"].clone();
    let (id, text) = (made["id"].as_str().expect("a text"), made["key"].as_str().expect("a text"));
    let path = format!("/v1/api-keys/{id}");
    let bearer = format!("Bearer {text}");
    let own: &[(&str, &str)] = &[("authorization", &bearer)];
    asking.ask_with(own, "POST", INVOKE, call("edited", "echo", json!({"text": "x"})), 200).await;
    asking.ask_with(own, "POST", INVOKE, call("edited", "echo", json!({"text": "x"})), 429).await;
    asking.ask_with(own, "POST", INVOKE, call("edited", "fail", json!({})), 403).await;
    asking.ask_with(own, "GET", "/v1/mcps/mute", None, 403).await;
    asking.ask_with(own, "GET", &format!("{path}/usage"), None, 200).await;
    asking.ask("POST", "/v1/api-keys", Some(json!({"name": "k", "limit": {}})), 400).await;
    asking.ask("POST", "/v1/api-keys", Some(json!({"name": "k", "expires_at": "2020-01-01"})), 422).await;
    asking
        .ask("PATCH", &path, Some(json!({"permissions": {"mcps": ["edited"], "tools": ["none_*"]}})), 200)
        .await;
    asking.ask("PATCH", &path, Some(json!({})), 400).await;
    asking.ask("POST", &format!("{path}/rotate"), Some(json!({"grace": 3600})), 200).await;
    asking.ask("GET", &path, None, 200).await;
    asking.ask("POST", &format!("{path}/rotate"), None, 200).await;
    asking.ask("POST", &format!("{path}/rotate"), Some(json!({"grace": "x"})), 400).await;
    asking.ask("DELETE", &format!("{path}?descendants=maybe"), None, 400).await;
    asking.ask("DELETE", &format!("{path}?descendants=true"), None, 200).await;
    asking.ask_with(own, "GET", "/v1/mcps", None, 401).await;
    asking.ask("PATCH", &path, Some(json!({"expires_at": null})), 409).await;
    asking.ask("POST", &format!("{path}/rotate"), None, 409).await;
    asking.ask("GET", &path, None, 200).await;
    asking.ask("GET", "/v1/api-keys?status=all", None, 200).await;
    asking.ask("GET", "/v1/api-keys/key_none", None, 404).await;
    asking.ask("DELETE", "/v1/api-keys/self", None, 403).await;
}

async fn activity(asking: &mut Asking<'_>) {
    asking.ask("GET", "/v1/activity?limit=3", None, 200).await;
    asking.ask("GET", "/v1/activity?outcome=failed", None, 200).await;
    asking.ask("GET", "/v1/activity?outcome=bad", None, 400).await;
    asking.ask("GET", "/v1/activity?format=ndjson", None, 200).await;
    asking.ask("GET", "/v1/activity?format=csv", None, 200).await;
    // The first calls are not kept any more.
    let path = "/v1/activity?follow=true";
    let mut following = Following::start(asking.gateway, path, "last-event-id: 1\r\n").await;
    let text = following.until("event: call").await.to_owned();
    let (_, events) = text.split_once("\r\n\r\n").expect("a head");
    assert!(events.contains("event: gap"), "{events}");
    let whole = events.rsplit_once("event: call").map_or(events, |(whole, _)| whole);
    let lines = whole.lines().filter(|line| ["event: ", "data: "].iter().any(|it| line.starts_with(it)));
    asking.document.check_events("GET", "/v1/activity", &lines.collect::<Vec<_>>().join("\n"));
}

async fn numbers(asking: &mut Asking<'_>) {
    let gateway = asking.gateway;
    wait_until("calls have been counted", DEADLINE, || async {
        let usage = gateway.get("/v1/usage").await.expect(200)["data"].clone();
        (usage["by_status"]["error"].as_u64() > Some(5)).then_some(())
    })
    .await;
    asking.ask("GET", "/v1/usage", None, 200).await;
    asking.ask("GET", "/v1/usage?start_date=2026-01-01&end_date=2026-02-01", None, 200).await;
    asking.ask("GET", "/v1/usage?period=year", None, 400).await;
    asking.ask("GET", "/v1/usage?period=hour&by=key,server,tool&step=1m", None, 200).await;
    asking.ask("GET", "/v1/usage?since=2026-01-01&by=server&mcp_id=fake", None, 200).await;
    asking.ask("GET", "/v1/usage?since=2026-01-01&by=member", None, 400).await;
    activity(asking).await;
    for query in ["", "?granularity=hour&period=day&mcp_id=fake", "?granularity=month&key_id=key_none"] {
        asking.ask("GET", &format!("/v1/usage/history{query}"), None, 200).await;
    }
    asking.ask("GET", "/v1/api-keys/self/usage", None, 200).await;
    asking.ask("GET", "/v1/audit?per_page=100", None, 200).await;
    asking.ask("GET", "/v1/audit?outcome=some", None, 400).await;
    asking.ask("GET", "/v1/audit/export", None, 200).await;
    asking.ask("GET", "/v1/organization", None, 200).await;
}
