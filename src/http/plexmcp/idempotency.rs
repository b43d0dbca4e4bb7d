//! Calls with an `Idempotency-Key` (`docs/http-api.md`, P10.9 to P10.12): each is carried out once, however often it comes, and
//! answers again.
//!
//! Such a call is a task of its own, which outlives its caller for a while: a proxy or a library that repeats a request
//! because its connection was closed comes back at once, and is to get the reply. One at a time may wait for it, beside those
//! that seem to have left.

mod table;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::response::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use self::table::{Capacity, End, Found, Table};
use super::errors::ApiError;
use super::{RequestContext, Shared, payloads, prepare};
use crate::gateway::{Error, PreparedCall, ToolCall, ToolReply};
use crate::http::core::auth::AuthError;
use crate::http::core::head::RequestHead;
use crate::http::core::owed::{body_of, pieces_of};
use crate::http::core::trace::trace_members;
use crate::http::server::request_body::RequestBody;

/// Header of a request whose call is to be carried out once.
pub(super) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Header of a reply that was made for an earlier request.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// Longest key, in bytes.
const MAX_KEY: usize = 255;
/// Numbers that bound what is known of such calls; `docs/limits.md` has them.
const CAPACITY: Capacity = Capacity {
    calls: 65_536,
    bytes: 32 * 1024 * 1024,
    reply: 1024 * 1024,
    kept_for: Duration::from_secs(24 * 3600),
};
/// Time that a call goes on when nobody waits for it any more.
const GRACE: Duration = Duration::from_secs(5);

/// SHA-256 of who called and of its key.
type CallId = [u8; 32];
/// SHA-256 of what was asked for.
type Asked = [u8; 32];

/// All that is known of such calls.
struct Calls(Mutex<Table<CallId, Asked, Arc<Run>, Arc<Kept>>>);

impl Default for Calls {
    fn default() -> Calls {
        Calls(Mutex::new(Table::new(CAPACITY)))
    }
}

impl Calls {
    fn table(&self) -> MutexGuard<'_, Table<CallId, Asked, Arc<Run>, Arc<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way.
#[derive(Debug)]
struct Run {
    /// Requests that wait for it.
    waiting: watch::Sender<Vec<Arc<RequestContext>>>,
    outcome: watch::Sender<Option<Outcome>>,
}

/// How a call ended for whoever waits for it.
#[derive(Debug, Clone)]
enum Outcome {
    Answered(Arc<Reply>),
    /// It was given up when the server may have had it.
    Cancelled,
    /// It was given up before: it may be made anew.
    Unsent,
}

/// The reply to a call, as it is handed to whoever waits for it.
#[derive(Debug)]
struct Reply {
    parts: Parts,
    body: Vec<Bytes>,
}

/// The reply to a call, as it is kept.
#[derive(Debug)]
struct Kept {
    status: StatusCode,
    body: Bytes,
}

/// The place of the one who waits for a call.
struct Waiter {
    run: Arc<Run>,
    context: Arc<RequestContext>,
}

impl Run {
    /// Returns a call that is waited for in this request.
    fn awaited(context: &Arc<RequestContext>) -> (Arc<Run>, Waiter) {
        let (waiting, outcome) = (watch::Sender::new(vec![context.clone()]), watch::Sender::new(None));
        let run = Arc::new(Run { waiting, outcome });
        (run.clone(), Waiter { run, context: context.clone() })
    }

    /// Returns the place to wait for it in this request; `None` if somebody waits for it who has not left.
    fn waiter(self: &Arc<Run>, context: &Arc<RequestContext>) -> Option<Waiter> {
        let is_free = self.waiting.send_if_modified(|waiting| {
            let is_free = waiting.iter().all(|other| other.client_may_have_left());
            waiting.extend(is_free.then(|| context.clone()));
            is_free
        });
        is_free.then(|| Waiter { run: self.clone(), context: context.clone() })
    }

