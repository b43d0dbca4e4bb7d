//! `/v1/audit`: who changed what, and who was refused what. For administrators.

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::Response;
use serde_json::value::RawValue;
use std::sync::Arc;

use super::errors::Failure;
use super::fields::{Fields, Page, last, success};
use super::{Administrator, Pairs, Shared, Visitor, json};
use crate::service::{AuditQuery, Outcome};

pub(super) async fn list(
    Administrator(caller): Administrator,
    Extension(visitor): Extension<Arc<Visitor>>,
    State(shared): State<Shared>,
    Pairs(query): Pairs,
) -> Result<Response, Failure> {
    visitor.looks("audit.read", "/v1/audit");
    let mut fields = Fields::default();
    let page = Page::read(&query, &mut fields);
    let query = read(&query, &mut fields);
    let (page, query) = fields.finish((page, query))?;
    let (skip, take) = page.bounds();
    let (total, lines) = shared.gateway.audit_page(&caller, query, skip, take).await?;
    let entries: Vec<&RawValue> = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Ok(json(success(entries, Some(page.pagination(total)))))
}

/// Lines of JSON, oldest first, for other programs to keep. The last one says how many there are.
pub(super) async fn export(
    Administrator(caller): Administrator,
    Extension(visitor): Extension<Arc<Visitor>>,
    State(shared): State<Shared>,
    Pairs(query): Pairs,
) -> Result<Response, Failure> {
    visitor.looks("audit.export", "/v1/audit/export");
    let mut fields = Fields::default();
    let query = read(&query, &mut fields);
    let query = fields.finish(query)?;
    let mut response = Response::new(Body::from(shared.gateway.audit_export(&caller, query).await?));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

fn read(query: &[(String, String)], fields: &mut Fields) -> AuditQuery {
    let given = |name: &str| last(query, name).map(str::to_owned);
    let outcome = given("outcome");
    let known = Outcome::ALL.map(Outcome::name);
    if outcome.as_ref().is_some_and(|outcome| !known.contains(&outcome.as_str())) {
        fields.problem("outcome", "must be done, refused, failed or unknown");
    }
    AuditQuery { action: given("action"), outcome, member_id: given("member_id"), key_id: given("key_id") }
}
