//! JSON Schemas of the configuration file and of servers files, for editors. They are made of what the readers of these files ask
//! for and of what they say that a value must be, so that they cannot know another setting than the daemon does. Pure.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::file;
use super::problem::Problems;
use super::section::{Asked, Document};
use super::settings::Config;
use crate::supervisor::{Definition, OWN_MEMBER, setting_names};

/// Draft of the schemas: the newest that editors' extensions for TOML know.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";
/// One of everything that an operator names: its settings are known only where there is one.
const ONE_OF_EACH: &str = "[groups.NAME]\n[plans.NAME]\n[[members]]\n";
/// Name that stands for any.
const ANY_NAME: &str = "NAME";
/// Section that may be there several times.
const REPEATED: &str = "members";

/// Returns the schema of the configuration file.
pub fn config_schema() -> Value {
    let asked = Asked::default();
    let document = Document { asked: Some(&asked), ..Document::new("schema", ONE_OF_EACH) };
    let mut config = Config::with_defaults("/".into());
    // What is missing in the text is of no matter here.
    file::apply(document, Path::new("/"), &mut config, &mut Problems::default());
    let mut schema = object();
    for setting in asked.take() {
        let steps: Vec<&str> = setting.path.split('.').collect();
        if let Some((name, sections)) = steps.split_last() {
            let section = sections.iter().fold(&mut schema, |above, step| below(above, step));
            section["properties"][*name] = of_expected(&setting.expected);
        }
    }
    schema["$schema"] = DRAFT.into();
    schema["title"] = "Configuration of mcpvisor".into();
    schema
}

fn object() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// Returns the schema of a section of another one, which is made if it is not there.
fn below<'s>(above: &'s mut Value, step: &str) -> &'s mut Value {
    if step == ANY_NAME {
        if !above["additionalProperties"].is_object() {
            above["additionalProperties"] = object();
        }
        return &mut above["additionalProperties"];
    }
    let section = &mut above["properties"][step];
    if section.is_null() {
        *section = if step == REPEATED { json!({"type": "array", "items": object()}) } else { object() };
    }
    if step == REPEATED { &mut section["items"] } else { section }
}

/// Returns the schema of a value that "must be" this. What cannot be told by a schema is told by the description.
fn of_expected(expected: &str) -> Value {
    // What was found is of no matter here.
    let expected = expected.split(" (found").next().unwrap_or(expected);
    let mut schema = kind(expected);
    schema.insert("description".to_owned(), format!("Must be {expected}.").into());
    Value::Object(schema)
}

