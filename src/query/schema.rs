//! Adaptation of tools' schemas to a model's endpoint, without a change of meaning. Pure. The tool itself never
//! gets another schema: this is for the model only.
//!
//! The changes are for what endpoints are reported to refuse (`docs/query.md`): members that are not of the type
//! that JSON Schema gives them (PHP writes `[]` for `{}`), schemas that are `true` or `false`, lists without
//! `items`, words of other languages for types, references to the whole or by anchor.

mod members;
mod references;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Property that holds a schema which cannot be the outermost one.
pub(super) const WRAPPED: &str = "input";
/// Members that hold schemas by names that their author chose.
const BY_NAME: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Members that the outermost schema of a function must not have.
const NOT_OUTERMOST: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];

/// Returns a schema as an endpoint takes it, and `true` if the arguments are one level deeper in it, as its
/// member [`WRAPPED`]. A schema that needs no change keeps its text.
pub(super) fn adapt(schema: &RawValue) -> (Box<RawValue>, bool) {
    let raw = |value: &Value| serde_json::value::to_raw_value(value).unwrap_or_else(|_| schema.to_owned());
    let Ok(Value::Object(mut map)) = serde_json::from_str::<Value>(schema.get()) else {
        return (raw(&json!({"type": "object", "properties": {}})), false);
    };
    let mut is_changed = be_object(&mut map);
    is_changed |= members::mend(&mut map);
    is_changed |= references::settle(&mut map);
    let is_object = map.get("type").is_none_or(|kind| kind == "object");
    if !is_object || map.contains_key("$ref") || NOT_OUTERMOST.iter().any(|name| map.contains_key(*name)) {
        return (raw(&wrapped(map)), true);
    }
    for (name, value) in [("type", Value::from("object")), ("properties", Value::Object(Map::new()))] {
        is_changed |= !map.contains_key(name);
        map.entry(name).or_insert(value);
    }
    is_changed |= references::name_whole(&mut map);
    if is_changed { (raw(&Value::Object(map)), false) } else { (schema.to_owned(), false) }
}

/// Reduces several types of the outermost schema to `object`, since arguments are one. Returns `true` if it did.
fn be_object(map: &mut Map<String, Value>) -> bool {
    let is_one =
        map.get("type").and_then(Value::as_array).is_some_and(|kinds| kinds.contains(&"object".into()));
    if is_one {
        map.insert("type".to_owned(), "object".into());
    }
    is_one
}

