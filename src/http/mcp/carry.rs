//! A request of a session on its way to a server and back. It goes on whoever still listens; what comes of it is kept in
//! the session's stream.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::oneshot;

use super::fault::{Fault, INTERNAL_ERROR};
use super::message::{Request, is_id};
use super::outgoing::{self, takes_streams};
use super::outlet::Outlet;
use super::routing::Routed;
use super::session::Session;
use crate::gateway::{
    Asked, ClientPort, ClientRequest, Deprecated, Disposition, Error, Event, Exchange, Gateway, Principal,
    PushedRequest, Relayed,
};
use crate::http::core::trace::trace_of;
use crate::mcp::translate::{
    Envelope, InputRequired, Level, Members, PROGRESS_TOKEN, Question, Reply, ReplyKind, asked,
    error_for_legacy, of_next_hop, progress_for, push_member,
};
use crate::mcp::{Answer, method};

/// Maximum number of times that a server may ask for input before it answers.
const MAX_ROUNDS: usize = 8;
/// Time that a client has to answer what a server asks.
const ANSWER_WITHIN: Duration = Duration::from_secs(270);
/// Pause before a request is made again for which the server only gave a state.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A request on its way.
pub(super) struct Carry {
    gateway: Gateway,
    caller: Principal,
    session: Arc<Session>,
    outlet: Arc<Outlet>,
    /// The client's id, raw JSON.
    id: String,
    envelope: Arc<Envelope>,
    /// The client's progress token, raw JSON; `None` if it wants no progress.
    token: Option<Bytes>,
    /// `true` if the client can be told anything before the answer.
    takes_streams: bool,
}

impl Carry {
    /// Prepares a request, which came with these headers.
    pub(super) fn new(
        gateway: &Gateway,
        caller: &Principal,
        session: &Arc<Session>,
        outlet: Arc<Outlet>,
        request: &Request<'_>,
        headers: &HeaderMap,
    ) -> Carry {
        let meta = request.meta.as_ref();
        let token = meta.and_then(|meta| meta.get(PROGRESS_TOKEN));
        let token = token.filter(|token| is_id(token.get()));
        let token = token.map(|token| Bytes::copy_from_slice(token.get().as_bytes()));
        // A client that has set none gets what a legacy server would send by itself.
        let level = session.level().map_or("info", Level::name);
        let envelope =
            Envelope::new(meta, session.opening.client.clone(), Some(level), false, trace_of(headers));
        Carry {
            gateway: gateway.clone(),
            caller: caller.clone(),
            session: session.clone(),
            outlet,
            id: request.id.get().to_owned(),
            envelope: Arc::new(envelope),
            token,
            takes_streams: takes_streams(headers),
        }
    }

    /// Carries the request to its end.
    pub(super) async fn run(self, routed: Routed) {
        // Also when the task is aborted: a stream that never ends would keep its connection for ever.
        let _end = End { session: self.session.clone(), outlet: self.outlet.clone(), id: self.id.clone() };
        let last = match self.rounds(&routed).await {
            Ok(result) => outgoing::result(self.id.as_bytes(), &result),
            Err(fault) => fault.message(Some(self.id.as_bytes())),
        };
        self.outlet.finish(last);
    }

    /// Makes the request, and again with the client's answers as long as the server asks for input.
    async fn rounds(&self, routed: &Routed) -> Result<Bytes, Fault> {
        let mut members = routed.members.clone();
        for _ in 0..MAX_ROUNDS {
            let answered = self.relay(routed, members).await.map_err(Fault::of)?;
            let result = answered.map_err(|error| Fault::from(error_for_legacy(error)))?;
            let unusable =
                |why: &str| Fault::answer(INTERNAL_ERROR, format!("The server's result is unusable: {why}"));
            let reply = Reply::read(&result).ok_or_else(|| unusable("it is no object"))?;
            match reply.kind() {
                ReplyKind::Complete => {
                    let told = reply.for_legacy();
                    return Ok(match &routed.back {
                        Some(back) => back.result(told),
                        None => told,
                    });
                }
                ReplyKind::Other => return Err(unusable("it is of a type that this client does not know")),
                ReplyKind::InputRequired => {
                    let input = InputRequired::read(&reply).map_err(unusable)?;
                    members = match self.ask(input, &routed.members).await {
                        Ok(members) => members,
                        Err(refused) => return refusal(&routed.asked, refused),
                    };
                }
            }
        }
        Err(Fault::answer(INTERNAL_ERROR, format!("The server asked for input more than {MAX_ROUNDS} times")))
    }

