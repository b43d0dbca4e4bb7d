//! Loop of a question: ask the model, make its calls side by side, send it the results, ask again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use super::ask::Asking;
use super::chat::{Chat, Reply, ToolRequest};
use super::conversation::{CompletedCall, Conversation};
use super::settings::{ApiKey, KeySource, LlmSettings};
use super::tool_set::{ToolBinding, ToolSet};
use super::tool_text::{ResultFormat, ToolText, cut, tell};
use super::{AgentRequest, Answer, CallsMade, Event, Finish, ModelError, QueryError, Step};
use crate::gateway::{
    AuditEntry, EntryKind, Error, Gateway, Outcome, PreparedCall, Principal, Retry, ToolCall, while_accepted,
};
use crate::process::read_secret_file;

/// Answer in place of that of a model that still wanted to call tools when its turns were over.
const OUT_OF_TURNS: &str = "Agent stopped due to max iterations.";
/// The most calls of one turn that are made; a model that wants more gets an error for the rest.
const MAX_CALLS: usize = 32;

/// Answerer of questions, with a limit on those in progress. Cheap to clone.
#[derive(Clone)]
pub struct Agent(Arc<Inner>);

struct Inner {
    settings: Arc<LlmSettings>,
    chat: Chat,
    places: Semaphore,
}

impl Agent {
    /// Creates it with these settings.
    pub fn new(settings: LlmSettings) -> Agent {
        let settings = Arc::new(settings);
        let places = Semaphore::new(settings.max_queries);
        Agent(Arc::new(Inner { chat: Chat::new(settings.clone()), settings, places }))
    }

    /// Returns the settings that it was created with.
    pub fn settings(&self) -> &LlmSettings {
        &self.0.settings
    }

    /// Answers a question, calling tools as this caller. With `events` each event is sent as it happens, and the
    /// model's text is streamed. Dropped, it cancels everything it has under way.
    pub async fn answer(
        &self,
        gateway: &Gateway,
        caller: &Principal,
        question: AgentRequest,
        events: Option<mpsc::Sender<Event>>,
    ) -> Result<Answer, QueryError> {
        let _place = self.place()?;
        let settings = &self.0.settings;
        let given =
            question.timeout.map_or(settings.query_timeout, |asked| asked.min(settings.query_timeout));
        let deadline = Instant::now() + given;
        let answered = timeout_at(deadline.into(), self.run(gateway, caller, question, events, deadline));
        tokio::select! {
            biased;
            answered = answered => answered.unwrap_or(Err(QueryError::TimedOut { after: given })),
            () = gateway.drained() => Err(Error::ShuttingDown.into()),
        }
    }

    fn place(&self) -> Result<SemaphorePermit<'_>, QueryError> {
        self.0.places.try_acquire().map_err(|_| QueryError::Busy { limit: self.0.settings.max_queries })
    }

    async fn run(
        &self,
        gateway: &Gateway,
        caller: &Principal,
        question: AgentRequest,
        events: Option<mpsc::Sender<Event>>,
        deadline: Instant,
    ) -> Result<Answer, QueryError> {
        let settings = &self.0.settings;
        for server in &question.servers {
            gateway.server(caller, server)?;
        }
        let key = key(settings).await?;
        let mut offer = ToolSet::new(tools(gateway, caller, &question).await?);
        let model = settings.model(question.model.as_deref());
        let max_turns = question.max_turns.map_or(settings.max_turns, |asked| asked.min(settings.max_turns));
        let asking = Asking {
            chat: &self.0.chat,
            key: key.as_ref(),
            model: &model,
            temperature: question.temperature,
            deadline,
            events: events.as_ref(),
        };
        let mut talk = Conversation::begin(&offer, &question.text);
        asking.leave_out_unwanted(&mut offer, &mut talk);
        for turn in 1..=max_turns {
            let reply = while_accepted(caller, asking.turn(&mut offer, &mut talk)).await??;
            if reply.calls.is_empty() {
                let (text, finish) = last_words(reply)?;
                return Ok(talk.end(text, finish, model, turn));
            }
            if turn == max_turns {
                break;
            }
            let (made, meta) = (&question.made, &question.meta);
            let calls =
                Calls { gateway, caller, offer: &offer, settings, meta, events: events.as_ref(), made };
            let made = calls.make(&reply.calls).await?;
            talk.go_on(reply, made);
        }
        Ok(talk.end(OUT_OF_TURNS.to_owned(), Finish::MaxTurns, model, max_turns))
    }
}

