//! Connections of clients that send plain requests, which are nearly all: read, handed over and answered without what hyper
//! does for each request. The first request that is not plain (`parse.rs`) ends this; hyper serves the connection from then
//! on, beginning with that request. Deadlines and the end are those of every connection (`connection.rs`).

use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::Version;
use axum::response::Response;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};

use super::HttpService;
use super::call::{BUFFERED, Call, MAX_HEAD};
use super::driven::{Driven, Ended, ask};
use super::known_head::KnownHead;
use super::parse::{PlainHead, plain_head};
use super::peer::PeerInfo;
use super::reply::{BodyEnd, CHUNK_END, Date, closes, push_chunk_size, push_head, push_last_chunk};
use super::request_body::{Arrival, RequestBody};
use super::state::{ConnectionState, Reading};
use crate::http::core::head::RequestHead;

/// Least room for a read.
const ROOM: usize = 1024;
/// Room that is made for a read, and kept between requests.
const READ: usize = 4 * 1024;
/// Length in bytes up to which a piece of a body is copied behind its head, which costs less than a second piece does.
const COPIED: usize = 4 * 1024;

/// A connection, and what it is doing.
pub(super) struct Plain<S, H: HttpService> {
    stream: S,
    /// What was read and belongs to no request so far.
    read: BytesMut,
    /// What is to be written before `Writing::piece`.
    out: BytesMut,
    call: Call<H>,
    known: Option<KnownHead>,
    turn: Turn<H::Future>,
    /// Body of the request being served, of this length, while it is on its way.
    arriving: Option<(Arrival, usize)>,
    /// `true` if the connection ends with the answer.
    closes: bool,
    /// `true` once the client has ended its half.
    has_ended: bool,
    /// `true` once the buffers have been larger than a connection at rest may have them.
    has_grown: bool,
    date: Date,
}

enum Turn<F> {
    /// Waiting for a request.
    Reading,
    /// Waiting for the answer.
    Handling(F),
    Writing(Writing),
}

/// An answer that is being written.
struct Writing {
    /// Piece of the body that is not copied.
    piece: Bytes,
    /// The rest of the body; `None` once it has ended.
    body: Option<Body>,
    end: BodyEnd,
    /// `true` while `piece` is a chunk whose end has to follow it.
    owes_end: bool,
}

/// What became of a look for a request in what was read.
enum Look {
    /// A request was handed over.
    Found,
    Nothing,
    /// There is something that is not plain, or not all of a head.
    Odd,
}

impl<S, H> Plain<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: HttpService,
{
    /// Begins to serve a connection of which nothing has been read.
    pub(super) fn new(stream: S, call: Call<H>) -> Plain<S, H> {
        Plain {
            stream,
            read: BytesMut::new(),
            out: BytesMut::new(),
            call,
            known: None,
            turn: Turn::Reading,
            arriving: None,
            closes: false,
            has_ended: false,
            has_grown: false,
            date: Date::default(),
        }
    }

    /// Returns the stream with what was read of it and not served, and what it was served with.
    pub(super) fn into_parts(self) -> (S, BytesMut, Call<H>) {
        (self.stream, self.read, self.call)
    }

    /// Returns the state of the connection.
    pub(super) fn state(&self) -> Arc<ConnectionState> {
        Arc::clone(&self.call.watch)
    }

    /// Reports whether a request was answered before all of it was there.
    pub(super) fn is_mid_request(&self) -> bool {
        self.arriving.is_some()
    }

    fn watch(&self) -> &ConnectionState {
        &self.call.watch
    }

