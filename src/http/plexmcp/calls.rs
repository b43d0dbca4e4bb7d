//! A call as `GET /v1/activity` shows it. The comments of the members are their descriptions in the OpenAPI document.

use serde::Serialize;

use crate::gateway::ActivityCall;
use crate::http::core::timestamp::format_milli;
#[cfg(test)]
use {
    super::openapi::words::{CallDialect, CallKind},
    crate::http::core::openapi::Time,
};

/// A call that has ended.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ActivityCall"))]
pub(super) struct Item<'a> {
    /// Number, which counts up from the gateway's start in the order in which calls end.
    pub(super) number: u64,
    /// Time when it began, to the millisecond.
    #[cfg_attr(test, schemars(with = "Time"))]
    pub(super) started_at: String,
    /// Duration in milliseconds, to the microsecond.
    pub(super) duration_ms: f64,
    /// Dialect that it was made in.
    #[cfg_attr(test, schemars(with = "CallDialect"))]
    pub(super) dialect: &'static str,
    /// What was asked for.
    #[cfg_attr(test, schemars(with = "CallKind"))]
    pub(super) kind: &'static str,
    /// Id of the MCP; `null` if there was none of the name.
    pub(super) mcp_id: Option<&'a str>,
    /// Name of the MCP then.
    pub(super) mcp_name: &'a str,
    /// Name of the tool; `null` for what is no tool.
    pub(super) tool: Option<&'a str>,
    /// Outcome: `ok`, `tool_error`, `cancelled`, or a word of the table in `docs/errors.md`.
    pub(super) outcome: &'static str,
    /// `true` if it may have reached the MCP; otherwise it does not count as used.
    pub(super) reached: bool,
    /// Id of the member that called.
    pub(super) member_id: &'a str,
    /// Id of the key, or of what stands in its place.
    pub(super) key_id: &'a str,
    /// Name of the key then.
    pub(super) key_name: &'a str,
    /// Request id, as in the answer's `X-Request-Id`.
    pub(super) request_id: String,
}

/// Returns a call as it is shown.
pub(super) fn item(number: u64, call: &ActivityCall) -> Item<'_> {
    Item {
        number,
        started_at: format_milli(call.started_ms),
        duration_ms: f64::from(call.took_us) / 1000.0,
        dialect: call.dialect.name(),
        kind: call.kind.name(),
        mcp_id: call.server().id.as_deref(),
        mcp_name: &call.server().name,
        tool: Some(call.tool()).filter(|tool| !tool.is_empty()),
        outcome: call.outcome,
        reached: call.reached,
        member_id: call.caller.member_id(),
        key_id: call.caller.key_id(),
        key_name: call.caller.key_name(),
        request_id: call.request.to_string(),
    }
}
