//! A client that goes away in the middle takes everything along that it had under way.

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{QUERY, answered, daemon, query, question, question_with};
use crate::support::gateway::Gateway;
use crate::support::llm::{Llm, Turn};
use crate::support::{DEADLINE, wait_until};

/// Asks, until it is aborted.
async fn asking(gateway: &Gateway, body: &Value) -> JoinHandle<()> {
    let mut connection = gateway.connect().await;
    let body = Bytes::from(body.to_string());
    tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        let reply = connection.send_bytes("POST", QUERY, &headers, body).await;
        panic!("nobody was to answer: {reply:?}");
    })
}

async fn wait_held(model: &Llm) {
    wait_until("the model is at it", DEADLINE, || async { (model.held() == 1).then_some(()) }).await;
}

async fn wait_left(model: &Llm, times: usize) {
    wait_until("the model is left", DEADLINE, || async {
        (model.gone() == times && model.open() == 0).then_some(())
    })
    .await;
}

/// Asks until there is a place: who left is noticed in a moment.
async fn wait_place(gateway: &Gateway, expected: &str) {
    let reply = wait_until("the place is free again", DEADLINE, || async {
        Some(query(gateway, &question()).await).filter(|reply| reply.status != 503)
    })
    .await;
    assert_eq!(reply.expect(200), answered(expected, 1));
}

#[tokio::test]
async fn while_the_model_thinks() {
    let model = Llm::in_turn([
        Turn::say("For nobody.").held(),
        Turn::say("For nobody.").held(),
        Turn::say_in_the_middle("For nobody."),
        Turn::say("Here."),
    ])
    .await;
    let gateway = daemon(&model, "max_queries = 1").start().await;
    let streamed = question_with(json!({"stream": true}));
    for (left, body) in [question(), streamed.clone(), streamed].iter().enumerate() {
        let asking = asking(&gateway, body).await;
        wait_held(&model).await;
        query(&gateway, &question()).await.expect(503);
        asking.abort();
        wait_left(&model, left + 1).await;
        // The next one waits for the place.
        if left < 2 {
            wait_until("the place is free again", DEADLINE, || async {
                // A question that is refused for its server has had a place.
                let reply = query(&gateway, &json!({"server": "nobody", "query": "?"})).await;
                (reply.status == 404).then_some(())
            })
            .await;
        }
    }
    wait_place(&gateway, "Here.").await;
    gateway.stop().await;
}

#[tokio::test]
async fn while_tools_work() {
    let sleep = ("sleep", r#"{"ms":600000}"#);
    let model = Llm::by(move |asked| match asked.body["messages"][1]["content"].as_str() {
        Some("What is there?") => Turn::say("Here."),
        _ => Turn::call(&[sleep, sleep]),
    })
    .await;
    let gateway = daemon(&model, "max_queries = 1").start().await;
    gateway.wait_state("fake", "ready").await;
    for (left, stream) in [(1, false), (2, true)] {
        let asking = asking(&gateway, &json!({"server": "fake", "query": "Sleep.", "stream": stream})).await;
        wait_until("both calls are under way", DEADLINE, || async {
            (gateway.call("fake", "stats", json!({})).await["in_flight"] == 2).then_some(())
        })
        .await;
        asking.abort();
        wait_until("both calls are cancelled", DEADLINE, || async {
            let stats = gateway.call("fake", "stats", json!({})).await;
            let cancelled = stats["cancelled"].as_array().map_or(0, Vec::len);
            (stats["in_flight"] == 0 && cancelled == 2 * left).then_some(())
        })
        .await;
        wait_place(&gateway, "Here.").await;
    }
    gateway.stop().await;
}

/// A client that stays and does not read holds nothing for longer than its query may take.
#[tokio::test]
async fn or_does_not_read() {
    use tokio::io::AsyncWriteExt as _;
    let words = "word ".repeat(200_000);
    let model = Llm::by(move |asked| match asked.body["messages"][1]["content"].as_str() {
        Some("What is there?") => Turn::say("Here."),
        _ => Turn::raw("text/event-stream", &endless(&words)),
    })
    .await;
    // A connection on which nothing moves would be closed, too, but not that soon.
    let config = "max_queries = 1\nquery_timeout = \"2s\"\n[http]\nbody_timeout = \"10m\"";
    let gateway = daemon(&model, config).start().await;
    let body = json!({"server": "fake", "query": "Talk.", "stream": true}).to_string();
    let head = format!(
        "POST {QUERY} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        gateway.address(),
        body.len()
    );
    let mut socket = gateway.raw_socket().await;
    socket.write_all(format!("{head}{body}").as_bytes()).await.expect("sent");
    wait_until("the model talks", DEADLINE, || async { (!model.asked().is_empty()).then_some(()) }).await;
    wait_place(&gateway, "Here.").await;
    drop(socket);
    gateway.stop().await;
}

/// More events than fit between here and a client that does not read.
fn endless(words: &str) -> String {
    let piece =
        json!({"choices": [{"index": 0, "delta": {"content": &words[..50_000]}, "finish_reason": null}]});
    format!("data: {piece}\n\n").repeat(300)
}

/// The daemon that leaves does not leave a question behind.
#[tokio::test]
async fn a_question_under_way_is_answered_before_the_daemon_ends() {
    let model = Llm::in_turn([Turn::say("Just in time.").held()]).await;
    let mut gateway = daemon(&model, "").start().await;
    let mut connection = gateway.connect().await;
    let asking = tokio::spawn(async move { connection.send("POST", QUERY, Some(&question())).await });
    wait_held(&model).await;
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.wait_draining().await;
    model.let_go(1);
    let reply = asking.await.expect("no panic").expect("an answer");
    assert_eq!(reply.expect(200), answered("Just in time.", 1));
    assert!(gateway.wait_exit("the daemon ends").await.success());
    gateway.stop().await;
}
