//! Every route for every kind of caller. The routes come from the router itself, so that none can be
//! missing here.

use mcpvisor::http::{Access, Route, known_routes};
use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};

const CONFIG: &str = "[api]\nauth = \"required\"\n\
    [auth.oidc]\nissuer = \"https://id.example\"\npublic_url = \"https://gw.example\"\n[organization]\nplan = \"unlimited\"\n\
    [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n\
    [[members]]\nid = \"user_admin\"\nrole = \"admin\"\n\
    [[members]]\nid = \"user_member\"\nrole = \"member\"\n\
    [[members]]\nid = \"user_viewer\"\nrole = \"viewer\"\n";

/// A caller: what it is called, its credential, its rank (0 nobody, then by role), and whether its key
/// is without limits.
struct Caller {
    name: &'static str,
    key: Option<String>,
    rank: u8,
    unlimited: bool,
}

async fn make(gateway: &Gateway, owner: &str, permissions: Value) -> (String, String) {
    let body = json!({"name": owner, "owner_id": owner, "permissions": permissions});
    let made = gateway.post("/v1/api-keys", &body).await.expect(201)["data"].clone();
    let text = |member: &str| made[member].as_str().expect("text").to_owned();
    (text("id"), text("key"))
}

async fn callers(gateway: &Gateway) -> Vec<Caller> {
    let all = json!({"mcps": "*"});
    let (id, revoked) = make(gateway, "user_owner", all.clone()).await;
    gateway.delete(&format!("/v1/api-keys/{id}")).await.expect(200);
    let caller = |name, key, rank, unlimited| Caller { name, key, rank, unlimited };
    vec![
        caller("nobody", None, 0, false),
        caller("revoked", Some(revoked), 0, false),
        caller("viewer", Some(make(gateway, "user_viewer", all.clone()).await.1), 1, true),
        caller("member", Some(make(gateway, "user_member", all.clone()).await.1), 2, true),
        caller("limited admin", Some(make(gateway, "user_admin", json!({"mcps": []})).await.1), 3, false),
        caller("admin", Some(make(gateway, "user_admin", all).await.1), 3, true),
        caller("owner", Some(gateway.key().to_owned()), 4, true),
    ]
}

/// The status of a caller that may not use a route; `None` for one that may.
fn refusal(route: &Route, caller: &Caller) -> Option<u16> {
    let least = match route.access {
        Access::Public => return None,
        // The tests run as the daemon's own user, who needs no key for the metrics.
        Access::Metrics if caller.key.is_none() => return None,
        Access::Metrics if !caller.unlimited && caller.rank > 0 => return Some(403),
        Access::Metrics => 1,
        // Only a cookie and its page's token open what is the page's.
        Access::SignedIn => return Some(401),
        Access::Viewer | Access::SignIn => 1,
        Access::Client if caller.key.is_none() => return None,
        Access::Member | Access::Client => 2,
        Access::Admin => 3,
        Access::Owner => 4,
        Access::Operator if !caller.unlimited && caller.rank > 0 => return Some(403),
        Access::Operator => 3,
    };
    match caller.rank {
        0 => Some(401),
        rank if rank < least => Some(403),
        _ => None,
    }
}

async fn status(gateway: &Gateway, route: &Route, caller: &Caller) -> (u16, String) {
    // What is addressed is not there, so that nothing is changed by those who may change it; but a member has only secrets of
    // its own.
    let path = route
        .path
        .replace("{id}/secrets", "me/secrets")
        .replace("{id}", "nobody")
        .replace("{name}", "nobody")
        .replace("{server}", "nobody");
    let mut request = ask(gateway, route.method, &path).without_key();
    if let Some(key) = &caller.key {
        request = request.key(key);
    }
    if ["POST", "PUT", "PATCH"].contains(&route.method) {
        request = request.json("{}");
    }
    let reply = request.send().await;
    (reply.status, reply.text())
}

#[tokio::test]
async fn every_route_lets_in_whom_it_should_and_nobody_else() {
    let gateway = TestGateway::new().config_toml(CONFIG).start().await;
    let (routes, callers) = (known_routes(), callers(&gateway).await);
    assert!(routes.len() > 25, "{}", routes.len());
    for route in &routes {
        for caller in &callers {
            let (status, text) = status(&gateway, route, caller).await;
            let what = format!("{} {} {}: {status} {text}", caller.name, route.method, route.path);
            match refusal(route, caller) {
                Some(refused) => assert_eq!(status, refused, "{what}"),
                // Without a session, GET has no stream to answer with.
                None if route.access == Access::Client && status == 405 => {}
                None if route.path == "/ui/{file}" => assert_eq!(status, 404, "{what}"),
                None if route.path.starts_with("/.well-known/") => assert_eq!(status, 200, "{what}"),
                None => assert!(![401, 403, 405, 500].contains(&status), "{what}"),
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_documents_describe_every_route_of_their_dialect() {
    let gateway = TestGateway::new().start().await;
    let mut described = 0;
    for path in ["/v1/openapi.json", "/api/openapi.json"] {
        let document = ask(&gateway, "GET", path).without_key().send().await.expect(200);
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(arrays_without_items(&document), 0, "{path}");
        let paths = document["paths"].as_object().expect("paths").values();
        described += paths.map(|methods| methods.as_object().expect("methods").len()).sum::<usize>();
    }
    let of_dialects = known_routes()
        .into_iter()
        .filter(|route| route.path.starts_with("/v1/") || route.path.starts_with("/api/"));
    assert_eq!(described, of_dialects.count());
    gateway.stop().await;
}

/// Generators of clients drop types that have one (openapi-python-client 0.29.1), although it is valid.
fn arrays_without_items(schema: &Value) -> usize {
    match schema {
        Value::Object(members) => {
            let own = members.get("type") == Some(&json!("array")) && !members.contains_key("items");
            usize::from(own) + members.values().map(arrays_without_items).sum::<usize>()
        }
        Value::Array(entries) => entries.iter().map(arrays_without_items).sum(),
        _ => 0,
    }
}
