//! Which server a request is for, and what it asks that server, in the server's own words.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::json;

use super::aggregate::{Aggregate, names};
use super::fault::{Fault, INVALID_PARAMS};
use super::message::Request;
use super::offer::server_of;
use super::search;
use super::seen::Seen;
use super::target::Target;
use crate::gateway::{Asked, Catalog, Gateway, Principal};
use crate::http::core::context::RequestContext;
use crate::jsonrpc::Raw;
use crate::mcp::translate::{Members, push_member, rewrite_addresses};
use crate::mcp::{ListKind, method};

/// Methods of extensions that only read, and so are passed on as they are (Skills, SEP-2640).
const EXTENSIONS: [&str; 3] = ["skills/list", "skills/get", "resources/directory/read"];

/// A request that has found its server.
pub(super) struct Routed {
    /// Id of the server.
    pub(super) server: Arc<str>,
    pub(super) asked: Asked,
    /// The members of `params` but for `_meta`, in the server's own words.
    pub(super) members: Bytes,
    /// The way back from the server's words; `None` if they are the client's.
    pub(super) back: Option<WayBack>,
    /// `true` for a tool that was found by a search, and not called by a name of the list.
    pub(super) by_search: bool,
}

impl Routed {
    /// Records a call of a tool for the audit, where that has calls.
    pub(super) fn record(&self, gateway: &Gateway, context: &RequestContext, request: &Request<'_>) {
        let Asked::Tool(tool) = &self.asked else { return };
        if gateway.audit().settings().calls {
            let outer = request.params.get("arguments");
            let inner = outer.filter(|_| self.by_search).and_then(|raw| Members::read(raw.get()));
            let arguments = inner.map_or(outer, |inner| inner.get("arguments"));
            let arguments = arguments.map_or("{}", |arguments| arguments.get());
            context.calls(format!("{}/{tool}", self.server), arguments.as_bytes());
        }
    }
}

/// Way from a server's own addresses to those at the endpoint of several servers.
#[derive(Clone)]
pub(super) struct WayBack {
    aggregate: Arc<Aggregate>,
    place: usize,
}

impl WayBack {
    /// Returns a result with the addresses of the endpoint.
    pub(super) fn result(&self, result: Bytes) -> Bytes {
        let wrap = |uri: &str| self.aggregate.prefixes.wrap(self.place, uri);
        rewrite_addresses(&result, wrap).unwrap_or(result)
    }
}

/// Who asks, and where.
#[derive(Clone, Copy)]
pub(super) struct Router<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) caller: &'a Principal,
    pub(super) target: &'a Target,
}

