//! Errors of changes to the servers, keys, members and plans: a closed set, with one table of facts.

use crate::access::AccessError;
use crate::facts::{ErrorFacts, Fault, Retry};
use crate::pins;
use crate::supervisor::Problem;

/// Error of a change, or of looking for what it is about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The caller may not make the change, or is no longer accepted.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The tools cannot be approved.
    #[error(transparent)]
    Pins(#[from] pins::Error),
    /// No server has this id or name.
    #[error("Server '{name}' not found")]
    ServerNotFound {
        /// Id or name that was asked for.
        name: String,
    },
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
    /// The registry has ended, because the daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// The registry has a defect. The text is for the log, not for the caller.
    #[error("internal error: {reason}")]
    Internal {
        /// Description of the defect.
        reason: String,
    },
}

impl Error {
    /// Returns the facts about the error: its name, the party at fault, and the safety of a repetition.
    pub fn facts(&self) -> ErrorFacts {
        let of_caller = |name| ErrorFacts::new(name, Fault::Caller, Retry::Pointless);
        let of_gateway = |name| ErrorFacts::new(name, Fault::Gateway, Retry::Safe);
        match self {
            Error::Access(error) => error.facts(),
            Error::Pins(error) => error.facts(),
            Error::ServerNotFound { .. } => of_caller("server_not_found"),
            Error::KeyNotFound => of_caller("key_not_found"),
            Error::MemberNotFound => of_caller("member_not_found"),
            Error::PlanNotFound => of_caller("plan_not_found"),
            Error::Conflict { .. } => of_caller("conflict"),
            Error::Unacceptable { .. } => of_caller("unacceptable"),
            Error::LimitReached { .. } => of_caller("limit_reached"),
            Error::AlreadyExists { .. } => of_caller("already_exists"),
            Error::InvalidDefinition { .. } => of_caller("invalid_definition"),
            Error::FileNotFound { .. } => of_caller("file_not_found"),
            Error::FileRead { .. } => of_caller("file_read"),
            Error::FileWrite { .. } => of_caller("file_write"),
            Error::FileContent { .. } => of_caller("file_content"),
            Error::OutsideRoot { .. } => of_caller("outside_root"),
            Error::Store { .. } => of_gateway("store"),
            Error::ShuttingDown => of_gateway("shutting_down"),
            Error::Internal { .. } => of_gateway("internal"),
        }
    }
}
