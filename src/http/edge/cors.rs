//! Cross-origin requests of browsers (Fetch standard, CORS): what an accepted origin may send and read.

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;

/// Headers of an answer that a page of another origin may read.
const EXPOSED: &str = "X-Request-Id, Mcp-Session-Id, Retry-After, WWW-Authenticate, Allow, Location, X-RateLimit-Limit, \
                       X-RateLimit-Remaining, X-RateLimit-Reset, Idempotent-Replayed";

/// Mark of the answer to an `OPTIONS` on a path that has routes.
#[derive(Debug, Clone, Copy)]
struct Options;

/// Returns the answer to `OPTIONS` on a known path; the edge completes it from `Allow`.
pub(in crate::http) fn options() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.extensions_mut().insert(Options);
    response
}

/// Cross-origin part of a request whose `Origin` was accepted.
#[derive(Debug, Default)]
pub(super) struct CrossOrigin {
    /// Accepted `Origin`; `None` if the request has none.
    origin: Option<HeaderValue>,
    /// Headers that a preflight asks for; `None` for other requests.
    requested_headers: Option<HeaderValue>,
}

impl CrossOrigin {
    /// Reads the part of a request that has an accepted `Origin`.
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> CrossOrigin {
        let is_preflight = method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let requested = || headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        CrossOrigin {
            origin: headers.get(ORIGIN).cloned(),
            requested_headers: is_preflight.then(requested).flatten(),
        }
    }

    /// Lets the origin read the answer; does nothing for a request without one.
    pub(super) fn allow_on(&mut self, headers: &mut HeaderMap) {
        let Some(origin) = self.origin.take() else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("Origin"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    /// Completes the answer to `OPTIONS` on a known path: it lists the methods, and for a preflight it allows
    /// them and the headers that are asked for. Returns `false` if the answer is another one.
    pub(super) fn complete_options(&mut self, response: &mut Response) -> bool {
        if response.status() != StatusCode::METHOD_NOT_ALLOWED
            || response.extensions_mut().remove::<Options>().is_none()
        {
            return false;
        }
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(CONTENT_TYPE);
        let routed = headers.get(ALLOW).and_then(|allow| allow.to_str().ok()).unwrap_or_default();
        let methods = format!("{},OPTIONS", routed.replace(',', ", ")).replace(",OPTIONS", ", OPTIONS");
        let Ok(methods) = HeaderValue::try_from(methods) else { return true };
        if self.origin.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            if let Some(requested) = self.requested_headers.take() {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
            }
        }
        headers.insert(ALLOW, methods);
        true
    }
}
