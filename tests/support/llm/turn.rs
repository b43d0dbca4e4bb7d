//! What a model answers, in the form in which OpenAI's API sends it: whole, or in the pieces of a stream
//! where that was asked for.

use serde_json::{Map, Value, json};
use tokio::sync::{AcquireError, SemaphorePermit};

use super::Asked;

/// The tokens that every turn is said to have taken.
const USAGE: [u64; 3] = [10, 5, 15];

/// A piece of an answer on the wire.
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// What follows is kept back until the test lets it go.
    Hold,
    Close,
}

/// One answer.
#[derive(Debug, Clone)]
pub(crate) struct Turn {
    kind: Kind,
    is_held: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Message {
        message: Map<String, Value>,
        finish: &'static str,
    },
    Failure {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: String,
    },
    Raw {
        content_type: &'static str,
        body: String,
        broken_off: bool,
    },
    /// The first words, and the rest when it is let go.
    InTheMiddle {
        text: String,
    },
}

impl Turn {
    fn of(kind: Kind) -> Turn {
        Turn { kind, is_held: false }
    }

    /// A message as it is, with the reason why it ended.
    pub(crate) fn message(message: Value, finish: &'static str) -> Turn {
        let Value::Object(message) = message else { panic!("a message is an object") };
        Turn::of(Kind::Message { message, finish })
    }

    /// A text, and no more.
    pub(crate) fn say(text: &str) -> Turn {
        Turn::message(json!({"content": text}), "stop")
    }

    /// Calls of tools, each a name and arguments as the model wrote them.
    pub(crate) fn call(calls: &[(&str, &str)]) -> Turn {
        Turn::message(json!({"content": null, "tool_calls": tool_calls(calls)}), "tool_calls")
    }

    /// A call of one tool.
    pub(crate) fn call_one(tool: &str, arguments: &Value) -> Turn {
        Turn::call(&[(tool, &arguments.to_string())])
    }

    /// An error, as OpenAI words them.
    pub(crate) fn failure(status: u16, message: &str) -> Turn {
        let error = json!({"message": message, "type": "error", "param": null, "code": null});
        Turn::failure_with(status, &[], &json!({"error": error}).to_string())
    }

    /// An error with headers and a body as it is.
    pub(crate) fn failure_with(status: u16, headers: &[(&'static str, &str)], body: &str) -> Turn {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Turn::of(Kind::Failure { status, headers, body: body.to_owned() })
    }

    /// 200 with something of another kind.
    pub(crate) fn raw(content_type: &'static str, body: &str) -> Turn {
        Turn::of(Kind::Raw { content_type, body: body.to_owned(), broken_off: false })
    }

    /// The same, and the connection ends before what was promised has come.
    pub(crate) fn broken_off(content_type: &'static str, body: &str) -> Turn {
        Turn::of(Kind::Raw { content_type, body: body.to_owned(), broken_off: true })
    }

    /// A text of which the first word comes at once when it is streamed, and the rest when it is let go.
    pub(crate) fn say_in_the_middle(text: &str) -> Turn {
        Turn::of(Kind::InTheMiddle { text: text.to_owned() })
    }

    /// What comes when the script has no more.
    pub(super) fn over() -> Turn {
        Turn::failure(400, "the script is over")
    }

    /// The same, kept back until the test lets it go.
    pub(crate) fn held(mut self) -> Turn {
        self.is_held = true;
        self
    }

    pub(super) fn parts(self, asked: &Asked) -> Vec<Part> {
        let mut parts = Vec::new();
        if self.is_held {
            parts.push(Part::Hold);
        }
        let is_stream = asked.body["stream"] == true;
        match self.kind {
            Kind::Message { message, finish } if is_stream => {
                parts.extend(streamed(asked, &message, finish, false));
            }
            Kind::InTheMiddle { text } if is_stream => {
                let message = Map::from_iter([("content".to_owned(), text.into())]);
                parts.extend(streamed(asked, &message, "stop", true));
            }
            Kind::Message { message, finish } => {
                parts.push(whole(200, &[], "application/json", &completion(asked, message, finish)));
            }
            Kind::InTheMiddle { text } => {
                let message = Map::from_iter([("content".to_owned(), text.into())]);
                let answer = completion(asked, message, "stop");
                parts.extend([Part::Hold, whole(200, &[], "application/json", &answer)]);
            }
            Kind::Failure { status, headers, body } => {
                parts.push(whole(status, &headers, "application/json", &body));
            }
            Kind::Raw { content_type, body, broken_off: false } => {
                parts.push(whole(200, &[], content_type, &body));
            }
            Kind::Raw { content_type, body, broken_off: true } => {
                let length = body.len() + 100;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n"
                );
                parts.extend([Part::Bytes(format!("{head}\r\n{body}").into_bytes()), Part::Close]);
            }
        }
        parts
    }
}

/// Calls as a message has them; their ids are `call_0`, `call_1` and so on.
fn tool_calls(calls: &[(&str, &str)]) -> Value {
    let call = |(at, (name, arguments)): (usize, &(&str, &str))| {
        let function = json!({"name": name, "arguments": arguments});
        json!({"id": format!("call_{at}"), "type": "function", "function": function})
    };
    calls.iter().enumerate().map(call).collect()
}

fn usage() -> Value {
    let [prompt, completion, total] = USAGE;
    json!({
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": total,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0
        }
    })
}

