//! State of one request, which the edge makes, handlers fill in and the answer reports.

mod record;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;

use self::record::Record;
pub(in crate::http) use self::record::Unnamed;
use super::auth_error::{AuthError, Challenge};
use super::head::RequestHead;
use super::sign_in::SignedIn;
use super::timestamp::retry_seconds;
use crate::gateway::{Origin, Principal, RateReading};
use crate::http::server::peer::Peer;
use crate::http::server::state::ConnectionState;
use crate::unix_time;

const X_RATELIMIT_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_RATELIMIT_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RATELIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// State of one request: what the guard knows and handlers need, and what handlers find out and the answer
/// reports.
#[derive(Debug)]
pub(in crate::http) struct RequestContext {
    /// Client end of the connection that the request came over.
    pub(in crate::http) peer: Arc<Peer>,
    /// `true` if `Host` and `Origin` are loopback and nothing in the request speaks for somebody else. The
    /// daemon's own user then needs no key, if that user holds the connection.
    pub(in crate::http) claims_nearness: bool,
    /// Head of the request; `None` if it was refused for it.
    head: Option<Arc<RequestHead>>,
    /// Connection that waits for the answer; `None` if there is none that could be asked for anything.
    connection: Option<Arc<ConnectionState>>,
    /// Dialect and id of the request.
    origin: Origin,
    /// Caller and rate, set once the caller is known.
    known: OnceLock<Known>,
    /// Principal that is signed in, where the request came by the dashboard: it stands in for a credential.
    signed_in: Option<Box<SignedIn>>,
    /// Outcome of verifying the access token of the request, once there is one.
    token: OnceLock<Box<Result<Principal, AuthError>>>,
    /// Challenge of a refusal, which tells where access tokens come from.
    challenge: OnceLock<Box<Challenge>>,
    /// Entries for the audit log that the handlers collect.
    record: Record,
}

/// Caller of a request, and the rest of its rate limit.
#[derive(Debug)]
struct Known {
    caller: Principal,
    /// The rate reading, with the second since 1970 in which the full rate is available again. `None` if the
    /// caller's rate has no limit.
    rate: Option<(RateReading, u64)>,
}

impl RequestContext {
    pub(in crate::http) fn new(
        peer: Arc<Peer>,
        claims_nearness: bool,
        origin: Origin,
        head: Option<Arc<RequestHead>>,
    ) -> RequestContext {
        RequestContext {
            peer,
            claims_nearness,
            head,
            connection: None,
            signed_in: None,
            origin,
            known: OnceLock::new(),
            token: OnceLock::new(),
            challenge: OnceLock::new(),
            record: Record::default(),
        }
    }

    /// Adds the connection that waits for the answer.
    pub(in crate::http) fn over(self, connection: Option<Arc<ConnectionState>>) -> RequestContext {
        RequestContext { connection, ..self }
    }

    /// Adds whoever is signed in, if the request came by the dashboard.
    pub(in crate::http) fn by_dashboard(self, signed_in: Option<Box<SignedIn>>) -> RequestContext {
        RequestContext { signed_in, ..self }
    }

    /// Waits for what the answer is made of, for at most this time: by the timer of the connection, which is there
    /// anyway, so that hardly any request sets one. `None` if that time is over; `made` can be waited for again. Must be
    /// awaited where the request is handled, and not in a task of its own.
    pub(in crate::http) async fn within<F: Future + Unpin>(
        &self,
        time: Duration,
        made: &mut F,
    ) -> Option<F::Output> {
        let Some(connection) = &self.connection else {
            return tokio::time::timeout(time, made).await.ok();
        };
        connection.wake_after(time);
        poll_fn(|context| match Pin::new(&mut *made).poll(context) {
            Poll::Ready(made) => Poll::Ready(Some(made)),
            Poll::Pending if connection.has_woken() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Reports whether the client has closed its sending half, as one does that has left.
    pub(in crate::http) fn client_may_have_left(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.may_have_left())
    }

    /// Returns a caller as it calls by this request.
    pub(in crate::http) fn calling(&self, caller: Principal) -> Principal {
        caller.from_origin(self.origin.clone())
    }

    /// Returns the head of the request; `None` if it was refused for it.
    pub(super) fn head(&self) -> Option<&RequestHead> {
        self.head.as_deref()
    }

    /// Returns the caller, or `None` while it is not known.
    pub(in crate::http) fn caller(&self) -> Option<&Principal> {
        self.known.get().map(|known| &known.caller)
    }

    /// Stores the caller and the rest of its rate limit, as read at `now`.
    pub(super) fn told(
        &self,
        caller: Principal,
        reading: Option<RateReading>,
        now: SystemTime,
    ) -> &Principal {
        let rate = reading.map(|reading| {
            let full_at = unix_time::since_epoch(now) + reading.full_in;
            (reading, retry_seconds(full_at))
        });
        let caller = caller.from_origin(self.origin.clone());
        &self.known.get_or_init(|| Known { caller, rate }).caller
    }

    /// Returns who is signed in, where the request came by the dashboard.
    pub(in crate::http) fn signed_in(&self) -> Option<&SignedIn> {
        self.signed_in.as_deref()
    }

    /// Returns the outcome of verifying the access token; `None` if nobody has.
    pub(super) fn token(&self) -> Option<&Result<Principal, AuthError>> {
        self.token.get().map(|outcome| &**outcome)
    }

    /// Keeps the outcome of verifying the access token.
    pub(super) fn keep_token(&self, outcome: Result<Principal, AuthError>) {
        let _ = self.token.set(Box::new(outcome));
    }

    /// Keeps the challenge that an answer of its status is to have.
    pub(super) fn keep_challenge(&self, challenge: Option<Challenge>) {
        if let Some(challenge) = challenge {
            let _ = self.challenge.set(Box::new(challenge));
        }
    }

    /// Puts the challenge on an answer of its status.
    pub(in crate::http) fn put_challenge_on(&self, response: &mut Response) {
        if let Some(challenge) = self.challenge.get()
            && challenge.status == response.status()
        {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge.value.clone());
        }
    }

    /// Reports whether the request was refused because its caller has made too many.
    pub(in crate::http) fn is_over_rate(&self) -> bool {
        let rate = self.known.get().and_then(|known| known.rate.as_ref());
        rate.is_some_and(|(reading, _)| reading.refused.is_some())
    }

    /// Adds the three headers of an answer to a caller whose requests are limited (`docs/http-api.md`, P3.3).
    pub(in crate::http) fn put_rate_on(&self, headers: &mut HeaderMap) {
        let Some(Known { rate: Some((reading, full_at)), .. }) = self.known.get() else { return };
        headers.insert(X_RATELIMIT_LIMIT, number(reading.limit.into()));
        headers.insert(X_RATELIMIT_REMAINING, number(reading.remaining.into()));
        headers.insert(X_RATELIMIT_RESET, number(*full_at));
    }
}

/// Returns a header value of this number. `HeaderValue::from` would take two pieces of memory for it.
fn number(number: u64) -> HeaderValue {
    HeaderValue::from_str(itoa::Buffer::new().format(number)).unwrap_or(HeaderValue::from_static("0"))
}
