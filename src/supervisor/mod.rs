//! Supervision: one supervisor, the replicas of each server, one child a replica at a time.
//!
//! What a server is ([`Definition`]), what an operator sees of it ([`Status`]), the state machine
//! that decides for a replica ([`Lifecycle`]) and the directory that calls are routed by.

mod actor;
mod admission;
mod backoff;
mod brake;
mod breaker;
mod definition;
mod directory;
mod fair_queue;
mod fleet;
mod handle;
mod lifecycle;
mod names;
mod policy;
mod remote;
mod replica;
mod status;

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorRef, SpawnErr};
use tokio::sync::oneshot;

pub use actor::ServerSpec;
pub use admission::{Admitted, CallPermit, NotAdmitted, Ticket, Verdict};
pub use backoff::CRASH_LOOP;
pub use brake::{BrakeSettings, Rank, TurnView};
pub use breaker::BreakerState;
pub use definition::{Definition, OFF_SWITCHES, OWN_MEMBER, Problem, check_name, kind_of};
pub use directory::Directory;
pub use handle::{Leaving, Remembered, ServerHandle};
pub use lifecycle::{Effect, Ending, Event, Lifecycle, Wanted};
pub use names::{Looks, check_visible};
pub use policy::{
    EraChoice, PinMode, Policy, Replicas, RestartPolicy, StartMode, UpdateMode, parse_duration,
};
pub use remote::{ADDRESS_MEMBERS, Remote, Transport};
pub use status::{Cause, Introduction, ReplicaView, State, Status, Update, on_the_wall};

pub use crate::process::Usage;

use crate::process::Host;

/// The way in to the supervisor. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor {
    actor: ActorRef<actor::SupervisorMsg>,
    directory: Directory,
}

impl Supervisor {
    /// Starts the supervisor with no servers. The handle resolves when the supervisor ends, which
    /// it does only when the daemon stops or when it failed.
    pub async fn start(
        host: Host,
        brake: BrakeSettings,
    ) -> Result<(Supervisor, tokio::task::JoinHandle<()>), SpawnErr> {
        let directory = Directory::default();
        let args = actor::SupervisorArgs { host, brake, directory: directory.clone() };
        let (actor, ended) = Actor::spawn(None, actor::SupervisorActor, args).await?;
        let asked = actor.clone();
        directory.on_demand(Box::new(move |server| {
            let _ = asked.send_message(actor::SupervisorMsg::Demand(server.clone()));
        }));
        Ok((Supervisor { actor, directory }, ended))
    }

    /// Makes it so that these servers are there and no others. Does not wait for any of them; the
    /// directory has them when it returns. May be called from any thread.
    pub fn apply(&self, servers: Vec<ServerSpec>) {
        for server in &servers {
            self.directory.ensure(server);
        }
        let _ = self.actor.send_message(actor::SupervisorMsg::Apply(servers));
    }

    /// Replaces the children of a server, each when its successor is ready.
    pub fn renew(&self, server: &Arc<str>) {
        let _ = self.actor.send_message(actor::SupervisorMsg::Renew(server.clone()));
    }

    /// Where calls are routed by.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Ends all servers side by side and returns when no process is left. Calls in flight may
    /// take `drain`.
    pub async fn shutdown(&self, drain: Duration) {
        let (done, ended) = oneshot::channel();
        if self.actor.send_message(actor::SupervisorMsg::Shutdown { drain, done }).is_ok() {
            let _ = ended.await;
        }
        self.actor.stop(None);
    }
}
