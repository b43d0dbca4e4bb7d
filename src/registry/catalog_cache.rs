//! Stored announcements of servers' last runs: lists and introduction, with the fingerprint of the definition
//! that they belong to.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::list::ServerEntry;
use crate::mcp::ListKind;
use crate::supervisor::{CachedCatalog, Definition, ServerInfo, ToldInfo};
use crate::text::hex;
use crate::upstream::Catalog;

/// Announcement of a server's child that is to be stored.
pub struct CatalogUpdate {
    /// Id of the server, from [`ServerEntry::id`].
    pub server: Arc<str>,
    /// Lists and introduction that the child announced.
    pub remembered: CachedCatalog,
}

/// Announcement of a server's last run as it is stored.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredCatalog {
    /// Fingerprint of the definition that was run.
    fingerprint: String,
    protocol_version: Box<str>,
    modern: bool,
    server_name: Option<Box<str>>,
    server_version: Option<Box<str>>,
    /// Missing in records of earlier versions.
    #[serde(default)]
    server_info: Value,
    capabilities: Value,
    instructions: Option<Box<str>>,
    tools: Vec<Box<RawValue>>,
    resources: Vec<Box<RawValue>>,
    templates: Vec<Box<RawValue>>,
    prompts: Vec<Box<RawValue>>,
}

impl StoredCatalog {
    pub(super) fn new(definition: &Definition, told: &CachedCatalog) -> StoredCatalog {
        let CachedCatalog { catalog, introduction } = told;
        StoredCatalog {
            fingerprint: fingerprint(definition),
            protocol_version: introduction.protocol_version.clone(),
            modern: introduction.modern,
            server_name: introduction.server_name.clone(),
            server_version: introduction.server_version.clone(),
            server_info: introduction.server_info.clone(),
            capabilities: introduction.capabilities.clone(),
            instructions: introduction.instructions.clone(),
            tools: catalog.entries(ListKind::Tools),
            resources: catalog.entries(ListKind::Resources),
            templates: catalog.entries(ListKind::Templates),
            prompts: catalog.entries(ListKind::Prompts),
        }
    }

    fn recall(self) -> CachedCatalog {
        let (catalog, _) = Catalog::build(self.tools, self.resources, self.templates, self.prompts);
        let introduction = ServerInfo {
            protocol_version: self.protocol_version,
            modern: self.modern,
            server_name: self.server_name,
            server_version: self.server_version,
            server_info: self.server_info,
            capabilities: self.capabilities,
            instructions: self.instructions,
            told: ToldInfo::default(),
        };
        CachedCatalog { catalog: Arc::new(catalog), introduction: Arc::new(introduction) }
    }
}

/// Stored announcements of all servers, by server id.
#[derive(Default)]
pub struct CatalogCache(HashMap<Arc<str>, (String, CachedCatalog)>);

impl CatalogCache {
    pub(super) fn add(&mut self, server: Arc<str>, memory: StoredCatalog) {
        self.0.insert(server, (memory.fingerprint.clone(), memory.recall()));
    }

    /// Returns what a server announced in its last run; `None` if nothing is stored or its definition runs
    /// something else now.
    pub fn of(&self, entry: &ServerEntry) -> Option<CachedCatalog> {
        let (kept, remembered) = self.0.get(&entry.id)?;
        (*kept == fingerprint(&entry.definition)).then(|| remembered.clone())
    }
}

/// Returns the fingerprint of a definition: equal for definitions that run the same program in the same way. It
/// is a hash, since the environment may hold secrets.
fn fingerprint(definition: &Definition) -> String {
    let mut env = definition.env().to_vec();
    env.sort();
    let parts = (definition.command(), definition.args(), env, definition.cwd());
    // Strings always have a text. That of a server with a command is as it was before there were others.
    let text = match definition.remote() {
        None => serde_json::to_vec(&parts),
        Some(remote) => serde_json::to_vec(&(parts, remote.identity())),
    };
    hex(&Sha256::digest(text.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    fn definition(value: Value) -> Definition {
        let raw: Map<String, Value> = serde_json::from_value(value).expect("an object");
        Definition::parse(raw).expect("valid")
    }

    #[test]
    fn lists_belong_to_the_program_and_not_to_how_it_is_treated() {
        let plain = definition(json!({"command": "x", "env": {"A": "1", "B": "2"}}));
        let same = json!({"env": {"B": "2", "A": "1"}, "command": "x", "mcpvisor": {"queue": 1}, "description": "d"});
        assert_eq!(fingerprint(&plain), fingerprint(&definition(same)));
        let other = definition(json!({"command": "x", "env": {"A": "1", "B": "3"}}));
        assert_ne!(fingerprint(&plain), fingerprint(&other));
    }
}
