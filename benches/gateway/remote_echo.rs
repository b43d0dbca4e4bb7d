//! The MCP server behind the remote variants: Streamable HTTP on hyper, the answers of the echo child as JSON. One thread,
//! nothing kept but a session that is always the same, so that its cost is small and equal for whoever stands before it.

use std::convert::Infallible;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::echo_child::{self, Offer};
use crate::process;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The one session of a server that has sessions.
const SESSION: &str = "6a1b2f0e-the-only-session-there-is";

/// Serves until stdin ends: as a server of 2026-07-28, or of 2025-11-25 with sessions.
pub(crate) async fn serve(modern: bool) -> Result<()> {
    let offer = Offer { tools: 1, modern, filler: 0 };
    process::serve_connections(|stream| async move {
        let service = service_fn(move |request| answer(offer, request));
        // Whoever stands before it closes its connections when it likes.
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
    })
    .await
}

async fn answer(offer: Offer, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(exchange(offer, request).await.unwrap_or_else(|error| {
        let mut response = Response::new(Full::new(Bytes::from(format!("{error:#}\n"))));
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response
    }))
}

async fn exchange(offer: Offer, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let mut response = Response::new(Full::default());
    match *request.method() {
        Method::POST => {}
        Method::DELETE => return Ok(response),
        _ => {
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
            return Ok(response);
        }
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.context("reading the body")?.to_bytes();
    let mut output = Vec::with_capacity(256);
    let is_answered = echo_child::answer(&body, offer, &mut output)?;
    let opens = !offer.modern && output.windows(17).any(|part| part == b"\"protocolVersion\"");
    check(offer, &head.headers, opens)?;
    if opens {
        response.headers_mut().insert(SESSION_ID, HeaderValue::from_static(SESSION));
    }
    if is_answered {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *response.body_mut() = Full::new(output.into());
    } else {
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

/// Refuses what a correct server refuses, so that nobody is fast by leaving it out.
fn check(offer: Offer, headers: &HeaderMap, opens: bool) -> Result<()> {
    match (offer.modern, headers.get(SESSION_ID)) {
        (true, _) => {
            ensure!(headers.contains_key(METHOD), "a request of 2026-07-28 says its method in a header")
        }
        (false, Some(id)) if id == SESSION => {}
        (false, None) if opens => {}
        (false, _) => bail!("no such session"),
    }
    Ok(())
}
