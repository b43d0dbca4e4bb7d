//! What a key that is revoked or expires has under way: what can still be stopped stops, what is with a
//! child is answered; on whatever disk. And what it has made.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::full_disk::{Mounted, fill, is_mounted, limit, small_disk};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake, with};
use crate::support::http::{Connection, Reply};
use crate::support::llm::{Llm, Turn};
use crate::support::recording::Socket;
use crate::support::{DEADLINE, wait_until};

const KEYS: &str = "/v1/api-keys";
/// One that is made along with a key.
const MEMBER: &str = "/v1/organization/members/user_m";

/// A key that was made, and its text.
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// Makes a key with another one's authority.
pub(crate) async fn make_by(gateway: &Gateway, maker: &str, body: Value) -> Made {
    let reply = ask(gateway, "POST", KEYS).key(maker).json(body.to_string()).send().await;
    let made = reply.expect(201)["data"].clone();
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    Made { id: text("id"), text: text("key") }
}

pub(crate) async fn make(gateway: &Gateway, body: Value) -> Made {
    make_by(gateway, gateway.key(), body).await
}

pub(crate) async fn revoke(gateway: &Gateway, id: &str, query: &str) -> Reply {
    gateway.delete(&format!("{KEYS}/{id}{query}")).await
}

/// The code of the answer that a key gets now.
async fn code_now(gateway: &Gateway, key: &str) -> Value {
    ask(gateway, "GET", "/v1/mcps").key(key).send().await.expect(401)["error"]["code"].clone()
}

/// Sends a request in the background, on a connection of its own.
pub(crate) async fn begin(gateway: &Gateway, key: &str, path: &str, body: Value) -> JoinHandle<Reply> {
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let connection = Connection::open(gateway.address(), &headers).await;
    let mut connection = connection.expect("the daemon accepts connections");
    let path = path.to_owned();
    tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        let reply = connection.send_bytes("POST", &path, &headers, Bytes::from(body.to_string())).await;
        reply.expect("an answer")
    })
}

fn call(tool: &str, arguments: Value) -> Value {
    json!({"mcp_id": "fake", "tool": tool, "arguments": arguments})
}

/// A raw socket that has sent this much.
async fn sent(gateway: &Gateway, text: &str) -> Socket {
    let mut socket = gateway.raw_socket().await;
    socket.write_all(text.as_bytes()).await.expect("sent");
    socket
}

/// Reads until the text has come, or the end.
async fn read_until(socket: &mut Socket, wanted: &str) -> String {
    let mut text = String::new();
    let read = async {
        let mut buffer = [0; 4096];
        while !text.contains(wanted) {
            let count = socket.read(&mut buffer).await.expect("readable");
            if count == 0 {
                break;
            }
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, read).await.is_ok();
    assert!(in_time && text.contains(wanted), "{wanted:?} did not come: {text}");
    text
}

fn time_in(seconds: i64) -> String {
    let at = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    at.format(&time::format_description::well_known::Rfc3339).expect("a time")
}

#[tokio::test]
async fn a_connection_that_has_called_knows_what_became_of_its_key() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let made = make(&gateway, json!({"name": "k"})).await;
    let path = format!("{KEYS}/{}", made.id);
    let authorization = format!("Bearer {}", made.text);
    let connection = Connection::open(gateway.address(), &[("authorization", &authorization)]).await;
    let mut connection = connection.expect("the daemon accepts connections");
    let echo = call("echo", json!({"nonce": 1}));
    for (change, code) in [
        (None, None),
        (Some(json!({"permissions": {"mcps": ["fake"], "tools": ["sleep"]}})), Some("tool_not_permitted")),
        (Some(json!({"permissions": {"mcps": ["fake"]}})), None),
        (Some(json!({"expires_at": time_in(2)})), None),
    ] {
        if let Some(change) = change {
            let reply =
                ask(&gateway, "PATCH", &path).key(gateway.key()).json(change.to_string()).send().await;
            reply.expect(200);
        }
        for _ in 0..2 {
            let reply = connection.send("POST", INVOKE, Some(&echo)).await.expect("an answer");
            assert_eq!(reply.json()["error"]["code"].as_str(), code, "{}", reply.text());
        }
    }
    let expired = async |connection: &mut Connection| {
        let reply = connection.send("POST", INVOKE, Some(&echo)).await.expect("an answer");
        (reply.status == 401).then(|| reply.json()["error"]["code"].clone())
    };
    let code = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(code) = expired(&mut connection).await {
                return code;
            }
        }
    });
    assert_eq!(code.await.expect("it expires"), "expired_key");
    let made = make(&gateway, json!({"name": "r"})).await;
    let authorization = format!("Bearer {}", made.text);
    let connection = Connection::open(gateway.address(), &[("authorization", &authorization)]).await;
    let mut connection = connection.expect("the daemon accepts connections");
    connection.send("POST", INVOKE, Some(&echo)).await.expect("an answer").expect(200);
    revoke(&gateway, &made.id, "").await;
    let reply = connection.send("POST", INVOKE, Some(&echo)).await.expect("an answer");
    assert_eq!(reply.expect(401)["error"]["code"], "revoked_key");
    gateway.stop().await;
}

