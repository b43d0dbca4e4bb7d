//! A remote MCP server in the test's own process. Untold it is a decent server of its era; told, it answers whatever the
//! test wants, breaks off where it is to, is gone for a while, and has forgotten its sessions. It keeps every request.

mod answer;
mod wire;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

pub(crate) use self::answer::{Answer, Gate, answered, event, said};

use self::answer::Feed;
use super::mcp::{LEGACY, MODERN};
use super::{DEADLINE, wait_until};

/// Room for messages of a stream that its reader has not taken.
const ROOM: usize = 1024;

/// A message that ends its stream and is not said.
const END: &str = "";

/// The way in which a scripted server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Streamable HTTP with sessions.
    Legacy,
    /// Streamable HTTP of the modern era.
    Modern,
    /// HTTP+SSE of 2024-11-05.
    Sse,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method of HTTP.
    pub(crate) http: String,
    /// Path with its query.
    pub(crate) path: String,
    /// Headers, their names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Message of JSON-RPC; null if there is none.
    pub(crate) message: Value,
    /// Time at which it was there.
    pub(crate) at: Instant,
}

impl Asked {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The method of JSON-RPC; that of HTTP for what is no POST, and `response` for an answer to the server.
    pub(crate) fn method(&self) -> &str {
        match self.message["method"].as_str() {
            Some(method) => method,
            None if self.http == "POST" => "response",
            None => &self.http,
        }
    }

    /// The arguments of a call.
    pub(crate) fn arguments(&self) -> &Value {
        &self.message["params"]["arguments"]
    }

    fn tool(&self) -> &str {
        self.message["params"]["name"].as_str().unwrap_or_default()
    }

    fn session(&self) -> Option<String> {
        self.header("mcp-session-id").map(str::to_owned)
    }
}

/// Settings of a server that are not its answers.
#[derive(Debug, Clone)]
pub(crate) struct Nature {
    /// Capabilities that it declares.
    pub(crate) capabilities: Value,
    /// Tools that it lists.
    pub(crate) tools: Value,
    /// `true` if it gives sessions, in the legacy era.
    pub(crate) has_sessions: bool,
    /// `true` if it has a stream for GET.
    pub(crate) has_stream: bool,
    /// Answer to a request of a session that it does not know.
    pub(crate) lost: Answer,
    /// Path that an HTTP+SSE server wants requests posted to, without the session; or a whole address.
    pub(crate) endpoint: String,
}

struct State {
    way: Way,
    nature: Nature,
    asked: Vec<Asked>,
    /// Indexes of requests whose clients left before they were answered.
    left: Vec<usize>,
    /// Method, or `tool NAME`, with the answer to it; `true` if it stays.
    script: Vec<(String, Answer, bool)>,
    sessions: HashSet<String>,
    given: u64,
    executed: Vec<Value>,
    stream: Option<mpsc::Sender<String>>,
    connections: u64,
    /// Number of connections that it closed in order, and whose clients have noticed.
    closed: u64,
    slow: Gate,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<State>>);

/// The server. It ends when dropped.
pub(crate) struct ScriptedHttp {
    address: SocketAddr,
    shared: Shared,
    serving: Mutex<Option<Serving>>,
}

