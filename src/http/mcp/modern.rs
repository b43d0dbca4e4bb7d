//! Requests of the modern era, each complete in itself (spec 2026-07-28).

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc;

use super::call::Call;
use super::carry::deprecated_question;
use super::check::{self, status_of_error};
use super::fault::{CAPABILITY_MISSING, Fault, INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND};
use super::listen;
use super::offer::{self, Opened};
use super::outgoing::{self, Message, Told, UPGRADE_AFTER, WAITING};
use super::parked::{Again, Bound, Parked, ParkedRequests};
use super::routing::{Routed, WayBack};
use super::running::{ModernPort, Running, Step};
use super::said::Said;
use super::search;
use crate::gateway::{
    Asked, ClientRequest, Deprecated, Error, Event, Exchange, Found, Gateway, Principal, Relayed, ServerInfo,
};
use crate::http::core::context::RequestContext;
use crate::jsonrpc::RpcError;
use crate::mcp::translate::{
    Level, Members, ModernResult, addresses_to_open, error_for_modern, for_modern, for_modern_behind,
    input_required, progress_for, read_responses,
};
use crate::mcp::{Era, ToolDigest, method};

/// Time to wait for the questions that a server asks together.
const SIBLINGS: Duration = Duration::from_millis(50);
/// Longest time that a client waits for a server to introduce itself.
const OPENING: Duration = Duration::from_secs(8);
/// Members of `params` that answer a server's questions.
const RESPONSES: &str = "inputResponses";
const STATE: &str = "requestState";

impl Call<'_> {
    /// Answers the request, or refuses it.
    pub(super) async fn answer(&self) -> Result<Response, Fault> {
        let answered = self.dispatch().await;
        answered.map_err(|fault| match fault.code() {
            METHOD_NOT_FOUND => fault.status(StatusCode::NOT_FOUND),
            _ => fault,
        })
    }

    async fn dispatch(&self) -> Result<Response, Fault> {
        match &*self.request.method {
            method::DISCOVER => {
                let opened = self.opened().await.map_err(Fault::of_opening)?;
                Ok(self.told(opened.server().discover_result().as_bytes()))
            }
            method::LISTEN => Box::pin(listen::answer(self)).await,
            asked => match offer::list_of(asked) {
                Some(kind) => {
                    let opened = self.opened().await.map_err(Fault::of)?;
                    Ok(self.told(&opened.list(kind, &self.request.params, Era::Modern)?))
                }
                None => self.forward().await,
            },
        }
    }

    async fn opened(&self) -> Result<Opened<'_>, Error> {
        // Boxed: a request that is passed on keeps a place for it.
        Box::pin(Opened::of(self.gateway, self.caller, self.target, OPENING)).await
    }

    fn told(&self, result: &[u8]) -> Response {
        outgoing::json(outgoing::result(self.request.id(), result))
    }

    /// Forwards the request to the server, or goes on with it where it was put aside.
    async fn forward(&self) -> Result<Response, Fault> {
        let params = &self.request.params;
        if let Some(found) = search::answer(self.gateway, self.caller, self.target, self.request) {
            return found.map(|found| self.told(&search::for_modern(&found)));
        }
        let routed = self.router().find(self.request)?;
        routed.record(self.gateway, self.context, self.request);
        let Routed { server, asked, members, back, by_search } = routed;
        let (mut info, mut found) = (None, None);
        if let Asked::Tool(tool) = &asked {
            let facts = self.gateway.tool_facts(self.caller, &server, tool).map_err(Fault::of)?;
            // Who has searched for a tool does not know what it wants repeated in headers.
            if let Some(repeated) = facts.header_params.filter(|_| !by_search) {
                check::check_header_params(&repeated, params, self.headers)?;
            }
            (info, found) = (facts.info, facts.found);
        }
        let own_state = params.text(STATE).filter(|state| ParkedRequests::is_own(state));
        let mut way = Box::new(Way {
            gateway: self.gateway.clone(),
            requests: self.state.parked.clone(),
            caller: self.caller.clone(),
            id: self.request.part(self.request.id.get()),
            server,
            back,
            method: asked.method(),
            uri: match &asked {
                Asked::Resource(uri) => Some(uri.clone()),
                _ => None,
            },
            members,
            said: self.said.clone(),
            info,
            is_resumed: own_state.is_some(),
            parked: None,
        });
        if self.said.level.is_some() {
            self.gateway.count_deprecated(Deprecated::Logging, self.said.client.as_deref());
        }
        let again = match own_state {
            Some(state) => {
                self.gateway.may_ask(self.caller, &way.server, &asked).map_err(Fault::of)?;
                let mut resumed = way.resumed(&state, params)?;
                let again = resumed.again();
                way.parked = Some(resumed).filter(|_| again.is_none());
                again
            }
            None => Some(Again::Make),
        };
        match again {
            None => {}
            Some(Again::Make) => {
                way.parked = Some(way.begun(asked, self.state.next_client(), found));
            }
            Some(Again::GiveUp) => {
                let result = way.over(not_opened(&asked)).map(|result| outgoing::answer(&way.id, result));
                return result;
            }
        }
        way.answer(self.context).await
    }
}

