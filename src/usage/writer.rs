//! The thread that takes the counts of calls and writes them once a second, and takes them before it answers a
//! query.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::oneshot;

use super::aggregates::{Grant, Total, UsageAggregates};
use super::buffer::UsageBuffer;
use super::calendar::{day_of, minute_of};
use super::error::Error;
use super::ranges::{self, RangeQuery, RangeSums};
use super::report::{self, Bucket, HistoryQuery, Span, Usage, UsageOf};
use super::retention::{MINUTES_KEPT, Retention};
use super::traffic::Traffic;
use crate::access::KeyRing;
use crate::clock;
use crate::store::{self, Record, Store, StoreError};
use crate::unix_time;

/// Interval between writes of usage.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// Interval between removals of old usage.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);
/// Interval between backups; one is also made at the start and at the end.
const BACK_UP_EVERY: Duration = Duration::from_secs(3600);
/// Maximum number of waiting queries.
const QUEUE: usize = 64;

/// Books of all servers by server id, each with the server's name.
pub(crate) type UsageBuffers = Arc<DashMap<Arc<str>, (Arc<str>, Arc<UsageBuffer>)>>;

type UsageQuery = Box<dyn FnOnce(&mut Writer) + Send>;

enum Message {
    Question(UsageQuery),
    Close,
}

/// Handle to the thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UsageHandle {
    questions: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    written_at: Arc<Mutex<Instant>>,
    retention: Retention,
}

struct Writer {
    store: Arc<dyn Store>,
    /// Sums; `None` while the store cannot be read. Calls counted then stay in the books.
    sums: Option<UsageAggregates>,
    books: UsageBuffers,
    keys: KeyRing,
    retention: Retention,
    expired_at: Option<Instant>,
    /// Data directory that backups go to; `None` for a store that is not on a disk.
    backups: Option<PathBuf>,
    backed_up_at: Option<Instant>,
    /// Time when all counted calls were last written.
    written_at: Arc<Mutex<Instant>>,
    /// Reason that counts had to stay in the books at the last take.
    left: Option<StoreError>,
    /// `true` if the last write failed; each change is logged once.
    failing: bool,
}

/// Traffic of each server before this start, by the server's id.
pub(crate) type Known = HashMap<Arc<str>, Traffic>;

/// Starts the thread `usage`. `backups` is the data directory of a store that is on a disk.
pub(super) fn start(
    store: Arc<dyn Store>,
    books: UsageBuffers,
    keys: KeyRing,
    retention: Retention,
    backups: Option<PathBuf>,
) -> Result<(UsageHandle, Known), Error> {
    let writer = open(store, books, keys, retention, backups)?;
    let (known, written_at) = (writer.known(), writer.written_at.clone());
    let (questions, queue) = mpsc::sync_channel(QUEUE);
    let thread = thread::Builder::new()
        .name("usage".to_owned())
        .spawn(move || writer.run(&queue))
        .map_err(|error| Error::Internal { reason: format!("the usage thread did not start: {error}") })?;
    let thread = Arc::new(Mutex::new(Some(thread)));
    Ok((UsageHandle { questions, thread, written_at, retention }, known))
}

/// Creates the state that the thread works on.
fn open(
    store: Arc<dyn Store>,
    books: UsageBuffers,
    keys: KeyRing,
    retention: Retention,
    backups: Option<PathBuf>,
) -> Result<Writer, Error> {
    let mut writer = Writer {
        store,
        sums: None,
        books,
        keys,
        retention,
        expired_at: None,
        backups,
        backed_up_at: None,
        written_at: Arc::new(Mutex::new(Instant::now())),
        left: None,
        failing: false,
    };
    if let Err(error) = load(&mut writer.sums, &writer.store, &writer.keys) {
        // A full disk does not prevent serving.
        if !error.is_full() {
            return Err(stored(error));
        }
        tracing::error!(%error, "usage cannot be read; it is counted in memory until the store is there");
    }
    Ok(writer)
}

