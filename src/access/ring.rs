//! All keys, and who each belongs to: looked up by every request, changed now and then. Lookups take
//! no lock. What a key has done since the start outlives changes of the ring, and whoever was accepted
//! with a key finds in its place what has become of it.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::census::Census;
use super::charter::{Charter, Member, Role};
use super::key::{KeyRecord, KeyStatus, hash};
use super::lineage;
use super::permissions::Permissions;
use super::rate::{Bucket, RateReading};
use super::table::Table;
use super::unread::Unread;

/// The id that stands for the operator of this machine, who needs no key for `/api`.
pub const LOCAL_OPERATOR: &str = "local";
/// The id that stands for whoever calls where `/api` is open to everybody.
const ANYBODY: &str = "anybody";

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

/// What a member has in common for all its keys.
#[derive(Debug)]
pub(super) struct Account {
    member: Arc<Member>,
    bucket: Option<Bucket>,
    /// Seconds since 1970; 0 for never.
    last_active: AtomicU64,
    unread: Unread,
}

/// A key as it is now, and whose.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: KeyRecord,
    /// `None` when its member is no more.
    pub(super) account: Option<Arc<Account>>,
}

/// A key's place on the ring, which stays the same when the key is changed.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// `None` once the key is not on the ring any more.
    entry: ArcSwapOption<Entry>,
    /// Told of each change.
    changed: Notify,
    calls: AtomicUsize,
    /// Seconds since 1970; 0 for never.
    last_used: AtomicU64,
    unread: Unread,
}

impl Slot {
    pub(super) fn entry(&self) -> Option<Arc<Entry>> {
        self.entry.load_full()
    }

    /// Whether the key is the same as it was.
    pub(super) fn holds(&self, entry: &Arc<Entry>) -> bool {
        self.entry.load().as_ref().is_some_and(|now| Arc::ptr_eq(now, entry))
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    fn set(&self, entry: Option<Entry>) {
        self.entry.store(entry.map(Arc::new));
        self.changed.notify_waiters();
    }
}

/// Who is calling: a key and the member that owns it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) slot: Arc<Slot>,
    /// As it was when the key was presented; see [`Principal::again`].
    pub(super) entry: Arc<Entry>,
    pub(super) account: Arc<Account>,
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

    /// Whether this is the daemon's own user, who may do in person what the daemon could do for it.
    pub fn is_local_operator(&self) -> bool {
        **self.key_id() == *LOCAL_OPERATOR
    }

    /// Takes a request from the member's budget; `None` where that has no limit.
    pub fn take_request(&self) -> Option<RateReading> {
        self.account.bucket.as_ref().map(Bucket::take)
    }

    /// The answers to this key that wait to be read.
    pub fn unread(&self) -> &Unread {
        &self.slot.unread
    }

    /// The same for all keys of its member.
    pub fn unread_of_member(&self) -> &Unread {
        &self.account.unread
    }

    /// Begins a call, which ends when the guard is dropped; `None` when the key has this many already.
    pub fn begin_call(&self, at_most: usize) -> Option<CallOfKey<'_>> {
        let slot = &self.slot;
        // Taken first and given back, so that no two can take the last place.
        if slot.calls.fetch_add(1, Ordering::Relaxed) >= at_most {
            slot.calls.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(CallOfKey(slot))
    }
}

/// A call of a key that is under way.
#[derive(Debug)]
pub struct CallOfKey<'a>(&'a Slot);

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

/// The keys. Cheap to clone.
#[derive(Clone)]
pub struct KeyRing {
    charter: Arc<Charter>,
    accounts: Arc<HashMap<Arc<str>, Arc<Account>>>,
    table: Arc<ArcSwap<Table>>,
    /// How many there are of whom; asked by those who change keys.
    census: Arc<Mutex<Census>>,
}

impl Default for KeyRing {
    fn default() -> KeyRing {
        KeyRing::new(Charter::default())
    }
}

