//! Conversion of frames to messages and back. An incoming frame is classified in one pass that skips the
//! payloads; outgoing frames are written into one buffer, with payloads spliced in as they came.

use std::borrow::Cow;
use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::scan::{is_plain, members};
use crate::text::json_text;

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    /// The peer's error code; -32603 if it gave none that can be read.
    pub code: i64,
    /// The message, at most `MAX_ERROR_MESSAGE` characters.
    pub message: String,
    /// The `data`, raw JSON; `None` if it is missing.
    pub data: Option<Bytes>,
}

/// A frame from a peer, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An answer to request `id`, which was ours.
    Response {
        /// The id we gave the request.
        id: u64,
        /// The `result`, raw JSON, or the error.
        outcome: Result<Bytes, RpcError>,
    },
    /// A request of the peer, which waits for an answer.
    Request {
        /// The peer's id, raw JSON: a string or an integer.
        id: Bytes,
        /// The requested method, not checked against any list.
        method: String,
        /// The `params`, raw JSON; `None` if they are missing.
        params: Option<Bytes>,
    },
    /// A notification, which gets no answer.
    Notification {
        /// The method that names the kind of notification.
        method: String,
        /// The `params`, raw JSON; `None` if they are missing.
        params: Option<Bytes>,
    },
    /// A frame that is not a JSON-RPC message meant for us.
    Noise,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

/// Deserializes a member that is present, even if its value is `null`: `"result": null` answers a request.
/// For serde.
pub fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
struct ErrorObject<'a> {
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

/// Code of an error without a readable code: an internal error of the peer.
const NO_CODE: i64 = -32603;

/// Maximum length of a peer's error message that is kept, in characters.
const MAX_ERROR_MESSAGE: usize = 4096;

