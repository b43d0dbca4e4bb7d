//! What a client of each era gets in front of servers of each era.

use serde_json::{Value, json};

use super::{SERVERS, servers, world};
use crate::support::ask::ask;
use crate::support::gateway::{TestGateway, fake};
use crate::support::mcp::{LEGACY, MODERN, OURS, Session, hello, modern};

/// The versions of the legacy era.
const VERSIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY];

#[tokio::test]
async fn a_modern_client_discovers_lists_and_calls_in_front_of_either_era() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let mut answer = client.ask("server/discover", json!({})).id("probe-1").send().await;
        assert_eq!(answer.headers["content-type"], "application/json");
        assert!(!answer.headers.contains_key("mcp-session-id"));
        let told: Value = serde_json::from_str(&answer.whole().await).expect("JSON");
        assert_eq!((answer.status, &told["id"]), (200, &json!("probe-1")));
        let found = &told["result"];
        assert_eq!(found["supportedVersions"], json!([MODERN]), "{server}");
        assert_eq!((&found["resultType"], &found["ttlMs"]), (&json!("complete"), &json!(0)), "{server}");
        assert_eq!(found["capabilities"]["resources"], json!({"listChanged": true, "subscribe": true}));
        assert_eq!(
            found["_meta"][format!("{OURS}serverInfo")]["version"].as_str().map(str::is_empty),
            Some(false)
        );
        assert_eq!(found["instructions"], "A scripted server for tests.");

        let listed = client.ask("tools/list", json!({})).result().await;
        assert_eq!((&listed["resultType"], &listed["cacheScope"]), (&json!("complete"), &json!("private")));
        let names = listed["tools"].as_array().expect("a list").iter().map(|tool| tool["name"].clone());
        assert!(names.collect::<Vec<_>>().contains(&json!("interview")), "{server}");
        for (method, list) in [
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
            ("prompts/list", "prompts"),
        ] {
            let listed = client.ask(method, json!({})).result().await;
            assert!(!listed[list].as_array().expect("a list").is_empty(), "{server} {method}");
            assert_eq!(listed["resultType"], "complete", "{server} {method}");
        }

        let called = client.call("echo", json!({"nonce": 7})).id("c").expect(200).await;
        assert_eq!((&called["id"], &called["result"]["resultType"]), (&json!("c"), &json!("complete")));
        assert_eq!(called["result"]["structuredContent"], json!({"nonce": 7}), "{server}");
        assert!(called["result"].get("ttlMs").is_none(), "a call is nothing to keep: {called}");
        let read = client.ask("resources/read", json!({"uri": "fake://one"})).result().await;
        assert_eq!(read["contents"][0]["text"], "the first resource");
        assert!(read["ttlMs"].is_u64() && read["cacheScope"].is_string(), "{server}: {read}");
        let greeted = client.ask("prompts/get", json!({"name": "greet", "arguments": {"name": "Ida"}}));
        assert_eq!(greeted.result().await["messages"][0]["content"]["text"], "Please greet Ida.");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_has_the_version_asked_for_if_it_is_one_with_sessions() {
    let gateway = world("").await;
    for server in SERVERS {
        for (asked, agreed) in VERSIONS.iter().map(|known| (*known, *known)).chain([
            (MODERN, LEGACY),
            ("1999-01-01", LEGACY),
            ("2999-01-01", LEGACY),
            ("", LEGACY),
        ]) {
            let mut answer = hello(&gateway, server, asked, json!({})).send().await;
            let told: Value = serde_json::from_str(&answer.whole().await).expect("JSON");
            assert_eq!(told["result"]["protocolVersion"], agreed, "{server} {asked}: {told}");
            assert_eq!(told["result"]["capabilities"]["logging"], json!({}), "{server}");
            assert!(told["result"]["serverInfo"]["name"].is_string(), "{server}: {told}");
            assert!(told["result"].get("resultType").is_none(), "{server}: {told}");
            let id = answer.headers["mcp-session-id"].to_str().expect("visible ASCII");
            assert!(id.len() >= 32, "{id}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_legacy_client_lists_and_calls_in_front_of_either_era() {
    let gateway = world("").await;
    for server in SERVERS {
        for version in VERSIONS {
            let session = Session::open_as(&gateway, server, gateway.key(), version, json!({})).await;
            assert_eq!(session.ask("ping", json!({})).result().await, json!({}));
            let listed = session.ask("tools/list", json!({})).result().await;
            assert!(!listed["tools"].as_array().expect("a list").is_empty());
            let called = session.call("echo", json!({"nonce": 7})).id("c").expect(200).await;
            assert_eq!(
                (&called["id"], &called["result"]["structuredContent"]),
                (&json!("c"), &json!({"nonce": 7}))
            );
            let read = session.ask("resources/read", json!({"uri": "fake://one"})).result().await;
            for result in [&listed, &called["result"], &read] {
                for modern_only in ["resultType", "ttlMs", "cacheScope"] {
                    assert!(result.get(modern_only).is_none(), "{server} {version}: {result}");
                }
            }
            session.ended().await;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn both_eras_are_served_at_once_by_the_same_child() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        let (by_modern, by_legacy) =
            tokio::join!(client.told("pid", json!({})), session.told("pid", json!({})));
        assert_eq!(by_modern, by_legacy, "{server}");
        // A session id on a modern request is nobody's business.
        let same = client.call("echo", json!({"nonce": 1})).header("mcp-session-id", "no such session");
        assert_eq!(same.result().await["structuredContent"]["nonce"], 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_client_says_in_meta_reaches_a_child_as_its_era_wants_it() {
    let gateway = world("").await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let said = async |server: &str, era: &str| match era {
        "modern" => {
            let client = modern(&gateway, server).can(json!({"elicitation": {}}));
            let call = client.call("meta", json!({})).meta("progressToken", 1);
            let call = call.meta("vendor.example/x", json!({"y": 1.50})).meta("traceparent", trace);
            call.result().await["structuredContent"].clone()
        }
        _ => {
            let session = Session::open(&gateway, server, json!({"elicitation": {}})).await;
            let call = session.call("meta", json!({})).meta("progressToken", 1);
            let call = call.meta("vendor.example/x", json!({"y": 1.50})).meta("traceparent", trace);
            call.result().await["structuredContent"].clone()
        }
    };
    for server in SERVERS {
        for era in ["legacy", "modern"] {
            let meta = said(server, era).await;
            let ours = |name: &str| meta.get(format!("{OURS}{name}")).cloned();
            assert_eq!(meta["vendor.example/x"], json!({"y": 1.5}), "{era} to {server}: {meta}");
            assert_eq!(meta["traceparent"], trace, "{era} to {server}: {meta}");
            assert!(
                meta["progressToken"].is_i64() && meta["progressToken"] != 1,
                "a token of the gateway: {meta}"
            );
            match server {
                "modern" => {
                    assert_eq!(ours("protocolVersion"), Some(json!(MODERN)), "{meta}");
                    assert_eq!(ours("clientCapabilities"), Some(json!({"elicitation": {}})), "{meta}");
                    assert_eq!(ours("clientInfo").expect("there")["name"], format!("{era} test"), "{meta}");
                }
                _ => assert_eq!((ours("protocolVersion"), ours("clientInfo")), (None, None), "{meta}"),
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_child_does_not_announce_is_no_method_for_either_era() {
    let gateway = TestGateway::new().server("fake", fake(&["--no-resources"])).start().await;
    gateway.wait_state("fake", "ready").await;
    let (client, session) = (modern(&gateway, "fake"), Session::open(&gateway, "fake", json!({})).await);
    for (method, params) in [
        ("resources/list", json!({})),
        ("resources/templates/list", json!({})),
        ("resources/read", json!({"uri": "fake://one"})),
        ("completion/complete", json!({"ref": {"type": "ref/prompt", "name": "greet"}})),
        ("tasks/list", json!({})),
        ("nonsense", json!({})),
    ] {
        client.ask(method, params.clone()).refused(404, -32601).await;
        session.ask(method, params).refused(200, -32601).await;
    }
    for method in ["logging/setLevel", "resources/subscribe", "resources/unsubscribe"] {
        let params = json!({"level": "info", "uri": "fake://one"});
        session.ask(method, params.clone()).refused(200, -32601).await;
        // There are none of these in the modern era, whatever the server can do.
        client.ask(method, params).refused(404, -32601).await;
    }
    client.ask("ping", json!({})).refused(404, -32601).await;
    session.ask("server/discover", json!({})).refused(200, -32601).await;
    gateway.stop().await;
}

#[tokio::test]
async fn errors_of_a_child_reach_each_era_with_codes_that_it_knows() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        let missing = json!({"uri": "fake://missing"});
        let told = client.ask("resources/read", missing.clone()).refused(200, -32602).await;
        assert_eq!(told["error"]["data"], json!({"uri": "fake://missing"}), "{server}");
        // The earlier era has a code of its own for this, and a modern child has not.
        let code = if server == "legacy" { -32002 } else { -32602 };
        session.ask("resources/read", missing).refused(200, code).await;
        for (code, for_modern, for_legacy) in
            [(-32000, -32000, -32000), (7, 7, 7), (-32020, -32603, -32603), (-32002, -32602, -32002)]
        {
            let arguments = json!({"code": code, "message": "told", "data": {"a": 1}});
            let told = client.call("error", arguments.clone()).refused(200, for_modern).await;
            assert_eq!(told["error"]["message"], "told", "{server}");
            session.call("error", arguments).refused(200, for_legacy).await;
        }
        let failed = client.call("fail", json!({"message": "no"})).result().await;
        assert_eq!((&failed["isError"], &failed["content"][0]["text"]), (&json!(true), &json!("no")));
        client.call("no such tool", json!({})).refused(200, -32602).await;
        session.call("no such tool", json!({})).refused(200, -32602).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn structure_that_is_no_object_goes_to_a_legacy_client_as_text() {
    let gateway = world("").await;
    let result = json!({"content": [], "structuredContent": [1, 2]});
    let (client, session) = (modern(&gateway, "legacy"), Session::open(&gateway, "legacy", json!({})).await);
    let told = client.call("reply", json!({"result": result})).result().await;
    assert_eq!(told["structuredContent"], json!([1, 2]));
    let told = session.call("reply", json!({"result": result})).result().await;
    assert!(told.get("structuredContent").is_none(), "{told}");
    assert_eq!(told["content"], json!([{"type": "text", "text": "[1,2]"}]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_of_both_eras_is_served_to_both() {
    for era in ["both", "pinned", "settles"] {
        let gateway = TestGateway::new().server("fake", fake(&["--converse", "--era", era])).start().await;
        gateway.wait_state("fake", "ready").await;
        let session = Session::open(&gateway, "fake", json!({})).await;
        let client = modern(&gateway, "fake");
        for nonce in 0..3 {
            assert_eq!(client.told("echo", json!({"nonce": nonce})).await["nonce"], nonce, "{era}");
            assert_eq!(session.told("echo", json!({"nonce": nonce})).await["nonce"], nonce, "{era}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_server_that_is_slow_to_start_is_waited_for_by_either_opening() {
    let gateway = servers(&["--slow-init", "1500"]).start().await;
    for server in SERVERS {
        let client = modern(&gateway, server);
        let (found, opened) = tokio::join!(
            client.ask("server/discover", json!({})).result(),
            hello(&gateway, server, LEGACY, json!({})).result()
        );
        assert_eq!(found["capabilities"]["logging"], json!({}), "{server}: {found}");
        assert_eq!(opened["capabilities"]["logging"], json!({}), "{server}: {opened}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_never_starts_is_503_with_a_time_and_opens_no_session() {
    let gateway =
        TestGateway::new().server("gone", json!({"command": "/no/such/program-of-the-test"})).start().await;
    let mut discovery = modern(&gateway, "gone").ask("server/discover", json!({})).send().await;
    let mut opening = hello(&gateway, "gone", LEGACY, json!({})).send().await;
    for answer in [&mut discovery, &mut opening] {
        answer.of_status(503).await;
        assert!(answer.headers.contains_key("retry-after") && !answer.headers.contains_key("mcp-session-id"));
    }
    // The other dialects are served all the same.
    ask(&gateway, "GET", "/v1/mcps").send().await.expect(200);
    gateway.stop().await;
}
