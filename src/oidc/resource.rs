//! The resources of this daemon as OAuth knows them: their identifiers (RFC 8707), their metadata (RFC 9728), and the
//! challenges that lead there. Pure.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::claims::TokenError;
use super::settings::OidcSettings;

/// Path of the metadata; that of a resource has the resource's path behind it (RFC 9728, section 3.1).
pub const METADATA_PATH: &str = "/.well-known/oauth-protected-resource";

/// Returns the path of the resource that a request to this path is for: an endpoint of MCP is one of its own, everything
/// else is one together. Characters that a challenge or an address cannot have are encoded.
fn resource_path(path: &str) -> String {
    if path != "/mcp" && !path.starts_with("/mcp/") {
        return String::new();
    }
    path.bytes().fold(String::new(), |mut text, byte| {
        match byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'<' | b'>') {
            true => text.push(char::from(byte)),
            false => drop(write!(text, "%{byte:02X}")),
        }
        text
    })
}

/// Returns the metadata of the resource with this path; an empty one is the whole daemon.
pub fn metadata(settings: &OidcSettings, path: &str) -> Value {
    let mut document = json!({
        "resource": format!("{}{}", settings.public_url, resource_path(path)),
        "authorization_servers": [settings.issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "mcpvisor",
    });
    if !settings.required_scopes.is_empty() {
        document["scopes_supported"] = settings.required_scopes.clone().into();
    }
    document
}

/// Returns the challenge of a refused request to this path (RFC 6750, section 3; RFC 9728, section 5.1). `refused` is
/// `None` if no credential was sent, and `Some(None)` for one that is no token.
pub fn challenge(settings: &OidcSettings, path: &str, refused: Option<Option<TokenError>>) -> String {
    let mut text = "Bearer realm=\"mcp\"".to_owned();
    match refused {
        None => {}
        Some(None) => text.push_str(", error=\"invalid_token\""),
        Some(Some(error)) => {
            let code = if error == TokenError::Scope { "insufficient_scope" } else { "invalid_token" };
            let _ = write!(text, ", error=\"{code}\", error_description=\"{error}\"");
        }
    }
    if !settings.required_scopes.is_empty() {
        let _ = write!(text, ", scope=\"{}\"", settings.required_scopes.join(" "));
    }
    let _ =
        write!(text, ", resource_metadata=\"{}{METADATA_PATH}{}\"", settings.public_url, resource_path(path));
    text
}

/// Reports whether a token with this audience may be used at a path: it names a configured audience or, if there is
/// none, this resource or one above it.
pub fn is_for(settings: &OidcSettings, audience: &[String], path: &str) -> bool {
    if !settings.audience.is_empty() {
        return audience.iter().any(|named| settings.audience.contains(named));
    }
    let resource = format!("{}{path}", settings.public_url);
    audience.iter().any(|named| {
        let named = named.strip_suffix('/').unwrap_or(named);
        let rest = resource.strip_prefix(named).filter(|_| named.len() >= settings.public_url.len());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn settings() -> OidcSettings {
        OidcSettings::new("https://id.example/".to_owned(), "https://gw.example".to_owned())
    }

    #[test]
    fn a_challenge_leads_to_the_metadata_of_its_resource() {
        let scoped = OidcSettings { required_scopes: vec!["a".to_owned(), "b".to_owned()], ..settings() };
        assert_eq!(
            challenge(&settings(), "/mcp/demo", None),
            "Bearer realm=\"mcp\", \
             resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource/mcp/demo\""
        );
        assert_eq!(
            challenge(&scoped, "/v1/mcps", Some(Some(TokenError::Scope))),
            "Bearer realm=\"mcp\", error=\"insufficient_scope\", \
             error_description=\"The access token lacks a scope that is required\", scope=\"a b\", \
             resource_metadata=\"https://gw.example/.well-known/oauth-protected-resource\""
        );
        let document = metadata(&scoped, "/mcp/demo");
        assert_eq!(document["resource"], "https://gw.example/mcp/demo");
        assert_eq!(document["authorization_servers"], json!(["https://id.example/"]));
        assert_eq!(document["scopes_supported"], json!(["a", "b"]));
        assert_eq!(metadata(&settings(), "")["resource"], "https://gw.example");
        assert!(metadata(&settings(), "").get("scopes_supported").is_none());
    }

    #[test]
    fn a_token_is_good_at_its_resource_and_below() {
        let at = |audience: &str, path: &str| is_for(&settings(), &[audience.to_owned()], path);
        for (audience, path) in [
            ("https://gw.example/mcp/demo", "/mcp/demo"),
            ("https://gw.example/mcp", "/mcp/demo"),
            ("https://gw.example/mcp", "/mcp"),
            ("https://gw.example/mcp/", "/mcp"),
            ("https://gw.example", "/mcp/demo"),
            ("https://gw.example/", "/v1/mcps"),
            ("https://gw.example/v1", "/v1/mcps"),
        ] {
            assert!(at(audience, path), "{audience} {path}");
        }
        for (audience, path) in [
            ("https://gw.example/mcp/demo", "/mcp"),
            ("https://gw.example/mcp/demo", "/mcp/demo2"),
            ("https://gw.example/mcp/dem", "/mcp/demo"),
            ("https://gw.example/mcp", "/v1/mcps"),
            ("https://gw.exampl", "/mcp"),
            ("https://gw.example.org", "/mcp"),
            ("https:/", "/mcp"),
            ("https://", "/mcp"),
            ("", "/mcp"),
            ("/mcp", "/mcp"),
        ] {
            assert!(!at(audience, path), "{audience} {path}");
        }
        let named = OidcSettings { audience: vec!["api".to_owned()], ..settings() };
        assert!(is_for(&named, &["x".to_owned(), "api".to_owned()], "/v1/mcps"));
        assert!(!is_for(&named, &["https://gw.example/mcp".to_owned()], "/mcp"));
    }

    proptest! {
        #[test]
        fn a_challenge_is_one_header_whatever_the_path(path in "\\PC{0,40}") {
            let text = challenge(&settings(), &format!("/mcp/{path}"), Some(None));
            prop_assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
            prop_assert_eq!(text.matches('"').count(), 6, "{}", text);
        }
    }
}
