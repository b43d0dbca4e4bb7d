//! Opens the data directory at a start, also if processes that a killed daemon left behind still hold its lock; and says by what
//! processes of this installation are known.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::StartupError;
use crate::process;
use crate::store::{self, DataDir, StoreError};

/// Opens the data directory. If only leftovers of this installation hold its lock, they are ended first. If
/// another process holds it, the error names that process.
pub(super) fn open(path: &Path) -> Result<DataDir, StartupError> {
    let locked = match DataDir::open(path) {
        Err(locked @ StoreError::Locked { .. }) => locked,
        opened => return opened.map_err(StartupError::io),
    };
    let mark = known_mark(path);
    match process::end_leftover_holders(&path.join(store::LOCK), mark.as_deref()) {
        Ok(0) => Err(StartupError::io(locked)),
        Ok(ended) => {
            tracing::warn!(processes = ended, "ended what an earlier run had left behind with the lock");
            DataDir::open(path).map_err(StartupError::io)
        }
        Err(holder) => Err(StartupError::io(format!("{locked}: {holder}"))),
    }
}

/// Returns what the processes of the installation with this id in this directory carry. A copy of a data directory, and one that was
/// restored from a backup, have the id of the one that they were made of, and that may be running: its processes are not theirs
/// to end. So the mark says which directory it is as well, by device and inode: a directory that is moved on its disk keeps it.
pub(super) fn mark(path: &Path, instance: &str) -> io::Result<String> {
    let place = fs::metadata(path)?;
    let mut hash = Sha256::new();
    hash.update(instance.as_bytes());
    hash.update(place.dev().to_le_bytes());
    hash.update(place.ino().to_le_bytes());
    let hash: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
}

/// Returns the mark of the installation in a data directory, by the record of its id beside its store. `None` if there is no
/// readable one.
pub(super) fn known_mark(path: &Path) -> Option<String> {
    let record = store::instance_beside(path)?;
    let record: serde_json::Value = serde_json::from_str(&record).ok()?;
    mark(path, record["id"].as_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_a_directory_has_another_mark_and_a_moved_one_its_own() {
        let outer = tempfile::tempdir().unwrap();
        let [first, copy, moved] = ["first", "copy", "moved"].map(|name| outer.path().join(name));
        fs::create_dir(&first).unwrap();
        fs::create_dir(&copy).unwrap();
        let of_first = mark(&first, "id").unwrap();
        assert_ne!(of_first, mark(&copy, "id").unwrap());
        assert_ne!(of_first, mark(&first, "other").unwrap());
        fs::rename(&first, &moved).unwrap();
        assert_eq!(of_first, mark(&moved, "id").unwrap());
        assert!(mark(&first, "id").is_err(), "there is nothing any more");
    }
}
