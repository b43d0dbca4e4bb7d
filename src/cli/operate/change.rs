//! `mcpvisor restart`, `start`, `stop`, `enable`, `disable` and `rm`.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::console::Console;
use super::wait;
use super::words::shell_word;
use crate::cli::client::Problem;

/// Restarts servers: what waits for its next start is tried now, and a child that serves is replaced when its successor is
/// ready.
pub(super) async fn restart(console: &Console, servers: &[String]) -> Result<(), Problem> {
    for server in servers {
        console.of_server(Method::POST, server, "restart", None).await?;
        let word = shell_word(server);
        console
            .screen
            .remark(&format!("{server} is being restarted; `mcpvisor wait {word}` waits until it is ready"));
    }
    Ok(())
}

/// What is to become of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Switch {
    /// They are started, whatever stopped them but their definition.
    Start,
    /// They are stopped until somebody starts them or the daemon.
    Stop,
    /// They are switched on in their definition.
    Enable,
    /// They are switched off in their definition.
    Disable,
}

impl Switch {
    /// Returns the step of the API's path, and what to say of it.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Switch::Start => ("start", "is being started"),
            Switch::Stop => ("stop", "is being stopped, and stays so until `mcpvisor start`"),
            Switch::Enable => ("enable", "is switched on"),
            Switch::Disable => ("disable", "is switched off, also when the daemon is started anew"),
        }
    }

    /// Returns the states that are waited for, and those in which it is in vain to wait on.
    fn states(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Switch::Start => (&["ready"], &["failed", "unauthorized", "exited"]),
            Switch::Enable => (&["ready", "idle"], &["failed", "unauthorized", "exited"]),
            Switch::Stop => (&["stopped"], &["disabled"]),
            Switch::Disable => (&["disabled"], &[]),
        }
    }
}

/// Switches servers, and waits so long for what was asked for, if it is to be waited for.
pub(super) async fn switch(
    console: &Console,
    switch: Switch,
    servers: &[String],
    wait: Option<Duration>,
) -> Result<(), Problem> {
    let (step, told) = switch.words();
    for server in servers {
        console.of_server(Method::POST, server, step, None).await?;
        if wait.is_none() {
            console.screen.remark(&format!("{server} {told}"));
        }
    }
    let (wanted, vain) = switch.states();
    for server in servers.iter().filter(|_| wait.is_some()) {
        let is_over = |told: &Value| {
            let state = told["state"].as_str().unwrap_or_default();
            wanted.contains(&state) || vain.contains(&state)
        };
        let told = wait::until(console, server, wait.unwrap_or_default(), is_over).await?;
        let how = wait::how(server, &told);
        if !wanted.iter().any(|wanted| told["state"] == **wanted) {
            let word = shell_word(server);
            return Err(Problem::refused(format!("{how} (`mcpvisor status {word}` says more)")));
        }
        console.screen.remark(&how);
    }
    Ok(())
}

/// Removes servers. Their processes are ended in the background.
pub(super) async fn remove(console: &Console, servers: &[String]) -> Result<(), Problem> {
    for server in servers {
        let removed = console.daemon.ask(Method::DELETE, console.daemon.server(server, "")?, None).await;
        if let Err(problem) = removed {
            return Err(console.explained(server, problem).await);
        }
        console.screen.remark(&format!("removed {server}"));
    }
    Ok(())
}
