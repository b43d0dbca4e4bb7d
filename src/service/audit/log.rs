//! The thread that writes the audit, and the way to it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;

use super::entry::{AuditEntry, Outcome, Sort};
use super::export::Export;
use super::rate::{Rate, Verdict};
use super::reading;
use super::segments::{Listed, Part, Segments};
use crate::process;
use crate::service::{Error, clock};

/// How many entries that nobody waits for may wait to be written.
const QUEUE: usize = 1_024;
/// How many entries may wait altogether: the rest is for acts.
const QUEUE_WITH_ACTS: usize = 4 * QUEUE;
/// With less room than this in the file system, in bytes, only acts that were done are recorded.
const RESERVE: u64 = 4 * 1024 * 1024;
/// How often it is looked how much room there is, and after how many bytes at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_BYTES: u64 = 64 * 1024;
/// How often it is looked which segments are too old, in lines, and also when nothing happens.
const EXPIRE_EVERY: u64 = 1_000;
const EXPIRE_AFTER: Duration = Duration::from_secs(900);

/// What the audit keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSettings {
    /// How long.
    pub keep: Duration,
    /// How much, in bytes.
    pub keep_bytes: u64,
    /// Whether calls are recorded, too: each with a hash of its arguments.
    pub calls: bool,
}

impl Default for AuditSettings {
    fn default() -> AuditSettings {
        AuditSettings { keep: Duration::from_secs(400 * 86_400), keep_bytes: 64 * 1024 * 1024, calls: false }
    }
}

/// Which entries are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Only of this action, or of those that begin with it and a dot.
    pub action: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<String>,
    /// Only of this member.
    pub member_id: Option<String>,
    /// Only of this key.
    pub key_id: Option<String>,
}

impl AuditQuery {
    pub(super) fn takes(&self, line: &str) -> bool {
        #[derive(Deserialize)]
        struct Seen<'a> {
            #[serde(borrow)]
            action: std::borrow::Cow<'a, str>,
            outcome: &'a str,
            member_id: Option<std::borrow::Cow<'a, str>>,
            key_id: Option<std::borrow::Cow<'a, str>>,
        }
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(line) else { return false };
        let of_action = |wanted: &String| {
            let rest = seen.action.strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.action.as_ref().is_none_or(of_action)
            && self.outcome.as_ref().is_none_or(|wanted| wanted == seen.outcome)
            && self.member_id.as_ref().is_none_or(|wanted| seen.member_id.as_deref() == Some(wanted))
            && self.key_id.as_ref().is_none_or(|wanted| seen.key_id.as_deref() == Some(wanted))
    }
}

enum Message {
    Entry(Box<AuditEntry>, Option<oneshot::Sender<()>>),
    List(oneshot::Sender<Listed>),
    Close,
}

/// The way to the audit. Cheap to clone.
#[derive(Clone)]
pub struct AuditHandle {
    messages: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    settings: AuditSettings,
    counts: Arc<Counts>,
}

/// What the thread and those who write to it tell each other.
#[derive(Debug, Default)]
struct Counts {
    /// Entries that wait.
    waiting: AtomicUsize,
    /// Entries that could not be recorded.
    lost: AtomicU64,
    /// Entries that were not recorded because there were too many, or too little room.
    unrecorded: AtomicU64,
    /// Whether what was tried last failed.
    failing: AtomicBool,
}

struct Writer {
    segments: Segments,
    counts: Arc<Counts>,
    rate: Rate,
    room: Room,
    /// When it is looked next which segments are too old, also if nothing happens.
    expires_at: Instant,
}

/// How much room there is on the disk, looked at now and then.
struct Room {
    free: Box<dyn Fn() -> Option<u64> + Send>,
    looked: Option<Instant>,
    written: u64,
    is_short: bool,
}

impl Room {
    /// Below a directory.
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
            // Where it cannot be told, writing tells.
            let is_short = (self.free)().is_some_and(|free| free < RESERVE);
            if is_short && !self.is_short {
                tracing::error!("the disk is nearly full: only acts are recorded in the audit");
            }
            self.is_short = is_short;
        }
        self.is_short
    }
}

