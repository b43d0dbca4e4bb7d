//! Members of a schema, each mended to the type that JSON Schema gives it (2020-12, with the members of older
//! drafts put into its words), at every depth.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::BY_NAME;

/// Members that hold schemas in a list.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Members that hold one schema.
const SINGLE: [&str; 7] = ["items", "contains", "propertyNames", "not", "if", "then", "else"];
/// Members that hold one schema, where `true` and `false` are common.
const REST: [&str; 4] =
    ["additionalProperties", "additionalItems", "unevaluatedProperties", "unevaluatedItems"];
const NUMBERS: [&str; 11] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
];
const TEXTS: [&str; 6] = ["$ref", "$comment", "title", "description", "format", "pattern"];

/// Mends a schema and all that are in it. Returns `true` if something was changed.
pub(super) fn mend(schema: &mut Map<String, Value>) -> bool {
    // Names the dialect; some endpoints refuse it, and none uses it.
    let mut is_changed = schema.shift_remove("$schema").is_some();
    is_changed |= mend_bounds(schema);
    is_changed |= mend_plain(schema);
    is_changed |= mend_kinds(schema);
    is_changed |= mend_items(schema);
    for name in BY_NAME {
        is_changed |= mend_map(schema, name);
    }
    for name in LISTS {
        is_changed |= mend_list(schema, name);
    }
    for name in SINGLE {
        is_changed |= schema.get_mut(name).is_some_and(as_schema);
    }
    for name in REST {
        match schema.get_mut(name) {
            None | Some(Value::Bool(_)) => {}
            Some(Value::Null) => is_changed |= schema.shift_remove(name).is_some(),
            Some(value) => is_changed |= as_schema(value),
        }
    }
    is_changed
}

/// Makes a schema of a value where one must be: a value that is none allows everything.
fn as_schema(value: &mut Value) -> bool {
    match value {
        Value::Object(schema) => return mend(schema),
        Value::Bool(false) => *value = json!({"not": {}}),
        _ => *value = json!({}),
    }
    true
}

fn mend_map(schema: &mut Map<String, Value>, name: &str) -> bool {
    match schema.get_mut(name) {
        None => false,
        Some(Value::Object(schemas)) => schemas.values_mut().fold(false, |is, value| as_schema(value) | is),
        // Objects without properties keep an empty `properties`.
        Some(value) if name == "properties" => {
            *value = json!({});
            true
        }
        Some(_) => schema.shift_remove(name).is_some(),
    }
}

fn mend_list(schema: &mut Map<String, Value>, name: &str) -> bool {
    match schema.get_mut(name) {
        None => false,
        Some(Value::Array(schemas)) if !schemas.is_empty() => {
            schemas.iter_mut().fold(false, |is, value| as_schema(value) | is)
        }
        Some(_) => schema.shift_remove(name).is_some(),
    }
}

/// Mends the items of a list: one schema for all, and others for the first ones under their newer name. `false`,
/// which means no more items, becomes a length.
fn mend_items(schema: &mut Map<String, Value>) -> bool {
    let mut is_changed = false;
    if let Some(Value::Array(first)) = schema.get_mut("items") {
        let first = std::mem::take(first);
        let rest = schema.shift_remove("additionalItems").unwrap_or_else(|| json!({}));
        schema.insert("items".to_owned(), rest);
        if !first.is_empty() && !schema.contains_key("prefixItems") {
            schema.insert("prefixItems".to_owned(), first.into());
        }
        is_changed = true;
    }
    if schema.get("items") == Some(&Value::Bool(false)) {
        let first = schema.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len) as u64;
        let most = schema.get("maxItems").and_then(Value::as_u64).map_or(first, |most| most.min(first));
        schema.insert("items".to_owned(), json!({}));
        schema.insert("maxItems".to_owned(), most.into());
        is_changed = true;
    }
    let is_list = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.contains(&"array".into()),
        kind => kind.is_some_and(|kind| kind == "array"),
    };
    if is_list && !schema.contains_key("items") {
        schema.insert("items".to_owned(), json!({}));
        is_changed = true;
    }
    is_changed
}

/// Mends bounds: up to draft 4 a bound was exclusive by a flag beside it.
fn mend_bounds(schema: &mut Map<String, Value>) -> bool {
    let mut is_changed = false;
    for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        let Some(&Value::Bool(is_exclusive)) = schema.get(exclusive) else { continue };
        schema.shift_remove(exclusive);
        if is_exclusive && schema.get(bound).is_some_and(Value::is_number) {
            let number = schema.shift_remove(bound).unwrap_or_default();
            schema.insert(exclusive.to_owned(), number);
        }
        is_changed = true;
    }
    is_changed
}

/// Mends numbers, texts, and lists of values: a member of another type is removed.
fn mend_plain(schema: &mut Map<String, Value>) -> bool {
    let before = schema.len();
    schema.retain(|name, value| match name.as_str() {
        name if NUMBERS.contains(&name) => value.is_number(),
        name if TEXTS.contains(&name) => value.is_string(),
        "uniqueItems" => value.is_boolean(),
        "required" | "enum" => value.as_array().is_some_and(|values| !values.is_empty()),
        _ => true,
    });
    let mut is_changed = schema.len() != before;
    if let Some(Value::Array(names)) = schema.get_mut("required") {
        let before = names.len();
        names.retain(Value::is_string);
        is_changed |= once_each(names) || names.len() != before;
        if names.is_empty() {
            schema.shift_remove("required");
        }
    }
    if let Some(Value::Array(values)) = schema.get_mut("enum") {
        is_changed |= once_each(values);
    }
    is_changed
}

fn once_each(values: &mut Vec<Value>) -> bool {
    let (before, mut seen) = (values.len(), HashSet::new());
    values.retain(|value| seen.insert(value.to_string()));
    values.len() != before
}

/// Mends `type` to the words that JSON Schema has for it.
fn mend_kinds(schema: &mut Map<String, Value>) -> bool {
    let Some(told) = schema.get_mut("type") else { return false };
    let mended = match &*told {
        Value::String(kind) => kind_of(kind).map(Value::from),
        Value::Array(kinds) => {
            let known = kinds.iter().filter_map(|kind| kind_of(kind.as_str()?)).map(Value::from);
            let mut known: Vec<Value> = known.collect();
            once_each(&mut known);
            match known.len() {
                0 => None,
                1 => known.pop(),
                _ => Some(known.into()),
            }
        }
        _ => None,
    };
    match mended {
        Some(mended) if mended == *told => false,
        Some(mended) => {
            *told = mended;
            true
        }
        None => schema.shift_remove("type").is_some(),
    }
}

/// Returns the name of a type, also for Python's or Java's words; `None` for "any" and for unknown words.
fn kind_of(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "string" | "str" | "text" => "string",
        "number" | "float" | "double" => "number",
        "integer" | "int" | "long" => "integer",
        "boolean" | "bool" => "boolean",
        "object" | "dict" | "map" => "object",
        "array" | "list" => "array",
        "null" | "none" => "null",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Number;

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"minimum":12345678901234567890,"maximum":0.1,"required":null}"#;
        let mut schema: Map<String, Value> = serde_json::from_str(text).expect("JSON");
        assert!(mend(&mut schema));
        let number = Number::from(12_345_678_901_234_567_890u64);
        assert_eq!((&schema["minimum"], &schema["maximum"]), (&Value::Number(number), &json!(0.1)));
    }
}
