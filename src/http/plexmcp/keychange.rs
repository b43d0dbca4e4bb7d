//! `PATCH /v1/api-keys/{id}`, and the rotation of a key.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, Request, State};
use axum::http::HeaderValue;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::fields::{Fields, success, success_with};
use super::keys::{MAX_NAME, item, key_id, read_description, read_end, refused, told};
use super::{Id, Shared, ToolCaller, json, limits, strict};
use crate::gateway::{ChangeRequest, NewKey, parse_duration};
use crate::http::core::body;
use crate::http::core::context::RequestContext;
#[cfg(test)]
use crate::http::core::openapi::Time;
use crate::http::core::timestamp::format_second;

/// Members that `PATCH` may change.
const MEMBERS: [&str; 5] = ["name", "description", "expires_at", "permissions", "limits"];

pub(super) async fn change(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let id = key_id(id, &caller)?;
    let body = shared.body(request).await?;
    context.audit_as("key.change", &id);
    let change = read_change(&body)?;
    let changed = shared.gateway.change_key(&caller, &id, change).await.map_err(refused)?;
    context.tells_all(told(&changed.record));
    let warnings = shared.gateway.doubts_about(&changed.record);
    Ok(json(success_with(item(&changed), &warnings)))
}

fn read_change(body: &[u8]) -> Result<ChangeRequest, ApiError> {
    let mut fields = Fields::default();
    let given = strict::read(body, MEMBERS, &mut fields)?;
    let [name, description, expires_at, permissions, own_limits] = given;
    let change = ChangeRequest {
        name: strict::text(&mut fields, "name", name, MAX_NAME),
        description: strict::or_null(description, |raw| read_description(&mut fields, raw)),
        expires_at: strict::or_null(expires_at, |raw| read_end(&mut fields, raw)),
        permissions: strict::value(&mut fields, "permissions", permissions),
        limits: limits::read(&mut fields, own_limits),
    };
    if given.iter().all(Option::is_none) {
        fields.nothing_to_change(&MEMBERS);
    }
    fields.finish(change)
}

/// Gives a key another text. The old text is refused from the next request on, unless it has a grace.
pub(super) async fn rotate(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let id = key_id(id, &caller)?;
    let body = body::read_if_any(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
    context.audit_as("key.rotate", &id);
    let grace = body.map(|body| read_grace(&body)).transpose()?.unwrap_or_default();
    let made = shared.gateway.rotate_key(&caller, &id, grace).await?;
    context.tells_all(told(&made.record));
    context.tells("previous_key_until", made.record.replaced.map(|replaced| format_second(replaced.until)));
    let mut response = json(success(rotated(&made), None));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn read_grace(body: &[u8]) -> Result<Duration, ApiError> {
    let mut fields = Fields::default();
    let [grace] = strict::read(body, ["grace"], &mut fields)?;
    let read = |raw: &RawValue| parse_duration(&serde_json::from_str(raw.get()).ok()?);
    let grace = match grace.map(read) {
        None => Duration::ZERO,
        Some(Some(grace)) => grace,
        Some(None) => {
            fields.problem("grace", "must be a duration from 0s to 168h, such as \"10m\" or \"1h\"");
            Duration::ZERO
        }
    };
    fields.finish(grace)
}

/// An API key with its new text, which is shown this once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RotatedApiKey"))]
pub(super) struct Rotated<'a> {
    /// Id, which is as it was.
    id: &'a str,
    /// Name, which need not be unique.
    name: &'a str,
    /// New text of the key, to be sent as `Authorization: Bearer`. It is not shown again.
    key: &'a str,
    /// First characters of the new text, by which its holder can tell it.
    prefix: &'a str,
    /// Time at which it was given this text.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    rotated_at: Option<String>,
    /// Time until which its earlier text is accepted as well; `null` if it is refused from now on.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    previous_key_until: Option<String>,
    /// Time from which on it is refused; `null` if it does not expire.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    expires_at: Option<String>,
}

/// Returns the answer to a rotation: beside the answer to a key's making the only one that has a key's text.
fn rotated(made: &NewKey) -> Rotated<'_> {
    let record = &made.record;
    let replaced = record.replaced;
    Rotated {
        id: &record.id,
        name: &record.name,
        key: &made.text,
        prefix: &record.prefix,
        rotated_at: replaced.map(|replaced| format_second(replaced.at)),
        previous_key_until: replaced.filter(|it| it.until > it.at).map(|it| format_second(it.until)),
        expires_at: record.expires_at.map(format_second),
    }
}
