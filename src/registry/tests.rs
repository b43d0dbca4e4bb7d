//! Tests of the registry over a real store: what is kept, what is refused, who is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::access::{Principal, Role};
use crate::store::conformance::reopen;
use crate::store::{DataDir, DurableStore, MemoryStore, Record, Store};

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("the test gives an object") };
    object
}

pub(crate) fn settings(dir: &Path) -> Settings {
    Settings { data_dir: dir.to_owned(), config_root: None, allowed: AllowedServers::Any }
}

/// Opens the registry of a directory, on the real store.
fn on_disk(dir: &Path) -> Registry {
    let durable = reopen(|| DurableStore::open(&DataDir::open(dir)?, |_| Ok(()))).expect("the store opens");
    Registry::open(durable, settings(dir), &KeyRing::default(), &PinBook::default())
        .expect("the registry opens")
}

fn in_memory(dir: &Path) -> Registry {
    on(Arc::new(MemoryStore::default()), dir).expect("opens")
}

fn on(store: Arc<dyn Store>, dir: &Path) -> Result<Registry, OpenError> {
    Registry::open(DurableStore::bare(store), settings(dir), &KeyRing::default(), &PinBook::default())
}

impl Registry {
    /// Breaks the file that revocations go into while the store fails, or mends it.
    pub(crate) fn break_reserve(&mut self, broken: bool) {
        self.owed.break_reserve(broken);
    }

    /// Reports whether a revocation is in force that is not stored yet.
    pub(crate) fn owes(&self) -> bool {
        !self.owed.is_empty()
    }
}

/// Returns a caller who may do everything.
pub(crate) fn operator() -> Principal {
    KeyRing::default().local_operator()
}

fn names(list: &ServerList) -> Vec<&str> {
    list.entries().iter().map(|entry| &*entry.name).collect()
}

fn command(name: &str) -> Map<String, Value> {
    object(json!({"command": name}))
}

#[test]
fn everything_is_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    for name in ["zeta", "alpha", "mid", "gone"] {
        registry
            .add(name, object(json!({"x-note": {"b": 1, "a": [2]}, "command": name, "args": ["1"]})))
            .unwrap();
    }
    registry.remove("gone").unwrap();
    registry.update("alpha", object(json!({"args": []}))).unwrap();
    let before: Vec<ServerEntry> = registry.list().entries().iter().map(|entry| (**entry).clone()).collect();
    let instance = registry.instance_id().clone();
    drop(registry);

    let registry = on_disk(dir.path());
    let list = registry.list();
    let after: Vec<ServerEntry> = list.entries().iter().map(|entry| (**entry).clone()).collect();
    assert_eq!(names(&list), ["zeta", "alpha", "mid"]);
    assert_eq!(after, before);
    let text = Value::Object(list.entries()[1].definition.raw().clone()).to_string();
    assert_eq!(text, r#"{"x-note":{"b":1,"a":[2]},"command":"alpha","args":[]}"#);
    assert_eq!(registry.instance_id(), &instance);
}

#[test]
fn the_first_start_makes_a_key_that_works_and_later_ones_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("owner.key");
    let ring = KeyRing::default();
    let start = |ring: &KeyRing| {
        let durable = reopen(|| DurableStore::open(&DataDir::open(dir.path())?, |_| Ok(()))).unwrap();
        Registry::open(durable, settings(dir.path()), ring, &PinBook::default()).map(drop)
    };
    start(&ring).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    let token = text.strip_suffix('\n').expect("a line");
    let principal = ring.authenticate(token, 1).expect("the key works");
    assert_eq!((&*principal.member().id, principal.role()), ("user_owner", Role::Owner));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    fs::remove_file(&file).unwrap();
    let ring = KeyRing::default();
    start(&ring).unwrap();
    assert!(!file.exists(), "a key is shown once");
    assert_eq!(ring.authenticate(token, 1).expect("it still works").key_id(), principal.key_id());
}

