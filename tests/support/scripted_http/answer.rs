//! Answers of a scripted server: a head, a body in pieces with what each waits for, and where it breaks off.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use super::Asked;

/// Place in a body that stands for the id of the request.
const ID: &str = "\"$ID\"";
/// Place in a body that stands for the progress token of the request.
const TOKEN: &str = "\"$TOKEN\"";

/// Something that holds an answer back until the test lets it go.
#[derive(Debug, Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    /// A gate that is shut.
    pub(crate) fn shut() -> Gate {
        Gate(watch::Sender::new(false))
    }

    /// Lets go what waits, and whatever comes later.
    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn passed(&self) {
        // The sender is here, so it cannot be gone.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// Messages of a stream that come when the test sends them; whoever takes them first has them.
#[derive(Debug, Clone)]
pub(super) struct Feed(Arc<Mutex<Option<mpsc::Receiver<String>>>>);

impl Feed {
    pub(super) fn new(messages: mpsc::Receiver<String>) -> Feed {
        Feed(Arc::new(Mutex::new(Some(messages))))
    }

    pub(super) fn take(&self) -> Option<mpsc::Receiver<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[derive(Debug, Clone)]
pub(super) enum Piece {
    Say(String),
    Wait(Gate),
    Feed(Feed),
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it should, and the connection is kept.
    Kept,
    /// As it should, and the connection is closed.
    Closed,
    /// The connection is closed after so many bytes of the body.
    Cut(usize),
    /// The same by a reset.
    Reset(usize),
}

/// An answer to one request. In its body `"$ID"` stands for the request's id and `"$TOKEN"` for its progress token.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<Piece>,
    pub(super) is_stream: bool,
    pub(super) has_head: bool,
    pub(super) ending: Ending,
}

impl Answer {
    /// An answer with this body.
    pub(crate) fn of(status: u16, content_type: &str, body: &str) -> Answer {
        let headers = match content_type {
            "" => Vec::new(),
            kind => vec![("Content-Type".to_owned(), kind.to_owned())],
        };
        let body = vec![Piece::Say(body.to_owned())];
        Answer { status, headers, body, is_stream: false, has_head: true, ending: Ending::Kept }
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Answer {
        Answer::of(status, "", "")
    }

    /// A message as JSON.
    pub(crate) fn json(status: u16, message: &Value) -> Answer {
        Answer::of(status, "application/json", &message.to_string())
    }

    /// The result of the request.
    pub(crate) fn result(result: Value) -> Answer {
        Answer::json(200, &answered(result))
    }

    /// An error of the protocol.
    pub(crate) fn error(status: u16, code: i64, message: &str) -> Answer {
        Answer::json(
            status,
            &json!({"jsonrpc": "2.0", "id": "$ID", "error": {"code": code, "message": message}}),
        )
    }

    /// A stream of events, in pieces as they are written.
    pub(crate) fn stream<'a>(pieces: impl IntoIterator<Item = &'a str>) -> Answer {
        let body = pieces.into_iter().map(|piece| Piece::Say(piece.to_owned())).collect();
        Answer { body, is_stream: true, ..Answer::of(200, "text/event-stream", "") }
    }

    /// A stream of events with these messages.
    pub(crate) fn events(messages: &[Value]) -> Answer {
        let pieces: Vec<String> = messages.iter().map(event).collect();
        Answer::stream(pieces.iter().map(String::as_str))
    }

    /// No answer as long as the connection lasts.
    pub(crate) fn never() -> Answer {
        Answer::empty(200).after(&Gate::shut())
    }

    pub(super) fn feed(feed: Feed, first: &str) -> Answer {
        let mut answer = Answer::stream([first]);
        answer.body.push(Piece::Feed(feed));
        answer
    }

    /// Adds a header, or takes the place of the one with this name.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Answer {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Holds the whole answer back.
    pub(crate) fn after(mut self, gate: &Gate) -> Answer {
        self.body.insert(0, Piece::Wait(gate.clone()));
        self
    }

    /// Says more, once the gate is open.
    pub(crate) fn then(mut self, gate: &Gate, more: &str) -> Answer {
        self.body.extend([Piece::Wait(gate.clone()), Piece::Say(more.to_owned())]);
        self
    }

    /// Closes the connection behind it.
    pub(crate) fn closed(mut self) -> Answer {
        self.ending = Ending::Closed;
        self
    }

    /// Closes the connection after so many bytes of the body.
    pub(crate) fn cut(mut self, bytes: usize) -> Answer {
        self.ending = Ending::Cut(bytes);
        self
    }

    /// Resets the connection after so many bytes of the body.
    pub(crate) fn reset(mut self, bytes: usize) -> Answer {
        self.ending = Ending::Reset(bytes);
        self
    }

    /// Leaves the head out: where it is cut, nothing comes at all.
    pub(crate) fn without_head(mut self) -> Answer {
        self.has_head = false;
        self
    }

    /// Puts the id and the token of the request into their places.
    pub(super) fn filled(mut self, asked: &Asked) -> Answer {
        let id = asked.message["id"].to_string();
        let token = asked.message["params"]["_meta"]["progressToken"].to_string();
        for piece in &mut self.body {
            if let Piece::Say(text) = piece {
                *text = text.replace(ID, &id).replace(TOKEN, &token);
            }
        }
        self
    }
}

/// A message as an event.
pub(crate) fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// The answer to the request with this result.
pub(crate) fn answered(result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": "$ID", "result": result})
}

/// The result of a tool that says this.
pub(crate) fn said(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}
