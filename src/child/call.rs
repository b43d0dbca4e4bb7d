//! The entry for calls: a bounded channel to the task that owns the child's pipes.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use super::pending::Limits;
use crate::jsonrpc::RpcError;
use crate::mcp::Era;

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
    },
    /// The child is gone, or about to end.
    Gone {
        /// `true` if the call had been handed to the child: then its outcome is unknown.
        sent: bool,
    },
}

/// Describes an answer beyond the limit and names the setting to raise.
pub fn too_long(length: usize, limit: usize) -> String {
    format!("it is {length} bytes long, and the server's mcpvisor.max_frame allows {limit}")
}

/// One JSON-RPC request to a child.
#[derive(Debug, Clone)]
pub struct Call {
    /// Name of the MCP method.
    pub method: &'static str,
    /// The members of `params` without braces, JSON on one line.
    pub members: Bytes,
    /// Further members of `params._meta` without braces, JSON on one line; mostly empty.
    pub meta: Bytes,
    /// `true` to ask for progress notifications, which restart the idle limit.
    pub progress: bool,
    /// Deadlines of the call.
    pub limits: Limits,
}

/// A message to the calls task.
pub(super) enum Submitted {
    /// A call, with the channel for its outcome.
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
    /// Members every request carries in `params._meta` because of the era; empty in the legacy era.
    era_meta: Bytes,
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
        Link::new(self.0.calls.clone(), self.0.abandoned.clone(), self.0.incarnation, era, era_meta)
    }

    /// Returns the number of the run behind this link.
    pub fn incarnation(&self) -> u64 {
        self.0.incarnation
    }

    /// Returns the era this link speaks to the child in.
    pub fn era(&self) -> Era {
        self.0.era
    }

    /// Makes a call. Dropping the future cancels it: the child is notified, and a late reply is dropped. Waits for a
    /// place in the channel only if more callers are admitted than it has places.
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
                // Boxed, because it is rare and its state is large.
                let sending = Box::pin(tokio::time::timeout_at(hard.into(), self.0.calls.send(submitted)));
                match sending.await {
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

    /// Returns the limits of a call with a single deadline that progress does not extend.
    pub fn within(deadline: Instant, now: Instant) -> Limits {
        Limits { first: deadline, idle: deadline.saturating_duration_since(now), hard: deadline }
    }
}

/// Notifies the calls task, when dropped early, that a caller has left.
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
