//! Conformance tests that every store must pass, run against each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{DataDir, MemoryStore, OPEN_LIMIT, Op, SCHEMA_VERSION, Store, StoreError, encode, open};

fn put(key: &str, value: &str) -> Op {
    Op::Put { key: key.into(), value: encode(value).expect("a string is JSON") }
}

fn delete(key: &str) -> Op {
    Op::Delete { key: key.into() }
}

fn keys(store: &dyn Store, prefix: &[u8]) -> Vec<String> {
    let records = store.scan_prefix(prefix).expect("readable");
    records.into_iter().map(|(key, _)| String::from_utf8_lossy(&key).into_owned()).collect()
}

fn suite(store: &dyn Store) {
    assert_eq!(store.get(b"s/none").unwrap(), None);
    store.apply(vec![]).expect("an empty batch is no error");

    store.apply(vec![put("s/b", "1"), put("s/a", "2"), put("sa", "3"), put("t/a", "4")]).unwrap();
    store.flush().unwrap();
    assert_eq!(keys(store, b"s/"), ["s/a", "s/b"], "ordered by key, nothing beyond the prefix");
    assert_eq!(store.get(b"s/a").unwrap(), Some(encode("2").unwrap()));

    store.apply(vec![put("s/a", "new"), delete("s/b"), delete("s/never")]).unwrap();
    assert_eq!(store.get(b"s/a").unwrap(), Some(encode("new").unwrap()));
    assert_eq!(keys(store, b"s/"), ["s/a"]);

    store.apply(vec![put("s/c", "x"), delete("s/c"), delete("s/d"), put("s/d", "y")]).unwrap();
    assert_eq!(keys(store, b"s/"), ["s/a", "s/d"], "the last change of a key in a batch wins");

    store.apply(vec![Op::Put { key: vec![0xff, 0xff], value: encode(&1).unwrap() }]).unwrap();
    assert_eq!(store.scan_prefix(&[0xff]).unwrap().len(), 1, "a prefix that has no successor");
    store.apply(vec![Op::Delete { key: vec![0xff, 0xff] }]).unwrap();

    let everything = store.scan_prefix(b"").unwrap();
    let batch = everything.into_iter().map(|(key, _)| Op::Delete { key }).collect();
    store.apply(batch).unwrap();
    assert!(store.scan_prefix(b"").unwrap().is_empty());
    behaves_like_a_map(store);
}

/// Checks that any sequence of batches leaves the store as it would leave a map.
fn behaves_like_a_map(store: &dyn Store) {
    let op = (0u8..6, prop::option::of("[a-z]{0,8}")).prop_map(|(key, value)| match value {
        Some(value) => put(&format!("k/{key}"), &value),
        None => delete(&format!("k/{key}")),
    });
    let batches = prop::collection::vec(prop::collection::vec(op, 0..8), 0..12);
    let mut model = BTreeMap::new();
    let model = std::cell::RefCell::new(&mut model);
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 32, failure_persistence: None, ..Default::default() });
    runner
        .run(&batches, |batches| {
            let mut model = model.borrow_mut();
            for batch in batches {
                for op in &batch {
                    match op {
                        Op::Put { key, value } => drop(model.insert(key.clone(), value.clone())),
                        Op::Delete { key } => drop(model.remove(key)),
                    }
                }
                store.apply(batch).unwrap();
                let expected: Vec<_> = model.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
                prop_assert_eq!(store.scan_prefix(b"k/").unwrap(), expected);
            }
            Ok(())
        })
        .expect("the store behaves like a map");
}

fn sled(path: &std::path::Path) -> Result<Arc<dyn Store>, StoreError> {
    open(&DataDir::open(path)?, OPEN_LIMIT)
}

/// Reopens a store or directory. Another test of this process may be between `fork` and `exec` with a copy of the
/// lock's descriptor, so a held lock is tried again for a while.
pub(crate) fn reopen<T>(mut open: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match open() {
            Err(StoreError::Locked { .. }) if Instant::now() < deadline => std::thread::yield_now(),
            result => return result,
        }
    }
}

#[test]
fn memory_conforms() {
    suite(&MemoryStore::default());
}

#[test]
fn sled_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let store = sled(directory.path()).expect("opens");
    suite(&*store);
}

#[test]
fn sled_keeps_what_was_flushed() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let store = reopen(|| sled(directory.path())).expect("opens");
        assert_eq!(keys(&*store, b"s/").len(), round);
        store.apply(vec![put(&format!("s/{round}"), "kept")]).unwrap();
        store.flush().unwrap();
    }
}

#[test]
fn a_second_opener_is_refused_and_the_first_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let first = sled(directory.path()).expect("opens");
    let refused = sled(directory.path()).err().expect("in use");
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused:?}");
    assert!(refused.to_string().ends_with("is in use by another process"), "{refused}");
    first.apply(vec![put("s/a", "1")]).unwrap();
    first.flush().unwrap();
}

#[test]
fn a_newer_schema_on_disk_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let newer = Op::Put { key: b"m/schema".to_vec(), value: encode(&9u32).unwrap() };
    {
        let store = sled(directory.path()).unwrap();
        store.apply(vec![newer]).unwrap();
        store.flush().unwrap();
    }
    for _ in 0..2 {
        let error = reopen(|| sled(directory.path())).err().expect("newer");
        assert_eq!(
            error,
            StoreError::NewerSchema { what: "the store".into(), found: 9, known: SCHEMA_VERSION }
        );
    }
}
