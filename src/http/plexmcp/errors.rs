//! Errors of `/v1`: `{"success": false, "error": {...}}` and the catalogue of codes
//! (`docs/http-api.md`, P1.2 and P2).

mod idempotency;
mod rooms;

use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::gateway::{CredentialError, Error};
use crate::http::core::auth::AuthError;
use crate::http::core::body::{BodyError, CODED};
use crate::http::core::query;
use crate::http::core::rejection::{EdgeRejection, TOO_MANY_ACTS, TWO_ENDS, UNKNOWN_CODING, foreign_host};
use crate::http::core::response_meta::ResponseMeta;
use crate::http::core::streams::TooManyStreams;
use crate::oidc::TokenError;
#[cfg(test)]
use {super::openapi::details::ErrorDetails, crate::http::core::openapi::False};

/// An answer of `/v1` that is not a success. Boxed, so that a handler's success is not as large as its rare
/// failure.
#[derive(Debug)]
pub(super) struct ApiError(Box<Answer>);

/// Status, body and headers of a [`ApiError`].
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// A JSON object; `None` if there are no details.
    details: Option<Box<RawValue>>,
    manner: ResponseMeta,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ApiError {
        ApiError(Box::new(Answer {
            status,
            code,
            message: message.into(),
            details: None,
            manner: ResponseMeta::default(),
        }))
    }

    /// Creates the failure of a request, naming every field that is wrong. `first` describes the first of them in
    /// a sentence, if there is one for it.
    pub(super) fn invalid_fields(problems: Map<String, Value>, first: Option<String>) -> ApiError {
        let message = match problems.keys().next() {
            _ if first.is_some() => first.unwrap_or_default(),
            Some(field) if problems.len() == 1 => format!("The request was invalid: check '{field}'"),
            _ => "The request was invalid".to_owned(),
        };
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", message).with(&problems)
    }

    /// Creates the failure of a tool that ran and reported an error. `text` is its message, `content` its raw
    /// blocks.
    pub(super) fn tool_failed(text: &str, content: &RawValue, structured: Option<&RawValue>) -> ApiError {
        #[derive(Serialize)]
        struct Details<'a> {
            mcp_error: &'a str,
            content: &'a RawValue,
            #[serde(skip_serializing_if = "Option::is_none")]
            structured_content: Option<&'a RawValue>,
        }
        let message = "The tool reported an error";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "mcp_error", message).with(&Details {
            mcp_error: text,
            content,
            structured_content: structured,
        })
    }

    /// Creates the failure for a defect: the text goes to the log, the guard words the answer.
    fn defect(reason: String) -> ApiError {
        let mut failure = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", UNEXPECTED);
        failure.0.manner.defect = Some(reason);
        failure
    }

    fn with<T: Serialize + ?Sized>(mut self, details: &T) -> ApiError {
        self.0.details = serde_json::value::to_raw_value(details).ok();
        self
    }

    fn retry(mut self, after: Option<Duration>) -> ApiError {
        self.0.manner.retry_after = after;
        self
    }

    fn closing(mut self) -> ApiError {
        self.0.manner.close = true;
        self
    }

    /// Marks the answer to a request whose content is compressed.
    fn uncoded(mut self) -> ApiError {
        self.0.manner.coded = true;
        self
    }

    /// Marks the answer to a request whose end is no longer waited for.
    fn half_sent(mut self) -> ApiError {
        self.0.manner.half_sent = true;
        self.closing()
    }
}

/// An answer that is not a success.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ErrorResponse"))]
pub(super) struct ErrorEnvelope<'a> {
    /// `false`.
    #[cfg_attr(test, schemars(with = "False"))]
    success: bool,
    /// Description of the error.
    error: ErrorBody<'a>,
}

/// Description of an error.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Error"))]
struct ErrorBody<'a> {
    /// Word for programs, such as `invalid_request`, `not_found` or `mcp_unreachable`. Further ones may be added;
    /// `docs/errors.md` has them all.
    #[cfg_attr(test, schemars(extend("pattern" = "^[a-z_]+$")))]
    code: &'a str,
    /// Text for people.
    #[cfg_attr(test, schemars(length(min = 1)))]
    message: &'a str,
    /// Particulars of this error; absent if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "ErrorDetails"))]
    details: Option<&'a RawValue>,
}

