//! Who gives out the tokens of a remote server, by its own documents. Pure: texts in, addresses and checked documents out
//! (RFC 9728, RFC 8414, OpenID Connect Discovery; `remote-upstreams.md`, R61 and R62).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Where the metadata of a protected resource may be, in order: what its challenge names, or else below its path and below
/// its root.
pub(super) fn resource_metadata_urls(resource: &Url, challenge: Option<&str>) -> Vec<Url> {
    let named = challenge.and_then(|challenge| parameter(challenge, "resource_metadata"));
    if let Some(named) = named.and_then(|text| resource.join(&text).ok()) {
        return vec![named];
    }
    well_known(resource, "oauth-protected-resource")
}

/// Where the metadata of an authorization server may be, in order: RFC 8414, then OpenID Connect, inserted before the
/// issuer's path and then appended to it.
pub(super) fn server_metadata_urls(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_query(None);
        url.set_path(&path);
        url
    };
    let mut urls = vec![
        at(format!("/.well-known/oauth-authorization-server{path}")),
        at(format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        urls.push(at(format!("{path}/.well-known/openid-configuration")));
    }
    urls
}

fn well_known(resource: &Url, name: &str) -> Vec<Url> {
    let path = resource.path().trim_end_matches('/');
    let at = |path: &str| {
        let mut url = resource.clone();
        url.set_query(None);
        url.set_path(path);
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url
    };
    let root = format!("/.well-known/{name}");
    match path.is_empty() {
        true => vec![at(&root)],
        false => vec![at(&format!("{root}{path}")), at(&root)],
    }
}

/// Returns a parameter of a challenge (`WWW-Authenticate`; RFC 9110, section 11.2); `None` if it has none of this name.
pub(super) fn parameter(challenge: &str, name: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some(at) = rest.find('=') {
        let before = rest[..at].trim_end();
        let found = before.rsplit([' ', ',', '\t']).next().unwrap_or_default().eq_ignore_ascii_case(name);
        let (value, after) = value_of(rest[at + 1..].trim_start());
        if found {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// Reads a token or a quoted text; returns it and what stands behind it.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let (mut value, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(c),
        }
    }
    (value, "")
}

/// Metadata of a protected resource (RFC 9728).
#[derive(Debug, Deserialize)]
pub(super) struct ResourceMetadata {
    pub(super) resource: String,
    #[serde(default)]
    pub(super) authorization_servers: Vec<String>,
    #[serde(default)]
    pub(super) scopes_supported: Option<Vec<String>>,
}

impl ResourceMetadata {
    /// Reports whether it is about this address: the same, or one above it in the same origin.
    pub(super) fn is_of(&self, address: &Url) -> bool {
        let Ok(resource) = Url::parse(&self.resource) else { return false };
        let (above, own) = (resource.path().trim_end_matches('/'), address.path());
        let below = own.strip_prefix(above);
        resource.origin() == address.origin()
            && below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
    }
}

/// Metadata of an authorization server (RFC 8414), as far as it is read.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct ServerMetadata {
    pub(super) issuer: String,
    pub(super) token_endpoint: String,
    #[serde(default)]
    pub(super) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) registration_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    code_challenge_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    scopes_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl ServerMetadata {
    /// Makes the metadata of a server of which only the token endpoint is used.
    pub(super) fn pinned(issuer: String, token_endpoint: String) -> ServerMetadata {
        ServerMetadata { issuer, token_endpoint, ..ServerMetadata::default() }
    }

    fn takes(&self, method: &str) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_deref().unwrap_or_default();
        methods.iter().any(|known| known == method)
    }

    /// Reports whether a client may send its secret in the body only, and not in a header.
    pub(super) fn wants_secret_in_body(&self) -> bool {
        self.takes("client_secret_post") && !self.takes("client_secret_basic")
    }

    /// Reports whether clients say who they are without a secret only.
    pub(super) fn takes_no_secret(&self) -> bool {
        self.takes("none") && !self.takes("client_secret_post") && !self.takes("client_secret_basic")
    }

    /// Reports whether it takes PKCE with S256, or does not say.
    pub(super) fn takes_s256(&self) -> bool {
        let methods = self.code_challenge_methods_supported.as_deref();
        methods.is_none_or(|methods| methods.iter().any(|method| method == "S256"))
    }
}

/// A client that was registered (RFC 7591).
#[derive(Debug, Deserialize)]
pub(super) struct Registration {
    pub(super) client_id: String,
    #[serde(default)]
    pub(super) client_secret: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint_auth_method: Option<String>,
}

