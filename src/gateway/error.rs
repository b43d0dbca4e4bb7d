//! The errors that a caller can get: a closed set with three facts each: what happened, whose fault it is, and
//! whether asking again is safe. No status codes here; each dialect translates with one exhaustive `match`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::pins::PinState;
use crate::supervisor::{Problem, Status};

/// Party at fault for an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request cannot be carried out as it was asked.
    Caller,
    /// The MCP server misbehaved, is down or refused.
    Server,
    /// The gateway itself: overloaded, stopping, or its store failed.
    Gateway,
}

/// Safety of repeating the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The request never reached the MCP server and can be repeated.
    Safe,
    /// The request reached the MCP server and its outcome is unknown: it may have been carried out.
    OutcomeUnknown,
    /// Repeating gives the same answer.
    Pointless,
}

/// Owner of a monthly quota that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaOf {
    /// The quota of the plan: the member's own or the organization's.
    Plan,
    /// The quota of the key itself.
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

/// Error of the gateway, worded for no particular dialect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No server has this id or name.
    #[error("Server '{name}' not found")]
    ServerNotFound {
        /// Id or name that was asked for.
        name: String,
    },
    /// The operator switched the server off.
    #[error("Server '{name}' is disabled")]
    ServerDisabled {
        /// Name of the server.
        name: String,
    },
    /// The definition has no command (it names an address instead): it is kept and listed, never started.
    #[error("Server '{name}' has no command: remote servers are not called yet by this version")]
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
    /// The caller lacks the right to do this.
    #[error("{reason}")]
    Forbidden {
        /// Right that is missing, as a sentence.
        reason: String,
    },
    /// The key was revoked after it was presented, or its member was removed.
    #[error("The API key was revoked")]
    KeyRevoked,
    /// The key expired after it was presented.
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
    /// The state of the object does not allow the change: a revoked key, a member of the configuration file, a plan
    /// in use.
    #[error("{reason}")]
    Conflict {
        /// Obstacle, and how to remove it.
        reason: String,
    },
    /// A value was understood and cannot be accepted.
    #[error("{field}: {reason}")]
    Unacceptable {
        /// Name of the field.
        field: &'static str,
        /// Reason for the refusal.
        reason: String,
    },
    /// The plan's maximum number of objects is reached.
    #[error("No more than {limit} {resource} are allowed; remove one first")]
    LimitReached {
        /// Kind of object: `api_keys`, `mcps`.
        resource: &'static str,
        /// Maximum number of such objects.
        limit: u64,
    },
    /// The calls of this month are used up.
    #[error("{} {limit} requests of this month are used up", of.owner())]
    QuotaExceeded {
        /// Owner of the quota.
        of: QuotaOf,
        /// Maximum number of calls a month.
        limit: u64,
        /// Time until the next month.
        retry_after: Duration,
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
    /// The tools to be approved have changed since the caller read them.
    #[error("The tools have changed since they were looked at. Look at them again")]
    ToolsChanged,
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
    /// The daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// Another server with a different definition has this name.
    #[error("Server '{name}' already exists")]
    AlreadyExists {
        /// Name that is taken.
        name: String,
    },
    /// The definition cannot be accepted; all problems are reported at once.
    #[error("{}", problems.first().map(|p| p.to_string()).unwrap_or_default())]
    InvalidDefinition {
        /// All problems, each with its path.
        problems: Vec<Problem>,
    },
    /// The file to import or export does not exist.
    #[error("File '{path}' not found")]
    FileNotFound {
        /// Path as the caller wrote it.
        path: String,
    },
    /// A file could not be read.
    #[error("Failed to read file: {reason}")]
    FileRead {
        /// Message of the operating system.
        reason: String,
    },
    /// A file could not be written.
    #[error("Failed to write to file: {reason}")]
    FileWrite {
        /// Message of the operating system.
        reason: String,
    },
    /// The content of a file is not a configuration.
    #[error("File '{path}' {reason}")]
    FileContent {
        /// Path as the caller wrote it.
        path: String,
        /// Defect of the content, worded to follow the path.
        reason: String,
    },
    /// The path is outside the configured root.
    #[error("File path is outside the configured root '{root}'")]
    OutsideRoot {
        /// Directory that paths must stay in.
        root: String,
    },
    /// The store refused a change; nothing was changed.
    #[error("The change could not be stored: {reason}")]
    Store {
        /// Reason given by the store.
        reason: String,
    },
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
    /// Returns the party at fault.
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

    /// Returns whether the same request may be sent again without the risk of doing something twice.
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

    /// Returns the name of the outcome in metrics and logs: one word per variant, stable.
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
