//! The keeper of what servers announced, so that it can be listed while none of their children runs, also after a
//! restart of the daemon.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::registry::{CatalogUpdate, RegistryHandle};
use crate::supervisor::{CachedCatalog, Directory, PinMode};
use crate::upstream::Catalog;

/// Time to wait for further changes, so that a burst of them is one write.
const DEBOUNCE: Duration = Duration::from_millis(500);

type Kept = HashMap<Arc<str>, (Arc<Catalog>, PinMode)>;

/// Writer of changed lists to the store. Cheap to clone.
#[derive(Clone)]
pub(super) struct CatalogPersister {
    registry: RegistryHandle,
    directory: Directory,
    /// Lists that were written last, by server id, and the pin mode of the server's tools then.
    kept: Arc<Mutex<Kept>>,
}

impl CatalogPersister {
    pub(super) fn new(registry: RegistryHandle, directory: Directory) -> CatalogPersister {
        CatalogPersister { registry, directory, kept: Arc::default() }
    }

    /// Writes changed lists of all servers until the future is dropped.
    pub(super) async fn run(self) {
        loop {
            self.directory.catalogs_changed().await;
            tokio::time::sleep(DEBOUNCE).await;
            self.keep().await;
        }
    }

    /// Writes the lists that have changed since the last time. A failed write is logged and tried again with the
    /// next change: losing the lists costs a start, no more.
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

    fn changed(&self) -> Vec<CatalogUpdate> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|id, _| self.directory.get(id).is_some());
        let mut changed = Vec::new();
        let servers = self.registry.list();
        for handle in self.directory.all() {
            let (catalog, introduction) = (handle.catalog(), handle.status().introduction.clone());
            let Some(entry) = servers.by_id(handle.id()) else { continue };
            // A server that runs beside an edit with problems runs by an earlier definition.
            if !entry.definition.problems().is_empty() {
                continue;
            }
            let pin = entry.definition.policy().pin;
            let known = kept.get(handle.id());
            let known = known.is_some_and(|(before, mode)| Arc::ptr_eq(before, &catalog) && *mode == pin);
            if let (false, true, Some(introduction)) = (known, catalog.is_loaded(), introduction) {
                kept.insert(handle.id().clone(), (catalog.clone(), pin));
                let remembered = CachedCatalog { catalog, introduction };
                changed.push(CatalogUpdate { server: handle.id().clone(), remembered });
            }
        }
        changed
    }
}
