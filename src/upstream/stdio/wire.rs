//! The task that owns a child's stdin and stdout and the table of calls in flight. It is one loop that never waits for
//! the child: writing, reading, new calls, deadlines and callers who left are all awaited at once, so that a child that
//! does not read cannot keep us from reading.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};

use super::noise::Noise;
use crate::jsonrpc::{self, Framer, Incoming, Line, Mended, Oversize, TooLong};
use crate::mcp::{Answer, method};
use crate::process::StopSequence;
use crate::upstream::call::{Outcome, Submitted, Unsent};
use crate::upstream::exchange::{
    Disposition, Event, Exchange, Served, Unfinished, addressee, reader_of_logs,
};
use crate::upstream::log::{Stream, printable};
use crate::upstream::notices::LogRate;
use crate::upstream::parked::Parked;
use crate::upstream::pending::Pending;
use crate::upstream::probe::Activity;
use crate::upstream::pushed::{Announcer, cancelled_id, decide, progress_token};
use crate::upstream::timer::Timer;

/// Bytes waiting to be read by the child beyond which no further call is written.
const HIGH_WATER: usize = 256 * 1024;
/// Bytes waiting beyond which answers to a child's own requests are dropped: it asks, but does not read.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// Maximum number of calls taken from the channel at once.
const BATCH: usize = 64;
/// Time the last output may take to leave the pipe after the process has ended. It is needed in full only if a
/// grandchild keeps the pipe open.
const OUTPUT_DRAIN_GRACE: Duration = Duration::from_millis(200);
/// Number of frames taken before other tasks get their turn, so that a child that floods does not starve them.
const FRAMES_A_TURN: usize = 256;
/// Line length in bytes beyond which a result is copied if it is less than half of the line.
const SLICED: usize = 64 * 1024;
/// Length a noise line is cut to, in bytes.
const NOISE_KEPT: usize = 1024;
/// Number of noise lines that also go to the daemon's log.
const NOISE_SHOWN: u64 = 5;

/// Message from the child's actor to the task.
pub(super) enum Control {
    /// Take no new calls; when none is in flight, at `until` at the latest, close stdin and start the ladder.
    Close { until: Instant, ladder: StopSequence, order: oneshot::Sender<StopSequence> },
    /// The process has ended: read the rest of the pipe, then end.
    ProcessEnded,
}

/// Reason the task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WireEnd {
    /// The child closed its stdout, or ended.
    Eof,
    /// The child closed its stdin while it was still in use.
    StdinClosed,
    /// The child sent a line that does not end: the rest of its stdout is lost.
    Oversize(Oversize),
    /// The child writes, but no messages.
    OnlyNoise,
}

/// Channels and settings of the task.
pub(super) struct WireConfig {
    pub(super) server: Arc<str>,
    pub(super) calls: mpsc::Receiver<Submitted>,
    pub(super) abandoned: Arc<Notify>,
    pub(super) control: mpsc::Receiver<Control>,
    pub(super) announcer: Announcer,
    pub(super) activity: Arc<Activity>,
    pub(super) max_frame: usize,
}

/// Number of requests that may open a child: `server/discover` and `initialize` are its first two, by their ids.
const OPENINGS: u64 = 2;

struct Waiter {
    reply: oneshot::Sender<Outcome>,
    method: Cow<'static, str>,
    exchange: Option<Arc<Exchange>>,
    /// The call; `None` once it has been written.
    unsent: Option<Unsent>,
    /// `true` once the child has asked the call's client something.
    asked: bool,
}

impl Waiter {
    fn gone(self) {
        let outcome = match self.unsent {
            None => Outcome::Gone { unsent: None },
            Some(mut unsent) => {
                unsent.call.exchange = self.exchange;
                unsent.given_back()
            }
        };
        let _ = self.reply.send(outcome);
    }
}

