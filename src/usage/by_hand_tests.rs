//! The work of the usage thread, done step by step for a simulation: no thread, and no real time that passes.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use super::*;

/// State of the thread, and the handle to it.
pub(crate) struct ByHand {
    writer: Writer,
    queue: Receiver<Message>,
    pub(crate) handle: UsageHandle,
}

impl ByHand {
    pub(crate) fn open(
        store: Arc<dyn Store>,
        books: UsageBuffers,
        keys: KeyRing,
        backups: PathBuf,
    ) -> Result<ByHand, Error> {
        let writer = open(store, books, keys, Retention::default(), Some(backups))?;
        let (questions, queue) = mpsc::sync_channel(QUEUE);
        let written_at = writer.written_at.clone();
        let handle =
            UsageHandle { questions, thread: Arc::default(), written_at, retention: Retention::default() };
        Ok(ByHand { writer, queue, handle })
    }

    /// Does the work of one second. Returns whether everything that was counted is written.
    pub(crate) fn settle(&mut self) -> bool {
        self.writer.settle();
        !self.writer.failing
    }

    /// Does the work of one hour.
    pub(crate) fn hour(&mut self) {
        self.writer.expired_at = None;
        self.writer.expire();
        self.writer.back_up();
    }

    /// Returns the number of known calls of a server.
    pub(crate) fn calls(&mut self, server: &str) -> u64 {
        let sums = self.writer.sums.as_ref();
        sums.and_then(|sums| sums.servers.get(server)).map_or(0, |total| total.calls)
    }

    /// Returns the number of a server's calls that the sums of these days still have.
    pub(crate) fn calls_of_days(&mut self, server: &str, days: &BTreeSet<u32>) -> u64 {
        let Some(sums) = &self.writer.sums else { return 0 };
        let lines = days.iter().filter_map(|day| sums.day(*day).ok()).flatten();
        lines.filter(|(line, _)| &*line.server == server).map(|(_, tally)| tally.calls()).sum()
    }

    /// Polls the future and answers its queries until it is ready.
    pub(crate) fn answer<T>(&mut self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
                return value;
            }
            while let Ok(Message::Question(question)) = self.queue.try_recv() {
                question(&mut self.writer);
            }
        }
        panic!("it waits for something else than usage");
    }
}
