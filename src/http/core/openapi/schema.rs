//! Schemas of a document: derived ones of what is answered, and ones put together by hand of what is asked, since no
//! type is read from a request.

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

/// Collector of the schemas that a document refers to.
pub(in crate::http) struct Schemas(SchemaGenerator);

impl Schemas {
    pub(in crate::http) fn new() -> Schemas {
        // What is serialized, where a member that is left out at times is an optional one.
        let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Schemas(settings.into_generator())
    }

    /// Returns the schema of a type, or a reference to it.
    pub(in crate::http) fn of<T: JsonSchema + ?Sized>(&mut self) -> Value {
        let mut schema = self.0.subschema_for::<T>().to_value();
        tidy(&mut schema);
        schema
    }

    /// Returns the schema of one type by itself.
    pub(in crate::http) fn alone<T: JsonSchema>() -> Value {
        let mut schemas = Schemas::new();
        schemas.of::<T>();
        schemas.finish().shift_remove(&*T::schema_name()).expect("a type with a name")
    }

    /// Returns all schemas that were referred to, by name.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut schemas: Vec<(String, Value)> = self.0.take_definitions(true).into_iter().collect();
        schemas.sort_by(|a, b| a.0.cmp(&b.0));
        schemas.iter_mut().for_each(|(_, schema)| tidy(schema));
        schemas.into_iter().collect()
    }
}

/// Brings a derived schema into the form that generators of clients read.
fn tidy(schema: &mut Value) {
    if let Value::Object(members) = schema {
        // Sizes of Rust's integers mean nothing in JSON, and some generators make big integers of them.
        if members.get("format").and_then(Value::as_str).is_some_and(|format| format.contains("int")) {
            members.shift_remove("format");
        }
        if let Some(Value::String(text)) = members.get_mut("description") {
            *text = text.split("\n\n").map(|part| part.replace('\n', " ")).collect::<Vec<_>>().join("\n\n");
        }
        merge_words(members);
        for name in ["properties", "$defs"] {
            members.get_mut(name).and_then(Value::as_object_mut).into_iter().for_each(|inner| {
                inner.values_mut().for_each(|schema| {
                    // `true` is a schema as well, but not one that every generator knows.
                    if schema == true {
                        *schema = json!({});
                    }
                });
                inner.values_mut().for_each(tidy);
            });
        }
        for name in ["items", "additionalProperties", "anyOf", "oneOf", "allOf"] {
            if name == "items" && members.get(name) == Some(&Value::Bool(true)) {
                members.insert(name.to_owned(), json!({}));
            }
            members.get_mut(name).into_iter().for_each(tidy);
        }
    } else if let Value::Array(schemas) = schema {
        schemas.iter_mut().for_each(tidy);
    }
}

/// Makes one `enum` of words that are described one by one, and moves their descriptions into its own.
fn merge_words(members: &mut Map<String, Value>) {
    let Some(Value::Array(words)) = members.get("oneOf") else { return };
    let read = |word: &Value| {
        Some((word.get("const")?.as_str()?.to_owned(), word["description"].as_str()?.to_owned()))
    };
    let Some(words) = words.iter().map(read).collect::<Option<Vec<_>>>() else { return };
    let description = members.get("description").and_then(Value::as_str).unwrap_or_default();
    let each = words.iter().map(|(word, text)| format!("- `{word}`: {}", text.replace('\n', " ")));
    let description = format!("{description}\n\n{}", each.collect::<Vec<_>>().join("\n"));
    let names: Vec<String> = words.into_iter().map(|(word, _)| word).collect();
    members.shift_remove("oneOf");
    members.insert("type".to_owned(), json!("string"));
    members.insert("enum".to_owned(), json!(names));
    members.insert("description".to_owned(), description.into());
}

