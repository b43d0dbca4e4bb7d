//! The metrics of one server, as those who count hold them. Counting touches atomics only.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::core::Metric;
use prometheus::{Gauge, IntCounter, IntGauge};

use super::snapshot::Snapshot;
use super::summaries::Summaries;
use super::{Kind, MAX_SERIES, OTHER, Shared};

/// The metrics of one server. Cheap to clone; keep it instead of asking for it again.
#[derive(Clone)]
pub struct ServerMetrics {
    pub(super) shared: Arc<Shared>,
    pub(super) inner: Arc<ServerInner>,
}

impl fmt::Debug for ServerMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerMetrics").field("server", &self.inner.name).finish_non_exhaustive()
    }
}

/// What handles of a server share.
pub(super) struct ServerInner {
    pub(super) name: String,
    pub(super) own_plain: bool,
    pub(super) own_state: bool,
    /// A few entries, read by every call: a linear search is cheaper than hashing.
    pub(super) calls: ArcSwap<Vec<CallSeries>>,
    pub(super) duration: prometheus::Histogram,
    pub(super) in_flight: IntGauge,
    /// Value that this server last added to `in_flight`, which it may share; [`GONE`] after removal.
    pub(super) in_flight_now: AtomicI64,
    pub(super) states: Vec<(&'static str, IntGauge)>,
    /// Index of the state this server is counted under, [`NO_STATE`] or [`GONE_STATE`].
    pub(super) state_now: AtomicUsize,
    /// Empty for a server without series of its own: in a shared series the values of one server say nothing.
    pub(super) snapshot: Vec<Gauge>,
    pub(super) restarts: IntCounter,
    /// Causes that have a series of this server's ends.
    pub(super) causes: ArcSwap<Vec<&'static str>>,
    pub(super) stdout_noise: IntCounter,
    pub(super) stderr_lines: IntCounter,
    pub(super) late_replies: IntCounter,
    pub(super) lost_sessions: IntCounter,
    pub(super) tool_changes: IntCounter,
}

/// Counter of the calls of a kind that ended in one way.
#[derive(Clone)]
pub(super) struct CallSeries {
    pub(super) kind: Kind,
    pub(super) outcome: &'static str,
    pub(super) counter: IntCounter,
    pub(super) own: bool,
}

const GONE: i64 = i64::MIN;
pub(super) const NO_STATE: usize = usize::MAX;
const GONE_STATE: usize = usize::MAX - 1;

impl ServerInner {
    /// Removes this server for good from gauges that it may share with others.
    pub(super) fn leave(&self) {
        let calls = self.in_flight_now.swap(GONE, Ordering::Relaxed);
        if calls != GONE {
            self.in_flight.sub(calls);
        }
        let state = self.state_now.swap(GONE_STATE, Ordering::Relaxed);
        if let Some((_, gauge)) = self.states.get(state) {
            gauge.dec();
        }
    }
}

impl ServerMetrics {
    /// Counts a call that ended: [`OK`](super::OK), or the name of the failure. Outcomes are constants of the program,
    /// never text of a client or a child, since each new one makes a new series.
    pub fn observe(&self, kind: Kind, outcome: &'static str, duration: Duration) {
        self.inner.duration.observe(duration.as_secs_f64());
        let counted = || {
            let calls = self.inner.calls.load();
            let series = calls.iter().find(|series| series.kind == kind && series.outcome == outcome);
            series.map(|series| series.counter.inc()).is_some()
        };
        if counted() {
            return;
        }
        let mut table = self.shared.table();
        // Another call may have added it meanwhile, and a removed server gets no new series.
        if counted() {
            return;
        }
        let current = table.servers.get(&self.inner.name);
        if !current.is_some_and(|server| Arc::ptr_eq(&server.inner, &self.inner)) {
            return;
        }
        match self.shared.add_call_series(&self.inner, kind, outcome, &mut table) {
            Ok(counter) => counter.inc(),
            Err(error) => tracing::error!(%error, "a call was not counted"),
        }
    }

    /// Returns the number of calls that took no longer than so many seconds, by the bounds of the histogram, rising.
    pub fn durations(&self) -> Vec<(f64, u64)> {
        let read = self.inner.duration.metric();
        let histogram = read.get_histogram();
        let buckets = histogram.get_bucket().iter();
        let bounded = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
        bounded.chain([(f64::INFINITY, histogram.get_sample_count())]).collect()
    }