    /// Returns when nobody has waited for so long.
    async fn deserted(&self, grace: Duration) {
        let mut waiting = self.waiting.subscribe();
        loop {
            let _ = waiting.wait_for(Vec::is_empty).await;
            if tokio::time::timeout(grace, waiting.wait_for(|waiting| !waiting.is_empty())).await.is_err() {
                return;
            }
        }
    }
}

impl Waiter {
    async fn outcome(&self) -> Outcome {
        let mut outcome = self.run.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await;
        ended.ok().and_then(|ended| ended.clone()).unwrap_or(Outcome::Cancelled)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let is_other = |other: &Arc<RequestContext>| !Arc::ptr_eq(other, &self.context);
        self.run.waiting.send_modify(|waiting| waiting.retain(is_other));
    }
}

/// Answers a request that has a key, whose sender may call tools.
pub(super) async fn answer(
    shared: Shared,
    context: Arc<RequestContext>,
    head: Arc<RequestHead>,
    body: RequestBody,
) -> Response {
    match answer_once(&shared, context, &head, body).await {
        Ok(response) => response,
        Err(failed) => failed.into_response(),
    }
}

async fn answer_once(
    shared: &Shared,
    context: Arc<RequestContext>,
    head: &RequestHead,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let key = key_of(&head.headers)?;
    let body = shared.body_of(&head.headers, body).await?;
    let call = prepare::read(shared, &body)?;
    let caller = context.caller().ok_or(AuthError::Missing)?;
    let (id, asked) = (hash([caller.key_id().as_bytes(), key]), asked(&call));
    let calls: &Arc<Calls> = shared.kept();
    loop {
        let (run, waiter) = Run::awaited(&context);
        let found = calls.table().begin(caller.key_id(), id, asked, || run.clone(), Instant::now());
        if !matches!(found, Found::New | Found::Full) {
            // Replies are for whoever may make the call now.
            shared.gateway.may_invoke(caller, &call.server, Some(&call.tool))?;
        }
        let run = match found {
            Found::New => {
                let under_way = UnderWay { calls: calls.clone(), id, run };
                let trace = trace_members(&head.headers);
                tokio::spawn(carry_out(shared.clone(), context.clone(), body.clone(), trace, under_way));
                let told = told(waiter.outcome().await, false);
                return told.unwrap_or_else(|| Err(Error::ShuttingDown.into()));
            }
            Found::Full => return Err(ApiError::no_room_for_key()),
            Found::UnderWay(run) => run,
            Found::Ended(End::Answered(kept, _)) => return Ok(replayed(kept.response())),
            Found::Ended(End::Cancelled) => return Err(ApiError::call_was_cancelled()),
            Found::Ended(End::NotKept) => return Err(ApiError::reply_is_not_kept()),
            Found::Other => return Err(ApiError::key_of_another_call()),
        };
        let waiter = run.waiter(&context).ok_or_else(ApiError::call_is_running)?;
        let outcome = match call.timeout {
            Some(after) => {
                tokio::time::timeout(after, waiter.outcome()).await.map_err(|_| too_long(after))?
            }
            None => waiter.outcome().await,
        };
        if let Some(told) = told(outcome, true) {
            return told;
        }
    }
}

/// Returns the failure of who has waited for so long for a call that was made for somebody else.
fn too_long(after: Duration) -> Error {
    Error::TimedOut { after, in_flight: true, meanwhile: None }
}

/// Returns what whoever waited is told; `None` if the call may be made anew.
fn told(outcome: Outcome, was_made_before: bool) -> Option<Result<Response, ApiError>> {
    match outcome {
        Outcome::Answered(reply) => {
            let response = Response::from_parts(reply.parts.clone(), body_of(reply.body.iter().cloned()));
            Some(Ok(if was_made_before { replayed(response) } else { response }))
        }
        Outcome::Cancelled => Some(Err(ApiError::call_was_cancelled())),
        Outcome::Unsent => None,
    }
}

/// A call that is being carried out; dropped without an end, it is one whose end is lost.
struct UnderWay {
    calls: Arc<Calls>,
    id: CallId,
    run: Arc<Run>,
}

impl UnderWay {
    fn end(&self, kept: Option<End<Arc<Kept>>>, outcome: Outcome) {
        self.calls.table().end(&self.id, kept, Instant::now());
        self.run.outcome.send_replace(Some(outcome));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.run.outcome.borrow().is_none() {
            self.end(Some(End::Cancelled), Outcome::Cancelled);
        }
    }
}

/// Makes the call, and gives it up when nobody waits for it any more.
async fn carry_out(
    shared: Shared,
    context: Arc<RequestContext>,
    body: Bytes,
    trace: Bytes,
    under_way: UnderWay,
) {
    // Both were there when the call was begun.
    let (Ok(call), Some(caller)) = (prepare::read(&shared, &body), context.caller()) else { return };
    let call = prepare::recorded(&shared, &context, call, &trace);
    let mut prepared = PreparedCall::of(&call);
    let answered = tokio::select! {
        biased;
        answered = shared.gateway.call_tool(&call, &mut prepared, caller) => answered,
        () = under_way.run.deserted(GRACE) => {
            let was_sent = !prepared.is_unseen();
            let outcome = if was_sent { Outcome::Cancelled } else { Outcome::Unsent };
            return under_way.end(was_sent.then_some(End::Cancelled), outcome);
        }
    };
    let answered = answered.inspect_err(|error| context.failed_with(error));
    let may_have_run = answered.as_ref().err().is_none_or(Error::may_have_been_carried_out);
    let reply = Reply::of(&call, answered).await;
    let kept = may_have_run.then(|| reply.kept());
    under_way.end(kept, Outcome::Answered(Arc::new(reply)));
}

impl Reply {
    async fn of(call: &ToolCall<'_>, answered: Result<ToolReply, Error>) -> Reply {
        let response =
            answered.map_err(ApiError::from).and_then(|reply| payloads::invoked(&call.tool, &reply));
        let mut response = response.unwrap_or_else(ApiError::into_response);
        let body = pieces_of(&mut response).await;
        Reply { parts: response.into_parts().0, body }
    }

