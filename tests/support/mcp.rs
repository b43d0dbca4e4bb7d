//! MCP clients of either era over HTTP, made by hand: every request can be put together wrongly, every answer is
//! read message by message, and every connection can be left in the middle.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::DEADLINE;
use super::canaries::{Place, check_answer};
use super::gateway::Gateway;
use super::http::{Connection, Reply};

/// The version of the modern era.
pub(crate) const MODERN: &str = "2026-07-28";
/// The latest version of the legacy era.
pub(crate) const LEGACY: &str = "2025-11-25";
/// Prefix of the members that the modern era has in `_meta`.
pub(crate) const OURS: &str = "io.modelcontextprotocol/";
const BOTH: &str = "application/json, text/event-stream";

/// The path of a server or group; of all servers where none is named.
fn path_of(server: &str) -> String {
    if server.is_empty() { "/mcp".to_owned() } else { format!("/mcp/{server}") }
}

/// A request to `/mcp`, to be changed and sent.
#[derive(Clone)]
pub(crate) struct Post<'a> {
    gateway: &'a Gateway,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    message: Value,
    raw: Option<Bytes>,
}

impl<'a> Post<'a> {
    fn new(gateway: &'a Gateway, method: &'static str, path: &str, key: Option<&str>) -> Post<'a> {
        let headers = vec![("accept".to_owned(), BOTH.to_owned())];
        let post = Post { gateway, method, path: path.to_owned(), headers, message: Value::Null, raw: None };
        match key {
            Some(key) => post.header("authorization", &format!("Bearer {key}")),
            None => post,
        }
    }

    fn message(mut self, message: Value) -> Self {
        self.message = message;
        self.header("content-type", "application/json")
    }

    /// Gives the request another id.
    pub(crate) fn id(mut self, id: impl Into<Value>) -> Self {
        self.message["id"] = id.into();
        self
    }

    /// Sets a member of the `params`.
    pub(crate) fn param(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.message["params"][name] = value.into();
        self
    }

    /// Sets a member of `_meta`.
    pub(crate) fn meta(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.message["params"]["_meta"][name] = value.into();
        self
    }

    /// Takes a member of `_meta` out.
    pub(crate) fn without_meta(mut self, name: &str) -> Self {
        let meta = self.message["params"]["_meta"].as_object_mut();
        meta.expect("an object").remove(&format!("{OURS}{name}"));
        self
    }

    /// Sets a header, in place of one with this name.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        let mut post = self.without(name);
        post.headers.push((name.to_owned(), value.to_owned()));
        post
    }

    /// Takes a header out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Sends these bytes in place of the message.
    pub(crate) fn raw(mut self, body: impl Into<Bytes>) -> Self {
        self.raw = Some(body.into());
        self
    }

    /// The body as it is on one line, with blanks before its end up to this length.
    pub(crate) fn padded(self, length: usize) -> Bytes {
        let mut text = self.message.to_string();
        assert_eq!(text.pop(), Some('}'));
        text.push_str(&" ".repeat(length - text.len() - 1));
        text.push('}');
        text.into()
    }

    /// Writes the body over many lines.
    pub(crate) fn pretty(self) -> Self {
        let text = serde_json::to_string_pretty(&self.message).expect("JSON");
        self.raw(text)
    }

    /// Sends it over a connection of its own and waits for the head of the answer.
    pub(crate) async fn send(self) -> Answer {
        let mut connection =
            Connection::open(self.gateway.address(), &[]).await.expect("the daemon accepts connections");
        let text = if self.message.is_null() { String::new() } else { self.message.to_string() };
        let body = self.raw.unwrap_or_else(|| text.into());
        let begun = connection.begin(self.method, &self.path, &self.headers, body).await;
        let (status, headers, body) =
            begun.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path));
        assert!(headers.contains_key("x-request-id"), "{headers:?}");
        assert_ne!(status, 406);
        check_answer(Place::SomeAnswer, &headers, b"");
        Answer { status, headers, body, text: String::new(), is_over: false, _connection: connection }
    }

    /// Sends it over this connection, which has had others, and waits for the whole answer.
    pub(crate) async fn send_on(self, connection: &mut Connection) -> Reply {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
        let body = self.raw.unwrap_or_else(|| self.message.to_string().into());
        let reply = connection.send_bytes(self.method, &self.path, &headers, body).await;
        reply.unwrap_or_else(|error| panic!("{} {}: {error}", self.method, self.path))
    }

    /// Returns the body with one text in it in place of another.
    pub(crate) fn but(self, text: &str, other: &str) -> Self {
        let body = self.message.to_string();
        assert!(body.contains(text), "{body}");
        self.raw(body.replace(text, other))
    }

    /// Sends it, and returns the answer as JSON after its status was what it should be.
    pub(crate) async fn expect(self, status: u16) -> Value {
        let mut answer = self.send().await;
        let text = answer.whole().await;
        assert_eq!(answer.status, status, "{text}");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Sends it, and returns the result of its answer, whether that is JSON or a stream.
    pub(crate) async fn result(self) -> Value {
        let last = self.last().await;
        assert!(last["result"].is_object(), "{last}");
        last["result"].clone()
    }

    /// Sends it, and returns the last message of the answer.
    pub(crate) async fn last(self) -> Value {
        let mut answer = self.send().await;
        answer.last().await
    }

    /// Sends it, and returns the error that it is refused with, after status and code were what they should be.
    pub(crate) async fn refused(self, status: u16, code: i64) -> Value {
        let told = self.expect(status).await;
        assert_eq!(told["error"]["code"], code, "{told}");
        assert_eq!(told["jsonrpc"], "2.0", "{told}");
        assert!(!told["error"]["message"].as_str().expect("a text").is_empty(), "{told}");
        told
    }
}

