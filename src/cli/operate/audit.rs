//! `mcpvisor audit`: who did what, and what was refused.

use serde_json::Value;

use super::console::Console;
use super::screen::{Colour, Style};
use super::table::{Cell, Fit, Table};
use super::words::{plain, read_span};
use crate::cli::client::Problem;

/// Lines of the audit to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Number of the newest lines.
    pub lines: usize,
    /// Action, or the beginning of several up to a dot. `None` for all.
    pub action: Option<String>,
    /// Outcome. `None` for all.
    pub outcome: Option<String>,
    /// Id of the member who did it. `None` for all.
    pub member: Option<String>,
    /// Id of the key that was used. `None` for all.
    pub key: Option<String>,
    /// Age or moment of the oldest line. `None` for any.
    pub since: Option<String>,
    /// Age or moment of the newest line. `None` for any.
    pub until: Option<String>,
}

/// Shows the lines, the newest first.
pub(super) async fn run(console: &Console, query: &AuditQuery) -> Result<(), Problem> {
    let filters = [
        ("action", &query.action),
        ("outcome", &query.outcome),
        ("member_id", &query.member),
        ("key_id", &query.key),
    ];
    let ends = (query.since.as_deref(), query.until.as_deref());
    let span = read_span(ends, (console.now)()).map_err(Problem::Usage)?;
    let filters = filters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
    let span = span.iter().map(|(name, moment)| (*name, moment.as_str()));
    let filters: Vec<(&str, &str)> = filters.chain(span).collect();
    let lines = console.daemon.pages("/v1/audit", &filters, query.lines).await?;
    let document = Value::Array(lines);
    console.screen.show(&document, |style| table(&document, style))
}

fn table(lines: &Value, style: &Style) -> String {
    let mut table = Table::new(&[
        ("AT", Fit::Whole),
        ("ACTION", Fit::Whole),
        ("TARGET", Fit::Cut(16)),
        ("OUTCOME", Fit::Whole),
        ("STATUS", Fit::Optional),
        ("MEMBER", Fit::Cut(16)),
        ("KEY", Fit::Optional),
        ("PEER", Fit::Optional),
    ]);
    for line in lines.as_array().into_iter().flatten() {
        let outcome = plain(&line["outcome"]);
        let colour = match outcome.as_str() {
            "done" => None,
            "refused" | "failed" => Some(Colour::Red),
            _ => Some(Colour::Yellow),
        };
        let cell = |member: &str| Cell::from(plain(&line[member]));
        let key = plain(&line["key_id"]);
        table.row([
            cell("at"),
            cell("action"),
            cell("target"),
            Cell::painted(&outcome, colour),
            cell("status"),
            cell("member_id"),
            Cell::from(key),
            cell("peer"),
        ]);
    }
    table.text(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn acts_and_refusals_have_their_lines() {
        let lines = json!([
            {"number": 2, "at": "2026-11-30T08:00:00Z", "action": "server.add", "target": "a\u{1b}c", "outcome": "refused", "status": 401, "peer": "127.0.0.1"},
            {"number": 1, "at": "2026-11-30T07:00:00Z", "action": "key.create", "target": "Bob", "outcome": "done", "member_id": "user_owner", "key_id": "key_1"},
        ]);
        assert_eq!(
            table(&lines, &Style::PLAIN),
            "AT                    ACTION      TARGET    OUTCOME  STATUS  MEMBER      KEY    PEER\n\
             2026-11-30T08:00:00Z  server.add  a\\u{1b}c  refused  401     -           -      127.0.0.1\n\
             2026-11-30T07:00:00Z  key.create  Bob       done     -       user_owner  key_1  -\n"
        );
    }
}
