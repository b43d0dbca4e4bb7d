//! Names that servers may not have, because something else answers to them: groups of servers.

use std::collections::HashSet;
use std::sync::Arc;

use super::Registry;
use super::error::Error;
use crate::supervisor::{Definition, Problem};

impl Registry {
    /// Keeps these names from servers, and no others any more. What a servers file has under one of them is quarantined
    /// when it is applied.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one that was not reserved is a server's name or id: then nothing is changed.
    pub fn reserve(&mut self, names: HashSet<Arc<str>>) -> Result<(), Error> {
        let list = self.list();
        let mut taken: Vec<&str> = names
            .iter()
            .filter(|name| !self.reserved.contains(*name) && list.get(name).is_some())
            .map(|name| &**name)
            .collect();
        taken.sort_unstable();
        if !taken.is_empty() {
            let reason =
                format!("A group must not have the name or the id of a server: {}", taken.join(", "));
            return Err(Error::Conflict { reason });
        }
        self.reserved = names;
        Ok(())
    }

    /// Refuses names that are reserved.
    pub(super) fn check_reserved<'a>(&self, mut names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
        match names.find(|name| self.reserved.contains(*name)) {
            Some(name) => Err(Error::Conflict {
                reason: format!("'{name}' is the name of a group of servers; give the server another name"),
            }),
            None => Ok(()),
        }
    }

    /// Quarantines the servers of a file that have a reserved name.
    pub(super) fn without_reserved(&self, wanted: Vec<(String, Definition)>) -> Vec<(String, Definition)> {
        let quarantined = |(name, definition): (String, Definition)| {
            if !self.reserved.contains(&*name) {
                return (name, definition);
            }
            let mut problems = definition.problems().to_vec();
            problems.push(Problem {
                path: "name".into(),
                reason: format!("must not be that of a group of servers: [groups.{name}]"),
            });
            tracing::warn!(server = %name, "a server has the name of a group, and so is not started; rename one of them");
            let definition = Definition::quarantined(definition.raw().clone(), problems);
            (name, definition)
        };
        wanted.into_iter().map(quarantined).collect()
    }
}
