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
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::http::server::framing::{Framing, Misframed};

const NEVER: u64 = u64::MAX;

/// Time to wait without a sign of life for a client that has closed its sending half and is owed an answer. A
/// client that has left and one that only has nothing more to send (`nc -N`) look the same.
pub(in crate::http) const LEFT_GRACE: Duration = Duration::from_secs(2);
/// Interval at which such a client is asked after that whether it is still there.
const LEFT_LOOK: Duration = Duration::from_millis(500);
/// Interim answer that the client is asked with; every client of HTTP/1.1 must accept one (RFC 9110, section
/// 15.2). The kernel of a client that has left answers with a reset, and the next write fails.
const STILL_AT_IT: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

/// Limits on the time that a client may keep the daemon waiting.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct Timeouts {
    /// Time from the first byte of a head to its end, and from accepting to the end of the first head.
    pub(in crate::http) head: Duration,
    /// Time between an answer and the next request.
    pub(in crate::http) idle: Duration,
    /// Time for which a client may read nothing of an answer.
    pub(in crate::http) write: Duration,
}

/// States in which a connection can be closed to make room for another, in the order of choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::http) enum EvictionClass {
    /// No request has begun.
    Idle,
    /// A handshake or a head has begun and not ended.
    Head,
    /// The body of a request has not arrived whole.
    Body,
    /// The client reads nothing of an answer.
    Unread,
}

/// State that the byte stream, the requests and the timer of one connection share. All of them
/// run in one task; the atomics are there because the task may move between threads.
#[derive(Debug)]
pub(in crate::http) struct ConnectionState {
    epoch: Instant,
    patience: Timeouts,
    /// Nanoseconds after `epoch` at which a request must have arrived; `NEVER` while one is served.
    request_due: AtomicU64,
    /// Nanoseconds after `epoch` at which the client must have read something; `NEVER` unless a write waits.
    write_due: AtomicU64,
    /// Nanoseconds after `epoch` at which a client that has closed its sending half is checked; else `NEVER`.
    left_due: AtomicU64,
    /// Nanoseconds after `epoch` at which the head ended whose body has yet to arrive.
    body_since: AtomicU64,
    /// Number of the first request that must be refused, counted from 1; `NEVER` for none.
    bad_head: AtomicU64,
    /// `true` if that request is refused for its transfer coding.
    bad_coding: AtomicBool,
    /// Number of requests that hyper has handed over so far.
    requests: AtomicU64,
    busy: AtomicBool,
    /// `true` while an interim answer may be sent: the final head is not on its way, and the client has HTTP/1.1.
    may_ask: AtomicBool,
    /// `true` if the next read is to ask the client whether it is still there.
    ask: AtomicBool,
    shaking: AtomicBool,
    mid_head: AtomicBool,
    mid_body: AtomicBool,
    /// `true` if the awaited head has its deadline, which no further byte postpones.
    head_timed: AtomicBool,
    /// Set once the connection is told to make room; cleared if a request came first.
    told: AtomicBool,
    /// Notification that tells the connection to make room for another.
    leave: Notify,
}

impl ConnectionState {
    /// Creates the state of a connection that was accepted just now.
    pub(in crate::http) fn new(patience: Timeouts) -> ConnectionState {
        let (never, not) = (|| AtomicU64::new(NEVER), || AtomicBool::new(false));
        ConnectionState {
            epoch: Instant::now(),
            patience,
            request_due: AtomicU64::new(nanos(patience.head)),
            write_due: never(),
            left_due: never(),
            body_since: AtomicU64::new(0),
            bad_head: never(),
            bad_coding: not(),
            requests: AtomicU64::new(0),
            busy: not(),
            may_ask: not(),
            ask: not(),
            shaking: not(),
            mid_head: not(),
            mid_body: not(),
            head_timed: AtomicBool::new(true),
            told: not(),
            leave: Notify::new(),
        }
    }

    /// Returns the time that a handshake may take: as long as the first head.
    pub(in crate::http) fn head(&self) -> Duration {
        self.patience.head
    }

    /// Notes whether a TLS handshake is under way.
    pub(in crate::http) fn shakes(&self, under_way: bool) {
        self.shaking.store(under_way, Relaxed);
    }

