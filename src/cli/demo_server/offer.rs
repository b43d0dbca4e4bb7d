//! Tools, resources and a prompt of the demo server, with their answers. Values in, values out; ids, eras and
//! streams are handled elsewhere.

use std::time::Duration;

use serde_json::{Map, Number, Value, json};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// Text of `instructions` in the handshake.
pub(super) const INSTRUCTIONS: &str = "A demonstration server: echo, add, current_time and word_count answer at \
     once; slow takes its time and tells its progress; fail always fails.";
/// URI of the resource that changes.
pub(super) const STATUS: &str = "demo://status";

const README: &str = "demo://readme";
const GREETING: &str = "demo://greeting/";
/// Longest duration of `slow`, in milliseconds.
const MAX_SLOW_MS: u64 = 600_000;
/// Largest number of steps of `slow`.
const MAX_STEPS: u64 = 1_000;

const README_TEXT: &str = "# mcpvisor demo server\n\n\
     Tools: echo, add, current_time, word_count, slow, fail.\n\
     Resources: demo://readme, demo://status, demo://greeting/{name}.\n\
     Prompt: greet.\n";

/// Outcome of a tool call.
#[derive(Debug)]
pub(super) enum Offered {
    /// The call has ended with this result body.
    Done(Value),
    /// The call takes time and is still to be run.
    Slow(Slow),
}

/// Parameters of a call of `slow`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slow {
    /// Total duration of the call.
    pub(super) duration: Duration,
    /// Number of equal steps, at least one.
    pub(super) steps: u32,
}

/// Returns the value of `serverInfo`.
pub(super) fn server_info() -> Value {
    json!({"name": "mcpvisor-demo", "title": "mcpvisor demo server", "version": env!("CARGO_PKG_VERSION")})
}

/// Returns the entries of `tools/list`.
pub(super) fn tools() -> Value {
    let harmless = json!({"readOnlyHint": true, "openWorldHint": false});
    let text = |description: &str| json!({"type": "string", "description": description});
    let number = |description: &str| json!({"type": "number", "description": description});
    let count = |description: &str| json!({"type": "integer", "minimum": 0, "description": description});
    json!([
        {
            "name": "echo",
            "title": "Echo",
            "description": "Returns the given text unchanged.",
            "inputSchema": object(json!({"text": text("What to return.")}), &["text"]),
            "annotations": harmless,
        },
        {
            "name": "add",
            "title": "Add",
            "description": "Adds two numbers. Whole numbers stay whole.",
            "inputSchema": object(json!({"a": number("The first number."), "b": number("The second number.")}), &["a", "b"]),
            "outputSchema": object(json!({"sum": number("a + b")}), &["sum"]),
            "annotations": harmless,
        },
        {
            "name": "current_time",
            "title": "Current time",
            "description": "Tells the current date and time, in UTC or at a given offset from it.",
            "inputSchema": object(json!({"offset": {
                "type": "string",
                "pattern": "^(Z|[+-][0-9]{2}:[0-9]{2})$",
                "default": "Z",
                "description": "The offset from UTC, such as +02:00, or Z for UTC.",
            }}), &[]),
            "outputSchema": object(json!({
                "time": text("The time in RFC 3339."),
                "offset_seconds": {"type": "integer", "description": "The offset from UTC."},
                "unix_seconds": {"type": "integer", "description": "Seconds since 1970."},
            }), &["time", "offset_seconds", "unix_seconds"]),
            "annotations": harmless,
        },
        {
            "name": "word_count",
            "title": "Word count",
            "description": "Counts the lines, words, characters and bytes of a text.",
            "inputSchema": object(json!({"text": text("The text to count.")}), &["text"]),
            "outputSchema": object(json!({
                "lines": count("Lines."),
                "words": count("Words, separated by white space."),
                "characters": count("Unicode characters."),
                "bytes": count("Bytes in UTF-8."),
            }), &["lines", "words", "characters", "bytes"]),
            "annotations": harmless,
        },
        {
            "name": "slow",
            "title": "Slow",
            "description": "Takes the given time, tells its progress after each step, and can be cancelled.",
            "inputSchema": object(json!({
                "duration_ms": {"type": "integer", "minimum": 0, "maximum": MAX_SLOW_MS, "description": "How long, in milliseconds."},
                "steps": {"type": "integer", "minimum": 1, "maximum": MAX_STEPS, "default": 1, "description": "In how many steps."},
            }), &["duration_ms"]),
            "annotations": harmless,
        },
        {
            "name": "fail",
            "title": "Fail",
            "description": "Fails with the given message.",
            "inputSchema": object(json!({"message": text("What to say.")}), &[]),
            "annotations": harmless,
        },
    ])
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

/// Carries out a tool call; for `slow` returns its parameters. `None` if there is no such tool. Arguments that
/// the tool cannot use give a result with an error text, as MCP requires.
pub(super) fn call(
    name: &str,
    arguments: &Map<String, Value>,
    now: fn() -> OffsetDateTime,
) -> Option<Offered> {
    let done = match name {
        "echo" => text_argument(arguments, "text").map(said),
        "add" => add(arguments),
        "current_time" => current_time(arguments, now()),
        "word_count" => text_argument(arguments, "text").map(word_count),
        "fail" => Err(arguments
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("This tool always fails.")
            .to_owned()),
        "slow" => match slow(arguments) {
            Ok(slow) => return Some(Offered::Slow(slow)),
            Err(reason) => Err(reason),
        },
        _ => return None,
    };
    Some(Offered::Done(done.unwrap_or_else(|reason| failure(&reason))))
}

/// Returns the result of a tool that failed.
pub(super) fn failure(reason: &str) -> Value {
    json!({"content": [{"type": "text", "text": reason}], "isError": true})
}

/// Returns the result of a call of `slow` that has finished.
pub(super) fn slow_done(slow: &Slow) -> Value {
    said(&format!("Done after {} ms in {} steps.", slow.duration.as_millis(), slow.steps))
}

fn said(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}], "isError": false})
}

