//! `mcpvisor call`: calls a tool, and shows what it answers.

use std::io::Read as _;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::console::Console;
use super::screen::{Format, Style};
use super::words::{bytes, plain};
use super::{arguments, json as pretty, wait, yaml};
use crate::cli::client::{Problem, Refusal};

/// Longest arguments that are read from stdin, in bytes: more than the daemon takes unless it is told to.
const MAX_ARGUMENTS: u64 = 64 * 1024 * 1024;
/// Longest time that a server is waited for that starts, so that its schema is known.
const START_LIMIT: Duration = Duration::from_secs(60);

/// Call to make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Call {
    /// Server and tool, `SERVER.TOOL`.
    pub target: String,
    /// Arguments, each `NAME=VALUE` or `NAME:=JSON`.
    pub pairs: Vec<String>,
    /// Arguments as a JSON object, or `-` for one from stdin. `None` if they are pairs.
    pub json: Option<String>,
    /// Deadline of the call. `None` for the server's.
    pub timeout: Option<Duration>,
}

/// Makes the call.
pub(super) async fn run(console: &Console, call: &Call) -> Result<(), Problem> {
    let (server, tool) = find(console, call).await?;
    let arguments = match &call.json {
        Some(text) => whole(text)?,
        None => {
            let schema = schema(console, &server, tool, !call.pairs.is_empty()).await?;
            let read = arguments::read(&call.pairs, &schema).map_err(Problem::Usage)?;
            read.1.iter().for_each(|remark| console.screen.remark(&format!("note: {remark}")));
            Value::Object(read.0)
        }
    };
    let mut body = json!({"mcp_id": server["id"], "tool": tool, "arguments": arguments});
    if let Some(timeout) = call.timeout {
        body["timeout"] = json!(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
    }
    let url = console.daemon.path("/v1/mcp/invoke")?;
    match console.daemon.ask_text(Method::POST, url, Some(&body)).await {
        Ok(answer) => show(console, &answer),
        Err(Problem::Refused(refusal)) if is_of_tool(&refusal) => {
            Err(Problem::ToolFailed(failed(console, call, &refusal.body["error"]["details"])))
        }
        Err(Problem::Refused(refusal)) if refusal.status == 504 => Err(Problem::TimedOut(refusal.told)),
        Err(problem) => Err(problem),
    }
}

/// Returns the server and the name of the tool. Both names may have dots, so the first server that is there counts.
async fn find<'c>(console: &Console, call: &'c Call) -> Result<(Value, &'c str), Problem> {
    let mut first = None;
    for (at, _) in call.target.match_indices('.').filter(|(at, _)| *at > 0) {
        let (server, tool) = (&call.target[..at], &call.target[at + 1..]);
        match console.server(server).await {
            Ok(server) if !tool.is_empty() => return Ok((server, tool)),
            Err(Problem::Refused(refusal)) if refusal.status == 404 => {
                first.get_or_insert(Problem::Refused(refusal));
            }
            Ok(_) => {}
            Err(problem) => return Err(problem),
        }
    }
    let none = || format!("{:?} must be SERVER.TOOL; `mcpvisor tools` shows what there is", call.target);
    Err(first.unwrap_or_else(|| Problem::Usage(none())))
}

/// Returns the schema of a tool, `null` if it is not known; a server that is starting is waited for if it is `needed`.
async fn schema(console: &Console, server: &Value, tool: &str, needed: bool) -> Result<Value, Problem> {
    let of = |server: &Value| {
        let mut tools = server["tools"].as_array().into_iter().flatten();
        tools.find(|known| known["name"] == tool).map(|known| known["input_schema"].clone())
    };
    match of(server) {
        None if needed && server["state"] == "starting" => {
            let name = plain(&server["name"]);
            let settled = wait::until(console, &name, START_LIMIT, |state| state != "starting").await?;
            Ok(of(&settled).unwrap_or_default())
        }
        schema => Ok(schema.unwrap_or_default()),
    }
}

