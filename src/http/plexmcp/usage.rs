//! `/v1/usage`, its history, and the usage of one key (`docs/http-api.md`, P15).

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::errors::ApiError;
use super::fields::{Fields, Page, last, success};
use super::keys::{key_id, moment};
use super::{Caller, Id, QueryPairs, Shared, ToolCaller, json};
use crate::clock::believed;
use crate::gateway::{Bucket, CallStats, Granularity, HistoryQuery, Period, Span, UsageOf, UsageReport};
use crate::http::core::timestamp::parse_moment;
use crate::unix_time;

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
    Ok(json(success(report(&usage, name, span, limit, &shared), None)))
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
    Ok(json(success(report(&usage, name, span, limit, &shared), None)))
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

#[derive(Serialize)]
struct Report {
    period: &'static str,
    start_date: String,
    end_date: String,
    requests: Value,
    by_status: Value,
    /// Counts by outcome of the call, in the words of the metrics.
    by_outcome: Value,
    avg_latency_ms: Option<u64>,
    bytes: Value,
    by_mcp: Vec<Value>,
    by_tool: Vec<Value>,
    by_api_key: Vec<Value>,
    by_day: Vec<Value>,
}

fn report(
    usage: &UsageReport,
    period: &'static str,
    span: Span,
    limit: Option<u64>,
    shared: &Shared,
) -> Report {
    let (start, end) = span.seconds();
    let names = shared.gateway.key_names();
    let total = usage.total.calls();
    let percentage = limit.map(|limit| (total.saturating_mul(100)).checked_div(limit).unwrap_or(100));
    let (arguments, results) = usage.total.bytes();
    let by_mcp = usage.by_server.iter().map(|(id, name, tally)| {
        json!({
            "mcp_id": id, "name": name, "requests": tally.calls(), "errors": tally.errors(),
            "avg_latency_ms": milliseconds(tally),
        })
    });
    let by_tool = usage.by_tool.iter().map(|(id, tool, tally)| {
        json!({
            "mcp_id": id, "tool": tool, "requests": tally.calls(), "errors": tally.errors(),
            "avg_latency_ms": milliseconds(tally),
        })
    });
    let by_key = usage
        .by_key
        .iter()
        .map(|(id, tally)| json!({"key_id": id, "name": names.get(id), "requests": tally.calls()}));
    let by_day = usage
        .by_day
        .iter()
        .map(|(start, tally)| json!({"date": &moment(*start)[..10], "requests": tally.calls()}));
    Report {
        period,
        start_date: moment(start),
        end_date: moment(end),
        requests: json!({"total": total, "limit": limit, "percentage": percentage}),
        by_status: json!({"success": total - usage.total.errors(), "error": usage.total.errors()}),
        by_outcome: usage
            .total
            .outcomes()
            .map(|(outcome, calls)| (outcome.to_owned(), json!(calls)))
            .collect(),
        avg_latency_ms: milliseconds(&usage.total),
        bytes: json!({"arguments": arguments, "results": results}),
        by_mcp: by_mcp.collect(),
        by_tool: by_tool.collect(),
        by_api_key: by_key.collect(),
        by_day: by_day.collect(),
    }
}

#[derive(Serialize)]
struct Item {
    period_start: String,
    period_end: String,
    requests: u64,
    errors: u64,
    avg_latency_ms: Option<u64>,
}

fn item(bucket: &Bucket) -> Item {
    Item {
        period_start: moment(bucket.start),
        period_end: moment(bucket.end),
        requests: bucket.tally.calls(),
        errors: bucket.tally.errors(),
        avg_latency_ms: milliseconds(&bucket.tally),
    }
}
