//! Routes for operators and their machines: liveness, readiness and metrics. Errors are `{"error": "<text>"}`.

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

use super::core::auth::{AuthError, admit_to_metrics};
use super::core::dialect::{Answering, Dialect};
use super::core::plain::{self, answer, error, refused_query, reject};
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use super::core::timestamp::retry_seconds;
use crate::gateway::{Error, Surface};
use crate::oidc::TokenError;

/// Content type of the Prometheus text format.
const METRICS_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The operational routes, and every path that belongs to no dialect.
pub(super) struct Admin;

impl Dialect for Admin {
    fn owns(&self, _: &str) -> bool {
        true
    }

    fn surface(&self) -> Surface {
        Surface::Admin
    }

    fn routes(&self) -> Routes {
        routes()
    }

    fn trusts_nearness(&self) -> bool {
        true
    }

    fn unknown_route(&self) -> Response {
        error(StatusCode::NOT_FOUND, "Not found")
    }

    fn wrong_method<'a>(&'a self, _: &'a Shared, _: &'a Parts) -> Answering<'a> {
        Box::pin(std::future::ready(error(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed")))
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        reject(rejection)
    }

    /// Answers that there is no room for the answer, the one error that the edge meets on these paths.
    fn failure(&self, failed: Error) -> Response {
        plain::failure(&failed)
    }
}

fn routes() -> Routes {
    Routes::default()
        .on("GET", "/healthz", Access::Public, get(health))
        .on("GET", "/readyz", Access::Public, get(ready))
        .on("GET", "/metrics", Access::Metrics, get(metrics))
}

/// A request whose query, if it has one, holds only parameters that the route knows.
struct KnownRequest;

impl FromRequestParts<Shared> for KnownRequest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<KnownRequest, Response> {
        refused_query(parts).map_or(Ok(KnownRequest), Err)
    }
}

/// Answers that the process serves.
async fn health(_: KnownRequest) -> Response {
    answer(StatusCode::OK, &json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// Reports whether calls are served. Callers that may see all servers get the list of what is wrong or waited
/// for; others get its length.
async fn ready(_: KnownRequest, State(shared): State<Shared>, request: Request) -> Response {
    let readiness = shared.gateway.readiness();
    let (status, word, name, what) = match readiness.ready {
        true if readiness.problems.is_empty() => {
            return answer(StatusCode::OK, &json!({"status": "ready"}));
        }
        // Calls are served, so a load balancer should go on sending traffic.
        true => (StatusCode::OK, "degraded", "problems", readiness.problems),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not_ready", "waiting_for", readiness.waiting_for),
    };
    let (parts, _) = request.into_parts();
    let what = match admit_to_metrics(&shared, &parts).await {
        Ok(()) => Value::from(what),
        Err(_) => Value::from(what.len()),
    };
    answer(status, &json!({"status": word, name: what}))
}

async fn metrics(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match admit_to_metrics(&shared, &parts).await {
        Ok(()) => {
            if let Some(refused) = refused_query(&parts) {
                return refused;
            }
            let mut response = Response::new(Body::from(shared.gateway.render_metrics().await));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(METRICS_FORMAT));
            response
        }
        Err(denied) => refuse(&denied),
    }
}

fn refuse(denied: &AuthError) -> Response {
    match denied {
        AuthError::Missing
        | AuthError::Unproven { .. }
        | AuthError::Refused { .. }
        | AuthError::Unverified
        | AuthError::Token { .. } => {
            let mut body = json!({"error": "Authentication required"});
            match denied {
                AuthError::Unproven { why } => body["reason"] = Value::from(*why),
                AuthError::Token { why } => body["reason"] = Value::from(why.text()),
                _ => {}
            }
            let mut response = answer(StatusCode::UNAUTHORIZED, &body);
            response.headers_mut().insert(WWW_AUTHENTICATE, denied.challenge());
            response.extensions_mut().insert(denied.failed_login());
            response
        }
        AuthError::ScopeMissing => error(StatusCode::FORBIDDEN, TokenError::Scope.text()),
        AuthError::Unverifiable { why, retry_after } => {
            let mut response = error(StatusCode::SERVICE_UNAVAILABLE, why);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_seconds(*retry_after)));
            response
        }
        AuthError::RoleTooLow => error(StatusCode::FORBIDDEN, "A key that may use all servers is required"),
        AuthError::TooMany { retry_after } => {
            let mut response = error(StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please retry later");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_seconds(*retry_after)));
            response
        }
    }
}
