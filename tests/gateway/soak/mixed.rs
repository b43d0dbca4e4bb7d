//! A bit of everything for a long time: calls of all kinds, a child killed now and then, a change of
//! the configuration now and then (G100). Nothing may grow, and nothing fail that was not made to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{Report, at_rest, orphans};
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::processes::zombies_of;
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

const FRAGILE: [&str; 3] = ["fragile0", "fragile1", "fragile2"];

/// What is called, and the status that it is to have.
fn calls() -> Vec<(Value, u16)> {
    let call = |server: &str, tool: &str, arguments: Value, timeout: u64| json!({"mcp_id": server, "tool": tool, "arguments": arguments, "timeout": timeout});
    let mut calls = vec![
        (call("well", "echo", json!({"nonce": 1}), 30_000), 200),
        (call("well", "sleep", json!({"ms": 30}), 30_000), 200),
        (call("well", "progress", json!({"ms": 40, "every_ms": 5}), 30_000), 200),
        (call("well", "big", json!({"bytes": 200_000}), 30_000), 200),
        (call("well", "fail", json!({}), 30_000), 422),
        (call("well", "sleep", json!({"ms": 5_000}), 50), 504),
        (call("well", "nothing", json!({}), 30_000), 404),
        (call("edited", "echo", json!({"nonce": 2}), 30_000), 200),
        (call("noisy", "echo", json!({"nonce": 3}), 30_000), 200),
    ];
    calls.extend(FRAGILE.map(|server| (call(server, "echo", json!({"nonce": 4}), 30_000), 200)));
    calls
}

fn is_fragile(body: &Value) -> bool {
    body["mcp_id"].as_str().is_some_and(|server| FRAGILE.contains(&server))
}

/// Calls in turn until it is time; returns how many there were, and the failures that nothing
/// explains. Those who call the servers whose children are killed often wait for the next one.
async fn client(gateway: Arc<Gateway>, until: Instant, fragile_too: bool) -> (usize, Vec<String>) {
    let (mut count, mut unexpected) = (0, Vec::new());
    let mut connection = gateway.connect().await;
    let mut calls = calls();
    calls.retain(|(body, _)| fragile_too || !is_fragile(body));
    for (body, wanted) in calls.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        let reply = connection.send("POST", INVOKE, Some(body)).await.expect("an answer");
        count += 1;
        // Calls of a child that was killed are lost, and those right after it may be refused.
        if reply.status != *wanted && !(is_fragile(body) && [502, 503].contains(&reply.status)) {
            unexpected.push(format!("{body}: {} {}", reply.status, reply.text()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (count, unexpected)
}

async fn kill_one(gateway: &Gateway, server: &str) {
    let seen = gateway.server(server).await;
    // One that has just ended by an earlier kill needs no further one.
    if let Some(pid) = seen["supervision"]["pid"].as_i64() {
        let _ = kill(Pid::from_raw(i32::try_from(pid).expect("a process id")), Signal::SIGKILL);
    }
}

/// Of the second half of the run, in KiB an hour.
fn slope(samples: &[(Duration, u64)]) -> f64 {
    let later = &samples[samples.len() / 2..];
    let count = later.len() as f64;
    let at = |sample: &(Duration, u64)| sample.0.as_secs_f64() / 3600.0;
    let (x, y) = later.iter().fold((0.0, 0.0), |(x, y), s| (x + at(s) / count, y + s.1 as f64 / count));
    let (up, down) = later.iter().fold((0.0, 0.0), |(up, down), s| {
        let off = at(s) - x;
        (up + off * (s.1 as f64 - y), down + off * off)
    });
    if down > 0.0 { up / down } else { 0.0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn mixed_load_with_kills_and_changes_leaves_everything_flat() {
    let mut report = Report::of("mixed");
    let length = report.length(8, 600);
    let (kill_every, change_every) = if report.long { (10, 60) } else { (1, 2) };
    let mut builder = TestGateway::new()
        .server("well", fake(&[]))
        .server("edited", fake(&[]))
        .server("noisy", fake(&["--noise", "--badline", "--weird-ids"]));
    for server in FRAGILE {
        builder = builder.server(server, fake(&[]));
    }
    let gateway = Arc::new(builder.start().await);
    for server in FRAGILE.iter().chain(&["well", "edited", "noisy"]) {
        gateway.wait_state(server, "ready").await;
    }
    // What it uses with every child there; a child that is down at a reading would spoil it.
    let warm = Usage::of(gateway.pid());
    let began = Instant::now();
    let until = began + length;
    let clients: Vec<_> =
        (0..4).map(|number| tokio::spawn(client(gateway.clone(), until, number < 2))).collect();
    let (mut kills, mut changes, mut samples) = (0, 0, Vec::new());
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let elapsed = began.elapsed().as_secs();
        if elapsed / kill_every > kills {
            kills += 1;
            kill_one(&gateway, FRAGILE[usize::try_from(kills).expect("few") % FRAGILE.len()]).await;
        }
        if elapsed / change_every > changes {
            changes += 1;
            let flags = json!({"args": ["--tools", (changes % 5).to_string()]});
            gateway.put("/api/servers/edited", &flags).await.expect(200);
        }
        samples.push((began.elapsed(), Usage::of(gateway.pid()).resident));
    }
    let (mut count, mut unexpected) = (0, Vec::new());
    for client in clients {
        let (calls, failures) = client.await.expect("no panic");
        count += calls;
        unexpected.extend(failures);
    }
    for server in FRAGILE {
        gateway.post(&format!("/v1/mcps/{server}/restart"), &json!({})).await.expect(200);
        gateway.wait_state(server, "ready").await;
    }
    wait_until("every server has its one replica again", DEADLINE, || async {
        let mut alone = true;
        for server in FRAGILE.iter().chain(&["edited"]) {
            let replicas = gateway.server(server).await["supervision"]["replicas"].as_array().map(Vec::len);
            alone &= replicas == Some(1);
        }
        alone.then_some(())
    })
    .await;
    let after = at_rest(&gateway, Some(warm)).await;
    report.note("run", format!("{} s, {count} calls, {kills} kills, {changes} changes", length.as_secs()));
    unexpected.truncate(5);
    report.row(
        "unexpected failures",
        format!("{} {unexpected:?}", unexpected.len()),
        "0",
        unexpected.is_empty(),
    );
    let memory = format!(
        "{} → {} KiB, {:+.0} KiB an hour in the second half",
        warm.resident,
        after.resident,
        slope(&samples)
    );
    let grown = after.resident.saturating_sub(samples[samples.len() / 4].1);
    report.long_row("memory", memory, "no more than 2 MiB more", grown < 2048);
    let files = format!("{} → {}", warm.files, after.files);
    report.row("file descriptors", files, "no more than 2 more", after.files <= warm.files + 2);
    let threads = format!("{} → {}", warm.threads, after.threads);
    report.row("threads", threads, "no more than 2 more", after.threads <= warm.threads + 2);
    let (zombies, orphans) = (zombies_of(gateway.pid()).len(), orphans(&gateway));
    report.row("zombies and orphans", format!("{zombies} and {orphans}"), "0", zombies + orphans == 0);
    Arc::into_inner(gateway).expect("all clients have ended").stop().await;
    report.end();
}
