//! All keys, and who each belongs to: looked up by every request, changed now and then. Lookups take
//! no lock. What a key has done since the start outlives changes of the ring.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use subtle::ConstantTimeEq;

use super::charter::{Charter, Member, Plan, Role};
use super::key::{Hash, KeyRecord, KeyStatus, hash};
use super::limits::KeyLimits;
use super::permissions::Permissions;
use super::rate::{Bucket, RateReading, take_both};

/// The id that stands for the operator of this machine, who needs no key for `/api`.
pub const LOCAL_OPERATOR: &str = "local";

/// Why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Unknown, or not of a form a key can have.
    Unknown,
    /// The key has expired.
    Expired,
    /// The key was revoked, or its member is no more.
    Revoked,
}

/// What a member has in common for all its keys. One whose member changes has the same bucket and the
/// same history before and after.
#[derive(Debug)]
struct Account {
    member: Arc<Member>,
    /// The member's own plan or the organization's.
    plan: Arc<Plan>,
    bucket: Option<Arc<Bucket>>,
    /// Seconds since 1970; 0 for never.
    last_active: Arc<AtomicU64>,
}

/// What a key has done.
#[derive(Debug, Default)]
struct KeyState {
    calls: AtomicUsize,
    /// Seconds since 1970; 0 for never.
    last_used: AtomicU64,
}

#[derive(Debug)]
struct Entry {
    record: KeyRecord,
    /// `None` when its member is no more.
    account: Option<Arc<Account>>,
    /// How much it may: its own limits, or the default for keys.
    limits: KeyLimits,
    bucket: Option<Arc<Bucket>>,
    state: Arc<KeyState>,
}

/// Who is calling: a key and the member that owns it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    entry: Arc<Entry>,
    account: Arc<Account>,
}

impl Principal {
    /// The key's id (`key_…`).
    pub fn key_id(&self) -> &Arc<str> {
        &self.entry.record.id
    }

    /// The member that owns the key.
    pub fn member(&self) -> &Member {
        &self.account.member
    }

    /// What it may do.
    pub fn role(&self) -> Role {
        self.account.member.role
    }

    /// What it is limited to.
    pub fn permissions(&self) -> &Permissions {
        &self.entry.record.permissions
    }

    /// What is stored of the key.
    pub fn record(&self) -> &KeyRecord {
        &self.entry.record
    }

    /// What the member is entitled to.
    pub fn plan(&self) -> &Plan {
        &self.account.plan
    }

    /// How much the key may: its own limits, or the default for keys.
    pub fn limits(&self) -> &KeyLimits {
        &self.entry.limits
    }

    /// Takes a request from the key's budget and the member's, or from neither; tells the tighter one.
    /// `None` where neither has a limit.
    pub fn take_request(&self) -> Option<RateReading> {
        let (own, shared) = (self.entry.bucket.as_deref(), self.account.bucket.as_deref());
        if own.is_none() && shared.is_none() {
            return None;
        }
        take_both(own, shared, Instant::now())
    }

    /// Begins a call, which ends when the guard is dropped; `None` when the key has this many already.
    pub fn begin_call(&self, at_most: usize) -> Option<CallOfKey<'_>> {
        let state = &self.entry.state;
        // Taken first and given back, so that no two can take the last place.
        if state.calls.fetch_add(1, Ordering::Relaxed) >= at_most {
            state.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(CallOfKey(state))
    }
}

/// A call of a key that is under way.
#[derive(Debug)]
pub struct CallOfKey<'a>(&'a KeyState);

impl Drop for CallOfKey<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A key as it is now, for showing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// What is stored of it.
    pub record: KeyRecord,
    /// What becomes of it when it is presented.
    pub status: KeyStatus,
    /// When it was last presented, seconds since 1970.
    pub last_used: Option<u64>,
}

