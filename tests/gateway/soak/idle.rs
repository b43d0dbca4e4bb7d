//! Many servers that nobody asks for: what they cost, and how soon the daemon can tell of them.

use std::time::Instant;

use serde_json::json;

use super::Report;
use crate::support::gateway::{TestGateway, fake, with};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn idle_servers_have_no_child_and_are_known_from_the_first_moment() {
    let mut report = Report::of("idle");
    let count = report.count(30, 200);
    let settings = json!({"start": "on-demand", "idle_stop": "500ms"});
    let mut builder = TestGateway::new().config_toml("[starts]\nconcurrent = 10\nper_second = 100\n");
    for number in 0..count {
        builder = builder.server(&format!("s{number}"), with(fake(&[]), settings.clone()));
    }
    let mut gateway = builder.start().await;
    let fresh = gateway.left_behind().len();
    report.row("children before anybody asked", fresh, "0", fresh == 0);
    for number in 0..count {
        // Nobody knows the lists yet, so asking for them starts the server.
        gateway.get(&format!("/api/servers/s{number}/tools")).await.expect(200);
    }
    wait_until("all have stopped again", DEADLINE, || async {
        gateway.left_behind().is_empty().then_some(())
    })
    .await;
    let used = Usage::of(gateway.pid());
    report.note("memory of the daemon that had started them all", format!("{} KiB", used.resident));
    assert!(gateway.terminate().await.success());

    let mut whole = Vec::new();
    let mut alone = Vec::new();
    for _ in 0..5 {
        let began = Instant::now();
        gateway.restart().await;
        let asked = Instant::now();
        let seen = gateway.server("s0").await;
        alone.push(asked.elapsed());
        whole.push(began.elapsed());
        assert_eq!(seen["state"], "idle");
        assert!(seen["tools"].as_array().is_some_and(|tools| !tools.is_empty()), "{seen}");
        let children = gateway.left_behind().len();
        if children > 0 {
            report.row("children after a start", children, "0", false);
        }
        let used = Usage::of(gateway.pid());
        if whole.len() == 5 {
            // The pages of an unoptimised program alone are about as many.
            let kept = cfg!(debug_assertions) || used.resident < 40_000_000 / 1024;
            report.row("memory", format!("{} KiB", used.resident), "40 MB in a release build", kept);
            break;
        }
        assert!(gateway.terminate().await.success());
    }
    whole.sort_unstable();
    alone.sort_unstable();
    report.note("servers", count);
    report.note("from exec to the first answer, median of 5, to within 10 ms", format!("{:?}", whole[2]));
    report.long_row(
        "the first GET of a server with its tools, worst of 5",
        format!("{:?}", alone[4]),
        "20 ms",
        alone[4].as_millis() < 20,
    );
    gateway.stop().await;
    report.end();
}