/// Time after which one of a key's calls may have ended.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

const UNEXPECTED: &str = "An unexpected error occurred";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let answer = *self.0;
        let error =
            ErrorBody { code: answer.code, message: &answer.message, details: answer.details.as_deref() };
        let body = serde_json::to_vec(&ErrorEnvelope { success: false, error }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = answer.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.manner.put_on(&mut response);
        response
    }
}

impl From<AuthError> for ApiError {
    fn from(denied: AuthError) -> ApiError {
        match denied {
            AuthError::Missing
            | AuthError::Unproven { .. }
            | AuthError::Refused { refused: CredentialError::Unknown, .. } => {
                denied_with("unauthorized", "Invalid or missing API key", denied)
            }
            AuthError::Refused { refused: CredentialError::Expired, .. } => {
                denied_with("expired_key", "API key has expired", denied)
            }
            AuthError::Refused { refused: CredentialError::Revoked, .. } => {
                denied_with("revoked_key", "API key has been revoked", denied)
            }
            AuthError::Unverified => denied_with("unauthorized", "Invalid or missing API key", denied),
            AuthError::Token { why } => denied_with("unauthorized", why.text(), denied),
            AuthError::ScopeMissing => {
                ApiError::new(StatusCode::FORBIDDEN, "forbidden", TokenError::Scope.text())
            }
            AuthError::Unverifiable { why, retry_after } => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", &why)
                    .retry(Some(retry_after))
            }
            AuthError::RoleTooLow => {
                ApiError::new(StatusCode::FORBIDDEN, "forbidden", "Your role does not allow this action")
            }
            AuthError::TooMany { retry_after } => {
                let message = "Too many requests. Please retry later";
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message).retry(Some(retry_after))
            }
        }
    }
}

fn denied_with(code: &'static str, message: &str, denied: AuthError) -> ApiError {
    let mut failure = ApiError::new(StatusCode::UNAUTHORIZED, code, message);
    failure.0.manner.denied = Some(denied);
    failure
}

impl From<BodyError> for ApiError {
    fn from(unusable: BodyError) -> ApiError {
        let invalid = |status, message: String| ApiError::new(status, "invalid_request", message);
        match unusable {
            BodyError::NotJson => {
                invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json".into())
            }
            BodyError::Coded => invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, CODED.into()).uncoded(),
            BodyError::TooLong { limit } => {
                let message = format!("The request body is longer than {limit} bytes");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message).closing()
            }
            BodyError::TooSlow { limit } => {
                let message = format!("The request body did not arrive within {} s", limit.as_secs_f64());
                invalid(StatusCode::REQUEST_TIMEOUT, message).half_sent()
            }
            BodyError::Broken => {
                invalid(StatusCode::BAD_REQUEST, "The request body could not be read".into()).half_sent()
            }
            BodyError::Empty => invalid(StatusCode::BAD_REQUEST, "The request body is empty".into()),
            BodyError::Malformed { reason } => {
                invalid(StatusCode::BAD_REQUEST, format!("The request body is not valid JSON: {reason}"))
            }
            BodyError::NotAnObject { nothing: _ } => {
                invalid(StatusCode::BAD_REQUEST, "The request body must be a JSON object".into())
            }
        }
    }
}

