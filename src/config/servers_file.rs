//! Servers files: the `mcpServers` JSON that desktop clients write. Read here, applied elsewhere.
//! Order and unknown members are kept; nothing in a file is changed.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::json;
use super::problem::{Problems, did_you_mean, path_step};
use crate::files;
use crate::service::MAX_SERVERS;
use crate::supervisor::{Definition, check_name};

/// The member that holds the servers.
const SERVERS_MEMBER: &str = "mcpServers";

/// The longest configuration file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A servers file in which every entry is a valid definition.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersFile {
    /// Where it is, absolute. Symbolic links are not resolved: what they lead to may be replaced
    /// while the file stays the same to whoever named it.
    pub path: PathBuf,
    /// The servers, in the order of the file, each with its entry as it was written.
    pub entries: Vec<(String, Map<String, Value>)>,
    /// The other members of the file, as they were written.
    pub extra: Map<String, Value>,
}

/// A servers file to read: how it was named, for messages, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) shown: String,
    pub(super) path: PathBuf,
}

/// Reads servers files and checks them together: besides what is wrong inside each one, a file
/// named twice and a server that several files define are problems.
pub(super) fn read_all(files: &[Named], problems: &mut Problems) -> Vec<ServersFile> {
    let mut read: Vec<ServersFile> = Vec::with_capacity(files.len());
    let mut seen: Vec<PathBuf> = Vec::with_capacity(files.len());
    let mut defined_in: HashMap<String, &str> = HashMap::new();
    for Named { shown, path } in files {
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => {
                problems.source(shown, format!("cannot be read: {error}"));
                continue;
            }
        };
        // A pipe that the shell made has no path of its own: then the given one has to do.
        let (link, given) = (path.clone(), path.clone());
        let real = files::within(path, files::PATIENCE, move || link.canonicalize().unwrap_or(given));
        let real = real.unwrap_or_else(|_| path.clone());
        if seen.contains(&real) {
            problems.source(shown, "is named twice");
            continue;
        }
        seen.push(real);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let (entries, extra) = parse(shown, &text, problems);
        for (name, _) in &entries {
            if let Some(other) = defined_in.insert(name.clone(), shown) {
                let reason = format!("is already defined in {other}");
                problems.at(shown, None, server_path(name), reason);
            }
        }
        read.push(ServersFile { path, entries, extra });
        let count: usize = read.iter().map(|file| file.entries.len()).sum();
        if count > MAX_SERVERS {
            problems.at(
                shown,
                None,
                SERVERS_MEMBER,
                format!("makes {count} servers of all files, and there can be {MAX_SERVERS}"),
            );
        }
    }
    read
}

/// Reads a whole file as text: at most [`MAX_FILE`] bytes, UTF-8. What blocks is given up.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = files::read_or_piped(path, MAX_FILE)?;
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

type Entries = Vec<(String, Map<String, Value>)>;

/// Checks the text of a servers file. What could be read comes back even beside problems, so that
/// names can be compared across files.
pub(super) fn parse(source: &str, text: &str, problems: &mut Problems) -> (Entries, Map<String, Value>) {
    let parsed = match json::parse(text) {
        Ok(parsed) => parsed,
        Err((position, reason)) => {
            problems.at(source, Some(position), "", format!("is not valid JSON: {reason}"));
            return Default::default();
        }
    };
    for path in parsed.repeated {
        problems.at(source, None, path, "is written twice");
    }
    let Value::Object(mut top) = parsed.value else {
        problems.source(source, format!("must be a JSON object with the member \"{SERVERS_MEMBER}\""));
        return Default::default();
    };
    let servers = match top.shift_remove(SERVERS_MEMBER) {
        Some(Value::Object(servers)) => servers,
        Some(_) => {
            problems.at(source, None, SERVERS_MEMBER, "must be an object: server name to definition");
            return (Vec::new(), top);
        }
        None => {
            problems.at(source, None, SERVERS_MEMBER, format!("is required{}", hint(&top)));
            return (Vec::new(), top);
        }
    };
    let mut entries = Vec::with_capacity(servers.len());
    for (name, entry) in servers {
        let path = server_path(&name);
        if let Err(problem) = check_name(&name) {
            problems.at(source, None, path.as_str(), format!("has a bad name: it {}", problem.reason));
        }
        let Value::Object(entry) = entry else {
            problems.at(source, None, path, "must be an object");
            continue;
        };
        match Definition::parse(entry.clone()) {
            Ok(_) => {}
            Err(found) => {
                for problem in found {
                    problems.at(source, None, format!("{path}.{}", problem.path), problem.reason);
                }
            }
        }
        entries.push((name, entry));
    }
    (entries, top)
}

fn server_path(name: &str) -> String {
    format!("{SERVERS_MEMBER}.{}", path_step(name))
}

