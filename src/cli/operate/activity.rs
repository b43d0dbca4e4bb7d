//! `mcpvisor activity`: who called what, when, how long and how it ended.

use reqwest::Method;
use serde_json::Value;

use super::console::Console;
use super::follow::{self, Followed};
use super::screen::{Colour, Style};
use super::table::{Cell, Fit, Table};
use super::words::{plain, read_span};
use crate::cli::client::Problem;

/// Most calls of a page.
const PAGE: usize = 1000;

/// Calls to show.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityQuery {
    /// Number of the newest calls.
    pub lines: usize,
    /// `true` to go on with the calls to come.
    pub follow: bool,
    /// Age or moment of the oldest call. `None` for any.
    pub since: Option<String>,
    /// Age or moment of the newest call. `None` for any.
    pub until: Option<String>,
    /// Filters, by the names of the API's parameters.
    pub filters: Vec<(&'static str, String)>,
}

/// Shows the calls, the newest first, or as they come.
pub(super) async fn run(console: &Console, query: &ActivityQuery) -> Result<(), Problem> {
    let ends = (query.since.as_deref(), query.until.as_deref());
    let mut pairs = read_span(ends, (console.now)()).map_err(Problem::Usage)?;
    pairs.extend(query.filters.iter().cloned());
    if query.follow {
        return follow(console, pairs, query.lines.min(PAGE)).await;
    }
    let document = Value::Array(newest(console, pairs, query.lines).await?);
    console.screen.show(&document, |style| table(&document, style))
}

/// Returns the newest calls, at most so many.
async fn newest(
    console: &Console,
    pairs: Vec<(&'static str, String)>,
    most: usize,
) -> Result<Vec<Value>, Problem> {
    let (mut calls, mut cursor) = (Vec::new(), None::<u64>);
    while calls.len() < most {
        let mut pairs = pairs.clone();
        pairs.push(("limit", (most - calls.len()).min(PAGE).to_string()));
        pairs.extend(cursor.map(|cursor| ("cursor", cursor.to_string())));
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut answer = console.daemon.get("/v1/activity", &pairs).await?;
        let data = answer["data"].take();
        calls.extend(data["calls"].as_array().into_iter().flatten().cloned());
        if data["kept"]["most"] == 0 {
            console.screen.remark("(the daemon keeps no calls: its activity.calls is 0)");
        }
        match data["next_cursor"].as_u64() {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    Ok(calls)
}

async fn follow(console: &Console, pairs: Vec<(&'static str, String)>, tail: usize) -> Result<(), Problem> {
    let mut url = console.daemon.path("/v1/activity")?;
    let tail = tail.to_string();
    url.query_pairs_mut().extend_pairs(pairs).extend_pairs([("follow", "true"), ("limit", &tail)]);
    let response = console.daemon.send(Method::GET, url, None).await?;
    let followed = Followed { subject: "activity is", unit: "calls", mark: "outcome" };
    follow::follow(console, response, &followed, |data, call| {
        console.screen.show_item(data, |style| line(call, style))
    })
    .await
}

/// Returns the colour of an outcome.
fn colour(call: &Value) -> Option<Colour> {
    match call["outcome"].as_str() {
        Some("ok") => None,
        Some("cancelled" | "tool_error") => Some(Colour::Yellow),
        _ => Some(Colour::Red),
    }
}

/// Returns a duration in milliseconds, as exact as one looks at it.
fn duration(call: &Value) -> String {
    let ms = call["duration_ms"].as_f64().unwrap_or_default();
    if ms < 10.0 { format!("{ms:.1}") } else { format!("{ms:.0}") }
}

/// Returns what was called: a server and its tool, or what else was asked of it.
fn target(call: &Value) -> String {
    let what = call["tool"].as_str().map_or_else(|| format!("({})", plain(&call["kind"])), str::to_owned);
    format!("{}.{what}", plain(&call["mcp_name"]))
}

/// Returns a call on a line of its own.
fn line(call: &Value, style: &Style) -> String {
    let outcome = plain(&call["outcome"]);
    let shown = colour(call).map_or_else(|| outcome.clone(), |colour| style.paint(colour, &outcome));
    format!(
        "{} {} {} {shown} {} ms\n",
        style.paint(Colour::Dim, &plain(&call["started_at"])),
        Cell::from(plain(&call["key_name"])).text(),
        Cell::from(target(call)).text(),
        duration(call),
    )
}

fn table(calls: &Value, style: &Style) -> String {
    let mut table = Table::new(&[
        ("STARTED", Fit::Whole),
        ("KEY", Fit::Cut(12)),
        ("SERVER", Fit::Cut(12)),
        ("TOOL", Fit::Cut(12)),
        ("OUTCOME", Fit::Whole),
        ("MS", Fit::Whole),
        ("DIALECT", Fit::Optional),
        ("REQUEST", Fit::Optional),
    ]);
    for call in calls.as_array().into_iter().flatten() {
        let what = call["tool"].as_str().map_or_else(|| format!("({})", plain(&call["kind"])), str::to_owned);
        table.row([
            Cell::from(plain(&call["started_at"])),
            Cell::from(plain(&call["key_name"])),
            Cell::from(plain(&call["mcp_name"])),
            Cell::from(what),
            Cell::painted(&plain(&call["outcome"]), colour(call)),
            Cell::from(duration(call)),
            Cell::from(plain(&call["dialect"])),
            Cell::from(plain(&call["request_id"])),
        ]);
    }
    table.text(style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_say_who_called_what_and_how_it_ended_and_steer_no_terminal() {
        let calls = json!([
            {"number": 2, "started_at": "2026-11-30T08:00:00.123Z", "duration_ms": 1.25, "dialect": "mcp", "kind": "tool",
             "mcp_name": "demo", "tool": "a\u{1b}[2Jb", "outcome": "timed_out", "key_name": "Bob\n", "request_id": "req_1"},
            {"number": 1, "started_at": "2026-11-30T07:00:00.000Z", "duration_ms": 1234.5, "dialect": "plexmcp",
             "kind": "resource", "mcp_name": "demo", "tool": null, "outcome": "ok", "key_name": "owner", "request_id": "req_0"},
        ]);
        assert_eq!(
            table(&calls, &Style::PLAIN),
            "STARTED                   KEY       SERVER  TOOL         OUTCOME    MS    DIALECT  REQUEST\n\
             2026-11-30T08:00:00.123Z  Bob\\u{a}  demo    a\\u{1b}[2Jb  timed_out  1.2   mcp      req_1\n\
             2026-11-30T07:00:00.000Z  owner     demo    (resource)   ok         1234  plexmcp  req_0\n"
        );
        assert_eq!(
            line(&calls[0], &Style::PLAIN),
            "2026-11-30T08:00:00.123Z Bob\\u{a} demo.a\\u{1b}[2Jb timed_out 1.2 ms\n"
        );
    }
}
