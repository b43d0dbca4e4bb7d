//! Counters of what a server's children did besides answering calls. Read by metrics and by the API.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts since the daemon started, over all children of a server.
#[derive(Debug, Default)]
pub struct Counters {
    noise: AtomicU64,
    late_replies: AtomicU64,
    stderr_lines: AtomicU64,
    dropped_notices: AtomicU64,
    left_out: AtomicU64,
    lost_sessions: AtomicU64,
    starts: Timed,
    waits: Timed,
    /// Number of ends by cause. A handful of causes, so a linear search is cheap.
    ends: Mutex<Vec<(&'static str, u64)>>,
}

/// Number of things that took some time, and that time altogether.
#[derive(Debug, Default)]
struct Timed {
    count: AtomicU64,
    total_us: AtomicU64,
}

impl Timed {
    fn add(&self, took: Duration) {
        self.total_us.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, Duration) {
        let count = self.count.load(Ordering::Relaxed);
        (count, Duration::from_micros(self.total_us.load(Ordering::Relaxed)))
    }
}

/// A snapshot of [`Counters`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterReading {
    /// Lines on stdout that were not messages.
    pub noise: u64,
    /// Replies to calls that were already over, or never made.
    pub late_replies: u64,
    /// Lines on stderr, kept or not.
    pub stderr_lines: u64,
    /// Notifications without a receiver, unreadable log messages, and answers the child did not take.
    pub dropped_notices: u64,
    /// Lines not kept because of the rate limit, and overlong lines that answer no call.
    pub left_out: u64,
    /// Sessions that a remote server did not know any more, and that were opened anew.
    pub lost_sessions: u64,
    /// Starts that succeeded, and what they took altogether.
    pub starts: (u64, Duration),
    /// Calls that waited for a place or a child, and how long altogether.
    pub waits: (u64, Duration),
}

impl Counters {
    /// Counts a noise line and returns the total so far.
    pub(super) fn noise(&self) -> u64 {
        self.noise.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn late_reply(&self) {
        self.late_replies.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stderr_line(&self) {
        self.stderr_lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_notice(&self) {
        self.dropped_notices.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn left_out(&self) {
        self.left_out.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lost_session(&self) {
        self.lost_sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a child that takes calls now, after this time.
    pub(crate) fn started(&self, took: Duration) {
        self.starts.add(took);
    }

    /// Counts a call that waited for a place or a child, for this time.
    pub(crate) fn waited(&self, waited: Duration) {
        self.waits.add(waited);
    }

    /// Counts a child that has ended, by the kind of its cause.
    pub(crate) fn ended(&self, cause: &'static str) {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        match ends.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, count)) => *count += 1,
            None => ends.push((cause, 1)),
        }
    }

    /// Returns the numbers of ends by cause.
    pub fn ends(&self) -> Vec<(&'static str, u64)> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the current counts.
    pub fn read(&self) -> CounterReading {
        CounterReading {
            noise: self.noise.load(Ordering::Relaxed),
            late_replies: self.late_replies.load(Ordering::Relaxed),
            stderr_lines: self.stderr_lines.load(Ordering::Relaxed),
            dropped_notices: self.dropped_notices.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            lost_sessions: self.lost_sessions.load(Ordering::Relaxed),
            starts: self.starts.read(),
            waits: self.waits.read(),
        }
    }
}
