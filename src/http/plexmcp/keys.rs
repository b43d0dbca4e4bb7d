//! `/v1/api-keys` (`docs/http-api.md`, P14).

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::SystemTime;

use super::errors::{self, ApiError};
use super::fields::{Fields, Page, last, success, success_with};
use super::{Caller, DiscardBody, Id, QueryPairs, Shared, ToolCaller, json, limits, members, strict};
use crate::clock;
use crate::gateway::{
    CreateKeyError, KeyLimits, KeyRecord, KeyRequest, KeyStatus, KeyView, Maker, MemberRequest, NewKey,
    Principal, RegistryError, Revocation, Revoke,
};
use crate::http::core::body::string;
use crate::http::core::context::RequestContext;
use crate::http::core::timestamp::{format_second, parse_moment};
use crate::unix_time;
#[cfg(test)]
use {
    super::openapi::words::{ActiveKey, KeyStatus as KeyStatusName, Permissions},
    crate::http::core::openapi::Time,
};

/// The longest name of a key, in characters.
pub(super) const MAX_NAME: usize = 100;
/// The longest description of a key, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// Returns the id in a path; `self` is the caller's own key. An id that is not UTF-8 when decoded names no
/// existing key.
pub(super) fn key_id(id: Id, caller: &Principal) -> Result<String, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::from(RegistryError::KeyNotFound))?;
    Ok(if id == "self" { caller.key_id().to_string() } else { id })
}

/// Translates the reason why a key is not made or changed.
pub(super) fn refused(refused: CreateKeyError) -> ApiError {
    match refused {
        CreateKeyError::Error(error) => error.into(),
        CreateKeyError::Permissions(reason) => errors::bad_permissions(&reason.to_string()),
    }
}

pub(super) async fn list(
    ToolCaller(caller): ToolCaller,
    State(shared): State<Shared>,
    QueryPairs(query): QueryPairs,
) -> Result<Response, ApiError> {
    let mut fields = Fields::default();
    let page = Page::read(&query, &mut fields);
    let status = match last(&query, "status") {
        None | Some("all") => None,
        Some("active") => Some(KeyStatus::Active),
        Some("revoked") => Some(KeyStatus::Revoked),
        Some("expired") => Some(KeyStatus::Expired),
        Some(_) => {
            fields.problem("status", "must be active, revoked or expired");
            None
        }
    };
    let (page, status) = fields.finish((page, status))?;
    let mut keys = shared.gateway.keys(&caller).await?;
    keys.retain(|key| status.is_none_or(|status| key.status == status));
    let (shown, pagination) = page.of(&keys);
    Ok(json(success(shown.iter().map(item).collect::<Vec<_>>(), Some(pagination))))
}

pub(super) async fn detail(
    ToolCaller(caller): ToolCaller,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, ApiError> {
    Ok(json(success(item(&shared.gateway.key(&caller, &key_id(id, &caller)?).await?), None)))
}

pub(super) async fn create(
    ToolCaller(caller): ToolCaller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = shared.body(request).await?;
    let wish = read_new(&body)?;
    context.audit_as("key.create", &wish.name);
    let made = shared.gateway.create_key(&caller, wish).await.map_err(refused)?;
    context.tells_all(told(&made.record));
    let warnings = shared.gateway.doubts_about(&made.record);
    let mut response = json(success_with(created(&made), &warnings));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/api-keys/{}", made.record.id)) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

/// Revokes a key; with `descendants` also the keys that it has made. A body is ignored, as it is on every
/// `DELETE`.
pub(super) async fn revoke(
    Caller(caller): Caller,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    QueryPairs(query): QueryPairs,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = key_id(id, &caller)?;
    context.audit_as("key.revoke", &id);
    let mut fields = Fields::default();
    let what = match last(&query, "descendants") {
        None | Some("false") => Revoke::Key,
        Some("true") => Revoke::Both,
        Some("only") => Revoke::Descendants,
        Some(_) => {
            fields.problem("descendants", "must be true, false or only");
            Revoke::Key
        }
    };
    let what = fields.finish(what)?;
    let revocation = shared.gateway.revoke_key(&caller, &id, what).await?;
    if let Some(key) = &revocation.key {
        context.tells_all(told(&key.record));
    }
    context.tells("revoked_keys", revocation.revoked.iter().map(|id| &**id).collect::<Vec<_>>());
    context.tells("durable", revocation.durable);
    Ok(json(success(revoked(&revocation), None)))
}

/// Warning to a caller that a revocation may be forgotten.
const NOT_DURABLE: &str = "The revocation is in force. It could not be written to the disk, which is tried \
                           again until it is; should the daemon end before that, revoke again";

/// Answer to the revocation of a key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "KeyRevocation"))]
pub(super) struct Revoked<'a> {
    /// Id of the key.
    id: &'a str,
    /// Status of the key now.
    #[cfg_attr(test, schemars(with = "KeyStatusName"))]
    status: &'static str,
    /// Time at which it was revoked; `null` if it is not, or is not kept any more.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    revoked_at: Option<String>,
    /// Ids of all keys that this request has revoked.
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    revoked_keys: &'a [Arc<str>],
    /// `true` if the revocation would outlive a restart of the gateway. It is in force in any case.
    durable: bool,
    /// Advice for the case that it would not; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    warning: Option<&'static str>,
}

fn revoked(revocation: &Revocation) -> Revoked<'_> {
    let key = revocation.key.as_ref();
    Revoked {
        id: &revocation.id,
        // A key that is no longer kept had ended before.
        status: key.map_or(KeyStatus::Revoked, |key| key.status).name(),
        revoked_at: key.and_then(|key| key.record.revoked_at).map(format_second),
        revoked_keys: &revocation.revoked,
        durable: revocation.durable,
        warning: (!revocation.durable).then_some(NOT_DURABLE),
    }
}