    /// Reads what is there. `Ready(0)` at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.read.capacity() - self.read.len() < ROOM {
            self.read.reserve(READ);
        }
        let read = pin!(self.stream.read_buf(&mut self.read)).poll(cx);
        self.has_grown |= self.read.len() > READ;
        read
    }

    /// Reads what has arrived while no request is served. `Ready` once there is something.
    fn read_on(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let before = self.read.len();
            let read = self.poll_read(cx);
            match read {
                Poll::Pending if before > 0 => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if before == 0 => return Poll::Ready(Err(Ended::Itself)),
                // What came before the end may be a request, and is to be answered.
                Poll::Ready(Ok(0)) => {
                    self.has_ended = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Ended::Over)),
                // As much as there was room for: the rest of a head may be behind it.
                Poll::Ready(Ok(_))
                    if self.read.len() == self.read.capacity() && self.read.len() < MAX_HEAD => {}
                Poll::Ready(Ok(_)) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Looks for a request in what was read, and hands it over.
    fn look(&mut self) -> Look {
        if self.read.is_empty() {
            return Look::Nothing;
        }
        let (head, length, body) = match self.known.as_ref().and_then(|known| known.is_at(&self.read)) {
            Some((head, length, body)) if body <= BUFFERED => (head, length, body),
            _ => {
                let is_usual = |plain: &PlainHead| plain.body <= BUFFERED && plain.raw.len() <= MAX_HEAD;
                let Some(plain) = plain_head(&self.read).filter(is_usual) else {
                    return Look::Odd;
                };
                self.closes |= plain.closes;
                let (length, body) = (plain.raw.len(), plain.body);
                let (head, known) = KnownHead::new(plain);
                self.known = known;
                (head, length, body)
            }
        };
        self.read.advance(length);
        self.hand_over(head, body);
        Look::Found
    }

    fn hand_over(&mut self, head: Arc<RequestHead>, length: usize) {
        let body = if self.read.len() >= length {
            let body = RequestBody::Whole(self.read.split_to(length).freeze());
            self.reads_on();
            body
        } else {
            let arrival = Arrival::of(length);
            self.read.reserve(length - self.read.len());
            self.arriving = Some((arrival.clone(), length));
            self.watch().reads(Reading::Body);
            RequestBody::Arriving(arrival)
        };
        let misframed = self.watch().asked(Version::HTTP_11);
        let (peer, watch) = (Arc::clone(&self.call.peer), Some(Arc::clone(&self.call.watch)));
        self.turn = Turn::Handling(self.call.service.answer(head, body, PeerInfo { peer, misframed, watch }));
    }

    /// Reads while a request is served: the rest of its body, the next request, or the end, which shows that the client
    /// may have left. Returns `Ready` if a body has arrived or will not.
    fn listen(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while !self.has_ended && self.read.len() < BUFFERED {
            match ready!(self.poll_read(cx)) {
                Ok(0) => self.has_ended = true,
                Ok(_) => {
                    if self.take_body() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(_) => return Poll::Ready(Err(Ended::Over)),
            }
        }
        if !self.has_ended {
            return Poll::Pending;
        }
        if let Some((arrival, _)) = &self.arriving {
            // Once: nobody waits for it any more.
            arrival.broke();
            (self.arriving, self.closes) = (None, true);
            self.watch().reads(Reading::Nothing);
            return Poll::Ready(Ok(()));
        }
        // Between the parts of an answer there is no place for a question.
        let is_unanswered = matches!(self.turn, Turn::Handling(_));
        if self.watch().ended()
            && is_unanswered
            && self.watch().takes_ask()
            && ask(&mut self.stream, cx).is_err()
        {
            return Poll::Ready(Err(Ended::Over));
        }
        Poll::Pending
    }

    /// Notes what is left of what was read, behind a request that is there as a whole.
    fn reads_on(&self) {
        self.watch().reads(if self.read.is_empty() { Reading::Nothing } else { Reading::Head });
    }

    /// Takes the body of the request being served, if it has arrived just now.
    fn take_body(&mut self) -> bool {
        match &self.arriving {
            Some((_, length)) if self.read.len() < *length => false,
            Some((arrival, length)) => {
                arrival.arrived(self.read.split_to(*length).freeze());
                self.arriving = None;
                self.reads_on();
                true
            }
            None => {
                self.watch().reads(Reading::Head);
                false
            }
        }
    }

    fn begin_answer(&mut self, response: Response) {
        let (head, body) = response.into_parts();
        let end = BodyEnd::of(head.status, body.size_hint().exact());
        // What is left of a body that was not waited for cannot be told from a request.
        self.closes |= closes(&head.headers) || self.arriving.is_some();
        push_head(&mut self.out, head.status, &head.headers, end, self.closes, &mut self.date);
        let body = Some(body).filter(|_| !matches!(end, BodyEnd::None | BodyEnd::Length(0)));
        self.turn = Turn::Writing(Writing { piece: Bytes::new(), body, end, owes_end: false });
    }

    /// Writes an answer to its end.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        loop {
            let Turn::Writing(writing) = &mut self.turn else { return Poll::Ready(Ok(())) };
            // As much as there is goes out at once: a head with what comes first of its body.
            let is_waiting = match writing.fill(&mut self.out, cx) {
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(())) => return Poll::Ready(Err(Ended::Over)),
                Poll::Pending => true,
            };
            let is_over = writing.body.is_none();
            if self.out.is_empty() && writing.piece.is_empty() {
                ready!(self.flush(cx))?;
                if is_over {
                    return Poll::Ready(Ok(()));
                }
                debug_assert!(is_waiting, "a body that is not over and gives nothing is waited for");
                ready!(self.listen(cx))?;
                continue;
            }
            ready!(self.write_some(cx))?;
        }
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch().wrote(flushed.is_pending());
        flushed.map_err(|_| Ended::Over)
    }

    fn write_some(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let Turn::Writing(writing) = &mut self.turn else { return Poll::Ready(Ok(())) };
        self.has_grown |= self.out.len() > READ;
        let stream = Pin::new(&mut self.stream);
        let written = match (self.out.is_empty(), writing.piece.is_empty()) {
            (false, true) => stream.poll_write(cx, &self.out),
            (true, _) => stream.poll_write(cx, &writing.piece),
            (false, false) => {
                stream.poll_write_vectored(cx, &[IoSlice::new(&self.out), IoSlice::new(&writing.piece)])
            }
        };
        self.call.watch.wrote(written.is_pending());
        let Ok(count @ 1..) = ready!(written) else { return Poll::Ready(Err(Ended::Over)) };
        self.call.watch.took();
        let of_out = count.min(self.out.len());
        self.out.advance(of_out);
        writing.piece.advance(count - of_out);
        Poll::Ready(Ok(()))
    }

    /// Makes ready for the next request, if the connection goes on.
    fn next(&mut self) -> Result<(), Ended> {
        self.turn = Turn::Reading;
        if self.closes || self.arriving.is_some() || (self.has_ended && self.read.is_empty()) {
            return Err(Ended::Itself);
        }
        if self.read.is_empty() && std::mem::take(&mut self.has_grown) {
            (self.read, self.out) = (BytesMut::new(), BytesMut::new());
        }
        Ok(())
    }
}

