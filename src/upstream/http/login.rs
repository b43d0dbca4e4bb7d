//! Logins of people at a remote server: an authorization code with PKCE, kept alive by refresh tokens. The gateway opens no
//! browser and never logs in on the path of a call; it says where to go and takes what comes back
//! (`remote-upstreams.md`, R60 to R65).

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;

use super::fault::{HttpFault, Word};
use super::login_desk::{Client, Kept, LoginBegun, LoginDesk, LoginFinish, LoginSettings, Pending};
use super::oauth::{self, ServerMetadata};
use super::token_client::{Found, Granted, Proof, TokenClient};
use crate::clock;
use crate::process::Secret;

/// Time that a person has between the beginning of a login and its end.
const LOGIN_LIMIT: Duration = Duration::from_secs(600);

/// Returns how a client says who it is.
fn proof(client: &Client) -> Proof<'_> {
    match &client.secret {
        Some(secret) => Proof::Secret { secret, in_body: client.in_body },
        None => Proof::None,
    }
}

/// Returns what a kept login leads to.
fn found(kept: &Kept) -> Found {
    Found { server: kept.server.clone(), scope: kept.scope.clone(), resource: kept.resource.clone() }
}

/// The logins of one opening of a server.
pub(super) struct Login {
    settings: LoginSettings,
    /// Id and secret of the client that the definition names.
    client: Option<(Secret, Option<Secret>)>,
    desk: Arc<LoginDesk>,
}

impl Login {
    pub(super) fn new(
        settings: LoginSettings,
        client: Option<(Secret, Option<Secret>)>,
        desk: Arc<LoginDesk>,
    ) -> Login {
        Login { settings, client, desk }
    }

    pub(super) fn is_challenged(&self, challenge: Option<&str>) {
        if let Some(challenge) = challenge {
            self.desk.state().challenge = Some(challenge.to_owned());
        }
    }

    /// Says that what a person has granted is over, and keeps nothing of it.
    async fn over(&self, why: &str) -> HttpFault {
        let name = &self.desk.name;
        tracing::warn!(server = %name, "the login is over: {why}");
        match self.desk.keep(None).await {
            Ok(()) => HttpFault::unseen(Word::LoginOver, format!("wants a login: mcpvisor login {name}")),
            Err(fault) => fault,
        }
    }

    /// Gets another token than the one `before` by the login that is kept; `None` if there is none.
    pub(super) async fn renew(
        &self,
        tokens: &TokenClient,
        before: Option<&HeaderValue>,
        challenge: Option<&str>,
    ) -> Result<Option<(Granted, Found)>, HttpFault> {
        self.is_challenged(challenge);
        // One after the other, over all openings of the server: a rotated token is good for one of them.
        let _turn = self.desk.turn().await;
        // What was granted for another address is not for this one: an edit may have moved the server.
        let kept = self.desk.kept().await.filter(|kept| kept.address == tokens.address());
        let Some(kept) = kept else { return Ok(None) };
        if !tokens.trusts(&kept.server, challenge).await? {
            // Its tokens are for this issuer and for nobody else.
            let issuer = &kept.server.issuer;
            return Err(self
                .over(&format!("it is of {issuer}, which the server does not name any more"))
                .await);
        }
        let is_other = |token: &&String| before.is_none_or(|before| *before != format!("Bearer {token}"));
        if let Some(token) = kept.access_token.as_ref().filter(is_other) {
            let left = kept.expires_at.map(|end| end.saturating_sub(clock::now()));
            if left != Some(0) {
                let granted = Granted::kept(token.clone(), left, kept.scope.clone());
                return Ok(Some((granted, found(&kept))));
            }
        }
        let Some(refresh_token) = &kept.refresh_token else {
            return Err(self.over("its token has ended, and there is none to renew it by").await);
        };
        let form = vec![("grant_type", "refresh_token".to_owned()), ("refresh_token", refresh_token.clone())];
        let target = (&kept.server, kept.resource.as_deref());
        let granted = tokens.token(target, &kept.client.id, proof(&kept.client), form).await;
        let granted = match granted {
            Ok(granted) => granted,
            // Only this says that the login is over; whatever else failed may heal.
            Err(fault) if fault.word == Word::LoginOver => return Err(self.over(&fault.sentence).await),
            Err(fault) => return Err(fault),
        };
        // A server that rotates its tokens takes each one once.
        let next = Kept {
            refresh_token: granted.refresh_token.clone().or(kept.refresh_token.clone()),
            access_token: Some(granted.access_token.clone()),
            expires_at: granted.ends_at(clock::now()),
            ..kept
        };
        let found = found(&next);
        self.desk.keep(Some(next)).await?;
        Ok(Some((granted, found)))
    }