struct Wire {
    server: Arc<str>,
    announcer: Announcer,
    pending: Pending<Waiter>,
    /// Ids of abandoned openings: a server that was opened both ways answers both.
    openings_over: Vec<u64>,
    /// Ids of calls that are not written yet. Some may be over already.
    backlog: VecDeque<u64>,
    out: BytesMut,
    framer: Framer,
    closing: Option<(Instant, StopSequence, oneshot::Sender<StopSequence>)>,
    stdin_lost: bool,
    /// `true` once stdin was closed or lost: the rest will never be written.
    stdin_closed: bool,
    noise: Noise,
    /// Requests of the child that wait for the answer of a client.
    parked: Parked,
    unfinished: Unfinished,
    served: Served,
    told_logs: LogRate,
}

/// Runs until the child's stdout ends, then answers every remaining call. Returns the reason, and `true` if the child
/// had read anything by then; `unread` returns the number of bytes that wait in its stdin, or `None` if that cannot be
/// determined.
pub(super) async fn run<R, W>(
    mut stdout: R,
    stdin: W,
    unread: impl Fn(&W) -> Option<usize>,
    wiring: WireConfig,
) -> (WireEnd, bool)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let activity = wiring.activity.clone();
    let abandoned = wiring.abandoned.clone();
    let (mut wire, mut calls, mut control) = Wire::new(wiring);
    let mut stdin = Some(stdin);
    let mut batch = Vec::with_capacity(BATCH);
    let mut expiry = Timer::new();
    let mut phase = Timer::new();
    let mut last_words = None;
    let (mut written_to_it, mut has_read) = (0, true);
    let end = loop {
        match wire.take_frames(&activity) {
            Ok(Progress::Done) => {}
            Ok(Progress::More) => {
                tokio::task::yield_now().await;
                continue;
            }
            Err(end) => break end,
        }
        wire.write_backlog();
        if wire.may_close_stdin() && stdin.take().is_some() {
            wire.close_stdin();
        }
        activity.set_in_flight(wire.pending.len());
        expiry.set(wire.pending.next_expiry());
        phase.set(last_words.or(wire.closing.as_ref().filter(|_| stdin.is_some()).map(|(until, ..)| *until)));
        tokio::select! {
            written = write_some(&mut stdin, &mut wire.out), if stdin.is_some() && !wire.out.is_empty() => {
                match written {
                    Ok(count) => written_to_it += count,
                    Err(_) => {
                        has_read = stdin.take().and_then(|stdin| unread(&stdin)) != Some(written_to_it);
                        wire.lose_stdin();
                        last_words.get_or_insert_with(|| Instant::now() + OUTPUT_DRAIN_GRACE);
                    }
                }
            }
            read = stdout.read_buf(wire.framer.read_buffer()) => match read {
                Ok(0) | Err(_) => break if wire.stdin_lost { WireEnd::StdinClosed } else { WireEnd::Eof },
                Ok(count) => {
                    wire.framer.filled(count);
                    activity.heard(Instant::now());
                }
            },
            count = calls.recv_many(&mut batch, BATCH), if !calls.is_closed() || !calls.is_empty() => {
                if count > 0 {
                    let now = Instant::now();
                    batch.drain(..).for_each(|submitted| wire.register(submitted, now));
                }
            }
            _ = abandoned.notified() => wire.cancel_abandoned(),
            answered = wire.parked.next(), if !wire.parked.is_empty() => wire.pass_on(answered),
            _ = expiry.rung() => activity.expired(wire.expire(Instant::now())),
            _ = phase.rung() => match last_words {
                Some(_) => break if wire.stdin_lost { WireEnd::StdinClosed } else { WireEnd::Eof },
                None => {
                    stdin = None;
                    wire.close_stdin();
                }
            },
            Some(message) = control.recv() => match message {
                Control::Close { until, ladder, order } => {
                    calls.close();
                    wire.closing = Some((until, ladder, order));
                }
                Control::ProcessEnded => {
                    last_words.get_or_insert_with(|| Instant::now() + OUTPUT_DRAIN_GRACE);
                }
            },
        }
    };
    if let Some(stdin) = &stdin {
        has_read = unread(stdin) != Some(written_to_it);
    }
    wire.finish(calls);
    (end, has_read)
}

