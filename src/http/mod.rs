//! The HTTP front: one listener, a guard before every route, and the dialects behind it.
//!
//! The dialects share the guard, the reading of bodies and of credentials, streams of events, and nothing else:
//! each has routes, bodies and errors of its own. Handlers extract, call the gateway and
//! convert; no handler knows an actor, a process or the store.

mod admin;
mod auth;
mod body;
mod clock;
mod connection;
mod events;
mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod guard;
mod listener;
mod manner;
mod mcp_cli;
mod openapi;
mod origin;
mod plexmcp;
mod routes;
mod text;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::Response;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::query::Queries;
use crate::service::{Attempts, Gateway, Principal};

#[doc(hidden)]
pub use auth::read_and_tell;
pub use guard::{Guard, Guarded, Visit};
pub use routes::{Access, Route};
pub use tls::{Tls, TlsError, TlsFiles};

/// Who may use `/api`, which can define programs to run (contract, section 10.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ApiAuth {
    /// Bound to a loopback address: open to clients of this machine, unless a proxy stands
    /// between. Everybody else needs a key whose role may administer.
    #[default]
    Auto,
    /// Always a key whose role may administer.
    Required,
    /// Open to everybody who can reach the listener with an accepted `Host` and `Origin`.
    Off,
}

/// What the HTTP front can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The address or name to bind.
    pub host: String,
    /// The port to bind; 0 takes a free one.
    pub port: u16,
    /// Where the certificate and its key are; `None` for HTTP without TLS.
    pub tls: Option<TlsFiles>,
    /// Who may use `/api`.
    pub api_auth: ApiAuth,
    /// Names that clients may put in `Host` beside the ones that are always accepted: `name`
    /// for any port, `name:port` for one, `*` for all (which gives up the protection against
    /// DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Web origins that may use the front beside loopback ones, as `scheme://host[:port]`;
    /// `*` for all.
    pub allowed_origins: Vec<String>,
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take to send a body, and to take nothing of an answer.
    pub body_timeout: Duration,
    /// How long a connection may be idle between requests.
    pub keep_alive: Duration,
    /// How many connections may be open at once; at least one.
    pub max_connections: usize,
    /// The deadline of a call that names none.
    pub call_timeout: Duration,
    /// The longest deadline a caller may ask for.
    pub max_call_timeout: Duration,
    /// Show `[REDACTED]` in place of the values of `env` in `/api`.
    pub redact_env: bool,
    /// Put the cause of an internal error into its answer.
    pub debug: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            tls: None,
            api_auth: ApiAuth::Auto,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            body_limit: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(75),
            max_connections: 1024,
            call_timeout: Duration::from_secs(30),
            max_call_timeout: Duration::from_secs(300),
            redact_env: false,
            debug: false,
        }
    }
}

/// The HTTP front, bound and not yet serving: clients that come early wait in the kernel's queue.
pub struct Front {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Tls>,
    settings: Settings,
}

impl Front {
    /// Binds the listener, to serve with this certificate if there is one. Fails as the operating
    /// system does, for example when the port is taken.
    pub async fn bind(settings: Settings, tls: Option<Tls>) -> io::Result<Front> {
        let listener = TcpListener::bind((settings.host.as_str(), settings.port)).await?;
        let address = listener.local_addr()?;
        Ok(Front { listener, address, tls, settings })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is true (or its sender is gone) and every connection has ended:
    /// idle ones end at once, busy ones with the answer to their request. Sets no deadline for
    /// that; dropping the future closes what is left and cancels its calls.
    pub async fn serve(self, gateway: Gateway, queries: Queries, stop: watch::Receiver<bool>) {
        let bounds = listener::Bounds {
            patience: connection::Patience {
                head: self.settings.header_timeout,
                idle: self.settings.keep_alive,
                write: self.settings.body_timeout,
            },
            max_connections: self.settings.max_connections.max(1),
        };
        let guard = service(self.settings, gateway.clone(), queries, self.address);
        let count = |open| gateway.set_http_connections(open);
        listener::serve(self.listener, self.tls, guard, bounds, stop, count).await;
    }
}

/// The whole front without a socket, as if it were bound to `address`: for tests and benches.
pub fn service(settings: Settings, gateway: Gateway, queries: Queries, address: SocketAddr) -> Guard {
    let bound_to_loopback = address.ip().to_canonical().is_loopback();
    let policy = origin::Policy::new(bound_to_loopback, &settings.allowed_hosts, &settings.allowed_origins);
    let debug = settings.debug;
    let audit = gateway.audit().clone();
    let (operator, attempts) = (gateway.local_operator(), Mutex::default());
    let streams = Arc::default();
    let shared = Shared(Arc::new(Inner {
        gateway,
        queries,
        settings,
        bound_to_loopback,
        streams,
        operator,
        attempts,
    }));
    Guard::new(policy, debug, routes(shared.clone()), audit).with_calls(shared)
}

/// Every route of the listener.
fn routes(shared: Shared) -> Router {
    Router::new()
        .merge(plexmcp::routes().into_router())
        .merge(mcp_cli::routes().into_router())
        .merge(admin::routes().into_router())
        .method_not_allowed_fallback(wrong_method)
        .fallback(unknown_route)
        .with_state(shared)
}

/// Every route that there is, in the order of the documents.
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

/// The path is known, the method is not: who has no key learns no more than that a key is
/// needed (contract, section 3). The router adds `Allow`.
async fn wrong_method(
    axum::extract::State(shared): axum::extract::State<Shared>,
    method: Method,
    request: axum::extract::Request,
) -> Response {
    let (parts, _) = request.into_parts();
    let surface = Surface::of(parts.uri.path());
    if method == Method::OPTIONS {
        // The guard makes the answer to a preflight of this; it carries no key, by specification.
        return guard::options();
    }
    match surface {
        Surface::Plexmcp => plexmcp::wrong_method(&shared, &parts),
        Surface::McpCli => mcp_cli::wrong_method(&shared, &parts),
        Surface::Admin => admin::wrong_method(),
    }
}

/// Which surface a path belongs to, also when it has no route there.
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

    /// An answer that the guard gives itself, in the surface's shape.
    fn refusal(self, refusal: guard::Refusal<'_>) -> Response {
        match self {
            Surface::Plexmcp => plexmcp::refusal(refusal),
            Surface::McpCli => mcp_cli::refusal(refusal),
            Surface::Admin => admin::refusal(refusal),
        }
    }
}

/// What the handlers share. One pointer, because the router clones it for each request.
#[derive(Clone)]
struct Shared(Arc<Inner>);

struct Inner {
    gateway: Gateway,
    /// Who answers questions.
    queries: Queries,
    settings: Settings,
    bound_to_loopback: bool,
    /// The logs that are being followed.
    streams: Arc<plexmcp::Streams>,
    /// Who calls where no key is needed.
    operator: Principal,
    /// Who has sent bad credentials lately.
    attempts: Mutex<Attempts>,
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

#[cfg(test)]
mod tests;
