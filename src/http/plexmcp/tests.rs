//! Tests of the bodies of `/v1`, without a gateway behind them.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::response::IntoResponse;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::bodies;
use super::errors::ApiError;
use super::payloads;
use crate::gateway::{
    BreakerState, Catalog, Cause, CounterReading, Definition, Permissions, ResourceReply, ServerInfo,
    ServerView, State, Status, ToolPins, ToolReply, Traffic, Usage,
};

const MAX_TIMEOUT: Duration = Duration::from_secs(300);

async fn failure(result: Result<impl std::fmt::Debug, ApiError>) -> (u16, Value) {
    let response = result.expect_err("must fail").into_response();
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
    (status, serde_json::from_slice::<Value>(&body).expect("JSON")["error"].clone())
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).expect("JSON")
}

fn reply(structured: Option<&'static str>, content: &str) -> ToolReply {
    ToolReply {
        server_id: "mcp_1".into(),
        structured: structured.map(|text| Bytes::from_static(text.as_bytes())),
        content: Bytes::copy_from_slice(content.as_bytes()),
        is_error: false,
        whole: content.len() + structured.map_or(0, str::len),
        latency: Duration::from_micros(125_900),
    }
}

async fn invoked(reply: &ToolReply) -> Value {
    let response = payloads::invoked("get \"weather\"", reply).expect("a success");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
    serde_json::from_slice(&body).expect("JSON")
}

