//! Tests of keys as the registry makes and ends them: by whom, how many, and on which disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, json};

use super::tests::{FailingStore, operator, settings};
use super::*;
use crate::access::{
    AccessError, CredentialError, ENDED_KEPT, KeyChange, KeyLimits, KeyStatus, Member, NewKey, NewKeySpec,
    Permissions, Plan, PlanRecord, Principal, Role, Tenancy,
};
use crate::clock::simulated::set_wall as set_clock;
use crate::pins::Approval;
use crate::store::{DurableStore, MemoryStore, Store};

const NOW: u64 = 1_000_000;

/// Returns an organization with a plan, an owner, an administrator and two members.
fn tenancy(change: impl FnOnce(&mut Plan)) -> Tenancy {
    let mut plan = Plan::with_rate("p", None);
    change(&mut plan);
    let mut tenancy = Tenancy::default();
    tenancy.organization.plan = Arc::new(plan);
    let member = |id: &str, role| Member { id: id.into(), role, ..Tenancy::default_owner() };
    tenancy.members = [
        member("user_owner", Role::Owner),
        member("user_admin", Role::Admin),
        member("user_joe", Role::Member),
        member("user_ann", Role::Member),
    ]
    .map(Arc::new)
    .into();
    tenancy
}

fn wish(member: &str) -> NewKeySpec {
    NewKeySpec {
        limits: KeyLimits::default(),
        name: "k".to_owned(),
        description: None,
        member_id: member.into(),
        expires_at: None,
        permissions: Permissions::default(),
    }
}

/// Returns a change of a key's name.
fn named(name: &str) -> KeyChange {
    KeyChange { name: Some(name.to_owned()), ..KeyChange::default() }
}

/// Opens a registry on a store that can be told to fail.
fn registry(dir: &Path, store: &Arc<FailingStore>, tenancy: Tenancy) -> (Registry, KeyRing) {
    set_clock(NOW);
    let ring = KeyRing::new(tenancy);
    let registry =
        Registry::open(DurableStore::bare(store.clone()), settings(dir), &ring, &PinBook::default())
            .expect("opens");
    (registry, ring)
}

fn holder(ring: &KeyRing, key: &NewKey) -> Principal {
    ring.authenticate(&key.text, NOW).expect("accepted")
}

fn status(ring: &KeyRing, key: &NewKey) -> KeyStatus {
    ring.key(&key.record.id, NOW).expect("kept").status
}

