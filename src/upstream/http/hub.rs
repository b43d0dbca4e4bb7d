//! What all calls to one remote server share: its connections, its session, which requests are under way, and what becomes
//! of the messages that belong to none of them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::Url;
use reqwest::header::HeaderMap;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::client::HttpClient;
use super::fault::{HttpFault, Word};
use super::inbox::Inbox;
use super::session::Session;
use crate::jsonrpc;
use crate::mcp::{self, Answer, Era, method};
use crate::upstream::counters::Counters;
use crate::upstream::exchange::{
    Addressee, ClientPort, Disposition, Event, Exchange, PushedRequest, Served, Sharing, Unfinished,
    addressee, reader_of_logs,
};
use crate::upstream::log::{ServerLog, Stream, printable};
use crate::upstream::notices::{LogRate, Notices};
use crate::upstream::parked::Parked;
use crate::upstream::probe::Activity;
use crate::upstream::refresh::ListChanges;

/// Longest `params` of a notification that are kept for receivers, in bytes.
const MAX_NOTICE: usize = 64 * 1024;
/// Longest `params` of a pushed request that are handed to a client, in bytes.
const MAX_PUSHED: usize = 1024 * 1024;
/// Maximum number of notifications and answers that are being posted.
const MAX_ASIDES: usize = 64;
/// Time to post a notification or an answer, which nobody waits for.
pub(super) const SIDE_LIMIT: Duration = Duration::from_secs(10);
/// Time to tell the server that a request is cancelled.
const CANCEL_LIMIT: Duration = Duration::from_secs(2);

/// What happens at a server beside its calls, for the actor that owns them.
#[derive(Debug)]
pub(super) enum Incident {
    /// It is not usable any more.
    Over(HttpFault),
    /// It is to be opened anew, in the other way than before.
    OtherEra(HttpFault),
    /// It serves, and this is doubtful about it.
    Doubtful(Doubt, Arc<str>),
    /// What was doubtful of this kind is not any more.
    Healed(Doubt),
}

/// What may be doubtful about a server that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// It answers probes.
    Probes,
    /// Its stream of notifications is there.
    Stream,
    /// It lets calls in.
    Calls,
    /// It keeps its sessions.
    Sessions,
}

/// A wish for another session than the one with this number, which is lost.
pub(super) struct Lost {
    pub(super) number: u64,
    pub(super) done: oneshot::Sender<Result<(), HttpFault>>,
}

/// A request that the server has.
struct UnderWay {
    method: Box<str>,
    exchange: Option<Arc<Exchange>>,
    /// Set when its client may have been asked something on another stream.
    asked: Arc<AtomicBool>,
}

/// Stream that a message of the server came on.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// That of a call: it is about this call and no other (R44).
    Call(Option<&'a Exchange>),
    /// One that is about no call.
    Server,
}

/// State shared by all calls to one remote server.
pub(super) struct Hub {
    pub(super) server: Arc<str>,
    pub(super) incarnation: u64,
    pub(super) client: HttpClient,
    /// Where requests are posted: the address of the definition, or what an HTTP+SSE server named.
    target: Mutex<Url>,
    session: Mutex<Session>,
    /// Who waits for messages on the stream of an HTTP+SSE server; `None` of any other.
    inbox: Mutex<Option<Arc<Inbox>>>,
    /// Number of the current session, for who waits for another.
    pub(super) renewed: watch::Sender<u64>,
    pub(super) lost: mpsc::Sender<Lost>,
    pub(super) incident: Box<dyn Fn(Incident) + Send + Sync>,
    ids: AtomicU64,
    under_way: Mutex<HashMap<u64, UnderWay>>,
    unfinished: Mutex<Unfinished>,
    served: Mutex<Served>,
    told_logs: Mutex<LogRate>,
    /// Places for what is posted beside calls.
    asides: Arc<Semaphore>,
    /// `true` while it is doubtful whether calls are let in.
    pub(super) shut: AtomicBool,
    /// Refusal of credentials that a call met last.
    refused: Mutex<Option<HttpFault>>,
    /// Time until which the server wants to be left alone.
    paused: Mutex<Option<Instant>>,
    pub(super) notices: Notices,
    pub(super) lists_changed: Arc<ListChanges>,
    pub(super) counters: Arc<Counters>,
    log: ServerLog,
    sharing: Sharing,
    pub(super) activity: Arc<Activity>,
    pub(super) max_answer: usize,
}

