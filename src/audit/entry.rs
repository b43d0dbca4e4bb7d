//! One line of the audit. Pure, and the only place that cuts text from callers to a bounded length.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::access::Principal;

/// Maximum length of a text in an entry, in characters.
pub(super) const MAX_TEXT: usize = 200;
/// Maximum number of items of an array, and of members of an object, in an entry's details.
const MAX_ITEMS: usize = 50;
/// Maximum depth of a value in an entry's details.
const MAX_DEPTH: usize = 4;
/// Maximum size of an entry's details as written, in bytes.
const MAX_DETAILS: usize = 8 * 1024;
/// Maximum size of the details of a shortened entry, in bytes.
const SHORT_DETAILS: usize = 512;
/// Mark at the end of a text that was cut, and placeholder for omitted values.
const MORE: &str = "…";

/// Result of a recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Outcome {
    /// The request was carried out.
    Done,
    /// The request was not carried out: the caller lacks the right, or exceeded a rate.
    Refused,
    /// The request was not carried out for another reason.
    Failed,
    /// The request may or may not have been carried out: the caller left, the child ended, or a defect intervened.
    Unknown,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Outcome; 4] = [Outcome::Done, Outcome::Refused, Outcome::Failed, Outcome::Unknown];

    /// Returns the outcome that an HTTP status stands for.
    pub fn of_status(status: u16) -> Outcome {
        match status {
            ..=399 => Outcome::Done,
            401 | 403 | 429 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    /// Returns the outcome's name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        }
    }
}

/// Category of a recorded request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// Change to the configuration or to what is running.
    Act,
    /// Tool call, or a question that leads to calls.
    Call,
    /// Read of data that may contain secrets, and every request that is recorded only when it is refused.
    Look,
}

/// Entry to be recorded. The log adds its number and its time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// Name of the act, such as `key.create` or `server.restart`.
    action: &'static str,
    /// Id, name or path of what it was done to.
    target: String,
    /// Result.
    outcome: Outcome,
    /// HTTP status of the answer; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u16"))]
    status: Option<u16>,
    /// Id of the member who asked; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    member_id: Option<Arc<str>>,
    /// Id of the key that was used; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    key_id: Option<Arc<str>>,
    /// Address that the request came from; absent for acts of the gateway itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    peer: Option<IpAddr>,
    /// User of the gateway's machine who sent the request; absent if it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u32"))]
    uid: Option<u32>,
    /// Request id, as in the answer's `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    request_id: Option<String>,
    /// Further particulars of the act; absent if there are none.
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
    #[serde(skip)]
    sort: EntryKind,
}

impl AuditEntry {
    /// Creates an entry from the action (such as `key.create`), its target (an id, a name, a path) and its outcome.
    pub fn new(sort: EntryKind, action: &'static str, target: &str, outcome: Outcome) -> AuditEntry {
        AuditEntry {
            action,
            target: cut(target),
            outcome,
            status: None,
            member_id: None,
            key_id: None,
            peer: None,
            uid: None,
            request_id: None,
            details: Map::new(),
            sort,
        }
    }

    /// Creates an entry for an act of the daemon itself.
    pub fn of_daemon(action: &'static str, target: &str, outcome: Outcome) -> AuditEntry {
        AuditEntry::new(EntryKind::Act, action, target, outcome)
    }

    /// Sets the caller: its member, and the key that it used.
    pub fn by(mut self, caller: &Principal) -> AuditEntry {
        self.member_id = Some(caller.member().id.clone());
        self.key_id = Some(caller.key_id().clone());
        self
    }

    /// Sets member and key by name, for tests.
    #[cfg(test)]
    pub(super) fn by_key(mut self, member: &str, key: &str) -> AuditEntry {
        (self.member_id, self.key_id) = (Some(member.into()), Some(key.into()));
        self
    }

    /// Sets the address that the request came from, and the user of this machine that sent it, where that is known.
    pub fn from(mut self, peer: IpAddr, uid: Option<u32>) -> AuditEntry {
        (self.peer, self.uid) = (Some(peer), uid);
        self
    }

    /// Sets the request id, as in the response and the log, and the status of the response; `None` if there was no
    /// response.
    pub fn answered(mut self, status: Option<u16>, request_id: &str) -> AuditEntry {
        (self.status, self.request_id) = (status, Some(cut(request_id)));
        self
    }

    /// Adds further details, which must not contain secrets. Cuts texts, lists and totals that are too long.
    pub fn with(mut self, details: Map<String, Value>) -> AuditEntry {
        self.add(details, MAX_DETAILS);
        self
    }

    /// Returns a copy with shortened details, for a member's further acts in a minute.
    pub(super) fn shortened(&self) -> AuditEntry {
        let mut short = AuditEntry { details: Map::new(), ..self.clone() };
        short.add(self.details.clone(), SHORT_DETAILS);
        short
    }

    fn add(&mut self, details: Map<String, Value>, mut room: usize) {
        let size =
            |name: &str, value: &Value| Value::from(name).to_string().len() + value.to_string().len() + 2;
        for (name, value) in details.into_iter().take(MAX_ITEMS) {
            let (name, mut value) = (cut(&name), bounded(value, MAX_DEPTH));
            if size(&name, &value) > room {
                value = MORE.into();
            }
            let Some(left) = room.checked_sub(size(&name, &value)) else { break };
            room = left;
            self.details.insert(name, value);
        }
    }

    /// Returns the details recorded of a call's arguments: their SHA-256, and never their content.
    pub fn details_of_call(arguments: &[u8]) -> Map<String, Value> {
        let hash = Sha256::digest(arguments);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Map::from_iter([("arguments_sha256".to_owned(), Value::String(hex))])
    }