impl From<EdgeRejection<'_>> for ApiError {
    fn from(refusal: EdgeRejection<'_>) -> ApiError {
        let forbidden = |message| ApiError::new(StatusCode::FORBIDDEN, "forbidden", message);
        let invalid = |message| ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", message);
        match refusal {
            EdgeRejection::AmbiguousFraming => invalid(TWO_ENDS),
            EdgeRejection::UnknownCoding => {
                ApiError::new(StatusCode::NOT_IMPLEMENTED, "invalid_request", UNKNOWN_CODING)
            }
            EdgeRejection::BadHost => invalid("The request must have exactly one valid Host header"),
            EdgeRejection::ForeignHost { host } => {
                ApiError::new(StatusCode::FORBIDDEN, "forbidden", foreign_host(host))
            }
            EdgeRejection::ForeignOrigin => {
                forbidden("The Origin header names an origin that is not allowed")
            }
            EdgeRejection::TooManyActs => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", TOO_MANY_ACTS)
                    .retry(Some(Duration::from_secs(1)))
            }
            EdgeRejection::Internal { request_id, cause: _ } => {
                ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", UNEXPECTED)
                    .with(&json!({"request_id": request_id}))
            }
        }
    }
}

/// Returns the code of the reason why a stream ends for its reader.
pub(super) fn ended(error: Error) -> &'static str {
    ApiError::from(error).0.code
}

/// Creates the failure of a query with unknown parameters, or with ones that cannot be decoded.
pub(super) fn bad_query(problems: Vec<query::Problem>) -> ApiError {
    let mut details = Map::new();
    let mut message = String::new();
    for problem in problems {
        if details.is_empty() {
            message = problem.sentence;
        }
        details.insert(problem.name, Value::String(problem.reason));
    }
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", message).with(&details)
}

/// Creates the failure of permissions that cannot be read.
pub(super) fn bad_permissions(reason: &str) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", "Invalid permissions format")
        .with(&json!({"permissions": reason}))
}

pub(super) fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found")
}

impl From<TooManyStreams> for ApiError {
    fn from(refused: TooManyStreams) -> ApiError {
        let wait = Some(Duration::from_secs(15));
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", refused.to_string()).retry(wait)
    }
}

pub(super) fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
}

