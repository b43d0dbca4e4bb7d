//! The counters of one server's calls: the numbers of the API and the metrics, counted once per call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::buffer::{UsageBuffer, UsageSample};
use super::calendar::minute_of;
use super::call_line::log_call;
use super::traffic::Traffic;
use crate::access::Principal;
use crate::activity::{Activity, CallFacts, Called};
use crate::clock;
use crate::telemetry::metrics::{Kind, OK, ServerMetrics};
use crate::telemetry::traces::CallTrace;
use crate::unix_time;

/// Number of low bits that hold the count of a day; the day's number is above them.
const COUNT_BITS: u32 = 40;

/// Counters of a server's calls. Atomics only, on the path of a call.
pub(crate) struct Meter {
    activity: Activity,
    metrics: ServerMetrics,
    book: Arc<UsageBuffer>,
    calls: AtomicU64,
    errors: AtomicU64,
    today: AtomicU64,
    latency_us: AtomicU64,
}

impl Meter {
    /// Creates the counters of a server, beginning with its earlier traffic.
    pub(crate) fn new(
        metrics: ServerMetrics,
        book: Arc<UsageBuffer>,
        activity: Activity,
        before: Traffic,
    ) -> Meter {
        if let Some(at) = before.last_active {
            book.active_at(unix_time::millis(at));
        }
        let us = u64::try_from(before.total_latency.as_micros()).unwrap_or(u64::MAX);
        Meter {
            activity,
            metrics,
            book,
            calls: AtomicU64::new(before.calls),
            errors: AtomicU64::new(before.errors),
            today: AtomicU64::new(day(unix_ms()) << COUNT_BITS | before.calls_today),
            latency_us: AtomicU64::new(us),
        }
    }

    /// Returns the server's name.
    pub(crate) fn server(&self) -> &str {
        &self.book.server().name
    }

    /// Returns the server's metrics, for what is not counted by calls.
    pub(crate) fn metrics(&self) -> &ServerMetrics {
        &self.metrics
    }

    /// Measures a call of this caller that started at `started`: to a tool, or to what is no tool and counted by the name
    /// of its method. If dropped before [`Measured::end`], it counts as a call whose caller left.
    pub(crate) fn measure<'a>(
        &'a self,
        kind: Kind,
        caller: &'a Principal,
        tool: &'a str,
        started: Instant,
        trace: Option<Box<CallTrace>>,
    ) -> Measured<'a> {
        Measured { meter: self, kind, caller, tool, started, trace, counts: true, bytes: (0, 0) }
    }

    /// Counts a call that may have reached the server and ended at this time, and returns what was called.
    fn count(&self, now_ms: u64, sample: UsageSample<'_>) -> Arc<Called> {
        let UsageSample { outcome, took, .. } = sample;
        let called = self.book.enter(minute_of(now_ms / 1000), sample);
        self.calls.fetch_add(1, Ordering::Relaxed);
        if outcome != OK {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.latency_us.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.book.active_at(now_ms);
        let _ = self
            .today
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |today| Some(one_more(today, day(now_ms))));
        called
    }

    pub(crate) fn read(&self) -> Traffic {
        let today = self.today.load(Ordering::Relaxed);
        let is_today = today >> COUNT_BITS == day(unix_ms());
        Traffic {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            calls_today: if is_today { today & ((1 << COUNT_BITS) - 1) } else { 0 },
            total_latency: Duration::from_micros(self.latency_us.load(Ordering::Relaxed)),
            last_active: self.book.last_active(),
        }
    }
}

/// Measurement of a call under way.
pub(crate) struct Measured<'a> {
    meter: &'a Meter,
    kind: Kind,
    caller: &'a Principal,
    tool: &'a str,
    bytes: (usize, usize),
    started: Instant,
    trace: Option<Box<CallTrace>>,
    /// `true` until the call is counted or withdrawn.
    counts: bool,
}

impl Measured<'_> {
    /// Returns the trace of the call; `None` if it is not traced.
    pub(crate) fn trace(&self) -> Option<&CallTrace> {
        self.trace.as_deref()
    }

    /// Records the bytes of the arguments and of the result.
    pub(crate) fn carried(&mut self, arguments: usize, result: usize) {
        self.bytes = (arguments, result);
    }

    /// Ends the measurement and returns the duration of the call.
    pub(crate) fn end(mut self, outcome: &'static str) -> Duration {
        self.record(outcome, Reach::Server)
    }

    /// Ends the measurement of a call that the server has provably not had: it does not count as used.
    pub(crate) fn end_short_of(mut self, outcome: &'static str, reach: Reach) {
        self.record(outcome, reach);
    }

    fn record(&mut self, outcome: &'static str, reach: Reach) -> Duration {
        self.counts = false;
        let (took, now_ms) = (self.started.elapsed(), unix_ms());
        if reach != Reach::Nobody {
            self.meter.metrics.observe(self.kind, outcome, took);
        }
        let reached = reach == Reach::Server;
        let called = if reached {
            let (key, tool, bytes) = (self.caller.key_id(), self.tool, self.bytes);
            self.meter.count(now_ms, UsageSample { key, tool, outcome, took, bytes })
        } else {
            Arc::new(Called::new(self.meter.book.server().clone(), self.tool))
        };
        let (what, ended, trace) = ((self.kind, self.tool), (now_ms, took), self.trace.as_deref());
        note(&self.meter.activity, called, self.caller, what, ended, (outcome, reached), trace);
        took
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if self.counts {
            self.record("cancelled", Reach::Server);
        }
    }
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It was refused for what it was or who made it, which is no matter of the server.
    Nobody,
    /// The server was down, busy or too slow, and has not had it.
    Queue,
    /// The server may have had it.
    Server,
}

/// Notes a call that has just ended, ends its trace and logs it for whoever wants that.
pub(crate) fn note(
    activity: &Activity,
    called: Arc<Called>,
    caller: &Principal,
    (kind, name): (Kind, &str),
    (now_ms, took): (u64, Duration),
    (outcome, reached): (&'static str, bool),
    trace: Option<&CallTrace>,
) {
    if let Some(trace) = trace {
        trace.end(outcome);
    }
    let tool = if kind == Kind::Tool { name } else { "" };
    log_call(&called.server().name, caller, (kind, tool), took, outcome, trace);
    activity.note(caller, || {
        let origin = caller.origin();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        CallFacts {
            called,
            request: origin.request.clone(),
            started_ms: now_ms.saturating_sub(took_us / 1000),
            took_us: u32::try_from(took_us).unwrap_or(u32::MAX),
            outcome,
            kind,
            dialect: origin.dialect,
            reached,
        }
    });
}

/// Returns the time in milliseconds since 1970, as far as the clock is believed.
pub(crate) fn unix_ms() -> u64 {
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
fn one_more(today: u64, day: u64) -> u64 {
    if today >> COUNT_BITS == day { today + 1 } else { day << COUNT_BITS | 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_day_starts_at_one() {
        let monday = one_more(one_more(0, 20_000), 20_000);
        assert_eq!(monday & 0xff, 2);
        assert_eq!(one_more(monday, 20_001), 20_001 << COUNT_BITS | 1);
    }
}