/// What a hub is made of.
pub(super) struct HubParts {
    pub(super) server: Arc<str>,
    pub(super) incarnation: u64,
    pub(super) client: HttpClient,
    pub(super) lost: mpsc::Sender<Lost>,
    pub(super) incident: Box<dyn Fn(Incident) + Send + Sync>,
    pub(super) notices: Notices,
    pub(super) counters: Arc<Counters>,
    pub(super) log: ServerLog,
    pub(super) sharing: Sharing,
    pub(super) max_answer: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(parts: HubParts) -> Hub {
        let HubParts { server, incarnation, client, lost, incident, notices, counters, log, .. } = parts;
        Hub {
            server,
            incarnation,
            target: Mutex::new(client.url().clone()),
            client,
            session: Mutex::new(Session::opening(Era::Legacy)),
            inbox: Mutex::default(),
            renewed: watch::Sender::new(0),
            lost,
            incident,
            ids: AtomicU64::new(0),
            under_way: Mutex::default(),
            unfinished: Mutex::default(),
            served: Mutex::default(),
            told_logs: Mutex::default(),
            asides: Arc::new(Semaphore::new(MAX_ASIDES)),
            shut: AtomicBool::new(false),
            refused: Mutex::default(),
            paused: Mutex::default(),
            notices,
            lists_changed: Arc::default(),
            counters,
            log,
            sharing: parts.sharing,
            activity: Activity::new(),
            max_answer: parts.max_answer,
        }
    }

    /// Returns the current session.
    pub(super) fn session(&self) -> Session {
        lock(&self.session).clone()
    }

    /// Takes over a session that was opened; returns it with its number.
    pub(super) fn open_session(&self, opened: Session) -> Session {
        let mut session = lock(&self.session);
        let number = session.number + 1;
        *session = Session { number, ..opened };
        let now = session.clone();
        drop(session);
        self.renewed.send_replace(number);
        now
    }

    /// Returns where requests are posted.
    pub(super) fn target(&self) -> Url {
        lock(&self.target).clone()
    }

    /// Sets where requests are posted.
    pub(super) fn set_target(&self, target: Url) {
        *lock(&self.target) = target;
    }

    /// Returns who waits for messages on the stream of an HTTP+SSE server; `None` of any other.
    pub(super) fn inbox(&self) -> Option<Arc<Inbox>> {
        lock(&self.inbox).clone()
    }

    /// Makes it an HTTP+SSE server.
    pub(super) fn set_inbox(&self, inbox: Arc<Inbox>) {
        *lock(&self.inbox) = Some(inbox);
    }

    /// Returns an id that no other request of this upstream has or had (R78).
    pub(super) fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Waits for another session than the one with this number, which is lost: one handshake for all who wait.
    pub(super) async fn renew(&self, number: u64) -> Result<(), HttpFault> {
        let (done, renewed) = oneshot::channel();
        let gone = || HttpFault::unseen(Word::SessionLost, "is being closed");
        if self.lost.send(Lost { number, done }).await.is_err() {
            return Err(gone());
        }
        renewed.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Notes that a call was let in.
    pub(super) fn let_in(&self) {
        if self.shut.load(Ordering::Relaxed) && self.shut.swap(false, Ordering::Relaxed) {
            (self.incident)(Incident::Healed(Doubt::Calls));
        }
    }

    /// Notes that a call met a refusal of the credentials.
    pub(super) fn note_refusal(&self, fault: &HttpFault) {
        *lock(&self.refused) = Some(fault.clone());
    }

    /// Returns the refusal of credentials that a call met last, once; `None` if none did.
    pub(super) fn take_refusal(&self) -> Option<HttpFault> {
        lock(&self.refused).take()
    }

    /// Notes that the server wants to be left alone for a time.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut paused = lock(&self.paused);
        *paused = Some(paused.map_or(until, |before| before.max(until)));
    }

    /// Returns the time until which the server wants to be left alone; `None` if it does not.
    pub(super) fn paused_until(&self) -> Option<Instant> {
        lock(&self.paused).filter(|until| *until > Instant::now())
    }

