//! `/v1/api-keys`: made, shown once, limited, revoked (`docs/http-api.md`, G5 and P14).

use serde_json::{Value, json};

use super::{error, post};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::Reply;

const KEYS: &str = "/v1/api-keys";

/// Members of each role beside the owner.
pub(super) const MEMBERS: &str = "[organization]\nplan = \"unlimited\"\n\
    [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
    [[members]]\nid = \"user_admin\"\nrole = \"admin\"\n\
    [[members]]\nid = \"user_member\"\nrole = \"member\"\n\
    [[members]]\nid = \"user_viewer\"\nrole = \"viewer\"\n";

/// Makes a key as the owner.
pub(super) async fn make(gateway: &Gateway, body: Value) -> Value {
    let reply = post(gateway, KEYS, &body).send().await;
    reply.expect(201)["data"].clone()
}

pub(super) fn text(made: &Value) -> String {
    made["key"].as_str().expect("a key").to_owned()
}

async fn get(gateway: &Gateway, path: &str, key: &str) -> Reply {
    ask(gateway, "GET", path).key(key).send().await
}

async fn revoke(gateway: &Gateway, id: &str, key: &str) -> Reply {
    ask(gateway, "DELETE", &format!("{KEYS}/{id}")).key(key).send().await
}

fn id(made: &Value) -> &str {
    made["id"].as_str().expect("an id")
}

#[tokio::test]
async fn a_key_is_shown_once_works_at_once_and_is_refused_at_once_after_its_end() {
    let mut gateway = TestGateway::new().start().await;
    let reply = post(&gateway, KEYS, &json!({"name": "  CI  ", "description": "builds"})).send().await;
    let made = reply.expect(201)["data"].clone();
    let key = text(&made);
    assert!(key.starts_with("pk_live_") && key.len() == 51, "{key}");
    assert_eq!(reply.headers["location"], format!("{KEYS}/{}", id(&made)));
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!((&made["name"], &made["status"]), (&json!("CI"), &json!("active")));
    assert_eq!(made["permissions"], json!({"mcps": "*"}));
    get(&gateway, "/v1/mcps", &key).await.expect(200);

    let listed = gateway.get(KEYS).await;
    assert!(!listed.text().contains(&key), "never again");
    let items = listed.expect(200)["data"].as_array().expect("a list").clone();
    assert_eq!(items.len(), 2);
    let item = items.iter().find(|item| item["id"] == made["id"]).expect("listed");
    assert_eq!(item["prefix"], key[..11]);
    assert!(item["last_used"].is_string() && item["owner_id"] == "user_owner", "{item}");
    let detail = gateway.get(&format!("{KEYS}/{}", id(&made))).await.expect(200);
    assert_eq!(detail["data"]["description"], "builds");

    let first = revoke(&gateway, id(&made), gateway.key()).await.expect(200)["data"].clone();
    assert_eq!(first["status"], "revoked");
    error(&get(&gateway, "/v1/mcps", &key).await, 401, "revoked_key");
    let again = revoke(&gateway, id(&made), gateway.key()).await.expect(200)["data"].clone();
    assert_eq!(again["revoked_at"], first["revoked_at"], "revoked twice is revoked once");
    let of = |status: &str| format!("{KEYS}?status={status}");
    assert_eq!(gateway.get(&of("revoked")).await.expect(200)["pagination"]["total"], 1);
    assert_eq!(gateway.get(&of("active")).await.expect(200)["pagination"]["total"], 1);
    gateway.get(&of("odd")).await.expect(400);

    gateway.kill_9().await;
    gateway.restart().await;
    error(&get(&gateway, "/v1/mcps", &key).await, 401, "revoked_key");
    assert!(!gateway.output().contains(&key), "no key is logged");
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_key_is_to_be_is_checked_all_at_once() {
    let gateway = TestGateway::new().start().await;
    let refused = |body: Value| {
        let gateway = &gateway;
        async move { post(gateway, KEYS, &body).send().await }
    };
    let bad = error(
        &refused(json!({"name": " ", "description": 1, "expires_at": "soon", "owner_id": 2})).await,
        400,
        "invalid_request",
    );
    let named: Vec<&String> = bad["details"].as_object().expect("details").keys().collect();
    assert_eq!(named, ["name", "description", "expires_at", "owner_id"]);
    error(&refused(json!({})).await, 400, "invalid_request");
    error(&refused(json!({"name": "x".repeat(101)})).await, 400, "invalid_request");
    let past =
        error(&refused(json!({"name": "x", "expires_at": "2020-01-01"})).await, 422, "validation_error");
    assert_eq!(past["details"], json!({"expires_at": "Must be a future date"}));
    for permissions in [json!([]), json!({"mcps": 1}), json!({"mcp": []}), json!({"tools": [1]})] {
        let reply = refused(json!({"name": "x", "permissions": permissions})).await;
        assert_eq!(error(&reply, 400, "invalid_request")["message"], "Invalid permissions format");
    }
    let unknown = refused(json!({"name": "x", "permissions": {"mcps": ["nobody"]}})).await;
    assert!(error(&unknown, 422, "validation_error")["details"]["permissions"].is_string());
    let nobody = refused(json!({"name": "x", "owner_id": "user_nobody"})).await;
    assert!(error(&nobody, 422, "validation_error")["details"]["owner_id"].is_string());
    assert_eq!(gateway.get(KEYS).await.expect(200)["pagination"]["total"], 1, "none was made");
    error(&gateway.get(&format!("{KEYS}/mcp_1")).await, 404, "not_found");
    error(&revoke(&gateway, "key_nobody", gateway.key()).await, 404, "not_found");
    gateway.stop().await;
}

#[tokio::test]
async fn an_expired_key_is_told_so() {
    let gateway = TestGateway::new().start().await;
    let soon = time_in(2);
    let made = make(&gateway, json!({"name": "short", "expires_at": soon})).await;
    get(&gateway, "/v1/mcps", &text(&made)).await.expect(200);
    crate::support::wait_until("the key has expired", crate::support::DEADLINE, || async {
        (get(&gateway, "/v1/mcps", &text(&made)).await.status == 401).then_some(())
    })
    .await;
    error(&get(&gateway, "/v1/mcps", &text(&made)).await, 401, "expired_key");
    assert_eq!(gateway.get(&format!("{KEYS}?status=expired")).await.expect(200)["pagination"]["total"], 1);
    gateway.stop().await;
}

fn time_in(seconds: i64) -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    at.format(&time::format_description::well_known::Rfc3339).expect("a time")
}

