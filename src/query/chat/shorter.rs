//! Shorter forms of parts of a request, for endpoints that take no more. Pure.

use std::collections::HashMap;

use serde_json::{Value, json};

/// Returns a call with only the members that every endpoint knows.
pub(super) fn plain_call(call: &Value) -> Value {
    let function = json!({"name": call["function"]["name"], "arguments": call["function"]["arguments"]});
    json!({"id": call["id"], "type": call["type"], "function": function})
}

/// Returns an id that every endpoint takes: nine letters and digits, since Mistral takes no others.
pub(in crate::query) fn plain_id(number: usize) -> String {
    format!("call{number:05}")
}

/// Gives all calls plain ids, in their order, and their results with them.
pub(super) fn plain_ids(messages: &mut [Value]) {
    let mut names: HashMap<String, String> = HashMap::new();
    for message in messages {
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut).into_iter().flatten();
        for place in calls.filter_map(|call| call.get_mut("id")) {
            let id = plain_id(names.len());
            names.insert(place.as_str().unwrap_or_default().to_owned(), id.clone());
            *place = id.into();
        }
        if let Some(id) = message.get_mut("tool_call_id")
            && let Some(name) = id.as_str().and_then(|id| names.get(id))
        {
            *id = name.clone().into();
        }
    }
}

/// Moves the system's message to the beginning of the first question.
pub(super) fn into_question(messages: &mut Vec<Value>) {
    let is_system = messages.first().is_some_and(|message| message["role"] == "system");
    let is_question = messages.get(1).is_some_and(|message| message["role"] == "user");
    if is_system && is_question {
        let system = messages.remove(0);
        let texts = [&system, &messages[0]].map(|message| message["content"].as_str().unwrap_or_default());
        let text = texts.join("\n\n");
        messages[0]["content"] = text.into();
    }
}

/// Moves patterns into descriptions. A property may be called `pattern`; a text below it is not part of its
/// schema.
pub(super) fn reword_patterns(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(pattern)) = members.get("pattern").filter(|pattern| pattern.is_string())
            {
                let told = format!("Matches the regular expression {pattern}");
                let before =
                    members.get("description").and_then(Value::as_str).filter(|text| !text.is_empty());
                let told = before.map_or(told.clone(), |before| format!("{before} {told}"));
                members.shift_remove("pattern");
                members.insert("description".to_owned(), told.into());
            }
            let values = ["default", "enum", "const", "examples"];
            members.iter_mut().filter(|(name, _)| !values.contains(&name.as_str())).for_each(|(_, value)| {
                reword_patterns(value);
            });
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(reword_patterns),
        _ => {}
    }
}
