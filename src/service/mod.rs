//! What the gateway does, in the words of no dialect: plain data in, plain data out.

mod audit;
mod calling;
mod defining;
mod dispatch;
mod error;
mod follow;
mod keeper;
mod keys;
mod meter;
mod pins;
mod registry;
mod toll;
mod usage;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::watch;

use self::dispatch::{await_child, await_update, unreachable};
use self::keeper::Keeper;
use self::meter::Meter;
use self::pins::PinBook;
use self::usage::{Book, Books, Quotas, UsageHandle};
use crate::access::KeyRing;
use crate::store::Trouble;
use crate::supervisor::{ServerHandle, ServerSpec, Supervisor};
use crate::telemetry::metrics::Metrics;

pub use self::audit::{AuditEntry, AuditHandle, AuditQuery, AuditSettings, Outcome};
pub use self::error::{Error, Fault, Retry};
pub use self::follow::LogFollower;
pub use self::keys::{KeyRequest, KeyView, MemberView, NoKey, OrganizationView};
pub use self::pins::{Approval, Difference, PinReport, PinState, PinSums, PinnedTool, ToolPins};
pub use self::registry::*;
#[doc(hidden)]
pub use self::toll::Toll;
pub use self::usage::{
    Bucket, Granularity, HistoryQuery, Period, Retention, Span, Tally, Usage as UsageReport, UsageOf,
};
pub use self::view::{Readiness, ResourceReply, ServerView, ToolCall, ToolReply, Traffic};
pub use crate::access::{
    Attempts, Charter, KeyStatus, NewKey, Permissions, Principal, RateReading, Refused, Role,
};
pub use crate::child::{Catalog, CounterReading, LogLine, Resource, StartPhase, Stream, Tool};
pub use crate::mcp::ToolDigest;
pub use crate::supervisor::{
    BreakerState, CRASH_LOOP, Cause, Definition, Introduction, PinMode, Problem, ReplicaView, State, Status,
    Update, Usage, on_the_wall,
};

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The deadline of a call that names none; progress starts it anew.
    pub call_timeout: Duration,
    /// What progress cannot extend a call beyond.
    pub max_call_timeout: Duration,
    /// How many calls a key may have under way.
    pub calls_per_key: usize,
    /// How long usage is kept.
    pub retention: Retention,
    /// What the audit keeps.
    pub audit: AuditSettings,
}

/// The one entrance to everything the gateway does. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    registry: RegistryHandle,
    keeper: Keeper,
    supervisor: Supervisor,
    keys: KeyRing,
    metrics: Metrics,
    meters: Meters,
    books: Books,
    pins: PinBook,
    /// What the servers had done before this start.
    before: HashMap<Arc<str>, Traffic>,
    usage: UsageHandle,
    audit: AuditHandle,
    quotas: Quotas,
    settings: GatewaySettings,
    stopping: AtomicBool,
    /// The same, for those who wait for it.
    stop: watch::Sender<bool>,
}

type Meters = Arc<DashMap<Arc<str>, Arc<Meter>, RandomState>>;

impl Gateway {
    /// Starts the registry and the usage on their threads and has the supervisor follow the former.
    pub async fn start(
        mut registry: Registry,
        supervisor: Supervisor,
        keys: KeyRing,
        metrics: Metrics,
        settings: GatewaySettings,
    ) -> Result<Gateway, Error> {
        let (meters, books) = (Meters::default(), Books::default());
        let (store, backups) = (registry.store().clone(), registry.kept_in());
        let (usage, known) = usage::start(store, books.clone(), keys.clone(), settings.retention, backups)?;
        let audit = registry.start_audit(settings.audit)?;
        let pins = registry.pins().clone();
        let quotas = Quotas::load(keys.charter(), usage.clone()).await?;
        let before = known.into_iter().map(|(id, total)| {
            let (calls, errors, total_latency, calls_today) = total;
            (id, Traffic { calls, errors, calls_today, total_latency, last_active: None })
        });
        let before = before.collect();
        let follow =
            Follower { supervisor: supervisor.clone(), metrics: metrics.clone(), meters: meters.clone() };
        // Once here, so that the directory has every server when this returns.
        follow.apply(&registry.list(), &registry.memories()?);
        let none = Memories::default();
        let registry = registry.start(Box::new(move |servers| follow.apply(servers, &none)))?;
        let keeper = Keeper::new(registry.clone(), supervisor.directory().clone());
        tokio::spawn(keeper.clone().run());
        tokio::spawn(registry.clone().recover());
        let (stopping, stop) = (AtomicBool::new(false), watch::Sender::new(false));
        Ok(Gateway(Arc::new(Inner {
            registry,
            keeper,
            supervisor,
            keys,
            metrics,
            meters,
            books,
            pins,
            before,
            usage,
            audit,
            quotas,
            settings,
            stopping,
            stop,
        })))
    }

