//! What was acknowledged outlives the daemon's death and damage to any file; and where it cannot, that
//! is said. Case numbers are those of the table in `docs/store.md`.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::http::Connection;
use crate::support::{DEADLINE, wait_until};

/// A start ends within this, whatever it finds.
const START: Duration = Duration::from_secs(30);

/// `mcpvisor store …` on a data directory: its exit code and what it wrote.
fn store(data: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
        .arg("store")
        .args(arguments)
        .arg("--data-dir")
        .arg(data)
        .env_clear()
        .output()
        .expect("the program runs");
    let Output { status, stdout, stderr } = output;
    let text = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (status.code().expect("it ends by itself"), text)
}

pub(crate) async fn names(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.get("/api/servers").await.expect(200);
    let servers = listed["servers"].as_array().expect("a list").clone();
    servers.iter().map(|server| server["name"].as_str().expect("a name").to_owned()).collect()
}

/// A definition that is kept and of which nothing ever runs.
pub(crate) fn resting(args: &[&str]) -> Value {
    json!({"command": "/no/such/program", "args": args})
}

pub(crate) async fn add(gateway: &Gateway, name: &str) {
    let mut body = resting(&[]);
    body["name"] = name.into();
    gateway.post("/api/servers", &body).await.expect(200);
}

fn numbered(prefix: &str, of: Vec<String>) -> Vec<PathBuf> {
    of.into_iter().filter(|name| name.starts_with(prefix)).map(PathBuf::from).collect()
}

fn entries(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).expect("a directory");
    entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned()).collect()
}

pub(crate) fn quarantined(data: &Path) -> Vec<PathBuf> {
    numbered("quarantine-", entries(data))
}

/// Waits until the newest backup is one of all changes.
pub(crate) async fn backed_up(gateway: &Gateway, servers: usize) {
    wait_until("the backup has every server", DEADLINE, || async {
        let backups = fs::read_dir(gateway.data().join("backup")).ok()?;
        let newest = backups.filter_map(|entry| Some(entry.ok()?.path())).max_by_key(|path| {
            let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
            name.strip_prefix("config-").and_then(|number| number.parse::<u64>().ok())
        })?;
        let text = fs::read_to_string(newest).ok()?;
        (text.matches("\"s/mcp_").count() == servers).then_some(())
    })
    .await;
}

