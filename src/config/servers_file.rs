//! Reads servers files: their list, their problems as a whole, and conflicts between them over one server.
//! [`super::foreign`] handles the form of each. They are applied elsewhere; no file is changed.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::foreign::{self, Entry, Remark, SERVERS_MEMBER, Source, Weight};
use super::problem::Problems;
use super::{ConfigProblem, Environment};
use crate::files;
use crate::registry::{self, MAX_SERVERS};

/// Longest configuration file that is read, in bytes.
pub(super) const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A servers file that was read successfully.
#[derive(Debug, Clone, PartialEq)]
pub struct ServersFile {
    /// Path as it was named, for messages.
    pub shown: String,
    /// Absolute path of the file. Symbolic links are not resolved: their target may be replaced while the named
    /// path stays the same.
    pub path: PathBuf,
    /// Text that differs between two versions of the file; see [`version_of`].
    pub version: String,
    /// Servers in the order of the file. A problem of one does not affect the others.
    pub entries: Vec<Entry>,
    /// Remarks on the file, such as members without effect.
    pub remarks: Vec<Remark>,
}

impl ServersFile {
    /// Returns the content for the registry to apply, as it was read.
    pub fn content(&self) -> registry::ServersFile {
        registry::ServersFile::of_entries(self.entries.iter().map(Entry::to_file_entry))
    }

    /// Adds the problems of its servers, for a check, which is strict.
    pub(super) fn problems(&self, problems: &mut Problems) {
        for entry in &self.entries {
            for (place, reason) in entry.told_problems() {
                problems.at(&self.shown, None, place, reason);
            }
        }
    }

    fn warn(&mut self, place: &str, text: String) {
        self.remarks.push(Remark { weight: Weight::Warning, place: place.to_owned(), text });
    }
}

/// Returns the problems of the servers of all these files.
pub fn entry_problems(files: &[ServersFile]) -> Vec<ConfigProblem> {
    let mut problems = Problems::default();
    files.iter().for_each(|file| file.problems(&mut problems));
    problems.into_result(()).err().unwrap_or_default()
}

/// A servers file to read: its name for messages, and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) shown: String,
    pub(super) path: PathBuf,
}

/// Reads servers files and compares them. A file that cannot be read and one that is named twice are problems;
/// of a server in several files the first counts.
pub(super) fn read_all(files: &[Named], env: &dyn Environment, problems: &mut Problems) -> Vec<ServersFile> {
    let mut read: Vec<ServersFile> = Vec::with_capacity(files.len());
    let mut seen: Vec<PathBuf> = Vec::with_capacity(files.len());
    for Named { shown, path } in files {
        // Taken before the file is read: a write meanwhile then makes another version, which is read again.
        let (real, version) = identity(path);
        let text = match read_text(path) {
            Ok(text) => text,
            Err(error) => {
                problems.source(shown, format!("cannot be read: {error}"));
                continue;
            }
        };
        if seen.contains(&real) {
            problems.source(shown, "is named twice");
            continue;
        }
        seen.push(real);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let reading = match foreign::read(&Source { path: &path, text: &text, yaml: false }, env) {
            Ok(reading) => reading,
            Err(refusal) => {
                problems.at(shown, refusal.position, refusal.place, refusal.reason);
                continue;
            }
        };
        let (shown, entries, remarks) = (shown.clone(), reading.entries, reading.remarks);
        read.push(ServersFile { shown, path, version, entries, remarks });
    }
    first_counts(&mut read);
    let count: usize = read.iter().map(|file| file.entries.len()).sum();
    if count > MAX_SERVERS
        && let Some(last) = read.last()
    {
        let reason = format!("makes {count} servers of all files, and there can be {MAX_SERVERS}");
        problems.at(&last.shown, None, SERVERS_MEMBER, reason);
    }
    read
}

