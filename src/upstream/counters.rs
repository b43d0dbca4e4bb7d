//! Counters of what a server's children did besides answering calls. Read by metrics and by the API.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the daemon started, over all children of a server.
#[derive(Debug, Default)]
pub struct Counters {
    noise: AtomicU64,
    late_replies: AtomicU64,
    stderr_lines: AtomicU64,
    dropped_notices: AtomicU64,
    left_out: AtomicU64,
    lost_sessions: AtomicU64,
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

    /// Returns the current counts.
    pub fn read(&self) -> CounterReading {
        CounterReading {
            noise: self.noise.load(Ordering::Relaxed),
            late_replies: self.late_replies.load(Ordering::Relaxed),
            stderr_lines: self.stderr_lines.load(Ordering::Relaxed),
            dropped_notices: self.dropped_notices.load(Ordering::Relaxed),
            left_out: self.left_out.load(Ordering::Relaxed),
            lost_sessions: self.lost_sessions.load(Ordering::Relaxed),
        }
    }
}
