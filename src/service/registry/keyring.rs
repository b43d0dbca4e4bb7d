//! Changes of a key that take nothing away: stored, then in force, then acknowledged.

use super::ledger::put_key;
use super::{Registry, stored};
use crate::access::{KeyRecord, Principal};
use crate::service::Error;
use crate::service::keys::{may_see, not_yours};
use crate::service::standing::moment;

impl Registry {
    /// Gives a key another name or description.
    pub fn describe_key(
        &mut self,
        caller: &Principal,
        id: &str,
        name: Option<String>,
        description: Option<Option<String>>,
    ) -> Result<(), Error> {
        self.change_key(caller, id, |record| {
            record.name = name.unwrap_or_else(|| record.name.clone());
            record.description = description.unwrap_or_else(|| record.description.clone());
        })
    }

    pub(super) fn change_key(
        &mut self,
        caller: &Principal,
        id: &str,
        change: impl FnOnce(&mut KeyRecord),
    ) -> Result<(), Error> {
        let mut record = self.keys.key(id, moment()).ok_or(Error::KeyNotFound)?.record;
        if !may_see(caller, &record) {
            return Err(not_yours());
        }
        change(&mut record);
        self.ledger.commit(vec![put_key(&record).map_err(stored)?]).map_err(stored)?;
        self.keys.put([record]);
        Ok(())
    }
}