#[tokio::test]
async fn backups_and_the_marker_are_written_after_changes_and_are_private() {
    let mut gateway = TestGateway::new().start().await;
    for name in ["one", "two"] {
        add(&gateway, name).await;
    }
    backed_up(&gateway, 2).await;
    let data = gateway.data().to_owned();
    let mode = |name: &str| fs::metadata(data.join(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!([mode("backup"), mode("journal"), mode("marker")], [0o700, 0o600, 0o600]);
    for backup in entries(&data.join("backup")) {
        assert_eq!(mode(&format!("backup/{backup}")), 0o600, "{backup}");
    }
    let (code, text) = store(&data, &["check"]);
    assert_eq!(code, 74, "{text}");
    assert!(text.contains("in use by another process (a daemon that runs there? stop it first)"), "{text}");
    assert!(gateway.terminate().await.success());
    let (code, text) = store(&data, &["check"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches(" ok ").count(), 4, "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_store_that_is_gone_or_damaged_comes_back_with_an_alarm() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "one").await;
    add(&gateway, "two").await;
    backed_up(&gateway, 2).await;
    add(&gateway, "three").await;
    gateway.kill_9().await;
    fs::write(gateway.data().join("store/db"), b"no database").expect("written");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["one", "two", "three"]);
    let output = gateway.output();
    assert!(output.contains("THE STORE WAS DAMAGED and has been restored"), "{output}");
    let [aside] = &quarantined(gateway.data())[..] else { panic!("one quarantine: {output}") };
    assert!(output.contains(&aside.display().to_string()), "the alarm names it: {output}");
    assert!(output.contains("backup/config-"), "and the backup: {output}");
    add(&gateway, "four").await;
    gateway.kill_9().await;
    fs::remove_dir_all(gateway.data().join("store")).expect("removed");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["one", "two", "three", "four"]);
    gateway.stop().await;
}

#[tokio::test]
async fn usage_outlives_a_damaged_store_by_its_last_backup() {
    let total = async |gateway: &Gateway| {
        let usage = gateway.get("/v1/usage").await.expect(200);
        usage["data"]["requests"]["total"].as_u64().expect("a number")
    };
    let mut gateway = TestGateway::new().server("worker", fake(&[])).start().await;
    gateway.wait_state("worker", "ready").await;
    for nonce in 0..5 {
        gateway.call("worker", "echo", json!({"nonce": nonce})).await;
    }
    // An end in order writes one; while the daemon runs, there is one an hour.
    assert!(gateway.terminate().await.success());
    fs::write(gateway.data().join("store/db"), b"no database").expect("written");
    gateway.restart().await;
    assert_eq!(total(&gateway).await, 5, "{}", gateway.output());
    assert!(gateway.output().contains("usage goes on from its last backup"), "{}", gateway.output());
    gateway.wait_state("worker", "ready").await;
    gateway.call("worker", "echo", json!({"nonce": 0})).await;
    assert!(gateway.terminate().await.success());
    let (code, text) = store(gateway.data(), &["restore", "latest"]);
    assert_eq!(code, 0, "{text}");
    gateway.restart().await;
    assert_eq!(total(&gateway).await, 6, "by hand, too");
    gateway.stop().await;
}

#[tokio::test]
async fn a_damaged_store_without_a_backup_is_refused_with_78() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "one").await;
    assert!(gateway.terminate().await.success());
    let data = gateway.data().to_owned();
    fs::remove_dir_all(data.join("backup")).expect("removed");
    fs::remove_file(data.join("journal")).expect("removed");
    fs::write(data.join("store/db"), b"no database").expect("written");
    for _ in 0..2 {
        let (status, output) = gateway.restart_refused().await;
        assert_eq!(status.code(), Some(78), "{output}");
        assert!(output.contains("there is no good backup in"), "{output}");
    }
    assert!(quarantined(&data).is_empty());
    let (code, text) = store(&data, &["check"]);
    assert_eq!((code, text.contains("store    DAMAGED")), (78, true), "{text}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_newer_store_is_refused_with_78_and_left_alone() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "one").await;
    assert!(gateway.terminate().await.success());
    {
        let dir = mcpvisor::store::DataDir::open(gateway.data()).expect("free");
        let store = mcpvisor::store::open(&dir, START).expect("opens");
        let value = mcpvisor::store::encode(&9).expect("JSON");
        store.apply(vec![mcpvisor::store::Op::Put { key: b"m/schema".to_vec(), value }]).expect("applied");
        store.flush().expect("flushed");
    }
    for _ in 0..2 {
        let (status, output) = gateway.restart_refused().await;
        assert_eq!(status.code(), Some(78), "{output}");
        assert!(output.contains("has format 9, but this version knows formats up to 2"), "{output}");
    }
    assert!(quarantined(gateway.data()).is_empty());
    gateway.stop().await;
}

#[tokio::test]
async fn a_second_daemon_is_refused_and_the_first_goes_on() {
    let gateway = TestGateway::new().start().await;
    let second = Command::new(env!("CARGO_BIN_EXE_mcpvisor"))
        .args(["serve", "--port", "0", "--data-dir"])
        .arg(gateway.data())
        .current_dir(gateway.data())
        .output()
        .expect("the program runs");
    assert_eq!(second.status.code(), Some(74));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("is in use by another process"), "{said}");
    add(&gateway, "one").await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_directory_that_is_open_to_others_is_closed() {
    let mut gateway = TestGateway::new().start().await;
    assert!(gateway.terminate().await.success());
    fs::set_permissions(gateway.data(), fs::Permissions::from_mode(0o755)).expect("ours");
    gateway.restart().await;
    assert_eq!(fs::metadata(gateway.data()).expect("there").permissions().mode() & 0o777, 0o700);
    gateway.stop().await;
}

#[tokio::test]
async fn a_directory_of_another_user_is_refused_by_name() {
    let mut gateway = TestGateway::new().start().await;
    assert!(gateway.terminate().await.success());
    let (data, outer) = (gateway.data().to_owned(), gateway.data().parent().expect("below").to_owned());
    fs::set_permissions(&outer, fs::Permissions::from_mode(0o755)).expect("ours");
    // Only root can become somebody else, who has to be able to run the program, too.
    const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    let program = env!("CARGO_BIN_EXE_mcpvisor");
    let able = Command::new("/bin/sh").args(["-c", &format!("{NOBODY} test -x {program}")]).status();
    if !able.is_ok_and(|status| status.success()) {
        return gateway.stop().await;
    }
    for (mode, reason) in [(0o755, "cannot make private (mode 0700) the data directory"), (0o700, "cannot ")]
    {
        fs::set_permissions(&data, fs::Permissions::from_mode(mode)).expect("ours");
        let (status, output) = gateway
            .refused_through("cd / && exec setpriv --reuid=65534 --regid=65534 --clear-groups \"$0\" \"$@\"")
            .await;
        assert_eq!(status.code(), Some(74), "{output}");
        let said = output.rsplit("--- restart ---").next().unwrap_or_default();
        assert!(said.contains(reason) && said.contains(data.to_str().expect("UTF-8")), "{said}");
        assert!(said.contains("not permitted") || said.contains("denied"), "{said}");
    }
    gateway.restart().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_backup_can_be_written_and_restored_by_hand() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "one").await;
    assert!(gateway.terminate().await.success());
    let data = gateway.data().to_owned();
    let file = data.join("mine.json");
    let (code, text) = store(&data, &["backup", "--to", file.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{text}");
    gateway.restart().await;
    add(&gateway, "two").await;
    gateway.delete("/api/servers/one").await.expect(200);
    assert!(gateway.terminate().await.success());

    let mut torn = fs::read(&file).expect("readable");
    torn[200] ^= 1;
    let bad = data.join("bad.json");
    fs::write(&bad, torn).expect("written");
    let (code, text) = store(&data, &["restore", bad.to_str().expect("UTF-8")]);
    assert_eq!(code, 78, "{text}");
    assert!(quarantined(&data).is_empty(), "nothing was touched");

    let (code, text) = store(&data, &["restore", file.to_str().expect("UTF-8")]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(quarantined(&data).len(), 2, "the store and its journal: {text}");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["one"]);
    assert!(gateway.terminate().await.success());
    let (code, text) = store(&data, &["restore", "latest"]);
    assert_eq!(code, 0, "{text}");
    let (code, text) = store(&data, &["check"]);
    assert_eq!(code, 0, "{text}");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["one"]);
    gateway.stop().await;
}

/// All files of a directory and those below it.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in entries(path) {
        let path = path.join(name);
        // A daemon that was killed leaves its socket, which is no file.
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("below")).expect("made");
        fs::copy(file, target).expect("copied");
    }
}

