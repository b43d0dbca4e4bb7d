//! The metrics, each a typed field, in the Prometheus text format. The only place that names prometheus: here is what
//! there is of the daemon and how a server's series come and go, `metrics/server.rs` counts.
//! `docs/metrics.md` lists every family.
//!
//! Handles are resolved once per server; after that, counting touches atomics only. A family has at most
//! [`MAX_SERIES`] series that name a server; servers beyond that share the label `other`.

mod answers;
mod deprecated;
mod kept;
mod process;
mod server;
mod snapshot;
mod summaries;
mod tools;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

pub use self::answers::Surface;
pub use self::deprecated::Deprecated;
pub use self::process::ProcessSample;
pub use self::server::ServerMetrics;
pub use self::snapshot::Snapshot;

use self::answers::Answers;
use self::deprecated::DeprecatedUse;
use self::kept::Kept;
use self::process::ProcessMetrics;
use self::server::{CallSeries, NO_STATE, ServerInner};
use self::snapshot::SNAPSHOT;
use self::summaries::Summaries;
use self::tools::ToolFamilies;
use crate::{clock, unix_time};

/// Most series of one family that may name a server. A histogram counts as one.
pub const MAX_SERIES: usize = 2000;

/// Label shared by servers beyond [`MAX_SERIES`].
pub const OTHER: &str = "other";

/// Outcome of a call that succeeded.
pub const OK: &str = "ok";

/// Upper bounds of the call duration histogram, in seconds.
const DURATION_BUCKETS: [f64; 9] = [0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0];

/// Kind of request that a call made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Call of a tool.
    Tool,
    /// Read of a resource.
    Resource,
    /// Request for a list.
    List,
    /// Request for a prompt.
    Prompt,
    /// Request for values of an argument.
    Completion,
    /// Request of an extension of MCP.
    Extension,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 6] =
        [Kind::Tool, Kind::Resource, Kind::List, Kind::Prompt, Kind::Completion, Kind::Extension];

    /// Returns the value of the `kind` label.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Tool => "tool",
            Kind::Resource => "resource",
            Kind::List => "list",
            Kind::Prompt => "prompt",
            Kind::Completion => "completion",
            Kind::Extension => "extension",
        }
    }
}

/// Error of a metric that could not be declared or registered: a defect.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(String);

impl From<prometheus::Error> for MetricsError {
    fn from(error: prometheus::Error) -> MetricsError {
        MetricsError(error.to_string())
    }
}

/// All metrics of the daemon. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

struct Shared {
    registry: Registry,
    families: Families,
    tools: ToolFamilies,
    answers: Answers,
    refusals: IntCounterVec,
    http_connections: IntGauge,
    reload_good: IntGauge,
    kept: Kept,
    deprecated: DeprecatedUse,
    process: ProcessMetrics,
    read_process: fn() -> Option<ProcessSample>,
    reload_time: IntGauge,
    states: &'static [&'static str],
    table: Mutex<Table>,
}

/// Families with a server label.
struct Families {
    snapshot: Vec<GaugeVec>,
    calls: IntCounterVec,
    duration: HistogramVec,
    in_flight: IntGaugeVec,
    state: IntGaugeVec,
    restarts: IntCounterVec,
    ends: IntCounterVec,
    starts: Summaries,
    waits: Summaries,
    stdout_noise: IntCounterVec,
    stderr_lines: IntCounterVec,
    late_replies: IntCounterVec,
    lost_sessions: IntCounterVec,
    tool_changes: IntCounterVec,
}

/// Handles resolved so far. Its lock is taken to resolve and to remove, never to count.
#[derive(Default)]
struct Table {
    servers: HashMap<String, ServerMetrics>,
    /// Number of series of the calls family that name a server.
    call_series: usize,
    /// Number of series of ends of children that name a server.
    end_series: usize,
    /// Number of servers with state series of their own.
    state_servers: usize,
    /// Number of servers with their own series in the families that have one series per server.
    plain_servers: usize,
}

