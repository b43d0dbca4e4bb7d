//! Several servers behind one endpoint, and what is made once of their lists for all callers: the names of their tools and
//! prompts, and the index that tools are searched by.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::gateway::{
    Catalog, Gateway, Group, Naming, Principal, SEARCH_TOOLS, Search, ServerEntry, ServerList,
};
use crate::mcp::translate::{Members, Names, Prefixes};
use crate::mcp::{ListKind, ToolIndex};

/// Servers that can be called, with their names at the endpoint.
pub(super) struct Aggregate {
    pub(super) servers: Vec<Arc<ServerEntry>>,
    pub(super) prefixes: Prefixes,
    pub(super) naming: Naming,
    /// The group; `None` for all servers.
    pub(super) group: Option<Arc<Group>>,
    /// What tells this endpoint apart from others.
    pub(super) key: Arc<str>,
    tables: Mutex<Option<Arc<Tables>>>,
}

impl Aggregate {
    pub(super) fn new(list: &ServerList, naming: &Naming, group: Option<&Arc<Group>>) -> Aggregate {
        let can_run = |entry: &&Arc<ServerEntry>| {
            entry.definition.enabled()
                && (entry.definition.has_target() || entry.definition.fault().is_some())
        };
        let servers: Vec<Arc<ServerEntry>> = match group {
            None => list.entries().iter().filter(can_run).cloned().collect(),
            Some(group) => {
                let members = group.servers.iter().filter_map(|name| list.by_name(name));
                members.filter(can_run).cloned().collect()
            }
        };
        let prefixes = Prefixes::new(servers.iter().map(|entry| &*entry.name), &naming.separator);
        let key = group.map_or_else(|| "".into(), |group| format!("group/{}", group.name).into());
        let (naming, group, tables) = (naming.clone(), group.cloned(), Mutex::default());
        Aggregate { servers, prefixes, naming, group, key, tables }
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

    /// Reports whether a caller sees that there is this endpoint: that of all servers, and a group of which it may use
    /// a server. A group without any is seen by whoever may use all.
    pub(super) fn is_seen_by(&self, caller: &Principal) -> bool {
        self.group.is_none() || caller.permissions().allow_all_mcps() || self.of(caller).next().is_some()
    }

    /// Reports whether a caller may use a tool of the server at this place, and the endpoint has it.
    pub(super) fn shows_tool(&self, caller: &Principal, at: usize, tool: &str) -> bool {
        let Some(entry) = self.servers.get(at) else { return false };
        caller.permissions().allow_tool(&entry.id, tool)
            && self.group.as_ref().is_none_or(|group| group.has_tool(&entry.name, tool))
    }

    /// Reports whether a caller may use the server at this place.
    pub(super) fn shows_server(&self, caller: &Principal, at: usize) -> bool {
        self.servers.get(at).is_some_and(|entry| caller.permissions().allow_mcp(&entry.id))
    }

    /// Reports whether tools have other names here than the rule of the endpoint says.
    pub(super) fn renames(&self) -> bool {
        self.group.as_ref().is_some_and(|group| !group.rename.is_empty())
    }

    /// Reports whether a caller that may use so many tools searches for them.
    pub(super) fn is_searched(&self, tools: usize) -> bool {
        match self.naming.search {
            Search::Off => false,
            Search::On => true,
            Search::Above(most) => tools > most,
        }
    }

    /// Returns the names of what the servers have now, made anew when any of their lists has changed.
    pub(super) fn tables(&self, gateway: &Gateway) -> Arc<Tables> {
        let version = gateway.lists_version();
        let mut kept = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = kept.as_ref().filter(|tables| tables.version == version) {
            return tables.clone();
        }
        let lists: Vec<Arc<Catalog>> = self.servers.iter().map(|entry| gateway.lists_of(entry)).collect();
        let tables = match kept.take() {
            // Something else has changed than these.
            Some(before) if before.are_of(&lists) => before.at(version),
            _ => Tables::new(version, lists, self),
        };
        kept.insert(Arc::new(tables)).clone()
    }
}

/// Tool by which others are searched for, and the one by which they are called.
pub(super) const FIND: &str = SEARCH_TOOLS[0];
pub(super) const CALL: &str = SEARCH_TOOLS[1];

/// Names and index of the lists of one moment.
pub(super) struct Tables {
    /// Number of the lists, see [`Gateway::lists_version`].
    pub(super) version: u64,
    /// Lists of the servers, by their places.
    pub(super) lists: Vec<Arc<Catalog>>,
    made: Arc<Made>,
}

struct Made {
    tools: Names,
    prompts: OnceLock<Names>,
    index: OnceLock<ToolIndex>,
    /// Number of the tools before those of each server.
    starts: Vec<usize>,
}

impl Tables {
    pub(super) fn new(version: u64, lists: Vec<Arc<Catalog>>, aggregate: &Aggregate) -> Tables {
        let own: Vec<Vec<&str>> =
            lists.iter().map(|lists| lists.tools().iter().map(|tool| &*tool.name).collect()).collect();
        let reserved: &[&str] = if aggregate.naming.search == Search::Off { &[] } else { &SEARCH_TOOLS };
        let given = |at: usize, own: &str| {
            let server = &aggregate.servers.get(at)?.name;
            Group::told(&aggregate.group.as_ref()?.rename, server, own)
        };
        let tools = Names::new(&aggregate.prefixes, aggregate.naming.prefix, reserved, &own, given);
        let starts = own.iter().scan(0, |before, own| Some(std::mem::replace(before, *before + own.len())));
        let starts = starts.collect();
        let made = Made { tools, prompts: OnceLock::new(), index: OnceLock::new(), starts };
        Tables { version, lists, made: Arc::new(made) }
    }

