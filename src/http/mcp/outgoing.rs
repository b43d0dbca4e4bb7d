//! Messages on their way to a client: written whole, and sent as JSON or as events of a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep};

use crate::gateway::{Error, Gateway, Principal, UnreadAnswer};
use crate::http::core::events;
use crate::http::core::owed::in_pieces;
use crate::jsonrpc::{one_line, push_string};

/// Time after which an answer that has not come becomes a stream, so that comments keep the connection open and a client
/// that has left is noticed.
pub(super) const UPGRADE_AFTER: Duration = Duration::from_secs(10);
/// Size in bytes up to which a result is copied; below it, a copy costs less than more pieces do.
const COPIED: usize = 256 * 1024;
/// Number of messages that may wait for a connection.
pub(super) const WAITING: usize = 16;

/// Writes the answer to the request with this id; both are raw JSON.
pub(super) fn result(id: &[u8], result: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(id.len() + result.len() + 40);
    push_begin(&mut out, id);
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

/// Writes what stands before the result in an answer; behind it is a brace.
pub(super) fn push_begin(out: &mut Vec<u8>, id: &[u8]) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
}

/// Result on its way to a client.
pub(super) enum Told {
    /// The result, raw JSON.
    Result(Bytes),
    /// The answer with it, whole.
    Answer(Vec<u8>),
}

impl Told {
    /// Returns the answer to the request with this id.
    pub(super) fn message(self, id: &[u8]) -> Vec<u8> {
        match self {
            Told::Result(result) => self::result(id, &result),
            Told::Answer(answer) => answer,
        }
    }
}

/// Returns the answer with a result. A large one goes out in the buffer that it came in.
pub(super) fn answer(id: &[u8], told: Told) -> Response {
    let result = match told {
        Told::Answer(answer) => return json(answer),
        Told::Result(result) if result.len() <= COPIED => return json(self::result(id, &result)),
        Told::Result(result) => result,
    };
    let mut begin = Vec::with_capacity(id.len() + 40);
    push_begin(&mut begin, id);
    let weight = result.len();
    let mut response = in_pieces([begin.into(), result, Bytes::from_static(b"}")], weight);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Writes a notification; `params` is raw JSON, `None` for none.
pub(super) fn notification(method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\",\"method\":".to_vec();
    push_string(&mut out, method);
    push_params(&mut out, params);
    out
}

/// Writes a request of the gateway to a client; `params` is raw JSON, `None` for none.
pub(super) fn request(id: u64, method: &str, params: Option<&[u8]>) -> Vec<u8> {
    let mut out = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":").into_bytes();
    push_string(&mut out, method);
    push_params(&mut out, params);
    out
}

fn push_params(out: &mut Vec<u8>, params: Option<&[u8]>) {
    if let Some(params) = params {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(&one_line(params));
    }
    out.push(b'}');
}