impl Router<'_> {
    /// Returns what a request asks of which server. Refuses what the server has not announced, what the gateway does not
    /// pass on, and parameters that lack what is checked here.
    pub(super) fn find(&self, request: &Request<'_>) -> Result<Routed, Fault> {
        let params = &request.params;
        match &*request.method {
            method::TOOLS_CALL => {
                let called = search::called(self.target, request)?;
                let (place, name) = self.named(ListKind::Tools, &called.name)?;
                let members = match called.by_search {
                    false => with(request, "name", &name),
                    true => found_call(params, &name, called.arguments),
                };
                let routed = self.routed(place, Asked::Tool(name), members, None)?;
                Ok(Routed { by_search: called.by_search, ..routed })
            }
            method::PROMPTS_GET => {
                let (place, name) = self.named(ListKind::Prompts, &text(params, "name")?)?;
                self.routed(place, Asked::Prompt, with(request, "name", &name), Some("prompts"))
            }
            method::RESOURCES_READ => {
                let (place, uri) = self.addressed(&text(params, "uri")?)?;
                let members = with(request, "uri", &uri);
                self.routed(place, Asked::Resource(uri), members, Some("resources"))
            }
            method::COMPLETE => {
                let (place, members) = self.completed(request)?;
                self.routed(place, Asked::Completion, members, Some("completions"))
            }
            other => match (EXTENSIONS.iter().find(|known| **known == other), self.target) {
                (Some(known), Target::One(_)) => {
                    self.routed(None, Asked::Extension(known), request.members(), None)
                }
                _ => Err(Fault::unknown_method(StatusCode::OK, other)),
            },
        }
    }

    fn routed(
        &self,
        place: Option<usize>,
        asked: Asked,
        members: Bytes,
        capability: Option<&str>,
    ) -> Result<Routed, Fault> {
        let (server, back) = match (self.target, place) {
            (Target::Several(aggregate), Some(place)) => {
                let back = WayBack { aggregate: aggregate.clone(), place };
                (aggregate.servers[place].id.clone(), Some(back))
            }
            (Target::One(server), _) => (server.clone(), None),
            (Target::Several(_), None) => return Err(Fault::unknown_method(StatusCode::OK, asked.method())),
        };
        if let Some(capability) = capability {
            self.require(&server, capability, asked.method())?;
        }
        Ok(Routed { server, asked, members, back, by_search: false })
    }

    /// Refuses a method of a capability that the server, named by its id, has not announced.
    pub(super) fn require(&self, server: &str, capability: &str, method: &str) -> Result<(), Fault> {
        let info = self.gateway.introduction(self.caller, server).map_err(Fault::of)?;
        match info.is_none_or(|info| server_of("", &info).has(capability)) {
            true => Ok(()),
            false => Err(Fault::unknown_method(StatusCode::OK, method)),
        }
    }

    /// Returns the server that has the tool or prompt of this name, and the server's own name for it.
    fn named(&self, kind: ListKind, name: &str) -> Result<(Option<usize>, Box<str>), Fault> {
        let Target::Several(aggregate) = self.target else { return Ok((None, name.into())) };
        let lists = |at: usize| self.gateway.known_lists(self.caller, &aggregate.servers[at].id);
        let shows = |at: usize, own: &str| match kind {
            ListKind::Tools => aggregate.shows_tool(self.caller, at, own),
            _ => aggregate.shows_server(self.caller, at),
        };
        // A full name, as most are, says itself what it is.
        let is_there =
            |at: usize, own: &str| shows(at, own) && lists(at).is_some_and(|lists| has(&lists, kind, own));
        let mut full = aggregate.prefixes.split(name).filter(|_| !aggregate.renames());
        if let Some((at, own)) = full.find(|(at, own)| is_there(*at, own)) {
            return Ok((Some(at), own.into()));
        }
        match Seen::of(self.gateway, aggregate, self.caller).find(kind, name) {
            Ok(Some((at, own))) => return Ok((Some(at), own)),
            Ok(None) => {}
            Err(()) => {
                let text = format!("'{name}' is what several servers have: name it as the list does");
                return Err(Fault::answer(INVALID_PARAMS, text));
            }
        }
        // Of a server that has never said what it has.
        let unknown = |at: usize| lists(at).is_some_and(|lists| !lists.is_loaded());
        match aggregate.prefixes.split(name).find(|(at, own)| shows(*at, own) && unknown(*at)) {
            Some((at, own)) => Ok((Some(at), own.into())),
            None => {
                let what = if kind == ListKind::Tools { "Tool" } else { "Prompt" };
                Err(Fault::answer(INVALID_PARAMS, format!("{what} '{name}' not found")))
            }
        }
    }

    /// Returns the server that has the resource of this address, and the server's own address for it.
    pub(super) fn addressed(&self, uri: &str) -> Result<(Option<usize>, Box<str>), Fault> {
        let Target::Several(aggregate) = self.target else { return Ok((None, uri.into())) };
        let may = |at: usize| self.caller.permissions().allow_mcp(&aggregate.servers[at].id);
        if let Some((at, own)) = aggregate.prefixes.unwrap(uri).filter(|(at, _)| may(*at)) {
            return Ok((Some(at), own.into()));
        }
        let lists = |at: usize| self.gateway.known_lists(self.caller, &aggregate.servers[at].id);
        let has =
            |at: usize| lists(at).is_some_and(|lists| lists.resources().iter().any(|one| *one.uri == *uri));
        let mut found = aggregate.of(self.caller).map(|(at, _)| at).filter(|at| has(*at));
        match (found.next(), found.next()) {
            (Some(at), None) => Ok((Some(at), uri.into())),
            _ => {
                let data = json!({"uri": uri}).to_string();
                Err(Fault::answer(INVALID_PARAMS, format!("Resource '{uri}' not found")).with(data))
            }
        }
    }

    /// Returns the id of the server that has the resource of this address, and the server's own address for it.
    pub(super) fn server_of_resource(&self, uri: &str) -> Result<(Arc<str>, Box<str>), Fault> {
        let (place, own) = self.addressed(uri)?;
        let server = match (self.target, place) {
            (Target::Several(aggregate), Some(place)) => aggregate.servers[place].id.clone(),
            (target, _) => target.key(),
        };
        Ok((server, own))
    }

    fn completed(&self, request: &Request<'_>) -> Result<(Option<usize>, Bytes), Fault> {
        let Target::Several(_) = self.target else { return Ok((None, request.members())) };
        let params = &request.params;
        let invalid =
            || Fault::answer(INVALID_PARAMS, "Invalid params: 'ref' must name a prompt or a resource");
        let reference = params.object("ref").ok_or_else(invalid)?;
        let (member, place, own) = match (reference.text("name"), reference.text("uri")) {
            (Some(name), _) => {
                let (place, own) = self.named(ListKind::Prompts, &name)?;
                ("name", place, own)
            }
            (None, Some(uri)) => {
                let (place, own) = self.addressed(&uri)?;
                ("uri", place, own)
            }
            (None, None) => return Err(invalid()),
        };
        let mut inside = vec![b'{'];
        reference.write(&mut inside, |name| name != member);
        push_member(&mut inside, member, json!(own).to_string().as_bytes());
        inside.push(b'}');
        let mut members = Vec::new();
        push_member(&mut members, "ref", &inside);
        params.write(&mut members, |name| name != "ref");
        Ok((place, members.into()))
    }
}

