//! What is asked of authorization servers: their metadata, tokens and registrations (`remote-upstreams.md`, R61 to R64).
//! Each address is checked before something is sent there.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::address::AddressRules;
use super::fault::{HttpFault, Word};
use super::host::{is_loopback, literal};
use super::network::{network_fault, not_allowed, pause_of};
use super::oauth::{self, ResourceMetadata, ServerMetadata, resource_metadata_urls, server_metadata_urls};

/// Maximum size of a document, in bytes.
const MAX_DOCUMENT: usize = 64 * 1024;
/// Time for one request.
const LIMIT: Duration = Duration::from_secs(10);
/// Time for one request for a token. A refresh token whose answer was not waited for may be used up, and using it again may
/// cost the login.
const TOKEN_LIMIT: Duration = Duration::from_secs(60);

/// Client of the authorization servers of one remote server.
pub(super) struct TokenClient {
    /// One whose addresses are checked.
    pub(super) client: Client,
    pub(super) resource: Url,
    pub(super) rules: Arc<AddressRules>,
    /// Only authorization server to trust; `None` for those that the server names.
    pub(super) issuer: Option<String>,
    /// `true` to say for which resource a token is (RFC 8707).
    pub(super) sends_resource: bool,
}

/// What the documents of a resource lead to.
#[derive(Clone)]
pub(super) struct Found {
    /// Its authorization server.
    pub(super) server: ServerMetadata,
    /// Scope that it wants; `None` if it does not say.
    pub(super) scope: Option<String>,
    /// What it calls itself; `None` if it was not asked.
    pub(super) resource: Option<String>,
}

/// How a client says at the token endpoint who it is.
pub(super) enum Proof<'a> {
    /// It has no secret.
    None,
    /// By its secret, in a header or in the body.
    Secret { secret: &'a str, in_body: bool },
    /// By an assertion that it has signed.
    Assertion(String),
}

impl TokenClient {
    /// Returns the address that tokens are sent to, without its query.
    pub(super) fn address(&self) -> String {
        let mut resource = self.resource.clone();
        resource.set_query(None);
        let _ = resource.set_username("");
        let _ = resource.set_password(None);
        resource.to_string()
    }

    /// Returns for which resource tokens are: as its metadata spells it, or else its address. `None` where that is not to be
    /// said.
    pub(super) fn resource_of_tokens(&self, published: Option<&str>) -> Option<String> {
        self.sends_resource.then(|| published.map_or_else(|| self.address(), str::to_owned))
    }

    /// Finds the authorization server, and the scope that the server would have.
    pub(super) async fn find(&self, challenge: Option<&str>) -> Result<Found, HttpFault> {
        let wrong = |reason: String| HttpFault::unseen(Word::Unauthorized, format!("got no token: {reason}"));
        let urls = resource_metadata_urls(&self.resource, challenge);
        let resource: ResourceMetadata = self
            .first_of(&urls)
            .await?
            .ok_or_else(|| wrong("it names no authorization server".to_owned()))?;
        if !resource.is_of(&self.resource) {
            return Err(HttpFault::unseen(
                Word::Definition,
                "got no token: its metadata is that of another resource; check the url",
            ));
        }
        let asked = challenge.and_then(|challenge| oauth::parameter(challenge, "scope"));
        let scope = asked.or_else(|| resource.scopes_supported.as_ref().map(|scopes| scopes.join(" ")));
        for named in resource.authorization_servers.clone() {
            if self.issuer.as_ref().is_some_and(|wanted| *wanted != named) {
                continue;
            }
            let Ok(issuer) = Url::parse(&named) else { continue };
            let found: Option<ServerMetadata> = self.first_of(&server_metadata_urls(&issuer)).await?;
            match found {
                // Text for text (RFC 8414, section 3.3): whoever is called otherwise is somebody else.
                Some(server) if server.issuer != named => {
                    return Err(wrong(format!("the metadata of {named} is that of another issuer")));
                }
                Some(server) => {
                    let scope = scope.filter(|scope| !scope.is_empty());
                    return Ok(Found { server, scope, resource: Some(resource.resource) });
                }
                None => {}
            }
        }
        Err(wrong("no authorization server that it names has metadata".to_owned()))
    }

