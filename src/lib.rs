//! mcpvisor supervises MCP servers as child processes and puts one HTTP front door before them.
#![forbid(unsafe_code)]

const _: () = assert!(cfg!(panic = "unwind"), "a supervisor needs unwinding panics");

pub mod supervisor;
pub mod child;
pub mod access;
pub mod service;
pub mod store;
pub mod http;
pub mod config;
pub mod cli;
