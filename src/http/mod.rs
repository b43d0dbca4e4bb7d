//! The HTTP front: one listener, a guard before every route, and the dialects behind it.
//!
//! The dialects share the guard, the reading of bodies and of credentials, streams of events, and nothing else:
//! each has routes, bodies and errors of its own. Handlers extract the request, call the gateway and
//! convert the result; no handler knows an actor, a process or the store.

mod admin;
mod core;
mod edge;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod mcp_cli;
mod plexmcp;
mod server;

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Bytes, HttpBody};
use axum::http::{Method, Request, Uri};
use axum::response::Response;
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};
use tokio::sync::watch;

use self::core::body;
use self::edge::{guard, origin};
use self::server::socket::Socket;
use self::server::{connection, listener};
use crate::query::Agent;
use crate::service::{Attempts, Gateway};

#[doc(hidden)]
pub use self::core::auth::read_and_tell;
pub use self::core::routes::{Access, Effect, Route};
pub use self::edge::guard::{Guard, PeerInfo, ResponseFuture};
pub use self::server::places::{Places, places_within, share_of};
pub use self::server::tls::{Tls, TlsError, TlsFiles};

/// Access rule of `/api`, which can define programs to run (`docs/http-api.md`, M1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiAuth {
    /// Open to the daemon's own user on this machine, as far as the kernel vouches for it: by the Unix socket,
    /// or on loopback without a proxy between. All other callers need a key whose role may administer.
    #[default]
    Auto,
    /// Closed to all callers without a key whose role may administer.
    Required,
    /// Open to every caller that can reach the listener with an accepted `Host` and `Origin`.
    Off,
}

/// Location of the Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPlace {
    /// Path to bind the socket at.
    pub path: PathBuf,
    /// `true` if the operator asked for the socket there: then the front does not start without it.
    pub wanted: bool,
}

/// Settings of the HTTP front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Address or host name to bind.
    pub host: String,
    /// Port to bind; 0 takes a free one.
    pub port: u16,
    /// Unix socket of the daemon's own user; `None` for none.
    pub socket: Option<SocketPlace>,
    /// Further loopback address with only the operational routes (`/metrics`, `/healthz`, `/readyz`), which the
    /// main address has as well; `None` for none.
    pub operations: Option<SocketAddr>,
    /// Files of the certificate and its key; `None` for HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// Access rule of `/api`.
    pub api_auth: ApiAuth,
    /// Names that clients may put in `Host` beside the ones that are always accepted: `name`
    /// for any port, `name:port` for one, `*` for all (which gives up the protection against
    /// DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Web origins that may use the front beside loopback ones, as `scheme://host[:port]`;
    /// `*` for all.
    pub allowed_origins: Vec<String>,
    /// Length of the longest request body, in bytes.
    pub body_limit: usize,
    /// Time that a client may take to send the head of a request.
    pub header_timeout: Duration,
    /// Time that a client may take to send the body of a request.
    pub body_timeout: Duration,
    /// Time for which a client may read nothing of an answer before it is given up; `None` for `body_timeout`.
    pub write_timeout: Option<Duration>,
    /// Time for which a connection may be idle between requests.
    pub keep_alive: Duration,
    /// Number of connections that may be served at once; at least one.
    pub max_connections: usize,
    /// Number of these that one address may hold (of IPv6: one /64); `None` for three quarters.
    pub max_connections_per_address: Option<usize>,
    /// Number of further connections that may wait to be served; `None` for as many as may be served.
    pub max_waiting: Option<usize>,
    /// Number of streams (followed logs, exports of the audit) that may be open at once; `None` for a quarter of
    /// `max_connections`, because a connection never makes room for another while its stream is read.
    pub max_streams: Option<usize>,
    /// Number of these that one key may have open; `None` for a quarter.
    pub max_streams_per_key: Option<usize>,
    /// Deadline of a call that sets none.
    pub call_timeout: Duration,
    /// Longest deadline that a caller may ask for.
    pub max_call_timeout: Duration,
    /// `true` to show `[REDACTED]` in place of the values of `env` in `/api`.
    pub redact_env: bool,
    /// `true` to put the cause of an internal error into its answer.
    pub debug: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            socket: None,
            operations: None,
            tls: None,
            api_auth: ApiAuth::Auto,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_limit: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: None,
            keep_alive: Duration::from_secs(75),
            max_connections: 1024,
            max_connections_per_address: None,
            max_waiting: None,
            max_streams: None,
            max_streams_per_key: None,
            call_timeout: Duration::from_secs(30),
            max_call_timeout: Duration::from_secs(300),
            redact_env: false,
            debug: false,
        }
    }
}

impl Settings {
    /// Returns the limits on connections, with the defaults filled in.
    pub fn places(&self) -> Places {
        let all = self.max_connections.max(1);
        let per_address = self.max_connections_per_address.unwrap_or_else(|| share_of(all)).clamp(1, all);
        Places { all, per_address, waiting: self.max_waiting.unwrap_or(all) }
    }