#[test]
fn a_key_that_cannot_be_written_is_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    fs::create_dir(dir.path().join("owner.key")).unwrap();
    fs::write(dir.path().join("owner.key/in-the-way"), b"").unwrap();
    let ring = KeyRing::default();
    let error =
        Registry::open(DurableStore::bare(store.clone()), settings(dir.path()), &ring, &PinBook::default())
            .err()
            .expect("no place for the key");
    assert!(matches!(&error, OpenError::OwnerKey { .. }), "{error}");
    assert!(store.scan_prefix(b"k/").unwrap().is_empty());
    fs::remove_dir_all(dir.path().join("owner.key")).unwrap();
    Registry::open(DurableStore::bare(store), settings(dir.path()), &ring, &PinBook::default())
        .expect("the next start makes it");
    let text = fs::read_to_string(dir.path().join("owner.key")).unwrap();
    assert!(ring.authenticate(text.trim_end(), 1).is_ok());
}

#[test]
fn adding_again_is_no_change_and_adding_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = in_memory(dir.path());
    registry.add("a", command("1")).unwrap();
    let list = registry.list();
    registry.add("a", object(json!({"command": "1", "args": [], "env": null}))).expect("the same");
    let error = registry.add("a", command("2")).unwrap_err();
    assert!(matches!(&error, Error::AlreadyExists { name } if name == "a"), "{error}");
    assert!(Arc::ptr_eq(&list, &registry.list()));
    let Err(Error::InvalidDefinition { problems }) = registry.add(" ", object(json!({"args": 1}))) else {
        panic!("nothing about it is right")
    };
    let paths: Vec<&str> = problems.iter().map(|problem| &*problem.path).collect();
    assert_eq!(paths, ["name", "command", "args"]);
}

#[test]
fn a_server_keeps_its_id_until_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = in_memory(dir.path());
    registry.add("a", command("1")).unwrap();
    let first = registry.list().get("a").unwrap().clone();
    assert!(first.id.starts_with("mcp_") && first.id.len() == 36, "{}", first.id);
    registry.update("a", command("2")).unwrap();
    let list = registry.list();
    let second = list.get(&first.id).expect("found by id");
    assert_eq!(
        (&second.id, second.created_at, second.definition.command()),
        (&first.id, first.created_at, Some("2"))
    );
    registry.update("a", object(json!({"command": "2", "env": {}}))).unwrap();
    assert!(Arc::ptr_eq(&list, &registry.list()), "nothing changed");
    assert!(matches!(registry.update("a", object(json!({"args": 5}))), Err(Error::InvalidDefinition { .. })));
    registry.remove("a").unwrap();
    assert!(matches!(registry.remove("a"), Err(Error::ServerNotFound { .. })));
    assert!(matches!(registry.update("a", command("3")), Err(Error::ServerNotFound { .. })));
    registry.add("a", command("2")).unwrap();
    assert_ne!(registry.list().get("a").unwrap().id, first.id);
}

#[test]
fn an_export_imports_again_with_order_and_unknown_members() {
    let dir = tempfile::tempdir().unwrap();
    let text = "{\n  \"$schema\": \"s\",\n  \"mcpServers\": {\n    \"z\": {\n      \"type\": \"stdio\",\n      \"command\": \"x\"\n    },\n    \"a\": {\n      \"url\": \"http://h\"\n    }\n  },\n  \"inputs\": []\n}\n";
    fs::write(dir.path().join("in.json"), text).unwrap();
    let mut registry = on_disk(dir.path());
    registry.add("old", command("1")).unwrap();
    registry.import("in.json", Reach::Confined).unwrap();
    drop(registry);
    let mut registry = on_disk(dir.path());
    assert_eq!(names(&registry.list()), ["z", "a"]);
    registry.export("out.json", Reach::Confined).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("out.json")).unwrap(), text);
    let list = registry.list();
    registry.import("out.json", Reach::Confined).unwrap();
    assert!(Arc::ptr_eq(&list, &registry.list()), "the same file again changes nothing");
}

#[test]
fn a_bad_import_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = in_memory(dir.path());
    registry.add("a", command("1")).unwrap();
    let list = registry.list();
    let good_and_bad = json!({"mcpServers": {"b": {"command": "1"}, "c": {"command": 1}}}).to_string();
    for content in ["not JSON", "[1]", "{\"mcpServers\": 1}", &good_and_bad] {
        fs::write(dir.path().join("f.json"), content).unwrap();
        registry.import("f.json", Reach::Confined).expect_err(content);
    }
    let error = registry.import("f.json", Reach::Confined).unwrap_err().to_string();
    assert_eq!(error, "mcpServers.c.command must be a string");
    assert!(matches!(registry.import("none.json", Reach::Confined), Err(Error::FileNotFound { .. })));
    assert!(Arc::ptr_eq(&list, &registry.list()));
}

