//! Credentials: how they are read from a request, and which ones a request needs.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;
use crate::gateway::{CredentialError, Gateway, Principal};
use crate::http::core::context::RequestContext;
use crate::http::core::shared::Shared;
use crate::http::settings::ApiAuth;
use crate::process::Holder;

/// `X-API-Key`, one of the three ways to send a key (`docs/http-api.md`, G5.1).
static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

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

    /// Returns the challenge of a 401 (RFC 9110, section 15.5.2; RFC 6750, section 3).
    pub(in crate::http) fn challenge(&self) -> HeaderValue {
        match self {
            AuthError::Missing | AuthError::Unproven { .. } => {
                HeaderValue::from_static("Bearer realm=\"mcp\"")
            }
            AuthError::Refused { .. } | AuthError::RoleTooLow | AuthError::TooMany { .. } => {
                HeaderValue::from_static("Bearer realm=\"mcp\", error=\"invalid_token\"")
            }
        }
    }

    /// Returns the note for the log.
    pub(in crate::http) fn failed_login(&self) -> FailedLogin {
        match self {
            AuthError::Refused { prefix, .. } => FailedLogin { prefix: prefix.clone(), why: None },
            AuthError::Unproven { why } => FailedLogin { prefix: String::new(), why: Some(why) },
            AuthError::Missing | AuthError::RoleTooLow | AuthError::TooMany { .. } => {
                FailedLogin { prefix: String::new(), why: None }
            }
        }
    }
}

/// Finds a key in a request and reports its rate, and does nothing between: for the bench. Returns the length of
/// the key that was found.
#[cfg(feature = "bench")]
pub fn read_and_tell(
    request: &HeaderMap,
    answer: &mut HeaderMap,
    caller: &Principal,
    reading: &crate::gateway::RateReading,
) -> usize {
    let context =
        RequestContext::new(crate::http::server::peer::Peer::at([127, 0, 0, 1].into()).into(), true);
    context.told(caller.clone(), Some(*reading), clock::wall_clock());
    context.put_rate_on(answer);
    match credential(request) {
        Credential::Token(token) => token.len(),
        Credential::None | Credential::Unusable => 0,
    }
}

/// Returns the guard's state of a routed request. A request without it came past the guard and is let in nowhere.
pub(in crate::http) fn request_context(parts: &Parts) -> Result<&Arc<RequestContext>, AuthError> {
    parts.extensions.get::<Arc<RequestContext>>().ok_or(AuthError::Missing)
}

/// Checks that the request provably comes from the daemon's own user, on this machine and from none of its
/// servers. `Err` holds the reason against it.
async fn prove_nearness(context: &RequestContext) -> Result<(), AuthError> {
    let unproven = |why| Err(AuthError::Unproven { why });
    if !context.claims_nearness {
        return unproven("the request was passed on, or is not addressed to this machine's loopback");
    }
    match context.peer.holder().await {
        Holder::OwnUser { .. } => Ok(()),
        Holder::OtherUser { .. } => unproven("this client is another user's than the daemon"),
        Holder::OwnTree { .. } => unproven("this client was started by a server that runs here"),
        Holder::Unknown => unproven("whose this client is could not be found out"),
    }
}

/// Authenticates a request: the one way in for everybody who needs a key. Returns the caller and takes the
/// request from the member's rate limit.
pub(in crate::http) fn identify<'a>(
    shared: &Shared,
    context: &'a RequestContext,
    headers: &HeaderMap,
) -> Result<&'a Principal, AuthError> {
    let now = clock::wall_clock();
    let principal =
        authenticate(&shared.gateway, headers, now).map_err(|denied| shared.failed(context, denied))?;
    let reading = principal.take_request();
    let principal = context.told(principal, reading, now);
    match reading.and_then(|reading| reading.refused) {
        Some(retry_after) => Err(AuthError::TooMany { retry_after }),
        None => Ok(principal),
    }
}

fn authenticate(gateway: &Gateway, headers: &HeaderMap, now: SystemTime) -> Result<Principal, AuthError> {
    match credential(headers) {
        Credential::None => Err(AuthError::Missing),
        Credential::Unusable => {
            Err(AuthError::Refused { refused: CredentialError::Unknown, prefix: String::new() })
        }
        Credential::Token(token) => gateway
            .authenticate(token, now)
            .map_err(|refused| AuthError::Refused { refused, prefix: shown_prefix(token) }),
    }
}

