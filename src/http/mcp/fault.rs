//! Refusals and failures as MCP clients read them: a JSON-RPC error, with the HTTP status that belongs to it. `id` is left
//! out where it is not known, and is never null.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;

use crate::gateway::{CredentialError, Error, RegistryError, Retry};
use crate::http::core::auth::AuthError;
use crate::http::core::body::{BodyError, CODED};
use crate::http::core::rejection::{EdgeRejection, TOO_MANY_ACTS, TWO_ENDS, UNKNOWN_CODING, foreign_host};
use crate::http::core::response_meta::{POOL_PAUSE, ResponseMeta};
use crate::jsonrpc::{RpcError, push_string};
use crate::oidc::TokenError;

/// Text that is not JSON (JSON-RPC 2.0, section 5.1).
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON that is no request here.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// Method that the server does not have.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// Parameters that cannot be used.
pub(super) const INVALID_PARAMS: i64 = -32602;
/// Failure that the client can do nothing about.
pub(super) const INTERNAL_ERROR: i64 = -32603;
/// Headers that contradict the body (spec 2026-07-28, basic/transports/streamable-http).
pub(super) const HEADER_MISMATCH: i64 = -32020;
/// Capability that the client would have had to declare.
pub(super) const CAPABILITY_MISSING: i64 = -32021;
/// Revision that is not spoken here.
pub(super) const UNSUPPORTED_VERSION: i64 = -32022;

/// A refusal or failure.
#[derive(Debug)]
pub(super) struct Fault(Box<Inner>);

#[derive(Debug)]
struct Inner {
    status: StatusCode,
    code: i64,
    message: Cow<'static, str>,
    /// `data`, raw JSON; `None` for none.
    data: Option<Bytes>,
    meta: ResponseMeta,
}

impl Fault {
    /// Creates a fault. A code outside the range that JSON-RPC reserves is the HTTP status: it is about the way here and
    /// not about the message.
    pub(super) fn new(status: StatusCode, code: i64, message: impl Into<Cow<'static, str>>) -> Fault {
        let meta = ResponseMeta::default();
        Fault(Box::new(Inner { status, code, message: message.into(), data: None, meta }))
    }

    /// Creates a fault that is about the way here.
    pub(super) fn http(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(status, status.as_u16().into(), message)
    }

    /// Creates a fault of a message: 400 with this code.
    pub(super) fn bad(code: i64, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Creates a fault that a client reads as the answer to its request.
    pub(super) fn answer(code: i64, message: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(StatusCode::OK, code, message)
    }

    /// Creates the fault for a method that is not served.
    pub(super) fn unknown_method(status: StatusCode, method: &str) -> Fault {
        let shown: String = method.chars().take(128).collect();
        Fault::new(status, METHOD_NOT_FOUND, format!("Method not found: {shown}"))
    }

    /// Adds `data`, raw JSON.
    pub(super) fn with(mut self, data: impl Into<Bytes>) -> Fault {
        self.0.data = Some(data.into());
        self
    }

    /// Returns the code.
    pub(super) fn code(&self) -> i64 {
        self.0.code
    }

    /// Gives the answer another status.
    pub(super) fn status(mut self, status: StatusCode) -> Fault {
        self.0.status = status;
        self
    }

    /// Adds the time after which asking again is worth it.
    pub(super) fn retry(mut self, after: Option<Duration>) -> Fault {
        self.0.meta.retry_after = after;
        self
    }

    fn closing(mut self) -> Fault {
        self.0.meta.close = true;
        self
    }

    /// Returns the fault as a message. `id` is raw JSON; `None` if it is not known.
    pub(super) fn message(&self, id: Option<&[u8]>) -> Vec<u8> {
        let Inner { code, message, data, .. } = &*self.0;
        error_message(id, *code, message, data.as_deref())
    }

    /// Returns the answer to the request with this id, raw JSON; `None` if it is not known.
    pub(super) fn into_response(self, id: Option<&[u8]>) -> Response {
        let mut response = Response::new(Body::from(self.message(id)));
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.0.meta.put_on(&mut response);
        response
    }
}

/// Writes an error as a message. `id` and `data` are raw JSON.
fn error_message(id: Option<&[u8]>, code: i64, text: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\"".to_vec();
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id);
    }
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
    out.extend_from_slice(b",\"message\":");
    push_string(&mut out, text);
    if let Some(data) = data {
        out.extend_from_slice(b",\"data\":");
        out.extend_from_slice(data);
    }
    out.extend_from_slice(b"}}");
    out
}

impl From<RpcError> for Fault {
    /// An error of a server, which goes to the client as it came.
    fn from(error: RpcError) -> Fault {
        let fault = Fault::answer(error.code, error.message);
        match error.data {
            Some(data) => fault.with(data),
            None => fault,
        }
    }
}

