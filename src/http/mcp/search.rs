//! Searching tools in place of a long list: one tool that finds others, and one that calls what was found. The gateway
//! answers the first; the second becomes a call of the tool that it names.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::json;
use serde_json::value::RawValue;

use super::aggregate::{Aggregate, CALL, FIND};
use super::fault::{Fault, INVALID_PARAMS};
use super::message::Request;
use super::seen::Seen;
use super::target::Target;
use crate::gateway::{Gateway, Group, Principal, Search};
use crate::jsonrpc::{Raw, push_string};
use crate::mcp::translate::{self, Members, push_member};
use crate::mcp::{ListKind, method};

/// Number of tools that are told where the question names none, and the most that can be asked for.
const USUAL: usize = 10;
const MOST: usize = 50;
/// Longest question, in characters.
const MAX_QUESTION: usize = 1_000;
/// Size of an answer, in bytes, beyond which no further tool is told.
const MAX_ANSWER: usize = 512 * 1024;

/// Returns the entries of the list of tools where they are searched for.
pub(super) fn tools() -> Vec<Box<RawValue>> {
    let find = json!({
        "name": FIND,
        "title": "Find tools",
        "description": "Finds tools by what they do. There are more tools here than are listed: describe in a few words \
            what you want to do, and call the one that fits by call_tool.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "query": {"type": "string", "description": "What the tool should do, in a few words", "maxLength": MAX_QUESTION},
                "limit": {"type": "integer", "description": "How many tools to tell at most", "minimum": 1, "maximum": MOST, "default": USUAL},
            },
            "required": ["query"],
        },
        "annotations": {"readOnlyHint": true, "idempotentHint": true, "openWorldHint": false},
    });
    let call = json!({
        "name": CALL,
        "title": "Call a tool",
        "description": "Calls a tool that find_tools has found, with arguments by the inputSchema that it told.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Name of the tool, as find_tools tells it"},
                "arguments": {"type": "object", "description": "Arguments of the tool", "additionalProperties": true},
            },
            "required": ["name"],
        },
    });
    [find, call].iter().filter_map(|tool| RawValue::from_string(tool.to_string()).ok()).collect()
}

/// Returns the name of a tool of the gateway itself that a request calls; `None` for any other request.
fn own_tool<'a>(target: &'a Target, request: &Request<'_>) -> Option<(&'a Aggregate, &'static str)> {
    let Target::Several(aggregate) = target else { return None };
    if aggregate.naming.search == Search::Off || request.method != method::TOOLS_CALL {
        return None;
    }
    let name = request.params.text("name")?;
    [FIND, CALL].into_iter().find(|own| *own == name).map(|own| (&**aggregate, own))
}

/// Answers a call of the tool that finds others: with a result of the legacy era, which [`for_modern`] completes. `None` for
/// any other request.
pub(super) fn answer(
    gateway: &Gateway,
    caller: &Principal,
    target: &Target,
    request: &Request<'_>,
) -> Option<Result<Bytes, Fault>> {
    let (aggregate, _) = own_tool(target, request).filter(|(_, own)| *own == FIND)?;
    Some(read_question(request).map(|(question, limit)| {
        let seen = Seen::of(gateway, aggregate, caller);
        let found = found(&seen, &question, limit);
        let mut result = b"{\"content\":[{\"type\":\"text\",\"text\":".to_vec();
        push_string(&mut result, &found);
        result.extend_from_slice(b"}],\"structuredContent\":");
        result.extend_from_slice(found.as_bytes());
        result.extend_from_slice(b",\"isError\":false}");
        result.into()
    }))
}

/// Returns an answer for a client of the modern era.
pub(super) fn for_modern(result: &Bytes) -> Bytes {
    let push_server = |out: &mut Vec<u8>| {
        let server = json!({"name": "mcpvisor", "version": env!("CARGO_PKG_VERSION")}).to_string();
        out.extend_from_slice(server.as_bytes());
    };
    translate::for_modern(result, method::TOOLS_CALL, push_server).unwrap_or_else(|| result.clone())
}

