//! `subscriptions/listen`: a stream of the changes that a modern client asks for (spec 2026-07-28,
//! basic/patterns/subscriptions). It is acknowledged first, and every message carries the id of the request.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::call::Call;
use super::fault::{Fault, INVALID_PARAMS};
use super::offer::capabilities_of_several;
use super::outgoing::{self, Message, WAITING};
use super::routing::address_here;
use super::state::StreamPermit;
use super::target::{Aggregates, Target};
use crate::gateway::{Announcements, FollowEnd, Gateway, Interest, News, are_known};
use crate::mcp::method;

/// Longest time that a client waits for a server to introduce itself.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(8);
/// Maximum number of resources of one stream.
const MAX_RESOURCES: usize = 256;

/// Lists whose changes can be asked for: the flag of the filter, the capability, the notification.
const LISTS: [(&str, &str, &str); 3] = [
    ("toolsListChanged", "tools", method::TOOLS_CHANGED),
    ("promptsListChanged", "prompts", method::PROMPTS_CHANGED),
    ("resourcesListChanged", "resources", method::RESOURCES_CHANGED),
];

/// What a stream tells.
struct Filter {
    /// Notifications of the lists.
    lists: Vec<&'static str>,
    resources: Vec<String>,
}

/// Answers the request with the stream.
pub(super) async fn answer(call: &Call<'_>) -> Result<Response, Fault> {
    let permit = call.state.streams(call.settings).open(call.caller.key_id().clone());
    let permit = permit.map_err(|full| Fault::http(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
    let announcements = match call.target {
        Target::One(server) => call.gateway.announcements(call.caller, server).map_err(Fault::of)?,
        Target::Several(_) => call.gateway.announcements_of_all(call.caller),
    };
    let capabilities = match call.target {
        Target::One(server) => {
            // What it can announce is known once it has said what it is.
            let offer = call.gateway.introduced(call.caller, server, INTRODUCED_WITHIN).await;
            offer.map_err(Fault::of_opening)?.info.capabilities.clone()
        }
        Target::Several(_) => capabilities_of_several(),
    };
    let (filter, acknowledged) = read_filter(call, &capabilities)?;
    let mut interests = Vec::with_capacity(filter.resources.len());
    for uri in &filter.resources {
        let (server, own) = call.router().server_of_resource(uri)?;
        let (wishes, has_child) = call.gateway.resource_interests(call.caller, &server).map_err(Fault::of)?;
        let interest = wishes.resource(&own);
        let interest =
            interest.map_err(|full| Fault::http(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))?;
        interests.push((interest, has_child));
    }
    let told: Vec<&Interest> = interests.iter().filter(|wish| wish.1).map(|wish| &wish.0).collect();
    are_known(&told).await;
    let id = call.request.id.get().to_owned();
    let (messages, received) = mpsc::channel(WAITING);
    let tag = format!("{{\"io.modelcontextprotocol/subscriptionId\":{id}}}");
    let params = format!("{{\"notifications\":{acknowledged},\"_meta\":{tag}}}");
    let first = outgoing::notification(method::ACKNOWLEDGED, Some(params.as_bytes()));
    let _ = messages.try_send(Message::plain(first));
    let listener = Listener {
        id: id.into(),
        tag,
        filter,
        target: call.target.clone(),
        aggregates: call.state.aggregates.clone(),
        gateway: call.gateway.clone(),
        announcements,
        _interests: interests.into_iter().map(|wish| wish.0).collect(),
        _permit: permit,
    };
    tokio::spawn(listener.feed(messages));
    Ok(outgoing::stream(received))
}

/// Reads what is asked for, and returns it with the part that the server can tell.
fn read_filter(call: &Call<'_>, capabilities: &Value) -> Result<(Filter, Value), Fault> {
    let invalid = |text: &'static str| Fault::bad(INVALID_PARAMS, text);
    let asked = match call.request.params.get("notifications") {
        None => return Err(invalid("Invalid params: 'notifications' must be an object")),
        Some(asked) => asked.get(),
    };
    let asked: Value = serde_json::from_str(asked).unwrap_or_default();
    if !asked.is_object() {
        return Err(invalid("Invalid params: 'notifications' must be an object"));
    }
    let mut acknowledged = json!({});
    let mut lists = Vec::new();
    for (flag, capability, notification) in LISTS {
        if asked[flag] == true && capabilities[capability]["listChanged"] == true {
            acknowledged[flag] = json!(true);
            lists.push(notification);
        }
    }
    let resources = match &asked["resourceSubscriptions"] {
        Value::Null => Vec::new(),
        given => {
            let uris: Option<Vec<String>> = serde_json::from_value(given.clone()).ok();
            uris.filter(|uris| uris.len() <= MAX_RESOURCES).ok_or_else(|| {
                invalid("Invalid params: 'resourceSubscriptions' must be a list of at most 256 URIs")
            })?
        }
    };
    let can_subscribe = capabilities["resources"]["subscribe"] == true;
    let resources = if can_subscribe { resources } else { Vec::new() };
    if !resources.is_empty() {
        acknowledged["resourceSubscriptions"] = json!(resources);
    }
    Ok((Filter { lists, resources }, acknowledged))
}

struct Listener {
    /// Id of the request, raw JSON.
    id: Bytes,
    /// `_meta` of each message.
    tag: String,
    filter: Filter,
    target: Target,
    aggregates: Aggregates,
    gateway: Gateway,
    announcements: Announcements,
    _interests: Vec<Interest>,
    _permit: StreamPermit,
}

impl Listener {
    async fn feed(mut self, messages: mpsc::Sender<Message>) {
        loop {
            let news = tokio::select! {
                biased;
                () = messages.closed() => return,
                news = self.announcements.next() => news,
            };
            let now = self.aggregates.again(&self.gateway, &self.target);
            let news = if now.is_none() { News::End(FollowEnd::Removed) } else { news };
            self.target = now.unwrap_or(self.target);
            let (texts, is_over) = match news {
                News::Notice(server, _) if !self.target.has(&server) => continue,
                News::Notice(server, notice) => {
                    (self.told(&server, &notice.method, notice.params.as_deref()), false)
                }
                // Whatever was lost may have been any of these.
                News::Lost => (self.all(), false),
                News::End(_) => {
                    let result = format!("{{\"resultType\":\"complete\",\"_meta\":{}}}", self.tag);
                    (vec![outgoing::result(&self.id, result.as_bytes())], true)
                }
            };
            for text in texts {
                if messages.send(Message::plain(text)).await.is_err() {
                    return;
                }
            }
            if is_over {
                return;
            }
        }
    }

    fn told(&self, server: &str, name: &str, params: Option<&[u8]>) -> Vec<Vec<u8>> {
        if self.filter.lists.contains(&name) {
            return vec![self.tagged(name, None)];
        }
        let uri = params.filter(|_| name == method::RESOURCE_UPDATED).and_then(|params| {
            let params: Value = serde_json::from_slice(params).ok()?;
            address_here(&self.target, server, params["uri"].as_str()?)
        });
        let is_wanted = |uri: &String| self.filter.resources.iter().any(|wanted| covers(wanted, uri));
        uri.filter(is_wanted).map(|uri| self.tagged(name, Some(&uri))).into_iter().collect()
    }

    fn all(&self) -> Vec<Vec<u8>> {
        let lists = self.filter.lists.iter().map(|name| self.tagged(name, None));
        let updated = self.filter.resources.iter();
        lists.chain(updated.map(|uri| self.tagged(method::RESOURCE_UPDATED, Some(uri)))).collect()
    }

    fn tagged(&self, name: &str, uri: Option<&str>) -> Vec<u8> {
        let uri = uri.map(|uri| format!("\"uri\":{},", json!(uri))).unwrap_or_default();
        let params = format!("{{{uri}\"_meta\":{}}}", self.tag);
        outgoing::notification(name, Some(params.as_bytes()))
    }
}

/// Reports whether an update of a resource is about one that is followed: itself, or a part of it (spec 2026-07-28,
/// server/resources: the URI may be that of a sub-resource).
pub(super) fn covers(followed: &str, updated: &str) -> bool {
    match updated.strip_prefix(followed) {
        Some("") => true,
        Some(rest) => followed.ends_with('/') || rest.starts_with(['/', '?', '#']),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_of_a_part_is_an_update_of_the_whole_and_not_of_a_namesake() {
        for part in ["a://x", "a://x/y", "a://x#y", "a://x?y"] {
            assert!(covers("a://x", part), "{part}");
        }
        assert!(covers("a://x/", "a://x/y") && !covers("a://x", "a://xy") && !covers("a://x/y", "a://x"));
    }
}