#[tokio::test]
async fn a_followed_log_ends_with_a_word_when_its_key_is_revoked_or_expires() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let revoked = make(&gateway, json!({"name": "r"})).await;
    let expires = make(&gateway, json!({"name": "e", "expires_at": time_in(3)})).await;
    let mut streams = Vec::new();
    for key in [&revoked, &expires] {
        let head = format!(
            "GET /v1/mcps/fake/logs?follow=true HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
            gateway.address(),
            key.text
        );
        let mut socket = sent(&gateway, &head).await;
        let begun = read_until(&mut socket, "\r\n\r\n").await;
        assert!(begun.starts_with("HTTP/1.1 200"), "{begun}");
        streams.push(socket);
    }
    gateway.call("fake", "log_stderr", json!({"bytes": 20})).await;
    for stream in &mut streams {
        read_until(stream, "event: line").await;
    }
    revoke(&gateway, &revoked.id, "").await.expect(200);
    gateway.call("fake", "log_stderr", json!({"bytes": 20})).await;
    let rest = read_until(&mut streams[0], "event: end").await;
    assert!(rest.contains("data: {\"reason\":\"revoked_key\"}") && !rest.contains("event: line"), "{rest}");
    let rest = read_until(&mut streams[1], "event: end").await;
    assert!(rest.contains("data: {\"reason\":\"expired_key\"}"), "{rest}");
    assert_eq!(code_now(&gateway, &expires.text).await, "expired_key");
    gateway.stop().await;
}

#[tokio::test]
async fn on_revocation_waiting_calls_are_refused_and_the_one_running_is_answered() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("go");
    let one_by_one = with(fake(&[]), json!({"max_in_flight": 1, "queue_age": "60s"}));
    let gateway = TestGateway::new().server("fake", one_by_one).start().await;
    gateway.wait_state("fake", "ready").await;
    let key = make(&gateway, json!({"name": "k"})).await;
    let waiting = call("wait_for", json!({"file": file}));
    let first = begin(&gateway, &key.text, INVOKE, waiting).await;
    let traffic = |name: &'static str, wanted: u64| {
        let gateway = &gateway;
        wait_until(name, DEADLINE, move || async move {
            (gateway.server("fake").await["traffic"][name] == wanted).then_some(())
        })
    };
    traffic("in_flight", 1).await;
    let mut queued = Vec::new();
    for _ in 0..2 {
        queued.push(begin(&gateway, &key.text, INVOKE, call("echo", json!({"nonce": 1}))).await);
    }
    let read = json!({"mcp_id": "fake", "uri": "fake://one"});
    queued.push(begin(&gateway, &key.text, "/v1/mcp/resources", read).await);
    let other = begin(&gateway, gateway.key(), INVOKE, call("echo", json!({"nonce": 2}))).await;
    traffic("queued", 4).await;
    revoke(&gateway, &key.id, "").await.expect(200);
    for call in queued {
        let refused = call.await.expect("no panic");
        assert_eq!(refused.expect(401)["error"]["code"], "revoked_key");
        assert!(refused.headers.contains_key("www-authenticate"));
    }
    fs::write(&file, b"").expect("written");
    first.await.expect("no panic").expect(200);
    assert_eq!(other.await.expect("no panic").expect(200)["data"]["result"]["nonce"], 2);
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["executions"], 3, "the call with the child, the other's, and this one: {stats}");
    // What was refused is no call that counts.
    let usage = gateway.get(&format!("{KEYS}/{}/usage", key.id)).await.expect(200);
    assert_eq!(usage["data"]["requests"]["total"], 1);
    gateway.stop().await;
}

