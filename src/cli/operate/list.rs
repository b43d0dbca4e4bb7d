//! `mcpvisor list`, and `mcpvisor status` of the daemon as a whole.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::console::Console;
use super::screen::{Colour, Style};
use super::table::{Cell, Fit, Table};
use super::words::{age, colour_of, first_line, plain};
use crate::cli::client::Problem;
use crate::text::count_of;

/// Returns the picture of all servers.
pub(super) async fn list(console: &Console) -> Result<String, Problem> {
    let servers = console.servers().await?;
    let (now, document) = ((console.now)(), Value::Array(servers));
    let servers = document.as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(console.screen.text(&document, |style| table(servers, style, now)))
}

fn table(servers: &[Value], style: &Style, now: OffsetDateTime) -> String {
    if servers.is_empty() {
        return "no servers; add one with `mcpvisor add npx:PACKAGE`, `mcpvisor add URL` or `mcpvisor add -- COMMAND`\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ("NAME", Fit::Cut(12)),
        ("STATE", Fit::Whole),
        ("SINCE", Fit::Optional),
        ("RESTARTS", Fit::Optional),
        ("TOOLS", Fit::Optional),
        ("TRANSPORT", Fit::Optional),
        ("CAUSE", Fit::Cut(30)),
    ]);
    for server in servers {
        table.row([
            Cell::from(plain(&server["name"])),
            state(server),
            Cell::from(age(&server["since"], now)),
            Cell::from(plain(&server["restarts"])),
            Cell::from(plain(&server["tools_count"])),
            Cell::from(plain(&server["transport"])),
            Cell::from(first_line(server["cause"].as_str().unwrap_or_default())),
        ]);
    }
    table.text(style) + &hints(servers, style)
}

/// Most servers whose fix is told below the list.
const MAX_HINTS: usize = 5;

/// Returns what to do about servers that are not well and for which that is known, for people: a line each.
fn hints(servers: &[Value], style: &Style) -> String {
    // A program has it as `fix`, and lines of a table stay lines of servers.
    if style.width.is_none() {
        return String::new();
    }
    let told = servers.iter().filter_map(|server| Some((plain(&server["name"]), server["fix"].as_str()?)));
    let (mut text, told) = (String::new(), told.collect::<Vec<_>>());
    for (name, fix) in told.iter().take(MAX_HINTS) {
        let fix = fix.split_once(". ").map_or(*fix, |(first, _)| first);
        let line = format!("{name}: {}", first_line(fix).trim_end_matches('.'));
        text += &format!("{}\n", style.paint(Colour::Dim, &style.foreign(&line.replace('\n', " "))));
    }
    match told.is_empty() {
        true => text,
        false => format!("\n{text}{}\n", style.paint(Colour::Dim, "`mcpvisor doctor` says more")),
    }
}

/// Returns the cell of a server's state, with how far it is if it starts.
pub(super) fn state(server: &Value) -> Cell {
    let state = server["state"].as_str().unwrap_or_default();
    let text = server["phase"].as_str().map(|phase| format!("{state} ({phase})"));
    Cell::painted(text.as_deref().unwrap_or(state), colour_of(state))
}

/// Returns the picture of the daemon and its servers.
pub(super) async fn summary(console: &Console) -> Result<String, Problem> {
    let daemon = &console.daemon;
    let health = daemon.get("/healthz", &[]).await?;
    let readiness = match daemon.get("/readyz", &[]).await {
        Err(Problem::Refused(refusal)) if refusal.status == 503 => refusal.body,
        readiness => readiness?,
    };
    let servers = console.servers().await?;
    let document = json!({
        "address": daemon.shown(), "version": health["version"], "readiness": readiness, "servers": servers,
    });
    Ok(console.screen.text(&document, |style| summed_up(&document, style)))
}

/// States in which a server is well, or as somebody wants it.
const WELL: [&str; 4] = ["ready", "idle", "disabled", "stopped"];

