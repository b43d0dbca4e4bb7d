//! `mcpvisor ask`: sends a question to a running daemon and shows the events as they happen. Only the answer
//! goes to stdout, so that it can be piped.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Exit;
use super::client::{self, Access, Daemon, Problem};
use crate::sse::{SseData, TooLong};
use crate::text::cut;

/// Longest text shown of a tool's arguments and of its result, in characters.
const SHOWN: usize = 160;
/// Longest silence after which the daemon counts as gone: it sends something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Question to ask, and the daemon to ask.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ask {
    /// Text of the question.
    pub question: String,
    /// Names of the servers whose tools may be used.
    pub servers: Vec<String>,
    /// The daemon to ask.
    pub access: Access,
    /// Name of the model. `None` for the daemon's default.
    pub model: Option<String>,
    /// Names of the tools that may be used; empty for all.
    pub tools: Vec<String>,
    /// Most turns of the model. `None` for the daemon's default.
    pub max_turns: Option<usize>,
    /// `true` if nothing but the answer is printed.
    pub quiet: bool,
}

impl From<TooLong> for Problem {
    fn from(error: TooLong) -> Problem {
        Problem::BrokenOff(error.to_string())
    }
}

/// Sends the question and prints the events of the answer.
pub fn run(ask: &Ask) -> Exit {
    client::run(async {
        let show = Show::new(io::stdout(), io::stderr(), io::stderr().is_terminal(), ask.quiet);
        follow(ask, show).await
    })
}

async fn follow(ask: &Ask, mut show: Show<impl Write, impl Write>) -> Result<(), Problem> {
    let daemon = Daemon::find(&ask.access)?;
    let mut response = daemon.send(Method::POST, daemon.path("/api/query")?, Some(&body(ask))).await?;
    let mut events = SseData::default();
    loop {
        let next = tokio::time::timeout(SILENCE, response.chunk()).await;
        let next = next.map_err(|_| Problem::BrokenOff("the daemon fell silent".to_owned()))?;
        match next.map_err(|error| Problem::BrokenOff(error.to_string()))? {
            Some(bytes) => events.feed(&bytes, |data| show.event(data))?,
            None => return show.end(),
        }
    }
}

fn body(ask: &Ask) -> Value {
    let mut body = Map::from_iter([
        ("servers".to_owned(), json!(ask.servers)),
        ("query".to_owned(), json!(ask.question)),
        ("stream".to_owned(), json!(true)),
    ]);
    if let Some(model) = &ask.model {
        body.insert("model".to_owned(), json!(model));
    }
    if let Some(turns) = ask.max_turns {
        body.insert("max_turns".to_owned(), json!(turns));
    }
    if !ask.tools.is_empty() {
        body.insert("tools".to_owned(), json!(ask.tools));
    }
    Value::Object(body)
}

/// Writer of events for people: the answer goes to one output, the other events to another.
struct Show<O, E> {
    out: O,
    err: E,
    dim: (&'static str, &'static str),
    quiet: bool,
    /// Text streamed since the last call of a tool. Text before a call is not part of the answer.
    said: String,
    is_over: bool,
}

impl<O: Write, E: Write> Show<O, E> {
    fn new(out: O, err: E, colours: bool, quiet: bool) -> Show<O, E> {
        let dim = if colours { ("\u{1b}[2m", "\u{1b}[0m") } else { ("", "") };
        Show { out, err, dim, quiet, said: String::new(), is_over: false }
    }

