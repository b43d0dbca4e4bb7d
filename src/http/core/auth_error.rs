//! Refusals of access, and what an answer says of them beside its body.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};

use crate::gateway::CredentialError;
use crate::oidc::{OidcSettings, TokenError, challenge};

/// Challenge of an answer, which it has if it is of this status.
#[derive(Debug)]
pub(in crate::http) struct Challenge {
    /// Status of the answer.
    pub(in crate::http) status: StatusCode,
    /// Value of `WWW-Authenticate`.
    pub(in crate::http) value: HeaderValue,
}

/// Reasons to refuse a request its access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) enum AuthError {
    /// No credential was sent.
    Missing,
    /// No credential was sent where the daemon's own user needs none, and the client is not provably that user.
    Unproven {
        /// Reason against it, in words that follow "a key is needed:".
        why: &'static str,
    },
    /// The credential is not a key of ours, or cannot be read as one.
    Refused {
        /// Reason why the key does not count.
        refused: CredentialError,
        /// The beginning of the credential, for the log; never enough to use.
        prefix: String,
    },
    /// The key is good but its role may not do this.
    RoleTooLow,
    /// The credential is an access token that nobody has verified yet; [`verify`](super::auth::verify) does.
    Unverified,
    /// The credential is an access token that is not accepted.
    Token {
        /// Reason against it.
        why: TokenError,
    },
    /// The access token is good and lacks a scope that is required.
    ScopeMissing,
    /// Whether the access token is good cannot be found out now.
    Unverifiable {
        /// Reason, as a sentence without a full stop.
        why: String,
        /// Time to wait before the next attempt.
        retry_after: Duration,
    },
    /// Too many requests of one member, or too many bad credentials from one address.
    TooMany {
        /// Time to wait before the next attempt.
        retry_after: Duration,
    },
}

/// Mark on a 401 for the guard, which logs it together with the peer.
#[derive(Debug, Clone)]
pub(in crate::http) struct FailedLogin {
    /// The beginning of the credential; empty if there was none.
    pub(in crate::http) prefix: String,
    /// Reason against letting the request in without a credential, if it had none and might have needed none.
    pub(in crate::http) why: Option<&'static str>,
}

impl AuthError {
    /// Returns the refusal of a key that was good when the request came and has ended since.
    pub(in crate::http) fn ended(refused: CredentialError) -> AuthError {
        AuthError::Refused { refused, prefix: String::new() }
    }

    /// Returns the challenge of a 401 (RFC 9110, section 15.5.2; RFC 6750, section 3). Where tokens are accepted, the guard
    /// puts a better one in its place; see [`AuthError::challenge_at`].
    pub(in crate::http) fn challenge(&self) -> HeaderValue {
        match self {
            AuthError::Missing | AuthError::Unproven { .. } => {
                HeaderValue::from_static("Bearer realm=\"mcp\"")
            }
            _ => HeaderValue::from_static("Bearer realm=\"mcp\", error=\"invalid_token\""),
        }
    }

    /// Returns the challenge of a refusal at a path where access tokens are accepted, with the status that it belongs to;
    /// `None` for a refusal without one.
    pub(in crate::http) fn challenge_at(&self, settings: &OidcSettings, path: &str) -> Option<Challenge> {
        let (status, refused) = match self {
            AuthError::Missing | AuthError::Unproven { .. } => (StatusCode::UNAUTHORIZED, None),
            AuthError::Refused { .. } => (StatusCode::UNAUTHORIZED, Some(None)),
            AuthError::Token { why } => (StatusCode::UNAUTHORIZED, Some(Some(*why))),
            AuthError::ScopeMissing => (StatusCode::FORBIDDEN, Some(Some(TokenError::Scope))),
            AuthError::Unverified
            | AuthError::RoleTooLow
            | AuthError::Unverifiable { .. }
            | AuthError::TooMany { .. } => return None,
        };
        let value = HeaderValue::try_from(challenge(settings, path, refused)).ok()?;
        Some(Challenge { status, value })
    }

    /// Returns the note for the log.
    pub(in crate::http) fn failed_login(&self) -> FailedLogin {
        match self {
            AuthError::Refused { prefix, .. } => FailedLogin { prefix: prefix.clone(), why: None },
            AuthError::Unproven { why } => FailedLogin { prefix: String::new(), why: Some(why) },
            AuthError::Token { why } => FailedLogin { prefix: String::new(), why: Some(why.text()) },
            _ => FailedLogin { prefix: String::new(), why: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_names_an_error_only_when_something_was_sent() {
        assert_eq!(AuthError::Missing.challenge(), "Bearer realm=\"mcp\"");
        let refused = AuthError::Refused { refused: CredentialError::Unknown, prefix: String::new() };
        assert_eq!(refused.challenge(), "Bearer realm=\"mcp\", error=\"invalid_token\"");
    }
}