struct Serving {
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A tool with these properties.
pub(crate) fn tool(name: &str, properties: Value) -> Value {
    let schema = json!({"type": "object", "properties": properties});
    json!({"name": name, "description": "Scripted.", "inputSchema": schema})
}

impl ScriptedHttp {
    /// Starts a server that speaks in this way.
    pub(crate) async fn start(way: Way) -> ScriptedHttp {
        let tools = ["echo", "slow", "add"].map(|name| tool(name, json!({})));
        let not_found = json!({"jsonrpc": "2.0", "id": "server-error",
            "error": {"code": -32600, "message": "Session not found"}});
        let nature = Nature {
            capabilities: json!({"tools": {}}),
            tools: json!(tools),
            has_sessions: true,
            has_stream: false,
            lost: Answer::json(404, &not_found),
            endpoint: "/messages".to_owned(),
        };
        let state = State {
            way,
            nature,
            asked: Vec::new(),
            left: Vec::new(),
            script: Vec::new(),
            sessions: HashSet::new(),
            given: 0,
            executed: Vec::new(),
            stream: None,
            connections: 0,
            closed: 0,
            slow: Gate::shut(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Shared(Arc::new(Mutex::new(state)));
        let serving = Mutex::new(Some(Serving::begin(listener, shared.clone())));
        ScriptedHttp { address, shared, serving }
    }

    /// The address of it.
    pub(crate) fn url(&self) -> String {
        let path = if lock(&self.shared.0).way == Way::Sse { "sse" } else { "mcp" };
        format!("http://{}/{path}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A definition that names its address and nothing more.
    pub(crate) fn definition(&self) -> Value {
        json!({"url": self.url()})
    }

    /// Changes what it is like.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Nature)) {
        change(&mut lock(&self.shared.0).nature);
    }

    /// Makes it speak in another way.
    pub(crate) fn become_way(&self, way: Way) {
        lock(&self.shared.0).way = way;
    }

    /// Answers the next request with this method so; `tool NAME` stands for a call of one tool, `*` for anything. What
    /// was said before comes before.
    pub(crate) fn once(&self, on: &str, answer: Answer) {
        lock(&self.shared.0).script.push((on.to_owned(), answer, false));
    }

    /// Answers every request with this method so, from now on.
    pub(crate) fn always(&self, on: &str, answer: Answer) {
        let mut state = lock(&self.shared.0);
        state.script.retain(|(known, _, stays)| known != on || !stays);
        state.script.push((on.to_owned(), answer, true));
    }

    /// Forgets all that it was told to answer.
    pub(crate) fn unscripted(&self) {
        lock(&self.shared.0).script.clear();
    }

    /// All requests, in their order.
    pub(crate) fn all(&self) -> Vec<Asked> {
        lock(&self.shared.0).asked.clone()
    }

    /// The methods of all requests, in their order.
    pub(crate) fn methods(&self) -> Vec<String> {
        self.all().iter().map(|asked| asked.method().to_owned()).collect()
    }

    /// The requests with this method.
    pub(crate) fn asked(&self, method: &str) -> Vec<Asked> {
        self.all().into_iter().filter(|asked| asked.method() == method).collect()
    }

    /// Number of requests with this method.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked(method).len()
    }

    /// Waits until so many requests with this method have come, and returns them.
    pub(crate) async fn wait_count(&self, method: &str, count: usize) -> Vec<Asked> {
        wait_until(&format!("{count} times {method}"), DEADLINE, || async {
            let asked = self.asked(method);
            (asked.len() >= count).then_some(asked)
        })
        .await
    }

    /// The requests whose clients left before they were answered.
    pub(crate) fn left(&self) -> Vec<Asked> {
        let state = lock(&self.shared.0);
        state.left.iter().map(|at| state.asked[*at].clone()).collect()
    }

    /// The arguments of all calls that were carried out, in their order; not of those with an answer that was told.
    pub(crate) fn executed(&self) -> Vec<Value> {
        lock(&self.shared.0).executed.clone()
    }

    /// Number of connections that were made to it.
    pub(crate) fn connections(&self) -> u64 {
        lock(&self.shared.0).connections
    }

    /// Waits until so many connections were closed in order, and their clients have noticed.
    pub(crate) async fn wait_closed(&self, count: u64) {
        wait_until("the client has seen the end of its connection", DEADLINE, || async {
            (lock(&self.shared.0).closed >= count).then_some(())
        })
        .await;
    }

    /// Number of sessions that it has.
    pub(crate) fn sessions(&self) -> usize {
        lock(&self.shared.0).sessions.len()
    }

    /// Forgets its sessions, as after a restart.
    pub(crate) fn forget_sessions(&self) {
        lock(&self.shared.0).sessions.clear();
    }

    /// Lets calls of `slow` be answered, from now on.
    pub(crate) fn release(&self) {
        lock(&self.shared.0).slow.open();
    }

    /// Holds later calls of `slow` again.
    pub(crate) fn hold(&self) {
        lock(&self.shared.0).slow = Gate::shut();
    }

    /// Says something on the stream that is there.
    pub(crate) fn push(&self, text: &str) {
        let stream = lock(&self.shared.0).stream.clone().expect("a stream");
        stream.try_send(text.to_owned()).expect("room on a stream that is read");
    }

    /// Ends the stream that is there.
    pub(crate) fn end_stream(&self) {
        // Others may hold the sending end for calls that are under way.
        let stream = lock(&self.shared.0).stream.take().expect("a stream");
        stream.try_send(END.to_owned()).expect("room on a stream that is read");
    }

    /// Reports whether a stream is open.
    pub(crate) fn has_stream(&self) -> bool {
        lock(&self.shared.0).stream.as_ref().is_some_and(|stream| !stream.is_closed())
    }

    /// Stops it as if it were killed: its port is closed, and its connections are reset.
    pub(crate) async fn stop(&self) {
        let mut serving = lock(&self.serving).take().expect("it serves");
        serving.stop.send_replace(true);
        (&mut serving.accepting).await.expect("it does not panic");
        lock(&self.shared.0).stream = None;
    }

    /// Starts it again on the same port.
    pub(crate) async fn start_again(&self) {
        let listener = wait_until("the port is free again", DEADLINE, || async {
            TcpListener::bind(self.address).await.ok()
        })
        .await;
        let before = lock(&self.serving).replace(Serving::begin(listener, self.shared.clone()));
        assert!(before.is_none(), "it was stopped");
    }
}

impl Serving {
    fn begin(listener: TcpListener, shared: Shared) -> Serving {
        let stop = watch::Sender::new(false);
        let stopped = stop.subscribe();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut told = stopped.clone();
            loop {
                tokio::select! {
                    _ = told.wait_for(|stopped| *stopped) => break,
                    Some(_) = connections.join_next(), if !connections.is_empty() => {}
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        let _ = stream.set_nodelay(true);
                        lock(&shared.0).connections += 1;
                        connections.spawn(wire::serve(stream, shared.clone(), stopped.clone()));
                    },
                }
            }
            drop(listener);
            while connections.join_next().await.is_some() {}
        });
        Serving { stop, accepting }
    }
}

