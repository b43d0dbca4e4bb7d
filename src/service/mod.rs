//! What the gateway does, in the words of no dialect: plain data in, plain data out.

mod dispatch;
mod error;
mod follow;
mod keeper;
mod meter;
mod registry;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashmap::DashMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

use self::dispatch::{
    Request, Unchecked, await_child, await_update, dispatch, lists_are_current, require_tool, unreachable,
};
use self::keeper::Keeper;
use self::meter::Meter;
use crate::access::KeyRing;
use crate::child::Limits;
use crate::jsonrpc::{RpcError, one_line};
use crate::mcp::{self, method};
use crate::supervisor::{ServerHandle, ServerSpec, Supervisor};
use crate::telemetry::metrics::{Kind, Metrics, OK};

pub use self::error::{Error, Fault, Retry};
pub use self::follow::LogFollower;
pub use self::registry::*;
pub use self::view::{Readiness, ResourceReply, ServerView, ToolCall, ToolReply, Traffic};
pub use crate::access::{Principal, Refused, Role};
pub use crate::child::{Catalog, CounterReading, LogLine, Resource, StartPhase, Stream, Tool};
pub use crate::supervisor::{
    BreakerState, CRASH_LOOP, Cause, Definition, Introduction, Problem, ReplicaView, State, Status, Update,
    Usage, on_the_wall,
};

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The deadline of a call that names none; progress starts it anew.
    pub call_timeout: Duration,
    /// What progress cannot extend a call beyond.
    pub max_call_timeout: Duration,
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
    settings: GatewaySettings,
    stopping: AtomicBool,
    /// The same, for those who wait for it.
    stop: watch::Sender<bool>,
}

type Meters = Arc<DashMap<Arc<str>, Arc<Meter>>>;

