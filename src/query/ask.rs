//! One turn of a question, with the tools that the model's endpoint accepts: a tool that it refuses is left out,
//! and only that one, also if the refusal does not name it, and is not tried again for a while.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::blame::blamed;
use super::chat::{Chat, ChatRequest, Reply, StreamOptions};
use super::conversation::Conversation;
use super::settings::ApiKey;
use super::tool_set::{Removed, ToolSet};
use super::trial::{is_elsewhere, suspects};
use super::{Event, LeftOut, ModelError, QueryError};

/// The most times that a question is repeated because of its tools.
const MAX_REFUSALS: usize = 16;
/// The longest part of an endpoint's reason against a tool that is repeated, in characters.
const MAX_REASON: usize = 300;

/// Parameters of a question: the endpoint, the key, the model and its settings.
pub(super) struct Asking<'a> {
    pub(super) chat: &'a Chat,
    pub(super) key: Option<&'a ApiKey>,
    pub(super) model: &'a str,
    pub(super) temperature: Option<f64>,
    pub(super) deadline: Instant,
    pub(super) events: Option<&'a mpsc::Sender<Event>>,
}

/// A tool that is left out to see whether it is the one that was refused.
struct Trial {
    /// Text of the refusal when the tool was offered.
    refusal: String,
    removed: Removed,
    /// Positions of the other suspects.
    others: VecDeque<usize>,
}

impl Asking<'_> {
    /// Returns the model's next reply. Tools that are refused are out of the offer and in the talk's list then.
    pub(super) async fn turn(
        &self,
        offer: &mut ToolSet,
        talk: &mut Conversation,
    ) -> Result<Reply, QueryError> {
        let mut trial = None;
        loop {
            let error = match self.ask(offer, talk).await {
                Ok(reply) => {
                    convict(trial, talk);
                    self.settle(talk);
                    return Ok(reply);
                }
                Err(error) => error,
            };
            match judge(&error, trial, offer, talk) {
                Some(next) => trial = next,
                None => return Err(error),
            }
            talk.offers(offer);
        }
    }

    async fn ask(&self, offer: &ToolSet, talk: &mut Conversation) -> Result<Reply, QueryError> {
        let streamed = self.events.map(|_| StreamOptions { include_usage: true });
        let request = ChatRequest {
            model: self.model,
            messages: &talk.messages,
            tools: offer.definitions(),
            temperature: self.temperature,
            stream: streamed.map(|_| true),
            stream_options: streamed,
        };
        let mut reply = self.chat.turn(self.key, &request, self.deadline, self.events).await?;
        talk.usage += reply.usage;
        talk.name_calls(&mut reply);
        Ok(reply)
    }

    /// Logs and remembers the refused tools: the endpoint has taken the turn without them.
    fn settle(&self, talk: &mut Conversation) {
        for (definition, left_out) in talk.unsettled.drain(..) {
            tracing::warn!(
                server = left_out.server,
                tool = left_out.tool,
                reason = left_out.reason,
                "the model's endpoint refuses a tool"
            );
            self.chat.unwanted.note(self.model, definition.get(), &left_out.reason, Instant::now());
            talk.left_out.push(left_out);
        }
    }

    /// Leaves out the tools that the endpoint refused lately: for the beginning of a question.
    pub(super) fn leave_out_unwanted(&self, offer: &mut ToolSet, talk: &mut Conversation) {
        let now = Instant::now();
        let reason = |definition: &RawValue| self.chat.unwanted.reason(self.model, definition.get(), now);
        let tools = offer.definitions().iter().enumerate();
        let unwanted: Vec<_> = tools.filter_map(|(at, tool)| Some((at, reason(tool)?))).collect();
        // From the end, so that positions stay valid.
        for (at, reason) in unwanted.iter().rev() {
            talk.left_out.extend(offer.leave_out(*at).map(|removed| left_out(&removed, reason)));
        }
        if !unwanted.is_empty() {
            talk.offers(offer);
        }
    }
}

/// Takes the tool out of the offer that a refusal is about: the one that it names, or, on trial, one that it may
/// mean. `None` if no tool is to blame, or there were too many refusals.
fn judge(
    error: &QueryError,
    trial: Option<Trial>,
    offer: &mut ToolSet,
    talk: &mut Conversation,
) -> Option<Option<Trial>> {
    let QueryError::Model(ModelError::Refused { message, tools: 1.., .. }) = error else { return None };
    if talk.refusals >= MAX_REFUSALS {
        return None;
    }
    talk.refusals += 1;
    let others = match trial {
        Some(trial) if !is_elsewhere(&trial.refusal, message) => {
            offer.put_back(trial.removed);
            Some(trial.others)
        }
        trial => {
            convict(trial, talk);
            None
        }
    };
    if let Some(at) = blamed(message, offer.in_order()) {
        leave_out(offer.leave_out(at)?, message, talk);
        return Some(None);
    }
    let mut others = others.unwrap_or_else(|| suspects(message, offer.definitions()).into());
    let removed = offer.leave_out(others.pop_front()?)?;
    Some(Some(Trial { refusal: message.clone(), removed, others }))
}