#[tokio::test]
async fn a_large_answer_is_the_same_in_pieces_and_nothing_of_it_is_copied() {
    let long = "x".repeat(300_000);
    for text in [
        long.clone(),
        format!("[\"{long}\"]"),
        format!(" {{\"a\": \"{long}\"}} "),
        format!("\u{1F600}\n{long}"),
    ] {
        let content = json!([{"type": "text", "text": text}]).to_string();
        let large = reply(None, &content);
        let mut response = payloads::invoked("t", &large).expect("a success");
        let weight = crate::http::core::owed::weight(&mut response).expect("counted");
        let made = if text.trim_start().starts_with(['[', '{']) { text.trim().len() } else { 0 };
        assert_eq!(weight, content.len() + made, "what is slices weighs once");
        let exact = axum::body::HttpBody::size_hint(response.body()).exact().expect("a known length");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("in memory");
        assert_eq!(body.len() as u64, exact);
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let result = match serde_json::from_str::<Value>(&text) {
            Ok(parsed) => parsed,
            Err(_) => json!(text),
        };
        assert_eq!(body["data"]["result"], result);
        assert_eq!(body["data"]["content"], json!([{"type": "text", "text": text}]));
    }
    // An answer in pieces is the same JSON as one in a single piece.
    let structured = reply(Some(r#"{"t":65}"#), &json!([{"type": "text", "text": long}]).to_string());
    let body = invoked(&structured).await;
    assert_eq!((&body["data"]["result"], &body["data"]["is_error"]), (&json!({"t": 65}), &json!(false)));
    // A slice that keeps far more than its own length is copied.
    let pinned = ToolReply { whole: 10_000_000, ..structured };
    let mut response = payloads::invoked("t", &pinned).expect("a success");
    assert!(crate::http::core::owed::weight(&mut response).expect("counted") < 400_000);
}

#[tokio::test]
async fn an_invocation_names_every_field_that_is_wrong() {
    let (status, error) = failure(bodies::read_invoke(&Bytes::from_static(b"{}"), MAX_TIMEOUT)).await;
    assert_eq!((status, &error["code"]), (400, &json!("invalid_request")));
    assert_eq!(error["details"], json!({"mcp_id": "is required", "tool": "is required"}));
    let body = format!(
        r#"{{"mcp_id":5,"tool":"{}","arguments":[],"timeout":300001,"context":"x"}}"#,
        "t".repeat(257)
    );
    let (_, error) = failure(bodies::read_invoke(&body.into(), MAX_TIMEOUT)).await;
    let expected = json!({
        "mcp_id": "must be a string",
        "tool": "must be 1 to 256 characters long",
        "arguments": "must be an object",
        "timeout": "must be a whole number of milliseconds from 1 to 300000",
        "context": "must be an object",
    });
    assert_eq!(error["details"], expected);
    for timeout in ["0", "-1", "1.5", "\"5\"", "1e3", "99999999999999999999"] {
        let body = format!(r#"{{"mcp_id":"a","tool":"b","timeout":{timeout}}}"#);
        let (_, error) = failure(bodies::read_invoke(&body.into(), MAX_TIMEOUT)).await;
        assert!(error["details"]["timeout"].is_string(), "{timeout}");
    }
}

#[test]
fn arguments_stay_a_slice_of_the_body() {
    let text =
        br#"{"mcp_id":"m","arguments":{ "n": 12345678901234567890123 },"tool":"t","timeout":50,"extra":1}"#;
    let body = Bytes::from_static(text);
    let call = bodies::read_invoke(&body, MAX_TIMEOUT).expect("valid");
    let arguments = call.arguments.expect("given");
    assert_eq!(arguments, r#"{ "n": 12345678901234567890123 }"#);
    assert!(body.as_ptr_range().contains(&arguments.as_ptr()), "not copied");
    assert_eq!((call.timeout, &*call.meta), (Some(Duration::from_millis(50)), &b""[..]));
    let body = Bytes::from_static(br#"{"mcp_id":"m","tool":"t","arguments":null}"#);
    let absent = bodies::read_invoke(&body, MAX_TIMEOUT).expect("null is absent");
    assert!(absent.arguments.is_none() && absent.timeout.is_none());
}

#[tokio::test]
async fn the_result_is_the_structured_content_when_there_is_one() {
    let body = invoked(&reply(Some(r#"{"t":65}"#), r#"[{"type":"text","text":"other"}]"#)).await;
    let data = &body["data"];
    assert_eq!((&body["success"], &data["result"]), (&json!(true), &json!({"t": 65})));
    assert_eq!(data["content"], json!([{"type": "text", "text": "other"}]));
    assert_eq!(data["is_error"], json!(false));
    assert_eq!(data["metadata"]["mcp_id"], json!("mcp_1"));
    assert_eq!(data["metadata"]["tool"], json!("get \"weather\""));
    assert_eq!(data["metadata"]["latency_ms"], json!(125));
    assert!(data["metadata"]["timestamp"].as_str().is_some_and(|at| at.len() == 20 && at.ends_with('Z')));
}

#[tokio::test]
async fn a_lone_text_block_is_parsed_when_it_is_an_object_or_array() {
    let deep = format!("{}{}", "[".repeat(129), "]".repeat(129));
    for (text, result) in [
        (r#" {"a":[1]} "#, json!({"a": [1]})),
        ("[1, 2]", json!([1, 2])),
        ("plain \u{1F600} text", json!("plain \u{1F600} text")),
        ("5", json!("5")),
        ("\"quoted\"", json!("\"quoted\"")),
        ("{broken", json!("{broken")),
        ("{} trailing", json!("{} trailing")),
        ("", json!("")),
        (deep.as_str(), json!(deep)),
    ] {
        let content = json!([{"type": "text", "text": text}]).to_string();
        assert_eq!(invoked(&reply(None, &content)).await["data"]["result"], result, "{text}");
    }
}

#[tokio::test]
async fn anything_else_is_the_blocks_as_they_came() {
    for content in [
        r#"[]"#,
        r#"[{"type":"text","text":"{}"},{"type":"text","text":"b"}]"#,
        r#"[{"type":"image","data":"aGk=","mimeType":"image/png"}]"#,
        r#"[{"type":"text","text":5}]"#,
        r#"[{"type":"resource","text":"{}"}]"#,
        r#"[7]"#,
    ] {
        let body = invoked(&reply(None, content)).await;
        assert_eq!(body["data"]["result"], serde_json::from_str::<Value>(content).unwrap(), "{content}");
    }
}

#[tokio::test]
async fn a_tool_that_failed_is_an_error_with_its_words() {
    let content = r#"[{"type":"text","text":"no \"such\""},{"type":"image"},{"type":"text","text":"city"}]"#;
    let failed = ToolReply { is_error: true, ..reply(Some("{}"), content) };
    let (status, error) = failure(payloads::invoked("t", &failed)).await;
    assert_eq!((status, &error["code"]), (422, &json!("mcp_error")));
    assert_eq!(error["details"]["mcp_error"], json!("no \"such\"\ncity"));
    assert_eq!(error["details"]["content"], serde_json::from_str::<Value>(content).unwrap());
    assert_eq!(error["details"]["structured_content"], json!({}));
}

#[tokio::test]
async fn structured_content_of_an_error_is_told_and_stands_for_missing_words() {
    for (structured, content, words) in [
        (Some(r#"{"code":"NO"}"#), "[]", r#"{"code":"NO"}"#),
        (
            Some(r#"{"code":"NO"}"#),
            r#"[{"type":"image","data":"aGk=","mimeType":"image/png"}]"#,
            r#"{"code":"NO"}"#,
        ),
        (Some("[1]"), r#"[{"type":"text","text":""}]"#, "[1]"),
        (Some("null"), "[]", ""),
        (None, "[]", ""),
    ] {
        let failed = ToolReply { is_error: true, ..reply(structured, content) };
        let (_, error) = failure(payloads::invoked("t", &failed)).await;
        assert_eq!(error["details"]["mcp_error"], json!(words), "{structured:?} {content}");
        let told = structured.map(|text| serde_json::from_str::<Value>(text).expect("JSON"));
        assert_eq!(error["details"].get("structured_content"), told.as_ref(), "{structured:?} {content}");
    }
}

#[tokio::test]
async fn structured_content_that_is_null_is_the_result() {
    let body = invoked(&reply(Some("null"), r#"[{"type":"text","text":"null"}]"#)).await;
    assert_eq!(body["data"].get("result"), Some(&Value::Null));
    let absent = invoked(&reply(None, r#"[{"type":"text","text":"null"}]"#)).await;
    assert_eq!(absent["data"]["result"], json!("null"));
}

#[test]
fn a_tool_is_shown_with_its_meta() {
    let mut server = view("demo", 0, State::Ready, json!({"command": "x"}));
    let tools = vec![raw(r#"{"name":"a","_meta":{"ui":{"visibility":["app"]}}}"#), raw(r#"{"name":"b"}"#)];
    server.catalog = Arc::new(Catalog::build(tools, vec![], vec![], vec![]).0);
    let body: Value =
        serde_json::from_slice(&bodies::detail(&server, &Usage::default(), &Permissions::default()))
            .expect("JSON");
    let told = &body["data"]["tools"];
    assert_eq!(told[0]["_meta"], json!({"ui": {"visibility": ["app"]}}));
    assert!(told[1].get("_meta").is_none());
}

fn view(name: &str, age_s: u64, state: State, entry: Value) -> ServerView {
    let Value::Object(entry) = entry else { panic!("the test gives an object") };
    let tools = vec![raw(r#"{"name":"add","description":"Adds","inputSchema":{"type":"object"}}"#)];
    let (catalog, _) =
        Catalog::build(tools, vec![raw(r#"{"uri":"a:b","name":"r","mimeType":"x/y"}"#)], vec![], vec![]);
    let catalog = Arc::new(catalog);
    ServerView {
        id: format!("mcp_{name}").into(),
        name: name.into(),
        definition: Arc::new(Definition::parse(entry).expect("valid")),
        created_at: UNIX_EPOCH + Duration::from_secs(1_000_000 - age_s),
        updated_at: UNIX_EPOCH + Duration::from_secs(1_000_000),
        status: Arc::new(Status {
            since: UNIX_EPOCH,
            incarnation: 1,
            restarts: 2,
            introduction: Some(Arc::new(ServerInfo {
                protocol_version: "2025-11-25".into(),
                modern: false,
                server_name: Some("demo".into()),
                server_version: None,
                server_info: serde_json::Value::Null,
                capabilities: json!({}),
                instructions: None,
                told: Default::default(),
            })),
            ..Status::new(state)
        }),
        pools: None,
        counters: CounterReading::default(),
        in_flight: 0,
        queued: 0,
        breaker: BreakerState::Closed,
        pins: ToolPins::none(catalog.clone()),
        catalog,
        traffic: Traffic {
            calls: 3,
            errors: 1,
            calls_today: 2,
            total_latency: Duration::from_millis(100),
            last_active: Some(SystemTime::UNIX_EPOCH),
        },
    }
}

fn query(text: &[(&str, &str)]) -> Result<bodies::ListQuery, ApiError> {
    let pairs: Vec<_> = text.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    bodies::read_list(&pairs)
}

fn list(servers: Vec<ServerView>, text: &[(&str, &str)]) -> (Vec<String>, Value) {
    let body = bodies::list(servers, query(text).expect("a good query"), &Permissions::default());
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let names = body["data"].as_array().expect("a list").iter();
    (
        names.map(|item| item["name"].as_str().expect("a name").to_owned()).collect(),
        body["pagination"].clone(),
    )
}

fn three() -> Vec<ServerView> {
    let backoff = State::Backoff {
        attempt: 1,
        until: Instant::now(),
        cause: Cause::Exited { code: 1 },
        hopeless: false,
    };
    vec![
        view("old", 30, State::Ready, json!({"command": "x"})),
        view("new", 10, backoff, json!({"command": "x"})),
        view("b", 20, State::Disabled, json!({"command": "x", "disabled": true})),
        view("a", 20, State::Idle, json!({"command": "x"})),
    ]
}

#[test]
fn lists_are_newest_first_and_ties_go_by_id() {
    let (names, pagination) = list(three(), &[]);
    assert_eq!(names, ["new", "a", "b", "old"]);
    assert_eq!(pagination, json!({"page": 1, "per_page": 20, "total": 4, "total_pages": 1}));
}

#[test]
fn pages_are_clamped_and_may_lie_beyond_the_end() {
    let (names, pagination) = list(three(), &[("per_page", "3"), ("page", "2")]);
    assert_eq!((names, pagination["total_pages"].clone()), (vec!["old".to_owned()], json!(2)));
    let (names, pagination) = list(three(), &[("page", "999"), ("per_page", "1000")]);
    assert_eq!(pagination, json!({"page": 999, "per_page": 100, "total": 4, "total_pages": 1}));
    assert!(names.is_empty());
    let (_, pagination) = list(vec![], &[("page", "18446744073709551615")]);
    assert_eq!((&pagination["total"], &pagination["total_pages"]), (&json!(0), &json!(0)));
}

#[test]
fn lists_are_filtered_before_they_are_counted() {
    assert_eq!(list(three(), &[("status", "inactive")]).0, ["b"]);
    assert_eq!(list(three(), &[("health", "healthy")]).0, ["old"]);
    assert_eq!(list(three(), &[("health", "unhealthy")]).0, ["new"]);
    let (names, pagination) = list(three(), &[("status", "active"), ("health", "unknown")]);
    assert_eq!((names, &pagination["total"]), (vec!["a".to_owned()], &json!(1)));
    assert_eq!(list(three(), &[("status", "inactive"), ("x", "y"), ("status", "all")]).0.len(), 4);
}

#[tokio::test]
async fn bad_queries_are_named() {
    let bad = [("page", "0"), ("per_page", "x"), ("status", "up"), ("health", "")];
    let (status, error) = failure(query(&bad)).await;
    assert_eq!(status, 400);
    let expected = json!({
        "page": "must be an integer >= 1",
        "per_page": "must be an integer >= 1",
        "status": "must be active, inactive or all",
        "health": "must be healthy, unhealthy or unknown",
    });
    assert_eq!(error["details"], expected);
    for page in ["-1", "1.0", "+1", "", " 1", "18446744073709551616"] {
        assert!(query(&[("page", page)]).is_err(), "{page:?}");
    }
}

#[test]
fn a_detail_shows_state_stats_and_tools() {
    let mut server =
        view("demo", 0, State::Ready, json!({"command": "secret", "description": "Weather data"}));
    let body: Value =
        serde_json::from_slice(&bodies::detail(&server, &Usage::default(), &Permissions::default()))
            .expect("JSON");
    assert!(!body.to_string().contains("secret"));
    let expected = json!({
        "id": "mcp_demo", "name": "demo", "endpoint_url": null, "description": "Weather data",
        "status": "active", "health": "healthy", "created_at": "1970-01-12T13:46:40Z",
        "last_active": "1970-01-01T00:00:00Z", "request_count": 3, "transport": "stdio", "state": "ready",
        "enabled": true, "since": "1970-01-01T00:00:00Z", "tools_count": 1,
        "cause": null, "restarts": 2, "protocol_version": "2025-11-25",
        "server_info": {"name": "demo", "version": null}, "resources_count": 1, "prompts_count": 0,
        "health_checked_at": "1970-01-01T00:00:00Z", "updated_at": "1970-01-12T13:46:40Z",
        "stats": {"total_requests": 3, "requests_today": 2, "error_rate": 0.33, "avg_latency_ms": 33},
        "supervision": {"since": "1970-01-01T00:00:00Z", "incarnation": server.status.incarnation,
            "pid": server.status.pid, "failures": 0, "crash_loop": false, "next_start_at": null, "last_exit": null,
            "last_stderr": [], "replicas": []},
        "traffic": {"in_flight": 0, "queued": 0, "breaker": "closed", "breaker_until": null},
        "output": {"stderr_lines": 0, "stdout_noise_lines": 0, "late_replies": 0, "lines_left_out": 0},
        "tree": {"processes": 0, "rss_bytes": 0, "cpu_seconds": 0.0},
        "pins": {"mode": "off", "changed": 0, "new": 0, "gone": 0},
                "tools": [{"name": "add", "description": "Adds", "input_schema": {"type": "object"}}],
    });
    assert_eq!(body, json!({"success": true, "data": expected}));
    server.traffic = Traffic::default();
    let body: Value =
        serde_json::from_slice(&bodies::detail(&server, &Usage::default(), &Permissions::default()))
            .expect("JSON");
    assert_eq!(body["data"]["stats"]["error_rate"], json!(0.0));
    assert_eq!(body["data"]["stats"]["avg_latency_ms"], json!(null));
    assert_eq!(body["data"]["last_active"], json!(null));
}

#[test]
fn a_detail_tells_an_operator_what_a_crash_was_and_what_comes_next() {
    let until = Instant::now() + Duration::from_secs(60);
    let state = State::Backoff { attempt: 3, until, cause: Cause::Exited { code: 7 }, hopeless: false };
    let mut server = view("demo", 0, state, json!({"command": "x"}));
    let mut status = (*server.status).clone();
    status.failures = 3;
    status.last_exit = Some(Cause::Exited { code: 7 });
    status.last_stderr = Arc::new(["no such table".to_owned()]);
    server.status = Arc::new(status);
    let body: Value =
        serde_json::from_slice(&bodies::detail(&server, &Usage::default(), &Permissions::default()))
            .expect("JSON");
    let told = &body["data"]["supervision"];
    assert_eq!((&told["failures"], &told["last_exit"]), (&json!(3), &json!("exited with code 7")));
    assert_eq!(told["last_stderr"], json!(["no such table"]));
    assert!(told["next_start_at"].is_string(), "{told}");
}

#[test]
fn a_start_after_a_crash_is_not_unknown() {
    let mut server = view("demo", 0, State::Starting, json!({"command": "x"}));
    assert_eq!(list(vec![server.clone()], &[("health", "unknown")]).0.len(), 1);
    let mut status = (*server.status).clone();
    status.last_exit = Some(Cause::Signalled { signal: 9 });
    server.status = Arc::new(status);
    assert_eq!(list(vec![server], &[("health", "unhealthy")]).0.len(), 1);
}

#[tokio::test]
async fn a_resource_query_reads_or_lists() {
    let read = |text: &str| bodies::read_resources(text.as_bytes(), MAX_TIMEOUT);
    assert_eq!(read(r#"{"mcp_id":"m","uri":"a:b"}"#).expect("valid").uri.as_deref(), Some("a:b"));
    assert_eq!(read(r#"{"mcp_id":"m","uri":null}"#).expect("valid").uri, None);
    for bad in [r#"{"mcp_id":"m","uri":""}"#, r#"{"mcp_id":"m","uri":5}"#] {
        let (_, error) = failure(read(bad)).await;
        assert_eq!(error["details"], json!({"uri": "must be a non-empty string"}));
    }
    let (_, error) = failure(read("{}")).await;
    assert_eq!(error["details"], json!({"mcp_id": "is required"}));
}

#[test]
fn a_read_resource_gets_its_name_when_it_has_none() {
    let reply = ResourceReply {
        server_id: "mcp_1".into(),
        contents: vec![
            raw(r#"{ "uri":"a:b","text":"x"}"#),
            raw(r#"{"uri":"a:c","blob":"eA=="}"#),
            raw(r#"{"uri":"a:b","name":"own","text":"y"}"#),
        ],
        name: Some("listed".into()),
        latency: Duration::from_millis(7),
    };
    let body: Value = serde_json::from_slice(&payloads::resource_read("a:b", &reply)).expect("JSON");
    let contents = json!([
        {"name": "listed", "uri": "a:b", "text": "x"},
        {"uri": "a:c", "blob": "eA=="},
        {"uri": "a:b", "name": "own", "text": "y"},
    ]);
    assert_eq!(body["data"]["contents"], contents);
    assert_eq!(body["data"]["metadata"]["latency_ms"], json!(7));
}

#[test]
fn a_resource_list_has_entries_and_templates() {
    let server = view("demo", 0, State::Ready, json!({"command": "x"}));
    let listed = payloads::resource_list(&server, &server.catalog, Duration::ZERO);
    let body: Value = serde_json::from_slice(&listed).expect("JSON");
    assert_eq!(body["data"]["contents"], json!([{"uri": "a:b", "name": "r", "mimeType": "x/y"}]));
    assert_eq!(body["data"]["resource_templates"], json!([]));
    assert_eq!(body["data"]["metadata"]["mcp_id"], json!("mcp_demo"));
}

proptest! {
    /// The answer is JSON and loses nothing, whatever text a tool returns.
    #[test]
    fn any_text_makes_an_answer(text in ".{0,60}") {
        let content = json!([{"type": "text", "text": text}]).to_string();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let body = runtime.block_on(invoked(&reply(None, &content)));
        prop_assert_eq!(&body["data"]["content"][0]["text"], &json!(text));
        match &body["data"]["result"] {
            Value::String(result) => prop_assert_eq!(result, &text),
            parsed => prop_assert_eq!(parsed, &serde_json::from_str::<Value>(&text).unwrap()),
        }
    }
}
