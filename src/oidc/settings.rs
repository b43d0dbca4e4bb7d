//! Settings of `[auth.oidc]`. All values here have been checked.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use crate::access::{Permissions, Role};

/// Signature algorithm of a token (RFC 7518, RFC 8037). There is none here that the holder of a public key can sign
/// with: neither `none` nor HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Every algorithm, with its name in tokens and settings.
    pub const ALL: [(&'static str, SigningAlgorithm); 9] = [
        ("RS256", SigningAlgorithm::Rs256),
        ("RS384", SigningAlgorithm::Rs384),
        ("RS512", SigningAlgorithm::Rs512),
        ("PS256", SigningAlgorithm::Ps256),
        ("PS384", SigningAlgorithm::Ps384),
        ("PS512", SigningAlgorithm::Ps512),
        ("ES256", SigningAlgorithm::Es256),
        ("ES384", SigningAlgorithm::Es384),
        ("EdDSA", SigningAlgorithm::EdDsa),
    ];
}

/// Settings of the resource server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcSettings {
    /// Address of the authorization server: the `iss` of its tokens, to the letter.
    pub issuer: String,
    /// Origin at which clients reach this daemon; its resources are below.
    pub public_url: String,
    /// Values of `aud` that are accepted at every path. If empty, a token has to name the resource, or one above it.
    pub audience: Vec<String>,
    /// Address of the keys; `None` if it is discovered.
    pub jwks_url: Option<String>,
    /// Algorithms that a token may be signed with.
    pub algorithms: Vec<SigningAlgorithm>,
    /// Name of the claim that tells subjects apart.
    pub principal: String,
    /// Name of the claim that `roles` is about; of a member of an object with dots between the names.
    pub role_claim: String,
    /// Roles by the values of that claim; the highest counts.
    pub roles: BTreeMap<String, Role>,
    /// Role of a token that has none of these values.
    pub default_role: Role,
    /// Name of the claim that `permissions` is about.
    pub permission_claim: String,
    /// Permissions by the values of that claim, with names or ids of servers; they add up. If empty, nothing is limited.
    pub permissions: BTreeMap<String, Permissions>,
    /// Scopes that a token must have, all of them.
    pub required_scopes: Vec<String>,
    /// Name of the plan of the subjects; `None` for the organization's.
    pub plan: Option<Arc<str>>,
    /// Difference that is allowed for between the issuer's clock and the own.
    pub leeway: Duration,
}

impl OidcSettings {
    /// Returns the settings for an issuer and an own address, with the defaults for everything else.
    pub fn new(issuer: String, public_url: String) -> OidcSettings {
        OidcSettings {
            issuer,
            public_url,
            audience: Vec::new(),
            jwks_url: None,
            algorithms: SigningAlgorithm::ALL.map(|(_, algorithm)| algorithm).to_vec(),
            principal: "sub".to_owned(),
            role_claim: "roles".to_owned(),
            roles: BTreeMap::new(),
            default_role: Role::Viewer,
            permission_claim: "scope".to_owned(),
            permissions: BTreeMap::new(),
            required_scopes: Vec::new(),
            plan: None,
            leeway: Duration::from_secs(60),
        }
    }
}

impl OidcSettings {
    /// Reports whether any token may call tools.
    pub fn lets_call(&self) -> bool {
        self.roles.values().chain([&self.default_role]).any(|role| role.may_invoke())
    }
}

/// Reports whether nobody between can read or change what is sent to an address: it is `https`, or `http` to this
/// machine's loopback. It has neither a user, nor a query or fragment, nor characters that an address cannot have.
pub fn is_safe_url(text: &str) -> bool {
    let usable = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>' | '?' | '#' | '@');
    if !text.chars().all(usable) {
        return false;
    }
    let authority = |rest: &str| rest.split('/').next().unwrap_or_default().to_owned();
    if let Some(rest) = text.strip_prefix("https://") {
        return !authority(rest).is_empty();
    }
    text.strip_prefix("http://").is_some_and(|rest| is_loopback(&authority(rest)))
}

/// Reports whether a host, with or without a port, is this machine's loopback.
fn is_loopback(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let address = rest.split(']').next().unwrap_or_default();
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    let host = authority.split(':').next().unwrap_or_default();
    host == "localhost" || host.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_do_without_tls() {
        for good in [
            "https://id.example/realms/a",
            "https://id.example:8443/",
            "http://127.0.0.1:8080/x",
            "http://localhost",
            "http://[::1]:1/",
        ] {
            assert!(is_safe_url(good), "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "http://id.example/",
            "http://127.0.0.1.example/",
            "http://localhost.example/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "https://user@id.example/",
            "https://id.example/?a=b",
            "https://id.example/#a",
            "https://id.example/ x",
            "https://id.example/\"",
        ] {
            assert!(!is_safe_url(bad), "{bad}");
        }
    }
}
