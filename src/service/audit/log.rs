//! The thread that writes the audit, and the way to it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::oneshot;

use super::entry::{AuditEntry, Outcome};
use super::segments::{self, Segment, Segments};
use crate::service::{Error, clock};

/// How many entries may wait to be written.
const QUEUE: usize = 1_024;
/// How many refusals a minute are recorded; of the others only how many there were.
const REFUSALS: u64 = 300;
/// How often what is too old is looked for, also when nothing happens.
const EXPIRE_EVERY: Duration = Duration::from_secs(900);
/// What that is about.
const MINUTE: Duration = Duration::from_secs(60);

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
    fn takes(&self, line: &str) -> bool {
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
    List(oneshot::Sender<Vec<Segment>>),
    Close,
}

/// The way to the audit. Cheap to clone.
#[derive(Clone)]
pub struct AuditHandle {
    messages: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    settings: AuditSettings,
    /// Entries that could not be recorded.
    lost: Arc<AtomicU64>,
}

struct Writer {
    segments: Segments,
    lost: Arc<AtomicU64>,
    /// The minute that refusals are counted in, and how many there were.
    minute: (Instant, u64),
    failing: bool,
}

/// Opens the audit below a directory and starts the thread `audit`.
pub(in crate::service) fn start(directory: &Path, settings: AuditSettings) -> io::Result<AuditHandle> {
    let segments = Segments::open(directory, settings)?;
    let (messages, queue) = mpsc::sync_channel(QUEUE);
    let lost = Arc::<AtomicU64>::default();
    let writer = Writer { segments, lost: lost.clone(), minute: (Instant::now(), 0), failing: false };
    let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run(&queue))?;
    Ok(AuditHandle { messages, thread: Arc::new(Mutex::new(Some(thread))), settings, lost })
}

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut due = Instant::now();
        loop {
            let message = match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => {
                    self.segments.expire(clock::settled());
                    due = Instant::now() + EXPIRE_EVERY;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            match message {
                Message::Entry(entry, written) => {
                    self.write(*entry);
                    if let Some(written) = written {
                        self.settled(self.segments.sync());
                        // Whoever asked may have left.
                        let _ = written.send(());
                    }
                }
                Message::List(reply) => drop(reply.send(self.segments.list())),
                Message::Close => break,
            }
        }
        self.settled(self.segments.sync());
    }

    fn write(&mut self, mut entry: AuditEntry) {
        if entry.outcome == Outcome::Refused && !self.may_record_refusal(&mut entry) {
            return;
        }
        let at = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
        let at = at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default();
        let number = self.segments.next();
        let written = self.segments.append(&entry.line(number, &at), 1);
        if written.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.settled(written);
        if number.is_multiple_of(1_000) {
            self.segments.expire(clock::settled());
        }
    }

    /// A flood of refusals is not to push out what matters.
    fn may_record_refusal(&mut self, entry: &mut AuditEntry) -> bool {
        let (since, count) = &mut self.minute;
        if since.elapsed() >= MINUTE {
            if let Some(unrecorded) = count.checked_sub(REFUSALS).filter(|more| *more > 0) {
                entry.details.insert("unrecorded_refusals_before".to_owned(), unrecorded.into());
            }
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        *count <= REFUSALS
    }

    fn settled(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the audit is written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "the audit cannot be written");
                }
            }
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
            lost: Arc::default(),
        }
    }

    /// What the audit keeps.
    pub fn settings(&self) -> AuditSettings {
        self.settings
    }

    /// Records something that nobody waits for. Counted as lost when too many others wait.
    pub fn note(&self, entry: AuditEntry) {
        if self.messages.try_send(Message::Entry(Box::new(entry), None)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records an act; resolves when its line is on the disk, or cannot be.
    pub fn record(&self, entry: AuditEntry) -> oneshot::Receiver<()> {
        let (written, done) = oneshot::channel();
        if self.messages.try_send(Message::Entry(Box::new(entry), Some(written))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::error!("an act could not be recorded: too many others wait");
        }
        done
    }

    /// How many entries could not be recorded.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    async fn list(&self) -> Result<Vec<Segment>, Error> {
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
        let search = move || segments::search(&segments, skip, take, |line| query.takes(line));
        off_the_runtime(search).await
    }

    /// All entries, oldest first, as lines of JSON.
    pub(in crate::service) async fn export(&self, query: AuditQuery) -> Result<Vec<u8>, Error> {
        let segments = self.list().await?;
        let read = move || {
            let mut text = Vec::new();
            for segment in &segments {
                for line in segments::read(segment)?.iter().filter(|line| query.takes(line)) {
                    text.extend_from_slice(line.as_bytes());
                    text.push(b'\n');
                }
            }
            Ok(text)
        };
        off_the_runtime(read).await
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

async fn off_the_runtime<T: Send + 'static>(
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
mod tests {
    use super::*;

    fn entry(action: &'static str, outcome: Outcome) -> AuditEntry {
        AuditEntry { member_id: Some("user_1".into()), ..AuditEntry::of_daemon(action, "x", outcome) }
    }

    #[tokio::test]
    async fn what_is_recorded_is_found_newest_first_also_after_a_restart() {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = start(directory.path(), AuditSettings::default()).expect("started");
        for action in ["key.create", "key.revoke", "server.add"] {
            audit.record(entry(action, Outcome::Done)).await.expect("written");
        }
        audit.note(entry("refused", Outcome::Refused));
        audit.close().await;
        let audit = start(directory.path(), AuditSettings::default()).expect("started");
        let (found, page) = audit.page(AuditQuery::default(), 0, 2).await.expect("readable");
        assert_eq!((found, page.len()), (4, 2));
        assert!(page[0].contains("\"number\":4") && page[0].contains("refused"), "{}", page[0]);
        let keys = AuditQuery { action: Some("key".to_owned()), ..AuditQuery::default() };
        assert_eq!(audit.page(keys.clone(), 0, 9).await.expect("readable").0, 2);
        assert_eq!(audit.export(keys).await.expect("readable").iter().filter(|b| **b == b'\n').count(), 2);
        let nobody = AuditQuery { member_id: Some("user_2".to_owned()), ..AuditQuery::default() };
        assert_eq!(audit.page(nobody, 0, 9).await.expect("readable").0, 0);
        audit.close().await;
    }

    #[tokio::test]
    async fn a_flood_of_refusals_leaves_room_for_what_was_done() {
        let directory = tempfile::tempdir().expect("a directory");
        let audit = start(directory.path(), AuditSettings::default()).expect("started");
        for _ in 0..REFUSALS * 2 {
            audit.record(entry("refused", Outcome::Refused)).await.expect("looked at");
        }
        audit.record(entry("key.create", Outcome::Done)).await.expect("written");
        let (found, _) = audit.page(AuditQuery::default(), 0, 1).await.expect("readable");
        assert_eq!((found, audit.lost()), (REFUSALS + 1, 0));
        audit.close().await;
    }
}
