//! The daemon killed under load, again and again: the next start finds what the last one left, spares
//! what is not its own, and has everything that was acknowledged (B20, F81).

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::Report;
use crate::support::gateway::{Gateway, INVOKE, TestGateway, fake};
use crate::support::processes::Process;
use crate::support::{DEADLINE, wait_until};

const CHILDREN: usize = 10;

/// Looks like one of ours, but carries no mark, or that of somebody else.
fn decoy(mark: Option<&str>) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-mcp"));
    command.args(["--ignore-eof", "--ignore-term"]).stdin(Stdio::piped());
    command.stdout(Stdio::null()).stderr(Stdio::null()).env_remove("MCPVISOR_MARK");
    if let Some(mark) = mark {
        command.env("MCPVISOR_MARK", mark);
    }
    command.spawn().expect("fake-mcp can be started")
}

/// Clients that call until the daemon is gone, and count their answers.
async fn load(gateway: &Gateway, answered: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 0..4 {
        let mut connection = gateway.connect().await;
        let body = json!({"mcp_id": format!("s{client}"), "tool": "echo", "arguments": {"nonce": client}});
        let answered = answered.clone();
        clients.spawn(async move {
            while let Ok(reply) = connection.send("POST", INVOKE, Some(&body)).await {
                answered.fetch_add(usize::from(reply.status == 200), Ordering::Relaxed);
            }
        });
    }
    clients
}

async fn names(gateway: &Gateway) -> BTreeSet<String> {
    let listed = gateway.get("/api/servers").await.expect(200);
    let servers = listed["servers"].as_array().expect("a list").iter();
    servers.map(|server| server["name"].as_str().expect("a name").to_owned()).collect()
}

async fn wait_ready(gateway: &Gateway) {
    for number in 0..CHILDREN {
        gateway.wait_state(&format!("s{number}"), "ready").await;
    }
}

#[tokio::test]
async fn kills_of_the_daemon_under_load_leave_no_orphan_and_lose_no_change() {
    let mut report = Report::of("kills");
    let count = report.count(3, 200);
    let mut builder = TestGateway::new().config_toml("[starts]\nconcurrent = 10\nper_second = 100\n");
    for number in 0..CHILDREN {
        builder = builder.server(&format!("s{number}"), fake(&["--ignore-eof"]));
    }
    let mut gateway = builder.start().await;
    let mut decoys = [decoy(None), decoy(Some("another-installation.1"))];
    let mut expected: BTreeSet<String> = (0..CHILDREN).map(|number| format!("s{number}")).collect();
    let answered = Arc::new(AtomicUsize::new(0));
    let (mut orphans, mut lost, mut left) = (0, 0, 0);
    for round in 0..count {
        wait_ready(&gateway).await;
        let clients = load(&gateway, &answered).await;
        let added = format!("added{round}");
        let definition = json!({"name": added, "command": "/no/such/program"});
        gateway.post("/api/servers", &definition).await.expect(200);
        expected.insert(added);
        if let Some(old) = round.checked_sub(3) {
            gateway.delete(&format!("/api/servers/added{old}")).await.expect(200);
            expected.remove(&format!("added{old}"));
        }
        let enough = answered.load(Ordering::Relaxed) + 50;
        wait_until("the load is on", DEADLINE, || async {
            (answered.load(Ordering::Relaxed) >= enough).then_some(())
        })
        .await;
        let old: Vec<Process> =
            gateway.left_behind().iter().map(|(pid, _)| Process::of(i64::from(*pid))).collect();
        gateway.kill_9().await;
        clients.join_all().await;
        left += gateway.left_behind().len();
        gateway.restart().await;
        // It listens: what the last one left is dead by now, reaped or not.
        let alive = gateway.left_behind();
        orphans += old.iter().filter(|process| alive.iter().any(|(pid, _)| *pid == process.pid)).count();
        lost += expected.symmetric_difference(&names(&gateway).await).count();
    }
    report.note(
        "kill -9 of the daemon",
        format!("{count}, {} calls answered meanwhile", answered.load(Ordering::Relaxed)),
    );
    report.note("processes it left in all", left);
    report.row("of them alive after the next start", orphans, "0", orphans == 0);
    report.row("acknowledged changes lost", lost, "0", lost == 0);
    let spared = decoys.iter_mut().filter_map(|decoy| decoy.try_wait().expect("our own child")).count() == 0;
    report.row("look-alikes alive", if spared { "both" } else { "not both" }, "both", spared);
    for mut decoy in decoys {
        decoy.kill().expect("our own child");
        decoy.wait().expect("our own child");
    }
    wait_until("the last ones are ready", DEADLINE, || async {
        (gateway.server("s0").await["state"] == "ready").then_some(())
    })
    .await;
    gateway.stop().await;
    report.end();
}
