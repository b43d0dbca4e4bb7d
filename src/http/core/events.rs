//! Answers that are Server-Sent Events (WHATWG HTML, section 9.2): axum's, with headers that proxies heed.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;

/// Interval of the comments on a quiet stream, which keep proxies in between from closing it.
pub(in crate::http) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Header that asks a proxy not to buffer an answer; nginx introduced it, and other proxies know it, too.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Returns the answer with these events. Its headers ask proxies to pass each event on at once and unchanged: a
/// proxy that collects or compresses holds events back.
pub(in crate::http) fn answer(
    events: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> Response {
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response();
    ask_proxies(&mut response);
    response
}

/// Asks proxies to pass each event of an answer on at once and unchanged.
pub(in crate::http) fn ask_proxies(response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
}
