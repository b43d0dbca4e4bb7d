//! Checks that every request passes before a route sees it, and every answer after: framing, `Host`,
//! `Origin`, the request id, CORS, and panics, which become an internal error of one request.
//!
//! A request whose client leaves while it is handled is given up, unless it is an act: an act goes on in
//! a task of its own, so that every change that takes effect is recorded. The guard decides which
//! requests are acts, by the method and the list of routes; the handlers do not.
//!
//! The service and its future are written by hand. Ordinary middleware boxes one future per layer, and a
//! stack of layers costs a call as much as the rest of the front.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::http::core::auth::{FailedLogin, RequestContext};
use crate::http::core::record::Unnamed;
use crate::http::core::routes::{Effect, Route, act_of};
use crate::http::core::{header_pool, owed};
use crate::http::edge::origin::{Checked, HostCheckError, Policy};
use crate::http::server::connection::ConnectionState;
use crate::http::server::framing::Misframed;
use crate::http::server::peer::{Peer, speaks_for_another};
use crate::http::{Shared, Surface, plexmcp};
use crate::service::{Acts, AuditHandle, Gateway, Listener, UnreadAnswer};

/// Header with the id of a request, which the client sends or the guard makes.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Length of the longest request id that is accepted from a client, in characters (`docs/http-api.md`, G2.1).
const MAX_REQUEST_ID: usize = 128;

/// Reason why the guard answers a request itself; each surface writes the answer in its own format.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) enum EdgeRejection<'a> {
    /// The head can be read in two ways, so the end of the request is not certain.
    AmbiguousFraming,
    /// The body has a transfer coding other than `chunked`.
    UnknownCoding,
    /// No `Host`, several, or an unreadable one.
    BadHost,
    /// A `Host` that this daemon does not accept.
    ForeignHost {
        /// Refused name, at most [`MAX_HOST`] characters of it.
        host: &'a str,
    },
    /// An `Origin` that may not use this front.
    ForeignOrigin,
    /// Too many acts are under way whose callers have left.
    TooManyActs,
    /// A defect in the daemon. A caller needs only the request id to report it.
    Internal {
        /// Id of the request, which the log has, too.
        request_id: &'a str,
        /// Cause of the error; `None` unless `Settings::debug` is on.
        cause: Option<&'a str>,
    },
}

/// Most characters of a refused `Host` that are shown; a name has at most 253 (RFC 1035).
const MAX_HOST: usize = 253;
/// Least time between two log entries of a refused `Host`: it is easily repeated, and an operator needs one.
const TELL_HOST_EVERY: Duration = Duration::from_secs(60);

/// Returns the message for [`EdgeRejection::ForeignHost`].
pub(in crate::http) fn foreign_host(host: &str) -> String {
    format!(
        "The Host header names '{host}', which is not allowed; if that is this daemon, list it in http.allowed_hosts"
    )
}

/// Message for [`EdgeRejection::TooManyActs`].
pub(in crate::http) const TOO_MANY_ACTS: &str =
    "Too many changes are under way whose callers have left. Please retry later";
/// Message for [`EdgeRejection::AmbiguousFraming`].
pub(in crate::http) const TWO_ENDS: &str = "It is not certain where the request ends: it has Content-Length and Transfer-Encoding, \
     more than one length, or a Transfer-Encoding that is not chunked once and last";
/// Message for [`EdgeRejection::UnknownCoding`].
pub(in crate::http) const UNKNOWN_CODING: &str =
    "The request has a Transfer-Encoding that is not supported; chunked is the only one that is";

/// Mark of an answer that comes from a defect: the guard logs the text and writes the answer itself.
#[derive(Debug, Clone)]
pub(in crate::http) struct Defect(pub(in crate::http) String);

/// Mark of an answer to a request that did not arrive whole, and so has asked for nothing.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct HalfSent;

