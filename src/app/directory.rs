//! Opens the data directory at a start, also if processes that a killed daemon left behind still hold its lock.

use std::path::Path;

use super::StartupError;
use crate::process;
use crate::store::{self, DataDir, StoreError};

/// Opens the data directory. If only leftovers of this installation hold its lock, they are ended first. If
/// another process holds it, the error names that process.
pub(super) fn open(path: &Path) -> Result<DataDir, StartupError> {
    let locked = match DataDir::open(path) {
        Err(locked @ StoreError::Locked { .. }) => locked,
        opened => return opened.map_err(StartupError::io),
    };
    let instance = instance(path);
    match process::end_leftover_holders(&path.join(store::LOCK), instance.as_deref()) {
        Ok(0) => Err(StartupError::io(locked)),
        Ok(ended) => {
            tracing::warn!(processes = ended, "ended what an earlier run had left behind with the lock");
            DataDir::open(path).map_err(StartupError::io)
        }
        Err(holder) => Err(StartupError::io(format!("{locked}: {holder}"))),
    }
}

/// Returns the id of the installation in a data directory, from the record beside its store. `None` if there is
/// no readable one.
pub(super) fn instance(path: &Path) -> Option<String> {
    let record = store::instance_beside(path)?;
    let record: serde_json::Value = serde_json::from_str(&record).ok()?;
    record["id"].as_str().map(str::to_owned)
}
