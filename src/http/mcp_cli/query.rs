//! `POST /api/query`: a question that a model answers with a server's tools (`docs/http-api.md`, M6); as
//! Server-Sent Events (WHATWG HTML, section 9.2) if the request asks for a stream.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::Request;
use axum::response::{Response, sse};
use bytes::Bytes;
use futures_core::Stream;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::bodies::{some, text};
use super::errors::ApiError;
#[cfg(test)]
use super::openapi::words::Success as SuccessWord;
use super::{Api, RequestContext, json};
use crate::gateway::{AuditEntry, AuditHandle, Error, Outcome};
use crate::http::core::body::{object, string};
use crate::http::core::events;
use crate::http::core::trace::trace_members;
use crate::query::{AgentRequest, Answer, Event, Finish, LeftOut, QueryError, Step, TokenUsage};

/// Number of events that may wait for the client; beyond that the model waits.
const WAITING: usize = 16;
/// Most names in `servers` and in `tools` of a question.
const MAX_NAMES: usize = 256;

/// Request that was read from a body.
#[derive(Debug)]
struct QueryRequest {
    question: AgentRequest,
    stream: bool,
    include_steps: bool,
}

pub(super) async fn run(api: Api, request: Request) -> Result<Response, ApiError> {
    let meta = trace_members(request.headers());
    let mut asked = read(&api.read(request).await?)?;
    asked.question.meta = meta;
    let include_steps = asked.include_steps;
    record(&api, &asked);
    if asked.stream {
        return stream(api, asked).await;
    }
    let answered = api.shared.queries.answer(&api.shared.gateway, &api.caller, asked.question, None).await;
    let answered = answered.inspect_err(|error| note_error(&api.context, error));
    Ok(json(written(&answered.map_err(ApiError::from)?, include_steps)))
}

/// Gives the audit the servers and the model of a question, never its text; and at the end, the tools that were
/// called.
fn record(api: &Api, asked: &QueryRequest) {
    let question = &asked.question;
    let mut details = match api.shared.gateway.audit().settings().calls {
        true => AuditEntry::details_of_call(question.text.as_bytes()),
        false => Map::new(),
    };
    details.insert("servers".to_owned(), question.servers.as_slice().into());
    details.insert("model".to_owned(), api.shared.queries.settings().model(question.model.as_deref()).into());
    let made = question.made.clone();
    let late = move |details: &mut Map<String, Value>| {
        let (count, tools) = made.told();
        details.insert("calls".to_owned(), count.into());
        details.insert("tools".to_owned(), tools.into());
    };
    api.context.asks(question.servers.join(","), details, late);
}

/// Notes an error for the audit: calls may have been carried out before the question was given up.
fn note_error(context: &RequestContext, error: &QueryError) {
    if let QueryError::Server(error) = error {
        context.failed_with(error);
    }
}

/// Reads the body. The reference fixes the order of the checks.
fn read(body: &[u8]) -> Result<QueryRequest, ApiError> {
    let names = [
        "server",
        "query",
        "model",
        "servers",
        "stream",
        "max_turns",
        "temperature",
        "tools",
        "timeout",
        "include_steps",
    ];
    let [server, query, model, servers, stream, max_turns, temperature, tools, timeout, include_steps] =
        some(object(body, names)?)?;
    let further = servers.map(|raw| texts(raw, "servers")).transpose()?.unwrap_or_default();
    let mut servers = match server {
        None if !further.is_empty() => Vec::new(),
        server => vec![text(server, "server", "Server name is required")?],
    };
    servers.extend(further);
    let text = text(query, "query", "Query is required")?;
    if text.trim().is_empty() {
        return Err(ApiError::bad_request("Query is required"));
    }
    let model = model.map(|raw| string(raw).filter(|name| !name.is_empty()).ok_or("Model must be a string"));
    let max_turns = max_turns.map(|raw| number::<usize>(raw).filter(|turns| *turns >= 1));
    let temperature = temperature.map(|raw| number::<f64>(raw).filter(|it| (0.0..=2.0).contains(it)));
    let timeout = timeout.map(|raw| number::<u64>(raw).filter(|ms| *ms >= 1));
    let question = AgentRequest {
        servers,
        text,
        model: model.transpose().map_err(ApiError::bad_request)?,
        max_turns: required(max_turns, "max_turns must be a whole number of at least 1")?,
        temperature: required(temperature, "temperature must be a number from 0 to 2")?,
        tools: tools.map(|raw| texts(raw, "tools")).transpose()?,
        timeout: required(timeout, "timeout must be a whole number of milliseconds of at least 1")?
            .map(Duration::from_millis),
        meta: Bytes::new(),
        made: Arc::default(),
    };
    Ok(QueryRequest {
        question,
        stream: switch(stream, "stream must be true or false")?,
        include_steps: switch(include_steps, "include_steps must be true or false")?,
    })
}

