//! The operations of MCP clients: any request that a server knows, carried as the client wrote it, and what the server
//! announces of itself.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{broadcast, watch};

use super::dispatch::Said;
use super::forward::{Answered, Found, Invocation, Operation, Payload};
use super::isolation::concerns;
use super::standing::{check_invokes, present, refused};
use super::stop::Stage;
use super::{Error, FollowEnd, Gateway, Principal, check_permitted};
use crate::jsonrpc::RpcError;
use crate::mcp::translate::{Envelope, HeaderParam, Reply, may_be_error};
use crate::registry::{ServerEntry, ServerList};
use crate::supervisor::{ServerHandle, ServerInfo};
use crate::telemetry::metrics::OK;
use crate::upstream::{Call, Catalog, Exchange, Interests, Notification};

/// Kind of request that an MCP client may make of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// `tools/call` of the tool with this name.
    Tool(Box<str>),
    /// `resources/read` of the resource with this URI.
    Resource(Box<str>),
    /// `prompts/get`.
    Prompt,
    /// `completion/complete`.
    Completion,
    /// Method of an extension, known to be harmless to pass on.
    Extension(&'static str),
}

impl Asked {
    fn operation(&self) -> Operation<'_> {
        match self {
            Asked::Tool(name) => Operation::ToolCall(name),
            Asked::Resource(uri) => Operation::ResourceRead(uri),
            Asked::Prompt => Operation::PromptGet,
            Asked::Completion => Operation::Completion,
            Asked::Extension(method) => Operation::Extension(method),
        }
    }

    /// Returns the method of MCP that it is.
    pub fn method(&self) -> &'static str {
        self.operation().method()
    }
}

/// Request of an MCP client.
#[derive(Debug)]
pub struct ClientRequest {
    /// Id or exact name of the server.
    pub server: Arc<str>,
    /// Kind of the request.
    pub asked: Asked,
    /// The members of `params` without braces and without `_meta`, JSON on one line.
    pub members: Bytes,
    /// The members of `params._meta`.
    pub envelope: Arc<Envelope>,
    /// The client's part in it; `None` if it waits for the answer only.
    pub exchange: Option<Arc<Exchange>>,
    /// Deadline that nothing extends; `None` for the server's.
    pub timeout: Option<Duration>,
    /// The server, if it was found for the same caller just now; `None` to have it found.
    pub found: Option<Found>,
}

/// Answer of a server to an MCP client: a result, raw JSON, or the server's error.
pub type Relayed = Result<Bytes, RpcError>;

/// The answer as it is counted.
struct Counted {
    said: Relayed,
    outcome: &'static str,
}

impl Payload for Counted {
    type Reply = Relayed;

    fn read(said: Said) -> Result<Counted, Error> {
        let outcome = match &said {
            Err(_) => "rpc_error",
            // Looked at before it is parsed: hardly any result is one.
            Ok(result) if may_be_error(result) => {
                match Reply::read(result).is_some_and(|reply| reply.is_error()) {
                    true => "tool_error",
                    false => OK,
                }
            }
            Ok(_) => OK,
        };
        Ok(Counted { said, outcome })
    }

    fn bytes(&self) -> usize {
        self.said.as_ref().map_or(0, Bytes::len)
    }

    fn outcome(&self) -> &'static str {
        self.outcome
    }

    fn reply(answered: Answered<Counted>) -> Relayed {
        answered.payload.said
    }
}

/// What is known of a tool and its server, as far as the server's lists are.
pub struct ToolFacts {
    /// Arguments that clients repeat in headers; `None` if there are none that the caller may know of.
    pub header_params: Option<Arc<[HeaderParam]>>,
    /// What the server's last child said of itself; `None` if none has been ready yet.
    pub info: Option<Arc<ServerInfo>>,
    /// The server, for a request that is made now; `None` if the caller has a child of its own.
    pub found: Option<Found>,
}

/// What a server offers to a caller.
pub struct ServerOffer {
    /// Id of the server, which never changes.
    pub id: Arc<str>,
    /// Name of the server.
    pub name: Arc<str>,
    /// What the server's last child said of itself.
    pub info: Arc<ServerInfo>,
    /// Its lists, without tools that are blocked.
    pub catalog: Arc<Catalog>,
    /// Reason that no child serves now and none is about to; the lists are those of the last one then.
    pub unavailable: Option<String>,
}

