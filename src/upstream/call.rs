//! The entry for calls: a bounded channel to the task that owns the child's pipes, or what carries calls to a remote server.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::exchange::Exchange;
use super::pending::Limits;
use crate::jsonrpc::RpcError;
use crate::mcp::Era;
use crate::mcp::translate::Envelope;

/// Result of a call.
#[derive(Debug)]
pub enum Outcome {
    /// The child's result, raw JSON, a slice of its frame.
    Result(Bytes),
    /// The child's error.
    Error(RpcError),
    /// The child's answer cannot be passed on; the text says why.
    Unusable(Cow<'static, str>),
    /// The child's answer was longer than a line may be, and was discarded.
    TooLong {
        /// Length of the answer, in bytes.
        length: usize,
        /// Longest line allowed, in bytes: the server's `mcpvisor.max_frame`.
        limit: usize,
    },
    /// The deadline passed. The child was told to cancel if it had the call.
    TimedOut {
        /// `true` if the call had been handed to the child.
        sent: bool,
        /// `true` if the child had asked the call's client something: that it was not answered may be the client's doing.
        asked: bool,
    },
    /// A remote server refused the call or failed it, and goes on.
    Refused(Box<Refusal>),
    /// The child is gone, or about to end.
    Gone {
        /// The call as it was made, if the child never had it; `None` if it had, and the outcome is unknown.
        unsent: Option<Box<Call>>,
    },
}

impl Outcome {
    /// Returns the kind of a failure as one word, with the code of a JSON-RPC error; `None` for a result.
    pub fn failure(&self) -> Option<(&'static str, Option<i64>)> {
        match self {
            Outcome::Result(_) => None,
            Outcome::Error(error) => Some(("rpc_error", Some(error.code))),
            Outcome::Unusable(_) | Outcome::TooLong { .. } => Some(("bad_reply", None)),
            Outcome::TimedOut { .. } => Some(("timed_out", None)),
            Outcome::Refused(_) => Some(("refused", None)),
            Outcome::Gone { .. } => Some(("gone", None)),
        }
    }
}

/// Refusal or failure of one call by a remote server, which is not gone by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What happened, as the continuation of "it …".
    pub sentence: String,
    /// `true` if the server has provably not begun the call.
    pub unseen: bool,
    /// `true` if the request was larger than the server takes.
    pub too_large: bool,
    /// Time after which it is worth asking again; `None` if that is not known.
    pub pause: Option<Duration>,
}

/// Describes an answer beyond the limit and names the setting to raise.
pub fn too_long(length: usize, limit: usize) -> String {
    format!("it is {length} bytes long, and the server's mcpvisor.max_frame allows {limit}")
}

/// One JSON-RPC request to a child.
#[derive(Debug)]
pub struct Call {
    /// Name of the MCP method.
    pub method: Cow<'static, str>,
    /// The members of `params` without braces, JSON on one line.
    pub members: Bytes,
    /// Further members of `params._meta` without braces, JSON on one line; mostly empty.
    pub meta: Bytes,
    /// `true` to ask for progress notifications, which restart the idle limit.
    pub progress: bool,
    /// Members of `params._meta` that say for whom the request is made, in either era; `None` for the gateway's own.
    pub envelope: Option<Arc<Envelope>>,
    /// Caller's part in the exchange; `None` if it waits for the answer only.
    pub exchange: Option<Arc<Exchange>>,
}

impl Call {
    /// Returns a request without `_meta` of its own, of a caller that waits for the answer only and wants no progress.
    pub fn new(method: &'static str, members: Bytes) -> Call {
        Call {
            method: method.into(),
            members,
            meta: Bytes::new(),
            progress: false,
            envelope: None,
            exchange: None,
        }
    }
}

/// A call that is not written yet.
pub(super) struct Unsent {
    pub(super) call: Call,
    pub(super) limits: Limits,
    /// Members that `params._meta` has because of the link's era, before those of the call; empty in the legacy era.
    pub(super) era_meta: Bytes,
}

impl Unsent {
    /// Returns the outcome of a call that is given back to its caller.
    pub(super) fn given_back(self) -> Outcome {
        Outcome::Gone { unsent: Some(Box::new(self.call)) }
    }
}