/// Mark of the answer to an `OPTIONS` on a path that has routes.
#[derive(Debug, Clone, Copy)]
struct Options;

/// Returns the answer to `OPTIONS` on a known path; the guard completes it from `Allow`.
pub(in crate::http) fn options() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.extensions_mut().insert(Options);
    response
}

/// Connection details of a request.
pub struct PeerInfo {
    pub(in crate::http) peer: Arc<Peer>,
    /// Reason why the framing of the request cannot be trusted; `None` if it can.
    pub(in crate::http) misframed: Option<Misframed>,
    pub(in crate::http) watch: Option<Arc<ConnectionState>>,
}

impl PeerInfo {
    /// Makes the details of a request without a connection, as in tests and benches. Nothing vouches for the peer.
    pub fn from(peer: IpAddr) -> PeerInfo {
        PeerInfo { peer: Arc::new(Peer::at(peer)), misframed: None, watch: None }
    }
}

/// The guard with the routes behind it. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<Policy>,
    debug: bool,
    router: Router,
    books: Arc<RequestAccounting>,
    /// Time at which a refused `Host` was logged last; `None` if none was.
    told_host: Arc<Mutex<Option<Instant>>>,
    /// Counter of the acts that are under way.
    acts: Acts,
    /// State for calls of tools, which the guard hands to their handler itself: the router's boxes and its map
    /// of extensions cost a call more than keys, limits and usage do. `None` if all requests go through the router.
    calls: Option<Shared>,
    /// Paths of calls: a request to one of them is given up when its caller leaves.
    paths_of_calls: Arc<[&'static str]>,
}

impl Guard {
    pub(in crate::http) fn new(policy: Policy, debug: bool, router: Router, audit: AuditHandle) -> Guard {
        let (books, policy) =
            (Arc::new(RequestAccounting { audit, gateway: None, routes: Vec::new() }), Arc::new(policy));
        let (acts, paths_of_calls) = (Acts::default(), Arc::default());
        Guard { policy, debug, router, books, told_host: Arc::default(), acts, calls: None, paths_of_calls }
    }

    /// Lets calls of tools bypass the router, which has the same handler for them. `routes` is the list of all
    /// routes.
    pub(in crate::http) fn with_routes(mut self, shared: Shared, routes: Vec<Route>) -> Guard {
        self.acts = shared.gateway.acts().clone();
        let (audit, gateway) = (self.books.audit.clone(), Some(shared.gateway.clone()));
        let calling = routes.iter().filter(|route| route.effect == Effect::Calls);
        self.paths_of_calls = calling.map(|route| route.path).collect();
        self.books = Arc::new(RequestAccounting { audit, gateway, routes });
        self.calls = Some(shared);
        self
    }

