//! Eight endpoints that refuse what real ones are reported to refuse (`docs/query.md`): each answers a
//! question with two tool calls side by side, whole and streamed, with tools on offer that are odd.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{query, stream};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::llm::endpoints::{ANSWER, ENDPOINTS, Endpoint, odd_tools};
use crate::support::llm::{Asked, Llm};

async fn gateway(model: &Llm, directory: &tempfile::TempDir) -> Gateway {
    let path = directory.path().join("tools.json");
    std::fs::write(&path, odd_tools().to_string()).expect("written");
    let server = fake(&["--tools-file", path.to_str().expect("UTF-8")]);
    TestGateway::new()
        .server("odd", server)
        .config_toml("[llm]\nkey_header = \"api-key\"\n")
        .variable("OPENAI_API_KEY", super::KEY)
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await
}

/// What is expected of the answer, whole or as the last event.
fn check(name: &str, answer: &Value) {
    assert_eq!((&answer["result"], &answer["turns"]), (&json!(ANSWER), &json!(2)), "{name}: {answer}");
    let steps: Vec<_> = answer["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .map(|step| (&step["tool"], &step["result"], &step["is_error"]))
        .collect();
    let expected =
        [("say", "one"), ("tell", "two")].map(|(tool, result)| (json!(tool), json!(result), json!(false)));
    let expected: Vec<_> = expected.iter().map(|(tool, result, is_error)| (tool, result, is_error)).collect();
    assert_eq!(steps, expected, "{name}: {answer}");
    // Gemini takes no object of which nothing is known: that costs one tool.
    let left_out: Vec<&Value> =
        answer["left_out"].as_array().into_iter().flatten().map(|tool| &tool["tool"]).collect();
    let expected = json!("vague");
    assert_eq!(left_out, if name == "gemini" { vec![&expected] } else { vec![] }, "{name}: {answer}");
}

async fn answers_both_ways(endpoint: Endpoint) {
    let name = endpoint.name;
    let model = Llm::by(endpoint.script()).await;
    let directory = tempfile::tempdir().expect("a directory");
    let gateway = gateway(&model, &directory).await;
    let question = json!({"server": "odd", "query": "What is there?", "include_steps": true,
        "tools": ["say", "php", "loose", "tree", "either", "long", "vague", "tell"]});
    check(name, &query(&gateway, &question).await.expect(200));
    let asked = model.asked().len();
    let events = stream(&gateway, &question).await;
    let (last, answer) = events.last().expect("events");
    assert_eq!(last, "final", "{name}: {events:?}");
    check(name, answer);
    let again = model.asked().len() - asked;
    assert_eq!(again, 2, "{name}: what it refused, of messages and of tools, is known by now");
    gateway.stop().await;
}

#[tokio::test]
async fn each_endpoint_answers_a_question_with_two_calls_side_by_side() {
    for endpoint in ENDPOINTS {
        answers_both_ways(endpoint).await;
    }
}

/// The scripts refuse what they are there to refuse: a message and tools as nobody has mended them.
#[test]
fn each_endpoint_refuses_what_is_not_mended() {
    let tools: Vec<Value> = odd_tools().as_array().expect("a list").iter().map(|tool| {
        let function = json!({"name": tool["name"], "description": tool["description"], "parameters": tool["inputSchema"]});
        json!({"type": "function", "function": function})
    }).collect();
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "say", "arguments": "{\"text\": \"on"}});
    let message = json!({"role": "assistant", "content": null, "reasoning": "hm", "tool_calls": [call("a"), call("a")]});
    let bodies = |tools: &[Value], message: Option<&Value>| {
        let messages: Vec<Value> =
            [json!({"role": "user", "content": "?"})].into_iter().chain(message.cloned()).collect();
        Asked {
            path: String::new(),
            headers: [("api-key".to_owned(), String::new())].into(),
            body: json!({"messages": messages, "tools": tools}),
            at: Instant::now(),
        }
    };
    let (plain, say) = (bodies(&tools[..1], None), tools[0].clone());
    for endpoint in ENDPOINTS {
        let name = endpoint.name;
        assert!((endpoint.refuse)(&plain).is_none(), "{name} takes what is plain");
        let by_tools = (endpoint.refuse)(&bodies(&tools, None)).is_some();
        let by_message = (endpoint.refuse)(&bodies(std::slice::from_ref(&say), Some(&message))).is_some();
        let expected = match name {
            "azure" => (true, false),
            "vllm" | "openrouter" | "groq" => (false, true),
            _ => (true, true),
        };
        assert_eq!((by_tools, by_message), expected, "{name}");
    }
}