#[test]
fn on_a_full_disk_a_revocation_is_in_force_and_outlives_the_daemon() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let key = registry.create_key(&operator(), wish("user_joe")).unwrap();
    let caller = holder(&ring, &key);
    store.apply_fails.store(true, Ordering::SeqCst);
    assert!(matches!(registry.create_key(&operator(), wish("user_joe")), Err(Error::Store { .. })));
    let done = registry.revoke_key(&caller, &key.record.id, Revoke::Key).expect("in force");
    assert_eq!((done.durable, &done.revoked[..]), (true, &[key.record.id.clone()][..]), "the reserve has it");
    assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
    assert_eq!(caller.again(NOW).err(), Some(CredentialError::Revoked));
    drop(registry);

    // Also where the disk is still full.
    let (mut registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
    store.apply_fails.store(false, Ordering::SeqCst);
    registry.store_pending_revocations();
    assert!(registry.owed.is_empty());
    drop(registry);
    std::fs::remove_file(dir.path().join("reserve")).unwrap();
    let (_registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    assert_eq!(
        ring.authenticate(&key.text, NOW).err(),
        Some(CredentialError::Revoked),
        "it is in the store now"
    );
}

fn person() -> MemberRequest {
    let id = Some("user_new".to_owned());
    MemberRequest { id, name: None, email: None, role: Role::Member, plan: None }
}

#[test]
fn on_a_full_disk_a_member_is_removed_with_its_keys_and_stays_so() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let key = registry.create_key_with_member(&operator(), person(), wish("")).unwrap();
    assert_eq!(*key.record.member_id, *"user_new");
    let caller = holder(&ring, &key);
    store.close(true);
    let removal = registry.remove_member(&operator(), "user_new").expect("in force");
    assert_eq!(
        removal,
        Removal { revoked: vec![key.record.id.clone()], durable: true },
        "the reserve has it"
    );
    let is_gone = |ring: &KeyRing| {
        assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
        assert!(ring.tenancy().member("user_new").is_none());
    };
    is_gone(&ring);
    assert_eq!(caller.again(NOW).err(), Some(CredentialError::Revoked));
    assert!(matches!(registry.remove_member(&operator(), "user_new"), Err(Error::MemberNotFound)));
    let refused = registry.add_member(&operator(), person());
    assert!(matches!(refused, Err(Error::Store { .. })), "nobody takes its place: {refused:?}");
    drop(registry);

    // The next start can read it, and write nothing.
    store.reads_fail.store(false, Ordering::SeqCst);
    let (mut registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    is_gone(&ring);
    store.close(false);
    // Another one of that name, before anybody has thought of what is owed.
    registry.add_member(&operator(), person()).expect("the disk takes it");
    assert!(registry.owed.is_empty());
    assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
    registry.remove_member(&operator(), "user_new").unwrap();
    drop(registry);
    std::fs::remove_file(dir.path().join("reserve")).unwrap();
    let (_registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    is_gone(&ring);
}

#[test]
fn a_removal_that_is_not_durable_says_so_and_is_stored_in_the_end() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let key = registry.create_key_with_member(&operator(), person(), wish("")).unwrap();
    store.close(true);
    registry.owed.break_reserve(true);
    assert!(!registry.remove_member(&operator(), "user_new").expect("in force").durable);
    assert_eq!(registry.owed.fleeting().load(Ordering::Relaxed), 1);
    let again = registry.revoke_key(&operator(), &key.record.id, Revoke::Key).expect("as it was");
    assert_eq!((again.durable, again.revoked.len()), (false, 0), "its key went with it");
    assert!(ring.tenancy().member("user_new").is_none());
    store.close(false);
    registry.store_pending_revocations();
    assert!(registry.owed.is_empty());
    drop(registry);
    let (_registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
    assert!(ring.tenancy().member("user_new").is_none());
}

#[test]
fn room_is_kept_for_the_removal_of_a_member_however_many_keys_it_has() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let first = registry.create_key_with_member(&operator(), person(), wish("")).unwrap();
    let mut keys = vec![first];
    keys.extend((0..1_500).map(|_| registry.create_key(&operator(), wish("user_new")).unwrap()));
    store.close(true);
    let removal = registry.remove_member(&operator(), "user_new").expect("in force");
    assert_eq!((removal.durable, removal.revoked.len()), (true, keys.len()));
    drop((registry, ring));
    store.reads_fail.store(false, Ordering::SeqCst);
    let (_registry, ring) = self::registry(dir.path(), &store, tenancy(|_| {}));
    assert!(keys.iter().all(|key| ring.authenticate(&key.text, NOW).err() == Some(CredentialError::Revoked)));
}

/// Checks that a member of the file with the id of one whose removal is owed is somebody else.
#[test]
fn what_is_owed_takes_no_key_of_a_later_member_of_that_name() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let old = registry.create_key_with_member(&operator(), person(), wish("")).unwrap();
    store.close(true);
    registry.remove_member(&operator(), "user_new").expect("in force");
    let mut filed = tenancy(|_| {});
    let role = Role::Member;
    filed.members.push(Arc::new(Member { id: "user_new".into(), role, ..Tenancy::default_owner() }));
    registry.reload_tenancy(filed.clone()).owner_key.expect("somebody may administer");
    store.close(false);
    set_clock(NOW + 1);
    let new = registry.create_key(&operator(), wish("user_new")).expect("made");
    registry.store_pending_revocations();
    let refused = |ring: &KeyRing, key: &NewKey| ring.authenticate(&key.text, NOW + 1).err();
    assert_eq!((refused(&ring, &new), refused(&ring, &old)), (None, Some(CredentialError::Revoked)));
    drop(registry);
    let (_registry, ring) = self::registry(dir.path(), &store, filed);
    assert_eq!((refused(&ring, &new), refused(&ring, &old)), (None, Some(CredentialError::Revoked)));
}

