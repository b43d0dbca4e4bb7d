//! `mcpvisor logs`: what a server's children write beside messages, kept or as it comes.

use reqwest::Method;
use serde_json::Value;
use time::OffsetDateTime;

use super::console::Console;
use super::follow::{self, Followed};
use super::screen::{Colour, Style};
use super::words::{moment, plain, read_moment};
use crate::cli::client::Problem;

/// Most lines that the API gives.
const MAX_LINES: usize = 1000;

/// Log to show.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Logs {
    /// Name of the server.
    pub server: String,
    /// `true` to go on with the lines to come.
    pub follow: bool,
    /// Number of the newest lines to show. `None` for 100, or for all where something else chooses among them.
    pub lines: Option<usize>,
    /// Age or moment of the oldest line to show. `None` for any.
    pub since: Option<String>,
    /// `true` for the child before the current or last one.
    pub previous: bool,
}

/// Shows the log.
pub(super) async fn run(console: &Console, logs: &Logs) -> Result<(), Problem> {
    let choice = Choice::of(console, logs).await?;
    let is_chosen = logs.since.is_some() || logs.previous;
    let most = logs.lines.unwrap_or(if is_chosen { MAX_LINES } else { 100 });
    let tail = if is_chosen { MAX_LINES } else { most.clamp(1, MAX_LINES) };
    if logs.follow {
        return follow(console, logs, &choice, tail).await;
    }
    let mut lines = lines(console, &logs.server, tail).await?;
    lines.retain(|line| choice.has(line));
    lines.drain(..lines.len().saturating_sub(most));
    let document = Value::Array(lines);
    console.screen.show(&document, |style| text(document.as_array().into_iter().flatten(), style))
}

/// Returns the newest lines of a server's log, the newest last.
pub(super) async fn lines(console: &Console, server: &str, tail: usize) -> Result<Vec<Value>, Problem> {
    let mut url = console.daemon.below("/v1/mcps", server, "logs")?;
    url.query_pairs_mut().append_pair("tail", &tail.to_string());
    match console.daemon.ask(Method::GET, url, None).await {
        Ok(mut answer) => match answer["data"].take() {
            Value::Array(lines) => Ok(lines),
            _ => Ok(Vec::new()),
        },
        Err(problem) => Err(console.explained(server, problem).await),
    }
}

/// Choice among the lines of a log.
#[derive(Debug, Default)]
struct Choice {
    since: Option<OffsetDateTime>,
    /// Incarnation of the only child to show.
    incarnation: Option<u64>,
}

impl Choice {
    async fn of(console: &Console, logs: &Logs) -> Result<Choice, Problem> {
        let now = (console.now)();
        let since = logs.since.as_deref().map(|since| read_moment("--since", since, now)).transpose();
        let mut choice = Choice { since: since.map_err(Problem::Usage)?, incarnation: None };
        if logs.previous {
            let last = console.server(&logs.server).await?["supervision"]["incarnation"].as_u64();
            let previous = last.unwrap_or_default().checked_sub(1).filter(|number| *number > 0);
            choice.incarnation = Some(previous.ok_or_else(|| {
                Problem::refused(format!("{:?} has had no child before its current one", logs.server))
            })?);
        }
        Ok(choice)
    }

    fn has(&self, line: &Value) -> bool {
        let is_new = |since: OffsetDateTime| moment(&line["at"]).is_none_or(|at| at >= since);
        self.since.is_none_or(is_new)
            && self.incarnation.is_none_or(|incarnation| line["incarnation"] == incarnation)
    }
}

async fn follow(console: &Console, logs: &Logs, choice: &Choice, tail: usize) -> Result<(), Problem> {
    let mut url = console.daemon.below("/v1/mcps", &logs.server, "logs")?;
    url.query_pairs_mut().append_pair("tail", &tail.to_string()).append_pair("follow", "true");
    let response = match console.daemon.send(Method::GET, url, None).await {
        Ok(response) => response,
        Err(problem) => return Err(console.explained(&logs.server, problem).await),
    };
    let followed = Followed { subject: "the log is", unit: "lines", mark: "line" };
    follow::follow(console, response, &followed, |data, line| match choice.has(line) {
        true => console.screen.show_item(data, |style| text([line], style)),
        false => Ok(()),
    })
    .await
}

/// Returns lines of a log as text: when, by which child, on which stream, and what.
pub(super) fn text<'l>(lines: impl IntoIterator<Item = &'l Value>, style: &Style) -> String {
    lines.into_iter().fold(String::new(), |text, line| {
        let pool = line["pool"].as_str().map_or_else(String::new, |pool| format!(" ({pool})"));
        let head = format!(
            "{} {}{pool} {}",
            plain(&line["at"]),
            plain(&line["incarnation"]),
            plain(&line["stream"])
        );
        let told = line["line"].as_str().unwrap_or_default();
        text + &format!("{} {}\n", style.paint(Colour::Dim, &style.foreign(&head)), style.foreign(told))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_796_025_600).expect("a moment")
    }

    #[test]
    fn lines_say_when_who_and_where_and_steer_no_terminal() {
        let line = json!({"at": "2026-11-30T07:59:00Z", "incarnation": 2, "stream": "stderr", "number": 9, "line": "a\u{1b}]0;x\u{7}"});
        let terminal = Style { width: Some(80), colours: false };
        assert_eq!(text([&line], &terminal), "2026-11-30T07:59:00Z 2 stderr a\\u{1b}]0;x\\u{7}\n");
        let pooled = json!({"at": "t", "incarnation": 2, "pool": "session 7", "stream": "log", "line": "b"});
        assert_eq!(text([&pooled], &Style::PLAIN), "t 2 (session 7) log b\n");
    }

    #[test]
    fn lines_are_chosen_by_age_moment_and_child() {
        let since = read_moment("--since", "1m", now()).expect("an age");
        assert_eq!(Some(since), moment(&json!("2026-11-30T07:59:00Z")));
        assert_eq!(read_moment("--since", "2026-11-30T08:59:00+01:00", now()), Ok(since));
        assert!(read_moment("--since", "yesterday", now()).is_err());
        let choice = Choice { since: Some(since), incarnation: Some(2) };
        let line = |at: &str, incarnation: u64| json!({"at": at, "incarnation": incarnation});
        assert!(choice.has(&line("2026-11-30T07:59:00Z", 2)));
        assert!(
            !choice.has(&line("2026-11-30T07:58:59Z", 2)) && !choice.has(&line("2026-11-30T07:59:00Z", 1))
        );
    }
}
