//! Arguments of a tool, as they are written on a command line: `key=value`, typed by the tool's JSON Schema, and `key:=json`
//! as it is. Pure.

use serde_json::{Map, Value};

use crate::nearest::closest;

/// Most steps from a schema to the one that it refers to.
const MAX_REFERENCES: usize = 16;

/// Reads the arguments of a tool by its schema. Returns remarks beside them, on names that the tool does not declare.
///
/// # Errors
/// A text that names the argument, and what would be right.
pub(super) fn read(pairs: &[String], schema: &Value) -> Result<(Map<String, Value>, Vec<String>), String> {
    let (mut arguments, mut remarks) = (Map::new(), Vec::new());
    for pair in pairs {
        let (key, value, is_json) = split(pair)?;
        let declared = schema["properties"].as_object();
        let property = declared.and_then(|declared| declared.get(key));
        if let (None, Some(declared)) = (property, declared) {
            let told = undeclared(key, declared.keys().map(String::as_str));
            match schema["additionalProperties"] == false {
                true => return Err(told),
                false => remarks.push(told),
            }
        }
        let property = resolved(schema, property.unwrap_or(&Value::Null));
        let kinds = Kinds::of(schema, property);
        match is_json {
            true => {
                let value = serde_json::from_str(value)
                    .map_err(|error| format!("{key}:= must be followed by JSON: {error}"))?;
                arguments.insert(key.to_owned(), value);
            }
            false if kinds.array && !value.trim_start().starts_with('[') => {
                let items = Kinds::of(schema, resolved(schema, &property["items"]));
                let item = items.read(key, value)?;
                match arguments.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(values) => values.push(item),
                    other => *other = Value::Array(vec![item]),
                }
            }
            false => {
                arguments.insert(key.to_owned(), kinds.read(key, value)?);
            }
        }
    }
    Ok((arguments, remarks))
}

/// Splits an argument into its name and its text, which is JSON behind `:=`.
fn split(pair: &str) -> Result<(&str, &str, bool), String> {
    let (key, value) = pair
        .split_once('=')
        .filter(|(key, _)| !matches!(*key, "" | ":"))
        .ok_or_else(|| format!("{pair:?} must be NAME=VALUE, or NAME:=JSON"))?;
    Ok(key.strip_suffix(':').map_or((key, value, false), |key| (key, value, true)))
}

fn undeclared<'k>(key: &str, declared: impl Iterator<Item = &'k str> + Clone) -> String {
    let told = format!("the tool has no argument {key:?}");
    // Every letter is near to every other.
    let near = closest(key, declared.clone()).filter(|_| key.chars().count() > 1);
    match (near, declared.collect::<Vec<_>>()) {
        (Some(near), _) => format!("{told}; did you mean {near:?}?"),
        (None, declared) if declared.is_empty() => format!("{told}, nor any other"),
        (None, declared) => format!("{told}; it has {}", declared.join(", ")),
    }
}

/// Returns the schema that one stands for: `$ref` leads into the whole one.
fn resolved<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..MAX_REFERENCES {
        let target = schema["$ref"].as_str().and_then(|path| whole.pointer(path.strip_prefix('#')?));
        let Some(target) = target else { break };
        schema = target;
    }
    schema
}

/// Types that a value may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Kinds {
    string: bool,
    number: bool,
    integer: bool,
    boolean: bool,
    null: bool,
    array: bool,
    object: bool,
}

impl Kinds {
    /// Returns the types that a schema allows; none if it does not say.
    fn of(whole: &Value, schema: &Value) -> Kinds {
        let mut kinds = Kinds::default();
        kinds.add(whole, schema, 0);
        kinds
    }

    fn add(&mut self, whole: &Value, schema: &Value, depth: usize) {
        let schema = resolved(whole, schema);
        match &schema["type"] {
            Value::String(name) => self.add_name(name),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).for_each(|name| self.add_name(name))
            }
            _ => {}
        }
        for value in schema["enum"].as_array().into_iter().flatten().chain(schema.get("const")) {
            self.add_name(match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            });
        }
        if depth < MAX_REFERENCES {
            let others = ["anyOf", "oneOf", "allOf"].iter().filter_map(|member| schema[*member].as_array());
            others.flatten().for_each(|other| self.add(whole, other, depth + 1));
        }
    }

    fn add_name(&mut self, name: &str) {
        match name {
            "string" => self.string = true,
            "number" => self.number = true,
            "integer" => self.integer = true,
            "boolean" => self.boolean = true,
            "null" => self.null = true,
            "array" => self.array = true,
            "object" => self.object = true,
            _ => {}
        }
    }

    /// Reads a text as a value of one of the types; of any type by how it looks where none is known. A text wins only where
    /// nothing else fits.
    fn read(self, key: &str, text: &str) -> Result<Value, String> {
        let json: Option<Value> = serde_json::from_str(text).ok();
        let fits = |value: &Value| match value {
            Value::Null => self.null && !self.string,
            Value::Bool(_) => self.boolean,
            Value::Number(number) => self.number || (self.integer && !number.is_f64()),
            Value::String(_) => false,
            Value::Array(_) => self.array,
            Value::Object(_) => self.object,
        };
        let is_unknown = self == Kinds::default();
        match json {
            Some(value) if fits(&value) || (is_unknown && !value.is_string()) => Ok(value),
            _ if self.string || is_unknown => Ok(Value::String(text.to_owned())),
            _ => Err(format!("{key} must be {}, and {text:?} is not", self.told())),
        }
    }

    fn told(self) -> String {
        let names = [
            (self.number, "a number"),
            (self.integer && !self.number, "a whole number"),
            (self.boolean, "true or false"),
            (self.null, "null"),
            (self.array, "a JSON array"),
            (self.object, "a JSON object"),
        ];
        let names: Vec<&str> = names.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        names.join(" or ")
    }
}

