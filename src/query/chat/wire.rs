//! Messages of chat completions that are read and written here. Pure. A model's message goes back to it as it
//! came, also members that are not known here: some models need them. Only calls are mended: arguments that are
//! not the text of an object.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::calls::MAX_CALLS;
use super::excerpt::excerpt;
use super::pieces::{has_thoughts, settled, text_of};
use super::refusal::EndpointError;
use crate::query::ModelError;
use crate::sse::TooLong;
use crate::text::mend_surrogates;

/// Request of one turn.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::query) struct ChatRequest<'a> {
    pub(in crate::query) model: &'a str,
    pub(in crate::query) messages: &'a [Value],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(in crate::query) tools: &'a [Box<RawValue>],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::query) temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::query) stream: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::query) stream_options: Option<StreamOptions>,
}

/// Options that ask for the tokens of a streamed turn.
#[derive(Debug, Clone, Copy, Serialize)]
pub(in crate::query) struct StreamOptions {
    pub(in crate::query) include_usage: bool,
}

/// Token counts, as the endpoint reports them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TokenUsage {
    /// Tokens of the request.
    pub prompt_tokens: u64,
    /// Tokens of the model's reply.
    pub completion_tokens: u64,
    /// Sum of both, as the endpoint reports it.
    pub total_tokens: u64,
}

impl TokenUsage {
    /// Reads the counts of an endpoint. A missing or malformed number counts as 0, since it makes an answer worth
    /// no less.
    pub(super) fn read(told: &Value) -> TokenUsage {
        let number = |name: &str| told[name].as_u64().unwrap_or_default();
        TokenUsage {
            prompt_tokens: number("prompt_tokens"),
            completion_tokens: number("completion_tokens"),
            total_tokens: number("total_tokens"),
        }
    }
}

impl std::ops::AddAssign for TokenUsage {
    fn add_assign(&mut self, other: TokenUsage) {
        self.prompt_tokens = self.prompt_tokens.saturating_add(other.prompt_tokens);
        self.completion_tokens = self.completion_tokens.saturating_add(other.completion_tokens);
        self.total_tokens = self.total_tokens.saturating_add(other.total_tokens);
    }
}

/// A tool call that a model asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct ToolRequest {
    /// Id of the call; empty if the endpoint gave none.
    pub(in crate::query) id: String,
    /// Name of the tool, as the model knows it.
    pub(in crate::query) name: String,
    /// Text of an object; the model's own text if that is none and cannot be made one.
    pub(in crate::query) arguments: String,
}

/// Reply of a model in one turn.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::query) struct Reply {
    /// Whole message, for the conversation.
    pub(in crate::query) message: Value,
    /// Text for people, without thoughts.
    pub(in crate::query) text: String,
    /// Text of a refusal; `None` if the model did not refuse.
    pub(in crate::query) refusal: Option<String>,
    /// `true` if the message has thoughts in it.
    pub(in crate::query) has_thoughts: bool,
    pub(in crate::query) calls: Vec<ToolRequest>,
    /// `stop`, `length`, `tool_calls`, `content_filter`, or another word of the endpoint.
    pub(in crate::query) finish_reason: Option<String>,
    pub(in crate::query) usage: TokenUsage,
}

/// Reason why an answer that came with success cannot be used.
#[derive(Debug)]
pub(super) struct Unread {
    pub(super) error: ModelError,
    /// `true` if it stands for a refusal that another try may mend.
    pub(super) again: bool,
}

impl Unread {
    pub(super) fn unusable(reason: String) -> Unread {
        Unread { error: ModelError::Unusable { reason }, again: false }
    }

    /// Creates an error that came inside an answer, which is a refusal if it has a status.
    pub(super) fn of(told: EndpointError, what: &str) -> Unread {
        let Some(status) = told.status else { return Unread::unusable(format!("{what}: {}", told.message)) };
        let again = is_passing(status, &told);
        Unread {
            error: ModelError::Refused { status, message: told.message, retry_after: told.wait, tools: 0 },
            again,
        }
    }
}

