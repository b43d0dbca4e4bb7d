//! The documents of the issuer: where its keys are, and the keys. The only connections that are made for tokens. Nothing
//! is sent but the addresses of the documents.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::settings::{OidcSettings, is_safe_url};

/// Longest document that is read, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;
/// Time to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Time to wait for a whole document.
const WHOLE: Duration = Duration::from_secs(10);

/// Failure to read a document.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url}: it answered {status}, and redirects are not followed")]
    Status { url: String, status: StatusCode },
    #[error("{url}: the document is longer than {MAX_DOCUMENT} bytes")]
    TooLong { url: String },
    #[error("{url}: {reason}")]
    Unusable { url: String, reason: &'static str },
}

/// The issuer.
pub(super) struct Issuer {
    settings: Arc<OidcSettings>,
    /// Made when it is first needed: it reads the certificates of the system.
    client: OnceLock<Client>,
}

impl Issuer {
    pub(super) fn new(settings: Arc<OidcSettings>) -> Issuer {
        Issuer { settings, client: OnceLock::new() }
    }

    /// Reads the document with the keys: from its configured address, or where the issuer says that it is.
    pub(super) async fn keys(&self) -> Result<Vec<u8>, FetchError> {
        match &self.settings.jwks_url {
            Some(url) => self.read(url).await,
            None => self.read(&self.discover().await?).await,
        }
    }

    /// Returns the address of the keys by OpenID Connect Discovery, else by RFC 8414.
    async fn discover(&self) -> Result<String, FetchError> {
        let [openid, oauth] = well_known(&self.settings.issuer);
        match self.read(&openid).await {
            Ok(document) => keys_address(&self.settings.issuer, openid, &document),
            // Not every authorization server is one of OpenID Connect.
            Err(FetchError::Status { .. }) => {
                let document = self.read(&oauth).await?;
                keys_address(&self.settings.issuer, oauth, &document)
            }
            Err(error) => Err(error),
        }
    }

    async fn read(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let failed =
            |error: &reqwest::Error| FetchError::Unreachable { url: url.to_owned(), reason: whole(error) };
        let client = self.client().map_err(|error| failed(&error))?;
        let request = client.get(url).header("accept", "application/json");
        let mut response = request.send().await.map_err(|error| failed(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            return Err(FetchError::Status { url: url.to_owned(), status });
        }
        let mut document = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| failed(&error))? {
            if document.len() + piece.len() > MAX_DOCUMENT {
                return Err(FetchError::TooLong { url: url.to_owned() });
            }
            document.extend_from_slice(&piece);
        }
        Ok(document)
    }

    fn client(&self) -> Result<&Client, reqwest::Error> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // There is one already if this process serves TLS; which one that is does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            // Keys are taken from whom the operator has named, and from nobody whom that one names.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mcpvisor/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(self.client.get_or_init(|| made))
    }
}

/// Returns the addresses of an issuer's metadata: of OpenID Connect Discovery, behind its path, and of RFC 8414, before it.
fn well_known(issuer: &str) -> [String; 2] {
    let issuer = issuer.strip_suffix('/').unwrap_or(issuer);
    let begin = issuer.find("://").map_or(0, |at| at + 3);
    let (origin, path) = issuer.split_at(issuer[begin..].find('/').map_or(issuer.len(), |at| begin + at));
    [
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{origin}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// Reads the address of the keys from the metadata of an issuer, which has to be that issuer's (RFC 8414, section 3.3).
fn keys_address(issuer: &str, url: String, document: &[u8]) -> Result<String, FetchError> {
    let unusable = |reason| FetchError::Unusable { url: url.clone(), reason };
    let document: Value = serde_json::from_slice(document).map_err(|_| unusable("it is not JSON"))?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(unusable("its issuer is not auth.oidc.issuer, to the letter"));
    }
    let address = document.get("jwks_uri").and_then(Value::as_str);
    let address = address.ok_or_else(|| unusable("it has no jwks_uri"))?;
    let is_usable =
        is_safe_url(address) && (address.starts_with("https://") || issuer.starts_with("http://"));
    if !is_usable {
        return Err(unusable("its jwks_uri is no https address"));
    }
    Ok(address.to_owned())
}

/// Returns an error with its causes, in one line.
fn whole(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_looked_for_behind_the_path_and_before_it() {
        for (issuer, openid, oauth) in [
            ("https://a.example", "https://a.example/.well-known/openid-configuration", ""),
            ("https://a.example/", "https://a.example/.well-known/openid-configuration", ""),
            ("https://a.example:1/r/x", "https://a.example:1/r/x/.well-known/openid-configuration", "/r/x"),
        ] {
            let [one, other] = well_known(issuer);
            assert_eq!(one, openid);
            assert!(other.ends_with(&format!("/.well-known/oauth-authorization-server{oauth}")), "{other}");
            assert!(other.starts_with("https://a.example") && !other.contains("//.well"), "{other}");
        }
    }

    #[test]
    fn metadata_of_another_issuer_or_with_unsafe_keys_is_refused() {
        let read = |issuer: &str, document: Value| {
            keys_address(issuer, "u".to_owned(), document.to_string().as_bytes()).ok()
        };
        let of = |issuer: &str, keys: &str| json!({"issuer": issuer, "jwks_uri": keys});
        let issuer = "https://a.example";
        assert!(read(issuer, of(issuer, "https://keys.example/k")).is_some());
        assert!(read(issuer, of("https://a.example/", "https://keys.example/k")).is_none());
        assert!(read(issuer, of(issuer, "http://127.0.0.1/k")).is_none());
        assert!(read(issuer, of(issuer, "http://keys.example/k")).is_none());
        assert!(read(issuer, json!({"issuer": issuer})).is_none() && read(issuer, json!([])).is_none());
        let local = "http://127.0.0.1:1";
        assert!(read(local, of(local, "http://127.0.0.1:1/k")).is_some());
        assert!(read(local, of(local, "http://keys.example/k")).is_none());
    }
}
