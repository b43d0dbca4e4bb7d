//! What the dialect shows and says, in the words of its reference.

use serde_json::{Value, json};

use super::{SERVERS, add, get, idle, send};
use crate::support::ask::ask;
use crate::support::gateway::{TestGateway, fake, with};

#[tokio::test]
async fn the_answers_of_the_reference_hold_to_the_letter() {
    let gateway = TestGateway::new().start().await;
    let done = |text: &str| json!({"status": "success", "message": text});
    let unknown = |name: &str, available: &[&str]| json!({"error": format!("Server '{name}' not found"), "available_servers": available});
    let playwright = json!({"name": "playwright", "command": "/no/npx", "args": ["@playwright/mcp@latest"], "env": {"DISPLAY": ":1"}});
    let airbnb = json!({"name": "airbnb", "command": "/no/npx"});
    let steps = [
        (
            "GET",
            "/api/status",
            Value::Null,
            200,
            json!({"status": "ok", "service": "mcp-cli-api", "version": "0.1.0"}),
        ),
        ("GET", SERVERS, Value::Null, 200, json!({"servers": []})),
        ("GET", "/api/servers/playwright", Value::Null, 404, unknown("playwright", &[])),
        ("POST", SERVERS, playwright.clone(), 200, done("Server 'playwright' added successfully")),
        ("GET", "/api/servers/playwright", Value::Null, 200, playwright.clone()),
        ("POST", SERVERS, airbnb, 200, done("Server 'airbnb' added successfully")),
        (
            "GET",
            "/api/servers/airbnb",
            Value::Null,
            200,
            json!({"name": "airbnb", "command": "/no/npx", "args": [], "env": {}}),
        ),
        ("GET", "/api/servers/Airbnb", Value::Null, 404, unknown("Airbnb", &["playwright", "airbnb"])),
        ("GET", "/api/servers/x/tools", Value::Null, 404, unknown("x", &["playwright", "airbnb"])),
        ("PUT", "/api/servers/x", json!({"command": "y"}), 404, unknown("x", &["playwright", "airbnb"])),
        ("DELETE", "/api/servers/x", Value::Null, 404, unknown("x", &["playwright", "airbnb"])),
        (
            "PUT",
            "/api/servers/playwright",
            json!({"args": ["-y"]}),
            200,
            done("Server 'playwright' updated successfully"),
        ),
        (
            "DELETE",
            "/api/servers/playwright",
            Value::Null,
            200,
            done("Server 'playwright' removed successfully"),
        ),
        ("DELETE", "/api/servers/playwright", Value::Null, 404, unknown("playwright", &["airbnb"])),
    ];
    for (method, path, body, status, expected) in steps {
        let reply = match body {
            // The reference's own clients say that nothing is JSON.
            Value::Null => {
                ask(&gateway, method, path).header("content-type", "application/json").send().await
            }
            body => send(&gateway, method, path, &body).await,
        };
        assert_eq!(reply.expect(status), expected, "{method} {path}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_missing_is_said_in_the_words_and_the_order_of_the_reference() {
    let gateway = TestGateway::new().server("s", idle()).start().await;
    let nothing = "No data provided";
    let put = "/api/servers/s";
    for (method, path) in [
        ("POST", SERVERS),
        ("PUT", put),
        ("PUT", "/api/servers/nobody"),
        ("POST", "/api/config/export"),
        ("POST", "/api/config/import"),
    ] {
        for body in [json!({}), json!([]), json!(null)] {
            assert_eq!(
                send(&gateway, method, path, &body).await.expect(400),
                json!({"error": nothing}),
                "{method} {path} {body}"
            );
        }
    }
    let name = "Server name is required";
    let command = "Command is required";
    let one_of = "At least one of command, args, or env must be provided";
    let path = "File path is required";
    let cases = [
        ("POST", SERVERS, json!({"args": []}), name),
        ("POST", SERVERS, json!({"name": null, "command": null}), name),
        ("POST", SERVERS, json!({"name": "", "command": ""}), name),
        ("POST", SERVERS, json!({"command": "npx"}), name),
        ("POST", SERVERS, json!({"name": "n"}), command),
        ("POST", SERVERS, json!({"name": "n", "command": ""}), command),
        ("POST", SERVERS, json!({"name": "n", "command": null, "args": "x"}), command),
        ("PUT", put, json!({"foo": 1}), one_of),
        ("PUT", put, json!({"name": "other"}), one_of),
        ("PUT", put, json!({"command": null, "args": null, "env": null}), one_of),
        ("PUT", put, json!({"command": ""}), command),
        ("POST", "/api/config/export", json!({"path": "x"}), path),
        ("POST", "/api/config/export", json!({"filepath": ""}), path),
        ("POST", "/api/config/import", json!({"filepath": null}), path),
        ("POST", "/api/config/import", json!({"filepath": ""}), path),
    ];
    for (method, path, body, error) in cases {
        assert_eq!(
            send(&gateway, method, path, &body).await.expect(400),
            json!({"error": error}),
            "{method} {path} {body}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_unacceptable_definition_is_refused_by_field_and_changes_nothing() {
    let gateway = TestGateway::new().server("s", idle()).start().await;
    let before = get(&gateway, SERVERS).await.expect(200);
    let fields = [
        (json!({"command": 5}), "command must be a string"),
        (json!({"command": ["npx"]}), "command must be a string"),
        (json!({"command": "a\u{0}b"}), "command must not contain NUL"),
        (json!({"args": "-y"}), "args must be an array of strings"),
        (json!({"args": {"0": "-y"}}), "args must be an array of strings"),
        (json!({"args": ["-y", 1]}), "args[1] must be a string (found a number)"),
        (json!({"args": ["a\u{0}"]}), "args must not contain NUL"),
        (json!({"env": []}), "env must be an object of strings"),
        (json!({"env": {"A": 1}}), "env.A must be a string (found a number)"),
        (json!({"env": {"": "x"}}), "env names must not be empty and must not contain '=' or NUL"),
        (json!({"env": {"A=B": "x"}}), "env names must not be empty and must not contain '=' or NUL"),
        (json!({"env": {"A": "\u{0}"}}), "env.A must not contain NUL"),
    ];
    for (members, error) in fields {
        let put = send(&gateway, "PUT", "/api/servers/s", &members).await.expect(400);
        assert_eq!(put["error"], error, "{members}");
        let mut body = json!({"name": "new", "command": "npx"});
        body.as_object_mut().expect("an object").extend(members.as_object().expect("an object").clone());
        let post = send(&gateway, "POST", SERVERS, &body).await.expect(400);
        assert_eq!(post["error"], error, "{body}");
    }
    let both = json!({"name": "new", "command": "npx", "args": 1, "env": 2});
    let refused = send(&gateway, "POST", SERVERS, &both).await.expect(400);
    assert_eq!(refused["problems"].as_array().map(Vec::len), Some(2), "{refused}");
    let long = "x".repeat(129);
    for name in [" a", "a ", "a\tb", "a\nb", "\u{7f}", ".", "..", long.as_str()] {
        let refused = add(&gateway, name, idle()).await.expect(400);
        assert!(refused["error"].as_str().is_some_and(|text| text.starts_with("name must")), "{refused}");
    }
    for name in [json!(5), json!(true), json!(["a"]), json!({"a": 1})] {
        let refused =
            send(&gateway, "POST", SERVERS, &json!({"name": name, "command": "npx"})).await.expect(400);
        assert_eq!(refused["error"], "name must be a string", "{name}");
    }
    assert_eq!(get(&gateway, SERVERS).await.expect(200), before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_name_may_hold_whatever_can_be_printed() {
    let gateway = TestGateway::new().start().await;
    let names = [
        ("two words", "two%20words"),
        ("ü", "%C3%BC"),
        ("a/b", "a%2Fb"),
        ("../up", "..%2Fup"),
        ("100%", "100%25"),
        ("%2F", "%252F"),
        ("q?x=1#y", "q%3Fx=1%23y"),
        ("a+b", "a+b"),
        ("tools", "tools"),
        ("🦀 'quoted' \"twice\"", "%F0%9F%A6%80%20%27quoted%27%20%22twice%22"),
    ];
    for (name, path) in names {
        let path = format!("{SERVERS}/{path}");
        let added = add(&gateway, name, idle()).await.expect(200);
        assert_eq!(added["message"], format!("Server '{name}' added successfully"));
        assert_eq!(get(&gateway, &path).await.expect(200)["name"], name);
        let changed = send(&gateway, "PUT", &path, &json!({"args": ["x"]})).await.expect(200);
        assert_eq!(changed["message"], format!("Server '{name}' updated successfully"));
        assert_eq!(get(&gateway, &format!("{path}/tools")).await.expect(500)["code"], "mcp_unreachable");
        assert_eq!(gateway.server(path.rsplit('/').next().expect("a name")).await["name"], name);
    }
    // As it is, the slash is none of the name.
    assert_eq!(get(&gateway, "/api/servers/a/b").await.expect(404), json!({"error": "Not found"}));
    let missed = get(&gateway, "/api/servers/%FF").await.expect(404);
    let listed: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    assert_eq!(missed["available_servers"], json!(listed));
    for (name, path) in names {
        let removed = ask(&gateway, "DELETE", &format!("{SERVERS}/{path}")).send().await.expect(200);
        assert_eq!(removed["message"], format!("Server '{name}' removed successfully"));
    }
    assert_eq!(get(&gateway, SERVERS).await.expect(200), json!({"servers": []}));
    gateway.stop().await;
}

#[tokio::test]
async fn tools_are_shown_with_their_whole_descriptions_and_schemas() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    // At once: the answer waits for the server.
    let answer = get(&gateway, "/api/servers/fake/tools?model=no-such-model").await.expect(200);
    assert_eq!(answer["status"], "success");
    let tools = answer["tools"].as_array().expect("a list");
    let tool = |name: &str| tools.iter().find(|tool| tool["name"] == name).expect("announced").clone();
    for tool in tools {
        let members: Vec<&String> = tool.as_object().expect("an object").keys().collect();
        assert_eq!(members, ["name", "description", "parameters"]);
        assert_eq!(tool["parameters"]["type"], "object", "{tool}");
    }
    assert_eq!(
        tool("echo")["parameters"],
        json!({"type": "object", "properties": {"nonce": {"description": "returned as it is"}, "text": {"type": "string"}}})
    );
    assert_eq!(tool("sleep")["parameters"]["properties"], json!({"ms": {"type": "integer", "minimum": 0}}));
    let whole = "Returns what the server has seen so far.\n\nCounts begin with the process.";
    assert_eq!(tool("stats")["description"], whole);
    assert_eq!(tool("reply")["description"], "");
    gateway.stop().await;
}

#[tokio::test]
async fn tools_of_a_server_that_does_not_run_are_an_error_and_no_empty_list() {
    let mute = with(fake(&["--hang-init"]), json!({"era": "legacy", "start_timeout": "300ms"}));
    let gateway = TestGateway::new()
        .server("slow", with(fake(&["--slow-init", "700"]), json!({"era": "legacy"})))
        .server("mute", mute)
        .server("missing", idle())
        .server("remote", json!({"url": "http://127.0.0.1:9/mcp"}))
        .server("off", json!({"command": "true", "disabled": true}))
        .start()
        .await;
    let (slow, mute) =
        tokio::join!(get(&gateway, "/api/servers/slow/tools"), get(&gateway, "/api/servers/mute/tools"));
    assert!(slow.expect(200)["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    let code = mute.expect(500)["code"].clone();
    assert!(code == "mcp_unreachable" || code == "mcp_timeout", "{code}");
    let missing = get(&gateway, "/api/servers/missing/tools").await.expect(500);
    assert_eq!(missing["code"], "mcp_unreachable");
    assert!(
        missing["error"].as_str().is_some_and(|text| text.contains("/no/such/program-of-the-test")),
        "{missing}"
    );
    let remote = get(&gateway, "/api/servers/remote/tools").await.expect(500);
    assert!(remote["error"].as_str().is_some_and(|text| text.contains("refused the connection")), "{remote}");
    let off = get(&gateway, "/api/servers/off/tools").await.expect(409);
    assert_eq!(off, json!({"error": "Server 'off' is disabled", "code": "mcp_inactive"}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_remote_server_is_listed_without_a_command() {
    let gateway = TestGateway::new().server("remote", json!({"url": "http://127.0.0.1:9/mcp"})).start().await;
    let shown = get(&gateway, "/api/servers/remote").await.expect(200);
    assert_eq!((&shown["command"], &shown["args"]), (&json!(""), &json!([])), "{shown}");
    assert_eq!(
        (&shown["url"], &shown["type"]),
        (&json!("http://127.0.0.1:9/mcp"), &json!("streamable-http")),
        "{shown}"
    );
    gateway.stop().await;
}
