//! The meaning of a token's claims: whose it is, until when it is good, and what it allows. Pure; the time is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::settings::OidcSettings;
use crate::access::{Permissions, Role, SUBJECT_PREFIX, TokenGrant};
use crate::text::{cut, hex, is_invisible};

/// Longest name of a subject that is shown, in characters.
const MAX_NAME: usize = 200;
/// Longest subject, in bytes.
const MAX_SUBJECT: usize = 1_024;
/// Claims that name a subject for people, the best first.
const NAMES: [&str; 5] = ["name", "preferred_username", "email", "client_id", "azp"];

/// Reason why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// It is no JWT that can be read, or too long.
    Malformed,
    /// It says that it is something else than an access token.
    NotAnAccessToken,
    /// It is signed with an algorithm that is not accepted, or with none.
    Algorithm,
    /// It is signed with a key that the issuer does not publish.
    UnknownKey,
    /// Its signature is not that of its key.
    Signature,
    /// It comes from another issuer.
    Issuer,
    /// It has ended.
    Expired,
    /// It is not valid yet.
    NotYetValid,
    /// It was made for another resource.
    Audience,
    /// A claim that is needed is missing or cannot be used.
    Claim,
    /// It is bound to a key that its sender would have to prove (RFC 9449, RFC 8705), which is not asked for here.
    Bound,
    /// It lacks a scope that is required.
    Scope,
    /// The issuer's keys cannot be had now.
    Unavailable {
        /// Time after which the issuer is asked again.
        retry_after: Duration,
    },
}

impl TokenError {
    /// Returns the reason as a sentence without a full stop, of characters that a challenge may have.
    pub fn text(self) -> &'static str {
        match self {
            TokenError::Malformed => "The access token cannot be read",
            TokenError::NotAnAccessToken => "The token is no access token",
            TokenError::Algorithm => "The access token is signed with an algorithm that is not accepted",
            TokenError::UnknownKey => {
                "The access token is signed with a key that its issuer does not publish"
            }
            TokenError::Signature => "The signature of the access token is wrong",
            TokenError::Issuer => "The access token comes from another issuer",
            TokenError::Expired => "The access token has expired",
            TokenError::NotYetValid => "The access token is not valid yet",
            TokenError::Audience => "The access token was made for another resource",
            TokenError::Claim => "The access token lacks a claim that is needed",
            TokenError::Bound => "The access token is bound to a key, which is not supported here",
            TokenError::Scope => "The access token lacks a scope that is required",
            TokenError::Unavailable { .. } => "The keys of the issuer of access tokens cannot be read now",
        }
    }

    /// Reports whether nobody whom the issuer knows need have made the token.
    pub fn is_forged(self) -> bool {
        use TokenError::{Algorithm, Issuer, Malformed, NotAnAccessToken, Signature, UnknownKey};
        matches!(self, Malformed | NotAnAccessToken | Algorithm | UnknownKey | Signature | Issuer)
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A token whose signature was right, and what its claims say. The time and the audience are asked at each use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedToken {
    /// What it gives to its subject; servers are named as in the settings.
    pub grant: TokenGrant,
    /// Subject as the issuer names it.
    pub subject: String,
    /// Resources that it was made for.
    pub audience: Vec<String>,
    /// Time from which it is valid, in seconds since 1970.
    pub begins_at: u64,
    /// `true` if it has all scopes that are required.
    pub has_scopes: bool,
}

impl VerifiedToken {
    /// Reads the claims of a token whose signature was right.
    pub(super) fn read(
        claims: &Map<String, Value>,
        settings: &OidcSettings,
    ) -> Result<VerifiedToken, TokenError> {
        if claims.get("iss").and_then(Value::as_str) != Some(&settings.issuer) {
            return Err(TokenError::Issuer);
        }
        // Whoever has found such a token could not use it, so it must not be taken from whoever just sends it.
        if claims.contains_key("cnf") {
            return Err(TokenError::Bound);
        }
        let leeway = settings.leeway.as_secs();
        let ends_at = time(claims, "exp")?.ok_or(TokenError::Claim)?.saturating_add(leeway);
        let begins_at = time(claims, "nbf")?.unwrap_or_default().saturating_sub(leeway);
        // What can match nowhere need not be kept.
        let mut audience = texts(claims.get("aud"));
        audience.retain(|named| settings.audience.contains(named) || named.starts_with(&settings.public_url));
        if audience.is_empty() {
            return Err(TokenError::Audience);
        }
        let subject = claim(claims, &settings.principal).and_then(Value::as_str);
        let subject = subject.filter(|subject| (1..=MAX_SUBJECT).contains(&subject.len()));
        let subject = subject.ok_or(TokenError::Claim)?;
        let scopes = scopes(claims);
        let grant = TokenGrant {
            subject: id(&settings.issuer, subject),
            name: name(claims, subject),
            role: role(claims, settings),
            plan: settings.plan.clone(),
            permissions: permissions(claims, settings),
            ends_at,
        };
        let has_scopes = settings.required_scopes.iter().all(|required| scopes.contains(required));
        Ok(VerifiedToken { grant, subject: subject.to_owned(), audience, begins_at, has_scopes })
    }

    /// Refuses a token that has ended at `now`, in seconds since 1970, or is not valid yet.
    pub(super) fn check_time(&self, now: u64) -> Result<(), TokenError> {
        match () {
            () if self.grant.ends_at <= now => Err(TokenError::Expired),
            () if self.begins_at > now => Err(TokenError::NotYetValid),
            () => Ok(()),
        }
    }
}

/// Returns the id of a subject, the same in every run. Subjects of other issuers have others.
fn id(issuer: &str, subject: &str) -> Arc<str> {
    let mut hash = Sha256::new();
    // With its length, so that no other pair has the same bytes.
    hash.update((issuer.len() as u64).to_be_bytes());
    hash.update(issuer);
    hash.update(subject);
    format!("{SUBJECT_PREFIX}{}", hex(&hash.finalize()[..16])).into()
}

/// Returns the claim of this name, or the member of an object that its dots lead to.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(found) = claims.get(name) {
        return Some(found);
    }
    let (outer, inner) = name.split_once('.')?;
    inner.split('.').try_fold(claims.get(outer)?, |value, name| value.get(name))
}

