//! Body of a request, in the form in which its connection has it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

/// Body of a request: as a connection has it, or as a test gives it. One type, so that nothing behind the edge is
/// compiled for each, and without the box that axum's own costs.
#[derive(Debug)]
pub enum RequestBody {
    /// Body that has arrived with its head; empty once it was taken.
    Whole(Bytes),
    /// Body of a known length that is on its way.
    Arriving(Arrival),
    /// Body of a connection that hyper serves.
    Received(Incoming),
    /// Body without a connection, as in tests and benches.
    Given(Body),
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> RequestBody {
        RequestBody::Received(body)
    }
}

impl From<Body> for RequestBody {
    fn from(body: Body) -> RequestBody {
        RequestBody::Given(body)
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.get_mut() {
            RequestBody::Whole(body) if body.is_empty() => Poll::Ready(None),
            RequestBody::Whole(body) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(body))))),
            RequestBody::Arriving(arrival) => arrival.poll(cx).map(|body| match body {
                Ok(body) if body.is_empty() => None,
                Ok(body) => Some(Ok(Frame::data(body))),
                Err(error) => Some(Err(axum::Error::new(error))),
            }),
            RequestBody::Received(body) => Pin::new(body).poll_frame(cx).map_err(axum::Error::new),
            RequestBody::Given(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Whole(body) => body.is_empty(),
            RequestBody::Arriving(arrival) => arrival.is_taken(),
            RequestBody::Received(body) => body.is_end_stream(),
            RequestBody::Given(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Whole(body) => SizeHint::with_exact(body.len() as u64),
            RequestBody::Arriving(arrival) => SizeHint::with_exact(arrival.left()),
            RequestBody::Received(body) => body.size_hint(),
            RequestBody::Given(body) => body.size_hint(),
        }
    }
}

/// Place where a connection puts a body once it has all of it, and where a handler waits for that.
#[derive(Debug, Clone)]
pub struct Arrival(Arc<Mutex<Place>>);

#[derive(Debug)]
enum Place {
    /// Length of the body in bytes, and the handler that waits for it, if one does.
    Awaited(usize, Option<Waker>),
    Whole(Bytes),
    /// The connection ended before the body did.
    Broken,
    Taken,
}

impl Arrival {
    /// Creates the place for a body of this length in bytes.
    pub(super) fn of(length: usize) -> Arrival {
        Arrival(Arc::new(Mutex::new(Place::Awaited(length, None))))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the body.
    pub(super) fn arrived(&self, body: Bytes) {
        self.settle(Place::Whole(body));
    }

    /// Says that the body will not come.
    pub(super) fn broke(&self) {
        self.settle(Place::Broken);
    }

    fn settle(&self, settled: Place) {
        let before = std::mem::replace(&mut *self.place(), settled);
        if let Place::Awaited(_, Some(waker)) = before {
            waker.wake();
        }
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<io::Result<Bytes>> {
        let mut place = self.place();
        match std::mem::replace(&mut *place, Place::Taken) {
            Place::Awaited(length, _) => {
                *place = Place::Awaited(length, Some(cx.waker().clone()));
                Poll::Pending
            }
            Place::Whole(body) => Poll::Ready(Ok(body)),
            Place::Broken => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Place::Taken => Poll::Ready(Ok(Bytes::new())),
        }
    }

    fn is_taken(&self) -> bool {
        matches!(*self.place(), Place::Taken)
    }

    fn left(&self) -> u64 {
        match &*self.place() {
            Place::Awaited(length, _) => *length as u64,
            Place::Whole(body) => body.len() as u64,
            Place::Broken | Place::Taken => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_body_is_taken_once_whether_it_was_there_or_came_later() {
        let arrival = Arrival::of(4);
        let mut later = RequestBody::Arriving(arrival.clone());
        assert_eq!(later.size_hint().exact(), Some(4));
        assert!(!later.is_end_stream());
        let waiting = tokio::spawn(async move {
            let body = later.frame().await.expect("a frame").expect("whole").into_data().expect("data");
            (body, later.is_end_stream(), later.frame().await.is_none())
        });
        tokio::task::yield_now().await;
        arrival.arrived(Bytes::from_static(b"body"));
        assert_eq!(waiting.await.expect("no panic"), (Bytes::from_static(b"body"), true, true));
        let mut there = RequestBody::Whole(Bytes::from_static(b"body"));
        assert_eq!((there.size_hint().exact(), there.is_end_stream()), (Some(4), false));
        assert!(there.frame().await.is_some_and(|frame| frame.is_ok()));
        assert!(there.is_end_stream() && there.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_an_error() {
        let arrival = Arrival::of(4);
        let mut body = RequestBody::Arriving(arrival.clone());
        let waiting = tokio::spawn(async move { body.frame().await });
        tokio::task::yield_now().await;
        arrival.broke();
        assert!(waiting.await.expect("no panic").expect("a frame").is_err());
    }
}
