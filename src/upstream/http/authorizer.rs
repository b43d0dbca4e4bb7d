//! Tokens of one remote server: got by client credentials or by a person's login, renewed before they end, one request at
//! a time for all who wait (`remote-upstreams.md`, R60 and R63 to R65).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use tokio::sync::watch;

use super::assertion;
use super::endpoint::{ClientCredentials, ClientProof};
use super::fault::{HttpFault, Word};
use super::login::Login;
use super::login_desk::{LoginBegun, LoginDesk, LoginFinish, LoginSettings};
use super::oauth;
use super::pauses::Pauses;
use super::token_client::{Found, Granted, Proof, TokenClient, no_token};
use crate::clock;
use crate::process::Secret;

/// Share of a token's life after which it is renewed.
const RENEW_AT: f64 = 0.8;
/// Shortest time between two renewals that nobody asked for.
const LEAST_LIFE: Duration = Duration::from_secs(30);
/// Longest life that is believed.
const MAX_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Life of a token that says none.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// A token, as it is sent.
#[derive(Clone)]
pub(super) struct Bearer {
    /// Value of the header.
    pub(super) value: HeaderValue,
    /// Number of it, counted from 1.
    pub(super) number: u64,
    /// Time from which another one is asked for.
    renew_at: Instant,
    /// Time from which it is good for nothing.
    ends_at: Instant,
}

/// How tokens are got.
pub(super) enum Grant {
    /// By the gateway's own credentials: its id, and its secret or private key in PEM.
    Client { settings: ClientCredentials, client_id: Secret, proof: Secret },
    /// By what a person has granted.
    Login(Login),
}

type Waiting = watch::Receiver<Option<Result<Option<Bearer>, HttpFault>>>;

/// Source of the tokens of one remote server.
pub(super) struct Authorizer {
    tokens: TokenClient,
    grant: Grant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Bearer>,
    /// Result of the request that is under way; `None` if none is.
    running: Option<Waiting>,
    /// Number of the last token.
    last: u64,
    found: Option<Found>,
    /// Failure of the last request, and the time before which there is no other one.
    failed: Option<(Instant, HttpFault)>,
    pauses: Pauses,
    /// Told of each login.
    logins: watch::Sender<()>,
}

/// What becomes of somebody who wants a token.
enum Turn {
    Take(Bearer),
    Wait(Waiting),
    Fail(HttpFault),
}

impl Authorizer {
    pub(super) fn new(tokens: TokenClient, grant: Grant) -> Authorizer {
        Authorizer { tokens, grant, state: Mutex::default() }
    }

    /// Makes one for a server with a login, which its desk reaches from now on.
    pub(super) fn of_login(
        tokens: TokenClient,
        settings: LoginSettings,
        client: Option<(Secret, Option<Secret>)>,
        desk: &Arc<LoginDesk>,
    ) -> Arc<Authorizer> {
        let login = Login::new(settings, client, desk.clone());
        let own = Arc::new(Authorizer::new(tokens, Grant::Login(login)));
        // They outlive this opening: a server that wants a login is not open.
        let (begins, finishes) = (own.clone(), own.clone());
        desk.attach(
            Box::new(move |redirect_uri| {
                let own = begins.clone();
                Box::pin(async move { own.begin_login(&redirect_uri).await })
            }),
            Box::new(move |finish| {
                let own = finishes.clone();
                Box::pin(async move { own.finish_login(finish).await })
            }),
        );
        own
    }

    /// Returns a token other than the one with the number `refused`, which the server refused with this challenge; `None`
    /// where there is none and a person has to log in first.
    pub(super) async fn bearer(
        self: &Arc<Authorizer>,
        refused: Option<u64>,
        challenge: Option<&str>,
    ) -> Result<Option<Bearer>, HttpFault> {
        let mut running = match self.take_or_request(refused, challenge) {
            Turn::Take(bearer) => return Ok(Some(bearer)),
            Turn::Fail(fault) => return Err(fault),
            Turn::Wait(running) => running,
        };
        let result = running.wait_for(Option::is_some).await.map_err(|_| gone())?.clone();
        result.unwrap_or_else(|| Err(gone()))
    }

    /// Takes note of what the server wants, which a login is asked for.
    pub(super) fn is_challenged(&self, challenge: Option<&str>) {
        if let Grant::Login(login) = &self.grant {
            login.is_challenged(challenge);
        }
    }

    /// Reports whether a person can log in.
    pub(super) fn takes_logins(&self) -> bool {
        matches!(self.grant, Grant::Login(_))
    }

    /// Returns the last token, however old it is; `None` if there was none. Asks nobody.
    pub(super) fn last(&self) -> Option<Bearer> {
        self.lock().token.clone()
    }

    /// Returns a channel that tells of each login.
    pub(super) fn logins(&self) -> watch::Receiver<()> {
        self.lock().logins.subscribe()
    }

