//! How much a caller may: requests a second, calls at once, calls a month, bad keys (`docs/http-api.md`, P3).

use serde_json::json;

use super::keys::{make, text};
use super::{error, post};
use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway, fake};
use crate::support::http::Connection;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn a_burst_beyond_the_plan_is_told_when_to_come_back_and_recovers() {
    let config = "[organization]\nplan = \"free\"\n";
    let gateway = TestGateway::new().config_toml(config).start().await;
    let mut refused = 0;
    for _ in 0..40 {
        let reply = gateway.get("/v1/mcps").await;
        let number =
            |name: &str| -> u64 { reply.headers[name].to_str().expect("text").parse().expect("a number") };
        assert_eq!(number("x-ratelimit-limit"), 10);
        assert!(number("x-ratelimit-remaining") < 10 && number("x-ratelimit-reset") > 1_700_000_000);
        if reply.status == 429 {
            refused += 1;
            error(&reply, 429, "rate_limited");
            assert!(number("retry-after") >= 1 && number("x-ratelimit-remaining") == 0);
        }
    }
    assert!(refused > 0, "40 requests in less than three seconds are too many");
    wait_until("there is room again", DEADLINE, || async {
        (gateway.get("/v1/mcps").await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn every_answer_to_a_key_tells_its_limit_and_no_other_answer_does() {
    let config = "[organization]\nplan = \"team\"\n";
    let gateway = TestGateway::new().config_toml(config).start().await;
    for (method, path, status) in [
        ("GET", "/v1/mcps", 200),
        ("GET", "/v1/mcps/nobody", 404),
        ("PATCH", "/v1/mcps", 405),
        ("POST", INVOKE, 415),
        ("GET", "/v1/usage?period=odd", 400),
    ] {
        let reply = ask(&gateway, method, path).send().await;
        assert_eq!(
            (reply.status, &reply.headers["x-ratelimit-limit"]),
            (status, &"1000".parse().expect("text")),
            "{path}"
        );
    }
    for reply in [
        ask(&gateway, "GET", "/v1/mcps").without_key().send().await,
        ask(&gateway, "GET", "/v1/nowhere").send().await,
    ] {
        assert!(!reply.headers.contains_key("x-ratelimit-limit"), "{}", reply.status);
    }
    gateway.stop().await;
    let gateway = TestGateway::new().config_toml("[organization]\nplan = \"unlimited\"\n").start().await;
    assert!(!gateway.get("/v1/mcps").await.headers.contains_key("x-ratelimit-limit"));
    gateway.stop().await;
}

#[tokio::test]
async fn one_member_s_excess_is_refused_and_another_member_is_not_held_up() {
    let config = "[organization]\nplan = \"unlimited\"\n[plans.ten]\nrequests_per_second = 10\n\
                  [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
                  [[members]]\nid = \"user_greedy\"\nplan = \"ten\"\n";
    let gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let greedy = text(&make(&gateway, json!({"name": "g", "owner_id": "user_greedy"})).await);
    let other = text(&make(&gateway, json!({"name": "h", "owner_id": "user_greedy"})).await);
    let call = json!({"mcp_id": "fake", "tool": "echo"});
    let (mut good, mut refused, began) = (0, 0, std::time::Instant::now());
    for number in 0..300 {
        // A second key is no second budget.
        let key = if number % 2 == 0 { &greedy } else { &other };
        match post(&gateway, INVOKE, &call).key(key).send().await.status {
            200 => good += 1,
            429 => refused += 1,
            status => panic!("{status}"),
        }
        if number % 10 == 0 {
            gateway.call("fake", "echo", json!({"nonce": number})).await;
        }
    }
    // What the plan gives for the time that this took, and not one more.
    let most = 10 + began.elapsed().as_secs_f64().ceil() as u64 * 10;
    assert!(
        good <= most && good >= 10 && refused == 300 - good,
        "{good} of at most {most}, {refused} refused"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_has_only_so_many_calls_under_way_and_others_go_on() {
    let config = "[limits]\ncalls_per_key = 3\n";
    let gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let key = text(&make(&gateway, json!({"name": "x"})).await);
    let latch = gateway.data().join("latch");
    let wait = json!({"mcp_id": "fake", "tool": "wait_for", "arguments": {"file": latch}}).to_string();
    let mut calls = Vec::new();
    for _ in 0..3 {
        let bearer = format!("Bearer {key}");
        let mut connection = Connection::open(gateway.address(), &[]).await.expect("a connection");
        let wait = wait.clone();
        calls.push(tokio::spawn(async move {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
            connection.send_bytes("POST", INVOKE, &headers, wait.into()).await
        }));
    }
    wait_until("three calls are under way", DEADLINE, || async {
        (gateway.call("fake", "stats", json!({})).await["in_flight"] == 3).then_some(())
    })
    .await;
    let fourth = post(&gateway, INVOKE, &json!({"mcp_id": "fake", "tool": "echo"})).key(&key).send().await;
    error(&fourth, 429, "rate_limited");
    assert_eq!(fourth.headers["retry-after"], "1");
    std::fs::write(&latch, b"").expect("written");
    for call in calls {
        call.await.expect("no panic").expect("an answer").expect(200);
    }
    post(&gateway, INVOKE, &json!({"mcp_id": "fake", "tool": "echo"})).key(&key).send().await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_month_s_calls_are_no_more_than_the_plan_whatever_happens_to_the_daemon() {
    let config = "[organization]\nplan = \"small\"\n[plans.small]\nmonthly_requests = 20\n";
    let mut gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let call = || async { gateway.v1_invoke("fake", "echo", json!({"nonce": 1})).await };
    for _ in 0..5 {
        call().await.expect(200);
    }
    // What is refused before it reaches the server is not counted.
    error(&gateway.v1_invoke("fake", "nothing", json!({})).await, 404, "tool_not_found");
    gateway.terminate().await;
    gateway.restart().await;
    gateway.wait_state("fake", "ready").await;
    let mut good = 5;
    for round in 0..3 {
        for _ in 0..3 {
            good += i32::from(gateway.v1_invoke("fake", "echo", json!({"nonce": round})).await.status == 200);
        }
        gateway.kill_9().await;
        gateway.restart().await;
        gateway.wait_state("fake", "ready").await;
    }
    assert_eq!(
        good, 14,
        "an orderly end gave back what was granted and not used, and a block is one call here"
    );
    let last = loop {
        let reply = gateway.v1_invoke("fake", "echo", json!({"nonce": 1})).await;
        if reply.status != 200 {
            break reply;
        }
        good += 1;
    };
    assert!(good <= 20, "{good}");
    assert!(good >= 17, "a crash costs at most one block: {good}");
    let refused = error(&last, 429, "quota_exceeded");
    assert_eq!(refused["details"], json!({"resource": "monthly_requests", "limit": 20}));
    assert!(last.headers["retry-after"].to_str().expect("text").parse::<u64>().expect("a number") >= 1);
    gateway.get("/v1/usage").await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn ten_bad_keys_a_minute_are_answered_and_a_good_one_always() {
    let gateway = TestGateway::new().start().await;
    let bad = || {
        ask(&gateway, "GET", "/v1/mcps").key("pk_live_wrong").header("x-forwarded-for", "192.0.2.9").send()
    };
    for _ in 0..10 {
        error(&bad().await, 401, "unauthorized");
    }
    let refused = bad().await;
    error(&refused, 429, "rate_limited");
    let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("a number");
    assert!((1..=60).contains(&wait));
    let elsewhere =
        ask(&gateway, "GET", "/api/servers").header("x-forwarded-for", "192.0.2.7").key("pk_live_wrong");
    assert_eq!(elsewhere.send().await.status, 429, "one authenticator for all routes");
    error(&ask(&gateway, "GET", "/v1/mcps").without_key().send().await, 401, "unauthorized");
    gateway.get("/v1/mcps").await.expect(200);
    gateway.stop().await;
}
