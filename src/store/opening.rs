//! Opening of a data directory: the store is compared with the files beside it, and if it does not match them, moved
//! aside and rebuilt from a backup and the journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::backup::{self, Backup, is_compared};
use super::disk::{self as fs, File};
use super::durable_store::{Disk, begin_again};
use super::fallback::read_only_fallback;
use super::files::{ROOM_FOR_A_STORE, check_room, quarantine, sync_dir};
use super::journal::{Contents, Journal, JournalFile};
use super::records::{SCHEMA_KEY, put_seq, read_instance, read_seq};
use super::recovery::{RecoverySources, Source};
use super::replay::replay;
use super::{DataDir, DurableStore, OPEN_LIMIT, Op, Record, Store, StoreError};
use crate::clock;

/// Longest time for examining the store in a process of its own. Together with restoring, a start ends within half a
/// minute.
pub const PROBE_LIMIT: Duration = Duration::from_secs(25);

/// Function that examines the store, before it is opened, where a damaged one cannot do harm: see [`probe`].
pub type StoreProbe = fn(&DataDir) -> Result<(), StoreError>;

/// Examines the store of a data directory as a start would, without changing its content. For a process that ends right
/// after: the database is left open, since closing it would wait for the disk.
pub fn probe(dir: &DataDir) -> Result<(), StoreError> {
    super::open_unchanged(dir, PROBE_LIMIT).map(std::mem::forget)
}

impl DurableStore {
    /// Opens a data directory. A store that is damaged, empty although it was not, or behind the files beside it is
    /// moved to `quarantine-<unix time>` and rebuilt from the newest good backup and the journal; without a backup the
    /// error is [`StoreError::NothingToRestore`]. A store that a newer version wrote is left as it is. If the store
    /// cannot be opened because the disk is full, the content of backup and journal stands in for it, until
    /// [`DurableStore::probe`] finds room.
    pub fn open(dir: &DataDir, look: StoreProbe) -> Result<DurableStore, StoreError> {
        match open_whole(dir, look) {
            Err(error) if error.is_full() => {
                let (standby, seq) = read_only_fallback(dir, error)?;
                let dir = dir.clone();
                Ok(DurableStore::standing_in(standby, seq, Box::new(move || open_whole(&dir, look))))
            }
            opened => opened,
        }
    }

    /// Opens a data directory to write a backup of it; damaged parts stay as they are.
    pub fn open_for_backup(dir: &DataDir) -> Result<DurableStore, StoreError> {
        let beside = RecoverySources::read(dir)?;
        if !fs::is_there(&dir.store_path()) {
            return Err(damaged(dir, "it is not there".to_owned()));
        }
        let (store, seq) = open_store(dir, &beside, |_| Ok(()))?;
        go_on(dir, &beside, store, seq)
    }

    /// Replaces the content of a data directory by a backup; the old store is moved aside. Returns its new path (`None`
    /// if there was no store), and the durable store. Usage is the backup's if it has any, else it stays as last kept.
    ///
    /// The backup gets its place among those of the directory first, as the newest. Whenever this is interrupted, the
    /// next start finds the directory as it was, or a store that is behind this backup, and restores that.
    pub fn replace(dir: &DataDir, backup: &Backup) -> Result<(Option<PathBuf>, DurableStore), StoreError> {
        let beside = RecoverySources::read(dir)?;
        let seq = beside.highest().max(backup.seq) + 1;
        let usage = backup.usage.clone();
        let usage = usage.map(|usage| backup::write_usage(dir.path(), clock::now(), usage)).transpose()?;
        Backup { seq, usage: None, ..backup.clone() }.write(dir.path()).inspect_err(|_| {
            // Nothing is restored, so its counts are nobody's here.
            usage.iter().for_each(|path| drop(fs::remove_file(path)));
        })?;
        let aside = move_aside(dir)?;
        let usage = match &backup.usage {
            Some(usage) => usage.clone(),
            None => usage_kept(dir)?,
        };
        let store = make(dir, [backup.records.clone(), usage].concat(), Vec::new(), seq)?;
        let disk = Disk { dir: dir.clone(), journal: None, wrap: to_file };
        let mut durable = DurableStore::assemble(store, Some(disk), seq);
        durable.checkpoint()?;
        Ok((aside, durable))
    }
}

