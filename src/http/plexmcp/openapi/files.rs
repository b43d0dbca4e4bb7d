//! Descriptions of the routes that answer with a file for owners to keep.

use serde_json::{Value, json};

use crate::http::core::openapi::{Answer, Operation, described, reading};

/// Returns the description of a route that answers with a file; `None` for others.
pub(super) fn describe(method: &str, path: &str) -> Option<Operation> {
    Some(match (method, path) {
        ("POST", "/v1/backup") => kept_file(
            ("makeBackup", "Make a backup", "The backup, with its checksum."),
            "All that is configured as of one change, and what was counted: a file that `mcpvisor restore` takes. Secrets that are \
             written into definitions are in it, of keys only their SHA-256. One is made at a time; for an owner's key \
             without limits.",
            described(
                json!({"type": "object"}),
                "A backup, of which only its checksum says that it is whole.",
            ),
            vec![408, 409, 413],
        ),
        ("POST", "/v1/export") => kept_file(
            ("exportServers", "Export the servers", "The servers file."),
            "All servers as they were defined, with references left as they are: a servers file, which a daemon and many \
             clients take. Secrets that are written into definitions are in it; for an owner's key without limits.",
            json!({"type": "object", "properties": {"mcpServers": {"type": "object"}}, "required": ["mcpServers"]}),
            vec![408, 413],
        ),
        _ => return None,
    })
}

/// Describes a route that answers with a file, which nobody on its way may keep.
fn kept_file(
    (id, summary, answer): (&'static str, &'static str, &'static str),
    description: &'static str,
    content: Value,
    errors: Vec<u16>,
) -> Operation {
    Operation {
        description,
        errors,
        ..reading(
            id,
            "Backup",
            summary,
            Answer {
                content: vec![("application/json", json!({"schema": content}))],
                headers: &["Cache-Control"],
                ..Answer::json(200, answer, Value::Null)
            },
        )
    }
}
