//! Calls across keys, servers and tools, and by steps of time, as `GET /v1/usage` has them (`docs/http-api.md`, P15.6).

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::fields::{Fields, last};
use crate::gateway::{CallStats, GroupSum, GroupedBy, Grouping, RangeSums};
#[cfg(test)]
use crate::http::core::openapi::Time;
use crate::http::core::timestamp::format_second;
use crate::text::read_length;

/// Longest range, in seconds.
pub(super) const MAX_RANGE: u64 = 366 * 86_400;

/// Reads what calls are grouped by: `by` and `step`.
pub(super) fn read_grouping(query: &[(String, String)], fields: &mut Fields) -> Grouping {
    let mut grouping = Grouping::default();
    for word in last(query, "by").into_iter().flat_map(|by| by.split(',')) {
        let by = match word {
            "key" => GroupedBy::Key,
            "server" => GroupedBy::Server,
            "tool" => GroupedBy::Tool,
            _ => {
                fields.problem("by", "must be key, server or tool, or several of them with commas between");
                break;
            }
        };
        if !grouping.by.contains(&by) {
            grouping.by.push(by);
        }
    }
    if let Some(given) = last(query, "step") {
        const UNITS: [(&str, u64); 3] = [("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        grouping.step = read_length(given, &UNITS).map(|step| step.as_secs());
        if !grouping.step.is_some_and(|step| (60..=MAX_RANGE).contains(&step)) {
            fields
                .problem("step", "must be a length of time in minutes, hours or days, such as 5m, 1h or 1d");
        }
    }
    grouping
}

pub(super) fn milliseconds(tally: &CallStats) -> Option<u64> {
    tally.mean_latency().map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX))
}

/// Lengths of arguments and results, in bytes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageBytes"))]
pub(super) struct PayloadBytes {
    /// Length of all arguments.
    pub(super) arguments: u64,
    /// Length of all results.
    pub(super) results: u64,
}

/// Calls across what `by` named, and of a step.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageGroup"))]
pub(super) struct Group<'a> {
    /// First second of the step; absent without `step`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Time"))]
    start: Option<String>,
    /// Id of the key; absent if calls are not grouped by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    key_id: Option<&'a str>,
    /// Name of the key; absent if it is not kept any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    key_name: Option<&'a str>,
    /// Id of the MCP; absent if calls are not grouped by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    mcp_id: Option<&'a str>,
    /// Last name of the MCP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    mcp_name: Option<&'a str>,
    /// Name of the tool, or the method of what is no tool; absent if calls are not grouped by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    tool: Option<&'a str>,
    /// Number of calls.
    requests: u64,
    /// Number of calls that failed.
    errors: u64,
    /// Mean time to the answer, in milliseconds.
    avg_latency_ms: Option<u64>,
    /// Lengths of arguments and results.
    bytes: PayloadBytes,
}

/// Returns the groups of sums; `None` if they are not grouped.
pub(super) fn groups<'a>(
    sums: &'a RangeSums,
    names: &'a HashMap<Arc<str>, String>,
) -> Option<Vec<Group<'a>>> {
    let group = |group: &'a GroupSum| {
        let (arguments, results) = group.tally.bytes();
        Group {
            start: group.start.map(format_second),
            key_id: group.key.as_deref(),
            key_name: group.key.as_ref().and_then(|id| names.get(id)).map(String::as_str),
            mcp_id: group.server.as_ref().map(|(id, _)| &**id),
            mcp_name: group.server.as_ref().and_then(|(_, name)| name.as_deref()),
            tool: group.tool.as_deref(),
            requests: group.tally.calls(),
            errors: group.tally.errors(),
            avg_latency_ms: milliseconds(&group.tally),
            bytes: PayloadBytes { arguments, results },
        }
    };
    sums.is_grouped.then(|| sums.groups.iter().map(group).collect())
}
