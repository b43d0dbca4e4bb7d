//! What commands share that talk to a running daemon: which one and with which key, a request, and what goes wrong.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;

use reqwest::{Client, Method, Response, Url};
use serde_json::Value;

use super::Exit;
use super::daemon::Place;
use crate::config::{ProcessEnvironment, usual_socket};
use crate::text::innermost;

/// The daemon to talk to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Access {
    /// Its address. `None` for the usual one.
    pub url: Option<String>,
    /// Its Unix socket. `None` for the usual one, if a daemon listens there and no address is given.
    pub socket: Option<PathBuf>,
    /// Key for it. `None` if it needs none.
    pub key: Option<String>,
}

/// Reason that a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    Usage(String),
    #[error("no daemon answers at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Refused(String),
    #[error("the answer broke off: {0}")]
    BrokenOff(String),
    #[error("nobody came back within ten minutes; begin again")]
    NobodyCame,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs a command to its end, and says on stderr what goes wrong.
pub(super) fn run(command: impl Future<Output = Result<(), Problem>>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(Problem::Io).and_then(|runtime| runtime.block_on(command));
    let Err(problem) = ended else { return Exit::Graceful };
    let _ = writeln!(io::stderr(), "mcpvisor: {problem}");
    match problem {
        Problem::Usage(_) => Exit::Usage,
        Problem::Refused(_) => Exit::Internal,
        Problem::Unreachable { .. } | Problem::BrokenOff(_) | Problem::NobodyCame | Problem::Io(_) => {
            Exit::Io
        }
    }
}

/// The daemon, as a command talks to it.
pub(super) struct Daemon<'a> {
    place: Place,
    client: Client,
    key: Option<&'a str>,
}

impl Daemon<'_> {
    /// Finds the daemon; connects nowhere.
    pub(super) fn find(access: &Access) -> Result<Daemon<'_>, Problem> {
        let usual = usual_socket(&ProcessEnvironment);
        let place = Place::find(access.socket.as_deref(), access.url.as_deref(), &usual);
        let client = place.client().build();
        let client =
            client.map_err(|error| Problem::Unreachable { url: place.shown(), reason: innermost(&error) })?;
        Ok(Daemon { place, client, key: access.key.as_deref() })
    }

    /// Returns the address of a path.
    pub(super) fn path(&self, path: &str) -> Result<Url, Problem> {
        self.place.address(path).map_err(Problem::Usage)
    }

    /// Returns the address of what `/api` has of a server, by the steps behind its name.
    pub(super) fn server(&self, name: &str, steps: &str) -> Result<Url, Problem> {
        let mut url = self.path("/api/servers")?;
        // `.` and `..` would lead elsewhere.
        let is_name = !matches!(name, "" | "." | "..");
        match url.path_segments_mut().ok().filter(|_| is_name) {
            Some(mut path) => {
                path.push(name).extend(steps.split('/').filter(|step| !step.is_empty()));
            }
            None => return Err(Problem::Usage(format!("{name:?} is no name of a server"))),
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
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        if let Some(key) = self.key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let said = body["error"].as_str().or(body["error"]["message"].as_str());
        let said = said.map_or_else(|| format!("the daemon answered {status}"), str::to_owned);
        let problems = body["problems"].as_array().into_iter().flatten().filter_map(Value::as_str);
        Err(Problem::Refused(problems.fold(said, |told, problem| format!("{told}\n  {problem}"))))
    }

    /// Does the same, and reads the answer.
    pub(super) async fn ask(&self, method: Method, url: Url, body: Option<&Value>) -> Result<Value, Problem> {
        let response = self.send(method, url, body).await?;
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Problem {
        Problem::Unreachable { url: self.place.shown(), reason: innermost(error) }
    }
}
