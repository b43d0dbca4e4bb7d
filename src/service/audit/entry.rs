//! One line of the audit. Pure, and the one place where what strangers wrote is cut to a bounded length.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::access::Principal;

/// The longest text in an entry, in characters.
pub(super) const MAX_TEXT: usize = 200;
/// The most items of an array, and members of an object, in an entry's details.
const MAX_ITEMS: usize = 50;
/// The deepest value in an entry's details.
const MAX_DEPTH: usize = 4;
/// The longest details of an entry, in bytes as they are written.
const MAX_DETAILS: usize = 8 * 1024;
/// The same of one that was shortened.
const SHORT_DETAILS: usize = 512;
/// What ends a text that was cut, and stands for what was left out.
const MORE: &str = "…";

/// How what was asked for ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not: who asked may not, or not as often.
    Refused,
    /// It was not, for another reason.
    Failed,
    /// It may or may not have been done: the caller left, the child ended, a defect came between.
    Unknown,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 4] = [Outcome::Done, Outcome::Refused, Outcome::Failed, Outcome::Unknown];

    /// Of an HTTP status.
    pub fn of_status(status: u16) -> Outcome {
        match status {
            ..=399 => Outcome::Done,
            401 | 403 | 429 => Outcome::Refused,
            _ => Outcome::Failed,
        }
    }

    /// The outcome's name, as in the API.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Refused => "refused",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
        }
    }
}

/// What sort of thing was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Something that changes what is configured or running.
    Act,
    /// A call, or a question that leads to calls.
    Call,
    /// A look at what may hold secrets, and everything that is worth a line only when it is refused.
    Look,
}

/// What is to be recorded. Its number and its time are given by the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    action: &'static str,
    target: String,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    details: Map<String, Value>,
    #[serde(skip)]
    sort: Sort,
}

impl AuditEntry {
    /// What was asked for (such as `key.create`), of what (an id, a name, a path), and how it ended.
    pub fn new(sort: Sort, action: &'static str, target: &str, outcome: Outcome) -> AuditEntry {
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

    /// Something that the daemon did of its own.
    pub fn of_daemon(action: &'static str, target: &str, outcome: Outcome) -> AuditEntry {
        AuditEntry::new(Sort::Act, action, target, outcome)
    }

    /// Says who asked: the member, and the key that it used.
    pub fn by(mut self, caller: &Principal) -> AuditEntry {
        self.member_id = Some(caller.member().id.clone());
        self.key_id = Some(caller.key_id().clone());
        self
    }

    /// The same by names, for tests.
    #[cfg(test)]
    pub(super) fn by_key(mut self, member: &str, key: &str) -> AuditEntry {
        (self.member_id, self.key_id) = (Some(member.into()), Some(key.into()));
        self
    }

    /// Says where the request came from, and which user of this machine sent it, where that is known.
    pub fn from(mut self, peer: IpAddr, uid: Option<u32>) -> AuditEntry {
        (self.peer, self.uid) = (Some(peer), uid);
        self
    }

    /// Names the request, as it is in the answer and the log, and the status of its answer, if it had one.
    pub fn answered(mut self, status: Option<u16>, request_id: &str) -> AuditEntry {
        (self.status, self.request_id) = (status, Some(cut(request_id)));
        self
    }

    /// Adds what else there is to say; never a secret. What is too long is cut.
    pub fn with(mut self, details: Map<String, Value>) -> AuditEntry {
        self.add(details, MAX_DETAILS);
        self
    }

    /// The same entry with less to say: of a member's further ones in a minute.
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

    /// What is told of a call's arguments: their SHA-256, and never what they say.
    pub fn details_of_call(arguments: &[u8]) -> Map<String, Value> {
        let hash = Sha256::digest(arguments);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Map::from_iter([("arguments_sha256".to_owned(), Value::String(hex))])
    }

    /// How it ended.
    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// Whether this is an act that was done, or may have been.
    pub fn is_act_in_force(&self) -> bool {
        self.sort == Sort::Act && matches!(self.outcome, Outcome::Done | Outcome::Unknown)
    }

    pub(super) fn sort(&self) -> Sort {
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

    /// Its line, with its number and its time.
    pub(super) fn line(&self, number: u64, at: &str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Line<'a> {
            number: u64,
            at: &'a str,
            #[serde(flatten)]
            entry: &'a AuditEntry,
        }
        // Plain values: this cannot fail.
        let mut line = serde_json::to_vec(&Line { number, at, entry: self }).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

/// A text of at most [`MAX_TEXT`] characters.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some(_) => text.chars().take(MAX_TEXT - 1).chain(MORE.chars()).collect(),
    }
}

/// A value whose texts, arrays, objects and depth are bounded.
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
        let entry = AuditEntry::new(Sort::Act, "server.add", &long, Outcome::Failed)
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
        let entry = AuditEntry::new(Sort::Act, "key.change", "key_1", Outcome::Done).with(details);
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
            let entry = AuditEntry::new(Sort::Act, "servers_file.apply", &target, Outcome::Done)
                .from(IpAddr::from([255; 16]), Some(u32::MAX))
                .answered(Some(200), &"\u{1}".repeat(500))
                .with(members.into_iter().collect());
            prop_assert!(entry.line(u64::MAX, "2026-11-25T00:00:00Z").len() <= 16 * 1024);
        }
    }
}
