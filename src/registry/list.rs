//! Set of servers as readers see it: immutable, in the order the servers were made, found by id and by name.

use std::sync::Arc;
use std::time::SystemTime;

use foldhash::HashMap;
use serde::{Deserialize, Serialize};

use crate::supervisor::Definition;

/// Origin of a server: a caller or a servers file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Origin {
    /// Added or imported by a caller of the API.
    Api,
    /// Made by a servers file. If the file drops the entry, the server is removed.
    File {
        /// Canonical path of the file.
        path: Arc<str>,
    },
}

impl Origin {
    /// Reports whether another servers file than this one made the server.
    pub(super) fn is_other_file(&self, file: &str) -> bool {
        matches!(self, Origin::File { path } if **path != *file)
    }

    /// Reports whether this servers file made the server.
    pub(super) fn is_file(&self, file: &str) -> bool {
        matches!(self, Origin::File { path } if **path == *file)
    }
}

/// One server of the set.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerEntry {
    /// Id `mcp_…`: assigned at creation, never given to another server.
    pub id: Arc<str>,
    /// Name, unique in the set.
    pub name: Arc<str>,
    /// Definition of the server. To see if it changed, compare [`Definition::raw`]: the order of members may
    /// differ between two that mean the same.
    pub definition: Arc<Definition>,
    /// Time at which the server was made, to the millisecond.
    pub created_at: SystemTime,
    /// Time at which its definition last changed, to the millisecond.
    pub updated_at: SystemTime,
    /// Maker of the server: the API or a servers file.
    pub origin: Origin,
    /// `true` if a servers file made it and the API has said since where it connects to: then the rules for addresses of
    /// the API hold, as for one that the API made.
    pub(super) is_readdressed: bool,
    /// Position among the others; larger is later. Unique in the set.
    pub(super) position: u64,
}

impl ServerEntry {
    /// Reports whether it is the API that said where the server is, if it is a remote one.
    pub fn is_addressed_by_api(&self) -> bool {
        self.origin == Origin::Api || self.is_readdressed
    }
}

/// All servers, in the order they were made.
#[derive(Debug, Default)]
pub struct ServerList {
    entries: Vec<Arc<ServerEntry>>,
    by_id: HashMap<Arc<str>, usize>,
    by_name: HashMap<Arc<str>, usize>,
    /// Index by both ids and names; an id wins over a name.
    by_either: HashMap<Arc<str>, usize>,
}

impl ServerList {
    /// Builds the indexes. The registry ensures that ids and names are unique.
    pub(super) fn new(entries: Vec<Arc<ServerEntry>>) -> ServerList {
        let ids = || entries.iter().enumerate().map(|(at, entry)| (entry.id.clone(), at));
        let names = || entries.iter().enumerate().map(|(at, entry)| (entry.name.clone(), at));
        let (by_id, by_name) = (ids().collect(), names().collect());
        let by_either = names().chain(ids()).collect();
        ServerList { entries, by_id, by_name, by_either }
    }

    /// Returns the servers, in the order they were made.
    pub fn entries(&self) -> &[Arc<ServerEntry>] {
        &self.entries
    }

    /// Returns the server of this id or exact name; an id wins over a name.
    pub fn get(&self, id_or_name: &str) -> Option<&Arc<ServerEntry>> {
        self.by_either.get(id_or_name).map(|&at| &self.entries[at])
    }

    /// Returns the server of this id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<ServerEntry>> {
        self.by_id.get(id).map(|&at| &self.entries[at])
    }

    /// Returns the server of this exact name.
    pub fn by_name(&self, name: &str) -> Option<&Arc<ServerEntry>> {
        self.by_name.get(name).map(|&at| &self.entries[at])
    }

    /// Returns the position for a server that is made now.
    pub(super) fn next_position(&self) -> u64 {
        self.entries.last().map_or(0, |last| last.position + 1)
    }
}
