//! `/mcp`, `/mcp/{server}` and `/mcp/{group}`: MCP's Streamable HTTP, for clients of both eras at one URL, in front of
//! servers of either (`docs/mcp.md`). The era is decided for each request, by its body.

mod aggregate;
mod call;
mod carry;
mod check;
mod fault;
mod legacy;
mod listen;
mod message;
mod modern;
mod offer;
mod outgoing;
mod outlet;
mod own_stream;
mod parked;
mod routing;
mod running;
mod said;
mod search;
mod seen;
mod session;
mod session_id;
mod state;
mod target;

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{delete, get, post};

use self::call::Call;
use self::check::SpokenEra;
use self::fault::{Fault, INVALID_REQUEST};
use self::legacy::{LegacyCall, accepted};
use self::message::{Body, Posted};
use self::said::Said;
use self::state::McpState;
use self::target::{Target, names_in_list};
use super::core::auth::{AuthError, admit_client, take_request};
use super::core::body;
use super::core::context::RequestContext;
use super::core::dialect::{Answering, Dialect, FastPath, is_under};
use super::core::head::RequestHead;
use super::core::query::decode;
use super::core::rejection::EdgeRejection;
use super::core::routes::{Access, Routes};
use super::core::shared::Shared;
use super::server::request_body::RequestBody;
use crate::gateway::{Error, Principal, RegistryError, Surface};
use crate::jsonrpc::Raw;
use crate::mcp::method;

/// The dialect.
pub(super) struct Mcp;

impl Dialect for Mcp {
    fn owns(&self, path: &str) -> bool {
        is_under(path, ALL)
    }

    fn surface(&self) -> Surface {
        Surface::Mcp
    }

    fn routes(&self) -> Routes {
        Routes::default()
            .calling("POST", ALL, Access::Client, post(posted))
            .on("GET", ALL, Access::Client, get(streamed))
            .calling("DELETE", ALL, Access::Client, delete(ended))
            .calling("POST", ONE, Access::Client, post(posted))
            .on("GET", ONE, Access::Client, get(streamed))
            .calling("DELETE", ONE, Access::Client, delete(ended))
    }

    fn trusts_nearness(&self) -> bool {
        true
    }

    fn fast_paths(&self) -> &'static [FastPath] {
        &FAST_PATHS
    }

    fn unknown_route(&self) -> Response {
        let text = "Not found: all servers are at /mcp, and each at /mcp/ and its name";
        Fault::http(StatusCode::NOT_FOUND, text).into_response(None)
    }

    fn wrong_method<'a>(&'a self, _: &'a Shared, _: &'a Parts) -> Answering<'a> {
        let fault = Fault::http(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed");
        Box::pin(std::future::ready(fault.into_response(None)))
    }

    fn reject(&self, rejection: EdgeRejection<'_>) -> Response {
        Fault::from(rejection).into_response(None)
    }

    fn failure(&self, error: Error) -> Response {
        Fault::of(error).into_response(None)
    }
}

/// Server or group that a path names; `None` where it names none. `Err` if the name cannot be decoded.
type Named = Result<Option<String>, ()>;

/// Reads what the router found in a path.
fn named(found: Result<Option<Path<String>>, PathRejection>) -> Named {
    found.map(|found| found.map(|Path(server)| server)).map_err(drop)
}

fn kept(shared: &Shared) -> &Arc<McpState> {
    shared.kept()
}

/// Returns what a path is the endpoint of. A group comes before a server: no server has its name, unless a servers file
/// says so, and then it is quarantined.
fn target_of(server: Named, shared: &Shared, caller: &Principal) -> Result<Target, Fault> {
    match server {
        Ok(Some(name)) => match kept(shared).aggregates.group(&shared.gateway, &name) {
            None => match shared.gateway.permitted_server(caller, &name) {
                Ok(server) => Ok(Target::One(server)),
                Err(error) => listed(&name, shared, caller).unwrap_or_else(|| Err(Fault::of(error))),
            },
            Some(group) if group.is_seen_by(caller) => Ok(Target::Several(group)),
            Some(_) => Err(Fault::of(RegistryError::ServerNotFound { name }.into())),
        },
        Ok(None) => Ok(Target::Several(kept(shared).aggregates.all(&shared.gateway))),
        Err(()) => Err(Fault::http(StatusCode::NOT_FOUND, "The name of the server cannot be decoded")),
    }
}

