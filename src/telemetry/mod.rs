//! What the daemon tells about itself: a log on stderr and metrics. Names nothing else of the
//! daemon: what is logged and counted comes in as plain values.

pub mod logging;
pub mod metrics;