    /// Returns the limits on open streams, with the defaults filled in.
    fn stream_limits(&self) -> plexmcp::StreamLimits {
        let total = self.max_streams.unwrap_or(self.max_connections / 4).max(1);
        let per_key = self.max_streams_per_key.unwrap_or(total.div_ceil(4)).clamp(1, total);
        plexmcp::StreamLimits { total, per_key }
    }

    /// Sets the limits on connections.
    pub fn set_places(&mut self, places: Places) {
        self.max_connections = places.all;
        self.max_connections_per_address = Some(places.per_address);
        self.max_waiting = Some(places.waiting);
    }
}

/// The HTTP front, bound and not yet serving: clients that come early wait in the kernel's queue.
pub struct HttpServer {
    listener: TcpListener,
    address: SocketAddr,
    socket: Option<Socket>,
    operations: Option<TcpListener>,
    tls: Option<Tls>,
    settings: Settings,
}

/// Failure to listen on an address or a Unix socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {error}")]
pub struct BindError {
    place: String,
    error: io::Error,
}

/// Number of connections that may wait in the kernel to be accepted; as many as Linux allows by default. Beyond
/// that the kernel drops new connections from every address, and a client tries again after a second: long
/// enough for clients at other addresses to notice a flood from one.
const BACKLOG: u32 = 4096;

