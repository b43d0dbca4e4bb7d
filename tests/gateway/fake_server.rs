//! The scripted server keeps its promises: what the other tests conclude from it is worth as much.

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::fake::{Fake, call, modern, request};
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn any_number_of_sleeps_runs_at_once_and_holds_nothing_up() {
    let mut fake = Fake::greeted(&[]).await;
    for id in 0..64 {
        fake.say(&call(id, "sleep", json!({"ms": 1_000}))).await;
    }
    assert_eq!(fake.ask(&call("quick", "echo", json!({"nonce": 1}))).await["id"], "quick");
    let mut ids = HashSet::new();
    for _ in 0..64 {
        ids.insert(fake.hear().await["id"].as_i64().expect("a number"));
    }
    assert_eq!(ids, (0..64).collect());
    let stats = fake.call("stats", json!({})).await;
    assert_eq!(stats["max_in_flight"], 64);
    assert_eq!(stats["in_flight"], 0);
    assert_eq!(stats["executions"], 66);
}

#[tokio::test]
async fn gathered_calls_are_answered_when_there_are_enough() {
    let mut fake = Fake::greeted(&[]).await;
    for id in 0..3 {
        fake.say(&call(id, "gather", json!({"count": 3}))).await;
        if id < 2 {
            assert_eq!(fake.call("stats", json!({})).await["in_flight"], id + 1);
        }
    }
    for id in 0..3 {
        assert_eq!(fake.hear().await["id"], id);
    }
}

#[tokio::test]
async fn a_cancelled_call_is_not_answered_and_is_on_record() {
    let mut fake = Fake::greeted(&[]).await;
    fake.say(&call(7, "sleep", json!({"ms": 1}))).await;
    assert_eq!(fake.hear().await["id"], 7);
    fake.say(&call(8, "sleep", json!({"ms": 600_000}))).await;
    let cancelled =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 8}});
    fake.say(&cancelled).await;
    let stats = fake.call("stats", json!({})).await;
    assert_eq!(stats["cancelled"], json!([8]));
    assert_eq!(stats["in_flight"], 0);
    assert_eq!(stats["notifications"][1]["method"], "notifications/cancelled");
}

#[tokio::test]
async fn progress_is_told_to_the_token_and_the_answer_comes_last() {
    let mut fake = Fake::greeted(&[]).await;
    let mut message = call(1, "progress", json!({"ms": 20, "every_ms": 5}));
    message["params"]["_meta"] = json!({"progressToken": "tok"});
    fake.say(&message).await;
    for step in 1..=4 {
        let told = fake.hear().await;
        assert_eq!(
            (&told["params"]["progressToken"], &told["params"]["progress"]),
            (&json!("tok"), &json!(step))
        );
    }
    assert_eq!(fake.hear().await["id"], 1);
}

#[tokio::test]
async fn the_tools_come_in_pages_whose_first_cursor_is_empty() {
    let mut fake = Fake::greeted(&["--pages", "3", "--tools", "10"]).await;
    let mut names = HashSet::new();
    let mut cursors = Vec::new();
    let mut params = json!({});
    loop {
        let reply = fake.ask(&request(1, "tools/list", params)).await;
        let tools = reply["result"]["tools"].as_array().expect("a list").clone();
        names.extend(tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()));
        let Some(cursor) = reply["result"].get("nextCursor") else { break };
        cursors.push(cursor.clone());
        params = json!({"cursor": cursor});
    }
    assert_eq!(cursors, [json!(""), json!("page-2")]);
    assert!(names.contains("echo") && names.contains("tool_0") && names.contains("tool_9"), "{names:?}");
    let refused = fake.ask(&request(2, "tools/list", json!({"cursor": "page-3"}))).await;
    assert_eq!(refused["error"]["code"], -32602);
    let mut endless = Fake::greeted(&["--page-loop"]).await;
    let mut cursor = endless.ask(&request(1, "tools/list", json!({}))).await["result"]["nextCursor"].clone();
    for _ in 0..50 {
        let reply = endless.ask(&request(1, "tools/list", json!({"cursor": cursor}))).await;
        assert_ne!(reply["result"]["nextCursor"], cursor);
        cursor = reply["result"]["nextCursor"].clone();
        assert!(cursor.is_string());
    }
}

#[tokio::test]
async fn a_legacy_server_reacts_to_the_probe_in_four_ways() {
    let probe = modern("probe", "server/discover", json!({}));
    for (mode, code) in [("reply-method-not-found", -32601), ("reply-invalid", -32602)] {
        assert_eq!(Fake::start(&["--probe", mode]).ask(&probe).await["error"]["code"], code);
    }
    let mut silent = Fake::start(&["--probe", "silent"]);
    silent.say(&probe).await;
    assert_eq!(
        silent.ask(&request(1, "ping", json!({}))).await["id"],
        1,
        "alive, but the probe has no answer"
    );
    let mut gone = Fake::start(&["--probe", "exit"]);
    gone.say(&probe).await;
    assert_eq!(gone.ended().await.code(), Some(1));
}

