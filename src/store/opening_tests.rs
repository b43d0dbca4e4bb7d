//! Tests of a start, for every way in which the parts of a data directory can disagree.

use std::fs;
use std::path::Path;

use super::*;
use crate::power_disk::{self, Cut, Dice};
use crate::store::conformance::reopen;
use crate::store::fault::{Fault, FaultStore, failing, install};
use crate::store::journal;
use crate::store::marker::Marker;
use crate::store::simulated::Place;
use crate::store::{MemoryStore, encode};

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: encode(value).unwrap() }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

fn try_open(path: &Path) -> Result<DurableStore, StoreError> {
    reopen(|| {
        DurableStore::open(&DataDir::open(path)?, |dir| {
            crate::store::open_unchanged(dir, OPEN_LIMIT).map(drop)
        })
    })
}

fn open(path: &Path) -> DurableStore {
    try_open(path).expect("opens")
}

/// Returns the configuration and the kept lists, as text.
fn content(durable: &DurableStore) -> Vec<String> {
    let records = durable.store().scan_prefix(b"").unwrap().into_iter();
    let records = records.filter(|(key, _)| is_compared(key) || key.starts_with(b"c/"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records.map(|(key, value)| format!("{}={}", text(&key), text(&value[1..]))).collect()
}

const FIRST: [&str; 3] = ["m/instance=\"i\"", "s/1=\"one\"", "s/2=\"two\""];
const LATER: [&str; 3] = ["m/instance=\"i\"", "s/2=\"new\"", "s/3=\"three\""];

/// A directory with a backup of three changes, and two changes after it.
fn used() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    for op in [put("m/instance", "i"), put("s/1", "one"), put("s/2", "two")] {
        durable.commit(vec![op]).unwrap();
    }
    durable.run_maintenance();
    assert_eq!(content(&durable), FIRST);
    durable.commit(vec![put("s/3", "three"), put("s/2", "new")]).unwrap();
    durable.commit(vec![delete("s/1")]).unwrap();
    assert_eq!(content(&durable), LATER);
    dir
}

fn quarantined(path: &Path) -> usize {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("quarantine-")).count()
}

fn remove_store(path: &Path) {
    fs::remove_dir_all(path.join("store")).unwrap();
}

fn journal_of(path: &Path) -> Contents {
    journal::read(path).unwrap().expect("there is one")
}

#[test]
fn everything_agrees_after_an_end_without_a_word() {
    let dir = used();
    let durable = open(dir.path());
    assert_eq!(
        (content(&durable), durable.seq(), quarantined(dir.path())),
        (LATER.map(String::from).into(), 5, 0)
    );
}

#[test]
fn a_store_that_is_gone_is_made_from_the_backup_and_the_journal() {
    let dir = used();
    remove_store(dir.path());
    let mut durable = open(dir.path());
    assert_eq!((content(&durable), durable.seq()), (LATER.map(String::from).into(), 5));
    durable.commit(vec![put("s/4", "four")]).unwrap();
    drop(durable);
    assert_eq!(content(&open(dir.path())).len(), 4);
}

#[test]
fn a_journal_from_the_beginning_is_as_good_as_a_backup() {
    let dir = used();
    remove_store(dir.path());
    fs::remove_dir_all(dir.path().join("backup")).unwrap();
    fs::remove_file(dir.path().join("marker")).unwrap();
    assert_eq!(content(&open(dir.path())), LATER);
}

#[test]
fn an_emptied_store_is_found_out_and_nothing_is_lost() {
    let dir = used();
    remove_store(dir.path());
    drop(crate::store::open(&DataDir::open(dir.path()).unwrap(), OPEN_LIMIT).unwrap());
    // Without the journal's beginning, so that replaying it does not fill the store.
    let store_only = journal_of(dir.path());
    let mut later = Journal::begin(dir.path(), 3, to_file).unwrap();
    store_only.after(3).unwrap().for_each(|entry| later.append(entry.seq, &entry.ops).unwrap());
    let durable = open(dir.path());
    assert_eq!((content(&durable), quarantined(dir.path())), (LATER.map(String::from).into(), 1));
}

