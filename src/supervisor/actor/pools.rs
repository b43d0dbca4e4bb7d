//! What the supervisor does with the pools of servers. Each has a fleet of its own, made when it is first called.

use std::sync::Arc;

use super::super::policy::{EraChoice, Isolation};
use super::super::shared_hooks::FleetId;
use super::{ActorRef, Server, SupervisorMsg, SupervisorState};
use crate::upstream::PoolKey;

impl SupervisorState {
    /// Returns the ids of what all share of a server, and of its pools.
    pub(super) fn fleets_of(&self, server: &Arc<str>) -> Vec<FleetId> {
        self.servers.keys().filter(|id| id.server == *server).cloned().collect()
    }

    /// Adds a pool that is called for the first time, by the definition in force. One that has gone meanwhile is not
    /// added, nor any while the daemon stops.
    pub(super) fn add_pool(&mut self, id: &FleetId) {
        let Some(number) = id.pool else { return };
        if self.servers.contains_key(id) || self.shutdown.is_some() {
            return;
        }
        let Some(server) = self.servers.get(&FleetId::shared(&id.server)) else { return };
        let Some(handle) = server.handle.pool_of_number(number) else { return };
        let Some(owner) = handle.owner() else { return };
        let definition = Arc::new(server.definition.of_pool(owner));
        let mut pool = Server::new(handle, definition.clone());
        // Nothing is to be done for a fleet without replicas.
        drop(pool.define(definition, true));
        if server.fleet.is_stopped() {
            drop(pool.fleet.stop());
        }
        self.servers.insert(id.clone(), pool);
    }

    /// Gives the definition in force to a server's pools, and ends those that it has no use for.
    pub(super) async fn define_pools(&mut self, myself: &ActorRef<SupervisorMsg>, id: &FleetId) {
        let Some(server) = self.servers.get(id) else { return };
        let (definition, handle) = (server.definition.clone(), server.handle.clone());
        let policy = definition.policy();
        handle.end_pools(|key, _| !has_use_for(policy.isolation, policy.era, key));
        for id in self.fleets_of(&id.server).into_iter().filter(|id| id.pool.is_some()) {
            let Some(pool) = self.servers.get_mut(&id) else { continue };
            let Some(owner) = pool.handle.owner() else { continue };
            let of_pool = Arc::new(definition.of_pool(owner));
            let actions = match pool.handle.leaving() {
                Some(_) => pool.fleet.close(),
                None if pool.was_told(&of_pool) => continue,
                None => pool.define(of_pool, false),
            };
            self.perform(myself, &id, actions).await;
        }
    }

    /// Replaces the children of a member that have a secret which was stored anew; those of one that was `removed` end.
    pub(super) async fn secret_changed(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        member: &Arc<str>,
        name: &str,
        removed: bool,
    ) {
        let has_it = |server: &Server| {
            let names = server.definition.secrets();
            server.handle.member() == Some(member) && names.iter().any(|known| known == name)
        };
        let affected = self.servers.iter().filter(|(_, server)| has_it(server));
        let affected: Vec<FleetId> = affected.map(|(id, _)| id.clone()).collect();
        for id in affected {
            let Some(pool) = self.servers.get_mut(&id) else { continue };
            let actions = if removed { pool.fleet.rest() } else { pool.renew() };
            self.perform(myself, &id, actions).await;
        }
    }
}

/// Reports whether a server that is isolated so has pools of such an owner. With one for each session, callers without a
/// session have one for their principal.
fn has_use_for(isolation: Isolation, era: EraChoice, key: &PoolKey) -> bool {
    match (isolation, key) {
        (Isolation::Shared, PoolKey::Legacy) => era == EraChoice::Matched,
        (_, PoolKey::Legacy) | (Isolation::Shared, _) | (Isolation::PerPrincipal, PoolKey::Session(_)) => {
            false
        }
        (Isolation::PerPrincipal, PoolKey::Principal(_)) | (Isolation::PerSession, _) => true,
    }
}
