//! The subcommands.

pub mod demo_server;
