//! Connections: heads that can be read in two ways, requests in a row, clients that are slow or
//! speak something else, and a daemon that stops.

use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{Bystander, WITH_BODY, serving};
use crate::support::DEADLINE;
use crate::support::ask::check_shape;
use crate::support::gateway::{INVOKE, TestGateway};
use crate::support::usage::Usage;
use crate::support::wire::{self, Wire};

#[tokio::test]
async fn a_head_that_can_be_read_in_two_ways_is_400_and_ends_the_connection() {
    let gateway = serving("").await;
    let bystander = Bystander::start(&gateway).await;
    let smuggled = "GET /api/servers HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let heads = [
        "host: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
        "host: localhost\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n",
        "host: localhost\r\ncontent-length: 2\r\ncontent-length: 2\r\n",
        "host: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
        "host: localhost\r\ncontent-length: 2, 2\r\n",
        "host: localhost\r\ncontent-length: +2\r\n",
        "host: localhost\r\ncontent-length: -2\r\n",
        "host: localhost\r\ncontent-length: 2x\r\n",
        "content-length: 2\r\n",
        "host: localhost\r\nhost: localhost\r\ncontent-length: 2\r\n",
        "host: localhost\r\nhost: evil.example\r\ncontent-length: 2\r\n",
        "host: \r\ncontent-length: 2\r\n",
        "host: local host\r\ncontent-length: 2\r\n",
        "host: localhost:port\r\ncontent-length: 2\r\n",
        "host: localhost/path\r\ncontent-length: 2\r\n",
    ];
    for path in [INVOKE, "/api/servers", "/v1/nowhere", "/healthz"] {
        for head in heads {
            let request =
                format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n{head}\r\n{{}}{smuggled}");
            let (mut wire, reply) = Wire::exchange(&gateway, request).await;
            assert_eq!(reply.status, 400, "{path} {head:?}: {}", reply.text());
            // What hyper cannot read at all, it refuses itself, without a word.
            if !reply.body.is_empty() {
                check_shape("POST", path, &reply);
            }
            wire.closed().await;
        }
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn requests_pipelined_on_one_connection_are_answered_in_order() {
    let gateway = serving("").await;
    let key = gateway.key();
    let call = |nonce: u32| {
        let body = format!(r#"{{"mcp_id": "fake", "tool": "echo", "arguments": {{"nonce": {nonce}}}}}"#);
        wire::post(INVOKE, key, &body)
    };
    let mut wire = Wire::open(&gateway).await;
    // An error that was read to its end leaves the connection open.
    let pieces: [Bytes; 5] =
        [call(1), wire::post(INVOKE, key, "{"), call(2), wire::post("/v1/nowhere", key, "{}"), call(3)];
    wire.send(pieces.concat()).await;
    for (status, nonce) in [(200, 1), (400, 0), (200, 2), (404, 0), (200, 3)] {
        let reply = wire.reply().await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if nonce > 0 {
            assert_eq!(reply.json()["data"]["result"]["nonce"], nonce);
        }
    }
    // Byte by byte is a request as well.
    for byte in call(4).chunks(1) {
        wire.send(byte).await;
    }
    assert_eq!(wire.reply().await.expect(200)["data"]["result"]["nonce"], 4);
    gateway.stop().await;
}

#[tokio::test]
async fn clients_that_send_half_of_a_request_are_let_go_and_disturb_nobody() {
    let gateway = serving("[http]\nheader_timeout = \"1s\"\nbody_timeout = \"1s\"\n").await;
    let bystander = Bystander::start(&gateway).await;
    let key = gateway.key();
    // Half a request line, half a head, and a second request that never ends. All at once, so
    // that they wait together.
    let whole = "GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut silent = Vec::new();
    for (request, answers) in [
        ("GET /api/st".to_owned(), 0),
        ("GET /api/status HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_owned(), 0),
        (format!("{whole}GET"), 1),
    ] {
        let mut wire = Wire::open(&gateway).await;
        wire.send(&request).await;
        silent.push((wire, answers));
    }
    // Half a body, of a length and in chunks.
    let mut halves = Vec::new();
    for (method, path, _) in WITH_BODY {
        for rest in
            ["content-length: 100\r\n\r\n{\"mcp_id\"", "transfer-encoding: chunked\r\n\r\n5\r\n{\"mcp"]
        {
            let mut wire = Wire::open(&gateway).await;
            wire.send(format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{rest}"
            ))
            .await;
            halves.push((method, path, wire));
        }
    }
    for (mut wire, answers) in silent {
        for _ in 0..answers {
            assert_eq!(wire.reply().await.status, 200);
        }
        wire.closed().await;
    }
    for (method, path, mut wire) in halves {
        let reply = wire.reply().await;
        check_shape(method, path, &reply);
        assert_eq!(reply.status, 408, "{method} {path}: {}", reply.text());
        assert_eq!(reply.headers["connection"], "close");
        wire.closed().await;
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn connections_on_which_nothing_is_asked_are_closed_in_the_end() {
    let gateway = TestGateway::new()
        .config_toml("[http]\nheader_timeout = \"1s\"\nkeep_alive = \"1s\"\n")
        .start()
        .await;
    let mut silent = Wire::open(&gateway).await;
    let (mut served, reply) =
        Wire::exchange(&gateway, "GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(reply.status, 200);
    silent.closed().await;
    served.closed().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_that_comes_complete_only_while_the_daemon_stops_is_503() {
    let mut gateway = serving("").await;
    let body = r#"{"mcp_id": "fake", "tool": "echo"}"#;
    let request = wire::post(INVOKE, gateway.key(), body);
    let (half, rest) = request.split_at(request.len() - 5);
    let mut wire = Wire::open(&gateway).await;
    wire.send(half).await;
    // Its turn has come when the one behind it on another connection has been answered.
    let mut other = Wire::open(&gateway).await;
    other.send("GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    other.reply().await.expect(200);
    gateway.signal(Signal::SIGTERM);
    gateway.wait_draining().await;
    wire.send(rest).await;
    let reply = wire.reply().await;
    check_shape("POST", INVOKE, &reply);
    assert_eq!(reply.expect(503)["error"]["code"], "service_unavailable");
    wire.closed().await;
    assert!(gateway.wait_exit("the daemon ends").await.success());
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_http_at_all_disturbs_nobody() {
    let gateway = serving("").await;
    let bystander = Bystander::start(&gateway).await;
    let junk: [Vec<u8>; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"GET /api/status\r\n\r\n".to_vec(),
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}\n".to_vec(),
        format!("GET /api/status HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(70_000))
            .into_bytes(),
        format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(70_000)).into_bytes(),
    ];
    for bytes in junk {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(30)]).into_owned();
        let mut wire = Wire::open(&gateway).await;
        wire.send(bytes).await;
        let said = String::from_utf8(wire.rest().await).expect("ASCII");
        // To another protocol nothing is said at all.
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{shown:?}: {said}");
        assert!(!said.contains("mcp-cli-api"), "{shown:?}: {said}");
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_only_some_parsers_take_for_a_request_is_400_and_ends_the_connection() {
    let gateway = serving("").await;
    let bystander = Bystander::start(&gateway).await;
    let key = gateway.key();
    let head = format!(
        "POST {INVOKE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    );
    for rest in [
        "x-folded: a\r\n b\r\ncontent-length: 2\r\n\r\n{}",
        "content-length : 2\r\n\r\n{}",
        "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
        "transfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        "transfer-encoding: gzip\r\n\r\n{}",
        "transfer-encoding: chunked, gzip\r\n\r\n{}",
    ] {
        let (mut wire, reply) = Wire::exchange(&gateway, format!("{head}{rest}")).await;
        assert_eq!(reply.status, 400, "{rest:?}: {}", reply.text());
        wire.closed().await;
    }
    bystander.undisturbed(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn five_hundred_half_sent_heads_are_let_go_and_hold_up_no_other_request() {
    let gateway = serving("[http]\nheader_timeout = \"3s\"\n").await;
    let begun = Instant::now();
    let mut halves = Vec::new();
    for _ in 0..500 {
        let mut wire = Wire::open(&gateway).await;
        wire.send("GET /healthz HTTP/1.1\r\nhost: local").await;
        halves.push(wire);
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..50 {
        let asked = Instant::now();
        gateway.get("/v1/mcps/fake").await.expect(200);
        slowest = slowest.max(asked.elapsed());
    }
    for wire in &mut halves {
        wire.closed().await;
    }
    let all = begun.elapsed();
    println!("500 half-sent heads closed after {all:?}; slowest of 50 requests beside them {slowest:?}");
    assert!(all >= Duration::from_millis(2900), "{all:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_body_that_trickles_in_is_408_at_its_deadline_whatever_comes() {
    let gateway = serving("[http]\nbody_timeout = \"1s\"\n").await;
    let key = gateway.key();
    for length in ["content-length: 1000", "transfer-encoding: chunked"] {
        let chunk: &[u8] = if length.starts_with("content") { b" " } else { b"1\r\n \r\n" };
        let mut wire = Wire::open(&gateway).await;
        let head = format!(
            "POST {INVOKE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n{length}\r\n\r\n"
        );
        let begun = Instant::now();
        wire.send(head).await;
        while begun.elapsed() < Duration::from_millis(1500) {
            wire.send(chunk).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let reply = wire.reply().await;
        check_shape("POST", INVOKE, &reply);
        assert_eq!(reply.status, 408, "{length}: {}", reply.text());
        wire.closed().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn idle_connections_beyond_the_cap_wait_and_cost_next_to_nothing() {
    let gateway = serving("[http]\nmax_connections = 100\nheader_timeout = \"2s\"\n").await;
    // Over one of its own, which has its place already.
    let mut kept = gateway.connect().await;
    kept.send("GET", "/healthz", None).await.expect("an answer").expect(200);
    let before = Usage::of(gateway.pid());
    let mut idle = Vec::new();
    for _ in 0..400 {
        // Where no more may wait, some are turned away before they know that they were connected.
        idle.extend(TcpStream::connect(gateway.address()).await);
    }
    // On a slow machine it was idle for so long that it had to make room, and nobody can look any more.
    let metrics = kept.send("GET", "/metrics", None).await.map(|reply| reply.text()).unwrap_or_default();
    let open = metrics.lines().find_map(|line| line.strip_prefix("mcpvisor_http_connections "));
    let open: u32 = open.map_or(0, |open| open.parse().expect("a number"));
    assert!(open <= 100, "{open} open");
    for mut stream in idle {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok() && rest.is_empty(), "each is closed, and told nothing");
    }
    let after = Usage::of(gateway.pid());
    println!(
        "400 idle connections, 100 at once ({open} seen): CPU {:?}, memory {} KiB before and {} KiB after",
        after.cpu - before.cpu,
        before.resident,
        after.resident
    );
    assert!(after.cpu - before.cpu < Duration::from_secs(2), "accepting does not spin");
    gateway.get("/v1/mcps/fake").await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn with_all_places_idle_the_oldest_make_room_for_whoever_comes() {
    let gateway =
        serving("[http]\nmax_connections = 50\nmax_connections_per_address = 50\nkeep_alive = \"1h\"\nheader_timeout = \"1h\"\n").await;
    let status = "GET /api/status HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut idle = Vec::new();
    // Fewer than may be served and wait, with those that asked how the daemon is: others would be turned away.
    for number in 0..95 {
        // Some have been served, others have said nothing yet.
        let mut wire = Wire::open(&gateway).await;
        if number % 2 == 0 && number < 40 {
            wire.send(status).await;
            wire.reply().await.expect(200);
        }
        idle.push(wire);
    }
    let mut fresh = Wire::open(&gateway).await;
    fresh.send(status).await;
    fresh.reply().await.expect(200);
    for wire in &mut idle[..45] {
        wire.closed().await;
    }
    gateway.get("/v1/mcps/fake").await.expect(200);
    gateway.stop().await;
}
