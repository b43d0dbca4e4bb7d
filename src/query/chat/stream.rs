//! Streamed turn: builds a message out of the pieces in its events. Pure.

use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::calls::{merge_call, without_numbers};
use super::excerpt::excerpt;
use super::halves::{Joining, join_all, stood_in};
use super::pieces::{THOUGHTS, merge_content, merge_parts, text_of};
use super::refusal::EndpointError;
use super::wire::{Reply, TokenUsage, Unread, finish_reason, reply};

/// Data of the last event of a stream.
const DONE: &str = "[DONE]";

/// Builder of a message from the events of a stream.
#[derive(Debug, Default)]
pub(super) struct CompletionBuilder {
    message: Map<String, Value>,
    finish_reason: Option<String>,
    usage: Option<TokenUsage>,
    said: Joining,
    /// `true` if a half of a character has a stand-in.
    has_halves: bool,
    done: bool,
}

impl CompletionBuilder {
    /// Takes the data of an event; returns the text that the model said in it.
    pub(super) fn take(&mut self, data: &str) -> Result<Option<String>, Unread> {
        if data.trim() == DONE {
            self.done = true;
            return Ok(None);
        }
        let json = stood_in(data);
        self.has_halves |= matches!(json, std::borrow::Cow::Owned(_));
        let chunk: Value = serde_json::from_str(&json).map_err(|error| malformed(data, &error))?;
        if let Some(told) = EndpointError::inside(&chunk) {
            return Err(Unread::of(told, "it broke off with an error"));
        }
        let Value::Object(mut chunk) = chunk else {
            return Err(Unread::unusable(format!(
                "an event of it is no piece of a chat completion: {}",
                excerpt(data.as_bytes())
            )));
        };
        self.usage =
            chunk.get("usage").filter(|usage| usage.is_object()).map(TokenUsage::read).or(self.usage);
        // The request asked for one answer.
        let piece = chunk.get_mut("choices").and_then(|choices| choices.get_mut(0)).map(Value::take);
        let Some(Value::Object(mut piece)) = piece else { return Ok(None) };
        self.finish_reason = finish_reason(piece.get("finish_reason")).or(self.finish_reason.take());
        // Some send a whole message as the only piece.
        let delta = [piece.remove("delta"), piece.remove("message")].into_iter().flatten();
        let Some(Value::Object(delta)) = delta.into_iter().find(Value::is_object) else { return Ok(None) };
        let said = text_of(delta.get("content"));
        let said = if self.has_halves { self.said.next(&said) } else { said };
        merge(&mut self.message, delta);
        Ok(Some(said).filter(|said| !said.is_empty()))
    }

    /// Reports whether an event's data has not been cut off.
    pub(super) fn is_whole(data: &str) -> bool {
        data.trim() == DONE || serde_json::from_str::<IgnoredAny>(data).is_ok()
    }

    /// Reports whether the endpoint said that the stream is complete.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Returns text that no event gave, because more of it might have come.
    pub(super) fn rest(&mut self) -> String {
        self.said.rest()
    }

    /// Returns the message. `Err` if the stream ended before the message did.
    pub(super) fn finish(mut self) -> Result<Reply, Unread> {
        if !self.done && self.finish_reason.is_none() {
            return Err(Unread::unusable("it broke off in the middle".to_owned()));
        }
        if let Some(Value::Array(calls)) = self.message.get_mut("tool_calls") {
            without_numbers(calls);
        }
        if self.has_halves {
            self.message.values_mut().for_each(join_all);
        }
        Ok(reply(self.message, self.finish_reason, self.usage.unwrap_or_default()))
    }
}

fn malformed(data: &str, error: &serde_json::Error) -> Unread {
    let excerpt = excerpt(data.as_bytes());
    Unread::unusable(format!("an event of it is no piece of a chat completion ({error}): {excerpt}"))
}

