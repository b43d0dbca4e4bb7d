//! What is wrong with servers, and what to do: findings from how they are, and from a look at their definitions without starting
//! anything. The same before a start and of a running daemon.

mod finding;
mod look;

pub use finding::{Finding, Severity, sorted};
pub use look::{Doctor, StartEnvironment, of_status};
