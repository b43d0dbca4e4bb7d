//! A future polled so many times and then dropped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use mcpvisor::http::ResponseFuture;
use tokio::sync::Notify;

use crate::inside::DEADLINE;

/// When, after its last poll, whoever asked leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment {
    AtOnce,
    /// After so many turns of the other tasks.
    Turns(usize),
    /// When the answer would have gone on.
    Woken,
}

pub(crate) enum Ended {
    Answered(Response),
    Dropped,
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// Polls a request as often as it wants to be, but no more than `polls` times; then it is dropped.
/// `gone` is told, as a connection tells the body that is read from it.
pub(crate) async fn polled(
    mut future: ResponseFuture,
    polls: usize,
    moment: Moment,
    gone: &AtomicBool,
) -> Ended {
    let woken = Arc::new(Woken(Notify::new()));
    let waker = Waker::from(woken.clone());
    for poll in 1..=polls {
        let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(Ok(response)) = polled {
            return Ended::Answered(response);
        }
        if poll < polls || matches!(moment, Moment::Woken) {
            tokio::time::timeout(DEADLINE, woken.0.notified()).await.expect("whoever waits is woken");
        }
    }
    if let Moment::Turns(turns) = moment {
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
    gone.store(true, Ordering::Relaxed);
    drop(future);
    Ended::Dropped
}

/// A body that comes in two pieces, each of which has to be waited for, until its connection is gone.
pub(crate) struct Pieces {
    left: Vec<Bytes>,
    is_due: bool,
    gone: Arc<AtomicBool>,
}

impl Pieces {
    pub(crate) fn of(text: &str, gone: Arc<AtomicBool>) -> Pieces {
        let (first, second) = text.as_bytes().split_at(text.len() / 2);
        let pieces = [second, first].into_iter().filter(|piece| !piece.is_empty());
        Pieces { left: pieces.map(Bytes::copy_from_slice).collect(), is_due: false, gone }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if self.gone.load(Ordering::Relaxed) {
            return Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into())));
        }
        self.is_due = !self.is_due;
        if self.is_due {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.left.pop().map(|piece| Ok(Frame::data(piece))))
    }
}