/// Returns a structured result, with the same content as text for clients that do not read structure.
fn structured(value: Value) -> Value {
    let mut result = said(&value.to_string());
    result["structuredContent"] = value;
    result
}

fn text_argument<'a>(arguments: &'a Map<String, Value>, name: &str) -> Result<&'a str, String> {
    let value = arguments.get(name).and_then(Value::as_str);
    value.ok_or_else(|| format!("The argument {name} is required and must be a string."))
}

fn add(arguments: &Map<String, Value>) -> Result<Value, String> {
    let number = |name: &str| match arguments.get(name) {
        Some(Value::Number(number)) => Ok(number.clone()),
        _ => Err(format!("The argument {name} is required and must be a number.")),
    };
    let (a, b) = (number("a")?, number("b")?);
    let whole = a.as_i64().zip(b.as_i64()).and_then(|(a, b)| a.checked_add(b)).map(Number::from);
    let broken = || a.as_f64().zip(b.as_f64()).and_then(|(a, b)| Number::from_f64(a + b));
    match whole.or_else(broken) {
        Some(sum) => Ok(structured(json!({"sum": sum}))),
        None => Err("The sum is too large.".to_owned()),
    }
}

fn current_time(arguments: &Map<String, Value>, now: OffsetDateTime) -> Result<Value, String> {
    let wrong = || "The argument offset must look like +02:00 or Z.".to_owned();
    let offset = match arguments.get("offset") {
        None | Some(Value::Null) => UtcOffset::UTC,
        Some(Value::String(text)) if text == "Z" => UtcOffset::UTC,
        Some(Value::String(text)) => {
            UtcOffset::parse(text, format_description!("[offset_hour sign:mandatory]:[offset_minute]"))
                .map_err(|_| wrong())?
        }
        Some(_) => return Err(wrong()),
    };
    let local = now.checked_to_offset(offset).ok_or_else(wrong)?;
    let local = local.replace_nanosecond(0).unwrap_or(local);
    let time = local.format(&Rfc3339).map_err(|error| error.to_string())?;
    Ok(structured(json!({
        "time": time,
        "offset_seconds": offset.whole_seconds(),
        "unix_seconds": local.unix_timestamp(),
    })))
}

fn word_count(text: &str) -> Value {
    structured(json!({
        "lines": text.lines().count(),
        "words": text.split_whitespace().count(),
        "characters": text.chars().count(),
        "bytes": text.len(),
    }))
}

fn slow(arguments: &Map<String, Value>) -> Result<Slow, String> {
    let whole = |name: &str, default: Option<u64>, least: u64, most: u64| {
        let given = match arguments.get(name) {
            None | Some(Value::Null) => default,
            Some(value) => value.as_u64(),
        };
        let fits = given.filter(|n| (least..=most).contains(n));
        fits.ok_or_else(|| format!("The argument {name} must be a whole number from {least} to {most}."))
    };
    let duration = Duration::from_millis(whole("duration_ms", None, 0, MAX_SLOW_MS)?);
    let steps = u32::try_from(whole("steps", Some(1), 1, MAX_STEPS)?).map_err(|error| error.to_string())?;
    Ok(Slow { duration, steps })
}

/// Returns the entries of `resources/list`.
pub(super) fn resources() -> Value {
    json!([
        {"uri": README, "name": "readme", "title": "Read me", "description": "What this server offers.", "mimeType": "text/markdown"},
        {"uri": STATUS, "name": "status", "title": "Status", "description": "How long the server runs and what it has done.", "mimeType": "application/json"},
    ])
}

/// Returns the entries of `resources/templates/list`.
pub(super) fn resource_templates() -> Value {
    json!([{
        "uriTemplate": format!("{GREETING}{{name}}"),
        "name": "greeting",
        "description": "A greeting for somebody.",
        "mimeType": "text/plain",
    }])
}

/// Returns the result of `resources/read`. `None` if there is no such resource.
pub(super) fn read(uri: &str, status: &Value) -> Option<Value> {
    let (kind, text) = match uri {
        README => ("text/markdown", README_TEXT.to_owned()),
        STATUS => ("application/json", status.to_string()),
        _ => match uri.strip_prefix(GREETING) {
            Some(name) if !name.is_empty() => ("text/plain", format!("Hello, {name}!")),
            _ => return None,
        },
    };
    Some(json!({"contents": [{"uri": uri, "mimeType": kind, "text": text}]}))
}

/// Returns the entries of `prompts/list`.
pub(super) fn prompts() -> Value {
    json!([{
        "name": "greet",
        "title": "Greet",
        "description": "Asks for a greeting.",
        "arguments": [
            {"name": "name", "description": "Whom to greet.", "required": true},
            {"name": "style", "description": "For example formal or cheerful.", "required": false},
        ],
    }])
}

/// Returns the result of `prompts/get` for `greet`.
pub(super) fn greeting(name: &str, style: Option<&str>) -> Value {
    let manner = style.map(|style| format!(" in a {style} style")).unwrap_or_default();
    let text = format!("Please write a short greeting for {name}{manner}.");
    json!({"description": "A greeting.", "messages": [{"role": "user", "content": {"type": "text", "text": text}}]})
}
