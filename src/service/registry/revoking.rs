//! Keys are revoked: in force first and stored afterwards, so that no disk keeps a key alive.

use std::collections::HashSet;
use std::sync::Arc;

use super::ledger::put_key;
use super::{Registry, stored};
use crate::access::{KeyRecord, Principal};
use crate::service::keys::may_see;
use crate::service::standing::moment;
use crate::service::{Error, Revocation, Revoke};

impl Registry {
    /// Revokes a key, what it has made, or both. In force when it returns, whether or not it could be
    /// stored; what could not be is written to the reserve and stored later.
    pub fn revoke_key(&mut self, caller: &Principal, id: &str, what: Revoke) -> Result<Revocation, Error> {
        let at = moment();
        let own = self.keys.key(id, at).map(|key| key.record);
        let made = if what == Revoke::Key { Vec::new() } else { self.keys.descendants(id) };
        if own.is_none() && made.is_empty() {
            return Err(Error::KeyNotFound);
        }
        let own = own.filter(|_| what != Revoke::Descendants);
        let all: Vec<KeyRecord> = own.into_iter().chain(made).collect();
        if !all.iter().all(|key| may_see(caller, key)) {
            let reason = match what {
                Revoke::Key => "This API key belongs to another member",
                Revoke::Descendants | Revoke::Both => "Some of these API keys belong to another member",
            };
            return Err(Error::Forbidden { reason: reason.to_owned() });
        }
        let mut live: Vec<KeyRecord> = all.into_iter().filter(|key| key.revoked_at.is_none()).collect();
        let ids: HashSet<Arc<str>> = live.iter().map(|key| key.id.clone()).collect();
        let administered = live.iter().any(|key| self.keys.administers(key, at));
        if administered && !self.keys.administers_without(&ids, at) {
            // Nothing is revoked then: which ones are to stay is for the caller to say.
            return Err(Error::Forbidden { reason: "Cannot revoke your only active key".to_owned() });
        }
        live.iter_mut().for_each(|key| key.revoked_at = Some(at));
        self.keys.put(live.clone());
        let durable = self.store_revoked(&live, at)? && self.owed.is_durable(id);
        let mut revoked: Vec<Arc<str>> = ids.into_iter().collect();
        revoked.sort();
        let key = self.keys.key(id, at);
        Ok(Revocation { id: id.into(), key, revoked, durable })
    }

    fn store_revoked(&mut self, keys: &[KeyRecord], at: u64) -> Result<bool, Error> {
        if keys.is_empty() {
            return Ok(true);
        }
        let batch = keys.iter().map(put_key).collect::<Result<_, _>>().map_err(stored)?;
        match self.ledger.commit(batch) {
            Ok(()) => Ok(true),
            Err(error) => {
                tracing::error!(%error, keys = keys.len(), "a revocation is in force and could not be stored; tried again");
                Ok(self.owed.add(keys.iter().map(|key| key.id.clone()), at))
            }
        }
    }

    /// Stores the revocations that could not be stored before.
    pub(super) fn pay(&mut self) {
        if self.owed.is_empty() {
            return;
        }
        self.owed.hold();
        let at = moment();
        let records = self.owed.ids().filter_map(|id| self.keys.key(id, at));
        let batch = records.map(|key| put_key(&key.record)).collect::<Result<Vec<_>, _>>();
        match batch.and_then(|batch| self.ledger.commit(batch)) {
            Ok(()) => {
                tracing::info!("revocations that could not be stored are stored now");
                self.owed.paid();
            }
            Err(error) => tracing::debug!(%error, "revocations cannot be stored yet"),
        }
    }
}
