//! The thread that writes the audit, and the handle to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;

use super::entry::{AuditEntry, EntryKind, Outcome};
use super::error::Error;
use super::export::Export;
use super::part::Part;
use super::query::AuditQuery;
use super::rate::{Rate, RateDecision};
use super::reading;
use super::segments::{Listed, Segments};
use super::settings::AuditSettings;
use crate::clock;
use crate::process;

/// Name of the directory in the data directory.
const DIRECTORY: &str = "audit";
/// Maximum number of entries waiting to be written before [`AuditHandle::note`] drops its own.
const QUEUE: usize = 1_024;
/// Maximum number of entries waiting altogether; the difference is reserved for acts.
const QUEUE_WITH_ACTS: usize = 4 * QUEUE;
/// Free space of the file system, in bytes, below which only acts that were carried out are recorded.
const RESERVE: u64 = 4 * 1024 * 1024;
/// Interval between checks of the free space, and number of written bytes after which it is checked at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_BYTES: u64 = 64 * 1024;
/// Number of lines between checks for expired segments, and the interval of checks when nothing is written.
const EXPIRE_EVERY: u64 = 1_000;
const EXPIRE_AFTER: Duration = Duration::from_secs(900);

enum Message {
    Entry(Box<AuditEntry>, Option<oneshot::Sender<()>>),
    List(oneshot::Sender<Listed>),
    Close,
}

/// Handle to the audit. Cheap to clone.
#[derive(Clone)]
pub struct AuditHandle {
    messages: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    settings: AuditSettings,
    counts: Arc<Counts>,
}

/// Counters shared by the thread and the handles.
#[derive(Debug, Default)]
struct Counts {
    /// Number of entries that wait to be written.
    waiting: AtomicUsize,
    /// Number of entries that could not be recorded.
    lost: AtomicU64,
    /// Number of entries that were not recorded because of too many others or too little disk space.
    unrecorded: AtomicU64,
    /// `true` if the last write or sync failed.
    failing: AtomicBool,
}

struct Writer {
    segments: Segments,
    counts: Arc<Counts>,
    rate: Rate,
    room: Room,
    /// Time of the next check for expired segments, also if nothing is written.
    expires_at: Instant,
}

/// Free disk space, checked at intervals.
struct Room {
    free: Box<dyn Fn() -> Option<u64> + Send>,
    looked: Option<Instant>,
    written: u64,
    is_short: bool,
}

impl Room {
    /// Measures the file system of a directory.
    fn below(directory: PathBuf) -> Room {
        Room::told_by(move || process::free_bytes(&directory).ok())
    }

    fn told_by(free: impl Fn() -> Option<u64> + Send + 'static) -> Room {
        Room { free: Box::new(free), looked: None, written: 0, is_short: false }
    }

    fn is_short(&mut self, now: Instant) -> bool {
        let is_fresh = self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < LOOK_EVERY);
        if !is_fresh || self.written >= LOOK_EVERY_BYTES {
            (self.looked, self.written) = (Some(now), 0);
            // If the free space is unknown, the writes show whether there is enough.
            let is_short = (self.free)().is_some_and(|free| free < RESERVE);
            if is_short && !self.is_short {
                tracing::error!("the disk is nearly full: only acts are recorded in the audit");
            }
            self.is_short = is_short;
        }
        self.is_short
    }
}

/// Opens the audit of a data directory and starts the thread `audit`.
pub fn open(data_dir: &Path, settings: AuditSettings) -> Result<AuditHandle, Error> {
    let directory = data_dir.join(DIRECTORY);
    start(&directory, settings).map_err(|error| Error::Internal {
        reason: format!("the audit in '{}' cannot be opened: {error}", directory.display()),
    })
}

fn start(directory: &Path, settings: AuditSettings) -> io::Result<AuditHandle> {
    start_with(directory, settings, Room::below(directory.to_owned()))
}

