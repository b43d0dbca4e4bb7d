//! An exchange: what a caller takes part in while its request is under way. Progress and log messages of the child
//! come as events, and requests that the child pushes go to whoever can answer them. A call without one costs nothing
//! of this.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use memchr::memmem;
use tokio::sync::{mpsc, oneshot};

use crate::mcp::{Answer, method};

/// Maximum number of events that wait for their reader; what comes meanwhile is dropped.
const MAX_EVENTS: usize = 64;
/// Maximum number of requests that are over for their callers and kept; the oldest go.
const MAX_UNFINISHED: usize = 256;
/// Time that a child may go on with a request whose cancellation it was told.
const UNFINISHED_FOR: Duration = Duration::from_secs(60);
/// Longest `params` of an event, in bytes; longer ones are dropped.
const MAX_EVENT: usize = 64 * 1024;

/// Message of a child about one request that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The `params` of a progress notification, raw JSON, with the token that the gateway chose.
    Progress(Bytes),
    /// The `params` of a log message, raw JSON.
    Log(Bytes),
}

/// Request that a child pushes to its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRequest {
    /// Requested method, not checked against any list.
    pub method: String,
    /// The `params`, raw JSON; `None` if they are missing.
    pub params: Option<Bytes>,
}

/// Outcome of handing a pushed request to a client.
#[derive(Debug)]
pub enum Disposition {
    /// The answer is known.
    Answer(Answer),
    /// The answer comes later. If the sender is dropped, the child is told that the client has gone; if the child takes
    /// its request back or ends, the receiver is dropped.
    Park(oneshot::Receiver<Answer>),
}

/// Client of a request, as far as the child may ask it something.
pub trait ClientPort: Send + Sync {
    /// Returns the number of the client; requests of the same client have the same.
    fn client(&self) -> u64;

    /// Returns the id of the principal that the client calls as. What is about a request of one client may be shown to
    /// another only if both call as the same principal.
    fn principal(&self) -> &Arc<str>;

    /// Reports whether all that this port was asked is still unanswered, so that the server waits for it and is not at work
    /// for it.
    fn is_awaited(&self) -> bool {
        false
    }

    /// Takes a request that the child pushes while a request of this client is under way. Must not block. The client's
    /// capabilities are for the port to check. Whoever keeps the sender of a parked answer drops it when the client has
    /// no request under way any more.
    fn on_request(&self, request: PushedRequest) -> Disposition;
}

/// Caller's part in a request that is under way.
#[derive(Default)]
pub struct Exchange {
    events: Option<mpsc::Sender<Event>>,
    wants_logs: bool,
    client: Option<Arc<dyn ClientPort>>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let client = self.client.as_ref().map(|client| client.client());
        f.debug_struct("Exchange").field("wants_logs", &self.wants_logs).field("client", &client).finish()
    }
}

impl Exchange {
    /// Returns an exchange with events, and their receiver. Events that nobody has room for are dropped, so that a slow
    /// reader holds up neither the child nor other callers. `logs` asks for log messages as well as for progress.
    pub fn with_events(logs: bool) -> (Exchange, mpsc::Receiver<Event>) {
        let (events, received) = mpsc::channel(MAX_EVENTS);
        (Exchange { events: Some(events), wants_logs: logs, client: None }, received)
    }

    /// Lets requests that the child pushes go to `client`.
    pub fn answered_by(mut self, client: Arc<dyn ClientPort>) -> Exchange {
        self.client = Some(client);
        self
    }

    /// Returns the client that can be asked; `None` if the caller is none.
    pub(super) fn client(&self) -> Option<&Arc<dyn ClientPort>> {
        self.client.as_ref()
    }

    /// Reports whether the caller is a client that can be asked.
    pub(super) fn can_be_asked(&self) -> bool {
        self.client.is_some()
    }

    /// Reports whether the caller asked for log messages.
    pub(super) fn wants_logs(&self) -> bool {
        self.wants_logs && self.events.is_some()
    }

    /// Hands an event over to the caller, if it asked for events. Returns `false` if it was dropped.
    pub(super) fn tell(&self, kind: fn(Bytes) -> Event, params: &[u8]) -> bool {
        let Some(events) = &self.events else { return true };
        if params.len() > MAX_EVENT {
            return false;
        }
        // Copied: a slice would keep the whole read buffer until the receiver has read it.
        events.try_send(kind(Bytes::copy_from_slice(params))).is_ok()
    }
}