/// Maker of a key.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct KeyMaker<'a> {
    /// Id of the key with which it was made.
    key_id: &'a str,
    /// Id of the member whose key that is.
    member_id: &'a str,
}

fn made_by(maker: Option<&Maker>) -> Option<KeyMaker<'_>> {
    maker.map(|maker| KeyMaker { key_id: &maker.key_id, member_id: &maker.member_id })
}

/// Returns the audit's entry for a key: everything but what would help to use or guess it.
pub(super) fn told(key: &KeyRecord) -> Map<String, Value> {
    let told = [
        ("id", Value::from(&*key.id)),
        ("name", Value::from(key.name.as_str())),
        ("owner_id", Value::from(&*key.member_id)),
        ("expires_at", key.expires_at.map(format_second).into()),
        ("permissions", key.permissions.clone().into()),
        ("limits", serde_json::to_value(limits::show(&key.limits)).unwrap_or_default()),
        ("created_by", key.created_by.as_ref().map(|maker| &*maker.key_id).into()),
    ];
    told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Reads the body of `POST /v1/api-keys`.
fn read_new(body: &[u8]) -> Result<KeyRequest, ApiError> {
    let names = ["name", "description", "expires_at", "permissions", "owner_id", "limits", "member"];
    let mut fields = Fields::default();
    let [name, description, expires_at, permissions, owner, own_limits, member] =
        strict::read(body, names, &mut fields)?;
    if name.is_none() {
        fields.problem("name", "is required");
    }
    let name = strict::text(&mut fields, "name", name, MAX_NAME).unwrap_or_default();
    let member = member.map(|raw| {
        let given = strict::nested(raw, "member", members::MEMBERS, &mut fields);
        let member = members::read_new(given, "member.", &mut fields);
        MemberRequest { name: member.name.or_else(|| Some(name.clone())), ..member }
    });
    if member.is_some() && owner.is_some() {
        fields.problem("owner_id", "cannot be beside member, which makes the owner");
    }
    let request = KeyRequest {
        description: strict::or_null(description, |raw| read_description(&mut fields, raw)).flatten(),
        expires_at: strict::or_null(expires_at, |raw| read_end(&mut fields, raw)).flatten(),
        permissions: strict::value(&mut fields, "permissions", permissions),
        owner: owner.and_then(|raw| {
            let owner = string(raw);
            if owner.is_none() {
                fields.problem("owner_id", "must be a string");
            }
            owner
        }),
        limits: KeyLimits::default().changed(limits::read(&mut fields, own_limits)),
        name,
        member,
    };
    fields.finish(request)
}

/// Reads the time from which on a key is refused.
pub(super) fn read_end(fields: &mut Fields, raw: Option<&RawValue>) -> Option<SystemTime> {
    let at = string(raw?).and_then(|text| parse_moment(&text, true));
    if at.is_none() {
        fields.problem("expires_at", "must be a date or a time as RFC 3339 writes it");
    }
    at
}

pub(super) fn read_description(fields: &mut Fields, raw: Option<&RawValue>) -> Option<String> {
    let text = string(raw?).filter(|text| text.chars().count() <= MAX_DESCRIPTION);
    if text.is_none() {
        fields.problem("description", format!("must be a string of at most {MAX_DESCRIPTION} characters"));
    }
    text
}

/// An API key, without its text.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ApiKey"))]
pub(super) struct Item<'a> {
    /// Id, which begins with `key_`.
    id: &'a str,
    /// Name, which need not be unique.
    name: &'a str,
    /// Description; `null` if there is none.
    description: Option<&'a str>,
    /// First characters of the key's text, by which its holder can tell it.
    prefix: &'a str,
    /// Status of the key.
    #[cfg_attr(test, schemars(with = "KeyStatusName"))]
    status: &'static str,
    /// Time at which it was made.
    #[cfg_attr(test, schemars(with = "Time"))]
    created_at: String,
    /// Time at which it was last used; `null` if it never was.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    last_used: Option<String>,
    /// Time from which on it is refused; `null` if it does not expire.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    expires_at: Option<String>,
    /// Time at which it was revoked; `null` if it was not.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    revoked_at: Option<String>,
    /// Id of the member that owns it, with whose role it acts.
    owner_id: &'a str,
    /// Key that made it; `null` for the first key, and where that was not recorded.
    created_by: Option<KeyMaker<'a>>,
    /// MCPs and tools that it may use.
    #[cfg_attr(test, schemars(with = "Permissions"))]
    permissions: Value,
    /// Limits of its own, beside those of its owner's plan.
    limits: limits::KeyLimits,
    /// Time at which it was given its current text; `null` if it still has its first one.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    rotated_at: Option<String>,
    /// Time until which its earlier text is accepted as well; `null` if it is not accepted.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    previous_key_until: Option<String>,
    /// Numbers of its calls.
    usage: Usage,
}