    /// Says who a key belongs to at this moment.
    pub fn authenticate(&self, token: &str, now: SystemTime) -> Result<Principal, Refused> {
        self.0.keys.authenticate(token, seconds_since_1970(now))
    }

    /// Who calls without a key, where that is allowed: without limits.
    pub fn local_operator(&self) -> Principal {
        self.0.keys.local_operator()
    }

    /// The servers that a caller may use, in the order they were made.
    pub fn servers(&self, caller: &Principal) -> Vec<ServerView> {
        let mut servers = self.all_servers();
        servers.retain(|server| caller.permissions().allow_mcp(&server.id));
        servers
    }

    /// All servers, for the daemon itself.
    pub fn all_servers(&self) -> Vec<ServerView> {
        self.0.registry.list().entries().iter().filter_map(|entry| self.view(entry)).collect()
    }

    /// The server of this id or exact name; an id wins over a name.
    pub fn server(&self, caller: &Principal, id_or_name: &str) -> Result<ServerView, Error> {
        let entry = self.entry(caller, id_or_name)?;
        self.view(&entry).ok_or_else(|| not_found(id_or_name))
    }

    /// What the process trees of a server use now.
    pub async fn tree_usage(&self, caller: &Principal, id_or_name: &str) -> Result<Usage, Error> {
        let handle = self.handle(&*self.entry(caller, id_or_name)?)?;
        Ok(measure(vec![handle]).await.pop().map(|(_, usage)| usage).unwrap_or_default())
    }

    /// The last lines that a server's children wrote beside messages, at most `count`, newest last.
    pub fn logs(&self, caller: &Principal, id_or_name: &str, count: usize) -> Result<Vec<LogLine>, Error> {
        keys::require_admin(caller)?;
        let entry = self.entry(caller, id_or_name)?;
        Ok(self.handle(&entry)?.log().tail(count))
    }

    /// Follows what a server's children write beside messages: first the lines after `after`, or
    /// else the last `tail`, then each new one.
    pub fn follow_logs(
        &self,
        caller: &Principal,
        id_or_name: &str,
        tail: usize,
        after: Option<u64>,
    ) -> Result<LogFollower, Error> {
        keys::require_admin(caller)?;
        let handle = self.handle(&*self.entry(caller, id_or_name)?)?;
        Ok(LogFollower::new(handle, tail, after, self.0.stop.subscribe()))
    }

    /// The server of this exact name.
    pub fn server_named(&self, caller: &Principal, name: &str) -> Result<ServerView, Error> {
        let list = self.0.registry.list();
        let entry = list.by_name(name).ok_or_else(|| not_found(name))?;
        check_permitted(caller, entry)?;
        self.view(entry).ok_or_else(|| not_found(name))
    }

    /// The server with its lists. A server that has not announced any yet is started if need be and
    /// waited for, and so is one whose definition has just changed: up to `wait`, or its start
    /// deadline. One that rests or crashed has the lists that it announced last.
    pub async fn catalog(
        &self,
        caller: &Principal,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        let entry = self.entry(caller, id_or_name)?;
        check_runs(&entry)?;
        let handle = self.handle(&entry)?;
        let wait = wait.unwrap_or(entry.definition.policy().start_timeout);
        let deadline = Instant::now() + wait;
        await_update(&handle, deadline).await;
        if !handle.catalog().is_loaded() {
            if !await_child(&handle, deadline).await? {
                let meanwhile = Some(dispatch::meanwhile(&handle));
                return Err(Error::TimedOut { after: wait, in_flight: false, meanwhile });
            }
            // A child that is ready has announced its lists.
            if !handle.catalog().is_loaded() {
                return Err(unreachable(&entry.name, &handle.status(), false));
            }
        }
        let view = self.view(&entry).ok_or_else(|| not_found(id_or_name))?;
        let catalog = view.catalog.clone();
        Ok((view, catalog))
    }

    /// Replaces a server's children, each when its successor is ready. What waits for its next start
    /// is tried at once, what rests is started.
    pub fn restart_server(&self, caller: &Principal, id_or_name: &str) -> Result<(), Error> {
        keys::require_admin(caller)?;
        let entry = self.entry(caller, id_or_name)?;
        check_runs(&entry)?;
        tracing::info!(server = %entry.name, "restart asked for");
        self.0.supervisor.renew(&entry.id);
        Ok(())
    }

