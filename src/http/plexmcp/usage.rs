//! `/v1/usage`, its history, and the usage of one key (`docs/http-api.md`, P15).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

use super::errors::ApiError;
use super::fields::{Fields, Page, last, success};
use super::keys::key_id;
use super::{Caller, Id, QueryPairs, Shared, ToolCaller, json};
use crate::clock::believed;
use crate::gateway::{Bucket, CallStats, Granularity, HistoryQuery, Period, Span, UsageOf, UsageReport};
use crate::http::core::timestamp::{format_second, parse_moment};
use crate::unix_time;
#[cfg(test)]
use {
    super::openapi::words::Period as PeriodName,
    crate::http::core::openapi::{Date, Time},
};

pub(super) async fn show(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let mut fields = Fields::default();
    let (name, span) = read_span(&query, &mut fields);
    let (name, span) = fields.finish((name, span))?;
    let usage = shared.gateway.usage(&caller, span, UsageOf::default()).await?;
    let limit = shared.gateway.monthly_limit(&caller).filter(|_| name == "month");
    Ok(json(success(report(&usage, name, span, limit, &shared.gateway.key_names()), None)))
}

pub(super) async fn of_key(
    ToolCaller(caller): ToolCaller,
    State(shared): State<Shared>,
    id: Id,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let id = key_id(id, &caller)?;
    let mut fields = Fields::default();
    let (name, span) = read_span(&query, &mut fields);
    let (name, span) = fields.finish((name, span))?;
    let usage = shared.gateway.usage_of_key(&caller, &id, span).await?;
    let limit = shared.gateway.monthly_limit_of_key(&id).filter(|_| name == "month");
    Ok(json(success(report(&usage, name, span, limit, &shared.gateway.key_names()), None)))
}

pub(super) async fn history(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let mut fields = Fields::default();
    let page = Page::read(&query, &mut fields);
    let (_, span) = read_span(&query, &mut fields);
    let granularity = match last(&query, "granularity") {
        None | Some("day") => Granularity::Day,
        Some("hour") => Granularity::Hour,
        Some("month") => Granularity::Month,
        Some(_) => {
            fields.problem("granularity", "must be hour, day or month");
            Granularity::Day
        }
    };
    let server = last(&query, "mcp_id").map(|given| shared.gateway.server_id(given));
    let keys = last(&query, "key_id").map(|given| vec![given.into()]);
    let query = HistoryQuery { span, granularity, of: UsageOf { keys, server } };
    if !query.is_short_enough() {
        fields.problem("granularity", "hour is for at most 31 days");
    }
    let (page, query) = fields.finish((page, query))?;
    let buckets = shared.gateway.usage_history(&caller, query).await?;
    let (shown, pagination) = page.of(&buckets);
    Ok(json(success(shown.iter().map(item).collect::<Vec<_>>(), Some(pagination))))
}

/// Reads `period`, or `start_date` and `end_date`; the current month if both are missing.
fn read_span(query: &[(String, String)], fields: &mut Fields) -> (&'static str, Span) {
    let now = believed();
    let month = ("month", Span::of_period(Period::Month, now));
    let (start, end) = (last(query, "start_date"), last(query, "end_date"));
    let mut read = |name: &str, given: Option<&str>, end_of_day| {
        let at = given.and_then(|text| parse_moment(text, end_of_day));
        if at.is_none() {
            let reason = match given {
                None => "is required beside the other end",
                Some(_) => "must be a date or a time as RFC 3339 writes it",
            };
            fields.problem(name, reason);
        }
        at.map(unix_time::seconds)
    };
    if start.is_some() || end.is_some() {
        let (from, to) = (read("start_date", start, false), read("end_date", end, true));
        let (Some(from), Some(to)) = (from, to) else { return month };
        if from > to {
            fields.problem("end_date", "must not be before start_date");
        } else if Span::between(from, to).is_none() {
            fields.problem("end_date", "must be at most 366 days after start_date");
        }
        return Span::between(from, to).map_or(month, |span| ("custom", span));
    }
    match last(query, "period") {
        None | Some("month") => month,
        Some("week") => ("week", Span::of_period(Period::Week, now)),
        Some("day") => ("day", Span::of_period(Period::Day, now)),
        Some(_) => {
            fields.problem("period", "must be day, week or month");
            month
        }
    }
}

fn milliseconds(tally: &CallStats) -> Option<u64> {
    tally.mean_latency().map(|mean| u64::try_from(mean.as_millis()).unwrap_or(u64::MAX))
}

/// Calls of a span of time.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Usage"))]
pub(super) struct Report<'a> {
    /// Name of the span: `custom` if it was given by its two ends.
    #[cfg_attr(test, schemars(with = "PeriodName"))]
    period: &'static str,
    /// First second of the span.
    #[cfg_attr(test, schemars(with = "Time"))]
    start_date: String,
    /// Last second of the span.
    #[cfg_attr(test, schemars(with = "Time"))]
    end_date: String,
    /// Number of all calls, beside the limit of a month.
    requests: Requests,
    /// Numbers of calls by success.
    by_status: ByStatus,
    /// Numbers of calls by outcome: `ok`, `tool_error`, or a word of the table in `docs/errors.md`.
    #[cfg_attr(test, schemars(with = "HashMap<String, u64>"))]
    by_outcome: Map<String, Value>,
    /// Mean time to the answer, in milliseconds; `null` without calls.
    avg_latency_ms: Option<u64>,
    /// Lengths of arguments and results. Their content is never kept.
    bytes: PayloadBytes,
    /// Calls by MCP, the most called first.
    by_mcp: Vec<ByMcp<'a>>,
    /// Calls by tool, the most called first.
    by_tool: Vec<ByTool<'a>>,
    /// Calls by API key, the most used first.
    by_api_key: Vec<ByKey<'a>>,
    /// Calls of each day of the span.
    by_day: Vec<ByDay>,
}

