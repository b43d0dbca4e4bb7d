//! The facts about an error that a caller can get, beside its text: its name, whose fault it is, and whether asking
//! again is safe. Every room has a closed set of errors with one table of these. No status codes here; each dialect
//! translates with exhaustive matches.

/// Party at fault for an error.
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

/// Facts about an error, for whoever handles it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorFacts {
    /// Name of the outcome in metrics and logs: one word per kind of error, stable.
    pub name: &'static str,
    /// Party at fault.
    pub fault: Fault,
    /// Safety of sending the same request again.
    pub retry: Retry,
}

impl ErrorFacts {
    /// Creates the facts of an error, in the order of a table's row.
    pub const fn new(name: &'static str, fault: Fault, retry: Retry) -> ErrorFacts {
        ErrorFacts { name, fault, retry }
    }
}