fn number<T: std::str::FromStr>(raw: &RawValue) -> Option<T> {
    // A JSON number is one for Rust as well; a string would bring its quotes along.
    raw.get().parse().ok()
}

/// Returns an optional member. Fails with `message` if it is present (outer `Some`) but not valid (inner `None`).
fn required<T>(given: Option<Option<T>>, message: &str) -> Result<Option<T>, ApiError> {
    match given {
        None => Ok(None),
        Some(Some(value)) => Ok(Some(value)),
        Some(None) => Err(ApiError::bad_request(message)),
    }
}

fn switch(raw: Option<&RawValue>, message: &str) -> Result<bool, ApiError> {
    match raw.map(RawValue::get) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(ApiError::bad_request(message)),
    }
}

fn texts(raw: &RawValue, field: &str) -> Result<Vec<String>, ApiError> {
    match serde_json::from_str::<Vec<String>>(raw.get()) {
        Ok(texts) if (1..=MAX_NAMES).contains(&texts.len()) => Ok(texts),
        _ => Err(ApiError::bad_request(format!("{field} must be an array of 1 to {MAX_NAMES} names"))),
    }
}

/// A model's answer to a question.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "QueryAnswer"))]
pub(super) struct Success<'a> {
    /// The word `success`.
    #[cfg_attr(test, schemars(with = "SuccessWord"))]
    status: &'static str,
    /// Text of the answer.
    result: &'a str,
    /// Reason why the model stopped.
    finish_reason: Finish,
    /// Name of the model that was asked.
    model: &'a str,
    /// Number of turns: how often the model was asked.
    turns: usize,
    /// Tokens of all turns, as far as the model's endpoint counts them.
    usage: TokenUsage,
    /// Tools that the model's endpoint refused to be told of; absent if there are none.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    left_out: &'a [LeftOut],
    /// Tool calls that were made; only if the question asks for them by `include_steps`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<Step>"))]
    steps: Option<&'a [Step]>,
}

fn written(answer: &Answer, include_steps: bool) -> Vec<u8> {
    let success = Success {
        status: "success",
        result: &answer.text,
        finish_reason: answer.finish,
        model: &answer.model,
        turns: answer.turns,
        usage: answer.usage,
        left_out: &answer.left_out,
        steps: include_steps.then_some(&answer.steps),
    };
    // Plain values cannot fail to be serialized.
    serde_json::to_vec(&success).unwrap_or_default()
}

/// A question that a task of its own answers, so that its deadline holds whether or not the client reads. Dropping
/// it gives the question up.
struct Answering(JoinSet<Result<Answer, QueryError>>);

impl Answering {
    fn begin(api: Api, question: AgentRequest, events: mpsc::Sender<Event>) -> Answering {
        let mut task = JoinSet::new();
        task.spawn(async move {
            let Api { shared, caller, .. } = &api;
            shared.queries.answer(&shared.gateway, caller, question, Some(events)).await
        });
        Answering(task)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Answer, QueryError>> {
        self.0.poll_join_next(context).map(|joined| match joined {
            Some(Ok(answered)) => answered,
            // A defect: the task panicked. An event has no member for the cause, so the cause is logged.
            ended => {
                let reason = format!("a query's task: {ended:?}");
                tracing::error!(cause = reason, "internal error");
                Err(Error::Internal { reason }.into())
            }
        })
    }
}

/// Answers with the events of a question. An error before the first event is an answer of its own, with its status.
async fn stream(api: Api, asked: QueryRequest) -> Result<Response, ApiError> {
    let (sender, mut received) = mpsc::channel(WAITING);
    let recording = Recording {
        context: api.context.clone(),
        audit: api.shared.gateway.audit().clone(),
        outcome: Outcome::Unknown,
    };
    let mut answering = Answering::begin(api, asked.question, sender);
    // All senders are dropped once the question is over; the answer follows at once.
    let (next, is_over) = match received.recv().await {
        Some(event) => (event_of(&event), false),
        None => {
            let answer = poll_fn(|context| answering.poll(context)).await?;
            (final_event(&Ok(answer), asked.include_steps), true)
        }
    };
    recording.context.goes_on();
    let events = AnswerEvents {
        recording: if is_over { recording.ending(Outcome::Done) } else { recording },
        answering: (!is_over).then_some(answering),
        received,
        next: Some(next),
        include_steps: asked.include_steps,
    };
    Ok(events::answer(events))
}

/// Guard that has the audit record a question when its answer has ended or its reader has left.
struct Recording {
    context: Arc<RequestContext>,
    audit: AuditHandle,
    outcome: Outcome,
}

impl Recording {
    fn ending(mut self, outcome: Outcome) -> Recording {
        self.outcome = outcome;
        self
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.context.ended(&self.audit, self.outcome);
    }
}

/// Events as they come. They are dropped with the connection, and the question with them.
struct AnswerEvents {
    recording: Recording,
    answering: Option<Answering>,
    received: mpsc::Receiver<Event>,
    next: Option<sse::Event>,
    include_steps: bool,
}

impl Stream for AnswerEvents {
    type Item = Result<sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Some(event) = this.next.take() {
            return Poll::Ready(Some(Ok(event)));
        }
        let Some(answering) = &mut this.answering else { return Poll::Ready(None) };
        if let Some(event) = ready!(this.received.poll_recv(context)) {
            return Poll::Ready(Some(Ok(event_of(&event))));
        }
        // No further event can come, so the answer is the last one.
        let answer = ready!(answering.poll(context));
        this.answering = None;
        this.recording.outcome = if answer.is_ok() { Outcome::Done } else { Outcome::Failed };
        Poll::Ready(Some(Ok(final_event(&answer, this.include_steps))))
    }
}