/// Number of all calls of a span, beside the limit of a month.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageRequests"))]
struct Requests {
    /// Number of all calls.
    total: u64,
    /// Number of calls that the plan, or the key, allows in a month; `null` if it is unlimited, and for another span than
    /// `month`.
    limit: Option<u64>,
    /// Share of the limit that is used up, in percent; `null` without a limit.
    percentage: Option<u64>,
}

/// Numbers of calls by success.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageByStatus"))]
struct ByStatus {
    /// Number of calls that ended well.
    success: u64,
    /// Number of all others.
    error: u64,
}

/// Lengths of arguments and results, in bytes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageBytes"))]
struct PayloadBytes {
    /// Length of all arguments.
    arguments: u64,
    /// Length of all results.
    results: u64,
}

/// Calls of an MCP.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageByMcp"))]
struct ByMcp<'a> {
    /// Id of the MCP.
    mcp_id: &'a str,
    /// Name of the MCP; `null` if it was removed.
    name: Option<&'a str>,
    /// Number of calls.
    requests: u64,
    /// Number of calls that failed.
    errors: u64,
    /// Mean time to the answer, in milliseconds; `null` without calls.
    avg_latency_ms: Option<u64>,
}

/// Calls of a tool.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageByTool"))]
struct ByTool<'a> {
    /// Id of the tool's MCP.
    mcp_id: &'a str,
    /// Name of the tool.
    tool: &'a str,
    /// Number of calls.
    requests: u64,
    /// Number of calls that failed.
    errors: u64,
    /// Mean time to the answer, in milliseconds; `null` without calls.
    avg_latency_ms: Option<u64>,
}

/// Calls of an API key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageByApiKey"))]
struct ByKey<'a> {
    /// Id of the key.
    key_id: &'a str,
    /// Name of the key; `null` if it is not kept any more.
    name: Option<&'a str>,
    /// Number of calls.
    requests: u64,
}

/// Calls of a day.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageByDay"))]
struct ByDay {
    /// Day (UTC).
    #[cfg_attr(test, schemars(with = "Date"))]
    date: String,
    /// Number of calls.
    requests: u64,
}

fn report<'a>(
    usage: &'a UsageReport,
    period: &'static str,
    span: Span,
    limit: Option<u64>,
    names: &'a HashMap<Arc<str>, String>,
) -> Report<'a> {
    let (start, end) = span.seconds();
    let total = usage.total.calls();
    let percentage = limit.map(|limit| (total.saturating_mul(100)).checked_div(limit).unwrap_or(100));
    let (arguments, results) = usage.total.bytes();
    let by_mcp = usage.by_server.iter().map(|(id, name, tally)| ByMcp {
        mcp_id: id,
        name: name.as_deref(),
        requests: tally.calls(),
        errors: tally.errors(),
        avg_latency_ms: milliseconds(tally),
    });
    let by_tool = usage.by_tool.iter().map(|(id, tool, tally)| ByTool {
        mcp_id: id,
        tool,
        requests: tally.calls(),
        errors: tally.errors(),
        avg_latency_ms: milliseconds(tally),
    });
    let by_key = usage.by_key.iter().map(|(id, tally)| ByKey {
        key_id: id,
        name: names.get(id).map(String::as_str),
        requests: tally.calls(),
    });
    let by_day = usage.by_day.iter().map(|(start, tally)| ByDay {
        date: format_second(*start)[..10].to_owned(),
        requests: tally.calls(),
    });
    Report {
        period,
        start_date: format_second(start),
        end_date: format_second(end),
        requests: Requests { total, limit, percentage },
        by_status: ByStatus { success: total - usage.total.errors(), error: usage.total.errors() },
        by_outcome: usage
            .total
            .outcomes()
            .map(|(outcome, calls)| (outcome.to_owned(), calls.into()))
            .collect(),
        avg_latency_ms: milliseconds(&usage.total),
        bytes: PayloadBytes { arguments, results },
        by_mcp: by_mcp.collect(),
        by_tool: by_tool.collect(),
        by_api_key: by_key.collect(),
        by_day: by_day.collect(),
    }
}

/// Calls of an hour, a day or a month.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "UsageBucket"))]
pub(super) struct Item {
    /// First second.
    #[cfg_attr(test, schemars(with = "Time"))]
    period_start: String,
    /// Last second.
    #[cfg_attr(test, schemars(with = "Time"))]
    period_end: String,
    /// Number of calls.
    requests: u64,
    /// Number of calls that failed.
    errors: u64,
    /// Mean time to the answer, in milliseconds; `null` without calls.
    avg_latency_ms: Option<u64>,
}

fn item(bucket: &Bucket) -> Item {
    Item {
        period_start: format_second(bucket.start),
        period_end: format_second(bucket.end),
        requests: bucket.tally.calls(),
        errors: bucket.tally.errors(),
        avg_latency_ms: milliseconds(&bucket.tally),
    }
}