#[tokio::test]
async fn a_pinned_server_keeps_the_era_of_the_first_message() {
    let probe = modern(1, "server/discover", json!({}));
    let hello = request(2, "initialize", json!({"protocolVersion": "2025-11-25"}));
    let mut fake = Fake::start(&["--era", "pinned"]);
    assert_eq!(fake.ask(&probe).await["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(fake.ask(&hello).await["error"]["code"], -32022);
    let mut fake = Fake::start(&["--era", "pinned"]);
    assert!(fake.ask(&hello).await["result"].is_object());
    assert_eq!(fake.ask(&modern(3, "tools/list", json!({}))).await["error"]["code"], -32600);
    assert!(fake.ask(&request(4, "tools/list", json!({}))).await["result"]["tools"].is_array());
}

#[tokio::test]
async fn a_modern_server_wants_meta_and_dresses_its_results() {
    let mut fake = Fake::start(&["--era", "modern"]);
    assert_eq!(fake.ask(&request(1, "tools/list", json!({}))).await["error"]["code"], -32602);
    let hello = fake.ask(&request(2, "initialize", json!({"protocolVersion": "2025-11-25"}))).await;
    assert_eq!(hello["error"]["data"], json!({"supported": ["2026-07-28"], "requested": "2025-11-25"}));
    let listed = fake.ask(&modern(3, "tools/list", json!({}))).await;
    assert_eq!(
        (&listed["result"]["resultType"], &listed["result"]["ttlMs"]),
        (&json!("complete"), &json!(0))
    );
    let echo = json!({"name": "echo", "arguments": {"nonce": "n"}});
    let called = fake.ask(&modern(4, "tools/call", echo)).await;
    assert_eq!(called["result"]["resultType"], "complete");
    assert!(called["result"].get("ttlMs").is_none(), "a call cannot be cached");
    let missing = fake.ask(&modern(5, "resources/read", json!({"uri": "fake://none"}))).await;
    assert_eq!(missing["error"]["code"], -32602);
    let mut both = Fake::greeted(&["--era", "both"]).await;
    assert_eq!(
        both.ask(&request(1, "resources/read", json!({"uri": "fake://none"}))).await["error"]["code"],
        -32002
    );
    assert!(both.ask(&modern(2, "tools/list", json!({}))).await["result"]["resultType"].is_string());
}

#[tokio::test]
async fn noise_stands_between_frames_but_never_inside_one() {
    let mut fake = Fake::start(&["--noise", "--badline"]);
    for id in 0..12 {
        fake.say(&request(id, "ping", json!({}))).await;
    }
    let mut answered = Vec::new();
    let mut junk = 0;
    while answered.len() < 12 {
        let line = fake.hear_raw().await;
        match serde_json::from_slice::<Value>(&line) {
            Ok(message) if message["jsonrpc"] == "2.0" => {
                assert!(line.ends_with(b"\r"), "frames end in CRLF");
                answered.push(message["id"].as_i64().expect("a number"));
            }
            _ => junk += 1,
        }
    }
    assert_eq!(answered, (0..12).collect::<Vec<i64>>());
    assert_eq!(junk, 24);
}

#[tokio::test]
async fn strays_say_wrong_and_the_reply_is_among_them() {
    let mut fake = Fake::greeted(&["--weird-ids"]).await;
    fake.say(&call(5, "echo", json!({"nonce": "right"}))).await;
    fake.say(&request("end", "ping", json!({}))).await;
    let mut right = Vec::new();
    let mut wrong = 0;
    loop {
        let message = fake.hear().await;
        if message["id"] == "end" {
            break;
        }
        if message["result"]["content"][0]["text"] == "right" {
            right.push(message["id"].clone())
        } else {
            wrong += 1
        }
    }
    assert_eq!((right, wrong), (vec![json!(5)], 13));
}

#[tokio::test]
async fn unusable_input_is_dropped_in_silence() {
    let mut fake = Fake::greeted(&[]).await;
    fake.say_raw(b"\n{\n[]\n\xff\xfe\n{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}\n").await;
    fake.say_raw(
        b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"ping\"}\n{\"id\":1,\"method\":\"ping\"}\n5\n",
    )
    .await;
    assert_eq!(fake.ask(&request(9, "ping", json!({}))).await["id"], 9);
}

#[tokio::test]
async fn the_answers_to_its_questions_are_reported() {
    let mut fake = Fake::greeted(&[]).await;
    fake.say(&call("asking", "ask", json!({}))).await;
    for id in 0..4 {
        let question = fake.hear().await;
        assert_eq!(question["id"], id);
        let refused = json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}});
        let granted = json!({"jsonrpc": "2.0", "id": id, "result": {"roots": []}});
        fake.say(if question["method"] == "roots/list" { &granted } else { &refused }).await;
    }
    let report = fake.hear().await;
    assert_eq!(report["id"], "asking");
    let report = &report["result"]["structuredContent"];
    assert_eq!(report["roots/list"]["result"], json!({"roots": []}));
    assert_eq!(report["fake/unknown"]["error"]["code"], -32601);
    assert_eq!(report.as_object().map(serde_json::Map::len), Some(4));
}

