//! Parts of a request that an endpoint has refused and that it can do without, so that they are not sent again:
//! learnt from the words of refusals, kept for each model of the endpoint. Pure, but for the lock around what is
//! kept.
//!
//! The same members that one endpoint needs back another one refuses, so the model's messages go back as they
//! came first. The refusals of each endpoint are in `docs/query.md`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use serde_json::value::RawValue;

use super::pieces::{self, THOUGHTS, is_thought, settled};
use super::shorter::{into_question, plain_call, plain_ids, reword_patterns};
use super::wire::ChatRequest;

/// The most models whose dislikes are kept; beyond it, all are learnt anew.
const MAX_MODELS: usize = 64;
const MAX_MODEL_NAME: usize = 256;
/// Members of a message that every endpoint knows.
const KNOWN: [&str; 3] = ["role", "content", "tool_calls"];

/// Dislikes of one model of an endpoint; see the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ModelQuirks {
    stream_options: bool,
    /// Thoughts, under any of the names in `THOUGHTS`.
    thoughts: bool,
    /// Members that a model's message had beside the known ones and thoughts.
    members: BTreeSet<String>,
    /// All such members, also those of calls.
    extras: bool,
    /// A message with the role `system`.
    system: bool,
    /// Regular expressions (`pattern`) in schemas.
    patterns: bool,
    /// Ids of calls as the endpoint gives them itself: some servers make others than their model's template
    /// takes.
    ids: bool,
    /// Form of the content of a message without words; `None` sends it as it came, until that is refused.
    nothing: Option<Nothing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nothing {
    Empty,
    Null,
    Absent,
}

impl ModelQuirks {
    pub(super) fn stream_options(&self) -> bool {
        self.stream_options
    }

    /// Learns from a refusal of this request, as it was sent without what was disliked before. Returns `true` if
    /// there is something more that it can do without; each thing is tried once.
    pub(super) fn learn(&mut self, refusal: &str, request: &ChatRequest<'_>) -> bool {
        let said = refusal.to_lowercase();
        if request.stream_options.is_some() && !self.stream_options && said.contains("stream_options") {
            self.stream_options = true;
            return true;
        }
        let wants_more = ["missing", "passed back", "is required", "must include", "must be included"];
        if wants_more.iter().any(|words| said.contains(words)) {
            return false;
        }
        let sent = self.messages(request.messages);
        self.learn_ids(&said, &sent)
            || self.learn_content(&said, &sent)
            || self.learn_thoughts(&said, &sent)
            || self.learn_member(&said, &sent)
            || self.learn_system(&said, &sent)
            || self.learn_patterns(&said, request.tools)
            || self.learn_extras(&said, &sent)
    }

    fn learn_ids(&mut self, said: &str, sent: &[Value]) -> bool {
        let words = ["tool call id", "tool_call_id", "tool_call.id", "tool_use.id", "tool_use_id"];
        let has_calls = || own(sent).any(|message| message["tool_calls"].is_array());
        let is_new = !self.ids && words.iter().any(|word| said.contains(word)) && has_calls();
        self.ids |= is_new;
        is_new
    }

    fn learn_thoughts(&mut self, said: &str, sent: &[Value]) -> bool {
        let speaks_of_them = ["reasoning", "thinking", "thought"].iter().any(|word| said.contains(word));
        let is_new = speaks_of_them && own(sent).any(has_thoughts);
        self.thoughts |= is_new;
        is_new
    }

    fn learn_member(&mut self, said: &str, sent: &[Value]) -> bool {
        let named = own(sent).flat_map(others).find(|name| said.contains(&name.to_lowercase()));
        named.is_some_and(|name| self.members.insert(name.clone()))
    }

    /// Learns from a complaint that names nothing.
    fn learn_extras(&mut self, said: &str, sent: &[Value]) -> bool {
        let words = [
            "extra",
            "unknown",
            "unrecognized",
            "unexpected",
            "additional propert",
            "not permitted",
            "unsupported",
        ];
        let mut calls = own(sent).filter_map(|message| message["tool_calls"].as_array()).flatten();
        let is_new = !self.extras
            && words.iter().any(|words| said.contains(words))
            && (own(sent).any(|message| others(message).next().is_some() || has_thoughts(message))
                || calls.any(|call| plain_call(call) != *call));
        self.extras |= is_new;
        self.thoughts |= is_new;
        is_new
    }

