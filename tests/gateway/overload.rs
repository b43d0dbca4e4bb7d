//! More to do than can be done, and servers that do nothing: who waits, who is refused, and that
//! the others do not notice. Parts C and G of the list in `docs/supervision.md`.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::load::{Shot, at_a_rate, in_turn, of_status, percentile};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

fn echo(server: &str) -> Value {
    json!({"mcp_id": server, "tool": "echo", "arguments": {"nonce": 1}})
}

fn sleep(server: &str, ms: u64, timeout: u64) -> Value {
    json!({"mcp_id": server, "tool": "sleep", "arguments": {"ms": ms}, "timeout": timeout})
}

async fn wait_in_flight(gateway: &Gateway, server: &str, count: u64) {
    wait_until("the calls are in flight", DEADLINE, || async {
        (gateway.server(server).await["traffic"]["in_flight"] == count).then_some(())
    })
    .await;
}

/// C42. Its cancellation in the child is in `calling.rs`.
#[tokio::test]
async fn a_caller_who_leaves_makes_room_at_once() {
    let gateway =
        TestGateway::new().server("narrow", with(fake(&[]), json!({"max_in_flight": 1}))).start().await;
    gateway.wait_state("narrow", "ready").await;
    let mut leaving = gateway.connect().await;
    let body = sleep("narrow", 600_000, 300_000);
    let call = tokio::spawn(async move { leaving.send("POST", INVOKE, Some(&body)).await });
    wait_in_flight(&gateway, "narrow", 1).await;
    let waiting = gateway.connect();
    let mut waiting = waiting.await;
    let next = tokio::spawn(async move { waiting.send("POST", INVOKE, Some(&echo("narrow"))).await });
    wait_until("the next call is queued", DEADLINE, || async {
        (gateway.server("narrow").await["traffic"]["queued"] == 1).then_some(())
    })
    .await;
    let queue = gateway.get("/v1/mcps/narrow/queue").await.expect(200)["data"].clone();
    assert_eq!((&queue[0]["waiting"], queue.as_array().map(Vec::len)), (&json!(1), Some(1)), "{queue}");
    assert!(queue[0]["key_id"].as_str().is_some_and(|id| id.starts_with("key_")), "{queue}");
    assert!(queue[0]["key_name"].is_string(), "{queue}");
    let left = Instant::now();
    call.abort();
    next.await.expect("no panic").expect("an answer").expect(200);
    eprintln!("measured C42: the next call was answered {:?} after the caller had left", left.elapsed());
    let stats = gateway.call("narrow", "stats", json!({})).await;
    assert_eq!(stats["cancelled"].as_array().map(Vec::len), Some(1), "{stats}");
    gateway.stop().await;
}

/// C43.
#[tokio::test]
async fn a_call_whose_deadline_passes_in_the_queue_is_never_carried_out() {
    let gateway =
        TestGateway::new().server("narrow", with(fake(&[]), json!({"max_in_flight": 1}))).start().await;
    gateway.wait_state("narrow", "ready").await;
    let mut first = gateway.connect().await;
    let long =
        tokio::spawn(async move { first.send("POST", INVOKE, Some(&sleep("narrow", 1500, 60_000))).await });
    wait_in_flight(&gateway, "narrow", 1).await;
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": "narrow", "tool": "echo", "timeout": 200});
        waiting.spawn(async move {
            let began = Instant::now();
            (connection.send("POST", INVOKE, Some(&body)).await.expect("an answer"), began.elapsed())
        });
    }
    let mut late = Duration::ZERO;
    for (reply, took) in waiting.join_all().await {
        assert_eq!(reply.expect(504)["error"]["details"]["phase"], "not_sent");
        late = late.max(took.saturating_sub(Duration::from_millis(200)));
    }
    eprintln!("measured C43: answered at most {late:?} after the deadline");
    long.await.expect("no panic").expect("an answer").expect(200);
    let stats = gateway.call("narrow", "stats", json!({})).await;
    assert_eq!(stats["executions"], 2, "the long one and this: {stats}");
    gateway.stop().await;
}

