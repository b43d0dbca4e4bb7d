//! The errors of stored secrets. Their facts are those of the errors that the gateway makes of them.

/// Error of a change of what a member has stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The member has stored nothing under this name.
    #[error("Secret not found")]
    NotFound,
    /// The name or the value is not such that it can be stored.
    #[error("{field} {reason}")]
    Unacceptable {
        /// Name of the field: `name` or `value`.
        field: &'static str,
        /// Rule that it breaks.
        reason: String,
    },
    /// The disk refused the change, or the key cannot be read; nothing was changed.
    #[error("The secret could not be stored")]
    Store {
        /// Error of the operating system, for the log.
        reason: String,
    },
}
