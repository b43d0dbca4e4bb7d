//! Conversation of a question: messages, calls and results so far. Pure.

use std::collections::HashSet;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::chat::{Reply, TokenUsage, plain_id, tool_message};
use super::tool_set::ToolSet;
use super::tool_text::{ToolText, image_message};
use super::{Answer, Finish, LeftOut, Step};

/// State of one conversation; see the module.
pub(super) struct Conversation {
    pub(super) messages: Vec<Value>,
    pub(super) usage: TokenUsage,
    pub(super) left_out: Vec<LeftOut>,
    /// Tools that the endpoint refused in a turn that it has yet to take.
    pub(super) unsettled: Vec<(Box<RawValue>, LeftOut)>,
    /// Number of times that the endpoint refused a request with tools.
    pub(super) refusals: usize,
    steps: Vec<Step>,
    ids: Ids,
}

/// A call that was made, with its result for the model.
pub(super) struct CompletedCall {
    pub(super) id: String,
    pub(super) told: ToolText,
    pub(super) step: Step,
}

impl Conversation {
    pub(super) fn begin(offer: &ToolSet, question: &str) -> Conversation {
        let messages = vec![system(offer), json!({"role": "user", "content": question})];
        Conversation {
            messages,
            usage: TokenUsage::default(),
            left_out: Vec::new(),
            unsettled: Vec::new(),
            refusals: 0,
            steps: Vec::new(),
            ids: Ids::default(),
        }
    }

    /// Updates the system's message after the offer of tools has changed.
    pub(super) fn offers(&mut self, offer: &ToolSet) {
        self.messages[0] = system(offer);
    }

    /// Gives every call an id that no other call of the conversation has: results are told apart by them, and
    /// some endpoints refuse a conversation in which one comes twice.
    pub(super) fn name_calls(&mut self, reply: &mut Reply) {
        for (at, call) in reply.calls.iter_mut().enumerate() {
            call.id = self.ids.unique(&call.id);
            reply.message["tool_calls"][at]["id"] = call.id.clone().into();
        }
    }

    /// Appends the model's message, then the results in the order of its calls, then the images, which results
    /// cannot hold.
    pub(super) fn go_on(&mut self, reply: Reply, made: Vec<CompletedCall>) {
        self.messages.push(reply.message);
        let mut images = Vec::new();
        for made in made {
            self.messages.push(tool_message(&made.id, &made.told.text));
            images.extend(made.told.images);
            self.steps.push(made.step);
        }
        if !images.is_empty() {
            self.messages.push(image_message(&images));
        }
    }

    pub(super) fn end(self, text: String, finish: Finish, model: String, turns: usize) -> Answer {
        Answer { text, finish, model, turns, usage: self.usage, steps: self.steps, left_out: self.left_out }
    }
}

fn system(offer: &ToolSet) -> Value {
    let mut system = "You answer the user's question. Use the tools where they help, as often as you need \
                      them, and say in the end what you found out."
        .to_owned();
    let listing = offer.listing();
    if !listing.is_empty() {
        system.push_str("\n\nThese are the tools:\n");
        system.push_str(listing.trim_end());
    }
    json!({"role": "system", "content": system})
}

/// Ids of the conversation's calls.
#[derive(Debug, Default)]
struct Ids {
    used: HashSet<String>,
    made: usize,
}

impl Ids {
    /// Returns this id, or, if it is empty or was there before, one that is made here.
    fn unique(&mut self, id: &str) -> String {
        let mut id = id.to_owned();
        while id.is_empty() || self.used.contains(&id) {
            id = plain_id(self.made);
            self.made += 1;
        }
        self.used.insert(id.clone());
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::chat::ToolRequest;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    fn reply(ids: &[&str]) -> Reply {
        let call =
            |id: &&str| ToolRequest { id: (*id).to_owned(), name: "look".into(), arguments: "{".into() };
        let told = |id: &&str| json!({"id": id, "function": {"name": "look"}});
        Reply {
            message: json!({"role": "assistant", "tool_calls": ids.iter().map(told).collect::<Vec<_>>()}),
            text: String::new(),
            refusal: None,
            has_thoughts: false,
            calls: ids.iter().map(call).collect(),
            finish_reason: Some("tool_calls".to_owned()),
            usage: TokenUsage::default(),
        }
    }

    fn step() -> Step {
        Step {
            server: None,
            tool: "look".to_owned(),
            arguments: RawValue::NULL.to_owned(),
            result: "seen".to_owned(),
            is_error: false,
            duration_ms: 0,
        }
    }

    #[test]
    fn results_follow_the_message_that_asked_for_them_and_pictures_follow_them() {
        let mut talk = Conversation::begin(&ToolSet::default(), "why?");
        let told = ToolText { text: "seen".into(), images: vec!["data:image/png;base64,AA".into()] };
        talk.go_on(reply(&["c1"]), vec![CompletedCall { id: "c1".into(), told, step: step() }]);
        let roles: Vec<_> =
            talk.messages.iter().map(|message| message["role"].as_str().expect("a role")).collect();
        assert_eq!(roles, ["system", "user", "assistant", "tool", "user"]);
        assert_eq!(talk.messages[3]["tool_call_id"], "c1");
        assert_eq!(talk.steps[0].result, "seen");
    }

    #[test]
    fn ids_that_repeat_or_are_missing_are_made_unique_in_what_goes_back() {
        let mut talk = Conversation::begin(&ToolSet::default(), "why?");
        let mut first = reply(&["a", "a", ""]);
        talk.name_calls(&mut first);
        let mut second = reply(&["a", "call00000", "b"]);
        talk.name_calls(&mut second);
        let ids = |reply: &Reply| reply.calls.iter().map(|call| call.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&first), ["a", "call00000", "call00001"]);
        assert_eq!(ids(&second), ["call00002", "call00003", "b"]);
        assert_eq!(second.message["tool_calls"][1]["id"], "call00003");
    }

    proptest! {
        #[test]
        fn no_id_is_given_twice(ids in prop::collection::vec("(a|b|call0000[0-3])?", 0..12)) {
            let mut known = Ids::default();
            let given: HashSet<String> = ids.iter().map(|id| known.unique(id)).collect();
            prop_assert_eq!(given.len(), ids.len());
        }
    }
}
