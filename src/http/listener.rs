//! The listening socket: accepts, bounds how many connections there are, and drains them.
//! axum's own `serve` has no deadline for a head, so a half-sent request would stay for ever.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::connection::{Patience, Tap, Watch, drive, linger};
use super::guard::{Guard, Guarded, Visit};
use super::tls::Tls;

/// The longest head, request line included, in bytes.
const MAX_HEAD: usize = 32 * 1024;

/// How long accepting rests when the process has no descriptor left for a new connection.
const OUT_OF_DESCRIPTORS_REST: Duration = Duration::from_millis(50);

/// How long the listener serves its connections and how many.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The connections' deadlines.
    pub(super) patience: Patience,
    /// How many connections may be open at once; more wait in the kernel's queue.
    pub(super) max_connections: usize,
}

/// Accepts until `stop` is true, then waits until every connection has ended. Connections
/// that serve nothing end at once; busy ones end with their answer. Dropping the future
/// closes every connection.
///
/// `count` is told how many connections are open, whenever that has changed.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    guard: Guard,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
    count: impl Fn(usize),
) {
    let places = Arc::new(Semaphore::new(bounds.max_connections));
    let mut connections = JoinSet::new();
    let mut stopped = std::pin::pin!(wait_for_stop(stop.clone()));
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                count(connections.len());
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let connection =
                    serve_one(stream, peer, place, tls.clone(), guard.clone(), bounds, stop.clone());
                connections.spawn(connection);
                count(connections.len());
            }
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections, resting");
                tokio::select! {
                    () = &mut stopped => break,
                    () = tokio::time::sleep(OUT_OF_DESCRIPTORS_REST) => {}
                }
            }
        }
    }
    drop(listener);
    while let Some(ended) = connections.join_next().await {
        report(ended);
        count(connections.len());
    }
}

async fn wait_for_stop(mut stop: watch::Receiver<bool>) {
    // A sender that is gone will never say stop, and nobody is left who could: stop.
    drop(stop.wait_for(|stop| *stop).await);
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
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
    place: OwnedSemaphorePermit,
    tls: Option<Tls>,
    guard: Guard,
    bounds: Bounds,
    stop: watch::Receiver<bool>,
) {
    let _place = place;
    // Without it, an answer waits for the acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    // From here on, so that a handshake takes its time from that of the first head.
    let watch = Arc::new(Watch::new(bounds.patience));
    match tls {
        None => talk(stream, peer, guard, watch, stop).await,
        Some(tls) => {
            if let Some(stream) = shake_hands(&tls, stream, peer, bounds.patience.head, stop.clone()).await {
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
        let visit = Visit { peer: self.peer, well_framed, watch: Some(Arc::clone(&self.watch)) };
        self.guard.call(request, visit)
    }
}

#[cfg(test)]
mod tests;
