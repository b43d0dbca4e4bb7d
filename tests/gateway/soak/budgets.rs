//! A budget for each principal: clients of every role, each from an address of its own, do what hurts as
//! much as they can, in an order that a seed decides. All the while nobody holds more than
//! `docs/limits.md` says, and somebody else is answered.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use super::{Report, setting};
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::recording::Socket;
use crate::support::strangers::{address, allow_many_sockets, ask_from, closing, connect};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wire};

const PLACES: usize = 40;
/// How often in a row everybody does the same harm, which is when it hurts.
const IN_A_ROW: usize = 160;
/// How many kinds of it there are.
const KINDS: usize = 10;
/// One address may take all of them, so that only making room keeps the others in.
const PER_ADDRESS: usize = PLACES;
const MIB: usize = 1024 * 1024;
const PER_KEY: usize = 2 * MIB;
/// As many times that as by default: two keys together do not reach the half from which on nobody may call.
const ALL: usize = 8 * PER_KEY;
const QUEUE: u64 = 20;
const AUDIT: u64 = MIB as u64;

/// The longest answer that is asked for.
const MAX_ANSWER: usize = 6 * MIB;
/// How many of them are hoarded by each of so many keys: together they leave places to others, so that none
/// of them has to make room.
const HOARD: usize = 6;

/// What `docs/limits.md` promises of resident memory here: unread answers, what connections buffer, small
/// answers, a child's line and as much again while it grows, and some room for the allocator.
const MEMORY: u64 = (ALL + (2 * PLACES + 8) * 3 * 64 * 1024 + 2 * MAX_ANSWER + 24 * MIB) as u64 / 1024;
/// How long somebody else may wait for an answer before it counts as none.
const SHUT_OUT: Duration = Duration::from_secs(20);

fn config() -> String {
    format!(
        "[http]\nmax_connections = {PLACES}\nmax_connections_per_address = {PER_ADDRESS}\nheader_timeout = \"10m\"\n\
         body_timeout = \"10m\"\n[api]\nauth = \"required\"\n[limits]\nunread_per_key = {PER_KEY}\nunread = {ALL}\n\
         [audit]\nkeep_size = \"1MiB\"\n[organization]\nplan = \"unlimited\"\n\
         [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_member\"\n\
         [[members]]\nid = \"user_other\"\n[[members]]\nid = \"user_viewer\"\nrole = \"viewer\"\n"
    )
}

/// Random numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }
}

impl Dice {
    /// The kinds of mischief in an order of its own.
    fn order(mut self) -> [usize; KINDS] {
        let mut kinds = std::array::from_fn(|kind| kind);
        for last in (1..KINDS).rev() {
            kinds.swap(last, self.below(last + 1));
        }
        kinds
    }
}

/// Somebody who means harm.
struct Rogue {
    from: Ipv4Addr,
    key: Option<String>,
    dice: Dice,
    held: Vec<Socket>,
}

impl Rogue {
    /// The bytes of one piece of mischief, and whether what is answered is not to be read.
    fn mischief(&mut self, kind: usize) -> (Vec<u8>, bool) {
        let key = self.key.clone().unwrap_or_else(|| format!("pk_live_{}", self.dice.below(1000)));
        let big = 1_000_000 + self.dice.below(MAX_ANSWER - 1_000_000);
        let call = |tool: &str, arguments: Value| {
            let body = json!({"mcp_id": "fake", "tool": tool, "arguments": arguments, "timeout": 60_000});
            wire::post(INVOKE, &key, &body.to_string()).to_vec()
        };
        let get = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n")
                .into_bytes()
        };
        match kind {
            0 => (Vec::new(), false),
            1 => (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_vec(), false),
            2 => {
                let whole = call("echo", json!({"text": "x".repeat(9_000)}));
                (whole[..whole.len() / 2].to_vec(), false)
            }
            3 => (call("big", json!({"bytes": big})), true),
            4 => (call("sleep", json!({"ms": 500 + self.dice.below(5_000)})), false),
            5 => (get("/v1/mcps/fake/logs?follow=true"), true),
            6 => (get("/metrics").repeat(40), true),
            7 => {
                let path = format!("/v1/api-keys/{}", "k".repeat(20_000));
                (
                    format!(
                        "DELETE {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n"
                    )
                    .into_bytes(),
                    false,
                )
            }
            8 => (get("/v1/audit/export"), true),
            _ => (get("/v1/mcps/fake").repeat(200), true),
        }
    }

    async fn misbehave(&mut self, to: SocketAddr, kind: usize) {
        if self.held.len() > 70 {
            let gone = self.dice.below(self.held.len());
            self.held.swap_remove(gone);
        }
        let (bytes, reads_little) = self.mischief(kind);
        let Ok(mut stream) = connect(self.from, to, reads_little).await else { return };
        // What is not taken at once is not sent: nobody here waits for the daemon.
        let _ = tokio::time::timeout(Duration::from_millis(50), stream.write_all(&bytes)).await;
        self.held.push(stream);
    }
}

