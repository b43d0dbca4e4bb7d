//! The gateway's operations, independent of any dialect: plain data in, plain data out.

mod acts;
#[cfg(test)]
mod authority_tests;
mod calling;
mod catalog_persister;
mod defining;
mod dispatch;
mod error;
mod exporting;
mod follow;
mod keychange;
mod keys;
mod members;
mod meter;
mod scraping;
mod server_meter;
#[cfg(test)]
mod simulation;
mod standing;
mod unread;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::catalog_persister::CatalogPersister;
use self::dispatch::{await_child, await_update, unreachable};
use self::follow::Reader;
use self::meter::Meter;
use self::scraping::Scrape;
use self::server_meter::ServerMeter;
use crate::access::{KeyRing, Right, Unread};
use crate::clock;
use crate::pins::PinBook;
use crate::registry::{CatalogCache, Registry, RegistryHandle};
use crate::store::StoreDegraded;
use crate::supervisor::{ServerHandle, ServerSpec, Supervisor};
use crate::telemetry::metrics::Metrics;
use crate::usage::Accounting;
use crate::{audit, registry, unix_time};

pub use self::acts::{Acts, Listener, UnderWay};
pub use self::error::Error;
pub use self::exporting::{AuditExport, AuditPieces};
pub use self::follow::{LogEnd, LogFollower, LogNews};
pub use self::keychange::ChangeRequest;
pub use self::keys::{CreateKeyError, KeyRequest, KeyView, MemberView, OrganizationView};
pub use self::members::PlanView;
pub use self::standing::while_accepted;
pub use self::unread::{UnreadAnswer, UnreadLimits};
pub use self::view::{Readiness, ResourceReply, ServerView, ToolCall, ToolReply};
pub use crate::access::{
    AccessError, Attempts, CredentialError, KeyChange, KeyLimits, KeyRecord, KeyStatus, LimitsChange,
    MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND, Maker, Member, NewKey, Permissions,
    Plan, PlanRecord, Principal, RateReading, Role, Tenancy,
};
pub use crate::audit::{
    AuditEntry, AuditHandle, AuditQuery, AuditSettings, EntryKind, Error as AuditError, Outcome,
    told_of_change, told_of_definition,
};
pub use crate::child::{Catalog, CounterReading, LogLine, Resource, Stream, Tool};
pub use crate::facts::{Facts, Fault, Retry};
pub use crate::mcp::ToolDigest;
pub use crate::pins::{
    Approval, Difference, Error as PinError, PinReport, PinState, PinSums, PinnedTool, ToolPins,
};
pub use crate::registry::{
    Applied, Error as RegistryError, MemberChange, MemberRequest, Removal, Revocation, Revoke, ServerEntry,
    ServerList, ServersFile,
};
pub use crate::supervisor::{
    BreakerState, CRASH_LOOP, Cause, Definition, OWN_MEMBER, PinMode, Problem, QueuedStartView, ReplicaView,
    ServerInfo, State, Status, Update, Usage, on_the_wall, parse_duration,
};
pub use crate::usage::{
    Bucket, CallStats, Error as UsageError, Granularity, HistoryQuery, Period, QuotaOf, Retention, Span,
    Usage as UsageReport, UsageOf,
};

/// Time that acts may still take at the end, when all they wait for is a client that sends its body slowly.
const LAST_ACTS: Duration = Duration::from_secs(1);

/// Settings of the gateway: deadlines and limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewaySettings {
    /// Deadline of a call that names none; progress starts it anew.
    pub call_timeout: Duration,
    /// Maximum duration of a call, however much progress it reports.
    pub max_call_timeout: Duration,
    /// Maximum number of calls a key may have under way.
    pub calls_per_key: usize,
    /// Limits on the bytes of answers that wait to be read.
    pub unread: UnreadLimits,
}

/// Entry point to everything the gateway does. Cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    registry: RegistryHandle,
    keeper: CatalogPersister,
    supervisor: Supervisor,
    keys: KeyRing,
    metrics: Metrics,
    meters: Meters,
    pins: PinBook,
    accounting: Accounting,
    audit: AuditHandle,
    acts: Acts,
    /// Count of all answers that wait to be read.
    unread: Unread,
    scrape: Scrape,
    settings: GatewaySettings,
    stopping: AtomicBool,
    /// Channel with the same value, for those who wait for it.
    stop: watch::Sender<bool>,
    /// Set once calls under way have had their time at a stop.
    drained: watch::Sender<bool>,
}

