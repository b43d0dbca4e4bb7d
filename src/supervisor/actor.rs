//! The supervisor actor. It owns the replicas of all servers, one-for-one, and never ends because of one.
//! The [`Fleet`] of each server decides about its replicas; the actor carries that out.

mod pools;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::definition::Definition;
use super::directory::Directory;
use super::fleet::{Action, Fleet, ReplicaPhase};
use super::handle::{Leaving, ServerHandle};
use super::replica::{ReplicaActor, ReplicaArgs, ReplicaMsg};
use super::server_spec::ServerSpec;
use super::shared_hooks::FleetId;
use super::start_limiter::{StartLimiter, StartLimits};
use super::status::{Cause, State};
use crate::clock;
use crate::process::Host;

/// Number of replica failures within [`FAILURE_WINDOW`] above which a server is given up.
const MAX_FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// Maximum time for the calls in flight of a child that is stopped while the daemon runs.
const DRAIN: Duration = Duration::from_secs(10);

pub(super) enum SupervisorMsg {
    /// The complete set of servers; all others are removed.
    Apply(Vec<ServerSpec>),
    /// Request to replace the children of a server one by one, as if its definition had changed.
    Renew(Arc<str>),
    /// An operator's request to stop a server with its pools, or to start it again.
    Switch(Arc<str>, bool),
    /// Request for a server or a pool that rests.
    Demand(FleetId),
    /// Request to end a pool, which nobody can find any more.
    Close(FleetId),
    /// A member has stored or removed a secret.
    SecretChanged { member: Arc<str>, name: String, removed: bool },
    /// New phase of a replica, with its server and number.
    Moved(FleetId, u64, ReplicaPhase),
    /// Timer message: look which servers are idle, busy or have spare replicas.
    Look,
    /// Request to end everything; `done` is answered when no process is left.
    Shutdown { drain: Duration, done: oneshot::Sender<()> },
}

pub(super) struct SupervisorActor;

pub(super) struct SupervisorArgs {
    pub(super) host: Host,
    pub(super) brake: StartLimits,
    pub(super) directory: Directory,
}

/// A server as all callers share it, or one of its pools.
struct Server {
    /// The definition in force.
    definition: Arc<Definition>,
    /// A later definition that cannot be used and came while the one in force served; `None` if there is none.
    refused: Option<Arc<Definition>>,
    handle: Arc<ServerHandle>,
    fleet: Fleet,
    /// Actors of the replicas by replica number.
    replicas: HashMap<u64, ActorRef<ReplicaMsg>>,
    failures: Vec<Instant>,
    given_up: bool,
    drain: Duration,
}

pub(super) struct SupervisorState {
    host: Host,
    brake: StartLimiter,
    directory: Directory,
    servers: HashMap<FleetId, Server>,
    /// Server and replica number of each replica actor.
    actors: HashMap<ActorId, (FleetId, u64)>,
    /// Timer for the next look; `None` if none is due.
    look: Option<JoinHandle<()>>,
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
            brake: StartLimiter::new(args.brake),
            directory: args.directory,
            servers: HashMap::new(),
            actors: HashMap::new(),
            look: None,
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
            SupervisorMsg::Renew(server) => state.renew(&myself, &server).await,
            SupervisorMsg::Switch(server, on) => state.switch(&myself, &server, on).await,
            SupervisorMsg::Demand(id) => {
                state.add_pool(&id);
                state.with_fleet(&myself, &id, Fleet::demand).await;
            }
            SupervisorMsg::Close(id) => state.with_fleet(&myself, &id, Fleet::close).await,
            SupervisorMsg::SecretChanged { member, name, removed } => {
                state.secret_changed(&myself, &member, &name, removed).await;
            }
            SupervisorMsg::Moved(id, number, doing) => {
                state.with_fleet(&myself, &id, |fleet| fleet.on_phase(number, doing)).await;
            }
            SupervisorMsg::Look => state.look(&myself).await,
            SupervisorMsg::Shutdown { drain, done } => {
                state.shutdown = Some(done);
                state.close_all(&myself, drain).await;
                state.finish_shutdown();
            }
        }
        state.plan_look(&myself);
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
        state.plan_look(&myself);
        Ok(())
    }
}

impl Server {
    fn new(handle: Arc<ServerHandle>, definition: Arc<Definition>) -> Server {
        Server {
            definition,
            refused: None,
            handle,
            fleet: Fleet::new(),
            replicas: HashMap::new(),
            failures: Vec::new(),
            given_up: false,
            drain: DRAIN,
        }
    }

    /// Returns the state of the server without replicas.
    fn resting(&self) -> State {
        if self.fleet.is_stopped() && self.definition.runs() {
            return State::Stopped;
        }
        match self.fleet.is_enabled() || self.is_of_principals_only() && self.definition.runs() {
            true => State::Idle,
            false => match State::without_replicas(&self.definition, false) {
                failed @ State::Failed { .. } => failed,
                _ => State::Disabled,
            },
        }
    }

