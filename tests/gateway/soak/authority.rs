//! Authority as a history, against the real daemon: keys and members are made at once by many, under a plan that
//! changes; a key is revoked, given another text or removed with its member at a random moment while it has calls
//! with the child, calls in the queue, a log and requests under way; now and then the disk is full, and the daemon
//! is killed. After an end that was acknowledged nothing of it begins, and no count passes its limit.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Report;
use crate::full_disk::{Mounted, fill, is_mounted, small_disk};
use crate::revoking::{Made, begin, make_by, revoke};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::recording::Socket;

/// How many keys and members the plan allows at most.
const MAX_ALLOWED: u64 = 8;
const PEOPLE: &str = "/v1/organization/members";
/// The organization's, which is built in and may be made anew.
const PLAN: &str = "/v1/organization/plans/team";
/// How many calls the child has at once.
const PLACES: usize = 2;
/// How many calls a key has under way when it is revoked.
const CALLS: usize = 10;

/// A stream of numbers that the seed says all about.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// How the authority of a key's text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Revoked,
    /// The key goes on with another text.
    Rotated,
    /// Its member goes, and it with it.
    Removed,
}

impl End {
    /// One of those that there are; on a full disk no key can be given another text.
    fn any(random: &mut Random, full: bool) -> End {
        match random.below(if full { 2 } else { 3 }) {
            0 => End::Revoked,
            1 => End::Removed,
            _ => End::Rotated,
        }
    }
}

/// What was seen that must not be.
#[derive(Default)]
struct Seen {
    ends: [usize; 3],
    locked_out: usize,
    begun_after: usize,
    odd_answers: usize,
    lines_after: usize,
    accepted_after: usize,
    /// By how many there were more than the plan allowed.
    beyond: u64,
}

async fn follow(gateway: &Gateway, key: &str) -> Socket {
    let mut socket = gateway.raw_socket().await;
    let head = format!(
        "GET /v1/mcps/fake/logs?follow=true HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\n\r\n",
        gateway.address()
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket
}

/// Everything that a stream still has to say; it must end by itself.
async fn rest(mut socket: Socket) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    let end = Instant::now() + Duration::from_secs(20);
    while !text.contains("event: end") && Instant::now() < end {
        match tokio::time::timeout(Duration::from_secs(5), socket.read(&mut buffer)).await {
            Ok(Ok(count)) if count > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => break,
        }
    }
    text
}

async fn newest_line(gateway: &Gateway) -> u64 {
    let lines = gateway.get("/v1/mcps/fake/logs?tail=1").await.expect(200);
    lines["data"][0]["number"].as_u64().unwrap_or(0)
}

async fn listed(gateway: &Gateway, path: &str) -> Vec<Value> {
    let list = gateway.get(&format!("{path}per_page=100")).await.expect(200);
    list["data"].as_array().expect("a list").clone()
}

/// Ends the authority of a key's text. Gives the text that there is instead.
async fn end(gateway: &Gateway, key: &Made, member: &str, how: End) -> Option<String> {
    let path = format!("/v1/api-keys/{}/rotate", key.id);
    let (ended, text) = match how {
        End::Revoked => (revoke(gateway, &key.id, "?descendants=true").await.expect(200), None),
        End::Removed => (gateway.delete(&format!("{PEOPLE}/{member}")).await.expect(200), None),
        End::Rotated => {
            let rotated = gateway.post(&path, &json!({})).await.expect(200);
            let text = rotated["data"]["key"].as_str().expect("a text").to_owned();
            (rotated, Some(text))
        }
    };
    assert!(text.is_some() || ended["data"]["durable"] == true, "{ended}");
    text
}

/// One end, at a random moment of what the key has under way.
async fn one_end(gateway: &Gateway, random: &mut Random, full: bool, seen: &mut Seen) -> Made {
    let (how, member) = (End::any(random, full), format!("user_{}", seen.ends.iter().sum::<usize>() % 3));
    let wish = json!({"name": "k", "member": {"id": member, "role": "admin"}});
    let key = make_by(gateway, gateway.key(), wish).await;
    let stream = follow(gateway, &key.text).await;
    let mut calls = Vec::new();
    for n in 0..CALLS {
        let body = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 5 + n}});
        calls.push(begin(gateway, &key.text, INVOKE, body).await);
    }
    // Others that ask for keys at once, by the key that is about to end.
    let mut heirs = Vec::new();
    let asking = if how == End::Rotated { 0 } else { random.below(8) };
    for n in 0..asking {
        heirs.push(begin(gateway, &key.text, "/v1/api-keys", json!({"name": format!("heir {n}")})).await);
    }
    let filler = full.then(|| fill(gateway.data()));
    tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
    let text = end(gateway, &key, &member, how).await;
    let finished = calls.iter().filter(|call| call.is_finished()).count();
    let last_line = newest_line(gateway).await;
    gateway.call("fake", "log_stderr", json!({"bytes": 40})).await;
    let mut answered = 0_usize;
    for call in calls {
        match call.await.expect("no panic").status {
            200 => answered += 1,
            401 => {}
            _ => seen.odd_answers += 1,
        }
    }
    // What had not ended when the end was acknowledged and was answered all the same was with the child.
    seen.begun_after += answered.saturating_sub(finished + PLACES);
    for heir in heirs {
        let reply = heir.await.expect("no panic");
        if reply.status == 201 {
            let text = reply.json()["data"]["key"].as_str().expect("a key").to_owned();
            seen.accepted_after += usize::from(accepted(gateway, &text).await);
        }
    }
    seen.accepted_after += usize::from(accepted(gateway, &key.text).await);
    if let Some(text) = text {
        seen.locked_out += usize::from(!accepted(gateway, &text).await);
    }
    let events = rest(stream).await;
    let numbers =
        events.split("id: ").skip(1).filter_map(|event| event.split('\n').next()?.parse::<u64>().ok());
    seen.lines_after += numbers.filter(|number| *number > last_line).count();
    seen.odd_answers +=
        usize::from(!events.contains("\"reason\":\"revoked_key\"") && !events.contains("401"));
    if let Some(filler) = filler {
        fs::remove_file(filler).expect("removed");
    }
    if how != End::Removed {
        gateway.delete(&format!("{PEOPLE}/{member}")).await.expect(200);
    }
    seen.ends[how as usize] += 1;
    key
}

