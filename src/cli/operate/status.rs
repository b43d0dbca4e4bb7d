//! `mcpvisor status SERVER`: how a server is, why, and what it said last.

use serde_json::Value;
use time::OffsetDateTime;

use super::console::Console;
use super::logs;
use super::screen::{Colour, Style, columns};
use super::words::{bytes, colour_of, first_line, plain, since};
use crate::cli::client::Problem;
use crate::text::{count_of, visible};

/// Number of the lines of the log that are shown.
const LOG_LINES: usize = 10;

/// Returns the picture of a server. As JSON it is what the API says of it, with the last lines of its `log`.
pub(super) async fn picture(console: &Console, name: &str) -> Result<String, Problem> {
    let mut server = console.server(name).await?;
    // A log is for administrators; the rest is for everybody who may see the server.
    match logs::lines(console, name, LOG_LINES).await {
        Ok(lines) => server["log"] = Value::Array(lines),
        Err(Problem::Refused(refusal)) if refusal.status == 403 => {}
        Err(problem) => return Err(problem),
    }
    let now = (console.now)();
    Ok(console.screen.text(&server, |style| text(&server, style, now)))
}

/// Lines of a name and a value, the names flush right.
struct DetailLines<'a> {
    style: &'a Style,
    text: String,
}

/// Columns of the names.
const NAMES: usize = 12;

impl DetailLines<'_> {
    /// Adds a fact, unless it is empty. A value of several lines stands below itself.
    fn add(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let blanks = " ".repeat(NAMES.saturating_sub(columns(name)));
        let value = self.style.foreign(value).replace('\n', &format!("\n{}", " ".repeat(NAMES + 2)));
        self.text += &format!("{blanks}{name}: {value}\n");
    }

    /// Adds lines under a head, unless there are none.
    fn lines(&mut self, head: &str, lines: &Value) {
        let lines: Vec<&str> = lines.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if lines.is_empty() {
            return;
        }
        self.text += &format!("\n{}\n", self.style.paint(Colour::Bold, head));
        lines.iter().for_each(|line| self.text += &format!("  {}\n", self.style.foreign(line)));
    }
}

fn text(server: &Value, style: &Style, now: OffsetDateTime) -> String {
    let (state, supervision) = (plain(&server["state"]), &server["supervision"]);
    let colour = colour_of(&state).unwrap_or(Colour::Bold);
    let name = server["name"].as_str().unwrap_or_default();
    let description =
        server["description"].as_str().map_or_else(String::new, |text| format!(" - {}", first_line(text)));
    let title = format!("{name}{description}");
    let mut facts =
        DetailLines { style, text: format!("{} {}\n", style.paint(colour, "●"), visible(&title, false)) };
    let phase = server["phase"].as_str().map_or_else(String::new, |phase| format!(" ({phase})"));
    let shown = style.paint(colour, &format!("{state}{phase}"));
    facts.text +=
        &format!("{}State: {shown} since {}\n", " ".repeat(NAMES - 5), since(&supervision["since"], now));
    let code = server["cause_code"].as_str().map_or_else(String::new, |code| format!(" [{code}]"));
    facts.add("Cause", &server["cause"].as_str().map_or_else(String::new, |cause| format!("{cause}{code}")));
    facts.add("Fix", &plain(&server["fix"]));
    if !supervision["next_start_at"].is_null() {
        facts.add("Next start", &since(&supervision["next_start_at"], now));
    }
    add_update(&mut facts, &supervision["update"], now);
    facts.add("Address", &plain(&server["endpoint_url"]));
    facts.add("PID", &process(server));
    let failures = supervision["failures"].as_u64().filter(|failures| *failures > 0);
    let failures =
        failures.map_or_else(String::new, |failures| format!(", {} in a row", count_of(failures, "failure")));
    facts.add("Restarts", &format!("{}{failures}", plain(&server["restarts"])));
    facts.add("Speaks", &speaks(server));
    facts.add("Offers", &offers(server));
    facts.add("Calls", &calls(server));
    for (name, remarks) in [("Remark", &supervision["remarks"]), ("Not enforced", &supervision["unenforced"])]
    {
        remarks.as_array().into_iter().flatten().for_each(|remark| facts.add(name, &plain(remark)));
    }
    if state != "ready" {
        facts.lines("first lines of the last child", &supervision["first_stderr"]);
        // They are the end of the log, for whoever may see that.
        if server["log"].as_array().is_none_or(Vec::is_empty) {
            facts.lines("last lines of the last child", &supervision["last_stderr"]);
        }
    }
    facts.lines("last lines of the changed definition's child", &supervision["update"]["last_stderr"]);
    if let Some(log) = server["log"].as_array().filter(|log| !log.is_empty()) {
        facts.text += &format!("\n{}", logs::text(log, style));
    }
    facts.text
}

/// Adds an edit that has yet to take over.
fn add_update(facts: &mut DetailLines<'_>, update: &Value, now: OffsetDateTime) {
    if update.is_object() {
        let cause = update["cause"].as_str().map_or_else(String::new, |cause| format!(": {cause}"));
        let state = plain(&update["state"]);
        facts.add("Update", &format!("{state}{cause}, since {}", since(&update["since"], now)));
    }
}

