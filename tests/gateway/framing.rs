//! What lies between and around the messages of a child harms none of them. Part C of the list in
//! `docs/supervision.md`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::load::{in_turn, percentile};
use crate::support::usage::Usage;
use crate::support::wire::{Wire, post};
use crate::support::{DEADLINE, wait_until};

async fn serving(servers: &[(&str, &[&str])]) -> Gateway {
    let mut builder = TestGateway::new();
    for (name, flags) in servers {
        builder = builder.server(name, fake(flags));
    }
    let gateway = builder.start().await;
    for (name, _) in servers {
        gateway.wait_state(name, "ready").await;
    }
    gateway
}

async fn wait_in_flight(gateway: &Gateway, server: &str, count: u64) {
    wait_until("the calls are in flight", DEADLINE, || async {
        (gateway.server(server).await["traffic"]["in_flight"] == count).then_some(())
    })
    .await;
}

/// C33.
#[tokio::test]
async fn a_broken_line_and_a_reply_in_one_write_do_not_hold_the_reply_up() {
    let gateway = serving(&[("clean", &[]), ("broken", &["--badline"])]).await;
    let call = |server: &str| json!({"mcp_id": server, "tool": "echo", "arguments": {"nonce": 1}});
    let mut slowest = Vec::new();
    for server in ["clean", "broken"] {
        in_turn(&gateway, &call(server), 50).await;
        let shots = in_turn(&gateway, &call(server), 300).await;
        assert!(shots.iter().all(|shot| shot.status == 200), "{server}");
        slowest.push(percentile(&shots, 99));
    }
    eprintln!("measured C33: p99 {:?} from a clean child, {:?} behind broken lines", slowest[0], slowest[1]);
    assert!(slowest[1] < slowest[0] * 10 + Duration::from_millis(100), "{slowest:?}");
    assert_eq!(gateway.server("broken").await["restarts"], 0);
    gateway.stop().await;
}

/// C34. The line would be a gigabyte; nobody reads that far.
#[tokio::test]
async fn a_line_without_end_costs_its_limit_in_memory_and_its_own_child_only() {
    let gateway = serving(&[("endless", &["--noeol", "1000000000"]), ("well", &[])]).await;
    let call = json!({"mcp_id": "well", "tool": "echo", "arguments": {"nonce": 1}});
    in_turn(&gateway, &call, 100).await;
    let before = Usage::of(gateway.pid());
    let began = Instant::now();
    let (refused, beside) =
        tokio::join!(gateway.v1_invoke("endless", "echo", json!({})), in_turn(&gateway, &call, 200));
    let took = began.elapsed();
    assert_eq!(refused.expect(502)["error"]["details"]["phase"], "in_flight");
    assert!(beside.iter().all(|shot| shot.status == 200));
    let seen = wait_until("a new child is there", DEADLINE, || async {
        let seen = gateway.server("endless").await;
        (seen["state"] == "ready" && seen["restarts"] == 1).then_some(seen)
    })
    .await;
    let after = Usage::of(gateway.pid());
    let (peak, left) =
        (after.peak.saturating_sub(before.resident), after.resident.saturating_sub(before.resident));
    eprintln!(
        "measured C34: over after {took:?}; memory +{peak} KiB at its peak, +{left} KiB afterwards; p99 beside {:?}",
        percentile(&beside, 99)
    );
    // The limit is 16 MiB; a buffer that grows may be twice as large for a moment.
    assert!(peak < 48 * 1024, "{before:?} {after:?}");
    assert!(
        seen["supervision"]["last_exit"].as_str().is_some_and(|exit| exit.contains("16777216")),
        "{seen}"
    );
    assert_eq!(gateway.server("well").await["restarts"], 0);
    gateway.stop().await;
}

/// C37.
#[tokio::test]
async fn nesting_a_hundred_thousand_deep_is_refused_in_both_directions_in_no_time() {
    const DEEP: usize = 100_000;
    let gateway = serving(&[("deep", &["--deep", "100000"]), ("well", &[])]).await;
    let nested = format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP));
    let body = format!(r#"{{"mcp_id":"well","tool":"echo","arguments":{{"nonce":{nested}}}}}"#);
    let began = Instant::now();
    let (_, refused) = Wire::exchange(&gateway, post(INVOKE, gateway.key(), &body)).await;
    let inward = began.elapsed();
    assert_eq!(refused.status, 400, "{}", refused.text());
    let began = Instant::now();
    let reply = gateway.v1_invoke("deep", "echo", json!({})).await;
    let outward = began.elapsed();
    eprintln!("measured C37: refused after {inward:?} in a request, {outward:?} in a reply, 200 kB each");
    let told = reply.expect(502);
    assert!(told["error"]["message"].as_str().is_some_and(|text| text.contains("deep")), "{told}");
    let stats = gateway.call("well", "stats", json!({})).await;
    assert_eq!(stats["executions"], 1, "the child never saw it: {stats}");
    assert_eq!(gateway.server("deep").await["restarts"], 0, "its next answer may be a good one");
    gateway.stop().await;
}