#[test]
fn what_the_store_lost_at_its_end_comes_back_from_the_journal() {
    let dir = used();
    let old = tempfile::tempdir().unwrap();
    {
        let mut durable = open(old.path());
        for op in [put("m/instance", "i"), put("s/1", "one")] {
            durable.commit(vec![op]).unwrap();
        }
    }
    remove_store(dir.path());
    fs::rename(old.path().join("store"), dir.path().join("store")).unwrap();
    let durable = open(dir.path());
    assert_eq!((content(&durable), quarantined(dir.path())), (LATER.map(String::from).into(), 0));
}

#[test]
fn another_installation_s_store_and_one_with_other_content_are_found_out() {
    for odd in [vec![put("m/instance", "another")], vec![put("s/2", "forged")], vec![put("s/9", "more")]] {
        let dir = used();
        {
            let data_dir = reopen(|| DataDir::open(dir.path())).unwrap();
            let store = reopen(|| crate::store::open(&data_dir, OPEN_LIMIT)).unwrap();
            store.apply(odd).unwrap();
            store.flush().unwrap();
        }
        let durable = open(dir.path());
        assert_eq!((content(&durable), quarantined(dir.path())), (LATER.map(String::from).into(), 1));
    }
}

#[test]
fn a_damaged_store_without_a_backup_is_refused_every_time() {
    let dir = used();
    fs::remove_dir_all(dir.path().join("backup")).unwrap();
    fs::remove_file(dir.path().join("journal")).unwrap();
    fs::write(dir.path().join("store/db"), vec![0x5a; 9000]).unwrap();
    for _ in 0..2 {
        let error = try_open(dir.path()).err().expect("nothing to restore from");
        assert!(matches!(error, StoreError::NothingToRestore { .. }), "{error}");
        assert_eq!(quarantined(dir.path()), 0);
        assert!(dir.path().join("store/db").exists());
    }
}

#[test]
fn a_newer_store_is_refused_and_never_moved_aside() {
    let dir = used();
    {
        let data_dir = reopen(|| DataDir::open(dir.path())).unwrap();
        let store = reopen(|| crate::store::open(&data_dir, OPEN_LIMIT)).unwrap();
        store.apply(vec![Op::Put { key: SCHEMA_KEY.to_vec(), value: encode(&9).unwrap() }]).unwrap();
        store.flush().unwrap();
    }
    let error = try_open(dir.path()).err().expect("newer");
    assert!(matches!(error, StoreError::NewerSchema { found: 9, .. }), "{error}");
    assert_eq!(quarantined(dir.path()), 0);
}

#[test]
fn a_store_of_an_older_version_gets_a_backup_and_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    {
        let data_dir = DataDir::open(dir.path()).unwrap();
        let store = crate::store::open(&data_dir, OPEN_LIMIT).unwrap();
        let schema = Op::Put { key: SCHEMA_KEY.to_vec(), value: encode(&1).unwrap() };
        store.apply(vec![schema, put("m/instance", "i"), put("s/2", "two")]).unwrap();
        store.flush().unwrap();
    }
    let mut durable = open(dir.path());
    assert_eq!((durable.seq(), content(&durable).len()), (1, 2));
    durable.commit(vec![put("s/3", "three")]).unwrap();
    drop(durable);
    remove_store(dir.path());
    assert_eq!(content(&open(dir.path())), ["m/instance=\"i\"", "s/2=\"two\"", "s/3=\"three\""]);
}

/// Returns the records of a store with version 1 of the schema.
fn of_version_1() -> Vec<Op> {
    let records: BTreeMap<String, serde_json::Value> =
        serde_json::from_str(include_str!("fixtures/schema-1.json")).unwrap();
    records
        .iter()
        .map(|(key, value)| Op::Put { key: key.clone().into(), value: encode(value).unwrap() })
        .collect()
}

/// Parts of a migration in the order of their creation: the schema's number, the first number of a change, the backup,
/// the marker, the journal.
const PARTS: usize = 5;

