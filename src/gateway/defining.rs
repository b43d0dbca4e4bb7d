//! The changes for administrators: the set of servers, their children, and the approval of their tools.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::dispatch::unreachable;
use super::standing::require;
use super::{Approval, Error, Gateway, PinReport, Principal, check_runs};
use crate::access::Right;
use crate::audit::{AuditEntry, Outcome, told_of_definition};
use crate::registry::{Applied, ServerEntry, ServerList, ServersFile};
use crate::supervisor::OFF_SWITCHES;

impl Gateway {
    /// Replaces a server's children, each when its successor is ready. A server that waits for its next start is
    /// tried at once, an idle one is started.
    pub fn restart_server(&self, caller: &Principal, id_or_name: &str) -> Result<(), Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        check_runs(&entry)?;
        if entry.definition.fault().is_some() {
            let handle = self.handle(&entry)?;
            let status = handle.status();
            // If the fault came by an edit, the earlier definition may be in force.
            if status.state.is_of_definition() {
                return Err(unreachable(&handle, &status, false));
            }
        }
        tracing::info!(server = %entry.name, "restart asked for");
        self.0.supervisor.renew(&entry.id);
        Ok(())
    }

    /// Stops a server until it is started or restarted; its calls are refused meanwhile.
    pub fn stop_server(&self, caller: &Principal, id_or_name: &str) -> Result<(), Error> {
        let entry = self.run_by(caller, id_or_name)?;
        tracing::info!(server = %entry.name, "stop asked for");
        self.0.supervisor.stop(&entry.id);
        Ok(())
    }

    /// Starts a server that was stopped, or that rests.
    pub fn start_server(&self, caller: &Principal, id_or_name: &str) -> Result<(), Error> {
        let entry = self.run_by(caller, id_or_name)?;
        tracing::info!(server = %entry.name, "start asked for");
        self.0.supervisor.resume(&entry.id);
        Ok(())
    }

    fn run_by(&self, caller: &Principal, id_or_name: &str) -> Result<Arc<ServerEntry>, Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        check_runs(&entry)?;
        Ok(entry)
    }

    /// Switches a server on or off in its definition. Durable when it returns.
    pub async fn switch_server(&self, caller: &Principal, id_or_name: &str, on: bool) -> Result<(), Error> {
        require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        require(caller, Right::DefineServers)?;
        // Every client has a switch of its own: all that are off would have to be on.
        let switches = OFF_SWITCHES.iter().filter(|(member, off)| {
            (*member == OFF_SWITCHES[0].0 && !on)
                || on && entry.definition.raw().get(*member) == Some(&Value::Bool(*off))
        });
        let members = switches.map(|(member, off)| ((*member).to_owned(), Value::Bool(*off != on)));
        self.update_server(caller, &entry.name, members.collect()).await
    }

    /// Applies a servers file. Returns what it added, changed and dropped since it was last applied. Like every act
    /// it runs to its end, including its line in the audit, even if the future is dropped.
    pub async fn apply_servers_file(&self, path: &str, file: ServersFile) -> Result<Applied, Error> {
        let (gateway, path, act) = (self.clone(), path.to_owned(), self.0.acts.begin());
        let applying = async move {
            let applied = gateway.0.registry.apply_file(&path, file).await?;
            if applied != Applied::default() {
                let entry = entry_of_file(&path, &applied, &gateway.0.registry.list());
                // Only the line on the disk waits for this.
                let _ = gateway.0.audit.record(entry).await;
            }
            drop(act);
            Ok(applied)
        };
        let ended = tokio::spawn(applying).await;
        ended.unwrap_or_else(|error| Err(Error::Internal { reason: error.to_string() }))
    }

    /// Adds a server. Adding the same definition again changes nothing; another definition under the name is
    /// [`crate::registry::Error::AlreadyExists`]. Durable when it returns.
    pub async fn add_server(
        &self,
        caller: &Principal,
        name: &str,
        raw: Map<String, Value>,
    ) -> Result<(), Error> {
        require(caller, Right::DefineServers)?;
        Ok(self.0.registry.add(caller, name, raw).await?)
    }

    /// Replaces the given members of a definition. Durable when it returns.
    pub async fn update_server(
        &self,
        caller: &Principal,
        name: &str,
        members: Map<String, Value>,
    ) -> Result<(), Error> {
        require(caller, Right::DefineServers)?;
        Ok(self.0.registry.update(caller, name, members).await?)
    }

    /// Removes a server; its child is stopped in the background. Durable when it returns.
    pub async fn remove_server(&self, caller: &Principal, name: &str) -> Result<(), Error> {
        require(caller, Right::DefineServers)?;
        let known = self.0.registry.list().by_name(name).map(|entry| entry.id.clone());
        self.0.registry.remove(caller, name).await?;
        if let Some(id) = known {
            self.forget_login(&id).await;
        }
        Ok(())
    }

    /// Writes all definitions to a file.
    pub async fn export_config(&self, caller: &Principal, path: &str) -> Result<(), Error> {
        require(caller, Right::DefineServers)?;
        Ok(self.0.registry.export(caller, path).await?)
    }

    /// Replaces all definitions by those of a file, all or nothing; servers with an identical one keep running.
    /// Returns the details for the audit: names, and the definitions that run now.
    pub async fn import_config(&self, caller: &Principal, path: &str) -> Result<Map<String, Value>, Error> {
        require(caller, Right::DefineServers)?;
        let applied = self.0.registry.import(caller, path).await?;
        Ok(told_of_applied(&applied, &self.0.registry.list()))
    }

    /// Compares a server's tools with what was approved of them.
    pub fn pins(&self, caller: &Principal, id_or_name: &str) -> Result<PinReport, Error> {
        require(caller, Right::Administer)?;
        Ok(self.server(caller, id_or_name)?.pins.report())
    }

    /// Approves tools as a server announces them now. Durable when it returns.
    pub async fn approve_tools(
        &self,
        caller: &Principal,
        id_or_name: &str,
        approval: Approval,
    ) -> Result<PinReport, Error> {
        require(caller, Right::DefineServers)?;
        let entry = self.entry(caller, id_or_name)?;
        let announced = self.handle(&entry)?.catalog();
        let by = caller.member().id.clone();
        self.0.registry.approve_tools(caller, &entry.id, announced, approval, by).await?;
        self.pins(caller, id_or_name)
    }
}

/// Returns the audit entry of an applied servers file: the changed names, and what they run.
pub(super) fn entry_of_file(path: &str, applied: &Applied, servers: &ServerList) -> AuditEntry {
    AuditEntry::of_daemon("servers_file.apply", path, Outcome::Done).with(told_of_applied(applied, servers))
}

/// Returns the changed servers by name, and the definitions of those that are new or different.
fn told_of_applied(applied: &Applied, servers: &ServerList) -> Map<String, Value> {
    let Applied { added, changed, taken_over, removed } = applied;
    let mut told = Map::new();
    for (what, names) in
        [("added", added), ("changed", changed), ("taken_over", taken_over), ("removed", removed)]
    {
        if !names.is_empty() {
            told.insert(what.to_owned(), names.as_slice().into());
        }
    }
    let run = [added, changed, taken_over].into_iter().flatten();
    let defined = run.filter_map(|name| {
        let definition = &servers.by_name(name)?.definition;
        Some((name.clone(), Value::Object(told_of_definition(definition))))
    });
    let defined: Map<String, Value> = defined.collect();
    if !defined.is_empty() {
        told.insert("definitions".to_owned(), Value::Object(defined));
    }
    told
}
