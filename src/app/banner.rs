//! Text that a person sees when the daemon starts: its addresses, the place of the owner's key, the state of
//! the servers.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::gateway::{Gateway, QueuedStartView, ServerView, State};
use crate::http::ApiAuth;
use crate::registry::OWNER_KEY_FILE;

/// Longest time that the first list of servers waits for those that are still starting.
const FIRST_LIST_TIMEOUT: Duration = Duration::from_millis(1500);
/// Longest time that the second list waits for servers that were still starting in the first one, and the
/// interval of its checks.
const SECOND_LIST_TIMEOUT: Duration = Duration::from_secs(60);
const SECOND_LOOK: Duration = Duration::from_millis(200);
/// Interval of the first list's checks; states are published one by one.
const LOOK: Duration = Duration::from_millis(10);

/// Addresses that the daemon listens on.
pub(super) struct ListenAddresses {
    /// Address that serves all routes.
    pub(super) address: SocketAddr,
    /// Address that serves the operational routes alone. `None` if there is none.
    pub(super) operations: Option<SocketAddr>,
    /// Path of the Unix socket. `None` if there is none.
    pub(super) socket: Option<PathBuf>,
}

/// Prints the addresses at once, and the servers once the quick ones are ready.
pub(super) async fn show(
    config: Config,
    doors: ListenAddresses,
    url: String,
    gateway: Gateway,
    started: Instant,
) {
    print(&addresses(&config, &doors, &url));
    let deadline = Instant::now() + FIRST_LIST_TIMEOUT;
    while Instant::now() < deadline && gateway.all_servers().iter().any(is_starting) {
        tokio::time::sleep(LOOK).await;
    }
    let first = gateway.all_servers();
    print(&servers(&first, &first, started.elapsed()));
    if !first.iter().any(is_starting) {
        return;
    }
    // The servers that were still starting are listed once more when they have settled, with their result.
    let deadline = Instant::now() + SECOND_LIST_TIMEOUT;
    let mut settled = gateway.all_servers();
    while Instant::now() < deadline
        && settled.iter().any(|server| !server.status.settled && is_starting(server))
    {
        tokio::time::sleep(SECOND_LOOK).await;
        settled = gateway.all_servers();
    }
    let were_starting =
        |server: &&ServerView| first.iter().any(|one| one.id == server.id && is_starting(one));
    let shown: Vec<ServerView> = settled.iter().filter(were_starting).cloned().collect();
    print(&servers(&shown, &settled, started.elapsed()));
}

/// Writes to standard output. A closed output is no reason to stop.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn is_starting(server: &ServerView) -> bool {
    server.status.state == State::Starting
}

fn addresses(config: &Config, doors: &ListenAddresses, url: &str) -> String {
    let is_near = doors.address.ip().is_loopback();
    let open = |auth, key: &str| match (auth, is_near) {
        (ApiAuth::Off, _) => "open to everyone who can connect".to_owned(),
        (ApiAuth::Auto, true) => format!("open to this user's programs; others need {key}"),
        (ApiAuth::Auto, false) => format!("open to this user's programs at localhost; others need {key}"),
        (ApiAuth::Required, _) => {
            format!("{} required", key.trim_start_matches("an ").trim_start_matches("a "))
        }
    };
    let api = open(config.http.api_auth, "an owner or admin key");
    let tokens = config.http.oidc.is_some();
    let mcp = open(config.http.mcp.auth, if tokens { "a key or an access token" } else { "a key" });
    let key = config.data_dir.join(OWNER_KEY_FILE);
    let mut text = format!(
        "mcpvisor {version}\n\
         \n\
         \x20 PlexMCP API   {url}/v1       key required\n\
         \x20 MCP CLI API   {url}/api      {api}\n\
         \x20 MCP           {url}/mcp/NAME {mcp}\n\
         \x20 Operations    {url}/readyz   /healthz, /metrics\n\
         \x20 Owner key     {key}\n",
        version = env!("CARGO_PKG_VERSION"),
        key = key.display(),
    );
    if let Some(address) = doors.operations {
        let _ = writeln!(text, "  Metrics       http://{address}/metrics");
    }
    if let Some(socket) = &doors.socket {
        let _ = writeln!(text, "  Unix socket   {}", socket.display());
    }
    text.push('\n');
    text
}

/// Lists `shown`, one line each, and the count of ready servers among `all`.
fn servers(shown: &[ServerView], all: &[ServerView], took: Duration) -> String {
    let mut text = String::new();
    if all.is_empty() {
        text.push_str(
            "  No servers yet: `mcpvisor add npx:PACKAGE`, or name a servers file with --servers.\n\n",
        );
        return text;
    }
    let width = shown.iter().map(|server| server.name.chars().count()).max().unwrap_or(0).min(40);
    for server in shown {
        let state = server.status.state.name();
        let _ = writeln!(text, "  {:width$}   {state:12}   {}", server.name, describe(server));
    }
    let count = |is: fn(&State) -> bool| all.iter().filter(|server| is(&server.status.state)).count();
    let (ready, resting) = (count(|state| *state == State::Ready), count(|state| *state == State::Idle));
    let _ =
        write!(text, "\n  {ready} of {} servers ready after {} ms", all.len() - resting, took.as_millis());
    let _ = if resting > 0 { writeln!(text, ", {resting} on demand\n") } else { writeln!(text, "\n") };
    text
}

fn describe(server: &ServerView) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match &server.status.state {
        State::Ready | State::Degraded => {
            let tools = count(server.catalog.tools().len(), "tool");
            if let Some(remark) = server.status.remarks.first() {
                return remark.clone();
            }
            let resources = count(server.catalog.resources().len(), "resource");
            let version = server.status.introduction.as_ref().map_or("", |known| &known.protocol_version);
            format!("{tools}, {resources}, MCP {version}")
        }
        State::Disabled if let Some(reason) = server.definition.idle_reason() => reason.to_owned(),
        State::Disabled => "switched off in its definition".to_owned(),
        State::Stopped => "stopped by an operator".to_owned(),
        State::Starting => match server.status.turn.as_ref().and_then(QueuedStartView::before) {
            Some(before) => format!("waits for its turn ({before} before it)"),
            None => server.status.cause().unwrap_or_else(|| "goes on in the background".to_owned()),
        },
        State::Idle => format!("starts on demand; {} known", count(server.catalog.tools().len(), "tool")),
        State::Stopping => String::new(),
        State::Backoff { cause, .. }
        | State::Unauthorized { cause, .. }
        | State::Failed { cause }
        | State::Exited { cause } => cause.to_string(),
    }
}
