//! An environment that nobody wished for: a clock that is wrong, a lock that a leftover holds, files that
//! do not answer, names made to mislead, dates beyond the calendar, signals as somebody left them, and
//! processes that shed whatever they could be known by.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::processes::{self, Process};
use crate::support::terminal::in_a_terminal;
use crate::support::{DEADLINE, wait_until};

const DAY: u64 = 86_400;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Has a data directory remember that it was this late: for the next start, the clock has been set.
fn remember(data: &Path, seconds: u64) {
    let digest = Sha256::digest(seconds.to_string().as_bytes());
    let sum: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    fs::write(data.join("clock"), format!("{seconds} {sum}\n")).expect("ours");
}

async fn problems(gateway: &Gateway) -> String {
    gateway.get("/readyz").await.expect(200)["problems"].to_string()
}

async fn metric(gateway: &Gateway, name: &str) -> String {
    let text = gateway.get("/metrics").await.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).map(str::to_owned);
    line.unwrap_or_else(|| panic!("there is no {name}"))
}

#[tokio::test]
async fn a_start_with_a_wrong_clock_says_so_and_keeps_expired_what_was_expired() {
    let mut gateway = TestGateway::new().start().await;
    let at = |seconds: u64| {
        let at = time::OffsetDateTime::from_unix_timestamp(seconds.cast_signed()).expect("in range");
        at.format(&time::format_description::well_known::Rfc3339).expect("writable")
    };
    let made = gateway.post("/v1/api-keys", &json!({"name": "k", "expires_at": at(now() + 2 * DAY)})).await;
    let key = made.expect(201)["data"]["key"].as_str().expect("a key").to_owned();
    let use_it = async |gateway: &Gateway| ask(gateway, "GET", "/v1/mcps").key(&key).send().await;
    use_it(&gateway).await.expect(200);
    assert_eq!(metric(&gateway, "mcpvisor_clock_in_doubt").await, "mcpvisor_clock_in_doubt 0");
    assert!(gateway.terminate().await.success());
    let kept = fs::read_to_string(gateway.data().join("clock")).expect("the time is kept");
    assert!(
        kept.split(' ').next().and_then(|text| text.parse::<u64>().ok()).is_some_and(|at| at <= now() + 1)
    );

    // Behind by ten days: the key's two days are over, whatever the clock says.
    remember(gateway.data(), now() + 10 * DAY + 3_600);
    gateway.restart().await;
    assert!(problems(&gateway).await.contains("it is 10 days behind the latest time that was seen"));
    assert_eq!(metric(&gateway, "mcpvisor_clock_in_doubt").await, "mcpvisor_clock_in_doubt 1");
    assert!(gateway.output().contains("THE CLOCK IS NOT BELIEVED"), "{}", gateway.output());
    assert_eq!(use_it(&gateway).await.expect(401)["error"]["code"], "expired_key");
    assert!(gateway.terminate().await.success());

    // Ahead by 100 days: not believed at once, and the time that is kept does not follow.
    remember(gateway.data(), now() - 100 * DAY);
    gateway.restart().await;
    assert!(problems(&gateway).await.contains("it is 100 days ahead of the latest time that was seen"));
    assert!(gateway.terminate().await.success());
    let kept = fs::read_to_string(gateway.data().join("clock")).expect("the time is kept");
    assert!(
        kept.split(' ')
            .next()
            .and_then(|text| text.parse::<u64>().ok())
            .is_some_and(|at| at < now() - 99 * DAY)
    );

    // A file that is damaged says nothing.
    fs::write(gateway.data().join("clock"), "99999999999 00000000\n").expect("ours");
    gateway.restart().await;
    assert_eq!(gateway.get("/readyz").await.expect(200)["status"], "ready");
    use_it(&gateway).await.expect(200);
    gateway.stop().await;
}

/// What a process carries in its environment by which the daemon knows its children, without the child's number.
fn mark(pid: &Value) -> String {
    let environment = fs::read(format!("/proc/{pid}/environ")).expect("it runs");
    let text = String::from_utf8_lossy(&environment);
    let mark = text.split('\0').find_map(|entry| entry.strip_prefix("MCPVISOR_MARK=")).expect("it is marked");
    mark.split_once('.').expect("a number").0.to_owned()
}

