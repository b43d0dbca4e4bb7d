//! Handle of a server, or of one of its pools: its state, its lists and the admission of calls. Its replicas and the
//! supervisor write it; all other parts read it.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{broadcast, watch};

use super::admission::{Admission, Admitted, NotAdmitted};
use super::breaker::BreakerState;
use super::definition::Definition;
use super::fleet::Load;
use super::policy::{EraChoice, Policy};
use super::pools::{Found, PoolRefused, PoolSums, Pools};
use super::shared_hooks::{FleetId, SharedHooks};
use super::status::{ReplicaView, ServerInfo, State, Status, Update};
use crate::clock;
use crate::mcp::Era;
use crate::process::{Secret, TreeView};
use crate::upstream::http::{AddressRules, LoginDesk};
use crate::upstream::{
    Catalog, CatalogSlot, Counters, Interests, Link, Notices, Notification, PoolKey, ServerLog, Sharing,
};

/// State, lists and call admission of one server, or of one of its pools.
pub struct ServerHandle {
    id: Arc<str>,
    name: Arc<str>,
    /// The name as in the daemon's log, with the pool.
    label: Arc<str>,
    /// What it is a pool of; `None` for what all callers share.
    of: Option<PoolOf>,
    /// Its pools; empty for a pool.
    pools: Pools<ServerHandle>,
    roster: Mutex<ReplicaSet>,
    status: watch::Sender<Arc<Status>>,
    catalog: ArcSwap<CatalogSlot>,
    counters: Arc<Counters>,
    /// Notifications of all its children that belong to no call.
    notices: Notices,
    /// What clients want to hear of its children beside answers.
    interests: Arc<Interests>,
    log: ServerLog,
    admission: Arc<Admission>,
    /// Policy of the last definition that could be used.
    policy: ArcSwap<Policy>,
    leaving: ArcSwapOption<Leaving>,
    /// Number of the last child of the server, of whichever pool; 0 before the first.
    children: Arc<AtomicU64>,
    /// `true` if the server was asked for since it was last told to rest.
    asked: AtomicBool,
    /// `true` if the server was defined through an API.
    is_of_api: Arc<AtomicBool>,
    /// Where people log in, if it is a remote server.
    logins: OnceLock<Arc<LoginDesk>>,
    surroundings: Arc<SharedHooks>,
}

/// What a pool is part of.
struct PoolOf {
    server: Weak<ServerHandle>,
    number: u64,
    key: PoolKey,
    /// Id of the member that the pool's callers belong to; `None` for a pool of all members.
    member: Option<Arc<str>>,
}

/// Reason why a server, or a pool of it, is being removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// The operator or the configuration removed it.
    Removed,
    /// The owner of the pool is over, the server is not isolated in this way any more, or another pool needed the room.
    PoolEnded,
    /// The daemon stops, and all servers with it.
    Shutdown,
}

/// Catalog and introduction kept from a server's last run.
#[derive(Debug, Clone)]
pub struct CachedCatalog {
    /// Last good lists of tools, resources and prompts.
    pub catalog: Arc<Catalog>,
    /// Introduction of the last child that was ready.
    pub introduction: Arc<ServerInfo>,
}

/// The replicas with the status that each has published.
struct ReplicaSet {
    members: Vec<ReplicaEntry>,
    /// Generation of the current definition.
    generation: u64,
    restarts: u64,
    /// Introduction of the last child that was ready; `None` if there was none.
    introduction: Option<Arc<ServerInfo>>,
    /// Set once the first start has succeeded or failed.
    settled: bool,
    /// `true` if a start by the current definition has failed.
    failed: bool,
    /// Era in which a child of the current definition was ready; `None` if none was.
    learnt: Option<Era>,
    /// Outcome of an edit that cannot be used, while the earlier definition is in force; `None` otherwise.
    refused: Option<Update>,
}

struct ReplicaEntry {
    number: u64,
    generation: u64,
    status: Status,
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        // A pool's is its server's.
        if let Some(logins) = self.logins.get().filter(|_| self.of.is_none()) {
            logins.close();
        }
    }
}