/// Classifies a frame. Payloads of the answer are slices of `frame`.
pub fn classify(frame: &Bytes) -> Incoming {
    if let Some(answer) = plain_answer(frame) {
        return answer;
    }
    // serde accepts an array for a struct, too; JSON-RPC does not.
    let envelope = frame.starts_with(b"{").then(|| serde_json::from_slice::<Envelope<'_>>(frame).ok());
    let Some(envelope) = envelope.flatten() else { return Incoming::Noise };
    let slice = |raw: &RawValue| frame.slice_ref(raw.get().as_bytes());
    match envelope {
        Envelope { id: Some(id), method: None, result: Some(result), error: None, .. } => {
            match own_id(id.get()) {
                Some(id) => Incoming::Response { id, outcome: Ok(slice(result)) },
                None => Incoming::Noise,
            }
        }
        Envelope { id: Some(id), method: None, error: Some(error), .. } => match own_id(id.get()) {
            Some(id) => Incoming::Response { id, outcome: Err(read_error(error, &slice)) },
            None => Incoming::Noise,
        },
        Envelope { id: Some(id), method: Some(method), params, .. } if is_id(id) => {
            Incoming::Request { id: slice(id), method: method.into_owned(), params: params.map(slice) }
        }
        Envelope { id: None, method: Some(method), params, .. } => {
            Incoming::Notification { method: method.into_owned(), params: params.map(slice) }
        }
        _ => Incoming::Noise,
    }
}

/// Reads a frame that is a result, as nearly all are. `None` for any other, and for one that is not plain.
fn plain_answer(frame: &Bytes) -> Option<Incoming> {
    let text = std::str::from_utf8(frame).ok().filter(|text| text.starts_with('{'))?;
    let [Some(id), Some(result), None, None] = members(text, ["id", "result", "method", "error"])? else {
        return None;
    };
    Some(Incoming::Response { id: own_id(id)?, outcome: Ok(frame.slice_ref(result.as_bytes())) })
}

/// Reads the answer to a request that was made in an exchange of its own, so that nobody need know its id: errors come with
/// `null`, with a text of the server's or without an id at all. Returns the id as well, `None` if it is none of ours. An
/// array of one message stands for the message. `None` if it is no answer.
pub fn lone_answer(frame: &Bytes) -> Option<(Option<u64>, Result<Bytes, RpcError>)> {
    let slice = |raw: &RawValue| frame.slice_ref(raw.get().as_bytes());
    if frame.starts_with(b"[") {
        let [only] = serde_json::from_slice::<[&RawValue; 1]>(frame).ok()?;
        return only.get().starts_with('{').then(|| lone_answer(&slice(only)))?;
    }
    let envelope = frame.starts_with(b"{").then(|| serde_json::from_slice::<Envelope<'_>>(frame).ok())??;
    if envelope.method.is_some() {
        return None;
    }
    let id = envelope.id.and_then(|id| own_id(id.get()));
    match (envelope.result, envelope.error) {
        (_, Some(error)) if error.get() != "null" => Some((id, Err(read_error(error, &slice)))),
        (Some(result), _) => Some((id, Ok(slice(result)))),
        (None, _) => None,
    }
}

/// Reads the id that we gave a request, as a peer may write it: as the number, as text, or as a number
/// without a fraction. `id` is raw JSON; `None` if it is none of these.
pub fn own_id(id: &str) -> Option<u64> {
    id.parse().ok().or_else(|| oddly_written(id))
}

#[cold]
fn oddly_written(id: &str) -> Option<u64> {
    if let Some(text) = id.strip_prefix('"') {
        let digits = text.strip_suffix('"').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        return digits?.parse().ok();
    }
    // Only numbers that a double holds exactly.
    let number = id.parse::<f64>().ok().filter(|number| number.fract() == 0.0)?;
    (0.0..9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

/// Reports whether an id is valid: JSON-RPC ids are strings or integers here; MCP forbids null, and most
/// peers refuse fractions.
fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    text.starts_with('"') || text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
}

/// Reads an error in any shape, and keeps all that the peer says of it.
fn read_error(raw: &RawValue, slice: &dyn Fn(&RawValue) -> Bytes) -> RpcError {
    let object = raw.get().starts_with('{').then(|| serde_json::from_str::<ErrorObject<'_>>(raw.get()).ok());
    let Some(error) = object.flatten() else {
        return RpcError { code: NO_CODE, message: words(raw), data: None };
    };
    RpcError {
        code: error.code.and_then(|code| read_code(code.get())).unwrap_or(NO_CODE),
        // An object without a message becomes the message itself.
        message: error.message.filter(|message| message.get() != "null").map_or_else(|| words(raw), words),
        data: error.data.map(slice),
    }
}

/// Reads a code as peers write it: an integer, a number with a zero fraction, or either as text. `None` for
/// anything else.
fn read_code(raw: &str) -> Option<i64> {
    let digits = raw.trim_matches('"');
    let whole = |code: &f64| code.fract() == 0.0 && code.abs() < 9_007_199_254_740_992.0;
    digits.parse().ok().or_else(|| digits.parse::<f64>().ok().filter(whole).map(|code| code as i64))
}

/// Returns the content of a string, or the JSON of any other value, cut to [`MAX_ERROR_MESSAGE`]
/// characters.
fn words(raw: &RawValue) -> String {
    let text = json_text(raw.get()).unwrap_or_else(|| raw.get().to_owned());
    match text.char_indices().nth(MAX_ERROR_MESSAGE) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}

/// Appends a request. `members` are the members of `params` without braces, `meta` those of
/// `params._meta`; both are JSON on one line. With `progress` the id doubles as progress token.
pub fn push_request(
    out: &mut BytesMut,
    id: u64,
    method: &str,
    members: &[u8],
    meta: &[&[u8]],
    progress: bool,
) {
    out.reserve(members.len() + meta.iter().map(|part| part.len() + 1).sum::<usize>() + method.len() + 120);
    out.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    push_number(out, id);
    out.put_slice(b",\"method\":\"");
    out.put_slice(method.as_bytes());
    out.put_slice(b"\",\"params\":{");
    out.put_slice(members);
    let has_meta = progress || meta.iter().any(|part| !part.is_empty());
    if has_meta {
        if !members.is_empty() {
            out.put_u8(b',');
        }
        out.put_slice(b"\"_meta\":{");
        let mut first = true;
        for part in meta.iter().filter(|part| !part.is_empty()) {
            if !first {
                out.put_u8(b',');
            }
            first = false;
            out.put_slice(part);
        }
        if progress {
            out.put_slice(if first { b"\"progressToken\":" } else { b",\"progressToken\":" });
            push_number(out, id);
        }
        out.put_u8(b'}');
    }
    out.put_slice(b"}}\n");
}

/// Appends a notification; `members` as in [`push_request`].
pub fn push_notification(out: &mut BytesMut, method: &str, members: &[u8]) {
    out.put_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"");
    out.put_slice(method.as_bytes());
    if members.is_empty() {
        out.put_slice(b"\"}\n");
    } else {
        out.put_slice(b"\",\"params\":{");
        out.put_slice(members);
        out.put_slice(b"}}\n");
    }
}

/// Appends the answer to a peer's request. `id` and `result` are raw JSON on one line.
pub fn push_result(out: &mut BytesMut, id: &[u8], result: &[u8]) {
    out.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.put_slice(id);
    out.put_slice(b",\"result\":");
    out.put_slice(result);
    out.put_slice(b"}\n");
}

/// Appends an error answer to a peer's request.
pub fn push_error(out: &mut BytesMut, id: &[u8], code: i32, message: &str) {
    out.put_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.put_slice(id);
    out.put_slice(b",\"error\":{\"code\":");
    out.put_slice(code.to_string().as_bytes());
    out.put_slice(b",\"message\":");
    push_string(out.writer(), message);
    out.put_slice(b"}}\n");
}

/// Appends a string as JSON to a buffer in memory, which cannot fail.
pub fn push_string(mut out: impl Write, text: &str) {
    match is_plain(text) {
        true => drop(
            out.write_all(b"\"")
                .and_then(|()| out.write_all(text.as_bytes()))
                .and_then(|()| out.write_all(b"\"")),
        ),
        false => drop(serde_json::to_writer(out, text)),
    }
}

/// Puts JSON on one line. Valid JSON has raw line breaks only between tokens, so blanks can replace them.
pub fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'\n', b'\r', json).is_none() {
        return Cow::Borrowed(json);
    }
    let blank = |byte: &u8| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte };
    Cow::Owned(json.iter().map(blank).collect())
}

