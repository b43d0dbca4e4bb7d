//! Results of `tools/call` and `resources/read`. Only the members that a dialect's answer needs are read;
//! the payloads remain slices of the frame.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::jsonrpc::{members, present};

/// A `CallToolResult` with its payloads unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolResult {
    /// `structuredContent`, raw JSON; `None` if it is missing. `null` is a value like any other
    /// (2026-07-28).
    pub structured: Option<Bytes>,
    /// `content`, a raw JSON array; `[]` if it is missing.
    pub content: Bytes,
    /// `isError`; `false` if it is missing.
    pub is_error: bool,
    /// Length of the whole result in bytes; the payloads keep all of it in memory.
    pub whole: usize,
}

#[derive(Deserialize)]
struct ToolResultMembers<'a> {
    #[serde(borrow, default, rename = "structuredContent", deserialize_with = "present")]
    structured: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(default, rename = "isError")]
    is_error: Option<bool>,
    #[serde(borrow, default, rename = "resultType")]
    result_type: Option<std::borrow::Cow<'a, str>>,
}

/// Reason why a tool call has no usable result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoResult {
    /// The tool needs more input first (spec 2026-07-28, `input_required`).
    InputRequired,
    /// The value is not a result as MCP defines it.
    Unusable(String),
}

impl From<String> for NoResult {
    fn from(reason: String) -> NoResult {
        NoResult::Unusable(reason)
    }
}

/// Error code of a modern server that refuses a request because it needs a capability that its client has
/// not declared, such as asking the client (spec 2026-07-28, basic/index).
pub const CAPABILITY_REQUIRED: i64 = -32021;

/// Reads a tool's result, or returns why it is not one. Payloads of the answer are slices of `result`.
pub fn read_tool_result(result: &Bytes) -> Result<ToolResult, NoResult> {
    if let Some(read) = plain_tool_result(result) {
        return Ok(read);
    }
    let members: ToolResultMembers<'_> =
        object(result).ok_or_else(|| "the result is not a tools/call result object".to_owned())?;
    match members.result_type.as_deref() {
        None | Some("complete") => {}
        Some("input_required") => return Err(NoResult::InputRequired),
        Some(other) => {
            let reason = format!("the result is of the unknown type '{}'", other.escape_debug());
            return Err(NoResult::Unusable(reason));
        }
    }
    let slice = |raw: &RawValue| result.slice_ref(raw.get().as_bytes());
    let content = match members.content {
        None => Bytes::from_static(b"[]"),
        Some(raw) if raw.get().starts_with('[') => slice(raw),
        Some(_) => return Err(NoResult::Unusable("'content' is not an array".to_owned())),
    };
    let is_error = members.is_error.unwrap_or(false);
    Ok(ToolResult { structured: members.structured.map(slice), content, is_error, whole: result.len() })
}

/// Reads a tool's result that is as nearly all are; `None` for any other.
fn plain_tool_result(result: &Bytes) -> Option<ToolResult> {
    let text = std::str::from_utf8(result).ok()?;
    let names = ["structuredContent", "content", "isError", "resultType"];
    let [structured, content, is_error, kind] = members(text, names)?;
    if kind.is_some_and(|kind| kind != "\"complete\"") || !content?.starts_with('[') {
        return None;
    }
    let is_error = match is_error {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return None,
    };
    let slice = |raw: &str| result.slice_ref(raw.as_bytes());
    let (structured, content) = (structured.map(slice), slice(content?));
    Some(ToolResult { structured, content, is_error, whole: result.len() })
}

/// The `contents` of a `ReadResourceResult`, each entry raw JSON.
pub type ReadContents = Vec<Box<RawValue>>;

/// Reads a `resources/read` result, or returns why it is not one.
pub fn read_contents(result: &[u8]) -> Result<ReadContents, String> {
    #[derive(Deserialize)]
    struct Members {
        contents: ReadContents,
    }
    object::<Members>(result)
        .map(|members| members.contents)
        .ok_or_else(|| "the result has no 'contents' array".to_owned())
}

/// Reads an object; `None` if it is not one. serde alone would accept an array as the members in their
/// order.
pub(super) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Option<T> {
    if !json.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    serde_json::from_slice(json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<ToolResult, NoResult> {
        read_tool_result(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn payloads_stay_as_they_were_written() {
        let result =
            read(r#"{"content":[ {"type":"text"} ],"structuredContent":{ "a":1.0 },"isError":false}"#)
                .unwrap();
        assert_eq!(result.content, r#"[ {"type":"text"} ]"#);
        assert_eq!(result.structured.unwrap(), r#"{ "a":1.0 }"#);
    }

    #[test]
    fn structured_content_may_be_any_value_and_null_is_one() {
        for value in ["null", "[]", "0", "\"\"", "false"] {
            let text = Bytes::from(format!(r#"{{"content":[],"structuredContent":{value}}}"#));
            assert_eq!(read_tool_result(&text).unwrap().structured.as_deref(), Some(value.as_bytes()));
        }
        assert_eq!(read(r#"{"content":[]}"#).unwrap().structured, None);
    }

    #[test]
    fn missing_members_have_their_defaults() {
        let result = read("{}").unwrap();
        assert_eq!((result.content, result.structured, result.is_error), (Bytes::from("[]"), None, false));
        assert!(read(r#"{"resultType":"complete","isError":true}"#).unwrap().is_error);
    }

    #[test]
    fn a_tool_that_wants_to_know_more_is_told_apart() {
        assert_eq!(read(r#"{"resultType":"input_required"}"#), Err(NoResult::InputRequired));
    }

    #[test]
    fn what_is_no_result_is_refused_with_a_reason() {
        for text in
            ["5", "[]", "[1]", "[{},[],false]", "null", r#"{"content":{}}"#, r#"{"resultType":"task"}"#]
        {
            assert!(matches!(read(text), Err(NoResult::Unusable(_))), "{text}");
        }
        for text in ["[]", "[[]]", "{}", r#"{"contents":{}}"#] {
            assert!(read_contents(text.as_bytes()).is_err(), "{text}");
        }
    }
}
