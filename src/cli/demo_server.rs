//! `mcpvisor demo-server`: a small MCP server on stdin and stdout, to try the gateway with and to test it
//! against. It speaks both eras, and each message alone decides which: the handshake of 2024-11-05 to
//! 2025-11-25, and the stateless requests of 2026-07-28. It needs no runtime and no file, starts in
//! milliseconds and ends when its input does, also with calls still running.
//!
//! The reading thread answers everything but `slow`, which gets a thread of its own, so that no call waits for
//! another. No input can fill the memory: the length of a message and the number of slow calls are limited.

mod offer;
mod running;
mod wire;

use std::io::{self, BufRead, Write};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use offer::{Offered, Slow};
use running::{Begun, MAX_SLOW, Running};
use wire::{Line, RpcError, is_id, read_line, response, send};

/// Version of the stateless era.
const MODERN: &str = "2026-07-28";
/// Versions with a handshake, the latest first.
const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Serves until `input` ends or `output` cannot be written. `now` is the clock of `current_time`.
///
/// # Errors
/// The first error of reading `input` or of writing `output`.
pub fn run<R: BufRead, W: Write + Send>(input: R, output: W, now: fn() -> OffsetDateTime) -> io::Result<()> {
    let output = Mutex::new(output);
    let running = Running::default();
    thread::scope(|scope| {
        let mut session = Session {
            output: &output,
            running: &running,
            now,
            started: Instant::now(),
            calls: 0,
            greeted: false,
        };
        let ended = session.serve(input, scope);
        // The scope waits for the slow calls, so they have to give up.
        running.close();
        ended
    })
}

/// Era of the protocol, whose rules a request follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Legacy,
    Modern,
}

/// Time for which a client may cache an answer (2026-07-28, `CacheableResult`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    /// Answers of this kind are not cacheable.
    NotCacheable,
    /// The answer is the same for all clients and for the life of the program.
    Long,
    /// The answer is outdated at once.
    Never,
}

/// A request whose envelope and era are checked.
struct Request {
    id: Value,
    params: Map<String, Value>,
    era: Era,
}

impl Request {
    fn text(&self, member: &str) -> Result<&str, RpcError> {
        let value = self.params.get(member).and_then(Value::as_str);
        value.ok_or_else(|| RpcError::invalid_params(format!("{member} is required and must be a string")))
    }

    fn progress_token(&self) -> Result<Option<Value>, RpcError> {
        match self.params.get("_meta").and_then(|meta| meta.get("progressToken")) {
            None => Ok(None),
            Some(token) if is_id(token) => Ok(Some(token.clone())),
            Some(_) => Err(RpcError::invalid_params("progressToken must be a string or an integer")),
        }
    }
}

/// State of the reading thread.
struct Session<'env, W> {
    output: &'env Mutex<W>,
    running: &'env Running,
    now: fn() -> OffsetDateTime,
    started: Instant,
    calls: u64,
    /// `true` once the client has sent `initialize`.
    greeted: bool,
}

