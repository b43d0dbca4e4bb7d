//! A call, from the caller's request to the answer: looked up, admitted, counted, dispatched.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::dispatch::{CallTerms, Unchecked, dispatch, lists_are_current, require_tool};
use super::keychange::calls_at_once;
use super::standing::{Asker, present};
use super::{Error, Gateway, Principal, ResourceReply, ServerEntry, ToolCall, ToolReply, check_runs};
use crate::access::{CallOfKey, Right};
use crate::child::{Call, Limits};
use crate::jsonrpc::{RpcError, one_line};
use crate::mcp::{self, NoResult, method};
use crate::supervisor::ServerHandle;
use crate::telemetry::metrics::{Kind, OK};

impl Gateway {
    /// Calls a tool. A call that may have reached the child is never repeated. Dropping the future cancels the call.
    /// Where calls have to queue, each key has its own queue.
    pub async fn call_tool(&self, call: &ToolCall<'_>, caller: &Principal) -> Result<ToolReply, Error> {
        let caller = &*present(caller)?;
        let entry = self.entry(caller, &call.server)?;
        check_invokes(caller, &entry, &call.tool)?;
        check_runs(&entry)?;
        let handle = self.handle(&entry)?;
        let pin = handle.setting(&entry.definition, |policy| policy.pin);
        let (catalog, gate) = (handle.catalog(), self.0.pins.gate(&entry.id, pin));
        let known = catalog.tool(&call.tool).is_some() && gate.is_none();
        if !known && lists_are_current(&handle) {
            require_tool(&catalog, &call.tool, gate.as_ref())
                .map_err(|error| without_hidden(error, caller, &entry))?;
        }
        self.check_unread(caller)?;
        let _under_way = self.begin_call(caller)?;
        self.0.accounting.take(caller).await?;
        let sent = call.arguments.as_ref().map_or(0, Bytes::len);
        // Exactly as long as needed unless something is escaped: then the bytes are taken over as they are.
        let (name, arguments) = (b"\"name\":", b",\"arguments\":");
        let quoted = call.tool.len() + 2;
        let given = call.arguments.as_ref().map_or(2, Bytes::len);
        let mut members = Vec::with_capacity(name.len() + quoted + arguments.len() + given);
        members.extend_from_slice(name);
        push_string(&mut members, &call.tool)?;
        members.extend_from_slice(arguments);
        members.extend_from_slice(&one_line(call.arguments.clone().unwrap_or(Bytes::from_static(b"{}"))));
        let meta = match call.context.clone() {
            None => Bytes::new(),
            Some(context) => [b"\"plexmcp/context\":", &one_line(context)[..]].concat().into(),
        };
        let (mut terms, limits) = self.terms(&handle, &entry, call.timeout, caller);
        if !known {
            terms.unchecked = Some(Box::new(Unchecked::Tool(call.tool.to_string(), gate)));
        }
        let request =
            Call { method: method::TOOLS_CALL, members: members.into(), meta, progress: true, limits };
        let meter = self.meter(&entry)?;
        let mut measured = meter.calls.measure(Kind::Tool, caller.key_id(), &call.tool, terms.started);
        let asker = Asker { caller, entry: &entry, tool: Some(&call.tool) };
        let reply = dispatch(&handle, request, &terms, &asker).await.and_then(|said| match said {
            Ok(result) => mcp::read_tool_result(&result).map_err(without_result),
            Err(error) if error.code == mcp::CAPABILITY_REQUIRED => Err(Error::InputRequired),
            Err(error) if error.code == -32602 => Err(Error::InvalidArguments { message: error.message }),
            Err(error) => Err(from_rpc(error)),
        });
        if let Err(refused) = &reply
            && never_reached(refused)
        {
            let refused = refused.clone();
            measured.withdraw();
            self.0.accounting.give_back(caller);
            return Err(without_hidden(refused, caller, &entry));
        }
        let outcome = match &reply {
            Ok(reply) if reply.is_error => "tool_error",
            Ok(_) => OK,
            Err(error) => error.facts().name,
        };
        measured.carried(sent, reply.as_ref().map_or(0, carried));
        let latency = measured.end(outcome);
        reply.map(|reply| ToolReply {
            server_id: entry.id.clone(),
            structured: reply.structured,
            content: reply.content,
            whole: reply.whole,
            is_error: reply.is_error,
            latency,
        })
    }

