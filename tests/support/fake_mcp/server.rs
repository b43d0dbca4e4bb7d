//! Reading, the eras, and every method but `tools/call`.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::answers::method_not_found;
use crate::call::{Call, Later};
use crate::converse::ASKING;
use crate::feed::{Feed, flood_notifications, storm, subscription};
use crate::flags::{Era, Flags, Probe};
use crate::output::{self, Output};
use crate::stats::Stats;
use crate::timer::Timer;
use crate::tools;
use crate::wire::{self, Message, Meta, Params, Refusal};

/// The one version of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";
/// A batch of answers is written when it has grown to so many bytes.
const FULL_BATCH: usize = 256 * 1024;

/// One question to the client: a name for its answer, the method and the parameters.
pub(crate) type Question = (String, String, Value);

/// A call of `ask` or `interview` that waits for the client's answers.
pub(crate) struct Ask {
    pub(crate) call_id: String,
    pub(crate) ticket: u64,
    pub(crate) answers: Map<String, Value>,
    pub(crate) outstanding: usize,
    /// What is to be asked after that; `None` for a call of `ask`, which asks once.
    pub(crate) rounds: Option<VecDeque<Vec<Question>>>,
    /// The answers of the rounds before.
    pub(crate) before: Vec<Value>,
}

/// What a request is answered with; `None` for not now, or never.
pub(crate) type Answer = Result<Option<Value>, Refusal>;

/// The server: everything that only the reading thread touches, and the parts shared by all.
pub(crate) struct Server {
    pub(crate) flags: Flags,
    pub(crate) output: Arc<Output>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) feed: Arc<Feed>,
    pinned: Option<Era>,
    shook_hands: bool,
    /// Whether `initialize` was answered.
    settled: bool,
    /// Whether the probe has spoilt what comes after it.
    poisoned: bool,
    pub(crate) added_tools: usize,
    pub(crate) wants_opened: bool,
    pub(crate) broke_line: bool,
    /// The calls of `gather` that wait for more of their kind.
    pub(crate) gathered: Vec<Later>,
    next_request: u64,
    /// Requests to the client: id → the number of the ask and the method.
    questions: HashMap<u64, (u64, String)>,
    asks: HashMap<u64, Ask>,
}

impl Server {
    pub(crate) fn new(flags: Flags) -> Server {
        let output = Arc::new(Output::new(flags.noise, flags.badline, flags.weird_ids));
        Server {
            timer: Timer::start(Arc::clone(&output)),
            output,
            stats: Arc::default(),
            feed: Arc::default(),
            pinned: None,
            shook_hands: false,
            settled: false,
            poisoned: false,
            added_tools: 0,
            wants_opened: false,
            broke_line: false,
            gathered: Vec::new(),
            next_request: 0,
            questions: HashMap::new(),
            asks: HashMap::new(),
            flags,
        }
    }

