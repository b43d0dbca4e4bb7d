//! Children of a session or a principal of its own: who shares one, when it ends, and what reaches whom.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::reloading::rewrite;
use crate::revoking::{Made, make};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::http::Reply;
use crate::support::mcp::{LEGACY, Modern, Session, modern};
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

/// The server of these tests, isolated so.
async fn isolated(isolation: &str, more: Value) -> Gateway {
    let mut settings = json!({"isolation": isolation});
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let gateway = TestGateway::new().server("fake", with(fake(&["--converse", "--era", "legacy"]), settings));
    let gateway = gateway.start().await;
    gateway.wait_state("fake", "ready").await;
    gateway
}

async fn open<'a>(gateway: &'a Gateway) -> Session<'a> {
    Session::open(gateway, "fake", json!({})).await
}

fn pid(told: &Value) -> Process {
    Process::of(told["pid"].as_i64().unwrap_or_else(|| panic!("a number: {told}")))
}

/// The process that a session's calls go to.
async fn of_session(session: &Session<'_>) -> Process {
    pid(&session.told("pid", json!({})).await)
}

/// The process that a modern client's calls go to.
async fn of_client(client: Modern<'_>) -> Process {
    pid(&client.told("pid", json!({})).await)
}

/// The process that calls of a key over `/v1` go to.
async fn of_key(gateway: &Gateway, key: &str) -> Process {
    let body = json!({"mcp_id": "fake", "tool": "pid", "arguments": {}});
    let reply = ask(gateway, "POST", INVOKE).key(key).json(body.to_string()).send().await;
    pid(&reply.expect(200)["data"]["result"])
}

/// The process that all callers would share.
async fn shared(gateway: &Gateway) -> Process {
    pid(&gateway.server("fake").await["supervision"])
}

async fn pools(gateway: &Gateway) -> Value {
    gateway.server("fake").await["supervision"]["pools"].clone()
}

async fn gone(process: Process) {
    wait_until("the process is gone", DEADLINE, || async { (!process.is_there()).then_some(()) }).await;
}

/// A member with two keys, and another one.
async fn members(gateway: &Gateway) -> [Made; 3] {
    [
        make(gateway, json!({"name": "a", "member": {"id": "user_a"}})).await,
        make(gateway, json!({"name": "a2", "owner_id": "user_a"})).await,
        make(gateway, json!({"name": "b", "member": {"id": "user_b"}})).await,
    ]
}

