//! `/v1/usage` and its history: every call once, by whom, of what, and with what outcome (`docs/http-api.md`, P15).

use serde_json::{Value, json};

use super::keys::{MEMBERS, make, text};
use super::{error, post};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};

async fn usage(gateway: &Gateway, query: &str) -> Value {
    gateway.get(&format!("/v1/usage{query}")).await.expect(200)["data"].clone()
}

async fn call_as(gateway: &Gateway, key: &str, server: &str, tool: &str) -> u16 {
    let body = json!({"mcp_id": server, "tool": tool, "arguments": {"nonce": 1}});
    post(gateway, INVOKE, &body).key(key).send().await.status
}

#[tokio::test]
async fn usage_totals_equal_the_calls_made_across_restarts_and_in_the_metrics() {
    let mut gateway = TestGateway::new()
        .config_toml(MEMBERS)
        .server("one", fake(&[]))
        .server("two", fake(&[]))
        .start()
        .await;
    for server in ["one", "two"] {
        gateway.wait_state(server, "ready").await;
    }
    let member = make(&gateway, json!({"name": "member's", "owner_id": "user_member"})).await;
    let key = text(&member);
    for _ in 0..5 {
        assert_eq!(call_as(&gateway, gateway.key(), "one", "echo").await, 200);
        assert_eq!(call_as(&gateway, &key, "two", "echo").await, 200);
    }
    assert_eq!(call_as(&gateway, &key, "two", "fail").await, 422);
    assert_eq!(call_as(&gateway, &key, "two", "nothing").await, 404, "not counted");
    let read = json!({"mcp_id": "one", "uri": "fake://one"});
    post(&gateway, "/v1/mcp/resources", &read).send().await.expect(200);
    let before = usage(&gateway, "").await;
    assert_eq!(before["requests"], json!({"total": 12, "limit": null, "percentage": null}));
    assert_eq!(before["by_status"], json!({"success": 11, "error": 1}));
    assert_eq!(before["by_outcome"], json!({"ok": 11, "tool_error": 1}));
    let servers: Vec<_> =
        before["by_mcp"].as_array().expect("a list").iter().map(|s| (&s["name"], &s["requests"])).collect();
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().all(|(_, calls)| **calls == 6), "{servers:?}");
    assert_eq!(
        before["by_day"].as_array().expect("a list").iter().filter(|day| day["requests"] == 12).count(),
        1
    );
    assert!(before["by_tool"].to_string().contains("resources/read"));
    assert!(before["bytes"]["arguments"].as_u64().expect("a number") > 0);
    let metrics = gateway.get("/metrics").await.text();
    let counted: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("mcpvisor_calls_total{"))
        .map(|line| line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number"))
        .sum();
    assert_eq!(counted, 12.0, "{metrics}");

    // A member sees its own, and so do the views of its key.
    let own = ask(&gateway, "GET", "/v1/usage").key(&key).send().await.expect(200)["data"].clone();
    assert_eq!((&own["requests"]["total"], &own["by_api_key"][0]["name"]), (&json!(6), &json!("member's")));
    let id = member["id"].as_str().expect("an id");
    let shown = gateway.get(&format!("/v1/api-keys/{id}")).await.expect(200)["data"]["usage"].clone();
    assert_eq!(shown, json!({"total_requests": 6, "requests_today": 6}));
    let of_key =
        gateway.get(&format!("/v1/api-keys/{id}/usage?period=day")).await.expect(200)["data"].clone();
    assert_eq!((&of_key["period"], &of_key["requests"]["total"]), (&json!("day"), &json!(6)));

    gateway.terminate().await;
    gateway.restart().await;
    gateway.wait_state("one", "ready").await;
    assert_eq!(
        usage(&gateway, "").await["by_outcome"],
        before["by_outcome"],
        "nothing is lost by an orderly end"
    );
    let stats = gateway.server("one").await["stats"].clone();
    assert_eq!((&stats["total_requests"], &stats["requests_today"]), (&json!(6), &json!(6)));
    assert_eq!(call_as(&gateway, &key, "one", "echo").await, 200);
    gateway.delete("/api/servers/two").await.expect(200);
    let after = usage(&gateway, "?period=week").await;
    assert_eq!(after["requests"]["total"], 13);
    assert!(after["by_mcp"].to_string().contains("\"two\""), "its usage outlives a server");
    gateway.stop().await;
}

#[tokio::test]
async fn a_history_is_in_buckets_that_add_up() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    for _ in 0..3 {
        gateway.call("fake", "echo", json!({"nonce": 1})).await;
    }
    let sum = |list: &Value| -> u64 {
        list["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|bucket| bucket["requests"].as_u64().expect("a number"))
            .sum()
    };
    for granularity in ["hour", "day", "month"] {
        let path = format!("/v1/usage/history?granularity={granularity}&per_page=100");
        let list = gateway.get(&path).await.expect(200);
        let newest = &list["data"][0];
        assert!(newest["period_start"].is_string() && newest["period_end"].is_string(), "{newest}");
        // The calls may have been made at the end of an hour.
        assert_eq!(sum(&list), 3, "{granularity}: {list}");
        let mine = gateway.get(&format!("{path}&mcp_id=fake")).await.expect(200);
        assert_eq!(sum(&mine), 3);
        assert_eq!(sum(&gateway.get(&format!("{path}&mcp_id=nobody")).await.expect(200)), 0);
        assert_eq!(sum(&gateway.get(&format!("{path}&key_id=nobody")).await.expect(200)), 0);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn spans_that_cannot_be_are_refused_by_name() {
    let gateway = TestGateway::new().start().await;
    for (query, field) in [
        ("period=year", "period"),
        ("start_date=2026-01-01", "end_date"),
        ("end_date=2026-01-01", "start_date"),
        ("start_date=x&end_date=2026-01-01", "start_date"),
        ("start_date=2026-02-01&end_date=2026-01-01", "end_date"),
        ("start_date=2020-01-01&end_date=2026-01-01", "end_date"),
    ] {
        for path in ["/v1/usage", "/v1/usage/history"] {
            if path.ends_with("history") && field == "period" {
                continue;
            }
            let reply = gateway.get(&format!("{path}?{query}")).await;
            assert!(error(&reply, 400, "invalid_request")["details"][field].is_string(), "{path}?{query}");
        }
    }
    let long = "granularity=hour&start_date=2026-01-01&end_date=2026-03-01";
    error(&gateway.get(&format!("/v1/usage/history?{long}")).await, 400, "invalid_request");
    let day = usage(&gateway, "?start_date=2026-11-15&end_date=2026-11-15").await;
    assert_eq!(
        (&day["start_date"], &day["end_date"]),
        (&json!("2026-11-15T00:00:00Z"), &json!("2026-11-15T23:59:59Z"))
    );
    assert_eq!(day["by_day"], json!([{"date": "2026-11-15", "requests": 0}]));
    gateway.stop().await;
}
