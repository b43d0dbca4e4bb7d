//! Answers of `/v1` that carry payloads of a child. Payloads are copied as they are and never parsed into a tree;
//! the envelope is written around them (`docs/http-api.md`, P10 and P11).

#[cfg(test)]
pub(super) mod schema;

use std::borrow::Cow;
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::json;
use crate::gateway::{Catalog, Resource, ResourceReply, ServerView, ToolReply};
use crate::http::core::body::{object, string};
use crate::http::core::owed::in_pieces;
use crate::http::core::timestamp::{SECOND_LENGTH, push_now};
use crate::jsonrpc::{members, only_element, push_string, too_deep};
use crate::text::{json_literal, json_string};

/// Size in bytes up to which payloads are copied. Larger ones are handed on in the buffer that they came in;
/// below it, a copy costs less than more pieces do.
const COPIED: usize = 256 * 1024;

/// Builds the answer to a tool call. The payloads go out as they came in, never parsed into a tree.
pub(super) fn invoked(tool: &str, reply: &ToolReply) -> Result<Response, ApiError> {
    let payloads = reply.content.len() + reply.structured.as_ref().map_or(0, Bytes::len);
    // A slice keeps all that it was cut from, so if that is much more, a copy keeps less.
    if reply.is_error || payloads <= COPIED || payloads < reply.whole / 2 {
        return Ok(json(whole(tool, reply)?));
    }
    let mut digits = itoa::Buffer::new();
    let latency = digits.format(milliseconds(reply.latency));
    let mut rest = Vec::with_capacity(rest_length(tool, reply, latency));
    push_rest(&mut rest, tool, reply, latency);
    let (result, made) = match shown(reply) {
        Cow::Borrowed(slice) => (reply.structured.as_ref().unwrap_or(&reply.content).slice_ref(slice), 0),
        Cow::Owned(text) => {
            let made = text.len();
            (Bytes::from(text), made)
        }
    };
    let pieces = [BEGIN.into(), result, rest.into(), reply.content.clone(), END.into()];
    let mut response = in_pieces(pieces, reply.whole + made);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The parts of an answer that are the same in each.
const BEGIN: &[u8] = b"{\"success\":true,\"data\":{\"result\":";
const MCP_ID: &[u8] = b",\"metadata\":{\"mcp_id\":";
const TOOL: &[u8] = b",\"tool\":";
const LATENCY: &[u8] = b",\"latency_ms\":";
const TIMESTAMP: &[u8] = b",\"timestamp\":\"";
const CONTENT: &[u8] = b"},\"content\":";
const END: &[u8] = b",\"is_error\":false}}";

/// Builds the answer in one piece.
fn whole(tool: &str, reply: &ToolReply) -> Result<Vec<u8>, ApiError> {
    if reply.is_error {
        let read = |payload| serde_json::from_slice::<&RawValue>(payload).unwrap_or(RawValue::NULL);
        let structured = reply.structured.as_deref().map(read);
        return Err(ApiError::tool_failed(&error_text(reply), read(&reply.content), structured));
    }
    let (result, mut digits) = (shown(reply), itoa::Buffer::new());
    let latency = digits.format(milliseconds(reply.latency));
    // Spare memory would cost a piece of memory more when the text becomes a body.
    let length = BEGIN.len() + result.len() + rest_length(tool, reply, latency);
    let mut out = Vec::with_capacity(length + reply.content.len() + END.len());
    out.extend_from_slice(BEGIN);
    out.extend_from_slice(&result);
    push_rest(&mut out, tool, reply, latency);
    out.extend_from_slice(&reply.content);
    out.extend_from_slice(END);
    Ok(out)
}

/// Appends the part between `result` and `content`.
fn push_rest(out: &mut Vec<u8>, tool: &str, reply: &ToolReply, latency: &str) {
    out.extend_from_slice(MCP_ID);
    push_string(&mut *out, &reply.server_id);
    out.extend_from_slice(TOOL);
    push_string(&mut *out, tool);
    push_timing(out, latency);
    out.extend_from_slice(CONTENT);
}

/// Returns the length of that part; it is longer only if something in a name is escaped.
fn rest_length(tool: &str, reply: &ToolReply, latency: &str) -> usize {
    let names = reply.server_id.len() + tool.len() + 4;
    let parts = [MCP_ID, TOOL, LATENCY, TIMESTAMP, CONTENT].iter().map(|part| part.len()).sum::<usize>();
    parts + names + latency.len() + SECOND_LENGTH + 1
}

/// Returns `result` by the three rules of `docs/http-api.md`, P10.4: the structured content; else a lone text block,
/// parsed if it is a JSON object or array; else the blocks. A borrowed result is a slice of the structured content if
/// there is one, and else of the blocks.
fn shown(reply: &ToolReply) -> Cow<'_, [u8]> {
    if let Some(structured) = &reply.structured {
        return Cow::Borrowed(structured);
    }
    let literal = match plain_lone_text(&reply.content) {
        Some(literal) => literal,
        None => match lone_text(&reply.content) {
            Some(literal) => literal.get(),
            None => return Cow::Borrowed(&reply.content),
        },
    };
    match json_literal(literal) {
        Some(Cow::Borrowed(text)) if is_json_container(text) => Cow::Borrowed(text.trim().as_bytes()),
        Some(Cow::Owned(text)) if is_json_container(&text) => match text.trim() {
            whole if whole.len() == text.len() => Cow::Owned(text.into_bytes()),
            part => Cow::Owned(part.as_bytes().to_vec()),
        },
        _ => Cow::Borrowed(literal.as_bytes()),
    }
}