impl ServerHandle {
    pub(super) fn new(
        id: Arc<str>,
        name: Arc<str>,
        policy: &Policy,
        state: State,
        remembered: Option<CachedCatalog>,
        surroundings: Arc<SharedHooks>,
    ) -> ServerHandle {
        let (catalog, introduction) =
            remembered.map_or_else(Default::default, |known| (known.catalog, Some(known.introduction)));
        let status = Status { introduction: introduction.clone(), ..Status::new(state) };
        let roster = ReplicaSet {
            members: Vec::new(),
            generation: 0,
            restarts: 0,
            learnt: learnt_from(introduction.as_deref(), policy),
            introduction,
            settled: false,
            failed: false,
            refused: None,
        };
        let slot = CatalogSlot::new(catalog, surroundings.catalogs_changed.clone());
        ServerHandle {
            notices: Notices::new(id.clone(), surroundings.notices.clone()),
            admission: Arc::new(Admission::new(name.clone(), policy)),
            policy: ArcSwap::from_pointee(policy.clone()),
            id,
            label: name.clone(),
            name,
            of: None,
            pools: Pools::default(),
            roster: Mutex::new(roster),
            status: watch::Sender::new(Arc::new(status)),
            catalog: ArcSwap::from_pointee(slot),
            counters: Arc::default(),
            interests: Arc::default(),
            log: ServerLog::default(),
            leaving: ArcSwapOption::empty(),
            children: Arc::default(),
            asked: AtomicBool::new(false),
            is_of_api: Arc::default(),
            logins: OnceLock::new(),
            surroundings,
        }
    }

    /// Makes a handle with one child, for tests.
    #[cfg(test)]
    pub(crate) fn of_a_test(id: &str, policy: &Policy, link: Link) -> Arc<ServerHandle> {
        let handle = ServerHandle::new(id.into(), id.into(), policy, State::Starting, None, Arc::default());
        handle.admission.open_place(link, 0);
        Arc::new(handle)
    }

    /// Records whether the server was defined through an API.
    pub(super) fn set_of_api(&self, is_of_api: bool) {
        self.is_of_api.store(is_of_api, Ordering::Relaxed);
    }

    /// Returns which addresses the server may have, if it is a remote one.
    pub(super) fn address_rules(&self) -> Arc<AddressRules> {
        self.surroundings.address_rules(self.is_of_api.load(Ordering::Relaxed))
    }

    /// Returns where people log in, if it is a remote server.
    pub fn logins(&self) -> &Arc<LoginDesk> {
        self.logins.get_or_init(|| {
            let store = self.surroundings.login_store();
            Arc::new(LoginDesk::new(self.id.clone(), self.name.clone(), store))
        })
    }

    /// Returns the server's id, which never changes.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Returns the server's name, as in the log.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Reports whether a child takes calls now.
    pub fn takes_calls(&self) -> bool {
        self.admission.has_place()
    }

    /// Returns a snapshot of the server's current status.
    pub fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// Subscribes to changes of the server's status.
    pub fn watch(&self) -> watch::Receiver<Arc<Status>> {
        self.status.subscribe()
    }

