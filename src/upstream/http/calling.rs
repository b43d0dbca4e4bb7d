//! A call to a remote server, from the link to its outcome. It is sent again only where the server has provably not begun
//! it, once at most (`remote-upstreams.md`, R36, R55, R56 and R59).

use std::sync::Arc;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::sync::{mpsc, oneshot};

use super::attempt::{self, Answered, Clock, Request, Stop};
use super::fault::{Consequence, HttpFault, Proof, Word};
use super::gate::{Gate, Place, Shutting};
use super::headers;
use super::hub::{Doubt, Hub, Incident, SIDE_LIMIT};
use super::pauses::Pauses;
use super::session::Session;
use super::throttle::TooLate;
use crate::jsonrpc;
use crate::mcp::translate::HeaderParam;
use crate::mcp::{Era, method};
use crate::upstream::call::{Call, Carrier, Outcome, Refusal, Submitted, Unsent};
use crate::upstream::catalog::CatalogSlot;
use crate::upstream::exchange::Exchange;

/// Carries the calls of one link, each in a task of its own.
pub(super) struct Carrying {
    pub(super) hub: Arc<Hub>,
    pub(super) catalog: Arc<CatalogSlot>,
    pub(super) gate: Arc<Gate>,
}

impl Carrier for Carrying {
    fn carry(&self, unsent: Unsent) -> Result<oneshot::Receiver<Outcome>, Box<Unsent>> {
        let Some(place) = self.gate.enter() else { return Err(Box::new(unsent)) };
        let (reply, outcome) = oneshot::channel();
        tokio::spawn(carry(self.hub.clone(), self.catalog.clone(), place, unsent, reply));
        Ok(outcome)
    }
}

/// Keeps the link of a server open until it is let go or told to close; then calls under way have until the time that is
/// told. When it ends, or is dropped, they end with it.
pub(super) async fn serve(
    hub: Arc<Hub>,
    gate: Arc<Gate>,
    mut posts: mpsc::Receiver<Submitted>,
    close: oneshot::Receiver<Instant>,
) {
    let shutting = Shutting(gate);
    let posting = async {
        while let Some(submitted) = posts.recv().await {
            match submitted {
                Submitted::Notification(name) => post_notification(&hub, name).await,
                Submitted::Call { unsent, reply } => drop(reply.send(unsent.given_back())),
            }
        }
    };
    let until = tokio::select! {
        () = posting => Instant::now(),
        until = close => until.unwrap_or_else(|_| Instant::now()),
    };
    shutting.0.close();
    let _ = tokio::time::timeout_at(until.into(), shutting.0.emptied()).await;
}

/// Posts a notification without params; what comes of it is counted only.
async fn post_notification(hub: &Arc<Hub>, name: &'static str) {
    if !matches!(try_notification(hub, name).await, Some(status) if status.is_success()) {
        hub.announcer.counters.dropped_notice();
    }
}

/// Posts a notification without params, once; returns the status of the answer, or `None` if none came. A server that is
/// asked too often is left alone from then on.
async fn try_notification(hub: &Arc<Hub>, name: &'static str) -> Option<StatusCode> {
    let session = hub.session();
    let mut body = BytesMut::new();
    jsonrpc::push_notification(&mut body, name, b"");
    let target = hub.target();
    let posting = hub.client.post(&target, body.freeze(), &session, &|_| ());
    let response = tokio::time::timeout(SIDE_LIMIT, posting).await.ok()?.ok()?;
    hub.note_limit(&response);
    let status = response.status();
    response.finish();
    Some(status)
}

/// Tells a legacy server that its session has begun, which it has to hear before anything else: where it is asked too often
/// it is told once more after its pause, if that is over by `deadline`.
pub(super) async fn post_initialized(hub: &Arc<Hub>, deadline: Instant) {
    let told = try_notification(hub, method::INITIALIZED).await;
    if told == Some(StatusCode::TOO_MANY_REQUESTS) && hub.throttle.turn(deadline).await.is_ok() {
        let _ = try_notification(hub, method::INITIALIZED).await;
    }
}

/// Carries a call to its outcome; gives it up, which cancels it, when nobody waits for that any more.
async fn carry(
    hub: Arc<Hub>,
    catalog: Arc<CatalogSlot>,
    place: Place,
    unsent: Unsent,
    mut reply: oneshot::Sender<Outcome>,
) {
    let outcome = tokio::select! {
        biased;
        outcome = run(&hub, &catalog, unsent) => outcome,
        () = place.cut() => Outcome::Gone { unsent: None },
        () = reply.closed() => return,
    };
    let _ = reply.send(outcome);
}

