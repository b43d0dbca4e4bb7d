//! The opening of a server: what is asked, in which order, and what each answer means.

use serde_json::{Value, json};

use super::{FAR, cause, echo, opened, ready, tried, unseen, with_definition};
use crate::support::gateway::{TestGateway, with};
use crate::support::mcp::{LEGACY, MODERN};
use crate::support::scripted_http::{Answer, Asked, ScriptedHttp, Way, tool};

const PAGE: &str = "<!DOCTYPE html><html><body>Please sign in, Ada</body></html>";

/// The methods of an opening, without the stream for notifications, which is asked for beside the lists.
fn methods(server: &ScriptedHttp) -> Vec<String> {
    server.methods().into_iter().filter(|method| method != "GET").collect()
}

#[tokio::test]
async fn a_legacy_server_is_opened_in_a_session_and_called() {
    let (server, gateway) = ready(Way::Legacy).await;
    echo(&gateway, 1).await;
    let asked = ["server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call"];
    assert_eq!(methods(&server), asked);
    let posted: Vec<Asked> = server.all().into_iter().filter(|asked| asked.http == "POST").collect();
    let versions: Vec<Option<&str>> =
        posted.iter().map(|asked| asked.header("mcp-protocol-version")).collect();
    assert_eq!(versions, [Some(MODERN), None, Some(LEGACY), Some(LEGACY), Some(LEGACY)], "R20, R25");
    let sessions: Vec<Option<&str>> = posted.iter().map(|asked| asked.header("mcp-session-id")).collect();
    let ours = Some("session-1");
    assert_eq!(sessions, [None, None, ours, ours, ours], "R22: a refusal gives no session");
    for asked in &posted {
        assert_eq!(asked.header("accept"), Some("application/json, text/event-stream"), "R27");
        assert_eq!(asked.header("content-type"), Some("application/json"));
        assert_eq!(asked.header("accept-encoding"), Some("identity"));
        assert!(asked.header("user-agent").is_some_and(|agent| agent.starts_with("mcpvisor/")));
    }
    let seen = gateway.server(FAR).await;
    assert_eq!(
        [&seen["protocol_version"], &seen["server_info"]["name"]],
        [&json!(LEGACY), &json!("scripted")]
    );
    assert_eq!([&seen["health"], &seen["supervision"]["pid"]], [&json!("healthy"), &Value::Null], "R14");
    gateway.stop().await;
}

#[tokio::test]
async fn a_modern_server_is_opened_by_one_request_and_needs_no_session() {
    let server = ScriptedHttp::start(Way::Modern).await;
    let discovered =
        json!({"supportedVersions": [MODERN], "capabilities": {"tools": {}}, "resultType": "complete"});
    server.once("server/discover", Answer::result(discovered).header("Mcp-Session-Id", "nonsense"));
    let gateway = opened(&server).await;
    echo(&gateway, 1).await;
    assert_eq!(server.methods(), ["server/discover", "tools/list", "tools/call"]);
    for asked in server.all() {
        assert_eq!(asked.header("mcp-protocol-version"), Some(MODERN));
        assert_eq!(asked.header("mcp-method"), Some(asked.method()), "R28");
        assert_eq!(asked.header("mcp-session-id"), None, "R22");
        let meta = &asked.message["params"]["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/protocolVersion"], MODERN);
    }
    assert_eq!(server.asked("tools/call")[0].header("mcp-name"), Some("echo"));
    assert_eq!(gateway.server(FAR).await["protocol_version"], MODERN);
    gateway.stop().await;
    assert_eq!(server.count("DELETE"), 0, "R70");
}

