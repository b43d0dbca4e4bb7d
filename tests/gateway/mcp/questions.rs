//! What a server asks in the middle of a call: in all pairings of the eras, to the right client, once.

use serde_json::{Map, Value, json};

use super::{SERVERS, accept, both, cancelled, form, in_flight, sample, sampled, stats, world};
use crate::revoking::{make, revoke};
use crate::support::gateway::Gateway;
use crate::support::mcp::{Modern, Post, Session, modern};

const INTERVIEW: &str = "interview";

fn rounds(rounds: &Value) -> Value {
    json!({"rounds": rounds})
}

/// An answer to a question: it repeats what was asked, by which each shows whose it is.
fn reply_to(question: &Value) -> Value {
    match question["method"].as_str() {
        Some("elicitation/create") => accept(question["params"]["message"].as_str().expect("a message")),
        Some("sampling/createMessage") => {
            sampled(question["params"]["messages"][0]["content"]["text"].as_str().expect("a text"))
        }
        _ => panic!("asked for {question}"),
    }
}

/// The questions of a result that asks, and its state.
fn asked(told: &Value) -> (Map<String, Value>, Value) {
    let result = &told["result"];
    assert_eq!(result["resultType"], "input_required", "{told}");
    (result["inputRequests"].as_object().expect("questions").clone(), result["requestState"].clone())
}

/// Answers to all of these questions.
fn replies(questions: &Map<String, Value>) -> Value {
    questions.iter().map(|(key, question)| (key.clone(), reply_to(question))).collect::<Map<_, _>>().into()
}

/// The same request again with answers and a state.
fn again<'a>(post: &Post<'a>, answers: Value, state: &Value) -> Post<'a> {
    post.clone()
        .id(uuid::Uuid::new_v4().to_string())
        .param("inputResponses", answers)
        .param("requestState", state.clone())
}

/// Takes a modern client through a call to its end, and returns the structure of the result.
async fn through(post: Post<'_>) -> Value {
    let mut told = post.clone().last().await;
    for _ in 0..10 {
        if told["result"]["resultType"] != "input_required" {
            assert!(told["result"].is_object(), "{told}");
            return told["result"]["structuredContent"].clone();
        }
        let (questions, state) = asked(&told);
        told = again(&post, replies(&questions), &state).last().await;
    }
    panic!("it asks again and again: {told}");
}

/// The same for a legacy client.
async fn through_session(session: &Session<'_>, post: Post<'_>) -> Value {
    let mut answer = post.send().await;
    loop {
        let message = if answer.is_stream() { answer.message().await } else { answer.last().await };
        if message.get("method").is_none() {
            assert!(message["result"].is_object(), "{message}");
            return message["result"]["structuredContent"].clone();
        }
        if message.get("id").is_some() {
            session.answer(&message, reply_to(&message)).await;
        }
    }
}

