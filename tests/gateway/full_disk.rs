//! A full disk, while the daemon runs and when it starts: calls go on, changes are refused, and when
//! there is room again everything is as it was. Case numbers are those of the table in `docs/store.md`.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::durability::{add, backed_up, names, quarantined, resting};
use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::http::Reply;
use crate::support::{DEADLINE, wait_until};

/// Puts a small file system on a data directory, where mounting is allowed.
pub(crate) fn small_disk(data: &Path) {
    let _ = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(data).output();
}

/// Fills a data directory's file system to the last byte, with a file that is returned.
pub(crate) fn fill(data: &Path) -> PathBuf {
    let path = data.join("filler");
    let mut file = fs::File::create(&path).expect("made");
    for block in [65536, 4096, 1] {
        while file.write_all(&vec![0; block]).is_ok() {}
    }
    path
}

/// Whether the daemon says that changes cannot be stored; the same in both places.
async fn degraded(gateway: &Gateway) -> bool {
    // New servers are on their first start for a moment.
    let ready = wait_until("the daemon is ready", DEADLINE, || async {
        Some(gateway.get("/readyz").await).filter(|reply| reply.status == 200).map(|reply| reply.json())
    })
    .await;
    let flag = ready["status"] == "degraded";
    // Asked one after the other: it may have changed in between, and then it is asked again.
    let metrics = gateway.get("/metrics").await;
    if metrics.text().contains("\nmcpvisor_store_degraded 1\n") != flag {
        return Box::pin(degraded(gateway)).await;
    }
    assert!(
        !flag
            || ready["problems"][0]
                .as_str()
                .is_some_and(|text| text.starts_with("changes cannot be stored: ")),
        "{ready}"
    );
    flag
}

/// Adds a server that takes some space.
async fn add_large(gateway: &Gateway, name: &str) -> Reply {
    let mut body = resting(&["x".repeat(6000).as_str()]);
    body["name"] = name.into();
    gateway.post("/api/servers", &body).await
}

/// Changes until one is refused; returns the names of those that were acknowledged.
async fn change_until_refused(gateway: &Gateway, prefix: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..1000 {
        let name = format!("{prefix}-{number}");
        let reply = add_large(gateway, &name).await;
        if reply.status == 200 {
            acknowledged.push(name);
            continue;
        }
        let body = reply.expect(503);
        assert_eq!(reply.headers["retry-after"], "5");
        assert_eq!(body["code"], "service_unavailable", "{body}");
        let text = body["error"].as_str().expect("a text");
        assert!(text.starts_with("The change could not be stored: ") && !text.contains('/'), "{text}");
        return acknowledged;
    }
    panic!("the disk was not full after {} changes", acknowledged.len());
}