impl Shared {
    /// Records a request, and returns its number and the answer to it.
    fn take(&self, asked: Asked) -> (usize, Answer) {
        let mut state = lock(&self.0);
        let at = state.asked.len();
        state.asked.push(asked.clone());
        let tool = format!("tool {}", asked.tool());
        let told = [false, true].into_iter().find_map(|wanted| {
            state.script.iter().position(|(on, _, stays)| {
                *stays == wanted && (on == asked.method() || *on == tool || on == "*")
            })
        });
        let answer = match told {
            Some(told) if state.script[told].2 => state.script[told].1.clone(),
            Some(told) => state.script.remove(told).1,
            None => state.usual(&asked),
        };
        (at, answer.filled(&asked))
    }

    fn closed(&self) {
        lock(&self.0).closed += 1;
    }

    fn left(&self, at: usize) {
        lock(&self.0).left.push(at);
    }
}

impl State {
    fn usual(&mut self, asked: &Asked) -> Answer {
        match (self.way, asked.http.as_str()) {
            (Way::Modern, "POST") => self.modern(asked),
            (Way::Legacy, "POST") => self.legacy(asked),
            (Way::Legacy, "GET" | "DELETE") if !self.nature.has_sessions => Answer::empty(405),
            (Way::Legacy, _) if !asked.session().is_some_and(|id| self.sessions.contains(&id)) => {
                self.nature.lost.clone()
            }
            (Way::Legacy, "DELETE") => {
                self.sessions.remove(&asked.session().unwrap_or_default());
                Answer::empty(200)
            }
            (Way::Legacy, "GET") if self.nature.has_stream => {
                if self.stream.as_ref().is_some_and(|stream| !stream.is_closed()) {
                    return Answer::empty(409);
                }
                self.open_stream(": there\n\n")
            }
            (Way::Sse, "GET") => {
                self.given += 1;
                let first =
                    format!("event: endpoint\r\ndata: {}?s={}\r\n\r\n", self.nature.endpoint, self.given);
                self.open_stream(&first)
            }
            (Way::Sse, "POST") if asked.path.starts_with("/messages") => self.posted(asked),
            _ => Answer::empty(405).header("Allow", "POST"),
        }
    }

    fn open_stream(&mut self, first: &str) -> Answer {
        let (sender, messages) = mpsc::channel(ROOM);
        self.stream = Some(sender);
        Answer::feed(Feed::new(messages), first)
    }