/// Checks that only an end of authority is in force without being stored. A change of authority would come back
/// wider with the next start, and nobody would know; callers who need it now can end the authority.
#[test]
fn what_is_no_end_is_refused_as_a_whole_on_a_disk_that_takes_nothing() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let plan = |monthly_requests| PlanRecord {
        name: "own".into(),
        requests_per_second: None,
        monthly_requests: Some(monthly_requests),
        max_mcps: None,
        max_api_keys: None,
        max_members: None,
    };
    registry.put_plan(&operator(), plan(9)).unwrap();
    let key = registry.create_key_with_member(&operator(), person(), wish("")).unwrap();
    let (tenancy_before, record) = (ring.tenancy(), ring.key(&key.record.id, NOW).unwrap().record);
    store.close(true);
    let narrow = json!({"mcps": []}).try_into().expect("good");
    let change = KeyChange { permissions: Some(narrow), ..KeyChange::default() };
    let viewer = MemberChange { role: Some(Role::Viewer), ..MemberChange::default() };
    let outcomes = [
        registry.amend_key(&operator(), &key.record.id, &change),
        registry.rotate_key(&operator(), &key.record.id, 0).map(drop),
        registry.change_member(&operator(), "user_new", &viewer).map(drop),
        registry.put_plan(&operator(), plan(1)).map(drop),
        registry.remove_plan(&operator(), "own"),
    ];
    for (n, outcome) in outcomes.iter().enumerate() {
        assert!(matches!(outcome, Err(Error::Store { .. })), "act {n}: {outcome:?}");
    }
    assert_eq!(ring.tenancy(), tenancy_before);
    assert_eq!(ring.key(&key.record.id, NOW).unwrap().record, record);
    holder(&ring, &key);
    assert!(registry.owed.is_empty());
    registry.revoke_key(&operator(), &key.record.id, Revoke::Key).expect("the end is there for it");
    assert!(ring.authenticate(&key.text, NOW).is_err());
}

#[test]
fn on_a_full_disk_members_that_the_file_has_no_more_are_refused() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let key = registry.create_key(&operator(), wish("user_joe")).unwrap();
    let caller = holder(&ring, &key);
    store.close(true);
    let mut filed = tenancy(|_| {});
    filed.members.retain(|member| !["user_joe", "user_owner"].contains(&&*member.id));
    let chief = Member { id: "user_chief".into(), ..Tenancy::default_owner() };
    filed.members.push(Arc::new(chief));
    let reloaded = registry.reload_tenancy(filed);
    let removed: Vec<&str> = reloaded.removed.iter().map(|id| &**id).collect();
    assert_eq!(removed, ["user_owner", "user_joe"]);
    assert!(reloaded.owner_key.is_err(), "there is no key for who may administer now");
    assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
    assert_eq!(caller.again(NOW).err(), Some(CredentialError::Revoked));
}

#[test]
fn a_member_and_its_first_key_are_made_together_or_not_at_all() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|plan| plan.max_api_keys = Some(1)));
    let before = store.scan_prefix(b"").unwrap();
    let refused = registry.create_key_with_member(&operator(), person(), wish(""));
    assert!(matches!(refused, Err(Error::LimitReached { resource: "api_keys", limit: 1 })));
    assert!(ring.tenancy().member("user_new").is_none());
    assert_eq!(store.scan_prefix(b"").unwrap(), before);
}

#[test]
fn a_revocation_that_is_not_durable_says_so_and_is_tried_again() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let keys: Vec<NewKey> =
        (0..3).map(|_| registry.create_key(&operator(), wish("user_joe")).unwrap()).collect();
    store.apply_fails.store(true, Ordering::SeqCst);
    registry.owed.break_reserve(true);
    let fleeting = registry.owed.fleeting();
    for (count, key) in keys.iter().enumerate() {
        let done = registry.revoke_key(&operator(), &key.record.id, Revoke::Key).expect("in force");
        assert!(!done.durable);
        assert_eq!(ring.authenticate(&key.text, NOW).err(), Some(CredentialError::Revoked));
        assert_eq!(fleeting.load(Ordering::Relaxed), count + 1);
    }
    let again = registry.revoke_key(&operator(), &keys[0].record.id, Revoke::Key).expect("as it was");
    assert_eq!((again.durable, again.revoked.len()), (false, 0), "nothing has changed");
    registry.owed.break_reserve(false);
    registry.store_pending_revocations();
    assert_eq!(fleeting.load(Ordering::Relaxed), 0, "the reserve has them");
    assert!(registry.revoke_key(&operator(), &keys[0].record.id, Revoke::Key).unwrap().durable);
    assert!(!registry.owed.is_empty());
    store.apply_fails.store(false, Ordering::SeqCst);
    registry.store_pending_revocations();
    assert!(registry.owed.is_empty());
}

