//! Parts of a refusal that do not depend on the dialect: the retry time, the credential that was missing, whether
//! the connection goes on, and the notes for the guard.

use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::Response;

use crate::http::core::auth::AuthError;
use crate::http::core::timestamp::retry_seconds;

/// Mark of an answer that comes from a defect: the edge logs the text and writes the answer itself.
#[derive(Debug, Clone)]
pub(in crate::http) struct Defect(pub(in crate::http) String);

/// Mark of an answer to a request that did not arrive whole, and so has asked for nothing.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct HalfSent;

/// Time to wait after the store refused a change: the interval in which the store is tried again.
pub(in crate::http) const STORE_PAUSE: Duration = Duration::from_secs(5);

/// Time to wait after a server had no room for another pool: sessions end and pools come to rest at their own pace.
pub(in crate::http) const POOL_PAUSE: Duration = Duration::from_secs(10);

/// Headers and notes of a refusal beside its body.
#[derive(Debug, Default)]
pub(in crate::http) struct ResponseMeta {
    /// Time after which asking again is worth it, for `Retry-After`; `None` if none is given.
    pub(in crate::http) retry_after: Option<Duration>,
    /// The credential error behind a 401, for its challenge and the log.
    pub(in crate::http) denied: Option<AuthError>,
    /// A defect of the daemon, for the guard to log.
    pub(in crate::http) defect: Option<String>,
    /// `true` if the connection ends with this answer.
    pub(in crate::http) close: bool,
    /// `true` if the request had not arrived whole, and so has asked for nothing.
    pub(in crate::http) half_sent: bool,
    /// `true` if the request's content was in a coding that is not accepted (RFC 9110, section 15.5.16).
    pub(in crate::http) coded: bool,
}

impl ResponseMeta {
    /// Puts the headers and the notes for the guard on an answer.
    pub(in crate::http) fn put_on(self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_seconds(wait)));
        }
        if self.coded {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(denied) = self.denied {
            headers.insert(WWW_AUTHENTICATE, denied.challenge());
            response.extensions_mut().insert(denied.failed_login());
        }
        if let Some(reason) = self.defect {
            response.extensions_mut().insert(Defect(reason));
        }
        if self.half_sent {
            response.extensions_mut().insert(HalfSent);
        }
    }
}
