use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::access::{DialectName, KeyRecord, KeyRing, NewKey, NewKeySpec, Permissions, RequestId};
use crate::activity::{Called, FAILED, ServerTag};
use crate::telemetry::metrics::Kind;

/// Callers with keys of their own.
fn callers(number: usize) -> Vec<Principal> {
    let ring = KeyRing::default();
    let made: Vec<NewKey> = (0..number)
        .map(|at| {
            let wish = NewKeySpec {
                limits: crate::access::KeyLimits::default(),
                name: format!("key {at}"),
                description: None,
                member_id: "user_owner".into(),
                expires_at: None,
                permissions: Permissions::default(),
            };
            NewKey::generate(wish, 0).expect("random bytes")
        })
        .collect();
    ring.put(made.iter().map(|key| key.record.clone()).collect::<Vec<KeyRecord>>());
    made.iter().map(|key| ring.authenticate(&key.text, 1).expect("good")).collect()
}

fn server(name: &str) -> Arc<ServerTag> {
    Arc::new(ServerTag { id: Some(format!("mcp_{name}").into()), name: name.into() })
}

fn call(server: &Arc<ServerTag>, tool: &str, started_ms: u64) -> CallFacts {
    CallFacts {
        called: Arc::new(Called::new(server.clone(), tool)),
        request: RequestId::default(),
        started_ms,
        took_us: 1500,
        outcome: if started_ms.is_multiple_of(10) { "timed_out" } else { "ok" },
        kind: Kind::Tool,
        dialect: DialectName::Mcp,
        reached: true,
    }
}

/// Reads everything that matches, step by step.
fn all(activity: &Activity, filter: &ActivityFilter, direction: Direction, most: usize) -> Vec<u64> {
    let mut at = if direction == Direction::NewestFirst { u64::MAX } else { 0 };
    let mut numbers = Vec::new();
    loop {
        let batch = activity.step(filter, at, direction, most);
        numbers.extend(batch.calls.iter().map(|(number, _)| *number));
        if batch.is_over {
            return numbers;
        }
        assert_ne!(batch.next, at, "it goes on");
        at = batch.next;
    }
}

/// Returns how many of the newest calls that match are found, at most `most`.
fn page(activity: &Activity, filter: &ActivityFilter, most: usize) -> usize {
    let (mut at, mut found) = (u64::MAX, 0);
    loop {
        let batch = activity.step(filter, at, Direction::NewestFirst, most - found);
        found += batch.calls.len();
        if batch.is_over || found == most {
            return found;
        }
        at = batch.next;
    }
}

proptest! {
    #[test]
    fn in_both_directions_and_any_portions_the_last_calls_are_read(
        noted in 0u64..5000, most in 1usize..3000, portion in 1usize..700,
    ) {
        let (activity, caller, server) = (Activity::new(most), callers(1).remove(0), server("a"));
        for number in 1..=noted {
            activity.note(&caller, || call(&server, "t", number));
        }
        let first = noted.saturating_sub(most as u64) + 1;
        let mut expected: Vec<u64> = (first..=noted).collect();
        prop_assert_eq!(&all(&activity, &ActivityFilter::default(), Direction::OldestFirst, portion), &expected);
        expected.reverse();
        prop_assert_eq!(&all(&activity, &ActivityFilter::default(), Direction::NewestFirst, portion), &expected);
        let kept = activity.kept();
        prop_assert_eq!((kept.newest, kept.calls as u64), (noted, noted + 1 - first));
        if first > 1 {
            prop_assert_eq!(kept.complete_since_ms, first);
        }
    }
}

#[test]
fn a_reader_who_was_too_slow_learns_how_many_calls_are_gone() {
    let (activity, caller, server) = (Activity::new(10), callers(1).remove(0), server("a"));
    (1..=4).for_each(|at| activity.note(&caller, || call(&server, "t", at)));
    let seen = activity.step(&ActivityFilter::default(), 0, Direction::OldestFirst, 100);
    assert_eq!((seen.next, seen.lost, seen.is_over), (4, 0, true));
    (5..=30).for_each(|at| activity.note(&caller, || call(&server, "t", at)));
    let seen = activity.step(&ActivityFilter::default(), 4, Direction::OldestFirst, 3);
    assert_eq!((seen.lost, seen.next, seen.calls[0].0), (16, 23, 21));
}

#[test]
fn a_call_is_as_small_as_the_documents_say() {
    assert_eq!(size_of::<Line>(), 64, "docs/limits.md says 64 bytes");
}

#[test]
fn each_call_has_its_own_caller_whoever_called_before_and_after() {
    let (activity, callers, server) = (Activity::new(200), callers(3), server("a"));
    let of = |at: u64| &callers[(at * at % 7 % 3) as usize];
    (1..=500).for_each(|at| activity.note(of(at), || call(&server, "t", at)));
    let mut batch = activity.step(&ActivityFilter::default(), 300, Direction::OldestFirst, 500);
    assert_eq!(batch.calls.len(), 200);
    for (number, call) in batch.calls.drain(..) {
        assert_eq!((call.caller.key_id(), call.started_ms), (of(number).key_id(), number));
    }
}

