//! Trace context in the headers of requests.

use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;
use memchr::memmem;

use crate::mcp::translate::{TRACEPARENT, TraceContext, of_headers};

static PARENT: HeaderName = HeaderName::from_static(TRACEPARENT);

/// Returns the trace that the headers of a request name; `None` if they name none.
pub(in crate::http) fn trace_of(headers: &HeaderMap) -> Option<TraceContext<'_>> {
    if !headers.contains_key(&PARENT) {
        return None;
    }
    of_headers(|name| headers.get(name).and_then(|value| value.to_str().ok()))
}

/// Returns the members of `_meta` that say the same, without braces; empty for none.
pub(in crate::http) fn trace_members(headers: &HeaderMap) -> Bytes {
    let Some(trace) = trace_of(headers) else { return Bytes::new() };
    let mut members = Vec::new();
    trace.write(&mut members);
    members.into()
}

/// Adds the members of a trace to those of a `_meta`, unless that names one.
pub(in crate::http) fn add_trace(meta: Bytes, trace: &Bytes) -> Bytes {
    match (meta.is_empty(), trace.is_empty()) {
        (_, true) => meta,
        (true, false) => trace.clone(),
        (false, false) if memmem::find(&meta, TRACEPARENT.as_bytes()).is_some() => meta,
        (false, false) => [&meta[..], b",", &trace[..]].concat().into(),
    }
}
