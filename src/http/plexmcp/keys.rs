//! `/v1/api-keys` (contract, section 4.10).

use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::sync::Arc;

use super::errors::{self, Failure};
use super::fields::{Fields, Page, last, success};
use super::{Caller, Id, Ignored, Invoker, Pairs, Shared, json, pairs};
use crate::http::auth::Visitor;
use crate::http::body::{self, object, string};
use crate::http::clock::{format_second, parse_moment};
use crate::service::{
    Error, KeyRecord, KeyRequest, KeyStatus, KeyView, Maker, NewKey, NoKey, Revocation, Revoke,
};
use crate::text::is_invisible;

/// The longest name of a key, in characters.
const MAX_NAME: usize = 100;
/// The longest description of a key, in characters.
const MAX_DESCRIPTION: usize = 1_000;

/// The id in a path. One that is not UTF-8 when decoded names nothing that exists.
pub(super) fn key_id(id: Id) -> Result<String, Failure> {
    id.map(|Path(id)| id).map_err(|_| Error::KeyNotFound.into())
}

pub(super) async fn list(
    Invoker(caller): Invoker,
    State(shared): State<Shared>,
    query: Pairs,
) -> Result<Response, Failure> {
    let query = pairs(query);
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
    Invoker(caller): Invoker,
    State(shared): State<Shared>,
    id: Id,
) -> Result<Response, Failure> {
    Ok(json(success(item(&shared.gateway.key(&caller, &key_id(id)?).await?), None)))
}

pub(super) async fn create(
    Invoker(caller): Invoker,
    Extension(visitor): Extension<Arc<Visitor>>,
    State(shared): State<Shared>,
    request: Request,
) -> Result<Response, Failure> {
    let body = body::read(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
    let wish = read_new(&body)?;
    visitor.acts("key.create", &wish.name);
    let made = shared.gateway.create_key(&caller, wish).await.map_err(|refused| match refused {
        NoKey::Error(error) => error.into(),
        NoKey::Permissions(reason) => errors::bad_permissions(&reason.to_string()),
    })?;
    visitor.tells_all(told(&made.record));
    let mut response = json(success(created(&made), None));
    *response.status_mut() = StatusCode::CREATED;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = HeaderValue::try_from(format!("/v1/api-keys/{}", made.record.id)) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

pub(super) async fn describe(
    Invoker(caller): Invoker,
    Extension(visitor): Extension<Arc<Visitor>>,
    State(shared): State<Shared>,
    id: Id,
    request: Request,
) -> Result<Response, Failure> {
    let id = key_id(id)?;
    let body = body::read(request, shared.settings.body_limit, shared.settings.body_timeout).await?;
    visitor.acts("key.describe", &id);
    let [name, description] = object(&body, ["name", "description"])?.members;
    let mut fields = Fields::default();
    let name = name.and_then(|raw| read_name(&mut fields, Some(raw)));
    let description = description.map(|raw| read_description(&mut fields, Some(raw)));
    let (name, description) = fields.finish((name, description))?;
    let key = shared.gateway.describe_key(&caller, &id, name, description).await?;
    visitor.tells_all(told(&key.record));
    Ok(json(success(item(&key), None)))
}

/// With `descendants` what the key has made goes, too. A body is ignored, as it is on every `DELETE`.
pub(super) async fn revoke(
    Caller(caller): Caller,
    Extension(visitor): Extension<Arc<Visitor>>,
    State(shared): State<Shared>,
    id: Id,
    query: Pairs,
    _: Ignored,
) -> Result<Response, Failure> {
    let id = key_id(id)?;
    visitor.acts("key.revoke", &id);
    let mut fields = Fields::default();
    let what = match last(&pairs(query), "descendants") {
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

/// What a caller is told who has to know that a revocation may be forgotten.
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
        // One that is not kept any more had ended before.
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

/// What the audit is told of a key: everything but what it could be used or guessed by.
fn told(key: &KeyRecord) -> Map<String, Value> {
    let told = [
        ("id", Value::from(&*key.id)),
        ("name", Value::from(key.name.as_str())),
        ("owner_id", Value::from(&*key.member_id)),
        ("expires_at", key.expires_at.map(moment).into()),
        ("permissions", key.permissions.clone().into()),
        ("created_by", key.created_by.as_ref().map(|maker| &*maker.key_id).into()),
    ];
    told.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

/// Reads the body of `POST /v1/api-keys`.
fn read_new(body: &[u8]) -> Result<KeyRequest, Failure> {
    let [name, description, expires_at, permissions, owner] =
        object(body, ["name", "description", "expires_at", "permissions", "owner_id"])?.members;
    let mut fields = Fields::default();
    let name = read_name(&mut fields, name).unwrap_or_default();
    let description = read_description(&mut fields, description);
    let expires_at = expires_at.and_then(|raw| {
        let at = string(raw).and_then(|text| parse_moment(&text, true));
        if at.is_none() {
            fields.problem("expires_at", "must be a date or a time as RFC 3339 writes it");
        }
        at
    });
    let owner = owner.and_then(|raw| {
        let owner = string(raw);
        if owner.is_none() {
            fields.problem("owner_id", "must be a string");
        }
        owner
    });
    let permissions: Option<Value> = permissions.and_then(|raw| serde_json::from_str(raw.get()).ok());
    fields.finish(KeyRequest { name, description, expires_at, permissions, owner })
}

fn read_name(fields: &mut Fields, raw: Option<&RawValue>) -> Option<String> {
    let Some(raw) = raw else {
        fields.problem("name", "is required");
        return None;
    };
    let name = string(raw).map(|name| name.trim().to_owned());
    let good = name.filter(|name| (1..=MAX_NAME).contains(&name.chars().count()));
    let Some(good) = good else {
        fields.problem("name", format!("must be a string of 1 to {MAX_NAME} characters"));
        return None;
    };
    if let Some(c) = good.chars().find(|c| is_invisible(*c)) {
        let reason = "must not contain characters that are not seen or turn the direction of text";
        fields.problem("name", format!("{reason} (found U+{:04X})", u32::from(c)));
        return None;
    }
    Some(good)
}

fn read_description(fields: &mut Fields, raw: Option<&RawValue>) -> Option<String> {
    let text = string(raw?).filter(|text| text.chars().count() <= MAX_DESCRIPTION);
    if text.is_none() {
        fields.problem("description", format!("must be a string of at most {MAX_DESCRIPTION} characters"));
    }
    text
}

#[derive(Serialize)]
struct Item<'a> {
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
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    total_requests: u64,
    requests_today: u64,
}

fn item(key: &KeyView) -> Item<'_> {
    let record = &key.record;
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
        usage: Usage { total_requests: key.total_requests, requests_today: key.requests_today },
    }
}

/// The only answer that has a key's text.
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
    }
}

/// Seconds since 1970, as the dialect writes them.
pub(super) fn moment(seconds: u64) -> String {
    format_second(seconds)
}