/// Writes as much as the child takes. Cancel safe: nothing is lost if another branch completes first.
async fn write_some<W: AsyncWrite + Unpin>(
    stdin: &mut Option<W>,
    out: &mut BytesMut,
) -> std::io::Result<usize> {
    let Some(stdin) = stdin else { return Ok(0) };
    let written = stdin.write(out).await?;
    if written == 0 {
        return Err(std::io::ErrorKind::WriteZero.into());
    }
    out.advance(written);
    Ok(written)
}

impl Wire {
    fn new(wiring: WireConfig) -> (Wire, mpsc::Receiver<Submitted>, mpsc::Receiver<Control>) {
        let wire = Wire {
            server: wiring.server,
            announcer: wiring.announcer,
            pending: Pending::default(),
            openings_over: Vec::new(),
            backlog: VecDeque::new(),
            out: BytesMut::new(),
            framer: Framer::new(wiring.max_frame),
            closing: None,
            stdin_lost: false,
            stdin_closed: false,
            noise: Noise::default(),
            parked: Parked::default(),
            unfinished: Unfinished::default(),
            served: Served::default(),
            told_logs: LogRate::default(),
        };
        (wire, wiring.calls, wiring.control)
    }

    /// Answers every remaining call, in the channel and in the table.
    fn finish(mut self, mut calls: mpsc::Receiver<Submitted>) {
        calls.close();
        while let Ok(submitted) = calls.try_recv() {
            if let Submitted::Call { unsent, reply } = submitted {
                let _ = reply.send(unsent.given_back());
            }
        }
        self.pending.drain().into_iter().for_each(|(_, waiter)| waiter.gone());
        self.start_ladder();
    }

    fn register(&mut self, submitted: Submitted, now: Instant) {
        let (mut unsent, reply) = match submitted {
            Submitted::Call { unsent, reply } => (unsent, reply),
            Submitted::Notification(name) => return jsonrpc::push_notification(&mut self.out, name, b""),
        };
        if reply.is_closed() {
            return;
        }
        if self.stdin_lost || self.stdin_closed {
            let _ = reply.send(unsent.given_back());
            return;
        }
        let limits = unsent.limits;
        if limits.hard <= now {
            let _ = reply.send(Outcome::TimedOut { sent: false, asked: false });
            return;
        }
        let (method, exchange) = (unsent.call.method.clone(), unsent.call.exchange.take());
        self.served.add(&method, &unsent.call.members, exchange.as_deref());
        let waiter = Waiter { reply, method, exchange, unsent: Some(unsent), asked: false };
        match self.pending.insert(limits, waiter) {
            Ok(id) => self.backlog.push_back(id),
            Err(waiter) => waiter.gone(),
        }
    }

    /// Writes waiting calls into the buffer while the child keeps reading.
    fn write_backlog(&mut self) {
        while self.out.len() < HIGH_WATER {
            let Some(id) = self.backlog.pop_front() else { return };
            // A call that is over has left the table, and its unsent request with it.
            let unsent = self.pending.get_mut(id).and_then(|waiter| waiter.unsent.take());
            let Some(Unsent { call, era_meta, .. }) = unsent else { continue };
            jsonrpc::push_request(
                &mut self.out,
                id,
                &call.method,
                &call.members,
                &[&era_meta, &call.meta],
                call.progress,
            );
        }
    }

    /// Processes the frames that were read, a bounded number at a time.
    fn take_frames(&mut self, activity: &Activity) -> Result<Progress, WireEnd> {
        for _ in 0..FRAMES_A_TURN {
            let frame = match self.framer.next_frame().map_err(WireEnd::Oversize)? {
                Some(Line::Frame(frame)) => frame,
                Some(Line::TooLong(line)) => {
                    self.fail_too_long(&line)?;
                    continue;
                }
                None => return Ok(Progress::Done),
            };
            match jsonrpc::classify(&frame) {
                Incoming::Noise => self.take_odd_line(&frame)?,
                message => self.take_message(message, &frame),
            }
        }
        activity.set_in_flight(self.pending.len());
        Ok(Progress::More)
    }

