//! The tools of conversation: a server that asks its client in the middle of a call, tells how far it is, and
//! announces what changes. In the legacy era it asks by requests of its own, in the modern one by `input_required`.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::call::{Call, content};
use crate::server::{Question, Server};
use crate::wire::{self, Refusal};

/// Beginning of a result that is no answer yet.
pub(crate) const ASKING: &str = r#"{"resultType":"input_required""#;
/// Severities of log messages, the least first.
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

impl Server {
    /// Asks its client round by round.
    pub(crate) fn interview(
        &mut self,
        call: &Call<'_>,
        batch: &mut Vec<u8>,
    ) -> Result<Option<String>, Refusal> {
        let mut rounds = rounds(&call.arguments());
        if call.modern {
            return interview_again(call, &rounds).map(Some);
        }
        let first = rounds.pop_front().unwrap_or_default();
        if first.is_empty() {
            return Ok(Some(content(&json!({"rounds": []}))));
        }
        let ask = self.begin_to_ask(call, Some(rounds));
        self.question(ask, &first, batch);
        Ok(None)
    }

    /// Tells how far it is and what it does, and waits for a file.
    pub(crate) fn report(&self, call: &Call<'_>, arguments: &Value, batch: &mut Vec<u8>) {
        if let Some(token) = call.token {
            let params = format!(r#"{{"progressToken":{token},"progress":1,"total":2}}"#);
            self.output.frame(batch, &wire::notification("notifications/progress", &params));
        }
        let level = arguments["level"].as_str().unwrap_or("info");
        let rank = |level: &str| LEVELS.iter().position(|known| *known == level);
        // A modern client says with each request what it wants.
        if !call.modern || call.meta.log_level.as_deref().is_some_and(|least| rank(level) >= rank(least)) {
            let params = json!({"level": level, "logger": "fake", "data": arguments});
            self.output.frame(batch, &wire::notification("notifications/message", &params.to_string()));
        }
        self.wait_for(call, arguments["file"].as_str().unwrap_or_default());
    }

    /// Wants an address opened each other time that it is called.
    pub(crate) fn open_first(&mut self, call: &Call<'_>) -> Result<Option<String>, Refusal> {
        self.wants_opened = !self.wants_opened;
        if self.wants_opened {
            let asked = json!({"mode": "url", "url": "https://fake.example/", "message": "open", "elicitationId": "e"});
            let data = Some(json!({"elicitations": [asked]}));
            return Err(Refusal { data, ..Refusal::new(-32042, "open it first") });
        }
        let params = call.arguments();
        Ok(Some(content(&json!({"opened": true, "arguments": params}))))
    }

    /// Tells of a change, logs something afterwards, or tells what is to be told of.
    pub(crate) fn announce(&self, tool: &str, arguments: &Value, batch: &mut Vec<u8>) -> String {
        match tool {
            "touch" => self.feed.updated(arguments["uri"].as_str().unwrap_or_default(), &self.output, batch),
            "change" => {
                self.feed.changed(arguments["list"].as_str().unwrap_or_default(), &self.output, batch)
            }
            "murmur" => {
                let params = json!({"level": arguments["level"], "data": arguments["data"]});
                let (output, said) =
                    (self.output.clone(), wire::notification("notifications/message", &params.to_string()));
                // Once the answer has gone, also on a busy machine, when it is about no request any more.
                self.timer.after(Duration::from_millis(200), move |batch| output.frame(batch, &said));
            }
            _ => {}
        }
        content(&self.feed.report())
    }
}

/// The questions of each round. A list of rounds is one of lists of `{method, params}`.
fn rounds(arguments: &Value) -> VecDeque<Vec<Question>> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let question = |(number, asked): (usize, &Value)| {
        let method = asked["method"].as_str().unwrap_or_default().to_owned();
        (format!("q{number}"), method, asked["params"].clone())
    };
    let round = |round: &Value| list(round).iter().enumerate().map(question).collect();
    list(&arguments["rounds"]).iter().map(round).collect()
}

/// The answer of a modern interview: the report, or the questions of the next round with what was answered before.
fn interview_again(call: &Call<'_>, rounds: &VecDeque<Vec<Question>>) -> Result<String, Refusal> {
    let raw = call.params.request_state.as_deref();
    let before: Option<Value> = raw.map(|state| serde_json::from_str(state).unwrap_or_default());
    let mut answered = match before {
        None => Vec::new(),
        Some(Value::Array(answered)) => answered,
        Some(_) => return Err(Refusal::new(-32602, "this state is not one of mine")),
    };
    let responses = call.params.input_responses.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let responses: Map<String, Value> = responses.unwrap_or_default();
    if let Some(asked) = rounds.get(answered.len())
        && raw.is_some()
        && asked.iter().all(|(name, ..)| responses.contains_key(name))
    {
        let given = asked.iter().map(|(name, ..)| (name.clone(), json!({"result": responses[name]})));
        answered.push(Value::Object(given.collect()));
    }
    let Some(next) = rounds.get(answered.len()) else {
        return Ok(content(&json!({"rounds": answered})));
    };
    let capabilities = call.meta.client_capabilities.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let capabilities: Value = capabilities.unwrap_or_default();
    let mut requests = Map::new();
    for (name, method, params) in next {
        let needed = method.split('/').next().unwrap_or_default();
        if !capabilities[needed].is_object() {
            let data = Some(json!({"requiredCapabilities": {needed: {}}}));
            let message = format!("the client has not declared {needed}");
            return Err(Refusal { code: -32021, message, data });
        }
        requests.insert(name.clone(), json!({"method": method, "params": params}));
    }
    let state = Value::Array(answered).to_string();
    let (requests, state) = (Value::Object(requests), wire::quoted(&state));
    Ok(format!(r#"{ASKING},"inputRequests":{requests},"requestState":{state}}}"#))
}
