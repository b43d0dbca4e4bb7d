//! References in the environment of a server: who gets what they stand for, who never sees it, and
//! what becomes of a server whose references lead nowhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::ask::ask;
use crate::support::canaries::{self, Kind, Place, UNNAMED_VARIABLE};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

const FROM_VARIABLE: &str = "canary-of-a-variable-4711";
const FROM_FILE: &str = "canary-of-a-file-0815";

fn with_env(env: Value) -> Value {
    let mut definition = fake(&[]);
    definition["env"] = env;
    definition
}

/// A server's cause, once it has failed.
async fn cause(gateway: &Gateway, server: &str) -> String {
    gateway.wait_state(server, "failed").await["cause"].as_str().expect("a cause").to_owned()
}

#[tokio::test]
async fn only_the_child_that_names_a_reference_gets_its_value_and_nobody_shows_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    fs::write(&file, format!("{FROM_FILE}\n")).expect("written");
    let reference = format!("${{file:{}}}", file.display());
    let env = json!({
        "BOTH": format!("a ${{env:THE_TOKEN}} b {reference} c"),
        "LITERAL": "$${env:THE_TOKEN} $${THE_TOKEN} ${foo:THE_TOKEN} pa$$word",
    });
    let named = with_env(env.clone());
    let mut gateway = TestGateway::new()
        .server("named", named)
        .server("other", with_env(json!({"PLAIN": "x"})))
        .variable("THE_TOKEN", FROM_VARIABLE)
        .variable("MCPVISOR_LOG", "trace")
        .arguments(&["--debug"])
        .start()
        .await;
    gateway.wait_state("named", "ready").await;
    gateway.wait_state("other", "ready").await;

    let seen = gateway.call("named", "env", json!({})).await;
    assert_eq!(seen["BOTH"], format!("a {FROM_VARIABLE} b {FROM_FILE} c"));
    assert_eq!(seen["LITERAL"], "${env:THE_TOKEN} ${THE_TOKEN} ${foo:THE_TOKEN} pa$$word");
    assert!(seen.get("THE_TOKEN").is_none() && seen.get(UNNAMED_VARIABLE).is_none(), "{seen}");
    let seen = gateway.call("other", "env", json!({})).await.to_string();
    assert!(!seen.contains(FROM_VARIABLE) && !seen.contains(FROM_FILE), "{seen}");

    // What is shown is what was written.
    let shown = gateway.get("/api/servers/named").await.expect(200);
    assert_eq!(shown["env"]["BOTH"], env["BOTH"]);
    gateway.post("/api/config/export", &json!({"filepath": "out.json"})).await.expect(200);
    let exported = fs::read_to_string(gateway.data().join("out.json")).expect("exported");
    assert!(exported.contains("${env:THE_TOKEN}") && exported.contains("${file:"), "{exported}");
    let mut told = exported;
    for path in [
        "/api/servers",
        "/api/servers/named",
        "/api/status",
        "/api/servers/named/tools",
        "/v1/mcps",
        "/v1/mcps/named",
        "/metrics",
        "/readyz",
    ] {
        told.push_str(&ask(&gateway, "GET", path).send().await.text());
    }
    gateway.kill_9().await;
    told.push_str(&gateway.output());
    for secret in [FROM_VARIABLE, FROM_FILE] {
        assert!(!told.contains(secret), "{secret} was told: {told}");
        assert_eq!(files_with(gateway.data(), secret), Vec::<String>::new());
    }
    gateway.restart().await;
    gateway.stop().await;
}

