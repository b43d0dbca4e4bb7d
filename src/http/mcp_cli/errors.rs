//! Errors of `/api`: `{"error": "<text>"}`, with `code` where a program may want to tell cases apart
//! (`docs/http-api.md`, M2.3).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::gateway::{
    AccessError, AuditError, CredentialError, Error, Gateway, PinError, RegistryError, UsageError,
};
use crate::http::core::auth::AuthError;
use crate::http::core::body::{BodyError, CODED};
use crate::http::core::rejection::{EdgeRejection, TOO_MANY_ACTS, TWO_ENDS, UNKNOWN_CODING, foreign_host};
use crate::http::core::response_meta::{POOL_PAUSE, ResponseMeta, STORE_PAUSE};
use crate::oidc::TokenError;
use crate::query::{ModelError, QueryError};

/// An answer of `/api` that is not a success. Boxed, so that a handler's success is not as large as its rare
/// failure.
#[derive(Debug)]
pub(super) struct ApiError(Box<Answer>);

/// Status, body and headers of a [`ApiError`].
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    error: String,
    code: Option<&'static str>,
    available_servers: Option<Vec<Arc<str>>>,
    /// All problems of a definition, if there is more than the one in `error`.
    problems: Option<Vec<String>>,
    request_id: Option<String>,
    /// Reason why a key is needed although the client may be the daemon's own user.
    reason: Option<&'static str>,
    manner: ResponseMeta,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> ApiError {
        ApiError(Box::new(Answer {
            status,
            error: error.into(),
            code: None,
            available_servers: None,
            problems: None,
            request_id: None,
            reason: None,
            manner: ResponseMeta::default(),
        }))
    }

    /// Creates a 400 for a request that cannot be carried out as it was asked.
    pub(super) fn bad_request(error: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error)
    }

    /// Translates an error of the gateway. The names of the servers go with the two errors that are about a name.
    pub(super) fn of(error: Error, gateway: &Gateway) -> ApiError {
        let about_names = matches!(
            error,
            Error::Registry(RegistryError::ServerNotFound { .. } | RegistryError::AlreadyExists { .. })
        );
        let mut failure = ApiError::from(error);
        if about_names {
            failure.0.available_servers =
                Some(gateway.all_servers().into_iter().map(|server| server.name).collect());
        }
        failure
    }

    /// Creates the failure for a defect: the text goes to the log, the guard words the answer.
    fn defect(reason: String) -> ApiError {
        let mut failure = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, UNEXPECTED);
        failure.0.manner.defect = Some(reason);
        failure
    }

    /// Returns the body as a JSON value, for answers that contain it.
    pub(super) fn as_value(&self) -> serde_json::Value {
        serde_json::to_value(self.0.shape()).unwrap_or_default()
    }

    fn code(mut self, code: &'static str) -> ApiError {
        self.0.code = Some(code);
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

/// Time after which one of a key's calls may have ended.
const RETRY_AFTER_BUSY: Duration = Duration::from_secs(1);

const UNEXPECTED: &str = "An unexpected error occurred";

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(serde_json::to_vec(&self.0.shape()).unwrap_or_default()));
        let answer = *self.0;
        *response.status_mut() = answer.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer.manner.put_on(&mut response);
        response
    }
}

/// An answer that is not a success.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ErrorResponse"))]
pub(super) struct Shape<'a> {
    /// Text for people.
    #[cfg_attr(test, schemars(length(min = 1)))]
    error: &'a str,
    /// Word for programs, such as `mcp_unreachable` or `llm_error`, where they may want to tell cases apart; absent
    /// elsewhere. Further ones may be added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", extend("pattern" = "^[a-z_]+$")))]
    code: Option<&'a str>,
    /// Names of all servers; only in an error about the name of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    available_servers: Option<&'a [Arc<str>]>,
    /// Everything that is wrong with a definition; only if that is more than what `error` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    problems: Option<&'a [String]>,
    /// Id of the request, by which the gateway's log tells more; only for an internal error.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    request_id: Option<&'a str>,
    /// Reason why a key is needed here; only where the gateway's own user would need none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    reason: Option<&'a str>,
}

impl Answer {
    fn shape(&self) -> Shape<'_> {
        Shape {
            error: &self.error,
            code: self.code,
            available_servers: self.available_servers.as_deref(),
            problems: self.problems.as_deref(),
            request_id: self.request_id.as_deref(),
            reason: self.reason,
        }
    }
}

