//! Ids of requests: the client's own if it sent a good one, else a new one.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::gateway::RequestId;

/// Header with the id of a request, which the client sends or the edge makes.
pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Length of the longest request id that is accepted from a client, in characters (`docs/http-api.md`, G2.1).
pub(super) const MAX_REQUEST_ID: usize = 128;

/// Returns the client's request id if it sent a single valid one, also as a header's value.
pub(super) fn given_request_id(headers: &HeaderMap) -> Option<(RequestId, HeaderValue)> {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None)
            if (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) =>
        {
            Some((RequestId::Given(id.to_str().ok()?.into()), id.clone()))
        }
        _ => None,
    }
}

/// Returns a new request id, also as a header's value.
pub(super) fn new_request_id() -> (RequestId, HeaderValue) {
    let (id, number) = RequestId::next();
    let value = HeaderValue::from_bytes(&RequestId::own_text(number));
    (id, value.unwrap_or(HeaderValue::from_static("req")))
}
