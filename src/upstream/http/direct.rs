//! Connections without a proxy between, which is how gateways reach servers: a pool of our own on hyper, as what a general
//! client does for each request (addresses parsed anew, layers, tasks that hand it on) costs more than the call. Whoever has a request drives the connection that it goes over, so nothing is handed from task to task on its way,
//! and a connection at rest belongs to nobody and is looked at before it is used again (`remote-upstreams.md`, R47 and R56).

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;
use tower_service::Service;

use super::endpoint::Endpoint;
use super::fault::{HttpFault, Word};
use super::network::{CheckedNames, IDLE, broken, has_proxy, names, not_connected};
use super::target::Parts;
use super::tls;

/// Longest time that a connection is used, so that a change of a name's addresses is followed (R47).
const MAX_AGE: Duration = Duration::from_secs(300);
/// As the library that carries everything else has them: a peer that is gone without a word is found.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const KEEP_ALIVE_RETRIES: u32 = 3;
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// Longest head of an answer, about, and as much of a body as is read before somebody wants more, in bytes.
const MAX_BUFFER: usize = 64 * 1024;
/// Time in which an answer has to end whose connection is to be kept.
const ENDING: Duration = Duration::from_millis(200);
/// Number of looks at a connection that keeps waking itself, as one does whose task has had its share of the runtime.
const MAX_LOOKS: usize = 4;
/// Header in which a server says how long it keeps a connection at rest.
const KEEP_ALIVE_HEADER: HeaderName = HeaderName::from_static("keep-alive");

/// Connections to the origin of one server.
#[derive(Clone)]
pub(super) struct Direct(Arc<Pool>);

struct Pool {
    connector: HttpsConnector<HttpConnector<CheckedNames>>,
    connect_timeout: Duration,
    max_idle: usize,
    rest: Mutex<Rest>,
}

/// Connections at rest, that which has rested longest first.
#[derive(Default)]
struct Rest {
    idle: VecDeque<Resting>,
    is_swept: bool,
}

/// A connection, and how long it may rest.
struct Resting {
    live: Box<Live>,
    until: Instant,
}

/// An open connection.
struct Live {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended, after which it must not be polled. It is dropped then, as only that gives a request back
    /// that it had not begun to write.
    driver: Option<http1::Connection<MaybeHttpsStream<TokioIo<TcpStream>>, Full<Bytes>>>,
    born: Instant,
    /// Time that it may rest: the server may have said a shorter one.
    rest: Duration,
    signal: Arc<Signal>,
    /// The same as a waker.
    waker: Waker,
}

/// What a connection wakes. Its parts wake one another all the time, and whoever drives it sees that himself: he is woken
/// only once he waits.
#[derive(Default)]
struct Signal(Mutex<Signalled>);

#[derive(Default)]
struct Signalled {
    waiting: Option<Waker>,
    is_due: bool,
}

impl Signal {
    fn state(&self) -> MutexGuard<'_, Signalled> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take note of what happens; nobody is woken by it.
    fn listen(&self) {
        *self.state() = Signalled::default();
    }

    /// Wakes this one from now on. Returns `false` if something has happened already.
    fn pass_to(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if !state.is_due {
            state.waiting = Some(waker.clone());
        }
        !state.is_due
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state();
        state.is_due = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

/// A request that was not answered, with it if nothing of it was written.
type NotSent = hyper::client::conn::TrySendError<Request<Full<Bytes>>>;

impl Live {
    fn drive(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        if Pin::new(driver).poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.driver = None;
        }
    }

    /// Drives it whatever share of the runtime the task has left: without one it would look as if nothing had come.
    fn look(&mut self) {
        let looking = poll_fn(|_| {
            self.drive();
            Poll::Ready(())
        });
        let _ = pin!(tokio::task::unconstrained(looking)).poll(&mut Context::from_waker(Waker::noop()));
    }

    /// Reports whether another request can go over it.
    fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request, at once.
    fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Response<Incoming>, NotSent>> {
        let mut sending = Box::pin(self.sender.try_send_request(request));
        poll_fn(move |cx| {
            for _ in 0..MAX_LOOKS {
                self.signal.listen();
                self.drive();
                // One that has ended has answered, if only with the request itself.
                if let Poll::Ready(sent) = sending.as_mut().poll(&mut Context::from_waker(&self.waker)) {
                    return Poll::Ready(sent);
                }
                if self.signal.pass_to(cx.waker()) {
                    return Poll::Pending;
                }
            }
            yield_to_others(cx)
        })
    }
}

impl Direct {
    /// Prepares connections to where this address is; `None` where a proxy is between, which the library knows. Connects
    /// nowhere.
    pub(super) fn new(endpoint: &Endpoint, url: &Url, tls: tls::Config) -> Option<Direct> {
        if has_proxy(endpoint, url) {
            return None;
        }
        let (connect_timeout, max_idle) = (endpoint.connect_timeout, endpoint.max_in_flight);
        let mut connector = HttpConnector::new_with_resolver(names(endpoint, url));
        connector.set_nodelay(true);
        connector.set_keepalive(Some(KEEP_ALIVE));
        connector.set_keepalive_interval(Some(KEEP_ALIVE));
        connector.set_keepalive_retries(Some(KEEP_ALIVE_RETRIES));
        connector.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        connector.set_connect_timeout(Some(connect_timeout));
        connector.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Some(Direct(Arc::new(Pool { connector, connect_timeout, max_idle, rest: Mutex::default() })))
    }