impl From<QueryError> for ApiError {
    fn from(error: QueryError) -> ApiError {
        let text = error.to_string();
        let failed = || ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, text.clone());
        match error {
            QueryError::NoKey | QueryError::UnreadableKey { .. } => failed(),
            QueryError::Busy { .. } => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text)
                .code("service_unavailable")
                .retry(Some(Duration::from_secs(1))),
            QueryError::TimedOut { .. } | QueryError::Model(ModelError::Silent { .. }) => {
                failed().code("timeout")
            }
            QueryError::Unacceptable { reason } => ApiError::bad_request(reason),
            QueryError::Model(ModelError::Refused { retry_after, .. }) => {
                failed().code("llm_error").retry(retry_after)
            }
            QueryError::Model(_) => failed().code("llm_error"),
            QueryError::Server(error) => error.into(),
        }
    }
}

/// The one translation of gateway errors into statuses and texts, with those of its rooms below. An upstream failure
/// is a 500 in this dialect, by its reference.
impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let text = error.to_string();
        let failure = |status| ApiError::new(status, text.clone());
        let upstream = failure(StatusCode::INTERNAL_SERVER_ERROR);
        match error {
            Error::Access(error) => error.into(),
            Error::Registry(error) => error.into(),
            Error::Usage(error) => error.into(),
            Error::Audit(error) => error.into(),
            Error::ToolNotFound { .. } | Error::ResourceNotFound { .. } | Error::SecretNotFound => {
                failure(StatusCode::NOT_FOUND)
            }
            Error::ServerNotPermitted { .. } | Error::ToolNotPermitted { .. } => {
                failure(StatusCode::FORBIDDEN)
            }
            Error::TooManyCalls { .. } => {
                failure(StatusCode::TOO_MANY_REQUESTS).code("rate_limited").retry(Some(RETRY_AFTER_BUSY))
            }
            Error::Unread { carried_out: true, .. } => upstream.code("answer_dropped"),
            Error::Unread { .. } => unavailable(text).retry(Some(RETRY_AFTER_BUSY)),
            Error::ToolBlocked { .. } => failure(StatusCode::FORBIDDEN).code("tool_blocked"),
            Error::ServerDisabled { .. } | Error::ServerStopped { .. } => {
                failure(StatusCode::CONFLICT).code("mcp_inactive")
            }
            Error::InvalidArguments { .. } => failure(StatusCode::BAD_REQUEST),
            Error::NoCommand { .. } => upstream.code("mcp_unreachable"),
            Error::Unreachable { retry_after, .. } => upstream.code("mcp_unreachable").retry(retry_after),
            Error::TimedOut { .. } => upstream.code("mcp_timeout"),
            Error::Rpc { .. } | Error::InputRequired | Error::BadReply { .. } => upstream.code("mcp_error"),
            Error::RequestTooLarge { .. } => failure(StatusCode::PAYLOAD_TOO_LARGE).code("payload_too_large"),
            Error::Overloaded { retry_after } | Error::BreakerOpen { retry_after, .. } => {
                unavailable(text).retry(Some(retry_after))
            }
            Error::TooManyPools { .. } => unavailable(text).retry(Some(POOL_PAUSE)),
            Error::LoginFailed { .. } => failure(StatusCode::CONFLICT).code("login_failed"),
            Error::SecretMissing { .. } => failure(StatusCode::CONFLICT).code("secret_missing"),
            Error::ShuttingDown => unavailable(text),
            Error::Internal { .. } => ApiError::defect(text),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> ApiError {
        match error {
            AccessError::Forbidden { reason } => ApiError::new(StatusCode::FORBIDDEN, reason),
            AccessError::KeyRevoked => AuthError::ended(CredentialError::Revoked).into(),
            AccessError::KeyExpired => AuthError::ended(CredentialError::Expired).into(),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> ApiError {
        let text = error.to_string();
        let failure = |status| ApiError::new(status, text.clone());
        match error {
            RegistryError::Access(error) => error.into(),
            RegistryError::ServerNotFound { .. }
            | RegistryError::KeyNotFound
            | RegistryError::MemberNotFound
            | RegistryError::PlanNotFound
            | RegistryError::FileNotFound { .. }
            | RegistryError::Pins(PinError::UnknownTool { .. }) => failure(StatusCode::NOT_FOUND),
            RegistryError::LimitReached { .. } => failure(StatusCode::FORBIDDEN),
            RegistryError::AlreadyExists { .. }
            | RegistryError::Conflict { .. }
            | RegistryError::Pins(PinError::ToolsChanged) => failure(StatusCode::CONFLICT),
            RegistryError::InvalidDefinition { problems } => {
                let mut failure = failure(StatusCode::BAD_REQUEST);
                if problems.len() > 1 {
                    failure.0.problems = Some(problems.iter().map(ToString::to_string).collect());
                }
                failure
            }
            RegistryError::Unacceptable { .. }
            | RegistryError::FileContent { .. }
            | RegistryError::OutsideRoot { .. } => failure(StatusCode::BAD_REQUEST),
            RegistryError::Store { .. } => unavailable(text).retry(Some(STORE_PAUSE)),
            RegistryError::ShuttingDown => unavailable(text),
            RegistryError::FileRead { .. } | RegistryError::FileWrite { .. } => {
                failure(StatusCode::INTERNAL_SERVER_ERROR)
            }
            RegistryError::Internal { .. } => ApiError::defect(text),
        }
    }
}

impl From<UsageError> for ApiError {
    fn from(error: UsageError) -> ApiError {
        let text = error.to_string();
        match error {
            UsageError::QuotaExceeded { retry_after, .. } => {
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, text)
                    .code("quota_exceeded")
                    .retry(Some(retry_after))
            }
            UsageError::Overloaded { retry_after } => unavailable(text).retry(Some(retry_after)),
            UsageError::ShuttingDown => unavailable(text),
            UsageError::Store { .. } => unavailable(text).retry(Some(STORE_PAUSE)),
            UsageError::Internal { .. } => ApiError::defect(text),
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> ApiError {
        let text = error.to_string();
        match error {
            AuditError::Overloaded { retry_after } => unavailable(text).retry(Some(retry_after)),
            AuditError::ShuttingDown => unavailable(text),
            AuditError::Internal { .. } => ApiError::defect(text),
        }
    }
}

fn unavailable(text: String) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, text).code("service_unavailable")
}

impl From<AuthError> for ApiError {
    fn from(denied: AuthError) -> ApiError {
        match denied {
            AuthError::Missing
            | AuthError::Unproven { .. }
            | AuthError::Refused { .. }
            | AuthError::Unverified
            | AuthError::Token { .. } => {
                let mut failure = ApiError::new(StatusCode::UNAUTHORIZED, "Authentication required");
                failure.0.reason = match denied {
                    AuthError::Unproven { why } => Some(why),
                    AuthError::Token { why } => Some(why.text()),
                    _ => None,
                };
                failure.0.manner.denied = Some(denied);
                failure
            }
            AuthError::ScopeMissing => ApiError::new(StatusCode::FORBIDDEN, TokenError::Scope.text()),
            AuthError::Unverifiable { why, retry_after } => unavailable(why).retry(Some(retry_after)),
            AuthError::RoleTooLow => {
                ApiError::new(StatusCode::FORBIDDEN, "An owner or admin key without limits is required")
            }
            AuthError::TooMany { retry_after } => {
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests. Please retry later")
                    .code("rate_limited")
                    .retry(Some(retry_after))
            }
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(unusable: BodyError) -> ApiError {
        match unusable {
            BodyError::NotJson => {
                ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
            }
            BodyError::Coded => ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, CODED).uncoded(),
            BodyError::TooLong { limit } => {
                let error = format!("The request body is longer than {limit} bytes");
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, error).closing()
            }
            BodyError::TooSlow { limit } => {
                let error = format!("The request body did not arrive within {} s", limit.as_secs_f64());
                ApiError::new(StatusCode::REQUEST_TIMEOUT, error).half_sent()
            }
            BodyError::Broken => ApiError::bad_request("The request body could not be read").half_sent(),
            BodyError::Empty => ApiError::bad_request("The request body is empty"),
            BodyError::Malformed { reason } => {
                ApiError::bad_request(format!("The request body is not valid JSON: {reason}"))
            }
            BodyError::NotAnObject { nothing: true } => ApiError::bad_request(NO_DATA),
            BodyError::NotAnObject { nothing: false } => {
                ApiError::bad_request("The request body must be a JSON object")
            }
        }
    }
}

/// Text of the answer to `{}`, `[]` and `null`.
pub(super) const NO_DATA: &str = "No data provided";

impl From<EdgeRejection<'_>> for ApiError {
    fn from(refusal: EdgeRejection<'_>) -> ApiError {
        let forbidden = |error| ApiError::new(StatusCode::FORBIDDEN, error);
        match refusal {
            EdgeRejection::AmbiguousFraming => ApiError::bad_request(TWO_ENDS),
            EdgeRejection::UnknownCoding => ApiError::new(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CODING),
            EdgeRejection::BadHost => {
                ApiError::bad_request("The request must have exactly one valid Host header")
            }
            EdgeRejection::ForeignHost { host } => ApiError::new(StatusCode::FORBIDDEN, foreign_host(host)),
            EdgeRejection::ForeignOrigin => {
                forbidden("The Origin header names an origin that is not allowed")
            }
            EdgeRejection::TooManyActs => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_ACTS)
                .code("service_unavailable")
                .retry(Some(Duration::from_secs(1))),
            EdgeRejection::Internal { request_id, cause } => {
                let error =
                    cause.map_or_else(|| UNEXPECTED.to_owned(), |cause| format!("{UNEXPECTED}: {cause}"));
                let mut failure = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error);
                failure.0.request_id = Some(request_id.to_owned());
                failure
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;

    use super::*;
    use crate::http::core::response_meta::Defect;
    use crate::http::tests::{documented_errors, every_error, namesake, twins};
    use serde_json::{Value, json};

    async fn answer(failure: ApiError) -> (u16, Response, Value) {
        let mut response = failure.into_response();
        let body = std::mem::take(response.body_mut());
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("in memory");
        (response.status().as_u16(), response, serde_json::from_slice(&body).expect("JSON"))
    }

    #[tokio::test]
    #[expect(clippy::too_many_lines, reason = "a table with a row for each error")]
    async fn every_error_has_its_status_and_text() {
        let plain = |text: &str| json!({"error": text});
        let coded = |text: &str, code: &str| json!({"error": text, "code": code});
        let expected = [
            ("server_not_found", 404, plain("Server 'x' not found")),
            ("server_disabled", 409, coded("Server 'x' is disabled", "mcp_inactive")),
            (
                "server_stopped",
                409,
                coded(
                    "Server 'x' is stopped; it serves again when an operator starts it (`mcpvisor start`)",
                    "mcp_inactive",
                ),
            ),
            (
                "no_command",
                500,
                coded("Server 'x' names neither a command nor an address", "mcp_unreachable"),
            ),
            ("server_not_permitted", 403, plain("This key may not use server 'x'")),
            ("tool_not_permitted", 403, plain("This key may not use tool 't'")),
            ("forbidden", 403, plain("secret")),
            ("key_revoked", 401, plain("Authentication required")),
            ("key_expired", 401, plain("Authentication required")),
            ("key_not_found", 404, plain("API key not found")),
            ("member_not_found", 404, plain("Member not found")),
            ("plan_not_found", 404, plain("Plan not found")),
            ("conflict", 409, plain("The API key was revoked")),
            ("unacceptable", 400, plain("expires_at: Must be a future date")),
            ("limit_reached", 403, plain("No more than 1 api_keys are allowed; remove one first")),
            (
                "quota_exceeded",
                429,
                coded("The plan's 1 requests of this month are used up", "quota_exceeded"),
            ),
            (
                "too_many_calls",
                429,
                coded("This key has 1 calls under way, which is as many as a key may have", "rate_limited"),
            ),
            (
                "unread",
                503,
                coded(
                    "The request was not carried out: too much of earlier answers waits to be read \
                     (limits.unread is 9 bytes). Read them, or close their connections",
                    "service_unavailable",
                ),
            ),
            (
                "tool_blocked",
                403,
                coded(
                    "Tool 't' is not as it was approved and waits for an administrator's approval",
                    "tool_blocked",
                ),
            ),
            (
                "tools_changed",
                409,
                plain("The tools have changed since they were looked at. Look at them again"),
            ),
            ("tool_not_found", 404, plain("Tool 't' not found. Did you mean 'u'?")),
            ("resource_not_found", 404, plain("secret")),
            ("invalid_arguments", 400, plain("secret")),
            ("rpc_error", 500, coded("secret", "mcp_error")),
            (
                "input_required",
                500,
                coded(
                    "The tool asks for input (input_required), which this interface cannot give",
                    "mcp_error",
                ),
            ),
            ("bad_reply", 500, coded("The MCP server sent an unusable reply: secret", "mcp_error")),
            ("unreachable", 500, coded("secret", "mcp_unreachable")),
            (
                "breaker_open",
                503,
                coded(
                    "Server 'x' did not answer its last calls; calls are refused for another 3.0 s",
                    "service_unavailable",
                ),
            ),
            (
                "request_too_large",
                413,
                coded("The request is larger than server 'x' takes", "payload_too_large"),
            ),
            ("timed_out", 500, coded("No answer within 3000 ms", "mcp_timeout")),
            ("overloaded", 503, coded("Too many calls are waiting for this server", "service_unavailable")),
            (
                "too_many_pools",
                503,
                coded(
                    "Server 'x' has 1 pools in use, which is as many as it may have (mcpvisor.max_pools); try again when \
                     a session has ended or a pool is idle",
                    "service_unavailable",
                ),
            ),
            ("login_failed", 409, coded("Server 'x' secret", "login_failed")),
            (
                "secret_missing",
                409,
                coded(
                    "Server 'x' needs your secret 'TOKEN', which you have not stored: store it with PUT \
                     /v1/members/me/secrets/TOKEN, then call again",
                    "secret_missing",
                ),
            ),
            ("secret_not_found", 404, plain("Secret not found")),
            ("shutting_down", 503, coded("The gateway is shutting down", "service_unavailable")),
            ("already_exists", 409, plain("Server 'x' already exists")),
            (
                "invalid_definition",
                400,
                json!({
                    "error": "args must be an array of strings",
                    "problems": ["args must be an array of strings", "env must be an object of strings"],
                }),
            ),
            ("file_not_found", 404, plain("File '/f' not found")),
            ("file_read", 500, plain("Failed to read file: secret")),
            ("file_write", 500, plain("Failed to write to file: secret")),
            ("file_content", 400, plain("File '/f' is not a valid JSON file")),
            ("outside_root", 400, plain("File path is outside the configured root '/r'")),
            ("store", 503, coded("The change could not be stored: secret", "service_unavailable")),
            ("internal", 500, plain("An unexpected error occurred")),
        ];
        let errors = every_error();
        assert_eq!(errors.len(), expected.len());
        for (error, (outcome, status, shape)) in errors.into_iter().zip(expected) {
            assert_eq!(error.facts().name, outcome);
            let (answered, response, body) = answer(error.into()).await;
            assert_eq!((answered, body), (status, shape), "{outcome}");
            assert_eq!(outcome == "internal", response.extensions().get::<Defect>().is_some(), "{outcome}");
        }
    }

    #[tokio::test]
    async fn an_error_of_the_same_name_in_another_room_has_the_same_answer() {
        for twin in twins() {
            let (name, same) = (twin.facts().name, namesake(&twin));
            let (status, response, body) = answer(twin.into()).await;
            let (wanted, other, like) = answer(same.into()).await;
            assert_eq!((status, &body["code"]), (wanted, &like["code"]), "{name}");
            assert_eq!(response.headers(), other.headers(), "{name}");
        }
    }

    #[tokio::test]
    async fn the_reference_gives_every_error_its_answer() {
        for (error, [outcome, .., documented]) in every_error().into_iter().zip(documented_errors()) {
            let (status, _, body) = answer(error.into()).await;
            let code = body["code"].as_str().map(|code| format!(" `{code}`")).unwrap_or_default();
            assert_eq!(documented, format!("{status}{code}"), "docs/errors.md, {outcome}");
        }
    }

    #[tokio::test]
    async fn waiting_times_are_said_in_retry_after() {
        let (_, response, _) =
            answer(Error::Overloaded { retry_after: Duration::from_millis(10) }.into()).await;
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }

    #[tokio::test]
    async fn the_cause_of_an_internal_error_shows_only_on_request() {
        let (_, _, body) = answer(EdgeRejection::Internal { request_id: "r", cause: None }.into()).await;
        assert_eq!(body, json!({"error": "An unexpected error occurred", "request_id": "r"}));
        let (_, _, body) =
            answer(EdgeRejection::Internal { request_id: "r", cause: Some("why") }.into()).await;
        assert_eq!(body["error"], json!("An unexpected error occurred: why"));
    }
}