/// Requests that are over for their callers, because they timed out or their callers left, and that the child may go on
/// with: what it pushes or logs may still be about them.
#[derive(Default)]
pub(super) struct Unfinished {
    /// Id, principal and end of each request, the oldest first.
    kept: VecDeque<(u64, Option<Arc<str>>, Instant)>,
    /// Time until which there may be further ones that found no room: of whom is not known any more.
    overflow: Option<Instant>,
}

impl Unfinished {
    /// Keeps a request that the child had.
    pub(super) fn add(&mut self, id: u64, asked: &str, exchange: Option<&Exchange>, now: Instant) {
        self.forget(now);
        let client = exchange.and_then(|exchange| exchange.client.as_ref());
        let principal = client.map(|client| client.principal().clone());
        if principal.is_some() || may_ask(asked) {
            if self.kept.len() == MAX_UNFINISHED {
                // Forgotten for room, and not because it is over: whoever it was of, it counts as another's.
                self.overflow = self.kept.pop_front().map(|(.., end)| end).max(self.overflow);
            }
            self.kept.push_back((id, principal, now + UNFINISHED_FOR));
        }
    }

    /// Drops a request that the child has answered after all.
    pub(super) fn answered(&mut self, id: u64) {
        self.kept.retain(|(kept, ..)| *kept != id);
    }

    /// Drops the requests that the child had time to give up.
    pub(super) fn forget(&mut self, now: Instant) {
        while self.kept.front().is_some_and(|(.., end)| *end <= now) {
            self.kept.pop_front();
        }
        self.overflow = self.overflow.filter(|end| *end > now);
    }

    /// Reports whether there is none.
    fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.overflow.is_none()
    }

    /// Reports whether there is one of another principal than this.
    fn has_another(&self, principal: Option<&Arc<str>>) -> bool {
        self.overflow.is_some()
            || self.kept.iter().any(|(_, kept, _)| kept.is_none() || kept.as_ref() != principal)
    }
}

/// Callers that share a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Any.
    All,
    /// Only those of one session or one principal: whatever the child says is for them, whichever request it is about.
    OnePrincipal,
}

/// Principals whose requests a child has had so far: whatever it says by itself may be about any of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Served {
    /// None: what it says is about itself.
    #[default]
    Nobody,
    /// All of this principal.
    One(Arc<str>),
    /// Those of several, or of callers of whom nothing is known.
    Several,
}

impl Served {
    /// Takes over a request of this method, with these members, that the child gets.
    pub(super) fn add(&mut self, asked: &str, members: &[u8], exchange: Option<&Exchange>) {
        if *self == Served::Several || (exchange.is_none() && !may_ask(asked) && !follows(asked, members)) {
            return;
        }
        let client = exchange.and_then(|exchange| exchange.client.as_ref());
        *self = match (client.map(|client| client.principal()), &*self) {
            (Some(principal), Served::Nobody) => Served::One(principal.clone()),
            (Some(principal), Served::One(known)) if known == principal => return,
            _ => Served::Several,
        };
    }
}

/// Reports whether a request makes the child follow resources: the sum of what clients wish, so that of whom what it says of
/// them is, is not known.
fn follows(asked: &str, members: &[u8]) -> bool {
    asked == method::SUBSCRIBE
        || asked == method::LISTEN && memmem::find(members, b"\"resourceSubscriptions\"").is_some()
}

/// Clients that a request which a child pushes may be meant for.
pub(super) enum Addressee {
    /// No request that may lead to one is under way.
    Nobody,
    /// Only requests of callers that cannot be asked anything.
    Mute,
    /// Only requests of this client; the port of the newest.
    One(Arc<dyn ClientPort>),
    /// Requests of several callers: on stdio nothing says which of them is meant.
    Several,
}

