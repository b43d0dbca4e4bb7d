//! The client of the model's endpoint: one turn at a time, tried again where that is safe.

mod calls;
mod excerpt;
mod halves;
mod model_quirks;
mod pause;
mod pieces;
mod refusal;
mod shorter;
mod stream;
mod wire;

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderValue;
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::model_quirks::{Learnt, ModelQuirks};
use self::pause::{pause, retry_after};
use self::refusal::EndpointError;
pub(super) use self::shorter::plain_id;
use self::stream::CompletionBuilder;
pub use self::wire::TokenUsage;
pub(super) use self::wire::{ChatRequest, Reply, StreamOptions, ToolRequest, tool_message};
use self::wire::{Unread, is_passing};
use super::rejected_tools::RejectedTools;
use super::settings::{ApiKey, LlmSettings};
use super::{Event, ModelError, QueryError};
use crate::clock;
use crate::sse::{MAX_EVENT, SseData, without_mark};

/// Time limit for making a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Client of one endpoint; see the module.
pub(super) struct Chat {
    settings: Arc<LlmSettings>,
    endpoint: String,
    /// HTTP client, made for the first query: the certificates of the system take time and memory.
    client: OnceLock<Client>,
    learnt: Learnt,
    /// Tools that the endpoint refused.
    pub(super) unwanted: RejectedTools,
}

/// Error of one try, and the conditions of another.
struct Failed {
    error: ModelError,
    /// `true` if another try may go better, and no event of this one has been sent.
    again: bool,
    /// `true` if no event of this try has been sent.
    is_open: bool,
}

impl Failed {
    /// Returns the error of a request with `count` tools, if they may be the reason for the refusal.
    fn of_tools(self, count: usize) -> ModelError {
        match self.error {
            ModelError::Refused { status: status @ (400 | 413 | 422), message, retry_after, .. }
                if self.is_open =>
            {
                ModelError::Refused { status, message, retry_after, tools: count }
            }
            error => error,
        }
    }
}

impl From<ModelError> for Failed {
    fn from(error: ModelError) -> Failed {
        Failed { error, again: false, is_open: true }
    }
}

impl From<Unread> for Failed {
    fn from(unread: Unread) -> Failed {
        Failed { again: unread.again, ..unread.error.into() }
    }
}

impl Chat {
    pub(super) fn new(settings: Arc<LlmSettings>) -> Chat {
        let (client, learnt, unwanted) = (OnceLock::new(), Learnt::default(), RejectedTools::default());
        Chat { endpoint: settings.endpoint(), settings, client, learnt, unwanted }
    }