/// A process that has the data directory's lock.
async fn holding(data: &Path, mark: &str) -> Child {
    let holder = Command::new("flock")
        .args(["--no-fork".as_ref(), data.join("lock").as_os_str()])
        .args(["sleep", "600"])
        .env("MCPVISOR_MARK", mark)
        .stdin(Stdio::null())
        .spawn()
        .expect("util-linux is there");
    wait_until("the lock is taken", DEADLINE, || async {
        let asked = Command::new("flock").arg("--nonblock").arg(data.join("lock")).arg("true").status();
        (!asked.expect("it runs").success()).then_some(())
    })
    .await;
    holder
}

#[tokio::test]
async fn a_leftover_that_holds_the_lock_is_ended_and_any_other_holder_is_named() {
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    let mark = format!("{}.7", mark(&gateway.wait_state("fake", "ready").await["supervision"]["pid"]));
    assert!(gateway.terminate().await.success());
    let mut leftover = holding(gateway.data(), &mark).await;
    gateway.restart().await;
    assert!(gateway.output().contains("ended what an earlier run had left behind with the lock"));
    assert!(!leftover.wait().expect("our own child").success(), "it was killed");
    assert!(gateway.terminate().await.success());

    let mut other = holding(gateway.data(), "00000000-0000-4000-8000-000000000000.1").await;
    let (status, said) = gateway.restart_refused().await;
    assert_eq!(status.code(), Some(74));
    assert!(said.contains(&format!("process {} (sleep) holds it", other.id())), "{said}");
    assert!(other.try_wait().expect("our own child").is_none(), "it is spared");
    other.kill().expect("ended");
    other.wait().expect("reaped");
    gateway.restart().await;
    gateway.stop().await;
}

/// Waits until there is a server of this name.
async fn arrives(gateway: &Gateway, name: &str) {
    wait_until("the server is there", DEADLINE, || async {
        (gateway.get(&format!("/v1/mcps/{name}")).await.status == 200).then_some(())
    })
    .await;
}

fn pipe(path: &Path) {
    nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("made");
}

#[tokio::test]
async fn a_file_that_blocks_stops_no_start_and_is_named() {
    let piped = || TestGateway::new().prepare(|data| pipe(&data.join("pipe")));
    for (what, arguments, config) in [
        ("pipe: cannot be read: it is not a regular file", &["--servers", "pipe"][..], ""),
        ("/dev/zero: cannot be read: it is not a regular file", &["--servers", "/dev/zero"][..], ""),
        ("cannot be read: it is a directory", &["--servers", "."][..], ""),
        (
            "which cannot be read: it is not a regular file",
            &[][..],
            "[http]\ntls_cert = \"data/pipe\"\ntls_key = \"data/pipe\"\n",
        ),
    ] {
        let (status, said) = piped().arguments(arguments).config_toml(config).start_refused().await;
        assert_eq!(status.code(), Some(78), "{what}: {said}");
        assert!(said.contains(what), "{what}: {said}");
    }
    // As the last one counts, the configuration file itself.
    for check in [&[][..], &["--check"][..]] {
        let output = Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
            .args(["serve", "--port", "0", "--servers", "/dev/null", "--config", "/dev/tty"])
            .args(check)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(78), "{output:?}");
    }
}

