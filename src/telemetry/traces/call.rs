//! The trace of one call under way: what its spans are told, part after part.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Tracer;
use super::otlp::{CallSpans, Kind, Part, Value};
use crate::text::hex;
use crate::traceparent::traceparent;

/// Shortest wait for the store that is told of: without one a call needs less.
const WORTH_A_SPAN: Duration = Duration::from_micros(200);
/// Longest text of a caller's in a span, in bytes: as long as MCP lets the name of a tool be.
const MAX_TEXT: usize = 128;
/// Most parts of a call that are told of; one that is queued and given back again and again would have any number.
const MAX_PARTS: usize = 16;
/// Outcome of a call that went well.
const OK: &str = "ok";
/// Outcome of a call whose caller has left.
const CANCELLED: &str = "cancelled";

/// Trace of one call under way. One that is dropped before its end is of a call whose caller has left.
pub struct CallTrace {
    tracer: Tracer,
    started: Instant,
    trace_id: [u8; 16],
    is_continued: bool,
    /// `None` once it is handed over. Its lock is taken by the call itself only, one part after the other.
    record: Mutex<Option<Box<CallSpans>>>,
}

/// Why a child did not answer a call, or not as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChildFailure {
    /// One word for it.
    pub kind: &'static str,
    /// Code of the JSON-RPC error that it answered with; `None` if it did not.
    pub code: Option<i64>,
}

impl CallTrace {
    pub(super) fn new(tracer: Tracer, spans: CallSpans, is_continued: bool) -> CallTrace {
        let trace_id = spans.trace_id;
        let record = Mutex::new(Some(Box::new(spans)));
        CallTrace { tracer, started: Instant::now(), trace_id, is_continued, record }
    }

    /// Returns the `traceparent` for the child.
    pub fn for_child(&self) -> String {
        self.with(|record| traceparent(record.trace_id, record.child_id)).unwrap_or_default()
    }

    /// Reports whether it goes on a trace of the caller's.
    pub fn is_continued(&self) -> bool {
        self.is_continued
    }

    /// Returns the id of the trace, in hexadecimal.
    pub fn id(&self) -> String {
        hex(&self.trace_id)
    }

    /// Names the span of the call by its method and what that is for, of which only the beginning is kept.
    pub fn name(&self, method: &str, target: Option<&str>) {
        let name = match target {
            Some(target) => format!("{method} {}", beginning(target)),
            None => method.to_owned(),
        };
        self.with(|record| record.name = name);
    }

    /// Says what the call is, by a constant of the program.
    pub fn is(&self, name: &'static str, value: &'static str) {
        self.with(|record| record.attributes.push((name, Value::Name(value))));
    }

    /// Says what the call is, by a text that may be another's; only its beginning is kept. What was said before by this name
    /// is said no more.
    pub fn tell(&self, name: &'static str, text: &str) {
        let text = beginning(text).to_owned();
        self.with(|record| {
            record.attributes.retain(|(known, _)| *known != name);
            record.attributes.push((name, Value::Text(text)));
        });
    }

    /// Records that the store was asked from `since` to now, if that has taken a while.
    pub fn asked_store(&self, since: Instant) {
        if since.elapsed() >= WORTH_A_SPAN {
            self.begin_part("store", Kind::Internal, since, Vec::new());
            self.end_part(None, None);
        }
    }

    /// Records that the call begins to wait for a place, or for a child that has one.
    pub fn begin_queue(&self) {
        self.begin_part("queue", Kind::Internal, Instant::now(), Vec::new());
    }

    /// Records the end of that wait; `error` is why there was no place.
    pub fn end_queue(&self, error: Option<&'static str>) {
        self.end_part(error, None);
    }

    /// Records that a child, by its number, begins to have the call.
    pub fn begin_child(&self, is_remote: bool, number: u64) {
        let transport = if is_remote { "tcp" } else { "pipe" };
        let attributes = vec![
            ("network.transport", Value::Name(transport)),
            ("mcpvisor.child", Value::Number(i64::try_from(number).unwrap_or(i64::MAX))),
        ];
        self.begin_part("", Kind::Client, Instant::now(), attributes);
    }

    /// Records that it has it no more.
    pub fn end_child(&self, failure: Option<ChildFailure>) {
        self.end_part(failure.map(|failure| failure.kind), failure.and_then(|failure| failure.code));
    }

    fn begin_part(
        &self,
        name: &'static str,
        kind: Kind,
        since: Instant,
        attributes: Vec<(&'static str, Value)>,
    ) {
        let after = since.saturating_duration_since(self.started);
        self.with(|record| {
            if record.parts.len() < MAX_PARTS {
                record.parts.push(Part { name, kind, after, took: None, error: None, attributes });
            }
        });
    }

    fn end_part(&self, error: Option<&'static str>, code: Option<i64>) {
        let now = self.started.elapsed();
        self.with(|record| {
            let Some(part) = record.parts.last_mut().filter(|part| part.took.is_none()) else { return };
            part.end(now, error);
            if let Some(code) = code {
                part.attributes.push(("rpc.response.status_code", Value::Text(code.to_string())));
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut CallSpans) -> T) -> Option<T> {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        record.as_deref_mut().map(act)
    }

    /// Ends the trace: what is recorded is handed over to be sent. Later ends change nothing.
    pub fn end(&self, outcome: &'static str) {
        let took = self.started.elapsed();
        let record = self.record.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut record) = record else { return };
        record.took = took;
        record.error = (outcome != OK).then_some(outcome);
        record.attributes.push(("mcpvisor.outcome", Value::Name(outcome)));
        for part in record.parts.iter_mut().filter(|part| part.took.is_none()) {
            part.end(took, Some(CANCELLED));
        }
        self.tracer.hand_over(record);
    }
}

fn beginning(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

impl Drop for CallTrace {
    fn drop(&mut self) {
        self.end(CANCELLED);
    }
}
