//! Accepts JSON with comments and trailing commas, as in editors' settings. Pure: both are replaced by blanks,
//! character by character, so that every other position stays the same.

use std::borrow::Cow;

/// Returns a text with blanks in place of its comments and trailing commas. The rest is for the JSON parser to
/// check; a text without any is returned unchanged.
pub(super) fn blanked(text: &str) -> Cow<'_, str> {
    let mut cuts = cuts(text);
    if cuts.is_empty() {
        return Cow::Borrowed(text);
    }
    cuts.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in cuts {
        out.push_str(&text[from..start]);
        out.extend(text[start..end].chars().map(|c| if matches!(c, '\n' | '\r') { c } else { ' ' }));
        from = end;
    }
    out.push_str(&text[from..]);
    Cow::Owned(out)
}

/// Returns the ranges to replace, which do not overlap.
fn cuts(text: &str) -> Vec<(usize, usize)> {
    let bytes = text.as_bytes();
    let mut cuts = Vec::new();
    // Position of the last comma, if a value came before it and only blanks and comments since.
    let mut comma = None;
    let mut after_value = false;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at = end_of_string(bytes, at);
                (comma, after_value) = (None, true);
                continue;
            }
            b'/' if matches!(bytes.get(at + 1), Some(b'/' | b'*')) => {
                let end = end_of_comment(bytes, at);
                cuts.push((at, end));
                at = end;
                continue;
            }
            b' ' | b'\t' | b'\n' | b'\r' => {}
            b',' => {
                comma = after_value.then_some(at);
                after_value = false;
            }
            b'}' | b']' => {
                if let Some(comma) = comma.take() {
                    cuts.push((comma, comma + 1));
                }
                after_value = true;
            }
            b'{' | b'[' | b':' => (comma, after_value) = (None, false),
            _ => (comma, after_value) = (None, true),
        }
        at += 1;
    }
    cuts
}

/// Returns the position after the string that begins here; the end of the text if it is not closed.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the position after the comment that begins here: the end of its line, or after its `*/`.
fn end_of_comment(bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    let length = match rest[1] {
        b'/' => memchr::memchr2(b'\n', b'\r', rest),
        _ => memchr::memmem::find(&rest[2..], b"*/").map(|at| at + 4),
    };
    start + length.unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&blanked(text))
    }

    #[test]
    fn comments_and_trailing_commas_are_no_part_of_it() {
        for (text, value) in [
            ("{\"a\": 1, // one\n}", json!({"a": 1})),
            ("/* ü */ [1, 2, /* x */ ] // end", json!([1, 2])),
            ("{\"a\": [\"b\",], \"c\": {},}", json!({"a": ["b"], "c": {}})),
            ("{\"a\": \"// no, */ } ,]\"}", json!({"a": "// no, */ } ,]"})),
            ("{\"a\": \"\\\"//\",}", json!({"a": "\"//"})),
            ("[true,\r\n// x\r\n]", json!([true])),
        ] {
            assert_eq!(read(text).expect(text), value, "{text}");
        }
    }

    #[test]
    fn a_comma_without_a_value_before_it_is_still_wrong() {
        for text in ["{,}", "[,]", "[1,,]", "{\"a\":,}", "[1,,2]", "/* open", "{\"a\": 1 /", "\"open"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_stays_where_it_was(text in "([\\[\\]{}:,\"a1ü\\\\ \\n]|//|/\\*|\\*/){0,40}") {
            let blanked = blanked(&text);
            prop_assert_eq!(blanked.chars().count(), text.chars().count());
            prop_assert!(blanked.chars().zip(text.chars()).all(|(now, then)| now == then || now == ' '));
            prop_assert_eq!(blanked.lines().count(), text.lines().count());
        }

        #[test]
        fn what_is_json_already_stays_as_it_is(text in r#"[\[\]{}:,"a1\\ ]{0,40}"#) {
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert_eq!(blanked(&text), text.as_str());
            }
        }
    }
}
