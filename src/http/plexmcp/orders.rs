//! `POST /v1/mcps/{id}/restart`, `stop`, `start`, `disable` and `enable`: whether an MCP is to run (`docs/http-api.md`, P7).

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use axum::routing::{MethodRouter, post};

use super::errors::ApiError;
use super::{Administrator, DiscardBody, Id, RequestContext, Shared, bodies, json, mcp_id};

/// What an administrator wants of an MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Restart,
    Stop,
    Start,
    Disable,
    Enable,
}

impl Order {
    /// Returns the order's name in the audit log.
    fn action(self) -> &'static str {
        match self {
            Order::Restart => "server.restart",
            Order::Stop => "server.stop",
            Order::Start => "server.start",
            Order::Disable => "server.disable",
            Order::Enable => "server.enable",
        }
    }
}

/// Returns the handler of an order. A body is ignored.
pub(super) fn taking(order: Order) -> MethodRouter<Shared> {
    post(
        async move |Administrator(caller): Administrator,
                    Extension(context): Extension<Arc<RequestContext>>,
                    State(shared): State<Shared>,
                    id: Id,
                    _: DiscardBody|
                    -> Result<Response, ApiError> {
            let id = mcp_id(id)?;
            context.audit_as(order.action(), &id);
            match order {
                Order::Restart => shared.gateway.restart_server(&caller, &id)?,
                Order::Stop => shared.gateway.stop_server(&caller, &id)?,
                Order::Start => shared.gateway.start_server(&caller, &id)?,
                Order::Disable => shared.gateway.switch_server(&caller, &id, false).await?,
                Order::Enable => shared.gateway.switch_server(&caller, &id, true).await?,
            }
            Ok(json(bodies::accepted()))
        },
    )
}
