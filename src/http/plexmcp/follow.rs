//! `GET /v1/mcps/{id}/logs?follow=true`: a server's log as Server-Sent Events (WHATWG HTML, section
//! 9.2).

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::bodies;
use super::errors::ended;
use crate::gateway::{LogEnd, LogFollower, LogLine, LogNews};
use crate::http::core::events;
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
    let (sender, news) = mpsc::channel(WAITING);
    let guard = Box::new(follower.guard());
    tokio::spawn(feed(follower, permit, sender));
    events::answer(LogEvents { news, guard, lines: Lines::default(), is_over: false })
}

async fn feed(mut follower: LogFollower, _permit: StreamPermit, events: mpsc::Sender<LogNews>) {
    let mut is_over = false;
    while !is_over {
        let news = tokio::select! {
            next = follower.next() => next,
            () = events.closed() => return,
        };
        is_over = matches!(news, LogNews::End(_));
        // A client that does not read keeps its place only as long as its key allows the stream.
        tokio::select! {
            sent = events.send(news) => if sent.is_err() { return },
            _ = follower.refused() => return,
        }
    }
}

fn last_event(end: &LogEnd) -> Event {
    let reason = match end {
        LogEnd::Removed => "removed",
        LogEnd::Stopping => "shutting_down",
        LogEnd::Refused(error) => ended(error.clone()),
    };
    Event::default().event("end").data(format!("{{\"reason\":\"{reason}\"}}"))
}

/// Lines that have yet to be sent. Each is formatted only when the connection takes it: until then a slow reader
/// holds no text of its own, only lines that all followers share.
#[derive(Default)]
struct Lines {
    /// Number of lines that were dropped before these.
    lost: u64,
    left: VecDeque<Arc<LogLine>>,
}

impl Lines {
    fn next(&mut self) -> Option<Event> {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            return Some(Event::default().event("gap").data(format!("{{\"lines\":{lost}}}")));
        }
        let line = self.left.pop_front()?;
        let id = line.number.to_string();
        Some(Event::default().id(id).event("line").data(bodies::log_line(&line)))
    }
}

/// Events that a task feeds. Before each it is checked that its reader may still have it.
struct LogEvents {
    news: mpsc::Receiver<LogNews>,
    guard: Box<dyn Fn() -> Option<LogEnd> + Send>,
    lines: Lines,
    is_over: bool,
}

impl Stream for LogEvents {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        if let Some(end) = (self.guard)() {
            self.is_over = true;
            return Poll::Ready(Some(Ok(last_event(&end))));
        }
        loop {
            if let Some(event) = self.lines.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(self.news.poll_recv(context)) {
                None => return Poll::Ready(None),
                Some(LogNews::Lines(lost, lines)) => self.lines = Lines { lost, left: lines.into() },
                Some(LogNews::End(end)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Ok(last_event(&end))));
                }
            }
        }
    }
}