    /// Sets the gauges to the server's current state.
    pub fn set_snapshot(&self, snapshot: &Snapshot) {
        if self.inner.in_flight_now.load(Ordering::Relaxed) == GONE {
            return;
        }
        for (gauge, value) in self.inner.snapshot.iter().zip(snapshot.values()) {
            gauge.set(value);
        }
    }

    /// Sets the number of calls in flight.
    pub fn set_in_flight(&self, calls: usize) {
        let calls = i64::try_from(calls).unwrap_or(i64::MAX);
        let swapped = self
            .inner
            .in_flight_now
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| (before != GONE).then_some(calls));
        // The differences of one server add up to its last value, in any order of arrival.
        if let Ok(before) = swapped {
            self.inner.in_flight.add(calls - before);
        }
    }

    /// Sets the state, one of the names that [`Metrics::new`](super::Metrics::new) was given. Any other name is logged as
    /// a defect and changes nothing.
    pub fn set_state(&self, state: &'static str) {
        let Some(index) = self.inner.states.iter().position(|(name, _)| *name == state) else {
            tracing::error!(state, "the metrics know no such state");
            return;
        };
        let swapped = self.inner.state_now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |before| {
            (before != GONE_STATE).then_some(index)
        });
        let Ok(before) = swapped else { return };
        if let Some((_, gauge)) = self.inner.states.get(before) {
            gauge.dec();
        }
        self.inner.states[index].1.inc();
    }

    /// Counts a child that was started after the first one.
    pub fn restarted(&self) {
        self.inner.restarts.inc();
    }

    /// Counts children that ended by a cause. Causes are constants of the program, since each new one makes a new series.
    pub fn ended(&self, cause: &'static str, children: u64) {
        let mut table = self.shared.table();
        if self.is_gone() {
            return;
        }
        let known = self.inner.causes.load();
        let is_known = known.contains(&cause);
        let own = is_known || (self.inner.own_plain && table.end_series < MAX_SERIES);
        if own && !is_known {
            table.end_series += 1;
            self.inner.causes.store(Arc::new(known.iter().copied().chain([cause]).collect()));
        }
        let label = if own { self.inner.name.as_str() } else { OTHER };
        self.shared.families.ends.with_label_values(&[label, cause]).inc_by(children);
    }

    /// Counts starts that succeeded, and what they took altogether.
    pub fn started(&self, starts: u64, took: Duration) {
        self.add_to(&self.shared.families.starts, starts, took);
    }

    /// Counts calls that had to wait, and how long they did altogether.
    pub fn waited(&self, calls: u64, waited: Duration) {
        self.add_to(&self.shared.families.waits, calls, waited);
    }

    fn add_to(&self, family: &Summaries, count: u64, total: Duration) {
        // A removal takes the same lock: what is added afterwards would come back.
        let _table = self.shared.table();
        if count > 0 && !self.is_gone() {
            family.add(self.plain_label(), "", count, total.as_secs_f64());
        }
    }

    /// Counts calls of a tool that have ended, as the sums of a second or so.
    pub fn count_tool(&self, tool: &str, calls: u64, errors: u64, took: Duration) {
        let _table = self.shared.table();
        if !self.is_gone() {
            self.shared.tools.count(self.plain_label(), tool, calls, errors, took);
        }
    }

    fn is_gone(&self) -> bool {
        self.inner.in_flight_now.load(Ordering::Relaxed) == GONE
    }

    /// Returns the server's label in families that have one series per server.
    fn plain_label(&self) -> &str {
        if self.inner.own_plain { &self.inner.name } else { OTHER }
    }

    /// Counts lines on stdout that are not JSON-RPC.
    pub fn stdout_noise(&self, lines: u64) {
        self.inner.stdout_noise.inc_by(lines);
    }

    /// Counts lines on stderr.
    pub fn stderr_lines(&self, lines: u64) {
        self.inner.stderr_lines.inc_by(lines);
    }

    /// Counts sessions that a remote server did not know any more.
    pub fn lost_sessions(&self, sessions: u64) {
        self.inner.lost_sessions.inc_by(sessions);
    }

    /// Counts tools that were found not to be as they were approved.
    pub fn tool_changes(&self, tools: u64) {
        self.inner.tool_changes.inc_by(tools);
    }

    /// Counts a reply that arrived after its call had stopped waiting.
    pub fn late_reply(&self) {
        self.inner.late_replies.inc();
    }
}
