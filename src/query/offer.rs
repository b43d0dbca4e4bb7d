//! The tools that a model is told of: names as its API takes them, schemas as its API takes them, and
//! the way back from both. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The longest name that OpenAI's API takes.
const LONGEST_NAME: usize = 64;
/// The member that a schema is put into that cannot be the outermost one.
const WRAPPED: &str = "input";

/// A tool that a model may call.
#[derive(Debug, Clone)]
pub(super) struct Offered {
    /// The server's id.
    pub(super) server_id: Arc<str>,
    /// The server's name.
    pub(super) server: Arc<str>,
    /// The tool's own name.
    pub(super) tool: Box<str>,
    /// What it does.
    pub(super) description: Box<str>,
    /// `inputSchema`.
    pub(super) schema: Box<RawValue>,
}

/// All tools of a query, as the model's API takes them.
#[derive(Debug, Default)]
pub(super) struct Offer {
    definitions: Vec<Box<RawValue>>,
    /// By the name that the model knows.
    tools: HashMap<String, (Offered, bool)>,
    listing: String,
}

impl Offer {
    pub(super) fn new(tools: Vec<Offered>) -> Offer {
        let mut offer = Offer::default();
        let mut uses: HashMap<Box<str>, usize> = HashMap::new();
        tools.iter().for_each(|tool| *uses.entry(tool.tool.clone()).or_default() += 1);
        for tool in tools {
            let is_unique = uses.get(&tool.tool) == Some(&1);
            let name = offer.name(&tool, is_unique);
            let (parameters, is_wrapped) = adapt(&tool.schema);
            #[derive(Serialize)]
            struct Definition<'a> {
                r#type: &'static str,
                function: Function<'a>,
            }
            #[derive(Serialize)]
            struct Function<'a> {
                name: &'a str,
                #[serde(skip_serializing_if = "str::is_empty")]
                description: &'a str,
                parameters: &'a RawValue,
            }
            let function = Function { name: &name, description: &tool.description, parameters: &parameters };
            let Ok(definition) =
                serde_json::value::to_raw_value(&Definition { r#type: "function", function })
            else {
                continue;
            };
            offer
                .listing
                .push_str(&format!("- {name}: {}\n", tool.description.lines().next().unwrap_or_default()));
            offer.definitions.push(definition);
            offer.tools.insert(name, (tool, is_wrapped));
        }
        offer
    }

    /// `tools` of a request.
    pub(super) fn definitions(&self) -> &[Box<RawValue>] {
        &self.definitions
    }

    /// A line a tool, for the system's message.
    pub(super) fn listing(&self) -> &str {
        &self.listing
    }

    /// The tool that a model means.
    pub(super) fn find(&self, name: &str) -> Option<&Offered> {
        self.tools.get(name).map(|(tool, _)| tool)
    }

    /// The names that the model knows, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The tool's arguments out of what a model wrote: an object, in the tool's own shape.
    pub(super) fn arguments(&self, name: &str, written: &str) -> Result<Box<RawValue>, String> {
        let written = if written.trim().is_empty() { "{}" } else { written.trim() };
        let raw: Box<RawValue> = serde_json::from_str(written)
            .map_err(|error| format!("the arguments are not valid JSON: {error}"))?;
        let is_wrapped = self.tools.get(name).is_some_and(|(_, is_wrapped)| *is_wrapped);
        let raw = match is_wrapped {
            false => raw,
            true => {
                let mut outer: HashMap<String, Box<RawValue>> = serde_json::from_str(raw.get())
                    .map_err(|_| "the arguments must be a JSON object".to_owned())?;
                outer
                    .remove(WRAPPED)
                    .ok_or_else(|| format!("the arguments must have the member '{WRAPPED}'"))?
            }
        };
        if raw.get().starts_with('{') {
            Ok(raw)
        } else {
            Err("the arguments must be a JSON object".to_owned())
        }
    }

