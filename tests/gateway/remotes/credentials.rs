//! Headers and queries with secrets in them: where they go, where they are never seen, and what a refusal of them means.
//! The harness fails each test in which a canary is anywhere but in the server (R6).

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{FAR, cause, echo, opened, refused, tried, unseen, wait_seen, with_definition};
use crate::revoking::make;
use crate::support::ask::ask;
use crate::support::canaries::{Kind, UNNAMED_VARIABLE};
use crate::support::gateway::{Gateway, INVOKE, TestGateway, with};
use crate::support::mcp::{Session, modern};
use crate::support::scripted_http::{Answer, ScriptedHttp, Way};

/// A secret that is written out in a definition.
const WRITTEN: &str = "written-out-5d81c0";

/// A definition with secrets wherever it can have some.
fn secretive(server: &ScriptedHttp) -> Value {
    json!({
        "url": format!("{}?key=${{env:{UNNAMED_VARIABLE}}}&plain={WRITTEN}", server.url()),
        "headers": {
            "Authorization": "Bearer ${OWN}",
            "X-Key": format!("${{env:{UNNAMED_VARIABLE}}}"),
            "X-Plain": WRITTEN,
            "X-Default": "${env:NOT_SET_ANYWHERE:-by default}",
        },
        "env": {"OWN": format!("${{env:{UNNAMED_VARIABLE}}}")},
    })
}

/// A definition that names a header with a credential.
fn with_key(server: &ScriptedHttp) -> Value {
    let key = format!("Bearer ${{env:{UNNAMED_VARIABLE}}}");
    json!({"url": server.url(), "headers": {"Authorization": key}})
}

fn challenge(status: u16) -> Answer {
    let header = "Bearer error=\"invalid_token\", resource_metadata=\"http://127.0.0.1:9/x\"";
    Answer::of(status, "application/json", r#"{"error":"invalid_token"}"#).header("WWW-Authenticate", header)
}

/// Everything that can be asked about servers, in one text.
async fn told(gateway: &Gateway) -> String {
    let paths = [
        "/v1/mcps",
        "/v1/mcps/far",
        "/v1/mcps/far/logs",
        "/api/servers",
        "/api/servers/far",
        "/metrics",
        "/v1/audit/export",
        "/readyz",
    ];
    let mut told = String::new();
    for path in paths {
        told.push_str(&gateway.get(path).await.text());
    }
    told
}

#[tokio::test]
async fn references_are_resolved_for_the_server_and_seen_by_nobody_else() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = TestGateway::new()
        .server(FAR, secretive(&server))
        .variable("MCPVISOR_LOG", "trace")
        .arguments(&["--debug"])
        .start()
        .await;
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    server.once("tools/call", Answer::empty(500));
    refused(&gateway, "echo", 502, "mcp_unreachable").await;
    let seen = gateway.server(FAR).await;
    let shown = format!("{}?key=[REDACTED]&plain=[REDACTED]", server.url());
    assert_eq!([&seen["transport"], &seen["endpoint_url"]], [&json!("streamable-http"), &json!(shown)], "R9");
    let entry = gateway.get("/api/servers/far").await.expect(200);
    assert_eq!([&entry["command"], &entry["url"]], [&json!(""), &json!(shown)], "R9");
    assert_eq!(entry["headers"]["X-Plain"], "[REDACTED]", "R9");
    server.stop().await;
    // It may meet the end, or wait for the next opening until its time is over.
    let call = json!({"mcp_id": FAR, "tool": "slow", "arguments": {}, "timeout": 1000});
    let failed = gateway.post(INVOKE, &call).await;
    assert!(matches!(failed.status, 502 | 504), "{failed:?}");
    let mut told = told(&gateway).await;
    server.start_again().await;
    gateway.wait_state(FAR, "ready").await;
    told.push_str(&gateway.output());
    assert!(!told.contains(WRITTEN), "R6: {told}");
    gateway.stop().await;
    let secret = Kind::Unnamed.value();
    let bearer = format!("Bearer {secret}");
    for asked in server.all() {
        assert_eq!(asked.path, format!("/mcp?key={secret}&plain={WRITTEN}"), "R3");
        let of = |name: &str| asked.header(name);
        assert_eq!(
            [of("authorization"), of("x-key")],
            [Some(&*bearer), Some(&*secret)],
            "{}",
            asked.method()
        );
        assert_eq!([of("x-plain"), of("x-default")], [Some(WRITTEN), Some("by default")]);
    }
    assert!(server.count("DELETE") >= 1);
}