    fn take_message(&mut self, message: Incoming, frame: &[u8]) {
        match message {
            Incoming::Response { id, outcome } => self.answer_call(id, outcome, frame),
            Incoming::Notification { method, params } => self.take_notification(method, params),
            Incoming::Request { id, method, params } => self.take_request(&id, method, params),
            Incoming::Noise => return,
        }
        self.noise.spoken();
    }

    /// Salvages what it can from a line that is not a message. An unreadable answer fails the call it belongs to at
    /// once.
    #[cold]
    fn take_odd_line(&mut self, frame: &Bytes) -> Result<(), WireEnd> {
        match jsonrpc::mend(frame) {
            Mended::Messages(messages) => {
                messages.into_iter().for_each(|message| self.take_message(message, frame));
                self.show_noise(frame, "stdout line with more than a message in it");
                return Ok(());
            }
            Mended::Unreadable { id, reason } => {
                if let Some(waiter) = self.pending.complete(id) {
                    let _ = waiter.reply.send(Outcome::Unusable(reason.into()));
                    self.noise.spoken();
                }
            }
            Mended::Noise => {}
        }
        self.show_noise(frame, "stdout line that is no message");
        self.count_noise(frame.len() + 1)
    }

    fn answer_call(&mut self, id: u64, outcome: Result<Bytes, jsonrpc::RpcError>, frame: &[u8]) {
        let Some(waiter) = self.pending.complete(id) else {
            match self.openings_over.iter().position(|over| *over == id) {
                Some(at) => drop(self.openings_over.swap_remove(at)),
                None => {
                    self.unfinished.answered(id);
                    self.announcer.counters.late_reply();
                }
            }
            return;
        };
        let outcome = match outcome {
            _ if jsonrpc::too_deep(frame) => Outcome::Unusable("it is nested deeper than 128 levels".into()),
            // A slice keeps the whole line.
            Ok(result) if result.len() < frame.len() / 2 && frame.len() > SLICED => {
                Outcome::Result(Bytes::copy_from_slice(&result))
            }
            Ok(result) => Outcome::Result(result),
            Err(error) => Outcome::Error(error),
        };
        // A caller who has just left gets nothing, and needs no cancellation any more.
        let _ = waiter.reply.send(outcome);
    }

    /// Fails the call that an overlong line answers, and neither the child nor other calls. If the ends of the line do
    /// not show which call it was, that call times out.
    fn fail_too_long(&mut self, line: &TooLong) -> Result<(), WireEnd> {
        let waiter = jsonrpc::id_of_answer(&line.front, &line.back).and_then(|id| self.pending.complete(id));
        let TooLong { length, limit, .. } = *line;
        let method = waiter.as_ref().map(|waiter| &*waiter.method);
        tracing::warn!(server = %self.server, length, limit, method, "a line longer than max_frame was thrown away");
        match waiter {
            Some(waiter) => {
                let _ = waiter.reply.send(Outcome::TooLong { length, limit });
                self.noise.spoken();
                return Ok(());
            }
            None => self.announcer.counters.left_out(),
        }
        self.count_noise(line.front.len() + line.back.len())
    }

    fn take_notification(&mut self, name: String, params: Option<Bytes>) {
        match name.as_str() {
            method::PROGRESS => self.take_progress(params.as_deref()),
            method::CANCELLED => self.take_cancellation(params.as_deref()),
            method::MESSAGE => self.take_log_message(params.as_deref()),
            _ => self.announcer.tell_notice(name, params.as_deref()),
        }
    }