    /// The tool's own name where it is unique and possible; else with its server's; else shortened, with a
    /// piece of a hash that keeps it apart from others.
    fn name(&self, tool: &Offered, is_unique: bool) -> String {
        let own = &*tool.tool;
        if is_unique && is_possible(own) && !self.tools.contains_key(own) {
            return own.to_owned();
        }
        let full = if is_unique { own.to_owned() } else { format!("{}__{own}", tool.server) };
        let plain: String = full.chars().map(|c| if is_letter(c) { c } else { '_' }).collect();
        if is_possible(&plain) && plain == full && !self.tools.contains_key(&plain) {
            return plain;
        }
        // A server may have given another tool just the name that this comes to; then the next one is free.
        let mut hash = Sha256::digest(format!("{}\0{own}", tool.server_id));
        loop {
            let piece: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
            let kept: String = plain.chars().take(LONGEST_NAME - piece.len() - 1).collect();
            let name = format!("{kept}_{piece}");
            if !self.tools.contains_key(&name) {
                return name;
            }
            hash = Sha256::digest(hash);
        }
    }
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_possible(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_letter)
}

/// Members that the outermost schema of a function must not have.
const NOT_OUTERMOST: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];

/// A schema as OpenAI's API takes it, with the same meaning, and whether the arguments are one level
/// deeper in it. What needs no change stays the text that it is.
fn adapt(schema: &RawValue) -> (Box<RawValue>, bool) {
    let raw = |value: &Value| serde_json::value::to_raw_value(value).unwrap_or_else(|_| schema.to_owned());
    let Ok(Value::Object(mut map)) = serde_json::from_str::<Value>(schema.get()) else {
        return (raw(&json!({"type": "object", "properties": {}})), false);
    };
    let is_object = map.get("type").is_none_or(|kind| kind == "object");
    let refers = map.contains_key("$ref");
    if is_object && !refers && !NOT_OUTERMOST.iter().any(|name| map.contains_key(*name)) {
        if map.contains_key("type") && map.contains_key("properties") && !map.contains_key("$schema") {
            return (schema.to_owned(), false);
        }
        // Says which dialect this is; some endpoints refuse it, none heeds it.
        map.shift_remove("$schema");
        map.entry("type").or_insert_with(|| "object".into());
        map.entry("properties").or_insert_with(|| Value::Object(Map::new()));
        return (raw(&Value::Object(map)), false);
    }
    map.shift_remove("$schema");
    let mut outer = json!({"type": "object", "required": [WRAPPED]});
    for shared in ["$defs", "definitions"] {
        if let Some(definitions) = map.shift_remove(shared) {
            outer[shared] = definitions;
        }
    }
    outer["properties"] = json!({ WRAPPED: Value::Object(map) });
    redirect(&mut outer);
    (raw(&outer), true)
}