fn process(server: &Value) -> String {
    let tree = &server["tree"];
    match (server["supervision"]["pid"].as_u64(), tree["processes"].as_u64()) {
        (Some(pid), Some(processes)) => format!(
            "{pid} ({}, {}, {} s CPU)",
            if processes == 1 { "1 process".to_owned() } else { format!("{processes} processes") },
            bytes(tree["rss_bytes"].as_u64().unwrap_or_default()),
            plain(&tree["cpu_seconds"]),
        ),
        (Some(pid), None) => pid.to_string(),
        (None, _) => String::new(),
    }
}

fn speaks(server: &Value) -> String {
    let Some(version) = server["protocol_version"].as_str() else { return plain(&server["transport"]) };
    let info = &server["server_info"];
    let own = [plain(&info["name"]), plain(&info["version"])].join(" ");
    let own = own.trim();
    let by = if own.is_empty() { String::new() } else { format!(", {own}") };
    format!("MCP {version} by {}{by}", plain(&server["transport"]))
}

fn offers(server: &Value) -> String {
    let tools = server["tools"].as_array().map_or(0, Vec::len) as u64;
    let number = |member: &str| server[member].as_u64().unwrap_or_default();
    let (pins, mode) = (&server["pins"], plain(&server["pins"]["mode"]));
    let differ: u64 = ["changed", "new", "gone"].iter().filter_map(|state| pins[*state].as_u64()).sum();
    let differ = if differ == 0 || mode == "off" {
        String::new()
    } else {
        format!("; {} not as approved: `mcpvisor pins diff`", count_of(differ, "tool"))
    };
    let resources = count_of(number("resources_count"), "resource");
    format!(
        "{}, {resources}, {}{differ}",
        count_of(tools, "tool"),
        count_of(number("prompts_count"), "prompt")
    )
}

fn calls(server: &Value) -> String {
    let (stats, traffic) = (&server["stats"], &server["traffic"]);
    let mut told = format!(
        "{} ({} today), {} in flight, {} queued",
        plain(&stats["total_requests"]),
        plain(&stats["requests_today"]),
        plain(&traffic["in_flight"]),
        plain(&traffic["queued"]),
    );
    if let Some(rate) = stats["error_rate"].as_f64().filter(|rate| *rate > 0.0) {
        told += &format!(", {:.0} % failed", rate * 100.0);
    }
    if let Some(mean) = stats["avg_latency_ms"].as_u64() {
        told += &format!(", {mean} ms each");
    }
    match traffic["breaker"].as_str() {
        None | Some("closed") => told,
        Some(breaker) => {
            format!("{told}; breaker {} {}", breaker.replace('_', " "), plain(&traffic["breaker_until"]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment")
    }

    #[test]
    fn a_server_that_is_well_is_told_in_a_screen() {
        let server = json!({
            "name": "demo", "description": "A demo", "state": "ready", "cause": null, "transport": "stdio", "restarts": 1,
            "protocol_version": "2026-07-28", "server_info": {"name": "d", "version": null}, "resources_count": 1, "prompts_count": 0,
            "supervision": {"since": "2026-11-30T07:00:00Z", "pid": 42, "failures": 0, "next_start_at": null, "last_stderr": ["old"]},
            "tree": {"processes": 2, "rss_bytes": 2_097_152, "cpu_seconds": 0.25}, "tools": [{}],
            "stats": {"total_requests": 3, "requests_today": 1, "error_rate": 0.25, "avg_latency_ms": 7},
            "traffic": {"in_flight": 0, "queued": 0, "breaker": "closed"}, "pins": {"mode": "warn", "changed": 1, "new": 0, "gone": 0},
            "log": [{"at": "2026-11-30T07:00:00Z", "incarnation": 2, "stream": "stderr", "line": "hello"}],
        });
        assert_eq!(
            text(&server, &Style::PLAIN, now()),
            "● demo - A demo\n       State: ready since 2026-11-30T07:00:00Z (1h ago)\n         PID: 42 (2 processes, 2.0 MiB, 0.25 s CPU)\n    \
             Restarts: 1\n      Speaks: MCP 2026-07-28 by stdio, d\n      \
             Offers: 1 tool, 1 resource, 0 prompts; 1 tool not as approved: `mcpvisor pins diff`\n       \
             Calls: 3 (1 today), 0 in flight, 0 queued, 25 % failed, 7 ms each\n\n2026-11-30T07:00:00Z 2 stderr hello\n"
        );
    }

    #[test]
    fn a_server_that_is_not_well_says_why_and_steers_no_terminal() {
        let server = json!({
            "name": "x\u{1b}c", "state": "backoff", "cause": "exited\nwith \u{9b}2J", "cause_code": "exited", "restarts": 4,
            "supervision": {"since": "2026-11-30T07:59:00Z", "failures": 5, "next_start_at": "2026-11-30T08:01:00Z",
                "first_stderr": ["a\u{202e}"], "last_stderr": ["b"],
                "update": {"state": "failed", "since": "2026-11-30T07:59:00Z", "cause": "gone", "last_stderr": []}},
        });
        let shown = text(&server, &Style { width: Some(80), colours: false }, now());
        for told in [
            "● x\\u{1b}c\n",
            "       Cause: exited\n              with \\u{9b}2J [exited]\n",
            "  Next start: 2026-11-30T08:01:00Z (in 1m)\n",
            "      Update: failed: gone, since 2026-11-30T07:59:00Z (1m ago)\n",
            "    Restarts: 4, 5 failures in a row\n",
            "\nfirst lines of the last child\n  a\\u{202e}\n",
        ] {
            assert!(shown.contains(told), "{told:?} in {shown}");
        }
    }
}
