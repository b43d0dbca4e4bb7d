//! What `/v1` follows as Server-Sent Events (WHATWG HTML, section 9.2): a server's log, and the calls.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_core::Stream;
use tokio::sync::mpsc;

use super::errors::ended;
use crate::gateway::{Follow, FollowEnd, Followed};
use crate::http::core::events;
use crate::http::core::streams::StreamPermit;

/// How items are told.
#[derive(Debug)]
pub(super) struct Telling<T> {
    /// Number of batches that may wait for the connection; beyond that the ring waits, and may drop items.
    pub(super) waiting: usize,
    /// What the items are, in the event of those that were missed.
    pub(super) unit: &'static str,
    /// Makes the event of an item.
    pub(super) event: fn(&T) -> Event,
}

/// Returns the number of the last event that a client has seen, which it sends in `Last-Event-ID` when it comes back;
/// `None` if it sends no number.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}

/// Returns the answer with the stream. The stream ends when what is followed is removed, the daemon stops, the client
/// leaves or the client's key no longer allows it.
pub(super) fn answer<F: Follow>(follower: F, permit: StreamPermit, telling: Telling<F::Item>) -> Response {
    let (sender, news) = mpsc::channel(telling.waiting);
    let guard = Box::new(follower.guard());
    tokio::spawn(feed(follower, permit, sender));
    events::answer(Events { news, guard, telling, lost: 0, left: VecDeque::new(), is_over: false })
}

async fn feed<F: Follow>(mut follower: F, _permit: StreamPermit, events: mpsc::Sender<Followed<F::Item>>) {
    let mut is_over = false;
    while !is_over {
        let news = tokio::select! {
            next = follower.next() => next,
            () = events.closed() => return,
        };
        is_over = matches!(news, Followed::End(_));
        // A client that does not read keeps its place only as long as its key allows the stream.
        tokio::select! {
            sent = events.send(news) => if sent.is_err() { return },
            _ = follower.refused() => return,
        }
    }
}

fn last_event(end: &FollowEnd) -> Event {
    let reason = match end {
        FollowEnd::Removed => "removed",
        FollowEnd::Stopping => "shutting_down",
        FollowEnd::Refused(error) => ended(error.clone()),
    };
    Event::default().event("end").data(format!("{{\"reason\":\"{reason}\"}}"))
}

/// Events that a task feeds. Before each it is checked that its reader may still have it, and each is formatted only when
/// the connection takes it: until then a slow reader holds no text of its own.
struct Events<T> {
    news: mpsc::Receiver<Followed<T>>,
    guard: Box<dyn Fn() -> Option<FollowEnd> + Send>,
    telling: Telling<T>,
    /// Number of items that were missed before those that are left.
    lost: u64,
    left: VecDeque<T>,
    is_over: bool,
}

// An item is never pinned.
impl<T> Unpin for Events<T> {}

impl<T> Events<T> {
    fn next(&mut self) -> Option<Event> {
        if self.lost > 0 {
            let (lost, unit) = (std::mem::take(&mut self.lost), self.telling.unit);
            return Some(Event::default().event("gap").data(format!("{{\"{unit}\":{lost}}}")));
        }
        self.left.pop_front().map(|item| (self.telling.event)(&item))
    }
}

impl<T> Stream for Events<T> {
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
            if let Some(event) = self.next() {
                return Poll::Ready(Some(Ok(event)));
            }
            match ready!(self.news.poll_recv(context)) {
                None => return Poll::Ready(None),
                Some(Followed::Items(lost, items)) => (self.lost, self.left) = (lost, items.into()),
                Some(Followed::End(end)) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Ok(last_event(&end))));
                }
            }
        }
    }
}
