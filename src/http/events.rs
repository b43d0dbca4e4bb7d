//! Answers that are Server-Sent Events (WHATWG HTML, section 9.2).

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;

/// A quiet stream says this often that it is there, so that nothing between closes it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What it says then.
pub(super) const COMMENT: &[u8] = b":\n\n";

/// Asks a proxy not to hold answers back until there is more of them; nginx's word, which others know, too.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The answer with these events. It asks whoever stands between to pass each on as it comes and as it is: a
/// proxy that collects or compresses holds events back.
pub(super) fn answer(events: impl HttpBody<Data = Bytes, Error = Infallible> + Send + 'static) -> Response {
    let mut response = Response::new(Body::new(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}
