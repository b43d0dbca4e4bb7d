//! The client of the model's endpoint: one turn at a time, tried again where that is safe.

mod calls;
mod stream;
mod wire;

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::stream::Folded;
pub use self::wire::TokenUsage;
pub(super) use self::wire::{ChatRequest, Reply, StreamOptions, ToolRequest, tool_message};
use super::settings::{ApiKey, LlmSettings};
use super::sse::{LONGEST, SseData};
use super::{Event, ModelError, QueryError};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// The first pause before a turn is tried again, where the endpoint names none; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// See the module.
pub(super) struct Chat {
    settings: Arc<LlmSettings>,
    endpoint: String,
    /// Made for the first query: the certificates of the system take time and memory.
    client: OnceLock<Client>,
}

/// What one try came to, when it came to nothing.
struct Failed {
    error: ModelError,
    /// Whether another try may go better, and nobody has heard anything of this one.
    again: bool,
}

impl Chat {
    pub(super) fn new(settings: Arc<LlmSettings>) -> Chat {
        Chat { endpoint: settings.endpoint(), settings, client: OnceLock::new() }
    }

    fn client(&self) -> Result<&Client, ModelError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // There is one already where this process serves TLS; which one that is does not matter.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let made = Client::builder()
            .connect_timeout(CONNECT)
            // A redirect would take the key and the conversation to a place that nobody configured.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("mcpvisor/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ModelError::Unreachable { reason: whole(&error) })?;
        Ok(self.client.get_or_init(|| made))
    }

    /// Asks for one turn. With `events` it is streamed there as it comes.
    pub(super) async fn turn(
        &self,
        key: Option<&ApiKey>,
        request: &mut ChatRequest<'_>,
        deadline: Instant,
        events: Option<&mpsc::Sender<Event>>,
    ) -> Result<Reply, QueryError> {
        let client = self.client()?;
        let mut tries = 0;
        loop {
            let body = serde_json::to_vec(&request)
                .map_err(|error| ModelError::Unusable { reason: error.to_string() })?;
            let failed = match self.attempt(client, key, body.into(), events).await {
                Ok(reply) => return Ok(reply),
                Err(failed) => failed,
            };
            if request.stream_options.is_some() && dislikes_options(&failed.error) {
                request.stream_options = None;
                continue;
            }
            let pause = pause(&failed.error, tries);
            if !failed.again || tries >= self.settings.retries || Instant::now() + pause >= deadline {
                return Err(without_key(failed.error, key).into());
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
        let unreachable = |reason: String, again| Failed { error: ModelError::Unreachable { reason }, again };
        let sent = timeout(self.settings.timeout, request.send()).await;
        let response = match sent {
            // It may be at work on it still, so it is not asked the same again.
            Err(_) => {
                let error = ModelError::Silent { after: self.settings.timeout };
                return Err(Failed { error, again: false });
            }
            Ok(Err(error)) => return Err(unreachable(whole(&error), true)),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(self.refused(response).await);
        }
        let is_stream = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let read = match events.filter(|_| is_stream) {
            Some(events) => self.read_stream(response, events).await,
            None => match self.read_whole(response).await {
                Ok(body) => wire::read_completion(&body),
                Err(error) => Err(error),
            },
        };
        read.map_err(|error| Failed { error, again: false })
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
        let retry_after = retry_after(response.headers(), SystemTime::now());
        let body = self.read_whole(response).await.unwrap_or_default();
        let used_up = wire::error_code(&body).is_some_and(|code| code == "insufficient_quota");
        let again = matches!(status, 408 | 409 | 429 | 500..) && !used_up;
        Failed { error: ModelError::Refused { status, message: wire::error_text(&body), retry_after }, again }
    }

    async fn read_whole(&self, response: Response) -> Result<Vec<u8>, ModelError> {
        let (mut incoming, mut body) = (self.incoming(response), Vec::new());
        while let Some(piece) = incoming.next().await? {
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn read_stream(
        &self,
        response: Response,
        events: &mpsc::Sender<Event>,
    ) -> Result<Reply, ModelError> {
        let (mut pieces, mut folded) = (SseData::default(), Folded::default());
        let mut incoming = self.incoming(response);
        while let Some(bytes) = incoming.next().await? {
            let mut said = String::new();
            let fed = pieces.feed(&bytes, |data| {
                said.push_str(&folded.take(data)?.unwrap_or_default());
                Ok::<(), ModelError>(())
            });
            // Also what was said right before something went wrong.
            tell(events, said).await;
            fed?;
            if folded.is_done() {
                return folded.finish();
            }
        }
        // What nothing ended may be half an event: then it is as if it were not there.
        let rest = pieces.rest().filter(|rest| Folded::is_whole(rest));
        if let Some(rest) = rest {
            let said = folded.take(&rest)?.unwrap_or_default();
            tell(events, said).await;
        }
        folded.finish()
    }

    fn incoming(&self, response: Response) -> Incoming {
        Incoming { response, patience: self.settings.timeout, length: 0 }
    }
}

/// A body as it comes in.
struct Incoming {
    response: Response,
    patience: Duration,
    /// What has come so far.
    length: usize,
}

impl Incoming {
    /// The next bytes, unless the endpoint falls silent or never ends.
    async fn next(&mut self) -> Result<Option<Bytes>, ModelError> {
        let piece = match timeout(self.patience, self.response.chunk()).await {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => {
                return Err(ModelError::Unusable { reason: format!("it broke off: {}", whole(&error)) });
            }
            Err(_) => return Err(ModelError::Silent { after: self.patience }),
        };
        self.length += piece.as_ref().map_or(0, Bytes::len);
        if self.length > LONGEST {
            return Err(ModelError::Unusable { reason: format!("it is longer than {LONGEST} bytes") });
        }
        Ok(piece)
    }
}

/// Whoever listened may have gone; then this query is dropped in a moment.
async fn tell(events: &mpsc::Sender<Event>, said: String) {
    if !said.is_empty() {
        let _ = events.send(Event::Token(said)).await;
    }
}

/// Some servers know how to stream and not how to count meanwhile.
fn dislikes_options(error: &ModelError) -> bool {
    matches!(error, ModelError::Refused { status: 400 | 422, message, .. } if message.contains("stream_options"))
}

fn without_key(error: ModelError, key: Option<&ApiKey>) -> ModelError {
    let Some(key) = key else { return error };
    match error {
        ModelError::Unreachable { reason } => ModelError::Unreachable { reason: key.redact(&reason) },
        ModelError::Refused { status, message, retry_after } => {
            ModelError::Refused { status, message: key.redact(&message), retry_after }
        }
        ModelError::Unusable { reason } => ModelError::Unusable { reason: key.redact(&reason) },
        ModelError::Silent { .. } => error,
    }
}

fn pause(error: &ModelError, tries: u32) -> Duration {
    match error {
        ModelError::Refused { retry_after: Some(wanted), .. } => *wanted,
        _ => (PAUSE * 2u32.saturating_pow(tries)).min(LONGEST_PAUSE),
    }
}

/// When the endpoint would like to be asked again (RFC 9110, section 10.2.3; and the finer header that
/// OpenAI's clients read).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(ms) = text("retry-after-ms").and_then(|text| text.parse::<u64>().ok()) {
        return Some(Duration::from_millis(ms));
    }
    let wanted = text("retry-after")?;
    match wanted.parse::<u32>() {
        Ok(seconds) => Some(Duration::from_secs(seconds.into())),
        Err(_) => {
            let at = httpdate::parse_http_date(wanted).ok()?;
            Some(at.duration_since(now).unwrap_or_default())
        }
    }
}

/// An error with all its causes. The address has been told by who configured it.
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
    fn a_pause_is_what_the_endpoint_asks_for_or_grows() {
        let refused = |retry_after| ModelError::Refused { status: 429, message: String::new(), retry_after };
        assert_eq!(pause(&refused(Some(Duration::from_secs(7))), 0), Duration::from_secs(7));
        assert_eq!(pause(&refused(None), 0), Duration::from_millis(500));
        assert_eq!(pause(&refused(None), 2), Duration::from_secs(2));
        assert_eq!(pause(&refused(None), 40), LONGEST_PAUSE);
    }

    #[test]
    fn the_pause_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Thu, 26 Nov 2026 00:00:00 GMT").expect("a date");
        let read = |name: &'static str, value: &'static str| {
            retry_after(
                &HeaderMap::from_iter([(name.parse().expect("a name"), HeaderValue::from_static(value))]),
                now,
            )
        };
        assert_eq!(read("retry-after", "3"), Some(Duration::from_secs(3)));
        assert_eq!(read("retry-after", "Thu, 26 Nov 2026 00:00:05 GMT"), Some(Duration::from_secs(5)));
        assert_eq!(read("retry-after", "Wed, 25 Nov 2026 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("retry-after-ms", "150"), Some(Duration::from_millis(150)));
        assert_eq!(read("retry-after", "soon"), None);
    }

    #[test]
    fn no_error_tells_the_key() {
        let key = ApiKey::new("sk-secret").expect("a key");
        let message = "Incorrect API key provided: sk-secret".to_owned();
        let error = without_key(ModelError::Refused { status: 401, message, retry_after: None }, Some(&key));
        assert!(!error.to_string().contains("sk-secret"));
    }
}