#[tokio::test]
async fn nothing_of_a_caller_goes_to_the_server_but_the_call() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = opened(&server).await;
    echo(&gateway, 1).await;
    let session = Session::open(&gateway, FAR, json!({})).await;
    session.call("echo", json!({})).result().await;
    modern(&gateway, FAR).call("echo", json!({})).result().await;
    for asked in server.all() {
        let headers = format!("{:?}", asked.headers);
        assert!(!headers.contains(&Kind::Header.value()), "R72: {headers}");
        assert!(!headers.contains(gateway.key()) && !headers.contains(&session.id), "R72: {headers}");
        for name in ["authorization", "cookie", "forwarded", "x-forwarded-for", "x-request-id"] {
            assert_eq!(asked.header(name), None, "R72: {headers}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_reference_that_is_not_set_is_named_and_nothing_is_sent() {
    let cases = [
        (json!({"headers": {"X-Key": "${env:NOT_SET_ANYWHERE}"}}), ["headers.X-Key", "NOT_SET_ANYWHERE"]),
        (
            json!({"headers": {"Authorization": "Bearer ${NOT_SET_EITHER}"}}),
            ["headers.Authorization", "NOT_SET_EITHER"],
        ),
        (json!({"headers": {"X-Key": "${file:/no/such/file}"}}), ["headers.X-Key", "/no/such/file"]),
        (json!({"query": "?k=${env:NOT_SET_ANYWHERE}"}), ["url", "NOT_SET_ANYWHERE"]),
    ];
    for (entry, names) in cases {
        let server = ScriptedHttp::start(Way::Legacy).await;
        let mut definition = entry.clone();
        let query = entry["query"].as_str().unwrap_or_default();
        definition["url"] = format!("{}{query}", server.url()).into();
        let (gateway, seen) = tried(definition, "failed").await;
        for name in names {
            assert!(cause(&seen).contains(name), "R3: {name}: {seen}");
        }
        unseen(&gateway).await;
        assert_eq!(server.connections(), 0, "R3");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_wants_a_login_is_asked_again_in_minutes_and_not_by_calls() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.always("*", challenge(401));
    let (gateway, seen) = tried(server.definition(), "unauthorized").await;
    assert!(cause(&seen).contains("wants credentials (HTTP 401)"), "R13: {seen}");
    assert_eq!(seen["health"], "unhealthy", "R14");
    let next = seen["supervision"]["next_start_at"].as_str().expect("a time").to_owned();
    let next = time::OffsetDateTime::parse(&next, &time::format_description::well_known::Rfc3339);
    let wait = SystemTime::from(next.expect("a time")).duration_since(SystemTime::now());
    assert!(wait.expect("later") > Duration::from_secs(240), "R16");
    let sent = server.all().len();
    assert!(sent <= 2, "R16: {:?}", server.methods());
    for _ in 0..5 {
        let error = unseen(&gateway).await;
        assert_eq!(error["details"]["server"]["state"], "unauthorized", "R18");
        for post in [modern(&gateway, FAR).call("echo", json!({}))] {
            let answer = post.send().await;
            assert!(![401, 403].contains(&answer.status), "R18: {}", answer.status);
        }
    }
    assert_eq!(server.all().len(), sent, "R16: calls ask nothing of it");
    // Whoever has mended it says so.
    server.unscripted();
    gateway.post("/v1/mcps/far/restart", &json!({})).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn credentials_that_are_refused_are_told_and_tried_again_by_a_restart() {
    let server = ScriptedHttp::start(Way::Modern).await;
    server.always("*", challenge(401));
    let (gateway, seen) = tried(with_key(&server), "unauthorized").await;
    assert!(cause(&seen).contains("refuses the credentials (HTTP 401)"), "R13: {seen}");
    let sent = server.all().len();
    for _ in 0..5 {
        unseen(&gateway).await;
    }
    assert_eq!(server.all().len(), sent, "R16: unchanged ones are not sent again");
    gateway.post("/v1/mcps/far/restart", &json!({})).await.expect(200);
    server.wait_count("server/discover", sent + 1).await;
    gateway.wait_state(FAR, "unauthorized").await;
    server.unscripted();
    gateway.post("/v1/mcps/far/restart", &json!({})).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_of_a_call_is_never_the_gateways_own() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = opened(&server).await;
    server.once("tools/call", challenge(401));
    unseen(&gateway).await;
    let seen = wait_seen(&gateway, "it is doubtful", |seen| seen["state"] == "degraded").await;
    assert!(seen["supervision"]["remarks"].to_string().contains("credentials"), "R17: {seen}");
    server.once("tools/call", Answer::of(403, "text/plain", "no"));
    unknown_or_unseen(&gateway).await;
    let insufficient = "Bearer error=\"insufficient_scope\", scope=\"write\"";
    server.once("tools/call", Answer::empty(403).header("WWW-Authenticate", insufficient));
    let error = unseen(&gateway).await;
    assert!(error["message"].to_string().contains("insufficient_scope"), "{error}");
    // Over MCP a client would begin to log in at the gateway.
    for status in [401, 403] {
        for _ in 0..2 {
            server.once("tools/call", challenge(status));
        }
        let session = Session::open(&gateway, FAR, json!({})).await;
        for post in [modern(&gateway, FAR).call("echo", json!({})), session.call("echo", json!({}))] {
            let mut answer = post.send().await;
            assert!(![401, 403].contains(&answer.status), "R18: {}", answer.status);
            assert!(!answer.headers.contains_key("www-authenticate"), "R18: {:?}", answer.headers);
            let told = answer.last().await;
            assert!(told["error"].is_object(), "{told}");
        }
    }
    echo(&gateway, 1).await;
    assert_eq!(server.count("initialize"), 1, "what is refused is the call");
    gateway.stop().await;
}

async fn unknown_or_unseen(gateway: &Gateway) {
    refused(gateway, "echo", 502, "mcp_unreachable").await;
}

#[tokio::test]
async fn credentials_refused_in_a_call_end_the_server_until_they_are_others() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = with_definition(with_key(&server)).await;
    server.once("tools/call", challenge(401));
    unseen(&gateway).await;
    let seen = gateway.wait_state(FAR, "unauthorized").await;
    assert!(cause(&seen).contains("refuses the credentials"), "R16: {seen}");
    assert_eq!(server.count("initialize"), 1, "R16: unchanged ones are not sent again");
    gateway.post("/v1/mcps/far/restart", &json!({})).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_user_in_the_address_is_sent_as_basic_credentials_and_never_shown() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let url = server.url().replace("http://", &format!("http://ada:{WRITTEN}@"));
    let gateway = with_definition(json!({"url": url})).await;
    echo(&gateway, 1).await;
    assert_eq!(gateway.server(FAR).await["endpoint_url"], server.url(), "R6");
    let told = told(&gateway).await + &gateway.output();
    assert!(!told.contains(WRITTEN) && !told.contains("ada:"), "R6: {told}");
    for asked in server.all() {
        let sent = asked.header("authorization").expect("credentials");
        assert!(sent.starts_with("Basic "), "R5: {sent}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn credentials_do_not_go_over_plain_http_to_another_machine() {
    let definition =
        json!({"url": "http://192.0.2.1/mcp", "headers": {"X-Key": "${env:CANARY_OF_THE_TEST}"}});
    let (gateway, seen) = tried(definition, "failed").await;
    assert!(cause(&seen).contains("allow_http"), "R5: {seen}");
    unseen(&gateway).await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_member_stored_goes_with_its_own_calls_over_its_own_session() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let mut definition = with(server.definition(), json!({"isolation": "per-principal"}));
    definition["headers"] = json!({"Authorization": "Bearer ${principal:TOKEN}"});
    let gateway = TestGateway::new().server(FAR, definition).variable("MCPVISOR_LOG", "trace").start().await;
    gateway.wait_state(FAR, "idle").await;
    assert_eq!(server.connections(), 0, "R69: nobody's token is used before somebody calls");
    let secrets = [("user_a", "of-ada-9d1"), ("user_b", "of-bob-4c7")];
    for (member, secret) in secrets {
        let made = make(&gateway, json!({"name": member, "member": {"id": member}})).await;
        let call = |nonce: &str| {
            let body = json!({"mcp_id": FAR, "tool": "echo", "arguments": {"nonce": nonce}});
            ask(&gateway, "POST", INVOKE).key(&made.text).json(body.to_string())
        };
        let missing = call("none").send().await.expect(409);
        assert_eq!(missing["error"]["code"], "secret_missing", "{missing}");
        let path = "/v1/members/me/secrets/TOKEN";
        let stored = json!({"value": secret}).to_string();
        ask(&gateway, "PUT", path).key(&made.text).json(stored).send().await.expect(200);
        call(member).send().await.expect(200);
        // What is refused for one is no matter of the other's.
        server.once("tools/call", challenge(401));
        call("refused").send().await.expect(502);
    }
    let asked = server.asked("tools/call");
    let of = |nonce: &str| {
        let call = asked.iter().find(|call| call.arguments()["nonce"] == nonce).expect("a call");
        (call.header("authorization").map(str::to_owned), call.header("mcp-session-id").map(str::to_owned))
    };
    let (ada, bob) = (of("user_a"), of("user_b"));
    assert_eq!(ada.0.as_deref(), Some("Bearer of-ada-9d1"), "R69");
    assert_eq!(bob.0.as_deref(), Some("Bearer of-bob-4c7"), "R69");
    assert_ne!(ada.1, bob.1, "R69: a session for each");
    let told = told(&gateway).await + &gateway.output();
    assert!(secrets.iter().all(|(_, secret)| !told.contains(secret)), "R6");
    gateway.stop().await;
}