/// `chat.completion`.
fn completion(asked: &Asked, mut message: Map<String, Value>, finish: &str) -> String {
    message.insert("role".to_owned(), "assistant".into());
    message.entry("refusal").or_insert(Value::Null);
    message.insert("annotations".to_owned(), json!([]));
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000,
        "model": asked.body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(), "service_tier": "default", "system_fingerprint": "fp_1"
    })
    .to_string()
}

/// The events of a stream: who speaks, pieces, why it ended, what it took, and that it is over.
fn streamed(asked: &Asked, message: &Map<String, Value>, finish: &str, is_held: bool) -> Vec<Part> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": asked.body["model"], "service_tier": "default", "system_fingerprint": "fp_1",
            "choices": choices, "usage": usage,
        });
        event(&chunk.to_string())
    };
    let piece = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                transfer-encoding: chunked\r\n\r\n";
    let mut parts = vec![Part::Bytes(head.into())];
    for (number, delta) in deltas(message).into_iter().enumerate() {
        parts.push(piece(delta, Value::Null));
        // Who speaks, and the first word.
        if is_held && number == 1 {
            parts.push(Part::Hold);
        }
    }
    parts.push(piece(json!({}), finish.into()));
    if asked.body["stream_options"]["include_usage"] == true {
        parts.push(chunk(json!([]), usage()));
    }
    parts.push(event("[DONE]"));
    parts.push(Part::Bytes(b"0\r\n\r\n".to_vec()));
    parts
}

/// A message in pieces.
fn deltas(message: &Map<String, Value>) -> Vec<Value> {
    let text = message.get("content").and_then(Value::as_str);
    let first = json!({"role": "assistant", "content": text.map(|_| ""), "refusal": null});
    let mut deltas = vec![first];
    deltas.extend(text.unwrap_or_default().split_inclusive(' ').map(|word| json!({"content": word})));
    let refusal = message.get("refusal").and_then(Value::as_str).unwrap_or_default();
    deltas.extend(refusal.split_inclusive(' ').map(|word| json!({"refusal": word})));
    let calls = message.get("tool_calls").and_then(Value::as_array).into_iter().flatten();
    for (index, call) in calls.enumerate() {
        let mut begun = call.clone();
        begun["index"] = index.into();
        begun["function"]["arguments"] = "".into();
        deltas.push(json!({"tool_calls": [begun]}));
        let arguments: Vec<char> =
            call["function"]["arguments"].as_str().unwrap_or_default().chars().collect();
        deltas.extend(arguments.chunks(7).map(|piece| {
            let piece: String = piece.iter().collect();
            json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        }));
    }
    deltas
}

/// An event, as a chunk of the body.
fn event(data: &str) -> Part {
    let event = format!("data: {data}\n\n");
    Part::Bytes(format!("{:x}\r\n{event}\r\n", event.len()).into_bytes())
}

fn whole(status: u16, headers: &[(&'static str, String)], content_type: &str, body: &str) -> Part {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let length = body.len();
    Part::Bytes(
        format!("{head}content-type: {content_type}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes(),
    )
}

/// The permit is used up.
pub(super) fn after_hold(permit: Result<SemaphorePermit<'_>, AcquireError>) -> bool {
    permit.is_ok_and(|permit| {
        permit.forget();
        true
    })
}