impl From<AuthError> for Fault {
    fn from(denied: AuthError) -> Fault {
        let mut fault = match &denied {
            AuthError::Missing => {
                Fault::http(StatusCode::UNAUTHORIZED, "Authentication required: send an API key")
            }
            AuthError::Unproven { why } => {
                Fault::http(StatusCode::UNAUTHORIZED, format!("Authentication required: {why}"))
            }
            AuthError::Refused { refused: CredentialError::Unknown, .. } => {
                Fault::http(StatusCode::UNAUTHORIZED, "The API key is not valid")
            }
            AuthError::Refused { refused, .. } => {
                Fault::http(StatusCode::UNAUTHORIZED, format!("The API key is not valid: {}", ended(refused)))
            }
            AuthError::Unverified => Fault::http(StatusCode::UNAUTHORIZED, "The access token is not valid"),
            AuthError::Token { why } => Fault::http(StatusCode::UNAUTHORIZED, why.text()),
            AuthError::ScopeMissing => return Fault::http(StatusCode::FORBIDDEN, TokenError::Scope.text()),
            AuthError::Unverifiable { why, retry_after } => {
                return Fault::http(StatusCode::SERVICE_UNAVAILABLE, why.clone()).retry(Some(*retry_after));
            }
            AuthError::RoleTooLow => {
                return Fault::http(StatusCode::FORBIDDEN, "This key's role may not use MCP servers");
            }
            AuthError::TooMany { retry_after } => {
                return Fault::http(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
                    .retry(Some(*retry_after));
            }
        };
        fault.0.meta.denied = Some(denied);
        fault
    }
}

fn ended(refused: &CredentialError) -> &'static str {
    match refused {
        CredentialError::Revoked => "it was revoked",
        CredentialError::Expired => "it has expired",
        CredentialError::Unknown => "it is unknown",
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Fault {
        match error {
            BodyError::NotJson => {
                Fault::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type must be application/json")
            }
            BodyError::Coded => {
                let mut fault = Fault::http(StatusCode::UNSUPPORTED_MEDIA_TYPE, CODED);
                fault.0.meta.coded = true;
                fault
            }
            BodyError::TooLong { limit } => {
                let text = format!("The request body is longer than {limit} bytes (mcp.body_limit)");
                Fault::http(StatusCode::PAYLOAD_TOO_LARGE, text).closing()
            }
            BodyError::TooSlow { limit } => {
                let text = format!("The request body did not arrive within {} s", limit.as_secs());
                half_sent(Fault::http(StatusCode::REQUEST_TIMEOUT, text))
            }
            BodyError::Broken => {
                half_sent(Fault::http(StatusCode::BAD_REQUEST, "The request body did not arrive whole"))
            }
            BodyError::Empty => Fault::bad(PARSE_ERROR, "Parse error: there is no body"),
            BodyError::Malformed { reason } => Fault::bad(PARSE_ERROR, format!("Parse error: {reason}")),
            BodyError::NotAnObject { .. } => Fault::bad(INVALID_REQUEST, "The body is no JSON-RPC message"),
        }
    }
}

fn half_sent(mut fault: Fault) -> Fault {
    fault.0.meta.half_sent = true;
    fault.closing()
}

impl From<EdgeRejection<'_>> for Fault {
    fn from(rejection: EdgeRejection<'_>) -> Fault {
        match rejection {
            EdgeRejection::AmbiguousFraming => Fault::http(StatusCode::BAD_REQUEST, TWO_ENDS),
            EdgeRejection::UnknownCoding => Fault::http(StatusCode::NOT_IMPLEMENTED, UNKNOWN_CODING),
            EdgeRejection::BadHost => {
                Fault::http(StatusCode::BAD_REQUEST, "The request must have exactly one valid Host header")
            }
            EdgeRejection::ForeignHost { host } => Fault::http(StatusCode::FORBIDDEN, foreign_host(host)),
            EdgeRejection::ForeignOrigin => {
                Fault::http(StatusCode::FORBIDDEN, "The Origin header names an origin that is not allowed")
            }
            EdgeRejection::TooManyActs => Fault::http(StatusCode::SERVICE_UNAVAILABLE, TOO_MANY_ACTS)
                .retry(Some(Duration::from_secs(1))),
            EdgeRejection::Internal { request_id, cause } => {
                let data = json!({"requestId": request_id, "cause": cause});
                let text = "An unexpected error occurred";
                Fault::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR, text).with(data.to_string())
            }
        }
    }
}