type Damage = (&'static str, fn(&Path, Vec<u8>));

const DAMAGES: [Damage; 6] = [
    ("deleted", |path, _| fs::remove_file(path).expect("removed")),
    ("emptied", |path, _| fs::write(path, b"").expect("written")),
    ("cut in half", |path, bytes| fs::write(path, &bytes[..bytes.len() / 2]).expect("written")),
    ("zeroed", |path, bytes| fs::write(path, vec![0; bytes.len()]).expect("written")),
    ("one bit flipped near the beginning", |path, bytes| flip(path, bytes, 10)),
    ("one bit flipped in the middle", |path, bytes| flip(path, bytes, 2)),
];

fn flip(path: &Path, mut bytes: Vec<u8>, part: usize) {
    let place = bytes.len() / part;
    if let Some(byte) = bytes.get_mut(place) {
        *byte ^= 0x10;
    }
    fs::write(path, bytes).expect("written");
}

#[tokio::test]
async fn whichever_file_is_damaged_however_a_start_restores_or_refuses() {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let mut gateway = TestGateway::new().start().await;
    for name in NAMES {
        add(&gateway, name).await;
        backed_up(&gateway, 1 + NAMES.iter().position(|known| *known == name).expect("it is one")).await;
    }
    // So much that the journal is rewritten without its beginning, which would be as good as a backup.
    let data = gateway.data().to_owned();
    let journal = || fs::read_to_string(data.join("journal")).expect("readable");
    for round in 0..8 {
        let args = json!({"args": [format!("{round}{}", "x".repeat(100_000))]});
        gateway.put("/api/servers/two", &args).await.expect(200);
    }
    wait_until("the journal is rewritten", DEADLINE, || async {
        (!journal().lines().next()?.ends_with("\"base\":0}")).then_some(())
    })
    .await;
    gateway.put("/api/servers/two", &json!({"args": []})).await.expect(200);
    gateway.kill_9().await;
    let good = data.with_file_name("good");
    copy(&data, &good);
    let victims: Vec<PathBuf> =
        files(&good).iter().map(|file| file.strip_prefix(&good).expect("below").to_owned()).collect();
    let key = fs::read(data.join("owner.key")).expect("readable");
    for victim in &victims {
        for (how, damage) in DAMAGES {
            let case = format!("{} {how}", victim.display());
            fs::remove_dir_all(&data).expect("removed");
            copy(&good, &data);
            damage(&data.join(victim), fs::read(good.join(victim)).expect("readable"));
            let began = Instant::now();
            // The harness reads the key from its file, which may be the one that was damaged.
            let ended = gateway.restart_or_refused(&key).await;
            assert!(began.elapsed() < START, "{case}: {:?}", began.elapsed());
            let alarm = quarantined(&data);
            match ended {
                None => {
                    assert_eq!(names(&gateway).await, NAMES, "{case}: {}", gateway.output());
                    let said = !alarm.is_empty();
                    eprintln!(
                        "| {case} | {} ms | {} |",
                        began.elapsed().as_millis(),
                        if said { "restored, quarantine" } else { "as before" }
                    );
                    gateway.kill_9().await;
                }
                Some(status) => {
                    assert_eq!(status.code(), Some(78), "{case}: {}", gateway.output());
                    eprintln!("| {case} | {} ms | refused |", began.elapsed().as_millis());
                }
            }
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn swapped_stores_are_found_out() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "ours").await;
    let mut other = TestGateway::new().start().await;
    add(&other, "theirs").await;
    backed_up(&gateway, 1).await;
    gateway.kill_9().await;
    other.kill_9().await;
    let store = gateway.data().join("store");
    fs::remove_dir_all(&store).expect("removed");
    fs::rename(other.data().join("store"), &store).expect("moved");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["ours"]);
    assert_eq!(quarantined(gateway.data()).len(), 1);
    other.stop().await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_store_that_blocks_whoever_opens_it_is_given_up_in_time() {
    let mut gateway = TestGateway::new().start().await;
    add(&gateway, "one").await;
    assert!(gateway.terminate().await.success());
    let conf = gateway.data().join("store/conf");
    fs::remove_file(&conf).expect("removed");
    // To open a FIFO is to wait for a writer that never comes.
    nix::unistd::mkfifo(&conf, nix::sys::stat::Mode::S_IRWXU).expect("made");
    let began = Instant::now();
    gateway.restart().await;
    assert!(began.elapsed() < START, "{:?}", began.elapsed());
    assert_eq!(names(&gateway).await, ["one"]);
    assert_eq!(quarantined(gateway.data()).len(), 1, "{}", gateway.output());
    assert!(gateway.output().contains("did not end within 25 s"), "{}", gateway.output());
    gateway.stop().await;
}

/// What was seen over all rounds of changes and ends.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) acknowledged: usize,
    /// Changes that were made although the end came before the answer, which is allowed.
    pub(crate) made_unasked: usize,
    pub(crate) replayed: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) quarantined: usize,
    /// How long each start took.
    pub(crate) starts: Vec<Duration>,
}

