//! What commands share that talk to a running daemon: which one and with which key, a request, and what goes wrong.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;

use reqwest::{Client, Method, Response, Url};
use serde_json::{Value, json};

use super::Exit;
use super::daemon::{CONNECT_TIMEOUT, KeyFile, Place};
use crate::config::{Flags, ProcessEnvironment, daemon_place, usual_socket};
use crate::text::{innermost, visible};

/// The daemon to talk to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// Its address. `None` for the usual one.
    pub url: Option<String>,
    /// Its Unix socket. `None` for the usual one, if a daemon listens there and no address is given.
    pub socket: Option<PathBuf>,
    /// Key for it. `None` for the owner's, if its file belongs to whoever the socket belongs to.
    pub key: Option<String>,
}

/// A daemon's answer that it did not do what it was asked.
#[derive(Debug, Default)]
pub(super) struct Refusal {
    /// Reason, for people.
    pub(super) told: String,
    /// Status of the answer; 0 if there was none.
    pub(super) status: u16,
    /// Word of `/v1` for the reason; empty if there is none.
    pub(super) code: String,
    /// The answer.
    pub(super) body: Value,
}

/// Reason that a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error(
        "no daemon answers at {url}: {reason}\n  start one with `mcpvisor serve`, or say where it is by --url or --socket"
    )]
    Unreachable { url: String, reason: String },
    #[error("{}", .0.told)]
    Refused(Box<Refusal>),
    #[error("{0}")]
    ToolFailed(String),
    #[error("{0}")]
    TimedOut(String),
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    #[error("nobody came back within ten minutes; begin again")]
    NobodyCame,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Problem {
    /// Makes a refusal that needs no more than its reason.
    pub(super) fn refused(told: impl Into<String>) -> Problem {
        Problem::Refused(Box::new(Refusal { told: told.into(), ..Refusal::default() }))
    }

    fn exit(&self) -> Exit {
        match self {
            Problem::Usage(_) => Exit::Usage,
            Problem::Refused(_) => Exit::Refused,
            Problem::ToolFailed(_) => Exit::ToolFailed,
            Problem::Unreachable { .. } => Exit::Unreachable,
            Problem::TimedOut(_) | Problem::NobodyCame => Exit::TimedOut,
            Problem::BrokenOff(_) | Problem::Io(_) => Exit::Io,
        }
    }
}

/// Runs a command to its end, and says on stderr what goes wrong.
pub(super) fn run(command: impl Future<Output = Result<(), Problem>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Problem::Io).and_then(|runtime| runtime.block_on(command));
    match ended {
        Ok(()) => Exit::Graceful,
        // Whoever read has had enough, as `head` has.
        Err(Problem::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Graceful,
        Err(problem) => {
            // It may repeat what a server said.
            let _ = writeln!(io::stderr(), "mcpvisor: {}", visible(&problem.to_string(), true));
            problem.exit()
        }
    }
}

/// Reports whether a daemon listens where this leads to.
pub(super) fn is_there(access: &Access) -> bool {
    Daemon::find(access).is_ok_and(|daemon| daemon.place.is_answered())
}

/// Most items that a page of a list may have.
const PAGE: usize = 100;
/// Path of a sign-in to the dashboard.
const SIGN_IN: &str = "/ui/session";
/// Version of MCP that a command speaks.
const MCP_VERSION: &str = "2026-07-28";

/// The daemon, as a command talks to it.
pub(super) struct Daemon {
    access: Access,
    place: Place,
    client: Client,
    key: Option<String>,
    /// File that the key was found in. `None` if it was given.
    key_file: Option<PathBuf>,
}

