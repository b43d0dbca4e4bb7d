//! The audit: an append-only record of changes and refusals, and of who caused them. It consists of lines of JSON in
//! segments below `audit/` in the data directory, written by a thread of its own. An act is acknowledged to its
//! caller after its line is written. Arguments and results of calls are never recorded, at most a hash of the
//! arguments.

mod entry;
mod error;
mod export;
mod line;
mod log;
mod part;
mod query;
mod rate;
mod reading;
mod segments;
mod settings;
mod shares;
mod strand;
mod told;

#[cfg(test)]
pub(crate) use self::entry::AuditLine;
pub use self::entry::{AuditEntry, EntryKind, Outcome};
pub use self::error::Error;
pub(crate) use self::export::{Export, Piece};
pub use self::log::{AuditHandle, open};
pub use self::query::AuditQuery;
pub use self::settings::AuditSettings;
pub use self::told::{told_of_change, told_of_definition};