    /// Logs a refused `Host`, at most once in [`TELL_HOST_EVERY`], so that an operator learns why requests to a
    /// name that is not listed are refused.
    fn tell_host(&self, host: &str) {
        let now = Instant::now();
        let mut told = self.told_host.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| now.duration_since(told) >= TELL_HOST_EVERY) {
            *told = Some(now);
            tracing::warn!(
                host,
                "refused a Host that is not allowed; if it is this daemon, list it in http.allowed_hosts"
            );
        }
    }

    /// Answers a request. The future never fails and never panics. When it is dropped, an act goes on to its
    /// end and is recorded; any other request is given up.
    pub fn call<B>(&self, mut request: Request<B>, visit: PeerInfo) -> ResponseFuture
    where
        B: HttpBody<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let path = request.uri().path();
        let calls =
            self.calls.as_ref().filter(|_| path == plexmcp::INVOKE && request.method() == Method::POST);
        let surface = Surface::of(path);
        let is_act = calls.is_none()
            && Effect::of_method(request.method()) == Effect::Acts
            && !self.paths_of_calls.contains(&path);
        let mut about = RequestMeta {
            surface,
            debug: self.debug,
            request_id: request_id(request.headers()),
            origin: None,
            requested_headers: None,
            peer: visit.peer.clone(),
            visitor: None,
            is_act,
            has_body: !request.body().is_end_stream(),
            asked: match calls {
                Some(_) => Target::Call,
                None => Target::Routed(request.method().clone(), request.uri().clone()),
            },
            books: self.books.clone(),
            trace: tracing::enabled!(tracing::Level::DEBUG)
                .then(|| (request.method().clone(), request.uri().clone(), Instant::now())),
        };
        let watch = visit.watch;
        let checked = match self.policy.check(request.uri(), request.headers()) {
            _ if visit.misframed == Some(Misframed::Unsupported) => {
                Err((StatusCode::NOT_IMPLEMENTED, EdgeRejection::UnknownCoding))
            }
            _ if visit.misframed.is_some() => Err((StatusCode::BAD_REQUEST, EdgeRejection::AmbiguousFraming)),
            Err(HostCheckError::BadHost) => Err((StatusCode::BAD_REQUEST, EdgeRejection::BadHost)),
            Err(HostCheckError::ForeignHost) => {
                let host = foreign_name(request.uri(), request.headers());
                self.tell_host(host);
                Err((StatusCode::FORBIDDEN, EdgeRejection::ForeignHost { host }))
            }
            Err(HostCheckError::ForeignOrigin) => Err((StatusCode::FORBIDDEN, EdgeRejection::ForeignOrigin)),
            Ok(checked) => Ok(checked),
        };
        let checked = match checked {
            Ok(checked) => checked,
            Err((status, refusal)) => {
                about.visitor = Some(RequestContext::new(visit.peer, false));
                let refused = about.refuse(status, refusal);
                return ResponseFuture::here(Handled::Refused(Some(refused)), about, watch);
            }
        };
        about.note_origin(&checked, request.method(), request.headers());
        // `/v1` accepts keys only.
        let claims_nearness =
            surface != Surface::Plexmcp && checked.loopback && !speaks_for_another(request.headers());
        let visitor = RequestContext::new(visit.peer, claims_nearness);
        about.visitor = Some(visitor.clone());
        if let Some(shared) = calls {
            let answer = plexmcp::answer_invoke(shared.clone(), visitor, request);
            return ResponseFuture::here(Handled::Called(Box::pin(answer)), about, watch);
        }
        request.extensions_mut().insert(visitor);
        if !is_act {
            // The router is cloned because a service is called by `&mut`; it is one pointer.
            return ResponseFuture::here(Handled::Routed(self.router.clone().call(request)), about, watch);
        }
        let Some((under_way, listener)) = self.acts.begin() else {
            let busy = about.refuse(StatusCode::SERVICE_UNAVAILABLE, EdgeRejection::TooManyActs);
            return ResponseFuture::here(Handled::Refused(Some(busy)), about, watch);
        };
        let handling = Handling { step: Handled::Routed(self.router.clone().call(request)), about };
        let act = tokio::spawn(async move {
            let answer = handling.await;
            drop(under_way);
            answer
        });
        ResponseFuture { step: State::Acting { act, _listener: listener }, watch }
    }
}

/// Returns the host that a request is for, cut to [`MAX_HOST`] characters: that of an absolute target before that of
/// the header (RFC 9112, section 3.2.2).
fn foreign_name<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = uri.authority().map_or(named, |authority| authority.as_str());
    named.char_indices().nth(MAX_HOST).map_or(named, |(end, _)| &named[..end])
}

/// Future of the answer to a request. See [`Guard::call`].
pub struct ResponseFuture {
    step: State,
    watch: Option<Arc<ConnectionState>>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "nearly every request is the large one; a box would cost each call"
)]
enum State {
    /// Handled by the task that polls the future, and given up when the future is dropped.
    Here(Handling),
    /// An act, handled by a task of its own.
    Acting { act: JoinHandle<Answer>, _listener: Listener },
}