#[tokio::test]
async fn on_revocation_who_waits_for_a_child_or_still_sends_is_refused() {
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .server("slow", with(fake(&["--hang-init"]), json!({"start_timeout": "60s"})))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    let key = make(&gateway, json!({"name": "k"})).await;
    let list = begin(&gateway, &key.text, "/v1/mcp/resources", json!({"mcp_id": "slow"})).await;
    let waiting = json!({"mcp_id": "slow", "tool": "echo"});
    let waiting = begin(&gateway, &key.text, INVOKE, waiting).await;
    wait_until("the call waits", DEADLINE, || async {
        (gateway.server("slow").await["traffic"]["queued"] == 1).then_some(())
    })
    .await;
    let body = call("echo", json!({"nonce": 1})).to_string();
    let new_key = json!({"name": "heir"}).to_string();
    let mut halves = Vec::new();
    for (path, body) in [(INVOKE, &body), (KEYS, &new_key)] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            gateway.address(),
            key.text,
            body.len()
        );
        halves.push((sent(&gateway, &format!("{head}{}", &body[..5])).await, &body[5..]));
    }
    // Somebody who was accepted has been seen.
    wait_until("all have been let in", DEADLINE, || async {
        let key = gateway.get(&format!("{KEYS}/{}", key.id)).await.expect(200);
        key["data"]["last_used"].is_string().then_some(())
    })
    .await;
    revoke(&gateway, &key.id, "").await.expect(200);
    for request in [list, waiting] {
        assert_eq!(request.await.expect("no panic").expect(401)["error"]["code"], "revoked_key");
    }
    for (mut socket, rest) in halves {
        socket.write_all(rest.as_bytes()).await.expect("sent");
        let answer = read_until(&mut socket, "revoked_key").await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["executions"], 1, "{stats}");
    let active = gateway.get(&format!("{KEYS}?status=active")).await.expect(200);
    assert_eq!(active["pagination"]["total"], 1, "no heir");
    gateway.stop().await;
}

