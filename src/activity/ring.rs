//! The ring of calls. A call is noted where its thread notes calls, so that threads do not wait for each other, nor for the
//! memory that all of them would write to; from there calls go to the ring some at a time, all that there are, in the order
//! in which they ended. Whoever reads brings them there first, and takes a few at a time, so that no call waits for a reader.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::call::{Call, CallFacts};
use super::filter::ActivityFilter;
use crate::access::{CallerTag, Principal};
use crate::clock;

/// Number of calls that are looked at under one lock: some 20 microseconds.
const STEP: u64 = 1024;
/// Number of calls that come and go together: 4 KiB of them.
const PIECE: usize = 64;
/// Number of places where threads note calls; with more threads some share one.
const PLACES: usize = 16;
/// Place of the next thread that notes a call.
static NEXT_PLACE: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Place where this thread notes calls.
    static PLACE: usize = NEXT_PLACE.fetch_add(1, Ordering::Relaxed) % PLACES;
}

/// The calls of late. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Calls that are not in the ring yet.
    noted: [Place; PLACES],
    /// Locked before any place of `noted`, never while one is locked.
    ring: Mutex<Ring>,
    /// Notified of a call that somebody waits for.
    changed: Notify,
    /// `true` if somebody waits for the next call.
    is_awaited: AtomicBool,
    /// Most calls that are kept; 0 if none are noted at all.
    most: usize,
    /// Time when the ring was made, in milliseconds since 1970.
    begun_ms: u64,
}

/// Where some threads note their calls. Beside no other one in memory: two lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(Mutex<Piece>);

impl Place {
    fn piece(&self) -> MutexGuard<'_, Piece> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the calls away; `None` if there are none.
    fn take(&self) -> Option<Taken> {
        let mut piece = self.piece();
        if piece.calls.is_empty() {
            return None;
        }
        let Piece { calls, callers } = std::mem::replace(&mut *piece, Piece::with_room());
        drop(piece);
        Some(Taken { calls: calls.into_iter(), callers })
    }
}

/// The calls of a place on their way to the ring.
struct Taken {
    calls: std::vec::IntoIter<Line>,
    callers: Vec<CallerTag>,
}

impl Taken {
    /// Returns the time when the next call ended, in milliseconds since 1970; that of the last of all when there is none.
    fn next_ended_ms(&self) -> u64 {
        self.calls.as_slice().first().map_or(u64::MAX, |line| line.facts.ended_ms())
    }
}

/// The calls in pieces, the oldest first. The whole is larger than a processor's caches: calls that are dropped one by one
/// would each be waited for, and those of a piece are next to each other, and its memory is warm for the next piece.
#[derive(Debug, Default)]
struct Ring {
    /// All but the last have [`PIECE`] calls.
    pieces: VecDeque<Piece>,
    /// Most calls that are kept. There are up to two pieces more, which nobody sees.
    most: usize,
    /// Number of the newest call, which counts up from 1.
    newest: u64,
}

/// Calls that come and go together, and whoever made them, each once: a reference for each call would be counted up and down
/// by all threads.
#[derive(Debug, Default)]
struct Piece {
    calls: Vec<Line>,
    callers: Vec<CallerTag>,
}

/// A call as it is kept. Fills one line of a processor's cache.
#[derive(Debug)]
#[repr(align(64))]
struct Line {
    facts: CallFacts,
    /// Place of its caller among those of the piece.
    caller: usize,
}

/// Order in which calls are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the number after the given one on.
    OldestFirst,
    /// From the number before the given one back.
    NewestFirst,
}

/// Calls that were found, and where to go on.
#[derive(Debug, Default)]
pub struct Batch {
    /// The calls that match, with their numbers, in the order asked for.
    pub calls: Vec<(u64, Call)>,
    /// Number to go on from.
    pub next: u64,
    /// `true` if there are no more calls in that direction.
    pub is_over: bool,
    /// Number of calls, matching or not, that had gone before they could be read; oldest first only.
    pub lost: u64,
}

/// Which calls there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kept {
    /// Number of the newest call; 0 before the first.
    pub newest: u64,
    /// Number of calls that are kept.
    pub calls: usize,
    /// Most calls that are kept.
    pub most: usize,
    /// Time from which none has gone, in milliseconds since 1970: that of the oldest kept call, or of the daemon's start.
    pub complete_since_ms: u64,
}

impl Activity {
    /// Makes a ring for so many calls; with 0 none are noted. Memory is taken as calls come.
    pub fn new(most: usize) -> Activity {
        let ring = Ring { most, ..Ring::default() };
        let begun_ms = clock::believed().saturating_mul(1000);
        let (ring, changed, is_awaited) = (Mutex::new(ring), Notify::new(), AtomicBool::new(false));
        let noted = Default::default();
        Activity(Arc::new(Shared { noted, ring, changed, is_awaited, most, begun_ms }))
    }

