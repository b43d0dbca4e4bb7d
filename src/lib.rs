//! mcpvisor supervises MCP servers as child processes and puts one HTTP front door before them.
//!
//! The modules are listed in reading order, from the wire up; `ARCHITECTURE.md` says which may use which.
#![deny(unsafe_code)]

const _: () = assert!(cfg!(panic = "unwind"), "a supervisor needs unwinding panics");

#[forbid(unsafe_code)]
pub mod text;

#[forbid(unsafe_code)]
pub mod files;

#[forbid(unsafe_code)]
pub mod nearest;

#[forbid(unsafe_code)]
pub mod unix_time;

#[forbid(unsafe_code)]
pub mod clock;

#[forbid(unsafe_code)]
pub mod facts;

#[forbid(unsafe_code)]
pub mod sse;

#[forbid(unsafe_code)]
pub mod retry_after;

#[forbid(unsafe_code)]
pub mod traceparent;

#[forbid(unsafe_code)]
pub mod jsonrpc;

#[forbid(unsafe_code)]
pub mod mcp;

// The one module that may hold `unsafe`, each with its SAFETY comment.
pub mod process;

#[forbid(unsafe_code)]
pub mod upstream;

#[forbid(unsafe_code)]
pub mod supervisor;

#[forbid(unsafe_code)]
pub mod access;

#[forbid(unsafe_code)]
pub mod activity;

#[forbid(unsafe_code)]
pub mod store;

#[forbid(unsafe_code)]
pub mod audit;

#[forbid(unsafe_code)]
pub mod usage;

#[forbid(unsafe_code)]
pub mod diagnosis;

#[forbid(unsafe_code)]
pub mod doctor;

#[forbid(unsafe_code)]
pub mod pins;

#[forbid(unsafe_code)]
pub mod registry;

#[forbid(unsafe_code)]
pub mod secrets;

#[forbid(unsafe_code)]
pub mod gateway;

#[forbid(unsafe_code)]
pub mod query;

#[forbid(unsafe_code)]
pub mod oidc;

#[forbid(unsafe_code)]
pub mod http;

#[forbid(unsafe_code)]
pub mod telemetry;

#[forbid(unsafe_code)]
pub mod config;

#[forbid(unsafe_code)]
pub mod cli;

#[forbid(unsafe_code)]
pub mod signals;

#[forbid(unsafe_code)]
pub mod app;

/// Targets that the fuzzer and its corpora run; not part of the product.
#[cfg(any(test, fuzzing))]
#[forbid(unsafe_code)]
pub mod fuzzing;

/// The tests' disk that loses unsynced writes, which the tests of the daemon mount.
#[cfg(test)]
#[path = "../tests/support/power/disk.rs"]
mod power_disk;

/// Returns the size of a test that has a short form and, with `SOAK=long` in the environment, a long one
/// (docs/testing/README.md).
#[cfg(test)]
pub(crate) fn long_or<T>(short: T, long: T) -> T {
    if std::env::var("SOAK").is_ok_and(|size| size == "long") { long } else { short }
}
