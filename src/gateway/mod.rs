//! The gateway's operations, independent of any dialect: plain data in, plain data out.

mod activity;
mod acts;
#[cfg(test)]
mod authority_tests;
mod backing_up;
mod calling;
mod catalog_persister;
mod defining;
mod dispatch;
mod error;
mod examining;
mod exporting;
mod follow;
mod forward;
mod groups;
mod isolation;
mod keychange;
mod keys;
mod loads;
mod log_follower;
mod logins;
mod members;
mod readiness;
mod relay;
mod scraping;
mod secrets;
mod server_meter;
mod servers;
#[cfg(test)]
mod simulation;
mod spans;
mod standing;
mod stop;
mod tokens;
mod unread;
mod view;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use tokio::sync::{Semaphore, watch};

use self::catalog_persister::CatalogPersister;
use self::defining::entry_of_file;
use self::groups::CurrentGroups;
use self::loads::Measured;
use self::scraping::Scrape;
use self::server_meter::ServerMeter;
use self::stop::Stop;
use crate::access::{KeyRing, Unread};
use crate::clock;
use crate::doctor::Doctor;
use crate::mcp::translate::Members;
use crate::pins::PinBook;
use crate::registry::{CatalogCache, Registry, RegistryHandle};
use crate::secrets::SecretBook;
use crate::supervisor::{ServerHandle, ServerSpec, Supervisor};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Tracer;
use crate::usage::Accounting;
use crate::{registry, unix_time};

pub use self::activity::{ActivityFollower, ActivityPage, ActivityReader};
pub use self::acts::{Acts, Listener, UnderWay};
pub use self::backing_up::BackupFile;
pub use self::calling::PreparedCall;
pub use self::error::Error;
pub use self::exporting::{AuditExport, AuditPieces};
pub use self::follow::{Follow, FollowEnd, Followed};
pub use self::forward::Found;
pub use self::groups::{Group, Groups, Naming, SEARCH_TOOLS, Search};
pub use self::isolation::ClientScope;
pub use self::keychange::ChangeRequest;
pub use self::keys::{CreateKeyError, KeyRequest, KeyView, MemberView, OrganizationView};
pub use self::loads::{ServerLoad, ServerLoads};
pub use self::log_follower::LogFollower;
pub use self::logins::LOGIN_OWNER;
pub use self::members::PlanView;
pub use self::relay::{Announcements, Asked, ClientRequest, News, Relayed, ServerOffer, ToolFacts};
pub use self::standing::while_accepted;
pub use self::unread::{UnreadAnswer, UnreadLimits};
pub use self::view::{KeyQueue, Readiness, ResourceRead, ResourceReply, ServerView, ToolCall, ToolReply};
pub use crate::access::{
    AccessError, Attempts, CredentialError, DialectName, KeyChange, KeyLimits, KeyRecord, KeyStatus,
    LimitsChange, MAX_CALLS_AT_ONCE, MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND, Maker, Member, NewKey,
    Origin, Pattern, Permissions, Plan, PlanRecord, Principal, RateReading, RequestId, Role, Tenancy,
    TokenGrant, TooManySubjects,
};
pub use crate::activity::{ActivityFilter, Call as ActivityCall, FAILED};
#[cfg(test)]
pub(crate) use crate::audit::AuditLine;
pub use crate::audit::{
    AuditEntry, AuditHandle, AuditQuery, AuditSettings, EntryKind, Error as AuditError, Outcome,
    told_of_change, told_of_definition,
};
pub use crate::facts::{ErrorFacts, Fault, Retry};
pub use crate::mcp::ToolDigest;
pub use crate::mcp::translate::PrefixRule;
pub use crate::pins::{
    Approval, Difference, Error as PinError, PinReport, PinState, PinSums, PinnedTool, ToolPins,
};
pub use crate::registry::{
    Applied, Error as RegistryError, MemberChange, MemberRequest, Removal, Revocation, Revoke, ServerEntry,
    ServerList, ServersFile,
};
pub use crate::supervisor::{
    BreakerState, CRASH_LOOP, Cause, Definition, OWN_MEMBER, PinMode, PoolSums, Problem, QueuedStartView,
    Remote, ReplicaView, ServerInfo, State, Status, Update, Usage, on_the_wall, parse_duration,
};
pub use crate::supervisor::{LoginBegun, LoginFinish};
pub use crate::telemetry::metrics::{Deprecated, Surface};
pub use crate::upstream::{
    Catalog, ClientPort, CounterReading, Disposition, Event, Exchange, Interest, Interests, LogLine,
    PushedRequest, Resource, Stream, Tool, are_known,
};
pub use crate::usage::{
    Bucket, CallStats, Error as UsageError, Granularity, GroupSum, GroupedBy, Grouping, HistoryQuery, Period,
    QuotaOf, RangeQuery, RangeSums, Resolution, Span, Traffic, Usage as UsageReport, UsageOf,
};

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

