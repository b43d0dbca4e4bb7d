//! Changes of the keys: stored, then in force, then acknowledged.

use super::ledger::{put_key, to_ms};
use super::{Registry, now, stored};
use crate::access::{KeyRecord, KeyWish, NewKey};
use crate::service::Error;

impl Registry {
    /// Makes a key.
    pub fn create_key(&mut self, wish: KeyWish) -> Result<NewKey, Error> {
        let made = NewKey::generate(wish, to_ms(now()) / 1000)
            .map_err(|error| Error::Internal { reason: format!("no random bytes: {error}") })?;
        self.ledger.commit(vec![put_key(&made.record).map_err(stored)?]).map_err(stored)?;
        let mut records = self.key_records()?;
        if !records.iter().any(|record| record.id == made.record.id) {
            records.push(made.record.clone());
        }
        self.keys.replace(records);
        Ok(made)
    }

    /// Revokes a key, unless nobody could administer any more without it.
    pub fn revoke_key(&mut self, id: &str) -> Result<(), Error> {
        let at = to_ms(now()) / 1000;
        let records = self.key_records()?;
        let administers = |record: &KeyRecord| self.keys.administers(record, at);
        let others = records.iter().filter(|record| *record.id != *id);
        let last = records.iter().any(|record| *record.id == *id && administers(record))
            && !others.into_iter().any(administers);
        if last {
            return Err(Error::Forbidden { reason: "Cannot revoke your only active key".to_owned() });
        }
        self.change_key(records, id, |record| {
            record.revoked_at.get_or_insert(at);
        })
    }

    fn key_records(&self) -> Result<Vec<KeyRecord>, Error> {
        self.ledger.keys().map_err(stored)
    }

    fn change_key(
        &mut self,
        mut records: Vec<KeyRecord>,
        id: &str,
        change: impl FnOnce(&mut KeyRecord),
    ) -> Result<(), Error> {
        let record = records.iter_mut().find(|record| *record.id == *id).ok_or(Error::KeyNotFound)?;
        change(record);
        self.ledger.commit(vec![put_key(record).map_err(stored)?]).map_err(stored)?;
        self.keys.replace(records);
        Ok(())
    }
}
