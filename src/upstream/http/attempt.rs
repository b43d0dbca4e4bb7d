//! One request to a remote server, sent once: the answer is one message, or comes on a stream of events after others
//! that are about it (`remote-upstreams.md`, R23, R29 to R32, R44, R45, R48 and R49).

use std::borrow::Cow;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderValue;

use super::answer::Answer;
use super::client::Write;
use super::events::{EventStream, content_type, is_stream, too_large};
use super::fault::{HttpFault, Proof, Word};
use super::hub::{Doubt, Hub, Incident, Origin};
use super::inbox::Inbox;
use super::session::{SESSION_ID, Session};
use super::verdict::{self, Form, Refused};
use crate::jsonrpc::{Incoming, RpcError, lone_answer, one_line, too_deep};
use crate::mcp::{Era, method};
use crate::upstream::exchange::{Event, Exchange};
use crate::upstream::parked::Parked;
use crate::upstream::pending::Limits;
use crate::upstream::pushed::cancelled_id;

/// Number of times that a stream is taken up again.
const MAX_RESUMPTIONS: u32 = 3;
/// Time to wait before that, unless the stream has said another.
const RETRY: Duration = Duration::from_secs(1);
/// Shortest time to wait before that, whatever the stream says.
const MIN_RETRY: Duration = Duration::from_millis(100);
/// Longest time to wait before that.
const MAX_RETRY: Duration = Duration::from_secs(60);
/// Time to post a request to an HTTP+SSE server, which answers at once: some never do once their stream has ended.
const POST_LIMIT: Duration = Duration::from_secs(10);
/// First room for a body of unknown length, in bytes.
const FIRST_ROOM: usize = 16 * 1024;

/// A request, ready to be sent.
pub(super) struct Request<'a> {
    pub(super) id: u64,
    pub(super) method: &'a str,
    pub(super) body: Bytes,
    /// Writes its own headers.
    pub(super) write: Write<'a>,
    pub(super) session: &'a Session,
    pub(super) exchange: Option<&'a Arc<Exchange>>,
}

/// Answer to a request.
pub(super) struct Answered {
    pub(super) outcome: Result<Bytes, RpcError>,
    /// Id of a session that came with it.
    pub(super) session_id: Option<HeaderValue>,
}

/// Reason that a request got no answer.
#[derive(Debug)]
pub(super) enum Stop {
    /// Its time is up.
    TimedOut,
    /// The server does not know the session.
    SessionLost,
    /// The server is of another era than when it was opened.
    OtherEra(HttpFault),
    /// Anything else.
    Fault(HttpFault),
}

impl From<HttpFault> for Stop {
    fn from(fault: HttpFault) -> Stop {
        Stop::Fault(fault)
    }
}

/// Time of a request.
pub(super) struct Clock {
    at: Instant,
    idle: Duration,
    hard: Instant,
    /// `true` once its client was asked something.
    pub(super) asked: bool,
    /// Set when that happens on another stream.
    elsewhere: Arc<AtomicBool>,
}

impl Clock {
    pub(super) fn new(limits: Limits) -> Clock {
        Clock {
            at: limits.first.min(limits.hard),
            idle: limits.idle,
            hard: limits.hard,
            asked: false,
            elsewhere: Arc::default(),
        }
    }

    /// Returns the end of the time, as it is now.
    pub(super) fn end(&self) -> Instant {
        self.at
    }

    fn progress(&mut self) {
        if !self.asked {
            self.at = (Instant::now() + self.idle).min(self.hard);
        }
    }

    /// Returns what is set when its client is asked something on another stream.
    pub(super) fn elsewhere(&self) -> &Arc<AtomicBool> {
        &self.elsewhere
    }

    /// Reports whether the time is up now that it seems so: not if its client was asked something meanwhile.
    fn is_over(&mut self) -> bool {
        if !self.asked && self.elsewhere.load(Ordering::Relaxed) {
            self.hold();
        }
        self.at <= Instant::now()
    }

    /// Gives the request all of its time: a person thinks longer than a server may be silent.
    fn hold(&mut self) {
        (self.at, self.asked) = (self.hard, true);
    }

