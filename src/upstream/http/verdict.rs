//! What an answer of a remote server means, by its status, its media type and its body. Pure.
//! (`remote-upstreams.md`, R12, R13, R29 to R38 and R56.)

use std::time::Duration;

use bytes::Bytes;

use super::fault::{HttpFault, Word};
use crate::jsonrpc::{RpcError, lone_answer};
use crate::mcp::Era;
use crate::text::cut;

/// Form of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON-RPC message.
    Json,
    /// A stream of events.
    Events,
    /// Anything else.
    Other,
}

/// Returns the form that a media type announces, whatever its case and parameters.
pub(super) fn form(content_type: Option<&str>) -> Form {
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    match () {
        () if media_type.eq_ignore_ascii_case("application/json") => Form::Json,
        () if media_type.eq_ignore_ascii_case("text/event-stream") => Form::Events,
        () => Form::Other,
    }
}

/// Head of an answer that is no success.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefusedHead<'a> {
    pub(super) status: u16,
    /// `true` if the request carried the id of a session.
    pub(super) had_session: bool,
    /// Era in which the server was opened; `None` for a request that opens it.
    pub(super) era: Option<Era>,
    /// `true` if the request carried a credential.
    pub(super) had_credential: bool,
    /// Name of the server if people can log in to it.
    pub(super) login: Option<&'a str>,
    /// Value of `WWW-Authenticate`.
    pub(super) challenge: Option<&'a str>,
    /// Time in `Retry-After`.
    pub(super) pause: Option<Duration>,
    /// Method of the request, for the sentence.
    pub(super) method: &'a str,
}

/// Meaning of an answer that is no success.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The session is not known any more; the request was not begun.
    SessionLost,
    /// The server is of another era than when it was opened.
    OtherEra(HttpFault),
    /// The server answered the request with an error of the protocol.
    Said(RpcError),
    /// Anything else.
    Fault(HttpFault),
}

/// Maximum number of characters of a body that are told.
const MAX_TOLD: usize = 200;

/// Judges an answer that is no success, by its head and the beginning of its body.
pub(super) fn refused(head: RefusedHead<'_>, body: &Bytes) -> Refused {
    let answer = lone_answer(body);
    // An error with an id that can be ours is about the request and not about how it was put.
    let is_about_request = answer.as_ref().is_some_and(|(id, _)| id.is_some());
    let said = answer.and_then(|(_, outcome)| outcome.err());
    let text = String::from_utf8_lossy(body);
    let code = said.as_ref().map(|error| error.code);
    if head.era.is_some_and(|era| is_of_other_era(era, head.status, code, is_about_request)) {
        return Refused::OtherEra(other_era(head));
    }
    if head.had_session && is_loss(head.status, code, &text) {
        return Refused::SessionLost;
    }
    match (said, head.status) {
        // These say something of the server, whatever else the body says.
        (_, 401 | 403 | 407 | 413 | 421 | 429) | (None, _) => Refused::Fault(fault(head, &text)),
        // And so does this of a server that is being opened: it is no answer to what opens it (R21).
        (Some(error), 500..) if head.era.is_none() => Refused::Fault(fault(head, &error.message)),
        (Some(error), _) => Refused::Said(error),
    }
}

/// Reports whether an answer to a request that carried a session's id says that there is no such session. A 404 that knows
/// no such method is of the modern era, and of the method.
fn is_loss(status: u16, code: Option<i64>, body: &str) -> bool {
    // An error of another kind is about the request: a tool may speak of sessions of its own, and has run then.
    if !matches!(code, None | Some(-32_000 | -32_001 | -32_600)) {
        return false;
    }
    match status {
        404 => true,
        400 => body.to_ascii_lowercase().contains("session"),
        _ => false,
    }
}

/// Reports whether an answer is of a server that is of the other era now (R24): one of the legacy era does not read the id
/// of a request without a session, and one of the modern era names the versions that it wants.
fn is_of_other_era(era: Era, status: u16, code: Option<i64>, is_about_request: bool) -> bool {
    match era {
        Era::Modern => {
            matches!(status, 400 | 404 | 405)
                && !is_about_request
                && matches!(code, None | Some(-32600 | -32000))
        }
        Era::Legacy => status == 400 && code == Some(-32022),
    }
}

fn other_era(head: RefusedHead<'_>) -> HttpFault {
    let RefusedHead { status, method, .. } = head;
    let what = format!("answered HTTP {status} to {method} as a server of another era than before");
    // A 400 may be anything's.
    match (status, head.era) {
        (400, Some(Era::Modern)) => HttpFault::unknown(Word::BadReply, what),
        _ => HttpFault::unseen(Word::BadReply, what),
    }
}

