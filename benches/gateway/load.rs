//! The load generator: as many keep-alive connections as there are to be calls in flight, each
//! with one call at a time, on one thread. It writes a prepared request with a fresh nonce in it
//! and reads only what tells a right answer: the status, the length and the nonce.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hyper::Uri;
use memchr::memmem;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};

use crate::echo_child::FILLER;
use crate::options::{Kind, PeerOptions};
use crate::upstream;

/// The path that every variant answers.
pub(crate) const PATH: &str = "/v1/mcp/invoke";

const NONCE_LENGTH: usize = 16;
/// Stands for the id of a call where the calls of all connections are of one session; each connection has one of its own.
const ID: &str = "id-of-a-connection";
/// Bytes of an answer beside its text, which `/v1` has twice.
const ANSWER_LIMIT: usize = 64 * 1024;
/// An answer that has not come this long after the end of a turn never comes.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
const RETRY_AFTER: Duration = Duration::from_millis(50);

static NEXT_NONCE: AtomicU64 = AtomicU64::new(1);

/// Where to send calls and what a right answer is.
pub(crate) struct Target {
    address: SocketAddr,
    request: Arc<Request>,
    /// Whether it says at `/readyz` when its servers have started.
    waits: bool,
}

/// A request whose nonce is written over for each call.
struct Request {
    bytes: Vec<u8>,
    nonce_at: usize,
    /// Whether the answer must carry the nonce back.
    echoes: bool,
    /// Bytes of filler after it.
    filler: usize,
}