impl Daemon {
    /// Finds the daemon; connects nowhere.
    pub(super) fn find(access: &Access) -> Result<Daemon, Problem> {
        let env = ProcessEnvironment;
        // With settings that cannot be read, a command is better than none.
        let here = daemon_place(&Flags::default(), &env).ok();
        let usual = here.as_ref().and_then(|here| here.socket.clone()).unwrap_or_else(|| usual_socket(&env));
        let place = Place::find(access.socket.as_deref(), access.url.as_deref(), &usual);
        let client = place.client().connect_timeout(CONNECT_TIMEOUT).build();
        let client =
            client.map_err(|error| Problem::Unreachable { url: place.shown(), reason: innermost(&error) })?;
        let found = match &access.key {
            Some(_) => None,
            None => place.key_file(here.as_ref().map(|here| here.data_dir.as_path())),
        };
        let (key, key_file) = match found {
            Some(KeyFile { path, key }) => (Some(key), Some(path)),
            None => (access.key.clone(), None),
        };
        Ok(Daemon { access: access.clone(), place, client, key, key_file })
    }

    /// Finds it again: one that has been started meanwhile may be elsewhere.
    pub(super) fn again(&self) -> Result<Daemon, Problem> {
        Daemon::find(&self.access)
    }

    /// Reports whether somebody listens there.
    pub(super) fn is_answered(&self) -> bool {
        self.place.is_answered()
    }

    /// Reports whether it is the one that was meant: the address that is taken where there is no socket may be that of a daemon which
    /// is about to make one.
    pub(super) fn is_settled(&self) -> bool {
        let Access { url, socket, key } = &self.access;
        self.place.socket.is_some() || url.is_some() || socket.is_some() || key.is_some()
    }

    /// Returns where it is, as people write it.
    pub(super) fn shown(&self) -> String {
        self.place.shown()
    }

    /// Returns its address, without a slash at its end, as a browser takes it: that of its settings where it was found by its
    /// socket.
    pub(super) fn address(&self) -> Result<String, Problem> {
        if self.place.socket.is_none() {
            self.path("/")?;
            return Ok(self.place.url.clone());
        }
        let here = daemon_place(&Flags::default(), &ProcessEnvironment).ok();
        let Some(here) = here.filter(|here| here.socket == self.place.socket && here.port != 0) else {
            let told =
                format!("the address of the daemon at {} is not known; give it by --url", self.shown());
            return Err(Problem::Usage(told));
        };
        let scheme = if here.tls { "https" } else { "http" };
        Ok(format!("{scheme}://127.0.0.1:{}", here.port))
    }

    /// Reports whether it was told a key, which it sends everywhere.
    pub(super) fn has_given_key(&self) -> bool {
        self.key.is_some() && self.key_file.is_none()
    }

