//! The counters of one server: those of its calls, and what a scrape adds of its children.

use std::sync::{Mutex, PoisonError};

use crate::pins::PinCounts;
use crate::supervisor::{BreakerState, ServerHandle, Status, Usage};
use crate::telemetry::metrics::Snapshot;
use crate::upstream::CounterReading;
use crate::usage::Meter;

/// Counters of a server.
pub(super) struct ServerMeter {
    /// Counters of its calls.
    pub(super) calls: Meter,
    /// Values of the child's counters, its restarts and its tool changes that the metrics already include.
    told: Mutex<(CounterReading, u64, u64)>,
}

impl ServerMeter {
    /// Creates the counters of a server.
    pub(super) fn new(calls: Meter) -> ServerMeter {
        ServerMeter { calls, told: Mutex::default() }
    }

    /// Updates the metrics that are not counted per call, for a scrape.
    pub(super) fn tell(&self, handle: &ServerHandle, usage: Usage, pins: PinCounts) {
        let metrics = self.calls.metrics();
        let status = handle.status();
        let (load, breaker) = handle.traffic();
        metrics.set_snapshot(&snapshot(&status, load.queued, breaker, usage, pins));
        metrics.set_in_flight(load.in_flight);
        metrics.set_state(status.state.name());
        let now = handle.counters().read();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, restarts, changes) = *told;
        metrics.tool_changes(pins.changes.saturating_sub(changes));
        metrics.stdout_noise(now.noise.saturating_sub(before.noise));
        metrics.lost_sessions(now.lost_sessions.saturating_sub(before.lost_sessions));
        metrics.stderr_lines(now.stderr_lines.saturating_sub(before.stderr_lines));
        for _ in before.late_replies..now.late_replies {
            metrics.late_reply();
        }
        for _ in restarts..status.restarts {
            metrics.restarted();
        }
        *told = (now, status.restarts.max(restarts), pins.changes.max(changes));
    }
}

fn snapshot(
    status: &Status,
    queued: usize,
    breaker: BreakerState,
    usage: Usage,
    pins: PinCounts,
) -> Snapshot {
    let next_start = status.state.next_start();
    let ready = status.replicas.iter().filter(|replica| replica.state.serves()).count();
    Snapshot {
        queued,
        breaker_open: breaker != BreakerState::Closed,
        replicas: (status.replicas.len(), ready),
        failures: status.failures,
        since: Some(status.since),
        next_start,
        processes: usage.processes,
        rss_bytes: usage.rss_bytes,
        cpu_time: usage.cpu_time,
        tools_unapproved: pins.unapproved,
    }
}