    /// Serves until the input ends. Answers to everything that was read at once leave at once.
    pub(crate) fn run(mut self, input: impl Read) {
        if self.flags.stderr_flood > 0 {
            let count = self.flags.stderr_flood;
            thread::spawn(move || output::flood_stderr(count));
        }
        let mut reader = BufReader::with_capacity(FULL_BATCH, input);
        let mut line = Vec::new();
        let mut batch = Vec::with_capacity(FULL_BATCH);
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => self.message(&line, &mut batch),
            }
            if batch.len() >= FULL_BATCH || !reader.buffer().contains(&b'\n') {
                self.output.send(&mut batch);
            }
        }
    }

    /// One line. What is not a message is dropped without a word, as the common SDKs do.
    fn message(&mut self, line: &[u8], batch: &mut Vec<u8>) {
        let Ok(message) = serde_json::from_slice::<Message<'_>>(line) else { return };
        if message.jsonrpc != "2.0" {
            return;
        }
        match (message.method.as_deref(), message.id.map(RawValue::get)) {
            (Some(method), Some(id)) if wire::is_id(id) => self.request(id, method, message.params, batch),
            (Some(method), None) => self.notification(method, message.params, batch),
            (None, Some(id)) => self.response(id, &message, batch),
            _ => {}
        }
    }

    fn request(&mut self, id: &str, method: &str, raw: Option<&RawValue>, batch: &mut Vec<u8>) {
        let params =
            match raw.map_or(Ok(Params::default()), |raw| serde_json::from_str::<Params<'_>>(raw.get())) {
                Ok(params) => params,
                Err(error) => {
                    return self.refuse(id, &Refusal::new(-32602, format!("Invalid params: {error}")), batch);
                }
            };
        let meta = match params
            .meta
            .map_or(Ok(Meta::default()), |raw| serde_json::from_str::<Meta<'_>>(raw.get()))
        {
            Ok(meta) => meta,
            Err(error) => {
                return self.refuse(id, &Refusal::new(-32602, format!("Invalid _meta: {error}")), batch);
            }
        };
        let modern = match self.is_modern(method, &params, &meta) {
            Ok(modern) => modern,
            Err(refusal) => return self.refuse(id, &refusal, batch),
        };
        if method == "tools/call" {
            let token = meta.progress_token.map(RawValue::get);
            let call = Call { id, params: &params, meta: &meta, token, modern };
            return self.call(&call, batch);
        }
        let answer = if modern {
            self.modern(id, method, &params, batch)
        } else {
            self.legacy(id, method, raw, &params)
        };
        match answer {
            Ok(Some(body)) => {
                let cacheable = method != "prompts/get";
                let frame = wire::response(id, &result(modern, cacheable, &body.to_string()));
                self.output.frame(batch, &frame);
                if method == "server/discover" {
                    self.after_handshake();
                }
            }
            Ok(None) => {}
            Err(refusal) => self.refuse(id, &refusal, batch),
        }
    }

    /// Decides the era of a request, or refuses it for not belonging to the era.
    fn is_modern(&mut self, method: &str, params: &Params<'_>, meta: &Meta<'_>) -> Result<bool, Refusal> {
        let says_modern = meta.protocol_version.is_some() || meta.client_capabilities.is_some();
        let modern = match self.flags.era {
            Era::Legacy => false,
            Era::Modern => true,
            Era::Settles => says_modern && !self.settled,
            Era::Both => says_modern || !(method == "initialize" || self.feed.legacy.load(Ordering::Relaxed)),
            Era::Pinned => match self.pinned {
                Some(Era::Legacy) if says_modern => {
                    return Err(Refusal::new(-32600, "This connection speaks the handshake protocol era"));
                }
                Some(era) => era == Era::Modern,
                None => method != "initialize",
            },
        };
        if modern {
            self.check_meta(method, params, meta)?;
        }
        self.pinned.get_or_insert(if modern { Era::Modern } else { Era::Legacy });
        Ok(modern)
    }

    /// The per-request rules of the modern era.
    fn check_meta(&self, method: &str, params: &Params<'_>, meta: &Meta<'_>) -> Result<(), Refusal> {
        let supported = self.flags.protocol.as_deref().unwrap_or(MODERN);
        let asked = match (method, &meta.protocol_version) {
            ("initialize", _) => params.protocol_version.as_deref().unwrap_or_default(),
            (_, Some(version)) => version,
            (_, None) => {
                return Err(Refusal::new(-32602, "_meta lacks io.modelcontextprotocol/protocolVersion"));
            }
        };
        if method == "initialize" || asked != supported {
            let data = json!({"supported": [supported], "requested": asked});
            let message = format!("Unsupported protocol version: {asked}");
            return Err(Refusal { code: -32022, message, data: Some(data) });
        }
        match meta.client_capabilities {
            Some(raw) if raw.get().starts_with('{') => Ok(()),
            _ => Err(Refusal::new(-32602, "_meta lacks io.modelcontextprotocol/clientCapabilities")),
        }
    }

    fn legacy(&mut self, id: &str, method: &str, raw: Option<&RawValue>, params: &Params<'_>) -> Answer {
        if method == "server/discover" {
            self.stats.probed();
        }
        match method {
            "initialize" if self.poisoned && self.flags.probe == Probe::ReplyRefuse => {
                Err(Refusal::new(-32000, "the session is closed"))
            }
            "initialize" if self.poisoned && self.flags.probe == Probe::ReplyDeaf => Ok(None),
            // It has ended in any case before it answers, however soon it is asked.
            "initialize" if self.poisoned && self.flags.probe == Probe::ReplyExit => crate::die(1),
            "initialize" => {
                self.settled = true;
                self.stats.introduced(raw);
                Ok(self.delayed(id, false, self.initialize(params)))
            }
            "ping" => Ok(Some(json!({}))),
            "logging/setLevel" if self.flags.converse => {
                self.feed.set_level(params.level.as_deref().unwrap_or_default());
                Ok(Some(json!({})))
            }
            "resources/subscribe" | "resources/unsubscribe" if self.flags.converse => {
                let uri = params.uri.as_deref().unwrap_or_default();
                self.feed.follow(uri, method == "resources/subscribe");
                Ok(Some(json!({})))
            }
            "server/discover" => match self.flags.probe {
                Probe::MethodNotFound => Err(method_not_found(method)),
                Probe::Invalid => Err(Refusal::new(-32602, "Invalid request parameters")),
                Probe::Silent => Ok(None),
                Probe::ReplyExit => {
                    self.poisoned = true;
                    self.timer.after(Duration::from_millis(50), |_| crate::die(1));
                    Err(method_not_found(method))
                }
                Probe::ReplyRefuse | Probe::ReplyDeaf => {
                    self.poisoned = true;
                    Err(method_not_found(method))
                }
                Probe::Exit => {
                    eprintln!("fake-mcp: expected initialize, got server/discover");
                    crate::die(1)
                }
            },
            _ => self.common(false, method, params),
        }
    }

    fn modern(&mut self, id: &str, method: &str, params: &Params<'_>, batch: &mut Vec<u8>) -> Answer {
        match method {
            "server/discover" => {
                let answer = self.delayed(id, true, self.discover());
                if answer.is_none() && !self.flags.hang_init {
                    self.after_handshake();
                }
                Ok(answer)
            }
            "subscriptions/listen" => {
                let agreed = match params.notifications {
                    Some(wanted) if self.flags.converse => wanted.get(),
                    _ => r#"{"toolsListChanged":true}"#,
                };
                self.feed.listen(id, agreed);
                let params = subscription(id, &format!(r#","notifications":{agreed}"#));
                let frame = wire::notification("notifications/subscriptions/acknowledged", &params);
                self.output.frame(batch, &frame);
                Ok(None)
            }
            _ => self.common(true, method, params),
        }
    }

    /// The handshake's answer: now, later (then `None` is returned), or never.
    fn delayed(&self, id: &str, modern: bool, body: Value) -> Option<Value> {
        if self.flags.hang_init {
            return None;
        }
        if self.flags.slow_init.is_zero() {
            return Some(body);
        }
        let frame = wire::response(id, &result(modern, true, &body.to_string()));
        let output = Arc::clone(&self.output);
        self.timer.after(self.flags.slow_init, move |batch| output.frame(batch, &frame));
        None
    }

    fn notification(&mut self, method: &str, raw: Option<&RawValue>, batch: &mut Vec<u8>) {
        self.stats.notified(method, raw);
        match method {
            "notifications/initialized" if self.flags.era != Era::Modern => {
                self.feed.legacy.store(true, Ordering::Relaxed);
                self.after_handshake();
                if self.flags.ask_on_init {
                    let id = self.next_request_id();
                    self.output.frame(batch, &wire::request(id, "roots/list", "{}"));
                }
            }
            "notifications/cancelled" => {
                let params = raw.and_then(|raw| serde_json::from_str::<Params<'_>>(raw.get()).ok());
                if let Some(id) = params.and_then(|params| params.request_id) {
                    self.stats.cancelled(id, self.flags.ignore_cancel);
                    self.feed.unlisten(id.get());
                }
            }
            _ => {}
        }
    }

    /// Everything that is to begin when client and server know each other. Happens once.
    fn after_handshake(&mut self) {
        if std::mem::replace(&mut self.shook_hands, true) {
            return;
        }
        if let Some(delay) = self.flags.crash_after {
            self.timer.after(delay, |_| {
                eprintln!("fake-mcp: crashing, as told");
                crate::die(1)
            });
        }
        if self.flags.notify_flood > 0 {
            let (output, count) = (Arc::clone(&self.output), self.flags.notify_flood);
            thread::spawn(move || flood_notifications(&output, count));
        }
        if self.flags.storm {
            storm(Arc::clone(&self.timer), Arc::clone(&self.feed), Arc::clone(&self.output));
        }
    }

    /// Sends the questions of one `ask`. Ids count from 0, as in all real servers, so they collide
    /// with the client's own.
    pub(crate) fn question(&mut self, ask: Ask, questions: &[Question], batch: &mut Vec<u8>) {
        let number = ask.ticket;
        self.asks.insert(number, Ask { outstanding: questions.len(), ..ask });
        for (name, method, params) in questions {
            let id = self.next_request_id();
            self.questions.insert(id, (number, name.clone()));
            self.output.frame(batch, &wire::request(id, method, &params.to_string()));
        }
    }

    fn next_request_id(&mut self) -> u64 {
        let id = self.next_request;
        self.next_request += 1;
        id
    }

    fn response(&mut self, id: &str, message: &Message<'_>, batch: &mut Vec<u8>) {
        let Some((number, name)) = id.parse().ok().and_then(|id| self.questions.remove(&id)) else {
            return;
        };
        let Some(ask) = self.asks.get_mut(&number) else { return };
        let value = |raw: &RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
        let answer = match (message.result, message.error) {
            (Some(result), _) => json!({"result": value(result)}),
            (None, Some(error)) => json!({"error": value(error)}),
            (None, None) => json!({}),
        };
        ask.answers.insert(name, answer);
        ask.outstanding -= 1;
        if ask.outstanding > 0 {
            return;
        }
        let Some(mut ask) = self.asks.remove(&number) else { return };
        let answers = Value::Object(std::mem::take(&mut ask.answers));
        if let Some(rounds) = &mut ask.rounds {
            ask.before.push(answers.clone());
            if let Some(next) = rounds.pop_front() {
                return self.question(ask, &next, batch);
            }
        }
        if self.stats.finish(ask.ticket) {
            let said = if ask.rounds.is_some() { json!({"rounds": ask.before}) } else { answers };
            let body = crate::call::content(&said);
            let frame = wire::response(&ask.call_id, &result(false, false, &body));
            self.output.call_reply(batch, &ask.call_id, &frame);
        }
    }

    pub(crate) fn refuse(&self, id: &str, refusal: &Refusal, batch: &mut Vec<u8>) {
        self.output.frame(batch, &wire::refusal(id, refusal));
    }
}

/// Dresses a result body, a JSON object, for its era.
pub(crate) fn result(modern: bool, cacheable: bool, body: &str) -> String {
    if !modern || body.starts_with(ASKING) {
        return body.to_owned();
    }
    let cache = if cacheable { r#""ttlMs":0,"cacheScope":"private","# } else { "" };
    let info = tools::SERVER_INFO;
    let rest = if body == "{}" { "}".to_owned() } else { format!(",{}", &body[1..]) };
    format!(
        r#"{{"resultType":"complete",{cache}"_meta":{{"io.modelcontextprotocol/serverInfo":{info}}}{rest}"#
    )
}
