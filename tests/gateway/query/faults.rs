//! A model's endpoint that fails: what is tried again, what is given up, and what is said then.

use std::time::Duration;

use serde_json::{Value, json};

use super::{answered, daemon, narrowing, query, question, question_with};
use crate::support::gateway::{TestGateway, fake};
use crate::support::llm::{Llm, Turn};
use crate::support::{DEADLINE, wait_until};

fn failed(text: &str) -> Value {
    json!({"error": text, "code": "llm_error"})
}

fn unusable(reason: &str) -> Value {
    failed(&format!("The model's endpoint sent an unusable answer: {reason}"))
}

fn too_many(header: (&'static str, &str)) -> Turn {
    let body = json!({"error": {"message": "Rate limit reached", "type": "requests", "param": null,
        "code": "rate_limit_exceeded"}});
    Turn::failure_with(429, &[header], &body.to_string())
}

#[tokio::test]
async fn a_model_that_is_busy_is_asked_again_when_it_wants_to_be() {
    let model = Llm::in_turn([
        too_many(("retry-after", "2")),
        too_many(("retry-after-ms", "700")),
        Turn::call_one("echo", &json!({"text": "x"})),
        // Each turn has its own tries.
        too_many(("retry-after", "0")),
        Turn::say("At last."),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("At last.", 2));
    let asked = model.asked();
    assert_eq!(asked.len(), 5);
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(2), "Retry-After is kept to");
    assert!(asked[2].at - asked[1].at >= Duration::from_millis(700), "so is the finer one");
    assert_eq!((&asked[0].body, &asked[1].body), (&asked[1].body, &asked[2].body), "the same question");
    gateway.stop().await;
}

#[tokio::test]
async fn a_pause_that_is_longer_than_the_query_is_handed_on_at_once() {
    let model = Llm::in_turn([too_many(("retry-after", "3600"))]).await;
    let gateway = daemon(&model, "").start().await;
    let reply = query(&gateway, &question()).await;
    assert_eq!(reply.expect(500), failed("The model's endpoint answered 429: Rate limit reached"));
    assert_eq!(reply.headers["retry-after"], "3600");
    assert_eq!(model.asked().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_that_goes_on_failing_is_given_up() {
    let overloaded =
        Turn::failure_with(503, &[("retry-after", "0")], "{\"error\":{\"message\":\"overloaded\"}}");
    // Without a pause that it asks for there is one that grows.
    let model = Llm::in_turn([
        Turn::failure(500, "The server had an error"),
        Turn::failure(502, "The server had an error"),
        Turn::failure(500, "The server had an error"),
        overloaded.clone(),
        overloaded.clone(),
        overloaded,
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let said = failed("The model's endpoint answered 500: The server had an error");
    assert_eq!(query(&gateway, &question()).await.expect(500), said);
    let asked = model.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].at - asked[0].at >= Duration::from_millis(500));
    assert!(asked[2].at - asked[1].at >= Duration::from_secs(1));
    let said = failed("The model's endpoint answered 503: overloaded");
    assert_eq!(query(&gateway, &question()).await.expect(500), said);
    assert_eq!(model.asked().len(), 6);
    gateway.stop().await;
}

#[tokio::test]
async fn what_another_try_does_not_mend_is_not_tried_again() {
    let no_money = json!({"error": {"message": "You exceeded your current quota", "type": "insufficient_quota",
        "param": null, "code": "insufficient_quota"}});
    let model = Llm::in_turn([
        Turn::failure(401, "Incorrect API key provided"),
        Turn::failure(404, "The model `gpt-x` does not exist"),
        Turn::failure_with(429, &[], &no_money.to_string()),
        Turn::failure_with(400, &[], "<h1>Bad request</h1>"),
        // A redirect would take the key elsewhere.
        Turn::failure_with(307, &[("location", "http://127.0.0.1:9/v1/chat/completions")], ""),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    for said in [
        "401: Incorrect API key provided",
        "404: The model `gpt-x` does not exist",
        "429: You exceeded your current quota",
        "400: <h1>Bad request</h1>",
        "307: (nothing)",
    ] {
        let answer = query(&gateway, &question()).await.expect(500);
        let hint = if said.starts_with("400") { narrowing(&model.asked()[0].body) } else { String::new() };
        assert_eq!(answer, failed(&format!("The model's endpoint answered {said}{hint}")));
    }
    assert_eq!(model.asked().len(), 5);
    gateway.stop().await;
}

#[tokio::test]
async fn retries_can_be_turned_off() {
    let model = Llm::in_turn([Turn::failure(500, "no")]).await;
    let gateway = daemon(&model, "retries = 0").start().await;
    let said = failed("The model's endpoint answered 500: no");
    assert_eq!(query(&gateway, &question()).await.expect(500), said);
    assert_eq!(model.asked().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_model_that_says_nothing_is_left_after_its_time() {
    let model = Llm::in_turn([Turn::say("Too late.").held()]).await;
    let gateway = daemon(&model, "timeout = \"1s\"").start().await;
    let said = json!({"error": "The model's endpoint said nothing for 1 s", "code": "timeout"});
    assert_eq!(query(&gateway, &question()).await.expect(500), said);
    wait_until("the model is left", DEADLINE, || async { (model.open() == 0).then_some(()) }).await;
    assert_eq!((model.gone(), model.asked().len()), (1, 1), "it may be at work on it still");
    gateway.stop().await;
}

#[tokio::test]
async fn a_query_has_a_deadline_whatever_it_waits_for() {
    let model =
        Llm::in_turn([Turn::say("Too late.").held(), Turn::call_one("sleep", &json!({"ms": 600_000}))]).await;
    let gateway = daemon(&model, "").start().await;
    gateway.wait_state("fake", "ready").await;
    for waits_for in ["the model", "a tool"] {
        let said = json!({"error": "The query was not answered within 0.5 s", "code": "timeout"});
        let reply = query(&gateway, &question_with(json!({"timeout": 500}))).await;
        assert_eq!(reply.expect(500), said, "{waits_for}");
    }
    wait_until("the model is left and the call is cancelled", DEADLINE, || async {
        let stats = gateway.call("fake", "stats", json!({})).await;
        let is_over = model.gone() == 1 && stats["cancelled"].as_array().is_some_and(|ids| ids.len() == 1);
        (is_over && stats["in_flight"] == 0).then_some(())
    })
    .await;
    gateway.stop().await;

    // The same without asking for it.
    let model = Llm::by(|_| Turn::say("Too late.").held()).await;
    let gateway = daemon(&model, "query_timeout = \"1s\"").start().await;
    let said = json!({"error": "The query was not answered within 1 s", "code": "timeout"});
    assert_eq!(query(&gateway, &question()).await.expect(500), said);
    let longer = question_with(json!({"timeout": 3_600_000}));
    assert_eq!(query(&gateway, &longer).await.expect(500), said, "no longer than is configured");
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_said_with_its_beginning() {
    let model = Llm::in_turn([
        Turn::raw("text/html", "<html>\n<h1>Welcome</h1>"),
        Turn::raw("application/json", "{\"choices\": []}"),
        Turn::raw("application/json", "{\"id\": 1}"),
        Turn::broken_off("application/json", "{\"choices\": [{\"message\""),
    ])
    .await;
    let gateway = daemon(&model, "").start().await;
    let mut said = Vec::new();
    for _ in 0..4 {
        said.push(query(&gateway, &question()).await.expect(500));
    }
    assert_eq!(
        said[..3],
        [
            unusable("it is no chat completion (expected value at line 1 column 1): <html> <h1>Welcome</h1>"),
            unusable("it has no choice in it"),
            unusable("it is no chat completion (missing field `choices`): {\"id\": 1}"),
        ]
    );
    let text = said[3]["error"].as_str().expect("a text");
    assert!(text.starts_with("The model's endpoint sent an unusable answer: it broke off: "), "{text}");
    assert_eq!(model.asked().len(), 4, "the model has worked: not asked again");
    gateway.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_nobody_serves_is_tried_and_said() {
    let model = Llm::in_turn([]).await;
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("bound");
    drop(nobody);
    let config = format!("base_url = \"http://{address}/v1\"\nretries = 1");
    let gateway = daemon(&model, &config).start().await;
    let said = query(&gateway, &question()).await.expect(500);
    let text = said["error"].as_str().expect("a text");
    assert!(text.starts_with("The model's endpoint could not be reached: "), "{text}");
    assert!(text.contains("Connection refused"), "{text}");
    assert_eq!(said["code"], "llm_error");
    assert!(model.asked().is_empty(), "the file's address wins over the environment's");
    gateway.stop().await;
}

#[tokio::test]
async fn as_many_queries_as_may_be_and_no_more() {
    let model = Llm::by(|_| Turn::say("Here.").held()).await;
    let gateway = std::sync::Arc::new(daemon(&model, "max_queries = 2").start().await);
    let ask = || {
        let gateway = gateway.clone();
        tokio::spawn(async move { query(&gateway, &question()).await })
    };
    let running = [ask(), ask()];
    wait_until("both are under way", DEADLINE, || async { (model.held() == 2).then_some(()) }).await;
    let refused = query(&gateway, &question()).await;
    let text = "2 queries are being answered already, which is as many as there may be";
    assert_eq!(refused.expect(503), json!({"error": text, "code": "service_unavailable"}));
    assert_eq!(refused.headers["retry-after"], "1");
    let refused = super::streamed(&gateway, &question()).await;
    assert_eq!(refused.expect(503), json!({"error": text, "code": "service_unavailable"}));
    model.let_go(3);
    for running in running {
        assert_eq!(running.await.expect("no panic").expect(200), answered("Here.", 1));
    }
    assert_eq!(query(&gateway, &question()).await.expect(200), answered("Here.", 1));
    std::sync::Arc::into_inner(gateway).expect("all have ended").stop().await;
}

#[tokio::test]
async fn a_server_that_cannot_start_ends_the_query() {
    let model = Llm::in_turn([]).await;
    let gateway = TestGateway::new()
        .server("broken", fake(&["--exit", "1"]))
        .server("missing", json!({"command": "/no/such/program-of-the-test"}))
        .variable("OPENAI_API_KEY", super::KEY)
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await;
    for server in ["broken", "missing"] {
        let reply = query(&gateway, &json!({"server": server, "query": "?"})).await;
        assert_eq!(reply.expect(500)["code"], "mcp_unreachable", "{}", reply.text());
    }
    assert!(model.asked().is_empty());
    gateway.stop().await;
}
