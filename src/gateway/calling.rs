//! The operations that the REST dialects and questions have: calls of tools and reads of resources, each written as
//! MCP's request and read from MCP's answer.

use bytes::Bytes;

use super::dispatch::Said;
use super::forward::{Answered, Invocation, Operation, Payload};
use super::{Error, Gateway, Principal, ResourceRead, ResourceReply, ToolCall, ToolReply};
use crate::jsonrpc::{RpcError, one_line, push_string};
use crate::mcp::{self, NoResult};
use crate::telemetry::metrics::OK;
use crate::upstream::Call;

impl Gateway {
    /// Calls a tool, by the request that was made of this call. A call that may have reached the child is never repeated.
    /// Dropping the future cancels the call. Where calls have to queue, each key has its own queue.
    pub fn call_tool<'a>(
        &'a self,
        call: &'a ToolCall<'a>,
        request: &'a mut PreparedCall,
        caller: &'a Principal,
    ) -> impl Future<Output = Result<ToolReply, Error>> + Send + 'a {
        let invocation = Invocation {
            server: &call.server,
            operation: Operation::ToolCall(&call.tool),
            call: &mut request.0,
            sent: call.arguments.map_or(0, str::len),
            timeout: call.timeout,
            found: None,
        };
        // No future of its own: each would have its place in that of every call.
        self.forward::<mcp::ToolResult>(caller, invocation)
    }

    /// Reads a resource. `caller` has the meaning of that in [`Gateway::call_tool`].
    pub async fn read_resource(
        &self,
        read: ResourceRead<'_>,
        caller: &Principal,
    ) -> Result<ResourceReply, Error> {
        let ResourceRead { server, uri, meta, timeout } = read;
        let mut members = b"\"uri\":".to_vec();
        push_string(&mut members, uri);
        let operation = Operation::ResourceRead(uri);
        let mut request = Call::new(operation.method(), members.into());
        request.meta = meta;
        let call = &mut Some(request);
        let invocation = Invocation { server, operation, call, sent: uri.len(), timeout, found: None };
        let answered = self.forward::<mcp::ReadContents>(caller, invocation).await?;
        let catalog = answered.handle.catalog();
        let known = catalog.resources().iter().find(|known| &*known.uri == uri);
        let name = known.and_then(|known| known.name.clone());
        let (server_id, latency) = (answered.entry.id.clone(), answered.latency);
        Ok(ResourceReply { server_id, contents: answered.payload, name, latency })
    }
}

/// A call of a tool as MCP's request.
#[derive(Debug)]
pub struct PreparedCall(Option<Call>);

impl PreparedCall {
    /// Makes the request of a call.
    pub fn of(call: &ToolCall<'_>) -> PreparedCall {
        let mut request = Call::new(Operation::ToolCall(&call.tool).method(), tool_members(call));
        (request.meta, request.progress) = (call.meta.clone(), true);
        PreparedCall(Some(request))
    }

    /// Reports whether the server has provably not had it, also if the call was dropped before its end.
    pub fn is_unseen(&self) -> bool {
        self.0.is_some()
    }
}

impl Payload for mcp::ToolResult {
    type Reply = ToolReply;

    fn read(said: Said) -> Result<mcp::ToolResult, Error> {
        match said {
            Ok(result) => mcp::read_tool_result(&result).map_err(without_result),
            Err(error) if error.code == mcp::CAPABILITY_REQUIRED => Err(Error::InputRequired),
            Err(error) if error.code == -32602 => Err(Error::InvalidArguments { message: error.message }),
            Err(error) => Err(from_rpc(error)),
        }
    }

    fn bytes(&self) -> usize {
        self.content.len() + self.structured.as_ref().map_or(0, Bytes::len)
    }

    fn outcome(&self) -> &'static str {
        if self.is_error { "tool_error" } else { OK }
    }

    fn reply(answered: Answered<mcp::ToolResult>) -> ToolReply {
        let Answered { payload, entry, latency, .. } = answered;
        let mcp::ToolResult { structured, content, is_error, whole } = payload;
        ToolReply { server_id: entry.id.clone(), structured, content, is_error, whole, latency }
    }
}

impl Payload for mcp::ReadContents {
    type Reply = Answered<mcp::ReadContents>;

    fn read(said: Said) -> Result<mcp::ReadContents, Error> {
        match said {
            Ok(result) => mcp::read_contents(&result).map_err(|reason| Error::BadReply { reason }),
            // -32002 up to 2025-11-25, -32602 since and in servers that never knew the former.
            Err(error) if matches!(error.code, -32002 | -32602) => {
                Err(Error::ResourceNotFound { message: error.message })
            }
            Err(error) => Err(from_rpc(error)),
        }
    }

    fn bytes(&self) -> usize {
        self.iter().map(|one| one.get().len()).sum()
    }

    fn reply(answered: Answered<mcp::ReadContents>) -> Answered<mcp::ReadContents> {
        answered
    }
}

/// Returns the members of `params` of a tool call, on one line.
fn tool_members(call: &ToolCall<'_>) -> Bytes {
    let (name, arguments) = (b"\"name\":", b",\"arguments\":");
    let given = one_line(call.arguments.unwrap_or("{}").as_bytes());
    // Exactly as long as needed unless something is escaped: then the bytes are taken over as they are.
    let mut members = Vec::with_capacity(name.len() + call.tool.len() + 2 + arguments.len() + given.len());
    members.extend_from_slice(name);
    push_string(&mut members, &call.tool);
    members.extend_from_slice(arguments);
    members.extend_from_slice(&given);
    members.into()
}

fn without_result(why: NoResult) -> Error {
    match why {
        NoResult::InputRequired => Error::InputRequired,
        NoResult::Unusable(reason) => Error::BadReply { reason },
    }
}

fn from_rpc(error: RpcError) -> Error {
    Error::Rpc { code: error.code, message: error.message, data: error.data }
}
