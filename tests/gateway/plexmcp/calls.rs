//! Calls and reads that can be carried out, and requests that cannot be understood.

use serde_json::{Value, json};

use super::{error, invoke, names_fields, resources, serving};
use crate::support::gateway::{TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn every_field_of_a_request_that_is_wrong_is_named() {
    let gateway = serving(&[]).await;
    let long = "x".repeat(257);
    let calls: [(Value, &[&str]); 16] = [
        (json!({}), &["mcp_id", "tool"]),
        (json!({"mcp_id": 5}), &["mcp_id", "tool"]),
        (json!({"mcp_id": "fake"}), &["tool"]),
        (json!({"tool": "echo"}), &["mcp_id"]),
        (json!({"mcp_id": null, "tool": null}), &["mcp_id", "tool"]),
        (json!({"mcp_id": "", "tool": ""}), &["mcp_id", "tool"]),
        (json!({"mcp_id": long, "tool": long}), &["mcp_id", "tool"]),
        (json!({"mcp_id": "fake", "tool": ["echo"]}), &["tool"]),
        (json!({"mcp_id": "fake", "tool": "echo", "arguments": []}), &["arguments"]),
        (json!({"mcp_id": "fake", "tool": "echo", "arguments": "{}"}), &["arguments"]),
        (json!({"mcp_id": "fake", "tool": "echo", "context": 1}), &["context"]),
        (json!({"mcp_id": "fake", "tool": "echo", "timeout": 0}), &["timeout"]),
        (json!({"mcp_id": "fake", "tool": "echo", "timeout": 300_001}), &["timeout"]),
        (json!({"mcp_id": "fake", "tool": "echo", "timeout": -1}), &["timeout"]),
        (json!({"mcp_id": "fake", "tool": "echo", "timeout": 1.5}), &["timeout"]),
        (
            json!({"mcp_id": 1, "tool": 2, "arguments": 3, "timeout": "4", "context": 5}),
            &["arguments", "context", "mcp_id", "timeout", "tool"],
        ),
    ];
    for (body, fields) in calls {
        let what = body.to_string();
        names_fields(&invoke(&gateway, body).await, fields, &what);
    }
    let reads: [(Value, &[&str]); 6] = [
        (json!({}), &["mcp_id"]),
        (json!({"uri": "fake://one"}), &["mcp_id"]),
        (json!({"mcp_id": "fake", "uri": ""}), &["uri"]),
        (json!({"mcp_id": "fake", "uri": 5}), &["uri"]),
        (json!({"mcp_id": "fake", "timeout": 0}), &["timeout"]),
        (json!({"mcp_id": [], "uri": {}, "timeout": true}), &["mcp_id", "timeout", "uri"]),
    ];
    for (body, fields) in reads {
        let what = body.to_string();
        names_fields(&resources(&gateway, body).await, fields, &what);
    }
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["executions"], 1, "none of them reached the child");
    gateway.stop().await;
}

