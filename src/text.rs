//! Handles foreign text: invisible characters (one table for all code that shows text or accepts names), lone
//! surrogates in JSON, and shortening of long texts; and how numbers, lengths of time and errors are written everywhere.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Ranges of the code points that, by Unicode 17, are ignored where they are not supported
/// (`Default_Ignorable_Code_Point`): zero-width and joining characters, fillers, variation selectors, tags, and
/// all that change the direction of text (`Bidi_Control`). Code points without a character that are reserved
/// for future ones are among them.
const IGNORABLE: [(u32, u32); 17] = [
    (0x00ad, 0x00ad),
    (0x034f, 0x034f),
    (0x061c, 0x061c),
    (0x115f, 0x1160),
    (0x17b4, 0x17b5),
    (0x180b, 0x180f),
    (0x200b, 0x200f),
    (0x202a, 0x202e),
    (0x2060, 0x206f),
    (0x3164, 0x3164),
    (0xfe00, 0xfe0f),
    (0xfeff, 0xfeff),
    (0xffa0, 0xffa0),
    (0xfff0, 0xfff8),
    (0x1_bca0, 0x1_bca3),
    (0x1_d173, 0x1_d17a),
    (0xe_0000, 0xe_0fff),
];

/// Reports whether a character is invisible to a reader, or makes others appear elsewhere than where they
/// stand: controls, line separators, and the characters that Unicode tells programs to ignore.
pub fn is_invisible(c: char) -> bool {
    // Fast path: nearly every text consists of these.
    if (' '..='~').contains(&c) {
        return false;
    }
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') || is_ignorable(c)
}

fn is_ignorable(c: char) -> bool {
    let point = u32::from(c);
    let after = IGNORABLE.partition_point(|(first, _)| *first <= point);
    after > 0 && point <= IGNORABLE[after - 1].1
}

/// Reports whether a character selects how the one before it is drawn, as after many emoji. It is invisible,
/// but not suspicious.
pub fn is_presentation(c: char) -> bool {
    matches!(c, '\u{fe0e}' | '\u{fe0f}')
}

/// Reports whether a character misleads a reader: it is invisible, or makes others appear elsewhere, and is none that only
/// says how the one before it is drawn.
pub fn misleads(c: char) -> bool {
    is_invisible(c) && !is_presentation(c)
}

/// Returns a text in which nothing steers a terminal or appears elsewhere than where it stands: each invisible character is
/// written as `\u{…}`. Line feeds and tabs stay as they are if `lines` is `true`.
pub fn visible(text: &str, lines: bool) -> Cow<'_, str> {
    let stays = |c: char| !misleads(c) || (lines && matches!(c, '\n' | '\t'));
    if text.chars().all(stays) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match stays(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(shown)
}

/// Returns a text, or the first `most` characters of a longer one and an ellipsis.
pub fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Reads a whole number with its unit behind it, of these, each with its milliseconds. `None` for anything else, and for what
/// is too long to be counted.
pub fn read_length(text: &str, units: &[(&str, u64)]) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let amount: u64 = text[..split].parse().ok()?;
    let (_, ms) = units.iter().find(|(unit, _)| *unit == &text[split..])?;
    amount.checked_mul(*ms).map(Duration::from_millis)
}

/// Returns a number with the thing that it counts: `1 tool`, `2 tools`.
pub fn count_of(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Returns an error and what it comes from, down to the bottom.
pub fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Returns the reason at the bottom of an error, which says most.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// Writes bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads exactly `N` bytes from hexadecimal digits in either case; `None` for any other text.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// A value in a JSON text, as it was written, without the blanks around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a>(&'a str);

impl<'a> Raw<'a> {
    /// An object without members.
    pub const EMPTY: Raw<'static> = Raw("{}");

    /// Takes a text that was found to be one JSON value, without blanks around it.
    pub(crate) fn checked(text: &'a str) -> Raw<'a> {
        Raw(text)
    }

    /// Returns the text of the value.
    pub fn get(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a RawValue> for Raw<'a> {
    fn from(raw: &'a RawValue) -> Raw<'a> {
        Raw(raw.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw<'a>, D::Error> {
        <&RawValue>::deserialize(deserializer).map(Raw::from)
    }
}

/// Returns a JSON value that is a string, or `None` for any other. Borrows the text unless something in it is escaped.
pub fn json_string<'a>(raw: impl Into<Raw<'a>>) -> Option<Cow<'a, str>> {
    json_literal(raw.into().get())
}

/// Returns the text of a JSON string as it was written, or `None` for any other JSON.
pub fn json_literal(literal: &str) -> Option<Cow<'_, str>> {
    match literal.strip_prefix('"')?.strip_suffix('"') {
        Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(literal).ok().map(Cow::Owned),
    }
}

/// Decodes a JSON string. Half of a surrogate pair in it, which no text can hold, becomes U+FFFD. `None` if the
/// JSON is not a string.
pub fn json_text(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok().or_else(|| serde_json::from_str(&mend_surrogates(raw)).ok())
}

/// Returns the JSON with each escape of half a surrogate pair replaced by U+FFFD.
pub fn mend_surrogates(json: &str) -> Cow<'_, str> {
    replace_halves(json, |_| char::REPLACEMENT_CHARACTER)
}

/// Returns the JSON with each escape of half a surrogate pair replaced by the character that `by` gives for its
/// code unit.
pub fn replace_halves(json: &str, by: impl Fn(u32) -> char) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let (mut out, mut copied, mut at) = (String::new(), 0, 0);
    while let Some(found) = memchr::memchr(b'\\', &bytes[at..]) {
        at += found;
        let Some(half) = half_at(bytes, at) else {
            // The escape ends after this character, whichever it is.
            at = (at + 2).min(bytes.len());
            continue;
        };
        let is_pair =
            HIGH_HALF.contains(&half) && half_at(bytes, at + 6).is_some_and(|next| LOW_HALF.contains(&next));
        if !is_pair {
            out.push_str(&json[copied..at]);
            out.push(by(half));
            copied = at + 6;
        }
        at += if is_pair { 12 } else { 6 };
    }
    if copied == 0 { Cow::Borrowed(json) } else { Cow::Owned(out + &json[copied..]) }
}

