//! The directory: server id to handle. The supervisor writes it, every call reads it.

use std::sync::Arc;

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::broadcast;

use super::handle::ServerHandle;
use super::policy::StartMode;
use super::server_spec::ServerSpec;
use super::shared_hooks::{Demand, RemoteRules, Secrets, SharedHooks};
use super::status::State;
use crate::upstream::Notification;
use crate::upstream::http::LoginStore;

/// All servers by id. Cheap to clone. No guard of the map is ever held across an await.
#[derive(Clone, Default)]
pub struct Directory {
    servers: Arc<DashMap<Arc<str>, Arc<ServerHandle>, RandomState>>,
    surroundings: Arc<SharedHooks>,
}

impl Directory {
    /// Returns the handle of the server with this id; `None` if there is no such server.
    pub fn get(&self, id: &str) -> Option<Arc<ServerHandle>> {
        self.servers.get(id).map(|entry| entry.value().clone())
    }

    /// Returns all handles, in no particular order.
    pub fn all(&self) -> Vec<Arc<ServerHandle>> {
        self.servers.iter().map(|entry| entry.value().clone()).collect()
    }

    /// Subscribes to what all servers announce, each with its id.
    pub fn subscribe(&self) -> broadcast::Receiver<(Arc<str>, Notification)> {
        self.surroundings.notices.subscribe()
    }

    /// Waits until any server's lists have changed since the last call returned.
    pub async fn catalogs_changed(&self) {
        self.surroundings.catalogs_changed.changed().await;
    }

    /// Wakes a task that waits for changed lists, so that it looks at them again.
    pub fn look_again(&self) {
        self.surroundings.catalogs_changed.tell();
    }

    /// Returns a number that is another after any server's lists have changed.
    pub fn catalogs_version(&self) -> u64 {
        self.surroundings.catalogs_changed.version()
    }

    /// Sets the callback that asks for servers and pools that rest; only the first call counts.
    pub(super) fn on_demand(&self, demand: Demand) {
        self.surroundings.on_demand(demand);
    }

    /// Returns the handle of the server; makes it if there is none.
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
        let handle = self.servers.entry(spec.id.clone()).or_insert_with(make).clone();
        handle.set_of_api(spec.is_of_api);
        handle
    }

    /// Sets the finder of what members have stored for their children; only the first call counts.
    pub fn find_secrets_by(&self, secrets: Secrets) {
        self.surroundings.find_secrets_by(secrets);
    }

    /// Sets the store of logins at remote servers; only the first call counts, before the first server.
    pub fn keep_logins_in(&self, store: Arc<dyn LoginStore>) {
        self.surroundings.keep_logins_in(store);
    }

    /// Sets which addresses remote servers may have; only the first call counts, before the first server.
    pub fn set_remote_rules(&self, rules: RemoteRules) {
        self.surroundings.set_remote_rules(rules);
    }

    pub(super) fn remove(&self, id: &str) {
        self.servers.remove(id);
    }
}
