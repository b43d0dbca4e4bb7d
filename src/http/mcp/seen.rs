//! An endpoint of several servers as one caller sees it: which tools and prompts are there for it, under which names.

use std::sync::Arc;

use super::aggregate::{Aggregate, Tables};
use crate::gateway::{Gateway, Principal};
use crate::mcp::ListKind;
use crate::mcp::translate::Found;

/// The names at an endpoint, as a caller has them.
pub(super) struct Seen<'a> {
    pub(super) aggregate: &'a Aggregate,
    pub(super) caller: &'a Principal,
    pub(super) tables: Arc<Tables>,
}

/// Own name of something, and the place of its server.
type Place = (usize, Box<str>);

impl<'a> Seen<'a> {
    /// Looks at an endpoint as a caller does.
    pub(super) fn of(gateway: &Gateway, aggregate: &'a Aggregate, caller: &'a Principal) -> Seen<'a> {
        Seen { aggregate, caller, tables: aggregate.tables(gateway) }
    }

    /// Reports whether the caller sees a tool or prompt.
    pub(super) fn sees(&self, kind: ListKind, at: usize, own: &str) -> bool {
        match kind {
            ListKind::Tools => self.aggregate.shows_tool(self.caller, at, own),
            _ => self.aggregate.shows_server(self.caller, at),
        }
    }

    /// Returns the name of a tool or prompt that the caller sees.
    pub(super) fn listed(&self, kind: ListKind, at: usize, own: &str) -> String {
        let names = self.tables.names(self.aggregate, kind);
        names.listed(&self.aggregate.prefixes, at, own, &|at, own| self.sees(kind, at, own))
    }

    /// Returns what a name stands for; `Err` if several servers have it.
    pub(super) fn find(&self, kind: ListKind, name: &str) -> Result<Option<Place>, ()> {
        let names = self.tables.names(self.aggregate, kind);
        match names.find(&self.aggregate.prefixes, name, &|at, own| self.sees(kind, at, own)) {
            Found::One(at, own) => Ok(Some((at, own.into()))),
            Found::Several => Err(()),
            Found::None => Ok(None),
        }
    }

    /// Returns the tools that fit a question best, of those that the caller may use and that are for models: the place of
    /// the server of each, and in its list.
    pub(super) fn search(&self, question: &str, limit: usize) -> Vec<(usize, usize)> {
        let place = |number: usize| self.tables.place(number);
        let may = |number: usize| {
            place(number).is_some_and(|(at, own)| {
                let tool = &self.tables.lists[at].tools()[own];
                self.sees(ListKind::Tools, at, &tool.name) && tool.is_for_models()
            })
        };
        let found = self.tables.index(self.aggregate).rank(question, limit, may);
        found.into_iter().filter_map(place).collect()
    }
}
