//! All keys and their owners: every request looks them up, changes are rare. Lookups take no lock. Usage
//! counts since the start survive changes of the ring, and a caller that was accepted with a key finds the
//! key's current state in its slot.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;

use super::accounts::Accounts;
use super::census::Census;
use super::key::{CredentialError, Hash, KeyRecord, KeyStatus, hash};
use super::lineage;
use super::origin::Origin;
use super::principal::Principal;
use super::slot::{Entry, Slot, note};
use super::subjects::{Admitted, Subjects, TokenGrant, TooManySubjects};
use super::table::Table;
use super::tenancy::Tenancy;

/// A key in its current form, for display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// The stored record of the key.
    pub record: KeyRecord,
    /// Status the key has when it is presented.
    pub status: KeyStatus,
    /// Time it was last presented, in seconds since 1970; `None` if never.
    pub last_used: Option<u64>,
}

/// The keys. Cheap to clone. Changed by only one thread at a time.
#[derive(Clone)]
pub struct KeyRing {
    accounts: Arc<ArcSwap<Accounts>>,
    table: Arc<ArcSwap<Table>>,
    /// Counts of keys by member, for those who change keys.
    census: Arc<Mutex<Census>>,
    /// Subjects of access tokens, who have no keys.
    subjects: Arc<Mutex<Subjects>>,
}

impl Default for KeyRing {
    fn default() -> KeyRing {
        KeyRing::new(Tenancy::default())
    }
}

impl KeyRing {
    /// Makes a ring without keys, for these members.
    pub fn new(tenancy: Tenancy) -> KeyRing {
        let accounts = Arc::new(ArcSwap::from_pointee(Accounts::new(Arc::new(tenancy), None)));
        KeyRing { accounts, table: Arc::default(), census: Arc::default(), subjects: Arc::default() }
    }

    /// Returns the organization and its members.
    pub fn tenancy(&self) -> Arc<Tenancy> {
        self.accounts.load().tenancy.clone()
    }

    fn census(&self) -> MutexGuard<'_, Census> {
        self.census.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subjects(&self) -> MutexGuard<'_, Subjects> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the principal of an access token that was verified at `now`, in seconds since 1970. Its subject is made
    /// if it is not known.
    pub fn admit(&self, grant: &TokenGrant, now: u64) -> Result<Admitted, TooManySubjects> {
        let mut subjects = self.subjects();
        // Loaded under the lock: a change that comes later finds what is made here.
        subjects.admit(grant, &self.accounts.load(), now)
    }

    /// Reports whether there is a member of this id, or a subject of access tokens that is known now.
    pub fn has_member(&self, id: &str) -> bool {
        self.tenancy().member(id).is_some() || self.subjects().contains(id)
    }

    /// Returns the ids of the subjects of access tokens that are known now, each with its name.
    pub fn subject_names(&self) -> Vec<(Arc<str>, String)> {
        self.subjects().names()
    }

    /// Replaces the keys. A key that is missing or revoked in `records` is refused from now on. Only one
    /// thread changes keys at a time.
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

    /// Adds keys, and changes existing ones. The change is in force when this returns, also for calls under
    /// way with one of them.
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

    /// Replaces the organization, its members and the plans. Keys of members that no longer exist are
    /// refused from now on, and callers with an affected key are notified. Buckets and counts continue
    /// unchanged.
    pub fn govern(&self, tenancy: Tenancy) {
        let accounts = Arc::new(Accounts::new(Arc::new(tenancy), Some(&self.accounts.load())));
        self.accounts.store(accounts.clone());
        for slot in self.table.load().slots() {
            let Some(before) = slot.entry() else { continue };
            let after = accounts.entry(before.record.clone(), Some(&before));
            if !before.is_same(&after) {
                slot.set(Some(Arc::new(after)));
            }
        }
        self.subjects().govern(&accounts);
    }

    /// Records when keys were last used before this start, in seconds since 1970.
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

    /// Identifies the owner of a token at `now`, in seconds since 1970. The token's hash is looked up, and
    /// the stored hash is compared in constant time: neither lets a caller find a key step by step.
    pub fn authenticate(&self, token: &str, now: u64) -> Result<Principal, CredentialError> {
        let hash = hash(token).ok_or(CredentialError::Unknown)?;
        let table = self.table.load();
        let slot = table.get(&hash).ok_or(CredentialError::Unknown)?;
        let entry = slot.entry().ok_or(CredentialError::Unknown)?;
        let ends_at = entry.record.end_of(&hash, now)?;
        let account = match (entry.record.status(now), &entry.account) {
            (KeyStatus::Active, Some(account)) => account.clone(),
            (KeyStatus::Expired, Some(_)) => return Err(CredentialError::Expired),
            (KeyStatus::Revoked, _) | (_, None) => return Err(CredentialError::Revoked),
        };
        note(&slot.last_used, now);
        note(&account.last_active, now);
        Ok(Principal {
            slot: slot.clone(),
            hash,
            ends_at,
            entry,
            account,
            session: None,
            origin: Origin::default(),
        })
    }

