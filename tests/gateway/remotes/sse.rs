//! HTTP+SSE, the transport of 2024-11-05: one stream is the session, and what is posted is answered there (R76, R77).

use serde_json::json;

use super::{
    FAR, at_once, cause, echo, opened, ready, refused, tried, unknown, unseen, wait_seen, with_definition,
};
use crate::mcp::{accept, form};
use crate::support::gateway::with;
use crate::support::mcp::Session;
use crate::support::scripted_http::{Answer, ScriptedHttp, Way, answered, event, said};

#[tokio::test]
async fn such_a_server_is_found_out_and_called() {
    let (server, gateway) = ready(Way::Sse).await;
    let asked: Vec<String> = server.methods();
    let opening =
        ["server/discover", "initialize", "GET", "initialize", "notifications/initialized", "tools/list"];
    assert_eq!(asked, opening, "R20");
    for reply in at_once(&gateway, "echo", 20).await.join_all().await {
        reply.expect(200);
    }
    for call in server.asked("tools/call") {
        assert_eq!(call.path, "/messages?s=1");
        assert_eq!(call.header("mcp-session-id"), None);
    }
    assert_eq!(server.executed().len(), 20);
    let seen = gateway.server(FAR).await;
    assert_eq!([&seen["transport"], &seen["protocol_version"]], [&json!("sse"), &json!("2024-11-05")]);
    let logs = gateway.get(&format!("/v1/mcps/{FAR}/logs")).await.text();
    assert_eq!(logs.matches("deprecated").count(), 1, "R77: {logs}");
    gateway.stop().await;
    assert_eq!(server.count("DELETE"), 0);
}

#[tokio::test]
async fn a_type_spares_the_finding_out() {
    for entry in
        [json!({"type": "sse"}), json!({"transport": "SSE"}), json!({"mcpvisor": {"transport": "sse"}})]
    {
        let server = ScriptedHttp::start(Way::Sse).await;
        let mut definition = entry.clone();
        definition["url"] = server.url().into();
        let gateway = with_definition(definition).await;
        echo(&gateway, 1).await;
        assert_eq!(server.methods()[..2], ["GET", "initialize"], "R2: {entry}");
        gateway.stop().await;
    }
    // And the other one is not tried where the type says no.
    let server = ScriptedHttp::start(Way::Sse).await;
    let definition = json!({"type": "http", "url": server.url()});
    let (gateway, seen) = tried(definition, "failed").await;
    assert!(cause(&seen).contains("405"), "{seen}");
    assert_eq!(server.count("GET"), 0, "R2");
    gateway.stop().await;
}