pub(super) fn to_file(file: File) -> Box<dyn JournalFile> {
    Box::new(file)
}

/// Opens the store itself; a damaged one is rebuilt, unless there is no room for that.
fn open_whole(dir: &DataDir, look: StoreProbe) -> Result<DurableStore, StoreError> {
    let beside = RecoverySources::read(dir)?;
    for error in beside.bad.iter().cloned().chain(beside.journal_damage(dir)) {
        tracing::error!(%error, "a file beside the store is damaged");
    }
    match open_store(dir, &beside, look) {
        Ok((store, seq)) => go_on(dir, &beside, store, seq),
        Err(error) if error.is_damage() => {
            // On a full disk an undamaged store may look damaged.
            check_room(dir.path(), ROOM_FOR_A_STORE)?;
            let (store, seq) = restore(dir, &beside, &error)?;
            go_on(dir, &beside, store, seq)
        }
        Err(error) => Err(error),
    }
}

/// Opens the store, applies the journal and compares the store with the files beside it.
fn open_store(
    dir: &DataDir,
    beside: &RecoverySources,
    look: StoreProbe,
) -> Result<(Arc<dyn Store>, u64), StoreError> {
    if !fs::is_there(&dir.store_path()) {
        if beside.knows_of_a_store() {
            return Err(damaged(dir, "it is gone".to_owned()));
        }
        return Ok((begin_store(dir)?, 0));
    }
    look(dir)?;
    let store = super::open(dir, OPEN_LIMIT)?;
    // Before the journal fills it again: its other content is lost, and the loss should be reported.
    if (beside.marker.is_some() || beside.backup.is_some()) && read_instance(&*store)?.is_none() {
        return Err(opened_empty(dir));
    }
    let seq = match &beside.journal {
        Some(journal) => replay(&*store, journal)?,
        None => read_seq(&*store)?,
    };
    compare(dir, &*store, seq, beside)?;
    Ok((store, seq))
}

/// Compares a store that is up to the journal's end with everything beside it.
pub(super) fn compare(
    dir: &DataDir,
    store: &dyn Store,
    seq: u64,
    beside: &RecoverySources,
) -> Result<(), StoreError> {
    let instance = read_instance(store)?;
    if instance.is_none() && beside.knows_of_a_store() {
        return Err(opened_empty(dir));
    }
    if let Some(marker) = &beside.marker {
        if marker.instance.is_some() && marker.instance != instance {
            return Err(damaged(dir, "it is another installation's".to_owned()));
        }
        if seq < marker.seq {
            return Err(damaged(dir, format!("it ends at change {seq}, and the marker says {}", marker.seq)));
        }
    }
    if let Some(journal) = &beside.journal
        && seq < journal.base
    {
        let reason = format!("it ends at change {seq}, and the journal begins after {}", journal.base);
        return Err(damaged(dir, reason));
    }
    if let Some((_, backup)) = &beside.backup
        && seq < backup.seq
    {
        let reason = format!("it ends at change {seq}, and there is a backup of {}", backup.seq);
        return Err(damaged(dir, reason));
    }
    // If the journal does not reach from the backup to the store, the expected content is unknown.
    let Some(source) = beside.source(dir).filter(|source| source.reached == seq) else { return Ok(()) };
    let found = store.scan_prefix(b"")?.into_iter().filter(|(key, _)| is_compared(key));
    let path = source.path.clone();
    if found.collect::<BTreeMap<_, _>>() != source.content() {
        let reason = format!("it does not hold what '{}' and the journal say", path.display());
        return Err(damaged(dir, reason));
    }
    Ok(())
}

fn opened_empty(dir: &DataDir) -> StoreError {
    damaged(dir, "it opened empty, although it was not".to_owned())
}

fn damaged(dir: &DataDir, reason: String) -> StoreError {
    StoreError::Corrupt { what: format!("the store in '{}'", dir.store_path().display()), reason }
}

