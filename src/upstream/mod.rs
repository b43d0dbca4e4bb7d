//! One upstream: what answers the calls of a server from its opening to its end. There are two kinds: a process of ours
//! ([`stdio`]) and a remote server ([`http`]). Both are reached through a [`Link`] and report alike; what they share is
//! here, and whoever starts one tells them apart, in [`Upstream::spawn`].

mod call;
mod catalog;
mod counters;
mod exchange;
pub mod http;
mod interest;
mod jitter;
mod kind;
mod listing;
mod log;
mod notices;
mod parked;
mod pending;
mod probe;
mod pushed;
mod refresh;
mod report;
mod request;
mod start_phase;
pub mod stdio;
mod teller;
mod timer;

#[cfg(test)]
pub(crate) use call::CallsOfATest;
pub use call::{Call, Link, Outcome, Refusal, too_long};
pub use catalog::{Catalog, CatalogChanges, CatalogSlot, Resource, Tool};
pub use counters::{CounterReading, Counters};
pub use exchange::{ClientPort, Disposition, Event, Exchange, PushedRequest, Sharing};
pub use interest::{Interest, Interests, TooManyResources, Wishes, are_known};
pub(crate) use jitter::{jitter, spread};
pub use kind::{Target, Upstream};
pub use log::{LogLine, ServerLog, Stream, Words};
pub use notices::{Notices, NoticesOfAll, Notification, PoolKey};
pub use pending::{Limits, Pending};
pub use probe::{ProbeResult, ProbeSettings};
pub use report::{Context, End, Fault, HandshakeOutcome, Opening, ProcessFacts, Report, StartView};
pub use request::HandshakeError;
pub use start_phase::StartPhase;