struct Table {
    charter: Arc<Charter>,
    accounts: HashMap<Arc<str>, Arc<Account>>,
    by_hash: HashMap<Hash, Arc<Entry>, RandomState>,
    /// The texts that keys had before, and until when they are accepted, seconds since 1970.
    replaced: HashMap<Hash, (Arc<Entry>, u64), RandomState>,
    operator: Principal,
}

/// The keys. Cheap to clone. Changed by one thread only.
#[derive(Clone)]
pub struct KeyRing {
    table: Arc<ArcSwap<Table>>,
}

impl Default for KeyRing {
    fn default() -> KeyRing {
        KeyRing::new(Charter::default())
    }
}

impl KeyRing {
    /// A ring without keys, for these members.
    pub fn new(charter: Charter) -> KeyRing {
        KeyRing { table: Arc::new(ArcSwap::from_pointee(Table::new(Arc::new(charter), [], None))) }
    }

    /// The organization and its members.
    pub fn charter(&self) -> Arc<Charter> {
        self.table.load().charter.clone()
    }

    /// Replaces the keys. One that is not among them, or revoked there, is refused from now on.
    pub fn replace(&self, records: impl IntoIterator<Item = KeyRecord>) {
        let before = self.table.load();
        self.table.store(Arc::new(Table::new(before.charter.clone(), records, Some(&before))));
    }

    /// Replaces the organization, its members and the plans. Keys of members that are no more are refused
    /// from now on. Buckets and counts of whoever has the same rate as before go on as they are.
    pub fn govern(&self, charter: Charter) {
        let before = self.table.load();
        let records = before.by_hash.values().map(|entry| entry.record.clone());
        self.table.store(Arc::new(Table::new(Arc::new(charter), records, Some(&before))));
    }

    /// Whoever somebody is by now; `None` when the key or its member is no more, was revoked, was given
    /// another text or has expired, at this moment in seconds since 1970.
    pub fn again(&self, principal: &Principal, now: u64) -> Option<Principal> {
        let table = self.table.load();
        let record = principal.record();
        if *record.id == *LOCAL_OPERATOR {
            return Some(table.operator.clone());
        }
        // A text that was replaced is as good here as it is for a new request.
        let entry = table.by_hash.get(&record.hash).or_else(|| table.before(&record.hash, now).ok());
        let entry =
            entry.filter(|entry| entry.record.id == record.id && status(entry, now) == KeyStatus::Active)?;
        Some(Principal { entry: entry.clone(), account: entry.account.clone()? })
    }

    /// Notes when keys were used before this start, seconds since 1970.
    pub fn used_before(&self, last_used: &HashMap<Arc<str>, u64>) {
        for entry in self.table.load().by_hash.values() {
            let Some(at) = last_used.get(&entry.record.id) else { continue };
            entry.state.last_used.fetch_max(*at, Ordering::Relaxed);
            if let Some(account) = &entry.account {
                account.last_active.fetch_max(*at, Ordering::Relaxed);
            }
        }
    }

    /// Says who a token belongs to, at this moment in seconds since 1970. The hash of the token is
    /// looked up, and the stored hash is compared in constant time: neither lets a caller feel its
    /// way to a key.
    pub fn authenticate(&self, token: &str, now: u64) -> Result<Principal, Refused> {
        let hash = hash(token).ok_or(Refused::Unknown)?;
        let table = self.table.load();
        let entry = table.by_hash.get(&hash).filter(|entry| bool::from(entry.record.hash.ct_eq(&hash)));
        let entry = match entry {
            Some(entry) => entry,
            None => table.before(&hash, now)?,
        };
        let account = match (entry.record.status(now), &entry.account) {
            (KeyStatus::Active, Some(account)) => account.clone(),
            (KeyStatus::Expired, Some(_)) => return Err(Refused::Expired),
            (KeyStatus::Revoked, _) | (_, None) => return Err(Refused::Revoked),
        };
        note(&entry.state.last_used, now);
        note(&account.last_active, now);
        Ok(Principal { entry: entry.clone(), account })
    }