/// Numbers of a key's calls.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "KeyUsage"))]
struct Usage {
    /// Number of all its calls.
    total_requests: u64,
    /// Number of its calls since midnight (UTC).
    requests_today: u64,
}

pub(super) fn item(key: &KeyView) -> Item<'_> {
    let record = &key.record;
    let now = unix_time::seconds(clock::wall_clock());
    Item {
        id: &record.id,
        name: &record.name,
        description: record.description.as_deref(),
        prefix: &record.prefix,
        status: key.status.name(),
        created_at: format_second(record.created_at),
        last_used: key.last_used.map(format_second),
        expires_at: record.expires_at.map(format_second),
        revoked_at: record.revoked_at.map(format_second),
        owner_id: &record.member_id,
        created_by: made_by(record.created_by.as_ref()),
        permissions: record.permissions.clone().into(),
        limits: limits::show(&record.limits),
        rotated_at: record.replaced.map(|replaced| format_second(replaced.at)),
        previous_key_until: record.replaced.filter(|it| it.until > now).map(|it| format_second(it.until)),
        usage: Usage { total_requests: key.total_requests, requests_today: key.requests_today },
    }
}

/// An API key that was just made, with its text, which is shown this once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NewApiKey"))]
pub(super) struct Created<'a> {
    /// Id, which begins with `key_`.
    id: &'a str,
    /// Name, which need not be unique.
    name: &'a str,
    /// Description; `null` if there is none.
    description: Option<&'a str>,
    /// Text of the key, to be sent as `Authorization: Bearer`. It is not shown again.
    key: &'a str,
    /// First characters of the key's text, by which its holder can tell it.
    prefix: &'a str,
    /// Status of the key.
    #[cfg_attr(test, schemars(with = "ActiveKey"))]
    status: &'static str,
    /// Time at which it was made.
    #[cfg_attr(test, schemars(with = "Time"))]
    created_at: String,
    /// Time from which on it is refused; `null` if it does not expire.
    #[cfg_attr(test, schemars(with = "Option<Time>"))]
    expires_at: Option<String>,
    /// Id of the member that owns it, with whose role it acts.
    owner_id: &'a str,
    /// Key that made it.
    created_by: Option<KeyMaker<'a>>,
    /// MCPs and tools that it may use.
    #[cfg_attr(test, schemars(with = "Permissions"))]
    permissions: Value,
    /// Limits of its own, beside those of its owner's plan.
    limits: limits::KeyLimits,
}

/// Returns the answer to a key's making, which has the key's text.
fn created(made: &NewKey) -> Created<'_> {
    let record = &made.record;
    Created {
        id: &record.id,
        name: &record.name,
        description: record.description.as_deref(),
        key: &made.text,
        prefix: &record.prefix,
        status: KeyStatus::Active.name(),
        created_at: format_second(record.created_at),
        expires_at: record.expires_at.map(format_second),
        owner_id: &record.member_id,
        created_by: made_by(record.created_by.as_ref()),
        permissions: record.permissions.clone().into(),
        limits: limits::show(&record.limits),
    }
}
