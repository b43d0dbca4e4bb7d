//! Servers become ready, or the gateway says truthfully why not.

use serde_json::json;

use crate::support::DEADLINE;
use crate::support::canaries::UNNAMED_VARIABLE;
use crate::support::gateway::{INVOKE, TestGateway, fake, with};
use crate::support::wait_until;

#[tokio::test]
async fn a_server_of_any_era_becomes_ready_however_it_takes_the_probe() {
    let modes: [(&str, &[&str], &str); 9] = [
        ("legacy", &["--era", "legacy"], "2025-11-25"),
        ("old", &["--protocol", "2024-11-05"], "2024-11-05"),
        ("modern", &["--era", "modern"], "2026-07-28"),
        ("both", &["--era", "both"], "2026-07-28"),
        ("pinned", &["--era", "pinned"], "2026-07-28"),
        ("invalid", &["--probe", "reply-invalid"], "2025-11-25"),
        ("silent", &["--probe", "silent"], "2025-11-25"),
        ("exits", &["--probe", "exit"], "2025-11-25"),
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
        // The one that exits is started anew for the handshake; all others stay as they are.
        assert!(seen["restarts"] == 0 || name == "exits", "{seen}");
        let nonce = format!("nonce of {name}");
        assert_eq!(gateway.call(name, "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
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
    let script = format!(
        "echo 'Downloading the server (12 MB)' >&2; read line; exec {}",
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    let gateway = TestGateway::new()
        .server(
            "slow",
            json!({"command": "/bin/sh", "args": ["-c", script], "mcpvisor": {"start_timeout": "60s"}}),
        )
        .start()
        .await;
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
    let gateway = TestGateway::new()
        .server(
            "slow",
            json!({
                "command": "/bin/sh",
                "args": ["-c", "echo 'Downloading the server (12 MB)' >&2; exec sleep 600"],
                "mcpvisor": {"start_timeout": "1s"},
            }),
        )
        .start()
        .await;
    let seen = gateway.wait_state("slow", "backoff").await;
    assert_eq!(seen["cause"], "was still being installed after 1 s (start_timeout)");
    gateway.stop().await;
}
