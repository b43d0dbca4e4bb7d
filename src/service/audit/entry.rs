//! One line of the audit. Pure.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

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
}

impl Outcome {
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
        }
    }
}

/// What is to be recorded. Its number and its time are given by the log.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditEntry {
    /// What was asked for, such as `key.create`.
    pub action: &'static str,
    /// Of what: an id, a name, a path.
    pub target: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The status of the answer, where it was asked for over HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The member that asked; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub member_id: Option<Arc<str>>,
    /// The key that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<Arc<str>>,
    /// The address that the request came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The request's id, as it is in the answer and the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What else there is to say; never a secret.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Value>,
}

impl AuditEntry {
    /// Something that the daemon did of its own.
    pub fn of_daemon(action: &'static str, target: impl Into<String>, outcome: Outcome) -> AuditEntry {
        AuditEntry {
            action,
            target: target.into(),
            outcome,
            status: None,
            member_id: None,
            key_id: None,
            peer: None,
            request_id: None,
            details: Map::new(),
        }
    }

    /// What is told of a call's arguments: their SHA-256, and never what they say.
    pub fn details_of_call(arguments: &[u8]) -> Map<String, Value> {
        let hash = Sha256::digest(arguments);
        let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Map::from_iter([("arguments_sha256".to_owned(), Value::String(hex))])
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_leaves_out_what_is_not_known() {
        let entry = AuditEntry::of_daemon("servers_file.apply", "/a\nb", Outcome::Done);
        let line = String::from_utf8(entry.line(7, "2026-11-25T00:00:00Z")).expect("UTF-8");
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).expect("JSON");
        let expected = serde_json::json!({
            "number": 7, "at": "2026-11-25T00:00:00Z", "action": "servers_file.apply", "target": "/a\nb",
            "outcome": "done",
        });
        assert_eq!(value, expected);
    }
}
