//! `/v1/mcps`: what is listed, in which pages, by which filters, and what a single server shows
//! (`docs/http-api.md`, P4 and P7).

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};

/// The names and the pagination of a list.
async fn listed(gateway: &Gateway, query: &str) -> (Vec<String>, Value) {
    let answer = ask(gateway, "GET", &format!("/v1/mcps{query}")).send().await.expect(200);
    let items = answer["data"].as_array().expect("a list");
    let name = |item: &Value| item["name"].as_str().expect("a name").to_owned();
    (items.iter().map(name).collect(), answer["pagination"].clone())
}

fn pagination(page: u64, per_page: u64, total: u64, total_pages: u64) -> Value {
    json!({"page": page, "per_page": per_page, "total": total, "total_pages": total_pages})
}

#[tokio::test]
async fn lists_come_in_pages_that_together_hold_everything_once() {
    let mut builder = TestGateway::new();
    for number in 0..105 {
        builder = builder.server(&format!("s{number}"), json!({"command": "true", "disabled": true}));
    }
    let gateway = builder.start().await;
    let cases = [
        ("", 20, pagination(1, 20, 105, 6)),
        ("?page=6", 5, pagination(6, 20, 105, 6)),
        ("?page=2&per_page=50", 50, pagination(2, 50, 105, 3)),
        ("?per_page=1000", 100, pagination(1, 100, 105, 2)),
        ("?page=2&per_page=100", 5, pagination(2, 100, 105, 2)),
        ("?page=999", 0, pagination(999, 20, 105, 6)),
        ("?page=18446744073709551615&per_page=7", 0, pagination(u64::MAX, 7, 105, 15)),
        ("?page=5&page=1", 20, pagination(1, 20, 105, 6)),
        ("?&page=1&&", 20, pagination(1, 20, 105, 6)),
    ];
    for (query, count, expected) in cases {
        let (names, pagination) = listed(&gateway, query).await;
        assert_eq!((names.len(), pagination), (count, expected), "{query}");
    }
    let mut seen = HashSet::new();
    for page in 1..=6 {
        seen.extend(listed(&gateway, &format!("?page={page}")).await.0);
    }
    assert_eq!(seen.len(), 105);
    gateway.stop().await;
}

#[tokio::test]
async fn an_empty_list_has_no_pages() {
    let gateway = TestGateway::new().start().await;
    assert_eq!(listed(&gateway, "").await, (Vec::new(), pagination(1, 20, 0, 0)));
    gateway.stop().await;
}

#[tokio::test]
async fn the_newest_server_comes_first() {
    let gateway = TestGateway::new().start().await;
    for name in ["first", "second", "third"] {
        gateway.post("/api/servers", &json!({"name": name, "command": "/no/such/program"})).await.expect(200);
    }
    assert_eq!(listed(&gateway, "").await.0, ["third", "second", "first"]);
    // A change makes nothing newer.
    gateway.put("/api/servers/first", &json!({"args": ["x"]})).await.expect(200);
    assert_eq!(listed(&gateway, "").await.0, ["third", "second", "first"]);
    gateway.stop().await;
}

