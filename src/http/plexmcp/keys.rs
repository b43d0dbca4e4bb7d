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
    Extension(visitor): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, ApiError> {
    let body = shared.body(request).await?;
    let wish = read_new(&body)?;
    visitor.audit_as("key.create", &wish.name);
    let made = shared.gateway.create_key(&caller, wish).await.map_err(refused)?;
    visitor.tells_all(told(&made.record));
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
    Extension(visitor): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    id: Id,
    QueryPairs(query): QueryPairs,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let id = key_id(id, &caller)?;
    visitor.audit_as("key.revoke", &id);
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
        visitor.tells_all(told(&key.record));
    }
    visitor.tells("revoked_keys", revocation.revoked.iter().map(|id| &**id).collect::<Vec<_>>());
    visitor.tells("durable", revocation.durable);
    Ok(json(success(revoked(&revocation), None)))
}

/// Warning to a caller that a revocation may be forgotten.
const NOT_DURABLE: &str = "The revocation is in force. It could not be written to the disk, which is tried \
                           again until it is; should the daemon end before that, revoke again";

fn revoked(revocation: &Revocation) -> impl Serialize {
    #[derive(Serialize)]
    struct Revoked<'a> {
        id: &'a str,
        status: &'static str,
        revoked_at: Option<String>,
        revoked_keys: &'a [Arc<str>],
        durable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        warning: Option<&'static str>,
    }
    let key = revocation.key.as_ref();
    Revoked {
        id: &revocation.id,
        // A key that is no longer kept had ended before.
        status: key.map_or(KeyStatus::Revoked, |key| key.status).name(),
        revoked_at: key.and_then(|key| key.record.revoked_at).map(moment),
        revoked_keys: &revocation.revoked,
        durable: revocation.durable,
        warning: (!revocation.durable).then_some(NOT_DURABLE),
    }
}

#[derive(Serialize)]
struct By<'a> {
    key_id: &'a str,
    member_id: &'a str,
}

fn made_by(maker: Option<&Maker>) -> Option<By<'_>> {
    maker.map(|maker| By { key_id: &maker.key_id, member_id: &maker.member_id })
}

/// Returns the audit's entry for a key: everything but what would help to use or guess it.
pub(super) fn told(key: &KeyRecord) -> Map<String, Value> {
    let told = [
        ("id", Value::from(&*key.id)),
        ("name", Value::from(key.name.as_str())),
        ("owner_id", Value::from(&*key.member_id)),
        ("expires_at", key.expires_at.map(moment).into()),
        ("permissions", key.permissions.clone().into()),
        ("limits", limits::show(&key.limits)),
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

#[derive(Serialize)]
pub(super) struct Item<'a> {
    id: &'a str,
    name: &'a str,
    description: Option<&'a str>,
    prefix: &'a str,
    status: &'static str,
    created_at: String,
    last_used: Option<String>,
    expires_at: Option<String>,
    revoked_at: Option<String>,
    owner_id: &'a str,
    created_by: Option<By<'a>>,
    permissions: Value,
    /// The key's own limits; the default for keys holds where it has none.
    limits: Value,
    /// Time at which the key got its current text, and the end of the grace of the one before.
    rotated_at: Option<String>,
    previous_key_until: Option<String>,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    total_requests: u64,
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
        created_at: moment(record.created_at),
        last_used: key.last_used.map(moment),
        expires_at: record.expires_at.map(moment),
        revoked_at: record.revoked_at.map(moment),
        owner_id: &record.member_id,
        created_by: made_by(record.created_by.as_ref()),
        permissions: record.permissions.clone().into(),
        limits: limits::show(&record.limits),
        rotated_at: record.replaced.map(|replaced| moment(replaced.at)),
        previous_key_until: record.replaced.filter(|it| it.until > now).map(|it| moment(it.until)),
        usage: Usage { total_requests: key.total_requests, requests_today: key.requests_today },
    }
}

/// Returns the answer to a key's making, which has the key's text.
fn created(made: &NewKey) -> impl Serialize {
    #[derive(Serialize)]
    struct Created<'a> {
        id: &'a str,
        name: &'a str,
        description: Option<&'a str>,
        key: &'a str,
        prefix: &'a str,
        status: &'static str,
        created_at: String,
        expires_at: Option<String>,
        owner_id: &'a str,
        created_by: Option<By<'a>>,
        permissions: Value,
        limits: Value,
    }
    let record = &made.record;
    Created {
        id: &record.id,
        name: &record.name,
        description: record.description.as_deref(),
        key: &made.text,
        prefix: &record.prefix,
        status: KeyStatus::Active.name(),
        created_at: moment(record.created_at),
        expires_at: record.expires_at.map(moment),
        owner_id: &record.member_id,
        created_by: made_by(record.created_by.as_ref()),
        permissions: record.permissions.clone().into(),
        limits: limits::show(&record.limits),
    }
}

/// Formats seconds since 1970 as the dialect writes them.
pub(super) fn moment(seconds: u64) -> String {
    format_second(seconds)
}
