//! What is at an endpoint, as an MCP client asks for it: openings and lists.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::aggregate::Aggregate;
use super::fault::{Fault, INVALID_PARAMS};
use super::search;
use super::seen::Seen;
use super::target::Target;
use crate::gateway::{Catalog, Error, Gateway, Principal, ServerInfo, ServerOffer};
use crate::mcp::translate::{Members, Server, list_result, push_member, rewrite_addresses};
use crate::mcp::{Era, ListKind, method};

/// Longest time that a list of several servers waits for those that have never said what they have.
const FIRST_LISTS: Duration = Duration::from_secs(3);

/// An endpoint that can say what is at it, as this caller may see it.
pub(super) struct Opened<'a> {
    gateway: &'a Gateway,
    caller: &'a Principal,
    face: Face,
    what: What<'a>,
}

enum What<'a> {
    One(ServerOffer),
    Several {
        aggregate: &'a Aggregate,
        /// The servers that have said what they have, with their places.
        offers: Vec<(usize, ServerOffer)>,
        /// Names of the servers that cannot be called now, with the reason.
        unavailable: Vec<(String, String)>,
    },
}

/// What an endpoint says of itself.
struct Face {
    name: String,
    version: String,
    told: Value,
    capabilities: Value,
    instructions: Option<String>,
}

/// Returns what a server said of itself, for clients: by its own name if it has one.
pub(super) fn server_of<'a>(name: &'a str, info: &'a ServerInfo) -> Server<'a> {
    Server {
        name: info.server_name.as_deref().unwrap_or(name),
        version: info.server_version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")),
        told: &info.server_info,
        capabilities: &info.capabilities,
        instructions: info.instructions.as_deref(),
    }
}

/// Writes the `serverInfo` of a server, JSON, as clients of all its answers get it.
pub(super) fn push_server_info(out: &mut Vec<u8>, id: &str, info: &ServerInfo) {
    let written = || server_of(id, info).info();
    match info.server_name {
        Some(_) => out.extend_from_slice(info.told.get_or_make(written).as_bytes()),
        None => out.extend_from_slice(written().as_bytes()),
    }
}

impl Face {
    fn of(name: &str, info: &ServerInfo) -> Face {
        let server = server_of(name, info);
        Face {
            name: server.name.to_owned(),
            version: server.version.to_owned(),
            told: info.server_info.clone(),
            capabilities: info.capabilities.clone(),
            instructions: server.instructions.map(str::to_owned),
        }
    }

    /// Returns what several servers together are. What can change is what the set of servers can: tools of each come and go.
    fn of_several(
        aggregate: &Aggregate,
        offers: &[(usize, ServerOffer)],
        unavailable: &[(String, String)],
    ) -> Face {
        let group = aggregate.group.as_deref();
        let of_group = group.and_then(|group| group.instructions.as_deref()).map(str::to_owned);
        let of_servers = offers.iter().filter_map(|(at, offer)| {
            let text = offer.info.instructions.as_deref()?;
            Some(format!("{}: {text}", aggregate.prefixes.of(*at)))
        });
        let missing = unavailable.iter().map(|(name, reason)| format!("{name} is not available: {reason}"));
        let told: Vec<String> = of_group.into_iter().chain(of_servers).chain(missing).collect();
        let description = group.and_then(|group| group.description.as_deref());
        Face {
            name: group.map_or("mcpvisor", |group| &group.name).to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            told: description.map_or(Value::Null, |text| json!({"description": text})),
            capabilities: capabilities_of_several(),
            instructions: (!told.is_empty()).then(|| told.join("\n\n")),
        }
    }
}

/// Returns the capabilities of several servers together. Any of them may come at any time, and a client asks only once.
pub(super) fn capabilities_of_several() -> Value {
    json!({
        "tools": {"listChanged": true},
        "prompts": {"listChanged": true},
        "resources": {"listChanged": true, "subscribe": true},
        "completions": {},
        "logging": {},
    })
}