impl Metrics {
    /// Declares all metrics. `states` are the values of the state label: the names that
    /// [`ServerMetrics::set_state`] accepts. `read_process` reads what the daemon's own process takes, at each
    /// [`Metrics::render`]; with `None` its metrics stay as they are.
    ///
    /// # Errors
    /// A declaration that prometheus refuses, which is a defect of this file.
    pub fn new(
        version: &str,
        states: &'static [&'static str],
        read_process: fn() -> Option<ProcessSample>,
    ) -> Result<Metrics, MetricsError> {
        let registry = Registry::new();
        let by_server = |name: &str, help: &str| counters(&registry, name, help, &["server"]);
        let families = Families {
            calls: counters(&registry, "mcpvisor_calls_total", CALLS_HELP, &["server", "kind", "outcome"])?,
            duration: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new("mcpvisor_call_duration_seconds", "Duration of calls.")
                        .buckets(DURATION_BUCKETS.to_vec()),
                    &["server"],
                )?,
            )?,
            snapshot: SNAPSHOT
                .into_iter()
                .map(|(name, help)| register(&registry, GaugeVec::new(Opts::new(name, help), &["server"])?))
                .collect::<Result<_, MetricsError>>()?,
            in_flight: gauges(&registry, "mcpvisor_calls_in_flight", "Calls in flight.", &["server"])?,
            state: gauges(&registry, "mcpvisor_server_state", STATE_HELP, &["server", "state"])?,
            restarts: by_server("mcpvisor_server_restarts_total", RESTARTS_HELP)?,
            ends: counters(&registry, "mcpvisor_child_ends_total", ENDS_HELP, &["server", "cause"])?,
            starts: Summaries::declare(&registry, "mcpvisor_server_start_seconds", STARTS_HELP, None)?,
            waits: Summaries::declare(&registry, "mcpvisor_call_queue_seconds", WAITS_HELP, None)?,
            stdout_noise: by_server("mcpvisor_child_stdout_noise_lines_total", NOISE_HELP)?,
            stderr_lines: by_server("mcpvisor_child_stderr_lines_total", "Lines on a child's stderr.")?,
            late_replies: by_server("mcpvisor_child_late_replies_total", LATE_HELP)?,
            lost_sessions: by_server("mcpvisor_remote_sessions_lost_total", LOST_HELP)?,
            tool_changes: by_server("mcpvisor_tool_changes_total", TOOL_CHANGES_HELP)?,
        };
        let tools = ToolFamilies::declare(&registry)?;
        let answers = Answers::declare(&registry)?;
        let refusals = counters(&registry, "mcpvisor_refusals_total", REFUSALS_HELP, &["reason"])?;
        for reason in USUAL_REFUSALS {
            refusals.get_metric_with_label_values(&[reason])?;
        }
        let kept = Kept::declare(&registry)?;
        let deprecated = DeprecatedUse::declare(&registry)?;
        let http_connections =
            register(&registry, IntGauge::new("mcpvisor_http_connections", "Open HTTP connections.")?)?;
        let reload_good = register(
            &registry,
            IntGauge::new("mcpvisor_config_last_reload_successful", "Whether the servers files were good.")?,
        )?;
        let reload_time = register(
            &registry,
            IntGauge::new(
                "mcpvisor_config_last_reload_success_timestamp_seconds",
                "When the servers files were last applied, in seconds since 1970.",
            )?,
        )?;
        gauges(
            &registry,
            "mcpvisor_build_info",
            "Always 1; the label says which version runs.",
            &["version"],
        )?
        .get_metric_with_label_values(&[version])?
        .set(1);
        let process = ProcessMetrics::declare(&registry)?;
        let table = Mutex::default();
        let shared = Shared {
            registry,
            families,
            tools,
            answers,
            refusals,
            http_connections,
            reload_good,
            kept,
            deprecated,
            process,
            read_process,
            reload_time,
            states,
            table,
        };
        let metrics = Metrics { shared: Arc::new(shared) };
        // The start has applied the servers files, or the daemon would not run.
        metrics.reloaded(true);
        Ok(metrics)
    }

    /// Returns the handles of a server. The first call resolves them, later calls return the same ones until
    /// the server is removed.
    ///
    /// # Errors
    /// A label that prometheus refuses, which is a defect of this file.
    pub fn server(&self, name: &str) -> Result<ServerMetrics, MetricsError> {
        let mut table = self.shared.table();
        if let Some(known) = table.servers.get(name) {
            return Ok(known.clone());
        }
        let made = self.resolve(name, &mut table)?;
        table.servers.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// Removes a server: its series disappear and free their places. Handles that are still held count nothing
    /// from then on.
    pub fn remove_server(&self, name: &str) {
        let mut table = self.shared.table();
        let Some(server) = table.servers.remove(name) else { return };
        let inner = &server.inner;
        inner.leave();
        let families = &self.shared.families;
        // Removing fails only for series that do not exist, which is no problem here.
        if inner.own_plain {
            table.plain_servers -= 1;
            let _ = families.duration.remove_label_values(&[name]);
            let _ = families.in_flight.remove_label_values(&[name]);
            for family in &families.snapshot {
                let _ = family.remove_label_values(&[name]);
            }
            for family in [
                &families.restarts,
                &families.stdout_noise,
                &families.stderr_lines,
                &families.late_replies,
                &families.lost_sessions,
                &families.tool_changes,
            ] {
                let _ = family.remove_label_values(&[name]);
            }
            families.starts.remove(name);
            families.waits.remove(name);
            self.shared.tools.remove(name);
            for cause in inner.causes.swap(Arc::default()).iter() {
                table.end_series -= 1;
                let _ = families.ends.remove_label_values(&[name, cause]);
            }
        }
        if inner.own_state {
            table.state_servers -= 1;
            for state in self.shared.states {
                let _ = families.state.remove_label_values(&[name, state]);
            }
        }
        for series in inner.calls.swap(Arc::default()).iter().filter(|series| series.own) {
            table.call_series -= 1;
            let _ = families.calls.remove_label_values(&[name, series.kind.name(), series.outcome]);
        }
    }

    /// Sets the number of open HTTP connections.
    pub fn set_http_connections(&self, open: usize) {
        self.shared.http_connections.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// Counts an answer to an HTTP request. On the path of every call.
    pub fn count_answer(&self, surface: Surface, status: u16, took: Duration) {
        self.shared.answers.count(surface, status, took);
    }

    /// Counts a request that was refused before any server could have it. Reasons are constants of the program, since
    /// each new one makes a new series.
    pub fn count_refusal(&self, reason: &'static str) {
        self.shared.refusals.with_label_values(&[reason]).inc();
    }

    /// Counts a use of what MCP has deprecated, by the client of this name; `None` for one without.
    pub fn count_deprecated(&self, feature: Deprecated, client: Option<&str>) {
        self.shared.deprecated.count(feature, client);
    }

    /// Sets whether changes cannot be stored.
    pub fn set_store_degraded(&self, degraded: bool) {
        self.shared.kept.store_degraded.set(i64::from(degraded));
    }

    /// Sets whether a backup replaces the store, which cannot be opened.
    pub fn set_store_from_backup(&self, from_backup: bool) {
        self.shared.kept.store_from_backup.set(i64::from(from_backup));
    }

    /// Sets the time since usage was last written.
    pub fn set_flush_age(&self, age: Duration) {
        self.shared.kept.flush_age.set(age.as_secs_f64());
    }

    /// Sets the number of audit entries that could not be written since the start.
    pub fn set_audit_lost(&self, lost: u64) {
        // Two callers that report the same number at once must not count it twice.
        let _one_after_the_other = self.shared.table();
        let counter = &self.shared.kept.audit_lost;
        counter.inc_by(lost.saturating_sub(counter.get()));
    }

    /// Sets the number of audit entries that were only counted since the start.
    pub fn set_audit_unrecorded(&self, unrecorded: u64) {
        let _one_after_the_other = self.shared.table();
        let counter = &self.shared.kept.audit_unrecorded;
        counter.inc_by(unrecorded.saturating_sub(counter.get()));
    }

    /// Sets the numbers of spans that were sent and dropped since the start.
    pub fn set_spans(&self, exported: u64, dropped: u64) {
        let _one_after_the_other = self.shared.table();
        for (counter, now) in
            [(&self.shared.kept.spans_exported, exported), (&self.shared.kept.spans_dropped, dropped)]
        {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }

    /// Sets whether the machine's clock is considered wrong.
    pub fn set_clock_in_doubt(&self, in_doubt: bool) {
        self.shared.kept.clock_in_doubt.set(i64::from(in_doubt));
    }

    /// Sets the number of processes that the daemon adopted and that belong to no known server, and the number
    /// of those that were ended since the start.
    pub fn set_strays(&self, left: usize, ended: u64) {
        // Two callers that report the same number at once must not count it twice.
        let _one_after_the_other = self.shared.table();
        self.shared.kept.strays.set(i64::try_from(left).unwrap_or(i64::MAX));
        let counter = &self.shared.kept.strays_ended;
        counter.inc_by(ended.saturating_sub(counter.get()));
    }

    /// Records whether the servers files could be applied.
    pub fn reloaded(&self, good: bool) {
        self.shared.reload_good.set(i64::from(good));
        if good {
            let now = unix_time::seconds(clock::wall_clock());
            self.shared.reload_time.set(i64::try_from(now).unwrap_or(i64::MAX));
        }
    }

    /// Returns the number of calls that ended, of all servers that exist now.
    pub fn calls(&self) -> u64 {
        let families = self.shared.families.calls.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        // The counter holds whole numbers, which the collected form represents as floats.
        series.map(|series| series.get_counter().get_value() as u64).sum()
    }

    /// Returns all metrics in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> String {
        if let Some(sample) = (self.shared.read_process)() {
            // A counter takes steps, so two callers must not take the same one.
            let _one_after_the_other = self.shared.table();
            self.shared.process.set(&sample);
        }
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.shared.registry.gather(), &mut text) {
            tracing::error!(%error, "the metrics could not be written completely");
        }
        text
    }

    fn resolve(&self, name: &str, table: &mut Table) -> Result<ServerMetrics, MetricsError> {
        let families = &self.shared.families;
        let own_plain = name != OTHER && table.plain_servers < MAX_SERIES;
        let own_state = name != OTHER && (table.state_servers + 1) * self.shared.states.len() <= MAX_SERIES;
        let plain = [if own_plain { name } else { OTHER }];
        let state_label = if own_state { name } else { OTHER };
        let states = self.shared.states.iter().map(|state| {
            let gauge = families.state.get_metric_with_label_values(&[state_label, state])?;
            Ok((*state, gauge))
        });
        let inner = ServerInner {
            name: name.to_owned(),
            own_plain,
            own_state,
            calls: ArcSwap::default(),
            duration: families.duration.get_metric_with_label_values(&plain)?,
            in_flight: families.in_flight.get_metric_with_label_values(&plain)?,
            in_flight_now: AtomicI64::new(0),
            states: states.collect::<Result<_, MetricsError>>()?,
            state_now: AtomicUsize::new(NO_STATE),
            snapshot: families
                .snapshot
                .iter()
                .filter(|_| own_plain)
                .map(|family| Ok(family.get_metric_with_label_values(&plain)?))
                .collect::<Result<_, MetricsError>>()?,
            restarts: families.restarts.get_metric_with_label_values(&plain)?,
            causes: ArcSwap::default(),
            stdout_noise: families.stdout_noise.get_metric_with_label_values(&plain)?,
            stderr_lines: families.stderr_lines.get_metric_with_label_values(&plain)?,
            late_replies: families.late_replies.get_metric_with_label_values(&plain)?,
            lost_sessions: families.lost_sessions.get_metric_with_label_values(&plain)?,
            tool_changes: families.tool_changes.get_metric_with_label_values(&plain)?,
        };
        families.starts.add(plain[0], "", 0, 0.0);
        families.waits.add(plain[0], "", 0, 0.0);
        for kind in Kind::ALL {
            self.shared.add_call_series(&inner, kind, OK, table)?;
        }
        table.plain_servers += usize::from(own_plain);
        table.state_servers += usize::from(own_state);
        Ok(ServerMetrics { shared: Arc::clone(&self.shared), inner: Arc::new(inner) })
    }
}

