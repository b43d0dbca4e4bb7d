//! Streamed answers live as long as somebody reads them: a followed log and the events of a question, each over a
//! socket of its own.

use std::io::Write as _;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::logs::{Following, echoing};
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::llm::{Llm, Turn};
use crate::support::strangers::{address, allow_many_sockets, connect};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until, wire};

/// Begins to read an answer over a socket of its own.
async fn begin(gateway: &Gateway, request: &str, body: &str) -> Following {
    Following::of(gateway.raw_socket().await, &wire::request(request, gateway.key(), body)).await
}

/// The same for a client that reads nothing until it is told to, and has hardly any buffer.
async fn begin_deaf(gateway: &Gateway, request: &str, body: &str) -> Following {
    let socket = connect(address(1), gateway.address(), true).await.expect("accepted");
    Following::of(socket, &wire::request(request, gateway.key(), body)).await
}

const FOLLOW: &str = "GET /v1/mcps/fake/logs?follow=true";

fn question() -> String {
    json!({"server": "fake", "query": "?", "stream": true}).to_string()
}

/// A daemon with a server that writes to its log what a test writes to a file, and a model that says the first word
/// of its answer and waits.
struct World {
    gateway: Gateway,
    model: Llm,
    directory: tempfile::TempDir,
}

impl World {
    async fn new(config: &str) -> World {
        World::with(config, || Turn::say_in_the_middle("Word after word.")).await
    }

    async fn with(config: &str, answer: impl Fn() -> Turn + Send + 'static) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let model = Llm::by(move |_| answer()).await;
        let server = echoing(&directory.path().join("lines"));
        std::fs::write(directory.path().join("lines"), "").expect("written");
        let gateway = TestGateway::new()
            .server("fake", server)
            .config_toml(config)
            .variable("OPENAI_API_KEY", super::query::KEY)
            .variable("OPENAI_BASE_URL", &model.url())
            .start()
            .await;
        gateway.wait_state("fake", "ready").await;
        World { gateway, model, directory }
    }

    fn log(&self, line: &str) {
        let file = std::fs::OpenOptions::new().append(true).open(self.directory.path().join("lines"));
        writeln!(file.expect("there"), "{line}").expect("written");
    }

    async fn follow(&self) -> Following {
        let mut following = begin(&self.gateway, FOLLOW, "").await;
        following.until("\r\n\r\n").await;
        following
    }

    async fn ask(&self) -> Following {
        let mut asking = begin(&self.gateway, "POST /api/query", &question()).await;
        asking.until("Word ").await;
        asking
    }

