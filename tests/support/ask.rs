//! A request put together piece by piece, and the checks that every answer of a dialect must
//! stand, whatever was asked: JSON in the dialect's shape, and a request id.

use bytes::Bytes;
use serde_json::Value;

use super::gateway::Gateway;
use super::http::{Connection, Reply};

/// A request to be. It carries the owner's key to `/v1` and nothing to other paths.
pub(crate) struct Ask<'a> {
    gateway: &'a Gateway,
    method: &'a str,
    path: &'a str,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// Begins a request.
pub(crate) fn ask<'a>(gateway: &'a Gateway, method: &'a str, path: &'a str) -> Ask<'a> {
    let ask = Ask { gateway, method, path, headers: Vec::new(), body: Bytes::new() };
    if is_plexmcp(path) { ask.with_key() } else { ask }
}

fn is_mcp(path: &str) -> bool {
    path.split(['/', '?']).nth(1) == Some("mcp")
}

fn is_page(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    path == "/ui" || path.starts_with("/ui/") && !["/ui/session", "/ui/events"].contains(&path)
}

fn is_plexmcp(path: &str) -> bool {
    path.split(['/', '?']).nth(1) == Some("v1")
}

impl Ask<'_> {
    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the owner's key.
    pub(crate) fn with_key(self) -> Self {
        let bearer = format!("Bearer {}", self.gateway.key());
        self.header("authorization", &bearer)
    }

    /// Sends this key in place of the owner's.
    pub(crate) fn key(self, key: &str) -> Self {
        self.without_key().header("authorization", &format!("Bearer {key}"))
    }

    /// Takes the key away.
    pub(crate) fn without_key(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    /// Adds a body without saying what it is.
    pub(crate) fn bytes(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a body and says that it is JSON, whether or not it is.
    pub(crate) fn json(self, body: impl Into<Bytes>) -> Self {
        self.header("content-type", "application/json").bytes(body)
    }

    /// Sends it over a connection of its own and checks the answer's shape.
    pub(crate) async fn send(self) -> Reply {
        let mut connection =
            Connection::open(self.gateway.address(), &[]).await.expect("the daemon accepts connections");
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let reply = connection.send_bytes(self.method, self.path, &headers, self.body).await;
        let reply = reply.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path));
        check_shape(self.method, self.path, &reply);
        reply
    }
}

/// What is promised for every answer (`docs/http-api.md`, G2, P1 and M2).
pub(crate) fn check_shape(method: &str, path: &str, reply: &Reply) {
    let what = format!("{method} {path}: {} {}", reply.status, reply.text());
    let id = reply.headers.get("x-request-id").unwrap_or_else(|| panic!("no request id: {what}"));
    assert!((1..=128).contains(&id.len()), "{what}");
    if method == "HEAD" || reply.status == 204 {
        assert!(reply.body.is_empty(), "{what}");
        return;
    }
    // Files of the dashboard are for browsers, and so is the way to them.
    if is_page(path) && reply.status < 400 {
        return;
    }
    // What other programs read has a shape of its own.
    let foreign =
        ["/metrics", "/v1/openapi.json", "/api/openapi.json", "/v1/audit/export", "/v1/backup", "/v1/export"];
    let is_export = path.starts_with("/v1/activity?") && path.contains("format=");
    if (foreign.contains(&path.split('?').next().unwrap_or_default()) || is_export) && reply.status == 200 {
        return;
    }
    assert_eq!(reply.headers["content-type"], "application/json", "{what}");
    let body = reply.json();
    if is_mcp(path) {
        check_mcp(reply.status, &body, &what);
    } else if is_plexmcp(path) {
        check_plexmcp(reply.status, &body, &what);
    } else if reply.status >= 400 && (path, reply.status) != ("/readyz", 503) {
        let error = body["error"].as_str().unwrap_or_else(|| panic!("no error text: {what}"));
        assert!(!error.is_empty(), "{what}");
    } else {
        assert!(body.is_object() && body.get("error").is_none(), "{what}");
    }
}

fn check_mcp(status: u16, body: &Value, what: &str) {
    assert_eq!(body["jsonrpc"], "2.0", "{what}");
    // An id that could not be read is left out.
    assert!(body.get("id").is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64()), "{what}");
    let error = &body["error"];
    if status >= 400 || !error.is_null() {
        assert!(error["code"].is_i64() && body.get("result").is_none(), "{what}");
        assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
    } else {
        assert!(body["result"].is_object(), "{what}");
    }
}

fn check_plexmcp(status: u16, body: &Value, what: &str) {
    assert_eq!(body["success"], status < 400, "{what}");
    if status < 400 {
        assert!(body["data"].is_object() || body["data"].is_array(), "{what}");
        assert!(body.get("error").is_none(), "{what}");
        return;
    }
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["success", "error"], "{what}");
    let code = body["error"]["code"].as_str().unwrap_or_else(|| panic!("no code: {what}"));
    assert!(!code.is_empty() && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{what}");
    assert!(body["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{what}");
    let details = body["error"].get("details");
    assert!(
        details.is_none_or(|details| details.as_object().is_some_and(|members| !members.is_empty())),
        "{what}"
    );
}