/// A request on its way to its answer.
struct Handling {
    step: Handled,
    about: RequestMeta,
}

enum Handled {
    Refused(Option<Response>),
    Routed(RouteFuture<Infallible>),
    Called(Pin<Box<dyn Future<Output = Response> + Send>>),
    /// The answer to an act is ready, and waits until the act is recorded.
    Recording(oneshot::Receiver<()>, Option<Answer>),
}

/// Request as the audit names it.
enum Target {
    /// A call of a tool.
    Call,
    /// Any other request.
    Routed(Method, Uri),
}

/// Records that requests and answers are entered in; all requests share them.
struct RequestAccounting {
    /// Audit for acts and refusals.
    audit: AuditHandle,
    /// Counter of the memory of large answers; `None` if they are not counted.
    gateway: Option<Gateway>,
    /// Routes that name the acts.
    routes: Vec<Route>,
}

/// Facts of a request that its answer needs.
struct RequestMeta {
    surface: Surface,
    debug: bool,
    request_id: HeaderValue,
    /// Accepted `Origin`; `None` if the request has none.
    origin: Option<HeaderValue>,
    /// Headers that a preflight asks for; `None` for other requests.
    requested_headers: Option<HeaderValue>,
    peer: Arc<Peer>,
    /// State of the request for handlers and the audit; `None` until it is checked, and after it is recorded.
    visitor: Option<Arc<RequestContext>>,
    /// `true` if the request is carried out to its end even when its caller leaves.
    is_act: bool,
    /// `true` if the request has a body.
    has_body: bool,
    asked: Target,
    books: Arc<RequestAccounting>,
    trace: Option<(Method, Uri, Instant)>,
}

impl ResponseFuture {
    fn here(step: Handled, about: RequestMeta, watch: Option<Arc<ConnectionState>>) -> ResponseFuture {
        ResponseFuture { step: State::Here(Handling { step, about }), watch }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let answer = match &mut this.step {
            State::Here(handling) => ready!(Pin::new(handling).poll(cx)),
            // The task fails to end only when the runtime shuts down.
            State::Acting { act, .. } => ready!(Pin::new(act).poll(cx)).unwrap_or_else(|_| {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                Answer { response, owed: None }
            }),
        };
        Poll::Ready(Ok(answer.hand_over(this.watch.take())))
    }
}

/// An answer and the memory that is counted for it until it is read; `owed` is `None` if none is counted.
struct Answer {
    response: Response,
    owed: Option<UnreadAnswer>,
}

impl Answer {
    /// Returns the answer for the connection, which is notified when the answer ends: at once if it is whole and
    /// small, else at the end of its body.
    fn hand_over(self, watch: Option<Arc<ConnectionState>>) -> Response {
        let Answer { response, owed } = self;
        if let Some(watch) = &watch {
            watch.answering();
        }
        let is_small = response.body().size_hint().exact().is_some_and(|length| length <= owed::SMALL);
        match watch {
            Some(watch) if is_small => {
                watch.answered();
                response
            }
            None if owed.is_none() => response,
            watch => owed::owing(response, owed, watch),
        }
    }
}

impl Future for Handling {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.get_mut();
        let response = match &mut this.step {
            Handled::Refused(response) => response.take().unwrap_or_default(),
            Handled::Recording(written, answer) => {
                // The audit itself logs the loss of a record.
                let _ = ready!(Pin::new(written).poll(cx));
                let nothing = || Answer { response: Response::default(), owed: None };
                return Poll::Ready(answer.take().unwrap_or_else(nothing));
            }
            Handled::Routed(routed) => {
                let polled = caught(|| Pin::new(routed).poll(cx).map(|Ok(response)| response));
                ready!(polled).unwrap_or_else(|panic| this.about.panicked(&*panic))
            }
            Handled::Called(answer) => {
                let polled = caught(|| answer.as_mut().poll(cx));
                ready!(polled).unwrap_or_else(|panic| this.about.panicked(&*panic))
            }
        };
        let Answer { response, owed } = this.about.with_room(response);
        let response = this.about.finish(response);
        let recording = this.about.record(&response);
        let answer = Answer { response, owed };
        match recording {
            None => Poll::Ready(answer),
            Some(written) => {
                this.step = Handled::Recording(written, Some(answer));
                Pin::new(this).poll(cx)
            }
        }
    }
}