/// Reports whether a text is a JSON object or array that may be put into an answer as it is.
fn is_json_container(text: &str) -> bool {
    text.trim_ascii_start().starts_with(['{', '['])
        && !too_deep(text.as_bytes())
        && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The members of a content block that are read.
#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
}

impl<'a> Block<'a> {
    fn text(self) -> Option<&'a RawValue> {
        let is_text = self
            .kind
            .is_some_and(|kind| kind.get() == "\"text\"" || json_string(kind).as_deref() == Some("text"));
        self.text.filter(|text| is_text && text.get().starts_with('"'))
    }
}

/// Returns the text of the only block as [`lone_text`] does, if the block is as nearly all are; `None` for any other.
fn plain_lone_text(content: &[u8]) -> Option<&str> {
    let block = only_element(std::str::from_utf8(content).ok()?)?;
    let [kind, text] = members(block, ["type", "text"])?;
    text.filter(|text| kind == Some("\"text\"") && text.starts_with('"'))
}

/// Returns the text of the only block, as a JSON string literal. `None` if there are several or it is no text
/// block.
fn lone_text(content: &[u8]) -> Option<&RawValue> {
    struct OneBlock;
    impl<'de> Visitor<'de> for OneBlock {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("content blocks")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Self::Value, A::Error> {
            let first: Option<Block<'de>> = blocks.next_element()?;
            let mut more = false;
            while blocks.next_element::<IgnoredAny>()?.is_some() {
                more = true;
            }
            Ok(first.filter(|_| !more).and_then(Block::text))
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(content);
    serde::Deserializer::deserialize_seq(&mut reader, OneBlock).ok().flatten()
}

/// Returns the tool's error message: its text, or, without one, its structured content.
fn error_text(reply: &ToolReply) -> String {
    let text = joined_text(&reply.content);
    match &reply.structured {
        Some(structured) if text.is_empty() && **structured != *b"null" => {
            String::from_utf8_lossy(structured).into_owned()
        }
        _ => text,
    }
}

/// Joins the text blocks with line ends.
fn joined_text(content: &[u8]) -> String {
    let blocks: Vec<Block<'_>> = serde_json::from_slice(content).unwrap_or_default();
    let texts: Vec<String> = blocks.into_iter().filter_map(Block::text).filter_map(string).collect();
    texts.join("\n")
}

/// Builds the answer to a resource read. Each entry is as MCP gave it, with `name` filled in for the requested
/// resource.
pub(super) fn resource_read(uri: &str, reply: &ResourceReply) -> Vec<u8> {
    let size: usize = reply.contents.iter().map(|entry| entry.get().len()).sum();
    let mut out = Vec::with_capacity(256 + size + uri.len());
    out.extend_from_slice(b"{\"success\":true,\"data\":{\"contents\":[");
    for (index, entry) in reply.contents.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_named(&mut out, entry, uri, reply.name.as_deref());
    }
    out.extend_from_slice(b"],\"metadata\":{\"mcp_id\":");
    push_string(&mut out, &reply.server_id);
    out.extend_from_slice(b",\"uri\":");
    push_string(&mut out, uri);
    push_timing(&mut out, itoa::Buffer::new().format(milliseconds(reply.latency)));
    out.extend_from_slice(b"}}}");
    out
}

/// Appends one entry of `contents`; a name goes in front if the entry is the resource and has none.
fn push_named(out: &mut Vec<u8>, entry: &RawValue, uri: &str, name: Option<&str>) {
    let text = entry.get();
    let nameless = object(text.as_bytes(), ["uri", "name"]).is_ok_and(|object| {
        let [own, name] = object.members;
        name.is_none() && own.and_then(string).as_deref() == Some(uri)
    });
    match (name, text.strip_prefix('{')) {
        (Some(name), Some(rest)) if nameless => {
            out.extend_from_slice(b"{\"name\":");
            push_string(&mut *out, name);
            out.push(b',');
            out.extend_from_slice(rest.as_bytes());
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

/// Builds the answer to a resource listing: the entries as MCP gave them.
pub(super) fn resource_list(server: &ServerView, catalog: &Catalog, latency: Duration) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(b"{\"success\":true,\"data\":{\"contents\":");
    push_entries(&mut out, catalog.resources().iter().map(|resource: &Resource| &*resource.raw));
    out.extend_from_slice(b",\"resource_templates\":");
    push_entries(&mut out, catalog.resource_templates().iter().map(|template| &**template));
    out.extend_from_slice(b",\"metadata\":{\"mcp_id\":");
    push_string(&mut out, &server.id);
    push_timing(&mut out, itoa::Buffer::new().format(milliseconds(latency)));
    out.extend_from_slice(b"}}}");
    out
}

fn push_entries<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = &'a RawValue>) {
    out.push(b'[');
    for (index, entry) in entries.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(entry.get().as_bytes());
    }
    out.push(b']');
}

/// Appends the members about the time; `latency` is in milliseconds.
fn push_timing(out: &mut Vec<u8>, latency: &str) {
    out.extend_from_slice(LATENCY);
    out.extend_from_slice(latency.as_bytes());
    out.extend_from_slice(TIMESTAMP);
    push_now(out);
    out.push(b'"');
}

fn milliseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)
}
