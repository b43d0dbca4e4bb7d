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
mod mcp;
mod mcp_cli;
mod oauth;
mod plexmcp;
mod server;
mod settings;
mod ui;

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use axum::Router;
use axum::extract::State;
use axum::http::{Method, Uri};
use axum::response::Response;
use tokio::net::{TcpListener, TcpSocket, ToSocketAddrs, lookup_host};
use tokio::sync::watch;

use self::core::dialect::Dialects;
use self::core::shared::Shared;
use self::edge::Policy;
use self::server::listener;
use self::server::socket::Socket;
use self::server::state::Timeouts;
use crate::gateway::Gateway;
use crate::query::Agent;

#[cfg(feature = "bench")]
pub use self::core::auth::read_and_tell;
pub use self::core::routes::{Access, Effect, Route};
pub use self::edge::{Guard, ResponseFuture};
pub use self::server::peer::PeerInfo;
pub use self::server::places::{Places, places_within, share_of};
pub use self::server::request_body::RequestBody;
pub use self::server::tls::{Tls, TlsError, TlsFiles};
pub use self::settings::{ApiAuth, EffectiveSetting, McpSettings, SessionKey, Settings, SocketPlace};

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

impl BindError {
    /// Reports whether somebody else listens there.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
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
        let patience = Timeouts {
            head: self.settings.header_timeout,
            idle: self.settings.keep_alive,
            write: self.settings.write_timeout.unwrap_or(self.settings.body_timeout),
        };
        let places = self.settings.places();
        let shared = Shared::new(gateway.clone(), queries, self.settings);
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
    guard(&Shared::new(gateway, queries, settings), address)
}

/// The dialects of the front.
const DIALECTS: Dialects = Dialects {
    mounted: &[&plexmcp::PlexMcp, &mcp_cli::McpCli, &mcp::Mcp, &oauth::OAuth, &ui::Ui],
    fallback: &admin::Admin,
};

/// The only dialect at the address of the operational routes.
const OPERATIONAL: Dialects = Dialects { mounted: &[], fallback: &admin::Admin };

/// Returns the guard of the main address: before every route, with the fast paths and the count of answers.
fn guard(shared: &Shared, address: SocketAddr) -> Guard {
    let bound_to_loopback = address.ip().to_canonical().is_loopback();
    guard_before(DIALECTS, shared, bound_to_loopback).with_routes(shared.clone())
}

/// Returns the guard of the address that has only the operational routes.
fn operations_guard(shared: &Shared) -> Guard {
    guard_before(OPERATIONAL, shared, true)
}

fn guard_before(dialects: Dialects, shared: &Shared, bound_to_loopback: bool) -> Guard {
    let settings = &shared.settings;
    let policy = Policy::new(bound_to_loopback, &settings.allowed_hosts, &settings.allowed_origins);
    let audit = shared.gateway.audit().clone();
    // A path that belongs to another dialect is refused in that dialect's format also where it has no route.
    Guard::new(policy, settings.debug, DIALECTS, router(dialects, shared.clone()), audit)
}

/// Builds the router with the routes of these dialects.
fn router(dialects: Dialects, shared: Shared) -> Router {
    let served = dialects.all().filter(|dialect| dialect.is_served(&shared.settings));
    let router = served.fold(Router::new(), |router, dialect| router.merge(dialect.routes().into_router()));
    router.method_not_allowed_fallback(wrong_method).fallback(unknown_route).with_state(shared)
}

/// Returns all routes, in the order of the documents.
pub fn known_routes() -> Vec<Route> {
    DIALECTS.routes()
}

async fn unknown_route(uri: Uri) -> Response {
    DIALECTS.of(uri.path()).unknown_route()
}

/// Answers a known path with an unknown method. The router adds `Allow`.
async fn wrong_method(
    State(shared): State<Shared>,
    method: Method,
    request: axum::extract::Request,
) -> Response {
    if method == Method::OPTIONS {
        // The edge turns this into the answer to a preflight, which carries no key, by specification.
        return edge::options();
    }
    let (parts, _) = request.into_parts();
    DIALECTS.of(parts.uri.path()).wrong_method(&shared, &parts).await
}

#[cfg(test)]
mod tests;
