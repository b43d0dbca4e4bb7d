//! `GET /v1/activity`: the calls of late, a page of them, as a stream, or as an export (`docs/http-api.md`, P17).

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::response::sse::Event;
use serde::Serialize;

use super::activity_export::{Export, Form};
use super::calls::{Item, item};
use super::errors::ApiError;
use super::fields::{Fields, ends, last, success};
use super::follow::{self, Telling, last_event_id};
use super::{Caller, QueryPairs, Shared, json};
use crate::gateway::{ActivityCall, ActivityFilter, ActivityPage, FAILED};
#[cfg(test)]
use crate::http::core::openapi::Time;
use crate::http::core::timestamp::format_milli;
use crate::nearest::closest;

/// Query parameters of the route.
pub(super) const PARAMETERS: [&str; 10] =
    ["key", "server", "tool", "outcome", "since", "until", "limit", "cursor", "format", "follow"];
/// Number of calls on a page, by default and at most.
const LIMIT: (usize, usize) = (100, 1000);
/// Number of calls that a stream begins with, by default.
const TAIL: usize = 10;

/// How the stream tells of calls.
const TELLING: Telling<(u64, ActivityCall)> = Telling { waiting: 2, unit: "calls", event };

/// Outcomes that a call can have beside errors.
const ENDS: [&str; 3] = ["ok", "tool_error", "cancelled"];
/// Errors, by their names in `docs/errors.md`, that a call can end with.
const ERRORS: [&str; 30] = [
    "server_not_found",
    "server_disabled",
    "server_stopped",
    "no_command",
    "server_not_permitted",
    "tool_not_permitted",
    "forbidden",
    "key_revoked",
    "key_expired",
    "quota_exceeded",
    "too_many_calls",
    "unread",
    "tool_blocked",
    "tool_not_found",
    "resource_not_found",
    "invalid_arguments",
    "rpc_error",
    "input_required",
    "bad_reply",
    "unreachable",
    "breaker_open",
    "request_too_large",
    "timed_out",
    "overloaded",
    "too_many_pools",
    "login_failed",
    "secret_missing",
    "shutting_down",
    "store",
    "internal",
];

/// Request for calls.
struct ActivityQuery {
    filter: ActivityFilter,
    limit: Option<usize>,
    /// Number of the call before the page.
    cursor: Option<u64>,
    /// Form of an export; `None` for a page or a stream.
    form: Option<Form>,
    follow: bool,
}

