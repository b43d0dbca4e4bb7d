//! The set of servers as readers see it: immutable, in the order the servers were made, found by
//! id and by name.

use std::sync::Arc;
use std::time::SystemTime;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::supervisor::Definition;

/// Who made a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Origin {
    /// A caller of the API, by adding or importing it.
    Api,
    /// A servers file. When the file drops the entry, the server goes.
    File {
        /// The file's canonical path.
        path: Arc<str>,
    },
}

impl Origin {
    /// Whether another servers file than this one made the server.
    pub(super) fn is_other_file(&self, file: &str) -> bool {
        matches!(self, Origin::File { path } if **path != *file)
    }

    /// Whether this servers file made the server.
    pub(super) fn is_file(&self, file: &str) -> bool {
        matches!(self, Origin::File { path } if **path == *file)
    }
}

/// One server of the set.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerEntry {
    /// `mcp_…`: assigned at creation, never given to another server.
    pub id: Arc<str>,
    /// The name, unique in the set.
    pub name: Arc<str>,
    /// The definition. Compare [`Definition::raw`] to learn whether it changed: the order of
    /// members may differ between two that mean the same.
    pub definition: Arc<Definition>,
    /// When the server was made, to the millisecond.
    pub created_at: SystemTime,
    /// When its definition last changed, to the millisecond.
    pub updated_at: SystemTime,
    /// Who made it.
    pub origin: Origin,
    /// Where it stands among the others; larger is later. Unique in the set.
    pub(super) position: u64,
}

/// All servers, in the order they were made.
#[derive(Debug, Default)]
pub struct ServerList {
    entries: Vec<Arc<ServerEntry>>,
    by_id: HashMap<Arc<str>, usize>,
    by_name: HashMap<Arc<str>, usize>,
    /// Both: an id wins over a name.
    by_either: HashMap<Arc<str>, usize>,
}

impl ServerList {
    /// Builds the indexes. Ids and names are unique; the registry sees to it.
    pub(super) fn new(entries: Vec<Arc<ServerEntry>>) -> ServerList {
        let ids = || entries.iter().enumerate().map(|(at, entry)| (entry.id.clone(), at));
        let names = || entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at));
        let (by_id, by_name) = (ids().collect(), names().collect());
        let by_either = names().chain(ids()).collect();
        ServerList { entries, by_id, by_name, by_either }
    }

    /// The servers, in the order they were made.
    pub fn entries(&self) -> &[Arc<ServerEntry>] {
        &self.entries
    }

    /// The server of this id or exact name; an id wins over a name.
    pub fn get(&self, id_or_name: &str) -> Option<&Arc<ServerEntry>> {
        self.by_either.get(id_or_name).map(|&at| &self.entries[at])
    }

    /// The server of this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<ServerEntry>> {
        self.by_id.get(id).map(|&at| &self.entries[at])
    }

    /// The server of this exact name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<ServerEntry>> {
        self.by_name.get(name).map(|&at| &self.entries[at])
    }

    /// The position for a server that is made now.
    pub(super) fn next_position(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.position + 1)
    }
}
