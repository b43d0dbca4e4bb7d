//! The stream that a session has of its own, by GET: what a server announces and no request is about.

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use tokio::sync::mpsc;

use super::fault::Fault;
use super::legacy::LegacyCall;
use super::listen::covers;
use super::outgoing::{self, Message, WAITING, takes_streams};
use super::routing::address_here;
use super::session::Session;
use super::target::{Aggregates, Target};
use crate::gateway::{Announcements, Gateway, News};
use crate::mcp::method;
use crate::mcp::translate::LEGACY_VERSIONS;

/// Number of the session's own stream in the ids of events.
const OWN: u64 = 0;

impl LegacyCall<'_> {
    /// Answers GET: with the rest of the stream whose event the client has seen last, else with the session's own one.
    pub(super) fn stream(&self, session: &Arc<Session>) -> Result<Response, Fault> {
        if !takes_streams(self.headers) {
            let text = "GET is answered with a stream of events: accept text/event-stream";
            return Err(Fault::http(StatusCode::METHOD_NOT_ALLOWED, text));
        }
        let seen = last_event(self.headers);
        // What is left of a stream that is not kept any more cannot be told. An error would be taken for the end of the
        // session, and so the own stream is opened.
        let broken = seen.filter(|(stream, _)| *stream != OWN);
        let broken = broken.and_then(|(stream, after)| Some((session.outlet(stream)?, after)));
        if let Some((outlet, after)) = broken {
            return Ok(self.replay(session, None, outlet.read_after(after)));
        }
        let permit = self.state.streams(self.settings).open(self.caller.key_id().clone());
        let permit = permit.map_err(|full| Fault::http(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
        let caller = &session.opening.scope.caller(self.caller);
        let announcements = match self.target {
            Target::One(server) => self.gateway.announcements(caller, server).map_err(Fault::of)?,
            Target::Several(_) => self.gateway.announcements_of_all(caller),
        };
        let number = session.number();
        let is_mine = session.own_stream.send_if_modified(|newest| {
            let is_open = *newest != u64::MAX;
            *newest = if is_open { number } else { u64::MAX };
            is_open
        });
        if !is_mine {
            return Err(Fault::http(StatusCode::NOT_FOUND, "There is no such session (any more)"));
        }
        let (messages, received) = mpsc::channel(WAITING);
        let (target, aggregates) = (self.target.clone(), self.state.aggregates.clone());
        let (session, gateway) = (session.clone(), self.gateway.clone());
        let feed = Feed { session, target, aggregates, gateway, announcements, number, count: 0 };
        let came_back = seen.is_some();
        tokio::spawn(async move {
            let _permit = permit;
            feed.run(messages, came_back).await;
        });
        Ok(outgoing::stream(received))
    }
}

/// Reads the id of the last event that a client has seen: the number of its stream, and its own.
fn last_event(headers: &HeaderMap) -> Option<(u64, u64)> {
    let given = headers.get("last-event-id")?.to_str().ok()?;
    let (stream, number) = given.trim().split_once('-')?;
    Some((stream.parse().ok()?, number.parse().ok()?))
}

struct Feed {
    session: Arc<Session>,
    target: Target,
    aggregates: Aggregates,
    gateway: Gateway,
    announcements: Announcements,
    /// Number of this connection among those of the stream; a later one ends it.
    number: u64,
    count: u64,
}

impl Feed {
    async fn run(mut self, messages: mpsc::Sender<Message>, came_back: bool) {
        let _held = self.session.hold();
        let session = self.session.clone();
        let mut connections = session.own_stream.subscribe();
        let number = self.number;
        let replaced = async move {
            let _ = connections.wait_for(|newest| *newest != number).await;
        };
        tokio::pin!(replaced);
        // While it was away, any of these may have happened.
        let mut due = if came_back { self.all() } else { Vec::new() };
        loop {
            for text in due.drain(..) {
                self.count += 1;
                let can_resume = self.session.opening.version >= LEGACY_VERSIONS[LEGACY_VERSIONS.len() - 1];
                let id = can_resume.then(|| format!("{OWN}-{}", self.count));
                if messages.send(Message::numbered(id, text)).await.is_err() {
                    return;
                }
            }
            let news = tokio::select! {
                biased;
                () = messages.closed() => return,
                () = &mut replaced => return,
                news = self.announcements.next() => news,
            };
            // Servers may have come and gone. A group that is gone has nothing to tell any more.
            match self.aggregates.again(&self.gateway, &self.target) {
                Some(now) => self.target = now,
                None => return,
            }
            match news {
                News::Notice(server, notice) if self.target.has(&server) => {
                    due.extend(self.told(&server, &notice.method, notice.params.as_deref()));
                }
                News::Notice(..) => {}
                News::Lost => due = self.all(),
                News::End(_) => return,
            }
        }
    }

    /// Returns the notification for the client; `None` if it is not for it.
    fn told(&self, server: &str, name: &str, params: Option<&[u8]>) -> Option<Vec<u8>> {
        if name == method::RESOURCE_UPDATED {
            let params: Value = serde_json::from_slice(params?).ok()?;
            let uri = address_here(&self.target, server, params["uri"].as_str()?)?;
            let is_followed = self.session.followed().iter().any(|followed| covers(followed, &uri));
            return is_followed.then(|| updated(&uri));
        }
        if name == method::MESSAGE {
            return self.session.wants_log(params?).then(|| outgoing::notification(name, params));
        }
        let is_list =
            [method::TOOLS_CHANGED, method::RESOURCES_CHANGED, method::PROMPTS_CHANGED].contains(&name);
        is_list.then(|| outgoing::notification(name, None))
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let lists = [method::TOOLS_CHANGED, method::RESOURCES_CHANGED, method::PROMPTS_CHANGED];
        let lists = lists.iter().map(|name| outgoing::notification(name, None));
        lists.chain(self.session.followed().iter().map(|uri| updated(uri))).collect()
    }
}

fn updated(uri: &str) -> Vec<u8> {
    let params = serde_json::json!({"uri": uri}).to_string();
    outgoing::notification(method::RESOURCE_UPDATED, Some(params.as_bytes()))
}
