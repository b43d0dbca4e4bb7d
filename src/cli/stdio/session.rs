//! What is known of the client's session with the daemon (legacy era), so that it can be opened again as it was. Pure.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};

use super::line::Request;
use crate::mcp::method;
use crate::mcp::translate::Members;

/// Maximum number of resources that are followed again; a daemon lets a session follow as many.
const MAX_FOLLOWED: usize = 256;
/// Beginning of the ids of the bridge's own requests, which no client sees answers to.
const OWN_ID: &str = "mcpvisor-bridge-";

/// An open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Id that the daemon gave. `None` if it keeps no sessions.
    pub(super) id: Option<String>,
    /// Revision that was agreed on.
    pub(super) version: String,
}

/// Returns the revision in the answer to `initialize`. `None` if it is an error.
pub(super) fn agreed_version(answer: &str) -> Option<String> {
    let result = Members::read(answer)?.object("result")?;
    result.text("protocolVersion").map(|version| version.into_owned())
}

/// What the client has asked for that a new session does not know of.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    followed: BTreeSet<String>,
    level: Option<String>,
}

impl Wishes {
    /// Forgets all of them, for a client that begins anew.
    pub(super) fn clear(&mut self) {
        *self = Wishes::default();
    }

    /// Notes what a request has changed that was answered with a result. `line` is the request as it came.
    pub(super) fn granted(&mut self, request: &Request, line: &str) {
        let member = |name: &str| {
            let params = Members::read(line)?.object("params")?;
            params.text(name).map(|text| text.into_owned())
        };
        match request.method.as_str() {
            method::SUBSCRIBE if self.followed.len() < MAX_FOLLOWED => self.followed.extend(member("uri")),
            method::UNSUBSCRIBE => {
                member("uri").map(|uri| self.followed.remove(&uri));
            }
            method::SET_LEVEL => self.level = member("level"),
            _ => {}
        }
    }

    /// Returns the requests that ask for all of it again.
    pub(super) fn again(&self) -> Vec<Bytes> {
        let level = self.level.iter().map(|level| (method::SET_LEVEL, json!({"level": level})));
        let followed = self.followed.iter().map(|uri| (method::SUBSCRIBE, json!({"uri": uri})));
        let request = |(number, (method, params)): (usize, (&str, Value))| {
            let id = format!("{OWN_ID}{number}");
            json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string().into()
        };
        level.chain(followed).enumerate().map(request).collect()
    }
}

/// Returns the notification that ends the handshake.
pub(super) fn initialized() -> Bytes {
    json!({"jsonrpc": "2.0", "method": method::INITIALIZED}).to_string().into()
}

/// Returns the notification that a question of the server, by its id in raw JSON, need not be answered any more.
pub(super) fn withdrawn(question: &str) -> Bytes {
    let reason = "The connection to the daemon was lost";
    let mut text = format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{}\",", method::CANCELLED);
    text.push_str(&format!("\"params\":{{\"requestId\":{question},\"reason\":\"{reason}\"}}}}"));
    text.into()
}

/// Returns the request for a page of the tools, with the `_meta` of a modern request, given as its line. `None` if it has
/// none. The token of that request's progress is left out: it is taken.
pub(super) fn list_tools(line: &str, cursor: Option<&str>) -> Option<Bytes> {
    let meta = Members::read(line)?.object("params")?.object("_meta")?;
    let mut kept = Vec::new();
    meta.write(&mut kept, |name| name.starts_with("io.modelcontextprotocol/"));
    let kept = String::from_utf8(kept).ok()?;
    let cursor = cursor.map(|cursor| format!("\"cursor\":{},", Value::from(cursor))).unwrap_or_default();
    let head =
        format!("{{\"jsonrpc\":\"2.0\",\"id\":\"{OWN_ID}list\",\"method\":\"{}\",", method::TOOLS_LIST);
    Some(format!("{head}\"params\":{{{cursor}\"_meta\":{{{kept}}}}}}}").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(asked: &str, params: Value) -> (Request, String) {
        let line = json!({"jsonrpc": "2.0", "id": 1, "method": asked, "params": params}).to_string();
        (Request { id: "1".to_owned(), method: asked.to_owned(), version: None }, line)
    }

    #[test]
    fn what_was_granted_is_asked_for_again_and_what_was_taken_back_is_not() {
        let mut wishes = Wishes::default();
        for (asked, params) in [
            ("resources/subscribe", json!({"uri": "b"})),
            ("resources/subscribe", json!({"uri": "a"})),
            ("resources/subscribe", json!({"uri": "gone"})),
            ("resources/unsubscribe", json!({"uri": "gone"})),
            ("logging/setLevel", json!({"level": "info"})),
            ("logging/setLevel", json!({"level": "error"})),
            ("tools/call", json!({"name": "x"})),
        ] {
            let (request, line) = request(asked, params);
            wishes.granted(&request, &line);
        }
        let again: Vec<Value> =
            wishes.again().iter().map(|text| serde_json::from_slice(text).expect("JSON")).collect();
        let told: Vec<&Value> = again.iter().map(|request| &request["params"]).collect();
        assert_eq!(told, [&json!({"level": "error"}), &json!({"uri": "a"}), &json!({"uri": "b"})]);
        wishes.clear();
        assert!(wishes.again().is_empty());
    }

    #[test]
    fn the_tools_are_listed_as_the_client_would_list_them() {
        let meta =
            json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "progressToken": 7, "x": 1});
        let (_, line) = request("tools/call", json!({"name": "x", "_meta": meta}));
        let list = list_tools(&line, Some("a\"b")).expect("a request");
        let list: Value = serde_json::from_slice(&list).expect("JSON");
        assert_eq!(
            list["params"],
            json!({"cursor": "a\"b", "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}})
        );
        assert!(list_tools("{}", None).is_none());
    }

    #[test]
    fn the_revision_is_that_of_the_answer() {
        assert_eq!(
            agreed_version(r#"{"result":{"protocolVersion":"2025-06-18"}}"#).as_deref(),
            Some("2025-06-18")
        );
        assert_eq!(agreed_version(r#"{"error":{"code":1,"message":""}}"#), None);
        let withdrawn: Value = serde_json::from_slice(&withdrawn("\"7\"")).expect("JSON");
        assert_eq!(withdrawn["params"]["requestId"], "7");
    }
}
