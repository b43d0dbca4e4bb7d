//! State of one connection: what it is doing, and until when the client may keep it waiting. Connections are served
//! HTTP/1.1, so there is one request at a time, and one state is enough.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use axum::http::Version;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::framing::{Framing, Misframed};

const NEVER: u64 = u64::MAX;

/// Time to wait without a sign of life for a client that has closed its sending half and is owed an answer. A
/// client that has left and one that only has nothing more to send (`nc -N`) look the same.
pub(in crate::http) const LEFT_GRACE: Duration = Duration::from_secs(2);
/// Interval at which such a client is asked after that whether it is still there.
const LEFT_LOOK: Duration = Duration::from_millis(500);
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

/// State of a connection. The order of a request is `Idle`, `ReadingHead`, `Handling`, `Streaming`, `Idle`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    /// Accepted, and no byte has come.
    Accepted,
    /// In the TLS handshake.
    Handshaking,
    /// Between an answer and the next request.
    Idle,
    /// A head has begun and not ended.
    ReadingHead,
    /// A request has arrived, and its answer has not begun.
    Handling,
    /// The head of the answer is on its way, and the answer has not ended.
    Streaming,
}

impl State {
    /// All states, each at its number.
    const ALL: [State; 6] = [
        State::Accepted,
        State::Handshaking,
        State::Idle,
        State::ReadingHead,
        State::Handling,
        State::Streaming,
    ];

    /// Reports whether a request is being served.
    fn is_serving(self) -> bool {
        matches!(self, State::Handling | State::Streaming)
    }
}

/// Part of a request that the bytes read so far end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Reading {
    /// The end of a request, or nothing has been read.
    Nothing,
    /// A head, or what may become one.
    Head,
    /// A body.
    Body,
}

/// State that the byte stream, the requests and the timer of one connection share. All of them
/// run in one task; the atomics are there because the task may move between threads, and because the limits on
/// connections are kept by another.
#[derive(Debug)]
pub(in crate::http) struct ConnectionState {
    pub(super) epoch: Instant,
    pub(super) patience: Timeouts,
    /// [`State`] as a number.
    state: AtomicU8,
    /// [`Reading`] as a number. It runs ahead of `state`: the next request may arrive while one is served.
    reading: AtomicU8,
    /// Nanoseconds after `epoch` at which a request must have arrived; `NEVER` while one is served.
    request_due: AtomicU64,
    /// Nanoseconds after `epoch` at which the client must have read something; `NEVER` unless a write waits.
    write_due: AtomicU64,
    /// Nanoseconds after `epoch` at which a client that has closed its sending half is checked; else `NEVER`.
    left_due: AtomicU64,
    /// Nanoseconds after `epoch` at which whoever makes the answer is to be polled; else `NEVER`.
    wake_due: AtomicU64,
    /// Nanoseconds after `epoch` at which the head ended whose body has yet to arrive.
    body_since: AtomicU64,
    /// Number of the first request that must be refused, counted from 1; `NEVER` for none.
    bad_head: AtomicU64,
    /// `true` if that request is refused for its transfer coding.
    bad_coding: AtomicBool,
    /// Number of requests that hyper has handed over so far.
    requests: AtomicU64,
    /// `true` if the client of the request being served accepts interim answers: it has HTTP/1.1.
    takes_interim: AtomicBool,
    /// `true` if the next read is to ask the client whether it is still there.
    ask: AtomicBool,
    /// Set once the connection is told to make room; cleared if a request came first.
    told: AtomicBool,
    /// Notification that tells the connection to make room for another.
    pub(super) leave: Notify,
}

impl ConnectionState {
    /// Creates the state of a connection that was accepted just now.
    pub(in crate::http) fn new(patience: Timeouts) -> ConnectionState {
        let (never, not) = (|| AtomicU64::new(NEVER), || AtomicBool::new(false));
        ConnectionState {
            epoch: Instant::now(),
            patience,
            state: AtomicU8::new(State::Accepted as u8),
            reading: AtomicU8::new(Reading::Nothing as u8),
            request_due: AtomicU64::new(nanos(patience.head)),
            write_due: never(),
            left_due: never(),
            wake_due: never(),
            body_since: AtomicU64::new(0),
            bad_head: never(),
            bad_coding: not(),
            requests: AtomicU64::new(0),
            takes_interim: not(),
            ask: not(),
            told: not(),
            leave: Notify::new(),
        }
    }

