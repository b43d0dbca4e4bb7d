//! `stream: true`: what happens as it happens, and what goes wrong before and after the first event.

use serde_json::{Value, json};

use super::{answered, daemon, narrowing, question, question_with, stream, streamed, tokens};
use crate::support::llm::{Llm, Turn};
use crate::support::{DEADLINE, wait_until};

fn token(text: &str) -> (String, Value) {
    ("token".to_owned(), json!({"text": text}))
}

fn event(name: &str, data: Value) -> (String, Value) {
    (name.to_owned(), data)
}

#[tokio::test]
async fn tokens_calls_and_results_are_told_and_the_answer_comes_last() {
    let talk = json!({"content": "Let me look. ", "tool_calls": [
        {"id": "call_a", "type": "function", "function": {"name": "echo", "arguments": "{\"text\": \"größer\", \"n\": [1, 2]}"}}]});
    let model = Llm::in_turn([
        Turn::message(talk, "tool_calls"),
        Turn::call(&[("fly", "{oops"), ("fail", "")]),
        Turn::say("It is größer."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let seen = stream(&gateway, &question_with(json!({"include_steps": true}))).await;
    let arguments = json!({"text": "größer", "n": [1, 2]});
    let echoed = "größer\n{\"text\": \"größer\", \"n\": [1, 2]}";
    let unknown = "Error: there is no tool 'fly'; the tools are: ";
    let told = seen[4].1["result"].as_str().expect("a text").to_owned();
    assert!(told.starts_with(unknown), "{told}");
    let mut last = answered("It is größer.", 3);
    last["steps"] = seen.last().expect("an event").1["steps"].clone();
    // An error that needs no call is told while others are begun.
    assert_eq!(
        seen,
        [
            token("Let me look. "),
            event(
                "tool_call",
                json!({"id": "call_a", "server": "fake", "tool": "echo", "arguments": arguments})
            ),
            event(
                "tool_result",
                json!({"id": "call_a", "server": "fake", "tool": "echo", "result": echoed, "is_error": false})
            ),
            event("tool_call", json!({"id": "call_0", "server": null, "tool": "fly", "arguments": "{oops"})),
            event(
                "tool_result",
                json!({"id": "call_0", "server": null, "tool": "fly", "result": told, "is_error": true})
            ),
            event("tool_call", json!({"id": "call_1", "server": "fake", "tool": "fail", "arguments": {}})),
            event(
                "tool_result",
                json!({"id": "call_1", "server": "fake", "tool": "fail", "result": "Error: it did not work", "is_error": true})
            ),
            token("It is größer."),
            event("final", last.clone()),
        ]
    );
    let steps = last["steps"].as_array().expect("steps");
    assert_eq!((steps.len(), &steps[0]["arguments"], &steps[2]["tool"]), (3, &arguments, &json!("fail")));
    let asked = model.asked();
    assert_eq!(asked[0].body["stream"], true);
    assert_eq!(asked[0].body["stream_options"], json!({"include_usage": true}));
    // Put together again, pieces are the message that was said.
    let sent = &asked[1].body["messages"][2];
    assert_eq!(sent["content"], "Let me look. ");
    assert_eq!(
        sent["tool_calls"],
        json!([{"id": "call_a", "type": "function",
            "function": {"name": "echo", "arguments": "{\"text\": \"größer\", \"n\": [1, 2]}"}}])
    );
    gateway.stop().await;
}

#[tokio::test]
async fn words_are_told_before_the_answer_is_complete() {
    let model = Llm::in_turn([Turn::say_in_the_middle("Word after word.")]).await;
    let gateway = daemon(&model, "").start().await;
    let mut raw = gateway.raw_socket().await;
    let body = question_with(json!({"stream": true})).to_string();
    let head = format!(
        "POST /api/query HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        gateway.address(),
        body.len()
    );
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    raw.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    let mut seen = Vec::new();
    let mut piece = [0; 4096];
    while !String::from_utf8_lossy(&seen).contains("Word ") {
        let length =
            tokio::time::timeout(DEADLINE, raw.read(&mut piece)).await.expect("soon").expect("readable");
        assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..length]);
    }
    assert_eq!(model.held(), 1, "the rest has not been said yet");
    model.let_go(1);
    while !String::from_utf8_lossy(&seen).contains("\"result\":\"Word after word.\"") {
        let length =
            tokio::time::timeout(DEADLINE, raw.read(&mut piece)).await.expect("soon").expect("readable");
        assert!(length > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&piece[..length]);
    }
    drop(raw);
    gateway.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_before_the_first_event_has_its_status() {
    let model = Llm::in_turn([
        Turn::failure(401, "Incorrect API key provided"),
        Turn::raw("text/event-stream", "data: {oops\n\n"),
        Turn::broken_off("text/event-stream", ""),
        Turn::raw("text/event-stream", "data: {\"error\":{\"message\":\"overloaded\"}}\n\n"),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let mut said = Vec::new();
    for _ in 0..4 {
        let reply = streamed(&gateway, &question()).await;
        assert_eq!(reply.headers["content-type"], "application/json");
        let body = reply.expect(500);
        assert_eq!(body["code"], "llm_error");
        said.push(body["error"].as_str().expect("a text").to_owned());
    }
    assert_eq!(said[0], "The model's endpoint answered 401: Incorrect API key provided");
    let unusable = "The model's endpoint sent an unusable answer: ";
    let malformed =
        "an event of it is no piece of a chat completion (key must be a string at line 1 column 2): {oops";
    assert_eq!(said[1], format!("{unusable}{malformed}"));
    assert!(said[2].starts_with(&format!("{unusable}it broke off: ")), "{}", said[2]);
    assert_eq!(said[3], format!("{unusable}it broke off with an error: overloaded"));
    let late = streamed(&gateway, &question_with(json!({"server": "nobody"}))).await;
    assert_eq!(late.expect(404), json!({"error": "Server 'nobody' not found"}));
    gateway.stop().await;
}

#[tokio::test]
async fn what_goes_wrong_after_it_is_the_last_event() {
    let begun = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"So \"},\"finish_reason\":null}]}\n\n";
    let model = Llm::in_turn([
        Turn::raw("text/event-stream", &format!("{begun}data: {{oops\n\n")),
        Turn::raw("text/event-stream", begun),
        Turn::raw("text/event-stream", &format!("{begun}data: {{\"choices\":[{{\"del")),
        Turn::broken_off("text/event-stream", begun),
        Turn::say_in_the_middle("So far."),
        Turn::call_one("echo", &json!({"text": "x"})),
        Turn::failure(400, "context_length_exceeded"),
    ])
    .await;
    let gateway = daemon(&model, "timeout = \"1s\"").start().await;
    let unusable = "The model's endpoint sent an unusable answer: ";
    let malformed =
        "an event of it is no piece of a chat completion (key must be a string at line 1 column 2): {oops";
    for reason in [malformed, "it broke off in the middle", "it broke off in the middle"] {
        let error = json!({"error": format!("{unusable}{reason}"), "code": "llm_error"});
        let seen = stream(&gateway, &question()).await;
        assert_eq!(seen, [token("So "), event("error", error)]);
    }
    let seen = stream(&gateway, &question()).await;
    assert_eq!((seen.len(), &seen[0], seen[1].0.as_str()), (2, &token("So "), "error"));
    let text = seen[1].1["error"].as_str().expect("a text");
    assert!(text.starts_with(&format!("{unusable}it broke off: ")), "{text}");
    let error = json!({"error": "The model's endpoint said nothing for 1 s", "code": "timeout"});
    assert_eq!(stream(&gateway, &question()).await, [token("So "), event("error", error)]);
    let seen = stream(&gateway, &question()).await;
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["tool_call", "tool_result", "error"]);
    let hint = narrowing(&model.asked()[0].body);
    let error = format!("The model's endpoint answered 400: context_length_exceeded{hint}");
    let error = json!({"error": error, "code": "llm_error"});
    assert_eq!(seen[2].1, error);
    assert_eq!(model.asked().len(), 7, "what somebody has heard the beginning of is not said again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_streamed_query_has_its_deadline_too_and_its_end_by_turns() {
    let model = Llm::by(|asked| match asked.results().len() {
        0 | 1 => Turn::call_one("echo", &json!({"text": "x"})),
        _ => Turn::say("Too late.").held(),
    })
    .await;
    let gateway = daemon(&model, "").start().await;
    gateway.wait_state("fake", "ready").await;
    let seen = stream(&gateway, &question_with(json!({"max_turns": 2}))).await;
    let mut last = answered("Agent stopped due to max iterations.", 2);
    last["finish_reason"] = "max_turns".into();
    last["usage"] = tokens(2);
    assert_eq!(seen.last(), Some(&event("final", last)));
    assert_eq!(seen.len(), 3, "the calls of the last turn are not made");
    let seen = stream(&gateway, &question_with(json!({"timeout": 1500}))).await;
    let error = json!({"error": "The query was not answered within 1.5 s", "code": "timeout"});
    assert_eq!(seen.last(), Some(&event("error", error)));
    wait_until("the model is left", DEADLINE, || async { (model.gone() == 1).then_some(()) }).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_in_pieces_and_an_answer_that_is_not_streamed_are_answers() {
    let completion = json!({"choices": [{"index": 0, "finish_reason": "stop",
        "message": {"role": "assistant", "content": "All at once."}}]});
    let model = Llm::in_turn([
        Turn::message(json!({"content": null, "refusal": "I will not do that."}), "stop"),
        Turn::raw("application/json", &completion.to_string()),
        Turn::failure(400, "Unknown parameter: 'stream_options'"),
        Turn::say("Uncounted."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let mut refusal = answered("I will not do that.", 1);
    refusal["finish_reason"] = "refusal".into();
    assert_eq!(stream(&gateway, &question()).await, [event("final", refusal)]);
    let nothing = json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0});
    let mut uncounted = answered("All at once.", 1);
    uncounted["usage"] = nothing.clone();
    assert_eq!(stream(&gateway, &question()).await, [event("final", uncounted)]);
    let mut uncounted = answered("Uncounted.", 1);
    uncounted["usage"] = nothing;
    assert_eq!(stream(&gateway, &question()).await, [token("Uncounted."), event("final", uncounted)]);
    assert!(model.asked()[3].body.get("stream_options").is_none());
    gateway.stop().await;
}
