//! Tests of the listener over real sockets, before routes of the tests' own.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::routing::{get, post};
use axum::{Extension, Router};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::gateway::AuditHandle;
use crate::http::DIALECTS;
use crate::http::core::context::RequestContext;
use crate::http::core::head::RequestHead;
use crate::http::edge::{Guard, Policy};
use crate::http::server::places::MIN_HELD;
use crate::http::server::request_body::RequestBody;
use crate::http::server::state::LEFT_GRACE;

/// Limit on each step, far above the time it takes; it only keeps a broken test from hanging.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    /// Signal that a request is in the handler of `/wait`.
    entered: Arc<Notify>,
    /// Signal that lets `/wait` answer.
    release: Arc<Notify>,
    /// Signal that the request in `/wait` was given up or has ended.
    dropped: Arc<Notify>,
}

/// A body of what comes through a channel.
struct Pieces(mpsc::Receiver<Bytes>);

impl Pieces {
    /// Makes a body of the pieces that a task sends.
    fn of<F>(send: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Body
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, pieces) = mpsc::channel(4);
        tokio::spawn(send(sender));
        Body::new(Pieces(pieces))
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn places(all: usize) -> Places {
    Places { all, per_address: all, waiting: all }
}

fn bounds() -> ConnectionLimits {
    let patience = Timeouts { head: TEST_TIMEOUT * 10, idle: TEST_TIMEOUT * 10, write: TEST_TIMEOUT * 10 };
    ConnectionLimits { patience, places: places(8) }
}

async fn start(bounds: ConnectionLimits) -> Server {
    let [entered, release, dropped] = [(); 3].map(|()| Arc::new(Notify::new()));
    let wait = {
        let (entered, release, dropped) = (entered.clone(), release.clone(), dropped.clone());
        async move || {
            let _given_up = NotifyOnDrop(dropped);
            entered.notify_one();
            release.notified().await;
            "waited"
        }
    };
    let stream = {
        let (entered, release) = (entered.clone(), release.clone());
        async move || {
            entered.notify_one();
            Pieces::of(async move |sender| {
                release.notified().await;
                sender.send("late".into()).await.expect("read");
            })
        }
    };
    let pieces = async || {
        Pieces::of(async |sender| {
            for piece in ["small".to_owned(), "x".repeat(10_000)] {
                sender.send(piece.into()).await.expect("read");
            }
            // Never ends: what was sent has to be whole without what follows.
            std::future::pending::<()>().await;
            drop(sender);
        })
    };
    let late = async |Extension(context): Extension<Arc<RequestContext>>| {
        let mut never = std::future::pending::<&str>();
        context.within(Duration::from_millis(20), &mut never).await.unwrap_or("late")
    };
    let router = Router::new()
        .route("/late", get(late))
        .route("/stream", get(stream))
        .route("/pieces", get(pieces))
        .route("/ok", get(async || "ok"))
        .route("/echo", post(async |body: String| body))
        .route("/refuse", post(async || axum::http::StatusCode::PAYLOAD_TOO_LARGE))
        .route("/big", get(async || "x".repeat(32 * 1024 * 1024)))
        .route("/wait", get(wait));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (stop, stopped) = watch::channel(false);
    let guard = Guard::new(Policy::new(true, &[], &[]), false, DIALECTS, router, AuditHandle::to_nobody());
    let task = tokio::spawn(serve(listener, None, guard, bounds, stopped, |_| ()));
    Server { address, stop, task, entered, release, dropped }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        timeout(TEST_TIMEOUT, TcpStream::connect(self.address)).await.expect("in time").expect("accepted")
    }

    async fn ended(self) {
        timeout(TEST_TIMEOUT, self.task).await.expect("every connection ends").expect("no panic");
    }
}

/// Sends bytes and reads one answer whose body has a known length.
async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.expect("sent");
    answer(stream).await
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let whole = |read: &[u8]| {
        let text = String::from_utf8_lossy(read).to_ascii_lowercase();
        let (head, body) = text.split_once("\r\n\r\n")?;
        let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>().ok()?;
        (body.len() >= length).then_some(())
    };
    while whole(&read).is_none() {
        let mut piece = [0; 4096];
        let count =
            timeout(TEST_TIMEOUT, stream.read(&mut piece)).await.expect("an answer").expect("readable");
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..count]);
    }
    String::from_utf8(read).expect("UTF-8")
}