/// A message to the calls task.
pub(super) enum Submitted {
    /// A call, with the channel for its outcome.
    Call { unsent: Unsent, reply: oneshot::Sender<Outcome> },
    /// A notification without params.
    Notification(&'static str),
}

impl Submitted {
    /// Returns the outcome of a message that could not be handed to the task.
    fn given_back(self) -> Outcome {
        match self {
            Submitted::Call { unsent, .. } => unsent.given_back(),
            Submitted::Notification(_) => Outcome::Gone { unsent: None },
        }
    }
}

/// Carries the calls to a remote server, which have connections of their own: no one task need stand between them.
pub(super) trait Carrier: Send + Sync {
    /// Takes a call; letting go of what is returned cancels it.
    ///
    /// # Errors
    /// With the call, if none are taken any more.
    fn carry(&self, unsent: Unsent) -> Result<oneshot::Receiver<Outcome>, Box<Unsent>>;
}

/// The handle that calls go through. Cheap to clone; valid for one child.
#[derive(Clone)]
pub struct Link(Arc<LinkInner>);

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("incarnation", &self.0.incarnation).field("era", &self.0.era).finish()
    }
}

struct LinkInner {
    calls: mpsc::Sender<Submitted>,
    abandoned: Arc<Notify>,
    incarnation: u64,
    era: Era,
    /// Members every request carries in `params._meta` because of the era; empty in the legacy era.
    era_meta: Bytes,
    /// What carries its calls, if it leads to a remote server.
    carrier: Option<Arc<dyn Carrier>>,
}

/// Receiving end of a link in a test that plays the child.
#[cfg(test)]
pub(crate) struct CallsOfATest(mpsc::Receiver<Submitted>);

#[cfg(test)]
impl CallsOfATest {
    /// Returns the next call that has arrived, with the channel for its outcome; `None` if there is none.
    pub(crate) fn next(&mut self) -> Option<(Call, oneshot::Sender<Outcome>)> {
        loop {
            match self.0.try_recv().ok()? {
                Submitted::Call { unsent, reply } => return Some((unsent.call, reply)),
                Submitted::Notification(_) => {}
            }
        }
    }
}

impl Link {
    pub(super) fn new(
        calls: mpsc::Sender<Submitted>,
        abandoned: Arc<Notify>,
        incarnation: u64,
        era: Era,
        era_meta: Bytes,
    ) -> Link {
        Link(Arc::new(LinkInner { calls, abandoned, incarnation, era, era_meta, carrier: None }))
    }

    /// Returns a link to a remote server whose era is not known yet.
    pub(super) fn to_remote(
        calls: mpsc::Sender<Submitted>,
        carrier: Arc<dyn Carrier>,
        incarnation: u64,
    ) -> Link {
        let (abandoned, era, era_meta) = (Arc::default(), Era::Legacy, Bytes::new());
        let carrier = Some(carrier);
        Link(Arc::new(LinkInner { calls, abandoned, incarnation, era, era_meta, carrier }))
    }

    /// Reports whether it leads to a remote server.
    pub fn is_remote(&self) -> bool {
        self.0.carrier.is_some()
    }

    /// Reports whether arguments are repeated in headers on the way.
    pub(super) fn repeats_arguments(&self) -> bool {
        self.0.carrier.is_some() && self.0.era == Era::Modern
    }

    /// Returns a link to a child that does not exist, for tests of code that handles links.
    #[cfg(test)]
    pub(crate) fn to_nobody(incarnation: u64) -> Link {
        Link::new(mpsc::channel(1).0, Arc::default(), incarnation, Era::Legacy, Bytes::new())
    }

    /// Returns a link to a test that plays the child, with room for `room` calls.
    #[cfg(test)]
    pub(crate) fn to_a_test(incarnation: u64, room: usize) -> (Link, CallsOfATest) {
        let (calls, received) = mpsc::channel(room);
        (Link::new(calls, Arc::default(), incarnation, Era::Legacy, Bytes::new()), CallsOfATest(received))
    }

    /// Returns a link to the same child that speaks another era.
    pub(super) fn in_era(&self, era: Era, era_meta: Bytes) -> Link {
        let LinkInner { calls, abandoned, incarnation, carrier, .. } = &*self.0;
        let (calls, abandoned, carrier) = (calls.clone(), abandoned.clone(), carrier.clone());
        Link(Arc::new(LinkInner { calls, abandoned, incarnation: *incarnation, era, era_meta, carrier }))
    }

