//! The store with its protection: the journal before it, the backups and the marker beside it. This is the only way to
//! make a change that is acknowledged.
//!
//! A change that failed half-way (in the journal, or applied and not flushed) is taken back before anything else is
//! written, so that a change reported as refused is nowhere. If taking it back fails as well and the process then ends,
//! the next start may find that one change applied: it was never acknowledged, and nothing after it was accepted.
//!
//! The database may bring such a change to the disk with its number, but not the change that takes it back. So the
//! number is not used for anything else: it becomes that of a change that takes the other one back, and a start
//! compares the database's last change with the journal's of that number (`replay.rs`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::backup::{self, Backup};
use super::fallback::ReadOnlyFallback;
use super::files::{ROOM, ROOM_FOR_A_STORE, check_room, quarantine};
use super::journal::{self, Journal, WrapJournalFile};
use super::marker::Marker;
use super::records::{SEQ_KEY, put_seq, read_instance, read_seq};
use super::replay::replay;
use super::{DataDir, Op, Store, StoreError};

/// Size in bytes up to which a backup is written whenever there is time.
const SMALL_BACKUP: u64 = 256 * 1024;
/// Divisor for a larger one: it is written when the changes since reach this fraction of it.
const SHARE_OF_BACKUP: u64 = 8;

/// Reason that changes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDegraded {
    /// Short description without paths, see [`StoreError::cause`].
    pub cause: Arc<str>,
    /// `true` if the store itself is not open, and a backup stands in for it.
    pub from_backup: bool,
}

/// A store and its journal, backups and marker. Its methods block on the disk.
pub struct DurableStore {
    store: Arc<dyn Store>,
    /// Files beside the store; `None` for a store that is not on a disk, and while a fallback stands in.
    disk: Option<Disk>,
    /// Set while a fallback stands in for the store.
    standby: Option<ActiveFallback>,
    /// Number of the last change.
    seq: u64,
    undo: Option<Undo>,
    backup_due: bool,
    /// Size of the newest backup, and of the journal lines since (`since_backup`), in bytes.
    backup_size: u64,
    since_backup: u64,
    /// `true` after a failed backup: the failure is logged once, not at each attempt.
    backup_fails: bool,
    trouble: watch::Sender<Option<StoreDegraded>>,
}

/// A fallback, and the way to open the store that it stands in for.
struct ActiveFallback {
    fallback: ReadOnlyFallback,
    reopen: Reopen,
}

/// Opens the store of a fallback, with all that is beside it.
pub(super) type Reopen = Box<dyn Fn() -> Result<DurableStore, StoreError> + Send>;

/// Data to take back a batch that failed.
struct Undo {
    /// Changes that restore the previous records.
    ops: Vec<Op>,
    /// The same as a numbered change; `None` if the batch had no number.
    change: Option<Vec<Op>>,
}

pub(super) struct Disk {
    pub(super) dir: DataDir,
    /// Open journal; `None` while it is to be begun again, which needs a backup first.
    pub(super) journal: Option<Journal>,
    pub(super) wrap: WrapJournalFile,
}

impl DurableStore {
    /// Creates a durable store without any files beside the store, for tests: as durable as the store itself.
    pub fn bare(store: Arc<dyn Store>) -> DurableStore {
        DurableStore::assemble(store, None, 0)
    }

    pub(super) fn assemble(store: Arc<dyn Store>, disk: Option<Disk>, seq: u64) -> DurableStore {
        let backup_due = disk.is_some();
        let trouble = watch::Sender::new(None);
        DurableStore {
            store,
            disk,
            standby: None,
            seq,
            undo: None,
            backup_due,
            backup_size: 0,
            since_backup: 0,
            backup_fails: false,
            trouble,
        }
    }

    /// Creates a durable store with a fallback in the place of the store, which `reopen` opens once there is room.
    pub(super) fn standing_in(fallback: ReadOnlyFallback, seq: u64, reopen: Reopen) -> DurableStore {
        let now = StoreDegraded { cause: fallback.full.cause().into(), from_backup: true };
        let mut durable = DurableStore::assemble(fallback.store(), None, seq);
        durable.standby = Some(ActiveFallback { fallback, reopen });
        durable.trouble.send_replace(Some(now));
        durable
    }