/// Reads until the server closes the connection. Returns the number of bytes that it sent before.
async fn closed(stream: &mut TcpStream) -> usize {
    let mut rest = Vec::new();
    // A reset is an end, too: the server may close while it has unread bytes.
    drop(timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await.expect("the server closes"));
    rest.len()
}

const OK: &str = "GET /ok HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn an_answer_that_takes_its_time_is_looked_at_again_plain_or_not() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    let plain = "GET /late HTTP/1.1\r\nHost: localhost\r\n\r\n";
    // What is sent in chunks is for hyper, and so is all that comes after.
    let chunks = "GET /late HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for request in [plain, OK, plain, plain, chunks, OK, plain] {
        let told = exchange(&mut stream, request).await;
        assert!(told.ends_with(if request == OK { "ok" } else { "late" }), "{request}: {told}");
    }
    server.stop.send_replace(true);
    server.ended().await;
}

#[tokio::test]
async fn a_connection_serves_many_requests_cut_anywhere() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    for cut in [1, 5, 20, OK.len() - 1] {
        stream.write_all(&OK.as_bytes()[..cut]).await.expect("sent");
        stream.flush().await.expect("sent");
        let text = exchange(&mut stream, &OK[cut..]).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nok"), "{text}");
    }
    let chunked = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    assert!(exchange(&mut stream, chunked).await.ends_with("abcde"));
    assert!(exchange(&mut stream, OK).await.ends_with("ok"));
}

#[tokio::test]
async fn requests_plain_and_other_are_answered_in_order_however_they_are_cut() {
    let post = |more: &str, body: &str| {
        let length = body.len();
        format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: {length}\r\n\r\n{body}")
    };
    let chunked =
        "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nsix\r\n0\r\n\r\n";
    let [long, longer] = [5_000, 70_000].map(|length| "x".repeat(length));
    let requests = [
        (post("", "one"), "one"),
        (post("", "second"), "second"),
        (OK.to_owned(), "ok"),
        (post("X-Other: 1\r\n", ""), ""),
        (post("", &long), &long),
        (post("Connection: keep-alive\r\n", "five"), "five"),
        (chunked.to_owned(), "six"),
        (post("", &longer), &longer),
        (OK.to_owned(), "ok"),
    ];
    let all: String = requests.iter().map(|(request, _)| request.as_str()).collect();
    let whole = all.len();
    let server = start(bounds()).await;
    for piece in [1_usize, 7, 64, 1_000, 4_096, 30_000, whole] {
        let stream = server.connect().await;
        let (mut reading, mut writing) = stream.into_split();
        let sent = all.clone();
        let sending = tokio::spawn(async move {
            // One byte at a time for the first requests only: the kernel joins most of them anyway.
            for part in sent.as_bytes().chunks(piece) {
                writing.write_all(part).await.expect("sent");
                tokio::task::yield_now().await;
            }
            writing
        });
        let mut read = Vec::new();
        for (number, (_, expected)) in requests.iter().enumerate() {
            let answer = timeout(TEST_TIMEOUT, next_answer(&mut reading, &mut read)).await.expect("in time");
            assert!(answer == *expected, "answer {number} in pieces of {piece}: {} bytes", answer.len());
        }
        drop(sending.await.expect("no panic"));
    }
}

/// Reads the body of the next answer.
async fn next_answer(stream: &mut (impl tokio::io::AsyncRead + Unpin), read: &mut Vec<u8>) -> String {
    loop {
        let text = String::from_utf8_lossy(read).into_owned();
        if let Some((head, rest)) = text.split_once("\r\n\r\n") {
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.expect("a length").parse().expect("a number");
            if rest.len() >= length {
                let body = rest[..length].to_owned();
                read.drain(..head.len() + 4 + length);
                return body;
            }
        }
        let mut piece = [0; 16 * 1024];
        let count = stream.read(&mut piece).await.expect("readable");
        assert!(count > 0, "closed after {text:?}");
        read.extend_from_slice(&piece[..count]);
    }
}

