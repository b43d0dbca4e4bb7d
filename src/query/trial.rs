//! Which tool an endpoint means that refuses a request for a tool without saying which: those that it may mean
//! are left out one at a time, until it takes the request or complains of something else. Pure.

use serde_json::Value;
use serde_json::value::RawValue;

/// Words of a refusal that is about what a tool takes.
const OF_SCHEMAS: [&str; 4] = ["schema", "grammar", "properties", "pattern"];
/// The longest word with digits in it that is compared: longer ones number the request.
const LONGEST_NUMBERED: usize = 7;

/// The tools that a refusal may be about, by their places: those that have the place in their schema that it
/// names as a JSON pointer (`#/properties/a`), else all of them; none where it is not about schemas.
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
    let named: Vec<usize> = match places.is_empty() {
        true => Vec::new(),
        false => all.clone().filter(|at| has_one(&definitions[*at])).collect(),
    };
    if named.is_empty() { all.collect() } else { named }
}

/// The JSON pointers into a schema that a text names, without those to all of it.
fn pointers(text: &str) -> Vec<&str> {
    let ends = |c: char| c.is_whitespace() || "\"'`,;:()[]{}".contains(c);
    let found = text.match_indices("#/").map(|(at, _)| {
        let pointer = &text[at + 1..];
        pointer[..pointer.find(ends).unwrap_or(pointer.len())].trim_end_matches(['.', '/'])
    });
    found.filter(|pointer| pointer.len() > 1).collect()
}

/// Whether two refusals complain of the same. Numbers of requests in them do not count.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let words = |text: &str| -> Vec<String> {
        let words = text.split(|c: char| c.is_whitespace() || "\"'`,;:()".contains(c));
        let numbers = |word: &str| {
            word.len() > LONGEST_NUMBERED
                && word.contains(|c: char| c.is_ascii_digit())
                && !word.contains('/')
        };
        let counts = |word: &&str| !word.is_empty() && !numbers(word);
        words.filter(counts).map(str::to_owned).collect()
    };
    words(one) == words(other)
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
    fn refusals_are_the_same_whatever_their_requests_are_numbered() {
        assert!(is_same(
            "no schema (request req_011CSHoEeqs5C35K2)",
            "no schema (request req_9f8e7d6c5b4a3)"
        ));
        assert!(is_same("bad grammar", "bad grammar"));
        assert!(!is_same("bad at #/properties/a1234567", "bad at #/properties/b1234567"));
        assert!(!is_same("bad schema of a1", "bad schema of a2"));
        assert!(!is_same("bad grammar", ""));
    }

    proptest! {
        #[test]
        fn no_refusal_is_too_strange(refusal in "(schema|#/|properties|/|~|\"|[0-9]|\\PC){0,20}") {
            let tools = tools(&[json!({}), json!({"properties": {}})]);
            prop_assert!(suspects(&refusal, &tools).iter().all(|at| *at < tools.len()));
            prop_assert!(is_same(&refusal, &refusal));
        }
    }
}
