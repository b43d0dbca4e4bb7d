//! Supervisor and replicas.
mod definition;
mod status;
pub use definition::{Definition, EraChoice, Policy, Problem, check_name, parse_duration};
pub use status::{Cause, Introduction, State, Status};
