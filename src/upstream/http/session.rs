//! What a request has to say about the session that it belongs to. A session may be lost at any time and is opened again
//! once for all who wait (`remote-upstreams.md`, R22, R25, R26 and R35 to R40).

use std::sync::OnceLock;

use reqwest::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};

use super::headers;
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
    /// Headers of what is posted in it, once something was.
    posted: OnceLock<HeaderMap>,
}

impl Session {
    /// Returns what is said before an era is known, by a request that opens this one.
    pub(super) fn opening(era: Era) -> Session {
        let version = (era == Era::Modern).then_some(HeaderValue::from_static(MODERN_VERSION));
        Session::new(era, None, version)
    }

    /// Returns a session with this id and version, which has no number yet.
    pub(super) fn new(era: Era, id: Option<HeaderValue>, version: Option<HeaderValue>) -> Session {
        Session { number: 0, era, id, version, posted: OnceLock::new() }
    }

    /// Returns it with this number.
    pub(super) fn numbered(self, number: u64) -> Session {
        Session { number, ..self }
    }

    /// Returns the headers of what is posted in this session to a server, of which all requests have `base`. Each has a place
    /// in it, so that the map is not made larger for every request; the empty ones are the request's to fill.
    pub(super) fn posted(&self, base: &HeaderMap) -> &HeaderMap {
        self.posted.get_or_init(|| {
            let mut posted = base.clone();
            posted.extend(self.headers());
            posted.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            if self.era == Era::Modern {
                headers::make_places(&mut posted);
            }
            posted
        })
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
