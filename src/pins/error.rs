//! Errors of an approval: a closed set, with one table of facts.

use crate::facts::{ErrorFacts, Fault, Retry};

/// Reason that tools are not approved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The tools to be approved have changed since the caller read them.
    #[error("The tools have changed since they were looked at. Look at them again")]
    ToolsChanged,
    /// A tool to be approved is neither announced nor pinned.
    #[error("Tool '{tool}' not found")]
    UnknownTool {
        /// Tool as the caller named it.
        tool: String,
    },
}

impl Error {
    /// Returns the facts about the error: its name, the party at fault, and the safety of a repetition.
    pub fn facts(&self) -> ErrorFacts {
        match self {
            Error::ToolsChanged => ErrorFacts::new("tools_changed", Fault::Caller, Retry::Pointless),
            Error::UnknownTool { .. } => ErrorFacts::new("tool_not_found", Fault::Caller, Retry::Pointless),
        }
    }
}