/// What is known of a server: the value that was acknowledged last, and one that was under way.
#[derive(Default)]
struct Known {
    acknowledged: Option<String>,
    under_way: Option<String>,
}

/// Changes, and what of them has to be there after each start.
#[derive(Default)]
pub(crate) struct Changes {
    known: BTreeMap<String, Known>,
    pub(crate) seen: Seen,
}

impl Changes {
    /// Starts the daemon again after a round, and looks whether everything that was acknowledged is
    /// there.
    pub(crate) async fn restart(&mut self, gateway: &mut Gateway, round: usize) {
        let began = Instant::now();
        gateway.restart().await;
        let seen = &mut self.seen;
        seen.starts.push(began.elapsed());
        let said = gateway.output();
        let since = said.rsplit("--- restart ---").next().unwrap_or_default();
        seen.replayed += usize::from(since.contains("the journal had changes that the store lacked"));
        for (name, known) in &mut self.known {
            let reply = gateway.get(&format!("/api/servers/{name}")).await;
            let found =
                (reply.status == 200).then(|| reply.json()["args"][0].as_str().expect("a text").to_owned());
            if found != known.acknowledged {
                if known.under_way.is_some() && found == known.under_way {
                    seen.made_unasked += 1;
                } else {
                    seen.lost
                        .push(format!("round {round}, {name}: {:?}, found {found:?}", known.acknowledged));
                }
            }
            *known = Known { acknowledged: found, under_way: None };
        }
        seen.quarantined = quarantined(gateway.data()).len();
    }