    /// Reads a resource. `timeout` has the meaning of that in [`ToolCall`], `caller` that of [`Gateway::call_tool`].
    pub async fn read_resource(
        &self,
        server: &str,
        uri: &str,
        timeout: Option<Duration>,
        caller: &Principal,
    ) -> Result<ResourceReply, Error> {
        let caller = &*present(caller)?;
        let entry = self.entry(caller, server)?;
        caller.require(Right::Member)?;
        check_runs(&entry)?;
        let handle = self.handle(&entry)?;
        self.check_unread(caller)?;
        let _under_way = self.begin_call(caller)?;
        self.0.accounting.take(caller).await?;
        let mut members = b"\"uri\":".to_vec();
        push_string(&mut members, uri)?;
        let (mut terms, limits) = self.terms(&handle, &entry, timeout, caller);
        terms.unchecked = Some(Box::new(Unchecked::Resource(uri.to_owned())));
        let request = Call {
            method: method::RESOURCES_READ,
            members: members.into(),
            meta: Bytes::new(),
            progress: false,
            limits,
        };
        let meter = self.meter(&entry)?;
        let mut measured =
            meter.calls.measure(Kind::Resource, caller.key_id(), method::RESOURCES_READ, terms.started);
        let asker = Asker { caller, entry: &entry, tool: None };
        let contents = read(&handle, request, &terms, &asker).await;
        if let Err(refused) = &contents
            && never_reached(refused)
        {
            measured.withdraw();
            self.0.accounting.give_back(caller);
            return Err(refused.clone());
        }
        let size = |contents: &mcp::ReadContents| contents.iter().map(|one| one.get().len()).sum();
        measured.carried(uri.len(), contents.as_ref().map_or(0, size));
        let latency = measured.end(contents.as_ref().map_or_else(|error| error.facts().name, |_| OK));
        let name = handle
            .catalog()
            .resources()
            .iter()
            .find(|known| &*known.uri == uri)
            .and_then(|known| known.name.clone());
        contents.map(|contents| ResourceReply { server_id: entry.id.clone(), contents, name, latency })
    }

    /// Takes one of the places for calls that a key may have under way; given back when the guard is dropped.
    fn begin_call<'a>(&self, caller: &'a Principal) -> Result<CallOfKey<'a>, Error> {
        let limit = calls_at_once(caller, self.0.settings.calls_per_key);
        caller.begin_call(limit).ok_or(Error::TooManyCalls { limit })
    }

    /// Returns the terms and the deadlines of a call that begins now. The deadlines are by the caller's timeout if it gives one, else by
    /// the server's definition, else by the gateway's settings.
    fn terms<'a>(
        &self,
        handle: &ServerHandle,
        entry: &ServerEntry,
        timeout: Option<Duration>,
        caller: &'a Principal,
    ) -> (CallTerms<'a>, Limits) {
        let (started, settings) = (Instant::now(), &self.0.settings);
        let longest = settings.max_call_timeout;
        let limits = match timeout {
            Some(timeout) => Limits { first: started + timeout, idle: timeout, hard: started + timeout },
            None => {
                let of_server = handle.setting(&entry.definition, |policy| policy.call_timeout);
                let idle = of_server.map_or(settings.call_timeout, |timeout| timeout.min(longest));
                Limits { first: started + idle, idle, hard: started + longest }
            }
        };
        (CallTerms::new(started, limits, caller.key_id(), settings.call_timeout), limits)
    }
}

/// Reports whether a request was refused before a server could receive it, because of its content or its caller.
fn never_reached(refused: &Error) -> bool {
    matches!(
        refused,
        Error::ToolNotFound { .. }
            | Error::ToolBlocked { .. }
            | Error::ServerDisabled { .. }
            | Error::ServerNotPermitted { .. }
            | Error::ToolNotPermitted { .. }
            | Error::Access(_)
    )
}

async fn read(
    handle: &ServerHandle,
    request: Call,
    terms: &CallTerms<'_>,
    asker: &Asker<'_>,
) -> Result<mcp::ReadContents, Error> {
    match dispatch(handle, request, terms, asker).await? {
        Ok(result) => mcp::read_contents(&result).map_err(|reason| Error::BadReply { reason }),
        // -32002 up to 2025-11-25, -32602 since and in servers that never knew the former.
        Err(error) if matches!(error.code, -32002 | -32602) => {
            Err(Error::ResourceNotFound { message: error.message })
        }
        Err(error) => Err(from_rpc(error)),
    }
}

/// Returns the number of bytes in a tool's answer.
fn carried(reply: &mcp::ToolResult) -> usize {
    reply.content.len() + reply.structured.as_ref().map_or(0, Bytes::len)
}

fn check_invokes(caller: &Principal, entry: &ServerEntry, tool: &str) -> Result<(), Error> {
    caller.require(Right::Member)?;
    match caller.permissions().allow_tool(&entry.id, tool) {
        true => Ok(()),
        false => Err(Error::ToolNotPermitted { tool: tool.to_owned() }),
    }
}

/// Removes the suggestion of a tool that the caller may not see.
fn without_hidden(error: Error, caller: &Principal, entry: &ServerEntry) -> Error {
    match error {
        Error::ToolNotFound { tool, suggestion } => {
            let visible = |tool: &String| caller.permissions().allow_tool(&entry.id, tool);
            Error::ToolNotFound { tool, suggestion: suggestion.filter(visible) }
        }
        other => other,
    }
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

fn push_string(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    serde_json::to_writer(out, text).map_err(|error| Error::Internal { reason: error.to_string() })
}
