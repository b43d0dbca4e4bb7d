//! Filters: which calls are asked for. Pure.

use std::sync::Arc;

use super::call::CallFacts;
use crate::access::CallerTag;
use crate::telemetry::metrics::OK;

/// Outcome that a filter has for all calls that did not end well.
pub const FAILED: &str = "failed";

/// Filter for calls; an unset field matches all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivityFilter {
    /// Id of the member that called.
    pub member: Option<Arc<str>>,
    /// Id or name of the key.
    pub key: Option<String>,
    /// Id or name of the server.
    pub server: Option<String>,
    /// Name of the tool.
    pub tool: Option<String>,
    /// Outcome by its name, or [`FAILED`].
    pub outcome: Option<String>,
    /// Time from which they began, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Last millisecond in which they began, since 1970.
    pub until_ms: Option<u64>,
}

impl ActivityFilter {
    /// Reports whether a call of this caller is asked for.
    pub fn takes(&self, caller: &CallerTag, call: &CallFacts) -> bool {
        self.since_ms.is_none_or(|since| call.started_ms >= since)
            && self.until_ms.is_none_or(|until| call.started_ms <= until)
            && self.outcome.as_deref().is_none_or(|wanted| match wanted {
                FAILED => call.outcome != OK,
                name => call.outcome == name,
            })
            && self.tool.as_deref().is_none_or(|tool| call.is_of_tool(tool))
            && self.server.as_deref().is_none_or(|server| {
                *call.server().name == *server || call.server().id.as_deref() == Some(server)
            })
            && self.member.as_ref().is_none_or(|member| caller.member_id() == member)
            && self.key.as_deref().is_none_or(|key| **caller.key_id() == *key || caller.key_name() == key)
    }
}
