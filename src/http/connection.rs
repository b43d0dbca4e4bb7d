//! One client connection: its deadlines and its end. hyper's own header timeout also runs
//! while a kept-alive connection is idle, so the three deadlines are kept here: for a head
//! that has begun, for silence between requests, and for a client that stops reading.
//!
//! No timer is touched on the path of a request: deadlines are numbers, and the one timer
//! of a connection is moved only when it fires or when a deadline comes nearer.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use super::framing::Framing;

const NEVER: u64 = u64::MAX;

/// How long a connection may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// From the first byte of a head to its end, and from accepting to the first head's end.
    pub(super) head: Duration,
    /// Between an answer and the next request.
    pub(super) idle: Duration,
    /// For a client that takes nothing of an answer.
    pub(super) write: Duration,
}

/// What the bytes, the requests and the timer of one connection know of each other. All of
/// them run in one task; the atomics are there because the task may move between threads.
#[derive(Debug)]
pub(super) struct Watch {
    epoch: Instant,
    patience: Patience,
    /// Nanoseconds after `epoch` at which a request must have arrived; `NEVER` while one is served.
    request_due: AtomicU64,
    /// Nanoseconds after `epoch` at which the client must have read something.
    write_due: AtomicU64,
    /// The first request that must be refused, counted from 1.
    bad_head: AtomicU64,
    /// Requests handed over by hyper so far.
    requests: AtomicU64,
    busy: AtomicBool,
    mid_head: AtomicBool,
    /// The head that is awaited has its deadline, which no further byte moves away.
    head_timed: AtomicBool,
    /// It may be told to make room: no handshake is under way, and it was not told yet.
    may_leave: AtomicBool,
    /// Tells the connection to make room for another.
    leave: Notify,
}

impl Watch {
    /// Watches a connection that was accepted just now.
    pub(super) fn new(patience: Patience) -> Watch {
        Watch {
            epoch: Instant::now(),
            patience,
            request_due: AtomicU64::new(nanos(patience.head)),
            write_due: AtomicU64::new(NEVER),
            bad_head: AtomicU64::new(NEVER),
            requests: AtomicU64::new(0),
            busy: AtomicBool::new(false),
            mid_head: AtomicBool::new(false),
            head_timed: AtomicBool::new(true),
            may_leave: AtomicBool::new(false),
            leave: Notify::new(),
        }
    }

    /// How long a handshake may take: as long as the first head.
    pub(super) fn head(&self) -> Duration {
        self.patience.head
    }

    /// Since when nothing was asked on the connection; `None` while something is, or is about to be.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        if !self.may_leave.load(Relaxed) || !self.is_idle() {
            return None;
        }
        if self.requests.load(Relaxed) == 0 {
            return Some(self.epoch);
        }
        let due = Duration::from_nanos(self.request_due.load(Relaxed));
        Some(self.epoch + due.saturating_sub(self.patience.idle))
    }

    /// Has the connection end, unless it is asked something before it hears of it.
    pub(super) fn make_room(&self) {
        self.may_leave.store(false, Relaxed);
        self.leave.notify_one();
    }

    /// A request has arrived. False when its framing is ambiguous and it must be refused.
    pub(super) fn asked(&self) -> bool {
        let number = self.requests.load(Relaxed) + 1;
        self.requests.store(number, Relaxed);
        self.busy.store(true, Relaxed);
        self.request_due.store(NEVER, Relaxed);
        number < self.bad_head.load(Relaxed)
    }

    /// The request has its answer.
    pub(super) fn answered(&self) {
        self.busy.store(false, Relaxed);
        let mid_head = self.mid_head.load(Relaxed);
        let patience = if mid_head { self.patience.head } else { self.patience.idle };
        self.head_timed.store(mid_head, Relaxed);
        self.request_due.store(self.after(patience), Relaxed);
    }

    fn read(&self, framing: &Framing) {
        if let Some(head) = framing.bad_head() {
            self.bad_head.store(head, Relaxed);
        }
        let mid_head = framing.mid_head();
        self.mid_head.store(mid_head, Relaxed);
        if mid_head && !self.busy.load(Relaxed) && !self.head_timed.load(Relaxed) {
            self.head_timed.store(true, Relaxed);
            self.request_due.store(self.after(self.patience.head), Relaxed);
        }
    }

    fn wrote(&self, blocked: bool) {
        match (blocked, self.write_due.load(Relaxed)) {
            (true, NEVER) => self.write_due.store(self.after(self.patience.write), Relaxed),
            (false, due) if due != NEVER => self.write_due.store(NEVER, Relaxed),
            _ => {}
        }
    }

    fn after(&self, patience: Duration) -> u64 {
        nanos(self.epoch.elapsed() + patience)
    }

    fn due(&self) -> Option<Instant> {
        let due = self.request_due.load(Relaxed).min(self.write_due.load(Relaxed));
        (due != NEVER).then(|| self.epoch + Duration::from_nanos(due))
    }

    /// At rest, and no head has begun.
    fn is_idle(&self) -> bool {
        self.at_rest() && !self.mid_head.load(Relaxed)
    }

    /// Nothing is being served and nothing waits to be written.
    fn at_rest(&self) -> bool {
        !self.busy.load(Relaxed) && self.write_due.load(Relaxed) == NEVER
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER - 1)
}