fn read_question<'a>(request: &Request<'a>) -> Result<(Cow<'a, str>, usize), Fault> {
    let invalid = |text: String| Fault::answer(INVALID_PARAMS, format!("Invalid params: {text}"));
    let arguments = request.params.object("arguments").unwrap_or_default();
    let question = arguments.text("query").filter(|text| text.chars().count() <= MAX_QUESTION);
    let question = question.ok_or_else(|| {
        invalid(format!("'arguments.query' must be a text of at most {MAX_QUESTION} characters"))
    })?;
    let limit = match arguments.get("limit").map(|raw| raw.get().parse::<usize>()) {
        None => USUAL,
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
        Some(_) => return Err(invalid(format!("'arguments.limit' must be a whole number from 1 to {MOST}"))),
    };
    Ok((question, limit))
}

/// Returns the tools that fit a question, as JSON: for each its name, description and input schema.
fn found(seen: &Seen<'_>, question: &str, limit: usize) -> String {
    let mut out = b"{\"tools\":[".to_vec();
    for (number, (at, own)) in seen.search(question, limit).into_iter().enumerate() {
        let tool = &seen.tables.lists[at].tools()[own];
        let mut entry = vec![b'{'];
        let name = seen.listed(ListKind::Tools, at, &tool.name);
        push_member(&mut entry, "name", json!(name).to_string().as_bytes());
        if let Some(text) = described(seen.aggregate, at, &tool.name).or(tool.description.as_deref()) {
            push_member(&mut entry, "description", json!(text).to_string().as_bytes());
        }
        push_member(&mut entry, "inputSchema", tool.input_schema.get().as_bytes());
        entry.push(b'}');
        if number > 0 && out.len() + entry.len() > MAX_ANSWER {
            break;
        }
        if number > 0 {
            out.push(b',');
        }
        out.append(&mut entry);
    }
    out.extend_from_slice(b"]}");
    String::from_utf8_lossy(&out).into_owned()
}

/// Returns the description that a group gives a tool.
pub(super) fn described<'a>(aggregate: &'a Aggregate, at: usize, tool: &str) -> Option<&'a str> {
    let server = &aggregate.servers.get(at)?.name;
    Group::told(&aggregate.group.as_ref()?.describe, server, tool)
}

/// A call of a tool, by its own name or by the tool that calls others.
pub(super) struct Called<'a> {
    pub(super) name: Box<str>,
    /// `arguments` as they were given; `None` if there are none.
    pub(super) arguments: Option<Raw<'a>>,
    /// `true` if it was called by [`CALL`].
    pub(super) by_search: bool,
}

/// Reads which tool a request calls.
pub(super) fn called<'a>(target: &Target, request: &Request<'a>) -> Result<Called<'a>, Fault> {
    let invalid = |text: &'static str| Fault::answer(INVALID_PARAMS, text);
    let is_object = |raw: &Raw<'_>| raw.get().starts_with('{');
    let arguments = request.params.get("arguments");
    if arguments.is_some_and(|raw| !is_object(&raw)) {
        return Err(invalid("Invalid params: 'arguments' must be an object"));
    }
    if own_tool(target, request).is_none_or(|(_, own)| own != CALL) {
        let name = request.params.text("name");
        let name = name.ok_or_else(|| invalid("Invalid params: 'name' must be a string"))?;
        return Ok(Called { name: name.into(), arguments, by_search: false });
    }
    let inner = arguments.and_then(|raw| Members::read(raw.get())).unwrap_or_default();
    let name = inner.text("name");
    let name = name.ok_or_else(|| {
        invalid("Invalid params: 'arguments.name' must be the name of a tool that find_tools has found")
    })?;
    let arguments = inner.get("arguments");
    if arguments.is_some_and(|raw| !is_object(&raw)) {
        return Err(invalid("Invalid params: 'arguments.arguments' must be an object"));
    }
    Ok(Called { name: name.into(), arguments, by_search: true })
}
