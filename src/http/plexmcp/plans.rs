//! `/v1/organization/plans`: list, replacement and removal of plans.

use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;

use super::errors::ApiError;
use super::fields::{Fields, success};
#[cfg(test)]
use super::openapi::words::{Removed as RemovedWord, Source};
use super::{Caller, DiscardBody, Id, Owner, Shared, json, strict};
use crate::gateway::{MAX_MONTHLY_REQUESTS, MAX_REQUESTS_PER_SECOND, PlanRecord, PlanView, RegistryError};
use crate::http::core::context::RequestContext;

/// The longest name of a plan, in characters.
const MAX_NAME: usize = 100;
/// Limits that a plan may set.
const LIMITS: [&str; 5] =
    ["requests_per_second", "monthly_requests", "max_mcps", "max_api_keys", "max_members"];

pub(super) async fn list(Caller(caller): Caller, State(shared): State<Shared>) -> Result<Response, ApiError> {
    let plans = shared.gateway.plans(&caller);
    Ok(json(success(plans.iter().map(item).collect::<Vec<_>>(), None)))
}

/// Returns the name in a path. A name that is not UTF-8 when decoded names no plan.
fn plan_name(name: Id) -> Result<String, ApiError> {
    name.map(|Path(name)| name).map_err(|_| RegistryError::PlanNotFound.into())
}

pub(super) async fn replace(
    Owner(caller): Owner,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    name: Id,
    request: Request,
) -> Result<Response, ApiError> {
    let name = plan_name(name)?;
    let body = shared.body(request).await?;
    context.audit_as("plan.put", &name);
    let plan = read(&name, &body)?;
    let put = shared.gateway.put_plan(&caller, plan).await?;
    let put = item(&put);
    let told = [
        put.requests_per_second.map(u64::from),
        put.monthly_requests,
        put.max_mcps,
        put.max_api_keys,
        put.max_members,
    ];
    for (limit, number) in LIMITS.into_iter().zip(told) {
        context.tells(limit, number);
    }
    Ok(json(success(put, None)))
}

/// Removes a plan. A body is ignored, as it is on every `DELETE`.
pub(super) async fn remove(
    Owner(caller): Owner,
    Extension(context): Extension<Arc<RequestContext>>,
    State(shared): State<Shared>,
    name: Id,
    _: DiscardBody,
) -> Result<Response, ApiError> {
    let name = plan_name(name)?;
    context.audit_as("plan.remove", &name);
    shared.gateway.remove_plan(&caller, &name).await?;
    Ok(json(success(Removed { name: &name, status: "removed" }, None)))
}

fn read(name: &str, body: &[u8]) -> Result<PlanRecord, ApiError> {
    let mut fields = Fields::default();
    let given = strict::read(body, LIMITS, &mut fields)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !(1..=MAX_NAME).contains(&name.len()) || !name.chars().all(plain) {
        fields.problem("name", format!("must be 1 to {MAX_NAME} letters, digits, '-', '_' or '.'"));
    }
    if given.iter().all(Option::is_none) {
        fields.nothing(format!("names no limit; there are {}, each a number or null", LIMITS.join(", ")));
    }
    let mut count = |index: usize, most: u64| {
        let read = |raw: &RawValue| raw.get().parse().ok().filter(|number| (1..=most).contains(number));
        strict::or_null(given[index], |raw| {
            let number = raw.and_then(read);
            if number.is_none() {
                fields.problem(LIMITS[index], format!("must be a whole number from 1 to {most}, or null"));
            }
            number
        })
        .flatten()
    };
    let most = MAX_MONTHLY_REQUESTS;
    let plan = PlanRecord {
        name: name.into(),
        requests_per_second: count(0, MAX_REQUESTS_PER_SECOND.into())
            .and_then(|rate| u32::try_from(rate).ok()),
        monthly_requests: count(1, most),
        max_mcps: count(2, most),
        max_api_keys: count(3, most),
        max_members: count(4, most),
    };
    fields.finish(plan)
}

/// A plan, which limits those who have it. A limit that is `null` is unlimited.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Plan"))]
pub(super) struct Item<'a> {
    /// Unique name.
    name: &'a str,
    /// Place where it was made and can be changed.
    #[cfg_attr(test, schemars(with = "Source"))]
    source: &'static str,
    /// `true` if it is the organization's plan.
    is_of_organization: bool,
    /// Number of members that have it as a plan of their own.
    members: usize,
    /// Number of requests in a second of each member.
    requests_per_second: Option<u32>,
    /// Number of calls in a month (UTC).
    monthly_requests: Option<u64>,
    /// Number of MCPs.
    max_mcps: Option<u64>,
    /// Number of API keys.
    max_api_keys: Option<u64>,
    /// Number of members.
    max_members: Option<u64>,
}

/// Answer to the removal of a plan.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PlanRemoval"))]
pub(super) struct Removed<'a> {
    /// Name of the plan.
    name: &'a str,
    /// The word `removed`.
    #[cfg_attr(test, schemars(with = "RemovedWord"))]
    status: &'static str,
}

fn item(seen: &PlanView) -> Item<'_> {
    let plan = &seen.plan;
    Item {
        name: &plan.name,
        source: plan.source.name(),
        is_of_organization: seen.is_of_organization,
        members: seen.members,
        requests_per_second: plan.requests_per_second,
        monthly_requests: plan.monthly_requests,
        max_mcps: plan.max_mcps,
        max_api_keys: plan.max_api_keys,
        max_members: plan.max_members,
    }
}