#[tokio::test]
async fn questions_are_asked_and_answered_in_all_pairings_of_the_eras() {
    let gateway = world("").await;
    let two_rounds = rounds(&json!([[form("first"), sample("second"), form("third")], [sample("fourth")]]));
    for server in SERVERS {
        let client = modern(&gateway, server).can(both());
        let session = Session::open(&gateway, server, both()).await;
        for (era, told) in [
            ("modern", through(client.call(INTERVIEW, two_rounds.clone())).await),
            ("legacy", through_session(&session, session.call(INTERVIEW, two_rounds.clone())).await),
        ] {
            let first = &told["rounds"][0];
            let what = format!("{era} to {server}: {told}");
            assert_eq!(first["q0"]["result"], accept("first"), "{what}");
            assert_eq!(first["q1"]["result"], sampled("second"), "{what}");
            assert_eq!(first["q2"]["result"], accept("third"), "{what}");
            assert_eq!(told["rounds"][1], json!({"q0": {"result": sampled("fourth")}}), "{what}");
        }
        in_flight(&gateway, server, 0).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_modern_client_gets_the_questions_as_they_are_and_a_state() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server).can(both());
        let call = client.call(INTERVIEW, rounds(&json!([[form("name?"), sample("say")]])));
        let (questions, state) = asked(&call.clone().expect(200).await);
        let mut shown: Vec<&Value> = questions.values().collect();
        shown.sort_by_key(|question| question["method"].as_str().expect("a method"));
        assert_eq!(shown, [&form("name?"), &sample("say")], "{server}");
        assert!(state.as_str().is_some_and(|state| !state.is_empty()), "{server}");
        let told = again(&call, replies(&questions), &state).result().await;
        assert_eq!(told["resultType"], "complete");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_by_the_user_is_an_answer_like_any_other() {
    let gateway = world("").await;
    let once = rounds(&json!([[form("name?")]]));
    for server in SERVERS {
        for action in ["decline", "cancel"] {
            let client = modern(&gateway, server).can(both());
            let call = client.call(INTERVIEW, once.clone());
            let (questions, state) = asked(&call.clone().last().await);
            let key = questions.keys().next().expect("a question");
            let told = again(&call, json!({key: {"action": action}}), &state).result().await;
            let said = &told["structuredContent"]["rounds"][0]["q0"]["result"];
            assert_eq!(said, &json!({"action": action}), "{server}");

            let session = Session::open(&gateway, server, both()).await;
            let mut answer = session.call(INTERVIEW, once.clone()).send().await;
            let question = answer.until("elicitation/create").await;
            session.answer(&question, json!({"action": action})).await;
            let told = answer.last().await;
            let said = &told["result"]["structuredContent"]["rounds"][0]["q0"]["result"];
            assert_eq!(said, &json!({"action": action}), "{server}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_error_of_a_legacy_client_reaches_the_server_or_ends_the_call() {
    let gateway = world("").await;
    for server in SERVERS {
        let session = Session::open(&gateway, server, both()).await;
        let mut answer = session.call(INTERVIEW, rounds(&json!([[sample("say")]]))).send().await;
        let question = answer.until("sampling/createMessage").await;
        session.refuse(&question, -1, "the user said no").await;
        let told = answer.last().await;
        match server {
            "legacy" => {
                let said = &told["result"]["structuredContent"]["rounds"][0]["q0"]["error"];
                assert_eq!(
                    (&said["code"], &said["message"]),
                    (&json!(-1), &json!("the user said no")),
                    "{told}"
                );
            }
            // The modern era has no form for it: the model is to read the reason.
            _ => {
                assert_eq!(told["result"]["isError"], true, "{told}");
                let text = told["result"]["content"][0]["text"].as_str().expect("a text");
                assert!(text.contains("the user said no"), "{told}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_modern_client_has_not_declared_ends_its_request_and_is_named() {
    let gateway = world("").await;
    for server in SERVERS {
        for (question, capability, declared) in [
            (form("x"), "elicitation", json!({"sampling": {}})),
            (sample("x"), "sampling", json!({"elicitation": {}})),
        ] {
            let client = modern(&gateway, server).can(declared);
            let call = client.call(INTERVIEW, rounds(&json!([[question]]))).id("q");
            let told = call.refused(400, -32021).await;
            assert_eq!(told["id"], "q");
            let required = &told["error"]["data"]["requiredCapabilities"];
            assert!(required[capability].is_object(), "{server}: {told}");
        }
        in_flight(&gateway, server, 0).await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_legacy_client_has_not_declared_is_refused_to_the_server() {
    let gateway = world("").await;
    for server in SERVERS {
        let able = Session::open(&gateway, server, both()).await;
        for (session, accept) in [
            (Session::open(&gateway, server, json!({})).await, "application/json, text/event-stream"),
            // It could be asked, but by this request it has no way to hear of it.
            (able, "application/json"),
        ] {
            let call = session.call(INTERVIEW, rounds(&json!([[form("x")]]))).header("accept", accept);
            let told = call.expect(200).await;
            match server {
                "legacy" => {
                    let said = &told["result"]["structuredContent"]["rounds"][0]["q0"]["error"];
                    assert_eq!(said["code"], -32601, "{told}");
                }
                _ if accept == "application/json" => {
                    assert_eq!(told["result"]["isError"], true, "{told}");
                }
                // The server has found out by itself, and its error is none of the earlier era.
                _ => {
                    assert!(told["error"]["code"] == -32602 || told["result"]["isError"] == true, "{told}");
                }
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_address_to_open_needs_a_client_that_opens_addresses() {
    let gateway = world("").await;
    let address = json!({"method": "elicitation/create", "params": {
        "mode": "url", "message": "Log in", "url": "https://login.example/x", "elicitationId": "e-1"
    }});
    let arguments = rounds(&json!([[address]]));
    let client = modern(&gateway, "legacy").can(json!({"elicitation": {}}));
    let told = client.call(INTERVIEW, arguments.clone()).refused(400, -32021).await;
    assert_eq!(told["error"]["data"]["requiredCapabilities"], json!({"elicitation": {"url": {}}}), "{told}");
    let client = modern(&gateway, "legacy").can(json!({"elicitation": {"url": {}}}));
    let (questions, state) = asked(&client.call(INTERVIEW, arguments.clone()).last().await);
    let (key, shown) = questions.iter().next().expect("a question");
    assert_eq!(shown["params"]["url"], "https://login.example/x");
    assert!(shown["params"].get("elicitationId").is_none(), "its era has no such id: {shown}");
    let told =
        again(&client.call(INTERVIEW, arguments), json!({key: {"action": "accept"}}), &state).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], json!({"action": "accept"}));
    gateway.stop().await;
}

#[tokio::test]
async fn roots_are_none_where_a_server_asks_for_them_all_the_same() {
    let gateway = world("").await;
    let arguments = rounds(&json!([[{"method": "roots/list", "params": {}}]]));
    let client = modern(&gateway, "legacy").can(both());
    let session = Session::open(&gateway, "legacy", both()).await;
    for post in [client.call(INTERVIEW, arguments.clone()), session.call(INTERVIEW, arguments.clone())] {
        let told = post.result().await;
        assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], json!({"roots": []}), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_question_is_refused_to_the_server_and_ends_nothing() {
    let gateway = world("").await;
    let arguments = rounds(&json!([[{"method": "vendor/ask", "params": {}}, form("known")]]));
    let client = modern(&gateway, "legacy").can(both());
    let told = through(client.call(INTERVIEW, arguments.clone())).await;
    assert_eq!(told["rounds"][0]["q0"]["error"]["code"], -32601, "{told}");
    assert_eq!(told["rounds"][0]["q1"]["result"], accept("known"), "{told}");
    let session = Session::open(&gateway, "legacy", both()).await;
    let told = through_session(&session, session.call(INTERVIEW, arguments)).await;
    assert_eq!(told["rounds"][0]["q0"]["error"]["code"], -32601, "{told}");
    gateway.stop().await;
}

/// Keys of two members, and the owner's client.
async fn keys_of_two(gateway: &Gateway) -> (String, String) {
    let a = make(gateway, json!({"name": "a", "member": {"id": "user_a"}})).await;
    let b = make(gateway, json!({"name": "b", "member": {"id": "user_b"}})).await;
    (a.text, b.text)
}

fn asker<'a>(gateway: &'a Gateway, key: &str) -> Modern<'a> {
    modern(gateway, "legacy").key(Some(key)).can(both())
}

#[tokio::test]
async fn a_state_is_good_once_for_its_request_and_for_whom_it_was_given() {
    let gateway = world("").await;
    let (key, other_key) = keys_of_two(&gateway).await;
    let client = asker(&gateway, &key);
    let call = client.call(INTERVIEW, rounds(&json!([[form("mine")]])));
    let (questions, state) = asked(&call.clone().last().await);
    let answers = replies(&questions);
    let text = state.as_str().expect("a text");
    let refused = async |post: Post<'_>| {
        post.refused(200, -32602).await;
    };
    let flipped = format!("{}{}", &text[..text.len() - 1], if text.ends_with('0') { '1' } else { '0' });
    for wrong in [flipped, text.to_uppercase(), format!("{text}0"), text[..text.len() - 1].to_owned()] {
        // Some are none of this gateway's any more: a legacy server can make nothing of those either.
        let told = again(&call, answers.clone(), &json!(wrong)).last().await;
        assert_ne!(
            told["result"]["structuredContent"]["rounds"][0]["q0"]["result"],
            accept("mine"),
            "{told}"
        );
    }
    let other = asker(&gateway, &other_key).call(INTERVIEW, rounds(&json!([[form("mine")]])));
    refused(again(&other, answers.clone(), &state)).await;
    let elsewhere = client.call(INTERVIEW, rounds(&json!([[form("yours")]])));
    refused(again(&elsewhere, answers.clone(), &state)).await;
    refused(again(&client.call("echo", json!({})), answers.clone(), &state)).await;
    let owner = modern(&gateway, "legacy").can(both()).call(INTERVIEW, rounds(&json!([[form("mine")]])));
    refused(again(&owner, answers.clone(), &state)).await;
    for malformed in [json!([]), json!("x"), json!({"k": null}), json!({"k": 7}), json!(null)] {
        refused(again(&call, malformed, &state)).await;
    }
    // All of that has left it where it was.
    let told = again(&call, answers.clone(), &state).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], accept("mine"));
    refused(again(&call, answers, &state)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn another_key_of_the_same_member_may_go_on_with_a_request() {
    let gateway = world("").await;
    let first = make(&gateway, json!({"name": "a", "member": {"id": "user_a"}})).await;
    let second = make(&gateway, json!({"name": "b", "owner_id": "user_a"})).await;
    let arguments = rounds(&json!([[form("mine")]]));
    let (questions, state) =
        asked(&asker(&gateway, &first.text).call(INTERVIEW, arguments.clone()).last().await);
    let call = asker(&gateway, &second.text).call(INTERVIEW, arguments);
    let told = again(&call, replies(&questions), &state).result().await;
    assert_eq!(told["structuredContent"]["rounds"][0]["q0"]["result"], accept("mine"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_left_open_is_asked_again_with_a_new_state() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy").can(both());
    let call = client.call(INTERVIEW, rounds(&json!([[form("one"), form("two")]])));
    let (questions, state) = asked(&call.clone().last().await);
    assert_eq!(questions.len(), 2);
    let (one, _) = questions.iter().find(|(_, asked)| asked["params"]["message"] == "one").expect("asked");
    let partly = json!({one: accept("one"), "unknown": {"action": "accept"}});
    let (rest, next) = asked(&again(&call, partly, &state).last().await);
    assert_eq!(rest.values().next(), Some(&form("two")));
    assert_eq!(rest.len(), 1);
    assert_ne!(next, state);
    again(&call, replies(&rest), &state).refused(200, -32602).await;
    let told = again(&call, replies(&rest), &next).result().await;
    let answers = &told["structuredContent"]["rounds"][0];
    assert_eq!((&answers["q0"]["result"], &answers["q1"]["result"]), (&accept("one"), &accept("two")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_call_that_wants_an_address_opened_is_made_again_once_the_client_agrees() {
    let gateway = world("").await;
    for server in SERVERS {
        let client = modern(&gateway, server).can(json!({"elicitation": {"url": {}}}));
        let executions = async || stats(&gateway, server).await["executions"].as_u64().expect("a number");
        let before = executions().await;
        let call = client.call("open_first", json!({"a": 1}));
        let (questions, state) = asked(&call.clone().last().await);
        let (key, question) = questions.iter().next().expect("a question");
        let address = json!({"mode": "url", "url": "https://fake.example/", "message": "open"});
        assert_eq!(question, &json!({"method": "elicitation/create", "params": address}), "{server}");
        let without = again(&call, json!({}), &state).last().await;
        let (questions, state) = asked(&without);
        assert_eq!(questions.keys().next(), Some(key), "{server}: asked again");
        let told = again(&call, json!({key: {"action": "accept"}}), &state).result().await;
        let made = json!({"opened": true, "arguments": {"a": 1}});
        assert_eq!(told["structuredContent"], made, "{server}");
        again(&call, json!({key: {"action": "accept"}}), &state).refused(200, -32602).await;

        let (questions, state) = asked(&call.clone().last().await);
        let declined = json!({questions.keys().next().expect("a question"): {"action": "decline"}});
        let told = again(&call, declined, &state).result().await;
        assert_eq!((&told["isError"], &told["resultType"]), (&json!(true), &json!("complete")), "{server}");
        assert_eq!(executions().await - before, 4, "{server}: three times, and this look");
        // Every second time it wants something opened.
        call.clone().result().await;
        let unable = modern(&gateway, server).can(json!({"elicitation": {}}));
        unable.call("open_first", json!({})).refused(400, -32021).await;
        call.result().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn clients_of_different_members_are_never_shown_each_others_questions() {
    let gateway = world("").await;
    let (a, b) = keys_of_two(&gateway).await;
    for server in SERVERS {
        // The servers' calls overlap: on stdio nothing says which one a question is about, so that it is refused.
        let gateway = &gateway;
        let one = async |key: &str, name: &str| {
            let client = modern(gateway, server).key(Some(key)).can(both());
            for turn in 0..10 {
                let call = client.call(INTERVIEW, rounds(&json!([[form(&format!("{name} {turn}"))]])));
                let told = call.clone().last().await;
                if told["result"]["resultType"] != "input_required" {
                    let refused = &told["result"]["structuredContent"]["rounds"][0]["q0"]["error"];
                    assert_eq!(refused["code"], -32603, "{server}: {told}");
                    continue;
                }
                let (questions, state) = asked(&told);
                for question in questions.values() {
                    assert_eq!(question, &form(&format!("{name} {turn}")), "{server}");
                }
                let told = again(&call, replies(&questions), &state).result().await;
                let answer = &told["structuredContent"]["rounds"][0]["q0"]["result"];
                assert_eq!(answer, &accept(&format!("{name} {turn}")), "{server}");
            }
        };
        tokio::join!(one(&a, "a"), one(&b, "b"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn sessions_with_the_same_ids_and_questions_get_their_own_answers() {
    let gateway = world("").await;
    let one = async |server: &str, name: &str| {
        let session = Session::open(&gateway, server, both()).await;
        for turn in 0..10 {
            let text = format!("{name} {turn}");
            let call = session.call(INTERVIEW, rounds(&json!([[form(&text)]]))).meta("progressToken", 1);
            let told = through_session(&session, call).await;
            let said = &told["rounds"][0]["q0"];
            // A legacy server that is at work for both cannot be told apart by stdio: refused, not mixed up.
            let is_refused = server == "legacy" && said["error"]["code"] == -32603;
            assert!(is_refused || said["result"] == accept(&text), "{server} {text}: {told}");
        }
        session.ended().await;
    };
    for server in SERVERS {
        tokio::join!(one(server, "a"), one(server, "b"), one(server, "c"));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_forgotten_question_holds_up_nobody_of_the_same_member() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy").can(both());
    let forgotten = client.call(INTERVIEW, rounds(&json!([[form("forgotten")]])));
    asked(&forgotten.last().await);
    in_flight(&gateway, "legacy", 1).await;
    for turn in 0..3 {
        let text = format!("asked {turn}");
        let told = through(client.call(INTERVIEW, rounds(&json!([[form(&text)]])))).await;
        assert_eq!(told["rounds"][0]["q0"]["result"], accept(&text), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn one_member_has_a_bounded_number_of_open_questions() {
    let gateway = world("").await;
    let client = modern(&gateway, "legacy").can(both());
    let mut states = Vec::new();
    for turn in 0..64 {
        let call = client.call(INTERVIEW, rounds(&json!([[form(&turn.to_string())]])));
        let (questions, state) = asked(&call.clone().last().await);
        states.push((call, replies(&questions), state));
    }
    let more = client.call(INTERVIEW, rounds(&json!([[form("more")]])));
    let told = more.last().await;
    assert_ne!(told["result"]["resultType"], "input_required", "{told}");
    // One that is answered makes room.
    let (call, answers, state) = states.pop().expect("64");
    again(&call, answers, &state).result().await;
    asked(&client.call(INTERVIEW, rounds(&json!([[form("more")]]))).last().await);
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_taken_back_by_a_cancelled_call_is_answered_to_nobody() {
    let gateway = world("").await;
    for server in SERVERS {
        let session = Session::open(&gateway, server, both()).await;
        let mut answer = session.call(INTERVIEW, rounds(&json!([[form("x")]]))).id(3).send().await;
        let question = answer.until("elicitation/create").await;
        session.notify("notifications/cancelled", json!({"requestId": 3})).await;
        assert_eq!(answer.messages().await, Vec::<Value>::new(), "no answer to what is cancelled");
        if server == "legacy" {
            cancelled(&gateway, server, 1).await;
        }
        session.answer(&question, accept("late")).await;
        in_flight(&gateway, server, 0).await;
        assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_revoked_key_cannot_go_on_with_what_it_was_asked() {
    let gateway = world("").await;
    let made = make(&gateway, json!({"name": "a", "member": {"id": "user_a"}})).await;
    let call = asker(&gateway, &made.text).call(INTERVIEW, rounds(&json!([[form("x")]])));
    let (questions, state) = asked(&call.clone().last().await);
    revoke(&gateway, &made.id, "").await.expect(200);
    again(&call, replies(&questions), &state).refused(401, 401).await;
    gateway.stop().await;
}
