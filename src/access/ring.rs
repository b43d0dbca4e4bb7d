//! All keys, and who each belongs to: looked up by every request, changed now and then. Lookups take
//! no lock. What a key has done since the start outlives changes of the ring, and whoever was accepted
//! with a key finds in its place what has become of it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::accounts::{Account, Accounts};
use super::census::Census;
use super::charter::{Charter, Member, Plan, Role};
use super::key::{Hash, KeyRecord, KeyStatus, hash};
use super::limits::KeyLimits;
use super::lineage;
use super::permissions::Permissions;
use super::rate::{Bucket, RateReading, take_both};
use super::table::Table;
use super::unread::Unread;

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

/// A key as it is now, and whose.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: KeyRecord,
    /// `None` when its member is no more.
    pub(super) account: Option<Arc<Account>>,
    /// How much it may: its own limits, or the default for keys.
    pub(super) limits: KeyLimits,
    pub(super) bucket: Option<Arc<Bucket>>,
}

impl Entry {
    /// Whether the same key has the same account and the same limits.
    fn is_same(&self, other: &Entry) -> bool {
        let same_account = match (&self.account, &other.account) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_account && self.limits == other.limits
    }
}

/// A key's place on the ring, which stays the same when the key is changed.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// `None` once the key is not on the ring any more.
    entry: ArcSwapOption<Entry>,
    /// Where that is, to be compared only: each call asks several times whether it is another one by now.
    place: AtomicPtr<Entry>,
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
        // Whoever asks holds the entry, so that no other one can be in its place.
        std::ptr::eq(self.place.load(Ordering::Acquire), Arc::as_ptr(entry))
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn set(&self, entry: Option<Arc<Entry>>) {
        let place = entry.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
        self.entry.store(entry);
        // After the entry: whoever finds the new place finds the new entry, too.
        self.place.store(place.cast_mut(), Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// Who is calling: a key and the member that owns it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Principal {
    pub(super) slot: Arc<Slot>,
    /// Of the text that was presented.
    pub(super) hash: Hash,
    /// From when on that text is refused, as far as was known then.
    pub(super) ends_at: Option<u64>,
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

/// The keys. Cheap to clone. Changed by one thread only.
#[derive(Clone)]
pub struct KeyRing {
    accounts: Arc<ArcSwap<Accounts>>,
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
        let accounts = Arc::new(ArcSwap::from_pointee(Accounts::new(Arc::new(charter), None)));
        KeyRing { accounts, table: Arc::default(), census: Arc::default() }
    }

    /// The organization and its members.
    pub fn charter(&self) -> Arc<Charter> {
        self.accounts.load().charter.clone()
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
        let (before, accounts) = (self.table.load_full(), self.accounts.load_full());
        let mut table = None;
        let mut census = self.census();
        for record in records {
            census.note(&record);
            let id = record.id.clone();
            let slot = before.by_id(&id).cloned().unwrap_or_default();
            let old = slot.entry();
            let hashes = hashes(&record);
            let known = old.as_deref().map(|old| self::hashes(&old.record));
            slot.set(Some(Arc::new(accounts.entry(record, old.as_deref()))));
            if known != Some(hashes) {
                let table = table.get_or_insert_with(|| Table::clone(&before));
                known.iter().flatten().flatten().for_each(|hash| table.remove_hash(hash));
                hashes.iter().flatten().for_each(|hash| table.insert_hash(*hash, &slot));
                table.insert_id(id, &slot);
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
                hashes(&entry.record).iter().flatten().for_each(|hash| table.remove_hash(hash));
            }
            table.remove_id(id);
            slot.set(None);
        }
        if !ids.is_empty() {
            self.table.store(Arc::new(table));
        }
    }

    /// Replaces the organization, its members and the plans. Keys of members that are no more are refused
    /// from now on, and whoever is under way with a key that is concerned is told. Buckets and counts go on
    /// as they are.
    pub fn govern(&self, charter: Charter) {
        let accounts = Arc::new(Accounts::new(Arc::new(charter), Some(&self.accounts.load())));
        self.accounts.store(accounts.clone());
        for slot in self.table.load().slots() {
            let Some(before) = slot.entry() else { continue };
            let after = accounts.entry(before.record.clone(), Some(&before));
            if !before.is_same(&after) {
                slot.set(Some(Arc::new(after)));
            }
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
        let entry = slot.entry().ok_or(Refused::Unknown)?;
        let ends_at = entry.record.end_of(&hash, now)?;
        let account = match (entry.record.status(now), &entry.account) {
            (KeyStatus::Active, Some(account)) => account.clone(),
            (KeyStatus::Expired, Some(_)) => return Err(Refused::Expired),
            (KeyStatus::Revoked, _) | (_, None) => return Err(Refused::Revoked),
        };
        note(&slot.last_used, now);
        note(&account.last_active, now);
        Ok(Principal { slot: slot.clone(), hash, ends_at, entry, account })
    }

    /// Who calls without a key because the kernel says that it is the daemon's own user: as the first
    /// owner, without limits.
    pub fn local_operator(&self) -> Principal {
        self.accounts.load().operator.clone()
    }

    /// Who calls where no key is asked for of anybody: may as much, but nobody vouches for it.
    pub fn anybody(&self) -> Principal {
        self.accounts.load().anybody.clone()
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
        self.accounts.load().get(member).and_then(|account| time(&account.last_active))
    }

    /// Whether a key is accepted at this moment and may do everything that an administrator may.
    pub fn administers(&self, record: &KeyRecord, now: u64) -> bool {
        administers(&self.accounts.load().charter, record, now)
    }

    /// Whether any key is accepted at this moment and may do everything that an administrator may, by a
    /// charter that is or might be in force.
    pub fn is_administered(&self, charter: &Charter, now: u64) -> bool {
        let table = self.table.load();
        let mut entries = table.slots().filter_map(|slot| slot.entry());
        entries.any(|entry| administers(charter, &entry.record, now))
    }

    /// Whether any key but these is accepted at this moment and may do everything that an administrator
    /// may.
    pub fn administers_without(&self, ids: &HashSet<Arc<str>>, now: u64) -> bool {
        let table = self.table.load();
        let mut others = table.slots().filter_map(|slot| slot.entry());
        let accounts = self.accounts.load();
        others.any(|entry| {
            !ids.contains(&entry.record.id) && administers(&accounts.charter, &entry.record, now)
        })
    }

    /// How many keys are accepted at this moment.
    pub fn active(&self, now: u64) -> usize {
        let mut census = self.census();
        census.advance(now);
        let live: u64 = self.accounts.load().members().map(|member| census.live(member)).sum();
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

/// The hashes that a key is found by: of its text, and of the one it had before.
fn hashes(record: &KeyRecord) -> [Option<Hash>; 2] {
    [Some(record.hash), record.replaced.map(|replaced| replaced.hash)]
}

/// Whether a key may do everything that an administrator may, at this moment and by this charter.
pub fn administers(charter: &Charter, record: &KeyRecord, now: u64) -> bool {
    record.status(now) == KeyStatus::Active
        && record.permissions.are_unlimited()
        && charter.member(&record.member_id).is_some_and(|member| member.role.may_administer())
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
mod tests;
