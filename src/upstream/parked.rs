//! Requests of a child that wait for its client's answer.

use std::collections::HashMap;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};

use crate::mcp::Answer;

/// Maximum number of requests that wait; the next ones are refused.
const MAX_PARKED: usize = 64;
/// Longest id of a request that may wait, in bytes.
const MAX_ID_BYTES: usize = 1024;

/// Pushed requests that are not answered yet, by the child's ids.
#[derive(Default)]
pub(super) struct Parked {
    waits: JoinSet<(u64, Bytes, Answer)>,
    /// Number of the wait for each id: an answer may be on its way when the child takes its request back and uses the
    /// id again.
    ids: HashMap<Bytes, (u64, AbortHandle)>,
    /// Number of the last wait.
    last: u64,
}

impl Parked {
    /// Reports whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Returns why a request with this id could not wait; `None` if it can.
    pub(super) fn refusal(&self, id: &[u8]) -> Option<&'static str> {
        if id.len() > MAX_ID_BYTES {
            return Some("the id of the request is longer than a kibibyte");
        }
        if self.ids.contains_key(id) {
            return Some("a request with this id waits for its answer already");
        }
        (self.ids.len() >= MAX_PARKED).then_some("too many requests wait for the client's answer")
    }

    /// Waits for the answer to the request with this id, for which [`Parked::refusal`] has no reason against it.
    pub(super) fn park(&mut self, id: Bytes, answer: oneshot::Receiver<Answer>) {
        self.last += 1;
        let (number, name) = (self.last, id.clone());
        let wait = self.waits.spawn(async move {
            let gone = Answer::Error(-32603, "the client has gone".into());
            (number, name, answer.await.unwrap_or(gone))
        });
        self.ids.insert(id, (number, wait));
    }

    /// Drops the request with this id, because the child has taken it back. Returns `false` if none of this id waits.
    pub(super) fn cancel(&mut self, id: &[u8]) -> bool {
        let wait = self.ids.remove(id);
        wait.inspect(|(_, wait)| wait.abort()).is_some()
    }

    /// Returns the next answer with the id it is for; `None` if that request was taken back. Cancel safe. Must not be
    /// awaited while none waits.
    pub(super) async fn next(&mut self) -> Option<(Bytes, Answer)> {
        let (number, id, answer) = self.waits.join_next().await?.ok()?;
        let is_wanted = self.ids.get(&id).is_some_and(|(wanted, _)| *wanted == number);
        is_wanted.then(|| {
            self.ids.remove(&id);
            (id, answer)
        })
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
        parked.park("1".into(), waits);
        parked.park("\"a\"".into(), waits_too);
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
        assert!(parked.cancel(b"1") && !parked.cancel(b"1"));
        assert_eq!(parked.next().await, None);
        answer.closed().await;
        assert_eq!(parked.refusal(b"1"), None, "its id is free again");
    }

    #[tokio::test]
    async fn a_late_answer_is_not_given_to_the_next_request_of_that_id() {
        let mut parked = Parked::default();
        let (late, waits) = oneshot::channel();
        parked.park("1".into(), waits);
        late.send(Answer::Result("\"of the first\"".into())).expect("waited for");
        // The wait ends before the child takes its request back.
        tokio::task::yield_now().await;
        parked.cancel(b"1");
        let (answer, waits) = oneshot::channel();
        parked.park("1".into(), waits);
        assert_eq!(parked.next().await, None);
        answer.send(result()).expect("waited for");
        assert_eq!(parked.next().await, Some(("1".into(), result())));
    }

    #[tokio::test]
    async fn there_is_an_end_to_the_number_of_requests_that_wait() {
        let mut parked = Parked::default();
        let mut answers = Vec::new();
        for id in 0..MAX_PARKED {
            assert_eq!(parked.refusal(id.to_string().as_bytes()), None);
            let (answer, waits) = oneshot::channel::<Answer>();
            answers.push(answer);
            parked.park(id.to_string().into(), waits);
        }
        let why = |parked: &Parked, id: &[u8]| parked.refusal(id).unwrap_or_default().to_owned();
        assert!(why(&parked, b"new").starts_with("too many"));
        assert!(parked.cancel(b"1"));
        assert_eq!(parked.refusal(b"new"), None);
        assert!(why(&parked, b"2").contains("already"));
        assert!(why(&parked, &[b'1'; MAX_ID_BYTES + 1]).contains("kibibyte"));
    }
}