    pub(super) async fn begin(
        &self,
        tokens: &TokenClient,
        redirect_uri: &str,
    ) -> Result<LoginBegun, HttpFault> {
        let challenge = self.desk.state().challenge.clone();
        let Found { server, scope: named, resource } = tokens.find(challenge.as_deref()).await?;
        let wrong = |reason: &str| {
            HttpFault::unseen(
                Word::Unauthorized,
                format!("cannot be logged in to: {} {reason}", server.issuer),
            )
        };
        let endpoint = server.authorization_endpoint.clone();
        let endpoint = endpoint.ok_or_else(|| wrong("names no authorization endpoint"))?;
        if !server.takes_s256() {
            return Err(wrong("does not take PKCE with S256"));
        }
        let kept = self.desk.kept().await.filter(|kept| kept.address == tokens.address());
        let granted = kept.and_then(|kept| kept.scope);
        let scope =
            self.settings.scope.clone().or_else(|| oauth::union(granted.as_deref(), named.as_deref()));
        let scope = oauth::with_offline_access(scope, &server);
        let client = self.client(tokens, &server, redirect_uri).await?;
        let random = |_| wrong("cannot be asked: the system gives no random bytes");
        let (verifier, state) =
            (oauth::random_text().map_err(random)?, oauth::random_text().map_err(random)?);
        let request = oauth::AuthorizationRequest {
            endpoint: &endpoint,
            client_id: &client.id,
            redirect_uri,
            scope: scope.as_deref(),
            state: &state,
            verifier: &verifier,
            resource: tokens.resource_of_tokens(resource.as_deref()),
        };
        let authorization_url = request.url().ok_or_else(|| wrong("has no usable authorization endpoint"))?;
        self.desk.state().pending = Some(Pending {
            address: tokens.address(),
            state: state.clone(),
            verifier,
            redirect_uri: redirect_uri.to_owned(),
            scope,
            client,
            server,
            resource,
            until: Instant::now() + LOGIN_LIMIT,
        });
        Ok(LoginBegun { authorization_url, state })
    }

    /// Returns the client to log in as: the one of the definition, or one that is registered now.
    async fn client(
        &self,
        tokens: &TokenClient,
        server: &ServerMetadata,
        redirect_uri: &str,
    ) -> Result<Client, HttpFault> {
        if let Some((id, secret)) = &self.client {
            let secret = secret.as_ref().map(|secret| secret.expose().to_owned());
            return Ok(Client { id: id.expose().to_owned(), secret, in_body: server.wants_secret_in_body() });
        }
        let Some(endpoint) = &server.registration_endpoint else {
            let what = format!(
                "cannot be logged in to: {} registers no clients; register one there and put its id into \
                 mcpvisor.auth.client_id",
                server.issuer
            );
            return Err(HttpFault::unseen(Word::Unauthorized, what));
        };
        let metadata = oauth::client_metadata(redirect_uri, server);
        let made = tokens.register(endpoint, metadata).await?;
        let in_body = made.wants_secret_in_body().unwrap_or_else(|| server.wants_secret_in_body());
        // One that was told to use none keeps its secret for itself.
        let secret =
            made.client_secret.filter(|_| made.token_endpoint_auth_method.as_deref() != Some("none"));
        let secret = secret.filter(|_| !server.takes_no_secret());
        Ok(Client { id: made.client_id, secret, in_body })
    }

    pub(super) async fn finish(
        &self,
        tokens: &TokenClient,
        finish: LoginFinish,
    ) -> Result<(Granted, Found), HttpFault> {
        let wrong =
            |reason: String| HttpFault::unseen(Word::Unauthorized, format!("was not logged in to: {reason}"));
        let pending = {
            let mut state = self.desk.state();
            let is_of_it = |pending: &Pending| {
                pending.state == finish.state
                    && pending.address == tokens.address()
                    && pending.until > Instant::now()
            };
            match state.pending.take_if(|pending| is_of_it(pending)) {
                Some(pending) => pending,
                None => return Err(wrong("no login was begun with this state, or too long ago".to_owned())),
            }
        };
        // Checked before anything else is believed, an error included (RFC 9207, section 2.4).
        oauth::check_issuer(&pending.server, finish.issuer.as_deref()).map_err(wrong)?;
        if let Some(error) = finish.error {
            let known: String =
                error.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
            return Err(wrong(format!("the authorization server says {known}")));
        }
        let code = finish.code.ok_or_else(|| wrong("no code came back".to_owned()))?;
        let form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", pending.redirect_uri),
            ("code_verifier", pending.verifier),
        ];
        let _turn = self.desk.turn().await;
        let target = (&pending.server, pending.resource.as_deref());
        let granted = tokens.token(target, &pending.client.id, proof(&pending.client), form).await?;
        let kept = Kept {
            address: pending.address,
            client: pending.client,
            server: pending.server,
            resource: pending.resource,
            access_token: Some(granted.access_token.clone()),
            expires_at: granted.ends_at(clock::now()),
            refresh_token: granted.refresh_token.clone(),
            scope: granted.scope.clone().or(pending.scope),
        };
        let found = found(&kept);
        self.desk.keep(Some(kept)).await?;
        Ok((granted, found))
    }
}