impl Drop for Handling {
    /// Records a request that is given up because its caller has left. It may have been carried out all the
    /// same.
    fn drop(&mut self) {
        if let Some(visitor) = self.about.visitor.take() {
            visitor.left(&self.about.books.audit, self.about.request_id.to_str().unwrap_or_default());
        }
    }
}

/// Polls a handler and catches a panic. Nothing of the handler is used after one: its future is not polled again.
fn caught(poll: impl FnOnce() -> Poll<Response>) -> Poll<Result<Response, Box<dyn Any + Send>>> {
    match catch_unwind(AssertUnwindSafe(poll)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    }
}

impl RequestMeta {
    fn refuse(&self, status: StatusCode, refusal: EdgeRejection<'_>) -> Response {
        let mut response = self.surface.refusal(refusal);
        debug_assert_eq!(response.status(), status, "each surface answers a refusal with the same status");
        *response.status_mut() = status;
        // After such a head, the start of the next one cannot be trusted.
        if matches!(
            refusal,
            EdgeRejection::AmbiguousFraming | EdgeRejection::UnknownCoding | EdgeRejection::BadHost
        ) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn note_origin(&mut self, checked: &Checked, method: &Method, headers: &HeaderMap) {
        if !checked.has_origin {
            return;
        }
        self.origin = headers.get(ORIGIN).cloned();
        if method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            self.requested_headers = headers.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        }
    }

