//! What is wrong with servers, for an administrator.

use super::standing::{require, while_accepted};
use super::{Error, Gateway, ServerView};
use crate::access::{Principal, Right};
use crate::doctor::{Finding, Severity, of_status, sorted};

impl Gateway {
    /// Returns what is wrong with the servers that a caller may use, or with one of them, by id or exact name: by how they are,
    /// and by what their definitions would meet at a start. One look is made at a time.
    pub async fn findings(&self, caller: &Principal, server: Option<&str>) -> Result<Vec<Finding>, Error> {
        require(caller, Right::Administer)?;
        let servers = match server {
            Some(name) => vec![self.server(caller, name)?],
            None => self.servers(caller),
        };
        let (doctor, turns) = (self.0.doctor.clone(), self.0.examining.clone());
        let all = server.is_none();
        let looked = async move {
            let _turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let mut findings: Vec<Finding> = Vec::new();
                for server in &servers {
                    findings.extend(of_status(&server.name, &server.status));
                    let seen = doctor.of_definition(&server.name, &server.definition);
                    findings.extend(seen.into_iter().map(|finding| weighed(finding, server)));
                }
                let definitions = servers.iter().map(|server| (&*server.name, &*server.definition));
                findings.extend(all.then(|| doctor.of_environment(definitions)).flatten());
                sorted(findings)
            })
            .await
        };
        let found = while_accepted(caller, looked).await?;
        found.map_err(|error| Error::Internal { reason: error.to_string() })
    }
}

/// Returns a finding about a definition, which keeps nobody from calling a server that serves already.
fn weighed(finding: Finding, server: &ServerView) -> Finding {
    match server.status.state.serves() {
        true => Finding { severity: finding.severity.max(Severity::Warning), ..finding },
        false => finding,
    }
}