    /// Returns the store, to read from. Writes that bypass the durable store are neither in the journal nor in a backup.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Returns the path of the data directory; `None` for a store that is in memory only.
    pub fn data_dir(&self) -> Option<&Path> {
        let of_standby = self.standby.as_ref().map(|standby| standby.fallback.dir.path());
        self.disk.as_ref().map(|disk| disk.dir.path()).or(of_standby)
    }

    /// Subscribes to the state of the store: `None` while changes can be stored, else the reason.
    pub fn trouble(&self) -> watch::Receiver<Option<StoreDegraded>> {
        self.trouble.subscribe()
    }

    /// Returns the number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Applies a batch; `Ok` means it is durable. After an error everything is as before, at the latest when the next
    /// batch is accepted.
    pub fn commit(&mut self, batch: Vec<Op>) -> Result<(), StoreError> {
        let worth_it = batch.iter().filter(|op| is_journaled(op)).cloned().collect();
        let done = self.write(batch, worth_it, false);
        self.note(&done);
        done
    }

    /// Checks with an empty change whether changes can be stored again; if a fallback stands in for the store, opens
    /// the store first. Returns whether the records differ from those before.
    pub fn probe(&mut self) -> Result<bool, StoreError> {
        let came_back = self.come_back();
        let done = came_back.clone().and_then(|_| self.write(Vec::new(), Vec::new(), true));
        self.note(&done);
        // The caller has to know, even if the next write fails.
        if came_back == Ok(true) { Ok(true) } else { done.map(|()| false) }
    }

    /// Opens the store that a fallback stands in for, if there is room.
    fn come_back(&mut self) -> Result<bool, StoreError> {
        let Some(standby) = &self.standby else { return Ok(false) };
        check_room(standby.fallback.dir.path(), ROOM_FOR_A_STORE)?;
        let opened = (standby.reopen)()?;
        let differs = standby.fallback.give_way(opened.store)?;
        (self.disk, self.seq, self.backup_due) = (opened.disk, opened.seq, opened.backup_due);
        self.standby = None;
        tracing::info!(seq = self.seq, "the store could be opened; nothing stands in for it any more");
        Ok(differs)
    }

    /// Takes back the rest of a failed batch, and flushes.
    pub fn rollback_pending(&mut self) -> Result<(), StoreError> {
        if self.standby.is_some() {
            // Nothing was written.
            return Ok(());
        }
        let done = self.settle_all();
        self.note(&done);
        done
    }

    /// Writes the backup and the marker that are due, and shortens the journal. A failure is logged and tried again
    /// with the next change; it is no reason to refuse one. A large backup waits until it is worth it, so that a change
    /// costs the same however much there is.
    pub fn run_maintenance(&mut self) {
        let is_small = self.backup_size <= SMALL_BACKUP;
        if is_small || self.since_backup.saturating_mul(SHARE_OF_BACKUP) >= self.backup_size {
            self.back_up();
        }
    }

    /// Does the same at the end, without waiting for a large backup to be worth it.
    pub fn back_up(&mut self) {
        if !self.backup_due {
            return;
        }
        let done = self.checkpoint();
        if let Err(error) = &done
            && !self.backup_fails
        {
            tracing::error!(%error, "the backup could not be written; tried again with the next change");
        }
        self.backup_fails = done.is_err();
    }

    /// Begins the journal again behind a backup, so that it contains nothing from before. Earlier backups stay.
    ///
    /// # Errors
    /// If either cannot be written; then the journal is as it was.
    pub fn begin_journal_anew(&mut self) -> Result<(), StoreError> {
        if self.checkpoint()?.is_none() {
            return Ok(());
        }
        if let Some(disk) = &mut self.disk {
            disk.journal = Some(Journal::begin(disk.dir.path(), self.seq, disk.wrap)?);
        }
        Ok(())
    }