    /// Returns the ring with everything in it that was noted.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        let (ring, gone) = self.gathered();
        drop(gone);
        ring
    }

    /// Brings everything that was noted to the ring. Returns the ring, and what had to go for it.
    fn gathered(&self) -> (MutexGuard<'_, Ring>, Vec<Piece>) {
        let mut ring = self.0.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Taken> = self.0.noted.iter().filter_map(Place::take).collect();
        let mut gone = Vec::new();
        // Those of one place are in order.
        while let Some(first) = taken.iter_mut().min_by_key(|taken| taken.next_ended_ms())
            && let Some(Line { facts, caller }) = first.calls.next()
            && let Some(caller) = first.callers.get(caller)
        {
            gone.extend(ring.put(caller, facts));
        }
        (ring, gone)
    }

    /// Notes a call of this caller; what is said of it is made only if calls are kept.
    pub fn note(&self, caller: &Principal, call: impl FnOnce() -> CallFacts) {
        if self.0.most == 0 {
            return;
        }
        let call = call();
        let mut piece = self.0.noted[PLACE.with(|place| *place)].piece();
        piece.push(|known| known.is_of(caller), || caller.tag(), call);
        let is_full = piece.calls.len() >= PIECE;
        drop(piece);
        if is_full {
            // What goes is dropped after the lock.
            let (ring, gone) = self.gathered();
            drop(ring);
            drop(gone);
        }
        // After the call is there: whoever waits has looked before it was, or finds it.
        if self.0.is_awaited.load(Ordering::SeqCst) && self.0.is_awaited.swap(false, Ordering::SeqCst) {
            self.0.changed.notify_waiters();
        }
    }

    /// Returns which calls there are.
    pub fn kept(&self) -> Kept {
        let ring = self.ring();
        let first = ring.first();
        let oldest = ring.get(first).filter(|_| first > 1);
        Kept {
            newest: ring.newest,
            calls: ring.len(),
            most: self.0.most,
            complete_since_ms: oldest.map_or(self.0.begun_ms, |(_, call)| call.started_ms),
        }
    }

    /// Returns a future that resolves when a call is noted after this.
    pub fn changed(&self) -> Notified<'_> {
        // In this order: the call that finds it awaited finds whoever waits.
        let changed = self.0.changed.notified();
        self.0.is_awaited.store(true, Ordering::SeqCst);
        changed
    }

    /// Looks at some calls from a number on, or back, and returns at most `most` of those that match. Takes the lock
    /// once: for all of them, ask again from [`Batch::next`].
    pub fn step(&self, filter: &ActivityFilter, from: u64, direction: Direction, most: usize) -> Batch {
        let ring = self.ring();
        let first = ring.first();
        let mut batch = Batch::default();
        let mut at = match direction {
            Direction::OldestFirst => from.saturating_add(1).max(first),
            Direction::NewestFirst => from.min(ring.newest + 1),
        };
        if direction == Direction::OldestFirst {
            batch.lost = at - from.saturating_add(1).min(at);
        }
        for _ in 0..STEP {
            let number = match direction {
                Direction::OldestFirst => at,
                Direction::NewestFirst => at.wrapping_sub(1),
            };
            let Some((caller, call)) = ring.get(number) else {
                batch.is_over = true;
                break;
            };
            if filter.takes(caller, call) {
                if batch.calls.len() >= most {
                    break;
                }
                batch.calls.push((number, Call { caller: caller.clone(), facts: call.clone() }));
            }
            at = if direction == Direction::OldestFirst { at + 1 } else { at - 1 };
        }
        batch.next = if direction == Direction::OldestFirst { at - 1 } else { at };
        batch
    }
}

impl Ring {
    /// Puts a call behind the others, and returns the oldest ones once there are as many as are kept without them.
    fn put(&mut self, caller: &CallerTag, call: CallFacts) -> Option<Piece> {
        self.newest += 1;
        if let Some(last) = self.pieces.back_mut().filter(|last| last.calls.len() < PIECE) {
            last.put(caller, call);
            return None;
        }
        let gone = if self.whole() >= self.most + PIECE { self.pieces.pop_front() } else { None };
        let mut piece = Piece::with_room();
        piece.put(caller, call);
        self.pieces.push_back(piece);
        gone
    }

    /// Returns the number of calls that are there, seen or not.
    fn whole(&self) -> usize {
        self.pieces.back().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.calls.len())
    }

    /// Returns the number of calls that are kept.
    fn len(&self) -> usize {
        self.whole().min(self.most)
    }

    /// Returns the number of the oldest call that is kept.
    fn first(&self) -> u64 {
        self.newest + 1 - self.len() as u64
    }

    fn get(&self, number: u64) -> Option<(&CallerTag, &CallFacts)> {
        let back = usize::try_from(self.newest.checked_sub(number)?).ok()?;
        if back >= self.len() {
            return None;
        }
        let at = self.whole() - 1 - back;
        let piece = self.pieces.get(at / PIECE)?;
        let Line { facts, caller } = piece.calls.get(at % PIECE)?;
        Some((piece.callers.get(*caller)?, facts))
    }
}

impl Piece {
    fn with_room() -> Piece {
        Piece { calls: Vec::with_capacity(PIECE), callers: Vec::new() }
    }

    /// Puts a call behind the others.
    fn put(&mut self, caller: &CallerTag, facts: CallFacts) {
        self.push(|known| known.is_same(caller), || caller.clone(), facts);
    }

    /// Puts a call behind the others, of the caller that `is` knows and `tag` names.
    fn push(&mut self, is: impl Fn(&CallerTag) -> bool, tag: impl FnOnce() -> CallerTag, facts: CallFacts) {
        let known = self.callers.iter().rposition(is);
        let caller = known.unwrap_or_else(|| {
            self.callers.push(tag());
            self.callers.len() - 1
        });
        self.calls.push(Line { facts, caller });
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
