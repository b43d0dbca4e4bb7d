//! A request on its way to a server and back, the same for every operation and every dialect: the caller's rights, its
//! places and its quota, the child, and what is counted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dispatch::{CallTerms, Said, Unchecked, dispatch, lists_are_current, require_tool};
use super::keychange::calls_at_once;
use super::spans;
use super::standing::{Asker, check_invokes, present};
use super::{Error, Gateway, Principal, ServerEntry, check_runs};
use crate::access::CallOfKey;
use crate::activity::{Called, ServerTag};
use crate::mcp::method;
use crate::supervisor::ServerHandle;
use crate::telemetry::metrics::{Kind, OK};
use crate::telemetry::traces::CallTrace;
use crate::upstream::{Call, Limits};
use crate::usage::{Reach, note, unix_ms};

/// Operation that a caller asks of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation<'a> {
    /// Call of the tool with this name.
    ToolCall(&'a str),
    /// Read of the resource with this URI.
    ResourceRead(&'a str),
    /// Prompt with its arguments filled in.
    PromptGet,
    /// Values for an argument.
    Completion,
    /// Method of an extension.
    Extension(&'static str),
}

impl<'a> Operation<'a> {
    /// Returns the method of MCP that it is.
    pub(super) fn method(self) -> &'static str {
        match self {
            Operation::ToolCall(_) => method::TOOLS_CALL,
            Operation::ResourceRead(_) => method::RESOURCES_READ,
            Operation::PromptGet => method::PROMPTS_GET,
            Operation::Completion => method::COMPLETE,
            Operation::Extension(method) => method,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Operation::ToolCall(_) => Kind::Tool,
            Operation::ResourceRead(_) => Kind::Resource,
            Operation::PromptGet => Kind::Prompt,
            Operation::Completion => Kind::Completion,
            Operation::Extension(_) => Kind::Extension,
        }
    }

    /// Returns the name of the tool; `None` for what is no tool.
    pub(super) fn tool(self) -> Option<&'a str> {
        match self {
            Operation::ToolCall(tool) => Some(tool),
            _ => None,
        }
    }

    /// Returns the name that usage is counted under.
    fn counted_as(self) -> &'a str {
        self.tool().unwrap_or(self.method())
    }
}

/// Request of a caller to a server.
pub(super) struct Invocation<'a> {
    /// Id or exact name of the server.
    pub(super) server: &'a str,
    pub(super) operation: Operation<'a>,
    /// The operation as MCP's request, until a child may have it: `None` from then on. Whoever drops the call before its
    /// end can tell by it whether it was sent.
    pub(super) call: &'a mut Option<Call>,
    /// Bytes that the caller gave, as usage counts them.
    pub(super) sent: usize,
    /// Deadline of the caller, which nothing extends; `None` for the default, which progress extends.
    pub(super) timeout: Option<Duration>,
    /// The server, if it was found for the caller already.
    pub(super) found: Option<Found>,
}

/// A server that was found for a caller which may use it. Not to be kept: all of it may be otherwise a moment later.
pub struct Found {
    pub(super) entry: Arc<ServerEntry>,
    pub(super) handle: Arc<ServerHandle>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Found").field(&self.entry.name).finish()
    }
}

/// What a caller makes of an answer.
pub(super) trait Payload: Sized + Send {
    /// What the caller gets.
    type Reply;

    /// Reads the answer of a child.
    fn read(said: Said) -> Result<Self, Error>;

    /// Returns the bytes that the caller gets, as usage counts them.
    fn bytes(&self) -> usize;

    /// Returns the outcome that is counted.
    fn outcome(&self) -> &'static str {
        OK
    }

    /// Returns what the caller gets.
    fn reply(answered: Answered<Self>) -> Self::Reply;
}

/// Answer to an invocation.
pub(super) struct Answered<T> {
    pub(super) payload: T,
    /// Server that answered.
    pub(super) entry: Arc<ServerEntry>,
    pub(super) handle: Arc<ServerHandle>,
    /// Time from admission to the child's answer.
    pub(super) latency: Duration,
}

