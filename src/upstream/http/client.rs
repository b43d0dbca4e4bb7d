//! The connections to one remote server: what is sent on each request, and where to. Redirects are followed within the
//! origin only (`remote-upstreams.md`, R3, R27 and R33).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName,
    HeaderValue, LOCATION, USER_AGENT, WWW_AUTHENTICATE,
};
use reqwest::{Client, Method, StatusCode, Url};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::authorizer::{Authorizer, Grant};
use super::direct::Direct;
use super::endpoint::{AuthChoice, CLIENT_ID, ClientProof, Endpoint};
use super::fault::{HttpFault, Word};
use super::host::literal;
use super::network::{self, build, check_proxy, network_fault, not_allowed, pause_of};
use super::session::Session;
use super::shown::shown_address;
use super::target::Target;
use super::tls;
use super::token_client::TokenClient;
use super::verdict::{self, Refused, RefusedHead};
use crate::process::{Secret, resolve_text};

/// Room for the headers that a request has beside those of its definition.
const ROOM: usize = 12;
/// Maximum number of redirects within the origin.
const MAX_REDIRECTS: usize = 3;
/// Maximum number of bytes of a refusal that are read.
const MAX_REFUSAL: usize = 64 * 1024;
/// Time to read the body of a refusal.
const REFUSAL_LIMIT: Duration = Duration::from_secs(5);

/// Writes the headers of one request, whenever it is sent.
pub(super) type Write<'a> = &'a (dyn Fn(&mut HeaderMap) + Sync);

/// A request that may have to be sent more than once.
struct Request<'a> {
    method: Method,
    to: &'a Target,
    body: Option<Bytes>,
    /// Headers that it begins with.
    base: &'a HeaderMap,
    write: Write<'a>,
}

/// Connections to one server, with what is sent on each request.
pub(super) struct HttpClient {
    client: Client,
    /// Connections of our own; `None` where only the library's will do.
    direct: Option<Direct>,
    /// Headers of each request that goes over one of those, and of each that posts a message.
    base: HeaderMap,
    posted: HeaderMap,
    target: Arc<Target>,
    name: Arc<str>,
    has_credential: bool,
    /// Source of tokens; `None` where none are wanted.
    authorizer: Option<Arc<Authorizer>>,
    /// Digest of the resolved address and headers.
    credential: [u8; 32],
}

impl HttpClient {
    /// Resolves the references of an endpoint and prepares its connections. Connects nowhere.
    pub(super) fn open(endpoint: &Endpoint) -> Result<HttpClient, HttpFault> {
        let wrong = |reason: String| HttpFault::unseen(Word::Definition, format!("cannot be used: {reason}"));
        let own = resolved_env(endpoint).map_err(wrong)?;
        let lookup = |name: &str| {
            let own = own.iter().find(|(known, _)| known == name);
            own.map(|(_, value)| value.expose().to_owned())
        };
        let resolve = |place: &str, text: &str| {
            resolve_text(place, text, lookup, &endpoint.secrets).map_err(|error| wrong(error.to_string()))
        };
        let address = resolve("url", &endpoint.address)?;
        let url = Url::parse(address.expose().trim())
            .map_err(|_| wrong("url is no address, with its references replaced".to_owned()))?;
        let mut digest = Sha256::new();
        digest.update(url.as_str());
        let mut headers = HeaderMap::new();
        for (name, value) in &endpoint.headers {
            let place = format!("headers.{name}");
            let value = resolve(&place, value)?;
            digest.update([0]);
            digest.update(name);
            digest.update([0]);
            digest.update(value.expose());
            let (name, value) = header(name, &value).map_err(|reason| wrong(format!("{place} {reason}")))?;
            headers.append(name, value);
        }
        endpoint.check_scheme(&url, !headers.is_empty() || endpoint.auth.is_some()).map_err(wrong)?;
        check_proxy(endpoint, &url)?;
        if let Some(literal) = literal(&url) {
            endpoint.rules.check(None, literal).map_err(|forbidden| not_allowed(&forbidden))?;
        }
        let texts = endpoint.auth.iter().flat_map(AuthChoice::texts);
        let mut secrets = Vec::new();
        for (place, text) in texts {
            let secret = resolve(place, text)?;
            digest.update([0]);
            digest.update(secret.expose());
            secrets.push((place, secret));
        }
        // One for plain HTTP has TLS as well: for the authorization server, and for a proxy.
        let tls = tls::config(&endpoint.tls).map_err(|bad| wrong(bad.to_string()))?;
        let authorizer = authorizer(endpoint, &url, &secrets, &tls).map_err(wrong)?;
        let has_credential = authorizer.is_some()
            || !headers.is_empty()
            || !url.username().is_empty()
            || url.query().is_some();
        let direct = Direct::new(endpoint, &url, tls.clone());
        let target = Arc::new(Target::new(url.clone()));
        let base = base(&headers, &target);
        let posted = posted(&base);
        let client = build(endpoint, &url, tls).map_err(wrong)?;
        let credential = digest.finalize().into();
        let name = endpoint.name.clone();
        Ok(HttpClient { client, direct, base, posted, target, name, has_credential, authorizer, credential })
    }

