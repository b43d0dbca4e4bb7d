//! Requests of an HTTP+SSE server that wait for messages on its one stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::fault::{HttpFault, Word};

/// Maximum number of messages of one request that wait for its task; what comes meanwhile is dropped.
const MAX_MESSAGES: usize = 64;

/// Requests that wait for messages on the stream. Closed, it takes none any more.
pub(super) struct Inbox {
    /// Those that wait, by their ids; `None` once it is closed.
    waiting: Mutex<Option<HashMap<u64, mpsc::Sender<Bytes>>>>,
    /// Why it was closed.
    ended: OnceLock<HttpFault>,
}

/// Place of one request in the inbox; given back when dropped.
pub(super) struct Place {
    inbox: Arc<Inbox>,
    id: u64,
    messages: mpsc::Receiver<Bytes>,
}

impl Inbox {
    /// Makes one that is open.
    pub(super) fn open() -> Inbox {
        Inbox { waiting: Mutex::new(Some(HashMap::new())), ended: OnceLock::new() }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<HashMap<u64, mpsc::Sender<Bytes>>>) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a place for a request; `None` once the stream has ended.
    pub(super) fn place(self: &Arc<Inbox>, id: u64) -> Option<Place> {
        let (sender, messages) = mpsc::channel(MAX_MESSAGES);
        self.with(|waiting| waiting.as_mut().map(|waiting| waiting.insert(id, sender)))?;
        Some(Place { inbox: self.clone(), id, messages })
    }

    /// Hands a message to the request with this id. Returns `false` if there is none, or no room.
    pub(super) fn deliver(&self, id: u64, message: Bytes, is_answer: bool) -> bool {
        let to = self.with(|waiting| waiting.as_ref()?.get(&id).cloned());
        // The last place is for the answer.
        to.is_some_and(|to| (is_answer || to.capacity() > 1) && to.try_send(message).is_ok())
    }

    /// Ends the wait of all requests, for this reason.
    pub(super) fn close(&self, why: HttpFault) {
        let _ = self.ended.set(why);
        self.with(Option::take);
    }
}

impl Place {
    /// Returns the next message of the request. Cancel safe.
    ///
    /// # Errors
    /// With the end of the stream, of which no request knows what became of it.
    pub(super) async fn next(&mut self) -> Result<Bytes, HttpFault> {
        let ended = || HttpFault::unknown(Word::StreamLost, "ended its stream of events");
        self.messages.recv().await.ok_or_else(|| self.inbox.ended.get().cloned().unwrap_or_else(ended))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.inbox.with(|waiting| waiting.as_mut().map(|waiting| waiting.remove(&self.id)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_message_goes_to_its_request_and_none_waits_beyond_the_end() {
        let inbox = Arc::new(Inbox::open());
        let (mut one, mut other) = (inbox.place(1).expect("open"), inbox.place(2).expect("open"));
        assert!(inbox.deliver(2, "b".into(), false) && inbox.deliver(1, "a".into(), true));
        let next = async |place: &mut Place| place.next().await.ok();
        assert_eq!((next(&mut one).await, next(&mut other).await), (Some("a".into()), Some("b".into())));
        drop(one);
        assert!(!inbox.deliver(1, "late".into(), true));
        let delivered = (0..2 * MAX_MESSAGES).filter(|_| inbox.deliver(2, "c".into(), false)).count();
        assert_eq!(delivered, MAX_MESSAGES - 1, "there is an end to what waits");
        assert!(inbox.deliver(2, "answer".into(), true), "and a place for the answer");
        inbox.close(HttpFault::unknown(Word::TooLarge, "sent too much"));
        for _ in 0..MAX_MESSAGES {
            assert!(other.next().await.is_ok());
        }
        assert_eq!(
            other.next().await.expect_err("the end").word,
            Word::TooLarge,
            "the reason is every request's"
        );
        assert!(inbox.place(3).is_none());
    }
}
