//! `mcpvisor stdio`: the same front door on two pipes, for clients of both eras.

use std::fs;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::{SERVERS, accept, both, cancelled, form, in_flight, sample, sampled, servers, world};
use crate::support::bridge::{Bridge, opening};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::processes;
use crate::support::{DEADLINE, wait_until};

const CANCELLED: &str = "notifications/cancelled";
const PROGRESS: &str = "notifications/progress";
const PROMPTS: &str = "notifications/prompts/list_changed";
const UPDATED: &str = "notifications/resources/updated";

fn call(tool: &str, arguments: Value) -> Value {
    json!({"name": tool, "arguments": arguments})
}

/// Arguments of `interview`.
fn rounds_of(rounds: &Value) -> Value {
    json!({"rounds": rounds})
}

fn with_token(mut params: Value, token: Value) -> Value {
    params["_meta"]["progressToken"] = token;
    params
}

/// Waits until the server is asked again for updates of the resource.
async fn followed_again(gateway: &Gateway) {
    wait_until("the resource is followed again", DEADLINE, || async {
        let told = gateway.call("legacy", "followed", json!({})).await;
        (told["followed"] == json!(["fake://one"])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_of_both_eras_go_through_at_once_each_with_its_progress() {
    let gateway = world("").await;
    for server in SERVERS {
        let mut bridge = Bridge::to(&gateway, &[server]);
        let opened = bridge.open(json!({})).await;
        assert_eq!(opened["serverInfo"]["name"], "fake-mcp");
        let slow = with_token(call("progress", json!({"ms": 300, "every_ms": 50})), json!("t"));
        bridge.ask("slow", "tools/call", slow);
        let slow = with_token(call("progress", json!({"ms": 300, "every_ms": 50})), json!(7));
        bridge.ask_modern("modern", "tools/call", slow);
        // Eighty at once, which is more than the daemon is sent at once.
        for id in 1..=80 {
            bridge.ask(id, "tools/call", call("echo", json!({"nonce": id})));
            bridge.ask_modern(1000 + id, "tools/call", call("echo", json!({"nonce": 1000 + id})));
        }
        for id in (1..=80).chain(1001..=1080) {
            let answer = bridge.answer(id).await;
            assert_eq!(answer["result"]["structuredContent"]["nonce"], id, "{server}: {answer}");
        }
        for (id, token) in [("slow", json!("t")), ("modern", json!(7))] {
            let told = bridge.next("progress", |it| it["params"]["progressToken"] == token).await;
            assert_eq!(told["method"], PROGRESS);
            assert!(bridge.answer(id).await["result"].is_object(), "{server}");
        }
        bridge.ask_modern("d", "server/discover", json!({}));
        assert_eq!(bridge.answer("d").await["result"]["supportedVersions"], json!(["2026-07-28"]));
        bridge.ask_modern("u", "no/such", json!({}));
        assert_eq!(bridge.answer("u").await["error"]["code"], -32601);
        assert!(
            bridge.kept().iter().all(|it| it.get("id").is_none()),
            "each has one answer: {:?}",
            bridge.kept()
        );
        bridge.says(&format!("connected to \"{server}\" of the daemon at ")).await;
        bridge.done().await;
    }
    let mut all = Bridge::to(&gateway, &[]);
    all.open(json!({})).await;
    assert_eq!(all.told("legacy__echo", json!({"nonce": 1})).await["nonce"], 1);
    all.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_cancelled_request_is_cancelled_in_the_server_and_has_no_answer() {
    let gateway = world("").await;
    for server in SERVERS {
        let mut bridge = Bridge::to(&gateway, &[server]);
        bridge.open(json!({})).await;
        bridge.ask("legacy", "tools/call", call("sleep", json!({"ms": 600_000})));
        bridge.ask_modern("modern", "tools/call", call("sleep", json!({"ms": 600_000})));
        in_flight(&gateway, server, 2).await;
        bridge.notify(CANCELLED, json!({"requestId": "legacy"}));
        cancelled(&gateway, server, 1).await;
        bridge.notify(CANCELLED, json!({"requestId": "modern"}));
        cancelled(&gateway, server, 2).await;
        // At once after the request, which it may not overtake for good.
        bridge.ask("again", "tools/call", call("sleep", json!({"ms": 600_000})));
        bridge.notify(CANCELLED, json!({"requestId": "again"}));
        bridge.notify(CANCELLED, json!({"requestId": "nobody's"}));
        in_flight(&gateway, server, 0).await;
        bridge.ask("ping", "ping", json!({}));
        assert_eq!(bridge.answer("ping").await["result"], json!({}));
        assert!(bridge.kept().iter().all(|it| it.get("id").is_none()), "{:?}", bridge.kept());
        bridge.done().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn questions_of_a_server_reach_the_client_and_its_answers_the_server() {
    let gateway = world("").await;
    for server in SERVERS {
        let mut bridge = Bridge::to(&gateway, &[server]);
        bridge.open(both()).await;
        let interview = call("interview", rounds_of(&json!([[form("first"), sample("second")]])));
        bridge.ask(1, "tools/call", interview.clone());
        for _ in 0..2 {
            let asked = bridge.question().await;
            let result = match asked["method"].as_str() {
                Some("elicitation/create") => accept("me"),
                _ => sampled("it"),
            };
            bridge.reply(&asked, result);
        }
        let told = bridge.answer(1).await["result"]["structuredContent"]["rounds"][0].clone();
        assert_eq!(
            (&told["q0"]["result"], &told["q1"]["result"]),
            (&accept("me"), &sampled("it")),
            "{server}"
        );

        let mut modern = interview;
        modern["_meta"]["io.modelcontextprotocol/clientCapabilities"] = both();
        bridge.ask_modern(2, "tools/call", modern.clone());
        let asked = bridge.answer(2).await["result"].clone();
        assert_eq!(asked["resultType"], "input_required", "{asked}");
        let questions = asked["inputRequests"].as_object().expect("questions");
        let answers = questions.iter().map(|(key, question)| {
            let is_form = question["method"] == "elicitation/create";
            (key.clone(), if is_form { accept("me") } else { sampled("it") })
        });
        modern["inputResponses"] = answers.collect::<serde_json::Map<_, _>>().into();
        modern["requestState"] = asked["requestState"].clone();
        bridge.ask_modern(3, "tools/call", modern);
        assert_eq!(bridge.answer(3).await["result"]["resultType"], "complete", "{server}");
        bridge.done().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn changes_are_told_to_both_eras_and_no_more_once_that_was_cancelled() {
    let gateway = world("").await;
    for server in SERVERS {
        let mut legacy = Bridge::to(&gateway, &[server]);
        legacy.open(json!({})).await;
        let mut modern = Bridge::to(&gateway, &[server]);
        modern.ask_modern(
            "l",
            "subscriptions/listen",
            json!({"notifications": {"promptsListChanged": true}}),
        );
        modern.notice("notifications/subscriptions/acknowledged").await;
        legacy.ask("s", "resources/subscribe", json!({"uri": "fake://one"}));
        assert_eq!(legacy.answer("s").await["result"], json!({}));
        // Its own stream is opened after its session.
        while legacy.soon(PROMPTS).await.is_none() {
            gateway.call(server, "change", json!({"list": "prompts"})).await;
        }
        let told = modern.notice(PROMPTS).await;
        assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], "l", "{told}");
        legacy.told("touch", json!({"uri": "fake://one"})).await;
        assert_eq!(legacy.notice(UPDATED).await["params"]["uri"], "fake://one");
        modern.notify(CANCELLED, json!({"requestId": "l"}));
        modern.ask_modern("l", "subscriptions/listen", json!({"notifications": {}}));
        modern.notice("notifications/subscriptions/acknowledged").await;
        legacy.done().await;
        modern.done().await;
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_finished_when_the_client_closes_its_end() {
    let gateway = world("").await;
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.open(json!({})).await;
    bridge.ask(1, "tools/call", call("sleep", json!({"ms": 400})));
    bridge.ask_modern(2, "tools/call", call("sleep", json!({"ms": 400})));
    bridge.close();
    for id in [1, 2] {
        assert!(bridge.answer(id).await["result"].is_object());
    }
    assert!(bridge.ended().await.success());

    // A signal is not waited out, and what is under way ends with the bridge in either era.
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.open(json!({})).await;
    bridge.ask(1, "tools/call", call("sleep", json!({"ms": 600_000})));
    bridge.ask_modern(2, "tools/call", call("sleep", json!({"ms": 600_000})));
    in_flight(&gateway, "legacy", 2).await;
    bridge.signal(Signal::SIGTERM);
    for id in [1, 2] {
        assert_eq!(bridge.answer(id).await["error"]["data"]["retry"], "outcome_unknown");
    }
    assert!(bridge.ended().await.success());
    in_flight(&gateway, "legacy", 0).await;

    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.open(json!({})).await;
    bridge.read_no_more();
    // Whether a pipe is read shows when something is written to it.
    while bridge.runs() {
        bridge.try_line("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(bridge.ended().await.code(), Some(74), "{}", bridge.said());
    gateway.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_killed_is_an_error_and_its_successor_is_found() {
    let mut gateway = world("").await;
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.open(both()).await;
    bridge.ask("s", "resources/subscribe", json!({"uri": "fake://one"}));
    bridge.answer("s").await;
    bridge.ask("call", "tools/call", call("sleep", json!({"ms": 600_000})));
    bridge.ask_modern("modern", "tools/call", call("sleep", json!({"ms": 600_000})));
    bridge.ask_modern(
        "listen",
        "subscriptions/listen",
        json!({"notifications": {"promptsListChanged": true}}),
    );
    in_flight(&gateway, "legacy", 2).await;
    gateway.kill_9().await;
    for (id, retry) in [("call", "outcome_unknown"), ("modern", "outcome_unknown"), ("listen", "safe")] {
        let data = bridge.answer(id).await["error"]["data"].clone();
        assert_eq!(data, json!({"kind": "daemon_lost", "retry": retry}), "{id}");
    }
    bridge.ask("gone", "tools/call", call("echo", json!({})));
    let data = bridge.answer("gone").await["error"]["data"].clone();
    assert_eq!(data, json!({"kind": "daemon_unreachable", "retry": "safe"}));
    bridge.says("does not answer").await;
    gateway.restart().await;
    gateway.wait_state("legacy", "ready").await;
    assert_eq!(bridge.told("echo", json!({"nonce": 5})).await["nonce"], 5);
    bridge.says("answers again").await;
    // What it followed is followed again without its doing.
    followed_again(&gateway).await;
    bridge.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_lost_session_is_opened_again_and_no_call_is_made_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let count = directory.path().join("count");
    let counted = ["--count-file", count.to_str().expect("UTF-8")];
    let mut gateway = servers(&counted).start().await;
    gateway.wait_state("legacy", "ready").await;
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.open(json!({})).await;
    bridge.ask("s", "resources/subscribe", json!({"uri": "fake://one"}));
    bridge.answer("s").await;
    assert_eq!(bridge.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    assert!(gateway.terminate().await.success());
    // Without the key of the seals no session is known.
    fs::remove_file(gateway.data().join("mcp-sessions.key")).expect("it is there");
    gateway.restart().await;
    gateway.wait_state("legacy", "ready").await;
    let called = |path: &Path| fs::read(path).expect("there").len();
    let before = called(&count);
    for nonce in 0..20 {
        bridge.ask(format!("n{nonce}"), "tools/call", call("echo", json!({"nonce": nonce})));
    }
    for nonce in 0..20 {
        let answer = bridge.answer(format!("n{nonce}")).await;
        assert_eq!(answer["result"]["structuredContent"]["nonce"], nonce, "{answer}");
    }
    assert_eq!(called(&count) - before, 20);
    bridge.says("the session was lost, and another one is open in its place").await;
    assert_eq!(bridge.said().matches("the session was lost").count(), 1, "{}", bridge.said());
    followed_again(&gateway).await;
    bridge.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn arguments_that_headers_repeat_are_learnt_when_the_daemon_asks_for_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let (file, count) = (directory.path().join("tools.json"), directory.path().join("count"));
    let region = json!({"type": "string", "x-mcp-header": "Region"});
    let tool =
        json!({"name": "regional", "inputSchema": {"type": "object", "properties": {"region": region}}});
    fs::write(&file, json!([tool]).to_string()).expect("written");
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
    let flags = ["--tools-file", &text(&file), "--count-file", &text(&count)];
    let gateway = TestGateway::new().server("legacy", fake(&flags)).start().await;
    gateway.wait_state("legacy", "ready").await;
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    for (id, region) in [(1, "eu"), (2, "über")] {
        bridge.ask_modern(id, "tools/call", call("regional", json!({"region": region})));
        let answer = bridge.answer(id).await;
        assert_eq!(answer["result"]["structuredContent"]["region"], region, "{answer}");
    }
    assert_eq!(fs::read(&count).expect("there").len(), 2, "each was carried out once");
    bridge.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn what_the_daemon_refuses_is_the_answer_to_the_request() {
    let gateway = world("[mcp]\nauth = \"required\"\nbody_limit = \"2KiB\"\n").await;
    let url = format!("http://{}", gateway.address());
    let with = |key: &str, arguments: &[&str]| {
        let arguments = [arguments, &["--url", &url]].concat();
        Bridge::start(gateway.data(), &arguments, &[("MCPVISOR_KEY", key)])
    };
    let mut bridge = with("pk_live_wrong", &["legacy"]);
    bridge.ask(1, "initialize", opening("2025-11-25", json!({})));
    let told = bridge.answer(1).await;
    assert_eq!((&told["error"]["code"], &told["error"]["data"]["httpStatus"]), (&json!(401), &json!(401)));
    bridge.says("initialize was refused: The API key is not valid").await;
    bridge.ask(2, "tools/list", json!({}));
    assert_eq!(bridge.answer(2).await["error"]["code"], 401);
    bridge.done().await;

    let mut bridge = with(gateway.key(), &["nobody"]);
    bridge.ask_modern(1, "server/discover", json!({}));
    let told = bridge.answer(1).await;
    assert_eq!(told["error"]["code"], 404);
    assert!(told["error"]["message"].as_str().expect("a text").contains("There is no server 'nobody'"));
    bridge.done().await;

    let mut bridge = with(gateway.key(), &["legacy"]);
    bridge.ask("early", "tools/list", json!({}));
    assert!(bridge.answer("early").await["error"]["code"].is_i64(), "there is no session yet");
    bridge.open(json!({})).await;
    bridge.ask("long", "tools/call", call("echo", json!({"text": "x".repeat(4000)})));
    assert_eq!(bridge.answer("long").await["error"]["code"], 413);
    bridge.line("hello");
    bridge.line("");
    bridge.line("[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}]");
    bridge.line("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"ping\"}");
    for code in [-32700, -32600, -32600] {
        let told = bridge.next("an error", |it| it.get("id").is_none() && it["error"]["code"] == code).await;
        assert!(told["error"]["message"].is_string());
    }
    bridge.ask("same", "tools/call", call("sleep", json!({"ms": 300})));
    bridge.ask("same", "tools/call", call("sleep", json!({"ms": 300})));
    assert_eq!(bridge.answer("same").await["error"]["code"], -32600);
    assert!(bridge.answer("same").await["result"].is_object());
    bridge.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_array_is_taken_in_a_session_of_the_revision_that_had_them() {
    let gateway = world("").await;
    let mut bridge = Bridge::to(&gateway, &["legacy"]);
    bridge.ask(0, "initialize", opening("2025-03-26", json!({})));
    bridge.answer(0).await;
    let one = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let two = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call("echo", json!({"nonce": 2}))});
    bridge.line(&json!([one, two, {"jsonrpc": "2.0", "method": "notifications/initialized"}]).to_string());
    let told = bridge.next("an array", Value::is_array).await;
    let ids: Vec<&Value> = told.as_array().expect("one").iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [1, 2], "{told}");
    bridge.done().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_daemon_is_started_once_by_however_many_find_none() {
    let home = tempfile::tempdir().expect("a directory");
    let servers = home.path().join("servers.json");
    let entry = json!({"mcpServers": {"fake": fake(&["--era", "both"])}});
    fs::write(&servers, entry.to_string()).expect("written");
    let id = uuid::Uuid::new_v4().to_string();
    let variables = [
        ("MCPVISOR_PORT", "0"),
        ("MCPVISOR_SERVERS", servers.to_str().expect("UTF-8")),
        ("MCPVISOR_TEST_BRIDGE", &id),
    ];
    let start = |arguments: &[&str]| Bridge::start(home.path(), arguments, &variables);
    let mut refused = start(&["--no-start"]);
    assert_eq!(refused.ended().await.code(), Some(74));
    refused.says("no daemon answers at ").await;

    let mut bridges: Vec<Bridge> = (0..3).map(|_| start(&["fake"])).collect();
    for bridge in &mut bridges {
        bridge.open(json!({})).await;
        assert_eq!(bridge.told("echo", json!({"nonce": 1})).await["nonce"], 1);
    }
    for bridge in bridges {
        bridge.done().await;
    }
    // Those that came too late have ended by now, or do so.
    let needle = format!("MCPVISOR_TEST_BRIDGE={id}");
    let daemons = || processes::with_environment(&needle);
    wait_until("one daemon is left", DEADLINE, || async { (daemons().len() == 1).then_some(()) }).await;
    let (pid, line) = daemons().remove(0);
    assert!(line.contains("serve"), "{line}");
    let log = home.path().join(".local/share/mcpvisor/daemon.log");
    assert!(fs::read_to_string(&log).expect("there").contains("servers ready"), "its words are in its log");
    let mut late = start(&["fake"]);
    late.open(json!({})).await;
    assert!(!late.said().contains("started a daemon"), "{}", late.said());
    late.done().await;
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is there");
    wait_until("the daemon ends", DEADLINE, || async { daemons().is_empty().then_some(()) }).await;
}