    /// Returns the first document that is there; `None` if none is.
    async fn first_of<T: DeserializeOwned>(&self, urls: &[Url]) -> Result<Option<T>, HttpFault> {
        for url in urls {
            self.check(url)?;
            let sent =
                self.client.get(url.clone()).header(ACCEPT, "application/json").timeout(LIMIT).send().await;
            let response = sent.map_err(|error| of_the_way(&network_fault(&error), url))?;
            if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
                let what =
                    format!("got no token: {} answered HTTP {}", host(url), response.status().as_u16());
                let pause = pause_of(response.headers());
                return Err(HttpFault { pause, ..HttpFault::unseen(Word::ServerError, what) });
            }
            if response.status().is_success()
                && let Ok(document) = serde_json::from_slice(&self.body(response, url).await?)
            {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// Reports whether the server still names this authorization server; looked up only where the server has refused a
    /// token, with this challenge.
    pub(super) async fn trusts(
        &self,
        known: &ServerMetadata,
        challenge: Option<&str>,
    ) -> Result<bool, HttpFault> {
        if challenge.is_none() {
            return Ok(true);
        }
        Ok(self.find(challenge).await?.server.issuer == known.issuer)
    }

    /// Asks for a token; `resource` is what that is for, as the resource spells itself.
    pub(super) async fn token(
        &self,
        (server, resource): (&ServerMetadata, Option<&str>),
        client_id: &str,
        proof: Proof<'_>,
        mut form: Vec<(&'static str, String)>,
    ) -> Result<Granted, HttpFault> {
        let url = Url::parse(&server.token_endpoint)
            .map_err(|_| no_token(&server.issuer, "its token endpoint is no address"))?;
        form.extend(self.resource_of_tokens(resource).map(|resource| ("resource", resource)));
        let mut authorization = None;
        match proof {
            Proof::Secret { secret, in_body: false } => {
                let pair = format!("{}:{}", encoded(client_id), encoded(secret));
                authorization = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok();
            }
            Proof::Secret { secret, in_body: true } => {
                form.push(("client_id", client_id.to_owned()));
                form.push(("client_secret", secret.to_owned()));
            }
            Proof::Assertion(assertion) => {
                form.push(("client_id", client_id.to_owned()));
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", assertion));
            }
            Proof::None => form.push(("client_id", client_id.to_owned())),
        }
        let mut request = self.client.post(url.clone());
        if let Some(mut authorization) = authorization {
            authorization.set_sensitive(true);
            request = request.header(AUTHORIZATION, authorization);
        }
        let request =
            request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form_text(&form));
        let Answer { status, pause, body } = self.send(request.timeout(TOKEN_LIMIT), &url).await?;
        if !(200..300).contains(&status) {
            return Err(HttpFault { pause, ..refused(&server.issuer, status, &body) });
        }
        let granted: Granted = serde_json::from_slice(&body)
            .map_err(|_| no_token(&server.issuer, "its answer has no access_token"))?;
        match granted.token_type.eq_ignore_ascii_case("bearer") {
            true => Ok(granted),
            false => Err(no_token(&server.issuer, "its token is of another type than Bearer")),
        }
    }

    /// Registers a client (RFC 7591).
    pub(super) async fn register(
        &self,
        endpoint: &str,
        metadata: String,
    ) -> Result<oauth::Registration, HttpFault> {
        let wrong =
            |reason: String| HttpFault::unseen(Word::Unauthorized, format!("takes no client: {reason}"));
        let url =
            Url::parse(endpoint).map_err(|_| wrong("its registration endpoint is no address".to_owned()))?;
        let request = self.client.post(url.clone()).header(CONTENT_TYPE, "application/json").body(metadata);
        let Answer { status, body, .. } = self.send(request.timeout(LIMIT), &url).await?;
        if !(200..300).contains(&status) {
            return Err(wrong(format!("{} answered HTTP {status} to the registration", host(&url))));
        }
        serde_json::from_slice(&body)
            .map_err(|_| wrong("the answer to the registration has no client_id".to_owned()))
    }

    async fn send(&self, request: RequestBuilder, url: &Url) -> Result<Answer, HttpFault> {
        self.check(url)?;
        let sent = request.header(ACCEPT, "application/json").send().await;
        let response = sent.map_err(|error| of_the_way(&network_fault(&error), url))?;
        let status = response.status().as_u16();
        let pause = pause_of(response.headers());
        Ok(Answer { status, pause, body: self.body(response, url).await? })
    }

    /// Checks an address that the server or its metadata named: no secret goes over plain HTTP to another machine, and the
    /// rules of addresses hold.
    fn check(&self, url: &Url) -> Result<(), HttpFault> {
        if url.scheme() != "https" && !is_loopback(url) {
            let what = format!("got no token: {} is not reached by https", host(url));
            return Err(HttpFault::unseen(Word::Unauthorized, what));
        }
        // A name of this machine may lead to the daemon itself, whatever port the rules of names are for.
        let port = url.port_or_known_default().unwrap_or_default();
        let near = is_loopback(url).then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        match literal(url).or(near).map(|address| self.rules.check(None, address)) {
            Some(Err(forbidden)) => Err(not_allowed(&forbidden)),
            _ => Ok(()),
        }
    }

    async fn body(&self, mut response: Response, url: &Url) -> Result<Vec<u8>, HttpFault> {
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| of_the_way(&network_fault(&error), url))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_DOCUMENT {
                let what = format!("got no token: {} answered with more than 64 KiB", host(url));
                return Err(HttpFault::unseen(Word::ServerError, what));
            }
        }
        Ok(body)
    }
}

