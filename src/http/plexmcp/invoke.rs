//! Handler of `POST /v1/mcp/invoke`, which serves nearly all requests.

use std::sync::Arc;

use axum::Extension;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::errors::{ApiError, bad_query};
use super::{RequestContext, Shared, bodies, invoker, payloads};
use crate::http::core::body::RequestBody;
use crate::http::core::dialect::{Answering, FastPath};
use crate::http::core::query;

/// Path of the route.
pub(super) const PATH: &str = "/v1/mcp/invoke";

/// Handles the route for the router.
pub(super) async fn routed(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Response {
    answer(shared, context, request).await
}

/// The route for the edge, which bypasses the router.
pub(super) static FAST_PATH: FastPath = FastPath { method: Method::POST, path: PATH, handler: boxed };

fn boxed(
    shared: Shared,
    context: Arc<RequestContext>,
    request: axum::http::Request<RequestBody>,
) -> Answering<'static> {
    Box::pin(answer(shared, context, request))
}

/// Calls a tool for the sender of this request.
async fn answer<B>(shared: Shared, context: Arc<RequestContext>, request: axum::http::Request<B>) -> Response
where
    B: HttpBody<Data = Bytes>,
{
    invoke(&shared, &context, request).await.unwrap_or_else(ApiError::into_response)
}

async fn invoke<B>(
    shared: &Shared,
    context: &RequestContext,
    request: axum::http::Request<B>,
) -> Result<Response, ApiError>
where
    B: HttpBody<Data = Bytes>,
{
    let caller = invoker(shared, context, request.headers())?;
    if let Some(asked) = request.uri().query() {
        query::read(Some(asked), &[]).map_err(bad_query)?;
    }
    let body = shared.body(request).await?;
    let call = bodies::read_invoke(&body, shared.gateway.settings().max_call_timeout)?;
    if shared.gateway.audit().settings().calls {
        let arguments = call.arguments.as_deref().unwrap_or(b"{}");
        context.calls(format!("{}/{}", call.server, call.tool), arguments);
    }
    let reply = shared.gateway.call_tool(&call, caller).await;
    let reply = reply.inspect_err(|error| context.failed_with(error))?;
    payloads::invoked(&call.tool, &reply)
}
