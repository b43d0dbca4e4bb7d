//! Head of a request. Clients that keep a connection mostly send the same head again, so a connection keeps the last one,
//! and with it what was found out about it: a head that comes again is neither parsed nor judged again.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use crate::gateway::{Principal, RequestId};

/// Head of a request, which may be that of several requests of one connection. The length of the body is not in the
/// headers if the head was kept: the body knows it.
pub(in crate::http) struct RequestHead {
    /// Method of the request.
    pub(in crate::http) method: Method,
    /// Target of the request.
    pub(in crate::http) uri: Uri,
    /// Version of HTTP.
    pub(in crate::http) version: Version,
    /// Fields of the head.
    pub(in crate::http) headers: HeaderMap,
    /// What the edge found, if it accepts such requests.
    pub(in crate::http) judged: OnceLock<JudgedHead>,
    /// Whoever was accepted with the key in this head.
    accepted: Mutex<Option<Principal>>,
    /// What the dialect has read of the last request with this head.
    read_before: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

/// What the edge finds out about a head that it accepts, and that is the same whenever the head comes again.
#[derive(Debug)]
pub(in crate::http) struct JudgedHead {
    /// Number of the fast path that the request is for; `None` if it goes through the router.
    pub(in crate::http) fast: Option<usize>,
    /// `true` if the request has an `Origin`.
    pub(in crate::http) has_origin: bool,
    /// `true` if the request names this machine's loopback, has no credential, and nothing speaks for somebody else.
    pub(in crate::http) claims_nearness: bool,
    /// The request id that the client gave; `None` if it gave none that can be used.
    pub(in crate::http) request_id: Option<(RequestId, HeaderValue)>,
}

impl RequestHead {
    /// Makes a head of its parts.
    pub(in crate::http) fn new(
        method: Method,
        uri: Uri,
        version: Version,
        headers: HeaderMap,
    ) -> RequestHead {
        let (judged, accepted, read_before) = (OnceLock::new(), Mutex::new(None), Mutex::new(None));
        RequestHead { method, uri, version, headers, judged, accepted, read_before }
    }

    /// Returns a request with this head, for the router.
    pub(in crate::http) fn request<B>(&self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Returns whoever was accepted with the key in this head before, as it is at `now`, in seconds since 1970. `None` if
    /// nobody was, or if the key has to be looked up again because something became of it.
    pub(in crate::http) fn accepted(&self, now: u64) -> Option<Principal> {
        let accepted = self.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.as_ref()?.presented_again(now)
    }

    /// Keeps whoever was accepted with the key in this head. Holders of access tokens are not kept: their tokens are
    /// verified each time.
    pub(in crate::http) fn keep_accepted(&self, principal: &Principal) {
        if !principal.has_token() {
            *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(principal.clone());
        }
    }

    /// Returns what was read of the last request with this head, and kept. `None` for the first.
    pub(in crate::http) fn read_before<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        let kept = self.read_before.lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept?.downcast().ok()
    }

    /// Keeps what was read of a request with this head. It is kept for as long as the connection is open: keep little.
    pub(in crate::http) fn keep_read(&self, read: Arc<dyn Any + Send + Sync>) {
        *self.read_before.lock().unwrap_or_else(PoisonError::into_inner) = Some(read);
    }
}

impl fmt::Debug for RequestHead {
    /// Shows nothing of the fields, among which are credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("path", &self.uri.path())
            .finish_non_exhaustive()
    }
}

impl From<Parts> for RequestHead {
    fn from(parts: Parts) -> RequestHead {
        RequestHead::new(parts.method, parts.uri, parts.version, parts.headers)
    }
}
