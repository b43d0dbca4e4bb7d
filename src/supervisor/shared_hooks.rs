//! What the handles of all servers have in common: whom a handle asks for a child, and whom it tells of changed
//! lists. The directory makes it, each handle holds it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::child::{CatalogChanges, NoticesOfAll};
use crate::process::Secret;

/// Callback that asks for a server, or one of its pools, that has no child because nothing asked for it.
pub(super) type Demand = Box<dyn Fn(FleetId) + Send + Sync>;

/// Finder of what a member has stored: its id and the name of the secret give the value, or `None` if there is none.
pub type Secrets = Box<dyn Fn(&str, &str) -> Option<Secret> + Send + Sync>;

/// Id of the replicas of a server that all callers share, or of one of its pools.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FleetId {
    pub(super) server: Arc<str>,
    /// Number of the pool, never used twice; `None` for what all share.
    pub(super) pool: Option<u64>,
}

impl FleetId {
    /// Returns the id of what all callers of a server share.
    pub(super) fn shared(server: &Arc<str>) -> FleetId {
        FleetId { server: server.clone(), pool: None }
    }
}

/// State shared by all handles.
#[derive(Default)]
pub(super) struct SharedHooks {
    demand: OnceLock<Demand>,
    secrets: OnceLock<Secrets>,
    /// Number of the last pool of any server; 0 before the first.
    pools: AtomicU64,
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

    pub(super) fn demand(&self, fleet: FleetId) {
        if let Some(demand) = self.demand.get() {
            demand(fleet);
        }
    }

    /// Sets the finder of what members have stored; only the first call counts.
    pub(super) fn find_secrets_by(&self, secrets: Secrets) {
        let _ = self.secrets.set(secrets);
    }

    /// Returns what a member has stored under a name; `None` if that is nothing.
    pub(super) fn secret(&self, member: &str, name: &str) -> Option<Secret> {
        self.secrets.get()?(member, name)
    }

    /// Returns the number for a pool that is made now.
    pub(super) fn next_pool(&self) -> u64 {
        self.pools.fetch_add(1, Ordering::Relaxed) + 1
    }
}
