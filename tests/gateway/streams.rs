//! Streamed answers live as long as somebody reads them: a followed log and the events of a question, each over a
//! socket of its own.

use std::io::Write as _;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::logs::{Following, echoing};
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::llm::{Llm, Turn};
use crate::support::{DEADLINE, wait_until};

/// Begins to read an answer over a socket of its own.
async fn begin(gateway: &Gateway, request: &str, body: &str) -> Following {
    let (host, key, length) = (gateway.address(), gateway.key(), body.len());
    let head = format!(
        "{request} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    Following::of(gateway.raw_socket().await, &format!("{head}{body}")).await
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
        let directory = tempfile::tempdir().expect("a directory");
        let model = Llm::by(|_| Turn::say_in_the_middle("Word after word.")).await;
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
        let mut following = begin(&self.gateway, "GET /v1/mcps/fake/logs?follow=true", "").await;
        following.until("\r\n\r\n").await;
        following
    }

    async fn ask(&self) -> Following {
        let question = json!({"server": "fake", "query": "?", "stream": true}).to_string();
        let mut asking = begin(&self.gateway, "POST /api/query", &question).await;
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