#[tokio::test]
async fn a_matched_server_has_a_child_of_each_era_for_the_clients_of_that_era() {
    let entry = |era: &str, choice: &str| with(fake(&["--converse", "--era", era]), json!({"era": choice}));
    let both = || TestGateway::new().server("fake", entry("both", "matched"));
    let gateway = both().server("old", entry("legacy", "matched")).start().await;
    for server in ["fake", "old"] {
        gateway.wait_state(server, "ready").await;
    }
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let of_sessions = of_session(&one).await;
    assert_eq!(of_session(&two).await.pid, of_sessions.pid);
    let of_others = of_client(modern(&gateway, "fake")).await;
    assert_eq!(of_key(&gateway, gateway.key()).await.pid, of_others.pid);
    assert_ne!(of_others.pid, of_sessions.pid);
    assert_eq!(pools(&gateway).await, json!({"count": 1, "ready": 1}));
    // Each child is spoken to in its clients' era, and tells them of its own changes.
    let version = "io.modelcontextprotocol/protocolVersion";
    assert_eq!(one.told("meta", json!({})).await.get(version), None);
    assert_eq!(modern(&gateway, "fake").told("meta", json!({})).await[version], "2026-07-28");
    let mut stream = one.stream().send().await;
    two.told("change_tools", json!({})).await;
    assert_eq!(stream.message().await["method"], "notifications/tools/list_changed");
    // A server of one era has one child for all.
    let session = Session::open(&gateway, "old", json!({})).await;
    let told = modern(&gateway, "old").told("pid", json!({})).await;
    assert_eq!(session.told("pid", json!({})).await, told);
    // The setting ends what it began.
    let of = |era, choice| gateway.marked(entry(era, choice));
    let entries = json!({"fake": of("both", "auto"), "old": of("legacy", "matched")});
    rewrite(&gateway, &json!({"mcpServers": entries}).to_string());
    gone(of_sessions).await;
    one.told("echo", json!({"nonce": 1})).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_matched_server_that_rests_learns_nothing_from_the_child_of_sessions() {
    let own = json!({"era": "matched", "start": "on-demand", "idle_stop": "1s"});
    let entry = with(fake(&["--converse", "--era", "both"]), own);
    let gateway = TestGateway::new().server("fake", entry).start().await;
    let session = open(&gateway).await;
    let before = of_session(&session).await;
    // The child that all others share has gone, or was never there, when that of the sessions is ready.
    gateway.wait_state("fake", "idle").await;
    let version = "io.modelcontextprotocol/protocolVersion";
    assert_eq!(modern(&gateway, "fake").told("meta", json!({})).await[version], "2026-07-28");
    assert_eq!(of_session(&session).await.pid, before.pid, "a session stays where it was");
    assert_eq!(session.told("meta", json!({})).await.get(version), None);
    gateway.stop().await;
}

#[tokio::test]
async fn each_session_has_a_child_that_no_other_sees_and_that_ends_with_it() {
    let gateway = isolated("per-session", json!({})).await;
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let tools = async |session: &Session<'_>| {
        session.ask("tools/list", json!({})).result().await["tools"].as_array().map(Vec::len)
    };
    let before = tools(&one).await;
    let (of_one, of_two) = (of_session(&one).await, of_session(&two).await);
    assert!(of_one.pid != of_two.pid && of_one.pid == of_session(&one).await.pid);
    let shared = shared(&gateway).await;
    assert!(![of_one.pid, of_two.pid].contains(&shared.pid), "what all share is for nobody's calls");
    assert_eq!(pools(&gateway).await, json!({"count": 2, "ready": 2}));
    // What one does to its server is told to it alone, and stays with it.
    let mut streams = [one.stream().send().await, two.stream().send().await];
    one.told("change_tools", json!({})).await;
    assert_eq!(streams[0].message().await["method"], "notifications/tools/list_changed");
    assert_eq!((tools(&one).await, tools(&two).await), (before.map(|count| count + 1), before));
    two.told("change", json!({"list": "prompts"})).await;
    assert_eq!(
        streams[1].message().await["method"],
        "notifications/prompts/list_changed",
        "and nothing else"
    );
    let calls = one.told("stats", json!({})).await["executions"].clone();
    assert_ne!(calls, two.told("stats", json!({})).await["executions"]);
    one.ended().await;
    gone(of_one).await;
    assert_eq!(of_session(&two).await.pid, of_two.pid);
    // Callers without a session share one child of their member, in whichever dialect.
    let without = of_client(modern(&gateway, "fake")).await;
    assert!(![of_two.pid, shared.pid].contains(&without.pid));
    assert_eq!(of_key(&gateway, gateway.key()).await.pid, without.pid);
    assert!(shared.is_there());
    gateway.stop().await;
    assert!(!of_two.is_there() && !without.is_there());
}

