//! The errors that a caller can get: those of the rooms, and those of calls. A closed set with one table of facts:
//! what happened, whose fault it is, and whether asking again is safe. No status codes here; each dialect translates
//! with exhaustive matches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::access::AccessError;
use crate::facts::{ErrorFacts, Fault, Retry};
use crate::pins::PinState;
use crate::supervisor::Status;
use crate::{audit, registry, usage};

/// Error of the gateway, worded for no particular dialect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller lacks a right, or is no longer accepted.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A change was refused or failed, or its object does not exist.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A quota is used up, or usage cannot be read.
    #[error(transparent)]
    Usage(#[from] usage::Error),
    /// The audit cannot be read.
    #[error(transparent)]
    Audit(#[from] audit::Error),
    /// The operator switched the server off.
    #[error("Server '{name}' is disabled")]
    ServerDisabled {
        /// Name of the server.
        name: String,
    },
    /// An operator stopped the server.
    #[error("Server '{name}' is stopped; it serves again when an operator starts it (`mcpvisor start`)")]
    ServerStopped {
        /// Name of the server.
        name: String,
    },
    /// The definition names neither a command nor an address: it is kept and listed, never started.
    #[error("Server '{name}' names neither a command nor an address")]
    NoCommand {
        /// Name of the server.
        name: String,
    },
    /// The key does not permit this server.
    #[error("This key may not use server '{name}'")]
    ServerNotPermitted {
        /// Name of the server.
        name: String,
    },
    /// The key does not permit this tool.
    #[error("This key may not use tool '{tool}'")]
    ToolNotPermitted {
        /// Tool as the caller named it.
        tool: String,
    },
    /// The key has the maximum number of calls under way.
    #[error("This key has {limit} calls under way, which is as many as a key may have")]
    TooManyCalls {
        /// Maximum number of calls under way.
        limit: usize,
    },
    /// Too many bytes of earlier answers wait to be read.
    #[error("{}", unread(setting, *limit, *carried_out))]
    Unread {
        /// Name of the limit that was reached.
        setting: &'static str,
        /// Size of the limit, in bytes.
        limit: usize,
        /// `true` if the call was carried out and its answer dropped.
        carried_out: bool,
    },
    /// The tool differs from what was approved, and its server is configured to refuse such tools.
    #[error("{}", blocked(tool, *state))]
    ToolBlocked {
        /// Name of the tool.
        tool: String,
        /// Difference from what was approved.
        state: PinState,
    },
    /// The tool is not in the server's catalog.
    #[error("Tool '{tool}' not found{}", suggestion.as_ref().map(|s| format!(". Did you mean '{s}'?")).unwrap_or_default())]
    ToolNotFound {
        /// Tool as the caller named it.
        tool: String,
        /// Closest name in the catalog; `None` if no name is close.
        suggestion: Option<String>,
    },
    /// The server does not have the resource.
    #[error("{message}")]
    ResourceNotFound {
        /// Message of the server, or of the gateway if the server has no resources at all.
        message: String,
    },
    /// The server answered `-32602` to a tool it announced.
    #[error("{message}")]
    InvalidArguments {
        /// Message of the server.
        message: String,
    },
    /// Any other JSON-RPC error of the server, passed on as it came.
    #[error("{message}")]
    Rpc {
        /// The JSON-RPC error code.
        code: i64,
        /// The JSON-RPC error message.
        message: String,
        /// The JSON-RPC error data, raw JSON.
        data: Option<Bytes>,
    },
    /// The tool asks for input before it answers. All ways a server has of saying so map to this one.
    #[error("The tool asks for input (input_required), which this interface cannot give")]
    InputRequired,
    /// The server answered with something that MCP does not allow.
    #[error("The MCP server sent an unusable reply: {reason}")]
    BadReply {
        /// Defect of the reply.
        reason: String,
    },
    /// The server is not running, cannot start, or died during the call.
    #[error("{reason}")]
    Unreachable {
        /// Description of what the server is doing instead of answering, with its cause.
        reason: String,
        /// `true` if the request had been handed to the child, so the outcome is unknown.
        in_flight: bool,
        /// Time until the next start is due; `None` if that is unknown.
        retry_after: Option<Duration>,
        /// Status of the server when the call failed; `None` if it is unknown.
        status: Option<Arc<Status>>,
    },
    /// The request is larger than the remote server takes.
    #[error("The request is larger than server '{name}' takes")]
    RequestTooLarge {
        /// Name of the server.
        name: String,
    },
    /// The server did not answer its last calls: further ones are refused for a while.
    #[error("Server '{name}' did not answer its last calls; calls are refused for another {:.1} s", retry_after.as_secs_f32())]
    BreakerOpen {
        /// Name of the server.
        name: String,
        /// Time after which it is worth asking again.
        retry_after: Duration,
    },
    /// The deadline passed. The child was told to cancel.
    #[error("No answer within {} ms{}", after.as_millis(), meanwhile.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    TimedOut {
        /// Deadline of the call.
        after: Duration,
        /// `true` if the request had been handed to the child.
        in_flight: bool,
        /// Description of what the server was doing, for a call that it was not ready for; `None` for other calls.
        meanwhile: Option<String>,
    },
    /// The server has the maximum number of calls in flight, and the queue is full or the call waited too long in
    /// it.
    #[error("Too many calls are waiting for this server")]
    Overloaded {
        /// Time after which it is worth asking again.
        retry_after: Duration,
    },
    /// The server has as many children of sessions and principals as it may, and all of them are in use.
    #[error(
        "Server '{name}' has {limit} pools in use, which is as many as it may have (mcpvisor.max_pools); try again when a \
         session has ended or a pool is idle"
    )]
    TooManyPools {
        /// Name of the server.
        name: String,
        /// Maximum number of pools.
        limit: usize,
    },
    /// Nobody could log in to the remote server.
    #[error("Server '{name}' {reason}")]
    LoginFailed {
        /// Name of the server.
        name: String,
        /// What is wrong, as the continuation of the server's name.
        reason: String,
    },
    /// The server needs a secret of the principal that it has not stored.
    #[error(
        "Server '{name}' needs your secret '{secret}', which you have not stored: store it with \
         PUT /v1/members/me/secrets/{secret}, then call again"
    )]
    SecretMissing {
        /// Name of the server.
        name: String,
        /// Name of the secret.
        secret: String,
    },
    /// The member has stored nothing under this name.
    #[error("Secret not found")]
    SecretNotFound,
    /// The daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// The gateway has a defect. The text is for the log, not for the caller.
    #[error("internal error: {reason}")]
    Internal {
        /// Description of the defect.
        reason: String,
    },
}

