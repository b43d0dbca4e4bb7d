//! Progress, log messages and cancellation: what comes before an answer, for whom, and who has left.

use std::path::Path;

use serde_json::{Value, json};

use super::{SERVERS, cancelled, in_flight, servers, stats, world};
use crate::support::mcp::{Answer, OURS, Post, Session, modern};
use crate::support::{DEADLINE, wait_until};

const PROGRESS: &str = "notifications/progress";
const MESSAGE: &str = "notifications/message";

/// A folder with the files that calls wait for.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Files {
        Files(tempfile::tempdir().expect("a directory"))
    }

    /// Arguments of a call that waits for this file.
    fn arguments(&self, name: &str) -> Value {
        json!({"file": self.path(name)})
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        Path::join(self.0.path(), name)
    }

    fn make(&self, name: &str) {
        std::fs::write(self.path(name), "").expect("written");
    }
}

/// The methods of messages, and `result` or `error` for the answer.
fn kinds(messages: &[Value]) -> Vec<String> {
    let kind = |message: &Value| match message["method"].as_str() {
        Some(method) => method.to_owned(),
        None => if message["result"].is_object() { "result" } else { "error" }.to_owned(),
    };
    messages.iter().map(kind).collect()
}

/// Without log messages, which a session gets that has set no level.
fn unlogged(messages: Vec<Value>) -> Vec<Value> {
    messages.into_iter().filter(|one| one["method"] != MESSAGE).collect()
}