#[tokio::test]
async fn a_key_may_use_what_it_is_permitted_and_see_nothing_else() {
    let gateway = TestGateway::new().server("one", fake(&[])).server("two", fake(&[])).start().await;
    gateway.wait_state("one", "ready").await;
    gateway.wait_state("two", "ready").await;
    let one = gateway.server("one").await["id"].as_str().expect("an id").to_owned();
    let permissions = json!({"mcps": ["one"], "tools": ["echo", "s*"]});
    let key = text(&make(&gateway, json!({"name": "narrow", "permissions": permissions})).await);

    let listed = get(&gateway, "/v1/mcps", &key).await.expect(200);
    assert_eq!((&listed["pagination"]["total"], &listed["data"][0]["id"]), (&json!(1), &json!(one)));
    let seen = get(&gateway, "/v1/mcps/one", &key).await.expect(200);
    let tools = seen["data"]["tools"].as_array().expect("a list").clone();
    let tools: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().expect("a name")).collect();
    assert_eq!(tools, ["echo", "sleep", "stats", "spawn_child"]);
    let two = gateway.server("two").await["id"].as_str().expect("an id").to_owned();
    for server in ["two", &two] {
        error(&get(&gateway, &format!("/v1/mcps/{server}"), &key).await, 403, "mcp_not_permitted");
        let call = json!({"mcp_id": server, "tool": "echo"});
        error(&post(&gateway, INVOKE, &call).key(&key).send().await, 403, "mcp_not_permitted");
        let read = json!({"mcp_id": server, "uri": "fake://one"});
        error(&post(&gateway, "/v1/mcp/resources", &read).key(&key).send().await, 403, "mcp_not_permitted");
    }
    let call = |tool: &str| post(&gateway, INVOKE, &json!({"mcp_id": "one", "tool": tool})).key(&key).send();
    call("echo").await.expect(200);
    call("stats").await.expect(200);
    error(&call("env").await, 403, "tool_not_permitted");
    error(&call("no_such_tool").await, 403, "tool_not_permitted");
    let close = error(&call("stat").await, 404, "tool_not_found");
    assert!(close["message"].as_str().expect("a text").contains("stats"), "{close}");
    let hidden = error(&call("spawn").await, 404, "tool_not_found");
    assert!(!hidden.to_string().contains("crash"), "{hidden}");

    // One that was removed and made again is another one.
    gateway.delete("/api/servers/one").await.expect(200);
    let mut again = gateway.marked(fake(&[]));
    again["name"] = "one".into();
    gateway.post("/api/servers", &again).await.expect(200);
    error(&get(&gateway, "/v1/mcps/one", &key).await, 403, "mcp_not_permitted");
    gateway.stop().await;
}

