//! Members of JSON objects, found in one pass that checks the whole text (RFC 8259). For what comes in with every call: a
//! general reader looks at each byte several times. What is not plain, or not JSON, is left to that reader, which knows the
//! rest and what is wrong.

use crate::text::Raw;

/// Most containers that are nested in a value.
const MAX_NESTED: u32 = 127;
/// Number of words without a special byte in a row after which a string counts as a long one.
const LONG_WORDS: u32 = 8;
/// Ones and tops of the eight bytes of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

/// Returns the values of these members of a JSON object. `None` if the text is not one object, if a name in it is escaped,
/// if one of these members comes twice, or if it is nested more than 127 levels deep.
pub fn members<'a, const N: usize>(text: &'a str, names: [&str; N]) -> Option<[Option<&'a str>; N]> {
    let mut found = [None; N];
    whole(text, |reader| {
        reader.object(|name, reader| {
            let value = reader.raw()?.get();
            match names.iter().position(|wanted| *wanted == name) {
                Some(place) => found[place].replace(value).is_none().then_some(()),
                None => Some(()),
            }
        })
    })?;
    Some(found)
}

/// Reads a whole text: one value, and nothing behind it. `None` if `read` returns that or leaves something.
pub fn whole<'a, T>(text: &'a str, read: impl FnOnce(&mut Reader<'a>) -> Option<T>) -> Option<T> {
    let mut reader = Reader { text, at: 0 };
    reader.blanks();
    let value = read(&mut reader)?;
    reader.end().then_some(value)
}

/// Returns the only element of a JSON array, as it was written. `None` if the text is no array of one element.
pub fn only_element(text: &str) -> Option<&str> {
    whole(text, |reader| {
        reader.one(b'[')?;
        reader.blanks();
        let element = reader.raw()?;
        reader.blanks();
        reader.one(b']')?;
        Some(element.get())
    })
}

/// Returns the text of a JSON string in which nothing is escaped; `None` for any other value.
pub fn plain_string(raw: &str) -> Option<&str> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    memchr::memchr(b'\\', inside.as_bytes()).is_none().then_some(inside)
}

