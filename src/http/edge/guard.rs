//! Checks that every request passes before a route sees it, and every answer after: framing, `Host`,
//! `Origin`, the request id, CORS, and panics, which become an internal error of one request.
//!
//! A request whose client leaves while it is handled is given up, unless it is an act: an act goes on in
//! a task of its own, so that every change that takes effect is recorded. The guard decides which
//! requests are acts, by the method and the list of routes; the handlers do not.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::HttpBody;
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use axum::response::Response;
use tower_service::Service;

use super::answer::{
    Handled, Handling, RequestAccounting, RequestMeta, ResponseFuture, State, Target, caught,
};
use super::cors::CrossOrigin;
use super::forwarded::speaks_for_another;
use super::origin::{Checked, HostCheckError, Policy};
use super::request_id::{given_request_id, new_request_id};
use crate::gateway::{Acts, AuditHandle, Origin, RequestId};
use crate::http::core::auth::carries_credential;
use crate::http::core::context::RequestContext;
use crate::http::core::dialect::{Dialect, Dialects, FastPath};
use crate::http::core::head::{JudgedHead, RequestHead};
use crate::http::core::rejection::EdgeRejection;
use crate::http::core::routes::{Effect, Route, is_filled, is_for};
use crate::http::core::shared::Shared;
use crate::http::core::sign_in::SignedIn;
use crate::http::server::HttpService;
use crate::http::server::framing::Misframed;
use crate::http::server::peer::PeerInfo;
use crate::http::server::request_body::RequestBody;
use crate::http::server::state::ConnectionState;

/// Most characters of a refused `Host` that are shown; a name has at most 253 (RFC 1035).
const MAX_HOST: usize = 253;
/// Least time between two log entries of a refused `Host`: it is easily repeated, and an operator needs one.
const TELL_HOST_EVERY: Duration = Duration::from_secs(60);

/// A fast path, with the dialect that it is of.
type FastRoute = (&'static FastPath, &'static dyn Dialect);

/// What a head is for.
struct Bound<'a> {
    head: Arc<RequestHead>,
    /// Fast path with its number and the state for its handler; `None` if the request goes through the router.
    fast: Option<(&'a Shared, usize, FastRoute)>,
    /// Who is signed in, where the request came by the dashboard.
    signed_in: Option<Box<SignedIn>>,
    /// Answer that refuses it; `None` if it goes on.
    refused: Option<Response>,
}

/// The guard with the routes behind it. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<Policy>,
    debug: bool,
    dialects: Dialects,
    router: Router,
    books: Arc<RequestAccounting>,
    /// Time at which a refused `Host` was logged last; `None` if none was.
    told_host: Arc<Mutex<Option<Instant>>>,
    /// Counter of the acts that are under way.
    acts: Acts,
    /// Fast paths, and the state for their handlers. The guard hands such a request over itself: the router's
    /// boxes and its map of extensions cost a call more than keys, limits and usage do. `None` if all requests go
    /// through the router.
    fast: Option<(Shared, Arc<[FastRoute]>)>,
    /// Routes of calls: a request to one of them is given up when its caller leaves.
    calls: Arc<[Route]>,
}

impl Guard {
    /// Creates the guard before a router. All requests go through the router, and none is counted.
    pub(in crate::http) fn new(
        policy: Policy,
        debug: bool,
        dialects: Dialects,
        router: Router,
        audit: AuditHandle,
    ) -> Guard {
        let books = Arc::new(RequestAccounting { audit, gateway: None, routes: Vec::new() });
        let (acts, calls) = (Acts::default(), Arc::default());
        let policy = Arc::new(policy);
        let told_host = Arc::default();
        Guard { policy, debug, dialects, router, books, told_host, acts, fast: None, calls }
    }

