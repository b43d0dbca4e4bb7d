//! Errors in the shapes that endpoints have for them: OpenAI's, a list (Google), a text, nested in another's
//! words (OpenRouter), a list of places (FastAPI), with a status or inside a 200. Pure.

use std::time::Duration;

use serde_json::Value;

use super::excerpt::excerpt;
use crate::text::mend_surrogates;

/// The longest part of an error that is repeated, in characters.
const MAX_ERROR_CHARS: usize = 1_000;
/// Depth to which errors nested in errors are searched.
const MAX_ERROR_DEPTH: usize = 8;
/// Places of a list that are repeated.
const MAX_PLACES: usize = 5;

/// An error as an endpoint reports it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EndpointError {
    /// Message of the error, at most `MAX_ERROR_CHARS` characters.
    pub(super) message: String,
    /// Status that the error stands for, 400 to 599; `None` if it names none.
    pub(super) status: Option<u16>,
    /// Kinds of the error, in the endpoint's words.
    pub(super) kinds: Vec<String>,
    /// Time after which the endpoint wants to be asked again.
    pub(super) wait: Option<Duration>,
}

impl EndpointError {
    /// Reads the body of an answer whose status is an error.
    pub(super) fn read(body: &[u8]) -> EndpointError {
        let text = String::from_utf8_lossy(body);
        let told = serde_json::from_str(&mend_surrogates(&text))
            .ok()
            .and_then(|value| told(&value, MAX_ERROR_DEPTH));
        told.unwrap_or_else(|| EndpointError { message: excerpt(body), ..EndpointError::default() })
    }

    /// Reads an error out of an answer that came with success. `None` if it has none.
    pub(super) fn inside(answer: &Value) -> Option<EndpointError> {
        let choice = &answer["choices"][0];
        if says(&choice["error"]) {
            return told(&choice["error"], MAX_ERROR_DEPTH);
        }
        let is_error = says(&answer["error"])
            || answer["object"] == "error"
            || answer["type"] == "error"
            || answer.as_array().is_some_and(|errors| errors.iter().any(|error| says(&error["error"])));
        let has_none = answer["choices"].as_array().is_none_or(Vec::is_empty);
        let has_status = has_none && status_of(answer).is_some();
        if is_error || has_status { told(answer, MAX_ERROR_DEPTH) } else { None }
    }

    /// Reports whether the account is used up, which waiting does not mend.
    pub(super) fn is_used_up(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "insufficient_quota")
    }

    /// Reports whether the error is about the model's output, not about the request (Groq): another try may go
    /// better.
    pub(super) fn is_of_the_model(&self) -> bool {
        self.kinds.iter().any(|kind| kind == "tool_use_failed")
    }
}

/// Reports whether a member is present and not empty.
fn says(error: &Value) -> bool {
    match error {
        Value::String(text) => !text.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    }
}

fn told(value: &Value, depth: usize) -> Option<EndpointError> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) if !text.trim().is_empty() => {
            // Some put another's error into their own, as text.
            let inner = text.trim_start().starts_with(['{', '[']);
            let inner = inner.then(|| serde_json::from_str(text).ok()).flatten();
            let plain = || EndpointError {
                message: text.trim().chars().take(MAX_ERROR_CHARS).collect(),
                ..EndpointError::default()
            };
            Some(inner.and_then(|inner| told(&inner, depth)).unwrap_or_else(plain))
        }
        Value::Array(errors) => errors.iter().find_map(|error| told(error, depth)),
        Value::Object(_) => told_by_members(value, depth),
        _ => None,
    }
}

