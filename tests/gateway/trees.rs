//! Whole trees, with control groups and without: what a server starts ends with it, uses no more than
//! it may as far as the machine can hold it, and what the machine cannot hold is said.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::processes::{self, Process};
use crate::support::{DEADLINE, wait_until};

/// Both ways of holding a tree. Where the machine has no control groups for us, both are the second.
const BOTH: [&str; 2] = ["[server]\ncgroups = true\n", "[server]\ncgroups = false\n"];

async fn process(gateway: &Gateway, tool: &str, arguments: Value) -> Process {
    let answer = gateway.call("fake", tool, arguments).await;
    Process::of(answer["pid"].as_i64().expect("a number"))
}

/// The child and grandchildren of every kind: in its group, out of it, and without its environment.
async fn tree(gateway: &Gateway) -> [Process; 4] {
    [
        process(gateway, "pid", json!({})).await,
        process(gateway, "spawn_child", json!({"mode": "same-group"})).await,
        process(gateway, "spawn_child", json!({"mode": "escape"})).await,
        process(gateway, "spawn_child", json!({"mode": "escape", "clear_env": true})).await,
    ]
}

async fn wait_gone(tree: &[Process]) {
    wait_until("the whole tree is gone", DEADLINE, || async {
        tree.iter().all(|process| !process.is_there()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn escapees_end_with_their_server_with_control_groups_and_without() {
    for config in BOTH {
        let gateway = TestGateway::new().server("fake", fake(&[])).config_toml(config).start().await;
        gateway.wait_state("fake", "ready").await;
        let tree = tree(&gateway).await;
        let seen = gateway.server("fake").await;
        assert!(seen["tree"]["processes"].as_u64() >= Some(4), "{config}: {}", seen["tree"]);
        assert!(seen["tree"]["rss_bytes"].as_u64() > Some(100_000), "{config}: {}", seen["tree"]);
        gateway.delete("/api/servers/fake").await.expect(200);
        wait_gone(&tree).await;
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_crash_takes_the_escapees_along_before_the_next_start() {
    for config in BOTH {
        let gateway = TestGateway::new().server("fake", fake(&[])).config_toml(config).start().await;
        gateway.wait_state("fake", "ready").await;
        let tree = tree(&gateway).await;
        tree[0].kill();
        wait_until("the next child is ready", DEADLINE, || async {
            let seen = gateway.server("fake").await;
            (seen["state"] == "ready" && seen["restarts"] == 1).then_some(())
        })
        .await;
        assert!(tree.iter().all(|process| !process.is_there()), "{config}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn leftovers_of_a_killed_daemon_are_ended_and_look_alikes_spared() {
    for config in BOTH {
        let mut gateway = TestGateway::new()
            .server("fake", fake(&["--ignore-eof", "--ignore-term"]))
            .config_toml(config)
            .start()
            .await;
        gateway.wait_state("fake", "ready").await;
        let tree = tree(&gateway).await;
        // Another installation's process: the same program and a mark like ours.
        let mut decoy = Command::new(env!("CARGO_BIN_EXE_fake-mcp"))
            .env("MCPVISOR_MARK", "00000000-0000-4000-8000-000000000000.1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        gateway.kill_9().await;
        assert!(tree.iter().any(|process| process.is_there()), "nobody was there to stop them");
        gateway.restart().await;
        gateway.wait_state("fake", "ready").await;
        // Also the one that emptied its environment: it carries the brand of this installation.
        wait_until("the old tree has ended", DEADLINE, || async {
            tree.iter().all(|process| !process.runs()).then_some(())
        })
        .await;
        assert!(decoy.try_wait().expect("our own child").is_none(), "a look-alike is spared");
        decoy.kill().expect("ended");
        decoy.wait().expect("reaped");
        gateway.stop().await;
    }
}

fn limit(pid: i32, name: &str) -> String {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("the process lives");
    let line = limits.lines().find(|line| line.starts_with(name)).expect("a known limit");
    line[name.len()..].split_whitespace().next().expect("a soft limit").to_owned()
}

#[tokio::test]
async fn limits_are_put_on_and_those_that_cannot_be_held_are_said() {
    let limits = json!({"limits": {"open_files": 99, "file_size": "2MiB", "memory": "900MiB", "pids": 500, "cpu": 0.5}});
    let gateway =
        TestGateway::new().server("fake", with(fake(&[]), limits)).config_toml(BOTH[1]).start().await;
    gateway.wait_state("fake", "ready").await;
    let child = process(&gateway, "pid", json!({})).await;
    assert_eq!(limit(child.pid, "Max open files"), "99");
    assert_eq!(limit(child.pid, "Max file size"), (2 << 20).to_string());
    assert_eq!(limit(child.pid, "Max data size"), (900 << 20).to_string());
    let told = gateway.server("fake").await["supervision"]["unenforced"].to_string();
    for what in ["memory: held for each process", "pids: ", "cpu: not held"] {
        assert!(told.contains(what), "{told}");
    }
    assert!(gateway.output().contains("limit cpu: not held"), "{}", gateway.output());
    gateway.stop().await;
}

#[tokio::test]
async fn a_memory_hog_fails_alone() {
    let hog = json!({
        "command": "python3", "args": ["-c", "x = bytearray(1 << 30)"],
        "mcpvisor": {"limits": {"memory": "256MiB"}}
    });
    let gateway = TestGateway::new().server("hog", hog).server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let seen = gateway.wait_state("hog", "backoff").await;
    let (cause, last) = (seen["cause"].to_string(), seen["supervision"]["last_stderr"].to_string());
    assert!(cause.contains("memory") || last.contains("MemoryError"), "{seen}");
    assert_eq!(gateway.call("fake", "echo", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(gateway.server("fake").await["restarts"], 0);
    gateway.stop().await;
}

/// A legacy server in a few lines: its one tool tries to write to the file that it is given.
const WRITER: &str = r#"
import json, os, sys
for line in sys.stdin:
    message = json.loads(line)
    number, method = message.get("id"), message.get("method")
    if number is None: continue
    answer = {"jsonrpc": "2.0", "id": number}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                            "serverInfo": {"name": "writer", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": "write", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        path = message["params"]["arguments"]["path"].replace("$TMPDIR", os.environ["TMPDIR"])
        try:
            open(path, "w").write("x")
            said = {"written": path, "cwd": os.getcwd()}
        except OSError as error: said = {"refused": error.errno}
        answer["result"] = {"content": [{"type": "text", "text": json.dumps(said)}]}
    else: answer["error"] = {"code": -32601, "message": "Method not found"}
    print(json.dumps(answer), flush=True)
"#;

#[tokio::test]
async fn a_sandboxed_server_writes_below_its_own_directory_only() {
    let outside = tempfile::tempdir().expect("a directory");
    let writer = json!({
        "command": "python3", "args": ["-c", WRITER], "mcpvisor": {"sandbox": "fs"}
    });
    let gateway = TestGateway::new().server("writer", writer).start().await;
    // A kernel without Landlock must say so, and never run the server without it.
    let seen = wait_until("it runs, or is refused", DEADLINE, || async {
        let seen = gateway.server("writer").await;
        ["ready", "failed"].contains(&seen["state"].as_str()?).then_some(seen)
    })
    .await;
    if seen["state"] == "failed" {
        assert!(seen["cause"].to_string().contains("Landlock"), "{seen}");
        return gateway.stop().await;
    }
    let write = async |path: &str| gateway.call("writer", "write", json!({ "path": path })).await;
    let target = outside.path().join("file");
    let refused = write(target.to_str().expect("UTF-8")).await;
    assert_eq!(refused["refused"], nix::libc::EACCES, "{refused}");
    assert!(!target.exists());
    assert!(write("/dev/null").await.get("written").is_some());
    let own = gateway.data().join("servers").join(seen["id"].as_str().expect("an id"));
    for path in ["$TMPDIR/file", "in-its-directory"] {
        let done = write(path).await;
        assert_eq!(done["cwd"].as_str().map(std::path::PathBuf::from), own.canonicalize().ok(), "{done}");
    }
    assert!(own.join("in-its-directory").exists() && own.join("tmp/file").exists());
    gateway.stop().await;
}

#[tokio::test]
async fn real_node_and_python_servers_run_in_the_sandbox() {
    let real = concat!(env!("CARGO_MANIFEST_DIR"), "/config/real-servers.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(real).expect("readable")).expect("JSON");
    let sandboxed = |name: &str| {
        let mut definition = file["mcpServers"][name].clone();
        let command = definition["command"].as_str().expect("a text").to_owned();
        definition["command"] = format!("{}/{command}", env!("CARGO_MANIFEST_DIR")).into();
        with(definition, json!({"sandbox": "fs"}))
    };
    let gateway = TestGateway::new()
        .server("everything", sandboxed("everything"))
        .server("time", sandboxed("time"))
        .start()
        .await;
    for (server, tool, arguments) in [
        ("everything", "echo", json!({"message": "hello"})),
        ("time", "get_current_time", json!({"timezone": "UTC"})),
    ] {
        let seen = wait_until("it runs, or is refused", DEADLINE, || async {
            let seen = gateway.server(server).await;
            ["ready", "failed"].contains(&seen["state"].as_str()?).then_some(seen)
        })
        .await;
        match seen["state"] == "failed" {
            true => assert!(seen["cause"].to_string().contains("Landlock"), "{seen}"),
            false => drop(gateway.v1_invoke(server, tool, arguments).await.expect(200)),
        }
    }
    gateway.stop().await;
}

/// Starts the daemon as process 1 of a container of its own.
const AS_INIT: [&str; 6] = ["--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"];

#[tokio::test]
async fn as_process_1_the_daemon_reaps_what_it_inherits_and_obeys_sigterm() {
    let directory = tempfile::tempdir().expect("a directory");
    let mark = format!("TEST_OF_PID_1={}", uuid::Uuid::new_v4());
    let (name, value) = mark.split_once('=').expect("a variable");
    // Each start leaves an orphan that ends soon.
    let script = format!("(sleep 0.1 &) ; exec {}", env!("CARGO_BIN_EXE_fake-mcp"));
    let servers = json!({"mcpServers": {"fake": {
        "command": "/bin/sh", "args": ["-c", script], "env": { name: value }
    }}});
    fs::write(directory.path().join("servers.json"), servers.to_string()).expect("written");
    let container = Command::new("unshare")
        .args(AS_INIT)
        .arg(env!("CARGO_BIN_EXE_mcpvisor"))
        .args(["serve", "--port", "0", "--servers"])
        .arg(directory.path().join("servers.json"))
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare of util-linux is installed");
    let daemon = wait_until("the daemon has started its server", DEADLINE, || async {
        let running = processes::with_environment(&mark);
        let child = running.iter().find(|(_, line)| line.contains("fake-mcp") && !line.contains("sh -c"))?;
        processes::parent_of(child.0)
    })
    .await;
    wait_until("the orphan has ended", DEADLINE, || async {
        processes::with_environment(&mark).iter().all(|(_, line)| !line.starts_with("sleep")).then_some(())
    })
    .await;
    wait_until("no zombie is left", DEADLINE, || async {
        processes::zombies_of(daemon.cast_unsigned()).is_empty().then_some(())
    })
    .await;
    kill(Pid::from_raw(daemon), Signal::SIGTERM).expect("it is there");
    let container = std::sync::Mutex::new(container);
    let status = wait_until("it obeys SIGTERM", DEADLINE, || async {
        container.lock().expect("not poisoned").try_wait().expect("our own child")
    })
    .await;
    assert!(status.success(), "{status}");
    assert!(processes::with_environment(&mark).is_empty());
}