    /// Lets requests of fast paths bypass the router, which has the same handlers for them, and counts the memory
    /// of answers and the acts of the gateway.
    pub(in crate::http) fn with_routes(mut self, shared: Shared) -> Guard {
        let routes: Vec<Route> = self.dialects.routes();
        self.acts = shared.gateway.acts().clone();
        let (audit, gateway) = (self.books.audit.clone(), Some(shared.gateway.clone()));
        self.calls = routes.iter().filter(|route| route.effect == Effect::Calls).copied().collect();
        self.books = Arc::new(RequestAccounting { audit, gateway, routes });
        let dialects = self.dialects;
        let paths = dialects.fast_paths().map(|fast| (fast, dialects.of(fast.path)));
        self.fast = Some((shared, paths.collect()));
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

    /// Returns the number of the fast path that a request is for; `None` if it goes through the router.
    fn fast_path(&self, method: &Method, path: &str) -> Option<usize> {
        let (_, paths) = self.fast.as_ref()?;
        let is_path = |fast: &FastPath| fast.path == path || is_filled(fast.path, path);
        paths.iter().position(|(fast, _)| is_path(fast) && fast.method == *method)
    }

    /// Answers a request. The future never fails and never panics. When it is dropped, an act goes on to its end and is
    /// recorded; any other request is given up.
    pub fn call(&self, request: Request<impl Into<RequestBody>>, visit: PeerInfo) -> ResponseFuture {
        let (head, body) = request.into_parts();
        self.answer(Arc::new(head.into()), body.into(), visit)
    }

    /// Answers a request with this head and body, as `call` does.
    fn answer(&self, head: Arc<RequestHead>, body: RequestBody, visit: PeerInfo) -> ResponseFuture {
        let Bound { head, fast, signed_in, refused } = self.bound(head);
        let path = head.uri.path();
        let dialect = fast.map_or_else(|| self.dialects.of(path), |(_, _, (_, dialect))| dialect);
        let given = match head.judged.get() {
            Some(known) => known.request_id.clone(),
            None => given_request_id(&head.headers),
        };
        let (id, request_id) = given.clone().unwrap_or_else(new_request_id);
        let origin = Origin { dialect: dialect.surface().into(), request: id };
        let mut about = RequestMeta {
            dialect,
            debug: self.debug,
            request_id,
            cross_origin: CrossOrigin::default(),
            peer: visit.peer.clone(),
            context: None,
            is_act: fast.is_none() && self.is_act(&head),
            has_body: !body.is_end_stream(),
            asked: match fast {
                Some((_, _, (fast, _))) => Target::Call(fast),
                None => Target::Routed(head.method.clone(), head.uri.clone()),
            },
            books: self.books.clone(),
            since: Instant::now(),
            trace: tracing::enabled!(tracing::Level::DEBUG).then(|| (head.method.clone(), head.uri.clone())),
        };
        let watch = visit.watch;
        let number = fast.map(|(_, number, _)| number);
        let refused = match self.judged(&head, dialect, (number, given), visit.misframed) {
            Ok(()) => refused,
            Err((status, rejection)) => Some(about.refuse(status, rejection)),
        };
        let judged = match (refused, head.judged.get()) {
            (None, Some(judged)) => judged,
            (refused, _) => {
                about.context = Some(Arc::new(RequestContext::new(visit.peer, false, origin, None)));
                return ResponseFuture::here(Handled::Refused(refused), about, watch);
            }
        };
        if judged.has_origin {
            about.cross_origin = CrossOrigin::of(&head.method, &head.headers);
        }
        let (kept, near) = (Some(Arc::clone(&head)), judged.claims_nearness);
        let context = RequestContext::new(visit.peer, near, origin, kept);
        let context = Arc::new(context.over(watch.clone()).by_dashboard(signed_in));
        about.context = Some(context.clone());
        if let Some((shared, _, (fast, _))) = fast {
            let step = match caught(|| (fast.handler)(shared.clone(), context, head, body)) {
                Ok(answer) => Handled::Called(answer),
                Err(panic) => Handled::Refused(Some(about.panicked(&*panic))),
            };
            return ResponseFuture::here(step, about, watch);
        }
        let mut request = head.request(body);
        request.extensions_mut().insert(context);
        self.hand_to_router(request, about, watch)
    }

    /// Hands a request to the router: an act in a task of its own.
    fn hand_to_router(
        &self,
        request: Request<RequestBody>,
        about: RequestMeta,
        watch: Option<Arc<ConnectionState>>,
    ) -> ResponseFuture {
        if !about.is_act {
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

    /// Finds out what a head is for: a fast path, or the request of a dialect that it stands for.
    fn bound(&self, head: Arc<RequestHead>) -> Bound<'_> {
        let fast = match head.judged.get() {
            Some(known) => known.fast,
            None => self.fast_path(&head.method, head.uri.path()),
        };
        let fast = self.fast.as_ref().zip(fast);
        let fast = fast.map(|((shared, paths), number)| (shared, number, paths[number]));
        let itself = |head, refused| Bound { head, fast, signed_in: None, refused };
        let (None, Some((shared, _))) = (fast, &self.fast) else { return itself(head, None) };
        match self.dialects.of(head.uri.path()).stands_for(shared, &head) {
            None => itself(head, None),
            Some(Err(refusal)) => itself(head, Some(refusal)),
            Some(Ok((other, signed_in))) => {
                Bound { head: Arc::new(other), fast, signed_in: Some(Box::new(signed_in)), refused: None }
            }
        }
    }

    /// Reports whether a request changes something.
    fn is_act(&self, head: &RequestHead) -> bool {
        let is_call = |route: &Route| is_for(route, &head.method, head.uri.path());
        Effect::of_method(&head.method) == Effect::Acts && !self.calls.iter().any(is_call)
    }

    /// Judges a head, unless it was accepted before. `Err` holds the status and the reason against it.
    fn judged<'a>(
        &self,
        head: &'a RequestHead,
        dialect: &dyn Dialect,
        (fast, request_id): (Option<usize>, Option<(RequestId, HeaderValue)>),
        misframed: Option<Misframed>,
    ) -> Result<(), (StatusCode, EdgeRejection<'a>)> {
        if misframed.is_none() && head.judged.get().is_some() {
            return Ok(());
        }
        let Checked { loopback, has_origin } = self.check(head, misframed)?;
        // Whoever sends a credential is asked for it and for nothing else.
        let claims_nearness = dialect.trusts_nearness()
            && loopback
            && !carries_credential(&head.headers)
            && !speaks_for_another(&head.headers);
        head.judged.get_or_init(|| JudgedHead { fast, has_origin, claims_nearness, request_id });
        Ok(())
    }

    /// Checks the framing, `Host` and `Origin` of a request. `Err` holds the status and the reason against it.
    fn check<'a>(
        &self,
        head: &'a RequestHead,
        misframed: Option<Misframed>,
    ) -> Result<Checked, (StatusCode, EdgeRejection<'a>)> {
        match misframed {
            Some(Misframed::Unsupported) => {
                return Err((StatusCode::NOT_IMPLEMENTED, EdgeRejection::UnknownCoding));
            }
            Some(Misframed::Ambiguous) => {
                return Err((StatusCode::BAD_REQUEST, EdgeRejection::AmbiguousFraming));
            }
            None => {}
        }
        self.policy.check(&head.uri, &head.headers).map_err(|error| match error {
            HostCheckError::BadHost => (StatusCode::BAD_REQUEST, EdgeRejection::BadHost),
            HostCheckError::ForeignHost => {
                let host = foreign_name(&head.uri, &head.headers);
                self.tell_host(host);
                (StatusCode::FORBIDDEN, EdgeRejection::ForeignHost { host })
            }
            HostCheckError::ForeignOrigin => (StatusCode::FORBIDDEN, EdgeRejection::ForeignOrigin),
        })
    }
}

impl HttpService for Guard {
    type Future = ResponseFuture;

    fn answer(&self, head: Arc<RequestHead>, body: RequestBody, peer: PeerInfo) -> ResponseFuture {
        Guard::answer(self, head, body, peer)
    }
}

/// Returns the host that a request is for, cut to [`MAX_HOST`] characters: that of an absolute target before that of
/// the header (RFC 9112, section 3.2.2).
fn foreign_name<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> &'a str {
    let named = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = uri.authority().map_or(named, |authority| authority.as_str());
    named.char_indices().nth(MAX_HOST).map_or(named, |(end, _)| &named[..end])
}

#[cfg(test)]
mod tests;
