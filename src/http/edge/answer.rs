//! The answer to a request on its way: handled, checked, recorded, and handed to the connection.
//!
//! The future is written by hand. Ordinary middleware boxes one future per layer, and a stack of layers costs a
//! call as much as the rest of the front.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::http::header::{ALLOW, CONNECTION};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::cors::CrossOrigin;
use super::request_id::X_REQUEST_ID;
use crate::gateway::{AuditHandle, Gateway, Listener, UnreadAnswer};
use crate::http::core::auth::FailedLogin;
use crate::http::core::context::{RequestContext, Unnamed};
use crate::http::core::dialect::{Answering, Dialect, FastPath};
use crate::http::core::owed;
use crate::http::core::rejection::EdgeRejection;
use crate::http::core::response_meta::{Defect, HalfSent};
use crate::http::core::routes::{Route, act_of};
use crate::http::core::while_signed_in::while_signed_in;
use crate::http::server::peer::Peer;
use crate::http::server::state::ConnectionState;

/// Future of the answer to a request. See [`super::guard::Guard::call`].
pub struct ResponseFuture {
    pub(super) step: State,
    pub(super) watch: Option<Arc<ConnectionState>>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "nearly every request is the large one; a box would cost each call"
)]
pub(super) enum State {
    /// Handled by the task that polls the future, and given up when the future is dropped.
    Here(Handling),
    /// An act, handled by a task of its own.
    Acting { act: JoinHandle<Answer>, _listener: Listener },
}

/// A request on its way to its answer.
pub(super) struct Handling {
    pub(super) step: Handled,
    pub(super) about: RequestMeta,
}

