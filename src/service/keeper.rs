//! Keeps what servers announced, so that it can be told while nothing of them runs, also after the
//! daemon was started anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::registry::{RegistryHandle, Told};
use crate::child::Catalog;
use crate::supervisor::{Directory, PinMode, Remembered};

/// How long further changes are waited for, so that a storm of them is one write.
const DEBOUNCE: Duration = Duration::from_millis(500);

type Kept = HashMap<Arc<str>, (Arc<Catalog>, PinMode)>;

/// Writes changed lists to the store. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keeper {
    registry: RegistryHandle,
    directory: Directory,
    /// The lists that were written last, by server, and how its tools were pinned then.
    kept: Arc<Mutex<Kept>>,
}

impl Keeper {
    pub(super) fn new(registry: RegistryHandle, directory: Directory) -> Keeper {
        Keeper { registry, directory, kept: Arc::default() }
    }

    /// Keeps the lists of all servers until it is dropped.
    pub(super) async fn run(self) {
        loop {
            self.directory.catalogs_changed().await;
            tokio::time::sleep(DEBOUNCE).await;
            self.keep().await;
        }
    }

    /// Keeps what has changed since the last time. What cannot be written now is logged and tried
    /// again with the next change: losing it costs a start, no more.
    pub(super) async fn keep(&self) {
        let changed = self.changed();
        if changed.is_empty() {
            return;
        }
        if let Err(error) = self.registry.remember(changed).await {
            tracing::warn!(%error, "what servers announced could not be kept");
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    fn changed(&self) -> Vec<Told> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|id, _| self.directory.get(id).is_some());
        let mut changed = Vec::new();
        let servers = self.registry.list();
        for handle in self.directory.all() {
            let (catalog, introduction) = (handle.catalog(), handle.status().introduction.clone());
            let Some(entry) = servers.by_id(handle.id()) else { continue };
            // What serves beside an edit that cannot be used serves by an earlier definition.
            if !entry.definition.problems().is_empty() {
                continue;
            }
            let pin = entry.definition.policy().pin;
            let known = kept.get(handle.id());
            let known = known.is_some_and(|(before, mode)| Arc::ptr_eq(before, &catalog) && *mode == pin);
            if let (false, true, Some(introduction)) = (known, catalog.is_loaded(), introduction) {
                kept.insert(handle.id().clone(), (catalog.clone(), pin));
                let remembered = Remembered { catalog, introduction };
                changed.push(Told { server: handle.id().clone(), remembered });
            }
        }
        changed
    }
}