impl<'env, W: Write + Send> Session<'env, W> {
    fn serve<'scope, R: BufRead>(
        &mut self,
        mut input: R,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            match read_line(&mut input, &mut line)? {
                Line::End => return Ok(()),
                Line::TooLong => self.refuse(None, RpcError::new(-32600, "Message too long"))?,
                Line::Whole if line.trim_ascii().is_empty() => {}
                Line::Whole => match serde_json::from_slice(&line) {
                    Ok(message) => self.message(message, scope)?,
                    Err(_) => self.refuse(None, RpcError::new(-32700, "Parse error"))?,
                },
            }
        }
    }

    fn message<'scope>(
        &mut self,
        message: Value,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> io::Result<()> {
        let Value::Object(mut message) = message else {
            return self.refuse(None, RpcError::new(-32600, "Not a JSON-RPC message"));
        };
        let id = message.remove("id");
        if id.is_some() && (message.contains_key("result") || message.contains_key("error")) {
            // A response to a request that this server never made.
            return Ok(());
        }
        let readable = id.as_ref().filter(|id| is_id(id)).cloned();
        let method = match (message.remove("method"), message.get("jsonrpc").and_then(Value::as_str)) {
            (Some(Value::String(method)), Some("2.0")) if id.is_none() || readable.is_some() => method,
            _ => return self.refuse(readable.as_ref(), RpcError::new(-32600, "Not a JSON-RPC message")),
        };
        let params = match message.remove("params") {
            Some(Value::Object(params)) => params,
            None => Map::new(),
            Some(_) if id.is_none() => return Ok(()),
            Some(_) => {
                return self.refuse(readable.as_ref(), RpcError::invalid_params("params must be an object"));
            }
        };
        let Some(id) = readable else {
            self.notification(&method, &params);
            return Ok(());
        };
        match self.era(&method, &params) {
            Ok(era) => self.request(&method, Request { id, params, era }, scope),
            Err(error) => self.refuse(Some(&id), error),
        }
    }

    fn notification(&mut self, method: &str, params: &Map<String, Value>) {
        if method == "notifications/cancelled"
            && let Some(id) = params.get("requestId")
        {
            self.running.cancel(id);
        }
    }

    /// Returns the era of a request, or the error if it belongs to none.
    fn era(&self, method: &str, params: &Map<String, Value>) -> Result<Era, RpcError> {
        let meta = params.get("_meta");
        let version = meta.and_then(|meta| meta.get(META_VERSION));
        let capabilities = meta.and_then(|meta| meta.get(META_CAPABILITIES));
        let stateless = version.is_some() || capabilities.is_some();
        if !stateless
            && (self.greeted || method == "initialize" || method == "ping")
            && method != "server/discover"
        {
            return Ok(Era::Legacy);
        }
        let Some(version) = version.and_then(Value::as_str) else {
            return Err(RpcError::invalid_params(format!("_meta must name {META_VERSION}")));
        };
        if version != MODERN {
            let data = json!({"supported": [MODERN], "requested": version});
            let message = format!("Unsupported protocol version: {version}");
            return Err(RpcError { code: -32022, message, data: Some(data) });
        }
        if !capabilities.is_some_and(Value::is_object) {
            return Err(RpcError::invalid_params(format!("_meta must hold the object {META_CAPABILITIES}")));
        }
        Ok(Era::Modern)
    }

    fn request<'scope>(
        &mut self,
        method: &str,
        request: Request,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> io::Result<()> {
        let answer = match (method, request.era) {
            ("tools/call", _) => return self.call(request, scope),
            ("initialize", Era::Legacy) => {
                self.greeted = true;
                Ok((initialize(&request.params), Keep::NotCacheable))
            }
            ("ping", Era::Legacy) => Ok((json!({}), Keep::NotCacheable)),
            ("server/discover", Era::Modern) => Ok((discover(), Keep::Long)),
            ("tools/list", _) => first_page(&request, || json!({"tools": offer::tools()})),
            ("resources/list", _) => first_page(&request, || json!({"resources": offer::resources()})),
            ("resources/templates/list", _) => {
                first_page(&request, || json!({"resourceTemplates": offer::resource_templates()}))
            }
            ("prompts/list", _) => first_page(&request, || json!({"prompts": offer::prompts()})),
            ("resources/read", _) => self.read(&request),
            ("prompts/get", _) => prompt(&request).map(|body| (body, Keep::NotCacheable)),
            _ => Err(RpcError::new(-32601, format!("Method not found: {method}"))),
        };
        match answer {
            Ok((body, keep)) => send(self.output, &response(&request.id, finish(request.era, keep, body))),
            Err(error) => self.refuse(Some(&request.id), error),
        }
    }

    fn read(&self, request: &Request) -> Result<(Value, Keep), RpcError> {
        let uri = request.text("uri")?;
        let status = json!({
            "uptime_seconds": self.started.elapsed().as_secs(),
            "tool_calls": self.calls,
            "running": self.running.count(),
        });
        let keep = if uri == offer::STATUS { Keep::Never } else { Keep::Long };
        match offer::read(uri, &status) {
            Some(body) => Ok((body, keep)),
            None => Err(RpcError {
                code: if request.era == Era::Modern { -32602 } else { -32002 },
                message: "Resource not found".to_owned(),
                data: Some(json!({"uri": uri})),
            }),
        }
    }

    fn call<'scope>(
        &mut self,
        request: Request,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> io::Result<()> {
        let offered = request.text("name").and_then(|name| {
            let arguments = match request.params.get("arguments") {
                None | Some(Value::Null) => &Map::new(),
                Some(Value::Object(arguments)) => arguments,
                Some(_) => return Err(RpcError::invalid_params("arguments must be an object")),
            };
            let offered = offer::call(name, arguments, self.now);
            offered.ok_or_else(|| RpcError::invalid_params(format!("Unknown tool: {name}")))
        });
        self.calls += 1;
        match (offered, request.progress_token()) {
            (Ok(Offered::Done(body)), Ok(_)) => self.answer_call(&request, body),
            (Ok(Offered::Slow(slow)), Ok(token)) => self.start_slow(slow, token, request, scope),
            (Err(error), _) | (_, Err(error)) => self.refuse(Some(&request.id), error),
        }
    }

    fn answer_call(&self, request: &Request, body: Value) -> io::Result<()> {
        send(self.output, &response(&request.id, finish(request.era, Keep::NotCacheable, body)))
    }

    fn start_slow<'scope>(
        &self,
        slow: Slow,
        token: Option<Value>,
        request: Request,
        scope: &'scope thread::Scope<'scope, 'env>,
    ) -> io::Result<()> {
        match self.running.begin(&request.id) {
            Begun::Yes => {}
            Begun::SameId => {
                let error = RpcError::new(-32600, "A request with this id is still being answered");
                return self.refuse(Some(&request.id), error);
            }
            Begun::TooMany => {
                let text = format!("{MAX_SLOW} slow calls are running already; try again later");
                return self.answer_call(&request, offer::failure(&text));
            }
        }
        let (output, running, id) = (self.output, self.running, request.id.clone());
        let spawned = thread::Builder::new().name("slow".to_owned()).spawn_scoped(scope, move || {
            // A client that can no longer be written to has gone; the reading thread notices too.
            let _ = run_slow(&slow, token.as_ref(), &request, output, running);
            running.end(&request.id);
        });
        match spawned {
            Ok(_) => Ok(()),
            Err(error) => {
                self.running.end(&id);
                self.refuse(Some(&id), RpcError::new(-32603, format!("Cannot start a thread: {error}")))
            }
        }
    }

    fn refuse(&self, id: Option<&Value>, error: RpcError) -> io::Result<()> {
        let mut body = json!({"code": error.code, "message": error.message});
        if let Some(data) = error.data {
            body["data"] = data;
        }
        let mut message = json!({"jsonrpc": "2.0"});
        // An unknown id is left out: clients of both eras fail on `null`.
        if let Some(id) = id {
            message["id"] = id.clone();
        }
        message["error"] = body;
        send(self.output, &message)
    }
}

