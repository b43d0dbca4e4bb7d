//! `GET /v1/doctor`: what is wrong with servers, and what to do (`docs/doctor.md`). For administrators.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;

use super::errors::ApiError;
use super::fields::{last, success};
use super::{Administrator, QueryPairs, Shared, json};
use crate::doctor::Finding;

/// What is wrong.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DoctorReport {
    /// Findings, the gravest first; empty if nothing was found.
    pub(super) findings: Vec<Finding>,
}

pub(super) async fn show(
    Administrator(caller): Administrator,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let findings = shared.gateway.findings(&caller, last(&query, "server")).await?;
    Ok(json(success(DoctorReport { findings }, None)))
}
