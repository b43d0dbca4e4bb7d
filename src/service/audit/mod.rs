//! The audit: an append-only record of who changed what, and who was refused what. Lines of JSON in
//! segments below `audit/` in the data directory, written by a thread of its own; an act is
//! acknowledged to its caller after its line is written. Never arguments or results of calls, at most
//! a hash of arguments.

mod entry;
mod export;
mod log;
mod rate;
mod reading;
mod segments;
mod shares;
mod strand;
mod told;

pub use self::entry::{AuditEntry, Outcome, Sort};
pub(super) use self::export::{Export, Piece};
pub(super) use self::log::start;
pub use self::log::{AuditHandle, AuditQuery, AuditSettings};
pub use self::told::{told_of_change, told_of_definition};