#[tokio::test]
async fn optional_fields_may_be_absent_null_or_at_their_limits() {
    let gateway = serving(&[]).await;
    for body in [
        json!({"mcp_id": "fake", "tool": "echo"}),
        json!({"mcp_id": "fake", "tool": "echo", "arguments": null, "timeout": null, "context": null}),
        json!({"mcp_id": "fake", "tool": "echo", "arguments": {}, "timeout": 300_000, "context": {}}),
        json!({"mcp_id": "fake", "tool": "echo", "unknown": [1], "Timeout": 0}),
    ] {
        let what = body.to_string();
        let answer = invoke(&gateway, body).await.expect(200);
        assert_eq!(answer["data"]["result"], json!({}), "{what}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_tool_says_becomes_the_result_by_three_rules() {
    let gateway = serving(&[]).await;
    let text = |text: &str| json!({"type": "text", "text": text});
    let image = json!({"type": "image", "data": "aGk=", "mimeType": "image/png"});
    // What the server replies, and the result that callers of this dialect see.
    let cases = [
        // The structured content, whatever the blocks say.
        (json!({"content": [text("{\"a\":2}")], "structuredContent": {"a": 1}}), json!({"a": 1})),
        (json!({"content": [text("x"), text("y")], "structuredContent": {}}), json!({})),
        // A lone text: parsed when it is a JSON object or array, else as it is.
        (json!({"content": [text(" {\"t\": [65, null]} ")]}), json!({"t": [65, null]})),
        (json!({"content": [text("[1,\"ü\"]")]}), json!([1, "ü"])),
        (json!({"content": [text("65")]}), json!("65")),
        (json!({"content": [text("\"quoted\"")]}), json!("\"quoted\"")),
        (json!({"content": [text("true")]}), json!("true")),
        (json!({"content": [text("{not json}")]}), json!("{not json}")),
        (json!({"content": [text("{\"a\":1} and more")]}), json!("{\"a\":1} and more")),
        (json!({"content": [text("")]}), json!("")),
        (json!({"content": [text("line\nline \u{2028}")]}), json!("line\nline \u{2028}")),
        // Everything else: the blocks.
        (json!({"content": [text("a"), text("b")]}), json!([text("a"), text("b")])),
        (json!({"content": [image]}), json!([image])),
        (json!({"content": []}), json!([])),
        (json!({}), json!([])),
    ];
    for (reply, result) in cases {
        let answer = gateway.v1_invoke("fake", "reply", json!({"result": reply})).await.expect(200);
        let data = &answer["data"];
        assert_eq!(data["result"], result, "{reply}");
        let content = reply.get("content").cloned().unwrap_or_else(|| json!([]));
        assert_eq!((&data["content"], &data["is_error"]), (&content, &json!(false)), "{reply}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_metadata_has_the_id_also_when_the_server_was_called_by_name() {
    let gateway = serving(&[]).await;
    let id = gateway.server("fake").await["id"].as_str().expect("an id").to_owned();
    assert!(id.starts_with("mcp_"), "{id}");
    for server in ["fake", id.as_str()] {
        let answer = gateway.v1_invoke(server, "echo", json!({})).await.expect(200);
        let metadata = &answer["data"]["metadata"];
        assert_eq!((&metadata["mcp_id"], &metadata["tool"]), (&json!(id), &json!("echo")));
        assert!(metadata["latency_ms"].is_u64(), "{metadata}");
        assert!(is_timestamp(&metadata["timestamp"]), "{metadata}");
        let read = resources(&gateway, json!({"mcp_id": server, "uri": "fake://one"})).await.expect(200);
        let metadata = &read["data"]["metadata"];
        assert_eq!(metadata["mcp_id"], json!(id));
        assert!(is_timestamp(&metadata["timestamp"]), "{metadata}");
    }
    gateway.stop().await;
}

/// RFC 3339, UTC, whole seconds.
fn is_timestamp(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        shape == "0000-00-00T00:00:00Z"
    })
}

#[tokio::test]
async fn a_call_waits_for_a_server_that_is_starting_but_not_beyond_its_deadline() {
    let gateway = TestGateway::new()
        .server("slow", with(fake(&["--slow-init", "700"]), json!({"era": "legacy"})))
        .server("mute", with(fake(&["--hang-init"]), json!({"era": "legacy"})))
        .start()
        .await;
    let answer = gateway.v1_invoke("slow", "echo", json!({"nonce": 1})).await.expect(200);
    assert_eq!(answer["data"]["result"]["nonce"], 1);
    let late = invoke(&gateway, json!({"mcp_id": "mute", "tool": "echo", "timeout": 50})).await;
    assert_eq!(error(&late, 504, "mcp_timeout")["details"]["phase"], "not_sent");
    for body in [
        json!({"mcp_id": "mute", "timeout": 50}),
        json!({"mcp_id": "mute", "uri": "fake://one", "timeout": 50}),
    ] {
        let late = resources(&gateway, body).await;
        assert_eq!(error(&late, 504, "mcp_timeout")["details"]["phase"], "not_sent");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_that_a_changed_server_has_now_is_found_while_it_starts_anew() {
    let gateway = serving(&[]).await;
    let before = gateway.call("fake", "pid", json!({})).await;
    let slower = json!({"args": ["--slow-init", "500", "--tools", "1"]});
    gateway.put("/api/servers/fake", &slower).await.expect(200);
    wait_until("the old child is on its way out", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        (seen["state"] != "ready" || seen["restarts"] != 0).then_some(())
    })
    .await;
    let (called, tools) = tokio::join!(
        gateway.call("fake", "tool_0", json!({"nonce": 1})),
        gateway.get("/api/servers/fake/tools")
    );
    assert_eq!(called["nonce"], 1);
    assert!(tools.expect(200).to_string().contains("tool_0"), "{}", tools.text());
    assert_ne!(gateway.call("fake", "pid", json!({})).await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn the_default_deadline_and_the_longest_one_are_the_configured_ones() {
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .config_toml("[http]\ncall_timeout = \"200ms\"\nmax_call_timeout = \"2s\"\n")
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    let late = gateway.v1_invoke("fake", "sleep", json!({"ms": 600_000})).await;
    assert_eq!(error(&late, 504, "mcp_timeout")["details"]["timeout_ms"], 200);
    let beyond = invoke(&gateway, json!({"mcp_id": "fake", "tool": "echo", "timeout": 2001})).await;
    names_fields(&beyond, &["timeout"], "beyond the longest deadline");
    invoke(&gateway, json!({"mcp_id": "fake", "tool": "echo", "timeout": 2000})).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn resources_are_listed_as_they_are_announced_and_read_with_their_names() {
    let gateway = serving(&[]).await;
    for body in [json!({"mcp_id": "fake"}), json!({"mcp_id": "fake", "uri": null})] {
        let listed = resources(&gateway, body).await.expect(200);
        assert_eq!(
            listed["data"]["contents"],
            json!([
                {"uri": "fake://one", "name": "one", "mimeType": "text/plain"},
                {"uri": "fake://two", "name": "two", "mimeType": "application/json"}
            ])
        );
        assert_eq!(listed["data"]["resource_templates"][0]["uriTemplate"], "fake://item/{name}");
    }
    let read = resources(&gateway, json!({"mcp_id": "fake", "uri": "fake://one"})).await.expect(200);
    let named =
        json!({"name": "one", "uri": "fake://one", "mimeType": "text/plain", "text": "the first resource"});
    assert_eq!(read["data"]["contents"], json!([named]));
    // Made from a template: read, but in no list, so nobody knows a name for it.
    let read = resources(&gateway, json!({"mcp_id": "fake", "uri": "fake://item/ü"})).await.expect(200);
    let unnamed = json!({"uri": "fake://item/ü", "mimeType": "text/plain", "text": "item ü"});
    assert_eq!(read["data"]["contents"], json!([unnamed]));
    gateway.stop().await;
}
