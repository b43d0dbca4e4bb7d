//! Every act that is asked for has a line in the audit, also one that fails before anybody knows what it is
//! about. The acts come from the router itself, so that none can be missing here.

use std::collections::HashMap;

use mcpvisor::http::{Route, known_routes};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::support::DEADLINE;
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::recording::Socket;

/// The longest body that is taken here.
const LIMIT: usize = 4096;
const CONFIG: &str =
    "[http]\nbody_limit = 4096\nbody_timeout = \"1s\"\n[organization]\nplan = \"unlimited\"\n";

/// Acts that need neither a name nor a body: whatever comes as one, short of too much, they are done.
const WITHOUT_BODY: [&str; 2] = ["/v1/backup", "/v1/export"];

/// A way to be no good, whatever the act.
struct Fault {
    name: &'static str,
    /// What is answered, unless something else is found first: that nobody is there by that name, or nothing
    /// in the body.
    status: u16,
    /// Where what is addressed has its name, or has none.
    id: &'static str,
    query: &'static str,
    content_type: &'static str,
    body: String,
}

fn faults() -> Vec<Fault> {
    let fault = |name, status, body: &str| Fault {
        name,
        status,
        id: "nobody",
        query: "",
        content_type: "application/json",
        body: body.to_owned(),
    };
    let wrong = json!({"name": 1, "grace": 1, "digest": 1, "filepath": 1, "command": 1, "max_mcps": "x"});
    vec![
        fault("nothing said", 400, "{}"),
        fault("no body", 400, ""),
        fault("no JSON", 400, "{"),
        fault("no object", 400, "[1]"),
        fault("an unknown member", 400, r#"{"nope": 1}"#),
        fault("members of a wrong type", 400, &wrong.to_string()),
        fault("a part of what is needed", 400, r#"{"name": "half", "email": 1}"#),
        fault("too deep", 400, &format!("{}{}", "[".repeat(200), "]".repeat(200))),
        fault("too long", 413, &" ".repeat(LIMIT + 1)),
        Fault { content_type: "text/plain", ..fault("no JSON by its type", 415, "{}") },
        Fault { query: "?nope=1", ..fault("an unknown parameter", 400, "{}") },
        Fault { id: "%ff", ..fault("a name that cannot be decoded", 404, "{}") },
    ]
}

fn acts() -> Vec<Route> {
    let acts: Vec<Route> = known_routes().into_iter().filter(|route| route.action.is_some()).collect();
    assert!(acts.len() > 15, "{}", acts.len());
    acts
}

fn path(route: &Route, id: &str) -> String {
    route.path.replace("{id}", id).replace("{name}", id)
}

/// A key that may do everything; each has a share of its own of the lines of what was not done.
async fn new_key(gateway: &Gateway) -> String {
    let made = gateway.post("/v1/api-keys", &json!({"name": "all"})).await.expect(201);
    made["data"]["key"].as_str().expect("a key").to_owned()
}

/// The lines of the audit by the request that each is of. Whatever was answered before is among them.
async fn lines(gateway: &Gateway) -> HashMap<String, Vec<Value>> {
    // An act that is done is on the disk when it is answered, and so is what came before it.
    new_key(gateway).await;
    let mut of = HashMap::<String, Vec<Value>>::new();
    for line in gateway.get("/v1/audit/export").await.text().lines() {
        let line: Value = serde_json::from_str(line).expect("a line of JSON");
        of.entry(line["request_id"].as_str().unwrap_or_default().to_owned()).or_default().push(line);
    }
    of
}

#[tokio::test]
async fn every_failed_act_has_exactly_one_line_with_its_name_whatever_is_wrong() {
    let gateway = TestGateway::new().config_toml(CONFIG).start().await;
    let (acts, mut asked) = (acts(), HashMap::new());
    for fault in faults() {
        let (key, mut met) = (new_key(&gateway).await, 0);
        for route in &acts {
            let what = format!("{} {}: {}", route.method, route.path, fault.name);
            let path = format!("{}{}", path(route, fault.id), fault.query);
            let id = format!("fault-{}", asked.len());
            let request = ask(&gateway, route.method, &path).key(&key).header("x-request-id", &id);
            let request = request.header("content-type", fault.content_type).bytes(fault.body.clone());
            let status = request.send().await.status;
            let is_done = status == 200 && WITHOUT_BODY.contains(&route.path);
            assert!(is_done || status == fault.status || [400, 404].contains(&status), "{what}: {status}");
            met += usize::from(status == fault.status);
            let named = vec![fault.id; route.path.matches('{').count()].join("/");
            let target = if named.is_empty() { route.path.to_owned() } else { named };
            asked.insert(id, (what, route.action, target, status));
        }
        assert!(met >= acts.len() / 2, "{} is met by {met} acts", fault.name);
    }
    let lines = lines(&gateway).await;
    for (id, (what, action, target, status)) in asked {
        let [line] = lines.get(&id).map_or(&[][..], Vec::as_slice) else {
            panic!("{what}: {:?}", lines.get(&id));
        };
        let told = [&line["action"], &line["target"], &line["outcome"], &line["status"]];
        let outcome = if status == 200 { "done" } else { "failed" };
        assert_eq!(json!(told), json!([action, target, outcome, status]), "{what}");
        assert_eq!(line["member_id"], "user_owner", "{what}");
    }
    gateway.stop().await;
}

/// Sends a part of a request, and gives what comes back until the connection ends.
async fn half_sent(mut socket: Socket, head: String, leaves: bool) -> String {
    socket.write_all(head.as_bytes()).await.expect("sent");
    if leaves {
        socket.shutdown().await.expect("ended");
    }
    let mut answer = Vec::new();
    // One that is reset has ended as well.
    let _ = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await.expect("it ends");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn an_act_whose_body_never_arrives_whole_asks_for_nothing_and_has_no_line() {
    let gateway = TestGateway::new().config_toml(CONFIG).start().await;
    let mut sending = JoinSet::new();
    for route in acts() {
        for leaves in [true, false] {
            let (method, path, key) = (route.method, path(&route, "nobody"), gateway.key());
            let head = format!(
                "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
                 content-type: application/json\r\nx-request-id: half\r\ncontent-length: 100\r\n\r\n{{\"name\": "
            );
            let answer = half_sent(gateway.raw_socket().await, head, leaves);
            sending.spawn(async move { (method, path, leaves, answer.await) });
        }
    }
    for (method, path, leaves, answer) in sending.join_all().await {
        // Who has left is not answered.
        let expected =
            if leaves { answer.is_empty() || answer.contains(" 400 ") } else { answer.contains(" 408 ") };
        assert!(expected, "{method} {path}, leaves: {leaves}: {answer}");
    }
    assert_eq!(lines(&gateway).await.get("half"), None);
    gateway.stop().await;
}
