//! What a client posts: one JSON-RPC message, or several in the revision that had batches.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde_json::value::RawValue;

use super::fault::{Fault, INVALID_REQUEST, PARSE_ERROR};
use crate::mcp::translate::Members;

/// Maximum number of messages in a batch.
const MAX_BATCH: usize = 64;
/// Longest id of a request, in bytes of its JSON.
const MAX_ID: usize = 1024;

/// Message of a client.
#[derive(Debug)]
pub(super) enum Posted<'a> {
    /// A request, which gets an answer.
    Request(Request<'a>),
    /// A notification, which gets none.
    Notification {
        /// Name of its kind.
        method: Cow<'a, str>,
        /// Its `params`.
        params: Members<'a>,
    },
    /// An answer to a request of a server.
    Answer {
        /// Id of that request, raw JSON.
        id: &'a RawValue,
        /// The result, or the error.
        outcome: Result<&'a RawValue, &'a RawValue>,
    },
}

/// Request of a client.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The client's id, raw JSON: a string or an integer.
    pub(super) id: &'a RawValue,
    /// Method that is asked for.
    pub(super) method: Cow<'a, str>,
    /// The `params`; empty if there are none.
    pub(super) params: Members<'a>,
}

impl Request<'_> {
    /// Returns the id as it is written into the answer.
    pub(super) fn id(&self) -> &[u8] {
        self.id.get().as_bytes()
    }
}

/// Body of a POST.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// One message.
    One(Posted<'a>),
    /// A batch, each with its message or what is wrong with it.
    Several(Vec<Posted<'a>>),
}

/// Refusal of a body, with the id of the request if it could be read.
pub(super) type Refused<'a> = (Fault, Option<&'a RawValue>);

/// Reads a body.
pub(super) fn read(body: &[u8]) -> Result<Body<'_>, Refused<'_>> {
    let unreadable = |reason: String| (Fault::bad(PARSE_ERROR, format!("Parse error: {reason}")), None);
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    if text.trim_ascii_start().starts_with('[') {
        let messages: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if messages.is_empty() || messages.len() > MAX_BATCH {
            let text = format!("A batch has between 1 and {MAX_BATCH} messages");
            return Err((Fault::bad(INVALID_REQUEST, text), None));
        }
        let messages = messages.iter().map(|message| one(message.get())).collect::<Result<_, _>>()?;
        return Ok(Body::Several(messages));
    }
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        return Err(unreadable(error.to_string()));
    }
    one(text).map(Body::One)
}

fn one(text: &str) -> Result<Posted<'_>, Refused<'_>> {
    let invalid = |reason: &'static str| Fault::bad(INVALID_REQUEST, reason);
    let Some(message) = Members::read(text) else {
        return Err((invalid("Invalid request: the body is no JSON-RPC message"), None));
    };
    let id = message.get("id").filter(|id| is_id(id.get()));
    let refused = |reason| (invalid(reason), id);
    if message.text("jsonrpc").as_deref() != Some("2.0") {
        return Err(refused("Invalid request: 'jsonrpc' must be \"2.0\""));
    }
    if message.get("id").is_some() && id.is_none() {
        return Err((invalid("Invalid request: 'id' must be a string or an integer"), None));
    }
    let outcome = match (message.get("result"), message.get("error")) {
        (Some(result), None) => Some(Ok(result)),
        (None, Some(error)) => Some(Err(error)),
        _ => None,
    };
    let method = match message.get("method") {
        None => None,
        Some(_) => Some(
            message.text("method").ok_or_else(|| refused("Invalid request: 'method' must be a string"))?,
        ),
    };
    let params = match message.get("params") {
        None => Members::default(),
        Some(params) if method.is_some() => Members::read(params.get())
            .ok_or_else(|| refused("Invalid request: 'params' must be an object"))?,
        Some(_) => Members::default(),
    };
    match (method, id, outcome) {
        (Some(method), Some(id), None) => Ok(Posted::Request(Request { id, method, params })),
        (Some(method), None, None) => Ok(Posted::Notification { method, params }),
        (None, Some(id), Some(outcome)) => Ok(Posted::Answer { id, outcome }),
        _ => Err(refused("Invalid request: it is neither a request, nor a notification, nor an answer")),
    }
}

/// Reports whether raw JSON is an id, or a token: a string or an integer (spec 2025-11-25, basic/index), of a bounded length.
pub(super) fn is_id(raw: &str) -> bool {
    let is_integer = || raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok();
    raw.len() <= MAX_ID && (raw.starts_with('"') || is_integer())
}

/// Answers a request for a stream, or for the end of a session, where there is none.
pub(super) fn no_session(status: StatusCode) -> Fault {
    Fault::http(status, "This needs the Mcp-Session-Id of a session that was opened by initialize")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn kind(body: &str) -> String {
        match read(body.as_bytes()) {
            Ok(Body::One(Posted::Request(request))) => format!("request {}", request.id.get()),
            Ok(Body::One(Posted::Notification { method, .. })) => format!("notification {method}"),
            Ok(Body::One(Posted::Answer { id, outcome })) => {
                format!("answer {} {}", id.get(), outcome.is_ok())
            }
            Ok(Body::Several(several)) => format!("batch of {}", several.len()),
            Err((fault, id)) => {
                let told: serde_json::Value = serde_json::from_slice(&fault.message(None)).expect("JSON");
                format!("{} {}", told["error"]["code"], id.map_or("-", RawValue::get))
            }
        }
    }

    #[test]
    fn messages_are_told_apart_by_what_they_have() {
        for (body, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}"#, "request 1"),
            ("\n{ \"jsonrpc\" : \"2.0\",\n\"id\":\"x\",\"method\":\"a\",\"params\":{}}\n", "request \"x\""),
            (r#"{"jsonrpc":"2.0","method":"n","params":{}}"#, "notification n"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, "answer 1 true"),
            (r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":""}}"#, "answer 1 false"),
            (r#"[{"jsonrpc":"2.0","method":"n"}]"#, "batch of 1"),
            ("[]", "-32600 -"),
            ("", "-32700 -"),
            ("{", "-32700 -"),
            ("{} {}", "-32700 -"),
            ("7", "-32600 -"),
            (r#"{"id":1,"method":"a"}"#, "-32600 1"),
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, "-32600 -"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#, "-32600 -"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[1]}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","result":{}}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1}"#, "-32600 1"),
        ] {
            assert_eq!(kind(body), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body);
        }

        #[test]
        fn an_id_comes_back_as_it_was_written(id in "[ -~]{0,20}", number in any::<i64>()) {
            for id in [json!(id), json!(number)] {
                let body = json!({"jsonrpc": "2.0", "id": id, "method": "m"}).to_string();
                let Ok(Body::One(Posted::Request(request))) = read(body.as_bytes()) else { panic!("{body}") };
                prop_assert_eq!(request.id.get(), id.to_string());
            }
        }
    }
}
