//! The supervisor actor: one replica a server, one-for-one. It never ends because of one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;

use super::brake::{BrakeSettings, StartBrake};
use super::definition::Definition;
use super::directory::{Directory, Leaving, ServerHandle};
use super::replica::{ReplicaActor, ReplicaArgs, ReplicaMsg};
use super::status::{Cause, State};
use crate::process::Host;

/// A replica that fails more often than this within [`FAILURE_WINDOW`] is given up.
const MAX_FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// How long the calls in flight of a removed server may take.
const REMOVAL_DRAIN: Duration = Duration::from_secs(10);

/// A server that should be there.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// The id; another id is another server.
    pub id: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// The definition.
    pub definition: Arc<Definition>,
}

pub(super) enum SupervisorMsg {
    /// These servers, no others.
    Apply(Vec<ServerSpec>),
    /// End everything; answered when no process is left.
    Shutdown { drain: Duration, done: oneshot::Sender<()> },
}

pub(super) struct SupervisorActor;

pub(super) struct SupervisorArgs {
    pub(super) host: Host,
    pub(super) brake: BrakeSettings,
    pub(super) directory: Directory,
}

struct Replica {
    spec: ServerSpec,
    handle: Arc<ServerHandle>,
    actor: ActorRef<ReplicaMsg>,
    leaving: bool,
    failures: Vec<Instant>,
}

pub(super) struct SupervisorState {
    host: Host,
    brake: StartBrake,
    directory: Directory,
    replicas: HashMap<ActorId, Replica>,
    shutdown: Option<oneshot::Sender<()>>,
}

impl Actor for SupervisorActor {
    type Msg = SupervisorMsg;
    type State = SupervisorState;
    type Arguments = SupervisorArgs;

    async fn pre_start(
        &self,
        _: ActorRef<SupervisorMsg>,
        args: SupervisorArgs,
    ) -> Result<SupervisorState, ActorProcessingErr> {
        Ok(SupervisorState {
            host: args.host,
            brake: StartBrake::new(args.brake),
            directory: args.directory,
            replicas: HashMap::new(),
            shutdown: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMsg>,
        message: SupervisorMsg,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMsg::Apply(specs) => state.apply(&myself, specs).await,
            SupervisorMsg::Shutdown { drain, done } => {
                state.shutdown = Some(done);
                state.replicas.values_mut().for_each(|replica| replica.leave(drain, Leaving::Shutdown));
                state.finish_shutdown();
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMsg>,
        event: SupervisionEvent,
        state: &mut SupervisorState,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(who, ..) => {
                state.replica_ended(&myself, who.get_id(), None).await
            }
            SupervisionEvent::ActorFailed(who, error) => {
                state.replica_ended(&myself, who.get_id(), Some(error.to_string())).await;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Replica {
    fn leave(&mut self, drain: Duration, leaving: Leaving) {
        self.leaving = true;
        let _ = self.actor.send_message(ReplicaMsg::Remove { drain, leaving });
    }
}

impl SupervisorState {
    async fn apply(&mut self, myself: &ActorRef<SupervisorMsg>, specs: Vec<ServerSpec>) {
        if self.shutdown.is_some() {
            return;
        }
        for replica in self.replicas.values_mut().filter(|replica| !replica.leaving) {
            match specs.iter().find(|spec| spec.id == replica.spec.id) {
                None => {
                    self.directory.remove(&replica.spec.id);
                    replica.leave(REMOVAL_DRAIN, Leaving::Removed);
                }
                Some(spec) if spec.definition.raw() != replica.spec.definition.raw() => {
                    replica.spec = spec.clone();
                    let _ = replica.actor.send_message(ReplicaMsg::Define(spec.definition.clone()));
                }
                Some(_) => {}
            }
        }
        for spec in specs {
            let known = self.replicas.values().any(|replica| replica.spec.id == spec.id && !replica.leaving);
            if !known {
                let handle = self.directory.ensure(&spec.id, &spec.name, spec.definition.policy());
                self.start(myself, spec, handle, Vec::new()).await;
            }
        }
    }

    async fn start(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        spec: ServerSpec,
        handle: Arc<ServerHandle>,
        failures: Vec<Instant>,
    ) {
        let args = ReplicaArgs {
            handle: handle.clone(),
            definition: spec.definition.clone(),
            host: self.host.clone(),
            brake: self.brake.clone(),
        };
        match Actor::spawn_linked(None, ReplicaActor, args, myself.get_cell()).await {
            Ok((actor, _)) => {
                let replica = Replica { spec, handle, actor, leaving: false, failures };
                self.replicas.insert(replica.actor.get_id(), replica);
            }
            Err(error) => give_up(&handle, &error.to_string()),
        }
    }

    /// A replica that was told to leave is forgotten; one that failed is started anew, unless it
    /// fails all the time.
    async fn replica_ended(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        who: ActorId,
        failure: Option<String>,
    ) {
        let Some(mut replica) = self.replicas.remove(&who) else { return };
        if replica.leaving || self.shutdown.is_some() {
            return self.finish_shutdown();
        }
        let reason = failure.unwrap_or_else(|| "it ended unasked".to_owned());
        tracing::error!(server = %replica.spec.name, reason, "the replica failed");
        replica.handle.set_link(None);
        let now = Instant::now();
        replica.failures.retain(|at| now.duration_since(*at) < FAILURE_WINDOW);
        replica.failures.push(now);
        if replica.failures.len() > MAX_FAILURES {
            return give_up(&replica.handle, &reason);
        }
        self.start(myself, replica.spec, replica.handle, replica.failures).await;
    }

    fn finish_shutdown(&mut self) {
        if self.replicas.is_empty()
            && let Some(done) = self.shutdown.take()
        {
            let _ = done.send(());
        }
    }
}

fn give_up(handle: &ServerHandle, reason: &str) {
    let cause = Cause::Protocol { reason: format!("the gateway gave its replica up: {reason}") };
    handle.set_link(None);
    handle.publish(|status| {
        status.state = State::Failed { cause };
        status.since = std::time::SystemTime::now();
        status.pid = None;
    });
}