    /// Has the audit record the request. Returns the signal that the answer waits for; `None` if it need not wait.
    fn record(&mut self, response: &Response) -> Option<oneshot::Receiver<()>> {
        let visitor = self.visitor.take()?;
        let status = response.status();
        if !visitor.is_worth_recording(status, self.is_act) {
            return None;
        }
        debug_assert!(
            self.is_act || !visitor.record.is_act(),
            "an act must not be given up: a route of a method that only reads, or of calls, has done one"
        );
        let asked = || match &self.asked {
            Target::Call => Unnamed { request: format!("POST {}", plexmcp::INVOKE), act: None },
            Target::Routed(method, uri) => Unnamed {
                request: format!("{method} {}", uri.path()),
                act: act_of(&self.books.routes, method, uri.path()),
            },
        };
        let is_act = self.is_act && response.extensions().get::<HalfSent>().is_none();
        let id = response.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        visitor.answered(&self.books.audit, status, id, is_act, asked)
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> Response {
        self.internal_error(&format!("a handler panicked: {}", panic_text(panic)))
    }

    fn internal_error(&self, cause: &str) -> Response {
        let request_id = self.request_id.to_str().unwrap_or_default();
        tracing::error!(request_id, cause, "internal error");
        if let Some(visitor) = &self.visitor {
            // A defect in the middle of an act does not tell whether the act took effect.
            visitor.is_unclear();
        }
        self.surface.refusal(EdgeRejection::Internal { request_id, cause: self.debug.then_some(cause) })
    }

    fn finish(&mut self, mut response: Response) -> Response {
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR
            && let Some(Defect(cause)) = response.extensions_mut().remove::<Defect>()
        {
            response = self.internal_error(&cause);
        } else if response.status() == StatusCode::METHOD_NOT_ALLOWED
            && response.extensions_mut().remove::<Options>().is_some()
        {
            self.complete_options(&mut response);
        } else if response.status() == StatusCode::UNAUTHORIZED
            && let Some(FailedLogin { prefix, why }) = response.extensions_mut().remove::<FailedLogin>()
        {
            tracing::info!(peer = %self.peer.place(), prefix, why, "authentication failed");
            // The router adds the methods of a path to the answer; a caller without a key must not learn them.
            response.headers_mut().remove(ALLOW);
            if self.has_body {
                // The body was not read, so the connection may end after this answer: a proxy that keeps
                // connections open has to know.
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
        }
        let headers = response.headers_mut();
        if let Some(origin) = self.origin.take() {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.append(VARY, HeaderValue::from_static("Origin"));
            headers.insert(
                ACCESS_CONTROL_EXPOSE_HEADERS,
                HeaderValue::from_static(
                    "X-Request-Id, Retry-After, WWW-Authenticate, Allow, Location, X-RateLimit-Limit, \
                     X-RateLimit-Remaining, X-RateLimit-Reset",
                ),
            );
        }
        if let Some(visitor) = &self.visitor {
            visitor.put_rate_on(headers);
        }
        if let Some((method, uri, since)) = self.trace.take() {
            let request_id = self.request_id.to_str().unwrap_or_default();
            let (status, us) = (response.status().as_u16(), since.elapsed().as_micros());
            tracing::debug!(request_id, %method, path = uri.path(), status, us, "answered");
        }
        let request_id = std::mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        response
    }

    /// Returns the answer if there is memory for it beside all answers that wait to be read; else an error.
    fn with_room(&mut self, mut response: Response) -> Answer {
        let (Some(gateway), Some(weight)) = (&self.books.gateway, owed::weight(&mut response)) else {
            return Answer { response, owed: None };
        };
        let carried_out = matches!(self.asked, Target::Call);
        let caller = self.visitor.as_deref().and_then(RequestContext::caller);
        match gateway.owe(caller, weight, carried_out) {
            Ok(owed) => Answer { response, owed: Some(owed) },
            Err(error) => {
                if let Some(visitor) = &self.visitor {
                    // The request was carried out, and only its answer is withheld.
                    visitor.is_unclear();
                }
                Answer { response: self.surface.failure(error), owed: None }
            }
        }
    }

    /// Completes the answer to `OPTIONS` on a known path: it lists the methods, and for a preflight it allows
    /// them and the headers that are asked for.
    fn complete_options(&mut self, response: &mut Response) {
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.remove(CONTENT_TYPE);
        let routed = headers.get(ALLOW).and_then(|allow| allow.to_str().ok()).unwrap_or_default();
        let methods = format!("{},OPTIONS", routed.replace(',', ", ")).replace(",OPTIONS", ", OPTIONS");
        let Ok(methods) = HeaderValue::try_from(methods) else { return };
        if self.origin.is_some() {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            if let Some(requested) = self.requested_headers.take() {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, requested);
            }
        }
        headers.insert(ALLOW, methods);
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Returns the client's request id if it sent a single valid one, else a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(X_REQUEST_ID).iter();
    match (given.next(), given.next()) {
        (Some(id), None)
            if (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic) =>
        {
            id.clone()
        }
        _ => new_request_id(),
    }
}

/// Returns a new id: `req_`, eight hexadecimal digits for this run of the daemon, and a number that counts up.
/// Ids name log lines and protect nothing, so they need not be unguessable.
fn new_request_id() -> HeaderValue {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    static RUN: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let run = *RUN.get_or_init(|| RandomState::new().hash_one(std::process::id()));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = *b"req_00000000_00000000000";
    let (head, tail) = id.split_at_mut(12);
    for (digits, mut value) in [(&mut head[4..], run), (&mut tail[1..], number)] {
        for place in digits.iter_mut().rev() {
            *place = DIGITS[(value & 0xf) as usize];
            value >>= 4;
        }
    }
    header_pool::value(&id).unwrap_or(HeaderValue::from_static("req"))
}

#[cfg(test)]
mod tests;