#[tokio::test]
async fn every_bad_query_parameter_is_named() {
    let gateway = TestGateway::new().start().await;
    let number = "must be an integer >= 1";
    let cases = [
        ("page=0", json!({"page": number})),
        ("page=x", json!({"page": number})),
        ("page", json!({"page": number})),
        ("page=", json!({"page": number})),
        ("page=-1", json!({"page": number})),
        ("page=%2B1", json!({"page": number})),
        ("page=1.0", json!({"page": number})),
        ("page=18446744073709551616", json!({"page": number})),
        ("per_page=0", json!({"per_page": number})),
        ("per_page=0&page=zwei", json!({"per_page": number, "page": number})),
        ("page=1&page=0", json!({"page": number})),
        ("status=on", json!({"status": "must be active, inactive or all"})),
        ("status=Active", json!({"status": "must be active, inactive or all"})),
        ("health=ill", json!({"health": "must be healthy, unhealthy or unknown"})),
        ("health=", json!({"health": "must be healthy, unhealthy or unknown"})),
    ];
    for (query, details) in cases {
        let refused = ask(&gateway, "GET", &format!("/v1/mcps?{query}")).send().await.expect(400);
        assert_eq!(refused["error"]["code"], "invalid_request", "{query}");
        assert_eq!(refused["error"]["details"], details, "{query}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn lists_are_filtered_by_status_and_health() {
    let gateway = TestGateway::new()
        .server("well", fake(&[]))
        .server("ill", json!({"command": "/no/such/program-of-the-test"}))
        .server("off", json!({"command": "true", "disabled": true}))
        .server("remote", json!({"url": "http://0.0.0.0:9/mcp"}))
        .start()
        .await;
    gateway.wait_state("well", "ready").await;
    gateway.wait_state("ill", "failed").await;
    gateway.wait_state("remote", "failed").await;
    let cases: [(&str, &[&str]); 8] = [
        ("?status=all", &["ill", "off", "remote", "well"]),
        ("?status=active", &["ill", "remote", "well"]),
        ("?status=inactive", &["off"]),
        ("?health=healthy", &["well"]),
        ("?health=unhealthy", &["ill", "remote"]),
        ("?health=unknown", &["off"]),
        ("?status=inactive&health=unknown", &["off"]),
        ("?status=inactive&health=healthy", &[]),
    ];
    for (query, expected) in cases {
        let (mut names, pagination) = listed(&gateway, query).await;
        names.sort_unstable();
        assert_eq!(names, expected, "{query}");
        assert_eq!(pagination["total"], expected.len(), "{query}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_is_known_by_its_id_and_its_exact_name_and_the_id_wins() {
    let gateway = TestGateway::new().server("one", fake(&[])).start().await;
    let id = gateway.server("one").await["id"].as_str().expect("an id").to_owned();
    assert_eq!(gateway.server(&id).await["name"], "one");
    assert_eq!(gateway.server("o%6Ee").await["id"], id);
    // Nobody may name a server as another one's id.
    let refused = gateway.post("/api/servers", &json!({"name": id, "command": "/no/such/program"})).await;
    assert_eq!(refused.expect(400)["error"], "name must not be the id of another server");
    assert_eq!(gateway.server(&id).await["name"], "one");
    for odd in ["nobody", "One", "one%20", "key_123", "mcp_", "..", "%00", "%FF", "a%2Fb", "%F0%9F%92%A5"] {
        let missed = ask(&gateway, "GET", &format!("/v1/mcps/{odd}")).send().await.expect(404);
        assert_eq!(missed["error"]["code"], "not_found", "{odd}");
        assert_eq!(missed["error"]["message"], "MCP not found", "{odd}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_single_server_shows_all_documented_members_and_never_its_command_line() {
    let mut definition = fake(&["--tools", "1"]);
    definition["description"] = "Weather data".into();
    definition["env"] = json!({"TOKEN": "hidden-in-the-environment"});
    let gateway = TestGateway::new().server("weather", definition).start().await;
    let seen = gateway.wait_state("weather", "ready").await;
    let item = &ask(&gateway, "GET", "/v1/mcps").send().await.expect(200)["data"][0];
    for shown in [&seen, item] {
        assert_eq!(shown["name"], "weather");
        assert_eq!(shown["description"], "Weather data");
        assert_eq!((&shown["status"], &shown["health"]), (&json!("active"), &json!("healthy")));
        for member in ["endpoint_url", "last_active"] {
            assert_eq!(shown.get(member), Some(&Value::Null), "{member}");
        }
        assert_eq!(shown["request_count"], 0);
        assert!(shown["created_at"].as_str().is_some_and(|text| text.ends_with('Z')), "{shown}");
        assert_eq!((&shown["transport"], &shown["resources_count"]), (&json!("stdio"), &json!(2)));
        assert_eq!(shown["server_info"], json!({"name": "fake-mcp", "version": "1.0.0"}));
        let text = shown.to_string();
        assert!(!text.contains("hidden-in") && !text.contains("--tools"), "{text}");
    }
    assert!(seen["health_checked_at"].is_string() && seen["updated_at"].is_string(), "{seen}");
    let tools = seen["tools"].as_array().expect("a list");
    let echo = tools.iter().find(|tool| tool["name"] == "echo").expect("echo");
    assert_eq!(echo["description"], "Returns its arguments.");
    assert_eq!(echo["input_schema"]["properties"]["text"], json!({"type": "string"}));
    assert!(item.get("tools").is_none() && item.get("stats").is_none(), "{item}");
    gateway.stop().await;
}

#[tokio::test]
async fn calls_that_reached_the_server_count_once_and_refused_ones_not_at_all() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let fresh = gateway.wait_state("fake", "ready").await;
    assert_eq!(
        fresh["stats"],
        json!({"total_requests": 0, "requests_today": 0, "error_rate": 0.0, "avg_latency_ms": null})
    );
    for _ in 0..2 {
        gateway.v1_invoke("fake", "echo", json!({})).await.expect(200);
    }
    gateway.v1_invoke("fake", "fail", json!({})).await.expect(422);
    // Refused before any server was asked.
    gateway.v1_invoke("fake", "ehco", json!({})).await.expect(404);
    gateway.v1_invoke("nobody", "echo", json!({})).await.expect(404);
    gateway.post("/v1/mcp/invoke", &json!({"mcp_id": "fake"})).await.expect(400);
    ask(&gateway, "POST", "/v1/mcp/invoke").without_key().json("{}").send().await.expect(401);
    let seen = gateway.server("fake").await;
    assert_eq!((&seen["stats"]["total_requests"], &seen["request_count"]), (&json!(3), &json!(3)));
    assert_eq!(seen["stats"]["error_rate"], 0.33);
    assert!(seen["stats"]["avg_latency_ms"].is_u64() && seen["last_active"].is_string(), "{seen}");
    gateway.stop().await;
}