/// The files below a directory that contain a text.
fn files_with(directory: &std::path::Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        if entry.path().is_dir() {
            found.extend(files_with(&entry.path(), text));
        } else if fs::read(entry.path()).is_ok_and(|bytes| contains(&bytes, text.as_bytes())) {
            found.push(entry.path().display().to_string());
        }
    }
    found
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn what_arguments_stand_for_is_told_to_the_child_alone() {
    let gateway = TestGateway::new()
        .server(
            "shell",
            json!({"command": "sh", "args": ["-c", "echo \"said $1\" >&2; exit 3", "sh", "${env:THE_TOKEN}"]}),
        )
        .variable("THE_TOKEN", FROM_VARIABLE)
        .start()
        .await;
    gateway.wait_state("shell", "backoff").await;
    let output = gateway.output();
    assert!(output.contains(&format!("said {FROM_VARIABLE}")), "the child itself says it: {output}");
    let shown = gateway.get("/api/servers/shell").await.expect(200);
    assert_eq!(shown["args"][3], "${env:THE_TOKEN}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_reference_that_leads_nowhere_fails_its_server_and_the_cause_names_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("late");
    let late = format!("${{file:{}}}", path.display());
    let gateway = TestGateway::new()
        .server("unset", with_env(json!({"SECRET_PART": "s3cret", "TOKEN": "s3cret ${env:NOT_THERE}"})))
        .server("late", with_env(json!({"KEY": late})))
        .server("fine", fake(&[]))
        .start()
        .await;
    let of_unset = cause(&gateway, "unset").await;
    assert_eq!(of_unset, "could not be started: env.TOKEN refers to ${env:NOT_THERE}, which is not set");
    let of_late = cause(&gateway, "late").await;
    assert!(
        of_late.ends_with(&format!("env.KEY refers to {late}, which cannot be read (ENOENT)")),
        "{of_late}"
    );
    assert_eq!(gateway.server("unset").await["restarts"], 0, "it is left alone");

    // What is not text is said to be none, and not shown.
    fs::write(&path, b"s3cret\0").expect("written");
    let edit = json!({"args": ["--ignored"]});
    gateway.put("/api/servers/late", &edit).await.expect(200);
    let what = "the edit has it looked at again";
    wait_until(what, DEADLINE, || async {
        let cause = gateway.server("late").await["cause"].as_str().unwrap_or_default().to_owned();
        cause.ends_with("contains NUL").then_some(())
    })
    .await;
    // Once the file is there, the next look finds it.
    fs::write(&path, "there\n").expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("owner only");
    gateway.put("/api/servers/late", &json!({"args": []})).await.expect(200);
    gateway.wait_state("late", "ready").await;
    assert_eq!(gateway.call("late", "env", json!({})).await["KEY"], "there");
    assert!(!gateway.output().contains("s3cret"), "{}", gateway.output());
    gateway.wait_state("fine", "ready").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_reference_is_looked_up_at_each_spawn() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("token");
    fs::write(&path, "first").expect("written");
    let gateway = TestGateway::new()
        .server("fake", with_env(json!({"TOKEN": format!("${{file:{}}}", path.display())})))
        .start()
        .await;
    gateway.wait_state("fake", "ready").await;
    assert_eq!(gateway.call("fake", "env", json!({})).await["TOKEN"], "first");
    fs::write(&path, "second").expect("written");
    let child = gateway.child("fake").await;
    child.kill();
    wait_until("the next child", DEADLINE, || async {
        let reply = gateway.v1_invoke("fake", "env", json!({})).await;
        (reply.status == 200 && reply.json()["data"]["result"]["TOKEN"] == "second").then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn malformed_references_are_refused_wherever_a_definition_comes_in() {
    let gateway = TestGateway::new()
        .server("bad", with_env(json!({"A": "${env:", "B": "${file:x}"})))
        .server("fine", fake(&[]))
        .start()
        .await;
    gateway.wait_state("fine", "ready").await;
    let told = cause(&gateway, "bad").await;
    assert!(told.contains("env.A has a") && told.contains("env.B has a"), "{told}");
    let body = json!({"name": "bad", "command": "x", "env": {"A": "${env:s3cret"}});
    let error = gateway.post("/api/servers", &body).await.expect(400)["error"].to_string();
    assert!(error.contains("env.A") && !error.contains("s3cret"), "{error}");
    gateway.stop().await;
}

/// The harness looks for secrets in every test; here it is seen to find them.
#[tokio::test]
async fn the_harness_finds_a_secret_where_it_must_not_be() {
    let answer = |method, path, request: &'static str, status| Place::Answer {
        method,
        path,
        request: request.as_bytes(),
        status,
    };
    let call = answer("POST", "/v1/mcp/invoke", r#"{"tool":"echo"}"#, 200);
    let environment = answer("POST", "/v1/mcp/invoke", r#"{"tool":"env"}"#, 200);
    let key = answer("POST", "/v1/api-keys", "{}", 201);
    let definition = answer("GET", "/api/servers/fake", "", 200);
    let (audit, backup) = (Path::new("data/audit/1.jsonl"), Path::new("data/backup/config-1.json"));
    let owner = Path::new("data/owner.key");
    for (kind, allowed) in [
        (Kind::Unnamed, vec![]),
        (Kind::Header, vec![]),
        (Kind::Referred, vec![environment]),
        (Kind::Literal, vec![environment, definition, Place::File(backup)]),
        (Kind::Argument, vec![call, environment]),
        (Kind::Key, vec![key, Place::File(owner)]),
    ] {
        let text = format!("{{\"x\": \"{}\"}}", kind.value());
        for place in [
            call,
            environment,
            key,
            definition,
            answer("GET", "/api/servers/fake/tools", "", 200),
            answer("GET", "/metrics", "", 200),
            answer("GET", "/v1/api-keys", "", 200),
            answer("GET", "/v1/audit/export?action=call", "", 200),
            Place::Log,
            Place::CommandLine,
            Place::File(audit),
            Place::File(backup),
            Place::File(owner),
        ] {
            let may = allowed.iter().any(|allowed| format!("{allowed:?}") == format!("{place:?}"));
            assert_eq!(canaries::leaks(place, text.as_bytes()).is_empty(), may, "{kind:?} in {place}");
        }
    }
    // And where it looks, it looks: what a server says itself is logged as it is.
    let tell = "echo \"$CANARY_REFERRED\" >&2; exit 3";
    let gateway =
        TestGateway::new().server("teller", json!({"command": "sh", "args": ["-c", tell]})).start().await;
    wait_until("the harness has seen it", DEADLINE, || async {
        gateway.take_leaks().iter().any(|leak| leak.contains("(Referred)")).then_some(())
    })
    .await;
    gateway.delete("/api/servers/teller").await.expect(200);
    wait_until("it has told it for the last time", DEADLINE, || async {
        gateway.left_behind().is_empty().then_some(())
    })
    .await;
    gateway.take_leaks();
    gateway.stop().await;
}

#[tokio::test]
async fn what_stands_in_a_url_is_shown_only_to_those_who_may_see_definitions() {
    let url = format!("https://user:{FROM_VARIABLE}@192.0.2.1/mcp?token={FROM_FILE}");
    let mut gateway = TestGateway::new()
        .server("far", json!({"url": url}))
        .variable("MCPVISOR_LOG", "trace")
        .arguments(&["--debug"])
        .start()
        .await;
    let mut told = String::new();
    for path in ["/v1/mcps", "/v1/mcps/far", "/v1/mcps/far/logs", "/metrics", "/readyz", "/api/status"] {
        told.push_str(&ask(&gateway, "GET", path).send().await.text());
    }
    told.push_str(&gateway.v1_invoke("far", "x", json!({})).await.text());
    told.push_str(&gateway.get("/v1/audit/export").await.text());
    gateway.terminate().await;
    told.push_str(&gateway.output());
    assert!(!told.contains(FROM_VARIABLE) && !told.contains(FROM_FILE), "{told}");
    gateway.stop().await;
}
