//! What comes on a call's own stream before its answer is about that call and nothing else (R44).

use serde_json::{Value, json};

use super::{FAR, opened};
use crate::mcp::{accept, form};
use crate::support::gateway::Gateway;
use crate::support::mcp::{OURS, Session, modern};
use crate::support::scripted_http::{Answer, Gate, ScriptedHttp, Way, answered, event, said};
use crate::support::{DEADLINE, wait_until};

const PROGRESS: &str = "notifications/progress";
const MESSAGE: &str = "notifications/message";
const ASKED: &str = "elicitation/create";

fn notification(method: &str, params: Value) -> String {
    event(&json!({"jsonrpc": "2.0", "method": method, "params": params}))
}

fn progress(step: u64) -> String {
    notification(PROGRESS, json!({"progressToken": "$TOKEN", "progress": step, "total": 2}))
}

fn logged(text: &str) -> String {
    notification(MESSAGE, json!({"level": "error", "data": text}))
}

fn fine() -> String {
    event(&answered(said("fine")))
}

/// A legacy server that logs, and a daemon before it.
async fn talkative() -> (ScriptedHttp, Gateway) {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.change(|nature| nature.capabilities = json!({"tools": {}, "logging": {}}));
    let gateway = opened(&server).await;
    (server, gateway)
}

#[tokio::test]
async fn progress_reaches_the_caller_under_its_own_token() {
    for way in [Way::Legacy, Way::Modern] {
        let server = ScriptedHttp::start(way).await;
        let gateway = opened(&server).await;
        let session = Session::open(&gateway, FAR, json!({})).await;
        let client = modern(&gateway, FAR);
        for post in [session.call("echo", json!({})), client.call("echo", json!({}))] {
            let mut result = said("fine");
            result["resultType"] = "complete".into();
            let fine = event(&answered(result));
            server.once("tools/call", Answer::stream([&*progress(1), &*progress(2), &*fine]));
            let mut answer = post.meta("progressToken", "mine").send().await;
            let messages = answer.messages().await;
            let (last, told) = messages.split_last().expect("messages");
            assert_eq!(last["result"]["content"][0]["text"], "fine", "{way:?}: {last}");
            let steps: Vec<Value> = told
                .iter()
                .filter(|one| one["method"] == PROGRESS)
                .map(|one| json!([one["params"]["progressToken"], one["params"]["progress"]]))
                .collect();
            assert_eq!(steps, [json!(["mine", 1]), json!(["mine", 2])], "{way:?}");
            let sent = server.asked("tools/call").pop().expect("a call");
            assert_ne!(sent.message["params"]["_meta"]["progressToken"], "mine", "the token is ours");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_log_message_reaches_the_caller_on_whose_stream_it_came_and_no_other() {
    let (server, gateway) = talkative().await;
    let client = modern(&gateway, FAR);
    let level = format!("{OURS}logLevel");
    let (gates, texts) = ([Gate::shut(), Gate::shut()], ["for one", "for the other"]);
    let mut calls = Vec::new();
    for (number, (gate, text)) in gates.iter().zip(texts).enumerate() {
        let answer = Answer::stream([&*logged(text)]).then(gate, &fine());
        server.once("tools/call", answer);
        let mut answer = client.call("echo", json!({})).meta(&level, "debug").send().await;
        assert_eq!(answer.until(MESSAGE).await["params"]["data"], text);
        server.wait_count("tools/call", number + 1).await;
        calls.push(answer);
    }
    for gate in &gates {
        gate.open();
    }
    for mut call in calls {
        let rest = call.messages().await;
        assert_eq!(rest.len(), 1, "nothing of the other's: {rest:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_on_a_calls_stream_goes_to_its_caller_and_the_answer_back() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = opened(&server).await;
    let session = Session::open(&gateway, FAR, json!({"elicitation": {}})).await;
    // Another client is there too, and has a call under way.
    let other = Session::open(&gateway, FAR, json!({"elicitation": {}})).await;
    let others = other.call("slow", json!({})).send();
    let asking = async {
        server.wait_count("tools/call", 1).await;
        let gate = Gate::shut();
        let mut question = form("name?");
        question["jsonrpc"] = "2.0".into();
        question["id"] = "ask-1".into();
        server.once("tools/call", Answer::stream([&*event(&question)]).then(&gate, &fine()));
        let mut answer = session.call("echo", json!({})).send().await;
        let asked = answer.until(ASKED).await;
        assert_eq!(asked["params"]["message"], "name?");
        session.answer(&asked, accept("Ada")).await;
        let back = server.wait_count("response", 1).await;
        assert_eq!(back[0].message["id"], "ask-1");
        assert_eq!(back[0].message["result"], accept("Ada"));
        assert_eq!(back[0].header("mcp-session-id"), Some("session-1"), "R44");
        gate.open();
        assert_eq!(answer.last().await["result"]["content"][0]["text"], "fine");
        server.release();
    };
    let (mut others, ()) = tokio::join!(others, asking);
    let told = others.last().await;
    assert!(told["result"].is_object(), "{told}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_to_somebody_who_cannot_be_asked_is_answered_at_once() {
    let (server, gateway) = talkative().await;
    let mut question = form("name?");
    question["jsonrpc"] = "2.0".into();
    question["id"] = 77.into();
    let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
    let gate = Gate::shut();
    server.once("tools/call", Answer::stream([&*event(&question), &*event(&ping)]).then(&gate, &fine()));
    let calling = gateway.v1_invoke(FAR, "echo", json!({}));
    let answering = async {
        let back = server.wait_count("response", 2).await;
        let of =
            |id: Value| back.iter().find(|one| one.message["id"] == id).expect("an answer").message.clone();
        assert!(of(json!(77)).get("error").is_some() || of(json!(77)).get("result").is_some());
        assert_eq!(of(json!("p"))["result"], json!({}));
        gate.open();
    };
    let (reply, ()) = tokio::join!(calling, answering);
    assert_eq!(reply.expect(200)["data"]["result"], "fine");
    gateway.stop().await;
}

#[tokio::test]
async fn what_comes_on_the_sessions_own_stream_is_followed() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.change(|nature| {
        nature.has_stream = true;
        nature.capabilities = json!({"tools": {"listChanged": true}, "logging": {}});
    });
    let gateway = opened(&server).await;
    let stream = server.wait_count("GET", 1).await;
    assert_eq!(stream[0].header("accept"), Some("text/event-stream"));
    assert_eq!(stream[0].header("mcp-session-id"), Some("session-1"));
    server.push(&notification("notifications/tools/list_changed", json!({})));
    server.wait_count("tools/list", 2).await;
    // Whatever is asked there is answered, and what is said there is logged.
    server.push(&event(&json!({"jsonrpc": "2.0", "id": "p", "method": "ping"})));
    let back = server.wait_count("response", 1).await;
    assert_eq!(back[0].message, json!({"jsonrpc": "2.0", "id": "p", "result": {}}));
    server.push(&logged("said to all"));
    wait_until("it is in the server's log", DEADLINE, || async {
        let logs = gateway.get(&format!("/v1/mcps/{FAR}/logs")).await;
        logs.text().contains("said to all").then_some(())
    })
    .await;
    gateway.stop().await;
}
