//! What one caller, one address or one server may hold, where a long run is not needed to see it. Part 4
//! of the cases in `docs/limits.md`; the rest is in `soak/slow.rs`, `soak/unread.rs` and `soak/budgets.rs`.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::http::Connection;
use crate::support::strangers::{address, connect};
use crate::support::wire::{Wire, post};
use crate::support::{DEADLINE, wait_until};

/// F20, its neighbour: two thousand servers are rendered beside the calls, not before them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_while_the_metrics_of_two_thousand_servers_are_written() {
    let mut builder = TestGateway::new().server("fake", fake(&[]));
    for number in 0..2000 {
        builder = builder.server(&format!("off{number}"), json!({"command": "true", "disabled": true}));
    }
    let gateway = builder.start().await;
    gateway.wait_state("fake", "ready").await;
    let call = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": 1}});
    let mut scraper = gateway.connect().await;
    let mut caller = gateway.connect().await;
    for round in 0..3 {
        let mut scrape = std::pin::pin!(scraper.send("GET", "/metrics", None));
        let mut answered = 0;
        let text = loop {
            tokio::select! {
                biased;
                written = &mut scrape => break written.expect("an answer").text(),
                reply = caller.send("POST", INVOKE, Some(&call)) => {
                    reply.expect("an answer").expect(200);
                    answered += 1;
                }
            }
        };
        assert!(text.matches("mcpvisor_server_replicas{").count() >= 2000, "round {round}");
        eprintln!(
            "measured F22: {answered} calls answered while {} bytes of metrics were written",
            text.len()
        );
        assert!(answered >= 3, "round {round}: {answered}");
    }
    gateway.stop().await;
}

/// F23, and its neighbours of RFC 9112, sections 6.1 and 6.3. The connection ends with the refusal.
#[tokio::test]
async fn transfer_codings_are_refused_as_the_standard_says() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let key = gateway.key();
    for (version, value, status) in [
        ("1.1", "gzip, chunked", 501),
        ("1.1", "identity, chunked", 501),
        ("1.1", "gzip\r\ntransfer-encoding: chunked", 501),
        ("1.1", "chunked\r\ntransfer-encoding: chunked", 400),
        ("1.1", "chunked, chunked", 400),
        ("1.1", "chunked, gzip", 400),
        ("1.1", "chunked, identity", 400),
        ("1.1", "gzip", 400),
        ("1.1", "xchunked", 400),
        ("1.0", "chunked", 400),
    ] {
        for path in [INVOKE, "/api/servers", "/healthz"] {
            let request = format!(
                "POST {path} HTTP/{version}\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
                 transfer-encoding: {value}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"
            );
            let mut wire = Wire::open(&gateway).await;
            wire.send(request).await;
            let said = String::from_utf8_lossy(&wire.rest().await).into_owned();
            let line = said.lines().next().unwrap_or_default();
            assert!(line.contains(&format!(" {status} ")), "{version} {value:?} {path}: {said}");
            assert!(!said.contains("\"status\":\"ok\""), "what follows is no request: {said}");
        }
    }
    let body = r#"{"mcp_id": "fake", "tool": "echo"}"#;
    let chunked = format!(
        "POST {INVOKE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         transfer-encoding: Chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let (_, reply) = Wire::exchange(&gateway, chunked).await;
    reply.expect(200);
    gateway.stop().await;
}