/// Loads the sums, unless that is done.
fn load<'a>(
    sums: &'a mut Option<UsageAggregates>,
    store: &Arc<dyn Store>,
    keys: &KeyRing,
) -> Result<&'a mut UsageAggregates, StoreError> {
    match sums {
        Some(sums) => Ok(sums),
        none => {
            let sums = UsageAggregates::load(store.clone())?;
            let now = clock::believed();
            let last_used = sums.keys.iter().map(|(id, total)| (id.clone(), total.last_used.min(now)));
            keys.used_before(&last_used.collect());
            Ok(none.insert(sums))
        }
    }
}

impl Writer {
    fn known(&self) -> Known {
        let now = clock::believed();
        let of = |(id, total): (&Arc<str>, &Total)| {
            let latency = Duration::from_micros(total.latency_us);
            let traffic = Traffic {
                calls: total.calls,
                errors: total.errors,
                calls_today: total.today(now),
                total_latency: latency,
                last_active: (total.last_used > 0).then(|| unix_time::from_seconds(total.last_used.min(now))),
            };
            (id.clone(), traffic)
        };
        self.sums.iter().flat_map(|sums| &sums.servers).map(of).collect()
    }

    fn run(mut self, queue: &Receiver<Message>) {
        let mut due = Instant::now() + WRITE_EVERY;
        loop {
            match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Question(question)) => question(&mut self),
                Err(RecvTimeoutError::Timeout) => {
                    clock::beat();
                    self.settle();
                    self.expire();
                    if self.backed_up_at.is_none_or(|at| at.elapsed() >= BACK_UP_EVERY) {
                        self.back_up();
                    }
                    due = Instant::now() + WRITE_EVERY;
                }
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.settle();
                    self.back_up();
                    clock::keep();
                    return;
                }
            }
        }
    }

    /// Takes the counts from the books, and writes them.
    fn settle(&mut self) {
        let settled = self.take().and_then(|sums| sums.write());
        // Counts that could not be taken are still in the books.
        let left = self.left.take().map_or(Ok(()), Err);
        self.note(settled.and(left));
    }

    /// Takes the counts from the books; they stay there, or go back, while the store cannot be read.
    fn take(&mut self) -> Result<&mut UsageAggregates, StoreError> {
        let sums = load(&mut self.sums, &self.store, &self.keys)?;
        let believed = clock::believed();
        let books: Vec<_> =
            self.books.iter().map(|book| (book.key().clone(), book.value().clone())).collect();
        for (server, (name, book)) in books {
            for counted in book.take() {
                if let Err(error) = sums.add(&server, &name, &counted) {
                    self.left = Some(error);
                    book.give_back(counted);
                }
            }
            if let Some(at) = book.last_active() {
                sums.server_used(&server, unix_time::seconds(at).min(believed));
            }
        }
        // Drops the books of removed servers, once everything is taken from them.
        self.books.retain(|_, (_, book)| Arc::strong_count(book) > 1 || !book.is_empty());
        for key in self.keys.keys(clock::now()) {
            if let Some(at) = key.last_used {
                // A time from a clock that was wrong for a while must not be kept.
                sums.used(&key.record.id, at.min(believed));
            }
        }
        Ok(sums)
    }

    fn note(&mut self, written: Result<(), StoreError>) {
        match written {
            Ok(()) => {
                *self.written_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if std::mem::take(&mut self.failing) {
                    tracing::info!("usage is written again");
                }
                // The last hour stays, so that a clock that is set back by a little finds what it goes on from.
                let minute = minute_of(clock::believed()).saturating_sub(60);
                if let Some(sums) = &mut self.sums {
                    sums.forget(minute);
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "usage cannot be written; it is kept in memory and tried again");
                }
            }
        }
    }

    /// Backs up the stored usage beside the store, so that damage to the store does not cost all of it.
    fn back_up(&mut self) {
        let (Some(data_dir), Some(sums), false) = (&self.backups, &self.sums, self.failing) else { return };
        self.backed_up_at = Some(Instant::now());
        let written = match sums.backup() {
            Ok(records) if records.is_empty() => return,
            records => records.and_then(|records| store::write_usage(data_dir, clock::now(), records)),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "usage could not be backed up; tried again in an hour");
        }
    }

    fn expire(&mut self) {
        let Some(sums) = &self.sums else { return };
        if self.expired_at.is_some_and(|at| at.elapsed() < EXPIRE_EVERY) {
            return;
        }
        // Removal by a wrong clock could not be undone.
        let Some(now) = clock::settled() else { return };
        self.expired_at = Some(Instant::now());
        let (today, minute) = (day_of(now), minute_of(now).saturating_sub(MINUTES_KEPT));
        let (hour, day) =
            (today.saturating_sub(self.retention.hours) * 24, today.saturating_sub(self.retention.days));
        match sums.expire(minute, hour, day) {
            Ok(0) => {}
            Ok(records) => tracing::debug!(records, "old usage was removed"),
            Err(error) => tracing::warn!(%error, "old usage could not be removed"),
        }
    }
}

