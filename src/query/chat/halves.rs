//! Halves of characters: JSON may escape one half of a surrogate pair, and no text can hold it. Some models'
//! servers cut answers and events between two halves. Pure.

use std::borrow::Cow;

use serde_json::Value;

use crate::text::{HIGH_HALF as HIGH, LOW_HALF as LOW, replace_halves};

/// Offset that is added to a half until its other half comes: the stand-in is a character of plane 16, which is
/// for private use.
const STAND_IN: u32 = 0x10_0000;

/// Returns JSON text in which every half without its other half has a stand-in, which [`joined`] takes back.
pub(super) fn stood_in(json: &str) -> Cow<'_, str> {
    replace_halves(json, |half| char::from_u32(STAND_IN + half).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Returns the half that a character stands for; `None` if it is no stand-in.
fn half(c: char) -> Option<u32> {
    u32::from(c).checked_sub(STAND_IN).filter(|half| (HIGH.start..LOW.end).contains(half))
}

/// Returns a text in which stand-ins are replaced by the characters that they are halves of, or by U+FFFD.
pub(super) fn joined(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(high) = half(c) else {
            out.push(c);
            continue;
        };
        let low = chars.peek().and_then(|c| half(*c)).filter(|low| LOW.contains(low));
        match low.filter(|_| HIGH.contains(&high)) {
            Some(low) => {
                let code = 0x1_0000 + ((high - HIGH.start) << 10) + (low - LOW.start);
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                chars.next();
            }
            None => out.push(char::REPLACEMENT_CHARACTER),
        }
    }
    out
}

/// Joins the halves in every text of a value.
pub(super) fn join_all(value: &mut Value) {
    match value {
        Value::String(text) if text.chars().any(|c| half(c).is_some()) => *text = joined(text),
        Value::Array(values) => values.iter_mut().for_each(join_all),
        Value::Object(members) => members.values_mut().for_each(join_all),
        _ => {}
    }
}

/// Joiner of a text that comes in pieces: the first half of a character at a piece's end waits for the next
/// piece.
#[derive(Debug, Default)]
pub(super) struct Joining(Option<char>);

impl Joining {
    /// Returns the whole characters of this piece, with the half that waited.
    pub(super) fn next(&mut self, piece: &str) -> String {
        let mut text: String = self.0.take().into_iter().chain(piece.chars()).collect();
        let last = text.chars().next_back();
        if last.and_then(half).is_some_and(|half| HIGH.contains(&half)) {
            self.0 = text.pop();
        }
        joined(&text)
    }

    /// Returns the half that still waits, as U+FFFD, when nothing more comes.
    pub(super) fn rest(&mut self) -> String {
        self.0.take().map(|c| joined(&c.to_string())).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::mend_surrogates;
    use proptest::prelude::*;

    fn read(json: &str) -> String {
        serde_json::from_str(json).expect("JSON")
    }

    #[test]
    fn half_a_character_costs_no_more_than_itself() {
        for (json, text) in [
            (r#""hi \ud83d""#, "hi \u{fffd}"),
            (r#""\ude00 hi""#, "\u{fffd} hi"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\uD83D\uDE00""#, "\u{1f600}"),
            (r#""\\ud83d""#, "\\ud83d"),
            (r#""\\\ud83dx""#, "\\\u{fffd}x"),
            (r#""plain ü""#, "plain ü"),
        ] {
            assert_eq!(read(&mend_surrogates(json)), text, "{json}");
            assert_eq!(joined(&read(&stood_in(json))), text, "{json}");
        }
        for cut in ["\"\\", "\"\\u", "\"\\ud8", "\\ud83"] {
            assert_eq!(mend_surrogates(cut), cut);
        }
    }

    #[test]
    fn halves_of_two_pieces_are_one_character() {
        let mut joining = Joining::default();
        let pieces = [r#""hi \ud83d""#, r#""\ude00!""#, r#""\ud83d""#, r#""x\ud83d""#];
        let said: Vec<String> = pieces.iter().map(|piece| joining.next(&read(&stood_in(piece)))).collect();
        assert_eq!(said, ["hi ", "\u{1f600}!", "", "\u{fffd}x"]);
        assert_eq!((joining.rest(), joining.rest()), ("\u{fffd}".to_owned(), String::new()));
    }

    proptest! {
        #[test]
        fn any_text_cut_anywhere_between_halves_is_itself(text in "\\PC{0,20}", at in 0usize..40) {
            let units: Vec<u16> = text.encode_utf16().collect();
            let (one, two) = units.split_at(at.min(units.len()));
            let json = |units: &[u16]| {
                let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
                format!("\"{escapes}\"")
            };
            let mut joining = Joining::default();
            let mut said = joining.next(&read(&stood_in(&json(one))));
            said += &joining.next(&read(&stood_in(&json(two))));
            said += &joining.rest();
            prop_assert_eq!(said, text);
        }

        #[test]
        fn no_text_is_too_strange(text in "(\\\\|u|d83d|de00|\"|\\PC){0,30}") {
            drop(mend_surrogates(&text));
            drop(joined(&stood_in(&text)));
        }
    }
}
