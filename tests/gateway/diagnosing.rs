//! Faults that keep a server from running are named with their fix, by every way that an operator or a caller looks. Each
//! fault is one of a real program: Node, Python, npm, a shell, the dynamic linker, Docker, or of the definition.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::DEADLINE;
use crate::support::gateway::{Gateway, TestGateway, with};
use crate::support::wait_until;

/// A server with a fault, and what is to be told of it.
struct Seeded {
    fault: &'static str,
    definition: Value,
    /// Part of the cause.
    cause: &'static str,
    /// Part of the fix.
    fix: &'static str,
}

fn seeded(fault: &'static str, definition: Value, cause: &'static str, fix: &'static str) -> Seeded {
    Seeded { fault, definition, cause, fix }
}

fn node(script: &str) -> Value {
    json!({"command": "node", "args": ["-e", script]})
}

fn python(script: &str) -> Value {
    json!({"command": "python3", "args": ["-c", script]})
}

fn sh(script: &str) -> Value {
    json!({"command": "sh", "args": ["-c", script]})
}

fn script(directory: &Path, name: &str, text: &str, mode: u32) -> String {
    let path = directory.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("its own");
    path.to_str().expect("UTF-8").to_owned()
}

/// Runs `mcpvisor` against the daemon's socket; returns its exit code and what it wrote.
async fn mcpvisor(gateway: &Gateway, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command.args(arguments).env_clear().env("HOME", gateway.data()).current_dir("/").kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock"));
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("an exit code"), text + &String::from_utf8_lossy(&output.stderr))
}

/// Starts a daemon with these servers and checks that each fault is told alike by the list, the detail, a refused call of
/// either dialect, `status` and `doctor`.
async fn told_everywhere(faults: Vec<Seeded>) {
    let mut builder = TestGateway::new();
    for (at, seeded) in faults.iter().enumerate() {
        builder = builder.server(&format!("s{at}"), seeded.definition.clone());
    }
    let gateway = builder.start().await;
    for (at, seeded) in faults.iter().enumerate() {
        let name = format!("s{at}");
        let seen = wait_until(&format!("{} is known of", seeded.fault), DEADLINE, || async {
            let seen = gateway.server(&name).await;
            (seen["state"] != "starting" && seen["cause"].is_string()).then_some(seen)
        })
        .await;
        check(&gateway, &name, seeded, &seen).await;
    }
    gateway.stop().await;
}

async fn check(gateway: &Gateway, name: &str, seeded: &Seeded, seen: &Value) {
    let Seeded { fault, cause, fix, .. } = seeded;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    assert_eq!(seen["fault"], *fault, "{seen}");
    let (told_cause, told_fix) = (text(&seen["cause"]), text(&seen["fix"]));
    assert!(told_cause.contains(cause), "{fault}: {cause:?} in {told_cause}");
    assert!(told_fix.contains(fix), "{fault}: {fix:?} in {told_fix}");

    // A server that says nothing is asked in the one way and in the other, at each start.
    let without_last = |cause: &str| {
        cause
            .trim_start_matches("last: ")
            .replace("did not answer server/discover", "did not answer initialize")
    };
    let same = |told: &Value, whence: &str| {
        assert_eq!((&told["fault"], &told["fix"]), (&seen["fault"], &seen["fix"]), "{whence}: {told}");
        assert_eq!(without_last(&text(&told["cause"])), without_last(&told_cause), "{whence}: {told}");
    };
    let list = gateway.get("/v1/mcps?per_page=100").await.expect(200);
    let listed = list["data"].as_array().expect("a list").iter().find(|server| server["name"] == name);
    same(listed.expect("listed"), "list");

    let refused = gateway.v1_invoke(name, "echo", json!({})).await.expect(502);
    same(&refused["error"]["details"]["server"], "refused call");
    let fix_begins = &told_fix[..told_fix.floor_char_boundary(60)];
    let message = text(&refused["error"]["message"]);
    assert!(message.contains(cause) && message.contains(fix_begins), "{fault}: {message}");
    // Between two starts there is a moment in which it is only known to be ending.
    wait_until(&format!("{fault} is told by /api"), DEADLINE, || async {
        let api = gateway.get(&format!("/api/servers/{name}/tools")).await.expect(500);
        text(&api["error"]).contains(fix_begins).then_some(())
    })
    .await;

    let (_, status) = mcpvisor(gateway, &["status", name]).await;
    assert!(status.contains(cause) && status.contains(fix_begins), "{fault}: {status}");
    let (code, doctor) = mcpvisor(gateway, &["doctor", name, "-o", "json"]).await;
    assert_eq!(code, 1, "{doctor}");
    let findings: Value = serde_json::from_str(&doctor).expect("JSON");
    let first = &findings["findings"][0];
    assert_eq!((&first["server"], &first["severity"]), (&json!(name), &json!("error")), "{doctor}");
    same(first, "doctor");
}

