//! The OpenAPI document of `/v1`, served at `/v1/openapi.json`: the file beside this one, which `make openapi` writes.

#[cfg(test)]
pub(super) mod details;
#[cfg(test)]
mod files;
#[cfg(test)]
mod looks;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod organization;
#[cfg(test)]
mod requests;
#[cfg(test)]
pub(super) mod words;

use axum::response::Response;

use super::QueryPairs;
use crate::http::core::openapi;

const DOCUMENT: &str = include_str!("openapi.json");

/// Answers with the document. It needs no key (`docs/http-api.md`, P6.1).
pub(super) async fn document(_: QueryPairs) -> Response {
    openapi::answer(DOCUMENT)
}
