//! Where nothing is ever sent: metadata services, the daemon itself, and wherever a server points to.

use std::fs;

use serde_json::{Value, json};

use super::{FAR, cause, echo, opened, ready, tried, unseen, with_definition};
use crate::reloading::rewrite;
use crate::support::canaries::Kind;
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::scripted_http::{Answer, ScriptedHttp, Way};

/// Defines this one server through the API.
async fn import(gateway: &Gateway, definition: Value) {
    let servers = json!({"mcpServers": {FAR: gateway.marked(definition)}});
    fs::write(gateway.data().join("in.json"), servers.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "in.json"})).await.expect(200);
}

#[tokio::test]
async fn metadata_services_are_refused_however_they_are_spelt() {
    let spellings = [
        "http://169.254.169.254/latest/meta-data/",
        "http://2852039166/",
        "http://0xa9fea9fe/",
        "http://169.254.43518/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fd00:ec2::254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://100.100.100.200/",
        "http://0.0.0.0:9/",
        "http://[::]:9/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://169.254.1.1/",
        "http://[fe80::1]/",
    ];
    let mut builder = TestGateway::new();
    for (number, url) in spellings.iter().enumerate() {
        builder = builder.server(&format!("case{number}"), json!({"url": url}));
    }
    let gateway = builder.start().await;
    for (number, url) in spellings.iter().enumerate() {
        let seen = gateway.wait_state(&format!("case{number}"), "failed").await;
        assert!(cause(&seen).contains("may not be connected to"), "R66: {url}: {seen}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_daemon_is_no_server_of_its_own() {
    let gateway = TestGateway::new().start().await;
    let port = gateway.address().port();
    let entries: Vec<(String, Value)> = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
        .iter()
        .enumerate()
        .map(|(number, host)| {
            let url = format!("http://{host}:{port}/mcp");
            (format!("loop{number}"), gateway.marked(json!({"url": url})))
        })
        .collect();
    let names: Vec<String> = entries.iter().map(|(name, _)| name.clone()).collect();
    let entries: Value = entries.into_iter().collect::<serde_json::Map<_, _>>().into();
    rewrite(&gateway, &json!({"mcpServers": entries}).to_string());
    for name in names {
        crate::support::wait_until(&name, crate::support::DEADLINE, || async {
            (gateway.get(&format!("/v1/mcps/{name}")).await.status == 200).then_some(())
        })
        .await;
        let seen = gateway.wait_state(&name, "failed").await;
        assert!(cause(&seen).contains("mcpvisor itself"), "R67: {seen}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn servers_of_the_api_may_be_only_where_the_settings_let_them() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    for (setting, is_let) in [
        ("", true),
        ("api_addresses = \"any\"", true),
        ("api_addresses = \"public\"", false),
        ("api_addresses = [\"10.0.0.0/8\", \"*.example.org\"]", false),
        ("api_addresses = [\"127.0.0.0/8\"]", true),
    ] {
        let config = format!("[remotes]\n{setting}\n");
        // Of a file it may be there in any case.
        let gateway =
            TestGateway::new().config_toml(&config).server("file", server.definition()).start().await;
        gateway.wait_state("file", "ready").await;
        let before = server.connections();
        import(&gateway, server.definition()).await;
        if is_let {
            gateway.wait_state(FAR, "ready").await;
            echo(&gateway, 1).await;
        } else {
            let seen = gateway.wait_state(FAR, "failed").await;
            assert!(cause(&seen).contains("remotes.api_addresses"), "R67: {setting}: {seen}");
            assert_eq!(server.connections(), before, "R67: {setting}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_is_not_followed_and_no_header_arrives_there() {
    for status in [301, 302, 303, 307, 308] {
        let (server, elsewhere) =
            (ScriptedHttp::start(Way::Legacy).await, ScriptedHttp::start(Way::Legacy).await);
        let target = format!("{}?token={}", elsewhere.url(), Kind::Argument.value());
        server.always("*", Answer::empty(status).header("Location", &target));
        let mut definition = server.definition();
        definition["headers"] = json!({"X-Key": "${env:CANARY_OF_THE_TEST}"});
        let (gateway, seen) = tried(definition, "failed").await;
        assert!(cause(&seen).contains(&elsewhere.url()), "R33: {seen}");
        assert!(cause(&seen).contains("token=[REDACTED]"), "R6: {seen}");
        unseen(&gateway).await;
        assert_eq!(elsewhere.connections(), 0, "R33: {status}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn only_a_redirect_that_keeps_the_method_is_followed_in_the_same_place() {
    for status in [301, 302, 303] {
        let server = ScriptedHttp::start(Way::Legacy).await;
        server.always("*", Answer::empty(status).header("Location", "/moved"));
        let (gateway, seen) = tried(server.definition(), "failed").await;
        assert!(cause(&seen).contains("/moved"), "R33: {seen}");
        assert!(server.all().iter().all(|asked| asked.path == "/mcp"), "{status}");
        gateway.stop().await;
    }
    for status in [307, 308] {
        let server = ScriptedHttp::start(Way::Legacy).await;
        let mut definition = server.definition();
        definition["headers"] = json!({"X-Key": "k"});
        let gateway = with_definition(definition).await;
        let before = server.all().len();
        server.once("tools/call", Answer::empty(status).header("Location", "/moved"));
        echo(&gateway, status).await;
        let asked = server.asked("tools/call");
        assert_eq!([&*asked[0].path, &*asked[1].path], ["/mcp", "/moved"], "R33");
        assert_eq!(asked[0].message, asked[1].message);
        for name in ["x-key", "mcp-session-id", "mcp-protocol-version", "content-type", "accept"] {
            assert!(asked[1].header(name).is_some(), "{name}");
            assert_eq!(asked[0].header(name), asked[1].header(name), "{name}");
        }
        assert_eq!(asked.len(), 2);
        assert!(server.all().len() >= before + 2);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.always("*", Answer::empty(307).header("Location", "/mcp"));
    let (gateway, seen) = tried(server.definition(), "failed").await;
    assert!(cause(&seen).contains("circle"), "R33: {seen}");
    assert!(server.all().len() <= 4, "{:?}", server.methods());
    gateway.stop().await;
}

#[tokio::test]
async fn a_redirect_of_a_call_takes_the_call_nowhere() {
    let (server, gateway) = ready(Way::Legacy).await;
    let elsewhere = ScriptedHttp::start(Way::Legacy).await;
    server.once("tools/call", Answer::empty(307).header("Location", &elsewhere.url()));
    let error = unseen(&gateway).await;
    assert!(error["message"].to_string().contains("redirects"), "R33: {error}");
    assert_eq!([server.count("tools/call"), elsewhere.all().len()], [1, 0]);
    assert_eq!(elsewhere.connections(), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_is_looked_up_and_every_address_of_it_tried() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    // It may be ::1 as well, where nobody listens.
    let url = server.url().replace("127.0.0.1", "localhost");
    let gateway = with_definition(json!({"url": url})).await;
    echo(&gateway, 1).await;
    gateway.stop().await;
    let (gateway, seen) = tried(json!({"url": "http://no-such-host.invalid/mcp"}), "backoff").await;
    assert!(cause(&seen).contains("name without an address"), "R12: {seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn checking_a_configuration_connects_nowhere() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let (status, output) =
        TestGateway::new().server(FAR, server.definition()).arguments(&["--check"]).start_refused().await;
    assert!(status.success(), "{output}");
    assert!(output.contains("streamable-http"), "{output}");
    assert_eq!(server.connections(), 0, "R68");
    let gateway = opened(&server).await;
    gateway.stop().await;
}