    /// Reports whether it is what all share of a server that only principals can have children of.
    fn is_of_principals_only(&self) -> bool {
        self.handle.member().is_none() && !self.definition.secrets().is_empty()
    }

    /// Reports whether the last definition given is the same as this one.
    fn was_told(&self, definition: &Definition) -> bool {
        self.refused.as_ref().unwrap_or(&self.definition).says(definition)
    }

    /// Replaces all children, as if the definition had changed.
    fn renew(&mut self) -> Vec<Action> {
        self.handle.begin_generation(self.fleet.generation() + 1, false);
        self.given_up = false;
        self.fleet.renew()
    }

    fn define(&mut self, definition: Arc<Definition>, is_new: bool) -> Vec<Action> {
        let cannot_run = State::without_replicas(&definition, false);
        let is_in_force = self.refused.is_some() || self.handle.status().state.serves();
        if matches!(cannot_run, State::Failed { .. }) && is_in_force {
            self.handle.refuse(Some(cannot_run));
            self.refused = Some(definition);
            return Vec::new();
        }
        if self.refused.take().is_some() {
            self.handle.refuse(None);
        }
        let new_child = is_new || !definition.same_child(&self.definition);
        let policy = definition.policy();
        self.handle.set_policy(policy);
        for replica in self.replicas.values().filter(|_| !new_child) {
            let _ = replica.send_message(ReplicaMsg::Define(definition.clone()));
        }
        if new_child {
            self.handle.begin_generation(self.fleet.generation() + 1, !is_new);
            self.given_up = false;
        }
        self.definition = definition.clone();
        let runs = definition.runs() && !self.is_of_principals_only();
        self.fleet.define(policy, runs, new_child)
    }
}

impl SupervisorState {
    async fn apply(&mut self, myself: &ActorRef<SupervisorMsg>, specs: Vec<ServerSpec>) {
        if self.shutdown.is_some() {
            return;
        }
        let wanted: HashMap<&str, &ServerSpec> = specs.iter().map(|spec| (&*spec.id, spec)).collect();
        let gone: Vec<FleetId> =
            self.servers.keys().filter(|id| !wanted.contains_key(&*id.server)).cloned().collect();
        for id in gone {
            if let Some(server) = self.servers.get(&id) {
                self.directory.remove(&id.server);
                server.handle.leave(Leaving::Removed);
            }
            self.with_fleet(myself, &id, Fleet::close).await;
        }
        for spec in specs {
            let id = FleetId::shared(&spec.id);
            let known = self.servers.get(&id).map(|server| server.was_told(&spec.definition));
            if known == Some(true) {
                continue;
            }
            let handle = self.directory.ensure(&spec);
            let definition = spec.definition;
            let server =
                self.servers.entry(id.clone()).or_insert_with(|| Server::new(handle, definition.clone()));
            let actions = server.define(definition, known.is_none());
            self.perform(myself, &id, actions).await;
            self.define_pools(myself, &id).await;
        }
    }

    async fn renew(&mut self, myself: &ActorRef<SupervisorMsg>, id: &Arc<str>) {
        for id in self.fleets_of(id) {
            let Some(server) = self.servers.get_mut(&id) else { continue };
            server.fleet.resume();
            let mut actions = server.renew();
            // Asking for new children is asking for the server. A pool that rests gets a new one when it is called.
            if id.pool.is_none() {
                actions.extend(server.fleet.demand());
            }
            self.perform(myself, &id, actions).await;
        }
    }

    async fn switch(&mut self, myself: &ActorRef<SupervisorMsg>, id: &Arc<str>, on: bool) {
        for id in self.fleets_of(id) {
            let Some(server) = self.servers.get_mut(&id) else { continue };
            let actions = match on {
                true => server.fleet.start(id.pool.is_none()),
                false => server.fleet.stop(),
            };
            self.perform(myself, &id, actions).await;
        }
    }

    async fn with_fleet(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        id: &FleetId,
        change: impl FnOnce(&mut Fleet) -> Vec<Action>,
    ) {
        if let Some(server) = self.servers.get_mut(id) {
            let actions = change(&mut server.fleet);
            self.perform(myself, id, actions).await;
        }
    }