/// Puts the schema into another as its one member; the definitions move to the outer one.
fn wrapped(mut map: Map<String, Value>) -> Value {
    let mut outer = json!({"type": "object", "required": [WRAPPED]});
    for shared in ["$defs", "definitions"] {
        if let Some(definitions) = map.shift_remove(shared) {
            outer[shared] = definitions;
        }
    }
    outer["properties"] = json!({ WRAPPED: Value::Object(map) });
    references::go_deeper(&mut outer, WRAPPED);
    outer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn adapted(schema: &Value) -> Value {
        let raw = serde_json::value::to_raw_value(schema).expect("JSON");
        serde_json::from_str(adapt(&raw).0.get()).expect("JSON")
    }

    /// Returns a tool's member `a` of this schema, adapted.
    fn member(schema: Value) -> Value {
        adapted(&json!({"type": "object", "properties": {"a": schema}}))["properties"]["a"].clone()
    }

    #[test]
    fn what_needs_no_change_stays_the_text_that_it_is() {
        for text in [
            r#"{ "type":"object", "properties":{"$schema":{"type":"string"}}, "required":["$schema"] }"#,
            r#"{"properties":{"n":{"type":"number","minimum":1e2,"enum":[1.0]}},"type":"object"}"#,
            r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"type":["string","null"]}}}"##,
            r#"{"type":"object","properties":{"a":{"default":{"properties":[],"type":"array"}}},"additionalProperties":false}"#,
        ] {
            let raw = RawValue::from_string(text.to_owned()).expect("JSON");
            assert_eq!((adapt(&raw).0.get(), adapt(&raw).1), (text, false));
        }
    }

    #[test]
    fn the_outermost_schema_is_an_object_with_properties() {
        let plain = json!({"type": "object", "properties": {}});
        for schema in [
            json!({}),
            json!(true),
            json!(null),
            json!([]),
            json!({"type": "object", "properties": []}),
            json!({"type": "object", "properties": null, "required": null}),
            json!({"type": ["object", "null"]}),
            json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": []}),
        ] {
            assert_eq!(adapted(&schema), plain, "{schema}");
        }
    }

    #[test]
    fn what_is_no_schema_is_any_value_at_every_depth() {
        for schema in [json!(true), json!("string"), json!(null), json!(7), json!([])] {
            assert_eq!(member(schema.clone()), json!({}), "{schema}");
            let inner = json!({"type": "object", "properties": {"b": {"type": "array", "items": schema}}});
            assert_eq!(member(inner)["properties"]["b"], json!({"type": "array", "items": {}}), "{schema}");
        }
        assert_eq!(member(json!(false)), json!({"not": {}}));
        assert_eq!(
            member(json!({"anyOf": [true, {"type": "string"}]})),
            json!({"anyOf": [{}, {"type": "string"}]})
        );
        assert_eq!(
            member(json!({"type": "object", "properties": [], "additionalProperties": []})),
            json!({"type": "object", "properties": {}, "additionalProperties": {}})
        );
    }

    #[test]
    fn a_list_has_items_and_its_length_where_they_were_false() {
        for (schema, expected) in [
            (json!({"type": "array"}), json!({"type": "array", "items": {}})),
            (json!({"type": ["array", "null"]}), json!({"type": ["array", "null"], "items": {}})),
            (json!({"type": "array", "items": false}), json!({"type": "array", "items": {}, "maxItems": 0})),
            (
                json!({"type": "array", "prefixItems": [true, {"type": "string"}], "items": false, "maxItems": 9}),
                json!({"type": "array", "prefixItems": [{}, {"type": "string"}], "items": {}, "maxItems": 2}),
            ),
            (
                json!({"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "null"}}),
                json!({"type": "array", "items": {"type": "null"}, "prefixItems": [{"type": "string"}]}),
            ),
            (
                json!({"type": "array", "items": {"type": "array"}}),
                json!({"type": "array", "items": {"type": "array", "items": {}}}),
            ),
        ] {
            assert_eq!(member(schema.clone()), expected, "{schema}");
        }
    }

    #[test]
    fn members_of_other_types_are_what_was_meant_or_left_out() {
        for (schema, expected) in [
            (json!({"type": "string", "required": true}), json!({"type": "string"})),
            (json!({"required": ["a", 1, "a"]}), json!({"required": ["a"]})),
            (json!({"type": "str", "enum": []}), json!({"type": "string"})),
            (json!({"type": "any"}), json!({})),
            (json!({"type": null, "enum": null}), json!({})),
            (json!({"type": ["int", "integer"]}), json!({"type": "integer"})),
            (json!({"type": "string", "enum": ["a", "a"]}), json!({"type": "string", "enum": ["a"]})),
            (json!({"anyOf": [], "oneOf": null, "allOf": {}}), json!({})),
            (json!({"minimum": "1", "maxLength": null, "description": 5}), json!({})),
            (json!({"minimum": 3, "exclusiveMinimum": true}), json!({"exclusiveMinimum": 3})),
            (json!({"maximum": 3, "exclusiveMaximum": false}), json!({"maximum": 3})),
            (json!({"$schema": "http://x", "$ref": 7, "$defs": []}), json!({})),
        ] {
            assert_eq!(member(schema.clone()), expected, "{schema}");
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
        let raw = serde_json::value::to_raw_value(&schema).expect("JSON");
        assert!(adapt(&raw).1);
        assert_eq!(
            adapted(&schema),
            json!({
                "type": "object", "required": ["input"], "$defs": {"a": {"required": ["a"]}},
                "properties": {"input": {
                    "type": "object",
                    "anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/properties/input/properties/b"}, {"$ref": "#/properties/input"}],
                    "properties": {"b": {"type": "string"}},
                }},
            })
        );
    }

    #[test]
    fn references_to_the_whole_and_to_anchors_are_references_to_a_place() {
        let tree = json!({
            "type": "object",
            "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}, "$ref": {"type": "string"}},
        });
        let adapted = adapted(&tree);
        let kids = json!({"type": "array", "items": {"$ref": "#/$defs/whole"}});
        assert_eq!(adapted["properties"]["kids"], kids);
        assert_eq!(adapted["$defs"]["whole"]["properties"]["kids"], kids);
        assert_eq!(adapted["properties"]["$ref"], json!({"type": "string"}), "a property is no reference");
        let anchored = json!({
            "type": "object",
            "properties": {
                "a": {"$anchor": "it", "type": "string"}, "b": {"$id": "urn:b", "type": "null"},
                "c": {"$ref": "#it"}, "d": {"$ref": "urn:b"},
            },
        });
        let properties = self::adapted(&anchored)["properties"].take();
        assert_eq!(
            (&properties["a"], &properties["c"]),
            (&json!({"type": "string"}), &json!({"$ref": "#/properties/a"}))
        );
        assert_eq!(properties["d"], json!({"$ref": "#/properties/b"}));
    }

    #[test]
    fn references_need_no_escapes_and_lead_somewhere() {
        let schema = json!({
            "type": "object",
            "properties": {
                "a/b": {"type": "object", "properties": {"next": {"$ref": "#/properties/a~1b"}}},
                "e": {"$ref": "#/properties/a%2Fb"},
                "gone": {"$ref": "#/$defs/none", "description": "d"}, "far": {"$ref": "https://example.com/x.json"},
            },
        });
        let adapted = adapted(&schema);
        let next = json!({"type": "object", "properties": {"next": {"$ref": "#/$defs/place_2"}}});
        assert_eq!(adapted["properties"]["a/b"], next);
        assert_eq!((&adapted["$defs"]["place_2"], &adapted["$defs"]["place"]), (&next, &next));
        assert_eq!(adapted["properties"]["e"], json!({"$ref": "#/$defs/place"}));
        assert_eq!(adapted["properties"]["gone"], json!({"description": "d"}));
        assert_eq!(adapted["properties"]["far"], json!({}));
    }

    /// Generates any JSON, with members that schemas have.
    fn anything() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            prop_oneof![Just("array"), Just("object"), Just("#"), Just("string"), Just("any")]
                .prop_map(Value::from),
        ];
        let name = prop_oneof![
            Just("type"),
            Just("properties"),
            Just("items"),
            Just("required"),
            Just("anyOf"),
            Just("$ref"),
            Just("$defs"),
            Just("enum"),
            Just("prefixItems"),
            Just("additionalProperties"),
            Just("x"),
            Just("minimum"),
            Just("exclusiveMinimum"),
            Just("maxItems"),
            Just("not"),
        ];
        leaf.prop_recursive(5, 64, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..6).prop_map(|members| {
                    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                    Value::Object(members.collect())
                }),
            ]
        })
    }

    /// Returns the reason why OpenAI's check refuses a schema, in the words of its messages; `None` if it takes
    /// it.
    fn refused(schema: &Value) -> Option<String> {
        let Value::Object(map) = schema else { return Some(format!("no schema: {schema}")) };
        let kinds = match map.get("type") {
            None => Vec::new(),
            Some(Value::Array(kinds)) => kinds.clone(),
            Some(kind) => vec![kind.clone()],
        };
        if kinds.contains(&"array".into()) && !map.contains_key("items") {
            return Some("a list without items".to_owned());
        }
        let wrong =
            |name: &str, is_right: fn(&Value) -> bool| map.get(name).is_some_and(|value| !is_right(value));
        for (name, is_right) in [
            ("properties", Value::is_object as fn(&Value) -> bool),
            ("$defs", Value::is_object),
            ("required", Value::is_array),
            ("enum", Value::is_array),
            ("anyOf", Value::is_array),
            ("minimum", Value::is_number),
            ("exclusiveMinimum", Value::is_number),
        ] {
            if wrong(name, is_right) {
                return Some(format!("{name}: {schema}"));
            }
        }
        let maps = ["properties", "$defs"].iter().filter_map(|name| map.get(*name)?.as_object());
        let lists = ["anyOf", "prefixItems"].iter().filter_map(|name| map.get(*name)?.as_array());
        let inner = maps.flat_map(Map::values).chain(lists.flatten());
        inner.chain(map.get("items")).chain(map.get("not")).find_map(refused)
    }

    proptest! {
        #[test]
        fn whatever_a_server_announces_is_a_schema_and_stays_what_it_is(schema in anything()) {
            let once = adapted(&schema);
            prop_assert_eq!(refused(&once), None);
            prop_assert_eq!(&once["type"], "object");
            prop_assert!(once["properties"].is_object());
            let raw = serde_json::value::to_raw_value(&once).expect("JSON");
            let (twice, is_wrapped) = adapt(&raw);
            prop_assert!(!is_wrapped);
            prop_assert_eq!(twice.get(), raw.get());
        }
    }
}
