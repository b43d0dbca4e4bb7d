//! `tools/call`: what each tool does.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::grandchild::{self, Wanted};
use crate::output::{self, Output};
use crate::server::{Ask, Question, Server, result};
use crate::stats::Stats;
use crate::timer::Timer;
use crate::tools;
use crate::wire::{self, Meta, Params, Refusal};

/// One tool call as it came in.
pub(crate) struct Call<'a> {
    pub(crate) id: &'a str,
    pub(crate) params: &'a Params<'a>,
    pub(crate) meta: &'a Meta<'a>,
    pub(crate) token: Option<&'a str>,
    pub(crate) modern: bool,
}

impl Call<'_> {
    pub(crate) fn arguments(&self) -> Value {
        self.params.arguments.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    fn reply(&self, body: &str) -> String {
        wire::response(self.id, &result(self.modern, false, body))
    }
}

impl Server {
    /// Carries a call out, or begins to.
    pub(crate) fn call(&mut self, call: &Call<'_>, batch: &mut Vec<u8>) {
        self.stats.executed();
        if let Some(path) = &self.flags.count_file {
            let counted =
                OpenOptions::new().create(true).append(true).open(path).and_then(|mut f| f.write_all(b"."));
            if let Err(error) = counted {
                eprintln!("fake-mcp: cannot count in {}: {error}", path.display());
            }
        }
        if self.flags.deaf {
            self.output.send(batch);
            crate::park_for_ever();
        }
        if self.flags.noeol > 0 && !std::mem::replace(&mut self.broke_line, true) {
            self.output.send(batch);
            return self.output.endless_line(self.flags.noeol);
        }
        match self.body(call, batch) {
            Ok(Some(_)) if self.flags.deep > 0 => self.answer(call, &deep(self.flags.deep), batch),
            Ok(Some(body)) => self.answer(call, &body, batch),
            Ok(None) => {}
            Err(refusal) => self.refuse(call.id, &refusal, batch),
        }
    }

    fn answer(&self, call: &Call<'_>, body: &str, batch: &mut Vec<u8>) {
        let reply = match (self.flags.id_last, self.flags.id_hidden) {
            (true, _) => wire::response_with_id_last(call.id, &result(call.modern, false, body)),
            (_, true) => wire::response_with_id_hidden(call.id, &result(call.modern, false, body)),
            _ => call.reply(body),
        };
        self.output.call_reply(batch, call.id, &reply);
    }

    /// The body of the result; `None` when the answer comes later, or never.
    fn body(&mut self, call: &Call<'_>, batch: &mut Vec<u8>) -> Result<Option<String>, Refusal> {
        let name = call.params.name.as_deref().unwrap_or_default();
        // First and without a tree, because the benches call nothing else.
        if name == "echo" {
            return echo(call.params.arguments).map(Some);
        }
        let arguments = call.arguments();
        let count = |member: &str| arguments[member].as_u64().unwrap_or_default();
        match name {
            "sleep" => self.sleep(call, Duration::from_millis(count("ms"))),
            "progress" => self.progress(call, count("ms"), count("every_ms")),
            "wait_for" => self.wait_for(call, arguments["file"].as_str().unwrap_or_default()),
            "gather" => self.gather(call, count("count"), batch),
            "ask" => return self.ask(call, batch),
            "interview" if self.flags.converse => return self.interview(call, batch),
            "report" if self.flags.converse => self.report(call, &arguments, batch),
            "touch" | "change" | "followed" | "murmur" if self.flags.converse => {
                return Ok(Some(self.announce(name, &arguments, batch)));
            }
            "open_first" if self.flags.converse => return self.open_first(call),
            "big" => {
                let bytes = usize::try_from(count("bytes")).unwrap_or_default();
                return Ok(Some(text(&"b".repeat(bytes))));
            }
            "fail" => {
                let message = arguments["message"].as_str().unwrap_or("it did not work");
                let body = json!({"content": [{"type": "text", "text": message}], "isError": true});
                return Ok(Some(body.to_string()));
            }
            "error" => {
                let message = arguments["message"].as_str().unwrap_or("told to answer with an error");
                let refusal = Refusal::new(arguments["code"].as_i64().unwrap_or(-32000), message);
                return Err(Refusal { data: arguments.get("data").cloned(), ..refusal });
            }
            "crash" => crash(&arguments),
            "env" => return Ok(Some(content(&environment()))),
            "fds" => return Ok(Some(content(&open_descriptors()))),
            "pid" => return Ok(Some(content(&json!({"pid": std::process::id()})))),
            "meta" => {
                let meta = call.params.meta.and_then(|raw| serde_json::from_str(raw.get()).ok());
                return Ok(Some(content(&meta.unwrap_or_else(|| json!({})))));
            }
            "stats" => return Ok(Some(content(&self.stats.report()))),
            "spawn_child" => return spawn_child(&arguments).map(Some),
            "change_tools" => {
                self.added_tools += 1;
                self.feed.tools_changed(&self.output, batch);
                return Ok(Some(content(
                    &json!({"tools": tools::list(&self.flags, self.added_tools).len()}),
                )));
            }
            "log_stderr" => {
                output::flood_stderr(usize::try_from(count("bytes")).unwrap_or_default());
                return Ok(Some(text("logged")));
            }
            "empty" => return Ok(Some("{}".to_owned())),
            "reply" => return Ok(Some(arguments["result"].to_string())),
            _ if tools::list(&self.flags, self.added_tools).iter().any(|tool| tool["name"] == name) => {
                return echo(call.params.arguments).map(Some);
            }
            _ => return Err(Refusal::new(-32602, format!("Unknown tool: {name}"))),
        }
        Ok(None)
    }