#[tokio::test]
async fn a_servers_file_that_begins_to_block_is_said_and_nothing_stops() {
    let gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    let before = gateway.child("fake").await;
    let file = gateway.data().parent().expect("beside it").join("servers.json");
    let good = fs::read_to_string(&file).expect("there");
    fs::remove_file(&file).expect("ours");
    pipe(&file);
    gateway.signal(Signal::SIGHUP);
    wait_until("it is said", DEADLINE, || async {
        gateway.output().contains("cannot be read: it is not a regular file").then_some(())
    })
    .await;
    pipe(&gateway.data().join("import"));
    let refused = gateway.post("/api/config/import", &json!({"filepath": "import"})).await;
    assert_eq!(refused.expect(500)["error"], "Failed to read file: it is not a regular file");
    assert_eq!(gateway.child("fake").await, before, "nothing has changed");
    fs::remove_file(&file).expect("ours");
    fs::write(&file, good.replace("\"fake\"", "\"other\"")).expect("written");
    gateway.signal(Signal::SIGHUP);
    arrives(&gateway, "other").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_servers_file_full_of_problems_is_a_short_list() {
    let (status, said) = TestGateway::new()
        .prepare(|data| {
            let entries: serde_json::Map<String, Value> =
                (0..20_000).map(|n| (format!(" {n}{}", "x".repeat(500)), json!(7))).collect();
            fs::write(data.join("bad.json"), json!({"mcpServers": entries}).to_string()).expect("written");
        })
        .arguments(&["--servers", "bad.json"])
        .start_refused()
        .await;
    assert_eq!(status.code(), Some(78));
    assert!(said.len() < 100_000, "{} bytes", said.len());
    assert!(said.contains("more problems, which are not listed"), "{said}");
    assert!(
        said.contains("40000 problems in") || said.contains("40001 problems in"),
        "the whole number is told"
    );
}

#[tokio::test]
async fn a_name_that_can_be_taken_for_another_is_refused_and_an_old_one_goes_on() {
    let quiet = || json!({"command": "true", "disabled": true});
    let gateway = TestGateway::new()
        .server("paypal", quiet())
        .server("m\u{430}il", quiet())
        .server("mail", quiet())
        .start()
        .await;
    let id = gateway.server("paypal").await["id"].as_str().expect("an id").to_owned();
    let output = gateway.output();
    assert!(
        output.contains("a server's name is misleading: it looks like the name of another server"),
        "{output}"
    );
    let names = [
        ("safe\u{202e}gnp", "found U+202E"),
        ("pay\u{200b}pal2", "found U+200B"),
        ("pay\u{3164}pal3", "found U+3164"),
        ("tag\u{e0041}", "found U+E0041"),
        ("p\u{430}ypal", "looks like the name of another server, 'paypal'"),
        ("rnail", "looks like the name of another server"),
        (id.as_str(), "must not be the id of another server"),
    ];
    for (name, reason) in names {
        let refused = gateway.post("/api/servers", &json!({"name": name, "command": "true"})).await;
        assert!(
            refused.expect(400)["error"].as_str().is_some_and(|text| text.contains(reason)),
            "{name:?}: {refused:?}"
        );
        let file = json!({"mcpServers": {"paypal": quiet(), "mail": quiet(), name: quiet()}});
        fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
        let refused = gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await;
        assert!(
            refused.expect(400)["error"].as_str().is_some_and(|text| text.contains(reason)),
            "{name:?}: {refused:?}"
        );
    }
    for name in ["k\u{202e}", "k\u{200d}k"] {
        let refused = gateway.post("/v1/api-keys", &json!({"name": name})).await;
        assert!(refused.text().contains("not seen"), "{}", refused.text());
        refused.expect(400);
    }
    // What is there already can be kept, also by an import, and be added again.
    let file =
        json!({"mcpServers": {"paypal": quiet(), "m\u{430}il": quiet(), "mail": quiet(), "größer": quiet()}});
    fs::write(gateway.data().join("import.json"), file.to_string()).expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "import.json"})).await.expect(200);
    gateway.post("/api/servers", &json!({"name": "日本語", "command": "true"})).await.expect(200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_date_at_the_edge_of_the_calendar_has_an_answer_wherever_it_is_given() {
    let gateway = TestGateway::new().start().await;
    let dates = [
        ("9999-12-31", 201),
        ("9999-12-31T23:59:59Z", 201),
        ("2038-01-19T03:14:08Z", 201),
        ("2106-02-07", 201),
        ("9998-12-31T23:59:60Z", 201),
        ("9999-12-31T23:59:59-14:00", 400),
        ("10000-01-01", 400),
        ("+10000-01-01T00:00:00Z", 400),
        ("0000-01-01", 400),
        ("0000-01-01T00:00:00Z", 400),
        ("-0001-01-01", 400),
        ("1969-12-31T23:59:59Z", 400),
        ("2026-02-30", 400),
        ("2030-06-15T12:00:60Z", 400),
        ("", 400),
        ("18446744073709551615", 400),
        ("NaN", 400),
    ];
    for (date, status) in dates {
        let reply = gateway.post("/v1/api-keys", &json!({"name": "k", "expires_at": date})).await;
        // What is no date is 400, and one that is over 422.
        let seen = if reply.status == 422 { 400 } else { reply.status };
        assert_eq!(seen, status, "{date}: {}", reply.text());
        if status == 201 {
            let shown = reply.json()["data"]["expires_at"].as_str().expect("shown").to_owned();
            assert_eq!(shown[..4], date[..4], "{date} is shown as {shown}");
        }
        for other in ["9999-12-31", "1970-01-01", "2026-11-28T00:00:00Z", date] {
            for path in ["/v1/usage", "/v1/usage/history"] {
                let date = date.replace('+', "%2B");
                for query in [
                    format!("start_date={date}&end_date={other}"),
                    format!("start_date={other}&end_date={date}"),
                ] {
                    let reply = gateway.get(&format!("{path}?{query}")).await;
                    assert!([200, 400].contains(&reply.status), "{path}?{query}: {}", reply.text());
                }
            }
        }
    }
    for number in [json!(0), json!(-1), json!(u64::MAX), json!(1e300), json!(null), json!([])] {
        let reply = gateway.post("/v1/api-keys", &json!({"name": "k", "expires_at": number})).await;
        assert!([201, 400, 422].contains(&reply.status), "{number}: {}", reply.text());
    }
    gateway.stop().await;
}

/// How a start and a check of the same configuration end.
fn verdicts(directory: &Path, arguments: &[&str], config: &str) -> (bool, bool, String) {
    fs::write(directory.join("c.toml"), config).expect("written");
    let run = |extra: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
            .args(["serve", "--config", "c.toml"])
            .args(arguments)
            .args(extra)
            .current_dir(directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs")
    };
    let made = || fs::read_dir(directory).expect("there").count();
    let before = made();
    let check = run(&["--check"]).wait_with_output().expect("it ends");
    assert_eq!(made(), before, "a check makes nothing");
    let mut start = run(&[]);
    let mut line = String::new();
    // The banner is the first thing on its output, once it listens; or nothing, when it refuses.
    let mut output = std::io::BufReader::new(start.stdout.take().expect("piped"));
    std::io::BufRead::read_line(&mut output, &mut line).expect("readable");
    let started = line.starts_with("mcpvisor ");
    if started {
        kill(Pid::from_raw(start.id().cast_signed()), Signal::SIGTERM).expect("it runs");
    }
    let _ = std::io::Read::read_to_end(&mut output, &mut Vec::new());
    let start = start.wait_with_output().expect("it ends");
    let text = [check.stderr, start.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .join("--- start\n");
    (check.status.success(), started, text)
}

#[test]
fn what_the_check_passes_starts_and_what_it_refuses_does_not() {
    let outer = tempfile::tempdir().expect("a directory");
    let directory = outer.path();
    fs::write(directory.join("file"), "").expect("written");
    fs::write(directory.join("good.json"), r#"{"mcpServers": {"a": {"command": "true", "disabled": true}}}"#)
        .expect("written");
    fs::write(
        directory.join("again.json"),
        r#"{"mcpServers": {"a": {"command": "false", "disabled": true}}}"#,
    )
    .expect("written");
    std::os::unix::fs::symlink("nowhere", directory.join("dangling")).expect("made");
    let members = "[[members]]\nid = \"a\"\nrole = \"member\"\n";
    let table: &[(&[&str], &str, bool)] = &[
        (&[], "", true),
        (&["--data-dir", "new/in/new"], "", true),
        (&["--data-dir", "file"], "", false),
        (&["--data-dir", "file/below"], "", false),
        (&["--data-dir", "dangling"], "", false),
        (&["--data-dir", "/proc/mcpvisor-data"], "", false),
        (&["--data-dir", "/sys/mcpvisor-data"], "", false),
        (&["--host", "localhost"], "", true),
        (&["--host", "203.0.113.7"], "", false),
        (&["--host", "2001:db8::7"], "", false),
        (&["--servers", "good.json"], "", true),
        (&["--servers", "good.json", "--servers", "again.json"], "", true),
        (&["--servers", "good.json", "--servers", "good.json"], "", false),
        (&["--servers", "gone.json"], "", false),
        (&["--servers", "."], "", false),
        (&[], "[http]\ntls_cert = \"file\"\ntls_key = \"file\"\n", false),
        (&[], "[http]\ntls_cert = \"gone\"\n", false),
        (&[], members, false),
        (&[], "[limits]\ncalls_per_key = 0\n", false),
        (&[], "[limits]\ncalls_per_key = 1000000\n", true),
        (&[], "[api]\nconfig_root = \"not/there\"\n", true),
        (&[], "[log]\nlevel = \"loud\"\n", false),
        (&[], "[llm]\napi_key = \"${env:NOT_SET}\"\n", false),
        (&[], "[llm]\napi_key = \"${file:/not/there}\"\n", true),
        (&[], "[organization]\nplan = \"none\"\n", false),
        (&[], "[server]\nworkers = 0\n", false),
    ];
    for (number, (arguments, config, good)) in table.iter().enumerate() {
        let data = format!("data-{number}");
        let mut all: Vec<&str> =
            if arguments.contains(&"--data-dir") { Vec::new() } else { vec!["--data-dir", &data] };
        all.extend(arguments.iter().copied());
        if !arguments.contains(&"--servers") {
            all.extend(["--servers", "good.json"]);
        }
        if !config.contains("port") {
            all.extend(["--port", "0"]);
        }
        let (checked, started, text) = verdicts(directory, &all, config);
        assert_eq!((checked, started), (*good, *good), "{arguments:?} {config}: {text}");
    }
}

/// `/proc/PID/status`, of which a line.
fn status(pid: i32, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a known line");
    line.trim().to_owned()
}

#[tokio::test]
async fn signals_blocked_or_ignored_at_the_start_are_heard_and_not_by_children() {
    let mut gateway =
        TestGateway::new().server("fake", fake(&[])).config_toml("[server]\nwatch = false\n").start().await;
    assert!(gateway.terminate().await.success());
    gateway
        .restart_through(
            "exec env --ignore-signal=TERM,CHLD,HUP,USR1,ALRM,INT --block-signal=TERM,HUP,CHLD,USR2,INT \"$0\" \"$@\"",
        )
        .await;
    gateway.wait_state("fake", "ready").await;
    let child = gateway.child("fake").await;
    assert_eq!(status(child.pid, "SigBlk:"), "0000000000000000");
    // SIGPIPE is ignored by the child itself, as by every program in Rust; the two that belong to the C
    // library cannot be changed.
    let ignored = u64::from_str_radix(&status(child.pid, "SigIgn:"), 16).expect("a mask");
    assert_eq!(ignored & !(1 << 12 | 3 << 31), 0, "{ignored:#x}");
    // How a child ends is not kept from us, although the daemon was started with SIGCHLD ignored.
    child.kill();
    wait_until("the end is known", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        seen["supervision"]["last_exit"].as_str().is_some_and(|exit| exit.contains("SIGKILL")).then_some(())
    })
    .await;
    gateway.wait_state("fake", "ready").await;
    // SIGHUP does what it is for; SIGINT stays ignored; SIGTERM ends the daemon, in order.
    let file = gateway.data().parent().expect("beside it").join("servers.json");
    let text = fs::read_to_string(&file).expect("there").replace("\"fake\"", "\"other\"");
    fs::write(&file, text).expect("written");
    gateway.signal(Signal::SIGINT);
    gateway.signal(Signal::SIGHUP);
    arrives(&gateway, "other").await;
    gateway.stop().await;
}

#[tokio::test]
async fn started_by_nohup_the_daemon_outlives_its_terminal() {
    let outer = tempfile::tempdir().expect("a directory");
    let mark = format!("TEST_OF_NOHUP={}", uuid::Uuid::new_v4());
    let (name, value) = mark.split_once('=').expect("a variable");
    fs::write(outer.path().join("servers.json"), r#"{"mcpServers": {}}"#).expect("written");
    let mut terminal = in_a_terminal()
        // A shell that keeps the terminal open, which the hang-up goes to and whatever it runs.
        .args(["sh", "-c", "nohup \"$0\" \"$@\" & wait"])
        .args([env!("CARGO_BIN_EXE_mcpvisor"), "serve", "--port", "0"])
        .args(["--servers", "servers.json", "--data-dir", "data"])
        .current_dir(outer.path())
        .env(name, value)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("python3 runs");
    let daemon = || {
        processes::with_environment(&mark)
            .into_iter()
            .find(|(_, line)| line.contains("mcpvisor serve") && !line.contains("nohup"))
    };
    let log = || fs::read_to_string(outer.path().join("nohup.out")).unwrap_or_default();
    let pid = wait_until("the daemon serves", DEADLINE, || async {
        log().contains("servers").then(daemon).flatten()
    })
    .await
    .0;
    let leader = Pid::from_raw(i32::try_from(terminal.id()).expect("a pid"));
    kill(leader, Signal::SIGKILL).expect("it is there");
    terminal.wait().expect("our own child");
    // The hang-up has come when it is answered.
    wait_until("the files are read again", DEADLINE, || async {
        log().contains("applying the servers files again").then_some(())
    })
    .await;
    assert!(daemon().is_some(), "{}", log());
    kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it is there");
    wait_until("nothing is left", DEADLINE, || async {
        processes::with_environment(&mark).is_empty().then_some(())
    })
    .await;
}

/// A server that starts a process which leaves its group, its session, its environment and its brand,
/// and names itself by how long it sleeps.
fn shedding(seconds: &str) -> Value {
    let escape = format!(
        "(setsid env -i /usr/bin/prlimit --rttime=unlimited /bin/sleep {seconds} </dev/null >/dev/null 2>&1 &)"
    );
    json!({"command": "sh", "args": ["-c", format!("{escape}; exec \"$0\""), env!("CARGO_BIN_EXE_fake-mcp")]})
}

fn sleeper(seconds: &str) -> Option<Process> {
    let pids = fs::read_dir("/proc")
        .expect("there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i64>().ok());
    let wanted = format!("/bin/sleep\0{seconds}\0");
    let mut found = pids
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == wanted.as_bytes()));
    found.next().map(Process::of)
}

#[tokio::test]
async fn a_process_that_sheds_every_mark_ends_once_nobody_can_have_started_it() {
    let gateway = TestGateway::new()
        .server("older", fake(&[]))
        .config_toml("[server]\ncgroups = false\n")
        .start()
        .await;
    gateway.wait_state("older", "ready").await;
    let seconds = format!("{}.{}", 90_000 + std::process::id(), "25");
    let definition = gateway.marked(shedding(&seconds));
    gateway.post("/api/servers", &json!({"name": "sheds", "command": definition["command"], "args": definition["args"], "env": definition["env"]})).await.expect(200);
    gateway.wait_state("sheds", "ready").await;
    let stray = wait_until("the process has escaped", DEADLINE, || async { sleeper(&seconds) }).await;
    gateway.delete("/api/servers/sheds").await.expect(200);
    // The older server may have started it, too.
    wait_until("it is said", DEADLINE, || async {
        gateway.output().contains("a process fell to the daemon that no server can be told of").then_some(())
    })
    .await;
    wait_until("it is counted", DEADLINE, || async {
        (metric(&gateway, "mcpvisor_strays").await == "mcpvisor_strays 1").then_some(())
    })
    .await;
    assert!(stray.is_there(), "it may be the older one's helper");
    gateway.delete("/api/servers/older").await.expect(200);
    wait_until("nobody can have started it any more", DEADLINE, || async {
        (!stray.is_there()).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_daemon_takes_what_shed_every_mark_along_when_it_ends() {
    let seconds = format!("{}.{}", 90_000 + std::process::id(), "75");
    let gateway = TestGateway::new()
        .server("sheds", shedding(&seconds))
        .config_toml("[server]\ncgroups = false\n")
        .start()
        .await;
    gateway.wait_state("sheds", "ready").await;
    let stray = wait_until("the process has escaped", DEADLINE, || async { sleeper(&seconds) }).await;
    gateway.stop().await;
    assert!(!stray.is_there());
}