    /// Makes the request once, and passes on what is reported meanwhile.
    async fn relay(&self, routed: &Routed, members: Bytes) -> Result<Relayed, Error> {
        let (exchange, mut events) = Exchange::with_events(true);
        let port = Arc::new(LegacyPort {
            gateway: self.gateway.clone(),
            session: self.session.clone(),
            outlet: self.outlet.clone(),
            takes_streams: self.takes_streams,
            asked: Mutex::default(),
        });
        let request = ClientRequest {
            server: routed.server.clone(),
            asked: routed.asked.clone(),
            members,
            envelope: self.envelope.clone(),
            exchange: Some(Arc::new(exchange.answered_by(port))),
            timeout: None,
            found: None,
        };
        let mut answer = std::pin::pin!(self.gateway.relay(self.caller.clone(), request));
        loop {
            tokio::select! {
                biased;
                Some(event) = events.recv() => self.report(&event),
                answer = &mut answer => return answer,
            }
        }
    }

    /// Passes on what the server reports, if the client wants it.
    fn report(&self, event: &Event) {
        let message = match event {
            Event::Progress(params) => {
                let params = self.token.as_deref().and_then(|token| progress_for(params, token));
                params.map(|params| outgoing::notification(method::PROGRESS, Some(&params)))
            }
            Event::Log(params) => {
                let is_wanted = self.session.wants_log(params);
                is_wanted.then(|| outgoing::notification(method::MESSAGE, Some(params)))
            }
        };
        if let Some(message) = message {
            self.outlet.push(message);
        }
    }

    /// Asks the client all that a modern server wants to know, and returns the members of the next request.
    async fn ask(&self, input: InputRequired, members: &Bytes) -> Result<Bytes, String> {
        let mut waiting = Vec::with_capacity(input.questions.len());
        let mut asked = AskedIds { session: &self.session, ids: Vec::new() };
        for question in &input.questions {
            let (id, answer) = self.put(question)?;
            asked.ids.push(id);
            waiting.push((question, answer));
        }
        let mut responses = vec![b'{'];
        for (question, answer) in waiting {
            let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await;
            match answer.map_err(|_| format!("The client did not answer {} in time", question.method))? {
                Ok(Answer::Result(result)) => push_member(&mut responses, &question.key, &result),
                Ok(Answer::Error(_, message)) => {
                    return Err(format!("The client refused {}: {message}", question.method));
                }
                Err(_) => return Err("The session is over".to_owned()),
            }
        }
        responses.push(b'}');
        let mut members = members.to_vec();
        match input.questions.is_empty() {
            false => push_member(&mut members, "inputResponses", &responses),
            true => tokio::time::sleep(AGAIN_AFTER).await,
        }
        if let Some(state) = &input.state {
            push_member(&mut members, "requestState", state);
        }
        Ok(members.into())
    }

    fn put(&self, question: &Question) -> Result<(u64, oneshot::Receiver<Answer>), String> {
        let params = question.params.as_deref().and_then(|params| std::str::from_utf8(params).ok());
        let members = params.and_then(Members::read);
        let abilities = self.session.opening.client.abilities;
        if abilities.lacks(&question.method, members.as_ref()).is_some() || !self.takes_streams {
            return Err(format!("The tool asks for {}, which this client does not support", question.method));
        }
        put(&self.gateway, &self.session, &self.outlet, &question.method, params)
    }
}

