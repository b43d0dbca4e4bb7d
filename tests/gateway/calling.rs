//! Calls reach the child and their answers come back, each to its own caller, whatever the child
//! or the other callers do.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

/// One server named `fake` with these flags, ready.
async fn serving(flags: &[&str]) -> Gateway {
    let gateway = TestGateway::new().server("fake", fake(flags)).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway
}

fn invoke(tool: &str, arguments: Value, timeout_ms: u64) -> Value {
    json!({"mcp_id": "fake", "tool": tool, "arguments": arguments, "timeout": timeout_ms})
}

/// Waits until the child has so many calls in flight.
async fn wait_in_flight(gateway: &Gateway, count: u64) {
    let what = format!("{count} calls in flight in the child");
    wait_until(&what, DEADLINE, || async {
        (gateway.call("fake", "stats", json!({})).await["in_flight"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sixty_four_calls_are_in_one_child_at_the_same_time() {
    let gateway = serving(&[]).await;
    let mut calls = JoinSet::new();
    for _ in 0..64 {
        // Answered only when all 64 are there: a gateway that lines calls up never gets an answer.
        let mut connection = gateway.connect().await;
        let body = invoke("gather", json!({"count": 64}), 60_000);
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.expect(200)["data"]["result"], "gathered");
    }
    assert_eq!(gateway.call("fake", "stats", json!({})).await["max_in_flight"], 64);
    gateway.stop().await;
}

#[tokio::test]
async fn a_hundred_thousand_calls_of_a_hundred_clients_are_never_swapped() {
    let gateway = serving(&[]).await;
    let mut clients = JoinSet::new();
    for client in 0..100 {
        // All clients say the same request id, as all clients do that count from one.
        let mut connection = gateway.connect_with(&[("x-request-id", "1")]).await;
        clients.spawn(async move {
            for number in 0..1000 {
                let nonce = format!("{client}/{number}");
                let body = invoke("echo", json!({"nonce": nonce}), 60_000);
                let reply = connection.send("POST", INVOKE, Some(&body)).await.expect("an answer");
                assert_eq!(reply.headers["x-request-id"], "1");
                assert_eq!(reply.expect(200)["data"]["result"]["nonce"], nonce);
            }
        });
    }
    clients.join_all().await;
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["executions"], 100_001, "each call was carried out once");
    gateway.stop().await;
}

#[tokio::test]
async fn arguments_and_results_pass_unharmed() {
    let gateway = serving(&[]).await;
    let odd = json!({
        "text": "Zeilen\nund \u{2028} \"Anführung\" \\ \u{0} 🦀",
        "nonce": [18_446_744_073_709_551_615_u64, -1, 1.5, null, true, {"": {}}]
    });
    assert_eq!(gateway.call("fake", "echo", odd.clone()).await, odd);
    let big = gateway.v1_invoke("fake", "big", json!({"bytes": 3_000_000})).await.expect(200);
    assert_eq!(big["data"]["result"].as_str().map(str::len), Some(3_000_000));
    let empty = gateway.v1_invoke("fake", "empty", json!({})).await.expect(200);
    assert_eq!((&empty["data"]["result"], &empty["data"]["content"]), (&json!([]), &json!([])));
    let context = json!({"mcp_id": "fake", "tool": "meta", "context": {"user": "ada"}});
    let seen = gateway.post(INVOKE, &context).await.expect(200);
    assert_eq!(seen["data"]["result"]["plexmcp/context"], json!({"user": "ada"}));
    gateway.stop().await;
}

#[tokio::test]
async fn failures_keep_their_kind() {
    let gateway = serving(&[]).await;
    let cases = [
        ("ehco", json!({}), 404, "tool_not_found"),
        ("fail", json!({"message": "no luck"}), 422, "mcp_error"),
        ("error", json!({"code": -32602, "message": "wrong"}), 400, "invalid_arguments"),
        ("error", json!({"code": -32050, "message": "odd"}), 502, "mcp_error"),
    ];
    for (tool, arguments, status, code) in cases {
        let refused = gateway.v1_invoke("fake", tool, arguments).await.expect(status);
        assert_eq!(refused["error"]["code"], code, "{tool}");
    }
    let unknown = gateway.v1_invoke("nobody", "echo", json!({})).await.expect(404);
    assert_eq!(unknown["error"]["code"], "not_found");
    let misspelt = gateway.v1_invoke("fake", "ehco", json!({})).await.json();
    assert!(misspelt["error"]["message"].as_str().is_some_and(|text| text.contains("'echo'")), "{misspelt}");
    gateway.stop().await;
}

#[tokio::test]
async fn progress_does_not_disturb_the_answer() {
    let gateway = serving(&[]).await;
    let result = gateway.call("fake", "progress", json!({"ms": 100, "every_ms": 1})).await;
    assert_eq!(result, "done");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_call_in_the_child() {
    let gateway = serving(&[]).await;
    let mut leaving = gateway.connect().await;
    let body = invoke("sleep", json!({"ms": 600_000}), 300_000);
    let call = tokio::spawn(async move { leaving.send("POST", INVOKE, Some(&body)).await });
    wait_in_flight(&gateway, 1).await;
    // Ends the task and with it the connection, in the middle of the call.
    call.abort();
    wait_in_flight(&gateway, 0).await;
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["cancelled"].as_array().map(Vec::len), Some(1), "exactly one cancellation: {stats}");
    assert_eq!(gateway.server("fake").await["restarts"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_504_and_leaves_the_child_alone() {
    let gateway = serving(&["--ignore-cancel"]).await;
    let before = gateway.call("fake", "pid", json!({})).await;
    let late = gateway.post(INVOKE, &invoke("sleep", json!({"ms": 400}), 50)).await.expect(504);
    assert_eq!(late["error"]["code"], "mcp_timeout");
    // The child answers all the same; the late answer must go to nobody.
    wait_in_flight(&gateway, 0).await;
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["cancelled"].as_array().map(Vec::len), Some(1), "the child was told: {stats}");
    assert_eq!(gateway.call("fake", "pid", json!({})).await, before);
    assert_eq!(gateway.call("fake", "echo", json!({"nonce": "still"})).await["nonce"], "still");
    gateway.stop().await;
}

#[tokio::test]
async fn junk_on_the_wire_harms_no_call() {
    let faults: [(&str, &[&str]); 7] = [
        ("noise", &["--noise"]),
        ("badline", &["--badline"]),
        ("weird", &["--weird-ids"]),
        ("all", &["--noise", "--badline", "--weird-ids", "--era", "both"]),
        ("chatty", &["--notify-flood", "20000"]),
        ("stormy", &["--storm"]),
        ("loud", &["--stderr-flood", "20000000"]),
    ];
    let mut builder = TestGateway::new();
    for (name, flags) in faults {
        builder = builder.server(name, fake(flags));
    }
    let gateway = builder.start().await;
    for (name, _) in faults {
        gateway.wait_state(name, "ready").await;
        for number in 0..50 {
            let nonce = format!("{name} {number}");
            assert_eq!(gateway.call(name, "echo", json!({"nonce": nonce})).await["nonce"], nonce);
        }
        assert_eq!(gateway.server(name).await["restarts"], 0, "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn all_pages_of_a_list_are_read_and_a_list_without_end_holds_nobody_up() {
    let endless = with(fake(&["--page-loop"]), json!({"start_timeout": "5s"}));
    let gateway = TestGateway::new()
        .server("paged", fake(&["--pages", "7", "--tools", "100"]))
        .server("endless", endless)
        .start()
        .await;
    let seen = gateway.wait_state("paged", "ready").await;
    let names: Vec<&str> =
        seen["tools"].as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
    for number in 0..100 {
        let name = format!("tool_{number}");
        assert_eq!(names.iter().filter(|other| **other == name).count(), 1, "{name}");
    }
    assert_eq!(gateway.call("paged", "tool_99", json!({"nonce": 9})).await["nonce"], 9);
    wait_until("the endless list is given up", DEADLINE, || async {
        (gateway.server("endless").await["state"] != "starting").then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_changed_list_is_read_again() {
    let gateway = serving(&[]).await;
    gateway.v1_invoke("fake", "added_0", json!({})).await.expect(404);
    gateway.call("fake", "change_tools", json!({})).await;
    wait_until("the new tool is known", DEADLINE, || async {
        (gateway.v1_invoke("fake", "added_0", json!({"nonce": 1})).await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_that_asks_gets_an_answer_to_every_question() {
    let gateway = TestGateway::new().server("fake", fake(&["--ask-on-init"])).start().await;
    gateway.wait_state("fake", "ready").await;
    let report = gateway.call("fake", "ask", json!({})).await;
    for method in ["roots/list", "sampling/createMessage", "elicitation/create", "fake/unknown"] {
        assert!(
            report[method]["error"].is_object() || report[method]["result"].is_object(),
            "{method}: {report}"
        );
    }
    assert_eq!(report["fake/unknown"]["error"]["code"], -32601);
    gateway.stop().await;
}

#[tokio::test]
async fn a_reply_nested_too_deep_and_a_line_too_long_stay_with_their_server() {
    let gateway = TestGateway::new()
        .server("deep", fake(&["--deep", "100000"]))
        .server("long", with(fake(&["--noeol", "9000000"]), json!({"max_frame": 1_000_000})))
        .server("well", fake(&[]))
        .start()
        .await;
    for name in ["deep", "long", "well"] {
        gateway.wait_state(name, "ready").await;
    }
    let body = json!({"mcp_id": "deep", "tool": "echo", "timeout": 3_000});
    let refused = gateway.post(INVOKE, &body).await;
    assert!([502, 504].contains(&refused.status), "{} {}", refused.status, refused.text());
    let refused = gateway.v1_invoke("long", "echo", json!({})).await.expect(502);
    assert_eq!(refused["error"]["details"]["phase"], "in_flight");
    assert_eq!(gateway.call("well", "echo", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(gateway.server("well").await["restarts"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_that_stops_reading_fails_its_own_calls_only() {
    let gateway = TestGateway::new()
        .server("deaf", with(fake(&["--deaf"]), json!({"stdin_grace": "100ms"})))
        .server("well", fake(&[]))
        .start()
        .await;
    gateway.wait_state("deaf", "ready").await;
    gateway.wait_state("well", "ready").await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let mut connection = gateway.connect().await;
        // Together far more than a pipe holds.
        let arguments = json!({"text": "x".repeat(100_000)});
        let body = json!({"mcp_id": "deaf", "tool": "echo", "arguments": arguments, "timeout": 2_000});
        calls.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
    }
    assert_eq!(gateway.call("well", "echo", json!({"nonce": 1})).await["nonce"], 1);
    for reply in calls.join_all().await {
        assert!([502, 503, 504].contains(&reply.status), "{} {}", reply.status, reply.text());
    }
    gateway.stop().await;
}
