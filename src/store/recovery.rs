//! What stands beside a store and could rebuild it: marker, journal and the newest good backup.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::backup::{self, Backup, is_compared};
use super::journal::{self, Contents};
use super::marker::Marker;
use super::{DataDir, Op, Record, StoreError};

/// Recovery files beside the store.
pub(super) struct RecoverySources {
    pub(super) marker: Option<Marker>,
    pub(super) journal: Option<Contents>,
    /// Newest good backup and its path.
    pub(super) backup: Option<(PathBuf, Backup)>,
    /// Highest number that any of them names.
    highest: u64,
    /// Errors of existing files that cannot be read.
    pub(super) bad: Vec<StoreError>,
}

impl RecoverySources {
    pub(super) fn read(dir: &DataDir) -> Result<RecoverySources, StoreError> {
        let mut bad = Vec::new();
        let marker = match Marker::read(dir.path()) {
            Err(error @ StoreError::Corrupt { .. }) => {
                bad.push(error);
                None
            }
            read => read?,
        };
        let journal = journal::read(dir.path())?;
        let numbers = backup::list(dir.path())?;
        let backup::Newest { good: backup, bad: bad_backups } = backup::newest(dir.path())?;
        bad.extend(bad_backups);
        let of_journal =
            journal.as_ref().map(|it| it.last().max(it.damage.as_ref().map_or(0, |damage| damage.beyond)));
        let highest =
            [marker.as_ref().map(|marker| marker.seq), of_journal, numbers.first().map(|(seq, _)| *seq)];
        let highest = highest.into_iter().flatten().max().unwrap_or(0);
        Ok(RecoverySources { marker, journal, backup, highest, bad })
    }

    /// Reports whether there was a store once.
    pub(super) fn knows_of_a_store(&self) -> bool {
        let journal =
            self.journal.as_ref().is_some_and(|journal| journal.damage.is_some() || journal.last() > 0);
        self.marker.is_some() || self.backup.is_some() || !self.bad.is_empty() || journal
    }

    /// Returns the highest number that any of them names.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Returns the data for rebuilding a store; `None` if there is none. A journal from the very beginning is as good
    /// as an empty backup.
    pub(super) fn source(&self, dir: &DataDir) -> Option<Source> {
        let journal = self.journal.as_ref();
        let (path, start, records) = match (&self.backup, journal) {
            (Some((path, backup)), _) => (path.clone(), backup.seq, backup.records.clone()),
            (None, Some(journal)) if journal.base == 0 && journal.last() > 0 => {
                (dir.path().join(journal::FILE), 0, Vec::new())
            }
            (None, _) => return None,
        };
        let after = journal.and_then(|journal| journal.after(start));
        let changes: Vec<_> = after.map(|changes| changes.cloned().collect()).unwrap_or_default();
        let reached = changes.last().map_or(start, |entry: &journal::Entry| entry.seq);
        Some(Source { path, records, changes, reached })
    }

    /// Returns the damage of the journal as an error; `None` if there is none.
    pub(super) fn journal_damage(&self, dir: &DataDir) -> Option<StoreError> {
        let damage = self.journal.as_ref()?.damage.as_ref()?;
        Some(StoreError::Corrupt {
            what: format!("the journal '{}'", dir.path().join(journal::FILE).display()),
            reason: format!("line {} (byte {}): {}", damage.line, damage.byte, damage.reason),
        })
    }
}

/// Records and further changes for rebuilding a store.
pub(super) struct Source {
    /// File that the records are from.
    pub(super) path: PathBuf,
    pub(super) records: Vec<Record>,
    pub(super) changes: Vec<journal::Entry>,
    /// Number of the last change, or of the backup if there are no changes.
    pub(super) reached: u64,
}

impl Source {
    /// Returns the records of a store that is rebuilt from it, as far as they are compared.
    pub(super) fn content(self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut records: BTreeMap<_, _> = self.records.into_iter().collect();
        for op in self.changes.into_iter().flat_map(|entry| entry.ops) {
            match op {
                Op::Put { key, value } => drop(records.insert(key, value)),
                Op::Delete { key } => drop(records.remove(&key)),
            }
        }
        records.retain(|key, _| is_compared(key));
        records
    }
}