/// Listens on the first address of a name that can be bound. Fails with the last error if none can.
async fn listen(at: impl ToSocketAddrs) -> io::Result<TcpListener> {
    let mut failed = None;
    for address in lookup_host(at).await? {
        match bind(address).and_then(|socket| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

/// Binds a socket as the daemon listens on it: it may reuse an address right after another socket there has ended.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

impl HttpServer {
    /// Binds the listeners; the main one serves TLS with the given certificate, or plain HTTP if `tls` is `None`.
    /// Fails with the error of the operating system, for example if the port is taken. Failure to bind a Unix
    /// socket that the operator did not ask for is only logged.
    pub async fn bind(settings: Settings, tls: Option<Tls>) -> Result<HttpServer, BindError> {
        let failed = |place: String| move |error| BindError { place, error };
        let place = format!("{}:{}", settings.host, settings.port);
        let listener = listen((settings.host.as_str(), settings.port)).await;
        let listener = listener.map_err(failed(place.clone()))?;
        let address = listener.local_addr().map_err(failed(place))?;
        let operations = match settings.operations {
            Some(at) => Some(listen(at).await.map_err(failed(at.to_string()))?),
            None => None,
        };
        let socket = settings.socket.as_ref().map(|place| (Socket::bind(&place.path), place));
        let socket = match socket {
            None => None,
            Some((Ok(socket), _)) => Some(socket),
            Some((Err(error), place)) if place.wanted => {
                return Err(failed(place.path.display().to_string())(error));
            }
            Some((Err(error), place)) => {
                let path = place.path.display();
                tracing::warn!(%path, %error, "no Unix socket for this user; commands use the address instead");
                None
            }
        };
        Ok(HttpServer { listener, address, socket, operations, tls, settings })
    }

    /// Returns the bound address, with the port that was taken for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Returns the bound address of the operational routes alone; `None` if there is none.
    pub fn operations_addr(&self) -> Option<SocketAddr> {
        self.operations.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Returns the path of the Unix socket; `None` if none is bound.
    pub fn socket(&self) -> Option<&Path> {
        self.socket.as_ref().map(Socket::path)
    }

    /// Serves until `stop` is true (or its sender is dropped) and every connection has ended:
    /// idle ones end at once, busy ones with the answer to their request. Sets no deadline for
    /// that; dropping the future closes the remaining connections and cancels their calls.
    pub async fn serve(self, gateway: Gateway, queries: Agent, stop: watch::Receiver<bool>) {
        let patience = connection::Timeouts {
            head: self.settings.header_timeout,
            idle: self.settings.keep_alive,
            write: self.settings.write_timeout.unwrap_or(self.settings.body_timeout),
        };
        let places = self.settings.places();
        let shared = share(self.settings, gateway.clone(), queries);
        let guard = guard(&shared, self.address);
        let by_socket = async {
            if let Some(socket) = self.socket {
                socket.serve(guard.clone(), patience, stop.clone()).await;
            }
        };
        let operations = async {
            if let Some(listener) = self.operations {
                let bounds = listener::ConnectionLimits { patience, places: OPERATIONS };
                let guard = operations_guard(&shared);
                listener::serve(listener, None, guard, bounds, stop.clone(), |_| {}).await;
            }
        };
        let bounds = listener::ConnectionLimits { patience, places };
        let count = |open| gateway.set_http_connections(open);
        let main = listener::serve(self.listener, self.tls, guard.clone(), bounds, stop.clone(), count);
        tokio::join!(main, by_socket, operations);
    }
}

/// Limits on connections at the address of the operational routes.
const OPERATIONS: Places = Places { all: 16, per_address: 16, waiting: 16 };

/// Returns the whole front without a socket, as if it were bound to `address`: for tests and benches.
pub fn service(settings: Settings, gateway: Gateway, queries: Agent, address: SocketAddr) -> Guard {
    guard(&share(settings, gateway, queries), address)
}

fn share(settings: Settings, gateway: Gateway, queries: Agent) -> Shared {
    let streams = Arc::new(plexmcp::Streams::new(settings.stream_limits()));
    let attempts = Mutex::default();
    Shared(Arc::new(Inner { gateway, queries, settings, streams, attempts }))
}

fn guard(shared: &Shared, address: SocketAddr) -> Guard {
    let settings = &shared.settings;
    let bound_to_loopback = address.ip().to_canonical().is_loopback();
    let policy = origin::Policy::new(bound_to_loopback, &settings.allowed_hosts, &settings.allowed_origins);
    let audit = shared.gateway.audit().clone();
    Guard::new(policy, settings.debug, routes(shared.clone()), audit)
        .with_routes(shared.clone(), known_routes())
}

/// Returns the guard of the address that has only the operational routes.
fn operations_guard(shared: &Shared) -> Guard {
    let settings = &shared.settings;
    let policy = origin::Policy::new(true, &settings.allowed_hosts, &settings.allowed_origins);
    let router = finished(admin::routes().into_router(), shared.clone());
    Guard::new(policy, settings.debug, router, shared.gateway.audit().clone())
}

/// Builds the router with every route of the listener.
fn routes(shared: Shared) -> Router {
    let router = Router::new()
        .merge(plexmcp::routes().into_router())
        .merge(mcp_cli::routes().into_router())
        .merge(admin::routes().into_router());
    finished(router, shared)
}

fn finished(router: Router<Shared>, shared: Shared) -> Router {
    router.method_not_allowed_fallback(wrong_method).fallback(unknown_route).with_state(shared)
}

/// Returns all routes, in the order of the documents.
pub fn known_routes() -> Vec<Route> {
    let all = [plexmcp::routes(), mcp_cli::routes(), admin::routes()];
    all.iter().flat_map(|routes| routes.known().to_vec()).collect()
}

async fn unknown_route(uri: Uri) -> Response {
    match Surface::of(uri.path()) {
        Surface::Plexmcp => plexmcp::unknown_route(),
        Surface::McpCli => mcp_cli::unknown_route(),
        Surface::Admin => admin::unknown_route(),
    }
}

/// Answers a known path with an unknown method: a caller without a key learns only that a key is
/// needed (`docs/http-api.md`, G1.4). The router adds `Allow`.
async fn wrong_method(
    axum::extract::State(shared): axum::extract::State<Shared>,
    method: Method,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let surface = Surface::of(parts.uri.path());
    if method == Method::OPTIONS {
        // The guard turns this into the answer to a preflight, which carries no key, by specification.
        return guard::options();
    }
    match surface {
        Surface::Plexmcp => plexmcp::wrong_method(&shared, &parts),
        Surface::McpCli => mcp_cli::wrong_method(&shared, &parts).await,
        Surface::Admin => admin::wrong_method(),
    }
}

/// Surface that a path belongs to, even if the path has no route there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Surface {
    Plexmcp,
    McpCli,
    Admin,
}

impl Surface {
    fn of(path: &str) -> Surface {
        let under = |prefix: &str| {
            path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if under("/v1") {
            Surface::Plexmcp
        } else if under("/api") {
            Surface::McpCli
        } else {
            Surface::Admin
        }
    }

    /// Returns the answer to a gateway error that the guard met itself, in the surface's format.
    fn failure(self, error: crate::service::Error) -> Response {
        match self {
            Surface::Plexmcp => plexmcp::failure(error),
            Surface::McpCli => mcp_cli::failure(error),
            Surface::Admin => admin::failure(&error),
        }
    }

    /// Returns the answer to a request that the guard answers itself, in the surface's format.
    fn refusal(self, refusal: guard::EdgeRejection<'_>) -> Response {
        match self {
            Surface::Plexmcp => plexmcp::refusal(refusal),
            Surface::McpCli => mcp_cli::refusal(refusal),
            Surface::Admin => admin::refusal(refusal),
        }
    }
}

/// State that the handlers share. It is one pointer, because the router clones it for each request.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    /// Answerer of the questions of `/api/query`.
    queries: Agent,
    settings: Settings,
    /// Counts of the open streams.
    streams: Arc<plexmcp::Streams>,
    /// Counter of recent bad credentials, by address.
    attempts: Mutex<Attempts>,
}

impl Inner {
    /// Reads the body of a request, within the limits on size and time in the settings.
    fn body<B>(&self, request: Request<B>) -> impl Future<Output = Result<Bytes, body::BodyError>>
    where
        B: HttpBody<Data = Bytes>,
    {
        body::read(request, self.settings.body_limit, self.settings.body_timeout)
    }
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

#[cfg(test)]
mod tests;
