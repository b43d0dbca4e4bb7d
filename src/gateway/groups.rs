//! Groups of servers that stand at an address of their own, and how what is in them is named. A group has no process: it
//! shows some of what servers have, to whoever may use these.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Catalog, Error, Gateway};
use crate::access::Pattern;
use crate::mcp::translate::PrefixRule;
use crate::registry::ServerEntry;

/// Names of the things of several servers at one address, and how many tools are listed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Rule for what stands in front of a name.
    pub prefix: PrefixRule,
    /// What stands between a server and its own name for something: 1 to 4 letters, digits, `_` and `-`.
    pub separator: Arc<str>,
    /// Rule for whether tools are searched for instead of being listed.
    pub search: Search,
}

impl Default for Naming {
    fn default() -> Naming {
        Naming { prefix: PrefixRule::default(), separator: "__".into(), search: Search::Off }
    }
}

/// Rule for whether tools are searched for instead of being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// They are listed.
    Off,
    /// They are searched for.
    On,
    /// They are searched for by callers that may use more than so many.
    Above(usize),
}

/// Tools of the gateway itself where tools are searched for: by the first others are found, by the second they are called.
pub const SEARCH_TOOLS: [&str; 2] = ["find_tools", "call_tool"];

/// A group of servers. Tools are named as `server.tool`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name of the group, which no server has.
    pub name: Arc<str>,
    /// Names of its servers, in the order of its lists. There need not be such a server.
    pub servers: Vec<Arc<str>>,
    /// Names of the things in it.
    pub naming: Naming,
    /// Patterns of the tools that it has; `None` for all of its servers.
    pub allow: Option<Vec<Pattern>>,
    /// Patterns of tools that it has not, whatever `allow` says.
    pub deny: Vec<Pattern>,
    /// Names of tools that are called something else here.
    pub rename: HashMap<Box<str>, Box<str>>,
    /// Descriptions of tools that are described otherwise here.
    pub describe: HashMap<Box<str>, Box<str>>,
    /// Text about the group, for people.
    pub description: Option<Box<str>>,
    /// Text about how to use it, for models.
    pub instructions: Option<Box<str>>,
}

impl Group {
    /// Returns an empty group.
    pub fn new(name: &str, naming: Naming) -> Group {
        Group {
            name: name.into(),
            servers: Vec::new(),
            naming,
            allow: None,
            deny: Vec::new(),
            rename: HashMap::new(),
            describe: HashMap::new(),
            description: None,
            instructions: None,
        }
    }

    /// Reports whether the group has a tool of one of its servers.
    pub fn has_tool(&self, server: &str, tool: &str) -> bool {
        if self.allow.is_none() && self.deny.is_empty() {
            return true;
        }
        let known = format!("{server}.{tool}");
        let fits = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.fits(&known));
        self.allow.as_deref().is_none_or(fits) && !fits(&self.deny)
    }

    /// Returns what a table of the group has for a tool.
    pub fn told<'a>(table: &'a HashMap<Box<str>, Box<str>>, server: &str, tool: &str) -> Option<&'a str> {
        if table.is_empty() {
            return None;
        }
        table.get(&*format!("{server}.{tool}")).map(|text| &**text)
    }
}

/// The address of all servers, and those of groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    /// Names of the things of all servers.
    pub all: Naming,
    /// The groups by their names.
    pub by_name: BTreeMap<Arc<str>, Arc<Group>>,
}

/// Groups as they are now.
pub(super) struct CurrentGroups {
    groups: ArcSwap<Groups>,
    changed: watch::Sender<()>,
}

impl CurrentGroups {
    pub(super) fn new(groups: Groups) -> CurrentGroups {
        CurrentGroups { groups: ArcSwap::from_pointee(groups), changed: watch::Sender::new(()) }
    }

    /// Returns what tells those who follow changes that what is behind their endpoints may be something else.
    pub(super) fn teller(&self) -> watch::Sender<()> {
        self.changed.clone()
    }

    /// Follows changes, from now on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl Gateway {
    /// Returns the groups. The same value as long as none changes.
    pub fn groups(&self) -> Arc<Groups> {
        self.0.groups.groups.load_full()
    }

    /// Reports whether there is a group of this name. Takes no lock.
    pub fn has_group(&self, name: &str) -> bool {
        self.0.groups.groups.load().by_name.contains_key(name)
    }

    /// Puts other groups in place of those that are in force; who listens at several servers is told that everything may
    /// have changed.
    ///
    /// # Errors
    /// If a new group has a server's name or id: then nothing is changed.
    pub async fn set_groups(&self, groups: Groups) -> Result<(), Error> {
        self.0.registry.reserve(groups.by_name.keys().cloned().collect()).await?;
        self.tell_of_missing(&groups);
        self.0.groups.groups.store(Arc::new(groups));
        self.0.groups.changed.send_replace(());
        Ok(())
    }

    /// Logs a warning for each member of a group that is no server.
    pub fn tell_of_missing(&self, groups: &Groups) {
        let list = self.server_list();
        for group in groups.by_name.values() {
            for server in group.servers.iter().filter(|name| list.by_name(name).is_none()) {
                tracing::warn!(
                    group = %group.name, %server,
                    "a group names a server that there is not (yet); it is in the group once it is added"
                );
            }
        }
    }

    /// Returns the last lists of a server, whoever may see them: for what is made of them once for all callers.
    pub fn lists_of(&self, entry: &ServerEntry) -> Arc<Catalog> {
        let handle = self.0.supervisor.directory().get(&entry.id);
        handle.map(|handle| handle.catalog()).unwrap_or_default()
    }

    /// Returns a number that is another after the lists of any server have changed.
    pub fn lists_version(&self) -> u64 {
        self.0.supervisor.directory().catalogs_version()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_of_server_and_tool_and_deny_wins() {
        let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::read(text).expect("one")).collect();
        let mut group = Group::new("g", Naming::default());
        assert!(group.has_tool("git", "anything"));
        group.deny = patterns(&["git.push"]);
        assert!(!group.has_tool("git", "push") && group.has_tool("git", "pull"));
        group.allow = Some(patterns(&["git.*", "*.read_*"]));
        assert!(group.has_tool("git", "pull") && group.has_tool("files", "read_file"));
        assert!(!group.has_tool("git", "push") && !group.has_tool("files", "write_file"));
        group.allow = Some(Vec::new());
        assert!(!group.has_tool("git", "pull"), "an empty list is none");
    }
}
