//! Usage under kills and orderly ends: never counted twice, never more than a moment lost, and nothing
//! lost by an end in order (F81, F91).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use super::Report;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};

/// What one second and one write may cost.
const LOSS: Duration = Duration::from_millis(1_200);

/// How many clients call side by side, as often as they get answers, or at a pace that one that waits
/// for its answer cannot keep.
const CLIENTS: u32 = 4;
const PACED_CLIENTS: u32 = 16;

/// What the clients of one run of the daemon sent and got.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    /// Answers that are old enough that a kill now must not lose them.
    pub(super) settled: AtomicU64,
}

/// Clients that call until the daemon is gone: so often a second altogether, or else as often as they
/// get answers.
pub(super) async fn load(gateway: &Gateway, counted: &Arc<Counted>, rate: Option<u32>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    let side_by_side = if rate.is_some() { PACED_CLIENTS } else { CLIENTS };
    for client in 0..side_by_side {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": client}});
        let counted = counted.clone();
        // What is late is made up for.
        let mut pace = rate.map(|rate| tokio::time::interval(Duration::from_secs(1) * side_by_side / rate));
        clients.spawn(async move {
            loop {
                if let Some(pace) = &mut pace {
                    pace.tick().await;
                }
                counted.sent.fetch_add(1, Ordering::Relaxed);
                match connection.send("POST", INVOKE, Some(&body)).await {
                    Ok(reply) if reply.status == 200 => {
                        counted.answered.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => return,
                }
            }
        });
    }
    clients
}

/// Notes, until the clients are gone, how many answers there were a while ago.
pub(super) async fn note_settled(counted: Arc<Counted>) {
    let mut seen: Vec<(Instant, u64)> = Vec::new();
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        seen.push((Instant::now(), counted.answered.load(Ordering::Relaxed)));
        let old = seen.iter().rev().find(|(at, _)| at.elapsed() > LOSS);
        if let Some((_, answered)) = old {
            counted.settled.store(*answered, Ordering::Relaxed);
        }
    }
}

/// All calls that the daemon says were made.
pub(super) async fn total(gateway: &Gateway) -> u64 {
    let usage = gateway.get("/v1/usage").await.expect(200);
    usage["data"]["requests"]["total"].as_u64().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_daemon_counts_no_call_twice_and_loses_only_the_last_moment() {
    let mut report = Report::of("usage");
    let rounds = report.count(3, 200);
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let (mut calls, mut doubled, mut lost, mut worst) = (0, 0, 0, 0);
    for round in 0..rounds {
        gateway.wait_state("fake", "ready").await;
        let before = total(&gateway).await;
        let counted = Arc::<Counted>::default();
        let mut clients = load(&gateway, &counted, None).await;
        let noting = tokio::spawn(note_settled(counted.clone()));
        // Between the writes of usage, at every distance from them.
        tokio::time::sleep(Duration::from_millis(1_300 + (round as u64 * 377) % 1_100)).await;
        let settled = counted.settled.load(Ordering::Relaxed);
        gateway.kill_9().await;
        noting.abort();
        while clients.join_next().await.is_some() {}
        gateway.restart().await;
        let kept = total(&gateway).await - before;
        calls += counted.answered.load(Ordering::Relaxed);
        doubled += kept.saturating_sub(counted.sent.load(Ordering::Relaxed));
        lost += settled.saturating_sub(kept);
        worst = worst.max(counted.answered.load(Ordering::Relaxed).saturating_sub(kept));
    }
    report
        .note("rounds", format!("{rounds} kills, {calls} answered calls, at most {worst} lost by one kill"));
    report.row("calls counted twice", doubled, "0", doubled == 0);
    report.long_row("calls older than 1.2 s that were lost", lost, "0", lost == 0);
    gateway.stop().await;
    report.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_in_order_under_load_lose_and_double_nothing() {
    let mut report = Report::of("usage, ends in order");
    let rounds = report.count(3, 10);
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let counted = Arc::<Counted>::default();
    for _ in 0..rounds {
        gateway.wait_state("fake", "ready").await;
        let mut clients = load(&gateway, &counted, None).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(gateway.terminate().await.success(), "an end in order");
        while clients.join_next().await.is_some() {}
        gateway.restart().await;
    }
    let (answered, kept) = (counted.answered.load(Ordering::Relaxed), total(&gateway).await);
    report.row("calls", format!("{answered} answered, {kept} counted"), "the same", answered == kept);
    let stats = gateway.server("fake").await["stats"]["total_requests"].as_u64();
    report.row("of the server", stats.unwrap_or_default(), "the same", stats == Some(answered));
    gateway.stop().await;
    report.end();
}