    fn client(&self) -> Result<&Client, ModelError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // There is one already if this process serves TLS; which one that is does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = Client::builder()
            .connect_timeout(CONNECT)
            // A redirect would take the key and the conversation to an address that is not configured.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mcpvisor/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ModelError::Unreachable { reason: whole(&error) })?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Asks for one turn. With `events` it is streamed there as it comes. A refused part that the request can do
    /// without is left out at the next try, and from then on if that was taken.
    pub(super) async fn turn(
        &self,
        key: Option<&ApiKey>,
        request: &ChatRequest<'_>,
        deadline: Instant,
        events: Option<&mpsc::Sender<Event>>,
    ) -> Result<Reply, QueryError> {
        let client = self.client()?;
        let mut dislikes = self.learnt.of(request.model);
        let (mut tries, mut has_learnt) = (0, false);
        loop {
            let failed = match self.attempt(client, key, body(request, &dislikes)?, events).await {
                Ok(reply) => {
                    if has_learnt {
                        self.learnt.keep(request.model, dislikes);
                    }
                    return Ok(reply);
                }
                Err(failed) => failed,
            };
            if learn(&mut dislikes, &failed, request) {
                tracing::debug!(error = %without_key(failed.error, key), ?dislikes, "asking the model otherwise");
                has_learnt = true;
                continue;
            }
            let pause = pause(&failed.error, tries);
            if !failed.again || tries >= self.settings.retries || Instant::now() + pause >= deadline {
                return Err(without_key(failed.of_tools(request.tools.len()), key).into());
            }
            tries += 1;
            tracing::debug!(error = %without_key(failed.error, key), tries, "asking the model again");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(
        &self,
        client: &Client,
        key: Option<&ApiKey>,
        body: Bytes,
        events: Option<&mpsc::Sender<Event>>,
    ) -> Result<Reply, Failed> {
        let request =
            self.sign(client.post(&self.endpoint), key).header("content-type", "application/json").body(body);
        let sent = timeout(self.settings.timeout, request.send()).await;
        let response = match sent {
            // It may still be at work on it, so it is not asked the same again.
            Err(_) => return Err(ModelError::Silent { after: self.settings.timeout }.into()),
            Ok(Err(error)) => {
                let error = ModelError::Unreachable { reason: whole(&error) };
                return Err(Failed { again: true, ..error.into() });
            }
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let is_stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
        let wait = retry_after(response.headers(), clock::wall_clock());
        let (read, was_heard) = if is_stream {
            self.read_stream(response, events).await
        } else {
            let read = self.read_whole(response).await.map_err(Failed::from);
            (read.and_then(|body| Ok(read_body(&body)?)), false)
        };
        read.map_err(|mut failed| {
            if let ModelError::Refused { retry_after, .. } = &mut failed.error {
                *retry_after = retry_after.or(wait);
            }
            Failed { again: failed.again && !was_heard, is_open: !was_heard, ..failed }
        })
    }

    fn sign(&self, request: RequestBuilder, key: Option<&ApiKey>) -> RequestBuilder {
        let Some(key) = key else { return request };
        let (name, text) = match self.settings.is_azure() {
            true => ("api-key", key.expose().to_owned()),
            false => ("authorization", format!("Bearer {}", key.expose())),
        };
        match HeaderValue::try_from(text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                request.header(name, value)
            }
            // Keys are printable ASCII.
            Err(_) => request,
        }
    }

    async fn refused(&self, response: Response) -> Failed {
        let status = response.status().as_u16();
        let wait = retry_after(response.headers(), clock::wall_clock());
        let body = self.read_whole(response).await.unwrap_or_default();
        let told = EndpointError::read(&body);
        let again = is_passing(status, &told);
        let retry_after = wait.or(told.wait);
        Failed {
            again,
            ..ModelError::Refused { status, message: told.message, retry_after, tools: 0 }.into()
        }
    }

    async fn read_whole(&self, response: Response) -> Result<Vec<u8>, ModelError> {
        let (mut incoming, mut body) = (self.incoming(response), Vec::new());
        while let Some(piece) = incoming.next().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    /// Reads the streamed message. The flag is `true` if a part of it has been sent as an event.
    async fn read_stream(
        &self,
        response: Response,
        events: Option<&mpsc::Sender<Event>>,
    ) -> (Result<Reply, Failed>, bool) {
        let mut told = EventSink { events, was_heard: false };
        let read = self.fold(response, &mut told).await;
        (read, told.was_heard)
    }

    async fn fold(&self, response: Response, told: &mut EventSink<'_>) -> Result<Reply, Failed> {
        let (mut pieces, mut folded) = (SseData::default(), CompletionBuilder::default());
        let mut incoming = self.incoming(response);
        while let Some(bytes) = incoming.next().await? {
            let mut said = String::new();
            let fed = pieces.feed(&bytes, |data| {
                said.push_str(&folded.take(data)?.unwrap_or_default());
                Ok::<(), Unread>(())
            });
            // Also text that came right before an error.
            told.tell(said).await;
            fed?;
            if folded.is_done() {
                break;
            }
        }
        // Data without an end may be half an event, and is ignored then.
        let rest = pieces.rest().filter(|rest| !folded.is_done() && CompletionBuilder::is_whole(rest));
        let mut said = match rest {
            Some(rest) => folded.take(&rest)?.unwrap_or_default(),
            None => String::new(),
        };
        said.push_str(&folded.rest());
        told.tell(said).await;
        Ok(folded.finish()?)
    }

    fn incoming(&self, response: Response) -> Incoming {
        Incoming { response, patience: self.settings.timeout, length: 0 }
    }
}

/// Body of a response as it comes in.
struct Incoming {
    response: Response,
    patience: Duration,
    /// Bytes received so far.
    length: usize,
}

impl Incoming {
    /// Returns the next bytes, `None` at the end. `Err` if the endpoint falls silent, breaks off or sends too
    /// much.
    async fn next(&mut self) -> Result<Option<Bytes>, ModelError> {
        let piece = match timeout(self.patience, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                return Err(ModelError::Unusable { reason: format!("it broke off: {}", whole(&error)) });
            }
            Err(_) => return Err(ModelError::Silent { after: self.patience }),
        };
        self.length += piece.as_ref().map_or(0, Bytes::len);
        if self.length > MAX_EVENT {
            return Err(ModelError::Unusable { reason: format!("it is longer than {MAX_EVENT} bytes") });
        }
        Ok(piece)
    }
}

/// Channel for the model's text, if the turn is streamed.
struct EventSink<'a> {
    events: Option<&'a mpsc::Sender<Event>>,
    was_heard: bool,
}

impl EventSink<'_> {
    /// Sends text as an event. The receiver may be gone; then this query is dropped soon.
    async fn tell(&mut self, said: String) {
        let Some(events) = self.events.filter(|_| !said.is_empty()) else { return };
        self.was_heard = true;
        let _ = events.send(Event::Token(said)).await;
    }
}