fn told_by_members(value: &Value, depth: usize) -> Option<EndpointError> {
    let inner = ["error", "message", "detail", "errors", "msg", "error_msg", "title"].into_iter();
    let mut found = inner.filter_map(|name| places(&value[name]).or_else(|| told(&value[name], depth)));
    let mut it = found.next()?;
    it.status = status_of(value).or(it.status);
    it.wait = it.wait.or_else(|| wait_of(value));
    it.kinds
        .extend(["code", "type", "status"].iter().filter_map(|name| value[name].as_str().map(str::to_owned)));
    it.status = it.status.or_else(|| it.kinds.iter().find_map(|kind| status_of_word(kind)));
    let raw = told(&value["metadata"]["raw"], depth);
    if let Some(raw) = raw.filter(|raw| !it.message.contains(&raw.message)) {
        it.message = format!("{}: {}", it.message, raw.message);
        it.kinds.extend(raw.kinds);
    }
    if let Some(place) =
        value["param"].as_str().filter(|place| !place.is_empty() && !it.message.contains(place))
    {
        it.message = format!("{} (at {place})", it.message);
    }
    it.message = it.message.chars().take(MAX_ERROR_CHARS).collect();
    Some(it)
}

/// Reads FastAPI's errors of a body: each has a place and a message.
fn places(value: &Value) -> Option<EndpointError> {
    let one = |error: &Value| {
        let said = error["msg"].as_str()?;
        let steps = error["loc"].as_array()?.iter();
        let steps: Vec<String> =
            steps.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned)).collect();
        Some(format!("{}: {said}", steps.join(".")))
    };
    let told: Vec<String> = value.as_array()?.iter().take(MAX_PLACES).filter_map(one).collect();
    (!told.is_empty()).then(|| EndpointError { message: told.join("; "), ..EndpointError::default() })
}

/// Returns the status of an error: a number, or the text of one. `None` if it has none.
fn status_of(value: &Value) -> Option<u16> {
    let members = ["code", "status", "status_code", "statusCode", "error_code"];
    members.iter().find_map(|name| {
        let told = &value[name];
        let number = told.as_u64().or_else(|| told.as_str().and_then(|text| text.trim().parse().ok()));
        number.and_then(|number| u16::try_from(number).ok()).filter(|status| (400..600).contains(status))
    })
}

/// Returns the status that goes with a kind of error, in the words of OpenAI, Anthropic and Google.
fn status_of_word(word: &str) -> Option<u16> {
    Some(match word.to_ascii_lowercase().as_str() {
        "invalid_request_error" | "invalid_argument" | "failed_precondition" => 400,
        "authentication_error" | "unauthenticated" | "invalid_api_key" => 401,
        "permission_error" | "permission_denied" => 403,
        "not_found_error" | "not_found" => 404,
        "request_too_large" => 413,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "resource_exhausted"
        | "insufficient_quota"
        | "too_many_requests" => 429,
        "api_error" | "server_error" | "internal_server_error" | "internal" => 500,
        "overloaded_error" | "overloaded" | "unavailable" | "service_unavailable" => 503,
        "timeout_error" | "deadline_exceeded" => 504,
        _ => return None,
    })
}

