//! Traffic of a server: what its calls add up to.

use std::time::{Duration, SystemTime};

/// Counts of a server's calls, including those of earlier runs of the daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Traffic {
    /// Number of tool calls and resource reads that reached dispatch.
    pub calls: u64,
    /// Number of those that ended with an error.
    pub errors: u64,
    /// Number of calls on the current UTC day.
    pub calls_today: u64,
    /// Sum of all durations.
    pub total_latency: Duration,
    /// Time when the last call ended; `None` if there was none since the daemon started.
    pub last_active: Option<SystemTime>,
}