#[test]
fn calls_of_many_threads_are_all_there_and_each_keeps_its_number() {
    let (activity, callers, server) = (Activity::new(100_000), callers(4), server("a"));
    let clock = std::sync::atomic::AtomicU64::new(1);
    std::thread::scope(|scope| {
        for caller in &callers {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    let at = clock.fetch_add(1, Ordering::Relaxed);
                    activity.note(caller, || call(&server, "t", at));
                }
            });
        }
        // Who reads meanwhile sees no gap: whatever has a number stays where it is.
        scope.spawn(|| {
            let mut at = 0;
            while at < 20_000 {
                let batch = activity.step(&ActivityFilter::default(), at, Direction::OldestFirst, 64);
                assert_eq!((batch.lost, batch.next), (0, at + batch.calls.len() as u64));
                at = batch.next;
            }
        });
    });
    let mut ended: Vec<u64> = Vec::new();
    let (mut at, mut by_caller) = (0, std::collections::HashMap::<String, usize>::new());
    loop {
        let batch = activity.step(&ActivityFilter::default(), at, Direction::OldestFirst, 512);
        for (_, call) in &batch.calls {
            *by_caller.entry(call.caller.key_id().to_string()).or_default() += 1;
        }
        ended.extend(batch.calls.iter().map(|(_, call)| call.started_ms));
        at = batch.next;
        if batch.is_over {
            break;
        }
    }
    assert_eq!(by_caller.into_values().collect::<Vec<_>>(), [5_000; 4]);
    ended.sort_unstable();
    assert!(ended.iter().copied().eq(1..=20_000), "each of them once");
}

#[test]
fn calls_that_two_threads_noted_before_a_look_are_in_order_of_their_ends() {
    let (activity, caller, server) = (Activity::new(1000), callers(1).remove(0), server("a"));
    let note = |first: u64| {
        (first..60).step_by(2).for_each(|at| activity.note(&caller, || call(&server, "t", at)));
    };
    note(1);
    std::thread::scope(|scope| drop(scope.spawn(|| note(0))));
    let batch = activity.step(&ActivityFilter::default(), 0, Direction::OldestFirst, 100);
    let times: Vec<u64> = batch.calls.iter().map(|(_, call)| call.started_ms).collect();
    assert!(times.is_sorted() && times.len() == 60, "{times:?}");
}

#[test]
fn with_room_for_none_no_call_is_even_made() {
    let activity = Activity::new(0);
    activity.note(&callers(1)[0], || panic!("made"));
    assert_eq!(activity.kept().calls, 0);
}

#[tokio::test]
async fn who_waits_for_a_call_is_woken_by_one_that_came_before_the_wait() {
    let (activity, caller, server) = (Activity::new(10), callers(1).remove(0), server("a"));
    let changed = activity.changed();
    activity.note(&caller, || call(&server, "t", 1));
    changed.await;
}

/// Longest time of an answer: the bar of the project, and ten times as long in a build without optimization, on a machine
/// that has other things to do.
const BAR: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 100 });

/// 100,000 calls by 20 keys over 50 tools; each answer is the largest page that can be asked for.
#[test]
fn any_filter_over_100_000_calls_is_answered_in_100_ms() {
    let (activity, callers) = (Activity::new(100_000), callers(20));
    let servers: Vec<_> = ["git", "time", "fetch", "memory", "files"].map(server).into();
    let tools: Vec<String> = (0..50).map(|at| format!("tool_number_{at}")).collect();
    let begun = Instant::now();
    for at in 0..120_000usize {
        let (caller, server) = (&callers[at % 20], &servers[at % 5]);
        activity.note(caller, || call(server, &tools[at % 50], at as u64));
    }
    let noted = begun.elapsed() / 120_000;
    let of =
        |key: Option<&str>, server: Option<&str>, tool: Option<&str>, outcome: Option<&str>| ActivityFilter {
            key: key.map(str::to_owned),
            server: server.map(str::to_owned),
            tool: tool.map(str::to_owned),
            outcome: outcome.map(str::to_owned),
            ..ActivityFilter::default()
        };
    let filters = [
        ("everything", of(None, None, None, None), 100_000),
        ("a key", of(Some("key 7"), None, None, None), 5_000),
        ("a server", of(None, Some("fetch"), None, None), 20_000),
        ("a tool", of(None, None, Some("tool_number_49"), None), 2_000),
        ("failures", of(None, None, None, Some(FAILED)), 10_000),
        ("a key and a tool", of(Some("key 9"), Some("mcp_files"), Some("tool_number_49"), None), 1_000),
        ("nothing", of(Some("nobody"), None, None, None), 0),
        (
            "a time",
            ActivityFilter { since_ms: Some(119_000), until_ms: Some(119_499), ..ActivityFilter::default() },
            500,
        ),
    ];
    println!("noting a call: {noted:?}");
    for (what, filter, expected) in filters {
        // The best of three: others work on this machine, too.
        let timed = (0..3).map(|_| {
            let begun = Instant::now();
            let found = page(&activity, &filter, 1000);
            assert_eq!(found, expected.min(1000), "{what}");
            begun.elapsed()
        });
        let best = timed.min().expect("three");
        println!("{what}: {expected} of 100,000 match, answered in {best:?}");
        assert!(best < BAR, "{what}: {best:?}");
    }
}
