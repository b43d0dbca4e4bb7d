//! Sessions of the legacy era: lost, opened again once for all, and ended in order.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{FAR, at_once, cause, echo, opened, ready, refused, unseen, wait_seen};
use crate::support::scripted_http::{Answer, ScriptedHttp, Way, tool};
use crate::support::{DEADLINE, wait_until};

/// What a server of TypeScript says of a session that it does not know.
fn names_the_session() -> Answer {
    Answer::error(400, -32000, "Bad Request: No valid session ID provided")
}

/// The numbers of the calls that were carried out.
fn numbers(server: &ScriptedHttp) -> Vec<u64> {
    let mut numbers: Vec<u64> =
        server.executed().iter().map(|done| done["nonce"].as_u64().expect("a number")).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test]
async fn fifty_calls_on_a_lost_session_cost_one_handshake_and_none_is_twice() {
    for lost in [None, Some(names_the_session())] {
        let (server, gateway) = ready(Way::Legacy).await;
        if let Some(lost) = lost {
            server.change(|nature| nature.lost = lost);
        }
        let before = gateway.server(FAR).await;
        server.forget_sessions();
        for reply in at_once(&gateway, "echo", 50).await.join_all().await {
            reply.expect(200);
        }
        assert_eq!(numbers(&server), (0..50).collect::<Vec<_>>(), "R36: each once");
        assert_eq!(server.count("initialize"), 2);
        assert_eq!(server.count("server/discover"), 1);
        let seen = gateway.server(FAR).await;
        assert_eq!([&seen["state"], &seen["restarts"]], [&json!("ready"), &before["restarts"]]);
        // What it lists may be other than before.
        server.wait_count("tools/list", 2).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_tool_that_came_with_a_restart_of_the_server_is_known_after_it() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.change(|nature| nature.tools = json!([tool("echo", json!({})), tool("newer", json!({}))]));
    server.forget_sessions();
    echo(&gateway, 1).await;
    wait_until("the new tool is known", DEADLINE, || async {
        (gateway.v1_invoke(FAR, "newer", json!({"nonce": 2})).await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_lost_twice_in_one_call_ends_that_call_only() {
    let (server, gateway) = ready(Way::Legacy).await;
    for _ in 0..2 {
        server.once("tools/call", Answer::error(404, -32600, "Session not found"));
    }
    unseen(&gateway).await;
    assert_eq!(server.count("tools/call"), 2, "R36");
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn three_sessions_lost_within_a_minute_make_a_server_doubtful() {
    let (server, gateway) = ready(Way::Legacy).await;
    for number in 0..3 {
        assert_eq!(gateway.server(FAR).await["state"], "ready");
        server.forget_sessions();
        echo(&gateway, number).await;
    }
    let seen = gateway.wait_state(FAR, "degraded").await;
    assert!(seen["supervision"]["remarks"].to_string().contains("session"), "R36: {seen}");
    echo(&gateway, 4).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_404_without_a_session_loses_none() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.change(|nature| nature.has_sessions = false);
    let gateway = opened(&server).await;
    server.once("tools/call", Answer::error(404, -32601, "Method not found"));
    refused(&gateway, "echo", 502, "mcp_error").await;
    echo(&gateway, 1).await;
    assert_eq!(server.count("initialize"), 1, "R38");
    gateway.stop().await;
}

#[tokio::test]
async fn a_legacy_server_without_sessions_is_asked_for_no_stream_and_no_end() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.change(|nature| {
        nature.has_sessions = false;
        nature.capabilities = json!({"tools": {"listChanged": true}, "logging": {}});
    });
    let gateway = opened(&server).await;
    for number in 0..3 {
        echo(&gateway, number).await;
    }
    gateway.stop().await;
    assert!(server.all().iter().all(|asked| asked.header("mcp-session-id").is_none()));
    assert_eq!([server.count("GET"), server.count("DELETE")], [0, 0], "R26");
    assert_eq!(server.count("initialize"), 1);
}

#[tokio::test]
async fn a_session_is_ended_when_the_daemon_stops_and_once_only() {
    let (server, gateway) = ready(Way::Legacy).await;
    assert_eq!(server.sessions(), 1);
    gateway.stop().await;
    let ended = server.asked("DELETE");
    assert_eq!(ended.len(), 1, "R40");
    assert_eq!(ended[0].header("mcp-session-id"), Some("session-1"));
    assert_eq!(server.sessions(), 0);
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_end_of_its_session_holds_nobody_up() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.always("DELETE", Answer::never());
    gateway.stop().await;
    assert_eq!(server.count("DELETE"), 1);
}

#[tokio::test]
async fn no_id_is_ever_given_twice_not_even_to_a_call_that_is_sent_again() {
    let (server, gateway) = ready(Way::Legacy).await;
    for round in 0..3 {
        for reply in at_once(&gateway, "echo", 20).await.join_all().await {
            reply.expect(200);
        }
        if round < 2 {
            server.forget_sessions();
        }
    }
    let mut seen: HashSet<Value> = HashSet::new();
    for asked in server.all() {
        if let Some(id) = asked.message.get("id") {
            assert!(seen.insert(id.clone()), "R78: {id} is there twice");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_be_opened_again_fails_the_calls_that_wait() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.always("initialize", Answer::error(500, -32603, "full"));
    server.forget_sessions();
    for reply in at_once(&gateway, "echo", 10).await.join_all().await {
        let error = reply.expect(502);
        assert_eq!(error["error"]["details"]["phase"], "not_sent", "{error}");
    }
    assert_eq!(numbers(&server), Vec::<u64>::new());
    let seen = wait_seen(&gateway, "the server is given up", |seen| seen["state"] == "backoff").await;
    assert!(!cause(&seen).is_empty());
    server.unscripted();
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}