/// Each of these keys asks for as much as it can at once and reads none of it: how many of the answers are
/// held by then, of how many that were asked for. Nothing but the limits on unread answers bounds what that
/// takes: the calls have places at the server, and their connections have places here.
async fn hoard(gateway: &Gateway, keys: &[String]) -> (Vec<Socket>, usize) {
    let body =
        json!({"mcp_id": "fake", "tool": "big", "arguments": {"bytes": MAX_ANSWER}, "timeout": 300_000});
    let mut held = Vec::new();
    for (number, key) in (20u8..).zip(keys) {
        for _ in 0..HOARD {
            let mut stream = connect(address(number), gateway.address(), true).await.expect("accepted");
            stream.write_all(&wire::post(INVOKE, key, &body.to_string())).await.expect("sent");
            held.push(stream);
        }
    }
    let mut answered = 0;
    for stream in &mut held {
        // No more of it than says that it is there.
        let mut status = [0; 12];
        let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut status)).await;
        read.expect("it is answered").expect("it stays open");
        answered += usize::from(status.ends_with(b"200"));
    }
    (held, answered)
}

async fn key_of(gateway: &Gateway, member: &str) -> String {
    let made = gateway.post("/v1/api-keys", &json!({"name": member, "owner_id": member})).await.expect(201);
    made["data"]["key"].as_str().expect("a key").to_owned()
}

/// Two keys of each of two members: more than one of everything that there is a limit for.
async fn hoarders(gateway: &Gateway) -> Vec<String> {
    let mut keys = Vec::new();
    for member in ["user_owner", "user_owner", "user_member", "user_member"] {
        keys.push(key_of(gateway, member).await);
    }
    keys
}

/// How much is below a directory, in bytes.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => size_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// How many connections each address of this machine has to this port, as the kernel of the daemon's side
/// sees it: those that were accepted, and not those that wait in its queue.
fn connections(port: u16) -> HashMap<Ipv4Addr, usize> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let mut of = HashMap::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(local), Some(remote), Some(state)) = (fields.get(1), fields.get(2), fields.get(3)) else {
            continue;
        };
        let end = |text: &str| {
            let (address, port) = text.split_once(':')?;
            let address = u32::from_str_radix(address, 16).ok()?.to_le_bytes();
            Some((Ipv4Addr::from(address), u16::from_str_radix(port, 16).ok()?))
        };
        // Established, and owned by a process: not one that the kernel alone still has, which has no inode.
        let is_owned = fields.get(9).is_some_and(|inode| *inode != "0");
        if let (Some((_, own)), Some((from, _)), "01") = (end(local), end(remote), *state)
            && own == port
            && is_owned
        {
            *of.entry(from).or_default() += 1;
        }
    }
    of
}

/// The most that was seen of everything.
#[derive(Debug, Default)]
struct Most {
    disk: u64,
    open: u64,
    of_address: usize,
    queued: u64,
    slowest: Duration,
    unanswered: usize,
    answered: usize,
}

