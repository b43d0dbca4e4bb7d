//! A child that ends in the middle: what each kind of client sees of it.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{SERVERS, accept, another, both, child, form, in_flight, world};
use crate::support::gateway::Gateway;
use crate::support::mcp::{Session, modern};

const PROGRESS: &str = "notifications/progress";

/// Arguments of a call that is answered never.
fn never() -> Value {
    json!({"file": PathBuf::from("/no/such/file-of-the-test")})
}

/// Sees that a request failed for its child and may have been carried out, and that the next one does not.
async fn lost(gateway: &Gateway, server: &str, told: &Value) {
    assert_eq!(told["error"]["code"], -32603, "{server}: {told}");
    assert_eq!(told["error"]["data"]["retry"], "outcome_unknown", "{server}: {told}");
    assert!(told.get("result").is_none(), "{server}: {told}");
    assert_eq!(modern(gateway, server).told("echo", json!({"nonce": 1})).await["nonce"], 1);
}

#[tokio::test]
async fn a_modern_call_that_loses_its_child_is_answered_once_with_an_error() {
    let gateway = world("").await;
    for server in SERVERS {
        let process = child(&gateway, server).await;
        let client = modern(&gateway, server);
        let mut call = Box::pin(client.call("wait_for", never()).id("lost").send());
        tokio::select! {
            _ = &mut call => panic!("an answer"),
            () = in_flight(&gateway, server, 1) => process.kill(),
        }
        let mut answer = call.await;
        assert_eq!((answer.status, answer.is_stream()), (200, false));
        let told = answer.last().await;
        assert_eq!(told["id"], "lost");
        another(&gateway, server, process).await;
        lost(&gateway, server, &told).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_modern_stream_that_loses_its_child_ends_with_an_error_in_it() {
    let gateway = world("").await;
    for server in SERVERS {
        let process = child(&gateway, server).await;
        let client = modern(&gateway, server);
        let mut answer = client.call("report", never()).id("lost").meta("progressToken", 1).send().await;
        answer.until(PROGRESS).await;
        process.kill();
        let messages = answer.messages().await;
        assert_eq!(messages.len(), 1, "{server}: {messages:?}");
        assert_eq!(messages[0]["id"], "lost");
        another(&gateway, server, process).await;
        lost(&gateway, server, &messages[0]).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_asked_modern_client_is_told_that_its_child_has_gone_when_it_answers() {
    let gateway = world("").await;
    let process = child(&gateway, "legacy").await;
    let client = modern(&gateway, "legacy").can(both());
    let call = client.call("interview", json!({"rounds": [[form("x")]]}));
    let asked = call.clone().result().await;
    let state = asked["requestState"].clone();
    let key = asked["inputRequests"].as_object().and_then(|asked| asked.keys().next().cloned());
    let key = key.expect("a question");
    process.kill();
    another(&gateway, "legacy", process).await;
    let again = || {
        call.clone()
            .id(2)
            .param("inputResponses", json!({&key: accept("x")}))
            .param("requestState", state.clone())
    };
    let told = again().expect(200).await;
    assert_eq!(told["error"]["code"], -32603, "{told}");
    again().refused(200, -32602).await;
    // From the beginning it works.
    let asked = call.result().await;
    assert_eq!(asked["resultType"], "input_required");
    gateway.stop().await;
}

#[tokio::test]
async fn a_modern_child_forgets_nothing_of_a_question_when_it_is_killed() {
    let gateway = world("").await;
    let client = modern(&gateway, "modern").can(both());
    let call = client.call("interview", json!({"rounds": [[form("x")]]}));
    let asked = call.clone().result().await;
    super::kill(&gateway, "modern").await;
    // All that it needs is in the state, which the client has.
    let again = call.id(2).param("inputResponses", json!({"q0": accept("x")}));
    let told = again.param("requestState", asked["requestState"].clone()).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], accept("x"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_legacy_call_that_loses_its_child_is_answered_in_a_session_that_goes_on() {
    let gateway = world("").await;
    for server in SERVERS {
        let process = child(&gateway, server).await;
        let session = Session::open(&gateway, server, json!({})).await;
        let mut streaming = session.call("report", never()).id("s").meta("progressToken", 1).send().await;
        streaming.until(PROGRESS).await;
        let mut plain = Box::pin(session.call("wait_for", never()).id("p").send());
        tokio::select! {
            _ = &mut plain => panic!("an answer"),
            () = in_flight(&gateway, server, 2) => process.kill(),
        }
        let told = plain.await.last().await;
        assert_eq!(told["id"], "p");
        let mut messages = streaming.messages().await;
        // A session gets log messages as long as it has set no level.
        messages.retain(|one| one["method"] != "notifications/message");
        assert_eq!(messages.len(), 1, "{server}: {messages:?}");
        assert_eq!(messages[0]["id"], "s");
        another(&gateway, server, process).await;
        lost(&gateway, server, &told).await;
        lost(&gateway, server, &messages[0]).await;
        assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1, "{server}");
        session.ended().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_asked_legacy_client_is_told_that_its_child_has_gone() {
    let gateway = world("").await;
    let process = child(&gateway, "legacy").await;
    let session = Session::open(&gateway, "legacy", both()).await;
    let mut answer = session.call("interview", json!({"rounds": [[form("x")]]})).id(1).send().await;
    let question = answer.until("elicitation/create").await;
    process.kill();
    let messages = answer.messages().await;
    let (last, before) = messages.split_last().expect("an answer");
    assert!(before.iter().all(|one| one.get("id").is_none()), "{messages:?}");
    assert_eq!(last["id"], 1);
    // Its user answers all the same.
    session.answer(&question, accept("late")).await;
    another(&gateway, "legacy", process).await;
    lost(&gateway, "legacy", last).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_legacy_client_answers_a_modern_child_that_was_killed_meanwhile() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "modern", both()).await;
    let mut answer = session.call("interview", json!({"rounds": [[form("x")]]})).id(1).send().await;
    let question = answer.until("elicitation/create").await;
    super::kill(&gateway, "modern").await;
    session.answer(&question, accept("x")).await;
    let told = answer.last().await;
    assert_eq!(told["result"]["structuredContent"]["rounds"][0]["q0"]["result"], accept("x"), "{told}");
    gateway.stop().await;
}
