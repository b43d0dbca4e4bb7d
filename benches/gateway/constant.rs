//! The `constant` baseline: the daemon's HTTP stack (axum's router on hyper), the request read
//! whole, a constant answer of the size of an echo. What HTTP alone costs.

use anyhow::Result;
use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;

use crate::{load, process};

pub(crate) async fn serve() -> Result<()> {
    let router = Router::new().route(load::PATH, post(constant));
    process::serve_connections(|stream| {
        let service = TowerToHyperService::new(router.clone());
        async move {
            let mut builder = http1::Builder::new();
            let connection = builder.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A client that closes its connection is how every one of them ends.
            connection.await.ok();
        }
    })
    .await
}

async fn constant(_body: Bytes) -> ([(HeaderName, &'static str); 1], &'static str) {
    (
        [(CONTENT_TYPE, "application/json")],
        r#"{"content":[{"type":"text","text":"constant-answer!"}],"isError":false}"#,
    )
}
