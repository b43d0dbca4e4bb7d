//! Lines that a client writes: one JSON-RPC message each, or a batch in the revision that had batches. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;
use serde_json::value::RawValue;

use super::fault::{Fault, INVALID_REQUEST, PARSE_ERROR};
use crate::jsonrpc::{Line, TooLong};
use crate::mcp::translate::{Members, PROTOCOL_VERSION};

/// Longest line of a client, in bytes: as long as the longest message that a daemon can be set to take.
pub(super) const MAX_LINE: usize = 64 * 1024 * 1024;
/// Longest id of a request, in bytes of its JSON.
const MAX_ID: usize = 1024;
/// Maximum number of messages in a batch.
const MAX_BATCH: usize = 64;

/// Message of a client, with the bytes that it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The message as it was written, on one line.
    pub(super) text: Bytes,
    /// What the message is.
    pub(super) kind: Kind,
}

/// Kind of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request, which gets exactly one answer.
    Request(Request),
    /// A notification, which gets none.
    Notification {
        /// Name of its kind.
        method: String,
        /// The `requestId` of its `params`, raw JSON; `None` if there is none.
        about: Option<String>,
        /// `true` if it names a revision of the modern era.
        is_modern: bool,
    },
    /// An answer to a request of the server with this id, raw JSON.
    Answer(String),
    /// A batch, with the ids of its requests, raw JSON.
    Batch(Vec<String>),
}

/// What is read of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Id, raw JSON: a string or an integer.
    pub(super) id: String,
    /// Method that is asked for.
    pub(super) method: String,
    /// Revision that it names itself. `None` for a request of the legacy era, which belongs to a session.
    pub(super) version: Option<String>,
}

/// Refusal of a line, with the id of the request if it could be read, raw JSON.
pub(super) type Refused = (Fault, Option<String>);

/// Reads a line.
///
/// # Errors
/// What is wrong with it, for the client. `None` where the client cannot be told, since the line may be an answer.
pub(super) fn read(line: Line) -> Result<Message, Option<Refused>> {
    match line {
        Line::Frame(text) => {
            let kind = kind_of(&text).map_err(Some)?;
            Ok(Message { text, kind })
        }
        Line::TooLong(line) => Err(too_long(&line)),
    }
}

fn kind_of(line: &[u8]) -> Result<Kind, Refused> {
    let unreadable = |reason: String| (Fault::new(PARSE_ERROR, format!("Parse error: {reason}")), None);
    let text = std::str::from_utf8(line).map_err(|error| unreadable(error.to_string()))?;
    if text.starts_with('[') {
        let messages: Vec<&RawValue> =
            serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
        if messages.is_empty() || messages.len() > MAX_BATCH {
            let text = format!("A batch has between 1 and {MAX_BATCH} messages");
            return Err((Fault::new(INVALID_REQUEST, text), None));
        }
        let kinds = messages.iter().map(|message| one(message.get())).collect::<Result<Vec<_>, _>>()?;
        let id = |kind| match kind {
            Kind::Request(request) => Some(request.id),
            _ => None,
        };
        return Ok(Kind::Batch(kinds.into_iter().filter_map(id).collect()));
    }
    if let Err(error) = serde_json::from_str::<&RawValue>(text) {
        return Err(unreadable(error.to_string()));
    }
    one(text)
}