    /// Waits for something until the time is up. It stays where it is: moved here, each call would have room for it twice.
    async fn within<T>(&mut self, mut what: Pin<&mut impl Future<Output = T>>) -> Result<T, Stop> {
        loop {
            match tokio::time::timeout_at(self.at.into(), &mut what).await {
                Ok(done) => return Ok(done),
                Err(_) if self.is_over() => return Err(Stop::TimedOut),
                Err(_) => {}
            }
        }
    }
}

/// Sends a request and reads its answer.
pub(super) async fn send(hub: &Arc<Hub>, request: &Request<'_>, clock: &mut Clock) -> Result<Answered, Stop> {
    if let Some(inbox) = hub.inbox() {
        return Box::pin(post_and_wait(hub, &inbox, request, clock)).await;
    }
    let target = hub.target();
    let response = {
        let posted = pin!(hub.client.post(&target, request.body.clone(), request.session, request.write));
        clock.within(posted).await??
    };
    if response.status().is_success() {
        hub.activity.heard(Instant::now());
    } else {
        // What stands in front of a server that is gone answers as well: with 5xx.
        let is_from_server = !response.status().is_server_error();
        let mut judging = Box::pin(hub.client.refusal(response, request.method, request.session));
        let judged = clock.within(judging.as_mut()).await?;
        if is_from_server || matches!(judged, Refused::Said(_)) {
            hub.activity.heard(Instant::now());
        }
        return match judged {
            Refused::SessionLost => Err(Stop::SessionLost),
            Refused::OtherEra(fault) => Err(Stop::OtherEra(fault)),
            Refused::Said(error) => Ok(Answered { outcome: Err(error), session_id: None }),
            Refused::Fault(fault) => Err(Stop::Fault(fault)),
        };
    }
    let session_id = response.headers().get(SESSION_ID).cloned();
    let outcome = match verdict::form(content_type(&response)) {
        Form::Json => {
            let body = {
                let reading = pin!(read_body(hub, response));
                clock.within(reading).await??
            };
            answer_of(request, &body)?
        }
        Form::Events => Box::pin(read_events(hub, request, clock, response)).await?,
        Form::Other => {
            let status = response.status().as_u16();
            return Err(verdict::not_mcp(request.method, status, content_type(&response)).into());
        }
    };
    Ok(Answered { outcome, session_id })
}

/// Posts a request to an HTTP+SSE server, and waits for its messages on the stream.
async fn post_and_wait(
    hub: &Arc<Hub>,
    inbox: &Arc<Inbox>,
    request: &Request<'_>,
    clock: &mut Clock,
) -> Result<Answered, Stop> {
    let ended = "ended its stream of events";
    let place = inbox.place(request.id);
    let mut place = place.ok_or_else(|| HttpFault::unseen(Word::StreamLost, ended))?;
    let target = hub.target();
    let posting = hub.client.post(&target, request.body.clone(), request.session, request.write);
    let mut posting = pin!(tokio::time::timeout(POST_LIMIT, posting));
    let mut is_posted = false;
    loop {
        tokio::select! {
            posted = &mut posting, if !is_posted => {
                is_posted = true;
                let silent = |_| HttpFault::unknown(Word::Silent, format!("did not take {} in time", request.method));
                let response = posted.map_err(silent)??;
                if response.status().as_u16() == 404 {
                    return Err(HttpFault::unseen(Word::StreamLost, "does not know its stream of events any more").into());
                }
                if !response.status().is_success() {
                    return match hub.client.refusal(response, request.method, request.session).await {
                        Refused::Said(error) => Ok(Answered { outcome: Err(error), session_id: None }),
                        Refused::SessionLost => Err(Stop::SessionLost),
                        Refused::OtherEra(fault) | Refused::Fault(fault) => Err(fault.into()),
                    };
                }
                response.finish();
            }
            message = place.next() => {
                let message = message?;
                // Only answers and progress come here: nothing of it can wait for a client.
                if let Some(outcome) = take_message(hub, request, clock, &mut Parked::default(), &message)? {
                    return Ok(Answered { outcome, session_id: None });
                }
            }
            () = tokio::time::sleep_until(clock.end().into()) => match clock.is_over() {
                true => return Err(Stop::TimedOut),
                false => continue,
            },
        }
    }
}

