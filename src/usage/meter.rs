//! The counters of one server's calls: the numbers of the API and the metrics, counted once per call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::buffer::{UsageBuffer, UsageSample};
use super::calendar::hour_of;
use super::traffic::Traffic;
use crate::clock;
use crate::telemetry::metrics::{Kind, OK, ServerMetrics};
use crate::unix_time;

/// Number of low bits that hold the count of a day; the day's number is above them.
const COUNT_BITS: u32 = 40;

/// Counters of a server's calls. Atomics only, on the path of a call.
pub(crate) struct Meter {
    server: Arc<str>,
    metrics: ServerMetrics,
    book: Arc<UsageBuffer>,
    calls: AtomicU64,
    errors: AtomicU64,
    today: AtomicU64,
    latency_us: AtomicU64,
    last_active_ms: AtomicU64,
}

impl Meter {
    /// Creates the counters of a server, beginning with its earlier traffic.
    pub(crate) fn new(
        server: Arc<str>,
        metrics: ServerMetrics,
        book: Arc<UsageBuffer>,
        before: Traffic,
    ) -> Meter {
        let us = u64::try_from(before.total_latency.as_micros()).unwrap_or(u64::MAX);
        Meter {
            server,
            metrics,
            book,
            calls: AtomicU64::new(before.calls),
            errors: AtomicU64::new(before.errors),
            today: AtomicU64::new(day(unix_ms()) << COUNT_BITS | before.calls_today),
            latency_us: AtomicU64::new(us),
            last_active_ms: AtomicU64::new(0),
        }
    }

    /// Returns the server's name.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// Returns the server's metrics, for what is not counted by calls.
    pub(crate) fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }

    /// Measures a call of this key to this tool that started at `started`. If dropped before [`Measured::end`], it
    /// counts as a call whose caller left.
    pub(crate) fn measure<'a>(
        &'a self,
        kind: Kind,
        key: &'a Arc<str>,
        tool: &'a str,
        started: Instant,
    ) -> Measured<'a> {
        Measured { meter: self, kind, key, tool, started, counts: true, bytes: (0, 0) }
    }

    fn record(&self, kind: Kind, line: UsageSample<'_>) {
        let UsageSample { outcome, took, .. } = line;
        self.metrics.observe(kind, outcome, took);
        let now_ms = unix_ms();
        self.book.enter(hour_of(now_ms / 1000), line);
        self.calls.fetch_add(1, Ordering::Relaxed);
        if outcome != OK {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.latency_us.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.last_active_ms.load(Ordering::Relaxed) < now_ms {
            self.last_active_ms.fetch_max(now_ms, Ordering::Relaxed);
        }
        let _ = self
            .today
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |today| Some(count(today, day(now_ms))));
    }

    pub(crate) fn read(&self) -> Traffic {
        let today = self.today.load(Ordering::Relaxed);
        let is_today = today >> COUNT_BITS == day(unix_ms());
        let last = self.last_active_ms.load(Ordering::Relaxed);
        Traffic {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            calls_today: if is_today { today & ((1 << COUNT_BITS) - 1) } else { 0 },
            total_latency: Duration::from_micros(self.latency_us.load(Ordering::Relaxed)),
            last_active: (last > 0).then(|| unix_time::from_millis(last)),
        }
    }
}

/// Measurement of a call under way.
pub(crate) struct Measured<'a> {
    meter: &'a Meter,
    kind: Kind,
    key: &'a Arc<str>,
    tool: &'a str,
    bytes: (usize, usize),
    started: Instant,
    /// `true` until the call is counted or withdrawn.
    counts: bool,
}

impl Measured<'_> {
    /// Records the bytes of the arguments and of the result.
    pub(crate) fn carried(&mut self, arguments: usize, result: usize) {
        self.bytes = (arguments, result);
    }

    /// Ends the measurement and returns the duration of the call.
    pub(crate) fn end(mut self, outcome: &'static str) -> Duration {
        self.count(outcome)
    }

    /// Ends without counting anything: the call was refused before it went to the server.
    pub(crate) fn withdraw(mut self) {
        self.counts = false;
    }

    fn count(&mut self, outcome: &'static str) -> Duration {
        self.counts = false;
        let (key, tool, bytes, took) = (self.key, self.tool, self.bytes, self.started.elapsed());
        self.meter.record(self.kind, UsageSample { key, tool, outcome, took, bytes });
        took
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.count("cancelled");
        }
    }
}

fn unix_ms() -> u64 {
    let since = unix_time::since_epoch(clock::wall_clock());
    let believed = clock::believed_at(since.as_secs());
    if believed != since.as_secs() {
        return believed.saturating_mul(1000);
    }
    since.as_millis().try_into().unwrap_or(u64::MAX)
}

/// Returns the number of a UTC day since 1970.
fn day(unix_ms: u64) -> u64 {
    unix_ms / 86_400_000
}

/// Counts one more on this day; a new day starts at one.
fn count(today: u64, day: u64) -> u64 {
    if today >> COUNT_BITS == day { today + 1 } else { day << COUNT_BITS | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_starts_at_one() {
        let monday = count(count(0, 20_000), 20_000);
        assert_eq!(monday & 0xff, 2);
        assert_eq!(count(monday, 20_001), 20_001 << COUNT_BITS | 1);
    }
}