impl Gateway {
    /// Starts the registry on its thread and has the supervisor follow it.
    pub fn start(
        registry: Registry,
        supervisor: Supervisor,
        keys: KeyRing,
        metrics: Metrics,
        settings: GatewaySettings,
    ) -> Result<Gateway, Error> {
        let meters = Meters::default();
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
            settings,
            stopping,
            stop,
        })))
    }

    /// Says who a key belongs to.
    pub fn authenticate(&self, token: &str) -> Result<Principal, Refused> {
        self.0.keys.authenticate(token)
    }

    /// All servers, in the order they were made.
    pub fn servers(&self) -> Vec<ServerView> {
        self.0.registry.list().entries().iter().filter_map(|entry| self.view(entry)).collect()
    }

    /// The server of this id or exact name; an id wins over a name.
    pub fn server(&self, id_or_name: &str) -> Result<ServerView, Error> {
        let entry = self.entry(id_or_name)?;
        self.view(&entry).ok_or_else(|| not_found(id_or_name))
    }

    /// What the process trees of a server use now.
    pub async fn usage(&self, id_or_name: &str) -> Result<Usage, Error> {
        let handle = self.handle(&*self.entry(id_or_name)?)?;
        Ok(measure(vec![handle]).await.pop().map(|(_, usage)| usage).unwrap_or_default())
    }

    /// The last lines that a server's children wrote beside messages, at most `count`, newest last.
    pub fn logs(&self, id_or_name: &str, count: usize) -> Result<Vec<LogLine>, Error> {
        let entry = self.entry(id_or_name)?;
        Ok(self.handle(&entry)?.log().tail(count))
    }

    /// Follows what a server's children write beside messages: first the lines after `after`, or
    /// else the last `tail`, then each new one.
    pub fn follow_logs(
        &self,
        id_or_name: &str,
        tail: usize,
        after: Option<u64>,
    ) -> Result<LogFollower, Error> {
        let handle = self.handle(&*self.entry(id_or_name)?)?;
        Ok(LogFollower::new(handle, tail, after, self.0.stop.subscribe()))
    }

    /// The server of this exact name.
    pub fn server_named(&self, name: &str) -> Result<ServerView, Error> {
        let list = self.0.registry.list();
        list.by_name(name).and_then(|entry| self.view(entry)).ok_or_else(|| not_found(name))
    }

    /// The server with its lists. A server that has not announced any yet is started if need be and
    /// waited for, and so is one whose definition has just changed: up to `wait`, or its start
    /// deadline. One that rests or crashed has the lists that it announced last.
    pub async fn catalog(
        &self,
        id_or_name: &str,
        wait: Option<Duration>,
    ) -> Result<(ServerView, Arc<Catalog>), Error> {
        let entry = self.entry(id_or_name)?;
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

    /// Calls a tool. A call that may have reached the child is never repeated. Dropping the
    /// future cancels the call. `caller` is the id of the key: where calls have to queue, each
    /// caller has a line of its own.
    pub async fn call_tool(&self, call: ToolCall, caller: Arc<str>) -> Result<ToolReply, Error> {
        let entry = self.entry(&call.server)?;
        check_runs(&entry)?;
        let handle = self.handle(&entry)?;
        let known = handle.catalog().tool(&call.tool).is_some();
        if !known && lists_are_current(&handle) {
            require_tool(&handle, &call.tool)?;
        }
        let mut members =
            Vec::with_capacity(call.tool.len() + call.arguments.as_ref().map_or(2, Bytes::len) + 32);
        members.extend_from_slice(b"\"name\":");
        push_string(&mut members, &call.tool)?;
        members.extend_from_slice(b",\"arguments\":");
        members.extend_from_slice(&one_line(call.arguments.unwrap_or(Bytes::from_static(b"{}"))));
        let meta = match call.context {
            None => Bytes::new(),
            Some(context) => [b"\"plexmcp/context\":", &one_line(context)[..]].concat().into(),
        };
        let mut request = self.request(method::TOOLS_CALL, members.into(), meta, call.timeout, caller);
        request.progress = true;
        request.unchecked = if known { Unchecked::Nothing } else { Unchecked::Tool(call.tool) };
        let meter = self.meter(&entry)?;
        let measured = meter.start(Kind::Tool);
        let reply = dispatch(&handle, request).await.and_then(|said| match said {
            Ok(result) => mcp::read_tool_result(&result).map_err(|reason| Error::BadReply { reason }),
            Err(error) if error.code == -32602 => Err(Error::InvalidArguments { message: error.message }),
            Err(error) => Err(from_rpc(error)),
        });
        if let Err(refused @ (Error::ToolNotFound { .. } | Error::ServerDisabled { .. })) = reply {
            measured.withdraw();
            return Err(refused);
        }
        let outcome = match &reply {
            Ok(reply) if reply.is_error => "tool_error",
            Ok(_) => OK,
            Err(error) => error.outcome(),
        };
        let latency = measured.end(outcome);
        reply.map(|reply| ToolReply {
            server_id: entry.id.clone(),
            structured: reply.structured,
            content: reply.content,
            is_error: reply.is_error,
            latency,
        })
    }

    /// Reads a resource. `timeout` as in [`ToolCall`], `caller` as in [`Gateway::call_tool`].
    pub async fn read_resource(
        &self,
        server: &str,
        uri: &str,
        timeout: Option<Duration>,
        caller: Arc<str>,
    ) -> Result<ResourceReply, Error> {
        let entry = self.entry(server)?;
        check_runs(&entry)?;
        let handle = self.handle(&entry)?;
        let mut members = b"\"uri\":".to_vec();
        push_string(&mut members, uri)?;
        let mut request = self.request(method::RESOURCES_READ, members.into(), Bytes::new(), timeout, caller);
        request.unchecked = Unchecked::Resource(uri.to_owned());
        let meter = self.meter(&entry)?;
        let measured = meter.start(Kind::Resource);
        let contents = read(&handle, request).await;
        let latency = measured.end(contents.as_ref().map_or_else(Error::outcome, |_| OK));
        let name = handle
            .catalog()
            .resources()
            .iter()
            .find(|known| &*known.uri == uri)
            .and_then(|known| known.name.clone());
        contents.map(|contents| ResourceReply { server_id: entry.id.clone(), contents, name, latency })
    }

    /// Replaces a server's children, each when its successor is ready. What waits for its next start
    /// is tried at once, what rests is started.
    pub fn restart_server(&self, id_or_name: &str) -> Result<(), Error> {
        let entry = self.entry(id_or_name)?;
        check_runs(&entry)?;
        tracing::info!(server = %entry.name, "restart asked for");
        self.0.supervisor.renew(&entry.id);
        Ok(())
    }

    /// Adds a server. The same definition again is no change; another one is
    /// [`Error::AlreadyExists`]. Durable when it returns.
    pub async fn add_server(&self, name: &str, raw: Map<String, Value>) -> Result<(), Error> {
        self.0.registry.add(name, raw).await
    }

    /// Replaces the given members of a definition. Durable when it returns.
    pub async fn update_server(&self, name: &str, members: Map<String, Value>) -> Result<(), Error> {
        self.0.registry.update(name, members).await
    }

    /// Removes a server; its child is stopped in the background. Durable when it returns.
    pub async fn remove_server(&self, name: &str) -> Result<(), Error> {
        self.0.registry.remove(name).await
    }

    /// Writes all definitions to a file.
    pub async fn export_config(&self, path: &str) -> Result<(), Error> {
        self.0.registry.export(path).await
    }

    /// Replaces all definitions by those of a file, all or nothing; identical ones keep running.
    pub async fn import_config(&self, path: &str) -> Result<(), Error> {
        self.0.registry.import(path).await
    }

    /// Applies a servers file: what it added, changed and dropped since it was last applied.
    pub async fn apply_servers_file(&self, path: &str, file: ServersFile) -> Result<Applied, Error> {
        self.0.registry.apply_file(path, file).await
    }

    /// Counts an application of the servers files, good or bad, for the metrics.
    pub fn reloaded(&self, good: bool) {
        self.0.metrics.reloaded(good);
    }

    /// Whether the daemon can serve.
    pub fn readiness(&self) -> Readiness {
        let mut waiting_for: Vec<String> = self
            .servers()
            .iter()
            .filter(|server| !server.status.settled && server.status.state == State::Starting)
            .map(|server| format!("server '{}' is starting", server.name))
            .collect();
        if self.is_stopping() {
            waiting_for.push("the daemon is stopping".to_owned());
        }
        let problems = self.0.registry.trouble().map(|cause| format!("changes cannot be stored: {cause}"));
        Readiness { ready: waiting_for.is_empty(), waiting_for, problems: problems.into_iter().collect() }
    }

    /// All metrics in the Prometheus text format.
    pub async fn render_metrics(&self) -> String {
        let list = self.0.registry.list();
        let handles = list.entries().iter().filter_map(|entry| self.handle(entry).ok()).collect();
        for (handle, usage) in measure(handles).await {
            if let Some(Ok(meter)) = list.by_id(handle.id()).map(|entry| self.meter(entry)) {
                meter.tell(&handle, usage);
            }
        }
        self.0.metrics.set_store_degraded(self.0.registry.trouble().is_some());
        self.0.metrics.render()
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
        self.0.registry.close().await
    }

    /// Resolves when the registry has ended without having been asked to: the daemon cannot go on.
    pub async fn failed(&self) {
        self.0.registry.ended().await;
    }

    fn entry(&self, id_or_name: &str) -> Result<Arc<ServerEntry>, Error> {
        self.0.registry.server(id_or_name).ok_or_else(|| not_found(id_or_name))
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
            .or_insert_with(|| Arc::new(Meter::new(entry.name.clone(), metrics)))
            .clone())
    }

    fn view(&self, entry: &ServerEntry) -> Option<ServerView> {
        let handle = self.0.supervisor.directory().get(&entry.id)?;
        let status = handle.status();
        let start = status.start.as_ref().filter(|_| status.state == State::Starting);
        let start_phase = start.map(|start| start.phase(handle.log()));
        let traffic = self.0.meters.get(&entry.id).map(|meter| meter.read()).unwrap_or_default();
        let (load, breaker) = handle.traffic();
        Some(ServerView {
            id: entry.id.clone(),
            name: entry.name.clone(),
            definition: entry.definition.clone(),
            created_at: entry.created_at,
            updated_at: entry.updated_at,
            status,
            start_phase,
            catalog: handle.catalog(),
            traffic,
            counters: handle.counters().read(),
            in_flight: load.in_flight,
            queued: load.queued,
            breaker,
        })
    }

    fn request(
        &self,
        method: &'static str,
        members: Bytes,
        meta: Bytes,
        timeout: Option<Duration>,
        caller: Arc<str>,
    ) -> Request {
        let started = Instant::now();
        let settings = &self.0.settings;
        let limits = match timeout {
            Some(timeout) => Limits { first: started + timeout, idle: timeout, hard: started + timeout },
            None => Limits {
                first: started + settings.call_timeout,
                idle: settings.call_timeout,
                hard: started + settings.max_call_timeout,
            },
        };
        let (usual, unchecked) = (settings.call_timeout, Unchecked::Nothing);
        Request { method, members, meta, progress: false, started, limits, caller, usual, unchecked }
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

async fn read(handle: &ServerHandle, request: Request) -> Result<mcp::ReadContents, Error> {
    match dispatch(handle, request).await? {
        Ok(result) => mcp::read_contents(&result).map_err(|reason| Error::BadReply { reason }),
        // -32002 up to 2025-11-25, -32602 since and in servers that never knew the former.
        Err(error) if matches!(error.code, -32002 | -32602) => {
            Err(Error::ResourceNotFound { message: error.message })
        }
        Err(error) => Err(from_rpc(error)),
    }
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

fn from_rpc(error: RpcError) -> Error {
    Error::Rpc { code: error.code, message: error.message, data: error.data }
}

fn push_string(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    serde_json::to_writer(out, text).map_err(|error| Error::Internal { reason: error.to_string() })
}