    /// Reports whether these were made of these lists.
    pub(super) fn are_of(&self, lists: &[Arc<Catalog>]) -> bool {
        self.lists.len() == lists.len() && self.lists.iter().zip(lists).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    /// Returns the same under another number.
    pub(super) fn at(&self, version: u64) -> Tables {
        Tables { version, lists: self.lists.clone(), made: self.made.clone() }
    }

    /// Returns the names of the tools, or of the prompts.
    pub(super) fn names(&self, aggregate: &Aggregate, kind: ListKind) -> &Names {
        match kind {
            ListKind::Tools => &self.made.tools,
            _ => self.made.prompts.get_or_init(|| {
                let own: Vec<Vec<String>> =
                    self.lists.iter().map(|lists| names(lists, ListKind::Prompts).collect()).collect();
                let own: Vec<Vec<&str>> =
                    own.iter().map(|own| own.iter().map(String::as_str).collect()).collect();
                Names::new(&aggregate.prefixes, aggregate.naming.prefix, &[], &own, |_, _| None)
            }),
        }
    }

    /// Returns the index of the tools of all servers, one server after the other.
    pub(super) fn index(&self, aggregate: &Aggregate) -> &ToolIndex {
        self.made.index.get_or_init(|| {
            let tools = self.lists.iter().zip(&aggregate.servers);
            let group = aggregate.group.as_deref();
            ToolIndex::new(tools.flat_map(|(lists, entry)| {
                lists.tools().iter().map(move |tool| {
                    let told = group.into_iter().flat_map(|group| [&group.rename, &group.describe]);
                    let told = told.filter_map(|table| Group::told(table, &entry.name, &tool.name));
                    let more = std::iter::once(&*entry.name).chain(told).collect::<Vec<_>>().join(" ");
                    (&*tool.raw, more)
                })
            }))
        })
    }

    /// Returns where a tool of the index is: the place of its server, and in that server's list.
    pub(super) fn place(&self, number: usize) -> Option<(usize, usize)> {
        let at = self.made.starts.partition_point(|start| *start <= number).checked_sub(1)?;
        let own = number - self.made.starts[at];
        (own < self.lists[at].tools().len()).then_some((at, own))
    }
}

/// Returns the own names in a list of a server.
pub(super) fn names(lists: &Catalog, kind: ListKind) -> impl Iterator<Item = String> + '_ {
    lists
        .texts(kind)
        .filter_map(|entry| Members::read(entry.get())?.text("name").map(|name| name.into_owned()))
}