impl<'a> Opened<'a> {
    /// Returns what is at an endpoint. A server that has said nothing yet is started and waited for; of several, those
    /// that say nothing within three seconds are named as missing.
    pub(super) async fn of(
        gateway: &'a Gateway,
        caller: &'a Principal,
        target: &'a Target,
        wait: Duration,
    ) -> Result<Opened<'a>, Error> {
        let (face, what) = match target {
            Target::One(server) => {
                let offer = gateway.introduced(caller, server, wait).await?;
                (Face::of(&offer.name, &offer.info), What::One(offer))
            }
            Target::Several(aggregate) => {
                let (mut offers, mut unavailable) = (Vec::new(), Vec::new());
                let until = Instant::now() + FIRST_LISTS;
                for (at, entry) in aggregate.of(caller) {
                    let left = until.saturating_duration_since(Instant::now());
                    match gateway.introduced(caller, &entry.id, left).await {
                        Ok(mut offer) => {
                            let why = offer.unavailable.take();
                            unavailable.extend(why.map(|reason| (entry.name.to_string(), reason)));
                            offers.push((at, offer));
                        }
                        Err(error) if error.ends_work() => return Err(error),
                        Err(error) => unavailable.push((entry.name.to_string(), error.to_string())),
                    }
                }
                let face = Face::of_several(aggregate, &offers, &unavailable);
                (face, What::Several { aggregate, offers, unavailable })
            }
        };
        Ok(Opened { gateway, caller, face, what })
    }

    /// Returns what the endpoint says of itself.
    pub(super) fn server(&self) -> Server<'_> {
        Server {
            name: &self.face.name,
            version: &self.face.version,
            told: &self.face.told,
            capabilities: &self.face.capabilities,
            instructions: self.face.instructions.as_deref(),
        }
    }

    /// Returns the only page of a list, for a client of this era.
    pub(super) fn list(&self, kind: ListKind, params: &Members<'_>, client: Era) -> Result<Vec<u8>, Fault> {
        if !self.has(kind) {
            return Err(Fault::unknown_method(StatusCode::OK, kind.method()));
        }
        if params.get("cursor").is_some_and(|cursor| cursor.get() != "null") {
            let text =
                "Invalid params: no page of this list has this cursor; the first page is the whole list";
            return Err(Fault::answer(INVALID_PARAMS, text));
        }
        let server = self.server();
        match &self.what {
            What::One(offer) => {
                let entries = self.seen(&offer.id, &offer.catalog, kind);
                Ok(list_result(kind, entries, client, &server, ""))
            }
            What::Several { aggregate, offers, unavailable } => {
                let entries = self.entries_of_several(aggregate, offers, kind);
                let more = told_unavailable(unavailable);
                Ok(list_result(kind, entries.iter().map(|entry| &**entry), client, &server, &more))
            }
        }
    }

    /// Reports whether the endpoint has a list of this kind.
    fn has(&self, kind: ListKind) -> bool {
        let is_unannounced = match &self.what {
            What::One(offer) => kind == ListKind::Tools && !offer.catalog.tools().is_empty(),
            What::Several { .. } => true,
        };
        is_unannounced || self.server().has(kind.capability())
    }

    /// Returns the entries of a list of several servers, as they are at the endpoint.
    fn entries_of_several(
        &self,
        aggregate: &Aggregate,
        offers: &[(usize, ServerOffer)],
        kind: ListKind,
    ) -> Vec<Box<RawValue>> {
        let seen = Seen::of(self.gateway, aggregate, self.caller);
        if kind == ListKind::Tools {
            let count = offers.iter().flat_map(|(at, offer)| {
                offer.catalog.tools().iter().filter(|tool| seen.sees(kind, *at, &tool.name))
            });
            if aggregate.is_searched(count.count()) {
                return search::tools();
            }
        }
        let entries = offers.iter().flat_map(|(at, offer)| {
            self.seen(&offer.id, &offer.catalog, kind).filter_map(|entry| renamed(&seen, *at, kind, entry))
        });
        entries.collect()
    }

    /// Returns the entries of a server's list that the caller may see.
    fn seen<'b>(
        &'b self,
        id: &'b str,
        catalog: &'b Catalog,
        kind: ListKind,
    ) -> Box<dyn Iterator<Item = &'b RawValue> + 'b> {
        match kind {
            ListKind::Tools => {
                let tools = catalog.tools().iter();
                let seen = tools.filter(|tool| self.gateway.may_see_tool(self.caller, id, &tool.name));
                Box::new(seen.map(|tool| &*tool.raw))
            }
            ListKind::Resources | ListKind::Templates | ListKind::Prompts => catalog.texts(kind),
        }
    }
}

/// Returns the member of a list's `_meta` that names the servers which cannot be called; nothing if none is.
fn told_unavailable(unavailable: &[(String, String)]) -> String {
    if unavailable.is_empty() {
        return String::new();
    }
    let names = unavailable.iter().map(|(name, reason)| (name.clone(), Value::from(reason.clone())));
    format!(",\"mcpvisor/unavailable\":{}", Value::Object(names.collect::<Map<_, _>>()))
}

/// Returns an entry of a server's list with its name or address at the endpoint of several servers. `None` for one without,
/// and for one that is not there for the caller.
fn renamed(seen: &Seen<'_>, at: usize, kind: ListKind, entry: &RawValue) -> Option<Box<RawValue>> {
    let wrap = |uri: &str| seen.aggregate.prefixes.wrap(at, uri);
    let named: Cow<'_, [u8]> = match kind {
        ListKind::Tools | ListKind::Prompts => {
            let members = Members::read(entry.get())?;
            let own = members.text("name").filter(|own| seen.sees(kind, at, own))?;
            let mut out = vec![b'{'];
            push_member(&mut out, "name", json!(seen.listed(kind, at, &own)).to_string().as_bytes());
            let text = search::described(seen.aggregate, at, &own).filter(|_| kind == ListKind::Tools);
            if let Some(text) = text {
                push_member(&mut out, "description", json!(text).to_string().as_bytes());
            }
            members.write(&mut out, |member| member != "name" && (text.is_none() || member != "description"));
            out.push(b'}');
            Cow::Owned(out)
        }
        ListKind::Resources | ListKind::Templates => Cow::Borrowed(entry.get().as_bytes()),
    };
    let text = match rewrite_addresses(&named, wrap) {
        Some(rewritten) => Vec::from(rewritten),
        None => named.into_owned(),
    };
    RawValue::from_string(String::from_utf8(text).ok()?).ok()
}

/// Returns the list that a method asks for; `None` if it asks for none.
pub(super) fn list_of(asked: &str) -> Option<ListKind> {
    match asked {
        method::TOOLS_LIST => Some(ListKind::Tools),
        method::RESOURCES_LIST => Some(ListKind::Resources),
        method::TEMPLATES_LIST => Some(ListKind::Templates),
        method::PROMPTS_LIST => Some(ListKind::Prompts),
        _ => None,
    }
}