/// Opens the audit below a directory and starts the thread `audit`.
pub(in crate::service) fn start(directory: &Path, settings: AuditSettings) -> io::Result<AuditHandle> {
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
                        // Whoever asked may have left.
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

    /// The next message; meanwhile tells what was not recorded, when its minute is over.
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

    /// Removes what is too old, by a clock that is to be believed, and what is too much.
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
        let entry = AuditEntry::new(Sort::Look, "audit.unrecorded", "the last minute", Outcome::Done);
        self.write(&entry.with(unrecorded), Part::Rest);
    }

    /// Records an entry, or counts it; gives where it was written.
    fn take(&mut self, entry: &AuditEntry) -> Option<Part> {
        let now = Instant::now();
        self.turn(now);
        let part = match (entry.sort(), entry.outcome()) {
            _ if entry.is_act_in_force() => Part::Acts,
            (Sort::Call, outcome) if outcome != Outcome::Refused => Part::Calls,
            _ => Part::Rest,
        };
        match self.rate.judge(entry) {
            Verdict::Shorten => {
                self.write(&entry.shortened(), part);
                return Some(part);
            }
            Verdict::Record if part == Part::Acts || !self.room.is_short(now) => {
                self.write(entry, part);
                return Some(part);
            }
            Verdict::Record => self.rate.pass_over(entry),
            Verdict::Count => {}
            Verdict::Known => return None,
        }
        self.counts.unrecorded.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Writes an entry, and what had to go for it.
    fn write(&mut self, entry: &AuditEntry, part: Part) {
        self.write_one(entry, part);
        // What goes for this one is told with the next: no flood grows out of itself.
        if let Some(gone) = self.segments.take_gone() {
            let entry = AuditEntry::of_daemon("audit.removed", "keep_size", Outcome::Done).with(gone.told());
            self.write_one(&entry, Part::Acts);
        }
    }

    fn write_one(&mut self, entry: &AuditEntry, part: Part) {
        let at = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
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
    /// The way to nobody, for tests of what stands before the audit.
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

    /// One below a directory, for tests of what stands before the audit.
    #[cfg(test)]
    pub(crate) fn below(directory: &Path) -> AuditHandle {
        start(directory, AuditSettings::default()).unwrap_or_else(|_| AuditHandle::to_nobody())
    }

    /// All lines so far, oldest first, for such tests.
    #[cfg(test)]
    pub(crate) async fn lines(&self) -> Vec<Value> {
        let (_, lines) = self.page(AuditQuery::default(), 0, u64::MAX).await.unwrap_or_default();
        lines.iter().rev().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What the audit keeps.
    pub fn settings(&self) -> AuditSettings {
        self.settings
    }

    /// Records something that nobody waits for. Counted as lost when too many others wait.
    pub fn note(&self, entry: AuditEntry) {
        let is_full = self.counts.waiting.load(Ordering::Relaxed) >= QUEUE;
        if is_full || !self.send(entry, None) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records an act; resolves when its line is on the disk, or cannot be. What [`AuditHandle::note`]
    /// has waiting takes no room from it.
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

    /// How many entries could not be recorded.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// Whether what was written last is on the disk, for a simulation.
    #[cfg(test)]
    pub(in crate::service) fn is_well(&self) -> bool {
        !self.counts.failing.load(Ordering::Relaxed)
    }

    /// How many entries were only counted: there were too many like them, or too little room.
    pub fn unrecorded(&self) -> u64 {
        self.counts.unrecorded.load(Ordering::Relaxed)
    }

    async fn list(&self) -> Result<Listed, Error> {
        let (reply, list) = oneshot::channel();
        let gone = || Error::Overloaded { retry_after: Duration::from_secs(1) };
        self.messages.try_send(Message::List(reply)).map_err(|_| gone())?;
        list.await.map_err(|_| Error::ShuttingDown)
    }

    /// A page of entries, newest first, each as its line of JSON, and how many there are.
    pub(in crate::service) async fn page(
        &self,
        query: AuditQuery,
        skip: u64,
        take: u64,
    ) -> Result<(u64, Vec<String>), Error> {
        let segments = self.list().await?;
        off_the_runtime(move || reading::search(segments, skip, take, |line| query.takes(line))).await
    }

    /// All entries so far, oldest first, as lines of JSON in pieces.
    pub(in crate::service) async fn export(&self, query: AuditQuery) -> Result<Export, Error> {
        Ok(Export::of(self.list().await?, query))
    }

    /// Writes what waits and ends the thread. A second call does nothing.
    pub(in crate::service) async fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let messages = self.messages.clone();
        let joined = tokio::task::spawn_blocking(move || {
            // The thread may be gone already.
            let _ = messages.send(Message::Close);
            thread.join()
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the audit's thread panicked");
        }
    }
}

pub(super) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal {
        reason: format!("the audit cannot be read: {error}"),
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
