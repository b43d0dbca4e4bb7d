//! Tests with a slow disk, and with a year of usage (F92, F90).

use super::*;
use crate::clock;
use crate::long_or;
use crate::store::fault::SlowStore;
use crate::store::{DataDir, OPEN_LIMIT};
use crate::usage::UsageSample;
use crate::usage::buffer::Counted;
use crate::usage::call_stats::CallStats;

const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until a condition holds; fails after [`DEADLINE`].
async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Runs on a runtime with one thread: anything on it that waited for the disk would stop the test.
#[tokio::test]
async fn calls_are_counted_while_a_flush_hangs_and_its_age_shows_it() {
    let store = Arc::<SlowStore>::default();
    let books = UsageBuffers::default();
    let book = Arc::<UsageBuffer>::default();
    books.insert("mcp_1".into(), ("one".into(), book.clone()));
    let (usage, _) =
        start(store.clone(), books, KeyRing::default(), Retention::default(), None).expect("memory");
    let key = Arc::<str>::from("key_1");
    let call = || {
        let took = Duration::from_millis(1);
        book.enter(
            minute_of(clock::now()),
            UsageSample { key: &key, tool: "a", outcome: "ok", took, bytes: (1, 1) },
        );
    };
    store.hold(true);
    call();
    wait_until("a flush hangs", || store.waiting() == 1).await;
    let age = usage.flush_age();
    for _ in 0..10_000 {
        call();
        tokio::task::yield_now().await;
    }
    assert_eq!(store.waiting(), 1, "it hangs still");
    wait_until("its age grows", || usage.flush_age() > age + Duration::from_millis(100)).await;

    // Meanwhile queries wait in a queue of limited length.
    let today = Span::of_period(report::Period::Day, clock::now());
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..2 * QUEUE {
        let usage = usage.clone();
        asked.spawn(async move { usage.usage(today, UsageOf::default()).await });
    }
    let mut refused = 0;
    while refused < QUEUE {
        let answer = asked.join_next().await.expect("there are more").expect("no panic");
        assert!(matches!(answer, Err(Error::Overloaded { .. })), "{answer:?}");
        refused += 1;
    }
    store.hold(false);
    while let Some(answer) = asked.join_next().await {
        let answer = answer.expect("no panic").expect("the disk is there again");
        assert_eq!(answer.total.calls(), 10_001);
    }
    wait_until("it is written again", || usage.flush_age() < WRITE_EVERY).await;
    usage.close().await;
}

/// Number of keys, servers and tools of the year; each hour has a line for every combination.
const SHAPE: (u32, u32, u32) = (2, 3, 2);

fn hour_of_the_year(hour: u32) -> impl Iterator<Item = (Arc<str>, Counted)> {
    let (keys, servers, tools) = SHAPE;
    (0..keys * servers * tools).map(move |line| {
        let mut tally = CallStats::default();
        for call in 0..=line % 3 {
            let outcome = if call == 1 { "tool_error" } else { "ok" };
            tally.record(outcome, Duration::from_micros(u64::from(hour)), (100, 2_000));
        }
        let (key, server) = (line % keys, line / keys % servers);
        let tool = format!("tool_{}", line / keys / servers).into();
        let key = format!("key_{key:032}").into();
        (format!("mcp_{server:032}").into(), Counted { minute: hour * 60, key, tool, tally })
    })
}

#[test]
fn months_of_usage_stay_within_their_retention_and_open() {
    let outer = tempfile::tempdir().expect("a directory");
    let dir = DataDir::open(outer.path()).expect("made");
    let (first, days) = (20_000, long_or(75, 365));
    let retention = Retention::default();
    {
        let store = store::open(&dir, OPEN_LIMIT).expect("opens");
        let mut sums = UsageAggregates::load(store).expect("readable");
        for day in first..first + days {
            for hour in day * 24..(day + 1) * 24 {
                for (server, counted) in hour_of_the_year(hour) {
                    sums.add(&server, &server, &counted).expect("readable");
                }
            }
            sums.write().expect("written");
            sums.forget((day + 1) * 1440);
            if day % 7 == 0 || day == first + days - 1 {
                sums.expire(
                    (day + 1) * 1440 - MINUTES_KEPT,
                    (day - retention.hours) * 24,
                    day - retention.days,
                )
                .expect("removed");
            }
        }
    }
    let size = |path: &std::path::Path| -> u64 {
        let entries = std::fs::read_dir(path).expect("there").map(|entry| entry.expect("readable"));
        entries.filter_map(|entry| entry.metadata().ok()).filter(|it| it.is_file()).map(|it| it.len()).sum()
    };
    let bytes = size(&outer.path().join("store"));
    let began = Instant::now();
    let store = crate::store::conformance::reopen(|| store::open(&dir, OPEN_LIMIT)).expect("opens");
    let took = began.elapsed();
    let (keys, servers, tools) = SHAPE;
    let lines = (keys * servers * tools) as usize;
    let hours = store.scan_prefix(b"u/h/").expect("readable").len();
    eprintln!("| {days} days of {lines} lines an hour | {} KiB, opened in {took:?} |", bytes / 1024);
    assert_eq!(hours, lines * 24 * (retention.hours as usize + 1), "older ones are removed");
    assert_eq!(store.scan_prefix(b"u/d/").expect("readable").len(), lines * days as usize);
    let sums = UsageAggregates::load(store).expect("readable");
    let calls: u64 = sums.servers.values().map(|total| total.calls).sum();
    let a_day: u64 = hour_of_the_year(0).map(|(_, counted)| counted.tally.calls()).sum::<u64>() * 24;
    assert_eq!(calls, a_day * u64::from(days), "totals are of the whole year");
    assert!(bytes < 256 * 1024 * 1024, "{bytes} bytes");
}