/// Writes the request without the disliked parts.
fn body(request: &ChatRequest<'_>, dislikes: &ModelQuirks) -> Result<Bytes, ModelError> {
    let (messages, tools) = (dislikes.messages(request.messages), dislikes.tools(request.tools));
    let stream_options = request.stream_options.filter(|_| !dislikes.stream_options());
    let shown = ChatRequest { messages: &messages, tools: &tools, stream_options, ..*request };
    let body =
        serde_json::to_vec(&shown).map_err(|error| ModelError::Unusable { reason: error.to_string() })?;
    Ok(body.into())
}

/// Reports whether the endpoint may take the request without a part that it has refused.
fn learn(dislikes: &mut ModelQuirks, failed: &Failed, request: &ChatRequest<'_>) -> bool {
    match &failed.error {
        // Some answer 500 or 404 to a request that they cannot read.
        ModelError::Refused { status: 400 | 404 | 422 | 500, message, .. } if failed.is_open => {
            dislikes.learn(message, request)
        }
        _ => false,
    }
}

/// Reads a whole answer; or events, which some send unasked and without the content type.
fn read_body(body: &[u8]) -> Result<Reply, Unread> {
    let text = without_mark(body).trim_ascii_start();
    if ![&b"data:"[..], b"event:", b":"].iter().any(|begin| text.starts_with(begin)) {
        return wire::read_completion(body);
    }
    let (mut pieces, mut folded) = (SseData::default(), CompletionBuilder::default());
    pieces.feed(text, |data| folded.take(data).map(drop))?;
    if let Some(rest) = pieces.rest().filter(|rest| CompletionBuilder::is_whole(rest)) {
        folded.take(&rest)?;
    }
    folded.finish()
}

fn without_key(error: ModelError, key: Option<&ApiKey>) -> ModelError {
    let Some(key) = key else { return error };
    match error {
        ModelError::Unreachable { reason } => ModelError::Unreachable { reason: key.redact(&reason) },
        ModelError::Refused { status, message, retry_after, tools } => {
            ModelError::Refused { status, message: key.redact(&message), retry_after, tools }
        }
        ModelError::Unusable { reason } => ModelError::Unusable { reason: key.redact(&reason) },
        ModelError::Silent { .. } => error,
    }
}

/// Formats an error with all its causes. The address is left out: the caller configured it.
fn whole(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_that_nobody_has_asked_for_or_announced() {
        let event = |delta: &str, finish: &str| {
            format!(
                "data: {{\"choices\":[{{\"delta\":{{\"content\":\"{delta}\"}},\"finish_reason\":{finish}}}]}}\n\n"
            )
        };
        for text in [
            event("hello", "\"stop\""),
            format!(": hi\n\n{}", event("hello", "\"stop\"")),
            format!("\n{}{}data: [DONE]", event("hel", "null"), event("lo", "null")),
        ] {
            assert_eq!(read_body(text.as_bytes()).expect("events").text, "hello", "{text}");
        }
        let whole = br#"{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}"#;
        assert_eq!(read_body(whole).expect("a completion").text, "hello");
        let busy = read_body(b"data: {\"error\":{\"message\":\"busy\",\"code\":429}}\n\n").expect_err("busy");
        assert!(busy.again, "{:?}", busy.error);
    }

    #[test]
    fn no_error_tells_the_key() {
        let key = ApiKey::new("sk-secret").expect("a key");
        let message = "Incorrect API key provided: sk-secret".to_owned();
        let error = without_key(
            ModelError::Refused { status: 401, message, retry_after: None, tools: 0 },
            Some(&key),
        );
        assert!(!error.to_string().contains("sk-secret"));
    }
}
