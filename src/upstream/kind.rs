//! The two kinds of upstream, and the only place that tells them apart for a replica.

use std::time::Duration;

use ractor::{Actor, ActorCell, ActorId, ActorRef, SpawnErr};

use super::http::{RemoteActor, RemoteArgs, RemoteMsg};
use super::report::Context;
use super::stdio::{ChildActor, ChildArgs, ChildMsg};

/// An upstream that runs.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// A process of ours.
    Process(ActorRef<ChildMsg>),
    /// A remote server.
    Remote(ActorRef<RemoteMsg>),
}

/// What an upstream is started from.
pub enum Target {
    /// A process, with what it is given.
    Process(Box<dyn FnOnce(Context) -> ChildArgs + Send>),
    /// A remote server, with what it is given.
    Remote(Box<dyn FnOnce(Context) -> RemoteArgs + Send>),
}

impl Upstream {
    /// Starts an upstream, linked to its replica.
    pub async fn spawn(target: Target, context: Context, replica: ActorCell) -> Result<Upstream, SpawnErr> {
        match target {
            Target::Process(with) => {
                let spawned = Actor::spawn_linked(None, ChildActor, with(context), replica).await;
                spawned.map(|(actor, _)| Upstream::Process(actor))
            }
            Target::Remote(with) => {
                let spawned = Actor::spawn_linked(None, RemoteActor, with(context), replica).await;
                spawned.map(|(actor, _)| Upstream::Remote(actor))
            }
        }
    }

    /// Lets it take no new calls, gives those under way `drain` at most, and ends it.
    pub fn stop(&self, drain: Duration) {
        match self {
            Upstream::Process(actor) => drop(actor.send_message(ChildMsg::Stop { drain })),
            Upstream::Remote(actor) => drop(actor.send_message(RemoteMsg::Stop { drain })),
        }
    }

    /// Ends the actor of an upstream that has sent its last report.
    pub fn dismiss(&self) {
        match self {
            Upstream::Process(actor) => actor.stop(None),
            Upstream::Remote(actor) => actor.stop(None),
        }
    }

    /// Returns the id of its actor.
    pub fn id(&self) -> ActorId {
        match self {
            Upstream::Process(actor) => actor.get_id(),
            Upstream::Remote(actor) => actor.get_id(),
        }
    }
}