pub(super) enum Handled {
    Refused(Option<Response>),
    Routed(RouteFuture<Infallible>),
    Called(Answering<'static>),
    /// The answer to an act is ready, and waits until the act is recorded.
    Recording(oneshot::Receiver<()>, Option<Answer>),
}

/// Request as the audit names it.
pub(super) enum Target {
    /// A request of a dialect's fast path.
    Call(&'static FastPath),
    /// Any other request.
    Routed(Method, Uri),
}

/// Records that requests and answers are entered in; all requests share them.
pub(super) struct RequestAccounting {
    /// Audit for acts and refusals.
    pub(super) audit: AuditHandle,
    /// Counter of the memory of large answers; `None` if they are not counted.
    pub(super) gateway: Option<Gateway>,
    /// Routes that name the acts.
    pub(super) routes: Vec<Route>,
}

/// Facts of a request that its answer needs.
pub(super) struct RequestMeta {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) debug: bool,
    pub(super) request_id: HeaderValue,
    pub(super) cross_origin: CrossOrigin,
    pub(super) peer: Arc<Peer>,
    /// State of the request for handlers and the audit; `None` until it is checked, and after it is recorded.
    pub(super) context: Option<Arc<RequestContext>>,
    /// `true` if the request is carried out to its end even when its caller leaves.
    pub(super) is_act: bool,
    /// `true` if the request has a body.
    pub(super) has_body: bool,
    pub(super) asked: Target,
    pub(super) books: Arc<RequestAccounting>,
    pub(super) since: Instant,
    pub(super) trace: Option<(Method, Uri)>,
}

impl ResponseFuture {
    pub(super) fn here(
        step: Handled,
        about: RequestMeta,
        watch: Option<Arc<ConnectionState>>,
    ) -> ResponseFuture {
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
pub(super) struct Answer {
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
            Handled::Routed(routed) => match caught(|| Pin::new(routed).poll(cx)) {
                Ok(polled) => ready!(polled).unwrap_or_else(|never| match never {}),
                Err(panic) => this.about.panicked(&*panic),
            },
            Handled::Called(answer) => match caught(|| answer.as_mut().poll(cx)) {
                Ok(polled) => ready!(polled),
                Err(panic) => this.about.panicked(&*panic),
            },
        };
        let response = match this.about.context.as_ref().and_then(|context| context.signed_in()) {
            Some(signed_in) => while_signed_in(response, signed_in),
            None => response,
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
        if let Some(context) = self.about.context.take() {
            context.left(&self.about.books.audit, self.about.request_id.to_str().unwrap_or_default());
        }
    }
}

/// Runs a part of a handler and catches a panic. Nothing of the handler is used after one.
pub(super) fn caught<T>(part: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(part))
}

impl RequestMeta {
    pub(super) fn refuse(&self, status: StatusCode, refusal: EdgeRejection<'_>) -> Response {
        let mut response = self.dialect.reject(refusal);
        debug_assert_eq!(response.status(), status, "each dialect answers a rejection with the same status");
        *response.status_mut() = status;
        if let (Some(gateway), Some(reason)) = (&self.books.gateway, refusal.reason()) {
            gateway.count_refusal(reason);
        }
        // After such a head, the start of the next one cannot be trusted.
        if matches!(
            refusal,
            EdgeRejection::AmbiguousFraming | EdgeRejection::UnknownCoding | EdgeRejection::BadHost
        ) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Has the audit record the request. Returns the signal that the answer waits for; `None` if it need not wait.
    fn record(&mut self, response: &Response) -> Option<oneshot::Receiver<()>> {
        let context = self.context.take()?;
        let status = response.status();
        if !context.is_worth_recording(status, self.is_act) {
            return None;
        }
        debug_assert!(
            self.is_act || !context.is_act(),
            "an act must not be given up: a route of a method that only reads, or of calls, has done one"
        );
        let asked = || match &self.asked {
            Target::Call(path) => Unnamed { request: format!("{} {}", path.method, path.path), act: None },
            Target::Routed(method, uri) => Unnamed {
                request: format!("{method} {}", uri.path()),
                act: act_of(&self.books.routes, method, uri.path()),
            },
        };
        let is_act = self.is_act && response.extensions().get::<HalfSent>().is_none();
        let id = response.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        context.answered(&self.books.audit, status, id, is_act, asked)
    }

    pub(super) fn panicked(&self, panic: &(dyn Any + Send)) -> Response {
        self.internal_error(&format!("a handler panicked: {}", panic_text(panic)))
    }

    fn internal_error(&self, cause: &str) -> Response {
        let request_id = self.request_id.to_str().unwrap_or_default();
        tracing::error!(request_id, cause, "internal error");
        if let Some(context) = &self.context {
            // A defect in the middle of an act does not tell whether the act took effect.
            context.is_unclear();
        }
        self.dialect.reject(EdgeRejection::Internal { request_id, cause: self.debug.then_some(cause) })
    }

    fn finish(&mut self, mut response: Response) -> Response {
        if response.status() == StatusCode::INTERNAL_SERVER_ERROR
            && let Some(Defect(cause)) = response.extensions_mut().remove::<Defect>()
        {
            response = self.internal_error(&cause);
        } else if self.cross_origin.complete_options(&mut response) {
            // Nothing else applies to it.
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
        if let Some(context) = &self.context {
            context.put_challenge_on(&mut response);
        }
        self.cross_origin.allow_on(response.headers_mut());
        let took = self.since.elapsed();
        self.count(response.status(), took);
        let headers = response.headers_mut();
        if let Some(context) = &self.context {
            context.put_rate_on(headers);
        }
        if let Some((method, uri)) = self.trace.take() {
            let request_id = self.request_id.to_str().unwrap_or_default();
            let (status, us) = (response.status().as_u16(), took.as_micros());
            tracing::debug!(request_id, %method, path = uri.path(), status, us, "answered");
        }
        let request_id = std::mem::replace(&mut self.request_id, HeaderValue::from_static(""));
        response.headers_mut().insert(X_REQUEST_ID, request_id);
        response
    }

    /// Counts the answer, and why a request was refused that no server had.
    fn count(&self, status: StatusCode, took: Duration) {
        let Some(gateway) = &self.books.gateway else { return };
        gateway.count_answer(self.dialect.surface(), status.as_u16(), took);
        match status {
            StatusCode::UNAUTHORIZED => gateway.count_refusal("unauthenticated"),
            StatusCode::TOO_MANY_REQUESTS
                if self.context.as_ref().is_some_and(|context| context.is_over_rate()) =>
            {
                gateway.count_refusal("rate_limited");
            }
            _ => {}
        }
    }

    /// Returns the answer if there is memory for it beside all answers that wait to be read; else an error.
    fn with_room(&mut self, mut response: Response) -> Answer {
        let (Some(gateway), Some(weight)) = (&self.books.gateway, owed::weight(&mut response)) else {
            return Answer { response, owed: None };
        };
        let carried_out = matches!(self.asked, Target::Call(_));
        let caller = self.context.as_deref().and_then(RequestContext::caller);
        match gateway.owe(caller, weight, carried_out) {
            Ok(owed) => Answer { response, owed: Some(owed) },
            Err(error) => {
                if let Some(context) = &self.context {
                    // The request was carried out, and only its answer is withheld.
                    context.is_unclear();
                }
                Answer { response: self.dialect.failure(error), owed: None }
            }
        }
    }
}
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}
