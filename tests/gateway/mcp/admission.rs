//! Who may use `/mcp`, what of it, and how fast; and what ends when somebody may not any more.

use serde_json::{Value, json};

use super::{SERVERS, world};
use crate::revoking::{Made, make, revoke};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::mcp::{LEGACY, Post, Session, hello, modern};
use crate::support::{DEADLINE, wait_until};

/// A key whose member has this role.
async fn of_role(gateway: &Gateway, role: &str) -> Made {
    let id = format!("user_{role}");
    make(gateway, json!({"name": role, "member": {"id": id, "role": role}})).await
}

/// A request of each kind that there is, with this key.
fn one_of_each<'a>(gateway: &'a Gateway, session: &Session<'a>, key: Option<&str>) -> Vec<Post<'a>> {
    let client = modern(gateway, "legacy").key(key);
    let session = session.with_key(key);
    let bearer = key.map(|key| format!("Bearer {key}"));
    let opening = hello(gateway, "legacy", LEGACY, json!({})).without("authorization");
    let opening = match bearer {
        Some(bearer) => opening.header("authorization", &bearer),
        None => opening,
    };
    vec![
        client.ask("server/discover", json!({})),
        client.call("echo", json!({})),
        client.ask("subscriptions/listen", json!({"notifications": {}})),
        opening,
        session.ask("ping", json!({})),
        session.stream(),
        session.end(),
    ]
}

