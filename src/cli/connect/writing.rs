//! A client's file on the disk: replaced as a whole, with a backup beside it, and a record by which that is taken back.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;
use crate::text::hex;

/// Longest file that is edited, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;
/// Maximum number of changes of one file that can be taken back.
const MAX_CHANGES: usize = 32;

/// A change that was written.
#[derive(Debug, Serialize, Deserialize)]
struct Change {
    /// SHA-256 of the file as it was written, in hexadecimal digits.
    written: String,
    /// Name of the backup. `None` if there was no file.
    backup: Option<String>,
}

/// What was done to take a change back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// The file is what it was before.
    Restored,
    /// The file was made by the change, and is removed.
    Removed,
}

/// Reads a file of text; `None` if it is not there.
pub(super) fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match files::read(path, MAX_FILE).map_err(io::Error::from) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("it is not UTF-8 text")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes the new text of a file in place of the one that it has. What it had is kept beside it. Returns the backup; `None`
/// if there was no file.
///
/// # Errors
/// If it is not `before` any more, or cannot be written; then nothing was changed.
pub(super) fn write(path: &Path, before: Option<&str>, after: &str) -> io::Result<Option<PathBuf>> {
    let path = &resolved(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut changes = changes_of(path)?;
    let backup = match before {
        None => None,
        Some(before) => Some(write_backup(path, before)?),
    };
    if read_if_there(path)?.as_deref() != before {
        backup.as_ref().map_or(Ok(()), fs::remove_file)?;
        return Err(io::Error::other("another program has changed it meanwhile; try again"));
    }
    let name =
        backup.as_ref().and_then(|backup| backup.file_name()).map(|name| name.to_string_lossy().into_owned());
    changes.push(Change { written: sum(after.as_bytes()), backup: name });
    if changes.len() > MAX_CHANGES {
        changes.remove(0);
    }
    // The record first: a change without one could not be taken back, and a record of a change that was not made takes
    // nothing back, since the file is not what it says.
    keep(path, &changes)?;
    replace(path, after.as_bytes(), mode_of(path))?;
    Ok(backup)
}

/// Takes back the change that was written last.
///
/// # Errors
/// If there is none, or the file is not what was written; then nothing is changed.
pub(super) fn undo(path: &Path) -> io::Result<Undone> {
    let path = &resolved(path);
    let mut changes = changes_of(path)?;
    let Some(change) = changes.pop() else {
        return Err(io::Error::other("nothing was written to it that could be taken back"));
    };
    let now = files::read(path, MAX_FILE).map_err(io::Error::from)?;
    if sum(&now) != change.written {
        let kept = change.backup.map(|backup| format!("; what it had before is in {backup} beside it"));
        let text =
            format!("it has changed since it was written, and is left as it is{}", kept.unwrap_or_default());
        return Err(io::Error::other(text));
    }
    let undone = match &change.backup {
        Some(backup) => {
            let backup = path.with_file_name(backup);
            let before = files::read(&backup, MAX_FILE).map_err(io::Error::from)?;
            replace(path, &before, mode_of(path))?;
            fs::remove_file(&backup)?;
            Undone::Restored
        }
        None => {
            fs::remove_file(path)?;
            Undone::Removed
        }
    };
    match changes.is_empty() {
        true => fs::remove_file(beside(path, "undo"))?,
        false => keep(path, &changes)?,
    }
    Ok(undone)
}

/// Follows links, so that the file itself is replaced and not a link to it.
fn resolved(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".mcpvisor-{what}"));
    path.with_file_name(name)
}

fn changes_of(path: &Path) -> io::Result<Vec<Change>> {
    let record = beside(path, "undo");
    let text = read_if_there(&record)?.unwrap_or_else(|| "[]".to_owned());
    serde_json::from_str(&text).map_err(|error| {
        io::Error::other(format!(
            "the record of earlier changes, {}, cannot be read: {error}",
            record.display()
        ))
    })
}

fn keep(path: &Path, changes: &[Change]) -> io::Result<()> {
    let text = serde_json::to_vec(changes).map_err(io::Error::other)?;
    replace(&beside(path, "undo"), &text, 0o600)
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).map_or(0o600, |file| file.permissions().mode() & 0o7777)
}

/// Writes a backup under a name that is free, for its user alone: it may have secrets in it.
fn write_backup(path: &Path, content: &str) -> io::Result<PathBuf> {
    for number in 1..=u32::MAX {
        let backup = beside(path, &format!("backup-{number}"));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&backup);
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
            Ok(mut file) => {
                file.write_all(content.as_bytes())?;
                file.sync_all()?;
                return Ok(backup);
            }
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Replaces a file in one step: a reader sees the old content or the new, never a part.
fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = beside(path, &format!("{}.tmp", uuid::Uuid::new_v4().simple()));
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
            file.write_all(content)?;
            file.set_permissions(Permissions::from_mode(mode))?;
            file.sync_all()?;
            fs::rename(&draft, path)
        });
    if written.is_err() {
        // It may not be there; either way there is nothing more to do about it.
        let _ = fs::remove_file(&draft);
    }
    written
}

fn sum(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("readable").map(|entry| entry.expect("readable").file_name());
        let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn changes_are_taken_back_one_after_the_other_to_the_byte() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("c.json");
        fs::write(&path, "one\r\n").expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("set");
        let backup = write(&path, Some("one\r\n"), "two").expect("written").expect("there was a file");
        assert_eq!(fs::metadata(&backup).expect("there").permissions().mode() & 0o777, 0o600);
        write(&path, Some("two"), "three").expect("written");
        assert_eq!((mode_of(&path), names(dir.path()).len()), (0o644, 4));
        assert_eq!(undo(&path).expect("undone"), Undone::Restored);
        assert_eq!(fs::read_to_string(&path).expect("there"), "two");
        assert_eq!(undo(&path).expect("undone"), Undone::Restored);
        assert_eq!(fs::read_to_string(&path).expect("there"), "one\r\n");
        assert_eq!(names(dir.path()), ["c.json"], "nothing is left");
        assert!(undo(&path).expect_err("nothing").to_string().contains("nothing was written"));
    }

    #[test]
    fn a_file_that_was_made_is_removed_and_one_that_has_changed_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("below/c.json");
        assert_eq!(write(&path, None, "new").expect("written"), None);
        fs::write(&path, "edited").expect("written");
        let told = undo(&path).expect_err("it has changed").to_string();
        assert!(told.contains("it has changed since"), "{told}");
        assert_eq!(fs::read_to_string(&path).expect("there"), "edited");
        fs::write(&path, "new").expect("written");
        assert_eq!(undo(&path).expect("undone"), Undone::Removed);
        assert!(!path.exists());
        assert!(write(&path, Some("old"), "x").is_err(), "it is not what it was taken for");
        assert!(names(&dir.path().join("below")).is_empty());
    }

    #[test]
    fn a_link_stays_one_and_what_it_leads_to_is_changed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "a").expect("written");
        std::os::unix::fs::symlink(&file, &link).expect("made");
        write(&link, Some("a"), "b").expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(fs::read_to_string(&file).expect("there"), "b");
        undo(&link).expect("undone");
        assert_eq!(fs::read_to_string(&file).expect("there"), "a");
    }
}