impl Gateway {
    /// Carries a request of an MCP client to a server; the future keeps all that it needs. Dropping it cancels the
    /// request. One that may have reached the child is never repeated.
    pub fn relay(
        &self,
        caller: Principal,
        request: ClientRequest,
    ) -> impl Future<Output = Result<Relayed, Error>> + Send + use<> {
        let gateway = self.clone();
        let ClientRequest { server, asked, members, envelope, exchange, timeout, found } = request;
        async move {
            // Made here: a future keeps what it is given also when that has moved on.
            let (operation, sent) = (asked.operation(), members.len());
            let mut call = Call::new(operation.method(), members);
            (call.progress, call.envelope, call.exchange) = (true, Some(envelope), exchange);
            let call = &mut Some(call);
            let invocation = Invocation { server: &server, operation, call, sent, timeout, found };
            gateway.forward::<Counted>(&caller, invocation).await
        }
    }

    /// Returns what a server offers. One that has said nothing yet is started if necessary and waited for.
    pub async fn introduced(
        &self,
        caller: &Principal,
        server: &str,
        wait: Duration,
    ) -> Result<ServerOffer, Error> {
        let (view, catalog) = self.catalog(caller, server, Some(wait)).await?;
        let Some(info) = view.status.introduction.clone() else {
            let reason = format!("Server '{}' has not introduced itself", view.name);
            let status = Some(view.status);
            return Err(Error::Unreachable { reason, in_flight: false, retry_after: None, status });
        };
        let unavailable = view.status.state.cause().map(ToString::to_string);
        Ok(ServerOffer { id: view.id, name: view.name, info, catalog, unavailable })
    }

    /// Returns what the server's last child said of itself; `None` if none has been ready yet.
    pub fn introduction(&self, caller: &Principal, server: &str) -> Result<Option<Arc<ServerInfo>>, Error> {
        let handle = self.handle_of_lists(&*self.entry(caller, server)?, caller)?;
        Ok(handle.status().introduction.clone())
    }

    /// Returns what is known of a tool and its server before a call.
    pub fn tool_facts(&self, caller: &Principal, server: &str, tool: &str) -> Result<ToolFacts, Error> {
        let entry = self.entry(caller, server)?;
        let (handle, is_for_all) = self.handles(&entry, caller)?;
        let (catalog, info) = (handle.catalog(), handle.status().introduction.clone());
        // What a caller may not use it does not see, not even by a header that is wanted for it.
        let tool = catalog.tool(tool).filter(|tool| !tool.header_params().is_empty());
        let tool = tool.filter(|tool| caller.permissions().allow_tool(&entry.id, &tool.name));
        let header_params = tool.map(|tool| tool.header_params().clone());
        Ok(ToolFacts { header_params, info, found: is_for_all.then_some(Found { entry, handle }) })
    }

    /// Reports whether a caller's key is still good.
    pub fn is_accepted(&self, caller: &Principal) -> bool {
        present(caller).is_ok()
    }

    /// Refuses a caller that may not ask this of a server.
    pub fn may_ask(&self, caller: &Principal, server: &str, asked: &Asked) -> Result<(), Error> {
        self.may_invoke(caller, server, asked.operation().tool())
    }

    /// Refuses a caller that may not call this tool of a server, or with `None` call the server at all.
    pub fn may_invoke(&self, caller: &Principal, server: &str, tool: Option<&str>) -> Result<(), Error> {
        let entry = self.entry(caller, server)?;
        check_invokes(&*present(caller)?, &entry, tool)
    }

    /// Returns the id of the server with this id or exact name, if the caller may use it.
    pub fn permitted_server(&self, caller: &Principal, server: &str) -> Result<Arc<str>, Error> {
        Ok(self.entry(caller, server)?.id.clone())
    }

    /// Reports whether a caller may use a tool of a server, and so may see it.
    pub fn may_see_tool(&self, caller: &Principal, server: &str, tool: &str) -> bool {
        caller.permissions().allow_tool(server, tool)
    }

    /// Follows what a server announces, from now on.
    pub fn announcements(&self, caller: &Principal, server: &str) -> Result<Announcements, Error> {
        let entry = self.entry(caller, server)?;
        let handle = self.handle(&entry)?;
        let source = Source::One { notices: handle.subscribe(), entry, handle };
        Ok(Announcements { caller: caller.clone(), source, gateway: self.clone() })
    }

    /// Follows what all servers announce that the caller may use, from now on. A change of the groups, and the end of a
    /// server, count as a loss: anything may be in other places.
    pub fn announcements_of_all(&self, caller: &Principal) -> Announcements {
        let source = Source::All {
            notices: self.0.supervisor.directory().subscribe(),
            groups: self.0.groups.changes(),
        };
        Announcements { caller: caller.clone(), source, gateway: self.clone() }
    }

