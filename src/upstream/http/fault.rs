//! What can go wrong with a remote server, as a closed set: a stable word, a sentence for its operator, and what the
//! failure proves about the request (`remote-upstreams.md`, R12, R13 and R56).

use std::fmt;
use std::time::Duration;

/// Stable word for a cause, as in the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Its name has no address.
    DnsFailed,
    /// It refuses connections.
    Refused,
    /// No connection came about in time.
    ConnectTimeout,
    /// TLS failed, mostly because of its certificate.
    TlsFailed,
    /// The proxy did not let the connection through.
    ProxyFailed,
    /// Its address is one that may not be connected to.
    AddressNotAllowed,
    /// It redirects to where nothing is sent.
    Redirected,
    /// What is at the address does not speak MCP.
    NotMcp,
    /// It does not know itself by the name that it was called.
    HostRefused,
    /// It refuses the credentials.
    Unauthorized,
    /// It forbids the request.
    Forbidden,
    /// The credentials are good, and not enough.
    InsufficientScope,
    /// It wants a login and was given none.
    LoginRequired,
    /// What a person had granted is over, and another login is wanted.
    LoginOver,
    /// It was asked too often.
    RateLimited,
    /// It reports an error of its own, by its status.
    ServerError,
    /// It does not know the session any more.
    SessionLost,
    /// A stream ended that was to go on.
    StreamLost,
    /// It does not answer.
    Silent,
    /// Its answer is none that MCP allows.
    BadReply,
    /// The request or the answer is too large.
    TooLarge,
    /// It speaks no version of the protocol that the gateway speaks.
    UnsupportedVersion,
    /// The definition cannot be used: a reference leads nowhere, or the address is none.
    Definition,
}

impl Word {
    /// Returns the word.
    pub fn name(self) -> &'static str {
        match self {
            Word::DnsFailed => "dns_failed",
            Word::Refused => "refused",
            Word::ConnectTimeout => "connect_timeout",
            Word::TlsFailed => "tls_failed",
            Word::ProxyFailed => "proxy_failed",
            Word::AddressNotAllowed => "address_not_allowed",
            Word::Redirected => "redirected",
            Word::NotMcp => "not_mcp",
            Word::HostRefused => "host_refused",
            Word::Unauthorized => "unauthorized",
            Word::Forbidden => "forbidden",
            Word::InsufficientScope => "insufficient_scope",
            Word::LoginRequired | Word::LoginOver => "login_required",
            Word::RateLimited => "rate_limited",
            Word::ServerError => "server_error",
            Word::SessionLost => "session_lost",
            Word::StreamLost => "stream_lost",
            Word::Silent => "silent",
            Word::BadReply => "bad_reply",
            Word::TooLarge => "too_large",
            Word::UnsupportedVersion => "unsupported_version",
            Word::Definition => "definition",
        }
    }

    /// Returns what the failure means for the state of the server.
    pub fn consequence(self) -> Consequence {
        match self {
            Word::AddressNotAllowed
            | Word::Redirected
            | Word::NotMcp
            | Word::HostRefused
            | Word::UnsupportedVersion
            | Word::Definition => Consequence::Wrong,
            Word::Unauthorized
            | Word::Forbidden
            | Word::InsufficientScope
            | Word::LoginRequired
            | Word::LoginOver => Consequence::NotAuthorized,
            Word::DnsFailed
            | Word::Refused
            | Word::ConnectTimeout
            | Word::TlsFailed
            | Word::ProxyFailed
            | Word::RateLimited
            | Word::ServerError
            | Word::SessionLost
            | Word::StreamLost
            | Word::Silent
            | Word::BadReply
            | Word::TooLarge => Consequence::MayHeal,
        }
    }
}

/// What a failure means for the state of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consequence {
    /// Time may heal it: it is tried again, sooner at first and later on later.
    MayHeal,
    /// Only other credentials heal it.
    NotAuthorized,
    /// The definition is wrong.
    Wrong,
}

/// What a failure proves about the request that met it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The server has not begun it: it may be sent again.
    Unseen,
    /// Nothing: the server may have carried it out.
    Unknown,
}

/// A failure of a remote server. The sentence has no value of a header and no query of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpFault {
    /// The kind of failure.
    pub word: Word,
    /// What happened and what to do, as the continuation of "it …".
    pub sentence: String,
    /// What it proves.
    pub proof: Proof,
    /// Time that the server asks to be left alone; `None` if it says nothing.
    pub pause: Option<Duration>,
}

impl HttpFault {
    /// Makes a failure by which the server has provably not begun the request.
    pub(super) fn unseen(word: Word, sentence: impl Into<String>) -> HttpFault {
        HttpFault { word, sentence: sentence.into(), proof: Proof::Unseen, pause: None }
    }

    /// Makes a failure after which nobody knows what became of the request.
    pub(super) fn unknown(word: Word, sentence: impl Into<String>) -> HttpFault {
        HttpFault { word, sentence: sentence.into(), proof: Proof::Unknown, pause: None }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}
