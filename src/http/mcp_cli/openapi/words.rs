//! Values that have a form of their own, and the answers that are written without a type. The tests of the gateway hold
//! these against real answers.
#![expect(dead_code, reason = "the values are never made: only their descriptions are read")]

use schemars::JsonSchema;
use serde_json::Value;

use crate::http::core::openapi::schemas;

schemas! {
    /// The word `success`.
    Success = {"type": "string", "const": "success"};
    /// The word `ok`.
    Ok = {"type": "string", "const": "ok"};
    /// Name of the token event.
    TokenName = {"type": "string", "const": "token"};
    /// Name of the event of a call.
    ToolCallName = {"type": "string", "const": "tool_call"};
    /// Name of the event of a result.
    ToolResultName = {"type": "string", "const": "tool_result"};
}

/// State of the API.
#[derive(JsonSchema)]
#[schemars(rename = "ApiStatus")]
pub(in crate::http::mcp_cli) struct Status {
    /// The word `ok`.
    #[schemars(with = "Ok")]
    status: String,
    /// Name of the API.
    service: String,
    /// Version of the API, not of the gateway.
    version: String,
}

/// Event of a streamed answer: words of the model, as they come.
#[derive(JsonSchema)]
pub(in crate::http::mcp_cli) struct TokenEvent {
    /// The word `token`.
    #[serde(rename = "type")]
    #[schemars(with = "TokenName")]
    kind: String,
    /// Words.
    text: String,
}

/// Event of a streamed answer: the model has a tool called.
#[derive(JsonSchema)]
pub(in crate::http::mcp_cli) struct ToolCallEvent {
    /// The word `tool_call`.
    #[serde(rename = "type")]
    #[schemars(with = "ToolCallName")]
    kind: String,
    /// Id of the call, which its result has as well.
    id: String,
    /// Name of the server; `null` if the model named an unknown tool.
    server: Option<String>,
    /// Name of the tool.
    tool: String,
    /// Arguments, as the model wrote them.
    arguments: Value,
}

/// Event of a streamed answer: a tool has answered.
#[derive(JsonSchema)]
pub(in crate::http::mcp_cli) struct ToolResultEvent {
    /// The word `tool_result`.
    #[serde(rename = "type")]
    #[schemars(with = "ToolResultName")]
    kind: String,
    /// Id of the call.
    id: String,
    /// Name of the server; `null` if the model named an unknown tool.
    server: Option<String>,
    /// Name of the tool.
    tool: String,
    /// Result, as the model got it.
    result: String,
    /// `true` if the result is an error.
    is_error: bool,
    /// Duration of the call, in milliseconds.
    duration_ms: u64,
}