    /// Returns the state in which the connection can make room, and the time since when; `None` while a request
    /// is being answered, and once the connection was told to leave.
    pub(in crate::http) fn standing(&self) -> Option<(EvictionClass, Instant)> {
        let at = |nanos: u64| self.epoch + Duration::from_nanos(nanos);
        let before = |due: u64, patience: Duration| at(due.saturating_sub(nanos(patience)));
        if self.told.load(Relaxed) {
            return None;
        }
        let (write_due, request_due) = (self.write_due.load(Relaxed), self.request_due.load(Relaxed));
        if write_due != NEVER {
            return Some((EvictionClass::Unread, before(write_due, self.patience.write)));
        }
        if self.busy.load(Relaxed) {
            let slow = self.mid_body.load(Relaxed);
            return slow.then(|| (EvictionClass::Body, at(self.body_since.load(Relaxed))));
        }
        let fresh = self.requests.load(Relaxed) == 0;
        let standing = match self.mid_head.load(Relaxed) || self.shaking.load(Relaxed) {
            true => (EvictionClass::Head, before(request_due, self.patience.head)),
            false if fresh => (EvictionClass::Idle, self.epoch),
            false => (EvictionClass::Idle, before(request_due, self.patience.idle)),
        };
        Some(standing)
    }

    /// Tells the connection to end. A request that has arrived whole before it learns of that is still served.
    pub(in crate::http) fn make_room(&self) {
        self.told.store(true, Relaxed);
        self.leave.notify_one();
    }

    /// Reports whether the connection was told to end and has not done so yet.
    pub(in crate::http) fn is_leaving(&self) -> bool {
        self.told.load(Relaxed)
    }

    /// Waits until the connection is told to make room.
    pub(in crate::http) async fn told_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Notes that a request has arrived. Returns why it must be refused; `None` if its framing can be trusted.
    pub(in crate::http) fn asked(&self, version: Version) -> Option<Misframed> {
        let number = self.requests.load(Relaxed) + 1;
        self.requests.store(number, Relaxed);
        self.busy.store(true, Relaxed);
        self.may_ask.store(version >= Version::HTTP_11, Relaxed);
        self.request_due.store(NEVER, Relaxed);
        if self.mid_body.load(Relaxed) {
            self.body_since.store(self.after(Duration::ZERO), Relaxed);
        }
        let why = if self.bad_coding.load(Relaxed) { Misframed::Unsupported } else { Misframed::Ambiguous };
        (number >= self.bad_head.load(Relaxed)).then_some(why)
    }

    /// Notes that the head of the answer is on its way.
    pub(in crate::http) fn answering(&self) {
        self.may_ask.store(false, Relaxed);
    }

    /// Notes that the answer to the request is complete.
    pub(in crate::http) fn answered(&self) {
        self.busy.store(false, Relaxed);
        let mid_head = self.mid_head.load(Relaxed);
        let patience = if mid_head { self.patience.head } else { self.patience.idle };
        self.head_timed.store(mid_head, Relaxed);
        self.request_due.store(self.after(patience), Relaxed);
    }