#[cfg(test)]
mod tests {
    use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};

    use super::*;
    use crate::http::core::response_meta::Defect;
    use crate::http::tests::{documented_errors, every_error, namesake, twins};

    async fn answer(failure: ApiError) -> (u16, Response, Value) {
        let mut response = failure.into_response();
        let body = std::mem::take(response.body_mut());
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("in memory");
        (response.status().as_u16(), response, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    async fn every_error_has_its_status_and_code() {
        let expected = [
            ("server_not_found", 404, "not_found"),
            ("server_disabled", 409, "mcp_inactive"),
            ("server_stopped", 409, "mcp_inactive"),
            ("no_command", 502, "mcp_unreachable"),
            ("server_not_permitted", 403, "mcp_not_permitted"),
            ("tool_not_permitted", 403, "tool_not_permitted"),
            ("forbidden", 403, "forbidden"),
            ("key_revoked", 401, "revoked_key"),
            ("key_expired", 401, "expired_key"),
            ("key_not_found", 404, "not_found"),
            ("member_not_found", 404, "not_found"),
            ("plan_not_found", 404, "not_found"),
            ("conflict", 409, "conflict"),
            ("unacceptable", 422, "validation_error"),
            ("limit_reached", 403, "quota_exceeded"),
            ("quota_exceeded", 429, "quota_exceeded"),
            ("too_many_calls", 429, "rate_limited"),
            ("unread", 503, "service_unavailable"),
            ("tool_blocked", 403, "tool_blocked"),
            ("tools_changed", 409, "tools_changed"),
            ("tool_not_found", 404, "tool_not_found"),
            ("resource_not_found", 404, "resource_not_found"),
            ("invalid_arguments", 400, "invalid_arguments"),
            ("rpc_error", 502, "mcp_error"),
            ("input_required", 422, "mcp_error"),
            ("bad_reply", 502, "mcp_error"),
            ("unreachable", 502, "mcp_unreachable"),
            ("breaker_open", 503, "service_unavailable"),
            ("request_too_large", 413, "payload_too_large"),
            ("timed_out", 504, "mcp_timeout"),
            ("overloaded", 503, "service_unavailable"),
            ("too_many_pools", 503, "service_unavailable"),
            ("login_failed", 409, "login_failed"),
            ("secret_missing", 409, "secret_missing"),
            ("secret_not_found", 404, "not_found"),
            ("shutting_down", 503, "service_unavailable"),
            ("already_exists", 409, "already_exists"),
            ("invalid_definition", 422, "validation_error"),
            ("file_not_found", 404, "not_found"),
            ("file_read", 500, "internal_error"),
            ("file_write", 500, "internal_error"),
            ("file_content", 400, "invalid_request"),
            ("outside_root", 400, "invalid_request"),
            ("store", 503, "service_unavailable"),
            ("internal", 500, "internal_error"),
        ];
        let errors = every_error();
        assert_eq!(errors.len(), expected.len());
        for (error, (outcome, status, code)) in errors.into_iter().zip(expected) {
            assert_eq!(error.facts().name, outcome);
            let (answered, response, body) = answer(error.into()).await;
            assert_eq!((answered, &body["error"]["code"]), (status, &json!(code)), "{outcome}");
            assert_eq!(body["success"], json!(false));
            assert!(body["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
            assert_eq!(status == 500, response.extensions().get::<Defect>().is_some(), "{outcome}");
            if status == 500 {
                assert!(!body.to_string().contains("secret"), "{outcome}: {body}");
            }
        }
    }

    #[tokio::test]
    async fn an_error_of_the_same_name_in_another_room_has_the_same_answer() {
        for twin in twins() {
            let (name, same) = (twin.facts().name, namesake(&twin));
            let (status, response, body) = answer(twin.into()).await;
            let (wanted, other, like) = answer(same.into()).await;
            assert_eq!((status, &body["error"]["code"]), (wanted, &like["error"]["code"]), "{name}");
            assert_eq!(response.headers(), other.headers(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_reference_gives_every_error_its_answer() {
        for (error, [outcome, .., documented, _]) in every_error().into_iter().zip(documented_errors()) {
            let (status, _, body) = answer(error.into()).await;
            let code = body["error"]["code"].as_str().expect("every answer has a code");
            assert_eq!(documented, format!("{status} `{code}`"), "docs/errors.md, {outcome}");
        }
    }

    #[tokio::test]
    async fn a_lost_call_says_whether_it_was_sent_and_when_to_ask_again() {
        let lost = Error::Unreachable {
            reason: "the child exited with code 1".into(),
            in_flight: true,
            retry_after: Some(Duration::from_millis(1500)),
            status: None,
        };
        let (_, response, body) = answer(lost.into()).await;
        assert_eq!(body["error"]["details"], json!({"phase": "in_flight"}));
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[tokio::test]
    async fn a_server_s_own_error_is_passed_on() {
        let data = Some(bytes::Bytes::from_static(b"{\"why\":1}"));
        let (_, _, body) = answer(Error::Rpc { code: -32001, message: "no".into(), data }.into()).await;
        let details = json!({"mcp_error": "no", "mcp_code": -32001, "mcp_data": {"why": 1}});
        assert_eq!(body["error"]["details"], details);
    }

    #[tokio::test]
    async fn a_401_carries_a_challenge_and_a_403_does_not() {
        let (status, response, _) = answer(AuthError::Missing.into()).await;
        assert_eq!(
            (status, &response.headers()[WWW_AUTHENTICATE]),
            (401, &HeaderValue::from_static("Bearer realm=\"mcp\""))
        );
        let (status, response, body) = answer(AuthError::RoleTooLow.into()).await;
        assert_eq!((status, &body["error"]["code"]), (403, &json!("forbidden")));
        assert!(!response.headers().contains_key(WWW_AUTHENTICATE));
    }

    #[tokio::test]
    async fn an_internal_error_tells_the_request_id_and_nothing_else() {
        let refusal = EdgeRejection::Internal { request_id: "req_1", cause: Some("secret") };
        let (status, _, body) = answer(refusal.into()).await;
        assert_eq!(status, 500);
        assert_eq!(body["error"]["details"], json!({"request_id": "req_1"}));
        assert!(!body.to_string().contains("secret"));
    }
}