    fn legacy(&mut self, asked: &Asked) -> Answer {
        if !self.nature.has_sessions {
            return match asked.method() {
                "initialize" => Answer::result(self.introduction()),
                _ if asked.message.get("id").is_none() => Answer::empty(202),
                _ => self.answer(asked),
            };
        }
        match (asked.method(), asked.session()) {
            ("initialize", None) => {
                self.given += 1;
                let id = format!("session-{}", self.given);
                self.sessions.insert(id.clone());
                Answer::result(self.introduction()).header("Mcp-Session-Id", &id)
            }
            (_, Some(id)) if self.sessions.contains(&id) => match asked.message.get("id") {
                Some(_) if asked.method() != "response" => self.answer(asked),
                _ => Answer::empty(202),
            },
            (_, Some(_)) => self.nature.lost.clone(),
            // As old Python servers do: an id that is dead already.
            (_, None) => {
                let refusal = json!({"jsonrpc": "2.0", "id": "server-error",
                    "error": {"code": -32600, "message": "Bad Request: Missing session ID"}});
                Answer::json(400, &refusal).header("Mcp-Session-Id", "stillborn")
            }
        }
    }

    fn modern(&mut self, asked: &Asked) -> Answer {
        if asked.header("mcp-method") != Some(asked.method())
            || asked.header("mcp-protocol-version") != Some(MODERN)
        {
            let data = json!({"supported": [MODERN], "requested": LEGACY});
            let error = json!({"code": -32022, "message": "Unsupported protocol version", "data": data});
            return Answer::json(400, &json!({"jsonrpc": "2.0", "id": "$ID", "error": error}));
        }
        self.answer(asked)
    }

    /// Takes a message for a stream, where the answer to it goes.
    fn posted(&mut self, asked: &Asked) -> Answer {
        let stream = self.stream.clone().filter(|stream| !stream.is_closed());
        let Some(stream) = stream else { return Answer::of(404, "text/plain", "Could not find session") };
        if asked.message.get("id").is_some() && asked.method() != "response" {
            let answer = self.answer(asked).filled(asked);
            tokio::spawn(async move {
                for piece in answer.body {
                    match piece {
                        answer::Piece::Wait(gate) => gate.passed().await,
                        answer::Piece::Say(text) => {
                            let _ = stream.send(format!("event: message\r\ndata: {text}\r\n\r\n")).await;
                        }
                        answer::Piece::Feed(_) => {}
                    }
                }
            });
        }
        Answer::of(202, "text/plain", "Accepted")
    }

    fn introduction(&self) -> Value {
        let version = if self.way == Way::Sse { "2024-11-05" } else { LEGACY };
        json!({
            "protocolVersion": version,
            "capabilities": self.nature.capabilities,
            "serverInfo": {"name": "scripted", "version": "1"}
        })
    }

    fn answer(&mut self, asked: &Asked) -> Answer {
        let result = match asked.method() {
            "initialize" if self.way == Way::Sse => self.introduction(),
            "server/discover" if self.way == Way::Modern => {
                json!({"supportedVersions": [MODERN], "capabilities": self.nature.capabilities})
            }
            "tools/list" => json!({"tools": self.nature.tools}),
            "ping" if self.way != Way::Modern => json!({}),
            "logging/setLevel" if self.way != Way::Modern => json!({}),
            "tools/call" => return self.call(asked),
            _ if self.way == Way::Modern => return Answer::error(404, -32601, "Method not found"),
            _ => return Answer::error(200, -32601, "Method not found"),
        };
        self.of_era(result)
    }

    fn call(&mut self, asked: &Asked) -> Answer {
        let arguments = asked.arguments().clone();
        let text = match asked.tool() {
            "add" => {
                (arguments["a"].as_i64().unwrap_or(0) + arguments["b"].as_i64().unwrap_or(0)).to_string()
            }
            _ => arguments.to_string(),
        };
        self.executed.push(arguments.clone());
        let mut result = said(&text);
        if asked.tool() != "add" {
            result["structuredContent"] = arguments;
        }
        let answer = self.of_era(result);
        if asked.tool() == "slow" { answer.after(&self.slow) } else { answer }
    }

    fn of_era(&self, mut result: Value) -> Answer {
        if self.way == Way::Modern {
            result["resultType"] = "complete".into();
            result["ttlMs"] = 0.into();
            result["cacheScope"] = "private".into();
        }
        Answer::result(result)
    }
}