impl Shared {
    /// Counts a bad credential. An address that has sent too many is no longer told why one is bad; a good one is
    /// accepted all the same, so that nobody can shut others out behind one address.
    fn failed(&self, context: &RequestContext, denied: AuthError) -> AuthError {
        // The holder of a key that has ended is no stranger, and is to hear what became of it.
        if !matches!(denied, AuthError::Refused { refused: CredentialError::Unknown, .. }) {
            return denied;
        }
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.failed(context.peer.address(), Instant::now()) {
            Some(retry_after) => AuthError::TooMany { retry_after },
            None => denied,
        }
    }
}

/// Admits a request to `/api`, or returns the reason against it (`docs/http-api.md`, M1.1 and G5.2). A credential
/// that is sent is used or refused, whoever sends it: a key that does not count makes nobody somebody else.
pub(in crate::http) async fn admit_to_api(shared: &Shared, parts: &Parts) -> Result<Principal, AuthError> {
    let context = request_context(parts)?;
    let keyless = match (shared.settings.api_auth, credential(&parts.headers)) {
        (ApiAuth::Off, Credential::None) => Some(shared.gateway.anybody()),
        (ApiAuth::Off, _) if is_for_a_proxy(&parts.headers) => Some(shared.gateway.anybody()),
        (ApiAuth::Auto, Credential::None) => {
            prove_nearness(context).await?;
            Some(shared.gateway.local_operator())
        }
        _ => None,
    };
    if let Some(caller) = keyless {
        context.told(caller.clone(), None, SystemTime::UNIX_EPOCH);
        return Ok(caller);
    }
    let principal = identify(shared, context, &parts.headers)?;
    match principal.role().may_administer() && principal.permissions().are_unlimited() {
        true => Ok(principal.clone()),
        false => Err(AuthError::RoleTooLow),
    }
}

/// Admits an MCP client: the daemon's own user as `mcp.auth` says, or the holder of a key that may call tools. Takes nothing
/// from the rate limits; see [`take_request`].
pub(in crate::http) async fn admit_client(
    shared: &Shared,
    context: &RequestContext,
    headers: &HeaderMap,
) -> Result<Principal, AuthError> {
    match (shared.settings.mcp.auth, credential(headers)) {
        (ApiAuth::Off, Credential::None) => return Ok(shared.gateway.anybody()),
        (ApiAuth::Off, _) if is_for_a_proxy(headers) => return Ok(shared.gateway.anybody()),
        (ApiAuth::Auto, Credential::None) => {
            prove_nearness(context).await?;
            return Ok(shared.gateway.local_operator());
        }
        _ => {}
    }
    let now = clock::wall_clock();
    let principal =
        authenticate(&shared.gateway, headers, now).map_err(|denied| shared.failed(context, denied))?;
    match principal.role().may_invoke() {
        true => Ok(principal),
        false => Err(AuthError::RoleTooLow),
    }
}

/// Takes a request of a caller from its rate limits, unless it is free, and has the answer tell what is left.
pub(in crate::http) fn take_request(
    context: &RequestContext,
    caller: &Principal,
    is_free: bool,
) -> Result<(), AuthError> {
    let reading = if is_free { None } else { caller.take_request() };
    context.told(caller.clone(), reading, clock::wall_clock());
    match reading.and_then(|reading| reading.refused) {
        Some(retry_after) => Err(AuthError::TooMany { retry_after }),
        None => Ok(()),
    }
}