    /// Returns the last good lists of the server.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load().load()
    }

    /// Returns counters of what its children did apart from answering calls.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Subscribes to the notifications of all its children, now and later, that belong to no call. A receiver that falls
    /// behind by 64 of them loses the oldest, and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Notification> {
        self.notices.subscribe()
    }

    /// Returns what clients want to hear of its children beside answers, for them to add to.
    pub fn interests(&self) -> &Arc<Interests> {
        &self.interests
    }

    pub(super) fn notices(&self) -> &Notices {
        &self.notices
    }

    /// Returns the recent output of its children apart from messages.
    pub fn log(&self) -> &ServerLog {
        &self.log
    }

    /// Returns why the server is being removed; `None` if it is not.
    pub fn leaving(&self) -> Option<Leaving> {
        self.leaving.load().as_deref().copied()
    }

    /// Returns the calls in flight and waiting, also those of its pools, and the state of the breaker.
    pub fn traffic(&self) -> (Load, BreakerState) {
        let (mut load, breaker) = self.admission.reading(Instant::now());
        for pool in self.pools.all() {
            let of_pool = pool.load();
            load.in_flight += of_pool.in_flight;
            load.queued += of_pool.queued;
        }
        (load, breaker)
    }

    /// Returns the number of calls that each caller has waiting, also for its pools, in no order.
    pub fn waiting(&self) -> HashMap<Arc<str>, usize> {
        let mut callers = HashMap::new();
        self.admission.add_waiting(&mut callers);
        for pool in self.pools.all() {
            pool.admission.add_waiting(&mut callers);
        }
        callers
    }

    /// Gives a call a place on a child or in the queue, or returns why not. `caller` tells apart the
    /// callers that share the queue.
    pub fn admit(&self, caller: &Arc<str>, now: Instant) -> Result<Admitted, NotAdmitted> {
        self.admission.admit(caller, now)
    }

    /// Returns the maximum number of calls that may wait in the queue.
    pub fn queue_limit(&self) -> usize {
        self.admission.queue_limit()
    }

    /// Returns the maximum time that a call may wait in the queue.
    pub fn queue_age(&self) -> Duration {
        self.admission.queue_age()
    }

    /// Asks for a child, if the server has none because nothing asked for it. Cheap to repeat.
    pub fn demand(&self) {
        if !self.asked.swap(true, Ordering::Relaxed) {
            self.surroundings.demand(self.fleet());
        }
    }

    /// Returns the id that the supervisor knows it by.
    pub(super) fn fleet(&self) -> FleetId {
        FleetId { server: self.id.clone(), pool: self.of.as_ref().map(|of| of.number) }
    }

    pub(super) fn load(&self) -> Load {
        self.admission.load()
    }

    /// Returns the load as it counts for idleness: a pool whose clients wait for updates of resources has something to do.
    pub(super) fn load_of_looks(&self) -> Load {
        let mut load = self.load();
        load.queued += usize::from(self.is_pool() && self.interests.has_resources());
        load
    }

    pub(super) fn set_policy(&self, policy: &Policy) {
        self.policy.store(Arc::new(policy.clone()));
        self.admission.set_policy(policy);
    }

    /// Reads a setting as it is in force for the server: from `definition`, or from the earlier policy if
    /// `definition` cannot be used.
    pub fn setting<T>(&self, definition: &Definition, read: impl Fn(&Policy) -> T) -> T {
        match definition.problems().is_empty() {
            true => read(definition.policy()),
            false => read(&self.policy.load()),
        }
    }

    /// Marks it as being removed. Its pools, which it returns, leave with it.
    pub(super) fn leave(&self, leaving: Leaving) -> Vec<Arc<ServerHandle>> {
        let pools = self.pools.close();
        pools.iter().for_each(|pool| drop(pool.leave(leaving)));
        self.leaving.store(Some(Arc::new(leaving)));
        // Wakes all tasks that wait for a change.
        self.status.send_modify(|_| {});
        pools
    }

    /// Returns the number for a child that is started now.
    pub(super) fn next_child(&self) -> u64 {
        self.children.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn roster(&self) -> MutexGuard<'_, ReplicaSet> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes replicas of earlier generations out of date. With `redefined` the definition has changed:
    /// earlier lists say nothing about it, and count only while a replica still serves by them.
    pub(super) fn begin_generation(&self, generation: u64, redefined: bool) {
        let mut roster = self.roster();
        roster.generation = generation;
        roster.failed = false;
        if redefined {
            roster.learnt = None;
        }
        if redefined && !roster.serves() {
            roster.introduction = None;
            self.catalog.store(Arc::new(self.empty_slot()));
        }
        self.show(&roster, None);
    }

    /// Records that the current definition cannot be used and the earlier one stays in force; `None` ends
    /// that.
    pub(super) fn refuse(&self, state: Option<State>) {
        let mut roster = self.roster();
        roster.refused = state.map(|state| Update {
            state,
            since: clock::wall_clock(),
            last_stderr: Arc::new([]),
            has_failed: true,
        });
        self.show(&roster, None);
    }

    fn empty_slot(&self) -> CatalogSlot {
        CatalogSlot::new(Arc::default(), self.surroundings.catalogs_changed.clone())
    }

    /// Returns an empty slot for the lists of a new replica.
    pub(super) fn new_slot(&self) -> Arc<CatalogSlot> {
        Arc::new(self.empty_slot())
    }

    /// Adds a replica of the current definition.
    pub(super) fn add_replica(&self, number: u64) {
        let mut roster = self.roster();
        let generation = roster.generation;
        roster.members.push(ReplicaEntry { number, generation, status: Status::new(State::Starting) });
        self.show(&roster, None);
    }

    /// Removes a replica that has ended. `resting` is the server's state if that was its last one.
    pub(super) fn remove_replica(&self, number: u64, resting: &State) {
        let mut roster = self.roster();
        roster.members.retain(|member| member.number != number);
        self.show(&roster, Some(resting));
    }

    /// Records that the server has no replicas and is to have none.
    pub(super) fn rest(&self, resting: &State) {
        self.asked.store(false, Ordering::Relaxed);
        self.show(&self.roster(), Some(resting));
    }

    /// Returns views of the process trees of all its children, also those of its pools.
    pub fn trees(&self) -> Vec<TreeView> {
        let own = self.roster().members.iter().filter_map(|member| member.status.tree.clone()).collect();
        self.pools.all().iter().fold(own, |mut trees: Vec<_>, pool| {
            trees.extend(pool.trees());
            trees
        })
    }

    /// Changes the published status of a replica.
    pub(super) fn publish(&self, number: u64, change: impl FnOnce(&mut Status)) {
        let mut roster = self.roster();
        let Some(member) = roster.members.iter_mut().find(|member| member.number == number) else { return };
        change(&mut member.status);
        let state = &member.status.state;
        let (settled, failed) = (*state != State::Starting, state.cause().is_some());
        let failed = failed && member.generation == roster.generation;
        roster.settled |= settled;
        roster.failed |= failed;
        self.show(&roster, None);
    }

    /// Returns the era in which a child of the current definition was ready, in this run of the daemon or
    /// in an earlier one; `None` if none was.
    pub fn learnt(&self) -> Option<Era> {
        self.roster().learnt
    }

    /// Returns the last published status of a replica; `None` if there is no such replica.
    pub(super) fn replica(&self, number: u64) -> Option<Status> {
        let roster = self.roster();
        roster.members.iter().find(|member| member.number == number).map(|member| member.status.clone())
    }

    /// Records that a replica starts a child, which may take the place of another one.
    pub(super) fn child_started(&self, number: u64, incarnation: u64, replaces: bool) {
        self.roster().restarts += u64::from(replaces);
        if let Some(server) = self.of.as_ref().and_then(|of| of.server.upgrade()) {
            let mut roster = server.roster();
            roster.restarts += u64::from(replaces);
            server.show(&roster, None);
        }
        self.publish(number, |status| (status.incarnation, status.turn) = (incarnation, None));
    }

    /// Lets a replica's child take calls from now on; its lists become the server's.
    pub(super) fn open_place(
        &self,
        number: u64,
        link: Link,
        introduction: Arc<ServerInfo>,
        lists: Arc<CatalogSlot>,
    ) {
        let mut roster = self.roster();
        let known = roster.members.iter().find(|member| member.number == number);
        let Some(generation) = known.map(|member| member.generation) else { return };
        if generation == roster.generation {
            roster.learnt = Some(introduction.era());
        }
        // A child of an earlier definition that was started anew does not override the current one.
        let newest = roster.members.iter().filter(|member| member.status.state.serves());
        if newest.map(|member| member.generation).max().is_none_or(|newest| newest <= generation) {
            let (now, before) = (lists.load(), self.lists_shown());
            self.adopted_by_server(link.incarnation(), &introduction, &lists);
            self.catalog.store(lists);
            // Before anybody hears of it.
            self.surroundings.catalogs_changed.tell();
            roster.introduction = Some(introduction);
            for list in now.differs_from(&before) {
                self.notices.send(link.incarnation(), list.into(), None);
            }
        }
        drop(roster);
        self.surroundings.catalogs_changed.tell();
        self.admission.open_place(link, generation);
    }

    /// Gives a child no further calls.
    pub(super) fn close_place(&self, incarnation: u64) {
        self.admission.close_place(incarnation);
    }

    /// Publishes the server's status. `resting` is its state without replicas.
    fn show(&self, roster: &ReplicaSet, resting: Option<&State>) {
        self.status.send_modify(|status| {
            let next = match roster.representative() {
                Some(face) => roster.status(face),
                None => {
                    let state = resting.unwrap_or(&status.state).clone();
                    let since = if state == status.state { status.since } else { clock::wall_clock() };
                    let update = roster.refused.clone();
                    let rest = Status { state, since, pid: None, update, ..Status::clone(status) };
                    Status { replicas: Arc::new([]), introduction: roster.introduction.clone(), ..rest }
                }
            };
            let failing = |update: &Option<Update>| update.as_ref().is_some_and(|update| update.has_failed);
            if failing(&next.update) && !failing(&status.update) {
                let why = next.update.as_ref().and_then(|update| update.state.cause());
                let why = why.map(|cause| format!(": it {cause}")).unwrap_or_default();
                tracing::warn!(server = %self.name, "the changed definition does not work{why}; the earlier one goes on serving");
            }
            *status = Arc::new(Status { restarts: roster.restarts, settled: roster.settled, ..next });
        });
    }
}

