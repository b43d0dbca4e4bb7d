//! `mcpvisor stdio`: the MCP front door on stdin and stdout, for clients that only start commands. A bridge to the
//! Streamable HTTP of a running daemon (`docs/mcp.md`), which is started if none runs.

mod bridge;
mod fault;
mod headers;
mod line;
mod pending;
mod pipes;
mod remote;
mod session;
mod starting;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

pub use self::starting::Starter;

use self::bridge::Bridge;
use self::remote::Remote;
use self::starting::{StartedIn, start};
use super::Exit;
use super::daemon::Place;
use crate::config::{DaemonPlace, Environment, Flags, daemon_place, list_problems};
use crate::text::is_invisible;

/// Time that requests under way have to end once the client has closed its end.
const GRACE: Duration = Duration::from_secs(10);
/// The same after a signal.
const SHORT_GRACE: Duration = Duration::from_secs(1);
/// Longest time that the last messages may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Options of the bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stdio {
    /// Server or group to offer. `None` for all servers.
    pub server: Option<String>,
    /// Address of a daemon that runs already. `None` for the usual one.
    pub url: Option<String>,
    /// Unix socket of a daemon that runs already. `None` for the usual one.
    pub socket: Option<PathBuf>,
    /// Key for the daemon. `None` if it needs none.
    pub key: Option<String>,
    /// `true` if no daemon is to be started.
    pub no_start: bool,
}

/// Reason that there is no bridge.
#[derive(Debug)]
enum Problem {
    Usage(String),
    Config(String),
    Io(String),
}

/// Runs the bridge until the client has closed stdin, does not read stdout any more, or a signal ends it.
pub fn run(stdio: &Stdio, env: &dyn Environment, start: Starter<'_>) -> Exit {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&Problem::Io(error.to_string())),
    };
    let ended = runtime.block_on(serve(stdio, env, start));
    // Whatever is left is the system's to wait for.
    runtime.shutdown_background();
    ended.unwrap_or_else(|problem| complain(&problem))
}

fn complain(problem: &Problem) -> Exit {
    let (text, exit) = match problem {
        Problem::Usage(text) => (text, Exit::Usage),
        Problem::Config(text) => (text, Exit::Config),
        Problem::Io(text) => (text, Exit::Io),
    };
    let _ = writeln!(io::stderr(), "mcpvisor stdio: {text}");
    exit
}

/// Tells the person who reads a client's log, in one line.
fn note(text: &str) {
    let text: String = text.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    let _ = writeln!(io::stderr(), "mcpvisor stdio: {text}");
}

async fn serve(stdio: &Stdio, env: &dyn Environment, start: Starter<'_>) -> Result<Exit, Problem> {
    let failed = |error: io::Error| Problem::Io(error.to_string());
    let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut hung_up = signal(SignalKind::hangup()).map_err(failed)?;
    let place = tokio::select! {
        place = find(stdio, env, start) => place?,
        _ = terminated.recv() => return Ok(Exit::Graceful),
        _ = interrupted.recv() => return Ok(Exit::Graceful),
    };
    let endpoint = place.endpoint(stdio.server.as_deref()).map_err(Problem::Usage)?;
    let remote = Remote::new(&place, endpoint, stdio.key.clone()).map_err(Problem::Io)?;
    let what = stdio.server.as_ref().map_or_else(|| "all servers".to_owned(), |server| format!("{server:?}"));
    // An address may lead through a proxy, so that only the first request shows whether anybody is there.
    let verb = if stdio.url.is_some() { "speaks" } else { "connected" };
    note(&format!("{verb} to {what} of the daemon at {}", place.shown()));
    let lines = pipes::read(io::stdin()).map_err(failed)?;
    let (output, mut written) = pipes::write(io::stdout()).map_err(failed)?;
    let bridge = Bridge::new(remote, output);
    let mut is_broken = false;
    let grace = tokio::select! {
        () = bridge.take_all(lines) => GRACE,
        _ = terminated.recv() => SHORT_GRACE,
        _ = interrupted.recv() => SHORT_GRACE,
        _ = hung_up.recv() => SHORT_GRACE,
        _ = &mut written => {
            is_broken = true;
            Duration::ZERO
        }
    };
    tokio::select! {
        () = bridge.finish(grace) => {}
        // Who says it twice does not want to wait.
        _ = terminated.recv() => return Ok(Exit::Forced),
        _ = interrupted.recv() => return Ok(Exit::Forced),
    }
    if is_broken {
        return Err(Problem::Io("nobody reads stdout any more".to_owned()));
    }
    match timeout(LAST_LINES, written).await {
        Ok(Ok(Err(error))) => Err(Problem::Io(format!("stdout cannot be written: {error}"))),
        _ => Ok(Exit::Graceful),
    }
}

/// Finds the daemon, or starts it.
async fn find(stdio: &Stdio, env: &dyn Environment, starter: Starter<'_>) -> Result<Place, Problem> {
    if stdio.url.is_some() || stdio.socket.is_some() {
        let place = Place::given(stdio.socket.as_deref(), stdio.url.as_deref());
        if stdio.socket.is_some() && !place.is_answered() {
            return Err(Problem::Io(format!("no daemon answers at {}", place.shown())));
        }
        return Ok(place);
    }
    let home = env.var("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    let directory = home.unwrap_or_else(|| PathBuf::from("/"));
    let env = StartedIn { env, directory: directory.clone() };
    let found = daemon_place(&Flags::default(), &env)
        .map_err(|problems| Problem::Config(list_problems(&problems).trim_end().to_owned()))?;
    let place = usual_place(&found);
    if place.is_answered() {
        return Ok(place);
    }
    if stdio.no_start {
        let text = format!("no daemon answers at {}; start one with \"mcpvisor serve\"", place.shown());
        return Err(Problem::Io(text));
    }
    let started = start(starter, &directory, &found, &place).await.map_err(Problem::Io)?;
    if let Some(pid) = started.pid {
        let log = started.log.display();
        note(&format!(
            "started a daemon, which stays when this ends: stop it with \"kill {pid}\"; its log is {log}"
        ));
    }
    Ok(place)
}

fn usual_place(found: &DaemonPlace) -> Place {
    let scheme = if found.tls { "https" } else { "http" };
    Place { socket: found.socket.clone(), url: format!("{scheme}://127.0.0.1:{}", found.port) }
}
