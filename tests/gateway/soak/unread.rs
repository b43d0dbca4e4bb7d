//! Clients that ask for large answers and read nothing: what they hold in memory is what
//! `docs/limits.md` says, others are answered meanwhile, and all of it is free afterwards (F9).

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::Report;
use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway, fake};
use crate::support::strangers::{address, allow_many_sockets, connect};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until, wire};

const MEMBERS: &str =
    "[[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_member\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn unread() {
    let mut report = Report::of("unread");
    let (clients, bytes, per_key, all) =
        if report.long { (200, 15_000_000, 64, 512) } else { (40, 3_000_000, 8, 32) };
    let config = format!(
        "[limits]\nunread_per_key = \"{per_key}MiB\"\nunread = \"{all}MiB\"\n[organization]\nplan = \"unlimited\"\n{MEMBERS}"
    );
    allow_many_sockets();
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .server("other", fake(&[]))
        .config_toml(&config)
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    gateway.wait_state("other", "ready").await;
    let made =
        gateway.post("/v1/api-keys", &json!({"name": "greedy", "owner_id": "user_member"})).await.expect(201);
    let greedy = made["data"]["key"].as_str().expect("a key").to_owned();
    gateway.call("other", "echo", json!({"nonce": 1})).await;
    let before = Usage::of(gateway.pid());
    let large = json!({"mcp_id": "fake", "tool": "big", "arguments": {"bytes": bytes}, "timeout": 300_000});
    let request = wire::post(INVOKE, &greedy, &large.to_string());
    let mut unread = Vec::new();
    for _ in 0..clients {
        let mut client = connect(address(1), gateway.address(), true).await.expect("accepted");
        client.write_all(&request).await.expect("sent");
        unread.push(client);
    }
    // One more of the same key is refused before anything is carried out, and says why.
    let small = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": 1}});
    let again = || async { ask(&gateway, "POST", INVOKE).key(&greedy).json(small.to_string()).send().await };
    let mut refused = None;
    let (began, mut peak) = (Instant::now(), 0);
    while refused.is_none() || began.elapsed() < report.length(2, 20) {
        assert!(began.elapsed() < DEADLINE, "nobody was refused");
        peak = peak.max(Usage::of(gateway.pid()).resident);
        // The owner is somebody else, and is answered.
        gateway.call("other", "echo", json!({"nonce": 1})).await;
        let reply = again().await;
        if reply.status == 503 {
            refused = Some(reply);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = refused.expect("just now");
    assert!(refused.headers.contains_key("retry-after"));
    let told = refused.json()["error"]["message"].as_str().expect("a text").to_owned();
    assert!(told.contains("limits.unread_per_key"), "{told}");
    let promised = (per_key * 1024) + 64 * 1024;
    let grown = peak.saturating_sub(before.resident);
    report.note("clients that do not read, and their answers", format!("{clients} × {bytes} bytes, one key"));
    let kept = grown <= promised;
    report.row(
        "resident memory",
        format!("+{} MiB at its peak", grown / 1024),
        &format!(
            "+{} MiB: limits.unread_per_key, and what a child's line and the allocator take",
            promised / 1024
        ),
        kept,
    );
    drop(unread);
    wait_until("there is room again", DEADLINE, || async { (again().await.status == 200).then_some(()) })
        .await;
    report
        .note("afterwards", format!("{} KiB, {} before", Usage::of(gateway.pid()).resident, before.resident));
    gateway.stop().await;
    report.end();
}