#[tokio::test]
async fn progress_comes_with_the_clients_own_token_before_the_answer() {
    let gateway = world("").await;
    let arguments = json!({"ms": 40, "every_ms": 10});
    for server in SERVERS {
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        for token in [json!("tok \"en\""), json!(0)] {
            for post in
                [client.call("progress", arguments.clone()), session.call("progress", arguments.clone())]
            {
                let mut answer = post.meta("progressToken", token.clone()).send().await;
                assert!(answer.is_stream());
                assert_eq!(answer.headers["x-accel-buffering"], "no");
                let messages = answer.messages().await;
                let (last, told) = messages.split_last().expect("messages");
                assert_eq!((&last["id"], &last["result"]["content"][0]["text"]), (&json!(1), &json!("done")));
                let steps: Vec<i64> =
                    told.iter().filter_map(|one| one["params"]["progress"].as_i64()).collect();
                assert_eq!(steps, [1, 2, 3, 4], "{server}: {told:?}");
                for one in told {
                    assert_eq!((&one["method"], &one["params"]["progressToken"]), (&json!(PROGRESS), &token));
                    assert!(one.get("id").is_none(), "{one}");
                }
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn who_asks_for_nothing_more_gets_a_plain_answer() {
    let gateway = world("").await;
    let arguments = json!({"ms": 30, "every_ms": 5});
    for server in SERVERS {
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        for post in [client.call("progress", arguments.clone()), session.call("progress", arguments.clone())]
        {
            let mut answer = post.send().await;
            assert!(!answer.is_stream(), "{server}");
            assert_eq!(answer.last().await["result"]["content"][0]["text"], "done");
        }
        for post in [client.call("progress", arguments.clone()), session.call("progress", arguments.clone())]
        {
            let post = post.meta("progressToken", 1).meta(&format!("{OURS}logLevel"), "debug");
            let mut answer = post.header("accept", "application/json").send().await;
            assert!(!answer.is_stream(), "it takes no stream");
            assert_eq!(answer.last().await["result"]["content"][0]["text"], "done");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn log_messages_reach_only_the_request_that_asked_and_from_its_level_on() {
    let gateway = world("").await;
    let files = Files::new();
    files.make("now");
    let level = format!("{OURS}logLevel");
    for server in SERVERS {
        let client = modern(&gateway, server);
        let arguments = |said: &str| json!({"file": files.path("now"), "level": said});
        for (least, said, comes) in [
            (Some("info"), "info", true),
            (Some("debug"), "emergency", true),
            (Some("error"), "warning", false),
            (None, "emergency", false),
        ] {
            let post = client.call("report", arguments(said));
            let post = match least {
                Some(least) => post.meta(&level, least),
                None => post,
            };
            let mut answer = post.send().await;
            assert_eq!(answer.is_stream(), comes, "{server} {least:?} {said}");
            if comes {
                let messages = answer.messages().await;
                assert_eq!(kinds(&messages), [MESSAGE, "result"], "{server}");
                let told = &messages[0]["params"];
                assert_eq!((&told["level"], &told["logger"]), (&json!(said), &json!("fake")));
                assert!(told["data"]["file"].is_string(), "{told}");
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_hears_log_messages_from_the_level_that_it_set() {
    let gateway = world("").await;
    let files = Files::new();
    files.make("now");
    for server in SERVERS {
        let session = Session::open(&gateway, server, json!({})).await;
        session.ask("logging/setLevel", json!({"level": "loud"})).refused(200, -32602).await;
        assert_eq!(session.ask("logging/setLevel", json!({"level": "error"})).result().await, json!({}));
        for (said, comes) in [("warning", false), ("error", true), ("alert", true)] {
            let mut answer =
                session.call("report", json!({"file": files.path("now"), "level": said})).send().await;
            assert_eq!(answer.is_stream(), comes, "{server} {said}");
            answer.last().await;
        }
        if server == "legacy" {
            assert_eq!(session.told("followed", json!({})).await["level"], "error");
        }
        session.ended().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn clients_with_the_same_id_and_token_get_their_own_progress_and_answer() {
    let gateway = world("").await;
    let files = Files::new();
    for server in SERVERS {
        let client = modern(&gateway, server);
        let first = Session::open(&gateway, server, json!({})).await;
        let second = Session::open(&gateway, server, json!({})).await;
        let begin = async |name: &str, post: Post<'_>| -> Answer {
            let mut answer = post.meta("progressToken", 1).send().await;
            let told = answer.until(PROGRESS).await;
            assert_eq!(
                (&told["params"]["progressToken"], &told["params"]["total"]),
                (&json!(1), &json!(2)),
                "{name}"
            );
            answer
        };
        let wait = |name: &str| files.arguments(&format!("{server} {name}"));
        // Each before the next one, so that what is told cannot be another one's.
        let mut answers = vec![
            ("a", begin("a", client.call("report", wait("a"))).await),
            ("b", begin("b", client.call("report", wait("b"))).await),
            ("c", begin("c", first.call("report", wait("c"))).await),
            ("d", begin("d", second.call("report", wait("d"))).await),
        ];
        in_flight(&gateway, server, 4).await;
        while let Some((name, mut answer)) = answers.pop() {
            files.make(&format!("{server} {name}"));
            let messages = unlogged(answer.messages().await);
            assert_eq!(kinds(&messages), ["result"], "{name}");
            in_flight(&gateway, server, answers.len()).await;
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_thousand_calls_with_the_same_id_get_their_own_answers() {
    let gateway = std::sync::Arc::new(world("").await);
    let mut asking = tokio::task::JoinSet::new();
    for worker in 0..20u32 {
        let gateway = gateway.clone();
        asking.spawn(async move {
            let server = SERVERS[worker as usize % 2];
            let (client, session) =
                (modern(&gateway, server), Session::open(&gateway, server, json!({})).await);
            for turn in 0..25u32 {
                let nonce = worker * 1000 + turn;
                let (a, b) = tokio::join!(
                    client.call("echo", json!({"nonce": nonce})).result(),
                    session.call("echo", json!({"nonce": nonce + 500})).result()
                );
                assert_eq!(a["structuredContent"]["nonce"], nonce);
                assert_eq!(b["structuredContent"]["nonce"], nonce + 500);
            }
        });
    }
    asking.join_all().await;
    std::sync::Arc::into_inner(gateway).expect("all have ended").stop().await;
}

#[tokio::test]
async fn a_modern_client_that_leaves_has_cancelled_its_request() {
    let gateway = world("").await;
    let files = Files::new();
    for server in SERVERS {
        let client = modern(&gateway, server);
        // In the middle of a stream, and before there is any answer.
        let mut answer =
            client.call("report", files.arguments("never")).meta("progressToken", 1).send().await;
        answer.until(PROGRESS).await;
        let unanswered = client.call("wait_for", files.arguments("never")).send();
        let mut unanswered = Box::pin(unanswered);
        tokio::select! {
            _ = &mut unanswered => panic!("an answer"),
            () = in_flight(&gateway, server, 2) => {}
        }
        drop(answer);
        cancelled(&gateway, server, 1).await;
        drop(unanswered);
        cancelled(&gateway, server, 2).await;
        in_flight(&gateway, server, 0).await;
        assert_eq!(client.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_legacy_client_that_leaves_has_cancelled_nothing_and_can_come_back() {
    let gateway = world("").await;
    let files = Files::new();
    for server in SERVERS {
        let session = Session::open(&gateway, server, json!({})).await;
        let call = session.call("report", files.arguments(server)).id(5).meta("progressToken", 1);
        let mut answer = call.send().await;
        // So that a client whose connection breaks at once can come back, too.
        let primed = answer.next().await.expect("an event");
        assert_eq!((&primed.message, primed.id.is_some()), (&Value::Null, true));
        let event = loop {
            let event = answer.next().await.expect("an event");
            if event.message["method"] == PROGRESS {
                break event.id.expect("an id");
            }
        };
        drop(answer);
        // Another request goes over its connection and back, so the first one's end has been seen.
        session.told("echo", json!({})).await;
        in_flight(&gateway, server, 1).await;
        files.make(server);
        in_flight(&gateway, server, 0).await;
        assert_eq!(stats(&gateway, server).await["cancelled"], json!([]), "{server}");
        let messages = session.resume(&event).send().await.messages().await;
        let answers: Vec<&Value> = messages.iter().filter(|one| one["id"] == 5).collect();
        assert_eq!(answers.len(), 1, "{messages:?}");
        assert!(!kinds(&messages).contains(&PROGRESS.to_owned()), "it was seen before: {messages:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_cancellation_in_a_session_ends_the_request_it_names_and_no_other() {
    let gateway = world("").await;
    let files = Files::new();
    for server in SERVERS {
        let first = Session::open(&gateway, server, json!({})).await;
        let second = Session::open(&gateway, server, json!({})).await;
        let begin = async |session: &Session<'_>, id: Value| {
            let call = session.call("report", files.arguments(server)).id(id).meta("progressToken", 1);
            let mut answer = call.send().await;
            answer.until(PROGRESS).await;
            answer
        };
        let mut number = begin(&first, json!(1)).await;
        let mut text = begin(&first, json!("1")).await;
        let mut other = begin(&second, json!(1)).await;
        in_flight(&gateway, server, 3).await;
        first.notify("notifications/cancelled", json!({"requestId": 1, "reason": "enough"})).await;
        cancelled(&gateway, server, 1).await;
        assert_eq!(
            kinds(&unlogged(number.messages().await)),
            Vec::<String>::new(),
            "no answer to what is cancelled"
        );
        in_flight(&gateway, server, 2).await;
        files.make(server);
        assert_eq!(text.last().await["id"], "1");
        assert_eq!(other.last().await["id"], 1);
        assert_eq!(stats(&gateway, server).await["cancelled"].as_array().map(Vec::len), Some(1));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_after_all_harms_nobody() {
    let gateway = servers(&["--ignore-cancel"]).start().await;
    let files = Files::new();
    for server in SERVERS {
        gateway.wait_state(server, "ready").await;
        let client = modern(&gateway, server);
        let session = Session::open(&gateway, server, json!({})).await;
        let mut left = client.call("report", files.arguments(server)).meta("progressToken", 1).send().await;
        left.until(PROGRESS).await;
        let called_off = session.call("report", files.arguments(server)).id(9).meta("progressToken", 1);
        let mut called_off = called_off.send().await;
        called_off.until(PROGRESS).await;
        drop(left);
        session.notify("notifications/cancelled", json!({"requestId": 9})).await;
        cancelled(&gateway, server, 2).await;
        let mut waits =
            session.call("report", files.arguments("later")).id(9).meta("progressToken", 1).send().await;
        waits.until(PROGRESS).await;
        // Both are answered now, before the one that waits.
        files.make(server);
        in_flight(&gateway, server, 1).await;
        for nonce in 0..20 {
            assert_eq!(client.told("echo", json!({"nonce": nonce})).await["nonce"], nonce, "{server}");
        }
        files.make("later");
        assert_eq!(kinds(&unlogged(waits.messages().await)), ["result"], "{server}");
        std::fs::remove_file(files.path("later")).expect("removed");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_long_silence_becomes_a_stream_and_the_answer_comes_in_it() {
    let gateway = world("").await;
    let files = Files::new();
    let client = modern(&gateway, "legacy");
    let session = Session::open(&gateway, "modern", json!({})).await;
    let began = std::time::Instant::now();
    let (mut by_modern, mut by_legacy) = tokio::join!(
        client.call("wait_for", files.arguments("f")).send(),
        session.call("wait_for", files.arguments("f")).send()
    );
    assert!(by_modern.is_stream() && by_legacy.is_stream(), "after {:?}", began.elapsed());
    files.make("f");
    for answer in [&mut by_modern, &mut by_legacy] {
        assert_eq!(kinds(&answer.messages().await), ["result"]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_over_its_time_is_an_answer_and_is_cancelled_at_the_child() {
    let gateway = servers(&[]).config_toml("[http]\ncall_timeout = \"1s\"\n").start().await;
    let files = Files::new();
    for server in SERVERS {
        gateway.wait_state(server, "ready").await;
        let told =
            modern(&gateway, server).call("wait_for", files.arguments("never")).refused(200, -32603).await;
        assert_eq!(told["error"]["data"]["retry"], "outcome_unknown", "{told}");
        cancelled(&gateway, server, 1).await;
        let session = Session::open(&gateway, server, json!({})).await;
        session.call("wait_for", files.arguments("never")).refused(200, -32603).await;
        wait_until("the child has heard of the second", DEADLINE, || async {
            (stats(&gateway, server).await["cancelled"].as_array().map(Vec::len) == Some(2)).then_some(())
        })
        .await;
    }
    gateway.stop().await;
}
