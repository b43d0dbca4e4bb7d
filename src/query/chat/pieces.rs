//! Messages in parts: texts, thoughts and their signatures; and parts out of the pieces of a stream. Pure. Parts
//! go back as they came and in their order: signatures are over what came before them.

use serde_json::{Map, Value, json};

/// Members of a message that are thoughts, under the names that endpoints have for them.
pub(super) const THOUGHTS: [&str; 5] =
    ["reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"];
/// The most parts of one message; a piece that begins one more is ignored.
const MAX_PARTS: usize = 4_096;
/// Members whose pieces are appended; of all others the last counts.
const GROWING: [&str; 5] = ["text", "thinking", "summary", "data", "reasoning"];

/// Reports whether a part of a message is a thought.
pub(super) fn is_thought(part: &Value) -> bool {
    part["type"].as_str().is_some_and(|kind| {
        kind.contains("thinking") || kind.contains("reasoning") || kind.contains("thought")
    })
}

/// Reports whether a message has thoughts in it.
pub(super) fn has_thoughts(message: &Map<String, Value>) -> bool {
    let parts = message.get("content").and_then(Value::as_array);
    THOUGHTS.iter().any(|name| message.contains_key(*name))
        || parts.is_some_and(|parts| parts.iter().any(is_thought))
}

/// Returns the text of a content for people: a text, or the texts of its parts, without thoughts.
pub(super) fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter(|part| !is_thought(part))
            .filter_map(|part| match part {
                Value::String(text) => Some(text.as_str()),
                part => part["text"].as_str(),
            })
            .collect(),
        Some(part @ Value::Object(_)) => text_of(Some(&json!([part]))),
        _ => String::new(),
    }
}

/// Returns a content as it goes back: one text if it is nothing but text, which all endpoints take, and `null` if
/// it is an empty list.
pub(super) fn settled(content: Value) -> Value {
    let parts = match content {
        Value::Array(parts) => parts,
        part @ Value::Object(_) => vec![part],
        content => return content,
    };
    let is_text = |part: &Value| match part {
        Value::String(_) => true,
        Value::Object(members) => part["type"] == "text" && part["text"].is_string() && members.len() == 2,
        _ => false,
    };
    match (parts.is_empty(), parts.iter().all(is_text)) {
        (true, _) => Value::Null,
        (false, true) => text_of(Some(&Value::Array(parts))).into(),
        (false, false) => parts.into(),
    }
}

/// Adds a piece of a content to what there is of it: texts to texts, parts to parts, in their order.
pub(super) fn merge_content(content: &mut Value, piece: Value) {
    let pieces = match (&mut *content, piece) {
        (Value::String(text), Value::String(more)) => return text.push_str(&more),
        (_, Value::Array(pieces)) => pieces,
        // Also an empty one: it is not the same as a missing one to all endpoints.
        (Value::Null, text @ Value::String(_)) => return *content = text,
        (_, Value::String(text)) if text.is_empty() => return,
        (_, Value::String(text)) => vec![json!({"type": "text", "text": text})],
        (_, piece @ Value::Object(_)) => vec![piece],
        _ => return,
    };
    let mut parts = match content.take() {
        Value::Array(parts) => parts,
        Value::String(text) if !text.is_empty() => vec![json!({"type": "text", "text": text})],
        _ => Vec::new(),
    };
    pieces.into_iter().for_each(|piece| merge_part(&mut parts, piece, true));
    *content = parts.into();
}

/// Adds pieces of parts to the existing parts: to that of the same `index` and type. A piece without `index` is a
/// part of its own, or, with `grows`, continues the last one, if that is of its type and has not been signed yet.
pub(super) fn merge_parts(parts: &mut Vec<Value>, pieces: Vec<Value>, grows: bool) {
    pieces.into_iter().for_each(|piece| merge_part(parts, piece, grows));
}

fn merge_part(parts: &mut Vec<Value>, piece: Value, grows: bool) {
    let same = |part: &Value| part["type"] == piece["type"] || piece["type"].is_null();
    let at = match (&piece["index"], &piece) {
        (Value::Number(index), _) => {
            parts.iter().rposition(|part| part["index"].as_number() == Some(index) && same(part))
        }
        (_, Value::Object(_)) if grows => parts.len().checked_sub(1).filter(|last| {
            let last = &parts[*last];
            last.is_object() && same(last) && last["index"].is_null() && last["signature"].is_null()
        }),
        _ => None,
    };
    match (at, piece) {
        (Some(at), Value::Object(piece)) => {
            let Some(part) = parts[at].as_object_mut() else { return };
            piece.into_iter().for_each(|(name, value)| merge_member(part, name, value));
        }
        (_, piece) if parts.len() < MAX_PARTS => parts.push(piece),
        _ => {}
    }
}