/// Returns the address at an endpoint of a resource of the server with this id.
pub(super) fn address_here(target: &Target, server: &str, uri: &str) -> Option<String> {
    match target {
        Target::One(_) => Some(uri.to_owned()),
        Target::Several(aggregate) => Some(aggregate.prefixes.wrap(aggregate.place(server)?, uri)),
    }
}

fn text(params: &Members<'_>, member: &str) -> Result<Box<str>, Fault> {
    let text = params.text(member).map(|text| text.into_owned().into_boxed_str());
    text.ok_or_else(|| Fault::answer(INVALID_PARAMS, format!("Invalid params: '{member}' must be a string")))
}

/// Returns the members of `params` with a server's own text for one of them.
fn with(request: &Request<'_>, member: &str, own: &str) -> Bytes {
    let params = &request.params;
    if params.text(member).as_deref() == Some(own) {
        return request.members();
    }
    let mut members = Vec::with_capacity(256);
    push_member(&mut members, member, json!(own).to_string().as_bytes());
    params.write(&mut members, |name| name != member);
    members.into()
}

/// Writes the members of a call that was made by the tool that calls others.
fn found_call(params: &Members<'_>, name: &str, arguments: Option<Raw<'_>>) -> Bytes {
    let mut members = Vec::new();
    push_member(&mut members, "name", json!(name).to_string().as_bytes());
    if let Some(arguments) = arguments {
        push_member(&mut members, "arguments", arguments.get().as_bytes());
    }
    params.write(&mut members, |member| !matches!(member, "name" | "arguments"));
    members.into()
}

fn has(lists: &Catalog, kind: ListKind, name: &str) -> bool {
    match kind {
        ListKind::Tools => lists.tool(name).is_some(),
        _ => names(lists, kind).any(|own| own == name),
    }
}
