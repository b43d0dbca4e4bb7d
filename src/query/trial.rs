//! Search for the tool that an endpoint means when it refuses a request without naming the tool: suspects are
//! left out one at a time, until it takes the request or complains of something else. Pure.

use serde_json::Value;
use serde_json::value::RawValue;

/// Words of a refusal that is about a tool's parameters.
const OF_SCHEMAS: [&str; 4] = ["schema", "grammar", "properties", "pattern"];

/// Returns the indices of the tools that a refusal may be about: those whose schema has the place that it names
/// as a JSON pointer (`#/properties/a`), else all of them; none if it is not about schemas.
pub(super) fn suspects(refusal: &str, definitions: &[Box<RawValue>]) -> Vec<usize> {
    let lower = refusal.to_lowercase();
    if !OF_SCHEMAS.iter().any(|word| lower.contains(word)) {
        return Vec::new();
    }
    let places = pointers(refusal);
    let has_one = |definition: &RawValue| {
        let Ok(definition) = serde_json::from_str::<Value>(definition.get()) else { return false };
        let schema = &definition["function"]["parameters"];
        places.iter().any(|place| schema.pointer(place).is_some())
    };
    let all = 0..definitions.len();
    let named: Vec<usize> = all.clone().filter(|at| has_one(&definitions[*at])).collect();
    if named.is_empty() { all.collect() } else { named }
}

/// Returns the JSON pointers into a schema that a text names, without those to all of it.
fn pointers(text: &str) -> Vec<&str> {
    let ends = |c: char| c.is_whitespace() || "\"'`,;:()[]{}".contains(c);
    let found = text.match_indices("#/").map(|(at, _)| {
        let pointer = &text[at + 1..];
        pointer[..pointer.find(ends).unwrap_or(pointer.len())].trim_end_matches(['.', '/'])
    });
    found.filter(|pointer| pointer.len() > 1).collect()
}

/// Reports whether two refusals name places in a schema, and none in common: then it was another tool each time.
/// Other differences between refusals (times, numbers, lengths) have no meaning.
pub(super) fn is_elsewhere(one: &str, other: &str) -> bool {
    let (one, other) = (pointers(one), pointers(other));
    !one.is_empty() && !other.is_empty() && !one.iter().any(|place| other.contains(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn tools(schemas: &[Value]) -> Vec<Box<RawValue>> {
        let tool = |schema: &Value| {
            let definition = json!({"type": "function", "function": {"name": "x", "parameters": schema}});
            serde_json::value::to_raw_value(&definition).expect("JSON")
        };
        schemas.iter().map(tool).collect()
    }

    #[test]
    fn a_place_in_a_schema_is_a_trace_of_the_tools_that_have_it() {
        let of = |name: &str| json!({"type": "object", "properties": {name: {"items": {"a": 1}}}});
        let tools = tools(&[of("a"), of("kids"), json!({}), of("kids")]);
        for (refusal, suspected) in [
            ("Unrecognized schema: true at #/properties/kids/items", vec![1, 3]),
            ("JSON schema conversion failed: (\"#/properties/a\"): no", vec![0]),
            ("Unrecognized schema at #/properties/kids, #/properties/a.", vec![0, 1, 3]),
            ("failed to parse grammar", vec![0, 1, 2, 3]),
            ("bad schema at #/properties/gone", vec![0, 1, 2, 3]),
            ("bad schema at #/", vec![0, 1, 2, 3]),
            ("the model is not loaded", vec![]),
            ("context_length_exceeded at #/properties", vec![0, 1, 3]),
            ("", vec![]),
        ] {
            assert_eq!(suspects(refusal, &tools), suspected, "{refusal}");
        }
    }

    #[test]
    fn a_refusal_is_another_one_only_where_it_names_another_place() {
        for (one, other, expected) in [
            ("bad at #/properties/a", "bad at #/properties/b", true),
            ("bad at #/properties/a (1 s)", "bad at #/properties/a (2 s)", false),
            ("bad schema, line 1 column 5321", "bad schema, line 1 column 3107", false),
            ("bad grammar at 12:34:56Z", "bad at #/properties/b", false),
            ("", "", false),
        ] {
            assert_eq!(is_elsewhere(one, other), expected, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn no_refusal_is_too_strange(refusal in "(schema|#/|properties|/|~|\"|[0-9]|\\PC){0,20}") {
            let tools = tools(&[json!({}), json!({"properties": {}})]);
            prop_assert!(suspects(&refusal, &tools).iter().all(|at| *at < tools.len()));
            prop_assert!(!is_elsewhere(&refusal, &refusal));
        }
    }
}
