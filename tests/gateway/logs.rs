//! What servers write beside messages can be read and followed by those who administer.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::recording::Socket;
use crate::support::{DEADLINE, wait_until};

#[tokio::test]
async fn stderr_is_kept_over_restarts_printable_and_told_apart_by_child() {
    let script = format!(
        "printf 'plain\\n\\033[31mred\\033[0m \\007bell\\n' >&2; exec {}",
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    let server = json!({"command": "/bin/sh", "args": ["-c", script]});
    let gateway = TestGateway::new().server("loud", server).start().await;
    gateway.wait_state("loud", "ready").await;
    let lines = wait_until("both lines have been read", DEADLINE, || async {
        let lines = gateway.get("/v1/mcps/loud/logs").await.expect(200)["data"].clone();
        (lines.as_array().is_some_and(|lines| lines.len() == 2)).then_some(lines)
    })
    .await;
    assert_eq!((&lines[0]["line"], &lines[1]["line"]), (&json!("plain"), &json!("red \\u{7}bell")));
    assert!(lines[0]["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{lines}");
    gateway.v1_invoke("loud", "crash", json!({"code": 3})).await.expect(502);
    let lines = wait_until("the next child has written, too", DEADLINE, || async {
        let lines = gateway.get("/v1/mcps/loud/logs?tail=3").await.expect(200)["data"].clone();
        (lines[2]["incarnation"] == 2).then_some(lines)
    })
    .await;
    assert_eq!(lines.as_array().map(Vec::len), Some(3));
    gateway.stop().await;
}

#[tokio::test]
async fn logs_need_a_key_a_server_and_a_sensible_tail() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.get("/v1/mcps/demo/logs?tail=0").await.expect(400);
    gateway.get("/v1/mcps/demo/logs?tail=x").await.expect(400);
    gateway.get("/v1/mcps/nobody/logs").await.expect(404);
    ask(&gateway, "GET", "/v1/mcps/demo/logs").without_key().send().await.expect(401);
    gateway.stop().await;
}

/// A log that is being followed over a socket of its own.
pub(crate) struct Following {
    socket: Socket,
    text: String,
}

impl Following {
    pub(crate) async fn start(gateway: &Gateway, path: &str, headers: &str) -> Following {
        let host = gateway.address().to_string();
        Following::over(gateway.raw_socket().await, &host, gateway.key(), path, headers).await
    }

    /// The same over a connection to somebody who passes it on, under the name that is to be asked for.
    pub(crate) async fn over(socket: Socket, host: &str, key: &str, path: &str, headers: &str) -> Following {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n{headers}\r\n");
        Following::of(socket, request.as_bytes()).await
    }

    /// The answer to this request, as it is to be sent.
    pub(crate) async fn of(mut socket: Socket, request: &[u8]) -> Following {
        socket.write_all(request).await.expect("sent");
        Following { socket, text: String::new() }
    }

    /// Forgets what came so far.
    pub(crate) fn forget(&mut self) {
        self.text.clear();
    }

    /// Reads to the end of the connection; says all that came.
    pub(crate) async fn read_out(&mut self) -> &str {
        self.read_rest().await.expect("readable");
        &self.text
    }

    async fn read_rest(&mut self) -> std::io::Result<usize> {
        let mut rest = Vec::new();
        let read = tokio::time::timeout(DEADLINE, self.socket.read_to_end(&mut rest)).await;
        self.text.push_str(&String::from_utf8_lossy(&rest));
        read.expect("it ends in time")
    }

    /// The same where the connection may end by a reset.
    pub(crate) async fn read_to_cut(&mut self) -> &str {
        let _ = self.read_rest().await;
        &self.text
    }

    /// Reads until the text has come; says what came until then.
    pub(crate) async fn until(&mut self, wanted: &str) -> &str {
        let read = async {
            let (mut buffer, mut seen) = (vec![0; 32 * 1024], 0);
            while !self.text[seen..].contains(wanted) {
                seen = self.text.floor_char_boundary(self.text.len().saturating_sub(wanted.len()));
                let count = self.socket.read(&mut buffer).await.expect("readable");
                assert!(count > 0, "the stream ended before {wanted:?}: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        tokio::time::timeout(DEADLINE, read)
            .await
            .unwrap_or_else(|_| panic!("{wanted:?} did not come: {}", self.text));
        &self.text
    }
}

/// A server that writes a line for each line of a file that a test writes.
pub(crate) fn echoing(file: &std::path::Path) -> serde_json::Value {
    let script =
        format!("tail -n +1 -F {} >&2 2>/dev/null & exec {}", file.display(), env!("CARGO_BIN_EXE_fake-mcp"));
    json!({"command": "/bin/sh", "args": ["-c", script]})
}

#[tokio::test]
async fn a_log_is_followed_line_by_line_and_taken_up_where_it_was_left() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("lines");
    let add = |text: &str| {
        let mut all = std::fs::read_to_string(&file).unwrap_or_default();
        all.push_str(text);
        std::fs::write(&file, all).expect("written");
    };
    add("first\nsecond\n");
    let gateway = TestGateway::new().server("loud", echoing(&file)).start().await;
    gateway.wait_state("loud", "ready").await;
    let mut following = Following::start(&gateway, "/v1/mcps/loud/logs?follow=true&tail=1", "").await;
    let head = following.until("second").await;
    assert!(head.contains("text/event-stream") && head.contains("event: line"), "{head}");
    std::fs::OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"third\n"))
        .expect("appended");
    let seen = following.until("third").await;
    assert!(seen.contains("id: 3\nevent: line\n"), "{seen}");
    drop(following);
    let mut again =
        Following::start(&gateway, "/v1/mcps/loud/logs?follow=true", "last-event-id: 2\r\n").await;
    let seen = again.until("third").await;
    assert!(!seen.contains("second"), "{seen}");
    gateway.delete("/api/servers/loud").await.expect(200);
    again.until("event: end").await;
    gateway.stop().await;
}

#[tokio::test]
async fn following_is_bounded_and_does_not_hold_up_the_end_of_the_daemon() {
    let gateway = TestGateway::new().demo().config_toml("[http]\nmax_streams_per_key = 8\n").start().await;
    gateway.wait_state("demo", "ready").await;
    let path = "/v1/mcps/demo/logs?follow=true";
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut following = Following::start(&gateway, path, "").await;
        following.until("text/event-stream").await;
        streams.push(following);
    }
    let refused = gateway.get(path).await;
    assert_eq!(refused.expect(429)["error"]["code"], "rate_limited");
    gateway.get("/v1/mcps/demo/logs?follow=maybe").await.expect(400);
    drop(streams.pop());
    let mut last = wait_until("the place of a client who left is free", DEADLINE, || async {
        let mut following = Following::start(&gateway, path, "").await;
        let head = following.until("\r\n\r\n").await;
        head.starts_with("HTTP/1.1 200").then_some(following)
    })
    .await;
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    last.until("event: end").await;
    let mut gateway = gateway;
    assert!(gateway.wait_exit("the daemon ends").await.success());
    gateway.stop().await;
}