/// An answer, read to its end.
struct Answer {
    status: u16,
    /// Time that the server wants to be left alone; `None` if it does not say.
    pause: Option<Duration>,
    body: Vec<u8>,
}

/// A token that was granted.
#[derive(Deserialize)]
pub(super) struct Granted {
    pub(super) access_token: String,
    token_type: String,
    #[serde(default)]
    pub(super) expires_in: Option<u64>,
    #[serde(default)]
    pub(super) refresh_token: Option<String>,
    #[serde(default)]
    pub(super) scope: Option<String>,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Granted {
    /// Returns the end of the token, in seconds since 1970; `None` if it does not say.
    pub(super) fn ends_at(&self, now: u64) -> Option<u64> {
        self.expires_in.map(|life| now.saturating_add(life))
    }

    /// Makes one of a token that was kept, with the seconds that it has left.
    pub(super) fn kept(access_token: String, expires_in: Option<u64>, scope: Option<String>) -> Granted {
        let (token_type, refresh_token) = ("Bearer".to_owned(), None);
        Granted { access_token, token_type, expires_in, refresh_token, scope }
    }
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or("an address").to_owned()
}

pub(super) fn no_token(issuer: &str, reason: &str) -> HttpFault {
    HttpFault::unseen(Word::Unauthorized, format!("got no token from {issuer}: {reason}"))
}

/// Reads a refusal of a token. What is the fault of the authorization server may heal, what is the client's does not.
fn refused(issuer: &str, status: u16, body: &[u8]) -> HttpFault {
    let error = serde_json::from_slice::<TokenError>(body).map(|error| error.error).unwrap_or_default();
    let known = error.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !error.is_empty();
    let said = if known { format!(" ({error})") } else { String::new() };
    let what = format!("got no token from {issuer}: it answered HTTP {status}{said}");
    if error == "invalid_grant" {
        return HttpFault::unseen(Word::LoginOver, what);
    }
    let heals = status >= 500
        || status == 429
        || matches!(error.as_str(), "temporarily_unavailable" | "server_error");
    HttpFault::unseen(if heals { Word::ServerError } else { Word::Unauthorized }, what)
}

/// Words a failure of the network on the way to a token. The request that needs it was not begun, and the server that it is
/// for may be well.
fn of_the_way(fault: &HttpFault, url: &Url) -> HttpFault {
    let word = if fault.word == Word::AddressNotAllowed { fault.word } else { Word::ServerError };
    HttpFault::unseen(word, format!("got no token: {} {}", host(url), fault.sentence))
}

/// Writes a form (WHATWG URL, section 5.2).
fn form_text(form: &[(&str, String)]) -> String {
    let mut pairs = form_urlencoded();
    pairs.query_pairs_mut().extend_pairs(form);
    pairs.query().unwrap_or_default().to_owned()
}

/// Writes a text as in a form.
fn encoded(text: &str) -> String {
    let mut pairs = form_urlencoded();
    pairs.query_pairs_mut().append_key_only(text);
    pairs.query().unwrap_or_default().to_owned()
}

/// Returns an address whose query is a form.
fn form_urlencoded() -> Url {
    Url::parse("http://form/").unwrap_or_else(|_| unreachable!("it is an address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_carries_every_text_and_a_refusal_says_whose_fault_it_is() {
        assert_eq!(form_text(&[("a", "x y&z=ü".to_owned()), ("b", String::new())]), "a=x+y%26z%3D%C3%BC&b=");
        let word = |status: u16, body: &str| refused("https://as", status, body.as_bytes());
        assert_eq!(word(401, r#"{"error":"invalid_client"}"#).word, Word::Unauthorized);
        assert!(word(401, r#"{"error":"invalid_client"}"#).sentence.ends_with("HTTP 401 (invalid_client)"));
        assert_eq!(word(503, "<html>").word, Word::ServerError);
        assert!(!word(400, r#"{"error":"<b>s3cret"}"#).sentence.contains("s3cret"));
    }
}