/// What to say beside "is required": most such files use the key of another client.
fn hint(top: &Map<String, Value>) -> String {
    if top.contains_key("servers") {
        return format!(": rename \"servers\" to \"{SERVERS_MEMBER}\"");
    }
    let near = top.keys().find(|name| !did_you_mean(name, &[SERVERS_MEMBER]).is_empty());
    match near {
        Some(name) => format!(": rename {name:?} to \"{SERVERS_MEMBER}\""),
        None => ": an object from server name to definition".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn problems_of(text: &str) -> Vec<String> {
        let mut problems = Problems::default();
        parse("f.json", text, &mut problems);
        problems.lines()
    }

    fn named(path: &Path) -> Named {
        Named { shown: path.file_name().unwrap().to_string_lossy().into_owned(), path: path.to_owned() }
    }

    #[test]
    fn keeps_order_and_unknown_members() {
        let text = r#"{"z": 1, "mcpServers": {"zeta": {"command": "a", "x": {"b": 1, "a": 2}}, "alpha": {"url": "http://h/"}}, "a": [2]}"#;
        let mut problems = Problems::default();
        let (entries, extra) = parse("f.json", text, &mut problems);
        assert!(problems.lines().is_empty());
        assert_eq!(entries[0].0, "zeta");
        assert_eq!(serde_json::to_string(&entries[0].1).unwrap(), r#"{"command":"a","x":{"b":1,"a":2}}"#);
        assert_eq!(entries[1].0, "alpha");
        assert_eq!(serde_json::to_string(&extra).unwrap(), r#"{"z":1,"a":[2]}"#);
    }

    #[test]
    fn reports_every_problem_of_every_entry() {
        let lines = problems_of(
            r#"{"mcpServers": {
                "git": {"command": "git", "args": "x", "env": {"A": 1}},
                " a": {"command": ""},
                "list": [],
                "fine": {"command": "x"}
            }}"#,
        );
        assert_eq!(
            lines,
            [
                "f.json: mcpServers.git.args must be an array of strings",
                "f.json: mcpServers.git.env must be an object of strings",
                "f.json: mcpServers.\" a\" has a bad name: it must not begin or end with a blank",
                "f.json: mcpServers.\" a\".command must not be empty",
                "f.json: mcpServers.list must be an object",
            ]
        );
    }

    #[test]
    fn a_syntax_error_names_line_and_column() {
        assert_eq!(
            problems_of("{\n \"mcpServers\": {,}\n}"),
            ["f.json:2:17: is not valid JSON: key must be a string"]
        );
        assert!(problems_of("")[0].starts_with("f.json:1:1: is not valid JSON: EOF"));
    }

    #[test]
    fn a_missing_member_is_explained() {
        let cases = [
            ("[]", "f.json: must be a JSON object with the member \"mcpServers\""),
            (r#"{"servers": {}}"#, "f.json: mcpServers is required: rename \"servers\" to \"mcpServers\""),
            (
                r#"{"mcpservers": {}}"#,
                "f.json: mcpServers is required: rename \"mcpservers\" to \"mcpServers\"",
            ),
            ("{}", "f.json: mcpServers is required: an object from server name to definition"),
            (r#"{"mcpServers": 1}"#, "f.json: mcpServers must be an object: server name to definition"),
        ];
        for (text, problem) in cases {
            assert_eq!(problems_of(text), [problem]);
        }
    }

    #[test]
    fn a_server_defined_twice_in_one_file_is_a_problem() {
        let lines = problems_of(r#"{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}"#);
        assert_eq!(lines, ["f.json: mcpServers.a is written twice"]);
    }

    #[test]
    fn a_server_defined_in_two_files_and_a_file_named_twice_are_problems() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.json"), dir.path().join("b.json"));
        fs::write(&a, r#"{"mcpServers": {"x": {"command": "c"}}}"#).unwrap();
        fs::write(&b, r#"{"mcpServers": {"y": {"command": "c"}, "x": {"command": "c"}}}"#).unwrap();
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&a, &link).unwrap();
        let gone = dir.path().join("gone.json");
        let mut problems = Problems::default();
        read_all(&[named(&a), named(&b), named(&link), named(&gone)], &mut problems);
        assert_eq!(
            problems.lines(),
            [
                "b.json: mcpServers.x is already defined in a.json",
                "link.json: is named twice",
                "gone.json: cannot be read: No such file or directory (os error 2)",
            ]
        );
    }

    #[test]
    fn what_is_not_a_small_text_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.json");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        let reason = |path: &Path| read_text(path).expect_err("unreadable").to_string();
        assert_eq!(reason(&file), "it is not UTF-8 text");
        assert!(reason(dir.path()).contains("directory"));
        fs::File::create(&file).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(reason(&file), "it is longer than 16 MiB");
    }

    proptest! {
        #[test]
        fn never_panics(text in "\\PC{0,80}", inner in r#"[\[\]{}:,"a1\-\\ ]{0,60}"#) {
            problems_of(&text);
            problems_of(&format!("{{\"mcpServers\": {inner}}}"));
            problems_of(&format!("{{\"mcpServers\": {{\"a\": {{{inner}}}}}}}"));
        }
    }
}
