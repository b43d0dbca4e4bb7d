//! What the handles of all servers have in common: whom a handle asks for a child, and whom it tells of changed
//! lists. The directory makes it, each handle holds it.

use std::sync::{Arc, OnceLock};

use crate::child::{CatalogChanges, NoticesOfAll};

/// Callback that asks for a server that has no child because nothing asked for it.
pub(super) type Demand = Box<dyn Fn(&Arc<str>) + Send + Sync>;

/// State shared by all handles.
#[derive(Default)]
pub(super) struct SharedHooks {
    demand: OnceLock<Demand>,
    /// Told when any server's lists have changed.
    pub(super) catalogs_changed: Arc<CatalogChanges>,
    /// Channel of what all servers announce.
    pub(super) notices: NoticesOfAll,
}

impl SharedHooks {
    /// Sets the callback that asks for servers that rest; only the first call counts.
    pub(super) fn on_demand(&self, demand: Demand) {
        let _ = self.demand.set(demand);
    }

    pub(super) fn demand(&self, server: &Arc<str>) {
        if let Some(demand) = self.demand.get() {
            demand(server);
        }
    }
}