impl Gateway {
    /// Carries a request to a server and returns what it answered. A request that may have reached the child is never
    /// repeated. Dropping the future cancels it. Where requests have to queue, each key has its own queue.
    #[allow(
        clippy::manual_async_fn,
        reason = "an async fn keeps its arguments twice, and this is a large one"
    )]
    pub(super) fn forward<'a, T: Payload>(
        &'a self,
        caller: &'a Principal,
        mut invocation: Invocation<'a>,
    ) -> impl Future<Output = Result<T::Reply, Error>> + Send + 'a {
        async move {
            let (operation, server) = (invocation.operation, invocation.server);
            let asked = (operation.method(), operation.tool());
            let trace =
                self.0.tracer.as_ref().and_then(|tracer| {
                    spans::begin(tracer, invocation.call.as_mut()?, asked, server, caller)
                });
            let refused = |error: Error| self.refused(caller, server, operation, error, trace.as_deref());
            let caller = &*present(caller).map_err(refused)?;
            let Admission { entry, handle, unchecked, _under_way } =
                self.admit(caller, server, operation, invocation.found.take()).map_err(refused)?;
            let asking_store = trace.as_deref().map(|trace| {
                spans::admitted(trace, asked, &entry.name);
                (trace, Instant::now())
            });
            self.0.accounting.take(caller).await.map_err(|error| refused(error.into()))?;
            if let Some((trace, since)) = asking_store {
                trace.asked_store(since);
            }
            let mut terms = self.terms(&handle, &entry, invocation.timeout, caller);
            terms.unchecked = unchecked;
            let meter = self.meter(&entry)?;
            let counted_as = operation.counted_as();
            let mut measured =
                meter.calls.measure(operation.kind(), caller, counted_as, terms.started, trace);
            terms.trace = measured.trace();
            let asker = Asker { caller, entry: &entry, tool: operation.tool() };
            let reply: Result<T, Error> =
                dispatch(&handle, invocation.call, &terms, &asker).await.and_then(Payload::read);
            let reach = reply.as_ref().map_or_else(reach, |_| Reach::Server);
            if let (Err(refused), Reach::Nobody | Reach::Queue) = (&reply, reach) {
                let refused = self.counted(refused.clone());
                measured.end_short_of(refused.facts().name, reach);
                self.0.accounting.give_back(caller);
                return Err(without_hidden(refused, caller, &entry));
            }
            if let Err(refused @ (Error::Overloaded { .. } | Error::BreakerOpen { .. })) = &reply {
                self.0.metrics.count_refusal(refused.facts().name);
            }
            measured.carried(invocation.sent, reply.as_ref().map_or(0, Payload::bytes));
            let outcome = reply.as_ref().map_or_else(|error| error.facts().name, Payload::outcome);
            let latency = measured.end(outcome);
            reply.map(|payload| T::reply(Answered { payload, entry, handle, latency }))
        }
    }

    /// Admits a call that the caller may make, that the server could take, and that the key has a place for.
    fn admit<'a>(
        &self,
        caller: &'a Principal,
        server: &str,
        operation: Operation<'_>,
        found: Option<Found>,
    ) -> Result<Admission<'a>, Error> {
        let (entry, handle) = match found {
            Some(Found { entry, handle }) => (entry, Some(handle)),
            None => (self.entry(caller, server)?, None),
        };
        check_invokes(caller, &entry, operation.tool())?;
        check_runs(&entry)?;
        let handle = handle.map_or_else(|| self.handle_for(&entry, caller), Ok)?;
        let unchecked = self.check_before(&handle, &entry, operation, caller)?;
        self.check_unread(caller)?;
        let under_way = self.begin_call(caller)?;
        Ok(Admission { entry, handle, unchecked, _under_way: under_way })
    }

    /// Notes a call that was refused before it was measured, and returns the reason.
    #[cold]
    fn refused(
        &self,
        caller: &Principal,
        server: &str,
        operation: Operation<'_>,
        error: Error,
        trace: Option<&CallTrace>,
    ) -> Error {
        // Of a server that it may not use a caller learns nothing that it did not know.
        let is_hidden = matches!(error, Error::ServerNotPermitted { .. });
        let known = self.0.registry.server(server).filter(|_| !is_hidden);
        let tag = match &known {
            Some(entry) => ServerTag { id: Some(entry.id.clone()), name: entry.name.clone() },
            None => ServerTag { id: None, name: shortened(server).into() },
        };
        let what = (operation.kind(), operation.counted_as());
        let called = Called::new(Arc::new(tag), what.1);
        let (ended, outcome) = ((unix_ms(), Duration::ZERO), (error.facts().name, false));
        note(self.0.accounting.activity(), Arc::new(called), caller, what, ended, outcome, trace);
        self.counted(error)
    }

    /// Counts the refusal of a request that no server has had.
    fn counted(&self, refused: Error) -> Error {
        self.0.metrics.count_refusal(refused.facts().name);
        refused
    }

    /// Makes the checks that the lists of the last child allow already. Returns the check that is due once the next one
    /// has announced its own; `None` if none is.
    fn check_before(
        &self,
        handle: &ServerHandle,
        entry: &ServerEntry,
        operation: Operation<'_>,
        caller: &Principal,
    ) -> Result<Option<Box<Unchecked>>, Error> {
        let tool = match operation {
            Operation::ToolCall(tool) => tool,
            Operation::ResourceRead(uri) => {
                return Ok(Some(Box::new(Unchecked::Resource(uri.to_owned()))));
            }
            Operation::PromptGet | Operation::Completion | Operation::Extension(_) => return Ok(None),
        };
        let pin = handle.setting(&entry.definition, |policy| policy.pin);
        let (catalog, gate) = (handle.catalog(), self.0.pins.gate(&entry.id, pin));
        if catalog.tool(tool).is_some() && gate.is_none() {
            return Ok(None);
        }
        if lists_are_current(handle) {
            require_tool(&catalog, tool, gate.as_ref())
                .map_err(|error| without_hidden(error, caller, entry))?;
        }
        Ok(Some(Box::new(Unchecked::Tool(tool.to_owned(), gate))))
    }

    /// Takes one of the places for calls that a key may have under way; given back when the guard is dropped.
    fn begin_call<'a>(&self, caller: &'a Principal) -> Result<CallOfKey<'a>, Error> {
        let limit = calls_at_once(caller, self.0.settings.calls_per_key);
        caller.begin_call(limit).ok_or(Error::TooManyCalls { limit })
    }

    /// Returns the terms of a call that begins now. Its deadlines are by the caller's timeout if it
    /// gives one, else by the server's definition, else by the gateway's settings.
    fn terms<'a>(
        &self,
        handle: &ServerHandle,
        entry: &ServerEntry,
        timeout: Option<Duration>,
        caller: &'a Principal,
    ) -> CallTerms<'a> {
        let (started, settings) = (Instant::now(), &self.0.settings);
        let longest = settings.max_call_timeout;
        let of_server = handle.setting(&entry.definition, |policy| policy.call_timeout);
        let usual = of_server.map_or(settings.call_timeout, |timeout| timeout.min(longest));
        let limits = match timeout {
            Some(timeout) => Limits { first: started + timeout, idle: timeout, hard: started + timeout },
            None => Limits { first: started + usual, idle: usual, hard: started + longest },
        };
        CallTerms::new(started, limits, caller.key_id(), usual)
    }
}

