//! What the OpenAPI documents say is what the daemon answers, and what generators of clients can read.

mod api;
mod clients;
mod document;
mod v1;

use serde_json::Value;

use self::document::Document;
use crate::support::ask::ask;
use crate::support::gateway::Gateway;
use crate::support::http::{Connection, Reply};

/// A daemon, and the document that its answers are held against.
struct Asking<'a> {
    gateway: &'a Gateway,
    document: Document,
}

impl Asking<'_> {
    async fn new<'a>(gateway: &'a Gateway, path: &str) -> Asking<'a> {
        let document = ask(gateway, "GET", path).without_key().send().await.expect(200);
        Asking { gateway, document: Document::new(document) }
    }

    /// Asks as the owner.
    async fn ask(&mut self, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let bearer = format!("Bearer {}", self.gateway.key());
        self.ask_with(&[("authorization", &bearer)], method, path, body, status).await
    }

    /// Asks with these headers.
    async fn ask_with(
        &mut self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<Value>,
        status: u16,
    ) -> Value {
        let mut connection =
            Connection::open(self.gateway.address(), headers).await.expect("the daemon accepts connections");
        let reply = connection.send(method, path, body.as_ref()).await;
        let reply = reply.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        assert_eq!(reply.status, status, "{method} {path}: {}", reply.text());
        self.hold(method, path, &reply);
        serde_json::from_slice(&reply.body).unwrap_or_default()
    }

    fn hold(&mut self, method: &str, path: &str, reply: &Reply) {
        let (method, route) = route_of(method, path);
        self.document.check(method, route, reply);
    }

    /// Fails for members and answers that are described and have not come, but for those that cannot come here.
    fn finish(self, exceptions: &[(&str, &str)]) {
        let is_excepted = |pointer: &String| exceptions.iter().any(|(known, _)| pointer.contains(known));
        let missing: Vec<String> =
            self.document.never_seen().into_iter().filter(|pointer| !is_excepted(pointer)).collect();
        assert!(missing.is_empty(), "described, and never answered:\n{missing:#?}");
        let missing = self.document.never_answered();
        assert!(missing.is_empty(), "successes that never came:\n{missing:#?}");
    }
}

/// The method and path of the route that a request is for, as the list of routes has them; another method of the path if
/// it does not have this one.
fn route_of(method: &str, path: &str) -> (&'static str, &'static str) {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |route: &str| {
        let pattern: Vec<&str> = route.split('/').collect();
        pattern.len() == parts.len()
            && pattern.iter().zip(&parts).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
    };
    let mut routes: Vec<_> =
        mcpvisor::http::known_routes().into_iter().filter(|route| fits(route.path)).collect();
    routes.sort_by_key(|route| (route.path.contains('{'), route.method != method));
    let route = routes.first().unwrap_or_else(|| panic!("no route for {method} {path}"));
    (route.method, route.path)
}
