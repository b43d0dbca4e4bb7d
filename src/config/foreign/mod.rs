//! Servers files as people have them: written for some client, in its way. Brought into the one form that
//! definitions have here. Pure: a path, a text and the environment go in; entries come out, with what is
//! wrong with each of them and with what is worth saying beside.
//!
//! Only what an operator names is read like this. What is sent over HTTP is taken as it is, or refused.

mod advice;
mod client;
mod entry;
mod fields;
mod format;
mod jsonc;
mod placeholder;
mod remark;
mod shape;
mod switches;
mod times;
mod yaml;

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

pub use client::{CLIENTS, Client};
pub use remark::{Remark, Weight};

use self::client::Unit;
use self::entry::Setting;
use self::placeholder::Around;
use self::remark::{Remarks, below};
use self::shape::Dialect;
use self::switches::Switches;
use super::Environment;
use super::problem::Position;
use crate::service::FileEntry;
use crate::supervisor::{Definition, Problem};

/// The member that holds the servers, in most clients' files and in this gateway's own.
pub(super) const SERVERS_MEMBER: &str = "mcpServers";

/// A file to read.
pub struct Source<'a> {
    /// Where it is: tells the client, and what its places are relative to. Not opened.
    pub path: &'a Path,
    /// What is in it.
    pub text: &'a str,
    /// Whether YAML is read as well: for what is imported once.
    pub yaml: bool,
}

/// What a file says.
#[derive(Debug)]
pub struct Reading {
    /// Whose file it is, where that can be told.
    pub client: Option<&'static Client>,
    /// The servers, in the order of the file, each name once. What is wrong with one costs no other.
    pub entries: Vec<Entry>,
    /// What is worth saying.
    pub remarks: Vec<Remark>,
}

/// One server of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Where it is in the file: `mcpServers.git`.
    pub place: String,
    /// Its name, fit for one.
    pub name: String,
    /// The entry in this gateway's form.
    pub raw: Map<String, Value>,
    /// Why it cannot be used; empty for one that can.
    pub problems: Vec<Problem>,
}

impl Entry {
    /// What the registry is given of it.
    pub fn to_file_entry(&self) -> FileEntry {
        FileEntry { name: self.name.clone(), raw: self.raw.clone(), problems: self.problems.clone() }
    }

    /// As a definition: a quarantined one, where it cannot be used.
    pub fn definition(&self) -> Definition {
        let quarantined = |problems| Definition::quarantined(self.raw.clone(), problems);
        match self.problems.is_empty() {
            true => Definition::parse(self.raw.clone()).unwrap_or_else(quarantined),
            false => quarantined(self.problems.clone()),
        }
    }

    /// What is wrong with it, each with its place in the file.
    pub fn told_problems(&self) -> impl Iterator<Item = (String, String)> {
        self.problems.iter().map(|Problem { path, reason }| match path.as_str() {
            "entry" => (self.place.clone(), reason.clone()),
            "name" => (self.place.clone(), format!("has a bad name: it {reason}")),
            _ => (format!("{}.{path}", self.place), reason.clone()),
        })
    }
}

/// Why a file cannot be read as one of servers.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Where in the text, when that is known.
    pub position: Option<Position>,
    /// Which member; empty for the file as a whole.
    pub place: String,
    /// What is wrong and what would be right, worded to follow the place.
    pub reason: String,
}

impl Refusal {
    fn whole(reason: impl Into<String>) -> Refusal {
        Refusal { position: None, place: String::new(), reason: reason.into() }
    }

    fn at(position: Position, reason: String) -> Refusal {
        Refusal { position: Some(position), place: String::new(), reason }
    }

    fn of(place: impl Into<String>, reason: impl Into<String>) -> Refusal {
        Refusal { position: None, place: place.into(), reason: reason.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.place.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}", self.place, self.reason)
    }
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read as one that has servers. What is wrong with single servers is in their entries.
pub fn read(source: &Source<'_>, env: &dyn Environment) -> Result<Reading, Refusal> {
    let parsed = format::parse(source.path, source.text, source.yaml)?;
    let mut remarks = Remarks::default();
    let switches = Switches::read(parsed.value.as_object().unwrap_or(&Map::new()));
    let client = Client::of(source.path);
    let parts = shape::parts(parsed.value, parsed.format, &mut remarks)?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: HashMap<String, String> = HashMap::new();
    for part in parts {
        let opencode = part.dialect == Dialect::Opencode;
        let setting = Setting {
            around: Around::new(source.path, env, opencode),
            switches: &switches,
            unit: match part.base.as_str() {
                _ if opencode => Some(Unit::OfLists),
                "extensions" => Some(Unit::Seconds),
                _ => client.and_then(|client| client.timeout),
            },
            empty_inherits: client.is_some_and(|client| client.id == "mcp-hub"),
        };
        for (name, value) in part.entries {
            let place = below(&part.base, &name);
            if parsed.repeated.contains(&place) {
                remarks.warn(place.as_str(), "is written twice: the last one counts");
            }
            let Some(entry) = entry::read(&name, value, &part.base, &setting, &mut remarks) else { continue };
            match places.get(&entry.name) {
                None => {
                    places.insert(entry.name.clone(), place);
                    entries.push(entry);
                }
                Some(other) => remarks.warn(place, format!("is passed over: {other} has the same name")),
            }
        }
    }
    let tops = [SERVERS_MEMBER, "servers", "context_servers", "mcp", "mcp_servers"];
    for top in tops.into_iter().filter(|top| parsed.repeated.iter().any(|path| path == top)) {
        remarks.warn(top, "is written twice: the last one counts");
    }
    Ok(Reading { client, entries, remarks: remarks.finish() })
}

#[cfg(test)]
mod tests;
