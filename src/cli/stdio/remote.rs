//! The daemon as the bridge speaks to it: MCP's Streamable HTTP, one request after the other or many at once.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use tokio::time::{Instant, sleep, timeout};

use super::fault::Fault;
use super::note;
use super::session::Session;
use crate::cli::daemon::{CONNECT_TIMEOUT, Place};
use crate::jsonrpc::one_line;
use crate::sse::{SseData, TooLong};
use crate::text::innermost;

/// Longest message of a daemon, in bytes.
const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// Longest body of a refusal that is read, in bytes.
const MAX_REFUSAL: usize = 1024 * 1024;
/// Longest time to the head of an answer. The daemon sends it within ten seconds, but for `initialize`, which may take 45.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest silence after which the daemon counts as gone: on a stream it sends something every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);
/// Time for which a daemon that does not answer is looked for, as when it is started anew.
const LOOK_FOR: Duration = Duration::from_secs(5);
/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Time after which a connection that is not used is closed: before the daemon closes it, which might be in the middle of a
/// request.
const IDLE: Duration = Duration::from_secs(10);
/// Maximum number of connections that are kept though they are not used: the daemon has so many for all of its clients.
const MAX_IDLE: usize = 4;

/// Header with the id of a session.
const SESSION_ID: &str = "mcp-session-id";
/// Header with the revision that is spoken.
const VERSION: &str = "mcp-protocol-version";

/// A future that is named in several places and shall be code in one: nothing here is on the path of the daemon's calls.
pub(super) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reason that there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TransportError {
    /// Nothing was sent: no connection could be made.
    Unreachable(String),
    /// Something was sent, and no whole answer came.
    Lost(String),
}

/// Answer to a message.
#[derive(Debug)]
pub(super) enum Reply {
    /// One message, on one line.
    Message(Bytes),
    /// A stream of messages.
    Events(Box<Events>),
    /// Nothing, as notifications and answers get it.
    Accepted,
    /// A refusal, with its HTTP status.
    Refused(u16, Fault),
}

/// An answer with the id of the session that it names; `None` if it names none.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) session: Option<String>,
}

/// The daemon.
#[derive(Debug)]
pub(super) struct Remote {
    client: Client,
    endpoint: Url,
    key: Option<String>,
    /// Place of the daemon for people.
    shown: String,
    /// `true` since a connection could not be made.
    is_away: AtomicBool,
}

impl Remote {
    /// Makes the client of an endpoint of the daemon. Nothing is sent yet.
    pub(super) fn new(place: &Place, endpoint: Url, key: Option<String>) -> Result<Remote, String> {
        let client = place.client().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT);
        let client = client
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(MAX_IDLE)
            .build()
            .map_err(|error| innermost(&error))?;
        Ok(Remote { client, endpoint, key, shown: place.shown(), is_away: AtomicBool::new(false) })
    }

    /// Returns the place of the daemon, for people.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Posts a message with these headers beside the usual ones.
    pub(super) fn post<'a>(
        &'a self,
        body: Bytes,
        headers: &'a [(String, String)],
    ) -> Boxed<'a, Result<Answered, TransportError>> {
        Box::pin(async move {
            let make = || {
                let post = self.client.post(self.endpoint.clone()).body(body.clone());
                let post = post.header(CONTENT_TYPE, "application/json");
                let post = post.header(ACCEPT, "application/json, text/event-stream");
                headers.iter().fold(post, |post, (name, value)| post.header(name, value))
            };
            read(self.send(LOOK_FOR, &make).await?).await
        })
    }

    /// Asks for the session's own stream: what follows an event, if one is named. A daemon that does not answer is not looked
    /// for.
    pub(super) fn stream<'a>(
        &'a self,
        session: &'a Session,
        after: Option<&'a str>,
    ) -> Boxed<'a, Result<Reply, TransportError>> {
        Box::pin(async move {
            let make = || {
                let get = self.client.get(self.endpoint.clone()).header(ACCEPT, "text/event-stream");
                let headers = in_session(session).into_iter();
                let get = headers.fold(get, |get, (name, value)| get.header(name, value));
                after.into_iter().fold(get, |get, after| get.header("last-event-id", after))
            };
            read(self.send(Duration::ZERO, &make).await?).await.map(|answered| answered.reply)
        })
    }

    /// Ends a session.
    pub(super) async fn end(&self, session: &Session) {
        let delete = self.client.delete(self.endpoint.clone());
        let headers = in_session(session).into_iter();
        let delete = headers.fold(delete, |delete, (name, value)| delete.header(name, value));
        // A daemon that is gone has no session to end.
        let _ = self.with_key(delete).send().await;
    }

    fn with_key(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Sends a request, and waits for the head of the answer. As long as no connection can be made, nothing was sent, and it
    /// is tried again for a while.
    async fn send(
        &self,
        look_for: Duration,
        make: &(dyn Fn() -> RequestBuilder + Sync),
    ) -> Result<Response, TransportError> {
        let deadline = Instant::now() + look_for;
        loop {
            let sent = timeout(HEAD_TIMEOUT, self.with_key(make()).send()).await;
            let silent = || TransportError::Lost(format!("nothing came within {} s", HEAD_TIMEOUT.as_secs()));
            match sent.map_err(|_| silent())? {
                Ok(response) => {
                    if self.is_away.swap(false, Ordering::Relaxed) {
                        note(&format!("{} answers again", self.shown));
                    }
                    return Ok(response);
                }
                Err(error) if error.is_builder() => {
                    return Err(TransportError::Unreachable(innermost(&error)));
                }
                Err(error) if !error.is_connect() => return Err(TransportError::Lost(innermost(&error))),
                Err(error) => {
                    let reason = innermost(&error);
                    if !self.is_away.swap(true, Ordering::Relaxed) {
                        note(&format!("{} does not answer: {reason}", self.shown));
                    }
                    if Instant::now() >= deadline {
                        return Err(TransportError::Unreachable(reason));
                    }
                    sleep(LOOK_EVERY).await;
                }
            }
        }
    }
}