async fn accepted(gateway: &Gateway, key: &str) -> bool {
    ask(gateway, "GET", "/v1/mcps").key(key).send().await.status == 200
}

/// Many ask for keys and members at once, beside a plan that allows fewer or more than before; then all but the
/// first go.
async fn all_at_once(gateway: &Gateway, random: &mut Random, seen: &mut Seen) {
    let most = [3 + random.below(MAX_ALLOWED - 2), 2 + random.below(MAX_ALLOWED - 1)];
    let plan = json!({"max_api_keys": most[0], "max_members": most[1]});
    gateway.put(PLAN, &plan).await.expect(200);
    let mut asking = Vec::new();
    for n in 0..24 {
        let body = json!({"name": format!("n{n}")});
        asking.push(begin(gateway, gateway.key(), "/v1/api-keys", body.clone()).await);
        asking.push(begin(gateway, gateway.key(), PEOPLE, body).await);
    }
    for reply in asking {
        reply.await.expect("no panic");
    }
    let keys = listed(gateway, "/v1/api-keys?status=active&").await;
    let members = listed(gateway, &format!("{PEOPLE}?")).await;
    for (there, most) in [&keys, &members].into_iter().zip(most) {
        seen.beyond += (there.len() as u64).saturating_sub(most);
    }
    for key in keys.iter().filter(|key| !key["created_by"].is_null()) {
        revoke(gateway, key["id"].as_str().expect("an id"), "").await.expect(200);
    }
    for member in members.iter().filter(|member| member["source"] == "api") {
        let id = member["id"].as_str().expect("an id");
        gateway.delete(&format!("{PEOPLE}/{id}")).await.expect(200);
    }
    gateway.put(PLAN, &json!({"max_api_keys": MAX_ALLOWED})).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_of_a_key_begins_after_its_end_was_acknowledged() {
    let mut report = Report::of("authority");
    let rounds = report.count(6, 300);
    let seed = std::env::var("SOAK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| u64::from(std::process::id()));
    report.note("seed", seed);
    let mut random = Random(seed);
    let server = with(fake(&[]), json!({"max_in_flight": PLACES, "queue_age": "60s"}));
    let mut gateway = TestGateway::new()
        .config_toml("[organization]\nplan = \"team\"\n[limits]\ncalls_per_key = 100000\n")
        .server("fake", server)
        .prepare(small_disk)
        .start()
        .await;
    let mounted = is_mounted(gateway.data()).then(|| Mounted(gateway.data().to_owned()));
    gateway.wait_state("fake", "ready").await;
    gateway.put(PLAN, &json!({"max_api_keys": MAX_ALLOWED})).await.expect(200);
    let (mut seen, mut ended): (Seen, Vec<Made>) = Default::default();
    let (mut kills, mut full_disks) = (0, 0);
    for round in 0..rounds {
        let full = mounted.is_some() && random.below(3) == 0;
        full_disks += usize::from(full);
        ended.push(one_end(&gateway, &mut random, full, &mut seen).await);
        let goes_on = || async { (gateway.get("/readyz").await.json()["status"] == "ready").then_some(()) };
        crate::support::wait_until("changes can be stored", crate::support::DEADLINE, goes_on).await;
        if round % 2 == 0 {
            all_at_once(&gateway, &mut random, &mut seen).await;
        }
        if random.below(4) == 0 || round + 1 == rounds {
            kills += 1;
            gateway.kill_9().await;
            gateway.restart().await;
            gateway.wait_state("fake", "ready").await;
            for key in &ended {
                seen.accepted_after += usize::from(accepted(&gateway, &key.text).await);
            }
            ended.clear();
        }
    }
    report.note("revoked, rotated and removed in the middle of things", format!("{:?}", seen.ends));
    report.note("kills, and rounds on a full disk", format!("{kills}, {full_disks}"));
    report.row("calls that began afterwards", seen.begun_after, "0", seen.begun_after == 0);
    report.row("lines of a log afterwards", seen.lines_after, "0", seen.lines_after == 0);
    report.row("keys accepted afterwards", seen.accepted_after, "0", seen.accepted_after == 0);
    report.row("other answers than 200 and 401", seen.odd_answers, "0", seen.odd_answers == 0);
    report.row("new texts refused", seen.locked_out, "0", seen.locked_out == 0);
    report.row("keys and members beyond the plan", seen.beyond, "0", seen.beyond == 0);
    assert!(gateway.terminate().await.success());
    drop(mounted);
    gateway.stop().await;
    report.end();
}
