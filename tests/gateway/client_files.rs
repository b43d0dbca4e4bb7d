//! Servers files of other clients, given to the daemon as they are: a bad entry costs nobody else anything,
//! nothing but the entries is kept, and a file that its client empties stops nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Map, Value, json};

use crate::reloading;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

/// Replaces the servers file as editors do: written beside it, renamed over it.
fn rewrite(gateway: &Gateway, value: &Value) {
    reloading::rewrite(gateway, &value.to_string());
}

fn entries(gateway: &Gateway, entries: &[(&str, Value)]) -> Value {
    let marked =
        |(name, definition): &(&str, Value)| ((*name).to_owned(), gateway.marked(definition.clone()));
    Value::Object(entries.iter().map(marked).collect::<Map<_, _>>())
}

async fn logged(gateway: &Gateway, text: &str) {
    wait_until("it is logged", DEADLINE, || async { gateway.output().contains(text).then_some(()) }).await;
}

/// Waits until another child than this one serves, and returns its process id.
async fn later_child(gateway: &Gateway, server: &str, than: i64) -> i64 {
    wait_until("another child serves", DEADLINE, || async {
        let seen = gateway.server(server).await;
        let pid = seen["supervision"]["pid"].as_i64().filter(|pid| *pid != than);
        pid.filter(|_| seen["state"] == "ready")
    })
    .await
}

fn asking(person: &str) -> Value {
    let mut definition = fake(&[]);
    definition["env"] = json!({ "TOKEN": person });
    definition
}

