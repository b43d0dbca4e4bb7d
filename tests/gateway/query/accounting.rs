//! What a query leaves behind: usage, the audit, and calls that are counted like all others.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{QUERY, daemon, query, question_with};
use crate::support::ask::ask;
use crate::support::gateway::INVOKE;
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
    let audit = wait_until("the question is recorded", DEADLINE, || async {
        let audit = gateway.get("/v1/audit?action=query").await.expect(200)["data"].clone();
        (!audit[0].is_null()).then_some(audit)
    })
    .await;
    let told = &audit[0];
    assert_eq!((&told["target"], &told["outcome"]), (&json!("fake"), &json!("done")));
    assert_eq!(
        (&told["details"]["calls"], &told["details"]["tools"]),
        (&json!(3), &json!(["fake/echo", "fake/fail"]))
    );
    let calls = gateway.get("/v1/audit?action=call").await.expect(200);
    assert_eq!(calls["data"], json!([]), "calls are recorded where that is asked for");
    gateway.stop().await;
}

#[tokio::test]
async fn the_audit_has_the_question_and_its_calls_where_it_has_calls() {
    let model = Llm::in_turn(script()).await;
    let gateway = daemon(&model, "[audit]\ncalls = true").start().await;
    query(&gateway, &question_with(json!({"query": "my secret question"}))).await.expect(200);
    let seen = wait_until("everything is recorded", DEADLINE, || async {
        let mut seen = gateway.get("/v1/audit?action=call").await.expect(200)["data"].clone();
        let mut question = gateway.get("/v1/audit?action=query").await.expect(200)["data"].clone();
        let seen_too = seen.as_array_mut().expect("a list");
        seen_too.append(question.as_array_mut().expect("a list"));
        (seen_too.len() >= 4).then_some(seen)
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
    let itself = ("fake".to_owned(), "done".to_owned(), None);
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

#[tokio::test]
async fn calls_count_against_the_limits_of_whoever_asks() {
    // A key whose one call is under way has no other for a query.
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("go");
    let model = Llm::in_turn([Turn::call_one("echo", &json!({"text": "x"})), Turn::say("Busy.")]).await;
    let gateway = daemon(&model, "[api]\nauth = \"required\"\n[limits]\ncalls_per_key = 1").start().await;
    gateway.wait_state("fake", "ready").await;
    let mut connection = gateway.connect().await;
    let waiting = json!({"mcp_id": "fake", "tool": "wait_for", "arguments": {"file": file}});
    let waiting = tokio::spawn(async move { connection.send("POST", INVOKE, Some(&waiting)).await });
    wait_until("the key's call is under way", DEADLINE, || async {
        let metrics = gateway.get("/metrics").await.text();
        metrics.contains("mcpvisor_calls_in_flight{server=\"fake\"} 1\n").then_some(())
    })
    .await;
    let asked = ask(&gateway, "POST", QUERY).with_key().json(question_with(json!({})).to_string());
    asked.send().await.expect(200);
    let told = model.asked()[1].results()[0].to_owned();
    assert_eq!(told, "Error: This key has 1 calls under way, which is as many as a key may have");
    std::fs::write(&file, "").expect("written");
    waiting.await.expect("no panic").expect("an answer").expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_in_a_hurry_waits_for_its_callers_rate() {
    let calls = [("echo", r#"{"text":"x"}"#); 5];
    let model = Llm::in_turn([Turn::call(&calls), Turn::say("Done.")]).await;
    let plan =
        "[api]\nauth = \"required\"\n[organization]\nplan = \"slow\"\n[plans.slow]\nrequests_per_second = 2";
    let gateway = daemon(&model, plan).start().await;
    let begun = std::time::Instant::now();
    let asked = ask(&gateway, "POST", QUERY).with_key().json(question_with(json!({})).to_string());
    asked.send().await.expect(200);
    assert_eq!(model.asked()[1].results(), ["x"; 5]);
    // Two at once, the question one of them, and then one each half second.
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1_900), "{:?}", begun.elapsed());
    gateway.stop().await;
}
