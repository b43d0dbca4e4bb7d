//! Observability of the daemon: a log on stderr, metrics and traces. Depends on no other part of the daemon: the data
//! to log, to count and to trace comes in as plain values.

pub mod logging;
pub mod metrics;
pub mod traces;
