//! What becomes of a key while it lives: changed, given another text. Who may is asked here, where one
//! change comes after the other, of the caller and the key as they are then.

use super::ledger::{put_key, to_ms};
use super::{Registry, now, stored};
use crate::access::{
    Charter, KeyChange, KeyRecord, KeyStatus, Member, NewKey, Principal, administers, check_grant,
};
use crate::service::Error;

impl Registry {
    /// Changes a key, from its very next request on.
    pub fn amend_key(&mut self, caller: &Principal, id: &str, change: &KeyChange) -> Result<(), Error> {
        let at = to_ms(now()) / 1000;
        let caller = self.still(caller, at)?;
        let mut records = self.ledger.keys().map_err(stored)?;
        let index = place(&records, id)?;
        let after = change.of(&records[index]);
        if !change.is_about_names() {
            let before = &records[index];
            if before.revoked_at.is_some() {
                return Err(conflict("The API key was revoked, which is for ever; make another one"));
            }
            let charter = self.keys.charter();
            let owner = owner(&charter, before)?;
            check_grant(&caller, Some(before), &after, owner, charter.key_defaults).map_err(forbidden)?;
            let moments = [Some(at), change.expires_at.flatten()];
            for moment in moments.into_iter().flatten() {
                let others = records.iter().filter(|record| *record.id != *id);
                let somebody = others.chain([&after]).any(|record| administers(&charter, record, moment));
                if administers(&charter, before, moment) && !somebody {
                    return Err(forbidden("Cannot limit your only active key"));
                }
            }
        }
        self.ledger.commit(vec![put_key(&after).map_err(stored)?]).map_err(stored)?;
        records[index] = after;
        self.keys.replace(records);
        Ok(())
    }

    /// Gives a key another text. The one it had is refused at once, or after so many seconds.
    pub fn rotate_key(&mut self, caller: &Principal, id: &str, grace: u64) -> Result<NewKey, Error> {
        let at = to_ms(now()) / 1000;
        let caller = self.still(caller, at)?;
        let mut records = self.ledger.keys().map_err(stored)?;
        let index = place(&records, id)?;
        let before = &records[index];
        match before.status(at) {
            KeyStatus::Active => {}
            KeyStatus::Revoked => return Err(conflict("The API key was revoked; make another one")),
            KeyStatus::Expired => {
                return Err(conflict(
                    "The API key has expired; set another expires_at first, or make another one",
                ));
            }
        }
        let charter = self.keys.charter();
        let owner = owner(&charter, before)?;
        // Whoever holds a key may have it anew; for others it is as if the key were made.
        if *before.id != **caller.key_id() {
            check_grant(&caller, None, before, owner, charter.key_defaults).map_err(forbidden)?;
        }
        let until = at.saturating_add(grace).min(before.expires_at.unwrap_or(u64::MAX));
        let made = NewKey::rotate(before, at, until)
            .map_err(|error| Error::Internal { reason: format!("no random bytes: {error}") })?;
        self.ledger.commit(vec![put_key(&made.record).map_err(stored)?]).map_err(stored)?;
        records[index] = made.record.clone();
        self.keys.replace(records);
        Ok(made)
    }

    /// Whoever asks, by now: a key that has ended since it was let in changes nothing any more.
    pub(super) fn still(&self, caller: &Principal, at: u64) -> Result<Principal, Error> {
        self.keys.again(caller, at).ok_or_else(|| forbidden("The API key has ended"))
    }
}

fn place(records: &[KeyRecord], id: &str) -> Result<usize, Error> {
    records.iter().position(|record| *record.id == *id).ok_or(Error::KeyNotFound)
}

fn owner<'a>(charter: &'a Charter, record: &KeyRecord) -> Result<&'a Member, Error> {
    let owner = charter.member(&record.member_id).map(|member| &**member);
    owner.ok_or_else(|| conflict("The member that owns the API key is no more"))
}

pub(super) fn conflict(reason: impl Into<String>) -> Error {
    Error::Conflict { reason: reason.into() }
}

pub(super) fn forbidden(reason: impl Into<String>) -> Error {
    Error::Forbidden { reason: reason.into() }
}
