//! Reads servers files written for other clients, each in its own form, and converts them to the form of
//! definitions here. Pure: takes a path, a text and the environment; returns the entries, each with its
//! problems, and the remarks.
//!
//! Only files named by an operator are read like this. Definitions sent over HTTP are taken as they are, or
//! refused.

mod advice;
mod client;
mod entry;
mod fields;
mod format;
mod jsonc;
mod look;
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
pub(super) use format::{Format, parse_text};
pub use remark::{Remark, Weight};

use self::client::Unit;
use self::look::Setting;
use self::placeholder::Around;
use self::remark::{Remarks, below};
use self::shape::Dialect;
use self::switches::Switches;
use super::Environment;
use super::problem::Position;
use crate::registry::FileEntry;
use crate::supervisor::{Definition, Problem};

/// Member that holds the servers, in most clients' files and in this gateway's own.
pub(super) const SERVERS_MEMBER: &str = "mcpServers";

/// A servers file to convert.
pub struct Source<'a> {
    /// Path of the file: identifies the client and is the base of relative places. Not opened.
    pub path: &'a Path,
    /// Content of the file.
    pub text: &'a str,
    /// `true` if YAML is accepted as well, for a file that is imported once.
    pub yaml: bool,
}

/// Result of reading a file.
#[derive(Debug)]
pub struct Reading {
    /// Client that the file belongs to. `None` if it is unknown.
    pub client: Option<&'static Client>,
    /// Servers in the order of the file, each name once. A problem of one does not affect the others.
    pub entries: Vec<Entry>,
    /// Remarks on the file, such as members without effect.
    pub remarks: Vec<Remark>,
}

/// One server of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Path in the file, such as `mcpServers.git`.
    pub place: String,
    /// Name of the server, made valid if the given one is not.
    pub name: String,
    /// Members of the entry in this gateway's form.
    pub raw: Map<String, Value>,
    /// Reasons that it cannot be used; empty if it can.
    pub problems: Vec<Problem>,
}

impl Entry {
    /// Returns the entry in the form that the registry takes.
    pub fn to_file_entry(&self) -> FileEntry {
        FileEntry { name: self.name.clone(), raw: self.raw.clone(), problems: self.problems.clone() }
    }

    /// Returns the entry as a definition, a quarantined one if it cannot be used.
    pub fn definition(&self) -> Definition {
        let quarantined = |problems| Definition::quarantined(self.raw.clone(), problems);
        match self.problems.is_empty() {
            true => Definition::parse(self.raw.clone()).unwrap_or_else(quarantined),
            false => quarantined(self.problems.clone()),
        }
    }

    /// Returns its problems, each as a place in the file and a reason.
    pub fn told_problems(&self) -> impl Iterator<Item = (String, String)> {
        self.problems.iter().map(|Problem { path, reason }| match path.as_str() {
            "entry" => (self.place.clone(), reason.clone()),
            "name" => (self.place.clone(), format!("has a bad name: it {reason}")),
            _ => (format!("{}.{path}", self.place), reason.clone()),
        })
    }
}

/// Reason that a file cannot be read as a servers file.
#[derive(Debug, PartialEq, Eq)]
pub struct ImportError {
    /// Position in the text. `None` if it is unknown.
    pub position: Option<Position>,
    /// Path of the member; empty for the file as a whole.
    pub place: String,
    /// Problem and remedy, worded to follow the place.
    pub reason: String,
}

impl ImportError {
    fn whole(reason: impl Into<String>) -> ImportError {
        ImportError { position: None, place: String::new(), reason: reason.into() }
    }

    fn at(position: Position, reason: String) -> ImportError {
        ImportError { position: Some(position), place: String::new(), reason }
    }

    fn of(place: impl Into<String>, reason: impl Into<String>) -> ImportError {
        ImportError { position: None, place: place.into(), reason: reason.into() }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.place.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}", self.place, self.reason)
    }
}

/// Reads a servers file.
///
/// # Errors
/// If it cannot be read as a file with servers. Problems of single servers are in their entries.
pub fn read(source: &Source<'_>, env: &dyn Environment) -> Result<Reading, ImportError> {
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
