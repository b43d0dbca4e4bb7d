//! The read-only fallback for a store that cannot be opened because the disk is full: the configuration, read from the
//! newest good backup and the journal into memory. It can be read, but not written, and is replaced by the store as
//! soon as that can be opened.

use std::sync::{Arc, PoisonError, RwLock};

use super::recovery::RecoverySources;
use super::{DataDir, MemoryStore, Op, Record, Store, StoreError, backup};

/// Prefix of records that are in no backup: reading them fails until the store is open, rather than finding nothing.
const UNKNOWN: &[u8] = b"u/";

/// A [`Store`] that delegates to the fallback, and later to the real store.
pub(super) struct SwappableStore {
    now: RwLock<Arc<dyn Store>>,
}

impl SwappableStore {
    fn now(&self) -> Arc<dyn Store> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store for SwappableStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.now().get(key)
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        self.now().scan_prefix(prefix)
    }

    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        self.now().apply(batch)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.now().flush()
    }

    fn recover(&self) -> Result<(), StoreError> {
        self.now().recover()
    }
}

/// The content of a backup and a journal: read only.
struct BackupView {
    memory: MemoryStore,
    full: StoreError,
}

impl Store for BackupView {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if key.starts_with(UNKNOWN) { Err(self.full.clone()) } else { self.memory.get(key) }
    }

    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        if prefix.starts_with(UNKNOWN) { Err(self.full.clone()) } else { self.memory.scan_prefix(prefix) }
    }

    fn apply(&self, _: Vec<Op>) -> Result<(), StoreError> {
        Err(self.full.clone())
    }

    fn flush(&self) -> Result<(), StoreError> {
        Err(self.full.clone())
    }
}

/// The fallback, as whoever answers for the store holds it.
pub(super) struct ReadOnlyFallback {
    stand_in: Arc<SwappableStore>,
    pub(super) dir: DataDir,
    /// Error with which the store could not be opened.
    pub(super) full: StoreError,
}

impl ReadOnlyFallback {
    /// Returns the stand-in: the fallback now, and the store once it has given way.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        self.stand_in.clone()
    }

    /// Replaces the fallback by the store for all holders of the stand-in. Returns whether the configuration in the
    /// store differs from the fallback's: by changes of a part of the journal that could not be read.
    pub(super) fn give_way(&self, store: Arc<dyn Store>) -> Result<bool, StoreError> {
        let configured = |store: &dyn Store| -> Result<Vec<Record>, StoreError> {
            Ok(store.scan_prefix(b"")?.into_iter().filter(|(key, _)| backup::is_compared(key)).collect())
        };
        let differs = configured(&*store)? != configured(&*self.stand_in)?;
        *self.stand_in.now.write().unwrap_or_else(PoisonError::into_inner) = store;
        Ok(differs)
    }
}

/// Reads the configuration into memory, since the store cannot be opened. Returns it with the number of its last change.
pub(super) fn read_only_fallback(
    dir: &DataDir,
    full: StoreError,
) -> Result<(ReadOnlyFallback, u64), StoreError> {
    let beside = RecoverySources::read(dir)?;
    let Some(source) = beside.source(dir) else {
        return Err(StoreError::NoRoom { path: dir.path().to_owned(), reason: full.reason() });
    };
    let memory = MemoryStore::default();
    memory.apply(source.records.into_iter().map(|(key, value)| Op::Put { key, value }).collect())?;
    memory.apply(source.changes.iter().flat_map(|entry| entry.ops.iter().cloned()).collect())?;
    tracing::error!(
        error = %full,
        read_from = %source.path.display(),
        changes_from_journal = source.changes.len(),
        changes_missing = (source.reached < beside.highest()).then(|| beside.highest() - source.reached),
        "THE DISK IS FULL and the store cannot be opened: running from a backup. Calls go on, changes are refused; make room, and the daemon goes on by itself"
    );
    let remembered: Arc<dyn Store> = Arc::new(BackupView { memory, full: full.clone() });
    let stand_in = Arc::new(SwappableStore { now: RwLock::new(remembered) });
    Ok((ReadOnlyFallback { stand_in, dir: dir.clone(), full }, source.reached))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::reopen;
    use crate::store::{DurableStore, encode};
    use std::io;
    use std::path::Path;

    fn put(key: &str, value: &str) -> Op {
        Op::Put { key: key.into(), value: encode(value).unwrap() }
    }

    fn full() -> StoreError {
        StoreError::io("open the store in", Path::new("/d"), &io::Error::from_raw_os_error(28))
    }

    /// A directory with a change in the backup and one in the journal only, and usage.
    fn used() -> (tempfile::TempDir, DataDir) {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let mut durable = DurableStore::open(&dir, |_| Ok(())).unwrap();
        durable.commit(vec![put("m/instance", "i"), put("s/1", "one")]).unwrap();
        durable.run_maintenance();
        durable.commit(vec![put("s/2", "two")]).unwrap();
        durable.store().apply(vec![put("u/x", "usage")]).unwrap();
        durable.store().flush().unwrap();
        (outer, dir)
    }

    /// The durable store of a directory whose store was not opened at the start.
    fn without_its_store(dir: &DataDir) -> Result<DurableStore, StoreError> {
        let (standby, seq) = read_only_fallback(dir, full())?;
        let dir = dir.clone();
        let reopen = move || DurableStore::open(&dir, |_| Ok(()));
        Ok(DurableStore::standing_in(standby, seq, Box::new(reopen)))
    }

    #[test]
    fn backup_and_journal_are_read_and_nothing_is_written_until_the_store_opens() {
        let (_outer, dir) = used();
        let mut durable = without_its_store(&dir).expect("there is a backup");
        let store = durable.store().clone();
        assert_eq!(store.scan_prefix(b"s/").unwrap().len(), 2);
        assert_eq!(store.get(b"u/x"), Err(full()), "not \"nothing\"");
        assert_eq!(durable.commit(vec![put("s/3", "three")]), Err(full()));
        assert!(durable.trouble().borrow().as_ref().is_some_and(|trouble| trouble.from_backup));
        assert_eq!(durable.rollback_pending(), Ok(()), "there is nothing to settle");
        assert_eq!(reopen(|| durable.probe()), Ok(false), "it holds what was told");
        assert_eq!(*durable.trouble().borrow(), None);
        durable.commit(vec![put("s/3", "three")]).unwrap();
        assert_eq!(store.scan_prefix(b"s/").unwrap().len(), 3, "whoever had the stand-in has the store");
        assert!(store.get(b"u/x").unwrap().is_some());
    }

    #[test]
    fn what_only_the_store_knew_is_told_when_it_is_there() {
        let (outer, dir) = used();
        std::fs::remove_file(outer.path().join("journal")).unwrap();
        let mut durable = without_its_store(&dir).expect("there is a backup");
        assert_eq!(durable.store().scan_prefix(b"s/").unwrap().len(), 1);
        assert_eq!(reopen(|| durable.probe()), Ok(true), "there is another server");
        assert_eq!(durable.store().scan_prefix(b"s/").unwrap().len(), 2);
    }

    #[test]
    fn nothing_stands_in_for_what_never_was() {
        let outer = tempfile::tempdir().unwrap();
        let dir = DataDir::open(outer.path()).unwrap();
        let error = without_its_store(&dir).err().expect("there is nothing");
        assert!(matches!(error, StoreError::NoRoom { .. }) && error.is_full() && !error.is_lasting());
    }
}
