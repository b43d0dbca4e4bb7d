//! Children die; their callers are told the truth, and the next call finds a new child.

use std::fs;

use serde_json::json;
use tokio::task::JoinSet;

use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn a_killed_child_fails_its_calls_at_once_and_comes_back_unaided() {
    let directory = tempfile::tempdir().expect("a directory");
    let counter = directory.path().join("executions");
    let flags = ["--count-file", counter.to_str().expect("UTF-8")];
    let gateway = TestGateway::new().server("fake", fake(&flags)).start().await;
    gateway.wait_state("fake", "ready").await;
    let mut issued = 1;
    let child = Process::of(gateway.call("fake", "pid", json!({})).await["pid"].as_i64().expect("a number"));
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let mut connection = gateway.connect().await;
        let body =
            json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 600_000}, "timeout": 300_000});
        issued += 1;
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    loop {
        issued += 1;
        if gateway.call("fake", "stats", json!({})).await["in_flight"] == 100 {
            break;
        }
        tokio::task::yield_now().await;
    }
    child.kill();
    // Far sooner than the deadline of the calls, or the client's patience fails the test.
    for reply in calls.join_all().await {
        let refused = reply.expect(502);
        assert_eq!(refused["error"]["code"], "mcp_unreachable");
        assert_eq!(refused["error"]["details"]["phase"], "in_flight");
    }
    let seen = wait_until("the next child is ready", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        match seen["state"].as_str() {
            Some("ready") => (seen["restarts"] == 1).then_some(seen),
            Some("backoff") => {
                let cause = seen["cause"].as_str().unwrap_or_default();
                assert!(cause.contains("signal 9") && seen["health"] == "unhealthy", "{seen}");
                None
            }
            _ => None,
        }
    })
    .await;
    assert_eq!(seen["health"], "healthy");
    assert!(!child.is_there(), "the dead child was reaped");
    issued += 1;
    assert_eq!(gateway.call("fake", "echo", json!({"nonce": "again"})).await["nonce"], "again");
    let executed = fs::read(&counter).expect("counted").len();
    assert_eq!(executed, issued, "no call was carried out twice, and none was lost before the child");
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_ends_its_child_is_answered_and_not_repeated() {
    let directory = tempfile::tempdir().expect("a directory");
    let counter = directory.path().join("executions");
    let flags = ["--count-file", counter.to_str().expect("UTF-8")];
    let gateway = TestGateway::new().server("fake", fake(&flags)).start().await;
    gateway.wait_state("fake", "ready").await;
    let refused = gateway.v1_invoke("fake", "crash", json!({"code": 7})).await.expect(502);
    assert_eq!(refused["error"]["details"]["phase"], "in_flight");
    // Waits for the restart, within its own deadline.
    assert_eq!(gateway.call("fake", "echo", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(fs::read(&counter).expect("counted").len(), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_crash_is_nobody_elses_business() {
    let gateway = TestGateway::new()
        .server("fragile", fake(&["--crash-after", "50"]))
        .server("well", fake(&[]))
        .start()
        .await;
    gateway.wait_state("well", "ready").await;
    let before = gateway.call("well", "pid", json!({})).await;
    wait_until("two restarts of the fragile server", DEADLINE, || async {
        assert_eq!(gateway.call("well", "pid", json!({})).await, before);
        (gateway.server("fragile").await["restarts"].as_u64() >= Some(2)).then_some(())
    })
    .await;
    assert_eq!(gateway.server("well").await["restarts"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_grandchild_that_holds_stdout_open_does_not_hide_the_death_of_the_child() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let answer =
        gateway.call("fake", "spawn_child", json!({"mode": "same-group", "hold_stdout": true})).await;
    let grandchild = Process::of(answer["pid"].as_i64().expect("a number"));
    let refused = gateway.v1_invoke("fake", "crash", json!({"signal": 9})).await.expect(502);
    assert_eq!(refused["error"]["details"]["phase"], "in_flight");
    wait_until("the next child is ready", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        (seen["state"] == "ready" && seen["restarts"] == 1).then_some(())
    })
    .await;
    assert!(!grandchild.is_there(), "a new child starts only when the old tree is gone");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stopped_child_is_replaced_and_a_busy_silent_one_is_left_alone() {
    let watched = json!({"ping_interval": "200ms", "ping_timeout": "300ms", "term_grace": "500ms"});
    let gateway = TestGateway::new()
        .server("frozen", with(fake(&[]), watched.clone()))
        .server("busy", with(fake(&[]), watched.clone()))
        .start()
        .await;
    gateway.wait_state("frozen", "ready").await;
    gateway.wait_state("busy", "ready").await;
    let busy = gateway.call("busy", "pid", json!({})).await["pid"].as_u64().expect("a pid");
    let frozen = gateway.call("frozen", "pid", json!({})).await["pid"].as_u64().expect("a pid");
    let long = gateway.call("busy", "sleep", json!({"ms": 3000}));
    let replaced = async {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(frozen).expect("a pid")),
            nix::sys::signal::Signal::SIGSTOP,
        )
        .expect("the child is there");
        wait_until("the stopped child has been replaced", DEADLINE, || async {
            let server = gateway.server("frozen").await;
            (server["state"] == "ready" && server["restarts"] == 1).then_some(())
        })
        .await;
        gateway.call("frozen", "pid", json!({})).await["pid"].as_u64().expect("a pid")
    };
    let (_, replacement) = tokio::join!(long, replaced);
    assert_ne!(replacement, frozen);
    assert_eq!(gateway.call("busy", "pid", json!({})).await["pid"], busy, "a busy child is not replaced");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_is_told_by_what_its_child_was_killed_also_under_load() {
    const SERVERS: usize = 6;
    const ROUNDS: usize = 3;
    let mut building = TestGateway::new();
    let names: Vec<String> = (0..SERVERS).map(|n| format!("fake{n}")).collect();
    for name in &names {
        building = building.server(name, fake(&[]));
    }
    let gateway = building.start().await;
    // Busy cores: the end of a child is seen some time after that of its output.
    let mut busy: Vec<_> = (0..4)
        .map(|_| {
            tokio::process::Command::new("sh").args(["-c", "while :; do :; done"]).kill_on_drop(true).spawn()
        })
        .collect::<Result<_, _>>()
        .expect("started");
    for _ in 0..ROUNDS {
        let mut calls = JoinSet::new();
        for name in &names {
            gateway.wait_state(name, "ready").await;
            let child = gateway.child(name).await;
            let mut connection = gateway.connect().await;
            let arguments = json!({"ms": 600_000});
            let body = json!({"mcp_id": name, "tool": "sleep", "arguments": arguments, "timeout": 60_000});
            calls.spawn(async move {
                (child, connection.send("POST", INVOKE, Some(&body)).await.expect("an answer"))
            });
            wait_until("the call is with its child", DEADLINE, || async {
                (gateway.call(name, "stats", json!({})).await["in_flight"] == 1).then_some(())
            })
            .await;
            child.kill();
        }
        for (_, reply) in calls.join_all().await {
            let refused = reply.expect(502);
            let (error, details) = (&refused["error"], &refused["error"]["details"]["server"]);
            let told = error["message"].as_str().unwrap_or_default();
            assert!(told.contains("SIGKILL") || told.contains("signal 9"), "{refused}");
            assert_ne!(details["state"], "stopping", "{refused}");
            assert!(details["cause"].is_string(), "{refused}");
        }
    }
    for process in &mut busy {
        process.kill().await.expect("killed");
    }
    gateway.stop().await;
}
