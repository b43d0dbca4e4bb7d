//! Tests of what merging promises, case by case and for any sequence of changes.

use super::*;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use serde_json::json;

const FILE: &str = "/etc/servers.json";

fn raw(value: Value) -> Raw {
    let Value::Object(raw) = value else { panic!("the test gives an object") };
    raw
}

fn definition(value: Value) -> Definition {
    Definition::parse(raw(value)).expect("the test gives a valid definition")
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn with_stamp<T>(now: SystemTime, make: impl FnOnce(&mut ChangeContext<'_>) -> T) -> T {
    let mut new_id = || format!("mcp_{}", uuid::Uuid::now_v7().simple()).into();
    make(&mut ChangeContext { now, new_id: &mut new_id })
}

fn list(servers: Vec<(&str, Value, Origin)>) -> ServerList {
    let entries = servers.into_iter().enumerate().map(|(position, (name, value, origin))| {
        let entry =
            |stamp: &mut ChangeContext<'_>| stamp.entry(name, definition(value), origin, position as u64);
        Arc::new(with_stamp(at(1), entry))
    });
    ServerList::new(entries.collect())
}

fn by_file() -> Origin {
    Origin::File { path: FILE.into() }
}

/// Returns the servers after the file went from `last` to `wanted`.
fn applied(last: Value, wanted: Value, live: &ServerList) -> ServerList {
    let wanted: Vec<_> = raw(wanted).into_iter().map(|(name, value)| (name, definition(value))).collect();
    let steps = three_way(FILE, &raw(last), &[], &wanted, live);
    ServerList::new(with_stamp(at(2), |stamp| after_steps(live, steps, &FILE.into(), stamp)))
}

fn shown(list: &ServerList) -> Value {
    let servers = list.entries().iter();
    Value::Object(servers.map(|e| (e.name.to_string(), Value::Object(e.definition.raw().clone()))).collect())
}

#[test]
fn the_same_definition_again_asks_for_nothing_new() {
    let stored = raw(json!({"command": "a", "args": [], "env": {"X": "1", "Y": "2"}, "cwd": "/"}));
    for same in [
        json!({"command": "a", "env": {"Y": "2", "X": "1"}}),
        json!({"command": "a", "args": null, "env": {"X": "1", "Y": "2"}}),
        json!({"command": "a", "args": [], "env": {"X": "1", "Y": "2"}, "cwd": "/"}),
    ] {
        assert!(covered(&raw(same.clone()), &stored), "{same}");
    }
    for other in [
        json!({"command": "b", "env": {"X": "1", "Y": "2"}}),
        json!({"command": "a"}),
        json!({"command": "a", "args": ["x"], "env": {"X": "1", "Y": "2"}}),
        json!({"command": "a", "env": {"X": "1", "Y": "2"}, "cwd": "/tmp"}),
        json!({"command": "a", "env": {"X": "1", "Y": "2"}, "disabled": true}),
    ] {
        assert!(!covered(&raw(other.clone()), &stored), "{other}");
    }
}

#[test]
fn an_update_replaces_given_members_and_leaves_the_others() {
    let stored = raw(json!({"x": 1, "command": "a", "args": ["1"], "env": {"A": "1"}}));
    let next = with_members(&stored, raw(json!({"env": {"B": "2"}, "args": null}))).expect("changed");
    let expected = json!({"x": 1, "command": "a", "args": ["1"], "env": {"B": "2"}});
    assert_eq!(Value::Object(next).to_string(), expected.to_string());
    let cleared = with_members(&stored, raw(json!({"args": [], "env": {}}))).expect("changed");
    assert_eq!(Value::Object(cleared), json!({"x": 1, "command": "a", "args": [], "env": {}}));
    let without = raw(json!({"command": "a"}));
    assert_eq!(with_members(&without, raw(json!({"command": "a", "args": [], "env": {}}))), None);
}

#[test]
fn an_address_replaces_the_command_and_a_command_the_address() {
    let changed = |stored: Value, members: Value| {
        Value::Object(with_members(&raw(stored), raw(members)).expect("changed"))
    };
    let own = json!({"start": "on-demand"});
    let stdio = json!({"command": "a", "args": ["1"], "env": {"A": "1"}, "mcpvisor": own});
    let remote = json!({"env": {"A": "1"}, "mcpvisor": own, "url": "https://h", "headers": {"X": "y"}});
    let to_remote = json!({"url": "https://h", "headers": {"X": "y"}});
    assert_eq!(changed(stdio, to_remote), remote);
    let to_stdio = json!({"command": "b"});
    assert_eq!(changed(remote, to_stdio), json!({"env": {"A": "1"}, "mcpvisor": own, "command": "b"}));
    let other_spelling = json!({"serverUrl": "https://old", "http_headers": {"X": "y"}});
    let next = changed(other_spelling, json!({"url": "https://new"}));
    assert_eq!(next, json!({"http_headers": {"X": "y"}, "url": "https://new"}));
}

#[test]
fn the_first_application_adds_everything_in_order() {
    let wanted = json!({"z": {"command": "1"}, "a": {"command": "2"}});
    let after = applied(json!({}), wanted.clone(), &list(vec![]));
    assert_eq!(shown(&after).to_string(), wanted.to_string());
    assert!(after.entries().iter().all(|entry| entry.origin == by_file()));
}

#[test]
fn a_dropped_entry_goes_unless_somebody_else_made_the_server() {
    let last = json!({"own": {"command": "1"}, "same": {"command": "2"}, "gone": {"command": "3"}});
    let live = list(vec![
        ("own", json!({"command": "changed since"}), by_file()),
        ("same", json!({"command": "2"}), Origin::Api),
        ("other", json!({"command": "4"}), Origin::File { path: "/other".into() }),
    ]);
    let after = applied(last, json!({}), &live);
    assert_eq!(shown(&after), json!({"same": {"command": "2"}, "other": {"command": "4"}}));
}

#[test]
fn what_the_file_left_alone_stays_as_the_api_left_it() {
    let file = json!({"kept": {"command": "1"}, "removed": {"command": "2"}});
    let live = list(vec![("kept", json!({"command": "api"}), by_file())]);
    let after = applied(file.clone(), file, &live);
    assert!(Arc::ptr_eq(&after.entries()[0], &live.entries()[0]));
    assert_eq!(after.entries().len(), 1);
}

#[test]
fn changes_of_the_file_and_of_the_api_come_together() {
    let last = json!({"s": {"command": "c", "args": ["1"], "env": {"A": "1", "B": "1"}, "cwd": "/"}});
    let wanted = json!({"s": {"command": "c", "args": ["2"], "env": {"A": "1", "B": "2"}}});
    let api = json!({"command": "api", "args": ["9"], "env": {"A": "9", "B": "1", "N": "9"}, "cwd": "/"});
    let after = applied(last, wanted, &list(vec![("s", api, by_file())]));
    let expected = json!({"command": "api", "args": ["2"], "env": {"A": "9", "B": "2", "N": "9"}});
    assert_eq!(shown(&after), json!({"s": expected}));
    assert_eq!(after.entries()[0].updated_at, at(2));
    assert_eq!(after.entries()[0].created_at, at(1));
}

#[test]
fn a_name_that_the_file_newly_asks_for_becomes_the_files() {
    let live = list(vec![
        ("taken", json!({"command": "api"}), Origin::Api),
        ("same", json!({"command": "x", "args": []}), Origin::Api),
    ]);
    let after = applied(json!({}), json!({"taken": {"command": "f"}, "same": {"command": "x"}}), &live);
    let taken = after.by_name("taken").unwrap();
    assert_eq!((taken.definition.command(), &taken.origin), (Some("f"), &by_file()));
    assert_eq!(taken.id, live.by_name("taken").unwrap().id);
    assert!(Arc::ptr_eq(after.by_name("same").unwrap(), live.by_name("same").unwrap()));
}

#[test]
fn two_changes_that_do_not_fit_leave_the_files_word() {
    // The file dropped its address and kept its program, while an import dropped the program.
    let last = json!({"s": {"command": "c", "url": "http://a"}});
    let live = list(vec![("s", json!({"url": "http://a", "x": 1}), by_file())]);
    let after = applied(last, json!({"s": {"command": "c"}}), &live);
    assert_eq!(shown(&after), json!({"s": {"command": "c"}}));
}

#[test]
fn an_import_keeps_the_servers_that_stay_the_same() {
    let live = list(vec![
        ("a", json!({"command": "1", "args": []}), Origin::Api),
        ("b", json!({"command": "2"}), by_file()),
        ("c", json!({"command": "3"}), Origin::Api),
    ]);
    let wanted = vec![
        ("a".to_owned(), definition(json!({"command": "1", "args": []}))),
        ("c".to_owned(), definition(json!({"command": "3", "env": {}}))),
        ("b".to_owned(), definition(json!({"command": "other"}))),
        ("d".to_owned(), definition(json!({"command": "4"}))),
    ];
    let after = ServerList::new(with_stamp(at(2), |stamp| after_import(&live, wanted, stamp)));
    assert!(Arc::ptr_eq(&after.entries()[0], &live.entries()[0]), "in its place and the same");
    let (c, before) = (after.by_name("c").unwrap(), live.by_name("c").unwrap());
    assert_eq!((&c.id, c.updated_at, c.position), (&before.id, at(1), 2), "written otherwise");
    let b = after.by_name("b").unwrap();
    assert_eq!(b.position, 3, "moved behind");
    assert_eq!((&b.id, b.updated_at, &b.origin), (&live.by_name("b").unwrap().id, at(2), &by_file()));
    assert_eq!(after.by_name("d").unwrap().created_at, at(2));
}

fn entry() -> impl Strategy<Value = Value> {
    (0u8..3, prop::option::of(0u8..3), prop::option::of(prop::collection::btree_map("[AB]", "[12]", 0..3)))
        .prop_map(|(command, x, env)| {
            let mut value = json!({"command": command.to_string()});
            if let Some(x) = x {
                value["x"] = json!(x);
            }
            if let Some(env) = env {
                value["env"] = json!(env);
            }
            value
        })
}

fn servers() -> impl Strategy<Value = Value> {
    prop::collection::vec(("[a-e]", entry()), 0..5)
        .prop_map(|servers| Value::Object(servers.into_iter().collect()))
}

/// Action on the set: the file is changed and applied, or the API sets or removes a server.
#[derive(Debug, Clone)]
enum Act {
    Apply(Value),
    Set(String, Value),
    Remove(String),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        servers().prop_map(Act::Apply),
        ("[a-g]", entry()).prop_map(|(name, value)| Act::Set(name, value)),
        "[a-g]".prop_map(Act::Remove),
    ];
    prop::collection::vec(act, 1..12)
}

fn api(live: &ServerList, name: &str, value: Option<Value>) -> ServerList {
    let mut entries = live.entries().to_vec();
    match value {
        None => entries.retain(|entry| *entry.name != *name),
        Some(value) if live.by_name(name).is_some() => with_stamp(at(3), |stamp| {
            replace(&mut entries, name, |entry| stamp.redefined_by_api(entry, definition(value)));
        }),
        Some(value) => {
            let position = live.next_position();
            let made =
                |stamp: &mut ChangeContext<'_>| stamp.entry(name, definition(value), Origin::Api, position);
            entries.push(Arc::new(with_stamp(at(3), made)));
        }
    }
    ServerList::new(entries)
}

/// Checks what must hold after the file went from `last` to `wanted`.
fn check_application(last: &Value, wanted: &Value, before: &ServerList, after: &ServerList) {
    for entry in before.entries() {
        let asked = wanted.get(&*entry.name);
        if !entry.origin.is_file(FILE) && asked.is_none() {
            assert!(Arc::ptr_eq(entry, after.by_name(&entry.name).expect("left alone")));
        }
        let dropped = asked.is_none() && last.get(&*entry.name).is_some();
        assert_eq!(dropped && entry.origin.is_file(FILE), after.by_name(&entry.name).is_none());
    }
    for (name, value) in wanted.as_object().unwrap() {
        let same = last.get(name).is_some_and(|last| equivalent(&raw(last.clone()), &raw(value.clone())));
        let drifted = before.by_name(name).is_some_and(|entry| {
            last.get(name).is_some_and(|last| !equivalent(entry.definition.raw(), &raw(last.clone())))
        });
        if !same && !drifted {
            let entry = after.by_name(name).expect("the file asks for it");
            assert!(equivalent(entry.definition.raw(), &raw(value.clone())), "{name}");
        }
        if same {
            assert_eq!(before.by_name(name), after.by_name(name), "nothing new was asked for");
        }
    }
}

proptest! {
    #[test]
    fn applying_does_what_the_file_changed_and_nothing_twice(acts in acts()) {
        let mut live = list(vec![]);
        let mut last = json!({});
        for act in acts {
            match act {
                Act::Set(name, value) => live = api(&live, &name, Some(value)),
                Act::Remove(name) => live = api(&live, &name, None),
                Act::Apply(wanted) => {
                    let after = applied(last.clone(), wanted.clone(), &live);
                    check_application(&last, &wanted, &live, &after);
                    let again = applied(wanted.clone(), wanted.clone(), &after);
                    prop_assert_eq!(after.entries(), again.entries());
                    (last, live) = (wanted, after);
                }
            }
            let positions: Vec<u64> = live.entries().iter().map(|entry| entry.position).collect();
            prop_assert!(positions.is_sorted_by(|a, b| a < b), "{:?}", positions);
        }
    }

    #[test]
    fn meaning_the_same_is_symmetric_and_covers(a in entry(), b in entry()) {
        let (a, b) = (raw(a), raw(b));
        prop_assert!(equivalent(&a, &a));
        prop_assert_eq!(equivalent(&a, &b), equivalent(&b, &a));
        prop_assert!(!equivalent(&a, &b) || covered(&a, &b));
        prop_assert_eq!(with_members(&a, b.clone()).is_none(), b.iter().all(|(m, v)| same_member(m, Some(v), a.get(m))));
    }

    #[test]
    fn an_import_leaves_exactly_what_was_asked_for(before in servers(), wanted in servers()) {
        let before = applied(json!({}), before, &list(vec![]));
        let definitions = raw(wanted.clone()).into_iter().map(|(name, value)| (name, definition(value))).collect();
        let after = ServerList::new(with_stamp(at(5), |stamp| after_import(&before, definitions, stamp)));
        prop_assert_eq!(shown(&after).to_string(), wanted.to_string());
        let positions: Vec<u64> = after.entries().iter().map(|entry| entry.position).collect();
        prop_assert!(positions.is_sorted_by(|a, b| a < b), "{:?}", positions);
        for entry in after.entries() {
            let old = before.by_name(&entry.name);
            let same = old.is_some_and(|old| equivalent(old.definition.raw(), entry.definition.raw()));
            prop_assert_eq!(entry.updated_at, if same { at(2) } else { at(5) });
            prop_assert_eq!(entry.created_at, if old.is_some() { at(2) } else { at(5) });
            prop_assert!(old.is_none_or(|old| old.id == entry.id));
        }
    }
}
