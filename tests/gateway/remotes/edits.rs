//! Definitions of remote servers: what they may say, and what an edit does.

use serde_json::{Value, json};

use super::{FAR, cause, echo, opened, tried, wait_seen};
use crate::reloading::rewrite;
use crate::support::canaries::Kind;
use crate::support::gateway::{Gateway, TestGateway, with};
use crate::support::scripted_http::{Answer, Gate, ScriptedHttp, Way, answered, tool};
use crate::support::{DEADLINE, wait_until};

/// Applies a servers file with this one server.
pub(super) fn define(gateway: &Gateway, definition: Value) {
    let entries = json!({FAR: gateway.marked(definition)});
    rewrite(gateway, &json!({"mcpServers": entries}).to_string());
}

#[tokio::test]
async fn an_edit_of_the_address_switches_once_the_new_server_is_ready() {
    let (old, new) = (ScriptedHttp::start(Way::Legacy).await, ScriptedHttp::start(Way::Modern).await);
    let gateway = opened(&old).await;
    let gate = Gate::shut();
    let listed = json!({"tools": [tool("echo", json!({})), tool("slow", json!({}))],
        "resultType": "complete", "ttlMs": 0, "cacheScope": "private"});
    new.once("tools/list", Answer::json(200, &answered(listed)).after(&gate));
    let calls = super::at_once(&gateway, "slow", 3).await;
    old.wait_count("tools/call", 3).await;
    define(&gateway, new.definition());
    new.wait_count("tools/list", 1).await;
    for number in 0..5 {
        echo(&gateway, number).await;
    }
    assert_eq!([old.executed().len(), new.executed().len()], [8, 0], "R10");
    gate.open();
    wait_until("calls go to the new one", DEADLINE, || async {
        echo(&gateway, 9).await;
        (!new.executed().is_empty()).then_some(())
    })
    .await;
    // What is under way ends where it began.
    old.release();
    for reply in calls.join_all().await {
        reply.expect(200);
    }
    old.wait_count("DELETE", 1).await;
    assert_eq!(gateway.server(FAR).await["endpoint_url"], new.url());
    gateway.stop().await;
}

