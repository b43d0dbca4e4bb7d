//! The OpenAPI document of `/api`, served at `/api/openapi.json`: the file beside this one, which `make openapi` writes.

#[cfg(test)]
mod operations;
#[cfg(test)]
pub(super) mod words;

use axum::response::Response;

use crate::http::core::openapi;

const DOCUMENT: &str = include_str!("openapi.json");

/// Serves the document. It contains only public facts.
pub(super) async fn document() -> Response {
    openapi::answer(DOCUMENT)
}
