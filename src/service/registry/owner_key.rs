//! The first key: without one nobody could call `/v1`, so a start that finds none that may
//! administer makes one and leaves its text where only the daemon's user can read it.

use std::path::Path;
use std::time::SystemTime;

use super::OpenError;
use super::ledger::{Ledger, put_key, to_ms};
use super::owed::Owed;
use crate::access::{DEFAULT_OWNER, KeyRecord, KeyRing, KeyWish, NewKey, Permissions};
use crate::store::write_private;

/// The file in the data directory that holds the text of the first key.
const FILE: &str = "owner.key";

/// Puts all keys on the ring; where none may administer (none was made yet, the last one has
/// expired, its member is no more), one is made for the first owner. The file is written before the
/// key is stored: a key that nobody can read would lock everybody out, a file with a key that does
/// not work is replaced at the next start.
pub(super) fn load_keys(
    ledger: &mut Ledger,
    data_dir: &Path,
    ring: &KeyRing,
    now: SystemTime,
    owed: &Owed,
) -> Result<(), OpenError> {
    let path = data_dir.join(FILE);
    let (mut keys, at) = (ledger.keys()?, to_ms(now) / 1000);
    owed.apply(&mut keys);
    if keys.iter().any(|key| ring.administers(key, at)) {
        hint(&keys, &path);
    } else {
        keys.push(make(ledger, &path, ring, at)?);
    }
    ring.replace(keys);
    Ok(())
}

fn make(ledger: &mut Ledger, path: &Path, ring: &KeyRing, at: u64) -> Result<KeyRecord, OpenError> {
    let failed = |reason: String| OpenError::OwnerKey { path: path.to_owned(), reason };
    let owner = ring.charter().owner().map_or_else(|| DEFAULT_OWNER.into(), |owner| owner.id.clone());
    let wish = KeyWish {
        name: "owner key".to_owned(),
        description: None,
        member_id: owner,
        expires_at: None,
        permissions: Permissions::default(),
    };
    let made = NewKey::generate(wish, at).map_err(|error| failed(format!("no random bytes: {error}")))?;
    write_private(path, format!("{}\n", made.text).as_bytes()).map_err(|error| failed(error.to_string()))?;
    ledger.commit(vec![put_key(&made.record)?])?;
    tracing::info!(path = %path.display(), key = %made.record.prefix, "made the owner key");
    Ok(made.record)
}

/// The text of a key is shown once; a file that was moved away is how it should be.
fn hint(keys: &[KeyRecord], path: &Path) {
    if keys.iter().any(|key| key.revoked_at.is_none()) && !path.exists() {
        tracing::info!(path = %path.display(), "the owner key stays valid although its file is gone; it is not written again");
    }
}
