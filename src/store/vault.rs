//! The store with what protects it: the journal before it, the backups and the marker beside it. The
//! one way to make a change that is acknowledged.
//!
//! A change that failed half-way (in the journal, or applied and not flushed) is taken back before
//! anything else is written, so that what callers were told was refused is nowhere. Should taking it
//! back fail as well and the process then end, the next start may find that one change made: nobody
//! was told that it was, and nothing after it was accepted.
//!
//! The database may bring such a change to the disk with its number, and what takes it back not. So the
//! number is not given to anything else: it becomes that of a change that takes the other one back, and
//! a start holds the database's last change against the journal's of that number (`opening.rs`).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::watch;

use super::backup::{self, Backup};
use super::files::{ROOM, ROOM_FOR_A_STORE, check_room, quarantine};
use super::journal::{self, Journal, Wrap};
use super::marker::Marker;
use super::opening::{open_whole, replay};
use super::records::{SEQ_KEY, put_seq, read_instance, read_seq};
use super::standby::Standby;
use super::{DataDir, Op, Store, StoreError};

/// A backup of this size is written whenever there is time, in bytes.
const SMALL_BACKUP: u64 = 256 * 1024;
/// A larger one when the changes since are this share of it.
const SHARE_OF_BACKUP: u64 = 8;

/// Why changes cannot be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// In the operating system's words.
    pub cause: Arc<str>,
    /// Whether the store itself is not open, and a backup stands in for it.
    pub from_backup: bool,
}

/// A store and its journal, backups and marker. Its methods block on the disk.
pub struct Vault {
    store: Arc<dyn Store>,
    /// Nothing for a store that is not on a disk, and for one that is stood in for.
    disk: Option<Disk>,
    /// While something stands in for the store.
    standby: Option<Standby>,
    /// The number of the last change.
    seq: u64,
    undo: Option<Undo>,
    backup_due: bool,
    /// How large the newest backup is, and how much was journaled since, in bytes.
    backup_size: u64,
    since_backup: u64,
    /// Said once, not each time it is tried.
    backup_fails: bool,
    trouble: watch::Sender<Option<Trouble>>,
}

/// How a batch that failed is taken back.
struct Undo {
    /// What makes the store as it was.
    ops: Vec<Op>,
    /// The same as a change of its own; nothing where the batch had no number.
    change: Option<Vec<Op>>,
}

pub(super) struct Disk {
    pub(super) dir: DataDir,
    /// `None` while it is to be begun anew, which needs a backup first.
    pub(super) journal: Option<Journal>,
    pub(super) wrap: Wrap,
}

impl Vault {
    /// A store without anything beside it, for tests: as durable as the store itself.
    pub fn bare(store: Arc<dyn Store>) -> Vault {
        Vault::assemble(store, None, 0)
    }

