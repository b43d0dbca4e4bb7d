//! A call of a tool between the body that asks for it and the gateway that makes it.

use bytes::Bytes;

use super::errors::ApiError;
use super::{RequestContext, Shared, bodies};
use crate::gateway::ToolCall;
use crate::http::core::trace::add_trace;

/// Reads the call that a body asks for.
pub(super) fn read<'a>(shared: &Shared, body: &'a Bytes) -> Result<ToolCall<'a>, ApiError> {
    bodies::read_invoke(body, shared.gateway.settings().max_call_timeout)
}

/// Returns a call as it is made: with the trace that its caller is in, and said to the audit if that has calls.
pub(super) fn recorded<'a>(
    shared: &Shared,
    context: &RequestContext,
    mut call: ToolCall<'a>,
    trace: &Bytes,
) -> ToolCall<'a> {
    call.meta = add_trace(call.meta, trace);
    if shared.gateway.audit().settings().calls {
        let arguments = call.arguments.unwrap_or("{}");
        context.calls(format!("{}/{}", call.server, call.tool), arguments.as_bytes());
    }
    call
}
