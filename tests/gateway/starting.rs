//! Servers become ready, or the gateway says truthfully why not.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::support::DEADLINE;
use crate::support::canaries::UNNAMED_VARIABLE;
use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::wait_until;

#[tokio::test]
async fn a_server_of_any_era_becomes_ready_however_it_takes_the_probe() {
    let modes: [(&str, &[&str], &str); 12] = [
        ("legacy", &["--era", "legacy"], "2025-11-25"),
        ("old", &["--protocol", "2024-11-05"], "2024-11-05"),
        ("modern", &["--era", "modern"], "2026-07-28"),
        ("both", &["--era", "both"], "2026-07-28"),
        ("pinned", &["--era", "pinned"], "2026-07-28"),
        ("invalid", &["--probe", "reply-invalid"], "2025-11-25"),
        ("silent", &["--probe", "silent"], "2025-11-25"),
        ("exits", &["--probe", "exit"], "2025-11-25"),
        ("exits-after", &["--probe", "reply-exit"], "2025-11-25"),
        ("refuses-after", &["--probe", "reply-refuse"], "2025-11-25"),
        ("settles", &["--era", "settles"], "2026-07-28"),
        ("slow", &["--slow-init", "1500"], "2025-11-25"),
    ];
    let mut builder = TestGateway::new();
    for (name, flags, _) in modes {
        builder = builder.server(name, fake(flags));
    }
    let gateway = builder.start().await;
    for (name, _, version) in modes {
        let seen = gateway.wait_state(name, "ready").await;
        assert_eq!(seen["protocol_version"], version, "{name}");
        assert_eq!(seen["health"], "healthy", "{name}");
        // Those that cannot bear the probe are started anew for the handshake; all others stay as they are.
        let is_started_anew = ["exits", "exits-after", "refuses-after"].contains(&name);
        assert_eq!(seen["restarts"], u64::from(is_started_anew), "{seen}");
        assert_eq!(seen["supervision"]["failures"], 0, "the other way is no failure: {seen}");
        let nonce = format!("nonce of {name}");
        assert_eq!(gateway.call(name, "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_silent_after_the_probe_is_opened_the_other_way_the_next_time() {
    let deaf = with(fake(&["--probe", "reply-deaf"]), json!({"start_timeout": "2s"}));
    let gateway = TestGateway::new().server("deaf", deaf).start().await;
    let seen = gateway.wait_state("deaf", "ready").await;
    assert_eq!((&seen["restarts"], &seen["protocol_version"]), (&json!(1), &json!("2025-11-25")), "{seen}");
    gateway.stop().await;
}

/// What was learnt of a server is known at its next start, in this run of the daemon and in the next one.
#[tokio::test]
async fn a_server_is_opened_as_before_and_not_asked_again_what_it_cannot_bear() {
    let mut gateway = TestGateway::new()
        .server("silent", fake(&["--probe", "silent"]))
        .server("exits", fake(&["--probe", "exit"]))
        .server("both", fake(&["--era", "both"]))
        .start()
        .await;
    for name in ["silent", "exits", "both"] {
        gateway.wait_state(name, "ready").await;
    }
    let learnt = || async {
        let stats = gateway.call("silent", "stats", json!({})).await;
        stats["probes"].as_u64()
    };
    assert_eq!(learnt().await, Some(1), "it was asked once");
    gateway.post("/v1/mcps/silent/restart", &json!({})).await.expect(200);
    wait_until("the next child is there", DEADLINE, || async {
        let seen = gateway.server("silent").await;
        (seen["state"] == "ready" && seen["restarts"] == 1 && learnt().await == Some(0)).then_some(())
    })
    .await;
    gateway.terminate().await;
    gateway.restart().await;
    for (name, version) in [("silent", "2025-11-25"), ("exits", "2025-11-25"), ("both", "2026-07-28")] {
        let seen = gateway.wait_state(name, "ready").await;
        assert_eq!((&seen["restarts"], &seen["protocol_version"]), (&json!(0), &json!(version)), "{name}");
    }
    assert_eq!(gateway.call("silent", "stats", json!({})).await["probes"], 0);
    gateway.stop().await;
}

/// TypeScript's SDK answers both openings and serves the older era from then on (2.4.0): a server that is slow to
/// start must not be taken for a modern one after `initialize` was sent, and one that was modern stays so.
#[tokio::test]
async fn a_slow_start_never_changes_the_era_of_a_server_behind_the_gateway() {
    let directory = tempfile::tempdir().expect("a directory");
    let slowly = directory.path().join("slowly");
    let script = format!(
        "test -e '{}' && sleep 6; exec {} --era settles",
        slowly.display(),
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    let server = || json!({"command": "sh", "args": ["-c", script.clone()], "mcpvisor": {"pin": "block"}});
    let gateway = TestGateway::new().server("fast", server()).start().await;
    assert_eq!(gateway.wait_state("fast", "ready").await["protocol_version"], "2026-07-28");
    fs::write(&slowly, "").expect("written");
    gateway.post("/v1/mcps/fast/restart", &json!({})).await.expect(200);
    let mut late = gateway.marked(server());
    late["name"] = "late".into();
    gateway.post("/api/servers", &late).await.expect(200);
    let late = gateway.wait_state("late", "ready").await;
    assert_eq!(late["protocol_version"], "2025-11-25", "asked both ways, it settled on this one: {late}");
    assert_eq!(gateway.call("late", "echo", json!({"nonce": 1})).await["nonce"], 1);
    assert_eq!(gateway.server("late").await["output"]["late_replies"], 0, "it answered both ways in time");
    let fast = wait_until("the next child is there", DEADLINE, || async {
        let seen = gateway.server("fast").await;
        (seen["state"] == "ready" && seen["restarts"] == 1).then_some(seen)
    })
    .await;
    assert_eq!(fast["protocol_version"], "2026-07-28", "what it was before: {fast}");
    assert_eq!(gateway.call("fast", "echo", json!({"nonce": 2})).await["nonce"], 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_of_a_named_era_is_not_probed() {
    let gateway = TestGateway::new()
        .server("legacy", with(fake(&["--probe", "exit"]), json!({"era": "legacy"})))
        .server("modern", with(fake(&["--era", "both"]), json!({"era": "modern"})))
        .server("forced", with(fake(&["--era", "both"]), json!({"era": "legacy"})))
        .start()
        .await;
    assert_eq!(gateway.wait_state("legacy", "ready").await["protocol_version"], "2025-11-25");
    assert_eq!(gateway.wait_state("modern", "ready").await["protocol_version"], "2026-07-28");
    assert_eq!(gateway.wait_state("forced", "ready").await["protocol_version"], "2025-11-25");
    gateway.stop().await;
}

#[tokio::test]
async fn the_demo_server_is_served() {
    let gateway = TestGateway::new().demo().start().await;
    let seen = gateway.wait_state("demo", "ready").await;
    assert_eq!(seen["server_info"]["name"], "mcpvisor-demo");
    assert_eq!(gateway.call("demo", "add", json!({"a": 2, "b": 40})).await, json!({"sum": 42}));
    gateway.stop().await;
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_a_cause_that_names_the_phase() {
    let settings = json!({"start_timeout": "1s", "era": "legacy"});
    let gateway = TestGateway::new()
        .server("mute", with(fake(&["--hang-init"]), settings))
        .server("well", fake(&[]))
        .start()
        .await;
    gateway.wait_state("well", "ready").await;
    let seen = gateway.wait_state("mute", "backoff").await;
    assert_eq!(seen["health"], "unhealthy");
    assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains("initialize")), "{seen}");
    assert_eq!(gateway.call("well", "echo", json!({"text": "unharmed"})).await["text"], "unharmed");
    gateway.stop().await;
}

#[tokio::test]
async fn a_program_that_works_on_is_not_ended_in_the_middle_of_its_start() {
    // On a machine that is busy with others any start is such a one.
    let works = "import os, sys, time\n\
                 end = time.monotonic() + 12\n\
                 while time.monotonic() < end: pass\n\
                 os.execv(sys.argv[1], sys.argv[1:])";
    let command = json!(["-c", works, env!("CARGO_BIN_EXE_fake-mcp")]);
    let settings = json!({"start_timeout": "10s", "era": "legacy"});
    let busy = json!({"command": "python3", "args": command, "mcpvisor": settings});
    let gateway = TestGateway::new().server("busy", busy).start().await;
    let seen = gateway.wait_state("busy", "ready").await;
    assert_eq!((&seen["restarts"], &seen["supervision"]["incarnation"]), (&json!(0), &json!(1)), "{seen}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_missing_command_is_a_failure_that_names_it_and_is_not_tried_again() {
    let missing = "/no/such/program-of-the-test";
    let gateway = TestGateway::new()
        .server("missing", json!({"command": missing}))
        .server("nowhere", json!({"command": env!("CARGO_BIN_EXE_fake-mcp"), "cwd": "/no/such/directory"}))
        .server("well", fake(&[]))
        .start()
        .await;
    let seen = gateway.wait_state("missing", "failed").await;
    assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains(missing)), "{seen}");
    let seen = gateway.wait_state("nowhere", "failed").await;
    assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains("/no/such/directory")), "{seen}");
    let refused = gateway.v1_invoke("missing", "echo", json!({})).await.expect(502);
    assert_eq!(refused["error"]["code"], "mcp_unreachable");
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains(missing)), "{refused}");
    gateway.wait_state("well", "ready").await;
    assert_eq!(gateway.server("missing").await["restarts"], 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_server_that_exits_at_once_backs_off_and_says_why() {
    let gateway = TestGateway::new().server("broken", fake(&["--exit", "3"])).start().await;
    let seen = gateway.wait_state("broken", "backoff").await;
    assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains("code 3")), "{seen}");
    wait_until("a second start", DEADLINE, || async {
        (gateway.server("broken").await["restarts"].as_u64() >= Some(1)).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_gets_its_own_environment_and_three_descriptors() {
    let mut definition = fake(&[]);
    definition["env"] = json!({"GREETING": "hello"});
    let gateway = TestGateway::new().server("child", definition).start().await;
    gateway.wait_state("child", "ready").await;
    let environment = gateway.call("child", "env", json!({})).await;
    assert_eq!(environment["GREETING"], "hello");
    assert!(environment["PATH"].is_string());
    assert!(
        environment.get(UNNAMED_VARIABLE).is_none(),
        "the daemon's own variables stay with it: {environment}"
    );
    let fds = gateway.call("child", "fds", json!({})).await;
    let mut numbers: Vec<&String> = fds["fds"].as_object().expect("an object").keys().collect();
    numbers.sort();
    assert_eq!(numbers, ["0", "1", "2"], "{fds}");
    gateway.stop().await;
}

#[tokio::test]
async fn an_unknown_setting_stops_the_start_and_is_named() {
    let (status, output) =
        TestGateway::new().config_toml("[server]\nno_such_setting = 1\n").start_refused().await;
    assert!(!status.success());
    assert!(output.contains("no_such_setting"), "{output}");
}

#[tokio::test]
async fn an_unknown_argument_stops_the_start() {
    let (status, output) = TestGateway::new().arguments(&["--no-such-flag"]).start_refused().await;
    assert_eq!(status.code(), Some(2));
    assert!(output.contains("--no-such-flag"), "{output}");
}

#[tokio::test]
async fn a_child_gains_no_privileges_and_leaves_no_core_and_no_open_files() {
    let gateway = TestGateway::new().server("child", fake(&[])).start().await;
    gateway.wait_state("child", "ready").await;
    let pid = gateway.call("child", "pid", json!({})).await["pid"].as_i64().expect("a number");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Umask:\t0077"), "{status}");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    gateway.stop().await;
}

/// Reads what the service manager is told, until it is told this.
fn told(socket: &std::os::unix::net::UnixDatagram, wanted: &str) {
    let mut buffer = [0; 1024];
    loop {
        let length = socket.recv(&mut buffer).expect("the daemon speaks in time");
        if String::from_utf8_lossy(&buffer[..length]).contains(wanted) {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_of_start_life_and_stop() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).expect("a socket");
    socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let gateway = TestGateway::new()
        .variable("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
        .variable("WATCHDOG_USEC", "200000")
        .server("child", fake(&[]))
        .start()
        .await;
    let listen = |wanted: String| {
        let socket = socket.try_clone().expect("another handle");
        tokio::task::spawn_blocking(move || told(&socket, &wanted))
    };
    listen("READY=1".to_owned()).await.expect("told");
    listen("WATCHDOG=1".to_owned()).await.expect("told");
    gateway.wait_state("child", "ready").await;
    let address = gateway.address();
    let status = format!("STATUS=serving on http://{address}; servers: 1 ready");
    listen(status).await.expect("told");
    let environment = gateway.call("child", "env", json!({})).await;
    assert!(!environment.to_string().contains("NOTIFY_SOCKET"), "{environment}");
    // The drain of 20 s, 10 s for the children and 1 s for the last answers.
    let stopping = listen("STOPPING=1\nEXTEND_TIMEOUT_USEC=31000000".to_owned());
    gateway.stop().await;
    stopping.await.expect("told");
}

#[tokio::test]
async fn a_launcher_that_downloads_is_seen_to_be_installing() {
    let script = format!("read line; exec {}", env!("CARGO_BIN_EXE_fake-mcp"));
    let (_directory, launcher) = launcher(&script);
    let gateway = TestGateway::new().server("slow", json!({"command": launcher})).start().await;
    let seen = wait_until("it is installing", DEADLINE, || async {
        let seen = gateway.server("slow").await;
        (seen["phase"] == "installing").then_some(seen)
    })
    .await;
    assert_eq!(seen["state"], "starting");
    let log = gateway.get("/v1/mcps/slow/logs").await.expect(200);
    assert!(log.to_string().contains("Downloading the server"), "{log}");
    // Whoever waits in vain is told what for.
    let body = json!({"mcp_id": "slow", "tool": "echo", "timeout": 50});
    let reply = gateway.post(INVOKE, &body).await.expect(504);
    let text = reply["error"]["message"].as_str().expect("a text");
    let told = "No answer within 50 ms: server 'slow' is starting (installing); last line on stderr: ";
    assert!(text.starts_with(told) && text.ends_with("Downloading the server (12 MB)"), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_start_deadline_that_passes_while_installing_says_so() {
    let (_directory, launcher) = launcher("exec sleep 600");
    let settings = json!({"start_timeout": "1s", "install_timeout": "2s"});
    let slow = json!({"command": launcher, "mcpvisor": settings});
    let script = format!("echo loading >&2; exec {} --hang-init", env!("CARGO_BIN_EXE_fake-mcp"));
    let mute = json!({"command": "sh", "args": ["-c", script], "mcpvisor": {"start_timeout": "1s"}});
    let gateway = TestGateway::new().server("slow", slow).server("mute", mute).start().await;
    let seen = gateway.wait_state("slow", "backoff").await;
    let told = "was still being installed after 2 s (install_timeout): Downloading the server (12 MB)";
    assert_eq!(seen["cause"], told);
    // Whoever is no launcher installs nothing, whatever it writes.
    let seen = gateway.wait_state("mute", "backoff").await;
    let cause = seen["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("did not answer initialize within 1 s"), "{cause}");
    gateway.stop().await;
}

/// A program of the name of a launcher, which says what such programs say and then does as it is told.
fn launcher(script: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("npx");
    let text = format!("#!/bin/sh\necho 'Downloading the server (12 MB)' >&2; {script}\n");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
    (directory, path.display().to_string())
}
