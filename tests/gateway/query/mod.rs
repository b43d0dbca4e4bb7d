//! `POST /api/query` against a scripted model (`docs/http-api.md`, M6): each case with its exact answer.

mod accounting;
mod answers;
mod endpoints;
mod faults;
mod keys;
mod leaving;
mod oddities;
mod snippets;
mod streaming;
mod texts;
mod tools;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::canaries::Kind;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::llm::Llm;

const QUERY: &str = "/api/query";
/// The model's key is a secret that no test lets out, wherever it is looked for.
pub(crate) const KEY: &str = "Kanari-Unnamed-b7c1e0f4d2";

/// A daemon with one server, `fake`, that asks this model; `llm` are further lines of `[llm]`.
fn daemon(model: &Llm, llm: &str) -> TestGateway {
    assert_eq!(KEY, Kind::Unnamed.value());
    TestGateway::new()
        .server("fake", fake(&[]))
        .config_toml(&format!("[llm]\n{llm}\n"))
        .variable("OPENAI_API_KEY", KEY)
        .variable("OPENAI_BASE_URL", &model.url())
}

/// A question to `fake`.
fn question() -> Value {
    json!({"server": "fake", "query": "What is there?"})
}

/// The same with further members.
fn question_with(members: Value) -> Value {
    let mut question = question();
    let (Value::Object(all), Value::Object(more)) = (&mut question, members) else { panic!("objects") };
    all.extend(more);
    question
}

async fn query(gateway: &Gateway, body: &Value) -> Reply {
    ask(gateway, "POST", QUERY).json(body.to_string()).send().await
}

/// A success of so many turns, without steps.
fn answered(text: &str, turns: u64) -> Value {
    json!({
        "status": "success", "result": text, "finish_reason": "stop", "model": "gpt-3.5-turbo",
        "turns": turns, "usage": tokens(turns),
    })
}

/// What the scripted model says that so many turns took.
fn tokens(turns: u64) -> Value {
    json!({"prompt_tokens": 10 * turns, "completion_tokens": 5 * turns, "total_tokens": 15 * turns})
}

/// The events of a streamed answer: names and data, words that follow each other put together, for how
/// they are cut is the network's business, and no durations.
async fn stream(gateway: &Gateway, body: &Value) -> Vec<(String, Value)> {
    let reply = streamed(gateway, body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    assert_eq!(reply.headers["cache-control"], "no-store, no-transform");
    assert_eq!(reply.headers["x-accel-buffering"], "no");
    assert!(reply.headers.contains_key("x-request-id"));
    events(&reply.text())
}

async fn streamed(gateway: &Gateway, body: &Value) -> Reply {
    let mut body = body.clone();
    body["stream"] = true.into();
    let headers = [("content-type", "application/json")];
    let mut connection = gateway.connect().await;
    let reply = connection.send_bytes("POST", QUERY, &headers, Bytes::from(body.to_string())).await;
    reply.expect("an answer")
}

fn events(text: &str) -> Vec<(String, Value)> {
    let mut events: Vec<(String, Value)> = Vec::new();
    assert!(text.ends_with("\n\n"), "{text}");
    for event in text.trim_end().split("\n\n").filter(|event| *event != ":") {
        let (name, data) = event.split_once('\n').expect("a name and data");
        let name = name.strip_prefix("event: ").expect("a name");
        let mut data: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect("data are JSON");
        assert_eq!(data["type"], name);
        let members = data.as_object_mut().expect("an object");
        members.remove("type");
        if name == "tool_result" {
            assert!(members.remove("duration_ms").expect("how long it took").is_u64());
        }
        match events.last_mut() {
            Some((last, said)) if name == "token" && last == "token" => {
                let text = format!(
                    "{}{}",
                    said["text"].as_str().expect("text"),
                    data["text"].as_str().expect("text")
                );
                said["text"] = text.into();
            }
            _ => events.push((name.to_owned(), data)),
        }
    }
    events
}

/// Takes the durations out of the steps, after a look at them.
fn without_durations(mut answer: Value) -> Value {
    for step in answer["steps"].as_array_mut().into_iter().flatten() {
        let took = step.as_object_mut().expect("an object").remove("duration_ms");
        assert!(took.expect("how long it took").is_u64());
    }
    answer
}

/// What a refusal of a request like this one is followed by: the tools may be why.
fn narrowing(body: &Value) -> String {
    let count = body["tools"].as_array().map_or(0, Vec::len);
    assert!(count > 1, "{body}");
    format!(" (it was told of {count} tools; `tools` in the question names fewer)")
}

/// The names of the tools that were offered.
fn offered(body: &Value) -> Vec<&str> {
    let tools = body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    tools.iter().map(|tool| tool["function"]["name"].as_str().expect("a name")).collect()
}
