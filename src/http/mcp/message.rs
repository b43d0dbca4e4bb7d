//! What a client posts: one JSON-RPC message, or several in the revision that had batches.

use std::borrow::Cow;
use std::fmt;

use axum::http::StatusCode;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fault::{Fault, INVALID_REQUEST, PARSE_ERROR};
use crate::jsonrpc::{Raw, Reader, one_line, whole};
use crate::mcp::translate::{Members, Name, Params};
use crate::text::json_string;

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
        params: Params<'a>,
    },
    /// An answer to a request of a server.
    Answer {
        /// Id of that request, raw JSON.
        id: Raw<'a>,
        /// The result, or the error.
        outcome: Result<Raw<'a>, Raw<'a>>,
    },
}

/// Request of a client.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The client's id, raw JSON: a string or an integer.
    pub(super) id: Raw<'a>,
    /// Method that is asked for.
    pub(super) method: Cow<'a, str>,
    /// The `params` but for `_meta`; empty if there are none.
    pub(super) params: Members<'a>,
    /// The members of `params._meta`; `None` if there is none, and where it is known.
    pub(super) meta: Option<Members<'a>>,
    /// `params._meta` as it is written; `None` where it is known, and where it is not plain.
    pub(super) raw_meta: Option<&'a str>,
    /// `true` if `params._meta` is written like the one that was known.
    pub(super) is_known: bool,
    /// The body that the request was read in, and its text.
    body: &'a Bytes,
    text: &'a str,
}

impl<'a> Request<'a> {
    /// Returns the id as it is written into the answer.
    pub(super) fn id(&self) -> &'a [u8] {
        self.id.get().as_bytes()
    }

    /// Returns a part of the request, without a copy.
    pub(super) fn part(&self, part: &'a str) -> Bytes {
        self.body.slice_ref(part.as_bytes())
    }

    /// Returns the members of `params` but for `_meta` as the request of another hop has them: without braces and on one
    /// line; without a copy where they stand so in the body.
    pub(super) fn members(&self) -> Bytes {
        match self.params.piece(self.text) {
            Some(piece) if matches!(one_line(piece.as_bytes()), Cow::Borrowed(_)) => self.part(piece),
            _ => {
                let mut members = Vec::new();
                self.params.write(&mut members, |_| true);
                members.into()
            }
        }
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

impl Posted<'_> {
    /// Reports whether the `params._meta` is written like the one that was known, and so was not read again.
    pub(super) fn is_known(&self) -> bool {
        match self {
            Posted::Request(request) => request.is_known,
            Posted::Notification { params, .. } => params.is_known,
            Posted::Answer { .. } => false,
        }
    }
}

/// Refusal of a body, with the id of the request if it could be read.
pub(super) type Refused<'a> = (Fault, Option<Raw<'a>>);

/// Reads a body. A `params._meta` that is written like `known`, an object, is not read again.
pub(super) fn read<'a>(body: &'a Bytes, known: Option<&str>) -> Result<Body<'a>, Refused<'a>> {
    let unreadable = |reason: String| (Fault::bad(PARSE_ERROR, format!("Parse error: {reason}")), None);
    let text = std::str::from_utf8(body).map_err(|error| unreadable(error.to_string()))?;
    if !text.trim_ascii_start().starts_with('[') {
        return one(body, text, known).map(Body::One);
    }
    let messages: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    if messages.is_empty() || messages.len() > MAX_BATCH {
        let text = format!("A batch has between 1 and {MAX_BATCH} messages");
        return Err((Fault::bad(INVALID_REQUEST, text), None));
    }
    let messages = messages.iter().map(|message| one(body, message.get(), None)).collect::<Result<_, _>>()?;
    Ok(Body::Several(messages))
}

/// Members of a message that are read, in one pass over it.
#[derive(Default)]
struct Message<'a> {
    jsonrpc: Option<Raw<'a>>,
    id: Option<Raw<'a>>,
    method: Option<Raw<'a>>,
    params: Option<Params<'a>>,
    result: Option<Raw<'a>>,
    error: Option<Raw<'a>>,
}