/// Returns the endpoint of a list of servers, all of which the caller may use; `None` for what is no such list. Each is
/// asked for in turn, so that one that the caller may not use is like one that is not there.
fn listed(path: &str, shared: &Shared, caller: &Principal) -> Option<Result<Target, Fault>> {
    let unknown = |name: &str| Fault::of(RegistryError::ServerNotFound { name: name.into() }.into());
    let mut ids: Vec<Arc<str>> = Vec::new();
    for name in names_in_list(path)? {
        match shared.gateway.permitted_server(caller, name) {
            Ok(id) if !ids.contains(&id) => ids.push(id),
            Ok(_) => {}
            Err(_) => return Some(Err(unknown(name))),
        }
    }
    let found = kept(shared).aggregates.listed(&shared.gateway, &ids.join(","));
    Some(found.map(Target::Several).ok_or_else(|| unknown(path)))
}

/// Handles POST for the router.
async fn posted(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    server: Result<Option<Path<String>>, PathRejection>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    answer(shared, context, named(server), Arc::new(head.into()), RequestBody::Given(body)).await
}

/// POST for the edge, which bypasses the router.
static FAST_PATHS: [FastPath; 2] = [
    FastPath { method: Method::POST, path: ONE, handler: to_one },
    FastPath { method: Method::POST, path: ALL, handler: to_all },
];

/// Path of all servers.
const ALL: &str = "/mcp";

/// Path of one server.
const ONE: &str = "/mcp/{server}";

fn to_all(
    shared: Shared,
    context: Arc<RequestContext>,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Answering<'static> {
    Box::pin(answer(shared, context, Ok(None), head, body))
}

fn to_one(
    shared: Shared,
    context: Arc<RequestContext>,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Answering<'static> {
    let place = head.uri.path().strip_prefix("/mcp/").unwrap_or_default();
    // A `+` in a path is a plus.
    let server = match place.contains(['%', '+']) {
        true => decode(&place.replace('+', "%2B")).ok_or(()),
        false => Ok(place.to_owned()),
    };
    Box::pin(answer(shared, context, server.map(Some), head, body))
}

async fn answer(
    shared: Shared,
    context: Arc<RequestContext>,
    server: Named,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Response {
    let caller = match admit_client(&shared, &context, head.uri.path(), &head.headers).await {
        Ok(caller) => context.calling(caller),
        Err(denied) => return Fault::from(denied).into_response(None),
    };
    let (limit, patience) = (shared.settings.mcp.body_limit, shared.settings.body_timeout);
    let read = match body::read_of(&head.headers, body, limit, patience).await {
        Ok(read) => read,
        Err(unread) => return Fault::from(unread).into_response(None),
    };
    let post = Post { shared: &shared, context: &context, caller, head: &head };
    let before = Said::before(&head);
    let mut body = message::read(&read, before.as_ref().map(|before| before.meta()));
    let mut known = None;
    if let Ok(Body::One(message)) = &body
        && message.is_known()
    {
        known = before.filter(|before| before.is_of(message));
        if known.is_none() {
            // Its `_meta` is that of another request, and was passed over.
            body = message::read(&read, None);
        }
    }
    let (answered, id) = match body {
        Err((fault, id)) => (Err(fault), id),
        Ok(Body::One(message)) => {
            let id = match &message {
                Posted::Request(request) => Some(request.id),
                Posted::Notification { .. } | Posted::Answer { .. } => None,
            };
            (post.take(server, &message, known).await, id)
        }
        Ok(Body::Several(messages)) => (Box::pin(post.take_batch(server, &messages)).await, None),
    };
    answered.unwrap_or_else(|fault| fault.into_response(id.map(Raw::get).map(str::as_bytes)))
}

/// Size of the answers to a batch, in bytes, from which no further request of it is carried out.
const MAX_BATCH_ANSWER: usize = 4 * 1024 * 1024;

/// A POST that was read.
struct Post<'a> {
    shared: &'a Shared,
    context: &'a RequestContext,
    caller: Principal,
    head: &'a RequestHead,
}