impl UsageHandle {
    /// Returns the sums over a span.
    pub(crate) async fn usage(&self, span: Span, of: UsageOf) -> Result<Usage, Error> {
        self.ask(move |sums| report::usage(sums, span, &of)).await
    }

    /// Returns the sums over a range, and across what was asked for.
    pub(crate) async fn sums(&self, query: RangeQuery) -> Result<RangeSums, Error> {
        let retention = self.retention;
        self.ask(move |sums| ranges::sums(sums, &query, clock::believed(), retention)).await
    }

    /// Returns a history, newest bucket first.
    pub(crate) async fn history(&self, query: HistoryQuery) -> Result<Vec<Bucket>, Error> {
        self.ask(move |sums| report::history(sums, &query, clock::believed())).await
    }

    /// Returns the total calls of each key, and those of today.
    pub(crate) async fn key_totals(&self) -> Result<HashMap<Arc<str>, (u64, u64)>, Error> {
        self.ask(|sums| {
            let now = clock::believed();
            let totals = sums.keys.iter();
            Ok(totals.map(|(id, total): (_, &Total)| (id.clone(), (total.calls, total.today(now)))).collect())
        })
        .await
    }

    pub(super) async fn grant(&self, holder: Arc<str>) -> Result<Grant, Error> {
        self.ask(move |sums| sums.grant(&holder)).await
    }

    pub(super) async fn put_grant(&self, holder: Arc<str>, grant: Grant) -> Result<(), Error> {
        self.ask(move |sums| sums.put_grant(&holder, grant)).await
    }

    /// Returns everything that was counted up to now as records for a backup.
    pub(crate) async fn backup(&self) -> Result<Vec<Record>, Error> {
        self.ask(|sums| {
            sums.write()?;
            sums.backup()
        })
        .await
    }

    /// Returns the time since counts were last written: about a second, unless the disk is slow or full.
    pub(crate) fn flush_age(&self) -> Duration {
        self.written_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Sends a query to the thread, which first takes the counts from the books.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut UsageAggregates) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let question: UsageQuery = Box::new(move |writer| {
            let answer = writer.take().and_then(question);
            // The receiver may have been dropped.
            let _ = reply.send(answer);
        });
        self.questions.try_send(Message::Question(question)).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Overloaded { retry_after: WRITE_EVERY },
            TrySendError::Disconnected(_) => Error::ShuttingDown,
        })?;
        answer.await.map_err(|_| Error::ShuttingDown)?.map_err(stored)
    }

    /// Writes everything and ends the thread. A second call does nothing.
    pub(crate) async fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let questions = self.questions.clone();
        let joined = tokio::task::spawn_blocking(move || {
            // The thread may have ended already.
            let _ = questions.send(Message::Close);
            thread.join()
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the usage thread panicked");
        }
    }
}

fn stored(error: StoreError) -> Error {
    Error::Store { reason: error.cause() }
}

#[cfg(test)]
#[path = "by_hand_tests.rs"]
pub(crate) mod by_hand;
#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