impl Default for GatewaySettings {
    fn default() -> GatewaySettings {
        GatewaySettings {
            call_timeout: Duration::from_secs(30),
            max_call_timeout: Duration::from_secs(300),
            calls_per_key: 128,
            unread: UnreadLimits::default(),
        }
    }
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
    /// Maker of the traces; `None` if there are none.
    tracer: Option<Tracer>,
    meters: Meters,
    pins: PinBook,
    secrets: SecretBook,
    accounting: Accounting,
    audit: AuditHandle,
    acts: Acts,
    /// Count of all answers that wait to be read.
    unread: Unread,
    scrape: Scrape,
    measured: Measured,
    groups: CurrentGroups,
    doctor: Doctor,
    /// Held by whoever looks at servers for faults: one at a time.
    examining: Arc<Semaphore>,
    /// Held by a backup until it is taken: one at a time.
    backing_up: Arc<Semaphore>,
    settings: GatewaySettings,
    stop: Stop,
}

type Meters = Arc<DashMap<Arc<str>, Arc<ServerMeter>, RandomState>>;

/// Parts of a gateway: opened by whoever composes the daemon, and ended by the stop of the gateway.
pub struct Parts {
    /// Registry, with its servers files applied.
    pub registry: Registry,
    /// Changes by servers files that were applied before there was an audit to record them, each with the file's path.
    pub applied: Vec<(String, Applied)>,
    /// Groups of servers, whose names the registry keeps from servers ([`Registry::reserve`]).
    pub groups: Groups,
    /// Pins that the registry keeps.
    pub pins: PinBook,
    /// Ring that the registry puts keys, members and plans on.
    pub keys: KeyRing,
    /// What members have stored for their children.
    pub secrets: SecretBook,
    /// Usage and quotas.
    pub accounting: Accounting,
    /// Record of who did what.
    pub audit: AuditHandle,
    /// Supervisor of the servers.
    pub supervisor: Supervisor,
    /// Metrics of the daemon.
    pub metrics: Metrics,
    /// Examiner of servers.
    pub doctor: Doctor,
    /// Maker of the traces; `None` if there are to be none.
    pub tracer: Option<Tracer>,
}

impl Gateway {
    /// Starts the registry on its thread and has the supervisor follow it.
    pub fn start(parts: Parts, settings: GatewaySettings) -> Result<Gateway, Error> {
        let Parts { registry, applied, groups, pins, keys, secrets, accounting, audit, .. } = parts;
        let Parts { supervisor, metrics, doctor, tracer, .. } = parts;
        let book = secrets.clone();
        supervisor.directory().keep_logins_in(Arc::new(logins::LoginsInBook(secrets.clone())));
        supervisor.directory().find_secrets_by(Box::new(move |member, name| book.get(member, name)));
        for (path, applied) in applied {
            audit.note(entry_of_file(&path, &applied, &registry.list()));
        }
        let meters = Meters::default();
        let groups = CurrentGroups::new(groups);
        let follow = Follower {
            supervisor: supervisor.clone(),
            metrics: metrics.clone(),
            meters: meters.clone(),
            there: Mutex::default(),
            regrouped: groups.teller(),
        };
        // Once here, so that the directory has every server when this returns.
        follow.apply(&registry.list(), &registry.catalog_cache()?);
        let none = CatalogCache::default();
        let registry = registry.start(Box::new(move |servers| follow.apply(servers, &none)))?;
        let keeper = CatalogPersister::new(registry.clone(), supervisor.directory().clone());
        tokio::spawn(keeper.clone().run());
        tokio::spawn(registry.clone().recover());
        Ok(Gateway(Arc::new(Inner {
            registry,
            keeper,
            supervisor,
            keys,
            metrics,
            tracer,
            meters,
            pins,
            secrets,
            accounting,
            audit,
            acts: Acts::default(),
            unread: Unread::default(),
            scrape: Scrape::default(),
            measured: Measured::default(),
            groups,
            doctor,
            examining: Arc::new(Semaphore::new(1)),
            backing_up: Arc::new(Semaphore::new(1)),
            settings,
            stop: Stop::new(),
        })))
    }

