//! The power cut at a random moment, under changes of servers and keys, again and again: the data
//! directory is on a disk that loses what was not synced. `POWERCUT_SEED` picks the cuts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Report, setting};
use crate::durability::{kill_after, quarantined, random, resting};
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::http::Connection;
use crate::support::power::disk::{Cut, Dice};
use crate::support::power::{PowerDisk, there_is_no_fuse};

/// So many keys are made before one is revoked for each new one.
const ACTIVE_KEYS: usize = 8;
/// So many of the newest keys are looked at after each cut, and all at the end.
const NEWEST_KEYS: usize = 24;

/// What is known of something: what was acknowledged last, and what else was asked for and not answered.
#[derive(Debug, Clone, Default)]
struct Known<T> {
    acknowledged: T,
    under_way: Option<T>,
}

impl<T: PartialEq + Clone> Known<T> {
    /// Takes what was found for the truth; returns whether it may be.
    fn settle(&mut self, found: T) -> bool {
        let kept = found == self.acknowledged || self.under_way.as_ref() == Some(&found);
        *self = Known { acknowledged: found, under_way: None };
        kept
    }
}

/// One thing to ask for, and what of it was acknowledged.
struct Asked {
    action: &'static str,
    method: &'static str,
    path: String,
    body: Option<Value>,
    status: u16,
}

#[derive(Default)]
struct World {
    /// The first argument of each server that is there.
    servers: BTreeMap<String, Known<Option<String>>>,
    /// Whether each key is active, by id, the oldest first.
    keys: Vec<(String, Known<bool>)>,
    /// How many acts of each kind were acknowledged.
    acts: BTreeMap<&'static str, usize>,
    lost: Vec<String>,
}

impl World {
    /// Asks for changes by turns until nobody answers.
    async fn change(&mut self, gateway: &Gateway, dice: &mut Dice) {
        let authorization = format!("Bearer {}", gateway.key());
        let opened = Connection::open(gateway.address(), &[("authorization", &authorization)]).await;
        // Killed before it could accept a connection.
        let Ok(mut connection) = opened else { return };
        loop {
            let ended = match dice.below(4) {
                0 => self.change_keys(&mut connection).await,
                _ => self.change_servers(&mut connection, dice).await,
            };
            if ended {
                return;
            }
        }
    }

    /// Asks, and notes an act that was acknowledged. `None` when nobody answers any more.
    async fn ask(&mut self, connection: &mut Connection, asked: &Asked) -> Option<Value> {
        let reply = connection.send(asked.method, &asked.path, asked.body.as_ref()).await.ok()?;
        let said = reply.expect(asked.status);
        *self.acts.entry(asked.action).or_default() += 1;
        Some(said)
    }

    async fn change_servers(&mut self, connection: &mut Connection, dice: &mut Dice) -> bool {
        let name = format!("server-{}", dice.below(6));
        let value = format!("{:016x}", dice.below(u64::MAX));
        let is_there = self.servers.entry(name.clone()).or_default().acknowledged.is_some();
        let path = format!("/api/servers/{name}");
        let (wanted, asked) = if !is_there {
            let mut body = resting(&[&value]);
            body["name"] = name.as_str().into();
            let path = "/api/servers".to_owned();
            (Some(value), Asked { action: "server.add", method: "POST", path, body: Some(body), status: 200 })
        } else if dice.once_in(5) {
            (None, Asked { action: "server.remove", method: "DELETE", path, body: None, status: 200 })
        } else {
            let body = Some(json!({"args": [value]}));
            (Some(value), Asked { action: "server.change", method: "PUT", path, body, status: 200 })
        };
        let answered = self.ask(connection, &asked).await.is_some();
        let known = self.servers.entry(name).or_default();
        match answered {
            true => known.acknowledged = wanted,
            false => known.under_way = Some(wanted),
        }
        !answered
    }

    async fn change_keys(&mut self, connection: &mut Connection) -> bool {
        let active = self.keys.iter().filter(|(_, known)| known.acknowledged).count();
        let oldest = self.keys.iter().position(|(_, known)| known.acknowledged);
        if let Some(oldest) = oldest.filter(|_| active >= ACTIVE_KEYS) {
            let path = format!("/v1/api-keys/{}", self.keys[oldest].0);
            let asked = Asked { action: "key.revoke", method: "DELETE", path, body: None, status: 200 };
            let answered = self.ask(connection, &asked).await.is_some();
            let known = &mut self.keys[oldest].1;
            match answered {
                true => known.acknowledged = false,
                false => known.under_way = Some(false),
            }
            return !answered;
        }
        let body = Some(json!({"name": "cut"}));
        let path = "/v1/api-keys".to_owned();
        let asked = Asked { action: "key.create", method: "POST", path, body, status: 201 };
        let Some(made) = self.ask(connection, &asked).await else { return true };
        let id = made["data"]["id"].as_str().expect("an id").to_owned();
        self.keys.push((id, Known { acknowledged: true, under_way: None }));
        false
    }