    /// Records a request that the server gets.
    pub(super) fn begin(
        &self,
        id: u64,
        (method, members): (&str, &[u8]),
        exchange: Option<&Arc<Exchange>>,
        asked: &Arc<AtomicBool>,
    ) {
        lock(&self.served).add(method, members, exchange.map(Arc::as_ref));
        let mut under_way = lock(&self.under_way);
        let (exchange, asked) = (exchange.cloned(), asked.clone());
        under_way.insert(id, UnderWay { method: method.into(), exchange, asked });
        self.activity.set_in_flight(under_way.len());
    }

    /// Records that a request is over. One that the server may go on with is `given_up`.
    pub(super) fn end(&self, id: u64, given_up: bool) {
        let mut under_way = lock(&self.under_way);
        let over = under_way.remove(&id);
        self.activity.set_in_flight(under_way.len());
        drop(under_way);
        if let Some(over) = over.filter(|_| given_up) {
            lock(&self.unfinished).add(id, &over.method, over.exchange.as_deref(), Instant::now());
        }
    }

    /// Takes a notification that is about no request in particular.
    pub(super) fn take_notification(&self, name: String, params: Option<&[u8]>) {
        match name.as_str() {
            // Over HTTP they come with the request that they are about.
            method::PROGRESS | method::CANCELLED => {}
            method::MESSAGE => self.take_log_message(params, Origin::Server),
            name if self.lists_changed.announce(name) => {}
            _ if self.notices.are_unheard() => {}
            _ => {
                let params = params.filter(|params| params.len() <= MAX_NOTICE);
                self.notices.send(self.incarnation, name.into(), params.map(Bytes::copy_from_slice));
            }
        }
    }

    /// Writes a log message to the server's log, and tells it to the caller whose stream it came on (R44), or else to whom
    /// it can be about.
    pub(super) fn take_log_message(&self, params: Option<&[u8]>, origin: Origin<'_>) {
        if self.log.refuses() {
            return self.counters.left_out();
        }
        let Some((line, params)) = params.and_then(|params| Some((mcp::read_log_message(params)?, params)))
        else {
            return self.counters.dropped_notice();
        };
        if !self.log.push(self.incarnation, Stream::Log, &printable(line.as_bytes())) {
            self.counters.left_out();
        }
        let is_told = match origin {
            Origin::Call(Some(exchange)) => !exchange.wants_logs() || exchange.tell(Event::Log, params),
            Origin::Call(None) => true,
            Origin::Server => self.tell_log_message(params),
        };
        if !is_told {
            self.counters.dropped_notice();
        }
    }

    /// Tells a log message that came on no request's stream. Returns `false` if there was no room for it.
    fn tell_log_message(&self, params: &[u8]) -> bool {
        let now = Instant::now();
        let under_way = lock(&self.under_way);
        let mut unfinished = lock(&self.unfinished);
        unfinished.forget(now);
        if let Some(exchange) = reader_of_logs(requests(&under_way), &unfinished, self.sharing) {
            return exchange.tell(Event::Log, params);
        }
        drop((under_way, unfinished));
        if self.notices.are_unheard() {
            return true;
        }
        if params.len() > MAX_NOTICE || !lock(&self.told_logs).has_room(now) {
            return false;
        }
        let copied = || Some(Bytes::copy_from_slice(params));
        let (run, name) = (self.incarnation, Arc::from(method::MESSAGE));
        match (&*lock(&self.served), self.sharing) {
            (Served::Nobody, _) | (_, Sharing::OnePrincipal) => self.notices.send(run, name, copied()),
            (Served::One(member), _) => self.notices.send_to(member.clone(), run, name, copied()),
            (Served::Several, _) => {}
        }
        true
    }

    /// Decides on a request of the server that came on no request's stream.
    pub(super) fn on_request(&self, asked: String, params: Option<Bytes>) -> Disposition {
        let under_way = lock(&self.under_way);
        let mut unfinished = lock(&self.unfinished);
        unfinished.forget(Instant::now());
        match addressee(requests(&under_way), &unfinished, self.sharing) {
            Addressee::Nobody | Addressee::Mute => Disposition::Answer(mcp::answer(&asked)),
            Addressee::Several => refused(
                "requests of several clients are under way, and nothing says which of them this is for",
            ),
            Addressee::One(client) => {
                let client = client.clone();
                drop((under_way, unfinished));
                ask(&client, asked, params)
            }
        }
    }