fn fault(head: RefusedHead<'_>, body: &str) -> HttpFault {
    let RefusedHead { status, method, had_credential, .. } = head;
    let challenge = head.challenge.unwrap_or_default();
    let mut fault = match status {
        401 if let Some(name) = head.login => {
            HttpFault::unseen(Word::LoginRequired, format!("wants a login: mcpvisor login {name}"))
        }
        403 if let Some(name) = head.login.filter(|_| challenge.contains("insufficient_scope")) => {
            let what = format!("wants more rights than the login gave (HTTP 403): mcpvisor login {name}");
            HttpFault::unseen(Word::InsufficientScope, what)
        }
        401 if had_credential => HttpFault::unseen(
            Word::Unauthorized,
            "refuses the credentials (HTTP 401); mend those of its entry",
        ),
        401 => HttpFault::unseen(
            Word::LoginRequired,
            "wants credentials (HTTP 401), and its entry has none; put them into its headers",
        ),
        403 if challenge.contains("insufficient_scope") => HttpFault::unseen(
            Word::InsufficientScope,
            "takes the credentials, and they are not enough for this (HTTP 403, insufficient_scope)",
        ),
        403 if body.to_ascii_lowercase().contains("host header") => {
            HttpFault::unseen(Word::HostRefused, host_refused(status))
        }
        403 => HttpFault::unknown(Word::Forbidden, "forbids the request (HTTP 403)"),
        404 | 410 => HttpFault::unseen(
            Word::NotMcp,
            format!(
                "answered HTTP {status} to {method}; there is no MCP endpoint at this path, check the url"
            ),
        ),
        405 => HttpFault::unseen(
            Word::NotMcp,
            format!("answered HTTP 405 to {method}; what is at this path takes no POST, check the url"),
        ),
        407 => HttpFault::unseen(Word::ProxyFailed, "is behind a proxy that wants credentials (HTTP 407)"),
        413 => HttpFault::unseen(Word::TooLarge, "says that the request is too large (HTTP 413)"),
        421 => HttpFault::unseen(Word::HostRefused, host_refused(status)),
        429 => HttpFault::unseen(Word::RateLimited, "was asked too often (HTTP 429)"),
        406 | 411 | 415 | 426 | 431 => {
            HttpFault::unseen(Word::BadReply, format!("refuses the form of {method} (HTTP {status})"))
        }
        400 | 422 => {
            HttpFault::unknown(Word::BadReply, format!("answered HTTP {status} to {method}{}", told(body)))
        }
        _ => {
            HttpFault::unknown(Word::ServerError, format!("answered HTTP {status} to {method}{}", told(body)))
        }
    };
    fault.pause = head.pause;
    fault
}

fn host_refused(status: u16) -> String {
    format!("refused our Host header (HTTP {status}): it allows other names than the one in the url")
}

/// Returns the beginning of a body for a sentence, on one line; empty if it is a page or says nothing.
fn told(body: &str) -> String {
    let line: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.is_empty() || line.starts_with('<') {
        true => String::new(),
        false => format!(": {}", cut(line, MAX_TOLD)),
    }
}

