//! The store on disk: sled 0.34.7, fenced. The only file that names it.
//!
//! One tree, a small cache (sled's own default is 1 GiB), a background flush each second. sled's
//! `flush` hands the data to the kernel, which is enough against the end of this process; only the
//! background flush also asks the disk, so a power cut can cost about a second.

use std::path::PathBuf;

use sled::{Batch, Db};

use super::{DataDir, Op, Record, Store, StoreError};

const CACHE_BYTES: u64 = 1024 * 1024;
const FLUSH_EVERY_MS: u64 = 1000;

/// A [`Store`] in a sled database. Keeps the data directory locked as long as it lives.
pub(super) struct SledStore {
    // Before `dir`: the database is closed before the directory is given free.
    db: Db,
    path: PathBuf,
    _dir: DataDir,
}

impl SledStore {
    /// Opens or makes the database of a data directory. May block for long, panic or hang on a
    /// damaged file: the caller runs it on a thread of its own.
    pub(super) fn open(dir: DataDir) -> Result<SledStore, StoreError> {
        let path = dir.store_path();
        let db = sled::Config::new()
            .path(&path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()
            .map_err(|error| translate("open the store", &path, error))?;
        Ok(SledStore { db, path, _dir: dir })
    }

    fn error(&self, what: &'static str) -> impl Fn(sled::Error) -> StoreError + '_ {
        move |error| translate(what, &self.path, error)
    }
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.db.get(key).map_err(self.error("read the store"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        self.db
            .scan_prefix(prefix)
            .map(|item| item.map(|(key, value)| (key.to_vec(), value.to_vec())))
            .collect::<Result<_, _>>()
            .map_err(self.error("read the store"))
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        let mut changes = Batch::default();
        for op in batch {
            match op {
                Op::Put { key, value } => changes.insert(key, value),
                Op::Delete { key } => changes.remove(key),
            }
        }
        self.db.apply_batch(changes).map_err(self.error("write the store"))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map(drop).map_err(self.error("flush the store"))
    }
}

/// sled tells a held lock by its text only. The data directory's own lock comes first, so that
/// text is seen only when a program other than this one has the database open.
fn translate(what: &'static str, path: &std::path::Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::Locked { path: path.to_owned() }
        }
        sled::Error::Io(error) => StoreError::io(what, path, &error),
        other => StoreError::Corrupt {
            what: format!("the store in '{}'", path.display()),
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_another_program_holds_is_reported_as_locked() {
        let directory = tempfile::tempdir().unwrap();
        let dir = DataDir::open(directory.path()).unwrap();
        let foreign = sled::open(dir.store_path()).unwrap();
        let error = SledStore::open(dir.clone()).err().expect("the database is held");
        assert_eq!(error, StoreError::Locked { path: dir.store_path() });
        drop(foreign);
    }

    #[test]
    fn a_file_that_is_no_database_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let dir = DataDir::open(directory.path()).unwrap();
        std::fs::create_dir(dir.store_path()).unwrap();
        std::fs::write(dir.store_path().join("conf"), b"not a configuration of sled").unwrap();
        std::fs::write(dir.store_path().join("db"), vec![0x5a; 4096]).unwrap();
        let result = crate::store::open(&dir, crate::store::OPEN_LIMIT);
        assert!(matches!(result.err(), Some(StoreError::Corrupt { .. } | StoreError::Io { .. })));
    }
}
