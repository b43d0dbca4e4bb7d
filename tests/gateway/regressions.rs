//! Defects that were found once and must not come back, each as the promise it broke.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

/// A legacy server in a few lines, for what the scripted one does not do.
const SCRIPT: &str = r#"
import json, sys
mode, listed = sys.argv[1], 0
def out(message): print(json.dumps(message), flush=True)
for line in sys.stdin:
    message = json.loads(line)
    number, method = message.get("id"), message.get("method")
    if number is None: continue
    answer = {"jsonrpc": "2.0", "id": number}
    tools = [{"name": name, "inputSchema": {"type": "object"}} for name in ("first", "second")]
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}, "prompts": {}}
        answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": capabilities,
                            "serverInfo": {"name": "script", "version": "1"}}
    elif method == "tools/list":
        listed += 1
        answer["result"] = {"tools": tools if listed > 1 else tools[:1]}
    elif method == "prompts/list" and mode == "broken-prompts":
        answer["error"] = {"code": -32603, "message": "the database is down"}
    elif method == "prompts/list": answer["result"] = {"prompts": []}
    elif method == "tools/call": answer["result"] = {"content": [{"type": "text", "text": "done"}]}
    else: answer["error"] = {"code": -32601, "message": "Method not found"}
    out(answer)
    if method == "tools/list" and listed == 1 and mode == "changes":
        out({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})
"#;

fn script(mode: &str) -> Value {
    json!({"command": "python3", "args": ["-c", SCRIPT, mode]})
}

#[tokio::test]
async fn a_change_announced_during_the_handshake_is_read() {
    let gateway = TestGateway::new().server("script", script("changes")).start().await;
    gateway.wait_state("script", "ready").await;
    wait_until("the new tool can be called", DEADLINE, || async {
        (gateway.v1_invoke("script", "second", json!({})).await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_list_that_a_server_can_do_without_takes_nothing_down() {
    let gateway = TestGateway::new().server("script", script("broken-prompts")).start().await;
    let server = gateway.wait_state("script", "ready").await;
    assert_eq!((&server["restarts"], &server["prompts_count"]), (&json!(0), &json!(0)));
    gateway.v1_invoke("script", "first", json!({})).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_crash_during_the_probe_does_not_condemn_a_modern_server() {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("server");
    let text = format!(
        "#!/bin/sh\nif [ -e \"$0.crashed\" ]; then exec {} --era modern; fi\ntouch \"$0.crashed\"\nexit 1\n",
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    fs::write(&program, text).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let gateway = TestGateway::new().server("modern", json!({"command": program})).start().await;
    let server = gateway.wait_state("modern", "ready").await;
    assert_eq!(server["protocol_version"], "2026-07-28");
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_is_over_whoever_still_holds_its_stdout() {
    let graces = json!({"stdin_grace": "100ms", "term_grace": "100ms"});
    let stubborn = with(fake(&["--ignore-eof", "--ignore-term"]), graces);
    let gateway = TestGateway::new().server("stubborn", stubborn).start().await;
    gateway.wait_state("stubborn", "ready").await;
    let pid = gateway.call("stubborn", "pid", json!({})).await["pid"].as_i64().expect("a number");
    let held = fs::OpenOptions::new().write(true).open(format!("/proc/{pid}/fd/1")).expect("its stdout");
    gateway.put("/api/servers/stubborn", &json!({"args": []})).await.expect(200);
    wait_until("a new child is ready", DEADLINE, || async {
        let server = gateway.server("stubborn").await;
        (server["state"] == "ready" && server["restarts"] == 1).then_some(())
    })
    .await;
    drop(held);
    gateway.stop().await;
}

#[tokio::test]
async fn a_child_that_says_only_noise_is_ended_and_named() {
    let gateway = TestGateway::new().server("well", fake(&[])).start().await;
    gateway.wait_state("well", "ready").await;
    let mut endless = gateway.marked(json!({"command": "yes", "args": []}));
    endless["name"] = "endless".into();
    gateway.post("/api/servers", &endless).await.expect(200);
    let server = wait_until("it is given up for now", DEADLINE, || async {
        let server = gateway.server("endless").await;
        (server["state"] == "backoff").then_some(server)
    })
    .await;
    assert!(server["cause"].as_str().is_some_and(|cause| cause.contains("no messages")), "{server}");
    assert_eq!(gateway.call("well", "echo", json!({"nonce": 1})).await["nonce"], 1);
    gateway.stop().await;
}

/// The only place to start is held by a server that hangs; the other is switched on and off while
/// it waits for its turn.
#[tokio::test]
async fn a_replica_does_not_wait_for_a_place_that_it_holds_itself() {
    let hanging = || with(fake(&["--hang-init"]), json!({"start_timeout": "2s"}));
    let gateway = TestGateway::new()
        .config_toml("[starts]\nconcurrent = 1\n")
        .server("hanging", hanging())
        .server("waiting", fake(&[]))
        .start()
        .await;
    for waiting_is_off in [true, false, true, false] {
        import(&gateway, false, hanging(), waiting_is_off).await;
    }
    import(&gateway, true, hanging(), false).await;
    gateway.wait_state("waiting", "ready").await;
    gateway.stop().await;
}

async fn import(gateway: &Gateway, hanging_is_off: bool, hanging: Value, waiting_is_off: bool) {
    let mut hanging = gateway.marked(hanging);
    hanging["disabled"] = hanging_is_off.into();
    let mut waiting = gateway.marked(fake(&[]));
    waiting["disabled"] = waiting_is_off.into();
    let file = json!({"mcpServers": {"hanging": hanging, "waiting": waiting}});
    fs::write(gateway.data().join("import.json"), file.to_string()).expect("the file");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
}