    /// Returns the principal of a caller without a key that the kernel identifies as the daemon's own user:
    /// the first owner, without limits.
    pub fn local_operator(&self) -> Principal {
        self.accounts.load().operator.clone()
    }

    /// Returns the principal of a caller where nobody needs a key: the first owner, without limits, but with an
    /// unproven identity.
    pub fn anybody(&self) -> Principal {
        self.accounts.load().anybody.clone()
    }

    /// Returns all keys, in no particular order.
    pub fn keys(&self, now: u64) -> Vec<KeyView> {
        self.table.load().slots().filter_map(|slot| view(slot, now)).collect()
    }

    /// Returns the key with this id; `None` if there is none.
    pub fn key(&self, id: &str, now: u64) -> Option<KeyView> {
        self.table.load().by_id(id).and_then(|slot| view(slot, now))
    }

    /// Returns the keys that the key with this id has made, directly or through other keys. The key itself
    /// may be gone.
    pub fn descendants(&self, id: &str) -> Vec<KeyRecord> {
        let table = self.table.load();
        let entries: Vec<Arc<Entry>> = table.slots().filter_map(|slot| slot.entry()).collect();
        let found = lineage::descendants(id, entries.iter().map(|entry| &entry.record));
        let found = entries.iter().filter(|entry| found.contains(&entry.record.id));
        found.map(|entry| entry.record.clone()).collect()
    }

    /// Returns when a member was last active, in seconds since 1970; `None` if never.
    pub fn last_active(&self, member: &str) -> Option<u64> {
        self.accounts.load().get(member).and_then(|account| time(&account.last_active))
    }

    /// Reports whether a key is accepted at `now` and has all rights of an administrator.
    pub fn administers(&self, record: &KeyRecord, now: u64) -> bool {
        administers(&self.accounts.load().tenancy, record, now)
    }

    /// Reports whether any key is accepted at `now` and has all rights of an administrator, under a tenancy
    /// that is or might be in force.
    pub fn is_administered(&self, tenancy: &Tenancy, now: u64) -> bool {
        let table = self.table.load();
        let mut entries = table.slots().filter_map(|slot| slot.entry());
        entries.any(|entry| administers(tenancy, &entry.record, now))
    }

    /// Reports whether any key except these is accepted at `now` and has all rights of an administrator.
    pub fn administers_without(&self, ids: &HashSet<Arc<str>>, now: u64) -> bool {
        let table = self.table.load();
        let mut others = table.slots().filter_map(|slot| slot.entry());
        let accounts = self.accounts.load();
        others.any(|entry| {
            !ids.contains(&entry.record.id) && administers(&accounts.tenancy, &entry.record, now)
        })
    }

    /// Returns the number of keys that are accepted at `now`.
    pub fn active(&self, now: u64) -> usize {
        let mut census = self.census();
        census.advance(now);
        let live: u64 = self.accounts.load().members().map(|member| census.live(member)).sum();
        usize::try_from(live).unwrap_or(usize::MAX)
    }

    /// Returns the number of a member's keys that are accepted at `now`.
    pub fn active_of(&self, member: &str, now: u64) -> u64 {
        let mut census = self.census();
        census.advance(now);
        census.live(member)
    }

    /// Returns the ended keys of a member that need not be kept any longer, by a trustworthy clock
    /// (`settled`).
    pub fn outlived(&self, member: &str, settled: Option<u64>) -> Vec<Arc<str>> {
        self.census().outlived(member, settled)
    }
}

/// Returns the hashes that a key is found by: of its current text, and of its previous one.
fn hashes(record: &KeyRecord) -> [Option<Hash>; 2] {
    [Some(record.hash), record.replaced.map(|replaced| replaced.hash)]
}

/// Reports whether a key is accepted at `now` and has all rights of an administrator under this tenancy.
pub fn administers(tenancy: &Tenancy, record: &KeyRecord, now: u64) -> bool {
    record.status(now) == KeyStatus::Active
        && record.permissions.are_unlimited()
        && tenancy.member(&record.member_id).is_some_and(|member| member.role.may_administer())
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

fn time(seconds: &AtomicU64) -> Option<u64> {
    Some(seconds.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests;