    /// Changes seven servers by turns until nobody answers, or only that no more is accepted.
    pub(crate) async fn make(&mut self, gateway: &Gateway, round: usize) {
        // Killed before it could accept a connection.
        let authorization = format!("Bearer {}", gateway.key());
        let opened = Connection::open(gateway.address(), &[("authorization", &authorization)]).await;
        let Ok(mut connection) = opened else { return };
        for number in 0.. {
            let name = format!("server-{}", number % 7);
            let value = format!("{round}-{number}");
            let known = self.known.entry(name.clone()).or_default();
            let reply = if known.acknowledged.is_none() {
                let mut body = resting(&[&value]);
                body["name"] = name.as_str().into();
                connection.send("POST", "/api/servers", Some(&body)).await
            } else {
                connection.send("PUT", &format!("/api/servers/{name}"), Some(&json!({"args": [value]}))).await
            };
            match reply {
                Ok(reply) if reply.status == 503 => return,
                Ok(reply) => {
                    reply.expect(200);
                    *known = Known { acknowledged: Some(value), under_way: None };
                    self.seen.acknowledged += 1;
                }
                Err(_) => {
                    known.under_way = Some(value);
                    return;
                }
            }
        }
    }
}

/// Kills the daemon at a random moment under changes, again and again, and looks after each start
/// whether everything that was acknowledged is there.
pub(crate) async fn killed_at_any_moment(rounds: usize) -> Seen {
    let mut gateway = TestGateway::new().start().await;
    let mut changes = Changes::default();
    for round in 0..rounds {
        let killer = kill_after(gateway.pid(), Duration::from_micros(u64::from(random()) % 150_000));
        changes.make(&gateway, round).await;
        killer.join().expect("no panic");
        gateway.kill_9_done().await;
        changes.restart(&mut gateway, round).await;
    }
    gateway.stop().await;
    changes.seen
}

/// A thread, so that the moment has nothing to do with what the test is doing.
pub(crate) fn kill_after(pid: u32, moment: Duration) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(moment);
        let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a process id"));
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("the daemon is there");
    })
}

pub(crate) fn random() -> u32 {
    let bytes = *uuid::Uuid::new_v4().as_bytes();
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