/// Reads all arguments as one JSON object.
fn whole(text: &str) -> Result<Value, Problem> {
    let mut read = String::new();
    let text = match text {
        "-" => {
            std::io::stdin().lock().take(MAX_ARGUMENTS).read_to_string(&mut read)?;
            &read
        }
        text => text,
    };
    let wrong = |reason: String| Problem::Usage(format!("--json must be a JSON object: {reason}"));
    match serde_json::from_str(text) {
        Ok(Value::Object(arguments)) => Ok(Value::Object(arguments)),
        Ok(_) => Err(wrong("it is another value".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn is_of_tool(refusal: &Refusal) -> bool {
    refusal.status == 422 && refusal.code == "mcp_error"
}

/// Returns what to say of a tool that answered with an error.
fn failed(console: &Console, call: &Call, details: &Value) -> String {
    let told = match console.screen.format {
        Format::Table => details["mcp_error"].as_str().unwrap_or_default().to_owned(),
        Format::Json => pretty::indented(&details.to_string()),
        Format::Yaml => yaml::text(details),
    };
    let told = told.trim_end();
    match told.contains('\n') || console.screen.format != Format::Table {
        true => format!("{} answered with an error:\n{told}", call.target),
        false => format!("{} answered with an error: {told}", call.target),
    }
}

/// The parts of an answer, as they were written: numbers stay what they are.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
    content: Vec<Map<String, Value>>,
}

fn show(console: &Console, answer: &str) -> Result<(), Problem> {
    let unread = |error: serde_json::Error| Problem::BrokenOff(error.to_string());
    let data = serde_json::from_str::<Answer<'_>>(answer).map_err(unread)?.data;
    let text = match console.screen.format {
        Format::Table => text(&serde_json::from_str(data.get()).map_err(unread)?, &console.screen.style),
        Format::Json => pretty::indented(data.get()),
        Format::Yaml => yaml::text(&serde_json::from_str(data.get()).map_err(unread)?),
    };
    console.screen.write(&text)
}

/// Returns a result as text: texts as they are, what else there is by its kind and size, and structured content as JSON,
/// unless it says what a text said before.
fn text(reply: &Reply<'_>, style: &Style) -> String {
    let result: Value = serde_json::from_str(reply.result.get()).unwrap_or_default();
    let is_same =
        |text: &str| result == text || serde_json::from_str::<Value>(text).is_ok_and(|it| it == result);
    let is_blocks = result
        .as_array()
        .is_some_and(|items| items.iter().map(Value::as_object).eq(reply.content.iter().map(Some)));
    let mut is_told = is_blocks;
    let mut shown = String::new();
    for block in &reply.content {
        let text =
            block.get("text").and_then(Value::as_str).filter(|_| block.get("type") == Some(&json!("text")));
        match text {
            // On a terminal the same is told again, by a line for each member.
            Some(text) if is_same(text) && !result.is_string() && style.width.is_some() => {}
            Some(text) => {
                is_told |= is_same(text);
                push_lines(&mut shown, &style.foreign(text));
            }
            None => push_lines(&mut shown, &style.foreign(&other(block))),
        }
    }
    match (&result, is_told) {
        (_, true) => {}
        (Value::String(text), false) => push_lines(&mut shown, &style.foreign(text)),
        (_, false) => shown += &pretty::indented(reply.result.get()),
    }
    shown
}

fn push_lines(shown: &mut String, text: &str) {
    shown.push_str(text);
    if !text.ends_with('\n') {
        shown.push('\n');
    }
}

/// Returns a block that is no text: by its kind, type and size, and the text of a resource that has one.
pub(super) fn other(block: &Map<String, Value>) -> String {
    let member = |name: &str| block.get(name).map(plain).unwrap_or_default();
    let told = |parts: [&str; 3]| {
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("[{}]", parts.join(", "))
    };
    match member("type").as_str() {
        kind @ ("image" | "audio") => told([kind, &member("mimeType"), &decoded(&member("data"))]),
        "resource_link" => {
            told([&format!("resource {}", member("uri")), &member("mimeType"), &member("description")])
        }
        "resource" => block.get("resource").and_then(Value::as_object).map(contents).unwrap_or_default(),
        _ => Value::Object(block.clone()).to_string(),
    }
}

/// Returns the contents of a resource: its text behind its name, or its size.
pub(super) fn contents(resource: &Map<String, Value>) -> String {
    let member = |name: &str| resource.get(name).map(plain).unwrap_or_default();
    let (uri, kind) = (member("uri"), member("mimeType"));
    let kind = if kind.is_empty() { String::new() } else { format!(", {kind}") };
    match resource.get("text").and_then(Value::as_str) {
        Some(text) => format!("[resource {uri}{kind}]\n{text}"),
        None => format!("[resource {uri}{kind}, {}]", decoded(&member("blob"))),
    }
}

/// Returns the size of what a text in base64 stands for.
fn decoded(base64: &str) -> String {
    bytes(base64.trim_end_matches('=').len() as u64 * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &Value, width: Option<usize>) -> String {
        let data = data.to_string();
        let reply: Reply<'_> = serde_json::from_str(&data).expect("a result");
        text(&reply, &Style { width, colours: false })
    }

    fn block(text: &str) -> Value {
        json!({"type": "text", "text": text})
    }

    #[test]
    fn a_text_is_shown_as_it_is_and_once() {
        let data = json!({"result": "a\nb", "content": [block("a\nb")]});
        assert_eq!(shown(&data, None), "a\nb\n");
        let hostile = json!({"result": "\u{1b}[2J", "content": [block("\u{1b}[2J")]});
        assert_eq!(
            (shown(&hostile, None), shown(&hostile, Some(80))),
            ("\u{1b}[2J\n".into(), "\\u{1b}[2J\n".into())
        );
    }

    #[test]
    fn structured_content_is_json_and_not_told_twice() {
        let data = json!({"result": {"sum": 42}, "content": [block("{\"sum\":42}")]});
        assert_eq!(shown(&data, None), "{\"sum\":42}\n");
        assert_eq!(shown(&data, Some(80)), "{\n  \"sum\": 42\n}\n");
        let beside = json!({"result": {"sum": 42}, "content": [block("It makes 42.")]});
        assert_eq!(shown(&beside, None), "It makes 42.\n{\n  \"sum\": 42\n}\n");
        assert_eq!(shown(&json!({"result": null, "content": []}), None), "null\n");
    }

    #[test]
    fn what_is_no_text_is_told_by_kind_and_size() {
        let blocks = json!([
            block("see"),
            {"type": "image", "data": "AAAAAAAA", "mimeType": "image/png"},
            {"type": "resource_link", "uri": "demo://x", "name": "x"},
            {"type": "resource", "resource": {"uri": "demo://y", "mimeType": "text/plain", "text": "why"}},
            {"type": "resource", "resource": {"uri": "demo://z", "blob": "AAAA"}},
            {"type": "new"}
        ]);
        assert_eq!(
            shown(&json!({"result": blocks, "content": blocks}), None),
            "see\n[image, image/png, 6 B]\n[resource demo://x]\n[resource demo://y, text/plain]\nwhy\n[resource demo://z, 3 B]\n{\"type\":\"new\"}\n"
        );
    }
}
