//! JSON for people and programs: indented, numbers and order as they came, and nothing in it that steers a terminal. Pure.

use std::fmt::Write as _;

use crate::text::is_invisible;

/// Returns a JSON text with a line for each member, ending with a line feed. Invisible characters, which JSON may have in
/// strings only, are escaped, so that the value stays the same.
pub(super) fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    let mut chars = json.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if is_string {
            push_safe(&mut out, c);
            is_string = is_escaped || c != '"';
            is_escaped = c == '\\' && !is_escaped;
            continue;
        }
        match c {
            '"' => {
                is_string = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match chars.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out.push('\n');
    out
}

/// Returns a JSON text on its one line, with invisible characters escaped.
pub(super) fn safe(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len() + 1), |mut out, c| {
        push_safe(&mut out, c);
        out
    })
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn push_safe(out: &mut String, c: char) {
    match is_invisible(c) {
        true => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
            let _ = write!(out, "\\u{unit:04x}");
        }),
        false => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn numbers_and_order_stay_and_each_member_has_a_line() {
        let told = r#"{"b":1.10,"a":[12345678901234567890123, {}],"c":"a\"{,:\\","d":[]}"#;
        let shown = "{\n  \"b\": 1.10,\n  \"a\": [\n    12345678901234567890123,\n    {}\n  ],\n  \"c\": \"a\\\"{,:\\\\\",\n  \"d\": []\n}\n";
        assert_eq!(indented(told), shown);
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_and_means_the_same() {
        let told = json!({"\u{9b}1m": "\u{202e}x\u{7f}\u{e0001}"});
        let shown = indented(&told.to_string());
        assert_eq!(shown, "{\n  \"\\u009b1m\": \"\\u202ex\\u007f\\udb40\\udc01\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), told);
    }

    proptest! {
        #[test]
        fn whatever_is_indented_means_the_same(keys in prop::collection::vec(".{0,6}", 0..4), text in ".{0,20}", number: i64) {
            let mut told = json!({"n": number, "t": [text, [], {}]});
            for key in keys {
                told[&key] = json!({ &key: [null, true] });
            }
            let shown = indented(&told.to_string());
            prop_assert!(shown.chars().all(|c| c == '\n' || !is_invisible(c)), "{shown:?}");
            prop_assert_eq!(serde_json::from_str::<Value>(&shown).expect("JSON"), told);
        }
    }
}
