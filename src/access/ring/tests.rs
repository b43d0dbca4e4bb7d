use std::num::NonZeroU32;

use super::super::{KeyLimits, Member, NewKey, NewKeySpec, Permissions, Plan, Role};
use super::*;

fn made(member: &str, expires_at: Option<u64>) -> NewKey {
    let wish = NewKeySpec {
        name: "k".to_owned(),
        description: None,
        member_id: member.into(),
        expires_at,
        permissions: Permissions::default(),
        limits: KeyLimits::default(),
    };
    NewKey::generate(wish, 0).expect("random bytes")
}

fn put(ring: &KeyRing, records: impl IntoIterator<Item = KeyRecord>) {
    ring.replace(records);
}

#[test]
fn a_key_is_found_and_any_other_text_is_not() {
    let made = made("user_owner", None);
    assert_eq!(made.text.len(), 8 + 43);
    let ring = KeyRing::default();
    put(&ring, [made.record.clone()]);
    assert_eq!(*ring.authenticate(&made.text, 7).expect("valid").key_id(), made.record.id);
    assert_eq!(ring.key(&made.record.id, 7).expect("there").last_used, Some(7));
    assert_eq!(ring.last_active("user_owner"), Some(7));
    let mut other = made.text.clone();
    other.pop();
    for token in [other.as_str(), "", "pk_live_x", "with blank", &"x".repeat(257)] {
        assert_eq!(ring.authenticate(token, 7).err(), Some(CredentialError::Unknown), "{token:?}");
    }
    put(&ring, []);
    assert_eq!(ring.authenticate(&made.text, 7).err(), Some(CredentialError::Unknown));
}

#[test]
fn what_ends_a_key_is_told_to_its_holder() {
    let ring = KeyRing::default();
    let (short, lost) = (made("user_owner", Some(10)), made("user_gone", None));
    let mut revoked = made("user_owner", None);
    revoked.record.revoked_at = Some(3);
    put(&ring, [&short, &lost, &revoked].map(|key| key.record.clone()));
    assert!(ring.authenticate(&short.text, 9).is_ok());
    assert_eq!(ring.authenticate(&short.text, 10).err(), Some(CredentialError::Expired));
    assert_eq!(ring.authenticate(&lost.text, 9).err(), Some(CredentialError::Revoked));
    assert_eq!(ring.authenticate(&revoked.text, 9).err(), Some(CredentialError::Revoked));
    assert_eq!((ring.active(9), ring.active(10)), (1, 0));
}

#[test]
fn a_key_has_only_so_many_calls_at_once_also_across_changes_of_the_ring() {
    let (ring, made) = (KeyRing::default(), made("user_owner", None));
    put(&ring, [made.record.clone()]);
    let principal = ring.authenticate(&made.text, 1).expect("valid");
    let held = principal.begin_call(2).expect("the first");
    put(&ring, [made.record.clone()]);
    let again = ring.authenticate(&made.text, 1).expect("valid");
    let second = again.begin_call(2).expect("the second");
    assert!(again.begin_call(2).is_none());
    drop(held);
    assert!(again.begin_call(2).is_some());
    drop(second);
}

#[test]
fn the_keys_of_a_member_share_its_budget() {
    let mut tenancy = Tenancy::default();
    tenancy.organization.plan = Arc::new(Plan::with_rate("two", Some(2)));
    let ring = KeyRing::new(tenancy);
    let keys = [made("user_owner", None), made("user_owner", None)];
    put(&ring, keys.iter().map(|key| key.record.clone()));
    let [a, b] = keys.map(|key| ring.authenticate(&key.text, 1).expect("valid"));
    let readings =
        [a.take_request(), b.take_request(), a.take_request()].map(|reading| reading.expect("limited"));
    assert_eq!(readings.map(|reading| reading.refused.is_some()), [false, false, true]);
    assert!(ring.local_operator().take_request().is_none());
}

fn rate(limit: u32) -> KeyLimits {
    KeyLimits { requests_per_second: NonZeroU32::new(limit), ..KeyLimits::default() }
}

#[test]
fn what_a_key_or_its_member_has_used_outlives_every_change_of_the_ring() {
    let mut tenancy = Tenancy::default();
    tenancy.organization.plan = Arc::new(Plan::with_rate("three", Some(3)));
    let ring = KeyRing::new(tenancy.clone());
    let [a, b] = [made("user_owner", None), made("user_owner", None)];
    let mut limited = a.record.clone();
    limited.limits = rate(2);
    let keys = [limited.clone(), b.record.clone()];
    put(&ring, keys.clone());
    let left = |key: &NewKey| {
        let reading = ring.authenticate(&key.text, 1).expect("valid").take_request().expect("limited");
        (reading.limit, reading.remaining, reading.refused.is_some())
    };
    assert_eq!(left(&a), (2, 1, false));
    // One more member, another name of the owner, the same keys again: no bucket is refilled.
    tenancy.members.push(Arc::new(Member { id: "user_new".into(), ..Tenancy::default_owner() }));
    tenancy.members[0] = Arc::new(Member { name: "Olga".to_owned(), ..Tenancy::default_owner() });
    ring.govern(tenancy.clone());
    put(&ring, keys.clone());
    assert_eq!(left(&a), (2, 0, false));
    assert_eq!(left(&a), (2, 0, true), "its own bucket is empty");
    assert_eq!(left(&b), (3, 0, false), "and the refusal took nothing from the member's");
    assert_eq!(left(&b), (3, 0, true));
    // Neither does another rate, or another text, refill one.
    limited.limits = rate(1);
    let rotated = NewKey::rotate(&limited, 1, 1).expect("random bytes");
    put(&ring, [rotated.record.clone(), b.record.clone()]);
    assert!(left(&rotated).2 && left(&b).2);
    assert_eq!(ring.last_active("user_owner"), Some(1));
}