    fn learn_content(&mut self, said: &str, sent: &[Value]) -> bool {
        if !said.replace("reasoning_content", "").contains("content") {
            return false;
        }
        let any = |is: fn(&Value) -> bool| own(sent).any(|message| is(&message["content"]));
        let dislikes = |words: &[&str]| words.iter().any(|words| said.contains(words));
        let no_null = dislikes(&["null", "nil", "none", "string"]) && any(Value::is_null);
        let no_empty = dislikes(&["empty", "blank", "at least 1 char"]) && any(|content| content == "");
        self.nothing = Some(match self.nothing {
            None if no_empty => Nothing::Null,
            None if no_null => Nothing::Empty,
            Some(Nothing::Null) if no_null => Nothing::Absent,
            Some(Nothing::Empty) if no_empty => Nothing::Absent,
            _ => return false,
        });
        true
    }

    fn learn_system(&mut self, said: &str, sent: &[Value]) -> bool {
        let speaks_of_it = said.contains("system") || said.contains("developer instruction");
        let refuses = ["not support", "unsupported", "not enabled", "not allowed"];
        let is_new = sent.first().is_some_and(|message| message["role"] == "system");
        if speaks_of_it && is_new && refuses.iter().any(|words| said.contains(words)) {
            self.system = true;
            return true;
        }
        false
    }

    fn learn_patterns(&mut self, said: &str, tools: &[Box<RawValue>]) -> bool {
        let speaks_of_them = said.contains("pattern") || said.contains("grammar") || said.contains("regex");
        let there = || self.tools(tools).iter().any(|tool| tool.get().contains("\"pattern\""));
        if speaks_of_them && !self.patterns && there() {
            self.patterns = true;
            return true;
        }
        false
    }

    /// Returns the messages without the disliked parts.
    pub(super) fn messages<'a>(&self, messages: &'a [Value]) -> Cow<'a, [Value]> {
        let is_content = self.thoughts || self.extras || self.system || self.ids || self.nothing.is_some();
        if !is_content && self.members.is_empty() {
            return Cow::Borrowed(messages);
        }
        let mut messages = messages.to_vec();
        messages
            .iter_mut()
            .filter(|message| message["role"] == "assistant")
            .for_each(|own| self.shorten(own));
        if self.system {
            into_question(&mut messages);
        }
        if self.ids {
            plain_ids(&mut messages);
        }
        Cow::Owned(messages)
    }

    fn shorten(&self, message: &mut Value) {
        let Value::Object(members) = message else { return };
        let is_disliked = |name: &str| {
            (self.thoughts && THOUGHTS.contains(&name))
                || self.members.contains(name)
                || (self.extras && !KNOWN.contains(&name))
        };
        members.retain(|name, _| !is_disliked(name));
        if let Some(Value::Array(parts)) = members.get_mut("content").filter(|_| self.thoughts) {
            parts.retain(|part| !is_thought(part));
        }
        if let Some(content) = members.get_mut("content") {
            *content = settled(content.take());
        }
        if let Some(Value::Array(calls)) = members.get_mut("tool_calls").filter(|_| self.extras) {
            calls.iter_mut().for_each(|call| *call = plain_call(call));
        }
        let says_nothing = members.get("content").is_none_or(|content| content.is_null() || content == "");
        match self.nothing.filter(|_| says_nothing) {
            Some(Nothing::Empty) => drop(members.insert("content".to_owned(), "".into())),
            Some(Nothing::Null) => drop(members.insert("content".to_owned(), Value::Null)),
            Some(Nothing::Absent) => drop(members.shift_remove("content")),
            None => {}
        }
    }

    /// Returns the tools without the disliked parts; a pattern is then described in words.
    pub(super) fn tools<'a>(&self, tools: &'a [Box<RawValue>]) -> Cow<'a, [Box<RawValue>]> {
        if !self.patterns {
            return Cow::Borrowed(tools);
        }
        let reworded = tools.iter().map(|tool| {
            let Ok(mut value) = serde_json::from_str::<Value>(tool.get()) else { return tool.clone() };
            reword_patterns(&mut value["function"]["parameters"]);
            serde_json::value::to_raw_value(&value).unwrap_or_else(|_| tool.clone())
        });
        Cow::Owned(reworded.collect())
    }
}