    /// Returns the reply as it is kept: a copy, since slices of it would keep all of the server's answer.
    fn kept(&self) -> End<Arc<Kept>> {
        let bytes = self.body.iter().map(Bytes::len).sum();
        if bytes > CAPACITY.reply {
            return End::NotKept;
        }
        let kept = Kept { status: self.parts.status, body: self.body.concat().into() };
        End::Answered(Arc::new(kept), bytes)
    }
}

impl Kept {
    fn response(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// Marks a reply as one that was made for an earlier request.
fn replayed(mut response: Response) -> Response {
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// Returns the key of a request.
fn key_of(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    let mut given = headers.get_all(KEY).iter();
    let key = given.next().map_or(&b""[..], HeaderValue::as_bytes);
    if given.next().is_some() {
        return Err(ApiError::bad_idempotency_key("is given more than once"));
    }
    if key.is_empty() || key.len() > MAX_KEY || !key.iter().all(u8::is_ascii_graphic) {
        return Err(ApiError::bad_idempotency_key("must be 1 to 255 visible ASCII characters"));
    }
    Ok(key)
}

/// Returns what makes a call the same one. How long its caller waits is not part of it: whoever asks again has less time left.
fn asked(call: &ToolCall<'_>) -> Asked {
    let arguments = call.arguments.unwrap_or("{}");
    hash([call.server.as_bytes(), call.tool.as_bytes(), arguments.as_bytes(), &call.meta])
}

/// Returns the SHA-256 of several parts, none of which can be taken for a piece of another.
fn hash<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