#[test]
fn a_key_knows_who_made_it_and_takes_along_what_it_made() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let admin = registry.create_key(&operator(), wish("user_admin")).unwrap();
    let by_admin = registry.create_key(&holder(&ring, &admin), wish("user_joe")).unwrap();
    let by_joe = registry.create_key(&holder(&ring, &by_admin), wish("user_joe")).unwrap();
    let other = registry.create_key(&operator(), wish("user_joe")).unwrap();
    let maker = by_joe.record.created_by.as_ref().expect("known");
    assert_eq!((&maker.key_id, &*maker.member_id), (&by_admin.record.id, "user_joe"));
    assert_eq!(ring.descendants(&admin.record.id).len(), 2);
    // A member takes only its own along, an administrator everybody's.
    let joe = holder(&ring, &other);
    let refused = registry.revoke_key(&joe, &admin.record.id, Revoke::Descendants);
    assert!(refused.is_ok(), "both are joe's: {refused:?}");
    assert_eq!((status(&ring, &by_admin), status(&ring, &by_joe)), (KeyStatus::Revoked, KeyStatus::Revoked));
    assert_eq!((status(&ring, &admin), status(&ring, &other)), (KeyStatus::Active, KeyStatus::Active));
    let ann = registry.create_key(&holder(&ring, &admin), wish("user_ann")).unwrap();
    for what in [Revoke::Key, Revoke::Both, Revoke::Descendants] {
        let refused = registry.revoke_key(&joe, &admin.record.id, what);
        assert!(matches!(refused, Err(Error::Access(AccessError::Forbidden { .. }))), "{what:?}");
    }
    let done = registry.revoke_key(&operator(), &admin.record.id, Revoke::Both).unwrap();
    let mut expected = [admin.record.id.clone(), ann.record.id.clone()];
    expected.sort();
    assert_eq!(done.revoked, expected, "the others were revoked before");
    assert_eq!(status(&ring, &other), KeyStatus::Active);
}

#[test]
fn descendants_never_take_the_last_key_that_administers_along() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let text = std::fs::read_to_string(dir.path().join("owner.key")).unwrap();
    let owner = ring.authenticate(text.trim(), NOW).expect("the first key");
    let second = registry.create_key(&owner, wish("user_owner")).unwrap();
    let third = registry.create_key(&owner, wish("user_joe")).unwrap();
    let id = owner.key_id().clone();
    let refused = registry.revoke_key(&owner, &id, Revoke::Both).expect_err("nobody would be left");
    assert_eq!(refused.to_string(), "Cannot revoke your only active key");
    assert_eq!((status(&ring, &second), status(&ring, &third)), (KeyStatus::Active, KeyStatus::Active));
    let done = registry.revoke_key(&owner, &id, Revoke::Descendants).unwrap();
    assert_eq!((done.revoked.len(), done.key.expect("kept").status), (2, KeyStatus::Active));
    assert!(registry.revoke_key(&owner, &id, Revoke::Key).is_err(), "it is the last one again");
}

#[tokio::test]
async fn nothing_is_done_for_a_key_that_was_revoked_while_it_waited_for_its_turn() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(|_| {}));
    let key = registry.create_key(&operator(), wish("user_admin")).unwrap();
    let caller = holder(&ring, &key);
    registry.add("a", command()).unwrap();
    registry.revoke_key(&operator(), &key.record.id, Revoke::Key).unwrap();
    let before = store.scan_prefix(b"").unwrap();
    let handle = registry.start(Box::new(|_| {})).unwrap();
    let server = handle.list().entries()[0].id.clone();
    let approval = Approval { digest: crate::mcp::ToolDigest::of_all(std::iter::empty()), tools: None };
    let outcomes = [
        handle.create_key(&caller, wish("user_admin")).await.map(drop),
        handle.amend_key(&caller, &key.record.id, named("x")).await,
        handle.rotate_key(&caller, &key.record.id, 0).await.map(drop),
        handle.govern(&caller, |registry, by| registry.remove_member(by, "user_joe")).await.map(drop),
        handle.revoke_key(&caller, &key.record.id, Revoke::Both).await.map(drop),
        handle.add(&caller, "b", command()).await,
        handle.update(&caller, "a", Map::from_iter([("args".to_owned(), json!(["1"]))])).await,
        handle.remove(&caller, "a").await,
        handle.export(&caller, "out.json").await,
        handle.import(&caller, "out.json").await.map(drop),
        handle.approve_tools(&caller, &server, Arc::default(), approval, "user_admin".into()).await,
    ];
    for (n, outcome) in outcomes.iter().enumerate() {
        assert!(matches!(outcome, Err(Error::Access(AccessError::KeyRevoked))), "act {n}: {outcome:?}");
    }
    assert_eq!(store.scan_prefix(b"").unwrap(), before);
    assert!(!dir.path().join("out.json").exists());
    handle.close().await.unwrap();
}

