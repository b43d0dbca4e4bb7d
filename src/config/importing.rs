//! Moves servers over from other clients: finds their files, and makes one servers file of this gateway from
//! them. Only reads; returns a text and a report.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Environment;
use super::foreign::{self, CLIENTS, Client, Entry, Reading, SERVERS_MEMBER, Source, Weight};
use super::problem::one_line;
use super::report::run;
use super::servers_file::read_text;
use crate::files;

/// A file that an import looked at.
#[derive(Debug)]
pub struct Found {
    /// Path of the file.
    pub path: PathBuf,
    /// Content of the file, or the reason that it could not be read.
    pub reading: Result<Reading, String>,
}

/// Result of an import, made from the files that it found.
#[derive(Debug, PartialEq, Eq)]
pub struct Plan {
    /// Text of the servers file. `None` if there is no server to write.
    pub text: Option<String>,
    /// Number of servers in the text.
    pub count: usize,
    /// Lines for people: the source of each server, and the differences from the original.
    pub report: String,
    /// Values that a person has to fill in before a server can run, one line each.
    pub open: Vec<String>,
    /// `true` if a file could not be read.
    pub incomplete: bool,
}

/// Looks for the files of all clients, or of those that are named: a client's name as in [`CLIENTS`], or a
/// file. A named file must exist; the others may be missing.
///
/// # Errors
/// If a word names neither a client nor a file.
pub fn look(from: &[String], env: &dyn Environment) -> Result<Vec<Found>, String> {
    let mut places: Vec<(PathBuf, bool)> = Vec::new();
    let home = env.var("HOME").map(PathBuf::from);
    let of_client = |client: &Client| {
        let places = client.places(home.as_deref(), &env.working_dir());
        places.into_iter().map(|place| (place, false)).collect::<Vec<_>>()
    };
    for word in from {
        let path = env.working_dir().join(word);
        match Client::named(word) {
            Some(client) => places.extend(of_client(client)),
            None if is_there(&path) => places.push((path, true)),
            None => {
                let known: Vec<&str> = CLIENTS.iter().map(|client| client.id).collect();
                return Err(format!(
                    "--from {word:?} names neither a file nor a client: {}",
                    known.join(", ")
                ));
            }
        }
    }
    if from.is_empty() {
        places.extend(CLIENTS.iter().flat_map(of_client));
    }
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut found = Vec::new();
    for (path, named) in places {
        if seen.contains(&path) || !(named || is_there(&path)) {
            continue;
        }
        seen.push(path.clone());
        found.push(Found { reading: read(&path, env), path });
    }
    Ok(found)
}

fn is_there(path: &Path) -> bool {
    let looked = path.to_owned();
    files::within(path, files::FILE_TIMEOUT, move || looked.is_file()).unwrap_or(false)
}

fn read(path: &Path, env: &dyn Environment) -> Result<Reading, String> {
    let text = read_text(path).map_err(|error| format!("cannot be read: {error}"))?;
    foreign::read(&Source { path, text: &text, yaml: true }, env).map_err(|refusal| match refusal.position {
        Some(at) => format!("{refusal} in line {}", at.line),
        None => refusal.to_string(),
    })
}

/// Makes one servers file from the files found. Of several servers with one name the first counts. Pure.
pub fn plan(found: &[Found]) -> Plan {
    let mut planner = Planner::default();
    for file in found {
        planner.add(file);
    }
    planner.finish()
}

#[derive(Default)]
struct Planner {
    servers: Map<String, Value>,
    /// Source and entry of each server taken so far.
    known: HashMap<String, (PathBuf, Entry)>,
    report: String,
    open: Vec<String>,
    incomplete: bool,
}

impl Planner {
    fn line(&mut self, word: &str, text: &str) {
        self.report.push_str(&format!("  {word:<8} {}\n", one_line(text)));
    }

    fn add(&mut self, file: &Found) {
        let path = file.path.display();
        let client = file.reading.as_ref().ok().and_then(|reading| reading.client);
        let client = client.map(|client| format!(" ({})", client.name)).unwrap_or_default();
        self.report.push_str(&format!("{}{client}\n", one_line(&path.to_string())));
        let reading = match &file.reading {
            Ok(reading) => reading,
            Err(reason) => {
                self.incomplete = true;
                return self.line("passes", &format!("over it: {reason}"));
            }
        };
        for entry in &reading.entries {
            self.take(&file.path, entry);
        }
        for remark in &reading.remarks {
            let word = if remark.weight == Weight::Warning { "mind" } else { "note" };
            self.line(word, &remark.sentence());
        }
    }