/// Reads the current key. `None` only if an endpoint is configured.
async fn key(settings: &LlmSettings) -> Result<Option<ApiKey>, QueryError> {
    match &settings.key {
        Some(KeySource::Known(key)) => Ok(Some(key.clone())),
        Some(KeySource::File(path)) => {
            let (path, shown) = (path.clone(), path.display().to_string());
            let unreadable =
                |reason: String| QueryError::UnreadableKey { reason: format!("'{shown}': {reason}") };
            let read = tokio::task::spawn_blocking(move || read_secret_file(&path)).await;
            let text = read.map_err(|error| unreadable(error.to_string()))?;
            let text = text.map_err(|error| match error.raw_os_error() {
                Some(_) => unreadable(error.kind().to_string()),
                None => unreadable(error.to_string()),
            })?;
            ApiKey::new(&text).map(Some).map_err(|error| unreadable(error.to_string()))
        }
        None if settings.base_url.is_some() => Ok(None),
        None => Err(QueryError::NoKey),
    }
}

/// Returns the requested tools that the caller may use and models may see.
async fn tools(
    gateway: &Gateway,
    caller: &Principal,
    question: &AgentRequest,
) -> Result<Vec<ToolBinding>, QueryError> {
    let mut offered = Vec::new();
    let (mut servers, mut for_apps) = (HashSet::new(), HashSet::new());
    for server in &question.servers {
        let (view, catalog) = gateway.catalog(caller, server, None).await?;
        if !servers.insert(view.id.clone()) {
            continue;
        }
        let permitted = |tool: &str| caller.permissions().allow_tool(&view.id, tool);
        let wanted =
            |tool: &str| question.tools.as_ref().is_none_or(|tools| tools.iter().any(|one| one == tool));
        let asked = catalog.tools().iter().filter(|tool| permitted(&tool.name) && wanted(&tool.name));
        let (told, others): (Vec<_>, Vec<_>) = asked.partition(|tool| tool.is_for_models());
        for_apps.extend(others.into_iter().map(|tool| tool.name.to_string()));
        offered.extend(told.into_iter().map(|tool| ToolBinding {
            server_id: view.id.clone(),
            server: view.name.clone(),
            tool: tool.name.clone(),
            description: tool.description.clone().unwrap_or_default(),
            schema: tool.input_schema.clone(),
        }));
    }
    for wanted in question.tools.iter().flatten() {
        if !offered.iter().any(|tool| *tool.tool == **wanted) {
            let reason = match for_apps.contains(&**wanted) {
                true => format!("tools: '{wanted}' is for an app only, no model is told of it"),
                false => format!("tools: there is no tool '{wanted}'"),
            };
            return Err(QueryError::Unacceptable { reason });
        }
    }
    Ok(offered)
}

/// Returns the text of a model that calls no more tools. An empty text is an error, with the reason: the caller
/// could not tell it from an answer.
fn last_words(reply: Reply) -> Result<(String, Finish), QueryError> {
    let reason = reply.finish_reason.as_deref();
    let finish = match (reason, &reply.refusal) {
        (_, Some(_)) | (Some("content_filter"), _) => Finish::Refusal,
        (Some("length"), _) => Finish::Length,
        _ => Finish::Stop,
    };
    let silence = match (finish, reply.has_thoughts) {
        (Finish::Length, _) => "it was cut off at its length limit before it said anything".to_owned(),
        (Finish::Refusal, _) => "its provider's content filter held it back".to_owned(),
        (_, true) => "it has thoughts in it and says nothing".to_owned(),
        (_, false) => format!("it says nothing (finish_reason {})", reason.unwrap_or("none")),
    };
    let text = if reply.text.trim().is_empty() { reply.refusal.unwrap_or_default() } else { reply.text };
    if text.is_empty() { Err(ModelError::Unusable { reason: silence }.into()) } else { Ok((text, finish)) }
}

/// Executor of the calls of one turn.
struct Calls<'a> {
    gateway: &'a Gateway,
    caller: &'a Principal,
    offer: &'a ToolSet,
    settings: &'a Arc<LlmSettings>,
    /// Members of `_meta` of each call.
    meta: &'a Bytes,
    events: Option<&'a mpsc::Sender<Event>>,
    made: &'a Arc<CallsMade>,
}

