//! The loop: what the model is asked, what it calls, what it is told of it, and what comes of it.

use serde_json::{Value, json};

use super::{KEY, answered, daemon, offered, query, question, question_with, tokens, without_durations};
use crate::support::llm::{Llm, Turn};

#[tokio::test]
async fn a_model_that_calls_nothing_is_asked_once() {
    let model = Llm::in_turn([Turn::say("Nothing at all.")]).await;
    let gateway = daemon(&model, "").start().await;
    let answer = query(&gateway, &question()).await.expect(200);
    assert_eq!(answer, answered("Nothing at all.", 1));

    let asked = model.asked();
    assert_eq!((asked.len(), asked[0].path.as_str()), (1, "/v1/chat/completions"));
    assert_eq!(asked[0].headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(asked[0].headers["content-type"], "application/json");
    assert!(asked[0].headers["user-agent"].starts_with("mcpvisor/"));
    let body = &asked[0].body;
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["model", "messages", "tools"], "nothing that an endpoint may not know");
    assert_eq!(body["model"], "gpt-3.5-turbo");
    let messages = body["messages"].as_array().expect("a list");
    assert_eq!(messages.len(), 2);
    let system = messages[0]["content"].as_str().expect("a text");
    assert_eq!(messages[0]["role"], "system");
    assert!(
        system.contains("\n- echo: Returns its arguments.\n- sleep: Answers after a while.\n"),
        "{system}"
    );
    assert!(
        system.contains("\n- stats: Returns what the server has seen so far.\n"),
        "the first line: {system}"
    );
    assert_eq!(messages[1], json!({"role": "user", "content": "What is there?"}));
    assert_eq!(offered(body).len(), 20);
    // As the server announces it.
    let listed = gateway.get("/api/servers/fake/tools").await.expect(200);
    let function = &body["tools"][0]["function"];
    assert_eq!(body["tools"][0]["type"], "function");
    for member in ["name", "description", "parameters"] {
        assert_eq!(function[member], listed["tools"][0][member]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_is_called_and_the_model_is_told_what_it_said() {
    let model =
        Llm::in_turn([Turn::call(&[("echo", r#"{"text": "hi", "n": 1.50}"#)]), Turn::say("It says hi.")])
            .await;
    let gateway = daemon(&model, "").start().await;
    let answer = query(&gateway, &question_with(json!({"include_steps": true}))).await.expect(200);
    let mut expected = answered("It says hi.", 2);
    let told = "hi\n{\"text\": \"hi\", \"n\": 1.50}";
    expected["steps"] = json!([{
        "server": "fake", "tool": "echo", "arguments": {"text": "hi", "n": 1.5}, "result": told, "is_error": false
    }]);
    assert_eq!(without_durations(answer), expected);
    let asked = model.asked();
    let messages = asked[1].body["messages"].as_array().expect("a list");
    let call = json!({"id": "call_0", "type": "function",
        "function": {"name": "echo", "arguments": r#"{"text": "hi", "n": 1.50}"#}});
    assert_eq!(
        messages[2..],
        [
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "call_0", "content": told})
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn two_calls_of_one_turn_run_side_by_side() {
    // Each waits for the other.
    let model = Llm::in_turn([
        Turn::call(&[("gather", r#"{"count":2}"#), ("gather", r#"{"count":2}"#)]),
        Turn::say("Both are there."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Both are there.", 2));
    let asked = model.asked();
    assert_eq!(asked[1].results(), ["gathered", "gathered"]);
    let messages = asked[1].body["messages"].as_array().expect("a list");
    assert_eq!(
        (&messages[3]["tool_call_id"], &messages[4]["tool_call_id"]),
        (&json!("call_0"), &json!("call_1"))
    );
    assert_eq!(gateway.call("fake", "stats", json!({})).await["max_in_flight"], 2);
    gateway.stop().await;
}

#[tokio::test]
async fn results_are_in_the_order_of_the_calls_whichever_ends_first() {
    let model = Llm::in_turn([
        Turn::call(&[("sleep", r#"{"ms":150}"#), ("echo", r#"{"text":"quick"}"#)]),
        Turn::say("Done."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    query(&gateway, &question()).await.expect(200);
    assert_eq!(model.asked()[1].results(), ["slept", "quick"]);
    gateway.stop().await;
}

/// What goes wrong with a call is for the model to know, and the query goes on.
#[tokio::test]
async fn what_goes_wrong_with_a_call_is_told_to_the_model() {
    let calls = [
        ("fail", r#"{"message":"the disk is full"}"#),
        ("error", r#"{"code":-32050,"message":"no such city"}"#),
        ("fly", "{}"),
        ("echo", r#"{"text": "#),
        ("echo", r#"["a"]"#),
        ("echo", ""),
        ("empty", "{}"),
    ];
    let model = Llm::in_turn([Turn::call(&calls), Turn::say("I see.")]).await;
    let gateway = daemon(&model, "").start().await;
    let asked = question_with(json!({"include_steps": true, "tools": ["fail", "error", "echo", "empty"]}));
    let answer = query(&gateway, &asked).await.expect(200);
    let asked = model.asked();
    let told = asked[1].results();
    let expected = [
        "Error: the disk is full",
        "Error: no such city",
        "Error: there is no tool 'fly'; the tools are: echo, empty, error, fail",
        "Error: the arguments are not valid JSON: EOF while parsing a value at line 1 column 8",
        "Error: the arguments must be a JSON object",
        "{}",
        "[nothing was returned]",
    ];
    assert_eq!(told, expected);
    let steps = answer["steps"].as_array().expect("steps");
    let seen: Vec<_> =
        steps.iter().map(|step| (step["result"].as_str().expect("text"), step["is_error"] == true)).collect();
    let errors = [true, true, true, true, true, false, false];
    assert_eq!(seen, expected.into_iter().zip(errors).collect::<Vec<_>>());
    assert_eq!((&steps[2]["server"], &steps[2]["tool"]), (&Value::Null, &json!("fly")));
    assert_eq!((&steps[3]["arguments"], &steps[5]["arguments"]), (&json!(r#"{"text": "#), &json!({})));
    // Endpoints that parse the conversation would refuse anything but an object for good.
    let sent = &asked[1].body["messages"][2]["tool_calls"];
    for at in 3..=5 {
        assert_eq!(sent[at]["function"]["arguments"], "{}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_that_takes_too_long_or_kills_its_server_is_an_error_like_others() {
    let model =
        Llm::in_turn([Turn::call_one("sleep", &json!({"ms": 600_000})), Turn::say("Too slow.")]).await;
    let gateway = daemon(&model, "[http]\ncall_timeout = \"300ms\"").start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Too slow.", 2));
    let told = model.asked()[1].results()[0].to_owned();
    assert!(told.starts_with("Error: ") && told.contains("300 ms"), "{told}");
    gateway.stop().await;

    let model = Llm::in_turn([
        Turn::call_one("crash", &json!({"code": 3})),
        Turn::call_one("echo", &json!({"text": "back"})),
        Turn::say("It is back."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("It is back.", 3));
    let asked = model.asked();
    assert!(asked[2].results()[0].starts_with("Error: "), "{:?}", asked[2].results());
    assert_eq!(asked[2].results()[1], "back");
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_is_an_answer_and_a_filter_that_lets_nothing_through_is_none() {
    let model = Llm::in_turn([
        Turn::message(json!({"content": null, "refusal": "I will not."}), "stop"),
        Turn::message(json!({"content": "Half of"}), "content_filter"),
        Turn::message(json!({"content": ""}), "content_filter"),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    for text in ["I will not.", "Half of"] {
        let mut expected = answered(text, 1);
        expected["finish_reason"] = "refusal".into();
        assert_eq!(query(&gateway, &question()).await.expect(200), expected);
    }
    let said = "The model's endpoint sent an unusable answer: its provider's content filter held it back";
    assert_eq!(query(&gateway, &question()).await.expect(500), json!({"error": said, "code": "llm_error"}));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_at_its_length_limit_is_marked_and_an_empty_one_is_an_error() {
    let model = Llm::in_turn([
        Turn::message(json!({"content": "There is a"}), "length"),
        Turn::message(json!({"content": ""}), "length"),
        // Cut off in the middle of a call's arguments.
        Turn::message(
            json!({"content": null, "tool_calls": [{"id": "c", "type": "function",
                "function": {"name": "echo", "arguments": "{\"te"}}]}),
            "length",
        ),
        Turn::say("Again."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let mut expected = answered("There is a", 1);
    expected["finish_reason"] = "length".into();
    assert_eq!(query(&gateway, &question()).await.expect(200), expected);
    let said = "The model's endpoint sent an unusable answer: it was cut off at its length limit before it said anything";
    assert_eq!(query(&gateway, &question()).await.expect(500), json!({"error": said, "code": "llm_error"}));
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Again.", 2));
    assert!(model.asked()[3].results()[0].starts_with("Error: the arguments are not valid JSON: EOF"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_that_never_comes_to_an_end_is_stopped_after_thirty_turns() {
    let model = Llm::by(|_| Turn::call_one("echo", &json!({"text": "x"}))).await;
    let gateway = daemon(&model, "").start().await;
    let mut expected = answered("Agent stopped due to max iterations.", 30);
    expected["finish_reason"] = "max_turns".into();
    assert_eq!(query(&gateway, &question()).await.expect(200), expected);
    assert_eq!(model.asked().len(), 30);
    // The thirtieth turn's calls would be for nobody.
    assert_eq!(gateway.call("fake", "stats", json!({})).await["executions"], 30, "29, and this one");

    // Fewer can be asked for, and not more.
    expected["turns"] = 2.into();
    expected["usage"] = tokens(2);
    assert_eq!(query(&gateway, &question_with(json!({"max_turns": 2}))).await.expect(200), expected);
    let many = query(&gateway, &question_with(json!({"max_turns": 1000}))).await.expect(200);
    assert_eq!(many["turns"], 30);
    gateway.stop().await;
}

#[tokio::test]
async fn the_model_and_its_temperature_are_passed_on_and_aliases_are_known() {
    let model = Llm::by(|_| Turn::say("Yes.")).await;
    let config = "model = \"small\"\nmodels = { \"gpt-3.5-turbo\" = \"llama3.1:8b\", \"small\" = \"qwen\" }";
    let gateway = daemon(&model, config).start().await;
    for (asked_for, answers) in
        [(json!(null), "qwen"), (json!("gpt-3.5-turbo"), "llama3.1:8b"), (json!("gpt-4o"), "gpt-4o")]
    {
        let body = question_with(json!({"model": asked_for, "temperature": 0.25}));
        assert_eq!(query(&gateway, &body).await.expect(200)["model"], answers);
        let asked = model.asked().pop().expect("asked").body;
        assert_eq!((&asked["model"], &asked["temperature"]), (&json!(answers), &json!(0.25)));
    }
    gateway.stop().await;
}