async fn run(hub: &Arc<Hub>, catalog: &CatalogSlot, unsent: Unsent) -> Outcome {
    let Unsent { mut call, limits, era_meta } = unsent;
    if limits.hard <= Instant::now() {
        return Outcome::TimedOut { sent: false, asked: false };
    }
    let exchange = call.exchange.take();
    let mut clock = Clock::new(limits);
    let mut run = Run { hub, catalog, call: &call, era_meta: &era_meta, exchange: exchange.as_ref() };
    let stopped = match call.method == method::LISTEN {
        true => Box::pin(run.listen(&mut clock)).await,
        false => run.carry(&mut clock).await,
    };
    match stopped {
        Ok(Ok(result)) => {
            if call.method == method::TOOLS_CALL {
                hub.let_in();
                if hub.freshness.is_over(|| catalog.load().fresh_for(), Instant::now()) {
                    hub.announcer.lists_changed.suspect();
                }
            }
            Outcome::Result(result)
        }
        Ok(Err(error)) => Outcome::Error(error),
        Err(Stop::TimedOut) => {
            if !clock.asked {
                hub.activity.expired(1);
            }
            Outcome::TimedOut { sent: true, asked: clock.asked }
        }
        Err(Stop::SessionLost) => {
            let what = "lost the session again as soon as it was opened anew";
            outcome_of(hub, HttpFault::unseen(Word::SessionLost, what), call)
        }
        Err(Stop::OtherEra(fault)) => {
            call.exchange = exchange;
            let is_unseen = fault.proof == Proof::Unseen;
            let outcome =
                if is_unseen { Outcome::Gone { unsent: Some(Box::new(call)) } } else { refused(&fault) };
            (hub.incident)(Incident::OtherEra(fault));
            outcome
        }
        Err(Stop::Fault(fault)) => {
            call.exchange = exchange;
            outcome_of(hub, fault, call)
        }
    }
}

type Said = Result<Bytes, jsonrpc::RpcError>;

/// A call that is being carried.
struct Run<'a> {
    hub: &'a Arc<Hub>,
    catalog: &'a CatalogSlot,
    call: &'a Call,
    era_meta: &'a Bytes,
    exchange: Option<&'a Arc<Exchange>>,
}

impl Run<'_> {
    /// Sends the call, and once more where that is harmless: it has provably not been begun, or only reads (R57).
    async fn carry(&mut self, clock: &mut Clock) -> Result<Said, Stop> {
        let session = self.hub.session();
        match self.attempt_in_turn(&session, clock).await {
            Ok(answered) => Ok(answered.outcome),
            Err(stop) => Box::pin(self.carry_again(stop, &session, clock)).await,
        }
    }

    async fn carry_again(&self, stop: Stop, session: &Session, clock: &mut Clock) -> Result<Said, Stop> {
        match stop {
            Stop::SessionLost => self.renew(session.number, clock).await?,
            Stop::Fault(fault) if fault.word == Word::RateLimited && !is_probe(&self.call.method) => {}
            Stop::Fault(fault)
                if fault.word == Word::StreamLost
                    && (fault.proof == Proof::Unseen || is_read(&self.call.method) && !clock.asked) => {}
            other => return Err(other),
        }
        let session = self.hub.session();
        Ok(self.attempt_in_turn(&session, clock).await?.outcome)
    }

    /// Sends the call once the server may be asked again (R55).
    async fn attempt_in_turn(&self, session: &Session, clock: &mut Clock) -> Result<Answered, Stop> {
        let throttle = &self.hub.throttle;
        let turn = throttle.turn(clock.end()).await.map_err(|TooLate { pause }| {
            let mut fault = HttpFault::unseen(Word::RateLimited, "was asked too often (HTTP 429)");
            fault.pause = Some(pause);
            fault
        })?;
        let mut sent = self.attempt(session, clock).await;
        match &mut sent {
            Err(Stop::Fault(fault)) if fault.word == Word::RateLimited => {
                fault.pause = Some(throttle.refused(fault.pause, Instant::now()));
            }
            Err(_) => {}
            Ok(_) => throttle.served(),
        }
        drop(turn);
        sent
    }

    async fn renew(&self, number: u64, clock: &Clock) -> Result<(), Stop> {
        let renewed = tokio::time::timeout_at(clock.end().into(), self.hub.renew(number)).await;
        // Whatever became of the handshake: the call was not begun.
        let unseen = |fault| Stop::Fault(HttpFault { proof: Proof::Unseen, ..fault });
        renewed.map_err(|_| Stop::TimedOut)?.map_err(unseen)
    }

    /// Sends the call once.
    async fn attempt(&self, session: &Session, clock: &mut Clock) -> Result<Answered, Stop> {
        let Run { hub, call, .. } = self;
        let id = hub.next_id();
        let meta = [&self.era_meta[..], &call.meta[..]];
        let mut body = BytesMut::new();
        jsonrpc::push_request(&mut body, id, &call.method, &call.members, &meta, call.progress);
        // The end of its line.
        body.truncate(body.len() - 1);
        let body = body.freeze();
        let write = |headers: &mut HeaderMap| {
            if session.era == Era::Modern {
                headers::write(headers, &call.method, &call.members, |tool| self.annotated(tool));
            }
        };
        let exchange = self.exchange;
        let request = Request { id, method: &call.method, body, write: &write, session, exchange };
        let mut begun = Begun { hub, id, session, is_over: false };
        hub.begin(id, (&call.method, &call.members), exchange, clock.elsewhere());
        let sent = attempt::send(hub, &request, clock).await;
        begun.is_over = !matches!(sent, Err(Stop::TimedOut));
        sent
    }

    /// Returns the arguments of a tool that its schema wants in headers.
    fn annotated(&self, tool: &str) -> Arc<[HeaderParam]> {
        self.catalog.load().tool(tool).map(|tool| tool.header_params().clone()).unwrap_or_default()
    }

    /// Keeps a stream of notifications open; returns when the server ends it in order or does not have it.
    async fn listen(&mut self, clock: &mut Clock) -> Result<Said, Stop> {
        let mut pauses = Pauses::default();
        loop {
            let began = Instant::now();
            let fault = match self.carry(clock).await {
                Err(Stop::Fault(fault)) if reopens(&fault) => fault,
                other => return other,
            };
            if began.elapsed() > Pauses::LONGEST {
                pauses = Pauses::default();
            }
            self.hub.freshness.set_told(false);
            let what = format!("its stream of notifications is not there: it {fault}");
            (self.hub.incident)(Incident::Doubtful(Doubt::Stream, what.into()));
            tokio::time::sleep(pauses.next()).await;
        }
    }
}