/// The pools of a server.
impl ServerHandle {
    /// Returns the pool of this owner, whose callers belong to `member`; makes it if there is none. What all share keeps
    /// its lists and its state, which a pool knows nothing of. `policy` is the server's. A pool that has to go for it is
    /// returned with it.
    pub(super) fn pool(
        self: &Arc<ServerHandle>,
        key: &PoolKey,
        member: Option<&Arc<str>>,
        policy: &Policy,
        is_over: impl FnOnce() -> bool,
    ) -> Result<Found<ServerHandle>, PoolRefused> {
        let make = || self.new_pool(key, member, policy);
        let found = self.pools.get(key, policy.max_pools, is_over, ServerHandle::rests, make)?;
        if let Some(evicted) = &found.evicted {
            evicted.leave(Leaving::PoolEnded);
        }
        Ok(found)
    }

    fn new_pool(
        self: &Arc<ServerHandle>,
        key: &PoolKey,
        member: Option<&Arc<str>>,
        policy: &Policy,
    ) -> ServerHandle {
        let (id, name, policy) = (self.id.clone(), self.name.clone(), policy.of_pool(key, false));
        let mut pool = ServerHandle::new(id, name, &policy, State::Idle, None, self.surroundings.clone());
        pool.label = format!("{} ({key})", self.name).into();
        pool.is_of_api = self.is_of_api.clone();
        pool.logins = OnceLock::from(self.logins().clone());
        (pool.counters, pool.children) = (self.counters.clone(), self.children.clone());
        (pool.log, pool.notices) = (self.log.of_pool(key), self.notices.of_pool(key.clone()));
        let (server, number) = (Arc::downgrade(self), self.surroundings.next_pool());
        pool.of = Some(PoolOf { server, number, key: key.clone(), member: member.cloned() });
        // Opened as the others were. What they listed says nothing of what this one will.
        pool.roster().learnt = self.learnt();
        pool
    }

