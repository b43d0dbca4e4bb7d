//! `/v1/organization/members/{id}` and the making of members.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::errors::ApiError;
use super::fields::{Fields, success};
#[cfg(test)]
use super::openapi::words::Removed as RemovedWord;
use super::organization::item;
use super::{Administrator, Caller, DiscardBody, Id, Shared, json, strict};
use crate::gateway::{MemberChange, MemberRequest, MemberView, RegistryError, Removal, Role};
use crate::http::core::body::string;
use crate::http::core::context::RequestContext;

/// The longest name, email address or plan name, in characters.
const MAX_TEXT: usize = 200;
/// Members of the body that `PATCH` may change.
const CHANGEABLE: [&str; 4] = ["name", "email", "role", "plan"];

/// Returns the id in a path. An id that is not UTF-8 when decoded names no member.
fn member_id(id: Id) -> Result<String, ApiError> {
    id.map(|Path(id)| id).map_err(|_| RegistryError::MemberNotFound.into())
}

pub(super) async fn detail(
    Caller(caller): Caller,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, ApiError> {
    Ok(json(success(item(&shared.gateway.member(&caller, &member_id(id)?)?), None)))
}

pub(super) async fn create(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = shared.body(request).await?;
    let mut fields = Fields::default();
    let members = strict::read(&body, MEMBERS, &mut fields)?;
    let request = read_new(members, "", &mut fields);
    if members[1].is_none() {
        fields.problem("name", "is required");
    }
    let request = fields.finish(request)?;
    context.audit_as("member.create", request.id.as_deref().or(request.name.as_deref()).unwrap_or_default());
    let made = shared.gateway.add_member(&caller, request).await?;
    context.tells_all(told(&made));
    let mut response = json(success(item(&made), None));
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(location) = HeaderValue::try_from(format!("{}/{}", super::MEMBERS, made.member.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn change(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let id = member_id(id)?;
    let body = shared.body(request).await?;
    context.audit_as("member.change", &id);
    let mut fields = Fields::default();
    let given = strict::read(&body, CHANGEABLE, &mut fields)?;
    let [name, email, role, plan] = given;
    if given.iter().all(Option::is_none) {
        fields.nothing_to_change(&CHANGEABLE);
    }
    let change = MemberChange {
        name: strict::text(&mut fields, "name", name, MAX_TEXT),
        email: strict::or_null(email, |raw| strict::text(&mut fields, "email", raw, MAX_TEXT)),
        role: read_role(role, "", &mut fields),
        plan: strict::or_null(plan, |raw| strict::text(&mut fields, "plan", raw, MAX_TEXT).map(Into::into)),
    };
    let change = fields.finish(change)?;
    let changed = shared.gateway.change_member(&caller, &id, change).await?;
    context.tells_all(told(&changed));
    Ok(json(success(item(&changed), None)))
}

/// Removes a member. A body is ignored, as it is on every `DELETE`.
pub(super) async fn remove(
    Administrator(caller): Administrator,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = member_id(id)?;
    context.audit_as("member.remove", &id);
    let removal = shared.gateway.remove_member(&caller, &id).await?;
    context.tells("revoked_keys", removal.revoked.iter().map(|id| &**id).collect::<Vec<_>>());
    context.tells("durable", removal.durable);
    Ok(json(success(removed(&id, &removal), None)))
}

/// Warning to a caller that a removal may be forgotten.
const NOT_DURABLE: &str = "The member is removed and its keys are revoked. It could not be written to the disk, \
                           which is tried again until it is; should the daemon end before that, remove it again";

/// Answer to the removal of a member.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MemberRemoval"))]
pub(super) struct Removed<'a> {
    /// Id of the member.
    id: &'a str,
    /// The word `removed`.
    #[cfg_attr(test, schemars(with = "RemovedWord"))]
    status: &'static str,
    /// Number of its keys that this has revoked.
    keys_revoked: usize,
    /// `true` if the removal would outlive a restart of the gateway. It is in force in any case.
    durable: bool,
    /// Advice for the case that it would not; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    warning: Option<&'static str>,
}

fn removed<'a>(id: &'a str, removal: &Removal) -> Removed<'a> {
    Removed {
        id,
        status: "removed",
        keys_revoked: removal.revoked.len(),
        durable: removal.durable,
        warning: (!removal.durable).then_some(NOT_DURABLE),
    }
}

/// Returns the audit's entry for a member: its rights, and of its identity only its id and name.
fn told(seen: &MemberView) -> Map<String, Value> {
    let member = &seen.member;
    let told = [
        ("id", Value::from(&*member.id)),
        ("name", Value::from(member.name.as_str())),
        ("role", Value::from(member.role.name())),
        ("plan", member.plan.as_ref().map(|plan| &*plan.name).into()),
    ];
    told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Members of the body that makes a member.
pub(super) const MEMBERS: [&str; 5] = ["id", "name", "email", "role", "plan"];

/// Reads the description of a new member. `path` is the prefix of the members' names in problems.
pub(super) fn read_new(given: [Option<&RawValue>; 5], path: &str, fields: &mut Fields) -> MemberRequest {
    let [id, name, email, role, plan] = given;
    let mut text =
        |field: &str, raw: Option<&RawValue>| strict::text(fields, &format!("{path}{field}"), raw, MAX_TEXT);
    let (name, email, plan) = (text("name", name), text("email", email), text("plan", plan));
    let id = id.and_then(|raw| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let id = string(raw).filter(|id| (1..=128).contains(&id.len()) && id.chars().all(good));
        if id.is_none() {
            fields.problem(&format!("{path}id"), "must be 1 to 128 letters, digits, '-', '_', '.' or '@'");
        }
        id
    });
    let role = read_role(role, path, fields).unwrap_or(Role::Member);
    MemberRequest { id, name, email, role, plan }
}

fn read_role(raw: Option<&RawValue>, path: &str, fields: &mut Fields) -> Option<Role> {
    let given = string(raw?);
    let role = Role::ALL.iter().find(|(name, _)| given.as_deref() == Some(name)).map(|(_, role)| *role);
    if role.is_none() {
        fields.problem(&format!("{path}role"), "must be owner, admin, member or viewer");
    }
    role
}