    /// Applies a servers file: what it added, changed and dropped since it was last applied.
    pub async fn apply_servers_file(&self, path: &str, file: ServersFile) -> Result<Applied, Error> {
        let applied = self.0.registry.apply_file(path, file).await;
        if applied.as_ref().is_ok_and(|applied| *applied != Applied::default()) {
            self.0.audit.note(AuditEntry::of_daemon("servers_file.apply", path, Outcome::Done));
        }
        applied
    }

    /// The audit, for those who record what they were asked for.
    pub fn audit(&self) -> &AuditHandle {
        &self.0.audit
    }

    /// A page of the audit, newest first, each entry as its line of JSON, and how many there are.
    pub async fn audit_page(
        &self,
        caller: &Principal,
        query: AuditQuery,
        skip: u64,
        take: u64,
    ) -> Result<(u64, Vec<String>), Error> {
        keys::require_admin(caller)?;
        self.0.audit.page(query, skip, take).await
    }

    /// The whole audit, oldest first, as lines of JSON.
    pub async fn audit_export(&self, caller: &Principal, query: AuditQuery) -> Result<Vec<u8>, Error> {
        keys::require_admin(caller)?;
        self.0.audit.export(query).await
    }

    /// Counts an application of the servers files, good or bad, for the metrics.
    pub fn reloaded(&self, good: bool) {
        self.0.metrics.reloaded(good);
    }

    /// Whether the daemon can serve.
    pub fn readiness(&self) -> Readiness {
        let mut waiting_for: Vec<String> = self
            .all_servers()
            .iter()
            .filter(|server| !server.status.settled && server.status.state == State::Starting)
            .map(|server| format!("server '{}' is starting", server.name))
            .collect();
        if self.is_stopping() {
            waiting_for.push("the daemon is stopping".to_owned());
        }
        let problems = self.0.registry.trouble().map(|trouble| trouble_in_words(&trouble));
        Readiness { ready: waiting_for.is_empty(), waiting_for, problems: problems.into_iter().collect() }
    }

    /// All metrics in the Prometheus text format.
    pub async fn render_metrics(&self) -> String {
        let list = self.0.registry.list();
        let handles = list.entries().iter().filter_map(|entry| self.handle(entry).ok()).collect();
        for (handle, usage) in measure(handles).await {
            if let Some(Ok(meter)) = list.by_id(handle.id()).map(|entry| self.meter(entry)) {
                let pins = self.0.pins.counts(handle.id(), &handle.catalog());
                meter.tell(&handle, usage, pins);
            }
        }
        let trouble = self.0.registry.trouble();
        self.0.metrics.set_store_degraded(trouble.is_some());
        self.0.metrics.set_store_from_backup(trouble.is_some_and(|trouble| trouble.from_backup));
        self.0.metrics.set_flush_age(self.0.usage.flush_age());
        self.0.metrics.set_audit_lost(self.0.audit.lost());
        self.0.metrics.render()
    }

    /// How many calls the metrics have.
    pub fn calls(&self) -> u64 {
        self.0.metrics.calls()
    }

    /// Counts open HTTP connections.
    pub fn set_http_connections(&self, open: usize) {
        self.0.metrics.set_http_connections(open);
    }

    /// From here on no call is taken.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.stop.send_replace(true);
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Ends all servers, then the registry. Calls in flight may take `drain`.
    pub async fn stop(&self, drain: Duration) -> Result<(), Error> {
        self.begin_stop();
        self.0.keeper.keep().await;
        self.0.supervisor.shutdown(drain).await;
        if let Err(error) = self.0.quotas.close().await {
            tracing::warn!(%error, "what is left of this month's calls could not be written down");
        }
        self.0.usage.close().await;
        self.0.audit.close().await;
        self.0.registry.close().await
    }

    /// Resolves when the registry has ended without having been asked to: the daemon cannot go on.
    pub async fn failed(&self) {
        self.0.registry.ended().await;
    }

    fn entry(&self, caller: &Principal, id_or_name: &str) -> Result<Arc<ServerEntry>, Error> {
        let entry = self.0.registry.server(id_or_name).ok_or_else(|| not_found(id_or_name))?;
        check_permitted(caller, &entry)?;
        Ok(entry)
    }

    fn handle(&self, entry: &ServerEntry) -> Result<Arc<ServerHandle>, Error> {
        if self.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        self.0.supervisor.directory().get(&entry.id).ok_or_else(|| not_found(&entry.name))
    }

