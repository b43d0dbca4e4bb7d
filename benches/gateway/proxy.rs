//! The `proxy` baseline: a bare reverse proxy on hyper before the remote echo server. It passes requests and answers on as
//! streams over a pool of connections with the settings of the daemon's, and does nothing else: it reads no message, keeps
//! no session, checks no key and has no deadlines.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::process;

/// As long as the daemon keeps an idle connection to a remote server.
const IDLE: Duration = Duration::from_secs(4);
/// As many idle connections as the daemon keeps to a remote server: its default of `max_in_flight`.
const MAX_IDLE: usize = 256;
/// What is between two neighbours and not passed on.
const OF_ONE_HOP: [HeaderName; 4] = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE];

type Passed = Either<Incoming, Full<Bytes>>;

/// Serves until stdin ends: everything goes to `upstream`.
pub(crate) async fn serve(upstream: Uri) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<HttpConnector, Incoming> = Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(MAX_IDLE)
        .build(connector);
    process::serve_connections(|stream| {
        let (client, upstream) = (client.clone(), upstream.clone());
        async move {
            let service = service_fn(move |request| pass(client.clone(), upstream.clone(), request));
            // A client that closes its connection is how every one of them ends.
            http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
        }
    })
    .await
}

async fn pass(
    client: Client<HttpConnector, Incoming>,
    upstream: Uri,
    mut request: Request<Incoming>,
) -> Result<Response<Passed>, Infallible> {
    *request.uri_mut() = upstream;
    take_hop(request.headers_mut());
    // The client writes that of the upstream.
    request.headers_mut().remove(HOST);
    Ok(match client.request(request).await {
        Ok(mut response) => {
            take_hop(response.headers_mut());
            response.map(Either::Left)
        }
        Err(error) => {
            let text = format!("{:#}\n", anyhow::Error::new(error));
            let mut response = Response::new(Either::Right(Full::from(text)));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    })
}

fn take_hop(headers: &mut HeaderMap) {
    for name in &OF_ONE_HOP {
        headers.remove(name);
    }
}