/// Returns the pause that Google names among the details, as `34s` or `3.5s`.
fn wait_of(value: &Value) -> Option<Duration> {
    let told = value["details"].as_array()?.iter().find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = told.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn errors_are_read_in_the_shapes_that_there_are() {
        for body in [
            r#"{"error":{"message":"no"}}"#,
            r#"{"error":"no"}"#,
            r#"{"message":"no"}"#,
            r#"{"detail":"no"}"#,
            r#"{"errors":[{"message":"no"}]}"#,
            r#"[{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}]"#,
            r#"{"error":{"error":{"message":"no"}}}"#,
            r#"{"error":{"message":"{\"error\":{\"message\":\"no\"}}"}}"#,
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#,
            r#"{"object":"error","message":"no","code":40303}"#,
            r#"{"error":{},"msg":"no"}"#,
            "no",
        ] {
            assert_eq!(EndpointError::read(body.as_bytes()).message, "no", "{body}");
        }
        for body in ["", "{}", "[]", "7", "null", "{\"error\":null}"] {
            assert!(!EndpointError::read(body.as_bytes()).message.is_empty(), "{body}");
        }
        let long = json!([{"error": {"message": "x".repeat(5000)}}]).to_string();
        assert_eq!(EndpointError::read(long.as_bytes()).message.chars().count(), MAX_ERROR_CHARS);
        assert_eq!(EndpointError::read(br#"{"error":{"message":"half \ud83d"}}"#).message, "half \u{fffd}");
    }

    #[test]
    fn places_and_what_others_said_are_told_along() {
        let places = json!({"detail": [
            {"type": "extra_forbidden", "loc": ["body", "messages", 2, "assistant", "reasoning_content"],
             "msg": "Extra inputs are not permitted"},
            {"loc": ["body", "tools", 0], "msg": "no"},
        ]});
        let said =
            "body.messages.2.assistant.reasoning_content: Extra inputs are not permitted; body.tools.0: no";
        assert_eq!(EndpointError::read(places.to_string().as_bytes()).message, said);
        let raw = json!({"error": {"message": "odd"}}).to_string();
        let nested =
            json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": raw}}});
        assert_eq!(
            EndpointError::read(nested.to_string().as_bytes()).message,
            "Provider returned error: odd"
        );
        let param =
            json!({"error": {"message": "bad", "param": "tools[1].function.parameters", "code": null}});
        assert_eq!(
            EndpointError::read(param.to_string().as_bytes()).message,
            "bad (at tools[1].function.parameters)"
        );
    }

    #[test]
    fn an_error_inside_a_success_has_the_status_that_it_tells() {
        for (answer, status) in [
            (json!({"error": {"message": "m", "code": 429}}), Some(429)),
            (json!({"error": {"message": "m", "code": "503"}}), Some(503)),
            (json!({"error": {"message": "m", "code": "rate_limit_exceeded"}}), Some(429)),
            (json!([{"error": {"message": "m", "code": 400}}]), Some(400)),
            (
                json!({"choices": [{"error": {"message": "m", "code": 502}, "finish_reason": "error"}]}),
                Some(502),
            ),
            (
                json!({"choices": [{"message": {"content": null}}], "error": {"message": "m", "code": 429}}),
                Some(429),
            ),
            (json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}), Some(503)),
            (json!({"object": "error", "message": "m"}), None),
            (json!({"message": "m", "status": 500}), Some(500)),
            (json!({"error": "m"}), None),
        ] {
            let told = EndpointError::inside(&answer).unwrap_or_else(|| panic!("{answer}"));
            assert_eq!((told.message.as_str(), told.status), ("m", status), "{answer}");
        }
        for answer in [
            json!({"choices": [{"message": {"content": "x"}}], "error": null}),
            json!({"choices": [{"message": {"content": "x"}}], "error": {}}),
            json!({"choices": [], "usage": {}, "code": 0}),
            json!({"id": 1}),
            json!([]),
        ] {
            assert_eq!(EndpointError::inside(&answer), None, "{answer}");
        }
    }

    #[test]
    fn pauses_and_kinds_are_read() {
        let google = json!({"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "3.5s"}]}});
        assert_eq!(
            EndpointError::read(google.to_string().as_bytes()).wait,
            Some(Duration::from_millis(3500))
        );
        let quota = EndpointError::read(br#"{"error":{"message":"m","code":"insufficient_quota"}}"#);
        assert!(quota.is_used_up() && !quota.is_of_the_model());
        assert!(
            EndpointError::read(br#"{"error":{"message":"m","code":"tool_use_failed"}}"#).is_of_the_model()
        );
    }

    proptest::proptest! {
        #[test]
        fn no_body_is_too_strange(body: Vec<u8>, text: String) {
            drop(EndpointError::read(&body));
            drop(EndpointError::inside(&json!({"error": text, "choices": text})));
        }
    }
}
