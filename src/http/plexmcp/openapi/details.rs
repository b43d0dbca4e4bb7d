//! Particulars of errors. They are put together where an error is translated (`errors.rs`), so these are descriptions
//! beside it, which the tests of the gateway hold against real answers.
#![expect(dead_code, reason = "the values are never made: only their descriptions are read")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::Value;

use super::words::PinState;
use crate::http::core::openapi::schemas;
use crate::http::plexmcp::mcp::McpState;
use crate::http::plexmcp::payloads::schema::ContentBlock;

/// Particulars of an error. Which there are depends on the error's `code`.
#[derive(JsonSchema)]
#[serde(untagged)]
pub(in crate::http::plexmcp) enum ErrorDetails {
    Tool(ToolFailure),
    Rpc(RpcFailure),
    TimedOut(TimeoutDetails),
    NotRepeated(NotRepeatedDetails),
    Unreachable(UnreachableDetails),
    Breaker(BreakerDetails),
    Limit(LimitDetails),
    Blocked(BlockedToolDetails),
    Secret(MissingSecretDetails),
    Internal(InternalErrorDetails),
    Fields(FieldProblems),
}

/// Code `mcp_error` with status 422: the tool ran and reported an error.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct ToolFailure {
    /// Texts of the tool's answer, a line each.
    mcp_error: String,
    /// Content of the tool's answer, as the MCP sent it.
    content: Vec<ContentBlock>,
    /// Structured content of the tool's answer; absent if there is none.
    #[serde(skip_serializing_if = "no")]
    structured_content: Value,
}

/// Code `mcp_error` with status 502: the MCP answered with an error, or with what cannot be used.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct RpcFailure {
    /// Message of the MCP.
    mcp_error: String,
    /// Code of the JSON-RPC error; `null` if the MCP sent none.
    mcp_code: Option<i64>,
    /// Data of the JSON-RPC error; absent if the MCP sent none.
    #[serde(skip_serializing_if = "no")]
    mcp_data: Value,
}

/// Progress of a call that failed.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http::plexmcp) enum CallPhase {
    /// The MCP cannot have seen the call, so it is safe to repeat it.
    NotSent,
    /// The MCP may have carried the call out.
    InFlight,
}

/// Codes `mcp_unreachable` and `answer_dropped`: there is no answer.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct UnreachableDetails {
    /// Progress of the call.
    phase: CallPhase,
    /// State of the MCP; absent if that is not the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "McpState<'static>")]
    server: Option<Box<McpState<'static>>>,
}

/// Code `conflict` of a call with an `Idempotency-Key` that is known.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct NotRepeatedDetails {
    /// Reason that there is no reply.
    idempotency: NotRepeated,
    /// The word `in_flight`: the MCP may have carried the call out.
    phase: CallPhase,
}

/// Reason that a call with an `Idempotency-Key` that is known has no reply.
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::http::plexmcp) enum NotRepeated {
    /// The call is under way, and somebody waits for it: asking again is safe.
    Running,
    /// The call was cancelled, because nobody waited for it any more.
    Cancelled,
    /// The call was carried out. Its reply was too long to be kept, or its room was needed.
    NotKept,
}

/// Code `mcp_timeout`: there was no answer in time.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct TimeoutDetails {
    /// Progress of the call.
    phase: CallPhase,
    /// Time that the call had, in milliseconds.
    timeout_ms: u64,
}

/// Code `service_unavailable` of an MCP that did not answer its last calls.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct BreakerDetails {
    /// The word `open`.
    #[schemars(with = "Open")]
    breaker: String,
}

/// Code `quota_exceeded`: a limit of a plan or of a key is reached.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct LimitDetails {
    /// Name of the limit, such as `api_keys` or `monthly_requests`.
    resource: String,
    /// Number that it allows.
    limit: u64,
    /// The word `key` where it is the key's own limit; absent otherwise.
    #[serde(skip_serializing_if = "no")]
    #[schemars(with = "OfKey")]
    of: String,
}

/// Code `tool_blocked`: the tool is not as it was approved.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct BlockedToolDetails {
    /// State of the tool.
    change: PinState,
}

/// Code `secret_missing`: the MCP needs a secret of the caller's member that is not stored.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct MissingSecretDetails {
    /// Name of the secret.
    secret: String,
}

/// Code `internal_error`: a defect of the gateway.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct InternalErrorDetails {
    /// Id of the request, by which the gateway's log tells more.
    request_id: String,
}

/// Codes `invalid_request` and `validation_error`: of each member or parameter that is wrong, what is wrong with it.
#[derive(JsonSchema)]
pub(in crate::http::plexmcp) struct FieldProblems(BTreeMap<String, String>);

schemas! {
    /// The word `open`.
    Open = {"type": "string", "const": "open"};
    /// The word `key`.
    OfKey = {"type": "string", "const": "key"};
}
