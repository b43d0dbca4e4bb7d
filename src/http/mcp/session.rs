//! Sessions of the legacy era (spec 2025-11-25, basic/transports, session management): opened by `initialize`, bound to the
//! principal that opened them and to one server, and ended by DELETE or by a time without use. They know nothing of
//! children and outlive them.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

use super::outlet::Outlet;
use crate::gateway::{ClientScope, Interest};
use crate::mcp::Answer;
use crate::mcp::translate::{Client, Level};

/// Time without use after which a session is over. An open stream or a request under way is use.
pub(super) const IDLE: Duration = Duration::from_secs(30 * 60);
/// Least time between two looks for sessions that are over.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Maximum number of requests of one session under way.
const MAX_IN_FLIGHT: usize = 128;
/// Maximum number of questions of servers that wait for one session's client.
const MAX_ASKED: usize = 64;
/// Maximum number of streams of one session that are kept for a client that comes back.
const MAX_OUTLETS: usize = 160;
/// Maximum number of them that are over.
const MAX_FINISHED: usize = 8;
/// Size of a finished stream, in bytes, above which it is not kept.
const KEPT_BYTES: usize = 256 * 1024;
/// Maximum number of resources that one session follows.
const MAX_FOLLOWED: usize = 256;
/// Number of sessions of which is remembered that their clients have ended them.
const MAX_ENDED: usize = 4096;

/// What a session is opened with.
pub(super) struct Opening {
    /// Id of the member that opens it.
    pub(super) principal: Arc<str>,
    /// Endpoint that the path names, see [`Target::key`](super::target::Target::key).
    pub(super) server: Arc<str>,
    /// Version that was agreed on.
    pub(super) version: &'static str,
    /// What the client said of itself.
    pub(super) client: Client,
    /// Number of the client, which no other has.
    pub(super) number: u64,
    /// What the gateway keeps for the session alone; ends with it.
    pub(super) scope: ClientScope,
}

/// One session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) opening: Opening,
    parts: Mutex<Parts>,
    next: AtomicU64,
    /// Number of the connection that has the session's own stream; an earlier one ends.
    pub(super) own_stream: watch::Sender<u64>,
}

#[derive(Default)]
struct Parts {
    /// Requests by their ids, each with the number of its stream.
    in_flight: HashMap<String, (u64, AbortHandle)>,
    asked: HashMap<u64, oneshot::Sender<Answer>>,
    outlets: VecDeque<Arc<Outlet>>,
    followed: HashMap<String, Interest>,
    level: Option<(Level, Vec<Interest>)>,
    streams: usize,
    used: Option<Instant>,
    is_over: bool,
}

/// Reason that a request of a session is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a request with this id is under way in this session")]
    SameId,
    #[error("{MAX_IN_FLIGHT} requests are under way in this session, which is as many as there may be")]
    Full,
    #[error("this session follows {MAX_FOLLOWED} resources, which is as many as it may")]
    FollowsTooMany,
    #[error("the session is over")]
    Over,
}

impl Session {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a number that this session has not had: of a stream, or of a request to its client.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the session is used.
    pub(super) fn touch(&self) {
        self.parts().used = Some(Instant::now());
    }

    /// Returns a stream for a request that is about to begin.
    pub(super) fn new_outlet(&self) -> Arc<Outlet> {
        Outlet::new(self.number())
    }

    /// Begins a request with this id, raw JSON, whose messages go to this stream; `begin` starts its task, and must not come
    /// back to this session. Two equal ids under way would get each other's answers.
    pub(super) fn begin(
        &self,
        id: &str,
        outlet: &Arc<Outlet>,
        begin: impl FnOnce() -> AbortHandle,
    ) -> Result<(), Refusal> {
        let mut parts = self.parts();
        if parts.is_over {
            return Err(Refusal::Over);
        }
        if parts.in_flight.contains_key(id) {
            return Err(Refusal::SameId);
        }
        if parts.in_flight.len() >= MAX_IN_FLIGHT {
            return Err(Refusal::Full);
        }
        parts.tidy();
        parts.outlets.push_back(outlet.clone());
        // Before the task can end, which takes the entry out again under this lock.
        parts.in_flight.insert(id.to_owned(), (outlet.number, begin()));
        Ok(())
    }

    /// Ends the request with this id and stream, which stays for a client that comes back. Another one may have the id by
    /// now.
    pub(super) fn ended(&self, id: &str, stream: u64) {
        let mut parts = self.parts();
        if parts.in_flight.get(id).is_some_and(|(number, _)| *number == stream) {
            parts.in_flight.remove(id);
        }
        parts.tidy();
        parts.used = Some(Instant::now());
    }

