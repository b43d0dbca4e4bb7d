//! What holds for every route of both dialects (`docs/http-api.md`, G1 to G4): what is checked first, what
//! a body may be, and that a request which is refused disturbs nobody.

mod bodies;
mod connections;
mod mcp;
mod routes;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::{DEADLINE, wait_until};

/// Every route that takes a body: its method, and a body that it accepts.
const WITH_BODY: [(&str, &str, &str); 11] = [
    ("POST", "/v1/mcp/invoke", r#"{"mcp_id": "fake", "tool": "echo"}"#),
    ("POST", "/v1/mcp/resources", r#"{"mcp_id": "fake"}"#),
    ("POST", "/v1/api-keys", r#"{"name": "new"}"#),
    ("PATCH", "/v1/api-keys/self", r#"{"name": "new"}"#),
    ("POST", "/v1/organization/members", r#"{"name": "new"}"#),
    ("PUT", "/v1/organization/plans/new", r#"{"max_mcps": 5}"#),
    ("PUT", "/v1/members/me/secrets/NEW", r#"{"value": "new"}"#),
    ("POST", "/api/servers", r#"{"name": "new", "command": "/no/such/program"}"#),
    ("PUT", "/api/servers/other", r#"{"args": []}"#),
    ("POST", "/api/config/export", r#"{"filepath": "out.json"}"#),
    ("POST", "/api/config/import", r#"{"filepath": "in.json"}"#),
];

/// Every other route, and whether it answers 200 to a request without anything.
const WITHOUT_BODY: [&str; 6] = [
    "/v1/mcps",
    "/v1/mcps/fake",
    "/api/status",
    "/api/servers",
    "/api/servers/fake",
    "/api/servers/fake/tools",
];

/// A ready server `fake`, one named `other` that does not run, and a file to import.
async fn serving(config: &str) -> Gateway {
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .server("other", json!({"command": "/no/such/program-of-the-test"}))
        .config_toml(config)
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    let exported = json!({"filepath": "in.json"});
    gateway.post("/api/config/export", &exported).await.expect(200);
    gateway
}

/// A call that runs all the while something else happens, and the child that it runs in.
struct Bystander {
    pid: Value,
    call: JoinSet<Reply>,
}

impl Bystander {
    async fn start(gateway: &Gateway) -> Bystander {
        let pid = gateway.call("fake", "pid", json!({})).await;
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": "fake", "tool": "gather", "arguments": {"count": 2}, "timeout": 300_000});
        let mut call = JoinSet::new();
        call.spawn(async move { connection.send("POST", INVOKE, Some(&body)).await.expect("an answer") });
        wait_until("the call is in flight", DEADLINE, || async {
            (gateway.call("fake", "stats", json!({})).await["in_flight"] == 1).then_some(())
        })
        .await;
        Bystander { pid, call }
    }

    /// The call gets its answer, from the same child.
    async fn undisturbed(self, gateway: &Gateway) {
        gateway.call("fake", "gather", json!({"count": 2})).await;
        for reply in self.call.join_all().await {
            assert_eq!(reply.expect(200)["data"]["result"], "gathered");
        }
        assert_eq!(gateway.call("fake", "pid", json!({})).await, self.pid);
        assert_eq!(gateway.server("fake").await["restarts"], 0);
    }
}
