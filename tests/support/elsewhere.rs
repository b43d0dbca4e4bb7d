//! Requests from other places than the tests' own process: another user, a server's tool, a proxy.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::gateway::Gateway;
use super::recording;

/// The client, and the server whose tool is the client.
const ASKER: &str = include_str!("../gateway/places/asker.py");
/// An interpreter that every user may run.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// A user who is nobody's, where the tests run as root.
pub(crate) const DAEMON_USER: u32 = 64_201;
/// Another one: Debian's `nobody`.
pub(crate) const OTHER_USER: u32 = 65_534;

/// Whether other users can be played: the tests run as root, and Python is where everybody may run it. Says so
/// loudly where not.
pub(crate) fn can_play_users(test: &str) -> bool {
    let can = nix::unistd::geteuid().is_root() && Path::new(PYTHON).exists();
    if !can {
        let ci = std::env::var_os("CI").is_some();
        assert!(!ci, "{test}: needs root and {PYTHON}, which .ci/run has");
        eprintln!("SKIPPED: {test}: needs root and {PYTHON}");
    }
    can
}

/// The definition of a server whose tool `run` asks.
pub(crate) fn asking_server() -> Value {
    json!({"command": PYTHON, "args": ["-c", ASKER, "serve"]})
}

/// One request.
pub(crate) fn request(method: &str, path: &str, headers: Value, body: Option<&str>) -> Value {
    let mut headers = headers;
    if body.is_some() {
        headers["content-type"] = json!("application/json");
    }
    json!({"method": method, "path": path, "headers": headers, "body": body})
}

/// Requests to the daemon's address, under the name that it is to be called by.
pub(crate) fn by_address(gateway: &Gateway, requests: &[Value]) -> Value {
    let address = gateway.address();
    json!({"host": "127.0.0.1", "port": address.port(), "requests": requests})
}

/// Has a user of this machine fulfil a wish; the tests' own user for `None`.
pub(crate) async fn as_user(uid: Option<u32>, wish: &Value) -> Value {
    let (text, python) = (wish.to_string(), if Path::new(PYTHON).exists() { PYTHON } else { "python3" });
    let asked = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(python);
        command.args(["-c", ASKER]).current_dir("/").stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(uid) = uid {
            command.uid(uid).gid(uid);
        }
        let mut asker = command.spawn().expect("python starts");
        asker.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
        let output = asker.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", output.status);
        serde_json::from_slice(&output.stdout).expect("JSON")
    });
    let answers = asked.await.expect("no panic");
    recording::asked_elsewhere(wish, &answers);
    answers
}

/// Another machine: a network namespace with a cable to this one. Both go when this is dropped.
pub(crate) struct Machine {
    name: String,
    /// The address of this machine on the cable.
    pub(crate) here: String,
}

impl Machine {
    /// Makes one; needs root and iproute2.
    pub(crate) fn new() -> Machine {
        let id = std::process::id();
        let (name, near, far) = (format!("mcpv{id}"), format!("mcpvn{id}"), format!("mcpvf{id}"));
        let net = format!("10.{}.{}", 200 + id % 50, (id / 50) % 250);
        let (here, there) = (format!("{net}.1"), format!("{net}.2"));
        let machine = Machine { name: name.clone(), here: here.clone() };
        for line in [
            format!("netns add {name}"),
            format!("link add {near} type veth peer name {far} netns {name}"),
            format!("addr add {here}/30 dev {near}"),
            format!("link set {near} up"),
            format!("-n {name} addr add {there}/30 dev {far}"),
            format!("-n {name} link set {far} up"),
        ] {
            ip(&line);
        }
        machine
    }

    /// Has a program there fulfil a wish.
    pub(crate) fn fulfils(&self, wish: &Value) -> Value {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, PYTHON, "-c", ASKER]);
        let mut asker = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip starts");
        asker.stdin.take().expect("piped").write_all(wish.to_string().as_bytes()).expect("it reads");
        let output = asker.wait_with_output().expect("it ends");
        let answers = serde_json::from_slice(&output.stdout).expect("JSON");
        recording::asked_elsewhere(wish, &answers);
        answers
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The cable goes with it.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().expect("iproute2 is there");
    assert!(status.success(), "ip {line}: {status}");
}

/// Has a server's tool fulfil a wish.
pub(crate) async fn as_tool(gateway: &Gateway, server: &str, wish: &Value) -> Value {
    let reply = gateway.v1_invoke(server, "run", json!({"wish": wish})).await.expect(200);
    let text = reply["data"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {reply}"));
    serde_json::from_str(text).expect("JSON")
}

/// The statuses of answers.
pub(crate) fn statuses(answers: &Value) -> Vec<u64> {
    answers.as_array().expect("a list").iter().map(|answer| answer[0].as_u64().expect("a number")).collect()
}
