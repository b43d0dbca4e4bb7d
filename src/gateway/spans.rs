//! The trace of a call: which one it goes on, and what its spans are told of it.

use std::sync::Arc;

use crate::access::Principal;
use crate::mcp::translate::{trace_of_members, with_parent};
use crate::telemetry::traces::{CallTrace, Tracer};
use crate::upstream::Call;

/// Begins the trace of a call, and has the child go on with it. `None` if it is not traced. Names and attributes are those of
/// OpenTelemetry's conventions for MCP; what they have no name for begins with `mcpvisor`.
pub(super) fn begin(
    tracer: &Tracer,
    call: &mut Call,
    (method, tool): (&'static str, Option<&str>),
    server: &str,
    caller: &Principal,
) -> Option<Box<CallTrace>> {
    let (parent, state) = match &call.envelope {
        Some(envelope) => envelope.trace(),
        None => trace_of_members(&call.meta),
    };
    let trace = tracer.begin(parent.as_deref(), state)?;
    let (for_child, is_new) = (trace.for_child(), !trace.is_continued());
    match &mut call.envelope {
        // Kept with the head of a connection, and told to other calls as it was.
        Some(envelope) => Arc::make_mut(envelope).set_parent(&for_child, is_new),
        None => call.meta = with_parent(&call.meta, &for_child, is_new),
    }
    let origin = caller.origin();
    // The names of tools that there are not would make as many spans of different names.
    trace.name(method, None);
    trace.is("mcp.method.name", method);
    if let Some(tool) = tool {
        trace.is("gen_ai.operation.name", "execute_tool");
        trace.tell("gen_ai.tool.name", tool);
    }
    trace.tell("mcpvisor.server", server);
    trace.is("mcpvisor.dialect", origin.dialect.name());
    trace.tell("mcpvisor.key_id", caller.key_id());
    trace.tell("mcpvisor.request_id", &origin.request.to_string());
    Some(Box::new(trace))
}

/// Names the span of a call that its server is to have. Until then it is as its caller wrote.
pub(super) fn admitted(trace: &CallTrace, (method, tool): (&'static str, Option<&str>), server: &str) {
    trace.name(method, tool);
    trace.tell("mcpvisor.server", server);
}
