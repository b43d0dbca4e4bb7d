//! The changes for administrators: the set of servers, and the approval of their tools.

use serde_json::{Map, Value};

use super::standing::require;
use super::{Approval, Error, Gateway, PinReport, Principal, told_of_applied};
use crate::access::Right;

impl Gateway {
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
        Ok(self.0.registry.remove(caller, name).await?)
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