#[tokio::test]
async fn all_calls_of_a_member_share_a_child_and_another_member_has_its_own() {
    let gateway = isolated("per-principal", json!({})).await;
    let [first, second, other] = members(&gateway).await;
    let own = of_key(&gateway, &first.text).await;
    let session = Session::open_as(&gateway, "fake", &second.text, LEGACY, json!({})).await;
    assert_eq!(of_session(&session).await.pid, own.pid);
    assert_eq!(of_client(modern(&gateway, "fake").key(Some(&second.text))).await.pid, own.pid);
    session.ended().await;
    let theirs = of_key(&gateway, &other.text).await;
    assert!(own.is_there() && ![own.pid, shared(&gateway).await.pid].contains(&theirs.pid));
    // The lines that a child writes are marked with whose it is.
    gateway.wait_state("fake", "ready").await;
    let body = json!({"mcp_id": "fake", "tool": "log_stderr", "arguments": {"bytes": 10}}).to_string();
    ask(&gateway, "POST", INVOKE).key(&other.text).json(body).send().await.expect(200);
    wait_until("a line with the principal", DEADLINE, || async {
        let lines = gateway.get("/v1/mcps/fake/logs").await.expect(200)["data"].clone();
        lines.as_array()?.iter().any(|line| line["pool"] == "principal user_b").then_some(())
    })
    .await;
    // A member that goes takes its child along.
    gateway.delete("/v1/organization/members/user_b").await.expect(200);
    gone(theirs).await;
    assert_eq!(of_key(&gateway, &first.text).await.pid, own.pid);
    assert_eq!(pools(&gateway).await, json!({"count": 1, "ready": 1}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_crash_in_one_pool_disturbs_no_other() {
    let gateway = isolated("per-session", json!({})).await;
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let (before, other, shared) = (of_session(&one).await, of_session(&two).await, shared(&gateway).await);
    let lost = one.call("crash", json!({})).last().await;
    assert_eq!(lost["error"]["data"]["retry"], "outcome_unknown", "{lost}");
    assert_eq!(of_session(&two).await.pid, other.pid);
    let after = of_session(&one).await;
    assert!(after.pid != before.pid && after.pid != other.pid);
    let seen = gateway.server("fake").await;
    assert_eq!((&seen["state"], &seen["supervision"]["pid"]), (&json!("ready"), &json!(shared.pid)));
    assert_eq!(seen["restarts"], 1, "the server's count has those of its pools");
    gateway.stop().await;
}

#[tokio::test]
async fn pools_beyond_the_bound_are_refused_by_name_until_one_goes() {
    let gateway = isolated("per-session", json!({"max_pools": 2, "pool_idle_stop": "0s"})).await;
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let (first, _) = (of_session(&one).await, of_session(&two).await);
    let third = open(&gateway).await;
    let refused = third.call("pid", json!({})).last().await;
    let data = &refused["error"]["data"];
    assert_eq!((&data["kind"], &data["retry"]), (&json!("too_many_pools"), &json!("safe")), "{refused}");
    let text = refused["error"]["message"].as_str().expect("a text");
    assert!(
        text.contains("Server 'fake' has 2 pools in use") && text.contains("mcpvisor.max_pools"),
        "{text}"
    );
    let reply = gateway.v1_invoke("fake", "pid", json!({})).await;
    assert_eq!(reply.headers["retry-after"], "10");
    assert_eq!(reply.expect(503)["error"]["code"], "service_unavailable");
    assert_eq!(of_session(&one).await.pid, first.pid, "who has one keeps it");
    two.ended().await;
    let other = of_session(&third).await;
    assert_eq!(pools(&gateway).await["count"], 2);
    assert!(other.pid != first.pid);
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_that_nobody_calls_stops_and_makes_room_and_starts_again() {
    let gateway = isolated("per-session", json!({"max_pools": 1, "pool_idle_stop": "200ms"})).await;
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let first = of_session(&one).await;
    gone(first).await;
    wait_until("the pool rests", DEADLINE, || async {
        (pools(&gateway).await == json!({"count": 1, "ready": 0})).then_some(())
    })
    .await;
    let second = wait_until("there is room", DEADLINE, || async {
        let told = two.call("pid", json!({})).last().await;
        told["result"]["structuredContent"]["pid"].as_i64()
    })
    .await;
    gone(Process::of(second)).await;
    let third = wait_until("there is room", DEADLINE, || async {
        let told = one.call("pid", json!({})).last().await;
        told["result"]["structuredContent"]["pid"].as_i64()
    })
    .await;
    assert!(i64::from(first.pid) != third && third != second);
    gateway.stop().await;
}

#[tokio::test]
async fn an_edit_of_the_server_is_followed_by_its_pools() {
    let gateway = isolated("per-principal", json!({})).await;
    let [key, _, _] = members(&gateway).await;
    let variable = async || {
        let body = json!({"mcp_id": "fake", "tool": "env", "arguments": {}}).to_string();
        let told = ask(&gateway, "POST", INVOKE).key(&key.text).json(body).send().await.expect(200);
        told["data"]["result"]["EDITED"].clone()
    };
    let before = of_key(&gateway, &key.text).await;
    assert_eq!(variable().await, Value::Null);
    let define = |definition: Value| {
        let entry = gateway.marked(definition);
        rewrite(&gateway, &json!({"mcpServers": {"fake": entry}}).to_string());
    };
    let flags = ["--converse", "--era", "legacy"];
    let own = json!({"isolation": "per-principal"});
    let mut edited = with(fake(&flags), own.clone());
    edited["env"] = json!({"EDITED": "yes"});
    define(edited.clone());
    wait_until("the pool has the new definition", DEADLINE, || async {
        (variable().await == "yes").then_some(())
    })
    .await;
    gone(before).await;
    let second = of_key(&gateway, &key.text).await;
    // Switched off, it has no children at all.
    edited["disabled"] = json!(true);
    define(edited.clone());
    gone(second).await;
    edited["disabled"] = json!(false);
    define(edited);
    let third = wait_until("it is back", DEADLINE, || async {
        let body = json!({"mcp_id": "fake", "tool": "pid", "arguments": {}}).to_string();
        let reply = ask(&gateway, "POST", INVOKE).key(&key.text).json(body).send().await;
        (reply.status == 200).then(|| pid(&reply.expect(200)["data"]["result"]))
    })
    .await;
    // Shared, it needs no pools any more.
    define(fake(&flags));
    gone(third).await;
    let all = of_key(&gateway, &key.text).await;
    assert_eq!((all.pid, pools(&gateway).await), (shared(&gateway).await.pid, Value::Null));
    define(with(fake(&flags), json!({"isolation": "per-session"})));
    wait_until("it is isolated again", DEADLINE, || async {
        (pools(&gateway).await != Value::Null).then_some(())
    })
    .await;
    let session = open(&gateway).await;
    let fourth = of_session(&session).await;
    assert!(fourth.pid != all.pid);
    gateway.delete("/api/servers/fake").await.expect(200);
    gone(fourth).await;
    gateway.stop().await;
}

#[tokio::test]
async fn updates_of_resources_reach_the_session_whose_child_has_them() {
    let gateway = isolated("per-session", json!({"pool_idle_stop": "200ms"})).await;
    let (one, two) = (open(&gateway).await, open(&gateway).await);
    let mut streams = [one.stream().send().await, two.stream().send().await];
    for session in [&one, &two] {
        let follow = session.ask("resources/subscribe", json!({"uri": "fake://one"}));
        assert_eq!(follow.result().await, json!({}));
        session.ask("logging/setLevel", json!({"level": "warning"})).result().await;
    }
    wait_until("each child knows what its session follows", DEADLINE, || async {
        let followed = [one.told("followed", json!({})).await, two.told("followed", json!({})).await];
        let is_known = |told: &Value| told["followed"] == json!(["fake://one"]) && told["level"] == "warning";
        followed.iter().all(is_known).then_some(())
    })
    .await;
    let waiting = of_session(&one).await;
    one.told("touch", json!({"uri": "fake://one"})).await;
    assert_eq!(streams[0].message().await["params"], json!({"uri": "fake://one"}));
    two.told("change", json!({"list": "prompts"})).await;
    assert_eq!(streams[1].message().await["method"], "notifications/prompts/list_changed", "not the other's");
    // A session that follows something keeps its child, however long it is quiet.
    let third = open(&gateway).await;
    gone(of_session(&third).await).await;
    assert_eq!(of_session(&one).await.pid, waiting.pid);
    gateway.stop().await;
}

/// A call that asks its client this in the middle.
fn interview(session: &Session<'_>, message: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}}});
    let params = json!({"message": format!("{message} of {}", session.id), "requestedSchema": schema});
    json!({"rounds": [[{"method": "elicitation/create", "params": params}]]})
}

#[tokio::test]
async fn questions_of_several_principals_at_once_each_reach_their_own_client() {
    for isolation in ["per-principal", "per-session"] {
        let gateway = isolated(isolation, json!({})).await;
        let [first, _, other] = members(&gateway).await;
        let asked = json!({"elicitation": {}});
        let of = async |key: &str| Session::open_as(&gateway, "fake", key, LEGACY, asked.clone()).await;
        let (one, two) = (of(&first.text).await, of(&other.text).await);
        // Another call of the first is at work meanwhile, in the same session.
        let file = gateway.data().join("file");
        let mut other_work =
            one.call("report", json!({"file": file})).id("w").meta("progressToken", 1).send().await;
        other_work.until("notifications/progress").await;
        let mut answers = [
            (&one, one.call("interview", interview(&one, "name")).id("q").send().await),
            (&two, two.call("interview", interview(&two, "name")).id("q").send().await),
        ];
        let mut questions = Vec::new();
        for (session, answer) in &mut answers {
            let question = answer.until("elicitation/create").await;
            assert_eq!(question["params"]["message"], format!("name of {}", session.id), "{isolation}");
            questions.push(question);
        }
        for ((session, answer), question) in answers.iter_mut().zip(&questions) {
            let given = json!({"action": "accept", "content": {"name": session.id}});
            session.answer(question, given.clone()).await;
            let told = answer.last().await;
            assert_eq!(told["result"]["structuredContent"]["rounds"][0]["q0"]["result"], given, "{told}");
        }
        std::fs::write(&file, "").expect("written");
        assert_eq!(other_work.last().await["id"], "w");
        gateway.stop().await;
    }
}

const OF_A: &str = "s3cret-of-a-4711";
const OF_B: &str = "s3cret-of-b-0815";
const LATER: &str = "s3cret-of-a-later";

/// Every file below a directory that has one of these texts in it.
fn files_with(directory: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").filter_map(Result::ok) {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files_with(&path, texts)),
            Ok(kind) if kind.is_file() => {
                let content = fs::read(&path).unwrap_or_default();
                let has = |text: &&str| content.windows(text.len()).any(|part| part == text.as_bytes());
                found.extend(texts.iter().any(has).then_some(path));
            }
            _ => {}
        }
    }
    found
}

/// A server that needs what its principal has stored.
async fn with_secret() -> Gateway {
    let mut definition = with(fake(&[]), json!({"isolation": "per-principal"}));
    definition["env"] = json!({"TOKEN": "Bearer ${principal:TOKEN}", "OTHER": "x"});
    let gateway = TestGateway::new().server("fake", definition).variable("MCPVISOR_LOG", "trace");
    let gateway = gateway.start().await;
    gateway.wait_state("fake", "idle").await;
    gateway
}

async fn store(gateway: &Gateway, key: &str, path: &str, value: &str) -> Reply {
    ask(gateway, "PUT", path).key(key).json(json!({"value": value}).to_string()).send().await
}

async fn token_of(gateway: &Gateway, key: &str) -> Reply {
    let body = json!({"mcp_id": "fake", "tool": "env", "arguments": {}}).to_string();
    ask(gateway, "POST", INVOKE).key(key).json(body).send().await
}

#[tokio::test]
async fn what_a_member_stored_reaches_its_own_child_and_is_shown_nowhere() {
    let mut gateway = with_secret().await;
    let [first, second, other] = members(&gateway).await;
    let path = "/v1/members/me/secrets/TOKEN";
    let refused = token_of(&gateway, &first.text).await.expect(409)["error"].clone();
    assert_eq!(
        (&refused["code"], &refused["details"]["secret"]),
        (&json!("secret_missing"), &json!("TOKEN"))
    );
    let text = refused["message"].as_str().expect("a text");
    assert!(
        text.contains("your secret 'TOKEN'") && text.contains("PUT /v1/members/me/secrets/TOKEN"),
        "{text}"
    );
    store(&gateway, &first.text, path, OF_A).await.expect(200);
    store(&gateway, &other.text, path, OF_B).await.expect(200);
    for (key, secret) in [(&first, OF_A), (&second, OF_A), (&other, OF_B)] {
        let told = token_of(&gateway, &key.text).await.expect(200)["data"]["result"].clone();
        assert_eq!(told["TOKEN"], format!("Bearer {secret}"));
    }
    // A list of tools is there for whoever may use the server, from whichever child.
    let listed = modern(&gateway, "fake").ask("tools/list", json!({})).result().await;
    assert!(listed["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
    let told = ask(&gateway, "GET", "/v1/members/me/secrets").key(&second.text).send().await.expect(200);
    assert_eq!(told["data"], json!([{"member_id": "user_a", "name": "TOKEN"}]));
    // Another value takes the earlier child's place, and none ends it.
    let before = of_key(&gateway, &first.text).await;
    store(&gateway, gateway.key(), "/v1/members/user_a/secrets/TOKEN", LATER).await.expect(200);
    gone(before).await;
    let told = token_of(&gateway, &first.text).await.expect(200)["data"]["result"].clone();
    assert_eq!(told["TOKEN"], format!("Bearer {LATER}"));
    let theirs = of_key(&gateway, &other.text).await;
    ask(&gateway, "DELETE", path).key(&other.text).send().await.expect(200);
    gone(theirs).await;
    token_of(&gateway, &other.text).await.expect(409);
    ask(&gateway, "DELETE", path).key(&other.text).send().await.expect(404);
    gateway.post("/api/config/export", &json!({"filepath": "out.json"})).await.expect(200);
    let audit = gateway.get("/v1/audit/export").await.text();
    assert!(audit.contains("secret.put") && audit.contains("me/TOKEN"), "{audit}");
    let all = [OF_A, OF_B, LATER];
    assert!(!all.iter().any(|secret| audit.contains(secret)));
    assert!(gateway.terminate().await.success());
    assert_eq!(files_with(gateway.data(), &all), Vec::<PathBuf>::new());
    let output = gateway.output();
    assert!(output.contains("TRACE") && !all.iter().any(|secret| output.contains(secret)));
    gateway.restart().await;
    let told = token_of(&gateway, &first.text).await.expect(200)["data"]["result"].clone();
    assert_eq!(told["TOKEN"], format!("Bearer {LATER}"), "it outlives the daemon");
    // A member that is made anew has nothing of the earlier one.
    gateway.delete("/v1/organization/members/user_a").await.expect(200);
    let anew = make(&gateway, json!({"name": "a", "member": {"id": "user_a"}})).await;
    token_of(&gateway, &anew.text).await.expect(409);
    gateway.stop().await;
}

#[tokio::test]
async fn secrets_are_for_their_member_and_administrators_and_for_isolated_ones() {
    let gateway = with_secret().await;
    let [first, _, other] = members(&gateway).await;
    let theirs = "/v1/members/user_b/secrets/TOKEN";
    store(&gateway, &first.text, theirs, "x").await.expect(403);
    ask(&gateway, "DELETE", theirs).key(&first.text).send().await.expect(403);
    ask(&gateway, "GET", "/v1/members/user_b/secrets").key(&first.text).send().await.expect(403);
    store(&gateway, &other.text, theirs, "x").await.expect(200);
    let admin = make(&gateway, json!({"name": "c", "member": {"id": "user_c", "role": "admin"}})).await;
    store(&gateway, &admin.text, theirs, "y").await.expect(200);
    let owner = gateway.get("/v1/organization/members?role=owner").await.expect(200)["data"][0]["id"].clone();
    let of_owner = format!("/v1/members/{}/secrets/TOKEN", owner.as_str().expect("an id"));
    store(&gateway, &admin.text, &of_owner, "x").await.expect(403);
    store(&gateway, &admin.text, "/v1/members/nobody/secrets/TOKEN", "x").await.expect(404);
    let refused = store(&gateway, &other.text, "/v1/members/me/secrets/A-B", "x").await.expect(422);
    assert!(refused["error"]["details"]["name"].is_string(), "{refused}");
    let long = store(&gateway, &other.text, theirs, &"x".repeat(8 * 1024 + 1)).await.expect(422);
    assert!(long["error"]["details"]["value"].is_string(), "{long}");
    // A definition that needs one where all share a child is refused, with the reason.
    let mut shared = gateway.marked(fake(&[]));
    (shared["name"], shared["env"]["TOKEN"]) = (json!("shared"), json!("${principal:TOKEN}"));
    let refused = gateway.post("/api/servers", &shared).await.expect(400);
    let text = refused["error"].as_str().expect("a text");
    assert!(
        text.starts_with("env.TOKEN refers to ${principal:TOKEN}") && text.contains("per-principal"),
        "{text}"
    );
    gateway.stop().await;
}
