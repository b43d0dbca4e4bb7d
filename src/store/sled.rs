//! The store on disk: sled 0.34.7, encapsulated. The only file that names it.
//!
//! One tree, a small cache (sled's own default is 1 GiB), a background flush each second. sled's
//! `flush` hands the data to the kernel, which is enough against the end of this process; only the
//! background flush also asks the disk, so a power cut can cost about a second.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sled::{Batch, Db};

use super::{DataDir, Op, Record, Store, StoreError};

const CACHE_BYTES: u64 = 1024 * 1024;
const FLUSH_EVERY_MS: u64 = 1000;

/// Longest time for reopening a database that has just been closed.
const REOPEN_LIMIT: Duration = Duration::from_secs(20);

/// A [`Store`] in a sled database. Keeps the data directory locked as long as it lives.
pub(super) struct SledStore {
    // Before `dir`: the database is closed before the directory is unlocked. `None` while it is being reopened, and
    // after that failed.
    db: RwLock<Option<Db>>,
    /// Set once a write has failed, also one of sled's own thread: this `Db` never works again.
    broken: AtomicBool,
    path: PathBuf,
    _dir: DataDir,
}

impl SledStore {
    /// Opens or creates the database of a data directory. May block for long, panic or hang on a damaged file: the
    /// caller runs it on a thread of its own.
    pub(super) fn open(dir: DataDir) -> Result<SledStore, StoreError> {
        let path = dir.store_path();
        let db = open_db(&path)?;
        Ok(SledStore { db: RwLock::new(Some(db)), broken: AtomicBool::new(false), path, _dir: dir })
    }

    fn with<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&Db) -> Result<T, sled::Error>,
    ) -> Result<T, StoreError> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        let done = match &*db {
            Some(db) => work(db),
            None => Err(sled::Error::Io(io::Error::other("the database is closed"))),
        };
        done.map_err(|error| {
            self.broken.store(true, Relaxed);
            translate(what, &self.path, error)
        })
    }
}

fn open_db(path: &Path) -> Result<Db, StoreError> {
    sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(FLUSH_EVERY_MS))
        .open()
        .map_err(|error| translate("open the store", path, error))
}

impl Store for SledStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.with("read the store", |db| db.get(key))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        let own = |item: sled::Result<(sled::IVec, sled::IVec)>| {
            item.map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        self.with("read the store", |db| db.scan_prefix(prefix).map(own).collect())
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        let mut changes = Batch::default();
        for op in batch {
            match op {
                Op::Put { key, value } => changes.insert(key, value),
                Op::Delete { key } => changes.remove(key),
            }
        }
        self.with("write the store", |db| db.apply_batch(changes))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.with("flush the store", |db| db.flush().map(drop))
    }

    /// Closes and reopens the database, because sled keeps its first error for ever.
    fn recover(&self) -> Result<(), StoreError> {
        if !self.broken.load(Relaxed) {
            return Ok(());
        }
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        // Closed first: it holds its own lock on the file.
        drop(db.take());
        let path = self.path.clone();
        *db = Some(super::within(REOPEN_LIMIT, &self.path, move || open_db(&path))?);
        self.broken.store(false, Relaxed);
        Ok(())
    }
}

/// Translates an error of sled, which reports a held lock by its text only. The data directory's own lock comes first,
/// so that text is seen only if a program other than this one has the database open.
fn translate(what: &'static str, path: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => {
            StoreError::Locked { path: path.to_owned() }
        }
        sled::Error::Io(error) => StoreError::io(what, path, &unwrapped(error)),
        other => StoreError::Corrupt {
            what: format!("the store in '{}'", path.display()),
            reason: other.to_string(),
        },
    }
}

/// Restores the original error: sled passes on copies with the original's debug text, `Os { code: 28, … }`.
fn unwrapped(error: io::Error) -> io::Error {
    let text = error.to_string();
    let code = text.strip_prefix("Os { code: ").and_then(|rest| rest.split_once(',')?.0.parse().ok());
    code.map_or(error, io::Error::from_raw_os_error)
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
    fn a_copied_error_is_told_in_the_operating_system_s_words() {
        let original = io::Error::from_raw_os_error(28);
        let copy = io::Error::new(original.kind(), format!("{original:?}"));
        let error = translate("flush the store", Path::new("/d"), sled::Error::Io(copy));
        assert_eq!(error.cause(), "No space left on device");
        let other = unwrapped(io::Error::other("something else"));
        assert_eq!(other.to_string(), "something else");
    }

    #[test]
    fn a_database_that_failed_is_opened_anew_and_has_what_was_flushed() {
        let directory = tempfile::tempdir().unwrap();
        let store = SledStore::open(DataDir::open(directory.path()).unwrap()).unwrap();
        let put = |key: &str| Op::Put { key: key.into(), value: b"\x01true".to_vec() };
        store.apply(vec![put("s/1")]).unwrap();
        store.flush().unwrap();
        drop(store.db.write().unwrap().take());
        let error = store.apply(vec![put("s/2")]).expect_err("it is closed");
        assert_eq!(error.cause(), "the database is closed");
        // A process that another test is starting holds the lock until its exec.
        let until = std::time::Instant::now() + crate::store::OPEN_LIMIT;
        while matches!(store.recover(), Err(StoreError::Locked { .. })) && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
        store.recover().unwrap();
        store.apply(vec![put("s/3")]).unwrap();
        let keys: Vec<_> = store.scan_prefix(b"").unwrap().into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, [b"s/1".to_vec(), b"s/3".to_vec()]);
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