    /// Cancels the request with this id, raw JSON, if it is under way.
    pub(super) fn cancel(&self, id: &str) {
        let mut parts = self.parts();
        let Some((stream, task)) = parts.in_flight.remove(id) else { return };
        // A task that was never polled cannot do it itself.
        let outlet = parts.outlets.iter().find(|outlet| outlet.number == stream).cloned();
        drop(parts);
        task.abort();
        if let Some(outlet) = outlet {
            outlet.close();
        }
    }

    /// Returns the stream with this number; `None` if it is not kept.
    pub(super) fn outlet(&self, number: u64) -> Option<Arc<Outlet>> {
        self.parts().outlets.iter().find(|outlet| outlet.number == number).cloned()
    }

    /// Drops a stream that its client has had to the end.
    pub(super) fn forget(&self, number: u64) {
        self.parts().outlets.retain(|outlet| outlet.number != number);
    }

    /// Registers a request to the client, and returns its id and its answer; `None` if too many wait.
    pub(super) fn ask(&self) -> Option<(u64, oneshot::Receiver<Answer>)> {
        let (answer, answered) = oneshot::channel();
        let id = self.number();
        let mut parts = self.parts();
        parts.asked.retain(|_, answer| !answer.is_closed());
        if parts.asked.len() >= MAX_ASKED || parts.is_over {
            return None;
        }
        parts.asked.insert(id, answer);
        Some((id, answered))
    }

    /// Takes an answer of the client; one to what was not asked, or is answered, is dropped.
    pub(super) fn answered(&self, id: u64, answer: Answer) {
        let waiting = self.parts().asked.remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }

    /// Reports whether a request to the client waits for its answer.
    pub(super) fn is_asked(&self, id: u64) -> bool {
        self.parts().asked.contains_key(&id)
    }

    /// Takes back a request to the client.
    pub(super) fn unask(&self, id: u64) {
        self.parts().asked.remove(&id);
    }

    /// Follows a resource; the interest is kept as long as the session does.
    pub(super) fn follow(&self, uri: &str, interest: Interest) -> Result<(), Refusal> {
        let mut parts = self.parts();
        if parts.followed.len() >= MAX_FOLLOWED && !parts.followed.contains_key(uri) {
            return Err(Refusal::FollowsTooMany);
        }
        let before = parts.followed.insert(uri.to_owned(), interest);
        drop(parts);
        drop(before);
        Ok(())
    }

    /// Follows a resource no longer.
    pub(super) fn unfollow(&self, uri: &str) {
        let before = self.parts().followed.remove(uri);
        drop(before);
    }

    /// Returns the resources that the session follows.
    pub(super) fn followed(&self) -> Vec<String> {
        self.parts().followed.keys().cloned().collect()
    }

    /// Sets the least severity of the log messages that the client wants.
    pub(super) fn set_level(&self, level: Level, wishes: Vec<Interest>) {
        let before = self.parts().level.replace((level, wishes));
        drop(before);
    }

    /// Returns that severity; `None` if the client has not said.
    pub(super) fn level(&self) -> Option<Level> {
        self.parts().level.as_ref().map(|(level, _)| *level)
    }

    /// Reports whether the client wants a log message with these `params`, raw JSON. One that has set no level gets all.
    pub(super) fn wants_log(&self, params: &[u8]) -> bool {
        let said = Level::of_message(std::str::from_utf8(params).unwrap_or_default());
        self.level().is_none_or(|least| said >= least)
    }

    /// Marks the session as used for as long as the guard lives.
    pub(super) fn hold(self: &Arc<Session>) -> SessionUse {
        self.parts().streams += 1;
        SessionUse(self.clone())
    }

    fn is_idle_at(&self, now: Instant) -> bool {
        let parts = self.parts();
        let is_used = parts.streams > 0 || !parts.in_flight.is_empty();
        !is_used && parts.used.is_none_or(|used| now.duration_since(used) >= IDLE)
    }

    /// Ends the session: what is under way is cancelled.
    fn end(&self) {
        let parts = {
            let mut parts = self.parts();
            let streams = parts.streams;
            std::mem::replace(&mut *parts, Parts { is_over: true, streams, ..Parts::default() })
        };
        parts.in_flight.values().for_each(|(_, task)| task.abort());
        parts.outlets.iter().for_each(|outlet| outlet.close());
        self.opening.scope.end();
        self.own_stream.send_replace(u64::MAX);
    }
}