/// Returns the end of a request whose client did not agree to open what its server wants opened first: for a tool a result
/// that a model reads.
fn not_opened(asked: &Asked) -> Result<Relayed, Error> {
    const TEXT: &str = "An address that the server wants opened first was not opened";
    Ok(match asked {
        Asked::Tool(_) => {
            let content = json!([{"type": "text", "text": TEXT}]);
            Ok(json!({"content": content, "isError": true}).to_string().into())
        }
        _ => Err(RpcError { code: INTERNAL_ERROR, message: TEXT.to_owned(), data: None }),
    })
}

/// A request on its way to its answer.
struct Way {
    gateway: Gateway,
    requests: ParkedRequests,
    caller: Principal,
    /// The client's id of the request, raw JSON.
    id: Bytes,
    server: Arc<str>,
    /// Way back to the client's words; `None` if they are the server's.
    back: Option<WayBack>,
    method: &'static str,
    /// URI of a resource that is read.
    uri: Option<Box<str>>,
    /// The members of `params` but for `_meta`.
    members: Bytes,
    /// What the client says besides what it asks.
    said: Arc<Said>,
    /// What the server said of itself; `None` if that is to be looked up.
    info: Option<Arc<ServerInfo>>,
    /// `true` for one that comes with a state of this gateway.
    is_resumed: bool,
    /// The request itself; `None` once it is over or put aside.
    parked: Option<Parked>,
}

/// What the client gets next.
enum Next {
    /// A notification, whole.
    Message(Vec<u8>),
    /// The result, or what there is instead.
    Last(Result<Told, Fault>),
}

impl Way {
    /// Begins the request.
    fn begun(&self, asked: Asked, client: u64, found: Option<Found>) -> Parked {
        let Said { envelope, level, abilities, token, .. } = &*self.said;
        let port = ModernPort::new(client, self.caller.member().id.clone(), *abilities);
        let (exchange, events) = match token.is_some() || level.is_some() {
            true => {
                let (exchange, events) = Exchange::with_events(level.is_some());
                (exchange, Some(events))
            }
            false => (Exchange::default(), None),
        };
        let request = ClientRequest {
            server: self.server.clone(),
            asked,
            members: self.members_of_server(),
            envelope: envelope.clone(),
            exchange: Some(Arc::new(exchange.answered_by(port.clone()))),
            timeout: None,
            found,
        };
        let answer = Box::pin(self.gateway.relay(self.caller.clone(), request));
        Parked::new(Running { answer, events, port }, self.caller.clone())
    }

    /// Returns the members for the server: without a state that is not its own, and the answers that belong to it.
    fn members_of_server(&self) -> Bytes {
        if !self.is_resumed {
            return self.members.clone();
        }
        let text = [&b"{"[..], &self.members, b"}"].concat();
        let members = std::str::from_utf8(&text).ok().and_then(Members::read);
        let mut kept = Vec::with_capacity(text.len());
        if let Some(members) = members {
            members.write(&mut kept, |name| !matches!(name, RESPONSES | STATE));
        }
        kept.into()
    }

