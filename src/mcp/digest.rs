//! Digest of a tool's definition: equal for definitions with the same meaning, however their members are
//! ordered and spaced. It tells a changed definition from an unchanged one.

use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// SHA-256 over everything in a tool's entry: name, title, description, schemas, annotations and all other
/// members except `_meta`, which is not shown to a model and may differ from list to list. Written as
/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ToolDigest([u8; 32]);

/// The member that the digest leaves out.
const META: &str = "_meta";
const PREFIX: &str = "sha256:";

impl ToolDigest {
    /// Computes the digest of one definition. Invalid JSON counts as plain text.
    pub fn of(definition: &RawValue) -> ToolDigest {
        ToolDigest::by(definition, Canonical { leave_out: Some(META), order: Order::Counts })
    }

    /// Computes the digest of a definition regardless of the order in which texts enumerate words (`ls,
    /// cat, pwd`) and schemas list what is required or allowed: programs that print a set do so in another
    /// order at each start.
    pub fn of_unordered(definition: &RawValue) -> ToolDigest {
        ToolDigest::by(definition, Canonical { leave_out: Some(META), order: Order::OfSetsNot })
    }

    fn by(definition: &RawValue, canonical: Canonical) -> ToolDigest {
        let mut reader = serde_json::Deserializer::from_str(definition.get());
        let canonical = canonical.deserialize(&mut reader);
        let bytes = canonical.unwrap_or_else(|_| definition.get().as_bytes().to_vec());
        ToolDigest(Sha256::digest(bytes).into())
    }

    /// Computes the digest of a whole list; the order of its tools does not matter.
    pub fn of_all(digests: impl Iterator<Item = ToolDigest>) -> ToolDigest {
        let mut digests: Vec<ToolDigest> = digests.collect();
        digests.sort_unstable();
        let mut hash = Sha256::new();
        digests.iter().for_each(|digest| hash.update(digest.0));
        ToolDigest(hash.finalize().into())
    }
}

impl fmt::Display for ToolDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ToolDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<ToolDigest> for String {
    fn from(digest: ToolDigest) -> String {
        digest.to_string()
    }
}

/// Error for a text that is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"sha256:\" and 64 hexadecimal digits")]
pub struct NoDigest;

impl FromStr for ToolDigest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<ToolDigest, NoDigest> {
        let hex =
            text.strip_prefix(PREFIX).filter(|hex| hex.len() == 64 && hex.is_ascii()).ok_or(NoDigest)?;
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).map_err(|_| NoDigest)?;
        }
        Ok(ToolDigest(bytes))
    }
}

impl TryFrom<String> for ToolDigest {
    type Error = NoDigest;

    fn try_from(text: String) -> Result<ToolDigest, NoDigest> {
        text.parse()
    }
}

/// Reader that turns a value into its canonical bytes: members in the order of their names. A member that
/// occurs twice is kept twice, since readers differ about which one counts.
#[derive(Clone, Copy)]
struct Canonical {
    leave_out: Option<&'static str>,
    order: Order,
}

/// Significance of the order of entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Counts,
    /// The order of sets does not matter: in texts, and in lists of a schema that are sets.
    OfSetsNot,
    /// As `OfSetsNot`, and the list being read is a set.
    IsASet,
}

/// Members of a schema whose lists are sets (JSON Schema 2020-12, validation, sections 6.1 and 6.5.3).
const SETS: [&str; 3] = ["required", "enum", "type"];

impl Canonical {
    /// Returns the reader for a nested value.
    fn inside(self, member: Option<&str>) -> Canonical {
        let is_set = member.is_some_and(|member| SETS.contains(&member));
        let order = match self.order {
            Order::Counts => Order::Counts,
            Order::OfSetsNot | Order::IsASet if is_set => Order::IsASet,
            Order::OfSetsNot | Order::IsASet => Order::OfSetsNot,
        };
        Canonical { leave_out: None, order }
    }
}

/// Sorts the words of a text that are separated by commas, without the brackets and quotes around them.
fn without_order(text: &str) -> String {
    let bare = |word: &str| word.trim_matches(|c: char| ",.;()[]{}'\"`".contains(c)).to_owned();
    let (mut out, mut run): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for word in text.split_whitespace() {
        run.push(word.to_owned());
        if !word.ends_with(',') {
            if run.len() > 1 {
                run = run.iter().map(|word| bare(word)).collect();
                run.sort_unstable();
            }
            out.append(&mut run);
        }
    }
    out.append(&mut run);
    out.join(" ")
}

