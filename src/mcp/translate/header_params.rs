//! Arguments of a tool that a modern client repeats in headers (`x-mcp-header`; spec 2026-07-28,
//! basic/transports/streamable-http, custom headers).

use std::collections::HashSet;

use serde_json::Value;

/// Maximum depth of properties that is searched for annotations.
const MAX_DEPTH: usize = 8;
/// Maximum number of annotations of one tool.
const MAX_PARAMS: usize = 64;

/// Argument that is repeated in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderParam {
    /// Name of the header in lower case: `mcp-param-` and the annotation.
    pub header: String,
    /// Names of the properties that lead to the argument.
    pub path: Vec<String>,
}

impl HeaderParam {
    /// Reads the annotations of an input schema. Those that are not allowed are left out: no client sends them.
    pub fn read(schema: &str) -> Vec<HeaderParam> {
        if !schema.contains("x-mcp-header") {
            return Vec::new();
        }
        let Ok(schema) = serde_json::from_str(schema) else { return Vec::new() };
        let (mut found, mut path) = (Vec::new(), Vec::new());
        collect(&schema, &mut path, &mut found);
        let counts = |header: &str| found.iter().filter(|one: &&HeaderParam| one.header == header).count();
        let unique = found.iter().filter(|one| counts(&one.header) == 1);
        unique.take(MAX_PARAMS).cloned().collect()
    }

    /// Returns what is wrong with the annotations of an input schema, in a few words: a client over HTTP must not use such a
    /// tool (spec 2026-07-28, basic/transports/streamable-http). `None` if nothing is.
    pub fn fault(schema: &str) -> Option<&'static str> {
        if !schema.contains("x-mcp-header") {
            return None;
        }
        let schema = serde_json::from_str(schema).ok()?;
        let mut names = HashSet::new();
        faulty(&schema, 0, &mut names)
    }

    /// Reports whether a header, decoded, says what the arguments of a call do. An argument that is missing or null needs
    /// no header.
    pub fn agrees(&self, arguments: &Value, header: Option<&str>) -> bool {
        let value = self.path.iter().try_fold(arguments, |value, name| value.get(name));
        match (value, header) {
            (None | Some(Value::Null), _) => true,
            (Some(_), None) => false,
            (Some(Value::String(text)), Some(header)) => text == header,
            (Some(Value::Bool(value)), Some(header)) => header == if *value { "true" } else { "false" },
            (Some(Value::Number(number)), Some(header)) => {
                let same_text = number.to_string() == header;
                same_text || header.parse::<f64>().is_ok_and(|given| number.as_f64() == Some(given))
            }
            (Some(Value::Array(_) | Value::Object(_)), Some(_)) => false,
        }
    }
}

fn faulty(schema: &Value, depth: usize, names: &mut HashSet<String>) -> Option<&'static str> {
    let properties = schema.get("properties").and_then(Value::as_object)?;
    if depth == MAX_DEPTH {
        return None;
    }
    properties.values().find_map(|property| {
        let annotation = property.get("x-mcp-header");
        let own = annotation.and_then(|annotation| match annotation.as_str() {
            None | Some("") => Some("names no header"),
            Some(name) if !is_token(name) => Some("has a character that no header's name can have"),
            Some(_) if !is_repeatable(property) => {
                Some("stands at an argument that is no text, whole number or truth")
            }
            Some(name) if !names.insert(name.to_ascii_lowercase()) => Some("is there twice"),
            Some(_) => None,
        });
        own.or_else(|| faulty(property, depth + 1, names))
    })
}

/// Reports whether an argument is of a type that can be repeated in a header.
fn is_repeatable(property: &Value) -> bool {
    matches!(property["type"].as_str(), Some("string" | "integer" | "boolean"))
}

fn collect(schema: &Value, path: &mut Vec<String>, found: &mut Vec<HeaderParam>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if path.len() == MAX_DEPTH {
        return;
    }
    for (name, property) in properties {
        path.push(name.clone());
        if let Some(annotation) = property.get("x-mcp-header").and_then(Value::as_str)
            && is_token(annotation)
            && is_repeatable(property)
        {
            let header = format!("mcp-param-{}", annotation.to_ascii_lowercase());
            found.push(HeaderParam { header, path: path.clone() });
        }
        collect(property, path, found);
        path.pop();
    }
}

/// Reports whether a text may be part of a header's name (RFC 9110, section 5.6.2).
fn is_token(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_are_read_where_they_are_allowed() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}},
            "list": {"type": "array", "x-mcp-header": "List", "items": {"properties": {"x": {"type": "string", "x-mcp-header": "X"}}}},
            "odd": {"type": "string", "x-mcp-header": "a b"},
            "one": {"type": "string", "x-mcp-header": "same"},
            "two": {"type": "string", "x-mcp-header": "SAME"},
        }});
        let read = HeaderParam::read(&schema.to_string());
        let told: Vec<(&str, String)> = read.iter().map(|one| (&*one.header, one.path.join("."))).collect();
        assert_eq!(told, [("mcp-param-region", "region".to_owned()), ("mcp-param-n", "deep.n".to_owned())]);
    }

    #[test]
    fn a_tool_with_an_annotation_that_is_not_allowed_is_known_by_its_fault() {
        let fault = |properties: Value| HeaderParam::fault(&json!({"properties": properties}).to_string());
        let string = |name: &str| json!({"type": "string", "x-mcp-header": name});
        let deep = json!({"type": "object", "properties": {"n": {"type": "integer", "x-mcp-header": "N"}}});
        assert_eq!(fault(json!({"a": string("A"), "b": string("B"), "deep": deep})), None);
        assert_eq!(fault(json!({"a": {"type": "number"}})), None);
        for bad in [
            json!({"a": string("")}),
            json!({"a": {"type": "string", "x-mcp-header": 7}}),
            json!({"a": string("a b")}),
            json!({"a": string("a:b")}),
            json!({"a": string("é")}),
            json!({"a": string("a\tb")}),
            json!({"a": {"type": "number", "x-mcp-header": "A"}}),
            json!({"a": {"type": "object", "x-mcp-header": "A"}}),
            json!({"a": {"type": ["string", "null"], "x-mcp-header": "A"}}),
            json!({"a": {"x-mcp-header": "A"}}),
            json!({"a": string("A"), "b": string("a")}),
            json!({"o": {"type": "object", "properties": {"a": string("")}}}),
        ] {
            assert!(fault(bad.clone()).is_some(), "{bad}");
        }
    }

    #[test]
    fn a_header_says_what_the_argument_says() {
        let of = |name: &str| HeaderParam { header: String::new(), path: vec![name.to_owned()] };
        let arguments = json!({"s": "a", "n": 7, "b": true, "null": null});
        for (name, header, agrees) in [
            ("s", Some("a"), true),
            ("s", Some("A"), false),
            ("s", None, false),
            ("n", Some("7"), true),
            ("n", Some("7.0"), true),
            ("n", Some("8"), false),
            ("b", Some("true"), true),
            ("b", Some("True"), false),
            ("null", None, true),
            ("missing", Some("x"), true),
        ] {
            assert_eq!(of(name).agrees(&arguments, header), agrees, "{name} {header:?}");
        }
    }
}
