//! An export of a large audit: whole, or seen to be cut.

use std::fs;
use std::path::Path;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::revoking::{make, revoke};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway};
use crate::support::recording::Socket;
use crate::support::{DEADLINE, wait_until};

/// How many lines there are from before, in so many segments: more than sockets take while nobody reads.
const LINES: usize = 48_000;
const SEGMENTS: usize = 12;

/// Puts an audit of some 24 MiB into a data directory.
fn large_audit(data: &Path) {
    let directory = data.join("audit");
    fs::create_dir(&directory).expect("made");
    let filler = "x".repeat(400);
    for segment in 0..SEGMENTS {
        let first = segment * (LINES / SEGMENTS) + 1;
        let line = |n: usize| {
            format!(
                "{{\"number\":{n},\"at\":\"2026-01-01T00:00:00Z\",\"action\":\"key.create\",\
                 \"target\":\"{filler}\",\"outcome\":\"done\"}}\n"
            )
        };
        let text: String = (first..first + LINES / SEGMENTS).map(line).collect();
        fs::write(directory.join(format!("{first:020}-acts.jsonl")), text).expect("written");
    }
}

/// A socket on which an export was asked for, and nothing was read.
async fn asked(gateway: &Gateway, key: &str) -> Socket {
    let mut socket = gateway.raw_socket().await;
    let head = format!(
        "GET /v1/audit/export HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n",
        gateway.address()
    );
    socket.write_all(head.as_bytes()).await.expect("sent");
    socket
}

/// Everything up to the end of the connection, however that comes.
async fn rest(mut socket: Socket) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = socket.read_to_end(&mut bytes);
    let in_time = tokio::time::timeout(DEADLINE, read).await.is_ok();
    assert!(in_time, "no end after {} bytes", bytes.len());
    bytes
}

/// The bodies of the chunks; `None` where the last one is not there.
fn dechunked(mut bytes: &[u8]) -> Option<String> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        let chunk = bytes.get(end + 2..end + 2 + length)?;
        if length == 0 {
            return String::from_utf8(body).ok();
        }
        body.extend_from_slice(chunk);
        bytes = bytes.get(end + 4 + length..)?;
    }
}

fn parted(answer: &[u8]) -> (String, &[u8]) {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..])
}

#[tokio::test]
async fn a_large_audit_is_exported_to_its_last_line_in_chunks() {
    let gateway = TestGateway::new().prepare(large_audit).start().await;
    let answer = rest(asked(&gateway, gateway.key()).await).await;
    let (head, body) = parted(&answer);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    for header in
        ["transfer-encoding: chunked", "content-type: application/x-ndjson", "cache-control: no-store"]
    {
        assert!(head.contains(header), "{head}");
    }
    let text = dechunked(body).expect("whole");
    let numbers = text.lines().map(|line| line.split([':', ',']).nth(1).and_then(|n| n.parse().ok()));
    let numbers: Vec<usize> = numbers.flatten().take(LINES).collect();
    assert_eq!(numbers, (1..=LINES).collect::<Vec<_>>());
    let last = text.lines().last().expect("a line");
    assert_eq!(last, format!("{{\"end\":true,\"entries\":{}}}", text.lines().count() - 1));
    // A short one has its length, as it always had.
    let short = gateway.get("/v1/audit/export?outcome=failed").await;
    assert_eq!(short.headers["content-length"], short.body.len().to_string());
    gateway.stop().await;
}

#[tokio::test]
async fn an_export_whose_key_is_revoked_ends_without_its_last_chunk() {
    let gateway = TestGateway::new().prepare(large_audit).start().await;
    let key = make(&gateway, json!({"name": "k"})).await;
    let mut socket = asked(&gateway, &key.text).await;
    let mut begun = [0; 1024];
    socket.read_exact(&mut begun).await.expect("it begins");
    assert!(begun.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&begun));
    revoke(&gateway, &key.id, "").await.expect(200);
    let mut answer = begun.to_vec();
    answer.extend(rest(socket).await);
    let (_, body) = parted(&answer);
    assert!(dechunked(body).is_none(), "{} bytes look whole", body.len());
    assert!(!String::from_utf8_lossy(body).contains("\"end\""));
    gateway.stop().await;
}

#[tokio::test]
async fn exports_that_nobody_reads_are_bounded_and_ended() {
    let config = "[http]\nwrite_timeout = \"3s\"\nmax_streams_per_key = 8\n";
    let gateway = TestGateway::new().config_toml(config).prepare(large_audit).start().await;
    let key = make(&gateway, json!({"name": "k"})).await;
    let mut unread = Vec::new();
    for _ in 0..8 {
        let socket = asked(&gateway, &key.text).await;
        let mut seen = [0; 12];
        // Looked at, not taken.
        while socket.peek(&mut seen).await.expect("it begins") < seen.len() {}
        assert_eq!(&seen, b"HTTP/1.1 200");
        unread.push(socket);
    }
    let another =
        async || ask(&gateway, "GET", "/v1/audit/export?outcome=failed").key(&key.text).send().await;
    let refused = another().await;
    refused.expect(429);
    assert!(refused.headers.contains_key("retry-after"));
    wait_until("a place is free again", DEADLINE, || async { (another().await.status == 200).then_some(()) })
        .await;
    for socket in unread {
        let answer = rest(socket).await;
        assert!(dechunked(parted(&answer).1).is_none(), "{} bytes look whole", answer.len());
    }
    gateway.stop().await;
}
