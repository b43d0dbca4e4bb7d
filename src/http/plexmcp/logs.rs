//! `GET /v1/mcps/{id}/logs`: what a server's children write beside messages, kept or as it comes (`docs/http-api.md`, P8).

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;

use super::errors::ApiError;
use super::follow::{self, Telling};
use super::{Administrator, Id, QueryPairs, RequestContext, Shared, bodies, json, mcp_id};
use crate::gateway::LogLine;

/// How the stream of a log tells of its lines.
const LOG: Telling<Arc<LogLine>> = Telling { waiting: 4, unit: "lines", event: line_event };

fn line_event(line: &Arc<LogLine>) -> Event {
    Event::default().id(line.number.to_string()).event("line").data(bodies::log_line(line))
}

pub(super) async fn show(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    QueryPairs(query): QueryPairs,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    let query = bodies::read_logs(&query)?;
    context.looks(if query.follow { "logs.follow" } else { "logs.read" }, &id);
    if !query.follow {
        return Ok(json(bodies::logs(&shared.gateway.logs(&caller, &id, query.tail)?)));
    }
    let follower = shared.gateway.follow_logs(&caller, &id, query.tail, follow::last_event_id(&headers))?;
    let permit = shared.streams.open(caller.key_id().clone())?;
    Ok(follow::answer(follower, permit, LOG))
}
