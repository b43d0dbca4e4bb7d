//! Checks that `make fuzz` and the tests run on the parts of the front that read untrusted input.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::edge::{Checked, Policy};
use crate::http::server::framing::Framing;

/// Reads a connection's bytes with [`Framing`] and with hyper. hyper must see no request that the framing does
/// not see in the same place, or else a request could be smuggled past the check of heads. Behind the first head
/// that is refused the guard serves nothing, so there they may differ.
pub(crate) fn heads(bytes: &[u8]) {
    let mut framing = Framing::new();
    let (mut seen, mut begun): (Vec<&[u8]>, Option<usize>) = (Vec::new(), None);
    for (at, byte) in bytes.iter().enumerate() {
        framing.feed(std::slice::from_ref(byte));
        match (framing.mid_head(), begun) {
            (true, None) => begun = Some(at),
            (false, Some(from)) => {
                // Empty lines before a head are no head.
                if bytes[from..=at].iter().any(|byte| !b"\r\n".contains(byte)) {
                    seen.push(&bytes[from..=at]);
                }
                begun = None;
            }
            _ => {}
        }
    }
    let mut whole = Framing::new();
    whole.feed(bytes);
    assert_eq!(whole.bad_head(), framing.bad_head(), "cuts matter");
    assert_eq!(whole.mid_head(), framing.mid_head(), "cuts matter");

    let served = served_by_hyper(bytes);
    // The bad head itself is handed to the guard, which refuses it.
    let known = framing.bad_head().map_or(u64::MAX, |(bad, _)| bad);
    for (index, (method, target)) in served.iter().enumerate() {
        if index as u64 + 1 >= known {
            break;
        }
        let Some(head) = seen.get(index) else {
            panic!("hyper serves a request {method} {target}, number {index}, where no head was seen");
        };
        let line = String::from_utf8_lossy(head);
        let line = line.trim_start_matches(['\r', '\n']);
        let fits = line.strip_prefix(method.as_str()).is_some_and(|rest| rest.starts_with(' '));
        assert!(fits, "hyper's request {index} is {method} {target}, and the head seen is {line:?}");
    }
}

/// Returns the method and target of each request that hyper hands out. Each body is read to its end.
fn served_by_hyper(bytes: &[u8]) -> Vec<(String, String)> {
    thread_local! {
        static RUNTIME: Option<tokio::runtime::Runtime> =
            tokio::runtime::Builder::new_current_thread().build().ok();
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = seen.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let named = (request.method().to_string(), request.uri().to_string());
        note.lock().unwrap_or_else(PoisonError::into_inner).push(named);
        async move {
            let mut response = Response::new(Empty::<Bytes>::new());
            if request.into_body().collect().await.is_err() {
                *response.status_mut() = axum::http::StatusCode::BAD_REQUEST;
            }
            Ok::<_, Infallible>(response)
        }
    });
    let serving = async {
        let (mut client, server) = tokio::io::duplex(64 * 1024 + bytes.len());
        // The pipe has room for answers that nobody reads: a few hundred requests fit into an input.
        let sent = client.write_all(bytes).await;
        assert!(sent.is_ok(), "there is room for all of it");
        let closed = client.shutdown().await;
        assert!(closed.is_ok(), "a pipe can be closed");
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::pin!(connection);
        let reading = async {
            let mut client = client;
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        };
        tokio::pin!(reading);
        // An error of the connection ends it like any other end.
        tokio::select! {
            _ = &mut connection => {}
            () = &mut reading => {}
        }
    };
    RUNTIME.with(|runtime| runtime.as_ref().map(|runtime| runtime.block_on(serving)));
    Arc::try_unwrap(seen)
        .map(|seen| seen.into_inner().unwrap_or_else(PoisonError::into_inner))
        .unwrap_or_default()
}

/// Judges a request by `Host` (the first line), `Origin` (the second, if there is one) and target (the third).
/// Only this machine's loopback may be taken for it, and another name passes only if listed.
pub(crate) fn origins(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut value = || lines.next().and_then(|line| HeaderValue::from_bytes(line).ok());
    let (host, origin, target) = (value(), value(), value());
    let target = target.as_ref().and_then(|target| target.to_str().ok()?.parse::<Uri>().ok());
    let uri = target.unwrap_or_else(|| Uri::from_static("/"));
    let mut headers = HeaderMap::new();
    if let Some(host) = &host {
        headers.append(HOST, host.clone());
    }
    if let Some(origin) = origin.as_ref().filter(|origin| !origin.is_empty()) {
        headers.append(ORIGIN, origin.clone());
    }
    let listed = ["gateway.example".to_owned(), "other.example:8443".to_owned()];
    let policy = |bound, hosts: &[String]| Policy::new(bound, hosts, &["https://gui.example".to_owned()]);

    let near = policy(true, &listed).check(&uri, &headers);
    let wide = policy(false, &listed).check(&uri, &headers);
    if let Ok(near) = near {
        assert_eq!(wide, Ok(near), "a wider listener refuses or judges otherwise");
    }
    // A listed host never makes a request local.
    let none = policy(true, &[]).check(&uri, &headers);
    let loopback = |checked: Result<Checked, _>| checked.is_ok_and(|checked| checked.loopback);
    assert_eq!(loopback(none), loopback(near), "what is listed changes what is near");
    if loopback(near) {
        let text = host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or_default();
        assert!(is_loopback(text), "{text:?} is taken for this machine");
        let origin = origin.as_ref().filter(|it| !it.is_empty()).and_then(|it| it.to_str().ok());
        if let Some(origin) = origin {
            let page = origin.split_once("://").map(|(_, host)| host).unwrap_or_default();
            assert!(is_loopback(page), "{origin:?} is taken for a page of this machine");
        }
    }
}

/// Answers the same question with the standard library's parsers.
fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::SocketAddr>().map(|it| it.ip()).ok();
    let bare = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let without_port = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let named = without_port.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let known = [address, bare, named];
    known.into_iter().flatten().any(|ip: std::net::IpAddr| ip.to_canonical().is_loopback())
        || without_port.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}