    async fn perform(&mut self, myself: &ActorRef<SupervisorMsg>, id: &FleetId, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let Some(server) = self.servers.get_mut(id) else { return };
            match action {
                Action::Add { number, replaces } => self.add(myself, id, number, replaces).await,
                Action::Leave { number } => match server.replicas.get(&number) {
                    Some(replica) => {
                        let _ = replica.send_message(ReplicaMsg::Leave { drain: server.drain });
                    }
                    // A replica that was given up no longer has an actor.
                    None => {
                        server.handle.remove_replica(number, &server.resting());
                        actions.extend(server.fleet.gone(number));
                    }
                },
                Action::Retry { number } => {
                    if let Some(replica) = server.replicas.get(&number) {
                        let _ = replica.send_message(ReplicaMsg::Retry);
                    }
                }
            }
        }
        let Some(server) = self.servers.get(id) else { return };
        if !server.fleet.is_wanted() {
            server.handle.rest(&server.resting());
        }
        if server.fleet.is_empty() && server.handle.leaving().is_some() {
            self.servers.remove(id);
        }
    }

    async fn add(&mut self, myself: &ActorRef<SupervisorMsg>, id: &FleetId, number: u64, replaces: bool) {
        let Some(server) = self.servers.get_mut(id) else { return };
        server.handle.add_replica(number);
        if server.given_up {
            return;
        }
        let (supervisor, server_id) = (myself.clone(), id.clone());
        let args = ReplicaArgs {
            handle: server.handle.clone(),
            number,
            definition: server.definition.clone(),
            host: self.host.clone(),
            brake: self.brake.clone(),
            replaces,
            on_phase: Box::new(move |doing| {
                let _ = supervisor.send_message(SupervisorMsg::Moved(server_id.clone(), number, doing));
            }),
        };
        match Actor::spawn_linked(None, ReplicaActor, args, myself.get_cell()).await {
            Ok((actor, _)) => {
                self.actors.insert(actor.get_id(), (id.clone(), number));
                server.replicas.insert(number, actor);
            }
            Err(error) => give_up(&server.handle, number, &error.to_string()),
        }
    }

    /// Removes a replica that was told to leave; replaces one that failed, unless the replicas fail all the
    /// time.
    async fn replica_ended(
        &mut self,
        myself: &ActorRef<SupervisorMsg>,
        who: ActorId,
        failure: Option<String>,
    ) {
        let Some((id, number)) = self.actors.remove(&who) else { return };
        let Some(server) = self.servers.get_mut(&id) else { return self.finish_shutdown() };
        server.replicas.remove(&number);
        if let Some(reason) = failure {
            tracing::error!(server = %server.handle.name(), reason, "a replica failed");
            let now = Instant::now();
            server.failures.retain(|at| now.duration_since(*at) < FAILURE_WINDOW);
            server.failures.push(now);
            server.given_up = server.failures.len() > MAX_FAILURES;
            if server.given_up {
                give_up(&server.handle, number, &reason);
                return;
            }
        }
        server.handle.remove_replica(number, &server.resting());
        self.with_fleet(myself, &id, |fleet| fleet.gone(number)).await;
        self.finish_shutdown();
    }

    async fn close_all(&mut self, myself: &ActorRef<SupervisorMsg>, drain: Duration) {
        let ids: Vec<FleetId> = self.servers.keys().cloned().collect();
        for id in ids {
            if let Some(server) = self.servers.get_mut(&id) {
                server.drain = drain;
                server.handle.leave(Leaving::Shutdown);
            }
            self.with_fleet(myself, &id, Fleet::close).await;
        }
    }

    async fn look(&mut self, myself: &ActorRef<SupervisorMsg>) {
        self.look = None;
        let now = Instant::now();
        let watched: Vec<FleetId> = self
            .servers
            .iter()
            .filter(|(_, server)| server.fleet.look_every().is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for id in watched {
            let Some(load) = self.servers.get(&id).map(|server| server.handle.load_of_looks()) else {
                continue;
            };
            self.with_fleet(myself, &id, |fleet| fleet.look(load, now)).await;
        }
    }

    /// Schedules a look if some server needs one and none is due.
    fn plan_look(&mut self, myself: &ActorRef<SupervisorMsg>) {
        if self.look.is_some() {
            return;
        }
        let next = self.servers.values().filter_map(|server| server.fleet.look_every()).min();
        if let Some(next) = next {
            let supervisor = myself.clone();
            self.look = Some(tokio::spawn(async move {
                tokio::time::sleep(next).await;
                let _ = supervisor.send_message(SupervisorMsg::Look);
            }));
        }
    }

    fn finish_shutdown(&mut self) {
        if self.actors.is_empty()
            && let Some(done) = self.shutdown.take()
        {
            let _ = done.send(());
        }
    }
}

fn give_up(handle: &ServerHandle, number: u64, reason: &str) {
    let cause = Cause::Protocol { reason: format!("the gateway gave its replica up: {reason}") };
    handle.publish(number, |status| {
        handle.close_place(status.incarnation);
        status.state = State::Failed { cause };
        status.since = clock::wall_clock();
        status.pid = None;
    });
}

#[cfg(test)]
mod tests;
