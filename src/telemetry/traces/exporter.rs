//! The task that sends spans: those of a second in one post, which is tried again where OTLP has it so. Meanwhile the queue
//! fills, and what finds no room there is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};

use super::otlp::{CallSpans, rejected, request};
use super::{Settings, SpanCounters};
use crate::clock;
use crate::retry_after::retry_after;
use crate::text::innermost;

/// Longest time that spans wait for others to be sent along.
const GATHER: Duration = Duration::from_secs(1);
/// Most calls of one post.
const MOST: usize = 256;
/// Waits before the second try of a post and those after it. Then its spans are dropped.
const AGAIN: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// Longest wait that a collector may ask for; by then there are newer spans to send.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest answer that is read, in bytes; a longer one is not looked into.
const LONGEST_ANSWER: usize = 16 * 1024;
/// Least time between two log entries about a collector that takes nothing.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Headers of posts. Their values may be keys, and are not shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Sets a header. Returns `false` for a name or a value that none may have.
    pub fn set(&mut self, name: &str, value: &str) -> bool {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return false;
        };
        value.set_sensitive(true);
        self.0.insert(name, value);
        true
    }
}

/// Message to the task.
pub(super) enum Message {
    /// A call that has ended.
    Call(Box<CallSpans>),
    /// Request to send what waits, and to say so.
    Flush(oneshot::Sender<()>),
}

struct Exporter {
    client: Client,
    endpoint: String,
    headers: HeaderMap,
    resource: Vec<(String, String)>,
    counters: Arc<SpanCounters>,
    told: Option<Instant>,
}

/// Starts the task. Fails with the reason that no client can be made.
pub(super) fn start(
    endpoint: &str,
    settings: &Settings,
    queue: mpsc::Receiver<Message>,
    counters: Arc<SpanCounters>,
) -> Result<(), String> {
    // There is one already if this process serves TLS; which one that is does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder()
        .timeout(settings.timeout)
        // A redirect would take keys to an address that is not configured.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("mcpvisor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| innermost(&error))?;
    let mut headers = settings.headers.0.clone();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    let (endpoint, resource) = (endpoint.to_owned(), settings.resource.clone());
    let exporter = Exporter { client, endpoint, headers, resource, counters, told: None };
    tokio::spawn(exporter.run(queue));
    Ok(())
}

impl Exporter {
    async fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        while let Some(first) = queue.recv().await {
            let mut calls = Vec::new();
            let mut waiting = take(first, &mut calls);
            let gathered = tokio::time::Instant::now() + GATHER;
            while waiting.is_none() && calls.len() < MOST {
                match tokio::time::timeout_at(gathered, queue.recv()).await {
                    Ok(Some(message)) => waiting = take(message, &mut calls),
                    Ok(None) | Err(_) => break,
                }
            }
            if !calls.is_empty() {
                self.send(&calls, waiting.is_none()).await;
            }
            if let Some(waiting) = waiting {
                let _ = waiting.send(());
            }
        }
    }

    async fn send(&mut self, calls: &[CallSpans], mut is_patient: bool) {
        let spans: u64 = calls.iter().map(CallSpans::count).sum();
        let body = request(&self.resource, calls);
        let mut pauses = AGAIN.iter();
        let error = loop {
            let post = self.client.post(&self.endpoint).headers(self.headers.clone()).body(body.clone());
            let (error, is_lasting, wanted) = match post.send().await {
                Ok(answer) if answer.status().is_success() => return self.taken(spans, answer).await,
                Ok(answer) => {
                    let status = answer.status();
                    (format!("it answers {status}"), !may_be_tried_again(status), wanted_pause(&answer))
                }
                Err(error) => (innermost(&error), false, None),
            };
            let Some(usual) = pauses.next().filter(|_| !is_lasting && is_patient) else { break error };
            tokio::select! {
                () = tokio::time::sleep(wanted.unwrap_or(*usual)) => {}
                // One more try, and none after it.
                () = self.counters.closing.notified() => is_patient = false,
            }
        };
        self.drop_spans(spans, &error);
    }

    /// Counts what a collector has taken: all, but for those that its answer says it has rejected.
    async fn taken(&self, spans: u64, mut answer: Response) {
        let mut body = Vec::new();
        while let Ok(Some(piece)) = answer.chunk().await {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST_ANSWER {
                body.clear();
                break;
            }
        }
        let lost = rejected(&body).min(spans);
        self.counters.exported.fetch_add(spans - lost, Ordering::Relaxed);
        self.counters.dropped.fetch_add(lost, Ordering::Relaxed);
    }

    fn drop_spans(&mut self, spans: u64, error: &str) {
        self.counters.dropped.fetch_add(spans, Ordering::Relaxed);
        if self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            self.told = Some(Instant::now());
            tracing::warn!(spans, "spans were dropped: the collector does not take them: {error}");
        }
    }
}

/// Takes a message: its call, or whoever waits.
fn take(message: Message, calls: &mut Vec<CallSpans>) -> Option<oneshot::Sender<()>> {
    match message {
        Message::Call(call) => {
            calls.push(*call);
            None
        }
        Message::Flush(waiting) => Some(waiting),
    }
}

/// Reports whether a collector may take the same later (OTLP, "Failures").
fn may_be_tried_again(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// Returns how long a collector wants to be left alone, as far as that is heeded.
fn wanted_pause(answer: &Response) -> Option<Duration> {
    let value = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    Some(retry_after(value, clock::wall_clock())?.min(LONGEST_PAUSE))
}
