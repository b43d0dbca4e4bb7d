//! Messages on their way to a client: written whole, and sent as JSON or as events of a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use axum::response::sse::Event;
use bytes::Bytes;
use futures_core::Stream;
use tokio::sync::mpsc;

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
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id);
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.push(b'}');
    out
}

/// Returns the answer with a result, raw JSON. A large one goes out in the buffer that it came in.
pub(super) fn answer(id: &[u8], result: Bytes) -> Response {
    if result.len() <= COPIED {
        return json(self::result(id, &result));
    }
    let mut begin = b"{\"jsonrpc\":\"2.0\",\"id\":".to_vec();
    begin.extend_from_slice(id);
    begin.extend_from_slice(b",\"result\":");
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
    accepted.iter().next().is_none() || types.any(is_stream)
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

    fn into_event(self) -> Event {
        // What is sent here was read as UTF-8 before.
        let event = Event::default().data(String::from_utf8_lossy(&self.text));
        match self.id {
            Some(id) => event.id(id),
            None => event,
        }
    }
}

/// Returns an answer with these messages as events. The first comment goes out at once: some proxies hold back the head of
/// an answer until its first byte.
pub(super) fn stream(messages: mpsc::Receiver<Message>) -> Response {
    events::answer(Messages { messages, is_open: false, owed_now: None })
}

struct Messages {
    messages: mpsc::Receiver<Message>,
    is_open: bool,
    /// Count of the message that was taken last: until the connection asks for the next one.
    owed_now: Option<UnreadAnswer>,
}

impl Stream for Messages {
    type Item = Result<Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !self.is_open {
            self.is_open = true;
            return Poll::Ready(Some(Ok(Event::default().comment(""))));
        }
        let Poll::Ready(next) = self.messages.poll_recv(context) else { return Poll::Pending };
        self.owed_now = None;
        Poll::Ready(next.map(|mut message| {
            self.owed_now = message.owed.take();
            Ok(message.into_event())
        }))
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
