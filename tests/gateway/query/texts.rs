//! Every row of the table in `docs/http-api.md`, M6.6, and what the further members must be.

use serde_json::{Value, json};

use super::{KEY, QUERY, answered, daemon, query, question, question_with, streamed};
use crate::support::ask::ask;
use crate::support::gateway::{TestGateway, fake};
use crate::support::llm::{Llm, Turn};

const NO_KEY: &str = "OPENAI_API_KEY environment variable not set. Please set it in your .env file or as an \
                      environment variable.";

#[tokio::test]
async fn what_cannot_be_asked_is_refused_in_the_words_of_the_reference() {
    let model = Llm::in_turn([]).await;
    let gateway = daemon(&model, "").start().await;
    let names = "must be an array of 1 to 256 names";
    let cases = [
        (json!({}), "No data provided"),
        (json!([]), "No data provided"),
        (json!(null), "No data provided"),
        (json!({"query": "q"}), "Server name is required"),
        (json!({"model": "m"}), "Server name is required"),
        (json!({"server": "", "query": ""}), "Server name is required"),
        (json!({"server": null, "query": "q"}), "Server name is required"),
        (json!({"server": "fake"}), "Query is required"),
        (json!({"server": "nobody"}), "Query is required"),
        (json!({"server": "fake", "query": ""}), "Query is required"),
        (json!({"server": "fake", "query": " \n\t"}), "Query is required"),
        (json!({"server": "fake", "query": "q", "model": ""}), "Model must be a string"),
        (json!({"server": "fake", "query": "q", "model": 4}), "Model must be a string"),
        (json!({"server": "nobody", "query": "q", "model": []}), "Model must be a string"),
        (json!({"server": ["fake"], "query": "q"}), "server must be a string"),
        (json!({"server": "fake", "query": 7}), "query must be a string"),
        (question_with(json!({"servers": []})), &format!("servers {names}")),
        (question_with(json!({"servers": "fake"})), &format!("servers {names}")),
        (question_with(json!({"tools": []})), &format!("tools {names}")),
        (question_with(json!({"tools": ["fly"]})), "tools: there is no tool 'fly'"),
        (question_with(json!({"stream": "yes"})), "stream must be true or false"),
        (question_with(json!({"include_steps": 1})), "include_steps must be true or false"),
        (question_with(json!({"max_turns": 0})), "max_turns must be a whole number of at least 1"),
        (question_with(json!({"temperature": 3})), "temperature must be a number from 0 to 2"),
        (
            question_with(json!({"timeout": 0})),
            "timeout must be a whole number of milliseconds of at least 1",
        ),
    ];
    for (body, said) in cases {
        assert_eq!(query(&gateway, &body).await.expect(400), json!({"error": said}), "{body}");
        if body.is_object() && body.get("stream").is_none() && body != json!({}) {
            assert_eq!(streamed(&gateway, &body).await.expect(400), json!({"error": said}), "{body}");
        }
    }
    ask(&gateway, "POST", QUERY).bytes("{}").send().await.expect(415);
    ask(&gateway, "POST", QUERY).json("{").send().await.expect(400);
    ask(&gateway, "GET", QUERY).send().await.expect(405);
    assert!(model.asked().is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn null_is_as_good_as_nothing() {
    let model = Llm::in_turn([Turn::say("Yes.")]).await;
    let gateway = daemon(&model, "").start().await;
    let nulls =
        ["model", "servers", "stream", "max_turns", "temperature", "tools", "timeout", "include_steps"];
    let mut body = question();
    nulls.iter().for_each(|member| body[member] = Value::Null);
    assert_eq!(query(&gateway, &body).await.expect(200), answered("Yes.", 1));
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_server_is_not_found_and_nothing_else_is_said() {
    let model = Llm::in_turn([]).await;
    // Before the key is looked for.
    for key in [KEY, ""] {
        let gateway = TestGateway::new()
            .server("fake", fake(&[]))
            .variable("OPENAI_API_KEY", key)
            .variable("OPENAI_BASE_URL", &model.url())
            .start()
            .await;
        let expected = json!({"error": "Server 'playwright' not found"});
        for body in [
            json!({"server": "playwright", "query": "Find the best restaurants in San Francisco"}),
            question_with(json!({"servers": ["playwright"]})),
        ] {
            assert_eq!(query(&gateway, &body).await.expect(404), expected);
            assert_eq!(streamed(&gateway, &body).await.expect(404), expected);
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn without_a_key_the_reference_says_what_to_do() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    assert_eq!(query(&gateway, &question()).await.expect(500), json!({"error": NO_KEY}));
    assert_eq!(streamed(&gateway, &question()).await.expect(500), json!({"error": NO_KEY}));
    gateway.stop().await;

    // A key of spaces is none, and an endpoint of one's own may want none.
    let model = Llm::in_turn([Turn::say("Local.")]).await;
    let gateway = daemon(&model, "").variable("OPENAI_API_KEY", " ").start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Local.", 1));
    let headers = &model.asked()[0].headers;
    assert!(!headers.contains_key("authorization") && !headers.contains_key("api-key"), "{headers:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn whoever_may_not_use_the_dialect_asks_nothing() {
    let model = Llm::in_turn([Turn::say("Yes.")]).await;
    let config = "[api]\nauth = \"required\"\n[organization]\nplan = \"unlimited\"\n\
        [[members]]\nid = \"user_owner\"\nrole = \"owner\"\n[[members]]\nid = \"user_member\"\nrole = \"member\"\n";
    let gateway = daemon(&model, config).start().await;
    let made =
        gateway.post("/v1/api-keys", &json!({"name": "m", "owner_id": "user_member"})).await.expect(201);
    let member = made["data"]["key"].as_str().expect("a key").to_owned();
    let asked = || ask(&gateway, "POST", QUERY).json(question().to_string());
    assert_eq!(asked().send().await.expect(401), json!({"error": "Authentication required"}));
    asked().key(&member).send().await.expect(403);
    assert!(model.asked().is_empty());
    assert_eq!(asked().with_key().send().await.expect(200), answered("Yes.", 1));
    gateway.stop().await;
}