#[tokio::test]
async fn a_request_of_any_length_is_answered_whose_client_has_ended_its_half() {
    let server = start(bounds()).await;
    for length in [OK.len() + 8, 4_095, 4_096, 4_097, 8_192, 16_384, 20_000] {
        let padding = "x".repeat(length - OK.len() - "X: \r\n".len());
        let request = OK.replacen("\r\n", &format!("\r\nX: {padding}\r\n"), 1);
        assert_eq!(request.len(), length);
        let mut half = server.connect().await;
        half.write_all(request.as_bytes()).await.expect("sent");
        half.shutdown().await.expect("its half is closed");
        let mut all = String::new();
        timeout(TEST_TIMEOUT, half.read_to_string(&mut all)).await.expect("in time").expect("no reset");
        assert!(all.starts_with("HTTP/1.1 200 OK") && all.ends_with("ok"), "{length}: {all}");
    }
}

#[tokio::test]
async fn each_piece_of_a_stream_comes_with_its_end() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    stream.write_all(OK.replace("/ok", "/pieces").as_bytes()).await.expect("sent");
    let expected = format!("\r\n\r\n5\r\nsmall\r\n2710\r\n{}\r\n", "x".repeat(10_000));
    let mut all = Vec::new();
    let read = async {
        while !all.ends_with(expected.as_bytes()) {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.expect("open");
            assert!(count > 0, "cut off");
            all.extend_from_slice(&piece[..count]);
        }
    };
    timeout(TEST_TIMEOUT, read).await.expect("the end of a piece does not wait for the next one");
}

#[tokio::test]
async fn a_plain_request_that_closes_is_answered_and_closed() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    assert!(exchange(&mut stream, OK).await.ends_with("ok"));
    let text = exchange(&mut stream, &OK.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    assert!(text.contains("connection: close\r\n") && text.ends_with("ok"), "{text}");
    assert_eq!(closed(&mut stream).await, 0);
}

#[tokio::test]
async fn length_with_encoding_and_two_lengths_are_answered_400_and_closed() {
    let server = start(bounds()).await;
    for extra in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
    ] {
        let mut stream = server.connect().await;
        assert!(exchange(&mut stream, OK).await.ends_with("ok"));
        let request = format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n0\r\n\r\n{OK}");
        let text = exchange(&mut stream, &request).await;
        assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{extra:?}: {text}");
        assert!(!text.contains("200 OK"), "what follows must not be taken for a request");
        assert_eq!(closed(&mut stream).await, 0);
    }
}

#[tokio::test]
async fn an_answer_in_the_middle_of_a_body_is_not_lost_to_a_reset() {
    let server = start(bounds()).await;
    let size = 8 * 1024 * 1024;
    for head in [
        format!("Content-Length: {size}\r\n\r\n"),
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
    ] {
        let mut stream = server.connect().await;
        let head = format!("POST /refuse HTTP/1.1\r\nHost: localhost\r\n{head}");
        stream.write_all(head.as_bytes()).await.expect("sent");
        // The whole body goes out before the answer is looked at, as simple clients do.
        let body = vec![b'x'; size];
        timeout(TEST_TIMEOUT, stream.write_all(&body)).await.expect("taken").expect("no reset");
        let text = answer(&mut stream).await;
        assert!(text.starts_with("HTTP/1.1 4"), "{text}");
    }
}

