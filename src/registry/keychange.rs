//! Changes of existing keys: amendment and rotation. Permission is checked here, where one change comes after
//! the other, for the caller and the key as they are at that time.

use std::collections::HashSet;

use super::error::Error;
use super::registry_store::put_key;
use super::{Registry, stored};
use crate::access::{
    AccessError, KeyChange, KeyRecord, KeyStatus, Member, NewKey, Principal, Tenancy, administers,
    check_grant,
};
use crate::clock;

impl Registry {
    /// Changes a key, with effect on its very next request and on what is under way with it.
    pub fn amend_key(&mut self, caller: &Principal, id: &str, change: &KeyChange) -> Result<(), Error> {
        let at = clock::now();
        let before = self.changeable_key(caller, id, at)?;
        let after = change.of(&before);
        if !change.is_about_names() {
            if before.revoked_at.is_some() {
                return Err(conflict("The API key was revoked, which is for ever; make another one"));
            }
            let tenancy = self.keys.tenancy();
            let owner = owner(&tenancy, &before)?;
            check_grant(caller, Some(&before), &after, owner, tenancy.key_defaults).map_err(forbidden)?;
            let (moments, own) =
                ([Some(at), change.expires_at.flatten()], HashSet::from([before.id.clone()]));
            for moment in moments.into_iter().flatten() {
                let goes = administers(&tenancy, &before, moment) && !administers(&tenancy, &after, moment);
                if goes && !self.keys.administers_without(&own, moment) {
                    return Err(forbidden("Cannot limit your only active key"));
                }
            }
        }
        self.ledger.commit(vec![put_key(&after).map_err(stored)?]).map_err(stored)?;
        self.keys.put([after]);
        Ok(())
    }

    /// Gives a key another text. The previous one is refused after `grace` seconds, at once if that is 0, and
    /// at the latest when the key expires.
    pub fn rotate_key(&mut self, caller: &Principal, id: &str, grace: u64) -> Result<NewKey, Error> {
        let at = clock::now();
        let before = self.changeable_key(caller, id, at)?;
        match before.status(at) {
            KeyStatus::Active => {}
            KeyStatus::Revoked => return Err(conflict("The API key was revoked; make another one")),
            KeyStatus::Expired => {
                return Err(conflict(
                    "The API key has expired; set another expires_at first, or make another one",
                ));
            }
        }
        let tenancy = self.keys.tenancy();
        let owner = owner(&tenancy, &before)?;
        // The holder of a key may rotate it; for others the same rules hold as for making the key.
        if *before.id != **caller.key_id() {
            check_grant(caller, None, &before, owner, tenancy.key_defaults).map_err(forbidden)?;
        }
        let until = at.saturating_add(grace).min(before.expires_at.unwrap_or(u64::MAX));
        let made = NewKey::rotate(&before, at, until)
            .map_err(|error| Error::Internal { reason: format!("no random bytes: {error}") })?;
        self.ledger.commit(vec![put_key(&made.record).map_err(stored)?]).map_err(stored)?;
        self.keys.put([made.record.clone()]);
        Ok(made)
    }

    /// Returns the key as it is now, if the caller may see it.
    fn changeable_key(&self, caller: &Principal, id: &str, at: u64) -> Result<KeyRecord, Error> {
        let key = self.keys.key(id, at).ok_or(Error::KeyNotFound)?.record;
        caller.require_sight(&key)?;
        Ok(key)
    }
}

fn owner<'a>(tenancy: &'a Tenancy, record: &KeyRecord) -> Result<&'a Member, Error> {
    let owner = tenancy.member(&record.member_id).map(|member| &**member);
    owner.ok_or_else(|| conflict("The member that owns the API key is no more"))
}

pub(super) fn conflict(reason: impl Into<String>) -> Error {
    Error::Conflict { reason: reason.into() }
}

pub(super) fn forbidden(reason: impl Into<String>) -> Error {
    AccessError::forbidden(reason).into()
}
