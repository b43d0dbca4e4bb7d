//! Errors that the bridge itself answers requests with, beside those that the daemon sends. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::jsonrpc::{one_line, push_string};
use crate::mcp::method;
use crate::mcp::translate::Members;

/// Text that is not JSON (JSON-RPC 2.0, section 5.1).
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON that is no request here.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// TransportError that the client can do nothing about.
pub(super) const INTERNAL_ERROR: i64 = -32603;
/// Headers that contradict the body (spec 2026-07-28, basic/transports/streamable-http).
pub(super) const HEADER_MISMATCH: i64 = -32020;

/// An error as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    code: i64,
    message: Cow<'static, str>,
    /// `data`, raw JSON; `None` for none.
    data: Option<String>,
}

impl Fault {
    /// Creates an error.
    pub(super) fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault { code, message: message.into(), data: None }
    }

    fn of_the_way(kind: &str, retry: &str, message: String) -> Fault {
        let data = Some(json!({"kind": kind, "retry": retry}).to_string());
        Fault { code: INTERNAL_ERROR, message: message.into(), data }
    }

    /// Creates the error for a request that did not reach the daemon.
    pub(super) fn unreachable(place: &str, reason: &str) -> Fault {
        let text = format!("No daemon answers at {place}: {reason}; the request was not sent");
        Fault::of_the_way("daemon_unreachable", "safe", text)
    }

    /// Creates the error for a request whose answer did not come, though the daemon may have had it. Only what changes
    /// nothing may be asked for again without a thought.
    pub(super) fn lost(asked: &str, reason: &str) -> Fault {
        let (retry, outcome) = match changes_nothing(asked) {
            true => ("safe", "it can be asked again"),
            false => ("outcome_unknown", "it may have been carried out"),
        };
        Fault::of_the_way("daemon_lost", retry, format!("The daemon's answer was lost, {outcome}: {reason}"))
    }

    /// Creates the error for a request beyond those that may wait.
    pub(super) fn too_many(most: usize) -> Fault {
        let text = format!("{most} requests are under way, which is as many as there may be");
        Fault::of_the_way("too_many_requests", "safe", text)
    }

    /// Creates the error for a request whose id another one under way has.
    pub(super) fn same_id() -> Fault {
        Fault::new(INVALID_REQUEST, "Invalid request: a request with this id is under way")
    }

    /// Reads the refusal of a daemon, or of a proxy before it: an HTTP status, a body, and the seconds of `Retry-After`.
    pub(super) fn of_status(status: u16, body: &[u8], retry_after: Option<u64>) -> Fault {
        let text = std::str::from_utf8(body).ok();
        let told = text.and_then(|text| Members::read(text)?.object("error"));
        let code = told.as_ref().and_then(|error| error.get("code")?.get().parse().ok());
        let message = told.as_ref().and_then(|error| error.text("message").map(Cow::into_owned));
        let data = told.as_ref().and_then(|error| error.get("data"));
        let (Some(code), Some(message)) = (code, message) else {
            let text = format!("The answer came with HTTP status {status} and is no message of MCP");
            return Fault::new(INTERNAL_ERROR, text).with(json!({"httpStatus": status}));
        };
        let fault = Fault::new(code, message);
        match data {
            Some(data) => Fault {
                data: Some(String::from_utf8_lossy(&one_line(data.get().as_bytes())).into_owned()),
                ..fault
            },
            None if (400..600).contains(&code) || retry_after.is_some() => {
                let wait = retry_after.map(|seconds| seconds.saturating_mul(1000));
                fault.with(json!({"httpStatus": status, "retryAfterMs": wait}))
            }
            None => fault,
        }
    }

    fn with(mut self, data: Value) -> Fault {
        self.data = Some(data.to_string());
        self
    }

    /// Returns the code.
    pub(super) fn code(&self) -> i64 {
        self.code
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        &self.message
    }

    /// Writes the error as the answer to the request with this id, raw JSON; `None` if it is not known.
    pub(super) fn message(&self, id: Option<&str>) -> Bytes {
        let mut out = b"{\"jsonrpc\":\"2.0\"".to_vec();
        if let Some(id) = id {
            out.extend_from_slice(b",\"id\":");
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(format!(",\"error\":{{\"code\":{},\"message\":", self.code).as_bytes());
        push_string(&mut out, &self.message);
        if let Some(data) = &self.data {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(data.as_bytes());
        }
        out.extend_from_slice(b"}}");
        out.into()
    }
}

/// Reports whether a method of MCP only reads, so that asking twice does no harm.
fn changes_nothing(asked: &str) -> bool {
    let only_read = [
        method::INITIALIZE,
        method::DISCOVER,
        method::PING,
        method::LISTEN,
        method::TOOLS_LIST,
        method::RESOURCES_LIST,
        method::TEMPLATES_LIST,
        method::RESOURCES_READ,
        method::PROMPTS_LIST,
        method::PROMPTS_GET,
        method::COMPLETE,
        method::SUBSCRIBE,
        method::UNSUBSCRIBE,
        method::SET_LEVEL,
    ];
    only_read.contains(&asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fault: &Fault, id: Option<&str>) -> Value {
        serde_json::from_slice(&fault.message(id)).expect("JSON")
    }

    #[test]
    fn an_error_says_whether_asking_again_is_safe() {
        let lost = |method| read(&Fault::lost(method, "x"), Some("1"))["error"]["data"]["retry"].clone();
        assert_eq!((lost("tools/call"), lost("tools/list")), (json!("outcome_unknown"), json!("safe")));
        assert_eq!(lost("anything/else"), "outcome_unknown");
        let told = read(&Fault::unreachable("p", "x"), Some("\"a\""));
        assert_eq!((&told["id"], &told["error"]["data"]["retry"]), (&json!("a"), &json!("safe")));
        assert!(read(&Fault::same_id(), None).get("id").is_none());
    }

    #[test]
    fn a_refusal_of_the_daemon_keeps_its_words_and_one_of_a_proxy_is_named() {
        let body = br#"{"jsonrpc":"2.0","error":{"code":401,"message":"Authentication required"}}"#;
        let told = read(&Fault::of_status(401, body, None), Some("1"));
        assert_eq!(told["error"]["code"], 401);
        assert_eq!(told["error"]["data"], json!({"httpStatus": 401, "retryAfterMs": null}));
        let body = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no","data":{"supported":
            ["2026-07-28"]}}}"#;
        let told = Fault::of_status(400, body, None).message(Some("1"));
        assert!(!told.contains(&b'\n'), "on one line");
        assert_eq!(
            serde_json::from_slice::<Value>(&told).expect("JSON")["error"]["data"],
            json!({"supported": ["2026-07-28"]})
        );
        let body = br#"{"error":{"code":503,"message":"full"}}"#;
        assert_eq!(
            read(&Fault::of_status(503, body, Some(60)), None)["error"]["data"]["retryAfterMs"],
            60_000
        );
        let told = read(&Fault::of_status(502, b"<html>", None), None);
        assert!(told["error"]["message"].as_str().is_some_and(|text| text.contains("502")), "{told}");
    }
}