/// Reports whether a request only asks whether anybody is there.
fn is_probe(asked: &str) -> bool {
    matches!(asked, method::DISCOVER | method::PING)
}

/// Reports whether a request only reads, so that sending it twice does no more than sending it once.
fn is_read(asked: &str) -> bool {
    matches!(
        asked,
        method::TOOLS_LIST
            | method::RESOURCES_LIST
            | method::TEMPLATES_LIST
            | method::RESOURCES_READ
            | method::PROMPTS_LIST
            | method::PROMPTS_GET
            | method::COMPLETE
            | method::DISCOVER
            | method::PING
    )
}

/// Reports whether a stream of notifications is to be opened again after this failure.
fn reopens(fault: &HttpFault) -> bool {
    matches!(fault.word, Word::StreamLost | Word::ServerError | Word::RateLimited | Word::TooLarge)
        && fault.proof == Proof::Unknown
}

/// A request that the server has. Dropped before it is over, it is cancelled: a modern server sees that from the
/// connection, a legacy one is told.
struct Begun<'a> {
    hub: &'a Arc<Hub>,
    id: u64,
    session: &'a Session,
    is_over: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.hub.end(self.id, !self.is_over);
        if !self.is_over && self.session.era == Era::Legacy {
            self.hub.post_cancelled(self.session, self.id, "it is not waited for any more");
        }
    }
}

/// Returns what a failure means for the call that met it, and tells the actor what it means for the server.
fn outcome_of(hub: &Hub, fault: HttpFault, call: Call) -> Outcome {
    let is_of_connection = matches!(
        fault.word,
        Word::DnsFailed
            | Word::Refused
            | Word::ConnectTimeout
            | Word::TlsFailed
            | Word::ProxyFailed
            | Word::AddressNotAllowed
            | Word::StreamLost
    );
    if is_of_connection && fault.proof == Proof::Unseen {
        (hub.incident)(Incident::Over(fault));
        return Outcome::Gone { unsent: Some(Box::new(call)) };
    }
    if fault.word.consequence() == Consequence::NotAuthorized || fault.word == Word::RateLimited {
        hub.note_refusal(&fault);
    }
    let (is_unseen, outcome) = (fault.proof == Proof::Unseen, refused(&fault));
    match (fault.word, fault.word.consequence()) {
        // Some servers list their tools to everybody and want a login, or a further one, for calls (R17).
        (Word::LoginRequired | Word::InsufficientScope, _) => hub.shut_out(fault.sentence),
        // No token is to be had for now. The server itself may be well.
        (Word::ServerError, _) if is_unseen => hub.shut_out(fault.sentence),
        // What is refused is the call.
        (Word::Forbidden, _) | (_, Consequence::MayHeal) => {}
        (_, Consequence::NotAuthorized | Consequence::Wrong) if is_unseen => {
            (hub.incident)(Incident::Over(fault));
        }
        _ => {}
    }
    outcome
}

fn refused(fault: &HttpFault) -> Outcome {
    let unseen = fault.proof == Proof::Unseen;
    Outcome::Refused(Box::new(Refusal {
        sentence: fault.sentence.clone(),
        unseen,
        too_large: fault.word == Word::TooLarge && unseen,
        pause: fault.pause,
    }))
}
