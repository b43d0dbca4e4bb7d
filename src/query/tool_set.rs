//! Tools offered to a model: names, descriptions and schemas as its API takes them, and the way back from names
//! and schemas. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::schema::{WRAPPED, adapt};
use crate::text::hex;

/// The longest name that OpenAI's API takes.
const MAX_NAME: usize = 64;
/// The longest description that Azure and some models of OpenAI take, in units of UTF-16.
const MAX_DESCRIPTION: usize = 1024;
/// End of a description that is continued elsewhere.
const GOES_ON: &str = " … (goes on in the system message)";

/// A tool that a model may call.
#[derive(Debug, Clone)]
pub(super) struct ToolBinding {
    /// Id of the server.
    pub(super) server_id: Arc<str>,
    /// Name of the server.
    pub(super) server: Arc<str>,
    /// Tool's name as its server gives it.
    pub(super) tool: Box<str>,
    /// Description by the server; empty if it gave none.
    pub(super) description: Box<str>,
    /// `inputSchema` as the server gave it.
    pub(super) schema: Box<RawValue>,
}

/// A tool that was taken out of an offer.
#[derive(Debug)]
pub(super) struct Removed {
    at: usize,
    /// Definition, as sent to the model's API.
    pub(super) definition: Box<RawValue>,
    name: String,
    pub(super) tool: ToolBinding,
    is_wrapped: bool,
}

/// All tools of a query, as the model's API takes them.
#[derive(Debug, Default)]
pub(super) struct ToolSet {
    /// Definitions, in the same order as `names`.
    definitions: Vec<Box<RawValue>>,
    names: Vec<String>,
    /// Tools by the name that the model knows, with `true` if the schema is wrapped.
    tools: HashMap<String, (ToolBinding, bool)>,
}

impl ToolSet {
    pub(super) fn new(tools: Vec<ToolBinding>) -> ToolSet {
        let mut offer = ToolSet::default();
        let mut uses: HashMap<Box<str>, usize> = HashMap::new();
        tools.iter().for_each(|tool| *uses.entry(tool.tool.clone()).or_default() += 1);
        for tool in tools {
            let is_unique = uses.get(&tool.tool) == Some(&1);
            let name = offer.name(&tool, is_unique);
            let (parameters, is_wrapped) = adapt(&tool.schema);
            if let Ok(definition) = define(&name, &tool.description, &parameters) {
                offer.definitions.push(definition);
                offer.names.push(name.clone());
                offer.tools.insert(name, (tool, is_wrapped));
            }
        }
        offer
    }

    /// Returns `tools` of a request.
    pub(super) fn definitions(&self) -> &[Box<RawValue>] {
        &self.definitions
    }

    /// Returns the names that the model knows, in the order of the definitions.
    pub(super) fn in_order(&self) -> &[String] {
        &self.names
    }

    /// Takes a tool out of the offer, by its position. `None` if there is no such position.
    pub(super) fn leave_out(&mut self, at: usize) -> Option<Removed> {
        let name = self.names.get(at)?.clone();
        let (tool, is_wrapped) = self.tools.remove(&name)?;
        self.names.remove(at);
        Some(Removed { at, definition: self.definitions.remove(at), name, tool, is_wrapped })
    }

    /// Puts a tool back where it was, if it was the last one that was taken out.
    pub(super) fn put_back(&mut self, removed: Removed) {
        let at = removed.at.min(self.names.len());
        self.definitions.insert(at, removed.definition);
        self.names.insert(at, removed.name.clone());
        self.tools.insert(removed.name, (removed.tool, removed.is_wrapped));
    }

    /// Formats the text for the system's message: a line per tool, then the rest of descriptions that are too
    /// long for a tool.
    pub(super) fn listing(&self) -> String {
        let (mut lines, mut rests) = (String::new(), String::new());
        for name in &self.names {
            let Some((tool, _)) = self.tools.get(name) else { continue };
            let (first, rest) = split(&tool.description);
            lines.push_str(&format!("- {name}: {}\n", first.lines().next().unwrap_or_default()));
            if let Some(rest) = rest {
                rests.push_str(&format!("\nHow the description of {name} goes on:\n{rest}\n"));
            }
        }
        lines + &rests
    }

    /// Returns the tool of a name that the model used.
    pub(super) fn find(&self, name: &str) -> Option<&ToolBinding> {
        self.tools.get(name).map(|(tool, _)| tool)
    }

    /// Returns the names that the model knows, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.tools.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Reads a tool's arguments from the model's text: an object, in the tool's own shape. `Err` holds the reason
    /// for the model.
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

    /// Chooses a name: the tool's own if it is unique and possible; else with its server's; else shortened, with
    /// a piece of a hash that keeps it apart from others.
    fn name(&self, tool: &ToolBinding, is_unique: bool) -> String {
        let own = &*tool.tool;
        if is_unique && is_possible(own) && !self.tools.contains_key(own) {
            return own.to_owned();
        }
        let full = if is_unique { own.to_owned() } else { format!("{}__{own}", tool.server) };
        let plain: String = full.chars().map(|c| if is_letter(c) { c } else { '_' }).collect();
        if is_possible(&plain) && plain == full && !self.tools.contains_key(&plain) {
            return plain;
        }
        // A server may have given another tool just this name; then the next one is free.
        let mut hash = Sha256::digest(format!("{}\0{own}", tool.server_id));
        loop {
            let piece = hex(&hash[..4]);
            let kept: String = plain.chars().take(MAX_NAME - piece.len() - 1).collect();
            let name = format!("{kept}_{piece}");
            if !self.tools.contains_key(&name) {
                return name;
            }
            hash = Sha256::digest(hash);
        }
    }
}

