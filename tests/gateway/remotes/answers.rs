//! Answers in every form that a server may choose, and in those that it may not.

use serde_json::{Value, json};

use super::{FAR, at_once, echo, ready, refused, unknown, with_definition};
use crate::support::gateway::with;
use crate::support::scripted_http::{Answer, Gate, ScriptedHttp, Way, answered, event, said};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// A result that can be told from others.
fn fine() -> Value {
    answered(said("fine"))
}

/// A stream of this text.
fn text(text: &str) -> Answer {
    Answer::stream([text])
}

/// A result that is nested too deeply for any reader.
fn deep() -> String {
    let (open, close) = ("[".repeat(100_000), "]".repeat(100_000));
    format!(r#"{{"jsonrpc":"2.0","id":"$ID","result":{open}{close}}}"#)
}

#[tokio::test]
async fn an_answer_is_taken_in_every_form_that_a_server_may_choose() {
    let (server, gateway) = ready(Way::Legacy).await;
    let fine = fine();
    let (body, pretty) = (fine.to_string(), serde_json::to_string_pretty(&fine).expect("JSON"));
    let progress = event(&json!({"jsonrpc": "2.0", "method": "notifications/progress",
        "params": {"progressToken": "foreign", "progress": 1}}));
    let forms = [
        ("a parameter", Answer::of(200, "application/json; charset=utf-8", &body)),
        ("capitals", Answer::of(200, "Application/JSON", &body)),
        ("many lines", Answer::of(200, "application/json", &format!("\r\n{pretty}\n"))),
        ("an array of one", Answer::of(200, "application/json", &format!("[{body}]"))),
        ("another success", Answer::of(201, "application/json", &body)),
        ("events", Answer::events(std::slice::from_ref(&fine))),
        (
            "events with a parameter",
            text(&event(&fine)).header("content-type", "text/event-stream; charset=utf-8"),
        ),
        ("events in capitals", text(&event(&fine)).header("content-type", "Text/Event-Stream")),
        ("lines as Python ends them", text(&format!("event: message\r\ndata: {body}\r\n\r\n"))),
        ("lines as none ends them", text(&format!("event: message\rdata: {body}\r\r"))),
        ("an event without a name", text(&format!("data: {body}\n\n"))),
        ("no blank behind the colon", text(&format!("data:{body}\n\n"))),
        ("a byte order mark", text(&format!("\u{feff}data: {body}\n\n"))),
        ("comments", text(&format!(": ping - 2026\n\n: ping\n\n{}", event(&fine)))),
        ("a priming event", text(&format!("id: 0/3\nretry: 3000\ndata:\n\n{}", event(&fine)))),
        ("another event first", text(&format!("event: ping\ndata: {{}}\n\n{}", event(&fine)))),
        ("somebody else's progress first", text(&format!("{progress}{}", event(&fine)))),
        (
            "data in lines",
            text(&format!(
                "{}\n\n",
                pretty.lines().map(|line| format!("data: {line}\n")).collect::<String>()
            )),
        ),
        ("in pieces", Answer::stream(["da", "ta: ", &body[..20], &body[20..], "\n", "\n"])),
    ];
    for (what, answer) in forms {
        server.once("tools/call", answer);
        let reply = gateway.v1_invoke(FAR, "echo", json!({})).await;
        assert_eq!(reply.status, 200, "R29, R31: {what}: {}", reply.text());
        assert_eq!(reply.json()["data"]["result"], "fine", "{what}");
    }
    assert_eq!([server.count("initialize"), server.count("tools/list")], [1, 1]);
    gateway.stop().await;
}

#[tokio::test]
async fn a_number_given_back_as_text_is_the_same_id() {
    let (server, gateway) = ready(Way::Legacy).await;
    let body = answered(said("fine")).to_string();
    for written in ["\"\"$ID\"\"", "\"$ID\".0"] {
        let body = body.replacen("\"$ID\"", written, 1);
        // The place of the id is between the quotes.
        server.once("tools/call", Answer::of(200, "application/json", &body));
        let reply = gateway.v1_invoke(FAR, "echo", json!({})).await;
        assert_eq!(reply.status, 200, "R23: {written}: {}", reply.text());
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_no_answer_fails_its_call_at_once_and_no_other() {
    let (server, gateway) = ready(Way::Legacy).await;
    let foreign = json!({"jsonrpc": "2.0", "id": 987_654, "result": said("another's")});
    let bodies = [
        ("a foreign id", Answer::json(200, &foreign)),
        ("a foreign id in an event", Answer::events(std::slice::from_ref(&foreign))),
        ("no id", Answer::json(200, &json!({"jsonrpc": "2.0", "result": said("nobody's")}))),
        ("202", Answer::empty(202)),
        ("204", Answer::empty(204)),
        ("nothing", Answer::empty(200)),
        ("nothing of JSON", Answer::of(200, "application/json", "")),
        ("half of JSON", Answer::of(200, "application/json", r#"{"jsonrpc":"2.0","id":"$ID","resu"#)),
        ("another JSON", Answer::json(200, &json!({"ok": true}))),
        ("depths", Answer::of(200, "application/json", &deep())),
        ("an array of two", Answer::json(200, &json!([answered(said("a")), answered(said("b"))]))),
        ("an empty array", Answer::json(200, &json!([]))),
        ("a page", Answer::of(200, "text/html", "<html>Please sign in, Ada</html>")),
        ("text", Answer::of(200, "text/plain", "fine, Ada")),
        ("a stream that ends", Answer::stream([": nothing\n\n"])),
        ("an event without its end", Answer::stream([&*format!("data: {}", answered(said("late")))])),
    ];
    for (what, answer) in bodies {
        let before = server.count("tools/call");
        server.once("tools/call", answer);
        let error = unknown(&gateway).await;
        assert!(!error.to_string().contains("Ada"), "R30: {what}: {error}");
        assert_eq!(server.count("tools/call"), before + 1, "R23, R29, R49: {what}: never sent again");
        echo(&gateway, what).await;
    }
    assert_eq!(server.count("initialize"), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn an_error_of_the_protocol_is_the_callers_whatever_its_status() {
    let (server, gateway) = ready(Way::Legacy).await;
    for status in [200, 400, 404, 500] {
        // A session is not meant by these.
        let code = if status == 404 { -32601 } else { -32602 };
        server.once("tools/call", Answer::error(status, code, "wrong, says the server"));
        let reply = gateway.v1_invoke(FAR, "echo", json!({})).await;
        let error = reply.json()["error"].clone();
        assert!(error.to_string().contains("wrong, says the server"), "R32: {status}: {error}");
        assert_eq!(reply.status, if code == -32602 { 400 } else { 502 }, "{status}: {error}");
    }
    server.once(
        "tools/call",
        Answer::events(&[json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32050, "message": "odd"}})]),
    );
    refused(&gateway, "echo", 502, "mcp_error").await;
    assert_eq!(server.count("tools/call"), 5, "each was sent once");
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_given_up_and_the_server_serves_on() {
    let server = ScriptedHttp::start(Way::Legacy).await;
    let gateway = with_definition(with(server.definition(), json!({"max_answer": 4096}))).await;
    let long = answered(said(&"x".repeat(10_000)));
    let pieces: Vec<String> = (0..10).map(|_| "x".repeat(1000)).collect();
    let without_end = Answer::stream(std::iter::once("data: ").chain(pieces.iter().map(String::as_str)));
    for answer in [
        Answer::json(200, &long),
        Answer::events(std::slice::from_ref(&long)),
        without_end,
        Answer::stream([&*long.to_string()]).header("content-type", "application/json"),
    ] {
        server.once("tools/call", answer);
        let error = unknown(&gateway).await;
        assert!(error["message"].to_string().contains("max_answer"), "R51: {error}");
        echo(&gateway, 1).await;
    }
    let seen = gateway.server(FAR).await;
    assert_eq!([&seen["state"], &seen["restarts"]], [&json!("ready"), &json!(0)]);
    gateway.stop().await;
}

#[tokio::test]
async fn long_answers_at_once_take_no_more_memory_than_the_longest() {
    const LONG: usize = 8 * 1024 * 1024;
    const CALLS: u64 = 16;
    let whole = answered(said(&"x".repeat(LONG))).to_string();
    // All but its end, which does not come.
    let (most, end) = whole.split_at(whole.len() - 2);
    let never = Gate::shut();
    let bodies = [
        Answer::of(200, "application/json", most).then(&never, end),
        Answer::stream([most]).header("content-type", "application/json").then(&never, end),
        Answer::stream(["data: ", most]).then(&never, end),
    ];
    for body in bodies {
        let (server, gateway) = ready(Way::Legacy).await;
        echo(&gateway, 0).await;
        let before = Usage::of(gateway.pid()).resident;
        server.always("tool slow", body);
        let mut calls = at_once(&gateway, "slow", CALLS).await;
        server.wait_count("tools/call", 1 + usize::try_from(CALLS).expect("small")).await;
        let grown = || Usage::of(gateway.pid()).resident.saturating_sub(before) * 1024;
        wait_until("the first is there", DEADLINE, || async {
            (grown() > LONG as u64 * 3 / 4).then_some(())
        })
        .await;
        // Short ones are not held up by them, and give them time.
        for number in 0..100 {
            echo(&gateway, number).await;
        }
        let (grown, all) = (grown() / 1024, CALLS * LONG as u64 / 1024);
        assert!(grown < all / 2, "R49: {grown} of {all} KiB");
        calls.shutdown().await;
        server.unscripted();
        server.once("tool slow", Answer::result(said(&"y".repeat(LONG))));
        let answer = gateway.call(FAR, "slow", json!({})).await;
        assert_eq!(answer.as_str().map(str::len), Some(LONG), "there is room again");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn large_requests_and_answers_pass_unharmed() {
    let (server, gateway) = ready(Way::Legacy).await;
    let odd = "Zeilen\nund \u{2028} \"Anführung\" \\ 🦀".repeat(15_000);
    assert_eq!(gateway.call(FAR, "echo", json!({"nonce": odd})).await["nonce"], odd);
    // Read line by line out of a stream.
    server.once("tools/call", Answer::events(&[answered(said(&odd))]));
    assert_eq!(gateway.call(FAR, "echo", json!({})).await, odd);
    assert_eq!(server.executed().len(), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_too_large_for_the_server_is_told_as_such() {
    let (server, gateway) = ready(Way::Legacy).await;
    server.once("tools/call", Answer::of(413, "text/plain", "Payload Too Large"));
    let error = refused(&gateway, "echo", 413, "payload_too_large").await;
    assert_eq!(error["details"]["phase"], "not_sent", "R50");
    assert_eq!(server.count("tools/call"), 1);
    echo(&gateway, 1).await;
    gateway.stop().await;
}