/// A message of a stream, with the id of its event; null for an event that has only an id.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) message: Value,
}

/// An answer that is being read. Dropping it closes its connection.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    /// What was read of the body and not yet used.
    text: String,
    is_over: bool,
    _connection: Connection,
}

impl Answer {
    pub(crate) fn is_stream(&self) -> bool {
        self.headers.get("content-type").is_some_and(|kind| kind == "text/event-stream")
    }

    /// Reads the whole body.
    pub(crate) async fn whole(&mut self) -> String {
        while self.more().await {}
        std::mem::take(&mut self.text)
    }

    /// The same after the status was what it should be.
    pub(crate) async fn of_status(&mut self, status: u16) -> String {
        let text = self.whole().await;
        assert_eq!(self.status, status, "{text}");
        text
    }

    /// Reads a piece; `false` at the end.
    async fn more(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        let frame = timeout(DEADLINE, self.body.frame()).await;
        let frame = frame.unwrap_or_else(|_| panic!("nothing more came: {}", self.text));
        match frame {
            None => self.is_over = true,
            Some(frame) => {
                let frame =
                    frame.unwrap_or_else(|error| panic!("the answer broke off, {error}: {}", self.text));
                if let Some(data) = frame.data_ref() {
                    check_answer(Place::SomeAnswer, &HeaderMap::new(), data);
                    self.text.push_str(std::str::from_utf8(data).expect("whole characters"));
                }
            }
        }
        !self.is_over
    }