#[test]
fn a_migration_that_was_cut_short_anywhere_is_finished_by_the_next_start() {
    for done in 0..=PARTS {
        let dir = tempfile::tempdir().unwrap();
        {
            let data_dir = DataDir::open(dir.path()).unwrap();
            let store = crate::store::sled::SledStore::open(data_dir).unwrap();
            store.apply(of_version_1()).unwrap();
            if done >= 1 {
                let value = encode(&crate::store::SCHEMA_VERSION).unwrap();
                store.apply(vec![Op::Put { key: SCHEMA_KEY.to_vec(), value }]).unwrap();
            }
            if done >= 2 {
                store.apply(vec![put_seq(1).unwrap()]).unwrap();
            }
            if done >= 3 {
                crate::store::durable_store::current(&store, 1).unwrap().write(dir.path()).unwrap();
            }
            if done >= 4 {
                let instance = read_instance(&store).unwrap();
                Marker { instance, seq: 1 }.write(dir.path()).unwrap();
            }
            store.flush().unwrap();
        }
        if done >= 5 {
            Journal::begin(dir.path(), 1, to_file).unwrap();
        }
        let mut durable = open(dir.path());
        assert_eq!(
            (content(&durable).len(), durable.seq(), quarantined(dir.path())),
            (2, 1, 0),
            "{done} parts"
        );
        assert_eq!(
            durable.store().get(SCHEMA_KEY).unwrap(),
            Some(encode(&crate::store::SCHEMA_VERSION).unwrap())
        );
        durable.commit(vec![put("s/3", "three")]).unwrap();
        drop(durable);
        remove_store(dir.path());
        assert_eq!(content(&open(dir.path())).len(), 3, "{done} parts: backup and journal have it all");
    }
}

#[test]
fn a_damaged_or_missing_journal_is_begun_anew_and_costs_nothing() {
    type Break = fn(&Path);
    let ways: [(Break, usize); 4] = [
        (|path| fs::remove_file(path).unwrap(), 0),
        (|path| fs::write(path, b"").unwrap(), 1),
        (|path| fs::write(path, vec![0; 500]).unwrap(), 1),
        (
            |path| {
                let mut bytes = fs::read(path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 4;
                fs::write(path, bytes).unwrap();
            },
            1,
        ),
    ];
    for (damage, aside) in ways {
        let dir = used();
        damage(&dir.path().join("journal"));
        let mut durable = open(dir.path());
        assert_eq!((content(&durable), quarantined(dir.path())), (LATER.map(String::from).into(), aside));
        durable.commit(vec![put("s/4", "four")]).unwrap();
        drop(durable);
        remove_store(dir.path());
        let restored = open(dir.path());
        assert_eq!(content(&restored).len(), 4, "the backup and the new journal have it all");
    }
}

#[test]
fn usage_goes_on_from_its_last_backup_when_the_store_is_restored() {
    let dir = used();
    let usage = |n: u64| (b"u/h/\xfe\x00".to_vec(), encode(&n).unwrap());
    for at in [1, 2] {
        backup::write_usage(dir.path(), at, vec![usage(at)]).unwrap();
    }
    remove_store(dir.path());
    let mut durable = open(dir.path());
    assert_eq!(durable.store().scan_prefix(b"u/").unwrap(), [usage(2)]);
    assert_eq!(content(&durable), LATER);
    durable.run_maintenance();
    drop(durable);
    fs::write(dir.path().join("backup/usage-2.json"), b"{}").unwrap();
    let data_dir = reopen(|| DataDir::open(dir.path())).unwrap();
    let (_, backup) = Backup::latest(&data_dir).unwrap().expect("there is one");
    let (_, durable) = reopen(|| DurableStore::replace(&data_dir, &backup)).unwrap();
    assert_eq!(durable.store().scan_prefix(b"u/").unwrap(), [usage(1)], "by hand, too");
}

#[test]
fn a_bad_newest_backup_is_passed_over() {
    let dir = used();
    let mut durable = open(dir.path());
    durable.run_maintenance();
    drop(durable);
    fs::write(dir.path().join("backup/config-5.json"), b"{}").unwrap();
    remove_store(dir.path());
    assert_eq!(content(&open(dir.path())), LATER, "from the one before it and the journal");
}

#[test]
fn a_store_damaged_together_with_its_journal_falls_back_to_the_backup() {
    let dir = used();
    remove_store(dir.path());
    fs::write(dir.path().join("journal"), b"no journal\n").unwrap();
    let mut durable = open(dir.path());
    assert_eq!(content(&durable), FIRST);
    durable.commit(vec![put("s/4", "four")]).unwrap();
    drop(durable);
    let durable = open(dir.path());
    assert_eq!((content(&durable).len(), quarantined(dir.path())), (4, 1));
}

#[test]
fn a_backup_replaces_the_content_and_numbers_go_on() {
    let dir = used();
    let data_dir = reopen(|| DataDir::open(dir.path())).unwrap();
    let (_, backup) = Backup::latest(&data_dir).unwrap().expect("there is one");
    let (aside, durable) = reopen(|| DurableStore::replace(&data_dir, &backup)).unwrap();
    assert_eq!((content(&durable), durable.seq()), (FIRST.map(String::from).into(), 6));
    assert!(aside.expect("kept").join("db").exists());
    drop((durable, data_dir));
    let durable = open(dir.path());
    assert_eq!((content(&durable), durable.seq()), (FIRST.map(String::from).into(), 6));
}

#[test]
fn backups_come_with_changes_and_not_without() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    let mut count = || {
        durable.run_maintenance();
        backup::list(dir.path()).unwrap().len()
    };
    assert_eq!((count(), count()), (1, 1));
    drop(durable);
    let mut durable = open(dir.path());
    durable.commit(vec![put("m/instance", "i")]).unwrap();
    durable.commit(vec![put("s/1", "x")]).unwrap();
    durable.run_maintenance();
    let newest = backup::list(dir.path()).unwrap()[0].0;
    assert_eq!(newest, 2, "one for both");
    durable.commit(vec![put("c/1", "kept lists")]).unwrap();
    durable.run_maintenance();
    assert_eq!((backup::list(dir.path()).unwrap()[0].0, durable.seq()), (2, 2));
    assert_eq!(journal_of(dir.path()).last(), 2, "kept lists are not journaled");
}

