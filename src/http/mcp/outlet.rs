//! The messages of one stream of a session, kept until the client has them, so that a client whose connection broke can
//! come back for the rest (spec 2025-11-25, basic/transports, resumability).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

/// Maximum number of messages that are kept, beside the last one.
const MAX_MESSAGES: usize = 256;
/// Maximum size of the messages that are kept, beside the last one, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// A message with its number in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Numbered {
    /// Number of the message, from 1.
    pub(super) number: u64,
    /// The message on one line.
    pub(super) text: Bytes,
    /// `true` for the last one of the stream.
    pub(super) is_last: bool,
}

/// One stream of a session.
pub(super) struct Outlet {
    /// Number of the stream in its session.
    pub(super) number: u64,
    state: Mutex<Kept>,
    changed: Notify,
}

#[derive(Default)]
struct Kept {
    messages: VecDeque<Numbered>,
    bytes: usize,
    count: u64,
    /// Number of the last message that a connection has taken.
    taken: u64,
    is_over: bool,
    /// Number of the reader; an earlier one reads no more.
    reader: u64,
}

impl Outlet {
    /// Creates a stream without messages.
    pub(super) fn new(number: u64) -> Arc<Outlet> {
        Arc::new(Outlet { number, state: Mutex::default(), changed: Notify::new() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. Those that were taken make room for it; returns `false` if there is none all the same, or if the
    /// stream is over.
    pub(super) fn push(&self, text: impl Into<Bytes>) -> bool {
        let (text, mut kept) = (text.into(), self.kept());
        while kept.is_full_with(text.len())
            && kept.messages.front().is_some_and(|one| one.number <= kept.taken)
        {
            kept.drop_first();
        }
        if kept.is_over || kept.is_full_with(text.len()) {
            return false;
        }
        kept.add(text, false);
        drop(kept);
        self.changed.notify_waiters();
        true
    }

    /// Adds the last message, for which there is always room.
    pub(super) fn finish(&self, text: impl Into<Bytes>) {
        let mut kept = self.kept();
        if !kept.is_over {
            kept.add(text.into(), true);
            kept.is_over = true;
        }
        drop(kept);
        self.changed.notify_waiters();
    }

    /// Ends the stream without a last message.
    pub(super) fn close(&self) {
        self.kept().is_over = true;
        self.changed.notify_waiters();
    }

    /// Returns the size of what is kept, in bytes, and `true` if the stream is over.
    pub(super) fn weight(&self) -> (usize, bool) {
        let kept = self.kept();
        (kept.bytes, kept.is_over)
    }

    /// Begins to read the messages after this number; an earlier reader gets no more. Messages that are no longer kept are
    /// left out.
    pub(super) fn read_after(self: &Arc<Outlet>, after: u64) -> Reader {
        let mut kept = self.kept();
        kept.reader += 1;
        let reader = Reader { outlet: self.clone(), after, number: kept.reader };
        drop(kept);
        self.changed.notify_waiters();
        reader
    }
}

impl Kept {
    fn is_full_with(&self, more: usize) -> bool {
        self.messages.len() >= MAX_MESSAGES || self.bytes + more > MAX_BYTES
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.messages.pop_front() {
            self.bytes -= first.text.len();
        }
    }

    fn add(&mut self, text: Bytes, is_last: bool) {
        self.count += 1;
        self.bytes += text.len();
        self.messages.push_back(Numbered { number: self.count, text, is_last });
    }
}

/// Reader of a stream.
pub(super) struct Reader {
    outlet: Arc<Outlet>,
    after: u64,
    number: u64,
}

impl Reader {
    /// Returns the number of the stream.
    pub(super) fn stream(&self) -> u64 {
        self.outlet.number
    }

    /// Waits for the next message; `None` at the end of the stream, or once another reader has taken over. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Numbered> {
        loop {
            let changed = self.outlet.changed.notified();
            {
                let mut kept = self.outlet.kept();
                if kept.reader != self.number {
                    return None;
                }
                let next = kept.messages.iter().find(|message| message.number > self.after).cloned();
                if let Some(next) = next {
                    self.after = next.number;
                    kept.taken = kept.taken.max(next.number);
                    return Some(next);
                }
                if kept.is_over {
                    return None;
                }
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_comes_back_gets_what_it_has_not_seen() {
        let outlet = Outlet::new(3);
        assert!(outlet.push("a") && outlet.push("b"));
        let mut first = outlet.read_after(0);
        assert_eq!(first.next().await.map(|one| (one.number, one.text)), Some((1, "a".into())));
        let mut second = outlet.read_after(1);
        assert_eq!(first.next().await, None, "another one reads now");
        outlet.finish("c");
        assert_eq!(second.next().await.map(|one| (one.number, one.is_last)), Some((2, false)));
        assert_eq!(second.next().await.map(|one| (one.number, one.is_last)), Some((3, true)));
        assert_eq!((second.next().await, outlet.push("d"), second.stream()), (None, false, 3));
    }

    #[tokio::test]
    async fn what_nobody_takes_is_bounded_and_the_last_message_always_fits() {
        let outlet = Outlet::new(1);
        let pushed = (0..2 * MAX_MESSAGES).filter(|_| outlet.push("x")).count();
        assert_eq!(pushed, MAX_MESSAGES);
        let mut reader = outlet.read_after(0);
        reader.next().await;
        assert!(outlet.push("y"), "one was taken");
        assert!(!outlet.push(vec![0u8; MAX_BYTES]));
        outlet.finish(vec![0u8; MAX_BYTES]);
        assert!(outlet.weight().1);
    }

    #[tokio::test]
    async fn a_stream_that_is_closed_ends_for_its_reader() {
        let outlet = Outlet::new(1);
        let mut reader = outlet.read_after(0);
        let reading = tokio::spawn(async move { reader.next().await });
        tokio::task::yield_now().await;
        outlet.close();
        assert_eq!(reading.await.ok(), Some(None));
    }
}
