//! `mcpvisor stdio` as a client has it: a process with two pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::canaries::{self, Place};
use super::gateway::Gateway;
use super::mcp::OURS;
use super::{DEADLINE, wait_until};

/// Messages that may wait for a test.
const WAITING: usize = 4096;

/// A running bridge.
pub(crate) struct Bridge {
    process: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    /// What was read and not yet asked for, in its order.
    kept: Vec<Value>,
    said: Arc<Mutex<String>>,
}

/// The `params` of a legacy client's `initialize`.
pub(crate) fn opening(version: &str, capabilities: Value) -> Value {
    json!({"protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "t", "version": "1"}})
}

impl Bridge {
    /// Starts a bridge to a daemon's socket.
    pub(crate) fn to(gateway: &Gateway, arguments: &[&str]) -> Bridge {
        let socket = gateway.data().join("mcpvisor.sock");
        let socket = socket.to_str().expect("UTF-8");
        Bridge::start(gateway.data(), &[arguments, &["--socket", socket]].concat(), &[])
    }

    /// Starts a bridge with this home directory and these variables.
    pub(crate) fn start(home: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Bridge {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
        command.arg("stdio").args(arguments).env_clear().current_dir("/");
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
        command.envs(variables.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("the program can be started");
        let (sender, lines) = mpsc::channel(WAITING);
        let stdout = process.stdout.take().expect("piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        let said = Arc::new(Mutex::new(String::new()));
        let (mut stderr, saying) = (process.stderr.take().expect("piped"), said.clone());
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut piece) {
                let text = String::from_utf8_lossy(&piece[..read]).into_owned();
                saying.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Bridge { stdin: process.stdin.take(), process, lines, kept: Vec::new(), said }
    }

    /// What it has said on stderr so far.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has said this on stderr.
    pub(crate) async fn says(&self, text: &str) {
        wait_until(&format!("it says {text:?}"), DEADLINE, || async {
            self.said().contains(text).then_some(())
        })
        .await;
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("open");
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the bridge reads");
    }

    /// Writes a line, if it is still read.
    pub(crate) fn try_line(&mut self, line: &str) {
        let _ = self.stdin.as_mut().expect("open").write_all(format!("{line}\n").as_bytes());
    }

    /// Whether it has not ended.
    pub(crate) fn runs(&mut self) -> bool {
        self.process.try_wait().expect("our own child").is_none()
    }

    /// Sends a request.
    pub(crate) fn ask(&mut self, id: impl Into<Value>, method: &str, params: Value) {
        let id = id.into();
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string());
    }

    /// Sends a request of the modern era.
    pub(crate) fn ask_modern(&mut self, id: impl Into<Value>, method: &str, mut params: Value) {
        params["_meta"][format!("{OURS}protocolVersion")] = "2026-07-28".into();
        if params["_meta"].get(format!("{OURS}clientCapabilities")).is_none() {
            params["_meta"][format!("{OURS}clientCapabilities")] = json!({});
        }
        self.ask(id, method, params);
    }

    /// Sends a notification.
    pub(crate) fn notify(&mut self, method: &str, params: Value) {
        self.line(&json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string());
    }

    /// Answers a question of the server.
    pub(crate) fn reply(&mut self, asked: &Value, result: Value) {
        self.line(&json!({"jsonrpc": "2.0", "id": asked["id"], "result": result}).to_string());
    }

    /// Opens a session of the newest legacy revision, and returns the result.
    pub(crate) async fn open(&mut self, capabilities: Value) -> Value {
        self.ask(0, "initialize", opening("2025-11-25", capabilities));
        let opened = self.answer(0).await;
        self.notify("notifications/initialized", json!({}));
        assert!(opened["result"].is_object(), "{opened}");
        opened["result"].clone()
    }

    /// Waits for the next message that is like this.
    pub(crate) async fn next(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&is_it) {
            return self.kept.remove(at);
        }
        loop {
            let line = timeout(DEADLINE, self.lines.recv()).await;
            let line = line.unwrap_or_else(|_| panic!("waited in vain for {what}: {:?}", self.kept));
            let line =
                line.unwrap_or_else(|| panic!("it ended before {what}: {:?} {}", self.kept, self.said()));
            assert!(canaries::leaks(Place::SomeAnswer, line.as_bytes()).is_empty(), "{line}");
            let message: Value =
                serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            if is_it(&message) {
                return message;
            }
            self.kept.push(message);
        }
    }

    /// Waits for the answer to the request with this id.
    pub(crate) async fn answer(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.next(&format!("the answer to {id}"), |message| {
            message.get("method").is_none() && message["id"] == id
        })
        .await
    }

    /// Waits for a notification.
    pub(crate) async fn notice(&mut self, method: &str) -> Value {
        self.next(method, |message| message["method"] == method && message.get("id").is_none()).await
    }

    /// The same for a moment only.
    pub(crate) async fn soon(&mut self, method: &str) -> Option<Value> {
        timeout(Duration::from_millis(300), self.notice(method)).await.ok()
    }

    /// Waits for a question of the server.
    pub(crate) async fn question(&mut self) -> Value {
        self.next("a question", |message| message["method"].is_string() && message.get("id").is_some()).await
    }

    /// Calls a tool in the session, and returns the structure of its result.
    pub(crate) async fn told(&mut self, tool: &str, arguments: Value) -> Value {
        let id = uuid::Uuid::new_v4().to_string();
        self.ask(id.as_str(), "tools/call", json!({"name": tool, "arguments": arguments}));
        let answer = self.answer(id).await;
        assert!(answer["result"].is_object(), "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// What was read and not asked for.
    pub(crate) fn kept(&self) -> &[Value] {
        &self.kept
    }

    /// Closes its stdin.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Closes its stdout.
    pub(crate) fn read_no_more(&mut self) {
        self.lines.close();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("the bridge is there");
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let process = Mutex::new(&mut self.process);
        wait_until("the bridge ends", DEADLINE, || async {
            process.lock().unwrap_or_else(PoisonError::into_inner).try_wait().expect("our own child")
        })
        .await
    }

    /// Closes its stdin, and waits for its orderly end.
    pub(crate) async fn done(mut self) {
        self.close();
        let status = self.ended().await;
        assert!(status.success(), "{status}: {}", self.said());
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
