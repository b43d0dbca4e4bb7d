//! `mcpvisor restart` and `mcpvisor rm`.

use reqwest::Method;

use super::console::Console;
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