impl Post<'_> {
    fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    fn state(&self) -> &Arc<McpState> {
        self.shared.kept()
    }

    fn visit<'a>(&'a self, target: &'a Target) -> LegacyCall<'a> {
        LegacyCall {
            gateway: &self.shared.gateway,
            settings: &self.shared.settings,
            state: self.state(),
            caller: &self.caller,
            target,
            headers: self.headers(),
            context: Some(self.context),
        }
    }

    /// Takes a request from the rate limits. `server/discover` is never refused for them: a client that is refused there
    /// takes this for a server of the earlier era, for as long as it runs.
    fn take_from_rate(&self, asked: &str) -> Result<(), Fault> {
        let is_free = asked == method::DISCOVER;
        take_request(self.context, &self.caller, is_free).map_err(Fault::from)
    }

    async fn take(
        &self,
        server: Named,
        message: &Posted<'_>,
        known: Option<Arc<Said>>,
    ) -> Result<Response, Fault> {
        let target = &target_of(server, self.shared, &self.caller)?;
        match message {
            Posted::Request(request) => {
                self.take_from_rate(&request.method)?;
                let era = match known {
                    Some(_) => SpokenEra::Modern,
                    None => check::era_of(request.meta.as_ref(), self.headers()),
                };
                match era {
                    SpokenEra::Modern => {
                        let said = match known {
                            Some(said) => said,
                            None => Said::read(request, self.head)?,
                        };
                        let call = Call {
                            gateway: &self.shared.gateway,
                            settings: &self.shared.settings,
                            state: self.state(),
                            caller: &self.caller,
                            target,
                            request,
                            headers: self.headers(),
                            said: &said,
                            context: self.context,
                        };
                        call.answer().await
                    }
                    SpokenEra::Legacy => {
                        let visit = self.visit(target);
                        if request.method == method::INITIALIZE
                            && !self.headers().contains_key(&legacy::SESSION_ID)
                        {
                            return Box::pin(visit.open(request)).await;
                        }
                        check::check_legacy_version(self.headers())?;
                        let session = visit.session()?;
                        // Boxed, as all that is not of most requests: each keeps a place for the largest.
                        Box::pin(visit.answer(&session, request)).await
                    }
                }
            }
            Posted::Notification { params, .. } => {
                self.take_from_rate("")?;
                match check::era_of(params.meta.as_ref(), self.headers()) {
                    // Nothing that a modern client notifies of concerns a server over HTTP.
                    SpokenEra::Modern => Ok(accepted()),
                    SpokenEra::Legacy => {
                        check::check_legacy_version(self.headers())?;
                        Ok(LegacyCall::take(&*self.visit(target).session()?, message))
                    }
                }
            }
            Posted::Answer { .. } => {
                self.take_from_rate("")?;
                if check::names_modern(self.headers()) {
                    let text = "Invalid request: this era has no requests of servers to answer";
                    return Err(Fault::bad(INVALID_REQUEST, text));
                }
                check::check_legacy_version(self.headers())?;
                Ok(LegacyCall::take(&*self.visit(target).session()?, message))
            }
        }
    }

    /// Takes a further request of a batch from the rate limits.
    fn take_one_more(&self, request: &message::Request<'_>) -> Result<(), Fault> {
        let reading = self.caller.take_request().and_then(|reading| reading.refused);
        match reading.filter(|_| request.method != method::PING) {
            Some(retry_after) => {
                self.shared.gateway.count_refusal("rate_limited");
                Err(AuthError::TooMany { retry_after }.into())
            }
            None => Ok(()),
        }
    }

    /// Takes a batch, which only the revision of 2025-03-26 has.
    async fn take_batch(&self, server: Named, messages: &[Posted<'_>]) -> Result<Response, Fault> {
        let target = &target_of(server, self.shared, &self.caller)?;
        self.take_from_rate("")?;
        let refused = || Fault::bad(INVALID_REQUEST, "Invalid request: a body is one message, not an array");
        let is_modern = |message: &Posted<'_>| {
            let meta = match message {
                Posted::Request(request) => request.meta.as_ref(),
                Posted::Notification { params, .. } => params.meta.as_ref(),
                Posted::Answer { .. } => return false,
            };
            check::era_of(meta, self.headers()) == SpokenEra::Modern
        };
        let has_modern = check::names_modern(self.headers()) || messages.iter().any(is_modern);
        if has_modern || !self.headers().contains_key(&legacy::SESSION_ID) {
            return Err(refused());
        }
        check::check_legacy_version(self.headers())?;
        let visit = self.visit(target);
        let session = visit.session()?;
        if session.opening.version != "2025-03-26" {
            return Err(refused());
        }
        let (mut answers, mut whole) = (Vec::new(), 0);
        for message in messages {
            let Posted::Request(request) = message else {
                LegacyCall::take(&session, message);
                continue;
            };
            let answer = match self.take_one_more(request) {
                Ok(()) if whole < MAX_BATCH_ANSWER => visit.answer_alone(&session, request).await,
                Ok(()) => {
                    let text = "The answers to this batch are too long; send the requests one by one";
                    Fault::answer(fault::INTERNAL_ERROR, text).message(Some(request.id()))
                }
                Err(refused) => refused.message(Some(request.id())),
            };
            whole += answer.len();
            // One that was cancelled has no answer.
            answers.extend(Some(answer).filter(|answer| !answer.is_empty()));
        }
        match answers.is_empty() {
            true => Ok(accepted()),
            false => Ok(outgoing::json([&b"["[..], &answers.join(&b","[..]), b"]"].concat())),
        }
    }
}