/// A legacy server whose answers come with impostors: each of them says `wrong`.
const IMPOSTORS: &str = r#"
import json, sys
def out(text): sys.stdout.write(text + "\n"); sys.stdout.flush()
def result(number, **more): return json.dumps({"jsonrpc": "2.0", "id": number, **more})
for line in sys.stdin:
    message = json.loads(line)
    number, method = message.get("id"), message.get("method")
    if number is None: continue
    if method == "initialize":
        out(result(number, result={"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                                   "serverInfo": {"name": "script", "version": "1"}}))
    elif method == "tools/list":
        out(result(number, result={"tools": [{"name": "seen", "inputSchema": {"type": "object"}}]}))
    elif method == "tools/call":
        wrong = '{"content":[{"type":"text","text":"wrong"}]}'
        other = number + 1
        for bad in [
            '{"jsonrpc":"2.0","id":%d,"id":%d,"result":%s}' % (other, number, wrong),
            '{"jsonrpc":"2.0","id":%d,"id":%d,"result":%s}' % (number, other, wrong),
            '{"jsonrpc":"2.0","ID":%d,"result":%s}' % (number, wrong),
            '{"jsonrpc":"2.0","id\\u0000":%d,"result":%s}' % (number, wrong),
            '{"jsonrpc":"2.0","id":%d,"Result":%s}' % (number, wrong),
            '{"jsonrpc":"2.0","id":%d,"method":"tools/call","result":%s}' % (number, wrong),
            '[[{"jsonrpc":"2.0","id":%d,"result":%s}]]' % (number, wrong),
            'asked {"jsonrpc":"2.0","id":%d,"method":"tools/call","result":%s}' % (number, wrong),
        ]: out(bad)
        out(result(number, result={"content": [], "structuredContent": {"line": line, "id": number}}))
    else: out(result(number, error={"code": -32601, "message": "Method not found"}))
"#;

/// C38. What the child reads is ours to the last byte outside of `arguments`.
#[tokio::test]
async fn of_repeated_misspelt_and_foreign_members_the_child_sees_nothing() {
    let script = json!({"command": "python3", "args": ["-c", IMPOSTORS]});
    let gateway = TestGateway::new().server("script", script).start().await;
    gateway.wait_state("script", "ready").await;
    let body = r#"{"jsonrpc":"1.0","id":7,"ID":8,"method":"tools/list","Method":"x","Tool":"other","tool\u0000":"other",
        "mcp_id":"nobody","mcp_id":"script","tool":"other","tool":"seen","name":"other","arguments":{"nonce":1}}"#;
    let (_, reply) = Wire::exchange(&gateway, post(INVOKE, gateway.key(), body)).await;
    let reply = reply.expect(200);
    let line = reply["data"]["result"]["line"].as_str().unwrap_or_else(|| panic!("{reply}"));
    let seen: Value = serde_json::from_str(line).expect("one JSON text");
    assert_eq!((&seen["jsonrpc"], &seen["method"]), (&json!("2.0"), &json!("tools/call")));
    assert_eq!(
        (&seen["params"]["name"], &seen["params"]["arguments"]),
        (&json!("seen"), &json!({"nonce": 1}))
    );
    for foreign in ["other", "nobody", "Tool", "Method", "ID", "1.0", "u0000"] {
        assert!(!line.contains(foreign), "{foreign} in {line}");
    }
    for member in ["\"id\"", "\"method\"", "\"name\""] {
        assert_eq!(line.matches(member).count(), 1, "{member} in {line}");
    }
    assert_ne!(seen["id"], 7);
    gateway.stop().await;
}

/// C40.
#[tokio::test]
async fn replies_that_belong_to_nobody_are_dropped_and_counted_and_hold_no_place() {
    const CALLS: u64 = 200;
    let gateway = serving(&[("weird", &["--weird-ids", "--ignore-cancel"])]).await;
    for number in 0..CALLS {
        assert_eq!(gateway.call("weird", "echo", json!({"nonce": number})).await["nonce"], number);
    }
    let hasty = json!({"mcp_id": "weird", "tool": "sleep", "arguments": {"ms": 300}, "timeout": 20});
    gateway.post(INVOKE, &hasty).await.expect(504);
    let seen = wait_until("the late reply has been dropped", DEADLINE, || async {
        let stats = gateway.call("weird", "stats", json!({})).await;
        let seen = gateway.server("weird").await;
        (stats["in_flight"] == 0).then_some(seen)
    })
    .await;
    let late = seen["output"]["late_replies"].as_u64().unwrap_or_default();
    eprintln!("measured C40: {CALLS} calls and one that was given up, {late} replies dropped");
    assert!(late >= CALLS, "a second reply to each: {seen}");
    assert_eq!((&seen["traffic"]["in_flight"], &seen["traffic"]["queued"]), (&json!(0), &json!(0)));
    assert_eq!(seen["restarts"], 0);
    gateway.stop().await;
}

/// C35. The cap is exact: a frame of so many bytes passes, one of one byte more costs its call and nobody
/// anything else, wherever its id stands. That any cut of the stream gives the same frames is in the framer's own tests.
#[tokio::test]
async fn a_frame_at_the_limit_passes_and_one_byte_more_fails_only_its_call() {
    const LIMIT: usize = 100_000;
    let small = |flags: &[&str]| with(fake(flags), json!({"max_frame": LIMIT, "era": "legacy"}));
    let gateway =
        TestGateway::new().server("first", small(&[])).server("last", small(&["--id-last"])).start().await;
    for server in ["first", "last"] {
        gateway.wait_state(server, "ready").await;
        let child = gateway.child(server).await;
        // A call of somebody else is under way on the same child, and stays there.
        let latch = gateway.data().join(format!("latch-{server}"));
        let waits =
            json!({"mcp_id": server, "tool": "wait_for", "arguments": {"file": latch}, "timeout": 60_000});
        let mut beside = gateway.connect().await;
        let beside = tokio::spawn(async move { beside.send("POST", INVOKE, Some(&waits)).await });
        wait_in_flight(&gateway, server, 1).await;
        // Everything of the frame but the text, whose ids stay below seventeen digits: found by trying.
        let mut lengths = LIMIT - 200..LIMIT;
        let mut last = None;
        let ended = loop {
            let bytes = lengths.next().expect("the limit lies among them");
            let reply = gateway.v1_invoke(server, "big", json!({"bytes": bytes})).await;
            if reply.status != 200 {
                break (bytes, reply);
            }
            last = Some(bytes);
        };
        let around = |bytes: usize, id: usize| {
            let text = r#"{"jsonrpc":"2.0","id":,"result":{"content":[{"type":"text","text":""}]}}"#;
            text.len() + id + bytes
        };
        let last = last.expect("shorter ones pass");
        assert_eq!(ended.0, last + 1);
        let digits = (1..17).find(|digits| around(last, *digits) == LIMIT);
        assert!(digits.is_some(), "{last} bytes of text make no frame of {LIMIT} bytes");
        for reply in [ended.1, gateway.v1_invoke(server, "big", json!({"bytes": 7 * LIMIT})).await] {
            let error = reply.expect(502)["error"].clone();
            let told = error["message"].as_str().expect("a text");
            assert_eq!(error["code"], "mcp_error");
            assert!(told.contains("mcpvisor.max_frame allows 100000"), "{told}");
        }
        std::fs::write(&latch, b"").expect("written");
        beside.await.expect("no panic").expect("an answer").expect(200);
        let seen = gateway.server(server).await;
        assert_eq!((&seen["restarts"], &seen["state"]), (&json!(0), &json!("ready")), "{seen}");
        assert_eq!(gateway.child(server).await, child, "the same child");
    }
    gateway.stop().await;
}

/// F21, its neighbour: what cannot be told of a line is not guessed. Its call ends at its deadline.
#[tokio::test]
async fn a_long_line_that_does_not_say_whose_it_is_costs_nobody_else_anything() {
    let long = with(fake(&["--id-hidden"]), json!({"max_frame": 8192}));
    let gateway = TestGateway::new().server("long", long).start().await;
    gateway.wait_state("long", "ready").await;
    let child = gateway.child("long").await;
    let latch = gateway.data().join("latch");
    let waits =
        json!({"mcp_id": "long", "tool": "wait_for", "arguments": {"file": latch}, "timeout": 60_000});
    let mut beside = gateway.connect().await;
    let beside = tokio::spawn(async move { beside.send("POST", INVOKE, Some(&waits)).await });
    wait_in_flight(&gateway, "long", 1).await;
    let big = json!({"mcp_id": "long", "tool": "big", "arguments": {"bytes": 20_000}, "timeout": 500});
    gateway.post(INVOKE, &big).await.expect(504);
    std::fs::write(&latch, b"").expect("written");
    beside.await.expect("no panic").expect("an answer").expect(200);
    assert_eq!(gateway.child("long").await, child);
    let seen = gateway.server("long").await;
    assert_eq!((&seen["restarts"], &seen["state"]), (&json!(0), &json!("ready")), "{seen}");
    gateway.stop().await;
}