#[tokio::test]
async fn a_half_sent_head_is_closed_and_further_bytes_do_not_help() {
    let mut bounds = bounds();
    bounds.patience.head = Duration::from_millis(300);
    bounds.patience.idle = Duration::from_millis(600);
    let server = start(bounds).await;
    let mut half = server.connect().await;
    half.write_all(b"GET /ok HT").await.expect("sent");
    assert_eq!(closed(&mut half).await, 0);
    for (first, piece) in [("GET /ok HTTP/1.1\r\n", "a: b\r\n"), ("\r\n", "\r\n"), ("\r", "\n\r")] {
        let mut slow = server.connect().await;
        assert!(exchange(&mut slow, OK).await.ends_with("ok"));
        slow.write_all(first.as_bytes()).await.expect("sent");
        let trickle = async {
            while slow.write_all(piece.as_bytes()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(TEST_TIMEOUT, trickle).await.expect("a connection is not held by more bytes");
    }
}

#[tokio::test]
async fn an_idle_connection_outlives_the_head_deadline_and_ends_at_its_own() {
    let mut bounds = bounds();
    bounds.patience.head = Duration::from_millis(50);
    bounds.patience.idle = Duration::from_millis(600);
    let server = start(bounds).await;
    let mut stream = server.connect().await;
    assert!(exchange(&mut stream, OK).await.ends_with("ok"));
    let mut byte = [0; 1];
    let early = timeout(Duration::from_millis(200), stream.read(&mut byte)).await;
    assert!(early.is_err(), "still open after the head's deadline");
    assert!(exchange(&mut stream, OK).await.ends_with("ok"));
    assert_eq!(closed(&mut stream).await, 0);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_closed() {
    let mut bounds = bounds();
    bounds.patience.write = Duration::from_millis(300);
    let server = start(bounds).await;
    let mut stream = server.connect().await;
    stream.write_all(OK.replace("/ok", "/big").as_bytes()).await.expect("sent");
    server.stop.send(true).expect("serving");
    // Only the deadline can end this connection: its answer is larger than what the kernel holds.
    server.ended().await;
    drop(stream);
}

#[tokio::test]
async fn stopping_ends_idle_connections_at_once_and_busy_ones_after_their_answer() {
    let server = start(bounds()).await;
    let mut idle = server.connect().await;
    assert!(exchange(&mut idle, OK).await.ends_with("ok"));
    let mut half = server.connect().await;
    half.write_all(b"GET /ok HT").await.expect("sent");
    let mut silent = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    server.stop.send(true).expect("serving");
    for stream in [&mut idle, &mut half, &mut silent] {
        assert_eq!(closed(stream).await, 0);
    }
    assert!(!server.task.is_finished(), "one request is being served");
    server.release.notify_one();
    let text = answer(&mut busy).await;
    assert!(text.ends_with("waited") && text.contains("connection: close"), "{text}");
    let address = server.address;
    server.ended().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_request() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    stream.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    drop(stream);
    timeout(TEST_TIMEOUT, server.dropped.notified()).await.expect("the handler's future is dropped");
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_their_turn() {
    let server = start(ConnectionLimits { places: places(1), ..bounds() }).await;
    let mut first = server.connect().await;
    first.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    let mut second = server.connect().await;
    second.write_all(OK.as_bytes()).await.expect("sent");
    let mut byte = [0; 1];
    assert!(timeout(MIN_HELD * 2, second.peek(&mut byte)).await.is_err(), "a busy one makes no room");
    drop(first);
    assert!(answer(&mut second).await.ends_with("ok"));
}

#[tokio::test]
async fn the_connection_that_was_idle_the_longest_makes_room_for_a_new_one() {
    let server = start(ConnectionLimits { places: places(3), ..bounds() }).await;
    let mut busy = server.connect().await;
    busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    let [mut younger, mut older] = [server.connect().await, server.connect().await];
    assert!(exchange(&mut younger, OK).await.ends_with("ok"));
    assert!(exchange(&mut older, OK).await.ends_with("ok"));
    assert!(exchange(&mut younger, OK).await.ends_with("ok"));
    let mut fresh = server.connect().await;
    assert!(exchange(&mut fresh, OK).await.ends_with("ok"), "long before anybody's deadline");
    assert_eq!(closed(&mut older).await, 0);
    assert!(exchange(&mut younger, OK).await.ends_with("ok"), "one new connection, one that leaves");
    server.release.notify_one();
    assert!(answer(&mut busy).await.ends_with("waited"));
}

#[tokio::test]
async fn half_sent_requests_make_room_and_stopping_waits_for_none_without_a_place() {
    let server = start(ConnectionLimits { places: places(1), ..bounds() }).await;
    for half in ["GET /ok HT", "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf"] {
        let mut slow = server.connect().await;
        slow.write_all(half.as_bytes()).await.expect("sent");
        let mut fresh = server.connect().await;
        assert!(exchange(&mut fresh, OK).await.ends_with("ok"), "long before anybody's deadline: {half}");
        assert_eq!(closed(&mut slow).await, 0);
        drop(fresh);
    }
    let mut busy = server.connect().await;
    busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    let mut waiting = server.connect().await;
    server.stop.send(true).expect("serving");
    assert_eq!(closed(&mut waiting).await, 0);
    server.release.notify_one();
    assert!(answer(&mut busy).await.ends_with("waited"));
    server.ended().await;
}

/// Connects from the given loopback address of this machine.
async fn connect_from(address: [u8; 4], server: &Server) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((address, 0).into()).expect("an address of this machine");
    timeout(TEST_TIMEOUT, socket.connect(server.address)).await.expect("in time").expect("accepted")
}

#[tokio::test]
async fn one_address_holds_its_share_and_others_are_served_beside_it() {
    let server =
        start(ConnectionLimits { places: Places { all: 3, per_address: 2, waiting: 4 }, ..bounds() }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut busy = server.connect().await;
        busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
        timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
        held.push(busy);
    }
    // Far more connections of the same address than may wait: the last ones are turned away at once, some before
    // they know that they were connected.
    let mut waiting = Vec::new();
    for _ in 0..4 {
        waiting.push(server.connect().await);
    }
    for _ in 0..4 {
        if let Ok(mut last) = TcpStream::connect(server.address).await {
            assert_eq!(closed(&mut last).await, 0);
        }
    }
    let mut other = connect_from([127, 0, 0, 2], &server).await;
    assert!(exchange(&mut other, OK).await.ends_with("ok"));
    // The waiting connections are served in turn.
    waiting[0].write_all(OK.as_bytes()).await.expect("sent");
    drop(held);
    assert!(answer(&mut waiting[0]).await.ends_with("ok"));
}

#[tokio::test]
async fn an_address_that_waits_for_a_second_place_goes_for_one_that_has_none() {
    let server =
        start(ConnectionLimits { places: Places { all: 1, per_address: 1, waiting: 2 }, ..bounds() }).await;
    let mut busy = server.connect().await;
    busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    let mut second = server.connect().await;
    // Each of the three addresses has one connection that waits, and only two may wait.
    let mut others =
        [connect_from([127, 0, 0, 2], &server).await, connect_from([127, 0, 0, 3], &server).await];
    assert_eq!(closed(&mut second).await, 0);
    drop(busy);
    for other in &mut others {
        assert!(exchange(other, OK).await.ends_with("ok"));
    }
}

#[tokio::test]
async fn whoever_asks_if_the_daemon_is_there_is_answered_with_all_places_busy() {
    let server = start(ConnectionLimits { places: places(1), ..bounds() }).await;
    let mut busy = server.connect().await;
    busy.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    for _ in 0..20 {
        let mut probe = server.connect().await;
        let text = exchange(&mut probe, &OK.replace("/ok", "/healthz")).await;
        // The tests have no such route; the probe must be answered, and its connection must end.
        assert!(text.starts_with("HTTP/1.1 404") && text.contains("connection: close"), "{text}");
        assert_eq!(closed(&mut probe).await, 0);
    }
    server.release.notify_one();
    assert!(answer(&mut busy).await.ends_with("waited"));
}

#[tokio::test]
async fn a_client_that_ends_its_half_is_answered_and_one_that_has_left_is_noticed() {
    let server = start(bounds()).await;
    for request in [OK.to_owned(), format!("{OK}{OK}"), OK.replace("/ok", "/big")] {
        let mut half = server.connect().await;
        half.write_all(request.as_bytes()).await.expect("sent");
        half.shutdown().await.expect("its half is closed");
        let mut all = Vec::new();
        timeout(TEST_TIMEOUT, half.read_to_end(&mut all)).await.expect("in time").expect("no reset");
        let text = String::from_utf8(all).expect("UTF-8");
        assert_eq!(text.matches("HTTP/1.1 200 OK").count(), request.matches("GET").count());
        assert!(text.ends_with("ok") || text.len() > 32 * 1024 * 1024, "whole");
    }
    // The request takes longer than the grace without a sign of life: the client is asked, and is there.
    let mut half = server.connect().await;
    half.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    half.shutdown().await.expect("its half is closed");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    let mut interim = [0; 27];
    timeout(TEST_TIMEOUT, half.read_exact(&mut interim)).await.expect("asked").expect("open");
    assert_eq!(&interim, b"HTTP/1.1 102 Processing\r\n\r\n");
    timeout(TEST_TIMEOUT, half.read_exact(&mut interim)).await.expect("asked again").expect("open");
    server.release.notify_one();
    let mut rest = Vec::new();
    timeout(TEST_TIMEOUT, half.read_to_end(&mut rest)).await.expect("in time").expect("no reset");
    assert!(String::from_utf8_lossy(&rest).ends_with("waited"));
    timeout(TEST_TIMEOUT, server.dropped.notified()).await.expect("it has ended");
    // Half a request does not count as one, and HTTP/1.0 has no interim answers.
    let mut half = server.connect().await;
    half.write_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nha")
        .await
        .expect("sent");
    half.shutdown().await.expect("its half is closed");
    closed(&mut half).await;
    let begun = tokio::time::Instant::now();
    let mut old = server.connect().await;
    old.write_all(b"GET /wait HTTP/1.0\r\nHost: localhost\r\n\r\n").await.expect("sent");
    old.shutdown().await.expect("its half is closed");
    assert_eq!(closed(&mut old).await, 0);
    assert!(begun.elapsed() >= LEFT_GRACE);
    timeout(TEST_TIMEOUT, server.dropped.notified()).await.expect("the handler's future is dropped");
}

#[tokio::test]
async fn a_stream_lives_as_long_as_it_is_read_and_is_no_idle_connection() {
    let mut bounds = ConnectionLimits { places: places(1), ..bounds() };
    bounds.patience.idle = Duration::from_millis(100);
    let server = start(bounds).await;
    let mut following = server.connect().await;
    following.write_all(OK.replace("/ok", "/stream").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("it has begun");
    let mut fresh = server.connect().await;
    fresh.write_all(OK.as_bytes()).await.expect("sent");
    tokio::time::sleep(MIN_HELD * 2).await;
    server.release.notify_one();
    let mut all = Vec::new();
    while !all.ends_with(b"0\r\n\r\n") {
        let mut piece = [0; 1024];
        let count = timeout(TEST_TIMEOUT, following.read(&mut piece)).await.expect("in time").expect("open");
        assert!(count > 0, "cut off after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&piece[..count]);
    }
    assert!(String::from_utf8_lossy(&all).contains("late"));
    assert!(answer(&mut fresh).await.ends_with("ok"), "it had to wait");
}

#[tokio::test]
async fn dropping_the_server_closes_everything() {
    let server = start(bounds()).await;
    let mut stream = server.connect().await;
    stream.write_all(OK.replace("/ok", "/wait").as_bytes()).await.expect("sent");
    timeout(TEST_TIMEOUT, server.entered.notified()).await.expect("the handler is entered");
    server.task.abort();
    assert_eq!(closed(&mut stream).await, 0);
}

#[tokio::test]
async fn a_connection_at_rest_keeps_no_place_for_a_handshake_or_for_hyper() {
    let (stream, _other) = tokio::io::duplex(64);
    let watch = Arc::new(ConnectionState::new(bounds().patience));
    let peer = Arc::new(Peer::at([127, 0, 0, 1].into()));
    let call = Call { peer, service: Silent, watch, only_one: false };
    let (_stop, stopped) = watch::channel(false);
    let size = std::mem::size_of_val(&serve_connection(stream, call, stopped));
    assert!(size <= 1_536, "the task of each of a thousand idle connections has {size} bytes");
}

/// A service that never answers.
#[derive(Clone)]
struct Silent;

impl HttpService for Silent {
    type Future = std::future::Pending<Result<axum::response::Response, Infallible>>;

    fn answer(&self, _: Arc<RequestHead>, _: RequestBody, _: PeerInfo) -> Self::Future {
        std::future::pending()
    }
}
