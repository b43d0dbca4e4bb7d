//! Requests of the legacy era: `initialize`, and what is posted in a session (spec 2025-11-25, basic/transports).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tokio::sync::mpsc;

use super::carry::Carry;
use super::fault::{Fault, INVALID_PARAMS, INVALID_REQUEST};
use super::message::{Posted, Request, no_session};
use super::offer::{self, Opened};
use super::outgoing::{self, Message, UPGRADE_AFTER, WAITING, takes_streams};
use super::outlet::{Numbered, Reader};
use super::routing::Router;
use super::search;
use super::session::{Opening, Session};
use super::session_id::Carried;
use super::state::McpState;
use super::target::Target;
use crate::gateway::{Deprecated, Gateway, Interest, Interests, Principal, are_known};
use crate::http::core::context::RequestContext;
use crate::http::settings::Settings;
use crate::jsonrpc::Raw;
use crate::mcp::translate::{Client, LEGACY_VERSIONS, Level, agreed_version};
use crate::mcp::{Answer, Era, method};

/// Header with the id of a session.
pub(super) static SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// Longest time that a client waits for a server to introduce itself; clients wait about a minute for it.
const OPENING: Duration = Duration::from_secs(45);

/// What a legacy request came with.
#[derive(Clone, Copy)]
pub(super) struct LegacyCall<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) settings: &'a Settings,
    pub(super) state: &'a Arc<McpState>,
    pub(super) caller: &'a Principal,
    /// What the path is the endpoint of.
    pub(super) target: &'a Target,
    pub(super) headers: &'a HeaderMap,
    /// Record of the HTTP request, for the audit; `None` where it records no call.
    pub(super) context: Option<&'a RequestContext>,
}

