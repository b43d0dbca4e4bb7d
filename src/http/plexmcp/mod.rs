//! `/v1`: the PlexMCP dialect (contract, section 4). Every route needs a key.

mod bodies;
mod errors;
mod follow;
mod payloads;

pub(super) use self::follow::Streams;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use self::errors::Failure;
use super::auth::{Denied, authenticate};
use super::guard::Refusal;
use super::{Shared, body};
use crate::service::{Error, Principal};

/// The routes of the dialect.
pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/v1/mcps", get(list))
        .route("/v1/mcps/{id}", get(detail))
        .route("/v1/mcps/{id}/logs", get(logs))
        .route("/v1/mcps/{id}/restart", post(restart))
        .route("/v1/mcp/invoke", post(invoke))
        .route("/v1/mcp/resources", post(resources))
}

/// Who is calling: the holder of a valid key.
struct Caller;

impl FromRequestParts<Shared> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Caller, Failure> {
        identify(shared, &parts.headers)?;
        Ok(Caller)
    }
}

/// A caller whose role may administer, by the id of its key: what servers write to their logs may
/// hold secrets.
struct Administrator(Arc<str>);

impl FromRequestParts<Shared> for Administrator {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Administrator, Failure> {
        let principal = identify(shared, &parts.headers)?;
        match principal.role.may_administer() {
            true => Ok(Administrator(principal.key_id)),
            false => Err(Denied::RoleTooLow.into()),
        }
    }
}

/// A caller whose role may call tools and read resources, by the id of its key.
struct Invoker(Arc<str>);

impl FromRequestParts<Shared> for Invoker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Invoker, Failure> {
        let principal = identify(shared, &parts.headers)?;
        match principal.role.may_invoke() {
            true => Ok(Invoker(principal.key_id)),
            false => Err(Denied::RoleTooLow.into()),
        }
    }
}

fn identify(shared: &Shared, headers: &HeaderMap) -> Result<Principal, Failure> {
    Ok(authenticate(&shared.gateway, headers)?)
}

async fn list(
    _: Caller,
    State(shared): State<Shared>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Response, Failure> {
    let query = query.map_or_else(|_| Vec::new(), |Query(pairs)| pairs);
    let query = bodies::read_list(&query)?;
    Ok(json(bodies::list(shared.gateway.servers(), query)))
}

async fn detail(
    _: Caller,
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    // A path that is not UTF-8 when decoded names nothing that exists.
    let Path(id) = id.map_err(|_| Error::ServerNotFound { name: String::new() })?;
    let usage = shared.gateway.usage(&id).await?;
    let server = shared.gateway.server(&id)?;
    Ok(json(bodies::detail(&server, &usage)))
}

async fn logs(
    Administrator(key): Administrator,
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(|_| Error::ServerNotFound { name: String::new() })?;
    let query = bodies::read_logs(&query.map_or_else(|_| Vec::new(), |Query(pairs)| pairs))?;
    if !query.follow {
        return Ok(json(bodies::logs(&shared.gateway.logs(&id, query.tail)?)));
    }
    let follower = shared.gateway.follow_logs(&id, query.tail, follow::last_event_id(&headers))?;
    let permit = shared.streams.open(key).ok_or_else(errors::too_many_streams)?;
    Ok(follow::answer(follower, permit))
}

async fn restart(
    _: Administrator,
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Failure> {
    let Path(id) = id.map_err(|_| Error::ServerNotFound { name: String::new() })?;
    shared.gateway.restart_server(&id)?;
    Ok(json(bodies::accepted()))
}

async fn invoke(
    Invoker(caller): Invoker,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Failure> {
    let body = body::read(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
    let call = bodies::read_invoke(&body, shared.settings.max_call_timeout)?;
    let tool = call.tool.clone();
    let reply = shared.gateway.call_tool(call, caller).await?;
    Ok(json(payloads::invoked(&tool, &reply)?))
}

async fn resources(
    Invoker(caller): Invoker,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Failure> {
    let body = body::read(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
    let query = bodies::read_resources(&body, shared.settings.max_call_timeout)?;
    if let Some(uri) = &query.uri {
        let reply = shared.gateway.read_resource(&query.server, uri, query.timeout, caller).await?;
        return Ok(json(payloads::resource_read(uri, &reply)));
    }
    let asked = Instant::now();
    let (server, catalog) = shared
        .gateway
        .catalog(&query.server, Some(query.timeout.unwrap_or(shared.settings.call_timeout)))
        .await?;
    Ok(json(payloads::resource_list(&server, &catalog, asked.elapsed())))
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// No route has this path; said without asking for a key.
pub(super) fn unknown_route() -> Response {
    errors::not_found().into_response()
}

/// The path is known and the method is not; who has no key learns only that.
pub(super) fn wrong_method(shared: &Shared, parts: &Parts) -> Response {
    match identify(shared, &parts.headers) {
        Ok(_) => errors::method_not_allowed().into_response(),
        Err(failure) => failure.into_response(),
    }
}

/// What the guard refuses, in this dialect's shape.
pub(super) fn refusal(refusal: Refusal<'_>) -> Response {
    Failure::from(refusal).into_response()
}