    /// Reads the next event; `None` at the end. Comments are left out.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        // Comments alone would keep it waiting for ever.
        timeout(DEADLINE, self.read_event()).await.expect("an event, or the end")
    }

    async fn read_event(&mut self) -> Option<Event> {
        assert!(self.is_stream(), "{} is no stream: {:?}", self.status, self.headers);
        loop {
            let Some((event, rest)) = self.text.split_once("\n\n") else {
                if !self.more().await {
                    assert_eq!(self.text, "", "an event that does not end");
                    return None;
                }
                continue;
            };
            let field = |name: &str| {
                let mut values = event.lines().filter_map(|line| line.strip_prefix(name)).map(str::trim);
                let value = values.next().map(str::to_owned);
                assert_eq!(values.next(), None, "a message is on one line: {event}");
                value
            };
            let (id, data) = (field("id:"), field("data:"));
            self.text = rest.to_owned();
            let Some(data) = data else { continue };
            let message = match data.as_str() {
                "" => Value::Null,
                data => serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}")),
            };
            return Some(Event { id, message });
        }
    }

    /// Reads the next message, which is to come.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("the stream goes on");
            if !event.message.is_null() {
                return event.message;
            }
        }
    }

    /// Reads messages until one has this method, and returns that one.
    pub(crate) async fn until(&mut self, method: &str) -> Value {
        loop {
            let message = self.message().await;
            if message["method"] == method {
                return message;
            }
        }
    }

    /// Reads all messages to the end of the stream.
    pub(crate) async fn messages(&mut self) -> Vec<Value> {
        let mut messages = Vec::new();
        while let Some(event) = self.next().await {
            if !event.message.is_null() {
                messages.push(event.message);
            }
        }
        messages
    }

    /// Reads to the end, and returns the last message, whether the answer is JSON or a stream.
    pub(crate) async fn last(&mut self) -> Value {
        if self.is_stream() {
            return self.messages().await.pop().expect("a message");
        }
        let text = self.whole().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {} {text}", self.status))
    }
}

/// A client of the modern era. Every request carries all that it needs.
#[derive(Clone)]
pub(crate) struct Modern<'a> {
    gateway: &'a Gateway,
    path: String,
    key: Option<String>,
    capabilities: Value,
}

/// A client that calls with the owner's key and can be asked nothing.
pub(crate) fn modern<'a>(gateway: &'a Gateway, server: &str) -> Modern<'a> {
    let (path, key) = (path_of(server), Some(gateway.key().to_owned()));
    Modern { gateway, path, key, capabilities: json!({}) }
}

impl<'a> Modern<'a> {
    /// Calls with another key.
    pub(crate) fn key(mut self, key: Option<&str>) -> Self {
        self.key = key.map(str::to_owned);
        self
    }

    /// Declares capabilities.
    pub(crate) fn can(mut self, capabilities: Value) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// A request with id 1.
    pub(crate) fn ask(&self, method: &str, mut params: Value) -> Post<'a> {
        let name = match method {
            "tools/call" | "prompts/get" => params["name"].as_str().map(str::to_owned),
            "resources/read" => params["uri"].as_str().map(str::to_owned),
            _ => None,
        };
        params["_meta"][format!("{OURS}protocolVersion")] = MODERN.into();
        params["_meta"][format!("{OURS}clientCapabilities")] = self.capabilities.clone();
        params["_meta"][format!("{OURS}clientInfo")] = json!({"name": "modern test", "version": "1"});
        let post = Post::new(self.gateway, "POST", &self.path, self.key.as_deref())
            .message(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
            .header("mcp-protocol-version", MODERN)
            .header("mcp-method", method);
        match name {
            Some(name) => post.header("mcp-name", &name),
            None => post,
        }
    }

    /// A call of a tool with id 1.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Post<'a> {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool and returns the structure of its result.
    pub(crate) async fn told(&self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).result().await["structuredContent"].clone()
    }

    /// Opens a stream of changes and reads its acknowledgement.
    pub(crate) async fn listen(&self, id: impl Into<Value>, filter: Value) -> (Answer, Value) {
        let mut stream =
            self.ask("subscriptions/listen", json!({"notifications": filter})).id(id).send().await;
        let first = stream.message().await;
        assert_eq!(first["method"], "notifications/subscriptions/acknowledged", "{first}");
        (stream, first)
    }
}

/// A header's value in base64, as what is no visible ASCII has to be sent.
pub(crate) fn coded(value: &str) -> String {
    format!("=?base64?{}?=", BASE64_STANDARD.encode(value))
}

/// A client of the legacy era in its session.
#[derive(Clone)]
pub(crate) struct Session<'a> {
    gateway: &'a Gateway,
    path: String,
    key: Option<String>,
    /// The id that the gateway gave.
    pub(crate) id: String,
    /// The version that was agreed on.
    pub(crate) version: String,
}

