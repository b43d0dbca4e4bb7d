//! Activity: the calls of late, one by one, each with who called what, when, how long and how it ended; never arguments
//! or results. A bounded number of them is kept in memory, the oldest go first, and none outlives the daemon. Calls that
//! reached nobody are among them.
//!
//! To note a call costs one short lock, no allocation, and nothing is formatted before somebody asks.

mod call;
mod filter;
mod ring;

pub use self::call::{Call, CallFacts, Called, ServerTag};
pub use self::filter::{ActivityFilter, FAILED};
pub use self::ring::{Activity, Batch, Direction, Kept};

/// Number of calls that are kept unless the configuration says otherwise.
pub const KEPT: usize = 100_000;
/// Most calls that can be kept.
pub const MAX_KEPT: usize = 1_000_000;