impl Most {
    async fn look(&mut self, gateway: &Gateway, call: &str, disk_before: u64) {
        let to = gateway.address();
        let requests = [call.to_owned(), closing("GET", "/healthz", None, "")];
        let asked = requests
            .map(|request| tokio::task::spawn_blocking(move || ask_from(address(9), to, &request, SHUT_OUT)));
        for asked in asked {
            let (status, took) = asked.await.expect("no panic");
            self.slowest = self.slowest.max(took);
            if status == Some(200) { self.answered += 1 } else { self.unanswered += 1 }
        }
        self.disk = self.disk.max(size_of(gateway.data()).saturating_sub(disk_before));
        let of_rogues = connections(to.port()).into_iter().filter(|(from, _)| *from != address(9));
        self.of_address = self.of_address.max(of_rogues.map(|(_, count)| count).max().unwrap_or_default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets() {
    hold(Report::of("budgets"), fake(&[])).await;
}

/// What they do harm with is a child of another daemon, which is the remote server of this one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_before_a_remote_server() {
    let far = TestGateway::new()
        .server("fake", with(fake(&[]), json!({"max_in_flight": 64})))
        .config_toml("[organization]\nplan = \"unlimited\"\n")
        .start()
        .await;
    far.wait_state("fake", "ready").await;
    let credential = format!("Bearer ${{file:{}}}", far.data().join("owner.key").display());
    let url = format!("http://{}/mcp/fake", far.address());
    hold(Report::of("budgets, remote"), json!({"url": url, "headers": {"Authorization": credential}})).await;
    far.stop().await;
}

/// Lets rogues do what they can with a daemon and this server, and reports what they took.
#[expect(clippy::too_many_lines, reason = "one run, and a line for each number that is promised of it")]
async fn hold(mut report: Report, server: Value) {
    let seed = setting("SEED").unwrap_or_else(|| u64::from(std::process::id()));
    report.note("seed", seed);
    allow_many_sockets();
    let narrow = with(server, json!({"max_in_flight": 64, "queue": QUEUE, "queue_age": "2s"}));
    let gateway = TestGateway::new()
        .server("fake", narrow)
        .server("other", fake(&[]))
        .config_toml(&config())
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    gateway.wait_state("other", "ready").await;
    let other = key_of(&gateway, "user_other").await;
    let mut keys = vec![None, Some(gateway.key().to_owned())];
    for member in ["user_member", "user_viewer"] {
        keys.push(Some(key_of(&gateway, member).await));
    }
    let body = json!({"mcp_id": "other", "tool": "echo", "arguments": {"nonce": 1}}).to_string();
    let call = closing("POST", INVOKE, Some(&other), &body);
    // Whoever looks into the daemon has a connection of its own from the beginning.
    let mut watcher = gateway.connect().await;
    let before = (Usage::of(gateway.pid()).resident, size_of(gateway.data()));
    let mut most = Most::default();
    let hoarders = hoarders(&gateway).await;
    Usage::forget_peak(gateway.pid());
    let began = Instant::now();
    let (held, answered) = hoard(&gateway, &hoarders).await;
    most.look(&gateway, &call, before.1).await;
    let grown = Usage::of(gateway.pid()).peak.saturating_sub(before.0);
    let took = began.elapsed();
    report.note("large answers that are held", format!("{answered} of {}, after {took:?}", held.len()));
    report.row(
        "resident memory while they are",
        format!("+{grown} KiB at its peak"),
        &format!("+{MEMORY} KiB"),
        grown <= MEMORY && answered > 0,
    );
    drop(held);
    Usage::forget_peak(gateway.pid());
    let over = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicUsize::new(0));
    let kinds = Dice(seed).order();
    let mut rogues = JoinSet::new();
    for (number, key) in (0u8..).zip(keys) {
        let (to, over, done) = (gateway.address(), over.clone(), done.clone());
        let mut rogue =
            Rogue { from: address(10 + number), key, dice: Dice(seed ^ u64::from(number)), held: Vec::new() };
        rogues.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let round = done.fetch_add(1, Ordering::Relaxed) / IN_A_ROW;
                rogue.misbehave(to, kinds[round % KINDS]).await;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let (began, length) = (Instant::now(), report.length(6, 300));
    // As much as that, however slow the machine is.
    let pieces = report.count(KINDS * IN_A_ROW, 50_000);
    while began.elapsed() < length || done.load(Ordering::Relaxed) < pieces {
        most.look(&gateway, &call, before.1).await;
        if let Ok(reply) = watcher.send("GET", "/v1/mcps/fake", None).await {
            most.queued =
                most.queued.max(reply.json()["data"]["traffic"]["queued"].as_u64().unwrap_or_default());
        } else {
            watcher = gateway.connect().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    over.store(true, Ordering::Relaxed);
    rogues.shutdown().await;
    let metrics = gateway.get("/metrics").await.text();
    most.open = metrics
        .lines()
        .find_map(|line| line.strip_prefix("mcpvisor_http_connections ")?.parse().ok())
        .expect("the metric");
    report.note("pieces of mischief", done.load(Ordering::Relaxed));
    let shut_out = format!("{} answered, {} not; slowest {:?}", most.answered, most.unanswered, most.slowest);
    report.row("somebody else", shut_out, "all answered", most.unanswered == 0 && most.answered > 0);
    let grown = Usage::of(gateway.pid()).peak.saturating_sub(before.0);
    report.row(
        "resident memory",
        format!("+{grown} KiB at its peak"),
        &format!("+{MEMORY} KiB"),
        grown <= MEMORY,
    );
    // Two files of the audit, the journal and a backup, and usage rows.
    let disk = 2 * AUDIT + 4 * MIB as u64;
    report.row("on the disk", format!("+{} bytes", most.disk), &format!("+{disk} bytes"), most.disk <= disk);
    let waiting = PER_ADDRESS + PLACES;
    report.row(
        "connections of one address",
        most.of_address,
        &format!("{waiting}"),
        most.of_address <= waiting,
    );
    report.row(
        "connections served at the end",
        most.open,
        &format!("{}", PLACES + 8),
        most.open <= PLACES as u64 + 8,
    );
    report.row("places in the queue", most.queued, &format!("{QUEUE}"), most.queued <= QUEUE);
    gateway.stop().await;
    report.end();
}
