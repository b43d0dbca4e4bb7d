//! Children that say far too much. Part C of the list in `docs/supervision.md`.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::gateway::{TestGateway, fake};
use crate::support::load::{in_turn, percentile};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// C46.
#[tokio::test]
async fn a_flood_of_notifications_costs_bounded_memory_and_no_call() {
    let gateway = TestGateway::new()
        .server("quiet", fake(&[]))
        .server("chatty", fake(&["--notify-flood", "500000"]))
        .start()
        .await;
    gateway.wait_state("quiet", "ready").await;
    let before = Usage::of(gateway.pid());
    gateway.wait_state("chatty", "ready").await;
    let call = |server: &str| json!({"mcp_id": server, "tool": "echo", "arguments": {"nonce": 1}});
    let (chatty, quiet) = (call("chatty"), call("quiet"));
    let (flooded, beside) = tokio::join!(in_turn(&gateway, &chatty, 300), in_turn(&gateway, &quiet, 300));
    let after = Usage::of(gateway.pid());
    let quiet = in_turn(&gateway, &quiet, 300).await;
    assert!(flooded.iter().chain(&beside).all(|shot| shot.status == 200));
    let grown = after.peak.saturating_sub(before.resident);
    eprintln!(
        "measured C46: p99 {:?} of the one that floods, {:?} beside it, {:?} afterwards; memory +{grown} KiB at its peak",
        percentile(&flooded, 99),
        percentile(&beside, 99),
        percentile(&quiet, 99)
    );
    assert!(grown < 32 * 1024, "{before:?} {after:?}");
    // The middle and not the slowest, which belong to whatever else the machine is doing.
    assert!(percentile(&flooded, 50) < percentile(&quiet, 50) * 20 + Duration::from_millis(500));
    assert_eq!(gateway.server("chatty").await["restarts"], 0);
    gateway.stop().await;
}

/// C50.
#[tokio::test]
async fn a_storm_of_changed_lists_is_read_once_a_second() {
    let gateway = TestGateway::new().server("stormy", fake(&["--storm"])).start().await;
    gateway.wait_state("stormy", "ready").await;
    let lists =
        || async { gateway.call("stormy", "stats", json!({})).await["lists"].as_u64().expect("a number") };
    let (first, began) = (lists().await, Instant::now());
    let read = wait_until("the lists have been read four times", DEADLINE, || async {
        let now = lists().await - first;
        (now >= 4).then_some(now)
    })
    .await;
    let took = began.elapsed();
    eprintln!("measured C50: a change every millisecond, the lists read {read} times in {took:?}");
    assert!(read as f64 <= took.as_secs_f64() + 2.0, "{read} in {took:?}");
    gateway.stop().await;
}