    /// Returns the pool of this owner; `None` if it has none.
    pub fn known_pool(&self, key: &PoolKey) -> Option<Arc<ServerHandle>> {
        self.pools.find(key)
    }

    /// Returns the pool with this number; `None` if it has gone.
    pub(super) fn pool_of_number(&self, number: u64) -> Option<Arc<ServerHandle>> {
        self.pools.all().into_iter().find(|pool| pool.of.as_ref().is_some_and(|of| of.number == number))
    }

    /// Ends the pools that `goes` is true of, by owner and member, and returns them.
    pub(super) fn end_pools(
        &self,
        goes: impl Fn(&PoolKey, Option<&Arc<str>>) -> bool,
    ) -> Vec<Arc<ServerHandle>> {
        let is_meant =
            |pool: &ServerHandle| pool.of.as_ref().is_some_and(|of| goes(&of.key, of.member.as_ref()));
        let ended = self.pools.take(is_meant);
        ended.iter().for_each(|pool| drop(pool.leave(Leaving::PoolEnded)));
        ended
    }

    /// Returns the number of its pools.
    pub fn pool_sums(&self) -> PoolSums {
        let pools = self.pools.all();
        PoolSums { count: pools.len(), ready: pools.iter().filter(|pool| pool.takes_calls()).count() }
    }

