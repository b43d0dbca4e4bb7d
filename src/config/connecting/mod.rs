//! Writes this gateway into the configuration files of MCP clients: the entry of each client, and the edit of a file's text
//! that adds it and leaves everything else as it is, comments and indentation included. Pure.

mod edit_jsonc;
mod edit_toml;
mod edit_yaml;
mod entry;

use std::path::{Path, PathBuf};

use serde_json::Value;

pub use entry::{Link, Way};

use super::foreign::{Client, Format, ImportError, parse_text};
use crate::nearest::closest;

/// A client that can be connected.
#[derive(Debug)]
pub struct Target {
    /// Name on the command line, as in the table of clients.
    pub id: &'static str,
    /// Members that lead to the entries.
    container: &'static [&'static str],
    /// `true` if it has files of projects.
    has_project: bool,
    /// Files of a user that may hold entries, of those that the table of clients names.
    files: usize,
    /// `true` if it speaks Streamable HTTP.
    pub speaks_http: bool,
    /// Remark for people who have its file written. `None` if there is nothing to say.
    pub remark: Option<&'static str>,
}

const RESTART: Option<&str> = Some("restart it to have the file read");

/// All clients that can be connected.
pub const TARGETS: [Target; 10] = [
    Target {
        id: "claude-desktop",
        container: &["mcpServers"],
        has_project: false,
        files: 1,
        speaks_http: false,
        remark: RESTART,
    },
    Target {
        id: "claude-code",
        container: &["mcpServers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: Some(
            "it rewrites the file of a user while it runs: end it before --write, or use \"claude mcp add\"",
        ),
    },
    Target {
        id: "vscode",
        container: &["servers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: None,
    },
    Target {
        id: "cursor",
        container: &["mcpServers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: None,
    },
    Target {
        id: "windsurf",
        container: &["mcpServers"],
        has_project: false,
        files: 1,
        speaks_http: true,
        remark: Some("refresh its list of servers to have the file read"),
    },
    Target {
        id: "zed",
        container: &["context_servers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: None,
    },
    Target {
        id: "codex",
        container: &["mcp_servers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: RESTART,
    },
    Target {
        id: "gemini",
        container: &["mcpServers"],
        has_project: true,
        files: 1,
        speaks_http: true,
        remark: RESTART,
    },
    Target {
        id: "opencode",
        container: &["mcp", "servers"],
        has_project: true,
        files: 2,
        speaks_http: true,
        remark: RESTART,
    },
    Target {
        id: "goose",
        container: &["extensions"],
        has_project: false,
        files: 1,
        speaks_http: true,
        remark: None,
    },
];

/// Reason that a file's text is not edited.
#[derive(Debug, PartialEq, Eq)]
pub enum Uneditable {
    /// It cannot be read.
    Unreadable(String),
    /// It can be read, but not changed safely.
    Unsafe(String),
}

impl Target {
    /// Returns the client with this name.
    ///
    /// # Errors
    /// A text that names the client that is probably meant, and all of them.
    pub fn named(id: &str) -> Result<&'static Target, String> {
        let known = || TARGETS.iter().map(|target| target.id);
        let found = TARGETS.iter().find(|target| target.id.eq_ignore_ascii_case(id));
        found.ok_or_else(|| {
            let meant = closest(id, known()).map(|near| format!("; did you mean \"{near}\"?"));
            let all: Vec<&str> = known().collect();
            format!(
                "{id:?} is no client that can be connected{}: {}",
                meant.unwrap_or_default(),
                all.join(", ")
            )
        })
    }

    /// Returns the files that it may have: that of the user, or that of the project in `project`. The first one that is
    /// there counts, or else the first. `None` if it has none.
    pub fn places(&self, home: Option<&Path>, project: Option<&Path>) -> Option<Vec<PathBuf>> {
        let client = Client::named(self.id)?;
        let (base, files) = match project {
            Some(project) => (project, client.project),
            None => (home?, client.user[0]),
        };
        let has = project.is_none() || self.has_project;
        has.then(|| files.iter().take(self.files).map(|file| base.join(file)).collect())
    }

    /// Returns the name of the client for people.
    pub fn name(&self) -> &'static str {
        Client::named(self.id).map_or(self.id, |client| client.name)
    }

    fn notation(&self) -> Format {
        match self.id {
            "codex" => Format::Toml,
            "goose" => Format::Yaml,
            _ => Format::Json,
        }
    }

    /// Returns the part of a file that holds the entry and nothing else, to be pasted.
    pub fn snippet(&self, link: &Link) -> String {
        let entry = entry::of(self.id, link);
        match self.notation() {
            Format::Json => {
                let whole = self.container.iter().rev().fold(
                    serde_json::json!({ link.name.as_str(): entry }),
                    |inner, name| serde_json::json!({ *name: inner }),
                );
                format!("{whole:#}\n")
            }
            Format::Toml => edit_toml::table(self.container[0], &link.name, &entry),
            Format::Yaml => format!("{}:\n{}", self.container[0], edit_yaml::block(&link.name, &entry, 2)),
        }
    }

    /// Returns the text of a file with the entry, where there was another one of its name in place of that; the same text
    /// if it is there already. Everything else stays as it is. An empty text stands for a file that is not there.
    ///
    /// # Errors
    /// If the text is not valid, or the entry cannot be put into it without a doubt about the rest.
    pub fn edit(&self, path: &Path, text: &str, link: &Link) -> Result<String, Uneditable> {
        let entry = entry::of(self.id, link);
        let notation = self.notation();
        let read = |text: &str| {
            let is_empty = text.trim_start_matches('\u{feff}').trim().is_empty();
            let value = if is_empty { Ok(Value::Null) } else { parse_text(notation, text) };
            value.map_err(|error| Uneditable::Unreadable(told(path, &error)))
        };
        let before = match read(text)? {
            Value::Null => Value::Object(serde_json::Map::new()),
            value => value,
        };
        let container = self.container_in(&before);
        let wanted = with_entry(&before, container, &link.name, &entry)
            .map_err(|place| Uneditable::Unsafe(format!("{}: {place} holds no entries", path.display())))?;
        if wanted == before {
            return Ok(text.to_owned());
        }
        let edited = match notation {
            Format::Json => edit_jsonc::set(text, container, &link.name, &entry),
            Format::Toml => edit_toml::add(text, container[0], &link.name, &entry),
            Format::Yaml => edit_yaml::add(text, container[0], &link.name, &entry),
        };
        // Whatever the edit has done: nothing counts but that the file then says what it said before, and the entry.
        let edited = edited.filter(|edited| read(edited).is_ok_and(|after| after == wanted));
        edited.ok_or_else(|| {
            let text = format!("{}: the entry cannot be put into this file without a doubt", path.display());
            Uneditable::Unsafe(text)
        })
    }

    /// Returns the members that lead to the entries in this file. opencode 1 has them one level higher.
    fn container_in(&self, value: &Value) -> &'static [&'static str] {
        let outer = self.container.first().and_then(|name| value.get(name)).and_then(Value::as_object);
        let is_older = self.id == "opencode"
            && outer.is_some_and(|entries| {
                !entries.contains_key("servers") && entries.values().any(|entry| entry.get("type").is_some())
            });
        if is_older { &self.container[..1] } else { self.container }
    }
}

fn told(path: &Path, error: &ImportError) -> String {
    match error.position {
        Some(at) => format!("{}:{}:{}: {error}", path.display(), at.line, at.column),
        None => format!("{}: {error}", path.display()),
    }
}

/// Returns a file's value with the entry. The error is the place that is in the way.
fn with_entry(value: &Value, container: &[&str], name: &str, entry: &Value) -> Result<Value, String> {
    let mut wanted = value.clone();
    let (mut at, mut place) = (&mut wanted, "the whole".to_owned());
    for step in container {
        let members = at.as_object_mut().ok_or_else(|| place.clone())?;
        at = members.entry(*step).or_insert_with(|| Value::Object(serde_json::Map::new()));
        place = (*step).to_owned();
    }
    at.as_object_mut().ok_or(place)?.insert(name.to_owned(), entry.clone());
    Ok(wanted)
}

#[cfg(test)]
mod tests;
