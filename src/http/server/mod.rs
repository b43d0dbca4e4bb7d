//! Bytes and connections: listeners, TLS, deadlines, framing, and who gets a place. Names no route and no dialect.

mod call;
mod connection;
mod driven;
pub(in crate::http) mod framing;
mod known_head;
pub(in crate::http) mod listener;
mod parse;
pub(in crate::http) mod peer;
pub(in crate::http) mod places;
mod plain;
mod queue;
mod reply;
pub(in crate::http) mod request_body;
mod rewound;
mod room;
pub(in crate::http) mod socket;
pub(in crate::http) mod state;
pub(in crate::http) mod tls;

use std::convert::Infallible;
use std::future::Future;

use std::sync::Arc;

use axum::response::Response;

use self::peer::PeerInfo;
use self::request_body::RequestBody;
use crate::http::core::head::RequestHead;

/// What the connections hand their requests to. Cheap to clone: each connection has one of its own.
pub(in crate::http) trait HttpService: Clone + Send + Sync + Unpin + 'static {
    /// Future of the answer. It never fails.
    type Future: Future<Output = Result<Response, Infallible>> + Send + Unpin + 'static;

    /// Answers a request.
    fn answer(&self, head: Arc<RequestHead>, body: RequestBody, peer: PeerInfo) -> Self::Future;
}
