//! A server that is a process of ours: one run of it, from spawn to exit. The actor that owns it, the task that owns its
//! pipes and calls, and the handshake.

mod actor;
mod handshake;
mod noise;
pub mod reason;
mod start_clock;
pub(super) mod start_view;
mod stderr;
mod wire;

pub use actor::{ChildActor, ChildArgs, ChildMsg, WireEndReport};

#[cfg(test)]
mod actor_tests;
#[cfg(test)]
mod wire_tests;