/// Returns the headers of a message in a session.
pub(super) fn in_session(session: &Session) -> Vec<(String, String)> {
    let version = Some((VERSION.to_owned(), session.version.clone()));
    let id = session.id.clone().map(|id| (SESSION_ID.to_owned(), id));
    id.into_iter().chain(version).collect()
}

fn read(response: Response) -> Boxed<'static, Result<Answered, TransportError>> {
    Box::pin(read_now(response))
}

async fn read_now(response: Response) -> Result<Answered, TransportError> {
    let status = response.status();
    let text = |headers: &HeaderMap, name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    };
    let session = text(response.headers(), SESSION_ID);
    let kind = text(response.headers(), CONTENT_TYPE.as_str()).unwrap_or_default();
    if !status.is_success() {
        let wait = text(response.headers(), RETRY_AFTER.as_str()).and_then(|wait| wait.trim().parse().ok());
        let body = whole(response, MAX_REFUSAL).await.unwrap_or_default();
        let reply = Reply::Refused(status.as_u16(), Fault::of_status(status.as_u16(), &body, wait));
        return Ok(Answered { reply, session });
    }
    if kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream") {
        let sse = SseData::with_limit(MAX_ANSWER);
        let reply = Reply::Events(Box::new(Events { response, sse, ready: VecDeque::new() }));
        return Ok(Answered { reply, session });
    }
    let body = whole(response, MAX_ANSWER).await?;
    let body = body.trim_ascii();
    let reply = match body.is_empty() {
        true => Reply::Accepted,
        false if std::str::from_utf8(body).is_err() => {
            return Err(TransportError::Lost("it is not UTF-8".to_owned()));
        }
        false => Reply::Message(Bytes::copy_from_slice(&one_line(body))),
    };
    Ok(Answered { reply, session })
}

async fn whole(mut response: Response, most: usize) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(piece) = next_piece(&mut response).await? {
        body.extend_from_slice(&piece);
        if body.len() > most {
            return Err(TransportError::Lost(format!("it is longer than {most} bytes")));
        }
    }
    Ok(body)
}

async fn next_piece(response: &mut Response) -> Result<Option<Bytes>, TransportError> {
    let piece = timeout(SILENCE, response.chunk()).await;
    let piece =
        piece.map_err(|_| TransportError::Lost(format!("nothing came for {} s", SILENCE.as_secs())))?;
    piece.map_err(|error| TransportError::Lost(innermost(&error)))
}

/// A stream of messages. Dropping it closes its connection.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    sse: SseData,
    ready: VecDeque<Bytes>,
}

impl From<TooLong> for TransportError {
    fn from(error: TooLong) -> TransportError {
        TransportError::Lost(error.to_string())
    }
}

impl Events {
    /// Waits for the next message, which is on one line. `None` at the end of the stream.
    pub(super) fn next(&mut self) -> Boxed<'_, Result<Option<Bytes>, TransportError>> {
        Box::pin(async move {
            loop {
                if let Some(message) = self.ready.pop_front() {
                    return Ok(Some(message));
                }
                let Some(piece) = next_piece(&mut self.response).await? else { return Ok(None) };
                let ready = &mut self.ready;
                self.sse.feed(&piece, |data| {
                    ready.push_back(Bytes::copy_from_slice(&one_line(data.as_bytes())));
                    Ok::<(), TransportError>(())
                })?;
            }
        })
    }

    /// Returns the id of the last event, by which the stream can be taken up again; `None` if there was none.
    pub(super) fn last_id(&self) -> Option<&str> {
        self.sse.last_id()
    }
}