/// F18. Both kinds of client close their half: one still listens, one has gone.
#[tokio::test]
async fn who_half_closes_gets_its_answer_and_the_call_of_who_left_is_cancelled() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let request = |ms: u32| {
        let body = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": ms}, "timeout": 60_000});
        post(INVOKE, gateway.key(), &body.to_string())
    };
    // At once, and later than anybody is waited for without being asked.
    for ms in [0, 300, 3_000] {
        let mut half = gateway.raw_socket().await;
        half.write_all(&request(ms)).await.expect("sent");
        half.shutdown().await.expect("its half is closed");
        let mut said = String::new();
        tokio::time::timeout(DEADLINE, half.read_to_string(&mut said))
            .await
            .expect("in time")
            .expect("no reset");
        assert!(said.contains("HTTP/1.1 200 OK") && said.contains("\"success\":true"), "{ms}: {said}");
        assert_eq!(said.starts_with("HTTP/1.1 102 "), ms == 3_000, "{said}");
    }
    let mut leaver = gateway.raw_socket().await;
    leaver.write_all(&request(60_000)).await.expect("sent");
    let stats = || async { gateway.call("fake", "stats", json!({})).await };
    wait_until("the call is with the child", DEADLINE, || async {
        (stats().await["in_flight"] == 1).then_some(())
    })
    .await;
    drop(leaver);
    wait_until("it is cancelled", DEADLINE, || async {
        (stats().await["cancelled"].as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    gateway.stop().await;
}

/// F20. With hardly any files to open, connections are fewer, the log says the numbers, and children are
/// started all the same.
#[tokio::test]
async fn connections_leave_descriptors_for_children() {
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    assert!(gateway.terminate().await.success());
    gateway.restart_through("ulimit -n 256; exec \"$0\" \"$@\"").await;
    gateway.wait_state("fake", "ready").await;
    let output = gateway.output();
    assert!(output.contains("http.max_connections is lowered from 1024 to "), "{output}");
    // All places and all that may wait are taken, and more knock, of which some are turned away.
    let mut held = Vec::new();
    for _ in 0..400 {
        held.extend(tokio::net::TcpStream::connect(gateway.address()).await);
    }
    let mut late = gateway.marked(fake(&[]));
    late["name"] = "late".into();
    // Over one of its own: those that were kept have to make room, and until they have it is turned away, too.
    let authorization = format!("Bearer {}", gateway.key());
    let make = async || {
        let mut fresh =
            Connection::open(gateway.address(), &[("authorization", &authorization)]).await.ok()?;
        fresh.send("POST", "/api/servers", Some(&late)).await.ok()
    };
    wait_until("somebody else is answered", DEADLINE, make).await.expect(200);
    wait_until("the server made late has a child", DEADLINE, || async {
        gateway.output().contains("ready server=late").then_some(())
    })
    .await;
    assert!(!gateway.output().contains("cannot accept connections"), "{}", gateway.output());
    drop(held);
    gateway.stop().await;
}

/// F9, its neighbour: members who let as much wait unread as they may, together more than half of what
/// there is, keep no other member from being answered, however large the answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_holds_no_unread_answer_is_answered_beside_those_who_hold_the_most() {
    const GREEDY: usize = 5;
    let mut config = String::from(
        "[http]\nbody_timeout = \"120s\"\n[limits]\nunread_per_key = \"4MiB\"\nunread = \"32MiB\"\n\
         [organization]\nplan = \"unlimited\"\n[[members]]\nid = \"user_owner\"\nrole = \"owner\"\n",
    );
    (0..GREEDY).for_each(|one| config += &format!("[[members]]\nid = \"greedy{one}\"\n"));
    // On a busy machine sixty such answers take one child longer than a call may, which is not what this is about.
    let fake = with(fake(&[]), json!({"breaker_failures": 0}));
    let gateway = TestGateway::new().server("fake", fake).config_toml(&config).start().await;
    gateway.wait_state("fake", "ready").await;
    let large = json!({"mcp_id": "fake", "tool": "big", "arguments": {"bytes": 3_000_000}}).to_string();
    let mut unread = Vec::new();
    for one in 0..GREEDY {
        for number in 0..2 {
            let body = json!({"name": format!("{number}"), "owner_id": format!("greedy{one}")});
            let made = gateway.post("/v1/api-keys", &body).await.expect(201);
            let key = made["data"]["key"].as_str().expect("a key").to_owned();
            for _ in 0..6 {
                let mut client = connect(address(1), gateway.address(), true).await.expect("accepted");
                client.write_all(&post(INVOKE, &key, &large)).await.expect("sent");
                unread.push(client);
            }
        }
    }
    let mut waiting = 0;
    for client in &mut unread {
        let mut begin = [0; 12];
        client.read_exact(&mut begin).await.expect("an answer of some kind");
        waiting += usize::from(begin.ends_with(b"200"));
    }
    assert!(waiting > GREEDY, "{waiting} answers of 3 MB wait, less than half of all");
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let whole = ask(&gateway, "POST", INVOKE).json(large).send().await.expect(200);
    assert!(whole.to_string().len() >= 3_000_000);
    drop(unread);
    gateway.stop().await;
}