    /// Returns what clients want to hear of a server, for a caller to add to, and `true` if a child runs that can be told.
    pub fn interests(&self, caller: &Principal, server: &str) -> Result<(Arc<Interests>, bool), Error> {
        let handle = self.handle_for(&*self.entry(caller, server)?, caller)?;
        Ok((handle.interests().clone(), handle.takes_calls()))
    }

    /// Returns the same for a caller who waits for updates of resources: a child that nobody else can start is started.
    pub fn resource_interests(
        &self,
        caller: &Principal,
        server: &str,
    ) -> Result<(Arc<Interests>, bool), Error> {
        let handle = self.handle_for(&*self.entry(caller, server)?, caller)?;
        if handle.is_pool() {
            handle.demand();
        }
        Ok((handle.interests().clone(), handle.takes_calls()))
    }

    /// Returns all servers as they are defined, in the order they were made. The same value as long as none changes.
    pub fn server_list(&self) -> Arc<ServerList> {
        self.0.registry.list()
    }

    /// Returns the last lists of a server, without tools that are blocked; `None` if the caller may not use it.
    pub fn known_lists(&self, caller: &Principal, server: &str) -> Option<Arc<Catalog>> {
        let entry = self.entry(caller, server).ok()?;
        Some(self.handle_of_lists(&entry, caller).ok()?.catalog())
    }

    /// Waits until the daemon begins to stop.
    pub async fn stopping(&self) {
        let mut stage = self.0.stop.subscribe();
        let _ = stage.wait_for(|stage| *stage > Stage::Serving).await;
    }
}

/// What servers announce to a caller, for as long as it may hear it.
pub struct Announcements {
    caller: Principal,
    source: Source,
    gateway: Gateway,
}

enum Source {
    One { entry: Arc<ServerEntry>, handle: Arc<ServerHandle>, notices: broadcast::Receiver<Notification> },
    All { notices: broadcast::Receiver<(Arc<str>, Notification)>, groups: watch::Receiver<()> },
}

/// Event of a server's announcements.
#[derive(Debug)]
pub enum News {
    /// The server with this id has announced something.
    Notice(Arc<str>, Notification),
    /// So much was announced that some of it was lost: whatever it was may have changed.
    Lost,
    /// No more follows.
    End(FollowEnd),
}

impl Announcements {
    /// Waits for the next event. Cancel safe.
    pub async fn next(&mut self) -> News {
        let Announcements { caller, source, gateway } = self;
        match source {
            Source::One { entry, handle, notices } => {
                let removed = async {
                    let mut changes = handle.watch();
                    while handle.leaving().is_none() && changes.changed().await.is_ok() {}
                };
                tokio::select! {
                    biased;
                    () = gateway.stopping() => News::End(FollowEnd::Stopping),
                    () = removed => News::End(FollowEnd::Removed),
                    error = refused(caller, |caller| check_permitted(caller, entry)) => {
                        News::End(FollowEnd::Refused(error))
                    }
                    notice = concerning(caller, notices) => match notice {
                        Ok(notice) => News::Notice(entry.id.clone(), notice),
                        Err(broadcast::error::RecvError::Lagged(_)) => News::Lost,
                        Err(broadcast::error::RecvError::Closed) => News::End(FollowEnd::Removed),
                    },
                }
            }
            Source::All { notices, groups } => tokio::select! {
                biased;
                () = gateway.stopping() => News::End(FollowEnd::Stopping),
                error = refused(caller, |_| Ok(())) => News::End(FollowEnd::Refused(error)),
                Ok(()) = groups.changed() => News::Lost,
                news = permitted(caller, notices) => news,
            },
        }
    }
}

/// Waits for a notice of a server that concerns the caller.
async fn concerning(
    caller: &Principal,
    notices: &mut broadcast::Receiver<Notification>,
) -> Result<Notification, broadcast::error::RecvError> {
    loop {
        let notice = notices.recv().await?;
        if concerns(caller, &notice) {
            return Ok(notice);
        }
    }
}

/// Waits for a notice of a server that the caller may use, and that concerns it.
async fn permitted(caller: &Principal, notices: &mut broadcast::Receiver<(Arc<str>, Notification)>) -> News {
    loop {
        match notices.recv().await {
            Ok((server, notice)) => {
                let may = |caller: &Principal| caller.permissions().allow_mcp(&server);
                if concerns(caller, &notice) && present(caller).is_ok_and(|caller| may(&caller)) {
                    return News::Notice(server, notice);
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => return News::Lost,
            Err(broadcast::error::RecvError::Closed) => return News::End(FollowEnd::Stopping),
        }
    }
}
