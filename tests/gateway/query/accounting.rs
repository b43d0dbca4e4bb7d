//! What a query leaves behind: usage, the audit, and calls that are counted like all others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{daemon, query, question_with};
use crate::support::llm::{Llm, Turn};
use crate::support::{DEADLINE, wait_until};

fn script() -> [Turn; 3] {
    [
        Turn::call(&[("echo", r#"{"text":"do not keep this"}"#), ("fail", "{}"), ("fly", "{}")]),
        Turn::call_one("echo", &json!({"text": "nor this"})),
        Turn::say("Done."),
    ]
}

#[tokio::test]
async fn each_call_is_counted_and_none_that_was_not_made() {
    let model = Llm::in_turn(script()).await;
    let gateway = daemon(&model, "").start().await;
    query(&gateway, &question_with(json!({}))).await.expect(200);
    let usage = gateway.get("/v1/usage").await.expect(200)["data"].clone();
    assert_eq!(usage["requests"]["total"], 3);
    assert_eq!(usage["by_outcome"], json!({"ok": 2, "tool_error": 1}));
    assert_eq!(gateway.server("fake").await["stats"]["total_requests"], 3);
    let audit = gateway.get("/v1/audit").await.expect(200);
    assert_eq!(audit["data"], json!([]), "calls are recorded where that is asked for");
    gateway.stop().await;
}

#[tokio::test]
async fn the_audit_has_the_question_and_its_calls_where_it_has_calls() {
    let model = Llm::in_turn(script()).await;
    let gateway = daemon(&model, "[audit]\ncalls = true").start().await;
    query(&gateway, &question_with(json!({"query": "my secret question"}))).await.expect(200);
    let seen = wait_until("everything is recorded", DEADLINE, || async {
        let seen = gateway.get("/v1/audit?action=call").await.expect(200)["data"].clone();
        (seen.as_array().expect("a list").len() >= 4).then_some(seen)
    })
    .await;
    let entries = seen.as_array().expect("a list");
    let told = |entry: &Value| {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        (text("target"), text("outcome"), entry["details"]["by"].as_str().map(str::to_owned))
    };
    // The one that failed did its work: it is the tool that says so.
    let told: BTreeSet<_> = entries.iter().map(told).collect();
    let by_query = |tool: &str| (format!("fake/{tool}"), "done".to_owned(), Some("query".to_owned()));
    let itself = ("fake/query".to_owned(), "done".to_owned(), None);
    assert_eq!(told, BTreeSet::from([by_query("echo"), by_query("fail"), itself]));
    assert_eq!(entries.len(), 4);
    for entry in entries {
        assert_eq!(entry["details"]["arguments_sha256"].as_str().map(str::len), Some(64), "{entry}");
        assert_eq!(entry["key_id"], "local");
    }
    let whole = seen.to_string();
    for secret in ["secret question", "do not keep", "nor this"] {
        assert!(!whole.contains(secret), "{whole}");
    }
    gateway.stop().await;
}