/// Declares types that stand for a schema which is written where it is used.
macro_rules! schemas {
    ($($(#[$doc:meta])* $name:ident = $schema:tt;)*) => { $(
        $(#[$doc])*
        pub(in crate::http) struct $name;
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )* };
}
pub(in crate::http) use schemas;

schemas! {
    /// A time as RFC 3339 writes it.
    Time = {"type": "string", "format": "date-time"};
    /// A day as RFC 3339 writes it.
    Date = {"type": "string", "format": "date"};
    /// An object whose members are somebody else's.
    OpenObject = {"type": "object", "additionalProperties": true};
    /// The value `false`.
    False = {"type": "boolean", "const": false};
}

/// Object of a request, put together member by member.
#[derive(Default)]
pub(in crate::http) struct Members {
    required: Vec<&'static str>,
    properties: Map<String, Value>,
}

impl Members {
    /// Adds a member that has to be there.
    pub(in crate::http) fn must(mut self, name: &'static str, schema: Value, description: &str) -> Members {
        self.required.push(name);
        self.may(name, schema, description)
    }

    /// Adds a member that may be left out.
    pub(in crate::http) fn may(mut self, name: &str, schema: Value, description: &str) -> Members {
        self.properties.insert(name.to_owned(), described(schema, description));
        self
    }

    /// Returns the schema of an object that may have further members, which are passed over.
    pub(in crate::http) fn open(self) -> Value {
        let mut schema = json!({"type": "object", "properties": self.properties});
        if !self.required.is_empty() {
            schema["required"] = json!(self.required);
        }
        schema
    }

    /// Returns the schema of an object without further members.
    pub(in crate::http) fn closed(self) -> Value {
        let mut schema = self.open();
        schema["additionalProperties"] = false.into();
        schema
    }

    /// Returns the schema of an object without further members that has at least one.
    pub(in crate::http) fn at_least_one(self) -> Value {
        let mut schema = self.closed();
        schema["minProperties"] = 1.into();
        schema
    }
}

/// Adds a description to a schema.
pub(in crate::http) fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

/// Adds an example to a schema.
pub(in crate::http) fn example(mut schema: Value, example: impl Into<Value>) -> Value {
    schema["examples"] = json!([example.into()]);
    schema
}

/// Returns the schema of a text of so many characters.
pub(in crate::http) fn text(least: u64, most: u64) -> Value {
    json!({"type": "string", "minLength": least, "maxLength": most})
}

/// Returns the schema of a text that a regular expression describes.
pub(in crate::http) fn text_like(pattern: &str) -> Value {
    json!({"type": "string", "pattern": pattern})
}

/// Returns the schema of a whole number of at least `least`.
pub(in crate::http) fn whole(least: u64) -> Value {
    json!({"type": "integer", "minimum": least})
}

/// Returns the schema of a whole number from 1 to `most`.
pub(in crate::http) fn at_most(most: u64) -> Value {
    json!({"type": "integer", "minimum": 1, "maximum": most})
}

/// Returns the schema of an array.
pub(in crate::http) fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

/// Returns the schema of one of these words.
pub(in crate::http) fn one_of(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// Returns the schema of a value that one of these describes.
pub(in crate::http) fn any_of(schemas: &[Value]) -> Value {
    json!({"anyOf": schemas})
}

/// Returns the same schema for a value that may be `null`.
pub(in crate::http) fn nullable(mut schema: Value) -> Value {
    match schema.get("type").and_then(Value::as_str).map(str::to_owned) {
        Some(kind) if schema.get("enum").is_none() => {
            schema["type"] = json!([kind, "null"]);
            schema
        }
        _ => any_of(&[schema, json!({"type": "null"})]),
    }
}

#[test]
fn words_with_descriptions_become_one_enum() {
    let mut schema: Value = Schema::from(
        json!({"description": "A day.", "oneOf": [
            {"const": "mon", "type": "string", "description": "The\nfirst."},
            {"const": "tue", "type": "string", "description": "Another."},
        ]})
        .as_object()
        .expect("an object")
        .clone(),
    )
    .to_value();
    tidy(&mut schema);
    assert_eq!(
        schema,
        json!({
            "description": "A day.\n\n- `mon`: The first.\n- `tue`: Another.", "type": "string",
            "enum": ["mon", "tue"],
        })
    );
}
