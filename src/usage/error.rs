//! Errors of usage and quotas: a closed set, with one table of facts.

use std::time::Duration;

use crate::facts::{ErrorFacts, Fault, Retry};

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

/// Error of counting a call against a quota, or of reading what was counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
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
    /// Too many others wait for the thread of usage.
    #[error("Too many calls are waiting for this server")]
    Overloaded {
        /// Time after which it is worth asking again.
        retry_after: Duration,
    },
    /// The thread of usage has ended, because the daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// The store cannot be read or written.
    #[error("The change could not be stored: {reason}")]
    Store {
        /// Reason given by the store.
        reason: String,
    },
    /// The thread could not be started. The text is for the log, not for the caller.
    #[error("internal error: {reason}")]
    Internal {
        /// Description of the failure.
        reason: String,
    },
}

impl Error {
    /// Returns the facts about the error: its name, the party at fault, and the safety of a repetition.
    pub fn facts(&self) -> ErrorFacts {
        match self {
            Error::QuotaExceeded { .. } => ErrorFacts::new("quota_exceeded", Fault::Caller, Retry::Safe),
            Error::Overloaded { .. } => ErrorFacts::new("overloaded", Fault::Gateway, Retry::Safe),
            Error::ShuttingDown => ErrorFacts::new("shutting_down", Fault::Gateway, Retry::Safe),
            Error::Store { .. } => ErrorFacts::new("store", Fault::Gateway, Retry::Safe),
            Error::Internal { .. } => ErrorFacts::new("internal", Fault::Gateway, Retry::Safe),
        }
    }
}
