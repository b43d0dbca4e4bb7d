//! `/v1/members/{id}/secrets`: what a member stores for its own children. Values come in and never go out.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use serde::Serialize;

use super::errors::ApiError;
use super::fields::{Fields, success};
#[cfg(test)]
use super::openapi::words::{Removed as RemovedWord, Stored as StoredWord};
use super::{DiscardBody, Id, Shared, ToolCaller, json, strict};
use crate::gateway::{Error, RegistryError};
use crate::http::core::body::string;
use crate::http::core::context::RequestContext;

/// Id and name in a path, not yet checked.
type Place = Result<Path<(String, String)>, PathRejection>;

/// Returns the member and the name in a path. What is not UTF-8 when decoded names no secret.
fn place(place: Place) -> Result<(String, String), ApiError> {
    place.map(|Path(place)| place).map_err(|_| Error::SecretNotFound.into())
}

pub(super) async fn list(
    ToolCaller(caller): ToolCaller,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, ApiError> {
    let Path(member) = id.map_err(|_| ApiError::from(RegistryError::MemberNotFound))?;
    let (member_id, names) = shared.gateway.secret_names(&caller, &member)?;
    let items: Vec<Item<'_>> = names.iter().map(|name| Item { member_id: &member_id, name }).collect();
    Ok(json(success(items, None)))
}

pub(super) async fn put(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    at: Place,
    request: Request,
) -> Result<Response, ApiError> {
    let (member, name) = place(at)?;
    let body = shared.body(request).await?;
    context.audit_as("secret.put", &format!("{member}/{name}"));
    let mut fields = Fields::default();
    let [raw] = strict::read(&body, ["value"], &mut fields)?;
    let value = raw.and_then(string);
    if value.is_none() {
        fields.problem("value", "is required: a text");
    }
    let value = fields.finish(value)?.unwrap_or_default();
    let member_id = shared.gateway.put_secret(&caller, &member, &name, value).await?;
    context.tells("member_id", &*member_id);
    Ok(json(success(Changed { member_id: &member_id, name: &name, status: "stored" }, None)))
}

/// Removes a secret. A body is ignored, as it is on every `DELETE`.
pub(super) async fn remove(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    at: Place,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let (member, name) = place(at)?;
    context.audit_as("secret.remove", &format!("{member}/{name}"));
    let member_id = shared.gateway.remove_secret(&caller, &member, &name).await?;
    context.tells("member_id", &*member_id);
    Ok(json(success(Removed { member_id: &member_id, name: &name, status: "removed" }, None)))
}

/// A secret that a member has stored, without its value.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Secret"))]
pub(super) struct Item<'a> {
    /// Id of the member.
    member_id: &'a str,
    /// Name, by which definitions of MCPs refer to it.
    name: &'a str,
}

/// Answer to the storing of a secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SecretChange"))]
pub(super) struct Changed<'a> {
    /// Id of the member.
    member_id: &'a str,
    /// Name of the secret.
    name: &'a str,
    /// The word `stored`.
    #[cfg_attr(test, schemars(with = "StoredWord"))]
    status: &'static str,
}

/// Answer to the removal of a secret.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SecretRemoval"))]
pub(super) struct Removed<'a> {
    /// Id of the member.
    member_id: &'a str,
    /// Name of the secret.
    name: &'a str,
    /// The word `removed`.
    #[cfg_attr(test, schemars(with = "RemovedWord"))]
    status: &'static str,
}