    /// Writes a backup of all configuration, and the marker; shortens a long journal. Returns the path of the backup;
    /// `None` if none was written, because the store is not on a disk or a change is still to be taken back.
    pub fn checkpoint(&mut self) -> Result<Option<PathBuf>, StoreError> {
        let Some(disk) = &mut self.disk else {
            self.backup_due = false;
            return Ok(None);
        };
        if self.undo.is_some() {
            // The store does not hold exactly the acknowledged changes.
            return Ok(None);
        }
        let data_dir = disk.dir.path().to_owned();
        let path = current(&*self.store, self.seq)?.write(&data_dir)?;
        let instance = read_instance(&*self.store)?;
        Marker { instance, seq: self.seq }.write(&data_dir)?;
        self.backup_due = false;
        self.since_backup = 0;
        self.backup_size = std::fs::metadata(&path).map_or(0, |file| file.len());
        match &mut disk.journal {
            None => disk.journal = Some(begin_again(&disk.dir, self.seq, disk.wrap)?),
            Some(journal) if journal.is_long() => {
                // One backup more than needed covers the removed lines, in case the newest is damaged.
                if let Some((covered, _)) = backup::list(&data_dir)?.get(1)
                    && let Err(error) = journal.compact(*covered)
                {
                    if !matches!(error, StoreError::Corrupt { .. }) {
                        return Err(error);
                    }
                    // Another program changed the file. The backup has all of its content. From here on nothing is
                    // written to it, even if the new one cannot be begun.
                    tracing::error!(%error, "the journal is damaged");
                    disk.journal = None;
                    disk.journal = Some(begin_again(&disk.dir, self.seq, disk.wrap)?);
                }
            }
            Some(_) => {}
        }
        Ok(Some(path))
    }

    /// Returns a backup of everything that is configured now, to be written elsewhere.
    ///
    /// # Errors
    /// If the store cannot be read, or if it does not hold exactly the acknowledged changes: one that failed is still to
    /// be taken back, or a backup stands in for it.
    pub fn snapshot(&self) -> Result<Backup, StoreError> {
        if let Some(standby) = &self.standby {
            return Err(standby.fallback.full.clone());
        }
        if self.undo.is_some() {
            return Err(StoreError::Unsettled);
        }
        current(&*self.store, self.seq)
    }

    fn write(&mut self, mut batch: Vec<Op>, journaled: Vec<Op>, anyway: bool) -> Result<(), StoreError> {
        if let Some(standby) = &self.standby {
            return Err(standby.fallback.full.clone());
        }
        if self.undo.is_some() || self.trouble.borrow().is_some() {
            if let Some(disk) = &self.disk {
                check_room(disk.dir.path(), ROOM)?;
            }
            self.settle_all()?;
        }
        let seq = self.seq + 1;
        let numbered = self.disk.is_some() && (anyway || !journaled.is_empty());
        if numbered {
            batch.push(put_seq(seq)?);
        }
        let ops = self.inverse(&batch)?;
        let change = numbered.then(|| ops.iter().filter(|op| is_journaled(op)).cloned().collect());
        if numbered {
            self.enter(seq, &journaled)?;
        }
        let done = self.make(batch, numbered.then_some(seq), &journaled);
        if let Err(error) = &done {
            tracing::error!(%error, "a change could not be stored and is taken back");
            self.undo = Some(Undo { ops, change });
            if let Err(error) = self.settle_all() {
                tracing::error!(%error, "taking it back failed too; tried again before the next change");
            }
        }
        done
    }

    /// Writes a change into the journal.
    fn enter(&mut self, seq: u64, journaled: &[Op]) -> Result<(), StoreError> {
        self.settle_journal()?;
        self.have_a_journal()?;
        if let Some(journal) = self.journal() {
            let before = journal.len();
            journal.append(seq, journaled)?;
            let grown = journal.len() - before;
            self.since_backup += grown;
        }
        Ok(())
    }

    /// Applies a change that is in the journal, if it has a number. After an error it is taken back from the journal.
    fn make(&mut self, batch: Vec<Op>, seq: Option<u64>, journaled: &[Op]) -> Result<(), StoreError> {
        let done = self.store.apply(batch).and_then(|()| self.store.flush());
        let Some(seq) = seq else { return done };
        if done.is_ok() {
            self.seq = seq;
            let long = self.journal().is_some_and(|journal| journal.is_long());
            self.backup_due |= long || journaled.iter().any(|op| backup::covers(op.key()));
        } else if let Some(journal) = self.journal() {
            journal.take_back();
        }
        done
    }

    fn settle_all(&mut self) -> Result<(), StoreError> {
        // Both are tried, whichever fails: each success removes a trace of the refused change.
        let cut = self.settle_journal();
        self.store.recover()?;
        self.catch_up()?;
        if let Some(undo) = &self.undo {
            self.store.apply(undo.ops.clone())?;
        }
        self.store.flush()?;
        cut?;
        if let Some(undo) = self.undo.take()
            && let Err(error) = self.disavow(&undo)
        {
            self.undo = Some(undo);
            return Err(error);
        }
        Ok(())
    }

