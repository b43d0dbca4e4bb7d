//! Recognition of the request that a line beyond the limit answers, by the line's ends. Nothing is guessed:
//! an id counts only where it must be that of the answer, so a call is never ended by a line that was meant
//! for another.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::message::own_id;

/// Returns the id of our request that this line answers; `None` if its ends do not show it. They show it
/// for an object that begins with a `result` or an `error` too long to be read to its end, with the id
/// before that or as the last member of the line (`jsonrpc` may be behind it).
pub fn id_of_answer(front: &[u8], back: &[u8]) -> Option<u64> {
    let front = front.trim_ascii_start();
    let mut seen = Seen { end: front.as_ptr_range().end as usize, ..Seen::default() };
    // The text breaks off in the middle, so the members up to there count and the error does not.
    drop(serde_json::Deserializer::from_slice(front).deserialize_map(&mut seen));
    if !seen.is_answer || seen.is_request {
        return None;
    }
    seen.id.or_else(|| id_at_end(back))
}

/// Members seen at the beginning of a line.
#[derive(Default)]
struct Seen {
    /// Address of the end of the beginning: a number that reaches it may go on.
    end: usize,
    id: Option<u64>,
    is_answer: bool,
    is_request: bool,
}

impl<'de> Visitor<'de> for &mut Seen {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            match &*name {
                "id" => {
                    let text = map.next_value::<&'de RawValue>()?.get();
                    let is_whole = (text.as_bytes().as_ptr_range().end as usize) < self.end;
                    self.id = is_whole.then(|| own_id(text)).flatten();
                    // If there is an id that is none of ours, the other end is not searched.
                    self.is_request |= is_whole && self.id.is_none();
                }
                "method" | "params" => {
                    self.is_request = true;
                    return Ok(());
                }
                other => {
                    self.is_answer |= matches!(other, "result" | "error");
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads the id as the last member of an object that ends here. The last brace of a line ends the whole
/// object, so the member right before it belongs to the whole object.
fn id_at_end(back: &[u8]) -> Option<u64> {
    let inside = back.trim_ascii_end().strip_suffix(b"}")?.trim_ascii_end();
    let inside = without_version(inside).unwrap_or(inside);
    let text = inside.strip_suffix(b"\"");
    let inside = text.unwrap_or(inside);
    let digits = inside.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (before, number) = inside.split_at(inside.len() - digits);
    let before = if text.is_some() { before.strip_suffix(b"\"")? } else { before };
    let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"id\"")?;
    before.trim_ascii_end().ends_with(b",").then(|| std::str::from_utf8(number).ok()?.parse().ok()).flatten()
}

/// Removes `"jsonrpc": "2.0"` and the comma before it; `None` if they are not there.
fn without_version(inside: &[u8]) -> Option<&[u8]> {
    let rest = inside.strip_suffix(b"\"2.0\"")?.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end();
    let rest = rest.strip_suffix(b"\"jsonrpc\"")?.trim_ascii_end();
    Some(rest.strip_suffix(b",")?.trim_ascii_end())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::framing::TooLong;
    use super::*;

    fn told_by(line: &TooLong) -> Option<u64> {
        id_of_answer(&line.front, &line.back)
    }

    /// Returns the ends of this line, each of length `kept`.
    fn ends(text: &str, kept: usize) -> TooLong {
        let (bytes, length) = (text.as_bytes(), text.len());
        TooLong {
            front: Bytes::copy_from_slice(&bytes[..length.min(kept)]),
            back: Bytes::copy_from_slice(&bytes[length.saturating_sub(kept)..]),
            length,
            limit: kept,
        }
    }

    fn told(shape: &str) -> Option<u64> {
        let long = format!("{:?}", "x\",\"id\":8}".repeat(100));
        told_by(&ends(&shape.replace('~', &long), 60))
    }

    #[test]
    fn the_id_is_told_at_either_end_of_an_answer() {
        for shape in [
            r#"{"jsonrpc":"2.0","id":7,"result":~}"#,
            r#" {"id": 7 , "error": {"code": 1, "message": ~}}"#,
            r#"{"jsonrpc":"2.0","result":{"content":[{"text":~}]},"id":7}"#,
            r#"{"result":~, "id" : 7 , "jsonrpc" : "2.0" } "#,
            r#"{"error":{"code":1,"message":~},"id":7}"#,
            r#"{"id":"7","result":~}"#,
            r#"{"result":~,"id":"7"}"#,
            r#"{"id":7.0,"result":~}"#,
        ] {
            assert_eq!(told(shape), Some(7), "{shape}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for shape in [
            r#"{"jsonrpc":"2.0","method":"x","id":7,"params":~}"#,
            r#"{"jsonrpc":"2.0","params":~,"method":"x","id":7}"#,
            r#"{"jsonrpc":"2.0","extra":~,"id":7}"#,
            r#"{"jsonrpc":"2.0","result":~}"#,
            r#"{"jsonrpc":"2.0","result":{"a":~,"id":7}}"#,
            r#"{"result":~,"id":"x7"}"#,
            r#"{"result":~,"note":"\"id\":\"7"}"#,
            r#"{"id":"a","result":~,"id":7}"#,
            r#"{"result":~,"id":7,"more":1}"#,
            r#"{"result":~,"\"id":7}"#,
            r#"[{"result":~,"id":7}]"#,
            r#"~"#,
            "x",
            "",
        ] {
            assert_eq!(told(shape), None, "{shape}");
        }
        let cut = r#"{"jsonrpc":"2.0","result":1,"id":1234567"#;
        assert_eq!(told_by(&ends(cut, cut.len() - 3)), None, "its number may go on");
    }

    proptest! {
        /// With any members in any order and any cut of the ends: the id is the right one or none.
        #[test]
        fn no_answer_is_taken_for_another_one(
            id in 0u64..u64::MAX, text in "[\\\\\"id:{},0-9 ]{0,200}", last in any::<bool>(), kept in 0usize..80,
        ) {
            let payload = serde_json::to_string(&serde_json::json!({"t": text, "id": 5})).unwrap();
            let line = match last {
                true => format!("{{\"jsonrpc\":\"2.0\",\"result\":{payload},\"id\":{id}}}"),
                false => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{payload}}}"),
            };
            let told = told_by(&ends(&line, kept));
            prop_assert!(told.is_none_or(|told| told == id), "{told:?}");
            if kept >= 60 {
                prop_assert_eq!(told, Some(id));
            }
        }

        #[test]
        fn no_bytes_panic(front in proptest::collection::vec(any::<u8>(), 0..64), back in "\\PC{0,30}") {
            let (front, back) = (Bytes::from(front), Bytes::from(back));
            let _ = told_by(&TooLong { front, back, length: 0, limit: 0 });
        }
    }
}