/// References to places in the inner schema lead there still.
fn redirect(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value {
                    Value::String(target) if name == "$ref" => {
                        let inner = target.strip_prefix('#').filter(|rest| {
                            (rest.is_empty() || rest.starts_with('/'))
                                && !rest.starts_with("/$defs/")
                                && !rest.starts_with("/definitions/")
                        });
                        if let Some(rest) = inner {
                            *target = format!("#/properties/{WRAPPED}{rest}");
                        }
                    }
                    value => redirect(value),
                }
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(redirect),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn tool(server: &str, name: &str, schema: &Value) -> Offered {
        Offered {
            server_id: format!("mcp_{server}").into(),
            server: server.into(),
            tool: name.into(),
            description: "Does it.\nIn detail.".into(),
            schema: serde_json::value::to_raw_value(schema).expect("JSON"),
        }
    }

    fn plain() -> Value {
        json!({"type": "object", "properties": {"a": {"type": "integer"}}})
    }

    fn parameters(offer: &Offer, at: usize) -> Value {
        let definition: Value = serde_json::from_str(offer.definitions()[at].get()).expect("JSON");
        definition["function"]["parameters"].clone()
    }

    #[test]
    fn a_usual_tool_is_offered_as_it_is() {
        let offer = Offer::new(vec![tool("s", "add", &plain())]);
        let definition: Value = serde_json::from_str(offer.definitions()[0].get()).expect("JSON");
        let function = json!({"name": "add", "description": "Does it.\nIn detail.", "parameters": plain()});
        assert_eq!(definition, json!({"type": "function", "function": function}));
        assert_eq!(offer.listing(), "- add: Does it.\n");
        assert_eq!(offer.find("add").map(|tool| &*tool.tool), Some("add"));
        assert_eq!(offer.arguments("add", " ").map(|raw| raw.get().to_owned()), Ok("{}".to_owned()));
        assert_eq!(
            offer.arguments("add", "{\"a\":1}").map(|raw| raw.get().to_owned()),
            Ok("{\"a\":1}".to_owned())
        );
        for wrong in ["{", "[1]", "null", "7"] {
            assert!(offer.arguments("add", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_that_are_impossible_or_shared_are_mapped_and_found_again() {
        let long = "x".repeat(80);
        let offer = Offer::new(vec![
            tool("a", "search", &plain()),
            tool("b", "search", &plain()),
            tool("a", "get.weather", &plain()),
            tool("a", "get/weather", &plain()),
            tool("a", &long, &plain()),
            tool("a", "größe", &plain()),
        ]);
        let names = offer.names();
        assert!(names.contains(&"a__search") && names.contains(&"b__search"), "{names:?}");
        assert_eq!(names.len(), 6);
        assert!(names.iter().all(|name| is_possible(name)));
        let found: HashSet<_> =
            names.iter().map(|name| offer.find(name).expect("there").tool.clone()).collect();
        assert!(found.contains("get.weather") && found.contains("get/weather") && found.contains(&*long));
    }

    #[test]
    fn no_tool_takes_the_name_of_another() {
        let offer = Offer::new(vec![tool("a", "get.weather", &plain())]);
        let taken = offer.names()[0].to_owned();
        let offer = Offer::new(vec![tool("b", &taken, &plain()), tool("a", "get.weather", &plain())]);
        assert_eq!(offer.names().len(), 2);
        assert_eq!(offer.find(&taken).map(|tool| &*tool.server), Some("b"));
    }

    #[test]
    fn schemas_that_are_refused_are_changed_without_another_meaning() {
        for (schema, expected) in [
            (json!({}), json!({"type": "object", "properties": {}})),
            (json!({"type": "object"}), json!({"type": "object", "properties": {}})),
            (
                json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {"a": {}}}),
                json!({"type": "object", "properties": {"a": {}}}),
            ),
            (json!(true), json!({"type": "object", "properties": {}})),
        ] {
            assert_eq!(parameters(&Offer::new(vec![tool("s", "t", &schema)]), 0), expected, "{schema}");
        }
    }

    #[test]
    fn a_choice_of_schemas_goes_one_level_down_with_its_references() {
        let schema = json!({
            "type": "object",
            "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/properties/b"}, {"$ref": "#"}],
            "properties": {"b": {"type": "string"}},
            "$defs": {"a": {"required": ["a"]}},
        });
        let offer = Offer::new(vec![tool("s", "t", &schema)]);
        assert_eq!(
            parameters(&offer, 0),
            json!({
                "type": "object", "required": ["input"], "$defs": {"a": {"required": ["a"]}},
                "properties": {"input": {
                    "type": "object",
                    "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/properties/input/properties/b"}, {"$ref": "#/properties/input"}],
                    "properties": {"b": {"type": "string"}},
                }},
            })
        );
        let given = offer.arguments("t", r#"{"input": {"a": 1.50}}"#).expect("unwrapped");
        assert_eq!(given.get(), r#"{"a": 1.50}"#);
        assert!(offer.arguments("t", r#"{"a": 1}"#).is_err());
    }

    proptest! {
        #[test]
        fn every_tool_has_a_possible_name_of_its_own(names in prop::collection::hash_set((0..3u8, "\\PC{1,70}"), 1..12)) {
            let tools: Vec<_> = names.iter().map(|(server, name)| tool(&format!("s{server}"), name, &plain())).collect();
            let offer = Offer::new(tools);
            prop_assert_eq!(offer.names().len(), names.len());
            prop_assert!(offer.names().iter().all(|name| is_possible(name)));
        }
    }
}