    fn take_progress(&mut self, params: Option<&[u8]>) {
        // Progress for an unknown token is dropped: some servers go on after cancellation.
        let Some(token) = progress_token(params) else { return };
        let waiter = self.pending.progress(token, Instant::now());
        if let (Some(Waiter { exchange: Some(exchange), .. }), Some(params)) = (waiter, params)
            && !exchange.tell(Event::Progress, params)
        {
            self.announcer.counters.dropped_notice();
        }
    }

    fn take_cancellation(&mut self, params: Option<&[u8]>) {
        let Some(id) = cancelled_id(params) else { return };
        // It takes back a request of its own, or ends the one call of ours that it may end this way: an open stream
        // (spec 2026-07-28, basic/patterns/cancellation).
        if self.parked.cancel(id.as_bytes()) {
            return;
        }
        let listening = jsonrpc::own_id(id)
            .filter(|id| self.pending.get_mut(*id).is_some_and(|waiter| waiter.method == method::LISTEN));
        if let Some(waiter) = listening.and_then(|id| self.pending.complete(id)) {
            let _ = waiter.reply.send(Outcome::Result(Bytes::from_static(b"{}")));
        }
    }

    /// Takes a log message of the child, and tells it to the caller that it is for.
    fn take_log_message(&mut self, params: Option<&[u8]>) {
        let Some(params) = self.announcer.write_log(params) else { return };
        self.unfinished.forget(Instant::now());
        let is_told = match reader_of_logs(self.under_way(), &self.unfinished, self.announcer.sharing) {
            Some(exchange) => exchange.tell(Event::Log, params),
            None => self.announcer.tell_log(&self.served, &mut self.told_logs, params),
        };
        if !is_told {
            self.announcer.counters.dropped_notice();
        }
    }

    /// Returns the requests that the child has, with their ids and methods.
    fn under_way(&self) -> impl Iterator<Item = (u64, &str, Option<&Exchange>)> {
        let sent = self.pending.with_ids().filter(|(_, waiter)| waiter.unsent.is_none());
        sent.map(|(id, waiter)| (id, &*waiter.method, waiter.exchange.as_deref()))
    }

    /// Answers a request of the child, or hands it to the client that it is for.
    fn take_request(&mut self, id: &Bytes, asked: String, params: Option<Bytes>) {
        self.unfinished.forget(Instant::now());
        let addressee = addressee(self.under_way(), &self.unfinished, self.announcer.sharing);
        let disposition = decide(addressee, asked, params.as_deref(), self.parked.refusal(id));
        match disposition {
            Disposition::Answer(answer) => self.answer_child(id, &answer),
            Disposition::Park(answer) => {
                self.hold_asking();
                self.parked.park(Bytes::copy_from_slice(id), answer);
            }
        }
    }

    /// Gives the requests whose clients can be asked all of their time, while one of them is: a person thinks longer than
    /// a server may be silent.
    fn hold_asking(&mut self) {
        let asking = self.under_way().filter(|(_, _, exchange)| exchange.is_some_and(Exchange::can_be_asked));
        let asking: Vec<u64> = asking.map(|(id, ..)| id).collect();
        for id in asking {
            self.pending.hold(id);
            if let Some(waiter) = self.pending.get_mut(id) {
                waiter.asked = true;
            }
        }
    }

    /// Passes on the answer of a client to the request with this id; `None` if the child has taken it back.
    fn pass_on(&mut self, answered: Option<(Bytes, Answer)>) {
        if let Some((id, answer)) = answered {
            self.answer_child(&id, &answer);
        }
    }

    fn answer_child(&mut self, id: &[u8], answer: &Answer) {
        if self.out.len() > ANSWER_LIMIT || self.stdin_closed {
            self.announcer.counters.dropped_notice();
            return;
        }
        match answer {
            Answer::Result(result) => jsonrpc::push_result(&mut self.out, id, &jsonrpc::one_line(result)),
            Answer::Error(code, message) => jsonrpc::push_error(&mut self.out, id, *code, message),
        }
    }