#[test]
fn a_large_backup_waits_for_an_eighth_to_change_and_is_written_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    durable.commit(vec![put("m/instance", "i")]).unwrap();
    let many = (0..100).map(|n| put(&format!("s/large-{n}"), &"y".repeat(8_000)));
    durable.commit(many.collect()).unwrap();
    durable.run_maintenance();
    let newest = || backup::list(dir.path()).unwrap()[0].0;
    assert_eq!(newest(), 2);
    let mut written = Vec::new();
    for n in 0..60 {
        durable.commit(vec![put(&format!("s/{n}"), &"y".repeat(8_000))]).unwrap();
        durable.run_maintenance();
        written.push(newest());
    }
    written.dedup();
    assert!((3..=6).contains(&written.len()), "{written:?}");
    assert!(
        fs::metadata(dir.path().join("journal")).unwrap().len() < 600_000,
        "and the journal is shortened"
    );
    durable.back_up();
    assert_eq!((newest(), durable.seq()), (62, 62));
    drop(durable);
    remove_store(dir.path());
    assert_eq!(content(&open(dir.path())).len(), 161);
}

#[test]
fn a_backup_that_fails_refuses_no_change_and_is_written_with_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    fs::write(dir.path().join("backup"), b"in the way").unwrap();
    durable.commit(vec![put("m/instance", "i")]).unwrap();
    durable.run_maintenance();
    assert!(durable.checkpoint().is_err());
    assert_eq!(*durable.trouble().borrow(), None, "changes can be stored");
    fs::remove_file(dir.path().join("backup")).unwrap();
    durable.commit(vec![put("s/1", "one")]).unwrap();
    durable.run_maintenance();
    assert_eq!(backup::list(dir.path()).unwrap()[0].0, 2);
}

#[test]
fn a_long_journal_is_shortened_and_the_newest_backup_is_not_needed_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    durable.commit(vec![put("m/instance", "i")]).unwrap();
    let long = "y".repeat(20_000);
    for round in 0..40 {
        durable.commit(vec![put(&format!("s/{}", round % 3), &format!("{round}{long}"))]).unwrap();
        durable.run_maintenance();
    }
    let len = fs::metadata(dir.path().join("journal")).unwrap().len();
    assert!(len <= journal::COMPACT_AT + 50_000, "{len}");
    let journal = journal_of(dir.path());
    assert!(journal.base > 20, "{}", journal.base);
    let before = content(&durable);
    drop(durable);
    fs::write(dir.path().join("backup/config-41.json"), b"{}").unwrap();
    remove_store(dir.path());
    assert_eq!(content(&open(dir.path())), before);
}