#[tokio::test]
async fn faults_of_commands_are_told_everywhere_with_their_fix() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str, mode: u32| script(directory.path(), name, text, mode);
    told_everywhere(vec![
        seeded(
            "command-not-found",
            json!({"command": "pytohn3"}),
            "'pytohn3' was not found",
            "Did you mean 'python3",
        ),
        seeded(
            "command-not-found",
            json!({"command": "uvx-nowhere", "env": {"PATH": "/bin:/nowhere"}}),
            "not found in PATH",
            "looked for in /bin:/nowhere",
        ),
        seeded(
            "windows-command",
            json!({"command": "cmd", "args": ["/c", "npx", "-y", "x"]}),
            "'cmd' was not found",
            "Leave out `cmd /c`",
        ),
        seeded(
            "windows-command",
            json!({"command": "C:\\tools\\npx.cmd"}),
            "was not found",
            "The definition is for Windows",
        ),
        seeded(
            "not-executable",
            json!({"command": file("plain", "#!/bin/sh\n", 0o644)}),
            "is not executable",
            "chmod +x",
        ),
        seeded(
            "interpreter-missing",
            json!({"command": file("nointerp", "#!/no/such/python\n", 0o755)}),
            "'/no/such/python'",
            "first line",
        ),
        seeded(
            "not-a-program",
            json!({"command": file("garbage", "\u{7f}ELX", 0o755)}),
            "not a program",
            "processor",
        ),
        seeded(
            "directory-missing",
            json!({"command": "sh", "cwd": "/no/such/place"}),
            "/no/such/place",
            "Make that directory",
        ),
        seeded(
            "reference-unresolved",
            json!({"command": "sh", "env": {"A": "${env:MCPVISOR_TEST_NOWHERE}"}}),
            "MCPVISOR_TEST_NOWHERE",
            "Set the variable",
        ),
        seeded(
            "command-not-found",
            json!({"command": file("noenv", "#!/usr/bin/env nosuchinterp\n", 0o755)}),
            "'nosuchinterp'",
            "put its directory into PATH",
        ),
        seeded(
            "script-line-ends",
            json!({"command": file("crlf", "#!/usr/bin/env node\r\n", 0o755)}),
            "CR LF",
            "sed -i",
        ),
        seeded("command-not-found", sh("nosuchprogram --x"), "'nosuchprogram'", "Install it"),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_node_are_told_everywhere_with_their_fix() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| json!({"command": "node", "args": [script(directory.path(), name, text, 0o644)]});
    told_everywhere(vec![
        seeded("node-module-missing", file("a.js", "require('express')"), "Cannot find module 'express'", "npm install"),
        seeded("node-module-missing", file("b.mjs", "import x from 'express'"), "'express' is not installed", "npm install"),
        seeded("script-missing", json!({"command": "node", "args": ["/no/such/server.js"]}), "/no/such/server.js", "Correct the path"),
        seeded("node-version", json!({"command": "node", "args": ["--no-such-flag-yet"]}), "another version of Node", "newer Node"),
        seeded("node-version", file("c.js", "const a = 1 |> 2;"), "newer", "newer Node"),
        seeded("node-module-kind", file("d.cjs", "import fs from 'fs'"), "ES module", "package.json"),
        seeded("port-taken", node("const n=require('net');const a=n.createServer().listen(0,'127.0.0.1',()=>n.createServer().listen(a.address().port,'127.0.0.1'))"), "port", "ss -ltnp"),
        seeded("connection-refused", node("require('net').connect(1,'127.0.0.1')"), "ECONNREFUSED 127.0.0.1:1", "Start what it connects to"),
        seeded("variable-missing", node("if(!process.env.BRAVE_API_KEY) throw new Error('BRAVE_API_KEY environment variable is required')"), "wants the variable BRAVE_API_KEY", "${env:BRAVE_API_KEY}"),
        seeded("memory", json!({"command": "node", "args": ["--max-old-space-size=20", "-e", "a=[];for(;;)a.push(new Array(1000).fill(1))"]}), "heap out of memory", "mcpvisor.limits.memory"),
        seeded("stdout-http", node("console.log('Server running on http://127.0.0.1:3000/mcp'); process.exit(1)"), "serve HTTP instead", "give its address as `url`"),
        seeded("stdout-noise", node("console.log('starting up'); process.exit(1)"), "no message", "log to stderr"),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_python_and_others_are_told_everywhere_with_their_fix() {
    told_everywhere(vec![
        seeded("python-module-missing", python("import yamlx"), "'yamlx' is not installed", "pip install"),
        seeded("python-module-missing", json!({"command": "python3", "args": ["-m", "nosuchmod"]}), "'nosuchmod'", "pip install"),
        seeded("python-version", python("x = = 1"), "newer", "--python"),
        seeded("variable-missing", python("import os; os.environ['WEATHER_API_KEY']"), "WEATHER_API_KEY", "${env:WEATHER_API_KEY}"),
        seeded("disk-full", python("open('/dev/full','w').write('x'*99999)"), "No space left", "Make room"),
        seeded("open-files", with(python("a=[open('/dev/null') for i in range(999)]"), json!({"limits": {"open_files": 64}})), "Too many open files", "limits.open_files"),
        seeded("name-unknown", python("import socket; socket.gethostbyname('nosuch.invalid')"), "no address", "getent hosts"),
        seeded("usage", python("import argparse; a=argparse.ArgumentParser(); a.add_argument('--root', required=True); a.parse_args()"), "arguments", "--help"),
        seeded("crashed", sh("kill -SEGV $$"), "SIGSEGV", "newest version"),
        seeded("killed", sh("kill -KILL $$"), "SIGKILL", "journalctl"),
        seeded("start-timeout", with(sh("exec sleep 600"), json!({"start_timeout": "1s"})), "did not answer", "Run its command by hand"),
        seeded("ends-at-once", with(sh("exit 0"), json!({"restart": "always"})), "code 0", "stdio"),
    ])
    .await;
}

#[tokio::test]
async fn faults_of_launchers_and_remotes_are_told_everywhere_with_their_fix() {
    let home = tempfile::tempdir().expect("a directory");
    let npx = |package: &str, registry: &str| {
        let env = json!({"HOME": home.path(), "npm_config_registry": registry, "npm_config_fetch_retries": "0", "npm_config_update_notifier": "false"});
        json!({"command": "npx", "args": ["-y", package], "env": env})
    };
    let local = home.path().join("none");
    fs::create_dir(&local).expect("made");
    fs::write(local.join("package.json"), "{\"name\":\"none\",\"version\":\"1.0.0\"}").expect("written");
    told_everywhere(vec![
        seeded("registry-unreachable", npx("left-pad", "http://127.0.0.1:9/"), "registry", "HTTPS_PROXY"),
        seeded(
            "package-no-program",
            npx(local.to_str().expect("UTF-8"), "http://127.0.0.1:9/"),
            "no program",
            "npx -y -p",
        ),
        seeded(
            "refused",
            json!({"url": "http://127.0.0.1:9/mcp"}),
            "refused the connection",
            "Start the server there",
        ),
    ])
    .await;
}

/// Runs `mcpvisor` where no daemon runs, with this home and these variables; returns its exit code and what it wrote.
async fn alone(home: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command.args(arguments).env_clear().env("HOME", home).current_dir(home).kill_on_drop(true);
    // The default port may be somebody else's.
    command.env("PATH", "/usr/bin:/bin").env("MCPVISOR_PORT", "0").envs(variables.iter().copied());
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it ends").expect("started");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().expect("an exit code"), text + &String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn what_would_keep_servers_from_starting_is_found_before_a_start() {
    let home = tempfile::tempdir().expect("a directory");
    let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let bad = script(home.path(), "bad", "#!/no/such/interpreter\n", 0o755);
    let servers = json!({"mcpServers": {
        "well": {"command": "sh"},
        "gone": {"command": "nosuchcommand-at-all"},
        "script": {"command": bad},
        "windows": {"command": "npx.cmd", "args": ["-y", "x"]},
        "reference": {"command": "sh", "env": {"TOKEN": "${env:MCPVISOR_TEST_NOWHERE}"}},
        "cache": {"command": "npx", "args": ["-y", "x"], "env": {"HOME": "/dev/null"}},
        "off": {"command": "nosuchcommand-either", "disabled": true},
    }});
    fs::write(path("servers.json"), servers.to_string()).expect("written");
    let file = path("servers.json");
    let variables = [("MCPVISOR_SERVERS", file.as_str()), ("HTTPS_PROXY", "http://127.0.0.1:9")];
    let (code, told) = alone(home.path(), &variables, &["doctor", "-o", "json"]).await;
    assert_eq!(code, 1, "{told}");
    let document: Value = serde_json::from_str(&told).expect("JSON");
    let found = document["findings"].as_array().expect("a list");
    let of = |server: &str| -> Vec<&str> {
        found.iter().filter(|one| one["server"] == server).filter_map(|one| one["fault"].as_str()).collect()
    };
    assert_eq!(of("gone"), ["command-not-found"]);
    assert_eq!(of("script"), ["interpreter-missing"]);
    assert_eq!(of("windows"), ["windows-command"]);
    assert_eq!(of("reference"), ["reference-unresolved"]);
    assert_eq!(of("cache"), ["cache-unwritable"]);
    assert!(of("well").is_empty() && of("off").is_empty(), "{told}");
    let passed = found.iter().find(|one| one["fault"] == "variables-not-passed").expect("there");
    assert!(passed["fix"].as_str().is_some_and(|fix| fix.contains("\"HTTPS_PROXY\"")), "{passed}");
    let severities: Vec<&str> = found.iter().filter_map(|one| one["severity"].as_str()).collect();
    assert!(
        severities.is_sorted_by_key(|word| ["error", "warning", "note"].iter().position(|one| one == word))
    );

    let (code, told) = alone(home.path(), &variables, &["doctor", "gone"]).await;
    assert!(code == 1 && told.contains("gone command\n") && told.contains("what to do: "), "{told}");
    let (code, told) = alone(home.path(), &variables, &["doctor", "nobody"]).await;
    assert!(code == 4 && told.contains("no servers file"), "{told}");
    let (code, told) = alone(home.path(), &variables, &["doctor", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(code, 69, "a daemon that was named is asked or nobody: {told}");

    fs::write(path("servers.json"), json!({"mcpServers": {"well": {"command": "sh"}}}).to_string())
        .expect("written");
    let (code, told) = alone(home.path(), &variables[..1], &["doctor"]).await;
    assert!(code == 0 && told.starts_with("nothing is wrong"), "{told}");
    fs::write(path("servers.json"), "{").expect("written");
    let (code, told) = alone(home.path(), &variables[..1], &["doctor"]).await;
    assert!(code == 1 && told.contains("servers.json:1:"), "{told}");
}

#[tokio::test]
async fn a_server_that_serves_is_no_error_and_one_that_is_not_there_is_said() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.wait_state("demo", "ready").await;
    let (code, told) = mcpvisor(&gateway, &["doctor", "demo"]).await;
    assert!(code == 0 && told.starts_with("nothing is wrong"), "{told}");
    let (code, _) = mcpvisor(&gateway, &["doctor", "dmeo"]).await;
    assert_eq!(code, 4);
    gateway.stop().await;
}
