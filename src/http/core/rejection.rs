//! Requests that the edge answers itself, and the texts that all dialects share.

/// Reason why the edge answers a request itself; each dialect writes the answer in its own format.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum EdgeRejection<'a> {
    /// The head can be read in two ways, so the end of the request is not certain.
    AmbiguousFraming,
    /// The body has a transfer coding other than `chunked`.
    UnknownCoding,
    /// No `Host`, several, or an unreadable one.
    BadHost,
    /// A `Host` that this daemon does not accept.
    ForeignHost {
        /// Refused name, at most 253 characters of it (RFC 1035).
        host: &'a str,
    },
    /// An `Origin` that may not use this front.
    ForeignOrigin,
    /// Too many acts are under way whose callers have left.
    TooManyActs,
    /// A defect in the daemon. A caller needs only the request id to report it.
    Internal {
        /// Id of the request, which the log has, too.
        request_id: &'a str,
        /// Cause of the error; `None` unless `Settings::debug` is on.
        cause: Option<&'a str>,
    },
}

impl EdgeRejection<'_> {
    /// Returns the reason as metrics count it; `None` for a defect, which is no refusal.
    pub(in crate::http) fn reason(self) -> Option<&'static str> {
        match self {
            EdgeRejection::AmbiguousFraming | EdgeRejection::UnknownCoding => Some("bad_framing"),
            EdgeRejection::BadHost => Some("bad_host"),
            EdgeRejection::ForeignHost { .. } => Some("foreign_host"),
            EdgeRejection::ForeignOrigin => Some("foreign_origin"),
            EdgeRejection::TooManyActs => Some("too_many_acts"),
            EdgeRejection::Internal { .. } => None,
        }
    }
}

/// Returns the message for [`EdgeRejection::ForeignHost`].
pub(in crate::http) fn foreign_host(host: &str) -> String {
    format!(
        "The Host header names '{host}', which is not allowed; if that is this daemon, list it in http.allowed_hosts"
    )
}

/// Message for [`EdgeRejection::TooManyActs`].
pub(in crate::http) const TOO_MANY_ACTS: &str =
    "Too many changes are under way whose callers have left. Please retry later";
/// Message for [`EdgeRejection::AmbiguousFraming`].
pub(in crate::http) const TWO_ENDS: &str = "It is not certain where the request ends: it has Content-Length and Transfer-Encoding, \
     more than one length, or a Transfer-Encoding that is not chunked once and last";
/// Message for [`EdgeRejection::UnknownCoding`].
pub(in crate::http) const UNKNOWN_CODING: &str =
    "The request has a Transfer-Encoding that is not supported; chunked is the only one that is";
