//! A JSON object whose members stay as they were written, so that they can be looked at, left out and joined again
//! without a change to what nobody here reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};

use crate::jsonrpc::{Raw, Reader, one_line, push_string, whole};
use crate::text::json_string;

/// Member of `params`, and of a result, that says for whom and how, and not what.
pub const META: &str = "_meta";

/// Maximum number of members of an object that is read here; MCP's own have a dozen.
const MAX_MEMBERS: usize = 1024;

/// Members of an object, in their order. Of several of one name only the last is kept: what is checked here must be what
/// the receiver reads.
#[derive(Debug, Clone, Default)]
pub struct Members<'a> {
    list: Vec<(Cow<'a, str>, Raw<'a>)>,
    /// `true` if something stands between them in the text that is none of them.
    has_gaps: bool,
}

/// `params` of a message, read at once with its `_meta`, which is not among its members.
#[derive(Debug, Clone, Default)]
pub struct Params<'a> {
    /// The members but for `_meta`.
    pub members: Members<'a>,
    /// The members of `_meta`; `None` if it is missing or null. Anything else than an object is refused.
    pub meta: Option<Members<'a>>,
    /// `_meta` as it is written; `None` if it is missing, or was read by the general reader.
    pub raw_meta: Option<&'a str>,
    /// `true` if `_meta` is the one that was known, whose members are not read again.
    pub is_known: bool,
}

impl<'a> Members<'a> {
    /// Reads an object. `None` for any other text, and for one with more than 1024 members.
    pub fn read(json: &'a str) -> Option<Members<'a>> {
        if let Some(members) = whole(json, Members::scan) {
            return Some(members);
        }
        // Without this, serde_json would copy the text of a number or a string into its error.
        json.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Takes an object that is plain; `None` for any other value.
    pub fn scan(reader: &mut Reader<'a>) -> Option<Members<'a>> {
        let mut members = Members { list: Vec::with_capacity(8), has_gaps: false };
        reader.object(|name, reader| members.set(Cow::Borrowed(name), reader.raw()?).ok())?;
        Some(members)
    }

    /// Returns the value of a member, raw JSON; `None` if it is missing.
    pub fn get(&self, name: &str) -> Option<Raw<'a>> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Returns the value of a member that is a string; `None` if it is missing or none.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(json_string)
    }

    /// Returns the value of a member that is an object; `None` if it is missing or none.
    pub fn object(&self, name: &str) -> Option<Members<'a>> {
        self.get(name).and_then(|value| Members::read(value.get()))
    }

    /// Returns the members with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'a>)> {
        self.list.iter().map(|(name, value)| (&**name, *value))
    }

    /// Returns the part of `text`, in which they were read, that has all of them, without braces. `None` if there is none,
    /// or if it would have something else as well, such as `_meta` or an earlier member of a name.
    pub fn piece<'t>(&self, text: &'t str) -> Option<&'t str> {
        let ((Cow::Borrowed(first), _), (_, last)) = (self.list.first()?, self.list.last()?) else {
            return None;
        };
        let place = |part: &str| (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
        let (begin, end) = (place(first)?.checked_sub(1)?, place(last.get())? + last.get().len());
        text.get(begin..end).filter(|piece| !self.has_gaps && piece.starts_with('"'))
    }

    /// Writes the members that `keep` accepts without braces, on one line.
    pub fn write(&self, out: &mut Vec<u8>, keep: impl Fn(&str) -> bool) {
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            push_member(out, name, value.get().as_bytes());
        }
    }
}

/// Writes a member after others, with a comma between. `value` is JSON, and is put on one line.
pub fn push_member(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !matches!(out.last(), None | Some(b'{')) {
        out.push(b',');
    }
    push_string(&mut *out, name);
    out.push(b':');
    out.extend_from_slice(&one_line(value));
}

impl<'a> Members<'a> {
    /// Adds a member, or replaces the one of its name.
    fn set(&mut self, name: Cow<'a, str>, value: Raw<'a>) -> Result<(), TooMany> {
        match self.list.iter().position(|(known, _)| *known == name) {
            Some(at) => {
                self.list[at].1 = value;
                self.has_gaps = true;
            }
            None if self.list.len() == MAX_MEMBERS => return Err(TooMany),
            None => self.list.push((name, value)),
        }
        Ok(())
    }
}

/// Refusal of an object with more members than are read.
struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object has more than {MAX_MEMBERS} members")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members<'a>, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members { list: Vec::with_capacity(8), has_gaps: false };
        while let Some(name) = map.next_key_seed(Name)? {
            members.set(name, map.next_value()?).map_err(A::Error::custom)?;
        }
        Ok(members)
    }
}