/// Returns an answer of one message.
pub(super) fn json(message: impl Into<Body>) -> Response {
    let mut response = Response::new(message.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Reports whether a client takes a stream as an answer. One that names no type at all takes any.
pub(super) fn takes_streams(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(axum::http::header::ACCEPT);
    let mut types =
        accepted.iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let is_stream = |given: &str| {
        let essence = given.split(';').next().unwrap_or_default().trim();
        ["text/event-stream", "text/*", "*/*"].iter().any(|known| essence.eq_ignore_ascii_case(known))
    };
    // As the SDKs write it.
    if accepted.iter().next().is_none_or(|value| value.as_bytes().ends_with(b", text/event-stream")) {
        return true;
    }
    types.any(is_stream)
}

/// A message for a stream, with the id that it can be asked for again by; `None` for none.
pub(super) struct Message {
    id: Option<String>,
    /// The message on one line; empty for an event that only has an id.
    text: Bytes,
    /// Count of a large message among what waits to be read; `None` for others.
    owed: Option<UnreadAnswer>,
}

/// Size of a message, in bytes, from which it counts among what waits to be read.
const COUNTED: usize = 64 * 1024;

impl Message {
    /// Creates a small message that cannot be asked for again.
    pub(super) fn plain(text: impl Into<Bytes>) -> Message {
        Message { id: None, text: text.into(), owed: None }
    }

    /// Creates a small message that can be asked for again.
    pub(super) fn numbered(id: Option<String>, text: impl Into<Bytes>) -> Message {
        Message { id, text: text.into(), owed: None }
    }

    /// Counts the message among what waits to be read, if it is large. Fails if there is no room for it.
    pub(super) fn counted(mut self, gateway: &Gateway, caller: &Principal) -> Result<Message, Error> {
        if self.text.len() > COUNTED {
            self.owed = Some(gateway.owe(Some(caller), self.text.len(), true)?);
        }
        Ok(self)
    }

    /// Returns the message as an event (WHATWG HTML, section 9.2.6). An empty text is an empty `data` field: without the
    /// field, clients do not take notice of the id (axum's events leave it out).
    fn into_event(self) -> Bytes {
        let mut event = Vec::with_capacity(self.text.len() + 48);
        if let Some(id) = &self.id {
            event.extend_from_slice(b"id: ");
            event.extend_from_slice(id.as_bytes());
            event.push(b'\n');
        }
        event.extend_from_slice(b"data: ");
        event.extend_from_slice(&one_line(&self.text));
        event.extend_from_slice(b"\n\n");
        event.into()
    }
}

/// Comment on a quiet stream.
const COMMENT: &[u8] = b":\n\n";

/// Returns an answer with these messages as events. The first comment goes out at once: some proxies hold back the head of
/// an answer until its first byte.
pub(super) fn stream(messages: mpsc::Receiver<Message>) -> Response {
    let body = Events { messages, quiet: None, owed_now: None };
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    events::ask_proxies(&mut response);
    response
}

struct Events {
    messages: mpsc::Receiver<Message>,
    /// End of the time without an event; `None` before the first comment.
    quiet: Option<Pin<Box<Sleep>>>,
    /// Count of the message that was taken last: until the connection asks for the next one.
    owed_now: Option<UnreadAnswer>,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let comment = || Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(COMMENT)))));
        let Some(quiet) = &mut this.quiet else {
            this.quiet = Some(Box::pin(sleep(events::KEEP_ALIVE)));
            return comment();
        };
        if let Poll::Ready(next) = this.messages.poll_recv(context) {
            quiet.as_mut().reset(Instant::now() + events::KEEP_ALIVE);
            let Some(mut message) = next else { return Poll::Ready(None) };
            this.owed_now = message.owed.take();
            return Poll::Ready(Some(Ok(Frame::data(message.into_event()))));
        }
        this.owed_now = None;
        ready!(quiet.as_mut().poll(context));
        quiet.as_mut().reset(Instant::now() + events::KEEP_ALIVE);
        comment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::ACCEPT;

    #[test]
    fn messages_are_written_on_one_line_with_their_parts_as_they_came() {
        let written = |message: Vec<u8>| String::from_utf8(message).expect("UTF-8");
        assert_eq!(
            written(result(b"\"a\"", b"{\"x\": 1.0}")),
            r#"{"jsonrpc":"2.0","id":"a","result":{"x": 1.0}}"#
        );
        assert_eq!(
            written(notification("n", Some(b"{\n}"))),
            r#"{"jsonrpc":"2.0","method":"n","params":{ }}"#
        );
        assert_eq!(written(request(7, "m", None)), r#"{"jsonrpc":"2.0","id":7,"method":"m"}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_begins_with_a_comment_and_has_one_whenever_it_is_quiet() {
        let (sender, received) = mpsc::channel(4);
        let mut body = stream(received).into_body();
        let mut next = async || {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
            frame.map(|frame| frame.expect("no error").into_data().expect("data"))
        };
        assert_eq!(next().await.as_deref(), Some(COMMENT));
        let _ = sender.try_send(Message::numbered(Some("1-0".to_owned()), ""));
        let _ = sender.try_send(Message::plain("{\"a\":\r1}"));
        assert_eq!(next().await.as_deref(), Some(&b"id: 1-0\ndata: \n\n"[..]));
        assert_eq!(next().await.as_deref(), Some(&b"data: {\"a\": 1}\n\n"[..]));
        let began = Instant::now();
        assert_eq!(next().await.as_deref(), Some(COMMENT));
        assert_eq!(began.elapsed(), events::KEEP_ALIVE);
        drop(sender);
        assert_eq!(next().await, None);
    }

    #[test]
    fn who_names_only_json_gets_no_stream() {
        let takes = |given: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            given.map(|given| headers.insert(ACCEPT, HeaderValue::from_static(given)));
            takes_streams(&headers)
        };
        for good in [None, Some("*/*"), Some("application/json, Text/Event-Stream;q=0.5"), Some("text/*")] {
            assert!(takes(good), "{good:?}");
        }
        assert!(!takes(Some("application/json")) && !takes(Some("text/plain, application/*")));
    }
}
