//! Stopping: the daemon's own end, and that of its children's whole trees.

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::logs::Following;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::http::Reply;
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

/// Begins a call of `sleep` that goes on while the test does something else.
async fn begin_sleep(gateway: &Gateway, ms: u64) -> JoinHandle<Result<Reply, hyper::Error>> {
    let mut connection = gateway.connect().await;
    let body = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": ms}, "timeout": 300_000});
    let call = tokio::spawn(async move { connection.send("POST", INVOKE, Some(&body)).await });
    wait_until("the call is in the child", DEADLINE, || async {
        (gateway.call("fake", "stats", json!({})).await["in_flight"] == 1).then_some(())
    })
    .await;
    call
}

async fn grandchild(gateway: &Gateway, server: &str, arguments: Value) -> Process {
    let answer = gateway.call(server, "spawn_child", arguments).await;
    Process::of(answer["pid"].as_i64().expect("a number"))
}

async fn child_of(gateway: &Gateway, server: &str) -> Process {
    gateway.child(server).await
}

async fn wait_gone(what: &str, processes: &[Process]) {
    wait_until(what, DEADLINE, || async {
        processes.iter().all(|process| !process.is_there()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sigterm_lets_the_running_calls_finish() {
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let call = begin_sleep(&gateway, 1_500).await;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_draining().await;
    let reply = call.await.expect("no panic").expect("an answer");
    assert_eq!(reply.expect(200)["data"]["result"], "slept");
    let status = gateway.wait_exit("the daemon ends when its calls have").await;
    assert!(status.success(), "{status}");
    gateway.stop().await;
}

#[tokio::test]
async fn sigterm_under_load_finishes_every_call_and_waits_for_no_stream() {
    const CALLS: usize = 200;
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let mut half = gateway.raw_socket().await;
    half.write_all(b"POST /v1/mcp/invoke HTTP/1.1\r\nHost: 127").await.expect("accepted");
    let mut stream = Following::start(&gateway, "/v1/mcps/fake/logs?follow=true", "").await;
    stream.until("200 OK").await;
    // They end together with a file that is made when the daemon has begun to stop.
    let latch = gateway.data().join("latch");
    let body =
        json!({"mcp_id": "fake", "tool": "wait_for", "arguments": {"file": latch}, "timeout": 300_000});
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let mut connection = gateway.connect().await;
        let body = body.clone();
        calls.push(tokio::spawn(async move { connection.send("POST", INVOKE, Some(&body)).await }));
    }
    wait_until("every call is in the child", DEADLINE, || async {
        let there = gateway.call("fake", "stats", json!({})).await["in_flight"].as_u64();
        (there == Some(CALLS as u64)).then_some(())
    })
    .await;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_draining().await;
    std::fs::write(&latch, b"").expect("written");
    for call in calls {
        call.await.expect("no panic").expect("an answer").expect(200);
    }
    let status = gateway.wait_exit("the daemon ends when its calls have").await;
    assert!(status.success(), "{status}");
    gateway.stop().await;
    drop((half, stream));
}

#[tokio::test]
async fn calls_that_outlast_the_drain_get_503_or_502_and_the_exit_code_says_so() {
    let config = "[server]\ndrain = \"300ms\"\n";
    let mut gateway = TestGateway::new().server("fake", fake(&[])).config_toml(config).start().await;
    gateway.wait_state("fake", "ready").await;
    let call = begin_sleep(&gateway, 600_000).await;
    let status = gateway.terminate().await;
    assert!(!status.success(), "a forced end is no success");
    let reply = call.await.expect("no panic").expect("an answer");
    assert!([502, 503].contains(&reply.status), "{} {}", reply.status, reply.text());
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_wait() {
    let config = "[server]\ndrain = \"1h\"\n";
    let mut gateway = TestGateway::new().server("fake", fake(&[])).config_toml(config).start().await;
    gateway.wait_state("fake", "ready").await;
    let call = begin_sleep(&gateway, 600_000).await;
    gateway.signal(Signal::SIGTERM);
    gateway.wait_draining().await;
    gateway.signal(Signal::SIGTERM);
    let status = gateway.wait_exit("the second signal forces the end").await;
    assert!(!status.success(), "a forced end is no success");
    call.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn a_half_sent_request_does_not_hold_up_the_end() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let mut half = gateway.raw_socket().await;
    half.write_all(b"POST /v1/mcp/invoke HTTP/1.1\r\nHost: 127").await.expect("accepted");
    let mut garbage = gateway.raw_socket().await;
    garbage.write_all(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.expect("accepted");
    let mut answer = Vec::new();
    // Either a 400 or a closed connection, and the next request is served.
    let _ = garbage.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(gateway.call("fake", "echo", json!({"nonce": 1})).await["nonce"], 1);
    gateway.stop().await;
    drop(half);
}

#[tokio::test]
async fn a_stubborn_child_is_gone_when_the_daemon_is() {
    let settings = json!({"stdin_grace": "200ms", "term_grace": "200ms"});
    let gateway = TestGateway::new()
        .server("fake", with(fake(&["--ignore-eof", "--ignore-term"]), settings.clone()))
        .server("hung", with(fake(&["--hang-init", "--ignore-eof", "--ignore-term"]), settings))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    // That nothing is left, and that the end was an orderly one, is what `stop` checks.
    gateway.stop().await;
}

#[tokio::test]
async fn a_killed_daemon_leaves_nothing_that_the_next_start_does_not_clear_away() {
    let stubborn = fake(&["--ignore-eof", "--ignore-term"]);
    let mut gateway =
        TestGateway::new().server("one", stubborn.clone()).server("two", stubborn).start().await;
    gateway.wait_state("one", "ready").await;
    gateway.wait_state("two", "ready").await;
    let old = [
        child_of(&gateway, "one").await,
        child_of(&gateway, "two").await,
        grandchild(&gateway, "one", json!({"mode": "escape"})).await,
    ];
    gateway.kill_9().await;
    assert!(old.iter().all(|process| process.is_there()), "nobody was there to stop them");
    gateway.restart().await;
    gateway.wait_state("one", "ready").await;
    gateway.wait_state("two", "ready").await;
    let new = child_of(&gateway, "one").await;
    assert!(!old.contains(&new));
    // Killed by the new daemon, reaped by whoever inherited them: dead is what is promised.
    wait_until("the old processes are dead", DEADLINE, || async {
        let left = gateway.left_behind();
        old.iter().all(|process| !left.iter().any(|(pid, _)| *pid == process.pid)).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_removed_server_takes_its_whole_tree_along() {
    let gateway = TestGateway::new().server("fake", fake(&[])).server("well", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway.wait_state("well", "ready").await;
    let tree = [
        child_of(&gateway, "fake").await,
        grandchild(&gateway, "fake", json!({"mode": "same-group"})).await,
        grandchild(&gateway, "fake", json!({"mode": "escape"})).await,
        grandchild(&gateway, "fake", json!({"mode": "escape", "clear_env": true})).await,
    ];
    let bystander = child_of(&gateway, "well").await;
    gateway.delete("/api/servers/fake").await.expect(200);
    gateway.get("/api/servers/fake").await.expect(404);
    wait_gone("the removed server's tree is gone", &tree).await;
    assert!(bystander.is_there());
    assert_eq!(gateway.call("well", "echo", json!({"nonce": 1})).await["nonce"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_changed_definition_replaces_the_child() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let old = child_of(&gateway, "fake").await;
    let body = json!({"args": ["--tools", "1"]});
    gateway.put("/api/servers/fake", &body).await.expect(200);
    wait_gone("the old child is gone", &[old]).await;
    wait_until("the new definition is in force", DEADLINE, || async {
        (gateway.v1_invoke("fake", "tool_0", json!({"nonce": 1})).await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}
