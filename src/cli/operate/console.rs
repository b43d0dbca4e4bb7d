//! What every command of an operator works with: the daemon, the output and the time.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use time::OffsetDateTime;

use super::screen::Screen;
use crate::cli::client::{Daemon, Problem, Refusal};
use crate::nearest::closest;

/// Most servers that are listed.
pub(super) const MAX_SERVERS: usize = 10_000;
/// Most names that a remark lists.
const MAX_NAMED: usize = 8;

/// The daemon, the output and the time.
pub(super) struct Console {
    /// The daemon that is asked.
    pub(super) daemon: Daemon,
    /// The output.
    pub(super) screen: Screen,
    /// Clock.
    pub(super) now: fn() -> OffsetDateTime,
}

impl Console {
    /// Returns what `GET /v1/mcps/{id}` says of a server.
    pub(super) async fn server(&self, name: &str) -> Result<Value, Problem> {
        self.of_server(Method::GET, name, "", None).await
    }

    /// Sends a request about a server to `/v1`, by the steps behind its name, and returns the data of the answer.
    pub(super) async fn of_server(
        &self,
        method: Method,
        name: &str,
        steps: &str,
        body: Option<&Value>,
    ) -> Result<Value, Problem> {
        let url = self.daemon.below("/v1/mcps", name, steps)?;
        match self.daemon.ask(method, url, body).await {
            Ok(mut answer) => Ok(answer["data"].take()),
            Err(problem) => Err(self.explained(name, problem).await),
        }
    }

    /// Returns a problem; one of a server that there is not says which servers there are.
    pub(super) async fn explained(&self, name: &str, problem: Problem) -> Problem {
        explained(&self.daemon, name, problem).await
    }

    /// Returns all servers, by name.
    pub(super) async fn servers(&self) -> Result<Vec<Value>, Problem> {
        servers(&self.daemon).await
    }

    /// Writes a picture once, or again and again; one that cannot be made for the moment says why, and it goes on.
    pub(super) async fn watch(
        &self,
        every: Option<Duration>,
        picture: impl AsyncFn() -> Result<String, Problem>,
    ) -> Result<(), Problem> {
        let Some(every) = every else { return self.screen.write(&picture().await?) };
        loop {
            match picture().await {
                Err(problem) if passes(&problem) => self.screen.picture(&format!("{problem}\n"))?,
                made => self.screen.picture(&made?)?,
            }
            tokio::time::sleep(every).await;
        }
    }
}

async fn servers(daemon: &Daemon) -> Result<Vec<Value>, Problem> {
    let mut servers = daemon.pages("/v1/mcps", &[], MAX_SERVERS).await?;
    servers.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    Ok(servers)
}

/// Returns a problem that a daemon had with a server; if there is no such server, it says which there are.
pub(super) async fn explained(daemon: &Daemon, name: &str, problem: Problem) -> Problem {
    match problem {
        Problem::Refused(refusal) if refusal.status == 404 => {
            let known = servers(daemon).await.unwrap_or_default();
            let known = known.iter().filter_map(|server| server["name"].as_str());
            let told = unknown(name, &known.collect::<Vec<_>>());
            Problem::Refused(Box::new(Refusal { told, ..*refusal }))
        }
        problem => problem,
    }
}

/// Reports whether a problem may be gone at the next look: no daemon answers, or it stops, or too much is asked of it.
pub(super) fn passes(problem: &Problem) -> bool {
    match problem {
        Problem::Unreachable { .. } => true,
        Problem::Refused(refusal) => matches!(refusal.status, 429 | 503),
        _ => false,
    }
}

/// Returns what to say of a server that there is not.
pub(super) fn unknown(name: &str, known: &[&str]) -> String {
    let told = format!("there is no server {name:?}");
    if let Some(near) = closest(name, known.iter().copied()) {
        return format!("{told}; did you mean {near:?}?");
    }
    match known {
        [] => format!("{told}, nor any other; add one with `mcpvisor add`"),
        known if known.len() <= MAX_NAMED => format!("{told}; there are {}", known.join(", ")),
        known => format!("{told} among the {} that `mcpvisor list` shows", known.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_server_leads_to_those_that_there_are() {
        assert_eq!(unknown("dmeo", &["demo", "git"]), "there is no server \"dmeo\"; did you mean \"demo\"?");
        assert_eq!(unknown("x", &["demo", "git"]), "there is no server \"x\"; there are demo, git");
        assert!(unknown("x", &[]).ends_with("`mcpvisor add`"));
        assert!(unknown("x", &["server"; 9]).ends_with("among the 9 that `mcpvisor list` shows"));
    }
}