    /// Returns the digest of the address and the headers that are sent, by which a change of a credential is known.
    pub(super) fn credential(&self) -> [u8; 32] {
        self.credential
    }

    /// Returns the address, which may have secrets in it.
    pub(super) fn url(&self) -> &Url {
        self.target.url()
    }

    /// Returns the same as requests have it.
    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Posts a message in a session, with the headers that `write` adds.
    pub(super) async fn post(
        &self,
        to: &Target,
        body: Bytes,
        session: &Session,
        write: Write<'_>,
    ) -> Result<Answer, HttpFault> {
        let base = session.posted(&self.posted);
        self.send(Request { method: Method::POST, to, body: Some(body), base, write }).await
    }

    /// Opens a stream of events.
    pub(super) async fn get(&self, extra: HeaderMap) -> Result<Answer, HttpFault> {
        let write = |headers: &mut HeaderMap| {
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            headers.extend(extra.clone());
        };
        let (to, base) = (&*self.target, &self.base);
        self.send(Request { method: Method::GET, to, body: None, base, write: &write }).await
    }

    /// Ends a session. No token is asked for: whoever leaves would not be there to keep it.
    pub(super) async fn delete(&self, extra: HeaderMap) -> Result<Answer, HttpFault> {
        let bearer = self.authorizer.as_ref().and_then(|authorizer| authorizer.last());
        let write = |headers: &mut HeaderMap| headers.extend(extra.clone());
        let (to, base) = (&*self.target, &self.base);
        let request = Request { method: Method::DELETE, to, body: None, base, write: &write };
        self.send_along(&request, bearer.as_ref().map(|bearer| &bearer.value)).await
    }

    /// Returns the source of tokens; `None` where none are wanted.
    pub(super) fn authorizer(&self) -> Option<&Arc<Authorizer>> {
        self.authorizer.as_ref()
    }

    async fn send(&self, request: Request<'_>) -> Result<Answer, HttpFault> {
        match &self.authorizer {
            None => self.send_along(&request, None).await,
            Some(authorizer) => Box::pin(self.send_authorized(authorizer, &request)).await,
        }
    }

    /// Sends a request with a token, where there are any, and once more with another if that is refused: a server that
    /// refuses a token has not begun the request (R56).
    async fn send_authorized(
        &self,
        authorizer: &Arc<Authorizer>,
        request: &Request<'_>,
    ) -> Result<Answer, HttpFault> {
        let bearer = authorizer.bearer(None, None).await?;
        let response = self.send_along(request, bearer.as_ref().map(|bearer| &bearer.value)).await?;
        let challenge = response.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        match (response.status(), bearer) {
            (StatusCode::UNAUTHORIZED, Some(bearer)) => {
                let Some(bearer) = authorizer.bearer(Some(bearer.number), challenge).await? else {
                    return Ok(response);
                };
                self.send_along(request, Some(&bearer.value)).await
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                authorizer.is_challenged(challenge);
                Ok(response)
            }
            _ => Ok(response),
        }
    }