/// Code units of the first half of a surrogate pair (high surrogates).
pub const HIGH_HALF: Range<u32> = 0xD800..0xDC00;
/// Code units of the second half of a surrogate pair (low surrogates).
pub const LOW_HALF: Range<u32> = 0xDC00..0xE000;

/// Returns the code unit of the surrogate that is escaped at this position. `None` if there is none.
fn half_at(bytes: &[u8], at: usize) -> Option<u32> {
    let escape = bytes.get(at..at + 6)?;
    let digits = escape.strip_prefix(b"\\u").and_then(|digits| std::str::from_utf8(digits).ok())?;
    let code = u32::from_str_radix(digits, 16).ok()?;
    (HIGH_HALF.start..LOW_HALF.end).contains(&code).then_some(code)
}

/// Returns a name as a shell takes it for one word, in a command to copy.
pub fn shell_word(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@' | '/');
    match !name.is_empty() && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_are_read_back_as_the_bytes_they_stand_for() {
        assert_eq!(hex(&[0, 10, 255]), "000aff");
        assert_eq!(from_hex("000aFf"), Some([0, 10, 255]));
        for other in ["", "000af", "000affff", "00 aff", "+0+a+f", "000afg"] {
            assert_eq!(from_hex::<3>(other), None, "{other}");
        }
    }

    #[test]
    fn what_turns_the_direction_of_text_is_invisible_and_letters_are_not() {
        for c in
            "\u{61c}\u{200e}\u{200f}\u{202a}\u{202e}\u{2066}\u{2069}\u{200b}\u{ad}\u{0}\u{9b}\u{2028}".chars()
        {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in "aZ ~äß中ر👍\u{301}\u{a0}".chars() {
            assert!(!is_invisible(c), "{c:?}");
        }
    }

    #[test]
    fn lengths_have_units_of_a_table_and_things_their_number() {
        let units = [("s", 1_000), ("", 1)];
        let ms = |text| read_length(text, &units).map(|length| length.as_millis());
        assert_eq!((ms("7s"), ms("7"), ms("0s")), (Some(7000), Some(7), Some(0)));
        for other in ["", "s", "7m", "-7s", "7 s", "1.5s", "99999999999999999999s", "9999999999999999999s"] {
            assert_eq!(ms(other), None, "{other}");
        }
        assert_eq!([0, 1, 2].map(|number| count_of(number, "tool")), ["0 tools", "1 tool", "2 tools"]);
    }

    #[test]
    fn an_error_is_followed_down_to_its_bottom() {
        let bottom = std::io::Error::other("deepest");
        let error = crate::files::Unreadable::from(bottom);
        assert_eq!(causes(&error).count(), 2);
        assert_eq!(innermost(&error), "deepest");
    }

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        assert!(matches!(visible("ä 👍\u{fe0f}", false), Cow::Borrowed(_)));
        assert_eq!(visible("a\u{1b}[2J\u{9b}1m\u{202e}b", true), "a\\u{1b}[2J\\u{9b}1m\\u{202e}b");
        assert_eq!(visible("a\tb\nc\r", true), "a\tb\nc\\u{d}");
        assert_eq!(visible("a\tb\nc", false), "a\\u{9}b\\u{a}c");
    }

    #[test]
    fn halves_of_characters_are_mended_and_whole_ones_stay() {
        assert_eq!(json_text(r#""a\ud83db""#).as_deref(), Some("a\u{fffd}b"));
        assert_eq!(json_text(r#""\ude00\ud83d\ude00\ud83d""#).as_deref(), Some("\u{fffd}\u{1f600}\u{fffd}"));
        assert_eq!(json_text(r#""\ud83d\ud83d\ude00""#).as_deref(), Some("\u{fffd}\u{1f600}"));
        assert_eq!(json_text(r#""\\ud83d""#).as_deref(), Some("\\ud83d"), "a backslash, and letters");
        assert_eq!(json_text("7"), None);
        assert!(matches!(mend_surrogates(r#"{"a":"\ud83d\ude00"}"#), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn whatever_json_is_mended_stays_json_and_mended(text in "(\\\\\\\\|\\\\ud83d|\\\\ude00|\\\\n|u|d83d|ä|😀){0,12}") {
            let json = format!("\"{text}\"");
            let mended = mend_surrogates(&json);
            prop_assert!(serde_json::from_str::<String>(&mended).is_ok(), "{json} {mended}");
            prop_assert_eq!(mend_surrogates(&mended), mended.clone());
        }

        #[test]
        fn the_table_has_what_unicode_says(ignorable in "\\p{Default_Ignorable_Code_Point}", other in "\\P{Default_Ignorable_Code_Point}") {
            prop_assert!(ignorable.chars().all(is_ignorable), "{:?}", ignorable);
            prop_assert!(!other.chars().any(is_ignorable), "{:?}", other);
        }

        #[test]
        fn bidi_controls_are_all_in_it(control in "\\p{Bidi_Control}") {
            prop_assert!(control.chars().all(is_ignorable), "{:?}", control);
        }
    }
}
