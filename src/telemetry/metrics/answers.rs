//! Answers to HTTP requests by dialect and status, and how long they took. Counted for every request, so a count is two
//! additions to numbers whose place is computed: no lock, no search and no text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Histogram, Metric, MetricFamily, MetricType};
use prometheus::{Opts, Registry};

use super::summaries::label;
use super::{MetricsError, register};

/// Surface of HTTP that a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// `/v1`.
    PlexMcp,
    /// `/api`.
    McpCli,
    /// `/mcp`.
    Mcp,
    /// The dashboard.
    Ui,
    /// Metadata about authorization.
    OAuth,
    /// Health, metrics, and paths that belong to nobody.
    Admin,
}

impl Surface {
    /// All surfaces, each at its own number.
    const ALL: [Surface; 6] =
        [Surface::PlexMcp, Surface::McpCli, Surface::Mcp, Surface::Ui, Surface::OAuth, Surface::Admin];

    /// Returns the value of the `dialect` label.
    fn name(self) -> &'static str {
        match self {
            Surface::PlexMcp => "plexmcp",
            Surface::McpCli => "mcp_cli",
            Surface::Mcp => "mcp",
            Surface::Ui => "ui",
            Surface::OAuth => "oauth",
            Surface::Admin => "admin",
        }
    }
}

/// First status, and number of statuses, that are told apart.
const FIRST: u16 = 100;
const STATUSES: usize = 500;
/// Upper bounds of the buckets, in microseconds, and as seconds in a label.
const BOUNDS: [(u64, f64); 8] = [
    (1_000, 0.001),
    (5_000, 0.005),
    (20_000, 0.02),
    (100_000, 0.1),
    (500_000, 0.5),
    (2_000_000, 2.0),
    (10_000_000, 10.0),
    (60_000_000, 60.0),
];

/// The families of answers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Answers(Arc<AnswerTable>);

struct AnswerTable {
    requests: Desc,
    duration: Desc,
    surfaces: [OfSurface; Surface::ALL.len()],
}

struct OfSurface {
    statuses: [AtomicU64; STATUSES],
    /// Number of answers in each bucket, the last of which has no bound; not cumulative.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    total_us: AtomicU64,
}

impl OfSurface {
    fn new() -> OfSurface {
        OfSurface {
            statuses: [const { AtomicU64::new(0) }; STATUSES],
            buckets: [const { AtomicU64::new(0) }; BOUNDS.len() + 1],
            total_us: AtomicU64::new(0),
        }
    }
}

impl Answers {
    pub(super) fn declare(registry: &Registry) -> Result<Answers, MetricsError> {
        let desc = |name: &str, help: &str, labels: &[&str]| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            let opts = Opts::new(name, help).variable_labels(labels);
            Desc::new(opts.name, opts.help, opts.variable_labels, opts.const_labels)
        };
        let table = AnswerTable {
            requests: desc(
                "mcpvisor_http_requests_total",
                "HTTP requests by dialect and the status of their answer.",
                &["dialect", "status"],
            )?,
            duration: desc(
                "mcpvisor_http_request_duration_seconds",
                "Time from the head of a request to the head of its answer.",
                &["dialect"],
            )?,
            surfaces: Surface::ALL.map(|_| OfSurface::new()),
        };
        register(registry, Answers(Arc::new(table)))
    }

    /// Counts an answer.
    pub(super) fn count(&self, surface: Surface, status: u16, took: Duration) {
        let of = &self.0.surfaces[surface as usize];
        let status = usize::from(status.saturating_sub(FIRST)).min(STATUSES - 1);
        of.statuses[status].fetch_add(1, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| us <= *bound).unwrap_or(BOUNDS.len());
        of.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        of.total_us.fetch_add(us, Ordering::Relaxed);
    }
}

impl Collector for Answers {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.0.requests, &self.0.duration]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let (mut requests, mut durations) = (Vec::new(), Vec::new());
        for (surface, of) in Surface::ALL.into_iter().zip(&self.0.surfaces) {
            let dialect = || label("dialect", surface.name());
            for (index, count) in of.statuses.iter().enumerate() {
                let count = count.load(Ordering::Relaxed);
                // A series whose first value is not zero has no rate at first; 200 and 500 are those to have one.
                let status = usize::from(FIRST) + index;
                if count > 0 || matches!(status, 200 | 500) {
                    let mut counter = Counter::default();
                    counter.set_value(count as f64);
                    let mut metric =
                        Metric::from_label(vec![dialect(), label("status", &status.to_string())]);
                    metric.set_counter(counter);
                    requests.push(metric);
                }
            }
            let mut metric = Metric::from_label(vec![dialect()]);
            metric.set_histogram(histogram(of));
            durations.push(metric);
        }
        vec![
            family(&self.0.requests, MetricType::COUNTER, requests),
            family(&self.0.duration, MetricType::HISTOGRAM, durations),
        ]
    }
}

fn histogram(of: &OfSurface) -> Histogram {
    let mut below = 0;
    let mut buckets = Vec::with_capacity(BOUNDS.len());
    for ((_, bound), count) in BOUNDS.iter().zip(&of.buckets) {
        below += count.load(Ordering::Relaxed);
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        buckets.push(bucket);
    }
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(below + of.buckets[BOUNDS.len()].load(Ordering::Relaxed));
    histogram.set_sample_sum(of.total_us.load(Ordering::Relaxed) as f64 / 1e6);
    histogram
}

fn family(desc: &Desc, kind: MetricType, series: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(desc.fq_name.clone());
    family.set_help(desc.help.clone());
    family.set_field_type(kind);
    family.set_metric(series);
    family
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::TextEncoder;

    #[test]
    fn answers_are_counted_by_dialect_and_status_and_by_how_long_they_took() {
        let registry = Registry::new();
        let answers = Answers::declare(&registry).expect("declared");
        answers.count(Surface::PlexMcp, 200, Duration::from_millis(1));
        answers.count(Surface::PlexMcp, 200, Duration::from_millis(30));
        answers.count(Surface::PlexMcp, 429, Duration::from_secs(120));
        answers.count(Surface::Mcp, 999, Duration::ZERO);
        answers.count(Surface::Mcp, 0, Duration::ZERO);
        let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("text");
        for line in [
            r#"mcpvisor_http_requests_total{dialect="plexmcp",status="200"} 2"#,
            r#"mcpvisor_http_requests_total{dialect="plexmcp",status="429"} 1"#,
            r#"mcpvisor_http_requests_total{dialect="admin",status="200"} 0"#,
            r#"mcpvisor_http_requests_total{dialect="mcp",status="599"} 1"#,
            r#"mcpvisor_http_requests_total{dialect="mcp",status="100"} 1"#,
            r#"mcpvisor_http_request_duration_seconds_bucket{dialect="plexmcp",le="0.001"} 1"#,
            r#"mcpvisor_http_request_duration_seconds_bucket{dialect="plexmcp",le="0.1"} 2"#,
            r#"mcpvisor_http_request_duration_seconds_bucket{dialect="plexmcp",le="60"} 2"#,
            r#"mcpvisor_http_request_duration_seconds_bucket{dialect="plexmcp",le="+Inf"} 3"#,
            r#"mcpvisor_http_request_duration_seconds_sum{dialect="plexmcp"} 120.031"#,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
    }
}