type Meters = Arc<DashMap<Arc<str>, Arc<ServerMeter>, RandomState>>;

/// What a gateway is made of: opened by whoever composes the daemon, and ended by the gateway's stop.
pub struct Parts {
    /// Registry, with its servers files applied.
    pub registry: Registry,
    /// Changes by servers files that were applied before there was an audit to record them, each with the file's path.
    pub applied: Vec<(String, Applied)>,
    /// Pins that the registry keeps.
    pub pins: PinBook,
    /// Ring that the registry puts keys, members and plans on.
    pub keys: KeyRing,
    /// Usage and quotas.
    pub accounting: Accounting,
    /// Record of who did what.
    pub audit: AuditHandle,
    /// Supervisor of the servers.
    pub supervisor: Supervisor,
    /// Metrics of the daemon.
    pub metrics: Metrics,
}

impl Gateway {
    /// Starts the registry on its thread and has the supervisor follow it.
    pub fn start(parts: Parts, settings: GatewaySettings) -> Result<Gateway, Error> {
        let Parts { registry, applied, pins, keys, accounting, audit, supervisor, metrics } = parts;
        for (path, applied) in applied {
            audit.note(entry_of_file(&path, &applied, &registry.list()));
        }
        let meters = Meters::default();
        let follow =
            Follower { supervisor: supervisor.clone(), metrics: metrics.clone(), meters: meters.clone() };
        // Once here, so that the directory has every server when this returns.
        follow.apply(&registry.list(), &registry.catalog_cache()?);
        let none = CatalogCache::default();
        let registry = registry.start(Box::new(move |servers| follow.apply(servers, &none)))?;
        let keeper = CatalogPersister::new(registry.clone(), supervisor.directory().clone());
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
            pins,
            accounting,
            audit,
            acts: Acts::default(),
            unread: Unread::default(),
            scrape: Scrape::default(),
            settings,
            stopping,
            stop,
            drained: watch::Sender::new(false),
        })))
    }

    /// Returns the principal that a key belongs to at `now`.
    pub fn authenticate(&self, token: &str, now: SystemTime) -> Result<Principal, CredentialError> {
        self.0.keys.authenticate(token, clock::not_before(unix_time::seconds(now)))
    }

    /// Returns the daemon's own user, who calls without a key: without limits.
    pub fn local_operator(&self) -> Principal {
        self.0.keys.local_operator()
    }

    /// Returns the principal of callers without a key where none is required: without limits, too, but not
    /// authenticated.
    pub fn anybody(&self) -> Principal {
        self.0.keys.anybody()
    }

    /// Returns the servers that a caller may use, in the order they were made.
    pub fn servers(&self, caller: &Principal) -> Vec<ServerView> {
        let mut servers = self.all_servers();
        servers.retain(|server| caller.permissions().allow_mcp(&server.id));
        servers
    }

    /// Returns all servers, for the daemon itself.
    pub fn all_servers(&self) -> Vec<ServerView> {
        self.0.registry.list().entries().iter().filter_map(|entry| self.view(entry)).collect()
    }

    /// Returns the server of this id or exact name; an id takes precedence.
    pub fn server(&self, caller: &Principal, id_or_name: &str) -> Result<ServerView, Error> {
        let entry = self.entry(caller, id_or_name)?;
        self.view(&entry).ok_or_else(|| not_found(id_or_name))
    }

    /// Returns the current resource usage of a server's process trees.
    pub async fn tree_usage(&self, caller: &Principal, id_or_name: &str) -> Result<Usage, Error> {
        let handle = self.handle(&*self.entry(caller, id_or_name)?)?;
        let usage = tokio::task::spawn_blocking(move || scraping::usage_of(&handle));
        Ok(while_accepted(caller, usage).await?.unwrap_or_default())
    }

    /// Returns the last lines that a server's children wrote beside messages, at most `count`, newest last.
    pub fn logs(
        &self,
        caller: &Principal,
        id_or_name: &str,
        count: usize,
    ) -> Result<Vec<Arc<LogLine>>, Error> {
        standing::require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        Ok(self.handle(&entry)?.log().tail(count))
    }

    /// Follows the lines that a server's children write beside messages: first those after number `after`, or else
    /// the last `tail`, then each new one.
    pub fn follow_logs(
        &self,
        caller: &Principal,
        id_or_name: &str,
        tail: usize,
        after: Option<u64>,
    ) -> Result<LogFollower, Error> {
        standing::require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        let reader = Reader { caller: caller.clone(), entry: entry.clone() };
        Ok(LogFollower::new(reader, self.handle(&entry)?, tail, after, self.0.stop.subscribe()))
    }

    /// Returns the server of this exact name.
    pub fn server_named(&self, caller: &Principal, name: &str) -> Result<ServerView, Error> {
        let list = self.0.registry.list();
        let entry = list.by_name(name).ok_or_else(|| not_found(name))?;
        check_permitted(caller, entry)?;
        self.view(entry).ok_or_else(|| not_found(name))
    }

    /// Returns the server with its lists. A server without any lists yet is started if necessary and waited for, and
    /// so is one whose definition has just changed: up to `wait`, or its start deadline. An idle or crashed server
    /// has the lists that it announced last.
    pub async fn catalog(
        &self,
        caller: &Principal,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        let entry = self.entry(caller, id_or_name)?;
        let may = |caller: &Principal| check_permitted(caller, &entry);
        tokio::select! {
            biased;
            error = standing::refused(caller, may) => Err(error),
            loaded = self.loaded_catalog(&entry, id_or_name, wait) => loaded,
        }
    }

    async fn loaded_catalog(
        &self,
        entry: &ServerEntry,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        check_runs(entry)?;
        let handle = self.handle(entry)?;
        let wait = wait.unwrap_or_else(|| handle.setting(&entry.definition, |policy| policy.start_timeout));
        let deadline = Instant::now() + wait;
        await_update(&handle, deadline).await;
        if !handle.catalog().is_loaded() {
            if !await_child(&handle, deadline).await? {
                let meanwhile = Some(dispatch::meanwhile(&handle));
                return Err(Error::TimedOut { after: wait, in_flight: false, meanwhile });
            }
            // A child that is ready has announced its lists.
            if !handle.catalog().is_loaded() {
                return Err(unreachable(&handle, &handle.status(), false));
            }
        }
        let view = self.view(entry).ok_or_else(|| not_found(id_or_name))?;
        let catalog = view.catalog.clone();
        Ok((view, catalog))
    }

    /// Replaces a server's children, each when its successor is ready. A server that waits for its next start is
    /// tried at once, an idle one is started.
    pub fn restart_server(&self, caller: &Principal, id_or_name: &str) -> Result<(), Error> {
        standing::require(caller, Right::Administer)?;
        let entry = self.entry(caller, id_or_name)?;
        check_runs(&entry)?;
        if entry.definition.fault().is_some() {
            let handle = self.handle(&entry)?;
            let status = handle.status();
            // If the fault came by an edit, the earlier definition may be in force.
            if status.state.is_of_definition() {
                return Err(unreachable(&handle, &status, false));
            }
        }
        tracing::info!(server = %entry.name, "restart asked for");
        self.0.supervisor.renew(&entry.id);
        Ok(())
    }

    /// Applies a servers file. Returns what it added, changed and dropped since it was last applied. Like every act
    /// it runs to its end, including its line in the audit, even if the future is dropped.
    pub async fn apply_servers_file(&self, path: &str, file: ServersFile) -> Result<Applied, Error> {
        let (gateway, path, act) = (self.clone(), path.to_owned(), self.0.acts.begin());
        let applying = async move {
            let applied = gateway.0.registry.apply_file(&path, file).await?;
            if applied != Applied::default() {
                let entry = entry_of_file(&path, &applied, &gateway.0.registry.list());
                // Only the line on the disk waits for this.
                let _ = gateway.0.audit.record(entry).await;
            }
            drop(act);
            Ok(applied)
        };
        let ended = tokio::spawn(applying).await;
        ended.unwrap_or_else(|error| Err(Error::Internal { reason: error.to_string() }))
    }

    /// Returns the audit, for those who record requests in it.
    pub fn audit(&self) -> &AuditHandle {
        &self.0.audit
    }

    /// Returns the acts under way, for those who carry them out.
    pub fn acts(&self) -> &Acts {
        &self.0.acts
    }

    /// Returns a page of the audit, newest first, each entry as its line of JSON, and the number of all matches.
    pub async fn audit_page(
        &self,
        caller: &Principal,
        query: AuditQuery,
        skip: u64,
        take: u64,
    ) -> Result<(u64, Vec<String>), Error> {
        standing::require(caller, Right::Administer)?;
        self.while_administers(caller, self.0.audit.page(query, skip, take)).await
    }

    async fn while_administers<T>(
        &self,
        caller: &Principal,
        work: impl Future<Output = Result<T, audit::Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            error = standing::refused(caller, standing::administers) => Err(error),
            done = work => Ok(done?),
        }
    }

    /// Counts an application of the servers files, successful or not, for the metrics.
    pub fn reloaded(&self, good: bool) {
        self.0.metrics.reloaded(good);
    }

    /// Reports whether the daemon can serve, and what keeps it from doing so.
    pub fn readiness(&self) -> Readiness {
        // This is asked often and without a key, so nothing is looked at that is not reported.
        let list = self.0.registry.list();
        let starts = |id: &str| {
            let handle = self.0.supervisor.directory().get(id);
            handle.is_some_and(|handle| {
                let status = handle.status();
                !status.settled && status.state == State::Starting
            })
        };
        let starting = list.entries().iter().filter(|entry| starts(&entry.id));
        let mut waiting_for: Vec<String> =
            starting.map(|entry| format!("server '{}' is starting", entry.name)).collect();
        if self.is_stopping() {
            waiting_for.push("the daemon is stopping".to_owned());
        }
        let of_store = self.0.registry.trouble().map(|trouble| trouble_in_words(&trouble));
        let fleeting = match self.0.registry.fleeting_revocations() {
            0 => None,
            count => {
                Some(format!("an end of the daemon would forget {count} revocations of keys and members"))
            }
        };
        let of_clock = clock::doubt().map(|doubt| format!("the clock is not believed: {doubt}"));
        let problems = of_store.into_iter().chain(fleeting).chain(of_clock).collect();
        Readiness { ready: waiting_for.is_empty(), waiting_for, problems }
    }

    /// Returns the number of calls in the metrics.
    pub fn calls(&self) -> u64 {
        self.0.metrics.calls()
    }

    /// Sets the number of processes that the daemon adopted and that belong to no known server, and the number of
    /// those that were ended.
    pub fn set_strays(&self, left: usize, ended: u64) {
        self.0.metrics.set_strays(left, ended);
    }

    /// Sets the number of open HTTP connections.
    pub fn set_http_connections(&self, open: usize) {
        self.0.metrics.set_http_connections(open);
    }

    /// Begins the stop: from here on no call is accepted.
    pub fn begin_stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.stop.send_replace(true);
    }

    /// Ends the drain: whatever is still under way and does not end by itself must report that and end.
    pub fn end_drain(&self) {
        self.0.drained.send_replace(true);
    }

    /// Waits until the calls under way have had their time.
    pub async fn drained(&self) {
        // The sender lives as long as the gateway.
        let _ = self.0.drained.subscribe().wait_for(|over| *over).await;
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Ends all servers, then the registry. Calls in flight may take up to `drain`.
    pub async fn stop(&self, drain: Duration) -> Result<(), Error> {
        self.begin_stop();
        self.0.keeper.keep().await;
        self.0.supervisor.shutdown(drain).await;
        self.0.accounting.close().await;
        // Once the registry has ended, so has every act that had begun; then its line can be written.
        let closed = self.0.registry.close().await;
        if tokio::time::timeout(LAST_ACTS, self.0.acts.settled()).await.is_err() {
            tracing::warn!(
                acts = self.0.acts.under_way(),
                "acts are still under way; they do nothing any more"
            );
        }
        self.0.audit.close().await;
        Ok(closed?)
    }

    /// Waits until the registry has ended without having been asked to: the daemon cannot go on.
    pub async fn failed(&self) {
        self.0.registry.ended().await;
    }

    fn entry(&self, caller: &Principal, id_or_name: &str) -> Result<Arc<ServerEntry>, Error> {
        let entry = self.0.registry.server(id_or_name).ok_or_else(|| not_found(id_or_name))?;
        check_permitted(&*standing::present(caller)?, &entry)?;
        Ok(entry)
    }

    fn handle(&self, entry: &ServerEntry) -> Result<Arc<ServerHandle>, Error> {
        if self.is_stopping() {
            return Err(Error::ShuttingDown);
        }
        self.0.supervisor.directory().get(&entry.id).ok_or_else(|| not_found(&entry.name))
    }

    fn meter(&self, entry: &ServerEntry) -> Result<Arc<ServerMeter>, Error> {
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
                let (buffer, before) = self.0.accounting.begin_server(&entry.id, &entry.name);
                Arc::new(ServerMeter::new(Meter::new(entry.name.clone(), metrics, buffer, before)))
            })
            .clone())
    }

    fn view(&self, entry: &ServerEntry) -> Option<ServerView> {
        let handle = self.0.supervisor.directory().get(&entry.id)?;
        let status = handle.status();
        let traffic = self.0.meters.get(&entry.id).map(|meter| meter.calls.read());
        let traffic = traffic.unwrap_or_else(|| self.0.accounting.before(&entry.id));
        let (load, breaker) = handle.traffic();
        let pin = handle.setting(&entry.definition, |policy| policy.pin);
        let pins = self.0.pins.beside(&entry.id, pin, handle.catalog());
        Some(ServerView {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            status,
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

/// Follower of the registry: the supervisor runs what is in it, the metrics drop what is not.
struct Follower {
    supervisor: Supervisor,
    metrics: Metrics,
    meters: Meters,
}

impl Follower {
    /// Applies a list of servers. `catalog_cache` of earlier runs count for servers that have not been announced before.
    fn apply(&self, servers: &Arc<ServerList>, catalog_cache: &CatalogCache) {
        let specs = servers.entries().iter().map(|entry| ServerSpec {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            remembered: catalog_cache.of(entry),
        });
        self.supervisor.apply(specs.collect());
        // The pin mode of tools may have changed.
        self.supervisor.directory().look_again();
        let gone: Vec<Arc<str>> = self
            .meters
            .iter()
            .map(|meter| meter.key().clone())
            .filter(|id| servers.by_id(id).is_none())
            .collect();
        for id in gone {
            if let Some((_, meter)) = self.meters.remove(&id)
                && servers.by_name(meter.calls.server()).is_none()
            {
                self.metrics.remove_server(meter.calls.server());
            }
        }
    }
}

/// Returns the audit entry of an applied servers file: the changed names, and what they run.
fn entry_of_file(path: &str, applied: &Applied, servers: &ServerList) -> AuditEntry {
    AuditEntry::of_daemon("servers_file.apply", path, Outcome::Done).with(told_of_applied(applied, servers))
}

/// Returns the changed servers by name, and the definitions of those that are new or different.
pub(crate) fn told_of_applied(applied: &Applied, servers: &ServerList) -> Map<String, Value> {
    let Applied { added, changed, taken_over, removed } = applied;
    let mut told = Map::new();
    for (what, names) in
        [("added", added), ("changed", changed), ("taken_over", taken_over), ("removed", removed)]
    {
        if !names.is_empty() {
            told.insert(what.to_owned(), names.as_slice().into());
        }
    }
    let run = [added, changed, taken_over].into_iter().flatten();
    let defined = run.filter_map(|name| {
        let definition = &servers.by_name(name)?.definition;
        Some((name.clone(), Value::Object(told_of_definition(definition))))
    });
    let defined: Map<String, Value> = defined.collect();
    if !defined.is_empty() {
        told.insert("definitions".to_owned(), Value::Object(defined));
    }
    told
}

fn check_permitted(caller: &Principal, entry: &ServerEntry) -> Result<(), Error> {
    match caller.permissions().allow_mcp(&entry.id) {
        true => Ok(()),
        false => Err(Error::ServerNotPermitted { name: entry.name.to_string() }),
    }
}

fn trouble_in_words(trouble: &StoreDegraded) -> String {
    let what_to_do = match trouble.from_backup {
        true => {
            "; running from the newest backup: make room in the data directory, and the daemon goes on by itself"
        }
        false => "",
    };
    format!("changes cannot be stored: {}{what_to_do}", trouble.cause)
}

fn not_found(name: &str) -> Error {
    registry::Error::ServerNotFound { name: name.to_owned() }.into()
}

fn check_runs(entry: &ServerEntry) -> Result<(), Error> {
    let name = || entry.name.to_string();
    // The fault of an entry is more informative than its missing command.
    let is_faulty = entry.definition.fault().is_some();
    if entry.definition.command().is_none() && !is_faulty {
        return Err(Error::NoCommand { name: name() });
    }
    if entry.definition.enabled() { Ok(()) } else { Err(Error::ServerDisabled { name: name() }) }
}
