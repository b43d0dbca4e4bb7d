//! Every row of the error catalogue that a call or a read can end in (`docs/http-api.md`, P2).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{error, invoke, resources, serving};
use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn each_failure_of_a_call_has_its_status_and_code() {
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .server("off", json!({"command": "true", "disabled": true}))
        .server("missing", json!({"command": "/no/such/program-of-the-test"}))
        .server("remote", json!({"url": "http://127.0.0.1:9/mcp"}))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    gateway.wait_state("missing", "failed").await;
    let call = |server: &str, tool: &str, arguments: Value| json!({"mcp_id": server, "tool": tool, "arguments": arguments});
    let cases = [
        (call("nobody", "echo", json!({})), 404, "not_found"),
        (call("Fake", "echo", json!({})), 404, "not_found"),
        (call("fake", "completely different", json!({})), 404, "tool_not_found"),
        (call("fake", "error", json!({"code": -32602})), 400, "invalid_arguments"),
        (call("off", "echo", json!({})), 409, "mcp_inactive"),
        (call("fake", "fail", json!({})), 422, "mcp_error"),
        (call("fake", "error", json!({"code": -32603})), 502, "mcp_error"),
        (call("fake", "error", json!({"code": 7})), 502, "mcp_error"),
        (call("fake", "reply", json!({"result": {"content": 5}})), 502, "mcp_error"),
        (call("fake", "reply", json!({"result": [1]})), 502, "mcp_error"),
        (call("missing", "echo", json!({})), 502, "mcp_unreachable"),
        (call("remote", "echo", json!({})), 502, "mcp_unreachable"),
        (call("fake", "crash", json!({})), 502, "mcp_unreachable"),
    ];
    for (body, status, code) in cases {
        let reply = invoke(&gateway, body.clone()).await;
        let error = error(&reply, status, code);
        match code {
            "not_found" => assert_eq!(error["message"], "MCP not found"),
            "mcp_unreachable" => {
                let phase = if body["tool"] == "crash" { "in_flight" } else { "not_sent" };
                assert_eq!(error["details"]["phase"], phase, "{error}");
            }
            _ => {}
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_server_said_of_a_failure_is_in_the_details() {
    let gateway = serving(&[]).await;
    let misspelt = invoke(&gateway, json!({"mcp_id": "fake", "tool": "ehco"})).await;
    let told = error(&misspelt, 404, "tool_not_found");
    assert_eq!(told["message"], "Tool 'ehco' not found. Did you mean 'echo'?");
    let far = invoke(&gateway, json!({"mcp_id": "fake", "tool": "qqqqqqqq"})).await;
    assert_eq!(error(&far, 404, "tool_not_found")["message"], "Tool 'qqqqqqqq' not found");

    let blocks = json!([
        {"type": "text", "text": "first"},
        {"type": "image", "data": "aGk=", "mimeType": "image/png"},
        {"type": "text", "text": "second"}
    ]);
    let result = json!({"content": blocks, "isError": true});
    let failed = gateway.v1_invoke("fake", "reply", json!({"result": result})).await;
    let told = error(&failed, 422, "mcp_error");
    assert_eq!(told["details"], json!({"mcp_error": "first\nsecond", "content": blocks}));

    let refused = gateway.v1_invoke("fake", "error", json!({"code": -32050, "message": "no \"luck\""})).await;
    let told = error(&refused, 502, "mcp_error");
    assert_eq!(told["details"]["mcp_error"], "no \"luck\"");
    assert_eq!(told["details"]["mcp_code"], -32050);

    let wrong = gateway.v1_invoke("fake", "error", json!({"code": -32602, "message": "a is not b"})).await;
    assert_eq!(error(&wrong, 400, "invalid_arguments")["message"], "a is not b");

    let late = json!({"mcp_id": "fake", "tool": "sleep", "arguments": {"ms": 600_000}, "timeout": 50});
    let told = error(&invoke(&gateway, late).await, 504, "mcp_timeout");
    assert_eq!(told["details"], json!({"phase": "in_flight", "timeout_ms": 50}));
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_tool_is_404_also_when_the_server_was_still_starting() {
    let gateway = TestGateway::new()
        .server("slow", with(fake(&["--slow-init", "700"]), json!({"era": "legacy"})))
        .start()
        .await;
    let unknown = gateway.v1_invoke("slow", "ehco", json!({})).await;
    let told = error(&unknown, 404, "tool_not_found");
    assert_eq!(told["message"], "Tool 'ehco' not found. Did you mean 'echo'?");
    assert_eq!(gateway.call("slow", "stats", json!({})).await["executions"], 1, "the child was not asked");
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_in_backoff_is_502_at_once_and_says_when_to_come_back() {
    let gateway = TestGateway::new().server("broken", fake(&["--exit", "3"])).start().await;
    let refused = wait_until("a refusal for the backoff", DEADLINE, || async {
        let reply = invoke(&gateway, json!({"mcp_id": "broken", "tool": "echo", "timeout": 20})).await;
        // Between two waits the server is starting, and then the deadline passes first.
        (reply.status != 504).then_some(reply)
    })
    .await;
    let told = error(&refused, 502, "mcp_unreachable");
    assert_eq!(told["details"]["phase"], "not_sent");
    assert!(told["message"].as_str().is_some_and(|text| text.contains("exited with code 3")), "{told}");
    let wait: u64 = refused.headers["retry-after"].to_str().expect("ASCII").parse().expect("seconds");
    assert!((1..=72).contains(&wait), "{wait}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_queue_is_503_and_says_when_to_come_back() {
    let narrow = with(fake(&[]), json!({"max_in_flight": 1, "queue": 0}));
    let brief = with(fake(&[]), json!({"max_in_flight": 1, "queue": 8, "queue_age": "50ms"}));
    let gateway = TestGateway::new().server("narrow", narrow).server("brief", brief).start().await;
    let mut running = JoinSet::new();
    for name in ["narrow", "brief"] {
        gateway.wait_state(name, "ready").await;
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": name, "tool": "sleep", "arguments": {"ms": 600_000}, "timeout": 300_000});
        running.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await });
    }
    for name in ["narrow", "brief"] {
        let refused = wait_until("the place is taken", DEADLINE, || async {
            let reply = gateway.v1_invoke(name, "echo", json!({})).await;
            (reply.status != 200).then_some(reply)
        })
        .await;
        error(&refused, 503, "service_unavailable");
        assert!(refused.headers.contains_key("retry-after"), "{name}");
    }
    // Their clients leave, so the places are free again.
    running.shutdown().await;
    for name in ["narrow", "brief"] {
        wait_until("the place is free", DEADLINE, || async {
            (gateway.v1_invoke(name, "echo", json!({})).await.status == 200).then_some(())
        })
        .await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_was_switched_off_is_409_in_every_way() {
    let gateway = serving(&[]).await;
    let mut off = gateway.marked(fake(&[]));
    off["disabled"] = true.into();
    let file = json!({"mcpServers": {"fake": off}}).to_string();
    std::fs::write(gateway.data().join("off.json"), file).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "off.json"})).await.expect(200);
    for _ in 0..2 {
        let called = invoke(&gateway, json!({"mcp_id": "fake", "tool": "echo"})).await;
        error(&called, 409, "mcp_inactive");
        let read = resources(&gateway, json!({"mcp_id": "fake", "uri": "fake://one"})).await;
        error(&read, 409, "mcp_inactive");
        error(&resources(&gateway, json!({"mcp_id": "fake"})).await, 409, "mcp_inactive");
        let tools = ask(&gateway, "GET", "/api/servers/fake/tools").send().await.expect(409);
        assert_eq!(tools["code"], "mcp_inactive");
        // At once and when the child is gone, the answers are the same.
        let seen = gateway.wait_state("fake", "disabled").await;
        assert_eq!((&seen["status"], &seen["health"]), (&json!("inactive"), &json!("unknown")));
    }
    gateway.stop().await;
}
#[tokio::test]
async fn each_failure_of_a_read_has_its_status_and_code() {
    let gateway = TestGateway::new()
        .server("legacy", with(fake(&[]), json!({"era": "legacy"})))
        .server("modern", with(fake(&["--era", "modern"]), json!({"era": "modern"})))
        .server("without", fake(&["--no-resources"]))
        .server("off", json!({"command": "true", "disabled": true}))
        .server("missing", json!({"command": "/no/such/program-of-the-test"}))
        .start()
        .await;
    for name in ["legacy", "modern", "without"] {
        gateway.wait_state(name, "ready").await;
    }
    gateway.wait_state("missing", "failed").await;
    let cases = [
        ("nobody", 404, "not_found"),
        ("legacy", 404, "resource_not_found"),
        ("modern", 404, "resource_not_found"),
        ("without", 404, "resource_not_found"),
        ("off", 409, "mcp_inactive"),
        ("missing", 502, "mcp_unreachable"),
    ];
    for (server, status, code) in cases {
        let reply = resources(&gateway, json!({"mcp_id": server, "uri": "fake://three"})).await;
        error(&reply, status, code);
    }
    for (server, status, code) in
        [("nobody", 404, "not_found"), ("off", 409, "mcp_inactive"), ("missing", 502, "mcp_unreachable")]
    {
        error(&resources(&gateway, json!({"mcp_id": server})).await, status, code);
    }
    let listed = resources(&gateway, json!({"mcp_id": "without"})).await.expect(200);
    assert_eq!(listed["data"]["contents"], json!([]));
    assert_eq!(listed["data"]["resource_templates"], json!([]));
    gateway.stop().await;
}