    /// Reports whether it is a pool, and not what all callers share.
    pub fn is_pool(&self) -> bool {
        self.of.is_some()
    }

    /// Returns the name as in the daemon's log, with the pool.
    pub(super) fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Returns the member that the callers belong to; `None` for what all share.
    pub(super) fn member(&self) -> Option<&Arc<str>> {
        self.of.as_ref().and_then(|of| of.member.as_ref())
    }

    /// Returns the owner of the pool; `None` for what all share.
    pub(super) fn owner(&self) -> Option<&PoolKey> {
        self.of.as_ref().map(|of| &of.key)
    }

    /// Returns who shares its children.
    pub(super) fn sharing(&self) -> Sharing {
        if self.member().is_some() { Sharing::OnePrincipal } else { Sharing::All }
    }

    /// Returns what the member of the pool has stored under a name; `None` if that is nothing, and for what all share.
    pub(super) fn secret(&self, name: &str) -> Option<Secret> {
        self.surroundings.secret(self.member()?, name)
    }

    /// Returns the name of the directory that a sandboxed child may write: of a pool, one that its member's children share.
    pub(super) fn sandbox(&self) -> String {
        // No name of a server's directory has a '+', and no id of a member a '/'.
        self.member().map_or_else(|| self.id.to_string(), |member| format!("{}+{member}", self.id))
    }

    /// Reports whether a pool can be given up without anybody's losing anything.
    fn rests(&self) -> bool {
        let load = self.load();
        let is_unasked = !self.asked.load(Ordering::Relaxed) && load.in_flight + load.queued == 0;
        is_unasked && self.roster().members.is_empty() && !self.interests.has_resources()
    }

    /// Returns the lists that callers have been shown: those of the server as long as a pool has none of its own.
    fn lists_shown(&self) -> Arc<Catalog> {
        let own = self.catalog();
        let server = self.of.as_ref().filter(|_| !own.is_loaded()).and_then(|of| of.server.upgrade());
        server.map_or(own, |server| server.catalog())
    }

    /// Gives what a pool's child announced to a server that has no child of its own to announce anything.
    fn adopted_by_server(&self, incarnation: u64, introduction: &Arc<ServerInfo>, lists: &CatalogSlot) {
        let Some(server) = self.of.as_ref().and_then(|of| of.server.upgrade()) else { return };
        // The era that it was opened in by order says nothing of the server.
        let is_by_order =
            self.policy.load().era == EraChoice::Legacy && server.policy.load().era == EraChoice::Matched;
        let mut roster = server.roster();
        if roster.members.is_empty() && !(is_by_order && roster.introduction.is_some()) {
            let slot = CatalogSlot::new(lists.load(), self.surroundings.catalogs_changed.clone());
            let changed: Vec<_> = slot.load().differs_from(&server.catalog()).collect();
            server.catalog.store(Arc::new(slot));
            roster.introduction = Some(introduction.clone());
            if !is_by_order {
                roster.learnt = Some(introduction.era());
            }
            server.show(&roster, None);
            changed.into_iter().for_each(|list| server.notices.send(incarnation, list.into(), None));
        }
    }
}

/// Returns the era of a server, by what is remembered of it. Of one that is spoken to in both, a child of the legacy era may
/// have said it.
fn learnt_from(introduction: Option<&ServerInfo>, policy: &Policy) -> Option<Era> {
    let era = introduction.map(ServerInfo::era);
    era.filter(|era| *era == Era::Modern || policy.era != EraChoice::Matched)
}

impl ReplicaSet {
    fn serves(&self) -> bool {
        self.members.iter().any(|member| member.status.state.serves())
    }