#[tokio::test]
async fn a_question_ends_before_its_next_turn_or_call_when_its_key_is_revoked() {
    let model = Llm::by(|asked| match asked.body["messages"].as_array().map_or(0, Vec::len) {
        // The first turn of each question calls a tool, the second takes for ever.
        2 => Turn::call(&[("echo", r#"{"nonce":1}"#)]),
        _ => Turn::say("Too late.").held(),
    })
    .await;
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .config_toml("[api]\nauth = \"required\"\n")
        .variable("OPENAI_API_KEY", "Kanari-Unnamed-b7c1e0f4d2")
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    for stream in [false, true] {
        let key = make(&gateway, json!({"name": "k"})).await;
        let question = json!({"server": "fake", "query": "What is there?", "stream": stream});
        let connection = Connection::open(gateway.address(), &[("x-api-key", key.text.as_str())]).await;
        let mut connection = connection.expect("accepted");
        let asking = tokio::spawn(async move {
            connection.send("POST", "/api/query", Some(&question)).await.expect("an answer")
        });
        wait_until("the model thinks", DEADLINE, || async { (model.held() == 1).then_some(()) }).await;
        revoke(&gateway, &key.id, "").await.expect(200);
        let reply = asking.await.expect("no panic");
        match stream {
            false => assert_eq!(reply.expect(401), json!({"error": "Authentication required"})),
            true => {
                let text = reply.text();
                let last = text.trim_end().rsplit("\n\n").next().expect("an event");
                assert!(
                    last.starts_with("event: error") && last.contains("Authentication required"),
                    "{text}"
                );
            }
        }
        wait_until("the model is left", DEADLINE, || async { (model.held() == 0).then_some(()) }).await;
    }
    let stats = gateway.call("fake", "stats", json!({})).await;
    assert_eq!(stats["executions"], 3, "{stats}");
    assert_eq!(model.asked().len(), 4);
    gateway.stop().await;
}

#[tokio::test]
async fn limits_of_a_plan_are_not_passed_by_asking_at_once() {
    let plan = "[plans.p]\nmax_api_keys = 5\nmax_mcps = 5\n[organization]\nplan = \"p\"\n";
    let gateway = TestGateway::new().config_toml(plan).start().await;
    let mut asking = Vec::new();
    for n in 0..30 {
        asking.push(begin(&gateway, gateway.key(), KEYS, json!({"name": format!("k{n}")})).await);
        let resting = json!({"name": format!("s{n}"), "command": "/no/such"});
        asking.push(begin(&gateway, gateway.key(), "/api/servers", resting).await);
    }
    let (mut keys, mut servers) = (0, 0);
    for reply in asking {
        match reply.await.expect("no panic") {
            reply if reply.status == 201 => keys += 1,
            reply if reply.status == 200 => servers += 1,
            reply => drop(reply.expect(403)),
        }
    }
    assert_eq!((keys, servers), (4, 5), "one key was there");
    assert_eq!(gateway.get(&format!("{KEYS}?status=active")).await.expect(200)["pagination"]["total"], 5);
    gateway.stop().await;
}

#[tokio::test]
async fn a_key_says_who_made_it_and_its_revocation_takes_along_what_it_made() {
    let gateway = TestGateway::new().start().await;
    let thief = make(&gateway, json!({"name": "stolen"})).await;
    let child = make_by(&gateway, &thief.text, json!({"name": "child"})).await;
    let grandchild = make_by(&gateway, &child.text, json!({"name": "grandchild"})).await;
    let other = make(&gateway, json!({"name": "other"})).await;
    let shown = gateway.get(&format!("{KEYS}/{}", grandchild.id)).await.expect(200);
    assert_eq!(shown["data"]["created_by"], json!({"key_id": child.id, "member_id": "user_owner"}));
    revoke(&gateway, &thief.id, "?descendants=maybe").await.expect(400);
    // Of the key that was made first everything comes, so somebody would be locked out.
    let owner = shown["data"]["owner_id"].clone();
    let first = gateway.get(&format!("{KEYS}?per_page=100")).await.expect(200)["data"].clone();
    let first = first.as_array().expect("a list").iter().find(|key| key["name"] == "owner key").cloned();
    let first = first.expect("listed");
    assert_eq!((&first["owner_id"], &first["created_by"]), (&owner, &Value::Null));
    let refused = revoke(&gateway, first["id"].as_str().expect("an id"), "?descendants=true").await;
    assert_eq!(refused.expect(403)["error"]["message"], "Cannot revoke your only active key");
    ask(&gateway, "GET", "/v1/mcps").key(&grandchild.text).send().await.expect(200);

    // Revoked without them first, and then with them.
    let alone = revoke(&gateway, &thief.id, "").await.expect(200)["data"].clone();
    assert_eq!((&alone["revoked_keys"], &alone["durable"]), (&json!([thief.id]), &json!(true)));
    ask(&gateway, "GET", "/v1/mcps").key(&child.text).send().await.expect(200);
    let with_them = revoke(&gateway, &thief.id, "?descendants=true").await.expect(200)["data"].clone();
    let mut expected = [child.id.clone(), grandchild.id.clone()];
    expected.sort();
    assert_eq!((&with_them["revoked_keys"], &with_them["status"]), (&json!(expected), &json!("revoked")));
    assert_eq!(with_them["revoked_at"], alone["revoked_at"]);
    for key in [&thief, &child, &grandchild] {
        assert_eq!(code_now(&gateway, &key.text).await, "revoked_key");
    }
    ask(&gateway, "GET", "/v1/mcps").key(&other.text).send().await.expect(200);
    gateway.stop().await;
}

/// Revokes on a disk that takes no change, and looks whether it outlives the daemon.
async fn revoked_without_a_disk(mut gateway: Gateway, durable: bool, mend: impl FnOnce(&Gateway)) -> Gateway {
    let mut keys =
        vec![make(&gateway, json!({"name": "a"})).await, make(&gateway, json!({"name": "b"})).await];
    let of_member = make(&gateway, json!({"name": "m", "member": {"id": "user_m"}})).await;
    break_disk(&gateway, durable);
    wait_until("no change is taken", DEADLINE, || async {
        let large = json!({"name": "large", "description": "x".repeat(1000)});
        (gateway.post(KEYS, &large).await.status == 503).then_some(())
    })
    .await;
    for key in &keys {
        let revoked = revoke(&gateway, &key.id, "").await.expect(200)["data"].clone();
        assert_eq!(revoked["durable"], durable, "{revoked}\n{}", gateway.output());
        assert_eq!(revoked["warning"].is_string(), !durable, "{revoked}");
        assert_eq!(code_now(&gateway, &key.text).await, "revoked_key");
    }
    let removed = gateway.delete(MEMBER).await.expect(200)["data"].clone();
    assert_eq!((&removed["keys_revoked"], &removed["durable"]), (&json!(1), &json!(durable)), "{removed}");
    assert_eq!(removed["warning"].is_string(), !durable, "{removed}");
    gateway.get(MEMBER).await.expect(404);
    keys.push(of_member);
    let ready = gateway.get("/readyz").await.expect(200).to_string();
    assert_eq!(ready.contains("would forget"), !durable, "{ready}");
    let is_so = async |gateway: &Gateway| {
        for key in &keys {
            assert_eq!(code_now(gateway, &key.text).await, "revoked_key");
        }
        gateway.get(MEMBER).await.expect(404);
    };
    is_so(&gateway).await;
    if durable {
        // The daemon ends before it could be stored.
        gateway.kill_9().await;
        gateway.restart().await;
        is_so(&gateway).await;
    }
    mend(&gateway);
    wait_until("it is stored", DEADLINE, || async {
        let is_ready = gateway.get("/readyz").await.expect(200)["status"] == "ready";
        (is_ready && gateway.output().contains("could not be stored are stored now")).then_some(())
    })
    .await;
    gateway.kill_9().await;
    fs::remove_file(gateway.data().join("reserve")).expect("removed");
    gateway.restart().await;
    is_so(&gateway).await;
    gateway
}

fn break_disk(gateway: &Gateway, with_reserve: bool) {
    match is_mounted(gateway.data()) {
        true => drop(fill(gateway.data())),
        // The reserve is smaller than this, and the database larger.
        false => limit(gateway, Some(if with_reserve { 66_000 } else { 0 })),
    }
}

#[tokio::test]
async fn a_full_disk_keeps_no_key_alive_and_its_revocation_outlives_the_daemon() {
    let gateway = TestGateway::new().prepare(small_disk).start().await;
    let data = gateway.data().to_owned();
    if !is_mounted(&data) {
        return gateway.stop().await;
    }
    let mounted = Mounted(data.clone());
    let filler = |data: &Path| data.join("filler");
    let mut gateway =
        revoked_without_a_disk(gateway, true, |_| fs::remove_file(filler(&data)).expect("removed")).await;
    assert!(gateway.terminate().await.success());
    drop(mounted);
    gateway.stop().await;
}

#[tokio::test]
async fn where_nothing_can_be_written_a_revocation_holds_and_says_it_may_be_lost() {
    let gateway = TestGateway::new().start().await;
    let gateway = revoked_without_a_disk(gateway, false, |gateway| limit(gateway, None)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_limit_on_file_sizes_leaves_the_reserve() {
    let gateway = TestGateway::new().start().await;
    let key = make(&gateway, json!({"name": "k"})).await;
    let of_member = make(&gateway, json!({"name": "m", "member": {"id": "user_m"}})).await;
    limit(&gateway, Some(66_000));
    wait_until("no change is taken", DEADLINE, || async {
        let large = json!({"name": "large", "description": "x".repeat(1000)});
        (gateway.post(KEYS, &large).await.status == 503).then_some(())
    })
    .await;
    assert_eq!(revoke(&gateway, &key.id, "").await.expect(200)["data"]["durable"], true);
    assert_eq!(code_now(&gateway, &key.text).await, "revoked_key");
    assert_eq!(gateway.delete(MEMBER).await.expect(200)["data"]["durable"], true);
    assert_eq!(code_now(&gateway, &of_member.text).await, "revoked_key");
    // There is room for lines of the audit, and they say what was taken along.
    for (action, id) in [("key.revoke", &key.id), ("member.remove", &of_member.id)] {
        let lines = gateway.get(&format!("/v1/audit?action={action}")).await.expect(200)["data"].clone();
        let details = &lines[0]["details"];
        assert_eq!((&lines[0]["outcome"], &details["durable"]), (&json!("done"), &json!(true)), "{lines}");
        assert_eq!(details["revoked_keys"], json!([id]), "{lines}");
    }
    limit(&gateway, None);
    tokio::time::timeout(Duration::from_secs(60), async {
        wait_until("changes are taken again", DEADLINE, || async {
            (gateway.post(KEYS, &json!({"name": "again"})).await.status == 201).then_some(())
        })
        .await;
    })
    .await
    .expect("in time");
    gateway.stop().await;
}
