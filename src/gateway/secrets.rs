//! What members store for their own children, as callers may see and change it: names are seen, values never.

use std::sync::Arc;

use super::standing::present;
use super::{Error, Gateway, Principal};
use crate::access::{AccessError, Right};
use crate::registry;
use crate::secrets;

/// Word in a path for the caller's own member.
const ME: &str = "me";

impl From<secrets::Error> for Error {
    fn from(error: secrets::Error) -> Error {
        match error {
            secrets::Error::NotFound => Error::SecretNotFound,
            secrets::Error::Unacceptable { field, reason } => {
                registry::Error::Unacceptable { field, reason }.into()
            }
            secrets::Error::Store { reason } => registry::Error::Store { reason }.into(),
        }
    }
}

impl Gateway {
    /// Returns the id of the member and the names of its secrets, in order. `member` may be `me`.
    pub fn secret_names(&self, caller: &Principal, member: &str) -> Result<(Arc<str>, Vec<String>), Error> {
        let member = self.owner_of_secrets(caller, member)?;
        let names = self.0.secrets.names(&member);
        Ok((member, names))
    }

    /// Stores a secret of a member, in place of an earlier one, and returns the member's id. Its children that have the
    /// earlier one are replaced. Durable when it returns.
    pub async fn put_secret(
        &self,
        caller: &Principal,
        member: &str,
        name: &str,
        value: String,
    ) -> Result<Arc<str>, Error> {
        let member = self.owner_of_secrets(caller, member)?;
        let (book, id, named) = (self.0.secrets.clone(), member.clone(), name.to_owned());
        on_the_disk(move || book.put(&id, &named, &value)).await?;
        // A member that was removed meanwhile leaves nothing behind.
        if !self.has_member(&member) {
            self.forget_members(std::slice::from_ref(&member)).await;
            return Err(registry::Error::MemberNotFound.into());
        }
        self.0.supervisor.secret_changed(&member, name, false);
        Ok(member)
    }

    /// Removes a secret of a member, and returns the member's id. Its children that have it end. Durable when it returns.
    pub async fn remove_secret(
        &self,
        caller: &Principal,
        member: &str,
        name: &str,
    ) -> Result<Arc<str>, Error> {
        let member = self.owner_of_secrets(caller, member)?;
        let (book, id, named) = (self.0.secrets.clone(), member.clone(), name.to_owned());
        on_the_disk(move || book.remove(&id, &named)).await?;
        self.0.supervisor.secret_changed(&member, name, true);
        Ok(member)
    }

    /// Ends what runs for members that there are not any more, and forgets what they have stored.
    pub(super) async fn forget_members(&self, gone: &[Arc<str>]) {
        self.end_pools_of(|member| gone.iter().any(|gone| **gone == *member));
        let (book, gone) = (self.0.secrets.clone(), gone.to_vec());
        let forgotten = on_the_disk(move || {
            gone.iter().for_each(|member| book.forget(member));
            Ok(())
        });
        // What the disk refuses is logged where that happens.
        let _ = forgotten.await;
    }

    /// Returns the member that `named` stands for, if the caller may see and change what it stores: its own, and one with
    /// at most its role for who may administer.
    fn owner_of_secrets(&self, caller: &Principal, named: &str) -> Result<Arc<str>, Error> {
        let caller = present(caller)?;
        caller.require(Right::Member)?;
        let own = &caller.member().id;
        if named == ME || **own == *named {
            return Ok(own.clone());
        }
        caller.require(Right::Administer)?;
        let tenancy = self.0.keys.tenancy();
        let member = tenancy.member(named).ok_or(registry::Error::MemberNotFound)?;
        if member.role > caller.role() {
            return Err(AccessError::forbidden("The member's role is higher than yours").into());
        }
        Ok(member.id.clone())
    }
}

/// Does what blocks on the disk where it holds up nobody.
async fn on_the_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, secrets::Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| Error::Internal { reason: error.to_string() })??)
}
