//! Answers that end with the sign-in that asked for them: what is followed or exported by the dashboard.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::sign_in::SignedIn;

/// Last event of a stream of events that its reader has signed out of.
const LAST: &str = "event: end\ndata: {\"reason\":\"signed_out\"}\n\n";

/// Error of a body that was to be read whole.
#[derive(Debug, thiserror::Error)]
#[error("the sign-in has ended")]
struct SignedOut;

/// Returns the answer as it may be read: one that is whole already as it is, one that goes on only until the sign-in ends.
pub(in crate::http) fn while_signed_in(response: Response, signed_in: &SignedIn) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    let is_events = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == "text/event-stream");
    let signed_in = signed_in.clone();
    let ended = Box::pin(async move { signed_in.ended().await });
    response.map(|body| Body::new(Bounded { body: Some(body), ended, is_events }))
}

/// A body that ends early once something has ended.
struct Bounded<F> {
    /// What is left of it; `None` once it has ended.
    body: Option<Body>,
    ended: Pin<Box<F>>,
    is_events: bool,
}

impl<F: Future<Output = ()>> HttpBody for Bounded<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if this.ended.as_mut().poll(context).is_pending() {
            return Pin::new(body).poll_frame(context);
        }
        this.body = None;
        Poll::Ready(Some(match this.is_events {
            true => Ok(Frame::data(Bytes::from_static(LAST.as_bytes()))),
            // An end without its mark would pass for the whole of it.
            false => Err(axum::Error::new(SignedOut)),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use axum::response::sse::{Event, Sse};
    use std::convert::Infallible;
    use std::future::{poll_fn, ready};
    use tokio::sync::mpsc;

    /// Takes one frame of a body that ends when `ended` is.
    async fn frame<F: Future<Output = ()>>(
        body: &mut Pin<Box<Bounded<F>>>,
    ) -> Option<Result<Bytes, axum::Error>> {
        let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
        frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    #[tokio::test]
    async fn what_is_read_whole_fails_and_a_stream_of_events_says_why_it_ends() {
        let (_sender, waiting) = mpsc::channel::<Event>(1);
        let events = Sse::new(Open(waiting)).into_response().into_body();
        let mut stream =
            Box::pin(Bounded { body: Some(events), ended: Box::pin(ready(())), is_events: true });
        assert_eq!(frame(&mut stream).await.expect("a frame").expect("an event"), LAST);
        assert!(frame(&mut stream).await.is_none() && stream.is_end_stream());
        let mut whole =
            Box::pin(Bounded { body: Some(Body::from("cut")), ended: Box::pin(ready(())), is_events: false });
        assert!(frame(&mut whole).await.expect("a frame").is_err());
        let mut open = Box::pin(Bounded {
            body: Some(Body::from("x")),
            ended: Box::pin(std::future::pending()),
            is_events: false,
        });
        assert_eq!(frame(&mut open).await.expect("a frame").expect("its own"), "x");
        assert!(frame(&mut open).await.is_none());
    }

    struct Open<T>(mpsc::Receiver<T>);

    impl<T> futures_core::Stream for Open<T> {
        type Item = Result<T, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.0.poll_recv(context).map(|item| item.map(Ok))
        }
    }
}
