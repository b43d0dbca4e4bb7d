//! What an endpoint is in front of: one server with its own names, or several that the caller may use, told apart by their
//! names: all of them, or those of a group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::aggregate::Aggregate;
use crate::gateway::{Gateway, Group, Groups, ServerList};

/// What a path is the endpoint of.
#[derive(Clone)]
pub(super) enum Target {
    /// The server of this name or id.
    One(Arc<str>),
    /// All servers, or those of a group.
    Several(Arc<Aggregate>),
}

impl Target {
    /// Returns what tells this endpoint apart from others: the id of its server, which begins with `mcp_`, or a text that
    /// is no such id.
    pub(super) fn key(&self) -> Arc<str> {
        match self {
            Target::One(server) => server.clone(),
            Target::Several(aggregate) => aggregate.key.clone(),
        }
    }

    /// Reports whether the server with this id is behind the endpoint.
    pub(super) fn has(&self, server: &str) -> bool {
        match self {
            // Of another one nothing comes here.
            Target::One(_) => true,
            Target::Several(aggregate) => aggregate.place(server).is_some(),
        }
    }
}

/// The endpoints of several servers, made anew when servers or groups change.
#[derive(Clone, Default)]
pub(super) struct Aggregates(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// What the others were made of; `None` before the first.
    of: Option<(Arc<ServerList>, Arc<Groups>)>,
    all: Option<Arc<Aggregate>>,
    groups: HashMap<Arc<str>, Arc<Aggregate>>,
    /// Those of lists of servers, by their ids.
    lists: HashMap<Arc<str>, Arc<Aggregate>>,
}

/// Beginning of the key of a list, before the ids of its servers.
const LIST: &str = "list/";
/// What stands between the servers of a list.
const BETWEEN: char = ',';
/// Maximum number of servers in a list.
const MAX_LISTED: usize = 64;
/// Maximum number of lists that are kept. Clients can make up more, which then all are made anew.
const MAX_KEPT: usize = 32;

/// Returns the servers that a path names with commas between; `None` for what is no such list.
pub(super) fn names_in_list(path: &str) -> Option<Vec<&str>> {
    let names: Vec<&str> = path.split(BETWEEN).map(str::trim).collect();
    (2..=MAX_LISTED).contains(&names.len()).then_some(names)
}

impl Aggregates {
    fn current(&self, gateway: &Gateway) -> (MutexGuard<'_, Kept>, Arc<ServerList>, Arc<Groups>) {
        let (list, groups) = (gateway.server_list(), gateway.groups());
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = kept
            .of
            .as_ref()
            .is_some_and(|(known, named)| Arc::ptr_eq(known, &list) && Arc::ptr_eq(named, &groups));
        if !is_same {
            *kept = Kept { of: Some((list.clone(), groups.clone())), ..Kept::default() };
        }
        (kept, list, groups)
    }

    /// Returns the endpoint of all servers.
    pub(super) fn all(&self, gateway: &Gateway) -> Arc<Aggregate> {
        let (mut kept, list, groups) = self.current(gateway);
        let make = || Arc::new(Aggregate::new(&list, &groups.all, None));
        kept.all.get_or_insert_with(make).clone()
    }

    /// Returns the endpoint of a group; `None` if there is none of this name.
    pub(super) fn group(&self, gateway: &Gateway, name: &str) -> Option<Arc<Aggregate>> {
        if !gateway.has_group(name) {
            return None;
        }
        let (mut kept, list, groups) = self.current(gateway);
        if let Some(made) = kept.groups.get(name) {
            return Some(made.clone());
        }
        let group = groups.by_name.get(name)?;
        let made = Arc::new(Aggregate::new(&list, &group.naming, Some(group)));
        kept.groups.insert(group.name.clone(), made.clone());
        Some(made)
    }

    /// Returns the endpoint of a list of servers, by their ids with commas between: a group that nobody had to write down.
    /// `None` once one of them is gone.
    pub(super) fn listed(&self, gateway: &Gateway, ids: &str) -> Option<Arc<Aggregate>> {
        let (mut kept, list, groups) = self.current(gateway);
        if let Some(made) = kept.lists.get(ids) {
            return Some(made.clone());
        }
        let servers = ids.split(BETWEEN).map(|id| list.by_id(id).map(|entry| entry.name.clone()));
        let servers: Vec<Arc<str>> = servers.collect::<Option<_>>()?;
        let name = servers.iter().map(|name| &**name).collect::<Vec<_>>().join(",");
        let group = Arc::new(Group { servers, ..Group::new(&name, groups.all.clone()) });
        let mut made = Aggregate::new(&list, &group.naming, Some(&group));
        made.key = format!("{LIST}{ids}").into();
        let made = Arc::new(made);
        if kept.lists.len() >= MAX_KEPT {
            kept.lists.clear();
        }
        kept.lists.insert(ids.into(), made.clone());
        Some(made)
    }

    /// Returns what is now at an endpoint; `None` if it is gone.
    pub(super) fn again(&self, gateway: &Gateway, target: &Target) -> Option<Target> {
        match target {
            Target::One(_) => Some(target.clone()),
            Target::Several(aggregate) => match (&aggregate.group, aggregate.key.strip_prefix(LIST)) {
                (None, _) => Some(Target::Several(self.all(gateway))),
                (Some(_), Some(ids)) => self.listed(gateway, ids).map(Target::Several),
                (Some(group), None) => self.group(gateway, &group.name).map(Target::Several),
            },
        }
    }
}