impl<'de> DeserializeSeed<'de> for Canonical {
    type Value = Vec<u8>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

fn written<T: Serialize + ?Sized, E: serde::de::Error>(value: &T) -> Result<Vec<u8>, E> {
    serde_json::to_vec(value).map_err(E::custom)
}

impl<'de> Visitor<'de> for Canonical {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Vec<u8>, E> {
        written(&())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Vec<u8>, E> {
        written(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Vec<u8>, E> {
        written(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Vec<u8>, E> {
        written(&value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Vec<u8>, E> {
        written(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Vec<u8>, E> {
        match self.order {
            Order::Counts => written(value),
            Order::OfSetsNot | Order::IsASet => written(&without_order(value)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<u8>, A::Error> {
        let mut each = Vec::new();
        while let Some(entry) = entries.next_element_seed(self.inside(None))? {
            each.push(entry);
        }
        if self.order == Order::IsASet {
            each.sort_unstable();
        }
        let mut bytes = vec![b'['];
        for entry in each {
            bytes.extend(entry);
            bytes.push(b',');
        }
        bytes.push(b']');
        Ok(bytes)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<u8>, A::Error> {
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.inside(Some(&name)))?;
            if self.leave_out != Some(name.as_str()) {
                members.push((name, value));
            }
        }
        // The sort is stable: members with the same name keep their order.
        members.sort_by(|one, other| one.0.cmp(&other.0));
        let mut bytes = vec![b'{'];
        for (name, value) in members {
            bytes.extend(written::<_, A::Error>(&name)?);
            bytes.push(b':');
            bytes.extend(value);
            bytes.push(b',');
        }
        bytes.push(b'}');
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    fn of(text: &str) -> ToolDigest {
        ToolDigest::of(&RawValue::from_string(text.to_owned()).expect("JSON"))
    }

    #[test]
    fn order_spaces_and_meta_make_no_difference() {
        let one = of(r#"{"name":"a","inputSchema":{"type":"object","x":[1,2]},"_meta":{"at":1}}"#);
        assert_eq!(one, of(r#"{ "inputSchema": {"x":[1,2], "type":"object"}, "name":"a" }"#));
    }

    #[test]
    fn whatever_a_model_is_told_makes_a_difference() {
        let one = of(r#"{"name":"a","description":"adds"}"#);
        for other in [
            r#"{"name":"a","description":"adds "}"#,
            "{\"name\":\"a\",\"description\":\"adds\u{200b}\"}",
            r#"{"name":"a","description":"adds","annotations":{"readOnlyHint":true}}"#,
            r#"{"name":"a","description":"adds","description":"adds"}"#,
            r#"{"name":"a","description":"x","description":"adds"}"#,
            r#"{"name":"a","description":["adds"]}"#,
            r#"{"name":"a","description":"adds","inputSchema":{"_meta":1}}"#,
        ] {
            assert_ne!(one, of(other), "{other}");
        }
        assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#), "the order of a list counts");
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":"1"}"#));
    }

    #[test]
    fn what_is_only_enumerated_in_another_order_is_the_same_without_order() {
        let unordered =
            |text: &str| ToolDigest::of_unordered(&RawValue::from_string(text.to_owned()).expect("JSON"));
        let one = r#"{"description":"Runs: {'ls', 'cat', 'pwd'}. Ask first.","s":{"required":["a","b"]}}"#;
        let other = r#"{"description":"Runs: {'pwd', 'ls', 'cat'}. Ask first.","s":{"required":["b","a"]}}"#;
        assert_eq!(unordered(one), unordered(other));
        assert_ne!(of(one), of(other));
        for changed in [
            r#"{"description":"Runs: {'rm', 'ls', 'cat'}. Ask first.","s":{"required":["b","a"]}}"#,
            r#"{"description":"first. Ask Runs: {'ls', 'cat', 'pwd'}.","s":{"required":["a","b"]}}"#,
            r#"{"description":"Runs: {'ls', 'cat', 'pwd'}. Ask first.","s":{"required":["a"]}}"#,
            r#"{"description":"Runs: {'ls', 'cat', 'pwd'}. Ask first.","s":{"other":["b","a"]}}"#,
        ] {
            assert_ne!(unordered(one), unordered(changed), "{changed}");
        }
    }

    #[test]
    fn a_definition_too_deep_to_read_still_has_a_digest_of_its_own() {
        let deep = |inside: &str| format!("{}{inside}{}", "[".repeat(1000), "]".repeat(1000));
        assert_ne!(of(&deep("1")), of(&deep("2")));
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = of("{}");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for wrong in ["", "sha256:", "md5:00", &format!("sha256:{}", "g".repeat(64)), &"ä".repeat(32)] {
            assert_eq!(wrong.parse::<ToolDigest>(), Err(NoDigest), "{wrong}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Returns the same value with its members in reverse order.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(entries) => entries.iter().map(reversed).collect(),
            Value::Object(map) => {
                let members = map.iter().rev().map(|(name, value)| (name.clone(), reversed(value)));
                Value::Object(members.collect::<Map<_, _>>())
            }
            other => other.clone(),
        }
    }

    proptest! {
        #[test]
        fn equal_values_and_only_they_have_equal_digests(one in any_json(), other in any_json()) {
            let digest = |value: &Value| of(&json!({ "name": value }).to_string());
            prop_assert_eq!(digest(&one), digest(&reversed(&one)));
            prop_assert_eq!(one == other, digest(&one) == digest(&other));
        }
    }
}
