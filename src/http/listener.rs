//! The listening socket: accepts, bounds how many connections there are, and drains them.
//! axum's own `serve` has no deadline for a head, so a half-sent request would stay for ever.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::connection::{Patience, Tap, Watch, drive, linger};
use super::guard::{Guard, Guarded, Visit};
use super::tls::Tls;

/// The longest head, request line included, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long accepting rests when the process has no descriptor left for a new connection.
const OUT_OF_DESCRIPTORS_REST: Duration = Duration::from_millis(50);

/// A connection that was idle for less keeps its place: the first request of a new one is on its way.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// How long a connection that was told to end has before the next one is told.
const TO_LEAVE: Duration = Duration::from_millis(100);

/// How long the listener serves its connections and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The connections' deadlines.
    pub(super) patience: Patience,
    /// How many connections are served at once; one more waits for a place, further ones in the
    /// kernel's queue.
    pub(super) max_connections: usize,
}

/// Accepts until `stop` is true, then waits until every connection has ended. Connections
/// that serve nothing end at once; busy ones end with their answer. Dropping the future
/// closes every connection.
///
/// When there are as many as there may be, one more is accepted and waits for a place; the one that was idle
/// the longest makes room for it. `count` is told how many are served, whenever that has changed.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    guard: Guard,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
    count: impl Fn(usize),
) {
    let mut connections = JoinSet::new();
    let mut watches = Watches::default();
    let mut newcomer = None;
    let mut stopped = std::pin::pin!(wait_for_stop(stop.clone()));
    loop {
        if connections.len() < bounds.max_connections
            && let Some((stream, peer)) = newcomer.take()
        {
            // From here on, so that a handshake takes its time from that of the first head.
            let watch = Arc::new(Watch::new(bounds.patience));
            watches.add(&watch);
            connections.spawn(serve_one(stream, peer, watch, tls.clone(), guard.clone(), stop.clone()));
            count(connections.len());
        }
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                count(connections.len());
            }
            accepted = listener.accept(), if newcomer.is_none() => match accepted {
                Ok(accepted) => newcomer = Some(accepted),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections, resting");
                    tokio::select! {
                        () = &mut stopped => break,
                        () = tokio::time::sleep(OUT_OF_DESCRIPTORS_REST) => {}
                    }
                }
            },
            () = make_room(&mut watches), if newcomer.is_some() => {}
        }
    }
    drop((listener, newcomer));
    while let Some(ended) = connections.join_next().await {
        report(ended);
        count(connections.len());
    }
}

/// The watches of the connections that there are. A watch that has ended takes its memory until it is
/// forgotten here.
#[derive(Default)]
struct Watches(Vec<Weak<Watch>>);

impl Watches {
    /// Adds one; now and then forgets those that have ended, so that each costs the same.
    fn add(&mut self, watch: &Arc<Watch>) {
        if self.0.len() == self.0.capacity() {
            self.forget_ended();
            // Half of the room is free afterwards, however many there are.
            self.0.reserve(self.0.len().max(16));
        }
        self.0.push(Arc::downgrade(watch));
    }

    fn forget_ended(&mut self) {
        self.0.retain(|watch| watch.strong_count() > 0);
    }
}

/// Waits until one of these connections has been idle for long enough, and tells the one that was so the
/// longest to end. What becomes idle meanwhile is not due any earlier.
async fn make_room(watches: &mut Watches) {
    watches.forget_ended();
    let idle = watches.0.iter().filter_map(Weak::upgrade);
    let oldest = idle.filter_map(|watch| Some((watch.idle_since()?, watch))).min_by_key(|(since, _)| *since);
    let Some((since, watch)) = oldest else { return tokio::time::sleep(LEAST_IDLE).await };
    tokio::time::sleep_until(since + LEAST_IDLE).await;
    // It may have been busy in between, and then another one is the oldest.
    if watch.idle_since() == Some(since) {
        watch.make_room();
        tokio::time::sleep(TO_LEAVE).await;
    }
}

async fn wait_for_stop(mut stop: watch::Receiver<bool>) {
    // A sender that is gone will never say stop, and nobody is left who could: stop.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Errors that say something of the connection that was to be accepted, not of the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    watch: Arc<Watch>,
    tls: Option<Tls>,
    guard: Guard,
    stop: watch::Receiver<bool>,
) {
    // Without it, an answer waits for the acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    match tls {
        None => talk(stream, peer, guard, watch, stop).await,
        Some(tls) => {
            if let Some(stream) = shake_hands(&tls, stream, peer, watch.head(), stop.clone()).await {
                talk(stream, peer, guard, watch, stop).await;
            }
        }
    }
}

/// The encrypted stream, unless the client does not shake hands in time or the daemon stops.
async fn shake_hands(
    tls: &Tls,
    stream: TcpStream,
    peer: SocketAddr,
    patience: Duration,
    stop: watch::Receiver<bool>,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    tokio::select! {
        shaken = tls.accept(stream) => match shaken {
            Ok(stream) => Some(stream),
            Err((error, stream)) => {
                tracing::debug!(peer = %peer.ip(), %error, "no TLS handshake");
                linger(stream).await;
                None
            }
        },
        () = tokio::time::sleep(patience) => {
            tracing::debug!(peer = %peer.ip(), "no TLS handshake in time");
            None
        }
        () = wait_for_stop(stop) => None,
    }
}

/// Serves the requests of one connection.
async fn talk<S>(stream: S, peer: SocketAddr, guard: Guard, watch: Arc<Watch>, stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = Connection { guard, watch: Arc::clone(&watch), peer: peer.ip().to_canonical() };
    let connection = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(Tap::new(stream, Arc::clone(&watch))), service);
    drive(connection, &watch, stop).await;
}

/// What hyper calls for each request of one connection.
struct Connection {
    guard: Guard,
    watch: Arc<Watch>,
    peer: IpAddr,
}

impl hyper::service::Service<Request<Incoming>> for Connection {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = Guarded;

    fn call(&self, request: Request<Incoming>) -> Guarded {
        let well_framed = self.watch.asked();
        let visit = Visit { peer: self.peer, uid: None, well_framed, watch: Some(Arc::clone(&self.watch)) };
        self.guard.call(request, visit)
    }
}

#[cfg(test)]
mod tests;
