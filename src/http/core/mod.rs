//! Parts that the dialects share, and the edge with them: the port of a dialect, routes, credentials, bodies, queries,
//! times, streams, and what a request leaves in the audit.

pub(in crate::http) mod auth;
pub(in crate::http) mod auth_error;
pub(in crate::http) mod body;
pub(in crate::http) mod context;
pub(in crate::http) mod dialect;
pub(in crate::http) mod events;
pub(in crate::http) mod head;
pub(in crate::http) mod openapi;
pub(in crate::http) mod owed;
pub(in crate::http) mod plain;
pub(in crate::http) mod query;
pub(in crate::http) mod rejection;
pub(in crate::http) mod response_meta;
pub(in crate::http) mod routes;
pub(in crate::http) mod shared;
pub(in crate::http) mod sign_in;
pub(in crate::http) mod streams;
pub(in crate::http) mod timestamp;
pub(in crate::http) mod trace;
pub(in crate::http) mod while_signed_in;
