//! Credentials: how they are read from a request, and which ones a request needs.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock;
use crate::gateway::{CredentialError, Principal};
use crate::http::core::context::RequestContext;
use crate::http::core::shared::Shared;
use crate::http::settings::ApiAuth;
use crate::oidc::{TokenError, TokenVerifier, is_for, is_jwt};
use crate::process::Holder;
use crate::unix_time;

pub(in crate::http) use crate::http::core::auth_error::{AuthError, FailedLogin};

/// `X-API-Key`, one of the three ways to send a key (`docs/http-api.md`, G5.1).
pub(in crate::http) static X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Time to wait after there was no room for another subject of access tokens: until some have ended.
const ROOM_PAUSE: Duration = Duration::from_secs(60);

/// Finds a key in a request and reports its rate, and does nothing between: for the bench. Returns the length of
/// the key that was found.
#[cfg(feature = "bench")]
pub fn read_and_tell(
    request: &HeaderMap,
    answer: &mut HeaderMap,
    caller: &Principal,
    reading: &crate::gateway::RateReading,
) -> usize {
    let context = RequestContext::new(
        crate::http::server::peer::Peer::at([127, 0, 0, 1].into()).into(),
        true,
        crate::gateway::Origin::default(),
        None,
    );
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

/// Checks that the request to this path provably comes from the daemon's own user, on this machine and from none of its
/// servers. `Err` holds the reason against it.
async fn prove_nearness(shared: &Shared, context: &RequestContext, path: &str) -> Result<(), AuthError> {
    let unproven = |why| Err(AuthError::Unproven { why }.challenging(shared, context, path));
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

/// Authenticates a request to this path: the one way in for everybody who needs a key or an access token. Returns the
/// caller and takes the request from the member's rate limit.
pub(in crate::http) async fn identify<'a>(
    shared: &Shared,
    context: &'a RequestContext,
    path: &str,
    headers: &HeaderMap,
) -> Result<&'a Principal, AuthError> {
    match identify_now(shared, context, path, headers) {
        Err(AuthError::Unverified) => {
            verify(shared, context, path, headers).await;
            identify_now(shared, context, path, headers)
        }
        known => known,
    }
}

/// The same without waiting: an access token that was not verified yet is [`AuthError::Unverified`].
pub(in crate::http) fn identify_now<'a>(
    shared: &Shared,
    context: &'a RequestContext,
    path: &str,
    headers: &HeaderMap,
) -> Result<&'a Principal, AuthError> {
    let now = clock::wall_clock();
    let principal = authenticate(shared, context, headers, now)
        .map_err(|denied| shared.failed(context, denied).challenging(shared, context, path))?;
    let reading = principal.take_request();
    let principal = context.told(principal, reading, now);
    match reading.and_then(|reading| reading.refused) {
        Some(retry_after) => Err(AuthError::TooMany { retry_after }),
        None => Ok(principal),
    }
}

fn authenticate(
    shared: &Shared,
    context: &RequestContext,
    headers: &HeaderMap,
    now: SystemTime,
) -> Result<Principal, AuthError> {
    let seconds = clock::not_before(unix_time::seconds(now));
    if let Some(known) = context.head().and_then(|head| head.accepted(seconds)) {
        return Ok(known);
    }
    let token = match credential(headers) {
        Credential::None => {
            let signed_in = context.signed_in().ok_or(AuthError::Missing)?;
            return signed_in.principal.again(clock::now()).map_err(AuthError::ended);
        }
        Credential::Unusable => {
            return Err(AuthError::Refused { refused: CredentialError::Unknown, prefix: String::new() });
        }
        Credential::Token(token) => token,
    };
    match shared.gateway.authenticate(token, now) {
        Ok(principal) => {
            if let Some(head) = context.head() {
                head.keep_accepted(&principal);
            }
            Ok(principal)
        }
        // Keys come first, so that a call with one costs what it costs where no tokens are accepted.
        Err(CredentialError::Unknown) if shared.tokens.is_some() && is_jwt(token) => {
            context.token().cloned().unwrap_or(Err(AuthError::Unverified))
        }
        Err(refused) => Err(AuthError::Refused { refused, prefix: shown_prefix(token) }),
    }
}

/// Verifies the access token of a request to this path, and keeps the outcome for those who ask who is calling. In a box,
/// so that requests with keys do not carry its state.
pub(in crate::http) fn verify<'a>(
    shared: &'a Shared,
    context: &'a RequestContext,
    path: &'a str,
    headers: &'a HeaderMap,
) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
    Box::pin(async move {
        if let (Some(tokens), Credential::Token(token)) = (&shared.tokens, credential(headers)) {
            let outcome = principal_of(shared, tokens, token, path).await;
            if outcome.is_ok() {
                // Should the token end before the answer.
                let ended = AuthError::Token { why: TokenError::Expired };
                context.keep_challenge(ended.challenge_at(tokens.settings(), path));
            }
            context.keep_token(outcome);
        }
    })
}

