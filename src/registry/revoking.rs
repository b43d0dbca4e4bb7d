//! Ends of authority, of a key or of a member with all its keys: they take effect first and are stored
//! afterwards, so that no disk keeps the authority alive.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::Error;
use super::keychange::forbidden;
use super::pending_revocations::PendingRevocations;
use super::registry_store::{delete_member, put_key};
use super::{Registry, stored};
use crate::access::{KeyRecord, KeyView, Principal};
use crate::clock;
use crate::store::{Op, StoreError};

/// Part of a key's lineage that is to be revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoke {
    /// Only the key itself.
    Key,
    /// The key, the keys that it has made, and those that these have made.
    Both,
    /// Only the keys that it has made, and those that these have made.
    Descendants,
}

/// Result of a revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Id in the request.
    pub id: Arc<str>,
    /// The key as it is now; `None` if it is not kept any more.
    pub key: Option<KeyView>,
    /// Ids of the keys that this revokes, in ascending order.
    pub revoked: Vec<Arc<str>>,
    /// `true` if the revocation would survive an end of the daemon. If not, that is still to come; it is in force
    /// all the same.
    pub durable: bool,
}

impl Registry {
    /// Revokes a key, the keys made with it, or both. In force on return, whether or not it could be stored;
    /// what could not be stored is written to the reserve and stored later.
    pub fn revoke_key(&mut self, caller: &Principal, id: &str, what: Revoke) -> Result<Revocation, Error> {
        let at = clock::now();
        let own = self.keys.key(id, at).map(|key| key.record);
        let made = if what == Revoke::Key { Vec::new() } else { self.keys.descendants(id) };
        if own.is_none() && made.is_empty() {
            return Err(Error::KeyNotFound);
        }
        let own = own.filter(|_| what != Revoke::Descendants);
        let all: Vec<KeyRecord> = own.into_iter().chain(made).collect();
        if !all.iter().all(|key| caller.may_see(key)) {
            let reason = match what {
                Revoke::Key => "This API key belongs to another member",
                Revoke::Descendants | Revoke::Both => "Some of these API keys belong to another member",
            };
            return Err(forbidden(reason));
        }
        let mut live: Vec<KeyRecord> = all.into_iter().filter(|key| key.revoked_at.is_none()).collect();
        let ids: HashSet<Arc<str>> = live.iter().map(|key| key.id.clone()).collect();
        let administered = live.iter().any(|key| self.keys.administers(key, at));
        if administered && !self.keys.administers_without(&ids, at) {
            // Nothing is revoked then: the caller has to say which keys are to stay.
            return Err(forbidden("Cannot revoke your only active key"));
        }
        live.iter_mut().for_each(|key| key.revoked_at = Some(at));
        self.keys.put(live.clone());
        let stored = self.store_revoked(&live, at)?;
        let mut revoked: Vec<Arc<str>> = ids.into_iter().collect();
        revoked.sort();
        let key = self.keys.key(id, at);
        let durable = stored && key.as_ref().is_none_or(|key| self.owed.is_durable(&key.record));
        Ok(Revocation { id: id.into(), key, revoked, durable })
    }

    fn store_revoked(&mut self, keys: &[KeyRecord], at: u64) -> Result<bool, Error> {
        if keys.is_empty() {
            return Ok(true);
        }
        let batch = keys.iter().map(put_key).collect::<Result<_, _>>().map_err(stored)?;
        Ok(self.store_or_owe(batch, |owed| owed.add_keys(keys.iter().map(|key| key.id.clone()), at)))
    }

    /// Stores a batch that is already in force, or notes it with `owe`. Returns `true` if it outlives the daemon.
    pub(super) fn store_or_owe(
        &mut self,
        batch: Vec<Op>,
        owe: impl FnOnce(&mut PendingRevocations) -> bool,
    ) -> bool {
        match self.ledger.commit(batch) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "a revocation is in force and could not be stored; tried again");
                owe(&mut self.owed)
            }
        }
    }

    /// Stores the revocations that could not be stored before. A failure is tried again later.
    pub(crate) fn store_pending_revocations(&mut self) {
        if let Err(error) = self.try_to_store_pending() {
            tracing::debug!(%error, "revocations cannot be stored yet");
        }
    }

    fn try_to_store_pending(&mut self) -> Result<(), StoreError> {
        if self.owed.is_empty() {
            return Ok(());
        }
        self.owed.hold();
        let mut batch: Vec<Op> = self.owed.members().map(|id| delete_member(id)).collect();
        for key in self.owed_keys() {
            batch.push(put_key(&key)?);
        }
        self.ledger.commit(batch)?;
        tracing::info!("revocations that could not be stored are stored now");
        self.owed.paid();
        Ok(())
    }

    /// Returns the keys whose revocation is owed, by itself or with their member.
    fn owed_keys(&self) -> Vec<KeyRecord> {
        let at = clock::now();
        let mut keys: Vec<KeyRecord> =
            self.owed.keys().filter_map(|id| self.keys.key(id, at)).map(|key| key.record).collect();
        if self.owed.members().next().is_some() {
            // Keys of a member of that name that was since added to the file are not revoked.
            let all = self.keys.keys(at).into_iter().map(|key| key.record);
            keys.extend(all.filter(|key| self.owed.has_member(&key.member_id) && key.revoked_at.is_some()));
        }
        keys
    }

    /// Returns an error for a member id whose removal is owed and cannot be stored now: a new member of that
    /// id, stored before the removal, would be removed with the previous one.
    pub(super) fn check_paid(&mut self, id: Option<&str>) -> Result<(), Error> {
        match id {
            Some(id) if self.owed.has_member(id) => self.try_to_store_pending().map_err(stored),
            _ => Ok(()),
        }
    }
}
