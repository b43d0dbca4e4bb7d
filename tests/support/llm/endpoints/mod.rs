//! Endpoints scripted after what is reported of real ones (`docs/query.md` has the sources): what each
//! refuses, in its words, and how it calls tools. Each calls `say` and `tell` side by side and then answers.

mod hosted;
mod local;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use self::hosted::*;
use self::local::*;
use super::{Asked, Turn};

/// What every one of them answers in the end.
pub(crate) const ANSWER: &str = "One and two.";

/// What a server announces that was not made with any endpoint in mind. Only `say` and `tell` are plain.
pub(crate) fn odd_tools() -> Value {
    let plain = json!({"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]});
    let tool =
        |name: &str, schema: Value| json!({"name": name, "description": "Does it.", "inputSchema": schema});
    json!([
        tool("say", plain.clone()),
        tool("php", json!({"type": "object", "properties": [], "required": null})),
        tool("loose", json!({"type": "object", "properties": {
            "any": true, "list": {"type": "array"}, "pair": {"type": "array", "prefixItems": [true], "items": false}}})),
        tool("tree", json!({"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}}})),
        tool("either", json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
            "anyOf": [{"required": ["a"]}, {"required": ["b"]}]})),
        {"name": "long", "description": "word ".repeat(800), "inputSchema": plain},
        tool("vague", json!({"type": "object", "properties": {"query": {"type": "object"}}})),
        tool("tell", plain.clone()),
    ])
}

/// One endpoint.
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    /// What it answers to a request that it does not take.
    pub(crate) refuse: fn(&Asked) -> Option<Turn>,
    /// What the model says when it calls, whole, and the pieces of the same.
    calls: fn() -> (Value, Vec<Value>),
    /// How often it fails at first for no fault of the request.
    passing: fn(usize) -> Option<Turn>,
}

/// All eight.
pub(crate) const ENDPOINTS: [Endpoint; 8] = [
    Endpoint { name: "ollama", refuse: ollama, calls: ollama_calls, passing: |_| None },
    Endpoint { name: "vllm", refuse: vllm, calls: vllm_calls, passing: |_| None },
    Endpoint { name: "llama.cpp", refuse: llama_cpp, calls: llama_cpp_calls, passing: |_| None },
    Endpoint { name: "openrouter", refuse: openrouter, calls: openrouter_calls, passing: openrouter_busy },
    Endpoint { name: "groq", refuse: groq, calls: groq_calls, passing: groq_fails },
    Endpoint { name: "gemini", refuse: gemini, calls: gemini_calls, passing: |_| None },
    Endpoint { name: "azure", refuse: azure, calls: azure_calls, passing: |_| None },
    Endpoint { name: "anthropic", refuse: anthropic, calls: anthropic_calls, passing: |_| None },
];

impl Endpoint {
    /// Its script.
    pub(crate) fn script(self) -> impl Fn(&Asked) -> Turn + Send + 'static {
        let count = AtomicUsize::new(0);
        move |asked| {
            if let Some(turn) = (self.passing)(count.fetch_add(1, Ordering::SeqCst)) {
                return turn;
            }
            if let Some(refusal) = (self.refuse)(asked) {
                return refusal;
            }
            let is_stream = asked.body["stream"] == true;
            let (message, pieces) = match asked.results().as_slice() {
                [] => (self.calls)(),
                ["one", "two"] => said(ANSWER),
                other => panic!("{}: results are lost: {other:?}", self.name),
            };
            if is_stream { events(pieces) } else { whole(message) }
        }
    }
}

fn said(text: &str) -> (Value, Vec<Value>) {
    let (first, rest) = text.split_at(4);
    let pieces = vec![
        delta(json!({"role": "assistant", "content": first})),
        delta(json!({"content": rest})),
        end("stop"),
    ];
    (json!({"role": "assistant", "content": text}), pieces)
}

fn whole(message: Value) -> Turn {
    let finish = if message["tool_calls"].is_array() { "tool_calls" } else { "stop" };
    let choice = json!({"index": 0, "message": message, "finish_reason": finish});
    Turn::raw(
        "application/json",
        &json!({"id": "x", "object": "chat.completion", "choices": [choice]}).to_string(),
    )
}

fn events(pieces: Vec<Value>) -> Turn {
    let text: String = pieces.iter().map(|piece| format!("data: {piece}\n\n")).collect();
    Turn::raw("text/event-stream", &format!(": PROCESSING\n\n{text}data: [DONE]\n\n"))
}

fn delta(delta: Value) -> Value {
    json!({"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]})
}

fn end(reason: &str) -> Value {
    json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

fn with(mut value: Value, members: Value) -> Value {
    let (Value::Object(all), Value::Object(more)) = (&mut value, members) else { panic!("objects") };
    all.extend(more);
    value
}

fn refusal(status: u16, error: Value) -> Option<Turn> {
    Some(Turn::failure_with(status, &[], &error.to_string()))
}

fn openai(message: &str) -> Option<Turn> {
    refusal(
        400,
        json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": null}}),
    )
}

fn messages(asked: &Asked) -> &[Value] {
    asked.body["messages"].as_array().expect("messages")
}

fn own(asked: &Asked) -> impl Iterator<Item = &Value> {
    messages(asked).iter().filter(|message| message["role"] == "assistant")
}

fn functions(asked: &Asked) -> Vec<&Value> {
    asked.body["tools"].as_array().into_iter().flatten().map(|tool| &tool["function"]).collect()
}

/// Every schema of a function, with its place.
fn schemas(schema: &Value, place: &str, found: &mut Vec<(String, Value)>) {
    found.push((place.to_owned(), schema.clone()));
    for name in ["properties", "$defs"] {
        for (property, inner) in schema[name].as_object().into_iter().flatten() {
            schemas(inner, &format!("{place}/{name}/{property}"), found);
        }
    }
    for name in ["items", "not"] {
        if let Some(inner) = schema.get(name) {
            schemas(inner, &format!("{place}/{name}"), found);
        }
    }
    for name in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        for (at, inner) in schema[name].as_array().into_iter().flatten().enumerate() {
            schemas(inner, &format!("{place}/{name}/{at}"), found);
        }
    }
}

fn schemas_of(function: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    schemas(&function["parameters"], "#", &mut found);
    found
}

/// The arguments in the history that are not the text of an object.
fn bad_arguments(asked: &Asked) -> bool {
    let calls = own(asked).filter_map(|message| message["tool_calls"].as_array()).flatten();
    let mut arguments = calls.map(|call| call["function"]["arguments"].as_str().unwrap_or_default());
    arguments.any(|text| serde_json::from_str::<serde_json::Map<String, Value>>(text).is_err())
}
