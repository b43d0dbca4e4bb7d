//! The counters of one server: those of its calls, and what a scrape adds of its children.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::pins::PinCounts;
use crate::supervisor::{BreakerState, ServerHandle, Status, Usage};
use crate::telemetry::metrics::Snapshot;
use crate::upstream::CounterReading;
use crate::usage::Meter;

/// Counters of a server.
pub(super) struct ServerMeter {
    /// Counters of its calls.
    pub(super) calls: Meter,
    /// What the metrics already include.
    told: Mutex<Told>,
}

/// Values of the children's counters that the metrics already include.
#[derive(Default)]
struct Told {
    counters: CounterReading,
    ends: Vec<(&'static str, u64)>,
    restarts: u64,
    tool_changes: u64,
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
        let queue = (load.queued, handle.queue_limit());
        metrics.set_snapshot(&snapshot(&status, queue, breaker, usage, pins));
        metrics.set_in_flight(load.in_flight);
        metrics.set_state(status.state.name());
        let now = handle.counters().read();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let before = told.counters;
        metrics.tool_changes(pins.changes.saturating_sub(told.tool_changes));
        metrics.stdout_noise(now.noise.saturating_sub(before.noise));
        metrics.lost_sessions(now.lost_sessions.saturating_sub(before.lost_sessions));
        metrics.stderr_lines(now.stderr_lines.saturating_sub(before.stderr_lines));
        for _ in before.late_replies..now.late_replies {
            metrics.late_reply();
        }
        for _ in told.restarts..status.restarts {
            metrics.restarted();
        }
        let since = |now: (u64, Duration), before: (u64, Duration)| {
            (now.0.saturating_sub(before.0), now.1.saturating_sub(before.1))
        };
        let (starts, took) = since(now.starts, before.starts);
        metrics.started(starts, took);
        let (waits, waited) = since(now.waits, before.waits);
        metrics.waited(waits, waited);
        let ends = handle.counters().ends();
        for (cause, count) in &ends {
            let before = told.ends.iter().find(|(known, _)| known == cause).map_or(0, |(_, before)| *before);
            if *count > before {
                metrics.ended(cause, count - before);
            }
        }
        *told = Told {
            counters: now,
            ends,
            restarts: status.restarts.max(told.restarts),
            tool_changes: pins.changes.max(told.tool_changes),
        };
    }
}

fn snapshot(
    status: &Status,
    (queued, queue_limit): (usize, usize),
    breaker: BreakerState,
    usage: Usage,
    pins: PinCounts,
) -> Snapshot {
    let next_start = status.state.next_start();
    let ready = status.replicas.iter().filter(|replica| replica.state.serves()).count();
    Snapshot {
        queued,
        queue_limit,
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
