//! The transport of 2024-11-05, HTTP+SSE: a stream of events is the session, requests are posted to where the stream says,
//! and their answers come on the stream, by their ids (`remote-upstreams.md`, R76 and R77).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use tokio::task::AbortHandle;

use super::events::{EventStream, content_type, is_stream};
use super::fault::{HttpFault, Word};
use super::hub::{Hub, Incident};
use super::inbox::Inbox;
use super::session::Session;
use super::verdict::{self, Refused};
use crate::jsonrpc::Incoming;
use crate::mcp::{Era, method};
use crate::upstream::parked::Parked;
use crate::upstream::pushed::progress_token;

/// Opens the stream of a server and learns where requests are posted; the task that reads it ends when the handle is
/// aborted.
pub(super) async fn open(hub: &Arc<Hub>, deadline: Instant) -> Result<AbortHandle, HttpFault> {
    let opening = async {
        let response = hub.client.get(HeaderMap::new()).await?;
        if !response.status().is_success() {
            return Err(match hub.client.refusal(response, "GET", &Session::opening(Era::Legacy)).await {
                Refused::Fault(fault) | Refused::OtherEra(fault) => fault,
                Refused::Said(_) | Refused::SessionLost => {
                    HttpFault::unseen(Word::NotMcp, "answered GET with an error; check the url")
                }
            });
        }
        if !is_stream(&response) {
            return Err(verdict::not_mcp("GET", response.status().as_u16(), content_type(&response)));
        }
        let mut stream = EventStream::apart(response, hub);
        match stream.next().await? {
            Some(event) if event.name == "endpoint" => follow_endpoint(hub, &event.data)?,
            _ => {
                let what =
                    "opened a stream of events without an endpoint first; it is no MCP server of 2024-11-05";
                return Err(HttpFault::unseen(Word::NotMcp, what));
            }
        }
        Ok(stream)
    };
    let silent = |_| HttpFault::unseen(Word::Silent, "opened no stream of events in time");
    let stream = tokio::time::timeout_at(deadline.into(), opening).await.map_err(silent)??;
    let inbox = Arc::new(Inbox::open());
    hub.set_inbox(inbox.clone());
    let hub = hub.clone();
    Ok(tokio::spawn(async move { follow(&hub, &inbox, stream).await }).abort_handle())
}

/// Takes over where requests are posted; only the same origin gets what is meant for it.
fn follow_endpoint(hub: &Hub, endpoint: &str) -> Result<(), HttpFault> {
    let from = hub.client.url();
    match from.join(endpoint.trim()) {
        Ok(target) if target.origin() == from.origin() => {
            hub.set_target(target);
            Ok(())
        }
        _ => {
            let what = "names an endpoint that is not in its own origin, where nothing is sent";
            Err(HttpFault::unseen(Word::Redirected, what))
        }
    }
}

/// Reads the stream to its end, which is the end of the session: what is under way has an unknown outcome.
async fn follow(hub: &Arc<Hub>, inbox: &Inbox, mut stream: EventStream) {
    let session = Session::opening(Era::Legacy);
    let mut parked = Parked::default();
    let fault = loop {
        let event = tokio::select! {
            event = stream.next() => event,
            never = hub.post_parked(&session, &mut parked) => match never {},
        };
        match event {
            Ok(Some(event)) if event.is_message() => {
                take_message(hub, inbox, &session, &mut parked, &Bytes::from(event.data));
            }
            Ok(Some(_)) => {}
            Ok(None) => break HttpFault::unknown(Word::StreamLost, "ended its stream of events"),
            Err(fault) => break fault,
        }
    };
    inbox.close(fault.clone());
    (hub.incident)(Incident::Over(fault));
}

fn take_message(hub: &Arc<Hub>, inbox: &Inbox, session: &Session, parked: &mut Parked, frame: &Bytes) {
    match hub.read(frame) {
        None => {}
        Some(Incoming::Response { id, .. }) if inbox.deliver(id, frame.clone(), true) => {}
        Some(Incoming::Notification { method: name, params }) if name == method::PROGRESS => {
            let id = progress_token(params.as_deref());
            if !id.is_some_and(|id| inbox.deliver(id, frame.clone(), false)) {
                hub.announcer.counters.dropped_notice();
            }
        }
        Some(message) => hub.take_stray(session, parked, message),
    }
}