/// What must hold when no change can be stored, whatever the cause; `mend` takes the cause away.
async fn goes_on_without_a_disk(mut gateway: Gateway, mend: impl FnOnce(&Gateway)) -> Gateway {
    let acknowledged = change_until_refused(&gateway, "first").await;
    assert!(degraded(&gateway).await, "{}", gateway.output());
    for nonce in 0..20 {
        assert_eq!(gateway.call("worker", "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
    add_large(&gateway, "refused").await.expect(503);
    let mut expected = vec!["worker".to_owned()];
    expected.extend(acknowledged);
    assert_eq!(names(&gateway).await, expected);
    mend(&gateway);
    wait_until("the store has recovered by itself", DEADLINE, || async {
        (!degraded(&gateway).await).then_some(())
    })
    .await;
    add(&gateway, "afterwards").await;
    expected.push("afterwards".to_owned());
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(names(&gateway).await, expected);
    assert!(quarantined(gateway.data()).is_empty(), "{}", gateway.output());
    gateway
}

#[tokio::test]
async fn a_full_disk_refuses_changes_and_nothing_else() {
    // Where mounting is not allowed, the limit on file sizes below shows the same.
    let gateway = TestGateway::new().server("worker", fake(&[])).prepare(small_disk);
    let gateway = gateway.start().await;
    let data = gateway.data().to_owned();
    if !is_mounted(&data) {
        return gateway.stop().await;
    }
    let mounted = Mounted(data.clone());
    gateway.wait_state("worker", "ready").await;
    let filler = fill(&data);
    let mut gateway = goes_on_without_a_disk(gateway, |_| fs::remove_file(filler).expect("removed")).await;
    // And once more, to the end: the daemon leaves in order on a full disk, too.
    let filler = fill(&data);
    change_until_refused(&gateway, "again").await;
    let before = names(&gateway).await;
    let began = Instant::now();
    let status = gateway.terminate().await;
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert!(matches!(status.code(), Some(0 | 74)), "{status}: {}", gateway.output());
    fs::remove_file(filler).expect("removed");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, before);
    assert!(gateway.terminate().await.success());
    drop(mounted);
    gateway.stop().await;
}

/// Takes the small disk away again, however the test ends.
pub(crate) struct Mounted(pub(crate) PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

pub(crate) fn is_mounted(path: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).expect("there").dev();
    device(path) != device(path.parent().expect("below the root"))
}

/// Sets what files of the daemon may grow to.
pub(crate) fn limit(gateway: &Gateway, bytes: Option<u64>) {
    let pid = i32::try_from(gateway.pid()).ok().and_then(rustix::process::Pid::from_raw);
    let limit = rustix::process::Rlimit { current: bytes, maximum: None };
    rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).expect("the limit is set");
}

#[tokio::test]
async fn a_limit_on_file_sizes_refuses_changes_and_nothing_else() {
    let gateway = TestGateway::new().server("worker", fake(&[])).start().await;
    gateway.wait_state("worker", "ready").await;
    limit(&gateway, Some(100_000));
    let gateway = goes_on_without_a_disk(gateway, |gateway| limit(gateway, None)).await;
    gateway.stop().await;
}

/// How many calls were counted; `None` while that cannot be told.
async fn counted(gateway: &Gateway) -> Option<u64> {
    let reply = gateway.get("/v1/usage").await;
    match reply.status {
        503 => None,
        _ => Some(reply.expect(200)["data"]["requests"]["total"].as_u64().expect("a number")),
    }
}

async fn call(gateway: &Gateway, times: u64) {
    for nonce in 0..times {
        assert_eq!(gateway.call("worker", "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
}

/// A daemon that has come to rest, with a change that only the journal has.
async fn used(gateway: TestGateway) -> Gateway {
    let mut gateway = gateway.start().await;
    gateway.wait_state("worker", "ready").await;
    call(&gateway, 3).await;
    add(&gateway, "one").await;
    backed_up(&gateway, 2).await;
    add(&gateway, "two").await;
    backed_up(&gateway, 3).await;
    assert!(gateway.terminate().await.success());
    let backups = fs::read_dir(gateway.data().join("backup")).expect("there");
    let config = backups.map(|entry| entry.expect("readable").path());
    let with_two = config.filter(|path| fs::read_to_string(path).expect("text").contains("\"two\""));
    with_two.for_each(|path| fs::remove_file(path).expect("removed"));
    gateway
}

/// What must hold when a daemon was started without room for its store.
async fn serves_from_a_backup(mut gateway: Gateway, mend: impl FnOnce(&Gateway)) -> Gateway {
    assert!(gateway.output().contains("THE DISK IS FULL"), "{}", gateway.output());
    gateway.wait_state("worker", "ready").await;
    assert!(degraded(&gateway).await);
    let ready = gateway.get("/readyz").await.json();
    let problem = ready["problems"][0].as_str().expect("a text").to_owned();
    assert!(problem.contains("running from the newest backup: make room"), "{problem}");
    assert!(gateway.get("/metrics").await.text().contains("\nmcpvisor_store_from_backup 1\n"));
    assert_eq!(names(&gateway).await, ["worker", "one", "two"]);
    call(&gateway, 4).await;
    assert_eq!(counted(&gateway).await, None, "what it was before is not known");
    add_large(&gateway, "refused").await.expect(503);
    gateway.post("/v1/api-keys", &json!({"name": "refused"})).await.expect(503);
    mend(&gateway);
    wait_until("the store is there by itself", DEADLINE, || async {
        (!degraded(&gateway).await).then_some(())
    })
    .await;
    assert!(gateway.get("/metrics").await.text().contains("\nmcpvisor_store_from_backup 0\n"));
    call(&gateway, 2).await;
    assert_eq!(counted(&gateway).await, Some(9), "before, meanwhile and after");
    add(&gateway, "afterwards").await;
    gateway.kill_9().await;
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["worker", "one", "two", "afterwards"]);
    assert!(quarantined(gateway.data()).is_empty(), "{}", gateway.output());
    gateway
}

#[tokio::test]
async fn a_start_on_a_full_disk_serves_from_the_backup_until_there_is_room() {
    let mut gateway = used(TestGateway::new().server("worker", fake(&[])).prepare(small_disk)).await;
    let data = gateway.data().to_owned();
    if !is_mounted(&data) {
        return gateway.stop().await;
    }
    let mounted = Mounted(data.clone());
    let filler = fill(&data);
    gateway.restart().await;
    let mut gateway = serves_from_a_backup(gateway, |_| fs::remove_file(filler).expect("removed")).await;
    assert!(gateway.terminate().await.success());
    // And once more, to the end of that. Now and then the database opens on a full disk, too.
    let filler = fill(&data);
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["worker", "one", "two", "afterwards"]);
    let status = gateway.terminate().await;
    assert!(matches!(status.code(), Some(0 | 74)), "{status}: {}", gateway.output());
    fs::remove_file(filler).expect("removed");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["worker", "one", "two", "afterwards"]);
    assert!(gateway.terminate().await.success());
    drop(mounted);
    gateway.stop().await;
}

#[tokio::test]
async fn under_a_file_size_limit_it_serves_from_the_backup_until_there_is_none() {
    let mut gateway = used(TestGateway::new().server("worker", fake(&[]))).await;
    gateway.restart_through("ulimit -S -f 0 && exec \"$0\" \"$@\"").await;
    let gateway = serves_from_a_backup(gateway, |gateway| limit(gateway, None)).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_first_start_on_a_full_disk_is_refused_and_leaves_nothing_half_made() {
    let mut gateway = used(TestGateway::new().server("worker", fake(&[]))).await;
    let data = gateway.data().to_owned();
    fs::remove_dir_all(&data).expect("removed");
    fs::create_dir(&data).expect("made");
    let (status, output) = gateway.refused_through("ulimit -S -f 0 && exec \"$0\" \"$@\"").await;
    assert_eq!(status.code(), Some(74), "{output}");
    assert!(output.contains("there is no room for the store in"), "{output}");
    assert!(output.contains("Make some, and start again"), "{output}");
    gateway.restart().await;
    assert_eq!(names(&gateway).await, ["worker"]);
    gateway.stop().await;
}
