//! The trace that a request belongs to, on its way to the server.

use serde_json::json;

use super::{SERVERS, both, sample, sampled, world};
use crate::support::mcp::{Session, modern};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const OTHER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

#[tokio::test]
async fn the_trace_of_a_call_reaches_a_server_of_either_era() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        for post in [client.call("meta", json!({})), session.call("meta", json!({}))] {
            let traced = post.clone().header("traceparent", PARENT).header("tracestate", "a=1");
            let seen = traced.clone().result().await["structuredContent"].clone();
            assert_eq!(
                (&seen["traceparent"], &seen["tracestate"]),
                (&json!(PARENT), &json!("a=1")),
                "{server}"
            );
            let own = traced.id("own").meta("traceparent", OTHER).result().await["structuredContent"].clone();
            assert_eq!((&own["traceparent"], own.get("tracestate")), (&json!(OTHER), None), "{server}");
            let bad = post.id("bad").header("traceparent", "none").header("tracestate", "a=1").result().await;
            assert!(bad["structuredContent"].get("tracestate").is_none(), "{server}: {bad}");
        }
        let call = json!({"mcp_id": server, "tool": "meta", "arguments": {}});
        let mut traced = gateway.connect_with(&[("traceparent", PARENT)]).await;
        let told = traced.send("POST", "/v1/mcp/invoke", Some(&call)).await.expect("an answer").expect(200);
        assert_eq!(told["data"]["result"]["traceparent"], PARENT, "{server}: {told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn uses_of_what_is_deprecated_are_counted_by_client() {
    let gateway = world("").await;
    let once = json!({"rounds": [[sample("say")]]});
    let named = modern(&gateway, "legacy").can(both()).call("interview", once.clone());
    let info = json!({"name": "editor \"7\"", "version": "1"});
    let named = named
        .meta("io.modelcontextprotocol/clientInfo", info)
        .meta("io.modelcontextprotocol/logLevel", "error");
    assert_eq!(named.result().await["resultType"], "input_required");
    let session = Session::open(&gateway, "modern", both()).await;
    let mut asked = session.call("interview", once).send().await;
    let question = asked.until("sampling/createMessage").await;
    session.answer(&question, sampled("said")).await;
    asked.last().await;
    session.ask("logging/setLevel", json!({"level": "error"})).result().await;
    let text = gateway.get("/metrics").await.text();
    let count = |labels: &str| {
        let line = format!("mcpvisor_mcp_deprecated_total{{{labels}}} 1");
        assert!(text.lines().any(|known| known == line), "no {line} in {text}");
    };
    count(r#"client="editor \"7\"",feature="sampling""#);
    count(r#"client="editor \"7\"",feature="logging""#);
    let legacy = "legacy test";
    count(&format!(r#"client="{legacy}",feature="sampling""#));
    count(&format!(r#"client="{legacy}",feature="logging""#));
    gateway.stop().await;
}