impl Registration {
    /// Reports whether the secret goes into the body; `None` if that is left open.
    pub(super) fn wants_secret_in_body(&self) -> Option<bool> {
        let method = self.token_endpoint_auth_method.as_deref()?;
        Some(method == "client_secret_post")
    }
}

/// Returns what a client says of itself when it is registered: a program on somebody's machine, which gets its answer
/// there.
pub(super) fn client_metadata(redirect_uri: &str, server: &ServerMetadata) -> String {
    let method = match () {
        () if server.takes("none") => "none",
        () if server.wants_secret_in_body() => "client_secret_post",
        () if server.takes("client_secret_basic") => "client_secret_basic",
        () => "none",
    };
    json!({
        "client_name": "mcpvisor",
        "redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": "native",
    })
    .to_string()
}

/// Returns the scopes of both texts, each once; `None` if there are none.
pub(super) fn union(one: Option<&str>, other: Option<&str>) -> Option<String> {
    let mut all: Vec<&str> = Vec::new();
    for scope in one.into_iter().chain(other).flat_map(str::split_ascii_whitespace) {
        if !all.contains(&scope) {
            all.push(scope);
        }
    }
    (!all.is_empty()).then(|| all.join(" "))
}

/// Adds the scope by which refresh tokens are asked for, where the server knows it (R63).
pub(super) fn with_offline_access(scope: Option<String>, server: &ServerMetadata) -> Option<String> {
    let known = server.scopes_supported.as_deref().unwrap_or_default();
    match known.iter().any(|scope| scope == OFFLINE) {
        true => union(scope.as_deref(), Some(OFFLINE)),
        false => scope,
    }
}

const OFFLINE: &str = "offline_access";

/// Checks who sent the answer to an authorization request (RFC 9207, section 2.4): text for text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_issuer(server: &ServerMetadata, said: Option<&str>) -> Result<(), String> {
    match said {
        Some(said) if said == server.issuer => Ok(()),
        Some(_) => Err("the answer came from another authorization server than was asked".to_owned()),
        None if server.authorization_response_iss_parameter_supported => Err(
            "the answer does not say which authorization server it is from, and this one says that it does"
                .to_owned(),
        ),
        None => Ok(()),
    }
}

/// Returns a text that nobody can guess: 256 bits.
pub(super) fn random_text() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Request that a person's browser makes (RFC 6749, section 4.1.1; RFC 7636).
pub(super) struct AuthorizationRequest<'a> {
    pub(super) endpoint: &'a str,
    pub(super) client_id: &'a str,
    pub(super) redirect_uri: &'a str,
    pub(super) scope: Option<&'a str>,
    pub(super) state: &'a str,
    pub(super) verifier: &'a str,
    pub(super) resource: Option<String>,
}