    fn read(&self, framing: &Framing) {
        if let Some((head, why)) = framing.bad_head() {
            self.bad_coding.store(why == Misframed::Unsupported, Relaxed);
            self.bad_head.store(head, Relaxed);
        }
        let mid_head = framing.mid_head();
        self.mid_head.store(mid_head, Relaxed);
        self.mid_body.store(framing.mid_body(), Relaxed);
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

    /// Notes that the client has taken bytes, which proves that it is still there.
    fn took(&self) {
        if self.left_due.load(Relaxed) != NEVER {
            self.left_due.store(self.after(LEFT_GRACE), Relaxed);
        }
    }

    /// Notes that the client has closed its sending half. Returns `true` if it is still owed an answer.
    fn ended(&self) -> bool {
        let is_owed = !self.at_rest() && !self.mid_body.load(Relaxed);
        if is_owed && self.left_due.load(Relaxed) == NEVER {
            self.left_due.store(self.after(LEFT_GRACE), Relaxed);
        }
        is_owed
    }

    /// Reports whether the client has closed its sending half and is owed nothing.
    fn is_done(&self) -> bool {
        self.left_due.load(Relaxed) != NEVER && self.at_rest()
    }

    /// Reports whether only the deadline of a client that can be asked has passed (`left_due`). If so, has the next
    /// read ask the client whether it is still there.
    fn may_ask_client(&self, now: Instant) -> bool {
        let at = |due: &AtomicU64| self.epoch + Duration::from_nanos(due.load(Relaxed).min(NEVER / 2));
        let others = at(&self.request_due).min(at(&self.write_due));
        if !self.may_ask.load(Relaxed) || at(&self.left_due) > now || others <= now {
            return false;
        }
        self.left_due.store(self.after(LEFT_LOOK), Relaxed);
        self.ask.store(true, Relaxed);
        true
    }

    fn after(&self, patience: Duration) -> u64 {
        nanos(self.epoch.elapsed() + patience)
    }

    fn due(&self) -> Option<Instant> {
        let due = self.request_due.load(Relaxed).min(self.write_due.load(Relaxed));
        let due = due.min(self.left_due.load(Relaxed));
        (due != NEVER).then(|| self.epoch + Duration::from_nanos(due))
    }

    /// Reports whether nothing is being served and nothing waits to be written.
    fn at_rest(&self) -> bool {
        !self.busy.load(Relaxed) && self.write_due.load(Relaxed) == NEVER
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER - 1)
}

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

impl<S: AsyncWrite + Unpin> ObservedIo<S> {
    /// Asks a client that has closed its sending half whether it is still there. No answer has been sent yet, so
    /// nothing is buffered before this one; a short write counts as an error.
    fn ask(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match Pin::new(&mut self.stream).poll_write(cx, STILL_AT_IT) {
            Poll::Ready(Ok(count)) if count == STILL_AT_IT.len() => {
                let _ = Pin::new(&mut self.stream).poll_flush(cx)?;
                Ok(())
            }
            Poll::Ready(Err(error)) => Err(error),
            _ => Err(io::ErrorKind::BrokenPipe.into()),
        }
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
            if this.watch.ask.swap(false, Relaxed) {
                this.ask(cx)?;
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

/// Reason why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The connection ended by itself, with its last answer written.
    Itself,
    /// A deadline has passed, the connection failed, or the daemon stops.
    Over,
    /// Another connection needs the place.
    MadeRoom,
}

/// Runs a connection until the client leaves, a deadline passes, another connection needs its place or, once
/// `stop` is true, the request being served has its answer. A connection that is at rest ends at once on `stop`.
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
    let mut tap = connection.into_parts().io.into_inner();
    match ended {
        Ended::Itself if !tap.framing.between_requests() => {
            tokio::select! {
                () = linger(tap.stream) => {}
                () = watch.told_to_leave() => {}
            }
        }
        // With TLS, the end is a message of its own; a client that does not read does not get it.
        Ended::Itself | Ended::Over => drop(tokio::time::timeout(LINGER, tap.stream.shutdown()).await),
        Ended::MadeRoom => drop(tokio::time::timeout(FAREWELL, tap.stream.shutdown()).await),
    }
}

async fn run<S, V>(
    connection: &mut http1::Connection<TokioIo<ObservedIo<S>>, V>,
    watch: &ConnectionState,
    mut stop: watch::Receiver<bool>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
    V: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible> + Unpin,
    V::Future: Unpin,
{
    let mut stopped = pin!(async move {
        // A dropped sender counts as a stop.
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
            return Poll::Ready(if ended.is_ok() { Ended::Itself } else { Ended::Over });
        }
        if stopping && watch.at_rest() {
            return Poll::Ready(Ended::Over);
        }
        if watch.is_done() {
            return Poll::Ready(Ended::Itself);
        }
        while leave.as_mut().poll(cx).is_ready() {
            watch.told.store(false, Relaxed);
            if watch.standing().is_some() {
                watch.told.store(true, Relaxed);
                return Poll::Ready(Ended::MadeRoom);
            }
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
                Some(due) if due <= now && watch.may_ask_client(now) => {
                    // hyper looks at the client whenever it is polled.
                    if let Poll::Ready(ended) = connection.poll_without_shutdown(cx) {
                        return Poll::Ready(if ended.is_ok() { Ended::Itself } else { Ended::Over });
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
