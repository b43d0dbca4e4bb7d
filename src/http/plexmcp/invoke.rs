//! Handler of `POST /v1/mcp/invoke`, which serves nearly all requests.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;

use super::errors::{ApiError, bad_query};
use super::{RequestContext, Shared, idempotency, may_call_tools, payloads, prepare};
use crate::gateway::PreparedCall;
use crate::http::core::auth::{AuthError, identify_now, verify};
use crate::http::core::dialect::{Answering, FastPath};
use crate::http::core::head::RequestHead;
use crate::http::core::query;
use crate::http::core::trace::trace_members;
use crate::http::server::request_body::RequestBody;

/// Path of the route.
pub(super) const PATH: &str = "/v1/mcp/invoke";

/// Handles the route for the router.
pub(super) async fn routed(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    answer(shared, context, Arc::new(head.into()), RequestBody::Given(body)).await
}

/// The route for the edge, which bypasses the router.
pub(super) static FAST_PATH: FastPath = FastPath { method: Method::POST, path: PATH, handler: answer };

/// Calls a tool for the sender of this request. The head is read at once and let go, so that the future, which is
/// made anew for each call, is small.
fn answer(
    shared: Shared,
    context: Arc<RequestContext>,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Answering<'static> {
    match check_head(&shared, &context, &head) {
        Ok(()) => {}
        Err(Refused::Unverified) => return Box::pin(answer_verified(shared, context, head, body)),
        Err(Refused::With(refused)) => return Box::pin(std::future::ready(refused.into_response())),
    }
    if head.headers.contains_key(idempotency::KEY) {
        return Box::pin(idempotency::answer(shared, context, head, body));
    }
    let trace = trace_members(&head.headers);
    let mut body = shared.body_of(&head.headers, body);
    drop(head);
    Box::pin(async move {
        // By reference: awaited by value, it would be kept twice.
        let answer = match (&mut body).await {
            Ok(body) => invoke(&shared, &context, &body, &trace).await,
            Err(unread) => Err(unread.into()),
        };
        answer.unwrap_or_else(ApiError::into_response)
    })
}

/// Verifies the access token of a request, and then answers it.
async fn answer_verified(
    shared: Shared,
    context: Arc<RequestContext>,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Response {
    verify(&shared, &context, head.uri.path(), &head.headers).await;
    answer(shared, context, head, body).await
}

/// Reason that a request is not read on.
enum Refused {
    /// It has an access token that was not verified yet.
    Unverified,
    With(ApiError),
}

impl From<AuthError> for Refused {
    fn from(denied: AuthError) -> Refused {
        match denied {
            AuthError::Unverified => Refused::Unverified,
            denied => Refused::With(denied.into()),
        }
    }
}

/// Checks the key, the role and the query of a request.
fn check_head(shared: &Shared, context: &RequestContext, head: &RequestHead) -> Result<(), Refused> {
    may_call_tools(identify_now(shared, context, head.uri.path(), &head.headers)?)?;
    match head.uri.query() {
        Some(asked) => query::read(Some(asked), &[]).map(drop).map_err(|bad| Refused::With(bad_query(bad))),
        None => Ok(()),
    }
}

async fn invoke(
    shared: &Shared,
    context: &RequestContext,
    body: &Bytes,
    trace: &Bytes,
) -> Result<Response, ApiError> {
    let call = prepare::recorded(shared, context, prepare::read(shared, body)?, trace);
    let caller = context.caller().ok_or(AuthError::Missing)?;
    let reply = shared.gateway.call_tool(&call, &mut PreparedCall::of(&call), caller).await;
    let reply = reply.inspect_err(|error| context.failed_with(error))?;
    payloads::invoked(&call.tool, &reply)
}
