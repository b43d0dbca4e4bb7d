//! `mcpvisor wait`: waits until servers are in a state.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::console::Console;
use super::words::{plain, shell_word};
use crate::cli::client::Problem;

/// Pause between two looks: the API does not tell of changes by itself.
const PAUSE: Duration = Duration::from_millis(250);
/// States that nothing but a person's act leads out of.
const FINAL: [&str; 5] = ["disabled", "stopped", "failed", "unauthorized", "exited"];

/// States in which calls are served.
const SERVES: [&str; 2] = ["ready", "degraded"];
/// Looks at a daemon that answers by its usual address alone, and wants a key there: two seconds.
const LOOKS_FOR_A_SOCKET: usize = 8;

/// Servers to wait for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Wait {
    /// Names of the servers.
    pub servers: Vec<String>,
    /// State to wait for.
    pub state: String,
    /// Longest time to wait.
    pub timeout: Duration,
}

/// Waits until each server is in the state, and what serves is what its definition says by now: a child that is being replaced, by a
/// restart or an edit, is `ready` to the end.
pub(super) async fn run(console: &Console, wait: &Wait) -> Result<(), Problem> {
    let end = Instant::now() + wait.timeout;
    let found = reached(console, end).await?;
    let console = found.as_ref().unwrap_or(console);
    for server in &wait.servers {
        let left = end.saturating_duration_since(Instant::now());
        let is_over = |told: &Value| {
            let state = told["state"].as_str().unwrap_or_default();
            state == wait.state && !(SERVES.contains(&state) && is_being_replaced(told))
                || state != wait.state && FINAL.contains(&state)
        };
        let told = until(console, server, left, is_over).await?;
        if told["state"] != wait.state.as_str() {
            return Err(Problem::refused(format!(
                "{} (`mcpvisor status {}` says more)",
                how(server, &told),
                shell_word(server)
            )));
        }
        console.screen.remark(&how(server, &told));
    }
    Ok(())
}

/// Waits for a daemon to listen, if no command could have found it when this one began: one that is just being started makes its
/// socket a moment after its address. `None` if it was there.
async fn reached(console: &Console, end: Instant) -> Result<Option<Console>, Problem> {
    let mut found = None;
    let mut answers = 0;
    loop {
        let daemon = found.as_ref().map_or(&console.daemon, |console: &Console| &console.daemon);
        answers += usize::from(daemon.is_answered());
        let is_settled = daemon.is_settled() && answers > 0 || answers > LOOKS_FOR_A_SOCKET;
        if is_settled || Instant::now() + PAUSE >= end {
            return Ok(found);
        }
        tokio::time::sleep(PAUSE).await;
        found = Some(Console { daemon: console.daemon.again()?, ..*console });
    }
}

/// Reports whether something serves for a server that its definition has been changed for, or that is being restarted.
fn is_being_replaced(told: &Value) -> bool {
    let how = &told["supervision"];
    let replicas = how["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_old = |one: &Value| {
        one["outdated"] == true && one["state"].as_str().is_some_and(|state| SERVES.contains(&state))
    };
    !how["update"].is_null() || replicas.iter().any(is_old)
}

/// Waits until a server is as it is wanted, and returns what is said of it then. A daemon that is started
/// meanwhile, and a server that is added meanwhile, are waited for as well.
pub(super) async fn until(
    console: &Console,
    server: &str,
    limit: Duration,
    is_wanted: impl Fn(&Value) -> bool,
) -> Result<Value, Problem> {
    let end = Instant::now() + limit;
    loop {
        let last = match console.server(server).await {
            Ok(told) if is_wanted(&told) => return Ok(told),
            Ok(told) => Problem::TimedOut(format!("{}, after {}", how(server, &told), seconds(limit))),
            Err(problem @ Problem::Unreachable { .. }) => problem,
            // Others that ask use up the same rate.
            Err(Problem::Refused(refusal)) if refusal.status == 429 => Problem::TimedOut(refusal.told),
            Err(problem) => return Err(problem),
        };
        if Instant::now() + PAUSE >= end {
            return Err(last);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn seconds(length: Duration) -> String {
    format!("{:.1} s", length.as_secs_f64())
}

/// Says how a server is.
pub(super) fn how(server: &str, told: &Value) -> String {
    let cause = told["cause"].as_str().map_or_else(String::new, |cause| format!(": {cause}"));
    let state = plain(&told["state"]);
    let update = &told["supervision"]["update"];
    match state.as_str() {
        // The one that is to replace it says why it does not.
        state if SERVES.contains(&state) && !update.is_null() => {
            let cause = update["cause"].as_str().map_or_else(String::new, |cause| format!(": {cause}"));
            let next = plain(&update["state"]);
            format!(
                "{server} is {state} as it was before, and what is to replace it is in state {next}{cause}"
            )
        }
        "ready" => format!("{server} is ready"),
        state => format!("{server} is in state {state}{cause}"),
    }
}