impl Target {
    /// Describes the calls of a variant.
    pub(crate) fn new(address: SocketAddr, key: Option<&str>, kind: Kind, filler: usize) -> Target {
        let authorization = key.map_or(String::new(), |key| format!("authorization: Bearer {key}\r\n"));
        let shape = match kind {
            Kind::Modern | Kind::RemoteMcp => modern("/mcp/echo", "echo"),
            Kind::Proxy => modern(upstream::PATH, "echo"),
            Kind::Aggregate => modern("/mcp", "echo__echo"),
            _ => {
                let before = r#"{"mcp_id":"echo","tool":"echo","arguments":{"nonce":""#;
                (PATH, String::new(), before.to_owned(), r#""}}"#)
            }
        };
        // Another build may be from before there was such a thing.
        let waits = kind.is_daemon() && !kind.is_beside();
        Target::of_shape(address, &authorization, shape, (kind != Kind::Constant, filler), waits)
    }

    /// Describes the calls of another gateway.
    pub(crate) fn of_peer(address: SocketAddr, peer: &PeerOptions) -> Target {
        let path = peer.peer_url.as_ref().map_or("/", Uri::path);
        let headers: String = peer.peer_header.iter().map(|header| format!("{header}\r\n")).collect();
        let headers = format!("accept: application/json, text/event-stream\r\n{headers}");
        let tool = &peer.peer_tool;
        let before = format!(
            r#"{{"jsonrpc":"2.0","id":"{ID}","method":"tools/call","params":{{"name":"{tool}","arguments":{{"nonce":""#
        );
        Target::of_shape(address, "", (path, headers, before, r#""}}}"#), (true, 0), false)
    }

    fn of_shape(
        address: SocketAddr,
        authorization: &str,
        (path, headers, before, after): Shape<'_>,
        (echoes, filler): (bool, usize),
        waits: bool,
    ) -> Target {
        let length = before.len() + NONCE_LENGTH + after.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {address}\r\n{authorization}{headers}content-type: application/json\r\n\
             content-length: {length}\r\n\r\n{before}"
        );
        let nonce_at = head.len();
        let bytes = format!("{head}{:0NONCE_LENGTH$}{after}", 0).into_bytes();
        Target { address, request: Arc::new(Request { bytes, nonce_at, echoes, filler }), waits }
    }
}

/// The path of a call, its headers, and its body before and after the nonce.
type Shape<'a> = (&'a str, String, String, &'static str);

fn modern(path: &'static str, tool: &str) -> Shape<'static> {
    let headers = format!(
        "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n\
         mcp-method: tools/call\r\nmcp-name: {tool}\r\n"
    );
    let before = format!(
        r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{tool}","arguments":{{"nonce":""#
    );
    let after = concat!(
        r#""},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","#,
        r#""io.modelcontextprotocol/clientCapabilities":{}}}}"#
    );
    (path, headers, before, after)
}

/// Waits until every server has started, and calls until the first right answer; what was wrong last otherwise.
pub(crate) async fn wait_until_ready(target: &Target, within: Duration) -> Result<()> {
    let deadline = Instant::now() + within;
    let mut last_error = None;
    loop {
        let attempt = timeout_at(deadline, async {
            let mut connection = Connection::open(target).await?;
            if target.waits {
                connection.ready().await?;
            }
            connection.call().await
        });
        match attempt.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if Instant::now() > deadline => return Err(error),
            Ok(Err(error)) => last_error = Some(error),
            Err(_) => return Err(last_error.unwrap_or_else(|| anyhow!("no answer within {within:?}"))),
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// What a turn brought: how long each call took whose answer came within the window, in
/// nanoseconds. All answers were right, also those outside the window.
pub(crate) struct Answers {
    pub(crate) latencies: Vec<u32>,
}

/// A turn under way.
pub(crate) struct Load {
    measured_from: Instant,
    measured_until: Instant,
    connections: JoinSet<Result<Vec<u32>>>,
}

impl Load {
    /// Opens the connections, then starts calling: for `warm_up` unmeasured, then for `window`.
    pub(crate) async fn start(
        target: &Target,
        in_flight: usize,
        warm_up: Duration,
        window: Duration,
    ) -> Result<Load> {
        let mut open = Vec::with_capacity(in_flight);
        for _ in 0..in_flight {
            open.push(Connection::open(target).await?);
        }
        let measured_from = Instant::now() + warm_up;
        let measured_until = measured_from + window;
        let mut connections = JoinSet::new();
        for connection in open {
            connections.spawn(connection.call_until(measured_from, measured_until));
        }
        Ok(Load { measured_from, measured_until, connections })
    }

    pub(crate) fn measured_from(&self) -> Instant {
        self.measured_from
    }

    pub(crate) fn measured_until(&self) -> Instant {
        self.measured_until
    }

    /// Waits for the last answers. An error if any answer of the turn was wrong or missing; it
    /// says how many connections saw one and what the first was.
    pub(crate) async fn finish(mut self) -> Result<Answers> {
        let deadline = self.measured_until + LAST_ANSWER_WITHIN;
        let mut latencies = Vec::new();
        let mut first_error = None;
        let mut failed = 0_usize;
        while let Some(joined) = timeout_at(deadline, self.connections.join_next())
            .await
            .with_context(|| format!("{} answers never came", self.connections.len()))?
        {
            match joined.context("a connection's task died")? {
                Ok(mut of_connection) => latencies.append(&mut of_connection),
                Err(error) => {
                    failed += 1;
                    first_error.get_or_insert(error);
                }
            }
        }
        match first_error {
            Some(error) => Err(error.context(format!("{failed} connections had a wrong answer; the first"))),
            None => Ok(Answers { latencies }),
        }
    }
}

struct Connection {
    stream: TcpStream,
    request: Arc<Request>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Result<Connection> {
        let connecting = timeout(LAST_ANSWER_WITHIN, TcpStream::connect(target.address));
        let stream = connecting.await.context("connecting takes too long")?.context("connecting")?;
        stream.set_nodelay(true)?;
        let request = target.request.clone();
        let mut outgoing = request.bytes.clone();
        if let Some(id_at) = memmem::find(&outgoing, ID.as_bytes()) {
            let own = &mut outgoing[id_at..id_at + ID.len()];
            own.fill(b'x');
            own[..NONCE_LENGTH].copy_from_slice(&fresh_nonce());
        }
        let incoming = vec![0; ANSWER_LIMIT + 2 * request.filler];
        Ok(Connection { stream, request, outgoing, incoming })
    }

    /// One call after the other. Ends with the first answer after `until`, or a wrong one.
    async fn call_until(mut self, from: Instant, until: Instant) -> Result<Vec<u32>> {
        let mut latencies = Vec::with_capacity(4096);
        let mut sent = Instant::now();
        loop {
            self.call().await?;
            let answered = Instant::now();
            if answered > until {
                return Ok(latencies);
            }
            if answered >= from {
                latencies.push(u32::try_from((answered - sent).as_nanos()).unwrap_or(u32::MAX));
            }
            sent = answered;
        }
    }

    /// One call and its answer, checked.
    async fn call(&mut self) -> Result<()> {
        let nonce = fresh_nonce();
        let (start, end) = (self.request.nonce_at, self.request.nonce_at + NONCE_LENGTH);
        self.outgoing.get_mut(start..end).context("no place for the nonce")?.copy_from_slice(&nonce);
        send(&self.stream, &self.outgoing).await.context("sending a call")?;
        let (echoes, filler) = (self.request.echoes, self.request.filler);
        let body = self.answer().await?;
        let right = if echoes { is_text(body, &nonce, filler) } else { !body.is_empty() };
        ensure!(right, "the answer to another call, or to none: {}", shown(body));
        Ok(())
    }

    /// Asks whether every server has started. An error if not.
    async fn ready(&mut self) -> Result<()> {
        send(&self.stream, b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await?;
        self.answer().await.map(drop)
    }

    /// Waits for one answer and returns its body. An error if it is no success.
    async fn answer(&mut self) -> Result<&[u8]> {
        let mut filled = 0;
        let body_at = loop {
            filled += self.receive(filled).await?;
            let received = self.incoming.get(..filled).unwrap_or_default();
            match head_of(received)? {
                None => {}
                Some((body_at, Some(length))) => {
                    ensure!(filled <= body_at + length, "more bytes than one answer: {}", shown(received));
                    if filled == body_at + length {
                        break body_at;
                    }
                }
                // In chunks, of which the last is empty. No answer has that text in it.
                Some((body_at, None)) if received.ends_with(b"\r\n0\r\n\r\n") => break body_at,
                Some((_, None)) => {}
            }
        };
        let received = self.incoming.get(..filled).unwrap_or_default();
        ensure!(received.starts_with(b"HTTP/1.1 200 "), "not a success: {}", shown(received));
        Ok(received.get(body_at..).unwrap_or_default())
    }

    /// Waits before it reads: right after a request there is nothing to read yet.
    async fn receive(&mut self, filled: usize) -> Result<usize> {
        let room = self.incoming.get_mut(filled..).unwrap_or_default();
        ensure!(!room.is_empty(), "an answer longer than {filled} bytes");
        loop {
            self.stream.readable().await.context("waiting for an answer")?;
            match self.stream.try_read(room) {
                Ok(0) => bail!("the connection was closed in the middle of a call"),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("reading an answer"),
            }
        }
    }
}

/// Reports whether every text that begins with the nonce goes on with so much filler and nothing else, and there is one.
fn is_text(body: &[u8], nonce: &[u8], filler: usize) -> bool {
    let mut found = memmem::find_iter(body, nonce).peekable();
    found.peek().is_some()
        && found.all(|at| {
            let rest = body.get(at + nonce.len()..).unwrap_or_default();
            let (text, after) = rest.split_at_checked(filler).unwrap_or_default();
            text.len() == filler && text.iter().all(|byte| *byte == FILLER) && after.starts_with(b"\"")
        })
}

async fn send(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn fresh_nonce() -> [u8; NONCE_LENGTH] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut number = NEXT_NONCE.fetch_add(1, Ordering::Relaxed);
    let mut nonce = [b'0'; NONCE_LENGTH];
    for place in nonce.iter_mut().rev() {
        *place = DIGITS[(number & 0xf) as usize];
        number >>= 4;
    }
    nonce
}

/// Where the body starts and how long it is, once the whole head is there; no length of one that comes in chunks.
fn head_of(received: &[u8]) -> Result<Option<(usize, Option<usize>)>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    let head = received.get(..end).unwrap_or_default();
    let value = |wanted: &[u8]| {
        memchr::memchr_iter(b'\n', head).find_map(|newline| {
            let line = head.get(newline + 1..)?;
            let name = line.get(..wanted.len())?;
            name.eq_ignore_ascii_case(wanted).then(|| line.get(wanted.len()..))?
        })
    };
    let length = value(CONTENT_LENGTH);
    if length.is_none() && value(CHUNKED).is_some() {
        return Ok(Some((end + 4, None)));
    }
    let length = length.with_context(|| format!("an answer without content-length: {}", shown(received)))?;
    let digits = length.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let digits = std::str::from_utf8(digits).context("a content-length that is no text")?;
    let length = digits.trim().parse().context("a content-length that is no number")?;
    Ok(Some((end + 4, Some(length))))
}

const CONTENT_LENGTH: &[u8] = b"content-length:";
const CHUNKED: &[u8] = b"transfer-encoding: chunked";

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..bytes.len().min(600)).unwrap_or_default()).into_owned()
}
