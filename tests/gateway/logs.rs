//! What servers write on stderr can be read by those who administer.

use serde_json::json;

use crate::support::ask::ask;
use crate::support::gateway::TestGateway;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn stderr_is_kept_over_restarts_printable_and_told_apart_by_child() {
    let script = format!(
        "printf 'plain\\n\\033[31mred\\033[0m \\007bell\\n' >&2; exec {}",
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    let server = json!({"command": "/bin/sh", "args": ["-c", script]});
    let gateway = TestGateway::new().server("loud", server).start().await;
    gateway.wait_state("loud", "ready").await;
    let lines = wait_until("both lines have been read", DEADLINE, || async {
        let lines = gateway.get("/v1/mcps/loud/logs").await.expect(200)["data"].clone();
        (lines.as_array().is_some_and(|lines| lines.len() == 2)).then_some(lines)
    })
    .await;
    assert_eq!((&lines[0]["line"], &lines[1]["line"]), (&json!("plain"), &json!("red bell")));
    assert!(lines[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{lines}");
    gateway.v1_invoke("loud", "crash", json!({"code": 3})).await.expect(502);
    let lines = wait_until("the next child has written, too", DEADLINE, || async {
        let lines = gateway.get("/v1/mcps/loud/logs?tail=3").await.expect(200)["data"].clone();
        (lines[2]["incarnation"] == 2).then_some(lines)
    })
    .await;
    assert_eq!(lines.as_array().map(Vec::len), Some(3));
    gateway.stop().await;
}

#[tokio::test]
async fn logs_need_a_key_a_server_and_a_sensible_tail() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.get("/v1/mcps/demo/logs?tail=0").await.expect(400);
    gateway.get("/v1/mcps/demo/logs?tail=x").await.expect(400);
    gateway.get("/v1/mcps/nobody/logs").await.expect(404);
    ask(&gateway, "GET", "/v1/mcps/demo/logs").without_key().send().await.expect(401);
    gateway.stop().await;
}
