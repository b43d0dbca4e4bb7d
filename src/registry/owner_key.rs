//! First key: without one nobody could call `/v1`, so a start that finds no key that may administer makes one
//! and leaves its text where only the daemon's user can read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use super::error::Error;
use super::pending_revocations::PendingRevocations;
use super::registry_store::{RegistryStore, put_key};
use super::{OpenError, Registry, now};
use crate::access::{
    DEFAULT_OWNER, KeyLimits, KeyRecord, KeyRing, NewKey, NewKeySpec, Permissions, Role, Tenancy,
};
use crate::store::write_private;
use crate::unix_time;

/// File in the data directory that holds the text of the first key.
pub const OWNER_KEY_FILE: &str = "owner.key";
/// Name of that key.
const NAME: &str = "owner key";

/// Result of replacing the owner's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// File that holds the new key's text.
    pub path: PathBuf,
    /// First characters of the new key's text.
    pub prefix: String,
    /// Member that owns the new key.
    pub member_id: Arc<str>,
    /// First characters of the texts of the keys that were revoked for it.
    pub revoked: Vec<String>,
}

impl Registry {
    /// Replaces the owner's key: revokes the one whose text is in `owner.key`, or otherwise all that were made
    /// as such, and writes the text of a new one to the file. The change is stored when this returns.
    pub fn renew_owner_key(&mut self) -> Result<Renewed, OpenError> {
        let (path, at) = (self.confinement.data_dir.join(OWNER_KEY_FILE), unix_time::seconds(now()));
        let mut keys = self.ledger.keys()?;
        self.owed.apply(&mut keys);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let in_file = keys.iter().position(|key| key.has_text(text.trim()));
        let is_old = |(index, key): (usize, &KeyRecord)| match in_file {
            Some(place) => index == place,
            None => key.name == NAME && key.permissions.are_unlimited(),
        };
        let old: Vec<usize> =
            keys.iter().enumerate().filter(|one| is_old((one.0, one.1))).map(|(index, _)| index).collect();
        let tenancy = self.keys.tenancy();
        let is_owner = |id: &Arc<str>| tenancy.member(id).is_some_and(|member| member.role == Role::Owner);
        let same = old.iter().map(|&index| &keys[index].member_id).find(|id| is_owner(id)).cloned();
        let made = generate(&path, same.unwrap_or_else(|| first_owner(&tenancy)), at)?;
        let (mut batch, mut revoked) = (vec![put_key(&made.record)?], Vec::new());
        for index in old {
            let key = &mut keys[index];
            if key.revoked_at.is_none() {
                key.revoked_at = Some(at);
                revoked.push(key.prefix.clone());
                batch.push(put_key(key)?);
            }
        }
        self.ledger.commit(batch)?;
        let (prefix, member_id) = (made.record.prefix.clone(), made.record.member_id.clone());
        keys.push(made.record);
        self.keys.replace(keys);
        Ok(Renewed { path, prefix, member_id, revoked })
    }

    /// Ends the work on a data directory that no daemon runs on. On return everything is on the disk.
    pub fn finish(mut self) -> Result<(), Error> {
        self.shut_down()
    }
}

/// Puts all keys on the ring. If none may administer (none was made yet, the last one has expired, its member
/// no longer exists), one is made for the first owner. The file is written before the key is stored: a key that
/// nobody can read would lock everybody out, while a file with a key that does not work is replaced at the next
/// start.
pub(super) fn load_keys(
    ledger: &mut RegistryStore,
    data_dir: &Path,
    ring: &KeyRing,
    now: SystemTime,
    owed: &PendingRevocations,
) -> Result<(), OpenError> {
    let path = data_dir.join(OWNER_KEY_FILE);
    let (mut keys, at) = (ledger.keys()?, unix_time::seconds(now));
    owed.apply(&mut keys);
    if keys.iter().any(|key| ring.administers(key, at)) {
        hint(&keys, &path);
    } else {
        keys.push(make(ledger, &path, ring, at)?);
    }
    ring.replace(keys);
    Ok(())
}

/// Makes a key for the first owner if none on the ring may administer.
pub(super) fn make_if_none(
    ledger: &mut RegistryStore,
    data_dir: &Path,
    ring: &KeyRing,
    now: SystemTime,
) -> Result<(), OpenError> {
    let at = unix_time::seconds(now);
    if !ring.is_administered(&ring.tenancy(), at) {
        ring.put([make(ledger, &data_dir.join(OWNER_KEY_FILE), ring, at)?]);
    }
    Ok(())
}

fn make(ledger: &mut RegistryStore, path: &Path, ring: &KeyRing, at: u64) -> Result<KeyRecord, OpenError> {
    let made = generate(path, first_owner(&ring.tenancy()), at)?;
    ledger.commit(vec![put_key(&made.record)?])?;
    tracing::info!(path = %path.display(), key = %made.record.prefix, "made the owner key");
    Ok(made.record)
}

fn first_owner(tenancy: &Tenancy) -> Arc<str> {
    tenancy.owner().map_or_else(|| DEFAULT_OWNER.into(), |owner| owner.id.clone())
}

/// Makes a key for an owner and writes its text to the file.
fn generate(path: &Path, owner: Arc<str>, at: u64) -> Result<NewKey, OpenError> {
    let failed = |reason: String| OpenError::OwnerKey { path: path.to_owned(), reason };
    let wish = NewKeySpec {
        name: NAME.to_owned(),
        description: None,
        member_id: owner,
        expires_at: None,
        permissions: Permissions::default(),
        limits: KeyLimits::default(),
    };
    let made = NewKey::generate(wish, at).map_err(|error| failed(format!("no random bytes: {error}")))?;
    write_private(path, format!("{}\n", made.text).as_bytes()).map_err(|error| failed(error.to_string()))?;
    Ok(made)
}

/// Logs that the file is gone if a key is not revoked: the text of a key is shown once, so a file that was
/// moved away is as it should be.
fn hint(keys: &[KeyRecord], path: &Path) {
    if keys.iter().any(|key| key.revoked_at.is_none()) && !path.exists() {
        tracing::info!(path = %path.display(), "the owner key stays valid although its file is gone; it is not written again");
    }
}
