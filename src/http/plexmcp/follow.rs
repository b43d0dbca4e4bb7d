//! `GET /v1/mcps/{id}/logs?follow=true`: a server's log as Server-Sent Events (WHATWG HTML, section
//! 9.2). The number of open streams is limited, for each key and in total.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::bodies;
use super::errors::{ApiError, ended, too_many_streams};
use crate::http::core::events::{self, COMMENT, KEEP_ALIVE};
use crate::service::{LogEnd, LogFollower, LogLine, LogNews};

/// Number of events that may wait for the connection; beyond that the log waits, and its ring may drop lines.
const WAITING: usize = 4;

/// Number of streams (followed logs, exports of the audit) that may be open at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) struct StreamLimits {
    /// Limit for all keys together.
    pub(in crate::http) total: usize,
    /// Limit for each single key.
    pub(in crate::http) per_key: usize,
}

/// Counts of the open streams, by key.
#[derive(Debug)]
pub(in crate::http) struct Streams {
    limits: StreamLimits,
    open: Mutex<HashMap<Arc<str>, usize>>,
}

/// Place of an open stream; freed when dropped.
pub(super) struct StreamPermit {
    streams: Arc<Streams>,
    key: Arc<str>,
}

impl Streams {
    /// Creates the counts, with no stream open.
    pub(in crate::http) fn new(limits: StreamLimits) -> Streams {
        Streams { limits, open: Mutex::default() }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Arc<str>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a stream of this key. Fails if the key, or all keys together, have reached their limit.
    pub(super) fn open(self: &Arc<Streams>, key: Arc<str>) -> Result<StreamPermit, ApiError> {
        let mut open = self.counts();
        let StreamLimits { total, per_key } = self.limits;
        if open.get(&key).is_some_and(|own| *own >= per_key) {
            return Err(too_many_streams("This key has", per_key, "http.max_streams_per_key"));
        }
        if open.values().sum::<usize>() >= total {
            return Err(too_many_streams("All keys together have", total, "http.max_streams"));
        }
        *open.entry(key.clone()).or_default() += 1;
        Ok(StreamPermit { streams: self.clone(), key })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.counts();
        if let Some(own) = open.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.key);
            }
        }
    }
}

/// Returns the number of the last event that a client has seen, which it sends in `Last-Event-ID` when it comes back;
/// `None` if it sends no number.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// Returns the answer with the stream. The stream ends when the server is removed, the daemon stops, the client leaves
/// or the client's key no longer allows it.
pub(super) fn answer(follower: LogFollower, permit: StreamPermit) -> Response {
    let (sender, events) = mpsc::channel(WAITING);
    let guard = Box::new(follower.guard());
    tokio::spawn(feed(follower, permit, sender));
    events::answer(EventBody { events, guard, is_over: false })
}

/// Next piece of a stream. It is formatted only when the connection takes it: until then a slow reader holds no text
/// of its own, only lines that all followers share.
enum Event {
    News(LogNews),
    Comment,
}

impl Event {
    fn into_text(self) -> Bytes {
        match self {
            Event::News(LogNews::Lines(lost, lines)) => written(lost, &lines),
            Event::News(LogNews::End(end)) => last_event(&end),
            Event::Comment => Bytes::from_static(COMMENT),
        }
    }
}

async fn feed(mut follower: LogFollower, _permit: StreamPermit, events: mpsc::Sender<Event>) {
    let mut is_over = false;
    while !is_over {
        let event = tokio::select! {
            next = follower.next() => Event::News(next),
            () = tokio::time::sleep(KEEP_ALIVE) => Event::Comment,
            () = events.closed() => return,
        };
        is_over = matches!(event, Event::News(LogNews::End(_)));
        // A client that does not read keeps its place only as long as its key allows the stream.
        tokio::select! {
            sent = events.send(event) => if sent.is_err() { return },
            _ = follower.refused() => return,
        }
    }
}

fn last_event(end: &LogEnd) -> Bytes {
    let reason = match end {
        LogEnd::Removed => "removed",
        LogEnd::Stopping => "shutting_down",
        LogEnd::Refused(error) => ended(error.clone()),
    };
    format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n").into()
}

fn written(lost: u64, lines: &[Arc<LogLine>]) -> Bytes {
    let mut text = String::new();
    if lost > 0 {
        text.push_str(&format!("event: gap\ndata: {{\"lines\":{lost}}}\n\n"));
    }
    for line in lines {
        text.push_str(&format!("id: {}\nevent: line\ndata: {}\n\n", line.number, bodies::log_line(line)));
    }
    text.into()
}

/// Body that a task feeds. Before each event it checks that its reader may still have it.
struct EventBody {
    events: mpsc::Receiver<Event>,
    guard: Box<dyn Fn() -> Option<LogEnd> + Send>,
    is_over: bool,
}

impl hyper::body::Body for EventBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(end) = (self.guard)() {
            self.is_over = true;
            return Poll::Ready(Some(Ok(Frame::data(last_event(&end)))));
        }
        self.events.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event.into_text()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_for_each_key_and_altogether() {
        let streams = Arc::new(Streams::new(StreamLimits { total: 64, per_key: 8 }));
        let open = |key: &str| streams.open(key.into());
        let mut held: Vec<StreamPermit> = (0..9).filter_map(|_| open("a").ok()).collect();
        assert_eq!((held.len(), open("a").is_err()), (8, true));
        let others = (0..100).map(|n| format!("k{n}"));
        held.extend(others.filter_map(|key| open(&key).ok()));
        assert_eq!(held.len(), 64);
        drop(held);
        assert!(open("a").is_ok() && streams.counts().is_empty());
    }
}