    /// Who calls without a key where that is allowed: as the first owner, without limits.
    pub fn local_operator(&self) -> Principal {
        self.table.load().operator.clone()
    }

    /// All keys, in no order.
    pub fn keys(&self, now: u64) -> Vec<KeyView> {
        self.table.load().by_hash.values().map(|entry| view(entry, now)).collect()
    }

    /// The key of this id.
    pub fn key(&self, id: &str, now: u64) -> Option<KeyView> {
        let table = self.table.load();
        table.by_hash.values().find(|entry| *entry.record.id == *id).map(|entry| view(entry, now))
    }

    /// When a member was last active, seconds since 1970.
    pub fn last_active(&self, member: &str) -> Option<u64> {
        self.table.load().accounts.get(member).and_then(|account| time(&account.last_active))
    }

    /// Whether a key is accepted at this moment and may do everything that an administrator may.
    pub fn administers(&self, record: &KeyRecord, now: u64) -> bool {
        administers(&self.table.load().charter, record, now)
    }

    /// How many keys are accepted at this moment.
    pub fn active(&self, now: u64) -> usize {
        self.table.load().by_hash.values().filter(|entry| status(entry, now) == KeyStatus::Active).count()
    }
}

impl Table {
    /// The table for these keys; what there was `before` goes on where it is the same.
    fn new(
        charter: Arc<Charter>,
        records: impl IntoIterator<Item = KeyRecord>,
        before: Option<&Table>,
    ) -> Table {
        let now = Instant::now();
        let account = |member: &Arc<Member>| {
            let known = before.and_then(|before| before.accounts.get(&member.id));
            let plan = charter.plan_of(member).clone();
            if let Some(known) = known.filter(|known| known.member == *member && known.plan == plan) {
                return known.clone();
            }
            let rate = plan.requests_per_second.and_then(NonZeroU32::new);
            let bucket = bucket(rate, known.and_then(|known| known.bucket.as_ref()), now);
            let last_active = known.map(|known| known.last_active.clone()).unwrap_or_default();
            Arc::new(Account { member: member.clone(), plan, bucket, last_active })
        };
        let accounts: HashMap<_, _> =
            charter.members.iter().map(|member| (member.id.clone(), account(member))).collect();
        let known: HashMap<&Arc<str>, &Arc<Entry>> = before
            .iter()
            .flat_map(|before| before.by_hash.values())
            .map(|entry| (&entry.record.id, entry))
            .collect();
        let mut replaced = HashMap::default();
        let mut entry = |record: KeyRecord| {
            let known = known.get(&record.id);
            let limits = record.limits.or(charter.key_defaults);
            let bucket =
                bucket(limits.requests_per_second, known.and_then(|known| known.bucket.as_ref()), now);
            let state = known.map(|known| known.state.clone()).unwrap_or_default();
            let account = accounts.get(&record.member_id).cloned();
            let (hash, earlier) = (record.hash, record.replaced);
            let entry = Arc::new(Entry { record, account, limits, bucket, state });
            if let Some(earlier) = earlier {
                replaced.insert(earlier.hash, (entry.clone(), earlier.until));
            }
            (hash, entry)
        };
        let by_hash = records.into_iter().map(&mut entry).collect();
        let operator = operator(&charter);
        Table { charter, accounts, by_hash, replaced, operator }
    }

    /// The key that had this text before it was given another one.
    fn before(&self, hash: &Hash, now: u64) -> Result<&Arc<Entry>, Refused> {
        let (entry, until) = self.replaced.get(hash).ok_or(Refused::Unknown)?;
        let same = entry.record.replaced.is_some_and(|replaced| bool::from(replaced.hash.ct_eq(hash)));
        match (same, now < *until) {
            (false, _) => Err(Refused::Unknown),
            (true, false) => Err(Refused::Revoked),
            (true, true) => Ok(entry),
        }
    }
}