#[tokio::test]
async fn a_flood_on_stderr_is_cut_to_its_rate_while_calls_go_on() {
    let gateway = TestGateway::new().server("loud", fake(&["--stderr-flood", "50000000"])).start().await;
    gateway.wait_state("loud", "ready").await;
    for nonce in 0..20 {
        assert_eq!(gateway.call("loud", "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
    let seen = wait_until("lines were left out", DEADLINE, || async {
        let seen = gateway.server("loud").await;
        (seen["output"]["lines_left_out"].as_u64() > Some(0)).then_some(seen)
    })
    .await;
    assert!(seen["output"]["stderr_lines"].as_u64() > seen["output"]["lines_left_out"].as_u64());
    let kept = gateway.get("/v1/mcps/loud/logs?tail=1000").await.text().len();
    assert!(kept < 512 * 1024, "{kept} bytes of log");
    gateway.stop().await;
}

#[tokio::test]
async fn noise_on_stdout_is_counted_and_shown_and_calls_succeed() {
    let gateway = TestGateway::new().server("noisy", fake(&["--noise"])).start().await;
    gateway.wait_state("noisy", "ready").await;
    assert_eq!(gateway.call("noisy", "echo", json!({"nonce": 1})).await["nonce"], 1);
    let seen = gateway.server("noisy").await;
    assert!(seen["output"]["stdout_noise_lines"].as_u64() > Some(0), "{seen}");
    let lines = gateway.get("/v1/mcps/noisy/logs").await.expect(200)["data"].clone();
    let from_stdout = lines.as_array().expect("lines").iter().filter(|line| line["stream"] == "stdout");
    assert!(from_stdout.count() > 0, "{lines}");
    assert!(gateway.output().contains("stdout line that is no message"));
    gateway.stop().await;
}
