//! `GET /v1/mcps/{id}/logs?follow=true`: a server's log as Server-Sent Events (WHATWG HTML, section
//! 9.2). How many there may be is bounded, for each key and altogether.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::bodies;
use super::errors::ended;
use crate::http::events::{self, COMMENT, KEEP_ALIVE};
use crate::service::{LogEnd, LogFollower, LogLine, LogNews};

/// How many streams (followed logs, exports of the audit) a key may have open, and how many there may be
/// altogether.
const PER_KEY: usize = 8;
const ALTOGETHER: usize = 64;
/// How many events may wait for the connection; then the log waits, and its ring forgets.
const WAITING: usize = 4;

/// The open streams, by key.
#[derive(Debug, Default)]
pub(in crate::http) struct Streams(Mutex<HashMap<Arc<str>, usize>>);

/// An open stream's place; free again when dropped.
pub(super) struct StreamPermit {
    streams: Arc<Streams>,
    key: Arc<str>,
}

impl Streams {
    /// A place for a stream of this key, unless it or all together have as many as they may.
    pub(super) fn open(self: &Arc<Streams>, key: Arc<str>) -> Option<StreamPermit> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.values().sum::<usize>() >= ALTOGETHER || open.get(&key).is_some_and(|own| *own >= PER_KEY) {
            return None;
        }
        *open.entry(key.clone()).or_default() += 1;
        Some(StreamPermit { streams: self.clone(), key })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.key);
            }
        }
    }
}

/// The number of the last event that a client has seen, as it says when it comes back.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// The stream as an answer. It ends when the server is removed, the daemon stops, the client goes or the
/// client's key does not allow it any more.
pub(super) fn answer(follower: LogFollower, permit: StreamPermit) -> Response {
    let (sender, frames) = mpsc::channel(WAITING);
    let guard = Box::new(follower.guard());
    tokio::spawn(feed(follower, permit, sender));
    events::answer(EventBody { frames, guard, is_over: false })
}

async fn feed(mut follower: LogFollower, _permit: StreamPermit, events: mpsc::Sender<Bytes>) {
    let mut last = None;
    while last.is_none() {
        let event = tokio::select! {
            next = follower.next() => match next {
                LogNews::Lines(lost, lines) => written(lost, &lines),
                LogNews::End(end) => last.insert(last_event(&end)).clone(),
            },
            () = tokio::time::sleep(KEEP_ALIVE) => Bytes::from_static(COMMENT),
            () = events.closed() => return,
        };
        // A client that does not read keeps its place no longer than its key.
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

fn written(lost: u64, lines: &[LogLine]) -> Bytes {
    let mut text = String::new();
    if lost > 0 {
        text.push_str(&format!("event: gap\ndata: {{\"lines\":{lost}}}\n\n"));
    }
    for line in lines {
        text.push_str(&format!("id: {}\nevent: line\ndata: {}\n\n", line.number, bodies::log_line(line)));
    }
    text.into()
}

/// A body that is fed from elsewhere, and hands over nothing that its reader may not have any more.
struct EventBody {
    frames: mpsc::Receiver<Bytes>,
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
        self.frames.poll_recv(context).map(|event| event.map(|event| Ok(Frame::data(event))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_for_each_key_and_altogether() {
        let streams = Arc::new(Streams::default());
        let open = |key: &str| streams.open(key.into());
        let mut held: Vec<StreamPermit> = (0..PER_KEY).filter_map(|_| open("a")).collect();
        assert_eq!((held.len(), open("a").is_none()), (PER_KEY, true));
        let others = (0..100).map(|n| format!("k{n}"));
        held.extend(others.filter_map(|key| open(&key)));
        assert_eq!(held.len(), ALTOGETHER);
        drop(held);
        assert!(open("a").is_some() && streams.0.lock().unwrap().is_empty());
    }
}
