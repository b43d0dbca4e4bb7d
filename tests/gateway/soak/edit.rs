//! A server edited again and again while it is called two hundred times a second.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Report;
use crate::support::gateway::{TestGateway, fake};
use crate::support::load::{at_a_rate, percentile};
use crate::support::{DEADLINE, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn edits_under_load_fail_no_call() {
    let mut report = Report::of("edit");
    let length = report.length(5, 60);
    let gateway = Arc::new(TestGateway::new().server("fake", fake(&[])).start().await);
    gateway.wait_state("fake", "ready").await;
    let bodies = [
        json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": 1}}),
        json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 40}}),
    ];
    let load = {
        let gateway = gateway.clone();
        tokio::spawn(async move { at_a_rate(&gateway, &bodies, 200, length).await })
    };
    let mut edits = 0;
    while !load.is_finished() {
        edits += 1;
        let flags = json!({"args": ["--tools", edits.to_string(), "--slow-init", "50"]});
        gateway.put("/api/servers/fake", &flags).await.expect(200);
        wait_until("the new definition serves alone", DEADLINE, || async {
            let seen = gateway.server("fake").await;
            let replicas = seen["supervision"]["replicas"].as_array().map_or(0, Vec::len);
            let current = seen["tools"].to_string().contains(&format!("\"tool_{}\"", edits - 1));
            (current && replicas == 1).then_some(())
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let shots = load.await.expect("no panic");
    let failed: Vec<u16> = shots.iter().map(|shot| shot.status).filter(|status| *status != 200).collect();
    report.note("calls", format!("{}, 200 a second, p99 {:?}", shots.len(), percentile(&shots, 99)));
    report.note("edits", edits);
    report.row("failed calls", format!("{} {failed:?}", failed.len()), "0", failed.is_empty());
    Arc::into_inner(gateway).expect("all calls have ended").stop().await;
    report.end();
}