/// Describes why a tool is held back, and who can approve it.
fn blocked(tool: &str, state: PinState) -> String {
    let what = match state {
        PinState::New => "is new",
        PinState::Changed | PinState::Gone | PinState::Pinned | PinState::Reordered => {
            "is not as it was approved"
        }
    };
    format!("Tool '{tool}' {what} and waits for an administrator's approval")
}

/// Describes what the caller lost, and what to do about it.
fn unread(setting: &str, limit: usize, carried_out: bool) -> String {
    let what = match carried_out {
        true => "The call was carried out and its answer dropped",
        false => "The request was not carried out",
    };
    format!(
        "{what}: too much of earlier answers waits to be read ({setting} is {limit} bytes). Read them, or close \
         their connections"
    )
}

impl Error {
    /// Returns the facts about the error: its name, the party at fault, and the safety of a repetition.
    pub fn facts(&self) -> ErrorFacts {
        let of_caller = |name, retry| ErrorFacts::new(name, Fault::Caller, retry);
        let of_server = |name, retry| ErrorFacts::new(name, Fault::Server, retry);
        let of_gateway = |name| ErrorFacts::new(name, Fault::Gateway, Retry::Safe);
        match self {
            Error::Access(error) => error.facts(),
            Error::Registry(error) => error.facts(),
            Error::Usage(error) => error.facts(),
            Error::Audit(error) => error.facts(),
            Error::ServerDisabled { .. } => of_caller("server_disabled", Retry::Pointless),
            Error::ServerStopped { .. } => of_caller("server_stopped", Retry::Pointless),
            Error::NoCommand { .. } => of_caller("no_command", Retry::Pointless),
            Error::ServerNotPermitted { .. } => of_caller("server_not_permitted", Retry::Pointless),
            Error::ToolNotPermitted { .. } => of_caller("tool_not_permitted", Retry::Pointless),
            Error::TooManyCalls { .. } => of_caller("too_many_calls", Retry::Safe),
            Error::Unread { carried_out, .. } => of_caller("unread", unless_in_flight(*carried_out)),
            Error::ToolBlocked { .. } => of_server("tool_blocked", Retry::Pointless),
            Error::ToolNotFound { .. } => of_caller("tool_not_found", Retry::Pointless),
            Error::ResourceNotFound { .. } => of_caller("resource_not_found", Retry::Pointless),
            Error::InvalidArguments { .. } => of_caller("invalid_arguments", Retry::Pointless),
            Error::Rpc { .. } => of_server("rpc_error", Retry::Pointless),
            Error::InputRequired => of_server("input_required", Retry::Pointless),
            Error::BadReply { .. } => of_server("bad_reply", Retry::OutcomeUnknown),
            Error::Unreachable { in_flight, .. } => of_server("unreachable", unless_in_flight(*in_flight)),
            Error::RequestTooLarge { .. } => of_caller("request_too_large", Retry::Pointless),
            Error::BreakerOpen { .. } => of_server("breaker_open", Retry::Safe),
            Error::TimedOut { in_flight, .. } => of_server("timed_out", unless_in_flight(*in_flight)),
            Error::Overloaded { .. } => of_gateway("overloaded"),
            Error::TooManyPools { .. } => of_gateway("too_many_pools"),
            Error::LoginFailed { .. } => of_server("login_failed", Retry::Safe),
            Error::SecretMissing { .. } => of_caller("secret_missing", Retry::Safe),
            Error::SecretNotFound => of_caller("secret_not_found", Retry::Pointless),
            Error::ShuttingDown => of_gateway("shutting_down"),
            Error::Internal { .. } => of_gateway("internal"),
        }
    }

