//! Tests of what the thread keeps, counts and removes.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::super::rate::{ALTOGETHER, SOURCE};
use super::*;

fn entry(action: &'static str, outcome: Outcome) -> AuditEntry {
    AuditEntry::of_daemon(action, "x", outcome).by_key("user_1", "key_1")
}

fn started(directory: &Path) -> AuditHandle {
    start(directory, AuditSettings::default()).expect("started")
}

async fn all(audit: &AuditHandle) -> Vec<Value> {
    let (_, lines) = audit.page(AuditQuery::default(), 0, u64::MAX).await.expect("readable");
    lines.iter().rev().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn what_is_recorded_is_found_newest_first_also_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = started(directory.path());
    for action in ["key.create", "key.revoke", "server.add"] {
        audit.record(entry(action, Outcome::Done)).await.expect("written");
    }
    audit.note(entry("refused", Outcome::Refused));
    audit.close().await;
    let audit = started(directory.path());
    let (found, page) = audit.page(AuditQuery::default(), 0, 2).await.expect("readable");
    assert_eq!((found, page.len()), (4, 2));
    assert!(page[0].contains("\"number\":4") && page[0].contains("refused"), "{}", page[0]);
    let keys = AuditQuery { action: Some("key".to_owned()), ..AuditQuery::default() };
    assert_eq!(audit.page(keys.clone(), 0, 9).await.expect("readable").0, 2);
    let export = audit.export(keys).await.expect("listed").whole().await.expect("readable");
    let lines: Vec<&str> = export.lines().collect();
    assert_eq!((lines.len(), lines[2]), (3, r#"{"end":true,"entries":2}"#));
    let nobody = AuditQuery { member_id: Some("user_2".to_owned()), ..AuditQuery::default() };
    assert_eq!(audit.page(nobody, 0, 9).await.expect("readable").0, 0);
    audit.close().await;
}

#[tokio::test]
async fn of_a_flood_of_refusals_some_are_recorded_and_the_rest_are_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = started(directory.path());
    for outcome in [Outcome::Refused, Outcome::Failed] {
        for _ in 0..ALTOGETHER {
            audit.record(entry("key.revoke", outcome)).await.expect("looked at");
        }
    }
    audit.record(entry("key.create", Outcome::Done)).await.expect("written");
    assert_eq!(all(&audit).await.len(), SOURCE as usize + 1);
    let counted = u64::from(2 * ALTOGETHER - SOURCE);
    assert_eq!((audit.lost(), audit.unrecorded()), (0, counted));
    // The daemon need not run until the minute is over.
    audit.close().await;
    let audit = started(directory.path());
    let seen = all(&audit).await;
    let told = seen.last().expect("a line");
    assert_eq!(told["action"], "audit.unrecorded");
    let sum = |name: &str| told["details"][name].as_u64().expect("a number");
    assert_eq!(
        (sum("refused") + sum("failed"), &told["details"]["mostly_from"]["key_1"]),
        (counted, &counted.into())
    );
    audit.close().await;
}

#[tokio::test]
async fn near_the_end_of_the_disk_acts_are_recorded_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let is_full = Arc::new(AtomicBool::new(true));
    let told = is_full.clone();
    let room = Room::told_by(move || Some(if told.load(Ordering::Relaxed) { RESERVE - 1 } else { RESERVE }));
    let audit = start_with(directory.path(), AuditSettings::default(), room).expect("started");
    audit.note(entry("key.revoke", Outcome::Refused));
    audit.note(AuditEntry::new(EntryKind::Call, "call", "a/b", Outcome::Done));
    audit.record(entry("key.revoke", Outcome::Done)).await.expect("written");
    let seen = all(&audit).await;
    assert_eq!((seen.len(), &seen[0]["outcome"]), (1, &Value::from("done")));
    assert_eq!((audit.lost(), audit.unrecorded()), (0, 2));
    audit.close().await;
}

#[test]
fn room_is_looked_for_again_after_so_many_bytes_or_so_long() {
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let mut room = Room::told_by(move || Some(counted.fetch_add(1, Ordering::Relaxed) as u64 * RESERVE));
    let begin = Instant::now();
    assert!(room.is_short(begin) && room.is_short(begin + LOOK_EVERY / 2));
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    assert!(!room.is_short(begin + LOOK_EVERY));
    room.written = LOOK_EVERY_BYTES;
    assert!(!room.is_short(begin + LOOK_EVERY));
    assert_eq!(looks.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_full_queue_of_what_nobody_waits_for_has_room_for_acts() {
    let directory = tempfile::tempdir().expect("a directory");
    let audit = started(directory.path());
    // Fills the queue as a busy thread would leave it.
    audit.counts.waiting.fetch_add(QUEUE, Ordering::Relaxed);
    audit.note(entry("refused", Outcome::Refused));
    assert_eq!(audit.lost(), 1);
    audit.record(entry("key.create", Outcome::Done)).await.expect("written");
    assert_eq!((audit.lost(), all(&audit).await.len()), (1, 1));
    audit.close().await;
}

#[tokio::test]
async fn what_had_to_go_for_lack_of_room_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = AuditSettings { keep_bytes: 1024 * 1024, ..AuditSettings::default() };
    let audit = start(directory.path(), settings).expect("started");
    audit.record(entry("key.create", Outcome::Done).by_key("ann", "key_2")).await.expect("written");
    let long = "x".repeat(200);
    for _ in 0..8 {
        for _ in 0..QUEUE / 2 {
            let act = AuditEntry::of_daemon("key.change", &long, Outcome::Done).by_key("user_1", "key_1");
            audit.note(act);
        }
        audit.record(entry("key.change", Outcome::Done)).await.expect("written");
    }
    let lines = all(&audit).await;
    assert_eq!((audit.lost(), &lines[0]["member_id"]), (0, &Value::from("ann")), "who has little keeps it");
    let told: Vec<&Value> = lines.iter().filter(|line| line["action"] == "audit.removed").collect();
    let sum: u64 = told.iter().filter_map(|line| line["details"]["mostly_by"]["user_1"].as_u64()).sum();
    let written = lines.last().and_then(|line| line["number"].as_u64()).expect("a number");
    assert!(sum > 100, "{sum}");
    assert_eq!(sum + lines.len() as u64, written, "every number is there, or told to have gone");
    audit.close().await;
}
