//! What all calls to one remote server share: its connections, its session, which requests are under way, and what becomes
//! of the messages that belong to none of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::{StatusCode, Url};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::answer::Answer as HttpAnswer;
use super::client::HttpClient;
use super::fault::{HttpFault, Word};
use super::freshness::Freshness;
use super::inbox::Inbox;
use super::network::pause_of;
use super::room::Room;
use super::session::Session;
use super::target::Target;
use super::throttle::Throttle;
use crate::jsonrpc::{self, Incoming};
use crate::mcp::{Answer, Era, method};
use crate::upstream::exchange::{
    Addressee, Disposition, Event, Exchange, Served, Unfinished, addressee, reader_of_logs,
};
use crate::upstream::notices::LogRate;
use crate::upstream::parked::Parked;
use crate::upstream::probe::Activity;
use crate::upstream::pushed::{Announcer, decide};

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
    method: Cow<'static, str>,
    exchange: Option<Arc<Exchange>>,
    /// Set when its client may have been asked something on another stream.
    asked: Arc<AtomicBool>,
}

/// Requests under way by our ids, which nobody else chooses: their hash need not withstand anybody.
type Requests = HashMap<u64, UnderWay, foldhash::fast::FixedState>;

/// Requests of one opening, and whom they were for.
#[derive(Default)]
struct Traffic {
    under_way: Requests,
    unfinished: Unfinished,
    served: Served,
    told_logs: LogRate,
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
    pub(super) client: HttpClient,
    /// Where requests are posted: the address of the definition, or what an HTTP+SSE server named.
    target: Mutex<Arc<Target>>,
    session: Mutex<Arc<Session>>,
    /// Who waits for messages on the stream of an HTTP+SSE server; `None` of any other.
    inbox: Mutex<Option<Arc<Inbox>>>,
    /// Number of the current session, for who waits for another.
    pub(super) renewed: watch::Sender<u64>,
    pub(super) lost: mpsc::Sender<Lost>,
    pub(super) incident: Box<dyn Fn(Incident) + Send + Sync>,
    ids: AtomicU64,
    traffic: Mutex<Traffic>,
    /// Places for what is posted beside calls.
    asides: Arc<Semaphore>,
    /// `true` while it is doubtful whether calls are let in.
    shut: AtomicBool,
    /// Refusal of credentials, or for too many requests, that a call met last.
    refused: Mutex<Option<HttpFault>>,
    /// What becomes of requests while the server is asked too often.
    pub(super) throttle: Throttle,
    /// Age of the lists.
    pub(super) freshness: Freshness,
    pub(super) announcer: Announcer,
    pub(super) activity: Arc<Activity>,
    /// Room for long answers.
    pub(super) room: Room,
}

/// What a hub is made of.
pub(super) struct HubParts {
    pub(super) server: Arc<str>,
    pub(super) client: HttpClient,
    pub(super) lost: mpsc::Sender<Lost>,
    pub(super) incident: Box<dyn Fn(Incident) + Send + Sync>,
    pub(super) announcer: Announcer,
    pub(super) max_answer: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    pub(super) fn new(parts: HubParts) -> Hub {
        let HubParts { server, client, lost, incident, announcer, max_answer } = parts;
        Hub {
            server,
            target: Mutex::new(client.target().clone()),
            client,
            session: Mutex::new(Arc::new(Session::opening(Era::Legacy))),
            inbox: Mutex::default(),
            renewed: watch::Sender::new(0),
            lost,
            incident,
            ids: AtomicU64::new(0),
            traffic: Mutex::default(),
            asides: Arc::new(Semaphore::new(MAX_ASIDES)),
            shut: AtomicBool::new(false),
            refused: Mutex::default(),
            throttle: Throttle::default(),
            freshness: Freshness::new(Instant::now()),
            announcer,
            activity: Activity::new(),
            room: Room::new(max_answer),
        }
    }

    /// Returns the current session.
    pub(super) fn session(&self) -> Arc<Session> {
        lock(&self.session).clone()
    }

    /// Takes over a session that was opened, and numbers it.
    pub(super) fn open_session(&self, opened: Session) {
        let mut session = lock(&self.session);
        let number = session.number + 1;
        *session = Arc::new(opened.numbered(number));
        drop(session);
        self.renewed.send_replace(number);
    }

    /// Returns where requests are posted.
    pub(super) fn target(&self) -> Arc<Target> {
        lock(&self.target).clone()
    }