    /// Goes on with the request that was put aside under this state, with the client's answers.
    fn resumed(&self, state: &str, params: &Members<'_>) -> Result<Parked, Fault> {
        let invalid = |text: &'static str| Fault::bad(INVALID_PARAMS, text).status(StatusCode::OK);
        let responses = params.get(RESPONSES).map(|raw| {
            read_responses(raw)
                .ok_or_else(|| invalid("Invalid params: 'inputResponses' must be an object of objects"))
        });
        let responses = responses.transpose()?.unwrap_or_default();
        let parked = self.bound().and_then(|bound| self.requests.take(state, &bound));
        // Who began it may have lost its key since: then it is given up.
        let parked = parked.filter(|parked| self.gateway.is_accepted(&parked.caller));
        let mut parked = parked.ok_or_else(|| {
            invalid("Invalid params: 'requestState' is not that of this request, was used, or has expired")
        })?;
        parked.answer(&responses);
        Ok(parked)
    }

    /// Returns what the state of this request is bound to.
    fn bound(&self) -> Option<Bound> {
        let text = [&b"{"[..], &self.members, b"}"].concat();
        let mut asked = vec![b'{'];
        let members = Members::read(std::str::from_utf8(&text).ok()?)?;
        members.write(&mut asked, |name| !matches!(name, RESPONSES | STATE));
        asked.push(b'}');
        let params = ToolDigest::of(serde_json::from_slice(&asked).ok()?);
        let principal = self.caller.member().id.clone();
        Some(Bound { principal, server: self.server.clone(), method: self.method, params })
    }

    /// Returns the answer: JSON if it comes before anything else and in time, else a stream.
    async fn answer(mut self: Box<Self>, context: &RequestContext) -> Result<Response, Fault> {
        // A question that the client has left out is asked again, and the server is not waited for.
        let is_open = self.parked.as_ref().is_some_and(|parked| !parked.questions.is_empty());
        let asked_again = if is_open { self.put_aside() } else { None };
        let first = match (asked_again, self.said.takes_streams) {
            (Some(questions), _) => Some(Next::Last(questions)),
            (None, true) => context.within(UPGRADE_AFTER, &mut pin!(self.next())).await,
            (None, false) => Some(self.last().await),
        };
        match first {
            Some(Next::Last(Ok(result))) => Ok(outgoing::answer(&self.id, result)),
            Some(Next::Last(Err(fault))) => Err(fault),
            first => {
                let (messages, received) = mpsc::channel(WAITING);
                tokio::spawn(self.feed(first, messages));
                Ok(outgoing::stream(received))
            }
        }
    }

    /// Waits for the end, for a client that takes nothing else.
    async fn last(&mut self) -> Next {
        loop {
            if let last @ Next::Last(_) = self.next().await {
                return last;
            }
        }
    }

    /// Feeds the stream to its end. A client that leaves has cancelled the request.
    async fn feed(mut self: Box<Self>, mut first: Option<Next>, messages: mpsc::Sender<Message>) {
        loop {
            let next = match first.take() {
                Some(next) => next,
                None => tokio::select! {
                    biased;
                    () = messages.closed() => return,
                    next = self.next() => next,
                },
            };
            let (text, is_over) = match next {
                Next::Message(text) => (text, false),
                Next::Last(Ok(told)) => (told.message(&self.id), true),
                Next::Last(Err(fault)) => (fault.message(Some(&self.id)), true),
            };
            let message = Message::plain(text).counted(&self.gateway, &self.caller);
            let message =
                message.unwrap_or_else(|full| Message::plain(Fault::of(full).message(Some(&self.id))));
            if messages.send(message).await.is_err() || is_over {
                return;
            }
        }
    }