fn merge_member(part: &mut Map<String, Value>, name: String, value: Value) {
    match (part.get_mut(&name), value) {
        (Some(_), Value::Null) => {}
        (Some(Value::String(text)), Value::String(more)) if GROWING.contains(&name.as_str()) => {
            text.push_str(&more);
        }
        (Some(Value::Array(inner)), Value::Array(pieces)) if GROWING.contains(&name.as_str()) => {
            merge_parts(inner, pieces, true);
        }
        (_, value) => drop(part.insert(name, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(pieces: Value, grows: bool) -> Value {
        let mut parts = Vec::new();
        merge_parts(&mut parts, pieces.as_array().expect("a list").clone(), grows);
        parts.into()
    }

    #[test]
    fn pieces_of_one_index_and_type_are_one_part() {
        let text = |more: Value| {
            let mut piece = json!({"type": "reasoning.text", "index": 0, "format": "f", "signature": null});
            piece.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            piece
        };
        let parts = merged(
            json!([
                text(json!({"text": "Let me"})),
                text(json!({"text": " see."})),
                {"type": "reasoning.encrypted", "index": 0, "data": "EN", "id": "a"},
                text(json!({"signature": "SIG"})),
                {"type": "reasoning.encrypted", "index": 0, "data": "C"},
                {"type": "reasoning.summary", "summary": "x"},
                {"type": "reasoning.summary", "summary": "y"},
            ]),
            false,
        );
        assert_eq!(
            parts,
            json!([
                {"type": "reasoning.text", "index": 0, "format": "f", "signature": "SIG", "text": "Let me see."},
                {"type": "reasoning.encrypted", "index": 0, "data": "ENC", "id": "a"},
                {"type": "reasoning.summary", "summary": "x"},
                {"type": "reasoning.summary", "summary": "y"},
            ])
        );
    }

    #[test]
    fn thoughts_and_words_keep_their_order_and_a_signed_thought_is_over() {
        let mut content = Value::Null;
        let thought =
            |text: &str| json!([{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]);
        for piece in [
            json!(""),
            thought("a"),
            thought("b"),
            json!("Hel"),
            json!("lo"),
            json!([{"type": "thinking", "thinking": "c", "signature": "S"}]),
            json!({"type": "thinking", "thinking": "d"}),
        ] {
            merge_content(&mut content, piece);
        }
        assert_eq!(
            content,
            json!([
                {"type": "thinking", "thinking": [{"type": "text", "text": "ab"}]},
                {"type": "text", "text": "Hello"},
                {"type": "thinking", "thinking": "c", "signature": "S"},
                {"type": "thinking", "thinking": "d"},
            ])
        );
        assert_eq!(text_of(Some(&content)), "Hello");
        assert_eq!(settled(content.clone()), content);
    }

    #[test]
    fn an_empty_text_stays_one_and_nothing_stays_nothing() {
        for (pieces, content) in [
            (vec![json!("")], json!("")),
            (vec![json!(""), json!("")], json!("")),
            (vec![json!(null)], json!(null)),
        ] {
            let mut merged = Value::Null;
            pieces.into_iter().for_each(|piece| merge_content(&mut merged, piece));
            assert_eq!(merged, content);
        }
    }

    #[test]
    fn nothing_but_text_is_one_text() {
        for (content, back) in [
            (json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), json!("ab")),
            (json!(["a", "b"]), json!("ab")),
            (json!({"type": "text", "text": "a"}), json!("a")),
            (json!([]), json!(null)),
            (json!(null), json!(null)),
            (json!(""), json!("")),
            (
                json!([{"type": "text", "text": "a", "signature": "S"}]),
                json!([{"type": "text", "text": "a", "signature": "S"}]),
            ),
        ] {
            assert_eq!(settled(content), back);
        }
    }

    #[test]
    fn there_is_an_end_to_the_number_of_parts() {
        let piece = |index: usize| json!({"type": "t", "index": index});
        let parts = merged((0..MAX_PARTS + 9).map(piece).collect(), false);
        assert_eq!(parts.as_array().map(Vec::len), Some(MAX_PARTS));
    }
}
