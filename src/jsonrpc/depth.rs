//! Nesting depth of a JSON text, measured without parsing it: `RawValue` has no limit of its own.

/// Maximum nesting that is passed on, in either direction.
pub const MAX_DEPTH: usize = 128;

/// Reports whether a JSON text nests arrays and objects deeper than [`MAX_DEPTH`].
///
/// Invalid JSON gets some answer too, never a panic; the parser refuses it later.
pub fn too_deep(text: &[u8]) -> bool {
    // Nearly every message has fewer brackets than the limit, and then no string needs to be examined.
    if memchr::memchr2_iter(b'[', b'{', text).nth(MAX_DEPTH).is_none() {
        return false;
    }
    let mut depth = 0usize;
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => at = end_of_string(text, at + 1),
            _ => {}
        }
        at += 1;
    }
    false
}

/// Returns the index of the quote that ends the string whose content starts at `at`; the length of the text
/// if there is none.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text[at] == b'"' {
            return at;
        }
        at += 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_limit_is_exact() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(!too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        assert!(too_deep(nested(100_000).as_bytes()));
        assert!(!too_deep(nested(1).repeat(500).as_bytes()));
        assert!(!too_deep(format!("{}\"unended \\", nested(1).repeat(500)).as_bytes()));
    }

    #[test]
    fn brackets_in_strings_and_side_by_side_do_not_count() {
        assert!(!too_deep(format!("\"\\\"{}\"", "[".repeat(1000)).as_bytes()));
        assert!(!too_deep(format!("[{}]", vec!["[]"; 1000].join(",")).as_bytes()));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            too_deep(&bytes);
        }

        #[test]
        fn agrees_with_a_slow_count(text in r#"([\[\]{},"\\a]{0,4}){0,120}"#) {
            let (mut depth, mut deepest, mut in_string, mut escaped) = (0usize, 0usize, false, false);
            for byte in text.bytes() {
                if in_string {
                    if escaped { escaped = false } else if byte == b'\\' { escaped = true } else if byte == b'"' { in_string = false }
                } else {
                    match byte {
                        b'"' => in_string = true,
                        b'[' | b'{' => { depth += 1; deepest = deepest.max(depth) }
                        b']' | b'}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                }
            }
            prop_assert_eq!(too_deep(text.as_bytes()), deepest > MAX_DEPTH);
        }
    }
}