fn one(text: &str) -> Result<Kind, Refused> {
    let invalid = |reason: &'static str| Fault::new(INVALID_REQUEST, format!("Invalid request: {reason}"));
    let Some(message) = Members::read(text) else {
        return Err((invalid("the line is no JSON-RPC message"), None));
    };
    let id = message.get("id").filter(|id| is_id(id.get())).map(|id| id.get().to_owned());
    if message.text("jsonrpc").as_deref() != Some("2.0") {
        return Err((invalid("'jsonrpc' must be \"2.0\""), id));
    }
    if message.get("id").is_some() && id.is_none() {
        return Err((invalid("'id' must be a string or an integer"), None));
    }
    let outcomes = ["result", "error"].iter().filter(|name| message.get(name).is_some()).count();
    let method = message.text("method").map(Cow::into_owned);
    let params = message.object("params");
    let version = || {
        let meta = params.as_ref()?.object("_meta")?;
        let named = meta.get(PROTOCOL_VERSION)?;
        // Whatever it is, it is a claim: the daemon says what is wrong with it.
        Some(meta.text(PROTOCOL_VERSION).map_or_else(|| named.get().to_owned(), Cow::into_owned))
    };
    match (method, id, outcomes) {
        (Some(method), Some(id), 0) => Ok(Kind::Request(Request { id, method, version: version() })),
        (Some(method), None, 0) => {
            let about = params.as_ref().and_then(|params| params.get("requestId"));
            let about = about.map(|id| id.get().to_owned());
            Ok(Kind::Notification { method, about, is_modern: version().is_some() })
        }
        (None, Some(id), 1) => Ok(Kind::Answer(id)),
        (_, id, _) => Err((invalid("it is neither a request, nor a notification, nor an answer"), id)),
    }
}

/// Reports whether raw JSON is an id: a string or an integer (spec 2025-11-25, basic/index), of a bounded length.
fn is_id(raw: &str) -> bool {
    let is_integer = || raw.parse::<i64>().is_ok() || raw.parse::<u64>().is_ok();
    raw.len() <= MAX_ID && (raw.starts_with('"') || is_integer())
}

/// Returns what is said of a line that is too long; nothing if it is an answer or may be one, whose id is the server's.
fn too_long(line: &TooLong) -> Option<Refused> {
    let front = String::from_utf8_lossy(&line.front);
    let begins = members_at_front(&front);
    if begins.iter().any(|(name, _)| name == "result" || name == "error") {
        return None;
    }
    let id = begins.iter().find(|(name, _)| name == "id").map(|(_, id)| id.clone());
    let id = id.or_else(|| id_at_end(&String::from_utf8_lossy(&line.back)));
    let text =
        format!("Invalid request: the line has {} bytes, and at most {MAX_LINE} are read", line.length);
    Some((Fault::new(INVALID_REQUEST, text), id.filter(|id| is_id(id))))
}

/// Returns the names at the beginning of an object that breaks off, with the values that are plain and whole.
fn members_at_front(front: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = front.trim_start().strip_prefix('{').unwrap_or_default();
    loop {
        let mut name = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let Some(Ok(given)) = name.next() else { return found };
        let behind = rest[name.byte_offset()..].trim_start();
        let Some(behind) = behind.strip_prefix(':') else { return found };
        let mut value = serde_json::Deserializer::from_str(behind).into_iter::<Value>();
        let read = value.next();
        let after = behind[value.byte_offset()..].trim_start();
        match (read, after.strip_prefix(',')) {
            (Some(Ok(value)), Some(next)) => {
                found.push((given, value.to_string()));
                rest = next;
            }
            _ => {
                found.push((given, String::new()));
                return found;
            }
        }
    }
}

