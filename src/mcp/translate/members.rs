//! A JSON object whose members stay as they were written, so that they can be looked at, left out and joined again
//! without a change to what nobody here reads.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::jsonrpc::{one_line, push_string};
use crate::text::json_string;

/// Maximum number of members of an object that is read here; MCP's own have a dozen.
const MAX_MEMBERS: usize = 1024;

/// Members of an object, in their order. Of several of one name only the last is kept: what is checked here must be what
/// the receiver reads.
#[derive(Debug, Clone, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object. `None` for any other text, and for one with more than 1024 members.
    pub fn read(json: &'a str) -> Option<Members<'a>> {
        // Without this, serde_json would copy the text of a number or a string into its error.
        json.trim_ascii_start().starts_with('{').then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Returns the value of a member, raw JSON; `None` if it is missing.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
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
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
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
        let mut members: Vec<(Cow<'de, str>, &RawValue)> = Vec::with_capacity(8);
        while let Some(name) = map.next_key_seed(Name)? {
            let value = map.next_value()?;
            match members.iter().position(|(known, _)| *known == name) {
                Some(at) => members[at].1 = value,
                None if members.len() == MAX_MEMBERS => return Err(A::Error::custom("too many members")),
                None => members.push((name, value)),
            }
        }
        Ok(Members(members))
    }
}

/// Reads a name without a copy where nothing in it is escaped.
struct Name;

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