    /// Sees both streams on: what is written now arrives, and the answer comes to its end.
    async fn both_go_on(&self, following: &mut Following, asking: &mut Following) {
        self.log("after all that");
        following.until("after all that").await;
        self.model.let_go(1);
        asking.until("\"result\":\"Word after word.\"").await;
        asking.until("\r\n0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_stream_outlives_the_time_after_which_an_idle_connection_is_closed() {
    let world = World::new("[http]\nkeep_alive = \"1s\"\n").await;
    let (mut following, mut asking) = (world.follow().await, world.ask().await);
    // One after the other, each begun when the streams had been silent for longer.
    for _ in 0..3 {
        let mut idle = begin(&world.gateway, "GET /healthz", "").await;
        let told = idle.read_out().await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    }
    world.both_go_on(&mut following, &mut asking).await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_stream_that_is_read_makes_room_for_nobody() {
    let config = "[http]\nmax_connections = 2\nmax_connections_per_address = 2\nkeep_alive = \"1h\"\n";
    let world = World::new(config).await;
    // The connection that is kept alive from the start makes room.
    let (mut following, mut asking) = (world.follow().await, world.ask().await);
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(begin(&world.gateway, "GET /healthz", "").await);
    }
    for number in 0..5 {
        world.log(&format!("line {number}."));
        following.until(&format!("line {number}.")).await;
    }
    world.both_go_on(&mut following, &mut asking).await;
    // The answer has ended, so its connection is idle now, and somebody who waited has its place.
    let (first, _) = others.split_first_mut().expect("three");
    first.until("HTTP/1.1 200").await;
    drop((following, asking, others));
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_is_there() {
    let world = World::new("").await;
    let (mut following, mut asking) = (world.follow().await, world.ask().await);
    tokio::join!(following.until("\r\n:\n\n"), asking.until("\r\n:\n\n"));
    world.both_go_on(&mut following, &mut asking).await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_stream_gets_a_last_event_and_a_proper_end_when_the_daemon_stops() {
    let mut world = World::new("[server]\ndrain = \"1s\"\n").await;
    let (mut following, mut asking) = (world.follow().await, world.ask().await);
    world.gateway.signal(Signal::SIGTERM);
    let told = following.read_out().await;
    assert!(told.contains("event: end\ndata: {\"reason\":\"shutting_down\"}\n\n"), "{told}");
    assert!(told.ends_with("0\r\n\r\n"), "{told}");
    let told = asking.read_out().await;
    assert!(told.contains("event: error\n") && told.contains("\"code\":\"service_unavailable\""), "{told}");
    assert!(told.ends_with("0\r\n\r\n"), "{told}");
    assert_eq!(world.gateway.wait_exit("the daemon ends").await.code(), Some(3), "the question was cut off");
    world.gateway.stop().await;
}

#[tokio::test]
async fn what_fed_a_stream_is_let_go_when_its_reader_leaves() {
    let world = World::new("").await;
    for _ in 0..20 {
        // More than may be open at once, one after the other.
        drop((world.follow().await, world.ask().await));
        wait_until("the model's endpoint is left", DEADLINE, || async {
            (world.model.open() == 0).then_some(())
        })
        .await;
    }
    let (mut following, mut asking) = (world.follow().await, world.ask().await);
    world.both_go_on(&mut following, &mut asking).await;
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_reading_is_ended_and_what_fed_it_is_let_go() {
    let long = format!("{} ", "x".repeat(4000)).repeat(2000);
    let config = "[http]\nwrite_timeout = \"1s\"\nmax_streams = 1\n";
    let world = World::with(config, move || Turn::say(&long)).await;
    let mut asking = begin_deaf(&world.gateway, "POST /api/query", &question()).await;
    wait_until("the model is asked", DEADLINE, || async { (world.model.open() == 1).then_some(()) }).await;
    wait_until("the model is left", DEADLINE, || async { (world.model.open() == 0).then_some(()) }).await;
    let told = asking.read_to_cut().await;
    assert!(told.contains("xxxx") && !told.contains("event: done"), "cut in the middle, not ended");

    let mut following = begin_deaf(&world.gateway, FOLLOW, "").await;
    // Its place is the only one, and is free once it has been given up.
    wait_until("another one may follow", DEADLINE, || async {
        (0..10).for_each(|number| world.log(&format!("{number}{}", "y".repeat(4000))));
        let mut other = begin(&world.gateway, FOLLOW, "").await;
        let head = other.until("\r\n\r\n").await;
        if head.starts_with("HTTP/1.1 200") {
            return Some(());
        }
        assert!(head.starts_with("HTTP/1.1 429"), "{head}");
        None
    })
    .await;
    let told = following.read_to_cut().await;
    assert!(told.contains("yyyy") && !told.contains("event: end"), "cut in the middle, not ended");
    world.gateway.stop().await;
}

#[tokio::test]
async fn a_key_is_told_how_many_streams_it_may_have_and_by_which_setting() {
    let world = World::new("[http]\nmax_streams = 3\nmax_streams_per_key = 2\n").await;
    let held = (world.follow().await, world.follow().await);
    let mut third = begin(&world.gateway, FOLLOW, "").await;
    let told = third.until("http.max_streams_per_key").await;
    assert!(told.starts_with("HTTP/1.1 429") && told.contains("retry-after: "), "{told}");
    drop(held);
    world.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thousand_followers_take_bounded_memory_and_a_slow_one_slows_nobody() {
    const FOLLOWERS: usize = 1000;
    allow_many_sockets();
    let config = "[http]\nmax_connections = 1200\nmax_connections_per_address = 1200\nmax_streams = 1100\n\
                  max_streams_per_key = 1100\nwrite_timeout = \"10m\"\n";
    let world = World::new(config).await;
    let follow = format!("{FOLLOW}&tail=1");
    let before = Usage::of(world.gateway.pid()).resident;
    let mut slow = Vec::new();
    for _ in 0..FOLLOWERS / 20 {
        slow.push(begin_deaf(&world.gateway, &follow, "").await);
    }
    let mut first = begin(&world.gateway, &follow, "").await;
    // More than the buffers take of somebody who reads nothing.
    for number in 0..60 {
        world.log(&format!("long {number} {}", "z".repeat(7000)));
        first.until(&format!("long {number} ")).await;
    }
    let mut readers = vec![first];
    for _ in slow.len() + 1..FOLLOWERS {
        readers.push(begin(&world.gateway, &follow, "").await);
    }
    let began = Instant::now();
    for round in 0..5 {
        (0..9).for_each(|number| world.log(&format!("{round} {number}")));
        world.log(&format!("round {round} is over."));
        for reader in &mut readers {
            reader.until(&format!("round {round} is over.")).await;
            reader.forget();
        }
    }
    let (took, peak) = (began.elapsed(), Usage::of(world.gateway.pid()).peak);
    println!(
        "{FOLLOWERS} followers, {} of them deaf: {before} KiB before, {peak} KiB at the peak; 5 rounds of 10 lines \
         to each in {took:?}",
        slow.len()
    );
    // A connection has at most 64 KiB that are written for it, and what reads ahead of it.
    assert!(peak - before < 160 * 1024, "{before} KiB before, {peak} KiB at the peak");
    drop((slow, readers));
    world.gateway.stop().await;
}
