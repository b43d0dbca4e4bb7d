//! Errors of reading the audit: a closed set, with one table of facts. Writing it never fails a request.

use std::time::Duration;

use crate::facts::{ErrorFacts, Fault, Retry};

/// Error of opening or reading the audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many others wait for the audit's thread.
    #[error("Too many calls are waiting for this server")]
    Overloaded {
        /// Time after which it is worth asking again.
        retry_after: Duration,
    },
    /// The audit has ended, because the daemon is stopping.
    #[error("The gateway is shutting down")]
    ShuttingDown,
    /// The audit cannot be opened or read. The text is for the log, not for the caller.
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
            Error::Overloaded { .. } => ErrorFacts::new("overloaded", Fault::Gateway, Retry::Safe),
            Error::ShuttingDown => ErrorFacts::new("shutting_down", Fault::Gateway, Retry::Safe),
            Error::Internal { .. } => ErrorFacts::new("internal", Fault::Gateway, Retry::Safe),
        }
    }
}