    fn event(&mut self, data: &str) -> Result<(), Problem> {
        let event: Value =
            serde_json::from_str(data).map_err(|error| Problem::BrokenOff(error.to_string()))?;
        match event["type"].as_str().unwrap_or_default() {
            "token" => self.token(event["text"].as_str().unwrap_or_default()),
            "tool_call" => {
                self.line_break()?;
                let name = tool_name(&event);
                self.note(&format!("→ {name} {}", short(&event["arguments"].to_string())))
            }
            "tool_result" => {
                let seconds = event["duration_ms"].as_u64().unwrap_or_default() as f64 / 1000.0;
                let sign = if event["is_error"] == true { "✗" } else { "←" };
                let result = short(event["result"].as_str().unwrap_or_default());
                self.note(&format!("{sign} {} ({seconds:.1} s) {result}", tool_name(&event)))
            }
            "final" => self.last(&event),
            "error" => {
                self.line_break()?;
                Err(Problem::refused(event["error"].as_str().unwrap_or("it failed without words").to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn token(&mut self, text: &str) -> Result<(), Problem> {
        self.said.push_str(text);
        self.out.write_all(printable(text, true).as_bytes())?;
        Ok(self.out.flush()?)
    }

    /// Writes the end of the answer: the result, unless it was streamed before, and remarks on it.
    fn last(&mut self, event: &Value) -> Result<(), Problem> {
        let result = event["result"].as_str().unwrap_or_default();
        if self.said.trim() != result.trim() {
            self.line_break()?;
            self.token(result)?;
        }
        self.line_break()?;
        self.is_over = true;
        for tool in event["left_out"].as_array().into_iter().flatten() {
            let reason = short(tool["reason"].as_str().unwrap_or_default());
            self.note(&format!(
                "(asked without {}, which the model's endpoint refuses: {reason})",
                tool_name(tool)
            ))?;
        }
        match event["finish_reason"].as_str() {
            Some("length") => self.note("(cut off at the model's length limit)"),
            Some("refusal") => self.note("(the model refused)"),
            _ => Ok(()),
        }
    }

    fn line_break(&mut self) -> Result<(), Problem> {
        if !self.said.is_empty() && !self.said.ends_with('\n') {
            self.out.write_all(b"\n")?;
            self.out.flush()?;
        }
        self.said.clear();
        Ok(())
    }

    fn note(&mut self, text: &str) -> Result<(), Problem> {
        if !self.quiet {
            writeln!(self.err, "{}{}{}", self.dim.0, printable(text, false), self.dim.1)?;
        }
        Ok(())
    }

    fn end(self) -> Result<(), Problem> {
        if self.is_over { Ok(()) } else { Err(Problem::BrokenOff("it has no end".to_owned())) }
    }
}

fn tool_name(event: &Value) -> String {
    let tool = event["tool"].as_str().unwrap_or_default();
    event["server"].as_str().map_or_else(|| tool.to_owned(), |server| format!("{server}.{tool}"))
}

fn short(text: &str) -> String {
    cut(text.split_whitespace().collect::<Vec<_>>().join(" "), SHOWN)
}

/// Replaces control characters, since text of models and tools must not steer a terminal.
fn printable(text: &str, lines: bool) -> String {
    let keep = |c: char| !c.is_control() || (lines && (c == '\n' || c == '\t'));
    text.chars().map(|c| if keep(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(events: &[Value], quiet: bool) -> (Result<(), String>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut show = Show::new(&mut out, &mut err, false, quiet);
        let fed = events.iter().try_for_each(|event| show.event(&event.to_string()));
        let ended = fed.and_then(|()| show.end()).map_err(|problem| problem.to_string());
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (ended, text(out), text(err))
    }

    fn token(text: &str) -> Value {
        json!({"type": "token", "text": text})
    }

    fn last(result: &str) -> Value {
        json!({"type": "final", "status": "success", "result": result, "finish_reason": "stop"})
    }

    #[test]
    fn the_answer_goes_to_stdout_and_the_calls_beside_it() {
        let call = json!({"type": "tool_call", "server": "demo", "tool": "add", "arguments": {"a": 1}});
        let result = json!({"type": "tool_result", "server": "demo", "tool": "add", "result": "3\n4", "is_error": false, "duration_ms": 1234});
        let events = [call, result, token("It is "), token("three."), last("It is three.")];
        let (ended, out, err) = shown(&events, false);
        assert_eq!((ended, out.as_str()), (Ok(()), "It is three.\n"));
        assert_eq!(err, "→ demo.add {\"a\":1}\n← demo.add (1.2 s) 3 4\n");
        assert_eq!(shown(&events, true).2, "");
    }

    #[test]
    fn tools_that_the_endpoint_refused_are_said_beside_the_answer() {
        let mut answer = last("Yes.");
        answer["left_out"] = json!([{"server": "demo", "tool": "odd", "reason": "Invalid schema"}]);
        let (_, out, err) = shown(&[answer], false);
        assert_eq!(out, "Yes.\n");
        assert_eq!(err, "(asked without demo.odd, which the model's endpoint refuses: Invalid schema)\n");
    }

    #[test]
    fn an_answer_that_was_not_streamed_is_shown_all_the_same() {
        assert_eq!(shown(&[last("Yes.")], false).1, "Yes.\n");
    }

    #[test]
    fn errors_and_answers_without_an_end_are_failures() {
        let error = json!({"type": "error", "error": "The model's endpoint answered 401: no"});
        let (ended, out, _) = shown(&[token("Hm"), error], false);
        assert_eq!((ended, out.as_str()), (Err("The model's endpoint answered 401: no".to_owned()), "Hm\n"));
        assert!(shown(&[token("Hm")], false).0.is_err());
    }

    #[test]
    fn nothing_that_is_said_steers_the_terminal() {
        let (_, out, _) = shown(&[token("a\u{1b}[2Jb\tc"), last("a\u{1b}[2Jb\tc")], false);
        assert_eq!(out, "a\u{fffd}[2Jb\tc\n");
    }
}
