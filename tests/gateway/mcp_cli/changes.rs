//! Servers are made, changed and removed, and their children follow.

use serde_json::{Value, json};

use super::{SERVERS, add, child_of, get, idle, send};
use crate::support::ask::ask;
use crate::support::gateway::{TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn the_same_server_twice_is_one_and_another_of_its_name_is_a_conflict() {
    let gateway = TestGateway::new().server("other", idle()).start().await;
    let definition = gateway.marked(fake(&["--tools", "1"]));
    add(&gateway, "fake", definition.clone()).await.expect(200);
    gateway.wait_state("fake", "ready").await;
    let child = child_of(&gateway, "fake").await;
    let before = gateway.server("fake").await;
    let mut same = definition.clone();
    same["unknown"] = 1.into();
    for again in [definition.clone(), same] {
        let answer = add(&gateway, "fake", again).await.expect(200);
        assert_eq!(answer["message"], "Server 'fake' added successfully");
    }
    let mut other_env = definition.clone();
    other_env["env"]["MORE"] = "1".into();
    let mut without_args = definition.clone();
    without_args.as_object_mut().expect("an object").remove("args");
    let other_command = json!({"command": "npx", "args": definition["args"], "env": definition["env"]});
    for different in [other_env, without_args, other_command] {
        let refused = add(&gateway, "fake", different).await.expect(409);
        let expected =
            json!({"error": "Server 'fake' already exists", "available_servers": ["other", "fake"]});
        assert_eq!(refused, expected);
    }
    let shown = get(&gateway, "/api/servers/fake").await.expect(200);
    assert_eq!((&shown["command"], &shown["args"]), (&definition["command"], &definition["args"]));
    assert_eq!(shown["env"], definition["env"]);
    assert_eq!(child_of(&gateway, "fake").await, child, "one start, one child");
    let after = gateway.server("fake").await;
    assert_eq!((&after["restarts"], &after["id"]), (&json!(0), &before["id"]));
    // An absent `args` and an empty one are the same.
    add(&gateway, "plain", json!({"command": "/no/such/program", "args": null})).await.expect(200);
    add(&gateway, "plain", json!({"command": "/no/such/program", "args": [], "env": {}})).await.expect(200);
    assert_eq!(get(&gateway, "/api/servers/plain").await.expect(200)["args"], json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_replaces_each_given_field_as_a_whole_and_leaves_the_others() {
    let gateway = TestGateway::new()
        .server("s", json!({"command": "/no/a", "args": ["1", "2"], "env": {"A": "1"}, "disabled": true, "note": {"b": 1, "a": 2}}))
        .start()
        .await;
    let put = async |body: Value| {
        send(&gateway, "PUT", "/api/servers/s", &body).await.expect(200);
        let shown = get(&gateway, "/api/servers/s").await.expect(200);
        (shown["command"].clone(), shown["args"].clone(), shown["env"].clone())
    };
    let (command, args, env) = put(json!({"env": {"B": "2"}})).await;
    assert_eq!((command, args, env), (json!("/no/a"), json!(["1", "2"]), json!({"B": "2"})));
    let (command, args, env) = put(json!({"args": ["3"], "command": null})).await;
    assert_eq!((command, args, env), (json!("/no/a"), json!(["3"]), json!({"B": "2"})));
    let (command, args, env) = put(json!({"command": "/no/b", "name": "renamed", "disabled": false})).await;
    assert_eq!((command, args, env), (json!("/no/b"), json!(["3"]), json!({"B": "2"})));
    let (command, args, env) = put(json!({"args": [], "env": {}})).await;
    assert_eq!((command, args, env), (json!("/no/b"), json!([]), json!({})));
    let listed = get(&gateway, SERVERS).await.expect(200);
    assert_eq!(listed["servers"].as_array().map(Vec::len), Some(1), "there is no rename: {listed}");
    // What this dialect does not know was left alone.
    send(&gateway, "POST", "/api/config/export", &json!({"filepath": "out.json"})).await.expect(200);
    let text = std::fs::read_to_string(gateway.data().join("out.json")).expect("exported");
    let stored = serde_json::from_str::<Value>(&text).expect("JSON")["mcpServers"]["s"].clone();
    assert_eq!(
        (&stored["disabled"], stored["note"].to_string().as_str()),
        (&json!(true), r#"{"b":1,"a":2}"#)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_restarts_the_child_and_one_that_changes_nothing_does_not() {
    let gateway = TestGateway::new().server("fake", fake(&["--tools", "1"])).start().await;
    let seen = gateway.wait_state("fake", "ready").await;
    let child = child_of(&gateway, "fake").await;
    let shown = get(&gateway, "/api/servers/fake").await.expect(200);
    let all = json!({"command": shown["command"], "args": shown["args"], "env": shown["env"]});
    // The GUI sends all three fields, changed or not.
    for same in [all.clone(), json!({"args": ["--tools", "1"]}), json!({"env": shown["env"]})] {
        send(&gateway, "PUT", "/api/servers/fake", &same).await.expect(200);
    }
    assert_eq!(child_of(&gateway, "fake").await, child);
    let mut env = shown["env"].clone();
    env["GREETING"] = "hello".into();
    send(&gateway, "PUT", "/api/servers/fake", &json!({"env": env})).await.expect(200);
    wait_until("the old child is gone", DEADLINE, || async { (!child.is_there()).then_some(()) }).await;
    assert_eq!(gateway.call("fake", "env", json!({})).await["GREETING"], "hello");
    assert_eq!(gateway.server("fake").await["id"], seen["id"], "a changed server is the same server");
    gateway.stop().await;
}

#[tokio::test]
async fn a_removed_server_is_gone_in_both_dialects_and_comes_back_as_another_one() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let seen = gateway.wait_state("fake", "ready").await;
    let id = seen["id"].as_str().expect("an id");
    let child = child_of(&gateway, "fake").await;
    let definition = get(&gateway, "/api/servers/fake").await.expect(200);
    ask(&gateway, "DELETE", "/api/servers/fake").send().await.expect(200);
    for server in ["fake", id] {
        gateway.get(&format!("/v1/mcps/{server}")).await.expect(404);
        gateway.v1_invoke(server, "echo", json!({})).await.expect(404);
    }
    wait_until("the child is gone", DEADLINE, || async { (!child.is_there()).then_some(()) }).await;
    send(&gateway, "POST", SERVERS, &definition).await.expect(200);
    let again = gateway.wait_state("fake", "ready").await;
    assert_ne!(again["id"], seen["id"], "permissions for the old server are not for the new one");
    gateway.get(&format!("/v1/mcps/{id}")).await.expect(404);
    gateway.stop().await;
}

#[tokio::test]
async fn secrets_are_hidden_where_that_is_configured_and_stay_what_they_were() {
    let gateway = TestGateway::new()
        .server("fake", {
            let mut definition = fake(&[]);
            definition["env"] = json!({"TOKEN": "secret"});
            definition
        })
        .config_toml("[api]\nredact_env = true\n")
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    for path in [SERVERS, "/api/servers/fake"] {
        let shown = get(&gateway, path).await;
        assert!(shown.expect(200).to_string().contains("[REDACTED]") && !shown.text().contains("secret"));
    }
    // The GUI sends back what it was shown, together with what was typed.
    let mut env = get(&gateway, "/api/servers/fake").await.expect(200)["env"].clone();
    env["MORE"] = "typed".into();
    let child = child_of(&gateway, "fake").await;
    send(&gateway, "PUT", "/api/servers/fake", &json!({"env": env})).await.expect(200);
    wait_until("the old child is gone", DEADLINE, || async { (!child.is_there()).then_some(()) }).await;
    let seen = gateway.call("fake", "env", json!({})).await;
    assert_eq!((&seen["TOKEN"], &seen["MORE"]), (&json!("secret"), &json!("typed")));
    let nothing = json!({"env": {"OTHER": "[REDACTED]"}});
    let refused = send(&gateway, "PUT", "/api/servers/fake", &nothing).await.expect(400);
    assert!(refused["error"].as_str().is_some_and(|text| text.contains("env.OTHER")), "{refused}");
    gateway.stop().await;
}