    /// Sends a request, along redirects within the origin.
    async fn send_along(
        &self,
        request: &Request<'_>,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, HttpFault> {
        let response = self.send_once(request, request.to, token).await?;
        match is_redirect(&response) {
            false => Ok(response),
            true => Box::pin(self.follow(request, response, token)).await,
        }
    }

    async fn follow(
        &self,
        request: &Request<'_>,
        mut response: Answer,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, HttpFault> {
        let mut url = request.to.url().clone();
        for _ in 0..MAX_REDIRECTS {
            url = followed(&url, &response)?;
            response = self.send_once(request, &Target::new(url.clone()), token).await?;
            if !is_redirect(&response) {
                return Ok(response);
            }
        }
        Err(HttpFault::unseen(Word::Redirected, "redirects in a circle; check the url"))
    }

    /// Sends a request over a connection of ours where there are such, and over the library's elsewhere. What most requests
    /// do not need is in boxes, here and above: a future that is small is not copied about for each of them.
    async fn send_once(
        &self,
        request: &Request<'_>,
        to: &Target,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, HttpFault> {
        let headers = HttpClient::headers(request, token);
        match (&self.direct, to.parts()) {
            (Some(direct), Some(parts)) => {
                let sent = direct.send(request.method.clone(), parts, headers, request.body.clone());
                sent.await.map(Answer::Direct)
            }
            _ => {
                let mut sent = self.client.request(request.method.clone(), to.url().clone()).headers(headers);
                if let Some(body) = &request.body {
                    sent = sent.body(body.clone());
                }
                let sent = Box::pin(sent.send());
                sent.await.map(Answer::Library).map_err(|error| network_fault(&error))
            }
        }
    }

    fn headers(request: &Request<'_>, token: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = request.base.clone();
        if let Some(body) = &request.body {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
        (request.write)(&mut headers);
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        headers
    }

    /// Judges an answer to a request of this session that is no success; reads the beginning of its body.
    pub(super) async fn refusal(&self, response: Answer, method: &str, session: &Session) -> Refused {
        let text = |name: &HeaderName| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let (challenge, pause) = (text(&WWW_AUTHENTICATE), pause_of(response.headers()));
        let status = response.status().as_u16();
        let body = tokio::time::timeout(REFUSAL_LIMIT, beginning(response)).await.unwrap_or_default();
        let takes_logins = self.authorizer.as_ref().is_some_and(|authorizer| authorizer.takes_logins());
        let login = takes_logins.then_some(&*self.name);
        // What a login gave is renewed by another login, and not by a change of the entry.
        let had_credential = (self.has_credential || self.authorizer.is_some()) && login.is_none();
        let head = RefusedHead {
            status,
            login,
            had_session: session.id.is_some(),
            era: (session.number > 0).then_some(session.era),
            had_credential,
            challenge: challenge.as_deref(),
            pause,
            method,
        };
        verdict::refused(head, &body)
    }
}

fn is_redirect(response: &Answer) -> bool {
    response.status().is_redirection() && response.status() != StatusCode::NOT_MODIFIED
}

/// Returns the headers of each request, with those of the definition. All of them go to one origin.
fn base(headers: &HeaderMap, to: &Target) -> HeaderMap {
    let mut base = HeaderMap::with_capacity(headers.len() + ROOM);
    base.insert(USER_AGENT, HeaderValue::from_static(network::USER_AGENT));
    base.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(parts) = to.parts() {
        base.insert(HOST, parts.host.clone());
    }
    for name in headers.keys().filter(|name| **name != ACCEPT_ENCODING) {
        base.remove(name);
        for value in headers.get_all(name) {
            base.append(name, value.clone());
        }
    }
    base
}

/// Returns the headers of each request that posts a message.
fn posted(base: &HeaderMap) -> HeaderMap {
    let mut posted = base.clone();
    posted.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    posted.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    posted
}

/// Reads the beginning of a body; what cannot be read is left out.
async fn beginning(mut response: Answer) -> Bytes {
    let mut body = Vec::new();
    while body.len() < MAX_REFUSAL
        && let Ok(Some(chunk)) = response.chunk().await
    {
        let room = MAX_REFUSAL - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
    body.into()
}

/// Returns the variables of the entry, with their references replaced.
fn resolved_env(endpoint: &Endpoint) -> Result<Vec<(String, Secret)>, String> {
    let resolved = endpoint.env.iter().map(|(name, value)| {
        let value = resolve_text(&format!("env.{name}"), value, |_| None, &endpoint.secrets)
            .map_err(|error| error.to_string())?;
        Ok((name.clone(), value))
    });
    resolved.collect()
}

/// Makes a header of a resolved value. A line end behind it is cut off, as files have one.
fn header(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), &'static str> {
    let name = HeaderName::try_from(name).map_err(|_| "has a name that no header can have")?;
    let value = value.expose().trim_end_matches(['\r', '\n']);
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| "has a value that no header can have: only visible ASCII, blanks and tabs")?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Returns where a redirect leads, if it may be followed.
fn followed(from: &Url, response: &Answer) -> Result<Url, HttpFault> {
    let status = response.status().as_u16();
    let target = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    let target = target.and_then(|target| from.join(target).ok());
    let Some(target) = target else {
        let what = format!("redirects (HTTP {status}) to no address");
        return Err(HttpFault::unseen(Word::Redirected, what));
    };
    if target.origin() == from.origin() && matches!(status, 307 | 308) {
        return Ok(target);
    }
    let shown = shown_address(target.as_str());
    let bare = |url: &Url| url.path().trim_end_matches('/').to_owned();
    let same_place = target.host_str() == from.host_str() && bare(&target) == bare(from);
    let what = match same_place && from.scheme() == "https" && target.scheme() == "http" {
        true => format!(
            "redirects to {shown}, the same address without TLS: it stands behind a proxy and does not know that; add or take \
             away the slash at the end of the url"
        ),
        false => format!(
            "redirects (HTTP {status}) to {shown}, where nothing is sent; put that into the url if it is right"
        ),
    };
    Err(HttpFault::unseen(Word::Redirected, what))
}

/// Makes the source of tokens that an endpoint wants; `secrets` are its texts by their places.
fn authorizer(
    endpoint: &Endpoint,
    url: &Url,
    secrets: &[(&str, Secret)],
    tls: &tls::Config,
) -> Result<Option<Arc<Authorizer>>, String> {
    let Some(auth) = &endpoint.auth else { return Ok(None) };
    let secret = |place: &str| {
        let found = secrets.iter().find(|(known, _)| *known == place);
        found.map(|(_, secret)| secret.clone())
    };
    let (issuer, sends_resource) = match auth {
        AuthChoice::Client(own) => (own.issuer.clone(), own.sends_resource),
        AuthChoice::Login(login) => (login.issuer.clone(), login.sends_resource),
    };
    let client = build(endpoint, url, tls.clone())?;
    let (resource, rules) = (url.clone(), endpoint.rules.clone());
    let tokens = TokenClient { client, resource, rules, issuer, sends_resource };
    let client_id = secret(CLIENT_ID);
    Ok(match auth {
        AuthChoice::Login(settings) => {
            let client = client_id.map(|id| (id, secret(ClientProof::Secret.place())));
            Some(Authorizer::of_login(tokens, settings.clone(), client, &endpoint.desk))
        }
        AuthChoice::Client(settings) => {
            let pair = client_id.zip(secret(settings.proof.place()));
            pair.map(|(client_id, proof)| {
                let grant = Grant::Client { settings: settings.clone(), client_id, proof };
                Arc::new(Authorizer::new(tokens, grant))
            })
        }
    })
}
