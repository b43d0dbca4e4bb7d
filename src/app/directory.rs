//! The data directory at a start: taken also from what a killed daemon has left behind in it.

use std::path::Path;

use super::Refusal;
use crate::process;
use crate::store::{self, DataDir, StoreError};

/// Opens the data directory. Where its lock is held by leftovers of this installation and by nobody
/// else, they are ended and it is opened; a holder that is none is named.
pub(super) fn open(path: &Path) -> Result<DataDir, Refusal> {
    let locked = match DataDir::open(path) {
        Err(locked @ StoreError::Locked { .. }) => locked,
        opened => return opened.map_err(Refusal::io),
    };
    let instance = instance(path);
    match process::end_leftover_holders(&path.join(store::LOCK), instance.as_deref()) {
        Ok(0) => Err(Refusal::io(locked)),
        Ok(ended) => {
            tracing::warn!(processes = ended, "ended what an earlier run had left behind with the lock");
            DataDir::open(path).map_err(Refusal::io)
        }
        Err(holder) => Err(Refusal::io(format!("{locked}: {holder}"))),
    }
}

/// The id of the installation in a data directory, by what stands beside its store.
pub(super) fn instance(path: &Path) -> Option<String> {
    let record = store::instance_beside(path)?;
    let record: serde_json::Value = serde_json::from_str(&record).ok()?;
    record["id"].as_str().map(str::to_owned)
}