impl<'a> Params<'a> {
    /// Takes `params` that are plain; `None` for any others. A `_meta` that is written like `known`, an object, is not
    /// read again.
    pub fn scan(reader: &mut Reader<'a>, known: Option<&str>) -> Option<Params<'a>> {
        let members = Members { list: Vec::with_capacity(4), has_gaps: false };
        let (mut params, mut meta_behind) = (Params { members, ..Params::default() }, false);
        reader.object(|name, reader| {
            if name == META {
                // Of two the last counts.
                (params.meta, params.raw_meta) = (None, None);
                params.is_known = known.is_some_and(|known| reader.same(known));
                if !params.is_known {
                    let from = reader.rest_of_text();
                    params.meta = Some(Members::scan(reader)?);
                    params.raw_meta = from.get(..from.len() - reader.rest_of_text().len());
                }
                meta_behind = !params.members.list.is_empty();
                return Some(());
            }
            params.members.has_gaps |= meta_behind;
            params.members.set(Cow::Borrowed(name), reader.raw()?).ok()
        })?;
        Some(params)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Params<'a>, D::Error> {
        deserializer.deserialize_map(ParamsVisitor)
    }
}

struct ParamsVisitor;

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params<'de>, A::Error> {
        let members = Members { list: Vec::with_capacity(4), has_gaps: false };
        let (mut params, mut meta_behind) = (Params { members, ..Params::default() }, false);
        while let Some(name) = map.next_key_seed(Name)? {
            if name == META {
                params.meta = map.next_value()?;
                meta_behind = !params.members.list.is_empty();
                continue;
            }
            params.members.has_gaps |= meta_behind;
            params.members.set(name, map.next_value()?).map_err(A::Error::custom)?;
        }
        Ok(params)
    }
}

/// Reads a name without a copy where nothing in it is escaped.
pub struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, keep: impl Fn(&str) -> bool) -> String {
        let mut out = Vec::new();
        Members::read(json).expect("an object").write(&mut out, keep);
        String::from_utf8(out).expect("UTF-8")
    }

    #[test]
    fn members_are_written_as_they_came_and_on_one_line() {
        let json = " {\"a\" : 1.0 ,\"b\":{ \"x\":\n[ 12345678901234567890123 ]},\"\\u0063\":\"\\n\"}";
        assert_eq!(written(json, |_| true), r#""a":1.0,"b":{ "x": [ 12345678901234567890123 ]},"c":"\n""#);
        assert_eq!(written(json, |name| name != "b"), r#""a":1.0,"c":"\n""#);
    }

    #[test]
    fn of_two_members_of_one_name_only_the_last_is_known_and_written() {
        let json = r#"{"name":"good","x":1,"n\u0061me":"bad"}"#;
        let members = Members::read(json).expect("an object");
        assert_eq!(members.text("name").as_deref(), Some("bad"));
        assert_eq!(written(json, |_| true), r#""name":"bad","x":1"#);
    }

    #[test]
    fn a_piece_of_the_text_has_the_members_and_nothing_else() {
        for (text, piece) in [
            (r#"{"a":1,"b":{"c":2}}"#, Some(r#""a":1,"b":{"c":2}"#)),
            (r#"{ "a" : 1 , "_meta" : {} }"#, Some(r#""a" : 1"#)),
            (r#"{"_meta":{},"a":1 ,"b":2 }"#, Some(r#""a":1 ,"b":2"#)),
            (r#"{"a":1,"_meta":{},"b":2}"#, None),
            (r#"{"a":1,"b":2,"a":3}"#, None),
            (r#"{"\u0061":1}"#, None),
            (r#"{"_meta":null}"#, None),
            ("{}", None),
        ] {
            let params: Params<'_> = serde_json::from_str(text).expect("an object");
            assert_eq!(params.members.piece(text), piece, "{text}");
            assert!(params.members.get(META).is_none());
        }
        let text = r#"{"a":1}"#;
        let params: Params<'_> = serde_json::from_str(text).expect("an object");
        assert_eq!(params.members.piece("another text"), None);
    }

    #[test]
    fn what_is_no_object_or_too_large_a_one_is_not_read() {
        for other in ["[]", "1", "\"{\"", "null", "{", "", "{\"a\":1}x"] {
            assert!(Members::read(other).is_none(), "{other}");
        }
        let many = |count: usize| {
            let members: Vec<String> = (0..count).map(|n| format!("\"{n}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(Members::read(&many(MAX_MEMBERS)).is_some());
        assert!(Members::read(&many(MAX_MEMBERS + 1)).is_none());
    }
}