/// Writes a tool's definition for the API.
fn define(name: &str, description: &str, parameters: &RawValue) -> serde_json::Result<Box<RawValue>> {
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
    let (first, rest) = split(description);
    let cut = rest.map(|_| format!("{first}{GOES_ON}"));
    let description = cut.as_deref().unwrap_or(first);
    serde_json::value::to_raw_value(&Definition {
        r#type: "function",
        function: Function { name, description, parameters },
    })
}

/// Splits a description into the part that fits into a tool and the rest; between words if there are some.
fn split(description: &str) -> (&str, Option<&str>) {
    let length = |text: &str| text.chars().map(char::len_utf16).sum::<usize>();
    // A text has at most as many units as bytes.
    if description.len() <= MAX_DESCRIPTION || length(description) <= MAX_DESCRIPTION {
        return (description, None);
    }
    let (most, mut units) = (MAX_DESCRIPTION - length(GOES_ON), 0);
    let end = description.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > most
    });
    let end = end.map_or(description.len(), |(at, _)| at);
    let word = description[..end].rfind(char::is_whitespace).filter(|at| *at > end / 2);
    let (first, rest) = description.split_at(word.unwrap_or(end));
    (first.trim_end(), Some(rest.trim_start()))
}

fn is_letter(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn is_possible(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.chars().all(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use std::collections::HashSet;

    fn tool(server: &str, name: &str, schema: &Value) -> ToolBinding {
        ToolBinding {
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

    fn parameters(offer: &ToolSet, at: usize) -> Value {
        let definition: Value = serde_json::from_str(offer.definitions()[at].get()).expect("JSON");
        definition["function"]["parameters"].clone()
    }

    #[test]
    fn a_usual_tool_is_offered_as_it_is() {
        let offer = ToolSet::new(vec![tool("s", "add", &plain())]);
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
        let offer = ToolSet::new(vec![
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
        let offer = ToolSet::new(vec![tool("a", "get.weather", &plain())]);
        let taken = offer.names()[0].to_owned();
        let offer = ToolSet::new(vec![tool("b", &taken, &plain()), tool("a", "get.weather", &plain())]);
        assert_eq!(offer.names().len(), 2);
        assert_eq!(offer.find(&taken).map(|tool| &*tool.server), Some("b"));
    }

    #[test]
    fn arguments_of_a_schema_that_went_one_level_down_come_up_again() {
        let schema = json!({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]});
        let offer = ToolSet::new(vec![tool("s", "t", &schema)]);
        assert_eq!(parameters(&offer, 0)["properties"]["input"], schema);
        let given = offer.arguments("t", r#"{"input": {"a": 1.50}}"#).expect("unwrapped");
        assert_eq!(given.get(), r#"{"a": 1.50}"#);
        assert!(offer.arguments("t", r#"{"a": 1}"#).is_err());
    }

    #[test]
    fn a_tool_that_is_left_out_is_not_offered_told_or_found() {
        let mut offer =
            ToolSet::new(vec![tool("s", "a", &plain()), tool("s", "b", &plain()), tool("s", "c", &plain())]);
        let left_out = offer.leave_out(1).expect("there");
        assert_eq!(&*left_out.tool.tool, "b");
        assert_eq!((offer.in_order(), offer.definitions().len()), (&["a".to_owned(), "c".to_owned()][..], 2));
        assert!(!offer.listing().contains("b:") && offer.find("b").is_none() && offer.leave_out(2).is_none());
        offer.put_back(left_out);
        assert_eq!(offer.in_order(), ["a", "b", "c"]);
        assert!(offer.definitions()[1].get().contains("\"b\"") && offer.find("b").is_some());
    }

    #[test]
    fn a_description_that_is_too_long_goes_on_in_the_system_message() {
        let long = |text: String| {
            ToolSet::new(vec![ToolBinding { description: text.into(), ..tool("s", "t", &plain()) }])
        };
        let told = |offer: &ToolSet| {
            let definition: Value = serde_json::from_str(offer.definitions()[0].get()).expect("JSON");
            definition["function"]["description"].as_str().expect("a text").to_owned()
        };
        let whole = "x".repeat(MAX_DESCRIPTION);
        assert_eq!(told(&long(whole.clone())), whole);
        assert_eq!(told(&long("é".repeat(MAX_DESCRIPTION))).chars().count(), MAX_DESCRIPTION);
        let words = "word ".repeat(400);
        let offer = long(words.clone());
        let (first, listing) = (told(&offer), offer.listing());
        assert!(first.encode_utf16().count() <= MAX_DESCRIPTION && first.ends_with(GOES_ON), "{first}");
        let first = first.strip_suffix(GOES_ON).expect("marked");
        let rest = listing.split_once("goes on:\n").expect("told").1.trim_end();
        assert_eq!(format!("{first} {rest}"), words.trim_end());
    }

    proptest! {
        #[test]
        fn no_description_is_too_long_and_nothing_of_it_is_lost(text in "(\\PC{1,40}[ \n]?){0,120}") {
            let (first, rest) = split(&text);
            let marked = rest.map_or(first.to_owned(), |_| format!("{first}{GOES_ON}"));
            prop_assert!(marked.encode_utf16().count() <= MAX_DESCRIPTION);
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(first) + &letters(rest.unwrap_or_default()), letters(&text));
        }
    }

    proptest! {
        #[test]
        fn every_tool_has_a_possible_name_of_its_own(names in prop::collection::hash_set((0..3u8, "\\PC{1,70}"), 1..12)) {
            let tools: Vec<_> = names.iter().map(|(server, name)| tool(&format!("s{server}"), name, &plain())).collect();
            let offer = ToolSet::new(tools);
            prop_assert_eq!(offer.names().len(), names.len());
            prop_assert!(offer.names().iter().all(|name| is_possible(name)));
        }
    }
}