    /// Gives the number of a change that was taken back to one that takes it back, wherever it may be.
    fn disavow(&mut self, undo: &Undo) -> Result<(), StoreError> {
        let Some(change) = &undo.change else { return Ok(()) };
        let seq = self.seq + 1;
        self.enter(seq, change)?;
        let batch = [change.clone(), vec![put_seq(seq)?]].concat();
        self.make(batch, Some(seq), change)
    }

    /// Makes sure that the journal has the acknowledged changes and nothing else. A journal that no longer shows them
    /// is begun again behind a backup.
    fn settle_journal(&mut self) -> Result<(), StoreError> {
        let Some(disk) = &mut self.disk else { return Ok(()) };
        match disk.journal.as_mut().map_or(Ok(()), Journal::settle) {
            Err(error @ StoreError::Corrupt { .. }) => {
                tracing::error!(%error, "the journal is damaged");
                disk.journal = None;
                Ok(())
            }
            done => done,
        }
    }

    /// Reapplies acknowledged changes that the store lost when it recovered.
    fn catch_up(&self) -> Result<(), StoreError> {
        let Some(disk) = &self.disk else { return Ok(()) };
        if read_seq(&*self.store)? < self.seq
            && let Some(mut journal) = journal::read(disk.dir.path())?
        {
            journal.entries.retain(|entry| entry.seq <= self.seq);
            replay(&*self.store, &journal)?;
        }
        Ok(())
    }

    fn journal(&mut self) -> Option<&mut Journal> {
        self.disk.as_mut()?.journal.as_mut()
    }

    /// Begins a missing or damaged journal again, once a backup has everything before it.
    fn have_a_journal(&mut self) -> Result<(), StoreError> {
        if self.disk.as_ref().is_some_and(|disk| disk.journal.is_none()) {
            self.checkpoint()?;
        }
        Ok(())
    }

    fn inverse(&self, batch: &[Op]) -> Result<Vec<Op>, StoreError> {
        let mut seen = HashSet::new();
        let touched = batch.iter().map(Op::key).filter(|key| seen.insert(*key));
        touched
            .map(|key| {
                let key = key.to_vec();
                Ok(match self.store.get(&key)? {
                    Some(value) => Op::Put { key, value },
                    None => Op::Delete { key },
                })
            })
            .collect()
    }

    fn note(&self, done: &Result<(), StoreError>) {
        let from_backup = self.standby.is_some();
        let now = match done {
            // That is the caller's mistake and says nothing about the disk.
            Err(StoreError::Unencodable { .. }) => return,
            Err(error) => Some(StoreDegraded { cause: error.cause().into(), from_backup }),
            Ok(()) => None,
        };
        self.trouble.send_if_modified(|known| {
            match (&*known, &now) {
                (None, Some(StoreDegraded { cause, .. })) => {
                    tracing::error!(%cause, "changes cannot be stored and are refused; calls go on");
                }
                (Some(_), None) => tracing::info!("changes can be stored again"),
                _ => {}
            }
            let changed = *known != now;
            *known = now;
            changed
        });
    }
}

/// Reports whether a change is journaled: all but the content of kept lists, which are large and can be obtained again.
fn is_journaled(op: &Op) -> bool {
    let of_the_store = op.key() == SEQ_KEY;
    match op {
        Op::Put { key, .. } => !of_the_store && backup::covers(key),
        Op::Delete { .. } => !of_the_store,
    }
}

/// Creates a backup of a store's current content.
pub(super) fn current(store: &dyn Store, seq: u64) -> Result<Backup, StoreError> {
    let records = store.scan_prefix(b"")?.into_iter().filter(|(key, _)| backup::covers(key)).collect();
    Ok(Backup::now(seq, records))
}

/// Begins the journal after a number. An existing file of its name was unfit to be continued, and is moved aside.
pub(super) fn begin_again(dir: &DataDir, seq: u64, wrap: WrapJournalFile) -> Result<Journal, StoreError> {
    let path = dir.path().join(journal::FILE);
    if super::disk::is_there(&path) {
        let aside = quarantine(dir.path(), &path, ".journal")?;
        tracing::warn!(path = %aside.display(), "the journal was moved aside and is begun anew");
    }
    Journal::begin(dir.path(), seq, wrap)
}
