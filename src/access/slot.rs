//! A key's slot on the ring: the entry it holds now, and what outlives a change of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::account::Account;
use super::key::KeyRecord;
use super::limits::KeyLimits;
use super::rate::Bucket;
use super::unread::Unread;

/// A key in its current form, with its owner.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: KeyRecord,
    /// `None` if its member no longer exists.
    pub(super) account: Option<Arc<Account>>,
    /// Limits in force: the key's own, or the default for keys.
    pub(super) limits: KeyLimits,
    pub(super) bucket: Option<Arc<Bucket>>,
    /// `true` if it stands for access tokens of one subject with the same rights, each of which ends at a time of its own.
    pub(super) by_token: bool,
}

impl Entry {
    /// Reports whether two entries of the same key have the same account and the same limits.
    pub(super) fn is_same(&self, other: &Entry) -> bool {
        let same_account = match (&self.account, &other.account) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same_account && self.limits == other.limits
    }
}

/// A key's slot on the ring, which stays the same when the key is changed.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Current entry; `None` once the key is no longer on the ring.
    entry: ArcSwapOption<Entry>,
    /// Address of the entry, only for comparison: each call checks several times whether the entry has
    /// changed.
    place: AtomicPtr<Entry>,
    /// Notified of each change.
    changed: Notify,
    /// Number of calls of the key under way.
    pub(super) calls: Arc<AtomicUsize>,
    /// Time of the last use, in seconds since 1970; 0 for never.
    pub(super) last_used: AtomicU64,
    pub(super) unread: Unread,
}

impl Slot {
    /// Creates a slot for the same caller with other rights: what it has under way and unread counts for both.
    pub(super) fn beside(&self) -> Slot {
        Slot { calls: self.calls.clone(), unread: self.unread.clone(), ..Slot::default() }
    }

    pub(super) fn entry(&self) -> Option<Arc<Entry>> {
        self.entry.load_full()
    }

    /// Reports whether the slot still holds this entry.
    pub(super) fn holds(&self, entry: &Arc<Entry>) -> bool {
        // The caller holds the entry, so no other one can have the same address.
        std::ptr::eq(self.place.load(Ordering::Acquire), Arc::as_ptr(entry))
    }

    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    pub(super) fn set(&self, entry: Option<Arc<Entry>>) {
        let place = entry.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
        self.entry.store(entry);
        // Stored after the entry: a reader of the new address also finds the new entry.
        self.place.store(place.cast_mut(), Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// Records a time, unless a later one is recorded already. Writes once a second, not for every call.
pub(super) fn note(seconds: &AtomicU64, now: u64) {
    if seconds.load(Ordering::Relaxed) < now {
        seconds.fetch_max(now, Ordering::Relaxed);
    }
}