#[test]
fn a_servers_file_is_remembered_as_it_was_applied() {
    let dir = tempfile::tempdir().unwrap();
    let file = |servers: Value| {
        ServersFile::parse("f", json!({"mcpServers": servers, "x": 1}).to_string().as_bytes()).unwrap()
    };
    let first = file(json!({"one": {"command": "1"}, "two": {"command": "2"}}));
    let mut registry = on_disk(dir.path());
    registry.add("api", command("1")).unwrap();
    let applied = registry.apply_file("/f", &first).unwrap();
    assert_eq!(applied, Applied { added: vec!["one".into(), "two".into()], ..Applied::default() });
    registry.remove("one").unwrap();
    drop(registry);

    let mut registry = on_disk(dir.path());
    assert_eq!(registry.apply_file("/f", &first).unwrap(), Applied::default(), "the file says nothing new");
    assert_eq!(names(&registry.list()), ["api", "two"]);
    let applied = registry.apply_file("/f", &file(json!({"api": {"command": "file"}}))).unwrap();
    let expected =
        Applied { taken_over: vec!["api".into()], removed: vec!["two".into()], ..Applied::default() };
    assert_eq!(applied, expected);
    registry.export("out.json", Reach::Confined).unwrap();
    let exported: Value = serde_json::from_slice(&fs::read(dir.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(exported, json!({"mcpServers": {"api": {"command": "file"}}}), "only the entries are kept");
}

/// Returns a file of these entries, as the operator named it.
fn named_file(servers: Value) -> ServersFile {
    let entry = |(name, raw)| FileEntry { name, raw: object(raw), problems: Vec::new() };
    ServersFile::of_entries(object(servers).into_iter().map(entry))
}

#[test]
fn a_bad_entry_of_a_named_file_is_kept_failed_and_mending_it_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    let bad = named_file(json!({"good": {"command": "1"}, "bad": {"command": "1", "args": "2"}}));
    assert_eq!(registry.apply_file("/f", &bad).unwrap().added, ["good", "bad"]);
    let fault = |registry: &Registry| registry.list().by_name("bad").unwrap().definition.fault();
    assert_eq!(fault(&registry).as_deref(), Some("args must be an array of strings"));
    drop(registry);

    let mut registry = on_disk(dir.path());
    assert_eq!(fault(&registry).as_deref(), Some("args must be an array of strings"), "it is stored as that");
    assert_eq!(registry.apply_file("/f", &bad).unwrap(), Applied::default());
    let left = registry.update("bad", object(json!({"env": {"A": "1"}}))).unwrap_err();
    assert_eq!(left.to_string(), "args must be an array of strings", "a change has to mend what is wrong");
    assert!(registry.add("bad", object(json!({"command": "1", "args": ["2"]}))).is_err());
    registry.update("bad", object(json!({"args": ["2"]}))).unwrap();
    assert_eq!(fault(&registry), None);
    assert_eq!(registry.apply_file("/f", &bad).unwrap(), Applied::default(), "the file says nothing new");
    assert_eq!(fault(&registry), None, "what was mended stays mended");
    let mended = named_file(json!({"good": {"command": "1"}, "bad": {"command": "1", "args": ["3"]}}));
    assert_eq!(registry.apply_file("/f", &mended).unwrap().changed, ["bad"]);
    assert_eq!(registry.apply_file("/f", &bad).unwrap().changed, ["bad"], "and a mended one can break again");
    assert!(fault(&registry).is_some());
}

#[test]
fn who_said_last_where_a_server_is_is_known_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    let by_api = |registry: &Registry| registry.list().by_name("a").expect("there").is_addressed_by_api();
    let at = |url: &str| named_file(json!({"a": {"url": url}}));
    registry.apply_file("/f", &at("https://one.example/mcp")).unwrap();
    registry.update("a", object(json!({"headers": {"x": "1"}, "disabled": true}))).unwrap();
    assert!(!by_api(&registry), "what it says there is another matter");
    for changed in [
        json!({"url": "https://two.example/mcp"}),
        json!({"mcpvisor": {"auth": {"type": "login", "issuer": "https://three.example"}}}),
        json!({"command": "cat"}),
    ] {
        registry.apply_file("/f", &named_file(json!({}))).unwrap();
        registry.apply_file("/f", &at("https://one.example/mcp")).unwrap();
        assert!(!by_api(&registry));
        registry.update("a", object(changed.clone())).unwrap();
        assert!(by_api(&registry), "{changed}");
    }
    registry.update("a", object(json!({"command": null, "url": "https://two.example/mcp"}))).unwrap();
    drop(registry);
    let mut registry = on_disk(dir.path());
    assert!(by_api(&registry));
    registry.apply_file("/f", &at("https://one.example/mcp")).unwrap();
    assert!(by_api(&registry), "the file says what it has said before");
    assert_eq!(registry.apply_file("/f", &at("https://two.example/mcp")).unwrap().changed, ["a"]);
    assert!(!by_api(&registry), "the file says the same now");
}