impl<'a> Message<'a> {
    /// Takes a message that is plain; `None` for any other value.
    fn scan(reader: &mut Reader<'a>, known: Option<&str>) -> Option<Message<'a>> {
        let mut message = Message::default();
        reader.object(|name, reader| {
            match name {
                "jsonrpc" => message.jsonrpc = Some(reader.raw()?),
                "id" => message.id = Some(reader.raw()?),
                "method" => message.method = Some(reader.raw()?),
                "params" => message.params = Some(Params::scan(reader, known)?),
                "result" => message.result = Some(reader.raw()?),
                "error" => message.error = Some(reader.raw()?),
                _ => drop(reader.raw()?),
            }
            Some(())
        })?;
        Some(message)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Message<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Message<'a>, D::Error> {
        deserializer.deserialize_map(MessageVisitor)
    }
}

struct MessageVisitor;

impl<'de> Visitor<'de> for MessageVisitor {
    type Value = Message<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Message<'de>, A::Error> {
        let mut message = Message::default();
        // Of several of one name the last counts, as for every other reader.
        while let Some(name) = map.next_key_seed(Name)? {
            match &*name {
                "jsonrpc" => message.jsonrpc = Some(map.next_value()?),
                "id" => message.id = Some(map.next_value()?),
                "method" => message.method = Some(map.next_value()?),
                "params" => message.params = Some(map.next_value()?),
                "result" => message.result = Some(map.next_value()?),
                "error" => message.error = Some(map.next_value()?),
                _ => map.next_value::<IgnoredAny>().map(drop)?,
            }
        }
        Ok(message)
    }
}

fn one<'a>(body: &'a Bytes, text: &'a str, known: Option<&str>) -> Result<Posted<'a>, Refused<'a>> {
    // Without the look at its beginning, serde_json would copy the text of a number or a string into its error.
    let general =
        || text.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(text).ok()).flatten();
    let message = whole(text, |reader| Message::scan(reader, known)).or_else(general);
    let Some(message) = message else { return Err(unreadable(text)) };
    let Message { jsonrpc, id: given, method, params, result, error } = message;
    let id = given.filter(|id| is_id(id.get()));
    let refused = |reason: &'static str| (Fault::bad(INVALID_REQUEST, reason), id);
    if jsonrpc.and_then(json_string).as_deref() != Some("2.0") {
        return Err(refused("Invalid request: 'jsonrpc' must be \"2.0\""));
    }
    if given.is_some() && id.is_none() {
        return Err(refused("Invalid request: 'id' must be a string or an integer"));
    }
    let outcome = match (result, error) {
        (Some(result), None) => Some(Ok(result)),
        (None, Some(error)) => Some(Err(error)),
        _ => None,
    };
    let not_text = || refused("Invalid request: 'method' must be a string");
    let method = method.map(|method| json_string(method).ok_or_else(not_text)).transpose()?;
    let params = params.unwrap_or_default();
    match (method, id, outcome) {
        (Some(method), Some(id), None) => {
            let Params { members: params, meta, raw_meta, is_known } = params;
            Ok(Posted::Request(Request { id, method, params, meta, raw_meta, is_known, body, text }))
        }
        (Some(method), None, None) => Ok(Posted::Notification { method, params }),
        (None, Some(id), Some(outcome)) => Ok(Posted::Answer { id, outcome }),
        _ => Err(refused("Invalid request: it is neither a request, nor a notification, nor an answer")),
    }
}

/// Returns what is wrong with a message that could not be read.
fn unreadable(text: &str) -> Refused<'_> {
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        return (Fault::bad(PARSE_ERROR, format!("Parse error: {error}")), None);
    }
    let invalid = |reason: &'static str| Fault::bad(INVALID_REQUEST, reason);
    let Some(message) = Members::read(text) else {
        return (invalid("Invalid request: the body is no JSON-RPC message"), None);
    };
    let id = message.get("id").filter(|id| is_id(id.get()));
    let reason = match message.object("params") {
        None => "Invalid request: 'params' must be an object, of at most 1024 members",
        Some(_) => "Invalid request: 'params._meta' must be an object, of at most 1024 members",
    };
    (invalid(reason), id)
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
        match read(&Bytes::copy_from_slice(body.as_bytes()), None) {
            Ok(Body::One(Posted::Request(request))) => format!("request {}", request.id.get()),
            Ok(Body::One(Posted::Notification { method, .. })) => format!("notification {method}"),
            Ok(Body::One(Posted::Answer { id, outcome })) => {
                format!("answer {} {}", id.get(), outcome.is_ok())
            }
            Ok(Body::Several(several)) => format!("batch of {}", several.len()),
            Err((fault, id)) => {
                let told: serde_json::Value = serde_json::from_slice(&fault.message(None)).expect("JSON");
                format!("{} {}", told["error"]["code"], id.map_or("-", Raw::get))
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
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":7}}"#, "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":null}}"#, "request 1"),
            (r#"{"jsonrpc":"2.0","id":7,"method":"a","id":1}"#, "request 1"),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","other":[{}]}"#, "request 1"),
        ] {
            assert_eq!(kind(body), expected, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body.into(), None);
        }

        #[test]
        fn an_id_comes_back_as_it_was_written(id in "[ -~]{0,20}", number in any::<i64>()) {
            for id in [json!(id), json!(number)] {
                let body = json!({"jsonrpc": "2.0", "id": id, "method": "m"}).to_string();
                let body = Bytes::from(body);
                let Ok(Body::One(Posted::Request(request))) = read(&body, None) else { panic!("{body:?}") };
                prop_assert_eq!(request.id.get(), id.to_string());
            }
        }
    }
}