impl AuthorizationRequest<'_> {
    /// Returns its address; `None` if the endpoint is none that a browser opens.
    pub(super) fn url(&self) -> Option<String> {
        let mut url =
            Url::parse(self.endpoint).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier));
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri)
            .append_pair("state", self.state)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(scope) = self.scope {
            query.append_pair("scope", scope);
            // Without it, one that follows OpenID gives no refresh token (OpenID Connect Core 1.0, section 11).
            if scope.split(' ').any(|word| word == OFFLINE) {
                query.append_pair("prompt", "consent");
            }
        }
        if let Some(resource) = &self.resource {
            query.append_pair("resource", resource);
        }
        drop(query);
        Some(url.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    fn texts(urls: &[Url]) -> Vec<&str> {
        urls.iter().map(Url::as_str).collect()
    }

    #[test]
    fn metadata_is_looked_for_where_the_challenge_says_or_below_path_and_root() {
        let resource = url("https://u:p@h/a/mcp?k=1");
        let challenge =
            r#"Bearer error="invalid_token", resource_metadata="https://h/custom.json", scope="a b""#;
        assert_eq!(texts(&resource_metadata_urls(&resource, Some(challenge))), ["https://h/custom.json"]);
        assert_eq!(
            texts(&resource_metadata_urls(&resource, Some("Bearer"))),
            [
                "https://h/.well-known/oauth-protected-resource/a/mcp",
                "https://h/.well-known/oauth-protected-resource"
            ]
        );
        assert_eq!(resource_metadata_urls(&url("https://h/"), None).len(), 1);
        assert_eq!(
            texts(&server_metadata_urls(&url("https://h/t1"))),
            [
                "https://h/.well-known/oauth-authorization-server/t1",
                "https://h/.well-known/openid-configuration/t1",
                "https://h/t1/.well-known/openid-configuration",
            ]
        );
        assert_eq!(server_metadata_urls(&url("https://h")).len(), 2);
    }

    #[test]
    fn parameters_of_a_challenge_are_read_quoted_or_not() {
        let challenge = r#"Bearer realm="a, \"scope=x\"",scope=b , Error = "insufficient_scope""#;
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("b"));
        assert_eq!(parameter(challenge, "error").as_deref(), Some("insufficient_scope"));
        assert_eq!(parameter(challenge, "realm").as_deref(), Some("a, \"scope=x\""));
        assert_eq!(parameter(challenge, "resource_metadata"), None);
    }

    #[test]
    fn metadata_of_another_resource_is_known() {
        let of = |resource: &str| {
            let metadata = ResourceMetadata {
                resource: resource.to_owned(),
                authorization_servers: vec![],
                scopes_supported: None,
            };
            metadata.is_of(&url("https://h/a/mcp"))
        };
        for good in ["https://h/a/mcp", "https://h/a", "https://h/", "https://h"] {
            assert!(of(good), "{good}");
        }
        for bad in
            ["https://h/a/m", "https://h/b", "http://h/a/mcp", "https://h:8/a/mcp", "https://evil/a/mcp", "x"]
        {
            assert!(!of(bad), "{bad}");
        }
    }

    #[test]
    fn who_answers_is_checked_text_for_text() {
        let server = |says: bool| ServerMetadata {
            issuer: "https://as".to_owned(),
            authorization_response_iss_parameter_supported: says,
            ..ServerMetadata::default()
        };
        for says in [true, false] {
            assert!(check_issuer(&server(says), Some("https://as")).is_ok());
            assert!(check_issuer(&server(says), Some("https://as/")).is_err(), "no other spelling");
            assert!(check_issuer(&server(says), Some("https://evil")).is_err());
        }
        assert!(check_issuer(&server(false), None).is_ok());
        assert!(check_issuer(&server(true), None).is_err());
    }

    #[test]
    fn scopes_add_up_and_refresh_tokens_are_asked_for_where_that_is_known() {
        assert_eq!(union(Some("a b"), Some("b c")).as_deref(), Some("a b c"));
        assert_eq!((union(None, None), union(Some(" "), None)), (None, None));
        let knows = |scopes: &[&str]| ServerMetadata {
            scopes_supported: Some(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
            ..ServerMetadata::default()
        };
        let asked = |server: &ServerMetadata| with_offline_access(Some("a".to_owned()), server);
        assert_eq!(asked(&knows(&["a", "offline_access"])).as_deref(), Some("a offline_access"));
        assert_eq!(asked(&knows(&["a"])).as_deref(), Some("a"));
        assert_eq!(with_offline_access(None, &ServerMetadata::default()), None);
    }

    #[test]
    fn a_browser_is_sent_with_a_challenge_and_the_resource() {
        let request = AuthorizationRequest {
            endpoint: "https://as/authorize?tenant=1",
            client_id: "c",
            redirect_uri: "http://127.0.0.1:1/callback",
            scope: Some("a b"),
            state: "s",
            verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            resource: Some("https://h/mcp".to_owned()),
        };
        let url = request.url().expect("an address");
        // The pair of RFC 7636, appendix B.
        assert!(url.contains("code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"), "{url}");
        assert!(url.starts_with("https://as/authorize?tenant=1&response_type=code&client_id=c&"), "{url}");
        assert!(url.contains("scope=a+b&resource=https%3A%2F%2Fh%2Fmcp"), "{url}");
        assert_eq!(AuthorizationRequest { endpoint: "javascript:x", ..request }.url(), None);
    }

    proptest! {
        #[test]
        fn no_challenge_makes_the_reader_fail(challenge in "\\PC{0,80}|[a-z=\", \\\\]{0,60}") {
            for name in ["scope", "error", ""] {
                parameter(&challenge, name);
            }
        }

        #[test]
        fn what_is_quoted_is_read_back(value in "[a-z ,=\"\\\\]{0,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let challenge = format!("Bearer x=\"{quoted}\", scope=\"{quoted}\"");
            prop_assert_eq!(parameter(&challenge, "scope"), Some(value));
        }
    }
}