    /// Takes a request of the server: answers it, or parks it until its client has. Returns `true` if it waits for its
    /// client.
    pub(super) fn take_request(
        self: &Arc<Hub>,
        session: &Session,
        parked: &mut Parked,
        (id, asked, params): (Bytes, String, Option<Bytes>),
        origin: Origin<'_>,
    ) -> bool {
        let disposition = match origin {
            _ if asked == method::PING => Disposition::Answer(mcp::answer(&asked)),
            Origin::Server => self.on_request(asked, params),
            Origin::Call(exchange) => match exchange.and_then(Exchange::client) {
                None => Disposition::Answer(mcp::answer(&asked)),
                Some(client) => ask(client, asked, params),
            },
        };
        let disposition = match (disposition, parked.refusal(&id)) {
            (Disposition::Park(_), Some(reason)) => refused(reason),
            (disposition, _) => disposition,
        };
        match disposition {
            Disposition::Answer(answer) => {
                self.post_answer(session, &id, &answer);
                false
            }
            Disposition::Park(answer) => {
                if matches!(origin, Origin::Server) {
                    self.hold_asking();
                }
                parked.park(id, answer);
                true
            }
        }
    }

    /// Gives the requests whose clients can be asked all of their time: one of them is asked on a stream that is about none.
    fn hold_asking(&self) {
        for one in lock(&self.under_way).values() {
            if one.exchange.as_ref().is_some_and(|exchange| exchange.can_be_asked()) {
                one.asked.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Posts the answer to a request of the server; nobody waits for that.
    pub(super) fn post_answer(self: &Arc<Hub>, session: &Session, id: &[u8], answer: &Answer) {
        let mut out = BytesMut::new();
        match answer {
            Answer::Result(result) => jsonrpc::push_result(&mut out, id, &jsonrpc::one_line(result)),
            Answer::Error(code, message) => jsonrpc::push_error(&mut out, id, *code, message),
        }
        self.post_aside(session, out.freeze(), SIDE_LIMIT);
    }

    /// Tells a legacy server that a request is not wanted any more (R59); nobody waits for that.
    pub(super) fn post_cancelled(self: &Arc<Hub>, session: &Session, id: u64, reason: &str) {
        let mut out = BytesMut::new();
        let members = format!("\"requestId\":{id},\"reason\":\"{reason}\"");
        jsonrpc::push_notification(&mut out, method::CANCELLED, members.as_bytes());
        self.post_aside(session, out.freeze(), CANCEL_LIMIT);
    }

    fn post_aside(self: &Arc<Hub>, session: &Session, body: Bytes, limit: Duration) {
        // A server that asks and asks without taking an answer gets no more of them.
        let Ok(place) = self.asides.clone().try_acquire_owned() else {
            return self.counters.dropped_notice();
        };
        let (hub, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            let _place = place;
            let mut headers = HeaderMap::new();
            session.write(&mut headers);
            let target = hub.target();
            let posted = tokio::time::timeout(limit, hub.client.post(&target, body, headers)).await;
            match posted {
                Ok(Ok(response)) if response.status().is_success() => {}
                Ok(_) | Err(_) => hub.counters.dropped_notice(),
            }
        });
    }
}

fn requests(under_way: &HashMap<u64, UnderWay>) -> impl Iterator<Item = (u64, &str, Option<&Exchange>)> {
    under_way.iter().map(|(id, one)| (*id, &*one.method, one.exchange.as_deref()))
}

/// Hands a request of the server to a client.
fn ask(client: &Arc<dyn ClientPort>, asked: String, params: Option<Bytes>) -> Disposition {
    if params.as_ref().is_some_and(|params| params.len() > MAX_PUSHED) {
        return refused("the request is longer than a mebibyte");
    }
    let request = PushedRequest { method: asked, params };
    // The task of a call must not end with a defect of a client's port.
    catch_unwind(AssertUnwindSafe(|| client.on_request(request)))
        .unwrap_or_else(|_| refused("the gateway failed to ask the client"))
}

fn refused(reason: &'static str) -> Disposition {
    Disposition::Answer(Answer::Error(-32603, reason.into()))
}