    /// Signs in as the dashboard does, with the key that there is where one is needed. Returns the headers that are of the
    /// sign-in, for whoever asks in its name.
    pub(super) async fn sign_in(&self) -> Result<[(&'static str, String); 2], Problem> {
        let url = self.path(SIGN_IN)?;
        let response = self.send(Method::POST, url, None).await?;
        let cookie = response.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned();
        let said = response.bytes().await.map_err(|error| Problem::BrokenOff(innermost(&error)))?;
        let said: Value = serde_json::from_slice(&said).unwrap_or_default();
        let token = said["token"].as_str().unwrap_or_default().to_owned();
        Ok([("cookie", cookie), ("x-csrf-token", token)])
    }

    /// Signs out.
    pub(super) async fn sign_out(&self, headers: &[(&'static str, String)]) -> Result<(), Problem> {
        self.in_name_of(headers, Method::DELETE, SIGN_IN).await.map(drop)
    }

    /// Asks for a path in the name of a sign-in.
    pub(super) async fn in_name_of(
        &self,
        headers: &[(&'static str, String)],
        method: Method,
        path: &str,
    ) -> Result<Response, Problem> {
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.send_with(method, self.path(path)?, None, &headers).await
    }

    /// Returns a sentence about the file that has the owner's key; empty if none was found.
    pub(super) fn about_found_key(&self) -> String {
        self.key_file.as_ref().map(|file| format!("; it is in {}", file.display())).unwrap_or_default()
    }

    /// Returns the address of a path.
    pub(super) fn path(&self, path: &str) -> Result<Url, Problem> {
        self.place.address(path).map_err(Problem::Usage)
    }

    /// Returns the address of what `/api` has of a server, by the steps behind its name.
    pub(super) fn server(&self, name: &str, steps: &str) -> Result<Url, Problem> {
        self.below("/api/servers", name, steps)
    }

    /// Returns the address of what a list of `/v1` has of one of its things, by the steps behind its id.
    pub(super) fn below(&self, list: &str, id: &str, steps: &str) -> Result<Url, Problem> {
        let mut url = self.path(list)?;
        // `.` and `..` would lead elsewhere.
        let is_name = !matches!(id, "" | "." | "..");
        match url.path_segments_mut().ok().filter(|_| is_name) {
            Some(mut path) => {
                path.push(id).extend(steps.split('/').filter(|step| !step.is_empty()));
            }
            None => return Err(Problem::Usage(format!("{id:?} is no name of a server"))),
        }
        Ok(url)
    }

    /// Sends a request; fails with the daemon's reason if it is refused.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Response, Problem> {
        self.send_with(method, url, body, &[]).await
    }

    async fn send_with(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Response, Problem> {
        let attempt = async |key: Option<&str>| {
            let mut request = self.client.request(method.clone(), url.clone());
            if let Some(body) = body {
                request = request.header("content-type", "application/json").body(body.to_string());
            }
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
            request.send().await.map_err(|error| self.unreachable(&error))
        };
        let mut response = attempt(self.key_for(&url)).await?;
        // Where `/api` and `/mcp` know nobody without a key (`api.auth = "required"`), the one that was found is for them as well. What
        // was refused so was not carried out.
        let was_withheld = self.key_file.is_some() && self.key_for(&url).is_none();
        let is_signed_in = headers.iter().any(|(name, _)| *name == "cookie");
        if response.status() == 401 && was_withheld && !is_signed_in {
            response = attempt(self.key.as_deref()).await?;
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut refusal = refusal(status.as_u16(), &body);
        if refusal.told.is_empty() {
            refusal.told = format!("{} answered {status}, which is no answer of mcpvisor", self.shown());
        }
        if refusal.status == 401 {
            refusal.told += &self.about_keys(&url);
        }
        Err(Problem::Refused(Box::new(refusal)))
    }

    /// Does the same, and reads the answer.
    pub(super) async fn ask(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, Problem> {
        let text = self.ask_text(method, url, body).await?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Does the same, and leaves the answer as it was written.
    pub(super) async fn ask_text(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<String, Problem> {
        let response = self.send(method, url, body).await?;
        response.text().await.map_err(|error| Problem::BrokenOff(innermost(&error)))
    }

    /// Reads what is at a path, with these parameters.
    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Problem> {
        let mut url = self.path(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        self.ask(Method::GET, url, None).await
    }

    /// Reads the first `most` items of a list of `/v1` that comes in pages.
    pub(super) async fn pages(
        &self,
        path: &str,
        query: &[(&str, &str)],
        most: usize,
    ) -> Result<Vec<Value>, Problem> {
        let (per_page, mut items) = (most.min(PAGE).to_string(), Vec::new());
        for page in 1.. {
            let page = page.to_string();
            let pages = [("page", page.as_str()), ("per_page", per_page.as_str())];
            let mut answer = self.get(path, &[query, &pages].concat()).await?;
            let Value::Array(read) = answer["data"].take() else { break };
            let is_last =
                read.is_empty() || answer["pagination"]["page"] == answer["pagination"]["total_pages"];
            items.extend(read);
            if is_last || items.len() >= most {
                break;
            }
        }
        items.truncate(most);
        Ok(items)
    }

    /// Sends a request of MCP to a server's endpoint, in the era that needs no session, and returns its result.
    pub(super) async fn mcp(&self, server: &str, method: &str, mut params: Value) -> Result<Value, Problem> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": MCP_VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let headers =
            [("mcp-protocol-version", MCP_VERSION), ("mcp-method", method), ("accept", "application/json")];
        let url = self.below("/mcp", server, "")?;
        let response = self.send_with(Method::POST, url, Some(&body), &headers).await?;
        let text = response.text().await.map_err(|error| Problem::BrokenOff(innermost(&error)))?;
        let mut answer: Value = serde_json::from_str(&text).unwrap_or_default();
        match answer["error"]["message"].as_str() {
            Some(told) => Err(Problem::refused(told)),
            None => Ok(answer["result"].take()),
        }
    }

    /// Returns the key to send at first. One that was only found is for `/v1`: the other dialects mostly know this user without one, and
    /// would refuse the key of another daemon.
    fn key_for(&self, url: &Url) -> Option<&str> {
        let needs_one = self.key_file.is_none() || url.path().starts_with("/v1/");
        self.key.as_deref().filter(|_| needs_one)
    }

    /// Returns what to do about a refused key, or about none.
    fn about_keys(&self, url: &Url) -> String {
        match (&self.key_file, self.key_for(url)) {
            (Some(file), _) => format!(
                "\n  the key in {} is not one of this daemon's; give one by MCPVISOR_KEY or --key",
                file.display()
            ),
            (None, Some(_)) => String::new(),
            (None, None) => {
                "\n  give a key by MCPVISOR_KEY or --key; the owner's is in owner.key of the daemon's data \
                             directory, and is found there by itself over the usual Unix socket"
                    .to_owned()
            }
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Problem {
        Problem::Unreachable { url: self.place.shown(), reason: innermost(error) }
    }
}

/// Reads the reason of a refusal in the shape of any dialect; without one its text is empty.
fn refusal(status: u16, body: &Value) -> Refusal {
    let error = &body["error"];
    let said = error.as_str().or(error["message"].as_str()).unwrap_or_default();
    let lines = body["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let told = lines.fold(said.to_owned(), |told, problem| format!("{told}\n  {problem}"));
    let code = error["code"].as_str().or(body["code"].as_str()).unwrap_or_default().to_owned();
    let mut refusal = Refusal { told, status, code, body: body.clone() };
    // Of a wrong request each field has its own reason.
    if matches!(status, 400 | 422) && refusal.code != "mcp_error" {
        for (field, why) in error["details"].as_object().into_iter().flatten() {
            if let Some(why) = why.as_str().filter(|why| !refusal.told.contains(*why)) {
                refusal.told += &format!("\n  {field} {why}");
            }
        }
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_any_dialect_says_why_and_what_is_wrong_with_each_field() {
        let of_v1 = json!({"error": {"code": "invalid_request", "message": "Bad", "details": {"name": "is missing", "n": 1}}});
        let told = refusal(400, &of_v1);
        assert_eq!((told.told.as_str(), told.code.as_str()), ("Bad\n  name is missing", "invalid_request"));
        let of_api = json!({"error": "Bad", "code": "mcp_timeout", "problems": ["a", "b"]});
        let told = refusal(500, &of_api);
        assert_eq!((told.told.as_str(), told.code.as_str()), ("Bad\n  a\n  b", "mcp_timeout"));
        let of_tool =
            json!({"error": {"code": "mcp_error", "message": "m", "details": {"mcp_error": "out of paper"}}});
        assert_eq!(refusal(422, &of_tool).told, "m", "a tool's words are shown elsewhere");
        assert_eq!(refusal(502, &Value::Null).told, "");
    }

    #[test]
    fn each_reason_has_its_exit_code() {
        let unreachable = Problem::Unreachable { url: String::new(), reason: String::new() };
        for (problem, code) in [
            (Problem::Usage(String::new()), 2),
            (Problem::refused(""), 4),
            (Problem::ToolFailed(String::new()), 5),
            (unreachable, 69),
            (Problem::BrokenOff(String::new()), 74),
            (Problem::TimedOut(String::new()), 75),
        ] {
            assert_eq!(problem.exit().code(), code, "{problem:?}");
        }
    }
}