fn event_of(event: &Event) -> sse::Event {
    match event {
        Event::Token(text) => named("token", json!({"text": text})),
        Event::ToolCall { id, server, tool, arguments } => {
            let arguments: Value = serde_json::from_str(arguments.get()).unwrap_or_default();
            named("tool_call", json!({"id": id, "server": server, "tool": tool, "arguments": arguments}))
        }
        Event::ToolResult { id, step } => named(
            "tool_result",
            json!({
                "id": id, "server": step.server, "tool": step.tool, "result": step.result,
                "is_error": step.is_error, "duration_ms": step.duration_ms,
            }),
        ),
    }
}

fn final_event(answer: &Result<Answer, QueryError>, include_steps: bool) -> sse::Event {
    match answer {
        Ok(answer) => {
            named("final", serde_json::from_slice(&written(answer, include_steps)).unwrap_or_default())
        }
        Err(error) => named("error", ApiError::from(error.clone()).as_value()),
    }
}

/// Formats an event. Its name is in the data as well, for clients that read nothing else.
fn named(name: &str, mut data: Value) -> sse::Event {
    data["type"] = name.into();
    sse::Event::default().event(name).data(data.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        let failure = read(body.as_bytes()).expect_err(body);
        failure.as_value()["error"].as_str().expect("a text").to_owned()
    }

    #[test]
    fn what_is_missing_is_said_in_the_order_of_the_reference() {
        assert_eq!(refused("{}"), "No data provided");
        assert_eq!(refused(r#"{"query":"q"}"#), "Server name is required");
        assert_eq!(refused(r#"{"server":"","query":"q"}"#), "Server name is required");
        assert_eq!(refused(r#"{"server":"s"}"#), "Query is required");
        assert_eq!(refused(r#"{"server":"s","query":" \n"}"#), "Query is required");
        assert_eq!(refused(r#"{"server":"s","query":"q","model":""}"#), "Model must be a string");
        assert_eq!(refused(r#"{"server":"s","query":"q","model":7}"#), "Model must be a string");
        assert_eq!(refused(r#"{"server":1,"query":"q"}"#), "server must be a string");
    }

    #[test]
    fn further_members_are_checked_and_null_is_not_given() {
        for (member, said) in [
            (r#""servers":[]"#, "servers must be an array of 1 to 256 names"),
            (r#""servers":"a""#, "servers must be an array of 1 to 256 names"),
            (r#""tools":[1]"#, "tools must be an array of 1 to 256 names"),
            (r#""stream":1"#, "stream must be true or false"),
            (r#""include_steps":"yes""#, "include_steps must be true or false"),
            (r#""max_turns":0"#, "max_turns must be a whole number of at least 1"),
            (r#""max_turns":1.5"#, "max_turns must be a whole number of at least 1"),
            (r#""temperature":"1""#, "temperature must be a number from 0 to 2"),
            (r#""temperature":2.5"#, "temperature must be a number from 0 to 2"),
            (r#""timeout":-1"#, "timeout must be a whole number of milliseconds of at least 1"),
        ] {
            assert_eq!(refused(&format!(r#"{{"server":"s","query":"q",{member}}}"#)), said);
        }
        let asked = read(br#"{"server":"s","query":"q","model":null,"servers":["t"],"stream":true,"max_turns":3,"temperature":0.5,"timeout":1500,"tools":["a"]}"#).expect("usable");
        assert_eq!(asked.question.servers, ["s", "t"]);
        assert_eq!((asked.question.model, asked.question.max_turns), (None, Some(3)));
        assert_eq!(
            (asked.question.temperature, asked.question.timeout),
            (Some(0.5), Some(Duration::from_millis(1500)))
        );
        assert!(asked.stream && !asked.include_steps);
        assert_eq!(read(br#"{"servers":["t"],"query":"q"}"#).expect("usable").question.servers, ["t"]);
    }
}