impl LegacyCall<'_> {
    /// Answers `initialize`: opens a session, once the server is known to be there.
    pub(super) async fn open(&self, request: &Request<'_>) -> Result<Response, Fault> {
        let invalid = |what: &'static str| Fault::answer(INVALID_PARAMS, what);
        let asked = request.params.text("protocolVersion");
        let asked = asked.ok_or_else(|| invalid("Invalid params: 'protocolVersion' must be a string"))?;
        let capabilities = request.params.get("capabilities").unwrap_or(Raw::EMPTY);
        let client = Client::read(request.params.get("clientInfo"), capabilities)
            .ok_or_else(|| invalid("Invalid params: 'capabilities' and 'clientInfo' must be objects"))?;
        let opened = Opened::of(self.gateway, self.caller, self.target, OPENING).await;
        let opened = opened.map_err(Fault::of_opening)?;
        let version = agreed_version(&asked);
        let abilities = client.abilities;
        let opening = self.opening(version, client);
        let result = opened.server().initialize_result(version);
        let mut response = outgoing::json(outgoing::result(request.id(), result.as_bytes()));
        let (principal, endpoint) = (&self.caller.member().id, self.target.key());
        let ids = self.state.ids(self.settings);
        let id = ids.and_then(|ids| ids.make(Carried { version, abilities }, principal, &endpoint));
        let session = id.and_then(|id| self.state.sessions.open(id, opening, self.settings.mcp.max_sessions));
        let session = session.ok_or_else(|| {
            let text = format!(
                "There are {} sessions, as many as there may be (mcp.max_sessions), or this member has half of them; try \
                 again later",
                self.settings.mcp.max_sessions
            );
            Fault::http(StatusCode::SERVICE_UNAVAILABLE, text).retry(Some(Duration::from_secs(60)))
        })?;
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(&SESSION_ID, id);
        }
        Ok(response)
    }

    /// Returns the session that a request names. 400 without a name, 404 for one that is not there: a client then opens
    /// another.
    pub(super) fn session(&self) -> Result<Arc<Session>, Fault> {
        let id = self.headers.get(&SESSION_ID).ok_or_else(|| no_session(StatusCode::BAD_REQUEST))?;
        let id = id.to_str().unwrap_or_default();
        let found = self.state.sessions.find(id, &self.caller.member().id, &self.target.key());
        found
            .or_else(|| self.reopened(id))
            .ok_or_else(|| Fault::http(StatusCode::NOT_FOUND, "There is no such session (any more)"))
    }

    /// Opens a session again whose id says that it was one: hardly any client opens another one by itself. What it had
    /// subscribed to is not known any more; a stream of its own that is taken up again (`Last-Event-ID`) begins with
    /// everything that may have changed.
    fn reopened(&self, id: &str) -> Option<Arc<Session>> {
        let carried =
            self.state.ids(self.settings)?.read(id, &self.caller.member().id, &self.target.key())?;
        let client = Client::with_abilities(carried.abilities);
        let opening = self.opening(carried.version, client);
        self.state.sessions.reopen(id, opening, self.settings.mcp.max_sessions)
    }

    fn opening(&self, version: &'static str, client: Client) -> Opening {
        let number = self.state.next_client();
        Opening {
            principal: self.caller.member().id.clone(),
            server: self.target.key(),
            version,
            client,
            number,
            scope: self.gateway.client_scope(number),
        }
    }

    /// Takes a message of a session that is no request. It is answered with 202, whatever comes of it.
    pub(super) fn take(session: &Session, posted: &Posted<'_>) -> Response {
        match posted {
            Posted::Answer { id, outcome } => {
                if let Ok(id) = id.get().parse() {
                    session.answered(id, answer_of(outcome));
                }
            }
            Posted::Notification { method, params } if *method == method::CANCELLED => {
                if let Some(id) = params.members.get("requestId") {
                    session.cancel(id.get());
                }
            }
            Posted::Notification { .. } | Posted::Request(_) => {}
        }
        accepted()
    }

    /// Answers a request of a session, as of a caller in it.
    pub(super) async fn answer(
        &self,
        session: &Arc<Session>,
        request: &Request<'_>,
    ) -> Result<Response, Fault> {
        let caller = &session.opening.scope.caller(self.caller);
        LegacyCall { caller, ..*self }.answer_in(session, request).await
    }

    async fn answer_in(&self, session: &Arc<Session>, request: &Request<'_>) -> Result<Response, Fault> {
        let told = |result: &[u8]| outgoing::json(outgoing::result(request.id(), result));
        match &*request.method {
            method::PING => Ok(told(b"{}")),
            method::INITIALIZE => {
                Err(Fault::bad(INVALID_REQUEST, "Invalid request: this session is open already"))
            }
            method::SET_LEVEL => {
                self.set_level(session, request).await?;
                Ok(told(b"{}"))
            }
            method::SUBSCRIBE | method::UNSUBSCRIBE => {
                self.follow(session, request).await?;
                Ok(told(b"{}"))
            }
            asked => match offer::list_of(asked) {
                Some(kind) => {
                    let opened = Opened::of(self.gateway, self.caller, self.target, OPENING).await;
                    Ok(told(&opened.map_err(Fault::of)?.list(kind, &request.params, Era::Legacy)?))
                }
                None => match search::answer(self.gateway, self.caller, self.target, request) {
                    Some(found) => Ok(told(&found?)),
                    None => self.forward(session, request).await,
                },
            },
        }
    }

    /// Returns the answer to a request of a batch, whole.
    pub(super) async fn answer_alone(&self, session: &Arc<Session>, request: &Request<'_>) -> Vec<u8> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let visit = LegacyCall { headers: &headers, ..*self };
        let response = match visit.answer(session, request).await {
            Ok(response) => response,
            Err(fault) => return fault.message(Some(request.id())),
        };
        let whole = axum::body::to_bytes(response.into_body(), usize::MAX).await;
        whole.map(Vec::from).unwrap_or_default()
    }

    async fn set_level(&self, session: &Session, request: &Request<'_>) -> Result<(), Fault> {
        let level = request.params.get("level").and_then(Level::read);
        let level = level.ok_or_else(|| {
            Fault::answer(INVALID_PARAMS, "Invalid params: 'level' is no level of log messages")
        })?;
        let mut wishes = Vec::new();
        match self.target {
            Target::One(server) => {
                self.router().require(server, "logging", &request.method)?;
                let interests = self.gateway.interests(self.caller, server).map_err(Fault::of)?;
                wishes.push(wish(interests, |interests| Ok(interests.level(level)))?);
            }
            Target::Several(aggregate) => {
                for (_, entry) in aggregate.of(self.caller) {
                    // One that has no room for a child of this client is no reason to tell the others nothing.
                    let Ok(interests) = self.gateway.interests(self.caller, &entry.id) else { continue };
                    wishes.push(wish(interests, |interests| Ok(interests.level(level)))?);
                }
            }
        }
        let told: Vec<&Interest> = wishes.iter().filter(|wish| wish.1).map(|wish| &wish.0).collect();
        are_known(&told).await;
        session.set_level(level, wishes.into_iter().map(|wish| wish.0).collect());
        self.gateway.count_deprecated(Deprecated::Logging, session.opening.client.info.as_deref());
        Ok(())
    }

    async fn follow(&self, session: &Session, request: &Request<'_>) -> Result<(), Fault> {
        let uri = request.params.text("uri");
        let uri =
            uri.ok_or_else(|| Fault::answer(INVALID_PARAMS, "Invalid params: 'uri' must be a string"))?;
        let (server, own) = self.router().server_of_resource(&uri)?;
        let info = self.gateway.introduction(self.caller, &server).map_err(Fault::of)?;
        if info.is_some_and(|info| info.capabilities["resources"]["subscribe"] != true) {
            return Err(Fault::unknown_method(StatusCode::OK, &request.method));
        }
        if request.method == method::UNSUBSCRIBE {
            session.unfollow(&uri);
            return Ok(());
        }
        let full = |full: &dyn std::error::Error| Fault::answer(INVALID_REQUEST, full.to_string());
        let interests = self.gateway.resource_interests(self.caller, &server).map_err(Fault::of)?;
        let (interest, has_child) =
            wish(interests, |interests| interests.resource(&own).map_err(|error| full(&error)))?;
        if has_child {
            are_known(&[&interest]).await;
        }
        session.follow(&uri, interest).map_err(|error| full(&error))
    }

    fn router(&self) -> Router<'_> {
        Router { gateway: self.gateway, caller: self.caller, target: self.target }
    }

    /// Forwards a request in a task of its own: a client that leaves has not cancelled it (spec 2025-11-25,
    /// basic/transports).
    async fn forward(&self, session: &Arc<Session>, request: &Request<'_>) -> Result<Response, Fault> {
        let routed = self.router().find(request)?;
        if let Some(context) = self.context {
            routed.record(self.gateway, context, request);
        }
        let takes_streams = takes_streams(self.headers);
        let id = request.id.get();
        let outlet = session.new_outlet();
        let carry = Carry::new(self.gateway, self.caller, session, outlet.clone(), request, self.headers);
        let begun = session.begin(id, &outlet, || tokio::spawn(carry.run(routed)).abort_handle());
        begun.map_err(|refused| {
            Fault::bad(INVALID_REQUEST, format!("Invalid request: {refused}")).status(StatusCode::OK)
        })?;
        let mut reader = outlet.read_after(0);
        let first = match (takes_streams, self.context) {
            (true, Some(context)) => context.within(UPGRADE_AFTER, &mut pin!(reader.next())).await,
            (true, None) => tokio::time::timeout(UPGRADE_AFTER, reader.next()).await.ok(),
            (false, _) => Some(last_of(&mut reader).await),
        };
        match first {
            Some(Some(last)) if last.is_last => {
                session.forget(reader.stream());
                Ok(outgoing::json(last.text))
            }
            // It was cancelled: nobody waits for an answer.
            Some(None) => Ok(accepted()),
            first => Ok(self.replay(session, first.flatten(), reader)),
        }
    }
}

