//! What endpoints and tools say in other places and shapes than expected: errors inside a success, events
//! nobody asked for, tools that are refused, results without a text.

use serde_json::{Value, json};

use super::{daemon, narrowing, offered, query, question, stream, streamed};
use crate::support::gateway::fake;
use crate::support::llm::{Llm, Turn};

/// OpenRouter's errors come inside a 200, Google's in a list, some with their status as a text.
#[tokio::test]
async fn an_error_inside_a_success_is_told_and_tried_again_like_any_other() {
    let busy = |code: Value| json!({"error": {"message": "Slow down", "code": code}}).to_string();
    let event = |code: Value| format!("data: {}\n\n", busy(code));
    for streams in [false, true] {
        let model = Llm::in_turn([
            Turn::raw("application/json", &busy(json!(429))),
            Turn::raw("text/event-stream", &event(json!("503"))),
            Turn::say("At last."),
            Turn::raw("application/json", &format!("[{}]", busy(json!(400)))),
        ])
        .await;
        let gateway = daemon(&model, "").start().await;
        let ask = async || match streams {
            false => query(&gateway, &question()).await,
            true => streamed(&gateway, &question()).await,
        };
        let answer = ask().await;
        assert!(answer.status == 200 && answer.text().contains("At last."), "{}", answer.text());
        let refused = ask().await.expect(500);
        let hint = narrowing(&model.asked()[0].body);
        let said = format!("The model's endpoint answered 400: Slow down{hint}");
        assert_eq!(refused, json!({"error": said, "code": "llm_error"}));
        assert_eq!(model.asked().len(), 4);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_answer_whose_beginning_was_heard_is_not_tried_again_for_an_error() {
    let text = "data: {\"choices\":[{\"delta\":{\"content\":\"So \"}}]}\n\ndata: {\"error\":{\"message\":\"Slow down\",\"code\":429}}\n\n";
    let model = Llm::in_turn([Turn::raw("text/event-stream", text), Turn::say("Never asked.")]).await;
    let gateway = daemon(&model, "").start().await;
    let events = stream(&gateway, &question()).await;
    let error = json!({"error": "The model's endpoint answered 429: Slow down", "code": "llm_error"});
    assert_eq!(events, [("token".to_owned(), json!({"text": "So "})), ("error".to_owned(), error)]);
    assert_eq!(model.asked().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn events_that_nobody_has_asked_for_are_an_answer_and_silence_is_none() {
    let event = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"},\"finish_reason\":\"stop\"}]}\n\n";
    let model = Llm::in_turn([
        Turn::raw("Text/Event-Stream; charset=utf-8", event),
        Turn::raw("text/plain", event),
        Turn::message(json!({"content": "", "reasoning_content": "only thoughts"}), "stop"),
        Turn::message(json!({"content": null}), "stop"),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    for _ in 0..2 {
        assert_eq!(query(&gateway, &question()).await.expect(200)["result"], "hello");
    }
    for said in ["it has thoughts in it and says nothing", "it says nothing (finish_reason stop)"] {
        let error = format!("The model's endpoint sent an unusable answer: {said}");
        assert_eq!(
            query(&gateway, &question()).await.expect(500),
            json!({"error": error, "code": "llm_error"})
        );
    }
    gateway.stop().await;
}

/// A refused tool costs that tool, also where the endpoint counts instead of naming; and not without end.
#[tokio::test]
async fn tools_that_are_refused_are_left_out_one_after_the_other_and_said() {
    let model = Llm::by(|asked| {
        let names = offered(&asked.body);
        let place = |name: &str| names.iter().position(|known| *known == name);
        match (place("pid"), place("echo")) {
            (Some(_), _) => Turn::failure(400, "Invalid schema for function 'pid': no"),
            (_, Some(at)) => Turn::failure(400, &format!("tools[{at}].function.parameters: no")),
            _ => Turn::say("Without them."),
        }
    })
    .await;
    let gateway = daemon(&model, "").start().await;
    let left_out = json!([
        {"server": "fake", "tool": "pid", "reason": "Invalid schema for function 'pid': no"},
        {"server": "fake", "tool": "echo", "reason": "tools[0].function.parameters: no"},
    ]);
    let answer = query(&gateway, &question()).await.expect(200);
    assert_eq!(
        (&answer["result"], answer["left_out"].as_array().map(Vec::len)),
        (&json!("Without them."), Some(2))
    );
    assert_eq!(answer["left_out"][0], left_out[0]);
    assert_eq!((&answer["left_out"][1]["tool"], &answer["turns"]), (&json!("echo"), &json!(1)));
    let asked = model.asked();
    assert_eq!(asked.len(), 3);
    let system = asked[2].body["messages"][0]["content"].as_str().expect("a text");
    assert!(
        !system.contains("- pid:") && !system.contains("- echo:") && system.contains("- stats:"),
        "{system}"
    );
    gateway.stop().await;

    let model = Llm::by(|asked| {
        Turn::failure(400, &format!("Invalid schema for function '{}': no", offered(&asked.body)[0]))
    })
    .await;
    let gateway = daemon(&model, "").server("many", fake(&["--tools", "40"])).start().await;
    let refused = query(&gateway, &json!({"server": "many", "query": "?"})).await.expect(500);
    assert!(
        refused["error"].as_str().is_some_and(|error| error.contains("`tools` in the question")),
        "{refused}"
    );
    assert_eq!(model.asked().len(), 17, "16 tools are left out and no more");
    gateway.stop().await;
}

/// As llama.cpp does, which names the place in a schema and no tool.
#[tokio::test]
async fn a_tool_that_a_refusal_does_not_name_is_found_and_not_tried_again() {
    let model = Llm::by(|asked| match offered(&asked.body).contains(&"pid") {
        true => Turn::failure(400, "JSON schema conversion failed: Unrecognized schema (request 0c7f3a9e51)"),
        false => Turn::say("Without it."),
    })
    .await;
    let gateway = daemon(&model, "").start().await;
    let question = json!({"server": "fake", "query": "?", "tools": ["echo", "pid", "stats"]});
    for asked in [3, 4] {
        let answer = query(&gateway, &question).await.expect(200);
        let reason = "JSON schema conversion failed: Unrecognized schema (request 0c7f3a9e51)";
        assert_eq!(answer["left_out"], json!([{"server": "fake", "tool": "pid", "reason": reason}]));
        assert_eq!(model.asked().len(), asked, "two refusals, an answer; then an answer at once");
    }
    let asked = model.asked();
    assert_eq!(offered(&asked[3].body), ["echo", "stats"]);
    gateway.stop().await;
}

#[tokio::test]
async fn tools_for_an_app_only_are_told_to_no_model_and_can_be_called() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("tools.json");
    let schema = json!({"type": "object"});
    let tools = json!([
        {"name": "see", "inputSchema": schema, "_meta": {"ui": {"visibility": ["model", "app"]}}},
        {"name": "press", "inputSchema": schema, "_meta": {"ui": {"resourceUri": "ui://a", "visibility": ["app"]}}},
    ]);
    std::fs::write(&path, tools.to_string()).expect("written");
    let model = Llm::in_turn([Turn::call(&[("press", r#"{"text":"x"}"#)]), Turn::say("No.")]).await;
    let server = fake(&["--tools-file", path.to_str().expect("UTF-8")]);
    let gateway = daemon(&model, "").server("app", server).start().await;
    let question = json!({"server": "app", "query": "?", "tools": ["see", "press"]});
    let refused = query(&gateway, &question).await.expect(400);
    assert_eq!(refused["error"], "tools: 'press' is for an app only, no model is told of it");
    query(&gateway, &json!({"server": "app", "query": "?"})).await.expect(200);
    let asked = model.asked();
    assert!(!offered(&asked[0].body).contains(&"press") && offered(&asked[0].body).contains(&"see"));
    assert!(asked[1].results()[0].starts_with("Error: there is no tool 'press'"));
    let listed = gateway.get("/api/servers/app/tools").await.expect(200);
    let names: Vec<&Value> =
        listed["tools"].as_array().expect("a list").iter().map(|tool| &tool["name"]).collect();
    assert!(names.contains(&&json!("see")) && !names.contains(&&json!("press")), "{listed}");
    let shown = gateway.server("app").await["tools"].clone();
    let press = shown.as_array().expect("a list").iter().find(|tool| tool["name"] == "press").expect("shown");
    assert_eq!(press["_meta"], tools[1]["_meta"]);
    let called = gateway.v1_invoke("app", "press", json!({"text": "here"})).await.expect(200);
    assert_eq!(called["data"]["content"][0]["text"], "here");
    gateway.stop().await;
}

#[tokio::test]
async fn structured_content_reaches_the_model_and_the_caller_also_with_an_error() {
    let only = json!({"content": [], "structuredContent": {"code": "NEEDS_HUMAN"}, "isError": true});
    let beside =
        json!({"content": [{"type": "text", "text": "2 rows"}], "structuredContent": {"rows": ["r1", "r2"]}});
    let reply = |result: &Value| json!({"result": result}).to_string();
    let model = Llm::in_turn([
        Turn::call(&[
            ("reply", &reply(&only)),
            ("reply", &reply(&beside)),
            ("reply", &reply(&json!({"content": []}))),
        ]),
        Turn::say("Seen."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    query(&gateway, &question()).await.expect(200);
    let told = model.asked()[1].results().iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        told,
        ["Error: {\"code\":\"NEEDS_HUMAN\"}", "2 rows\n{\"rows\":[\"r1\",\"r2\"]}", "[nothing was returned]"]
    );
    let failed = gateway.v1_invoke("fake", "reply", json!({"result": only})).await.expect(422);
    let details = &failed["error"]["details"];
    assert_eq!(details["structured_content"], only["structuredContent"]);
    assert_eq!(
        (&details["mcp_error"], &details["content"]),
        (&json!("{\"code\":\"NEEDS_HUMAN\"}"), &json!([]))
    );
    let nothing = json!({"content": [{"type": "text", "text": "null"}], "structuredContent": null});
    let answer = gateway.v1_invoke("fake", "reply", json!({"result": nothing})).await.expect(200);
    assert_eq!(answer["data"].get("result"), Some(&Value::Null));
    gateway.stop().await;
}