const CALLS_HELP: &str = "Calls by what they asked for and how they ended.";
const STATE_HELP: &str = "1 for the state that the server is in; of `other`, how many servers are in it.";
const NOISE_HELP: &str = "Lines on a child's stdout that are not JSON-RPC.";
const LATE_HELP: &str = "Replies of a child that nobody waited for any more.";
const LOST_HELP: &str = "Sessions that a remote server did not know any more, and that were opened anew.";
const TOOL_CHANGES_HELP: &str = "Tools that were found not to be as they were approved.";
const ENDS_HELP: &str = "Children that ended, by cause; `requested` where they were told to.";
const STARTS_HELP: &str = "Starts that succeeded, and how long they took until calls were taken.";
const WAITS_HELP: &str = "Calls that had to wait for a place or a child, and how long they did.";
const REFUSALS_HELP: &str = "Requests that were refused before any server could have them.";
/// Refusals that are told of from the start, at zero: an alert on their rate must see the first one.
const USUAL_REFUSALS: [&str; 6] =
    ["breaker_open", "overloaded", "quota_exceeded", "rate_limited", "too_many_calls", "unauthenticated"];
const RESTARTS_HELP: &str = "Children that were started after a server's first one.";

impl Shared {
    /// Locks the table, also after a panic: no code under the lock can leave the table half changed in a way
    /// that matters, so a panic elsewhere is no reason to stop counting.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_call_series(
        &self,
        inner: &ServerInner,
        kind: Kind,
        outcome: &'static str,
        table: &mut Table,
    ) -> Result<IntCounter, MetricsError> {
        let own = inner.name != OTHER && table.call_series < MAX_SERIES;
        let label = if own { inner.name.as_str() } else { OTHER };
        let counter = self.families.calls.get_metric_with_label_values(&[label, kind.name(), outcome])?;
        table.call_series += usize::from(own);
        let mut series = inner.calls.load().as_ref().clone();
        series.push(CallSeries { kind, outcome, counter: counter.clone(), own });
        inner.calls.store(Arc::new(series));
        Ok(counter)
    }
}

fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, MetricsError> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, MetricsError> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, MetricsError> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