/// Returns a text that differs between versions of a file: its place, length and time of writing. Empty if
/// there is no file, and constant for what is read once, such as a pipe. May take as long as the disk does.
pub fn version_of(path: &Path) -> String {
    match path.metadata() {
        Ok(it) if it.is_file() => {
            format!("{:?}", (it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
        }
        Ok(it) => format!("{:?}", (it.dev(), it.ino())),
        Err(_) => String::new(),
    }
}

/// Returns the resolved path of a file and its version.
fn identity(path: &Path) -> (PathBuf, String) {
    // A pipe of the shell has no path of its own; the given one is used then.
    let (link, given) = (path.to_owned(), path.to_owned());
    let look = move || {
        let version = version_of(&link);
        (link.canonicalize().unwrap_or(given), version)
    };
    files::within(path, files::FILE_TIMEOUT, look).unwrap_or_else(|_| (path.to_owned(), String::new()))
}

/// Keeps of servers in several files those of the first one, and warns if the others differ.
fn first_counts(files: &mut [ServersFile]) {
    let mut known: HashMap<String, (String, Entry)> = HashMap::new();
    for file in files {
        let mut differ = Vec::new();
        let shown = &file.shown;
        file.entries.retain(|entry| {
            let Some((other, first)) = known.get(&entry.name) else {
                known.insert(entry.name.clone(), (shown.clone(), entry.clone()));
                return true;
            };
            if !first.definition().means(&entry.definition()) {
                differ.push((entry.place.clone(), other.clone()));
            }
            false
        });
        for (place, other) in differ {
            file.warn(
                &place,
                format!("is passed over: {other} has another server of that name, and comes first"),
            );
        }
    }
}

/// Reads a whole file as text: at most [`MAX_FILE`] bytes, UTF-8. Does not wait for a disk without limit.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let bytes = files::read_or_piped(path, MAX_FILE)?;
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(io::Error::other("it is UTF-16 text; save it as UTF-8"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::test_support::MapEnvironment;
    use std::fs;

    fn named(path: &Path) -> Named {
        Named { shown: path.file_name().unwrap().to_string_lossy().into_owned(), path: path.to_owned() }
    }

    fn names(file: &ServersFile) -> Vec<&str> {
        file.entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    fn remarks(file: &ServersFile) -> Vec<String> {
        file.remarks.iter().map(Remark::sentence).collect()
    }

    #[test]
    fn of_a_server_in_two_files_the_first_counts_and_a_difference_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a.json"), dir.path().join("b.json"));
        fs::write(&a, r#"{"mcpServers": {"x": {"command": "c"}, "z": {"command": "c", "args": ["1"]}}}"#)
            .unwrap();
        fs::write(
            &b,
            r#"{"servers": {"y": {"command": "c"}, "x": {"type": "stdio", "command": "c", "args": []}, "z": {"command": "c"}}}"#,
        )
        .unwrap();
        let mut problems = Problems::default();
        let env = MapEnvironment::new(&[]);
        let files = read_all(&[named(&a), named(&b)], &env, &mut problems);
        assert_eq!(problems.lines(), Vec::<String>::new());
        assert_eq!((names(&files[0]), names(&files[1])), (vec!["x", "z"], vec!["y"]));
        assert_eq!(remarks(&files[0]), Vec::<String>::new());
        let told = "servers.z is passed over: a.json has another server of that name, and comes first";
        assert_eq!(remarks(&files[1]), [told]);
    }

    #[test]
    fn a_file_named_twice_and_one_that_cannot_be_read_are_problems() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a.json");
        fs::write(&a, r#"{"mcpServers": {"x": {"command": "c"}}}"#).unwrap();
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&a, &link).unwrap();
        let (broken, gone) = (dir.path().join("broken.json"), dir.path().join("gone.json"));
        fs::write(&broken, "{\n \"mcpServers\": {,}\n}").unwrap();
        let mut problems = Problems::default();
        let env = MapEnvironment::new(&[]);
        let files = read_all(&[named(&a), named(&link), named(&broken), named(&gone)], &env, &mut problems);
        assert_eq!(files.len(), 1);
        assert_eq!(
            problems.lines(),
            [
                "link.json: is named twice",
                "broken.json:2:17: is not valid JSON: key must be a string",
                "gone.json: cannot be read: No such file or directory (os error 2)",
            ]
        );
    }

    #[test]
    fn what_is_wrong_with_servers_is_told_with_its_place_and_costs_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let a = dir.path().join("a.json");
        let text = r#"{"servers": {"git": {"command": "git", "args": "x", "env": {"A": {}}}, "a\u0000b": {"command": ""},
            "list": [], "fine": {"command": "x"}}}"#;
        fs::write(&a, text).unwrap();
        let mut problems = Problems::default();
        let files = read_all(&[named(&a)], &MapEnvironment::new(&[]), &mut problems);
        assert_eq!(problems.len(), 0);
        assert_eq!(names(&files[0]), ["git", "ab", "list", "fine"]);
        let told: Vec<String> = entry_problems(&files).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "a.json: servers.git.args must be a list: write [\"x\"], a text for each argument",
                "a.json: servers.git.env.A must be a string (found an object)",
                "a.json: servers.\"a\\0b\" has a bad name: it must not contain control characters",
                "a.json: servers.\"a\\0b\".command must not be empty",
                "a.json: servers.list must be an object (found a list)",
            ]
        );
    }

    #[test]
    fn what_is_not_a_small_text_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.json");
        let reason = |path: &Path| read_text(path).expect_err("unreadable").to_string();
        fs::write(&file, [0xff, 0x20]).unwrap();
        assert_eq!(reason(&file), "it is not UTF-8 text");
        fs::write(&file, [0xff, 0xfe, b'{', 0]).unwrap();
        assert_eq!(reason(&file), "it is UTF-16 text; save it as UTF-8");
        assert!(reason(dir.path()).contains("directory"));
        fs::File::create(&file).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(reason(&file), "it is longer than 16 MiB");
    }
}