impl Fault {
    /// Translates an error of the gateway. What concerns the endpoint has a status of HTTP; what concerns a request that
    /// a client has sent is its answer, with the facts of the error in `data`.
    pub(super) fn of(error: Error) -> Fault {
        let text = error.to_string();
        let facts = error.facts();
        let retry_after = match &error {
            Error::Unreachable { retry_after, .. } => *retry_after,
            Error::BreakerOpen { retry_after, .. } | Error::Overloaded { retry_after } => Some(*retry_after),
            Error::TooManyPools { .. } => Some(POOL_PAUSE),
            Error::ShuttingDown | Error::TooManyCalls { .. } => Some(Duration::from_secs(1)),
            _ => None,
        };
        let data = json!({
            "kind": facts.name,
            "retry": match facts.retry {
                Retry::Safe => "safe",
                Retry::Pointless => "pointless",
                Retry::OutcomeUnknown => "outcome_unknown",
            },
            "retryAfterMs": retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
        });
        let answer = |code, text: String| Fault::answer(code, text).with(data.to_string());
        match error {
            error if error.ends_key() => {
                let refused = match &error {
                    Error::Access(crate::gateway::AccessError::KeyExpired) => CredentialError::Expired,
                    _ => CredentialError::Revoked,
                };
                AuthError::ended(refused).into()
            }
            Error::Registry(RegistryError::ServerNotFound { name }) | Error::ServerNotPermitted { name } => {
                let text = format!("There is no server '{name}', or this key may not use it");
                Fault::http(StatusCode::NOT_FOUND, text)
            }
            Error::Access(_) => Fault::http(StatusCode::FORBIDDEN, text),
            // What a key may not use it does not see.
            Error::ToolNotPermitted { tool } => answer(INVALID_PARAMS, format!("Tool '{tool}' not found")),
            Error::ToolNotFound { .. } | Error::ResourceNotFound { .. } | Error::InvalidArguments { .. } => {
                answer(INVALID_PARAMS, text)
            }
            Error::Rpc { code, message, data } => RpcError { code, message, data }.into(),
            Error::Internal { reason } => {
                let text = "An unexpected error occurred";
                let mut fault = Fault::new(StatusCode::INTERNAL_SERVER_ERROR, INTERNAL_ERROR, text);
                fault.0.meta.defect = Some(reason);
                fault
            }
            Error::Registry(_)
            | Error::Usage(_)
            | Error::Audit(_)
            | Error::ServerDisabled { .. }
            | Error::ServerStopped { .. }
            | Error::NoCommand { .. }
            | Error::TooManyCalls { .. }
            | Error::Unread { .. }
            | Error::ToolBlocked { .. }
            | Error::InputRequired
            | Error::BadReply { .. }
            | Error::Unreachable { .. }
            | Error::BreakerOpen { .. }
            | Error::RequestTooLarge { .. }
            | Error::TimedOut { .. }
            | Error::Overloaded { .. }
            | Error::TooManyPools { .. }
            | Error::LoginFailed { .. }
            | Error::SecretMissing { .. }
            | Error::SecretNotFound
            | Error::ShuttingDown => answer(INTERNAL_ERROR, text).retry(retry_after),
        }
    }

    /// Translates the error of a server that should introduce itself. From a success with an error, and from most statuses,
    /// clients conclude that this endpoint speaks another era, and stay with that; 503 says nothing but "not now".
    pub(super) fn of_opening(error: Error) -> Fault {
        let fault = Fault::of(error);
        let says_enough = [
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::INTERNAL_SERVER_ERROR,
        ];
        if says_enough.contains(&fault.0.status) {
            return fault;
        }
        let wait = fault.0.meta.retry_after.unwrap_or(Duration::from_secs(5));
        fault.status(StatusCode::SERVICE_UNAVAILABLE).retry(Some(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn read(message: &[u8]) -> Value {
        serde_json::from_slice(message).expect("JSON")
    }

    #[test]
    fn the_id_is_that_of_the_request_or_missing() {
        let fault = Fault::bad(INVALID_REQUEST, "no \"x\"").with("{\"a\":1}");
        let told = json!({"jsonrpc": "2.0", "id": "1", "error": {"code": -32600, "message": "no \"x\"", "data": {"a": 1}}});
        assert_eq!(read(&fault.message(Some(b"\"1\""))), told);
        assert!(read(&fault.message(None)).get("id").is_none());
    }

    #[test]
    fn what_a_key_may_not_use_looks_like_what_is_not_there() {
        let of = |error| read(&Fault::of(error).message(None))["error"]["message"].clone();
        let hidden = of(Error::ToolNotPermitted { tool: "t".to_owned() });
        assert_eq!(hidden, of(Error::ToolNotFound { tool: "t".to_owned(), suggestion: None }));
    }

    #[test]
    fn a_server_that_cannot_introduce_itself_is_503_and_says_when_to_come_back() {
        let error = || Error::TimedOut { after: Duration::from_secs(8), in_flight: false, meanwhile: None };
        let response = Fault::of_opening(error()).into_response(None);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(Fault::of(error()).into_response(None).status(), StatusCode::OK);
    }
}