/// Judges a success whose body is none that MCP allows.
pub(super) fn not_mcp(method: &str, status: u16, content_type: Option<&str>) -> HttpFault {
    match content_type {
        Some(other) if form(Some(other)) == Form::Other => HttpFault::unknown(
            Word::NotMcp,
            format!(
                "answered {method} with {}, not with JSON or events; a page for a login or a proxy's own answer, check the url",
                cut(other.to_owned(), 80)
            ),
        ),
        _ => HttpFault::unknown(
            Word::BadReply,
            format!("answered {method} with HTTP {status} and without a message"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::http::fault::Proof;
    use proptest::prelude::*;

    fn head(status: u16, had_session: bool) -> RefusedHead<'static> {
        RefusedHead {
            status,
            had_session,
            era: None,
            had_credential: false,
            login: None,
            challenge: None,
            pause: None,
            method: "tools/call",
        }
    }

    fn judge(status: u16, had_session: bool, body: &'static str) -> Refused {
        refused(head(status, had_session), &Bytes::from_static(body.as_bytes()))
    }

    fn word(status: u16, body: &'static str) -> (Word, Proof) {
        match judge(status, false, body) {
            Refused::Fault(fault) => (fault.word, fault.proof),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_lost_session_is_known_by_its_404_and_by_a_400_that_names_it() {
        let everything = r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#;
        for (status, body) in [(404, ""), (404, "Session not found"), (400, everything)] {
            assert_eq!(judge(status, true, body), Refused::SessionLost, "{status} {body}");
            assert_ne!(judge(status, false, body), Refused::SessionLost, "without one: {status} {body}");
        }
        let no_method = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}"#;
        assert!(matches!(judge(404, true, no_method), Refused::Said(error) if error.code == -32601));
        assert_eq!(word(404, "Not Found").0, Word::NotMcp, "R38: a wrong path");
        let own = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"browser session crashed"}}"#;
        for status in [400, 404] {
            assert!(matches!(judge(status, true, own), Refused::Said(_)), "{status}: it has run");
        }
    }

    #[test]
    fn each_status_proves_what_the_table_of_r56_says() {
        for status in [401, 404, 405, 406, 411, 413, 415, 421, 426, 429, 431] {
            assert_eq!(word(status, "").1, Proof::Unseen, "{status}");
        }
        for status in [400, 403, 408, 409, 500, 502, 503, 504, 599] {
            assert_eq!(word(status, "").1, Proof::Unknown, "{status}");
        }
        assert_eq!(word(421, "Invalid Host header").0, Word::HostRefused);
        assert_eq!(word(403, "Forbidden: Host header is not allowed"), (Word::HostRefused, Proof::Unseen));
        assert_eq!(word(401, "").0, Word::LoginRequired);
    }

    #[test]
    fn an_error_in_the_body_decides_except_where_the_status_is_about_the_server() {
        let body = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no"}}"#;
        for status in [400, 404, 406] {
            assert!(matches!(judge(status, false, body), Refused::Said(_)), "{status}");
        }
        for status in [401, 403, 413, 421, 429, 500, 503] {
            assert!(matches!(judge(status, false, body), Refused::Fault(_)), "{status}: it is being opened");
        }
        let open = |status| RefusedHead { era: Some(Era::Legacy), ..head(status, true) };
        for status in [500, 503] {
            let judged = refused(open(status), &Bytes::from(body));
            assert!(matches!(judged, Refused::Said(_)), "{status}: it answers a call");
        }
    }

    #[test]
    fn a_server_of_another_era_than_before_is_known_by_what_it_does_not_read() {
        let no_session = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"Bad Request"}}"#;
        let of_python = r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"no"}}"#;
        let of_request = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32600,"message":"no"}}"#;
        let arguments = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no"}}"#;
        let versions = r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"no"}}"#;
        for (era, status, body, expected) in [
            (Era::Modern, 400, no_session, Some(Proof::Unknown)),
            (Era::Modern, 400, of_python, Some(Proof::Unknown)),
            (Era::Modern, 400, "Unexpected message, expect initialize request", Some(Proof::Unknown)),
            (Era::Modern, 404, "Not Found", Some(Proof::Unseen)),
            (Era::Modern, 405, "", Some(Proof::Unseen)),
            (Era::Modern, 400, of_request, None),
            (Era::Modern, 400, arguments, None),
            (Era::Modern, 500, "", None),
            (Era::Legacy, 400, versions, Some(Proof::Unseen)),
            (Era::Legacy, 400, arguments, None),
            (Era::Legacy, 405, "", None),
        ] {
            let judge = |era| {
                refused(RefusedHead { era, ..head(status, false) }, &Bytes::from_static(body.as_bytes()))
            };
            let found = match judge(Some(era)) {
                Refused::OtherEra(fault) => Some(fault.proof),
                _ => None,
            };
            assert_eq!(found, expected, "{era:?} {status} {body}");
            assert!(!matches!(judge(None), Refused::OtherEra(_)), "an opening finds it out itself");
        }
    }

    #[test]
    fn a_media_type_is_read_whatever_its_case_and_parameters() {
        for (given, expected) in [
            (Some("application/json; charset=utf-8"), Form::Json),
            (Some("Application/JSON"), Form::Json),
            (Some("text/event-stream;charset=UTF-8"), Form::Events),
            (Some("text/html"), Form::Other),
            (Some("application/json-seq"), Form::Other),
            (None, Form::Other),
        ] {
            assert_eq!(form(given), expected, "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_a_failure_of_another_proof(status in 300u16..600, body in "\\PC{0,60}") {
            let judged = refused(head(status, false), &Bytes::from(body));
            let plain = refused(head(status, false), &Bytes::new());
            if let (Refused::Fault(one), Refused::Fault(other)) = (judged, plain) {
                prop_assert!(one.proof == other.proof || one.word == Word::HostRefused);
            }
        }
    }
}
