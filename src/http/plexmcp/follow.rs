//! `GET /v1/mcps/{id}/logs?follow=true`: a server's log as Server-Sent Events (WHATWG HTML, section
//! 9.2).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::HeaderMap;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::bodies;
use super::errors::ended;
use crate::gateway::{LogEnd, LogFollower, LogLine, LogNews};
use crate::http::core::events::{self, COMMENT, KEEP_ALIVE};
use crate::http::core::streams::StreamPermit;

/// Number of events that may wait for the connection; beyond that the log waits, and its ring may drop lines.
const WAITING: usize = 4;

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
