//! `mcpvisor usage`: who called what, as sums.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::Value;
use time::OffsetDateTime;

use super::console::Console;
use super::screen::{Format, Style};
use super::table::{Cell, Fit, Table};
use super::words::{bytes, plain};
use crate::cli::client::Problem;
use crate::text::count_of;

/// What calls are summed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// The server that was called.
    #[default]
    Server,
    /// The tool that was called.
    Tool,
    /// The key that was used.
    Key,
    /// The day, in UTC.
    Day,
    /// How calls ended.
    Outcome,
}

/// Sums to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageQuery {
    /// Age of the oldest call. `None` for the period.
    pub since: Option<Duration>,
    /// Period of the calendar.
    pub period: String,
    /// What calls are summed by.
    pub by: By,
}

/// Shows the sums.
pub(super) async fn run(console: &Console, query: &UsageQuery) -> Result<(), Problem> {
    let now = (console.now)();
    let days = query.since.map(|since| span(since, now)).transpose().map_err(Problem::Usage)?;
    let pairs = match &days {
        Some((first, last)) => vec![("start_date", first.as_str()), ("end_date", last.as_str())],
        None => vec![("period", query.period.as_str())],
    };
    let mut answer = console.daemon.get("/v1/usage", &pairs).await?;
    let usage = answer["data"].take();
    if console.screen.format == Format::Table {
        console.screen.remark(&title(&usage));
    }
    console.screen.show(&usage, |style| table(&usage, query.by, style))
}

/// Returns the first and the last day of a span that ends now.
fn span(since: Duration, now: OffsetDateTime) -> Result<(String, String), String> {
    let first = time::Duration::try_from(since).ok().and_then(|since| now.checked_sub(since));
    let first = first.ok_or_else(|| "--since is too long ago".to_owned())?;
    Ok((first.date().to_string(), now.date().to_string()))
}

/// Returns what the sums are of: the API counts by whole days.
fn title(usage: &Value) -> String {
    let requests = &usage["requests"];
    let total = requests["total"].as_u64().unwrap_or_default();
    let failed = usage["by_status"]["error"].as_u64().filter(|failed| *failed > 0);
    let failed = failed.map_or_else(String::new, |failed| format!(", {failed} failed"));
    let limit = requests["limit"].as_u64().map_or_else(String::new, |limit| format!(" of {limit}"));
    let size = |member: &str| bytes(usage["bytes"][member].as_u64().unwrap_or_default());
    format!(
        "{}{limit}{failed}, {} of arguments, {} of results, from {} to {}",
        count_of(total, "call"),
        size("arguments"),
        size("results"),
        plain(&usage["start_date"]),
        plain(&usage["end_date"]),
    )
}

fn table(usage: &Value, by: By, style: &Style) -> String {
    let items = |member: &str| usage[member].as_array().cloned().unwrap_or_default();
    let or_id =
        |item: &Value, id: &str| item["name"].as_str().map_or_else(|| plain(&item[id]), str::to_owned);
    let name_of = |id: &Value| {
        items("by_mcp")
            .iter()
            .find(|server| server["mcp_id"] == *id)
            .map_or_else(|| plain(id), |it| or_id(it, "mcp_id"))
    };
    let measured = |item: &Value| {
        ["requests", "errors", "avg_latency_ms"].map(|member| Cell::from(plain(&item[member])))
    };
    let numbers = [("CALLS", Fit::Whole), ("FAILED", Fit::Whole), ("MEAN MS", Fit::Optional)];
    let mut table = Table::new(&match by {
        By::Server => [&[("SERVER", Fit::Cut(12))], &numbers[..]].concat(),
        By::Tool => [&[("SERVER", Fit::Cut(12)), ("TOOL", Fit::Cut(12))], &numbers[..]].concat(),
        By::Key => vec![("KEY", Fit::Cut(12)), ("NAME", Fit::Cut(12)), ("CALLS", Fit::Whole)],
        By::Day => vec![("DAY", Fit::Whole), ("CALLS", Fit::Whole)],
        By::Outcome => vec![("OUTCOME", Fit::Whole), ("CALLS", Fit::Whole)],
    });
    match by {
        By::Server => items("by_mcp").iter().for_each(|item| {
            table.row([Cell::from(or_id(item, "mcp_id"))].into_iter().chain(measured(item)));
        }),
        By::Tool => items("by_tool").iter().for_each(|item| {
            let names = [name_of(&item["mcp_id"]), plain(&item["tool"])].map(Cell::from);
            table.row(names.into_iter().chain(measured(item)));
        }),
        By::Key => items("by_api_key").iter().for_each(|item| {
            table.row(
                [plain(&item["key_id"]), plain(&item["name"]), plain(&item["requests"])].map(Cell::from),
            );
        }),
        By::Day => items("by_day").iter().for_each(|item| {
            table.row([plain(&item["date"]), plain(&item["requests"])].map(Cell::from));
        }),
        By::Outcome => usage["by_outcome"].as_object().into_iter().flatten().for_each(|(outcome, calls)| {
            table.row([Cell::from(outcome.as_str()), Cell::from(plain(calls))]);
        }),
    }
    table.text(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_summed_by_what_was_asked_for() {
        let usage = json!({
            "start_date": "2026-11-29T00:00:00Z", "end_date": "2026-11-30T23:59:59Z", "requests": {"total": 3, "limit": 10},
            "by_status": {"success": 2, "error": 1}, "bytes": {"arguments": 20, "results": 2048}, "by_outcome": {"ok": 2, "tool_error": 1},
            "by_mcp": [{"mcp_id": "mcp_1", "name": "demo", "requests": 3, "errors": 1, "avg_latency_ms": 4}],
            "by_tool": [{"mcp_id": "mcp_1", "tool": "add", "requests": 3, "errors": 1, "avg_latency_ms": 4}],
            "by_api_key": [{"key_id": "key_1", "name": null, "requests": 3}], "by_day": [{"date": "2026-11-30", "requests": 3}],
        });
        assert_eq!(
            title(&usage),
            "3 calls of 10, 1 failed, 20 B of arguments, 2.0 KiB of results, from 2026-11-29T00:00:00Z to 2026-11-30T23:59:59Z"
        );
        for (by, text) in [
            (By::Server, "SERVER  CALLS  FAILED  MEAN MS\ndemo    3      1       4\n"),
            (By::Tool, "SERVER  TOOL  CALLS  FAILED  MEAN MS\ndemo    add   3      1       4\n"),
            (By::Key, "KEY    NAME  CALLS\nkey_1  -     3\n"),
            (By::Day, "DAY         CALLS\n2026-11-30  3\n"),
            (By::Outcome, "OUTCOME     CALLS\nok          2\ntool_error  1\n"),
        ] {
            assert_eq!(table(&usage, by, &Style::PLAIN), text);
        }
    }

    #[test]
    fn a_span_has_whole_days() {
        let now = OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment");
        let span = |hours: u64| span(Duration::from_secs(hours * 3600), now);
        assert_eq!(span(1), Ok(("2026-11-30".to_owned(), "2026-11-30".to_owned())));
        assert_eq!(span(9), Ok(("2026-11-29".to_owned(), "2026-11-30".to_owned())));
        assert!(span(u64::MAX / 3600).is_err());
    }
}
