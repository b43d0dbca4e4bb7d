//! The commands of an operator, as a person or a script has them: the built program against a running daemon.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::gateway::{Gateway, TestGateway, fake, with};
use crate::support::{DEADLINE, wait_until};

/// How a command ended: its exit code, and what it wrote.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Returns what it wrote, if it ended so.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Ended {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// A command with an environment of its own, that is killed with the test.
pub(crate) fn command(home: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcpvisor"));
    command.args(arguments).env_clear().env("HOME", home).current_dir("/").kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) async fn ended(mut command: Command, input: &str) -> Ended {
    let mut process = command.spawn().expect("started");
    let mut stdin = process.stdin.take().expect("piped");
    // One that does not read has ended.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(DEADLINE, process.wait_with_output()).await.expect("it ends").expect("our own");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("an exit code");
    Ended { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command against a daemon's socket, where the owner's key is found by itself.
pub(crate) async fn operate(gateway: &Gateway, arguments: &[&str]) -> Ended {
    operate_with(gateway, arguments, "").await
}

async fn operate_with(gateway: &Gateway, arguments: &[&str], input: &str) -> Ended {
    let mut command = command(gateway.data(), arguments);
    command.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock"));
    ended(command, input).await
}

#[tokio::test]
async fn servers_are_listed_told_of_and_waited_for() {
    let broken = json!({"command": "sh", "args": ["-c", "printf 'no \\342\\200\\256file\\n' >&2; exit 3"]});
    let gateway = TestGateway::new()
        .demo()
        .server("broken", broken)
        .server("absent", json!({"command": "no-such-program-at-all"}))
        .server("resting", with(fake(&[]), json!({"start": "on-demand"})))
        .start()
        .await;
    operate(&gateway, &["wait", "demo"]).await.expect(0);
    operate(&gateway, &["wait", "resting", "--for", "idle"]).await.expect(0);
    let refused = operate(&gateway, &["wait", "absent"]).await.expect(4);
    assert!(refused.err.contains("absent is in state failed: could not be started"), "{}", refused.err);
    let late = operate(&gateway, &["wait", "resting", "--timeout", "300ms"]).await.expect(75);
    assert!(late.err.contains("resting is in state idle, after 0.3 s"), "{}", late.err);
    gateway.wait_state("broken", "backoff").await;

    let list = operate(&gateway, &["list"]).await.expect(0).out;
    assert!(list.starts_with("NAME ") && list.lines().count() == 5, "{list}");
    assert!(list.lines().any(|line| line.starts_with("demo ") && line.contains(" ready ")), "{list}");
    assert!(list.contains("could not be started: command 'no-such-program-at-all' was not found"), "{list}");
    let document = operate(&gateway, &["ls", "-o", "json"]).await.expect(0).json();
    assert_eq!(document.as_array().map(Vec::len), Some(4), "{document}");

    let summary = operate(&gateway, &["status"]).await.expect(0).out;
    assert!(summary.contains("4 servers: ") && summary.contains("1 ready"), "{summary}");
    let status = operate(&gateway, &["status", "broken"]).await.expect(0).out;
    for part in [
        "● broken",
        "State: backoff since 20",
        "exited with code 3: no \\u{202e}file [exited]",
        " 1 stderr no ",
    ] {
        assert!(status.contains(part), "{part:?} in {status}");
    }
    let yaml = operate(&gateway, &["status", "demo", "-o", "yaml"]).await.expect(0).out;
    assert!(yaml.contains("\nname: demo\n") && yaml.contains("\nsupervision:\n  since: \"20"), "{yaml}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_restart_and_an_edit_are_waited_for_until_what_is_new_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = folder.path().join("gate");
    let script = format!(
        "until [ -e {} ]; do sleep 0.02; done; exec {}",
        gate.display(),
        env!("CARGO_BIN_EXE_fake-mcp")
    );
    std::fs::write(&gate, "").expect("opened");
    let gateway =
        TestGateway::new().server("gated", json!({"command": "sh", "args": ["-c", script]})).start().await;
    operate(&gateway, &["wait", "gated"]).await.expect(0);
    let pid = async || gateway.server("gated").await["supervision"]["pid"].clone();
    let first = pid().await;

    std::fs::remove_file(&gate).expect("shut");
    operate(&gateway, &["restart", "gated"]).await.expect(0);
    let late = operate(&gateway, &["wait", "gated", "--timeout", "300ms"]).await.expect(75);
    let told = "gated is ready as it was before, and what is to replace it is in state starting";
    assert!(late.err.contains(told), "{}", late.err);
    std::fs::write(&gate, "").expect("opened");
    operate(&gateway, &["wait", "gated"]).await.expect(0);
    let second = pid().await;
    assert_ne!(second, first, "the new child serves");

    let broken = json!({"command": "sh", "args": ["-c", "echo no licence >&2; exit 7"]}).to_string();
    operate_with(&gateway, &["edit", "gated", "--file", "-"], &broken).await.expect(0);
    gateway.call("gated", "echo", json!({"nonce": 1})).await;
    let failed = operate(&gateway, &["wait", "gated", "--timeout", "2s"]).await.expect(75);
    assert!(failed.err.contains("exited with code 7: no licence"), "{}", failed.err);
    assert_eq!(pid().await, second, "the earlier one serves on");
    let summary = operate(&gateway, &["status"]).await.expect(0).out;
    assert!(summary.contains("1 ready") && summary.contains("no licence"), "{summary}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_daemon_that_is_started_meanwhile_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    let mut wait = command(folder.path(), &["wait", "demo", "--timeout", "60s"]);
    wait.env("MCPVISOR_DATA_DIR", &data);
    let wait = tokio::spawn(async move { ended(wait, "").await });
    let gateway = TestGateway::new().data_in(&data).demo().start().await;
    wait.await.expect("it ended").expect(0);
    gateway.stop().await;
}

#[tokio::test]
async fn where_everybody_needs_a_key_the_owner_s_is_used_for_every_command() {
    let gateway = TestGateway::new().config_toml("[api]\nauth = \"required\"\n").demo().start().await;
    gateway.wait_state("demo", "ready").await;
    let added = ["add", "--no-wait", "--name", "other", "--", "sleep", "600"];
    operate(&gateway, &added).await.expect(0);
    operate(&gateway, &["rm", "other"]).await.expect(0);
    operate(&gateway, &["tools", "demo"]).await.expect(0);
    operate(&gateway, &["prompts", "demo"]).await.expect(0);
    // A key that was given is the only one.
    operate(&gateway, &["rm", "demo", "--key", "pk_live_wrong"]).await.expect(4);
    gateway.stop().await;
}

#[tokio::test]
async fn a_log_is_shown_in_part_and_followed() {
    let script = format!("echo one >&2; echo two >&2; exec {}", env!("CARGO_BIN_EXE_fake-mcp"));
    let gateway =
        TestGateway::new().server("loud", json!({"command": "sh", "args": ["-c", script]})).start().await;
    gateway.wait_state("loud", "ready").await;
    let mut follow = command(gateway.data(), &["logs", "loud", "-f"]);
    follow.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock"));
    let mut follow = follow.spawn().expect("started");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    let mut next = async || {
        let line = timeout(DEADLINE, lines.next_line()).await.expect("a line").expect("readable");
        line.expect("it goes on")
    };
    assert!(next().await.ends_with("Z 1 stderr one"));
    assert!(next().await.ends_with("Z 1 stderr two"));
    let last = operate(&gateway, &["logs", "loud", "-n", "1"]).await.expect(0).out;
    assert!(last.ends_with("Z 1 stderr two\n") && last.lines().count() == 1, "{last}");
    let none = operate(&gateway, &["logs", "loud", "--previous"]).await.expect(4);
    assert!(none.err.contains("has had no child before"), "{}", none.err);

    gateway.v1_invoke("loud", "crash", json!({"code": 3})).await.expect(502);
    // The next child is followed as well.
    while !next().await.ends_with("Z 2 stderr one") {}
    gateway.wait_state("loud", "ready").await;
    let previous = operate(&gateway, &["logs", "loud", "-p", "-o", "json"]).await.expect(0).json();
    let previous = previous.as_array().expect("lines");
    assert!(previous.len() >= 2 && previous.iter().all(|line| line["incarnation"] == 1), "{previous:?}");
    operate(&gateway, &["logs", "loud", "--since", "yesterday"]).await.expect(2);
    let future = operate(&gateway, &["logs", "loud", "--since", "2100-01-01T00:00:00Z"]).await.expect(0);
    assert_eq!(future.out, "");

    operate(&gateway, &["rm", "loud"]).await.expect(0);
    let end = timeout(DEADLINE, follow.wait()).await.expect("it ends with its server").expect("our own");
    assert_eq!(end.code(), Some(0));
    gateway.stop().await;
}

#[tokio::test]
async fn a_tool_is_found_called_and_its_answer_shown() {
    let gateway = TestGateway::new().demo().start().await;
    let tools = operate(&gateway, &["tools", "demo"]).await.expect(0).out;
    assert!(
        tools.lines().any(|line| line.starts_with("add ") && line.contains("a:number b:number")),
        "{tools}"
    );
    let one = operate(&gateway, &["tools", "demo", "add", "-o", "json"]).await.expect(0).json();
    assert_eq!((&one["server"], &one["name"]), (&json!("demo"), &json!("add")));
    assert!(operate(&gateway, &["resources"]).await.expect(0).out.contains("demo://greeting/{name}"));
    let read = operate(&gateway, &["resources", "demo", "demo://status"]).await.expect(0);
    assert_eq!(read.json()["running"], 0);
    let prompts = operate(&gateway, &["prompts", "demo"]).await.expect(0).out;
    assert!(prompts.contains("greet   name [style]"), "{prompts}");

    let call = async |arguments: &[&str]| operate(&gateway, &[&["call"], arguments].concat()).await;
    assert_eq!(call(&["demo.add", "a=2", "b=40"]).await.expect(0).out, "{\"sum\":42}\n");
    assert_eq!(call(&["demo.echo", "text=7"]).await.expect(0).out, "7\n", "a text stays a text");
    assert_eq!(
        call(&["demo.echo", "text:=\"\\u001b[2J\""]).await.expect(0).out,
        "\u{1b}[2J\n",
        "a pipe gets what was said"
    );
    let input = operate_with(&gateway, &["call", "demo.add", "--json", "-"], "{\"a\": 1, \"b\": 2}").await;
    assert_eq!(input.expect(0).out, "{\"sum\":3}\n");
    let whole = call(&["demo.add", "--json", "{\"a\": 1, \"b\": 2}", "-o", "json"]).await.expect(0).json();
    assert_eq!((&whole["result"], &whole["is_error"]), (&json!({"sum": 3}), &json!(false)));

    let failed = call(&["demo.fail", "message=out of paper"]).await.expect(5);
    assert_eq!(
        (failed.out.as_str(), failed.err.as_str()),
        ("", "mcpvisor: demo.fail answered with an error: out of paper\n")
    );
    call(&["demo.slow", "duration_ms=60000", "--timeout", "50ms"]).await.expect(75);
    for (arguments, code, told) in [
        (&["demo.ad"][..], 4, "Did you mean 'add'?"),
        (&["dmeo.add"][..], 4, "there is no server \"dmeo\"; did you mean \"demo\"?"),
        (&["demo"][..], 2, "must be SERVER.TOOL"),
        (&["demo.add", "a=x"][..], 2, "a must be a number, and \"x\" is not"),
        (&["demo.add", "a"][..], 2, "must be NAME=VALUE"),
        (&["demo.add", "--json", "[]"][..], 2, "--json must be a JSON object"),
    ] {
        let told_by = call(arguments).await.expect(code);
        assert!(told_by.err.contains(told), "{told:?} in {}", told_by.err);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn servers_are_added_edited_restarted_and_removed() {
    let gateway = TestGateway::new().start().await;
    let program = env!("CARGO_BIN_EXE_fake-mcp");
    let mark = gateway.marked(fake(&[]))["env"].clone();
    let variables: Vec<String> = mark
        .as_object()
        .expect("variables")
        .iter()
        .map(|(name, value)| format!("--env={name}={}", value.as_str().expect("a text")))
        .collect();
    let mut arguments: Vec<&str> = vec!["add", "--name", "first"];
    arguments.extend(variables.iter().map(String::as_str));
    arguments.extend(["--", program]);
    let added = operate(&gateway, &arguments).await.expect(0);
    assert!(added.out.starts_with("Added first.\nIt is ready, with "), "{}", added.out);
    let other = operate(&gateway, &["add", "--name", "first", "--", "true"]).await.expect(4);
    assert!(other.err.contains("already exists"), "{}", other.err);
    operate(&gateway, &["add", "first"]).await.expect(2);

    let before = gateway.server("first").await["supervision"]["incarnation"].as_u64();
    operate(&gateway, &["restart", "first"]).await.expect(0);
    operate(&gateway, &["wait", "first"]).await.expect(0);
    crate::support::wait_until("another child serves", DEADLINE, || async {
        let now = gateway.server("first").await["supervision"]["incarnation"].as_u64();
        (now > before).then_some(())
    })
    .await;

    let shown = gateway.get("/api/servers/first").await.expect(200);
    let same = operate_with(&gateway, &["edit", "first", "--file", "-"], &shown.to_string()).await.expect(0);
    assert!(same.err.contains("nothing was changed"), "{}", same.err);
    let mut changed = shown.clone();
    changed["args"] = json!(["--no-such-flag"]);
    let wrong = "{\"comand\": \"x\"}";
    let refused = operate_with(&gateway, &["edit", "first", "--file", "-"], wrong).await.expect(2);
    assert!(refused.err.contains("did you mean \"command\"?"), "{}", refused.err);
    operate_with(&gateway, &["edit", "first", "--file", "-"], &changed.to_string()).await.expect(0);
    assert_eq!(gateway.get("/api/servers/first").await.expect(200)["args"], json!(["--no-such-flag"]));
    // By an editor, which here is a program that changes the argument.
    let mut edit = command(gateway.data(), &["edit", "first"]);
    edit.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock")).env("XDG_RUNTIME_DIR", gateway.data());
    edit.env("EDITOR", "sed -i s/--no-such-flag/--no-other-flag/");
    let edited = ended(edit, "").await.expect(0);
    assert!(edited.err.starts_with("changed args of first; "), "{}", edited.err);
    assert_eq!(gateway.get("/api/servers/first").await.expect(200)["args"], json!(["--no-other-flag"]));
    let drafts = std::fs::read_dir(gateway.data()).expect("readable").flatten();
    let left = drafts.filter(|entry| entry.file_name().to_string_lossy().contains("edit")).count();
    assert_eq!(left, 0, "no draft is left");

    operate(&gateway, &["rm", "first"]).await.expect(0);
    let gone = operate(&gateway, &["rm", "first"]).await.expect(4);
    assert!(gone.err.contains("there is no server \"first\", nor any other"), "{}", gone.err);
    gateway.stop().await;
}

#[tokio::test]
async fn keys_are_made_used_replaced_and_revoked_and_what_was_done_is_told() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.wait_state("demo", "ready").await;
    let made = operate(
        &gateway,
        &[
            "keys",
            "create",
            "--name",
            "Bob",
            "--servers",
            "demo",
            "--tools",
            "echo,add",
            "--rate",
            "50",
            "--expires",
            "30d",
            "--member",
            "user_bob",
            "-o",
            "json",
        ],
    );
    let made = made.await.expect(0).json();
    assert_eq!(
        (&made["permissions"]["tools"], &made["limits"]["requests_per_second"]),
        (&json!(["echo", "add"]), &json!(50))
    );
    assert!(made["expires_at"].is_string(), "{made}");
    let address = format!("http://{}", gateway.address());
    let key = made["key"].as_str().expect("a key");
    let bob = async |arguments: &[&str], key: &str| {
        let mut command = command(gateway.data(), arguments);
        command.env("MCPVISOR_URL", &address).env("MCPVISOR_KEY", key);
        ended(command, "").await
    };
    assert_eq!(bob(&["call", "demo.echo", "text=hi"], key).await.expect(0).out, "hi\n");
    let refused = bob(&["call", "demo.fail", "message=x"], key).await.expect(4);
    assert!(refused.err.contains("may not use tool 'fail'"), "{}", refused.err);
    bob(&["audit"], key).await.expect(4);

    let listed = operate(&gateway, &["keys", "list", "--status", "active"]).await.expect(0).out;
    assert!(
        listed
            .lines()
            .any(|line| line.contains(" Bob ") && line.contains("echo,add") && line.contains("50/s")),
        "{listed}"
    );
    let renewed = operate(&gateway, &["keys", "rotate", "Bob", "--quiet"]).await.expect(0).out;
    let stale = bob(&["tools", "demo"], key).await.expect(4);
    assert!(!stale.err.contains(key), "{}", stale.err);
    bob(&["tools", "demo"], renewed.trim()).await.expect(0);
    operate(&gateway, &["keys", "rm", "Bob"]).await.expect(0);
    bob(&["tools", "demo"], renewed.trim()).await.expect(4);
    operate(&gateway, &["keys", "rm", "Bob"]).await.expect(4);

    let audit = operate(&gateway, &["audit", "--action", "key", "-n", "3"]).await.expect(0).out;
    let acts: Vec<&str> = audit.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(acts, ["key.revoke", "key.rotate", "key.create"], "{audit}");
    let usage = operate(&gateway, &["usage", "--period", "day", "--by", "tool"]).await.expect(0);
    assert!(usage.err.starts_with("1 call"), "{}", usage.err);
    assert!(usage.out.lines().any(|line| line.starts_with("demo    echo  1 ")), "{}", usage.out);
    // The first lists are written down within a second or two.
    wait_until("its tools are approved", DEADLINE, || async {
        let pins = operate(&gateway, &["pins", "diff", "demo"]).await.expect(0).out;
        (pins == "demo: 6 tools as approved\n").then_some(())
    })
    .await;
    operate(&gateway, &["pins", "approve", "demo"]).await.expect(2);
    gateway.stop().await;
}

#[tokio::test]
async fn without_a_daemon_or_a_key_a_command_says_what_to_do() {
    let home = tempfile::tempdir().expect("a directory");
    let gone = home.path().join("gone.sock");
    let mut nobody = command(home.path(), &["list"]);
    nobody.env("MCPVISOR_SOCKET", &gone);
    let nobody = ended(nobody, "").await.expect(69);
    assert!(
        nobody.err.contains("no daemon answers at ") && nobody.err.contains("`mcpvisor serve`"),
        "{}",
        nobody.err
    );

    let gateway = TestGateway::new().demo().start().await;
    let address = format!("http://{}", gateway.address());
    let without = ended(command(home.path(), &["list", "--url", &address]), "").await.expect(4);
    assert!(without.err.contains("MCPVISOR_KEY or --key"), "{}", without.err);
    let wrong = ended(command(home.path(), &["list", "--url", &address, "--key", "pk_live_none"]), "").await;
    assert!(!wrong.expect(4).err.contains("pk_live_none"));
    for line in [
        &["list", "--output", "xml"][..],
        &["wait"],
        &["wait", "demo", "--for", "redy"],
        &["logs"],
        &["call"],
    ] {
        ended(command(home.path(), line), "").await.expect(2);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_terminal_is_not_steered_by_what_a_server_says() {
    let gateway = TestGateway::new().demo().start().await;
    gateway.wait_state("demo", "ready").await;
    let socket = gateway.data().join("mcpvisor.sock");
    let mut terminal = tokio::process::Command::from(crate::support::terminal::in_a_terminal());
    terminal.arg(env!("CARGO_BIN_EXE_mcpvisor")).args([
        "call",
        "demo.echo",
        "text:=\"a\\u001b[2J\\u009bb\\u202ec\"",
    ]);
    terminal.env("MCPVISOR_SOCKET", socket).env("NO_COLOR", "1").kill_on_drop(true);
    let output = timeout(DEADLINE, terminal.output()).await.expect("it ends").expect("started");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        shown.trim_end(),
        "a\\u{1b}[2J\\u{9b}b\\u{202e}c",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn calls_are_shown_one_by_one_followed_and_summed_across() {
    let gateway = TestGateway::new().demo().start().await;
    operate(&gateway, &["wait", "demo"]).await.expect(0);
    operate(&gateway, &["call", "demo.echo", "text=x"]).await.expect(0);
    operate(&gateway, &["call", "demo.fail"]).await.expect(5);
    let shown = operate(&gateway, &["activity"]).await.expect(0).out;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() == 3 && lines[0].starts_with("STARTED "), "{shown}");
    assert!(lines[1].contains(" fail ") && lines[1].contains(" tool_error "), "{shown}");
    assert!(lines[2].contains(" owner ") || lines[2].contains(" demo "), "{shown}");
    let one =
        operate(&gateway, &["activity", "-n", "1", "--outcome", "ok", "--since", "1h", "-o", "json"]).await;
    let one = one.expect(0).json();
    assert_eq!(
        (&one[0]["tool"], &one[0]["outcome"], one.as_array().map(Vec::len)),
        (&json!("echo"), &json!("ok"), Some(1))
    );
    let wrong = operate(&gateway, &["activity", "--outcome", "timeout"]).await.expect(4);
    assert!(wrong.err.contains("did you mean 'timed_out'?"), "{}", wrong.err);

    let mut follow = command(gateway.data(), &["activity", "-f", "-n", "0", "--tool", "echo"]);
    follow.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock"));
    let mut follow = follow.spawn().expect("started");
    let mut lines = BufReader::new(follow.stdout.take().expect("piped")).lines();
    // Calls until one comes: nothing says when it has begun to follow.
    let line = async {
        loop {
            operate(&gateway, &["call", "demo.echo", "text=y"]).await.expect(0);
            let next = timeout(std::time::Duration::from_millis(300), lines.next_line()).await;
            if let Ok(line) = next {
                break line.expect("readable").expect("it goes on");
            }
        }
    };
    let line = timeout(DEADLINE, line).await.expect("a line");
    assert!(line.contains(" demo.echo ok ") && line.ends_with(" ms"), "{line}");

    let usage = operate(&gateway, &["usage", "--since", "1h", "--by", "server,tool"]).await.expect(0);
    assert!(usage.err.contains("by whole minutes"), "{}", usage.err);
    assert!(usage.out.starts_with("SERVER  TOOL  CALLS"), "{}", usage.out);
    assert!(usage.out.lines().any(|line| line.starts_with("demo    fail  1 ")), "{}", usage.out);
    let steps =
        operate(&gateway, &["usage", "--since", "1h", "--by", "server", "--step", "1h"]).await.expect(0);
    assert!(steps.out.starts_with("FROM ") && steps.out.contains(" demo "), "{}", steps.out);
    operate(&gateway, &["usage", "--by", "day,tool"]).await.expect(2);
    let audit = operate(&gateway, &["audit", "--until", "2000-01-01", "-o", "json"]).await.expect(0).json();
    assert_eq!(audit, json!([]));
    gateway.stop().await;
}

#[tokio::test]
async fn servers_are_stopped_started_switched_off_and_on_and_waited_for() {
    let gateway =
        TestGateway::new().demo().server("broken", json!({"command": "no-such-program"})).start().await;
    operate(&gateway, &["wait", "demo"]).await.expect(0);
    let stopped = operate(&gateway, &["stop", "demo", "--wait"]).await.expect(0);
    assert!(stopped.err.contains("demo is in state stopped"), "{}", stopped.err);
    let refused = operate(&gateway, &["call", "demo.echo", "text=x"]).await.expect(4);
    assert!(refused.err.contains("`mcpvisor start`"), "{}", refused.err);
    assert!(operate(&gateway, &["list"]).await.expect(0).out.contains(" stopped "));
    operate(&gateway, &["start", "demo", "--wait", "--timeout", "30s"]).await.expect(0);
    operate(&gateway, &["call", "demo.echo", "text=x"]).await.expect(0);
    operate(&gateway, &["disable", "demo", "--wait"]).await.expect(0);
    operate(&gateway, &["start", "demo"]).await.expect(4);
    operate(&gateway, &["enable", "demo", "--wait"]).await.expect(0);
    let vain = operate(&gateway, &["start", "broken", "--wait"]).await.expect(4);
    assert!(vain.err.contains("broken is in state failed"), "{}", vain.err);
    operate(&gateway, &["stop", "nobody"]).await.expect(4);
    gateway.stop().await;
}

#[tokio::test]
async fn servers_leave_as_a_file_that_is_taken_again() {
    let gateway = TestGateway::new()
        .server("kept", with(fake(&[]), json!({"start": "on-demand"})))
        .server("other", json!({"url": "http://127.0.0.1:9/mcp", "headers": {"X-Token": "${env:TOKEN}"}}))
        .start()
        .await;
    let all = operate(&gateway, &["export"]).await.expect(0);
    let document = all.json();
    assert_eq!(
        document["mcpServers"]["other"]["headers"]["X-Token"], "${env:TOKEN}",
        "a reference stays one"
    );
    assert_eq!(document["mcpServers"]["kept"]["mcpvisor"]["start"], "on-demand");
    assert!(all.err.contains("as they were written: kept.env."), "{}", all.err);
    let file = gateway.data().join("out.json");
    let path = file.to_str().expect("UTF-8");
    let one = operate(&gateway, &["export", "other", "--to", path]).await.expect(0);
    assert_eq!(one.out, format!("wrote 1 server to {path}\n"));
    assert!(one.err.contains("other.env.") && !one.err.contains("X-Token"), "{}", one.err);
    let check = ended(command(gateway.data(), &["serve", "--check", "--servers", path]), "").await.expect(0);
    assert!(check.out.contains("other"), "{}", check.out);
    let taken = ended(command(gateway.data(), &["import", "--from", path, "--dry-run"]), "").await.expect(0);
    assert!(taken.out.contains("other") && !taken.out.contains("kept"), "{}", taken.out);
    let yaml = operate(&gateway, &["export", "other", "-o", "yaml"]).await.expect(0).out;
    assert!(yaml.starts_with("mcpServers:\n  other:\n    url: "), "{yaml}");
    let unknown = operate(&gateway, &["export", "othr"]).await.expect(4);
    assert!(unknown.err.contains("did you mean \"other\"?"), "{}", unknown.err);
    gateway.stop().await;
}

#[tokio::test]
async fn the_dashboard_is_found_and_opened_without_a_key_on_the_way() {
    let gateway = TestGateway::new().demo().start().await;
    let url = format!("http://{}", gateway.address());
    let browser = gateway.data().join("browser");
    std::fs::write(&browser, "#!/bin/sh\necho \"$@\" > \"$0.opened\"\n").expect("written");
    std::fs::set_permissions(&browser, std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
    let mut open = command(gateway.data(), &["open", "--url", &url]);
    open.env("BROWSER", &browser).env("MCPVISOR_KEY", gateway.key());
    let opened = ended(open, "").await.expect(0);
    assert_eq!(opened.out, format!("{url}/ui/\n"));
    assert!(opened.err.contains("sign in there with a key"), "{}", opened.err);
    let seen = crate::support::wait_until("the browser is started", DEADLINE, || async {
        std::fs::read_to_string(gateway.data().join("browser.opened"))
            .ok()
            .filter(|seen| seen.ends_with('\n'))
    })
    .await;
    assert_eq!(seen, format!("{url}/ui/\n"), "it gets the address and nothing else");
    let near = ended(command(gateway.data(), &["open", "--url", &url]), "").await.expect(0);
    assert!(
        near.err.contains("needs no key there") && near.err.contains("there is no browser here"),
        "{}",
        near.err
    );
    let printed = ended(command(gateway.data(), &["open", "--print", "--url", &url, "-o", "json"]), "").await;
    assert_eq!(printed.expect(0).json(), json!({"address": format!("{url}/ui/"), "needs_key": false}));
    let unknown = operate(&gateway, &["open"]).await.expect(2);
    assert!(
        unknown.err.contains("give it by --url"),
        "its settings are not those of this test: {}",
        unknown.err
    );
    gateway.stop().await;
}

#[tokio::test]
async fn top_shows_what_servers_do_once_and_as_data() {
    let gateway = TestGateway::new()
        .demo()
        .server("idle", with(fake(&[]), json!({"start": "on-demand"})))
        .start()
        .await;
    operate(&gateway, &["wait", "demo"]).await.expect(0);
    operate(&gateway, &["call", "demo.echo", "text=x"]).await.expect(0);
    let shown = operate(&gateway, &["top", "--once", "--sort", "name"]).await.expect(0).out;
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines[0].starts_with("NAME  STATE  CALLS/S") && lines.len() == 3, "{shown}");
    assert!(lines[1].starts_with("demo  ready") && lines[1].contains(" MiB "), "{shown}");
    let rows = operate(&gateway, &["top", "-o", "json"]).await.expect(0).json();
    let demo = rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == "demo").cloned());
    let demo = demo.expect("listed");
    assert!(
        demo["last_active"].is_string() && demo["rss_bytes"].as_u64() > Some(0) && demo["calls"] == 1,
        "{demo}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn top_gives_the_terminal_back_whichever_way_it_ends() {
    let gateway = TestGateway::new().demo().start().await;
    operate(&gateway, &["wait", "demo"]).await.expect(0);
    let own = env!("CARGO_BIN_EXE_mcpvisor");
    let ways: [(&[&str], &str); 3] = [
        (&[own, "top"], "q"),
        (&["timeout", "--foreground", "-s", "TERM", "4", own, "top"], ""),
        (&["timeout", "--foreground", "-s", "INT", "4", own, "top"], ""),
    ];
    for (line, keys) in ways {
        let mut terminal = tokio::process::Command::from(crate::support::terminal::in_a_terminal());
        // A shell afterwards says whether the terminal is as it was.
        terminal.args([
            "sh",
            "-c",
            "before=$(stty -g); \"$@\"; [ \"$before\" = \"$(stty -g)\" ] && echo as-before",
            "sh",
        ]);
        terminal.args(line).env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock")).env("NO_COLOR", "1");
        terminal.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = terminal.spawn().expect("started");
        let mut stdin = process.stdin.take().expect("piped");
        let mut out = process.stdout.take().expect("piped");
        let mut shown = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            let mut pressed = keys.is_empty();
            loop {
                let count = tokio::io::AsyncReadExt::read(&mut out, &mut buffer).await.expect("readable");
                shown.extend_from_slice(&buffer[..count]);
                let text = String::from_utf8_lossy(&shown);
                if !pressed && text.contains("demo") {
                    stdin.write_all(keys.as_bytes()).await.expect("taken");
                    pressed = true;
                }
                if count == 0 || text.contains("as-before") {
                    return text.into_owned();
                }
            }
        };
        let shown = timeout(DEADLINE, read).await.expect("it ends");
        let (enter, leave) = ("\u{1b}[?1049h\u{1b}[?25l", "\u{1b}[?25h\u{1b}[?1049l");
        let place =
            |part: &str| shown.rfind(part).unwrap_or_else(|| panic!("{line:?}: no {part:?} in {shown:?}"));
        assert!(place(enter) < place("demo") && place("demo") < place(leave), "{line:?}: {shown:?}");
        assert!(place(leave) < place("as-before"), "{line:?}: {shown:?}");
    }
    gateway.stop().await;
}