    fn sleep(&self, call: &Call<'_>, delay: Duration) {
        let ticket = self.stats.begin(call.id);
        let later = self.later(call, ticket, &text("slept"));
        self.timer.after(delay, move |batch| later.finish(batch));
    }

    pub(crate) fn wait_for(&self, call: &Call<'_>, file: &str) {
        let ticket = self.stats.begin(call.id);
        let later = self.later(call, ticket, &text("it is there"));
        look_for(later, file.into());
    }

    fn progress(&self, call: &Call<'_>, ms: u64, every_ms: u64) {
        let ticket = self.stats.begin(call.id);
        let later = self.later(call, ticket, &text("done"));
        let every = Duration::from_millis(every_ms.max(1));
        let steps = ms / every_ms.max(1);
        match call.token {
            Some(token) => step(later, token.to_owned(), 0, steps, every),
            None => self.timer.after(Duration::from_millis(ms), move |batch| later.finish(batch)),
        }
    }

    /// Keeps calls until there are `count`, then answers them all: calls that arrive one after the
    /// other's answer never get there. Cancelled ones count for nothing.
    fn gather(&mut self, call: &Call<'_>, count: u64, batch: &mut Vec<u8>) {
        let ticket = self.stats.begin(call.id);
        self.gathered.push(self.later(call, ticket, &text("gathered")));
        self.gathered.retain(|waiting| self.stats.is_open(waiting.ticket));
        if self.gathered.len() as u64 >= count {
            for waiting in std::mem::take(&mut self.gathered) {
                waiting.finish(batch);
            }
        }
    }

    fn later(&self, call: &Call<'_>, ticket: u64, body: &str) -> Later {
        Later {
            id: call.id.to_owned(),
            frame: call.reply(body),
            ticket,
            answer_anyway: self.flags.ignore_cancel,
            stats: Arc::clone(&self.stats),
            output: Arc::clone(&self.output),
            timer: Arc::clone(&self.timer),
        }
    }

    fn ask(&mut self, call: &Call<'_>, batch: &mut Vec<u8>) -> Result<Option<String>, Refusal> {
        if call.modern {
            let body = json!({"content": [{"type": "text", "text": "no back-channel in this era"}], "isError": true});
            return Ok(Some(body.to_string()));
        }
        let message = json!({"role": "user", "content": {"type": "text", "text": "Say something."}});
        let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
        let questions = [
            ("roots/list", json!({})),
            ("sampling/createMessage", json!({"messages": [message], "maxTokens": 16})),
            ("elicitation/create", json!({"message": "Your name?", "requestedSchema": schema})),
            ("fake/unknown", json!({})),
        ]
        .map(|(method, params)| (method.to_owned(), method.to_owned(), params));
        let ask = self.begin_to_ask(call, None);
        self.question(ask, &questions, batch);
        Ok(None)
    }
}

impl Server {
    /// A call that is about to ask its client.
    pub(crate) fn begin_to_ask(&self, call: &Call<'_>, rounds: Option<VecDeque<Vec<Question>>>) -> Ask {
        let (call_id, ticket) = (call.id.to_owned(), self.stats.begin(call.id));
        Ask { call_id, ticket, answers: Map::new(), outstanding: 0, rounds, before: Vec::new() }
    }
}

/// A call whose answer comes from the timer.
pub(crate) struct Later {
    id: String,
    frame: String,
    ticket: u64,
    answer_anyway: bool,
    stats: Arc<Stats>,
    output: Arc<Output>,
    timer: Arc<Timer>,
}