    /// Sets where requests are posted.
    pub(super) fn set_target(&self, target: Url) {
        *lock(&self.target) = Arc::new(Target::new(target));
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

    /// Notes that it is doubtful whether calls are let in, and why.
    pub(super) fn shut_out(&self, why: String) {
        self.shut.store(true, Ordering::Relaxed);
        (self.incident)(Incident::Doubtful(Doubt::Calls, why.into()));
    }

    /// Notes that a call was let in.
    pub(super) fn let_in(&self) {
        if self.shut.load(Ordering::Relaxed) && self.shut.swap(false, Ordering::Relaxed) {
            (self.incident)(Incident::Healed(Doubt::Calls));
        }
    }

    /// Notes that a call met a refusal of the credentials, or one for too many requests.
    pub(super) fn note_refusal(&self, fault: &HttpFault) {
        *lock(&self.refused) = Some(fault.clone());
    }

    /// Leaves the server alone for as long as it wants, if this answer says that it is asked too often (R55); returns for how
    /// long.
    pub(super) fn note_limit(&self, response: &HttpAnswer) -> Option<Duration> {
        if response.status() != StatusCode::TOO_MANY_REQUESTS {
            return None;
        }
        Some(self.throttle.refused(pause_of(response.headers()), Instant::now()))
    }

    /// Returns the refusal of credentials, or for too many requests, that a call met last, once; `None` if none did.
    pub(super) fn take_refusal(&self) -> Option<HttpFault> {
        lock(&self.refused).take()
    }

    /// Records a request that the server gets.
    pub(super) fn begin(
        &self,
        id: u64,
        (method, members): (&Cow<'static, str>, &[u8]),
        exchange: Option<&Arc<Exchange>>,
        asked: &Arc<AtomicBool>,
    ) {
        let mut traffic = lock(&self.traffic);
        traffic.served.add(method, members, exchange.map(Arc::as_ref));
        let (exchange, asked) = (exchange.cloned(), asked.clone());
        traffic.under_way.insert(id, UnderWay { method: method.clone(), exchange, asked });
        self.activity.set_in_flight(traffic.under_way.len());
    }

    /// Records that a request is over. One that the server may go on with is `given_up`.
    pub(super) fn end(&self, id: u64, given_up: bool) {
        let mut traffic = lock(&self.traffic);
        let over = traffic.under_way.remove(&id);
        self.activity.set_in_flight(traffic.under_way.len());
        if let Some(over) = over.filter(|_| given_up) {
            traffic.unfinished.add(id, &over.method, over.exchange.as_deref(), Instant::now());
        }
    }

    /// Reads a message of the server; `None` if it is nested too deeply.
    pub(super) fn read(&self, frame: &Bytes) -> Option<Incoming> {
        if jsonrpc::too_deep(frame) {
            self.announcer.counters.noise();
            return None;
        }
        Some(jsonrpc::classify(frame))
    }

    /// Takes a message that came on a stream which is about no call.
    pub(super) fn take_stray(self: &Arc<Hub>, session: &Session, parked: &mut Parked, message: Incoming) {
        match message {
            Incoming::Notification { method, params } => self.take_notification(method, params.as_deref()),
            Incoming::Request { id, method, params } => {
                self.take_request(session, parked, (id, method, params), Origin::Server);
            }
            // An answer whose stream broke: its call has ended.
            Incoming::Response { .. } => self.announcer.counters.late_reply(),
            Incoming::Noise => drop(self.announcer.counters.noise()),
        }
    }

    /// Takes a notification that is about no request in particular.
    pub(super) fn take_notification(&self, name: String, params: Option<&[u8]>) {
        match name.as_str() {
            // Over HTTP they come with the request that they are about.
            method::PROGRESS | method::CANCELLED => {}
            method::MESSAGE => self.take_log_message(params, Origin::Server),
            _ => self.announcer.tell_notice(name, params),
        }
    }

    /// Takes a log message, and tells it to the caller whose stream it came on (R44), or else to whom it can be about.
    pub(super) fn take_log_message(&self, params: Option<&[u8]>, origin: Origin<'_>) {
        let Some(params) = self.announcer.write_log(params) else { return };
        let is_told = match origin {
            Origin::Call(Some(exchange)) => !exchange.wants_logs() || exchange.tell(Event::Log, params),
            Origin::Call(None) => true,
            Origin::Server => self.tell_log_message(params),
        };
        if !is_told {
            self.announcer.counters.dropped_notice();
        }
    }

    /// Tells a log message that came on no request's stream. Returns `false` if there was no room for it.
    fn tell_log_message(&self, params: &[u8]) -> bool {
        let traffic = &mut *lock(&self.traffic);
        traffic.unfinished.forget(Instant::now());
        let reader =
            reader_of_logs(requests(&traffic.under_way), &traffic.unfinished, self.announcer.sharing);
        match reader {
            Some(exchange) => exchange.tell(Event::Log, params),
            None => self.announcer.tell_log(&traffic.served, &mut traffic.told_logs, params),
        }
    }

    /// Returns whom a request of the server is for that came on no request's stream.
    fn addressee(&self) -> Addressee {
        let traffic = &mut *lock(&self.traffic);
        traffic.unfinished.forget(Instant::now());
        addressee(requests(&traffic.under_way), &traffic.unfinished, self.announcer.sharing)
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
        let addressee = match origin {
            Origin::Server => self.addressee(),
            Origin::Call(exchange) => {
                let client = exchange.and_then(Exchange::client);
                client.map_or(Addressee::Nobody, |client| Addressee::One(client.clone()))
            }
        };
        match decide(addressee, asked, params.as_deref(), parked.refusal(&id)) {
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
        for one in lock(&self.traffic).under_way.values() {
            if one.exchange.as_ref().is_some_and(|exchange| exchange.can_be_asked()) {
                one.asked.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Posts the answers of clients to the requests that wait for them, as they come; never ends. Cancel safe.
    pub(super) async fn post_parked(self: &Arc<Hub>, session: &Session, parked: &mut Parked) -> Infallible {
        loop {
            if parked.is_empty() {
                std::future::pending::<()>().await;
            }
            if let Some((id, answer)) = parked.next().await {
                self.post_answer(session, &id, &answer);
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
            return self.announcer.counters.dropped_notice();
        };
        let (hub, session) = (self.clone(), session.clone());
        tokio::spawn(async move {
            let _place = place;
            let target = hub.target();
            let posting = hub.client.post(&target, body, &session, &|_| ());
            let posted = tokio::time::timeout(limit, posting).await;
            match posted {
                Ok(Ok(response)) if response.status().is_success() => response.finish(),
                Ok(_) | Err(_) => hub.announcer.counters.dropped_notice(),
            }
        });
    }
}

fn requests(under_way: &Requests) -> impl Iterator<Item = (u64, &str, Option<&Exchange>)> {
    under_way.iter().map(|(id, one)| (*id, &*one.method, one.exchange.as_deref()))
}