#[test]
fn a_journal_that_somebody_cut_under_us_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let mut durable = open(dir.path());
    durable.commit(vec![put("m/instance", "i")]).unwrap();
    fs::write(dir.path().join("journal"), b"").unwrap();
    let long = "y".repeat(150_000);
    for round in 0..4 {
        durable.commit(vec![put("s/1", &format!("{round}{long}"))]).unwrap();
        durable.run_maintenance();
    }
    let before = content(&durable);
    drop(durable);
    assert_eq!(journal_of(dir.path()).damage, None);
    remove_store(dir.path());
    assert_eq!(content(&open(dir.path())), before);
}

/// A scenario of batches, committed one after the other.
fn scenario() -> Vec<Vec<Op>> {
    vec![
        vec![put("m/instance", "i"), put("s/1", "one")],
        vec![put("s/2", "two")],
        vec![put("s/1", "changed"), delete("s/2")],
        vec![put("s/3", "three"), put("c/3", "lists")],
        vec![delete("s/1"), delete("c/3")],
    ]
}

fn after(state: &BTreeMap<Vec<u8>, Vec<u8>>, batch: &[Op]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut state = state.clone();
    for op in batch.iter().filter(|op| is_compared(op.key())) {
        match op {
            Op::Put { key, value } => drop(state.insert(key.clone(), value.clone())),
            Op::Delete { key } => drop(state.remove(key)),
        }
    }
    state
}

fn found(store: &dyn Store) -> BTreeMap<Vec<u8>, Vec<u8>> {
    store.scan_prefix(b"").unwrap().into_iter().filter(|(key, _)| is_compared(key)).collect()
}

/// Runs the scenario with operation `n` failing. Returns whether it failed at all.
fn fails_at(n: u64, lasting: bool) -> bool {
    let outer = tempfile::tempdir().unwrap();
    let dir = reopen(|| DataDir::open(outer.path())).unwrap();
    let fault = Fault::at(n, lasting);
    install(&fault);
    // The store's own image outlives the end of the process, as the kernel's copy of a file does.
    let image: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let journal = Journal::begin(dir.path(), 0, failing).unwrap();
    let store = Arc::new(FaultStore { inner: image.clone(), fault: fault.clone() });
    let disk = Disk { dir: dir.clone(), journal: Some(journal), wrap: failing };
    let mut durable = DurableStore::assemble(store, Some(disk), 0);
    let (mut acknowledged, mut in_doubt, mut refused) = (BTreeMap::new(), None, false);
    for batch in scenario() {
        let next = after(&acknowledged, &batch);
        match durable.commit(batch) {
            Ok(()) => {
                assert!(!(refused && lasting), "nothing is accepted while the disk fails");
                assert!(durable.trouble().borrow().is_none());
                (acknowledged, in_doubt) = (next, None);
            }
            Err(error) => {
                assert_eq!(error.cause(), "no storage space");
                assert!(durable.trouble().borrow().is_some());
                in_doubt = in_doubt.or(Some(next));
                refused = true;
            }
        }
        durable.run_maintenance();
    }
    let reached = fault.count() >= n;
    drop(durable);

    // The process has ended. The state after a restart is checked.
    let beside = RecoverySources::read(&dir).unwrap();
    assert_eq!(beside.journal_damage(&dir), None);
    let seq = replay(&*image, beside.journal.as_ref().unwrap()).unwrap();
    let state = found(&*image);
    let doubted = lasting && in_doubt.as_ref() == Some(&state);
    assert!(state == acknowledged || doubted, "operation {n}, lasting {lasting}");
    if !lasting && refused {
        assert_eq!(state, acknowledged, "taken back at once, or before the next change");
    }
    if state == acknowledged && state.contains_key(b"m/instance".as_slice()) {
        compare(&dir, &*image, seq, &beside).expect("it agrees with all that is beside it");
    }
    reached
}

#[test]
fn whichever_operation_fails_only_what_was_acknowledged_is_there() {
    for lasting in [false, true] {
        let failing = (1..).take_while(|n| fails_at(*n, lasting)).count();
        assert!(failing > 40, "{failing} operations");
    }
}