    /// Sends a request, and waits for the head of its answer. One that a connection at rest did not take, because the server
    /// has closed it meanwhile, goes over another one: nothing of it was written.
    pub(super) async fn send(
        &self,
        method: Method,
        to: &Parts,
        headers: HeaderMap,
        body: Option<Bytes>,
    ) -> Result<Received, HttpFault> {
        let mut request = Request::new(Full::new(body.unwrap_or_default()));
        (*request.method_mut(), *request.uri_mut()) = (method, to.path.clone());
        *request.headers_mut() = headers;
        loop {
            let (mut live, is_new) = match self.0.take() {
                Some(live) => (live, false),
                None => (Box::pin(self.0.connect(&to.origin)).await?, true),
            };
            let mut refused = match live.send(request).await {
                Ok(response) => return Ok(self.received(response, live)),
                Err(refused) => refused,
            };
            match refused.take_message() {
                Some(unsent) if !is_new => request = unsent,
                _ => return Err(broken(&refused.into_error())),
            }
        }
    }

    fn received(&self, response: Response<Incoming>, mut live: Box<Live>) -> Received {
        let (head, body) = response.into_parts();
        if let Some(announced) = head.headers.get(KEEP_ALIVE_HEADER).and_then(announced_rest) {
            live.rest = announced.saturating_sub(Duration::from_secs(1)).min(IDLE);
        }
        let head = Response::from_parts(head, ());
        let mut received = Received { head, body, live: Some(live), pool: self.0.clone() };
        if received.body.is_end_stream() {
            received.rest();
        }
        received
    }
}

/// Returns the time that a server keeps a connection at rest, if it says one.
fn announced_rest(value: &HeaderValue) -> Option<Duration> {
    let mut settings = value.to_str().ok()?.split(',');
    let seconds = settings.find_map(|setting| setting.trim().strip_prefix("timeout="))?;
    seconds.parse().ok().map(Duration::from_secs)
}

/// Comes back as soon as the others have had their turn.
fn yield_to_others<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

fn lock(pool: &Pool) -> MutexGuard<'_, Rest> {
    pool.rest.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Takes the connection that has rested least, and leaves out those that were closed or are too old.
    fn take(&self) -> Option<Box<Live>> {
        loop {
            let Resting { mut live, until } = lock(self).idle.pop_back()?;
            let now = Instant::now();
            if until <= now || now.duration_since(live.born) > MAX_AGE {
                continue;
            }
            // Is it still there?
            live.signal.listen();
            live.look();
            if live.is_ready() {
                return Some(live);
            }
        }
    }

    async fn connect(&self, origin: &Uri) -> Result<Box<Live>, HttpFault> {
        let late = |_| HttpFault::unseen(Word::ConnectTimeout, "could not be connected to in time");
        let connecting = self.connector.clone().call(origin.clone());
        let connected = tokio::time::timeout(self.connect_timeout, connecting).await.map_err(late)?;
        let stream = connected.map_err(|error| not_connected(&*error))?;
        let opened = http1::Builder::new().max_buf_size(MAX_BUFFER).handshake(stream).await;
        let opened = opened.map_err(|error| broken(&error))?;
        let (sender, driver) = opened;
        let signal = Arc::<Signal>::default();
        let waker = Waker::from(signal.clone());
        let driver = Some(driver);
        Ok(Box::new(Live { sender, driver, born: Instant::now(), rest: IDLE, signal, waker }))
    }