#[test]
fn a_file_that_has_no_servers_any_more_is_not_believed_at_first_sight() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    let full = || named_file(json!({"a": {"command": "1"}}));
    let empty = || named_file(json!({}));
    registry.apply_file("/f", &full().seen("v1".into())).unwrap();
    assert_eq!(registry.apply_file("/f", &empty().seen("v2".into())).unwrap(), Applied::default());
    assert_eq!(names(&registry.list()), ["a"]);
    drop(registry);

    let mut registry = on_disk(dir.path());
    let again = registry.apply_file("/f", &empty().seen("v2".into())).unwrap();
    assert_eq!(again, Applied::default(), "a restart is no second sighting");
    assert_eq!(registry.apply_file("/f", &full().seen("v3".into())).unwrap(), Applied::default());
    assert_eq!(registry.apply_file("/f", &empty().seen("v4".into())).unwrap(), Applied::default());
    assert_eq!(names(&registry.list()), ["a"], "what came back begins anew");
    assert_eq!(registry.apply_file("/f", &empty().seen("v5".into())).unwrap().removed, ["a"]);
    registry.apply_file("/f", &full().seen("v6".into())).unwrap();
    assert_eq!(registry.apply_file("/f", &empty()).unwrap().removed, ["a"], "whoever insists is believed");
    assert_eq!(registry.apply_file("/g", &empty().seen("v1".into())).unwrap(), Applied::default());
}

#[test]
fn a_server_that_another_file_has_now_stays_when_the_first_one_drops_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    let file = named_file(json!({"a": {"command": "1"}}));
    registry.apply_file("/f", &file).unwrap();
    let id = registry.list().by_name("a").unwrap().id.clone();
    assert_eq!(registry.apply_file("/g", &file).unwrap().taken_over, ["a"]);
    assert_eq!(registry.apply_file("/f", &named_file(json!({}))).unwrap(), Applied::default());
    assert_eq!(registry.list().by_name("a").unwrap().id, id);
    assert_eq!(registry.apply_file("/g", &named_file(json!({}))).unwrap().removed, ["a"]);
}

#[test]
fn what_an_earlier_version_kept_of_a_foreign_file_goes_at_the_first_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = on_disk(dir.path());
    let file = named_file(json!({"a": {"command": "1"}}));
    registry.apply_file("/f", &file).unwrap();
    // As the earlier version stored it: what stood around the servers, and no mark.
    let extras = object(json!({"history": ["an invented question"], "mcpServers": {}}));
    registry.ledger.commit(vec![registry_store::put_extras(&extras).unwrap()]).unwrap();
    registry.run_maintenance();
    drop(registry);
    let journal = || fs::read_to_string(dir.path().join("journal")).unwrap();
    assert!(journal().contains("invented question"));

    let mut registry = on_disk(dir.path());
    assert!(!journal().contains("invented question"), "{}", journal());
    registry.export("out.json", Reach::Confined).unwrap();
    let exported = fs::read_to_string(dir.path().join("out.json")).unwrap();
    assert!(exported.contains("mcpServers") && !exported.contains("invented"), "{exported}");
    let newest = fs::read_dir(dir.path().join("backup")).unwrap().map(|file| file.unwrap().path());
    let newest = newest.filter(|path| path.to_string_lossy().contains("config-")).max_by_key(|path| {
        let digits: String = path.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        (path.as_os_str().len(), digits)
    });
    assert!(!fs::read_to_string(newest.unwrap()).unwrap().contains("invented"));
    // The members that an import brings must come back, and are known to be an import's.
    fs::write(dir.path().join("in.json"), json!({"x": 1, "mcpServers": {}}).to_string()).unwrap();
    registry.import("in.json", Reach::Confined).unwrap();
    drop(registry);
    let mut registry = on_disk(dir.path());
    registry.export("out.json", Reach::Confined).unwrap();
    assert!(fs::read_to_string(dir.path().join("out.json")).unwrap().contains("\"x\": 1"));
}