/// Adds a wish to those of a server's clients. Returns `true` with it if there is a child to be told.
fn wish(
    (interests, has_child): (Arc<Interests>, bool),
    wish: impl FnOnce(&Arc<Interests>) -> Result<Interest, Fault>,
) -> Result<(Interest, bool), Fault> {
    Ok((wish(&interests)?, has_child))
}

/// Waits for the last message of a stream.
async fn last_of(reader: &mut Reader) -> Option<Numbered> {
    loop {
        match reader.next().await {
            Some(message) if !message.is_last => {}
            end => return end,
        }
    }
}

impl LegacyCall<'_> {
    /// Returns the answer with the rest of a stream, after `first`.
    pub(super) fn replay(&self, session: &Arc<Session>, first: Option<Numbered>, reader: Reader) -> Response {
        replay(self.gateway.clone(), self.caller.clone(), session, first, reader)
    }
}

fn replay(
    gateway: Gateway,
    caller: Principal,
    session: &Arc<Session>,
    first: Option<Numbered>,
    mut reader: Reader,
) -> Response {
    let (messages, received) = mpsc::channel(WAITING);
    let (session, held) = (session.clone(), session.hold());
    let can_resume = session.opening.version >= LEGACY_VERSIONS[LEGACY_VERSIONS.len() - 1];
    tokio::spawn(async move {
        let _held = held;
        let stream = reader.stream();
        // An event without data, so that a client whose connection breaks at once can ask for the rest; older clients do
        // not expect it.
        if can_resume && messages.send(Message::numbered(Some(format!("{stream}-0")), "")).await.is_err() {
            return;
        }
        let mut next = first;
        loop {
            let message = match next.take() {
                Some(message) => message,
                None => tokio::select! {
                    biased;
                    () = messages.closed() => return,
                    message = reader.next() => match message {
                        Some(message) => message,
                        None => return,
                    },
                },
            };
            let id = can_resume.then(|| format!("{stream}-{}", message.number));
            // One that finds no room is not lost: the client may come back for it.
            let Ok(counted) = Message::numbered(id, message.text).counted(&gateway, &caller) else { return };
            if messages.send(counted).await.is_err() || message.is_last {
                return;
            }
        }
    });
    outgoing::stream(received)
}

/// Returns the answer to what gets none.
pub(super) fn accepted() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

fn answer_of(outcome: &Result<Raw<'_>, Raw<'_>>) -> Answer {
    match outcome {
        Ok(result) => Answer::Result(bytes::Bytes::copy_from_slice(result.get().as_bytes())),
        Err(error) => {
            #[derive(serde::Deserialize)]
            struct ErrorObject {
                #[serde(default)]
                code: Option<i32>,
                #[serde(default)]
                message: Option<String>,
            }
            let error = serde_json::from_str::<ErrorObject>(error.get()).ok();
            let (code, message) = error.map_or((None, None), |error| (error.code, error.message));
            let message = message.unwrap_or_else(|| "The client refused".to_owned());
            let message: String = message.chars().take(4096).collect();
            Answer::Error(code.unwrap_or(-32603), message.into())
        }
    }
}