    /// Waits until no token is being asked for: what is granted to who has left is lost, and with it a rotated token.
    pub(super) async fn settled(&self) {
        let running = self.lock().running.clone();
        if let Some(mut running) = running {
            let _ = running.wait_for(Option::is_some).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_or_request(self: &Arc<Authorizer>, refused: Option<u64>, challenge: Option<&str>) -> Turn {
        let now = Instant::now();
        let mut state = self.lock();
        let good = state.token.clone().filter(|token| Some(token.number) != refused);
        let good = match good {
            Some(token) if token.renew_at > now => return Turn::Take(token),
            // While it is renewed it is still good, and nobody has to wait.
            good => good.filter(|token| token.ends_at > now),
        };
        // One whose task has ended without a word is none.
        if let Some(running) = state.running.as_ref().filter(|running| running.has_changed().is_ok()) {
            return good.map_or_else(|| Turn::Wait(running.clone()), Turn::Take);
        }
        if let Some((_, fault)) = state.failed.as_ref().filter(|(until, _)| *until > now) {
            return good.map_or_else(|| Turn::Fail(fault.clone()), Turn::Take);
        }
        let (sender, receiver) = watch::channel(None);
        state.running = Some(receiver.clone());
        let number = state.last + 1;
        let (known, before) = (state.found.clone(), state.token.as_ref().map(|token| token.value.clone()));
        drop(state);
        let (own, challenge) = (self.clone(), challenge.map(str::to_owned));
        // A task of its own: whoever asked first may leave, and the others go on waiting.
        tokio::spawn(async move {
            let result = own.request(before, challenge.as_deref(), known).await;
            let result = result.and_then(|granted| own.settle(number, granted));
            own.ended(result.as_ref().err());
            sender.send_replace(Some(result));
        });
        good.map_or(Turn::Wait(receiver), Turn::Take)
    }

    /// Notes that the request which was under way has ended, with this failure or with none.
    fn ended(&self, fault: Option<&HttpFault>) {
        let mut state = self.lock();
        state.running = None;
        match fault {
            None => (state.failed, state.pauses) = (None, Pauses::default()),
            Some(fault) => {
                let pause = state.pauses.next().max(fault.pause.unwrap_or_default());
                state.failed = Some((Instant::now() + pause, fault.clone()));
            }
        }
    }

    /// Makes a token of what was granted the current one.
    fn settle(&self, number: u64, granted: Option<(Granted, Found)>) -> Result<Option<Bearer>, HttpFault> {
        let Some((granted, found)) = granted else { return Ok(None) };
        let life = granted.expires_in.map_or(USUAL_LIFE, |life| Duration::from_secs(life).min(MAX_LIFE));
        let mut value = HeaderValue::try_from(format!("Bearer {}", granted.access_token))
            .map_err(|_| no_token(&found.server.issuer, "the token is no text that a header can have"))?;
        value.set_sensitive(true);
        let now = Instant::now();
        let renew_at = now + life.mul_f64(RENEW_AT).max(LEAST_LIFE);
        let bearer = Bearer { value, number, renew_at, ends_at: now + life };
        let mut state = self.lock();
        (state.last, state.token, state.found) = (number, Some(bearer.clone()), Some(found));
        Ok(Some(bearer))
    }

    async fn request(
        &self,
        before: Option<HeaderValue>,
        challenge: Option<&str>,
        known: Option<Found>,
    ) -> Result<Option<(Granted, Found)>, HttpFault> {
        match &self.grant {
            Grant::Login(login) => login.renew(&self.tokens, before.as_ref(), challenge).await,
            Grant::Client { settings, client_id, proof } => {
                let found = match (known, &settings.token_url) {
                    (None, Some(token_url)) => pinned(settings, token_url),
                    (Some(known), _) if challenge.is_none() || settings.token_url.is_some() => known,
                    (known, None) => {
                        let found = self.tokens.find(challenge).await?;
                        // The credentials are for the one that they were shown first.
                        if known.is_some_and(|known| known.server.issuer != found.server.issuer) {
                            let what = "names another authorization server than before; if that is right, restart it";
                            return Err(HttpFault::unseen(Word::Unauthorized, what));
                        }
                        found
                    }
                    (Some(known), Some(_)) => known,
                };
                let server = &found.server;
                let mut form = vec![("grant_type", "client_credentials".to_owned())];
                let scope = settings.scope.clone().or(found.scope.clone());
                form.extend(scope.map(|scope| ("scope", scope)));
                let sent = match settings.proof {
                    ClientProof::Secret => {
                        Proof::Secret { secret: proof.expose(), in_body: server.wants_secret_in_body() }
                    }
                    ClientProof::Key => {
                        let made =
                            assertion::sign(client_id.expose(), &server.issuer, proof.expose(), clock::now());
                        Proof::Assertion(made.map_err(|reason| {
                            let what = format!("cannot be used: mcpvisor.auth.private_key {reason}");
                            HttpFault::unseen(Word::Definition, what)
                        })?)
                    }
                };
                let target = (server, found.resource.as_deref());
                let granted = self.tokens.token(target, client_id.expose(), sent, form).await?;
                Ok(Some((granted, found)))
            }
        }
    }

    async fn begin_login(&self, redirect_uri: &str) -> Result<LoginBegun, HttpFault> {
        match &self.grant {
            Grant::Login(login) => login.begin(&self.tokens, redirect_uri).await,
            Grant::Client { .. } => Err(gone()),
        }
    }

    async fn finish_login(&self, finish: LoginFinish) -> Result<(), HttpFault> {
        let Grant::Login(login) = &self.grant else { return Err(gone()) };
        let granted = login.finish(&self.tokens, finish).await?;
        let number = self.lock().last + 1;
        self.settle(number, Some(granted))?;
        let mut state = self.lock();
        state.failed = None;
        state.logins.send_replace(());
        Ok(())
    }
}

fn pinned(settings: &ClientCredentials, token_url: &str) -> Found {
    let issuer = settings.issuer.clone().unwrap_or_else(|| token_url.to_owned());
    let server = oauth::ServerMetadata::pinned(issuer, token_url.to_owned());
    Found { server, scope: None, resource: None }
}

fn gone() -> HttpFault {
    HttpFault::unseen(
        Word::Unauthorized,
        "got no token: the server is being closed, or opened anew; try again",
    )
}
