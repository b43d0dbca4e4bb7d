//! `mcpvisor usage`: who called what, as sums.

use clap::ValueEnum;
use serde_json::Value;

use super::console::Console;
use super::screen::{Format, Style};
use super::table::{Cell, Fit, Table};
use super::words::{bytes, plain, read_span};
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
    /// Age or moment of the oldest call. `None` for the period.
    pub since: Option<String>,
    /// Age or moment of the newest call. `None` for now.
    pub until: Option<String>,
    /// Period of the calendar.
    pub period: String,
    /// What calls are summed by, across each other.
    pub by: Vec<By>,
    /// Length of steps of time that are shown alone. `None` for the whole.
    pub step: Option<String>,
}

/// Shows the sums.
pub(super) async fn run(console: &Console, query: &UsageQuery) -> Result<(), Problem> {
    let ends = (query.since.as_deref(), query.until.as_deref());
    let mut pairs = read_span(ends, (console.now)()).map_err(Problem::Usage)?;
    if pairs.is_empty() {
        pairs.push(("period", query.period.clone()));
    }
    let groups = grouping(query).map_err(Problem::Usage)?;
    if let Some(by) = &groups {
        pairs.extend((!by.is_empty()).then(|| ("by", by.join(","))));
        pairs.extend(query.step.iter().map(|step| ("step", step.clone())));
    }
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut answer = console.daemon.get("/v1/usage", &pairs).await?;
    let usage = answer["data"].take();
    if console.screen.format == Format::Table {
        console.screen.remark(&title(&usage));
    }
    let by = query.by.first().copied().unwrap_or_default();
    console.screen.show(&usage, |style| match &groups {
        Some(by) => group_table(&usage, by, style),
        None => table(&usage, by, style),
    })
}

/// Returns what calls are to be grouped by, in the words of the API; `None` if they are summed by one thing.
fn grouping(query: &UsageQuery) -> Result<Option<Vec<&'static str>>, String> {
    if query.by.len() < 2 && query.step.is_none() {
        return Ok(None);
    }
    let word = |by: &By| match by {
        By::Server => Ok("server"),
        By::Tool => Ok("tool"),
        By::Key => Ok("key"),
        By::Day | By::Outcome => {
            Err("--by day and --by outcome go with nothing else: days are steps, --step 1d".to_owned())
        }
    };
    query.by.iter().map(word).collect::<Result<Vec<_>, _>>().map(Some)
}

/// Returns the table of groups.
fn group_table(usage: &Value, by: &[&str], style: &Style) -> String {
    let groups = usage["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut heads = Vec::new();
    if !usage["step_seconds"].is_null() {
        heads.push(("FROM", Fit::Whole));
    }
    heads.extend(by.iter().map(|by| match *by {
        "key" => ("KEY", Fit::Cut(12)),
        "server" => ("SERVER", Fit::Cut(12)),
        _ => ("TOOL", Fit::Cut(12)),
    }));
    heads.extend([("CALLS", Fit::Whole), ("FAILED", Fit::Whole), ("MEAN MS", Fit::Optional)]);
    let mut table = Table::new(&heads);
    let either = |group: &Value, name: &str, id: &str| {
        group[name].as_str().map_or_else(|| plain(&group[id]), str::to_owned)
    };
    for group in groups {
        let start = (!usage["step_seconds"].is_null()).then(|| Cell::from(plain(&group["start"])));
        let names = by.iter().map(|by| {
            Cell::from(match *by {
                "key" => either(group, "key_name", "key_id"),
                "server" => either(group, "mcp_name", "mcp_id"),
                _ => plain(&group["tool"]),
            })
        });
        let numbers =
            ["requests", "errors", "avg_latency_ms"].map(|member| Cell::from(plain(&group[member])));
        table.row(start.into_iter().chain(names).chain(numbers));
    }
    let left_out = usage["groups_left_out"].as_u64().unwrap_or_default();
    let more = if left_out > 0 { format!("and {left_out} more, with fewer calls\n") } else { String::new() };
    table.text(style) + &more
}

/// Returns what the sums are of, and in which whole lengths of time they are counted.
fn title(usage: &Value) -> String {
    let requests = &usage["requests"];
    let total = requests["total"].as_u64().unwrap_or_default();
    let failed = usage["by_status"]["error"].as_u64().filter(|failed| *failed > 0);
    let failed = failed.map_or_else(String::new, |failed| format!(", {failed} failed"));
    let limit = requests["limit"].as_u64().map_or_else(String::new, |limit| format!(" of {limit}"));
    let counted = match usage["resolution"].as_str() {
        Some(unit @ ("minute" | "hour")) => format!(", by whole {unit}s"),
        _ => String::new(),
    };
    let size = |member: &str| bytes(usage["bytes"][member].as_u64().unwrap_or_default());
    format!(
        "{}{limit}{failed}, {} of arguments, {} of results, from {} to {}{counted}",
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
    fn calls_are_summed_across_keys_servers_and_tools() {
        let usage = json!({"step_seconds": 300, "groups_left_out": 2, "groups": [
            {"start": "2026-11-30T08:00:00Z", "key_id": "key_1", "key_name": "Bob", "mcp_id": "mcp_1", "tool": "add\u{7}",
             "requests": 3, "errors": 1, "avg_latency_ms": 4},
        ]});
        assert_eq!(
            group_table(&usage, &["key", "server", "tool"], &Style::PLAIN),
            "FROM                  KEY  SERVER  TOOL      CALLS  FAILED  MEAN MS\n\
             2026-11-30T08:00:00Z  Bob  mcp_1   add\\u{7}  3      1       4\nand 2 more, with fewer calls\n"
        );
        let by = |by: &[By], step: Option<&str>| {
            grouping(&UsageQuery { by: by.to_vec(), step: step.map(str::to_owned), ..UsageQuery::default() })
        };
        assert_eq!(by(&[By::Server], None), Ok(None));
        assert_eq!(by(&[By::Server], Some("5m")), Ok(Some(vec!["server"])));
        assert_eq!(by(&[By::Key, By::Tool], None), Ok(Some(vec!["key", "tool"])));
        assert!(by(&[By::Key, By::Day], None).is_err());
    }
}
