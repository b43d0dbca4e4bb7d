//! Revocations that are in force and could not be stored: written down in the reserve, so that they
//! outlive the daemon, and stored as soon as that is possible.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::access::KeyRecord;
use crate::store::Reserve;

/// See the module.
pub(super) struct Owed {
    /// When each of these keys was revoked, seconds since 1970.
    keys: BTreeMap<Arc<str>, u64>,
    reserve: Reserve,
    /// How many of them would be forgotten by an end of the daemon.
    fleeting: Arc<AtomicUsize>,
}

impl Owed {
    /// What an earlier run could not store.
    pub(super) fn open(data_dir: &Path) -> Owed {
        let reserve = Reserve::open(data_dir);
        let keys: BTreeMap<Arc<str>, u64> = match reserve.text() {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text).unwrap_or_else(|error| {
                tracing::error!(%error, "the reserve does not say which keys were revoked");
                BTreeMap::new()
            }),
        };
        if !keys.is_empty() {
            tracing::warn!(keys = keys.len(), "revocations that could not be stored are in force");
        }
        Owed { keys, reserve, fleeting: Arc::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.keys()
    }

    /// Follows how many revocations would be forgotten by an end of the daemon.
    pub(super) fn fleeting(&self) -> Arc<AtomicUsize> {
        self.fleeting.clone()
    }

    /// Whether the revocation of a key, if it is owed, outlives the daemon.
    pub(super) fn is_durable(&self, id: &str) -> bool {
        !self.keys.contains_key(id) || self.fleeting.load(Ordering::Relaxed) == 0
    }

    /// Writes revocations down. Says whether they outlive the daemon.
    pub(super) fn add(&mut self, ids: impl IntoIterator<Item = Arc<str>>, at: u64) -> bool {
        self.keys.extend(ids.into_iter().map(|id| (id, at)));
        self.write_down()
    }

    fn write_down(&mut self) -> bool {
        let text = if self.keys.is_empty() { Ok(String::new()) } else { serde_json::to_string(&self.keys) };
        let written = text.map_err(|error| error.to_string());
        let written = written.and_then(|text| self.reserve.write(&text).map_err(|error| error.to_string()));
        let is_durable = written.is_ok();
        if let Err(error) = written {
            tracing::error!(
                error,
                keys = self.keys.len(),
                "revocations are in force and an end of the daemon would forget them; tried again"
            );
        }
        self.fleeting.store(if is_durable { 0 } else { self.keys.len() }, Ordering::Relaxed);
        is_durable
    }

    /// Tries once more to write down what would be forgotten.
    pub(super) fn hold(&mut self) {
        if self.fleeting.load(Ordering::Relaxed) > 0 {
            self.write_down();
        }
    }

    /// Has the reserve fail, for tests.
    #[cfg(test)]
    pub(super) fn break_reserve(&mut self, broken: bool) {
        self.reserve.fails = broken;
    }

    /// Everything that was owed is stored.
    pub(super) fn paid(&mut self) {
        self.keys.clear();
        self.write_down();
    }

    /// Revokes those of the keys that are owed, as they were read from the store.
    pub(super) fn apply(&self, keys: &mut [KeyRecord]) {
        for key in keys {
            if let Some(at) = self.keys.get(&key.id) {
                key.revoked_at.get_or_insert(*at);
            }
        }
    }
}
