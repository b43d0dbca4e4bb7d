//! One client connection: its deadlines and its end. hyper's own header timeout also runs
//! while a kept-alive connection is idle, so this module keeps the three deadlines itself: for a
//! head that has begun, for silence between requests, and for a client that stops reading.
//!
//! No request touches a timer: deadlines are numbers, and the one timer of a connection is moved
//! only when it fires or when a deadline comes nearer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::HttpService;
use super::call::Call;
use super::driven::{Driven, Ended, ask};
use super::framing::Framing;
use super::plain::Plain;
use super::state::ConnectionState;

/// The client's stream, whose reads and writes are noted in a [`ConnectionState`].
pub(in crate::http) struct ObservedIo<S> {
    stream: S,
    framing: Framing,
    watch: Arc<ConnectionState>,
}

impl<S> ObservedIo<S> {
    /// Wraps a stream so that `watch` learns of its reads and writes.
    pub(in crate::http) fn new(stream: S, watch: Arc<ConnectionState>) -> ObservedIo<S> {
        ObservedIo { stream, framing: Framing::new(), watch }
    }

    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.watch.wrote(written.is_pending());
        written
    }

    fn note_bytes(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.watch.took();
        }
        self.note(written)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ObservedIo<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let (before, had_room) = (buf.filled().len(), buf.remaining() > 0);
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let fresh = &buf.filled()[before..];
        if !fresh.is_empty() {
            this.framing.feed(fresh);
            this.watch.read(&this.framing);
        } else if had_room && matches!(read, Poll::Ready(Ok(()))) && this.watch.ended() {
            // hyper would take the end for a departure and drop the request. `run` ends the connection once the
            // answer is out.
            if this.watch.takes_ask() {
                ask(&mut this.stream, cx)?;
            }
            return Poll::Pending;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_bytes(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note_bytes(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An encrypted stream takes bytes before it can send them: only the flush shows that they are sent.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S, V> Driven for http1::Connection<TokioIo<ObservedIo<S>>, V>
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Unpin,
    V::Future: Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        self.poll_without_shutdown(cx).map(|ended| if ended.is_ok() { Ended::Itself } else { Ended::Over })
    }

    fn stop(&mut self) {
        Pin::new(self).graceful_shutdown();
    }
}

/// Runs a connection that hyper serves, until it has ended (`run`).
pub(in crate::http) async fn drive<S, V>(
    mut connection: http1::Connection<TokioIo<ObservedIo<S>>, V>,
    watch: &ConnectionState,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Unpin,
    V::Future: Unpin,
{
    let ended = run(&mut connection, watch, stop).await;
    let tap = connection.into_parts().io.into_inner();
    let is_mid_request = !tap.framing.between_requests();
    close(tap.stream, watch, ended, is_mid_request).await;
}

/// Runs a connection of plain requests until it has ended. Returns its stream, with what was read of it and what it was
/// served with, if hyper is to go on. The connection is in a box because a future keeps a place for what it is given and
/// another for what it works on.
pub(super) async fn drive_plain<S, H>(
    mut connection: Box<Plain<S, H>>,
    stop: watch::Receiver<bool>,
) -> Option<(S, BytesMut, Call<H>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    H: HttpService,
{
    let watch = connection.state();
    let ended = run(&mut *connection, &watch, stop).await;
    let is_mid_request = connection.is_mid_request();
    let (stream, read, call) = connection.into_parts();
    if ended == Ended::HandsOver {
        watch.handed_over();
        return Some((stream, read, call));
    }
    close(stream, &watch, ended, is_mid_request).await;
    None
}

/// Closes a connection that has ended. A client that was answered in the middle of its request may go on sending.
async fn close<S>(mut stream: S, watch: &ConnectionState, ended: Ended, is_mid_request: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match ended {
        Ended::Itself if is_mid_request => {
            tokio::select! {
                () = linger(stream) => {}
                () = watch.told_to_leave() => {}
            }
        }
        // With TLS, the end is a message of its own; a client that does not read does not get it.
        Ended::Itself | Ended::Over | Ended::HandsOver => {
            drop(tokio::time::timeout(LINGER, stream.shutdown()).await);
        }
        Ended::MadeRoom => drop(tokio::time::timeout(FAREWELL, stream.shutdown()).await),
    }
}

/// Runs a connection until the client leaves, a deadline passes, another connection needs its place or, once
/// `stop` is true, the request being served has its answer. A connection that is at rest ends at once on `stop`.
async fn run(
    connection: &mut impl Driven,
    watch: &ConnectionState,
    mut stop: watch::Receiver<bool>,
) -> Ended {
    let peek = stop.clone();
    let mut stopped = pin!(async move {
        // A dropped sender counts as a stop.
        drop(stop.wait_for(|stop| *stop).await);
    });
    let mut stopping = false;
    let mut alarm = pin!(sleep_until(watch.epoch + watch.patience.head));
    let mut leave = pin!(watch.leave.notified());
    // Whoever is woken by all three; they are polled for no request unless they have something to say.
    let mut woken: Option<Waker> = None;
    poll_fn(|cx| {
        let is_woken = woken.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_woken {
            woken = Some(cx.waker().clone());
        }
        let is_told = !is_woken || peek.has_changed().unwrap_or(true);
        if !stopping && is_told && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.stop();
        }
        if let Poll::Ready(ended) = connection.poll(cx) {
            return Poll::Ready(ended);
        }
        if stopping && watch.at_rest() {
            return Poll::Ready(Ended::Over);
        }
        if watch.is_done() {
            return Poll::Ready(Ended::Itself);
        }
        if !is_woken || watch.is_leaving() {
            while leave.as_mut().poll(cx).is_ready() {
                if watch.must_leave() {
                    return Poll::Ready(Ended::MadeRoom);
                }
                leave.set(watch.leave.notified());
            }
        }
        let mut is_asked = !is_woken || alarm.is_elapsed();
        loop {
            let due = watch.due();
            if let Some(due) = due.filter(|due| *due < alarm.deadline()) {
                alarm.as_mut().reset(due);
                is_asked = true;
            }
            if !is_asked || alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                Some(due) if due <= now && (watch.wakes(now) || watch.may_ask_client(now)) => {
                    // The answer and the client are looked at whenever the connection is polled.
                    if let Poll::Ready(ended) = connection.poll(cx) {
                        return Poll::Ready(ended);
                    }
                }
                Some(due) if due <= now => return Poll::Ready(Ended::Over),
                Some(due) => alarm.as_mut().reset(due),
                None => alarm.as_mut().reset(now + watch.patience.idle),
            }
        }
    })
    .await
}

/// Time for which a client that was answered in the middle of its body may go on sending.
const LINGER: Duration = Duration::from_secs(2);
/// Time that the shutdown of a connection may take whose place is needed.
const FAREWELL: Duration = Duration::from_millis(50);

/// Closes the daemon's sending half and discards what the client still sends, for at most [`LINGER`]. Closing at
/// once would make the kernel answer those bytes with a reset, which can overtake the answer (RFC 9112, section 9.6).
pub(in crate::http) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    drop(tokio::time::timeout(LINGER, discard).await);
}