/// A reader at the beginning of a value.
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reports whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.peek() == Some(b'{')
    }

    /// Takes an object: `take` is called with each name, and takes its value. `None` if the value is no object, if a name
    /// is escaped, or if `take` returns that.
    pub fn object(&mut self, mut take: impl FnMut(&'a str, &mut Reader<'a>) -> Option<()>) -> Option<()> {
        self.one(b'{')?;
        self.blanks();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(());
        }
        loop {
            self.one(b'"')?;
            let begin = self.at;
            if !self.string()? {
                return None;
            }
            let name = self.text.get(begin..self.at - 1)?;
            self.colon()?;
            take(name, self)?;
            self.blanks();
            match self.next()? {
                b',' => self.blanks(),
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Takes the value.
    pub fn raw(&mut self) -> Option<Raw<'a>> {
        let begin = self.at;
        self.value()?;
        self.text.get(begin..self.at).map(Raw::checked)
    }

    /// Takes the value if it is written like this one, which is a whole value: one in brackets, braces or quotes.
    pub fn same(&mut self, known: &str) -> bool {
        let is_same = self.text.as_bytes()[self.at..].starts_with(known.as_bytes());
        if is_same {
            self.at += known.len();
        }
        is_same
    }

    /// Returns the text from here on.
    pub fn rest_of_text(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn one(&mut self, wanted: u8) -> Option<()> {
        (self.next()? == wanted).then_some(())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn end(&mut self) -> bool {
        self.blanks();
        self.at == self.text.len()
    }

    /// Takes what is between a name and its value.
    fn colon(&mut self) -> Option<()> {
        self.blanks();
        self.one(b':')?;
        self.blanks();
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        self.one(b'"')?;
        self.string()?;
        self.colon()
    }

    /// Takes a value, whatever is nested in it. Which of the containers around it are objects is kept in the bits of a
    /// number, the innermost in the lowest.
    fn value(&mut self) -> Option<()> {
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.next()? {
                b'"' => drop(self.string()?),
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.rest(b"rue")?,
                b'f' => self.rest(b"alse")?,
                b'n' => self.rest(b"ull")?,
                open @ (b'{' | b'[') => {
                    self.blanks();
                    // `{` and `[` are two before their counterparts.
                    if self.peek()? == open + 2 {
                        self.at += 1;
                    } else {
                        if depth == MAX_NESTED {
                            return None;
                        }
                        depth += 1;
                        objects = objects << 1 | u128::from(open == b'{');
                        if open == b'{' {
                            self.name()?;
                        }
                        continue;
                    }
                }
                _ => return None,
            }
            loop {
                if depth == 0 {
                    return Some(());
                }
                self.blanks();
                let is_object = objects & 1 == 1;
                match self.next()? {
                    b',' => {
                        self.blanks();
                        if is_object {
                            self.name()?;
                        }
                        break;
                    }
                    b'}' if is_object => {}
                    b']' if !is_object => {}
                    _ => return None,
                }
                (objects, depth) = (objects >> 1, depth - 1);
            }
        }
    }

    fn rest(&mut self, literal: &[u8]) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(literal).then(|| self.at += literal.len())
    }

    /// Takes the rest of a string, behind its first quote. Returns `true` if nothing in it is escaped.
    fn string(&mut self) -> Option<bool> {
        let (mut is_plain, mut plain_words) = (true, 0);
        loop {
            while let Some(word) = self.text.as_bytes().get(self.at..).and_then(|rest| rest.first_chunk()) {
                let special = special_bytes(u64::from_le_bytes(*word));
                if special != 0 {
                    self.at += (special.trailing_zeros() / 8) as usize;
                    break;
                }
                self.at += 8;
                plain_words += 1;
                if plain_words == LONG_WORDS {
                    self.plain_run()?;
                    break;
                }
            }
            plain_words = 0;
            match self.next()? {
                b'"' => return Some(is_plain),
                b'\\' => {
                    is_plain = false;
                    self.escape()?;
                }
                0..=0x1f => return None,
                _ => {}
            }
        }
    }

    /// Passes over all up to the next quote or backslash; `None` if there is none, or a control character before it. For long
    /// runs: both looks at them are vector instructions.
    fn plain_run(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let run = &rest[..memchr::memchr2(b'"', b'\\', rest)?];
        let has_control = |bytes: &[u8]| bytes.iter().fold(0, |any, byte| any | u8::from(*byte < 0x20)) != 0;
        let (blocks, tail) = run.as_chunks::<128>();
        if blocks.iter().any(|block| has_control(block)) || has_control(tail) {
            return None;
        }
        self.at += run.len();
        Some(())
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                self.at += 4;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Takes the rest of a number, behind its first character.
    fn number(&mut self) -> Option<()> {
        let mut first = self.text.as_bytes()[self.at - 1];
        if first == b'-' {
            first = self.next()?;
        }
        match first {
            b'0' => {}
            b'1'..=b'9' => drop(self.digits()),
            _ => return None,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            (self.digits() > 0).then_some(())?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            (self.digits() > 0).then_some(())?;
        }
        Some(())
    }

    fn digits(&mut self) -> usize {
        let begin = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - begin
    }
}

/// Reports whether a text stands in a JSON string as it is.
pub(super) fn is_plain(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks();
    words.iter().all(|word| special_bytes(u64::from_le_bytes(*word)) == 0)
        && rest.iter().all(|byte| *byte >= b' ' && !matches!(byte, b'"' | b'\\'))
}

/// Marks the bytes of a word that end a run of plain characters: quotes, backslashes, controls. The lowest mark is right;
/// those above it may be too many, as a difference borrows from the next byte.
fn special_bytes(word: u64) -> u64 {
    let is_byte = |byte: u8| {
        let differs = word ^ (ONES * u64::from(byte));
        differs.wrapping_sub(ONES) & !differs
    };
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (is_byte(b'"') | is_byte(b'\\') | controls) & TOPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn members_are_found_as_they_were_written() {
        let text = " {\"b\" : [1, {\"a\":2}] ,\"a\":\"\\u00e9\\\"x\", \"c\":-0.5e+7,\"ä\":null}\n";
        assert_eq!(
            members(text, ["a", "b", "c", "d", "ä"]),
            Some([Some("\"\\u00e9\\\"x\""), Some("[1, {\"a\":2}]"), Some("-0.5e+7"), None, Some("null")])
        );
        assert_eq!(members("{}", ["a"]), Some([None]));
        assert_eq!(only_element("[ {\"a\":[]} ] "), Some("{\"a\":[]}"));
        for several in ["[]", "[1,2]", "{}", "[1", "[1]]", "1"] {
            assert_eq!(only_element(several), None, "{several}");
        }
        assert_eq!(plain_string("\"a\""), Some("a"));
        for other in ["\"\\n\"", "1", "\"", ""] {
            assert_eq!(plain_string(other), None);
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_others() {
        for odd in [
            "",
            "[]",
            "{",
            "{}}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":.5}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":+1}",
            "{\"a\":tru}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u00g0\"}",
            "{\"a\":1 2}",
            "{\"a\":[1,]}",
            "{\"a\":[}",
            "{\"a\":[1}]}",
            "{\"a\":{1}}",
            "{\"a\":1,\"a\":2}",
            "{\"\\u0061\":1}",
            "\u{feff}{}",
        ] {
            assert_eq!(members(odd, ["a"]), None, "{odd}");
        }
        assert!(members("{\"x\":1,\"x\":2}", ["a"]).is_some(), "nobody asks for it");
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(members(&nested(127), ["a"]).is_some() && members(&nested(200), ["a"]).is_none());
    }

    #[test]
    fn a_text_is_plain_if_nothing_in_it_is_escaped() {
        for text in ["", "a", "a name of some length", "äöü und mehr davon", "\u{7f}"] {
            assert!(is_plain(text), "{text:?}");
            for (at, _) in text.char_indices() {
                for special in ['"', '\\', '\0', '\n', '\u{1f}'] {
                    let mut other = text.to_owned();
                    other.insert(at, special);
                    assert!(!is_plain(&other), "{other:?}");
                }
            }
        }
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,20}".prop_map(Value::from),
            // Long enough for whole blocks.
            "[a-z]{0,400}\\PC?[a-z]{0,200}".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map(".{0,6}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        });
        (value, any::<bool>()).prop_map(|(value, is_pretty)| {
            match is_pretty {
                true => serde_json::to_string_pretty(&value),
                false => serde_json::to_string(&value),
            }
            .expect("JSON")
        })
    }

    proptest! {
        #[test]
        fn it_takes_what_the_general_reader_takes(a in json(), b in json(), at in any::<prop::sample::Index>(), byte in 0u8..128) {
            let text = format!("{{\"a\": {a} , \"b\":{b}}}");
            let found = members(&text, ["a", "b"]).expect("plain");
            prop_assert_eq!(found, [Some(a.trim()), Some(b.trim())]);
            let alone = format!("[{a}]");
            prop_assert_eq!(only_element(&alone), Some(a.as_str()));
            // One byte of it is another.
            let mut bytes = text.into_bytes();
            let place = at.index(bytes.len());
            bytes[place] = byte;
            if let Ok(text) = std::str::from_utf8(&bytes)
                && let Some([a, b]) = members(text, ["a", "b"])
            {
                let read: std::collections::HashMap<&str, &serde_json::value::RawValue> = serde_json::from_str(text).expect("JSON, too");
                prop_assert_eq!(read.get("a").map(|raw| raw.get()), a);
                prop_assert_eq!(read.get("b").map(|raw| raw.get()), b);
            }
        }
    }
}
