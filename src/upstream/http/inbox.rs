//! Requests of an HTTP+SSE server that wait for messages on its one stream.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

/// Maximum number of messages of one request that wait for its task; what comes meanwhile is dropped.
const MAX_MESSAGES: usize = 64;

/// Requests that wait for messages on the stream, by their ids. Closed, it takes none any more.
#[derive(Default)]
pub(super) struct Inbox(Mutex<Option<HashMap<u64, mpsc::Sender<Bytes>>>>);

/// Place of one request in the inbox; given back when dropped.
pub(super) struct Place {
    inbox: Arc<Inbox>,
    id: u64,
    messages: mpsc::Receiver<Bytes>,
}

impl Inbox {
    /// Makes one that is open.
    pub(super) fn open() -> Inbox {
        Inbox(Mutex::new(Some(HashMap::new())))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Option<HashMap<u64, mpsc::Sender<Bytes>>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// Ends the wait of all requests.
    pub(super) fn close(&self) {
        self.with(Option::take);
    }
}

impl Place {
    /// Returns the next message of the request; `None` if the stream has ended. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.messages.recv().await
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
        assert_eq!((one.next().await, other.next().await), (Some("a".into()), Some("b".into())));
        drop(one);
        assert!(!inbox.deliver(1, "late".into(), true));
        let delivered = (0..2 * MAX_MESSAGES).filter(|_| inbox.deliver(2, "c".into(), false)).count();
        assert_eq!(delivered, MAX_MESSAGES - 1, "there is an end to what waits");
        assert!(inbox.deliver(2, "answer".into(), true), "and a place for the answer");
        inbox.close();
        for _ in 0..MAX_MESSAGES {
            assert!(other.next().await.is_some());
        }
        assert_eq!(other.next().await, None);
        assert!(inbox.place(3).is_none());
    }
}