    fn take(&mut self, path: &Path, entry: &Entry) {
        if let Some((other, first)) = self.known.get(&entry.name) {
            let (same, other) = (first.definition().means(&entry.definition()), other.display().to_string());
            return match same {
                true => self.line("has", &format!("{}: the same as in {other}", entry.name)),
                false => self.line(
                    "passes",
                    &format!("over {}: {other} has another one, and comes first", entry.name),
                ),
            };
        }
        self.known.insert(entry.name.clone(), (path.to_owned(), entry.clone()));
        for (place, reason) in entry.told_problems() {
            self.open.push(one_line(&format!("{}: {place} {reason}", path.display())));
        }
        if entry.raw.is_empty() {
            return self.line("passes", &format!("over {}: {}", entry.name, run(entry)));
        }
        self.line("takes", &format!("{}: {}", entry.name, run(entry)));
        self.servers.insert(entry.name.clone(), Value::Object(entry.raw.clone()));
    }

    fn finish(self) -> Plan {
        let count = self.servers.len();
        let top = Map::from_iter([(SERVERS_MEMBER.to_owned(), Value::Object(self.servers))]);
        // A map with names as keys can always be serialized.
        let text = serde_json::to_string_pretty(&top).ok().map(|text| text + "\n");
        let text = text.filter(|_| count > 0);
        Plan { text, count, report: self.report, open: self.open, incomplete: self.incomplete }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;
    use std::fs;

    fn write(directory: &Path, file: &str, text: &str) {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("made");
        fs::write(path, text).expect("written");
    }

    fn env(directory: &Path) -> MapEnvironment {
        let home = directory.join("home");
        let home = home.to_str().expect("UTF-8").to_owned();
        MapEnvironment::within(&directory.join("project"), &[("HOME", &home)])
    }

    #[test]
    fn the_files_of_every_client_are_found_and_made_one() {
        let dir = tempfile::tempdir().unwrap();
        write(
            dir.path(),
            "home/.cursor/mcp.json",
            r#"{"mcpServers": {"a": {"command": "x"}, "b": {"command": "y"}}}"#,
        );
        write(
            dir.path(),
            "project/.vscode/mcp.json",
            r#"{"servers": {"a": {"type": "stdio", "command": "x", "args": []},
            "b": {"command": "z"}, "c": {"command": "c", "env": {"T": "${input:t}"}}}}"#,
        );
        write(
            dir.path(),
            "home/.config/goose/config.yaml",
            "extensions:\n  d:\n    type: stdio\n    cmd: d\n    envs: {A: 1}\n",
        );
        write(dir.path(), "project/librechat.yaml", "mcpServers: [\n");
        let found = look(&[], &env(dir.path())).expect("found");
        assert_eq!(found.len(), 4);
        let plan = plan(&found);
        let servers: Value = serde_json::from_str(&plan.text.expect("servers")).expect("JSON");
        assert_eq!(
            servers,
            serde_json::json!({"mcpServers": {
                "a": {"command": "x"}, "b": {"command": "y"}, "c": {"command": "c", "env": {"T": "${input:t}"}},
                "d": {"type": "stdio", "command": "d", "env": {"A": "1"}},
            }})
        );
        assert_eq!((plan.count, plan.open.len(), plan.incomplete), (4, 1, true));
        assert!(plan.open[0].contains("servers.c.env.T has ${input:t}"), "{:?}", plan.open);
        for piece in [
            "mcp.json (Cursor)\n  takes    a: x\n",
            "has      a: the same as in",
            "passes   over b: ",
            "takes    c: cannot be used: env.T has ${input:t}",
            "takes    d: d\n",
            "mind     extensions.d.env.A is a number and is read as text",
            "passes   over it: is not valid YAML in line ",
        ] {
            assert!(plan.report.contains(piece), "{piece}: {}", plan.report);
        }
    }

    #[test]
    fn one_client_or_one_file_can_be_named() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "home/.cursor/mcp.json", r#"{"mcpServers": {"a": {"command": "x"}}}"#);
        write(dir.path(), "project/some.json", r#"{"b": {"command": "y"}}"#);
        let env = env(dir.path());
        let names = |from: &str| -> Vec<String> {
            let found = look(&[from.to_owned()], &env).expect("found");
            found
                .iter()
                .flat_map(|file| &file.reading.as_ref().expect("read").entries)
                .map(|entry| entry.name.clone())
                .collect()
        };
        assert_eq!(names("cursor"), ["a"]);
        assert_eq!(names("some.json"), ["b"]);
        assert_eq!(names("zed"), Vec::<String>::new());
        let refused = look(&["nobody".to_owned()], &env).expect_err("unknown");
        assert!(
            refused.contains("\"nobody\" names neither a file nor a client: claude-desktop, "),
            "{refused}"
        );
        assert_eq!(plan(&[]).text, None);
    }
}
