//! `/v1/organization` and its members, and what each role may do (`docs/http-api.md`, P5 and P12).

use serde_json::{Value, json};

use super::keys::{MEMBERS, make, text};
use super::{error, post};
use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway, fake};

#[tokio::test]
async fn the_organization_is_what_the_configuration_says() {
    let config = "[organization]\nid = \"org_acme\"\nname = \"Acme\"\nslug = \"acme\"\nplan = \"gold\"\n\
                  [plans.gold]\nmax_api_keys = 2\nmonthly_requests = 50000\n";
    let gateway = TestGateway::new().config_toml(config).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let data = gateway.get("/v1/organization").await.expect(200)["data"].clone();
    assert_eq!(
        (&data["id"], &data["name"], &data["slug"]),
        (&json!("org_acme"), &json!("Acme"), &json!("acme"))
    );
    assert_eq!((&data["plan"], &data["description"]), (&json!("gold"), &Value::Null));
    let limits = json!({"mcps": null, "api_keys": 2, "team_members": null, "monthly_requests": 50000});
    assert_eq!(data["limits"], limits);
    let usage = json!({"mcps": 1, "api_keys": 1, "team_members": 1, "monthly_requests": 1});
    assert_eq!(data["usage"], usage);
    assert_eq!(data["settings"], json!({"pin_protection": false}));

    make(&gateway, json!({"name": "second"})).await;
    let refused = post(&gateway, "/v1/api-keys", &json!({"name": "third"})).send().await;
    let details = json!({"resource": "api_keys", "limit": 2});
    assert_eq!(error(&refused, 403, "quota_exceeded")["details"], details);
    gateway.stop().await;
}

#[tokio::test]
async fn members_are_listed_by_role() {
    let gateway = TestGateway::new().config_toml(MEMBERS).start().await;
    let all = gateway.get("/v1/organization/members").await.expect(200);
    assert_eq!(all["pagination"], json!({"page": 1, "per_page": 20, "total": 4, "total_pages": 1}));
    let admins = gateway.get("/v1/organization/members?role=admin").await.expect(200);
    assert_eq!(admins["data"][0]["id"], "user_admin");
    assert_eq!(admins["data"][0]["last_active"], Value::Null);
    let owner = gateway.get("/v1/organization/members?role=owner").await.expect(200);
    assert!(owner["data"][0]["last_active"].is_string() && owner["data"][0]["joined_at"].is_string());
    gateway.get("/v1/organization/members?role=king").await.expect(400);
    gateway.stop().await;
}

#[tokio::test]
async fn each_role_may_do_what_the_table_says() {
    let gateway = TestGateway::new().config_toml(MEMBERS).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let call = json!({"mcp_id": "fake", "tool": "echo"}).to_string();
    let read = json!({"mcp_id": "fake", "uri": "fake://one"}).to_string();
    let key = json!({"name": "x"}).to_string();
    let (yes, no) = (true, false);
    // What, and whether viewer, member and admin may.
    let table: [(&str, &str, &str, [bool; 3]); 18] = [
        ("GET", "/v1/mcps", "", [yes, yes, yes]),
        ("GET", "/v1/mcps/fake", "", [yes, yes, yes]),
        ("GET", "/v1/organization", "", [yes, yes, yes]),
        ("GET", "/v1/organization/members", "", [yes, yes, yes]),
        ("GET", "/v1/usage", "", [yes, yes, yes]),
        ("GET", "/v1/usage/history", "", [yes, yes, yes]),
        ("POST", INVOKE, &call, [no, yes, yes]),
        ("POST", "/v1/mcp/resources", &read, [no, yes, yes]),
        ("GET", "/v1/api-keys", "", [no, yes, yes]),
        ("POST", "/v1/api-keys", &key, [no, yes, yes]),
        ("GET", "/v1/members/me/secrets", "", [no, yes, yes]),
        ("PUT", "/v1/members/me/secrets/TOKEN", r#"{"value": "x"}"#, [no, yes, yes]),
        ("DELETE", "/v1/members/me/secrets/TOKEN", "", [no, yes, yes]),
        ("GET", "/v1/mcps/fake/logs", "", [no, no, yes]),
        ("GET", "/v1/doctor", "", [no, no, yes]),
        ("GET", "/v1/settings", "", [no, no, yes]),
        ("GET", "/v1/mcps/fake/queue", "", [no, no, yes]),
        ("POST", "/v1/mcps/fake/restart", "", [no, no, yes]),
    ];
    for (index, owner) in ["user_viewer", "user_member", "user_admin"].into_iter().enumerate() {
        let key = text(&make(&gateway, json!({"name": owner, "owner_id": owner})).await);
        for (method, path, body, may) in table {
            let request = ask(&gateway, method, path).key(&key);
            let request = if body.is_empty() { request } else { request.json(body.to_owned()) };
            let reply = request.send().await;
            match may[index] {
                yes if yes => assert!(reply.status < 300, "{owner} {method} {path}: {}", reply.text()),
                _ => drop(error(&reply, 403, "forbidden")),
            }
        }
    }
    gateway.stop().await;
}