/// Returns the arguments of a tool in short: `a:number b:number [c:string]`.
pub(super) fn signature(schema: &Value) -> String {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let told = properties.map(|(name, property)| {
        let kinds = Kinds::of(schema, resolved(schema, property));
        let kind = match (kinds.array, kinds.string, kinds.integer, kinds.number, kinds.boolean, kinds.object)
        {
            (true, ..) => ":array",
            (_, _, true, false, ..) => ":integer",
            (_, false, _, true, ..) => ":number",
            (_, true, ..) => ":string",
            (_, _, _, _, true, _) => ":boolean",
            (_, _, _, _, _, true) => ":object",
            _ => "",
        };
        match required.contains(&name.as_str()) {
            true => format!("{name}{kind}"),
            false => format!("[{name}{kind}]"),
        }
    });
    told.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "text": {"type": "string"}, "count": {"type": "integer"}, "ratio": {"type": "number"}, "deep": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "integer"}}, "at": {"$ref": "#/$defs/At"},
                "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]}, "either": {"type": ["string", "integer"]},
                "mode": {"enum": ["1", "fast"]}, "any": {}
            },
            "required": ["text", "count"],
            "$defs": {"At": {"type": "object"}, "Loop": {"$ref": "#/$defs/Loop"}}
        })
    }

    fn read_all(pairs: &[&str]) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        read(&pairs, &schema()).map(|(arguments, _)| Value::Object(arguments))
    }

    #[test]
    fn values_have_the_types_that_the_schema_says() {
        let pairs = [
            "text=7",
            "count=7",
            "ratio=1.5",
            "deep=true",
            "tags=1",
            "tags=2",
            "at={\"x\":1}",
            "maybe=null",
            "either=007",
            "mode=1",
            "any=7",
        ];
        let expected = json!({
            "text": "7", "count": 7, "ratio": 1.5, "deep": true, "tags": [1, 2], "at": {"x": 1}, "maybe": null, "either": "007",
            "mode": "1", "any": 7
        });
        assert_eq!(read_all(&pairs), Ok(expected));
        assert_eq!(read_all(&["tags=[3]", "tags=4"]), Ok(json!({"tags": [3, 4]})));
        assert_eq!(
            read_all(&["text:={\"a\":[1]}", "any=a=b"]),
            Ok(json!({"text": {"a": [1]}, "any": "a=b"}))
        );
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_would() {
        for (pair, told) in [
            ("count=1.5", "count must be a whole number, and \"1.5\" is not"),
            ("deep=yes", "deep must be true or false, and \"yes\" is not"),
            ("at=x", "at must be a JSON object, and \"x\" is not"),
            ("tags=x", "tags must be a whole number, and \"x\" is not"),
            ("text", "\"text\" must be NAME=VALUE, or NAME:=JSON"),
            ("=x", "\"=x\" must be NAME=VALUE, or NAME:=JSON"),
        ] {
            assert_eq!(read_all(&[pair]), Err(told.to_owned()));
        }
        assert!(
            read_all(&["text:=x"]).expect_err("no JSON").starts_with("text:= must be followed by JSON: ")
        );
    }

    #[test]
    fn a_name_that_is_not_declared_is_remarked_or_refused() {
        let told = "the tool has no argument \"txet\"; did you mean \"text\"?";
        let pairs = ["txet=1".to_owned()];
        assert_eq!(read(&pairs, &schema()).expect("taken").1, [told]);
        let mut closed = schema();
        closed["additionalProperties"] = json!(false);
        assert_eq!(read(&pairs, &closed), Err(told.to_owned()));
        assert_eq!(read(&pairs, &Value::Null).expect("no schema").1, [""; 0]);
    }

    #[test]
    fn a_signature_tells_what_a_tool_takes() {
        assert_eq!(
            signature(&schema()),
            "text:string count:integer [ratio:number] [deep:boolean] [tags:array] [at:object] [maybe:integer] [either:integer] [mode:string] [any]"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_refused(key in ".{0,6}", text in ".{0,12}", reference in "#?[/$a-zA-Z]{0,12}") {
            let schema = json!({"properties": {&key: {"$ref": reference}}, "$defs": {"Loop": {"$ref": "#/$defs/Loop"}}});
            let _ = read(&[format!("{key}={text}"), format!("{key}:={text}")], &schema);
        }

        #[test]
        fn a_text_arrives_as_it_was_written(text in ".{0,20}") {
            let pairs = [format!("text={text}")];
            prop_assert_eq!(&read(&pairs, &schema()).expect("read").0["text"], &Value::from(text));
        }
    }
}