    /// Returns the number of the run behind this link.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// Returns the era this link speaks to the child in.
    pub fn era(&self) -> Era {
        self.0.era
    }

    /// Makes a call with these deadlines, at once. Dropping the future cancels it: the child is notified, and a late reply is dropped. Waits
    /// for a place in the channel only if more callers are admitted than it has places.
    pub fn call(&self, call: Call, limits: Limits) -> Calling<'_> {
        let of_the_call = call.envelope.as_ref().map(|envelope| envelope.of(self.0.era));
        let era_meta = of_the_call.unwrap_or_else(|| self.0.era_meta.clone());
        let unsent = Unsent { call, limits, era_meta };
        if let Some(carrier) = &self.0.carrier {
            return Calling(match carrier.carry(unsent) {
                Ok(answer) => Step::Waiting(Waiting { answer, abandoned: None }),
                Err(unsent) => Step::Over(Some(Box::new(unsent.given_back()))),
            });
        }
        let (reply, answer) = oneshot::channel();
        let submitted = Submitted::Call { unsent, reply };
        Calling(match self.0.calls.try_send(submitted) {
            Ok(()) => Step::Waiting(Waiting { answer, abandoned: Some(&self.0.abandoned) }),
            Err(mpsc::error::TrySendError::Closed(submitted)) => {
                Step::Over(Some(Box::new(submitted.given_back())))
            }
            Err(mpsc::error::TrySendError::Full(submitted)) => {
                Step::Sending(Box::pin(self.send(submitted, limits.hard, answer)))
            }
        })
    }

    /// Waits for a place in the channel, until `hard`, and then for the outcome.
    async fn send(&self, submitted: Submitted, hard: Instant, answer: oneshot::Receiver<Outcome>) -> Outcome {
        match tokio::time::timeout_at(hard.into(), self.0.calls.send(submitted)).await {
            Ok(Ok(())) => Waiting { answer, abandoned: Some(&self.0.abandoned) }.await,
            Ok(Err(mpsc::error::SendError(submitted))) => submitted.given_back(),
            Err(_) => Outcome::TimedOut { sent: false, asked: false },
        }
    }

    /// Sends a notification without params. A child that is gone does not get it.
    pub(super) async fn notify(&self, method: &'static str) {
        let _ = self.0.calls.send(Submitted::Notification(method)).await;
    }

    /// Returns the limits of a call with a single deadline that progress does not extend.
    pub fn within(deadline: Instant, now: Instant) -> Limits {
        Limits { first: deadline, idle: deadline.saturating_duration_since(now), hard: deadline }
    }
}

/// A call that has been made. See [`Link::call`].
pub struct Calling<'a>(Step<'a>);

/// Written by hand, and what is rare in it boxed, because it is a part of each call's future.
enum Step<'a> {
    /// The call is in the channel.
    Waiting(Waiting<'a>),
    /// The call was not taken; `None` once that was told.
    Over(Option<Box<Outcome>>),
    /// The channel is full.
    Sending(Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>),
}

impl Future for Calling<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.get_mut().0 {
            Step::Waiting(waiting) => Pin::new(waiting).poll(cx),
            Step::Over(outcome) => {
                Poll::Ready(outcome.take().map_or(Outcome::Gone { unsent: None }, |outcome| *outcome))
            }
            Step::Sending(sending) => sending.as_mut().poll(cx),
        }
    }
}

/// Waits for the outcome of a call, and notifies the calls task, when dropped early, that the caller has left.
struct Waiting<'a> {
    answer: oneshot::Receiver<Outcome>,
    abandoned: Option<&'a Notify>,
}

impl Future for Waiting<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        let this = self.get_mut();
        let outcome = ready!(Pin::new(&mut this.answer).poll(cx));
        this.abandoned = None;
        // The task drops a reply port unused only when it is itself torn down with the child.
        Poll::Ready(outcome.unwrap_or(Outcome::Gone { unsent: None }))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned {
            self.answer.close();
            abandoned.notify_one();
        }
    }
}