impl Parts {
    /// Drops streams that are over, the oldest first, as far as there are too many of them or they are large.
    fn tidy(&mut self) {
        let mut finished = self.outlets.iter().filter(|outlet| outlet.weight().1).count();
        self.outlets.retain(|outlet| {
            let (bytes, is_over) = outlet.weight();
            let goes = is_over && (finished > MAX_FINISHED || bytes > KEPT_BYTES);
            finished -= usize::from(goes);
            !goes
        });
        while self.outlets.len() >= MAX_OUTLETS {
            self.outlets.pop_front();
        }
    }
}

/// Guard of a use of a session.
pub(super) struct SessionUse(Arc<Session>);

impl Drop for SessionUse {
    fn drop(&mut self) {
        let mut parts = self.0.parts();
        parts.streams -= 1;
        parts.used = Some(Instant::now());
    }
}

/// All sessions.
#[derive(Default)]
pub(super) struct Sessions {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    sessions: HashMap<String, Arc<Session>>,
    /// Ids of the last sessions that were ended by their clients, the oldest first.
    ended: VecDeque<String>,
    looked: Option<Instant>,
}

impl Sessions {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a session under this id; `None` if there are `at_most` of them.
    pub(super) fn open(&self, id: String, opening: Opening, at_most: usize) -> Option<Arc<Session>> {
        let now = Instant::now();
        let parts = Mutex::new(Parts { used: Some(now), ..Parts::default() });
        let (next, own_stream) = (AtomicU64::new(0), watch::Sender::new(0));
        let session = Arc::new(Session { id: id.clone(), opening, parts, next, own_stream });
        let mut table = self.table();
        let gone = table.sweep(now, at_most);
        let own =
            table.sessions.values().filter(|other| other.opening.principal == session.opening.principal);
        // Half of them for one member, so that it shuts nobody out.
        let is_full = table.sessions.len() >= at_most || own.count() >= at_most.div_ceil(2);
        // Two requests may bring a session back at once: the first has.
        let opened = match is_full {
            true => None,
            false => Some(table.sessions.entry(id).or_insert(session).clone()),
        };
        drop(table);
        gone.iter().for_each(|session| session.end());
        opened
    }

    /// Opens a session again that went with a restart of the daemon or by its idleness; `None` for one that its client has
    /// ended, as far as that is remembered, and if there are `at_most` of them.
    pub(super) fn reopen(&self, id: &str, opening: Opening, at_most: usize) -> Option<Arc<Session>> {
        let was_ended = self.table().ended.iter().any(|ended| ended == id);
        if was_ended { None } else { self.open(id.to_owned(), opening, at_most) }
    }

    /// Returns the session with this id, of this principal and at this server; `None` if there is none.
    pub(super) fn find(&self, id: &str, principal: &str, server: &str) -> Option<Arc<Session>> {
        let session = self.table().sessions.get(id).cloned()?;
        let is_theirs = *session.opening.principal == *principal && *session.opening.server == *server;
        if !is_theirs {
            return None;
        }
        if session.is_idle_at(Instant::now()) {
            let gone = self.table().sessions.remove(id);
            gone.iter().for_each(|session| session.end());
            return None;
        }
        session.touch();
        Some(session)
    }

    /// Ends the sessions that are over, from time to time, as long as there are any holders of the table.
    pub(super) async fn keep_tidy(sessions: Weak<Sessions>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(sessions) = sessions.upgrade() else { return };
            let gone = sessions.table().sweep(Instant::now(), 0);
            gone.iter().for_each(|session| session.end());
        }
    }

    /// Ends a session for good, as its client wishes.
    pub(super) fn close(&self, session: &Session) {
        let mut table = self.table();
        if table.ended.len() == MAX_ENDED {
            table.ended.pop_front();
        }
        table.ended.push_back(session.id.clone());
        let gone = table.sessions.remove(&session.id);
        drop(table);
        if let Some(gone) = gone {
            gone.end();
        }
    }
}

impl Table {
    /// Takes out the sessions that are over: from time to time, and whenever there is no room.
    fn sweep(&mut self, now: Instant, at_most: usize) -> Vec<Arc<Session>> {
        let is_due = self.looked.is_none_or(|looked| now.duration_since(looked) >= LOOK_EVERY);
        if !is_due && self.sessions.len() < at_most {
            return Vec::new();
        }
        self.looked = Some(now);
        let over: Vec<String> = self
            .sessions
            .iter()
            .filter(|(_, session)| session.is_idle_at(now))
            .map(|(id, _)| id.clone())
            .collect();
        over.iter().filter_map(|id| self.sessions.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sessions: &Sessions, principal: &str, at_most: usize) -> Option<Arc<Session>> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        sessions.open(id, opening(principal), at_most)
    }