#[tokio::test]
async fn the_era_is_found_out_once_and_remembered_by_the_next_daemon() {
    for (way, opening) in [
        (Way::Legacy, &["initialize", "notifications/initialized", "tools/list"][..]),
        (Way::Modern, &["server/discover", "tools/list"][..]),
    ] {
        let (server, mut gateway) = ready(way).await;
        assert!(gateway.terminate().await.success());
        let before = server.all().len();
        gateway.restart().await;
        gateway.wait_state(FAR, "ready").await;
        echo(&gateway, 1).await;
        let again: Vec<String> = server.methods()[before..].to_vec();
        let again: Vec<&str> = again.iter().map(String::as_str).filter(|method| *method != "GET").collect();
        assert_eq!(again[..opening.len()], *opening, "{way:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_era_that_is_prescribed_is_not_asked_for() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = with_definition(with(server.definition(), json!({"era": "legacy"}))).await;
    assert_eq!(server.count("server/discover"), 0);
    gateway.stop().await;
    let (gateway, seen) = tried(with(server.definition(), json!({"era": "modern"})), "failed").await;
    assert!(cause(&seen).contains("2026-07-28"), "{seen}");
    assert_eq!(server.count("initialize"), 1, "that of the first daemon");
    gateway.stop().await;
}

#[tokio::test]
async fn whatever_a_legacy_server_refuses_the_probe_with_it_is_opened() {
    let refusals = [
        Answer::error(400, -32000, "Bad Request: Server not initialized"),
        Answer::of(400, "text/plain", "no"),
        Answer::of(404, "text/html", PAGE),
        Answer::empty(405),
        Answer::empty(406),
        Answer::of(415, "text/plain", "no"),
        Answer::of(422, "text/plain", "Unexpected message, expect initialize request"),
        Answer::error(200, -32601, "Method not found"),
        Answer::error(200, -32602, "Invalid request parameters"),
    ];
    for refusal in refusals {
        let server = ScriptedHttp::start(Way::Legacy).await;
        server.once("server/discover", refusal.clone());
        let gateway = opened(&server).await;
        echo(&gateway, 1).await;
        assert_eq!([server.count("server/discover"), server.count("initialize")], [1, 1], "{refusal:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_probe_that_three_times_says_nothing_is_followed_by_initialize() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.always("server/discover", Answer::error(500, -32603, "Internal error"));
    let gateway = opened(&server).await;
    assert_eq!(
        methods(&server)[..4],
        ["server/discover", "server/discover", "server/discover", "initialize"]
    );
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_wrong_path_is_told_as_such_and_never_as_a_lost_session() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.always("*", Answer::of(404, "text/html", PAGE));
    let (gateway, seen) = tried(server.definition(), "failed").await;
    assert!(cause(&seen).contains("404") && cause(&seen).contains("check the url"), "R13: {seen}");
    assert!(!cause(&seen).contains("session"), "R13, R38: {seen}");
    assert_eq!(server.methods(), ["server/discover", "initialize", "GET"], "R20");
    let error = unseen(&gateway).await;
    assert_eq!(error["details"]["server"]["state"], "failed");
    assert_eq!(server.all().len(), 3, "calls ask nothing of it");
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_is_no_server_and_what_it_says_is_told_to_no_caller() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.always("*", Answer::of(200, "text/html; charset=utf-8", PAGE));
    let (gateway, seen) = tried(server.definition(), "failed").await;
    assert!(cause(&seen).contains("text/html") && cause(&seen).contains("check the url"), "R30: {seen}");
    let error = unseen(&gateway).await.to_string();
    assert!(!error.contains("Ada") && !seen.to_string().contains("Ada"), "R30: {error}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_that_the_server_does_not_go_by_is_told_as_such() {
    for (status, body) in [(421, "Invalid Host header"), (403, "Forbidden: Host header is not allowed")] {
        let server = ScriptedHttp::start(Way::Legacy).await;
        server.always("*", Answer::of(status, "text/plain", body));
        let (gateway, seen) = tried(server.definition(), "failed").await;
        assert!(cause(&seen).contains(&format!("refused our Host header (HTTP {status})")), "R34: {seen}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn versions_that_nobody_here_speaks_are_named() {
    let server = ScriptedHttp::start(Way::Modern).await;
    let error = json!({"code": -32022, "message": "no", "data": {"supported": ["2099-01-01"]}});
    server.always(
        "server/discover",
        Answer::json(400, &json!({"jsonrpc": "2.0", "id": "$ID", "error": error})),
    );
    let (gateway, seen) = tried(server.definition(), "failed").await;
    assert!(cause(&seen).contains("2099-01-01"), "R25: {seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_has_changed_its_era_is_opened_anew_in_the_other() {
    for (before, after) in [(Way::Modern, Way::Legacy), (Way::Legacy, Way::Modern)] {
        let (server, gateway) = ready(before).await;
        echo(&gateway, 1).await;
        server.become_way(after);
        // It meets a server that does not read it, and is never carried out twice.
        let reply = gateway.v1_invoke(FAR, "echo", json!({"nonce": 2})).await;
        assert!([200, 502].contains(&reply.status), "R24: {}", reply.text());
        let opening = if after == Way::Legacy { "initialize" } else { "server/discover" };
        let count = if after == Way::Legacy { 1 } else { 2 };
        server.wait_count(opening, count).await;
        gateway.wait_state(FAR, "ready").await;
        echo(&gateway, 3).await;
        let times = server.executed().iter().filter(|done| done["nonce"] == 2).count();
        assert_eq!(times, usize::from(reply.status == 200), "R24, R56");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn tools_that_cannot_be_called_over_http_are_left_out_and_named() {
    let server = ScriptedHttp::start(Way::Modern).await;
    server.change(|nature| {
        let header = |kind: &str, name: &str| json!({"a": {"type": kind, "x-mcp-header": name}});
        nature.tools = json!([
            tool("good", header("string", "Region")),
            tool("spaced", header("string", "a b")),
            tool("wrong", header("object", "Region")),
            tool("plain", json!({"a": {"type": "string"}})),
        ]);
    });
    let gateway = opened(&server).await;
    let listed = gateway.server(FAR).await["tools"].clone();
    let names: Vec<&str> =
        listed.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["good", "plain"], "R28");
    let output = gateway.output();
    assert!(output.contains("spaced") && output.contains("wrong"), "both are named: {output}");
    for (given, sent) in
        [("north", "north"), ("Köln", "=?base64?S8O2bG4=?="), (" padded ", "=?base64?IHBhZGRlZCA=?=")]
    {
        gateway.call(FAR, "good", json!({"a": given})).await;
        let asked = server.asked("tools/call").pop().expect("a call");
        assert_eq!(asked.header("mcp-param-region"), Some(sent));
        assert_eq!(
            (asked.header("mcp-name"), asked.header("mcp-method")),
            (Some("good"), Some("tools/call"))
        );
    }
    gateway.call(FAR, "plain", json!({"a": "north"})).await;
    let asked = server.asked("tools/call").pop().expect("a call");
    assert!(asked.headers.iter().all(|(name, _)| !name.starts_with("mcp-param-")), "{asked:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_rests_is_opened_by_the_call_that_wants_it() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let resting = with(server.definition(), json!({"start": "on-demand", "idle_stop": "100ms"}));
    let gateway = TestGateway::new().server(FAR, resting).start().await;
    gateway.wait_state(FAR, "idle").await;
    assert_eq!(server.all().len(), 0, "R75");
    for round in 1..=2 {
        echo(&gateway, round).await;
        gateway.wait_state(FAR, "idle").await;
        assert_eq!(server.count("initialize"), round);
        server.wait_count("DELETE", round).await;
        assert_eq!(server.sessions(), 0, "R40");
    }
    gateway.stop().await;
}