async fn streamed(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    server: Result<Option<Path<String>>, PathRejection>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    // The router answers HEAD by the handler of GET. It would take the stream from whoever reads it, and read nothing.
    if method == Method::HEAD {
        return Fault::http(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed").into_response(None);
    }
    in_session(&shared, &context, named(server), (&uri, &headers), StatusCode::METHOD_NOT_ALLOWED, |visit| {
        let session = visit.session()?;
        visit.stream(&session)
    })
    .await
}

async fn ended(
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    server: Result<Option<Path<String>>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    in_session(&shared, &context, named(server), (&uri, &headers), StatusCode::BAD_REQUEST, |visit| {
        let session = visit.session()?;
        visit.state.sessions.close(&session);
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    })
    .await
}

/// Does something with the session that a request names; one that names none is refused with `without`.
async fn in_session(
    shared: &Shared,
    context: &RequestContext,
    server: Named,
    (uri, headers): (&Uri, &HeaderMap),
    without: StatusCode,
    act: impl FnOnce(&LegacyCall<'_>) -> Result<Response, Fault>,
) -> Response {
    let caller = match admit_client(shared, context, uri.path(), headers).await {
        Ok(caller) => caller,
        Err(denied) => return Fault::from(denied).into_response(None),
    };
    let acted = take_request(context, &caller, false).map_err(Fault::from).and_then(|()| {
        if !headers.contains_key(&legacy::SESSION_ID) {
            return Err(message::no_session(without));
        }
        check::check_legacy_version(headers)?;
        let (target, settings) = (target_of(server, shared, &caller)?, &shared.settings);
        let state: &Arc<McpState> = shared.kept();
        let gateway = &shared.gateway;
        act(&LegacyCall {
            gateway,
            settings,
            state,
            caller: &caller,
            target: &target,
            headers,
            context: None,
        })
    });
    acted.unwrap_or_else(|fault| fault.into_response(None))
}