impl Calls<'_> {
    /// Makes all calls side by side; the results are in the order of the calls. Dropped, it cancels them.
    async fn make(&self, wanted: &[ToolRequest]) -> Result<Vec<CompletedCall>, QueryError> {
        let mut running = JoinSet::new();
        let mut made: Vec<Option<CompletedCall>> = Vec::new();
        for (at, request) in wanted.iter().enumerate() {
            made.push(None);
            let known = self.offer.find(&request.name);
            self.announce(request, known).await;
            let possible = match (known, self.offer.arguments(&request.name, &request.arguments)) {
                _ if at >= MAX_CALLS => Err(format!("no more than {MAX_CALLS} calls are made at once")),
                (None, _) => Err(self.unknown(&request.name)),
                (Some(_), Err(reason)) => Err(reason),
                (Some(tool), Ok(arguments)) => Ok((tool.clone(), arguments)),
            };
            match possible {
                Ok((tool, arguments)) => {
                    let (gateway, caller, settings) =
                        (self.gateway.clone(), self.caller.clone(), self.settings.clone());
                    let (request, made, meta) = (request.clone(), self.made.clone(), self.meta.clone());
                    running.spawn(async move {
                        made.add(&tool.server, &tool.tool);
                        (at, call(&gateway, &caller, &settings, &request, tool, (arguments, meta)).await)
                    });
                }
                Err(reason) => {
                    made[at] = Some(self.tell_result(failed(request, known, &reason, Duration::ZERO)).await);
                }
            }
        }
        let mut ended = None;
        while let Some(joined) = running.join_next().await {
            let (at, result) = joined.map_err(|error| Error::Internal { reason: error.to_string() })?;
            match result {
                // Calls that a child has already received may finish.
                Err(QueryError::Server(error)) if error.ends_key() => ended = Some(error),
                result => made[at] = Some(self.tell_result(result?).await),
            }
        }
        if let Some(error) = ended {
            return Err(error.into());
        }
        Ok(made.into_iter().flatten().collect())
    }

    async fn announce(&self, request: &ToolRequest, known: Option<&ToolBinding>) {
        let Some(events) = self.events else { return };
        let event = Event::ToolCall {
            id: request.id.clone(),
            server: known.map(|tool| tool.server.to_string()),
            tool: known.map_or_else(|| request.name.clone(), |tool| tool.tool.to_string()),
            arguments: as_json(&request.arguments),
        };
        let _ = events.send(event).await;
    }

    async fn tell_result(&self, made: CompletedCall) -> CompletedCall {
        if let Some(events) = self.events {
            let _ = events.send(Event::ToolResult { id: made.id.clone(), step: made.step.clone() }).await;
        }
        made
    }

    fn unknown(&self, name: &str) -> String {
        let names = self.offer.names();
        cut(format!("there is no tool '{name}'; the tools are: {}", names.join(", ")), 2_000)
    }
}

/// Makes one call. Its error goes to the model, unless it ends everything.
async fn call(
    gateway: &Gateway,
    caller: &Principal,
    settings: &LlmSettings,
    request: &ToolRequest,
    tool: ToolBinding,
    (arguments, meta): (Box<RawValue>, Bytes),
) -> Result<CompletedCall, QueryError> {
    let begun = Instant::now();
    // A model over the caller's rate limit waits for its turn; the query's deadline bounds that.
    while let Some(wait) = caller.take_request().and_then(|reading| reading.refused) {
        while_accepted(caller, tokio::time::sleep(wait)).await?;
    }
    let asked = ToolCall {
        server: Cow::Borrowed(&*tool.server_id),
        tool: Cow::Borrowed(&*tool.tool),
        arguments: Some(arguments.get()),
        meta,
        timeout: None,
    };
    let mut recording = Recording {
        gateway,
        caller,
        tool: &tool,
        arguments: arguments.get().as_bytes(),
        outcome: Outcome::Unknown,
    };
    let answered = gateway.call_tool(&asked, &mut PreparedCall::of(&asked), caller).await;
    recording.outcome = match &answered {
        Ok(_) => Outcome::Done,
        Err(error) if error.facts().retry == Retry::OutcomeUnknown => Outcome::Unknown,
        Err(_) => Outcome::Failed,
    };
    drop(recording);
    let reply = match answered {
        Ok(reply) => reply,
        Err(error) if error.ends_work() => return Err(error.into()),
        Err(error) => return Ok(failed(request, Some(&tool), &error.to_string(), begun.elapsed())),
    };
    let telling = ResultFormat { max_bytes: settings.max_result, images: settings.images };
    let mut told = tell(&reply.content, reply.structured.as_deref(), telling);
    if reply.is_error {
        told.text.insert_str(0, "Error: ");
    }
    let step = step(request, Some(&tool), &told.text, reply.is_error, begun.elapsed());
    Ok(CompletedCall { id: request.id.clone(), told, step })
}

