//! `/v1`: the PlexMCP dialect (`docs/http-api.md`, P1 to P16). Every route needs a key.

mod activity;
mod activity_export;
mod audit;
mod backup;
mod bodies;
mod calls;
mod doctor;
mod errors;
mod fields;
mod follow;
mod idempotency;
mod invoke;
mod keychange;
mod keys;
mod limits;
mod logs;
mod mcp;
mod members;
mod openapi;
mod orders;
mod organization;
mod payloads;
mod pins;
mod plans;
mod prepare;
mod queue;
mod secrets;
mod settings;
mod strict;
mod supervision;
mod usage;
mod usage_groups;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, FromRequest, FromRequestParts, Path, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};

use self::errors::ApiError;
use self::orders::Order;
use super::core::auth::{AuthError, identify, request_context};
use super::core::context::RequestContext;
use super::core::dialect::{Answering, Dialect, FastPath, is_under};
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use super::core::trace::trace_members;
use super::core::{body, query};
use crate::gateway::{Error, Principal, RegistryError, ResourceRead, Role, Surface};

/// The dialect.
pub(super) struct PlexMcp;

impl Dialect for PlexMcp {
    fn owns(&self, path: &str) -> bool {
        is_under(path, "/v1")
    }

    fn surface(&self) -> Surface {
        Surface::PlexMcp
    }

    fn routes(&self) -> Routes {
        routes()
    }

    fn trusts_nearness(&self) -> bool {
        // Every route needs a key.
        false
    }

    fn fast_paths(&self) -> &'static [FastPath] {
        std::slice::from_ref(&invoke::FAST_PATH)
    }

    fn unknown_route(&self) -> Response {
        errors::not_found().into_response()
    }

    fn wrong_method<'a>(&'a self, shared: &'a Shared, parts: &'a Parts) -> Answering<'a> {
        Box::pin(async move {
            match caller(shared, parts).await {
                Ok(_) => errors::method_not_allowed().into_response(),
                Err(denied) => ApiError::from(denied).into_response(),
            }
        })
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        ApiError::from(rejection).into_response()
    }

    fn failure(&self, error: Error) -> Response {
        ApiError::from(error).into_response()
    }
}

