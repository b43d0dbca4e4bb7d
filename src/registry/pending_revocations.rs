//! Ends of authority, of keys and of members, that are in force and could not be stored. They are written to
//! the reserve, so that they outlive the daemon, and stored as soon as that is possible.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::access::{CreatedRecords, KeyRecord};
use crate::store::Reserve;

/// Prefix of a member's id in the reserve. No id has a slash, and a daemon that does not know of removed
/// members takes the entry for a key that no longer exists.
const MEMBER: &str = "member/";

/// Revocations and removals that are in force and not yet stored.
pub(super) struct PendingRevocations {
    /// Time at which each key was revoked, in seconds since 1970.
    keys: BTreeMap<Arc<str>, u64>,
    /// Time at which each member was removed, in seconds since 1970. Its keys went with it and are not listed
    /// one by one, so that there is room for the entry no matter how many keys the member has.
    members: BTreeMap<Arc<str>, u64>,
    reserve: Reserve,
    /// Number of these that an end of the daemon would forget: 0 if the reserve was written, otherwise all.
    fleeting: Arc<AtomicUsize>,
}

impl PendingRevocations {
    /// Reads from the reserve what an earlier run could not store.
    pub(super) fn open(data_dir: &Path) -> PendingRevocations {
        let reserve = Reserve::open(data_dir);
        let all: BTreeMap<Arc<str>, u64> = match reserve.text() {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text).unwrap_or_else(|error| {
                tracing::error!(%error, "the reserve does not say which keys were revoked");
                BTreeMap::new()
            }),
        };
        let (mut keys, mut members) = (BTreeMap::new(), BTreeMap::new());
        for (id, at) in all {
            match id.strip_prefix(MEMBER) {
                Some(member) => members.insert(member.into(), at),
                None => keys.insert(id, at),
            };
        }
        let owed = PendingRevocations { keys, members, reserve, fleeting: Arc::default() };
        if !owed.is_empty() {
            let (keys, members) = (owed.keys.len(), owed.members.len());
            tracing::warn!(keys, members, "revocations that could not be stored are in force");
        }
        owed
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.keys.len() + self.members.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.keys()
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Arc<str>> {
        self.members.keys()
    }

    /// Reports whether the removal of a member is owed.
    pub(super) fn has_member(&self, id: &str) -> bool {
        self.members.contains_key(id)
    }

    /// Returns the shared number of revocations that an end of the daemon would forget.
    pub(super) fn fleeting(&self) -> Arc<AtomicUsize> {
        self.fleeting.clone()
    }

    /// Reports whether the revocation of a key outlives the daemon; `true` if none is owed for it.
    pub(super) fn is_durable(&self, key: &KeyRecord) -> bool {
        self.ended_at(key).is_none() || self.fleeting.load(Ordering::Relaxed) == 0
    }

    /// Returns the time at which a key was revoked, itself or with its member, in seconds since 1970; `None` if
    /// neither is owed. A key made after its member was removed belongs to another member of that name.
    fn ended_at(&self, key: &KeyRecord) -> Option<u64> {
        let with_member = self.members.get(&key.member_id).filter(|at| key.created_at <= **at);
        self.keys.get(&key.id).or(with_member).copied()
    }

    /// Writes revocations to the reserve. Returns `true` if they outlive the daemon.
    pub(super) fn add_keys(&mut self, ids: impl IntoIterator<Item = Arc<str>>, at: u64) -> bool {
        self.keys.extend(ids.into_iter().map(|id| (id, at)));
        self.write_down()
    }

    /// Writes the removal of a member, and of its keys with it, to the reserve. Returns `true` if that outlives
    /// the daemon.
    pub(super) fn add_member(&mut self, id: &str, at: u64) -> bool {
        self.members.insert(id.into(), at);
        self.write_down()
    }

    fn text(&self) -> Result<String, serde_json::Error> {
        if self.is_empty() {
            return Ok(String::new());
        }
        let members = self.members.iter().map(|(id, at)| (format!("{MEMBER}{id}"), *at));
        let keys = self.keys.iter().map(|(id, at)| (id.to_string(), *at));
        serde_json::to_string(&keys.chain(members).collect::<BTreeMap<String, u64>>())
    }

    fn write_down(&mut self) -> bool {
        let written = self.text().map_err(|error| error.to_string());
        let written = written.and_then(|text| self.reserve.write(&text).map_err(|error| error.to_string()));
        let is_durable = written.is_ok();
        if let Err(error) = written {
            tracing::error!(
                error,
                keys = self.keys.len(),
                members = self.members.len(),
                "revocations are in force and an end of the daemon would forget them; tried again"
            );
        }
        self.fleeting.store(if is_durable { 0 } else { self.len() }, Ordering::Relaxed);
        is_durable
    }

    /// Tries once more to write to the reserve what would be forgotten.
    pub(super) fn hold(&mut self) {
        if self.fleeting.load(Ordering::Relaxed) > 0 {
            self.write_down();
        }
    }

    /// Makes the reserve fail or work again, for tests.
    #[cfg(test)]
    pub(super) fn break_reserve(&mut self, broken: bool) {
        self.reserve.fails = broken;
    }

    /// Forgets everything that was owed, since it is stored now.
    pub(super) fn paid(&mut self) {
        self.keys.clear();
        self.members.clear();
        self.write_down();
    }

    /// Revokes those of the keys read from the store whose revocation is owed.
    pub(super) fn apply(&self, keys: &mut [KeyRecord]) {
        for key in keys {
            if let Some(at) = self.ended_at(key) {
                key.revoked_at.get_or_insert(at);
            }
        }
    }

    /// Drops those of the members read from the store whose removal is owed.
    pub(super) fn take_away(&self, made: &mut CreatedRecords) {
        made.members.retain(|member| !self.has_member(&member.id));
    }
}
