//! The errors of the gateway and of its rooms as `/v1` answers them: one exhaustive match for each room.

use axum::http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{ApiError, RETRY_AFTER_BUSY};
use crate::gateway::{
    AccessError, AuditError, CredentialError, Error, PinError, QuotaOf, RegistryError, UsageError,
};
use crate::http::core::auth::AuthError;
use crate::http::core::response_meta::{POOL_PAUSE, STORE_PAUSE};
use crate::http::plexmcp::supervision::state_for_error;

/// The one translation of gateway errors into statuses and codes, with those of its rooms below.
impl From<Error> for ApiError {
    fn from(error: Error) -> ApiError {
        let text = error.to_string();
        let forbidden = |code, text| ApiError::new(StatusCode::FORBIDDEN, code, text);
        match error {
            Error::Access(error) => error.into(),
            Error::Registry(error) => error.into(),
            Error::Usage(error) => error.into(),
            Error::Audit(error) => error.into(),
            Error::ServerDisabled { .. } => {
                ApiError::new(StatusCode::CONFLICT, "mcp_inactive", "MCP is disabled")
            }
            Error::ServerStopped { .. } => ApiError::new(StatusCode::CONFLICT, "mcp_inactive", text),
            Error::NoCommand { .. } => ApiError::new(StatusCode::BAD_GATEWAY, "mcp_unreachable", text)
                .with(&json!({"phase": "not_sent"})),
            Error::ServerNotPermitted { .. } => {
                forbidden("mcp_not_permitted", "This API key may not use this MCP".to_owned())
            }
            Error::ToolNotPermitted { .. } => forbidden("tool_not_permitted", text),
            Error::TooManyCalls { .. } => ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text)
                .retry(Some(RETRY_AFTER_BUSY)),
            Error::Unread { carried_out: true, .. } => {
                ApiError::new(StatusCode::BAD_GATEWAY, "answer_dropped", text)
                    .with(&json!({"phase": "in_flight"}))
            }
            Error::Unread { .. } => unavailable(text).retry(Some(RETRY_AFTER_BUSY)),
            Error::ToolBlocked { state, .. } => {
                forbidden("tool_blocked", text).with(&json!({"change": state.name()}))
            }
            Error::ToolNotFound { .. } => ApiError::new(StatusCode::NOT_FOUND, "tool_not_found", text),
            Error::ResourceNotFound { .. } => {
                ApiError::new(StatusCode::NOT_FOUND, "resource_not_found", text)
            }
            Error::InvalidArguments { .. } => {
                ApiError::new(StatusCode::BAD_REQUEST, "invalid_arguments", text)
            }
            Error::Rpc { code, message, data } => {
                let data = data.as_deref().and_then(|data| serde_json::from_slice::<&RawValue>(data).ok());
                mcp_error("The MCP returned an error", &message, Some(code), data)
            }
            Error::InputRequired => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "mcp_error", text.clone())
                    .with(&json!({"mcp_error": text, "content": []}))
            }
            Error::BadReply { reason } => mcp_error("The MCP sent an unusable reply", &reason, None, None),
            Error::Unreachable { in_flight, retry_after, status, .. } => {
                let mut details = json!({"phase": phase(in_flight)});
                if let Some(status) = status {
                    details["server"] = state_for_error(&status);
                }
                ApiError::new(StatusCode::BAD_GATEWAY, "mcp_unreachable", text)
                    .with(&details)
                    .retry(retry_after)
            }
            Error::RequestTooLarge { .. } => {
                ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", text)
                    .with(&json!({"phase": "not_sent"}))
            }
            Error::BreakerOpen { retry_after, .. } => {
                unavailable(text).with(&json!({"breaker": "open"})).retry(Some(retry_after))
            }
            Error::TimedOut { after, in_flight, .. } => {
                let timeout_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, "mcp_timeout", text)
                    .with(&json!({"phase": phase(in_flight), "timeout_ms": timeout_ms}))
            }
            Error::Overloaded { retry_after } => unavailable(text).retry(Some(retry_after)),
            Error::TooManyPools { .. } => unavailable(text).retry(Some(POOL_PAUSE)),
            Error::LoginFailed { .. } => ApiError::new(StatusCode::CONFLICT, "login_failed", text),
            Error::SecretMissing { secret, .. } => {
                ApiError::new(StatusCode::CONFLICT, "secret_missing", text).with(&json!({"secret": secret}))
            }
            Error::SecretNotFound => ApiError::new(StatusCode::NOT_FOUND, "not_found", text),
            Error::ShuttingDown => unavailable(text),
            Error::Internal { .. } => ApiError::defect(text),
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> ApiError {
        match error {
            AccessError::Forbidden { reason } => ApiError::new(StatusCode::FORBIDDEN, "forbidden", reason),
            AccessError::KeyRevoked => AuthError::ended(CredentialError::Revoked).into(),
            AccessError::KeyExpired => AuthError::ended(CredentialError::Expired).into(),
        }
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> ApiError {
        let text = error.to_string();
        match error {
            RegistryError::Access(error) => error.into(),
            RegistryError::Pins(PinError::ToolsChanged) => {
                ApiError::new(StatusCode::CONFLICT, "tools_changed", text)
            }
            RegistryError::Pins(PinError::UnknownTool { .. }) => {
                ApiError::new(StatusCode::NOT_FOUND, "tool_not_found", text)
            }
            RegistryError::ServerNotFound { .. } => {
                ApiError::new(StatusCode::NOT_FOUND, "not_found", "MCP not found")
            }
            RegistryError::KeyNotFound
            | RegistryError::MemberNotFound
            | RegistryError::PlanNotFound
            | RegistryError::FileNotFound { .. } => ApiError::new(StatusCode::NOT_FOUND, "not_found", text),
            RegistryError::Conflict { .. } => ApiError::new(StatusCode::CONFLICT, "conflict", text),
            RegistryError::Unacceptable { field, reason } => {
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", "Validation failed")
                    .with(&json!({field: reason}))
            }
            RegistryError::LimitReached { resource, limit } => {
                ApiError::new(StatusCode::FORBIDDEN, "quota_exceeded", text)
                    .with(&json!({"resource": resource, "limit": limit}))
            }
            RegistryError::AlreadyExists { .. } => {
                ApiError::new(StatusCode::CONFLICT, "already_exists", text)
            }
            RegistryError::InvalidDefinition { problems } => {
                let details: Map<String, Value> = problems
                    .into_iter()
                    .map(|problem| (problem.path, Value::String(problem.reason)))
                    .collect();
                ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", text).with(&details)
            }
            RegistryError::FileContent { .. } | RegistryError::OutsideRoot { .. } => {
                ApiError::new(StatusCode::BAD_REQUEST, "invalid_request", text)
            }
            RegistryError::Store { .. } => unavailable(text).retry(Some(STORE_PAUSE)),
            RegistryError::ShuttingDown => unavailable(text),
            RegistryError::FileRead { .. }
            | RegistryError::FileWrite { .. }
            | RegistryError::Internal { .. } => ApiError::defect(text),
        }
    }
}

impl From<UsageError> for ApiError {
    fn from(error: UsageError) -> ApiError {
        let text = error.to_string();
        match error {
            UsageError::QuotaExceeded { of, limit, retry_after } => {
                let mut details = json!({"resource": "monthly_requests", "limit": limit});
                if of == QuotaOf::Key {
                    details["of"] = "key".into();
                }
                ApiError::new(StatusCode::TOO_MANY_REQUESTS, "quota_exceeded", text)
                    .with(&details)
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
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", text)
}

/// Names the phase of a failed request: one that had been handed to the child may have been carried out.
fn phase(in_flight: bool) -> &'static str {
    if in_flight { "in_flight" } else { "not_sent" }
}

fn mcp_error(what: &str, said: &str, code: Option<i64>, data: Option<&RawValue>) -> ApiError {
    #[derive(Serialize)]
    struct Details<'a> {
        mcp_error: &'a str,
        mcp_code: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        mcp_data: Option<&'a RawValue>,
    }
    let details = Details { mcp_error: said, mcp_code: code, mcp_data: data };
    ApiError::new(StatusCode::BAD_GATEWAY, "mcp_error", format!("{what}: {said}")).with(&details)
}
