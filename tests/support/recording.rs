//! The answers that the tests get, written down so that two builds can be compared: where a variable names a folder,
//! each test has a file there with a line of JSON for each exchange, which `compare_answers.py` reads. Without the
//! variable nothing is kept and nothing is written.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::http::Reply;

/// Names the folder.
const VARIABLE: &str = "MCPVISOR_TEST_RECORD";
/// So much is written down of a body, and of what a socket has said in either direction.
const MAX_KEPT: usize = 1024 * 1024;

static FOLDER: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
    let folder = PathBuf::from(std::env::var_os(VARIABLE).filter(|folder| !folder.is_empty())?);
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    Some(folder)
});

/// The test that each port belongs to. The threads of a runtime ask here, since only a test's own thread has its name.
static TESTS: Mutex<BTreeMap<u16, String>> = Mutex::new(BTreeMap::new());

/// Whether answers are written down.
pub(crate) fn is_on() -> bool {
    FOLDER.is_some()
}

/// Notes that the test of this thread has a daemon or a proxy at this address.
pub(crate) fn listens(address: SocketAddr) {
    if let (true, Some(test)) = (is_on(), test_of_thread()) {
        TESTS.lock().unwrap_or_else(PoisonError::into_inner).insert(address.port(), test);
    }
}

/// The name of this thread where it is a test's, with its modules.
fn test_of_thread() -> Option<String> {
    std::thread::current().name().filter(|name| name.contains("::")).map(str::to_owned)
}

/// Writes down an answer to a request; `None` for a connection that ended instead.
pub(crate) fn answered(port: u16, asked: (&str, &str, &HeaderMap, &[u8]), reply: Option<&Reply>) {
    let (method, path, headers, body) = asked;
    let mut line =
        json!({"method": method, "path": path, "asked_headers": listed(headers), "asked": shown(body)});
    line["status"] = reply.map_or(0, |reply| reply.status).into();
    if let Some(reply) = reply {
        line["headers"] = listed(&reply.headers);
        line["body"] = shown(&reply.body);
    }
    write(port, line);
}

/// Writes down what went over a connection, and whether its end was read.
pub(crate) fn spoken(port: u16, sent: &[u8], received: &[u8], ended: bool) {
    if is_on() && !(sent.is_empty() && received.is_empty()) {
        write(port, json!({"sent": shown(sent), "received": shown(received), "ended": ended}));
    }
}

/// Writes down what another program was answered, a status and the beginning of a body for each request.
pub(crate) fn asked_elsewhere(wish: &Value, answers: &Value) {
    let (Some(requests), Some(answers), true) = (wish["requests"].as_array(), answers.as_array(), is_on())
    else {
        return;
    };
    let port = wish["port"].as_u64().and_then(|port| port.try_into().ok()).unwrap_or(0);
    for (request, answer) in requests.iter().zip(answers) {
        let mut line = json!({"method": request["method"], "path": request["path"], "asked_headers": request["headers"]});
        line["asked"] = request["body"].clone();
        line["status"] = answer[0].clone();
        line["body"] = answer[1].clone();
        write(port, line);
    }
}

fn write(port: u16, mut line: Value) {
    let Some(folder) = &*FOLDER else { return };
    let tests = TESTS.lock().unwrap_or_else(PoisonError::into_inner);
    let test = test_of_thread().or_else(|| tests.get(&port).cloned()).unwrap_or_else(|| "unknown".to_owned());
    let path = folder.join(format!("{}.jsonl", test.replace("::", ".")));
    line["test"] = test.into();
    // Still under the lock, so that lines of one file do not mix.
    let file = OpenOptions::new().create(true).append(true).open(&path);
    let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

fn listed(headers: &HeaderMap) -> Value {
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        json!([name.as_str(), String::from_utf8_lossy(value.as_bytes())])
    };
    headers.iter().map(header).collect()
}

/// Text as it is, anything else in base64; what is too long says its length and only how it begins.
fn shown(bytes: &[u8]) -> Value {
    let kept = &bytes[..bytes.len().min(MAX_KEPT)];
    let text = std::str::from_utf8(kept);
    match text {
        Ok(text) if kept.len() == bytes.len() => text.into(),
        Ok(text) => json!({"length": bytes.len(), "text": text}),
        Err(_) => json!({"length": bytes.len(), "base64": BASE64_STANDARD.encode(kept)}),
    }
}

/// A bare socket to the daemon.
pub(crate) type Socket = Recorded<TcpStream>;

/// A stream whose bytes are written down when it is dropped.
#[derive(Debug)]
pub(crate) struct Recorded<S> {
    stream: S,
    port: u16,
    /// `None` where nothing is to be written down.
    kept: Option<Box<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    sent: Vec<u8>,
    received: Vec<u8>,
    ended: bool,
}

impl<S> Recorded<S> {
    /// A stream to somebody who listens there.
    pub(crate) fn new(stream: S, address: SocketAddr) -> Recorded<S> {
        Recorded { stream, port: address.port(), kept: is_on().then(Box::default) }
    }
}

impl<S> Deref for Recorded<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S> Drop for Recorded<S> {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            spoken(self.port, &kept.sent, &kept.received, kept.ended);
        }
    }
}

/// Keeps one byte more than is written down, by which what is too long is known.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = (MAX_KEPT + 1).saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

impl<S: AsyncRead + Unpin> AsyncRead for Recorded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if let Some(kept) = &mut self.kept {
            let new = &buffer.filled()[before..];
            kept.ended |= new.is_empty() && room > 0;
            keep(&mut kept.received, new);
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Recorded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        if let Some(kept) = &mut self.kept {
            keep(&mut kept.sent, &bytes[..count]);
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