/// What a call was admitted with.
struct Admission<'a> {
    entry: Arc<ServerEntry>,
    handle: Arc<ServerHandle>,
    /// Check that is due once a child has announced its lists.
    unchecked: Option<Box<Unchecked>>,
    /// Place among the calls of the key.
    _under_way: CallOfKey<'a>,
}

/// Longest name of a server that there is not, as activity keeps it, in bytes.
const MAX_UNKNOWN: usize = 64;

fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_UNKNOWN)]
}

impl Error {
    /// Reports whether the server may have carried out the call that ended with this error.
    pub fn may_have_been_carried_out(&self) -> bool {
        reach(self) == Reach::Server
    }
}

/// Returns how far a call came that ended with an error.
fn reach(error: &Error) -> Reach {
    match error {
        Error::ToolNotFound { .. }
        | Error::ToolBlocked { .. }
        | Error::ServerDisabled { .. }
        | Error::ServerStopped { .. }
        | Error::NoCommand { .. }
        | Error::ServerNotPermitted { .. }
        | Error::ToolNotPermitted { .. }
        | Error::TooManyCalls { .. }
        | Error::Unread { carried_out: false, .. }
        | Error::SecretMissing { .. }
        | Error::SecretNotFound
        | Error::LoginFailed { .. }
        | Error::Access(_)
        | Error::Registry(_)
        | Error::Usage(_)
        | Error::Audit(_) => Reach::Nobody,
        Error::Unreachable { in_flight: false, .. }
        | Error::TimedOut { in_flight: false, .. }
        | Error::BreakerOpen { .. }
        | Error::Overloaded { .. }
        | Error::TooManyPools { .. }
        | Error::ShuttingDown => Reach::Queue,
        Error::Unreachable { in_flight: true, .. }
        | Error::TimedOut { in_flight: true, .. }
        | Error::Unread { carried_out: true, .. }
        | Error::ResourceNotFound { .. }
        | Error::InvalidArguments { .. }
        | Error::Rpc { .. }
        | Error::InputRequired
        | Error::BadReply { .. }
        | Error::RequestTooLarge { .. }
        | Error::Internal { .. } => Reach::Server,
    }
}

/// Removes the suggestion of a tool that the caller may not see.
fn without_hidden(error: Error, caller: &Principal, entry: &ServerEntry) -> Error {
    match error {
        Error::ToolNotFound { tool, suggestion } => {
            let visible = |tool: &String| caller.permissions().allow_tool(&entry.id, tool);
            Error::ToolNotFound { tool, suggestion: suggestion.filter(visible) }
        }
        other => other,
    }
}