fn push_number(out: &mut BytesMut, number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn incoming(text: &str) -> Incoming {
        classify(&Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn responses_keep_their_payload_as_it_was_written() {
        let outcome = Ok(Bytes::from_static(b"{ \"n\": 12345678901234567890123 }"));
        assert_eq!(
            incoming(r#"{"result":{ "n": 12345678901234567890123 },"id":7,"jsonrpc":"2.0"}"#),
            Incoming::Response { id: 7, outcome }
        );
        let Incoming::Response { id: 8, outcome: Err(error) } =
            incoming(r#"{"id":8,"error":{"code":-32601,"message":"no \"x\"","data":[1]}}"#)
        else {
            panic!("an error response")
        };
        assert_eq!(
            (error.code, error.message.as_str(), error.data),
            (-32601, "no \"x\"", Some(Bytes::from("[1]")))
        );
    }

    #[test]
    fn null_is_a_result_and_a_null_error_is_none() {
        let null = Incoming::Response { id: 1, outcome: Ok(Bytes::from_static(b"null")) };
        assert_eq!(incoming(r#"{"id":1,"result":null}"#), null);
        assert_eq!(incoming(r#"{"id":1,"result":null,"error":null}"#), null);
        assert_eq!(incoming(r#"{"id":null,"error":{"code":-32700,"message":"x"}}"#), Incoming::Noise);
    }

    #[test]
    fn an_error_keeps_its_words_in_whatever_shape_it_comes() {
        let read = |error: &str| match incoming(&format!("{{\"id\":1,\"error\":{error}}}")) {
            Incoming::Response { outcome: Err(error), .. } => (error.code, error.message),
            other => panic!("{error}: {other:?}"),
        };
        let told = |code: i64, message: &str| (code, message.to_owned());
        assert_eq!(read(r#"{"code":-32000,"message":"half \ud83d"}"#), told(-32000, "half \u{fffd}"));
        assert_eq!(read(r#"{"code":"-32001","message":"m"}"#), told(-32001, "m"));
        assert_eq!(read(r#"{"code":-32002.0,"message":"m"}"#), told(-32002, "m"));
        assert_eq!(read(r#"{"message":"m"}"#), told(NO_CODE, "m"));
        assert_eq!(read(r#"{"code":"ENOENT","message":{"why":"gone"}}"#), told(NO_CODE, r#"{"why":"gone"}"#));
        assert_eq!(read(r#""no disk""#), told(NO_CODE, "no disk"));
        assert_eq!(read("[1]"), told(NO_CODE, "[1]"));
        assert_eq!(read(r#"{"code":5}"#), told(5, r#"{"code":5}"#));
        assert_eq!(read("true"), told(NO_CODE, "true"));
    }

    #[test]
    fn an_answer_is_ours_however_its_id_is_written() {
        for id in ["7", "7.0", "7e0", "0.7e1", "\"7\""] {
            let seven = Incoming::Response { id: 7, outcome: Ok(Bytes::from_static(b"1")) };
            assert_eq!(incoming(&format!("{{\"id\":{id},\"result\":1}}")), seven, "{id}");
        }
        assert_eq!(own_id("-7"), None);
    }

    #[test]
    fn requests_and_notifications_are_told_apart_by_their_id() {
        assert!(matches!(incoming(r#"{"id":"a","method":"ping"}"#), Incoming::Request { .. }));
        assert!(matches!(incoming(r#"{"id":0,"method":"ping"}"#), Incoming::Request { .. }));
        assert!(matches!(incoming(r#"{"method":"x","params":{}}"#), Incoming::Notification { .. }));
    }

    #[test]
    fn what_cannot_be_meant_for_us_is_noise() {
        for text in [
            "hello",
            "[1]",
            "5",
            "\"x\"",
            "{}",
            "{\"id\":1}",
            "{\"id\":\"a\",\"result\":1}",
            "{\"id\":\"\",\"result\":1}",
            "{\"id\":\"+1\",\"result\":1}",
            "{\"id\":1.5,\"result\":1}",
            "{\"id\":1e300,\"result\":1}",
            "{\"id\":true,\"result\":1}",
            "{\"id\":-1,\"result\":1}",
            "{\"id\":1,\"result\":1,\"error\":{},\"method\":\"x\",\"id\":2}",
            "{\"id\":1.5,\"method\":\"x\"}",
            "{\"id\":1,\"result\":1",
        ] {
            assert_eq!(incoming(text), Incoming::Noise, "{text}");
        }
    }

    #[test]
    fn requests_are_written_with_spliced_members_and_meta() {
        let mut out = BytesMut::new();
        push_request(&mut out, 12, "tools/call", b"\"name\":\"a\"", &[b"", b"\"k\":1"], true);
        push_request(&mut out, 0, "tools/list", b"", &[], false);
        assert_eq!(
            &out[..],
            b"{\"jsonrpc\":\"2.0\",\"id\":12,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"_meta\":{\"k\":1,\"progressToken\":12}}}\n\
              {\"jsonrpc\":\"2.0\",\"id\":0,\"method\":\"tools/list\",\"params\":{}}\n"
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_classified(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            classify(&Bytes::from(bytes));
        }

        #[test]
        fn a_request_is_one_line_of_valid_json(
            id in any::<u64>(), progress in any::<bool>(), text in "\\PC{0,40}", meta in any::<bool>()
        ) {
            let value = serde_json::to_string_pretty(&serde_json::json!({"a": text, "b": [1, 2]})).unwrap();
            let value = one_line(value.as_bytes()).into_owned();
            let mut members = b"\"v\":".to_vec();
            members.extend_from_slice(&value);
            let mut out = BytesMut::new();
            let parts: &[&[u8]] = if meta { &[b"\"m\":1"] } else { &[] };
            push_request(&mut out, id, "x/y", &members, parts, progress);
            prop_assert_eq!(memchr::memchr(b'\n', &out), Some(out.len() - 1));
            let parsed: serde_json::Value = serde_json::from_slice(&out).unwrap();
            prop_assert_eq!(&parsed["id"], &serde_json::json!(id));
            prop_assert_eq!(&parsed["params"]["v"]["a"], &serde_json::json!(text));
            prop_assert_eq!(parsed["params"]["_meta"]["progressToken"].as_u64(), progress.then_some(id));
        }
    }
}