    /// Counts noise, and fails if the child does nothing else.
    fn count_noise(&mut self, bytes: usize) -> Result<(), WireEnd> {
        let is_too_much = self.noise.is_too_much(bytes, Instant::now());
        let is_working = || self.pending.waiters().any(|waiter| waiter.method != method::LISTEN);
        if is_too_much && !(self.noise.has_spoken() && is_working()) {
            return Err(WireEnd::OnlyNoise);
        }
        Ok(())
    }

    fn show_noise(&mut self, frame: &[u8], what: &str) {
        let line = printable(&frame[..frame.len().min(NOISE_KEPT)]);
        if self.announcer.counters.noise() <= NOISE_SHOWN {
            tracing::warn!(server = %self.server, "{what}: {line}");
        }
        if !self.announcer.log.push(self.announcer.incarnation, Stream::Stdout, &line) {
            self.announcer.counters.left_out();
        }
    }

    fn cancel_abandoned(&mut self) {
        let left = self.pending.abandon(|waiter| waiter.reply.is_closed());
        left.into_iter().for_each(|(id, waiter)| self.cancel(id, &waiter, "the caller has left"));
        self.tidy_backlog();
    }

    /// Answers the calls that have timed out and returns the number of those the child had.
    fn expire(&mut self, now: Instant) -> usize {
        let mut expired = 0;
        for (id, waiter) in self.pending.expire(now) {
            self.cancel(id, &waiter, "the deadline has passed");
            let (sent, asked) = (waiter.unsent.is_none(), waiter.asked);
            // One whose client was asked says nothing about the child.
            expired += usize::from(sent && !asked);
            let _ = waiter.reply.send(Outcome::TimedOut { sent, asked });
        }
        self.tidy_backlog();
        expired
    }

    /// Drops the ids of calls that are over; with a child that does not read they would pile up.
    fn tidy_backlog(&mut self) {
        let pending = &mut self.pending;
        self.backlog.retain(|id| pending.get_mut(*id).is_some());
    }

    /// Tells the child that a result is no longer wanted, if the call was sent to it. `initialize` must not be
    /// cancelled (spec 2025-11-25, basic/utilities/cancellation).
    fn cancel(&mut self, id: u64, waiter: &Waiter, reason: &str) {
        // They are a child's first requests; later ones by these methods are probes of liveness.
        let is_opening = id <= OPENINGS && [method::DISCOVER, method::INITIALIZE].contains(&&*waiter.method);
        if is_opening && waiter.unsent.is_none() {
            self.openings_over.push(id);
        }
        let known_to_child = waiter.unsent.is_none() && waiter.method != method::INITIALIZE;
        if known_to_child {
            self.unfinished.add(id, &waiter.method, waiter.exchange.as_deref(), Instant::now());
        }
        if known_to_child && !self.stdin_closed && self.out.len() <= ANSWER_LIMIT {
            let members = format!("\"requestId\":{id},\"reason\":\"{reason}\"");
            jsonrpc::push_notification(&mut self.out, method::CANCELLED, members.as_bytes());
        }
    }

    fn may_close_stdin(&self) -> bool {
        self.closing.is_some() && self.pending.is_empty() && self.out.is_empty()
    }

    /// Records that the child no longer reads: the rest will never be written.
    fn lose_stdin(&mut self) {
        self.stdin_lost = true;
        self.close_stdin();
    }

    /// Stops writing and starts the ladder.
    fn close_stdin(&mut self) {
        self.stdin_closed = true;
        self.out.clear();
        while let Some(id) = self.backlog.pop_front() {
            if let Some(waiter) = self.pending.complete(id) {
                waiter.gone();
            }
        }
        self.start_ladder();
    }

    fn start_ladder(&mut self) {
        if let Some((_, ladder, order)) = self.closing.take() {
            let _ = order.send(ladder);
        }
    }
}

/// Tells whether more frames may be waiting.
enum Progress {
    Done,
    More,
}