/// A bucket of this rate: the one there is, or one that is as empty.
fn bucket(rate: Option<NonZeroU32>, known: Option<&Arc<Bucket>>, now: Instant) -> Option<Arc<Bucket>> {
    let rate = rate?;
    Some(match known {
        Some(known) if known.limit() == rate => known.clone(),
        Some(known) => Arc::new(known.resized(rate, now)),
        None => Arc::new(Bucket::new(rate, now)),
    })
}

/// The operator of this machine: the first owner, without limits.
fn operator(charter: &Charter) -> Principal {
    let member = charter.owner().cloned().unwrap_or_else(|| Arc::new(Charter::default_owner()));
    let plan = charter.plan_of(&member).clone();
    let record = KeyRecord {
        id: LOCAL_OPERATOR.into(),
        member_id: member.id.clone(),
        name: "this machine's operator".to_owned(),
        description: None,
        prefix: String::new(),
        hash: [0; 32],
        created_at: 0,
        expires_at: None,
        revoked_at: None,
        permissions: Permissions::default(),
        limits: KeyLimits::default(),
        replaced: None,
    };
    let account = Arc::new(Account { member, plan, bucket: None, last_active: Arc::default() });
    let (limits, bucket, state) = (KeyLimits::default(), None, Arc::default());
    Principal {
        entry: Arc::new(Entry { record, account: Some(account.clone()), limits, bucket, state }),
        account,
    }
}

/// Whether a key may do everything that an administrator may, at this moment and by this charter.
pub fn administers(charter: &Charter, record: &KeyRecord, now: u64) -> bool {
    record.status(now) == KeyStatus::Active
        && record.permissions.are_unlimited()
        && charter.member(&record.member_id).is_some_and(|member| member.role.may_administer())
}

fn view(entry: &Entry, now: u64) -> KeyView {
    KeyView {
        record: entry.record.clone(),
        status: status(entry, now),
        last_used: time(&entry.state.last_used),
    }
}

fn status(entry: &Entry, now: u64) -> KeyStatus {
    if entry.account.is_none() { KeyStatus::Revoked } else { entry.record.status(now) }
}

/// Notes a moment, unless a later one is noted. Written once a second, not by every call.
fn note(seconds: &AtomicU64, now: u64) {
    if seconds.load(Ordering::Relaxed) < now {
        seconds.fetch_max(now, Ordering::Relaxed);
    }
}

