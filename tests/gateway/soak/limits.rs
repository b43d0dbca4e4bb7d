//! One member asks for ten times what its plan gives, in every spelling of its keys and in both
//! dialects, while another calls at a steady rate: the excess is refused, and the other is not slower for
//! it (E71). The two take turns within one run, since only then do they have the same machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Report;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::load::{Repeated, Shot, of_status, paced, percentile};

/// What the greedy member's plan gives, a second.
const RATE: u32 = 100;

fn config() -> String {
    format!(
        "[api]\nauth = \"required\"\n[organization]\nplan = \"unlimited\"\n\
         [plans.narrow]\nrequests_per_second = {RATE}\n\
         [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
         [[members]]\nid = \"user_greedy\"\nrole = \"admin\"\nplan = \"narrow\"\n"
    )
}

fn echo() -> Value {
    json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": 1}})
}

async fn key(gateway: &Gateway) -> String {
    let body = json!({"name": "greedy", "owner_id": "user_greedy"});
    let made = gateway.post("/v1/api-keys", &body).await.expect(201);
    made["data"]["key"].as_str().expect("a key").to_owned()
}

/// Two keys in every spelling, for calls and for reading, in both dialects.
fn greedy(keys: &[String; 2]) -> Vec<Repeated> {
    let get = |path, name: &str, value: String| Repeated {
        method: "GET",
        path,
        headers: vec![(name.to_owned(), value)],
        body: bytes::Bytes::new(),
    };
    let of_key = |key: &String| {
        [
            Repeated::call_with(("authorization", &format!("Bearer {key}")), &echo()),
            Repeated::call_with(("Authorization", &format!("ApiKey {key}")), &echo()),
            Repeated::call_with(("X-API-Key", key), &echo()),
            get("/v1/mcps", "authorization", format!("bearer {key}")),
            get("/api/servers", "x-api-key", key.clone()),
            get("/api/status", "authorization", format!("APIKEY {key}")),
        ]
    };
    keys.iter().flat_map(of_key).collect()
}

/// A flood from a thread of its own, so that who is measured does not wait for it in this process.
struct Flood {
    began: Instant,
    thread: std::thread::JoinHandle<Vec<Shot>>,
}

impl Flood {
    fn start(address: SocketAddr, keys: &[String; 2], length: Duration) -> Flood {
        let requests = greedy(keys);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(paced(address, requests, RATE * 10, length))
        });
        Flood { began: Instant::now(), thread }
    }

    /// What became of it, and how long it took in all.
    async fn end(self) -> (Vec<Shot>, Duration) {
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await.expect("no panic");
        (joined.expect("no panic"), self.began.elapsed())
    }
}

/// What the greedy member was given and refused.
#[derive(Default)]
struct Given {
    offered: usize,
    refused: usize,
    /// What the plan gives at most in the time that it took: the burst, and then the rate.
    due: f64,
    served: usize,
}

impl Given {
    fn add(&mut self, shots: &[Shot], took: Duration) {
        self.offered += shots.len();
        self.refused += of_status(shots, 429).len();
        self.served += of_status(shots, 200).len();
        self.due += f64::from(RATE) * (1.0 + took.as_secs_f64());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn ten_times_one_member_s_rate_is_refused_and_another_is_not_slower_for_it() {
    let mut report = Report::of("limits");
    let rounds = report.count(1, 10);
    let (length, per_second) = (Duration::from_secs(if report.long { 5 } else { 2 }), 200);
    let gateway = TestGateway::new().config_toml(&config()).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let keys = [key(&gateway).await, key(&gateway).await];
    let other = || vec![Repeated::call(&gateway, &echo())];
    // Connections, pages and clocks are as they will be.
    paced(gateway.address(), other(), per_second, Duration::from_secs(1)).await;
    let (mut alone, mut beside, mut given) = (Vec::new(), Vec::new(), Given::default());
    for _ in 0..rounds {
        alone.extend(paced(gateway.address(), other(), per_second, length).await);
        let flood = Flood::start(gateway.address(), &keys, length);
        beside.extend(paced(gateway.address(), other(), per_second, length).await);
        let (shots, took) = flood.end().await;
        given.add(&shots, took);
    }
    let all: Vec<&Shot> = alone.iter().chain(&beside).collect();
    let failed = all.iter().filter(|shot| shot.status != 200).count();
    report.note("the greedy member", format!("{} requests at {} a second", given.offered, RATE * 10));
    report.note("the other", format!("{} calls at {per_second} a second", all.len()));
    report.row("calls of the other that failed", failed, "0", failed == 0);
    let unexplained = given.offered - given.refused - given.served;
    report.row("answers other than 200 and 429", unexplained, "0", unexplained == 0);
    let excess = given.offered as f64 - given.due;
    let share = given.refused as f64 * 100.0 / excess;
    let told = format!("{share:.2} % ({} of {excess:.0})", given.refused);
    report.row("the excess that is refused", told, "99 %", share >= 99.0);
    report.row("served within the rate", given.served, "the burst", given.served >= RATE as usize);
    for percent in [50, 99] {
        let (before, during) = (percentile(&alone, percent), percentile(&beside, percent));
        let ratio = during.as_secs_f64() / before.as_secs_f64();
        let told = format!("{before:?} alone, {during:?} beside the flood, {ratio:.2}×");
        match percent {
            99 => report.long_row("p99 of the other", told, "1.5×", ratio <= 1.5),
            _ => report.note("p50 of the other", told),
        }
    }
    gateway.stop().await;
    report.end();
}
