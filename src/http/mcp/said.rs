//! What a modern request says besides what it asks: its `_meta`, and the headers that repeat the body. A client that calls
//! again with the same head mostly says the same, so the head keeps it: what was read and checked once is then compared.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::check::{self, named_by};
use super::fault::Fault;
use super::message::{Posted, Request, is_id};
use super::outgoing::takes_streams;
use crate::http::core::head::RequestHead;
use crate::http::core::trace::trace_of;
use crate::mcp::translate::{Abilities, Envelope, Level, PROGRESS_TOKEN, TRACEPARENT};

/// Longest `_meta` that is kept, in bytes: it stays as long as the connection is open.
const MAX_KEPT: usize = 2 * 1024;

/// What a modern request says besides what it asks.
pub(super) struct Said {
    /// What the server is told of it.
    pub(super) envelope: Arc<Envelope>,
    /// Least severity of the log messages that the client wants; `None` if it wants none.
    pub(super) level: Option<Level>,
    /// The client's `clientInfo`, raw JSON; `None` if it sent none.
    pub(super) client: Option<Bytes>,
    /// What the client can be asked.
    pub(super) abilities: Abilities,
    /// The client's progress token, raw JSON; `None` if it wants no progress.
    pub(super) token: Option<Bytes>,
    /// `true` if the client takes a stream as an answer.
    pub(super) takes_streams: bool,
    /// What it is known by.
    mark: Mark,
}

/// What a request that says the same has in common with the first.
#[derive(Default)]
struct Mark {
    /// The `_meta`, as it was written; empty if it is not kept.
    meta: Box<str>,
    /// The method, which a header repeats.
    method: Box<str>,
    /// What else a header repeats; `None` for a method of which none does.
    name: Option<Box<str>>,
}

impl Said {
    /// Returns what the last request with this head said; `None` if nothing was kept.
    pub(super) fn before(head: &RequestHead) -> Option<Arc<Said>> {
        head.read_before()
    }

    /// Returns its `_meta`, by which another request is known.
    pub(super) fn meta(&self) -> &str {
        &self.mark.meta
    }

    /// Reports whether a message, whose `_meta` is that of this one, is a request that says the same.
    pub(super) fn is_of(&self, message: &Posted<'_>) -> bool {
        let Posted::Request(request) = message else { return false };
        *self.mark.method == *request.method && name_of(request).as_deref() == self.mark.name.as_deref()
    }

    /// Reads and checks what a request says, and has the head keep it if the next one may say the same.
    pub(super) fn read(request: &Request<'_>, head: &RequestHead) -> Result<Arc<Said>, Fault> {
        let meta = request.meta.as_ref();
        let has = |name: &str| meta.is_some_and(|meta| meta.get(name).is_some());
        // Both are others each time.
        let comes_again = !has(PROGRESS_TOKEN) && !has(TRACEPARENT);
        let kept = request.raw_meta.filter(|raw| comes_again && raw.len() <= MAX_KEPT);
        let check::Envelope { client, level } =
            check::check_modern(request, &head.headers, |part| match kept {
                // A part would keep the whole body.
                Some(_) => Bytes::copy_from_slice(part.as_bytes()),
                None => request.part(part),
            })?;
        let token = meta.and_then(|meta| meta.get(PROGRESS_TOKEN)).filter(|token| is_id(token.get()));
        let (info, abilities) = (client.info.clone(), client.abilities);
        let trace = trace_of(&head.headers);
        let said = Arc::new(Said {
            envelope: Arc::new(Envelope::new(meta, client, level.map(Level::name), true, trace)),
            level,
            client: info,
            abilities,
            token: token.map(|token| request.part(token.get())),
            takes_streams: takes_streams(&head.headers),
            mark: kept.map(|raw| Mark::of(request, raw)).unwrap_or_default(),
        });
        if kept.is_some() {
            head.keep_read(said.clone());
        }
        Ok(said)
    }
}

impl Mark {
    fn of(request: &Request<'_>, meta: &str) -> Mark {
        let name = name_of(request).map(|name| (*name).into());
        Mark { meta: meta.into(), method: (*request.method).into(), name }
    }
}

/// Returns what of the `params` a header repeats; `None` if nothing is there that one does.
fn name_of<'a>(request: &Request<'a>) -> Option<Cow<'a, str>> {
    named_by(&request.method).and_then(|member| request.params.text(member))
}
