//! Traces of calls, for whoever collects them by OTLP over HTTP. Off unless an endpoint is set: then a call costs a
//! comparison. On, a call makes one record, which is encoded and sent elsewhere; a record that finds no room is dropped and
//! counted, so that no call ever waits for a collector.
//!
//! Our own and not the opentelemetry crates: those (0.33.1, `http-proto` with the reqwest client that is there anyway) make
//! a release binary 501,512 bytes larger, and a call has four kinds of spans.

mod call;
mod exporter;
mod otlp;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{Notify, mpsc, oneshot};

pub use self::call::{CallTrace, ChildFailure};
pub use self::exporter::Headers;
use self::exporter::Message;
use self::otlp::CallSpans;
use crate::traceparent::Parent;
use crate::{clock, unix_time};

/// Number of calls whose spans may wait to be sent; as many spans as OpenTelemetry's SDKs let wait by default, and more.
const QUEUE: usize = 2048;
/// Longest time that a stop waits for the last spans to be sent.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// Which calls are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// `true` if a caller that names a trace decides for its calls.
    pub by_parent: bool,
    /// Share of the other calls that are traced, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { by_parent: true, ratio: 1.0 }
    }
}

/// Settings of the traces.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Address that spans are posted to, with its path; `None` to make none.
    pub endpoint: Option<String>,
    /// Headers of each post.
    pub headers: Headers,
    /// Longest time that a post may take.
    pub timeout: Duration,
    /// What the spans are told to come from: names and values, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// Which calls are traced.
    pub sampling: Sampling,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            endpoint: None,
            headers: Headers::default(),
            timeout: Duration::from_secs(10),
            resource: vec![("service.name".to_owned(), "mcpvisor".to_owned())],
            sampling: Sampling::default(),
        }
    }
}

/// Maker of the traces. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(Arc<TracerState>);

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").finish_non_exhaustive()
    }
}

struct TracerState {
    records: mpsc::Sender<Message>,
    counters: Arc<SpanCounters>,
    sampling: Sampling,
}

/// What tracer and exporter share: the numbers of spans since the start.
#[derive(Debug, Default)]
struct SpanCounters {
    /// Ends the exporter's patience with a collector that takes nothing.
    closing: Notify,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    /// Starts sending spans, in a task of the runtime; `None` without an endpoint.
    ///
    /// # Errors
    /// The reason that no client for the endpoint can be made, for people.
    pub fn start(settings: &Settings) -> Result<Option<Tracer>, String> {
        let Some(endpoint) = &settings.endpoint else { return Ok(None) };
        let (records, queue) = mpsc::channel(QUEUE);
        let counters = Arc::<SpanCounters>::default();
        exporter::start(endpoint, settings, queue, counters.clone())?;
        Ok(Some(Tracer(Arc::new(TracerState { records, counters, sampling: settings.sampling }))))
    }

    /// Begins the trace of a call, which belongs to `parent`, a `traceparent` (W3C Trace Context), if there is one; with its
    /// `tracestate`. `None` if this call is not traced.
    pub fn begin(&self, parent: Option<&str>, state: Option<String>) -> Option<CallTrace> {
        let parent = parent.and_then(Parent::read);
        let mut random = [0; 32];
        // Without randomness there are no ids, and calls go on without traces.
        getrandom::fill(&mut random).ok()?;
        let [trace_id, rest @ ..] = [&random[..16], &random[16..24], &random[24..]];
        let is_wanted = match &parent {
            Some(parent) if self.0.sampling.by_parent => parent.is_sampled,
            Some(parent) => is_sampled(&parent.trace_id, self.0.sampling.ratio),
            None => is_sampled(trace_id, self.0.sampling.ratio),
        };
        if !is_wanted {
            return None;
        }
        let id = |bytes: &[u8]| -> [u8; 8] { bytes.try_into().unwrap_or([1; 8]) };
        let is_continued = parent.is_some();
        let spans = CallSpans {
            trace_id: parent
                .as_ref()
                .map_or_else(|| trace_id.try_into().unwrap_or([1; 16]), |known| known.trace_id),
            parent: parent.as_ref().map(|parent| parent.span_id),
            state: state.filter(|_| parent.is_some()),
            id: id(rest[0]),
            child_id: id(rest[1]),
            name: String::new(),
            begun: clock::wall_clock(),
            took: Duration::ZERO,
            error: None,
            attributes: Vec::new(),
            parts: Vec::new(),
        };
        Some(CallTrace::new(self.clone(), spans, is_continued))
    }

    /// Returns the numbers of spans that were sent, and that were dropped.
    pub fn spans(&self) -> (u64, u64) {
        let SpanCounters { exported, dropped, .. } = &*self.0.counters;
        (exported.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed))
    }

    /// Sends what waits, for a few seconds at most.
    pub async fn close(&self) {
        self.0.counters.closing.notify_one();
        let (told, done) = oneshot::channel();
        let sent = async {
            if self.0.records.send(Message::Flush(told)).await.is_ok() {
                let _ = done.await;
            }
        };
        if tokio::time::timeout(LAST_SPANS, sent).await.is_err() {
            tracing::warn!("the last spans could not be sent in time");
        }
    }

    fn hand_over(&self, record: Box<CallSpans>) {
        let spans = record.count();
        if self.0.records.try_send(Message::Call(record)).is_err() {
            self.0.counters.dropped.fetch_add(spans, Ordering::Relaxed);
        }
    }
}

/// Reports whether a trace is one of this share, by its id (as the `TraceIdRatioBased` sampler decides).
fn is_sampled(trace_id: &[u8], ratio: f64) -> bool {
    let number = trace_id[8..].try_into().map_or(0, u64::from_be_bytes) >> 11;
    (number as f64) < ratio * (1_u64 << 53) as f64
}

/// Returns when something began, as nanoseconds since 1970.
fn nanoseconds(at: SystemTime) -> u64 {
    u64::try_from(unix_time::since_epoch(at).as_nanos()).unwrap_or(u64::MAX)
}
