//! Backups and exports for owners: everything that is configured, as it was written, on its way to the caller.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::standing::require;
use super::{Error, Gateway, Principal};
use crate::access::Right;
use crate::registry;

/// Size of a piece of a backup, in bytes.
const PIECE: usize = 64 * 1024;

/// A backup on its way. There is one at a time, as it is in memory until it is taken.
pub struct BackupFile {
    text: Bytes,
    caller: Principal,
    created_at: String,
    _turn: OwnedSemaphorePermit,
}

impl Gateway {
    /// Makes a backup: all that is configured as of one change, and what was counted. The caller must be an owner without
    /// limits. While another backup is made or taken, it is refused.
    pub async fn backup(&self, caller: &Principal) -> Result<BackupFile, Error> {
        require(caller, Right::ReadAll)?;
        let turn = self.0.backing_up.clone().try_acquire_owned().map_err(|_| registry::Error::Conflict {
            reason: "Another backup is being made; ask again when it is done".to_owned(),
        })?;
        let usage = self.0.accounting.usage().backup().await?;
        let backup = self.0.registry.snapshot(caller).await?.with_usage(usage);
        let created_at = backup.created_at().to_owned();
        let rendered = tokio::task::spawn_blocking(move || backup.render()).await;
        let internal = |reason: String| Error::Internal { reason };
        let text = rendered.map_err(|error| internal(error.to_string()))?;
        let text = text.map_err(|error| internal(error.to_string()))?.into();
        Ok(BackupFile { text, caller: caller.clone(), created_at, _turn: turn })
    }

    /// Returns the text of a servers file with all servers as they were defined: references stay references. The caller
    /// must be an owner without limits.
    pub async fn servers_file(&self, caller: &Principal) -> Result<String, Error> {
        require(caller, Right::ReadAll)?;
        Ok(self.0.registry.servers_file(caller).await?)
    }
}

impl BackupFile {
    /// Returns the number of bytes that are still to be taken.
    pub fn left(&self) -> usize {
        self.text.len()
    }

    /// Returns the time it was made, in UTC (RFC 3339).
    pub fn created_at(&self) -> &str {
        &self.created_at
    }

    /// Takes the next piece while the caller may read it; `None` at the end.
    pub fn next_piece(&mut self) -> Option<Result<Bytes, Error>> {
        if self.text.is_empty() {
            return None;
        }
        if let Err(error) = require(&self.caller, Right::ReadAll) {
            self.text.clear();
            return Some(Err(error));
        }
        Some(Ok(self.text.split_to(self.text.len().min(PIECE))))
    }
}
