//! The bridge: what a client writes goes to the daemon, and what comes of it to the client, whatever the order.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::fault::{Fault, HEADER_MISMATCH, INVALID_REQUEST};
use super::headers::RepeatedArguments;
use super::line::{self, Kind, MAX_LINE, Message, Request};
use super::note;
use super::pending::{MAX_OPEN, PendingRequests, Refusal, Ticket};
use super::pipes::{Input, Output};
use super::remote::{Answered, Boxed, Remote, Reply, TransportError, in_session};
use super::session::{Session, Wishes, agreed_version, initialized, list_tools, withdrawn};
use crate::jsonrpc::Line;
use crate::mcp::method;
use crate::mcp::translate::Members;

/// Maximum number of requests that the daemon has at once, each on a connection; further ones wait. Streams of changes do not
/// count.
const AT_ONCE: usize = 32;
/// Maximum number of notifications and answers of the client that wait to be sent.
const WAITING: usize = 1024;
/// Maximum number of pages of tools that are read for the headers of a call.
const MAX_PAGES: usize = 64;
/// Pauses before a cancellation is told once more, while its request is under way: it may have overtaken the request.
const TELL_AGAIN: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(4)];
/// Pauses before the session's own stream is opened again; the last one counts for all further ones.
const COME_BACK: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// Id that comes before every event of the own stream: what follows it is everything that may have changed.
const BEFORE_ALL: &str = "0-0";
/// Longest time that the end of a session may take.
const END_WITHIN: Duration = Duration::from_secs(2);

/// State of the legacy session.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Closed,
    /// `initialize` is under way; what belongs to the session waits for it.
    Opening,
    /// It is open.
    Open(Arc<Session>),
}

/// What belongs to a request under way.
struct Kept {
    task: AbortHandle,
    is_modern: bool,
    is_opening: bool,
}

/// The bridge.
pub(super) struct Bridge {
    remote: Remote,
    output: Output,
    pending: Mutex<PendingRequests<Kept>>,
    /// Number of requests whose tasks are not over, streams not counted.
    under_way: watch::Sender<usize>,
    places: Semaphore,
    phase: watch::Sender<Phase>,
    /// `initialize` as the client wrote it; `None` before it.
    opening: Mutex<Option<Bytes>>,
    reopening: tokio::sync::Mutex<()>,
    wishes: Mutex<Wishes>,
    own_stream: Mutex<Option<AbortHandle>>,
    repeated: Mutex<RepeatedArguments>,
    /// What the client says in its session beside requests, in its order.
    said: mpsc::Sender<Bytes>,
}