    /// Waits for what the client gets next. Cancel safe.
    async fn next(&mut self) -> Next {
        loop {
            let Some(parked) = &mut self.parked else {
                return Next::Last(Err(Fault::answer(INTERNAL_ERROR, "The request is over")));
            };
            match parked.running.step().await {
                Step::Event(event) => {
                    if let Some(message) = self.event(&event) {
                        return Next::Message(message);
                    }
                }
                Step::Asked => {
                    tokio::time::sleep(SIBLINGS).await;
                    if let Some(questions) = self.put_aside() {
                        return Next::Last(questions);
                    }
                }
                Step::Lacking(capabilities) => {
                    self.parked = None;
                    let text = "The server asks for something that this client has not declared";
                    let data = format!("{{\"requiredCapabilities\":{capabilities}}}");
                    return Next::Last(Err(Fault::bad(CAPABILITY_MISSING, text).with(data)));
                }
                Step::Over(over) => {
                    let addresses = match &over {
                        Ok(Err(error)) => addresses_to_open(error),
                        _ => Vec::new(),
                    };
                    if !addresses.is_empty() {
                        parked.ask_before_again(addresses);
                        continue;
                    }
                    self.parked = None;
                    return Next::Last(self.over(over));
                }
            }
        }
    }

    /// Returns the notification for an event; `None` if the client did not ask for it.
    fn event(&self, event: &Event) -> Option<Vec<u8>> {
        match event {
            Event::Progress(params) => {
                let params = progress_for(params, self.said.token.as_deref()?)?;
                Some(outgoing::notification(method::PROGRESS, Some(&params)))
            }
            Event::Log(params) => {
                let said = Level::of_message(std::str::from_utf8(params).ok()?);
                (said >= self.said.level?).then(|| outgoing::notification(method::MESSAGE, Some(params)))
            }
        }
    }

    /// Puts the request aside and returns the questions. `None` if the server has taken all of them back.
    fn put_aside(&mut self) -> Option<Result<Told, Fault>> {
        let parked = self.parked.as_mut()?;
        let asked = parked.running.take_asked();
        for feature in asked.iter().filter_map(|one| deprecated_question(&one.method)) {
            self.gateway.count_deprecated(feature, self.said.client.as_deref());
        }
        parked.ask(asked);
        let questions = parked.questions();
        if questions.is_empty() {
            return None;
        }
        let (bound, parked) = (self.bound(), self.parked.take()?);
        let put = bound.and_then(|bound| self.requests.put(bound, parked).ok());
        Some(match put {
            Some(state) => Ok(Told::Result(input_required(&questions, &state).into())),
            None => {
                let text =
                    "No further request can wait for input of this client; answer some of those that do";
                Err(Fault::answer(INTERNAL_ERROR, text))
            }
        })
    }

    /// Returns the answer of the server for the client.
    fn over(&self, over: Result<Relayed, Error>) -> Result<Told, Fault> {
        match over {
            Err(error) => Err(Fault::of(error)),
            Ok(Err(error)) => {
                let error = error_for_modern(error, self.uri.as_deref());
                let status = status_of_error(error.code);
                Err(Fault::from(error).status(status))
            }
            Ok(Ok(result)) => self
                .result(result)
                .ok_or_else(|| Fault::answer(INTERNAL_ERROR, "The server's result is no object")),
        }
    }

    /// Returns a result of the server for the client; `None` if it is no object.
    fn result(&self, result: Bytes) -> Option<Told> {
        let push_server = |out: &mut Vec<u8>| self.push_server_info(out);
        if let Some(back) = &self.back {
            return Some(Told::Result(back.result(for_modern(&result, self.method, push_server)?)));
        }
        let push_begin = |out: &mut Vec<u8>| outgoing::push_begin(out, &self.id);
        Some(match for_modern_behind(push_begin, &result, self.method, push_server)? {
            ModernResult::Unchanged => Told::Result(result),
            ModernResult::Written(mut answer) => {
                answer.push(b'}');
                Told::Answer(answer)
            }
        })
    }

    /// Writes the JSON of `serverInfo`.
    fn push_server_info(&self, out: &mut Vec<u8>) {
        let looked_up = || self.gateway.introduction(&self.caller, &self.server).ok().flatten();
        match self.info.clone().or_else(looked_up) {
            Some(info) => offer::push_server_info(out, &self.server, &info),
            None => out.extend_from_slice(b"{}"),
        }
    }
}
