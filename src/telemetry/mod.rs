//! Observability of the daemon: a log on stderr and metrics. Depends on no other part of the daemon: the data
//! to log and to count comes in as plain values.

pub mod logging;
pub mod metrics;
