//! The daemon from outside: the real binary, real children, real sockets. One test binary; each
//! test has its own daemon, its own directory and its own port, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod access;
mod activity;
mod acts;
mod auditing;
mod authority;
mod backing_up;
mod budgets;
mod calling;
mod client_files;
mod crashing;
mod diagnosing;
mod durability;
mod exporting;
mod fake_server;
mod flooding;
mod framing;
mod full_disk;
mod fuzzing;
mod hostile;
mod hygiene;
mod isolation;
mod logs;
mod matrix;
mod mcp;
mod mcp_cli;
mod odd_answers;
mod odd_servers;
mod openapi;
mod operating;
mod overload;
mod owner;
mod persisting;
mod pinning;
mod places;
mod plexmcp;
mod proxies;
mod query;
mod query_real;
mod real;
mod regressions;
mod reloading;
mod remotes;
mod restarting;
mod revoking;
mod schemas;
mod secrets;
mod soak;
mod starting;
mod starving;
mod stopping;
mod streams;
mod supervising;
mod switching;
mod tls;
mod tracing;
mod trees;
mod ui;
mod unlucky;
mod wild;