fn kind(expected: &str) -> Map<String, Value> {
    let begins = |text: &str| expected.starts_with(text);
    let schema = if let Some(words) = choices(expected) {
        json!({"enum": words})
    } else if expected == "true or false" {
        json!({"type": "boolean"})
    } else if begins("a whole number") {
        match range(expected) {
            Some((least, most)) if !expected.contains(", or ") => {
                json!({"type": "integer", "minimum": least, "maximum": most})
            }
            _ if expected.contains(", or ") => json!({"type": ["integer", "string"]}),
            _ => json!({"type": "integer"}),
        }
    } else if begins("a duration") {
        json!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "^\\s*[0-9]+\\s*(ms|s|m|h)\\s*$"}]})
    } else if begins("a number of bytes") {
        json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^\\s*[0-9]+\\s*(B|KiB|MiB|GiB|TiB)?\\s*$"}]})
    } else if begins("a number of cores") || begins("a number from") {
        json!({"type": "number"})
    } else if begins("an array") || begins("a list") {
        json!({"type": "array"})
    } else if begins("a table") || begins("an object") {
        json!({"type": "object"})
    } else if ["a path", "a text", "the name", "an IP address", "a reference", "an address"]
        .iter()
        .any(|text| begins(text))
    {
        json!({"type": "string"})
    } else {
        json!({})
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// Returns the words of a choice: "one of "a", "b"", or ""a", "b" or "c"".
fn choices(expected: &str) -> Option<Vec<&str>> {
    let listed = expected.strip_prefix("one of ").unwrap_or(expected);
    let parts: Vec<&str> = listed.split('"').collect();
    // Between the words nothing but commas and "or".
    let between = parts.iter().step_by(2).map(|text| text.trim_matches([' ', ',']));
    let is_choice =
        parts.len() > 2 && parts.len() % 2 == 1 && between.into_iter().all(|text| matches!(text, "" | "or"));
    is_choice.then(|| parts.into_iter().skip(1).step_by(2).collect())
}

fn range(expected: &str) -> Option<(u64, u64)> {
    let (_, rest) = expected.split_once(" from ")?;
    let mut numbers = rest.split(" to ");
    let number = |text: Option<&str>| text?.split([' ', ',']).next()?.parse().ok();
    Some((number(numbers.next())?, number(numbers.next())?))
}

/// Returns the schema of a servers file.
pub fn servers_schema() -> Value {
    let text = |told: &str| json!({"type": "string", "description": told});
    let texts = |told: &str| json!({"type": "object", "additionalProperties": {"type": "string"}, "description": told});
    let entry = json!({
        "type": "object",
        "description": "A server: a command, or an address. What other clients have in their entries is passed over.",
        "properties": {
            "command": text("The program to run: a path, or a name to look up in PATH. No shell sees it."),
            "args": {"type": "array", "items": {"type": "string"}, "description": "Its arguments."},
            "env": texts("Variables that it gets beside the usual few. References such as ${env:NAME} and ${file:/path} are looked up at each start."),
            "cwd": text("Its working directory."),
            "url": text("Address of a server that runs elsewhere."),
            "headers": texts("Headers that are sent to it; references are looked up."),
            "description": text("What it is, for people."),
            "disabled": {"type": "boolean", "description": "Whether it is switched off."},
            OWN_MEMBER: own_schema(),
        },
    });
    json!({
        "$schema": DRAFT,
        "title": "Servers of mcpvisor",
        "type": "object",
        "properties": {"mcpServers": {"type": "object", "additionalProperties": entry}},
    })
}

/// Returns the schema of the member that says how a server is treated, made of what its reader says of a value that nothing
/// can be.
fn own_schema() -> Value {
    let (settings, limits) = setting_names();
    let of = |name: &str, wrap: &dyn Fn(Map<String, Value>) -> Map<String, Value>| {
        let own: Map<String, Value> = std::iter::once((name.to_owned(), Value::Null)).collect();
        let raw = [("command".to_owned(), "x".into()), (OWN_MEMBER.to_owned(), Value::Object(wrap(own)))];
        let problems = Definition::parse(raw.into_iter().collect()).err().unwrap_or_default();
        let reasons = problems.iter().filter(|problem| problem.path.ends_with(name));
        let mut expected = reasons.filter_map(|problem| problem.reason.strip_prefix("must be "));
        expected.next().map_or_else(|| json!({}), of_expected)
    };
    let mut schema = object();
    for name in settings {
        schema["properties"][*name] = of(name, &|own| own);
    }
    let mut limited = object();
    for name in limits {
        let within = |own: Map<String, Value>| -> Map<String, Value> {
            std::iter::once(("limits".to_owned(), Value::Object(own))).collect()
        };
        limited["properties"][*name] = of(name, &within);
    }
    schema["properties"]["limits"] = limited;
    schema["description"] = "How mcpvisor treats it.".into();
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_kinds_that_their_readers_ask_for() {
        let kind = |expected: &str| Value::Object(kind(expected));
        assert_eq!(kind("true or false"), json!({"type": "boolean"}));
        assert_eq!(
            kind("a whole number from 1 to 256"),
            json!({"type": "integer", "minimum": 1, "maximum": 256})
        );
        assert_eq!(kind("a whole number, at least 1"), json!({"type": "integer"}));
        assert_eq!(kind("one of \"auto\", \"off\""), json!({"enum": ["auto", "off"]}));
        assert_eq!(kind("\"a\", \"b\" or \"c\""), json!({"enum": ["a", "b", "c"]}));
        assert_eq!(kind("\"any\", \"off\", or an array of commands"), json!({}));
        assert_eq!(kind("an array of origins such as \"https://x\""), json!({"type": "array"}));
    }

    #[test]
    fn the_schema_of_the_configuration_has_every_setting_that_is_read() {
        let schema = config_schema();
        let at = |path: &str| {
            &schema["properties"][path.split('.').next().unwrap()]["properties"]
                [path.split('.').nth(1).unwrap()]
        };
        assert_eq!(at("server.port")["maximum"], 65_535);
        assert_eq!(at("log.level")["enum"], json!(["error", "warn", "info", "debug", "trace"]));
        assert!(at("auth.oidc")["properties"]["issuer"].is_object(), "{schema}");
        assert!(schema["properties"]["groups"]["additionalProperties"]["properties"]["servers"].is_object());
        assert!(schema["properties"]["members"]["items"]["properties"]["role"]["enum"].is_array());
        assert!(schema["properties"]["plans"]["additionalProperties"]["properties"].is_object());
    }

    #[test]
    fn the_schema_of_servers_knows_each_setting_and_what_it_may_be() {
        let schema = servers_schema();
        let own = &schema["properties"]["mcpServers"]["additionalProperties"]["properties"][OWN_MEMBER]["properties"];
        assert_eq!(own["era"]["enum"], json!(["auto", "legacy", "modern", "matched"]));
        assert_eq!(own["max_in_flight"]["maximum"], 4096, "{own}");
        assert!(own["start_timeout"]["anyOf"].is_array(), "{own}");
        assert!(own["limits"]["properties"]["memory"]["anyOf"].is_array(), "{own}");
        let (settings, _) = setting_names();
        assert!(settings.iter().all(|name| own[*name].is_object()));
    }
}
