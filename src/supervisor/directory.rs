//! The directory: server id to handle. Written by the supervisor, read by every call.

use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::Notify;

use super::actor::ServerSpec;
use super::handle::ServerHandle;
use super::policy::StartMode;
use super::status::State;

/// Asks for a server that has no child because nothing asked for it.
type Demand = Box<dyn Fn(&Arc<str>) + Send + Sync>;

/// What all handles share.
#[derive(Default)]
pub(super) struct Surroundings {
    demand: OnceLock<Demand>,
    /// Notified when any server's lists have changed.
    pub(super) catalogs_changed: Arc<Notify>,
}

impl Surroundings {
    pub(super) fn demand(&self, server: &Arc<str>) {
        if let Some(demand) = self.demand.get() {
            demand(server);
        }
    }
}

/// All servers by id. Cheap to clone. No guard of the map is ever held across an await.
#[derive(Clone, Default)]
pub struct Directory {
    servers: Arc<DashMap<Arc<str>, Arc<ServerHandle>, RandomState>>,
    surroundings: Arc<Surroundings>,
}

impl Directory {
    /// The handle of the server with this id.
    pub fn get(&self, id: &str) -> Option<Arc<ServerHandle>> {
        self.servers.get(id).map(|entry| entry.value().clone())
    }

    /// All handles, in no order.
    pub fn all(&self) -> Vec<Arc<ServerHandle>> {
        self.servers.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Resolves when any server's lists have changed since this last resolved.
    pub async fn catalogs_changed(&self) {
        self.surroundings.catalogs_changed.notified().await;
    }

    /// Has those who wait for changed lists look at them again.
    pub fn look_again(&self) {
        self.surroundings.catalogs_changed.notify_one();
    }

    /// Says how servers that rest are asked for; the first word counts.
    pub(super) fn on_demand(&self, demand: Demand) {
        let _ = self.surroundings.demand.set(demand);
    }

    /// The handle of the server, made now if there is none.
    pub(super) fn ensure(&self, spec: &ServerSpec) -> Arc<ServerHandle> {
        let make = || {
            let policy = spec.definition.policy();
            let eager = policy.start == StartMode::Eager;
            Arc::new(ServerHandle::new(
                spec.id.clone(),
                spec.name.clone(),
                policy,
                State::without_replicas(&spec.definition, eager),
                spec.remembered.clone(),
                self.surroundings.clone(),
            ))
        };
        self.servers.entry(spec.id.clone()).or_insert_with(make).clone()
    }

    pub(super) fn remove(&self, id: &str) {
        self.servers.remove(id);
    }
}
