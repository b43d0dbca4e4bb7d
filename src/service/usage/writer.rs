//! The thread that takes usage from the servers' books and writes it, once a second and when it is
//! asked something.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use tokio::sync::oneshot;

use super::book::Book;
use super::calendar::{day_of, day_of_hour, hour_of};
use super::ledger::{Grant, Sums, Total};
use super::report::{self, Bucket, HistoryQuery, Span, Usage, UsageOf};
use crate::access::KeyRing;
use crate::service::{Error, unix_seconds};
use crate::store::{Store, StoreError};

/// How often usage is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often what is too old is removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);
/// How many questions may wait.
const QUEUE: usize = 64;

/// How long usage is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Hours, in days.
    pub hours: u32,
    /// Days, in days.
    pub days: u32,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { hours: 30, days: 400 }
    }
}

/// The books of all servers by id, each with the server's name.
pub(in crate::service) type Books = Arc<DashMap<Arc<str>, (Arc<str>, Arc<Book>)>>;

type Question = Box<dyn FnOnce(&mut Writer) + Send>;

enum Message {
    Question(Question),
    Close,
}

/// The way to the thread. Cheap to clone.
#[derive(Clone)]
pub(in crate::service) struct UsageHandle {
    questions: SyncSender<Message>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

struct Writer {
    sums: Sums,
    books: Books,
    keys: KeyRing,
    retention: Retention,
    expired_at: Option<Instant>,
    /// Whether the last write failed; said once.
    failing: bool,
}

/// What is known of the time before this start.
pub(in crate::service) struct Known {
    /// When each key was last used, seconds since 1970.
    pub(in crate::service) last_used: HashMap<Arc<str>, u64>,
    /// What each server has done: calls, errors, duration, calls today.
    pub(in crate::service) servers: HashMap<Arc<str>, (u64, u64, Duration, u64)>,
}

/// Starts the thread `usage`.
pub(in crate::service) fn start(
    store: Arc<dyn Store>,
    books: Books,
    keys: KeyRing,
    retention: Retention,
) -> Result<(UsageHandle, Known), Error> {
    let sums = Sums::load(store).map_err(stored)?;
    let now = unix_seconds();
    let known = Known {
        last_used: sums.keys.iter().map(|(id, total)| (id.clone(), total.last_used)).collect(),
        servers: sums
            .servers
            .iter()
            .map(|(id, total)| {
                let latency = Duration::from_micros(total.latency_us);
                (id.clone(), (total.calls, total.errors, latency, total.today(now)))
            })
            .collect(),
    };
    let (questions, queue) = mpsc::sync_channel(QUEUE);
    let writer = Writer { sums, books, keys, retention, expired_at: None, failing: false };
    let thread = thread::Builder::new()
        .name("usage".to_owned())
        .spawn(move || writer.run(&queue))
        .map_err(|error| Error::Internal { reason: format!("the usage thread did not start: {error}") })?;
    Ok((UsageHandle { questions, thread: Arc::new(Mutex::new(Some(thread))) }, known))
}

impl Writer {
    fn run(mut self, queue: &Receiver<Message>) {
        let mut due = Instant::now() + WRITE_EVERY;
        loop {
            match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Question(question)) => question(&mut self),
                Err(RecvTimeoutError::Timeout) => {
                    self.take();
                    self.write();
                    self.expire();
                    due = Instant::now() + WRITE_EVERY;
                }
                Ok(Message::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.take();
                    self.write();
                    return;
                }
            }
        }
    }

    /// Takes what the books have counted.
    fn take(&mut self) {
        let counted: Vec<_> = self
            .books
            .iter()
            .map(|book| (book.key().clone(), book.value().0.clone(), book.value().1.take()))
            .collect();
        for (server, name, counted) in counted {
            for counted in counted {
                if let Err(error) = self.sums.add(&server, &name, counted) {
                    tracing::error!(%error, server = %name, "usage could not be read and is counted anew");
                }
            }
        }
        // Of servers that are no more, once everything is taken.
        self.books.retain(|_, (_, book)| Arc::strong_count(book) > 1 || !book.is_empty());
        for key in self.keys.keys(unix_seconds()) {
            if let Some(at) = key.last_used {
                self.sums.used(&key.record.id, at);
            }
        }
    }

    fn write(&mut self) {
        match self.sums.write() {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("usage is written again");
                }
                let hour = hour_of(unix_seconds()).saturating_sub(1);
                self.sums.forget(hour, day_of_hour(hour));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, "usage cannot be written; it is kept in memory and tried again");
                }
            }
        }
    }

    fn expire(&mut self) {
        if self.expired_at.is_some_and(|at| at.elapsed() < EXPIRE_EVERY) {
            return;
        }
        self.expired_at = Some(Instant::now());
        let today = day_of(unix_seconds());
        let (hour, day) =
            (today.saturating_sub(self.retention.hours) * 24, today.saturating_sub(self.retention.days));
        match self.sums.expire(hour, day) {
            Ok(0) => {}
            Ok(records) => tracing::debug!(records, "old usage was removed"),
            Err(error) => tracing::warn!(%error, "old usage could not be removed"),
        }
    }
}

impl UsageHandle {
    /// Sums over a span.
    pub(in crate::service) async fn usage(&self, span: Span, of: UsageOf) -> Result<Usage, Error> {
        self.ask(move |writer| report::usage(&writer.sums, span, &of)).await
    }

    /// A history, newest bucket first.
    pub(in crate::service) async fn history(&self, query: HistoryQuery) -> Result<Vec<Bucket>, Error> {
        self.ask(move |writer| report::history(&writer.sums, &query, unix_seconds())).await
    }

    /// What each key has done: calls altogether, and today.
    pub(in crate::service) async fn key_totals(&self) -> Result<HashMap<Arc<str>, (u64, u64)>, Error> {
        self.ask(|writer| {
            let now = unix_seconds();
            let totals = writer.sums.keys.iter();
            Ok(totals.map(|(id, total): (_, &Total)| (id.clone(), (total.calls, total.today(now)))).collect())
        })
        .await
    }

    pub(super) async fn grant(&self, holder: Arc<str>) -> Result<Grant, Error> {
        self.ask(move |writer| writer.sums.grant(&holder)).await
    }

    pub(super) async fn put_grant(&self, holder: Arc<str>, grant: Grant) -> Result<(), Error> {
        self.ask(move |writer| writer.sums.put_grant(&holder, grant)).await
    }

    /// Asks the thread, which first takes what the books have counted up to now.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Writer) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let question: Question = Box::new(move |writer| {
            writer.take();
            // Whoever asked may have left.
            let _ = reply.send(question(writer));
        });
        self.questions.try_send(Message::Question(question)).map_err(|refused| match refused {
            TrySendError::Full(_) => Error::Overloaded { retry_after: WRITE_EVERY },
            TrySendError::Disconnected(_) => Error::ShuttingDown,
        })?;
        answer.await.map_err(|_| Error::ShuttingDown)?.map_err(stored)
    }

    /// Writes everything and ends the thread. A second call does nothing.
    pub(in crate::service) async fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let questions = self.questions.clone();
        let joined = tokio::task::spawn_blocking(move || {
            // The thread may be gone already.
            let _ = questions.send(Message::Close);
            thread.join()
        });
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the usage thread panicked");
        }
    }
}

fn stored(error: StoreError) -> Error {
    Error::Store { reason: error.to_string() }
}
