//! The listening socket: it accepts connections, limits their number, and drains them.
//! axum's own `serve` has no deadline for a head, so a half-sent request would stay for ever.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Request;
use bytes::BytesMut;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::server::HttpService;
use crate::http::server::call::{BUFFERED, Call, MAX_HEAD};
use crate::http::server::connection::{ObservedIo, drive, drive_plain, linger};
use crate::http::server::peer::{Peer, PeerInfo};
use crate::http::server::places::Places;
use crate::http::server::plain::Plain;
use crate::http::server::rewound::Rewound;
use crate::http::server::room::{AdmittedConnection, Room};
use crate::http::server::state::{ConnectionState, Timeouts};
use crate::http::server::tls::Tls;

/// Pause in accepting when the process has no descriptor left for a new connection.
pub(in crate::http) const OUT_OF_DESCRIPTORS_REST: Duration = Duration::from_millis(50);

/// Limits on the connections of a listener: their deadlines and their number.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct ConnectionLimits {
    /// Deadlines of each connection.
    pub(in crate::http) patience: Timeouts,
    /// Number of connections that are served at once, and that may wait for a place.
    pub(in crate::http) places: Places,
}

/// Accepts until `stop` is true, then waits until every connection has ended. Connections
/// that serve nothing end at once; busy ones end with their answer. Dropping the future
/// closes every connection.
///
/// When all places are taken, further connections are accepted and wait for one, and those that serve nothing make
/// room for them (`places`). `count` is called with the number of served connections whenever it has changed.
pub(in crate::http) async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    service: impl HttpService,
    bounds: ConnectionLimits,
    stop: watch::Receiver<bool>,
    count: impl Fn(usize),
) {
    let mut connections = JoinSet::new();
    let mut room = Room::new(bounds.places, bounds.patience, tls.is_none());
    let mut stopped = std::pin::pin!(wait_for_stop(stop.clone()));
    loop {
        while let Some(entering) = room.enter(connections.len()) {
            spawn(&mut connections, entering, tls.as_ref(), service.clone(), stop.clone());
            count(connections.len());
        }
        // Not in the select below: its last branch runs only once no connection is left to be accepted.
        if room.is_crowded() && room.make_room().await {
            continue;
        }
        let takes_more = room.takes_more();
        tokio::select! {
            biased;
            () = &mut stopped => break,
            Some(ended) = connections.join_next() => {
                report(ended);
                count(connections.len());
            }
            accepted = listener.accept(), if takes_more => match accepted {
                Ok((stream, peer)) => room.arrive(stream, peer),
                Err(error) if is_about_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections, resting");
                    room.make_room_for_anybody();
                    tokio::select! {
                        () = &mut stopped => break,
                        () = tokio::time::sleep(OUT_OF_DESCRIPTORS_REST) => {}
                    }
                }
            },
            () = room.until_look(), if room.is_crowded() => {}
        }
    }
    drop((listener, room));
    while let Some(ended) = connections.join_next().await {
        report(ended);
        count(connections.len());
    }
}

pub(in crate::http) async fn wait_for_stop(mut stop: watch::Receiver<bool>) {
    // A dropped sender can never say stop any more, so it counts as a stop.
    drop(stop.wait_for(|stop| *stop).await);
}

/// Reports whether an error concerns only the connection that was to be accepted, not the listener.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

pub(in crate::http) fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// Serves a connection that was let in. With and without TLS it is a future of its own: one for both would keep a place for a
/// handshake in each connection without.
fn spawn(
    connections: &mut JoinSet<()>,
    entering: AdmittedConnection,
    tls: Option<&Tls>,
    service: impl HttpService,
    stop: watch::Receiver<bool>,
) {
    let AdmittedConnection { stream, peer, watch, seat } = entering;
    // Without it, an answer waits until the client has acknowledged the one before.
    drop(stream.set_nodelay(true));
    let client = Arc::new(match stream.local_addr() {
        Ok(own) => Peer::of_tcp(own, peer),
        Err(_) => Peer::at(peer.ip().to_canonical()),
    });
    let call = Call { peer: client, service, watch, only_one: seat.is_reserve };
    match tls.cloned() {
        None => connections.spawn(async move {
            serve_connection(stream, call, stop).await;
            drop(seat);
        }),
        Some(tls) => connections.spawn(async move {
            let watch = Arc::clone(&call.watch);
            watch.shakes(true);
            if let Some(stream) = handshake(&tls, stream, peer, &watch, stop.clone()).await {
                watch.shakes(false);
                serve_connection(stream, call, stop).await;
            }
            drop(seat);
        }),
    };
}

/// Returns the encrypted stream; `None` if the handshake fails or does not end in time, if the connection is told to
/// make room, or if the daemon stops.
async fn handshake(
    tls: &Tls,
    stream: TcpStream,
    peer: SocketAddr,
    watch: &ConnectionState,
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
        () = watch.told_to_leave() => None,
        () = tokio::time::sleep(watch.head()) => {
            tracing::debug!(peer = %peer.ip(), "no TLS handshake in time");
            None
        }
        () = wait_for_stop(stop) => None,
    }
}

/// Serves the requests of one connection: plain ones here, and what is not plain by hyper.
pub(in crate::http) async fn serve_connection<S, H>(stream: S, call: Call<H>, stop: watch::Receiver<bool>)
where
    H: HttpService,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, read, call) = match call.only_one {
        // What asks whether the daemon is there.
        true => (stream, BytesMut::new(), call),
        false => match drive_plain(Box::new(Plain::new(stream, call)), stop.clone()).await {
            Some(odd) => odd,
            None => return,
        },
    };
    // In a box: few connections need it, and each keeps a place for it.
    Box::pin(serve_with_hyper(Rewound::new(read, stream), call, stop)).await;
}

/// Serves the requests of one connection with hyper.
async fn serve_with_hyper<S, H>(stream: S, call: Call<H>, stop: watch::Receiver<bool>)
where
    H: HttpService,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Call { peer, service, watch, only_one } = call;
    let service = Connection { service, watch: Arc::clone(&watch), peer };
    let connection = http1::Builder::new()
        .max_header_size(MAX_HEAD)
        .max_buf_size(BUFFERED)
        .keep_alive(!only_one)
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(ObservedIo::new(stream, Arc::clone(&watch))), service);
    drive(connection, &watch, stop).await;
}

/// Service that hyper calls for each request of one connection.
struct Connection<H> {
    service: H,
    watch: Arc<ConnectionState>,
    peer: Arc<Peer>,
}

impl<H: HttpService> hyper::service::Service<Request<Incoming>> for Connection<H> {
    type Response = axum::response::Response;
    type Error = Infallible;
    type Future = H::Future;

    fn call(&self, request: Request<Incoming>) -> H::Future {
        let misframed = self.watch.asked(request.version());
        let visit =
            PeerInfo { peer: Arc::clone(&self.peer), misframed, watch: Some(Arc::clone(&self.watch)) };
        let (head, body) = request.into_parts();
        self.service.answer(Arc::new(head.into()), body.into(), visit)
    }
}

#[cfg(test)]
mod tests;