/// Moves the damaged store aside and creates a new one. If this is interrupted, the next start finds a store that is
/// missing or empty, and restores again.
fn restore(
    dir: &DataDir,
    beside: &RecoverySources,
    damage: &StoreError,
) -> Result<(Arc<dyn Store>, u64), StoreError> {
    let Some(Source { path: source, records, changes, reached }) = beside.source(dir) else {
        return Err(StoreError::NothingToRestore { path: dir.path().to_owned(), reason: damage.to_string() });
    };
    // A number that was used once is not used again for another change.
    let seq = if reached < beside.highest() { beside.highest() + 1 } else { reached };
    let aside = move_aside(dir)?;
    let records = [records, usage_kept(dir)?].concat();
    let ops = changes.iter().flat_map(|entry| entry.ops.iter().cloned()).collect();
    let store = make(dir, records, ops, seq)?;
    tracing::error!(
        %damage,
        quarantine = aside.map(|path| path.display().to_string()),
        restored_from = %source.display(),
        changes_from_journal = changes.len(),
        changes_lost = (reached < beside.highest()).then(|| beside.highest() - reached),
        "THE STORE WAS DAMAGED and has been restored; what was found is kept in quarantine"
    );
    Ok((store, seq))
}

/// Returns usage from its last backup: better than starting from zero.
fn usage_kept(dir: &DataDir) -> Result<Vec<Record>, StoreError> {
    let backup::Newest { good, bad } = backup::newest_usage(dir.path())?;
    for error in bad {
        tracing::error!(%error, "a backup of usage is passed over");
    }
    let Some((path, usage)) = good else { return Ok(Vec::new()) };
    tracing::warn!(path = %path.display(), made = usage.created_at, "usage goes on from its last backup");
    Ok(usage.records)
}

fn move_aside(dir: &DataDir) -> Result<Option<PathBuf>, StoreError> {
    let path = dir.store_path();
    if !fs::is_there(&path) { Ok(None) } else { quarantine(dir.path(), &path, "").map(Some) }
}

/// Creates a store. If that fails half-way, it is removed again: it is empty, and the next start must not take it for a
/// damaged one.
fn begin_store(dir: &DataDir) -> Result<Arc<dyn Store>, StoreError> {
    let path = dir.store_path();
    let begun = super::open(dir, OPEN_LIMIT).and_then(|store| {
        // The database syncs its files but not their names.
        sync_dir(&path).map_err(|error| StoreError::io("keep the names in", &path, &error))?;
        Ok(store)
    });
    begun.inspect_err(|_| drop(fs::remove_dir_all(&path)))
}

/// Creates a store that holds these records, with these changes applied.
fn make(
    dir: &DataDir,
    records: Vec<Record>,
    changes: Vec<Op>,
    seq: u64,
) -> Result<Arc<dyn Store>, StoreError> {
    let store = begin_store(dir)?;
    let puts = records.into_iter().filter(|(key, _)| key != SCHEMA_KEY);
    let mut batch: Vec<Op> = puts.map(|(key, value)| Op::Put { key, value }).collect();
    batch.extend(changes);
    batch.push(put_seq(seq)?);
    store.apply(batch)?;
    store.flush()?;
    sync_dir(dir.path()).map_err(|error| StoreError::io("keep", dir.path(), &error))?;
    Ok(store)
}

/// Returns the durable store of a good store, at a number; its journal is continued, or begun again.
fn go_on(
    dir: &DataDir,
    beside: &RecoverySources,
    store: Arc<dyn Store>,
    seq: u64,
) -> Result<DurableStore, StoreError> {
    let is_new = seq == 0 && !beside.knows_of_a_store() && read_instance(&*store)?.is_none();
    let fits = |journal: &Contents| journal.damage.is_none() && journal.last() == seq;
    let journal = match &beside.journal {
        Some(journal) if fits(journal) => Some(Journal::resume(dir.path(), journal, to_file)?),
        _ if is_new => Some(begin_again(dir, 0, to_file)?),
        _ => None,
    };
    if let Some(journal) = journal {
        let disk = Disk { dir: dir.clone(), journal: Some(journal), wrap: to_file };
        return Ok(DurableStore::assemble(store, Some(disk), seq));
    }
    if seq > 0 && beside.journal_damage(dir).is_none() {
        tracing::warn!(seq, "the journal does not reach to the store's last change; it is begun anew");
    }
    let next = seq.max(beside.highest()).max(1);
    if next != seq {
        store.apply(vec![put_seq(next)?])?;
        store.flush()?;
    }
    let disk = Disk { dir: dir.clone(), journal: None, wrap: to_file };
    let mut durable = DurableStore::assemble(store, Some(disk), next);
    durable.run_maintenance();
    Ok(durable)
}

#[cfg(test)]
#[path = "opening_tests.rs"]
mod tests;