    fn meter(&self, entry: &ServerEntry) -> Result<Arc<Meter>, Error> {
        if let Some(meter) = self.0.meters.get(&entry.id) {
            return Ok(meter.clone());
        }
        let metrics = self
            .0
            .metrics
            .server(&entry.name)
            .map_err(|error| Error::Internal { reason: error.to_string() })?;
        Ok(self
            .0
            .meters
            .entry(entry.id.clone())
            .or_insert_with(|| {
                let book = Arc::<Book>::default();
                self.0.books.insert(entry.id.clone(), (entry.name.clone(), book.clone()));
                let before = self.0.before.get(&entry.id).copied().unwrap_or_default();
                Arc::new(Meter::new(entry.name.clone(), metrics, book, before))
            })
            .clone())
    }

    fn view(&self, entry: &ServerEntry) -> Option<ServerView> {
        let handle = self.0.supervisor.directory().get(&entry.id)?;
        let status = handle.status();
        let start = status.start.as_ref().filter(|_| status.state == State::Starting);
        let start_phase = start.map(|start| start.phase(handle.log()));
        let traffic = self.0.meters.get(&entry.id).map(|meter| meter.read());
        let traffic = traffic.or_else(|| self.0.before.get(&entry.id).copied()).unwrap_or_default();
        let (load, breaker) = handle.traffic();
        let pins = self.0.pins.beside(&entry.id, entry.definition.policy().pin, handle.catalog());
        Some(ServerView {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            status,
            start_phase,
            catalog: pins.listed(),
            pins,
            traffic,
            counters: handle.counters().read(),
            in_flight: load.in_flight,
            queued: load.queued,
            breaker,
        })
    }
}

/// Follows the registry: the supervisor runs what is in it, the metrics forget what is not.
struct Follower {
    supervisor: Supervisor,
    metrics: Metrics,
    meters: Meters,
}

impl Follower {
    /// `memories` of their last runs count for servers that nobody has heard of yet.
    fn apply(&self, servers: &Arc<ServerList>, memories: &Memories) {
        let specs = servers.entries().iter().map(|entry| ServerSpec {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            remembered: memories.of(entry),
        });
        self.supervisor.apply(specs.collect());
        // How tools are pinned may have changed.
        self.supervisor.directory().look_again();
        let gone: Vec<Arc<str>> = self
            .meters
            .iter()
            .map(|meter| meter.key().clone())
            .filter(|id| servers.by_id(id).is_none())
            .collect();
        for id in gone {
            if let Some((_, meter)) = self.meters.remove(&id)
                && servers.by_name(meter.server()).is_none()
            {
                self.metrics.remove_server(meter.server());
            }
        }
    }
}

/// Looks at what the trees of these servers use, off the runtime.
async fn measure(handles: Vec<Arc<ServerHandle>>) -> Vec<(Arc<ServerHandle>, Usage)> {
    let look = move || {
        let measured = handles.into_iter().map(|handle| {
            let mut sum = Usage::default();
            handle.trees().iter().for_each(|tree| sum += tree.usage());
            (handle, sum)
        });
        measured.collect()
    };
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

fn check_permitted(caller: &Principal, entry: &ServerEntry) -> Result<(), Error> {
    match caller.permissions().allow_mcp(&entry.id) {
        true => Ok(()),
        false => Err(Error::ServerNotPermitted { name: entry.name.to_string() }),
    }
}

fn trouble_in_words(trouble: &Trouble) -> String {
    let what_to_do = match trouble.from_backup {
        true => {
            "; running from the newest backup: make room in the data directory, and the daemon goes on by itself"
        }
        false => "",
    };
    format!("changes cannot be stored: {}{what_to_do}", trouble.cause)
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    seconds_since_1970(wall_clock())
}

/// What the machine's clock says; in a simulation, what its clock says.
fn wall_clock() -> SystemTime {
    #[cfg(test)]
    if let Some(simulated) = registry::simulated_clock() {
        return simulated;
    }
    SystemTime::now()
}

/// Whole seconds since 1970; times before are 1970.
fn seconds_since_1970(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn not_found(name: &str) -> Error {
    Error::ServerNotFound { name: name.to_owned() }
}

fn check_runs(entry: &ServerEntry) -> Result<(), Error> {
    let name = || entry.name.to_string();
    if entry.definition.command().is_none() {
        return Err(Error::NoCommand { name: name() });
    }
    if entry.definition.enabled() { Ok(()) } else { Err(Error::ServerDisabled { name: name() }) }
}