impl From<TooLong> for Unread {
    fn from(error: TooLong) -> Unread {
        Unread { error: error.into(), again: false }
    }
}

/// Reports whether another try may succeed after a refusal with this status.
pub(super) fn is_passing(status: u16, told: &EndpointError) -> bool {
    told.is_of_the_model() || (matches!(status, 408 | 409 | 429 | 500..) && !told.is_used_up())
}

/// Reads the answer to a turn that was not streamed.
pub(super) fn read_completion(body: &[u8]) -> Result<Reply, Unread> {
    let unusable =
        |reason: &str| Unread::unusable(format!("it is no chat completion ({reason}): {}", excerpt(body)));
    let text = String::from_utf8_lossy(body);
    let answer: Value =
        serde_json::from_str(&mend_surrogates(&text)).map_err(|error| unusable(&error.to_string()))?;
    if let Some(told) = EndpointError::inside(&answer) {
        return Err(Unread::of(told, "it is an error"));
    }
    let Value::Object(mut answer) = answer else { return Err(unusable("no object")) };
    let usage =
        answer.get("usage").filter(|usage| usage.is_object()).map(TokenUsage::read).unwrap_or_default();
    let Some(Value::Array(choices)) = answer.get_mut("choices") else {
        return Err(unusable("missing field `choices`"));
    };
    if choices.is_empty() {
        return Err(Unread::unusable("it has no choice in it".to_owned()));
    }
    let mut choice = choices.swap_remove(0);
    let Value::Object(message) = choice["message"].take() else {
        return Err(unusable("missing field `message`"));
    };
    Ok(reply(message, finish_reason(choice.get("finish_reason")), usage))
}

/// Returns the reason why a model stopped; `None` if there is none.
pub(super) fn finish_reason(told: Option<&Value>) -> Option<String> {
    told.and_then(Value::as_str).filter(|reason| !reason.is_empty()).map(str::to_owned)
}

/// Builds the reply from a message.
pub(super) fn reply(
    mut message: Map<String, Value>,
    finish_reason: Option<String>,
    usage: TokenUsage,
) -> Reply {
    // Some endpoints refuse empty members when they come back.
    message.retain(|name, value| name == "content" || !says_nothing(value));
    message.insert("role".to_owned(), "assistant".into());
    let content = message.get("content");
    let has_thoughts = has_thoughts(&message);
    let text = text_of(content);
    let refusal = message.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty());
    let refusal = refusal.map(str::to_owned);
    let calls = match message.get_mut("tool_calls") {
        Some(Value::Array(calls)) => {
            calls.retain(Value::is_object);
            calls.truncate(MAX_CALLS);
            calls.iter_mut().map(read_call).collect()
        }
        _ => Vec::new(),
    };
    if calls.is_empty() {
        message.shift_remove("tool_calls");
    }
    let content = message.entry("content").or_insert(Value::Null);
    *content = settled(content.take());
    Reply { message: Value::Object(message), text, refusal, has_thoughts, calls, finish_reason, usage }
}