#[tokio::test]
async fn an_endpoint_elsewhere_is_refused_and_gets_nothing() {
    let (server, elsewhere) = (ScriptedHttp::start(Way::Sse).await, ScriptedHttp::start(Way::Sse).await);
    server.change(|nature| nature.endpoint = format!("http://{}/messages", elsewhere.address()));
    let mut definition = json!({"type": "sse", "url": server.url()});
    definition["headers"] = json!({"X-Key": "${env:CANARY_OF_THE_TEST}"});
    let (gateway, seen) = tried(definition, "failed").await;
    assert!(cause(&seen).contains("origin"), "R76: {seen}");
    unseen(&gateway).await;
    assert_eq!(elsewhere.connections(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_whole_address_in_its_own_origin_is_as_good() {
    let server = ScriptedHttp::start(Way::Sse).await;
    server.change(|nature| nature.endpoint = format!("http://{}/messages", server.address()));
    let gateway = opened(&server).await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_end_of_the_stream_ends_its_calls_and_opens_another() {
    let (server, gateway) = ready(Way::Sse).await;
    let calls = at_once(&gateway, "slow", 5).await;
    server.wait_count("tools/call", 5).await;
    server.end_stream();
    for reply in calls.join_all().await {
        let error = reply.expect(502);
        assert_eq!(error["error"]["details"]["phase"], "in_flight", "R76: {error}");
    }
    server.wait_count("notifications/initialized", 2).await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    assert_eq!(server.count("tools/call"), 6, "none was sent again");
    assert_eq!(server.asked("tools/call")[5].path, "/messages?s=2");
    gateway.stop().await;
}

#[tokio::test]
async fn an_event_beyond_the_limit_is_told_as_such_to_whoever_waits() {
    let server = ScriptedHttp::start(Way::Sse).await;
    let gateway = with_definition(with(server.definition(), json!({"max_answer": 4096}))).await;
    let calls = at_once(&gateway, "slow", 2).await;
    server.wait_count("tools/call", 2).await;
    server.push(&event(&answered(said(&"x".repeat(10_000)))));
    for reply in calls.join_all().await {
        let error = reply.expect(502)["error"].clone();
        assert!(error["message"].to_string().contains("max_answer"), "R51: {error}");
    }
    server.wait_count("notifications/initialized", 2).await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_post_that_knows_no_stream_is_lost_and_its_call_is_sent_once_more() {
    let (server, gateway) = ready(Way::Sse).await;
    server.once("tools/call", Answer::of(404, "text/plain", "Could not find session"));
    echo(&gateway, 1).await;
    assert_eq!(server.executed().len(), 1, "R35");
    gateway.stop().await;
}

#[tokio::test]
async fn a_post_that_is_refused_fails_its_call_at_once() {
    let (server, gateway) = ready(Way::Sse).await;
    server.once("tools/call", Answer::error(400, -32602, "wrong, says the server"));
    let error = refused(&gateway, "echo", 400, "invalid_arguments").await;
    assert!(error.to_string().contains("wrong, says the server"), "R32: {error}");
    server.once("tools/call", Answer::of(500, "text/plain", "no"));
    unknown(&gateway).await;
    echo(&gateway, 1).await;
    assert_eq!(server.count("tools/call"), 3);
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_without_an_endpoint_is_no_server() {
    let server = ScriptedHttp::start(Way::Sse).await;
    server.always("GET", Answer::stream(["data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n"]));
    let (gateway, seen) = tried(json!({"type": "sse", "url": server.url()}), "failed").await;
    assert!(cause(&seen).contains("endpoint"), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_told_to_such_a_server() {
    let (server, gateway) = ready(Way::Sse).await;
    let mut calls = at_once(&gateway, "slow", 1).await;
    let call = server.wait_count("tools/call", 1).await.remove(0);
    calls.abort_all();
    while calls.join_next().await.is_some() {}
    let told = server.wait_count("notifications/cancelled", 1).await.remove(0);
    assert_eq!(told.message["params"]["requestId"], call.message["id"], "R59");
    wait_seen(&gateway, "it serves on", |seen| seen["state"] == "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn progress_and_questions_of_a_call_come_to_its_caller_over_the_one_stream() {
    let (server, gateway) = ready(Way::Sse).await;
    let session = Session::open(&gateway, FAR, json!({"elicitation": {}})).await;
    let calling = session.call("slow", json!({})).meta("progressToken", "mine").send();
    let serving = async {
        let call = server.wait_count("tools/call", 1).await.remove(0);
        let token = call.message["params"]["_meta"]["progressToken"].clone();
        let params = json!({"progressToken": token, "progress": 1});
        let told = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params});
        server.push(&event(&told));
        let mut question = form("name?");
        question["jsonrpc"] = "2.0".into();
        question["id"] = "ask-1".into();
        server.push(&event(&question));
    };
    let (mut answer, ()) = tokio::join!(calling, serving);
    // They take ways of their own, so either may be first.
    let mut both = [answer.message().await, answer.message().await];
    both.sort_by_key(|one| one["method"] != "notifications/progress");
    let [told, asked] = both;
    assert_eq!(told["params"], json!({"progressToken": "mine", "progress": 1}));
    assert_eq!(asked["method"], "elicitation/create");
    session.answer(&asked, accept("Ada")).await;
    let back = server.wait_count("response", 1).await.remove(0);
    assert_eq!((&back.message["id"], &back.message["result"]), (&json!("ask-1"), &accept("Ada")));
    assert_eq!(back.path, "/messages?s=1");
    server.release();
    assert!(answer.last().await["result"].is_object());
    gateway.stop().await;
}