async fn principal_of(
    shared: &Shared,
    tokens: &TokenVerifier,
    token: &str,
    path: &str,
) -> Result<Principal, AuthError> {
    let now = clock::wall_clock();
    let settings = tokens.settings();
    let verified = tokens.verify(token, clock::not_before(unix_time::seconds(now))).await;
    let verified = verified.map_err(|why| match why {
        TokenError::Unavailable { retry_after } => {
            AuthError::Unverifiable { why: why.to_string(), retry_after }
        }
        why => AuthError::Token { why },
    })?;
    if !is_for(settings, &verified.audience, path) {
        return Err(AuthError::Token { why: TokenError::Audience });
    }
    if !verified.has_scopes {
        return Err(AuthError::ScopeMissing);
    }
    let admitted = shared.gateway.admit_token(&verified.grant, (&settings.issuer, &verified.subject), now);
    admitted.map_err(|full| AuthError::Unverifiable { why: full.to_string(), retry_after: ROOM_PAUSE })
}

impl AuthError {
    /// Has the answer to a request to this path tell where access tokens come from, if any are accepted.
    fn challenging(self, shared: &Shared, context: &RequestContext, path: &str) -> AuthError {
        if let Some(tokens) = &shared.tokens {
            context.keep_challenge(self.challenge_at(tokens.settings(), path));
        }
        self
    }
}

impl Shared {
    /// Counts a bad credential. An address that has sent too many is no longer told why one is bad; a good one is
    /// accepted all the same, so that nobody can shut others out behind one address.
    fn failed(&self, context: &RequestContext, denied: AuthError) -> AuthError {
        // The holder of a key or token that has ended is no stranger, and is to hear what became of it.
        let is_strange = match &denied {
            AuthError::Refused { refused, .. } => *refused == CredentialError::Unknown,
            AuthError::Token { why } => why.is_forged(),
            _ => false,
        };
        if !is_strange {
            return denied;
        }
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        match attempts.failed(context.peer.address(), Instant::now()) {
            Some(retry_after) => {
                self.gateway.count_refusal("too_many_attempts");
                AuthError::TooMany { retry_after }
            }
            None => denied,
        }
    }
}

/// Admits a request to `/api`, or returns the reason against it (`docs/http-api.md`, M1.1 and G5.2). A credential
/// that is sent is used or refused, whoever sends it: a key that does not count makes nobody somebody else.
pub(in crate::http) async fn admit_to_api(shared: &Shared, parts: &Parts) -> Result<Principal, AuthError> {
    let context = request_context(parts)?;
    let path = parts.uri.path();
    let keyless = match (shared.settings.api_auth, credential(&parts.headers)) {
        (_, Credential::None) if context.signed_in().is_some() => None,
        (ApiAuth::Off, Credential::None) => Some(shared.gateway.anybody()),
        (ApiAuth::Off, _) if is_for_a_proxy(&parts.headers) => Some(shared.gateway.anybody()),
        (ApiAuth::Auto, Credential::None) => {
            prove_nearness(shared, context, path).await?;
            Some(shared.gateway.local_operator())
        }
        _ => None,
    };
    if let Some(caller) = keyless {
        return Ok(context.told(caller, None, SystemTime::UNIX_EPOCH).clone());
    }
    let principal = identify(shared, context, path, &parts.headers).await?;
    match principal.role().may_administer() && principal.permissions().are_unlimited() {
        true => Ok(principal.clone()),
        false => Err(AuthError::RoleTooLow),
    }
}

/// Admits an MCP client to this path: the daemon's own user as `mcp.auth` says, or the holder of a key or an access token
/// that may call tools. Takes nothing from the rate limits; see [`take_request`].
pub(in crate::http) async fn admit_client(
    shared: &Shared,
    context: &RequestContext,
    path: &str,
    headers: &HeaderMap,
) -> Result<Principal, AuthError> {
    match (shared.settings.mcp.auth, credential(headers)) {
        (ApiAuth::Off, Credential::None) => return Ok(shared.gateway.anybody()),
        (ApiAuth::Off, _) if is_for_a_proxy(headers) => return Ok(shared.gateway.anybody()),
        (ApiAuth::Auto, Credential::None) => {
            prove_nearness(shared, context, path).await?;
            return Ok(shared.gateway.local_operator());
        }
        _ => {}
    }
    let mut known = authenticate(shared, context, headers, clock::wall_clock());
    if matches!(known, Err(AuthError::Unverified)) {
        verify(shared, context, path, headers).await;
        known = authenticate(shared, context, headers, clock::wall_clock());
    }
    let principal =
        known.map_err(|denied| shared.failed(context, denied).challenging(shared, context, path))?;
    match principal.role().may_invoke() {
        true => Ok(principal),
        false => Err(AuthError::RoleTooLow),
    }
}

/// Admits somebody who signs in to the dashboard: with any valid key or access token, or without one as `api.auth` says.
pub(in crate::http) async fn admit_to_sign_in(
    shared: &Shared,
    parts: &Parts,
) -> Result<Principal, AuthError> {
    let context = request_context(parts)?;
    let path = parts.uri.path();
    let keyless = match (shared.settings.api_auth, credential(&parts.headers)) {
        (ApiAuth::Off, Credential::None) => shared.gateway.anybody(),
        (ApiAuth::Auto, Credential::None) => {
            prove_nearness(shared, context, path).await?;
            shared.gateway.local_operator()
        }
        _ => return Ok(identify(shared, context, path, &parts.headers).await?.clone()),
    };
    Ok(context.told(keyless, None, SystemTime::UNIX_EPOCH).clone())
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
    let path = parts.uri.path();
    if credential(&parts.headers) == Credential::None {
        return prove_nearness(shared, context, path).await;
    }
    match identify(shared, context, path, &parts.headers).await?.permissions().allow_all_mcps() {
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
    use axum::http::HeaderValue;

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
}