pub(super) async fn list(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = read(&query)?;
    let ActivityQuery { filter, limit, cursor, form, follow: wants_stream } = query;
    if wants_stream {
        let after = last_event_id(&headers);
        let tail = limit.unwrap_or(TAIL);
        let follower = shared.gateway.follow_activity(&caller, filter, after, tail).await?;
        let permit = shared.streams.open(caller.key_id().clone())?;
        return Ok(follow::answer(follower, permit, TELLING));
    }
    let Some(form) = form else {
        let page = shared.gateway.activity(&caller, filter, cursor, limit.unwrap_or(LIMIT.0)).await?;
        return Ok(json(success(shown(&page), None)));
    };
    let permit = shared.streams.open(caller.key_id().clone())?;
    let reader = shared.gateway.export_activity(&caller, filter)?;
    let mut response = Response::new(Body::new(Export::new(reader, form, permit)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn event((number, call): &(u64, ActivityCall)) -> Event {
    let data = serde_json::to_string(&item(*number, call)).unwrap_or_default();
    Event::default().id(number.to_string()).event("call").data(data)
}

fn read(query: &[(String, String)]) -> Result<ActivityQuery, ApiError> {
    let mut fields = Fields::default();
    let given = |name: &str| last(query, name);
    let text = |name: &str| given(name).map(str::to_owned);
    let outcome = given("outcome").map(str::to_owned).filter(|outcome| known_outcome(outcome, &mut fields));
    let (since, until) = ends(query, &mut fields);
    let filter = ActivityFilter {
        member: None,
        key: text("key"),
        server: text("server"),
        tool: text("tool"),
        outcome,
        since_ms: since.map(|second| second.saturating_mul(1000)),
        until_ms: until.map(|second| second.saturating_mul(1000).saturating_add(999)),
    };
    let mut number = |name: &str, least: u64| {
        let read = given(name).map(str::parse::<u64>);
        if read.as_ref().is_some_and(|read| read.as_ref().map_or(true, |number| *number < least)) {
            fields.problem(name, format!("must be an integer >= {least}"));
        }
        read.and_then(Result::ok)
    };
    let wants_stream = matches!(given("follow"), Some("true" | "1" | ""));
    let limit = number("limit", u64::from(!wants_stream));
    let limit = limit.map(|limit| usize::try_from(limit).unwrap_or(LIMIT.1).min(LIMIT.1));
    let cursor = number("cursor", 1);
    if !matches!(given("follow"), None | Some("true" | "1" | "" | "false" | "0")) {
        fields.problem("follow", "must be true or false");
    }
    let form = match given("format") {
        None | Some("json") => None,
        Some("csv") => Some(Form::Csv),
        Some("ndjson") => Some(Form::Lines),
        Some(_) => {
            fields.problem("format", "must be json, csv or ndjson");
            None
        }
    };
    if form.is_some() && wants_stream {
        fields.problem("format", "must be json, or absent, where follow is true");
    }
    if form.is_some() && (limit.is_some() || cursor.is_some()) {
        fields.problem("format", "csv and ndjson have all calls that match, and take no limit and no cursor");
    }
    fields.finish(ActivityQuery { filter, limit, cursor, form, follow: wants_stream })
}

fn known_outcome(outcome: &str, fields: &mut Fields) -> bool {
    let known = || ENDS.iter().chain([&FAILED]).chain(&ERRORS).copied();
    if known().any(|name| name == outcome) {
        return true;
    }
    let near = closest(outcome, known()).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    fields.problem(
        "outcome",
        format!("must be ok, failed (all but ok), tool_error, cancelled, or a word of docs/errors.md{near}"),
    );
    false
}

/// A page of calls.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Activity<'a> {
    /// Calls, the newest first.
    calls: Vec<Item<'a>>,
    /// Value of `cursor` for the next page; `null` if there are no further calls.
    next_cursor: Option<u64>,
    /// Which calls are kept, matching or not.
    kept: Kept,
}

/// Which calls are kept.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ActivityKept"))]
struct Kept {
    /// Number of calls that are kept now.
    calls: usize,
    /// Most calls that are kept, `activity.calls`; `0` if none are.
    most: usize,
    /// Time from which no call is missing: that of the oldest one, or of the gateway's start.
    #[cfg_attr(test, schemars(with = "Time"))]
    complete_since: String,
}

fn shown(page: &ActivityPage) -> Activity<'_> {
    Activity {
        calls: page.calls.iter().map(|(number, call)| item(*number, call)).collect(),
        next_cursor: page.next,
        kept: Kept {
            calls: page.kept.calls,
            most: page.kept.most,
            complete_since: format_milli(page.kept.complete_since_ms),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_knows_every_error_that_a_call_can_end_with() {
        let listed = crate::http::tests::documented_errors();
        let listed: Vec<&str> = listed.iter().map(|[outcome, ..]| outcome.trim_matches('`')).collect();
        for name in ERRORS {
            assert!(listed.contains(&name), "{name}");
        }
        // What is left are errors of changes, which no call can end with.
        let changes = [
            "key_not_found",
            "member_not_found",
            "plan_not_found",
            "conflict",
            "unacceptable",
            "limit_reached",
            "tools_changed",
            "secret_not_found",
            "already_exists",
            "invalid_definition",
            "file_not_found",
            "file_read",
            "file_write",
            "file_content",
            "outside_root",
        ];
        assert_eq!(listed.len(), ERRORS.len() + changes.len());
    }

    #[test]
    fn parameters_that_contradict_each_other_are_named() {
        let read = |query: &[(&str, &str)]| {
            read(
                &query
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                    .collect::<Vec<_>>(),
            )
        };
        assert!(read(&[("outcome", "failed"), ("since", "2026-11-30"), ("limit", "5")]).is_ok());
        assert!(read(&[("follow", "true"), ("limit", "0")]).is_ok());
        for bad in [
            &[("outcome", "okay")][..],
            &[("since", "2026-11-30"), ("until", "2026-11-29")],
            &[("limit", "0")],
            &[("cursor", "x")],
            &[("format", "xml")],
            &[("format", "csv"), ("follow", "true")],
            &[("format", "csv"), ("limit", "5")],
            &[("follow", "maybe")],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
