//! Answers where no dialect has a form of its own: errors are `{"error": "<text>"}`.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::query;
use super::rejection::{EdgeRejection, TOO_MANY_ACTS, TWO_ENDS, UNKNOWN_CODING, foreign_host};
use crate::gateway::Error;

/// Returns the refusal of a query that the route does not know, or `None` if the query is acceptable.
pub(in crate::http) fn refused_query(parts: &Parts) -> Option<Response> {
    let problems = query::of(parts).err()?;
    let sentence = problems.into_iter().next().map(|problem| problem.sentence).unwrap_or_default();
    Some(error(StatusCode::BAD_REQUEST, &sentence))
}

/// Answers for an error of the gateway that the edge met itself.
pub(in crate::http) fn failure(failed: &Error) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, &failed.to_string());
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// Answers a request that the edge refuses.
pub(in crate::http) fn reject(rejection: EdgeRejection<'_>) -> Response {
    match rejection {
        EdgeRejection::AmbiguousFraming => {
            let mut response = error(StatusCode::BAD_REQUEST, TWO_ENDS);
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            response
        }
        EdgeRejection::UnknownCoding => error(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CODING),
        EdgeRejection::BadHost => {
            error(StatusCode::BAD_REQUEST, "The request must have exactly one valid Host header")
        }
        EdgeRejection::ForeignHost { host } => error(StatusCode::FORBIDDEN, &foreign_host(host)),
        EdgeRejection::ForeignOrigin => {
            error(StatusCode::FORBIDDEN, "The Origin header names an origin that is not allowed")
        }
        EdgeRejection::TooManyActs => {
            let mut response = error(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_ACTS);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            response
        }
        EdgeRejection::Internal { request_id, cause } => {
            let mut body = json!({"error": "An unexpected error occurred", "request_id": request_id});
            if let Some(cause) = cause {
                body["cause"] = Value::from(cause);
            }
            answer(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
    }
}

/// Answers with an error: `{"error": "<text>"}`.
pub(in crate::http) fn error(status: StatusCode, text: &str) -> Response {
    answer(status, &json!({"error": text}))
}

/// Answers with JSON.
pub(in crate::http) fn answer(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