    fn state(&self) -> State {
        State::ALL[usize::from(self.state.load(Relaxed))]
    }

    fn enter(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    fn is_reading(&self, part: Reading) -> bool {
        self.reading.load(Relaxed) == part as u8
    }

    /// Returns the time that a handshake may take: as long as the first head.
    pub(in crate::http) fn head(&self) -> Duration {
        self.patience.head
    }

    /// Notes whether a TLS handshake is under way.
    pub(in crate::http) fn shakes(&self, under_way: bool) {
        self.enter(if under_way { State::Handshaking } else { State::Accepted });
    }

    /// Returns the class in which the connection can make room, and the time since when; `None` while a request
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
        match self.state() {
            State::Accepted => Some((EvictionClass::Idle, self.epoch)),
            State::Handshaking | State::ReadingHead => {
                Some((EvictionClass::Head, before(request_due, self.patience.head)))
            }
            State::Idle => Some((EvictionClass::Idle, before(request_due, self.patience.idle))),
            State::Handling | State::Streaming => {
                let slow = self.is_reading(Reading::Body);
                slow.then(|| (EvictionClass::Body, at(self.body_since.load(Relaxed))))
            }
        }
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

    /// Reports whether the connection, which was told to make room, has to do so: not if a request came first.
    pub(super) fn must_leave(&self) -> bool {
        self.told.store(false, Relaxed);
        let must = self.standing().is_some();
        self.told.store(must, Relaxed);
        must
    }

    /// Notes that a request has arrived. Returns why it must be refused; `None` if its framing can be trusted.
    pub(in crate::http) fn asked(&self, version: Version) -> Option<Misframed> {
        let number = self.requests.load(Relaxed) + 1;
        self.requests.store(number, Relaxed);
        self.enter(State::Handling);
        self.takes_interim.store(version >= Version::HTTP_11, Relaxed);
        self.request_due.store(NEVER, Relaxed);
        self.wake_due.store(NEVER, Relaxed);
        if self.is_reading(Reading::Body) {
            self.body_since.store(self.after(Duration::ZERO), Relaxed);
        }
        let why = if self.bad_coding.load(Relaxed) { Misframed::Unsupported } else { Misframed::Ambiguous };
        (number >= self.bad_head.load(Relaxed)).then_some(why)
    }

    /// Notes that the head of the answer is on its way.
    pub(in crate::http) fn answering(&self) {
        // Too late for a question.
        self.ask.store(false, Relaxed);
        self.wake_due.store(NEVER, Relaxed);
        self.enter(State::Streaming);
    }

    /// Has whoever makes the answer polled after this time, by the timer that the connection has anyway.
    pub(in crate::http) fn wake_after(&self, time: Duration) {
        self.wake_due.store(self.after(time), Relaxed);
    }

    /// Reports whether that time is over.
    pub(in crate::http) fn has_woken(&self) -> bool {
        self.wake_due.load(Relaxed) == NEVER
    }

    /// Reports, once, that whoever makes the answer is to be polled now.
    pub(super) fn wakes(&self, now: Instant) -> bool {
        let due = self.wake_due.load(Relaxed);
        let is_due = due != NEVER && self.epoch + Duration::from_nanos(due) <= now;
        if is_due {
            self.wake_due.store(NEVER, Relaxed);
        }
        is_due
    }

    /// Notes that the answer to the request is complete.
    pub(in crate::http) fn answered(&self) {
        let (state, patience) = match self.is_reading(Reading::Head) {
            true => (State::ReadingHead, self.patience.head),
            false => (State::Idle, self.patience.idle),
        };
        self.enter(state);
        self.request_due.store(self.after(patience), Relaxed);
    }

    /// Notes what the bytes read so far end in, while a plain request is served or handed over.
    pub(super) fn reads(&self, part: Reading) {
        self.reading.store(part as u8, Relaxed);
    }

    /// Notes that hyper serves the connection from now on, and that the requests are counted anew.
    pub(super) fn handed_over(&self) {
        self.requests.store(0, Relaxed);
        self.reads(Reading::Nothing);
    }

    /// Notes that bytes were read, which leave the framing as it is.
    pub(super) fn read(&self, framing: &Framing) {
        if let Some((head, why)) = framing.bad_head() {
            self.bad_coding.store(why == Misframed::Unsupported, Relaxed);
            self.bad_head.store(head, Relaxed);
        }
        let reading = match (framing.mid_head(), framing.mid_body()) {
            (true, _) => Reading::Head,
            (false, true) => Reading::Body,
            (false, false) => Reading::Nothing,
        };
        self.reading.store(reading as u8, Relaxed);
        match self.state() {
            // Its deadline began when the connection was accepted.
            State::Accepted if reading == Reading::Head => self.enter(State::ReadingHead),
            // No further byte of the head postpones its deadline.
            State::Idle if reading == Reading::Head => {
                self.enter(State::ReadingHead);
                self.request_due.store(self.after(self.patience.head), Relaxed);
            }
            _ => {}
        }
    }

    /// Notes whether a write has to wait for the client to read.
    pub(super) fn wrote(&self, blocked: bool) {
        match (blocked, self.write_due.load(Relaxed)) {
            (true, NEVER) => self.write_due.store(self.after(self.patience.write), Relaxed),
            (false, due) if due != NEVER => self.write_due.store(NEVER, Relaxed),
            _ => {}
        }
    }

    /// Notes that the client has taken bytes, which proves that it is still there.
    pub(super) fn took(&self) {
        if self.left_due.load(Relaxed) != NEVER {
            self.left_due.store(self.after(LEFT_GRACE), Relaxed);
        }
    }

    /// Notes that the client has closed its sending half. Returns `true` if it is still owed an answer.
    pub(super) fn ended(&self) -> bool {
        let is_owed = !self.at_rest() && !self.is_reading(Reading::Body);
        if is_owed && self.left_due.load(Relaxed) == NEVER {
            self.left_due.store(self.after(LEFT_GRACE), Relaxed);
        }
        is_owed
    }

    /// Reports whether the client has closed its sending half, as one does that has left.
    pub(in crate::http) fn may_have_left(&self) -> bool {
        self.left_due.load(Relaxed) != NEVER
    }

    /// Reports whether the client has closed its sending half and is owed nothing.
    pub(super) fn is_done(&self) -> bool {
        self.left_due.load(Relaxed) != NEVER && self.at_rest()
    }

    /// Reports whether only the deadline of a client that can be asked has passed (`left_due`). If so, has the next
    /// read ask the client whether it is still there.
    pub(super) fn may_ask_client(&self, now: Instant) -> bool {
        let at = |due: &AtomicU64| self.epoch + Duration::from_nanos(due.load(Relaxed).min(NEVER / 2));
        let others = at(&self.request_due).min(at(&self.write_due));
        let can_be_asked = self.state() == State::Handling && self.takes_interim.load(Relaxed);
        if !can_be_asked || at(&self.left_due) > now || others <= now {
            return false;
        }
        self.left_due.store(self.after(LEFT_LOOK), Relaxed);
        self.ask.store(true, Relaxed);
        true
    }

    /// Reports, once, that the client is to be asked whether it is still there.
    pub(super) fn takes_ask(&self) -> bool {
        self.ask.swap(false, Relaxed)
    }

    fn after(&self, patience: Duration) -> u64 {
        nanos(self.epoch.elapsed() + patience)
    }

    /// Returns the nearest deadline; `None` if there is none.
    pub(super) fn due(&self) -> Option<Instant> {
        let due = self.request_due.load(Relaxed).min(self.write_due.load(Relaxed));
        let due = due.min(self.left_due.load(Relaxed)).min(self.wake_due.load(Relaxed));
        (due != NEVER).then(|| self.epoch + Duration::from_nanos(due))
    }

    /// Reports whether nothing is being served and nothing waits to be written.
    pub(super) fn at_rest(&self) -> bool {
        !self.state().is_serving() && self.write_due.load(Relaxed) == NEVER
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_stands_at_its_number() {
        for (number, state) in State::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(state as u8), number);
        }
    }
}
