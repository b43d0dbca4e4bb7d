//! Many MCP clients of both eras on one child, half of whose calls ask for input while all others do, beside quiet streams
//! of changes: everybody gets its own question and its own answer, and what they took of the daemon is free afterwards.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Report, at_rest};
use crate::mcp::{accept, form};
use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::mcp::{Answer, Session, modern};
use crate::support::strangers::allow_many_sockets;
use crate::support::usage::Usage;

/// What a quiet stream may take of the daemon, in bytes of resident memory (`docs/limits.md`).
const BYTES_A_STREAM: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn clients() {
    let mut report = Report::of("clients");
    let clients = report.count(20, 1000);
    let streams = clients * 10;
    allow_many_sockets();
    let gateway = Arc::new(started(clients, streams).await);
    // The first of each kind makes what is made once.
    everybody(&gateway, 2).await;
    drop(listening(&gateway, 2).await);
    let before = at_rest(&gateway, None).await;
    let quiet = listening(&gateway, streams).await;
    let with_streams = Usage::of(gateway.pid());
    let each = with_streams.resident.saturating_sub(before.resident) * 1024 / streams as u64;
    report.long_row(
        "a quiet stream",
        format!("{each} bytes of {streams}"),
        &format!("{BYTES_A_STREAM} at most"),
        each <= BYTES_A_STREAM,
    );
    let right = everybody(&gateway, clients).await;
    report.row(
        "answers to their own question",
        format!("{right} of {}", clients * 4),
        "all",
        right == clients * 4,
    );
    let peak = Usage::of(gateway.pid()).resident;
    report
        .note("memory at the peak", format!("{peak} KiB, {} with the streams alone", with_streams.resident));
    let heard = all_hear_of_a_change(&gateway, quiet).await;
    report.row("streams that heard of a change", format!("{heard} of {streams}"), "all", heard == streams);
    let after = at_rest(&gateway, Some(before)).await;
    let most = before.resident + peak.saturating_sub(before.resident) / 4;
    let left = given_back(&gateway, most).await;
    report.long_row(
        "resident memory",
        format!("{} → {left} KiB", before.resident),
        "a quarter of the peak's growth at most is left",
        left <= most,
    );
    report.row(
        "file descriptors",
        format!("{} → {}", before.files, after.files),
        "± 2",
        after.files.abs_diff(before.files) <= 2,
    );
    Arc::into_inner(gateway).expect("all have ended").stop().await;
    report.end();
}

/// Waits until the daemon has given back what nobody uses any more, half a minute at most, and returns its resident memory
/// in KiB.
async fn given_back(gateway: &Gateway, most: u64) -> u64 {
    let end = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let resident = Usage::of(gateway.pid()).resident;
        if resident <= most || tokio::time::Instant::now() > end {
            return resident;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn started(clients: usize, streams: usize) -> Gateway {
    // Those that have just left are counted until it is noticed.
    let (connections, most) = (streams + clients * 8 + 100, streams + 100);
    let config = format!(
        "[http]\nmax_connections = {connections}\nmax_connections_per_address = {connections}\n[mcp]\n\
         max_sessions = {}\nmax_streams = {most}\nmax_streams_per_key = {most}\n[limits]\ncalls_per_key = 100000\n\
         [organization]\nplan = \"unlimited\"\n",
        clients * 4 + 10
    );
    let many = with(fake(&["--converse", "--era", "modern"]), json!({"queue": 65_536, "queue_age": "60s"}));
    let gateway = TestGateway::new().server("modern", many).config_toml(&config).start().await;
    gateway.wait_state("modern", "ready").await;
    gateway
}

/// So many clients of each era make a call without a question and one with. Returns how many answers were their own.
async fn everybody(gateway: &Arc<Gateway>, clients: usize) -> usize {
    // Nobody answers before all were asked: each question is open beside those of all others.
    let all_are_asked = Arc::new(Barrier::new(clients * 2));
    let mut asking = JoinSet::new();
    for client in 0..clients {
        let (world, asked) = (gateway.clone(), all_are_asked.clone());
        asking.spawn(async move { of_modern(&world, &format!("modern {client}"), &asked).await });
        let (world, asked) = (gateway.clone(), all_are_asked.clone());
        asking.spawn(async move { of_session(&world, &format!("legacy {client}"), &asked).await });
    }
    asking.join_all().await.into_iter().sum()
}

fn interview(name: &str) -> Value {
    json!({"rounds": [[form(name)]]})
}

fn elicitation() -> Value {
    json!({"elicitation": {}})
}

fn is_own(told: &Value, name: &str) -> usize {
    usize::from(told["structuredContent"]["rounds"][0]["q0"]["result"] == accept(name))
}

async fn of_modern(gateway: &Gateway, name: &str, all_are_asked: &Barrier) -> usize {
    let client = modern(gateway, "modern").can(elicitation());
    let plain =
        client.call("echo", json!({"nonce": name})).result().await["structuredContent"]["nonce"] == name;
    let call = client.call("interview", interview(name));
    let asked = call.clone().result().await;
    let (key, question) =
        asked["inputRequests"].as_object().and_then(|all| all.iter().next()).expect("a question");
    assert_eq!(question["params"]["message"], name, "another client's question");
    all_are_asked.wait().await;
    let told = call
        .id(2)
        .param("inputResponses", json!({key: accept(name)}))
        .param("requestState", asked["requestState"].clone());
    is_own(&told.result().await, name) + usize::from(plain)
}

async fn of_session(gateway: &Gateway, name: &str, all_are_asked: &Barrier) -> usize {
    let session = Session::open(gateway, "modern", elicitation()).await;
    let plain =
        session.call("echo", json!({"nonce": name})).result().await["structuredContent"]["nonce"] == name;
    let mut answer = session.call("interview", interview(name)).id(2).send().await;
    let question = answer.until("elicitation/create").await;
    assert_eq!(question["params"]["message"], name, "another client's question");
    all_are_asked.wait().await;
    session.answer(&question, accept(name)).await;
    let told = answer.last().await;
    session.ended().await;
    is_own(&told["result"], name) + usize::from(plain)
}

/// Opens so many streams that are told of changes, and of none yet.
async fn listening(gateway: &Gateway, streams: usize) -> Vec<Answer> {
    let client = modern(gateway, "modern");
    let mut quiet = Vec::with_capacity(streams);
    for stream in 0..streams {
        quiet.push(client.listen(stream, json!({"toolsListChanged": true})).await.0);
    }
    quiet
}

/// Changes the list of tools, and returns how many streams were told; then all are left.
async fn all_hear_of_a_change(gateway: &Gateway, quiet: Vec<Answer>) -> usize {
    modern(gateway, "modern").told("change", json!({"list": "tools"})).await;
    let mut heard = 0;
    for mut stream in quiet {
        heard += usize::from(stream.message().await["method"] == "notifications/tools/list_changed");
    }
    heard
}
