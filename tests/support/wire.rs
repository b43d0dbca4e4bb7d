//! A bare socket that speaks HTTP/1.1 byte by byte: for requests that no client would send, or
//! would not send in this way.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::time::timeout;

use super::DEADLINE;
use super::canaries::{Place, check_answer};
use super::gateway::Gateway;
use super::http::Reply;
use super::recording::Socket;

/// A connection of which nothing is hidden.
pub(crate) struct Wire {
    read: ReadHalf<Socket>,
    write: WriteHalf<Socket>,
    /// What was read and not yet used.
    left: Vec<u8>,
}

impl Wire {
    /// Connects.
    pub(crate) async fn open(gateway: &Gateway) -> Wire {
        let stream = gateway.raw_socket().await;
        stream.set_nodelay(true).expect("a TCP socket");
        let (read, write) = split(stream);
        Wire { read, write, left: Vec::new() }
    }

    /// Connects, sends these bytes and returns the answer.
    pub(crate) async fn exchange(gateway: &Gateway, request: impl AsRef<[u8]>) -> (Wire, Reply) {
        let mut wire = Wire::open(gateway).await;
        wire.send(request).await;
        let reply = wire.reply().await;
        (wire, reply)
    }

    /// Sends bytes. That the daemon has closed in the meantime is no failure: what it said counts.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(DEADLINE, self.write.write_all(bytes.as_ref())).await.expect("the daemon reads");
    }

    /// Sends more than the sockets hold while it waits for the answer.
    pub(crate) async fn send_much(mut self, bytes: Vec<u8>) -> (Wire, Reply) {
        let mut write = self.write;
        let sending = tokio::spawn(async move {
            let _ = write.write_all(&bytes).await;
            write
        });
        let reply = read_reply(&mut self.read, &mut self.left).await;
        let write = timeout(DEADLINE, sending).await.expect("the daemon reads or closes").expect("no panic");
        (Wire { write, ..self }, reply)
    }

    /// The next answer.
    pub(crate) async fn reply(&mut self) -> Reply {
        read_reply(&mut self.read, &mut self.left).await
    }

    /// Waits until the daemon has closed the connection without another word.
    pub(crate) async fn closed(&mut self) {
        assert_eq!(String::from_utf8_lossy(&self.rest().await), "", "nothing more is said");
    }

    /// Waits until the daemon has closed the connection, and returns what it still said.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = std::mem::take(&mut self.left);
        // A reset closes a connection as well as an orderly end does.
        let _ = timeout(DEADLINE, self.read.read_to_end(&mut rest)).await.expect("the daemon closes");
        rest
    }
}

async fn read_reply(read: &mut ReadHalf<Socket>, left: &mut Vec<u8>) -> Reply {
    let end = loop {
        if let Some(at) = left.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        more(read, left).await;
    };
    let head: Vec<u8> = left.drain(..end).collect();
    let head = String::from_utf8(head).expect("a head in ASCII");
    let mut lines = head.trim_end().split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status line: {head}"));
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line}"));
        let name: HeaderName = name.parse().expect("a header's name");
        headers.append(name, HeaderValue::from_str(value.trim()).expect("a header's value"));
    }
    let length = headers.get("content-length").map_or("0", |length| length.to_str().expect("ASCII"));
    let length: usize = length.parse().expect("a length");
    while left.len() < length {
        more(read, left).await;
    }
    let body: Bytes = left.drain(..length).collect::<Vec<u8>>().into();
    check_answer(Place::SomeAnswer, &headers, &body);
    Reply { status, headers, body }
}

async fn more(read: &mut ReadHalf<Socket>, left: &mut Vec<u8>) {
    let mut piece = [0; 4096];
    let count = timeout(DEADLINE, read.read(&mut piece)).await.expect("the daemon answers");
    let count = count.expect("the connection holds");
    assert!(count > 0, "closed in the middle of an answer, after {:?}", String::from_utf8_lossy(left));
    left.extend_from_slice(&piece[..count]);
}

/// A request with a JSON body, as text.
pub(crate) fn post(path: &str, key: &str, body: &str) -> Bytes {
    request(&format!("POST {path}"), key, body)
}

/// The bytes of a request with this method and path.
pub(crate) fn request(method_and_path: &str, key: &str, body: &str) -> Bytes {
    let length = body.len();
    format!(
        "{method_and_path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into()
}
