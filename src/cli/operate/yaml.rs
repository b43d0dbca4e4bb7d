//! A value as YAML 1.2 in block style. Texts that could be taken for anything else are quoted as JSON quotes them, which
//! YAML reads as well. Pure.

use serde_json::Value;

use super::json;

/// Returns a value as a YAML document.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value, 0);
    out
}

/// Appends a value that begins on the current line, and the line's end.
fn push(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (at, (key, value)) in members.iter().enumerate() {
                indent(out, at, depth);
                out.push_str(&scalar(key));
                out.push(':');
                push_behind(out, value, depth);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                indent(out, at, depth);
                out.push_str("- ");
                push(out, item, depth + 1);
            }
        }
        Value::String(text) => {
            out.push_str(&scalar(text));
            out.push('\n');
        }
        // Numbers, `true`, `false`, `null`, `{}` and `[]` are the same in JSON.
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

/// Appends the value of a member, on the same line if it is short.
fn push_behind(out: &mut String, value: &Value, depth: usize) {
    let is_block = match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    match is_block {
        true => {
            out.push('\n');
            out.extend(std::iter::repeat_n("  ", depth + 1));
            push(out, value, depth + 1);
        }
        false => {
            out.push(' ');
            push(out, value, depth);
        }
    }
}

/// Indents an item; the first one stands behind what leads to it.
fn indent(out: &mut String, at: usize, depth: usize) {
    if at > 0 {
        out.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Words that some version of YAML takes for something else than a text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// Returns a text as it is if it is a word that only a text can be, else in quotes.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    match is_plain {
        true => text.to_owned(),
        false => json::safe(&Value::from(text).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn documents_look_as_people_write_them() {
        let value = json!({"name": "demo", "pid": 7, "cause": null, "tools": [{"name": "echo", "tags": []}, "a: b"], "no": {"x": "7"}});
        let shown = "name: demo\npid: 7\ncause: null\ntools:\n  - name: echo\n    tags: []\n  - \"a: b\"\n\"no\":\n  x: \"7\"\n";
        assert_eq!(text(&value), shown);
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            "[-a-zA-Z0-9.:#~ ]{0,6}".prop_map(Value::from),
            "(yes|No|null|~|1e3|0x1f|\\.inf|- a|a: b|a #b|\u{85}|\n)".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((".{0,6}", inner), 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_parser_that_others_wrote_reads_the_same_value(value in values()) {
            let shown = text(&value);
            let read: Value = serde_saphyr::from_str(&shown).map_err(|error| TestCaseError::fail(format!("{shown:?}: {error}")))?;
            prop_assert_eq!(read, value, "{}", shown);
        }
    }
}
