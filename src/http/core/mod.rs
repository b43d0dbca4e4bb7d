//! Parts that the dialects share: routes, credentials, bodies, queries, times, and records for the audit.

pub(in crate::http) mod auth;
pub(in crate::http) mod body;
pub(in crate::http) mod events;
pub(in crate::http) mod header_pool;
pub(in crate::http) mod openapi;
pub(in crate::http) mod owed;
pub(in crate::http) mod query;
pub(in crate::http) mod record;
pub(in crate::http) mod response_meta;
pub(in crate::http) mod routes;
pub(in crate::http) mod timestamp;
