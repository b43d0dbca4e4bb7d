//! `POST /v1/mcps/{id}/stop`, `start`, `disable` and `enable`: whether an MCP is to run (`docs/http-api.md`, P7).

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;

use super::errors::ApiError;
use super::{Administrator, DiscardBody, Id, RequestContext, Shared, bodies, json, mcp_id};

pub(super) async fn stop(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    context.audit_as("server.stop", &id);
    shared.gateway.stop_server(&caller, &id)?;
    Ok(json(bodies::accepted()))
}

pub(super) async fn start(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    context.audit_as("server.start", &id);
    shared.gateway.start_server(&caller, &id)?;
    Ok(json(bodies::accepted()))
}

pub(super) async fn disable(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    context.audit_as("server.disable", &id);
    shared.gateway.switch_server(&caller, &id, false).await?;
    Ok(json(bodies::accepted()))
}

pub(super) async fn enable(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = mcp_id(id)?;
    context.audit_as("server.enable", &id);
    shared.gateway.switch_server(&caller, &id, true).await?;
    Ok(json(bodies::accepted()))
}