#[tokio::test]
async fn an_edit_that_leads_nowhere_leaves_the_earlier_server_serving() {
    let old = ScriptedHttp::start(Way::Legacy).await;
    let gateway = opened(&old).await;
    let away = ScriptedHttp::start(Way::Legacy).await;
    away.stop().await;
    define(&gateway, away.definition());
    let seen = wait_seen(&gateway, "the edit has failed", |seen| {
        seen["cause"].as_str().is_some_and(|cause| cause.contains("refused the connection"))
    })
    .await;
    assert!(cause(&seen).contains("the earlier one goes on serving"), "R10: {seen}");
    echo(&gateway, 1).await;
    assert_eq!(old.executed().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn an_edit_of_a_header_is_in_force_once_it_is_applied() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = opened(&server).await;
    let mut definition = server.definition();
    definition["headers"] = json!({"X-Key": "${env:CANARY_OF_THE_TEST}"});
    define(&gateway, definition);
    wait_until("calls carry the header", DEADLINE, || async {
        echo(&gateway, 1).await;
        let last = server.asked("tools/call").pop().expect("a call");
        last.header("x-key").is_some().then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_entry_that_contradicts_itself_is_failed_and_says_where() {
    let url = "http://127.0.0.1:9/mcp";
    let entry = |own: Value| with(json!({"url": url}), own);
    let cases = [
        (entry(json!({"limits": {"memory": "1GiB"}})), "mcpvisor.limits"),
        (entry(json!({"sandbox": true})), "mcpvisor.sandbox"),
        (entry(json!({"stdin_grace": "1s"})), "mcpvisor.stdin_grace"),
        (entry(json!({"term_grace": "1s"})), "mcpvisor.term_grace"),
        (entry(json!({"replicas": 2})), "mcpvisor.replicas"),
        (entry(json!({"max_answer": "much"})), "mcpvisor.max_answer"),
        (entry(json!({"transport": "carrier pigeon"})), "mcpvisor.transport"),
        (entry(json!({"nonsense": 1})), "mcpvisor.nonsense"),
        (json!({"url": url, "command": "true"}), "command"),
        (json!({"url": url, "headers": {"Host": "x"}}), "headers.Host"),
        (json!({"url": url, "headers": {"Mcp-Param-X": "x"}}), "headers.Mcp-Param-X"),
        (json!({"url": url, "headers": {"X-A": "a\nb"}}), "headers.X-A"),
        (json!({"type": "ws", "url": "ws://127.0.0.1:9/"}), "not supported"),
        (json!({"url": "ftp://127.0.0.1/"}), "url"),
        (json!({"url": "http://127.0.0.1:9/mcp#part"}), "fragment"),
        (json!({"command": "true", "mcpvisor": {"max_answer": 4096}}), "mcpvisor.max_answer"),
    ];
    let mut builder = TestGateway::new();
    for (number, (definition, _)) in cases.iter().enumerate() {
        builder = builder.server(&format!("case{number}"), definition.clone());
    }
    let gateway = builder.start().await;
    for (number, (definition, place)) in cases.iter().enumerate() {
        let seen = gateway.wait_state(&format!("case{number}"), "failed").await;
        assert!(cause(&seen).contains(place), "R1 to R7: {definition}: {seen}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn every_spelling_of_an_address_leads_to_the_server() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let url = server.url();
    let spellings = [
        json!({"serverUrl": url}),
        json!({"httpUrl": url}),
        json!({"transport": {"type": "streamable-http", "url": url}}),
        json!({"type": "streamableHttp", "url": url, "command": ""}),
        json!({"type": "remote", "url": url, "http_headers": {"X-Key": "k"}}),
    ];
    for definition in spellings {
        let (gateway, seen) = tried(definition.clone(), "ready").await;
        assert_eq!(seen["transport"], "streamable-http", "{definition}");
        echo(&gateway, 1).await;
        gateway.stop().await;
    }
    assert_eq!(server.asked("tools/call").pop().expect("a call").header("x-key"), Some("k"));
}

#[tokio::test]
async fn a_remote_server_is_added_shown_and_changed_through_the_api() {
    let (first, second) = (ScriptedHttp::start(Way::Legacy).await, ScriptedHttp::start(Way::Modern).await);
    let gateway = TestGateway::new().start().await;
    // Written out in the definition, and so in the store, but nowhere else.
    let key = Kind::Literal.value();
    let url = format!("{}?tenant={}", first.url(), Kind::Literal.value());
    let new = json!({"name": FAR, "url": url, "headers": {"X-Key": key}});
    gateway.post("/api/servers", &new).await.expect(200);
    gateway.wait_state(FAR, "ready").await;
    echo(&gateway, 1).await;
    let route = format!("/api/servers/{FAR}");
    let shown = gateway.get(&route).await.expect(200);
    assert_eq!(shown["url"], format!("{}?tenant=[REDACTED]", first.url()), "R6: {shown}");
    assert_eq!(shown["headers"], json!({"X-Key": "[REDACTED]"}), "R9: {shown}");
    // Sent back as it was shown it is the same server, and its session goes on.
    gateway.put(&route, &shown).await.expect(200);
    echo(&gateway, 2).await;
    assert_eq!(first.count("initialize"), 1, "R9");
    assert_eq!(first.asked("tools/call")[1].header("x-key"), Some(&*key));
    let mut moved = shown.clone();
    moved["url"] = second.url().into();
    gateway.put(&route, &moved).await.expect(200);
    wait_until("calls go to the new address", DEADLINE, || async {
        echo(&gateway, 3).await;
        (!second.executed().is_empty()).then_some(())
    })
    .await;
    assert_eq!(second.asked("tools/call")[0].header("x-key"), Some(&*key), "the header was kept");
    // A new server has nothing that the placeholder could stand for.
    for (member, value) in [("headers", json!({"X": "[REDACTED]"})), ("url", json!("http://h/?k=[REDACTED]"))]
    {
        let mut new = json!({"name": "other", "url": "http://127.0.0.1:9/mcp"});
        new[member] = value;
        let told = gateway.post("/api/servers", &new).await.expect(400);
        assert!(told["error"].as_str().is_some_and(|error| error.starts_with(member)), "{told}");
    }
    let audit = gateway.get("/v1/audit?action=server").await.expect(200).to_string();
    assert!(audit.contains(&second.url()) && audit.contains("X-Key"), "R68: {audit}");
    gateway.stop().await;
}

/// Runs `mcpvisor add` for this daemon; returns the exit code, and what it wrote on stdout and stderr.
async fn add(gateway: &Gateway, arguments: &[&str]) -> (Option<i32>, String, String) {
    let ended = tokio::process::Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
        .arg("add")
        .args(arguments)
        .args(["--url", &format!("http://{}", gateway.address()), "--key", gateway.key()])
        .output()
        .await
        .expect("started");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (ended.status.code(), text(ended.stdout), text(ended.stderr))
}

#[tokio::test]
async fn mcpvisor_add_gives_a_daemon_a_remote_server_and_says_how_it_is() {
    let (good, closed) = (ScriptedHttp::start(Way::Modern).await, ScriptedHttp::start(Way::Modern).await);
    closed.always("server/discover", Answer::empty(401));
    let gateway = TestGateway::new().start().await;
    let ready = add(&gateway, &[&good.url(), "--name", FAR, "-H", "X-Key: ${HOME:-x}"]).await;
    assert_eq!(ready, (Some(0), "Added far.\nIt is ready, with 3 tools.\n".to_owned(), String::new()));
    echo(&gateway, 1).await;
    let (code, out, err) = add(&gateway, &[&closed.url(), "--name", "closed"]).await;
    assert_eq!((code, out.as_str()), (Some(4), "Added closed.\n"), "{err}");
    assert!(err.contains("it is stored, and not usable yet") && err.contains("wants credentials"), "{err}");
    for (arguments, code, part) in [
        ([&*closed.url(), "--name", FAR], 4, "already exists"),
        ([&*closed.url(), "--type", "http"], 2, "suggests no name"),
        (["ftp://host.example/x", "--name", "ftp"], 4, "must begin with http:// or https://"),
    ] {
        let told = add(&gateway, &arguments).await;
        assert_eq!(told.0, Some(code), "{told:?}");
        assert!(told.2.contains(part), "{told:?}");
    }
    gateway.stop().await;
}
