//! Started and stopped, again and again: nothing is left, of the servers or in the daemon (B22).

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Report, at_rest, compare, orphans};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::processes::zombies_of;
use crate::support::{DEADLINE, wait_until};

const REAL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real");

/// Switches the only server on or off.
async fn switch(gateway: &Gateway, definition: &Value, on: bool) {
    let mut definition = gateway.marked(definition.clone());
    definition["disabled"] = (!on).into();
    let file = json!({"mcpServers": {"server": definition}});
    fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
}

async fn cycle(gateway: &Gateway, definition: &Value) {
    switch(gateway, definition, true).await;
    gateway.wait_state("server", "ready").await;
    switch(gateway, definition, false).await;
    gateway.wait_state("server", "disabled").await;
    wait_until("nothing is left of the server", DEADLINE, || async {
        gateway.left_behind().is_empty().then_some(())
    })
    .await;
}

async fn cycles(mut report: Report, definition: Value, count: usize) {
    let gateway = TestGateway::new().start().await;
    // The store's own tables grow by about 2 MiB over its first few thousand changes and stay so; what
    // is looked for here is what servers leave behind.
    for number in 0..(count * 4).min(4_000) {
        let env = json!({"command": "none", "disabled": true, "env": {"N": number.to_string()}});
        switch(&gateway, &env, false).await;
    }
    for _ in 0..(count / 10).clamp(2, 20) {
        cycle(&gateway, &definition).await;
    }
    let before = at_rest(&gateway, None).await;
    let began = Instant::now();
    for _ in 0..count {
        cycle(&gateway, &definition).await;
    }
    let took = began.elapsed();
    report.note("start/stop cycles", format!("{count} in {:.1} s", took.as_secs_f64()));
    let after = at_rest(&gateway, Some(before)).await;
    compare(&mut report, before, after);
    let left = gateway.left_behind();
    report.row("processes left", left.len(), "0", left.is_empty());
    let zombies = zombies_of(gateway.pid());
    report.row("zombies", zombies.len(), "0", zombies.is_empty());
    let orphans = orphans(&gateway);
    report.row("reported orphans", orphans, "0", orphans == 0);
    gateway.stop().await;
    report.end();
}

#[tokio::test]
async fn cycles_of_a_small_server_leave_nothing() {
    let report = Report::of("cycles, scripted");
    let count = report.count(20, 1000);
    cycles(report, fake(&[]), count).await;
}

#[tokio::test]
async fn cycles_of_a_server_behind_npx_leave_nothing() {
    let report = Report::of("cycles, npx");
    let count = report.count(5, 1000);
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).to_str().expect("UTF-8").to_owned();
    let definition = json!({
        "command": "npx",
        "args": ["--no-install", "mcp-server-memory"],
        "env": {
            "MEMORY_FILE_PATH": path("graph.jsonl"),
            "npm_config_cache": path("npm"),
            "npm_config_offline": "true",
            "npm_config_update_notifier": "false"
        },
        "cwd": REAL
    });
    cycles(report, definition, count).await;
}
