//! Translation between clients and children of the two eras. Pure: text in, text out (spec 2025-11-25 and 2026-07-28;
//! `docs/mcp.md` has the table of what becomes of what).

mod aggregate;
mod client;
mod envelope;
mod header_params;
mod level;
mod members;
mod names;
mod offer;
mod pushed;
mod reply;
mod trace;

pub use aggregate::{Prefixes, rewrite_addresses};
pub use client::{Abilities, Client, asked};
pub use envelope::{CLIENT_CAPABILITIES, CLIENT_INFO, Envelope, LOG_LEVEL, PROGRESS_TOKEN, PROTOCOL_VERSION};
pub use header_params::HeaderParam;
pub use level::Level;
pub use members::{META, Members, Name, Params, push_member};
pub use names::{Found, Names, PrefixRule};
pub use offer::{LEGACY_VERSIONS, Server, agreed_version, list_result};
pub use pushed::{
    InputRequired, Question, addresses_to_open, input_required, is_accepted, of_next_hop, progress_for,
    read_responses,
};
pub use reply::{
    ModernResult, Reply, ReplyKind, SERVER_INFO, error_for_legacy, error_for_modern, for_modern,
    for_modern_behind, is_cacheable, may_be_error,
};
pub use trace::{TRACEPARENT, TraceContext, of_headers, trace_of_members, with_parent};
