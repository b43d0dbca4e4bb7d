//! The way in for calls: a bounded channel to the task that owns the child's pipes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::pending::Limits;
use crate::jsonrpc::RpcError;
use crate::mcp::Era;

/// How a call ended.
#[derive(Debug)]
pub enum Outcome {
    /// The child's result, raw JSON, a slice of its frame.
    Result(Bytes),
    /// The child's error.
    Error(RpcError),
    /// The child answered with something that cannot be passed on.
    Unusable(Cow<'static, str>),
    /// The child's answer was longer than a line may be, and was thrown away.
    TooLong {
        /// How long it was, in bytes.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The deadline passed. The child was told to cancel if it had the call.
    TimedOut {
        /// Whether the call had been handed to the child.
        sent: bool,
    },
    /// The child is gone, or going.
    Gone {
        /// Whether the call had been handed to the child: then its outcome is unknown.
        sent: bool,
    },
}

/// Says what was wrong with an answer beyond the limit, and which setting the limit is.
pub fn too_long(length: usize, limit: usize) -> String {
    format!("it is {length} bytes long, and the server's mcpvisor.max_frame allows {limit}")
}

/// One JSON-RPC request to a child.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: &'static str,
    /// The members of `params` without braces, JSON on one line.
    pub members: Bytes,
    /// Further members of `params._meta` without braces, JSON on one line; mostly empty.
    pub meta: Bytes,
    /// Whether to ask for progress, which starts the idle limit anew.
    pub progress: bool,
    /// How long it may take.
    pub limits: Limits,
}

/// What goes through the channel.
pub(super) enum Submitted {
    /// A call, with whoever waits for its outcome.
    Call { call: Call, reply: oneshot::Sender<Outcome> },
    /// A notification without params.
    Notification(&'static str),
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
    /// What each request carries in `params._meta` because of the era.
    era_meta: Bytes,
}

/// The calls that come to a test that is the child.
#[cfg(test)]
pub(crate) struct CallsOfATest(mpsc::Receiver<Submitted>);

#[cfg(test)]
impl CallsOfATest {
    /// The next call that is there, with where its outcome goes.
    pub(crate) fn next(&mut self) -> Option<(Call, oneshot::Sender<Outcome>)> {
        loop {
            match self.0.try_recv().ok()? {
                Submitted::Call { call, reply } => return Some((call, reply)),
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
        Link(Arc::new(LinkInner { calls, abandoned, incarnation, era, era_meta }))
    }

    /// A link to a child that is not there, for tests of what is done with links.
    #[cfg(test)]
    pub(crate) fn to_nobody(incarnation: u64) -> Link {
        Link::new(mpsc::channel(1).0, Arc::default(), incarnation, Era::Legacy, Bytes::new())
    }

    /// A link to a test that is the child, with room for so many calls.
    #[cfg(test)]
    pub(crate) fn to_a_test(incarnation: u64, room: usize) -> (Link, CallsOfATest) {
        let (calls, received) = mpsc::channel(room);
        (Link::new(calls, Arc::default(), incarnation, Era::Legacy, Bytes::new()), CallsOfATest(received))
    }

    /// The same child, spoken to in another era.
    pub(super) fn in_era(&self, era: Era, era_meta: Bytes) -> Link {
        Link::new(self.0.calls.clone(), self.0.abandoned.clone(), self.0.incarnation, era, era_meta)
    }

    /// The number of the child behind this link.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// The era the child is spoken to in.
    pub fn era(&self) -> Era {
        self.0.era
    }

    /// Makes a call. Dropping the future cancels it: the child is told, a late reply is dropped.
    /// Waits for a place in the channel only if more callers are admitted than it has places.
    pub async fn call(&self, mut call: Call) -> Outcome {
        if !self.0.era_meta.is_empty() {
            call.meta = join(&self.0.era_meta, &call.meta);
        }
        let (reply, answer) = oneshot::channel();
        let hard = call.limits.hard;
        let submitted = Submitted::Call { call, reply };
        match self.0.calls.try_send(submitted) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Outcome::Gone { sent: false },
            Err(mpsc::error::TrySendError::Full(submitted)) => {
                match tokio::time::timeout_at(hard.into(), self.0.calls.send(submitted)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Outcome::Gone { sent: false },
                    Err(_) => return Outcome::TimedOut { sent: false },
                }
            }
        }
        let mut waiting = Waiting { answer, abandoned: Some(&self.0.abandoned) };
        let outcome = (&mut waiting.answer).await;
        waiting.abandoned = None;
        // The task drops a reply port unused only when it is itself torn down with the child.
        outcome.unwrap_or(Outcome::Gone { sent: true })
    }

    /// Sends a notification without params. A child that is gone does not get it.
    pub(super) async fn notify(&self, method: &'static str) {
        let _ = self.0.calls.send(Submitted::Notification(method)).await;
    }

    /// The limits of a call that has one deadline, whatever progress it makes.
    pub fn within(deadline: Instant, now: Instant) -> Limits {
        Limits { first: deadline, idle: deadline.saturating_duration_since(now), hard: deadline }
    }
}

/// Tells the calls task, when dropped early, that a caller has left.
struct Waiting<'a> {
    answer: oneshot::Receiver<Outcome>,
    abandoned: Option<&'a Notify>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(abandoned) = self.abandoned {
            self.answer.close();
            abandoned.notify_one();
        }
    }
}

fn join(first: &Bytes, second: &Bytes) -> Bytes {
    if second.is_empty() {
        return first.clone();
    }
    let mut both = Vec::with_capacity(first.len() + second.len() + 1);
    both.extend_from_slice(first);
    both.push(b',');
    both.extend_from_slice(second);
    both.into()
}