fn start_with(directory: &Path, settings: AuditSettings, room: Room) -> io::Result<AuditHandle> {
    let segments = Segments::open(directory, settings)?;
    let (messages, queue) = mpsc::sync_channel(QUEUE_WITH_ACTS);
    let counts = Arc::<Counts>::default();
    let rate = Rate::new(Instant::now());
    let writer = Writer { segments, counts: counts.clone(), rate, room, expires_at: Instant::now() };
    let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&queue))?;
    Ok(AuditHandle { messages, thread: Arc::new(Mutex::new(Some(thread))), settings, counts })
}

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        self.expire();
        while let Some(message) = self.next(queue) {
            match message {
                Message::Entry(entry, written) => {
                    self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
                    let part = self.take(&entry);
                    if let Some(written) = written {
                        let synced = part.map_or(Ok(()), |part| self.segments.sync_part(part));
                        self.settled(synced);
                        // The receiver may have been dropped.
                        let _ = written.send(());
                    }
                }
                Message::List(reply) => drop(reply.send(self.segments.list())),
                Message::Close => break,
            }
        }
        if let Some(unrecorded) = self.rate.end(Instant::now()) {
            self.tell_unrecorded(unrecorded);
        }
        let synced = self.segments.sync();
        self.settled(synced);
    }

    /// Waits for the next message. Meanwhile removes expired segments, and writes the summary of unrecorded entries
    /// when their minute is over.
    fn next(&mut self, queue: &Receiver<Message>) -> Option<Message> {
        loop {
            let due = self.rate.due().map_or(self.expires_at, |due| due.min(self.expires_at));
            match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if now >= self.expires_at {
                self.expire();
            }
            if self.rate.due().is_some_and(|due| due <= now) {
                self.turn(now);
            }
        }
    }

    /// Removes what is too old, by a clock that is known to be right, and what exceeds the maximum size.
    fn expire(&mut self) {
        self.segments.expire(clock::settled());
        self.expires_at = Instant::now() + EXPIRE_AFTER;
    }

    fn turn(&mut self, now: Instant) {
        if let Some(unrecorded) = self.rate.turn(now) {
            self.tell_unrecorded(unrecorded);
        }
    }

    fn tell_unrecorded(&mut self, unrecorded: Map<String, Value>) {
        let entry = AuditEntry::new(EntryKind::Look, "audit.unrecorded", "the last minute", Outcome::Done);
        self.write(&entry.with(unrecorded), Part::Rest);
    }

    /// Records an entry, or counts it. Returns the part it was written to; `None` if it was not recorded.
    fn take(&mut self, entry: &AuditEntry) -> Option<Part> {
        let now = Instant::now();
        self.turn(now);
        let part = match (entry.sort(), entry.outcome()) {
            _ if entry.is_act_in_force() => Part::Acts,
            (EntryKind::Call, outcome) if outcome != Outcome::Refused => Part::Calls,
            _ => Part::Rest,
        };
        match self.rate.judge(entry) {
            RateDecision::Shorten => {
                self.write(&entry.shortened(), part);
                return Some(part);
            }
            RateDecision::Record if part == Part::Acts || !self.room.is_short(now) => {
                self.write(entry, part);
                return Some(part);
            }
            RateDecision::Record => self.rate.pass_over(entry),
            RateDecision::Count => {}
            RateDecision::Known => return None,
        }
        self.counts.unrecorded.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Writes an entry, and a line about the entries that were removed for it.
    fn write(&mut self, entry: &AuditEntry, part: Part) {
        self.write_one(entry, part);
        // What this line displaces is reported with the next one, so that reports cannot cause a flood of reports.
        if let Some(gone) = self.segments.take_gone() {
            let entry = AuditEntry::of_daemon("audit.removed", "keep_size", Outcome::Done).with(gone.told());
            self.write_one(&entry, Part::Acts);
        }
    }

    fn write_one(&mut self, entry: &AuditEntry, part: Part) {
        let at = OffsetDateTime::from(clock::wall_clock()).replace_nanosecond(0).ok();
        let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        let number = self.segments.next();
        let line = entry.line(number, &at);
        let written = self.segments.append(part, &line);
        self.room.written += line.len() as u64;
        if written.is_err() {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.settled(written);
        if number.is_multiple_of(EXPIRE_EVERY) {
            self.expire();
        }
    }

    fn settled(&self, result: io::Result<()>) {
        let failed = self.counts.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Ok(()) if failed => tracing::info!("the audit is written again"),
            Err(error) if !failed => tracing::error!(%error, "the audit cannot be written"),
            _ => {}
        }
    }
}