fn spawn(task: Boxed<'static, ()>) -> AbortHandle {
    tokio::spawn(task).abort_handle()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request under way. If it is dropped without an answer, it is answered by an error.
struct Exchange {
    bridge: Arc<Bridge>,
    request: Request,
    line: Bytes,
    ticket: Ticket,
}

impl Bridge {
    /// Makes a bridge. Must be called inside a runtime.
    pub(super) fn new(remote: Remote, output: Output) -> Arc<Bridge> {
        let (said, saying) = mpsc::channel(WAITING);
        let bridge = Arc::new(Bridge {
            remote,
            output,
            pending: Mutex::default(),
            under_way: watch::Sender::new(0),
            places: Semaphore::new(AT_ONCE),
            phase: watch::Sender::new(Phase::Closed),
            opening: Mutex::default(),
            reopening: tokio::sync::Mutex::default(),
            wishes: Mutex::default(),
            own_stream: Mutex::default(),
            repeated: Mutex::default(),
            said,
        });
        spawn(Box::pin(say_all(bridge.clone(), saying)));
        bridge
    }

    /// Takes what the client writes, to the end of it.
    pub(super) async fn take_all(self: &Arc<Self>, mut input: mpsc::Receiver<Input>) {
        while let Some(given) = input.recv().await {
            match given {
                Input::Line(line) => self.take(line).await,
                Input::Endless => {
                    note(&format!("a line on stdin has no end within {} bytes", MAX_LINE * 8));
                    return;
                }
                Input::Broken(error) => {
                    note(&format!("stdin cannot be read: {error}"));
                    return;
                }
            }
        }
    }

    async fn take(self: &Arc<Self>, line: Line) {
        let Message { text, kind } = match line::read(line) {
            Ok(message) => message,
            Err(Some((fault, id))) => return self.output.line(fault.message(id.as_deref())).await,
            Err(None) => return note(&format!("an answer of the client is longer than {MAX_LINE} bytes")),
        };
        match kind {
            Kind::Request(request) => self.begin(request, text).await,
            Kind::Notification { method, about: Some(about), .. } if method == method::CANCELLED => {
                self.cancel(&about, text);
            }
            // Nothing that a modern client notifies of concerns a server over HTTP.
            Kind::Notification { is_modern: true, .. } => {}
            Kind::Notification { .. } => self.say(text),
            Kind::Answer(id) => {
                lock(&self.pending).told(&id);
                self.say(text);
            }
            Kind::Batch(ids) => self.begin_batch(ids, text).await,
        }
    }

    async fn begin(self: &Arc<Self>, request: Request, line: Bytes) {
        let is_modern = request.version.is_some();
        let is_opening = !is_modern && request.method == method::INITIALIZE;
        let id = request.id.clone();
        let is_stream = is_modern && request.method == method::LISTEN;
        let begun = lock(&self.pending).begin(&id, |ticket| {
            let bridge = self.clone();
            self.under_way.send_modify(|count| *count += usize::from(!is_stream));
            let exchange = Exchange { bridge, request, line, ticket };
            if is_opening {
                self.close_session();
            }
            let task = spawn(Box::pin(exchange.run(is_opening)));
            Kept { task, is_modern, is_opening }
        });
        if let Err(refusal) = begun {
            self.output.line(refused(refusal).message(Some(&id))).await;
        }
    }

    /// Begins an array of messages, which only a session of 2025-03-26 has.
    async fn begin_batch(self: &Arc<Self>, ids: Vec<String>, line: Bytes) {
        let session = self.session().await.filter(|session| session.version == "2025-03-26");
        let Some(session) = session else {
            let text = "Invalid request: a line is one message, not an array";
            return self.output.line(Fault::new(INVALID_REQUEST, text).message(None)).await;
        };
        if ids.is_empty() {
            return self.say(line);
        }
        self.under_way.send_modify(|count| *count += 1);
        let bridge = self.clone();
        spawn(Box::pin(async move {
            let _place = bridge.places.acquire().await;
            let fault = match bridge.remote.post(line, &in_session(&session)).await {
                Ok(Answered { reply: Reply::Message(text), .. }) if text.starts_with(b"[") => {
                    bridge.output.line(text).await;
                    None
                }
                Ok(Answered { reply: Reply::Accepted, .. }) => None,
                Ok(Answered { reply: Reply::Refused(_, fault), .. }) => Some(fault),
                Ok(Answered { reply: Reply::Events(_) | Reply::Message(_), .. }) => {
                    Some(Fault::lost("", "an array was not answered with an array"))
                }
                Err(failure) => Some(bridge.fault_of("", &failure)),
            };
            if let Some(fault) = fault {
                for id in &ids {
                    bridge.output.line(fault.message(Some(id))).await;
                }
            }
            bridge.under_way.send_modify(|count| *count -= 1);
        }));
    }

    fn fault_of(&self, asked: &str, failure: &TransportError) -> Fault {
        match failure {
            TransportError::Unreachable(reason) => Fault::unreachable(self.remote.shown(), reason),
            TransportError::Lost(reason) => Fault::lost(asked, reason),
        }
    }

    /// Cancels a request: in the modern era by closing its connection, else by telling the daemon.
    fn cancel(self: &Arc<Self>, id: &str, line: Bytes) {
        let mut pending = lock(&self.pending);
        // `initialize` cannot be cancelled (spec 2025-11-25, basic/utilities/cancellation).
        if pending.kept(id).is_none_or(|kept| kept.is_opening) {
            return;
        }
        let Some(Kept { task, is_modern, .. }) = pending.cancel(id) else { return };
        drop(pending);
        if is_modern {
            return task.abort();
        }
        let bridge = self.clone();
        spawn(Box::pin(async move {
            for pause in TELL_AGAIN {
                sleep(pause).await;
                if task.is_finished() {
                    return;
                }
                bridge.say(line.clone());
            }
        }));
    }

    /// Sends something of the client's session that gets no answer.
    fn say(&self, line: Bytes) {
        if self.said.try_send(line).is_err() {
            note(&format!("{WAITING} notifications and answers wait to be sent; one was dropped"));
        }
    }

    /// Returns the session, once it is known whether there is one.
    async fn session(&self) -> Option<Arc<Session>> {
        let mut phase = self.phase.subscribe();
        let phase = phase.wait_for(|phase| *phase != Phase::Opening).await.ok()?;
        match &*phase {
            Phase::Open(session) => Some(session.clone()),
            Phase::Closed | Phase::Opening => None,
        }
    }

    /// Ends the session that is open, if one is, for the one that a client opens now.
    fn close_session(self: &Arc<Self>) {
        if let Some(stream) = lock(&self.own_stream).take() {
            stream.abort();
        }
        lock(&self.wishes).clear();
        if let Phase::Open(session) = self.phase.send_replace(Phase::Opening) {
            let bridge = self.clone();
            spawn(Box::pin(async move {
                let _ = timeout(END_WITHIN, bridge.remote.end(&session)).await;
            }));
        }
    }

    /// Opens the session again that the daemon does not know any more, as the client had opened it. Of several that have
    /// found it lost, one does so.
    fn reopen<'a>(&'a self, lost: &'a Session) -> Boxed<'a, Result<(), Fault>> {
        Box::pin(self.reopen_once(lost))
    }

    async fn reopen_once(&self, lost: &Session) -> Result<(), Fault> {
        let _one = self.reopening.lock().await;
        match &*self.phase.borrow() {
            Phase::Open(session) if **session == *lost => {}
            _ => return Ok(()),
        }
        let Some(opening) = lock(&self.opening).clone() else { return Ok(()) };
        let answered = self.remote.post(opening, &[]).await;
        let answered = answered.map_err(|failure| self.fault_of(method::INITIALIZE, &failure))?;
        let version = match &answered.reply {
            Reply::Message(text) => std::str::from_utf8(text).ok().and_then(agreed_version),
            Reply::Refused(_, fault) => return Err(fault.clone()),
            Reply::Events(_) | Reply::Accepted => None,
        };
        let not_again = || Fault::lost(method::INITIALIZE, "the session is over and cannot be opened again");
        let version = version.ok_or_else(not_again)?;
        let session = Session { id: answered.session, version };
        let headers = in_session(&session);
        self.phase.send_replace(Phase::Open(Arc::new(session)));
        note("the session was lost, and another one is open in its place");
        let _ = self.remote.post(initialized(), &headers).await;
        self.wish_again(&headers).await;
        Ok(())
    }

    /// Asks for what the client had asked for in its session: it may be a new one, or one that was let go meanwhile.
    async fn wish_again(&self, headers: &[(String, String)]) {
        let again = lock(&self.wishes).again();
        for request in again {
            let told = self.remote.post(request, headers).await;
            if let Ok(Answered { reply: Reply::Refused(_, fault), .. }) = told {
                note(&format!("a subscription could not be renewed: {}", fault.text()));
            }
        }
    }

    fn open_own_stream(self: &Arc<Self>) {
        let stream = spawn(Box::pin(read_own_stream(self.clone())));
        if let Some(before) = lock(&self.own_stream).replace(stream) {
            before.abort();
        }
    }

    /// Lists the tools for their headers, with what a modern request says of its client.
    async fn list_again(&self, line: &str) {
        let (mut cursor, mut pages): (Option<String>, _) = (None, 0);
        while let Some(list) = list_tools(line, cursor.as_deref()).filter(|_| pages < MAX_PAGES) {
            pages += 1;
            let version = Members::read(line).and_then(|message| {
                let meta = message.object("params")?.object("_meta")?;
                meta.text(crate::mcp::translate::PROTOCOL_VERSION).map(|version| version.into_owned())
            });
            let request = Request { id: String::new(), method: method::TOOLS_LIST.to_owned(), version };
            let headers = lock(&self.repeated).headers(&request, line);
            let Ok(Answered { reply: Reply::Message(text), .. }) = self.remote.post(list, &headers).await
            else {
                return;
            };
            let Ok(text) = std::str::from_utf8(&text) else { return };
            lock(&self.repeated).learn(text);
            let next = Members::read(text).and_then(|answer| {
                answer.object("result")?.text("nextCursor").map(|cursor| cursor.into_owned())
            });
            cursor = match next {
                None => return,
                next => next,
            };
        }
    }

    /// Ends the bridge: what is under way may end within `grace`, then the session is ended.
    pub(super) async fn finish(self: &Arc<Self>, grace: Duration) {
        let mut under_way = self.under_way.subscribe();
        let _ = timeout(grace, under_way.wait_for(|count| *count == 0)).await;
        let left = lock(&self.pending).give_up();
        left.iter().for_each(|(_, kept)| kept.task.abort());
        let ended = Fault::lost("", "the bridge ends");
        let answers = async {
            for (id, _) in &left {
                self.output.line(ended.message(Some(id))).await;
            }
        };
        let _ = timeout(END_WITHIN, answers).await;
        if let Some(stream) = lock(&self.own_stream).take() {
            stream.abort();
        }
        let phase = self.phase.send_replace(Phase::Closed);
        if let Phase::Open(session) = phase {
            let _ = timeout(END_WITHIN, self.remote.end(&session)).await;
        }
        let _ = timeout(END_WITHIN, self.output.end()).await;
    }
}

/// Reports whether a text is an answer to a request.
fn is_answer(text: &[u8]) -> bool {
    let members = std::str::from_utf8(text).ok().and_then(Members::read);
    members.is_some_and(|answer| answer.get("result").is_some() || answer.get("error").is_some())
}

/// Reports whether a text is a request or a notification.
fn is_call(text: &[u8]) -> bool {
    std::str::from_utf8(text).ok().and_then(Members::read).is_some_and(|call| call.get("method").is_some())
}

fn refused(refusal: Refusal) -> Fault {
    match refusal {
        Refusal::SameId => Fault::same_id(),
        Refusal::Full => Fault::too_many(MAX_OPEN),
    }
}

impl Exchange {
    async fn run(self, is_opening: bool) {
        if is_opening {
            return self.open().await;
        }
        let is_stream = self.request.version.is_some() && self.request.method == method::LISTEN;
        let _place = match is_stream {
            true => None,
            false => self.bridge.places.acquire().await.ok(),
        };
        if !self.is_open() {
            return;
        }
        let done = match self.request.version {
            Some(_) => self.modern().await,
            None => self.legacy().await,
        };
        if let Err(fault) = done {
            self.answer(fault.message(Some(&self.request.id))).await;
        }
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or_default()
    }

    fn is_open(&self) -> bool {
        lock(&self.bridge.pending).is_open(&self.request.id, self.ticket)
    }

    /// Writes the answer, unless the request has had one or was cancelled.
    async fn answer(&self, message: Bytes) -> bool {
        let is_first = lock(&self.bridge.pending).answer(&self.request.id, self.ticket);
        if is_first {
            self.bridge.output.line(message).await;
        }
        is_first
    }

    fn fault(&self, failure: &TransportError) -> Fault {
        self.bridge.fault_of(&self.request.method, failure)
    }

    /// Opens a session.
    async fn open(&self) {
        let bridge = &self.bridge;
        *lock(&bridge.opening) = Some(self.line.clone());
        let opened = match bridge.remote.post(self.line.clone(), &[]).await {
            Ok(Answered { reply, session }) => self.received(reply).await.map(|answer| (answer, session)),
            Err(failure) => Err(self.fault(&failure)),
        };
        let (answer, session) = match opened {
            Ok((Some(answer), id)) => {
                let version = std::str::from_utf8(&answer).ok().and_then(agreed_version);
                let session = version.map(|version| Session { id, version });
                (answer, session)
            }
            Ok((None, _)) => return,
            Err(fault) => {
                note(&format!("initialize was refused: {}", fault.text()));
                (fault.message(Some(&self.request.id)), None)
            }
        };
        // The answer first: nothing of the session may come before it.
        self.answer(answer).await;
        match session {
            Some(session) => {
                bridge.phase.send_replace(Phase::Open(Arc::new(session)));
                bridge.open_own_stream();
            }
            None => drop(bridge.phase.send_replace(Phase::Closed)),
        }
    }

    /// Sends a request in the session. One that the daemon does not know was not carried out: the session is opened again,
    /// and the request sent once more.
    async fn legacy(&self) -> Result<(), Fault> {
        let mut may_reopen = true;
        loop {
            let session = self.bridge.session().await;
            let headers = session.as_deref().map(in_session).unwrap_or_default();
            if !self.is_open() {
                return Ok(());
            }
            let answered = self.bridge.remote.post(self.line.clone(), &headers).await;
            let answered = answered.map_err(|failure| self.fault(&failure))?;
            if let (Reply::Refused(404, _), Some(session), true) = (&answered.reply, session, may_reopen) {
                may_reopen = false;
                self.bridge.reopen(&session).await?;
                continue;
            }
            if let Some(answer) = self.received(answered.reply).await? {
                let text = std::str::from_utf8(&answer).unwrap_or_default();
                if Members::read(text).is_some_and(|answer| answer.get("result").is_some()) {
                    lock(&self.bridge.wishes).granted(&self.request, self.text());
                }
                self.answer(answer).await;
            }
            return Ok(());
        }
    }

    /// Sends a modern request with the headers that belong to it. If the daemon finds them wrong, which it does before
    /// anything is carried out, the tools are listed and it is sent once more.
    async fn modern(&self) -> Result<(), Fault> {
        let mut may_list = self.request.method == method::TOOLS_CALL;
        loop {
            let headers = lock(&self.bridge.repeated).headers(&self.request, self.text());
            let answered = self.bridge.remote.post(self.line.clone(), &headers).await;
            let answered = answered.map_err(|failure| self.fault(&failure))?;
            if let (Reply::Refused(_, fault), true) = (&answered.reply, may_list)
                && fault.code() == HEADER_MISMATCH
            {
                may_list = false;
                self.bridge.list_again(self.text()).await;
                continue;
            }
            if let Some(answer) = self.received(answered.reply).await? {
                if self.request.method == method::TOOLS_LIST {
                    lock(&self.bridge.repeated).learn(std::str::from_utf8(&answer).unwrap_or_default());
                }
                self.answer(answer).await;
            }
            return Ok(());
        }
    }

    /// Receives the answer; what comes before it on a stream goes to the client at once. `None` if the request was cancelled.
    fn received(&self, reply: Reply) -> Boxed<'_, Result<Option<Bytes>, Fault>> {
        Box::pin(self.receive(reply))
    }

    async fn receive(&self, reply: Reply) -> Result<Option<Bytes>, Fault> {
        let ended = "it ended without one".to_owned();
        let mut events = match reply {
            Reply::Message(text) if is_answer(&text) => return Ok(Some(text)),
            Reply::Message(_) => {
                return Err(self.fault(&TransportError::Lost("it is no message of MCP".to_owned())));
            }
            Reply::Refused(_, fault) => return Err(fault),
            Reply::Accepted if !self.is_open() => return Ok(None),
            Reply::Accepted => return Err(self.fault(&TransportError::Lost(ended))),
            Reply::Events(events) => events,
        };
        loop {
            let message = match events.next().await {
                Ok(Some(message)) => message,
                Ok(None) if !self.is_open() => return Ok(None),
                Ok(None) => return Err(self.broken_off(TransportError::Lost(ended)).await),
                Err(failure) => return Err(self.broken_off(failure).await),
            };
            let members = std::str::from_utf8(&message).ok().and_then(Members::read);
            let Some(members) = members else { continue };
            let id = members.get("id").map(|id| id.get().to_owned());
            if members.get("method").is_none() {
                return Ok(Some(message));
            }
            if !self.is_open() {
                continue;
            }
            if let Some(question) = id {
                lock(&self.bridge.pending).asked(&question, self.ticket);
            }
            self.bridge.output.line(message).await;
        }
    }

    /// Takes back the questions of an answer that broke off, and returns the error for it.
    async fn broken_off(&self, failure: TransportError) -> Fault {
        let questions = lock(&self.bridge.pending).orphaned(self.ticket);
        for question in questions {
            self.bridge.output.line(withdrawn(&question)).await;
        }
        self.fault(&failure)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let mut pending = lock(&self.bridge.pending);
        drop(pending.orphaned(self.ticket));
        if pending.answer(&self.request.id, self.ticket) {
            let fault = Fault::lost(&self.request.method, "the bridge has a defect");
            self.bridge.output.try_line(fault.message(Some(&self.request.id)));
        }
        drop(pending);
        let is_stream = self.request.version.is_some() && self.request.method == method::LISTEN;
        self.bridge.under_way.send_modify(|count| *count -= usize::from(!is_stream));
        // Nobody waits for a session that did not come to be.
        let is_opening = self.request.version.is_none() && self.request.method == method::INITIALIZE;
        self.bridge.phase.send_if_modified(|phase| {
            let is_stuck = is_opening && *phase == Phase::Opening;
            if is_stuck {
                *phase = Phase::Closed;
            }
            is_stuck
        });
    }
}

