//! Those that others run.

use serde_json::{Map, Value, json};

use super::{Asked, Turn, call, delta, end, functions, messages, openai, own, refusal, schemas_of, with};

// --- OpenRouter: errors inside a 200; thoughts in pieces that have to go back put together and signed.

pub(super) fn openrouter_busy(number: usize) -> Option<Turn> {
    let raw = "slow down, please";
    let error = json!({"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": raw, "provider_name": "P"}}});
    (number == 0).then(|| Turn::raw("application/json", &error.to_string()))
}

pub(super) fn openrouter(asked: &Asked) -> Option<Turn> {
    let details = json!([
        {"type": "reasoning.text", "text": "Let me see.", "signature": "SIG", "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "ENC", "id": "r", "index": 1},
    ]);
    let is_right = |message: &Value| message["reasoning_details"] == details;
    if own(asked).all(is_right) {
        return None;
    }
    let raw = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "messages.1.content.0: Invalid `signature` in `thinking` block"}});
    refusal(
        400,
        json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw.to_string()}}}),
    )
}

pub(super) fn openrouter_calls() -> (Value, Vec<Value>) {
    let text = |members: Value| {
        with(json!({"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0}), members)
    };
    let encrypted = json!({"type": "reasoning.encrypted", "data": "ENC", "id": "r", "index": 1});
    let calls = [call("toolu_1", "say", r#"{"text":"one"}"#), call("toolu_2", "tell", r#"{"text":"two"}"#)];
    let details = json!([text(json!({"text": "Let me see.", "signature": "SIG"})), encrypted]);
    let message = json!({"role": "assistant", "content": "", "reasoning": "Let me see.", "reasoning_details": details, "tool_calls": calls});
    let thought =
        |piece: Value| delta(json!({"role": "assistant", "content": "", "reasoning_details": [piece]}));
    let mut pieces = vec![
        thought(text(json!({"text": "Let me"}))),
        thought(text(json!({"text": " see."}))),
        thought(text(json!({"signature": "SIG"}))),
        thought(encrypted),
    ];
    pieces.extend(
        calls
            .iter()
            .enumerate()
            .map(|(at, call)| delta(json!({"tool_calls": [with(call.clone(), json!({"index": at}))]}))),
    );
    pieces.push(end("tool_calls"));
    (message, pieces)
}

// --- Groq: no member of a message that it does not know; and now and then what its model made fails.

pub(super) fn groq_fails(number: usize) -> Option<Turn> {
    let error = json!({"error": {"message": "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
        "type": "invalid_request_error", "code": "tool_use_failed", "failed_generation": "<function=say>"}});
    (number == 0).then(|| Turn::failure_with(400, &[], &error.to_string()))
}

pub(super) fn groq(asked: &Asked) -> Option<Turn> {
    for (at, message) in messages(asked).iter().enumerate() {
        let known = ["role", "content", "name", "tool_calls", "tool_call_id"];
        if let Some(name) =
            message.as_object().expect("a message").keys().find(|name| !known.contains(&name.as_str()))
        {
            return openai(&format!(
                "'messages.{at}' : for 'role:assistant' the following must be satisfied[('messages.{at}' : property '{name}' is unsupported)]"
            ));
        }
    }
    None
}

pub(super) fn groq_calls() -> (Value, Vec<Value>) {
    let calls = [call("call_g1", "say", r#"{"text":"one"}"#), call("call_g2", "tell", r#"{"text":"two"}"#)];
    let numbered: Vec<Value> =
        calls.iter().enumerate().map(|(at, call)| with(call.clone(), json!({"index": at}))).collect();
    let pieces = vec![
        delta(json!({"role": "assistant", "content": null, "channel": "analysis"})),
        delta(json!({"reasoning": "Both."})),
        delta(json!({"tool_calls": numbered})),
        end("tool_calls"),
    ];
    (json!({"role": "assistant", "channel": "analysis", "reasoning": "Both.", "tool_calls": calls}), pieces)
}

// --- Gemini's front for OpenAI's API: errors in a list; a signature that has to come back; objects without
// properties refused by the tool's place; every streamed call number 0.

pub(super) fn gemini(asked: &Asked) -> Option<Turn> {
    let error = |message: String| {
        refusal(400, json!([{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]))
    };
    for (at, function) in functions(asked).into_iter().enumerate() {
        for (place, schema) in schemas_of(function) {
            if place != "#"
                && schema["type"] == "object"
                && schema["properties"].as_object().is_none_or(Map::is_empty)
            {
                return error(format!(
                    "* GenerateContentRequest.tools[0].function_declarations[{at}].parameters{place}.properties: should be non-empty for OBJECT type\n"
                ));
            }
        }
    }
    let is_signed =
        |message: &Value| message["tool_calls"][0]["extra_content"]["google"]["thought_signature"] == "SIG";
    if own(asked).all(is_signed) {
        return None;
    }
    error("Function call is missing a thought_signature in functionCall parts. This is required for tools to work correctly.".to_owned())
}

pub(super) fn gemini_calls() -> (Value, Vec<Value>) {
    let signed = with(
        call("", "say", r#"{"text":"one"}"#),
        json!({"extra_content": {"google": {"thought_signature": "SIG"}}}),
    );
    let calls = [signed, call("", "tell", r#"{"text":"two"}"#)];
    let numbered = calls.iter().map(|call| with(call.clone(), json!({"index": 0})));
    let each = numbered.map(|call| delta(json!({"role": "assistant", "tool_calls": [call]})));
    (json!({"role": "assistant", "tool_calls": calls}), each.chain([end("stop")]).collect())
}

// --- Azure: descriptions of at most 1,024 letters, schemas that its check takes, the key in its own header;
// pieces without a choice, and without anything in it.

pub(super) fn azure(asked: &Asked) -> Option<Turn> {
    if !asked.headers.contains_key("api-key") {
        return refusal(
            401,
            json!({"error": {"code": "401", "message": "Access denied due to missing subscription key."}}),
        );
    }
    for (at, function) in functions(asked).into_iter().enumerate() {
        let length = function["description"].as_str().unwrap_or_default().encode_utf16().count();
        if length > 1024 {
            let message = format!(
                "Invalid 'tools[{at}].function.description': string too long. Expected a string with maximum length 1024, but got a string with length {length} instead."
            );
            return refusal(
                400,
                json!({"error": {"message": message, "type": "invalid_request_error",
                "param": format!("tools[{at}].function.description"), "code": "string_above_max_length"}}),
            );
        }
        for (place, schema) in schemas_of(function) {
            let reason = match &schema {
                schema if schema["type"] == "array" && schema.get("items").is_none() => {
                    "array schema missing items"
                }
                Value::Object(_) | Value::Bool(_) => continue,
                _ => "not of type 'object', 'boolean'",
            };
            let name = function["name"].as_str().expect("a name");
            return openai(&format!(
                "Invalid schema for function '{name}': In context=('{place}'), {reason}."
            ));
        }
    }
    None
}

pub(super) fn azure_calls() -> (Value, Vec<Value>) {
    let safe = json!({"hate": {"filtered": false, "severity": "safe"}});
    let calls = [call("call_z1", "say", r#"{"text":"one"}"#), call("call_z2", "tell", r#"{"text":"two"}"#)];
    let mut pieces = vec![
        json!({"id": "", "choices": [], "created": 0, "model": "", "object": "", "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": safe}]}),
        delta(json!({"role": "assistant", "content": null, "refusal": null})),
    ];
    pieces.extend(
        calls
            .iter()
            .enumerate()
            .map(|(at, call)| delta(json!({"tool_calls": [with(call.clone(), json!({"index": at}))]}))),
    );
    pieces.push(json!({"id": "", "choices": [{"finish_reason": null, "index": 0, "content_filter_offsets": {}, "content_filter_results": safe}]}));
    pieces.push(end("tool_calls"));
    (
        json!({"role": "assistant", "content": null, "refusal": null, "annotations": [], "tool_calls": calls}),
        pieces,
    )
}

// --- Fronts of Anthropic's API: ids that are unique and of plain letters, texts that are not empty, no
// choice of schemas at the top; counted with the texts, so calls do not begin at 0.

pub(super) fn anthropic(asked: &Asked) -> Option<Turn> {
    let error = |message: String| {
        refusal(400, json!({"type": "error", "error": {"type": "invalid_request_error", "message": message}}))
    };
    for (at, function) in functions(asked).into_iter().enumerate() {
        if ["oneOf", "allOf", "anyOf"].iter().any(|name| function["parameters"].get(*name).is_some()) {
            return error(format!(
                "tools.{at}.custom.input_schema: input_schema does not support oneOf, allOf, or anyOf at the top level"
            ));
        }
    }
    if messages(asked).iter().any(|message| message["content"] == "") {
        return error("messages: text content blocks must be non-empty".to_owned());
    }
    let calls = own(asked).filter_map(|message| message["tool_calls"].as_array()).flatten();
    let mut ids: Vec<&str> = calls.map(|call| call["id"].as_str().unwrap_or_default()).collect();
    let is_plain = |id: &&str| {
        !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
    };
    if !ids.iter().all(is_plain) {
        return error(
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'".to_owned(),
        );
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    (ids.len() < count)
        .then(|| error("messages.1.content.1: `tool_use` ids must be unique".to_owned()))
        .flatten()
}

pub(super) fn anthropic_calls() -> (Value, Vec<Value>) {
    let calls = [call("toolu_x", "say", r#"{"text":"one"}"#), call("toolu_x", "tell", r#"{"text":"two"}"#)];
    let mut pieces = vec![delta(json!({"role": "assistant", "content": ""}))];
    for (at, call) in calls.iter().enumerate() {
        let mut head = with(call.clone(), json!({"index": at + 1}));
        head["function"]["arguments"] = "".into();
        pieces.push(delta(json!({"tool_calls": [head]})));
        let arguments = &call["function"]["arguments"];
        pieces.push(delta(json!({"tool_calls": [{"index": at + 1, "function": {"arguments": arguments}}]})));
    }
    pieces.push(end("tool_calls"));
    (json!({"role": "assistant", "content": "", "tool_calls": calls}), pieces)
}