/// Store that can be told to fail: `flush` only, writing, or reading too, like a store that a full disk has closed.
#[derive(Default)]
pub(crate) struct FailingStore {
    inner: MemoryStore,
    flush_fails: AtomicBool,
    pub(crate) apply_fails: AtomicBool,
    pub(crate) reads_fail: AtomicBool,
}

impl FailingStore {
    /// Makes reading and writing fail if `closed`, otherwise work again.
    pub(crate) fn close(&self, closed: bool) {
        self.apply_fails.store(closed, Ordering::SeqCst);
        self.reads_fail.store(closed, Ordering::SeqCst);
    }

    fn check(&self, fails: &AtomicBool) -> Result<(), StoreError> {
        if !fails.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(StoreError::Corrupt { what: "the test's store".into(), reason: "it was told to fail".into() })
    }
}

impl Store for FailingStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.check(&self.reads_fail)?;
        self.inner.get(key)
    }
    fn scan_prefix(&self, prefix: &[u8]) -> Result<Vec<Record>, StoreError> {
        self.check(&self.reads_fail)?;
        self.inner.scan_prefix(prefix)
    }
    fn apply(&self, batch: Vec<Op>) -> Result<(), StoreError> {
        self.check(&self.apply_fails)?;
        self.inner.apply(batch)
    }
    fn flush(&self) -> Result<(), StoreError> {
        self.check(&self.flush_fails)
    }
}

#[test]
fn what_could_not_be_stored_did_not_happen() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(FailingStore::default());
    let mut registry = on(store.clone(), dir.path()).unwrap();
    registry.add("a", command("1")).unwrap();
    let records = store.scan_prefix(b"").unwrap();
    let list = registry.list();
    for failing in [&store.flush_fails, &store.apply_fails] {
        failing.store(true, Ordering::SeqCst);
        for result in
            [registry.add("b", command("1")), registry.update("a", command("2")), registry.remove("a")]
        {
            assert!(matches!(result, Err(Error::Store { .. })), "{result:?}");
        }
        assert!(Arc::ptr_eq(&list, &registry.list()));
        failing.store(false, Ordering::SeqCst);
    }
    registry.shut_down().expect("the store works again");
    assert_eq!(store.scan_prefix(b"").unwrap(), records, "as if nothing had been asked");
    registry.add("b", command("1")).expect("changes are accepted again");
    let again = on(store, dir.path()).unwrap();
    assert_eq!(names(&again.list()), ["a", "b"]);
}

#[test]
fn two_servers_of_one_name_in_the_store_are_damage() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    let mut registry = on(store.clone(), dir.path()).unwrap();
    registry.add("a", command("1")).unwrap();
    let (_, value) = store.scan_prefix(b"s/").unwrap().remove(0);
    store.apply(vec![Op::Put { key: b"s/mcp_twin".to_vec(), value }]).unwrap();
    let error = on(store, dir.path()).err().expect("damage");
    assert_eq!(error.to_string(), "the set of servers is damaged: two servers are named 'a'");
}

/// Returns a callback that collects the announced sets as names, and the collection.
fn recorder() -> (Announce, Arc<Mutex<Vec<Vec<String>>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let sink = told.clone();
    let announce: Announce = Box::new(move |list| {
        sink.lock().unwrap().push(names(list).into_iter().map(str::to_owned).collect());
    });
    (announce, told)
}

