//! One run of a process, from spawn to exit: the actor that owns it, the task that owns its pipes and calls, the
//! handshake, and the catalog it announced.

mod actor;
mod call;
mod catalog;
mod counters;
mod exchange;
mod handshake;
mod interest;
mod listing;
mod log;
mod noise;
mod notices;
mod parked;
mod pending;
mod probe;
pub mod reason;
mod refresh;
mod request;
mod start_clock;
mod stderr;
mod teller;
mod timer;
mod wire;

pub use actor::{ChildActor, ChildArgs, ChildMsg, End, Fault, Report, WireEndReport};
#[cfg(test)]
pub(crate) use call::CallsOfATest;
pub use call::{Call, Link, Outcome, too_long};
pub use catalog::{Catalog, CatalogChanges, CatalogSlot, Resource, Tool};
pub use counters::{CounterReading, Counters};
pub use exchange::{ClientPort, Disposition, Event, Exchange, PushedRequest, Sharing};
pub use handshake::{HandshakeOutcome, Opening};
pub use interest::{Interest, Interests, TooManyResources, Wishes, are_known};
pub use log::{LogLine, ServerLog, Stream, Words};
pub use notices::{Notices, NoticesOfAll, Notification, PoolKey};
pub use pending::{Limits, Pending};
pub use probe::{ProbeResult, ProbeSettings, StartPhase, StartView};
pub use request::HandshakeError;

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod wire_tests;
