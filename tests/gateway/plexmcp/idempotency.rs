//! Calls with an `Idempotency-Key`: carried out once, however often they come (`docs/http-api.md`, P10.9 to P10.12).

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::keys::{make, text};
use super::{error, names_fields, post, serving};
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::{Connection, Reply};
use crate::support::{DEADLINE, wait_until};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotent-replayed";

fn call(tool: &str, arguments: Value) -> Value {
    json!({"mcp_id": "fake", "tool": tool, "arguments": arguments})
}

/// Sends a call with a key.
async fn once(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    post(gateway, INVOKE, body).header(KEY, key).send().await
}

/// Sends a call with a key on a connection of its own; ending the task closes it.
async fn begin(gateway: &Gateway, key: &str, body: &Value) -> JoinHandle<Reply> {
    let bearer = format!("Bearer {}", gateway.key());
    let mut connection = Connection::open(gateway.address(), &[]).await.expect("a connection");
    let (key, body) = (key.to_owned(), body.to_string());
    tokio::spawn(async move {
        let headers =
            [("authorization", bearer.as_str()), ("content-type", "application/json"), (KEY, key.as_str())];
        connection.send_bytes("POST", INVOKE, &headers, body.into()).await.expect("an answer")
    })
}

async fn stats(gateway: &Gateway) -> Value {
    gateway.call("fake", "stats", json!({})).await
}

async fn wait_in_flight(gateway: &Gateway, calls: usize) {
    let what = format!("{calls} calls are with the server");
    wait_until(&what, DEADLINE, || async { (stats(gateway).await["in_flight"] == calls).then_some(()) })
        .await;
}

fn is_replay(reply: &Reply) -> bool {
    reply.headers.get(REPLAYED).is_some_and(|value| value == "true")
}