    /// Returns the outcome that was set at creation.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Reports whether this is an act that was carried out, or may have been.
    pub fn is_act_in_force(&self) -> bool {
        self.sort == EntryKind::Act && matches!(self.outcome, Outcome::Done | Outcome::Unknown)
    }

    pub(super) fn sort(&self) -> EntryKind {
        self.sort
    }

    pub(super) fn action(&self) -> &'static str {
        self.action
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn member_id(&self) -> Option<&Arc<str>> {
        self.member_id.as_ref()
    }

    pub(super) fn key_id(&self) -> Option<&Arc<str>> {
        self.key_id.as_ref()
    }

    pub(super) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    pub(super) fn uid(&self) -> Option<u32> {
        self.uid
    }

    /// Serializes the entry as its line, with its number and its time.
    pub(super) fn line(&self, number: u64, at: &str) -> Vec<u8> {
        // Only plain values: serialization cannot fail.
        let mut line = serde_json::to_vec(&AuditLine { number, at, entry: self }).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// An act or a refusal, as the audit has it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AuditEntry"))]
pub(crate) struct AuditLine<'a> {
    /// Number of the entry, which counts up.
    number: u64,
    /// Time at which it was recorded.
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    at: &'a str,
    #[serde(flatten)]
    entry: &'a AuditEntry,
}

/// Cuts a text to at most [`MAX_TEXT`] characters.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_TEXT - 1).chain(MORE.chars()).collect(),
    }
}

/// Bounds the texts, arrays, objects and depth of a value.
fn bounded(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) => Value::String(cut(&text)),
        Value::Array(_) | Value::Object(_) if depth == 0 => Value::from(MORE),
        Value::Array(items) => {
            let more = items.len().saturating_sub(MAX_ITEMS);
            let mut kept: Vec<Value> =
                items.into_iter().take(MAX_ITEMS).map(|item| bounded(item, depth - 1)).collect();
            if more > 0 {
                kept.push(format!("{MORE} {more} more").into());
            }
            Value::Array(kept)
        }
        Value::Object(members) => {
            let more = members.len().saturating_sub(MAX_ITEMS);
            let mut kept: Map<String, Value> = members
                .into_iter()
                .take(MAX_ITEMS)
                .map(|(name, member)| (cut(&name), bounded(member, depth - 1)))
                .collect();
            if more > 0 {
                kept.insert(MORE.to_owned(), format!("{more} more").into());
            }
            Value::Object(kept)
        }
        plain => plain,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_one_line_and_leaves_out_what_is_not_known() {
        let entry = AuditEntry::of_daemon("servers_file.apply", "/a\nb", Outcome::Done);
        let line = String::from_utf8(entry.line(7, "2026-11-25T00:00:00Z")).expect("UTF-8");
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).expect("JSON");
        let expected = json!({
            "number": 7, "at": "2026-11-25T00:00:00Z", "action": "servers_file.apply", "target": "/a\nb",
            "outcome": "done",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn what_strangers_wrote_is_cut_wherever_it_stands() {
        let long = "é".repeat(1_000_000);
        let details = json!({
            "text": long, "list": vec!["x"; 1_000], "deep": {"a": {"b": {"c": {"d": {"e": 1}}}}},
        });
        let Value::Object(details) = details else { unreachable!() };
        let entry = AuditEntry::new(EntryKind::Act, "server.add", &long, Outcome::Failed)
            .answered(Some(400), &long)
            .with(details);
        let line: Value = serde_json::from_slice(&entry.line(1, "now")).expect("JSON");
        for text in [&line["target"], &line["request_id"], &line["details"]["text"]] {
            let text = text.as_str().expect("a text");
            assert_eq!((text.chars().count(), text.ends_with(MORE)), (MAX_TEXT, true));
        }
        assert_eq!(line["details"]["list"].as_array().expect("a list").len(), MAX_ITEMS + 1);
        assert_eq!(line["details"]["list"][MAX_ITEMS], "… 950 more");
        assert_eq!(line["details"]["deep"]["a"]["b"]["c"]["d"], MORE);
        assert_eq!(cut(&"x".repeat(MAX_TEXT)), "x".repeat(MAX_TEXT));
    }

    #[test]
    fn what_is_short_stays_in_a_shortened_entry_and_what_is_long_is_left_out() {
        let details =
            json!({"id": "key_1", "name": "x", "tools": vec!["t".repeat(150); 42], "owner_id": "joe"});
        let Value::Object(details) = details else { unreachable!() };
        let entry = AuditEntry::new(EntryKind::Act, "key.change", "key_1", Outcome::Done).with(details);
        let whole = entry.line(1, "now").len();
        let short: Value = serde_json::from_slice(&entry.shortened().line(1, "now")).expect("JSON");
        assert_eq!(short["details"], json!({"id": "key_1", "name": "x", "tools": MORE, "owner_id": "joe"}));
        assert!(whole > 6 * 1024);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            ".{0,250}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 100, 60, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..60).prop_map(Value::from),
                prop::collection::btree_map(".{0,250}", inner, 0..60)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// `docs/security.md` promises this length.
        #[test]
        fn no_line_is_longer_than_sixteen_kib(
            target in any::<String>(), members in prop::collection::vec((".{0,300}", any_json()), 0..60),
        ) {
            let entry = AuditEntry::new(EntryKind::Act, "servers_file.apply", &target, Outcome::Done)
                .from(IpAddr::from([255; 16]), Some(u32::MAX))
                .answered(Some(200), &"\u{1}".repeat(500))
                .with(members.into_iter().collect());
            prop_assert!(entry.line(u64::MAX, "2026-11-25T00:00:00Z").len() <= 16 * 1024);
        }
    }
}
