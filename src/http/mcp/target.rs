//! What an endpoint is in front of: one server with its own names, or all servers that the caller may use, told apart by
//! their names.

use std::sync::{Arc, Mutex, PoisonError};

use crate::gateway::{Gateway, Principal, ServerEntry, ServerList};
use crate::mcp::translate::Prefixes;

/// Separator between a server and its own name for something. Letters, digits, `_` and `-` are what the grammars of all
/// models take.
const SEPARATOR: &str = "__";

/// What a path is the endpoint of.
#[derive(Clone)]
pub(super) enum Target {
    /// The server of this name or id.
    One(Arc<str>),
    /// All servers.
    All(Arc<Aggregate>),
}

/// All servers that can be called, with their names at the endpoint.
pub(super) struct Aggregate {
    pub(super) servers: Vec<Arc<ServerEntry>>,
    pub(super) prefixes: Prefixes,
    /// The list that it was made of.
    list: Arc<ServerList>,
}

impl Target {
    /// Returns what tells this endpoint apart from others: the name in the path, nothing for all servers.
    pub(super) fn key(&self) -> Arc<str> {
        match self {
            Target::One(server) => server.clone(),
            Target::All(_) => "".into(),
        }
    }
}

impl Aggregate {
    fn new(list: Arc<ServerList>) -> Aggregate {
        let can_run = |entry: &&Arc<ServerEntry>| {
            entry.definition.enabled()
                && (entry.definition.command().is_some() || entry.definition.fault().is_some())
        };
        let servers: Vec<Arc<ServerEntry>> = list.entries().iter().filter(can_run).cloned().collect();
        let prefixes = Prefixes::new(servers.iter().map(|entry| &*entry.name), SEPARATOR);
        Aggregate { servers, prefixes, list }
    }

    /// Returns the place of the server with this id.
    pub(super) fn place(&self, id: &str) -> Option<usize> {
        self.servers.iter().position(|entry| *entry.id == *id)
    }

    /// Returns the servers that a caller may use, with their places.
    pub(super) fn of<'a>(
        &'a self,
        caller: &'a Principal,
    ) -> impl Iterator<Item = (usize, &'a Arc<ServerEntry>)> + 'a {
        let may = |(_, entry): &(usize, &Arc<ServerEntry>)| caller.permissions().allow_mcp(&entry.id);
        self.servers.iter().enumerate().filter(may)
    }
}

/// The aggregate of the current servers, made anew when they change.
#[derive(Default)]
pub(super) struct CurrentAggregate(Mutex<Option<Arc<Aggregate>>>);

impl CurrentAggregate {
    /// Returns the aggregate.
    pub(super) fn get(&self, gateway: &Gateway) -> Arc<Aggregate> {
        let list = gateway.server_list();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(aggregate) if Arc::ptr_eq(&aggregate.list, &list) => aggregate.clone(),
            _ => kept.insert(Arc::new(Aggregate::new(list))).clone(),
        }
    }
}