/// Returns whom a log message is for, given the requests that the child has: the caller of the only one that it is at work
/// for, if it asked for such messages. `None` if nobody is to have it: on stdio nothing says which request a message is
/// about, and one about another principal's may have that principal's data in it.
pub(super) fn reader_of_logs<'a>(
    under_way: impl Iterator<Item = (u64, &'a str, Option<&'a Exchange>)>,
    unfinished: &Unfinished,
    sharing: Sharing,
) -> Option<&'a Exchange> {
    if sharing == Sharing::OnePrincipal {
        let readers = under_way.filter_map(|(id, _, exchange)| Some((id, exchange?)));
        let readers = readers.filter(|(_, exchange)| exchange.wants_logs());
        return readers.max_by_key(|(id, _)| *id).map(|(_, exchange)| exchange);
    }
    let (mut working, mut awaited) = (None, Candidates::default());
    for (id, _, exchange) in under_way.filter(|(_, asked, exchange)| exchange.is_some() || may_ask(asked)) {
        match exchange.and_then(|exchange| exchange.client.as_ref()) {
            Some(port) if port.is_awaited() => awaited.add(id, port),
            _ if working.is_some() => return None,
            _ => working = Some(exchange),
        }
    }
    let exchange = working.flatten().filter(|exchange| exchange.wants_logs())?;
    let is_alone = match &exchange.client {
        Some(port) => awaited.are_of(port.principal()) && !unfinished.has_another(Some(port.principal())),
        None => awaited.newest.is_none() && unfinished.is_empty(),
    };
    is_alone.then_some(exchange)
}

/// Returns whom a pushed request is for, given the requests that the child has, with their ids: the only client that it is
/// at work for. Where it waits for some clients and is at work for one of the same principal, it is that one's: a request
/// that waits for an answer rarely asks for a second one, and who forgot a question must not end all later ones. Where all
/// are of one principal, it is the client's that was at work last.
pub(super) fn addressee<'a>(
    under_way: impl Iterator<Item = (u64, &'a str, Option<&'a Exchange>)>,
    unfinished: &Unfinished,
    sharing: Sharing,
) -> Addressee {
    let (mut working, mut awaited) = (Candidates::default(), Candidates::default());
    let mut mute = false;
    for (id, asked, exchange) in under_way {
        match exchange.and_then(|exchange| exchange.client.as_ref()) {
            Some(port) if port.is_awaited() => awaited.add(id, port),
            Some(port) => working.add(id, port),
            None => mute |= may_ask(asked),
        }
    }
    let (found, others) = match working.newest {
        Some(_) => (&working, Some(&awaited)),
        None => (&awaited, None),
    };
    let Some((_, port)) = found.newest else {
        return if mute || unfinished.has_another(None) { Addressee::Mute } else { Addressee::Nobody };
    };
    if sharing == Sharing::OnePrincipal {
        return Addressee::One(port.clone());
    }
    let is_alone = !found.several && others.is_none_or(|others| others.are_of(port.principal()));
    match is_alone && !mute && !unfinished.has_another(Some(port.principal())) {
        true => Addressee::One(port.clone()),
        false => Addressee::Several,
    }
}

/// Requests of clients that a pushed request may be meant for.
#[derive(Default)]
struct Candidates<'a> {
    newest: Option<(u64, &'a Arc<dyn ClientPort>)>,
    /// `true` if they are of several clients.
    several: bool,
    /// `true` if they are of several principals.
    mixed: bool,
}

impl<'a> Candidates<'a> {
    fn add(&mut self, id: u64, port: &'a Arc<dyn ClientPort>) {
        if let Some((newer, known)) = self.newest {
            self.several |= known.client() != port.client();
            self.mixed |= known.principal() != port.principal();
            if newer > id {
                return;
            }
        }
        self.newest = Some((id, port));
    }

    /// Reports whether there is none of another principal.
    fn are_of(&self, principal: &Arc<str>) -> bool {
        !self.mixed && self.newest.is_none_or(|(_, port)| port.principal() == principal)
    }
}

