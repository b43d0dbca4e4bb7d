//! What the server was asked and did, a line of JSON each, for run.py to count: the lines of journal.mjs, which says
//! what they mean. Each is written at once, because the process is killed in the middle of things.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{self, Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Body as _, Frame, SizeHint};
use serde_json::{Value, json};

/// More than any request of the checks has, and more than the SDK takes.
const MAX_BODY: usize = 64 * 1024 * 1024;
const MAX_ARGUMENTS: usize = 200;

#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    file: Option<File>,
    requests: AtomicU64,
}

impl Journal {
    pub fn open(path: Option<&str>) -> io::Result<Self> {
        let file = path.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self(Arc::new(Inner { file, requests: AtomicU64::new(0) })))
    }

    pub fn ran(&self, tool: &str, arguments: &Value) {
        let arguments: String = arguments.to_string().chars().take(MAX_ARGUMENTS).collect();
        self.write("ran", json!({"tool": tool, "arguments": arguments}));
    }

    pub fn stopped(&self, tool: &str) {
        self.write("stopped", json!({"tool": tool}));
    }

    fn write(&self, what: &str, mut told: Value) {
        let Some(mut file) = self.0.file.as_ref() else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        told["what"] = json!(what);
        told["pid"] = json!(std::process::id());
        told["at"] = json!(at);
        // In one write: others write to the same file.
        if let Err(error) = file.write_all(format!("{told}\n").as_bytes()) {
            eprintln!("the journal cannot be written: {error}");
        }
    }
}

/// Writes down each request from its beginning to the end of its answer.
pub async fn watch(State(journal): State<Journal>, request: Request, next: Next) -> Response {
    let n = journal.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let headers = request.headers();
    journal.write(
        "asked",
        json!({
            "n": n,
            "verb": request.method().as_str(),
            "path": request.uri().to_string(),
            "session": text(headers, "mcp-session-id"),
            "version": text(headers, "mcp-protocol-version"),
        }),
    );
    let mut watched = Watched { journal, n, whole: false };
    let request = watched.overhear(request).await;
    let (head, body) = next.run(request).await.into_parts();
    watched.journal.write(
        "answered",
        json!({
            "n": n,
            "status": head.status.as_u16(),
            "session": text(&head.headers, "mcp-session-id"),
            "type": text(&head.headers, "content-type"),
            // hyper writes the header once it knows it of the body.
            "length": body.size_hint().exact(),
        }),
    );
    // One that is never asked for anything is whole as it is.
    watched.whole = body.is_end_stream();
    Response::from_parts(head, Body::new(Answer { body, watched }))
}

/// A request whose answer is not over. Its end is written down when it is dropped, also where the client has left.
struct Watched {
    journal: Journal,
    n: u64,
    whole: bool,
}

impl Watched {
    async fn overhear(&self, request: Request) -> Request {
        if request.method() != Method::POST {
            return request;
        }
        let (head, body) = request.into_parts();
        let bytes = body::to_bytes(body, MAX_BODY).await.unwrap_or_default();
        let message: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        self.journal.write("message", json!({"n": self.n, "method": message["method"], "id": message["id"]}));
        Request::from_parts(head, Body::from(bytes))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.journal.write("ended", json!({"n": self.n, "whole": self.whole}));
    }
}

/// The body of an answer, which goes through as it is.
struct Answer {
    body: Body,
    watched: Watched,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(None) => self.watched.whole = true,
            // Of a length that is known nobody asks for more than the last of it.
            Poll::Ready(Some(Ok(_))) => self.watched.whole = self.body.is_end_stream(),
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn text(headers: &HeaderMap, name: &str) -> Value {
    headers.get(name).and_then(|value| value.to_str().ok()).map_or(Value::Null, Value::from)
}
