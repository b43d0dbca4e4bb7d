//! The line of a call in the log, for those who ask for one (`log.calls`): who called what, in which request, how it ended and
//! how long it took. Never what was asked or answered.

use std::time::Duration;

use crate::access::Principal;
use crate::telemetry::logging::CALLS;
use crate::telemetry::metrics::Kind;
use crate::telemetry::traces::CallTrace;

/// Longest name of a tool in a line, in bytes: as long as MCP lets one be. A caller may name what there is not.
const MAX_TOOL: usize = 128;

/// Logs a call that has ended. Where no lines are wanted, this is a comparison.
pub(super) fn log_call(
    server: &str,
    caller: &Principal,
    (kind, tool): (Kind, &str),
    took: Duration,
    outcome: &'static str,
    trace: Option<&CallTrace>,
) {
    if !tracing::enabled!(target: CALLS, tracing::Level::INFO) {
        return;
    }
    let origin = caller.origin();
    tracing::info!(
        target: CALLS,
        dialect = origin.dialect.name(),
        key = &**caller.key_id(),
        server,
        kind = kind.name(),
        tool = (!tool.is_empty()).then_some(&tool[..tool.floor_char_boundary(MAX_TOOL)]),
        outcome,
        ms = took.as_micros() as f64 / 1000.0,
        request_id = %origin.request,
        trace_id = trace.map(CallTrace::id),
        "call"
    );
}