    fn opening(principal: &str) -> Opening {
        let capabilities = serde_json::from_str("{}").expect("JSON");
        let client = Client::read(None, capabilities).expect("an object");
        let (version, number) = ("2025-11-25", 1);
        let (server, scope) = ("s".into(), ClientScope::default());
        Opening { principal: principal.into(), server, version, client, number, scope }
    }

    fn begun(session: &Session, id: &str) -> Result<Arc<Outlet>, Refusal> {
        let outlet = session.new_outlet();
        let task = || tokio::spawn(std::future::pending::<()>()).abort_handle();
        session.begin(id, &outlet, task).map(|()| outlet)
    }

    #[test]
    fn a_session_is_only_there_for_who_opened_it_where_it_was_opened() {
        let sessions = Sessions::default();
        let session = open(&sessions, "a", 10).expect("room");
        assert!(sessions.find(&session.id, "a", "s").is_some());
        assert!(sessions.find(&session.id, "b", "s").is_none());
        assert!(sessions.find(&session.id, "a", "t").is_none());
        let again = sessions.reopen(&session.id, opening("a"), 10).expect("room");
        assert!(Arc::ptr_eq(&again, &session), "it is there");
        sessions.close(&session);
        assert!(sessions.find(&session.id, "a", "s").is_none());
        assert!(sessions.reopen(&session.id, opening("a"), 10).is_none(), "its client has ended it");
    }

    #[test]
    fn a_session_that_went_by_its_idleness_comes_back_under_its_id() {
        let sessions = Sessions::default();
        let session = open(&sessions, "a", 10).expect("room");
        session.parts().used = Instant::now().checked_sub(IDLE);
        assert!(sessions.find(&session.id, "a", "s").is_none());
        let again = sessions.reopen(&session.id, opening("a"), 10).expect("room");
        assert!(!Arc::ptr_eq(&again, &session) && sessions.find(&session.id, "a", "s").is_some());
    }

    #[test]
    fn there_are_no_more_sessions_than_may_be() {
        let sessions = Sessions::default();
        let first = open(&sessions, "a", 2).expect("room");
        assert!(open(&sessions, "b", 2).is_some() && open(&sessions, "b", 2).is_none());
        first.parts().used = Instant::now().checked_sub(IDLE);
        let _held = first.hold();
        assert!(open(&sessions, "c", 2).is_none(), "its stream is open");
        drop(_held);
        first.parts().used = Instant::now().checked_sub(IDLE);
        assert!(open(&sessions, "c", 2).is_some(), "an idle one makes room");
    }

    #[tokio::test]
    async fn an_id_under_way_is_refused_and_free_again_after_it() {
        let sessions = Sessions::default();
        let session = open(&sessions, "a", 1).expect("room");
        let begin = |id: &str| begun(&session, id).map(|outlet| outlet.number);
        let first = begin("1").expect("free");
        assert_eq!(begin("1"), Err(Refusal::SameId));
        assert!(begin("\"1\"").expect("another id") > first);
        session.ended("1", first + 1);
        assert_eq!(begin("1"), Err(Refusal::SameId), "another one's end");
        session.ended("1", first);
        assert!(begin("1").is_ok());
        (3..=MAX_IN_FLIGHT).for_each(|id| assert!(begin(&id.to_string()).is_ok()));
        assert_eq!(begin("more"), Err(Refusal::Full));
        sessions.close(&session);
        assert_eq!(begin("1"), Err(Refusal::Over));
    }

    #[tokio::test]
    async fn questions_are_answered_once_and_those_of_an_ended_session_are_given_up() {
        let sessions = Sessions::default();
        let session = open(&sessions, "a", 1).expect("room");
        let (id, answered) = session.ask().expect("room");
        session.answered(id, Answer::Result("{}".into()));
        session.answered(id, Answer::Result("[]".into()));
        assert_eq!(answered.await.ok(), Some(Answer::Result("{}".into())));
        let (_, left) = session.ask().expect("room");
        sessions.close(&session);
        assert!(left.await.is_err() && session.ask().is_none());
        assert_eq!(*session.own_stream.borrow(), u64::MAX);
    }

    #[tokio::test]
    async fn finished_streams_are_kept_for_a_while_and_not_all_of_them() {
        let sessions = Sessions::default();
        let session = open(&sessions, "a", 1).expect("room");
        let first = begun(&session, "0").expect("room");
        first.finish("x");
        session.ended("0", first.number);
        assert!(session.outlet(first.number).is_some());
        for id in 1..=MAX_FINISHED + 1 {
            let outlet = begun(&session, &id.to_string()).expect("room");
            outlet.finish("x");
            session.ended(&id.to_string(), outlet.number);
        }
        begun(&session, "last").expect("room");
        assert!(session.outlet(first.number).is_none());
    }
}
