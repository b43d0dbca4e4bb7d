//! What a request has to say about the session that it belongs to. A session may be lost at any time and is opened again
//! once for all who wait (`remote-upstreams.md`, R22, R25, R26 and R35 to R40).

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::mcp::{Era, MODERN_VERSION};

/// Header with the id of a session.
pub(super) const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Header with the version of the protocol.
pub(super) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");

/// Header with the event after which a stream is taken up again.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How the server knows the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Session {
    /// Number of it, counted from 1 over the sessions of one upstream; 0 before the first.
    pub(super) number: u64,
    /// Era that is spoken.
    pub(super) era: Era,
    /// Id that the server gave; `None` in the modern era, and of a server without sessions.
    pub(super) id: Option<HeaderValue>,
    /// Version that goes into the headers; `None` before it was agreed on.
    pub(super) version: Option<HeaderValue>,
}

impl Session {
    /// Returns what is said before an era is known, by a request that opens this one.
    pub(super) fn opening(era: Era) -> Session {
        let version = (era == Era::Modern).then_some(HeaderValue::from_static(MODERN_VERSION));
        Session { number: 0, era, id: None, version }
    }

    /// Returns the headers that say which session a request belongs to.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(version) = &self.version {
            headers.insert(VERSION, version.clone());
        }
        if let Some(id) = &self.id {
            headers.insert(SESSION_ID, id.clone());
        }
        headers
    }

    /// Returns the same of a request that takes a stream up again behind an event; `None` for the event is the beginning.
    pub(super) fn headers_behind(&self, last_id: Option<&str>) -> HeaderMap {
        let mut headers = self.headers();
        if let Some(id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(LAST_EVENT_ID, id);
        }
        headers
    }
}
