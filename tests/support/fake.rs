//! The scripted server spoken to over its pipes, without any gateway between.

use std::process::{ExitStatus, Stdio};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::DEADLINE;

/// A running `fake-mcp`. It is killed when dropped.
pub(crate) struct Fake {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Fake {
    /// Starts one with these flags.
    pub(crate) fn start(flags: &[&str]) -> Fake {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-mcp"));
        command
            .args(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let mut process = command.spawn().expect("fake-mcp can be started");
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().expect("piped"));
        Fake { process, stdin, stdout }
    }

    /// Starts a legacy one and shakes hands with it.
    pub(crate) async fn greeted(flags: &[&str]) -> Fake {
        let mut fake = Fake::start(flags);
        let params = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
        let reply = fake.ask(&request("hello", "initialize", params)).await;
        assert_eq!(reply["result"]["protocolVersion"], "2025-11-25");
        fake.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        fake
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id().expect("it runs")).expect("a process id")
    }

    /// Writes one message.
    pub(crate) async fn say(&mut self, message: &Value) {
        self.say_raw(format!("{message}\n").as_bytes()).await;
    }

    /// Writes bytes as they are.
    pub(crate) async fn say_raw(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(bytes).await.expect("the server reads");
    }

    /// The next line, whatever it is, without its newline; empty at the end.
    pub(crate) async fn hear_raw(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let reading = self.stdout.read_until(b'\n', &mut line);
        timeout(DEADLINE, reading).await.expect("the server says something").expect("readable");
        line.pop_if(|last| *last == b'\n');
        line
    }

    /// The next message. Panics when the next line is none.
    pub(crate) async fn hear(&mut self) -> Value {
        let line = self.hear_raw().await;
        serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&line)))
    }

    /// Says something and returns what comes next.
    pub(crate) async fn ask(&mut self, message: &Value) -> Value {
        self.say(message).await;
        self.hear().await
    }

    /// Calls a tool and returns `structuredContent`.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let reply = self.ask(&call("call", tool, arguments)).await;
        reply["result"]["structuredContent"].clone()
    }

    /// Closes the server's stdin.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        timeout(DEADLINE, self.process.wait()).await.expect("the server ends").expect("our own child")
    }
}

/// A request.
pub(crate) fn request(id: impl Into<Value>, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id.into(), "method": method, "params": params})
}

/// A request of the modern era.
pub(crate) fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}
    });
    request(id, method, params)
}

/// A tool call.
pub(crate) fn call(id: impl Into<Value>, tool: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
}
