//! Supervision: one supervisor, the replicas of each server, and at most one child per replica at a time.
//!
//! This covers the definition of a server ([`Definition`]), its state as an operator sees it ([`Status`]),
//! the state machine of a replica ([`Lifecycle`]) and the directory that routes calls.

mod actor;
mod admission;
mod backoff;
mod breaker;
mod definition;
mod directory;
mod ending;
mod fair_queue;
mod fleet;
mod handle;
mod lifecycle;
mod names;
mod policy;
mod pools;
mod problem;
mod remote;
mod remote_auth;
mod remote_policy;
mod remote_tls;
mod replica;
mod server_spec;
mod shared_hooks;
mod start_limiter;
mod status;

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef, SpawnErr};
use tokio::sync::oneshot;

pub use admission::{Admitted, CallOutcome, CallPermit, NotAdmitted, Ticket};
pub use backoff::CRASH_LOOP;
pub use breaker::BreakerState;
pub use definition::{Definition, OFF_SWITCHES, check_name};
pub use directory::Directory;
pub use ending::not_spawned;
pub use handle::{CachedCatalog, Leaving, ServerHandle};
pub use lifecycle::{DesiredState, Effect, Ending, Event, Lifecycle};
pub use names::{LookAlikes, check_visible};
pub use policy::{
    EraChoice, Isolation, OWN_MEMBER, PinMode, Policy, Replicas, RestartPolicy, StartMode, UpdateMode,
    parse_duration, setting_names,
};
pub use pools::{PoolRefused, PoolSums};
pub use problem::{Problem, kind_of};
pub use remote::{ADDRESS_MEMBERS, HEADER_MEMBERS, Remote, Transport};
pub use server_spec::ServerSpec;
pub use shared_hooks::{RemoteRules, RemoteSettings, Secrets};
pub use start_limiter::{QueuedStartView, Rank, StartLimits};
pub use status::{Cause, ReplicaView, ServerInfo, State, Status, ToldInfo, Update, on_the_wall};

pub use crate::process::Usage;
pub use crate::upstream::PoolKey;
pub use crate::upstream::http::{Allowed, LoginBegun, LoginFinish, LoginStore, Scope, Word, shown_address};

use crate::process::Host;

/// Handle to the supervisor actor. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    actor: ActorRef<actor::SupervisorMsg>,
    directory: Directory,
}

impl Supervisor {
    /// Starts the supervisor without servers. The returned task handle resolves when the supervisor ends,
    /// which happens only when the daemon stops or the supervisor failed.
    pub async fn start(
        host: Host,
        brake: StartLimits,
    ) -> Result<(Supervisor, tokio::task::JoinHandle<()>), SpawnErr> {
        let directory = Directory::default();
        let args = actor::SupervisorArgs { host, brake, directory: directory.clone() };
        let (actor, ended) = Actor::spawn(None, actor::SupervisorActor, args).await?;
        let asked = actor.clone();
        directory.on_demand(Box::new(move |fleet| {
            let _ = asked.send_message(actor::SupervisorMsg::Demand(fleet));
        }));
        Ok((Supervisor { actor, directory }, ended))
    }

    /// Sets the complete list of servers. Does not wait for any of them; the directory has them when this
    /// returns. May be called from any thread.
    pub fn apply(&self, servers: Vec<ServerSpec>) {
        for server in &servers {
            self.directory.ensure(server);
        }
        let _ = self.actor.send_message(actor::SupervisorMsg::Apply(servers));
    }

    /// Replaces the children of a server, each as soon as its successor is ready.
    pub fn renew(&self, server: &Arc<str>) {
        let _ = self.actor.send_message(actor::SupervisorMsg::Renew(server.clone()));
    }

    /// Stops a server with all its pools until it is started or renewed, however often it is called; calls in flight may
    /// take ten seconds.
    pub fn stop(&self, server: &Arc<str>) {
        let _ = self.actor.send_message(actor::SupervisorMsg::Switch(server.clone(), false));
    }

    /// Starts a server that was stopped, or that rests.
    pub fn resume(&self, server: &Arc<str>) {
        let _ = self.actor.send_message(actor::SupervisorMsg::Switch(server.clone(), true));
    }

    /// Returns the pool of a server that belongs to this owner, whose callers are `member`'s; makes it if there is none.
    /// `policy` is the server's. `is_over` tells whether the owner has ended.
    pub fn pool(
        &self,
        server: &Arc<ServerHandle>,
        (key, member): (&PoolKey, Option<&Arc<str>>),
        policy: &Policy,
        is_over: impl FnOnce() -> bool,
    ) -> Result<Arc<ServerHandle>, PoolRefused> {
        let found = server.pool(key, member, policy, is_over)?;
        self.close(found.evicted.as_slice());
        Ok(found.pool)
    }

    /// Ends the pools of all servers that `goes` is true of, by owner and member. Does not wait for their children.
    pub fn end_pools(&self, goes: impl Fn(&PoolKey, Option<&Arc<str>>) -> bool) {
        for server in self.directory.all() {
            self.close(&server.end_pools(&goes));
        }
    }

    fn close(&self, pools: &[Arc<ServerHandle>]) {
        for pool in pools {
            let _ = self.actor.send_message(actor::SupervisorMsg::Close(pool.fleet()));
        }
    }

    /// Takes note that a member's secret of this name was stored, or `removed`: children that have it are replaced, or end.
    pub fn secret_changed(&self, member: &Arc<str>, name: &str, removed: bool) {
        let (member, name) = (member.clone(), name.to_owned());
        let _ = self.actor.send_message(actor::SupervisorMsg::SecretChanged { member, name, removed });
    }

    /// Returns the directory that routes calls.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Ends all servers concurrently and returns when no process is left. Calls in flight may take `drain`.
    pub async fn shutdown(&self, drain: Duration) {
        let (done, ended) = oneshot::channel();
        if self.actor.send_message(actor::SupervisorMsg::Shutdown { drain, done }).is_ok() {
            let _ = ended.await;
        }
        self.actor.stop(None);
    }
}