#[tokio::test]
async fn no_key_can_make_a_wider_one_and_nobody_locks_everyone_out() {
    let gateway = TestGateway::new().config_toml(MEMBERS).server("one", fake(&[])).start().await;
    let key = |owner: &str, permissions: Value| {
        let gateway = &gateway;
        let body = json!({"name": owner, "owner_id": owner, "permissions": permissions});
        async move { text(&make(gateway, body).await) }
    };
    let all = json!({"mcps": "*"});
    let (admin, member) = (key("user_admin", all.clone()).await, key("user_member", all.clone()).await);
    let narrow = key("user_admin", json!({"mcps": ["one"], "tools": ["e*"]})).await;
    let tries = |maker: &str, body: Value| post(&gateway, KEYS, &body).key(maker).send();
    // A member makes keys for itself only, an admin none with a higher role.
    tries(&member, json!({"name": "own"})).await.expect(201);
    error(&tries(&member, json!({"name": "x", "owner_id": "user_viewer"})).await, 403, "forbidden");
    tries(&admin, json!({"name": "x", "owner_id": "user_viewer"})).await.expect(201);
    error(&tries(&admin, json!({"name": "x", "owner_id": "user_owner"})).await, 403, "forbidden");
    for wider in [json!({"mcps": "*"}), json!({"mcps": ["one"]}), json!({"mcps": ["one"], "tools": ["*"]})] {
        error(&tries(&narrow, json!({"name": "x", "permissions": wider})).await, 403, "forbidden");
    }
    error(&tries(&narrow, json!({"name": "x"})).await, 403, "forbidden");
    tries(&narrow, json!({"name": "x", "permissions": {"mcps": ["one"], "tools": ["echo"]}}))
        .await
        .expect(201);
    let ending = text(&make(&gateway, json!({"name": "x", "expires_at": time_in(3600)})).await);
    error(&tries(&ending, json!({"name": "for ever"})).await, 403, "forbidden");
    tries(&ending, json!({"name": "x", "expires_at": time_in(1800)})).await.expect(201);

    // Others' keys are not a member's to see or revoke.
    let mine = get(&gateway, KEYS, &member).await.expect(200);
    assert!(mine["data"].as_array().expect("a list").iter().all(|key| key["owner_id"] == "user_member"));
    let keys = gateway.get(&format!("{KEYS}?per_page=100")).await.expect(200)["data"].clone();
    let keys = keys.as_array().expect("a list").clone();
    let of = |name: &str| id(keys.iter().find(|key| key["name"] == name).expect("listed")).to_owned();
    let owner = of("owner key");
    error(&revoke(&gateway, &owner, &member).await, 403, "forbidden");
    error(&get(&gateway, &format!("{KEYS}/{owner}"), &member).await, 403, "forbidden");

    // The last key that may administer without limits stays.
    for key in keys.iter().filter(|key| key["owner_id"] == "user_admin" || key["owner_id"] == "user_owner") {
        if id(key) != owner {
            revoke(&gateway, id(key), gateway.key()).await.expect(200);
        }
    }
    let refused = error(&revoke(&gateway, &owner, gateway.key()).await, 403, "forbidden");
    assert_eq!(refused["message"], "Cannot revoke your only active key");
    gateway.get(KEYS).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_is_renamed_without_touching_anything_else() {
    let gateway = TestGateway::new().start().await;
    let made = make(&gateway, json!({"name": "before", "description": "what"})).await;
    let path = format!("{KEYS}/{}", id(&made));
    let patch = |body: Value| ask(&gateway, "PATCH", &path).json(body.to_string()).send();
    let after = patch(json!({"name": "after"})).await.expect(200)["data"].clone();
    assert_eq!((&after["name"], &after["description"]), (&json!("after"), &json!("what")));
    assert_eq!(after["permissions"], json!({"mcps": "*"}));
    let after = patch(json!({"description": null})).await.expect(200)["data"].clone();
    assert_eq!((&after["name"], &after["description"]), (&json!("after"), &Value::Null));
    error(&patch(json!({"name": ""})).await, 400, "invalid_request");
    get(&gateway, "/v1/mcps", &text(&made)).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_member_that_is_taken_out_takes_its_keys_along_until_it_returns() {
    let mut gateway = TestGateway::new().config_toml(MEMBERS).start().await;
    let key = text(&make(&gateway, json!({"name": "x", "owner_id": "user_member"})).await);
    let config = gateway.data().parent().expect("a parent").join("mcpvisor.toml");
    let without = MEMBERS.replace("[[members]]\nid = \"user_member\"\nrole = \"member\"\n", "");
    for (text, status) in [(without.as_str(), 401), (MEMBERS, 200)] {
        gateway.terminate().await;
        std::fs::write(&config, text).expect("written");
        gateway.restart().await;
        assert_eq!(get(&gateway, "/v1/mcps", &key).await.status, status);
    }
    gateway.stop().await;
}
