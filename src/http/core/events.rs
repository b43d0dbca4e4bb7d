//! Answers that are Server-Sent Events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

/// Interval of the comments on a quiet stream, which keep proxies in between from closing it.
pub(in crate::http) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The comment that a quiet stream sends, an event without data.
pub(in crate::http) const COMMENT: &[u8] = b":\n\n";

/// Header that asks a proxy not to buffer an answer; nginx introduced it, and other proxies know it, too.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Returns the answer with these events. Its headers ask proxies to pass each event on at once and unchanged: a
/// proxy that collects or compresses holds events back.
pub(in crate::http) fn answer(
    events: impl HttpBody<Data = Bytes, Error = Infallible> + Send + 'static,
) -> Response {
    let mut response = Response::new(Body::new(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
