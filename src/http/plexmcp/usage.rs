//! `/v1/usage`, its history, and the usage of one key (`docs/http-api.md`, P15).

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};

use super::errors::ApiError;
use super::fields::{Fields, Page, last, moment, success};
use super::keys::key_id;
use super::usage_groups::{Group, MAX_RANGE, PayloadBytes, groups, milliseconds, read_grouping};
use super::{Caller, Id, QueryPairs, Shared, ToolCaller, json};
use crate::clock::believed;
use crate::gateway::{
    Bucket, Granularity, Grouping, HistoryQuery, Period, RangeQuery, Resolution, Span, UsageOf, UsageReport,
};
use crate::http::core::timestamp::{format_second, parse_moment};
use crate::unix_time;
#[cfg(test)]
use {
    super::openapi::words::{Period as PeriodName, UsageResolution},
    crate::http::core::openapi::{Date, Time},
};

/// Query parameters of the sums.
pub(super) const PARAMETERS: [&str; 10] =
    ["period", "start_date", "end_date", "since", "until", "by", "step", "key_id", "mcp_id", "tool"];

pub(super) async fn show(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let mut fields = Fields::default();
    let (name, mut range) = read_range(&query, &mut fields);
    range.grouping = read_grouping(&query, &mut fields);
    fields.finish(())?;
    range.of = UsageOf {
        keys: last(&query, "key_id").map(|given| vec![given.into()]),
        server: last(&query, "mcp_id").map(|given| shared.gateway.server_id(given)),
        tool: last(&query, "tool").map(Into::into),
    };
    let sums = shared.gateway.usage_of_range(&caller, range).await?;
    let limit = shared.gateway.monthly_limit(&caller).filter(|_| name == "month");
    let names = shared.gateway.key_names();
    let mut told = report(&sums.usage, name, (sums.since, sums.until), limit, &names);
    told.resolution = sums.resolution.name();
    told.step_seconds = sums.step;
    told.groups = groups(&sums, &names);
    told.groups_left_out = sums.left_out;
    Ok(json(success(told, None)))
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
    let names = shared.gateway.key_names();
    Ok(json(success(report(&usage, name, span.seconds(), limit, &names), None)))
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
    let query = HistoryQuery { span, granularity, of: UsageOf { keys, server, tool: None } };
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
            fields.problem("period", "must be day, week or month, or hour for GET /v1/usage");
            month
        }
    }
}

/// Reads the span of sums: `since` and `until` to the second, or what [`read_span`] reads, in whole days.
fn read_range(query: &[(String, String)], fields: &mut Fields) -> (&'static str, RangeQuery) {
    let now = believed();
    let (since, until) = (moment(query, "since", fields), moment(query, "until", fields));
    let range = |(since, until), coarsest| RangeQuery {
        since,
        until,
        coarsest,
        grouping: Grouping::default(),
        of: UsageOf::default(),
    };
    let is_given = |name: &str| last(query, name).is_some();
    if !is_given("since") && !is_given("until") {
        if last(query, "period") == Some("hour") && !is_given("start_date") && !is_given("end_date") {
            let start = now - now % 3600;
            return ("hour", range((start, start + 3599), Resolution::Minute));
        }
        let (name, span) = read_span(query, fields);
        return (name, range(span.seconds(), Resolution::Day));
    }
    for other in ["period", "start_date", "end_date"].into_iter().filter(|other| is_given(other)) {
        fields.problem(other, "goes not together with since and until");
    }
    if !is_given("since") {
        fields.problem("since", "is required beside until");
    }
    let (since, until) = (since.unwrap_or_default(), until.unwrap_or(now));
    if since > until {
        match is_given("until") {
            true => fields.problem("until", "must not be before since"),
            false => fields.problem("since", "must not be in the future"),
        }
    } else if until - since >= MAX_RANGE && is_given("since") {
        fields.problem("since", "must be at most 366 days before until");
    }
    ("custom", range((since, until.max(since)), Resolution::Minute))
}

fn is_zero(number: &usize) -> bool {
    *number == 0
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
    /// Length of the sums that this is made of: the span is widened to whole ones.
    #[cfg_attr(test, schemars(with = "UsageResolution"))]
    resolution: &'static str,
    /// Length of the steps in seconds; absent without `step`. It is not shorter than the resolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "u64"))]
    step_seconds: Option<u64>,
    /// Calls across what `by` named, by steps, in each the most called first; absent without `by` and `step`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<Group<'a>>"))]
    groups: Option<Vec<Group<'a>>>,
    /// Number of groups beyond 10,000, which are left out; absent if none are.
    #[serde(skip_serializing_if = "is_zero")]
    #[cfg_attr(test, schemars(with = "usize"))]
    groups_left_out: usize,
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
    (start, end): (u64, u64),
    limit: Option<u64>,
    names: &'a HashMap<Arc<str>, String>,
) -> Report<'a> {
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
        resolution: Resolution::Day.name(),
        step_seconds: None,
        groups: None,
        groups_left_out: 0,
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
