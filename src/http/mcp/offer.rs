//! What a server offers, as an MCP client asks for it: openings, lists, and which requests it takes.

use std::time::Duration;

use axum::http::StatusCode;

use super::fault::{Fault, INVALID_PARAMS};
use super::message::Request;
use crate::gateway::{Asked, Error, Gateway, Principal, ServerInfo, ServerOffer};
use crate::mcp::translate::{Members, Server, list_result};
use crate::mcp::{Era, ListKind, method};

/// Methods of extensions that only read, and so are passed on as they are (Skills, SEP-2640).
const EXTENSIONS: [&str; 3] = ["skills/list", "skills/get", "resources/directory/read"];

/// A server that has introduced itself, as this caller may see it.
pub(super) struct Opened<'a> {
    gateway: &'a Gateway,
    caller: &'a Principal,
    introduced: ServerOffer,
}

/// Returns what a server said of itself, for clients: by its own name if it has one.
pub(super) fn server_of<'a>(name: &'a str, info: &'a ServerInfo) -> Server<'a> {
    Server {
        name: info.server_name.as_deref().unwrap_or(name),
        version: info.server_version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION")),
        capabilities: &info.capabilities,
        instructions: info.instructions.as_deref(),
    }
}

impl<'a> Opened<'a> {
    /// Returns the server; one that has said nothing yet is started and waited for.
    pub(super) async fn of(
        gateway: &'a Gateway,
        caller: &'a Principal,
        server: &str,
        wait: Duration,
    ) -> Result<Opened<'a>, Error> {
        let introduced = gateway.introduced(caller, server, wait).await?;
        Ok(Opened { gateway, caller, introduced })
    }

    /// Returns what the server said of itself.
    pub(super) fn server(&self) -> Server<'_> {
        server_of(&self.introduced.name, &self.introduced.info)
    }

    /// Returns the only page of a list, for a client of this era.
    pub(super) fn list(&self, kind: ListKind, params: &Members<'_>, client: Era) -> Result<Vec<u8>, Fault> {
        let ServerOffer { id, catalog, .. } = &self.introduced;
        let server = self.server();
        let is_unannounced = kind == ListKind::Tools && !catalog.tools().is_empty();
        if !server.has(kind.capability()) && !is_unannounced {
            return Err(Fault::unknown_method(StatusCode::OK, kind.method()));
        }
        if params.get("cursor").is_some_and(|cursor| cursor.get() != "null") {
            let text =
                "Invalid params: no page of this list has this cursor; the first page is the whole list";
            return Err(Fault::answer(INVALID_PARAMS, text));
        }
        Ok(match kind {
            ListKind::Tools => {
                let tools = catalog.tools().iter();
                let seen = tools.filter(|tool| self.gateway.may_see_tool(self.caller, id, &tool.name));
                list_result(kind, seen.map(|tool| &*tool.raw), client, &server)
            }
            ListKind::Resources | ListKind::Templates | ListKind::Prompts => {
                list_result(kind, catalog.texts(kind), client, &server)
            }
        })
    }
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

/// Returns what a request asks a server for. Refuses what the server has not announced, what the gateway does not pass on,
/// and parameters that lack what is checked here.
pub(super) fn asked_for(
    gateway: &Gateway,
    caller: &Principal,
    server: &str,
    request: &Request<'_>,
) -> Result<Asked, Fault> {
    let text = |member: &str| -> Result<Box<str>, Fault> {
        let text = request.params.text(member).map(|text| text.into_owned().into_boxed_str());
        text.ok_or_else(|| {
            Fault::answer(INVALID_PARAMS, format!("Invalid params: '{member}' must be a string"))
        })
    };
    let (asked, capability) = match &*request.method {
        method::TOOLS_CALL => {
            let is_object =
                |name: &str| request.params.get(name).is_none_or(|raw| raw.get().starts_with('{'));
            if !is_object("arguments") {
                return Err(Fault::answer(INVALID_PARAMS, "Invalid params: 'arguments' must be an object"));
            }
            return Ok(Asked::Tool(text("name")?));
        }
        method::RESOURCES_READ => (Asked::Resource(text("uri")?), "resources"),
        method::PROMPTS_GET => {
            text("name")?;
            (Asked::Prompt, "prompts")
        }
        method::COMPLETE => (Asked::Completion, "completions"),
        other => match EXTENSIONS.iter().find(|known| **known == other) {
            Some(known) => return Ok(Asked::Extension(known)),
            None => return Err(Fault::unknown_method(StatusCode::OK, other)),
        },
    };
    let info = gateway.introduction(caller, server).map_err(Fault::of)?;
    match info.is_none_or(|info| server_of("", &info).has(capability)) {
        true => Ok(asked),
        false => Err(Fault::unknown_method(StatusCode::OK, &request.method)),
    }
}
