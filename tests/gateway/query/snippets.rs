//! The clients that the reference of `/api` prints, as they are printed there: `snippets/` has their text
//! with its indentation, and only the port is another one here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;
use tokio::process::Command;

use super::KEY;
use crate::support::DEADLINE;
use crate::support::gateway::TestGateway;
use crate::support::llm::{Llm, Turn};

const FOUND: &str = "Here are some of the best restaurants in San Francisco: ...";
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/real/venv/bin/python");

/// Where the two programs listen by default: `mcpvisor serve` and `mcp-server`.
const HOSTS: [&str; 2] = ["127.0.0.1", "0.0.0.0"];

/// Runs a program with a snippet in a file, without any key, and returns what it printed.
async fn print(host: &'static str, program: &str, name: &str, snippet: &str) -> String {
    // What it starts with `npx` is the scripted server, which the model makes look around.
    let directory = tempfile::tempdir().expect("a directory");
    let npx = directory.path().join("npx");
    fs::write(&npx, format!("#!/bin/sh\nexec '{}'\n", env!("CARGO_BIN_EXE_fake-mcp"))).expect("written");
    fs::set_permissions(&npx, fs::Permissions::from_mode(0o755)).expect("executable");
    let path = std::env::var("PATH").expect("a PATH");
    let model = Llm::in_turn([Turn::call_one("env", &json!({})), Turn::say(FOUND)]).await;
    let mut gateway = TestGateway::new()
        .host(host)
        .variable("PATH", &format!("{}:{path}", directory.path().display()))
        .variable("OPENAI_API_KEY", KEY)
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await;

    let file = directory.path().join(name);
    let port = format!("localhost:{}", gateway.address().port());
    fs::write(&file, snippet.replace("localhost:5000", &port)).expect("written");
    let mut command = Command::new(program);
    command.arg(&file).env_clear().env("PATH", path).current_dir(directory.path());
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program}: {errors}");

    let asked = model.asked();
    assert_eq!((asked.len(), &asked[0].body["model"]), (2, &json!("gpt-3.5-turbo")), "{errors}");
    let question = json!({"role": "user", "content": "Find the best restaurants in San Francisco"});
    assert_eq!(asked[0].body["messages"][1], question);
    assert!(asked[1].results()[0].contains("\"DISPLAY\":\":1\""), "{:?}", asked[1].results());
    let server = gateway.child("playwright").await;
    assert!(gateway.terminate().await.success());
    assert!(!server.is_there(), "the server that the snippet defined has ended");
    gateway.stop().await;
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[tokio::test]
async fn curl_prints_a_result() {
    for host in HOSTS {
        let printed = print(host, "sh", "query.sh", include_str!("snippets/query.sh")).await;
        assert!(printed.starts_with("{\"servers\":[]}{\"status\":\"success\""), "{host}: {printed}");
        assert!(printed.contains(&format!("\"result\":\"{FOUND}\"")), "{host}: {printed}");
    }
}

#[tokio::test]
async fn javascript_prints_a_result() {
    for host in HOSTS {
        let printed = print(host, "node", "query.js", include_str!("snippets/query.js")).await;
        assert_eq!(printed, format!("{FOUND}\n"), "{host}");
    }
}

#[tokio::test]
async fn python_prints_a_result() {
    assert!(
        fs::exists(PYTHON).is_ok_and(|there| there),
        "run `make real-servers` first: {PYTHON} is missing"
    );
    for host in HOSTS {
        let printed = print(host, PYTHON, "query.py", include_str!("snippets/query.py")).await;
        let lines: Vec<&str> = printed.lines().collect();
        assert_eq!(
            lines,
            [
                "Configured servers: ",
                "Add server result: {'status': 'success', 'message': \"Server 'playwright' added successfully\"}",
                &format!("Query result: {FOUND}"),
            ],
            "{host}"
        );
    }
}

#[tokio::test]
async fn our_own_command_asks_by_the_socket_without_an_address_or_a_key() {
    let model = Llm::in_turn([Turn::say(FOUND)]).await;
    let gateway = TestGateway::new()
        .demo()
        .variable("OPENAI_API_KEY", KEY)
        .variable("OPENAI_BASE_URL", &model.url())
        .start()
        .await;
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command.args(["ask", "Find the best restaurants", "--server", "demo", "--socket"]);
    command.arg(gateway.data().join("mcpvisor.sock")).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{FOUND}\n"));
    gateway.stop().await;
}