/// The client's stream, watched.
pub(super) struct Tap<S> {
    stream: S,
    framing: Framing,
    watch: Arc<Watch>,
}

impl<S> Tap<S> {
    /// Puts a watch on a stream.
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Tap<S> {
        watch.may_leave.store(true, Relaxed);
        Tap { stream, framing: Framing::new(), watch }
    }

    fn note<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.watch.wrote(written.is_pending());
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let fresh = &buf.filled()[before..];
        if !fresh.is_empty() {
            this.framing.feed(fresh);
            this.watch.read(&this.framing);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // An encrypted stream takes bytes before it can send them: only this tells that they are sent.
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Runs a connection until the client leaves, a deadline passes, or, once `stop` is true, the
/// request being served has its answer. A connection that is at rest ends at once on `stop`.
pub(super) async fn drive<S, V>(
    mut connection: http1::Connection<TokioIo<Tap<S>>, V>,
    watch: &Watch,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Unpin,
    V::Future: Unpin,
{
    let ended = run(&mut connection, watch, stop).await;
    let mut tap = connection.into_parts().io.into_inner();
    if ended && !tap.framing.between_requests() {
        linger(tap.stream).await;
    } else {
        // With TLS, the end is a message of its own; a client that does not read does not get it.
        drop(tokio::time::timeout(LINGER, tap.stream.shutdown()).await);
    }
}

/// True when the connection ended by itself, its last answer written.
async fn run<S, V>(
    connection: &mut http1::Connection<TokioIo<Tap<S>>, V>,
    watch: &Watch,
    mut stop: watch::Receiver<bool>,
) -> bool
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Unpin,
    V::Future: Unpin,
{
    let mut stopped = pin!(async move {
        // A sender that is gone says as much as one that says stop.
        drop(stop.wait_for(|stop| *stop).await);
    });
    let mut stopping = false;
    let mut alarm = pin!(sleep_until(watch.epoch + watch.patience.head));
    let mut leave = pin!(watch.leave.notified());
    poll_fn(|cx| {
        if !stopping && stopped.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(ended.is_ok());
        }
        if stopping && watch.at_rest() {
            return Poll::Ready(false);
        }
        while leave.as_mut().poll(cx).is_ready() {
            if watch.is_idle() {
                return Poll::Ready(false);
            }
            watch.may_leave.store(true, Relaxed);
            leave.set(watch.leave.notified());
        }
        loop {
            let due = watch.due();
            if let Some(due) = due.filter(|due| *due < alarm.deadline()) {
                alarm.as_mut().reset(due);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            match due {
                Some(due) if due <= now => return Poll::Ready(false),
                Some(due) => alarm.as_mut().reset(due),
                None => alarm.as_mut().reset(now + watch.patience.idle),
            }
        }
    })
    .await
}

/// How long a client that was answered in the middle of its body may go on sending.
const LINGER: Duration = Duration::from_secs(2);

/// Ends our half and throws away what the client still sends. Closing at once would make the
/// kernel answer those bytes with a reset, which can overtake the answer (RFC 9112, section 9.6).
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S) {
    let discard = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    drop(tokio::time::timeout(LINGER, discard).await);
}
