//! What grants, limits or filters is taken at its word: a name that there is not is an error that says so and
//! names the nearest (`docs/http-api.md`, G3.5 and G4). Elsewhere unknown members are ignored.

use serde_json::{Value, json};

use super::{error, names_fields, post, serving};
use crate::support::ask::ask;
use crate::support::gateway::{INVOKE, TestGateway};

const KEYS: &str = "/v1/api-keys";

#[tokio::test]
async fn an_unknown_member_of_a_key_is_named_with_the_nearest_and_nothing_is_made() {
    let gateway = TestGateway::new().start().await;
    let with = |member: &str, value: Value| json!({"name": "x", member: value});
    let known = "there are name, description, expires_at, permissions, owner_id, limits, member";
    for (body, field, hint) in [
        (with("permisions", json!({"mcps": []})), "permisions", "did you mean 'permissions'?"),
        (with("Limits", json!({})), "Limits", "did you mean 'limits'?"),
        (with("scopes", json!(["read"])), "scopes", known),
        (
            with("limits", json!({"request_per_second": 5})),
            "limits.request_per_second",
            "did you mean 'requests_per_second'?",
        ),
        (with("member", json!({"roles": "viewer"})), "member.roles", "did you mean 'role'?"),
    ] {
        let reply = post(&gateway, KEYS, &body).send().await;
        names_fields(&reply, &[field], field);
        let message = reply.json()["error"]["message"].as_str().expect("a text").to_owned();
        assert_eq!(message, format!("Unknown member '{field}'; {hint}"));
    }
    let nested = post(&gateway, KEYS, &with("permissions", json!({"tool": []}))).send().await;
    let reason = error(&nested, 400, "invalid_request")["details"]["permissions"].clone();
    assert_eq!(reason, "has the unknown member 'tool'; did you mean 'tools'?");
    // Neither is a value taken for another one, nor a name for nothing.
    for (body, fields) in [
        (json!({"name": null}), vec!["name"]),
        (with("owner_id", Value::Null), vec!["owner_id"]),
        (with("limits", Value::Null), vec!["limits"]),
        (
            with("limits", json!({"requests_per_second": 0, "monthly_requests": 1.5, "calls_at_once": "8"})),
            vec!["limits.calls_at_once", "limits.monthly_requests", "limits.requests_per_second"],
        ),
        (with("expires_at", json!("9999-12-31T23:59:59-01:00")), vec!["expires_at"]),
        (with("member", json!({"role": "king", "id": "a b"})), vec!["member.id", "member.role"]),
        (json!({"name": "x", "member": {}, "owner_id": "user_owner"}), vec!["owner_id"]),
    ] {
        names_fields(&post(&gateway, KEYS, &body).send().await, &fields, &body.to_string());
    }
    for permissions in [Value::Null, json!({"mcps": null}), json!({"tools": null})] {
        let reply = post(&gateway, KEYS, &with("permissions", permissions)).send().await;
        assert_eq!(error(&reply, 400, "invalid_request")["message"], "Invalid permissions format");
    }
    let patch =
        async |body: Value| ask(&gateway, "PATCH", "/v1/api-keys/self").json(body.to_string()).send().await;
    names_fields(&patch(json!({"permisions": {"mcps": []}})).await, &["permisions"], "PATCH");
    names_fields(&patch(json!({"owner_id": "user_owner"})).await, &["owner_id"], "PATCH");
    names_fields(&patch(json!({})).await, &["body"], "nothing to change");
    assert_eq!(gateway.get(KEYS).await.expect(200)["pagination"]["total"], 1, "none was made");
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_that_may_less_than_its_words_say_comes_with_a_warning() {
    let gateway = serving(&[]).await;
    let warnings = async |permissions: Value| {
        let body = json!({"name": "x", "permissions": permissions});
        post(&gateway, KEYS, &body).send().await.expect(201)["warnings"].clone()
    };
    assert_eq!(warnings(json!({"mcps": ["fake"], "tools": ["echo", "s*"]})).await, Value::Null);
    assert_eq!(
        warnings(json!({"mcps": ["fake"], "tools": ["ehco"]})).await,
        json!([
            "'ehco' in permissions.tools fits no tool of the MCPs that the key may use; did you mean 'echo'?"
        ])
    );
    assert_eq!(
        warnings(json!({"mcps": []})).await,
        json!(["permissions.mcps is empty: the key may use no MCP"])
    );
    assert_eq!(
        warnings(json!({"tools": []})).await,
        json!(["permissions.tools is empty: the key may call no tool"])
    );
    let body = json!({"name": "x", "member": {"id": "user_v", "role": "viewer"}});
    let viewer = post(&gateway, KEYS, &body).send().await.expect(201);
    assert_eq!(viewer["warnings"], json!(["its member 'user_v' is a viewer: the key may call no tool"]));
    let near = json!({"name": "x", "permissions": {"mcps": ["fakee"]}});
    let details =
        error(&post(&gateway, KEYS, &near).send().await, 422, "validation_error")["details"].clone();
    assert_eq!(details["permissions"], "there is no MCP 'fakee'; did you mean 'fake'?");
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_parameter_is_400_with_its_name_on_all_routes_but_those_of_api() {
    let gateway = serving(&[]).await;
    for route in mcpvisor::http::known_routes() {
        let path = format!("{}?colour=red", route.path.replace("{id}", "self").replace("{name}", "fake"));
        let request = ask(&gateway, route.method, &path);
        let request =
            if ["POST", "PUT", "PATCH"].contains(&route.method) { request.json("{}") } else { request };
        let reply = request.send().await;
        let what = format!("{} {path}: {}", route.method, reply.text());
        match () {
            () if path.starts_with("/api/") || path.starts_with("/mcp") => {
                assert!(!reply.text().contains("colour"), "{what}")
            }
            // Without an authorization server there is none.
            () if path.starts_with("/.well-known/") => assert_eq!(reply.status, 404, "{what}"),
            () if path.starts_with("/v1/") => {
                assert_eq!(reply.status, 400, "{what}");
                assert!(reply.json()["error"]["details"]["colour"].is_string(), "{what}");
            }
            () => {
                assert_eq!(reply.status, 400, "{what}");
                assert!(
                    reply.json()["error"].as_str().is_some_and(|text| text.contains("'colour'")),
                    "{what}"
                );
            }
        }
    }
    for (path, message) in [
        ("/v1/api-keys?statsu=active", "Unknown parameter 'statsu'; did you mean 'status'?"),
        ("/v1/mcps?Page=2", "Unknown parameter 'Page'; did you mean 'page'?"),
        (
            "/v1/audit/export?page=1",
            "Unknown parameter 'page'; there are action, outcome, member_id, key_id, since, until",
        ),
        ("/v1/organization?x", "Unknown parameter 'x'; this route takes none"),
        (
            "/v1/mcps?status=%zz",
            "The parameter 'status' cannot be decoded: it must be UTF-8, with %XX for what is not plain",
        ),
    ] {
        let refused = error(&gateway.get(path).await, 400, "invalid_request");
        assert_eq!(refused["message"], message, "{path}");
    }
    // Who may not come in is told that, and nothing else.
    error(&ask(&gateway, "GET", "/v1/mcps?colour=red").without_key().send().await, 401, "unauthorized");
    for good in ["/v1/mcps?", "/v1/mcps?&", "/v1/mcps?page=1&page=2", "/v1/mcps?status=%61ctive", "/healthz?"]
    {
        assert_eq!(gateway.get(good).await.status, 200, "{good}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn unknown_members_stay_ignored_where_clients_of_the_references_send_them() {
    let gateway = serving(&[]).await;
    let call = json!({"mcp_id": "fake", "tool": "echo", "arguments": {}, "colour": "red"});
    post(&gateway, INVOKE, &call).send().await.expect(200);
    post(&gateway, super::RESOURCES, &json!({"mcp_id": "fake", "colour": "red"})).send().await.expect(200);
    let server = json!({"name": "other", "command": "/no/such/program", "colour": "red", "disabled": true});
    gateway.post("/api/servers", &server).await.expect(200);
    // What only this program knows of a server is not.
    let server = json!({"name": "third", "command": "/no/such/program", "mcpvisor": {"sandbx": "fs"}});
    let refused = gateway.post("/api/servers", &server).await.expect(400);
    assert_eq!(refused["error"], "mcpvisor.sandbx is not a known setting; did you mean 'sandbox'?");
    // Neither is what it says of one passed over.
    let server = json!({"name": "third", "command": "/no/such/program", "mcpvisor": {"start": "on-demand"}});
    gateway.post("/api/servers", &server).await.expect(200);
    assert_eq!(gateway.server("third").await["state"], "idle");
    let change = json!({"mcpvisor": {"start": "on-demnd"}});
    let refused = gateway.put("/api/servers/third", &change).await.expect(400);
    assert_eq!(refused["error"], "mcpvisor.start must be \"eager\" or \"on-demand\"");
    gateway.stop().await;
}
