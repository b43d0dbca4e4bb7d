//! Ids of requests: the client's own if it sent a good one, else a new one.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Header with the id of a request, which the client sends or the edge makes.
pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Length of the longest request id that is accepted from a client, in characters (`docs/http-api.md`, G2.1).
pub(super) const MAX_REQUEST_ID: usize = 128;

/// Returns the client's request id if it sent a single valid one.
pub(super) fn given_request_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None)
            if (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) =>
        {
            Some(id.clone())
        }
        _ => None,
    }
}

/// Returns a new id: `req_`, eight hexadecimal digits for this run of the daemon, and a number that counts up.
/// Ids name log lines and protect nothing, so they need not be unguessable.
pub(super) fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    static RUN: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let run = *RUN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = *b"req_00000000_00000000000";
    let (head, tail) = id.split_at_mut(12);
    for (digits, mut value) in [(&mut head[4..], run), (&mut tail[1..], number)] {
        for place in digits.iter_mut().rev() {
            *place = DIGITS[(value & 0xf) as usize];
            value >>= 4;
        }
    }
    HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("req"))
}