/// Iterates over the model's own messages.
fn own(sent: &[Value]) -> impl Iterator<Item = &Value> {
    sent.iter().filter(|message| message["role"] == "assistant")
}

/// Iterates over the names of members that are neither known to every endpoint nor thoughts.
fn others(message: &Value) -> impl Iterator<Item = &String> {
    let names = message.as_object().into_iter().flat_map(serde_json::Map::keys);
    names.filter(|name| !KNOWN.contains(&name.as_str()) && !THOUGHTS.contains(&name.as_str()))
}

fn has_thoughts(message: &Value) -> bool {
    message.as_object().is_some_and(pieces::has_thoughts)
}

/// Dislikes learnt so far, by model.
#[derive(Debug, Default)]
pub(super) struct Learnt(Mutex<HashMap<String, ModelQuirks>>);

impl Learnt {
    pub(super) fn of(&self, model: &str) -> ModelQuirks {
        let learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.get(model).cloned().unwrap_or_default()
    }

    pub(super) fn keep(&self, model: &str, dislikes: ModelQuirks) {
        if model.len() > MAX_MODEL_NAME {
            return;
        }
        let mut learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.len() >= MAX_MODELS && !learnt.contains_key(model) {
            learnt.clear();
        }
        learnt.insert(model.to_owned(), dislikes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn talk() -> Vec<Value> {
        let thought = json!({"type": "thinking", "thinking": "t", "signature": "S"});
        vec![
            json!({"role": "system", "content": "Be brief."}),
            json!({"role": "user", "content": "why?"}),
            json!({"role": "assistant", "content": null, "reasoning_content": "hm", "audio": {"id": 1}, "tool_calls": [
                {"id": "c", "type": "function", "extra_content": {"s": 1}, "function": {"name": "x", "arguments": "{}"}}]}),
            json!({"role": "tool", "tool_call_id": "c", "content": "r"}),
            json!({"role": "assistant", "content": [thought, {"type": "text", "text": "so"}]}),
            json!({"role": "assistant", "content": ""}),
        ]
    }

    fn learn(dislikes: &mut ModelQuirks, refusal: &str, tools: &[Box<RawValue>]) -> bool {
        let talk = talk();
        let stream_options = Some(super::super::StreamOptions { include_usage: true });
        let request = ChatRequest {
            model: "m",
            messages: &talk,
            tools,
            temperature: None,
            stream: Some(true),
            stream_options,
        };
        dislikes.learn(refusal, &request)
    }

    /// Returns the messages that go back after these refusals, each of which must teach something, and not for
    /// ever.
    fn after(refusals: &[&str]) -> Vec<Value> {
        let mut dislikes = ModelQuirks::default();
        for refusal in refusals {
            assert!(learn(&mut dislikes, refusal, &[]), "{refusal}");
        }
        let last = refusals.last().expect("some");
        let mut stubborn = dislikes.clone();
        // The part that it names is left out first, then those that it may mean.
        assert!((0..2).any(|_| !learn(&mut stubborn, last, &[])), "tried for ever: {last}");
        dislikes.messages(&talk()).into_owned()
    }

    #[test]
    fn thoughts_that_are_refused_are_left_out_under_all_their_names() {
        for refusal in [
            "'messages.2' : for 'role:assistant' the following must be satisfied[('messages.2' : property 'reasoning_content' is unsupported)]",
            "body.messages.2.assistant.reasoning_content: Extra inputs are not permitted",
            "messages.4.content.0: thinking blocks are not supported",
        ] {
            let back = after(&[refusal]);
            assert!(!json!(back).to_string().contains("hm"), "{refusal}");
            assert_eq!(back[4]["content"], "so", "{refusal}");
            assert_eq!(back[2]["tool_calls"], talk()[2]["tool_calls"]);
        }
    }

    #[test]
    fn what_is_missing_is_not_mended_by_less() {
        for refusal in [
            "Function call is missing a thought_signature in functionCall parts.",
            "Missing `reasoning_content` field in the assistant message at message index 2",
            "The reasoning_content in the thinking mode must be passed back to the API.",
            "context_length_exceeded",
            "Invalid schema for function 'x': None is not of type 'object'",
        ] {
            assert!(!learn(&mut ModelQuirks::default(), refusal, &[]), "{refusal}");
        }
    }

    #[test]
    fn other_members_are_left_out_by_name_or_all_together() {
        let back = after(&["property 'audio' is unsupported"]);
        assert!(back[2].get("audio").is_none() && back[2]["reasoning_content"] == "hm");
        let back = after(&["Extra inputs are not permitted"]);
        assert!(back[2].get("audio").is_none() && back[2]["tool_calls"][0].get("extra_content").is_none());
    }

    #[test]
    fn nothing_is_said_as_the_endpoint_takes_it() {
        for refusal in [
            "invalid message content type: <nil>",
            "Invalid 'content': 'content' field must be a string or an array of objects.",
            "Invalid value for 'content': expected a string, got null.",
        ] {
            let back = after(&[refusal]);
            assert_eq!((&back[2]["content"], &back[5]["content"]), (&json!(""), &json!("")), "{refusal}");
        }
        let back = after(&["messages: text content blocks must be non-empty"]);
        assert_eq!((&back[2]["content"], &back[5]["content"]), (&json!(null), &json!(null)));
        let back = after(&["text content blocks must be non-empty", "content: got null"]);
        assert!(back[2].get("content").is_none() && back[4].get("content").is_some());
    }

    #[test]
    fn ids_that_are_refused_are_plain_ones_and_still_belong_together() {
        for refusal in [
            "Tool call id was call_49c89af0 but must be a-z, A-Z, 0-9, with a length of 9",
            "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'",
        ] {
            let back = after(&[refusal]);
            assert_eq!(
                (&back[2]["tool_calls"][0]["id"], &back[3]["tool_call_id"]),
                (&json!("call00000"), &json!("call00000"))
            );
        }
    }

    #[test]
    fn a_model_without_a_system_is_told_in_the_question() {
        let back = after(&["System role not supported"]);
        assert_eq!(back[0], json!({"role": "user", "content": "Be brief.\n\nwhy?"}));
        assert_eq!(back.len(), talk().len() - 1);
    }

    #[test]
    fn a_pattern_that_is_refused_is_told_in_words() {
        let tool = json!({"type": "function", "function": {"name": "x", "parameters": {"type": "object", "properties": {
            "pattern": {"type": "string", "pattern": "\\S", "description": "What."}, "b": {"pattern": "^a$"}}}}});
        let tools = vec![serde_json::value::to_raw_value(&tool).expect("JSON")];
        let mut dislikes = ModelQuirks::default();
        let refusal = "JSON schema conversion failed:\nPattern must start with '^' and end with '$'";
        assert!(learn(&mut dislikes, refusal, &tools));
        assert!(!learn(&mut dislikes, refusal, &tools));
        let told: Value = serde_json::from_str(dislikes.tools(&tools)[0].get()).expect("JSON");
        let properties = &told["function"]["parameters"]["properties"];
        assert_eq!(
            properties["pattern"],
            json!({"type": "string", "description": "What. Matches the regular expression \\S"})
        );
        assert_eq!(properties["b"], json!({"description": "Matches the regular expression ^a$"}));
        assert!(!learn(&mut ModelQuirks::default(), refusal, &[]), "there is none");
    }

    #[test]
    fn options_of_a_stream_are_left_out_and_what_is_learnt_has_an_end() {
        let mut dislikes = ModelQuirks::default();
        assert!(
            learn(&mut dislikes, "Unknown parameter: 'stream_options'", &[]) && dislikes.stream_options()
        );
        let learnt = Learnt::default();
        for n in 0..3 * MAX_MODELS {
            learnt.keep(&format!("m{n}"), dislikes.clone());
        }
        learnt.keep(&"x".repeat(MAX_MODEL_NAME + 1), dislikes.clone());
        let kept = learnt.0.lock().expect("not poisoned").len();
        assert!(kept <= MAX_MODELS, "{kept}");
        assert_eq!((learnt.of("m191"), learnt.of("gone")), (dislikes, ModelQuirks::default()));
    }

    proptest::proptest! {
        #[test]
        fn no_refusal_is_learnt_from_for_ever(refusals in proptest::collection::vec(
            "(content|null|empty|reasoning|audio|system|not support|extra|stream_options|pattern| ){1,6}", 40)) {
            let mut dislikes = ModelQuirks::default();
            let learnt = refusals.iter().filter(|refusal| learn(&mut dislikes, refusal, &[])).count();
            proptest::prop_assert!(learnt <= 9, "{}", learnt);
        }
    }
}