#[test]
fn a_replaced_text_is_accepted_for_its_grace_and_told_apart_afterwards() {
    let (ring, first) = (KeyRing::default(), made("user_owner", None));
    put(&ring, [first.record.clone()]);
    let held = ring.authenticate(&first.text, 1).expect("valid");
    let second = NewKey::rotate(&first.record, 10, 20).expect("random bytes");
    put(&ring, [second.record.clone()]);
    assert_eq!(*ring.authenticate(&second.text, 10).expect("valid").key_id(), first.record.id);
    assert!(ring.authenticate(&first.text, 19).is_ok());
    assert_eq!(ring.authenticate(&first.text, 20).err(), Some(CredentialError::Revoked));
    assert!(held.again(19).is_ok() && held.again(20).is_err());
    let third = NewKey::rotate(&second.record, 15, 15).expect("random bytes");
    put(&ring, [third.record.clone()]);
    assert_eq!(ring.authenticate(&first.text, 15).err(), Some(CredentialError::Unknown));
    assert_eq!(ring.authenticate(&second.text, 15).err(), Some(CredentialError::Revoked));
    assert_eq!(ring.keys(15).len(), 1);
    let mut revoked = third.record.clone();
    revoked.revoked_at = Some(16);
    put(&ring, [revoked]);
    assert!(ring.local_operator().again(17).is_ok());
    assert_eq!(ring.authenticate(&third.text, 17).err(), Some(CredentialError::Revoked));
}

#[tokio::test]
async fn calls_under_way_are_told_of_changes_of_their_own_member_or_plan_only() {
    let mut tenancy = Tenancy::default();
    let member = |role| Arc::new(Member { id: "user_b".into(), role, ..Tenancy::default_owner() });
    tenancy.members.push(member(Role::Admin));
    let (ring, [a, b]) = (KeyRing::new(tenancy.clone()), [made("user_owner", None), made("user_b", None)]);
    put(&ring, [&a, &b].map(|key| key.record.clone()));
    let [of_a, of_b] = [&a, &b].map(|key| ring.authenticate(&key.text, 1).expect("valid"));
    let changed = of_b.changed();
    tenancy.members[1] = member(Role::Member);
    ring.govern(tenancy.clone());
    changed.await;
    assert!(of_a.is_unchanged() && !of_b.is_unchanged());
    assert_eq!(of_b.again(1).map(|now| now.role()), Ok(Role::Member));
    // The organization's plan holds for every member without one of its own.
    let (changed, operator) = (of_a.changed(), ring.local_operator());
    tenancy.organization.plan = Arc::new(Plan::with_rate("two", Some(2)));
    ring.govern(tenancy.clone());
    changed.await;
    assert_eq!(of_a.again(1).map(|now| now.plan().requests_per_second), Ok(Some(2)));
    assert!(operator.again(1).is_ok() && ring.local_operator().is_unchanged());
    let changed = of_b.changed();
    tenancy.members.pop();
    ring.govern(tenancy);
    changed.await;
    assert_eq!(of_b.again(1).err(), Some(CredentialError::Revoked));
}

#[test]
fn keys_end_with_their_member_and_act_with_its_role_from_then_on() {
    let mut tenancy = Tenancy::default();
    tenancy.members.push(Arc::new(Member {
        id: "user_b".into(),
        role: Role::Admin,
        ..Tenancy::default_owner()
    }));
    let (ring, key) = (KeyRing::new(tenancy.clone()), made("user_b", None));
    put(&ring, [key.record.clone()]);
    let before = ring.authenticate(&key.text, 1).expect("valid");
    assert!(ring.administers(&key.record, 1));
    tenancy.members[1] = Arc::new(Member { role: Role::Viewer, ..Member::clone(&tenancy.members[1]) });
    ring.govern(tenancy.clone());
    assert_eq!(ring.authenticate(&key.text, 1).expect("valid").role(), Role::Viewer);
    assert_eq!(before.again(1).map(|now| now.role()), Ok(Role::Viewer));
    tenancy.members.pop();
    ring.govern(tenancy);
    assert_eq!(ring.authenticate(&key.text, 1).err(), Some(CredentialError::Revoked));
    assert!(before.again(1).is_err() && !ring.administers(&key.record, 1));
}
