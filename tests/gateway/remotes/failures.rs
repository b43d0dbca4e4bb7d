//! What a failure proves: a call is sent again only where it has surely not been begun, and once.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::{
    FAR, at_once, cause, echo, ready, refused, unknown, unseen, wait_opened, wait_seen, with_definition,
};
use crate::support::gateway::{INVOKE, with};
use crate::support::mcp::modern;
use crate::support::scripted_http::{Answer, Gate, ScriptedHttp, Way, answered, event, said};
use crate::support::{DEADLINE, wait_until};

/// More connections than a task may look at in one turn: each look costs it a part of its share of the runtime.
#[tokio::test]
async fn a_call_after_many_connections_were_closed_at_rest_goes_over_another() {
    const MANY: usize = 150;
    let (server, gateway) = ready(Way::Modern).await;
    let calls = at_once(&gateway, "slow", MANY as u64).await;
    server.wait_count("tools/call", MANY).await;
    server.release();
    for reply in calls.join_all().await {
        reply.expect(200);
    }
    server.stop().await;
    server.start_again().await;
    echo(&gateway, 1).await;
    assert_eq!(gateway.server(FAR).await["restarts"], 0, "R47: nobody noticed");
    gateway.stop().await;
}

#[tokio::test]
async fn connections_are_kept_behind_answers_in_every_form() {
    let (server, gateway) = ready(Way::Modern).await;
    let (result, open) = (answered(said("fine")), Gate::shut());
    open.open();
    for answer in [
        Answer::json(200, &result),
        Answer::events(std::slice::from_ref(&result)),
        Answer::stream([&*event(&result)]).then(&open, ": over\n\n"),
    ] {
        let before = server.connections();
        for _ in 0..10 {
            server.once("tools/call", answer.clone());
            assert_eq!(gateway.call(FAR, "echo", json!({})).await, "fine");
        }
        let more = server.connections() - before;
        assert!(more < 5, "R47: {more} for ten calls, {answer:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_ends_in_a_call_leaves_its_outcome_unknown() {
    let (server, gateway) = ready(Way::Legacy).await;
    let whole = answered(said("fine"));
    let body = event(&whole);
    let ends = [
        ("a reset before the head", Answer::empty(200).reset(0).without_head()),
        ("an end before the head", Answer::empty(200).cut(0).without_head()),
        ("a body cut", Answer::json(200, &whole).cut(20)),
        ("a body not begun", Answer::json(200, &whole).cut(0)),
        ("a body reset", Answer::json(200, &whole).reset(20)),
        ("an event cut", Answer::stream([&*body]).cut(20)),
        ("an event without its blank line", Answer::stream([body.trim_end()]).cut(usize::MAX)),
        ("a stream reset", Answer::stream([": ping\n\n", &*body]).reset(8)),
        ("an id and no session to go on", Answer::stream([": ping\n\n"]).cut(8)),
    ];
    for (number, (what, answer)) in ends.into_iter().enumerate() {
        // Two calls of others are under way meanwhile.
        let others = at_once(&gateway, "slow", 2).await;
        server.wait_count("tools/call", 4 * number + 2).await;
        server.once("tool echo", answer);
        let error = unknown(&gateway).await;
        assert!(error["message"].to_string().contains("may or may not"), "R49: {what}: {error}");
        assert_eq!(server.count("tools/call"), 4 * number + 3, "R56: {what}: never sent again");
        echo(&gateway, what).await;
        server.release();
        for reply in others.join_all().await {
            reply.expect(200);
        }
        server.hold();
    }
    assert_eq!(server.count("initialize"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn calls_wait_for_a_server_that_is_away_and_none_is_lost_or_doubled() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.stop().await;
    let calls = at_once(&gateway, "echo", 20).await;
    let seen = wait_seen(&gateway, "it is away", |seen| seen["state"] == "backoff").await;
    assert!(cause(&seen).contains("refused the connection"), "R12, R13: {seen}");
    assert!(!cause(&seen).contains("uthentication"), "{seen}");
    server.forget_sessions();
    server.start_again().await;
    for reply in calls.join_all().await {
        reply.expect(200);
    }
    let mut done: Vec<u64> =
        server.executed().iter().map(|one| one["nonce"].as_u64().expect("a number")).collect();
    done.sort_unstable();
    assert_eq!(done, (0..20).collect::<Vec<_>>(), "R58");
    let seen = gateway.server(FAR).await;
    assert!(seen["restarts"].as_u64().is_some_and(|times| times >= 1), "R14: {seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_opened_once_it_is() {
    let server = ScriptedHttp::start(Way::Modern).await;
    server.stop().await;
    let gateway = crate::support::gateway::TestGateway::new().server(FAR, server.definition()).start().await;
    let seen = gateway.wait_state(FAR, "backoff").await;
    assert!(seen["supervision"]["next_start_at"].is_string(), "R11: {seen}");
    assert_eq!(seen["health"], "unhealthy", "R14");
    server.start_again().await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_restart_between_calls_costs_none_of_them() {
    let (server, gateway) = ready(Way::Legacy).await;
    for round in 0..3 {
        echo(&gateway, round).await;
        server.stop().await;
        server.forget_sessions();
        server.start_again().await;
    }
    echo(&gateway, 3).await;
    assert_eq!(server.executed().len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_asks_to_be_left_alone_is_and_the_call_comes_back_once() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.once("tools/call", Answer::of(429, "text/plain", "slow down").header("Retry-After", "2"));
    let first = at_once(&gateway, "echo", 1).await;
    server.wait_count("tools/call", 1).await;
    // Others wait with it, or were on their way already.
    let others = at_once(&gateway, "add", 5).await;
    for reply in first.join_all().await.into_iter().chain(others.join_all().await) {
        reply.expect(200);
    }
    let asked = server.asked("tools/call");
    assert_eq!(asked.len(), 7, "R55: once more, and once each");
    let echoes: Vec<_> = asked.iter().filter(|one| one.message["params"]["name"] == "echo").collect();
    assert_eq!(echoes.len(), 2, "R55: {echoes:?}");
    assert!(echoes[1].at.duration_since(echoes[0].at) >= Duration::from_secs(2), "R55");
    assert_eq!(gateway.server(FAR).await["state"], "ready");
    gateway.stop().await;
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_of_a_call_ends_it_and_asks_nothing() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.once("tools/call", Answer::empty(429).header("Retry-After", "3600"));
    for _ in 0..3 {
        let reply = gateway.v1_invoke(FAR, "echo", json!({})).await;
        let error = reply.expect(502);
        assert_eq!(error["error"]["details"]["phase"], "not_sent", "{error}");
        assert!(error.to_string().contains("429"), "{error}");
        assert!(reply.headers.contains_key("retry-after"), "R55: {:?}", reply.headers);
    }
    assert_eq!(server.count("tools/call"), 1, "R55: the server is left alone");
    gateway.stop().await;
}

#[tokio::test]
async fn each_status_proves_what_it_proves_and_no_call_is_doubled() {
    let (server, gateway) = ready(Way::Legacy).await;
    for status in [406, 411, 415, 426, 431] {
        let before = server.count("tools/call");
        server.once("tools/call", Answer::of(status, "text/plain", "no"));
        unseen(&gateway).await;
        assert!(server.count("tools/call") <= before + 1, "{status}");
    }
    for status in [400, 408, 409, 500, 502, 503, 504, 599] {
        let before = server.count("tools/call");
        server.once("tools/call", Answer::of(status, "text/plain", "no").header("Retry-After", "0"));
        unknown(&gateway).await;
        assert_eq!(server.count("tools/call"), before + 1, "R56: {status}");
        echo(&gateway, status).await;
    }
    assert_eq!(gateway.server(FAR).await["state"], "ready");
    gateway.stop().await;
}

#[tokio::test]
async fn refusals_open_no_breaker() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.always("tool slow", Answer::of(406, "text/plain", "no"));
    for _ in 0..60 {
        let reply = gateway.v1_invoke(FAR, "slow", json!({})).await.expect(502);
        assert_eq!(reply["error"]["details"]["phase"], "not_sent", "R58: {reply}");
    }
    assert_eq!(server.count("tools/call"), 60);
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_the_server_closes_between_calls_costs_none() {
    for way in [Way::Legacy, Way::Modern] {
        let (server, gateway) = ready(way).await;
        let mut result = said("fine");
        result["resultType"] = "complete".into();
        server.always("tools/call", Answer::result(result).closed());
        for number in 1..=30 {
            assert_eq!(gateway.call(FAR, "echo", json!({})).await, "fine", "R47");
            server.wait_closed(number).await;
        }
        assert_eq!(server.count("tools/call"), 30);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn sixty_four_calls_are_in_one_server_at_the_same_time() {
    for way in [Way::Legacy, Way::Modern, Way::Sse] {
        let (server, gateway) = ready(way).await;
        let calls = at_once(&gateway, "slow", 64).await;
        // None is answered before all are there.
        server.wait_count("tools/call", 64).await;
        server.release();
        for reply in calls.join_all().await {
            reply.expect(200);
        }
        assert_eq!(server.count("tools/call"), 64);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn connections_are_used_again() {
    let (server, gateway) = ready(Way::Legacy).await;
    for number in 0..30 {
        echo(&gateway, number).await;
    }
    assert!(server.connections() <= 4, "{} connections", server.connections());
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_who_leaves_is_told_to_a_legacy_server_and_seen_by_a_modern_one() {
    for way in [Way::Legacy, Way::Modern] {
        let (server, gateway) = ready(way).await;
        let mut calls: JoinSet<_> = at_once(&gateway, "slow", 1).await;
        let call = server.wait_count("tools/call", 1).await.remove(0);
        calls.abort_all();
        while calls.join_next().await.is_some() {}
        wait_until("the stream of the call is closed", DEADLINE, || async {
            (server.left().len() == 1).then_some(())
        })
        .await;
        match way {
            Way::Legacy => {
                let told = server.wait_count("notifications/cancelled", 1).await.remove(0);
                assert_eq!(told.message["params"]["requestId"], call.message["id"], "R59");
                assert_eq!(told.header("mcp-session-id"), Some("session-1"));
            }
            _ => assert_eq!(server.count("notifications/cancelled"), 0, "R59"),
        }
        echo(&gateway, 1).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_deadline_that_passes_is_504_and_cancels_the_call() {
    let (server, gateway) = ready(Way::Legacy).await;
    let body = json!({"mcp_id": FAR, "tool": "slow", "arguments": {}, "timeout": 200});
    let late = gateway.post(INVOKE, &body).await.expect(504);
    assert_eq!(late["error"]["code"], "mcp_timeout");
    server.wait_count("notifications/cancelled", 1).await;
    let client = modern(&gateway, FAR);
    assert!(client.call("echo", json!({})).result().await["content"].is_array());
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_misses_three_probes_is_opened_anew() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let probed = with(server.definition(), json!({"ping_interval": "200ms", "ping_timeout": "200ms"}));
    let gateway = with_definition(probed).await;
    server.wait_count("ping", 2).await;
    server.always("ping", Answer::never());
    wait_seen(&gateway, "it is doubtful", |seen| seen["state"] == "degraded").await;
    let seen = wait_seen(&gateway, "it is given up", |seen| seen["state"] == "backoff").await;
    assert!(cause(&seen).contains("three probes"), "R74: {seen}");
    server.unscripted();
    wait_opened(&server, 2).await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    assert!(server.count("GET") <= 2, "R74: one for each session, no probe is a GET");
    gateway.stop().await;
}

#[tokio::test]
async fn lists_that_a_rate_limit_refuses_are_read_after_the_pause() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.once("tools/list", Answer::empty(429).header("Retry-After", "1"));
    let gateway = with_definition(server.definition()).await;
    let asked = server.asked("tools/list");
    assert_eq!(asked.len(), 2, "R55");
    assert!(asked[1].at.duration_since(asked[0].at) >= Duration::from_secs(1));
    assert_eq!(server.count("initialize"), 1, "the opening goes on");
    gateway.stop().await;
}

#[tokio::test]
async fn an_opening_that_is_refused_for_now_comes_back_when_it_may() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.once("server/discover", Answer::empty(429).header("Retry-After", "4"));
    let (gateway, seen) = super::tried(server.definition(), "backoff").await;
    assert!(cause(&seen).contains("429"), "{seen}");
    gateway.wait_state(FAR, "ready").await;
    let asked = server.asked("server/discover");
    assert!(asked[1].at.duration_since(asked[0].at) >= Duration::from_secs(4), "R15");
    gateway.stop().await;
}

#[tokio::test]
async fn a_slow_first_byte_is_no_failure_of_its_own() {
    let (server, gateway) = ready(Way::Modern).await;
    let gate = Gate::shut();
    let result = json!({"content": [{"type": "text", "text": "fine"}], "resultType": "complete"});
    server.once(
        "tools/call",
        Answer::stream([": ping\n\n"]).then(&gate, &event(&answered(result))).after(&gate),
    );
    let opening = async {
        server.wait_count("tools/call", 1).await;
        echo(&gateway, 1).await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(gateway.v1_invoke(FAR, "echo", json!({})), opening);
    assert_eq!(reply.expect(200)["data"]["result"], "fine");
    refused(&gateway, "nothing", 404, "tool_not_found").await;
    gateway.stop().await;
}
