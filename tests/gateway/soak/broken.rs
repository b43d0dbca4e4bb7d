//! Many servers of which some crash for ever: what that costs the others, and the daemon.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::Report;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::load::{Shot, at_a_rate, percentile};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// Makes it so that there are these servers and no others. Equal ones keep running.
async fn import(gateway: &Gateway, healthy: usize, broken: usize) {
    let mut servers = Map::new();
    for number in 0..healthy {
        servers.insert(format!("s{number}"), gateway.marked(fake(&[])));
    }
    for number in 0..broken {
        servers.insert(format!("broken{number}"), gateway.marked(ending_anew()));
    }
    let file = json!({"mcpServers": servers});
    fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
}

/// One that ends at once, each time with another code: what always ends in the same way is soon left alone.
fn ending_anew() -> Value {
    json!({"command": "sh", "args": ["-c", "exit $(( $$ % 97 + 1 ))"]})
}

/// How much CPU the daemon takes while nobody asks it anything, as a share of one core.
async fn idle_cpu(gateway: &Gateway, window: Duration) -> f64 {
    let (before, began) = (Usage::of(gateway.pid()).cpu, Instant::now());
    tokio::time::sleep(window).await;
    (Usage::of(gateway.pid()).cpu - before).as_secs_f64() / began.elapsed().as_secs_f64()
}

async fn calls(gateway: &Arc<Gateway>, bodies: &[Value], window: Duration) -> Vec<Shot> {
    at_a_rate(gateway, bodies, 200, window).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn broken_servers_among_many_cost_the_others_next_to_nothing() {
    let mut report = Report::of("broken");
    let (servers, failing) = if report.long { (100, 10) } else { (20, 4) };
    let (window, failures) = (report.length(3, 30), if report.long { 6 } else { 3 });
    let healthy = servers - failing;
    let starts = "[starts]\nconcurrent = 10\nper_second = 50\n";
    let gateway = Arc::new(TestGateway::new().config_toml(starts).start().await);
    import(&gateway, healthy, 0).await;
    for number in 0..healthy {
        gateway.wait_state(&format!("s{number}"), "ready").await;
    }
    let bodies: Vec<Value> = (0..healthy)
        .map(|number| json!({"mcp_id": format!("s{number}"), "tool": "echo", "arguments": {"nonce": number}}))
        .collect();
    calls(&gateway, &bodies, Duration::from_secs(2)).await;
    let mut alone = calls(&gateway, &bodies, window / 2).await;
    let idle_alone = idle_cpu(&gateway, window).await;

    import(&gateway, healthy, failing).await;
    for number in 0..failing {
        wait_until("it has failed often enough", DEADLINE * 3, || async {
            let seen = gateway.server(&format!("broken{number}")).await;
            (seen["supervision"]["failures"].as_u64() >= Some(failures)).then_some(())
        })
        .await;
    }
    let beside = calls(&gateway, &bodies, window).await;
    let idle_beside = idle_cpu(&gateway, window).await;

    import(&gateway, healthy, 0).await;
    alone.extend(calls(&gateway, &bodies, window / 2).await);
    let failed = alone.iter().chain(&beside).filter(|shot| shot.status != 200).count();
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    report.note(
        "servers",
        format!("{servers}, of which {failing} crash, each {failures} times before it counts"),
    );
    report.note("calls", format!("200 a second, {} alone, {} beside", alone.len(), beside.len()));
    report.row("failed calls of the healthy", failed, "0", failed == 0);
    report.long_row(
        "p99 of the healthy",
        format!("{before:?} alone, {during:?} beside: × {ratio:.2}"),
        "× 1.5",
        ratio <= 1.5,
    );
    report.row(
        "the same, grossly",
        format!("× {ratio:.2}"),
        "× 10 or 100 ms",
        ratio <= 10.0 || during < Duration::from_millis(100),
    );
    let cost = (idle_beside - idle_alone).max(0.0) * 100.0;
    let measured =
        format!("{cost:.2} % of a core ({:.2} % less {:.2} %)", idle_beside * 100.0, idle_alone * 100.0);
    report.long_row("daemon's CPU for the broken", measured, "2 % of a core", cost < 2.0);
    Arc::into_inner(gateway).expect("all calls have ended").stop().await;
    report.end();
}