#[tokio::test]
async fn no_limit_of_a_plan_is_passed_by_asking_at_once() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let limit = |plan: &mut Plan| (plan.max_api_keys, plan.max_mcps) = (Some(5), Some(5));
    let (mut registry, ring) = registry(dir.path(), &store, tenancy(limit));
    let key = registry.create_key(&operator(), wish("user_admin")).unwrap();
    let caller = holder(&ring, &key);
    let handle = registry.start(Box::new(|_| {})).unwrap();
    let asking: Vec<_> = (0..30)
        .map(|n| {
            let (handle, caller) = (handle.clone(), caller.clone());
            tokio::spawn(async move {
                let key = handle.create_key(&caller, wish("user_joe")).await.map(drop);
                (key, handle.add(&caller, &format!("s{n}"), command()).await)
            })
        })
        .collect();
    let (mut keys, mut servers) = (0, 0);
    for asked in asking {
        let (key, server) = asked.await.unwrap();
        for (count, outcome) in [(&mut keys, key), (&mut servers, server)] {
            match outcome {
                Ok(()) => *count += 1,
                Err(Error::LimitReached { limit, .. }) => assert_eq!(limit, 5),
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    // The owner's and the asker's are keys, too.
    assert_eq!((keys, servers), (3, 5));
    assert_eq!((ring.active(NOW), handle.list().entries().len()), (5, 5));
    let six = json!({"mcpServers": (0..6).map(|n| (format!("i{n}"), json!({"command": "x"}))).collect::<Map<_, _>>()});
    std::fs::write(dir.path().join("six.json"), six.to_string()).unwrap();
    let refused = handle.import(&caller, "six.json").await.expect_err("by a file neither");
    assert!(matches!(refused, Error::LimitReached { resource: "mcps", limit: 5 }), "{refused:?}");
    handle.close().await.unwrap();
}

#[test]
fn one_member_takes_nobody_s_keys_away_and_ended_ones_make_room() {
    let (dir, store) = (tempfile::tempdir().unwrap(), Arc::<FailingStore>::default());
    let mut tenancy = tenancy(|_| {});
    // So many that each may have ten.
    tenancy.members.extend((0..996).map(|n| {
        Arc::new(Member { id: format!("user_{n}").into(), role: Role::Member, ..Tenancy::default_owner() })
    }));
    let (mut registry, ring) = registry(dir.path(), &store, tenancy);
    let joe = registry.create_key(&operator(), wish("user_joe")).unwrap();
    let joe = holder(&ring, &joe);
    let mut made: Vec<NewKey> =
        (0..9).map(|_| registry.create_key(&joe, wish("user_joe")).expect("within its share")).collect();
    let refused = registry.create_key(&joe, wish("user_joe")).err().expect("its share is used up");
    assert!(matches!(refused, Error::LimitReached { resource: "api_keys", limit: 10 }), "{refused:?}");
    registry.create_key(&operator(), wish("user_owner")).expect("others have their own");
    for round in 0..ENDED_KEPT + 20 {
        let ended = made.pop().expect("one of the nine");
        registry.revoke_key(&joe, &ended.record.id, Revoke::Key).unwrap();
        made.push(
            registry.create_key(&joe, wish("user_joe")).unwrap_or_else(|error| panic!("{round}: {error}")),
        );
    }
    let own = ring.keys(NOW).into_iter().filter(|key| &*key.record.member_id == "user_joe").count();
    assert_eq!(own, 10 + ENDED_KEPT, "of ended ones only so many are kept");
    assert_eq!(store.scan_prefix(b"k/").unwrap().len(), own + 2, "and no more in the store");
    assert_eq!(ring.active_of("user_joe", NOW), 10);
}

#[test]
fn what_was_not_kept_for_a_key_of_an_earlier_version_is_told_as_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    let old = json!({
        "id": "key_1", "member_id": "user_owner", "name": "owner key", "prefix": "pk_live_abc",
        "hash": vec![7; 32], "created_at": 5, "permissions": {"mcps": "*"},
    });
    let value = crate::store::encode(&old).unwrap();
    store.apply(vec![Op::Put { key: b"k/key_1".to_vec(), value }]).unwrap();
    let ring = KeyRing::default();
    let mut registry =
        Registry::open(DurableStore::bare(store), settings(dir.path()), &ring, &PinBook::default())
            .expect("opens");
    assert_eq!(ring.key("key_1", NOW).expect("there").record.created_by, None);
    assert!(!dir.path().join("owner.key").exists(), "it administers as before");
    registry.amend_key(&operator(), "key_1", &named("x")).unwrap();
    assert_eq!(ring.key("key_1", NOW).expect("there").record.created_by, None);
}

fn command() -> Map<String, Value> {
    Map::from_iter([("command".to_owned(), json!("x"))])
}