impl Writing {
    /// Puts what comes next behind what is to be written. `Ready` once there is something to write or the body is over;
    /// `Err` if the body failed, so that its end must not look like one.
    fn fill(&mut self, out: &mut BytesMut, cx: &mut Context<'_>) -> Poll<Result<(), ()>> {
        if self.piece.is_empty() && std::mem::take(&mut self.owes_end) {
            out.extend_from_slice(CHUNK_END);
        }
        while self.piece.is_empty() && out.len() < COPIED {
            let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
            let frame = match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(())),
                None => return Poll::Ready(self.finish(out)),
            };
            // Trailers are for clients that ask for them.
            let Ok(data) = frame.into_data() else { continue };
            self.put(data, out)?;
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, data: Bytes, out: &mut BytesMut) -> Result<(), ()> {
        match &mut self.end {
            _ if data.is_empty() => return Ok(()),
            BodyEnd::None => return Err(()),
            BodyEnd::Length(left) => *left = left.checked_sub(data.len() as u64).ok_or(())?,
            BodyEnd::Chunks => push_chunk_size(out, data.len()),
        }
        let is_chunk = self.end == BodyEnd::Chunks;
        if data.len() > COPIED {
            (self.piece, self.owes_end) = (data, is_chunk);
        } else {
            out.extend_from_slice(&data);
            out.extend_from_slice(if is_chunk { CHUNK_END } else { b"" });
        }
        if self.end == BodyEnd::Length(0) {
            self.body = None;
        }
        Ok(())
    }

    /// Ends the body, which has no more.
    fn finish(&mut self, out: &mut BytesMut) -> Result<(), ()> {
        self.body = None;
        match self.end {
            BodyEnd::Chunks => push_last_chunk(out),
            BodyEnd::Length(1..) => return Err(()),
            BodyEnd::None | BodyEnd::Length(_) => {}
        }
        Ok(())
    }
}

impl<S, H> Driven for Plain<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin,
    H: HttpService,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            match &mut self.turn {
                Turn::Reading => match self.look() {
                    Look::Found => {}
                    Look::Odd => return Poll::Ready(Ended::HandsOver),
                    Look::Nothing => {
                        if let Err(ended) = ready!(self.read_on(cx)) {
                            return Poll::Ready(ended);
                        }
                    }
                },
                Turn::Handling(answer) => match Pin::new(answer).poll(cx) {
                    Poll::Ready(Ok(response)) => self.begin_answer(response),
                    Poll::Pending => match ready!(self.listen(cx)) {
                        Ok(()) => {}
                        Err(ended) => return Poll::Ready(ended),
                    },
                },
                Turn::Writing(_) => match ready!(self.write(cx)).and_then(|()| self.next()) {
                    Ok(()) => {}
                    Err(ended) => return Poll::Ready(ended),
                },
            }
        }
    }

    fn stop(&mut self) {
        self.closes = true;
    }
}