#[tokio::test]
async fn a_bad_entry_is_failed_with_its_cause_everywhere_and_the_others_run() {
    let gateway = TestGateway::new()
        .server("lantern", fake(&[]))
        .server("orchard", asking("${input:token}"))
        .server("meadow", json!({"command": "x", "args": "demo"}))
        .server(
            "harbor",
            json!({"type": "streamable-http", "url": "http://user:s3cret@127.0.0.1:9/mcp?key=s3cret"}),
        )
        .start()
        .await;
    gateway.wait_state("lantern", "ready").await;
    let seen = gateway.wait_state("orchard", "failed").await;
    let cause = "cannot be used: env.TOKEN has ${input:token}, which asks a person; write ${env:NAME} or ${file:/path}";
    assert_eq!(
        (&seen["cause"], &seen["health"], &seen["status"]),
        (&json!(cause), &json!("unhealthy"), &json!("active"))
    );
    let seen = gateway.wait_state("meadow", "failed").await;
    assert_eq!(
        seen["cause"],
        "cannot be used: args must be a list: write [\"demo\"], a text for each argument"
    );
    let remote = gateway.wait_state("harbor", "backoff").await;
    assert_eq!(
        (&remote["transport"], &remote["status"], &remote["health"]),
        (&json!("streamable-http"), &json!("active"), &json!("unhealthy"))
    );
    assert_eq!(remote["endpoint_url"], "http://127.0.0.1:9/mcp?key=[REDACTED]");
    assert!(
        remote["cause"].as_str().is_some_and(|cause| cause.contains("refused the connection")),
        "{remote}"
    );

    let refused = gateway.v1_invoke("orchard", "echo", json!({})).await.expect(502);
    assert!(
        refused["error"]["message"].as_str().is_some_and(|text| text.contains("which asks a person")),
        "{refused}"
    );
    let refused = gateway.v1_invoke("harbor", "echo", json!({})).await.expect(502);
    assert!(
        refused["error"]["message"].as_str().is_some_and(|text| text.contains("refused the connection")),
        "{refused}"
    );
    gateway.post("/v1/mcps/orchard/restart", &json!({})).await.expect(502);
    let metrics = gateway.get("/metrics").await.text();
    assert!(metrics.contains("orchard"), "{metrics}");
    logged(&gateway, "mcpServers.orchard.env.TOKEN has ${input:token}").await;
    assert!(!gateway.output().contains("s3cret"), "{}", gateway.output());

    // What is wrong with it has to be mended; then it is a server like others.
    let left = gateway.put("/api/servers/orchard", &json!({"args": []})).await.expect(400);
    assert!(left["error"].as_str().is_some_and(|text| text.contains("env.TOKEN")), "{left}");
    let env = gateway.marked(asking("given"))["env"].clone();
    gateway.put("/api/servers/orchard", &json!({"env": env})).await.expect(200);
    gateway.wait_state("orchard", "ready").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_entry_that_becomes_bad_serves_on_and_good_ones_beside_it_are_applied() {
    let mut gateway =
        TestGateway::new().server("lantern", fake(&[])).server("orchard", fake(&[])).start().await;
    gateway.wait_state("lantern", "ready").await;
    gateway.wait_state("orchard", "ready").await;
    let children = (gateway.child("lantern").await, gateway.child("orchard").await);
    let broken =
        entries(&gateway, &[("lantern", fake(&[])), ("orchard", asking("${input:t}")), ("comes", fake(&[]))]);
    rewrite(&gateway, &json!({ "servers": broken }));
    wait_until("the new one is there", DEADLINE, || async {
        (gateway.get("/v1/mcps/comes").await.status == 200).then_some(())
    })
    .await;
    gateway.wait_state("comes", "ready").await;
    assert_eq!((gateway.child("lantern").await, gateway.child("orchard").await), children);
    let seen = gateway.server("orchard").await;
    let update = &seen["supervision"]["update"];
    assert_eq!((&seen["state"], &update["state"]), (&json!("ready"), &json!("failed")));
    let cause = seen["cause"].as_str().unwrap_or_default();
    assert!(
        cause.starts_with("its changed definition cannot be used: env.TOKEN has ${input:t}")
            && cause.ends_with("; the earlier one goes on serving"),
        "{cause}"
    );
    logged(&gateway, "the earlier one goes on serving").await;
    gateway.v1_invoke("orchard", "echo", json!({})).await.expect(200);

    // The earlier definition is wholly in force: its child is started anew, and also when that is asked for.
    kill(Pid::from_raw(children.1.pid), Signal::SIGKILL).expect("it is there");
    let second = later_child(&gateway, "orchard", children.1.pid.into()).await;
    gateway.post("/v1/mcps/orchard/restart", &json!({})).await.expect(200);
    later_child(&gateway, "orchard", second).await;
    assert_eq!(gateway.server("orchard").await["supervision"]["update"]["state"], "failed");

    gateway.kill_9().await;
    gateway.restart().await;
    gateway.wait_state("lantern", "ready").await;
    gateway.wait_state("orchard", "failed").await;
    let mended = entries(&gateway, &[("lantern", fake(&[])), ("orchard", fake(&[])), ("comes", fake(&[]))]);
    rewrite(&gateway, &json!({ "servers": mended }));
    gateway.wait_state("orchard", "ready").await;
    gateway.stop().await;
}

#[tokio::test]
async fn an_entry_that_was_bad_keeps_its_child_and_one_switched_off_stops() {
    let gateway = TestGateway::new().server("orchard", fake(&[])).server("meadow", fake(&[])).start().await;
    gateway.wait_state("orchard", "ready").await;
    gateway.wait_state("meadow", "ready").await;
    let child = gateway.child("orchard").await;
    let bad = asking("${input:t}");
    let broken = entries(&gateway, &[("orchard", bad.clone()), ("meadow", bad.clone())]);
    rewrite(&gateway, &json!({ "servers": broken }));
    for name in ["orchard", "meadow"] {
        wait_until("the edit is refused", DEADLINE, || async {
            (gateway.server(name).await["supervision"]["update"]["state"] == "failed").then_some(())
        })
        .await;
    }
    let mut off = bad;
    off["disabled"] = json!(true);
    let mended = entries(&gateway, &[("orchard", fake(&[])), ("meadow", off)]);
    rewrite(&gateway, &json!({ "servers": mended }));
    gateway.wait_state("meadow", "disabled").await;
    wait_until("the edit is taken back", DEADLINE, || async {
        gateway.server("orchard").await["supervision"]["update"].is_null().then_some(())
    })
    .await;
    assert_eq!(gateway.child("orchard").await, child);
    assert_eq!(gateway.server("orchard").await["cause"], Value::Null);
    gateway.stop().await;
}

#[tokio::test]
async fn a_file_that_its_client_emptied_stops_nothing_without_a_second_word() {
    let gateway = TestGateway::new().server("lantern", fake(&[])).start().await;
    gateway.wait_state("lantern", "ready").await;
    let child = gateway.child("lantern").await;
    rewrite(&gateway, &json!({"mcpServers": {}}));
    logged(&gateway, "has no servers any more").await;
    assert_eq!(gateway.child("lantern").await, child);
    let full = entries(&gateway, &[("lantern", fake(&[])), ("comes", fake(&[]))]);
    rewrite(&gateway, &json!({ "mcpServers": full }));
    wait_until("it came back", DEADLINE, || async {
        (gateway.get("/v1/mcps/comes").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(gateway.child("lantern").await, child);
    rewrite(&gateway, &json!({"mcpServers": {}, "x": 1}));
    wait_until("it is logged again", DEADLINE, || async {
        (gateway.output().matches("has no servers any more").count() > 1).then_some(())
    })
    .await;
    gateway.signal(Signal::SIGHUP);
    wait_until("who asks means it", DEADLINE, || async {
        (gateway.get("/v1/mcps/lantern").await.status == 404).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn variables_are_put_in_wherever_clients_put_them_and_nobody_shows_them() {
    let mut definition = fake(&[]);
    definition["env"] =
        json!({"A": "${THE_TOKEN}", "B": "${NOT_SET:-quiet}", "C": "$THE_TOKEN", "D": "$${THE_TOKEN}"});
    let script = "echo \"said $1 $2\" >&2; exit 3";
    let shell = json!({"command": "sh", "args": ["-c", script, "sh", "${THE_TOKEN}", "${OWN}"], "env": {"OWN": "o${THE_TOKEN}"}});
    let gateway = TestGateway::new()
        .server("lantern", definition)
        .server("unset", asking("${NOT_THERE}"))
        .server("shell", shell)
        .variable("THE_TOKEN", "canary-4711")
        .start()
        .await;
    gateway.wait_state("lantern", "ready").await;
    let seen = gateway.call("lantern", "env", json!({})).await;
    assert_eq!((&seen["A"], &seen["B"]), (&json!("canary-4711"), &json!("quiet")));
    assert_eq!((&seen["C"], &seen["D"]), (&json!("$THE_TOKEN"), &json!("${THE_TOKEN}")));
    let seen = gateway.wait_state("unset", "failed").await;
    assert_eq!(seen["cause"], "could not be started: env.TOKEN refers to ${env:NOT_THERE}, which is not set");
    gateway.wait_state("shell", "backoff").await;
    // The server itself says what it was given; nobody else does.
    logged(&gateway, "said canary-4711 ocanary-4711").await;
    let shown = gateway.get("/api/servers").await.text();
    assert!(shown.contains("${env:THE_TOKEN}") && !shown.contains("canary"), "{shown}");
    gateway.stop().await;
}

#[tokio::test]
async fn nothing_of_a_client_s_own_file_but_its_servers_is_kept() {
    let mut gateway = TestGateway::new().start().await;
    let servers = entries(&gateway, &[("lantern", fake(&[]))]);
    let whole = json!({
        "numStartups": 7, "primaryApiKey": "canary-of-a-key",
        "projects": {"/srv/one": {"history": [{"display": "canary-of-a-question"}]}},
        "mcpServers": servers,
    });
    rewrite(&gateway, &whole);
    wait_until("the server is there", DEADLINE, || async {
        (gateway.get("/v1/mcps/lantern").await.status == 200).then_some(())
    })
    .await;
    gateway.post("/api/config/export", &json!({"filepath": "out.json"})).await.expect(200);
    let exported = fs::read_to_string(gateway.data().join("out.json")).expect("exported");
    assert!(exported.contains("lantern") && !exported.contains("canary"), "{exported}");
    gateway.kill_9().await;
    for canary in ["canary-of-a-key", "canary-of-a-question"] {
        assert_eq!(files_with(gateway.data(), canary), Vec::<String>::new());
    }
    gateway.restart().await;
    gateway.stop().await;
}

/// The files below a directory that contain a text.
fn files_with(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let holds = |bytes: Vec<u8>| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        if entry.path().is_dir() {
            found.extend(files_with(&entry.path(), text));
        } else if fs::read(entry.path()).is_ok_and(holds) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn check(directory: &Path, files: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command
        .args(["serve", "--check", "--port", "0", "--data-dir", "data"])
        .current_dir(directory)
        .env_clear();
    command.env("HOME", directory).env("LANTERN_TOKEN", "s3cret").env("ORCHARD_TOKEN", "s3cret");
    for file in files {
        command.args(["--servers", &format!("{}/tests/client_files/{file}", env!("CARGO_MANIFEST_DIR"))]);
    }
    let output = command.output().expect("the program runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_check_is_strict_where_the_daemon_goes_on_and_warns_of_differences() {
    let directory = tempfile::tempdir().expect("a directory");
    let strict: [(&str, &str); 8] = [
        ("01-vscode-servers.json", "servers.orchard.env.ORCHARD_TOKEN has ${input:orchard-token}"),
        ("08-goose.yaml", "is YAML"),
        ("11-bare-map.json", "orchard.command has ${CLAUDE_PLUGIN_ROOT}"),
        ("15-url-only.json", "mcpServers.unset.url must not be empty"),
        ("21-args-odd.json", "mcpServers.meadow.args must be a list"),
        ("25-interpolation-env.json", "mcpServers.orchard.env.F has ${input:orchard}"),
        ("36-mcpb-manifest.json", "is the manifest of a bundle"),
        ("10-librechat.yaml", "is YAML"),
    ];
    for (file, said) in strict {
        let (code, _, err) = check(directory.path(), &[file]);
        assert!(code == Some(78) && err.contains(said), "{file}: {code:?} {err}");
    }
    let warned: [(&str, &str, &str); 6] = [
        (
            "26-interpolation-args.json",
            "args[3] refers to ${env:ORCHARD_TOKEN}: every user of the machine",
            "orchard: ",
        ),
        ("24-command-with-arguments.json", "warning: ", "orchard: mcpvisor demo-server"),
        ("13-windsurf.json", "", "harbor: remote (streamable-http, http://127.0.0.1:9/mcp)\n"),
        ("17-enabled-false.json", "", "quarry: mcpvisor with 1 argument (disabled)"),
        ("37-claude-user.json", "note: ", "lantern: mcpvisor"),
        ("29-windows.json", "is a Windows command; write \"npx\"", "meadow: "),
    ];
    for (file, said, shown) in warned {
        let (code, out, err) = check(directory.path(), &[file]);
        assert!(code == Some(0) && err.contains(said) && out.contains(shown), "{file}: {code:?} {out} {err}");
        assert!(!(out + &err).contains("s3cret"), "{file}");
    }
    let (code, out, err) = check(directory.path(), &["34-two-clients-a.json", "35-two-clients-b.json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "equal definitions are no matter: {out}");
    assert_eq!(out.matches("lantern: ").count(), 1, "{out}");
}

#[test]
fn an_import_makes_a_servers_file_that_the_check_passes() {
    let directory = tempfile::tempdir().expect("a directory");
    let from = format!("{}/tests/client_files/08-goose.yaml", env!("CARGO_MANIFEST_DIR"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
        command.args(arguments).current_dir(directory.path()).env_clear().env("HOME", directory.path());
        command.env("LANTERN_TOKEN", "s3cret").output().expect("the program runs")
    };
    let output = run(&["import", "--from", &from, "--to", "own.json"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("takes    lantern: mcpvisor with 1 argument"),
        "{output:?}"
    );
    let output = run(&["serve", "--check", "--port", "0", "--data-dir", "data", "--servers", "own.json"]);
    assert!(output.status.success(), "{output:?}");
}
