//! A streamed turn: a message out of the pieces in its events. Pure.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::calls::{merge_call, without_numbers};
use super::wire::{Reply, TokenUsage, excerpt, reply};
use crate::query::ModelError;

/// The last event of a stream.
const DONE: &str = "[DONE]";

/// Puts a message together.
#[derive(Debug, Default)]
pub(super) struct Folded {
    message: Map<String, Value>,
    finish_reason: Option<String>,
    usage: Option<TokenUsage>,
    done: bool,
}

#[derive(Deserialize)]
struct Chunk {
    choices: Option<Vec<Piece>>,
    usage: Option<Value>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Piece {
    delta: Option<Map<String, Value>>,
    finish_reason: Option<String>,
}

impl Folded {
    /// Takes the data of an event; gives what the model said in it.
    pub(super) fn take(&mut self, data: &str) -> Result<Option<String>, ModelError> {
        if data.trim() == DONE {
            self.done = true;
            return Ok(None);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(|error| ModelError::Unusable {
            reason: format!(
                "an event of it is no piece of a chat completion ({error}): {}",
                excerpt(data.as_bytes())
            ),
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let said = error["message"].as_str().or(error.as_str()).unwrap_or("an error without words");
            return Err(ModelError::Unusable { reason: format!("it broke off with an error: {said}") });
        }
        self.usage = chunk.usage.as_ref().map(TokenUsage::read).or(self.usage);
        // One answer was asked for.
        let Some(piece) = chunk.choices.into_iter().flatten().next() else { return Ok(None) };
        self.finish_reason = piece.finish_reason.or(self.finish_reason.take());
        let delta = piece.delta.unwrap_or_default();
        let said = delta.get("content").and_then(Value::as_str).filter(|text| !text.is_empty());
        let said = said.map(str::to_owned);
        merge(&mut self.message, delta);
        Ok(said)
    }

    /// Whether an event's data has not been cut off.
    pub(super) fn is_whole(data: &str) -> bool {
        data.trim() == DONE || serde_json::from_str::<IgnoredAny>(data).is_ok()
    }

    /// Whether the endpoint said that this was all.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The message. Refused when the stream ended before the message did.
    pub(super) fn finish(mut self) -> Result<Reply, ModelError> {
        if !self.done && self.finish_reason.is_none() {
            return Err(ModelError::Unusable { reason: "it broke off in the middle".to_owned() });
        }
        if let Some(Value::Array(calls)) = self.message.get_mut("tool_calls") {
            without_numbers(calls);
        }
        Ok(reply(self.message, self.finish_reason, self.usage.unwrap_or_default()))
    }
}

/// Puts a piece to what there is: texts grow, calls find their place, everything else is as it was said
/// last.
fn merge(message: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, value) in delta {
        match (message.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::Array(calls)), Value::Array(pieces)) if name == "tool_calls" => {
                pieces.into_iter().for_each(|piece| merge_call(calls, piece));
            }
            (None, Value::Array(pieces)) if name == "tool_calls" => {
                let mut calls = Vec::new();
                pieces.into_iter().for_each(|piece| merge_call(&mut calls, piece));
                message.insert(name, Value::Array(calls));
            }
            (Some(Value::String(text)), Value::String(more)) if name != "role" => text.push_str(&more),
            (_, value) => drop(message.insert(name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::sse::SseData;
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
        let (mut events, mut folded, mut said) = (SseData::default(), Folded::default(), String::new());
        for piece in pieces {
            events.feed(piece, |data| {
                said.push_str(&folded.take(data)?.unwrap_or_default());
                Ok::<(), ModelError>(())
            })?;
        }
        if let Some(rest) = events.rest().filter(|rest| Folded::is_whole(rest)) {
            said.push_str(&folded.take(&rest)?.unwrap_or_default());
        }
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