#[tokio::test]
async fn every_change_is_announced_before_it_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (announce, told) = recorder();
    let mut registry = in_memory(dir.path());
    registry.add("before", command("1")).unwrap();
    let handle = registry.start(announce).unwrap();
    handle.add(&operator(), "a", command("1")).await.unwrap();
    assert_eq!(told.lock().unwrap().len(), 2, "once at start, once for the change");
    handle.add(&operator(), "a", command("1")).await.unwrap();
    handle.add(&operator(), "a", command("2")).await.unwrap_err();
    handle.remove(&operator(), "before").await.unwrap();
    handle.export(&operator(), "out.json").await.unwrap();
    handle.import(&operator(), "out.json").await.unwrap();
    let file = named_file(json!({"f": {"command": "1"}}));
    assert_eq!(handle.apply_file("/f", file).await.unwrap().added, ["f"]);
    handle.update(&operator(), "f", command("2")).await.unwrap();
    assert_eq!(names(&handle.list()), ["a", "f"]);
    assert_eq!(handle.server("f").unwrap().definition.command(), Some("2"));
    let expected = json!([["before"], ["before", "a"], ["a"], ["a", "f"], ["a", "f"]]);
    assert_eq!(json!(*told.lock().unwrap()), expected);
    handle.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_registry_has_stored_everything_and_takes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let handle = on_disk(dir.path()).start(Box::new(|_| {})).unwrap();
    let adding: Vec<_> = (0..100)
        .map(|n| {
            let handle = handle.clone();
            tokio::spawn(async move { handle.add(&operator(), &format!("s{n}"), command("1")).await })
        })
        .collect();
    for added in adding {
        added.await.unwrap().unwrap();
    }
    handle.close().await.unwrap();
    handle.close().await.expect("closing twice is no error");
    handle.ended().await;
    assert!(matches!(handle.add(&operator(), "late", command("1")).await, Err(Error::ShuttingDown)));
    assert_eq!(handle.list().entries().len(), 100, "reading goes on");
    assert_eq!(on_disk(dir.path()).list().entries().len(), 100);
}

#[tokio::test]
async fn a_change_that_nobody_waits_for_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let (release, held) = mpsc::channel::<()>();
    // The announcement at start holds the thread, so the change stays in the queue.
    let handle = in_memory(dir.path()).start(Box::new(move |_| held.recv().unwrap_or_default())).unwrap();
    let waited_for =
        tokio::time::timeout(Duration::ZERO, handle.add(&operator(), "abandoned", command("1"))).await;
    assert!(waited_for.is_err(), "it cannot have been done");
    drop(release);
    handle.add(&operator(), "kept", command("1")).await.unwrap();
    assert_eq!(names(&handle.list()), ["kept"]);
    handle.close().await.unwrap();
}

#[tokio::test]
async fn a_panic_of_the_thread_is_told_and_not_taken_for_a_shutdown() {
    let dir = tempfile::tempdir().unwrap();
    let announce: Announce = Box::new(|list| assert!(list.entries().is_empty(), "the test's panic"));
    let handle = in_memory(dir.path()).start(announce).unwrap();
    assert!(matches!(handle.add(&operator(), "a", command("1")).await, Err(Error::Internal { .. })));
    handle.ended().await;
    assert!(matches!(handle.add(&operator(), "b", command("1")).await, Err(Error::Internal { .. })));
    assert!(matches!(handle.close().await, Err(Error::Internal { .. })));
}

#[test]
fn a_reserved_name_is_no_servers_as_long_as_it_is_reserved() {
    let dir = tempfile::tempdir().unwrap();
    let mut registry = in_memory(dir.path());
    registry.add("there", command("x")).unwrap();
    let id = registry.list().by_name("there").unwrap().id.clone();
    for taken in ["there", &id] {
        let names = ["free".into(), taken.into()].into();
        let error = registry.reserve(names).expect_err("it is a server's");
        assert!(error.to_string().ends_with(taken), "{error}");
    }
    registry.add("free", command("x")).expect("nothing was reserved");
    registry.remove("free").unwrap();
    registry.reserve(["free".into()].into()).expect("free");
    assert!(matches!(registry.add("free", command("x")), Err(Error::Conflict { .. })));
    let entry = |name: &str| FileEntry { name: name.to_owned(), raw: command("x"), problems: Vec::new() };
    let file = ServersFile::of_entries(["free", "other"].map(entry));
    registry.apply_file("f", &file).unwrap();
    let fault = |registry: &Registry| registry.list().by_name("free").unwrap().definition.fault();
    assert!(fault(&registry).expect("a fault").contains("[groups.free]"));
    assert_eq!(registry.list().by_name("other").unwrap().definition.fault(), None);
    registry.reserve(["free".into()].into()).expect("it was reserved before");
    registry.reserve([].into()).unwrap();
    registry.apply_file("f", &file).unwrap();
    assert_eq!(fault(&registry), None, "the entry counts again");
}
