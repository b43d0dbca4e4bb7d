//! The first key: without one nobody could call `/v1`, so the first start makes it and leaves its
//! text where only the daemon's user can read it.

use std::path::Path;
use std::time::SystemTime;

use super::OpenError;
use super::ledger::{Ledger, put_key, to_ms};
use crate::access::{KeyRecord, NewKey, Role};
use crate::store::write_private;

/// The file in the data directory that holds the text of the first key.
const FILE: &str = "owner.key";
/// The member that owns the first key.
const MEMBER: &str = "user_owner";

/// All keys; where there is none yet, the first one is made. The file is written before the key is
/// stored: a key that nobody can read would lock everybody out, a file with a key that does not
/// work is replaced at the next start.
pub(super) fn load_keys(
    ledger: &mut Ledger,
    data_dir: &Path,
    now: SystemTime,
) -> Result<Vec<KeyRecord>, OpenError> {
    let path = data_dir.join(FILE);
    let keys = ledger.keys()?;
    if !keys.is_empty() {
        hint(&keys, &path);
        return Ok(keys);
    }
    let failed = |reason: String| OpenError::OwnerKey { path: path.clone(), reason };
    let made = NewKey::generate("owner key", MEMBER, Role::Owner, to_ms(now) / 1000)
        .map_err(|error| failed(format!("no random bytes: {error}")))?;
    write_private(&path, format!("{}\n", made.text).as_bytes()).map_err(|error| failed(error.to_string()))?;
    ledger.commit(vec![put_key(&made.record)?])?;
    tracing::info!(path = %path.display(), key = %made.record.prefix, "made the owner key");
    Ok(vec![made.record])
}

/// The text of a key is shown once; a file that was moved away is how it should be.
fn hint(keys: &[KeyRecord], path: &Path) {
    if keys.iter().any(|key| key.role == Role::Owner) && !path.exists() {
        tracing::info!(path = %path.display(), "the owner key stays valid although its file is gone; it is not written again");
    }
}