/// Admits a request to data about all servers, such as the metrics: from the daemon's own user without a key, and
/// with every key that may use all servers.
pub(in crate::http) async fn admit_to_metrics(shared: &Shared, parts: &Parts) -> Result<(), AuthError> {
    let context = request_context(parts)?;
    if credential(&parts.headers) == Credential::None {
        return prove_nearness(context).await;
    }
    match identify(shared, context, &parts.headers)?.permissions().allow_all_mcps() {
        true => Ok(()),
        false => Err(AuthError::RoleTooLow),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Credential<'a> {
    None,
    /// Present, but unreadable, of another scheme, or one of two that differ.
    Unusable,
    Token(&'a str),
}

/// Reports whether a request has a credential of any kind, good or not.
pub(in crate::http) fn carries_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(&X_API_KEY)
}

/// Returns the key in `Authorization: Bearer`, `Authorization: ApiKey` or `X-API-Key`. The same key may be sent
/// in several ways; different ones are no credential at all.
fn credential(headers: &HeaderMap) -> Credential<'_> {
    let by_scheme = |value| text_of(value).and_then(in_scheme);
    let plain = |value| text_of(value).map(str::trim_ascii);
    // One walk over few headers costs less than two look-ups by name.
    if headers.len() <= WALKED {
        return one_of(headers.iter().filter_map(|(name, value)| match name {
            name if name == AUTHORIZATION => Some(by_scheme(value)),
            name if *name == X_API_KEY => Some(plain(value)),
            _ => None,
        }));
    }
    let authorization = headers.get_all(AUTHORIZATION).iter().map(by_scheme);
    one_of(authorization.chain(headers.get_all(&X_API_KEY).iter().map(plain)))
}

/// Number of headers up to which all of them are looked at.
const WALKED: usize = 6;

fn text_of(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

/// Returns the only token among those that were sent, `None` for one that cannot be read.
fn one_of<'a>(sent: impl Iterator<Item = Option<&'a str>>) -> Credential<'a> {
    let mut found = Credential::None;
    for token in sent {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Credential::Unusable };
        match found {
            Credential::Token(before) if before != token => return Credential::Unusable,
            _ => found = Credential::Token(token),
        }
    }
    found
}

/// Reports whether the only credential is a password that a proxy asks its own clients for and passes on. With
/// `api.auth = "off"` such a proxy before the daemon keeps others out.
fn is_for_a_proxy(headers: &HeaderMap) -> bool {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(only), None) = (given.next(), given.next()) else { return false };
    let scheme = only.to_str().ok().and_then(|value| value.trim().split(' ').next()).unwrap_or_default();
    ["basic", "digest", "negotiate"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
        && !headers.contains_key(&X_API_KEY)
}

fn in_scheme(value: &str) -> Option<&str> {
    let value = value.trim_ascii();
    let (scheme, token) = value.split_at_checked(value.bytes().position(|byte| byte == b' ')?)?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("apikey");
    known.then(|| token.trim_ascii())
}

/// Returns the first characters of a key, at most 11 as lists of keys show them, and never more than a quarter.
fn shown_prefix(token: &str) -> String {
    let shown = (token.chars().count() / 4).min(11);
    token.chars().take(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in given {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn three_ways_to_send_a_key() {
        for given in [
            ("authorization", "Bearer k"),
            ("authorization", "bEARER   k "),
            ("authorization", "ApiKey k"),
            ("x-api-key", "k"),
        ] {
            assert_eq!(credential(&headers(&[given])), Credential::Token("k"), "{given:?}");
        }
        assert_eq!(credential(&headers(&[])), Credential::None);
    }

    #[test]
    fn the_same_key_twice_is_one_and_different_keys_are_none() {
        let same = headers(&[("authorization", "Bearer k"), ("x-api-key", "k")]);
        assert_eq!(credential(&same), Credential::Token("k"));
        for other in [
            [("authorization", "Bearer k"), ("x-api-key", "l")],
            [("authorization", "Bearer k"), ("authorization", "Bearer l")],
            [("authorization", "Basic abc"), ("x-api-key", "k")],
        ] {
            assert_eq!(credential(&headers(&other)), Credential::Unusable, "{other:?}");
        }
    }

    #[test]
    fn garbled_credentials_are_unusable_not_missing() {
        for value in ["Bearer", "Bearer ", "Basic abc", "k", "", "Bearer \u{e9}"] {
            let mut map = HeaderMap::new();
            map.insert(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            assert_eq!(credential(&map), Credential::Unusable, "{value:?}");
        }
    }

    #[test]
    fn the_log_never_sees_enough_of_a_key() {
        assert_eq!(shown_prefix("pk_live_0123456789012345678901234567890123456789abc"), "pk_live_012");
        assert_eq!(shown_prefix("short"), "s");
    }

    #[test]
    fn the_challenge_names_an_error_only_when_something_was_sent() {
        assert_eq!(AuthError::Missing.challenge(), "Bearer realm=\"mcp\"");
        let refused = AuthError::Refused { refused: CredentialError::Unknown, prefix: String::new() };
        assert_eq!(refused.challenge(), "Bearer realm=\"mcp\", error=\"invalid_token\"");
    }
}
