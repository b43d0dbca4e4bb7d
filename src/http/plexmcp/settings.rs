//! `GET /v1/settings`: the settings that the daemon was started with, each with where it comes from. For administrators.

use axum::extract::State;
use axum::response::Response;

use super::errors::ApiError;
use super::fields::success;
use super::{Administrator, Shared, json};

pub(super) async fn show(_: Administrator, State(shared): State<Shared>) -> Result<Response, ApiError> {
    Ok(json(success(&*shared.settings.told, None)))
}
