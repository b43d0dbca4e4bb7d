//! Those that people run themselves.

use serde_json::{Value, json};

use super::{
    Asked, Turn, bad_arguments, call, delta, end, functions, messages, openai, own, refusal, schemas_of, with,
};

// --- Ollama: a Go program that reads schemas and messages into structs; every streamed call is number 0.

pub(super) fn ollama(asked: &Asked) -> Option<Turn> {
    if messages(asked).iter().any(|message| message["content"].is_null()) {
        return openai("invalid message content type: <nil>");
    }
    let of = "of type map[string]api.ToolProperty";
    for function in functions(asked) {
        let Some(properties) = function["parameters"]["properties"].as_object() else {
            return openai(&format!(
                "json: cannot unmarshal array into Go struct field .tools.function.parameters.properties {of}"
            ));
        };
        if properties.values().any(|property| !property.is_object()) {
            return openai(
                "json: cannot unmarshal bool into Go struct field .tools.function.parameters.properties of type api.ToolProperty",
            );
        }
    }
    None
}

pub(super) fn ollama_calls() -> (Value, Vec<Value>) {
    let calls = [("call_a1", "say", r#"{"text":"one"}"#), ("call_b2", "tell", r#"{"text":"two"}"#)];
    let calls = calls.map(|(id, name, arguments)| with(call(id, name, arguments), json!({"index": 0})));
    let each =
        calls.iter().map(|call| delta(json!({"role": "assistant", "content": "", "tool_calls": [call]})));
    (
        json!({"role": "assistant", "content": "", "tool_calls": calls}),
        each.chain([end("tool_calls")]).collect(),
    )
}

// --- vLLM: reads the arguments of the history into objects, and no list of parts that is empty.

pub(super) fn vllm(asked: &Asked) -> Option<Turn> {
    let error = |message: &str| {
        refusal(
            400,
            json!({"object": "error", "message": message, "type": "BadRequestError", "param": null, "code": 400}),
        )
    };
    if bad_arguments(asked) {
        return error("Unterminated string starting at: line 1 column 14 (char 13)");
    }
    if own(asked).any(|message| message["content"].as_array().is_some_and(Vec::is_empty)) {
        return error("1 validation error for Message: content.0 Input should be a valid dictionary");
    }
    None
}

pub(super) fn vllm_calls() -> (Value, Vec<Value>) {
    let calls = [
        call("chatcmpl-tool-1", "say", r#"{"text": "one"}"#),
        call("chatcmpl-tool-2", "tell", "{\"text\": \"two\"}"),
    ];
    let message = json!({"role": "assistant", "content": [], "reasoning_content": "Both, then.", "refusal": null, "tool_calls": calls});
    let piece = |index: usize, arguments: &str| {
        delta(json!({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}))
    };
    let head = |index: usize, call: &Value| {
        let mut head = with(call.clone(), json!({"index": index}));
        head["function"]["arguments"] = "".into();
        delta(json!({"tool_calls": [head]}))
    };
    let pieces = vec![
        delta(json!({"role": "assistant", "content": "", "tool_calls": []})),
        delta(json!({"reasoning_content": "Both, "})),
        delta(json!({"reasoning_content": "then."})),
        head(0, &calls[0]),
        piece(0, "{\"text\": \"o"),
        piece(0, "ne\"}"),
        head(1, &calls[1]),
        piece(1, "{\"text\": \"two\"}"),
        end("tool_calls"),
    ];
    (message, pieces)
}

// --- llama.cpp: makes a grammar of every schema, and names no tool when it cannot; reads the arguments of
// the history. Measured on build 11549 as well, by `query_real`.

pub(super) fn llama_cpp(asked: &Asked) -> Option<Turn> {
    let error = |code: u16, message: &str| {
        refusal(code, json!({"error": {"code": code, "message": message, "type": "invalid_request_error"}}))
    };
    for (place, schema) in functions(asked).into_iter().flat_map(schemas_of) {
        let reason = match (&schema, schema["$ref"].as_str()) {
            (Value::Object(_), Some(target)) if !target.starts_with("#/") => {
                format!("unsupported $ref {target}, only references into the same document are supported")
            }
            (Value::Object(members), _) if members.get("properties").is_some_and(|it| !it.is_object()) => {
                "properties must be an object".to_owned()
            }
            (Value::Object(_), _) => continue,
            _ => "schema must be an object".to_owned(),
        };
        return error(
            400,
            &format!(
                "Unable to generate parser for this template. Automatic parser generation failed: JSON schema error at {place}: {reason}"
            ),
        );
    }
    if bad_arguments(asked) {
        return error(500, "Failed to parse tool call arguments as JSON");
    }
    None
}

pub(super) fn llama_cpp_calls() -> (Value, Vec<Value>) {
    // Arguments in a string are what small models write.
    let calls =
        [call("Zq1", "say", r#"{"text":"one"}"#), call("", "tell", &json!(r#"{"text":"two"}"#).to_string())];
    let numbered = calls.iter().enumerate().map(|(at, call)| with(call.clone(), json!({"index": at})));
    let mut pieces = vec![delta(json!({"role": "assistant", "content": null}))];
    pieces.extend(numbered.map(|call| delta(json!({"tool_calls": [call]}))));
    pieces.push(end("tool_calls"));
    (json!({"role": "assistant", "content": null, "tool_calls": calls}), pieces)
}