/// The `initialize` of a client with the owner's key.
pub(crate) fn hello<'a>(gateway: &'a Gateway, server: &str, version: &str, capabilities: Value) -> Post<'a> {
    let params = json!({
        "protocolVersion": version,
        "capabilities": capabilities,
        "clientInfo": {"name": "legacy test", "version": "1"}
    });
    Post::new(gateway, "POST", &path_of(server), Some(gateway.key()))
        .message(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}))
}

impl<'a> Session<'a> {
    /// Opens a session with the owner's key, of a client with these capabilities.
    pub(crate) async fn open(gateway: &'a Gateway, server: &str, capabilities: Value) -> Session<'a> {
        Session::open_as(gateway, server, gateway.key(), LEGACY, capabilities).await
    }

    /// Opens a session with this key and version.
    pub(crate) async fn open_as(
        gateway: &'a Gateway,
        server: &str,
        key: &str,
        version: &str,
        capabilities: Value,
    ) -> Session<'a> {
        let hello = hello(gateway, server, version, capabilities);
        let mut answer = hello.header("authorization", &format!("Bearer {key}")).send().await;
        let text = answer.whole().await;
        assert_eq!(answer.status, 200, "{text}");
        let told: Value = serde_json::from_str(&text).expect("JSON");
        let id = answer.headers["mcp-session-id"].to_str().expect("visible ASCII").to_owned();
        let version = told["result"]["protocolVersion"].as_str().expect("a version").to_owned();
        let (path, key) = (path_of(server), Some(key.to_owned()));
        let session = Session { gateway, path, key, id, version };
        session.notify("notifications/initialized", json!({})).await;
        session
    }

    /// The same session as somebody with another key asks for it.
    pub(crate) fn with_key(&self, key: Option<&str>) -> Session<'a> {
        Session { key: key.map(str::to_owned), ..self.clone() }
    }

    /// The same session at another server.
    pub(crate) fn at(&self, server: &str) -> Session<'a> {
        Session { path: path_of(server), ..self.clone() }
    }

    fn post(&self, method: &'static str) -> Post<'a> {
        Post::new(self.gateway, method, &self.path, self.key.as_deref())
            .header("mcp-session-id", &self.id)
            .header("mcp-protocol-version", &self.version)
    }

    /// A request with id 1.
    pub(crate) fn ask(&self, method: &str, params: Value) -> Post<'a> {
        self.post("POST").message(json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    }

    /// A call of a tool with id 1.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Post<'a> {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments}))
    }

    /// Calls a tool with an id of its own, and returns the structure of its result.
    pub(crate) async fn told(&self, tool: &str, arguments: Value) -> Value {
        self.call(tool, arguments).id(uuid::Uuid::new_v4().to_string()).result().await["structuredContent"]
            .clone()
    }

    /// Posts a message that gets no answer.
    async fn say(&self, message: Value) {
        let mut answer = self.post("POST").message(message).send().await;
        let text = answer.whole().await;
        assert_eq!((answer.status, &*text), (202, ""));
    }

    /// Notifies the server.
    pub(crate) async fn notify(&self, method: &str, params: Value) {
        self.say(json!({"jsonrpc": "2.0", "method": method, "params": params})).await;
    }

    /// Answers a request of the server.
    pub(crate) async fn answer(&self, asked: &Value, result: Value) {
        self.say(json!({"jsonrpc": "2.0", "id": asked["id"], "result": result})).await;
    }

    /// Refuses a request of the server.
    pub(crate) async fn refuse(&self, asked: &Value, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        self.say(json!({"jsonrpc": "2.0", "id": asked["id"], "error": error})).await;
    }

    /// The request for the session's own stream.
    pub(crate) fn stream(&self) -> Post<'a> {
        self.post("GET")
    }

    /// The request for what follows an event.
    pub(crate) fn resume(&self, event: &str) -> Post<'a> {
        self.post("GET").header("last-event-id", event)
    }

    /// The request for the end of the session.
    pub(crate) fn end(&self) -> Post<'a> {
        self.post("DELETE")
    }

    /// Ends the session.
    pub(crate) async fn ended(self) {
        let mut answer = self.end().send().await;
        answer.of_status(204).await;
    }
}