    pub(super) fn assemble(store: Arc<dyn Store>, disk: Option<Disk>, seq: u64) -> Vault {
        let backup_due = disk.is_some();
        let trouble = watch::Sender::new(None);
        Vault {
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

    /// A vault with something in the place of the store.
    pub(super) fn standing_in(store: Arc<dyn Store>, standby: Standby, seq: u64) -> Vault {
        let now = Trouble { cause: standby.full.cause().into(), from_backup: true };
        let mut vault = Vault::assemble(store, None, seq);
        vault.standby = Some(standby);
        vault.trouble.send_replace(Some(now));
        vault
    }

    /// The store, to read from. What is written past the vault is neither in the journal nor in a
    /// backup.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Where it is on the disk; `None` for one that is in memory only.
    pub fn data_dir(&self) -> Option<&Path> {
        let of_standby = self.standby.as_ref().map(|standby| standby.dir.path());
        self.disk.as_ref().map(|disk| disk.dir.path()).or(of_standby)
    }

    /// Follows whether changes can be stored.
    pub fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// The number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Carries out a batch; `Ok` means it is durable. After an error everything is as before, at the
    /// latest when the next batch is accepted.
    pub fn commit(&mut self, batch: Vec<Op>) -> Result<(), StoreError> {
        let worth_it = batch.iter().filter(|op| is_journaled(op)).cloned().collect();
        let done = self.write(batch, worth_it, false);
        self.note(&done);
        done
    }

    /// Finds out whether changes can be stored again, by a change of nothing; where something stands in
    /// for the store, opens that first. Returns whether there are other records now than there were.
    pub fn probe(&mut self) -> Result<bool, StoreError> {
        let came_back = self.come_back();
        let done = came_back.clone().and_then(|_| self.write(Vec::new(), Vec::new(), true));
        self.note(&done);
        // Who asks has to know, also when the next write fails.
        if came_back == Ok(true) { Ok(true) } else { done.map(|()| false) }
    }

    /// Opens the store that is stood in for, where there is room.
    fn come_back(&mut self) -> Result<bool, StoreError> {
        let Some(standby) = &self.standby else { return Ok(false) };
        check_room(standby.dir.path(), ROOM_FOR_A_STORE)?;
        let opened = open_whole(&standby.dir, standby.look)?;
        let differs = standby.give_way(opened.store)?;
        (self.disk, self.seq, self.backup_due) = (opened.disk, opened.seq, opened.backup_due);
        self.standby = None;
        tracing::info!(seq = self.seq, "the store could be opened; nothing stands in for it any more");
        Ok(differs)
    }

    /// Takes back what is left of a failed batch, and flushes.
    pub fn settle(&mut self) -> Result<(), StoreError> {
        if self.standby.is_some() {
            // Nothing was written.
            return Ok(());
        }
        let done = self.settle_all();
        self.note(&done);
        done
    }

    /// Writes the backup and the marker that are due, and shortens the journal. What fails is logged
    /// and tried again with the next change; it is no reason to refuse one. A large backup waits until
    /// it is worth it, so that a change costs the same however much there is.
    pub fn rest(&mut self) {
        let is_small = self.backup_size <= SMALL_BACKUP;
        if is_small || self.since_backup.saturating_mul(SHARE_OF_BACKUP) >= self.backup_size {
            self.back_up();
        }
    }

    /// The same at the end, when nothing waits any more.
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

    /// Begins the journal anew behind a backup, so that nothing that was there before is in it. Backups of
    /// before stay.
    ///
    /// # Errors
    /// When either cannot be written; then the journal is as it was.
    pub fn begin_journal_anew(&mut self) -> Result<(), StoreError> {
        if self.checkpoint()?.is_none() {
            return Ok(());
        }
        if let Some(disk) = &mut self.disk {
            disk.journal = Some(Journal::begin(disk.dir.path(), self.seq, disk.wrap)?);
        }
        Ok(())
    }

    /// Writes a backup of all that is configured, and the marker; shortens the journal when it is long.
    /// Returns where the backup is; `None` where there is no place for one.
    pub fn checkpoint(&mut self) -> Result<Option<PathBuf>, StoreError> {
        let Some(disk) = &mut self.disk else {
            self.backup_due = false;
            return Ok(None);
        };
        if self.undo.is_some() {
            // What the store holds is not what was acknowledged.
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
                // One backup more than needed covers what goes, in case the newest is hit by damage.
                if let Some((covered, _)) = backup::list(&data_dir)?.get(1)
                    && let Err(error) = journal.compact(*covered)
                {
                    if !matches!(error, StoreError::Corrupt { .. }) {
                        return Err(error);
                    }
                    // Somebody else was at the file. The backup has all that it had. From here on nothing is
                    // written to it any more, also when the new one cannot be begun.
                    tracing::error!(%error, "the journal is damaged");
                    disk.journal = None;
                    disk.journal = Some(begin_again(&disk.dir, self.seq, disk.wrap)?);
                }
            }
            Some(_) => {}
        }
        Ok(Some(path))
    }

    /// Writes a backup to a place of the caller's.
    pub fn backup_to(&self, path: &Path) -> Result<(), StoreError> {
        current(&*self.store, self.seq)?.write_to(path)
    }

    fn write(&mut self, mut batch: Vec<Op>, journaled: Vec<Op>, anyway: bool) -> Result<(), StoreError> {
        if let Some(standby) = &self.standby {
            return Err(standby.full.clone());
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

    /// Makes a change that is in the journal, if it has a number. After an error it is not in there any more.
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
        // Both are tried, whichever fails: each that is back is one trace less of what was refused.
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

    /// Sees to it that the journal has what was acknowledged and nothing else. One that does not show that
    /// any more is begun anew behind a backup.
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

    /// What the store lost of what was acknowledged, when it got back to work.
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

    /// A journal that was missing or damaged is begun anew only when a backup has all before it.
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
            Err(error) => Some(Trouble { cause: error.cause().into(), from_backup }),
            Ok(()) => None,
        };
        self.trouble.send_if_modified(|known| {
            match (&*known, &now) {
                (None, Some(Trouble { cause, .. })) => {
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

/// A journal keeps all but the content of kept lists: they are large and can be had again.
fn is_journaled(op: &Op) -> bool {
    let of_the_store = op.key() == SEQ_KEY;
    match op {
        Op::Put { key, .. } => !of_the_store && backup::covers(key),
        Op::Delete { .. } => !of_the_store,
    }
}

/// A backup of a store as it is.
pub(super) fn current(store: &dyn Store, seq: u64) -> Result<Backup, StoreError> {
    let records = store.scan_prefix(b"")?.into_iter().filter(|(key, _)| backup::covers(key)).collect();
    Ok(Backup::now(seq, records))
}

/// Begins the journal after a number. What is there under its name was not fit to go on with, and is
/// moved aside.
pub(super) fn begin_again(dir: &DataDir, seq: u64, wrap: Wrap) -> Result<Journal, StoreError> {
    let path = dir.path().join(journal::FILE);
    if super::disk::is_there(&path) {
        let aside = quarantine(dir.path(), &path, ".journal")?;
        tracing::warn!(path = %aside.display(), "the journal was moved aside and is begun anew");
    }
    Journal::begin(dir.path(), seq, wrap)
}