/// Runs the steps of a slow call. A cancelled call is not answered.
fn run_slow<W: Write>(
    slow: &Slow,
    token: Option<&Value>,
    request: &Request,
    output: &Mutex<W>,
    running: &Running,
) -> io::Result<()> {
    let started = Instant::now();
    for step in 1..=slow.steps {
        let due = started + slow.duration * step / slow.steps;
        if !running.wait_until(&request.id, due) {
            return Ok(());
        }
        if let Some(token) = token {
            let params = json!({
                "progressToken": token,
                "progress": step,
                "total": slow.steps,
                "message": format!("step {step} of {}", slow.steps),
            });
            send(output, &json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": params}))?;
        }
    }
    let body = offer::slow_done(slow);
    send(output, &response(&request.id, finish(request.era, Keep::NotCacheable, body)))
}

/// Answers a request for a list. Lists fit one page, so every cursor is invalid.
fn first_page(request: &Request, body: impl FnOnce() -> Value) -> Result<(Value, Keep), RpcError> {
    match request.params.get("cursor") {
        None => Ok((body(), Keep::Long)),
        Some(_) => Err(RpcError::invalid_params("Invalid cursor")),
    }
}

fn prompt(request: &Request) -> Result<Value, RpcError> {
    let name = request.text("name")?;
    let argument = |argument: &str| {
        request
            .params
            .get("arguments")
            .and_then(|a| a.get(argument))
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    if name != "greet" {
        return Err(RpcError::invalid_params(format!("Unknown prompt: {name}")));
    }
    let whom = argument("name").ok_or_else(|| RpcError::invalid_params("The argument name is required"))?;
    Ok(offer::greeting(&whom, argument("style").as_deref()))
}

fn initialize(params: &Map<String, Value>) -> Value {
    let asked = params.get("protocolVersion").and_then(Value::as_str).unwrap_or_default();
    let version = LEGACY.iter().find(|version| **version == asked).unwrap_or(&LEGACY[0]);
    json!({
        "protocolVersion": version,
        "capabilities": capabilities(),
        "serverInfo": offer::server_info(),
        "instructions": offer::INSTRUCTIONS,
    })
}

fn discover() -> Value {
    json!({
        "supportedVersions": [MODERN],
        "capabilities": capabilities(),
        "instructions": offer::INSTRUCTIONS,
    })
}

fn capabilities() -> Value {
    json!({"tools": {}, "resources": {}, "prompts": {}})
}

/// Adds the members that the era requires in every result.
fn finish(era: Era, keep: Keep, mut body: Value) -> Value {
    if era == Era::Modern {
        body["resultType"] = "complete".into();
        body["_meta"] = json!({"io.modelcontextprotocol/serverInfo": offer::server_info()});
        match keep {
            Keep::NotCacheable => {}
            Keep::Long => {
                body["ttlMs"] = 3_600_000.into();
                body["cacheScope"] = "public".into();
            }
            Keep::Never => {
                body["ttlMs"] = 0.into();
                body["cacheScope"] = "private".into();
            }
        }
    }
    body
}

#[cfg(test)]
mod tests;