impl AuditHandle {
    /// Creates a handle without a thread, for tests of the audit's callers.
    #[cfg(test)]
    pub(crate) fn to_nobody() -> AuditHandle {
        let (messages, _) = mpsc::sync_channel(0);
        AuditHandle {
            messages,
            thread: Arc::default(),
            settings: AuditSettings::default(),
            counts: Arc::default(),
        }
    }

    /// Opens an audit below a directory, for tests of the audit's callers.
    #[cfg(test)]
    pub(crate) fn below(directory: &Path) -> AuditHandle {
        start(directory, AuditSettings::default()).unwrap_or_else(|_| AuditHandle::to_nobody())
    }

    /// Returns all lines so far, oldest first, for such tests.
    #[cfg(test)]
    pub(crate) async fn lines(&self) -> Vec<Value> {
        let (_, lines) = self.page(AuditQuery::default(), 0, u64::MAX).await.unwrap_or_default();
        lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the settings that the audit was started with.
    pub fn settings(&self) -> AuditSettings {
        self.settings
    }

    /// Records an entry that nobody waits for. Counts it as lost if too many others wait.
    pub fn note(&self, entry: AuditEntry) {
        let is_full = self.counts.waiting.load(Ordering::Relaxed) >= QUEUE;
        if is_full || !self.send(entry, None) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records an act; the receiver resolves once its line is on the disk, or cannot be. Entries waiting from
    /// [`AuditHandle::note`] take no room from it.
    pub fn record(&self, entry: AuditEntry) -> oneshot::Receiver<()> {
        let (written, done) = oneshot::channel();
        if !self.send(entry, Some(written)) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!("an act could not be recorded: too many others wait, or the audit has ended");
        }
        done
    }

    fn send(&self, entry: AuditEntry, written: Option<oneshot::Sender<()>>) -> bool {
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        let is_sent = self.messages.try_send(Message::Entry(Box::new(entry), written)).is_ok();
        if !is_sent {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        is_sent
    }

    /// Returns the number of entries that could not be recorded.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Reports whether the last write reached the disk, for a simulation.
    #[cfg(test)]
    pub(crate) fn is_well(&self) -> bool {
        !self.counts.failing.load(Ordering::Relaxed)
    }

    /// Returns the number of entries that were only counted, because of too many like them or too little disk space.
    pub fn unrecorded(&self) -> u64 {
        self.counts.unrecorded.load(Ordering::Relaxed)
    }

    async fn list(&self) -> Result<Listed, Error> {
        let (reply, list) = oneshot::channel();
        let gone = || Error::Overloaded { retry_after: Duration::from_secs(1) };
        self.messages.try_send(Message::List(reply)).map_err(|_| gone())?;
        list.await.map_err(|_| Error::ShuttingDown)
    }

    /// Returns a page of entries, newest first, each as its line of JSON, and the number of all matches.
    pub(crate) async fn page(
        &self,
        query: AuditQuery,
        skip: u64,
        take: u64,
    ) -> Result<(u64, Vec<String>), Error> {
        let segments = self.list().await?;
        reading::off_the_runtime(move || reading::search(segments, skip, take, |line| query.takes(line)))
            .await
    }

    /// Exports all entries so far, oldest first, as lines of JSON in pieces.
    pub(crate) async fn export(&self, query: AuditQuery) -> Result<Export, Error> {
        Ok(Export::of(self.list().await?, query))
    }

    /// Writes the waiting entries and ends the thread. A second call does nothing.
    pub(crate) async fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let messages = self.messages.clone();
        let joined = tokio::task::spawn_blocking(move || {
            // The thread may have ended already.
            let _ = messages.send(Message::Close);
            thread.join()
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the audit's thread panicked");
        }
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
