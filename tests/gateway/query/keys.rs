//! The model's key: where it is taken from, where it goes, and where it never shows.

use std::fs;

use serde_json::json;

use super::{KEY, answered, daemon, query, question, streamed};
use crate::support::ask::ask;
use crate::support::gateway::{TestGateway, fake};
use crate::support::llm::{Llm, Turn};

/// A daemon that knows where the model is and no key.
fn keyless(model: &Llm, llm: &str) -> TestGateway {
    TestGateway::new()
        .server("fake", fake(&[]))
        .config_toml(&format!("[llm]\nbase_url = \"{}\"\n{llm}\n", model.url()))
}

async fn key_that_was_sent(model: &Llm, gateway: TestGateway) -> Option<String> {
    let gateway = gateway.start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Yes.", 1));
    gateway.stop().await;
    model.asked().pop().expect("asked").headers.remove("authorization")
}

fn bearer(key: &str) -> Option<String> {
    Some(format!("Bearer {key}"))
}

#[tokio::test]
async fn the_key_is_in_the_environment_or_in_a_dot_env_file_or_nowhere() {
    let model = Llm::by(|_| Turn::say("Yes.")).await;
    let dot_env: fn(&std::path::Path) = |directory| {
        let text = "# what the reference's users have\n\nexport OPENAI_API_KEY='sk-of-the-file'\nOTHER=1\n";
        fs::write(directory.join(".env"), text).expect("written");
    };
    assert_eq!(key_that_was_sent(&model, keyless(&model, "")).await, None);
    let gateway = keyless(&model, "").variable("OPENAI_API_KEY", KEY);
    assert_eq!(key_that_was_sent(&model, gateway).await, bearer(KEY));
    let gateway = keyless(&model, "").prepare(dot_env);
    assert_eq!(key_that_was_sent(&model, gateway).await, bearer("sk-of-the-file"));
    let gateway = keyless(&model, "").prepare(dot_env).variable("OPENAI_API_KEY", KEY);
    assert_eq!(key_that_was_sent(&model, gateway).await, bearer(KEY), "the environment wins");
    let gateway = keyless(&model, "api_key = \"${env:MY_KEY}\"").variable("MY_KEY", "sk-mine");
    assert_eq!(key_that_was_sent(&model, gateway).await, bearer("sk-mine"));
    let (status, output) = keyless(&model, "api_key = \"${env:MY_KEY}\"").start_refused().await;
    assert!(!status.success() && output.contains("MY_KEY: is not set; llm.api_key refers to it"), "{output}");
    let (status, output) = keyless(&model, "api_key = \"sk-itself\"").start_refused().await;
    assert!(!status.success() && output.contains("llm.api_key") && !output.contains("sk-itself"), "{output}");
}

#[tokio::test]
async fn a_key_in_a_file_can_be_changed_while_the_daemon_runs() {
    let model = Llm::by(|_| Turn::say("Yes.")).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key");
    let gateway = keyless(&model, &format!("api_key = \"${{file:{}}}\"", file.display())).start().await;
    let unreadable = |reason: &str| json!({"error": format!("The key for the model cannot be read: '{}': {reason}", file.display())});
    assert_eq!(query(&gateway, &question()).await.expect(500), unreadable("entity not found"));
    assert_eq!(streamed(&gateway, &question()).await.expect(500), unreadable("entity not found"));
    for key in ["sk-first", "sk-second"] {
        fs::write(&file, format!("{key}\n")).expect("written");
        query(&gateway, &question()).await.expect(200);
        assert_eq!(model.asked().pop().expect("asked").headers.remove("authorization"), bearer(key));
    }
    fs::write(&file, "two words\n").expect("written");
    let refused = query(&gateway, &question()).await.expect(500);
    assert_eq!(refused, unreadable("a key is one line of printable ASCII"));
    gateway.stop().await;
}

#[tokio::test]
async fn azure_has_a_header_of_its_own_and_a_query_in_its_address() {
    let model = Llm::by(|_| Turn::say("Yes.")).await;
    let base = model.url().replace("/v1", "/openai/deployments/d?api-version=2024-10-21");
    let config = format!("[llm]\nbase_url = \"{base}\"\nkey_header = \"api-key\"\n");
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .config_toml(&config)
        .variable("OPENAI_API_KEY", KEY)
        .start()
        .await;
    query(&gateway, &question()).await.expect(200);
    let asked = model.asked().pop().expect("asked");
    assert_eq!(asked.path, "/openai/deployments/d/chat/completions?api-version=2024-10-21");
    assert_eq!(
        (asked.headers.get("api-key").map(String::as_str), asked.headers.get("authorization")),
        (Some(KEY), None)
    );
    gateway.stop().await;
}

/// An endpoint may repeat the key when it complains of it.
#[tokio::test]
async fn the_key_never_shows_whatever_happens() {
    let complaint = format!("Incorrect API key provided: {KEY}. You can find yours elsewhere.");
    // Cut off in the middle of the key.
    let long = format!("{}{KEY}", "x".repeat(190));
    let busy = json!({"error": {"message": complaint}}).to_string();
    let model = Llm::in_turn([
        Turn::failure(401, &complaint),
        Turn::failure_with(500, &[("retry-after", "0")], &busy),
        Turn::failure(401, &complaint),
        Turn::raw("text/html", &format!("<p>{KEY}</p>")),
        Turn::raw("text/html", &long),
        Turn::raw("text/event-stream", &format!("data: {{\"error\":{{\"message\":\"{KEY} is bad\"}}}}\n\n")),
        Turn::call_one("env", &json!({})),
        Turn::say("Done."),
    ])
    .await;
    let gateway = daemon(&model, "").variable("MCPVISOR_LOG", "trace").arguments(&["--debug"]).start().await;
    let said = query(&gateway, &question()).await.expect(500);
    let expected = "The model's endpoint answered 401: Incorrect API key provided: [REDACTED]. You can find yours elsewhere.";
    assert_eq!(said, json!({"error": expected, "code": "llm_error"}));
    let mut shown = vec![
        query(&gateway, &question()).await.expect(500).to_string(),
        query(&gateway, &question()).await.expect(500).to_string(),
        query(&gateway, &question()).await.expect(500).to_string(),
        streamed(&gateway, &question()).await.text(),
    ];
    assert!(shown.iter().all(|text| text.contains("[REDACTED]")), "{shown:?}");
    shown.push(query(&gateway, &question()).await.expect(200).to_string());
    let asked = model.asked();
    assert_eq!(asked.len(), 8);
    assert!(!asked[7].results()[0].contains("OPENAI"), "no server has it in its environment");
    for path in ["/metrics", "/health", "/v1/usage", "/api/servers", "/v1/audit"] {
        shown.push(ask(&gateway, "GET", path).with_key().send().await.text());
    }
    shown.push(gateway.output());
    assert!(gateway.output().contains("asking the model again"), "what was logged of it is here");
    for text in &shown {
        assert!(!text.contains(&KEY[..12]), "{text}");
    }
    gateway.stop().await;
}