/// Returns the routes of the dialect.
fn routes() -> Routes {
    use Access::{Admin, Member, Owner, Public, Viewer};
    Routes::default()
        .on("GET", "/v1/openapi.json", Public, get(openapi::document))
        .asking("GET", "/v1/mcps", Viewer, &["page", "per_page", "status", "health"], get(list))
        .on("GET", "/v1/mcps/{id}", Viewer, get(detail))
        .asking("GET", "/v1/doctor", Admin, &["server"], get(doctor::show))
        .on("GET", "/v1/settings", Admin, get(settings::show))
        .on("GET", "/v1/mcps/{id}/queue", Admin, get(queue::show))
        .asking("GET", "/v1/mcps/{id}/logs", Admin, &["tail", "follow"], get(logs::show))
        .acting("server.restart", "POST", "/v1/mcps/{id}/restart", Admin, &[], orders::taking(Order::Restart))
        .acting("server.stop", "POST", "/v1/mcps/{id}/stop", Admin, &[], orders::taking(Order::Stop))
        .acting("server.start", "POST", "/v1/mcps/{id}/start", Admin, &[], orders::taking(Order::Start))
        .acting("server.disable", "POST", "/v1/mcps/{id}/disable", Admin, &[], orders::taking(Order::Disable))
        .acting("server.enable", "POST", "/v1/mcps/{id}/enable", Admin, &[], orders::taking(Order::Enable))
        .on("GET", "/v1/mcps/{id}/pins", Admin, get(pins::show))
        .acting("tool.approve", "POST", "/v1/mcps/{id}/pins/approve", Admin, &[], post(pins::approve))
        .calling("POST", invoke::PATH, Member, post(invoke::routed))
        .calling("POST", "/v1/mcp/resources", Member, post(resources))
        .on("GET", "/v1/organization", Viewer, get(organization::show))
        .asking("GET", MEMBERS, Viewer, &["page", "per_page", "role"], get(organization::members))
        .acting("member.create", "POST", MEMBERS, Admin, &[], post(members::create))
        .on("GET", "/v1/organization/members/{id}", Viewer, get(members::detail))
        .acting("member.change", "PATCH", "/v1/organization/members/{id}", Admin, &[], patch(members::change))
        .acting(
            "member.remove",
            "DELETE",
            "/v1/organization/members/{id}",
            Admin,
            &[],
            delete(members::remove),
        )
        .on("GET", "/v1/organization/plans", Viewer, get(plans::list))
        .acting("plan.put", "PUT", "/v1/organization/plans/{name}", Owner, &[], put(plans::replace))
        .acting("plan.remove", "DELETE", "/v1/organization/plans/{name}", Owner, &[], delete(plans::remove))
        .on("GET", "/v1/members/{id}/secrets", Member, get(secrets::list))
        .acting("secret.put", "PUT", SECRET, Member, &[], put(secrets::put))
        .acting("secret.remove", "DELETE", SECRET, Member, &[], delete(secrets::remove))
        .acting("backup.make", "POST", "/v1/backup", Owner, &[], post(backup::make))
        .acting("config.export", "POST", "/v1/export", Owner, &[], post(backup::export))
        .asking("GET", "/v1/audit", Admin, &AUDIT, get(audit::list))
        .asking("GET", "/v1/audit/export", Admin, &AUDIT[2..], get(audit::export))
        .asking("GET", "/v1/activity", Viewer, &activity::PARAMETERS, get(activity::list))
        .asking("GET", "/v1/usage", Viewer, &usage::PARAMETERS, get(usage::show))
        .asking("GET", "/v1/usage/history", Viewer, &HISTORY, get(usage::history))
        .asking("GET", "/v1/api-keys", Member, &["page", "per_page", "status"], get(keys::list))
        .acting("key.create", "POST", "/v1/api-keys", Member, &[], post(keys::create))
        .on("GET", "/v1/api-keys/{id}", Member, get(keys::detail))
        .acting("key.change", "PATCH", "/v1/api-keys/{id}", Member, &[], patch(keychange::change))
        .acting("key.rotate", "POST", "/v1/api-keys/{id}/rotate", Member, &[], post(keychange::rotate))
        .acting("key.revoke", "DELETE", "/v1/api-keys/{id}", Member, &["descendants"], delete(keys::revoke))
        .asking("GET", "/v1/api-keys/{id}/usage", Member, &HISTORY[..3], get(usage::of_key))
}

/// Path of one secret of a member.
const SECRET: &str = "/v1/members/{id}/secrets/{name}";
/// Path of the members.
const MEMBERS: &str = "/v1/organization/members";
/// Query parameters of the audit: two of pages, and its filters.
const AUDIT: [&str; 8] = ["page", "per_page", "action", "outcome", "member_id", "key_id", "since", "until"];
/// Query parameters of a history of usage; the first three select the span.
const HISTORY: [&str; 8] =
    ["period", "start_date", "end_date", "granularity", "mcp_id", "key_id", "page", "per_page"];

/// Extractor of the caller: the holder of a valid key.
struct Caller(Principal);

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Caller, ApiError> {
        let caller = caller(shared, parts).await?.clone();
        check_query(parts)?;
        Ok(Caller(caller))
    }
}

/// Extractor of a caller whose role may administer: logs of servers may hold secrets.
struct Administrator(Principal);

impl FromRequestParts<Shared> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Administrator, ApiError> {
        let principal = caller(shared, parts).await?;
        if !principal.role().may_administer() {
            return Err(AuthError::RoleTooLow.into());
        }
        check_query(parts)?;
        Ok(Administrator(principal.clone()))
    }
}

/// Extractor of a caller that is an owner: a plan decides how much each member may cost.
struct Owner(Principal);

