//! The transport of 2024-11-05, HTTP+SSE: a stream of events is the session, requests are posted to where the stream says,
//! and their answers come on the stream, by their ids (`remote-upstreams.md`, R76 and R77).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use tokio::task::AbortHandle;

use super::events::EventStream;
use super::fault::{HttpFault, Word};
use super::hub::{Hub, Incident, Origin};
use super::inbox::Inbox;
use super::session::Session;
use super::verdict::{self, Form, Refused};
use crate::jsonrpc::{Incoming, classify, own_id, too_deep};
use crate::mcp::{Era, method};
use crate::upstream::parked::Parked;

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
        let content_type = response.headers().get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok()).map(str::to_owned);
        if verdict::form(content_type.as_deref()) != Form::Events {
            return Err(verdict::not_mcp("GET", response.status().as_u16(), content_type.as_deref()));
        }
        let mut stream = EventStream::new(response, hub.max_answer, hub.activity.clone());
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

#[derive(Deserialize)]
struct ProgressParams<'a> {
    #[serde(borrow, rename = "progressToken")]
    token: Option<&'a serde_json::value::RawValue>,
}

/// Reads the stream to its end, which is the end of the session: what is under way has an unknown outcome.
async fn follow(hub: &Arc<Hub>, inbox: &Inbox, mut stream: EventStream) {
    let session = Session::opening(Era::Legacy);
    let mut parked = Parked::default();
    let fault = loop {
        let event = tokio::select! {
            event = stream.next() => event,
            answered = parked.next(), if !parked.is_empty() => {
                if let Some((id, answer)) = answered {
                    hub.post_answer(&session, &id, &answer);
                }
                continue;
            }
        };
        match event {
            Ok(Some(event)) if matches!(event.name.as_str(), "" | "message") => {
                take_message(hub, inbox, &session, &mut parked, &Bytes::from(event.data));
            }
            Ok(Some(_)) => {}
            Ok(None) => break HttpFault::unknown(Word::StreamLost, "ended its stream of events"),
            Err(fault) => break fault,
        }
    };
    inbox.close();
    (hub.incident)(Incident::Over(fault));
}

fn take_message(hub: &Arc<Hub>, inbox: &Inbox, session: &Session, parked: &mut Parked, frame: &Bytes) {
    if too_deep(frame) {
        hub.counters.noise();
        return;
    }
    match classify(frame) {
        Incoming::Response { id, .. } => {
            if !inbox.deliver(id, frame.clone(), true) {
                hub.counters.late_reply();
            }
        }
        Incoming::Notification { method: name, params } if name == method::PROGRESS => {
            let params = params.as_deref();
            let read = params.and_then(|params| serde_json::from_slice::<ProgressParams<'_>>(params).ok());
            let id = read.and_then(|read| own_id(read.token?.get()));
            if !id.is_some_and(|id| inbox.deliver(id, frame.clone(), false)) {
                hub.counters.dropped_notice();
            }
        }
        Incoming::Notification { method, params } => hub.take_notification(method, params.as_deref()),
        Incoming::Request { id, method, params } => {
            hub.take_request(session, parked, (id, method, params), Origin::Server);
        }
        Incoming::Noise => drop(hub.counters.noise()),
    }
}