/// Reads the id as the last member of an object that ends here; `jsonrpc` may be behind it. The last brace of a line ends
/// the whole object, so the member right before it belongs to the whole object.
fn id_at_end(back: &str) -> Option<String> {
    let inside = back.trim_end().strip_suffix('}')?.trim_end();
    let (before, id) = inside.rsplit_once("\"id\"")?;
    before.trim_end().ends_with(',').then_some(())?;
    let text = format!("{{\"id\"{id}}}");
    let members = Members::read(&text)?;
    let is_last = members.iter().all(|(name, _)| matches!(name, "id" | "jsonrpc"));
    is_last.then(|| members.get("id").map(|id| id.get().to_owned())).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::Framer;
    use proptest::prelude::*;
    use serde_json::json;

    fn told(line: &str) -> String {
        match read(Line::Frame(Bytes::copy_from_slice(line.as_bytes()))) {
            Ok(Message { kind: Kind::Request(Request { id, method, version }), .. }) => {
                format!("request {id} {method} {}", version.as_deref().unwrap_or("legacy"))
            }
            Ok(Message { kind: Kind::Notification { method, about, is_modern }, .. }) => {
                format!("notification {method} {} {is_modern}", about.as_deref().unwrap_or("-"))
            }
            Ok(Message { kind: Kind::Answer(id), .. }) => format!("answer {id}"),
            Ok(Message { kind: Kind::Batch(ids), .. }) => format!("batch {}", ids.join(" ")),
            Err(Some((fault, id))) => format!("{} {}", fault.code(), id.as_deref().unwrap_or("-")),
            Err(None) => "nothing".to_owned(),
        }
    }

    #[test]
    fn lines_are_told_apart_by_their_shape() {
        let modern = json!({PROTOCOL_VERSION: "2026-07-28"});
        for (line, expected) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.to_owned(), "request 1 ping legacy"),
            (
                json!({"jsonrpc": "2.0", "id": "a", "method": "m", "params": {"_meta": modern}}).to_string(),
                "request \"a\" m 2026-07-28",
            ),
            (
                json!({"jsonrpc": "2.0", "id": 1, "method": "m", "params": {"_meta": {PROTOCOL_VERSION: 7}}})
                    .to_string(),
                "request 1 m 7",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"x"}}"#
                    .to_owned(),
                "notification notifications/cancelled \"x\" false",
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#.to_owned(), "answer 1"),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","method":"b"}]"#.to_owned(),
                "batch 1",
            ),
            ("[]".to_owned(), "-32600 -"),
            ("{".to_owned(), "-32700 -"),
            ("hello".to_owned(), "-32700 -"),
            ("7".to_owned(), "-32600 -"),
            (r#"{"id":1,"method":"a"}"#.to_owned(), "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#.to_owned(), "-32600 -"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"a"}"#.to_owned(), "-32600 -"),
            (r#"{"jsonrpc":"2.0","id":1}"#.to_owned(), "-32600 1"),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#.to_owned(), "-32600 1"),
        ] {
            assert_eq!(told(&line), expected, "{line}");
        }
    }

    /// The ends of a line that is too long, by the framer itself.
    fn ends(text: &str) -> Line {
        let mut framer = Framer::new(text.len() - 1);
        framer.push(text.as_bytes());
        framer.push(b"\n");
        framer.next_frame().expect("no more than twice the limit").expect("a line")
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_by_its_id_and_an_answer_is_not() {
        let long = "x".repeat(4000);
        for (text, id) in [
            (json!({"jsonrpc": "2.0", "id": 7, "method": "m", "params": {"a": long}}).to_string(), Some("7")),
            (
                json!({"method": "m", "params": {"a": long, "id": 1}, "jsonrpc": "2.0", "id": "z"})
                    .to_string(),
                Some("\"z\""),
            ),
            (format!(r#"{{"method":"m","params":{{"a":"{long}"}},"id":5,"jsonrpc":"2.0"}}"#), Some("5")),
            (json!({"jsonrpc": "2.0", "method": "m", "params": {"a": long, "id": 3}}).to_string(), None),
            ("y".repeat(4000), None),
        ] {
            let Err(Some((fault, told))) = read(ends(&text)) else { panic!("{}", &text[..40]) };
            assert_eq!((fault.code(), told.as_deref()), (INVALID_REQUEST, id), "{}", &text[..40]);
        }
        let answer = json!({"jsonrpc": "2.0", "id": 7, "result": {"a": long}}).to_string();
        assert_eq!(read(ends(&answer)), Err(None));
    }

    proptest! {
        #[test]
        fn any_line_is_read_or_refused_and_never_panics(
            line in proptest::collection::vec(any::<u8>(), 1..200),
            text in "[\\[\\]{}:,\"ida1 ]{1,60}",
        ) {
            let _ = read(Line::Frame(line.into()));
            let _ = read(ends(&format!("{text}{text}")));
            let _ = read(Line::Frame(text.into()));
        }
    }
}