    /// Returns the deadlines and limits that the gateway was started with.
    pub fn settings(&self) -> &GatewaySettings {
        &self.0.settings
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

    /// Returns the audit, for those who record requests in it.
    pub fn audit(&self) -> &AuditHandle {
        &self.0.audit
    }

    /// Returns the acts under way, for those who carry them out.
    pub fn acts(&self) -> &Acts {
        &self.0.acts
    }

    /// Counts an application of the servers files, successful or not, for the metrics.
    pub fn reloaded(&self, good: bool) {
        self.0.metrics.reloaded(good);
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

    /// Counts an answer to an HTTP request.
    pub fn count_answer(&self, surface: Surface, status: u16, took: Duration) {
        self.0.metrics.count_answer(surface, status, took);
    }

    /// Counts a request that was refused before the gateway had it. Reasons are constants of the program.
    pub fn count_refusal(&self, reason: &'static str) {
        self.0.metrics.count_refusal(reason);
    }

    /// Counts a use of what MCP has deprecated, by the client with this `clientInfo`, raw JSON; `None` for one without.
    pub fn count_deprecated(&self, feature: Deprecated, info: Option<&[u8]>) {
        let text = info.and_then(|info| std::str::from_utf8(info).ok());
        let name = text.and_then(Members::read).and_then(|info| info.text("name"));
        self.0.metrics.count_deprecated(feature, name.as_deref());
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
                let calls = self.0.accounting.meter(&entry.id, &entry.name, metrics);
                Arc::new(ServerMeter::new(calls))
            })
            .clone())
    }
}

/// Follower of the registry: the supervisor runs what is in it, the metrics drop what is not.
struct Follower {
    supervisor: Supervisor,
    metrics: Metrics,
    meters: Meters,
    /// Ids of the servers that could be called the last time.
    there: Mutex<HashSet<Arc<str>>>,
    /// Teller of those who listen at several servers.
    regrouped: watch::Sender<()>,
}

impl Follower {
    /// Applies a list of servers. `catalog_cache` of earlier runs count for servers that have not been announced before.
    fn apply(&self, servers: &Arc<ServerList>, catalog_cache: &CatalogCache) {
        let specs = servers.entries().iter().map(|entry| ServerSpec {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            is_of_api: entry.is_addressed_by_api(),
            remembered: catalog_cache.of(entry),
        });
        self.supervisor.apply(specs.collect());
        // The pin mode of tools may have changed.
        self.supervisor.directory().look_again();
        // A server that comes tells of its lists itself; of one that has gone nobody else would.
        let there = servers.entries().iter().filter(|entry| entry.definition.enabled());
        let there: HashSet<Arc<str>> = there.map(|entry| entry.id.clone()).collect();
        let mut before = self.there.lock().unwrap_or_else(PoisonError::into_inner);
        if !before.is_subset(&there) {
            self.regrouped.send_replace(());
        }
        *before = there;
        drop(before);
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

fn check_permitted(caller: &Principal, entry: &ServerEntry) -> Result<(), Error> {
    match caller.permissions().allow_mcp(&entry.id) {
        true => Ok(()),
        false => Err(Error::ServerNotPermitted { name: entry.name.to_string() }),
    }
}

fn not_found(name: &str) -> Error {
    registry::Error::ServerNotFound { name: name.to_owned() }.into()
}

fn check_runs(entry: &ServerEntry) -> Result<(), Error> {
    let name = || entry.name.to_string();
    // The fault of an entry is more informative than that it names nothing.
    let is_faulty = entry.definition.fault().is_some();
    if !entry.definition.has_target() && !is_faulty {
        return Err(Error::NoCommand { name: name() });
    }
    if entry.definition.enabled() { Ok(()) } else { Err(Error::ServerDisabled { name: name() }) }
}
