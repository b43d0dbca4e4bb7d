//! Children that end again and again, cannot be started, or take their time: who is tried when,
//! and what it costs the others. Part A of the list in `docs/supervision.md`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::load::{in_turn, percentile};
use crate::support::processes::Process;
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// Waits until a server has this count of failures in a row, and returns when its children came.
async fn watch_starts(gateway: &Gateway, server: &str, failures: u64) -> Vec<Instant> {
    let mut starts: Vec<Instant> = Vec::new();
    let end = Instant::now() + DEADLINE;
    loop {
        let seen = gateway.server(server).await;
        let known = seen["supervision"]["incarnation"].as_u64().unwrap_or_default();
        while (starts.len() as u64) < known {
            starts.push(Instant::now());
        }
        if seen["supervision"]["failures"].as_u64() >= Some(failures) {
            return starts;
        }
        assert!(Instant::now() < end, "waited in vain for {failures} failures: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn gaps(starts: &[Instant]) -> Vec<Duration> {
    starts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A1. The whole curve is in the state machine's tests, in no time; here are its first steps.
#[tokio::test]
async fn a_server_that_always_exits_is_tried_ever_less_often_and_costs_little() {
    // Each time with another code: what always ends in the same way is tried less often still.
    let directory = tempfile::tempdir().expect("a directory");
    let script = "echo >>\"$0\"; exit $(wc -l <\"$0\")";
    let always = json!({"command": "sh", "args": ["-c", script, directory.path().join("count")]});
    let always = with(always, json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("broken", always).start().await;
    let (before, began) = (Usage::of(gateway.pid()), Instant::now());
    let starts = watch_starts(&gateway, "broken", 4).await;
    let (spent, took) = (Usage::of(gateway.pid()).cpu - before.cpu, began.elapsed());
    let gaps = gaps(&starts);
    eprintln!("measured A1: starts after {gaps:?}; daemon's CPU {spent:?} of {took:?}, our polling included");
    assert_eq!(starts.len(), 4, "0, 1, 3 and 7 seconds");
    for (gap, nominal) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        // Less a fifth of jitter, and what looking now and then blurs.
        assert!(gap.as_secs_f64() > nominal * 0.6, "{gaps:?}");
    }
    let seen = gateway.server("broken").await;
    assert_eq!(seen["state"], "backoff");
    assert_eq!(seen["cause"], "exited with code 4");
    assert!(seen["supervision"]["next_start_at"].is_string(), "{seen}");
    gateway.stop().await;
}

/// Whole minutes between two moments of one answer, as far as a day goes.
fn minutes_between(earlier: &str, later: &str) -> i64 {
    let minute = |moment: &str| -> i64 {
        let digits = |from: usize| moment[from..from + 2].parse::<i64>().expect("digits");
        digits(11) * 60 + digits(14)
    };
    (minute(later) - minute(earlier)).rem_euclid(24 * 60)
}

/// What its neighbours could use is not spent on what cannot work: W12 of the servers that were tried.
#[tokio::test]
async fn a_server_never_ready_that_ends_alike_each_time_is_left_alone_for_minutes() {
    let script = "echo \"Error: ORCHARD_KEY is not set ($$)\" >&2; echo 'usage: orchard' >&2; exit 2";
    let keyless = |first: &str| json!({"command": "sh", "args": ["-c", format!("{first} {script}")]});
    // One that has read what it was sent may have ended of it, and is opened in the other way, too.
    let gateway = TestGateway::new()
        .server("keyless", keyless(""))
        .server("reader", keyless("read line;"))
        .start()
        .await;
    let left_alone = async |name: &str, after: u32| {
        wait_until("it is left alone", DEADLINE, || async {
            let seen = gateway.server(name).await;
            let next =
                seen["supervision"]["next_start_at"].as_str().zip(seen["supervision"]["since"].as_str());
            let minutes = next.is_some_and(|(next, since)| minutes_between(since, next) >= 4);
            (minutes && seen["supervision"]["incarnation"] == after).then_some(seen)
        })
        .await
    };
    left_alone("reader", 3).await;
    let seen = left_alone("keyless", 2).await;
    let cause = seen["cause"].as_str().expect("a cause");
    assert!(
        cause.starts_with(
            "exited with code 2: it wants the variable ORCHARD_KEY: Error: ORCHARD_KEY is not set"
        ),
        "the line that says why: {cause}"
    );
    let call = json!({"mcp_id": "keyless", "tool": "t", "timeout": 20_000});
    let asked = Instant::now();
    let refused = gateway.post(INVOKE, &call).await.expect(502)["error"]["message"].clone();
    assert!(asked.elapsed() < Duration::from_secs(5), "it is told at once");
    for part in ["ORCHARD_KEY", "will not help before it is mended", "; its log: mcpvisor logs "] {
        assert!(refused.as_str().is_some_and(|text| text.contains(part)), "{part}: {refused}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_meets_a_failing_server_is_told_why_within_a_moment() {
    let script = "sleep 0.2; echo \"fatal: no disk $(date +%N)\" >&2; exit $(( $$ % 7 + 1 ))";
    let failing = with(json!({"command": "sh", "args": ["-c", script]}), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("failing", failing).start().await;
    wait_until("a start has failed", DEADLINE, || async {
        (gateway.server("failing").await["supervision"]["failures"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    let asked = Instant::now();
    let body = json!({"mcp_id": "failing", "tool": "t", "timeout": 30_000});
    let refused = gateway.post(INVOKE, &body).await.expect(502)["error"]["message"].clone();
    assert!(asked.elapsed() < Duration::from_secs(10), "not at its deadline");
    assert!(refused.as_str().is_some_and(|text| text.contains("fatal: no disk")), "{refused}");
    wait_until("two further starts have failed", DEADLINE, || async {
        let seen = gateway.server("failing").await;
        let is_told = seen["cause"].as_str().is_some_and(|cause| cause.contains("fatal: no disk"));
        assert!(is_told && seen["health"] == "unhealthy", "in every state: {seen}");
        (seen["supervision"]["failures"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    gateway.stop().await;
}

/// A3.
#[tokio::test]
async fn a_server_that_dies_soon_after_it_was_ready_is_tried_less_and_less_often() {
    let fragile = with(fake(&["--crash-after", "100"]), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("fragile", fragile).start().await;
    gateway.wait_state("fragile", "ready").await;
    let starts = watch_starts(&gateway, "fragile", 3).await;
    let gaps = gaps(&starts);
    eprintln!("measured A3: starts after {gaps:?}");
    assert_eq!(starts.len(), 3, "being ready for a moment resets nothing");
    assert!(gaps[0].as_secs_f64() > 0.6 && gaps[1].as_secs_f64() > 1.2, "{gaps:?}");
    gateway.stop().await;
}

/// A server that writes down when it began and when it ended, and fails.
fn logging(log: &Path) -> Value {
    let script = "echo start $(date +%s%N) >>\"$0\"; sleep 0.3; echo end $(date +%s%N) >>\"$0\"; exit 1";
    json!({"command": "sh", "args": ["-c", script, log]})
}

/// When which kind of thing happened, in nanoseconds, in order.
fn logged(log: &Path) -> Vec<(u64, bool)> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<(u64, bool)> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(kind, at)| (at.parse().expect("nanoseconds"), kind == "start"))
        .collect();
    lines.sort_unstable();
    lines
}

/// A2.
#[tokio::test]
async fn fifty_servers_that_fail_at_once_start_by_turns_and_harm_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let gateway = TestGateway::new().server("well", fake(&[])).start().await;
    gateway.wait_state("well", "ready").await;
    let call = json!({"mcp_id": "well", "tool": "echo", "arguments": {"nonce": 1}});
    in_turn(&gateway, &call, 100).await;
    let alone = in_turn(&gateway, &call, 500).await;
    let mut servers = json!({"well": gateway.marked(fake(&[]))});
    for number in 0..50 {
        servers[format!("broken{number}")] = gateway.marked(logging(&log));
    }
    let file = json!({"mcpServers": servers}).to_string();
    fs::write(gateway.data().join("import.json"), file).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    let mut beside = Vec::new();
    let end = Instant::now() + DEADLINE;
    // Each has had its turn by then, and many a second one.
    while logged(&log).iter().filter(|(_, start)| *start).count() < 85 {
        assert!(Instant::now() < end, "not all have had their turn: {:?}", logged(&log));
        beside.extend(in_turn(&gateway, &call, 50).await);
    }
    let lines = logged(&log);
    let starts: Vec<u64> = lines.iter().filter(|(_, start)| *start).map(|(at, _)| *at).collect();
    let mut running = 0_i32;
    let most = lines.iter().map(|(_, start)| {
        running += if *start { 1 } else { -1 };
        running
    });
    let most = most.max().expect("some");
    let span = Duration::from_nanos(starts[starts.len() - 1] - starts[0]).as_secs_f64();
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    eprintln!(
        "measured A2: {} starts in {span:.1} s, at most {most} at once; p99 of the healthy one {before:?} alone, {during:?} beside",
        starts.len()
    );
    assert!(most <= 32, "more starts at once than the brake allows, even on an idle machine");
    assert!(
        starts.len() as f64 <= 50.0 + 10.0 * (span + 1.0) + 5.0,
        "beyond the first start of each, faster than ten a second after the first burst"
    );
    assert!(beside.iter().all(|shot| shot.status == 200));
    assert!(during < before * 10 + Duration::from_millis(100), "{before:?} {during:?}");
    gateway.stop().await;
}

/// A5.
#[tokio::test]
async fn every_fault_of_a_definition_names_errno_and_path_and_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, content: &[u8], mode: u32| {
        let path = directory.path().join(name);
        fs::write(&path, content).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let plain = file("plain", b"#!/bin/sh\n", 0o644);
    // An ELF head for a machine that this is not.
    let foreign = file("foreign", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\xff\xff\x01\0\0\0", 0o755);
    let unread = file("unread", b"#!/no/such/interpreter\n", 0o755);
    let missing = directory.path().join("missing").to_str().expect("UTF-8").to_owned();
    let program = env!("CARGO_BIN_EXE_fake-mcp");
    let cases = [
        ("missing", json!({"command": missing}), "ENOENT", missing.clone()),
        ("bare", json!({"command": "no-such-program"}), "ENOENT", "no-such-program".to_owned()),
        ("plain", json!({"command": plain}), "EACCES", plain.clone()),
        ("foreign", json!({"command": foreign}), "ENOEXEC", foreign.clone()),
        ("unread", json!({"command": unread}), "ENOENT", unread.clone()),
        ("nowhere", json!({"command": program, "cwd": missing}), "ENOENT", missing.clone()),
        ("file", json!({"command": program, "cwd": plain}), "ENOTDIR", plain.clone()),
    ];
    let mut builder = TestGateway::new().server("well", fake(&[]));
    for (name, definition, ..) in &cases {
        builder = builder.server(name, definition.clone());
    }
    let gateway = builder.start().await;
    gateway.wait_state("well", "ready").await;
    for (name, _, errno, path) in &cases {
        let seen = gateway.wait_state(name, "failed").await;
        let cause = seen["cause"].as_str().unwrap_or_default();
        assert!(cause.contains(errno) && cause.contains(path.as_str()), "{name}: {cause}");
    }
    // Some time for a retry that must not come; the first would come after a second.
    let quiet = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < quiet {
        gateway.call("well", "echo", json!({"nonce": 1})).await;
    }
    for (name, ..) in &cases {
        let seen = gateway.server(name).await;
        let state = (&seen["state"], &seen["supervision"]["incarnation"], &seen["restarts"]);
        assert_eq!(state, (&json!("failed"), &json!(1), &json!(0)), "{name}");
    }
    gateway.stop().await;
}

/// A6.
#[tokio::test]
async fn a_handshake_that_never_ends_is_ended_at_its_deadline_with_its_process() {
    let hanging = with(
        fake(&["--hang-init", "--ignore-term", "--ignore-eof"]),
        json!({"era": "legacy", "start_timeout": "2s", "stdin_grace": "100ms", "term_grace": "100ms"}),
    );
    let began = Instant::now();
    let gateway = TestGateway::new().server("mute", hanging).server("well", fake(&[])).start().await;
    gateway.get("/healthz").await.expect(200);
    gateway.wait_state("well", "ready").await;
    gateway.call("well", "echo", json!({"nonce": 1})).await;
    let meanwhile = began.elapsed();
    let child = wait_until("the child is there", DEADLINE, || async {
        gateway.server("mute").await["supervision"]["pid"].as_i64().map(Process::of)
    })
    .await;
    let started = Instant::now();
    let seen = gateway.wait_state("mute", "backoff").await;
    eprintln!(
        "measured A6: others served after {meanwhile:?}; given up {:?} after it was seen",
        started.elapsed()
    );
    let cause = seen["cause"].as_str().unwrap_or_default();
    assert!(cause.contains("initialize") && cause.contains("2 s"), "{cause}");
    assert!(!child.is_there(), "ended and reaped before anything is said of it");
    gateway.stop().await;
}

/// A7.
#[tokio::test]
async fn a_slow_start_is_waited_for_and_who_cannot_is_told_of_no_call_made() {
    let slow = with(fake(&["--slow-init", "4000"]), json!({"era": "legacy"}));
    let gateway = TestGateway::new().server("slow", slow).start().await;
    let call = |timeout: u64| json!({"mcp_id": "slow", "tool": "echo", "arguments": {"nonce": 5}, "timeout": timeout});
    let (hasty, patient) = (call(200), call(60_000));
    let began = Instant::now();
    let (refused, (waited, answered)) = tokio::join!(gateway.post(INVOKE, &hasty), async {
        (gateway.post(INVOKE, &patient).await, began.elapsed())
    });
    eprintln!("measured A7: a start of 4 s; the patient call was answered after {answered:?}");
    assert_eq!(refused.expect(504)["error"]["details"]["phase"], "not_sent");
    assert_eq!(waited.expect(200)["data"]["result"]["nonce"], 5);
    let stats = gateway.call("slow", "stats", json!({})).await;
    assert_eq!(stats["executions"], 2, "the hasty call came to nothing: {stats}");
    assert_eq!(gateway.server("slow").await["restarts"], 0, "a slow start is no failure");
    gateway.stop().await;
}

/// A12.
#[tokio::test]
async fn an_unasked_exit_with_code_0_follows_the_policy_and_is_named_as_it_is() {
    let mut builder = TestGateway::new();
    for restart in ["always", "on-failure", "never"] {
        builder = builder.server(restart, with(fake(&[]), json!({"restart": restart})));
    }
    let gateway = Arc::new(builder.start().await);
    for (restart, state) in [("always", "backoff"), ("on-failure", "exited"), ("never", "exited")] {
        gateway.wait_state(restart, "ready").await;
        gateway.v1_invoke(restart, "crash", json!({"code": 0})).await.expect(502);
        let seen = gateway.wait_state(restart, state).await;
        let last = seen["supervision"]["last_exit"].as_str().expect("it ended");
        assert_eq!(last, "exited with code 0: fake-mcp: crashing, as told", "{seen}");
    }
    let seen = wait_until("the one that is always replaced is back", DEADLINE, || async {
        let seen = gateway.server("always").await;
        (seen["state"] == "ready" && seen["restarts"] == 1).then_some(seen)
    })
    .await;
    assert_eq!(seen["health"], "healthy");
    for left in ["on-failure", "never"] {
        let seen = gateway.server(left).await;
        assert_eq!((&seen["state"], &seen["restarts"]), (&json!("exited"), &json!(0)));
        gateway.v1_invoke(left, "echo", json!({})).await.expect(502);
        gateway.post(&format!("/v1/mcps/{left}/restart"), &json!({})).await.expect(200);
        gateway.wait_state(left, "ready").await;
    }
    Arc::into_inner(gateway).expect("the only one").stop().await;
}
