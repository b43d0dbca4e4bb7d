//! Requests of a child that wait for its client's answer.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::mcp::Answer;

/// Maximum number of requests that wait; the next ones are refused.
const MAX_PARKED: usize = 64;

/// Pushed requests that are not answered yet, by the child's ids.
#[derive(Default)]
pub(super) struct Parked {
    waits: JoinSet<(Bytes, Answer)>,
    ids: HashMap<Bytes, AbortHandle>,
}

impl Parked {
    /// Reports whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Waits for the answer to the request with this id. Returns `false` if too many wait, or one of the same id.
    pub(super) fn park(&mut self, id: Bytes, answer: oneshot::Receiver<Answer>) -> bool {
        if self.ids.len() >= MAX_PARKED || self.ids.contains_key(&id) {
            return false;
        }
        let name = id.clone();
        let wait = self.waits.spawn(async move {
            let gone = Answer::Error(-32603, "the client has gone".into());
            (name, answer.await.unwrap_or(gone))
        });
        self.ids.insert(id, wait);
        true
    }

    /// Drops the request with this id, because the child has taken it back.
    pub(super) fn cancel(&mut self, id: &[u8]) {
        if let Some(wait) = self.ids.remove(id) {
            wait.abort();
        }
    }

    /// Returns the next answer with the id it is for; `None` if that request was taken back. Cancel safe. Must not be
    /// awaited while none waits.
    pub(super) async fn next(&mut self) -> Option<(Bytes, Answer)> {
        let (id, answer) = self.waits.join_next().await?.ok()?;
        self.ids.remove(&id).map(|_| (id, answer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> Answer {
        Answer::Result("{}".into())
    }

    #[tokio::test]
    async fn each_request_gets_one_answer_also_when_its_client_goes() {
        let mut parked = Parked::default();
        let (answer, waits) = oneshot::channel();
        let (gone, waits_too) = oneshot::channel();
        assert!(parked.park("1".into(), waits) && parked.park("\"a\"".into(), waits_too));
        answer.send(result()).expect("waited for");
        assert_eq!(parked.next().await, Some(("1".into(), result())));
        drop(gone);
        let Some((id, Answer::Error(-32603, _))) = parked.next().await else { panic!("no error") };
        assert_eq!((&*id, parked.is_empty()), (&b"\"a\""[..], true));
    }

    #[tokio::test]
    async fn who_is_asked_notices_that_the_child_has_taken_its_request_back() {
        let mut parked = Parked::default();
        let (mut answer, waits) = oneshot::channel::<Answer>();
        parked.park("1".into(), waits);
        parked.cancel(b"1");
        assert_eq!(parked.next().await, None);
        answer.closed().await;
        assert!(parked.park("1".into(), oneshot::channel().1), "its id is free again");
    }

    #[tokio::test]
    async fn there_is_an_end_to_the_number_of_requests_that_wait() {
        let mut parked = Parked::default();
        let answers: Vec<_> = (0..=MAX_PARKED)
            .map(|id| {
                let (answer, waits) = oneshot::channel::<Answer>();
                (answer, parked.park(id.to_string().into(), waits))
            })
            .collect();
        let taken = answers.iter().filter(|(_, taken)| *taken).count();
        assert_eq!(taken, MAX_PARKED);
        let (_again, waits) = oneshot::channel();
        parked.cancel(b"1");
        assert!(!parked.park("2".into(), waits), "an id that waits already");
    }
}