    /// Returns the error of access that this is, of whichever room; `None` if it is another.
    pub fn access(&self) -> Option<&AccessError> {
        match self {
            Error::Access(error) | Error::Registry(registry::Error::Access(error)) => Some(error),
            _ => None,
        }
    }

    /// Reports whether the caller's key has ended since it was presented.
    pub fn ends_key(&self) -> bool {
        matches!(self.access(), Some(AccessError::KeyRevoked | AccessError::KeyExpired))
    }

    /// Reports whether nothing else that the caller asks for can succeed now: its key has ended, the daemon is
    /// stopping, or it has a defect.
    pub fn ends_work(&self) -> bool {
        let is_over = matches!(
            self,
            Error::ShuttingDown
                | Error::Registry(registry::Error::ShuttingDown)
                | Error::Usage(usage::Error::ShuttingDown)
                | Error::Audit(audit::Error::ShuttingDown)
        );
        let is_defect = matches!(
            self,
            Error::Internal { .. }
                | Error::Registry(registry::Error::Internal { .. })
                | Error::Usage(usage::Error::Internal { .. })
                | Error::Audit(audit::Error::Internal { .. })
        );
        self.ends_key() || is_over || is_defect
    }
}

/// Returns the safety of repeating a request that a server may have carried out if it was in flight.
fn unless_in_flight(in_flight: bool) -> Retry {
    if in_flight { Retry::OutcomeUnknown } else { Retry::Safe }
}
