//! Making of keys. Permission is checked where keys are stored, one after the other, so that none is made by a
//! key that is no longer accepted, and none beyond a limit.

use std::sync::Arc;

use super::error::Error;
use super::keychange::forbidden;
use super::registry_store::{delete_key, put_key};
use super::{Registry, stored};
use crate::access::{Maker, NewKey, NewKeySpec, Principal, Tenancy, check_limits, share};
use crate::clock;
use crate::store::Op;

/// Key that is not stored yet, and the batch that stores it.
pub(super) struct PendingKey {
    pub(super) made: NewKey,
    pub(super) batch: Vec<Op>,
    /// Ids of keys of the same member that need not be kept any longer; the batch deletes them.
    pub(super) outlived: Vec<Arc<str>>,
}

impl Registry {
    /// Makes a key for a caller, as the caller is now. Deletes the same member's keys that need not be kept any
    /// longer.
    pub fn create_key(&mut self, maker: &Principal, wish: NewKeySpec) -> Result<NewKey, Error> {
        let key = self.key_to_be(maker, wish, &self.keys.tenancy(), clock::now())?;
        self.ledger.commit(key.batch).map_err(stored)?;
        self.keys.put([key.made.record.clone()]);
        self.keys.forget(&key.outlived);
        Ok(key.made)
    }

    /// Returns a key that the caller may make under `tenancy`, with the batch that stores it.
    pub(super) fn key_to_be(
        &self,
        maker: &Principal,
        wish: NewKeySpec,
        tenancy: &Tenancy,
        at: u64,
    ) -> Result<PendingKey, Error> {
        check_wish(maker, &wish, tenancy, at)?;
        self.check_count(&wish.member_id, tenancy, at)?;
        let mut made = NewKey::generate(wish, at)
            .map_err(|error| Error::Internal { reason: format!("no random bytes: {error}") })?;
        made.record.created_by = Some(Maker::of(maker.record()));
        let outlived = self.keys.outlived(&made.record.member_id, clock::settled());
        let mut batch = vec![put_key(&made.record).map_err(stored)?];
        batch.extend(outlived.iter().map(|id| delete_key(id)));
        Ok(PendingKey { made, batch, outlived })
    }

    /// Returns an error if one more key would exceed the plan's limit or the member's share of all keys.
    fn check_count(&self, member: &str, tenancy: &Tenancy, at: u64) -> Result<(), Error> {
        let reached = |limit| Err(Error::LimitReached { resource: "api_keys", limit });
        let own = self.keys.active_of(member, at);
        let share = share(tenancy.members.len());
        if own >= share {
            return reached(share);
        }
        let Some(member) = tenancy.member(member) else { return Ok(()) };
        // A plan of the member's own counts its keys, the organization's counts all.
        let count = if member.plan.is_some() { own } else { self.keys.active(at) as u64 };
        match tenancy.plan_of(member).max_api_keys {
            Some(limit) if count >= limit => reached(limit),
            _ => Ok(()),
        }
    }
}

/// Returns an error if the key would allow what its maker may not do.
fn check_wish(maker: &Principal, wish: &NewKeySpec, tenancy: &Tenancy, at: u64) -> Result<(), Error> {
    let refuse = |reason: &str| Err(forbidden(reason));
    if wish.member_id != maker.member().id && !maker.role().may_administer() {
        return refuse("Your role does not allow keys for others");
    }
    if tenancy.member(&wish.member_id).is_none_or(|member| member.role > maker.role()) {
        return refuse("A key cannot have a higher role than the key that makes it");
    }
    if !wish.permissions.are_within(maker.permissions()) {
        return refuse("A key cannot allow more than the key that makes it");
    }
    if wish.expires_at.is_some_and(|end| end <= at) {
        let reason = "Must be a future date".to_owned();
        return Err(Error::Unacceptable { field: "expires_at", reason });
    }
    if maker.expires_at().is_some_and(|own| wish.expires_at.is_none_or(|end| end > own)) {
        return refuse("A key cannot be valid for longer than the key that makes it");
    }
    check_limits(maker, &wish.limits, tenancy.key_defaults).or_else(refuse)
}