fn says_nothing(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// Reads a call, and adds to the message what some local servers leave out.
fn read_call(call: &mut Value) -> ToolRequest {
    let id = call["id"].as_str().unwrap_or_default().to_owned();
    let name = call["function"]["name"].as_str().unwrap_or_default().to_owned();
    let arguments = match &call["function"]["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    };
    let meant = object_text(&arguments);
    if let Value::Object(call) = call {
        call.insert("type".to_owned(), "function".into());
        let function = call.entry("function").or_insert_with(|| json!({"name": name}));
        if let Value::Object(function) = function {
            function.insert("arguments".to_owned(), meant.clone().unwrap_or_else(|| "{}".to_owned()).into());
        }
    }
    ToolRequest { id, name, arguments: meant.unwrap_or(arguments) }
}

/// Returns the object that a model meant with its text for arguments: an empty text means `{}`, and an object may
/// be in a JSON string or between fences. Endpoints that parse the conversation refuse anything else for good.
/// `None` if the text is no object.
fn object_text(written: &str) -> Option<String> {
    let whole = mend_surrogates(written);
    let text = without_fences(whole.trim());
    if text.is_empty() || text == "null" {
        return Some("{}".to_owned());
    }
    if text.starts_with('"') {
        let inner: String = serde_json::from_str(text).ok()?;
        // One string is a habit, a string in a string is an error.
        return if inner.trim_start().starts_with('"') { None } else { object_text(&inner) };
    }
    serde_json::from_str::<Map<String, Value>>(text).is_ok().then(|| text.to_owned())
}

/// Returns the text between the fences of a Markdown block of code, or the whole text if it is none.
fn without_fences(text: &str) -> &str {
    let inner = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    inner.map_or(text, |text| text.trim_start_matches(|c: char| c.is_ascii_alphanumeric()).trim())
}

/// Builds the message of a tool's answer.
pub(in crate::query) fn tool_message(id: &str, text: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "content": text})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Reply {
        read_completion(value.to_string().as_bytes()).expect("usable")
    }

    #[test]
    fn a_completion_is_read_and_goes_back_with_what_is_not_known_here() {
        let message = json!({
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "reasoning_content": "hm",
            "tool_calls": [{"id": "c1", "type": "function", "extra_content": {"s": 1},
                            "function": {"name": "add", "arguments": "{\"a\":1}"}}],
        });
        let reply = read(&json!({
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "details": {}},
        }));
        assert_eq!(
            reply.calls,
            [ToolRequest { id: "c1".into(), name: "add".into(), arguments: "{\"a\":1}".into() }]
        );
        assert_eq!((reply.text.as_str(), reply.usage.total_tokens), ("", 7));
        assert_eq!(reply.message["reasoning_content"], "hm");
        assert_eq!(reply.message["tool_calls"][0]["extra_content"]["s"], 1);
        assert!(reply.message.get("refusal").is_none() && reply.message.get("annotations").is_none());
        assert!(reply.message["content"].is_null());
    }

    #[test]
    fn what_local_servers_leave_out_is_mended() {
        let reply = read(&json!({"choices": [{"message": {
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "tool_calls": [{"function": {"name": "x", "arguments": {"k": true}}}, {"function": {"name": "y"}}],
            "refusal": "",
        }}], "usage": {"prompt_tokens": 3, "completion_tokens": null, "total_tokens": -1}}));
        assert_eq!((reply.usage.prompt_tokens, reply.usage.total_tokens), (3, 0));
        assert_eq!(reply.refusal, None);
        assert_eq!(reply.text, "ab");
        assert_eq!(reply.calls[0].arguments, "{\"k\":true}");
        assert_eq!(reply.message["content"], "ab");
        assert_eq!((reply.calls[0].id.as_str(), reply.calls[1].name.as_str()), ("", "y"));
        assert_eq!(reply.message["role"], "assistant");
    }

    fn sent_back(arguments: &Value) -> (String, String) {
        let call = json!({"id": "c", "function": {"name": "x", "arguments": arguments}});
        let reply = read(&json!({"choices": [{"message": {"tool_calls": [call]}}]}));
        let back = reply.message["tool_calls"][0]["function"]["arguments"].as_str().expect("a text");
        (back.to_owned(), reply.calls[0].arguments.clone())
    }

    #[test]
    fn arguments_go_back_as_the_object_that_was_meant() {
        for (written, meant) in [
            (json!(null), "{}"),
            (json!(""), "{}"),
            (json!("  "), "{}"),
            (json!("null"), "{}"),
            (json!("\"\""), "{}"),
            (json!("\"{\\\"a\\\":1}\""), "{\"a\":1}"),
            (json!("```json\n{\"a\":1}\n```"), "{\"a\":1}"),
            (json!("```\n{}\n```"), "{}"),
            (json!(" {\"a\": 1} "), "{\"a\": 1}"),
            (json!({"a": 1}), "{\"a\":1}"),
        ] {
            assert_eq!(sent_back(&written), (meant.to_owned(), meant.to_owned()), "{written}");
        }
    }

    #[test]
    fn arguments_that_are_no_object_go_back_empty_and_are_known_as_written() {
        for written in ["[1]", "{\"a\": \"hal", "5", "{\"a\":1}{\"b\":2}", "{\"a\":NaN}", "rm -rf"] {
            assert_eq!(sent_back(&json!(written)), ("{}".to_owned(), written.to_owned()));
        }
        let reply = read(&json!({"choices": [{"message": {"tool_calls": [{"id": "c"}]}}]}));
        assert_eq!(reply.message["tool_calls"][0]["function"]["arguments"], "{}");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_model_writes_the_text_of_an_object_goes_back(written: String) {
            let (back, _) = sent_back(&json!(written));
            proptest::prop_assert!(serde_json::from_str::<Map<String, Value>>(&back).is_ok());
        }
    }

    #[test]
    fn what_is_no_completion_is_said_with_its_beginning() {
        for (body, said) in [("<html>", "<html>"), ("{}", "{}"), ("", "(nothing)")] {
            let error = read_completion(body.as_bytes()).expect_err("unusable").error.to_string();
            assert!(error.contains(said), "{error}");
        }
        assert!(read_completion(b"{\"choices\":[]}").is_err());
    }

    #[test]
    fn an_error_that_came_with_success_is_a_refusal() {
        let unread = |answer: &Value| read_completion(answer.to_string().as_bytes()).expect_err("an error");
        let busy = unread(&json!({"error": {"message": "Rate limit exceeded", "code": 429}}));
        let refused = ModelError::Refused {
            status: 429,
            message: "Rate limit exceeded".to_owned(),
            retry_after: None,
            tools: 0,
        };
        assert_eq!((busy.error, busy.again), (refused, true));
        assert!(!unread(&json!([{"error": {"message": "no", "code": 400}}])).again);
        let unknown = unread(&json!({"error": "no"}));
        assert_eq!(unknown.error, ModelError::Unusable { reason: "it is an error: no".to_owned() });
    }

    #[test]
    fn half_a_character_costs_nothing_else() {
        let body = br#"{"choices":[{"message":{"content":"hi \ud83d","tool_calls":[{"id":"c","function":{"name":"x","arguments":"{\"t\":\"\\ud83d\"}"}}]},"finish_reason":"stop"}]}"#;
        let reply = read_completion(body).expect("usable");
        assert_eq!(
            (reply.text.as_str(), reply.calls[0].arguments.as_str()),
            ("hi \u{fffd}", "{\"t\":\"\u{fffd}\"}")
        );
        let bytes = b"{\"choices\":[{\"message\":{\"content\":\"caf\xe9\"},\"finish_reason\":5}]}";
        assert_eq!(read_completion(bytes).expect("usable").text, "caf\u{fffd}");
    }

    #[test]
    fn thoughts_are_not_what_was_said() {
        let thought = json!({"type": "thinking", "thinking": "t", "text": "t", "signature": "S"});
        let message = json!({"content": [thought, {"type": "text", "text": "said"}]});
        let reply = read(&json!({"choices": [{"message": message}]}));
        assert_eq!((reply.text.as_str(), reply.has_thoughts), ("said", true));
        assert_eq!(reply.message["content"], message["content"], "as it came");
        assert!(read(&json!({"choices": [{"message": {"content": "", "reasoning": "t"}}]})).has_thoughts);
        assert!(!read(&json!({"choices": [{"message": {"content": "", "reasoning": null}}]})).has_thoughts);
    }

    #[test]
    fn there_is_an_end_to_the_calls_of_a_message() {
        let call = json!({"id": "c", "function": {"name": "x", "arguments": "{}"}});
        let reply = read(&json!({"choices": [{"message": {"tool_calls": vec![call; MAX_CALLS + 1]}}]}));
        assert_eq!(
            (reply.calls.len(), reply.message["tool_calls"].as_array().map(Vec::len)),
            (MAX_CALLS, Some(MAX_CALLS))
        );
        let odd = read(&json!({"choices": [{"message": {"content": "x", "tool_calls": ["x", null]}}]}));
        assert!(odd.calls.is_empty() && odd.message.get("tool_calls").is_none());
    }
}
