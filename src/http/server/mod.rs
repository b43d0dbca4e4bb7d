//! Bytes and connections: listeners, TLS, deadlines, framing, and who gets a place. Names no route and no dialect.

mod connection;
pub(in crate::http) mod framing;
pub(in crate::http) mod listener;
pub(in crate::http) mod peer;
pub(in crate::http) mod places;
mod queue;
mod room;
pub(in crate::http) mod socket;
pub(in crate::http) mod state;
pub(in crate::http) mod tls;

use std::convert::Infallible;
use std::future::Future;

use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;

use self::peer::PeerInfo;

/// What the connections hand their requests to. Cheap to clone: each connection has one of its own.
pub(in crate::http) trait HttpService: Clone + Send + Sync + Unpin + 'static {
    /// Future of the answer. It never fails.
    type Future: Future<Output = Result<Response, Infallible>> + Send + Unpin + 'static;

    /// Answers a request.
    fn call(&self, request: Request<Incoming>, peer: PeerInfo) -> Self::Future;
}
