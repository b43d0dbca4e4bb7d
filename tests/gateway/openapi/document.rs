//! A document as a test holds answers against it: every answer fits the schema of its status, has no member that the
//! schema lacks, and in the end every member of every schema has come.
//!
//! `tests/gateway/fuzzing.rs` checks forms (`pattern`, `format`); here it is about what there is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::support::http::Reply;

/// Headers that an answer may have only where its document says so.
const HEADERS: [&str; 10] = [
    "X-Request-Id",
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "WWW-Authenticate",
    "Allow",
    "Location",
    "Cache-Control",
    "Idempotent-Replayed",
];

/// A document, and what of it has come so far.
pub(super) struct Document {
    root: Value,
    /// Pointers of the members that came with a value.
    seen: BTreeSet<String>,
    /// Operation, status and content type of the answers that came.
    answered: BTreeSet<(String, u16, String)>,
}

impl Document {
    pub(super) fn new(root: Value) -> Document {
        Document { root, seen: BTreeSet::new(), answered: BTreeSet::new() }
    }

    /// Holds an answer to a request against the document. `path` is the route, with its placeholders.
    #[track_caller]
    pub(super) fn check(&mut self, method: &str, path: &str, reply: &Reply) {
        let what = format!("{method} {path}: {} {}", reply.status, reply.text());
        let method = method.to_lowercase();
        let at = format!("/paths/{}/{method}/responses/{}", escaped(path), reply.status);
        assert!(self.root.pointer(&at).is_some(), "the status is not described: {what}");
        let at = self.resolved(at);
        let described = self.root.pointer(&at).expect("looked at above");
        for name in HEADERS {
            let is_there =
                reply.headers.contains_key(name) && !(name == "Cache-Control" && reply.status >= 400);
            assert!(!is_there || described["headers"].get(name).is_some(), "{name} is not described: {what}");
        }
        let kind = reply.headers["content-type"].to_str().expect("ASCII").to_owned();
        let media = format!("{at}/content/{}", escaped(&kind));
        assert!(self.root.pointer(&media).is_some(), "the content type {kind} is not described: {what}");
        self.answered.insert((format!("{method} {path}"), reply.status, kind.clone()));
        let text = reply.text();
        match kind.as_str() {
            "application/json" => self.hold(&format!("{media}/schema"), &reply.json(), &what),
            "application/x-ndjson" => {
                for line in text.lines() {
                    let line = serde_json::from_str(line).expect("a line of JSON");
                    self.hold(&format!("{media}/x-lines"), &line, &what);
                }
            }
            "text/csv" => {
                let columns = |line: &str| line.split(',').count();
                let head = columns(text.lines().next().expect("a head"));
                assert!(text.lines().all(|line| columns(line) == head), "{what}");
            }
            "text/event-stream" => self.hold_events(&media, &text, &what),
            _ => panic!("no test for {kind}: {what}"),
        }
    }

    /// Holds the events of a stream that was read by other means against the document.
    #[track_caller]
    pub(super) fn check_events(&mut self, method: &str, path: &str, text: &str) {
        let method = method.to_lowercase();
        let at = format!("/paths/{}/{method}/responses/200/content/text~1event-stream", escaped(path));
        self.answered.insert((format!("{method} {path}"), 200, "text/event-stream".to_owned()));
        self.hold_events(&at, text, &format!("{method} {path}"));
    }

    #[track_caller]
    fn hold_events(&mut self, media: &str, text: &str, what: &str) {
        let mut name = "";
        for line in text.lines() {
            if let Some(event) = line.strip_prefix("event: ") {
                name = event;
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("data are JSON");
                self.hold(&format!("{media}/x-events/{name}"), &data, what);
            }
        }
    }

    #[track_caller]
    fn hold(&mut self, schema: &str, value: &Value, what: &str) {
        let mut seen = BTreeSet::new();
        let problems = self.problems(schema, value, "", true, &mut seen);
        assert!(problems.is_empty(), "{what}\n{problems:#?}");
        self.seen.append(&mut seen);
    }

    /// Follows references.
    fn resolved(&self, mut pointer: String) -> String {
        while let Some(Value::String(to)) = self.root.pointer(&pointer).and_then(|schema| schema.get("$ref"))
        {
            pointer = to.trim_start_matches('#').to_owned();
        }
        pointer
    }

    /// Returns what is wrong with a value, and notes which members it has. `is_whole` is whether the schema has to name
    /// all members: a part of `allOf` has not.
    fn problems(
        &self,
        pointer: &str,
        value: &Value,
        at: &str,
        is_whole: bool,
        seen: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let pointer = self.resolved(pointer.to_owned());
        let Some(schema) = self.root.pointer(&pointer) else {
            return vec![format!("{at}: no schema {pointer}")];
        };
        let schema = schema.as_object().expect("a schema is an object");
        let mut problems: Vec<String> = plain_problems(schema, value);
        for keyword in ["anyOf", "oneOf"] {
            if let Some(Value::Array(ways)) = schema.get(keyword) {
                let tried: Vec<_> = (0..ways.len())
                    .map(|way| {
                        let mut found = BTreeSet::new();
                        let wrong = self.problems(
                            &format!("{pointer}/{keyword}/{way}"),
                            value,
                            at,
                            is_whole,
                            &mut found,
                        );
                        (wrong, found)
                    })
                    .collect();
                match tried.iter().find(|(wrong, _)| wrong.is_empty()) {
                    Some((_, found)) => seen.extend(found.iter().cloned()),
                    None => problems.extend(tried.into_iter().flat_map(|(wrong, _)| wrong)),
                }
            }
        }
        if let Some(Value::Array(parts)) = schema.get("allOf") {
            for part in 0..parts.len() {
                problems.extend(self.problems(&format!("{pointer}/allOf/{part}"), value, at, false, seen));
            }
        }
        if let (Some(_), Value::Array(items)) = (schema.get("items"), value) {
            for (index, item) in items.iter().enumerate() {
                let (items, at) = (format!("{pointer}/items"), format!("{at}/{index}"));
                problems.extend(self.problems(&items, item, &at, true, seen));
            }
        }
        if let Value::Object(members) = value {
            problems.extend(self.member_problems(&pointer, members, at, is_whole, seen));
        }
        problems
            .into_iter()
            .map(|problem| if problem.starts_with('/') { problem } else { format!("{at}: {problem}") })
            .collect()
    }

