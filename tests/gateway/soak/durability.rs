//! The daemon killed at a random moment, or ended in order, while its configuration is written and its
//! servers are called, again and again (F81, F91).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use super::Report;
use super::usage::{Counted, load, note_settled, total};
use crate::durability::{Changes, Seen, killed_at_any_moment, random};
use crate::support::gateway::{Gateway, TestGateway, fake};

/// Calls a second while something ends.
const RATE: u32 = 1_000;

/// What every end has to leave of changes.
fn rows(report: &mut Report, seen: Seen, ends: usize) {
    let mut starts = seen.starts;
    starts.sort();
    let median = starts.get(starts.len() / 2).copied().unwrap_or_default();
    let longest = starts.last().copied().unwrap_or_default();
    report.note("changes that were acknowledged", seen.acknowledged);
    report.note("changes under way at an end that were made all the same", seen.made_unasked);
    report.note("starts that found changes only in the journal", seen.replayed);
    report.row("ends", format!("{} starts", starts.len()), "every one opens", starts.len() == ends);
    let lost = format!("{} {:?}", seen.lost.len(), seen.lost);
    report.row("acknowledged changes lost", lost, "0", seen.lost.is_empty());
    report.row("stores moved to quarantine", seen.quarantined, "0", seen.quarantined == 0);
    let took = format!("median {median:?}, longest {longest:?}");
    report.row("from exec to listening", took, "30 s at most", longest < Duration::from_secs(30));
}

#[tokio::test]
async fn acknowledged_changes_outlive_kills_at_any_moment() {
    let mut report = Report::of("durability");
    let rounds = report.count(20, 200);
    let seen = killed_at_any_moment(rounds).await;
    rows(&mut report, seen, rounds);
    report.end();
}

/// What the kills have cost of usage.
#[derive(Default)]
struct Cost {
    answered: u64,
    doubled: u64,
    /// Of calls that were older than the promise allows.
    lost: u64,
    /// By one kill, of calls of any age.
    worst: u64,
    loaded: Duration,
}

/// One life under calls and changes, which ends by SIGKILL at a random moment.
async fn killed(gateway: &mut Gateway, changes: &mut Changes, round: usize, cost: &mut Cost) {
    gateway.wait_state("fake", "ready").await;
    let before = total(gateway).await;
    let counted = Arc::<Counted>::default();
    let (began, mut clients) = (Instant::now(), load(gateway, &counted, Some(RATE)).await);
    let noting = tokio::spawn(note_settled(counted.clone()));
    let life = &*gateway;
    let kill = async {
        tokio::time::sleep(Duration::from_micros(u64::from(random()) % 2_500_000)).await;
        let settled = counted.settled.load(Ordering::Relaxed);
        life.signal(Signal::SIGKILL);
        settled
    };
    let (settled, ()) = tokio::join!(kill, changes.make(life, round));
    cost.loaded += began.elapsed();
    gateway.kill_9_done().await;
    noting.abort();
    while clients.join_next().await.is_some() {}
    changes.restart(gateway, round).await;
    let (sent, answered) = (counted.sent.load(Ordering::Relaxed), counted.answered.load(Ordering::Relaxed));
    let kept = total(gateway).await - before;
    cost.answered += answered;
    cost.doubled += kept.saturating_sub(sent);
    cost.lost += settled.saturating_sub(kept);
    cost.worst = cost.worst.max(answered.saturating_sub(kept));
}

/// One life under calls and changes, which ends in order. Returns how many calls its metrics had at the
/// end, and how many its clients know of.
async fn ended(gateway: &mut Gateway, changes: &mut Changes, round: usize) -> (u64, u64) {
    gateway.wait_state("fake", "ready").await;
    let counted = Arc::<Counted>::default();
    let mut clients = load(gateway, &counted, Some(RATE)).await;
    let life = &*gateway;
    let end = async {
        tokio::time::sleep(Duration::from_micros(300_000 + u64::from(random()) % 1_500_000)).await;
        life.signal(Signal::SIGTERM);
    };
    tokio::join!(end, changes.make(life, round));
    assert!(gateway.wait_exit("the daemon ends after SIGTERM").await.success(), "an end in order");
    while clients.join_next().await.is_some() {}
    let last = calls_at_the_end(gateway);
    changes.restart(gateway, round).await;
    (last, counted.answered.load(Ordering::Relaxed))
}

/// How many calls the metrics had when the daemon ended in order, as it says with its last line: they
/// cannot be asked for any more then.
fn calls_at_the_end(gateway: &Gateway) -> u64 {
    let said = gateway.output();
    let calls = said.rsplit("stopped calls=").next().and_then(|rest| rest.split_whitespace().next());
    calls.and_then(|calls| calls.parse().ok()).unwrap_or_else(|| panic!("no last line: {said}"))
}

/// What `/metrics` says of calls.
async fn scraped(gateway: &Gateway) -> u64 {
    let metrics = gateway.get("/metrics").await.text();
    let calls = metrics.lines().filter(|line| line.starts_with("mcpvisor_calls_total{"));
    calls.map(|line| line.rsplit(' ').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")).sum()
}

/// The acceptance of the store in one: changes and a thousand calls a second, first under kills, then
/// under ends in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_and_calls_at_once_outlive_kills_and_are_exact_after_clean_ends() {
    let mut report = Report::of("durability, changes and calls");
    let kills = report.count(3, 200);
    let ends = kills.min(10);
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let (mut changes, mut cost) = (Changes::default(), Cost::default());
    for round in 0..kills {
        killed(&mut gateway, &mut changes, round, &mut cost).await;
    }
    let rate = cost.answered as f64 / cost.loaded.as_secs_f64();
    report.note("calls answered under kills", format!("{}, {rate:.0} a second", cost.answered));
    report.note("calls lost by one kill", format!("{} at most", cost.worst));
    report.row("calls counted twice", cost.doubled, "0", cost.doubled == 0);
    report.long_row("calls older than 1.2 s that were lost", cost.lost, "0", cost.lost == 0);

    let before = total(&gateway).await;
    let (mut metrics, mut answered) = (0, 0);
    for round in kills..kills + ends {
        let (last, known) = ended(&mut gateway, &mut changes, round).await;
        (metrics, answered) = (metrics + last, answered + known);
    }
    // The last life is asked for its metrics at rest, too: what is said at the end is the same number.
    gateway.wait_state("fake", "ready").await;
    for nonce in 0..10 {
        gateway.call("fake", "echo", json!({"nonce": nonce})).await;
    }
    let asked = scraped(&gateway).await;
    let store = total(&gateway).await - before;
    assert!(gateway.terminate().await.success(), "an end in order");
    let last = calls_at_the_end(&gateway);
    (metrics, answered) = (metrics + last, answered + 10);
    report.row(
        "metrics at rest and at the end",
        format!("{asked}, {last}"),
        "10 both",
        (asked, last) == (10, 10),
    );
    let same = store == answered && metrics == answered;
    let counts = format!("clients {answered}, store {store}, metrics {metrics}");
    report.row("calls over ends in order", counts, "the same", same);
    rows(&mut report, changes.seen, kills + ends);
    gateway.stop().await;
    report.end();
}