impl KeyRing {
    /// A ring without keys, for these members.
    pub fn new(charter: Charter) -> KeyRing {
        let account = |member: &Arc<Member>| {
            let rate = charter.plan_of(member).requests_per_second.and_then(NonZeroU32::new);
            let (member, last_active) = (member.clone(), AtomicU64::new(0));
            Arc::new(Account {
                member,
                bucket: rate.map(Bucket::new),
                last_active,
                unread: Unread::default(),
            })
        };
        let accounts = charter.members.iter().map(|member| (member.id.clone(), account(member))).collect();
        let (table, census, charter) = (Arc::default(), Arc::default(), Arc::new(charter));
        KeyRing { accounts: Arc::new(accounts), table, census, charter }
    }

    /// The organization and its members.
    pub fn charter(&self) -> &Arc<Charter> {
        &self.charter
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the keys. One that is not among them, or revoked there, is refused from now on. Keys
    /// are changed by one thread at a time.
    pub fn replace(&self, records: impl IntoIterator<Item = KeyRecord>) {
        let records: Vec<KeyRecord> = records.into_iter().collect();
        let kept: HashSet<&str> = records.iter().map(|record| &*record.id).collect();
        let table = self.table.load();
        let entries = table.slots().filter_map(|slot| slot.entry());
        let gone: Vec<Arc<str>> =
            entries.map(|entry| entry.record.id.clone()).filter(|id| !kept.contains(&**id)).collect();
        self.forget(&gone);
        self.put(records);
    }

    /// Adds keys, and changes those that are there. In force when it returns, for those as well who have
    /// something under way with one of them.
    pub fn put(&self, records: impl IntoIterator<Item = KeyRecord>) {
        let before = self.table.load_full();
        let mut table = None;
        let mut census = self.census();
        for record in records {
            census.note(&record);
            let (hash, id) = (record.hash, record.id.clone());
            let account = self.accounts.get(&record.member_id).cloned();
            let slot = before.by_id(&id).cloned().unwrap_or_default();
            let old = slot.entry().map(|entry| entry.record.hash);
            slot.set(Some(Entry { record, account }));
            if old != Some(hash) {
                let table = table.get_or_insert_with(|| Table::clone(&before));
                if let Some(old) = old {
                    table.remove(&old, &id);
                }
                table.insert(hash, id, &slot);
            }
        }
        if let Some(table) = table {
            self.table.store(Arc::new(table));
        }
    }

    /// Takes keys off the ring: they are unknown from now on.
    pub fn forget(&self, ids: &[Arc<str>]) {
        let mut table = Table::clone(&self.table.load());
        for id in ids {
            self.census().forget(id);
            let Some(slot) = table.by_id(id).cloned() else { continue };
            if let Some(entry) = slot.entry() {
                table.remove(&entry.record.hash, id);
            }
            slot.set(None);
        }
        if !ids.is_empty() {
            self.table.store(Arc::new(table));
        }
    }

    /// Notes when keys were used before this start, seconds since 1970.
    pub fn used_before(&self, last_used: &HashMap<Arc<str>, u64>) {
        let table = self.table.load();
        for (id, at) in last_used {
            let Some(slot) = table.by_id(id) else { continue };
            slot.last_used.fetch_max(*at, Ordering::Relaxed);
            if let Some(account) = slot.entry().and_then(|entry| entry.account.clone()) {
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
        let slot = table.get(&hash).ok_or(Refused::Unknown)?;
        let entry = slot.entry().filter(|entry| bool::from(entry.record.hash.ct_eq(&hash)));
        let entry = entry.ok_or(Refused::Unknown)?;
        let account = match (entry.record.status(now), &entry.account) {
            (KeyStatus::Active, Some(account)) => account.clone(),
            (KeyStatus::Expired, Some(_)) => return Err(Refused::Expired),
            (KeyStatus::Revoked, _) | (_, None) => return Err(Refused::Revoked),
        };
        note(&slot.last_used, now);
        note(&account.last_active, now);
        Ok(Principal { slot: slot.clone(), entry, account })
    }

    /// Who calls without a key because the kernel says that it is the daemon's own user: as the first
    /// owner, without limits.
    pub fn local_operator(&self) -> Principal {
        self.keyless(LOCAL_OPERATOR, "this machine's operator")
    }

    /// Who calls where no key is asked for of anybody: may as much, but nobody vouches for it.
    pub fn anybody(&self) -> Principal {
        self.keyless(ANYBODY, "anybody")
    }

    fn keyless(&self, id: &str, name: &str) -> Principal {
        let member = self.charter.owner().cloned().unwrap_or_else(|| Arc::new(Charter::default_owner()));
        let record = KeyRecord {
            id: id.into(),
            member_id: member.id.clone(),
            name: name.to_owned(),
            description: None,
            prefix: String::new(),
            hash: [0; 32],
            created_at: 0,
            expires_at: None,
            revoked_at: None,
            permissions: Permissions::default(),
            created_by: None,
        };
        let (last_active, unread) = (AtomicU64::new(0), Unread::default());
        let account = Arc::new(Account { member, bucket: None, last_active, unread });
        let slot = Arc::<Slot>::default();
        let entry = Arc::new(Entry { record, account: Some(account.clone()) });
        slot.entry.store(Some(entry.clone()));
        Principal { slot, entry, account }
    }

    /// All keys, in no order.
    pub fn keys(&self, now: u64) -> Vec<KeyView> {
        self.table.load().slots().filter_map(|slot| view(slot, now)).collect()
    }

    /// The key of this id.
    pub fn key(&self, id: &str, now: u64) -> Option<KeyView> {
        self.table.load().by_id(id).and_then(|slot| view(slot, now))
    }

    /// The keys that this one has made, and that those have made, by id. The key itself need not be
    /// there any more.
    pub fn descendants(&self, id: &str) -> Vec<KeyRecord> {
        let table = self.table.load();
        let entries: Vec<Arc<Entry>> = table.slots().filter_map(|slot| slot.entry()).collect();
        let found = lineage::descendants(id, entries.iter().map(|entry| &entry.record));
        let found = entries.iter().filter(|entry| found.contains(&entry.record.id));
        found.map(|entry| entry.record.clone()).collect()
    }

    /// When a member was last active, seconds since 1970.
    pub fn last_active(&self, member: &str) -> Option<u64> {
        self.accounts.get(member).and_then(|account| time(&account.last_active))
    }

    /// Whether a key is accepted at this moment and may do everything that an administrator may.
    pub fn administers(&self, record: &KeyRecord, now: u64) -> bool {
        let account = self.accounts.get(&record.member_id);
        record.status(now) == KeyStatus::Active
            && record.permissions.are_unlimited()
            && account.is_some_and(|account| account.member.role.may_administer())
    }

    /// Whether any key but these is accepted at this moment and may do everything that an administrator
    /// may.
    pub fn administers_without(&self, ids: &HashSet<Arc<str>>, now: u64) -> bool {
        let table = self.table.load();
        let mut others = table.slots().filter_map(|slot| slot.entry());
        others.any(|entry| !ids.contains(&entry.record.id) && self.administers(&entry.record, now))
    }

    /// How many keys are accepted at this moment.
    pub fn active(&self, now: u64) -> usize {
        let mut census = self.census();
        census.advance(now);
        let live: u64 = self.accounts.keys().map(|member| census.live(member)).sum();
        usize::try_from(live).unwrap_or(usize::MAX)
    }

    /// How many keys of a member are accepted at this moment.
    pub fn active_of(&self, member: &str, now: u64) -> u64 {
        let mut census = self.census();
        census.advance(now);
        census.live(member)
    }

    /// The ended keys of a member that need not be kept any longer, by a clock that is to be believed.
    pub fn outlived(&self, member: &str, settled: Option<u64>) -> Vec<Arc<str>> {
        self.census().outlived(member, settled)
    }
}

fn view(slot: &Slot, now: u64) -> Option<KeyView> {
    let entry = slot.entry()?;
    Some(KeyView {
        record: entry.record.clone(),
        status: status(&entry, now),
        last_used: time(&slot.last_used),
    })
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
}