fn time(seconds: &AtomicU64) -> Option<u64> {
    Some(seconds.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::super::{KeyWish, NewKey};
    use super::*;

    fn made(member: &str, expires_at: Option<u64>) -> NewKey {
        let wish = KeyWish {
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
            assert_eq!(ring.authenticate(token, 7).err(), Some(Refused::Unknown), "{token:?}");
        }
        put(&ring, []);
        assert_eq!(ring.authenticate(&made.text, 7).err(), Some(Refused::Unknown));
    }

    #[test]
    fn what_ends_a_key_is_told_to_its_holder() {
        let ring = KeyRing::default();
        let (short, lost) = (made("user_owner", Some(10)), made("user_gone", None));
        let mut revoked = made("user_owner", None);
        revoked.record.revoked_at = Some(3);
        put(&ring, [&short, &lost, &revoked].map(|key| key.record.clone()));
        assert!(ring.authenticate(&short.text, 9).is_ok());
        assert_eq!(ring.authenticate(&short.text, 10).err(), Some(Refused::Expired));
        assert_eq!(ring.authenticate(&lost.text, 9).err(), Some(Refused::Revoked));
        assert_eq!(ring.authenticate(&revoked.text, 9).err(), Some(Refused::Revoked));
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
        let mut charter = Charter::default();
        charter.organization.plan = Arc::new(super::super::Plan::with_rate("two", Some(2)));
        let ring = KeyRing::new(charter);
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
        let mut charter = Charter::default();
        charter.organization.plan = Arc::new(Plan::with_rate("three", Some(3)));
        let ring = KeyRing::new(charter.clone());
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
        // A member more, another name of the owner, the same keys again: nobody's bucket is filled.
        charter.members.push(Arc::new(Member { id: "user_new".into(), ..Charter::default_owner() }));
        charter.members[0] = Arc::new(Member { name: "Olga".to_owned(), ..Charter::default_owner() });
        ring.govern(charter.clone());
        put(&ring, keys.clone());
        assert_eq!(left(&a), (2, 0, false));
        assert_eq!(left(&a), (2, 0, true), "its own bucket is empty");
        assert_eq!(left(&b), (3, 0, false), "and the refusal took nothing from the member's");
        assert_eq!(left(&b), (3, 0, true));
        // Neither does another rate, or another text.
        limited.limits = rate(1);
        let rotated = NewKey::rotate(&limited, 1, 1).expect("random bytes");
        put(&ring, [rotated.record.clone(), b.record.clone()]);
        assert!(left(&rotated).2 && left(&b).2);
        assert_eq!(ring.last_active("user_owner"), Some(1));
    }

    #[test]
    fn a_text_that_was_replaced_is_accepted_as_long_as_was_said_and_told_apart_afterwards() {
        let (ring, first) = (KeyRing::default(), made("user_owner", None));
        put(&ring, [first.record.clone()]);
        let held = ring.authenticate(&first.text, 1).expect("valid");
        let second = NewKey::rotate(&first.record, 10, 20).expect("random bytes");
        put(&ring, [second.record.clone()]);
        assert_eq!(*ring.authenticate(&second.text, 10).expect("valid").key_id(), first.record.id);
        assert!(ring.authenticate(&first.text, 19).is_ok());
        assert_eq!(ring.authenticate(&first.text, 20).err(), Some(Refused::Revoked));
        assert!(ring.again(&held, 19).is_some() && ring.again(&held, 20).is_none());
        let third = NewKey::rotate(&second.record, 15, 15).expect("random bytes");
        put(&ring, [third.record.clone()]);
        assert_eq!(ring.authenticate(&first.text, 15).err(), Some(Refused::Unknown));
        assert_eq!(ring.authenticate(&second.text, 15).err(), Some(Refused::Revoked));
        assert_eq!(ring.keys(15).len(), 1);
        let mut revoked = third.record.clone();
        revoked.revoked_at = Some(16);
        put(&ring, [revoked]);
        assert!(ring.again(&ring.local_operator(), 17).is_some());
        assert_eq!(ring.authenticate(&third.text, 17).err(), Some(Refused::Revoked));
    }

    #[test]
    fn keys_end_with_their_member_and_act_with_its_role_from_then_on() {
        let mut charter = Charter::default();
        charter.members.push(Arc::new(Member {
            id: "user_b".into(),
            role: Role::Admin,
            ..Charter::default_owner()
        }));
        let (ring, key) = (KeyRing::new(charter.clone()), made("user_b", None));
        put(&ring, [key.record.clone()]);
        let before = ring.authenticate(&key.text, 1).expect("valid");
        assert!(ring.administers(&key.record, 1));
        charter.members[1] = Arc::new(Member { role: Role::Viewer, ..Member::clone(&charter.members[1]) });
        ring.govern(charter.clone());
        assert_eq!(ring.authenticate(&key.text, 1).expect("valid").role(), Role::Viewer);
        assert_eq!(ring.again(&before, 1).map(|now| now.role()), Some(Role::Viewer));
        charter.members.pop();
        ring.govern(charter);
        assert_eq!(ring.authenticate(&key.text, 1).err(), Some(Refused::Revoked));
        assert!(ring.again(&before, 1).is_none() && !ring.administers(&key.record, 1));
    }
}
