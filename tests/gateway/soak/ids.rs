//! Very many calls of one child, for each way in which servers keep and write request ids: those that have 32 bits
//! for them, with and without a sign, and those that answer with text or with a number with a fraction.

use serde_json::json;

use super::Report;
use crate::odd_answers::SCRIPT;
use crate::support::gateway::{TestGateway, with};
use crate::support::load::in_turn;

const KINDS: [&str; 4] = ["signed", "unsigned", "text", "point"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_answered_however_a_server_keeps_ids() {
    let mut report = Report::of("ids");
    let count = report.count(500, 200_000);
    let mut builder = TestGateway::new();
    for kind in KINDS {
        let script = json!({"command": "python3", "args": ["-c", SCRIPT, kind]});
        builder = builder.server(kind, with(script, json!({"era": "legacy"})));
    }
    let gateway = builder.start().await;
    for kind in KINDS {
        gateway.wait_state(kind, "ready").await;
        let body = json!({"mcp_id": kind, "tool": "print", "arguments": {}});
        let shots = in_turn(&gateway, &body, count).await;
        let answered = shots.iter().filter(|shot| shot.status == 200).count();
        report.row(kind, format!("{answered} of {count} answered"), "all", answered == count);
        let restarts = gateway.server(kind).await["restarts"].clone();
        report.row(kind, format!("{restarts} restarts"), "none", restarts == 0);
    }
    gateway.stop().await;
    report.end();
}