    /// Returns the replica that stands for the server: one that serves, otherwise one of the newest
    /// definition; `None` if there are none.
    fn representative(&self) -> Option<&ReplicaEntry> {
        // One that has left says nothing of a server whose next one is about to come (`UpdateMode::StopFirst`).
        let there = self.members.iter().filter(|member| member.status.state != State::Disabled);
        there.min_by_key(|member| {
            let state = &member.status.state;
            (!state.serves(), Reverse(member.generation), rank(state), member.number)
        })
    }

    fn status(&self, face: &ReplicaEntry) -> Status {
        let replicas = self.members.iter().map(|member| ReplicaView {
            number: member.number,
            state: member.status.state.clone(),
            since: member.status.since,
            incarnation: member.status.incarnation,
            pid: member.status.pid,
            outdated: member.generation != self.generation,
        });
        Status {
            introduction: face.status.introduction.clone().or_else(|| self.introduction.clone()),
            replicas: replicas.collect(),
            update: self.update(face),
            ..face.status.clone()
        }
    }

    /// Returns the state of an edit while a replica of the earlier definition still stands for the server;
    /// `None` otherwise.
    fn update(&self, face: &ReplicaEntry) -> Option<Update> {
        if self.refused.is_some() {
            return self.refused.clone();
        }
        if face.generation == self.generation || !face.status.state.serves() {
            return None;
        }
        let newest = self.members.iter().filter(|member| member.generation == self.generation);
        let next = newest.min_by_key(|member| (rank(&member.status.state), member.number));
        Some(next.map_or_else(
            || Update {
                state: State::Starting,
                since: clock::wall_clock(),
                last_stderr: Arc::new([]),
                has_failed: self.failed,
            },
            |member| Update {
                state: member.status.state.clone(),
                since: member.status.since,
                last_stderr: member.status.last_stderr.clone(),
                has_failed: self.failed,
            },
        ))
    }
}

/// Returns the rank of a state; the smallest says most about a server.
fn rank(state: &State) -> u8 {
    match state {
        State::Ready => 0,
        State::Degraded => 1,
        State::Starting => 2,
        State::Backoff { .. } | State::Unauthorized { .. } => 3,
        State::Failed { .. } => 4,
        State::Exited { .. } => 5,
        State::Stopping => 6,
        State::Idle | State::Stopped | State::Disabled => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::status::Cause;

    fn member(number: u64, generation: u64, state: State) -> ReplicaEntry {
        ReplicaEntry { number, generation, status: Status::new(state) }
    }

    fn handle() -> ServerHandle {
        let surroundings = Arc::<SharedHooks>::default();
        ServerHandle::new("mcp_1".into(), "s".into(), &Policy::default(), State::Starting, None, surroundings)
    }

    #[test]
    fn a_replica_that_has_left_does_not_make_its_server_look_switched_off() {
        let handle = handle();
        handle.roster().members.push(member(1, 0, State::Ready));
        handle.publish(1, |status| status.state = State::Stopping);
        handle.publish(1, |status| status.state = State::Disabled);
        assert_eq!(handle.status().state, State::Stopping);
        handle.remove_replica(1, &State::Idle);
        assert_eq!(handle.status().state, State::Idle);
    }

    #[test]
    fn an_update_that_has_failed_once_is_waited_for_no_more() {
        let handle = handle();
        handle.roster().members.push(member(1, 0, State::Ready));
        handle.begin_generation(1, true);
        handle.add_replica(2);
        let failed = || handle.status().update.as_ref().map(|update| update.has_failed);
        assert_eq!(failed(), Some(false));
        let cause = Cause::Exited { code: 1 };
        handle.publish(2, |status| {
            status.state = State::Backoff { attempt: 1, until: Instant::now(), cause, hopeless: false };
        });
        assert_eq!(failed(), Some(true));
        handle.publish(2, |status| status.state = State::Starting);
        assert_eq!(failed(), Some(true), "a further attempt promises nothing");
        handle.begin_generation(2, true);
        handle.add_replica(3);
        assert_eq!(failed(), Some(false), "another definition may work");
        handle.publish(3, |status| status.state = State::Ready);
        handle.remove_replica(1, &State::Idle);
        assert_eq!(failed(), None);
    }
}