    /// Looks whether everything that was acknowledged is there.
    async fn look(&mut self, gateway: &Gateway, when: &str, newest_keys: usize) {
        let listed = gateway.get("/api/servers").await.expect(200);
        let servers = listed["servers"].as_array().expect("a list").clone();
        let found: BTreeMap<&str, Option<String>> = servers
            .iter()
            .map(|server| {
                (server["name"].as_str().expect("a name"), server["args"][0].as_str().map(str::to_owned))
            })
            .collect();
        for (name, known) in &mut self.servers {
            let (before, now) = (known.clone(), found.get(name.as_str()).cloned().flatten());
            if !known.settle(now.clone()) {
                self.lost.push(format!("{when}, {name}: {before:?}, found {now:?}"));
            }
        }
        let old = self.keys.len().saturating_sub(newest_keys);
        for (id, known) in &mut self.keys[old..] {
            let reply = gateway.get(&format!("/v1/api-keys/{id}")).await;
            if reply.status != 200 {
                self.lost.push(format!("{when}, key {id}: {known:?}, found {}", reply.text()));
                continue;
            }
            let (before, now) = (known.clone(), reply.json()["data"]["status"] == "active");
            if !known.settle(now) {
                self.lost.push(format!("{when}, key {id}: {before:?}, found {now}"));
            }
        }
    }

    /// Acts that were acknowledged and are not in the audit.
    async fn unrecorded(&self, gateway: &Gateway) -> Vec<String> {
        let audit = gateway.get("/v1/audit/export").await;
        assert_eq!(audit.status, 200, "{}", audit.text());
        let mut recorded = BTreeMap::<String, usize>::new();
        for line in audit.text().lines() {
            let line: Value = serde_json::from_str(line).expect("a line of JSON");
            if line["outcome"] == "done" {
                *recorded.entry(line["action"].as_str().expect("an action").to_owned()).or_default() += 1;
            }
        }
        let acts = self.acts.iter();
        let short = acts.filter(|(action, count)| recorded.get(**action).copied().unwrap_or(0) < **count);
        short
            .map(|(action, count)| {
                format!("{action}: {count} acknowledged, {} recorded", recorded.get(*action).unwrap_or(&0))
            })
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_changes_and_their_records_outlive_power_cuts() {
    if there_is_no_fuse("power cuts") {
        return;
    }
    let mut report = Report::of("power cuts");
    let cuts = report.count(8, 200);
    let seed = setting("POWERCUT_SEED").unwrap_or_else(|| u64::from(random()));
    report.note("seed of the cuts", format!("POWERCUT_SEED={seed}"));
    let mut dice = Dice::new(seed);
    let mut disk = PowerDisk::mount();
    let mut gateway = TestGateway::new().data_in(disk.path()).start().await;
    let (mut world, mut unrecorded) = (World::default(), Vec::new());
    for round in 0..cuts {
        let killer = kill_after(gateway.pid(), Duration::from_micros(1_000 + dice.below(150_000)));
        world.change(&gateway, &mut dice).await;
        killer.join().expect("no panic");
        gateway.kill_9_done().await;
        let cut = Cut::any(&mut dice);
        disk.cut(cut, &mut dice);
        gateway.restart().await;
        let when = format!("round {round}, {cut:?}");
        world.look(&gateway, &when, NEWEST_KEYS).await;
        for what in world.unrecorded(&gateway).await {
            unrecorded.push(format!("{when}, {what}"));
        }
    }
    world.look(&gateway, "at the end", usize::MAX).await;
    report.note("acts that were acknowledged", format!("{:?}", world.acts));
    report.note("stores made anew from backup and journal", quarantined(gateway.data()).len());
    report.row("starts", format!("{cuts} cuts"), "every one opens", true);
    let lost = format!("{} {:?}", world.lost.len(), world.lost);
    report.row("acknowledged changes lost", lost, "0", world.lost.is_empty());
    let missing = format!("{} {unrecorded:?}", unrecorded.len());
    report.row("acknowledged acts without a record", missing, "0", unrecorded.is_empty());
    gateway.stop().await;
    drop(disk);
    report.end();
}