    fn member_problems(
        &self,
        pointer: &str,
        members: &Map<String, Value>,
        at: &str,
        is_whole: bool,
        seen: &mut BTreeSet<String>,
    ) -> Vec<String> {
        let schema = self.root.pointer(pointer).expect("looked at before");
        let mut problems = Vec::new();
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        problems.extend(
            required
                .filter(|name| !members.contains_key(*name))
                .map(|name| format!("{at}: {name} is missing")),
        );
        let is_described = ["properties", "additionalProperties"].iter().any(|it| schema.get(it).is_some());
        for (name, value) in members {
            let inner = format!("{at}/{name}");
            let own = format!("{pointer}/properties/{}", escaped(name));
            if self.root.pointer(&own).is_some() {
                if !value.is_null() {
                    seen.insert(own.clone());
                }
                problems.extend(self.problems(&own, value, &inner, true, seen));
            } else {
                match schema.get("additionalProperties") {
                    Some(Value::Bool(true)) => {}
                    Some(Value::Object(_)) => {
                        let others = format!("{pointer}/additionalProperties");
                        problems.extend(self.problems(&others, value, &inner, true, seen));
                    }
                    _ if is_whole && is_described => problems.push(format!("{inner}: is not described")),
                    _ => {}
                }
            }
        }
        problems
    }

    /// Returns the members of answers that are described and never came with a value.
    pub(super) fn never_seen(&self) -> Vec<String> {
        let mut described = BTreeSet::new();
        let schemas = &self.root["components"]["schemas"];
        collect_members(schemas, "/components/schemas", &mut described);
        for (path, methods) in self.root["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let at = format!("/paths/{}/{method}/responses", escaped(path));
                collect_members(&operation["responses"], &at, &mut described);
            }
        }
        described.difference(&self.seen).cloned().collect()
    }

    /// Returns the successes that are described and never came.
    pub(super) fn never_answered(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for (path, methods) in self.root["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                for (status, answer) in operation["responses"].as_object().expect("responses") {
                    for kind in answer["content"].as_object().into_iter().flatten().map(|(kind, _)| kind) {
                        let status = status.parse().expect("a number");
                        let answer = (format!("{method} {path}"), status, kind.clone());
                        if !self.answered.contains(&answer) {
                            missing.push(format!("{answer:?}"));
                        }
                    }
                }
            }
        }
        missing
    }
}

/// Finds every member that a schema below this value describes.
fn collect_members(value: &Value, pointer: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, inner) in members {
                let at = format!("{pointer}/{}", escaped(name));
                if name == "example" || name == "examples" {
                    continue;
                }
                if pointer.ends_with("/properties") {
                    found.insert(at.clone());
                }
                collect_members(inner, &at, found);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                collect_members(inner, &format!("{pointer}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// Keywords that say something about a value, or are looked at elsewhere. An unknown one would be passed over in silence.
const KEYWORDS: [&str; 22] = [
    "type",
    "const",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "items",
    "minItems",
    "maxItems",
    "properties",
    "required",
    "additionalProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "description",
    "examples",
    "title",
    "x-events",
];

/// Returns what is wrong with a value by itself.
fn plain_problems(schema: &Map<String, Value>, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for (keyword, wanted) in schema {
        assert!(KEYWORDS.contains(&keyword.as_str()), "the tests do not know the keyword {keyword}");
        let good = match keyword.as_str() {
            "type" => match wanted {
                Value::Array(kinds) => kinds.iter().any(|kind| is_of(value, kind)),
                kind => is_of(value, kind),
            },
            "const" => value == wanted,
            "enum" => wanted.as_array().expect("a list").contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().expect("a number")),
            "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().expect("a number")),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.chars().count() as u64 >= wanted.as_u64().expect("a number")),
            _ => true,
        };
        if !good {
            problems.push(format!("{value} is not {keyword} {wanted}"));
        }
    }
    problems
}

fn is_of(value: &Value, kind: &Value) -> bool {
    match kind.as_str().expect("a word") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("no kind {other}"),
    }
}

/// Writes a name as a part of a JSON Pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[test]
fn a_document_that_lacks_a_member_or_has_one_too_many_is_found_out() {
    let root = serde_json::json!({
        "components": {"schemas": {"A": {"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["string", "null"]}, "b": {"type": "integer"},
        }}}},
        "paths": {},
    });
    let mut document = Document::new(root);
    let mut problems = |value: Value| {
        let mut seen = BTreeSet::new();
        let found = document.problems("/components/schemas/A", &value, "", true, &mut seen);
        if found.is_empty() {
            document.seen.append(&mut seen);
        }
        found
    };
    assert_eq!(problems(serde_json::json!({"a": null, "c": 1})), ["/c: is not described"]);
    assert_eq!(problems(serde_json::json!({"b": "x"})).len(), 2);
    assert_eq!(problems(serde_json::json!({"a": "x"})), [""; 0]);
    assert_eq!(document.never_seen(), ["/components/schemas/A/properties/b"]);
}