/// C44.
#[tokio::test]
async fn a_child_that_never_reads_again_is_refused_calls_found_and_replaced() {
    let watched = json!({"ping_interval": "300ms", "ping_timeout": "300ms", "stdin_grace": "100ms", "breaker_pause": "60s"});
    let gateway = TestGateway::new()
        .server("deaf", with(fake(&["--deaf"]), watched))
        .server("well", fake(&[]))
        .config_toml("[http]\ncall_timeout = \"100ms\"\n")
        .start()
        .await;
    gateway.wait_state("deaf", "ready").await;
    gateway.wait_state("well", "ready").await;
    let began = Instant::now();
    let mut unanswered = 0;
    loop {
        // Together far more than a pipe holds.
        let big = json!({"mcp_id": "deaf", "tool": "echo", "arguments": {"text": "x".repeat(100_000)}});
        match gateway.post(INVOKE, &big).await.status {
            503 => break,
            502 | 504 => unanswered += 1,
            other => panic!("{other} from a child that does not read"),
        }
        assert!(began.elapsed() < DEADLINE, "{unanswered} calls and no refusal");
        gateway.call("well", "echo", json!({"nonce": 1})).await;
    }
    let refused = began.elapsed();
    wait_until("the deaf child has been replaced", DEADLINE, || async {
        (gateway.server("deaf").await["restarts"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    eprintln!(
        "measured C44: refused after {unanswered} unanswered calls and {refused:?}, replaced after {:?}",
        began.elapsed()
    );
    assert_eq!(gateway.server("well").await["restarts"], 0);
    gateway.stop().await;
}

/// C48. That the fast ones are all done while the slow one still runs says it without a clock.
#[tokio::test]
async fn a_slow_call_holds_up_none_of_a_thousand_fast_ones() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    in_turn(&gateway, &echo("fake"), 100).await;
    let alone = in_turn(&gateway, &echo("fake"), 1000).await;
    let mut slow = gateway.connect().await;
    let slow =
        tokio::spawn(async move { slow.send("POST", INVOKE, Some(&sleep("fake", 600_000, 300_000))).await });
    wait_in_flight(&gateway, "fake", 1).await;
    let beside = in_turn(&gateway, &echo("fake"), 1000).await;
    assert!(!slow.is_finished());
    slow.abort();
    assert!(beside.iter().all(|shot| shot.status == 200));
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    eprintln!("measured C48: p99 of the fast ones {before:?} alone, {during:?} beside a slow one");
    assert!(during < before * 5 + Duration::from_millis(50), "{before:?} {during:?}");
    gateway.stop().await;
}

/// How many a second were answered with this status.
fn rate(shots: &[Shot], status: u16, length: Duration) -> f64 {
    of_status(shots, status).len() as f64 / length.as_secs_f64()
}

/// Offers so many calls at once to a server that carries them out when a file is there, and puts it there
/// when all but `taken` have been refused. Returns how many were carried out.
async fn offer(gateway: &Gateway, round: usize, offered: usize, taken: usize) -> usize {
    let latch = gateway.data().join(format!("latch-{round}"));
    let body =
        json!({"mcp_id": "narrow", "tool": "wait_for", "arguments": {"file": latch}, "timeout": 300_000});
    let mut calls = JoinSet::new();
    for _ in 0..offered {
        let (mut connection, body) = (gateway.connect().await, body.clone());
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    // None of those that were taken can end yet, so whoever is answered now has waited for nobody.
    for _ in taken..offered {
        let refused = tokio::time::timeout(DEADLINE, calls.join_next()).await;
        let refused = refused.expect("a refusal does not wait for those that are carried out");
        refused.expect("a call").expect("no panic").expect(503);
    }
    fs::write(&latch, b"").expect("written");
    calls.join_all().await.iter().filter(|reply| reply.status == 200).count()
}

/// G94. The server has five places and ten may wait. How fast the machine is plays no part in what is
/// promised: the useful calls are counted.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_times_too_many_calls_are_refused_at_once_and_cost_the_useful_nothing() {
    let narrow = with(fake(&[]), json!({"max_in_flight": 5, "queue": 10, "queue_age": "300s"}));
    let gateway = TestGateway::new().server("narrow", narrow).start().await;
    gateway.wait_state("narrow", "ready").await;
    let before = Usage::of(gateway.pid());
    for round in 0..10 {
        // As many as there is room for, and ten times as many, by turns.
        let offered = if round % 2 == 0 { 15 } else { 150 };
        assert_eq!(offer(&gateway, round, offered, 15).await, 15, "{offered} offered");
    }
    let after = in_turn(&gateway, &echo("narrow"), 20).await;
    assert!(after.iter().all(|shot| shot.status == 200), "it is over when it is over");
    let grown = Usage::of(gateway.pid()).resident.saturating_sub(before.resident);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    gateway.stop().await;
}

/// G94, measured: the server can do a hundred calls a second; a thousand are asked of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn while_ten_times_too_many_calls_pour_in_each_is_carried_out_or_refused() {
    let length = Duration::from_secs(3);
    let narrow = with(fake(&[]), json!({"max_in_flight": 5, "queue": 10}));
    let gateway = TestGateway::new().server("narrow", narrow).start().await;
    gateway.wait_state("narrow", "ready").await;
    let bodies = [sleep("narrow", 50, 60_000)];
    let peak = at_a_rate(&gateway, &bodies, 90, length).await;
    let before = Usage::of(gateway.pid());
    let shots = at_a_rate(&gateway, &bodies, 1000, length).await;
    let after = Usage::of(gateway.pid());
    let (best, useful) = (rate(&peak, 200, length), rate(&shots, 200, length));
    let refused = of_status(&shots, 503);
    let grown = after.resident.saturating_sub(before.resident);
    if !refused.is_empty() {
        eprintln!(
            "measured G94: {best:.0} calls/s at most, {useful:.0} with ten times as many offered; {} of {} refused, p50 {:?}, p99 {:?}; memory +{grown} KiB; p99 {:?} before",
            refused.len(),
            shots.len(),
            percentile(&refused, 50),
            percentile(&refused, 99),
            percentile(&peak, 99),
        );
    }
    assert!(useful > 0.0 && shots.iter().all(|shot| [200, 503].contains(&shot.status)));
    assert!(grown < 64 * 1024, "{before:?} {after:?}");
    let settled = in_turn(&gateway, &bodies[0], 20).await;
    assert!(settled.iter().all(|shot| shot.status == 200), "it is over when it is over");
    gateway.stop().await;
}

/// G95, the others. What becomes of the dead one's own callers is in `supervising.rs`.
#[tokio::test]
async fn a_dead_server_among_five_does_not_slow_the_others_down() {
    let mut builder = TestGateway::new();
    for number in 0..5 {
        builder = builder.server(&format!("s{number}"), fake(&[]));
    }
    let gateway = builder.start().await;
    for number in 0..5 {
        gateway.wait_state(&format!("s{number}"), "ready").await;
        in_turn(&gateway, &echo(&format!("s{number}")), 20).await;
    }
    async fn others(gateway: &Gateway) -> Vec<Shot> {
        let (mut all, bodies) = (Vec::new(), [echo("s1"), echo("s2"), echo("s3"), echo("s4")]);
        for _ in 0..5 {
            let [a, b, c, d] = &bodies;
            let (a, b, c, d) = tokio::join!(
                in_turn(gateway, a, 50),
                in_turn(gateway, b, 50),
                in_turn(gateway, c, 50),
                in_turn(gateway, d, 50)
            );
            all.extend([a, b, c, d].concat());
        }
        all
    }
    let alone = others(&gateway).await;
    let mut stuck = JoinSet::new();
    for _ in 0..300 {
        let mut connection = gateway.connect().await;
        stuck.spawn(
            async move { connection.send("POST", INVOKE, Some(&sleep("s0", 600_000, 300_000))).await },
        );
    }
    wait_in_flight(&gateway, "s0", 256).await;
    let beside = others(&gateway).await;
    assert!(beside.iter().all(|shot| shot.status == 200));
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    eprintln!(
        "measured G95: p99 of the others {before:?} before, {during:?} beside a dead one with 300 calls"
    );
    assert!(during < before * 5 + Duration::from_millis(50), "{before:?} {during:?}");
    stuck.shutdown().await;
    gateway.stop().await;
}

/// G97. Status, a switch and a removal while far more is asked for than can be done.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_operator_is_answered_at_once_while_calls_pour_in() {
    let narrow = || with(fake(&[]), json!({"max_in_flight": 5, "queue": 50}));
    let gateway =
        Arc::new(TestGateway::new().server("busy", narrow()).server("idle", fake(&[])).start().await);
    gateway.wait_state("busy", "ready").await;
    gateway.wait_state("idle", "ready").await;
    let pouring = {
        let gateway = gateway.clone();
        tokio::spawn(async move {
            at_a_rate(&gateway, &[sleep("busy", 50, 60_000)], 1000, Duration::from_secs(5)).await
        })
    };
    wait_in_flight(&gateway, "busy", 5).await;
    let mut slowest = Duration::ZERO;
    let mut looked = 0;
    while looked < 50 {
        let began = Instant::now();
        gateway.server("busy").await;
        slowest = slowest.max(began.elapsed());
        looked += 1;
    }
    let began = Instant::now();
    let mut off = gateway.marked(narrow());
    off["disabled"] = true.into();
    let file = json!({"mcpServers": {"busy": off, "idle": gateway.marked(fake(&[]))}});
    fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    let acknowledged = began.elapsed();
    gateway.wait_state("busy", "disabled").await;
    let stopped = began.elapsed();
    let shots = pouring.await.expect("no panic");
    eprintln!(
        "measured G97: {} calls offered; {looked} looks, the slowest {slowest:?}; switched off: acknowledged after {acknowledged:?}, stopped after {stopped:?}",
        shots.len()
    );
    let known = [200, 409, 502, 503];
    assert!(shots.iter().all(|shot| known.contains(&shot.status)), "{shots:?}");
    assert!(slowest < Duration::from_secs(2) && acknowledged < Duration::from_secs(5));
    gateway.call("idle", "echo", json!({"nonce": 1})).await;
    Arc::into_inner(gateway).expect("all calls have ended").stop().await;
}