fn summed_up(document: &Value, style: &Style) -> String {
    let readiness = &document["readiness"];
    let status = readiness["status"].as_str().unwrap_or("unknown");
    let colour = match status {
        "ready" => Colour::Green,
        "degraded" => Colour::Red,
        _ => Colour::Yellow,
    };
    let mut text = format!(
        "{} mcpvisor {} at {}: {}\n",
        style.paint(colour, "●"),
        plain(&document["version"]),
        plain(&document["address"]),
        style.paint(colour, &status.replace('_', " ")),
    );
    for reasons in [&readiness["problems"], &readiness["waiting_for"]] {
        let told = reasons.as_array().into_iter().flatten().filter_map(Value::as_str);
        told.for_each(|reason| text += &format!("  {}\n", style.foreign(reason)));
    }
    let servers = document["servers"].as_array().map(Vec::as_slice).unwrap_or_default();
    text += &format!("  {}\n", counted(servers));
    let (calls, restarts) = (sum(servers, "request_count"), sum(servers, "restarts"));
    text += &format!("  {}, {}\n", count_of(calls, "call"), count_of(restarts, "restart"));
    // One that serves has a cause when a changed definition of it does not come up.
    let is_ill = |server: &&Value| match server["state"].as_str() {
        Some("ready") => server["cause"].is_string(),
        state => !WELL.iter().any(|well| state == Some(well)),
    };
    let ill: Vec<Value> = servers.iter().filter(is_ill).cloned().collect();
    if !ill.is_empty() {
        text += &format!("\n{}", of_the_ill(&ill, style));
    }
    text
}

/// Returns how many servers there are, and how many in which state.
pub(super) fn counted(servers: &[Value]) -> String {
    let mut states: Vec<(&str, u64)> = Vec::new();
    for state in servers.iter().filter_map(|server| server["state"].as_str()) {
        match states.iter_mut().find(|(known, _)| *known == state) {
            Some((_, number)) => *number += 1,
            None => states.push((state, 1)),
        }
    }
    states.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let told: Vec<String> = states.iter().map(|(state, number)| format!("{number} {state}")).collect();
    let all = count_of(servers.len() as u64, "server");
    if told.is_empty() { all } else { format!("{all}: {}", told.join(", ")) }
}

fn sum(servers: &[Value], member: &str) -> u64 {
    servers.iter().filter_map(|server| server[member].as_u64()).sum()
}

fn of_the_ill(servers: &[Value], style: &Style) -> String {
    let mut table = Table::new(&[("NAME", Fit::Cut(12)), ("STATE", Fit::Whole), ("CAUSE", Fit::Cut(30))]);
    for server in servers {
        let cause = server["cause"].as_str().unwrap_or_default();
        table.row([Cell::from(plain(&server["name"])), state(server), Cell::from(first_line(cause))]);
    }
    table.text(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment")
    }

    fn servers() -> Vec<Value> {
        vec![
            json!({"name": "demo", "state": "ready", "restarts": 0, "transport": "stdio", "cause": null, "request_count": 2,
                "tools_count": 2, "since": "2026-11-30T07:00:00Z"}),
            json!({"name": "slow", "state": "starting", "phase": "installing", "restarts": 1, "transport": "stdio",
                "cause": "last: exited with code 1\u{1b}[2J\nand more", "request_count": 0}),
        ]
    }

    #[test]
    fn a_server_has_a_line_and_what_is_not_known_is_a_dash() {
        let shown = table(&servers(), &Style::PLAIN, now());
        assert_eq!(
            shown,
            "NAME  STATE                  SINCE  RESTARTS  TOOLS  TRANSPORT  CAUSE\n\
             demo  ready                  1h     0         2      stdio      -\n\
             slow  starting (installing)  -      1         -      stdio      last: exited with code 1\\u{1b}[2J\n"
        );
        assert!(table(&[], &Style::PLAIN, now()).contains("mcpvisor add npx:"));
        let ill =
            json!({"name": "x", "state": "failed", "cause": "c", "fix": "Install it\u{1b}[2J. Or not."});
        let wide = Style { width: Some(80), colours: false };
        assert!(
            table(&[ill], &wide, now())
                .ends_with("\n\nx: Install it\\u{1b}[2J\n`mcpvisor doctor` says more\n"),
            "for people, what to do"
        );
    }

    #[test]
    fn the_daemon_is_summed_up_and_who_is_not_well_is_named() {
        let document = json!({"version": "0.1.0", "address": "/run/x.sock", "servers": servers(),
            "readiness": {"status": "not_ready", "waiting_for": ["slow"]}});
        assert_eq!(
            summed_up(&document, &Style::PLAIN),
            "● mcpvisor 0.1.0 at /run/x.sock: not ready\n  slow\n  2 servers: 1 ready, 1 starting\n  2 calls, 1 restart\n\n\
             NAME  STATE                  CAUSE\n\
             slow  starting (installing)  last: exited with code 1\\u{1b}[2J\n"
        );
        let changed = json!({"name": "time", "state": "ready", "cause": "its changed definition fails"});
        let document = json!({"servers": [changed], "readiness": {"status": "ready"}});
        let shown = summed_up(&document, &Style::PLAIN);
        assert!(shown.ends_with("time  ready  its changed definition fails\n"), "{shown}");
    }
}
