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

/// Waits until each server is in the state.
pub(super) async fn run(console: &Console, wait: &Wait) -> Result<(), Problem> {
    let end = Instant::now() + wait.timeout;
    for server in &wait.servers {
        let left = end.saturating_duration_since(Instant::now());
        let is_over = |state: &str| state == wait.state || FINAL.contains(&state);
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

/// Waits until a server is in a state that is wanted, and returns what is said of it then. A daemon that is started
/// meanwhile, and a server that is added meanwhile, are waited for as well.
pub(super) async fn until(
    console: &Console,
    server: &str,
    limit: Duration,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Value, Problem> {
    let end = Instant::now() + limit;
    loop {
        let last = match console.server(server).await {
            Ok(told) if is_wanted(told["state"].as_str().unwrap_or_default()) => return Ok(told),
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
    match state.as_str() {
        "ready" => format!("{server} is ready"),
        state => format!("{server} is in state {state}{cause}"),
    }
}
