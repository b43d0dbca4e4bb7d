//! Sessions of the legacy era: whose they are, their own stream, coming back to one, and their end.

use serde_json::{Value, json};

use super::{SERVERS, cancelled, in_flight, kill, world};
use crate::revoking::make;
use crate::support::gateway::Gateway;
use crate::support::mcp::{Answer, LEGACY, Session, modern};
use crate::support::{DEADLINE, wait_until};

const MESSAGE: &str = "notifications/message";
const TOOLS: &str = "notifications/tools/list_changed";
const PROMPTS: &str = "notifications/prompts/list_changed";
const RESOURCES: &str = "notifications/resources/list_changed";
const UPDATED: &str = "notifications/resources/updated";

async fn open<'a>(gateway: &'a Gateway, server: &str) -> Session<'a> {
    Session::open(gateway, server, json!({})).await
}

/// The session's own stream.
async fn own_stream(session: &Session<'_>) -> Answer {
    let stream = session.stream().send().await;
    assert!(stream.is_stream());
    stream
}

/// Waits until the stream has ended.
async fn ends(mut stream: Answer) -> Vec<Value> {
    stream.messages().await
}

#[tokio::test]
async fn a_session_is_there_for_its_member_and_its_server_only() {
    let gateway = world("").await;
    let first = make(&gateway, json!({"name": "a", "member": {"id": "user_a"}})).await;
    let second = make(&gateway, json!({"name": "b", "owner_id": "user_a"})).await;
    let other = make(&gateway, json!({"name": "c", "member": {"id": "user_b"}})).await;
    let session = Session::open_as(&gateway, "legacy", &first.text, LEGACY, json!({})).await;
    let owner = gateway.key().to_owned();
    for stranger in [Some(other.text.as_str()), Some(owner.as_str()), None] {
        let theirs = session.with_key(stranger);
        theirs.ask("ping", json!({})).refused(404, 404).await;
        theirs.stream().refused(404, 404).await;
        theirs.end().refused(404, 404).await;
    }
    session.at("modern").ask("ping", json!({})).refused(404, 404).await;
    session.at("nobody").ask("ping", json!({})).refused(404, 404).await;
    let same = session.with_key(Some(&second.text));
    assert_eq!(same.ask("ping", json!({})).result().await, json!({}));
    session.ended().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_id_that_is_under_way_is_refused_and_free_again_afterwards() {
    let gateway = world("").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("f");
    for server in SERVERS {
        let session = open(&gateway, server).await;
        let wait = session.call("report", json!({"file": file})).id(1).meta("progressToken", 1);
        let mut first = wait.send().await;
        first.until("notifications/progress").await;
        let told = session.call("echo", json!({"nonce": 1})).id(1).refused(200, -32600).await;
        assert_eq!(told["id"], 1);
        let text = session.call("echo", json!({"nonce": 1})).id("1").result().await;
        assert_eq!(text["structuredContent"]["nonce"], 1, "another id");
        std::fs::write(&file, "").expect("written");
        assert_eq!(first.last().await["id"], 1);
        wait_until("the id is free", DEADLINE, || async {
            session.call("echo", json!({"nonce": 2})).id(1).last().await["result"].is_object().then_some(())
        })
        .await;
        std::fs::remove_file(&file).expect("removed");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn an_ended_session_is_gone_and_what_was_under_way_in_it_cancelled() {
    let gateway = world("").await;
    let directory = tempfile::tempdir().expect("a directory");
    for server in SERVERS {
        let session = open(&gateway, server).await;
        let stream = own_stream(&session).await;
        let wait = session.call("report", json!({"file": directory.path().join("never")}));
        let mut call = wait.meta("progressToken", 1).send().await;
        call.until("notifications/progress").await;
        session.clone().ended().await;
        let rest = call.messages().await;
        assert!(
            rest.iter().all(|one| one["method"] == "notifications/message"),
            "{server}: no answer: {rest:?}"
        );
        assert_eq!(ends(stream).await, Vec::<Value>::new(), "{server}");
        cancelled(&gateway, server, 1).await;
        in_flight(&gateway, server, 0).await;
        for post in [session.ask("ping", json!({})), session.stream(), session.end()] {
            post.refused(404, 404).await;
        }
        assert_eq!(open(&gateway, server).await.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_of_a_list_is_told_once_to_each_session_after_the_list_has_it() {
    let gateway = world("").await;
    for server in SERVERS {
        let (first, second) = (open(&gateway, server).await, open(&gateway, server).await);
        let mut streams = [own_stream(&first).await, own_stream(&second).await];
        let before = first.ask("tools/list", json!({})).result().await["tools"].as_array().map(Vec::len);
        first.told("change_tools", json!({})).await;
        for stream in &mut streams {
            let told = stream.message().await;
            assert_eq!((&told["method"], told.get("id")), (&json!(TOOLS), None), "{server}");
        }
        let after = first.ask("tools/list", json!({})).result().await["tools"].as_array().map(Vec::len);
        assert_eq!(after, before.map(|count| count + 1), "{server}");
        for (list, method) in [("prompts", PROMPTS), ("resources", RESOURCES)] {
            first.told("change", json!({"list": list})).await;
            for stream in &mut streams {
                // The next one: nothing came twice, and nothing that nobody announced.
                assert_eq!(stream.message().await["method"], method, "{server}");
            }
        }
        first.ended().await;
        second.ended().await;
        for stream in streams {
            assert_eq!(ends(stream).await, Vec::<Value>::new(), "{server}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn log_messages_about_no_request_are_for_the_only_member_served() {
    let gateway = world("").await;
    let other = make(&gateway, json!({"name": "b", "member": {"id": "user_b"}})).await;
    for server in SERVERS {
        let session = open(&gateway, server).await;
        let theirs = Session::open_as(&gateway, server, &other.text, LEGACY, json!({})).await;
        let (mut stream, mut their_stream) = (own_stream(&session).await, own_stream(&theirs).await);
        session.ask("logging/setLevel", json!({"level": "warning"})).result().await;
        for (level, data) in [("info", "quiet"), ("error", "loud")] {
            session.told("murmur", json!({"level": level, "data": data})).await;
        }
        let told = stream.message().await;
        assert_eq!((&told["method"], &told["params"]["data"]), (&json!(MESSAGE), &json!("loud")), "{server}");
        // From now on it may be about either of them.
        theirs.told("murmur", json!({"level": "error", "data": "whose?"})).await;
        session.told("murmur", json!({"level": "error", "data": "whose?"})).await;
        wait_until("both have been said", DEADLINE, || async {
            let log = gateway.get(&format!("/v1/mcps/{server}/logs")).await.expect(200).to_string();
            (log.matches("whose?").count() == 2).then_some(())
        })
        .await;
        session.told("change", json!({"list": "prompts"})).await;
        for stream in [&mut stream, &mut their_stream] {
            assert_eq!(stream.message().await["method"], PROMPTS, "{server}: the next one");
        }
        session.ended().await;
        theirs.ended().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn updates_of_a_resource_reach_the_sessions_that_follow_it() {
    let gateway = world("").await;
    for server in SERVERS {
        let (first, second) = (open(&gateway, server).await, open(&gateway, server).await);
        let (mut one, mut two) = (own_stream(&first).await, own_stream(&second).await);
        let follow = async |session: &Session<'_>, method: &str, uri: &str| {
            assert_eq!(session.ask(method, json!({"uri": uri})).result().await, json!({}), "{server}");
        };
        follow(&first, "resources/subscribe", "fake://one").await;
        follow(&second, "resources/subscribe", "fake://two").await;
        follow(&second, "resources/subscribe", "fake://three").await;
        let touch = async |uri: &str| {
            let told = first.told("touch", json!({"uri": uri})).await;
            told["followed"].clone()
        };
        assert_eq!(touch("fake://nobody's").await, json!(["fake://one", "fake://three", "fake://two"]));
        touch("fake://two").await;
        touch("fake://one").await;
        let told = one.message().await;
        assert_eq!((&told["method"], &told["params"]), (&json!(UPDATED), &json!({"uri": "fake://one"})));
        assert_eq!(two.message().await["params"]["uri"], "fake://two", "{server}");
        follow(&second, "resources/unsubscribe", "fake://two").await;
        wait_until("the child has heard of it", DEADLINE, || async {
            (touch("fake://nobody's").await == json!(["fake://one", "fake://three"])).then_some(())
        })
        .await;
        touch("fake://two").await;
        touch("fake://three").await;
        assert_eq!(two.message().await["params"]["uri"], "fake://three", "{server}");
        // Who has gone follows nothing.
        second.clone().ended().await;
        wait_until("the child has heard of it", DEADLINE, || async {
            (touch("fake://nobody's").await == json!(["fake://one"])).then_some(())
        })
        .await;
        first.ask("resources/subscribe", json!({})).refused(200, -32602).await;
        first.clone().ended().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_stream_of_a_session_takes_over_from_the_first() {
    let gateway = world("").await;
    let session = open(&gateway, "legacy").await;
    let first = own_stream(&session).await;
    let mut second = own_stream(&session).await;
    assert_eq!(ends(first).await, Vec::<Value>::new());
    session.told("change", json!({"list": "prompts"})).await;
    assert_eq!(second.message().await["method"], PROMPTS);
    gateway.stop().await;
}

#[tokio::test]
async fn who_comes_back_to_its_own_stream_is_told_what_may_have_changed() {
    let gateway = world("").await;
    let session = open(&gateway, "legacy").await;
    session.ask("resources/subscribe", json!({"uri": "fake://one"})).result().await;
    let mut stream = own_stream(&session).await;
    session.told("change", json!({"list": "prompts"})).await;
    let event = loop {
        let event = stream.next().await.expect("an event");
        if event.message["method"] == PROMPTS {
            break event.id.expect("an id");
        }
    };
    drop(stream);
    session.told("touch", json!({"uri": "fake://one"})).await;
    let mut back = session.resume(&event).send().await;
    back.until(UPDATED).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_event_opens_the_rest_of_its_own_stream_and_of_no_other() {
    let gateway = world("").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("f");
    std::fs::write(&file, "").expect("written");
    let (first, second) = (open(&gateway, "legacy").await, open(&gateway, "legacy").await);
    let finished = async |session: &Session<'_>, id: &str| {
        let call =
            session.call("report", json!({"file": file, "level": id})).id(id).meta("progressToken", id);
        let mut answer = call.send().await;
        // The first event only has an id, by which all the rest can be asked for.
        answer.next().await.expect("an event").id.expect("an id")
    };
    let (of_a, of_b) = (finished(&first, "a").await, finished(&first, "b").await);
    in_flight(&gateway, "legacy", 0).await;
    assert_ne!(of_a, of_b);
    for (event, id) in [(&of_b, "b"), (&of_a, "a")] {
        let messages = first.resume(event).send().await.messages().await;
        assert_eq!(messages.last().expect("messages")["id"], id);
        for one in messages.iter().filter(|one| one["method"] == "notifications/progress") {
            assert_eq!(one["params"]["progressToken"], id);
        }
    }
    // The same words in another session are about its own streams, of which there are none. What is not kept, or no id
    // of an event, leads to the stream that a session has of its own, with nothing of a call.
    let odd = ["999999-1", "18446744073709551615-0", "x", "-1", "1", "1-", "1-2-3", ""];
    for (session, event) in odd.into_iter().map(|odd| (&first, odd)).chain([(&second, of_a.as_str())]) {
        let mut stream = session.resume(event).send().await;
        assert!(stream.is_stream() && stream.status == 200, "{event}");
        session.told("change", json!({"list": "prompts"})).await;
        let told = stream.until(PROMPTS).await;
        assert!(told.get("id").is_none(), "{told}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_of_an_older_version_gets_no_events_without_a_message() {
    let gateway = world("").await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("f");
    std::fs::write(&file, "").expect("written");
    for version in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        let session = Session::open_as(&gateway, "legacy", gateway.key(), version, json!({})).await;
        let mut answer = session.call("report", json!({"file": file})).meta("progressToken", 1).send().await;
        while let Some(event) = answer.next().await {
            assert!(event.id.is_none() && event.message.is_object(), "{version}: {event:?}");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_outlives_its_child_and_what_it_followed_is_followed_again() {
    let gateway = world("").await;
    for server in SERVERS {
        let session = open(&gateway, server).await;
        session.ask("logging/setLevel", json!({"level": "warning"})).result().await;
        session.ask("resources/subscribe", json!({"uri": "fake://one"})).result().await;
        let mut stream = own_stream(&session).await;
        kill(&gateway, server).await;
        assert_eq!(session.told("echo", json!({"nonce": 1})).await["nonce"], 1, "{server}");
        wait_until("the new child knows what is wanted", DEADLINE, || async {
            let told = session.told("followed", json!({})).await;
            let has_level = server == "modern" || told["level"] == "warning";
            (told["followed"] == json!(["fake://one"]) && has_level).then_some(())
        })
        .await;
        session.told("touch", json!({"uri": "fake://one"})).await;
        stream.until(UPDATED).await;
        session.told("change", json!({"list": "prompts"})).await;
        stream.until(PROMPTS).await;
        session.ended().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_session_outlives_the_daemon_and_ids_that_nobody_gave_do_not_count() {
    let mut gateway = world("").await;
    let id = open(&gateway, "legacy").await.id;
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    gateway.wait_state("legacy", "ready").await;
    let session = open(&gateway, "legacy").await;
    let with = |id: &str| session.ask("ping", json!({})).header("mcp-session-id", id);
    assert_eq!(with(&id).result().await, json!({}));
    assert_eq!(with(&id).result().await, json!({}));
    let (last, other) = id.split_at(id.len() - 1);
    let forged = format!("{last}{}", if other == "0" { "1" } else { "0" });
    with(&forged).refused(404, 404).await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_open_stream_of_a_session_ends_when_the_daemon_does() {
    let mut gateway = world("[server]\ndrain = \"1s\"\n").await;
    let stream = own_stream(&open(&gateway, "legacy").await).await;
    let status = gateway.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(ends(stream).await, Vec::<Value>::new());
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_is_removed_takes_its_sessions_along() {
    let gateway = world("").await;
    let session = open(&gateway, "legacy").await;
    let stream = own_stream(&session).await;
    gateway.delete("/api/servers/legacy").await.expect(200);
    assert_eq!(ends(stream).await, Vec::<Value>::new());
    session.call("echo", json!({})).refused(404, 404).await;
    modern(&gateway, "legacy").call("echo", json!({})).refused(404, 404).await;
    gateway.stop().await;
}
