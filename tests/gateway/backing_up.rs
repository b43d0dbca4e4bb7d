//! Backups of a running daemon and of a stopped one, and what is restored from them: all of it or nothing, whoever is
//! killed meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::durability::{names, resting};
use crate::operating::{Ended, command, ended, operate};
use crate::support::ask::ask;
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::{DEADLINE, wait_until};

/// Number of servers of a backup that does not fit into the buffers of a connection, and the bytes of each.
const LARGE: (usize, usize) = (100, 120_000);

/// Runs a command on files, where no daemon is to be found.
async fn by_hand(arguments: &[&str]) -> Ended {
    let mut command = command(Path::new("/"), arguments);
    // Nobody listens there.
    command.env("MCPVISOR_URL", "http://127.0.0.1:1");
    ended(command, "").await
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Gives a daemon servers that take megabytes, in one change.
async fn enlarge(gateway: &Gateway) {
    let (count, bytes) = LARGE;
    let server = |n: usize| (format!("large{n}"), resting(&[&"x".repeat(bytes)]));
    let servers: serde_json::Map<String, Value> = (0..count).map(server).collect();
    fs::write(gateway.data().join("large.json"), json!({"mcpServers": servers}).to_string())
        .expect("written");
    gateway.post("/api/config/import", &json!({"filepath": "large.json"})).await.expect(200);
}

#[tokio::test]
async fn a_house_moves_by_one_file_with_usage_and_times() {
    let mut gateway = TestGateway::new().start().await;
    let mut server = gateway.marked(fake(&[]));
    server["name"] = "fake".into();
    gateway.post("/api/servers", &server).await.expect(200);
    gateway.wait_state("fake", "ready").await;
    for nonce in 0..3 {
        gateway.call("fake", "echo", json!({"nonce": nonce})).await;
    }
    let seen = gateway.server("fake").await;
    let of =
        |seen: &Value| ["id", "created_at", "last_active", "request_count"].map(|name| seen[name].clone());
    assert!(seen["last_active"].is_string() && seen["request_count"] == 3, "{seen}");

    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = elsewhere.path().join("backup.json");
    let written = operate(&gateway, &["backup", text(&file)]).await.expect(0);
    assert!(
        written.out.starts_with("wrote a backup of change ") && written.out.contains(" of usage\n"),
        "{}",
        written.out
    );
    assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let named = operate(&gateway, &["backup", text(elsewhere.path())]).await.expect(0);
    assert!(named.out.contains("/mcpvisor-backup-20"), "{}", named.out);
    let piped = operate(&gateway, &["backup", "-"]).await.expect(0).json();
    assert_eq!(
        (&piped["format"], &piped["seq"]),
        (&json!(2), &serde_json::from_slice::<Value>(&fs::read(&file).expect("there")).expect("JSON")["seq"])
    );

    assert!(gateway.terminate().await.success());
    let old = elsewhere.path().join("old");
    let done = Command::new("cp").arg("-a").args([gateway.data(), &old]).status().await.expect("started");
    assert!(done.success());
    fs::remove_dir_all(gateway.data()).expect("removed");
    let data = text(gateway.data()).to_owned();
    let restored = by_hand(&["restore", text(&file), "--data-dir", &data]).await.expect(0);
    assert!(
        restored.out.contains(" of usage, made 20") && restored.out.contains("owner's key is in no backup"),
        "{}",
        restored.out
    );
    fs::copy(old.join("owner.key"), gateway.data().join("owner.key")).expect("copied");
    gateway.restart().await;
    let moved = gateway.wait_state("fake", "ready").await;
    assert_eq!(of(&moved), of(&seen));
    assert_eq!(gateway.get("/v1/usage").await.expect(200)["data"]["requests"]["total"], 3);

    // What is there is not replaced unless that is said.
    assert!(gateway.terminate().await.success());
    let refused = by_hand(&["restore", text(&file), "--data-dir", &data]).await.expect(78);
    assert!(
        refused.err.contains("has something in it ('") && refused.err.contains("--replace"),
        "{}",
        refused.err
    );
    let replaced = by_hand(&["restore", text(&file), "--data-dir", &data, "--replace"]).await.expect(0);
    assert!(replaced.out.contains("what was there is kept in "), "{}", replaced.out);
    let stopped = by_hand(&["backup", text(&file), "--data-dir", &data]).await.expect(0);
    assert!(stopped.out.contains(" of usage\n"), "{}", stopped.out);
    gateway.restart().await;
    assert_eq!(of(&gateway.wait_state("fake", "ready").await), of(&seen));
    gateway.stop().await;
}

#[tokio::test]
async fn a_daemon_on_a_restored_backup_leaves_the_servers_of_the_first_alone() {
    let gateway = TestGateway::new().start().await;
    let mut server = gateway.marked(fake(&[]));
    server["name"] = "fake".into();
    gateway.post("/api/servers", &server).await.expect(200);
    let pid = |seen: Value| seen["supervision"]["pid"].as_u64().expect("it runs");
    let first = pid(gateway.wait_state("fake", "ready").await);
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = elsewhere.path().join("backup.json");
    operate(&gateway, &["backup", text(&file)]).await.expect(0);

    let data = elsewhere.path().join("data");
    by_hand(&["restore", text(&file), "--data-dir", text(&data)]).await.expect(0);
    fs::copy(gateway.data().join("owner.key"), data.join("owner.key")).expect("copied");
    let second = TestGateway::new().data_in(&data).start().await;
    assert_ne!(pid(second.wait_state("fake", "ready").await), first);
    assert!(!second.output().contains("left behind"), "{}", second.output());
    assert_eq!(pid(gateway.server("fake").await), first, "it runs on");
    second.stop().await;
    assert_eq!(pid(gateway.server("fake").await), first, "also after the end of the second");
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    // Another child is started where the first was.
    gateway.post("/v1/mcps/fake/restart", &json!({})).await;
    wait_until("another child serves", DEADLINE, || async {
        let seen = gateway.server("fake").await;
        (seen["state"] == "ready" && seen["supervision"]["pid"].as_u64() != Some(first)).then_some(())
    })
    .await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_time_of_the_last_call_survives_a_restart_and_a_kill() {
    let mut gateway = TestGateway::new().server("fake", fake(&[])).start().await;
    gateway.wait_state("fake", "ready").await;
    gateway.call("fake", "echo", json!({"nonce": 1})).await;
    let seen = gateway.server("fake").await;
    assert!(gateway.terminate().await.success());
    gateway.restart().await;
    let after = gateway.server("fake").await;
    assert_eq!((&after["last_active"], &after["request_count"]), (&seen["last_active"], &json!(1)));
    gateway.call("fake", "echo", json!({"nonce": 2})).await;
    let seen = gateway.server("fake").await;
    // A backup writes what was counted, too, which is short by a second after a kill otherwise.
    gateway.post("/v1/backup", &json!({})).await.expect(200);
    gateway.kill_9().await;
    gateway.restart().await;
    let after = gateway.server("fake").await;
    assert_eq!((&after["last_active"], &after["request_count"]), (&seen["last_active"], &json!(2)));
    gateway.stop().await;
}

#[tokio::test]
async fn backups_are_for_owners_without_limits_and_made_one_at_a_time() {
    let gateway = TestGateway::new().start().await;
    enlarge(&gateway).await;
    let limited = json!({"name": "limited", "permissions": {"mcps": ["large1"]}});
    let limited = gateway.post("/v1/api-keys", &limited).await.expect(201)["data"]["key"].clone();
    for path in ["/v1/backup", "/v1/export"] {
        let refused = ask(&gateway, "POST", path).key(limited.as_str().expect("text")).send().await;
        let error = refused.expect(403)["error"].clone();
        assert_eq!(error["code"], "forbidden", "{error}");
        assert!(error["message"].as_str().is_some_and(|told| told.contains("backups or exports")), "{error}");
    }
    // Whoever does not read has the only place.
    let mut slow = gateway.raw_socket().await;
    let head = format!(
        "POST /v1/backup HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: 0\r\n\r\n",
        gateway.address(),
        gateway.key()
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    let mut begun = [0; 15];
    timeout(DEADLINE, slow.read_exact(&mut begun)).await.expect("answered").expect("sent");
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    let error = gateway.post("/v1/backup", &json!({})).await.expect(409)["error"].clone();
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("conflict"), &json!("Another backup is being made; ask again when it is done"))
    );
    drop(slow);
    wait_until("the place is free again", DEADLINE, || async {
        (gateway.post("/v1/backup", &json!({})).await.status == 200).then_some(())
    })
    .await;
    let audit = gateway.get("/v1/audit?action=backup.make").await.expect(200);
    assert!(audit["pagination"]["total"].as_u64().is_some_and(|total| total >= 2), "{audit}");
    gateway.stop().await;
}

/// Kills a command some time after its start; returns its exit code if it had ended before.
async fn killed(mut command: Command, after: Duration) -> Option<i32> {
    let mut process = command.spawn().expect("started");
    if let Ok(ended) = timeout(after, process.wait()).await {
        return ended.expect("our own").code();
    }
    process.kill().await.expect("killed");
    None
}

#[tokio::test]
async fn a_kill_during_a_backup_leaves_no_half_under_its_name() {
    let mut gateway = TestGateway::new().start().await;
    enlarge(&gateway).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = elsewhere.path().join("backup.json");
    let backup = || {
        let mut command = command(elsewhere.path(), &["backup", text(&file)]);
        command.env("MCPVISOR_SOCKET", gateway.data().join("mcpvisor.sock"));
        command
    };
    let check = async || {
        let bytes = fs::read(&file).ok();
        let whole = bytes.as_deref().is_none_or(|bytes| bytes.ends_with(b"\n  }\n}\n"));
        assert!(whole, "{:?} bytes", bytes.map(|bytes| bytes.len()));
        file.exists()
    };
    let (mut kills, mut wait) = (0, Duration::from_millis(20));
    loop {
        match killed(backup(), wait).await {
            Some(0) => break,
            // The daemon has yet to learn that who had the only place is gone.
            Some(4) => {}
            Some(other) => panic!("exit code {other}"),
            None => {
                kills += 1;
                wait += wait / 4;
            }
        }
        check().await;
        assert!(wait < DEADLINE, "it never ends");
    }
    assert!(kills > 3 && check().await, "{kills}");
    let before = fs::read(&file).expect("whole");
    // The daemon dies in the middle: what is there stays.
    let command = backup();
    let running = tokio::spawn(ended(command, ""));
    tokio::time::timeout(Duration::from_millis(150), std::future::pending::<()>())
        .await
        .expect_err("a while");
    gateway.kill_9().await;
    let ended = running.await.expect("no panic");
    assert!([0, 69, 74].contains(&ended.code), "{}: {}", ended.code, ended.err);
    if ended.code != 0 {
        assert_eq!(fs::read(&file).expect("whole"), before);
    }
    let fresh = elsewhere.path().join("a/b/fresh");
    let restored = by_hand(&["restore", text(&file), "--data-dir", text(&fresh)]).await.expect(0);
    assert!(restored.out.starts_with("restored 1"), "more than {} records: {}", LARGE.0, restored.out);
    by_hand(&["store", "check", "--data-dir", text(&fresh)]).await.expect(0);
    gateway.restart().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_kill_during_a_restore_leaves_the_old_content_or_the_new() {
    let mut gateway = TestGateway::new().start().await;
    enlarge(&gateway).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let [many, few] = ["many.json", "few.json"].map(|name| elsewhere.path().join(name));
    operate(&gateway, &["backup", text(&many)]).await.expect(0);
    gateway.post("/api/config/import", &json!({"filepath": few_servers(&gateway)})).await.expect(200);
    operate(&gateway, &["backup", text(&few)]).await.expect(0);
    let data = text(gateway.data()).to_owned();
    let (mut count, mut ends, mut wait) = (1, [0, 0], Duration::from_millis(10));
    while ends != [1, 1] {
        assert!(gateway.terminate().await.success());
        // From few to many and back: what is restored differs from what is there.
        let (file, wanted) = if count == 1 { (&many, LARGE.0) } else { (&few, 1) };
        let code =
            killed(command(Path::new("/"), &["restore", text(file), "--replace", "--data-dir", &data]), wait)
                .await;
        gateway.restart().await;
        let found = names(&gateway).await.len();
        assert!(found == count || found == wanted, "{found} servers after {wait:?}");
        if let Some(code) = code {
            assert_eq!((code, found), (0, wanted));
            ends[usize::from(wanted == 1)] = 1;
        }
        count = found;
        wait += wait / 2;
        assert!(wait < DEADLINE, "it never ends");
    }
    gateway.stop().await;
}

/// Writes a servers file with one server beside a daemon, and returns its name.
fn few_servers(gateway: &Gateway) -> &'static str {
    let text = json!({"mcpServers": {"only": resting(&[])}}).to_string();
    fs::write(gateway.data().join("few-servers.json"), text).expect("written");
    "few-servers.json"
}

#[tokio::test]
async fn without_room_a_backup_and_a_restore_say_so_and_leave_nothing() {
    let mut gateway = TestGateway::new().start().await;
    enlarge(&gateway).await;
    let elsewhere = tempfile::tempdir().expect("a directory");
    let file = elsewhere.path().join("backup.json");
    let data = gateway.data().to_owned();
    // A limit on the size of files is met in the same place as a full disk.
    let limited = |arguments: &[&str]| {
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_mcpvisor")])
            .args(arguments);
        limited.env_clear().env("HOME", elsewhere.path()).env("PATH", "/usr/bin:/bin").current_dir("/");
        limited.env("MCPVISOR_SOCKET", data.join("mcpvisor.sock")).kill_on_drop(true);
        limited.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        limited.stderr(std::process::Stdio::piped());
        limited
    };
    let full = ended(limited(&["backup", text(&file)]), "").await.expect(74);
    assert!(
        full.err.contains(&format!("cannot write the backup '{}': File too large", text(&file))),
        "{}",
        full.err
    );
    assert_eq!(fs::read_dir(elsewhere.path()).expect("readable").count(), 0);
    operate(&gateway, &["backup", text(&file)]).await.expect(0);
    assert!(gateway.terminate().await.success());
    let fresh = elsewhere.path().join("fresh");
    let full = ended(limited(&["restore", text(&file), "--data-dir", text(&fresh)]), "").await.expect(74);
    assert!(
        full.err.contains("cannot write the backup") && full.err.contains("File too large"),
        "{}",
        full.err
    );
    let before = fs::read_dir(data.join("backup")).expect("there").count();
    let full = ended(limited(&["restore", text(&file), "--replace", "--data-dir", text(&data)]), "").await;
    full.expect(74);
    assert_eq!(fs::read_dir(data.join("backup")).expect("there").count(), before);
    gateway.restart().await;
    assert_eq!(names(&gateway).await.len(), LARGE.0);
    gateway.stop().await;
}