/// Guard that records a call in the audit like every other one, if calls are audited: also one that is dropped.
struct Recording<'a> {
    gateway: &'a Gateway,
    caller: &'a Principal,
    tool: &'a ToolBinding,
    arguments: &'a [u8],
    outcome: Outcome,
}

impl Drop for Recording<'_> {
    fn drop(&mut self) {
        let audit = self.gateway.audit();
        if !audit.settings().calls {
            return;
        }
        let mut details = AuditEntry::details_of_call(self.arguments);
        details.insert("by".to_owned(), "query".into());
        let target = format!("{}/{}", self.tool.server, self.tool.tool);
        let entry = AuditEntry::new(EntryKind::Call, "call", &target, self.outcome);
        audit.note(entry.by(self.caller).with(details));
    }
}

fn failed(request: &ToolRequest, tool: Option<&ToolBinding>, reason: &str, took: Duration) -> CompletedCall {
    let text = format!("Error: {reason}");
    let step = step(request, tool, &text, true, took);
    CompletedCall { id: request.id.clone(), told: ToolText { text, images: Vec::new() }, step }
}

fn step(
    request: &ToolRequest,
    tool: Option<&ToolBinding>,
    result: &str,
    is_error: bool,
    took: Duration,
) -> Step {
    Step {
        server: tool.map(|tool| tool.server.to_string()),
        tool: tool.map_or_else(|| request.name.clone(), |tool| tool.tool.to_string()),
        arguments: as_json(&request.arguments),
        result: result.to_owned(),
        is_error,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// Returns the model's text as JSON: unchanged if it is JSON, else as a string.
fn as_json(written: &str) -> Box<RawValue> {
    let written = if written.trim().is_empty() { "{}" } else { written };
    let text = || serde_json::value::to_raw_value(written).unwrap_or_else(|_| RawValue::NULL.to_owned());
    serde_json::from_str(written).unwrap_or_else(|_| text())
}

#[cfg(test)]
mod tests {
    use super::super::TokenUsage;
    use super::*;

    fn reply(text: &str, refusal: Option<&str>, finish: &str) -> Reply {
        Reply {
            message: serde_json::Value::Null,
            text: text.to_owned(),
            refusal: refusal.map(str::to_owned),
            has_thoughts: false,
            calls: Vec::new(),
            finish_reason: Some(finish.to_owned()),
            usage: TokenUsage::default(),
        }
    }

    #[test]
    fn the_last_words_are_what_was_said_and_silence_is_an_error_with_its_reason() {
        let words = |text, refusal, finish| {
            last_words(reply(text, refusal, finish)).map_err(|error| error.to_string())
        };
        assert_eq!(words("yes", None, "stop"), Ok(("yes".to_owned(), Finish::Stop)));
        for (finish, said) in [("stop", "finish_reason stop"), ("MALFORMED_FUNCTION_CALL", "MALFORMED")] {
            assert!(words(" \n", None, finish).is_err_and(|error| error.contains(said)));
        }
        let thoughts = last_words(Reply { has_thoughts: true, ..reply("", None, "stop") });
        assert!(thoughts.is_err_and(|error| error.to_string().contains("thoughts")));
        assert_eq!(words("ye", None, "length"), Ok(("ye".to_owned(), Finish::Length)));
        assert_eq!(words("", Some("I will not."), "stop"), Ok(("I will not.".to_owned(), Finish::Refusal)));
        assert!(words("", None, "length").is_err());
        assert!(words("", None, "content_filter").is_err());
    }
}
