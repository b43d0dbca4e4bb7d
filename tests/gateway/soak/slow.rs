//! Heads and bodies that begin and never end, from one address, each renewed at once when it is closed:
//! whoever comes from another one is answered all the while (F10).

use std::time::{Duration, Instant};

use serde_json::json;

use super::Report;
use crate::support::gateway::{INVOKE, TestGateway, fake};
use crate::support::strangers::{Siege, address, allow_many_sockets, ask_from, closing};

/// How long somebody else may wait for an answer before it counts as none.
const SHUT_OUT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn slow() {
    let mut report = Report::of("slow");
    // Nothing of it ends by its own deadline meanwhile, and one address may take all places: only making
    // room keeps the others in. There are far more than may be served and wait in a moment: who stood in one
    // line with them would be answered after half a minute.
    let (places, heads, bodies) = if report.long { (1024, 2000, 1000) } else { (24, 1000, 500) };
    let config = format!(
        "[http]\nmax_connections = {places}\nmax_connections_per_address = {places}\nheader_timeout = \"10m\"\nbody_timeout = \"10m\"\n"
    );
    allow_many_sockets();
    let gateway = TestGateway::new().server("fake", fake(&[])).config_toml(&config).start().await;
    gateway.wait_state("fake", "ready").await;
    let head = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_owned();
    let body = format!(
        "POST {INVOKE} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100000\r\n\r\n{{",
        gateway.key()
    );
    let siege = Siege::lay(address(1), gateway.address(), vec![(heads, head), (bodies, body)]);
    tokio::time::sleep(Duration::from_millis(if report.long { 3000 } else { 700 })).await;
    let call = json!({"mcp_id": "fake", "tool": "echo", "arguments": {"nonce": 1}}).to_string();
    let health = closing("GET", "/healthz", None, "");
    let call = closing("POST", INVOKE, Some(gateway.key()), &call);
    let (began, length) = (Instant::now(), report.length(3, 60));
    let mut slowest = [Duration::ZERO; 4];
    let mut answered = [0; 4];
    let mut asked = 0;
    while began.elapsed() < length {
        let of = [(address(2), &health), (address(2), &call), (address(1), &health), (address(1), &call)];
        for (which, (from, request)) in of.into_iter().enumerate() {
            let (status, took) =
                tokio::task::block_in_place(|| ask_from(from, gateway.address(), request, SHUT_OUT));
            // Of its own kind there are more than may wait, and some of them are turned away.
            let may_fail = from == address(1);
            assert!(may_fail || status == Some(200), "{status:?} from {from} after {took:?}");
            answered[which] += usize::from(status == Some(200));
            slowest[which] = slowest[which].max(took);
        }
        asked += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    report
        .note("unfinished heads and bodies of one address", format!("{heads} and {bodies}, {places} places"));
    report.note("asked of each", asked);
    for (what, slowest) in
        ["/healthz from another address", "a call from another address"].iter().zip(slowest)
    {
        report.long_row(what, format!("slowest {slowest:?}"), "1 s", slowest <= Duration::from_secs(1));
    }
    for (what, which) in [("/healthz", 2), ("a call", 3)] {
        let measured = format!("{} of {asked} answered, slowest {:?}", answered[which], slowest[which]);
        report.note(&format!("{what} from the same address"), measured);
    }
    drop(siege);
    gateway.stop().await;
    report.end();
}