/// Leaves the tool on trial out: without it the endpoint has taken the request, or complained of another place.
fn convict(trial: Option<Trial>, talk: &mut Conversation) {
    if let Some(Trial { refusal, removed, .. }) = trial {
        leave_out(removed, &refusal, talk);
    }
}

fn leave_out(removed: Removed, refusal: &str, talk: &mut Conversation) {
    let left_out = left_out(&removed, refusal);
    talk.unsettled.push((removed.definition, left_out));
}

fn left_out(removed: &Removed, refusal: &str) -> LeftOut {
    LeftOut {
        server: removed.tool.server.to_string(),
        tool: removed.tool.tool.to_string(),
        reason: refusal.chars().take(MAX_REASON).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tool_set::ToolBinding;
    use super::*;
    use crate::query::settings::LlmSettings;
    use std::sync::Arc;

    const NAMES: [&str; 3] = ["odd.one", "good", "worse"];

    fn offer() -> ToolSet {
        let tool = |name: &&str| ToolBinding {
            server_id: "mcp_s".into(),
            server: "s".into(),
            tool: (*name).into(),
            description: "".into(),
            schema: serde_json::value::to_raw_value(&serde_json::json!({})).expect("JSON"),
        };
        ToolSet::new(NAMES.iter().map(tool).collect())
    }

    fn error(message: &str, tools: usize) -> QueryError {
        ModelError::Refused { status: 400, message: message.to_owned(), retry_after: None, tools }.into()
    }

    fn asking(chat: &Chat) -> Asking<'_> {
        let deadline = Instant::now();
        Asking { chat, key: None, model: "m", temperature: None, deadline, events: None }
    }

    fn chat() -> Chat {
        Chat::new(Arc::new(LlmSettings::default()))
    }

    /// Plays an endpoint that answers an offer with `says`, and returns the tools that are left out in the end,
    /// with the number of requests; `None` if the question fails.
    fn played(chat: &Chat, says: impl Fn(&[String]) -> Option<String>) -> (Option<Vec<String>>, usize) {
        let (asking, mut offer) = (asking(chat), offer());
        let mut talk = Conversation::begin(&offer, "?");
        asking.leave_out_unwanted(&mut offer, &mut talk);
        let (mut trial, mut asked) = (None, 1);
        while let Some(said) = says(offer.in_order()) {
            let Some(next) = judge(&error(&said, offer.in_order().len()), trial, &mut offer, &mut talk)
            else {
                return (None, asked);
            };
            trial = next;
            asked += 1;
        }
        convict(trial, &mut talk);
        asking.settle(&mut talk);
        let left_out: Vec<String> = talk.left_out.iter().map(|tool| tool.tool.clone()).collect();
        assert_eq!(
            left_out.len() + offer.in_order().len(),
            NAMES.len(),
            "each is told or said to be left out"
        );
        (Some(left_out), asked)
    }

    #[test]
    fn a_refused_tool_is_left_out_by_name_and_the_next_question_knows() {
        let chat = chat();
        let odd = offer().in_order()[0].clone();
        let says = |names: &[String]| {
            names.contains(&odd).then(|| format!("Invalid schema for function '{odd}': no"))
        };
        assert_eq!(played(&chat, says), (Some(vec!["odd.one".to_owned()]), 2));
        assert_eq!(played(&chat, says), (Some(vec!["odd.one".to_owned()]), 1));
    }

    #[test]
    fn a_refusal_that_names_no_tool_costs_those_only_that_it_is_about() {
        for guilty in [&["worse"][..], &["good"], &["good", "worse"]] {
            let chat = chat();
            // Each tool has a complaint of its own.
            let says = |names: &[String]| {
                let found = names.iter().find(|name| guilty.contains(&name.as_str()))?;
                Some(format!(
                    "failed to parse grammar: #/properties/{found} after {} tokens",
                    7 * names.len()
                ))
            };
            let (left_out, asked) = played(&chat, says);
            assert_eq!(
                left_out.as_deref(),
                Some(&guilty.iter().map(ToString::to_string).collect::<Vec<_>>()[..])
            );
            assert!(asked <= 7, "{asked}");
            let mut again = played(&chat, says);
            again.0.iter_mut().for_each(|names| names.sort_unstable());
            assert_eq!(again, (left_out, 1));
        }
    }

    #[test]
    fn no_tool_is_left_out_for_nothing_or_without_end() {
        assert_eq!(played(&chat(), |_| Some("the context is too long".to_owned())), (None, 1));
        let stubborn = played(&chat(), |_| Some("bad schema".to_owned()));
        assert_eq!(stubborn, (None, 4), "each was on trial once");
        let mut offer = offer();
        let mut talk = Conversation::begin(&offer, "?");
        for error in [error("'good' is bad", 0), QueryError::NoKey] {
            assert!(judge(&error, None, &mut offer, &mut talk).is_none(), "{error}");
        }
        talk.refusals = MAX_REFUSALS;
        assert!(judge(&error("'good' is bad", 3), None, &mut offer, &mut talk).is_none());
        assert_eq!(offer.in_order().len(), 3);
    }
}