impl FromRequestParts<Shared> for Owner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Owner, ApiError> {
        let principal = caller(shared, parts).await?;
        if principal.role() != Role::Owner {
            return Err(AuthError::RoleTooLow.into());
        }
        check_query(parts)?;
        Ok(Owner(principal.clone()))
    }
}

/// Extractor of a caller whose role may call tools, read resources and have keys.
struct ToolCaller(Principal);

impl FromRequestParts<Shared> for ToolCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<ToolCaller, ApiError> {
        let caller = may_call_tools(caller(shared, parts).await?)?.clone();
        check_query(parts)?;
        Ok(ToolCaller(caller))
    }
}

/// Returns the caller of a request.
async fn caller<'a>(shared: &Shared, parts: &'a Parts) -> Result<&'a Principal, AuthError> {
    identify(shared, request_context(parts)?, parts.uri.path(), &parts.headers).await
}

/// Refuses a caller whose role may not call tools.
fn may_call_tools(principal: &Principal) -> Result<&Principal, AuthError> {
    match principal.role().may_invoke() {
        true => Ok(principal),
        false => Err(AuthError::RoleTooLow),
    }
}

/// Extractor that reads and ignores a body: a connection with an unread body on it cannot be used again.
struct DiscardBody;

impl FromRequest<Shared> for DiscardBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, shared: &Shared) -> Result<DiscardBody, ApiError> {
        body::skip(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
        Ok(DiscardBody)
    }
}

/// Id in a path, not yet checked.
type Id = Result<Path<String>, PathRejection>;

/// Returns an MCP's id. An id that is not UTF-8 when decoded names no existing MCP.
fn mcp_id(id: Id) -> Result<String, ApiError> {
    id.map(|Path(id)| id).map_err(|_| RegistryError::ServerNotFound { name: String::new() }.into())
}

/// Extractor of the pairs of a query, whose names the route all knows.
struct QueryPairs(query::Pairs);

impl FromRequestParts<Shared> for QueryPairs {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<QueryPairs, ApiError> {
        query::of(parts).map(QueryPairs).map_err(errors::bad_query)
    }
}

/// Refuses a query that the route does not know. Every extractor of a caller calls it, so that no route forgets
/// it.
fn check_query(parts: &Parts) -> Result<(), ApiError> {
    if parts.uri.query().is_none() {
        return Ok(());
    }
    query::of(parts).map(drop).map_err(errors::bad_query)
}

async fn list(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let query = bodies::read_list(&query)?;
    Ok(json(bodies::list(shared.gateway.servers(&caller), query, caller.permissions())))
}

async fn detail(Caller(caller): Caller, State(shared): State<Shared>, id: Id) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    let usage = shared.gateway.tree_usage(&caller, &id).await?;
    let server = shared.gateway.server(&caller, &id)?;
    Ok(json(bodies::detail(&server, &usage, caller.permissions())))
}

async fn resources(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let meta = trace_members(request.headers());
    let body = shared.body(request).await?;
    let query = bodies::read_resources(&body, shared.gateway.settings().max_call_timeout)?;
    if let Some(uri) = &query.uri {
        if shared.gateway.audit().settings().calls {
            context.calls(format!("{}/resources/read", query.server), uri.as_bytes());
        }
        let read = ResourceRead { server: &query.server, uri, meta, timeout: query.timeout };
        let reply = shared.gateway.read_resource(read, &caller).await;
        let reply = reply.inspect_err(|error| context.failed_with(error))?;
        return Ok(json(payloads::resource_read(uri, &reply)));
    }
    let asked = Instant::now();
    let (server, catalog) = shared
        .gateway
        .catalog(
            &caller,
            &query.server,
            Some(query.timeout.unwrap_or(shared.gateway.settings().call_timeout)),
        )
        .await?;
    Ok(json(payloads::resource_list(&server, &catalog, asked.elapsed())))
}

fn json(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
