//! What `/v1` says where a call with an `Idempotency-Key` is not carried out (`docs/http-api.md`, P10.9 to P10.12).

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::ApiError;

/// Name of the header, as it is said to the caller.
const HEADER: &str = "Idempotency-Key";
/// Time after which a call that is under way may have ended, or the others may.
const ASK_AGAIN: Duration = Duration::from_secs(1);

impl ApiError {
    /// Creates the refusal of a key that cannot be one.
    pub(in crate::http::plexmcp) fn bad_idempotency_key(reason: &str) -> ApiError {
        ApiError::invalid_fields(Map::from_iter([(HEADER.to_owned(), Value::from(reason))]), None)
    }

    /// Creates the refusal of a key that was used for another call.
    pub(in crate::http::plexmcp) fn key_of_another_call() -> ApiError {
        let message = "The Idempotency-Key was used for another call: a new call needs a new one";
        let reason = "was used with another mcp_id, tool, arguments or context";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", message)
            .with(&json!({HEADER: reason}))
    }

    /// Creates the refusal of a call that is under way, and whose caller waits for it.
    pub(in crate::http::plexmcp) fn call_is_running() -> ApiError {
        let message = "The call with this Idempotency-Key is still running, and somebody waits for it";
        not_repeated("running", message).retry(Some(ASK_AGAIN))
    }

    /// Creates the refusal of a call that was cancelled.
    pub(in crate::http::plexmcp) fn call_was_cancelled() -> ApiError {
        not_repeated(
            "cancelled",
            "The call with this Idempotency-Key was cancelled, because nobody waited for it any more; \
             the server may have carried it out",
        )
    }

    /// Creates the refusal of a call whose reply is gone.
    pub(in crate::http::plexmcp) fn reply_is_not_kept() -> ApiError {
        not_repeated(
            "not_kept",
            "The call with this Idempotency-Key was carried out, and its reply is not kept: \
             it was too long, or its room was needed",
        )
    }

    /// Creates the refusal of a call that there is no room to know about.
    pub(in crate::http::plexmcp) fn no_room_for_key() -> ApiError {
        let message = "Too many calls with an Idempotency-Key are running";
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", message).retry(Some(ASK_AGAIN))
    }
}

/// Creates the refusal of a call that the server may have had already.
fn not_repeated(why: &str, message: &str) -> ApiError {
    ApiError::new(StatusCode::CONFLICT, "conflict", message)
        .with(&json!({"idempotency": why, "phase": "in_flight"}))
}