/// Asks the client of a session something on the stream of a request.
fn put(
    gateway: &Gateway,
    session: &Session,
    outlet: &Outlet,
    method: &str,
    params: Option<&str>,
) -> Result<(u64, oneshot::Receiver<Answer>), String> {
    let full = || "Too many questions wait for this client".to_owned();
    let (id, answer) = session.ask().ok_or_else(full)?;
    let params = params.map(|params| of_next_hop(params, false));
    if !outlet.push(outgoing::request(id, method, params.as_deref())) {
        session.unask(id);
        return Err(full());
    }
    if let Some(feature) = deprecated_question(method) {
        gateway.count_deprecated(feature, session.opening.client.info.as_deref());
    }
    Ok((id, answer))
}

/// Returns what of MCP's deprecated parts a question of a server belongs to; `None` if it belongs to none.
pub(super) fn deprecated_question(method: &str) -> Option<Deprecated> {
    match method {
        asked::ROOTS => Some(Deprecated::Roots),
        asked::SAMPLE => Some(Deprecated::Sampling),
        _ => None,
    }
}

/// Ends a request whose client did not give what the server asks for: as the failure of a tool, which a model reads, else
/// as an error.
fn refusal(asked: &Asked, refused: String) -> Result<Bytes, Fault> {
    match asked {
        Asked::Tool(_) => {
            let result = json!({"content": [{"type": "text", "text": refused}], "isError": true});
            Ok(result.to_string().into())
        }
        _ => Err(Fault::answer(INTERNAL_ERROR, refused)),
    }
}

/// Guard of the end of a request.
struct End {
    session: Arc<Session>,
    outlet: Arc<Outlet>,
    id: String,
}

impl Drop for End {
    fn drop(&mut self) {
        self.outlet.close();
        self.session.ended(&self.id, self.outlet.number);
    }
}

/// Guard of questions that are taken back when nobody waits for their answers any more.
struct AskedIds<'a> {
    session: &'a Session,
    ids: Vec<u64>,
}

impl Drop for AskedIds<'_> {
    fn drop(&mut self) {
        self.ids.iter().for_each(|id| self.session.unask(*id));
    }
}

/// Port of a client that is asked on the stream of its request.
struct LegacyPort {
    gateway: Gateway,
    session: Arc<Session>,
    outlet: Arc<Outlet>,
    takes_streams: bool,
    /// Ids of what the client was asked, and the time of the last question.
    asked: Mutex<(Vec<u64>, Option<Instant>)>,
}

impl Drop for LegacyPort {
    fn drop(&mut self) {
        let asked = self.asked.get_mut().unwrap_or_else(PoisonError::into_inner);
        asked.0.iter().for_each(|id| self.session.unask(*id));
    }
}

/// Time for which a further question may belong to the same request as the one before.
const TOGETHER: Duration = Duration::from_millis(50);

impl ClientPort for LegacyPort {
    fn client(&self) -> u64 {
        self.session.opening.number
    }

    fn principal(&self) -> &Arc<str> {
        &self.session.opening.principal
    }

    fn is_awaited(&self) -> bool {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = asked.0.iter().any(|id| self.session.is_asked(*id));
        is_open && asked.1.is_none_or(|last| last.elapsed() >= TOGETHER)
    }

    fn on_request(&self, request: PushedRequest) -> Disposition {
        let params = request.params.as_deref().and_then(|params| std::str::from_utf8(params).ok());
        let members = params.and_then(Members::read);
        let abilities = self.session.opening.client.abilities;
        if abilities.lacks(&request.method, members.as_ref()).is_some() || !self.takes_streams {
            return Disposition::Answer(match &*request.method {
                // No server is told that there are roots. One that asks all the same has its own, and needs no error.
                asked::ROOTS => Answer::Result(Bytes::from_static(b"{\"roots\":[]}")),
                other => Answer::Error(-32601, format!("this client does not support {other}").into()),
            });
        }
        match put(&self.gateway, &self.session, &self.outlet, &request.method, params) {
            Ok((id, answer)) => {
                let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
                asked.0.push(id);
                asked.1 = Some(Instant::now());
                Disposition::Park(answer)
            }
            Err(full) => Disposition::Answer(Answer::Error(-32603, full.into())),
        }
    }
}