/// Merges a piece into the message: texts grow, calls and parts find their place, of everything else the last
/// value counts.
fn merge(message: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, value) in delta {
        match (message.get_mut(&name), value) {
            (_, Value::Null) => {}
            (_, value) if name == "content" => {
                merge_content(message.entry(name).or_insert(Value::Null), value);
            }
            (_, Value::Array(pieces)) if name == "tool_calls" => {
                let calls = message.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(calls) = calls else { continue };
                pieces.into_iter().for_each(|piece| merge_call(calls, piece));
            }
            (_, Value::Array(pieces)) if THOUGHTS.contains(&name.as_str()) => {
                // OpenRouter numbers the pieces that belong together, LiteLLM's blocks just go on.
                let grows = name != "reasoning_details";
                let parts = message.entry(name).or_insert_with(|| Value::Array(Vec::new()));
                let Value::Array(parts) = parts else { continue };
                merge_parts(parts, pieces, grows);
            }
            (Some(Value::String(text)), Value::String(more)) if name != "role" => text.push_str(&more),
            (_, value) => drop(message.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::ModelError;
    use crate::sse::SseData;
    use proptest::prelude::*;
    use serde_json::json;

    fn chunk(delta: &Value, finish: Option<&str>) -> String {
        format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
    }

    fn parallel_calls() -> String {
        let call = |index: u64, id: Option<&str>, name: Option<&str>, arguments: &str| {
            let mut call = json!({"index": index, "function": {"arguments": arguments}});
            if let (Some(id), Some(name)) = (id, name) {
                call["id"] = id.into();
                call["function"]["name"] = name.into();
            }
            json!({"tool_calls": [call]})
        };
        [
            ": hello\r\n\r\n".to_owned(),
            chunk(&json!({"role": "assistant", "content": null}), None),
            chunk(&call(0, Some("c0"), Some("add"), ""), None),
            chunk(&call(0, None, None, "{\"a\""), None),
            chunk(&call(1, Some("c1"), Some("größe"), "{}"), None),
            chunk(&call(0, None, None, ":1}"), None),
            chunk(&json!({}), Some("tool_calls")),
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}\n\n".to_owned(),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat()
    }

    fn fold(pieces: &[&[u8]]) -> Result<(Reply, String), ModelError> {
        folded(pieces).map_err(|unread| unread.error)
    }

    fn folded(pieces: &[&[u8]]) -> Result<(Reply, String), Unread> {
        let (mut events, mut folded, mut said) =
            (SseData::default(), CompletionBuilder::default(), String::new());
        for piece in pieces {
            events.feed(piece, |data| {
                said.push_str(&folded.take(data)?.unwrap_or_default());
                Ok::<(), Unread>(())
            })?;
        }
        if let Some(rest) = events.rest().filter(|rest| CompletionBuilder::is_whole(rest)) {
            said.push_str(&folded.take(&rest)?.unwrap_or_default());
        }
        said.push_str(&folded.rest());
        Ok((folded.finish()?, said))
    }

    #[test]
    fn calls_are_put_together_by_their_index() {
        let (reply, _) = fold(&[parallel_calls().as_bytes()]).expect("complete");
        let calls: Vec<_> = reply
            .calls
            .iter()
            .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
            .collect();
        assert_eq!(calls, [("c0", "add", "{\"a\":1}"), ("c1", "größe", "{}")]);
        assert_eq!((reply.usage.total_tokens, reply.finish_reason.as_deref()), (3, Some("tool_calls")));
        assert!(reply.message["tool_calls"][0].get("index").is_none());
    }

    #[test]
    fn servers_without_indexes_and_with_names_in_each_piece_are_understood() {
        let piece = |id: &str, arguments: &str| json!({"tool_calls": [{"id": id, "function": {"name": "add", "arguments": arguments}}]});
        let text = [chunk(&piece("c0", "{"), None), chunk(&piece("", "}"), Some("tool_calls"))].concat();
        let (reply, _) = fold(&[text.as_bytes()]).expect("complete");
        assert_eq!(reply.calls.len(), 1);
        assert_eq!((reply.calls[0].name.as_str(), reply.calls[0].arguments.as_str()), ("add", "{}"));
    }

    #[test]
    fn texts_grow_and_are_told_as_they_come() {
        let text = [
            chunk(&json!({"role": "assistant", "content": "Hel"}), None),
            chunk(&json!({"content": "lo", "reasoning_content": "a"}), None),
            chunk(&json!({"reasoning_content": "b"}), Some("stop")),
        ]
        .concat();
        let (reply, said) = fold(&[text.trim_end().as_bytes()]).expect("a finish reason is enough");
        assert_eq!((reply.text.as_str(), said.as_str()), ("Hello", "Hello"));
        assert_eq!(reply.message["reasoning_content"], "ab");
    }

    #[test]
    fn pieces_that_say_nothing_are_passed_over() {
        let text = "data: {\"choices\":null,\"usage\":null}\n\n\
                    data: {\"choices\":[{\"delta\":null,\"finish_reason\":null}]}\n\n\
                    data: {\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n\
                    data: {\"choices\":[],\"usage\":{\"prompt_tokens\":null,\"total_tokens\":3}}\n\n";
        let (reply, said) = fold(&[text.as_bytes()]).expect("complete");
        assert_eq!((said.as_str(), reply.usage.total_tokens), ("x", 3));
    }

    #[test]
    fn what_breaks_off_or_is_malformed_is_an_error() {
        let begun = chunk(&json!({"content": "Hel"}), None);
        for (text, said) in [
            (begun.clone(), "broke off in the middle"),
            (String::new(), "broke off in the middle"),
            (format!("{begun}data: {{\"choices\":[{{\"delta\""), "broke off in the middle"),
            (format!("{begun}data: {{\"error\":\"overloaded\"}}"), "overloaded"),
            (format!("{begun}data: {{oops\n\n"), "no piece of a chat completion"),
            (format!("{begun}data: {{\"error\":{{\"message\":\"overloaded\"}}}}\n\n"), "overloaded"),
        ] {
            let error = fold(&[text.as_bytes()]).expect_err("broken").to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn an_error_in_an_event_has_the_status_that_it_tells() {
        for (error, status) in [
            (json!({"error": {"message": "slow down", "code": 429}}), Some(429)),
            (json!({"error": {"message": "slow down", "code": "429"}}), Some(429)),
            (json!([{"error": {"message": "slow down", "code": 503, "status": "UNAVAILABLE"}}]), Some(503)),
            (
                json!({"choices": [{"delta": {}, "finish_reason": "error", "error": {"message": "slow down", "code": 502}}]}),
                Some(502),
            ),
            (json!({"error": {"message": "slow down"}}), None),
        ] {
            let text = format!("data: {error}\n\n");
            let error = fold(&[text.as_bytes()]).expect_err("an error");
            let told = match &error {
                ModelError::Refused { status, .. } => Some(*status),
                _ => None,
            };
            assert_eq!(told, status, "{error}");
            assert!(error.to_string().contains("slow down"), "{error}");
        }
    }

    #[test]
    fn halves_of_a_character_in_two_events_are_one_and_a_half_alone_is_none() {
        let event = |delta: &str| format!("data: {{\"choices\":[{{\"delta\":{delta}}}]}}\n\n");
        let text = [
            event(r#"{"content":"hi \ud83d","reasoning_content":"\ud83d"}"#),
            event(r#"{"content":"\ude00!","reasoning_content":"\ude00"}"#),
            event(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"x","arguments":"{\"t\":\"\ud83d"}}]}"#),
            event(r#"{"tool_calls":[{"index":0,"function":{"arguments":"\ude00\"}"}}]}"#),
            event(r#"{"content":" \ud83d"}"#),
            "data: [DONE]\n\n".to_owned(),
        ]
        .concat();
        let (reply, said) = fold(&[text.as_bytes()]).expect("complete");
        assert_eq!(
            (reply.text.as_str(), said.as_str()),
            ("hi \u{1f600}! \u{fffd}", "hi \u{1f600}! \u{fffd}")
        );
        assert_eq!(reply.message["reasoning_content"], "\u{1f600}");
        assert_eq!(reply.calls[0].arguments, "{\"t\":\"\u{1f600}\"}");
    }

    #[test]
    fn parts_are_told_and_go_back_as_they_came() {
        let thought = |text: &str| json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": text}]}]});
        let text = [
            chunk(&json!({"role": "assistant", "content": ""}), None),
            chunk(&thought("I "), None),
            chunk(&thought("think"), None),
            chunk(&json!({"content": [{"type": "text", "text": "Hel"}]}), None),
            chunk(&json!({"content": "lo"}), Some("stop")),
        ]
        .concat();
        let (reply, said) = fold(&[text.as_bytes()]).expect("complete");
        assert_eq!((reply.text.as_str(), said.as_str()), ("Hello", "Hello"));
        assert_eq!(
            reply.message["content"],
            json!([{"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]}, {"type": "text", "text": "Hello"}])
        );
    }

    #[test]
    fn an_index_out_of_this_world_costs_no_memory() {
        let text =
            chunk(&json!({"tool_calls": [{"index": u64::MAX, "function": {"name": "x"}}]}), Some("stop"));
        assert_eq!(fold(&[text.as_bytes()]).expect("complete").0.calls.len(), 1);
    }

    proptest! {
        #[test]
        fn however_the_bytes_are_cut_the_message_is_the_same(cuts in prop::collection::vec(0usize..700, 0..12)) {
            let text = parallel_calls();
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(fold(&pieces).expect("complete"), fold(&[bytes]).expect("complete"));
        }

        #[test]
        fn no_bytes_are_too_strange(bytes: Vec<u8>) {
            let _ = fold(&[&bytes[..]]);
        }
    }
}