#[tokio::test]
async fn executions_are_counted_in_a_file_that_survives_the_process() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("count");
    let flags = ["--count-file", path.to_str().expect("UTF-8")];
    for round in 1..=2 {
        let mut fake = Fake::greeted(&flags).await;
        fake.call("echo", json!({})).await;
        fake.say(&call(1, "crash", json!({"code": 7}))).await;
        assert_eq!(fake.ended().await.code(), Some(7));
        assert_eq!(fs::read(&path).expect("written").len(), 2 * round);
    }
    let mut fake = Fake::greeted(&[]).await;
    fake.say(&call(1, "crash", json!({"signal": 11}))).await;
    assert_eq!(fake.ended().await.signal(), Some(11));
}

#[tokio::test]
async fn the_end_of_input_ends_it_unless_it_is_stubborn() {
    let mut polite = Fake::greeted(&[]).await;
    polite.say(&call(1, "sleep", json!({"ms": 600_000}))).await;
    polite.close_stdin();
    assert!(polite.ended().await.success());
    let mut stubborn = Fake::greeted(&["--ignore-eof", "--ignore-term"]).await;
    // Answered before stdin closes, so what follows is not about a process that is still starting.
    assert_eq!(stubborn.ask(&request(1, "ping", json!({}))).await["id"], 1);
    stubborn.say(&call(2, "sleep", json!({"ms": 200}))).await;
    stubborn.close_stdin();
    let pid = Pid::from_raw(stubborn.pid());
    kill(pid, Signal::SIGTERM).expect("it lives");
    assert_eq!(stubborn.hear().await["id"], 2, "it goes on working after EOF and SIGTERM");
    kill(pid, Signal::SIGKILL).expect("it lives");
    assert_eq!(stubborn.ended().await.signal(), Some(9));
}

#[tokio::test]
async fn grandchildren_outlive_it_and_can_leave_its_session() {
    let mut fake = Fake::greeted(&[]).await;
    let server = Process::of(fake.pid().into());
    let mut grandchildren = Vec::new();
    for (mode, clear_env) in [("same-group", false), ("escape", false), ("escape", true)] {
        let answer = fake.call("spawn_child", json!({"mode": mode, "clear_env": clear_env})).await;
        let grandchild = Process::of(answer["pid"].as_i64().expect("a number"));
        assert_eq!(grandchild.session() != server.session(), mode == "escape");
        grandchildren.push(grandchild);
    }
    fake.close_stdin();
    fake.ended().await;
    for grandchild in grandchildren {
        assert!(grandchild.is_there(), "{grandchild:?}");
        kill(Pid::from_raw(grandchild.pid), Signal::SIGTERM).expect("it lives");
        assert!(grandchild.is_there(), "SIGTERM does not end it");
        grandchild.kill();
        // Its new parent reaps it, when that is a parent that reaps.
        wait_until("the grandchild is dead", DEADLINE, || async {
            let state = fs::read_to_string(format!("/proc/{}/stat", grandchild.pid)).unwrap_or_default();
            (!grandchild.is_there() || state.contains(") Z ")).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn endless_lines_and_deep_results_are_as_long_and_deep_as_told() {
    let mut fake = Fake::greeted(&["--noeol", "100000"]).await;
    fake.say(&call(1, "echo", json!({}))).await;
    fake.say(&call(2, "echo", json!({"nonce": "after"}))).await;
    let line = fake.hear_raw().await;
    assert!(line.starts_with(&[b'x'; 100_000]) && line[100_000] == b'{');
    let mut fake = Fake::greeted(&["--deep", "5"]).await;
    assert_eq!(fake.call("echo", json!({})).await, json!({"nested": [[[[[]]]]]}));
}

#[tokio::test]
async fn changed_tools_are_announced_to_those_who_listen() {
    let mut fake = Fake::greeted(&[]).await;
    let announced = fake.ask(&call(1, "change_tools", json!({}))).await;
    assert_eq!(announced["method"], "notifications/tools/list_changed");
    assert_eq!(fake.hear().await["id"], 1);
    let listed = fake.ask(&request(2, "tools/list", json!({}))).await;
    assert!(
        listed["result"]["tools"].as_array().expect("a list").iter().any(|tool| tool["name"] == "added_0")
    );
    let mut fake = Fake::start(&["--era", "modern"]);
    let listen = modern("ear", "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}}));
    assert_eq!(fake.ask(&listen).await["method"], "notifications/subscriptions/acknowledged");
    let announced = fake.ask(&modern(1, "tools/call", json!({"name": "change_tools"}))).await;
    assert_eq!(announced["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "ear");
}
