//! The servers file is applied again when it changes and on SIGHUP; nothing is lost by a bad one.

use std::fs;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::processes;
use crate::support::terminal::in_a_terminal;
use crate::support::{DEADLINE, wait_until};

/// Replaces the servers file as editors do: written beside it, renamed over it.
pub(crate) fn rewrite(gateway: &Gateway, text: &str) {
    let directory = gateway.data().parent().expect("the test's directory");
    fs::write(directory.join("servers.new"), text).expect("written");
    fs::rename(directory.join("servers.new"), directory.join("servers.json")).expect("renamed");
}

fn servers(gateway: &Gateway, entries: &[(&str, Value)]) -> String {
    let entries: serde_json::Map<String, Value> = entries
        .iter()
        .map(|(name, definition)| ((*name).to_owned(), gateway.marked(definition.clone())))
        .collect();
    json!({ "mcpServers": entries }).to_string()
}

#[tokio::test]
async fn a_changed_servers_file_is_applied_and_unchanged_children_keep_their_pid() {
    let gateway = TestGateway::new().server("stays", fake(&[])).server("goes", fake(&[])).start().await;
    gateway.wait_state("stays", "ready").await;
    gateway.wait_state("goes", "ready").await;
    let mut made = gateway.marked(fake(&[]));
    made["name"] = "made".into();
    gateway.post("/api/servers", &made).await.expect(200);
    let before = gateway.child("stays").await;
    let text = servers(&gateway, &[("stays", fake(&[])), ("comes", fake(&["--tools", "1"]))]);
    rewrite(&gateway, &text);
    wait_until("the new server is there", DEADLINE, || async {
        (gateway.get("/v1/mcps/comes").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.call("comes", "tool_0", json!({"nonce": 1})).await["nonce"], 1);
    gateway.get("/v1/mcps/goes").await.expect(404);
    gateway.get("/v1/mcps/made").await.expect(200);
    assert_eq!(gateway.child("stays").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_bad_or_missing_file_changes_nothing_and_the_next_good_one_counts() {
    let gateway = TestGateway::new().server("stays", fake(&[])).start().await;
    gateway.wait_state("stays", "ready").await;
    let before = gateway.child("stays").await;
    let bad = [r#"{"mcpServers": "elsewhere"}"#, "", "{\"mcpServers\": {"];
    for text in bad {
        let problems = gateway.output().matches("were not applied").count();
        rewrite(&gateway, text);
        wait_until("the problem is logged", DEADLINE, || async {
            (gateway.output().matches("were not applied").count() > problems).then_some(())
        })
        .await;
        assert_eq!(gateway.child("stays").await, before);
    }
    assert!(gateway.output().contains("mcpServers names another file"));
    let good = |value: &str| format!("mcpvisor_config_last_reload_successful {value}");
    assert!(gateway.get("/metrics").await.text().contains(&good("0")));
    fs::remove_file(gateway.data().parent().expect("a directory").join("servers.json")).expect("removed");
    gateway.signal(Signal::SIGHUP);
    wait_until("the missing file is logged", DEADLINE, || async {
        gateway.output().contains("cannot be read").then_some(())
    })
    .await;
    assert_eq!(gateway.child("stays").await, before);
    let text = servers(&gateway, &[("stays", fake(&[])), ("comes", fake(&[]))]);
    rewrite(&gateway, &text);
    gateway.signal(Signal::SIGHUP);
    wait_until("the good file is applied", DEADLINE, || async {
        (gateway.get("/v1/mcps/comes").await.status == 200).then_some(())
    })
    .await;
    wait_until("the metric says so", DEADLINE, || async {
        gateway.get("/metrics").await.text().contains(&good("1")).then_some(())
    })
    .await;
    assert_eq!(gateway.child("stays").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn sighup_applies_the_file_where_watching_is_switched_off() {
    let gateway =
        TestGateway::new().server("stays", fake(&[])).config_toml("[server]\nwatch = false\n").start().await;
    gateway.wait_state("stays", "ready").await;
    let before = gateway.child("stays").await;
    let text = servers(&gateway, &[("stays", fake(&[])), ("comes", fake(&[]))]);
    rewrite(&gateway, &text);
    gateway.signal(Signal::SIGHUP);
    wait_until("the file is applied", DEADLINE, || async {
        (gateway.get("/v1/mcps/comes").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.child("stays").await, before);
    gateway.stop().await;
}

#[tokio::test]
async fn a_closed_terminal_ends_the_daemon_and_its_children() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = format!("TEST_OF_A_TERMINAL={}", uuid::Uuid::new_v4());
    let (name, value) = mark.split_once('=').expect("a variable");
    let mut deaf = fake(&["--ignore-eof"]);
    deaf["env"] = json!({ name: value });
    let file = directory.path().join("servers.json");
    fs::write(&file, json!({"mcpServers": {"deaf": deaf}}).to_string()).expect("written");
    let mut terminal = in_a_terminal()
        .args([env!("CARGO_BIN_EXE_mcpvisor"), "serve", "--port", "0", "--servers"])
        .arg(&file)
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .env(name, value)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("python3 runs");
    // The terminal's own process, the daemon and its child.
    wait_until("the daemon has a child", DEADLINE, || async {
        processes::with_environment(&mark).iter().any(|(_, line)| line.contains("fake-mcp")).then_some(())
    })
    .await;
    let leader = Pid::from_raw(i32::try_from(terminal.id()).expect("a pid"));
    kill(leader, Signal::SIGKILL).expect("it is there");
    terminal.wait().expect("our own child");
    wait_until("nothing is left", DEADLINE, || async {
        processes::with_environment(&mark).is_empty().then_some(())
    })
    .await;
}
