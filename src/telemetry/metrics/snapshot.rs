//! The gauges of a server's state, as a scrape sets them.

use std::time::{Duration, SystemTime};

use crate::unix_time;

/// State of a server at the time of a scrape; one gauge per value.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Snapshot {
    /// Number of calls that wait for a place.
    pub queued: usize,
    /// Number of calls that may wait.
    pub queue_limit: usize,
    /// `true` while the breaker refuses calls, or lets single ones through as a test.
    pub breaker_open: bool,
    /// Number of replicas, and of those that take calls.
    pub replicas: (usize, usize),
    /// Number of failed starts and crashes in a row.
    pub failures: u32,
    /// Time at which the state began; exported as 0 if `None`.
    pub since: Option<SystemTime>,
    /// Time at which the next start is due. `None` if none is, which is exported as 0.
    pub next_start: Option<SystemTime>,
    /// Number of processes in all trees of the server.
    pub processes: usize,
    /// Resident memory of these processes, in bytes.
    pub rss_bytes: u64,
    /// CPU time of the trees that run now.
    pub cpu_time: Duration,
    /// Number of tools that differ from their approved version.
    pub tools_unapproved: usize,
}

/// Names and help texts of the gauges of a [`Snapshot`], in the order of [`Snapshot::values`].
pub(super) const SNAPSHOT: [(&str, &str); 12] = [
    ("mcpvisor_calls_queued", "Calls that wait for a place."),
    ("mcpvisor_calls_queue_limit", "Calls that may wait for a place."),
    ("mcpvisor_server_breaker_open", "1 while calls are refused because the last ones got no answer."),
    ("mcpvisor_server_replicas", "Replicas that there are."),
    ("mcpvisor_server_replicas_ready", "Replicas that take calls."),
    ("mcpvisor_server_failures", "Failed starts and crashes in a row, until it has served for a minute."),
    ("mcpvisor_server_state_since_seconds", "When the state began, in seconds since 1970."),
    (
        "mcpvisor_server_next_start_seconds",
        "When the next start is due, in seconds since 1970; 0 when none is.",
    ),
    ("mcpvisor_server_processes", "Processes of the server's trees."),
    ("mcpvisor_server_rss_bytes", "Resident memory of the server's trees."),
    ("mcpvisor_server_cpu_seconds", "CPU time of the server's trees that run now."),
    ("mcpvisor_server_tools_unapproved", "Tools that are not as they were approved."),
];

impl Snapshot {
    pub(super) fn values(&self) -> [f64; SNAPSHOT.len()] {
        let seconds =
            |time: Option<SystemTime>| time.map(unix_time::since_epoch).unwrap_or_default().as_secs_f64();
        [
            self.queued as f64,
            self.queue_limit as f64,
            f64::from(u8::from(self.breaker_open)),
            self.replicas.0 as f64,
            self.replicas.1 as f64,
            f64::from(self.failures),
            seconds(self.since).round(),
            seconds(self.next_start).round(),
            self.processes as f64,
            self.rss_bytes as f64,
            self.cpu_time.as_secs_f64(),
            self.tools_unapproved as f64,
        ]
    }
}