#[tokio::test]
async fn a_call_that_comes_again_is_answered_again_and_carried_out_once() {
    let gateway = serving(&[]).await;
    let before = stats(&gateway).await["executions"].as_u64().expect("a number");
    for (key, body, status) in [
        ("good", call("echo", json!({"nonce": 1})), 200),
        ("says-no", call("fail", json!({"message": "out of paper"})), 422),
        ("odd", call("error", json!({"code": -32050, "message": "odd"})), 502),
    ] {
        let first = once(&gateway, key, &body).await;
        assert_eq!((first.status, is_replay(&first)), (status, false), "{key}");
        for _ in 0..2 {
            let again = once(&gateway, key, &body).await;
            assert_eq!((again.status, again.text()), (status, first.text()), "{key}");
            assert!(is_replay(&again) && again.headers["x-request-id"] != first.headers["x-request-id"]);
        }
    }
    let mut other_wait = call("echo", json!({"nonce": 1}));
    other_wait["timeout"] = json!(1234);
    assert!(is_replay(&once(&gateway, "good", &other_wait).await), "whoever asks again has less time left");
    assert_eq!(
        stats(&gateway).await["executions"],
        before + 4,
        "three calls, and the first look at the numbers"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_is_for_one_call_and_for_who_made_it() {
    let gateway = serving(&[]).await;
    let body = call("echo", json!({"nonce": 1}));
    once(&gateway, "k", &body).await.expect(200);
    let mut context = body.clone();
    context["context"] = json!({"user": "ada"});
    for other in [call("echo", json!({"nonce": 2})), call("pid", json!({"nonce": 1})), context] {
        let refused = error(&once(&gateway, "k", &other).await, 422, "validation_error");
        assert!(refused["details"]["Idempotency-Key"].is_string(), "{refused}");
    }
    let other = text(&make(&gateway, json!({"name": "other"})).await);
    let theirs = post(&gateway, INVOKE, &body).header(KEY, "k").key(&other).send().await;
    assert!(theirs.status == 200 && !is_replay(&theirs));
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_cannot_be_one_is_named_and_nothing_is_called() {
    let gateway = serving(&[]).await;
    let (body, long) = (call("echo", json!({})), "x".repeat(256));
    for key in ["", "two words", "ü", &long] {
        names_fields(&once(&gateway, key, &body).await, &["Idempotency-Key"], key);
    }
    let twice = post(&gateway, INVOKE, &body).header(KEY, "a").header(KEY, "a").send().await;
    names_fields(&twice, &["Idempotency-Key"], "given twice");
    once(&gateway, &long[1..], &body).await.expect(200);
    // What is wrong with the request is no reply to its call.
    error(&once(&gateway, "k", &json!({"mcp_id": "fake"})).await, 400, "invalid_request");
    error(&once(&gateway, "k", &call("nothing", json!({}))).await, 404, "tool_not_found");
    once(&gateway, "k", &body).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_under_way_is_not_begun_again_while_its_caller_waits() {
    let gateway = serving(&[]).await;
    let latch = gateway.data().join("latch");
    let body = call("wait_for", json!({"file": latch}));
    let first = begin(&gateway, "k", &body).await;
    wait_in_flight(&gateway, 1).await;
    let second = once(&gateway, "k", &body).await;
    let refused = error(&second, 409, "conflict");
    assert_eq!(refused["details"], json!({"idempotency": "running", "phase": "in_flight"}));
    assert_eq!(second.headers["retry-after"], "1");
    error(&once(&gateway, "k", &call("echo", json!({}))).await, 422, "validation_error");
    std::fs::write(&latch, b"").expect("written");
    let first = first.await.expect("no panic");
    assert!(first.status == 200 && !is_replay(&first));
    assert!(is_replay(&once(&gateway, "k", &body).await));
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_left_and_comes_back_gets_the_reply_of_the_first_call() {
    let gateway = serving(&[]).await;
    // Longer than a call goes on that nobody waits for.
    let body = call("sleep", json!({"ms": 7000}));
    let leaving = begin(&gateway, "k", &body).await;
    wait_in_flight(&gateway, 1).await;
    leaving.abort();
    let mut patience = body.clone();
    patience["timeout"] = json!(500);
    // Until the end of the first one's connection has come, its place is taken.
    let impatient = wait_until("the first one's place is free", DEADLINE, || async {
        Some(once(&gateway, "k", &patience).await).filter(|reply| reply.status != 409)
    })
    .await;
    assert_eq!(
        error(&impatient, 504, "mcp_timeout")["details"]["phase"],
        "in_flight",
        "its own time was over"
    );
    let again = once(&gateway, "k", &body).await;
    assert!(again.status == 200 && is_replay(&again), "{}", again.text());
    let seen = stats(&gateway).await;
    assert_eq!((&seen["cancelled"], &seen["max_in_flight"]), (&json!([]), &json!(1)), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_comes_back_for_is_cancelled_and_never_made_again() {
    let gateway = serving(&[]).await;
    let body = call("sleep", json!({"ms": 600_000}));
    let leaving = begin(&gateway, "k", &body).await;
    wait_in_flight(&gateway, 1).await;
    leaving.abort();
    wait_in_flight(&gateway, 0).await;
    let refused = error(&once(&gateway, "k", &body).await, 409, "conflict");
    assert_eq!(refused["details"], json!({"idempotency": "cancelled", "phase": "in_flight"}));
    let seen = stats(&gateway).await;
    assert_eq!(seen["cancelled"].as_array().map(Vec::len), Some(1), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_was_given_up_before_the_server_had_it_can_be_made() {
    let server = crate::support::gateway::with(fake(&[]), json!({"max_in_flight": 1}));
    let gateway = TestGateway::new().server("fake", server).start().await;
    gateway.wait_state("fake", "ready").await;
    let latch = gateway.data().join("latch");
    let holding = begin(&gateway, "holding", &call("wait_for", json!({"file": latch}))).await;
    wait_until("the only place is taken", DEADLINE, || async {
        (gateway.server("fake").await["traffic"]["in_flight"] == 1).then_some(())
    })
    .await;
    let body = call("echo", json!({"nonce": 7}));
    let leaving = begin(&gateway, "k", &body).await;
    wait_until("it waits", DEADLINE, || async {
        (gateway.server("fake").await["traffic"]["queued"] == 1).then_some(())
    })
    .await;
    leaving.abort();
    wait_until("it was given up", DEADLINE, || async {
        (gateway.server("fake").await["traffic"]["queued"] == 0).then_some(())
    })
    .await;
    std::fs::write(&latch, b"").expect("written");
    holding.await.expect("no panic").expect(200);
    let made = once(&gateway, "k", &body).await;
    assert!(made.status == 200 && !is_replay(&made), "{}", made.text());
    gateway.stop().await;
}

#[tokio::test]
async fn a_reply_too_long_to_keep_leaves_its_mark_and_its_call_is_not_made_again() {
    let gateway = serving(&[]).await;
    let body = call("big", json!({"bytes": 3_000_000}));
    let first = once(&gateway, "k", &body).await.expect(200);
    assert_eq!(first["data"]["result"].as_str().map(str::len), Some(3_000_000));
    let refused = error(&once(&gateway, "k", &body).await, 409, "conflict");
    assert_eq!(refused["details"], json!({"idempotency": "not_kept", "phase": "in_flight"}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passed_is_told_again_and_the_call_is_not_repeated() {
    let gateway = serving(&[]).await;
    let mut body = call("sleep", json!({"ms": 600_000}));
    body["timeout"] = json!(300);
    let before = stats(&gateway).await["executions"].as_u64().expect("a number");
    let first = error(&once(&gateway, "k", &body).await, 504, "mcp_timeout");
    assert_eq!(first["details"]["phase"], "in_flight");
    let again = once(&gateway, "k", &body).await;
    assert!(is_replay(&again));
    assert_eq!(error(&again, 504, "mcp_timeout"), first);
    assert_eq!(stats(&gateway).await["executions"], before + 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_reply_is_only_for_who_may_make_the_call_now() {
    let gateway = serving(&[]).await;
    let made = make(&gateway, json!({"name": "x"})).await;
    let (key, id) = (text(&made), made["id"].as_str().expect("an id").to_owned());
    let body = call("echo", json!({"nonce": 1}));
    let send = || post(&gateway, INVOKE, &body).header(KEY, "k").key(&key).send();
    send().await.expect(200);
    assert!(is_replay(&send().await));
    let less = json!({"permissions": {"mcps": ["fake"], "tools": ["pid"]}});
    let path = format!("/v1/api-keys/{id}");
    crate::support::ask::ask(&gateway, "PATCH", &path).json(less.to_string()).send().await.expect(200);
    error(&send().await, 403, "tool_not_permitted");
    gateway.delete(&path).await.expect(200);
    error(&send().await, 401, "revoked_key");
    gateway.stop().await;
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_that_a_reply_is_an_earlier_one() {
    let config = "[http]\nallowed_origins = [\"https://app.example\"]\n";
    let gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let body = call("echo", json!({}));
    once(&gateway, "k", &body).await.expect(200);
    let again = post(&gateway, INVOKE, &body).header(KEY, "k").header("origin", "https://app.example");
    let again = again.send().await;
    let exposed = again.headers["access-control-expose-headers"].to_str().expect("text").to_lowercase();
    assert!(is_replay(&again) && exposed.contains(REPLAYED), "{exposed}");
    gateway.stop().await;
}
