//! An HTTP/1.1 client made by hand: connections are values, so that a test can hold a hundred of
//! them, keep one alive over many calls, and close one in the middle of a call.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::canaries::{self, Place, check_answer};
use super::recording;

/// No answer takes longer: beyond the longest deadline that the daemon itself keeps.
const REPLY_TIMEOUT: Duration = Duration::from_secs(330);

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// The body as JSON. Panics when it is something else: every reply of the gateway is JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }

    /// The body as text, for messages.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, after the status was what it should be.
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.json()
    }
}

/// One connection. Dropping it closes the socket at once, whatever is going on.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
    port: u16,
    headers: Vec<(String, String)>,
}

impl Connection {
    /// Connects; every request carries the given headers.
    pub(crate) async fn open(address: SocketAddr, headers: &[(&str, &str)]) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        let driver = tokio::spawn(async move {
            // How a connection ends is told to whoever waits for an answer on it.
            let _ = connection.await;
        });
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Connection { sender, driver, host: address.to_string(), port: address.port(), headers })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Reply, hyper::Error> {
        let headers: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        let carrying = body.and_then(|body| canaries::into_call(path, body));
        let body = carrying.as_ref().or(body).map(Value::to_string).unwrap_or_default();
        self.send_bytes(method, path, headers, Bytes::from(body)).await
    }

    /// Sends a request with these headers and bytes, and waits for the whole answer. A `host`
    /// among the headers takes the place of the usual one.
    pub(crate) async fn send_bytes(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Reply, hyper::Error> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", &self.host);
        }
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            request = request.header(name, value);
        }
        for (name, value) in canaries::headers() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.clone())).expect("a valid request");
        let asked = recording::is_on().then(|| request.headers().clone());
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
        };
        let reply = timeout(REPLY_TIMEOUT, exchange)
            .await
            .unwrap_or_else(|_| panic!("{method} {path}: no answer in {REPLY_TIMEOUT:?}"));
        if let Some(headers) = asked {
            recording::answered(self.port, (method, path, &headers, &body), reply.as_ref().ok());
        }
        if let Ok(Reply { status, headers, body: answer }) = &reply {
            check_answer(Place::Answer { method, path, request: &body, status: *status }, headers, answer);
        }
        reply
    }

    /// Sends a request and returns the head of the answer, and its body to be read piece by piece.
    pub(crate) async fn begin(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Result<(u16, HeaderMap, Incoming), hyper::Error> {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", &self.host);
        }
        for (name, value) in headers {
            request = request.header(name, value);
        }
        for (name, value) in canaries::headers() {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body)).expect("a valid request");
        self.sender.ready().await?;
        let response = timeout(REPLY_TIMEOUT, self.sender.send_request(request)).await;
        let (head, body) = response.unwrap_or_else(|_| panic!("{method} {path}: no answer"))?.into_parts();
        Ok((head.status.as_u16(), head.headers, body))
    }

    /// Whether another request can go over it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.sender.is_closed()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