/// Reads a body of at most as many bytes as an answer may have.
async fn read_body(hub: &Hub, mut response: Answer) -> Result<Bytes, HttpFault> {
    let limit = hub.room.longest();
    let announced = response.content_length().and_then(|length| usize::try_from(length).ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    let (mut body, mut only, mut held) = (None::<Vec<u8>>, Bytes::new(), None);
    while let Some(chunk) = response.chunk().await? {
        hub.activity.heard(Instant::now());
        if body.is_none() && only.is_empty() {
            only = chunk;
            continue;
        }
        let so_far = body.as_ref().map_or(only.len(), Vec::len) + chunk.len();
        hub.room.hold(&mut held, so_far, announced).await;
        let body = body.get_or_insert_with(|| {
            let mut room = Vec::with_capacity(announced.unwrap_or(FIRST_ROOM));
            room.extend_from_slice(&only);
            room
        });
        body.extend_from_slice(&chunk);
        if body.len() > limit {
            return Err(too_large(limit));
        }
    }
    // Most answers come in one piece, which is not copied.
    let body = body.map_or(only, Bytes::from);
    if body.len() > limit { Err(too_large(limit)) } else { Ok(body) }
}

/// Reads the answer out of a body that is one message.
fn answer_of(request: &Request<'_>, body: &Bytes) -> Result<Result<Bytes, RpcError>, Stop> {
    let body = trimmed(body);
    if too_deep(&body) {
        let what = "sent an answer that is nested too deeply";
        return Err(HttpFault::unknown(Word::BadReply, what).into());
    }
    match lone_answer(&body) {
        Some((_, Err(error))) => Ok(Err(error)),
        Some((Some(id), Ok(result))) if id == request.id => Ok(Ok(on_one_line(result))),
        Some((_, Ok(_))) => Err(foreign_id(request.method).into()),
        None => {
            let what = format!("answered {} with something that is no JSON-RPC answer", request.method);
            Err(HttpFault::unknown(Word::BadReply, what).into())
        }
    }
}

fn foreign_id(method: &str) -> HttpFault {
    HttpFault::unknown(Word::BadReply, format!("answered {method} with a result for another request's id"))
}

/// Cuts blanks from both ends.
fn trimmed(body: &Bytes) -> Bytes {
    body.slice_ref(body.trim_ascii())
}

/// Puts a result on one line, as every other room expects it.
fn on_one_line(result: Bytes) -> Bytes {
    match one_line(&result) {
        Cow::Owned(line) => line.into(),
        Cow::Borrowed(_) => result,
    }
}

/// Reads a stream of events up to the answer; takes it up again where the server can do that.
async fn read_events(
    hub: &Arc<Hub>,
    request: &Request<'_>,
    clock: &mut Clock,
    response: Answer,
) -> Result<Result<Bytes, RpcError>, Stop> {
    let of_stream = if request.method == method::LISTEN { EventStream::apart } else { EventStream::new };
    let mut stream = of_stream(response, hub);
    let mut parked = Parked::default();
    let mut cursor = Cursor::default();
    if request.method == method::LISTEN {
        hub.freshness.set_told(true);
        (hub.incident)(Incident::Healed(Doubt::Stream));
    }
    loop {
        let event = tokio::select! {
            event = stream.next() => event,
            never = hub.post_parked(request.session, &mut parked) => match never {},
            () = tokio::time::sleep_until(clock.end().into()) => match clock.is_over() {
                true => return Err(Stop::TimedOut),
                false => continue,
            },
        };
        cursor.follow(&stream);
        match event {
            Ok(Some(event)) if event.is_message() => {
                let frame = trimmed(&Bytes::from(event.data));
                if let Some(answer) = take_message(hub, request, clock, &mut parked, &frame)? {
                    stream.finish();
                    return Ok(answer);
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => {
                let what = "ended its stream before the answer";
                stream =
                    resumed(hub, request, clock, &mut cursor, HttpFault::unknown(Word::StreamLost, what))
                        .await?;
            }
            Err(fault) if fault.word == Word::StreamLost => {
                stream = resumed(hub, request, clock, &mut cursor, fault).await?;
            }
            Err(fault) => return Err(fault.into()),
        }
    }
}

/// Where a stream is.
#[derive(Default)]
struct Cursor {
    last_id: Option<String>,
    retry: Option<Duration>,
    resumptions: u32,
}

impl Cursor {
    fn follow(&mut self, stream: &EventStream) {
        if let Some(id) = stream.last_id()
            && self.last_id.as_deref() != Some(id)
        {
            self.last_id = Some(id.to_owned());
        }
        self.retry = stream.retry_ms().map(Duration::from_millis).or(self.retry);
    }
}

/// Takes a stream up again behind the last event that had an id; fails with `fault` where that is not possible.
async fn resumed(
    hub: &Arc<Hub>,
    request: &Request<'_>,
    clock: &mut Clock,
    cursor: &mut Cursor,
    fault: HttpFault,
) -> Result<EventStream, Stop> {
    if request.session.era == Era::Modern {
        return Err(fault.into());
    }
    let Some(last_id) = cursor.last_id.clone() else { return Err(fault.into()) };
    while cursor.resumptions < MAX_RESUMPTIONS {
        cursor.resumptions += 1;
        let pause = cursor.retry.unwrap_or(RETRY).clamp(MIN_RETRY, MAX_RETRY);
        clock.within(pin!(tokio::time::sleep(pause))).await?;
        let headers = request.session.headers_behind(Some(&last_id));
        match clock.within(pin!(hub.client.get(headers))).await? {
            Ok(response) if response.status().is_success() && is_stream(&response) => {
                return Ok(EventStream::new(response, hub));
            }
            Ok(_) => {}
            // It is gone, and with it what it had of the call.
            Err(gone) if gone.proof == Proof::Unseen => break,
            Err(_) => {}
        }
    }
    Err(fault.into())
}

/// Takes a message that came on the stream of a request; returns the answer if it is that.
fn take_message(
    hub: &Arc<Hub>,
    request: &Request<'_>,
    clock: &mut Clock,
    parked: &mut Parked,
    frame: &Bytes,
) -> Result<Option<Result<Bytes, RpcError>>, Stop> {
    let Some(message) = hub.read(frame) else { return Ok(None) };
    let exchange = request.exchange.map(Arc::as_ref);
    // A stream of notifications is about no call.
    let origin = if request.method == method::LISTEN { Origin::Server } else { Origin::Call(exchange) };
    match message {
        Incoming::Response { id, outcome: Ok(_) } if id != request.id => {
            return Err(foreign_id(request.method).into());
        }
        Incoming::Response { outcome, .. } => return Ok(Some(outcome.map(on_one_line))),
        Incoming::Request { id, method, params } => {
            if hub.take_request(request.session, parked, (id, method, params), origin) {
                clock.hold();
            }
        }
        Incoming::Notification { method: name, params } => match (name.as_str(), params) {
            (method::PROGRESS, params) => {
                clock.progress();
                if let (Some(exchange), Some(params)) = (exchange, params)
                    && !exchange.tell(Event::Progress, &params)
                {
                    hub.announcer.counters.dropped_notice();
                }
            }
            (method::MESSAGE, params) => hub.take_log_message(params.as_deref(), origin),
            (method::CANCELLED, params) => {
                if let Some(id) = cancelled_id(params.as_deref()) {
                    parked.cancel(id.as_bytes());
                }
            }
            (_, params) => hub.take_notification(name, params.as_deref()),
        },
        Incoming::Noise => match lone_answer(frame) {
            Some((_, Err(error))) => return Ok(Some(Err(error))),
            Some((_, Ok(_))) => return Err(foreign_id(request.method).into()),
            None => drop(hub.announcer.counters.noise()),
        },
    }
    Ok(None)
}