#[test]
fn the_number_of_a_refused_change_is_that_of_one_which_takes_it_back() {
    let outer = tempfile::tempdir().unwrap();
    let dir = reopen(|| DataDir::open(outer.path())).unwrap();
    let image: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let fault = Fault::at(u64::MAX, false);
    let store = Arc::new(FaultStore { inner: image.clone(), fault: fault.clone() });
    let journal = Journal::begin(dir.path(), 0, to_file).unwrap();
    let disk = Disk { dir: dir.clone(), journal: Some(journal), wrap: to_file };
    let mut durable = DurableStore::assemble(store, Some(disk), 0);
    durable.commit(vec![put("m/instance", "i"), put("s/1", "one")]).unwrap();
    // Reading the old values, then applying, then the flush, which fails.
    let refused = vec![put("s/1", "changed"), put("s/2", "two")];
    fault.fail_after(refused.len() as u64 + 2);
    durable.commit(refused.clone()).expect_err("the flush fails");
    durable.commit(vec![put("s/3", "three")]).unwrap();
    assert_eq!(durable.seq(), 3);
    let acknowledged = found(&*image);
    drop(durable);
    // A power cut: the database has the change that was refused, and nothing later.
    let kept = MemoryStore::default();
    kept.apply(vec![put("m/instance", "i"), put("s/1", "one"), put_seq(1).unwrap()]).unwrap();
    kept.apply([refused, vec![put_seq(2).unwrap()]].concat()).unwrap();
    let beside = RecoverySources::read(&dir).unwrap();
    let seq = replay(&kept, beside.journal.as_ref().unwrap()).unwrap();
    assert_eq!((seq, found(&kept)), (3, acknowledged));
    compare(&dir, &kept, seq, &beside).expect("nothing has to be made anew");
}

#[test]
fn a_change_that_the_database_alone_kept_is_taken_back_again_by_a_start() {
    for (seed, lasts) in (0..100).flat_map(|seed| [(seed, 1), (seed, 3), (seed, 20)]) {
        let (place, mut dice) = (Place::new(), Dice::new(seed));
        place.disk().luck = Dice::new(seed);
        let dir = place.data_dir();
        let mut durable = DurableStore::open(&dir, |_| Ok(())).unwrap();
        durable.commit(vec![put("m/instance", "i"), put("s/1", "one")]).unwrap();
        // The journal has it, and the database fails: so the change is refused.
        place.disk().plan(Some(power_disk::Fault { after: 2, lasts, full: false }));
        durable.commit(vec![put("s/2", "two"), delete("s/1")]).expect_err("the database fails");
        place.disk().plan(None);
        durable.commit(vec![put("s/3", "three")]).unwrap();
        drop(durable);
        place.disk().cut(Cut::any(&mut dice), &mut dice);
        let durable = DurableStore::open(&dir, |_| Ok(())).unwrap();
        let expected = ["m/instance=\"i\"", "s/1=\"one\"", "s/3=\"three\""];
        assert_eq!(content(&durable), expected, "seed {seed}, {lasts} operations");
    }
}

#[test]
fn a_store_that_works_again_is_found_out_by_a_probe() {
    let outer = tempfile::tempdir().unwrap();
    let dir = DataDir::open(outer.path()).unwrap();
    let fault = Fault::at(3, true);
    install(&fault);
    let journal = Journal::begin(dir.path(), 0, failing).unwrap();
    let store = Arc::new(FaultStore { inner: Arc::new(MemoryStore::default()), fault: fault.clone() });
    let mut durable =
        DurableStore::assemble(store, Some(Disk { dir, journal: Some(journal), wrap: failing }), 0);
    durable.commit(vec![put("s/1", "one")]).expect_err("the disk is full");
    durable.probe().expect_err("still");
    let trouble = durable.trouble().borrow().clone().expect("there is trouble");
    assert_eq!((&*trouble.cause, trouble.from_backup), ("no storage space", false));
    fault.mend();
    durable.probe().expect("there is space again");
    assert_eq!(*durable.trouble().borrow(), None);
    assert!(found(&**durable.store()).is_empty(), "what was refused is not there");
    durable.commit(vec![put("s/1", "one")]).unwrap();
}