#[tokio::test]
async fn the_daemons_own_user_needs_no_key_and_everybody_else_does() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    let own = modern(&gateway, "legacy").key(None);
    assert_eq!(own.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    for post in one_of_each(&gateway, &session, None) {
        // Somebody passes it on, so that nobody can tell whose it is.
        let mut answer = post.header("x-forwarded-for", "192.0.2.1").send().await;
        let text = answer.whole().await;
        assert_eq!(answer.status, 401, "{text}");
        assert!(answer.headers["www-authenticate"].to_str().expect("ASCII").starts_with("Bearer"), "{text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((&told["error"]["code"], told.get("id")), (&json!(401), None));
    }
    assert_eq!(session.ask("ping", json!({})).result().await, json!({}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_or_unknown_is_401_and_a_viewers_403() {
    let gateway = world("").await;
    let session = Session::open(&gateway, "legacy", json!({})).await;
    let revoked = make(&gateway, json!({"name": "r"})).await;
    revoke(&gateway, &revoked.id, "").await.expect(200);
    let unknown = format!("pk_live_{}", "x".repeat(43));
    // Few of each: an address that goes on like this is let in no more.
    for (key, count) in [(revoked.text.as_str(), 4), (&unknown, 1), ("nonsense", 1)] {
        for post in one_of_each(&gateway, &session, Some(key)).into_iter().take(count) {
            let mut answer = post.send().await;
            let text = answer.whole().await;
            assert_eq!(answer.status, 401, "{text}");
            let challenge = answer.headers["www-authenticate"].to_str().expect("ASCII");
            assert!(challenge.contains("invalid_token"), "{challenge}");
        }
    }
    let viewer = of_role(&gateway, "viewer").await;
    for post in one_of_each(&gateway, &session, Some(&viewer.text)) {
        post.refused(403, 403).await;
    }
    let member = of_role(&gateway, "member").await;
    assert_eq!(
        modern(&gateway, "legacy").key(Some(&member.text)).told("echo", json!({"nonce": 1})).await["nonce"],
        1
    );
    assert_eq!(session.ask("ping", json!({})).result().await, json!({}), "nobody has ended it");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_limited_to_some_tools_sees_and_calls_only_those() {
    let gateway = world("").await;
    let permissions = json!({"mcps": SERVERS, "tools": ["echo", "s*"]});
    let key = make(&gateway, json!({"name": "k", "permissions": permissions})).await;
    for server in SERVERS {
        let client = modern(&gateway, server).key(Some(&key.text));
        let session = Session::open_as(&gateway, server, &key.text, LEGACY, json!({})).await;
        for post in [client.ask("tools/list", json!({})), session.ask("tools/list", json!({}))] {
            let tools = post.result().await["tools"].clone();
            let mut names: Vec<&str> =
                tools.as_array().expect("a list").iter().filter_map(|tool| tool["name"].as_str()).collect();
            names.sort_unstable();
            assert_eq!(names, ["echo", "sleep", "spawn_child", "stats"], "{server}");
        }
        assert_eq!(client.told("echo", json!({"nonce": 1})).await["nonce"], 1);
        assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1);
        // What it may not call looks like what is not there.
        let hidden = client.call("pid", json!({})).refused(200, -32602).await["error"]["message"].clone();
        let missing =
            client.call("no_such", json!({})).refused(200, -32602).await["error"]["message"].clone();
        let same = |text: &Value, name: &str| text.as_str().expect("a text").replace(name, "NAME");
        assert_eq!(same(&hidden, "pid"), same(&missing, "no_such"), "{server}");
        let hidden = session.call("pid", json!({})).refused(200, -32602).await["error"]["message"].clone();
        assert_eq!(same(&hidden, "pid"), same(&missing, "no_such"), "{server}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_a_key_may_not_use_looks_like_one_that_is_not_there() {
    let gateway = world("").await;
    let key = make(&gateway, json!({"name": "k", "permissions": {"mcps": ["modern"]}})).await;
    let told = async |server: &str| {
        let mut seen = Vec::new();
        let client = modern(&gateway, server).key(Some(&key.text));
        let bearer = format!("Bearer {}", key.text);
        for post in [
            client.ask("server/discover", json!({})),
            client.ask("tools/list", json!({})),
            client.call("echo", json!({})),
            client.ask("resources/read", json!({"uri": "fake://one"})),
            client.ask("subscriptions/listen", json!({"notifications": {}})),
            hello(&gateway, server, LEGACY, json!({})).header("authorization", &bearer),
        ] {
            let mut answer = post.send().await;
            seen.push((answer.status, answer.whole().await.replace(&format!("'{server}'"), "NAME")));
        }
        seen
    };
    let (hidden, missing) = (told("legacy").await, told("nobody").await);
    assert_eq!(hidden, missing);
    assert!(hidden.iter().all(|(status, _)| *status == 404), "{hidden:?}");
    assert_eq!(
        modern(&gateway, "modern").key(Some(&key.text)).told("echo", json!({"nonce": 1})).await["nonce"],
        1
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_is_no_permission() {
    let gateway = world("").await;
    let key = make(&gateway, json!({"name": "k", "permissions": {"mcps": ["legacy"]}})).await;
    let session = Session::open_as(&gateway, "legacy", &key.text, LEGACY, json!({})).await;
    let stream = session.stream().send().await;
    let narrower = json!({"permissions": {"mcps": ["modern"]}});
    gateway.send("PATCH", &format!("/v1/api-keys/{}", key.id), Some(&narrower)).await.expect(200);
    session.call("echo", json!({})).refused(404, 404).await;
    session.ask("tools/list", json!({})).refused(404, 404).await;
    let mut stream = stream;
    assert_eq!(stream.messages().await, Vec::<Value>::new(), "its stream has ended");
    gateway.stop().await;
}

#[tokio::test]
async fn too_many_requests_are_429_but_nobody_is_kept_from_discovering() {
    let config = "[plans.two]\nrequests_per_second = 2\n[organization]\nplan = \"two\"\n";
    let gateway = TestGateway::new().server("fake", fake(&[])).config_toml(config).start().await;
    wait_until("the server is ready", DEADLINE, || async {
        let found = modern(&gateway, "fake").ask("server/discover", json!({})).last().await;
        found["result"].is_object().then_some(())
    })
    .await;
    let client = modern(&gateway, "fake");
    let mut refused = 0;
    for _ in 0..30 {
        let mut answer = client.call("echo", json!({"nonce": 1})).send().await;
        let told: Value = serde_json::from_str(&answer.whole().await).expect("JSON");
        if answer.status == 429 {
            refused += 1;
            assert!(answer.headers.contains_key("retry-after"));
            assert_eq!((&told["error"]["code"], &told["id"]), (&json!(429), &json!(1)), "{told}");
        } else {
            assert_eq!(answer.status, 200, "{told}");
        }
    }
    assert!(refused > 0, "30 at once are more than 2 a second");
    for _ in 0..30 {
        client.ask("server/discover", json!({})).result().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn open_streams_end_when_their_key_is_revoked() {
    let gateway = world("").await;
    for server in SERVERS {
        let key = make(&gateway, json!({"name": "k", "member": {"id": format!("user_{server}")}})).await;
        let client = modern(&gateway, server).key(Some(&key.text));
        let (mut listen, _) = client.listen("l", json!({"toolsListChanged": true})).await;
        let session = Session::open_as(&gateway, server, &key.text, LEGACY, json!({})).await;
        let mut own = session.stream().send().await;
        let (mut others, _) = modern(&gateway, server).listen("o", json!({"toolsListChanged": true})).await;
        revoke(&gateway, &key.id, "").await.expect(200);
        assert_eq!(own.messages().await, Vec::<Value>::new(), "{server}");
        let end = listen.messages().await;
        assert!(end.iter().all(|one| one["id"] == "l"), "nothing but its end: {end:?}");
        modern(&gateway, server).told("change_tools", json!({})).await;
        others.until("notifications/tools/list_changed").await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn calls_over_mcp_are_counted_and_recorded_as_those_of_the_key() {
    let config = "[audit]\ncalls = true\n";
    let gateway = world(config).await;
    let key = make(&gateway, json!({"name": "k", "member": {"id": "user_k"}})).await;
    let client = modern(&gateway, "legacy").key(Some(&key.text));
    let session = Session::open_as(&gateway, "legacy", &key.text, LEGACY, json!({})).await;
    client.told("echo", json!({"nonce": 1})).await;
    session.told("echo", json!({"nonce": 2})).await;
    wait_until("both calls are in the usage of the key", DEADLINE, || async {
        let usage = gateway.get(&format!("/v1/api-keys/{}/usage", key.id)).await.expect(200);
        (usage["data"]["requests"]["total"] == 2).then_some(())
    })
    .await;
    let lines = gateway.get("/v1/audit?action=call").await.expect(200)["data"].clone();
    let of_key = lines.as_array().expect("lines").iter().filter(|line| line["key_id"] == key.id.as_str());
    assert_eq!(of_key.count(), 2, "{lines}");
    gateway.stop().await;
}
