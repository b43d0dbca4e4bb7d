//! JSON with duplicate detection: reads as `serde_json` does, but records the path of a member that occurs
//! twice, where the usual reader silently keeps the last one. Depth is limited to 128.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::problem::{Position, path_step};

/// Result of reading a JSON text.
#[derive(Debug, PartialEq)]
pub(super) struct Parsed {
    /// The value; of repeated members it has the last one.
    pub(super) value: Value,
    /// Paths of members that occur more than once.
    pub(super) repeated: Vec<String>,
}

/// Parses one JSON text. A byte order mark is skipped. The error is a position and a reason.
pub(super) fn parse(text: &str) -> Result<Parsed, (Position, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut walk = Walk::default();
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Node { walk: &mut walk }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| {
            let message = error.to_string();
            let reason = message.rfind(" at line ").map_or(message.as_str(), |end| &message[..end]);
            (position(text, &error), reason.to_owned())
        })?;
    Ok(Parsed { value, repeated: walk.repeated })
}

/// Returns the position of an error. The reader counts bytes, and uses column 0 for the end of an empty line.
fn position(text: &str, error: &serde_json::Error) -> Position {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let before = &line.as_bytes()[..error.column().saturating_sub(1).min(line.len())];
    Position { line: error.line(), column: String::from_utf8_lossy(before).chars().count() + 1 }
}

/// Path from the top to the value that is being read.
#[derive(Default)]
struct Walk {
    path: Vec<String>,
    repeated: Vec<String>,
}

struct Node<'w> {
    walk: &'w mut Walk,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            self.walk.path.push(items.len().to_string());
            let item = access.next_element_seed(Node { walk: &mut *self.walk })?;
            self.walk.path.pop();
            match item {
                Some(item) => items.push(item),
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = access.next_key::<String>()? {
            self.walk.path.push(path_step(&name));
            if members.contains_key(&name) {
                let path = self.walk.path.join(".");
                if !self.walk.repeated.contains(&path) {
                    self.walk.repeated.push(path);
                }
            }
            let value = access.next_value_seed(Node { walk: &mut *self.walk })?;
            self.walk.path.pop();
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_written_twice_are_noted_with_their_path() {
        let parsed = parse(r#"{"a": {"b": [{"c c": 1, "c c": 2, "c c": 3}]}, "a": 1}"#).expect("JSON");
        assert_eq!(parsed.repeated, ["a.b.0.\"c c\"", "a"]);
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let (at, reason) = parse("{\n  \"a\": 1,\n}").expect_err("a trailing comma");
        assert_eq!((at.line, reason.as_str()), (3, "trailing comma"));
        let (at, _) = parse("{\"ü\": x}").expect_err("no value");
        assert_eq!((at.line, at.column), (1, 7));
        assert!(parse("{} {}").expect_err("two texts").1.contains("trailing characters"));
        assert!(parse(&"[".repeat(100_000)).expect_err("deep").1.contains("recursion limit"));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(parse("\u{feff}{}").expect("JSON").value, serde_json::json!({}));
    }

    proptest! {
        #[test]
        fn reads_what_serde_json_reads(text in r#"[\[\]{}:,"a1e.\-\\ \n]{0,40}"#) {
            let usual = serde_json::from_str::<Value>(&text);
            match parse(&text) {
                Ok(parsed) => prop_assert_eq!(usual.expect("the usual reader agrees"), parsed.value),
                Err(_) => prop_assert!(usual.is_err()),
            }
        }
    }
}
