//! Everything that can go wrong for a caller, as a closed set with three facts: what happened,
//! whose fault it is, and whether asking again is safe. Nothing here knows a status code; each
//! dialect translates with one exhaustive `match`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::pins::PinState;
use crate::supervisor::{Problem, Status};

/// Whose fault an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be carried out as it was asked.
    Caller,
    /// The MCP server misbehaved, is down or said no.
    Server,
    /// The gateway itself: overloaded, stopping, or its store failed.
    Gateway,
}

/// Whether repeating the same request is safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The request never reached the MCP server: repeat at will.
    Safe,
    /// The request reached the MCP server and its outcome is unknown: it may have been carried out.
    OutcomeUnknown,
    /// Repeating gives the same answer.
    Pointless,
}

/// Whose calls of a month are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// The plan's: the member's own or the organization's.
    Plan,
    /// The key's own.
    Key,
}

impl QuotaOf {
    fn owner(self) -> &'static str {
        match self {
            QuotaOf::Plan => "The plan's",
            QuotaOf::Key => "This key's",
        }
    }
}

/// What went wrong, in the words of no dialect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No server has this id or name.
    #[error("Server '{name}' not found")]
    ServerNotFound {
        /// What the caller asked for.
        name: String,
    },
    /// The operator switched the server off.
    #[error("Server '{name}' is disabled")]
    ServerDisabled {
        /// The server's name.
        name: String,
    },
    /// The definition has no command (it names an address instead): it is kept and listed, never started.
    #[error("Server '{name}' has no command: remote servers are not called yet by this version")]
    NoCommand {
        /// The server's name.
        name: String,
    },
    /// The key is not for this server.
    #[error("This key may not use server '{name}'")]
    ServerNotPermitted {
        /// What the caller asked for.
        name: String,
    },
    /// The key is not for this tool.
    #[error("This key may not use tool '{tool}'")]
    ToolNotPermitted {
        /// What the caller asked for.
        tool: String,
    },
    /// Who asks may not do this.
    #[error("{reason}")]
    Forbidden {
        /// What is missing.
        reason: String,
    },
    /// The key was revoked since it was presented, or its member is no more.
    #[error("The API key was revoked")]
    KeyRevoked,
    /// The key has expired since it was presented.
    #[error("The API key has expired")]
    KeyExpired,
    /// No key has this id.
    #[error("API key not found")]
    KeyNotFound,
    /// No member has this id.
    #[error("Member not found")]
    MemberNotFound,
    /// No plan has this name.
    #[error("Plan not found")]
    PlanNotFound,
    /// What is to be changed is not such that it can be: a key that was revoked, a member that the
    /// configuration file has, a plan that somebody has.
    #[error("{reason}")]
    Conflict {
        /// What is in the way, and what would help.
        reason: String,
    },
    /// A value that was understood and cannot be accepted.
    #[error("{field}: {reason}")]
    Unacceptable {
        /// Which one.
        field: &'static str,
        /// Why not.
        reason: String,
    },
    /// There are as many as the plan allows.
    #[error("No more than {limit} {resource} are allowed; remove one first")]
    LimitReached {
        /// Of what: `api_keys`, `mcps`.
        resource: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// The calls of this month are used up.
    #[error("{} {limit} requests of this month are used up", of.owner())]
    QuotaExceeded {
        /// Whose.
        of: QuotaOf,
        /// How many there may be.
        limit: u64,
        /// How long until the next month.
        retry_after: Duration,
    },
    /// The key has as many calls under way as a key may have.
    #[error("This key has {limit} calls under way, which is as many as a key may have")]
    TooManyCalls {
        /// How many there may be.
        limit: usize,
    },
    /// So much of what was answered waits to be read that there is no room for more.
    #[error("{}", unread(setting, *limit, *carried_out))]
    Unread {
        /// Which limit was reached.
        setting: &'static str,
        /// What it is, in bytes.
        limit: usize,
        /// True when the call was carried out, and its answer dropped.
        carried_out: bool,
    },
    /// The tool is not as it was approved, and its server is configured to refuse such.
    #[error("{}", blocked(tool, *state))]
    ToolBlocked {
        /// The tool.
        tool: String,
        /// How it stands to what was approved.
        state: PinState,
    },
    /// The tools that were to be approved are not any more what was looked at.
    #[error("The tools have changed since they were looked at. Look at them again")]
    ToolsChanged,
    /// The tool is not in the server's catalog.
    #[error("Tool '{tool}' not found{}", suggestion.as_ref().map(|s| format!(". Did you mean '{s}'?")).unwrap_or_default())]
    ToolNotFound {
        /// What the caller asked for.
        tool: String,
        /// The closest name in the catalog, when one is close.
        suggestion: Option<String>,
    },
    /// The server does not have the resource.
    #[error("{message}")]
    ResourceNotFound {
        /// The server's own words, or ours when the server has no resources at all.
        message: String,
    },
    /// The server answered `-32602` to a tool it announced.
    #[error("{message}")]
    InvalidArguments {
        /// The server's own words.
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
    /// The tool asks for input before it answers. Whatever way a server has of saying so, it is one cause.
    #[error("The tool asks for input (input_required), which this interface cannot give")]
    InputRequired,
    /// The server answered with something that is not what MCP says it should be.
    #[error("The MCP server sent an unusable reply: {reason}")]
    BadReply {
        /// What is wrong with the reply.
        reason: String,
    },
    /// The server is not running, cannot start, or died during the call.
    #[error("{reason}")]
    Unreachable {
        /// What the server is doing instead of answering, its cause and its last words on stderr.
        reason: String,
        /// True when the request had been handed to the child: the outcome is unknown.
        in_flight: bool,
        /// When the next start is due, if that is known.
        retry_after: Option<Duration>,
        /// How the server was when the call failed.
        status: Option<Arc<Status>>,
    },
    /// The server did not answer its last calls: further ones are refused for a while.
    #[error("Server '{name}' did not answer its last calls; calls are refused for another {:.1} s", retry_after.as_secs_f32())]
    BreakerOpen {
        /// The server's name.
        name: String,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The deadline passed. The child was told to cancel.
    #[error("No answer within {} ms{}", after.as_millis(), meanwhile.as_ref().map(|m| format!(": {m}")).unwrap_or_default())]
    TimedOut {
        /// The deadline the call had.
        after: Duration,
        /// True when the request had been handed to the child.
        in_flight: bool,
        /// What the server was doing, for a call that it was not ready for.
        meanwhile: Option<String>,
    },
    /// As many calls as the server may have are in flight, and the queue is full or too old.
    #[error("Too many calls are waiting for this server")]
    Overloaded {
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// The daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// A server of this name exists with another definition.
    #[error("Server '{name}' already exists")]
    AlreadyExists {
        /// The name that is taken.
        name: String,
    },
    /// A definition that cannot be accepted; every problem at once.
    #[error("{}", problems.first().map(|p| p.to_string()).unwrap_or_default())]
    InvalidDefinition {
        /// What is wrong, each with its path.
        problems: Vec<Problem>,
    },
    /// A file that import or export was asked for is not there.
    #[error("File '{path}' not found")]
    FileNotFound {
        /// The path as the caller wrote it.
        path: String,
    },
    /// A file could not be read.
    #[error("Failed to read file: {reason}")]
    FileRead {
        /// The operating system's reason.
        reason: String,
    },
    /// A file could not be written.
    #[error("Failed to write to file: {reason}")]
    FileWrite {
        /// The operating system's reason.
        reason: String,
    },
    /// A file's content is not a configuration.
    #[error("File '{path}' {reason}")]
    FileContent {
        /// The path as the caller wrote it.
        path: String,
        /// What is wrong, worded to follow the path.
        reason: String,
    },
    /// A path outside the configured root.
    #[error("File path is outside the configured root '{root}'")]
    OutsideRoot {
        /// The directory that paths must stay in.
        root: String,
    },
    /// The store refused a change; nothing was changed.
    #[error("The change could not be stored: {reason}")]
    Store {
        /// The store's reason.
        reason: String,
    },
    /// A defect of the gateway. The text is for the log, not for the caller.
    #[error("internal error: {reason}")]
    Internal {
        /// What broke.
        reason: String,
    },
}

/// Why a tool is held back, and who can let it through.
fn blocked(tool: &str, state: PinState) -> String {
    let what = match state {
        PinState::New => "is new",
        PinState::Changed | PinState::Gone | PinState::Pinned | PinState::Reordered => {
            "is not as it was approved"
        }
    };
    format!("Tool '{tool}' {what} and waits for an administrator's approval")
}

/// What the caller lost, and what to do about it.
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
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Error::ServerNotFound { .. }
            | Error::ServerDisabled { .. }
            | Error::NoCommand { .. }
            | Error::ServerNotPermitted { .. }
            | Error::ToolNotPermitted { .. }
            | Error::Forbidden { .. }
            | Error::KeyRevoked
            | Error::KeyExpired
            | Error::KeyNotFound
            | Error::MemberNotFound
            | Error::PlanNotFound
            | Error::Conflict { .. }
            | Error::Unacceptable { .. }
            | Error::LimitReached { .. }
            | Error::QuotaExceeded { .. }
            | Error::TooManyCalls { .. }
            | Error::Unread { .. }
            | Error::ToolsChanged
            | Error::ToolNotFound { .. }
            | Error::ResourceNotFound { .. }
            | Error::InvalidArguments { .. }
            | Error::AlreadyExists { .. }
            | Error::InvalidDefinition { .. }
            | Error::FileNotFound { .. }
            | Error::FileRead { .. }
            | Error::FileWrite { .. }
            | Error::FileContent { .. }
            | Error::OutsideRoot { .. } => Fault::Caller,
            Error::ToolBlocked { .. }
            | Error::Rpc { .. }
            | Error::InputRequired
            | Error::BadReply { .. }
            | Error::Unreachable { .. }
            | Error::BreakerOpen { .. }
            | Error::TimedOut { .. } => Fault::Server,
            Error::Overloaded { .. } | Error::ShuttingDown | Error::Store { .. } | Error::Internal { .. } => {
                Fault::Gateway
            }
        }
    }

    /// Whether the same request may be sent again without the risk of doing something twice.
    pub fn retry(&self) -> Retry {
        match self {
            Error::Unreachable { in_flight: true, .. }
            | Error::TimedOut { in_flight: true, .. }
            | Error::Unread { carried_out: true, .. }
            | Error::BadReply { .. } => Retry::OutcomeUnknown,
            Error::Unreachable { .. }
            | Error::BreakerOpen { .. }
            | Error::TimedOut { .. }
            | Error::QuotaExceeded { .. }
            | Error::TooManyCalls { .. }
            | Error::Unread { .. }
            | Error::Overloaded { .. }
            | Error::ShuttingDown
            | Error::Store { .. }
            | Error::Internal { .. } => Retry::Safe,
            Error::ServerNotFound { .. }
            | Error::ServerDisabled { .. }
            | Error::NoCommand { .. }
            | Error::ServerNotPermitted { .. }
            | Error::ToolNotPermitted { .. }
            | Error::Forbidden { .. }
            | Error::KeyRevoked
            | Error::KeyExpired
            | Error::KeyNotFound
            | Error::MemberNotFound
            | Error::PlanNotFound
            | Error::Conflict { .. }
            | Error::Unacceptable { .. }
            | Error::LimitReached { .. }
            | Error::ToolBlocked { .. }
            | Error::ToolsChanged
            | Error::ToolNotFound { .. }
            | Error::ResourceNotFound { .. }
            | Error::InvalidArguments { .. }
            | Error::Rpc { .. }
            | Error::InputRequired
            | Error::AlreadyExists { .. }
            | Error::InvalidDefinition { .. }
            | Error::FileNotFound { .. }
            | Error::FileRead { .. }
            | Error::FileWrite { .. }
            | Error::FileContent { .. }
            | Error::OutsideRoot { .. } => Retry::Pointless,
        }
    }

    /// The name of the outcome in metrics and logs: one word a variant, stable.
    pub fn outcome(&self) -> &'static str {
        match self {
            Error::ServerNotFound { .. } => "server_not_found",
            Error::ServerDisabled { .. } => "server_disabled",
            Error::NoCommand { .. } => "no_command",
            Error::ServerNotPermitted { .. } => "server_not_permitted",
            Error::ToolNotPermitted { .. } => "tool_not_permitted",
            Error::Forbidden { .. } => "forbidden",
            Error::KeyRevoked => "key_revoked",
            Error::KeyExpired => "key_expired",
            Error::KeyNotFound => "key_not_found",
            Error::MemberNotFound => "member_not_found",
            Error::PlanNotFound => "plan_not_found",
            Error::Conflict { .. } => "conflict",
            Error::Unacceptable { .. } => "unacceptable",
            Error::LimitReached { .. } => "limit_reached",
            Error::QuotaExceeded { .. } => "quota_exceeded",
            Error::TooManyCalls { .. } => "too_many_calls",
            Error::Unread { .. } => "unread",
            Error::ToolBlocked { .. } => "tool_blocked",
            Error::ToolsChanged => "tools_changed",
            Error::ToolNotFound { .. } => "tool_not_found",
            Error::ResourceNotFound { .. } => "resource_not_found",
            Error::InvalidArguments { .. } => "invalid_arguments",
            Error::Rpc { .. } => "rpc_error",
            Error::InputRequired => "input_required",
            Error::BadReply { .. } => "bad_reply",
            Error::Unreachable { .. } => "unreachable",
            Error::BreakerOpen { .. } => "breaker_open",
            Error::TimedOut { .. } => "timed_out",
            Error::Overloaded { .. } => "overloaded",
            Error::ShuttingDown => "shutting_down",
            Error::AlreadyExists { .. } => "already_exists",
            Error::InvalidDefinition { .. } => "invalid_definition",
            Error::FileNotFound { .. } => "file_not_found",
            Error::FileRead { .. } => "file_read",
            Error::FileWrite { .. } => "file_write",
            Error::FileContent { .. } => "file_content",
            Error::OutsideRoot { .. } => "outside_root",
            Error::Store { .. } => "store",
            Error::Internal { .. } => "internal",
        }
    }
}