/// Reports whether a server may ask its client something while it carries out a request of this method.
fn may_ask(asked: &str) -> bool {
    matches!(asked, method::TOOLS_CALL | method::RESOURCES_READ | method::PROMPTS_GET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_by_itself_is_for_the_only_principal_that_it_has_served() {
        let (call, list) = (method::TOOLS_CALL, method::TOOLS_LIST);
        let mine = |number| as_principal(number, "a", false);
        let mut served = Served::default();
        served.add(list, b"", None);
        served.add(method::LISTEN, b"\"notifications\":{\"toolsListChanged\":true}", None);
        assert_eq!(served, Served::Nobody, "the gateway's own requests are about nobody");
        served.add(call, b"", Some(&mine(1)));
        served.add(call, b"", Some(&mine(2)));
        assert_eq!(served, Served::One("a".into()));
        served.add(call, b"", Some(&as_principal(3, "b", false)));
        served.add(call, b"", Some(&mine(4)));
        assert_eq!(served, Served::Several);
        let listen = b"\"notifications\":{\"resourceSubscriptions\":[\"a://b\"]}";
        for (asked, members) in
            [(call, &b""[..]), (method::SUBSCRIBE, b"\"uri\":\"a://b\""), (method::LISTEN, listen)]
        {
            let mut served = Served::default();
            served.add(call, b"", Some(&mine(1)));
            served.add(asked, members, None);
            assert_eq!(served, Served::Several, "{asked}: of callers of whom nothing is known");
        }
    }

    struct Client {
        number: u64,
        principal: Arc<str>,
        is_awaited: bool,
    }

    impl ClientPort for Client {
        fn client(&self) -> u64 {
            self.number
        }

        fn principal(&self) -> &Arc<str> {
            &self.principal
        }

        fn is_awaited(&self) -> bool {
            self.is_awaited
        }

        fn on_request(&self, _: PushedRequest) -> Disposition {
            Disposition::Answer(Answer::Result("{}".into()))
        }
    }

    fn of(client: u64) -> Exchange {
        as_principal(client, &client.to_string(), false)
    }

    fn as_principal(number: u64, principal: &str, is_awaited: bool) -> Exchange {
        let principal = principal.into();
        Exchange::default().answered_by(Arc::new(Client { number, principal, is_awaited }))
    }

    fn whom(under_way: &[(u64, &str, Option<&Exchange>)]) -> String {
        whom_in(Sharing::All, under_way)
    }

    fn whom_in(sharing: Sharing, under_way: &[(u64, &str, Option<&Exchange>)]) -> String {
        match addressee(under_way.iter().copied(), &Unfinished::default(), sharing) {
            Addressee::Nobody => "nobody".to_owned(),
            Addressee::Mute => "mute".to_owned(),
            Addressee::One(port) => port.client().to_string(),
            Addressee::Several => "several".to_owned(),
        }
    }

    #[test]
    fn a_pushed_request_goes_to_the_only_client_that_it_can_be_for() {
        let (one, again, other) = (of(1), of(1), of(2));
        let call = method::TOOLS_CALL;
        assert_eq!(whom(&[]), "nobody");
        assert_eq!(whom(&[(1, method::PING, None), (2, method::LISTEN, None)]), "nobody");
        assert_eq!(whom(&[(1, call, None)]), "mute");
        assert_eq!(whom(&[(1, call, Some(&one)), (2, method::PING, None)]), "1");
        assert_eq!(whom(&[(7, call, Some(&one)), (3, call, Some(&again))]), "1");
        assert_eq!(whom(&[(1, call, Some(&one)), (2, call, Some(&other))]), "several");
        assert_eq!(
            whom(&[(1, call, Some(&one)), (2, call, None)]),
            "several",
            "a caller of REST may be meant"
        );
    }

    #[test]
    fn a_child_of_one_principal_always_finds_a_client_to_ask() {
        let whom = |under_way: &[(u64, &str, Option<&Exchange>)]| whom_in(Sharing::OnePrincipal, under_way);
        let (one, waits) = (as_principal(1, "a", false), as_principal(2, "a", true));
        let (newer, call) = (as_principal(3, "a", false), method::TOOLS_CALL);
        assert_eq!(whom(&[(8, call, Some(&newer)), (3, call, Some(&one)), (4, call, None)]), "3");
        assert_eq!(whom(&[(3, call, Some(&one)), (5, call, Some(&waits))]), "1", "at work, not waiting");
        assert_eq!(whom(&[(5, call, Some(&waits))]), "2");
        assert_eq!((whom(&[(5, call, None)]).as_str(), whom(&[]).as_str()), ("mute", "nobody"));
        let (logs, _events) = Exchange::with_events(true);
        let under_way = [(1, call, Some(&logs)), (2, call, Some(&one)), (3, call, None)];
        let reader =
            |sharing| reader_of_logs(under_way.iter().copied(), &Unfinished::default(), sharing).is_some();
        assert!(reader(Sharing::OnePrincipal) && !reader(Sharing::All));
    }

    #[test]
    fn a_forgotten_question_holds_up_nobody_of_its_principal_and_no_other_sees() {
        let call = method::TOOLS_CALL;
        let (waits, also) = (as_principal(1, "a", true), as_principal(2, "a", true));
        let (works, other) = (as_principal(3, "a", false), as_principal(4, "b", false));
        let asked = |under_way: &[&Exchange]| {
            let numbered: Vec<_> =
                under_way.iter().zip(1..).map(|(one, id)| (id, call, Some(*one))).collect();
            whom(&numbered)
        };
        assert_eq!(asked(&[&waits, &also, &works]), "3");
        assert_eq!(asked(&[&waits]), "1", "its own second question");
        assert_eq!(asked(&[&waits, &also]), "several");
        assert_eq!(asked(&[&waits, &other]), "several", "it may be about another principal's");
        assert_eq!(asked(&[&works, &other]), "several");
    }

    #[test]
    fn what_may_be_about_a_request_that_was_given_up_goes_to_no_other_client() {
        let (one, now, call) = (of(1), Instant::now(), method::TOOLS_CALL);
        let whom = |unfinished: &Unfinished| match addressee(
            [(9, call, Some(&one))].into_iter(),
            unfinished,
            Sharing::All,
        ) {
            Addressee::One(port) => Some(port.client()),
            _ => None,
        };
        let (mut unfinished, logs) = (Unfinished::default(), Exchange::with_events(true));
        let is_read = |unfinished: &Unfinished| {
            reader_of_logs([(9, call, Some(&logs.0))].into_iter(), unfinished, Sharing::All).is_some()
        };
        unfinished.add(1, method::PING, None, now);
        assert!(whom(&unfinished) == Some(1) && is_read(&unfinished), "a probe asks nobody");
        unfinished.add(2, call, Some(&of(1)), now);
        assert!(whom(&unfinished) == Some(1) && !is_read(&unfinished), "its own");
        unfinished.add(3, call, Some(&of(2)), now);
        unfinished.add(4, call, None, now);
        assert_eq!(whom(&unfinished), None);
        unfinished.answered(3);
        assert_eq!(whom(&unfinished), None, "the other one is left");
        unfinished.answered(4);
        assert_eq!(whom(&unfinished), Some(1));
        (5..5 + 2 * MAX_UNFINISHED as u64).for_each(|id| unfinished.add(id, call, None, now));
        assert_eq!((whom(&unfinished), unfinished.kept.len()), (None, MAX_UNFINISHED));
        let mut full = Unfinished::default();
        full.add(1, call, Some(&of(2)), now);
        (2..=1 + MAX_UNFINISHED as u64).for_each(|id| full.add(id, call, Some(&of(1)), now));
        assert_eq!(whom(&full), None, "what found no room is not forgotten");
        full.forget(now + UNFINISHED_FOR);
        assert_eq!(whom(&full), Some(1));
        unfinished.forget(now + UNFINISHED_FOR);
        assert!(whom(&unfinished) == Some(1) && is_read(&unfinished));
    }

    #[test]
    fn a_log_message_is_for_the_caller_of_the_only_request_that_it_can_be_about() {
        let (logs, _logs) = Exchange::with_events(true);
        let (progress, _progress) = Exchange::with_events(false);
        let is_read = |under_way: &[(u64, &str, Option<&Exchange>)]| {
            reader_of_logs(under_way.iter().copied(), &Unfinished::default(), Sharing::All).is_some()
        };
        let call = method::TOOLS_CALL;
        assert!(is_read(&[(1, method::PING, None), (2, call, Some(&logs))]));
        assert!(!is_read(&[]) && !is_read(&[(1, call, Some(&progress))]));
        assert!(!is_read(&[(1, call, Some(&logs)), (2, call, Some(&progress))]));
        assert!(!is_read(&[(1, call, Some(&logs)), (2, call, None)]), "a caller of REST may be meant");
    }

    #[test]
    fn events_beyond_what_is_read_are_dropped_and_nothing_waits() {
        let (exchange, mut events) = Exchange::with_events(false);
        let told = (0..MAX_EVENTS + 5).filter(|_| exchange.tell(Event::Progress, b"{}")).count();
        assert_eq!(told, MAX_EVENTS);
        assert!(!exchange.tell(Event::Log, &vec![b' '; MAX_EVENT + 1]), "too long");
        assert_eq!(events.try_recv(), Ok(Event::Progress("{}".into())));
        assert!(exchange.tell(Event::Log, b"[]"), "there is room again");
        drop(events);
        assert!(!exchange.tell(Event::Progress, b"{}"), "nobody reads any more");
    }
}
