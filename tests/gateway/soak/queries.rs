//! A hundred questions at once to a slow model: no more are answered than may be, other callers hardly
//! notice, and what is left in the middle takes everything along.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Report, at_rest, compare};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::llm::{Llm, Turn};
use crate::support::load::{Shot, at_a_rate, percentile};
use crate::support::{DEADLINE, wait_until};

const CLIENTS: usize = 100;
/// How many questions may be answered at once in the first part.
const PLACES: usize = 10;

/// A client that asks and waits, until it is aborted; every other one has its answer streamed.
async fn client(gateway: &Gateway, number: usize) -> JoinHandle<u16> {
    let mut connection = gateway.connect().await;
    let body = json!({"server": "fake", "query": "Slowly.", "stream": number.is_multiple_of(2)}).to_string();
    tokio::spawn(async move {
        let headers = [("content-type", "application/json")];
        let reply = connection.send_bytes("POST", "/api/query", &headers, Bytes::from(body)).await;
        reply.expect("an answer").status
    })
}

async fn clients(gateway: &Gateway) -> Vec<JoinHandle<u16>> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        clients.push(client(gateway, number).await);
    }
    clients
}

fn daemon(model: &Llm, places: usize) -> TestGateway {
    TestGateway::new()
        .server("fake", fake(&[]))
        .server("other", fake(&[]))
        .config_toml(&format!("[llm]\nmax_queries = {places}\nquery_timeout = \"1h\"\ntimeout = \"1h\"\n[http]\ncall_timeout = \"5m\"\n"))
        .variable("OPENAI_API_KEY", "sk-soak")
        .variable("OPENAI_BASE_URL", &model.url())
}

/// Half of those who ask have their tools called first, which then never end; the others wait for the model.
fn slow() -> impl Fn(&crate::support::llm::Asked) -> Turn + Send + 'static {
    let turns = std::sync::atomic::AtomicUsize::new(0);
    move |_| match turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2 {
        0 => Turn::say("At last.").held(),
        _ => Turn::call(&[("sleep", r#"{"ms":3600000}"#), ("sleep", r#"{"ms":3600000}"#)]),
    }
}

async fn in_flight(gateway: &Gateway) -> u64 {
    gateway.call("fake", "stats", json!({})).await["in_flight"].as_u64().expect("a number")
}

/// Waits until everything is under way that can be: half of the queries at the model, half at their tools.
async fn wait_busy(gateway: &Gateway, model: &Llm, queries: usize) {
    wait_until("all are under way", DEADLINE, || async {
        let calls = in_flight(gateway).await;
        (model.held() == queries / 2 && calls == queries as u64).then_some(())
    })
    .await;
}

/// Waits until nothing is under way any more.
async fn wait_free(gateway: &Gateway, model: &Llm) {
    wait_until("the model is left and all calls are cancelled", DEADLINE, || async {
        let calls = in_flight(gateway).await;
        (model.held() == 0 && calls == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn no_more_queries_than_may_be_are_under_way_and_left_ones_free_everything() {
    let mut report = Report::of("queries, caps");
    let rounds = report.count(2, 50);
    let model = Llm::by(slow()).await;
    let gateway = daemon(&model, PLACES).start().await;
    for server in ["fake", "other"] {
        gateway.wait_state(server, "ready").await;
    }
    // The first round makes what is kept: connections, threads, memory.
    let mut before = None;
    let (mut refused, mut other) = (0, 0);
    for _ in 0..=rounds {
        let mut clients = clients(&gateway).await;
        wait_busy(&gateway, &model, PLACES).await;
        wait_until("all others are refused", DEADLINE, || async {
            (clients.iter().filter(|client| client.is_finished()).count() == CLIENTS - PLACES).then_some(())
        })
        .await;
        let (ended, waiting): (Vec<_>, Vec<_>) = clients.drain(..).partition(JoinHandle::is_finished);
        for client in ended {
            match client.await.expect("no panic") {
                503 => refused += 1,
                _ => other += 1,
            }
        }
        waiting.iter().for_each(JoinHandle::abort);
        wait_free(&gateway, &model).await;
        if before.is_none() {
            before = Some(at_rest(&gateway, None).await);
        }
    }
    let told = rounds + 1;
    report.note("rounds", format!("{rounds} after a first one, {CLIENTS} clients each"));
    report.row("refused with 503", refused, "90 a round", refused == told * (CLIENTS - PLACES));
    report.row("other answers", other, "0", other == 0);
    let stats = gateway.call("fake", "stats", json!({})).await;
    let most = stats["max_in_flight"].as_u64().unwrap_or_default();
    report.row("tool calls at once", most, "2 for each of 5 queries", most == PLACES as u64);
    let cancelled = stats["cancelled"].as_array().map_or(0, Vec::len);
    report.row("cancelled tool calls", cancelled, "10 a round", cancelled == told * PLACES);
    report.row("left model calls", model.gone(), "5 a round", model.gone() == told * PLACES / 2);
    let before = before.expect("there was a first round");
    let after = at_rest(&gateway, Some(before)).await;
    compare(&mut report, before, after);
    gateway.stop().await;
    report.end();
}

async fn calls(gateway: &Arc<Gateway>, window: Duration) -> Vec<Shot> {
    let bodies: Vec<Value> =
        (0..4).map(|n| json!({"mcp_id": "other", "tool": "echo", "arguments": {"nonce": n}})).collect();
    at_a_rate(gateway, &bodies, 200, window).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_hundred_queries_cost_other_callers_next_to_nothing() {
    let mut report = Report::of("queries, others");
    let (window, rounds) = (report.length(2, 10), report.count(1, 6));
    let model = Llm::by(slow()).await;
    let gateway = Arc::new(daemon(&model, CLIENTS).start().await);
    for server in ["fake", "other"] {
        gateway.wait_state(server, "ready").await;
    }
    calls(&gateway, window / 2).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    // By turns, so that what the machine does meanwhile is shared.
    for _ in 0..rounds {
        alone.extend(calls(&gateway, window).await);
        let clients = clients(&gateway).await;
        wait_busy(&gateway, &model, CLIENTS).await;
        beside.extend(calls(&gateway, window).await);
        clients.iter().for_each(JoinHandle::abort);
        wait_free(&gateway, &model).await;
    }
    let failed = alone.iter().chain(&beside).filter(|shot| shot.status != 200).count();
    report.note(
        "calls",
        format!("200 a second, {} alone, {} beside {CLIENTS} queries", alone.len(), beside.len()),
    );
    report.row("failed calls of others", failed, "0", failed == 0);
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    let ratio = during.as_secs_f64() / before.as_secs_f64();
    let measured = format!("{before:?} alone, {during:?} beside: × {ratio:.2}");
    // A debug build measures itself.
    let kept = ratio <= 1.2 || cfg!(debug_assertions);
    report.long_row("p99 of others", measured, "× 1.2", kept);
    Arc::into_inner(gateway).expect("all calls have ended").stop().await;
    report.end();
}