impl Later {
    fn finish(self, batch: &mut Vec<u8>) {
        if self.stats.finish(self.ticket) || self.answer_anyway {
            self.output.call_reply(batch, &self.id, &self.frame);
        }
    }
}

/// Waits one interval, tells the progress, and so on until the last step, which is the answer.
fn step(later: Later, token: String, done: u64, steps: u64, every: Duration) {
    if done >= steps {
        let timer = Arc::clone(&later.timer);
        return timer.after(Duration::ZERO, move |batch| later.finish(batch));
    }
    let timer = Arc::clone(&later.timer);
    timer.after(every, move |batch| {
        if !later.stats.is_open(later.ticket) && !later.answer_anyway {
            return;
        }
        let done = done + 1;
        let params = format!(
            r#"{{"progressToken":{token},"progress":{done},"total":{steps},"message":"step {done}"}}"#
        );
        later.output.frame(batch, &wire::notification("notifications/progress", &params));
        step(later, token, done, steps, every);
    });
}

fn look_for(later: Later, file: PathBuf) {
    let timer = Arc::clone(&later.timer);
    timer.after(Duration::from_millis(20), move |batch| match file.exists() {
        true => later.finish(batch),
        false => look_for(later, file),
    });
}

/// `echo`: the arguments are spliced, not re-written.
fn echo(arguments: Option<&RawValue>) -> Result<String, Refusal> {
    #[derive(serde::Deserialize)]
    struct Echo<'a> {
        #[serde(borrow)]
        nonce: Option<&'a RawValue>,
        #[serde(borrow)]
        text: Option<&'a RawValue>,
    }
    let raw = arguments.map_or("{}", RawValue::get);
    let read: Echo<'_> = serde_json::from_str(raw)
        .map_err(|error| Refusal::new(-32602, format!("Invalid arguments: {error}")))?;
    let chosen = read.text.or(read.nonce).map_or(raw, RawValue::get);
    let spliced = if chosen.starts_with('"') { chosen.to_owned() } else { wire::quoted(chosen) };
    Ok(format!(r#"{{"content":[{{"type":"text","text":{spliced}}}],"structuredContent":{raw}}}"#))
}

/// A result body with one text.
fn text(text: &str) -> String {
    format!(r#"{{"content":[{{"type":"text","text":{}}}]}}"#, wire::quoted(text))
}

/// A result body with a value, as text and as `structuredContent`.
pub(crate) fn content(value: &Value) -> String {
    let raw = value.to_string();
    format!(r#"{{"content":[{{"type":"text","text":{}}}],"structuredContent":{raw}}}"#, wire::quoted(&raw))
}

fn deep(levels: usize) -> String {
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    format!(
        r#"{{"content":[{{"type":"text","text":"deep"}}],"structuredContent":{{"nested":{open}{close}}}}}"#
    )
}

fn crash(arguments: &Value) {
    eprintln!("fake-mcp: crashing, as told");
    let signal = arguments["signal"].as_i64().and_then(|n| i32::try_from(n).ok());
    if let Some(signal) = signal.and_then(|n| nix::sys::signal::Signal::try_from(n).ok()) {
        // Twice, because the runtime's own handler for memory faults lets the first one pass.
        for _ in 0..2 {
            if let Err(error) = nix::sys::signal::kill(nix::unistd::Pid::this(), signal) {
                eprintln!("fake-mcp: cannot signal itself: {error}");
            }
        }
    }
    crate::die(arguments["code"].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or(1))
}

fn environment() -> Value {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    Value::Object(std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value).into())).collect())
}

/// Descriptor → what it is. The one that reads the directory is left out.
fn open_descriptors() -> Value {
    let entries = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let fds = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let target = target.to_string_lossy().into_owned();
        let own = target == format!("/proc/{}/fd", std::process::id());
        (!own).then(|| (entry.file_name().to_string_lossy().into_owned(), target.into()))
    });
    json!({"fds": fds.collect::<Map<_, _>>()})
}

fn spawn_child(arguments: &Value) -> Result<String, Refusal> {
    let flag = |member: &str| arguments[member].as_bool().unwrap_or_default();
    let escape = match arguments["mode"].as_str() {
        Some("same-group") | None => false,
        Some("escape") => true,
        Some(_) => return Err(Refusal::new(-32602, "mode must be same-group or escape")),
    };
    let wanted = Wanted { escape, clear_env: flag("clear_env"), hold_stdout: flag("hold_stdout") };
    match grandchild::start(&wanted) {
        Ok(pid) => Ok(content(&json!({"pid": pid}))),
        Err(error) => Err(Refusal::new(-32603, format!("cannot start a grandchild: {error}"))),
    }
}