/// Sends what the client says beside its requests, in its order.
async fn say_all(bridge: Arc<Bridge>, mut said: mpsc::Receiver<Bytes>) {
    while let Some(line) = said.recv().await {
        // Without a session it says nothing to anybody.
        let Some(session) = bridge.session().await else { continue };
        match bridge.remote.post(line, &in_session(&session)).await {
            // What it is about is gone with the session.
            Ok(Answered { reply: Reply::Refused(404, _), .. }) => {
                if let Err(fault) = bridge.reopen(&session).await {
                    note(fault.text());
                }
            }
            Ok(Answered { reply: Reply::Refused(_, fault), .. }) => note(fault.text()),
            Err(failure) => note(bridge.fault_of("", &failure).text()),
            Ok(_) => {}
        }
    }
}

/// Reads the session's own stream, and opens it again whenever it ends.
async fn read_own_stream(bridge: Arc<Bridge>) {
    let (mut last, mut is_first, mut failed) = (None::<String>, true, 0);
    let mut phase = bridge.phase.subscribe();
    loop {
        let Phase::Open(session) = phase.borrow_and_update().clone() else { return };
        let after = last.clone().or_else(|| (!is_first).then(|| BEFORE_ALL.to_owned()));
        match bridge.remote.stream(&session, after.as_deref()).await {
            Ok(Reply::Events(mut events)) => {
                failed = 0;
                if !std::mem::take(&mut is_first) {
                    bridge.wish_again(&in_session(&session)).await;
                }
                loop {
                    let next = tokio::select! {
                        biased;
                        _ = phase.changed() => break,
                        next = events.next() => next,
                    };
                    let Ok(Some(message)) = next else { break };
                    if is_call(&message) {
                        bridge.output.line(message).await;
                    }
                    last = events.last_id().map(str::to_owned).or(last);
                }
            }
            Ok(Reply::Refused(405, _)) => return,
            Ok(Reply::Refused(404, _)) => {
                if let Err(fault) = bridge.reopen(&session).await {
                    note(fault.text());
                }
                // Its events are of another session.
                last = None;
            }
            Ok(Reply::Refused(_, fault)) => note(&format!("no changes are told: {}", fault.text())),
            Ok(Reply::Message(_) | Reply::Accepted) | Err(_) => {}
        }
        sleep(COME_BACK[failed.min(COME_BACK.len() - 1)]).await;
        failed += 1;
        is_first = false;
    }
}
