//! The machine, or the daemon itself, runs short of something: processors, files, time. Parts A and
//! B of the list in `docs/supervision.md`.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use serde_json::json;

use crate::support::gateway::{Gateway, TestGateway, fake};
use crate::support::load::{in_turn, percentile};
use crate::support::usage::Usage;
use crate::support::{DEADLINE, wait_until};

/// B27.
#[tokio::test]
async fn servers_that_spin_leave_the_others_answering() {
    let gateway = TestGateway::new().server("well", fake(&[])).start().await;
    gateway.wait_state("well", "ready").await;
    let call = json!({"mcp_id": "well", "tool": "echo", "arguments": {"nonce": 1}});
    in_turn(&gateway, &call, 100).await;
    let alone = in_turn(&gateway, &call, 300).await;
    for number in 0..2 {
        let mut spinner = gateway.marked(json!({"command": "sh", "args": ["-c", "while :; do :; done"]}));
        spinner["name"] = format!("spinner{number}").into();
        gateway.post("/api/servers", &spinner).await.expect(200);
    }
    wait_until("both spin", DEADLINE, || async { (gateway.left_behind().len() == 3).then_some(()) }).await;
    let beside = in_turn(&gateway, &call, 300).await;
    assert!(beside.iter().all(|shot| shot.status == 200));
    let (before, during) = (percentile(&alone, 99), percentile(&beside, 99));
    eprintln!("measured B27: p99 {before:?} alone, {during:?} beside two that spin");
    assert!(during < before * 20 + Duration::from_millis(500), "{before:?} {during:?}");
    gateway.stop().await;
}

/// Lets the daemon have this many files open from now on, and returns what it was allowed before.
fn allow_files(gateway: &Gateway, limit: Rlimit) -> Rlimit {
    let pid = Pid::from_raw(i32::try_from(gateway.pid()).expect("a process id"));
    prlimit(pid, Resource::Nofile, limit).expect("our own child")
}

/// B29.
#[tokio::test]
async fn a_spawn_without_a_file_to_spare_is_tried_again_and_loses_none() {
    let gateway = TestGateway::new().server("well", fake(&[])).start().await;
    gateway.wait_state("well", "ready").await;
    let before = Usage::of(gateway.pid());
    let few = Some(before.files as u64 + 3);
    // The daemon was started by us, so its hard limit is ours.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let usual = allow_files(&gateway, Rlimit { current: few, maximum });
    let mut second = gateway.marked(fake(&[]));
    second["name"] = "second".into();
    gateway.post("/api/servers", &second).await.expect(200);
    let seen = gateway.wait_state("second", "backoff").await;
    assert!(seen["cause"].as_str().is_some_and(|cause| cause.contains("EMFILE")), "{seen}");
    // More connections than can be accepted: whoever accepts them must rest, not spin.
    let mut waiting = Vec::new();
    for _ in 0..10 {
        waiting.push(gateway.raw_socket().await);
    }
    let (cpu, began) = (Usage::of(gateway.pid()).cpu, Instant::now());
    while began.elapsed() < Duration::from_secs(1) {
        gateway.call("well", "echo", json!({"nonce": 1})).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spent = Usage::of(gateway.pid()).cpu - cpu;
    assert!(spent < began.elapsed() / 2, "{spent:?} of CPU for waiting");
    drop(waiting);
    allow_files(&gateway, usual);
    gateway.wait_state("second", "ready").await;
    gateway.delete("/api/servers/second").await.expect(200);
    wait_until("all files are closed again", DEADLINE, || async {
        (Usage::of(gateway.pid()).files <= before.files).then_some(())
    })
    .await;
    eprintln!("measured B29: EMFILE named and tried again; {spent:?} of CPU in a second at the limit");
    gateway.stop().await;
}

/// A15. The whole daemon is stopped, so that its runtime stands still.
#[tokio::test]
async fn a_daemon_that_stands_still_says_nothing_to_its_watchdog() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    let beats = || {
        let mut buffer = [0; 1024];
        let messages =
            std::iter::from_fn(|| socket.recv(&mut buffer).ok().map(|length| buffer[..length].to_vec()));
        messages.filter(|message| message.starts_with(b"WATCHDOG=1")).count()
    };
    let gateway = TestGateway::new()
        .variable("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
        .variable("WATCHDOG_USEC", "100000")
        .start()
        .await;
    let beating = || async { (beats() > 0).then_some(()) };
    wait_until("the watchdog is told", DEADLINE, beating).await;
    gateway.signal(Signal::SIGSTOP);
    let pid = gateway.pid();
    wait_until("the daemon stands still", DEADLINE, || async {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("our own child");
        stat.contains(") T ").then_some(())
    })
    .await;
    beats();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = beats();
    gateway.signal(Signal::SIGCONT);
    assert_eq!(heard, 0, "of the ten that were due");
    wait_until("the watchdog is told again", DEADLINE, beating).await;
    gateway.stop().await;
}

#[tokio::test]
async fn a_service_manager_that_reads_nothing_holds_nobody_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("notify");
    let _unread = UnixDatagram::bind(&path).expect("a socket");
    let gateway = TestGateway::new()
        .server("fake", fake(&[]))
        .variable("NOTIFY_SOCKET", path.to_str().expect("UTF-8"))
        .variable("WATCHDOG_USEC", "20000")
        .start()
        .await;
    let probe = UnixDatagram::unbound().expect("a socket");
    probe.set_nonblocking(true).expect("a socket");
    probe.connect(&path).expect("connected");
    wait_until("its queue is full", DEADLINE, || async {
        probe.send(b"X=1").err().filter(|error| error.kind() == std::io::ErrorKind::WouldBlock)
    })
    .await;
    gateway.wait_state("fake", "ready").await;
    for nonce in 0..20 {
        assert_eq!(gateway.call("fake", "echo", json!({"nonce": nonce})).await["nonce"], nonce);
    }
    gateway.stop().await;
}
