//! `GET /v1/mcps/{id}/queue`: whose calls wait for an MCP. For administrators.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::errors::ApiError;
use super::fields::success;
use super::{Administrator, Id, Shared, json, mcp_id};
use crate::gateway::KeyQueue;

/// The calls of one key that wait.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct LineOfKey {
    key_id: Arc<str>,
    /// Its name; `null` if the key is gone.
    key_name: Option<String>,
    /// Number of its calls that wait for a place.
    waiting: usize,
}

pub(super) async fn show(
    Administrator(caller): Administrator,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, ApiError> {
    let lines = shared.gateway.queue(&caller, &mcp_id(id)?)?;
    let told = lines.into_iter().map(|KeyQueue { key_id, key_name, waiting }| LineOfKey {
        key_id,
        key_name,
        waiting,
    });
    Ok(json(success(told.collect::<Vec<_>>(), None)))
}
