//! Streams of events: taken up again where that is possible, and only there (R41 to R46).

use serde_json::{Value, json};

use super::{FAR, at_once, echo, opened, ready, unknown};
use crate::support::scripted_http::{Answer, Gate, ScriptedHttp, Way, event, said};
use crate::support::{DEADLINE, wait_until};

const PRIMING: &str = "id: 7/1\nretry: 10\ndata:\n\n";

/// A stream that ends behind this text, once the gate is open.
fn ends_behind(text: &str, gate: &Gate) -> Answer {
    Answer::stream([text]).then(gate, "more").cut(text.len())
}

/// The answer to the last call.
fn late_answer(server: &ScriptedHttp, text: &str) -> Value {
    let id = server.asked("tools/call").pop().expect("a call").message["id"].clone();
    json!({"jsonrpc": "2.0", "id": id, "result": said(text)})
}

/// The requests that take a stream up again.
fn resumptions(server: &ScriptedHttp) -> Vec<String> {
    server.asked("GET").iter().filter_map(|asked| asked.header("last-event-id").map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_stream_with_ids_is_taken_up_again_and_its_answer_arrives() {
    let (server, gateway) = ready(Way::Legacy).await;
    let gate = Gate::shut();
    server.once("tools/call", ends_behind(PRIMING, &gate));
    let calling = gateway.v1_invoke(FAR, "echo", json!({}));
    let serving = async {
        server.wait_count("tools/call", 1).await;
        // Cut once more on the way, behind another id.
        server.once("GET", Answer::stream(["id: 7/2\ndata:\n\n", "x"]).cut(16));
        server.once("GET", Answer::events(&[late_answer(&server, "late")]));
        gate.open();
    };
    let (reply, ()) = tokio::join!(calling, serving);
    assert_eq!(reply.expect(200)["data"]["result"], "late", "R45");
    assert_eq!(resumptions(&server), ["7/1", "7/2"]);
    let all = server.asked("GET");
    assert!(all.iter().all(|asked| asked.header("mcp-session-id") == Some("session-1")));
    assert_eq!(server.count("tools/call"), 1, "never sent again");
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_is_taken_up_three_times_at_most_and_then_its_call_is_unknown() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.wait_count("GET", 1).await;
    let gate = Gate::shut();
    gate.open();
    server.once("tools/call", ends_behind(PRIMING, &gate));
    unknown(&gateway).await;
    assert_eq!(resumptions(&server), ["7/1", "7/1", "7/1"], "R45");
    assert_eq!(server.count("tools/call"), 1);
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_stream_without_ids_and_one_of_the_modern_era_are_not_taken_up() {
    for (way, text) in [(Way::Legacy, ": ping\n\n"), (Way::Modern, PRIMING)] {
        let (server, gateway) = ready(way).await;
        let gate = Gate::shut();
        gate.open();
        server.once("tools/call", ends_behind(text, &gate));
        unknown(&gateway).await;
        assert_eq!(resumptions(&server), Vec::<String>::new(), "R45, R46: {way:?}");
        assert_eq!(server.count("tools/call"), 1);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_session_lost_while_a_stream_is_cut_leaves_its_call_unknown() {
    let (server, gateway) = ready(Way::Legacy).await;
    let gate = Gate::shut();
    server.once("tools/call", ends_behind(PRIMING, &gate));
    let calling = unknown(&gateway);
    let losing = async {
        server.wait_count("tools/call", 1).await;
        server.forget_sessions();
        gate.open();
    };
    tokio::join!(calling, losing);
    assert_eq!(server.count("tools/call"), 1, "R45: never sent again");
    echo(&gateway, 1).await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_answer_ends_its_exchange_even_where_the_stream_goes_on() {
    let (server, gateway) = ready(Way::Legacy).await;
    let never = Gate::shut();
    let fine = event(&crate::support::scripted_http::answered(said("fine")));
    server.once("tools/call", Answer::stream([&*fine]).then(&never, "more"));
    assert_eq!(gateway.call(FAR, "echo", json!({})).await, "fine", "R32");
    gateway.stop().await;
}

/// A server that has a stream for notifications.
async fn with_stream() -> ScriptedHttp {
    let server = ScriptedHttp::start(Way::Legacy).await;
    server.change(|nature| {
        nature.has_stream = true;
        nature.capabilities = json!({"tools": {"listChanged": true}});
    });
    server
}

async fn wait_stream(server: &ScriptedHttp) {
    wait_until("the stream is open", DEADLINE, || async { server.has_stream().then_some(()) }).await;
}

#[tokio::test]
async fn a_stream_of_notifications_that_ends_is_opened_again() {
    let server = with_stream().await;
    let gateway = opened(&server).await;
    wait_stream(&server).await;
    server.push("id: n-1\nretry: 20\ndata:\n\n");
    server.end_stream();
    let asked = server.wait_count("GET", 2).await;
    assert_eq!(asked[0].header("last-event-id"), None);
    assert_eq!(asked[1].header("last-event-id"), Some("n-1"), "R43");
    wait_stream(&server).await;
    server.push(
        "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
    );
    server.wait_count("tools/list", 2).await;
    assert_eq!(gateway.server(FAR).await["restarts"], 0, "R43");
    assert_eq!(server.count("initialize"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_without_a_stream_is_asked_for_it_once_a_session() {
    for (status, kind) in [(405, "text/plain"), (404, "text/plain"), (200, "text/html"), (202, "")] {
        let server = ScriptedHttp::start(Way::Legacy).await;
        server.always("GET", Answer::of(status, kind, "no"));
        let gateway = opened(&server).await;
        // Time goes by, by the server's own wish.
        server.once("tools/call", Answer::empty(429).header("Retry-After", "3"));
        echo(&gateway, 0).await;
        assert_eq!([server.count("GET"), server.count("initialize")], [1, 1], "R38, R41: {status}");
        server.forget_sessions();
        echo(&gateway, 6).await;
        server.wait_count("GET", 2).await;
        gateway.stop().await;
        assert_eq!(server.count("GET"), 2, "{status}");
    }
}

#[tokio::test]
async fn a_stream_that_counts_as_open_on_the_other_side_ends_no_session() {
    let server = with_stream().await;
    server.once("GET", Answer::of(409, "text/plain", "Only one SSE stream is allowed per session"));
    let gateway = opened(&server).await;
    for number in 0..3 {
        echo(&gateway, number).await;
    }
    assert_eq!(gateway.server(FAR).await["state"], "ready", "R41");
    wait_stream(&server).await;
    assert_eq!([server.count("GET"), server.count("initialize")], [2, 1]);
    gateway.stop().await;
}

#[tokio::test]
async fn calls_go_on_while_the_stream_of_notifications_is_away() {
    let server = with_stream().await;
    let gateway = opened(&server).await;
    wait_stream(&server).await;
    server.always("GET", Answer::of(500, "text/plain", "no"));
    server.end_stream();
    server.wait_count("GET", 2).await;
    for reply in at_once(&gateway, "echo", 10).await.join_all().await {
        reply.expect(200);
    }
    let seen = gateway.server(FAR).await;
    assert_eq!(seen["restarts"], 0, "R43");
    gateway.stop().await;
}