    /// Keeps a connection whose answer has been read to its end.
    fn keep(self: &Arc<Pool>, live: Box<Live>) {
        let mut rest = lock(self);
        if rest.idle.len() >= self.max_idle {
            return;
        }
        let until = Instant::now() + live.rest;
        rest.idle.push_back(Resting { live, until });
        if !std::mem::replace(&mut rest.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Closes those that have rested too long; returns when the next is due, `None` if there is none.
    fn close_old(&self) -> Option<Instant> {
        let mut rest = lock(self);
        let now = Instant::now();
        let old = rest.idle.iter().take_while(|resting| resting.until <= now).count();
        let closed: Vec<_> = rest.idle.drain(..old).collect();
        let next = rest.idle.front().map(|resting| resting.until);
        rest.is_swept = next.is_some();
        drop(rest);
        drop(closed);
        next
    }
}

/// Closes connections that rest too long, as long as there are any at rest.
async fn sweep(pool: Weak<Pool>) {
    let mut due = Instant::now() + IDLE;
    loop {
        tokio::time::sleep_until(due.into()).await;
        let Some(next) = pool.upgrade().and_then(|pool| pool.close_old()) else { return };
        due = next;
    }
}

/// An answer, and the connection that it comes over. Dropped before its end, it closes that.
pub(super) struct Received {
    head: Response<()>,
    body: Incoming,
    live: Option<Box<Live>>,
    pool: Arc<Pool>,
}

impl Received {
    /// Returns its status.
    pub(super) fn status(&self) -> StatusCode {
        self.head.status()
    }

    /// Returns its headers.
    pub(super) fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Returns the length that was announced; `None` if none was.
    pub(super) fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    /// Returns the next piece; `None` at the end. Cancel safe.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpFault> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpFault>> {
        for _ in 0..MAX_LOOKS {
            if let Some(live) = &self.live {
                live.signal.listen();
            }
            // What it has waits for the driver, which waits for somebody who reads.
            for is_driven in [false, true] {
                if is_driven && let Some(live) = &mut self.live {
                    live.drive();
                }
                if let Poll::Ready(read) = self.poll_body(cx) {
                    return Poll::Ready(read);
                }
            }
            match &self.live {
                Some(live) if !live.signal.pass_to(cx.waker()) => {}
                _ => return Poll::Pending,
            }
        }
        yield_to_others(cx)
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, HttpFault>> {
        loop {
            let polled = match &self.live {
                Some(live) => Pin::new(&mut self.body).poll_frame(&mut Context::from_waker(&live.waker)),
                None => Pin::new(&mut self.body).poll_frame(cx),
            };
            let Some(frame) = ready!(polled) else {
                self.rest();
                return Poll::Ready(Ok(None));
            };
            let frame = frame.map_err(|error| broken(&error))?;
            // Trailers say nothing here.
            if let Ok(data) = frame.into_data() {
                if self.body.is_end_stream() {
                    self.rest();
                }
                return Poll::Ready(Ok(Some(data)));
            }
        }
    }

    /// Lets go of an answer of which nobody wants more. Its connection is kept if the end comes soon, as after the event that
    /// was waited for.
    pub(super) fn finish(mut self) {
        if self.live.is_some() {
            // What is there already is read without a task.
            let _ = self.poll_chunk(&mut Context::from_waker(Waker::noop()));
        }
        if self.live.is_none() {
            return;
        }
        tokio::spawn(async move {
            let ending = async {
                let mut read = 0;
                while let Ok(Some(chunk)) = self.chunk().await
                    && read < MAX_BUFFER
                {
                    read += chunk.len();
                }
            };
            let _ = tokio::time::timeout(ENDING, ending).await;
        });
    }

    /// Gives the connection back: there is nothing more to come over it.
    fn rest(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        live.signal.listen();
        if !live.is_ready() {
            live.drive();
        }
        if live.is_ready() {
            self.pool.keep(live);
        }
    }
}