/// Reads a time (RFC 7519, section 2: it may have a fraction). `None` if it is not there.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..9e15).contains(seconds))?;
        Some(seconds as u64)
    });
    seconds.map(Some).ok_or(TokenError::Claim)
}

/// Returns the texts of a claim that is one text or an array of them.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// Returns the scopes: `scope` with blanks between (RFC 9068), or `scp`, as some issuers have it.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let all = texts(claims.get("scope")).into_iter().chain(texts(claims.get("scp")));
    all.flat_map(|text| text.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// Returns the values of a claim; those of scopes one by one.
fn values(claims: &Map<String, Value>, name: &str) -> Vec<String> {
    if matches!(name, "scope" | "scp") { scopes(claims) } else { texts(claim(claims, name)) }
}

fn role(claims: &Map<String, Value>, settings: &OidcSettings) -> Role {
    let named = values(claims, &settings.role_claim);
    let mapped = named.iter().filter_map(|value| settings.roles.get(value).copied());
    mapped.max().unwrap_or(settings.default_role)
}

fn permissions(claims: &Map<String, Value>, settings: &OidcSettings) -> Permissions {
    if settings.permissions.is_empty() {
        return Permissions::default();
    }
    let named = values(claims, &settings.permission_claim);
    Permissions::union(named.iter().filter_map(|value| settings.permissions.get(value)))
}

fn name(claims: &Map<String, Value>, subject: &str) -> String {
    let visible =
        |text: &str| text.chars().filter(|c| !is_invisible(*c)).collect::<String>().trim().to_owned();
    let named = NAMES.iter().filter_map(|name| claims.get(*name).and_then(Value::as_str)).map(visible);
    let name = named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| visible(subject));
    cut(name, MAX_NAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn settings() -> OidcSettings {
        let mut settings =
            OidcSettings::new("https://id.example/".to_owned(), "https://gw.example".to_owned());
        settings.roles = [("ops", Role::Admin), ("dev", Role::Member)]
            .map(|(value, role)| (value.to_owned(), role))
            .into();
        settings
    }

    fn claims() -> Value {
        json!({"iss": "https://id.example/", "sub": "u1", "aud": "https://gw.example/mcp", "exp": 1_000})
    }

    fn read(claims: &Value, settings: &OidcSettings) -> Result<VerifiedToken, TokenError> {
        VerifiedToken::read(claims.as_object().expect("an object"), settings)
    }

    fn with(changes: Value) -> Value {
        let mut all = claims();
        all.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        all
    }

    #[test]
    fn what_a_token_must_have_is_asked_for() {
        let refused = |claims: Value| read(&claims, &settings()).err();
        assert_eq!(refused(claims()), None);
        for missing in ["iss", "sub", "aud", "exp"] {
            let mut claims = claims();
            claims.as_object_mut().expect("an object").remove(missing);
            assert!(refused(claims).is_some(), "{missing}");
        }
        for (changes, error) in [
            (json!({"iss": "https://id.example"}), TokenError::Issuer),
            (json!({"iss": ["https://id.example/"]}), TokenError::Issuer),
            (json!({"exp": "1000"}), TokenError::Claim),
            (json!({"exp": -1}), TokenError::Claim),
            (json!({"nbf": "x"}), TokenError::Claim),
            (json!({"sub": ""}), TokenError::Claim),
            (json!({"sub": 7}), TokenError::Claim),
            (json!({"sub": "x".repeat(MAX_SUBJECT + 1)}), TokenError::Claim),
            (json!({"aud": []}), TokenError::Audience),
            (json!({"aud": 7}), TokenError::Audience),
            (json!({"cnf": {"jkt": "x"}}), TokenError::Bound),
        ] {
            assert_eq!(refused(with(changes.clone())), Some(error), "{changes}");
        }
    }

    #[test]
    fn the_clocks_may_differ_by_the_leeway_and_no_more() {
        let token = read(&with(json!({"nbf": 500.5})), &settings()).expect("good");
        assert_eq!(token.check_time(440), Ok(()));
        assert_eq!(token.check_time(439), Err(TokenError::NotYetValid));
        assert_eq!(token.check_time(1_059), Ok(()));
        assert_eq!(token.check_time(1_060), Err(TokenError::Expired));
        let endless = read(&with(json!({"exp": u64::MAX})), &settings()).expect("good");
        assert_eq!(endless.grant.ends_at, u64::MAX);
    }

    #[test]
    fn the_highest_role_that_is_mapped_counts_and_nothing_else_does() {
        let role = |changes: Value| read(&with(changes), &settings()).expect("good").grant.role;
        assert_eq!(role(json!({})), Role::Viewer);
        assert_eq!(role(json!({"roles": "ops"})), Role::Admin);
        assert_eq!(role(json!({"roles": ["dev", "ops", "x"]})), Role::Admin);
        assert_eq!(role(json!({"roles": ["owner", "admin", "OPS"]})), Role::Viewer);
        assert_eq!(role(json!({"roles": {"ops": true}})), Role::Viewer);
        let nested = OidcSettings { role_claim: "realm_access.roles".to_owned(), ..settings() };
        let token = read(&with(json!({"realm_access": {"roles": ["dev"]}})), &nested).expect("good");
        assert_eq!(token.grant.role, Role::Member);
        let by_scope = OidcSettings { role_claim: "scope".to_owned(), ..settings() };
        let token = read(&with(json!({"scope": "openid dev"})), &by_scope).expect("good");
        assert_eq!(token.grant.role, Role::Member);
    }

    #[test]
    fn permissions_are_those_of_all_values_that_are_mapped() {
        let mut limited = settings();
        let of = |value: Value| Permissions::try_from(value).expect("good");
        limited.permissions = [
            ("read".to_owned(), of(json!({"mcps": ["db"], "tools": ["read_*"]}))),
            ("files".to_owned(), of(json!({"mcps": ["files"]}))),
        ]
        .into();
        let given =
            |scope: &str| read(&with(json!({"scope": scope})), &limited).expect("good").grant.permissions;
        assert!(!given("").allow_mcp("db") && !given("other").allow_mcp("db"));
        assert!(given("read").allow_tool("db", "read_x") && !given("read").allow_tool("db", "write"));
        let both = given("files read");
        assert!(both.allow_tool("files", "write") && !both.allow_tool("db", "write") && !both.allow_mcp("x"));
    }

    #[test]
    fn all_scopes_that_are_required_must_be_there() {
        let required = OidcSettings { required_scopes: vec!["a".to_owned(), "b".to_owned()], ..settings() };
        let has = |changes: Value| read(&with(changes), &required).expect("good").has_scopes;
        assert!(has(json!({"scope": "c b a"})) && has(json!({"scp": ["a", "b"]})));
        assert!(!has(json!({"scope": "a"})) && !has(json!({"scope": "ab"})) && !has(json!({})));
    }

    #[test]
    fn subjects_have_ids_of_their_own_and_names_for_people() {
        let told = |changes: Value| read(&with(changes), &settings()).expect("good").grant;
        assert_eq!(told(json!({})).subject, told(json!({"name": "Ann"})).subject);
        assert_ne!(told(json!({})).subject, told(json!({"sub": "u2"})).subject);
        assert_ne!(id("ab", "c"), id("a", "bc"));
        assert_eq!(id("ab", "c").len(), SUBJECT_PREFIX.len() + 32);
        assert_eq!(told(json!({"email": "a@x", "name": " \u{202e}Ann\n"})).name, "Ann");
        assert_eq!(told(json!({"name": "\n"})).name, "u1");
        assert_eq!(told(json!({"name": "x".repeat(300)})).name.chars().count(), MAX_NAME + 1);
    }

    proptest! {
        /// Whatever stands in the claims: a role comes from the mapping or is the default, and no claim panics.
        #[test]
        fn no_claim_gives_more_than_the_mapping(
            roles in prop::collection::vec("ops|dev|owner|admin|[a-z]{0,4}", 0..5),
            exp in any::<f64>(),
            text in "\\PC{0,20}",
        ) {
            let mapped: Vec<Role> = roles.iter().filter_map(|value| settings().roles.get(value).copied()).collect();
            let changes = json!({"roles": roles, "name": text, "scope": text});
            let token = read(&with(changes), &settings()).expect("good");
            prop_assert_eq!(token.grant.role, mapped.into_iter().max().unwrap_or(Role::Viewer));
            let _ = read(&with(json!({"exp": exp, "nbf": exp, "sub": text})), &settings());
        }
    }
}
